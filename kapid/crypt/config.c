/* Reads an EncryptionConfiguration (apiserver.config.k8s.io/v1), as kube-apiserver does: the first
 * entry that names a resource counts, "*.GROUP" and "*.*" name many. Fields and providers that are
 * not known are refused, because they would leave values in another form than the file says. */
#include "kapid/crypt/internal.h"

#include "lib/yaml.h"

enum { ENTRIES_MAX = 100, KEYS_MAX = 100, NAME_SIZE_MAX = 200 };
#define API_VERSION "apiserver.config.k8s.io/v1"

static int bad(struct problem *p, const char *fmt, ...) _printf_(2, 3);
static int bad(struct problem *p, const char *fmt, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int r;

        va_start(ap, fmt);
        r = vasprintf(&text, fmt, ap);
        va_end(ap);
        return r < 0 ? -ENOMEM : problem_set(p, EINVAL, 0, NULL, "%s", text);
}

/* Whether an object has only these fields; path names it. */
static int check_fields(const json_t *o, const char *path, const char *const *known,
                struct problem *p) {
        const char *name;
        json_t *value;

        if (!json_is_object(o))
                return bad(p, "%s must be a mapping", path);
        json_object_each (o, name, value) {
                bool found = false;

                for (const char *const *k = known; *k && !found; k++)
                        found = streq(*k, name);
                if (!found)
                        return bad(p, "%s: the field \"%s\" is not known", path, name);
        }
        return 0;
}

/* --- keys --- */

static const size_t sizes[][4] = {
                [CRYPT_AESGCM] = {16, 24, 32, 0},
                [CRYPT_SECRETBOX] = {SECRETBOX_KEY_SIZE, 0},
};

static bool fits(enum crypt_method method, size_t size) {
        for (const size_t *s = sizes[method]; *s; s++)
                if (*s == size)
                        return true;
        return false;
}

static int take_secret(struct crypt_key *k, const char *path, const void *secret, size_t size,
                struct problem *p) {
        int r;

        if (!fits(k->method, size))
                return bad(p, "%s.secret has %zu bytes; %s", path, size,
                                k->method == CRYPT_AESGCM ? "16, 24 or 32 are possible"
                                                          : "it must have 32");
        r = key_id(secret, size, k->id);
        if (r < 0)
                return r;
        if (k->method == CRYPT_AESGCM)
                return aes_gcm_new(&k->gcm, secret, size);
        memcpy(k->box, secret, SECRETBOX_KEY_SIZE);
        return 0;
}

static int set_secret(struct crypt_key *k, const char *path, const char *text, struct problem *p) {
        void *secret = NULL;
        size_t size = 0;
        int r = base64_decode(text, &secret, &size);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return bad(p, "%s.secret is not Base64", path);
        r = take_secret(k, path, secret, size, p);
        explicit_bzero(secret, size);
        free(secret);
        return r;
}

static bool name_is_good(const char *name) {
        for (const char *s = name; *s; s++)
                if (*s <= 0x20 || *s >= 0x7f || strchr(":\"\\{}", *s))
                        return false;
        return *name && strlen(name) <= NAME_SIZE_MAX;
}

static int add_key(struct crypt_entry *e, enum crypt_method method, const char *name,
                const char *path, const char *secret, struct problem *p) {
        _cleanup_(crypt_key_freep) struct crypt_key *k = calloc(1, sizeof(*k));
        const char *provider = crypt_method_name(method);
        int r;

        if (e->keys.count >= KEYS_MAX)
                return bad(p, "%s: more than %i keys", path, KEYS_MAX);
        if (!k)
                return -ENOMEM;
        k->method = method;
        if (method != CRYPT_IDENTITY) {
                k->name = strdup(name);
                k->with = strformat("%s:%s", provider, name);
                k->prefix = strformat(CRYPT_MARK "%s:v1:%s:", provider, name);
                if (!k->name || !k->with || !k->prefix)
                        return -ENOMEM;
                k->prefix_size = strlen(k->prefix);
                r = set_secret(k, path, secret, p);
                if (r < 0)
                        return r;
        }
        r = vector_append(&e->keys, k);
        if (r >= 0)
                k = NULL;
        return r;
}

