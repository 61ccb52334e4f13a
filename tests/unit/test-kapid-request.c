/* What kapid decides without a store: routes, RBAC, tokens. */
#include "tests/unit/unit.h"

#include "kapid/auth/authz.h"
#include "kapid/auth/jwt.h"
#include "kapid/http/route.h"
#include "kapid/auth/user.h"
#include "kapid/verbs/continue.h"
#include "lib/crypto.h"
#include "lib/json.h"
#include "lib/pki.h"

static json_t *parse(const char *text) {
        _cleanup_free_ char *s = strdup(text);
        json_t *v;

        assert_non_null(s);
        for (char *c = s; *c; c++)
                if (*c == '\'')
                        *c = '"';
        assert_int_equal(json_parse(s, strlen(s), 0, &v, NULL), 0);
        return v;
}

/* --- routes --- */

static void test_routes(void **state) {
        static const struct {
                const char *method, *path, *watch;
                const char *verb, *group, *version, *namespace, *plural, *name, *sub;
        } cases[] = {
                        {"GET", "/api/v1/pods", NULL, "list", "", "v1", "", "pods", "", ""},
                        {"GET", "/api/v1/pods", "True", "watch", "", "v1", "", "pods", "", ""},
                        {"GET", "/api/v1/pods", "false", "list", "", "v1", "", "pods", "", ""},
                        {"GET", "/api/v1/namespaces/a/pods/b", "1", "get", "", "v1", "a", "pods",
                                        "b", ""},
                        {"POST", "/api/v1/namespaces/a/pods/b/binding", NULL, "create", "", "v1",
                                        "a", "pods", "b", "binding"},
                        {"GET", "/api/v1/namespaces/a", NULL, "get", "", "v1", "", "namespaces",
                                        "a", ""},
                        {"PUT", "/api/v1/namespaces/a/finalize", NULL, "update", "", "v1", "",
                                        "namespaces", "a", "finalize"},
                        {"DELETE", "/apis/apps/v1/namespaces/a/deployments/", NULL,
                                        "deletecollection", "apps", "v1", "a", "deployments", "",
                                        ""},
                        {"PATCH", "/apis/apps/v1/namespaces/a/deployments/x%2ey/scale", NULL,
                                        "patch", "apps", "v1", "a", "deployments", "x.y", "scale"},
                        {"GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3anode",
                                        NULL, "get", "rbac.authorization.k8s.io", "v1", "",
                                        "clusterroles", "system:node", ""},
                        {"GET", "/api/v1/watch/namespaces/a/pods", NULL, "watch", "", "v1", "a",
                                        "pods", "", ""},
                        {"GET", "/apis/apps/v1/watch/namespaces/a/deployments/b", "0", "watch",
                                        "apps", "v1", "a", "deployments", "b", ""},
                        {"GET", "/api/v1/watch/namespaces/a", NULL, "watch", "", "v1", "",
                                        "namespaces", "a", ""},
                        {"GET", "/api/v1/watch/nodes", NULL, "watch", "", "v1", "", "nodes", "",
                                        ""},
                        {"GET", "/api/v1/watch", NULL, "list", "", "v1", "", "watch", "", ""},
                        {"POST", "/api/v1/watch/nodes", NULL, "create", "", "v1", "", "watch",
                                        "nodes", ""},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_route_ struct route r = {0};
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(
                                route_parse(cases[i].method, cases[i].path, cases[i].watch, &r, &p),
                                0);
                assert_true(r.resource);
                assert_string_equal(r.verb, cases[i].verb);
                assert_string_equal(r.group, cases[i].group);
                assert_string_equal(r.version, cases[i].version);
                assert_string_equal(r.namespace, cases[i].namespace);
                assert_string_equal(r.plural, cases[i].plural);
                assert_string_equal(r.name, cases[i].name);
                assert_string_equal(r.subresource, cases[i].sub);
        }
}

/* What follows a subresource is an extension server's; a resource of ours has no more. */
static void test_deep_paths(void **state) {
        _cleanup_route_ struct route r = {0}, deep = {0};
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(route_parse("GET", "/api/v1/namespaces/a/pods/b/c", NULL, &r, &p), 0);
        assert_false(r.deep);
        assert_int_equal(route_parse("GET", "/apis/g/v1/namespaces/a/pods/b/c/d/e", NULL, &deep, &p),
                        0);
        assert_true(deep.deep);
        assert_string_equal(deep.name, "b");
        assert_string_equal(deep.subresource, "c");
}

static void test_plain_paths(void **state) {
        static const char *const paths[] = {"/", "/healthz", "/api", "/apis/", "/api/v1",
                        "/apis/apps", "/apis/apps/v1/", "/openapi/v3/apis/apps/v1"};

        for (size_t i = 0; i < ELEMENTS(paths); i++) {
                _cleanup_route_ struct route r = {0};
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(route_parse("GET", paths[i], NULL, &r, &p), 0);
                assert_false(r.resource);
                assert_string_equal(r.verb, "get");
        }
}

