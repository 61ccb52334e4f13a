/* TLS through GnuTLS: credential files, and an encrypted stream over a non-blocking socket for the
 * code (gRPC) that brings no TLS of its own. */
#pragma once

#include "lib/base.h"
#include "lib/problem.h"

/* Paths of PEM files; any may be NULL. */
struct tls_files {
        const char *cert;
        const char *key;
        const char *ca;
};

struct tls_context;
/* Loads the files; a server context with a CA demands client certificates. p names the file and the cause. */
int tls_context_new(struct tls_context **ret, const struct tls_files *files, bool server, struct problem *p);
struct tls_context *tls_context_free(struct tls_context *c);
DEFINE_CLEANUP(struct tls_context *, tls_context_free);

struct tls_stream;
/* Takes no ownership of fd. server_name: for verification by a client; NULL on servers. alpn: "h2". */
int tls_stream_new(struct tls_stream **ret, struct tls_context *c, int fd, const char *server_name, const char *alpn);
struct tls_stream *tls_stream_free(struct tls_stream *s);
DEFINE_CLEANUP(struct tls_stream *, tls_stream_free);
/* 0 when done, -EAGAIN with *ret_want_write telling the direction, else an error; tls_stream_error_text says why. */
int tls_stream_handshake(struct tls_stream *s, bool *ret_want_write);
ssize_t tls_stream_read(struct tls_stream *s, void *p, size_t n);        /* -EAGAIN, 0 at end */
ssize_t tls_stream_write(struct tls_stream *s, const void *p, size_t n); /* -EAGAIN */
const char *tls_stream_error_text(const struct tls_stream *s);
