/* Requests of lib/web.h, and their queries. */
#include "lib/web.h"

#include "lib/hex.h"

struct web_request *web_request_new(const char *method, const char *path, const char *query) {
        struct web_request *w = calloc(1, sizeof(*w));

        if (!w)
                return NULL;
        w->method = strdup(method);
        w->path = strdup(path);
        w->query = strdup(query);
        if (w->method && w->path && w->query)
                return w;
        web_answer(w, 0, /* type= */ NULL, /* body= */ NULL, 0);
        return NULL;
}

void web_answer(struct web_request *w, int code, const char *type, const void *body, size_t n) {
        if (w->client)
                w->answer(w->client, code, type, body, n);
        free(w->method);
        free(w->path);
        free(w->query);
        free(w);
}

void web_answer_text(struct web_request *w, int code, const char *text) {
        web_answer(w, code, "text/plain; charset=utf-8", text, strlen(text));
}

char *web_query_decode(const char *s, size_t n) {
        char *out = malloc(n + 1), *o = out;

        if (!out)
                return NULL;
        for (size_t i = 0; i < n; i++) {
                int high = s[i] == '%' && i + 2 < n ? hex_digit(s[i + 1]) : -1;
                int low = high >= 0 ? hex_digit(s[i + 2]) : -1;

                if (low >= 0 && (high | low)) {
                        *o++ = (char)(high << 4 | low);
                        i += 2;
                } else
                        *o++ = s[i] == '+' ? ' ' : s[i];
        }
        *o = 0;
        return out;
}

/* The next value of the parameter behind *at, which moves on; NULL: there is none. */
static char *next_value(const char **at, const char *name) {
        while (**at) {
                const char *s = *at, *equals;
                size_t n = strcspn(s, "&"), name_size;
                _cleanup_free_ char *key = NULL;

                *at += n + (s[n] == '&');
                equals = memchr(s, '=', n);
                name_size = equals ? (size_t)(equals - s) : n;
                key = web_query_decode(s, name_size);
                if (key && n > 0 && streq(key, name))
                        return equals ? web_query_decode(equals + 1, n - name_size - 1)
                                      : strdup("");
        }
        return NULL;
}

char *web_query(const struct web_request *w, const char *name) {
        const char *at = w->query;

        return next_value(&at, name);
}

bool web_query_has(const struct web_request *w, const char *name, const char *value) {
        const char *at = w->query;

        for (;;) {
                _cleanup_free_ char *v = next_value(&at, name);

                if (!v)
                        return false;
                if (streq(v, value))
                        return true;
        }
}
