/* Field sets and the typed merge of server-side apply. How deep ownership goes is the schema's
 * word: atomic lists and maps are leaves, list maps are keyed, sets go by value, and what has no
 * schema is a map of fields with atomic lists. Ideas: the structured merge KEP (555). */
#include "kapid/patch/fieldset.h"

#include "lib/buf.h"
#include "lib/json-write.h"
#include "lib/map.h"

enum { KEYS_MAX = 8, KEY_DEPTH_MAX = 8, FIELD_SIZE = 128, PAIRED_MAX = 8 };

struct item_key {
        const char *name;
        const json_t *value;
};

static const struct schema untyped = {.type = SCHEMA_ANY, .flags = SCHEMA_PRESERVE_UNKNOWN};

static bool is_member(const json_t *n) {
        return n && (json_object_size(n) == 0 || json_object_get(n, "."));
}

/* Takes children; NULL when nothing is left. */
static json_t *make(bool member, json_t *children) {
        if (json_object_size(children) == 0 && !member) {
                json_decref(children);
                return NULL;
        }
        if (json_object_size(children) > 0 && member)
                json_object_set_new(children, ".", json_object());
        return children;
}

/* Whether all of b is in a. */
static bool holds(const json_t *a, const json_t *b) {
        const char *key;
        const json_t *v;

        if (is_member(b) && !is_member(a))
                return false;
        json_object_each (b, key, v) {
                const json_t *mine = streq(key, ".") ? v : json_object_get(a, key);

                if (mine != v && (!mine || !holds(mine, v)))
                        return false;
        }
        return true;
}

/* Whether something is in both. */
static bool meets(const json_t *a, const json_t *b) {
        const char *key;
        const json_t *v;

        if (is_member(a) && is_member(b))
                return true;
        json_object_each (b, key, v) {
                const json_t *mine = streq(key, ".") ? NULL : json_object_get(a, key);

                if (mine && meets(mine, v))
                        return true;
        }
        return false;
}

json_t *fieldset_union(const json_t *a, const json_t *b) {
        json_t *children, *v;
        const char *key;

        if (!a || !b || a == b)
                return json_incref((json_t *)(a ? a : b));
        if (holds(a, b))
                return json_ref(a);
        children = json_object();
        json_object_foreach ((json_t *)a, key, v)
                if (!streq(key, ".")) {
                        json_t *other = json_object_get(b, key);

                        json_object_set_new(children, key,
                                        other ? fieldset_union(v, other) : json_incref(v));
                }
        json_object_foreach ((json_t *)b, key, v)
                if (!streq(key, ".") && !json_object_get(a, key))
                        json_object_set(children, key, v);
        return make(is_member(a) || is_member(b), children);
}

json_t *fieldset_difference(const json_t *a, const json_t *b) {
        json_t *children, *v;
        const char *key;

        if (!a || !b || !meets(a, b))
                return json_incref((json_t *)a);
        children = json_object();
        json_object_foreach ((json_t *)a, key, v) {
                json_t *left = streq(key, ".") ? NULL
                                               : fieldset_difference(v, json_object_get(b, key));

                if (left)
                        json_object_set_new(children, key, left);
        }
        return make(is_member(a) && !is_member(b), children);
}

json_t *fieldset_intersection(const json_t *a, const json_t *b) {
        json_t *children, *v;
        const char *key;

        if (!a || !b)
                return NULL;
        children = json_object();
        json_object_foreach ((json_t *)a, key, v) {
                json_t *both = streq(key, ".") ? NULL
                                               : fieldset_intersection(v, json_object_get(b, key));

                if (both)
                        json_object_set_new(children, key, both);
        }
        return make(is_member(a) && is_member(b), children);
}

/* How a value is owned. */
enum shape { SHAPE_LEAF, SHAPE_MAP, SHAPE_LIST_MAP, SHAPE_SET };

