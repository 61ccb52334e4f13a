# lib/client/: the API client, informers, work queues and leader election (part of libkeelson)
libkeelson_a_SOURCES += lib/client/api.h lib/client/informer.h lib/client/leader.h lib/client/workqueue.h
