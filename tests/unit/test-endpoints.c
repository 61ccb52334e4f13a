/* Endpoints made from EndpointSlices, EndpointSlices made from Endpoints, and the CA certificate of
 * each namespace. */
#include "tests/unit/fake-world.h"

#define SERVICE \
        "{metadata: {name: web, namespace: a, uid: s, labels: {tier: front}}, spec: {clusterIP: " \
        "10.96.0.9, ipFamilies: [IPv4], selector: {app: web}}}"
#define BARE "{metadata: {name: web, namespace: a, uid: s}, spec: {clusterIP: 10.96.0.9}}"
#define SLICE(name, port, endpoints) \
        "{metadata: {name: " name ", namespace: a, uid: u-" name ", labels: " \
        "{kubernetes.io/service-name: web, endpointslice.kubernetes.io/managed-by: " \
        "endpointslice-controller.k8s.io}}, addressType: IPv4, ports: [{name: '', port: " port \
        ", protocol: TCP}], endpoints: [" endpoints "]}"
#define READY(ip) "{addresses: [" ip "], conditions: {ready: true}, nodeName: n1}"
#define UNREADY(ip) "{addresses: [" ip "], conditions: {ready: false, serving: false}}"
#define ENDING(ip) \
        "{addresses: [" ip "], conditions: {ready: false, serving: true, terminating: true}}"
#define LABELS "{\"endpoints.kubernetes.io/managed-by\":\"endpoint-controller\",\"tier\":\"front\"}"
#define MADE(subsets) \
        "create endpoints a/web {\"apiVersion\":\"v1\",\"kind\":\"Endpoints\",\"metadata\":{" \
        "\"labels\":" LABELS ",\"name\":\"web\",\"namespace\":\"a\"}" subsets "}\n"

#define AT(ip) "{\"ip\":\"" ip "\",\"nodeName\":\"n1\"}"
#define PORT(port) "\"ports\":[{\"port\":" port ",\"protocol\":\"TCP\"}]"

static void test_endpoints(void **state) {
        static const struct {
                const char *what, *service, *slices[3], *live, *actions;
        } cases[] = {
                        {"no pods", SERVICE, {SLICE("e", "80", "")}, NULL, MADE("")},
                        {"ready, not ready, terminating; in order", SERVICE,
                                        {SLICE("e", "80",
                                                        READY("10.0.0.2") ", " UNREADY("10.0.0.4") ", " ENDING(
                                                                        "10.0.0.5") ", " READY("10.0.0.1"))},
                                        NULL,
                                        MADE(",\"subsets\":[{\"addresses\":[" AT("10.0.0.1") "," AT("10.0.0.2") "],\"notReadyAddresses\":[{\"ip\":\"10.0.0.4\"}]," PORT(
                                                        "80") "}]")},
                        {"slices with the same ports are one subset", SERVICE,
                                        {SLICE("e", "80", READY("10.0.0.2")),
                                                        SLICE("f", "80", READY("10.0.0.1")),
                                                        SLICE("g", "81", UNREADY("10.0.0.3"))},
                                        NULL,
                                        MADE(",\"subsets\":[{\"addresses\":[" AT("10.0.0.1") "," AT("10.0.0.2") "]," PORT(
                                                        "80") "},{\"notReadyAddresses\":[{\"ip\":\"10.0.0.3\"}]," PORT("81") "}]")},
                        {"as they are", SERVICE, {SLICE("e", "80", UNREADY("10.0.0.2"))},
                                        "{metadata: {name: web, namespace: a, labels: " LABELS
                                        "}, subsets: [{ports: [{port: 80, protocol: TCP}], "
                                        "notReadyAddresses: [{ip: 10.0.0.2}]}]}",
                                        ""},
                        {"a person writes them", BARE, {SLICE("e", "80", READY("10.0.0.2"))}, NULL,
                                        ""},
                        {"the service is gone", NULL, {0},
                                        "{metadata: {name: web, namespace: a, uid: v, labels: " LABELS
                                        "}}",
                                        "delete endpoints a/web {\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\",\"preconditions\":{\"uid\":\"v\"},\"propagationPolicy\":\"Background\"}\n"},
                        {"a person's own stay", NULL, {0}, "{metadata: {name: web, namespace: a}}",
                                        ""},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = fake_new();
                _cleanup_free_ char *got = NULL;

                if (cases[i].service)
                        fake_put(f, WORLD_SERVICES, "%s", cases[i].service);
                for (size_t k = 0; k < 3 && cases[i].slices[k]; k++)
                        fake_put(f, WORLD_ENDPOINTSLICES, "%s", cases[i].slices[k]);
                if (cases[i].live)
                        fake_put(f, WORLD_ENDPOINTS, "%s", cases[i].live);
                got = fake_plan(f, &endpoints_controller, "a/web", NULL);
                if (!streq(got, cases[i].actions))
                        fail_msg("%s:\n got: %s\nwant: %s", cases[i].what, got, cases[i].actions);
        }
}

