# nodeagent/: its part of the build, included by the top Makefile.am
sbin_PROGRAMS += nodeagent/knodeagent nodeagent/kpod-exec
# Runs inside other roots: static, and without sanitizers, whose libraries are not there.
nodeagent_kpod_exec_SOURCES = nodeagent/kpod-exec.c
nodeagent_kpod_exec_CFLAGS = -std=gnu17 -g -Os $(WARN_CFLAGS) $(WERROR_CFLAGS) -fno-common
nodeagent_kpod_exec_LDFLAGS = -static -Wl,-z,relro,-z,now -Wl,--gc-sections
# The pure part: pods, services, statuses as data; the unit tests link it alone.
noinst_LIBRARIES += nodeagent/libnodeagent.a
nodeagent_libnodeagent_a_SOURCES = \
	nodeagent/ipam.c nodeagent/ipam.h nodeagent/node-status.c nodeagent/pod-units.h nodeagent/pod-command.c nodeagent/pod-devices.c nodeagent/pod-env.c nodeagent/pod-etc.c nodeagent/pod-nested.c nodeagent/pod-security.c nodeagent/pod-annotations.c \
	nodeagent/pod-admission.c nodeagent/pod-admission.h nodeagent/pod-service-env.c \
	nodeagent/pod-to-units.c nodeagent/pod-volumes.c nodeagent/probes.c nodeagent/probes.h \
	nodeagent/log-collect.h nodeagent/log-line.c nodeagent/logs-request.c nodeagent/logs.h nodeagent/nft-claims.c nodeagent/nft-claims.h \
	nodeagent/service-table.c nodeagent/service-table.h nodeagent/services-disk.c nodeagent/services-disk.h nodeagent/services-to-nft.c nodeagent/services-to-nft.h nodeagent/status.c nodeagent/status.h \
	nodeagent/store.c nodeagent/store.h nodeagent/unit-props.c nodeagent/unit-props.h \
	nodeagent/units.h nodeagent/units-message.c nodeagent/units-message.h
nodeagent_knodeagent_SOURCES = \
	nodeagent/agent.h nodeagent/main.c nodeagent/csr.c nodeagent/csr.h nodeagent/container-files.c nodeagent/fetch.c nodeagent/fetch.h nodeagent/network.c nodeagent/network.h nodeagent/network-watch.c \
	nodeagent/conntrack.c nodeagent/conntrack.h nodeagent/nft.c nodeagent/nft.h nodeagent/nft-monitor.c nodeagent/nft-monitor.h nodeagent/node.c nodeagent/node.h nodeagent/pod-exec.c nodeagent/pod-hooks.c nodeagent/pod-no-effect.c nodeagent/pod-report.c \
	nodeagent/pod-start.c nodeagent/pod-stop.c nodeagent/pods.c nodeagent/pods.h nodeagent/pods-internal.h \
	nodeagent/log-collect.c nodeagent/log-sockets.c nodeagent/log-sockets.h nodeagent/logs.c nodeagent/manifest.c nodeagent/manifest.h \
	nodeagent/renew.c nodeagent/renew.h nodeagent/stage.c nodeagent/stage.h nodeagent/pod-usage.c nodeagent/sync.c nodeagent/sync.h nodeagent/unit-ask.c nodeagent/unit-ask.h nodeagent/units.c nodeagent/users.c nodeagent/users.h nodeagent/volumes.c nodeagent/volumes.h
nodist_nodeagent_knodeagent_SOURCES = kapid/kinds/no-effect-table.c
nodeagent_knodeagent_LDADD = nodeagent/libnodeagent.a libkeelson.a $(KEELSON_LIBS) $(NFTABLES_LIBS) $(NL_LIBS)

check_PROGRAMS += tests/unit/test-pod-to-units tests/unit/test-services-to-nft tests/unit/test-nodeagent \
	tests/unit/test-node-pods tests/unit/test-node-services tests/unit/test-stage
NODEAGENT_TEST_LIBS = nodeagent/libnodeagent.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-unit-properties
tests_unit_test_unit_properties_SOURCES = tests/unit/test-unit-properties.c tests/unit/unit.h
tests_unit_test_unit_properties_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_pod_to_units_SOURCES = tests/unit/test-pod-to-units.c tests/unit/unit.h
tests_unit_test_pod_to_units_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_stage_SOURCES = tests/unit/test-stage.c tests/unit/unit.h nodeagent/stage.c nodeagent/stage.h
tests_unit_test_stage_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_services_to_nft_SOURCES = tests/unit/test-services-to-nft.c tests/unit/unit.h
tests_unit_test_services_to_nft_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_nodeagent_SOURCES = tests/unit/test-nodeagent.c tests/unit/unit.h
tests_unit_test_nodeagent_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_node_pods_SOURCES = tests/unit/test-node-pods.c tests/unit/unit.h
tests_unit_test_node_pods_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_node_services_SOURCES = tests/unit/test-node-services.c tests/unit/unit.h
tests_unit_test_node_services_LDADD = $(NODEAGENT_TEST_LIBS)
check_SCRIPTS += tests/unit/kpod-exec
EXTRA_DIST += tests/unit/kpod-exec tests/golden/pod-to-units tests/golden/services-to-nft
