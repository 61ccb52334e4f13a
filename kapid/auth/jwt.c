/* JWS compact form (RFC 7515): base64url(header).base64url(claims).base64url(signature). ECDSA
 * signatures are r and s side by side there (RFC 7518 section 3.4), DER in GnuTLS. */
#include "kapid/auth/jwt.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

enum { TOKEN_SIZE_MAX = 16384, COORDINATE_SIZE = 32 };

struct jwt_key {
        gnutls_privkey_t private; /* NULL: verifies only */
        gnutls_pubkey_t public;
        gnutls_sign_algorithm_t algorithm;
        const char *alg;
        char id[65];
};

static int load(struct jwt_key *k, const gnutls_datum_t *pem) {
        if (gnutls_pubkey_init(&k->public) < 0 || gnutls_privkey_init(&k->private) < 0)
                return -ENOMEM;
        if (gnutls_privkey_import_x509_raw(k->private, pem, GNUTLS_X509_FMT_PEM, NULL, 0) >= 0)
                return gnutls_pubkey_import_privkey(k->public, k->private, 0, 0) < 0 ? -EINVAL : 0;
        gnutls_privkey_deinit(k->private);
        k->private = NULL;
        return gnutls_pubkey_import(k->public, pem, GNUTLS_X509_FMT_PEM) < 0 ? -EINVAL : 0;
}

int jwt_key_new(struct jwt_key **ret, const char *pem) {
        _cleanup_(jwt_key_freep) struct jwt_key *k = calloc(1, sizeof(*k));
        unsigned char id[20];
        size_t n = sizeof(id);
        unsigned bits;
        int r;

        if (!k)
                return -ENOMEM;
        r = load(k, &(gnutls_datum_t){.data = (unsigned char *)pem, .size = (unsigned)strlen(pem)});
        if (r < 0)
                return r;
        switch (gnutls_pubkey_get_pk_algorithm(k->public, &bits)) {
        case GNUTLS_PK_ECDSA:
                if (bits != 256)
                        return -EINVAL;
                k->algorithm = GNUTLS_SIGN_ECDSA_SHA256;
                k->alg = "ES256";
                break;
        case GNUTLS_PK_RSA:
                k->algorithm = GNUTLS_SIGN_RSA_SHA256;
                k->alg = "RS256";
                break;
        default:
                return -EINVAL;
        }
        if (gnutls_pubkey_get_key_id(k->public, 0, id, &n) >= 0)
                for (size_t i = 0; i < n; i++)
                        snprintf(k->id + 2 * i, 3, "%02x", id[i]);
        *ret = TAKE_PTR(k);
        return 0;
}

struct jwt_key *jwt_key_free(struct jwt_key *k) {
        if (!k)
                return NULL;
        if (k->private)
                gnutls_privkey_deinit(k->private);
        if (k->public)
                gnutls_pubkey_deinit(k->public);
        return mfree(k);
}

bool jwt_key_can_sign(const struct jwt_key *k) {
        return k->private;
}

static int base64url(const void *data, size_t n, struct buf *out);

static int append_json(struct buf *out, const json_t *v) {
        _cleanup_free_ char *text = json_text(v);

        return text ? base64url(text, strlen(text), out) : -ENOMEM;
}

static int base64url(const void *data, size_t n, struct buf *out) {
        gnutls_datum_t in = {.data = (void *)data, .size = (unsigned)n}, text;

        if (gnutls_base64_encode2(&in, &text) < 0)
                return -ENOMEM;
        for (unsigned i = 0; i < text.size && text.data[i] != '='; i++) {
                char c = (char)text.data[i];

                buf_append_char(out, c == '+' ? '-' : c == '/' ? '_' : c);
        }
        gnutls_free(text.data);
        return out->failed ? -ENOMEM : 0;
}

static int base64url_decode(const char *s, size_t n, gnutls_datum_t *ret) {
        _cleanup_buf_ struct buf b = {0};

        for (size_t i = 0; i < n; i++) {
                if (s[i] == '+' || s[i] == '/' || s[i] == '=')
                        return -EINVAL;
                buf_append_char(&b, s[i] == '-' ? '+' : s[i] == '_' ? '/' : s[i]);
        }
        while (b.size % 4)
                buf_append_char(&b, '=');
        if (b.failed || b.size == 0)
                return -EINVAL;
        return gnutls_base64_decode2(
                               &(gnutls_datum_t){.data = (void *)b.data, .size = (unsigned)b.size},
                               ret) < 0
                               ? -EINVAL
                               : 0;
}

