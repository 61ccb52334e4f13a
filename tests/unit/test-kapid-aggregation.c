/* Extension API servers: what goes on to them and comes back, APIServices, availability, discovery,
 * and the ConfigMap that they read. No network. */
#include "tests/unit/unit.h"

#include "kapid/aggregation/apiservice.h"
#include "kapid/aggregation/auth-config.h"
#include "kapid/relay/forward.h"
#include "kapid/auth/request-header.h"
#include "kapid/discovery/merge-v2.h"
#include "kapid/discovery/merge.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "tests/unit/kapid-cases.h"

/* --- what goes on, and comes back --- */

static void test_targets(void **state) {
        static const struct {
                const char *path, *query, *want; /* NULL: refused */
        } cases[] = {
                        {"/apis/g/v1/things", "", "/apis/g/v1/things"},
                        {"/apis/g/v1//things/", "a=b&c", "/apis/g/v1/things/?a=b&c"},
                        {"/apis/g/v1/a%20b", "x= y#z\x01", "/apis/g/v1/a%20b?x=%20y%23z%01"},
                        {"/apis/g/v1/%61%3a", "", "/apis/g/v1/a:"},
                        {"/apis/g/v1/\xc3\xa4", "", "/apis/g/v1/%C3%A4"},
                        {"/apis/g/v1/a?b", "", "/apis/g/v1/a%3Fb"},
                        {"/apis/g/v1/a..b", "", "/apis/g/v1/a..b"},
                        {"/apis/g/v1/..", "", NULL},
                        {"/apis/g/v1/.", "", NULL},
                        {"/apis/g/v1/%2e%2E/x", "", NULL},
                        {"/apis/g/v1/a%2fb", "", NULL},
                        {"/apis/g/v1/a%5Cb", "", NULL},
                        {"/apis/g/v1/a\\b", "", NULL},
                        {"/apis/g/v1/a%0d%0aX: y", "", NULL},
                        {"/apis/g/v1/a\r\nX: y", "", NULL},
                        {"/apis/g/v1/a%2", "", NULL},
                        {"/apis/g/v1/a%00", "", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_free_ char *got = NULL;
                int r = forward_target(cases[i].path, cases[i].query, &got, &p);

                if (cases[i].want) {
                        assert_int_equal(r, 0);
                        assert_string_equal(got, cases[i].want);
                } else {
                        assert_int_equal(r, -EINVAL);
                        assert_int_equal(p.code, 400);
                }
        }
}

static void test_hops(void **state) {
        assert_int_equal(forward_hops(NULL), 0);
        assert_int_equal(forward_hops("2"), 2);
        assert_int_equal(forward_hops("3"), FORWARD_HOPS_MAX);
        assert_int_equal(forward_hops("4000000000000"), FORWARD_HOPS_MAX);
        assert_int_equal(forward_hops("-1"), FORWARD_HOPS_MAX);
        assert_int_equal(forward_hops(""), FORWARD_HOPS_MAX);
}

static void test_headers(void **state) {
        static const char *const kept[] = {"X-Other", "User-Agent", "Cookie", "If-None-Match",
                        "X-Remot", "Accept-Encoding"};
        static const char *const dropped[] = {"X-Remote-User", "x-remote-group", "X_Remote_User",
                        "X-Remote_Uid", "x.remote.user", "X~Remote~Extra~A",
                        "X-REMOTE-EXTRA-Scopes", "X-Remote", "Authorization", "Proxy-Authorization",
                        "Impersonate-User", "impersonate_group", "Impersonate-Extra-x",
                        "Connection", "Upgrade", "TE", "Transfer-Encoding", "Content-Length",
                        "content_length", "Host", "Expect", "X-Forwarded-For", "Forwarded",
                        "Audit-Id", "Bad Name", "X-Remote-User ", "", "X-\xc3\xa4"};

        for (size_t i = 0; i < ELEMENTS(kept); i++)
                assert_true(forward_takes(kept[i], "v", NULL));
        for (size_t i = 0; i < ELEMENTS(dropped); i++)
                assert_false(forward_takes(dropped[i], "v", NULL));
        assert_false(forward_takes("X-Other", "a\r\nX-Remote-User: evil", NULL));
        assert_false(forward_takes("X-Other", "v", "close, x-other"));
        assert_true(forward_takes("X-Other", "v", "close , X-Others,"));
        assert_true(forward_returns("Retry-After", "1", "keep-alive"));
        assert_false(forward_returns("Retry-After", "1", "Retry-After"));
        assert_false(forward_returns("Access-Control-Allow-Origin", "*", NULL));
        assert_false(forward_returns("Transfer-Encoding", "chunked", NULL));
        assert_false(forward_returns("Cache-Control", "public", NULL));
}

static bool has(const struct forward_headers *h, const char *name, const char *value) {
        for (size_t i = 0; i < h->count; i++)
                if (streq(h->items[i].name, name) && streq(h->items[i].value, value))
                        return true;
        return false;
}

static void test_identity(void **state) {
        static const char *const odd[] = {"", " admin", "admin ", "a\nX-Remote-Group: g", "a\x7f"};
        _cleanup_forward_headers_ struct forward_headers h = {0};
        _cleanup_problem_ struct problem p = {0};
        char *groups[] = {(char *)"system:masters", (char *)"a b", NULL};
        struct user u = {.name = (char *)"j\xc3\xbcrgen", .uid = (char *)"7", .groups = groups};

        u.extra = parse("{'example.com/Tier%': ['gold', '', 'x'], 'scopes': ['s']}");
        assert_int_equal(forward_identity(&u, &h, &p), 0);
        assert_true(has(&h, "X-Remote-User", "j\xc3\xbcrgen"));
        assert_true(has(&h, "X-Remote-Uid", "7"));
        assert_true(has(&h, "X-Remote-Group", "system:masters"));
        assert_true(has(&h, "X-Remote-Group", "a b"));
        assert_true(has(&h, "X-Remote-Extra-example.com%2FTier%25", "gold"));
        assert_true(has(&h, "X-Remote-Extra-example.com%2FTier%25", "x"));
        assert_true(has(&h, "X-Remote-Extra-scopes", "s"));
        assert_int_equal(h.count, 7);
        json_decref(u.extra);
        u.extra = NULL;
        for (size_t i = 0; i < ELEMENTS(odd); i++) {
                _cleanup_forward_headers_ struct forward_headers none = {0};

                u.name = (char *)odd[i];
                assert_int_equal(forward_identity(&u, &none, &p), -EINVAL);
                assert_int_equal(p.code, 400);
        }
        u.name = (char *)"x";
        groups[1] = (char *)"system:masters ";
        assert_int_equal(forward_identity(&u, &h, &p), -EINVAL);
}

/* --- the objects --- */

#define SPEC(more) "'spec': {'group': 'g.io', 'version': 'v1'" more "}"
#define REMOTE ", 'service': {'name': 's', 'namespace': 'n', 'port': 8443}"
#define MANAGED(by) \
        "{'metadata': {'name': 'v1.g.io', 'labels': {'" APISERVICE_AUTOMANAGED "': '" by "'}}, "
#define THEIRS "{'metadata': {'name': 'v1.g.io'}, "

static void test_read(void **state) {
        _cleanup_apiservice_ struct apiservice s = {0};
        _cleanup_json_ json_t *o = parse(THEIRS SPEC(REMOTE) "}"),
                              *other = parse("{'metadata': {'name': 'v2.g.io'}, " SPEC(REMOTE) "}");

        assert_int_equal(apiservice_read(o, &s), 0);
        assert_false(s.local);
        assert_string_equal(s.target.service, "s");
        assert_string_equal(s.target.namespace, "n");
        assert_int_equal(s.target.port, 8443);
        assert_int_equal(apiservice_read(other, &s), -EINVAL);
}

static void test_decide(void **state) {
        static const struct {
                const char *live;
                enum apiservice_wish wish;
                enum apiservice_action action;
        } cases[] = {
                        {NULL, APISERVICE_BUILT_IN, APISERVICE_WRITE},
                        {NULL, APISERVICE_CUSTOM, APISERVICE_WRITE},
                        {NULL, APISERVICE_UNWANTED, APISERVICE_KEEP},
                        {MANAGED("onstart") SPEC("") "}", APISERVICE_BUILT_IN, APISERVICE_KEEP},
                        {MANAGED("onstart") SPEC(REMOTE) "}", APISERVICE_BUILT_IN,
                                        APISERVICE_WRITE},
                        {THEIRS SPEC(REMOTE) "}", APISERVICE_BUILT_IN, APISERVICE_WRITE},
                        {MANAGED("true") SPEC(REMOTE) "}", APISERVICE_CUSTOM, APISERVICE_WRITE},
                        {THEIRS SPEC(REMOTE) "}", APISERVICE_CUSTOM, APISERVICE_KEEP},
                        {MANAGED("true") SPEC("") "}", APISERVICE_UNWANTED, APISERVICE_DELETE},
                        {MANAGED("true") SPEC(REMOTE) "}", APISERVICE_UNWANTED, APISERVICE_KEEP},
                        {THEIRS SPEC("") "}", APISERVICE_UNWANTED, APISERVICE_KEEP},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *live = cases[i].live ? parse(cases[i].live) : NULL,
                                      *made = NULL;
                enum apiservice_action action;

                assert_int_equal(apiservice_decide(
                                                 live, "g.io", "v1", cases[i].wish, &action, &made),
                                0);
                assert_int_equal(action, cases[i].action);
                assert_int_equal(action == APISERVICE_WRITE, made != NULL);
                if (made) {
                        assert_null(json_at(made, "spec.service"));
                        assert_string_equal(object_name(made), "v1.g.io");
                        assert_true(json_int_or(made, "spec.versionPriority", 0) > 0);
                }
        }
}

static void test_replace(void **state) {
        _cleanup_problem_ struct problem p = {0};
        struct kind_registry *r = NULL;

        assert_int_equal(kind_registry_new(&r, &p), 0);
        assert_false(apiservice_may_replace(r, "apps", "v1"));
        assert_false(apiservice_may_replace(r, "apiregistration.k8s.io", "v1"));
        assert_true(apiservice_may_replace(r, "metrics.k8s.io", "v1beta1"));
        assert_true(apiservice_may_replace(r, "apps", "v7"));
        assert_true(apiservice_may_replace(r, "shop.example.com", "v1"));
        kind_registry_free(r);
}

static void test_availability(void **state) {
        static const struct {
                const char *service, *endpoints, *reason; /* NULL: it can be asked */
        } cases[] = {
                        {NULL, NULL, "ServiceNotFound"},
                        {"{'spec': {'ports': [{'port': 443}]}}", NULL, "ServicePortError"},
                        {"{'spec': {'ports': [{'port': 8443}]}}", NULL, "EndpointsNotFound"},
                        {"{'spec': {'ports': [{'port': 8443}]}}", "{}", "MissingEndpoints"},
                        {"{'spec': {'ports': [{'port': 8443, 'name': 'x'}]}}",
                                        "{'subsets': [{'addresses': [{'ip': '10.0.0.1'}], "
                                        "'ports': [{'name': 'y', 'port': 1}]}]}",
                                        "MissingEndpoints"},
                        {"{'spec': {'ports': [{'port': 8443, 'name': 'x'}]}}",
                                        "{'subsets': [{'addresses': [{'ip': '10.0.0.1'}], "
                                        "'ports': [{'name': 'x', 'port': 1}]}]}",
                                        NULL},
                        {"{'spec': {'type': 'ExternalName'}}", NULL, NULL},
        };
        _cleanup_apiservice_ struct apiservice s = {0};
        _cleanup_json_ json_t *o = parse(THEIRS SPEC(REMOTE) "}"), *first = NULL, *again = NULL;
        _cleanup_availability_ struct availability a = {0};

        assert_int_equal(apiservice_read(o, &s), 0);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *service = cases[i].service ? parse(cases[i].service) : NULL,
                                      *endpoints = cases[i].endpoints ? parse(cases[i].endpoints)
                                                                      : NULL;
                int r = availability_of_service(&s, service, endpoints, &a);

                assert_int_equal(r, cases[i].reason ? 0 : 1);
                if (cases[i].reason)
                        assert_string_equal(a.reason, cases[i].reason);
        }
        assert_int_equal(availability_apply(o, &a, 1000000, &first), 0);
        assert_non_null(first);
        assert_string_equal(
                        json_str_or(object_condition(first, "Available"), "status", ""), "False");
        assert_int_equal(availability_apply(first, &a, 9000000, &again), 0);
        assert_null(again);
}

