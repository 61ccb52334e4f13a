/* The short ways that most writes take, each beside the long way that is right by definition, on
 * random objects of every kind: what a look says beside what the walk does, lists compared in pairs
 * beside lists compared through a table, sets of fields that share what they can beside those that
 * are made anew, and a write of a status alone beside the whole write. */
#include "tests/unit/unit.h"

#include "kapid/patch/fieldset.h"
#include "kapid/patch/managed.h"
#include "kapid/patch/patch.h"
#include "kapid/patch/status.h"
#include "kapid/schema/internal.h"
#include "tests/unit/kapid-random.h"

static void same(uint64_t seed, const struct kind *k, const char *what, const json_t *got,
                const json_t *want) {
        if ((got || want) && !json_equal(json_unconst(got), json_unconst(want))) {
                _cleanup_free_ char *x = got ? json_dumps(got, JSON_SORT_KEYS) : NULL,
                                    *y = want ? json_dumps(want, JSON_SORT_KEYS) : NULL;

                fail_whole("seed %llu: %s %s: %s\n got: %s\nwant: %s", (unsigned long long)seed,
                                k->api_version, k->kind, what, strempty(x), strempty(y));
        }
}

/* Something between the two objects, so that nearly all of it is as in the first. */
static json_t *varied(struct dice *d, const json_t *a, const json_t *b) {
        json_t *copy, *v;
        const char *key;
        size_t i;

        if (roll(d, 12) == 0)
                return json_deep_copy(b);
        if (json_is_array(a) && json_is_array(b)) {
                copy = json_array();
                json_array_foreach (a, i, v)
                        if (roll(d, 10) > 0)
                                json_array_append_new(copy,
                                                varied(d, v, i < json_array_size(b)
                                                                             ? json_array_get(b, i)
                                                                             : v));
                if (json_array_size(b) > 0 && roll(d, 4) == 0)
                        json_array_append_new(copy, json_deep_copy(json_array_get(b, 0)));
                return copy;
        }
        copy = json_deep_copy(a);
        json_object_foreach (json_unconst(b), key, v) {
                const json_t *was = json_object_get(a, key);

                if (was)
                        json_object_set_new(copy, key, varied(d, was, v));
                else if (roll(d, 6) == 0)
                        json_object_set_new(copy, key, json_deep_copy(v));
        }
        return copy;
}

/* --- is anything to be pruned or defaulted? --- */

static void check_settled(uint64_t seed, struct dice *d, const struct kind *k, size_t *count) {
        _cleanup_normaliser_ struct normaliser walk = {.custom = true};
        _cleanup_json_ json_t *o = random_object(d, k->schema, 0), *made = NULL;
        bool pruned, filled;

        if (roll(d, 4) == 0)
                json_object_set_new(o, "unknown", json_integer(1));
        if (roll(d, 4) == 0)
                json_object_set_new(o, "spec", json_null());
        if (roll(d, 2) == 0) {
                assert_int_equal(normalise(&walk, k->schema, o), 0);
                assert_int_equal(schema_default(k->schema, o), 0);
        }
        pruned = schema_is_settled(k->schema, o, SETTLED_PRUNED);
        filled = schema_is_settled(k->schema, o, SETTLED_DEFAULTS);
        *count += pruned && filled;
        made = json_deep_copy(o);
        if (filled) {
                assert_int_equal(schema_default(k->schema, made), 0);
                same(seed, k, "said to have all defaults", made, o);
        }
        if (pruned) {
                assert_int_equal(normalise(&walk, k->schema, made), 0);
                same(seed, k, "said to be pruned", made, o);
        }
}

static void test_settled(void **state) {
        const struct kind *k;
        struct rounds r = {0};
        size_t count = 0;

        while (next_round(&r, 8))
                for (size_t i = 0; (k = kind_registry_at(registry, i)); i++) {
                        struct dice d = {.state = r.seed * 1000 + i};

                        check_settled(r.seed, &d, k, &count);
                }
        assert_true(count > 100);
}

/* --- sets of fields --- */

static bool is_member(const json_t *n) {
        return n && (json_object_size(n) == 0 || json_object_get(n, "."));
}

static json_t *node_of(bool member, json_t *children) {
        if (json_object_size(children) == 0 && !member) {
                json_decref(children);
                return NULL;
        }
        if (json_object_size(children) > 0 && member)
                json_object_set_new(children, ".", json_object());
        return children;
}

/* 'u': both, 'd': the first without the second; made whole, sharing nothing. */
static json_t *combined(const json_t *a, const json_t *b, char how) {
        json_t *children = json_object(), *v;
        const char *key;

        if (!a && (!b || how == 'd')) {
                json_decref(children);
                return NULL;
        }
        json_object_foreach (json_unconst(a), key, v) {
                json_t *c = streq(key, ".") ? NULL : combined(v, json_object_get(b, key), how);

                if (c)
                        json_object_set_new(children, key, c);
        }
        if (how == 'u')
                json_object_foreach (json_unconst(b), key, v)
                        if (!streq(key, ".") && !json_object_get(a, key))
                                json_object_set_new(children, key, json_deep_copy(v));
        return node_of(how == 'u' ? is_member(a) || is_member(b) : is_member(a) && !is_member(b),
                        children);
}

