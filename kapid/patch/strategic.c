/* Strategic merge patch: maps merge, lists follow the schema's patch strategy and merge key, and
 * directives in the patch ($patch, $setElementOrder/x, $deleteFromPrimitiveList/x, $retainKeys)
 * steer it (kubernetes-wire.md section 9). Fields without a schema merge as in a merge patch. */
#include "kapid/patch.h"

#include "kapid/schema/schema.h"
#include "lib/map.h"

static const char order_prefix[] = "$setElementOrder/",
                  delete_prefix[] = "$deleteFromPrimitiveList/";

struct merger {
        struct problem *problem;
};

static int merge_object(struct merger *m, const struct schema *s, const json_t *target,
                const json_t *patch, json_t **ret);

static int refuse(struct merger *m, const char *fmt, const char *word) {
        problem_set(m->problem, EINVAL, 400, "BadRequest", "invalid strategic merge patch: %s %s",
                        fmt, word);
        return -EINVAL;
}

/* What of a list entry identifies it: the key of an object, or the primitive itself. */
static const json_t *identity(const json_t *item, const char *key) {
        return key ? json_object_get(item, key) : item;
}

static char *identity_text(const json_t *item, const char *key) {
        const json_t *v = identity(item, key);

        return v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS) : NULL;
}

/* Places of a list's entries by identity, so that long lists merge in linear time. */
static int index_add(struct map *index, const json_t *item, const char *key, size_t place) {
        _cleanup_free_ char *text = identity_text(item, key);

        if (!text || map_get(index, text))
                return 0; /* an entry without identity is never found; of twins the first counts */
        return map_set(index, text, (void *)(uintptr_t)(place + 1));
}

static struct map *index_list(const json_t *list, const char *key) {
        struct map *index = map_new(NULL);
        const json_t *item;
        size_t i;

        json_array_foreach (list, i, item)
                if (index && index_add(index, item, key, i) < 0)
                        index = map_free(index);
        return index;
}

/* -1 when there is none. */
static ssize_t index_find(const struct map *index, const json_t *item, const char *key) {
        _cleanup_free_ char *text = identity_text(item, key);

        return text ? (ssize_t)(uintptr_t)map_get(index, text) - 1 : -1;
}

struct placed {
        ssize_t order; /* place that the patch asks for */
        size_t place;  /* place in the merged list */
        json_t *item;
};

static int compare_placed(const void *a, const void *b) {
        const struct placed *x = a, *y = b;

        return x->order != y->order ? (x->order > y->order) - (x->order < y->order)
                                    : (x->place > y->place) - (x->place < y->place);
}

/* Merges two sequences: the items that the order names, in its order, and the others in the
 * object's order. Of two heads that were both in the object before (their places are below
 * `before`) the earlier goes first; otherwise the unnamed one does. */
static json_t *interleave(const struct placed *named, size_t n, const struct placed *others,
                size_t m, size_t before) {
        json_t *result = json_array();

        for (size_t i = 0, j = 0; result && (i < n || j < m);) {
                bool first = j >= m ||
                             (i < n && named[i].place < before && others[j].place < before &&
                                             named[i].place < others[j].place);

                if (json_array_append(result, first ? named[i++].item : others[j++].item) < 0) {
                        json_decref(result);
                        return NULL;
                }
        }
        return result;
}

static int reorder(const json_t *list, const json_t *order, const char *key, size_t before,
                json_t **ret) {
        size_t n = json_array_size(list), named = 0, others = 0, i;
        _cleanup_(map_freep) struct map *index = index_list(order, key);
        _cleanup_free_ struct placed *a = calloc(n + 1, sizeof(*a)), *b = calloc(n + 1, sizeof(*b));
        json_t *item;

        if (!index || !a || !b)
                return -ENOMEM;
        json_array_foreach (list, i, item) {
                ssize_t place = index_find(index, item, key);

                if (place >= 0)
                        a[named++] = (struct placed){place, i, item};
                else
                        b[others++] = (struct placed){-1, i, item};
        }
        qsort(a, named, sizeof(*a), compare_placed);
        *ret = interleave(a, named, b, others, before);
        return *ret ? 0 : -ENOMEM;
}

static const char *directive_of(const json_t *item) {
        return json_string_value(json_object_get(item, "$patch"));
}

/* An item of the patch without its directive. */
static json_t *clean(const json_t *item) {
        json_t *copy = json_copy((json_t *)item);

        if (json_is_object(copy))
                json_object_del(copy, "$patch");
        return copy;
}

/* A list that is being merged: deleted items leave a null until the end. */
struct keyed {
        const struct schema *items;
        const char *key;
        json_t *result;
        struct map *index;
        bool holes;
};

