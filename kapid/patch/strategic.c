/* Strategic merge patch: maps merge, lists follow the schema's patch strategy and merge key, and
 * directives in the patch ($patch, $setElementOrder/x, $deleteFromPrimitiveList/x, $retainKeys)
 * steer it (docs/wire.md section 9). Fields without a schema merge as in a merge patch. */
#include "kapid/patch/patch.h"

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

/* The identity of a list entry: the key of an object, or the primitive itself. */
static const json_t *identity(const json_t *item, const char *key) {
        return key ? json_object_get(item, key) : item;
}

static char *identity_text(const json_t *item, const char *key) {
        const json_t *v = identity(item, key);

        return v ? json_text_sorted(v) : NULL;
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
        ssize_t order;  /* place that the patch asks for */
        size_t place;   /* place in the merged list */
        ssize_t before; /* place in the object's list; -1: not there */
        json_t *item;
};

static int compare_placed(const void *a, const void *b) {
        const struct placed *x = a, *y = b;

        return x->order != y->order ? (x->order > y->order) - (x->order < y->order)
                                    : (x->place > y->place) - (x->place < y->place);
}

/* Merges two sequences: the items that the order names, in its order, and the others in the
 * object's order. Of two heads that were both in the object before the earlier goes first;
 * otherwise the named one does: what a patch adds comes before what only the object has. */
static json_t *interleave(
                const struct placed *named, size_t n, const struct placed *others, size_t m) {
        json_t *result = json_array();

        for (size_t i = 0, j = 0; result && (i < n || j < m);) {
                bool first = i < n && !(j < m && named[i].before >= 0 && others[j].before >= 0 &&
                                                      others[j].before < named[i].before);

                if (json_array_append(result, first ? named[i++].item : others[j++].item) < 0) {
                        json_decref(result);
                        return NULL;
                }
        }
        return result;
}

/* list: merged; order: what the patch asks for; before: the object's list (may be NULL). */
static int reorder(const json_t *list, const json_t *order, const char *key, const json_t *before,
                json_t **ret) {
        size_t n = json_array_size(list), named = 0, others = 0, i;
        _cleanup_(map_freep) struct map *index = index_list(order, key),
                                        *old = index_list(before, key);
        _cleanup_free_ struct placed *a = calloc(n + 1, sizeof(*a)), *b = calloc(n + 1, sizeof(*b));
        json_t *item;

        if (!index || !old || !a || !b)
                return -ENOMEM;
        json_array_foreach (list, i, item) {
                ssize_t place = index_find(index, item, key), was = index_find(old, item, key);

                if (place >= 0)
                        a[named++] = (struct placed){place, i, was, item};
                else
                        b[others++] = (struct placed){-1, i, was, item};
        }
        qsort(a, named, sizeof(*a), compare_placed);
        *ret = interleave(a, named, b, others);
        return *ret ? 0 : -ENOMEM;
}

static const char *directive_of(const json_t *item) {
        return json_string_value(json_object_get(item, "$patch"));
}

static bool is_directive(const char *key) {
        return *key == '$' &&
               (streq(key, "$patch") || streq(key, "$retainKeys") ||
                               startswith(key, order_prefix) || startswith(key, delete_prefix));
}

static bool has_order(const json_t *patch, const char *field) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)patch, key, v)
                if (*key == '$' && startswith(key, order_prefix) &&
                                streq(key + strlen(order_prefix), field))
                        return true;
        return false;
}

static int plain_value(struct merger *m, const struct schema *s, const json_t *v, json_t **ret);

