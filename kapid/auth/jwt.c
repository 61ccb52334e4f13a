/* JWS compact form (RFC 7515): base64url(header).base64url(claims).base64url(signature). */
#include "kapid/auth/jwt.h"

#include "lib/buf.h"
#include "lib/crypto.h"

enum { TOKEN_SIZE_MAX = 16384 };

/* --- signing --- */

static int append_encoded(struct buf *out, const void *data, size_t n) {
        _cleanup_free_ char *text = base64url_encode(data, n);

        return text ? buf_append_str(out, text) : -ENOMEM;
}

static int append_json(struct buf *out, const json_t *v) {
        _cleanup_free_ char *text = json_text(v);

        return text ? append_encoded(out, text, strlen(text)) : -ENOMEM;
}

static int append_signature(struct buf *out, const struct sign_key *key) {
        _cleanup_free_ void *signature = NULL;
        size_t n;
        int r;

        r = sign_key_sign(key, out->data, out->size, &signature, &n);
        if (r < 0)
                return r;
        r = buf_append_char(out, '.');
        if (r < 0)
                return r;
        return append_encoded(out, signature, n);
}

int jwt_sign(const struct sign_key *key, const json_t *claims, char **ret) {
        _cleanup_json_ json_t *header = json_pack(
                        "{ss, ss}", "alg", sign_key_algorithm(key), "kid", sign_key_id(key));
        _cleanup_buf_ struct buf out = {0};
        int r;

        if (!header)
                return -ENOMEM;
        r = append_json(&out, header);
        if (r < 0)
                return r;
        r = buf_append_char(&out, '.');
        if (r < 0)
                return r;
        r = append_json(&out, claims);
        if (r < 0)
                return r;
        r = append_signature(&out, key);
        if (r < 0)
                return r;
        *ret = buf_take(&out);
        return *ret ? 0 : -ENOMEM;
}

/* --- verifying --- */

static int decode_json(const char *s, size_t n, unsigned flags, json_t **ret) {
        _cleanup_free_ void *text = NULL;
        size_t size;
        int r;

        r = base64url_decode(s, n, &text, &size);
        if (r < 0)
                return r;
        return json_parse(text, size, flags, ret, NULL) < 0 ? -EINVAL : 0;
}

static int check_signature(const struct sign_key *key, const char *token, const char *dot) {
        _cleanup_free_ void *signature = NULL;
        size_t size;
        int r;

        r = base64url_decode(dot + 1, strlen(dot + 1), &signature, &size);
        if (r < 0)
                return r;
        return sign_key_verify(key, token, (size_t)(dot - token), signature, size);
}

int jwt_verify_signature(const struct sign_key *key, const char *token, json_t **ret_claims) {
        const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
        _cleanup_json_ json_t *header = NULL, *claims = NULL;
        int r;

        if (!second || strlen(token) > TOKEN_SIZE_MAX)
                return -EINVAL;
        r = decode_json(token, (size_t)(first - token), 0, &header);
        if (r < 0)
                return r;
        /* The key decides the algorithm, never the token (RFC 8725 section 3.1). */
        if (!streq(json_str_or(header, "alg", ""), sign_key_algorithm(key)))
                return -EINVAL;
        r = check_signature(key, token, second);
        if (r < 0)
                return r;
        r = decode_json(first + 1, (size_t)(second - first - 1), 0, &claims);
        if (r < 0)
                return r;
        *ret_claims = TAKE_PTR(claims);
        return 0;
}

int jwt_check_times(const json_t *claims, uint64_t now_s) {
        return json_int_or(claims, "exp", 0) <= (int64_t)now_s ||
                                       json_int_or(claims, "nbf", 0) > (int64_t)now_s + 60
                               ? -ETIME
                               : 0;
}

int jwt_verify(const struct sign_key *key, const char *token, uint64_t now_s, json_t **ret_claims) {
        _cleanup_json_ json_t *claims = NULL;
        int r = jwt_verify_signature(key, token, &claims);

        if (r < 0)
                return r;
        r = jwt_check_times(claims, now_s);
        if (r < 0)
                return r;
        *ret_claims = TAKE_PTR(claims);
        return 0;
}

void jwt_done(struct jwt *t) {
        json_decref(t->header);
        json_decref(t->claims);
        free(t->signature);
        *t = (struct jwt){0};
}

int jwt_parse(const char *token, struct jwt *ret) {
        const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
        _cleanup_jwt_ struct jwt t = {0};
        int r;

        if (!second || strlen(token) > TOKEN_SIZE_MAX)
                return -EINVAL;
        r = decode_json(token, (size_t)(first - token), JSON_PARSE_REJECT_DUPLICATES_FLAG,
                        &t.header);
        if (r < 0)
                return r;
        r = decode_json(first + 1, (size_t)(second - first - 1), JSON_PARSE_REJECT_DUPLICATES_FLAG,
                        &t.claims);
        if (r < 0)
                return r;
        if (!json_is_object(t.header) || !json_is_object(t.claims))
                return -EINVAL;
        r = base64url_decode(second + 1, strlen(second + 1), &t.signature, &t.signature_size);
        if (r < 0)
                return r;
        t.signed_text = token;
        t.signed_size = (size_t)(second - token);
        *ret = t;
        t = (struct jwt){0};
        return 0;
}