/* Of more addresses than Endpoints may have, those that are ready stay. */
static void test_too_many(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_actions_ struct actions a = {0};
        const json_t *subset;

        fake_put(f, WORLD_SERVICES, SERVICE);
        for (unsigned k = 0; k < 11; k++) {
                _cleanup_buf_ struct buf b = {0};

                for (unsigned i = 0; i < 100; i++)
                        assert_true(buf_printf(&b, "%s{addresses: [10.0.%u.%u], conditions: {ready: %s}}",
                                                    i ? ", " : "", k, i,
                                                    k == 10 ? "true" : "false") >= 0);
                fake_put(f, WORLD_ENDPOINTSLICES, SLICE("e%u", "80", "%s"), k, k, (char *)b.data);
        }
        endpoints_controller.plan(&f->world, "a/web", &a);
        assert_int_equal(a.count, 1);
        subset = json_array_get(json_object_get(a.items[0].body, "subsets"), 0);
        assert_int_equal(json_array_size(json_object_get(subset, "addresses")), 100);
        assert_int_equal(json_array_size(json_object_get(subset, "notReadyAddresses")), 900);
        assert_string_equal(
                        object_annotation(a.items[0].body, "endpoints.kubernetes.io/over-capacity"),
                        "truncated");
}

#define OWN(subsets) "{metadata: {name: web, namespace: a, uid: e}, subsets: [" subsets "]}"
#define MIRROR(name, type, rest) \
        "{metadata: {name: " name ", namespace: a, uid: u, resourceVersion: '5', labels: " \
        "{kubernetes.io/service-name: web, endpointslice.kubernetes.io/managed-by: " \
        "endpointslicemirroring-controller.k8s.io}}, addressType: " type ", " rest "}"
#define MIRRORED(type, endpoints, ports) \
        "create endpointslices a/web- {\"addressType\":\"" type \
        "\",\"apiVersion\":\"discovery.k8s.io/v1\",\"endpoints\":" endpoints \
        ",\"kind\":\"EndpointSlice\",\"metadata\":{\"generateName\":\"web-\",\"labels\":{" \
        "\"endpointslice.kubernetes.io/managed-by\":" \
        "\"endpointslicemirroring-controller.k8s.io\",\"kubernetes.io/service-name\":\"web\"}," \
        "\"namespace\":\"a\",\"ownerReferences\":[{\"apiVersion\":\"v1\"," \
        "\"blockOwnerDeletion\":true,\"controller\":true,\"kind\":\"Endpoints\",\"name\":\"web\"," \
        "\"uid\":\"e\"}]},\"ports\":" ports "}\n"
#define PORT80 "[{\"name\":\"\",\"port\":80,\"protocol\":\"TCP\"}]"
#define DELETED \
        "delete endpointslices a/m {\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\"," \
        "\"preconditions\":{\"uid\":\"u\"},\"propagationPolicy\":\"Background\"}\n"