static int plain_fields(struct merger *m, const struct schema *s, json_t *v, json_t *result) {
        json_t *child, *own;
        const char *key;
        int r;

        json_object_foreach (v, key, child) {
                if (is_directive(key) && s && s->additional && !s->field_count)
                        return refuse(m, "a map of values takes no directive", key);
                if (is_directive(key))
                        continue;
                r = plain_value(m, s ? schema_child(s, key) : NULL, child, &own);
                if (r < 0)
                        return r;
                if (own && json_object_set_new(result, key, own) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int plain_items(struct merger *m, const struct schema *s, json_t *v, json_t *result) {
        json_t *child, *own;
        size_t i;
        int r;

        json_array_foreach (v, i, child) {
                r = plain_value(m, s ? s->items : NULL, child, &own);
                if (r < 0)
                        return r;
                if (own && json_array_append_new(result, own) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* A patch's value where the object has none: the value itself without nulls, directives, and
 * what carries a $patch (there is nothing that it could replace or delete). *ret is NULL when
 * nothing is left. */
static int plain_value(struct merger *m, const struct schema *s, const json_t *v, json_t **ret) {
        _cleanup_json_ json_t *result = NULL;
        int r;

        *ret = NULL;
        if (json_is_null(v) || directive_of(v))
                return 0;
        if (!json_is_object(v) && !json_is_array(v)) {
                *ret = json_incref((json_t *)v);
                return 0;
        }
        result = json_is_object(v) ? json_object() : json_array();
        if (!result)
                return -ENOMEM;
        r = json_is_object(v) ? plain_fields(m, s, (json_t *)v, result)
                              : plain_items(m, s, (json_t *)v, result);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(result);
        return 0;
}

/* A patch of a list with a merge key, parsed. */
struct keyed {
        const char *key;
        json_t *items;    /* ordinary ones */
        struct map *gone; /* identities that $patch: delete names */
        bool replace;     /* an item says $patch: replace: the ordinary ones are the new list */
};

static void keyed_done(struct keyed *l) {
        json_decref(l->items);
        map_free(l->gone);
}

static int keyed_read(struct merger *m, struct keyed *l, const json_t *patch) {
        const json_t *item;
        size_t i;

        l->items = json_array();
        l->gone = map_new(NULL);
        if (!l->items || !l->gone)
                return -ENOMEM;
        json_array_foreach (patch, i, item) {
                const json_t *word = json_object_get(item, "$patch");
                const char *text = strempty(json_string_value(word));
                bool drop = word && streq(text, "delete");

                if (!json_is_object(item) || (!identity(item, l->key) && (drop || !word)))
                        return refuse(m, "a list item lacks its merge key", l->key);
                if (word && streq(text, "merge"))
                        return refuse(m, "merging lists cannot yet be specified in the patch", "");
                if (word && !drop && !streq(text, "replace"))
                        return refuse(m, "unknown $patch directive", text);
                l->replace |= word && !drop;
                if (word ? drop && index_add(l->gone, item, l->key, i) < 0
                         : json_array_append(l->items, (json_t *)item) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int merge_item(struct merger *m, const struct schema *s, const char *key, json_t *result,
                struct map *index, const json_t *item) {
        ssize_t at = index_find(index, item, key);
        json_t *merged = NULL;
        int r;

        if (at >= 0) {
                r = merge_object(m, s, json_array_get(result, (size_t)at), item, &merged);
                return r < 0 ? r : json_array_set_new(result, (size_t)at, merged) < 0 ? -ENOMEM : 0;
        }
        r = plain_value(m, s, item, &merged);
        if (r < 0)
                return r;
        if (json_array_append_new(result, merged) < 0)
                return -ENOMEM;
        return index_add(index, merged, key, json_array_size(result) - 1);
}

/* The entries of the object's list that the patch keeps. */
static json_t *keyed_rest(const struct keyed *l, const json_t *target) {
        json_t *rest = json_array(), *item;
        size_t i;

        if (!l->replace)
                json_array_foreach (target, i, item)
                        if (rest && index_find(l->gone, item, l->key) < 0)
                                json_array_append(rest, item);
        return rest;
}

/* A list with a merge key. ordered: a $setElementOrder beside it does the ordering. */
static int merge_keyed_list(struct merger *m, const struct schema *s, const json_t *target,
                const json_t *patch, bool ordered, json_t **ret) {
        _cleanup_(keyed_done) struct keyed l = {.key = s->merge_key};
        _cleanup_(map_freep) struct map *index = NULL;
        _cleanup_json_ json_t *result = NULL;
        const json_t *item;
        int r = keyed_read(m, &l, patch);
        size_t i;

        if (r < 0)
                return r;
        result = keyed_rest(&l, target);
        index = index_list(result, l.key);
        if (!result || !index)
                return -ENOMEM;
        json_array_foreach (l.items, i, item) {
                r = merge_item(m, s->items, l.key, result, index, item);
                if (r < 0)
                        return r;
        }
        if (!ordered && !l.replace)
                return reorder(result, l.items, l.key, target, ret);
        *ret = TAKE_PTR(result);
        return 0;
}

static int merge_set(const json_t *target, const json_t *patch, bool ordered, json_t **ret) {
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
        if (!ordered)
                return reorder(result, patch, NULL, target, ret);
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

/* $retainKeys: what it does not name goes; all that the patch sets must be named. */
static int retain_keys(struct merger *m, const json_t *patch, const json_t *keys, json_t *object) {
        _cleanup_(map_freep) struct map *kept = map_new(NULL);
        const char *key;
        json_t *v;
        void *next;
        size_t i;

        if (!json_is_array(keys))
                return refuse(m, "$retainKeys needs a list", "");
        if (!kept)
                return -ENOMEM;
        json_array_foreach (keys, i, v)
                if (json_is_string(v) && map_set(kept, json_string_value(v), kept) < 0)
                        return -ENOMEM;
        json_object_foreach ((json_t *)patch, key, v)
                if (!is_directive(key) && !json_is_null(v) && !map_get(kept, key))
                        return refuse(m, "$retainKeys does not name the patch's field", key);
        json_object_foreach_safe(object, next, key, v) if (!map_get(kept, key))
                        json_object_del(object, key);
        return 0;
}

static bool same_shape(const json_t *a, const json_t *b) {
        return (json_is_object(a) && json_is_object(b)) || (json_is_array(a) && json_is_array(b));
}

static int merge_field(struct merger *m, const struct schema *s, const char *key, const json_t *v,
                bool ordered, json_t *result) {
        const struct schema_field *f = s ? schema_field_find(s, key) : NULL;
        const struct schema *child = f ? f->schema : s ? s->additional : NULL;
        const json_t *old = json_object_get(result, key);
        bool merges = f && f->flags & FIELD_PATCH_MERGE;
        json_t *merged = NULL;
        int r = 0;

        if (!same_shape(old, v))
                r = plain_value(m, child, v, &merged);
        else if (json_is_object(v))
                r = merge_object(m, child, old, v, &merged);
        else if (merges && child->merge_key && child->items)
                r = merge_keyed_list(m, child, old, v, ordered, &merged);
        else if (merges)
                r = merge_set(old, v, ordered, &merged);
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

/* The items of a patched list must be in the order that $setElementOrder gives. */
static int check_order(struct merger *m, const char *name, const char *key, const json_t *list,
                const json_t *order) {
        size_t at = 0, i;
        const json_t *item;

        json_array_foreach (list, i, item) {
                _cleanup_free_ char *own = identity_text(item, key);
                bool found = directive_of(item) != NULL;

                for (; own && !found && at < json_array_size(order); at++) {
                        _cleanup_free_ char *other = identity_text(json_array_get(order, at), key);

                        found = other && streq(own, other);
                }
                if (!found)
                        return refuse(m,
                                        "the order in the patch's list does not match "
                                        "$setElementOrder of",
                                        name);
        }
        return 0;
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
                const char *merge_key = f ? f->schema->merge_key : NULL;
                json_t *list = name ? json_object_get(result, name) : NULL, *ordered;
                int r;

                if (!name)
                        continue;
                if (!json_is_array(v))
                        return refuse(m, "$setElementOrder needs a list for", name);
                r = check_order(m, name, merge_key, json_object_get(patch, name), v);
                if (r < 0)
                        return r;
                if (!json_is_array(list))
                        continue;
                if (json_array_size(json_object_get(target, name)) == 0 &&
                                json_array_size(json_object_get(patch, name)) == 0)
                        return refuse(m, "$setElementOrder has no items to order for", name);
                if (reorder(list, v, merge_key, json_object_get(target, name), &ordered) < 0 ||
                                json_object_set_new(result, name, ordered) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* *ret is NULL for `$patch: delete`. */
static int merge_object(struct merger *m, const struct schema *s, const json_t *target,
                const json_t *patch, json_t **ret) {
        const char *directive = directive_of(patch), *key;
        const json_t *retain = json_object_get(patch, "$retainKeys"),
                     *word = json_object_get(patch, "$patch");
        _cleanup_json_ json_t *result = NULL;
        json_t *v;
        int r = 0;

        if (directive && streq(directive, "delete")) {
                *ret = NULL;
                return 0;
        }
        if (word && (!directive || !streq(directive, "replace")))
                return refuse(m, "unknown $patch directive", directive ? directive : "(no text)");
        result = target && !(directive && *directive == 'r') ? json_copy((json_t *)target)
                                                             : json_object();
        if (!result)
                return -ENOMEM;
        if (retain && (r = retain_keys(m, patch, retain, result)) < 0)
                return r;
        json_object_foreach ((json_t *)patch, key, v) {
                if (is_directive(key))
                        continue;
                if (json_is_null(v))
                        json_object_del(result, key);
                else
                        r = merge_field(m, s, key, v, json_is_array(v) && has_order(patch, key),
                                        result);
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
        json_t *shared = NULL;
        int r = merge_object(&m, schema, target, patch, &shared);

        if (r == 0 && !shared)
                return refuse(&m, "the whole object cannot be deleted by a patch", "");
        if (r < 0)
                return r == -ENOMEM ? problem_set(p, ENOMEM, 500, "InternalError", "out of memory")
                                    : r;
        *ret = shared;
        return 0;
}
