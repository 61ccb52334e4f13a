# kctl/: the command line; verbs apart from main.c, so that tests can link them
bin_PROGRAMS += kctl/kctl
noinst_LIBRARIES += libkctl.a
libkctl_a_CPPFLAGS = $(AM_CPPFLAGS) -DKEELSON_LIBEXECDIR='"$(libexecdir)"' -DKEELSON_SBINDIR='"$(sbindir)"'
libkctl_a_SOURCES = \
	kctl/apply.c kctl/backup.c kctl/cluster.c kctl/cluster.h kctl/completion.c kctl/configs.c kctl/configs.h kctl/delete.c kctl/describe.c kctl/dev.c \
	kctl/discover.c kctl/drain.c kctl/flags.c kctl/get.c kctl/join.c kctl/kctl.h kctl/kinds.c \
	kctl/kubeconfig-write.c kctl/logs.c kctl/machine.c kctl/machine.h kctl/manifests.c kctl/metadata.c kctl/output.c kctl/print.c \
	kctl/restore.c kctl/rollout.c kctl/scale.c kctl/store.c kctl/store.h kctl/sync.c kctl/taint.c kctl/targets.c kctl/up.c kctl/wait.c
kctl_kctl_SOURCES = kctl/main.c
kctl_kctl_LDADD = libkctl.a libproto.a libkeelson.a $(PROTOBUF_C_LIBS) $(KEELSON_LIBS)
$(libkctl_a_OBJECTS): $(PROTO_H)

check_PROGRAMS += tests/unit/test-kctl
tests_unit_test_kctl_SOURCES = tests/unit/test-kctl.c tests/unit/unit.h
tests_unit_test_kctl_LDADD = libkctl.a $(TEST_LIBS)
$(libkctl_a_OBJECTS): $(KIND_IDS)
