/* Lists and maps: those of JSON are read in place, those that expressions make grow at the end and
 * share their memory with what they were before (a loop that adds one item each time is linear). */
#include <math.h>

#include "kapid/cel/internal.h"
#include "lib/map.h"
#include "lib/random.h"
#include "lib/siphash.h"

struct room {
        size_t used, allocated;
};
struct cel_list {
        struct cel_value *items;
        size_t count;
        struct room *room;
};

struct entry {
        struct cel_value key, value;
};
struct cel_map {
        struct entry *entries;
        size_t count;
        struct room *room;
        /* Hash of keys -> entry + 1, open addressing; shared by the maps that share the room. An
           entry at or beyond count is not in this map. */
        uint32_t *slots;
        size_t slot_count;
        const struct cel_type *message; /* an object of that type; NULL: a map */
};

size_t cel_list_count(struct cel_value list) {
        return list.json ? json_array_size(list.wrapped.tree) : list.list->count;
}

struct cel_value cel_list_at(struct cel_run *run, struct cel_value list, size_t i) {
        if (!list.json)
                return list.list->items[i];
        return cel_from_json(run, json_array_get(list.wrapped.tree, i), list.wrapped.type->of[0]);
}

static struct cel_value list_new(
                struct cel_run *run, const struct cel_value *items, size_t count, size_t room) {
        struct cel_list *l = cel_alloc(run, sizeof(*l));
        struct room *r = cel_alloc(run, sizeof(*r));
        struct cel_value *copy = cel_alloc(run, MAX(room, (size_t)1) * sizeof(*copy));

        if (!l || !r || !copy)
                return cel_no_memory(run);
        if (count > 0)
                memcpy(copy, items, count * sizeof(*items));
        *r = (struct room){.used = count, .allocated = room};
        *l = (struct cel_list){.items = copy, .count = count, .room = r};
        return (struct cel_value){.kind = CEL_LIST, .list = l};
}

struct cel_value cel_list_of(struct cel_run *run, const struct cel_value *items, size_t count) {
        return list_new(run, items, count, count);
}

struct cel_value cel_list_append(
                struct cel_run *run, struct cel_value list, struct cel_value item) {
        const struct cel_list *l = list.list;
        struct cel_list *n;

        if (list.json || l->room->used != l->count || l->count == l->room->allocated) {
                size_t count = cel_list_count(list), room = MAX(count * 2, (size_t)4);
                struct cel_value grown = list_new(run, NULL, 0, room);
                struct cel_list *g;

                if (cel_is_error(grown))
                        return grown;
                g = (struct cel_list *)grown.list;
                for (size_t i = 0; i < count; i++)
                        g->items[i] = cel_list_at(run, list, i);
                g->count = g->room->used = count;
                l = g;
        }
        n = cel_alloc(run, sizeof(*n));
        if (!n)
                return cel_no_memory(run);
        l->items[l->count] = item;
        l->room->used++;
        *n = (struct cel_list){.items = l->items, .count = l->count + 1, .room = l->room};
        return (struct cel_value){.kind = CEL_LIST, .list = n};
}

/* Numbers that are equal hash alike, whatever their kind. Keys come from expressions and objects:
 * where they fall is a secret of the process. */
static uint64_t key_hash(struct cel_value key) {
        static uint64_t secret[2];

        if (secret[0] == 0 && secret[1] == 0)
                random_bytes(secret, sizeof(secret));
        switch (key.kind) {
        case CEL_STRING:
                return siphash(secret, key.text.data, key.text.size);
        case CEL_BOOL:
                return key.boolean ? 1 : 2;
        default:
                return siphash(secret, &key.natural, sizeof(key.natural));
        }
}

static bool key_same(struct cel_value a, struct cel_value b) {
        if (a.kind != b.kind)
                return false;
        switch (a.kind) {
        case CEL_STRING:
                return a.text.size == b.text.size &&
                       memcmp(a.text.data, b.text.data, a.text.size) == 0;
        case CEL_BOOL:
                return a.boolean == b.boolean;
        default:
                return a.natural == b.natural;
        }
}

