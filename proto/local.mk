# proto/: the wire messages, made into C by protoc-c in the build folder (never kept in git)
PROTO_FILES = proto/kv.proto proto/rpc.proto proto/health.proto proto/peer.proto
PROTO_C = $(PROTO_FILES:.proto=.pb-c.c)
PROTO_H = $(PROTO_FILES:.proto=.pb-c.h)
EXTRA_DIST += $(PROTO_FILES)
BUILT_SOURCES += $(PROTO_H)
CLEANFILES += $(PROTO_C) $(PROTO_H)

# Only protobuf-c's own flags: what the generator writes is not held to our warnings.
noinst_LIBRARIES += libproto.a
nodist_libproto_a_SOURCES = $(PROTO_C) $(PROTO_H)
libproto_a_SOURCES =
libproto_a_CPPFLAGS = -I$(top_builddir) $(PROTOBUF_C_CFLAGS)
libproto_a_CFLAGS = -std=gnu17 -g -w $(SANITIZE_CFLAGS) -fstack-protector-strong -fno-common $(REPRODUCIBLE_CFLAGS)

proto/%.pb-c.c proto/%.pb-c.h: $(top_srcdir)/proto/%.proto
	$(AM_V_GEN)$(MKDIR_P) proto && $(PROTOC) -I$(top_srcdir) --c_out=. $<

proto/rpc.pb-c.h: proto/kv.pb-c.h
