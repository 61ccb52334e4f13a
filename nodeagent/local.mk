# nodeagent/: its part of the build, included by the top Makefile.am
sbin_PROGRAMS += nodeagent/knodeagent nodeagent/kpod-exec
# Runs inside other roots: static, and without sanitizers, whose libraries are not there.
nodeagent_kpod_exec_SOURCES = nodeagent/kpod-exec.c
nodeagent_kpod_exec_CFLAGS = -std=gnu17 -g -Os $(WARN_CFLAGS) $(WERROR_CFLAGS) -fno-common
nodeagent_kpod_exec_LDFLAGS = -static -Wl,-z,relro,-z,now -Wl,--gc-sections
# The pure part: pods, services, statuses as data; the unit tests link it alone.
noinst_LIBRARIES += nodeagent/libnodeagent.a
nodeagent_libnodeagent_a_SOURCES = \
	nodeagent/load-balancer-plan.c nodeagent/load-balancer.h \
	nodeagent/network/ipam.c nodeagent/network/ipam.h nodeagent/node-status.c nodeagent/plan/plan.h nodeagent/plan/command.c nodeagent/plan/devices.c nodeagent/plan/env.c nodeagent/plan/etc.c nodeagent/plan/nested.c nodeagent/plan/security.c nodeagent/plan/annotations.c \
	nodeagent/pod/admission.c nodeagent/pod/admission.h nodeagent/plan/service-env.c \
	nodeagent/plan/pod-fields.c nodeagent/plan/pod-fields.h nodeagent/plan/pod-to-units.c nodeagent/plan/claims.c nodeagent/plan/shares.c nodeagent/plan/volumes.c nodeagent/pod/probes.c nodeagent/pod/probes.h \
	nodeagent/logs/log-collect.h nodeagent/logs/log-line.c nodeagent/logs/logs-request.c nodeagent/logs/logs.h nodeagent/network/nft-claims.c nodeagent/network/nft-claims.h \
	nodeagent/network/service-table.c nodeagent/network/service-table.h nodeagent/network/services-disk.c nodeagent/network/services-disk.h nodeagent/network/services-to-nft.c nodeagent/network/services-to-nft.h nodeagent/pod/status.c nodeagent/pod/status.h \
	nodeagent/pod/actions.c nodeagent/pod/actions.h nodeagent/pod/decide.c nodeagent/pod/decide.h \
	nodeagent/pod/decide-container.c nodeagent/pod/decide-end.c nodeagent/runtime/images.c nodeagent/runtime/images.h \
	nodeagent/runtime/run-state.c nodeagent/runtime/runtime.h nodeagent/runtime/systemd-state.c nodeagent/runtime/systemd.h \
	nodeagent/pod/volume-folder.c \
	nodeagent/pod/volume-folder.h \
	nodeagent/measure.h \
	nodeagent/measure-rates.c \
	nodeagent/pod/folder-size.c \
	nodeagent/pod/folder-size.h \
	nodeagent/statedir.c nodeagent/statedir.h nodeagent/plan/unit-props.c nodeagent/plan/unit-props.h \
	nodeagent/runtime/units.h nodeagent/runtime/units-message.c nodeagent/runtime/units-message.h
nodeagent_knodeagent_SOURCES = \
	nodeagent/agent.c nodeagent/agent.h nodeagent/clean.c nodeagent/clean.h nodeagent/unit-watch.c nodeagent/unit-watch.h nodeagent/machine.c nodeagent/machine.h \
	nodeagent/main.c \
	nodeagent/measure.c \
	nodeagent/csr.c \
	nodeagent/csr.h \
	nodeagent/pod/container-files.c \
	nodeagent/pod/fetch.c \
	nodeagent/pod/fetch.h \
	nodeagent/pod/local-volumes.c \
	nodeagent/pod/local-volumes.h \
	nodeagent/network/network.c \
	nodeagent/network/network.h \
	nodeagent/network/network-watch.c \
	nodeagent/network/network-watch.h \
	nodeagent/load-balancer.c \
	nodeagent/network/announce.c \
	nodeagent/network/announce.h \
	nodeagent/network/carried.c \
	nodeagent/network/carried.h \
	nodeagent/network/conntrack.c nodeagent/network/conntrack.h nodeagent/network/nft.c nodeagent/network/nft.h nodeagent/network/nft-monitor.c nodeagent/network/nft-monitor.h nodeagent/node.c nodeagent/node.h nodeagent/pod/exec.c nodeagent/pod/hooks.c nodeagent/pod/no-effect.c nodeagent/pod/report.c \
	nodeagent/pod/container.c nodeagent/pod/drive.c nodeagent/pod/pod.c nodeagent/pod/pod.h nodeagent/pod/pod-disk.c \
	nodeagent/pod/pods.c nodeagent/pod/pods.h nodeagent/pod/probing.c nodeagent/pod/sandbox.c nodeagent/pod/trash.c nodeagent/pod/trash.h nodeagent/pod/view.c \
	nodeagent/pod/waking.c nodeagent/runtime/runtime.c nodeagent/runtime/systemd.c \
	nodeagent/logs/log-collect.c nodeagent/logs/log-sockets.c nodeagent/logs/log-sockets.h nodeagent/logs/logs.c nodeagent/manifest.c nodeagent/manifest.h \
	nodeagent/renew.c \
	nodeagent/renew.h \
	nodeagent/pod/share-folder.c \
	nodeagent/pod/share-folder.h \
	nodeagent/pod/shares.c \
	nodeagent/pod/shares.h \
	nodeagent/pod/stage.c \
	nodeagent/pod/stage.h \
	nodeagent/pod/usage.c \
	nodeagent/watches.c \
	nodeagent/watches.h \
	nodeagent/runtime/unit-ask.c \
	nodeagent/runtime/unit-ask.h \
	nodeagent/runtime/units.c \
	nodeagent/pod/users.c \
	nodeagent/pod/users.h \
	nodeagent/pod/volumes.c \
	nodeagent/pod/volumes.h \
	nodeagent/runtime/units-usage.c
