/* Patches between random objects of every kind: a merge patch, a JSON patch and a strategic merge
 * patch that are made from two objects turn the first into the second. And conversion: an object of
 * any version of a kind comes back as it was from any other version. */
#include "tests/unit/unit.h"

#include "kapid/patch/patch.h"
#include "kapid/pipeline/convert.h"
#include "lib/buf.h"
#include "tests/unit/kapid-random.h"

static int start(void **state) {
        static const char *const settings[] = {"extensions/v1beta1", "apps/v1beta1", "apps/v1beta2",
                        "networking.k8s.io/v1beta1", "policy/v1beta1", "batch/v1beta1", NULL};
        _cleanup_problem_ struct problem p = {0};
        int r = kind_registry_new_with(&registry, (char *const *)settings, &p);

        if (r < 0)
                fprintf(stderr, "%s\n", strempty(p.message));
        return r;
}

static void same(uint64_t seed, const struct kind *k, const char *what, const json_t *got,
                const json_t *want, const json_t *patch) {
        if (!json_equal((json_t *)got, (json_t *)want)) {
                _cleanup_free_ char *x = json_dumps(got, JSON_SORT_KEYS),
                                    *y = json_dumps(want, JSON_SORT_KEYS),
                                    *z = json_dumps(patch, JSON_SORT_KEYS);

                fail_whole("seed %llu: %s %s: %s\n got: %s\nwant: %s\nwith: %s",
                                (unsigned long long)seed, k->api_version, k->kind, what, x, y,
                                strempty(z));
        }
}

/* --- two objects with much in common --- */

static json_t *blend(struct dice *d, const json_t *a, const json_t *b);

static json_t *blend_lists(struct dice *d, const json_t *a, const json_t *b) {
        json_t *list = json_array();
        size_t n = json_array_size(a), m = json_array_size(b);

        for (size_t i = 0; i < MAX(n, m); i++) {
                const json_t *x = json_array_get(a, i), *y = json_array_get(b, i);
                size_t at = roll(d, json_array_size(list) + 1);

                if (x && roll(d, 4) > 0)
                        json_array_insert_new(list, at, blend(d, x, y ? y : x));
                if (y && roll(d, 3) == 0)
                        json_array_insert_new(list, at, json_deep_copy(y));
        }
        return list;
}

/* Something between the two: parts of both, and some of neither. */
static json_t *blend(struct dice *d, const json_t *a, const json_t *b) {
        const char *key;
        json_t *object, *v;

        if (json_is_array(a) && json_is_array(b) && roll(d, 4) > 0)
                return blend_lists(d, a, b);
        if (!json_is_object(a) || !json_is_object(b))
                return json_deep_copy(roll(d, 3) > 0 ? a : b);
        object = json_object();
        json_object_foreach ((json_t *)a, key, v) {
                const json_t *other = json_object_get(b, key);

                if (roll(d, 6) > 0)
                        json_object_set_new(object, key, blend(d, v, other ? other : v));
        }
        json_object_foreach ((json_t *)b, key, v)
                if (roll(d, 3) == 0 && !json_object_get(object, key))
                        json_object_set_new(object, key, json_deep_copy(v));
        return object;
}

/* --- merge patch --- */

static json_t *merge_diff(const json_t *a, const json_t *b) {
        json_t *patch = json_object(), *v;
        const char *key;

        json_object_foreach ((json_t *)a, key, v)
                if (!json_object_get(b, key))
                        json_object_set_new(patch, key, json_null());
        json_object_foreach ((json_t *)b, key, v) {
                json_t *was = json_object_get(a, key);

                if (was && json_equal(was, v))
                        continue;
                json_object_set_new(patch, key,
                                json_is_object(was) && json_is_object(v) ? merge_diff(was, v)
                                                                         : json_deep_copy(v));
        }
        return patch;
}

/* --- JSON patch --- */

static char *pointer(const char *path, const char *key) {
        struct buf b = {0};

        buf_printf(&b, "%s/", path);
        for (; *key; key++)
                if (*key == '~' || *key == '/')
                        buf_append_str(&b, *key == '~' ? "~0" : "~1");
                else
                        buf_append_char(&b, *key);
        return buf_take(&b);
}

static void op(json_t *list, const char *name, const char *path, const json_t *value) {
        json_t *o = json_pack("{s:s, s:s}", "op", name, "path", path);

        assert_non_null(o);
        if (value)
                json_object_set_new(o, "value", json_deep_copy(value));
        json_array_append_new(list, o);
}

