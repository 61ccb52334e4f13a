/* GnuTLS: credentials from files or texts, and streams over non-blocking sockets.
 * TLS 1.2 and 1.3 only. A client verifies the server's name and purpose, a server the client's
 * purpose, both against the given CAs alone. */
#include "lib/tls.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/tls-internal.h"

enum { PEM_SIZE_MAX = 1 << 20 };

struct tls_stream {
        struct tls_context *context;
        gnutls_session_t session;
        char *server_name;
        char *error_text;
        bool refused_peer;
};

static gnutls_datum_t datum(const char *text) {
        return (gnutls_datum_t){.data = (unsigned char *)text, .size = (unsigned)strlen(text)};
}

static int load_ca(struct tls_context *c, const char *pem, const char *name, struct problem *p) {
        gnutls_datum_t d = datum(pem);
        int n = gnutls_certificate_set_x509_trust_mem(c->credentials, &d, GNUTLS_X509_FMT_PEM);

        if (n <= 0)
                return problem_set(p, EINVAL, 0, NULL, "%s holds no CA certificate in PEM form%s%s",
                                name, n < 0 ? ": " : "", n < 0 ? gnutls_strerror(n) : "");
        c->has_ca = true;
        return 0;
}

static int copy_names(char ***ret, char *const *names) {
        int r = 0;

        for (; names && *names && r >= 0; names++)
                r = strv_extend(ret, *names);
        return r;
}

