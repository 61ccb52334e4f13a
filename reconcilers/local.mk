# reconcilers/: its part of the build, included by the top Makefile.am

# kgitd: desired state from Git
sbin_PROGRAMS += reconcilers/kgitd
noinst_LIBRARIES += libgitsync.a
libgitsync_a_SOURCES = \
	reconcilers/gitsync/child.c reconcilers/gitsync/child.h \
	reconcilers/gitsync/contents.c reconcilers/gitsync/contents.h \
	reconcilers/gitsync/decide.c reconcilers/gitsync/decide.h \
	reconcilers/gitsync/decide-lists.c reconcilers/gitsync/run-actions.h \
	reconcilers/gitsync/discovery.c reconcilers/gitsync/discovery.h \
	reconcilers/gitsync/drift.c reconcilers/gitsync/drift.h \
	reconcilers/gitsync/fetch.c reconcilers/gitsync/fetch.h \
	reconcilers/gitsync/identity.c reconcilers/gitsync/identity.h \
	reconcilers/gitsync/inventory.c reconcilers/gitsync/inventory.h \
	reconcilers/gitsync/fetch-confine.c reconcilers/gitsync/fetch-confine.h \
	reconcilers/gitsync/manifest.c reconcilers/gitsync/manifest.h \
	reconcilers/gitsync/mirrors.c reconcilers/gitsync/mirrors.h \
	reconcilers/gitsync/people.c reconcilers/gitsync/people.h \
	reconcilers/gitsync/fetch-progress.c reconcilers/gitsync/fetch-progress.h \
	reconcilers/gitsync/kustomization.c reconcilers/gitsync/kustomization.h \
	reconcilers/gitsync/manifest-text.c reconcilers/gitsync/manifest-text.h \
	reconcilers/gitsync/no-network.c reconcilers/gitsync/no-network.h \
	reconcilers/gitsync/render.c reconcilers/gitsync/render.h \
	reconcilers/gitsync/tree.c reconcilers/gitsync/tree.h \
	reconcilers/gitsync/turns.c reconcilers/gitsync/turns.h \
	reconcilers/gitsync/plan.c reconcilers/gitsync/plan.h \
	reconcilers/gitsync/gitsync.c reconcilers/gitsync/gitsync.h reconcilers/gitsync/gitsync-internal.h \
	reconcilers/gitsync/figures.c reconcilers/gitsync/figures.h \
	reconcilers/gitsync/requests.c reconcilers/gitsync/status.c \
	reconcilers/gitsync/aside.c reconcilers/gitsync/aside.h \
	reconcilers/gitsync/step-apply.c reconcilers/gitsync/step-check.c reconcilers/gitsync/step-drift.c \
	reconcilers/gitsync/step-fetch.c reconcilers/gitsync/step-load.c reconcilers/gitsync/step-prune.c \
	reconcilers/gitsync/step-record.c reconcilers/gitsync/step-resolve.c
reconcilers_kgitd_SOURCES = reconcilers/gitsync/main.c reconcilers/program.c reconcilers/program.h
reconcilers_kgitd_LDADD = libgitsync.a libkeelson.a $(GITSYNC_LIBS) $(KEELSON_LIBS)

check_PROGRAMS += tests/unit/test-gitsync tests/unit/test-confine
tests_unit_test_confine_SOURCES = tests/unit/test-confine.c tests/unit/unit.h
tests_unit_test_confine_LDADD = libgitsync.a $(TEST_LIBS) $(GITSYNC_LIBS)
tests_unit_test_gitsync_SOURCES = tests/unit/test-gitsync.c tests/unit/unit.h
tests_unit_test_gitsync_LDADD = libgitsync.a $(TEST_LIBS) $(GITSYNC_LIBS)
check_PROGRAMS += tests/unit/test-manifest-text
tests_unit_test_manifest_text_SOURCES = tests/unit/test-manifest-text.c tests/unit/unit.h
tests_unit_test_manifest_text_LDADD = libgitsync.a $(TEST_LIBS) $(GITSYNC_LIBS)
check_PROGRAMS += tests/unit/test-turns
tests_unit_test_turns_SOURCES = tests/unit/test-turns.c tests/unit/unit.h
tests_unit_test_turns_LDADD = libgitsync.a $(TEST_LIBS) $(GITSYNC_LIBS)
check_PROGRAMS += tests/unit/test-gitsync-decide
tests_unit_test_gitsync_decide_SOURCES = tests/unit/test-gitsync-decide.c tests/unit/gitsync-commit.h tests/unit/unit.h
tests_unit_test_gitsync_decide_LDADD = libgitsync.a $(TEST_LIBS) $(GITSYNC_LIBS)
check_PROGRAMS += tests/unit/test-gitsync-lists
tests_unit_test_gitsync_lists_SOURCES = tests/unit/test-gitsync-lists.c tests/unit/gitsync-commit.h tests/unit/unit.h
tests_unit_test_gitsync_lists_LDADD = libgitsync.a $(TEST_LIBS) $(GITSYNC_LIBS)
check_PROGRAMS += tests/unit/test-gitsync-run
tests_unit_test_gitsync_run_SOURCES = tests/unit/test-gitsync-run.c tests/unit/fake-api.h tests/unit/loop.h \
	tests/unit/unit.h