static void list_ops(
                struct dice *d, json_t *ops, const char *path, const json_t *a, const json_t *b) {
        size_t n = json_array_size(a), m = json_array_size(b), common = 0;

        while (common < MIN(n, m) &&
                        json_equal(json_array_get(a, common), json_array_get(b, common)))
                common++;
        for (size_t i = n; i > common; i--) {
                _cleanup_free_ char *at = strformat("%s/%zu", path, i - 1);

                op(ops, "remove", at, NULL);
        }
        for (size_t i = common; i < m; i++) {
                _cleanup_free_ char *at =
                                roll(d, 2) ? strformat("%s/-", path) : strformat("%s/%zu", path, i);

                op(ops, "add", at, json_array_get(b, i));
        }
}

/* What changes nothing: tests that hold, a copy that goes again, a move there and back. */
static void idle_ops(struct dice *d, json_t *ops, const char *path, const json_t *a) {
        static const char there[] = "/a~0b~1c", *const names[] = {"copy", "move"};
        uint64_t move = roll(d, 2);

        op(ops, "test", path, a);
        json_array_append_new(ops, json_pack("{s:s, s:s, s:s}", "op", names[move], "from", path,
                                                   "path", there));
        if (move)
                json_array_append_new(ops, json_pack("{s:s, s:s, s:s}", "op", "move", "from", there,
                                                           "path", path));
        else
                op(ops, "remove", there, NULL);
}

static void object_ops(
                struct dice *d, json_t *ops, const char *path, const json_t *a, const json_t *b) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)a, key, v) {
                _cleanup_free_ char *at = pointer(path, key);
                const json_t *now = json_object_get(b, key);

                if (roll(d, 8) == 0)
                        idle_ops(d, ops, at, v);
                if (!now)
                        op(ops, "remove", at, NULL);
                else if (json_is_object(v) && json_is_object(now) && roll(d, 8) > 0)
                        object_ops(d, ops, at, v, now);
                else if (json_is_array(v) && json_is_array(now) && roll(d, 4) > 0)
                        list_ops(d, ops, at, v, now);
                else if (!json_equal(v, (json_t *)now))
                        op(ops, roll(d, 2) ? "replace" : "add", at, now);
        }
        json_object_foreach ((json_t *)b, key, v)
                if (!json_object_get(a, key)) {
                        _cleanup_free_ char *at = pointer(path, key);

                        op(ops, "add", at, v);
                }
}

/* --- strategic merge patch --- */

static const json_t *find_item(const json_t *list, const char *key, const json_t *like) {
        const json_t *want = key ? json_object_get(like, key) : like;
        const json_t *item;
        size_t i;

        json_array_foreach (list, i, item) {
                const json_t *is = key ? json_object_get(item, key) : item;

                if (is && want && json_equal((json_t *)is, (json_t *)want))
                        return item;
        }
        return NULL;
}

static bool merges(const struct schema_field *f) {
        return f && (f->flags & FIELD_PATCH_MERGE) && f->schema->type == SCHEMA_ARRAY;
}

static void clean(const struct schema *s, json_t *v);

static json_t *clean_list(const struct schema *s, const json_t *list) {
        const char *key = s->merge_key;
        json_t *kept = json_array(), *item;
        size_t i;

        json_array_foreach (list, i, item) {
                if ((key && !json_object_get(item, key)) || find_item(kept, key, item))
                        continue;
                clean(s->items, item);
                json_array_append(kept, item);
        }
        return kept;
}

/* Lists that merge by a key get items with a key, each once; others have each value once. */
static void clean(const struct schema *s, json_t *v) {
        const char *key;
        json_t *child;
        size_t i;

        json_array_foreach (v, i, child)
                clean(s ? s->items : NULL, child);
        json_object_foreach (v, key, child) {
                const struct schema_field *f = s ? schema_field_find(s, key) : NULL;

                if (merges(f) && json_is_array(child))
                        json_object_set_new(v, key, clean_list(f->schema, child));
                else
                        clean(s ? schema_child(s, key) : NULL, child);
        }
}

static json_t *strategic_diff(const struct schema *s, const json_t *a, const json_t *b);

static void set_prefixed(json_t *patch, const char *prefix, const char *field, json_t *v) {
        _cleanup_free_ char *key = strformat("$%s/%s", prefix, field);

        json_object_set_new(patch, key, v);
}

static json_t *order_of(const json_t *list, const char *key) {
        json_t *order = json_array(), *item;
        size_t i;

        json_array_foreach (list, i, item) {
                if (key)
                        json_array_append_new(
                                        order, json_pack("{s:O}", key, json_object_get(item, key)));
                else
                        json_array_append(order, item);
        }
        return order;
}