/* --- discovery --- */

static void test_discovery(void **state) {
        _cleanup_json_ json_t *old = parse("{'groups': [{'name': 'metrics.k8s.io', 'versions': "
                                           "[{'groupVersion': 'metrics.k8s.io/v1beta1', 'version': "
                                           "'v1beta1'}]}]}"),
                              *list = parse("{'items': [{'metadata': {'name': 'metrics.k8s.io'}, "
                                            "'versions': [{'version': 'v1beta1', 'freshness': "
                                            "'Current', 'resources': [{'resource': 'ours'}]}]}]}"),
                              *index = parse("{'paths': {'apis/metrics.k8s.io/v1beta1': {}}}"),
                              *found = parse("{'resources': [{'name': 'a/status', 'kind': 'A', "
                                             "'verbs': ['get']}, {'name': 'a', 'kind': 'A', "
                                             "'namespaced': true, 'singularName': 'an', 'verbs': "
                                             "['get', 'list'], 'shortNames': ['x']}, {'name': "
                                             "'lone/exec', 'kind': 'E', 'verbs': 7}, {'name': 5}, "
                                             "'word']}");
        struct discovery_version v[] = {
                        {"b.io", "v1", false, 10, 1, true, NULL, NULL},
                        {"metrics.k8s.io", "v1beta1", false, 100, 100, false, found, "H"},
                        {"a.io", "v1", false, 20, 1, true, found, NULL},
                        {"a.io", "v2", false, 20, 9, false, found, NULL},
        };
        json_t *group, *resource;

        discovery_versions_sort(v, ELEMENTS(v));
        assert_string_equal(v[0].group, "metrics.k8s.io");
        assert_string_equal(v[1].version, "v2");
        assert_int_equal(discovery_merge_groups(old, v, ELEMENTS(v)), 0);
        assert_int_equal(json_array_size(json_object_get(old, "groups")), 3);
        group = json_array_get(json_object_get(old, "groups"), 1);
        assert_string_equal(json_str_or(group, "preferredVersion.groupVersion", ""), "a.io/v2");
        assert_int_equal(json_array_size(json_object_get(group, "versions")), 2);
        group = discovery_merge_group(NULL, "a.io", v, ELEMENTS(v));
        assert_string_equal(object_kind(group), "APIGroup");
        json_decref(group);
        assert_null(discovery_merge_group(NULL, "c.io", v, ELEMENTS(v)));

        assert_int_equal(discovery_merge_aggregated(list, v, ELEMENTS(v)), 0);
        group = json_array_get(json_object_get(list, "items"), 0);
        group = json_array_get(json_object_get(group, "versions"), 0);
        assert_string_equal(json_str_or(group, "freshness", ""), "Current");
        resource = json_array_get(json_object_get(group, "resources"), 0);
        assert_string_equal(json_str_or(resource, "resource", ""), "a");
        assert_string_equal(json_str_or(resource, "scope", ""), "Namespaced");
        assert_string_equal(json_str_or(resource, "responseKind.group", ""), "metrics.k8s.io");
        resource = json_array_get(json_object_get(resource, "subresources"), 0);
        assert_string_equal(json_str_or(resource, "subresource", ""), "status");
        resource = json_array_get(json_object_get(group, "resources"), 1);
        assert_string_equal(json_str_or(resource, "resource", ""), "lone");
        group = json_array_get(json_object_get(list, "items"), 2);
        group = json_array_get(json_object_get(group, "versions"), 0);
        assert_string_equal(json_str_or(group, "freshness", ""), "Stale");

        assert_int_equal(openapi_merge_index(index, v, ELEMENTS(v)), 0);
        assert_int_equal(json_object_size(json_object_get(index, "paths")), 1);
        group = json_object_get(json_object_get(index, "paths"), "apis/metrics.k8s.io/v1beta1");
        assert_string_equal(json_str_or(group, "serverRelativeURL", ""),
                        "/openapi/v3/apis/metrics.k8s.io/v1beta1?hash=H");
}