tests_unit_test_gitsync_run_LDADD = libgitsync.a $(TEST_LIBS) $(GITSYNC_LIBS)

# kreconciled and kschedd: libreconcile.a is all of them but the wiring
sbin_PROGRAMS += reconcilers/kreconciled reconcilers/kschedd
noinst_LIBRARIES += libreconcile.a
libreconcile_a_SOURCES = \
	reconcilers/autoscaling/autoscaler.c reconcilers/autoscaling/autoscaler.h \
	reconcilers/autoscaling/horizontalpodautoscaler.c reconcilers/autoscaling/horizontalpodautoscaler.h \
	reconcilers/autoscaling/horizontalpodautoscaler-behavior.c reconcilers/autoscaling/horizontalpodautoscaler-metrics.c \
	reconcilers/collector.c reconcilers/collector.h reconcilers/controller.h reconcilers/cluster/clusterrole.c reconcilers/cluster/csr.c \
	reconcilers/workloads/daemonset.c \
	reconcilers/workloads/daemonset-internal.h \
	reconcilers/workloads/daemonset-nodes.c \
	reconcilers/workloads/cronjob.c \
	reconcilers/descheduling/descheduling.c reconcilers/descheduling/descheduling.h reconcilers/descheduling/descheduling-internal.h \
	reconcilers/descheduling/descheduling-decide.c reconcilers/descheduling/descheduling-filter.c reconcilers/descheduling/descheduling-report.c \
	reconcilers/descheduling/descheduling-run.c reconcilers/descheduling/descheduling-strategies.c \
	reconcilers/workloads/disruption.c \
	reconcilers/workloads/ttl.c \
	reconcilers/workloads/deployment.c reconcilers/workloads/deployment-internal.h reconcilers/workloads/deployment-status.c reconcilers/workloads/deployment-strategy.c \
	reconcilers/network/endpoints.c \
	reconcilers/network/endpointslice.c \
	reconcilers/network/endpointslicemirroring.c \
	reconcilers/network/peerslice.c \
	reconcilers/network/slices.c \
	reconcilers/network/slices.h \
	reconcilers/cluster/rootca.c \
	reconcilers/gc.c \
	reconcilers/network/ingress.c \
	reconcilers/ingress/class.c \
	reconcilers/ingress/class.h \
	reconcilers/graph.c \
	reconcilers/graph.h \
	reconcilers/workloads/job.c \
	reconcilers/workloads/history.c \
	reconcilers/workloads/history.h \
	reconcilers/workloads/job-internal.h \
	reconcilers/workloads/job-policy.c \
	reconcilers/workloads/job-pods.c \
	reconcilers/workloads/job-view.c \
	reconcilers/network/loadbalancer.c \
	reconcilers/network/loadbalancer-internal.h \
	reconcilers/network/loadbalancer-nodes.c \
	reconcilers/network/loadbalancer-view.c \
	reconcilers/jsondiff.c reconcilers/jsondiff.h reconcilers/manager.c reconcilers/manager.h \
	reconcilers/cluster/namespace.c reconcilers/cluster/node.c reconcilers/cluster/podcidr.c reconcilers/cluster/podcidr.h reconcilers/cluster/podgc.c reconcilers/pods.c reconcilers/pods.h \
	reconcilers/workloads/replicas.c reconcilers/workloads/replicas.h reconcilers/workloads/replicaset.c reconcilers/workloads/replicationcontroller.c \
	reconcilers/workloads/statefulset.c reconcilers/workloads/statefulset-claims.c reconcilers/workloads/statefulset-internal.h reconcilers/workloads/statefulset-pods.c \
	reconcilers/runner.c reconcilers/runner.h \
	reconcilers/schedule.c reconcilers/schedule.h \
	reconcilers/cluster/serviceaccount.c \
	reconcilers/wake.c \
	reconcilers/wake.h \
	reconcilers/storage/claimprotection.c \
	reconcilers/storage/ephemeralclaim.c \
	reconcilers/storage/match.c \
	reconcilers/storage/provision.c \
	reconcilers/storage/provision-nfs.c \
	reconcilers/storage/storage.h \
	reconcilers/storage/volume.c \
	reconcilers/storage/volumeclaim.c \
	reconcilers/storage/volumeprotection.c \
	reconcilers/cluster/resourcequota.c \
	reconcilers/tables.h reconcilers/world.c reconcilers/world.h
