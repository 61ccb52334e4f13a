/* Conversion, by every verb: a kind of two versions whose convert renames a field and refuses one
 * value. */
#include "tests/unit/unit.h"

#include "kapid/pipeline/convert.h"
#include "kapid/pipeline/forms.h"
#include "kapid/strategy/strategy.h"
#include "kapid/verbs/internal.h"
#include "lib/object.h"
#include "tests/unit/fake-kapid.h"

static struct fake_kapid *f;

static int setup(void **state) {
        f = fake_kapid_new();
        return 0;
}

static int teardown(void **state) {
        f = fake_kapid_free(f);
        return 0;
}

static void put(const char *key, const char *text) {
        _cleanup_free_ char *s = fake_quoted(text);

        fake_kapid_put(f, key, s);
}

static int ask(struct exchange *x) {
        exchange(f, x);
        return x->code;
}

static json_t *answer_of(const struct exchange *x) {
        json_t *v = json_loads(strempty(x->answer.data), 0, NULL);

        if (!v)
                fail_msg("not JSON: %s", strempty(x->answer.data));
        return v;
}

/* --- conversion: stored in v1 with spec.size, shown in v2 with spec.magnitude --- */

static int convert_gadget(
                const struct kind *k, const char *to_version, json_t *object, struct problem *p) {
        json_t *spec = json_object_get(object, "spec");
        const char *from = streq(to_version, "v2") ? "size" : "magnitude",
                   *to = streq(to_version, "v2") ? "magnitude" : "size";
        _cleanup_json_ json_t *v = json_incref(json_object_get(spec, from));

        if (!v)
                return 0;
        if (streq(strempty(json_string_value(v)), "odd"))
                return problem_set(p, EINVAL, 0, NULL, "an odd size has no other form");
        json_object_del(spec, from);
        return json_object_set(spec, to, v) < 0 ? -ENOMEM : 0;
}

static const struct kind_strategy gadget_strategy = {.convert = convert_gadget};

#define GADGETS(version) "/apis/test.example.com/" version "/namespaces/default/gadgets"
#define GADGET_KEY "/registry/test.example.com/gadgets/default/"

static int setup_gadgets(void **state) {
        static const char *const versions[] = {"v1", "v2"};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *crd = NULL;

        setup(state);
        crd = fake_json("{'metadata':{'name':'gadgets.test.example.com'},'spec':{'group':"
                        "'test.example.com','scope':'Namespaced','names':{'plural':'gadgets','kind':"
                        "'Gadget'},'versions':[{'name':'v1','served':true,'storage':true,"
                        "'selectableFields':[{'jsonPath':'.spec.size'}],'schema':{"
                        "'openAPIV3Schema':{'type':'object','properties':{'spec':{'type':'object',"
                        "'properties':{'size':{'type':'string'},'other':{'type':'string'}}}}}}},"
                        "{'name':'v2','served':true,'storage':false,"
                        "'selectableFields':[{'jsonPath':'.spec.magnitude'}],'schema':{"
                        "'openAPIV3Schema':{'type':'object','properties':{'spec':{'type':'object',"
                        "'properties':{'magnitude':{'type':'string'},'other':{'type':'string'},"
                        "'unit':{'type':'string','default':'m'}}}}}}}]}}");
        if (kind_registry_add_crd(f->api.kinds, crd, &p) < 0)
                fail_msg("%s", strempty(p.message));
        for (size_t i = 0; i < ELEMENTS(versions); i++)
                ((struct kind *)kind_registry_find(
                                 f->api.kinds, "test.example.com", versions[i], "gadgets"))
                                ->strategy = &gadget_strategy;
        return 0;
}

static void put_gadget(const char *name, const char *size) {
        _cleanup_free_ char *key = strformat(GADGET_KEY "%s", name),
                            *text = strformat("{'apiVersion':'test.example.com/v1','kind':"
                                              "'Gadget','metadata':{'name':'%s','namespace':"
                                              "'default','uid':'u-%s'},'spec':{'size':'%s'}}",
                                            name, name, size);

        put(key, text);
}

static json_t *stored_gadget(const char *name) {
        _cleanup_free_ char *key = strformat(GADGET_KEY "%s", name);
        const char *text = fake_kapid_stored(f, key);

        return text ? json_loads(text, 0, NULL) : NULL;
}