/* Of a document only what is about the version, and what that needs, comes in. */
static void test_openapi_v2(void **state) {
        _cleanup_json_ json_t *doc = parse("{'paths': {'/apis/g/v1/a': {'get': {'x': [{'$ref': "
                                           "'#/definitions/A'}]}}, '/apis/g/v1': {}, "
                                           "'/apis/g/v1beta1/a': {}, '/apis/h/v1/a': {'$ref': "
                                           "'#/definitions/H'}, '/api/v1/pods': {}}, "
                                           "'definitions': {'A': {'p': {'$ref': "
                                           "'#/definitions/B'}, 'q': {'$ref': "
                                           "'#/definitions/Same'}, '$ref': {'p': {'$ref': "
                                           "'#/definitions/None'}}}, 'B': {'b': {'$ref': "
                                           "'#/definitions/A'}}, 'H': {}, 'Same': {'s': 1, "
                                           "'x-kubernetes-group-version-kind': [{'kind': "
                                           "'T'}]}}}"),
                              *whole = parse("{'paths': {'/apis/g/v1': {'own': 1}}, 'definitions': "
                                             "{'B': {'other': 1}, 'B_v2': {'third': 1}, 'Same': "
                                             "{'s': 1, 'x-kubernetes-group-version-kind': "
                                             "[{'kind': 'S'}]}}}"),
                              *part = NULL;
        const json_t *v;

        assert_int_equal(openapi_v2_filter(doc, "g", "v2", &part), -ENOENT);
        assert_int_equal(openapi_v2_filter(doc, "g", "v1", &part), 0);
        assert_int_equal(json_object_size(json_object_get(part, "paths")), 2);
        assert_int_equal(json_object_size(json_object_get(part, "definitions")), 3);
        assert_int_equal(openapi_v2_merge(whole, json_tree_copy(part)), 0);
        v = json_object_get(json_object_get(whole, "paths"), "/apis/g/v1");
        assert_int_equal(json_object_size(v), 1);
        v = json_object_get(whole, "definitions");
        assert_int_equal(json_object_size(v), 5);
        assert_string_equal(json_str_or(v, "A.p.$ref", ""), "#/definitions/B_v3");
        assert_string_equal(json_str_or(v, "B_v3.b.$ref", ""), "#/definitions/A");
        assert_string_equal(json_str_or(v, "A.q.$ref", ""), "#/definitions/Same");
        v = json_object_get(json_object_get(v, "Same"), "x-kubernetes-group-version-kind");
        assert_int_equal(json_array_size(v), 2);
        /* The same again is there already, under the names that it has. */
        assert_int_equal(openapi_v2_merge(whole, json_incref(part)), 0);
        v = json_object_get(whole, "definitions");
        assert_int_equal(json_object_size(v), 6);
        v = json_object_get(json_object_get(v, "Same"), "x-kubernetes-group-version-kind");
        assert_int_equal(json_array_size(v), 2);
}

