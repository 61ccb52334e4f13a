/* Who the other side of a session is: what its certificate says, and who signed it. */
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "lib/tls-internal.h"

enum { DN_SIZE_MAX = 1024, ORGANIZATIONS_MAX = 64, CHAIN_MAX = 8 };

void tls_peer_done(struct tls_peer *peer) {
        free(peer->problem);
        free(peer->cn);
        strv_free(peer->organizations);
        free(peer->fingerprint);
        *peer = (struct tls_peer){0};
}

/* One value of the subject; NULL when there is none at this index or it is not clean UTF-8. */
static char *subject_value(gnutls_x509_crt_t crt, const char *oid, unsigned index) {
        char text[DN_SIZE_MAX];
        size_t n = sizeof(text);

        if (gnutls_x509_crt_get_dn_by_oid(crt, oid, index, 0, text, &n) < 0 ||
                        !utf8_is_valid(text, n))
                return NULL;
        return strndup(text, n);
}

static int read_certificate(struct tls_peer *peer, const gnutls_datum_t *der) {
        static const char digits[] = "0123456789abcdef";
        unsigned char digest[32];
        size_t n = sizeof(digest);
        gnutls_x509_crt_t crt;
        int r = 0;

        if (gnutls_x509_crt_init(&crt) < 0)
                return -ENOMEM;
        if (gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) < 0 ||
                        gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, digest, &n) < 0) {
                gnutls_x509_crt_deinit(crt);
                return -EINVAL;
        }
        peer->cn = subject_value(crt, GNUTLS_OID_X520_COMMON_NAME, 0);
        for (unsigned i = 0; i < ORGANIZATIONS_MAX && r == 0; i++) {
                _cleanup_free_ char *o = subject_value(crt, GNUTLS_OID_X520_ORGANIZATION_NAME, i);

                if (!o)
                        break;
                r = strv_extend(&peer->organizations, o);
        }
        peer->fingerprint = malloc(2 * sizeof(digest) + 1);
        if (peer->fingerprint) {
                for (size_t i = 0; i < sizeof(digest); i++) {
                        peer->fingerprint[2 * i] = digits[digest[i] >> 4];
                        peer->fingerprint[2 * i + 1] = digits[digest[i] & 15];
                }
                peer->fingerprint[2 * sizeof(digest)] = 0;
        } else
                r = -ENOMEM;
        time_t end = gnutls_x509_crt_get_expiration_time(crt);
        peer->not_after_s = end > 0 ? (uint64_t)end : 0;
        gnutls_x509_crt_deinit(crt);
        return r;
}

int tls_peer_read(struct tls_peer *ret, void *gnutls_session) {
        gnutls_session_t session = gnutls_session;
        gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                        .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT};
        unsigned count = 0, status = 0;
        struct tls_peer peer = {0};
        int r;

        const gnutls_datum_t *certs = gnutls_certificate_get_peers(session, &count);
        if (!certs || count == 0) {
                *ret = peer;
                return 0;
        }
        r = gnutls_certificate_verify_peers(session, &purpose, 1, &status);
        if (r < 0)
                peer.problem = strdup(gnutls_strerror(r));
        else if (status != 0)
                peer.problem = tls_status_text(session, status);
        if (r >= 0 && status == 0) {
                r = read_certificate(&peer, &certs[0]);
                if (r < 0) {
                        tls_peer_done(&peer);
                        return r;
                }
                peer.verified = true;
        }
        *ret = peer;
        return 0;
}

/* --- another authority --- */

/* The presented chain; how many of it are in ret. */
static unsigned import_chain(const gnutls_datum_t *certs, unsigned n, gnutls_x509_crt_t *ret) {
        unsigned count = 0;

        for (; count < n && count < CHAIN_MAX; count++) {
                if (gnutls_x509_crt_init(&ret[count]) < 0)
                        break;
                if (gnutls_x509_crt_import(ret[count], &certs[count], GNUTLS_X509_FMT_DER) < 0) {
                        gnutls_x509_crt_deinit(ret[count]);
                        break;
                }
        }
        return count;
}

static bool chain_is_valid(
                gnutls_x509_trust_list_t trusted, gnutls_x509_crt_t *chain, unsigned count) {
        gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                        .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT};
        unsigned status = 0;

        return gnutls_x509_trust_list_verify_crt2(
                               trusted, chain, count, &purpose, 1, 0, &status, NULL) >= 0 &&
               status == 0;
}

int tls_peer_signed_by(struct tls_peer *ret, void *gnutls_session, const char *ca_pem) {
        gnutls_x509_crt_t chain[CHAIN_MAX];
        gnutls_x509_trust_list_t trusted;
        gnutls_datum_t ca = {.data = (unsigned char *)ca_pem, .size = (unsigned)strlen(ca_pem)};
        unsigned n = 0, count;
        const gnutls_datum_t *certs = gnutls_certificate_get_peers(gnutls_session, &n);
        struct tls_peer peer = {0};
        int r = 0;

        if (!certs || n == 0)
                return 0;
        if (gnutls_x509_trust_list_init(&trusted, 0) < 0)
                return -ENOMEM;
        count = import_chain(certs, n, chain);
        if (count > 0 &&
                        gnutls_x509_trust_list_add_trust_mem(
                                        trusted, &ca, NULL, GNUTLS_X509_FMT_PEM, 0, 0) > 0 &&
                        chain_is_valid(trusted, chain, count))
                r = 1;
        for (unsigned i = 0; i < count; i++)
                gnutls_x509_crt_deinit(chain[i]);
        gnutls_x509_trust_list_deinit(trusted, 1);
        if (r == 0)
                return 0;
        r = read_certificate(&peer, &certs[0]);
        if (r < 0) {
                tls_peer_done(&peer);
                return r == -ENOMEM ? r : 0;
        }
        peer.verified = true;
        *ret = peer;
        return 1;
}
