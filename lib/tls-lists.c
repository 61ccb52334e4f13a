/* Peers that are refused though their certificate is valid: the revoked (RFC 5280, section 5), and
 * those whose name is not one of the allowed.
 *
 * The file of revoked certificates is checked before each handshake and read again when it has
 * changed. While it cannot be read no peer is accepted: any of them could be a revoked one. */
#include "lib/fileio.h"
#include "lib/tls-internal.h"

enum { CRL_SIZE_MAX = 16 << 20, NAME_SIZE_MAX = 1024 };

static gnutls_datum_t datum(const char *text) {
        return (gnutls_datum_t){.data = (unsigned char *)text, .size = (unsigned)strlen(text)};
}

static void crls_free(gnutls_x509_crl_t *crls, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                gnutls_x509_crl_deinit(crls[i]);
        gnutls_free(crls);
}

void tls_crl_done(struct tls_context *c) {
        crls_free(c->crls, c->crl_count);
        free(c->crl_path);
        free(c->ca_pem);
}

/* Each list must come from one of the CAs. */
static int check_signer(const struct tls_context *c, gnutls_x509_crl_t *crls, unsigned n) {
        const gnutls_datum_t pem = datum(c->ca_pem);
        gnutls_x509_crt_t *cas = NULL;
        unsigned count = 0;
        int r = gnutls_x509_crt_list_import2(&cas, &count, &pem, GNUTLS_X509_FMT_PEM, 0);

        for (unsigned i = 0; i < n && r >= 0; i++) {
                unsigned status = 0;

                r = gnutls_x509_crl_verify(crls[i], cas, (int)count, 0, &status);
                if (r >= 0 && (status & (GNUTLS_CERT_SIGNER_NOT_FOUND |
                                                        GNUTLS_CERT_SIGNATURE_FAILURE |
                                                        GNUTLS_CERT_SIGNER_NOT_CA)))
                        r = -1;
        }
        for (unsigned i = 0; i < count; i++)
                gnutls_x509_crt_deinit(cas[i]);
        gnutls_free(cas);
        return r < 0 ? -EKEYREJECTED : 0;
}