static void test_bad_paths(void **state) {
        static const struct {
                const char *method, *path;
                int code;
        } cases[] = {
                        {"GET", "/api/v1/pods/%zz", 400},
                        {"GET", "/api/v1/pods/a%00b", 400},
                        {"GET", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/0/1/2/3/4/5/6",
                                        404},
                        {"BREW", "/api/v1/pods", 405},
        };
        _cleanup_free_ char *longest = malloc(ROUTE_PATH_MAX + 3);
        _cleanup_problem_ struct problem p = {0};
        struct route r;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                assert_true(route_parse(cases[i].method, cases[i].path, NULL, &r, &p) < 0);
                assert_int_equal(p.code, cases[i].code);
        }
        memset(longest, '/', ROUTE_PATH_MAX + 2);
        longest[ROUTE_PATH_MAX + 2] = 0;
        assert_true(route_parse("GET", longest, NULL, &r, &p) < 0);
}

/* --- RBAC --- */

static void add(struct rbac *r, const char *text) {
        _cleanup_json_ json_t *v = parse(text);

        assert_int_equal(rbac_add(r, v), 0);
}

static struct rbac *sample_rbac(void) {
        struct rbac *r = rbac_new();

        assert_non_null(r);
        add(r, "{'kind':'ClusterRole','metadata':{'name':'reader'},'rules':[{'apiGroups':[''],"
               "'resources':['pods','*/scale'],'verbs':['get','list']},{'nonResourceURLs':['/"
               "metrics',"
               "'/debug/*'],'verbs':['get']}]}");
        add(r, "{'kind':'Role','metadata':{'name':'one','namespace':'a'},'rules':[{'apiGroups':['*'"
               "],"
               "'resources':['secrets','pods/log'],'resourceNames':['s'],'verbs':['*']}]}");
        add(r, "{'kind':'ClusterRoleBinding','metadata':{'name':'x'},'roleRef':{'kind':'"
               "ClusterRole',"
               "'name':'reader'},'subjects':[{'kind':'Group','name':'devs'}]}");
        add(r, "{'kind':'RoleBinding','metadata':{'name':'y','namespace':'a'},'roleRef':{'kind':'"
               "Role',"
               "'name':'one'},'subjects':[{'kind':'User','name':'bob'},{'kind':'ServiceAccount',"
               "'name':'sa'}]}");
        add(r, "{'kind':'RoleBinding','metadata':{'name':'z','namespace':'b'},'roleRef':{'kind':"
               "'ClusterRole','name':'reader'},'subjects':[{'kind':'User','name':'bob'}]}");
        add(r, "{'kind':'RoleBinding','metadata':{'name':'w','namespace':'b'},'roleRef':{'kind':"
               "'Role','name':'gone'},'subjects':[{'kind':'User','name':'bob'}]}");
        return r;
}

static bool allows(const struct rbac *r, const struct user *u, const char *verb, const char *group,
                const char *resource, const char *sub, const char *namespace, const char *name) {
        return rbac_allows(r, &(struct access){.user = u,
                                              .verb = verb,
                                              .group = group,
                                              .version = "v1",
                                              .resource = resource,
                                              .subresource = sub,
                                              .namespace = namespace,
                                              .name = name});
}

static void test_rbac(void **state) {
        _cleanup_(rbac_freep) struct rbac *r = sample_rbac();
        char *devs[] = {(char *)"devs", NULL};
        const struct user ann = {.name = (char *)"ann", .groups = devs},
                          bob = {.name = (char *)"bob"},
                          sa = {.name = (char *)"system:serviceaccount:a:sa"};
        struct access path = {.user = &ann,
                        .verb = "get",
                        .group = "",
                        .version = "",
                        .resource = "",
                        .subresource = "",
                        .namespace = "",
                        .name = "",
                        .path = "/debug/x"};

        /* by group, everywhere; only the verbs and groups that are said */
        assert_true(allows(r, &ann, "list", "", "pods", "", "a", ""));
        assert_true(allows(r, &ann, "list", "", "pods", "", "", ""));
        assert_false(allows(r, &ann, "delete", "", "pods", "", "a", "p"));
        assert_false(allows(r, &ann, "get", "apps", "pods", "", "a", "p"));
        assert_false(allows(r, &ann, "get", "", "pods", "log", "a", "p"));
        assert_true(allows(r, &ann, "get", "", "replicationcontrollers", "scale", "a", "p"));
        assert_false(allows(r, &ann, "get", "", "secrets", "", "a", "s"));
        /* by user and name, in one namespace */
        assert_true(allows(r, &bob, "delete", "", "secrets", "", "a", "s"));
        assert_false(allows(r, &bob, "delete", "", "secrets", "", "a", "t"));
        assert_false(allows(r, &bob, "list", "", "secrets", "", "a", ""));
        assert_false(allows(r, &bob, "delete", "", "secrets", "", "b", "s"));
        assert_true(allows(r, &bob, "get", "", "pods", "log", "a", "s"));
        assert_false(allows(r, &bob, "get", "", "pods", "", "a", "s"));
        /* a ClusterRole bound in a namespace counts there only */
        assert_true(allows(r, &bob, "get", "", "pods", "", "b", "p"));
        assert_false(allows(r, &bob, "list", "", "pods", "", "", ""));
        /* a subject without a namespace is of the binding's */
        assert_true(allows(r, &sa, "get", "", "secrets", "", "a", "s"));
        assert_true(rbac_allows(r, &path));
        path.path = "/debugger";
        assert_false(rbac_allows(r, &path));
        path.user = &bob; /* paths are never granted by a RoleBinding */
        path.path = "/metrics";
        assert_false(rbac_allows(r, &path));
}

