/* Keys of "auths" against a repository. A key is split into host, port and path; hosts are compared
 * label by label, paths part by part, so that "registry.lan/team" is not used for
 * "registry.lan/team2". */
#include "nodeagent/image/credentials.h"

#include <fnmatch.h>
#include <strings.h>

#include "lib/crypto.h"

enum { SOURCES_MAX = 64, AUTHS_MAX = 1024, HOST_MAX = 255 };

static char *wiped(char *s) {
        if (s)
                explicit_bzero(s, strlen(s));
        return mfree(s);
}

static void credential_done(struct image_credential *c) {
        c->username = wiped(c->username);
        c->password = wiped(c->password);
        c->identity_token = wiped(c->identity_token);
        c->registry_token = wiped(c->registry_token);
}

void image_credentials_done(struct image_credentials *c) {
        for (size_t i = 0; i < c->count; i++)
                credential_done(&c->items[i]);
        vector_done(c);
}

/* A key, and how good it fits. */
struct match {
        const json_t *entry;
        size_t path_size, host_size;
        bool pattern;
};
struct matches {
        struct match *items;
        size_t count, allocated;
};

static bool host_matches(const char *pattern, const char *host) {
        char p[HOST_MAX + 1], h[HOST_MAX + 1];

        for (;;) {
                size_t np = strcspn(pattern, "."), nh = strcspn(host, ".");

                if (np > HOST_MAX || nh > HOST_MAX)
                        return false;
                memcpy(p, pattern, np);
                memcpy(h, host, nh);
                p[np] = h[nh] = 0;
                if (fnmatch(p, h, FNM_NOESCAPE | FNM_CASEFOLD) != 0)
                        return false;
                if (!pattern[np] || !host[nh])
                        return pattern[np] == host[nh];
                pattern += np + 1;
                host += nh + 1;
        }
}

/* "host[:port]" into its parts; the port may be "". */
static void split_port(char *host, const char **ret_port) {
        char *closing = strrchr(host, ']'), *colon = strrchr(closing ? closing : host, ':');

        *ret_port = colon ? colon + 1 : "";
        if (colon)
                *colon = 0;
}

static bool path_matches(const char *path, const char *repository) {
        const char *rest = startswith(repository, path);

        return rest && (!*path || !*rest || *rest == '/');
}

/* Docker's own files have the addresses of its old API. */
static const char *without_api_version(const char *path) {
        static const char *const versions[] = {"v1", "v2"};

        for (size_t i = 0; i < ELEMENTS(versions); i++) {
                const char *rest = startswith(path, versions[i]);

                if (rest && (!*rest || *rest == '/'))
                        return *rest ? rest + 1 : rest;
        }
        return path;
}

/* 1: the key is for the repository. */
static int match_key(
                const char *key, const char *registry, const char *repository, struct match *ret) {
        static const char *const schemes[] = {"https://", "http://"};
        _cleanup_free_ char *host = NULL, *wanted = strdup(registry), *path = NULL;
        const char *port, *wanted_port, *rest;

        for (size_t i = 0; i < ELEMENTS(schemes); i++) {
                rest = startswith(key, schemes[i]);
                key = rest ? rest : key;
        }
        host = strndup(key, strcspn(key, "/"));
        if (!host || !wanted)
                return -ENOMEM;
        rest = key + strlen(host);
        path = strdup(without_api_version(*rest ? rest + 1 : rest));
        if (!path)
                return -ENOMEM;
        while (*path && path[strlen(path) - 1] == '/')
                path[strlen(path) - 1] = 0;
        split_port(host, &port);
        split_port(wanted, &wanted_port);
        if (strcasecmp(host, "index.docker.io") == 0 ||
                        strcasecmp(host, "registry-1.docker.io") == 0)
                rest = "docker.io";
        else
                rest = host;
        if (!streq(port, wanted_port) || !host_matches(rest, wanted) ||
                        !path_matches(path, repository))
                return 0;
        *ret = (struct match){.path_size = strlen(path),
                        .host_size = strlen(host),
                        .pattern = strpbrk(host, "*?[") != NULL};
        return 1;
}

/* Whether a is tried before b: the longer path, then a host without '*', then the longer host. */
static bool fits_better(const struct match *a, const struct match *b) {
        if (a->path_size != b->path_size)
                return a->path_size > b->path_size;
        if (a->pattern != b->pattern)
                return b->pattern;
        return a->host_size > b->host_size;
}

static int add_source(const json_t *source, const char *registry, const char *repository,
                struct matches *matches) {
        const json_t *auths = json_get(source, "auths", NULL), *entry;
        const char *key;
        size_t seen = 0;

        json_object_each (auths ? auths : source, key, entry) {
                struct match m;
                size_t at = matches->count;
                int r;

                if (!json_is_object(entry) || ++seen > AUTHS_MAX)
                        continue;
                r = match_key(key, registry, repository, &m);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                m.entry = entry;
                while (at > 0 && fits_better(&m, &matches->items[at - 1]))
                        at--;
                r = vector_insert(matches, at, m);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int copy(char **to, const char *from) {
        if (isempty(from))
                return 0;
        *to = strdup(from);
        return *to ? 0 : -ENOMEM;
}

/* "auth" is Base64 of name:password. 0: it is not that. */
static int read_auth(const char *auth, struct image_credential *c) {
        _cleanup_free_ void *decoded = NULL;
        char *text, *colon;
        size_t n;
        int r = base64_decode(auth, &decoded, &n);

        if (r < 0)
                return r == -ENOMEM ? r : 0;
        text = decoded;
        colon = strlen(text) > 0 ? strchr(text, ':') : NULL;
        if (colon) {
                c->username = strndup(text, (size_t)(colon - text));
                c->password = strdup(colon + 1);
        }
        explicit_bzero(decoded, n);
        if (colon && (!c->username || !c->password))
                return -ENOMEM;
        return colon != NULL;
}

/* 1: the entry has something to log in with. */
static int read_entry(const json_t *entry, struct image_credential *c) {
        int r = read_auth(json_str_or(entry, "auth", ""), c);

        if (r < 0)
                return r;
        if (r == 0) {
                r = copy(&c->username, json_str(entry, "username"));
                if (r < 0)
                        return r;
                r = copy(&c->password, json_str(entry, "password"));
                if (r < 0)
                        return r;
        }
        r = copy(&c->identity_token, json_str(entry, "identitytoken"));
        if (r < 0)
                return r;
        r = copy(&c->registry_token, json_str(entry, "registrytoken"));
        if (r < 0)
                return r;
        return (c->username && c->password) || c->identity_token || c->registry_token;
}

static int add_match(const struct match *m, struct image_credentials *to) {
        struct image_credential c = {0};
        int r = read_entry(m->entry, &c);

        if (r > 0 && vector_append(to, c) == 0)
                return 0;
        credential_done(&c);
        return r > 0 ? -ENOMEM : r;
}

static void matches_done(struct matches *m) {
        vector_done(m);
}

int image_credentials_find(const json_t *sources, const char *registry, const char *repository,
                struct image_credentials *ret) {
        _cleanup_image_credentials_ struct image_credentials found = {0};
        _cleanup_(matches_done) struct matches matches = {0};
        size_t sources_count = MIN(json_array_size(sources), (size_t)SOURCES_MAX);
        int r;

        for (size_t i = 0; i < sources_count; i++) {
                r = add_source(json_array_get(sources, i), registry, repository, &matches);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < matches.count; i++) {
                r = add_match(&matches.items[i], &found);
                if (r < 0)
                        return r;
        }
        *ret = found;
        found = (struct image_credentials){0};
        return 0;
}
