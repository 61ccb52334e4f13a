/* Which webhooks a request is for; messages to them, their answers, and their patches. No network.
 */
#include "tests/unit/unit.h"

#include "kapid/wait-shares.h"
#include "kapid/webhooks/patched.h"
#include "kapid/webhooks/review.h"
#include "tests/unit/kapid-cases.h"

#define COMMON \
        "'name': 'w.example.com', 'sideEffects': 'None', 'admissionReviewVersions': ['v2','v1'], " \
        "'clientConfig': {'url': 'https://h/x'}"

/* A configuration with one webhook. */
static struct webhook_config *config(enum webhook_type type, const char *more) {
        _cleanup_free_ char *text = strformat(
                        "{'metadata': {'name': 'c'}, 'webhooks': [{" COMMON ", %s}]}", more);
        _cleanup_json_ json_t *object = parse(text);
        _cleanup_problem_ struct problem p = {0};
        struct webhook_config *c = NULL;

        assert_int_equal(webhook_config_new(&c, type, object, &p), 0);
        assert_int_equal(c->count, 1);
        return c;
}

/* --- rules --- */

static const struct {
        const char *rule; /* operations, groups, versions, resources, and perhaps more */
        unsigned operation;
        const char *group, *plural, *subresource, *namespace;
        bool matches;
} rule_cases[] = {
                {"['CREATE'],[''],['v1'],['pods']", WEBHOOK_CREATE, "", "pods", "", "n", true},
                {"['CREATE'],[''],['v1'],['pods']", WEBHOOK_UPDATE, "", "pods", "", "n", false},
                {"['*'],[''],['v1'],['pods']", WEBHOOK_CONNECT, "", "pods", "exec", "n", false},
                {"['*'],[''],['v1'],['pods/exec']", WEBHOOK_CONNECT, "", "pods", "exec", "n", true},
                {"['*'],['*'],['*'],['*']", WEBHOOK_DELETE, "apps", "deployments", "", "n", true},
                {"['*'],['*'],['*'],['*']", WEBHOOK_UPDATE, "apps", "deployments", "status", "n",
                                false},
                {"['*'],['*'],['*'],['*/*']", WEBHOOK_UPDATE, "", "nodes", "status", "", true},
                {"['*'],['*'],['*'],['*/*']", WEBHOOK_UPDATE, "", "nodes", "", "", true},
                {"['*'],['*'],['*'],['*/scale']", WEBHOOK_UPDATE, "apps", "deployments", "scale",
                                "n", true},
                {"['*'],['*'],['*'],['*/scale']", WEBHOOK_UPDATE, "apps", "deployments", "status",
                                "n", false},
                {"['*'],['*'],['*'],['pods/*']", WEBHOOK_UPDATE, "", "pods", "", "n", true},
                {"['*'],['*'],['*'],['pods/*']", WEBHOOK_UPDATE, "", "services", "status", "n",
                                false},
                {"['*'],['*'],['*'],['pod']", WEBHOOK_CREATE, "", "pods", "", "n", false},
                {"['*'],['*'],['*'],['podsx']", WEBHOOK_CREATE, "", "pods", "", "n", false},
                {"['*'],['apps'],['*'],['pods']", WEBHOOK_CREATE, "", "pods", "", "n", false},
                {"['*'],[''],['v2'],['pods']", WEBHOOK_CREATE, "", "pods", "", "n", false},
                {"['*'],[''],['v1'],['pods'],'Namespaced'", WEBHOOK_CREATE, "", "pods", "", "n",
                                true},
                {"['*'],[''],['v1'],['pods'],'Cluster'", WEBHOOK_CREATE, "", "pods", "", "n",
                                false},
                {"['*'],[''],['v1'],['nodes'],'Cluster'", WEBHOOK_CREATE, "", "nodes", "", "",
                                true},
                {"['*'],[''],['v1'],['nodes'],'Namespaced'", WEBHOOK_CREATE, "", "nodes", "", "",
                                false},
                /* A Namespace's message names it as its namespace; it is cluster-scoped. */
                {"['*'],[''],['v1'],['namespaces'],'Cluster'", WEBHOOK_CREATE, "", "namespaces", "",
                                "n", true},
                {"['*'],[''],['v1'],['namespaces'],'Namespaced'", WEBHOOK_CREATE, "", "namespaces",
                                "", "n", false},
};

