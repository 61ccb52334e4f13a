/* The grammar of challenges: scheme, then parameters name=token or name="quoted", with commas
 * between them; the next word that is not followed by '=' is the next challenge's scheme. */
#include "nodeagent/image/challenge.h"

#include <strings.h>

#include "lib/buf.h"
#include "lib/http-client.h"

void challenge_done(struct challenge *c) {
        free(c->realm);
        free(c->service);
        free(c->scope);
        *c = (struct challenge){0};
}

static bool is_token_char(char c) {
        return c && (unsigned char)c > ' ' && (unsigned char)c < 127 &&
               !strchr("()<>@,;:\\\"/[]?={}", c);
}

static size_t token_length(const char *s) {
        size_t n = 0;

        while (is_token_char(s[n]))
                n++;
        return n;
}

/* The value at *s, quoted or not; *s moves behind it. */
static int read_value(const char **s, char **ret) {
        _cleanup_buf_ struct buf b = {0};
        const char *at = *s;

        if (*at == '"') {
                for (at++; *at && *at != '"'; at++) {
                        if (*at == '\\' && at[1])
                                at++;
                        buf_append_char(&b, *at);
                }
                at += *at == '"';
        } else
                for (; *at && !strchr(", \t", *at); at++)
                        buf_append_char(&b, *at);
        *s = at;
        *ret = buf_take(&b);
        return *ret ? 0 : -ENOMEM;
}

static void keep(struct challenge *c, const char *name, size_t n, char **value) {
        const struct {
                const char *name;
                char **to;
        } known[] = {{"realm", &c->realm}, {"service", &c->service}, {"scope", &c->scope}};

        for (size_t i = 0; i < ELEMENTS(known); i++)
                if (strlen(known[i].name) == n && strncasecmp(known[i].name, name, n) == 0 &&
                                !*known[i].to)
                        *known[i].to = TAKE_PTR(*value);
}

/* The parameters of a challenge; *s moves to the next one's scheme or to the end. */
static int read_parameters(const char **s, struct challenge *c) {
        for (;;) {
                _cleanup_free_ char *value = NULL;
                const char *at = *s + strspn(*s, " \t,"), *after;
                size_t n = token_length(at);
                int r;

                *s = at;
                after = at + n + strspn(at + n, " \t");
                if (n == 0 || *after != '=')
                        return 0;
                after += 1 + strspn(after + 1, " \t");
                r = read_value(&after, &value);
                if (r < 0)
                        return r;
                keep(c, at, n, &value);
                *s = after;
        }
}

int challenge_parse(const char *header, struct challenge *ret) {
        _cleanup_challenge_ struct challenge basic = {0};
        bool found = false;

        if (strlen(header) > CHALLENGE_SIZE_MAX)
                return 0;
        for (const char *s = header + strspn(header, " \t,"); *s; s += strspn(s, " \t,")) {
                _cleanup_challenge_ struct challenge c = {0};
                const char *scheme = s;
                size_t n = token_length(s);
                int r;

                if (n == 0)
                        break;
                s += n;
                r = read_parameters(&s, &c);
                if (r < 0)
                        return r;
                if (n == 6 && strncasecmp(scheme, "Bearer", n) == 0 && c.realm) {
                        *ret = c;
                        c = (struct challenge){0};
                        return 1;
                }
                if (n == 5 && strncasecmp(scheme, "Basic", n) == 0 && !found) {
                        found = true;
                        basic = c;
                        basic.basic = true;
                        c = (struct challenge){0};
                }
        }
        if (!found)
                return 0;
        *ret = basic;
        basic = (struct challenge){0};
        return 1;
}

int challenge_split_url(const char *url, char **ret_base, char **ret_path) {
        _cleanup_free_ char *base = NULL, *path = NULL;
        const char *host = startswith(url, "https://");
        size_t n, size;

        host = host ? host : startswith(url, "http://");
        if (!host)
                return -EINVAL;
        n = strcspn(host, "/?#");
        if (n == 0)
                return -EINVAL;
        for (const char *s = url; *s; s++)
                if ((unsigned char)*s <= ' ' || *s == 127)
                        return -EINVAL;
        for (size_t i = 0; i < n; i++)
                if (host[i] == '@' || host[i] == '\\')
                        return -EINVAL;
        size = strcspn(host + n, "#");
        base = strndup(url, (size_t)(host - url) + n);
        path = strformat("%s%.*s", host[n] == '/' ? "" : "/", (int)size, host + n);
        if (!base || !path)
                return -ENOMEM;
        *ret_base = TAKE_PTR(base);
        *ret_path = TAKE_PTR(path);
        return 0;
}

int challenge_redirect(const char *base, const char *location, char **ret_base, char **ret_path) {
        _cleanup_free_ char *full = NULL;

        if (startswith(location, "//"))
                full = strformat("%.*s%s", startswith(base, "https:") ? 6 : 5, base, location);
        else if (*location == '/')
                full = strformat("%s%s", base, location);
        else
                full = strdup(location);
        if (!full)
                return -ENOMEM;
        if (startswith(base, "https://") && startswith(full, "http://"))
                return -EPERM;
        return challenge_split_url(full, ret_base, ret_path);
}

int challenge_add_query(char **path, const char *name, const char *value) {
        _cleanup_free_ char *escaped = url_escape(value), *longer = NULL;

        if (!escaped)
                return -ENOMEM;
        longer = strformat("%s%s%s=%s", *path, strchr(*path, '?') ? "&" : "?", name, escaped);
        if (!longer)
                return -ENOMEM;
        free(*path);
        *path = TAKE_PTR(longer);
        return 0;
}