static void test_mirroring(void **state) {
        static const struct {
                const char *what, *service, *endpoints, *slice, *actions;
        } cases[] = {
                        {"both families", BARE,
                                        OWN("{addresses: [{ip: 192.0.2.1}, {ip: '2001:db8::1'}], "
                                            "ports: [{port: 80, protocol: TCP}]}"),
                                        NULL,
                                        MIRRORED("IPv4",
                                                        "[{\"addresses\":[\"192.0.2.1\"],\"conditions\":{\"ready\":true}}]",
                                                        PORT80) MIRRORED("IPv6",
                                                        "[{\"addresses\":[\"2001:db8::1\"],\"conditions\":{\"ready\":true}}]",
                                                        PORT80)},
                        {"as it is", BARE, OWN("{notReadyAddresses: [{ip: 192.0.2.1}]}"),
                                        MIRROR("m", "IPv4",
                                                        "ports: [], endpoints: [{addresses: "
                                                        "[192.0.2.1], conditions: {ready: false}}]"),
                                        ""},
                        {"none are left", BARE, OWN(""), MIRROR("m", "IPv4", "ports: []"), DELETED},
                        {"the service has pods of its own", SERVICE,
                                        OWN("{addresses: [{ip: 192.0.2.1}]}"),
                                        MIRROR("m", "IPv4", "ports: []"), DELETED},
                        {"no service", NULL, OWN("{addresses: [{ip: 192.0.2.1}]}"), NULL, ""},
                        {"the record of a leader election", BARE,
                                        "{metadata: {name: web, namespace: a, annotations: "
                                        "{control-plane.alpha.kubernetes.io/leader: x}}, subsets: "
                                        "[{addresses: [{ip: 192.0.2.1}]}]}",
                                        NULL, ""},
                        {"not wanted", BARE,
                                        "{metadata: {name: web, namespace: a, labels: "
                                        "{endpointslice.kubernetes.io/skip-mirror: 'true'}}, "
                                        "subsets: [{addresses: [{ip: 192.0.2.1}]}]}",
                                        NULL, ""},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = fake_new();
                _cleanup_free_ char *got = NULL;

                if (cases[i].service)
                        fake_put(f, WORLD_SERVICES, "%s", cases[i].service);
                fake_put(f, WORLD_ENDPOINTS, "%s", cases[i].endpoints);
                if (cases[i].slice)
                        fake_put(f, WORLD_ENDPOINTSLICES, "%s", cases[i].slice);
                got = fake_plan(f, &endpointslicemirroring_controller, "a/web", NULL);
                if (!streq(got, cases[i].actions))
                        fail_msg("%s:\n got: %s\nwant: %s", cases[i].what, got, cases[i].actions);
        }
}

/* What changed is written into the slice that is there, and other fields of it stay. */
static void test_mirror_update(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_actions_ struct actions a = {0};

        fake_put(f, WORLD_SERVICES, BARE);
        fake_put(f, WORLD_ENDPOINTS, OWN("{addresses: [{ip: 192.0.2.7}]}"));
        fake_put(f, WORLD_ENDPOINTSLICES,
                        MIRROR("m", "IPv4", "ports: [], endpoints: [{addresses: [192.0.2.1]}]"));
        endpointslicemirroring_controller.plan(&f->world, "a/web", &a);
        assert_int_equal(a.count, 1);
        assert_ptr_equal(a.items[0].type, &action_type_update);
        assert_string_equal(a.items[0].name, "m");
        assert_string_equal(json_str_or(a.items[0].body, "metadata.resourceVersion", ""), "5");
        assert_string_equal(json_string_value(json_array_get(
                                            json_at(json_array_get(json_object_get(a.items[0].body,
                                                                                   "endpoints"),
                                                                    0),
                                                            "addresses"),
                                            0)),
                        "192.0.2.7");
}

static void test_rootca(void **state) {
        static const struct {
                const char *what, *namespace, *live, *pem, *begins;
        } cases[] = {
                        {"a new namespace", "{metadata: {name: a}}", NULL, "PEM",
                                        "create configmaps a/kube-root-ca.crt {"},
                        {"as it is", "{metadata: {name: a}}", "{ca.crt: PEM}", "PEM", ""},
                        {"another one", "{metadata: {name: a}}", "{ca.crt: OLD}", "PEM",
                                        "update configmaps a/kube-root-ca.crt {"},
                        {"more than there should be", "{metadata: {name: a}}",
                                        "{ca.crt: PEM, x: y}", "PEM",
                                        "update configmaps a/kube-root-ca.crt {"},
                        {"the namespace ends",
                                        "{metadata: {name: a, deletionTimestamp: '" FAKE_NOW "'}}",
                                        NULL, "PEM", ""},
                        {"no certificate is known", "{metadata: {name: a}}", NULL, NULL, ""},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = fake_new();
                _cleanup_free_ char *got = NULL;

                f->config.signing_cert_pem = cases[i].pem;
                fake_put(f, WORLD_NAMESPACES, "%s", cases[i].namespace);
                if (cases[i].live)
                        fake_put(f, WORLD_ROOT_CAS,
                                        "{metadata: {name: kube-root-ca.crt, namespace: a}, data: %s}",
                                        cases[i].live);
                got = fake_plan(f, &rootca_controller, "a", NULL);
                if (isempty(cases[i].begins) ? !isempty(got) : !startswith(got, cases[i].begins))
                        fail_msg("%s: %s", cases[i].what, got);
        }
}