static enum shape shape_of(const struct schema *s, const json_t *v) {
        if (json_is_object(v))
                return s->flags & SCHEMA_MAP_ATOMIC ? SHAPE_LEAF : SHAPE_MAP;
        if (json_is_array(v) && s->list == LIST_MAP)
                return SHAPE_LIST_MAP;
        return json_is_array(v) && s->list == LIST_SET ? SHAPE_SET : SHAPE_LEAF;
}

static const struct schema *field_schema(const struct schema *s, const char *key) {
        const struct schema *child = schema_child(s, key);

        return child ? child : &untyped;
}

static const struct schema *item_schema(const struct schema *s) {
        return s->items ? s->items : &untyped;
}

/* As structured merging writes values: whole floats as integers. */
static char *value_text(const json_t *v) {
        char buffer[JSON_REAL_SIZE];

        return json_is_real(v) ? strdup(json_real_text(json_real_value(v), buffer))
                               : json_text_sorted(v);
}

/* "f:", "v:" or "k:", and the text. */
static char *element_of(const char kind[static 2], const char *text) {
        size_t n = strlen(text);
        char *element = malloc(n + 3);

        if (!element)
                return NULL;
        memcpy(element, kind, 2);
        memcpy(element + 2, text, n + 1);
        return element;
}

/* The value of an item's key; one left out counts with its default. */
static const json_t *key_value(const struct schema *s, const json_t *item, const char *key) {
        const json_t *v = json_object_get(item, key);
        const struct schema_field *f = v ? NULL : schema_field_find(item_schema(s), key);

        return f ? f->fallback : v;
}

/* The item's keys in their order; how many there are. 0, too, for more than fit. */
static size_t sorted_keys(
                const struct schema *s, const json_t *item, struct item_key keys[static KEYS_MAX]) {
        size_t n = 0;

        for (size_t i = 0; s->map_keys[i]; i++) {
                struct item_key k = {s->map_keys[i], key_value(s, item, s->map_keys[i])};
                size_t at = n;

                if (!k.value)
                        continue;
                if (n++ == KEYS_MAX)
                        return 0;
                for (; at > 0 && strcmp(keys[at - 1].name, k.name) > 0; at--)
                        keys[at] = keys[at - 1];
                keys[at] = k;
        }
        return n;
}

/* "k:{...}" as json_text_sorted() has it. False: that is to do it. */
static bool write_element(struct buf *b, const struct schema *s, const json_t *item) {
        struct item_key keys[KEYS_MAX];
        size_t n = sorted_keys(s, item, keys);

        (void)buf_append(b, "k:", 2);
        for (size_t i = 0; i < n; i++) {
                (void)buf_append_char(b, i > 0 ? ',' : '{');
                if (!json_write_string(b, keys[i].name) || buf_append_char(b, ':') < 0 ||
                                !json_write_sorted(b, keys[i].value, KEY_DEPTH_MAX))
                        return false;
        }
        return n > 0 && buf_append_char(b, '}') >= 0;
}

/* The slow way that the one above is a shortcut of. */
static char *rare_element(const struct schema *s, const json_t *item) {
        _cleanup_json_ json_t *keys = json_object();
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; s->map_keys[i]; i++) {
                const json_t *v = key_value(s, item, s->map_keys[i]);

                if (v)
                        json_object_set(keys, s->map_keys[i], json_unconst(v));
        }
        if (json_object_size(keys) == 0)
                return NULL;
        text = json_text_sorted(keys);
        return text ? element_of("k:", text) : NULL;
}

/* "k:{...}" or "v:..." of an item; keys left out count with their default. NULL when a key is
 * missing. */
static char *item_element(const struct schema *s, const json_t *item) {
        _cleanup_buf_ struct buf b = {0};

        if (s->list == LIST_SET) {
                _cleanup_free_ char *text = value_text(item);

                return text ? element_of("v:", text) : NULL;
        }
        if (!json_is_object(item))
                return NULL;
        return write_element(&b, s, item) ? buf_take(&b) : rare_element(s, item);
}

