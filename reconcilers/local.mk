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
	reconcilers/gitsync/requests.c reconcilers/gitsync/status.c \
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
	reconcilers/collector.c reconcilers/collector.h reconcilers/controller.h reconcilers/clusterrole.c reconcilers/csr.c \
	reconcilers/deployment.c reconcilers/deployment-internal.h reconcilers/deployment-status.c reconcilers/deployment-strategy.c \
	reconcilers/endpointslice.c \
	reconcilers/gc.c reconcilers/graph.c reconcilers/graph.h reconcilers/job.c \
	reconcilers/jsondiff.c reconcilers/jsondiff.h reconcilers/manager.c reconcilers/manager.h \
	reconcilers/namespace.c reconcilers/node.c reconcilers/podcidr.c reconcilers/podcidr.h reconcilers/podgc.c reconcilers/pods.c reconcilers/pods.h \
	reconcilers/replicaset.c reconcilers/runner.c reconcilers/runner.h \
	reconcilers/sched-affinity.c reconcilers/sched-choice.c reconcilers/sched-cluster.c reconcilers/sched-plugins.c \
	reconcilers/sched-internal.h reconcilers/scheduler.c reconcilers/scheduler.h \
	reconcilers/resourcequota.c reconcilers/serviceaccount.c reconcilers/wake.c reconcilers/wake.h \
	reconcilers/tables.h reconcilers/world.c reconcilers/world.h
reconcilers_kreconciled_SOURCES = reconcilers/kreconciled.c reconcilers/program.c reconcilers/program.h
reconcilers_kreconciled_LDADD = libreconcile.a libkeelson.a $(KEELSON_LIBS)
reconcilers_kschedd_SOURCES = reconcilers/kschedd.c reconcilers/program.c reconcilers/program.h
reconcilers_kschedd_LDADD = libreconcile.a libkeelson.a $(KEELSON_LIBS)

check_PROGRAMS += tests/unit/test-replicas tests/unit/test-nodes tests/unit/test-jobs tests/unit/test-sched tests/unit/test-loops tests/unit/test-rollouts
tests_unit_test_replicas_SOURCES = tests/unit/test-replicas.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_replicas_LDADD = libreconcile.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-resourcequota
tests_unit_test_resourcequota_SOURCES = tests/unit/test-resourcequota.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_resourcequota_LDADD = libreconcile.a $(TEST_LIBS)
tests_unit_test_nodes_SOURCES = tests/unit/test-nodes.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_nodes_LDADD = libreconcile.a $(TEST_LIBS)
tests_unit_test_jobs_SOURCES = tests/unit/test-jobs.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_jobs_LDADD = libreconcile.a $(TEST_LIBS)
tests_unit_test_sched_SOURCES = tests/unit/test-sched.c tests/unit/unit.h
tests_unit_test_sched_LDADD = libreconcile.a $(TEST_LIBS)
tests_unit_test_loops_SOURCES = tests/unit/test-loops.c tests/unit/fake-api.h tests/unit/loop.h tests/unit/unit.h
tests_unit_test_loops_LDADD = libreconcile.a $(TEST_LIBS)
tests_unit_test_rollouts_SOURCES = tests/unit/test-rollouts.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_rollouts_LDADD = libreconcile.a $(TEST_LIBS)
$(libreconcile_a_OBJECTS): $(KIND_IDS)
$(libgitsync_a_OBJECTS): $(KIND_IDS)
$(reconcilers_kgitd_OBJECTS): $(KIND_IDS)
$(reconcilers_kreconciled_OBJECTS): $(KIND_IDS)
$(reconcilers_kschedd_OBJECTS): $(KIND_IDS)
