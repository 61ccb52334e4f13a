/* Events in their two versions: what each is held to, conversion there and back, what may change
 * through events.k8s.io/v1, selectors and cells. */
#include "tests/unit/unit.h"

#include "kapid/pipeline/convert.h"
#include "kapid/table/cells.h"
#include "lib/buf.h"
#include "lib/selector.h"
#include "tests/unit/kapid-create.h"

#define META "'metadata':{'name':'e','namespace':'d'}"
#define ABOUT "{'kind':'Pod','name':'p','namespace':'d'}"
#define TIME "'eventTime':'2024-01-02T03:04:05.123456Z'"
#define REPORTER "'reportingController':'a.org/c','reportingInstance':'i'"
#define WHY "'action':'A','reason':'R','type':'Normal'"
#define NEW(more) "{" META "," TIME "," REPORTER "," WHY ",'regarding':" ABOUT more "}"
#define SERIES "'series':{'count':2,'lastObservedTime':'2024-01-02T03:04:06.000000Z'}"
#define OLD(more) "{" META ",'involvedObject':" ABOUT more "}"
#define HUNDRED \
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567" \
        "890123456789"
#define THOUSAND HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED

static void test_refusals_of_new(void **state) {
        static const struct {
                const char *object, *expected;
        } cases[] = {
                        {"{" META "," REPORTER "," WHY ",'regarding':" ABOUT "}",
                                        "eventTime: Required value"},
                        {"{" META "," TIME ",'reportingInstance':'i'," WHY ",'regarding':" ABOUT
                         "}",
                                        "reportingController: Required value"},
                        {"{" META "," TIME
                         ",'reportingController':'a b','reportingInstance':'i'," WHY
                         ",'regarding':" ABOUT "}",
                                        "reportingController: Invalid value: 'a b'"},
                        {"{" META "," TIME ",'reportingController':'c'," WHY ",'regarding':" ABOUT
                         "}",
                                        "reportingInstance: Required value"},
                        {"{" META "," TIME ",'reportingController':'c','reportingInstance':"
                         "'" HUNDRED HUNDRED "'," WHY ",'regarding':" ABOUT "}",
                                        "reportingInstance: Invalid value: '': can have at most 128 "
                                        "characters"},
                        {"{" META "," TIME "," REPORTER ",'reason':'R','type':'Normal',"
                         "'regarding':" ABOUT "}",
                                        "action: Required value"},
                        {"{" META "," TIME "," REPORTER ",'action':'A','type':'Normal',"
                         "'regarding':" ABOUT "}",
                                        "reason: Required value"},
                        {"{" META "," TIME "," REPORTER ",'action':'A','reason':'R',"
                         "'type':'Odd','regarding':" ABOUT "}",
                                        "type: Invalid value: '': has invalid value: Odd"},
                        {"{" META "," TIME "," REPORTER "," WHY ",'regarding':{'kind':'Node'}}",
                                        "involvedObject.namespace: Invalid value: '': does not "
                                        "match event.namespace"},
                        {NEW(",'note':'" THOUSAND HUNDRED "'"),
                                        "message: Invalid value: '': can have at most 1024 "
                                        "characters"},
                        {NEW(",'series':{'count':1,'lastObservedTime':"
                             "'2024-01-02T03:04:06.000000Z'}"),
                                        "series.count: Invalid value: '': should be at least 2"},
                        {NEW(",'series':{'count':2}"), "series.lastObservedTime: Required value"},
                        {NEW(",'deprecatedCount':1"),
                                        "count: Invalid value: '': needs to be unset"},
                        {NEW(",'deprecatedSource':{'host':'h'}"),
                                        "source: Invalid value: '': needs"},
                        {NEW(",'deprecatedFirstTimestamp':'2024-01-02T03:04:05Z'"),
                                        "firstTimestamp: Invalid value: '': needs to be unset"},
                        {NEW(",'deprecatedLastTimestamp':'2024-01-02T03:04:05Z'"),
                                        "lastTimestamp: Invalid value: '': needs to be unset"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                create_fails(kind("events.k8s.io", "events"), cases[i].object, cases[i].expected);
}

/* core/v1 takes what is old; what has an eventTime is held to more, by the name of its field. */
static void test_core(void **state) {
        static const char *const taken[] = {OLD(""), OLD(",'count':7,'source':{'component':'k'}"),
                        OLD("," TIME ",'reportingComponent':'c','reportingInstance':'i'," WHY),
                        ("{'metadata':{'name':'e','namespace':'default'},'involvedObject':{'kind':"
                         "'Node','name':'n'}}")};
        const struct kind *k = kind("", "events");

        for (size_t i = 0; i < ELEMENTS(taken); i++)
                json_decref(create(k, taken[i], NULL));
        create_fails(k, OLD("," TIME ",'reportingInstance':'i'," WHY),
                        "reportingComponent: Required value");
        create_fails(k, "{" META ",'involvedObject':{'kind':'Pod','namespace':'other'}}",
                        "involvedObject.namespace: Invalid value: 'other': does not match");
        create_fails(k, "{" META ",'involvedObject':{'kind':'Node'}}",
                        "involvedObject.namespace: Invalid value: '': does not match");
}

static void test_there_and_back(void **state) {
        static const char text[] = NEW(",'note':'n','deprecatedCount':0," SERIES
                                       ",'related':{'kind':'Node','name':'n'}");
        const struct kind *newer = kind("events.k8s.io", "events"), *core = kind("", "events");
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *made = create(newer, text, NULL), *stored = NULL, *as_core = NULL,
                              *back = NULL;

        assert_int_equal(json_set_str(made, "apiVersion", "events.k8s.io/v1"), 0);
        assert_int_equal(kind_store_form(newer, made, &stored, &p), 0);
        assert_json(json_object_get(stored, "apiVersion"), "'v1'");
        assert_json(json_object_get(stored, "involvedObject"), ABOUT);
        assert_json(json_object_get(stored, "message"), "'n'");
        assert_json(json_object_get(stored, "reportingComponent"), "'a.org/c'");
        assert_null(json_object_get(stored, "regarding"));
        assert_int_equal(object_as(stored, core, &as_core, &p), 0);
        assert_ptr_equal(as_core, stored);
        assert_int_equal(object_as(stored, newer, &back, &p), 0);
        assert_true(json_equal(back, made));
        assert_string_equal(newer->storage_prefix, core->storage_prefix);
        assert_int_equal(newer->ttl_s, core->ttl_s);
}

/* An empty text of core/v1 is none in the other version, and comes back. */
static void test_empty(void **state) {
        const struct kind *newer = kind("events.k8s.io", "events");
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *old = decode(kind("", "events"),
                                              OLD(",'reportingComponent':'','reportingInstance':"
                                                  "''")),
                              *as_new = NULL, *back = NULL;

        assert_int_equal(json_set_str(old, "apiVersion", "v1"), 0);
        assert_int_equal(object_as(old, newer, &as_new, &p), 0);
        assert_null(json_object_get(as_new, "reportingController"));
        assert_null(json_object_get(as_new, "reportingInstance"));
        assert_int_equal(kind_store_form(newer, as_new, &back, &p), 0);
        assert_true(json_equal(back, old));
}

static char *update(const char *before, const char *after) {
        const struct kind *k = kind("events.k8s.io", "events");
        _cleanup_json_ json_t *old = decode(k, before), *object = decode(k, after);
        struct problem p = {0};

        assert_int_equal(json_set_str(old, "apiVersion", "events.k8s.io/v1"), 0);
        assert_int_equal(json_set_str(object, "apiVersion", "events.k8s.io/v1"), 0);
        (void)pipeline_validate_update(k, NULL, old, object, NULL, &p);
        char *message = p.message ? strdup(p.message) : strdup("");
        problem_done(&p);
        return message;
}

static void test_changes(void **state) {
        static const struct {
                const char *before, *after, *expected; /* "": it is taken */
        } cases[] = {
                        {NEW(""), NEW("," SERIES), ""},
                        {NEW("," SERIES), NEW("," SERIES), ""},
                        {NEW(""), NEW(",'note':'new'"),
                                        "message: Invalid value: \"new\": field is "
                                        "immutable"},
                        {NEW(",'note':'old'"), NEW(""),
                                        "message: Invalid value: null: field is "
                                        "immutable"},
                        {NEW(""), NEW(",'related':{'kind':'Pod'}"), "related: Invalid value"},
                        {NEW(""), NEW(",'deprecatedCount':3"), "count: Invalid value: 3: field is"},
                        {NEW(""),
                                        NEW(",'series':{'count':1,'lastObservedTime':"
                                            "'2024-01-02T03:04:06.000000Z'}"),
                                        "series.count: Invalid value"},
                        /* One that core/v1 made may get a series. */
                        {"{" META ",'regarding':" ABOUT ",'deprecatedCount':4}",
                                        "{" META ",'regarding':" ABOUT
                                        ",'deprecatedCount':4," SERIES "}",
                                        ""},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *message = update(cases[i].before, cases[i].after);

                if (*cases[i].expected ? !strstr(message, cases[i].expected) : *message)
                        fail_msg("case %zu\n got: %s\nwant: %s", i, message, cases[i].expected);
        }
}

static void test_selectors(void **state) {
        static const struct {
                const char *group, *selector;
                int r;
        } cases[] = {
                        {"", "involvedObject.name=p,reportingComponent=c", 0},
                        {"", "source=kubelet", 0},
                        {"", "regarding.name=p", -EINVAL},
                        {"events.k8s.io", "regarding.name=p,regarding.fieldPath=x", 0},
                        {"events.k8s.io", "reportingController=c,reason=R,type=Normal", 0},
                        {"events.k8s.io", "involvedObject.name=p", -EINVAL},
                        {"events.k8s.io", "source=kubelet", -EINVAL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                struct field_selector *s = NULL;

                assert_int_equal(field_selector_parse(cases[i].selector, &s, &p), 0);
                assert_int_equal(kind_check_field_selector(kind(cases[i].group, "events"), s, &p),
                                cases[i].r);
                field_selector_free(s);
        }
}

/* Both versions of an Event have the same row. */
static void test_cells(void **state) {
        static const char *const names[] = {"event-count", "event-first-seen", "event-last-seen",
                        "event-object", "event-source"};
        static const char *const core[] = {
                        OLD(",'count':7,'firstTimestamp':'2023-11-14T22:00:00Z','lastTimestamp':"
                            "'2023-11-14T22:10:00Z','source':{'component':'k','host':'h'}"),
                        OLD("," TIME ",'reportingComponent':'c','reportingInstance':'i'," SERIES)};

        for (size_t o = 0; o < ELEMENTS(core); o++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *a = decode(kind("", "events"), core[o]), *b = NULL;

                assert_int_equal(json_set_str(a, "apiVersion", "v1"), 0);
                assert_int_equal(object_as(a, kind("events.k8s.io", "events"), &b, &p), 0);
                for (size_t i = 0; i < ELEMENTS(names); i++) {
                        const char *reads;
                        json_t *(*cell)(const json_t *, uint64_t) = cells_find(names[i], &reads);
                        _cleanup_json_ json_t *x = cell(a, context.now_us),
                                              *y = cell(b, context.now_us);

                        if (!json_equal(x, y))
                                fail_msg("%s differs", names[i]);
                }
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_refusals_of_new),
                        cmocka_unit_test(test_core),
                        cmocka_unit_test(test_there_and_back),
                        cmocka_unit_test(test_empty),
                        cmocka_unit_test(test_changes),
                        cmocka_unit_test(test_selectors),
                        cmocka_unit_test(test_cells),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
