# lib/client/: the API client, informers, work queues and leader election (part of libkeelson)
libkeelson_a_SOURCES += \
	lib/client/api.c lib/client/api.h lib/client/api-internal.h lib/client/events.c \
	lib/client/informer.c lib/client/informer.h \
	lib/client/kubeconfig.c lib/client/kubeconfig.h \
	lib/client/leader.c lib/client/leader.h lib/client/resources.c \
	lib/client/workqueue.c lib/client/workqueue.h
