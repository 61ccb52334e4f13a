/* The table of plain pod fields: docs/pod-to-units.md lists every row, every property is one that
 * the bus driver knows, and the converters keep to their limits. */
#include "tests/unit/unit.h"

#include <ctype.h>

#include "lib/fileio.h"
#include "lib/json.h"
#include "nodeagent/plan/pod-fields.h"
#include "nodeagent/plan/unit-props.h"

/* As the page calls a field: without the part that all of them have. */
static const char *short_name(const char *field) {
        static const char *const prefixes[] = {"spec.", "securityContext."};

        for (size_t i = 0; i < ELEMENTS(prefixes); i++) {
                const char *rest = startswith(field, prefixes[i]);

                if (rest)
                        return rest;
        }
        return field;
}

/* Whether `word` stands in [begin, end), with nothing behind it that belongs to the name. */
static bool has_word(const char *begin, const char *end, const char *word) {
        size_t n = strlen(word);

        for (const char *s = begin; s + n < end; s++)
                if (strncmp(s, word, n) == 0 && !isalnum((unsigned char)s[n]) && s[n] != '.')
                        return true;
        return false;
}

/* Whether a row of a table, "| left | right |", has both texts in their cells. */
static bool page_has(const char *page, const char *left, const char *right) {
        for (const char *line = page; *line;) {
                const char *end = line + strcspn(line, "\n"), *middle;

                middle = *line == '|' ? memchr(line + 1, '|', (size_t)(end - line - 1)) : NULL;
                if (middle && has_word(line, middle, left) && has_word(middle, end, right))
                        return true;
                line = *end ? end + 1 : end;
        }
        return false;
}

static void test_page_lists_every_row(void **state) {
        _cleanup_free_ char *path = strformat("%s/docs/pod-to-units.md", getenv("KEELSON_SRCDIR")),
                            *page = NULL;
        const struct pod_field *row;

        assert_int_equal(file_read(path, 1 << 20, &page, NULL), 0);
        for (size_t i = 0; (row = pod_field_at(i)); i++) {
                const struct prop_row *property = prop_find(row->property);
                _cleanup_free_ char *field = NULL, *name = NULL;

                if (!property)
                        fail_msg("%s is not in nodeagent/plan/unit-props.c", row->property);
                field = row->field ? strformat("`%s", short_name(row->field)) : strdup("no field");
                name = strformat("`%s", property->file_name ? property->file_name : property->name);
                if (!page_has(page, field, name))
                        fail_msg("docs/pod-to-units.md has no row | %s | %s |", field, name);
        }
        /* A row that is not there is not found. */
        assert_false(page_has(page, "`resources.limits.memory", "`MemoryLow"));
        assert_false(page_has(page, "`resources.limits", "`MemoryMax"));
        assert_false(page_has(page, "`resources.limits.memory", "`Memory"));
}

static void test_rows_are_whole(void **state) {
        const struct pod_field *row;
        size_t n = 0;

        for (; (row = pod_field_at(n)); n++) {
                assert_true(!row->field == !!row->constant);
                assert_true(!row->convert == !!row->constant);
                for (size_t k = 0; k < n; k++)
                        assert_string_not_equal(pod_field_at(k)->property, row->property);
        }
        assert_true(n > 10);
}

/* A container (and a pod around it) in, one property out. */
static void test_values(void **state) {
        static const struct {
                const char *container, *pod, *property, *want;
        } cases[] = {
                        {"{'name': 'web'}", "{}", "SyslogIdentifier", "\"web\""},
                        {"{}", "{}", "TasksMax", "4096"},
                        {"{}", "{}", "KillMode", "\"mixed\""},
                        {"{}", "{}", "MemoryMax", NULL},
                        {"{'resources': {'limits': {'memory': '64Mi'}}}", "{}", "MemoryMax",
                                        "67108864"},
                        {"{'resources': {'limits': {'memory': '0'}}}", "{}", "MemoryMax", NULL},
                        {"{'resources': {'limits': {'memory': 'much'}}}", "{}", "MemoryMax", NULL},
                        {"{'resources': {'requests': {'memory': '1Ki'}}}", "{}", "MemoryLow",
                                        "1024"},
                        {"{'resources': {'limits': {'cpu': '1500m'}}}", "{}", "CPUQuotaPerSecUSec",
                                        "1500000"},
                        {"{'resources': {'requests': {'cpu': 1}}}", "{}", "CPUWeight", "100"},
                        {"{'resources': {'requests': {'cpu': '1m'}}}", "{}", "CPUWeight", "1"},
                        {"{'resources': {'requests': {'cpu': '19m'}}}", "{}", "CPUWeight", "1"},
                        {"{'resources': {'requests': {'cpu': '20m'}}}", "{}", "CPUWeight", "2"},
                        {"{'resources': {'requests': {'cpu': 1000}}}", "{}", "CPUWeight", "10000"},
                        {"{'resources': {'requests': {'cpu': 0}}}", "{}", "CPUWeight", NULL},
                        {"{}", "{'spec': {'activeDeadlineSeconds': 5}}", "RuntimeMaxUSec",
                                        "5000000"},
                        {"{'activeDeadlineSeconds': 5}", "{}", "RuntimeMaxUSec", NULL},
                        {"{'securityContext': {'runAsUser': 7}}",
                                        "{'spec': {'securityContext': {'runAsUser': 8}}}", "User",
                                        "\"7\""},
                        {"{}", "{'spec': {'securityContext': {'runAsUser': 8}}}", "User", "\"8\""},
                        {"{'securityContext': {'runAsGroup': null}}",
                                        "{'spec': {'securityContext': {'runAsGroup': 9}}}", "Group",
                                        "\"9\""},
                        {"{'securityContext': {'readOnlyRootFilesystem': true}}", "{}",
                                        "ProtectSystem", "\"strict\""},
                        {"{'securityContext': {'readOnlyRootFilesystem': false}}", "{}",
                                        "ProtectSystem", NULL},
                        {"{'securityContext': {'allowPrivilegeEscalation': false}}", "{}",
                                        "NoNewPrivileges", "true"},
                        {"{'securityContext': {'allowPrivilegeEscalation': true}}", "{}",
                                        "NoNewPrivileges", NULL},
                        {"{'securityContext': {'allowPrivilegeEscalation': false, "
                         "'privileged': true}}",
                                        "{}", "NoNewPrivileges", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *container_text = strdup(cases[i].container),
                                    *pod_text = strdup(cases[i].pod), *got = NULL;
                _cleanup_json_ json_t *container = NULL, *pod = NULL, *properties = json_object();

                for (char *s = container_text; *s; s++)
                        *s = *s == '\'' ? '"' : *s;
                for (char *s = pod_text; *s; s++)
                        *s = *s == '\'' ? '"' : *s;
                container = json_loads(container_text, 0, NULL);
                pod = json_loads(pod_text, 0, NULL);
                assert_non_null(container);
                assert_non_null(pod);
                assert_int_equal(pod_fields_apply(pod, container, properties), 0);
                if (!cases[i].want) {
                        assert_null(json_object_get(properties, cases[i].property));
                        continue;
                }
                got = json_dumps(json_object_get(properties, cases[i].property), JSON_ENCODE_ANY);
                if (!streq_ptr(got, cases[i].want))
                        fail_msg("%s: %s is %s, not %s", cases[i].container, cases[i].property,
                                        strempty(got), cases[i].want);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_page_lists_every_row),
                        cmocka_unit_test(test_rows_are_whole),
                        cmocka_unit_test(test_values),
        };

        return cmocka_run_group_tests_name("pod-fields", tests, NULL, NULL);
}