static char *rule_text(const char *list) {
        static const char *const keys[] = {
                        "operations", "apiGroups", "apiVersions", "resources", "scope"};
        _cleanup_free_ char *text = strformat("[%s]", list);
        _cleanup_json_ json_t *v = parse(text), *rule = json_object();

        for (size_t i = 0; i < json_array_size(v); i++)
                assert_int_equal(json_object_set(rule, keys[i], json_array_get(v, i)), 0);
        _cleanup_free_ char *json = json_text(rule);
        return strformat("'matchPolicy': 'Exact', 'rules': [%s]", json);
}

static void test_rules(void **state) {
        static const struct webhook_equivalents none = {0};

        for (size_t i = 0; i < ELEMENTS(rule_cases); i++) {
                _cleanup_free_ char *text = rule_text(rule_cases[i].rule);
                _cleanup_(webhook_config_unrefp) struct webhook_config *c =
                                config(WEBHOOK_VALIDATING, text);
                const struct kind *k = kind(rule_cases[i].group, rule_cases[i].plural);
                const struct webhook_request a = {.operation = rule_cases[i].operation,
                                .kind = k,
                                .sub = kind_subresource_find(k, rule_cases[i].subresource),
                                .namespace = rule_cases[i].namespace};
                bool is = webhook_match(&c->webhooks[0], &a, &none) != NULL;

                if (is != rule_cases[i].matches)
                        fail_msg("case %zu: %s", i, rule_cases[i].rule);
        }
}

/* --- selectors --- */

#define ANY_RULE \
        "'rules': [{'operations': ['*'], 'apiGroups': ['*'], 'apiVersions': ['*'], " \
        "'resources': ['*/*']}], "

static bool selected(const char *selectors, const char *group, const char *plural,
                const char *labels, const char *old_labels, const char *namespace_labels) {
        static const struct webhook_equivalents none = {0};
        _cleanup_free_ char *text = strformat(ANY_RULE "%s", selectors);
        _cleanup_(webhook_config_unrefp) struct webhook_config *c =
                        config(WEBHOOK_VALIDATING, text);
        _cleanup_free_ char *object = labels ? strformat("{'metadata': {'labels': %s}}", labels)
                                             : NULL,
                            *old = old_labels ? strformat("{'metadata': {'labels': %s}}",
                                                                old_labels)
                                              : NULL;
        _cleanup_json_ json_t *is = object ? parse(object) : NULL, *was = old ? parse(old) : NULL,
                              *ns = namespace_labels ? parse(namespace_labels) : NULL;
        const struct kind *k = kind(group, plural);
        const struct webhook_request a = {.operation = WEBHOOK_UPDATE,
                        .kind = k,
                        .namespace = k->namespaced || streq(plural, "namespaces") ? "n" : "",
                        .object = is,
                        .old_object = was,
                        .namespace_labels = ns};

        return webhook_match(&c->webhooks[0], &a, &none) != NULL;
}

static void test_selectors(void **state) {
        const char *objects = "'objectSelector': {'matchLabels': {'a': 'b'}}",
                   *spaces = "'namespaceSelector': {'matchLabels': {'a': 'b'}}",
                   *not_system = "'namespaceSelector': {'matchExpressions': [{'key': 'a', "
                                 "'operator': 'NotIn', 'values': ['b']}]}";

        assert_true(selected(objects, "", "pods", "{'a': 'b'}", NULL, NULL));
        assert_true(selected(objects, "", "pods", "{}", "{'a': 'b'}", NULL));
        assert_false(selected(objects, "", "pods", "{'a': 'c'}", "{}", NULL));
        /* Without an object there are no labels to be selected. */
        assert_false(selected(objects, "", "pods", NULL, NULL, NULL));
        assert_true(selected("'objectSelector': {}", "", "pods", NULL, NULL, NULL));
        assert_true(selected(spaces, "", "pods", "{}", NULL, "{'a': 'b'}"));
        assert_false(selected(spaces, "", "pods", "{'a': 'b'}", NULL, "{}"));
        assert_false(selected(not_system, "", "pods", "{}", NULL, "{'a': 'b'}"));
        assert_true(selected(not_system, "", "pods", "{}", NULL, NULL));
        /* What is in no namespace is not selected by namespaces. */
        assert_true(selected(spaces, "", "nodes", "{}", NULL, NULL));
        /* A Namespace is, by the labels that it gets. */
        assert_true(selected(spaces, "", "namespaces", "{'a': 'b'}", NULL, "{}"));
        assert_false(selected(spaces, "", "namespaces", "{}", NULL, "{'a': 'b'}"));
}

