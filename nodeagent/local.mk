# nodeagent/: its part of the build, included by the top Makefile.am
sbin_PROGRAMS += nodeagent/knodeagent nodeagent/kpod-exec nodeagent/kpod-netns
# Runs inside other roots: static, and without sanitizers, whose libraries are not there.
nodeagent_kpod_exec_SOURCES = nodeagent/kpod-exec.c \
	nodeagent/kpod-confine.c nodeagent/kpod-confine.h \
	nodeagent/kpod-namespace.c nodeagent/kpod-namespace.h \
	nodeagent/kpod-notify.c nodeagent/kpod-notify.h \
	nodeagent/kpod-place.c nodeagent/kpod-place.h nodeagent/proc-masks.h \
	nodeagent/kpod-share.c nodeagent/kpod-share.h \
	nodeagent/kpod-wait.c nodeagent/kpod-wait.h
nodeagent_kpod_exec_CFLAGS = -std=gnu17 -g -Os $(WARN_CFLAGS) $(WERROR_CFLAGS) $(SECCOMP_CFLAGS) -fno-common $(REPRODUCIBLE_CFLAGS)
nodeagent_kpod_exec_LDADD = $(SECCOMP_LIBS)
nodeagent_kpod_exec_LDFLAGS = -static -Wl,-z,relro,-z,now -Wl,--gc-sections
nodeagent_kpod_netns_SOURCES = nodeagent/kpod-netns.c nodeagent/network/netns-keeper.h
nodeagent_kpod_netns_CFLAGS = -std=gnu17 -g -Os $(WARN_CFLAGS) $(WERROR_CFLAGS) -fno-common $(REPRODUCIBLE_CFLAGS)
nodeagent_kpod_netns_LDADD =
nodeagent_kpod_netns_LDFLAGS = -static -Wl,-z,relro,-z,now -Wl,--gc-sections
# The pure part: pods, services, statuses as data; the unit tests link it alone.
noinst_LIBRARIES += nodeagent/libnodeagent.a
nodeagent_libnodeagent_a_SOURCES = \
	nodeagent/figures.c nodeagent/figures.h \
	nodeagent/load-balancer-plan.c nodeagent/load-balancer.h \
	nodeagent/network/bandwidth.c nodeagent/network/bandwidth.h \
	nodeagent/dns/records.c nodeagent/dns/records.h nodeagent/dns/table.c nodeagent/dns/table.h \
	nodeagent/dns/unbound-config.c nodeagent/dns/unbound-config.h \
	nodeagent/network/ipam.c \
	nodeagent/network/ipam.h \
	nodeagent/node-status.c \
	nodeagent/plan/plan.h \
	nodeagent/plan/command.c \
	nodeagent/plan/devices.c \
	nodeagent/plan/dynamic-user.c nodeagent/plan/dynamic-user.h \
	nodeagent/plan/env.c \
	nodeagent/plan/pids.c nodeagent/plan/pids.h \
	nodeagent/plan/ephemeral.c \
	nodeagent/plan/ephemeral.h \
	nodeagent/plan/etc.c \
	nodeagent/plan/lighten.c \
	nodeagent/plan/nested.c \
	nodeagent/plan/security.c \
	nodeagent/plan/annotations.c \
	nodeagent/network/node-address.c \
	nodeagent/network/node-address.h \
	nodeagent/pod/admission.c nodeagent/pod/admission.h nodeagent/plan/service-env.c \
	nodeagent/plan/pod-fields.c nodeagent/plan/pod-fields.h nodeagent/plan/restart.c nodeagent/plan/restart.h nodeagent/plan/resources.c nodeagent/plan/adopt.c nodeagent/plan/sockets.c nodeagent/plan/tokens.c nodeagent/plan/pod-to-units.c nodeagent/plan/claims.c nodeagent/plan/shares.c nodeagent/plan/volumes.c nodeagent/pod/probes.c nodeagent/pod/probes.h nodeagent/pod/probe-grpc.c nodeagent/pod/probe-grpc.h \
	nodeagent/logs/log-collect.h nodeagent/logs/log-line.c nodeagent/logs/logs-request.c nodeagent/logs/logs.h nodeagent/network/nft-claims.c nodeagent/network/nft-claims.h \
	nodeagent/network/policy-nft.c nodeagent/network/policy-nft.h \
	nodeagent/network/policy-memory.h nodeagent/network/policy-peers.c nodeagent/network/policy-peers.h \
	nodeagent/network/policy-rules.c nodeagent/network/policy-rules.h \
	nodeagent/network/policy-table.c nodeagent/network/policy-table.h \
	nodeagent/network/nft-elements.c \
	nodeagent/network/nft-elements.h \
	nodeagent/network/nft-frame.c \
	nodeagent/network/nft-frame.h \
	nodeagent/network/service-endpoints.c \
	nodeagent/network/service-endpoints.h \
	nodeagent/network/service-view.c \
	nodeagent/network/service-view.h \
	nodeagent/network/service-table.c nodeagent/network/service-table.h nodeagent/network/services-disk.c nodeagent/network/services-disk.h nodeagent/network/services-to-nft.c nodeagent/network/services-to-nft.h nodeagent/pod/status.c nodeagent/pod/status.h \
	nodeagent/pod/actions.c nodeagent/pod/actions.h nodeagent/pod/decide.c nodeagent/pod/decide.h \
	nodeagent/pod/decide-container.c \
	nodeagent/pod/start-slots.c \
	nodeagent/pod/start-slots.h \
	nodeagent/pod/decide-end.c \
	nodeagent/pod/decide-ephemeral.c \
	nodeagent/pod/decide-image.c \
	nodeagent/runtime/images.c \
	nodeagent/runtime/images.h \
	nodeagent/pod/decide-sidecars.c \
	nodeagent/pod/decide-adopted.c \
	nodeagent/pod/decide-resize.c \
	nodeagent/runtime/run-state.c nodeagent/runtime/runtime.h nodeagent/runtime/systemd-state.c nodeagent/runtime/systemd.h \
	nodeagent/pod/volume-folder.c \
	nodeagent/pod/volume-folder.h \
	nodeagent/eviction-plan.c \
	nodeagent/eviction-plan.h \
	nodeagent/shutdown.h \
	nodeagent/shutdown-plan.c \
	nodeagent/measure.h \
	nodeagent/node-summary.c nodeagent/node-summary.h \
	nodeagent/measure-rates.c \
	nodeagent/image-care.h \
	nodeagent/node-images.c \
	nodeagent/plan/image.c \
	nodeagent/plan/image.h \
	nodeagent/pod/folder-size.c \
	nodeagent/pod/folder-size.h \
	nodeagent/statedir.c nodeagent/statedir.h nodeagent/plan/unit-props.c nodeagent/plan/unit-props.h \
	nodeagent/runtime/units.h nodeagent/runtime/units-message.c nodeagent/runtime/units-message.h
