/* What a client writes is decoded and encoded again: a server gets one spelling. */
#include "kapid/proxy/name.h"

#include <ctype.h>

#include "kapid/relay/forward.h"
#include "lib/buf.h"
#include "lib/hex.h"

enum { NAME_MAX_BYTES = 512 };

void proxy_name_done(struct proxy_name *n) {
        free(n->name);
        free(n->port);
        *n = (struct proxy_name){0};
}

static int refuse(const char *text, const char *singular, struct problem *p) {
        return problem_set(p, EINVAL, 400, "BadRequest",
                        "invalid %s request \"%.128s\": a name is meant, or NAME:PORT, or "
                        "SCHEME:NAME:PORT with the scheme http or https",
                        singular, text);
}

int proxy_name_parse(
                const char *text, const char *singular, struct proxy_name *ret, struct problem *p) {
        const char *first = strchr(text, ':'), *second = first ? strchr(first + 1, ':') : NULL;
        const char *name = second ? first + 1 : text, *end = second  ? second
                                                             : first ? first
                                                                     : text + strlen(text);
        _cleanup_proxy_name_ struct proxy_name n = {0};

        if (strlen(text) > NAME_MAX_BYTES || (second && strchr(second + 1, ':')) || end == name)
                return refuse(text, singular, p);
        n.tls = second && first - text == 5 && strncmp(text, "https", 5) == 0;
        if (second && !n.tls && first != text &&
                        !(first - text == 4 && strncmp(text, "http", 4) == 0))
                return refuse(text, singular, p);
        n.name = strndup(name, (size_t)(end - name));
        n.port = strdup(*end ? end + 1 : "");
        if (!n.name || !n.port)
                return -ENOMEM;
        *ret = n;
        n = (struct proxy_name){0};
        return 0;
}

/* --- paths --- */

/* In place: every segment moves to the left, over those that go. s begins with a slash. */
static void clean(char *s) {
        const char *in = s;
        char *out = s;
        bool folder = false; /* the last segment ends with a slash */

        while (*in) {
                size_t n;

                in += strspn(in, "/");
                n = strcspn(in, "/");
                folder = in[n] == '/' || n == 0;
                if (n == 2 && in[0] == '.' && in[1] == '.') {
                        while (out > s && *--out != '/')
                                ;
                        folder = true;
                } else if (n == 1 && *in == '.')
                        folder = true;
                else if (n > 0) {
                        *out++ = '/';
                        memmove(out, in, n);
                        out += n;
                }
                in += n;
        }
        if (out == s || folder)
                *out++ = '/';
        *out = 0;
}

int proxy_path(const char *rest, char **ret, struct problem *p) {
        _cleanup_free_ char *path = strformat("/%s", rest);

        if (!path)
                return -ENOMEM;
        if (hex_unescape(path, 1) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest", "the path is badly encoded");
        clean(path);
        *ret = TAKE_PTR(path);
        return 0;
}

/* RFC 3986 section 3.3: pchar, but for '%', and the slash. */
static bool is_path_char(unsigned char c) {
        return isalnum(c) || (c && strchr("/-._~!$&'()*+,;=:@", c));
}

int proxy_target(const char *path, const char *query, char **ret) {
        _cleanup_buf_ struct buf out = {0};

        for (; *path; path++)
                if (is_path_char((unsigned char)*path))
                        buf_append_char(&out, *path);
                else
                        buf_printf(&out, "%%%02X", (unsigned char)*path);
        forward_put_query(&out, query);
        *ret = buf_take(&out);
        return *ret ? 0 : -ENOMEM;
}

/* --- Locations --- */

/* The length of "http://" or "https://"; 0: another one, or none. */
static size_t scheme_size(const char *s) {
        static const char *const schemes[] = {"http://", "https://"};

        for (size_t i = 0; i < ELEMENTS(schemes); i++)
                if (strncasecmp(s, schemes[i], strlen(schemes[i])) == 0)
                        return strlen(schemes[i]);
        return 0;
}

static bool is_one_of(const char *host, size_t n, const char *const *hosts) {
        for (; *hosts; hosts++)
                if (strlen(*hosts) == n && strncasecmp(*hosts, host, n) == 0)
                        return true;
        return false;
}

/* Where the path begins in a Location that means the server; NULL: it means another one, or is
 * relative to the request. "//host/path" is one with a host. */
static const char *own_path(const char *location, const char *const *hosts) {
        size_t n = scheme_size(location);
        const char *host;

        if (n == 0 && startswith(location, "//"))
                n = 2;
        if (n == 0)
                return *location == '/' ? location : NULL;
        host = location + n;
        n = strcspn(host, "/?#");
        return is_one_of(host, n, hosts) ? host + n : NULL;
}

/* Whether the server has put the prefix there itself. */
static bool has_prefix(const char *path, const char *prefix) {
        const char *rest = startswith(path, prefix);

        return rest && (*rest == 0 || strchr("/?#", *rest));
}

int proxy_location(const char *location, const char *prefix, const char *const *hosts, char **ret) {
        const char *path = own_path(location, hosts);
        size_t slashes;

        *ret = NULL;
        if (!path)
                return 0;
        slashes = strspn(path, "/");
        if (slashes > 0)
                path += slashes - 1; /* "//x" would name a host */
        if (has_prefix(path, prefix))
                *ret = strdup(path);
        else
                *ret = strformat("%s%s%s", prefix, *path == '/' ? "" : "/", path);
        return *ret ? 0 : -ENOMEM;
}
