/* registries.yaml: parsed, checked member by member with the line in the message, and asked for the
 * places of a repository. */
#include "nodeagent/image/settings.h"

#include "lib/fileio.h"
#include "lib/vector.h"
#include "lib/yaml.h"

enum { REGISTRIES_MAX = 256, CA_SIZE_MAX = 1 << 20 };

/* --- parsing --- */

static int refuse(const struct yaml_doc *doc, size_t entry, struct problem *p, const char *what) {
        _cleanup_free_ char *path = strformat("registries[%zu]", entry);

        if (!path)
                return -ENOMEM;
        return problem_set(p, EINVAL, 0, "Invalid", "line %u, registries[%zu]: %s",
                        yaml_line_of(doc, path), entry, what);
}

static bool is_url(const json_t *v) {
        const char *s = strempty(json_string_value(v)), *rest = startswith(s, "https://");

        rest = rest ? rest : startswith(s, "http://");
        return rest && *rest && *rest != '/' && !strpbrk(rest, "@?# \t\r\n\"");
}

static const char *mirrors_problem(const json_t *v) {
        const json_t *url;
        size_t i;

        if (!json_is_array(v) || json_array_size(v) > IMAGE_MIRRORS_MAX)
                return "mirrors must be a list of at most 16 URLs";
        json_array_foreach (v, i, url)
                if (!is_url(url))
                        return "a mirror must be https://host[:port][/path] or http://...";
        return NULL;
}

static const char *match_problem(const json_t *v) {
        const char *s = json_string_value(v);

        if (isempty(s) || strstr(s, "://") || *s == '/')
                return "match must be a registry (registry.lan:5000), optionally with a path, or "
                       "\"*\"";
        return NULL;
}

static const char *bool_problem(const json_t *v) {
        return json_is_boolean(v) ? NULL : "http, onlyMirrors and skipVerify must be true or false";
}

static const char *ca_problem(const json_t *v) {
        const char *s = strempty(json_string_value(v));

        return *s == '/' ? NULL : "ca must be the absolute path of a file of PEM certificates";
}

static const struct {
        const char *name;
        const char *(*problem)(const json_t *v);
} members[] = {
                {"match", match_problem},
                {"mirrors", mirrors_problem},
                {"onlyMirrors", bool_problem},
                {"http", bool_problem},
                {"ca", ca_problem},
                {"skipVerify", bool_problem},
};

static const char *entry_problem(const json_t *entry) {
        const char *key, *why;
        const json_t *v;

        if (!json_is_object(entry) || !json_at(entry, "match"))
                return "each entry must be a mapping with `match`";
        json_object_each (entry, key, v) {
                size_t i = 0;

                while (i < ELEMENTS(members) && !streq(members[i].name, key))
                        i++;
                if (i == ELEMENTS(members))
                        return "it has an unknown member; known are match, mirrors, onlyMirrors, "
                               "http, ca and skipVerify";
                why = members[i].problem(v);
                if (why)
                        return why;
        }
        if (json_bool_or(entry, "onlyMirrors", false) &&
                        json_array_size(json_at(entry, "mirrors")) == 0)
                return "onlyMirrors needs at least one of mirrors";
        return NULL;
}

static int check(const struct yaml_doc *doc, struct problem *p) {
        const json_t *list = json_at(doc->value, "registries"), *entry;
        size_t i;

        if (!json_is_object(doc->value) || json_object_size(doc->value) != 1 ||
                        !json_is_array(list) || json_array_size(list) > REGISTRIES_MAX)
                return problem_set(p, EINVAL, 0, "Invalid",
                                "the file must have one member, registries: a list of at most %d "
                                "entries",
                                REGISTRIES_MAX);
        json_array_foreach (list, i, entry) {
                const char *why = entry_problem(entry);

                if (why)
                        return refuse(doc, i, p, why);
        }
        return 0;
}

int image_settings_parse(const char *text, size_t n, json_t **ret, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        int r = yaml_parse(text, n, &docs, p);

        if (r < 0)
                return r;
        if (docs.count > 1)
                return problem_set(p, EINVAL, 0, "Invalid",
                                "the file has more than one document; keep one");
        if (docs.count == 0) {
                *ret = json_pack("{s:[]}", "registries");
                return *ret ? 0 : -ENOMEM;
        }
        r = check(&docs.items[0], p);
        if (r < 0)
                return r;
        *ret = json_ref(docs.items[0].value);
        return 0;
}

