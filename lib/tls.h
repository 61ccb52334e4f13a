/* TLS through GnuTLS: credential files, and an encrypted stream over a non-blocking socket for the
 * code (gRPC) that brings no TLS of its own. */
#pragma once

#include "lib/buf.h"
#include "lib/problem.h"

/* TLS 1.3, and 1.2 with forward secrecy and authenticated encryption only (RFC 7525 section 4.2: no
 * CBC, no SHA-1), in GnuTLS' words. For servers and clients. */
#define TLS_PRIORITIES \
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:" \
        "-CIPHER-ALL:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:-MAC-ALL:+AEAD:-SIGN-RSA-SHA1:" \
        "-SIGN-ECDSA-SHA1"

/* Paths of PEM files; any may be NULL. */
struct tls_files {
        const char *cert;
        const char *key;
        const char *ca;
        /* A list of revoked certificates, signed by the CA. Read again when the file changes. */
        const char *crl;
        /* If there are any: the peer's certificate has one of these common names, or is for one of
         * these hosts. NULL-terminated. */
        char *const *allowed_cns, *const *allowed_hostnames;
        /* Servers: clients do not learn whose certificates are asked for, because those of other
         * authorities than ca count, too (tls_stream_signed_by()). */
        bool unnamed_authorities;
        bool unverified; /* clients: accept any server; for certificates without a CA */
};

struct tls_context;
/* Loads the files; a server context with a CA demands client certificates. p names the file and the
 * cause. */
int tls_context_new(struct tls_context **ret, const struct tls_files *files, bool server,
                struct problem *p);
/* The same from PEM texts; cert, key and ca of pem are texts, not paths. */
int tls_context_new_pem(struct tls_context **ret, const struct tls_files *pem, bool server,
                struct problem *p);
/* Before a session begins: when the files of *c were replaced since they were read, *c becomes a
 * context of the new ones. Sessions that have begun continue with what they began with. While the
 * new files cannot be used (one of a pair is missing yet), *c stays. 1: it is another; 0; or an
 * error. Contexts from texts never change. */
int tls_context_refresh(struct tls_context **c);
/* For a client that only asks whether a server answers: any certificate, the machine's usual
 * ciphers rather than TLS_PRIORITIES. -ENOMEM. */
int tls_context_new_unchecked(struct tls_context **ret);
/* Before the peer's certificate is read: one whose key would take long to verify with is refused.
 * Streams and attached sessions have this; libcurl's get it by http_client_options.on_session. */
void tls_bound_keys(void *gnutls_session);
struct tls_context *tls_context_ref(struct tls_context *c);
/* Drops a reference. */
struct tls_context *tls_context_free(struct tls_context *c);
DEFINE_CLEANUP(struct tls_context *, tls_context_free);
/* Memory of records that were held, for the next ones. */
enum { TLS_SPARES_MAX = 32 };
struct tls_spares {
        struct buf free[TLS_SPARES_MAX];
        size_t count;
};
void tls_spares_done(struct tls_spares *s);
/* How an attached session reaches its socket. */
struct tls_transport {
        void *session; /* filled by tls_context_attach() */
        int fd;
        uint64_t *bytes_moved; /* counts both directions */
        bool taken;            /* only tls_transport_read() gets what comes from now on */
        bool reading;          /* it is at work */
        bool apart;            /* another thread may write: what is shared is left alone */
        /* While *gathering, the records of small answers are held and go out together: the
         * transport is then in *waiting until tls_transports_send() or tls_transport_end().
         * NULL: none are held. */
        const bool *gathering;
        struct tls_transport **waiting, *next;
        bool waits;
        struct buf held;
        struct tls_spares *spares; /* NULL: none */
};

/* For a server session that another library made (a gnutls_session_t), before its handshake: serves
 * with this context, and asks for a client certificate, without demanding one, when the context has
 * a CA. The session borrows the context and the transport for its life. */
int tls_context_attach(
                struct tls_context *c, void *gnutls_session, struct tls_transport *transport);

/* Sends what is held, of all in the list. Those that could not send all stay in it. */
void tls_transports_send(struct tls_transport **waiting);
/* Before it is freed, its socket still open: sends what is held, and takes it out of its list. */
void tls_transport_end(struct tls_transport *t);

/* The plain bytes of an attached session that was taken. -EAGAIN; 0 at the end. A write that
 * was not done is repeated with the same bytes. */
ssize_t tls_transport_read(struct tls_transport *t, void *p, size_t n);
ssize_t tls_transport_write(struct tls_transport *t, const void *p, size_t n);

/* The identity in a peer's certificate. */
struct tls_peer {
        bool verified; /* signed by the context's CA, in time, made for clients */
        char *problem; /* why a presented certificate was not verified; NULL otherwise */
        char *cn;
        char **organizations;
        char *fingerprint; /* SHA-256, lower-case hex */
        uint64_t not_after_s;
};
/* After the handshake of a server session that was made with this context. 0 with everything empty
 * when no certificate was presented. */
int tls_peer_read(struct tls_peer *ret, struct tls_context *c, void *gnutls_session);
void tls_peer_done(struct tls_peer *peer);
/* Whether an authority of the PEM text signed the presented certificate, made for clients and in
 * time, whoever the context trusts: 1 with its identity, 0, or -ENOMEM. */
int tls_peer_signed_by(struct tls_peer *ret, void *gnutls_session, const char *ca_pem);

enum { TLS_ALPN_SIZE = 16 };
struct tls_stream;
/* Takes no ownership of fd. server_name: for verification by a client; NULL on servers. alpn: "h2"
 * or "h2,http/1.1". */
int tls_stream_new(struct tls_stream **ret, struct tls_context *c, int fd, const char *server_name,
                const char *alpn);
struct tls_stream *tls_stream_free(struct tls_stream *s);
DEFINE_CLEANUP(struct tls_stream *, tls_stream_free);
/* Before the handshake of a server's stream: a client's certificate is asked for, but neither
 * demanded nor verified. tls_stream_peer() says what it is. */
void tls_stream_take_any_peer(struct tls_stream *s);
/* After the handshake: as tls_peer_read(). */
int tls_stream_peer(const struct tls_stream *s, struct tls_peer *ret);
/* As tls_peer_signed_by(). */
int tls_stream_signed_by(const struct tls_stream *s, const char *ca_pem, struct tls_peer *ret);
/* 0 when done, -EAGAIN with *ret_want_write telling the direction, else an error;
 * tls_stream_error_text says why. */
int tls_stream_handshake(struct tls_stream *s, bool *ret_want_write);
ssize_t tls_stream_read(struct tls_stream *s, void *p, size_t n);        /* -EAGAIN, 0 at end */
ssize_t tls_stream_write(struct tls_stream *s, const void *p, size_t n); /* -EAGAIN */
const char *tls_stream_error_text(const struct tls_stream *s);
/* Whether the handshake failed because this side did not like the peer's certificate. */
bool tls_stream_refused_peer(const struct tls_stream *s);
/* The negotiated protocol: "h2", or "" without ALPN. After the handshake. */
const char *tls_stream_alpn(const struct tls_stream *s, char buffer[static TLS_ALPN_SIZE]);