static void test_equivalent(void **state) {
        const struct kind *v2 = kind_registry_find(
                        registry, "autoscaling", "v2", "horizontalpodautoscalers");
        const char *rules = "'rules': [{'operations': ['*'], 'apiGroups': ['autoscaling'], "
                            "'apiVersions': ['v1'], 'resources': ['horizontalpodautoscalers']}]";
        struct webhook_equivalents all;
        const struct webhook_request a = {
                        .operation = WEBHOOK_CREATE, .kind = v2, .namespace = "n"};
        _cleanup_(webhook_config_unrefp) struct webhook_config *c = config(WEBHOOK_MUTATING, rules);

        webhook_equivalents_find(registry, v2, &all);
        const struct kind *as = webhook_match(&c->webhooks[0], &a, &all);
        assert_non_null(as);
        assert_string_equal(as->version, "v1");
        c->webhooks[0].exact = true;
        assert_null(webhook_match(&c->webhooks[0], &a, &all));
        webhook_equivalents_find(registry, kind("", "pods"), &all);
        assert_null(all.kinds[0]);
}

static void test_exempt(void **state) {
        assert_true(webhook_is_exempt(
                        kind("admissionregistration.k8s.io", "mutatingwebhookconfigurations")));
        assert_true(webhook_is_exempt(
                        kind("admissionregistration.k8s.io", "validatingwebhookconfigurations")));
        assert_false(webhook_is_exempt(kind("", "pods")));
}

/* --- answers --- */

#define HEAD \
        "{'apiVersion': 'admission.k8s.io/v1', 'kind': 'AdmissionReview', 'response': {'uid': 'U', "
/* [{"op":"remove","path":"/a"}] */
#define PATCH "'patch': 'W3sib3AiOiJyZW1vdmUiLCJwYXRoIjoiL2EifV0=', 'patchType': 'JSONPatch'"

