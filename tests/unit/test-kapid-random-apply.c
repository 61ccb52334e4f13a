/* Random sequences of applies and updates by several managers, beside a model of a few lines that
 * says what must come out: every value, every owner, every conflict. */
#include "tests/unit/unit.h"

#include "kapid/patch/managed.h"
#include "tests/unit/kapid-random.h"

enum { KEYS = 5, APPLIERS = 3, WRITERS = 5, STEPS = 14, VALUES = 3 };

/* Managers 0...APPLIERS-1 apply, the others update. Values are 1...VALUES; 0: not there. */
struct model {
        unsigned values[KEYS];
        bool owns_value[KEYS][WRITERS];
        bool owns_item[KEYS][WRITERS]; /* where a key is an item of a list, which is more than its
                                          value */
};

/* How the keys are written: entries of a map, or items of a list by their names. */
struct shape {
        const char *group, *plural, *list; /* where they are */
        bool items;
        const char *object; /* the rest */
};

static const struct shape shapes[] = {
                {"", "configmaps", "data", false,
                                "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c',"
                                "'namespace':'d'},'data':{}}"},
                {"", "secrets", "metadata.annotations", false,
                                "{'apiVersion':'v1','kind':'Secret','metadata':{'name':'c',"
                                "'namespace':'d','annotations':{}}}"},
                {"", "pods", "spec.hostAliases", true,
                                "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'c',"
                                "'namespace':'d'},'spec':{'hostAliases':[]}}"},
};

static char *item_key(unsigned key) {
        return strformat("{\"ip\":\"u%u\"}", key);
}

/* The object with these values, as a client writes it. */
static json_t *object_of(const struct shape *s, const unsigned values[KEYS]) {
        json_t *o = parse(s->object), *list = (json_t *)json_at(o, s->list);

        for (unsigned i = 0; i < KEYS; i++) {
                char name[8], ip[8], value[8];

                (void)snprintf(name, sizeof(name), "k%u", i);
                (void)snprintf(ip, sizeof(ip), "u%u", i);
                (void)snprintf(value, sizeof(value), "v%u", values[i]);
                if (values[i] == 0)
                        continue;
                if (s->items)
                        json_array_append_new(list,
                                        json_pack("{s:s, s:[s]}", "ip", ip, "hostnames", value));
                else
                        json_object_set_new(list, name, json_string(value));
        }
        return o;
}

static const json_t *entry_of(const struct shape *s, const json_t *list, unsigned key) {
        const json_t *item;
        char name[8];
        size_t i;

        (void)snprintf(name, sizeof(name), "%s%u", s->items ? "u" : "k", key);
        json_array_foreach (list, i, item)
                if (streq(json_str_or(item, "ip", ""), name))
                        return item;
        return json_object_get(list, name);
}

static unsigned value_of(const struct shape *s, const json_t *object, unsigned key) {
        const json_t *entry = entry_of(s, json_at(object, s->list), key);
        const char *text = json_string_value(
                        s->items ? json_array_get(json_object_get(entry, "hostnames"), 0) : entry);

        return text ? (unsigned)(text[1] - '0') : 0;
}

/* The set of the manager's entry at the list. */
static const json_t *set_of(const struct shape *s, const json_t *object, unsigned writer) {
        const json_t *e;
        size_t i;

        json_array_foreach (json_at(object, "metadata.managedFields"), i, e)
                if (json_str_or(e, "manager", "m0")[1] - '0' == (int)writer) {
                        const json_t *set = json_object_get(e, "fieldsV1");
                        const char *leaf = strrchr(s->list, '.');
                        _cleanup_free_ char *name = strformat("f:%s", leaf ? leaf + 1 : s->list);

                        assert_string_equal(json_str_or(e, "operation", ""),
                                        writer < APPLIERS ? "Apply" : "Update");
                        if (leaf) {
                                _cleanup_free_ char *parent =
                                                strformat("f:%.*s", (int)(leaf - s->list), s->list);

                                set = json_object_get(set, parent);
                        }
                        return json_object_get(set, name);
                }
        return NULL;
}

