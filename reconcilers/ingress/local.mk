# reconcilers/ingress/: kingressd, included by the top Makefile.am
sbin_PROGRAMS += reconcilers/ingress/kingressd
noinst_LIBRARIES += libingress.a
libingress_a_SOURCES = \
	reconcilers/ingress/backend.c \
	reconcilers/ingress/certificate.c \
	reconcilers/ingress/class.c reconcilers/ingress/class.h \
	reconcilers/ingress/decide.c reconcilers/ingress/decide.h \
	reconcilers/ingress/folder.c reconcilers/ingress/folder.h \
	reconcilers/ingress/haproxy.c reconcilers/ingress/haproxy.h \
	reconcilers/ingress/internal.h \
	reconcilers/ingress/runtime.c reconcilers/ingress/runtime.h \
	reconcilers/ingress/settings.c \
	reconcilers/ingress/text.c reconcilers/ingress/text.h
reconcilers_ingress_kingressd_SOURCES = reconcilers/ingress/kingressd.c reconcilers/program.c reconcilers/program.h
reconcilers_ingress_kingressd_LDADD = libingress.a libkeelson.a $(KEELSON_LIBS)

check_PROGRAMS += tests/unit/test-ingress
tests_unit_test_ingress_SOURCES = tests/unit/test-ingress.c tests/unit/golden.c tests/unit/golden.h tests/unit/unit.h
tests_unit_test_ingress_LDADD = libingress.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-ingress-status
tests_unit_test_ingress_status_SOURCES = tests/unit/test-ingress-status.c tests/unit/fake-world.h tests/unit/unit.h
tests_unit_test_ingress_status_LDADD = libreconcile.a $(TEST_LIBS)
EXTRA_DIST += tests/golden/ingress