/* Whole numbers are keys of one kind: int, or uint beyond it. false: no key of a map. */
static bool key_normal(struct cel_value *key) {
        switch (key->kind) {
        case CEL_BOOL:
        case CEL_STRING:
        case CEL_INT:
                return true;
        case CEL_UINT:
                if (key->natural <= INT64_MAX)
                        *key = cel_int((int64_t)key->natural);
                return true;
        case CEL_DOUBLE:
                if (key->real != trunc(key->real))
                        return false;
                if (key->real >= -9223372036854775808.0 && key->real < 9223372036854775808.0)
                        *key = cel_int((int64_t)key->real);
                else if (key->real > 0 && key->real < 18446744073709551616.0)
                        *key = cel_uint((uint64_t)key->real);
                else
                        return false;
                return true;
        default:
                return false;
        }
}

static struct entry *map_slot(struct cel_run *run, const struct cel_map *m, struct cel_value key,
                size_t *ret_slot) {
        size_t at = m->slot_count > 0 ? key_hash(key) & (m->slot_count - 1) : 0, probes = 0;

        (void)cel_work(run, key.kind == CEL_STRING ? key.text.size : 0);
        for (; m->slot_count > 0 && m->slots[at] != 0; at = (at + 1) & (m->slot_count - 1)) {
                struct entry *e = &m->entries[m->slots[at] - 1];
                struct cel_value k = e->key;

                if (++probes % 64 == 0)
                        (void)cel_work(run, 0);
                (void)key_normal(&k);
                if (m->slots[at] <= m->count && key_same(k, key))
                        return e;
        }
        *ret_slot = at;
        return NULL;
}

/* Most properties are written as they are, so that the sorted fields find them. */
static const struct cel_type *property_type(
                const struct cel_type *object, const char *name, size_t n) {
        const struct cel_field *f = cel_field_find(object, name, n);

        for (size_t i = 0; !f && i < object->field_count; i++)
                if (strlen(object->fields[i].property) == n &&
                                memcmp(object->fields[i].property, name, n) == 0)
                        f = &object->fields[i];
        return f ? f->type : NULL;
}

bool cel_member(struct cel_run *run, struct cel_value map, const char *name, size_t n,
                struct cel_value *ret) {
        const struct cel_type *type = map.wrapped.type, *child;
        const json_t *v;

        if (!map.json)
                return cel_map_find(run, map, cel_string_at(name, n), ret);
        v = json_object_getn(map.wrapped.tree, name, n);
        if (!v)
                return false;
        child = type->kind == CEL_TYPE_OBJECT ? property_type(type, name, n) : type->of[1];
        if (!child)
                return false; /* expressions cannot see it */
        if (json_is_null(v) && !child->nullable && child->kind != CEL_TYPE_DYN)
                return false;
        *ret = cel_from_json(run, v, child);
        return true;
}

bool cel_map_find(struct cel_run *run, struct cel_value map, struct cel_value key,
                struct cel_value *ret) {
        struct entry *e;
        size_t slot;

        if (map.json) {
                (void)cel_work(run, key.kind == CEL_STRING ? key.text.size : 0);
                return key.kind == CEL_STRING &&
                       cel_member(run, map, key.text.data, key.text.size, ret);
        }
        if (!key_normal(&key))
                return false;
        e = map_slot(run, map.map, key, &slot);
        if (e)
                *ret = e->value;
        return e != NULL;
}

size_t cel_map_count(struct cel_value map) {
        return map.json ? json_object_size(map.wrapped.tree) : map.map->count;
}

bool cel_map_next(struct cel_run *run, struct cel_value map, struct cel_map_at *at,
                struct cel_value *ret_key, struct cel_value *ret_value) {
        const char *name;

        if (!map.json) {
                if (at->i == map.map->count)
                        return false;
                *ret_key = map.map->entries[at->i].key;
                *ret_value = map.map->entries[at->i].value;
                at->i++;
                return true;
        }
        for (;;) {
                json_t *tree = json_unconst(map.wrapped.tree);

                at->iter = at->started ? json_object_iter_next(tree, at->iter)
                                       : json_object_iter(tree);
                at->started = true;
                if (!at->iter)
                        return false;
                name = json_object_iter_key(at->iter);
                *ret_key = cel_string_at(name, json_object_iter_key_len(at->iter));
                if (cel_member(run, map, name, ret_key->text.size, ret_value))
                        return true;
        }
}

