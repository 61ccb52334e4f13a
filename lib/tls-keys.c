/* What a peer's handshake may cost. Its certificate's key verifies a signature before anybody asks
 * who has signed the certificate, and GnuTLS takes any key: with an RSA exponent as long as the
 * modulus that is a second for 16384 bits, and minutes for what fits into a handshake. A hook sees
 * the messages before they are used. */
#include <gnutls/abstract.h>

#include "lib/tls-internal.h"

enum { RSA_BITS_MAX = 16384, EXPONENT_SIZE_MAX = 5, PRIME_SIZE_MAX = 8192 / 8 };

static bool is_sane_rsa(gnutls_pubkey_t key) {
        gnutls_datum_t modulus = {0}, exponent = {0};
        bool sane;

        if (gnutls_pubkey_export_rsa_raw(key, &modulus, &exponent) < 0)
                return false;
        sane = modulus.size <= RSA_BITS_MAX / 8 + 1 && exponent.size <= EXPONENT_SIZE_MAX;
        gnutls_free(modulus.data);
        gnutls_free(exponent.data);
        return sane;
}

static bool is_sane_key(gnutls_pubkey_t key) {
        switch (gnutls_pubkey_get_pk_algorithm(key, NULL)) {
        case GNUTLS_PK_RSA:
        case GNUTLS_PK_RSA_PSS:
                return is_sane_rsa(key);
        case GNUTLS_PK_DSA:
                return false; /* TLS 1.3 has none */
        default:
                return true; /* curves have a size */
        }
}

static bool is_sane(const gnutls_datum_t *der) {
        gnutls_x509_crt_t crt = NULL;
        gnutls_pubkey_t key = NULL;
        bool sane = gnutls_x509_crt_init(&crt) >= 0 && gnutls_pubkey_init(&key) >= 0 &&
                    gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) >= 0 &&
                    gnutls_pubkey_import_x509(key, crt, 0) >= 0 && is_sane_key(key);

        gnutls_pubkey_deinit(key);
        if (crt)
                gnutls_x509_crt_deinit(crt);
        return sane;
}

static size_t read_u24(const uint8_t *p) {
        return (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
}

/* The first certificate of a message (RFC 5246 section 7.4.2, RFC 8446 section 4.4.2): 1; 0: there
 * is none; -EBADMSG. */
static int first_certificate(
                const gnutls_datum_t *message, bool with_context, gnutls_datum_t *ret) {
        const uint8_t *p = message->data;
        size_t n = message->size, skip = with_context && n > 0 ? 1 + (size_t)p[0] : 0;

        if (n < skip + 3)
                return -EBADMSG;
        p += skip + 3;
        n -= skip + 3;
        if (n == 0)
                return 0;
        if (n < 3 || read_u24(p) > n - 3)
                return -EBADMSG;
        *ret = (gnutls_datum_t){.data = (unsigned char *)p + 3, .size = (unsigned)read_u24(p)};
        return 1;
}

static int look_at_certificate(gnutls_session_t session, const gnutls_datum_t *message) {
        gnutls_datum_t der;
        int r = first_certificate(
                        message, gnutls_protocol_get_version(session) >= GNUTLS_TLS1_3, &der);

        return r < 0 || (r > 0 && !is_sane(&der)) ? GNUTLS_E_CERTIFICATE_ERROR : 0;
}

static int look_at_exchange(gnutls_session_t session, const gnutls_datum_t *message) {
        gnutls_kx_algorithm_t kx = gnutls_kx_get(session);

        if ((kx != GNUTLS_KX_DHE_RSA && kx != GNUTLS_KX_DHE_DSS) || message->size < 2)
                return 0;
        return (message->data[0] << 8 | message->data[1]) > PRIME_SIZE_MAX
                               ? GNUTLS_E_DH_PRIME_UNACCEPTABLE
                               : 0;
}

static int on_message(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                const gnutls_datum_t *message) {
        if (!incoming || !message)
                return 0;
        switch (type) {
        case GNUTLS_HANDSHAKE_CERTIFICATE_PKT:
                return look_at_certificate(session, message);
        case GNUTLS_HANDSHAKE_COMPRESSED_CERTIFICATE_PKT:
                return GNUTLS_E_CERTIFICATE_ERROR; /* taken also where it was not offered */
        case GNUTLS_HANDSHAKE_SERVER_KEY_EXCHANGE:
                return look_at_exchange(session, message);
        default:
                return 0;
        }
}

void tls_bound_keys(gnutls_session_t session) {
        gnutls_handshake_set_hook_function(
                        session, GNUTLS_HANDSHAKE_ANY, GNUTLS_HOOK_PRE, on_message);
}
