# tests/: the tests that are no C programs; unit tests are registered beside what they test
check_SCRIPTS += tests/layers tests/tidy tests/scripts tests/packages tests/docs
EXTRA_DIST += tests/names.pl
EXTRA_DIST += quickstart .ci/run tests/setup.sh tests/layers tests/tidy tests/scripts tests/packages tests/docs tests/other-release \
	tests/lab/lab tests/lab/lab-layer tests/lab/lab-machine tests/lab/lab-root tests/lab/root.sh \
	tests/lab/pick \
	tests/lab/ask.pl \
	tests/lab/tap.sh \
	tests/lab/verbs \
	tests/lab/fleet \
	tests/lab/join \
	tests/lab/ipv6 \
	tests/lab/ha \
	tests/lab/disaster \
	tests/lab/many tests/lab/packages tests/lab/quickstart \
	tests/node/run \
	tests/node/case \
	tests/node/functions.sh \
	tests/node/needs.sh \
	tests/node/README.md \
	tests/node/clock.c \
	tests/node/cases \
	tests/node/network-policy.sh \
	tests/lab/story \
	tests/lab/stories/autoscaling \
	tests/lab/stories/loadbalancer \
	tests/lab/stories/ingress \
	tests/lab/stories/descheduling \
	tests/lab/stories/storage \
	tests/lab/stories/certs \
	tests/lab/stories/cronjob \
	tests/lab/stories/drain \
	tests/lab/stories/people \
	tests/lab/stories/preemption \
	tests/lab/stories/monitoring \
	tests/lab/stories/workloads \
	tests/clients/tap.sh tests/clients/boundaries tests/clients/boundaries.py tests/clients/gitsync tests/clients/backup tests/clients/backup-members tests/clients/kapid-on-etcd tests/clients/two-kapids tests/clients/encryption tests/clients/kctl \
	tests/clients/kapid-floods tests/clients/kapid-floods.py tests/clients/kstored-badinput tests/clients/kstored-badinput.py tests/clients/kstored-faults \
	tests/clients/controllers \
	tests/clients/policies \
	tests/clients/images \
	tests/clients/images.py \
	tests/clients/ingress \
	tests/clients/network-policy \
	tests/clients/ingress-server.py \
	tests/clients/apps \
	tests/clients/certs \
	tests/clients/descheduling \
	tests/clients/fake-nodes.py \
	tests/clients/flows \
	tests/clients/helm \
	tests/clients/proxied.py tests/clients/proxies.sh tests/clients/proxy-servers.py \
	tests/clients/streams tests/clients/stream-agent.py tests/clients/stream-terminal.py \
	tests/clients/charts \
	tests/clients/node \
	tests/clients/node-client/kinds.mjs \
	tests/clients/node-client/package.json \
	tests/clients/node-client/package-lock.json \
	tests/clients/gitsync-sources \
	tests/clients/disk-faults.c \
	tests/clients/kubectl \
	tests/clients/verbs \
	tests/clients/verbs.cases \
	tests/golden/verbs/kctl.txt \
	tests/golden/verbs/kubectl.txt \
	tests/clients/wire \
	tests/clients/wire.py \
	tests/clients/wireclient.py \
	tests/clients/others.py \
	tests/clients/wirelists.py \
	tests/clients/wireproto.py \
	tests/clients/wireevents.py tests/clients/wirestreams.py \
	tests/clients/autoscaling \
	tests/clients/autoscaling.py \
	tests/clients/batch \
	tests/clients/definitions \
	tests/clients/definitions.py \
	tests/clients/scheduler \
	tests/clients/scheduler.py \
	tests/clients/python \
	tests/clients/python.py \
	tests/clients/etcdctl \
	tests/clients/etcdctl-beside-etcd \
	tests/clients/dual-stack \
	tests/clients/loadbalancer \
	tests/clients/storage \
	tests/clients/pod-resources \
	tests/clients/people tests/clients/people.py tests/clients/git-https.py \
	tests/clients/quota \
	tests/clients/aggregation tests/clients/aggregation.py \
	tests/clients/webhooks tests/clients/webhooks.py \
	tests/clients/packages \
	tests/clients/quota.py \
	tests/clients/corpus \
	tests/corpus \
	tests/clients/old-versions \
	tests/clients/kstored-durability tests/clients/kstored-grows tests/clients/kstored-members \
	tests/clients/kstored-replace tests/clients/cluster.sh tests/clients/kstored-chaos tests/clients/kstored-web \
	tests/clients/kstored-web.py tests/clients/limits-beside-etcd tests/clients/kstored-big-reads \
	tests/clients/kstored-big-reads.py tests/clients/kstored-flips tests/clients/kstored-flips.py \
	tests/clients/grpc-beside-etcd tests/clients/cluster-beside-etcd tests/clients/beside/three.py tests/clients/beside.sh tests/clients/beside/main.py tests/clients/beside/harness.py \
	tests/clients/beside/bulk.py tests/clients/beside/kv.py tests/clients/beside/txn.py tests/clients/beside/lease.py tests/clients/beside/watch.py \
	tests/clients/beside/cluster.py tests/clients/beside/wire.py tests/clients/beside/frames.py tests/clients/beside/generated.py
