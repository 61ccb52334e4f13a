# lib/client/: the API client, the catalogue of kinds, informers, work queues and leader election
noinst_LIBRARIES += libclient.a
libclient_a_SOURCES = \
	lib/client/actions.c lib/client/actions.h lib/client/api-actions.c lib/client/api-actions.h \
	lib/client/executor.c lib/client/executor.h \
	lib/client/api.c lib/client/api.h lib/client/api-internal.h lib/client/events.c \
	lib/client/informer.c lib/client/informer.h lib/client/informer-request.c lib/client/informer-request.h \
	lib/client/kubeconfig.c lib/client/kubeconfig.h lib/client/identity-files.c lib/client/identity-files.h \
	lib/client/failover.c lib/client/failover.h lib/client/servers.c lib/client/servers.h \
	lib/client/stream.c lib/client/stream.h \
	lib/client/leader.c lib/client/leader.h lib/client/lines.c lib/client/lines.h lib/client/kinds.c lib/client/kinds.h \
	lib/client/network-policy.c lib/client/network-policy.h \
	lib/client/workqueue.c lib/client/workqueue-metrics.c lib/client/workqueue-metrics.h \
	lib/client/workqueue.h

check_PROGRAMS += tests/unit/test-client tests/unit/test-workqueue
tests_unit_test_client_SOURCES = tests/unit/test-client.c tests/unit/loop.h tests/unit/unit.h
tests_unit_test_client_LDADD = $(TEST_LIBS)
tests_unit_test_workqueue_SOURCES = tests/unit/test-workqueue.c tests/unit/loop.h tests/unit/unit.h
tests_unit_test_workqueue_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-servers
tests_unit_test_servers_SOURCES = tests/unit/test-servers.c tests/unit/loop.h tests/unit/unit.h
tests_unit_test_servers_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-executor
tests_unit_test_executor_SOURCES = tests/unit/test-executor.c tests/unit/unit.h
tests_unit_test_executor_LDADD = $(TEST_LIBS)