/* Both lists are clean. */
static void list_diff(json_t *patch, const char *field, const struct schema *s, const json_t *a,
                const json_t *b) {
        json_t *changes = json_array(), *gone = json_array(), *item;
        const char *key = s->merge_key;
        size_t i;

        json_array_foreach (b, i, item) {
                const json_t *was = find_item(a, key, item);
                json_t *change;

                if (!was) {
                        json_array_append_new(changes, json_deep_copy(item));
                        continue;
                }
                if (!key || json_equal((json_t *)was, item))
                        continue;
                change = strategic_diff(s->items, was, item);
                json_object_set(change, key, json_object_get(item, key));
                json_array_append_new(changes, change);
        }
        json_array_foreach (a, i, item) {
                if (find_item(b, key, item))
                        continue;
                if (key)
                        json_array_append_new(
                                        changes, json_pack("{s:s, s:O}", "$patch", "delete", key,
                                                                 json_object_get(item, key)));
                else
                        json_array_append(gone, item);
        }
        if (json_array_size(gone) > 0)
                set_prefixed(patch, "deleteFromPrimitiveList", field, json_incref(gone));
        if (json_array_size(b) > 0) /* an empty one is refused, as Kubernetes does */
                set_prefixed(patch, "setElementOrder", field, order_of(b, key));
        if (json_array_size(changes) > 0)
                json_object_set(patch, field, changes);
        json_decref(changes);
        json_decref(gone);
}

static json_t *strategic_diff(const struct schema *s, const json_t *a, const json_t *b) {
        json_t *patch = json_object(), *v;
        const char *key;

        json_object_foreach ((json_t *)a, key, v)
                if (!json_object_get(b, key))
                        json_object_set_new(patch, key, json_null());
        json_object_foreach ((json_t *)b, key, v) {
                const struct schema_field *f = s ? schema_field_find(s, key) : NULL;
                json_t *was = json_object_get(a, key);

                if (was && json_equal(was, v))
                        continue;
                if (json_is_object(was) && json_is_object(v))
                        json_object_set_new(patch, key,
                                        strategic_diff(s ? schema_child(s, key) : NULL, was, v));
                else if (json_is_array(was) && json_is_array(v) && merges(f))
                        list_diff(patch, key, f->schema, was, v);
                else
                        json_object_set_new(patch, key, json_deep_copy(v));
        }
        return patch;
}

static void check_pair(uint64_t seed, struct dice *d, const struct kind *k) {
        _cleanup_json_ json_t *a = random_decoded(d, k), *other = random_decoded(d, k),
                              *b = blend(d, a, other), *ops = json_array();
        _cleanup_json_ json_t *merge = merge_diff(a, b), *merged = NULL, *patched = NULL;
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(patch_merge(a, merge, &merged), 0);
        same(seed, k, "merge patch", merged, b, merge);
        object_ops(d, ops, "", a, b);
        if (patch_json(a, ops, &patched, &p) < 0) {
                _cleanup_free_ char *text = json_dumps(ops, 0);

                fail_whole("seed %llu: %s: %s", (unsigned long long)seed, text, p.message);
        }
        same(seed, k, "JSON patch", patched, b, ops);
        clean(k->schema, a);
        clean(k->schema, b);
        _cleanup_json_ json_t *change = strategic_diff(k->schema, a, b), *result = NULL;
        if (patch_strategic(k->schema, a, change, &result, &p) < 0)
                fail_whole("seed %llu: %s: %s", (unsigned long long)seed, k->kind, p.message);
        same(seed, k, "strategic merge patch", result, b, change);
}

static void test_pairs(void **state) {
        const struct kind *k;
        struct rounds r = {0};

        while (next_round(&r, 8))
                for (size_t i = 0; (k = kind_registry_at(registry, i)); i++) {
                        struct dice d = {.state = r.seed * 1000 + i};

                        for (unsigned n = 0; n < 3; n++)
                                check_pair(r.seed, &d, k);
                }
}

/* --- conversion --- */

/* What one version has no field for is an annotation of it, and a value that one version leaves
 * open and the other does not is there afterwards: so nothing is lost, and a second time adds
 * nothing. */
static void check_kept(uint64_t seed, const struct kind *k, const json_t *o, const json_t *back) {
        _cleanup_json_ json_t *over = NULL;

        assert_int_equal(patch_merge(back, o, &over), 0);
        same(seed, k, "lost by a conversion", over, back, o);
}

