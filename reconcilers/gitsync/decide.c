/* Decisions of a run as functions of their arguments. */
#include "reconcilers/gitsync/decide.h"

#include "lib/buf.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "lib/timefmt.h"
#include "reconcilers/gitsync/plan.h"

/* The clocks of two machines differ by at most this. */
enum { CLOCK_SLACK_S = 10 };

void decide_hash(const json_t *object, const struct api_resource *resource, const char *salt,
                char ret[static INVENTORY_HASH_SIZE]) {
        _cleanup_free_ char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS),
                            *all = text ? strformat("%s\n%s\n%s", salt, resource->plural, text)
                                        : NULL;
        char hex[65];

        sha256_hex(strempty(all), all ? strlen(all) : 0, hex);
        memcpy(ret, hex, INVENTORY_HASH_SIZE - 1);
        ret[INVENTORY_HASH_SIZE - 1] = 0;
        if (!all)
                ret[0] = 0; /* out of memory: counts as not applied */
}

static bool is_kind(const json_t *o, const char *group, const char *kind) {
        char g[OBJECT_GROUP_SIZE], v[OBJECT_VERSION_SIZE];

        return streq(object_kind(o), kind) &&
               object_split_api_version(object_api_version(o), g, v) == 0 && streq(g, group);
}

static bool serves(const json_t *crd, const char *version) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(crd, "spec.versions"), i, v)
                if (streq(json_str_or(v, "name", ""), version) && json_bool_or(v, "served", false))
                        return true;
        return false;
}

bool decide_brought_resource(const struct manifest_set *set, const json_t *object,
                struct api_resource *ret, const json_t **ret_crd) {
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];

        if (object_split_api_version(object_api_version(object), group, version) < 0)
                return false;
        for (size_t i = 0; i < set->count; i++) {
                const json_t *o = set->items[i].object;

                if (!is_kind(o, "apiextensions.k8s.io", "CustomResourceDefinition") ||
                                !streq(json_str_or(o, "spec.group", ""), group) ||
                                !streq(json_str_or(o, "spec.names.kind", ""),
                                                object_kind(object)) ||
                                !serves(o, version))
                        continue;
                const char *slash = strchr(object_api_version(object), '/');
                *ret = (struct api_resource){json_str_or(o, "spec.group", ""),
                                slash ? slash + 1 : object_api_version(object),
                                json_str_or(o, "spec.names.plural", ""),
                                json_str_or(o, "spec.names.kind", ""),
                                streq(json_str_or(o, "spec.scope", ""), "Namespaced")};
                *ret_crd = o;
                return true;
        }
        return false;
}

int decide_duplicates(const struct wanted *wanted, size_t count, struct problem *p) {
        _cleanup_(map_freep) struct map *seen = map_new(NULL);

        if (!seen)
                return -ENOMEM;
        for (size_t i = 0; i < count; i++) {
                const struct wanted *first = map_get(seen, wanted[i].key);

                if (first) {
                        const struct manifest_item *a = first->item, *b = wanted[i].item;

                        problem_set(p, EINVAL, 400, "Invalid",
                                        "the same object is in %s line %u already; remove one",
                                        a->file, a->doc->line);
                        problem_field(p, 0, "metadata.name");
                        manifest_blame(b, p);
                        return -EINVAL;
                }
                if (map_set(seen, wanted[i].key, (void *)&wanted[i]) < 0)
                        return -ENOMEM;
        }
        return 0;
}

size_t decide_apply(struct wanted *wanted, size_t count, const struct inventory *inventory) {
        size_t n = 0;

        for (size_t i = 0; i < count; i++) {
                const struct inventory_entry *e = inventory_get(inventory, wanted[i].key);

                wanted[i].apply = !e || !*e->hash || !streq(e->hash, wanted[i].hash);
                n += wanted[i].apply;
        }
        return n;
}

static int compare_reverse(const void *a, const void *b) {
        const struct inventory_entry *x = *(struct inventory_entry *const *)a,
                                     *y = *(struct inventory_entry *const *)b;
        unsigned i = kind_rank(x->group, x->kind), j = kind_rank(y->group, y->kind);

        if (i != j)
                return i > j ? -1 : 1;
        return strcmp(x->key, y->key);
}

struct inventory_entry **decide_gone(const struct inventory *inventory, const struct wanted *wanted,
                size_t count, size_t *ret_count) {
        struct inventory_entry **list = calloc(inventory_size(inventory) + 1, sizeof(*list));
        _cleanup_(map_freep) struct map *keys = map_new(NULL);
        size_t n = 0;

        if (!list || !keys)
                goto fail;
        for (size_t i = 0; i < count; i++)
                if (map_set(keys, wanted[i].key, (void *)&wanted[i]) < 0)
                        goto fail;
        map_foreach (inventory->entries, m)
                if (!map_get(keys, map_entry_key(m)))
                        list[n++] = map_entry_value(m);
        qsort(list, n, sizeof(*list), compare_reverse);
        *ret_count = n;
        return list;
fail:
        free(list);
        return NULL;
}