static int merge_item(struct merger *m, struct keyed *l, const json_t *item) {
        const char *directive = directive_of(item);
        _cleanup_json_ json_t *cleaned = NULL, *empty = NULL;
        json_t *merged = NULL;
        ssize_t at;

        if (!json_object_get(item, l->key))
                return refuse(m, "a list item lacks its merge key", l->key);
        at = index_find(l->index, item, l->key);
        if (directive && streq(directive, "delete")) {
                _cleanup_free_ char *text = identity_text(item, l->key);

                if (at < 0)
                        return 0;
                l->holes = true;
                map_remove(l->index, strempty(text));
                return json_array_set_new(l->result, (size_t)at, json_null()) < 0 ? -ENOMEM : 0;
        }
        if (directive && !streq(directive, "replace") && !streq(directive, "merge"))
                return refuse(m, "unknown $patch directive", directive);
        cleaned = clean(item);
        empty = json_object();
        if (!cleaned || !empty)
                return -ENOMEM;
        bool fresh = at < 0 || (directive && *directive == 'r');
        int r = merge_object(m, l->items, fresh ? empty : json_array_get(l->result, (size_t)at),
                        cleaned, &merged);
        if (r < 0)
                return r;
        if (at >= 0)
                return json_array_set_new(l->result, (size_t)at, merged) < 0 ? -ENOMEM : 0;
        if (json_array_append_new(l->result, merged) < 0)
                return -ENOMEM;
        return index_add(l->index, merged, l->key, json_array_size(l->result) - 1);
}

static json_t *without_holes(const json_t *list) {
        json_t *result = json_array(), *item;
        size_t i;

        json_array_foreach (list, i, item)
                if (!json_is_null(item))
                        json_array_append(result, item);
        return result;
}

/* A list with a merge key: `{"$patch": "replace"}` as an item replaces the whole list by the
 * others. */
static int merge_keyed_list(struct merger *m, const struct schema *s, const json_t *target,
                const json_t *patch, json_t **ret) {
        struct keyed l = {.items = s->items, .key = s->merge_key};
        const json_t *item;
        bool replace = false;
        int r = 0;
        size_t i;

        json_array_foreach (patch, i, item) {
                if (!json_is_object(item))
                        return refuse(m, "a list item lacks its merge key", s->merge_key);
                replace |= !json_object_get(item, l.key) &&
                           streq(strempty(directive_of(item)), "replace");
        }
        l.result = json_is_array(target) && !replace ? json_copy((json_t *)target) : json_array();
        l.index = index_list(l.result, l.key);
        if (!l.result || !l.index)
                r = -ENOMEM;
        json_array_foreach (patch, i, item)
                if (r == 0 && !(replace && !json_object_get(item, l.key)))
                        r = merge_item(m, &l, item);
        if (r == 0)
                *ret = l.holes ? without_holes(l.result) : json_incref(l.result);
        json_decref(l.result);
        map_free(l.index);
        return r < 0 || *ret ? r : -ENOMEM;
}

static int merge_set(const json_t *target, const json_t *patch, json_t **ret) {
        _cleanup_json_ json_t *result =
                        json_is_array(target) ? json_copy((json_t *)target) : json_array();
        _cleanup_(map_freep) struct map *index = index_list(result, NULL);
        json_t *item;
        size_t i;

        if (!result || !index)
                return -ENOMEM;
        json_array_foreach (patch, i, item)
                if (index_find(index, item, NULL) < 0 &&
                                (json_array_append(result, item) < 0 ||
                                                index_add(index, item, NULL, i) < 0))
                        return -ENOMEM;
        *ret = TAKE_PTR(result);
        return 0;
}

/* Removes what $deleteFromPrimitiveList names. */
static int delete_from_list(json_t *object, const char *name, const json_t *gone) {
        _cleanup_(map_freep) struct map *index = index_list(gone, NULL);
        json_t *list = json_object_get(object, name), *item, *kept;
        size_t i;

        if (!json_is_array(list))
                return 0;
        kept = index ? json_array() : NULL;
        json_array_foreach (list, i, item)
                if (kept && index_find(index, item, NULL) < 0)
                        json_array_append(kept, item);
        return json_object_set_new(object, name, kept) < 0 ? -ENOMEM : 0;
}

static int retain_keys(json_t *object, const json_t *keys) {
        _cleanup_(map_freep) struct map *kept = map_new(NULL);
        const char *key;
        json_t *v;
        void *next;
        size_t i;

        if (!kept)
                return -ENOMEM;
        json_array_foreach (keys, i, v)
                if (json_is_string(v) && map_set(kept, json_string_value(v), kept) < 0)
                        return -ENOMEM;
        json_object_foreach_safe(object, next, key, v) if (!map_get(kept, key))
                        json_object_del(object, key);
        return 0;
}

