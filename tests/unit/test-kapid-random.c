/* Random objects of every kind, made along the schemas from fixed seeds: nothing crashes, and what
 * must hold for all objects holds (defaulting twice is defaulting once, applying twice changes
 * nothing, ...). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kapid/patch/managed.h"
#include "kapid/patch/patch.h"
#include "kapid/schema/schema.h"
#include "kapid/table/table.h"
#include "lib/json-part.h"
#include "tests/unit/kapid-random.h"

enum { OBJECTS_PER_KIND = 60 };

static void same(const struct kind *k, const char *what, const json_t *a, const json_t *b) {
        if (!json_equal((json_t *)a, (json_t *)b)) {
                _cleanup_free_ char *x = json_dumps(a, JSON_SORT_KEYS),
                                    *y = json_dumps(b, JSON_SORT_KEYS);

                fail_msg("%s: %s\n%s\n%s", k->kind, what, x, y);
        }
}

/* Puts what the schema does not allow in some places. */
static void wreck(struct dice *d, json_t *v) {
        static const char *const texts[] = {"null", "1", "\"x\"", "[]", "{}", "[[1],{\"ip\":2}]",
                        "true", "\"\\u0001\\\"\"", "1e300"};
        const char *key;
        json_t *child;
        void *next;
        size_t i;

        json_object_foreach_safe(v, next, key, child) {
                if (roll(d, 12) == 0)
                        json_object_set_new(v, key,
                                        json_loads(texts[roll(d, ELEMENTS(texts))], JSON_DECODE_ANY,
                                                        NULL));
                else
                        wreck(d, child);
        }
        json_array_foreach (v, i, child)
                wreck(d, child);
}

/* A row and metadata alone, made from the object's text, are those that its tree gives. */
static void check_row(const struct kind *k, const json_t *o) {
        const uint64_t now_us = 1700000000000000;
        _cleanup_json_ json_t *partial = partial_metadata(o, "v1");
        _cleanup_free_ char *text = json_text(o), *want_partial = json_text(partial);
        _cleanup_buf_ struct buf b = {0};

        for (unsigned include = 0; include < 3; include++) {
                _cleanup_json_ json_t *table = table_new(k, "v1", NULL, true);
                _cleanup_free_ char *want = NULL;

                assert_int_equal(table_add_row(table, k, o, include, now_us), 0);
                want = json_text(json_array_get(json_object_get(table, "rows"), 0));
                buf_reset(&b);
                assert_int_equal(table_write_row(&b, k, text, strlen(text), include, now_us), 0);
                if (!streq(b.data, want))
                        fail_msg("%s: %s\n got: %s\nwant: %s", k->kind, text, b.data, want);
        }
        buf_reset(&b);
        assert_int_equal(partial_metadata_write(&b, text, strlen(text), "v1"), 0);
        assert_string_equal(b.data, want_partial);
}

/* Fields are the same in the part that a selector reads. */
static void check_fields(struct dice *d, const struct kind *k, const json_t *o) {
        static const char *const values[] = {"", "web", "false", "true", "0", "1", "x", "a", "d"};
        _cleanup_free_ char *text = json_text(o);

        for (size_t i = 0; k->selectable_fields && k->selectable_fields[i]; i++) {
                _cleanup_(field_selector_freep) struct field_selector *s = NULL;
                _cleanup_free_ char *selector = strformat("%s%s%s", k->selectable_fields[i],
                                roll(d, 2) ? "=" : "!=", values[roll(d, ELEMENTS(values))]);
                _cleanup_(json_part_freep) struct json_part *part = NULL;
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *some = NULL;

                assert_int_equal(field_selector_parse(selector, &s, &p), 0);
                assert_int_equal(kind_field_selector_part(s, &part), 0);
                assert_int_equal(json_part_parse(part, text, strlen(text), &some), 0);
                if (kind_field_selector_matches(k, s, o) != kind_field_selector_matches(k, s, some))
                        fail_msg("%s: %s: %s", k->kind, selector, text);
        }
}

