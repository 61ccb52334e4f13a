/* Proxies to pods, services and nodes: names, paths, ports, endpoints, Locations. No network. */
#include "tests/unit/unit.h"

#include "kapid/auth/authz.h"
#include "kapid/http/route.h"
#include "kapid/proxy/name.h"
#include "kapid/proxy/place.h"
#include "kapid/relay/forward.h"
#include "lib/object.h"
#include "tests/unit/kapid-cases.h"

/* --- paths --- */

static void test_routes(void **state) {
        static const struct {
                const char *method, *path;
                const char *verb, *plural, *name, *rest; /* rest NULL: it is no proxy */
        } cases[] = {
                        {"GET", "/api/v1/namespaces/a/pods/p/proxy", "get", "pods", "p", ""},
                        {"GET", "/api/v1/namespaces/a/pods/p/proxy/", "get", "pods", "p", "/"},
                        {"HEAD", "/api/v1/namespaces/a/pods/https:p:8443/proxy/x//y/", "get",
                                        "pods", "https:p:8443", "/x//y/"},
                        {"POST", "/api/v1/namespaces/a/services/s:http/proxy/%2e%2e/%00%ff",
                                        "create", "services", "s:http", "/%2e%2e/%00%ff"},
                        {"PUT", "/api/v1/nodes/n/proxy/../pods", "update", "nodes", "n",
                                        "/../pods"},
                        {"PATCH", "/api/v1/nodes/n/proxy/x", "patch", "nodes", "n", "/x"},
                        {"DELETE", "/api/v1/nodes/n/proxy/x", "delete", "nodes", "n", "/x"},
                        {"OPTIONS", "/api/v1/nodes/n/proxy/x", "options", "nodes", "n", "/x"},
                        {"GET", "//api//v1/nodes/n/proxy//x", "get", "nodes", "n", "//x"},
                        {"GET", "/api/v1/nodes/n/%70roxy/x", "get", "nodes", "n", NULL},
                        {"GET", "/api/v1/nodes/n/proxyx", "get", "nodes", "n", NULL},
                        {"GET", "/api/v1/nodes/n", "get", "nodes", "n", NULL},
                        {"GET", "/api/v1/nodes/n/", "get", "nodes", "n", NULL},
                        {"GET", "/api/v1/namespaces/a/pods/proxy", "get", "pods", "proxy", NULL},
                        {"GET", "/apis/g/v1/things/x/proxy/y", "get", "things", "x", NULL},
                        {"GET", "/api/v1/watch/namespaces/proxy/pods", "watch", "pods", "", NULL},
                        {"GET", "/api/v1/watch/nodes/proxy", "watch", "nodes", "proxy", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_route_ struct route r = {0};

                assert_int_equal(route_parse(cases[i].method, cases[i].path, NULL, &r, &p), 0);
                assert_string_equal(r.verb, cases[i].verb);
                assert_string_equal(r.plural, cases[i].plural);
                assert_string_equal(r.name, cases[i].name);
                if (!cases[i].rest) {
                        assert_null(r.rest);
                        continue;
                }
                assert_string_equal(r.rest, cases[i].rest);
                assert_string_equal(r.subresource, "proxy");
                assert_false(r.deep);
        }
}

/* A path with more segments than any resource has. */
static void test_deep(void **state) {
        _cleanup_buf_ struct buf path = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_route_ struct route r = {0};

        buf_append_str(&path, "/api/v1/nodes/n/proxy");
        for (unsigned i = 0; i < 500; i++)
                buf_append_str(&path, "/x");
        assert_int_equal(route_parse("GET", path.data, NULL, &r, &p), 0);
        assert_int_equal(strlen(r.rest), 1000);
        assert_int_equal(route_parse("TRACE", "/api/v1/nodes/n/proxy/", NULL, &r, &p), -EOPNOTSUPP);
        assert_int_equal(route_parse("OPTIONS", "/api/v1/nodes/n", NULL, &r, &p), -EOPNOTSUPP);
}

static void test_names(void **state) {
        static const struct {
                const char *text, *name, *port; /* name NULL: refused */
                bool tls;
        } cases[] = {
                        {"web", "web", "", false},
                        {"web:80", "web", "80", false},
                        {"web:http", "web", "http", false},
                        {"web:", "web", "", false},
                        {"http:web:80", "web", "80", false},
                        {"https:web:", "web", "", true},
                        {"https:web:https", "web", "https", true},
                        {":web:80", "web", "80", false},
                        {"ftp:web:80", NULL, NULL, false},
                        {"HTTPS:web:80", NULL, NULL, false},
                        {"https:web:80:1", NULL, NULL, false},
                        {"", NULL, NULL, false},
                        {":80", NULL, NULL, false},
                        {"https::80", NULL, NULL, false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_proxy_name_ struct proxy_name n = {0};
                int r = proxy_name_parse(cases[i].text, "pod", &n, &p);

                if (!cases[i].name) {
                        assert_int_equal(r, -EINVAL);
                        assert_int_equal(p.code, 400);
                        assert_non_null(strstr(p.message, "invalid pod request"));
                        continue;
                }
                assert_int_equal(r, 0);
                assert_string_equal(n.name, cases[i].name);
                assert_string_equal(n.port, cases[i].port);
                assert_int_equal(n.tls, cases[i].tls);
        }
}

static void test_targets(void **state) {
        static const struct {
                const char *rest, *query, *want; /* want NULL: refused */
        } cases[] = {
                        {"", "", "/"},
                        {"/", "", "/"},
                        {"///", "", "/"},
                        {"/a", "", "/a"},
                        {"/a/b/", "", "/a/b/"},
                        {"/a%2Fb", "", "/a/b"},
                        {"/a/../b//c/", "x=%20&y", "/b/c/?x=%20&y"},
                        {"/a/b/..", "", "/a/"},
                        {"/a/.", "", "/a/"},
                        {"/../../x", "", "/x"},
                        {"/%2e%2e/%2E%2e", "", "/"},
                        {"/..a/.b/...", "", "/..a/.b/..."},
                        {"/a b\r\nX: y", "q=\n", "/a%20b%0D%0AX:%20y?q=%0A"},
                        {"/a%0d%0a?%3f%23", "", "/a%0D%0A%3F%3F%23"},
                        {"/\xc3\xa4%ff", "", "/%C3%A4%FF"},
                        {"/%zz", "", NULL},
                        {"/%2", "", NULL},
                        {"/a%00b", "", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_free_ char *path = NULL, *got = NULL;
                int r = proxy_path(cases[i].rest, &path, &p);

                if (!cases[i].want) {
                        assert_int_equal(r, -EINVAL);
                        assert_int_equal(p.code, 400);
                        continue;
                }
                assert_int_equal(r, 0);
                assert_int_equal(proxy_target(path, cases[i].query, &got), 0);
                assert_string_equal(got, cases[i].want);
        }
}

#define PREFIX "/api/v1/namespaces/a/services/s/proxy"

static void test_locations(void **state) {
        static const char *const hosts[] = {"10.0.0.1:80", "10.0.0.1", "localhost:8001", NULL};
        static const char *const cases[][2] = {
                        /* NULL: as it is */
                        {"/login", PREFIX "/login"},
                        {"/", PREFIX "/"},
                        {"/login/?next=/x#y", PREFIX "/login/?next=/x#y"},
                        {"http://10.0.0.1:80/x", PREFIX "/x"},
                        {"HTTPS://10.0.0.1/x/", PREFIX "/x/"},
                        {"http://10.0.0.1", PREFIX "/"},
                        {"http://10.0.0.1?a=b", PREFIX "/?a=b"},
                        {"//localhost:8001/x", PREFIX "/x"},
                        {"http://localhost:8001" PREFIX "/x", PREFIX "/x"},
                        {PREFIX, PREFIX},
                        {PREFIX "/x", PREFIX "/x"},
                        {PREFIX "y", PREFIX PREFIX "y"},
                        {"http://10.0.0.1//evil.org/x", PREFIX "/evil.org/x"},
                        {"http://10.0.0.1@evil.org/x", NULL},
                        {"http://10.0.0.11/x", NULL},
                        {"//evil.org/x", NULL},
                        {"http://evil.org/x", NULL},
                        {"login", NULL},
                        {"../x", NULL},
                        {"?a=b", NULL},
                        {"", NULL},
                        {"javascript:alert(1)", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *got = NULL;

                assert_int_equal(proxy_location(cases[i][0], PREFIX, hosts, &got), 0);
                if (cases[i][1])
                        assert_string_equal(got, cases[i][1]);
                else
                        assert_null(got);
        }
}

/* What clients put beside their credentials. */
static void test_client_headers(void **state) {
        _cleanup_forward_headers_ struct forward_headers h = {0};

        assert_int_equal(forward_add_client(&h, "Sec-WebSocket-Protocol",
                                         "a, base64url.bearer.authorization.k8s.io.c2VjcmV0, b"),
                        0);
        assert_int_equal(h.count, 1);
        assert_string_equal(h.items[0].value, "a, b");
        assert_int_equal(forward_add_client(&h, "sec-websocket-protocol",
                                         "base64url.bearer.authorization.k8s.io.c2VjcmV0"),
                        0);
        assert_int_equal(h.count, 1);
        assert_int_equal(forward_add_client(&h, "Cookie", "a=b"), 0);
        assert_int_equal(h.count, 2);
        assert_false(forward_takes("Authorization", "Bearer x", NULL));
        assert_false(forward_takes("X-Forwarded-Uri", "/x", NULL));
}

/* --- places --- */

#define POD(more) \
        "{'metadata': {'name': 'p', 'namespace': 'a'}, 'spec': {'nodeName': 'n', \
'containers': [{'name': 'x'}, {'name': 'c', 'ports': [{'containerPort': 8080}, \
{'name': 'web', 'containerPort': 8081}]}]}" more "}"
#define ADDRESS \
        ", 'status': {'podIP': '10.0.0.1', 'podIPs': [{'ip': '10.0.0.1'}, {'ip': 'fd00::1'}]}"

static void test_pod_ports(void **state) {
        static const struct {
                const char *port;
                bool tls;
                int want; /* 0: refused */
        } cases[] = {{"", false, 8080}, {"", true, 8080}, {"9", false, 9}, {"65535", false, 65535},
                        {"web", false, 8081}, {"0", false, 0}, {"65536", false, 0},
                        {"-1", false, 0}, {"no", false, 0}, {"80x", false, 0}};
        _cleanup_json_ json_t *pod = parse(POD(ADDRESS)),
                              *bare = parse("{'metadata': {'name': 'p'}, 'spec': {'containers': "
                                            "[{'name': 'x'}]}}");
        _cleanup_problem_ struct problem p = {0};
        uint16_t port = 0;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                int r = place_port_of_pod(pod, cases[i].port, cases[i].tls, &port, &p);

                assert_int_equal(r, cases[i].want ? 0 : -EINVAL);
                if (cases[i].want)
                        assert_int_equal(port, cases[i].want);
                else
                        assert_int_equal(p.code, 400);
        }
        assert_int_equal(place_port_of_pod(bare, "", false, &port, &p), 0);
        assert_int_equal(port, 80);
        assert_int_equal(place_port_of_pod(bare, "", true, &port, &p), 0);
        assert_int_equal(port, 443);
        assert_int_equal(place_check_pod(pod, &p), 0);
        assert_int_equal(place_check_pod(bare, &p), -EINVAL);
        assert_int_equal(p.code, 400);
}

static void test_service_ports(void **state) {
        _cleanup_json_ json_t
                        *one = parse("{'metadata': {'name': 's'}, 'spec': {'ports': [{'port': "
                                     "80, 'targetPort': 8080}]}}"),
                        *two = parse("{'metadata': {'name': 's'}, 'spec': {'ports': [{'name': "
                                     "'http', 'port': 80}, {'name': 'tls', 'port': 443}]}}");
        const struct {
                const json_t *service;
                const char *port, *want, *says;
        } cases[] = {{one, "", "", NULL}, {one, "80", "", NULL},
                        {one, "8080", NULL, "no service port 8080 found for service \"s\""},
                        {one, "http", NULL, "no endpoints available for service \"s\""},
                        {two, "http", "http", NULL}, {two, "443", "tls", NULL},
                        {two, "", NULL, "no endpoints available for service \"s\""}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                const char *got = NULL;
                int r = place_port_of_service(cases[i].service, cases[i].port, &got, &p);

                assert_int_equal(r, cases[i].want ? 0 : -ENOENT);
                if (cases[i].want) {
                        assert_string_equal(got, cases[i].want);
                        continue;
                }
                assert_int_equal(p.code, 503);
                assert_non_null(strstr(p.message, cases[i].says));
        }
}

static json_t *find_pod(const char *name, void *userdata) {
        return streq(name, "p") ? parse(POD(ADDRESS)) : NULL;
}

#define ENDPOINTS(addresses) \
        "{'metadata': {'name': 's', 'namespace': 'a'}, 'subsets': [{'addresses': [" addresses \
        "], 'ports': [{'name': 'dns', 'port': 53, 'protocol': 'UDP'}, {'name': 'http', 'port': " \
        "8080, 'protocol': 'TCP'}]}]}"
#define TO(ip, namespace, name) \
        "{'ip': '" ip \
        "', 'targetRef': {'kind': 'Pod', 'namespace': '" namespace "', 'name': '" name "'}}"

static void test_endpoints(void **state) {
        static const struct {
                const char *endpoints, *port;
                bool found;
        } cases[] = {
                        {ENDPOINTS(TO("10.0.0.1", "a", "p")), "http", true},
                        {ENDPOINTS(TO("fd00::1", "a", "p")), "http", true},
                        {ENDPOINTS(TO("10.0.0.1", "a", "p")), "", false},
                        {ENDPOINTS(TO("10.0.0.1", "a", "p")), "dns", false},
                        {ENDPOINTS(TO("10.0.0.2", "a", "p")), "http", false},
                        {ENDPOINTS(TO("10.0.0.1", "b", "p")), "http", false},
                        {ENDPOINTS(TO("10.0.0.1", "a", "gone")), "http", false},
                        {ENDPOINTS("{'ip': '10.0.0.1'}"), "http", false},
                        {ENDPOINTS("{'ip': '127.0.0.1'}"), "http", false},
                        {ENDPOINTS("{'ip': '169.254.169.254'}, " TO("10.0.0.1", "a", "p")), "http",
                                        true},
                        {ENDPOINTS(""), "http", false},
                        {"{'metadata': {'name': 's', 'namespace': 'a'}}", "http", false},
        };

        for (size_t i = 0; i < 2 * ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *endpoints = parse(cases[i / 2].endpoints);
                _cleanup_problem_ struct problem p = {0};
                struct pod_place place = {0};
                int r = place_of_service(
                                endpoints, cases[i / 2].port, i, find_pod, NULL, &place, &p);

                assert_int_equal(r, cases[i / 2].found ? 0 : -ENOENT);
                if (cases[i / 2].found) {
                        assert_string_equal(object_name(place.pod), "p");
                        assert_int_equal(place.port, 8080);
                } else {
                        assert_int_equal(p.code, 503);
                        assert_non_null(strstr(p.message, "no endpoints available for service "
                                                          "\"s\""));
                }
                json_decref(place.pod);
        }
}

/* --- rights --- */

/* A node's certificate reads Nodes and Services: that opens no connections. */
static void test_nodes_have_no_proxies(void **state) {
        static const struct {
                const char *resource, *subresource, *name;
                bool allowed;
        } cases[] = {{"nodes", "", "n2", true}, {"nodes", "status", "n2", true},
                        {"nodes", "proxy", "n2", false}, {"nodes", "proxy", "n1", false},
                        {"services", "", "s", true}, {"services", "proxy", "s", false},
                        {"pods", "proxy", "p", false}};
        static const char *const verbs[] = {"get", "list", "watch", "create", "update", "patch",
                        "delete", "options"};
        const struct user user = {.name = (char *)"system:node:n1"};
        struct api api = {0};

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                for (size_t k = 0; k < (cases[i].allowed ? 1 : ELEMENTS(verbs)); k++) {
                        const struct access access = {.user = &user,
                                        .verb = verbs[k],
                                        .group = "",
                                        .version = "v1",
                                        .resource = cases[i].resource,
                                        .subresource = cases[i].subresource,
                                        .namespace = streq(cases[i].resource, "nodes") ? "" : "a",
                                        .name = cases[i].name};

                        if (streq(cases[i].resource, "pods") && k < 3)
                                continue; /* those need caches */
                        assert_int_equal(authorize_node(&api, &access, "n1"), cases[i].allowed);
                }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_routes),
                        cmocka_unit_test(test_deep),
                        cmocka_unit_test(test_names),
                        cmocka_unit_test(test_targets),
                        cmocka_unit_test(test_locations),
                        cmocka_unit_test(test_client_headers),
                        cmocka_unit_test(test_pod_ports),
                        cmocka_unit_test(test_service_ports),
                        cmocka_unit_test(test_endpoints),
                        cmocka_unit_test(test_nodes_have_no_proxies),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