static int crl_read(struct tls_context *c, struct problem *p) {
        _cleanup_free_ char *pem = NULL;
        gnutls_x509_crl_t *crls = NULL;
        struct stat st;
        unsigned n = 0;
        size_t size = 0;
        int r = stat(c->crl_path, &st) < 0 ? -errno
                                           : file_read(c->crl_path, CRL_SIZE_MAX, &pem, &size);

        if (r < 0) {
                _cleanup_free_ char *text = file_error_text(c->crl_path, "read", r);

                return problem_set(p, -r, 0, NULL,
                                "%s: no client is accepted without the list of revoked "
                                "certificates",
                                text ? text : c->crl_path);
        }
        const gnutls_datum_t d = {.data = (unsigned char *)pem, .size = (unsigned)size};
        r = gnutls_x509_crl_list_import2(&crls, &n, &d, GNUTLS_X509_FMT_PEM, 0);
        if (r < 0)
                r = gnutls_x509_crl_list_import2(&crls, &n, &d, GNUTLS_X509_FMT_DER, 0);
        if (r < 0 || n == 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s holds no list of revoked certificates (an X.509 CRL in PEM or "
                                "DER form): openssl ca -gencrl makes one",
                                c->crl_path);
        if (check_signer(c, crls, n) < 0) {
                crls_free(crls, n);
                return problem_set(p, EINVAL, 0, NULL,
                                "the list of revoked certificates in %s was not signed by the CA "
                                "that is trusted",
                                c->crl_path);
        }
        crls_free(c->crls, c->crl_count);
        c->crls = crls;
        c->crl_count = n;
        c->crl_stat = st;
        return 0;
}

int tls_crl_load(struct tls_context *c, const char *ca_pem, const char *path, struct problem *p) {
        c->crl_path = strdup(path);
        c->ca_pem = strdup(ca_pem);
        return c->crl_path && c->ca_pem ? crl_read(c, p) : -ENOMEM;
}

static int crl_refresh(struct tls_context *c, struct problem *p) {
        const struct stat *old = &c->crl_stat;
        struct stat st;

        if (stat(c->crl_path, &st) == 0 && st.st_ino == old->st_ino && st.st_dev == old->st_dev &&
                        st.st_size == old->st_size && st.st_mtim.tv_sec == old->st_mtim.tv_sec &&
                        st.st_mtim.tv_nsec == old->st_mtim.tv_nsec)
                return 0;
        return crl_read(c, p);
}

static char *serial_text(gnutls_x509_crt_t crt) {
        unsigned char serial[64];
        size_t n = sizeof(serial);
        char hex[2 * sizeof(serial) + 1] = "?";

        if (gnutls_x509_crt_get_serial(crt, serial, &n) >= 0)
                for (size_t i = 0; i < n; i++)
                        (void)snprintf(hex + 2 * i, 3, "%02x", serial[i]);
        return strdup(hex);
}

static bool name_allowed(const struct tls_context *c, gnutls_x509_crt_t crt, const char *cn) {
        for (char **n = c->allowed_cns; n && *n; n++)
                if (streq(*n, cn))
                        return true;
        for (char **n = c->allowed_hostnames; n && *n; n++)
                if (gnutls_x509_crt_check_hostname2(crt, *n, 0))
                        return true;
        return !c->allowed_cns && !c->allowed_hostnames;
}

/* 0, or negative with the reason; *ret_why is NULL when out of memory. */
static int check_certificate(
                struct tls_context *c, const gnutls_datum_t *der, bool own, char **ret_why) {
        _cleanup_free_ char *serial = NULL;
        char cn[NAME_SIZE_MAX] = "";
        size_t size = sizeof(cn);
        gnutls_x509_crt_t crt;
        int r = 0;

        if (gnutls_x509_crt_init(&crt) < 0)
                return -ENOMEM;
        if (gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) < 0) {
                gnutls_x509_crt_deinit(crt);
                *ret_why = strdup("the peer's certificate cannot be read");
                return -EKEYREJECTED;
        }
        if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, cn, &size) < 0 ||
                        !utf8_is_valid(cn, strlen(cn)))
                *cn = '\0';
        serial = serial_text(crt);
        if (c->crl_count > 0 &&
                        gnutls_x509_crt_check_revocation(crt, c->crls, (int)c->crl_count) != 0) {
                *ret_why = strformat("the certificate of \"%s\" (serial %s) was revoked, says %s",
                                cn, strempty(serial), c->crl_path);
                r = -EKEYREJECTED;
        } else if (own && !name_allowed(c, crt, cn)) {
                *ret_why = strformat("the certificate of \"%s\" (serial %s) is valid, but its name "
                                     "is not one of the allowed ones",
                                cn, strempty(serial));
                r = -EKEYREJECTED;
        }
        gnutls_x509_crt_deinit(crt);
        return r;
}

int tls_lists_check(struct tls_context *c, gnutls_session_t session, char **ret_why) {
        _cleanup_problem_ struct problem p = {0};
        const gnutls_datum_t *certs;
        unsigned n = 0;
        int r = 0;

        if (!c->crl_path && !c->allowed_cns && !c->allowed_hostnames)
                return 0;
        if (c->crl_path && crl_refresh(c, &p) < 0) {
                *ret_why = TAKE_PTR(p.message);
                return -EKEYREJECTED;
        }
        certs = gnutls_certificate_get_peers(session, &n);
        if (!certs || n == 0)
                return -EKEYREJECTED;
        for (unsigned i = 0; i < n && r >= 0; i++)
                r = check_certificate(c, &certs[i], i == 0, ret_why);
        return r;
}