static void check_object(struct dice *d, const struct kind *k) {
        struct pipeline_context c = {.now_us = 1700000000000000, .user = "u"};
        _cleanup_json_ json_t *o = random_decoded(d, k), *once = NULL, *twice = NULL,
                              *other = random_decoded(d, k);
        _cleanup_json_ json_t *table = table_new(k, "v1", NULL, true), *merged = NULL,
                              *strategic = NULL;
        _cleanup_problem_ struct problem p = {0}, q = {0};
        struct apply_options a = {.manager = "m", .now_us = c.now_us};

        once = json_deep_copy(o);
        assert_int_equal(pipeline_normalise(k, once, NULL, &p), 0);
        same(k, "normalised twice", o, once);
        assert_int_equal(pipeline_default(k, once), 0);
        twice = json_deep_copy(once);
        assert_int_equal(pipeline_default(k, twice), 0);
        same(k, "defaulted twice", once, twice);
        assert_int_equal(pipeline_prepare_create(k, once, &c), 0);
        (void)pipeline_validate_create(k, once, &p);
        assert_int_equal(table_add_row(table, k, once, TABLE_INCLUDE_METADATA, c.now_us), 0);
        assert_int_equal(managed_update(k, NULL, once, &a), 0);
        /* A write of the same changes nothing. */
        json_decref(twice);
        twice = json_deep_copy(once);
        assert_int_equal(managed_update(k, once, twice, &a), 0);
        same(k, "updated without a change", once, twice);
        assert_int_equal(pipeline_prepare_update(k, NULL, once, twice, &c), 0);
        (void)pipeline_validate_update(k, NULL, once, twice, NULL, &q);
        /* Another object written over it. */
        assert_int_equal(pipeline_default(k, other), 0);
        assert_int_equal(pipeline_prepare_update(k, NULL, once, other, &c), 0);
        (void)pipeline_validate_update(k, NULL, once, other, NULL, &q);
        assert_int_equal(managed_update(k, once, other, &a), 0);
        /* An object is its own merge patch. */
        assert_int_equal(patch_merge(once, once, &merged), 0);
        same(k, "merged into itself", once, merged);
        (void)patch_strategic(k->schema, once, other, &strategic, &q);
        for (unsigned i = 0; i < 3; i++) {
                check_row(k, once);
                check_fields(d, k, once);
                wreck(d, once);
        }
}

static void check_apply(struct dice *d, const struct kind *k) {
        struct apply_options one = {.manager = "one", .now_us = 1700000000000000},
                             two = {.manager = "two", .now_us = 1700000001000000, .force = true};
        _cleanup_json_ json_t *a = random_decoded(d, k), *b = random_decoded(d, k);
        _cleanup_free_ char *first = json_dumps(a, 0), *second = json_dumps(b, 0);
        _cleanup_decoded_ struct decoded made = {0}, again = {0}, forced = {0}, settled = {0};
        _cleanup_problem_ struct problem p = {0};

        /* A random list map may hold items without keys: refused, and that is all there is to see.
         */
        if (apply_run(k, first, strlen(first), NULL, &one, &made, &p) < 0)
                return;
        assert_int_equal(apply_run(k, first, strlen(first), made.object, &one, &again, &p), 0);
        /* One that owns nothing is as if nobody had applied yet. */
        if (json_at(made.object, "metadata.managedFields"))
                same(k, "applied twice", made.object, again.object);
        if (apply_run(k, second, strlen(second), made.object, &two, &forced, &p) < 0)
                return;
        /* After force, two's intent holds: applying it again is quiet. */
        assert_int_equal(
                        apply_run(k, second, strlen(second), forced.object, &two, &settled, &p), 0);
        if (json_at(forced.object, "metadata.managedFields"))
                same(k, "forced twice", forced.object, settled.object);
}

static void test_all_kinds(void **state) {
        const struct kind *k;

        for (size_t i = 0; (k = kind_registry_at(registry, i)); i++)
                for (uint64_t seed = 1; seed <= OBJECTS_PER_KIND; seed++) {
                        struct dice d = {.state = seed * 1000 + i};

                        check_object(&d, k);
                        if (k->stored)
                                check_apply(&d, k);
                }
}

int main(void) {
        static const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_kinds)};

        return cmocka_run_group_tests(tests, setup, teardown);
}