nodist_nodeagent_knodeagent_SOURCES = kapid/kinds/no-effect-table.c
nodeagent_knodeagent_LDADD = nodeagent/libnodeagent.a libkeelson.a $(KEELSON_LIBS) $(NFTABLES_LIBS) $(NL_LIBS)

check_PROGRAMS += tests/unit/test-pod-to-units tests/unit/test-services-to-nft tests/unit/test-nodeagent \
	tests/unit/test-node-pods tests/unit/test-node-services tests/unit/test-stage
NODEAGENT_TEST_LIBS = nodeagent/libnodeagent.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-unit-properties
check_PROGRAMS += tests/unit/test-pod-fields
tests_unit_test_pod_fields_SOURCES = tests/unit/test-pod-fields.c tests/unit/unit.h
tests_unit_test_pod_fields_LDADD = $(NODEAGENT_TEST_LIBS)
check_PROGRAMS += tests/unit/test-pod-decide
tests_unit_test_pod_decide_SOURCES = tests/unit/test-pod-decide.c tests/unit/golden.c tests/unit/golden.h \
	tests/unit/unit.h
tests_unit_test_pod_decide_LDADD = $(NODEAGENT_TEST_LIBS)
EXTRA_DIST += tests/golden/pod-decide
check_PROGRAMS += tests/unit/test-runtime
tests_unit_test_runtime_SOURCES = tests/unit/test-runtime.c tests/unit/unit.h
tests_unit_test_runtime_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_unit_properties_SOURCES = tests/unit/test-unit-properties.c tests/unit/unit.h
tests_unit_test_unit_properties_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_pod_to_units_SOURCES = tests/unit/test-pod-to-units.c tests/unit/golden.c tests/unit/golden.h \
	tests/unit/unit.h
tests_unit_test_pod_to_units_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_stage_SOURCES = tests/unit/test-stage.c tests/unit/unit.h nodeagent/pod/stage.c nodeagent/pod/stage.h
tests_unit_test_stage_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_services_to_nft_SOURCES = tests/unit/test-services-to-nft.c tests/unit/golden.c tests/unit/golden.h \
	tests/unit/unit.h
tests_unit_test_services_to_nft_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_nodeagent_SOURCES = tests/unit/test-nodeagent.c tests/unit/unit.h
tests_unit_test_nodeagent_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_node_pods_SOURCES = tests/unit/test-node-pods.c tests/unit/unit.h
tests_unit_test_node_pods_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_node_services_SOURCES = tests/unit/test-node-services.c tests/unit/unit.h
tests_unit_test_node_services_LDADD = $(NODEAGENT_TEST_LIBS)
check_PROGRAMS += tests/unit/test-announce
tests_unit_test_announce_SOURCES = tests/unit/test-announce.c tests/unit/unit.h \
	nodeagent/network/announce.c nodeagent/network/announce.h
tests_unit_test_announce_LDADD = $(NODEAGENT_TEST_LIBS)
check_PROGRAMS += tests/unit/test-folder-size
tests_unit_test_folder_size_SOURCES = tests/unit/test-folder-size.c tests/unit/unit.h
tests_unit_test_folder_size_LDADD = $(NODEAGENT_TEST_LIBS)
check_PROGRAMS += tests/unit/test-share-folder
tests_unit_test_share_folder_SOURCES = tests/unit/test-share-folder.c tests/unit/unit.h \
	nodeagent/pod/share-folder.c nodeagent/pod/share-folder.h nodeagent/pod/stage.c nodeagent/pod/stage.h
tests_unit_test_share_folder_LDADD = $(NODEAGENT_TEST_LIBS)
check_PROGRAMS += tests/unit/test-volume-folder
tests_unit_test_volume_folder_SOURCES = tests/unit/test-volume-folder.c tests/unit/unit.h \
	nodeagent/pod/stage.c nodeagent/pod/stage.h nodeagent/pod/trash.c nodeagent/pod/trash.h \
	nodeagent/pod/volumes.c nodeagent/pod/volumes.h
tests_unit_test_volume_folder_LDADD = $(NODEAGENT_TEST_LIBS)
check_SCRIPTS += tests/unit/kpod-exec
EXTRA_DIST += tests/unit/kpod-exec tests/golden/pod-to-units tests/golden/services-to-nft
check_PROGRAMS += tests/unit/test-measure
tests_unit_test_measure_SOURCES = tests/unit/test-measure.c tests/unit/unit.h
tests_unit_test_measure_LDADD = $(NODEAGENT_TEST_LIBS)