reconcilers_kreconciled_SOURCES = reconcilers/kreconciled.c reconcilers/program.c reconcilers/program.h reconcilers/signing.c reconcilers/signing.h
check_PROGRAMS += tests/unit/test-jsondiff
tests_unit_test_jsondiff_SOURCES = tests/unit/test-jsondiff.c tests/unit/unit.h
tests_unit_test_jsondiff_LDADD = libreconcile.a $(TEST_LIBS)
reconcilers_kreconciled_LDADD = libreconcile.a libsched.a libkeelson.a $(KEELSON_LIBS)
# The scheduler's driver: queue, watches, bindings (its pure half is lib/sched/)
libreconcile_a_SOURCES += \
	reconcilers/sched/bind.c reconcilers/sched/claims.c reconcilers/sched/internal.h reconcilers/sched/metrics.c reconcilers/sched/queue.c reconcilers/sched/queue.h \
	reconcilers/sched/report.c reconcilers/sched/scheduler.c reconcilers/sched/scheduler.h reconcilers/sched/watch.c \
	reconcilers/sched/write.c
reconcilers_kschedd_SOURCES = reconcilers/sched/kschedd.c reconcilers/program.c reconcilers/program.h
reconcilers_kschedd_LDADD = libreconcile.a libsched.a libkeelson.a $(KEELSON_LIBS)
check_PROGRAMS += tests/unit/test-sched-queue
tests_unit_test_sched_queue_SOURCES = tests/unit/test-sched-queue.c tests/unit/unit.h
tests_unit_test_sched_queue_LDADD = libreconcile.a $(TEST_LIBS)

check_PROGRAMS += tests/unit/test-replicas tests/unit/test-nodes tests/unit/test-jobs tests/unit/test-loops tests/unit/test-rollouts
tests_unit_test_replicas_SOURCES = tests/unit/test-replicas.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_replicas_LDADD = libreconcile.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-endpoints
tests_unit_test_endpoints_SOURCES = tests/unit/test-endpoints.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_endpoints_LDADD = libreconcile.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-peerslice
tests_unit_test_peerslice_SOURCES = tests/unit/test-peerslice.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_peerslice_LDADD = libreconcile.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-resourcequota
tests_unit_test_resourcequota_SOURCES = tests/unit/test-resourcequota.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_resourcequota_LDADD = libreconcile.a $(TEST_LIBS)
tests_unit_test_nodes_SOURCES = tests/unit/test-nodes.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_nodes_LDADD = libreconcile.a $(TEST_LIBS)
tests_unit_test_jobs_SOURCES = tests/unit/test-jobs.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_jobs_LDADD = libreconcile.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-batch
tests_unit_test_batch_SOURCES = tests/unit/test-batch.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_batch_LDADD = libreconcile.a $(TEST_LIBS)
tests_unit_test_loops_SOURCES = tests/unit/test-loops.c tests/unit/fake-api.h tests/unit/loop.h tests/unit/unit.h
tests_unit_test_loops_LDADD = libreconcile.a libsched.a $(TEST_LIBS)
tests_unit_test_rollouts_SOURCES = tests/unit/test-rollouts.c tests/unit/simulation.h tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_rollouts_LDADD = libreconcile.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-history tests/unit/test-daemonset tests/unit/test-statefulset tests/unit/test-storage
check_PROGRAMS += tests/unit/test-rollouts-numbered
tests_unit_test_rollouts_numbered_SOURCES = tests/unit/test-rollouts-numbered.c tests/unit/simulation.h tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_rollouts_numbered_LDADD = libreconcile.a $(TEST_LIBS)
tests_unit_test_history_SOURCES = tests/unit/test-history.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_history_LDADD = libreconcile.a $(TEST_LIBS)
tests_unit_test_daemonset_SOURCES = tests/unit/test-daemonset.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_daemonset_LDADD = libreconcile.a $(TEST_LIBS)
tests_unit_test_statefulset_SOURCES = tests/unit/test-statefulset.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_statefulset_LDADD = libreconcile.a $(TEST_LIBS)
tests_unit_test_storage_SOURCES = tests/unit/test-storage.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_storage_LDADD = libreconcile.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-autoscaling
tests_unit_test_autoscaling_SOURCES = tests/unit/test-autoscaling.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_autoscaling_LDADD = libreconcile.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-loadbalancer
tests_unit_test_loadbalancer_SOURCES = tests/unit/test-loadbalancer.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_loadbalancer_LDADD = libreconcile.a nodeagent/libnodeagent.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-descheduling
tests_unit_test_descheduling_SOURCES = tests/unit/test-descheduling.c tests/unit/fake-world.h tests/unit/yaml-object.h tests/unit/unit.h
tests_unit_test_descheduling_LDADD = libreconcile.a libsched.a $(TEST_LIBS)

# `make bench-deschedule`: a run's decisions alone. DESCHEDULE='NODES PODS' for other sizes.
noinst_PROGRAMS += bench/deschedule
bench_deschedule_SOURCES = bench/deschedule.c
bench_deschedule_LDADD = libreconcile.a libsched.a libkeelson.a $(KEELSON_LIBS)
.PHONY: bench-deschedule
bench-deschedule: bench/deschedule
	bench/deschedule $(DESCHEDULE)