int image_settings_read_cas(json_t *settings, struct problem *p) {
        json_t *entry;
        size_t i;

        json_array_foreach (json_at_mut(settings, "registries"), i, entry) {
                const char *path = json_str(entry, "ca");
                _cleanup_free_ char *text = NULL;
                int r = path ? file_read(path, CA_SIZE_MAX, &text, NULL) : 0;

                if (r < 0)
                        return problem_set(p, -r, 0, "Invalid",
                                        "the certificates of %s cannot be read: %s: %s",
                                        json_str_or(entry, "match", ""), path, strerror(-r));
                if (text && json_object_set_new(entry, "caText", json_string(text)) < 0)
                        return problem_set(p, EINVAL, 0, "Invalid",
                                        "the certificates of %s in %s are not a text of PEM",
                                        json_str_or(entry, "match", ""), path);
        }
        return 0;
}

/* --- endpoints --- */

static void endpoint_done(struct image_endpoint *e) {
        free(e->url);
        free(e->host);
        free(e->repository);
        free(e->ca_pem);
}

void image_endpoints_done(struct image_endpoints *e) {
        for (size_t i = 0; i < e->count; i++)
                endpoint_done(&e->items[i]);
        vector_done(e);
}

/* The entry for host/repository: the longest match; "*" is the shortest. */
static const json_t *entry_for(const json_t *settings, const char *host, const char *repository) {
        const json_t *entry, *best = NULL;
        size_t i, best_size = 0;

        json_array_foreach (json_at(settings, "registries"), i, entry) {
                const char *match = json_str_or(entry, "match", ""),
                           *path = startswith(match, host), *rest;

                if (streq(match, "*")) {
                        best = best ? best : entry;
                        continue;
                }
                if (!path || (*path && *path != '/'))
                        continue;
                rest = *path ? startswith(repository, path + 1) : "";
                if (rest && (!*rest || *rest == '/' || !path[1]) && strlen(match) > best_size) {
                        best = entry;
                        best_size = strlen(match);
                }
        }
        return best;
}

/* localhost and its addresses speak plain HTTP unless something else is set, as with Docker. */
static bool is_local(const char *host) {
        const char *rest = startswith(host, "localhost");

        if (rest && (!*rest || *rest == ':'))
                return true;
        rest = startswith(host, "[::1]");
        return (rest && (!*rest || *rest == ':')) ||
               (startswith(host, "127.") && strspn(host, "0123456789.:") == strlen(host));
}

/* Takes repository. entry: the settings of the host, or NULL. */
static int add(struct image_endpoints *list, const char *scheme, const char *host, char *repository,
                const json_t *entry) {
        struct image_endpoint e = {
                        .url = strformat("%s://%s", scheme,
                                        streq(host, "docker.io") ? "registry-1.docker.io" : host),
                        .host = strdup(host),
                        .repository = repository,
                        .skip_verify = json_bool_or(entry, "skipVerify", false)};
        const char *ca = json_str(entry, "caText");

        if (ca)
                e.ca_pem = strdup(ca);
        if (e.url && e.host && e.repository && (e.ca_pem || !ca) && vector_append(list, e) == 0)
                return 0;
        endpoint_done(&e);
        return -ENOMEM;
}

static int add_mirror(struct image_endpoints *list, const json_t *settings, const char *url,
                const char *repository) {
        const char *at = strstr(url, "://") + 3, *path = at + strcspn(at, "/");
        _cleanup_free_ char *scheme = strndup(url, (size_t)(at - 3 - url)),
                            *host = strndup(at, (size_t)(path - at));
        size_t n;
        char *there;
        int r;

        if (!scheme || !host)
                return -ENOMEM;
        path += *path == '/';
        for (n = strlen(path); n > 0 && path[n - 1] == '/'; n--)
                ;
        there = strformat("%.*s%s%s", (int)n, path, n > 0 ? "/" : "", repository);
        r = add(list, scheme, host, there, entry_for(settings, host, strempty(there)));
        if (r < 0)
                return r;
        list->items[list->count - 1].is_mirror = true;
        return 0;
}

int image_endpoints_of(const json_t *settings, const char *registry, const char *repository,
                struct image_endpoints *ret) {
        _cleanup_image_endpoints_ struct image_endpoints list = {0};
        const json_t *entry = entry_for(settings, registry, repository), *mirror;
        size_t i;
        int r;

        json_array_foreach (json_at(entry, "mirrors"), i, mirror) {
                r = add_mirror(&list, settings, json_string_value(mirror), repository);
                if (r < 0)
                        return r;
        }
        if (!json_bool_or(entry, "onlyMirrors", false)) {
                bool http = json_bool_or(entry, "http", is_local(registry));

                r = add(&list, http ? "http" : "https", registry, strdup(repository), entry);
                if (r < 0)
                        return r;
        }
        *ret = list;
        list = (struct image_endpoints){0};
        return 0;
}

const char *image_settings_ca(const json_t *settings, const char *host, bool *ret_skip_verify) {
        const json_t *entry = entry_for(settings, host, "");

        *ret_skip_verify = json_bool_or(entry, "skipVerify", false);
        return json_str(entry, "caText");
}