static struct cel_value cel_map_sized(
                struct cel_run *run, const struct cel_map *like, size_t room) {
        struct cel_map *m = cel_alloc(run, sizeof(*m));
        struct room *r = cel_alloc(run, sizeof(*r));
        size_t slot_count = 8, slot;

        while (slot_count < room * 2)
                slot_count *= 2;
        if (!m || !r)
                return cel_no_memory(run);
        *m = (struct cel_map){.entries = cel_alloc(run, room * sizeof(*m->entries)),
                        .slots = cel_alloc(run, slot_count * sizeof(*m->slots)),
                        .slot_count = slot_count,
                        .room = r};
        if (!m->entries || !m->slots)
                return cel_no_memory(run);
        memset(m->slots, 0, slot_count * sizeof(*m->slots));
        for (size_t i = 0; like && i < like->count; i++) {
                struct cel_value k = like->entries[i].key;

                (void)key_normal(&k);
                if (run->spent)
                        return cel_spent(run);
                (void)map_slot(run, m, k, &slot);
                m->slots[slot] = (uint32_t)i + 1;
                m->entries[i] = like->entries[i];
                m->count++;
        }
        *r = (struct room){.used = m->count, .allocated = room};
        return (struct cel_value){.kind = CEL_MAP, .map = m};
}

struct cel_value cel_map_empty(struct cel_run *run) {
        return cel_map_sized(run, NULL, 4);
}

/* A map of JSON as one that can grow. */
static struct cel_value map_unwrapped(struct cel_run *run, struct cel_value map) {
        struct cel_value made = cel_map_empty(run), key, value;
        struct cel_map_at at = {};

        while (!cel_is_error(made) && cel_map_next(run, map, &at, &key, &value))
                made = cel_map_insert(run, made, key, value);
        return made;
}

struct cel_value cel_map_insert(struct cel_run *run, struct cel_value map, struct cel_value key,
                struct cel_value v) {
        struct cel_value normal = key;
        const struct cel_map *m;
        struct cel_map *n;
        size_t slot;

        if (!key_normal(&normal) || key.kind == CEL_DOUBLE)
                return cel_error(run, "unsupported key type");
        if (map.json)
                map = map_unwrapped(run, map);
        if (cel_is_error(map))
                return map;
        m = map.map;
        if (map_slot(run, m, normal, &slot))
                return key.kind == CEL_STRING
                                       ? cel_error(run, "insert failed: key %.*s already exists",
                                                         (int)MIN(key.text.size, (size_t)200),
                                                         key.text.data)
                                       : cel_error(run, "insert failed: key already exists");
        if (m->room->used != m->count || m->count == m->room->allocated) {
                map = cel_map_sized(run, m, MAX(m->count * 2, (size_t)4));
                if (cel_is_error(map))
                        return map;
                m = map.map;
                (void)map_slot(run, m, normal, &slot);
        }
        n = cel_alloc(run, sizeof(*n));
        if (!n)
                return cel_no_memory(run);
        m->entries[m->count] = (struct entry){.key = key, .value = v};
        m->slots[slot] = (uint32_t)m->count + 1;
        m->room->used++;
        *n = *m;
        n->count++;
        return (struct cel_value){.kind = CEL_MAP, .map = n};
}

struct cel_value cel_map_message(
                struct cel_run *run, struct cel_value map, const struct cel_type *type) {
        struct cel_map *n = cel_alloc(run, sizeof(*n));

        if (!n)
                return cel_no_memory(run);
        *n = *map.map;
        n->message = type;
        return (struct cel_value){.kind = CEL_MAP, .map = n};
}