/* A child under "f:" and its name. Takes it; 0 or -ENOMEM. */
static int put_field(json_t *node, const char *name, json_t *child) {
        size_t n = strlen(name) + 2;
        char small[FIELD_SIZE];
        _cleanup_free_ char *large = NULL;

        if (n < sizeof(small)) {
                memcpy(small, "f:", 2);
                memcpy(small + 2, name, n - 2);
                return json_object_setn_new_nocheck(node, small, n, child) < 0 ? -ENOMEM : 0;
        }
        large = element_of("f:", name);
        if (!large) {
                json_decref(child);
                return -ENOMEM;
        }
        return json_object_setn_new_nocheck(node, large, n, child) < 0 ? -ENOMEM : 0;
}

/* Items of a keyed list by element. NULL when one has no key: then the list is owned as a whole.
 * Elements that occur more than once are in *ret_twins too, with all their items. */
static struct map *index_items(const struct schema *s, const json_t *list, json_t **ret_twins) {
        struct map *index = map_new(NULL);
        json_t *item;
        size_t i;

        json_array_foreach (list, i, item) {
                _cleanup_free_ char *element = item_element(s, item);
                json_t *first = index && element ? map_get(index, element) : NULL, *all;

                if (!index)
                        return NULL;
                if (!element || (!first && map_set(index, element, item) < 0)) {
                        index = map_free(index);
                        continue;
                }
                if (!first)
                        continue;
                if (!*ret_twins)
                        *ret_twins = json_object();
                all = json_object_get(*ret_twins, element);
                if (!all) {
                        all = json_pack("[O]", first);
                        json_object_set_new(*ret_twins, element, all);
                }
                json_array_append(all, item);
        }
        return index;
}

/* A set that is being made. Its leaves are one value: sets do not change. */
struct maker {
        bool with_containers;
        json_t *leaf;
        char **error; /* NULL: nobody asks for the reason */
};

static int set_of(struct maker *m, const struct schema *s, const json_t *v, json_t **ret);

