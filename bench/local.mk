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