const struct cel_type *cel_message_of(struct cel_value v) {
        return v.kind == CEL_MAP && !v.json ? v.map->message : NULL;
}

static bool same_message(struct cel_value a, struct cel_value b) {
        const struct cel_type *x = cel_message_of(a), *y = cel_message_of(b);

        return x == y || (x && y && streq(x->name, y->name));
}

/* Making a text of JSON, in bytes that are only read. */
enum { IDENTITY_WORK = 1000 };

/* The text by which an item of a set or keyed list is known. */
static char *item_identity(const json_t *item, const struct cel_type *type) {
        _cleanup_json_ json_t *keys = NULL;

        if (type->list_kind != CEL_LIST_KEYED)
                return json_text_sorted(item);
        keys = json_array();
        for (char *const *k = type->keys; k && *k; k++) {
                const json_t *v = json_object_get(item, *k);

                if (json_array_append_new(keys, v ? json_ref(v) : json_null()) < 0)
                        return NULL;
        }
        return keys ? json_text_sorted(keys) : NULL;
}

static struct map *identities(
                struct cel_run *run, const json_t *list, const struct cel_type *type) {
        struct map *m = map_new(NULL);
        const json_t *item;
        size_t i;

        json_array_foreach (list, i, item) {
                _cleanup_free_ char *text = item_identity(item, type);

                if (!m || !text || map_set(m, text, json_unconst(item)) < 0)
                        return map_free(m);
                (void)cel_work(run, strlen(text) + IDENTITY_WORK);
        }
        return m;
}

/* Sets and keyed lists of schemas: the order does not count. */
static struct cel_value same_members(struct cel_run *run, struct cel_value a, struct cel_value b) {
        _cleanup_(map_freep) struct map *known = NULL;
        const json_t *item;
        size_t i;

        if (cel_list_count(a) != cel_list_count(b))
                return cel_bool(false);
        known = identities(run, b.wrapped.tree, a.wrapped.type);
        if (!known)
                return cel_no_memory(run);
        json_array_foreach (a.wrapped.tree, i, item) {
                _cleanup_free_ char *text = item_identity(item, a.wrapped.type);
                const json_t *other = text ? map_get(known, text) : NULL;
                struct cel_value same;

                if (!cel_work(run, IDENTITY_WORK + (text ? strlen(text) : 0)))
                        return cel_spent(run);
                if (!other)
                        return cel_bool(false);
                same = cel_equal(run, cel_from_json(run, item, a.wrapped.type->of[0]),
                                cel_from_json(run, other, b.wrapped.type->of[0]));
                if (cel_is_error(same) || !same.boolean)
                        return same;
        }
        return cel_bool(true);
}

static bool unordered(struct cel_value v) {
        return v.json && v.wrapped.type->list_kind != CEL_LIST_ATOMIC;
}

/* A set of a schema beside a list that an expression made: as cel-go has it, the set's own
 * comparison counts where it stands on the left. */
static struct cel_value same_as_made(
                struct cel_run *run, struct cel_value set, struct cel_value b) {
        size_t count = cel_list_count(set);

        if (count != cel_list_count(b))
                return cel_bool(false);
        for (size_t i = 0; i < count; i++) {
                struct cel_value item = cel_list_at(run, b, i), same = cel_bool(false);

                for (size_t k = 0; k < count && !same.boolean; k++) {
                        same = cel_equal(run, cel_list_at(run, set, k), item);
                        if (cel_is_error(same))
                                return same;
                        if (!cel_spend(run, 0))
                                return cel_spent(run);
                }
                if (!same.boolean)
                        return same;
        }
        return cel_bool(true);
}

static struct cel_value lists_equal(struct cel_run *run, struct cel_value a, struct cel_value b) {
        size_t count = cel_list_count(a);