nodeagent_knodeagent_SOURCES = \
	nodeagent/agent.c nodeagent/agent.h nodeagent/network/nft-figures.h nodeagent/clean.c nodeagent/clean.h nodeagent/etc-view.c nodeagent/etc-view.h nodeagent/proc-view.c nodeagent/proc-view.h nodeagent/unit-watch.c nodeagent/unit-watch.h nodeagent/machine.c nodeagent/machine.h \
	nodeagent/main.c nodeagent/host-drift.c nodeagent/host-drift.h nodeagent/network/network-check.c nodeagent/network/network-check.h \
	nodeagent/dns/dns.c \
	nodeagent/dns/dns.h \
	nodeagent/dns/feed.c \
	nodeagent/dns/feed.h \
	nodeagent/dns/sync.c \
	nodeagent/dns/sync.h \
	nodeagent/measure.c \
	nodeagent/node-api.c nodeagent/node-api.h \
	nodeagent/eviction.c \
	nodeagent/eviction.h \
	nodeagent/shutdown.c \
	nodeagent/pod/du.c \
	nodeagent/pod/du.h \
	nodeagent/csr.c \
	nodeagent/csr.h \
	nodeagent/pod/container-files.c \
	nodeagent/pod/crash.c nodeagent/pod/crash.h \
	nodeagent/pod/fetch.c \
	nodeagent/pod/fetch.h \
	nodeagent/pod/local-volumes.c \
	nodeagent/pod/local-volumes.h \
	nodeagent/pod/object-watch.c \
	nodeagent/pod/object-watch.h \
	nodeagent/network/machine-address.c nodeagent/network/machine-address.h nodeagent/network/netns-keeper.c nodeagent/network/netns-keeper.h nodeagent/network/network.c \
	nodeagent/network/network.h \
	nodeagent/network/network-watch.c \
	nodeagent/network/network-watch.h \
	nodeagent/network/overlay.c \
	nodeagent/network/overlay.h \
	nodeagent/network/rtnetlink.c \
	nodeagent/network/rtnetlink.h \
	nodeagent/network/policy.c \
	nodeagent/network/policy.h \
	nodeagent/network/policy-watch.c \
	nodeagent/network/policy-watch.h \
	nodeagent/load-balancer.c \
	nodeagent/network/announce.c \
	nodeagent/network/announce.h \
	nodeagent/network/carried.c \
	nodeagent/network/carried.h \
	nodeagent/network/near-routes.c \
	nodeagent/network/near-routes.h \
	nodeagent/network/nft-text.c \
	nodeagent/network/nft-text.h \
	nodeagent/network/nft-apply.c \
	nodeagent/network/nft-apply.h \
	nodeagent/network/nft-kernel.c \
	nodeagent/network/nft-kernel.h \
	nodeagent/network/service-health.c \
	nodeagent/network/service-health.h \
	nodeagent/network/services-keeper.c \
	nodeagent/network/services-keeper.h \
	nodeagent/network/conntrack.c \
	nodeagent/network/conntrack.h \
	nodeagent/network/nft.c \
	nodeagent/network/nft.h \
	nodeagent/network/nft-monitor.c \
	nodeagent/network/nft-monitor.h \
	nodeagent/node.c \
	nodeagent/node.h \
	nodeagent/pod/exec.c \
	nodeagent/pod/hooks.c \
	nodeagent/pod/join.c \
	nodeagent/pod/no-effect.c \
	nodeagent/pod/report.c \
	nodeagent/pod/resize.c \
	nodeagent/pod/container.c nodeagent/pod/drive.c nodeagent/pod/pod.c nodeagent/pod/pod.h nodeagent/pod/pod-disk.c nodeagent/pod/pod-user.c \
	nodeagent/pod/pods.c nodeagent/pod/pods.h nodeagent/pod/probing.c nodeagent/pod/sandbox.c nodeagent/pod/trash.c nodeagent/pod/trash.h nodeagent/pod/view.c \
	nodeagent/pod/adopt.c nodeagent/pod/file-check.c nodeagent/pod/waking.c nodeagent/runtime/adopted.c nodeagent/runtime/adopted.h nodeagent/runtime/portable.c nodeagent/runtime/portable.h nodeagent/pod/portables.c nodeagent/pod/portables.h nodeagent/runtime/runtime.c nodeagent/runtime/systemd.c \
	nodeagent/logs/log-attach.c nodeagent/logs/log-attach.h \
	nodeagent/logs/log-collect.c nodeagent/logs/log-sockets.c nodeagent/logs/log-sockets.h nodeagent/logs/logs.c nodeagent/manifest.c nodeagent/manifest.h \
	nodeagent/pod/streams.c \
	nodeagent/runtime/units-stream.c \
	nodeagent/streams/forward.c \
	nodeagent/streams/run.c \
	nodeagent/terminals.c nodeagent/terminals.h \
	nodeagent/streams/server.c nodeagent/streams/server.h \
	nodeagent/streams/session.c nodeagent/streams/session.h nodeagent/streams/session-internal.h \
	nodeagent/streams/stream-protocol.h \
	nodeagent/renew.c \
	nodeagent/renew.h \
	nodeagent/image-care.c \
	nodeagent/image-command.c \
	nodeagent/image-command.h \
	nodeagent/image-pulls.c \
	nodeagent/image-pulls.h \
	nodeagent/pod/image.c \
	nodeagent/pod/roots.c \
	nodeagent/pod/roots.h \
	nodeagent/pod/share-folder.c \
	nodeagent/pod/share-folder.h \
	nodeagent/pod/shares.c \
	nodeagent/pod/shares.h \
	nodeagent/pod/stage.c \
	nodeagent/pod/stage.h \
	nodeagent/pod/usage.c \
	nodeagent/watches.c \
	nodeagent/watches.h \
	nodeagent/runtime/manager-connect.c \
	nodeagent/runtime/manager-connect.h \
	nodeagent/runtime/unit-ask.c \
	nodeagent/runtime/unit-ask.h \
	nodeagent/runtime/units.c \
	nodeagent/pod/users.c \
	nodeagent/pod/users.h \
	nodeagent/pod/volumes.c \
	nodeagent/pod/volumes.h \
	nodeagent/runtime/units-check.c \
	nodeagent/runtime/units-limits.c nodeagent/runtime/units-usage.c