/* What a server says is bounded: how many names are tried, how many kinds a definition has. */
static void test_openapi_v2_bounds(void **state) {
        _cleanup_json_ json_t *whole = parse("{'paths': {}, 'definitions': {'N': {'n': 1}}}"),
                              *kinds = json_array();
        json_t *definitions = json_object_get(whole, "definitions"), *part;
        const json_t *v;

        for (int i = 0; i < 1000; i++) {
                char name[16];

                assert_true(snprintf(name, sizeof(name), "N_v%d", i) > 0);
                assert_int_equal(json_object_set_new(definitions, name, json_pack("{si}", "n", i)),
                                0);
        }
        part = parse("{'paths': {'/apis/g/v1': {}}, 'definitions': {'N': {'other': 1}}}");
        assert_int_equal(openapi_v2_merge(whole, part), -ENOSPC);
        assert_int_equal(json_object_size(json_object_get(whole, "paths")), 0);
        assert_int_equal(json_object_size(definitions), 1001);
        for (int i = 0; i < 1000; i++)
                assert_int_equal(json_array_append_new(kinds, json_integer(i)), 0);
        part = json_pack("{s{}, s{s{sisO}}}", "paths", "definitions", "N", "n", 1,
                        "x-kubernetes-group-version-kind", kinds);
        assert_int_equal(json_object_set_new(json_object_get(definitions, "N"),
                                         "x-kubernetes-group-version-kind", json_array()),
                        0);
        assert_int_equal(openapi_v2_merge(whole, part), 0);
        v = json_object_get(json_object_get(definitions, "N"), "x-kubernetes-group-version-kind");
        assert_int_equal(json_array_size(v), 200);
}