static int load_pair(struct tls_context *c, const struct tls_files *pem,
                const struct tls_files *names, struct problem *p) {
        gnutls_datum_t cert = datum(pem->cert), key = datum(pem->key);
        int r = gnutls_certificate_set_x509_key_mem2(
                        c->credentials, &cert, &key, GNUTLS_X509_FMT_PEM, NULL, 0);

        if (r == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
                return problem_set(p, EINVAL, 0, NULL,
                                "the certificate %s and the key %s do not belong together",
                                names->cert, names->key);
        if (r < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "the certificate %s with the key %s cannot be used: %s",
                                names->cert, names->key, gnutls_strerror(r));
        return 0;
}

static int context_new(struct tls_context **ret, const struct tls_files *pem,
                const struct tls_files *names, bool server, struct problem *p) {
        _cleanup_(tls_context_freep) struct tls_context *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->refs = 1;
        c->server = server;
        if (gnutls_certificate_allocate_credentials(&c->credentials) < 0)
                return -ENOMEM;
        /* A peer may staple an OCSP response, which GnuTLS verifies with keys that the peer has
         * sent along (tls-keys.c) before it looks at who has signed those. Lists of revoked
         * certificates are tls-lists.c's. */
        gnutls_certificate_set_verify_flags(c->credentials, GNUTLS_VERIFY_DISABLE_CRL_CHECKS);
        if (!pem->cert != !pem->key)
                return problem_set(p, EINVAL, 0, NULL, "%s needs its %s",
                                pem->cert ? names->cert : names->key,
                                pem->cert ? "key" : "certificate");
        if (server && !pem->cert)
                return problem_set(
                                p, EINVAL, 0, NULL, "a TLS server needs a certificate and a key");
        if (pem->cert) {
                r = load_pair(c, pem, names, p);
                if (r < 0)
                        return r;
        }
        if (pem->ca) {
                r = load_ca(c, pem->ca, names->ca, p);
                if (r < 0)
                        return r;
        } else if (!server && !names->unverified &&
                        gnutls_certificate_set_x509_system_trust(c->credentials) < 0)
                return problem_set(p, EINVAL, 0, NULL, "this machine has no CA certificates");
        r = copy_names(&c->allowed_cns, names->allowed_cns);
        if (r < 0)
                return r;
        r = copy_names(&c->allowed_hostnames, names->allowed_hostnames);
        if (r < 0)
                return r;
        r = names->crl ? tls_crl_load(c, pem->ca, names->crl, p) : 0;
        if (r < 0)
                return r;
        c->unverified = names->unverified;
        c->unnamed_authorities = names->unnamed_authorities;
        *ret = TAKE_PTR(c);
        return 0;
}

static int read_pem(const char *path, char **ret, struct problem *p) {
        int r;

        if (!path)
                return 0;
        r = file_read(path, PEM_SIZE_MAX, ret, NULL);
        if (r < 0) {
                _cleanup_free_ char *text = file_error_text(path, "read", r);
                return problem_set(p, -r, 0, NULL, "%s", text ? text : path);
        }
        return 0;
}

int tls_context_new(struct tls_context **ret, const struct tls_files *files, bool server,
                struct problem *p) {
        _cleanup_free_ char *cert = NULL, *key = NULL, *ca = NULL;
        _cleanup_(tls_context_freep) struct tls_context *c = NULL;
        struct file_stamp stamps[TLS_FILES_MAX];
        int r;

        tls_paths_stamp(files, stamps);
        r = read_pem(files->cert, &cert, p);
        if (r < 0)
                return r;
        r = read_pem(files->key, &key, p);
        if (r < 0)
                return r;
        r = read_pem(files->ca, &ca, p);
        if (r < 0)
                return r;
        const struct tls_files pem = {.cert = cert, .key = key, .ca = ca};
        if (files->crl && !ca)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s lists revoked certificates, which needs the CA that signed "
                                "them",
                                files->crl);
        r = context_new(&c, &pem, files, server, p);
        if (key)
                explicit_bzero(key, strlen(key));
        if (r < 0)
                return r;
        r = tls_paths_keep(c, files, stamps);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

int tls_context_new_pem(struct tls_context **ret, const struct tls_files *pem, bool server,
                struct problem *p) {
        const struct tls_files names = {.cert = "the given certificate",
                        .key = "the given key",
                        .ca = "the given CA"};

        return context_new(ret, pem, &names, server, p);
}

int tls_context_new_unchecked(struct tls_context **ret) {
        _cleanup_(tls_context_freep) struct tls_context *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->refs = 1;
        c->unverified = c->any_cipher = true;
        if (gnutls_certificate_allocate_credentials(&c->credentials) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(c);
        return 0;
}

struct tls_context *tls_context_ref(struct tls_context *c) {
        c->refs++;
        return c;
}

struct tls_context *tls_context_free(struct tls_context *c) {
        if (!c || --c->refs > 0)
                return NULL;
        if (c->credentials)
                gnutls_certificate_free_credentials(c->credentials);
        tls_crl_done(c);
        free(c->known);
        for (int i = 0; i < TLS_FILES_MAX; i++)
                free(c->paths[i]);
        strv_free(c->allowed_cns);
        strv_free(c->allowed_hostnames);
        return mfree(c);
}

/* ---- streams ---- */

static int set_error(struct tls_stream *s, int error, const char *text) {
        free(s->error_text);
        s->error_text = strdup(text);
        return -error;
}

static bool is_address(const char *name) {
        unsigned char buffer[sizeof(struct in6_addr)];

        return inet_pton(AF_INET, name, buffer) == 1 || inet_pton(AF_INET6, name, buffer) == 1;
}

/* Signed by a CA that is trusted, in time, for this purpose and name; then what the lists say. */
static int check_peer(struct tls_stream *s, char **ret_why) {
        const char *purpose =
                        s->context->server ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;
        gnutls_typed_vdata_st verify[2] = {
                        {.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)purpose},
                        {.type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)s->server_name}};
        unsigned status = 0;
        int r = gnutls_certificate_verify_peers(
                        s->session, verify, s->server_name ? 2 : 1, &status);

        if (r < 0) {
                *ret_why = strdup(gnutls_strerror(r));
                return -EKEYREJECTED;
        }
        if (status == 0)
                return tls_lists_check(s->context, s->session, ret_why);
        *ret_why = tls_status_text(s->session, status);
        return -EKEYREJECTED;
}