static const struct {
        enum webhook_type type;
        const char *body;
        const char *why;    /* NULL: it is taken, */
        const char *denied; /* and this is the refusal; NULL: it is allowed */
        int code;
} answers[] = {
                {WEBHOOK_VALIDATING, HEAD "'allowed': true}}", NULL, NULL, 0},
                {WEBHOOK_VALIDATING, HEAD "'allowed': false}}", NULL,
                                "admission webhook \"w.example.com\" denied the request without "
                                "explanation",
                                400},
                {WEBHOOK_VALIDATING, HEAD "'x': 1}}", NULL,
                                "admission webhook \"w.example.com\" denied the request without "
                                "explanation",
                                400},
                {WEBHOOK_VALIDATING,
                                HEAD "'allowed': false, 'status': {'message': 'no', 'code': 422}}}",
                                NULL, "admission webhook \"w.example.com\" denied the request: no",
                                422},
                {WEBHOOK_VALIDATING,
                                HEAD "'allowed': false, 'status': {'reason': 'R', 'code': 9999}}}",
                                NULL, "admission webhook \"w.example.com\" denied the request: R",
                                500},
                {WEBHOOK_VALIDATING, HEAD "'allowed': false, 'status': 7}}", NULL,
                                "admission webhook \"w.example.com\" denied the request without "
                                "explanation",
                                400},
                {WEBHOOK_VALIDATING, HEAD "'allowed': 'yes'}}", "response.allowed is not a boolean",
                                NULL, 0},
                {WEBHOOK_MUTATING, HEAD "'allowed': true, " PATCH "}}", NULL, NULL, 0},
                {WEBHOOK_VALIDATING, HEAD "'allowed': true, " PATCH "}}",
                                "validating webhook may not return response.patch", NULL, 0},
                {WEBHOOK_MUTATING, HEAD "'allowed': true, 'patch': 'W10='}}",
                                "webhook returned response.patch but not response.patchType", NULL,
                                0},
                {WEBHOOK_MUTATING, HEAD "'allowed': true, 'patchType': 'JSONPatch'}}",
                                "webhook returned response.patchType but not response.patch", NULL,
                                0},
                {WEBHOOK_MUTATING, HEAD "'allowed': true, 'patch': 'W10=', 'patchType': 'Other'}}",
                                "webhook returned invalid response.patchType of \"Other\"", NULL,
                                0},
                {WEBHOOK_MUTATING,
                                HEAD "'allowed': true, 'patch': '%%', 'patchType': 'JSONPatch'}}",
                                "response.patch is not base64", NULL, 0},
                {WEBHOOK_MUTATING,
                                HEAD "'allowed': true, 'patch': 'e30=', 'patchType': 'JSONPatch'}}",
                                "response.patch is not a list of operations", NULL, 0},
                {WEBHOOK_MUTATING, HEAD "'allowed': true, 'patch': 5, 'patchType': 'JSONPatch'}}",
                                "response.patch is not a string", NULL, 0},
                {WEBHOOK_VALIDATING, "{}",
                                "expected webhook response of admission.k8s.io/v1, "
                                "Kind=AdmissionReview, got , Kind=",
                                NULL, 0},
                {WEBHOOK_VALIDATING,
                                "{'apiVersion': 'admission.k8s.io/v1', 'kind': 'AdmissionReview'}",
                                "webhook response was absent", NULL, 0},
                {WEBHOOK_VALIDATING,
                                "{'apiVersion': 'admission.k8s.io/v1', 'kind': 'AdmissionReview', "
                                "'response': {'uid': 'other', 'allowed': true}}",
                                "expected response.uid=\"U\", got \"other\"", NULL, 0},
};

static void test_answers(void **state) {
        for (size_t i = 0; i < ELEMENTS(answers); i++) {
                _cleanup_(webhook_config_unrefp) struct webhook_config *c =
                                config(answers[i].type, "'rules': []");
                _cleanup_free_ char *body = quoted(answers[i].body), *why = NULL;
                _cleanup_webhook_answer_ struct webhook_answer a = {0};
                int r = webhook_answer_parse(&c->webhooks[0], "U", body, strlen(body), &a, &why);

                if (answers[i].why) {
                        assert_int_equal(r, -EINVAL);
                        assert_string_equal(why, answers[i].why);
                        continue;
                }
                if (r != 0)
                        fail_msg("case %zu: %s", i, strempty(why));
                assert_int_equal(a.allowed, answers[i].denied == NULL);
                if (!answers[i].denied)
                        continue;
                assert_string_equal(json_str_or(a.status, "message", ""), answers[i].denied);
                assert_int_equal(json_int_or(a.status, "code", 0), answers[i].code);
        }
}

static void test_notes(void **state) {
        _cleanup_(webhook_config_unrefp) struct webhook_config *c =
                        config(WEBHOOK_MUTATING, "'rules': []");
        _cleanup_free_ char *why = NULL,
                            *body = quoted(HEAD "'allowed': true, 'warnings': ['one', 2, 'three'], "
                                                "'auditAnnotations': {'k': 'v', 'n': 1}, " PATCH
                                                "}}");
        _cleanup_webhook_answer_ struct webhook_answer a = {0};

        assert_int_equal(webhook_answer_parse(&c->webhooks[0], "U", body, strlen(body), &a, &why),
                        0);
        assert_int_equal(strv_length(a.warnings), 2);
        assert_json(a.annotations, "{'w.example.com/k': 'v'}");
        assert_json(a.patch, "[{'op': 'remove', 'path': '/a'}]");
}

/* --- patches --- */

static int patch(const char *group, const char *plural, const char *object, const char *operations,
                json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *was = parse(object), *list = parse(operations);
        const struct kind *k = kind(group, plural);

        return patched_object(
                        &(struct patched_facts){
                                        .kind = k, .as = k, .who = "admission webhook \"w\""},
                        was, list, ret, p);
}