/* The refusal as every verb answers it. */
static void assert_refused(const struct exchange *x) {
        _cleanup_json_ json_t *v = answer_of(x);

        if (x->code != 500)
                fail_msg("%s %s: %d %s", x->method, x->path, x->code, strempty(x->answer.data));
        assert_string_equal(json_str_or(v, "reason", ""), "InternalError");
        assert_non_null(strstr(json_str_or(v, "message", ""), "an odd size has no other form"));
        assert_non_null(strstr(json_str_or(v, "message", ""), "gadgets.test.example.com \"b\""));
}

static void test_get_converts(void **state) {
        _cleanup_exchange_ struct exchange v1 = {.method = "GET", .path = GADGETS("v1") "/a"};
        _cleanup_exchange_ struct exchange v2 = {.method = "GET", .path = GADGETS("v2") "/a"};
        _cleanup_exchange_ struct exchange odd1 = {.method = "GET", .path = GADGETS("v1") "/b"};
        _cleanup_exchange_ struct exchange odd2 = {.method = "GET", .path = GADGETS("v2") "/b"};
        _cleanup_json_ json_t *one = NULL, *two = NULL;

        put_gadget("a", "3");
        put_gadget("b", "odd");
        assert_int_equal(ask(&v1), 200);
        one = answer_of(&v1);
        assert_string_equal(json_str_or(one, "spec.size", ""), "3");
        assert_null(json_at(one, "spec.unit"));
        assert_int_equal(ask(&v2), 200);
        two = answer_of(&v2);
        assert_string_equal(object_api_version(two), "test.example.com/v2");
        assert_string_equal(json_str_or(two, "spec.magnitude", ""), "3");
        assert_null(json_at(two, "spec.size"));
        /* The defaults of the version that was asked for are for what is written in it. */
        assert_null(json_at(two, "spec.unit"));
        assert_string_equal(json_str_or(two, "metadata.resourceVersion", ""),
                        json_str_or(one, "metadata.resourceVersion", "x"));
        assert_int_equal(ask(&odd1), 200);
        ask(&odd2);
        assert_refused(&odd2);
}

static void test_form_is_kept(void **state) {
        const struct kind *two =
                        kind_registry_find(f->api.kinds, "test.example.com", "v2", "gadgets");
        _cleanup_problem_ struct problem p = {0};
        struct item *it, *form, *again;

        put_gadget("a", "3");
        it = cache_find(caches_get(f->api.caches, two->storage_prefix), "default/a");
        assert_non_null(it);
        assert_int_equal(item_as(it, two, &form, &p), 0);
        assert_ptr_not_equal(form, it);
        assert_int_equal(item_as(it, two, &again, &p), 0);
        assert_ptr_equal(form, again);
        assert_int_equal(item_revision(form), item_revision(it));
        /* The form's own form is itself. */
        assert_int_equal(item_as(form, two, &again, &p), 0);
        assert_ptr_equal(form, again);
}

static void test_list_converts(void **state) {
        _cleanup_exchange_ struct exchange v2 = {.method = "GET", .path = GADGETS("v2")};
        _cleanup_exchange_ struct exchange table = {
                        .method = "GET", .path = GADGETS("v2"), .accept_table = "v1"};
        _cleanup_exchange_ struct exchange selected = {.method = "GET",
                        .path = GADGETS("v2"),
                        .query = {"fieldSelector", "spec.magnitude=4"}};
        _cleanup_exchange_ struct exchange odd = {.method = "GET", .path = GADGETS("v2")};
        _cleanup_exchange_ struct exchange odd_table = {
                        .method = "GET", .path = GADGETS("v2"), .accept_table = "v1"};
        _cleanup_exchange_ struct exchange odd_selected = {.method = "GET",
                        .path = GADGETS("v2"),
                        .query = {"fieldSelector", "spec.magnitude=4"}};
        _cleanup_exchange_ struct exchange snapshot = {.method = "GET",
                        .path = GADGETS("v2"),
                        .query = {"resourceVersion", "3", "resourceVersionMatch", "Exact"}};
        _cleanup_exchange_ struct exchange stored = {.method = "GET", .path = GADGETS("v1")};
        _cleanup_json_ json_t *all = NULL, *some = NULL;

        put_gadget("a", "3");
        put_gadget("c", "4");
        assert_int_equal(ask(&v2), 200);
        all = answer_of(&v2);
        assert_int_equal(json_array_size(json_at(all, "items")), 2);
        assert_string_equal(
                        json_str_or(json_array_get(json_at(all, "items"), 1), "spec.magnitude", ""),
                        "4");
        assert_int_equal(ask(&table), 200);
        assert_int_equal(ask(&selected), 200);
        some = answer_of(&selected);
        assert_int_equal(json_array_size(json_at(some, "items")), 1);
        /* One that refuses: the list fails, and nothing is left out silently. */
        put_gadget("b", "odd");
        ask(&odd);
        assert_refused(&odd);
        ask(&odd_table);
        assert_refused(&odd_table);
        ask(&odd_selected);
        assert_refused(&odd_selected);
        ask(&snapshot);
        assert_refused(&snapshot);
        assert_int_equal(ask(&stored), 200);
}

