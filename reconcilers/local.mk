# reconcilers/: its part of the build, included by the top Makefile.am

# kgitd: desired state from Git
sbin_PROGRAMS += reconcilers/kgitd
noinst_LIBRARIES += libgitsync.a
libgitsync_a_SOURCES = \
	reconcilers/gitsync/child.c reconcilers/gitsync/child.h \
	reconcilers/gitsync/discovery.c reconcilers/gitsync/discovery.h \
	reconcilers/gitsync/drift.c reconcilers/gitsync/drift.h \
	reconcilers/gitsync/fetch.c reconcilers/gitsync/fetch.h \
	reconcilers/gitsync/manifest.c reconcilers/gitsync/manifest.h \
	reconcilers/gitsync/plan.c reconcilers/gitsync/plan.h \
	reconcilers/gitsync/sync.c reconcilers/gitsync/sync.h reconcilers/gitsync/sync-internal.h \
	reconcilers/gitsync/sync-apply.c reconcilers/gitsync/sync-fetch.c reconcilers/gitsync/sync-status.c
reconcilers_kgitd_SOURCES = reconcilers/gitsync/main.c
reconcilers_kgitd_LDADD = libgitsync.a libkeelson.a $(GIT2_LIBS) $(KEELSON_LIBS)

check_PROGRAMS += tests/unit/test-gitsync
tests_unit_test_gitsync_SOURCES = tests/unit/test-gitsync.c tests/unit/unit.h
tests_unit_test_gitsync_LDADD = libgitsync.a $(TEST_LIBS) $(GIT2_LIBS)