/* ---- slices of a service with a selector ---- */

#define SELECTING(rest) \
        "{metadata: {name: web, namespace: a, uid: s}, spec: {selector: {app: web}, ports: " \
        "[{port: 80}]" rest "}}"
#define SERVING_POD(name, app, node) \
        "{metadata: {name: " name ", namespace: a, uid: u-" name ", labels: {app: " app \
        ", tier: x}}, spec: {nodeName: " node "}, status: {podIP: 10.0.0.9, conditions: [{type: " \
        "Ready, status: 'True'}]}}"

static void test_hints(void **state) {
        static const struct {
                const char *wish, *node, *want, *absent;
        } cases[] = {
                        {"", "n1", "\"zone\":\"z1\"", "hints"},
                        {", trafficDistribution: PreferClose", "n1",
                                        "\"hints\":{\"forZones\":[{\"name\":\"z1\"}]}", "forNodes"},
                        {", trafficDistribution: PreferSameZone", "n1",
                                        "\"hints\":{\"forZones\":[{\"name\":\"z1\"}]}", "forNodes"},
                        {", trafficDistribution: PreferSameNode", "n1",
                                        "\"hints\":{\"forNodes\":[{\"name\":\"n1\"}],\"forZones\":"
                                        "[{\"name\":\"z1\"}]}",
                                        NULL},
                        {", trafficDistribution: PreferClose", "bare", "10.0.0.9", "hints"},
                        {", trafficDistribution: PreferSameNode", "bare",
                                        "\"hints\":{\"forNodes\":[{\"name\":\"bare\"}]}", "zone"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = fake_new();
                _cleanup_free_ char *got = NULL;

                fake_put(f, WORLD_NODES,
                                "{metadata: {name: n1, labels: {topology.kubernetes.io/zone: "
                                "z1}}, status: {conditions: [{type: Ready, status: 'True'}]}}");
                fake_put(f, WORLD_NODES,
                                "{metadata: {name: bare}, status: {conditions: [{type: Ready, "
                                "status: 'True'}]}}");
                fake_put(f, WORLD_SERVICES, SELECTING("%s"), cases[i].wish);
                fake_put(f, WORLD_PODS, SERVING_POD("p", "web", "%s"), cases[i].node);
                got = fake_plan(f, &endpointslice_controller, "a/web", NULL);
                if (!strstr(got, cases[i].want) ||
                                (cases[i].absent && strstr(got, cases[i].absent)))
                        fail_msg("%s on %s: %s", cases[i].wish, cases[i].node, got);
        }
}

static void note_woken(void *userdata, const char *key) {
        assert_string_equal(key, "a/web");
        ++*(size_t *)userdata;
}

/* A service costs its own pods and a pod its own services, however many others there are. */
static void test_visits(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *got = NULL;
        size_t woken = 0;
        const struct wake out = {note_woken, &woken};
        const json_t *pod;

        for (int i = 0; i < 500; i++) {
                fake_put(f, WORLD_SERVICES,
                                "{metadata: {name: s%d, namespace: a, uid: s%d}, spec: {selector: "
                                "{app: a%d}, ports: [{port: 80}]}}",
                                i, i, i);
                fake_put(f, WORLD_PODS, SERVING_POD("p%d", "a%d", "n1"), i, i, i);
        }
        fake_put(f, WORLD_SERVICES, SELECTING(""));
        pod = fake_put(f, WORLD_PODS, SERVING_POD("p", "web", "n1"));
        endpointslice_controller.wake(
                        &f->world, &out, WORLD_PODS, /* old= */ NULL, pod, /* gone= */ false);
        assert_int_equal(woken, 1);
        assert_int_equal(f->listed, 1);
        f->listed = 0;
        got = fake_plan(f, &endpointslice_controller, "a/web", NULL);
        assert_non_null(strstr(got, "10.0.0.9"));
        assert_int_equal(f->listed, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_endpoints),
                        cmocka_unit_test(test_too_many),
                        cmocka_unit_test(test_mirroring),
                        cmocka_unit_test(test_mirror_update),
                        cmocka_unit_test(test_rootca),
                        cmocka_unit_test(test_hints),
                        cmocka_unit_test(test_visits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
