/* The inventory and its two written forms. The state is one of "" (in Git), "finished", "kept",
 * "link"; a hash that is not known is "-" in the short form. */
#include "reconcilers/gitsync/inventory.h"

#include "lib/buf.h"

static void entry_free(void *p) {
        struct inventory_entry *e = p;

        free(e->group);
        free(e->version);
        free(e->kind);
        free(e->resource);
        free(e->ns);
        free(e->name);
        free(e->key);
        free(e);
}

int inventory_init(struct inventory *v) {
        v->entries = map_new(entry_free);
        return v->entries ? 0 : -ENOMEM;
}

void inventory_done(struct inventory *v) {
        map_free(v->entries);
        v->entries = NULL;
}

void inventory_clear(struct inventory *v) {
        map_clear(v->entries);
}

char *inventory_key(const char *group, const char *kind, const char *ns, const char *name) {
        return strformat("%s/%s/%s/%s", group, kind, strempty(ns), name);
}

struct inventory_entry *inventory_get(const struct inventory *v, const char *key) {
        return map_get(v->entries, key);
}

static int set_text(char **to, const char *text) {
        char *copy;

        if (*to && streq(*to, text))
                return 0;
        copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        free(*to);
        *to = copy;
        return 0;
}

static int add_entry(struct inventory *v, const struct api_resource *r, const char *ns,
                const char *name, char *key_taken, struct inventory_entry **ret) {
        struct inventory_entry *e = calloc(1, sizeof(*e));

        if (!e) {
                free(key_taken);
                return -ENOMEM;
        }
        *e = (struct inventory_entry){.group = strdup(r->group),
                        .version = strdup(r->version),
                        .kind = strdup(r->kind),
                        .resource = strdup(r->plural),
                        .ns = strdup(strempty(ns)),
                        .name = strdup(name),
                        .key = key_taken};
        if (!e->group || !e->version || !e->kind || !e->resource || !e->ns || !e->name ||
                        map_set(v->entries, e->key, e) < 0) {
                entry_free(e);
                return -ENOMEM;
        }
        *ret = e;
        return 0;
}

int inventory_put(struct inventory *v, const struct api_resource *resource, const char *ns,
                const char *name, struct inventory_entry **ret, bool *ret_new) {
        _cleanup_free_ char *key = inventory_key(resource->group, resource->kind, ns, name);
        struct inventory_entry *e = key ? map_get(v->entries, key) : NULL;
        int r;

        if (!key)
                return -ENOMEM;
        *ret_new = !e;
        if (!e)
                return add_entry(v, resource, ns, name, TAKE_PTR(key), ret);
        r = set_text(&e->version, resource->version);
        if (r < 0)
                return r;
        if (*resource->plural) {
                r = set_text(&e->resource, resource->plural);
                if (r < 0)
                        return r;
        }
        *ret = e;
        return 0;
}

void inventory_remove(struct inventory *v, const char *key) {
        map_remove(v->entries, key);
}

size_t inventory_size(const struct inventory *v) {
        return map_size(v->entries);
}

struct api_resource inventory_resource(const struct inventory_entry *e) {
        return (struct api_resource){e->group, e->version, e->resource, e->kind, *e->ns != 0};
}

unsigned inventory_chunks(size_t size) {
        unsigned n = 1;

        if (size <= INVENTORY_INLINE_MAX)
                return 0;
        while ((size_t)n * INVENTORY_CHUNK < size && n < 1024)
                n *= 2;
        return n;
}

/* FNV-1a: spreads evenly and is the same on every machine. */
unsigned inventory_chunk_of(const char *key, unsigned chunks) {
        uint32_t h = 2166136261u;

        for (; *key; key++)
                h = (h ^ (unsigned char)*key) * 16777619u;
        return chunks > 1 ? (h ^ h >> 16) & (chunks - 1) : 0;
}

static const char *state_of(const struct inventory_entry *e) {
        return e->by_link ? "link" : e->kept ? "kept" : e->finished ? "finished" : "";
}

static void set_state(struct inventory_entry *e, const char *state) {
        e->by_link = streq(state, "link");
        e->kept = e->by_link || streq(state, "kept");
        e->finished = streq(state, "finished");
}

static bool is_secret(const struct inventory_entry *e) {
        const struct kind_facts *facts = kind_facts_by_kind(e->group, e->kind);

        return facts && facts->confidential;
}

static int compare_keys(const void *a, const void *b) {
        const struct inventory_entry *x = *(struct inventory_entry *const *)a,
                                     *y = *(struct inventory_entry *const *)b;

        return strcmp(x->key, y->key);
}

/* The entries of one chunk in the order of their keys; caller frees the array. */
static struct inventory_entry **sorted(
                const struct inventory *v, unsigned n, unsigned chunks, size_t *ret_count) {
        struct inventory_entry **list = calloc(map_size(v->entries) + 1, sizeof(*list));
        size_t count = 0;

        if (!list)
                return NULL;
        map_foreach (v->entries, m)
                if (inventory_chunk_of(map_entry_key(m), chunks) == n)
                        list[count++] = map_entry_value(m);
        qsort(list, count, sizeof(*list), compare_keys);
        *ret_count = count;
        return list;
}