static void check_sets(uint64_t seed, const struct kind *k, const json_t *a, const json_t *b) {
        _cleanup_json_ json_t *x = NULL, *y = NULL;

        if (fieldset_of(k->schema, a, &x, NULL) < 0 || fieldset_of(k->schema, b, &y, NULL) < 0)
                return;
        const json_t *const pairs[][2] = {{x, y}, {y, x}, {x, x}, {x, NULL}, {NULL, y}};
        for (size_t i = 0; i < ELEMENTS(pairs); i++) {
                const json_t *p = pairs[i][0], *q = pairs[i][1];
                _cleanup_json_ json_t *both = fieldset_union(p, q), *left = fieldset_difference(p, q),
                                      *shared = fieldset_intersection(p, q),
                                      *all = combined(p, q, 'u'), *rest = combined(p, q, 'd'),
                                      *again = fieldset_union(both, shared),
                                      *none = fieldset_difference(left, shared);

                same(seed, k, "union", both, all);
                same(seed, k, "difference", left, rest);
                same(seed, k, "union with a part", again, all);
                same(seed, k, "difference with what is not there", none, rest);
        }
}

static void append_many(const struct schema *s, json_t *list) {
        enum { MANY = 12 };

        for (unsigned i = 0; i < MANY; i++) {
                json_t *item = json_object();
                char text[24];

                (void)snprintf(text, sizeof(text), "many-%u", i);
                for (size_t n = 0; s->map_keys[n]; n++)
                        json_object_set_new(item, s->map_keys[n], json_string(text));
                json_array_append_new(list, item);
        }
}

static bool same_keys(const struct schema *s, const json_t *a, const json_t *b) {
        for (size_t i = 0; s->map_keys[i]; i++)
                if (!json_same(json_object_get(a, s->map_keys[i]),
                                    json_object_get(b, s->map_keys[i])))
                        return false;
        return true;
}

/* Each keyed list that is in both gets the same items at its end, of which there are so many that
 * it is compared through a table. */
static void lengthen(const struct schema *s, json_t *a, json_t *b) {
        const char *key;
        json_t *child;

        json_object_foreach (a, key, child) {
                const struct schema *cs = schema_child(s, key);
                json_t *other = json_object_get(b, key);

                if (cs && other)
                        lengthen(cs, child, other);
        }
        if (!json_is_array(a) || !json_is_array(b) || s->list != LIST_MAP ||
                        !schema_has_no_twins(s, a) || !schema_has_no_twins(s, b))
                return;
        for (size_t i = 0; i < MIN(json_array_size(a), json_array_size(b)); i++)
                if (same_keys(s, json_array_get(a, i), json_array_get(b, i)))
                        lengthen(s->items, json_array_get(a, i), json_array_get(b, i));
        append_many(s, a);
        append_many(s, b);
}

static void check_compare(uint64_t seed, const struct kind *k, const json_t *a, const json_t *b) {
        _cleanup_json_ json_t *changed = NULL, *removed = NULL, *long_a = json_deep_copy(a),
                              *long_b = json_deep_copy(b), *long_changed = NULL,
                              *long_removed = NULL, *none = NULL, *gone = NULL,
                              *copy = json_tree_copy(a);

        fieldset_compare(k->schema, a, b, &changed, &removed);
        lengthen(k->schema, long_a, long_b);
        fieldset_compare(k->schema, long_a, long_b, &long_changed, &long_removed);
        same(seed, k, "changed", changed, long_changed);
        same(seed, k, "removed", removed, long_removed);
        fieldset_compare(k->schema, a, copy, &none, &gone);
        assert_null(none);
        assert_null(gone);
}

static void test_sets(void **state) {
        const struct kind *k;
        struct rounds r = {0};

        while (next_round(&r, 8))
                for (size_t i = 0; (k = kind_registry_at(registry, i)); i++) {
                        struct dice d = {.state = r.seed * 1000 + i};
                        _cleanup_json_ json_t *a = random_object(&d, k->schema, 0),
                                              *b = random_object(&d, k->schema, 0),
                                              *c = varied(&d, a, b);

                        check_sets(r.seed, k, a, c);
                        check_sets(r.seed, k, a, b);
                        if (json_is_object(c))
                                check_compare(r.seed, k, a, c);
                }
}

/* --- twins --- */

