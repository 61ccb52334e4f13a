/* A key decides which algorithms are possible with it, a token only chooses one of them: a public
 * RSA key is never the secret of an HMAC (RFC 8725 section 3.1). */
#include "lib/jwk.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "lib/crypto.h"
#include "lib/vector.h"

enum key_type { KEY_RSA, KEY_EC };

static const struct algorithm {
        const char *name;
        enum key_type type;
        gnutls_sign_algorithm_t sign;
        gnutls_ecc_curve_t curve;
        size_t coordinate_size; /* of the curve */
} algorithms[] = {
                {"RS256", KEY_RSA, GNUTLS_SIGN_RSA_SHA256, 0, 0},
                {"RS384", KEY_RSA, GNUTLS_SIGN_RSA_SHA384, 0, 0},
                {"RS512", KEY_RSA, GNUTLS_SIGN_RSA_SHA512, 0, 0},
                {"PS256", KEY_RSA, GNUTLS_SIGN_RSA_PSS_SHA256, 0, 0},
                {"PS384", KEY_RSA, GNUTLS_SIGN_RSA_PSS_SHA384, 0, 0},
                {"PS512", KEY_RSA, GNUTLS_SIGN_RSA_PSS_SHA512, 0, 0},
                {"ES256", KEY_EC, GNUTLS_SIGN_ECDSA_SHA256, GNUTLS_ECC_CURVE_SECP256R1, 32},
                {"ES384", KEY_EC, GNUTLS_SIGN_ECDSA_SHA384, GNUTLS_ECC_CURVE_SECP384R1, 48},
                {"ES512", KEY_EC, GNUTLS_SIGN_ECDSA_SHA512, GNUTLS_ECC_CURVE_SECP521R1, 66},
};

static const struct {
        const char *name;
        gnutls_ecc_curve_t curve;
        size_t coordinate_size;
} curves[] = {
                {"P-256", GNUTLS_ECC_CURVE_SECP256R1, 32},
                {"P-384", GNUTLS_ECC_CURVE_SECP384R1, 48},
                {"P-521", GNUTLS_ECC_CURVE_SECP521R1, 66},
};

struct jwk {
        gnutls_pubkey_t public;
        enum key_type type;
        gnutls_ecc_curve_t curve;
        char *id;        /* NULL: none */
        char *algorithm; /* NULL: any that fits */
};

struct jwk_set {
        VECTOR(struct jwk) keys;
};

static const struct algorithm *algorithm_find(const char *name) {
        for (size_t i = 0; i < ELEMENTS(algorithms); i++)
                if (streq(algorithms[i].name, name))
                        return &algorithms[i];
        return NULL;
}

bool jwk_algorithm_is_known(const char *name) {
        return algorithm_find(name);
}

/* --- reading keys --- */

static void jwk_done(struct jwk *k) {
        if (k->public)
                gnutls_pubkey_deinit(k->public);
        free(k->id);
        free(k->algorithm);
}

struct jwk_set *jwk_set_free(struct jwk_set *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->keys.count; i++)
                jwk_done(&s->keys.items[i]);
        vector_done(&s->keys);
        return mfree(s);
}

size_t jwk_set_count(const struct jwk_set *s) {
        return s->keys.count;
}

/* A member in Base64 for URLs; the caller frees the data. */
static int read_bytes(const json_t *key, const char *name, gnutls_datum_t *ret) {
        const char *text = json_str_or(key, name, "");
        void *data;
        size_t n;
        int r = base64url_decode(text, strlen(text), &data, &n);

        if (r < 0)
                return r;
        if (n == 0 || n > JWK_RSA_BITS_MAX / 8 + 1) {
                free(data);
                return -EINVAL;
        }
        *ret = (gnutls_datum_t){.data = data, .size = (unsigned)n};
        return 0;
}

static void datum_done(gnutls_datum_t *d) {
        free(d->data);
}

static int import_rsa(struct jwk *k, const json_t *key) {
        _cleanup_(datum_done) gnutls_datum_t modulus = {0}, exponent = {0};
        unsigned bits = 0;
        int r = read_bytes(key, "n", &modulus);

        if (r < 0)
                return r;
        r = read_bytes(key, "e", &exponent);
        if (r < 0)
                return r;
        if (gnutls_pubkey_import_rsa_raw(k->public, &modulus, &exponent) < 0)
                return -EINVAL;
        if (gnutls_pubkey_get_pk_algorithm(k->public, &bits) != GNUTLS_PK_RSA ||
                        bits < JWK_RSA_BITS_MIN || bits > JWK_RSA_BITS_MAX)
                return -EINVAL;
        k->type = KEY_RSA;
        return 0;
}

static int find_curve(const char *name, gnutls_ecc_curve_t *ret, size_t *ret_size) {
        for (size_t i = 0; i < ELEMENTS(curves); i++)
                if (streq(curves[i].name, name)) {
                        *ret = curves[i].curve;
                        *ret_size = curves[i].coordinate_size;
                        return 0;
                }
        return -EINVAL;
}