static int merge_field(struct merger *m, const struct schema *s, const char *key, const json_t *v,
                json_t *result) {
        const struct schema_field *f = s ? schema_field_find(s, key) : NULL;
        const struct schema *child = f ? f->schema : s ? s->additional : NULL;
        const json_t *old = json_object_get(result, key);
        json_t *merged = NULL;
        int r = 0;

        if (json_is_object(v))
                r = merge_object(m, child, json_is_object(old) ? old : NULL, v, &merged);
        else if (json_is_array(v) && f && f->flags & FIELD_PATCH_MERGE && child->merge_key &&
                        child->items)
                r = merge_keyed_list(m, child, old, v, &merged);
        else if (json_is_array(v) && f && f->flags & FIELD_PATCH_MERGE)
                r = merge_set(old, v, &merged);
        else
                merged = json_incref((json_t *)v);
        if (r < 0)
                return r;
        if (!merged) { /* $patch: delete */
                json_object_del(result, key);
                return 0;
        }
        return json_object_set_new(result, key, merged) < 0 ? -ENOMEM : 0;
}

/* Directives that work on a list beside them, after the list itself has merged. */
static int apply_list_directives(struct merger *m, const struct schema *s, const json_t *target,
                const json_t *patch, json_t *result) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)patch, key, v) {
                const char *name = startswith(key, delete_prefix);
                int r = name ? delete_from_list(result, name, v) : 0;

                if (r < 0)
                        return r;
        }
        json_object_foreach ((json_t *)patch, key, v) {
                const char *name = startswith(key, order_prefix);
                const struct schema_field *f = name && s ? schema_field_find(s, name) : NULL;
                json_t *list = name ? json_object_get(result, name) : NULL, *ordered;

                if (!name)
                        continue;
                if (!json_is_array(v))
                        return refuse(m, "$setElementOrder needs a list for", name);
                if (!json_is_array(list))
                        continue;
                size_t before = json_array_size(json_object_get(target, name));
                if (reorder(list, v, f ? f->schema->merge_key : NULL, before, &ordered) < 0 ||
                                json_object_set_new(result, name, ordered) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* *ret is NULL for `$patch: delete`. */
static int merge_object(struct merger *m, const struct schema *s, const json_t *target,
                const json_t *patch, json_t **ret) {
        const char *directive = directive_of(patch), *key;
        const json_t *retain = json_object_get(patch, "$retainKeys");
        _cleanup_json_ json_t *result = NULL;
        json_t *v;
        int r = 0;

        if (directive && streq(directive, "delete")) {
                *ret = NULL;
                return 0;
        }
        if (directive && !streq(directive, "replace") && !streq(directive, "merge"))
                return refuse(m, "unknown $patch directive", directive);
        result = target && !(directive && *directive == 'r') ? json_copy((json_t *)target)
                                                             : json_object();
        if (!result)
                return -ENOMEM;
        if (retain && !json_is_array(retain))
                return refuse(m, "$retainKeys needs a list", "");
        if (retain && retain_keys(result, retain) < 0)
                return -ENOMEM;
        json_object_foreach ((json_t *)patch, key, v) {
                if (*key == '$' && (streq(key, "$patch") || streq(key, "$retainKeys") ||
                                                   startswith(key, order_prefix) ||
                                                   startswith(key, delete_prefix)))
                        continue;
                if (json_is_null(v))
                        json_object_del(result, key);
                else
                        r = merge_field(m, s, key, v, result);
                if (r < 0)
                        return r;
        }
        r = apply_list_directives(m, s, target, patch, result);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(result);
        return 0;
}

int patch_strategic(const struct schema *schema, const json_t *target, const json_t *patch,
                json_t **ret, struct problem *p) {
        struct merger m = {.problem = p};
        json_t *shared = NULL, *own;
        int r = merge_object(&m, schema, target, patch, &shared);

        if (r == 0 && !shared)
                return refuse(&m, "the whole object cannot be deleted by a patch", "");
        if (r < 0)
                return r == -ENOMEM ? problem_set(p, ENOMEM, 500, "InternalError", "out of memory")
                                    : r;
        own = json_deep_copy(shared); /* the merge shares unchanged parts with target and patch */
        json_decref(shared);
        if (!own)
                return problem_set(p, ENOMEM, 500, "InternalError", "out of memory");
        *ret = own;
        return 0;
}