json_t *inventory_items(const struct inventory *v) {
        size_t count = 0;
        _cleanup_free_ struct inventory_entry **list = sorted(v, 0, 1, &count);
        _cleanup_json_ json_t *out = json_array();

        if (!list || !out)
                return NULL;
        for (size_t i = 0; i < count; i++) {
                const struct inventory_entry *e = list[i];
                json_t *item = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "group", e->group,
                                "version", e->version, "kind", e->kind, "resource", e->resource,
                                "namespace", e->ns, "name", e->name);
                const char *state = state_of(e);

                if (json_array_append_new(out, item) < 0 ||
                                (*e->hash && !is_secret(e) &&
                                                json_object_set_new(item, "hash",
                                                                json_string(e->hash)) < 0) ||
                                (*e->live && !is_secret(e) &&
                                                json_object_set_new(item, "live",
                                                                json_string(e->live)) < 0) ||
                                (*state && json_object_set_new(item, "state", json_string(state)) <
                                                                0))
                        return NULL;
        }
        return TAKE_PTR(out);
}

static bool same_kind(const struct inventory_entry *a, const struct inventory_entry *b) {
        return streq(a->group, b->group) && streq(a->kind, b->kind) &&
               streq(a->version, b->version) && streq(a->resource, b->resource);
}

json_t *inventory_sets(const struct inventory *v, unsigned n, unsigned chunks) {
        size_t count = 0;
        _cleanup_free_ struct inventory_entry **list = sorted(v, n, chunks, &count);
        _cleanup_json_ json_t *out = json_array();
        json_t *objects = NULL;

        if (!list || !out)
                return NULL;
        for (size_t i = 0; i < count; i++) {
                const struct inventory_entry *e = list[i];
                bool open = !is_secret(e);
                const char *state = state_of(e);

                if (i == 0 || !same_kind(e, list[i - 1])) {
                        objects = json_array();
                        if (json_array_append_new(out,
                                            json_pack("{s:s, s:s, s:s, s:s, s:o}", "group",
                                                            e->group, "version", e->version, "kind",
                                                            e->kind, "resource", e->resource,
                                                            "objects", objects)) < 0)
                                return NULL;
                }
                _cleanup_free_ char *line = strformat("%s/%s %s %s%s%s", e->ns, e->name,
                                open && *e->hash ? e->hash : "-", open && *e->live ? e->live : "-",
                                *state ? " " : "", state);
                if (!line || json_array_append_new(objects, json_string(line)) < 0)
                        return NULL;
        }
        return TAKE_PTR(out);
}

static void set_hash(char to[static INVENTORY_HASH_SIZE], const char *text) {
        bool fits = strlen(text) == INVENTORY_HASH_SIZE - 1;

        memcpy(to, fits ? text : "", fits ? INVENTORY_HASH_SIZE : 1);
}

static int read_one(struct inventory *v, const json_t *of, const char *ns, const char *name,
                const char *hash, const char *live, const char *state) {
        const struct api_resource resource = {json_str_or(of, "group", ""),
                        json_str_or(of, "version", "v1"), json_str_or(of, "resource", ""),
                        json_str_or(of, "kind", ""), *ns};
        struct inventory_entry *e;
        bool is_new;
        int r;

        if (isempty(resource.kind) || isempty(name))
                return 0;
        r = inventory_put(v, &resource, ns, name, &e, &is_new);
        if (r < 0)
                return r;
        set_hash(e->hash, hash);
        set_hash(e->live, live);
        set_state(e, state);
        return 0;
}

int inventory_read_items(struct inventory *v, const json_t *items) {
        const json_t *item;
        size_t i;

        json_array_foreach (items, i, item) {
                int r = read_one(v, item, json_str_or(item, "namespace", ""),
                                json_str_or(item, "name", ""), json_str_or(item, "hash", ""),
                                json_str_or(item, "live", ""), json_str_or(item, "state", ""));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_line(struct inventory *v, const json_t *set, const char *text) {
        _cleanup_strv_free_ char **words = NULL;
        char *slash;
        size_t n;

        if (strv_split(text, " ", &words) < 0)
                return -ENOMEM;
        n = strv_length(words);
        slash = n > 0 ? strchr(words[0], '/') : NULL;
        if (!slash)
                return 0;
        *slash = 0;
        return read_one(v, set, words[0], slash + 1, n > 1 ? words[1] : "", n > 2 ? words[2] : "",
                        n > 3 ? words[3] : "");
}

int inventory_read_sets(struct inventory *v, const json_t *sets) {
        const json_t *set, *line;
        size_t i, k;

        json_array_foreach (sets, i, set)
                json_array_foreach (json_object_get(set, "objects"), k, line) {
                        int r = json_is_string(line) ? read_line(v, set, json_string_value(line))
                                                     : 0;
                        if (r < 0)
                                return r;
                }
        return 0;
}