# "check" is a target of make's: as a file of EXTRA_DIST it would be run.
dist-hook:
	cp -p $(top_srcdir)/check $(distdir)/check

# Whether a history could have happened one operation at a time: for the simulator and for real members.
noinst_LIBRARIES += liblinear.a
liblinear_a_SOURCES = tests/sim/linear.c tests/sim/linear.h tests/sim/linear-history.c
check_PROGRAMS += tests/unit/test-linear
tests_unit_test_linear_SOURCES = tests/unit/test-linear.c tests/unit/unit.h
tests_unit_test_linear_LDADD = liblinear.a $(TEST_LIBS)

# Members killed, paused and cut off under load: run by tests/clients/kstored-chaos, not by `make check`.
noinst_PROGRAMS += tests/chaos/kstored-chaos
tests_chaos_kstored_chaos_SOURCES = tests/chaos/chaos.h tests/chaos/cluster.c tests/chaos/judge.c \
	tests/chaos/leases.c tests/chaos/load.c tests/chaos/main.c tests/chaos/nemesis.c tests/chaos/proxy.c \
	tests/chaos/rpc.c tests/chaos/watch.c
tests_chaos_kstored_chaos_LDADD = liblinear.a libproto.a $(PROTOBUF_C_LIBS) $(TEST_LIBS)

# Changes a value where no checksum shows it: for tests/clients/kstored-members.
noinst_PROGRAMS += tests/clients/forge
tests_clients_forge_SOURCES = tests/clients/forge.c
tests_clients_forge_LDADD = libkstored.a libproto.a $(SQLITE_LIBS) $(PROTOBUF_C_LIBS) $(TEST_LIBS)

# Writers and watchers that move between API servers, for tests/clients/two-kapids.
noinst_PROGRAMS += tests/clients/mover
tests_clients_mover_SOURCES = tests/clients/mover.c
tests_clients_mover_LDADD = $(TEST_LIBS)

# The store's real code in simulated worlds, with places where bugs can be planted: kstored/raft/bugs.h.
noinst_PROGRAMS += tests/sim/kstored-sim
tests_sim_kstored_sim_SOURCES = tests/sim/checks.c tests/sim/clients.c tests/sim/disk.c tests/sim/faults.c tests/sim/files.c tests/sim/forget.c tests/sim/fresh.c \
	tests/sim/main.c tests/sim/members.c tests/sim/network.c tests/sim/node.c tests/sim/sim.h \
	tests/sim/snapshot.c tests/sim/story.c tests/sim/tenants.c tests/sim/watchers.c tests/sim/world.c \
	$(kstored_pure_sources)
tests_sim_kstored_sim_CPPFLAGS = $(AM_CPPFLAGS) -DKSTORED_BUGS
tests_sim_kstored_sim_CFLAGS = $(AM_CFLAGS) -O2
tests_sim_kstored_sim_LDADD = liblinear.a libproto.a $(PROTOBUF_C_LIBS) $(TEST_LIBS)

# `make sim-long SECONDS=600`: as many worlds as the time allows, from a seed of its own each time.
.PHONY: sim-long
sim-long: tests/sim/kstored-sim
	tests/sim/kstored-sim "$${SEED:-$$(date +%s)000000}" --seconds $(if $(SECONDS),$(SECONDS),600)
EXTRA_DIST += tests/sim/run

# `make flip-long SECONDS=3600`: changes of a member's files as many as the time allows, from a seed of its own each time.
.PHONY: flip-long
flip-long: kstored/kstored
	KEELSON_BUILDDIR='$(abs_top_builddir)' $(top_srcdir)/tests/clients/kstored-flips $(if $(SECONDS),$(SECONDS),3600) 100000000 "$${SEED:-$$(date +%s)000000}"
# Parsers of bytes from outside: their seeds are replayed with the unit tests; `make fuzz SECONDS=N` looks for more.
FUZZ_SOURCES = tests/fuzz/fuzz.h tests/fuzz/targets.c
FUZZ_LIBS = libkapid_api.a libkapid_core.a $(PCRE2_LIBS) libgitsync.a nodeagent/libnodeagent.a libkstored.a libproto.a libkeelson.a \
	$(SQLITE_LIBS) $(GITSYNC_LIBS) $(PROTOBUF_C_LIBS) $(KEELSON_LIBS)
check_PROGRAMS += tests/fuzz/replay
tests_fuzz_replay_SOURCES = tests/fuzz/replay.c tests/unit/dice.h $(FUZZ_SOURCES)
tests_fuzz_replay_LDADD = $(FUZZ_LIBS)
EXTRA_PROGRAMS += tests/fuzz/fuzz
tests_fuzz_fuzz_SOURCES = tests/fuzz/libfuzzer.c $(FUZZ_SOURCES)
tests_fuzz_fuzz_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_LDFLAGS = -fsanitize=fuzzer
EXTRA_DIST += tests/fuzz/run tests/fuzz/corpus
fuzz:
	$(top_srcdir)/tests/fuzz/run $(if $(SECONDS),$(SECONDS),300) $(TARGETS)
.PHONY: fuzz
check_SCRIPTS += tests/kinds
EXTRA_DIST += tests/kinds
