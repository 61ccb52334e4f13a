/* Merge patches between statuses: zero values that the API does not keep are no reason to write. */
#include "tests/unit/unit.h"

#include "reconcilers/jsondiff.h"

static void test_diff(void **state) {
        static const struct {
                const char *old, *new, *diff;
        } rows[] = {
                        {"{}", "{}", "{}"},
                        {"{\"a\":1}", "{\"a\":1}", "{}"},
                        {"{\"a\":1}", "{\"a\":2}", "{\"a\":2}"},
                        {"{\"a\":1}", "{}", "{\"a\":null}"},
                        {"{\"a\":1}", "{\"a\":0}", "{\"a\":0}"},
                        {"{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":1}}", "{\"a\":{\"c\":null}}"},
                        /* zero values alone */
                        {"{}", "{\"a\":0,\"b\":false,\"c\":\"\",\"d\":[],\"e\":{}}", "{}"},
                        {"{\"x\":1}", "{\"x\":1,\"a\":0}", "{}"},
                        {"{\"x\":{\"y\":1}}", "{\"x\":{\"y\":1,\"z\":0}}", "{}"},
                        /* beside something that counts */
                        {"{}", "{\"a\":0,\"b\":1}", "{\"a\":0,\"b\":1}"},
                        {"{\"x\":1}", "{\"x\":2,\"a\":0}", "{\"x\":2,\"a\":0}"},
                        {"{\"x\":1}", "{\"a\":0}", "{\"x\":null,\"a\":0}"},
                        {"{\"x\":[1]}", "{\"x\":[]}", "{\"x\":[]}"},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_json_ json_t *old = json_loads(rows[i].old, 0, NULL),
                                      *new = json_loads(rows[i].new, 0, NULL),
                                      *want = json_loads(rows[i].diff, 0, NULL),
                                      *got = json_merge_diff(old, new);

                if (!json_equal(got, want))
                        fail_msg("row %zu", i);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_diff)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