static void on_list(
                struct findings *f, const struct schema *s, const json_t *list, void *userdata) {
        const json_t *item;
        size_t i, *known = userdata;
        _cleanup_json_ json_t *seen = json_object();

        if (!schema_has_no_twins(s, list))
                return;
        ++*known;
        json_array_foreach (list, i, item) {
                _cleanup_json_ json_t *keys = json_object();

                for (size_t n = 0; s->list == LIST_MAP && s->map_keys[n]; n++) {
                        json_t *v = json_object_get(item, s->map_keys[n]);

                        if (v)
                                json_object_set(keys, s->map_keys[n], v);
                }
                _cleanup_free_ char *text = json_dumps(s->list == LIST_MAP ? keys : item,
                                JSON_SORT_KEYS | JSON_ENCODE_ANY);
                assert_null(json_object_get(seen, text));
                json_object_set_new(seen, text, json_true());
        }
}

static void test_twins(void **state) {
        _cleanup_findings_ struct findings f = {0};
        const struct kind *k;
        struct rounds r = {0};
        size_t known = 0;

        while (next_round(&r, 40))
                for (size_t i = 0; (k = kind_registry_at(registry, i)); i++) {
                        struct dice d = {.state = r.seed * 1000 + i, .complete = r.seed % 2};
                        _cleanup_json_ json_t *o = random_object(&d, k->schema, 0);

                        schema_each_list(&f, k->schema, o, on_list, &known);
                }
        if (known < 100)
                fail_msg("only %zu lists", known);
}

/* --- a status alone --- */

/* What is stored of a write to the path "status", by the whole way or by the short one. */
static json_t *written(const struct kind *k, const struct kind_subresource *sub,
                const json_t *live, json_t *object, bool alone) {
        struct pipeline_context c = {.now_us = 1700000002000000, .user = "u"};
        struct apply_options a = {
                        .manager = "agent", .subresource = "status", .now_us = 1700000002000000};

        assert_int_equal(alone ? pipeline_default_status(k, object) : pipeline_default(k, object),
                        0);
        assert_int_equal(managed_update(k, live, object, &a), 0);
        assert_int_equal(pipeline_prepare_update(k, sub, live, object, &c), 0);
        return object;
}

static void check_status(uint64_t seed, struct dice *d, const struct kind *k,
                const struct kind_subresource *sub, size_t *count) {
        struct pipeline_context c = {.now_us = 1700000000000000, .user = "u"};
        struct apply_options a = {.manager = "m", .now_us = 1700000000000000};
        _cleanup_json_ json_t *live = random_decoded(d, k), *other = random_decoded(d, k),
                              *body = NULL, *before = NULL, *merged = NULL, *whole = NULL,
                              *alone = NULL, *patch = json_object();
        const json_t *status = json_object_get(other, "status");
        _cleanup_problem_ struct problem p = {0};
        _cleanup_decoded_ struct decoded quick = {0};
        _cleanup_free_ char *text = NULL;

        assert_int_equal(pipeline_default(k, live), 0);
        assert_int_equal(managed_update(k, NULL, live, &a), 0);
        assert_int_equal(pipeline_prepare_create(k, live, &c), 0);
        before = json_deep_copy(live);
        /* A replacement: the body has other values everywhere. */
        body = json_deep_copy(other);
        alone = status_replaced(k, sub, live, body);
        if (alone) {
                whole = written(k, sub, live, json_deep_copy(body), false);
                (void)written(k, sub, live, alone, true);
                same(seed, k, "status replaced", alone, whole);
                same(seed, k, "live, after a status was replaced", live, before);
                ++*count;
        }
        /* A patch, which may bring the uid along, or something that is no status. */
        json_object_set_new(patch, "status", status ? json_deep_copy(status) : json_object());
        if (roll(d, 2))
                json_object_set_new(patch, "metadata", json_pack("{s:s}", "uid", "u"));
        if (roll(d, 8) == 0)
                json_object_set_new(patch, "spec", json_deep_copy(json_object_get(other, "spec")));
        text = json_dumps(patch, 0);
        if (patch_run(k, sub, PATCH_MERGE, text, strlen(text), FIELD_VALIDATION_IGNORE, live,
                            &quick, &p) < 0)
                fail_whole("seed %llu: %s: %s", (unsigned long long)seed, text, p.message);
        assert_int_equal(patch_merge(live, patch, &merged), 0);
        json_decref(whole);
        whole = json_deep_copy(merged);
        assert_int_equal(pipeline_normalise(k, whole, NULL, &p), 0);
        (void)written(k, sub, live, whole, false);
        (void)written(k, sub, live, quick.object, quick.status_alone);
        same(seed, k, "status patched", quick.object, whole);
        same(seed, k, "live, after a status was patched", live, before);
        *count += quick.status_alone;
}

static void test_status(void **state) {
        const struct kind *k;
        struct rounds r = {0};
        size_t count = 0;

        while (next_round(&r, 8))
                for (size_t i = 0; (k = kind_registry_at(registry, i)); i++) {
                        const struct kind_subresource *sub = kind_subresource_find(k, "status");
                        struct dice d = {.state = r.seed * 1000 + i};

                        if (sub && k->stored)
                                check_status(r.seed, &d, k, sub, &count);
                }
        assert_true(count > 100);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_settled),
                        cmocka_unit_test(test_sets),
                        cmocka_unit_test(test_twins),
                        cmocka_unit_test(test_status),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
