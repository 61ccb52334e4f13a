# bench/: `make bench` measures what the documentation quotes
EXTRA_DIST += bench/run
.PHONY: bench
bench: all
	KEELSON_BUILDDIR='$(abs_top_builddir)' $(top_srcdir)/bench/run $(BENCH)