static int on_verify(gnutls_session_t session) {
        struct tls_stream *s = gnutls_session_get_ptr(session);
        char *why = NULL;

        if (check_peer(s, &why) == 0)
                return 0;
        free(s->error_text);
        s->error_text = why ? why : strdup("the peer's certificate is not valid");
        s->refused_peer = true;
        return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

static int set_verification(struct tls_stream *s) {
        if (s->server_name && !is_address(s->server_name) &&
                        gnutls_server_name_set(s->session, GNUTLS_NAME_DNS, s->server_name,
                                        strlen(s->server_name)) < 0)
                return -EINVAL;
        if (s->context->unverified)
                return 0;
        gnutls_session_set_ptr(s->session, s);
        gnutls_session_set_verify_function(s->session, on_verify);
        return 0;
}

/* Protocols with commas between them, the best first. */
static int set_alpn(struct tls_stream *s, const char *alpn) {
        gnutls_datum_t v[4];
        unsigned n = 0;

        while (*alpn && n < ELEMENTS(v)) {
                size_t size = strcspn(alpn, ",");

                v[n++] = (gnutls_datum_t){.data = (unsigned char *)alpn, .size = (unsigned)size};
                alpn += size + (alpn[size] == ',');
        }
        return gnutls_alpn_set_protocols(s->session, v, n, 0) < 0 ? -ENOMEM : 0;
}

int tls_stream_new(struct tls_stream **ret, struct tls_context *c, int fd, const char *server_name,
                const char *alpn) {
        _cleanup_(tls_stream_freep) struct tls_stream *s = calloc(1, sizeof(*s));
        unsigned flags = (c->server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK |
                         GNUTLS_NO_SIGNAL;
        int r;

        if (!s)
                return -ENOMEM;
        s->context = tls_context_ref(c);
        if (server_name) {
                s->server_name = strdup(server_name);
                if (!s->server_name)
                        return -ENOMEM;
        }
        if (gnutls_init(&s->session, flags) < 0 ||
                        (c->any_cipher ? gnutls_set_default_priority(s->session)
                                       : gnutls_priority_set_direct(
                                                         s->session, TLS_PRIORITIES, NULL)) < 0 ||
                        gnutls_credentials_set(s->session, GNUTLS_CRD_CERTIFICATE, c->credentials) <
                                        0)
                return -ENOMEM;
        tls_bound_keys(s->session);
        if (alpn) {
                r = set_alpn(s, alpn);
                if (r < 0)
                        return r;
        }
        if (c->server && c->has_ca)
                gnutls_certificate_server_set_request(s->session, GNUTLS_CERT_REQUIRE);
        if (c->unnamed_authorities)
                gnutls_certificate_send_x509_rdn_sequence(s->session, 1);
        if (!c->server || c->has_ca) {
                r = set_verification(s);
                if (r < 0)
                        return r;
        }
        gnutls_transport_set_int(s->session, fd);
        *ret = TAKE_PTR(s);
        return 0;
}

void tls_stream_take_any_peer(struct tls_stream *s) {
        if (s->context->has_ca)
                gnutls_certificate_server_set_request(s->session, GNUTLS_CERT_REQUEST);
        gnutls_session_set_verify_function(s->session, NULL);
}

int tls_stream_peer(const struct tls_stream *s, struct tls_peer *ret) {
        return tls_peer_read(ret, s->context, s->session);
}

int tls_stream_signed_by(const struct tls_stream *s, const char *ca_pem, struct tls_peer *ret) {
        return tls_peer_signed_by(ret, s->session, ca_pem);
}

struct tls_stream *tls_stream_free(struct tls_stream *s) {
        if (!s)
                return NULL;
        if (s->session) {
                /* Best effort: the socket is non-blocking and about to be closed. */
                (void)gnutls_bye(s->session, GNUTLS_SHUT_WR);
                gnutls_deinit(s->session);
        }
        tls_context_free(s->context);
        free(s->server_name);
        free(s->error_text);
        return mfree(s);
}

static int handshake_error(struct tls_stream *s, int error) {
        _cleanup_free_ char *text = NULL;

        if (error == GNUTLS_E_FATAL_ALERT_RECEIVED) {
                const char *alert = gnutls_alert_get_name(gnutls_alert_get(s->session));

                text = strformat("the peer refused the handshake: %s", alert ? alert : "?");
                return set_error(s, EKEYREJECTED, strempty(text));
        }
        if (error == GNUTLS_E_PREMATURE_TERMINATION || error == GNUTLS_E_PULL_ERROR ||
                        error == GNUTLS_E_PUSH_ERROR)
                return set_error(s, ECONNRESET, "the connection ended during the handshake");
        /* Tell the peer why, so that its log names the cause too. */
        (void)gnutls_alert_send_appropriate(s->session, error);
        if (s->refused_peer)
                return -EKEYREJECTED;
        if (error == GNUTLS_E_NO_CERTIFICATE_FOUND || error == GNUTLS_E_CERTIFICATE_REQUIRED) {
                s->refused_peer = true;
                return set_error(s, EKEYREJECTED, "the peer shows no certificate");
        }
        return set_error(s, EPROTO, gnutls_strerror(error));
}

int tls_stream_handshake(struct tls_stream *s, bool *ret_want_write) {
        int r;

        do
                r = gnutls_handshake(s->session);
        while (r < 0 && r != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(r));
        if (r == GNUTLS_E_AGAIN) {
                *ret_want_write = gnutls_record_get_direction(s->session) == 1;
                return -EAGAIN;
        }
        return r < 0 ? handshake_error(s, r) : 0;
}

static ssize_t record_error(struct tls_stream *s, ssize_t error) {
        if (error == GNUTLS_E_AGAIN)
                return -EAGAIN;
        if (error == GNUTLS_E_PREMATURE_TERMINATION || error == GNUTLS_E_PULL_ERROR ||
                        error == GNUTLS_E_PUSH_ERROR)
                return set_error(s, ECONNRESET, "the connection broke");
        if (error == GNUTLS_E_FATAL_ALERT_RECEIVED || error == GNUTLS_E_CERTIFICATE_REQUIRED)
                return handshake_error(s, (int)error); /* TLS 1.3 clients are refused this late */
        return set_error(s, EPROTO, gnutls_strerror((int)error));
}

ssize_t tls_stream_read(struct tls_stream *s, void *p, size_t n) {
        ssize_t r;

        do
                r = gnutls_record_recv(s->session, p, n);
        while (r == GNUTLS_E_INTERRUPTED || r == GNUTLS_E_REHANDSHAKE ||
                        r == GNUTLS_E_WARNING_ALERT_RECEIVED);
        return r < 0 ? record_error(s, r) : r;
}

ssize_t tls_stream_write(struct tls_stream *s, const void *p, size_t n) {
        ssize_t r;

        do
                r = gnutls_record_send(s->session, p, n);
        while (r == GNUTLS_E_INTERRUPTED);
        return r < 0 ? record_error(s, r) : r;
}

const char *tls_stream_error_text(const struct tls_stream *s) {
        return strempty(s->error_text);
}

bool tls_stream_refused_peer(const struct tls_stream *s) {
        return s->refused_peer;
}

const char *tls_stream_alpn(const struct tls_stream *s, char buffer[static TLS_ALPN_SIZE]) {
        gnutls_datum_t d = {0};

        *buffer = '\0';
        if (gnutls_alpn_get_selected_protocol(s->session, &d) >= 0 && d.size < TLS_ALPN_SIZE) {
                memcpy(buffer, d.data, d.size);
                buffer[d.size] = '\0';
        }
        return buffer;
}