static void test_watch_converts(void **state) {
        _cleanup_exchange_ struct exchange x = {.method = "GET",
                        .path = GADGETS("v2"),
                        .query = {"watch", "1", "resourceVersion", "0"}};
        _cleanup_exchange_ struct exchange odd_initial = {.method = "GET",
                        .path = GADGETS("v2"),
                        .query = {"watch", "1", "resourceVersion", "0"}};

        put_gadget("a", "3");
        assert_int_equal(ask(&x), 200);
        assert_non_null(strstr(x.answer.data, "\"type\":\"ADDED\""));
        assert_non_null(strstr(x.answer.data, "\"magnitude\":\"3\""));
        put_gadget("a", "5");
        assert_non_null(strstr(x.answer.data, "\"type\":\"MODIFIED\""));
        assert_non_null(strstr(x.answer.data, "\"magnitude\":\"5\""));
        fake_kapid_put(f, GADGET_KEY "a", NULL);
        assert_non_null(strstr(x.answer.data, "\"type\":\"DELETED\""));
        assert_null(strstr(x.answer.data, "\"size\""));
        assert_false(x.ended);
        /* One that refuses: the reader gets the reason, and the watch ends. */
        put_gadget("b", "odd");
        assert_non_null(strstr(x.answer.data, "\"type\":\"ERROR\""));
        assert_non_null(strstr(x.answer.data, "an odd size has no other form"));
        assert_true(x.ended);
        assert_int_equal(ask(&odd_initial), 200);
        assert_non_null(strstr(odd_initial.answer.data, "\"type\":\"ERROR\""));
        assert_true(odd_initial.ended);
}

static void test_writes_convert(void **state) {
        _cleanup_exchange_ struct exchange create = {.method = "POST",
                        .path = GADGETS("v2"),
                        .body = "{\"apiVersion\":\"test.example.com/v2\",\"kind\":\"Gadget\","
                                "\"metadata\":{\"name\":\"n\"},\"spec\":{\"magnitude\":\"1\"}}"};
        _cleanup_exchange_ struct exchange patch = {.method = "PATCH",
                        .path = GADGETS("v2") "/n",
                        .body = "{\"spec\":{\"magnitude\":\"2\"}}",
                        .content_type = "application/merge-patch+json"};
        _cleanup_exchange_ struct exchange same = {.method = "PATCH",
                        .path = GADGETS("v1") "/n",
                        .body = "{\"spec\":{\"size\":\"2\"}}",
                        .content_type = "application/merge-patch+json"};
        _cleanup_exchange_ struct exchange delete = {
                        .method = "DELETE", .path = GADGETS("v2") "/n"};
        _cleanup_json_ json_t *made = NULL, *first = NULL, *second = NULL, *third = NULL,
                              *changed = NULL;
        _cleanup_free_ char *body = NULL;
        unsigned txns;

        assert_int_equal(ask(&create), 201);
        made = answer_of(&create);
        assert_string_equal(json_str_or(made, "spec.magnitude", ""), "1");
        assert_string_equal(json_str_or(made, "spec.unit", ""), "m");
        first = stored_gadget("n");
        assert_string_equal(object_api_version(first), "test.example.com/v1");
        assert_string_equal(json_str_or(first, "spec.size", ""), "1");
        assert_null(json_at(first, "spec.magnitude"));
        assert_int_equal(ask(&patch), 200);
        second = stored_gadget("n");
        assert_string_equal(json_str_or(second, "spec.size", ""), "2");
        txns = f->txns;
        assert_int_equal(ask(&same), 200); /* nothing changed: nothing written */
        assert_int_equal(f->txns, txns);
        /* PUT of what a PATCH answered, with another value. */
        changed = answer_of(&patch);
        json_set_str(changed, "spec.magnitude", "7");
        body = json_text(changed);
        _cleanup_exchange_ struct exchange update = {
                        .method = "PUT", .path = GADGETS("v2") "/n", .body = body};
        assert_int_equal(ask(&update), 200);
        third = stored_gadget("n");
        assert_string_equal(json_str_or(third, "spec.size", ""), "7");
        assert_int_equal(ask(&delete), 200);
        assert_null(fake_kapid_stored(f, GADGET_KEY "n"));
}