static int set_of_map(struct maker *m, const struct schema *s, const json_t *v, json_t *children) {
        const char *key;
        json_t *child;

        json_object_foreach ((json_t *)v, key, child) {
                const struct schema_field *f = schema_field_find(s, key);
                const struct schema *cs = f ? f->schema : s->additional;
                json_t *node = NULL;
                int r = set_of(m, cs ? cs : &untyped, child, &node);

                if (r < 0)
                        return r;
                /* Entries of a map belong to the manager that wrote them, even when something is
                 * below them. */
                if (node && !f && json_object_size(node) > 0 && !json_object_get(node, "."))
                        json_object_set(node, ".", m->leaf);
                r = node ? put_field(children, key, node) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int set_of_list(struct maker *m, const struct schema *s, const json_t *v, json_t *children) {
        json_t *item;
        size_t i;

        json_array_foreach (v, i, item) {
                _cleanup_free_ char *element = item_element(s, item);
                json_t *node = NULL;
                int r = 0;

                if (!element) {
                        if (m->error && !*m->error)
                                *m->error = strformat("element %zu: associative list with keys "
                                                      "has an element that omits key field \"%s\"",
                                                i, s->map_keys ? s->map_keys[0] : "");
                        return -EINVAL;
                }
                if (s->list == LIST_MAP)
                        r = set_of(m, item_schema(s), item, &node);
                if (r < 0)
                        return r;
                if (node && json_object_size(node) > 0)
                        json_object_set(node, ".", m->leaf);
                if (json_object_get(children, element)) { /* twins are owned as one thing */
                        json_decref(node);
                        node = NULL;
                }
                json_object_set_new(children, element, node ? node : json_ref(m->leaf));
        }
        return 0;
}

/* *ret is NULL when the value sets nothing (an empty keyed list). */
static int set_of(struct maker *m, const struct schema *s, const json_t *v, json_t **ret) {
        enum shape shape = shape_of(s, v);
        json_t *children;
        int r;

        if (shape == SHAPE_LEAF) {
                *ret = json_ref(m->leaf);
                return 0;
        }
        children = json_object();
        if (!children)
                return -ENOMEM;
        r = shape == SHAPE_MAP ? set_of_map(m, s, v, children) : set_of_list(m, s, v, children);
        if (r < 0) {
                json_decref(children);
                return r;
        }
        *ret = make(m->with_containers || (shape == SHAPE_MAP && json_object_size(v) == 0),
                        children);
        return 0;
}

static int whole_set(const struct schema *s, const json_t *v, bool with_containers, json_t **ret,
                char **ret_error) {
        _cleanup_json_ json_t *leaf = json_object();
        struct maker m = {.with_containers = with_containers, .leaf = leaf, .error = ret_error};

        return leaf ? set_of(&m, s, v, ret) : -ENOMEM;
}

int fieldset_of(const struct schema *s, const json_t *value, json_t **ret, char **ret_error) {
        return whole_set(s, value, false, ret, ret_error);
}

/* Everything at and below a value, containers included; a list whose items have no keys is a leaf.
 */
static json_t *full_set(const struct schema *s, const json_t *v) {
        json_t *set = NULL;

        if (whole_set(s, v, true, &set, NULL) < 0)
                return json_object();
        return set;
}

static void compare(const struct schema *s, const json_t *old, const json_t *new,
                json_t **ret_changed, json_t **ret_removed);

/* A child that has changed or gone: a field's name, or an item's element. */
struct child {
        const char *name;
        bool is_field;
};

static void add_child(json_t **node, const struct child *at, json_t *child) {
        if (!child)
                return;
        if (!*node)
                *node = json_object();
        if (at->is_field)
                (void)put_field(*node, at->name, child);
        else
                json_object_set_new(*node, at->name, child);
}

static void compare_child(const struct schema *s, const struct child *at, const json_t *old,
                const json_t *new, json_t **changed, json_t **removed) {
        json_t *c = NULL, *r = NULL;

        if (old && new)
                compare(s, old, new, &c, &r);
        else if (new)
                c = full_set(s, new);
        else if (old)
                r = full_set(s, old);
        add_child(changed, at, c);
        add_child(removed, at, r);
}

static void compare_maps(const struct schema *s, const json_t *old, const json_t *new,
                json_t **changed, json_t **removed) {
        struct json_beside beside = json_beside(old);
        json_t *mine = json_unconst(new), *v;
        size_t left = json_object_size(old);
        const char *key;

        for (void *i = json_object_iter(mine); i; i = json_object_iter_next(mine, i)) {
                const struct child at = {json_object_iter_key(i), .is_field = true};
                const json_t *before =
                                json_beside_get(&beside, at.name, json_object_iter_key_len(i));

                v = json_object_iter_value(i);
                left -= before != NULL;
                if (before == v || (before && !json_is_object(v) && !json_is_array(v) &&
                                                   json_same(before, v)))
                        continue;
                compare_child(field_schema(s, at.name), &at, before, v, changed, removed);
        }
        if (left == 0)
                return;
        json_object_foreach ((json_t *)old, key, v)
                if (!json_object_get(new, key)) {
                        const struct child at = {key, .is_field = true};

                        compare_child(field_schema(s, key), &at, v, NULL, changed, removed);
                }
}

/* Items that occur more than once, before or after, are compared as a group. */
static bool compare_twins(const json_t *before, const json_t *after, const char *element,
                const json_t *was, const json_t *is, json_t **changed) {
        json_t *a = json_object_get(before, element), *b = json_object_get(after, element);
        _cleanup_json_ json_t *x = a ? json_incref(a) : json_pack("[O*]", was);
        _cleanup_json_ json_t *y = b ? json_incref(b) : json_pack("[O*]", is);

        if (!a && !b)
                return false;
        if (!json_same(x, y))
                add_child(changed, &(struct child){.name = element}, json_object());
        return true;
}

/* 0 when the lists could be compared item by item. */
static int compare_lists(const struct schema *s, const json_t *old, const json_t *new,
                json_t **changed, json_t **removed) {
        _cleanup_json_ json_t *twins = NULL, *new_twins = NULL;
        _cleanup_(map_freep) struct map *before = index_items(s, old, &twins),
                                        *after = index_items(s, new, &new_twins);

        if (!before || !after)
                return -EINVAL;
        map_foreach (after, e) {
                const char *element = map_entry_key(e);
                json_t *was = map_get(before, element), *is = map_entry_value(e);

                if (!compare_twins(twins, new_twins, element, was, is, changed))
                        compare_child(item_schema(s), &(struct child){.name = element}, was, is,
                                        changed, removed);
        }
        map_foreach (before, e)
                if (!map_get(after, map_entry_key(e)))
                        compare_child(item_schema(s), &(struct child){.name = map_entry_key(e)},
                                        map_entry_value(e), NULL, changed, removed);
        return 0;
}

static bool same_keys(const struct schema *s, const json_t *a, const json_t *b) {
        for (size_t i = 0; s->map_keys[i]; i++)
                if (!json_same(key_value(s, a, s->map_keys[i]), key_value(s, b, s->map_keys[i])))
                        return false;
        return true;
}

static bool has_a_key(const struct schema *s, const json_t *item) {
        for (size_t i = 0; json_is_object(item) && s->map_keys[i]; i++)
                if (key_value(s, item, s->map_keys[i]))
                        return true;
        return false;
}

/* Whether both short lists have the same items in the same order, by their keys, and none twice:
 * then each can be compared with the one at its place. False: compare_lists() knows. */
static bool are_paired(const struct schema *s, const json_t *old, const json_t *new) {
        size_t n = json_array_size(new);

        if (s->list != LIST_MAP || n != json_array_size(old) || n > PAIRED_MAX)
                return false;
        for (size_t i = 0; i < n; i++) {
                const json_t *was = json_array_get(old, i), *is = json_array_get(new, i);

                if (!has_a_key(s, was) || !has_a_key(s, is) || !same_keys(s, was, is))
                        return false;
                for (size_t j = 0; j < i; j++)
                        if (same_keys(s, is, json_array_get(new, j)))
                                return false;
        }
        return true;
}

static void compare_pairs(const struct schema *s, const json_t *old, const json_t *new,
                json_t **changed, json_t **removed) {
        size_t n = json_array_size(new);

        for (size_t i = 0; i < n; i++) {
                const json_t *item = json_array_get(new, i);
                json_t *c = NULL, *r = NULL;

                compare(item_schema(s), json_array_get(old, i), item, &c, &r);
                if (!c && !r)
                        continue;
                _cleanup_free_ char *element = item_element(s, item);
                add_child(changed, &(struct child){.name = strempty(element)}, c);
                add_child(removed, &(struct child){.name = strempty(element)}, r);
        }
}

static void compare(const struct schema *s, const json_t *old, const json_t *new,
                json_t **ret_changed, json_t **ret_removed) {
        enum shape a = shape_of(s, old), b = shape_of(s, new);

        if (old == new)
                return;
        if (a == b && a == SHAPE_MAP) {
                compare_maps(s, old, new, ret_changed, ret_removed);
                return;
        }
        if (a == b && a != SHAPE_LEAF && are_paired(s, old, new)) {
                compare_pairs(s, old, new, ret_changed, ret_removed);
                return;
        }
        if (a == b && a != SHAPE_LEAF && compare_lists(s, old, new, ret_changed, ret_removed) == 0)
                return;
        if (!json_same(old, new))
                *ret_changed = json_object();
}

void fieldset_compare(const struct schema *s, const json_t *old, const json_t *new,
                json_t **ret_changed, json_t **ret_removed) {
        *ret_changed = *ret_removed = NULL;
        compare(s, old, new, ret_changed, ret_removed);
}

static void add_element_text(struct buf *path, const char *element) {
        const char *field = startswith(element, "f:"), *value = startswith(element, "v:"),
                   *key = startswith(element, "k:");
        _cleanup_json_ json_t *keys = NULL;
        const char *name;
        json_t *v;
        bool first = true;

        if (field)
                buf_printf(path, ".%s", field);
        else if (value)
                buf_printf(path, "[=%s]", value);
        else if (key && (keys = json_loads(key, 0, NULL))) {
                buf_append_char(path, '[');
                json_object_foreach (keys, name, v) {
                        _cleanup_free_ char *text = value_text(v);

                        buf_printf(path, "%s%s=%s", first ? "" : ",", name, strempty(text));
                        first = false;
                }
                buf_append_char(path, ']');
        }
}

static int compare_elements(const void *a, const void *b) {
        const char *x = *(const char *const *)a, *y = *(const char *const *)b;
        double m, n;

        if (x[0] == 'v' && y[0] == 'v' && (m = strtod(x + 2, NULL)) != (n = strtod(y + 2, NULL)))
                return m > n ? 1 : -1;
        return strcmp(x, y);
}

/* The members of a node first, then what lies below them, each in the order of its elements. */
static void each(const json_t *set, struct buf *path,
                void (*func)(const char *path, void *userdata), void *userdata) {
        size_t n = 0, length = path->size;
        _cleanup_free_ const char **keys = calloc(json_object_size(set) + 1, sizeof(*keys));
        const char *key;
        json_t *child;

        json_object_foreach ((json_t *)set, key, child)
                if (keys && !streq(key, "."))
                        keys[n++] = key;
        if (n > 0)
                qsort(keys, n, sizeof(*keys), compare_elements);
        for (size_t i = 0; i < 2 * n; i++) {
                child = json_object_get(set, keys[i % n]);
                add_element_text(path, keys[i % n]);
                if (i >= n)
                        each(child, path, func, userdata);
                else if (is_member(child) && path->data)
                        func(path->data, userdata);
                path->size = length;
                if (path->data)
                        path->data[length] = 0;
        }
}

void fieldset_each(
                const json_t *set, void (*func)(const char *path, void *userdata), void *userdata) {
        _cleanup_buf_ struct buf path = {0};

        if (set)
                each(set, &path, func, userdata);
}

static json_t *merge_maps(const struct schema *s, const json_t *live, const json_t *config) {
        json_t *result = json_copy((json_t *)live), *v;
        const char *key;

        json_object_foreach ((json_t *)config, key, v)
                json_object_set_new(result, key,
                                typed_merge(field_schema(s, key), json_object_get(live, key), v));
        return result;
}

/* A list that is being merged. */
struct lists {
        const struct schema *items;
        struct map *mine, *theirs; /* the config's and the live items by element */
        json_t *my_twins, *their_twins;
        json_t *result;
};

static void lists_done(struct lists *l) {
        map_free(l->mine);
        map_free(l->theirs);
        json_decref(l->my_twins);
        json_decref(l->their_twins);
}

/* An item of the config over the live one; over several with its key there is nothing to merge. */
static void append_item(struct lists *l, const char *element, json_t *item) {
        json_t *live = json_object_get(l->their_twins, element) ? NULL
                                                                : map_get(l->theirs, element);

        json_array_append_new(l->result, typed_merge(l->items, live, item));
}

/* Items of the config in its order; others of the live list keep their place before the next shared
 * one. */
static json_t *merge_lists(const struct schema *s, const json_t *live, const json_t *config) {
        _cleanup_(lists_done) struct lists l = {.items = item_schema(s)};
        _cleanup_json_ json_t *met_twins = json_object();
        size_t i, next = 0;
        json_t *item;

        l.mine = index_items(s, config, &l.my_twins);
        l.theirs = index_items(s, live, &l.their_twins);
        if (!l.mine || !l.theirs || l.my_twins || !met_twins)
                return json_incref((json_t *)config);
        l.result = json_array();
        json_array_foreach (live, i, item) {
                _cleanup_free_ char *element = item_element(s, item);

                if (!map_get(l.mine, strempty(element))) {
                        json_array_append(l.result, item);
                        continue;
                }
                if (json_object_get(l.their_twins, strempty(element))) {
                        if (json_object_get(met_twins, element))
                                continue;
                        json_object_set_new(met_twins, element, json_true());
                }
                for (bool met = false; !met && next < json_array_size(config); next++) {
                        json_t *c = json_array_get(config, next);
                        _cleanup_free_ char *own = item_element(s, c);

                        met = streq(strempty(own), strempty(element));
                        append_item(&l, strempty(own), c);
                }
        }
        for (; next < json_array_size(config); next++) {
                json_t *c = json_array_get(config, next);
                _cleanup_free_ char *own = item_element(s, c);

                append_item(&l, strempty(own), c);
        }
        return l.result;
}

/* A null says nothing about the members of a map or a keyed list. */
static bool null_keeps(const struct schema *s, const json_t *live) {
        return shape_of(s, live) != SHAPE_LEAF &&
               (json_is_object(live) ? json_object_size(live) : json_array_size(live)) > 0;
}

json_t *typed_merge(const struct schema *s, const json_t *live, const json_t *config) {
        enum shape shape = shape_of(s, config);

        if (live && json_is_null(config) && null_keeps(s, live))
                return json_incref((json_t *)live);
        if (!live || shape == SHAPE_LEAF || shape_of(s, live) != shape)
                return json_incref((json_t *)config);
        return shape == SHAPE_MAP ? merge_maps(s, live, config) : merge_lists(s, live, config);
}

static int prune_list(
                const struct schema *s, json_t *list, const json_t *last, const json_t *keep) {
        _cleanup_json_ json_t *left = json_array();
        json_t *item;
        size_t i;

        if (!left)
                return -ENOMEM;
        json_array_foreach (list, i, item) {
                _cleanup_free_ char *element = item_element(s, item);
                const json_t *owned = element ? json_object_get(last, element) : NULL;
                const json_t *kept = element ? json_object_get(keep, element) : NULL;

                /* An item that others only have fields of goes with its last owner. */
                if (owned && (!kept || (is_member(owned) && !is_member(kept))))
                        continue;
                json_array_append(left, item);
                if (owned && s->list == LIST_MAP) {
                        int r = typed_prune(item_schema(s), item, owned, kept);

                        if (r < 0)
                                return r;
                }
        }
        json_array_clear(list);
        return json_array_extend(list, left) < 0 ? -ENOMEM : 0;
}

int typed_prune(const struct schema *s, json_t *object, const json_t *last, const json_t *keep) {
        enum shape shape = shape_of(s, object);
        const char *element;
        json_t *owned;

        if (shape == SHAPE_LEAF)
                return 0;
        if (shape != SHAPE_MAP)
                return prune_list(s, object, last, keep);
        json_object_foreach ((json_t *)last, element, owned) {
                const char *name = startswith(element, "f:");
                json_t *child = name ? json_object_get(object, name) : NULL;
                const json_t *kept = json_object_get(keep, element);
                int r = 0;

                if (!child)
                        continue;
                if (!kept)
                        json_object_del(object, name);
                else if (json_object_size(owned) > 0)
                        r = typed_prune(field_schema(s, name), child, owned, kept);
                if (r < 0)
                        return r;
        }
        return 0;
}
