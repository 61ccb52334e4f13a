/* A token is base64url of {"v":1,"rv":N,"start":PATH}, without padding. */
#include "kapid/verbs/continue.h"

#include "lib/buf.h"
#include "lib/json.h"
#include "lib/pki.h"

char *continue_token(uint64_t revision, const char *path) {
        _cleanup_json_ json_t *v = json_pack(
                        "{si, sI, ss}", "v", 1, "rv", revision == CONTINUE_NEWEST ? -1 : (json_int_t)revision,
                        "start", path);
        _cleanup_free_ char *text = v ? json_text(v) : NULL;
        char *token = text ? base64_encode(text, strlen(text)) : NULL;
        size_t n = token ? strlen(token) : 0;

        for (size_t i = 0; i < n; i++)
                token[i] = token[i] == '+' ? '-' : token[i] == '/' ? '_' : token[i];
        while (n > 0 && token[n - 1] == '=')
                token[--n] = 0;
        return token;
}

int continue_parse(const char *token, uint64_t *ret_revision, char **ret_path, struct problem *p) {
        _cleanup_buf_ struct buf b = {0};
        _cleanup_free_ void *data = NULL;
        _cleanup_json_ json_t *v = NULL;
        const char *start = NULL;
        int64_t revision = 0;
        size_t n;

        for (const char *s = token; *s; s++)
                buf_append_char(&b, *s == '-' ? '+' : *s == '_' ? '/' : *s);
        while (b.size % 4)
                buf_append_char(&b, '=');
        if (b.failed)
                return -ENOMEM;
        if (b.size > 0 && b.size < 4096 && base64_decode(b.data, &data, &n) >= 0 &&
                        json_parse(data, n, 0, &v, NULL) >= 0) {
                revision = json_int_or(v, "rv", 0);
                start = json_str(v, "start");
        }
        if (!start || revision == 0 || revision < -1 || json_int_or(v, "v", 0) != 1)
                return problem_set(p, EINVAL, 400, "BadRequest", "continue key is not valid");
        *ret_path = strdup(start);
        if (!*ret_path)
                return -ENOMEM;
        *ret_revision = revision < 0 ? CONTINUE_NEWEST : (uint64_t)revision;
        return 0;
}