static int import_ec(struct jwk *k, const json_t *key) {
        _cleanup_(datum_done) gnutls_datum_t x = {0}, y = {0};
        size_t size;
        int r = find_curve(json_str_or(key, "crv", ""), &k->curve, &size);

        if (r < 0)
                return r;
        r = read_bytes(key, "x", &x);
        if (r < 0)
                return r;
        r = read_bytes(key, "y", &y);
        if (r < 0)
                return r;
        if (x.size != size || y.size != size) /* RFC 7518 section 6.2.1.2 */
                return -EINVAL;
        k->type = KEY_EC;
        return gnutls_pubkey_import_ecc_raw(k->public, k->curve, &x, &y) < 0 ? -EINVAL : 0;
}

static int copy(char **to, const char *from) {
        *to = from ? strdup(from) : NULL;
        return from && !*to ? -ENOMEM : 0;
}

/* -EINVAL: one that we do not use. */
static int jwk_read(struct jwk *k, const json_t *key) {
        const char *type = json_str_or(key, "kty", "");
        bool rsa = streq(type, "RSA");

        if (!streq(json_str_or(key, "use", "sig"), "sig") || (!rsa && !streq(type, "EC")))
                return -EINVAL;
        if (copy(&k->id, json_str(key, "kid")) < 0 || copy(&k->algorithm, json_str(key, "alg")) < 0)
                return -ENOMEM;
        if (gnutls_pubkey_init(&k->public) < 0)
                return -ENOMEM;
        return rsa ? import_rsa(k, key) : import_ec(k, key);
}

static int add_key(struct jwk_set *s, const json_t *key) {
        _cleanup_(jwk_done) struct jwk k = {0};
        int r = jwk_read(&k, key);

        if (r < 0)
                return r;
        r = vector_append(&s->keys, k);
        if (r < 0)
                return r;
        k = (struct jwk){0};
        return 0;
}

int jwk_set_new(struct jwk_set **ret, const json_t *document, struct problem *p) {
        _cleanup_(jwk_set_freep) struct jwk_set *s = calloc(1, sizeof(*s));
        const json_t *keys = json_object_get(document, "keys"), *v;
        size_t i;

        if (!s)
                return -ENOMEM;
        if (!json_is_array(keys))
                return problem_set(p, EINVAL, 0, NULL, "it has no list of keys");
        if (json_array_size(keys) > JWK_COUNT_MAX)
                return problem_set(p, EINVAL, 0, NULL, "it has %zu keys, and at most %d are read",
                                json_array_size(keys), JWK_COUNT_MAX);
        json_array_foreach (keys, i, v) {
                int r = add_key(s, v);

                if (r < 0 && r != -EINVAL)
                        return r;
        }
        if (s->keys.count == 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "none of its %zu keys is an RSA key of %d bits or more, or an EC "
                                "key on P-256, P-384 or P-521, for signatures",
                                json_array_size(keys), JWK_RSA_BITS_MIN);
        *ret = TAKE_PTR(s);
        return 0;
}

/* --- verifying --- */

static bool fits(const struct jwk *k, const struct algorithm *a, const char *id) {
        if (k->type != a->type || (a->type == KEY_EC && k->curve != a->curve))
                return false;
        if (k->algorithm && !streq(k->algorithm, a->name))
                return false;
        return !id || streq_ptr(k->id, id);
}

/* r and s side by side, as DER. */
static int der_of(const struct algorithm *a, const struct jws *w, gnutls_datum_t *ret) {
        const unsigned char *raw = w->signature;
        gnutls_datum_t first = {.data = (unsigned char *)raw, .size = (unsigned)a->coordinate_size},
                       second = {.data = (unsigned char *)raw + a->coordinate_size,
                                       .size = (unsigned)a->coordinate_size};

        if (w->signature_size != 2 * a->coordinate_size)
                return -EINVAL;
        return gnutls_encode_rs_value(ret, &first, &second) < 0 ? -EINVAL : 0;
}

static int verify(const struct jwk *k, const struct algorithm *a, const struct jws *w) {
        gnutls_datum_t data = {.data = (unsigned char *)w->data, .size = (unsigned)w->size},
                       given = {.data = (unsigned char *)w->signature,
                                       .size = (unsigned)w->signature_size},
                       der = {0};
        int r;

        if (a->type == KEY_RSA)
                return gnutls_pubkey_verify_data2(k->public, a->sign, 0, &data, &given) < 0
                                       ? -EINVAL
                                       : 0;
        r = der_of(a, w, &der);
        if (r < 0)
                return r;
        r = gnutls_pubkey_verify_data2(k->public, a->sign, 0, &data, &der) < 0 ? -EINVAL : 0;
        gnutls_free(der.data);
        return r;
}

int jwk_set_verify(const struct jwk_set *s, const struct jws *w) {
        const struct algorithm *a = algorithm_find(w->algorithm);
        int r = -ENOKEY;

        if (!a)
                return -EINVAL;
        assert(w->size <= UINT32_MAX && w->signature_size <= UINT32_MAX);
        for (size_t i = 0; i < s->keys.count; i++) {
                if (!fits(&s->keys.items[i], a, w->key_id))
                        continue;
                r = verify(&s->keys.items[i], a, w);
                if (r >= 0)
                        return 0;
        }
        return r;
}