static void check_owners(const struct shape *s, const struct model *m, const json_t *object,
                uint64_t seed, unsigned step) {
        for (unsigned w = 0; w < WRITERS; w++) {
                const json_t *set = set_of(s, object, w);

                for (unsigned i = 0; i < KEYS; i++) {
                        _cleanup_free_ char *element = item_key(i),
                                            *name = s->items ? strformat("k:%s", element)
                                                             : strformat("f:k%u", i);
                        const json_t *own = json_object_get(set, name);
                        bool value = s->items ? json_object_get(own, "f:hostnames") != NULL
                                              : own != NULL;

                        bool item = m->owns_item[i][w] || m->owns_value[i][w];

                        if (value != m->owns_value[i][w] || (s->items && item != (own != NULL))) {
                                _cleanup_free_ char *text = json_dumps(object, JSON_INDENT(1));

                                fail_whole("seed %llu, %s, step %u: m%u and key %u: %s",
                                                (unsigned long long)seed, s->plural, step, w, i,
                                                text);
                        }
                }
        }
}

static void check_object(const struct shape *s, const struct model *m, const json_t *object,
                uint64_t seed, unsigned step) {
        for (unsigned i = 0; i < KEYS; i++)
                if (value_of(s, object, i) != m->values[i]) {
                        _cleanup_free_ char *text = json_dumps(object, JSON_INDENT(1));

                        fail_whole("seed %llu, %s, step %u: key %u is not %u: %s",
                                        (unsigned long long)seed, s->plural, step, i, m->values[i],
                                        text);
                }
        check_owners(s, m, object, seed, step);
}

/* --- the model --- */

static bool owned(const bool owners[WRITERS]) {
        for (unsigned w = 0; w < WRITERS; w++)
                if (owners[w])
                        return true;
        return false;
}

/* Other managers lose the value. */
static void take(struct model *m, unsigned key, unsigned writer) {
        for (unsigned w = 0; w < WRITERS; w++)
                m->owns_value[key][w] = w == writer;
}

static bool conflicts(const struct model *m, unsigned key, unsigned writer, unsigned value) {
        bool others = false;

        for (unsigned w = 0; w < WRITERS; w++)
                others |= w != writer && m->owns_value[key][w];
        return value > 0 && others && m->values[key] != value;
}

/* The writer no longer applies it: the value goes with its last owner, an item with its own. */
static void model_drop(struct model *m, const struct shape *s, unsigned key, unsigned writer) {
        bool had_item = m->owns_item[key][writer], had_value = m->owns_value[key][writer];

        m->owns_value[key][writer] = false;
        m->owns_item[key][writer] = false;
        if (s->items && had_item && !owned(m->owns_item[key])) {
                memset(m->owns_value[key], 0, sizeof(m->owns_value[key]));
                m->values[key] = 0;
        } else if (had_value && !owned(m->owns_value[key]))
                m->values[key] = 0;
}

/* Whether it is refused. */
static bool model_apply(struct model *m, const struct shape *s, unsigned writer,
                const unsigned values[KEYS], bool force) {
        bool refused = false;

        for (unsigned i = 0; i < KEYS; i++)
                refused |= !force && conflicts(m, i, writer, values[i]);
        for (unsigned i = 0; i < KEYS && !refused; i++) {
                if (values[i] == 0) {
                        model_drop(m, s, i, writer);
                        continue;
                }
                if (conflicts(m, i, writer, values[i]))
                        take(m, i, writer);
                m->values[i] = values[i];
                m->owns_value[i][writer] = true;
                m->owns_item[i][writer] = true;
        }
        return refused;
}

static void model_update(struct model *m, unsigned writer, const unsigned values[KEYS]) {
        for (unsigned i = 0; i < KEYS; i++) {
                bool was = m->values[i] > 0 || owned(m->owns_item[i]);

                if (values[i] == 0) {
                        memset(m->owns_value[i], 0, sizeof(m->owns_value[i]));
                        memset(m->owns_item[i], 0, sizeof(m->owns_item[i]));
                } else if (m->values[i] != values[i]) {
                        take(m, i, writer);
                        m->owns_item[i][writer] |= !was;
                }
                m->values[i] = values[i];
        }
}

/* --- steps --- */