/* Stored when another version was the storage version: each write moves the object to the one that
 * is now. */
static void test_storage_version_changed(void **state) {
        _cleanup_exchange_ struct exchange get = {.method = "GET", .path = GADGETS("v1") "/o"};
        _cleanup_exchange_ struct exchange list = {.method = "GET", .path = GADGETS("v1")};
        _cleanup_exchange_ struct exchange patch = {.method = "PATCH",
                        .path = GADGETS("v1") "/o",
                        .body = "{\"apiVersion\":\"test.example.com/v1\","
                                "\"spec\":{\"other\":\"x\"}}",
                        .content_type = "application/merge-patch+json"};
        _cleanup_json_ json_t *one = NULL, *all = NULL, *stored = NULL;

        put(GADGET_KEY "o",
                        "{'apiVersion':'test.example.com/v2','kind':'Gadget','metadata':{'name':'o'"
                        ",'namespace':'default','uid':'u-o'},'spec':{'magnitude':'5'}}");
        assert_int_equal(ask(&get), 200);
        one = answer_of(&get);
        assert_string_equal(object_api_version(one), "test.example.com/v1");
        assert_string_equal(json_str_or(one, "spec.size", ""), "5");
        assert_int_equal(ask(&list), 200);
        all = answer_of(&list);
        assert_string_equal(object_api_version(json_array_get(json_at(all, "items"), 0)),
                        "test.example.com/v1");
        assert_int_equal(ask(&patch), 200);
        stored = stored_gadget("o");
        assert_string_equal(object_api_version(stored), "test.example.com/v1");
        assert_string_equal(json_str_or(stored, "spec.size", ""), "5");
        assert_string_equal(json_str_or(stored, "spec.other", ""), "x");
        assert_null(json_at(stored, "spec.magnitude"));
}

static void test_writes_are_refused(void **state) {
        /* To the storage version: what was asked for cannot be stored. */
        _cleanup_exchange_ struct exchange create = {.method = "POST",
                        .path = GADGETS("v2"),
                        .body = "{\"apiVersion\":\"test.example.com/v2\",\"kind\":\"Gadget\","
                                "\"metadata\":{\"name\":\"b\"},\"spec\":{\"magnitude\":\"odd\"}}"};
        /* From it: the stored object cannot be shown. */
        _cleanup_exchange_ struct exchange patch = {.method = "PATCH",
                        .path = GADGETS("v2") "/b",
                        .body = "{\"spec\":{\"magnitude\":\"2\"}}",
                        .content_type = "application/merge-patch+json"};
        _cleanup_exchange_ struct exchange update = {.method = "PUT",
                        .path = GADGETS("v2") "/b",
                        .body = "{\"apiVersion\":\"test.example.com/v2\",\"kind\":\"Gadget\","
                                "\"metadata\":{\"name\":\"b\",\"resourceVersion\":\"9\"}}"};
        _cleanup_exchange_ struct exchange delete = {
                        .method = "DELETE", .path = GADGETS("v2") "/b"};
        _cleanup_exchange_ struct exchange collection = {.method = "DELETE", .path = GADGETS("v2")};
        _cleanup_exchange_ struct exchange stored = {
                        .method = "DELETE", .path = GADGETS("v1") "/b"};

        ask(&create);
        assert_refused(&create);
        assert_null(fake_kapid_stored(f, GADGET_KEY "b"));
        put_gadget("b", "odd");
        ask(&patch);
        assert_refused(&patch);
        ask(&update);
        assert_refused(&update);
        ask(&delete);
        assert_refused(&delete);
        ask(&collection);
        assert_refused(&collection);
        assert_non_null(fake_kapid_stored(f, GADGET_KEY "b"));
        /* The storage version needs no conversion. */
        assert_int_equal(ask(&stored), 200);
        assert_null(fake_kapid_stored(f, GADGET_KEY "b"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(test_get_converts, setup_gadgets, teardown),
                        cmocka_unit_test_setup_teardown(test_form_is_kept, setup_gadgets, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_list_converts, setup_gadgets, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_watch_converts, setup_gadgets, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_storage_version_changed, setup_gadgets, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_writes_convert, setup_gadgets, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_writes_are_refused, setup_gadgets, teardown),
        };

        return cmocka_run_group_tests_name("kapid's conversion of kinds", tests, NULL, NULL);
}
