/* kctl encryption's decisions, in a model of a control plane: API servers that run what they read
 * at their last start, writers between all steps, calls that are interrupted anywhere. At no time
 * is a value stored that an API server could not read. */
#include "tests/unit/unit.h"

#include "kctl/encryption-plan.h"
#include "lib/crypto.h"

enum { MACHINES = 3, VALUES = 9, STEPS_MAX = 100 };
#define PLAIN "identity"
#define FIRST "key-19700101T000001Z"
#define LATER "key-19700101T000002Z"

struct world {
        json_t *config[MACHINES]; /* on the machine; NULL: none */
        json_t *read[MACHINES];   /* what its API server read at its start */
        char *values[VALUES];     /* the name of the key, or PLAIN */
        unsigned writes, secrets;
        uint64_t now_us;
};

/* The words of all keys of a configuration, the one that writes first. */
static char **words_of(const json_t *config) {
        const json_t *provider, *key, *entry = json_array_get(
                                                      json_object_get(config, "resources"), 0);
        char **words = NULL;
        size_t i, j;

        json_array_foreach (json_object_get(entry, "providers"), i, provider) {
                if (json_object_get(provider, "identity"))
                        assert_int_equal(strv_extend(&words, PLAIN), 0);
                json_array_foreach (json_at(provider, "aesgcm.keys"), j, key)
                        assert_int_equal(strv_extend(&words, json_str(key, "name")), 0);
        }
        if (!config)
                assert_int_equal(strv_extend(&words, PLAIN), 0);
        return words;
}

/* Every API server writes, and every one must be able to read what each has written. */
static void write_and_read(struct world *w) {
        for (size_t m = 0; m < MACHINES; m++) {
                _cleanup_strv_free_ char **words = words_of(w->read[m]);
                char **value = &w->values[w->writes++ % VALUES];

                free(*value);
                *value = strdup(words[0]);
        }
        for (size_t m = 0; m < MACHINES; m++) {
                _cleanup_strv_free_ char **words = words_of(w->read[m]);

                for (size_t v = 0; v < VALUES; v++)
                        if (!strv_contains(words, w->values[v]))
                                fail_msg("machine %zu cannot read %s", m, w->values[v]);
        }
}

static void set(json_t **place, json_t *taken) {
        json_decref(*place);
        *place = taken;
}

static void carry_out(
                struct world *w, struct encryption_step *s, struct encryption_values *values) {
        _cleanup_strv_free_ char **words = words_of(w->read[s->machine]);

        switch (s->act) {
        case ENCRYPTION_WRITE:
                set(&w->config[s->machine], TAKE_PTR(s->config));
                values->known = false;
                break;
        case ENCRYPTION_RESTART:
                set(&w->read[s->machine], json_ref(w->config[s->machine]));
                break;
        case ENCRYPTION_COUNT:
                *values = (struct encryption_values){.known = true};
                for (size_t v = 0; v < VALUES; v++)
                        values->stale += !streq(w->values[v], words[0]);
                break;
        case ENCRYPTION_REWRITE:
                for (size_t v = 0; v < VALUES; v++) {
                        free(w->values[v]);
                        w->values[v] = strdup(words[0]);
                }
                values->known = false;
                break;
        default:
                fail_msg("step %d", s->act);
        }
}

/* Steps until the end, or for `steps`; whether it ended. */
static bool call(struct world *w, enum encryption_goal goal, unsigned steps) {
        struct encryption_values values = {0};
        _cleanup_free_ char *name = NULL, *secret = NULL;
        struct encryption_wish wish = {.goal = goal};

        for (unsigned n = 0; n < steps; n++) {
                struct encryption_view views[MACHINES];
                json_t *reports[MACHINES];
                struct encryption_step s = {0};
                bool ended;

                for (size_t m = 0; m < MACHINES; m++) {
                        reports[m] = encryption_report(w->read[m]);
                        views[m] = (struct encryption_view){w->config[m], reports[m]};
                }
                if (!name && goal != ENCRYPTION_DISABLE) {
                        w->now_us += 1000000;
                        assert_int_equal(encryption_choose(goal, views, MACHINES, w->now_us, &name,
                                                         &secret),
                                        0);
                        if (!secret) {
                                char key[33];

                                snprintf(key, sizeof(key), "%032u", ++w->secrets);
                                secret = base64_encode(key, 32);
                        }
                        wish.name = name;
                        wish.secret = secret;
                }
                assert_int_equal(encryption_next(&wish, views, MACHINES, &values, &s), 0);
                ended = s.act == ENCRYPTION_DONE;
                if (!ended)
                        carry_out(w, &s, &values);
                write_and_read(w);
                encryption_step_done(&s);
                for (size_t m = 0; m < MACHINES; m++)
                        json_decref(reports[m]);
                if (ended)
                        return true;
        }
        return false;
}

static void world_init(struct world *w) {
        *w = (struct world){0};
        for (size_t v = 0; v < VALUES; v++)
                w->values[v] = strdup(PLAIN);
}

static void world_done(struct world *w) {
        for (size_t m = 0; m < MACHINES; m++) {
                json_decref(w->config[m]);
                json_decref(w->read[m]);
        }
        for (size_t v = 0; v < VALUES; v++)
                free(w->values[v]);
}

/* Everyone has the key alone, and every value is of it. */
static void assert_all(const struct world *w, const char *name) {
        for (size_t v = 0; v < VALUES; v++)
                assert_string_equal(w->values[v], name);
        for (size_t m = 0; m < MACHINES; m++) {
                _cleanup_strv_free_ char **words = words_of(w->read[m]);

                assert_string_equal(words[0], name);
                assert_int_equal(strv_length(words), streq(name, PLAIN) ? 1 : 2);
                assert_int_equal(w->read[m] == NULL, streq(name, PLAIN));
        }
}