/* Ours and those of others in one order, as kube-aggregator lists them. */
static void test_discovery_order(void **state) {
        _cleanup_json_ json_t *old = parse("{'groups': [{'name': 'apps', 'versions': [{'version': "
                                           "'v1'}]}, {'name': 'c.io', 'versions': [{'version': "
                                           "'v1beta1'}, {'version': 'v1'}], 'preferredVersion': "
                                           "{'version': 'v1beta1'}}, {'name': 'unlisted'}]}"),
                              *list = parse("{'items': [{'metadata': {'name': 'apps'}, 'versions': "
                                            "[{'version': 'v1'}]}]}");
        struct discovery_version v[] = {
                        {"apps", "v1", true, 17800, 16, false, NULL, NULL},
                        {"c.io", "v1beta1", true, 1000, 100, false, NULL, NULL},
                        {"c.io", "v1", true, 1000, 100, false, NULL, NULL},
                        {"c.io", "v2alpha1", false, 10, 200, false, NULL, NULL},
                        {"b.io", "v1", false, 1000, 1, false, NULL, NULL},
                        {"first.io", "v1", false, 19000, 1, false, NULL, NULL},
        };
        const char *const groups[] = {"first.io", "apps", "b.io", "c.io", "unlisted"};
        const char *const versions[] = {"v2alpha1", "v1", "v1beta1"};
        const json_t *all = json_object_get(old, "groups"), *c;

        discovery_versions_sort(v, ELEMENTS(v));
        assert_int_equal(discovery_merge_groups(old, v, ELEMENTS(v)), 0);
        assert_int_equal(json_array_size(all), ELEMENTS(groups));
        for (size_t i = 0; i < ELEMENTS(groups); i++)
                assert_string_equal(json_str_or(json_array_get(all, i), "name", ""), groups[i]);
        c = json_array_get(all, 3);
        for (size_t i = 0; i < ELEMENTS(versions); i++)
                assert_string_equal(json_str_or(json_array_get(json_object_get(c, "versions"), i),
                                                    "version", ""),
                                versions[i]);
        assert_string_equal(json_str_or(c, "preferredVersion.version", ""), "v2alpha1");
        assert_int_equal(discovery_merge_aggregated(list, v, ELEMENTS(v)), 0);
        all = json_object_get(list, "items");
        assert_int_equal(json_array_size(all), 4);
        assert_string_equal(json_str_or(json_array_get(all, 0), "metadata.name", ""), "first.io");
        assert_string_equal(json_str_or(json_array_get(all, 1), "metadata.name", ""), "apps");
}