static int read_key(struct crypt_entry *e, enum crypt_method method, const char *path,
                const json_t *key, struct problem *p) {
        static const char *const known[] = {"name", "secret", NULL};
        const char *name, *secret;
        int r = check_fields(key, path, known, p);

        if (r < 0)
                return r;
        name = json_str(key, "name");
        secret = json_str(key, "secret");
        if (!name || !name_is_good(name))
                return bad(p, "%s.name must be a word of up to %i letters without a colon", path,
                                NAME_SIZE_MAX);
        if (!secret)
                return bad(p, "%s.secret is missing", path);
        return add_key(e, method, name, path, secret, p);
}

static int read_keys(struct crypt_entry *e, enum crypt_method method, const char *path,
                const json_t *o, struct problem *p) {
        static const char *const known[] = {"keys", NULL};
        const json_t *keys, *key;
        size_t i;
        int r;

        if (method == CRYPT_IDENTITY) {
                r = json_is_null(o) ? 0 : check_fields(o, path, known + 1, p);
                return r < 0 ? r : add_key(e, method, NULL, path, NULL, p);
        }
        r = check_fields(o, path, known, p);
        if (r < 0)
                return r;
        keys = json_object_get(o, "keys");
        if (json_array_size(keys) == 0)
                return bad(p, "%s.keys must list at least one key", path);
        json_array_foreach (keys, i, key) {
                _cleanup_free_ char *at = strformat("%s.keys[%zu]", path, i);

                r = at ? read_key(e, method, at, key, p) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_provider(
                struct crypt_entry *e, const char *path, const json_t *o, struct problem *p) {
        void *iter = json_is_object(o) && json_object_size(o) == 1
                                     ? json_object_iter(json_unconst(o))
                                     : NULL;
        _cleanup_free_ char *at = NULL;
        const char *name;

        if (!iter)
                return bad(p, "%s must name one provider: identity, aesgcm or secretbox", path);
        name = json_object_iter_key(iter);
        at = strformat("%s.%s", path, name);
        if (!at)
                return -ENOMEM;
        for (enum crypt_method m = CRYPT_IDENTITY; m <= CRYPT_SECRETBOX; m++)
                if (streq(crypt_method_name(m), name))
                        return read_keys(e, m, at, json_object_iter_value(iter), p);
        return bad(p, "%s: this provider is not supported; identity, aesgcm and secretbox are",
                        at);
}

/* --- places --- */

static int add_place(struct crypt *c, const char *prefix) {
        struct crypt_place place = {.size = strlen(prefix), .entry = c->entries.count - 1};
        int r;

        for (size_t i = 0; i < c->places.count; i++)
                if (streq(c->places.items[i].prefix, prefix))
                        return 0;
        place.prefix = strdup(prefix);
        r = place.prefix ? vector_append(&c->places, place) : -ENOMEM;
        if (r < 0)
                free(place.prefix);
        return r;
}

/* The kinds that are there now. How many, or an error. */
static int add_kinds(struct crypt *c, const char *plural, const char *group,
                const struct kind_registry *kinds) {
        const struct kind *k;
        int n = 0;

        for (size_t i = 0; (k = kind_registry_at(kinds, i)); i++) {
                int r;

                if (!k->stored || (!streq(plural, "*") && !streq(plural, k->plural)) ||
                                (!streq(group, "*") && !streq(group, k->group)))
                        continue;
                r = add_place(c, k->storage_prefix);
                if (r < 0)
                        return r;
                n++;
        }
        return n;
}

/* Definitions make kinds later: their keys begin with their group, which has a dot. */
static int add_custom(struct crypt *c, const char *plural, const char *group) {
        bool all = streq(plural, "*");
        _cleanup_free_ char *prefix = strformat(
                        "/registry/%s/%s%s", group, all ? "" : plural, all ? "" : "/");

        return prefix ? add_place(c, prefix) : -ENOMEM;
}

static bool is_name(const char *s) {
        return *s && !s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-.")];
}

static int read_resource(struct crypt *c, const char *path, const char *text,
                const struct kind_registry *kinds, struct problem *p) {
        const char *dot = strchr(text, '.'), *group = dot ? dot + 1 : "";
        _cleanup_free_ char *plural = strndup(text, dot ? (size_t)(dot - text) : strlen(text));
        bool all = plural && streq(plural, "*");
        int found;

        if (!plural)
                return -ENOMEM;
        if (all && dot && streq(group, "*"))
                return add_place(c, "/registry/");
        if ((!all && !is_name(plural)) || (all && !dot) || (*group && !is_name(group)))
                return bad(p, "%s: \"%s\" is not a resource; possible are secrets, "
                              "PLURAL.GROUP, *.GROUP, *. for the core group, and *.*",
                                path, text);
        found = add_kinds(c, plural, group, kinds);
        if (found < 0)
                return found;
        if (strchr(group, '.') && (all || found == 0))
                return add_custom(c, plural, group);
        return found > 0 ? 0
                         : bad(p, "%s: \"%s\" is not a resource of this API server", path, text);
}

/* --- the file --- */

static int read_resources(struct crypt *c, struct crypt_entry *e, const char *path,
                const json_t *list, const struct kind_registry *kinds, struct problem *p) {
        const json_t *name;
        size_t i;

        if (json_array_size(list) == 0)
                return bad(p, "%s.resources must name at least one resource", path);
        json_array_foreach (list, i, name) {
                const char *text = json_string_value(name);
                int r = text ? read_resource(c, path, text, kinds, p)
                             : bad(p, "%s.resources must be words", path);

                if (r < 0)
                        return r;
                r = strv_extend(&e->resources, text);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_entry(struct crypt *c, const char *path, const json_t *o,
                const struct kind_registry *kinds, struct problem *p) {
        static const char *const known[] = {"resources", "providers", NULL};
        const json_t *providers, *provider;
        struct crypt_entry *e;
        size_t i;
        int r = check_fields(o, path, known, p);

        if (r < 0)
                return r;
        r = vector_append(&c->entries, (struct crypt_entry){0});
        if (r < 0)
                return r;
        e = &c->entries.items[c->entries.count - 1];
        r = read_resources(c, e, path, json_object_get(o, "resources"), kinds, p);
        if (r < 0)
                return r;
        providers = json_object_get(o, "providers");
        if (json_array_size(providers) == 0)
                return bad(p, "%s.providers must list at least one provider", path);
        json_array_foreach (providers, i, provider) {
                _cleanup_free_ char *at = strformat("%s.providers[%zu]", path, i);

                r = at ? read_provider(e, at, provider, p) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_file(struct crypt *c, const json_t *o, const struct kind_registry *kinds,
                struct problem *p) {
        static const char *const known[] = {"apiVersion", "kind", "resources", "metadata", NULL};
        const json_t *entries, *entry;
        size_t i;
        int r = check_fields(o, "the file", known, p);

        if (r < 0)
                return r;
        if (!streq(json_str_or(o, "apiVersion", ""), API_VERSION) ||
                        !streq(json_str_or(o, "kind", ""), "EncryptionConfiguration"))
                return bad(p, "it must be an EncryptionConfiguration of " API_VERSION);
        entries = json_object_get(o, "resources");
        if (json_array_size(entries) == 0 || json_array_size(entries) > ENTRIES_MAX)
                return bad(p, "resources must list one entry at least, %i at most", ENTRIES_MAX);
        json_array_foreach (entries, i, entry) {
                _cleanup_free_ char *at = strformat("resources[%zu]", i);

                r = at ? read_entry(c, at, entry, kinds, p) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

int crypt_new(struct crypt **ret, const char *text, size_t n, const struct kind_registry *kinds,
                struct problem *p) {
        _cleanup_(crypt_freep) struct crypt *c = calloc(1, sizeof(*c));
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        int r;

        if (!c)
                return -ENOMEM;
        r = yaml_parse(text, n, &docs, p);
        if (r < 0)
                return r;
        if (docs.count != 1)
                return bad(p, "it must hold one document, not %zu", docs.count);
        r = read_file(c, docs.items[0].value, kinds, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}