static void test_life(void **state) {
        struct world w;

        world_init(&w);
        assert_true(call(&w, ENCRYPTION_ENABLE, STEPS_MAX));
        assert_all(&w, FIRST);
        assert_true(call(&w, ENCRYPTION_ENABLE, STEPS_MAX)); /* it is so already */
        assert_all(&w, FIRST);
        assert_int_equal(w.secrets, 1);
        assert_true(call(&w, ENCRYPTION_ROTATE, STEPS_MAX));
        assert_all(&w, "key-19700101T000003Z");
        assert_true(call(&w, ENCRYPTION_DISABLE, STEPS_MAX));
        assert_all(&w, PLAIN);
        world_done(&w);
}

/* Every pair of goals, the first one interrupted after every number of steps. */
static void test_interrupted(void **state) {
        for (int first = ENCRYPTION_ENABLE; first <= ENCRYPTION_DISABLE; first++)
                for (int second = ENCRYPTION_ENABLE; second <= ENCRYPTION_DISABLE; second++)
                        for (unsigned n = 1; n < 40; n++) {
                                struct world w;

                                world_init(&w);
                                if (first != ENCRYPTION_ENABLE)
                                        assert_true(call(&w, ENCRYPTION_ENABLE, STEPS_MAX));
                                (void)call(&w, first, n);
                                (void)call(&w, second, n / 2);
                                assert_true(call(&w, second, STEPS_MAX));
                                if (second == ENCRYPTION_DISABLE)
                                        assert_all(&w, PLAIN);
                                else
                                        assert_string_not_equal(w.values[0], PLAIN);
                                world_done(&w);
                        }
}

static void test_resumes(void **state) {
        struct world w;

        world_init(&w);
        assert_true(call(&w, ENCRYPTION_ENABLE, STEPS_MAX));
        assert_false(call(&w, ENCRYPTION_ROTATE, 3));
        w.now_us = 0; /* a clock that was set back does not matter */
        assert_true(call(&w, ENCRYPTION_ROTATE, STEPS_MAX));
        assert_all(&w, LATER); /* not a third */
        assert_int_equal(w.secrets, 2);
        world_done(&w);
}

/* A key stays while a value may need it. */
static void test_unreadable(void **state) {
        _cleanup_json_ json_t *config = encryption_config_new(FIRST, "AAEC"),
                              *report = encryption_report(config);
        const struct encryption_view view = {config, report};
        const struct encryption_values values = {.known = true, .unreadable = 1};
        struct encryption_wish wish = {ENCRYPTION_ENABLE, FIRST, "AAEC", false};
        struct encryption_step s = {0};

        assert_int_equal(encryption_next(&wish, &view, 1, &values, &s), 0);
        assert_int_equal(s.act, ENCRYPTION_STOP);
        wish.force = true;
        assert_int_equal(encryption_next(&wish, &view, 1, &values, &s), 0);
        assert_int_equal(s.act, ENCRYPTION_DONE);
}

/* What an administrator added stays. */
static void test_foreign(void **state) {
        static const char text[] =
                "{\"resources\": [{\"resources\": [\"secrets\", \"configmaps\"], \"providers\": ["
                "{\"secretbox\": {\"keys\": [{\"name\": \"mine\", \"secret\": \"AAEC\"}]}},"
                "{\"identity\": {}}]}]}";
        _cleanup_json_ json_t *config = NULL, *report = NULL;
        struct encryption_wish wish = {ENCRYPTION_ROTATE, "key1", "AAED", false};
        struct encryption_view view;
        struct encryption_step s = {0};
        const json_t *entry, *providers;

        assert_int_equal(json_parse(text, strlen(text), 0, &config, NULL), 0);
        report = encryption_report(config);
        view = (struct encryption_view){config, report};
        assert_int_equal(encryption_next(&wish, &view, 1, &(struct encryption_values){0}, &s), 0);
        assert_int_equal(s.act, ENCRYPTION_WRITE);
        entry = json_array_get(json_object_get(s.config, "resources"), 0);
        assert_int_equal(json_array_size(json_object_get(entry, "resources")), 2);
        providers = json_object_get(entry, "providers");
        assert_non_null(json_at(json_array_get(providers, 0), "secretbox.keys"));
        assert_non_null(json_at(json_array_get(providers, 2), "aesgcm.keys"));
        encryption_step_done(&s);
}

static void test_disagree(void **state) {
        _cleanup_json_ json_t *one = encryption_config_new(FIRST, "AAEC"),
                              *two = encryption_config_new(FIRST, "AAED");
        const struct encryption_view views[] = {{one, NULL}, {two, NULL}};
        char *name = NULL, *secret = NULL;

        assert_int_equal(encryption_choose(ENCRYPTION_ENABLE, views, 2, 1, &name, &secret),
                        -EBADMSG);
        assert_null(name);
}

static void test_names(void **state) {
        _cleanup_free_ char *first = encryption_key_name(1000000, ""),
                            *back = encryption_key_name(1000000, LATER);

        assert_string_equal(first, FIRST);
        assert_true(strcmp(back, LATER) > 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_life),
                        cmocka_unit_test(test_interrupted),
                        cmocka_unit_test(test_resumes),
                        cmocka_unit_test(test_unreadable),
                        cmocka_unit_test(test_foreign),
                        cmocka_unit_test(test_disagree),
                        cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