enum brake decide_brake(size_t had, size_t gone, size_t left, unsigned limit_percent) {
        if (gone == 0)
                return BRAKE_NONE;
        if (left == 0)
                return BRAKE_NOTHING_LEFT;
        if (had >= PRUNE_LIMIT_FROM && gone * 100 > had * limit_percent)
                return BRAKE_SHARE;
        return BRAKE_NONE;
}

unsigned decide_limit(const char *text) {
        char *end;

        if (isempty(text) || !strchr("0123456789", *text))
                return PRUNE_LIMIT_DEFAULT;
        unsigned long n = strtoul(text, &end, 10);
        return streq(end, "%") && n <= 100 ? (unsigned)n : PRUNE_LIMIT_DEFAULT;
}

enum removal decide_removal(const struct removal_facts *f) {
        const char *prune = strempty(f->prune);

        if (streq(prune, "disabled"))
                return RELEASE_OPTED_OUT;
        if (!f->ours)
                return RELEASE_NOT_OURS;
        if (streq(prune, "confirmed"))
                return REMOVE;
        if (f->holds_gitsync)
                return KEEP_GITSYNC;
        if (f->unseen)
                return KEEP_UNSEEN;
        if (f->holds)
                return KEEP_HOLDS;
        if (f->by_link && !f->confirmed)
                return KEEP_LINK;
        return REMOVE;
}

static bool ended_condition(const json_t *o) {
        return object_condition_true(o, "Complete") || object_condition_true(o, "Failed") ||
               object_condition_true(o, "Succeeded");
}

static bool ended(const json_t *o) {
        const char *phase = json_str_or(o, "status.phase", "");

        return ended_condition(o) || streq(phase, "Succeeded") || streq(phase, "Failed") ||
               json_str(o, "status.completionTime");
}

/* When it ended: its completionTime, or the change of the condition that says so. */
static bool end_time(const json_t *o, uint64_t *ret) {
        static const char *const types[] = {"Complete", "Failed", "Succeeded"};
        const char *when = json_str(o, "status.completionTime");

        for (size_t i = 0; !when && i < ELEMENTS(types); i++)
                if (object_condition_true(o, types[i]))
                        when = json_str(object_condition(o, types[i]), "lastTransitionTime");
        return when && time_parse(when, ret) == 0;
}

bool decide_is_finished(const json_t *wanted, const json_t *last, uint64_t now_us) {
        int64_t ttl = json_int_or(last ? last : wanted, "spec.ttlSecondsAfterFinished", -1);
        uint64_t end;

        if (!last) /* applied once and absent: most likely its time to live is over */
                return ttl >= 0;
        if (!ended(last))
                return false;
        if (ttl >= 0)
                return !end_time(last, &end) || (uint64_t)ttl > UINT64_MAX / 2000000 ||
                       now_us + CLOCK_SLACK_S * 1000000ull >= end + (uint64_t)ttl * 1000000;
        /* Finished pods are removed; an owner may remove its object when that has finished. */
        return is_kind(last, "", "Pod") || is_kind(wanted, "", "Pod") ||
               object_controller_ref(last) != NULL;
}

static bool is_server_owned(const char *path) {
        static const char *const fields[] = {"status", "kind", "apiVersion",
                        "metadata.managedFields", "metadata.resourceVersion",
                        "metadata.generation"};

        for (size_t i = 0; i < ELEMENTS(fields); i++)
                if (streq(fields[i], path))
                        return true;
        return false;
}

static char *join(const char *path, const char *key) {
        return strformat("%s%s%s", path, *path ? "." : "", key);
}

/* Depth is bounded by the parser of JSON texts (100). */
static char *difference(const json_t *a, const json_t *b, const char *path) {
        const json_t *sides[] = {a, b};
        const char *key;
        json_t *v;
        size_t i;

        if (json_is_object(a) && json_is_object(b)) {
                for (size_t side = 0; side < ELEMENTS(sides); side++)
                        json_object_foreach ((json_t *)sides[side], key, v) {
                                const json_t *other = json_object_get(sides[1 - side], key);
                                _cleanup_free_ char *at = join(path, key), *found = NULL;

                                if (!at || is_server_owned(at) || (other && json_equal(v, other)))
                                        continue;
                                found = other ? difference(v, other, at) : TAKE_PTR(at);
                                if (found)
                                        return TAKE_PTR(found);
                        }
                return NULL;
        }
        if (json_is_array(a) && json_is_array(b) && json_array_size(a) == json_array_size(b))
                json_array_foreach (a, i, v)
                        if (!json_equal(v, json_array_get(b, i))) {
                                _cleanup_free_ char *at = strformat("%s[%zu]", path, i);

                                return at ? difference(v, json_array_get(b, i), at) : NULL;
                        }
        return strdup(path);
}

char *decide_difference(const json_t *live, const json_t *would_be) {
        return difference(live, would_be, "");
}
