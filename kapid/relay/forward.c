/* Names of headers are compared in one form, whatever their spelling: servers behind gateways treat
 * "X_Remote_User" as "X-Remote-User" (RFC 3875 section 4.1.18). Reference:
 * transport.SetAuthProxyHeaders of client-go, the hop-by-hop headers of RFC 9110 section 7.6.1. */
#include "kapid/relay/forward.h"

#include <ctype.h>

#include "lib/hex.h"

enum { NAME_SIZE_MAX = 256 };

void forward_headers_done(struct forward_headers *h) {
        for (size_t i = 0; i < h->count; i++) {
                free((char *)h->items[i].name);
                free((char *)h->items[i].value);
        }
        vector_done(h);
        h->bytes = 0;
}

unsigned forward_hops(const char *header) {
        uint64_t n = 0;

        if (header && (parse_u64(header, &n) < 0 || n > FORWARD_HOPS_MAX))
                return FORWARD_HOPS_MAX;
        return (unsigned)n;
}

static bool is_token(const char *s) {
        if (!*s || strlen(s) > NAME_SIZE_MAX)
                return false;
        for (; *s; s++)
                if (!isalnum((unsigned char)*s) && !strchr("!#$%&'*+-.^_`|~", *s))
                        return false;
        return true;
}

/* Neither control characters, nor blanks at its ends, which readers cut off. */
static bool is_value(const char *s) {
        size_t n = strlen(s);

        if (n > 0 && (*s == ' ' || *s == '\t' || s[n - 1] == ' ' || s[n - 1] == '\t'))
                return false;
        for (; *s; s++)
                if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
                        return false;
        return true;
}

int forward_add(struct forward_headers *h, const char *name, const char *value) {
        struct http_header pair;
        int r;

        if (!is_token(name) || !is_value(value))
                return -EINVAL;
        h->bytes += strlen(name) + strlen(value) + 4;
        if (h->bytes > FORWARD_BYTES_MAX)
                return -E2BIG;
        r = vector_reserve(h, 2);
        if (r < 0)
                return r;
        pair = (struct http_header){.name = strdup(name), .value = strdup(value)};
        if (!pair.name || !pair.value) {
                free((char *)pair.name);
                free((char *)pair.value);
                return -ENOMEM;
        }
        h->items[h->count++] = pair;
        h->items[h->count] = (struct http_header){0};
        return 0;
}

int forward_add_client(struct forward_headers *h, const char *name, const char *value) {
        static const char token[] = "base64url.bearer.authorization.k8s.io.";
        _cleanup_free_ char *copy = NULL;
        _cleanup_buf_ struct buf kept = {0};
        char *save = NULL;

        if (!strcaseeq(name, "Sec-WebSocket-Protocol"))
                return forward_add(h, name, value);
        copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        for (char *s = strtok_r(copy, ", \t", &save); s; s = strtok_r(NULL, ", \t", &save))
                if (!startswith(s, token))
                        buf_printf(&kept, "%s%s", kept.size > 0 ? ", " : "", s);
        if (kept.failed)
                return -ENOMEM;
        return kept.size > 0 ? forward_add(h, name, kept.data) : 0;
}

/* --- the target --- */

/* RFC 3986 section 3.3: pchar, but for '%'. */
static bool is_path_char(unsigned char c) {
        return isalnum(c) || (c && strchr("-._~!$&'()*+,;=:@", c));
}

static int put_segment(struct buf *out, const char *s, size_t n) {
        size_t from = out->size;

        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char)s[i];

                if (c == '%') {
                        int high = i + 2 < n ? hex_digit(s[i + 1]) : -1,
                            low = i + 2 < n ? hex_digit(s[i + 2]) : -1;

                        if (high < 0 || low < 0)
                                return -EINVAL;
                        c = (unsigned char)(high * 16 + low);
                        i += 2;
                }
                if (c < 0x20 || c == 0x7f || c == '/' || c == '\\')
                        return -EINVAL;
                if (is_path_char(c))
                        buf_append_char(out, (char)c);
                else
                        buf_printf(out, "%%%02X", c);
        }
        return out->data && (streq(out->data + from, ".") || streq(out->data + from, ".."))
                               ? -EINVAL
                               : 0;
}

static int put_path(struct buf *out, const char *path) {
        while (*path) {
                size_t n;
                int r;

                path += strspn(path, "/");
                n = strcspn(path, "/");
                buf_append_char(out, '/'); /* also the one at the end */
                r = put_segment(out, path, n);
                if (r < 0)
                        return r;
                path += n;
        }
        return 0;
}

void forward_put_query(struct buf *out, const char *query) {
        if (!isempty(query))
                buf_append_char(out, '?');
        for (const char *s = strempty(query); *s; s++)
                if ((unsigned char)*s <= 0x20 || (unsigned char)*s >= 0x7f || *s == '#')
                        buf_printf(out, "%%%02X", (unsigned char)*s);
                else
                        buf_append_char(out, *s);
}