/* r and s, each padded to its size. */
static int append_raw_signature(const gnutls_datum_t *der, struct buf *out) {
        unsigned char raw[2 * COORDINATE_SIZE] = {0};
        gnutls_datum_t part[2];
        int e = 0;

        if (gnutls_decode_rs_value(der, &part[0], &part[1]) < 0)
                return -EINVAL;
        for (size_t i = 0; i < 2; i++) {
                const unsigned char *d = part[i].data;
                size_t n = part[i].size;

                for (; n > COORDINATE_SIZE && *d == 0; n--)
                        d++;
                if (n > COORDINATE_SIZE)
                        e = -EINVAL;
                else
                        memcpy(raw + (i + 1) * COORDINATE_SIZE - n, d, n);
        }
        gnutls_free(part[0].data);
        gnutls_free(part[1].data);
        return e < 0 ? e : base64url(raw, sizeof(raw), out);
}

int jwt_sign(const struct jwt_key *k, const json_t *claims, char **ret) {
        _cleanup_json_ json_t *header = json_pack("{ss, ss}", "alg", k->alg, "kid", k->id);
        _cleanup_buf_ struct buf out = {0};
        gnutls_datum_t signature;
        int r;

        if (!k->private)
                return -EOPNOTSUPP;
        if (!header)
                return -ENOMEM;
        r = append_json(&out, header);
        if (r < 0)
                return r;
        buf_append_char(&out, '.');
        r = append_json(&out, claims);
        if (r < 0)
                return r;
        if (gnutls_privkey_sign_data2(k->private, k->algorithm, 0,
                            &(gnutls_datum_t){.data = (void *)out.data, .size = (unsigned)out.size},
                            &signature) < 0)
                return -EIO;
        buf_append_char(&out, '.');
        r = k->algorithm == GNUTLS_SIGN_ECDSA_SHA256
                            ? append_raw_signature(&signature, &out)
                            : base64url(signature.data, signature.size, &out);
        gnutls_free(signature.data);
        if (r < 0)
                return r;
        *ret = buf_take(&out);
        return *ret ? 0 : -ENOMEM;
}

static int check_signature(
                const struct jwt_key *k, const char *token, size_t n, const gnutls_datum_t *raw) {
        gnutls_datum_t data = {.data = (void *)token, .size = (unsigned)n};
        gnutls_datum_t r, s, der;
        int e;

        if (k->algorithm != GNUTLS_SIGN_ECDSA_SHA256)
                return gnutls_pubkey_verify_data2(k->public, k->algorithm, 0, &data, raw) < 0
                                       ? -EINVAL
                                       : 0;
        if (raw->size != 2 * COORDINATE_SIZE)
                return -EINVAL;
        r = (gnutls_datum_t){.data = raw->data, .size = COORDINATE_SIZE};
        s = (gnutls_datum_t){.data = raw->data + COORDINATE_SIZE, .size = COORDINATE_SIZE};
        if (gnutls_encode_rs_value(&der, &r, &s) < 0)
                return -EINVAL;
        e = gnutls_pubkey_verify_data2(k->public, k->algorithm, 0, &data, &der) < 0 ? -EINVAL : 0;
        gnutls_free(der.data);
        return e;
}

static int decode_json(const char *s, size_t n, json_t **ret) {
        gnutls_datum_t text;
        int r = base64url_decode(s, n, &text);

        if (r < 0)
                return r;
        r = json_parse((const char *)text.data, text.size, 0, ret, NULL);
        gnutls_free(text.data);
        return r < 0 ? -EINVAL : 0;
}

int jwt_verify(const struct jwt_key *k, const char *token, uint64_t now_s, json_t **ret_claims) {
        const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
        _cleanup_json_ json_t *header = NULL, *claims = NULL;
        gnutls_datum_t signature;
        int r;

        if (!second || strlen(token) > TOKEN_SIZE_MAX)
                return -EINVAL;
        r = decode_json(token, (size_t)(first - token), &header);
        if (r < 0)
                return r;
        /* The key decides the algorithm, never the token (RFC 8725 section 3.1). */
        if (!streq(json_str_or(header, "alg", ""), k->alg))
                return -EINVAL;
        r = base64url_decode(second + 1, strlen(second + 1), &signature);
        if (r < 0)
                return r;
        r = check_signature(k, token, (size_t)(second - token), &signature);
        gnutls_free(signature.data);
        if (r < 0)
                return r;
        r = decode_json(first + 1, (size_t)(second - first - 1), &claims);
        if (r < 0)
                return r;
        if (json_int_or(claims, "exp", 0) <= (int64_t)now_s ||
                        json_int_or(claims, "nbf", 0) > (int64_t)now_s + 60)
                return -ETIME;
        *ret_claims = TAKE_PTR(claims);
        return 0;
}