/* --- a proxy before kapid --- */

/* What kapid believes of it does not go on to extension servers, in any spelling. */
static void test_identity_headers(void **state) {
        char *users[] = {(char *)"X-Forwarded-User", (char *)"X_Who", NULL},
             *prefixes[] = {(char *)"X-More-", NULL};
        const struct identity_headers h = {.user_names = users, .extra_prefixes = prefixes},
                                      none = {0};

        assert_true(identity_headers_have(&h, "x-forwarded-user"));
        assert_true(identity_headers_have(&h, "X_Forwarded.User"));
        assert_true(identity_headers_have(&h, "x-who"));
        assert_true(identity_headers_have(&h, "X-MORE-color"));
        assert_false(identity_headers_have(&h, "X-Forwarded-Users"));
        assert_false(identity_headers_have(&h, "X-Forwarded"));
        assert_false(identity_headers_have(&h, ""));
        assert_false(identity_headers_have(&none, "X-Remote-User"));
}

/* --- the ConfigMap --- */

static const char *text_of(const json_t *data, const char *key) {
        return strempty(json_string_value(json_object_get(data, key)));
}

static void test_auth_config(void **state) {
        _cleanup_free_ char *first = NULL, *first_key = NULL, *second = NULL, *second_key = NULL;
        _cleanup_json_ json_t *data = NULL, *both = NULL, *none = NULL, *later = NULL;
        char *names[] = {(char *)"front-proxy-client", NULL}, *other[] = {(char *)"other", NULL};
        struct auth_config c = {.names = names};
        const char *at;

        assert_int_equal(pki_ca_new("one", 1, &first, &first_key), 0);
        assert_int_equal(pki_ca_new("two", 1, &second, &second_key), 0);
        c.client_ca = c.front_ca = first;
        assert_int_equal(auth_config_data(&c, NULL, 0, &data), 0);
        assert_string_equal(
                        text_of(data, "requestheader-allowed-names"), "[\"front-proxy-client\"]");
        assert_string_equal(text_of(data, "requestheader-username-headers"), "[\"X-Remote-User\"]");
        assert_non_null(strstr(text_of(data, "client-ca-file"), "BEGIN CERTIFICATE"));
        assert_int_equal(auth_config_data(&c, data, 0, &none), 0);
        assert_null(none);
        /* Another kapid, with another authority: both stay, and neither writes again. */
        c.front_ca = second;
        c.names = other;
        assert_int_equal(auth_config_data(&c, data, 0, &both), 0);
        assert_string_equal(text_of(both, "requestheader-allowed-names"),
                        "[\"front-proxy-client\",\"other\"]");
        at = strstr(text_of(both, "requestheader-client-ca-file"), "BEGIN CERTIFICATE");
        assert_non_null(at);
        assert_non_null(strstr(at + 1, "BEGIN CERTIFICATE"));
        c.front_ca = first;
        c.names = names;
        assert_int_equal(auth_config_data(&c, both, 0, &none), 0);
        assert_null(none);
        /* What has expired goes. */
        assert_int_equal(auth_config_data(&c, both, UINT64_C(1) << 40, &later), 0);
        assert_non_null(later);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_targets),
                        cmocka_unit_test(test_hops),
                        cmocka_unit_test(test_headers),
                        cmocka_unit_test(test_identity),
                        cmocka_unit_test(test_read),
                        cmocka_unit_test(test_decide),
                        cmocka_unit_test(test_replace),
                        cmocka_unit_test(test_availability),
                        cmocka_unit_test(test_discovery),
                        cmocka_unit_test(test_openapi_v2),
                        cmocka_unit_test(test_openapi_v2_bounds),
                        cmocka_unit_test(test_discovery_order),
                        cmocka_unit_test(test_identity_headers),
                        cmocka_unit_test(test_auth_config),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