nodist_nodeagent_knodeagent_SOURCES = kapid/kinds/no-effect-table.c
nodeagent_knodeagent_LDADD = nodeagent/libnodeagent.a libproto.a libkeelson.a $(KEELSON_LIBS) $(PROTOBUF_C_LIBS) $(NFTABLES_LIBS) $(NL_LIBS)

check_PROGRAMS += tests/unit/test-pod-to-units tests/unit/test-services-to-nft tests/unit/test-nodeagent \
	tests/unit/test-node-pods tests/unit/test-node-services tests/unit/test-stage
NODEAGENT_TEST_LIBS = nodeagent/libnodeagent.a libproto.a $(TEST_LIBS) $(PROTOBUF_C_LIBS)
check_PROGRAMS += tests/unit/test-unit-properties
check_PROGRAMS += tests/unit/test-adoption
tests_unit_test_adoption_SOURCES = tests/unit/test-adoption.c tests/unit/unit.h
tests_unit_test_adoption_LDADD = $(NODEAGENT_TEST_LIBS)
check_PROGRAMS += tests/unit/test-pod-fields
tests_unit_test_pod_fields_SOURCES = tests/unit/test-pod-fields.c tests/unit/unit.h
tests_unit_test_pod_fields_LDADD = $(NODEAGENT_TEST_LIBS)
check_PROGRAMS += tests/unit/test-dynamic-user
tests_unit_test_dynamic_user_SOURCES = tests/unit/test-dynamic-user.c tests/unit/unit.h
tests_unit_test_dynamic_user_LDADD = $(NODEAGENT_TEST_LIBS)
check_PROGRAMS += tests/unit/test-start-slots
tests_unit_test_start_slots_SOURCES = tests/unit/test-start-slots.c tests/unit/unit.h
tests_unit_test_start_slots_LDADD = $(NODEAGENT_TEST_LIBS)
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
check_SCRIPTS += tests/unit/kpod-exec tests/unit/kpod-namespace tests/unit/kpod-netns
EXTRA_DIST += tests/unit/kpod-exec tests/unit/kpod-namespace tests/unit/kpod-netns tests/golden/pod-to-units tests/golden/services-to-nft
check_PROGRAMS += tests/unit/test-pod-mounts
tests_unit_test_pod_mounts_SOURCES = tests/unit/test-pod-mounts.c tests/unit/unit.h
tests_unit_test_pod_mounts_LDADD = $(NODEAGENT_TEST_LIBS)
check_PROGRAMS += tests/unit/test-pids
tests_unit_test_pids_SOURCES = tests/unit/test-pids.c tests/unit/unit.h
tests_unit_test_pids_LDADD = $(NODEAGENT_TEST_LIBS)
check_PROGRAMS += tests/unit/test-measure
tests_unit_test_measure_SOURCES = tests/unit/test-measure.c tests/unit/unit.h
tests_unit_test_measure_LDADD = $(NODEAGENT_TEST_LIBS)
check_PROGRAMS += tests/unit/test-policies
tests_unit_test_policies_SOURCES = tests/unit/test-policies.c tests/unit/golden.c tests/unit/golden.h tests/unit/unit.h
tests_unit_test_policies_LDADD = $(NODEAGENT_TEST_LIBS)
EXTRA_DIST += tests/golden/network-policy
check_PROGRAMS += tests/unit/test-bandwidth
tests_unit_test_bandwidth_SOURCES = tests/unit/test-bandwidth.c tests/unit/unit.h
tests_unit_test_bandwidth_LDADD = $(NODEAGENT_TEST_LIBS)
check_PROGRAMS += tests/unit/test-dns
tests_unit_test_dns_SOURCES = tests/unit/test-dns.c tests/unit/golden.c tests/unit/golden.h tests/unit/unit.h \
	nodeagent/dns/feed.c nodeagent/dns/feed.h