int forward_target(const char *path, const char *query, char **ret, struct problem *p) {
        _cleanup_buf_ struct buf out = {0};

        if (put_path(&out, path) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "the path is badly encoded, or has a segment that is not a name");
        forward_put_query(&out, query);
        *ret = buf_take(&out);
        return *ret ? 0 : -ENOMEM;
}

/* --- headers --- */

/* "x-remote-user" for "X_Remote_User". */
static void normalise(const char *name, char ret[static NAME_SIZE_MAX + 1]) {
        size_t i;

        for (i = 0; name[i] && i < NAME_SIZE_MAX; i++)
                ret[i] = isalnum((unsigned char)name[i]) ? (char)tolower((unsigned char)name[i])
                                                         : '-';
        ret[i] = 0;
}

bool forward_lists(const char *list, const char *name) {
        for (const char *s = strempty(list); *s;) {
                size_t n = strcspn(s, ",");
                const char *end = s + n;

                while (s < end && (*s == ' ' || *s == '\t'))
                        s++;
                for (n = (size_t)(end - s); n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t');)
                        n--;
                if (n == strlen(name) && strncasecmp(s, name, n) == 0)
                        return true;
                s = *end ? end + 1 : end;
        }
        return false;
}

/* An entry that ends in '*' stands for all that begin so. */
static bool is_one_of(const char *name, const char *const *list) {
        for (; *list; list++) {
                size_t n = strlen(*list);

                if ((*list)[n - 1] == '*' ? strncmp(name, *list, n - 1) == 0 : streq(name, *list))
                        return true;
        }
        return false;
}

static const char *const of_connections[] = {"connection", "keep-alive", "proxy-*", "te", "trailer",
                "trailers", "transfer-encoding", "upgrade", "http2-settings", "content-length",
                NULL};
/* Set here, or the client's credentials. */
static const char *const not_taken[] = {"accept", "audit-id", "authorization", "content-type",
                "expect", "forwarded", "host", "impersonate-*", "x-forwarded-*", "x-real-ip",
                "x-remote*", NULL};
/* The server's answer says them itself; CORS is between a browser and kapid. */
static const char *const not_returned[] = {"access-control-*", "alt-svc", "audit-id",
                "cache-control", "content-type", "date", NULL};

static bool passes(const char *name, const char *value, const char *connection,
                const char *const *kept) {
        char plain[NAME_SIZE_MAX + 1];

        if (!is_token(name) || !is_value(value))
                return false;
        normalise(name, plain);
        return !is_one_of(plain, of_connections) && !is_one_of(plain, kept) &&
               !forward_lists(connection, name);
}

bool forward_takes(const char *name, const char *value, const char *connection) {
        return passes(name, value, connection, not_taken);
}

bool forward_returns(const char *name, const char *value, const char *connection) {
        return passes(name, value, connection, not_returned);
}

/* --- the user --- */

static int refuse(struct problem *p, int r, const char *what, const char *value) {
        if (r == -EINVAL)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "the %s of this user cannot be passed on to the extension server: "
                                "it has control characters, or blanks at an end (%zu bytes)",
                                what, strlen(value));
        if (r == -E2BIG)
                return problem_set(p, E2BIG, 400, "BadRequest",
                                "the groups and extra values of this user are too large to be "
                                "passed on to the extension server (bound: %d bytes)",
                                FORWARD_BYTES_MAX);
        return r;
}

/* As client-go: everything that a header's name cannot have, and '%', as %XX. */
static int extra_name(const char *key, struct buf *ret) {
        buf_append_str(ret, "X-Remote-Extra-");
        for (; *key; key++)
                if (isalnum((unsigned char)*key) || strchr("!#$&'*+-.^_`|~", *key))
                        buf_append_char(ret, (char)*key);
                else
                        buf_printf(ret, "%%%02X", (unsigned char)*key);
        return ret->failed ? -ENOMEM : 0;
}

static int add_extra(const struct user *u, struct forward_headers *h, struct problem *p) {
        const json_t *values, *v;
        const char *key;
        size_t i;

        json_object_each (u->extra, key, values) {
                _cleanup_buf_ struct buf name = {0};
                int r = extra_name(key, &name);

                if (r < 0)
                        return r;
                json_array_foreach (values, i, v) {
                        const char *text = strempty(json_string_value(v));

                        if (!*text)
                                continue;
                        r = forward_add(h, name.data, text);
                        if (r < 0)
                                return refuse(p, r, "extra value", text);
                }
        }
        return 0;
}

int forward_identity(const struct user *u, struct forward_headers *h, struct problem *p) {
        const char *name = strempty(u->name);
        int r = *name ? forward_add(h, "X-Remote-User", name) : -EINVAL;

        if (r < 0)
                return refuse(p, r, "name", name);
        if (!isempty(u->uid)) {
                r = forward_add(h, "X-Remote-Uid", u->uid);
                if (r < 0)
                        return refuse(p, r, "uid", u->uid);
        }
        for (char *const *g = u->groups; g && *g; g++) {
                if (!**g)
                        continue;
                r = forward_add(h, "X-Remote-Group", *g);
                if (r < 0)
                        return refuse(p, r, "group", *g);
        }
        return add_extra(u, h, p);
}
