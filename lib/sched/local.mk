# lib/sched/: the pure half of the scheduler, for kschedd and kctl
noinst_LIBRARIES += libsched.a
libsched_a_SOURCES = \
	lib/sched/cluster.c \
	lib/sched/decide.c \
	lib/sched/explain.c \
	lib/sched/internal.h \
	lib/sched/move.c \
	lib/sched/node.c \
	lib/sched/node-filter.c \
	lib/sched/plugin-interpod.c \
	lib/sched/plugin-node.c \
	lib/sched/plugin-resources.c \
	lib/sched/plugins.c \
	lib/sched/plugin-spread.c \
	lib/sched/pod-terms.c \
	lib/sched/preempt.c \
	lib/sched/profile.c \
	lib/sched/reasons.c \
	lib/sched/sched.h \
	lib/sched/shape.c \
	lib/sched/terms.c \
	lib/sched/volumes.c \
	lib/sched/volumes.h

check_PROGRAMS += tests/unit/test-sched tests/unit/test-sched-terms tests/unit/test-sched-preempt
tests_unit_test_sched_SOURCES = tests/unit/test-sched.c tests/unit/sched.h tests/unit/yaml-object.h tests/unit/unit.h
tests_unit_test_sched_LDADD = libsched.a $(TEST_LIBS)
tests_unit_test_sched_terms_SOURCES = tests/unit/test-sched-terms.c tests/unit/sched.h tests/unit/yaml-object.h tests/unit/unit.h
tests_unit_test_sched_terms_LDADD = libsched.a $(TEST_LIBS)
tests_unit_test_sched_preempt_SOURCES = tests/unit/test-sched-preempt.c tests/unit/sched.h tests/unit/yaml-object.h tests/unit/unit.h
tests_unit_test_sched_preempt_LDADD = libsched.a $(TEST_LIBS)

# `make bench-sched`: the core alone. SCHED='NODES RUNNING PENDING' for other sizes.
noinst_PROGRAMS += bench/sched
bench_sched_SOURCES = bench/sched.c
bench_sched_LDADD = libsched.a libkeelson.a $(KEELSON_LIBS)
.PHONY: bench-sched
bench-sched: bench/sched
	bench/sched $(SCHED)
