# bench/: `make bench` measures what the documentation quotes
EXTRA_DIST += bench/run
.PHONY: bench
bench: all
	KEELSON_BUILDDIR='$(abs_top_builddir)' $(top_srcdir)/bench/run $(BENCH)

# `make bench-store`: kstored beside etcd (Debian's etcd-server). STORE='--quick' for a short look,
# ETCD=path for another etcd than the installed one.
EXTRA_DIST += bench/store
noinst_PROGRAMS += bench/etcd-load
bench_etcd_load_SOURCES = bench/etcd-load.c
bench_etcd_load_LDADD = libkeelson.a $(KEELSON_LIBS)
.PHONY: bench-store
bench-store: bench/etcd-load kstored/kstored
	KEELSON_BUILDDIR='$(abs_top_builddir)' $(top_srcdir)/bench/store $(STORE)

# `make bench-api`: kstored, kapid, kschedd and kreconciled together. API='--pods N --nodes N,N [sched] [controllers]'
EXTRA_DIST += bench/api
noinst_PROGRAMS += bench/api-load
bench_api_load_SOURCES = bench/api-load.c
bench_api_load_LDADD = libclient.a libkeelson.a $(KEELSON_LIBS)
.PHONY: bench-api
bench-api: all
	KEELSON_BUILDDIR='$(abs_top_builddir)' $(top_srcdir)/bench/api $(API)