#define MAP \
        "{'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'm', 'namespace': 'n', " \
        "'uid': 'u', 'generation': 3, 'managedFields': [{'manager': 'x'}]}, 'data': {'a': 'b'}}"

static void test_patch(void **state) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *v = NULL;

        assert_int_equal(patch("", "configmaps", MAP,
                                         "[{'op': 'replace', 'path': '/metadata/uid', 'value':'x'},"
                                         "{'op': 'remove', 'path': '/metadata/managedFields'}, "
                                         "{'op': 'add', 'path': '/metadata/resourceVersion', "
                                         "'value': '9'}, "
                                         "{'op': 'add', 'path': '/unknown', 'value': 1}, "
                                         "{'op': 'add', 'path': '/data/c', 'value': 'd'}]",
                                         &v, &p),
                        0);
        assert_json(v, "{'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'm', "
                       "'namespace': 'n', 'uid': 'u', 'generation': 3, 'managedFields': "
                       "[{'manager': 'x'}]}, 'data': {'a': 'b', 'c': 'd'}}");
}

static void test_patch_refused(void **state) {
        static const struct {
                const char *operations;
                int code;
        } cases[] = {
                        {"[{'op': 'replace', 'path': '/metadata/name', 'value': 'x'}]", 400},
                        {"[{'op': 'remove', 'path': '/metadata/namespace'}]", 400},
                        {"[{'op': 'remove', 'path': '/metadata'}]", 400},
                        {"[{'op': 'replace', 'path': '/kind', 'value': 'Secret'}]", 500},
                        {"[{'op': 'replace', 'path': '', 'value': []}]", 500},
                        {"[{'op': 'remove', 'path': '/nosuch'}]", 500},
                        {"[{'op': 'test', 'path': '/data/a', 'value': 'c'}]", 500},
                        {"[{'op': 'replace', 'path': '/data', 'value': 7}]", 500},
                        {"[7]", 500},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                json_t *v = NULL;

                if (patch("", "configmaps", MAP, cases[i].operations, &v, &p) >= 0)
                        fail_msg("case %zu is taken", i);
                assert_null(v);
                assert_int_equal(p.code, cases[i].code);
                assert_non_null(strstr(p.message, "\"w\""));
        }
}

static void test_no_object(void **state) {
        _cleanup_json_ json_t *list = parse("[{'op': 'remove', 'path': '/a'}]");
        _cleanup_problem_ struct problem p = {0};
        const struct kind *k = kind("", "configmaps");
        json_t *v = NULL;

        assert_true(patched_object(&(struct patched_facts){.kind = k,
                                                   .as = k,
                                                   .who = "admission webhook \"w\""},
                                    NULL, list, &v, &p) < 0);
        assert_int_equal(p.code, 500);
        assert_non_null(strstr(p.message, "attempted to modify the object"));
}

/* --- targets --- */