tests_unit_test_dns_LDADD = $(NODEAGENT_TEST_LIBS)
EXTRA_DIST += tests/golden/dns-records
# The feeder of unbound without an agent, for tests/clients/dns.
noinst_PROGRAMS += tests/clients/dns-feeder
tests_clients_dns_feeder_SOURCES = tests/clients/dns-feeder.c nodeagent/dns/feed.c nodeagent/dns/feed.h \
	nodeagent/dns/sync.c nodeagent/dns/sync.h
tests_clients_dns_feeder_LDADD = nodeagent/libnodeagent.a libkeelson.a $(KEELSON_LIBS)
EXTRA_DIST += tests/clients/dns tests/clients/dns-ask.py
check_PROGRAMS += tests/unit/test-service-health
tests_unit_test_service_health_SOURCES = tests/unit/test-service-health.c tests/unit/loop.h tests/unit/unit.h \
	nodeagent/network/service-health.c nodeagent/network/service-health.h
tests_unit_test_service_health_LDADD = $(NODEAGENT_TEST_LIBS)

# nodeagent/image/: images of registries and archives (docs/images.md). The agent reads the store; everything that
# reads bytes from outside is in keelson-image.
nodeagent_libnodeagent_a_SOURCES += \
	nodeagent/image/cause.c nodeagent/image/cause.h \
	nodeagent/image/challenge.c nodeagent/image/challenge.h \
	nodeagent/image/credentials.c nodeagent/image/credentials.h \
	nodeagent/image/digest.c nodeagent/image/digest.h \
	nodeagent/image/gc.c nodeagent/image/gc.h \
	nodeagent/image/job.c nodeagent/image/job.h \
	nodeagent/image/limits.c nodeagent/image/limits.h \
	nodeagent/image/manifest.c nodeagent/image/manifest.h \
	nodeagent/image/reference.c nodeagent/image/reference.h \
	nodeagent/image/settings.c nodeagent/image/settings.h \
	nodeagent/image/store.c nodeagent/image/store.h nodeagent/image/store-internal.h \
	nodeagent/image/user.c nodeagent/image/user.h