/* Metrics of an autoscaler in the forms that validation takes, as others have none in the other
 * version; that of the processor comes first, as it comes back. */
static void valid_metrics(struct dice *d, json_t *list, bool is_status) {
        static const char *const forms[][2] = {
                        {"{'type':'Pods','pods':{'metric':{'name':'m'},'target':{'type':"
                         "'AverageValue','averageValue':'3'}}}",
                                        "{'type':'Pods','pods':{'metric':{'name':'m'},'current':{"
                                        "'averageValue':'3'}}}"},
                        {"{'type':'External','external':{'metric':{'name':'m','selector':{"
                         "'matchLabels':{'a':'b'}}},'target':{'type':'Value','value':'5'}}}",
                                        "{'type':'External','external':{'metric':{'name':'m'},"
                                        "'current':{'value':'5'}}}"},
                        {"{'type':'ContainerResource','containerResource':{'name':'memory',"
                         "'container':'c','target':{'type':'AverageValue','averageValue':'1'}}}",
                                        "{'type':'ContainerResource','containerResource':{'name':"
                                        "'memory','container':'c','current':{'averageValue':'1'}}}"},
                        {"{'type':'Object','object':{'metric':{'name':'m'},'describedObject':{"
                         "'kind':'K','name':'n'},'target':{'type':'Value','value':'5'}}}",
                                        "{'type':'Object','object':{'metric':{'name':'m'},"
                                        "'describedObject':{'kind':'K','name':'n'},'current':{"
                                        "'value':'5'}}}"},
                        {"{'type':'Resource','resource':{'name':'cpu','target':{'type':"
                         "'Utilization','averageUtilization':50}}}",
                                        "{'type':'Resource','resource':{'name':'cpu','current':{"
                                        "'averageValue':'1','averageUtilization':50}}}"},
        };

        for (size_t i = 0; i < json_array_size(list); i++)
                json_array_set_new(list, i,
                                parse(forms[roll(d, ELEMENTS(forms) - (i > 0))][is_status]));
}

/* A port of an Ingress' service has a name or a number, which is one field in old versions. */
static void valid_ports(struct dice *d, json_t *v) {
        const char *key;
        json_t *child;
        void *next;
        size_t i;

        json_array_foreach (v, i, child)
                valid_ports(d, child);
        json_object_foreach_safe(v, next, key, child) {
                if (streq(key, "port") && json_is_object(child))
                        json_object_set_new(v, key,
                                        roll(d, 2) ? json_pack("{s:s}", "name", "p")
                                                   : json_pack("{s:i}", "number", 80));
                else
                        valid_ports(d, child);
        }
}

/* The kind with the type's other versions: through each and back. */
static void check_versions(uint64_t seed, const struct kind *from, struct dice *d) {
        _cleanup_json_ json_t *o = random_decoded(d, from);
        const struct kind *to;

        valid_metrics(d, (json_t *)json_at(o, "spec.metrics"), false);
        valid_metrics(d, (json_t *)json_at(o, "status.currentMetrics"), true);
        valid_ports(d, o);
        assert_int_equal(pipeline_default(from, o), 0);
        for (size_t i = 0; (to = kind_registry_at(registry, i)); i++) {
                _cleanup_json_ json_t *there = NULL, *back = NULL, *twice = NULL, *last = NULL;
                _cleanup_problem_ struct problem p = {0};

                if (to == from || !to->storage_prefix ||
                                !streq(to->storage_prefix, from->storage_prefix))
                        continue;
                if (object_as(o, to, &there, &p) < 0 || object_as(there, from, &back, &p) < 0 ||
                                object_as(back, to, &twice, &p) < 0 ||
                                object_as(twice, from, &last, &p) < 0)
                        fail_whole("seed %llu: %s %s: %s", (unsigned long long)seed,
                                        from->api_version, from->kind, strempty(p.message));
                assert_string_equal(json_str_or(there, "apiVersion", ""), to->api_version);
                check_kept(seed, from, o, back);
                same(seed, from, to->api_version, last, back, there);
        }
}

static void test_versions(void **state) {
        const struct kind *k;
        struct rounds r = {0};

        while (next_round(&r, 40))
                for (size_t i = 0; (k = kind_registry_at(registry, i)); i++) {
                        struct dice d = {.state = r.seed * 1000 + i, .complete = true};

                        if (k->stored && k->storage_prefix)
                                check_versions(r.seed, k, &d);
                }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_pairs),
                        cmocka_unit_test(test_versions),
        };

        return cmocka_run_group_tests(tests, start, teardown);
}
