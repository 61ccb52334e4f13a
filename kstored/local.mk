# kstored/: the store
kstored_raft_sources = \
	kstored/raft/config.c kstored/raft/contradict.c kstored/raft/internal.h kstored/raft/log.c kstored/raft/progress.c kstored/raft/raft.c \
	kstored/raft/raft.h kstored/raft/read.c kstored/raft/recv-append.c kstored/raft/recv-append-reply.c \
	kstored/raft/recv-heartbeat.c kstored/raft/recv-heartbeat-reply.c kstored/raft/recv-propose.c \
	kstored/raft/recv-read-index.c kstored/raft/recv-read-index-reply.c kstored/raft/recv-snapshot.c \
	kstored/raft/recv-snapshot-status.c kstored/raft/recv-timeout-now.c kstored/raft/recv-transfer.c \
	kstored/raft/recv-vote.c kstored/raft/recv-vote-reply.c kstored/raft/replicate.c kstored/raft/role.c \
	kstored/raft/send.c kstored/raft/step.c

# Files without disk, clock, thread or socket: the simulator has them, too (tests/local.mk).
kstored_pure_sources = $(kstored_raft_sources) kstored/raft/bugs.h \
	kstored/disk/checksum.c kstored/disk/checksum.h kstored/state/command.h kstored/server/corrupt-judge.c kstored/server/corrupt-judge.h \
	kstored/disk/damage.c kstored/disk/damage.h kstored/disk/batch.c kstored/disk/disk.h kstored/errors.c kstored/errors.h \
	kstored/server/first-life-judge.c kstored/server/first-life-judge.h kstored/mvcc/index.c kstored/mvcc/index.h kstored/state/kv-check.c \
	kstored/state/kv.c kstored/state/kv.h kstored/mvcc/lease.c kstored/mvcc/lease.h kstored/mvcc/compact.c kstored/mvcc/internal.h \
	kstored/mvcc/mvcc.c kstored/mvcc/mvcc.h kstored/replica/peer-wire.c kstored/replica/peer-wire.h kstored/replica/contradict.c \
	kstored/replica/heard.c kstored/replica/members.c kstored/replica/start.c kstored/replica/replica.c kstored/replica/replica.h \
	kstored/state/answer.c kstored/state/answer.h kstored/mvcc/range-read.c kstored/mvcc/range-read.h \
	kstored/mvcc/row.c kstored/mvcc/row.h kstored/mvcc/slab.c kstored/mvcc/slab.h kstored/state/internal.h kstored/state/members.c \
	kstored/state/state.c kstored/state/state.h kstored/mvcc/watch.c kstored/mvcc/watch.h kstored/wal/block.c kstored/wal/block.h kstored/wal/files.h \
	kstored/wal/internal.h kstored/wal/open.c kstored/wal/wal.c kstored/wal/wal.h kstored/state/wire.c kstored/state/wire.h

# Everything but the program's own frame, for it and for tests.
noinst_LIBRARIES += libkstored.a
libkstored_a_SOURCES = $(kstored_pure_sources) \
	kstored/backup/internal.h kstored/backup/restore.c kstored/backup/backup.c kstored/backup/backup.h \
	kstored/disk/backup.c kstored/disk/hash.c kstored/disk/internal.h kstored/disk/read.c \
	kstored/disk/scrub.c kstored/disk/snapshot.c kstored/disk/sum.c kstored/disk/upgrade.c \
	kstored/disk/write.c kstored/disk/disk.c kstored/wal/files.c

sbin_PROGRAMS += kstored/kstored
kstored_kstored_SOURCES = \
	kstored/backup/offline.c \
	kstored/backup/offline.h \
	kstored/backup/replace-data.c \
	kstored/backup/replace-data.h \
	kstored/backup/replace-survey.c \
	kstored/backup/replace-survey.h \
	kstored/backup/replace.c \
	kstored/backup/replace.h \
	kstored/main.c \
	kstored/server/auto-tls.c \
	kstored/server/auto-tls.h \
	kstored/server/autocompact.c \
	kstored/server/autocompact.h \
	kstored/server/corrupt.c \
	kstored/server/corrupt.h \
	kstored/server/drive.c \
	kstored/server/drive.h \
	kstored/server/first-life.c \
	kstored/server/first-life.h \
	kstored/server/identity.c \
	kstored/server/identity.h \
	kstored/server/join.c \
	kstored/server/join.h \
	kstored/server/links.c \
	kstored/server/links.h \
	kstored/server/listen.c \
	kstored/server/listen.h \
	kstored/server/memory.c \
	kstored/server/memory.h \
	kstored/server/metrics.c \
	kstored/server/metrics.h \
	kstored/server/options.c \
	kstored/server/options.h \
	kstored/server/parts.c \
	kstored/server/parts.h \
	kstored/server/peers.c \
	kstored/server/peers.h \
	kstored/server/publish.c \
	kstored/server/publish.h \
	kstored/server/quota.c \
	kstored/server/quota.h \
	kstored/server/scrub.c \
	kstored/server/scrub.h \
	kstored/server/server.c \
	kstored/server/server.h \
	kstored/server/start.c \
	kstored/service/answers.c \
	kstored/service/answers.h \
	kstored/service/cluster.c \
	kstored/service/cluster.h \
	kstored/service/forward.c \
	kstored/service/forward.h \
	kstored/service/hash.c \
	kstored/service/hash.h \
	kstored/service/health.c \
	kstored/service/health.h \
	kstored/service/keepalive.c \
	kstored/service/keepalive.h \
	kstored/service/kv.c \
	kstored/service/kv.h \
	kstored/service/lease.c \
	kstored/service/lease.h \
	kstored/service/maintenance.c \
	kstored/service/maintenance.h \
	kstored/service/move-leader.c \
	kstored/service/move-leader.h \
	kstored/service/peer.c \
	kstored/service/peer.h \
	kstored/service/reads.c \
	kstored/service/reads.h \
	kstored/service/reply.c \
	kstored/service/reply.h \
	kstored/service/requests.c \
	kstored/service/requests.h \
	kstored/service/require-leader.c \
	kstored/service/require-leader.h \
	kstored/service/services.c \
	kstored/service/services.h \
	kstored/service/snapshot.c \
	kstored/service/snapshot.h \
	kstored/service/watch.c \
	kstored/service/watch.h \
	kstored/service/web.c \
	kstored/service/web.h \
	kstored/snapshot/receive.c \
	kstored/snapshot/receive.h \
	kstored/snapshot/send.c \
	kstored/snapshot/send.h \
	kstored/snapshot/state-file.c \
	kstored/snapshot/state-file.h
