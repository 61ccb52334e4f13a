/* ConversionReview: the message, what is taken of an answer, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kapid/conversion/review.h"
#include "kapid/webhooks/config.h"
#include "tests/unit/kapid-cases.h"

#define REVIEW "'apiVersion':'apiextensions.k8s.io/v1','kind':'ConversionReview'"
#define FINE "'uid':'u','result':{'status':'Success'}"

static json_t *original(void) {
        return parse("{'apiVersion':'e.com/v1','kind':'A','metadata':{'name':'a','namespace':'d',"
                     "'uid':'1','generation':2,'labels':{'l':'1'},'finalizers':['f/g']},"
                     "'spec':{'x':1}}");
}

static int ask(const char *answer, json_t **ret, char **ret_why) {
        _cleanup_free_ char *text = quoted(answer);
        _cleanup_json_ json_t *object = original();
        const struct conversion_question q = {.version = "v1",
                        .uid = "u",
                        .to_api_version = "e.com/v2",
                        .objects = &object,
                        .count = 1};

        return conversion_answer(&q, text, strlen(text), ret, ret_why);
}

static void test_message(void **state) {
        _cleanup_json_ json_t *object = original(), *review = NULL;

        review = conversion_review("v1", "u", "e.com/v2", &object, 1);
        assert_string_equal(json_str_or(review, "apiVersion", ""), "apiextensions.k8s.io/v1");
        assert_string_equal(json_str_or(review, "kind", ""), "ConversionReview");
        assert_string_equal(json_str_or(review, "request.uid", ""), "u");
        assert_string_equal(json_str_or(review, "request.desiredAPIVersion", ""), "e.com/v2");
        assert_true(json_equal(json_array_get(json_at(review, "request.objects"), 0), object));
}

static void test_version(void **state) {
        static const struct {
                const char *list, *version;
        } cases[] = {{"['v1']", "v1"}, {"['v9','v1beta1','v1']", "v1beta1"}, {"['v2']", NULL},
                        {"[]", NULL}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *list = parse(cases[i].list);
                const char *version = webhook_review_version(list);

                assert_string_equal(strempty(version), strempty(cases[i].version));
        }
}

/* Labels and annotations are the webhook's, all other metadata the object's. */
static void test_taken(void **state) {
        _cleanup_json_ json_t *made = NULL;
        _cleanup_free_ char *why = NULL;

        assert_int_equal(ask("{" REVIEW ",'response':{" FINE ",'convertedObjects':[{'apiVersion':"
                             "'e.com/v2','kind':'A','metadata':{'name':'a','namespace':'d','uid':"
                             "'1','generation':9,'annotations':{'n':'2'},'finalizers':[]},"
                             "'spec':{'y':1}}]}}",
                                         &made, &why),
                        0);
        assert_json(made, "{'apiVersion':'e.com/v2','kind':'A','metadata':{'name':'a','namespace':"
                          "'d','uid':'1','generation':2,'annotations':{'n':'2'},'finalizers':"
                          "['f/g']},'spec':{'y':1}}");
}

static void test_refused(void **state) {
        static const struct {
                const char *answer, *why;
        } cases[] = {
                        {"x", "its answer is not JSON"},
                        {"{}", "expected webhook response of apiextensions.k8s.io/v1, "
                               "Kind=ConversionReview, got , Kind="},
                        {"{" REVIEW "}", "no response provided"},
                        {"{" REVIEW ",'response':{'uid':'z'}}",
                                        "expected response.uid=\"u\", got \"z\""},
                        {"{" REVIEW ",'response':{'uid':'u','result':{'status':'Failed',"
                         "'message':'no'}}}",
                                        "no"},
                        {"{" REVIEW ",'response':{'uid':'u','result':{'status':'Odd'}}}",
                                        "response.result.status was 'Odd', not 'Success'"},
                        {"{" REVIEW ",'response':{" FINE "}}", "returned 0 objects, expected 1"},
                        {"{" REVIEW ",'response':{" FINE ",'convertedObjects':[1]}}",
                                        "returned invalid converted object at index 0: must be an "
                                        "object with metadata"},
                        {"{" REVIEW ",'response':{" FINE ",'convertedObjects':[{'apiVersion':"
                         "'e.com/v2','kind':'B','metadata':{}}]}}",
                                        "returned invalid converted object at index 0: must have "
                                        "the same kind: A != B"},
                        {"{" REVIEW ",'response':{" FINE ",'convertedObjects':[{'apiVersion':"
                         "'e.com/v2','kind':'A','metadata':{'name':'a','namespace':'d','uid':'7'}}"
                         "]}}",
                                        "returned invalid converted object at index 0: must have "
                                        "the same UID: 1 != 7"},
                        {"{" REVIEW ",'response':{" FINE ",'convertedObjects':[{'apiVersion':"
                         "'e.com/v3','kind':'A','metadata':{'name':'a','namespace':'d','uid':'1'}}"
                         "]}}",
                                        "returned invalid converted object at index 0: expected "
                                        "version e.com/v2, got e.com/v3"},
                        {"{" REVIEW ",'response':{" FINE ",'convertedObjects':[{'apiVersion':"
                         "'e.com/v2','kind':'A','metadata':{'name':'a','namespace':'d','uid':'1',"
                         "'labels':{'a':1}}}]}}",
                                        "returned invalid converted object at index 0: its labels "
                                        "are not a map of strings"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *made = NULL;
                _cleanup_free_ char *why = NULL;

                if (ask(cases[i].answer, &made, &why) != -EINVAL || made ||
                                !streq(why, cases[i].why))
                        fail_msg("%s: %s", cases[i].answer, strempty(why));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_message),
                        cmocka_unit_test(test_version),
                        cmocka_unit_test(test_taken),
                        cmocka_unit_test(test_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