        if (a.json && b.json && a.wrapped.tree == b.wrapped.tree)
                return cel_bool(true);
        if (unordered(a) && b.json)
                return same_members(run, a, b);
        if (unordered(b) && a.json)
                return same_members(run, b, a);
        if (a.json && a.wrapped.type->list_kind == CEL_LIST_SET)
                return same_as_made(run, a, b);
        if (count != cel_list_count(b))
                return cel_bool(false);
        for (size_t i = 0; i < count; i++) {
                struct cel_value same =
                                cel_equal(run, cel_list_at(run, a, i), cel_list_at(run, b, i));

                if (cel_is_error(same) || !same.boolean)
                        return same;
        }
        return cel_bool(true);
}

static struct cel_value maps_equal(struct cel_run *run, struct cel_value a, struct cel_value b) {
        struct cel_map_at at = {};
        struct cel_value key, x, y;

        if (a.json && b.json && a.wrapped.tree == b.wrapped.tree)
                return cel_bool(true);
        if (cel_map_count(a) != cel_map_count(b) || !same_message(a, b))
                return cel_bool(false);
        while (cel_map_next(run, a, &at, &key, &x)) {
                struct cel_value same;

                if (!cel_map_find(run, b, key, &y))
                        return cel_bool(false);
                same = cel_equal(run, x, y);
                if (cel_is_error(same) || !same.boolean)
                        return same;
        }
        return cel_bool(true);
}

static bool is_number(struct cel_value v) {
        return v.kind == CEL_INT || v.kind == CEL_UINT || v.kind == CEL_DOUBLE;
}

static uint64_t compared_bytes(struct cel_value a, struct cel_value b) {
        bool texts = a.kind == b.kind && (a.kind == CEL_STRING || a.kind == CEL_BYTES);

        return texts ? MIN(a.text.size, b.text.size) : 0;
}

static struct cel_value equal(struct cel_run *run, struct cel_value a, struct cel_value b) {
        int order;

        if (cel_is_error(a) || cel_is_error(b))
                return cel_is_error(a) ? a : b;
        if (!cel_work(run, compared_bytes(a, b)))
                return cel_spent(run);
        if (is_number(a) && is_number(b))
                return cel_bool(cel_compare(a, b, &order) && order == 0);
        if (a.kind != b.kind)
                return cel_bool(false);
        switch (a.kind) {
        case CEL_NULL:
                return cel_bool(true);
        case CEL_BOOL:
                return cel_bool(a.boolean == b.boolean);
        case CEL_LIST:
                if (!cel_spend(run, 0))
                        return cel_spent(run);
                return lists_equal(run, a, b);
        case CEL_MAP:
                if (!cel_spend(run, 0))
                        return cel_spent(run);
                return maps_equal(run, a, b);
        case CEL_TYPE:
                return cel_bool(a.type == b.type ||
                                (a.type->kind == b.type->kind && a.type->kind != CEL_TYPE_OBJECT &&
                                                streq_ptr(a.type->name, b.type->name)));
        case CEL_OPTIONAL:
                if (!a.inner || !b.inner)
                        return cel_bool(a.inner == b.inner);
                return cel_equal(run, *a.inner, *b.inner);
        case CEL_OPAQUE:
                return cel_bool(a.opaque.class == b.opaque.class &&
                                a.opaque.class->equal(a.opaque.data, b.opaque.data));
        default:
                return cel_bool(cel_compare(a, b, &order) && order == 0);
        }
}

struct cel_value cel_equal(struct cel_run *run, struct cel_value a, struct cel_value b) {
        struct cel_value v;

        if (!cel_deeper(run))
                return cel_too_deep(run);
        v = equal(run, a, b);
        run->depth--;
        return v;
}

static struct cel_value join_keyed(struct cel_run *run, struct cel_value a, struct cel_value b) {
        _cleanup_(map_freep) struct map *known_a = NULL, *known_b = NULL;
        struct cel_value list = cel_list_of(run, NULL, 0);
        const struct cel_type *type = unordered(a) ? a.wrapped.type : b.wrapped.type;
        const json_t *item;
        size_t i;