IMAGE_UNPACK_SOURCES = \
	nodeagent/image/beneath.c nodeagent/image/beneath.h \
	nodeagent/image/ingest.c \
	nodeagent/image/tar.c nodeagent/image/tar.h \
	nodeagent/image/tree.c nodeagent/image/tree.h \
	nodeagent/image/unpack.c nodeagent/image/unpack.h
sbin_PROGRAMS += nodeagent/keelson-image
nodeagent_keelson_image_SOURCES = $(IMAGE_UNPACK_SOURCES) \
	nodeagent/image/add.c nodeagent/image/add.h \
	nodeagent/image/archive.c nodeagent/image/archive.h \
	nodeagent/image/child.c nodeagent/image/child.h \
	nodeagent/image/fetch.c nodeagent/image/fetch.h \
	nodeagent/image/import.c \
	nodeagent/image/keelson-image.c \
	nodeagent/image/pull.c \
	nodeagent/image/registry.c nodeagent/image/registry.h nodeagent/image/registry-internal.h \
	nodeagent/image/registry-login.c \
	nodeagent/image/sandbox.c nodeagent/image/sandbox.h
nodeagent_keelson_image_LDADD = nodeagent/libnodeagent.a libkeelson.a $(KEELSON_LIBS) $(ARCHIVE_LIBS) $(SECCOMP_LIBS)
check_PROGRAMS += tests/unit/test-image
tests_unit_test_image_SOURCES = tests/unit/test-image.c tests/unit/unit.h \
	nodeagent/image/beneath.c nodeagent/image/beneath.h
tests_unit_test_image_LDADD = $(NODEAGENT_TEST_LIBS)
check_PROGRAMS += tests/unit/test-image-store
tests_unit_test_image_store_SOURCES = tests/unit/test-image-store.c tests/unit/unit.h $(IMAGE_UNPACK_SOURCES)
tests_unit_test_image_store_LDADD = $(NODEAGENT_TEST_LIBS) $(ARCHIVE_LIBS)
check_PROGRAMS += tests/unit/test-eviction tests/unit/test-grpc-probe tests/unit/test-pod-resources
tests_unit_test_eviction_SOURCES = tests/unit/test-eviction.c tests/unit/unit.h
tests_unit_test_eviction_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_grpc_probe_SOURCES = tests/unit/test-grpc-probe.c tests/unit/loop.h tests/unit/unit.h
tests_unit_test_grpc_probe_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_pod_resources_SOURCES = tests/unit/test-pod-resources.c tests/unit/unit.h
tests_unit_test_pod_resources_LDADD = $(NODEAGENT_TEST_LIBS)
check_PROGRAMS += tests/unit/test-pod-image tests/unit/test-roots
tests_unit_test_pod_image_SOURCES = tests/unit/test-pod-image.c tests/unit/unit.h
tests_unit_test_pod_image_LDADD = $(NODEAGENT_TEST_LIBS)
tests_unit_test_roots_SOURCES = tests/unit/test-roots.c tests/unit/unit.h nodeagent/pod/roots.c nodeagent/pod/roots.h \
	nodeagent/pod/trash.c nodeagent/pod/trash.h
tests_unit_test_roots_LDADD = $(NODEAGENT_TEST_LIBS)
