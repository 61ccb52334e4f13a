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
noinst_PROGRAMS += bench/api-load bench/api-watch bench/api-watch-h2
bench_api_load_SOURCES = bench/api-load.c bench/connection.c bench/connection.h \
	bench/requests.c bench/requests.h
bench_api_load_LDADD = libclient.a libkeelson.a $(KEELSON_LIBS)
bench_api_watch_SOURCES = bench/api-watch.c bench/connection.c bench/connection.h
bench_api_watch_LDADD = libkeelson.a $(KEELSON_LIBS)
bench_api_watch_h2_SOURCES = bench/api-watch-h2.c
bench_api_watch_h2_LDADD = libkeelson.a $(KEELSON_LIBS)
.PHONY: bench-api
bench-api: all
	KEELSON_BUILDDIR='$(abs_top_builddir)' $(top_srcdir)/bench/api $(API)

# `make bench-services`: the service rules of a node. SERVICES='N...' for other numbers; as root.
noinst_PROGRAMS += bench/services
bench_services_SOURCES = bench/services.c \
	nodeagent/network/conntrack.c nodeagent/network/conntrack.h \
	nodeagent/network/nft-apply.c nodeagent/network/nft-apply.h \
	nodeagent/network/nft-text.c nodeagent/network/nft-text.h \
	nodeagent/network/nft-kernel.c nodeagent/network/nft-kernel.h \
	nodeagent/network/nft-monitor.c nodeagent/network/nft-monitor.h \
	nodeagent/network/nft.c nodeagent/network/nft.h
bench_services_LDADD = nodeagent/libnodeagent.a libkeelson.a $(KEELSON_LIBS) $(NFTABLES_LIBS) $(NL_LIBS)
.PHONY: bench-services
bench-services: bench/services
	bench/services $(SERVICES)