KSTORED_LIBS = libkstored.a libproto.a libkeelson.a $(SQLITE_LIBS) $(PROTOBUF_C_LIBS) $(KEELSON_LIBS)
kstored_kstored_LDADD = $(KSTORED_LIBS)

check_PROGRAMS += tests/unit/test-raft
tests_unit_test_raft_SOURCES = tests/unit/raft-cluster.c tests/unit/raft-cluster.h tests/unit/test-raft.c tests/unit/unit.h
tests_unit_test_raft_LDADD = libkstored.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-raft-step
tests_unit_test_raft_step_SOURCES = tests/unit/raft-cluster.c tests/unit/raft-cluster.h tests/unit/test-raft-step.c tests/unit/unit.h
tests_unit_test_raft_step_LDADD = libkstored.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-raft-contradict
tests_unit_test_raft_contradict_SOURCES = tests/unit/raft-cluster.c tests/unit/raft-cluster.h tests/unit/test-raft-contradict.c tests/unit/unit.h
tests_unit_test_raft_contradict_LDADD = libkstored.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-corrupt-judge
tests_unit_test_corrupt_judge_SOURCES = tests/unit/test-corrupt-judge.c tests/unit/unit.h
tests_unit_test_corrupt_judge_LDADD = libkstored.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-first-life
tests_unit_test_first_life_SOURCES = tests/unit/test-first-life.c tests/unit/unit.h
tests_unit_test_first_life_LDADD = libkstored.a libproto.a $(SQLITE_LIBS) $(PROTOBUF_C_LIBS) $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-mvcc
tests_unit_test_mvcc_SOURCES = tests/unit/mvcc-fixture.c tests/unit/mvcc-fixture.h tests/unit/test-mvcc.c tests/unit/unit.h
tests_unit_test_mvcc_LDADD = libkstored.a libproto.a $(PROTOBUF_C_LIBS) $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-answers
tests_unit_test_answers_SOURCES = tests/unit/mvcc-fixture.c tests/unit/mvcc-fixture.h tests/unit/test-answers.c tests/unit/unit.h
tests_unit_test_answers_LDADD = libkstored.a libproto.a $(PROTOBUF_C_LIBS) $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-watch
tests_unit_test_watch_SOURCES = tests/unit/mvcc-fixture.c tests/unit/mvcc-fixture.h tests/unit/test-watch.c tests/unit/unit.h
tests_unit_test_watch_LDADD = libkstored.a libproto.a $(PROTOBUF_C_LIBS) $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-disk
tests_unit_test_disk_SOURCES = tests/unit/test-disk.c tests/unit/unit.h
tests_unit_test_disk_LDADD = libkstored.a libproto.a $(SQLITE_LIBS) $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-disk-sum
tests_unit_test_disk_sum_SOURCES = tests/unit/disk-format-1.c tests/unit/disk-format-1.h tests/unit/test-disk-sum.c tests/unit/unit.h
tests_unit_test_disk_sum_LDADD = libkstored.a libproto.a $(SQLITE_LIBS) $(PROTOBUF_C_LIBS) $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-wal
tests_unit_test_wal_SOURCES = tests/unit/test-wal.c tests/unit/unit.h tests/unit/wal-fixture.c tests/unit/wal-fixture.h
tests_unit_test_wal_LDADD = libkstored.a libproto.a $(SQLITE_LIBS) $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-backup
tests_unit_test_backup_SOURCES = tests/unit/disk-format-1.c tests/unit/disk-format-1.h tests/unit/test-backup.c tests/unit/unit.h
tests_unit_test_backup_LDADD = libkstored.a libproto.a $(SQLITE_LIBS) $(PROTOBUF_C_LIBS) $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-peer-wire
tests_unit_test_peer_wire_SOURCES = tests/unit/test-peer-wire.c tests/unit/unit.h
tests_unit_test_peer_wire_LDADD = libkstored.a libproto.a $(PROTOBUF_C_LIBS) $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-replica
tests_unit_test_replica_SOURCES = tests/unit/disk-format-1.c tests/unit/disk-format-1.h tests/unit/test-replica.c tests/unit/unit.h
tests_unit_test_replica_LDADD = libkstored.a libproto.a $(SQLITE_LIBS) $(PROTOBUF_C_LIBS) $(TEST_LIBS)
