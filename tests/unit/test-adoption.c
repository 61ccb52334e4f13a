/* Which units a pod may adopt, and how it says so; the drop-in of a managed one. */
#include "tests/unit/unit.h"

#include "lib/adoptable-units.h"
#include "nodeagent/plan/plan.h"

/* JSON with ' for ". */
static json_t *quoted(const char *text) {
        char copy[512];
        json_t *v;

        snprintf(copy, sizeof(copy), "%s", text);
        for (char *c = copy; *c; c++)
                if (*c == '\'')
                        *c = '"';
        v = json_loads(copy, 0, NULL);
        assert_non_null(v);
        return v;
}

static void test_names(void **state) {
        static const struct {
                const char *unit;
                enum adoption most;
        } cases[] = {
                        {"nginx.service", ADOPTION_MANAGED},
                        {"postgresql@15-main.service", ADOPTION_MANAGED},
                        {"a\\x2db.service", ADOPTION_MANAGED},
                        {"sshd.service", ADOPTION_READ_ONLY},
                        {"ssh.service", ADOPTION_READ_ONLY},
                        {"sshd@1-2.service", ADOPTION_READ_ONLY},
                        {"dbus-broker.service", ADOPTION_READ_ONLY},
                        {"dbus-org.freedesktop.login1.service", ADOPTION_READ_ONLY},
                        {"systemd-journald.service", ADOPTION_READ_ONLY},
                        {"user@0.service", ADOPTION_READ_ONLY},
                        {"keelson-kapid.service", ADOPTION_NONE},
                        {"keelson-nodeagent.service", ADOPTION_NONE},
                        {"kpod-shop_web_c.service", ADOPTION_NONE},
                        {"nginx", ADOPTION_NONE},
                        {"nginx.socket", ADOPTION_NONE},
                        {"keelson.slice", ADOPTION_NONE},
                        {"getty@.service", ADOPTION_NONE},
                        {".service", ADOPTION_NONE},
                        {"a/b.service", ADOPTION_NONE},
                        {"../x.service", ADOPTION_NONE},
                        {"a b.service", ADOPTION_NONE},
                        {"a\nb.service", ADOPTION_NONE},
                        {"", ADOPTION_NONE},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                for (enum adoption mode = ADOPTION_READ_ONLY; mode <= ADOPTION_MANAGED; mode++) {
                        _cleanup_problem_ struct problem p = {0};
                        int r = adoption_check_name(cases[i].unit, mode, &p);

                        if ((r >= 0) != (mode <= cases[i].most))
                                fail_msg("%s in mode %d: %d %s", cases[i].unit, (int)mode, r,
                                                strempty(p.message));
                        assert_true(r >= 0 || p.message);
                }
}

static void test_annotations(void **state) {
        static const struct {
                const char *annotations, *containers, *unit; /* of container c; NULL: refused */
                enum adoption mode;
        } cases[] = {
                        {"{'unit.keelson.dev/adopt': 'a.service'}", "[{'name': 'c'}]", "a.service",
                                        ADOPTION_READ_ONLY},
                        {"{'unit.keelson.dev/adopt': 'a.service', "
                         "'unit.keelson.dev/adopt-mode': 'managed'}",
                                        "[{'name': 'c'}]", "a.service", ADOPTION_MANAGED},
                        {"{'c.unit.keelson.dev/adopt': 'a.service', "
                         "'c.unit.keelson.dev/adopt-mode': 'read-only', "
                         "'unit.keelson.dev/adopt-mode': 'managed'}",
                                        "[{'name': 'c'}, {'name': 'd'}]", "a.service",
                                        ADOPTION_READ_ONLY},
                        {"{'unit.keelson.dev/adopt': 'a.service'}",
                                        "[{'name': 'c'}, {'name': 'd'}]", NULL, ADOPTION_NONE},
                        {"{'unit.keelson.dev/adopt': 'a.service', "
                         "'unit.keelson.dev/adopt-mode': 'Managed'}",
                                        "[{'name': 'c'}]", NULL, ADOPTION_NONE},
                        {"{'unit.keelson.dev/adopt': 'a.service', "
                         "'unit.keelson.dev/portable': '/srv/a.raw'}",
                                        "[{'name': 'c'}]", "a.service", ADOPTION_MANAGED},
                        {"{'unit.keelson.dev/adopt': 'a.service', "
                         "'unit.keelson.dev/adopt-mode': 'read-only', "
                         "'unit.keelson.dev/portable': '/srv/a.raw'}",
                                        "[{'name': 'c'}]", NULL, ADOPTION_NONE},
                        {"{'unit.keelson.dev/adopt': 'a.service', "
                         "'unit.keelson.dev/portable': 'a.raw'}",
                                        "[{'name': 'c'}]", NULL, ADOPTION_NONE},
                        {"{'unit.keelson.dev/adopt': 'a.service', "
                         "'unit.keelson.dev/portable': '/srv/a.raw', "
                         "'unit.keelson.dev/portable-profile': '../x'}",
                                        "[{'name': 'c'}]", NULL, ADOPTION_NONE},
                        {"{'unit.keelson.dev/adopt': 'a.service', "
                         "'c.unit.keelson.dev/portable': '/srv/a.raw'}",
                                        "[{'name': 'c'}]", NULL, ADOPTION_NONE},
                        {"{'c.unit.keelson.dev/adopt': 'a.service', "
                         "'unit.keelson.dev/portable': '/srv/a.raw'}",
                                        "[{'name': 'c'}, {'name': 'd'}]", NULL, ADOPTION_NONE},
                        {"{'unit.keelson.dev/adopt': 'ssh.service', "
                         "'unit.keelson.dev/adopt-mode': 'managed'}",
                                        "[{'name': 'c'}]", NULL, ADOPTION_NONE},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *metadata = json_object(), *spec = json_object();
                _cleanup_problem_ struct problem p = {0};

                json_object_set_new(metadata, "annotations", quoted(cases[i].annotations));
                json_object_set_new(spec, "containers", quoted(cases[i].containers));
                if (!cases[i].unit) {
                        assert_int_equal(adoption_check(metadata, spec, &p), -EINVAL);
                        continue;
                }
                assert_int_equal(adoption_check(metadata, spec, &p), 0);
                assert_string_equal(adoption_unit(metadata, spec, "c"), cases[i].unit);
                assert_int_equal(adoption_mode(metadata, "c"), cases[i].mode);
                if (json_array_size(json_object_get(spec, "containers")) > 1)
                        assert_null(adoption_unit(metadata, spec, "d"));
        }
}

static void test_drop_in(void **state) {
        static const struct {
                const char *properties, *text; /* NULL: refused */
        } cases[] = {
                        {"{'MemoryMax': 67108864}", "MemoryMax=67108864\n"},
                        {"{'MemoryMax': -1}", "MemoryMax=infinity\n"},
                        {"{'CPUQuotaPerSecUSec': 125000}", "CPUQuota=12.50%\n"},
                        {"{'IPAccounting': true}", "IPAccounting=yes\n"},
                        {"{'DevicePolicy': 'strict'}", "DevicePolicy=strict\n"},
                        {"{'DevicePolicy': 'strict\\nExecStart=/bin/sh'}", NULL},
                        /* Not one that a running unit can get. */
                        {"{'User': 'root'}", ""},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *properties = quoted(cases[i].properties);
                _cleanup_free_ char *text = pod_adopted_drop_in(properties);
                const char *after = text ? strstr(text, "[Service]\n") : NULL;

                if (!cases[i].text) {
                        assert_null(text);
                        continue;
                }
                assert_non_null(after);
                assert_string_equal(after + strlen("[Service]\n"), cases[i].text);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_names),
                        cmocka_unit_test(test_annotations), cmocka_unit_test(test_drop_in)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