static void test_rbac_covers(void **state) {
        _cleanup_(rbac_freep) struct rbac *r = sample_rbac();
        const struct user bob = {.name = (char *)"bob"};
        _cleanup_json_ json_t
                        *less = parse("[{'apiGroups':[''],'resources':['pods'],'verbs':['get']}]"),
                        *more = parse("[{'apiGroups':[''],'resources':['pods'],'verbs':['get',"
                                      "'delete']}]"),
                        *star = parse("[{'apiGroups':[''],'resources':['*'],'verbs':['get']}]"),
                        *named = parse("[{'apiGroups':[''],'resources':['secrets'],'verbs':['*'],"
                                       "'resourceNames':['s']}]");
        const json_t *missing = NULL;

        assert_true(rbac_covers(r, &bob, "b", less, &missing));
        assert_false(rbac_covers(r, &bob, "a", less, NULL));
        assert_false(rbac_covers(r, &bob, "b", more, &missing));
        assert_ptr_equal(missing, json_array_get(more, 0));
        assert_false(rbac_covers(r, &bob, "b", star, NULL));
        assert_true(rbac_covers(r, &bob, "a", named, NULL));
}

static void test_nodes_are_users(void **state) {
        char *groups[] = {(char *)"system:nodes", NULL};
        const struct user agent = {.name = (char *)"system:node:n1", .groups = groups},
                          fake = {.name = (char *)"system:node:n1"},
                          other = {.name = (char *)"n1", .groups = groups};

        assert_string_equal(user_node(&agent), "n1");
        assert_null(user_node(&fake));
        assert_null(user_node(&other));
}

/* --- tokens --- */

static void test_tokens(void **state) {
        _cleanup_(sign_key_freep) struct sign_key *k = NULL, *other = NULL;
        _cleanup_free_ char *pem = NULL, *pem2 = NULL, *token = NULL;
        _cleanup_json_ json_t *claims = parse("{'sub':'x','exp':1000,'nbf':500}"), *out = NULL;

        assert_int_equal(pki_key_new(&pem), 0);
        assert_int_equal(pki_key_new(&pem2), 0);
        assert_int_equal(sign_key_new(&k, pem), 0);
        assert_int_equal(sign_key_new(&other, pem2), 0);
        assert_true(sign_key_is_private(k));
        /* a signature's numbers are shorter now and then: many, so that padding is met */
        for (int i = 0; i < 300; i++) {
                free(token);
                assert_int_equal(jwt_sign(k, claims, &token), 0);
                json_decref(out);
                assert_int_equal(jwt_verify(k, token, 700, &out), 0);
        }
        assert_true(json_equal(out, claims));
        assert_int_equal(jwt_verify(k, token, 1000, &out), -ETIME);
        assert_int_equal(jwt_verify(k, token, 100, &out), -ETIME);
        assert_int_equal(jwt_verify(other, token, 700, &out), -EINVAL);
        token[strlen(token) - 4] ^= 1;
        assert_int_equal(jwt_verify(k, token, 700, &out), -EINVAL);
        assert_int_equal(jwt_verify(k, "a.b.c", 700, &out), -EINVAL);
        assert_int_equal(jwt_verify(k, "", 700, &out), -EINVAL);
        /* {"alg":"none"}: the key decides, not the token */
        assert_int_equal(
                        jwt_verify(k, "eyJhbGciOiJub25lIn0.eyJleHAiOjEwMDB9.", 700, &out), -EINVAL);
}

static void test_continue_tokens(void **state) {
        _cleanup_free_ char *token = continue_token(42, "ns/some?name>"), *path = NULL;
        _cleanup_problem_ struct problem p = {0};
        static const char *const bad[] = {"", "zz", "e30", "bm90IGpzb24", "===="};
        uint64_t revision;

        assert_non_null(token);
        assert_null(strpbrk(token, "+/=&?"));
        assert_int_equal(continue_parse(token, &revision, &path, &p), 0);
        assert_int_equal(revision, 42);
        assert_string_equal(path, "ns/some?name>");
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                assert_true(continue_parse(bad[i], &revision, &path, &p) < 0);
                assert_int_equal(p.code, 400);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_routes),
                        cmocka_unit_test(test_plain_paths),
                        cmocka_unit_test(test_deep_paths),
                        cmocka_unit_test(test_bad_paths),
                        cmocka_unit_test(test_rbac),
                        cmocka_unit_test(test_rbac_covers),
                        cmocka_unit_test(test_nodes_are_users),
                        cmocka_unit_test(test_tokens),
                        cmocka_unit_test(test_continue_tokens),
        };

        return cmocka_run_group_tests_name("kapid requests", tests, NULL, NULL);
}
