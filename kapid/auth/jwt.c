/* JWS compact form (RFC 7515): base64url(header).base64url(claims).base64url(signature). */
#include "kapid/auth/jwt.h"

#include "lib/crypto.h"

enum { TOKEN_SIZE_MAX = 16384 };

struct jwt_key {
        struct sign_key *key;
};

int jwt_key_new(struct jwt_key **ret, const char *pem) {
        _cleanup_(jwt_key_freep) struct jwt_key *k = calloc(1, sizeof(*k));
        int r;

        if (!k)
                return -ENOMEM;
        r = sign_key_new(&k->key, pem);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(k);
        return 0;
}

struct jwt_key *jwt_key_free(struct jwt_key *k) {
        if (k)
                sign_key_free(k->key);
        return mfree(k);
}

bool jwt_key_can_sign(const struct jwt_key *k) {
        return sign_key_is_private(k->key);
}

/* Appends bytes in base64url. */
static int append_encoded(struct buf *out, const void *data, size_t n) {
        _cleanup_free_ char *text = base64url_encode(data, n);

        return text ? buf_append_str(out, text) : -ENOMEM;
}

static int append_json(struct buf *out, const json_t *v) {
        _cleanup_free_ char *text = json_text(v);

        return text ? append_encoded(out, text, strlen(text)) : -ENOMEM;
}

int jwt_sign(const struct jwt_key *k, const json_t *claims, char **ret) {
        _cleanup_json_ json_t *header = json_pack(
                        "{ss, ss}", "alg", sign_key_algorithm(k->key), "kid", sign_key_id(k->key));
        _cleanup_free_ void *signature = NULL;
        _cleanup_buf_ struct buf out = {0};
        size_t n;
        int r;

        if (!jwt_key_can_sign(k))
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
        r = sign_key_sign(k->key, out.data, out.size, &signature, &n);
        if (r < 0)
                return r;
        buf_append_char(&out, '.');
        r = append_encoded(&out, signature, n);
        if (r < 0)
                return r;
        *ret = buf_take(&out);
        return *ret ? 0 : -ENOMEM;
}

static int decode_json(const char *s, size_t n, json_t **ret) {
        _cleanup_free_ void *text = NULL;
        size_t size;
        int r = base64url_decode(s, n, &text, &size);

        if (r < 0)
                return r;
        return json_parse(text, size, 0, ret, NULL) < 0 ? -EINVAL : 0;
}

int jwt_verify(const struct jwt_key *k, const char *token, uint64_t now_s, json_t **ret_claims) {
        const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
        _cleanup_json_ json_t *header = NULL, *claims = NULL;
        _cleanup_free_ void *signature = NULL;
        size_t n;
        int r;

        if (!second || strlen(token) > TOKEN_SIZE_MAX)
                return -EINVAL;
        r = decode_json(token, (size_t)(first - token), &header);
        if (r < 0)
                return r;
        /* The key decides the algorithm, never the token (RFC 8725 section 3.1). */
        if (!streq(json_str_or(header, "alg", ""), sign_key_algorithm(k->key)))
                return -EINVAL;
        r = base64url_decode(second + 1, strlen(second + 1), &signature, &n);
        if (r < 0)
                return r;
        r = sign_key_verify(k->key, token, (size_t)(second - token), signature, n);
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
