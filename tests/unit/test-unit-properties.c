/* The API's table of unit properties and the agent's must speak of the same ones: what the agent
 * can carry has a level, and what has a level can be carried. */
#include "tests/unit/unit.h"

#include "lib/unit-properties.h"
#include "nodeagent/plan/unit-props.h"

static void test_every_property_has_a_level(void **state) {
        const struct prop_row *row;
        size_t n = 0;

        for (; (row = prop_at(n)); n++) {
                const struct unit_property *p = unit_property_find(row->name);

                if (!p || !streq_ptr(p->file_name, row->file_name))
                        fail_msg("%s has no level in lib/unit-properties.c, or another name in "
                                 "unit files there",
                                        row->name);
        }
        assert_true(n > 100);
}

static void test_every_level_has_a_property(void **state) {
        const struct unit_property *p;

        for (size_t i = 0; (p = unit_property_at(i)); i++) {
                if (!prop_find(p->name))
                        fail_msg("%s is not in nodeagent/plan/unit-props.c", p->name);
                assert_ptr_equal(unit_property_find(p->name), p);
        }
}

static void test_levels(void **state) {
        static const struct {
                const char *name, *value;
                enum security_level level;
        } cases[] = {
                        {"MemoryHigh", "64M", LEVEL_RESTRICTED},
                        {"WatchdogSec", "20s", LEVEL_RESTRICTED},
                        {"WatchdogUSec", "20s", LEVEL_RESTRICTED},
                        {"Nice", "-5", LEVEL_BASELINE},
                        {"TasksMax", "infinity", LEVEL_PRIVILEGED},
                        {"TasksMax", "Infinity", LEVEL_PRIVILEGED},
                        {"TasksMax", "100", LEVEL_RESTRICTED},
                        {"NoNewPrivileges", "yes", LEVEL_RESTRICTED},
                        {"NoNewPrivileges", "TRUE", LEVEL_RESTRICTED},
                        {"NoNewPrivileges", "no", LEVEL_PRIVILEGED},
                        {"NoNewPrivileges", "", LEVEL_PRIVILEGED},
                        {"NoNewPrivileges", "yes true", LEVEL_PRIVILEGED},
                        {"ProtectHome", "tmpfs", LEVEL_RESTRICTED},
                        {"ProtectHome", "read-only", LEVEL_PRIVILEGED},
                        {"ProtectSystem", "no", LEVEL_PRIVILEGED},
                        {"KillMode", "none", LEVEL_PRIVILEGED},
                        {"InaccessiblePaths", "", LEVEL_PRIVILEGED},
                        {"Conflicts", "sshd.service", LEVEL_PRIVILEGED},
                        {"User", "root", LEVEL_PRIVILEGED},
                        {"LoadCredential", "a:/etc/shadow", LEVEL_PRIVILEGED},
                        {"ExecStartPre", "/bin/sh", LEVEL_PRIVILEGED},
                        {"SystemCallFilter", "~@mount", LEVEL_PRIVILEGED},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct unit_property *p = unit_property_find(cases[i].name);

                assert_non_null(p);
                if (unit_property_level(p, cases[i].value) != cases[i].level)
                        fail_msg("%s=%s is not on level %d", cases[i].name, cases[i].value,
                                        (int)cases[i].level);
        }
        assert_null(unit_property_find("Nonsense"));
        assert_null(unit_property_find("nice"));
}

static void test_annotations(void **state) {
        assert_string_equal(unit_property_of_annotation("unit.keelson.dev/Nice"), "Nice");
        assert_string_equal(unit_property_of_annotation("web.unit.keelson.dev/Nice"), "Nice");
        assert_string_equal(unit_property_of_annotation("a.b.unit.keelson.dev/Nice"), "Nice");
        assert_string_equal(unit_property_of_annotation("unit.keelson.dev/"), "");
        assert_null(unit_property_of_annotation("xunit.keelson.dev/Nice"));
        assert_null(unit_property_of_annotation("unit.keelson.development/Nice"));
        assert_null(unit_property_of_annotation("example.org/unit.keelson.dev/Nice"));
        assert_null(unit_property_of_annotation("Nice"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_every_property_has_a_level),
                        cmocka_unit_test(test_every_level_has_a_property),
                        cmocka_unit_test(test_levels),
                        cmocka_unit_test(test_annotations),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