static struct apply_options options_of(char name[static 8], unsigned writer, unsigned step) {
        (void)snprintf(name, 8, "m%u", writer);
        return (struct apply_options){
                        .manager = name, .now_us = (1700000000 + (uint64_t)step) * 1000000};
}

/* Conflicts name each field that somebody else has with another value, once for each manager. */
static size_t conflict_count(const struct model *m, unsigned writer, const unsigned values[KEYS]) {
        size_t count = 0;

        for (unsigned i = 0; i < KEYS; i++)
                for (unsigned w = 0; w < WRITERS; w++)
                        count += conflicts(m, i, writer, values[i]) && w != writer &&
                                 m->owns_value[i][w];
        return count;
}

static json_t *apply_step(const struct shape *s, struct model *m, json_t *live, unsigned writer,
                const unsigned values[KEYS], bool force, unsigned step) {
        const struct kind *k = kind(s->group, s->plural);
        char name[8];
        struct apply_options o = options_of(name, writer, step);
        _cleanup_json_ json_t *config = object_of(s, values);
        _cleanup_free_ char *text = json_dumps(config, 0);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_decoded_ struct decoded d = {0}, again = {0};
        size_t expected = conflict_count(m, writer, values);
        int r;

        o.force = force;
        r = apply_run(k, text, strlen(text), live, &o, &d, &p);
        if (model_apply(m, s, writer, values, force)) {
                assert_true(r < 0);
                assert_int_equal(p.code, 409);
                assert_int_equal(json_array_size(p.causes), expected);
                return live;
        }
        if (r < 0)
                fail_whole("%s by %s: %s", text, name, p.message);
        o.force = false;
        o.now_us += 500000000;
        assert_int_equal(apply_run(k, text, strlen(text), d.object, &o, &again, &p), 0);
        if (!json_equal(d.object, again.object)) { /* also its times */
                _cleanup_free_ char *was = json_dumps(live, 0), *a = json_dumps(d.object, 0),
                                    *b = json_dumps(again.object, 0);

                fail_whole("%s by %s%s again\nbefore: %s\nonce: %s\ntwice: %s", text, name,
                                force ? ", forced," : "", strempty(was), a, b);
        }
        json_decref(live);
        return TAKE_PTR(d.object);
}

static json_t *update_step(const struct shape *s, struct model *m, json_t *live, unsigned writer,
                const unsigned values[KEYS], unsigned step) {
        char name[8];
        struct apply_options o = options_of(name, writer, step);
        json_t *object = object_of(s, values),
               *had = (json_t *)json_at(live, "metadata.managedFields");

        if (had)
                assert_int_equal(json_set_at(object, "metadata.managedFields", json_deep_copy(had)),
                                0);
        assert_int_equal(managed_update(kind(s->group, s->plural), live, object, &o), 0);
        model_update(m, writer, values);
        json_decref(live);
        return object;
}

static void check_sequence(const struct shape *s, uint64_t seed) {
        struct dice d = {.state = seed};
        struct model m = {0};
        json_t *live = NULL;

        for (unsigned step = 0; step < STEPS; step++) {
                unsigned writer = (unsigned)roll(&d, WRITERS), values[KEYS];
                bool any = false;

                for (unsigned i = 0; i < KEYS; i++) {
                        values[i] = roll(&d, 2) ? (unsigned)roll(&d, VALUES) + 1 : 0;
                        /* What others have is often applied as it is. */
                        if (values[i] > 0 && m.values[i] > 0 && roll(&d, 2))
                                values[i] = m.values[i];
                        any |= values[i] > 0;
                }
                if (!any || (!live && writer >= APPLIERS))
                        continue;
                live = writer < APPLIERS ? apply_step(s, &m, live, writer, values, roll(&d, 3) == 0,
                                                           step)
                                         : update_step(s, &m, live, writer, values, step);
                if (live)
                        check_object(s, &m, live, seed, step);
        }
        json_decref(live);
}

static void test_sequences(void **state) {
        struct rounds r = {0};

        while (next_round(&r, 100))
                for (size_t i = 0; i < ELEMENTS(shapes); i++)
                        check_sequence(&shapes[i], r.seed);
}

int main(void) {
        static const struct CMUnitTest tests[] = {cmocka_unit_test(test_sequences)};

        return cmocka_run_group_tests(tests, setup, teardown);
}