static void test_urls(void **state) {
        static const struct {
                const char *url;
                bool good;
        } cases[] = {
                        {"https://host/path", true},
                        {"https://host", true},
                        {"HTTPS://host:8443/a/b", true},
                        {"https://[fd00::1]:443/x", true},
                        {"https://10.0.0.1", true},
                        {"http://host/", false},
                        {"host", false},
                        {"https://", false},
                        {"https://:443/", false},
                        {"https://host:0/", false},
                        {"https://host:99999/", false},
                        {"https://me:pw@host/", false},
                        {"https://host/?a=b", false},
                        {"https://host/#a", false},
                        {"https://[fd00::1", false},
                        {"https://[zz]/", false},
                        {"https://ho st/", false},
                        {"https://host/\r\nX: y", false},
                        {"https://h\xc3\xb6st/", false},
                        {"https:\\\\host", false},
                        {"https://host\\@other/", false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if ((webhook_url_error(cases[i].url) == NULL) != cases[i].good)
                        fail_msg("%s", cases[i].url);
}

static void test_split(void **state) {
        char *base, *path;

        assert_int_equal(webhook_url_split("https://h:1/a/b", &base, &path), 0);
        assert_string_equal(base, "https://h:1");
        assert_string_equal(path, "/a/b");
        free(base);
        free(path);
        assert_int_equal(webhook_url_split("https://h", &base, &path), 0);
        assert_string_equal(base, "https://h");
        assert_string_equal(path, "/");
        free(base);
        free(path);
}

static void test_paths(void **state) {
        static const char *const good[] = {"/", "/a", "/a/b.c/", "/validate-v1"},
                                 *const bad[] = {"", "a", "//", "/a//b", "/A", "/a b", "/a?b",
                                                 "/.."};

        for (size_t i = 0; i < ELEMENTS(good); i++)
                assert_null(webhook_path_error(good[i]));
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_non_null(webhook_path_error(bad[i]));
}

static void test_addresses(void **state) {
        _cleanup_json_ json_t *endpoints = parse(
                        "{'subsets': [{'addresses': [{'ip': '10.0.0.1'}, {'ip': 'fd00::1'}], "
                        "'notReadyAddresses': [{'ip': '10.0.0.9'}], "
                        "'ports': [{'name': 'web', 'port': 80}, {'name': 'tls', 'port': 8443}]}, "
                        "{'addresses': [{'ip': '10.0.0.2'}], 'ports': [{'port': 1}]}]}");
        _cleanup_strv_free_ char **list = NULL, **unnamed = NULL, **none = NULL;

        assert_int_equal(webhook_addresses(endpoints, "tls", &list), 0);
        assert_int_equal(strv_length(list), 2);
        assert_string_equal(list[0], "10.0.0.1:8443");
        assert_string_equal(list[1], "[fd00::1]:8443");
        assert_int_equal(webhook_addresses(endpoints, "", &unnamed), 0);
        assert_int_equal(strv_length(unnamed), 1);
        assert_int_equal(webhook_addresses(NULL, "tls", &none), 0);
        assert_int_equal(strv_length(none), 0);
}

/* --- who waits --- */

static void test_shares(void **state) {
        _cleanup_(wait_shares_freep) struct wait_shares *s = NULL;
        struct wait_share *ann[20], *bob = NULL, *eve = NULL;
        size_t n = 0;

        assert_int_equal(wait_shares_new(&s, 20, 1000), 0);
        while (n < ELEMENTS(ann) && wait_shares_enter(s, "ann", &ann[n]) == 0)
                n++;
        /* Half, and one when what is free is odd; others have room. */
        assert_int_equal(n, 11);
        assert_int_equal(wait_shares_enter(s, "ann", &eve), -EBUSY);
        assert_int_equal(wait_shares_enter(s, "bob", &bob), 0);
        assert_int_equal(wait_shares_waiting(s), 12);
        while (n > 1)
                wait_shares_leave(s, ann[--n]);
        /* The bytes are shared in the same way. */
        wait_shares_hold(s, ann[0], 600);
        assert_int_equal(wait_shares_enter(s, "ann", &eve), -EBUSY);
        assert_int_equal(wait_shares_enter(s, "eve", &eve), 0);
        wait_shares_hold(s, bob, 400);
        assert_int_equal(wait_shares_enter(s, "new", &ann[1]), -EBUSY);
        wait_shares_drop(s, bob, 400);
        wait_shares_drop(s, ann[0], 600);
        assert_int_equal(wait_shares_enter(s, "ann", &ann[1]), 0);
        wait_shares_leave(s, ann[0]);
        wait_shares_leave(s, ann[1]);
        wait_shares_leave(s, bob);
        wait_shares_leave(s, eve);
        assert_null(wait_shares_leave(s, NULL));
        assert_int_equal(wait_shares_waiting(s), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_rules),
                        cmocka_unit_test(test_selectors),
                        cmocka_unit_test(test_equivalent),
                        cmocka_unit_test(test_exempt),
                        cmocka_unit_test(test_answers),
                        cmocka_unit_test(test_notes),
                        cmocka_unit_test(test_patch),
                        cmocka_unit_test(test_patch_refused),
                        cmocka_unit_test(test_no_object),
                        cmocka_unit_test(test_urls),
                        cmocka_unit_test(test_split),
                        cmocka_unit_test(test_paths),
                        cmocka_unit_test(test_addresses),
                        cmocka_unit_test(test_shares),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
