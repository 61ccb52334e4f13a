/* Checks and takes apart what a clientConfig says. */
#include "kapid/webhooks/target.h"

#include "kapid/schema/format.h"
#include "kapid/schema/schema.h"
#include "lib/crypto.h"

#define SCHEME "https://"

static bool is_plain_text(const char *s) {
        for (; *s; s++)
                if ((unsigned char)*s <= 0x20 || (unsigned char)*s >= 0x7f || *s == '\\')
                        return false;
        return true;
}

/* "[fd00::1]:443", "host:443" and so on, of n bytes. */
static const char *authority_error(const char *s, size_t n) {
        _cleanup_free_ char *text = strndup(s, n);
        const char *port;
        uint16_t number;

        if (!text)
                return "out of memory";
        if (n == 0 || *text == ':')
                return "host must be specified";
        if (*text == '[') {
                char *end = strchr(text, ']');

                if (!end || (end[1] && end[1] != ':'))
                        return "url must be a valid URL: the address in brackets does not end";
                port = end[1] ? end + 2 : NULL;
                *end = 0;
                if (format_check(FORMAT_IP, text + 1))
                        return "url must be a valid URL: there is no address in its brackets";
        } else {
                char *colon = strchr(text, ':');

                port = colon ? colon + 1 : NULL;
        }
        if (port && (parse_port(port, &number) < 0 || number == 0))
                return "url must be a valid URL: its port is not a number from 1 to 65535";
        return NULL;
}

const char *webhook_url_error(const char *url) {
        const char *host, *end;

        if (!is_plain_text(url))
                return "url must be a valid URL: it has spaces, backslashes, or bytes that are not "
                       "printable ASCII";
        if (strncasecmp(url, SCHEME, strlen(SCHEME)) != 0)
                return "'https' is the only allowed URL scheme";
        host = url + strlen(SCHEME);
        end = host + strcspn(host, "/?#");
        if (memchr(host, '@', (size_t)(end - host)))
                return "user information is not permitted in the URL";
        if (strchr(host, '#'))
                return "fragments are not permitted in the URL";
        if (strchr(host, '?'))
                return "query parameters are not permitted in the URL";
        return authority_error(host, (size_t)(end - host));
}

const char *webhook_path_error(const char *path) {
        if (*path != '/')
                return "must start with a '/'";
        if (!path[1])
                return NULL;
        for (const char *s = path; *s;) {
                size_t n = strcspn(++s, "/");
                _cleanup_free_ char *segment = strndup(s, n);
                bool last = !s[n];

                if (!segment)
                        return "out of memory";
                if (n == 0 && !last)
                        return "a segment may not be empty";
                if (n > 0 && format_check(FORMAT_DNS1123_SUBDOMAIN, segment))
                        return "a segment must be a lowercase RFC 1123 subdomain";
                s += n;
        }
        return NULL;
}

int webhook_url_split(const char *url, char **ret_base, char **ret_path) {
        const char *slash = strchr(url + strlen(SCHEME), '/');
        _cleanup_free_ char *base = slash ? strndup(url, (size_t)(slash - url)) : strdup(url),
                            *path = strdup(slash ? slash : "/");

        if (!base || !path)
                return -ENOMEM;
        *ret_base = TAKE_PTR(base);
        *ret_path = TAKE_PTR(path);
        return 0;
}

void webhook_target_done(struct webhook_target *t) {
        free(t->url);
        free(t->namespace);
        free(t->service);
        free(t->path);
        free(t->ca_pem);
        *t = (struct webhook_target){0};
}

/* base64 of PEM. What is not PEM inside refuses every call (client.c). */
static int read_bundle(const json_t *config, struct webhook_target *t) {
        const char *text = json_str(config, "caBundle");
        void *data;
        size_t n;
        int r;

        if (isempty(text))
                return 0;
        r = base64_decode(text, &data, &n);
        if (r < 0)
                return r;
        t->ca_pem = strndup(data, n); /* up to a NUL, which PEM has none of */
        free(data);
        return t->ca_pem ? 0 : -ENOMEM;
}

int webhook_target_read(const json_t *config, struct webhook_target *ret) {
        const json_t *service = json_object_get(config, "service");
        struct webhook_target t = {0};
        int r = read_bundle(config, &t);

        if (r < 0)
                goto out;
        r = -ENOMEM;
        if (!service) {
                t.url = strdup(json_str_or(config, "url", ""));
                if (!t.url)
                        goto out;
        } else {
                t.namespace = strdup(json_str_or(service, "namespace", ""));
                t.service = strdup(json_str_or(service, "name", ""));
                t.path = strdup(json_str_or(service, "path", "/"));
                t.port = json_int_or(service, "port", 443);
                if (!t.namespace || !t.service || !t.path)
                        goto out;
        }
        *ret = t;
        return 0;
out:
        webhook_target_done(&t);
        return r;
}

/* The number of the subset's port of that name; 0: it has none. */
static int64_t port_of(const json_t *subset, const char *name) {
        const json_t *port;
        size_t i;

        json_array_foreach (json_object_get(subset, "ports"), i, port)
                if (streq(json_str_or(port, "name", ""), name))
                        return json_int_or(port, "port", 0);
        return 0;
}

int webhook_addresses(const json_t *endpoints, const char *port_name, char ***ret) {
        _cleanup_strv_free_ char **list = NULL;
        const json_t *subset, *address;
        size_t i, j;

        json_array_foreach (json_object_get(endpoints, "subsets"), i, subset) {
                int64_t port = port_of(subset, port_name);

                if (port <= 0)
                        continue;
                json_array_foreach (json_object_get(subset, "addresses"), j, address) {
                        const char *ip = json_str_or(address, "ip", "");
                        _cleanup_free_ char *text =
                                        strformat(strchr(ip, ':') ? "[%s]:%lld" : "%s:%lld", ip,
                                                        (long long)port);

                        if (!text || strv_extend(&list, text) < 0)
                                return -ENOMEM;
                }
        }
        *ret = TAKE_PTR(list);
        return 0;
}