        known_a = identities(run, a.wrapped.tree, type);
        known_b = identities(run, b.wrapped.tree, type);
        if (!known_a || !known_b)
                return cel_no_memory(run);
        json_array_foreach (a.wrapped.tree, i, item) {
                _cleanup_free_ char *text = item_identity(item, type);
                const json_t *other = text ? map_get(known_b, text) : NULL;

                if (!cel_is_error(list))
                        list = cel_list_append(run, list,
                                        cel_from_json(run, other ? other : item, type->of[0]));
        }
        json_array_foreach (b.wrapped.tree, i, item) {
                _cleanup_free_ char *text = item_identity(item, type);

                if (!cel_is_error(list) && text && !map_get(known_a, text))
                        list = cel_list_append(run, list, cel_from_json(run, item, type->of[0]));
        }
        return list;
}

/* A set of JSON with items that are no JSON: those are added that are not there yet. */
static struct cel_value join_set(struct cel_run *run, struct cel_value a, struct cel_value b) {
        struct cel_value list = cel_list_of(run, NULL, 0);

        for (size_t i = 0; i < cel_list_count(a) && !cel_is_error(list); i++)
                list = cel_list_append(run, list, cel_list_at(run, a, i));
        for (size_t i = 0; i < cel_list_count(b) && !cel_is_error(list); i++) {
                struct cel_value item = cel_list_at(run, b, i), same = cel_bool(false);

                for (size_t k = 0; k < cel_list_count(list) && !same.boolean; k++) {
                        if (!cel_spend(run, 0))
                                return cel_spent(run);
                        same = cel_equal(run, cel_list_at(run, list, k), item);
                        if (cel_is_error(same))
                                return same;
                }
                if (!same.boolean)
                        list = cel_list_append(run, list, item);
        }
        return list;
}

struct cel_value cel_list_join(struct cel_run *run, struct cel_value a, struct cel_value b) {
        if ((unordered(a) || unordered(b)) && a.json && b.json)
                return join_keyed(run, a, b);
        if (unordered(a) && a.wrapped.type->list_kind == CEL_LIST_SET)
                return join_set(run, a, b);
        for (size_t i = 0; i < cel_list_count(b) && !cel_is_error(a); i++)
                a = cel_list_append(run, a, cel_list_at(run, b, i));
        return a;
}

/* An index: whole numbers of any kind. */
static bool whole(struct cel_value v, int64_t *ret) {
        if (!key_normal(&v) || v.kind != CEL_INT)
                return false;
        *ret = v.integer;
        return true;
}

bool cel_index_find(struct cel_run *run, struct cel_value v, struct cel_value key,
                struct cel_value *ret) {
        int64_t at;

        if (v.kind == CEL_MAP)
                return cel_map_find(run, v, key, ret);
        if (v.kind != CEL_LIST || !whole(key, &at) || at < 0 || (uint64_t)at >= cel_list_count(v))
                return false;
        *ret = cel_list_at(run, v, (size_t)at);
        return true;
}

static struct cel_value no_such_key(struct cel_run *run, struct cel_value key) {
        switch (key.kind) {
        case CEL_STRING:
                return cel_error(run, "no such key: %.*s", (int)MIN(key.text.size, (size_t)500),
                                key.text.data);
        case CEL_INT:
                return cel_error(run, "no such key: %lld", (long long)key.integer);
        case CEL_UINT:
                return cel_error(run, "no such key: %llu", (unsigned long long)key.natural);
        case CEL_BOOL:
                return cel_error(run, "no such key: %s", key.boolean ? "true" : "false");
        case CEL_DOUBLE:
                return cel_error(run, "no such key: %g", key.real);
        default:
                return cel_error(run, "unsupported key type");
        }
}

struct cel_value cel_index(struct cel_run *run, struct cel_value v, struct cel_value key) {
        struct cel_value found;
        int64_t at = 0;

        if (cel_index_find(run, v, key, &found))
                return found;
        if (v.kind == CEL_MAP)
                return no_such_key(run, key);
        if (v.kind != CEL_LIST)
                return cel_error(run, "no such overload");
        if (!whole(key, &at))
                return cel_error(run, "unsupported index type in list");
        return cel_error(run, "index out of bounds: %lld", (long long)at);
}
