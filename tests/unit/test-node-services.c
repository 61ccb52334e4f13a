/* What the agent knows of services: that a change costs what it changes, however many services
 * there are (counted in steps, not in time); who gets an element that two ask for; which addresses
 * no service may take; which endpoints a node uses; elements as messages to the kernel; which UDP
 * flows are stale; what the disk gives back. */
#include "tests/unit/unit.h"

#include "lib/object.h"
#include "nodeagent/network/nft-claims.h"
#include "nodeagent/network/nft-elements.h"
#include "nodeagent/network/service-table.h"
#include "nodeagent/network/services-disk.h"
#include "nodeagent/network/services-to-nft.h"

enum { SERVICES = 10000, ENDPOINTS = 3 };

static json_t *service(int i, int version) {
        return json_pack("{s:{s:s, s:o, s:o, s:o}, s:{s:o, s:[{s:i}]}}", "metadata", "namespace",
                        i % 2 ? "odd" : "even", "name", json_sprintf("s%d", i), "uid",
                        json_sprintf("u%d", i), "resourceVersion", json_sprintf("%d", version),
                        "spec", "clusterIP", json_sprintf("10.96.%d.%d", i / 250, i % 250 + 1),
                        "ports", "port", 80);
}

static json_t *slice_of(int i, int version, const char *service_name, bool ready) {
        json_t *endpoints = json_array();

        for (int e = 0; e < ENDPOINTS; e++)
                json_array_append_new(endpoints,
                                json_pack("{s:[o], s:s, s:{s:b}, s:{s:o}}", "addresses",
                                                json_sprintf("10.244.%d.%d", i % 250, e + 1),
                                                "nodeName", e ? "n2" : "n1", "conditions", "ready",
                                                ready, "targetRef", "uid",
                                                json_sprintf("p%d-%d", i, e)));
        return json_pack("{s:s, s:{s:s, s:o, s:o, s:o, s:{s:s}}, s:[{s:i}], s:o}", "addressType",
                        "IPv4", "metadata", "namespace", i % 2 ? "odd" : "even", "name",
                        json_sprintf("s%d-x", i), "uid", json_sprintf("sl%d", i), "resourceVersion",
                        json_sprintf("%d", version), "labels", "kubernetes.io/service-name",
                        service_name, "ports", "port", 8080, "endpoints", endpoints);
}

static void on_touched(const char *name, void *userdata) {
        json_t *touched = userdata;

        json_object_set_new(touched, name, json_true());
}

static struct service_table *table_of(json_t *touched) {
        struct service_table *t = service_table_new();

        assert_non_null(t);
        assert_int_equal(service_table_observe(t, on_touched, touched), 0);
        return t;
}

static void fill(struct service_table *t) {
        for (int i = 0; i < SERVICES; i++) {
                char name[16];
                _cleanup_json_ json_t *s = service(i, 1), *e = NULL;

                snprintf(name, sizeof(name), "s%d", i);
                e = slice_of(i, 1, name, true);
                assert_int_equal(service_table_set_service(t, s), 1);
                assert_int_equal(service_table_set_slice(t, e), 1);
        }
}

static void test_cost_of_a_change(void **state) {
        _cleanup_json_ json_t *touched = json_object(), *changed = slice_of(77, 2, "s77", false),
                              *again = slice_of(77, 2, "s77", false);
        _cleanup_(service_table_freep) struct service_table *t = table_of(touched);
        uint64_t before;
        size_t found = 0;

        fill(t);
        /* Filling: each endpoint once, not each slice for each service. */
        assert_true(service_table_steps(t) <= (uint64_t)SERVICES * (ENDPOINTS + 2));
        before = service_table_steps(t);
        map_foreach (service_table_services(t), e)
                found += service_table_slices(t, map_entry_key(e))->count;
        assert_int_equal(found, SERVICES);
        assert_true(service_table_steps(t) - before <= (uint64_t)SERVICES * 2);
        before = service_table_steps(t);
        json_object_clear(touched);
        assert_true(service_table_is_ready(t, "p77-1"));
        assert_int_equal(service_table_set_slice(t, changed), 1);
        assert_true(service_table_steps(t) - before <= 4 * ENDPOINTS);
        assert_int_equal(json_object_size(touched), 1);
        assert_non_null(json_object_get(touched, "odd/s77"));
        assert_false(service_table_is_ready(t, "p77-1"));
        /* The same version again is not a change. */
        json_object_clear(touched);
        before = service_table_steps(t);
        assert_int_equal(service_table_set_slice(t, again), 0);
        assert_int_equal(service_table_steps(t), before);
        assert_int_equal(json_object_size(touched), 0);
}

static void test_a_slice_moves(void **state) {
        _cleanup_json_ json_t *touched = json_object(), *a = slice_of(1, 1, "s1", true),
                              *b = slice_of(1, 2, "s3", true), *s1 = service(1, 1);
        _cleanup_(service_table_freep) struct service_table *t = table_of(touched);

        assert_int_equal(service_table_set_service(t, s1), 1);
        assert_int_equal(service_table_set_slice(t, a), 1);
        assert_int_equal(service_table_slices(t, "odd/s1")->count, 1);
        json_object_clear(touched);
        assert_int_equal(service_table_set_slice(t, b), 1);
        assert_null(service_table_slices(t, "odd/s1"));
        assert_int_equal(service_table_slices(t, "odd/s3")->count, 1);
        assert_int_equal(json_object_size(touched), 2);
        assert_int_equal(json_object_size(service_table_namespace(t, "odd")), 1);
        assert_int_equal(service_table_drop_slice(t, "odd/s1-x"), 1);
        assert_int_equal(service_table_drop_slice(t, "odd/s1-x"), 0);
        assert_false(service_table_is_ready(t, "p1-0"));
        assert_int_equal(service_table_drop_service(t, "odd/s1"), 1);
        assert_null(service_table_namespace(t, "odd"));
        /* Who does not observe any longer is not called. */
        json_object_clear(touched);
        service_table_unobserve(t, on_touched, touched);
        assert_int_equal(service_table_set_service(t, s1), 1);
        assert_int_equal(json_object_size(touched), 0);
}

/* ---- two that ask for the same ---- */

struct claims_log {
        unsigned refused;
        char holder[32], freed[32];
};

static void on_refused(const char *key, const char *element, const char *holder, void *userdata) {
        struct claims_log *l = userdata;

        l->refused++;
        snprintf(l->holder, sizeof(l->holder), "%s", holder);
}

static void on_free(const char *key, void *userdata) {
        struct claims_log *l = userdata;
        snprintf(l->freed, sizeof(l->freed), "%s", key);
}

static json_t *claiming(const char *element) {
        return json_pack("{s:{s:{s:s}}}", "elements", "services", element, "goto x");
}

static size_t elements_of(const json_t *model) {
        return json_object_size(json_at(model, "elements.services"));
}

static void test_claims(void **state) {
        struct claims_log l = {0};
        struct nft_claims_callbacks callbacks = {on_refused, on_free, &l};
        _cleanup_(nft_claims_freep) struct nft_claims *c = nft_claims_new();
        _cleanup_json_ json_t *a = claiming("192.0.2.1 . tcp . 80"),
                              *b = claiming("192.0.2.1 . tcp . 80"),
                              *b2 = claiming("192.0.2.1 . tcp . 80");

        assert_int_equal(nft_claims_take(c, "svc:a/a", NULL, a, &callbacks), 0);
        assert_int_equal(nft_claims_take(c, "svc:b/b", NULL, b, &callbacks), 0);
        assert_int_equal(elements_of(a), 1);
        assert_int_equal(elements_of(b), 0);
        assert_int_equal(l.refused, 1);
        assert_string_equal(l.holder, "svc:a/a");
        /* Again for the holder changes nothing. */
        assert_int_equal(nft_claims_take(c, "svc:a/a", a, a, &callbacks), 0);
        assert_int_equal(elements_of(a), 1);
        assert_string_equal(l.freed, "");
        /* It goes: the other one is called, and gets it. */
        assert_int_equal(nft_claims_take(c, "svc:a/a", a, NULL, &callbacks), 0);
        assert_string_equal(l.freed, "svc:b/b");
        assert_int_equal(nft_claims_take(c, "svc:b/b", b, b2, &callbacks), 0);
        assert_int_equal(elements_of(b2), 1);
}

/* ---- addresses that nobody may claim ---- */

static void test_reserved_addresses(void **state) {
        static const char *const mine = "198.51.100.7", *const node = "192.0.2.10",
                                 *const dns = "10.96.0.10", *const other = "192.0.2.11";
        _cleanup_(map_freep) struct map *reserved = map_new(NULL);
        _cleanup_json_ json_t *s = json_pack(
                        "{s:{s:s, s:s}, s:{s:s, s:[{s:i, s:s}], s:[s, s, s]}, s:{s:{s:[{s:s}]}}}",
                        "metadata", "namespace", "t", "name", "evil", "spec", "clusterIP",
                        "10.96.3.3", "ports", "port", 6443, "protocol", "UDP", "externalIPs", mine,
                        node, dns, "status", "loadBalancer", "ingress", "ip", other);
        _cleanup_json_ json_t *slice = slice_of(1, 1, "evil", true), *model = NULL, *text = NULL;
        _cleanup_(service_view_freep) struct service_view *view = NULL;
        _cleanup_(slice_view_freep) struct slice_view *slice_view = NULL;
        struct slice_list slices = {.items = &slice_view, .count = 1};
        struct service_facts facts = {
                        .node = {"n1", ""}, .service_cidr = {"10.96.0.0/16"}, .reserved = reserved};

        json_object_set_new(json_array_get(json_object_get(slice, "ports"), 0), "protocol",
                        json_string("UDP"));
        json_object_set_new(json_array_get(json_at_mut(s, "spec.ports"), 0), "protocol",
                        json_string("UDP"));
        slice_view = slice_view_new(slice);
        view = service_view_new(s);
        assert_true(slice_view && view);
        assert_int_equal(map_set(reserved, node, reserved), 0);
        assert_int_equal(map_set(reserved, other, reserved), 0);
        model = service_to_model(view, &slices, &facts);
        assert_int_equal(json_object_size(json_at(model, "elements.services")), 2);
        assert_non_null(json_get(model, "elements", "services", "198.51.100.7 . udp . 6443", NULL));
        assert_non_null(json_get(model, "elements", "services", "10.96.3.3 . udp . 6443", NULL));
        assert_int_equal(json_object_size(json_at(model, "leftOut")), 3);
        assert_non_null(json_get(model, "leftOut", node, NULL));
        assert_non_null(json_get(model, "leftOut", dns, NULL));
        assert_non_null(json_get(model, "leftOut", other, NULL));
        /* A cluster address that is a node's is none. */
        assert_int_equal(map_set(reserved, "10.96.3.3", reserved), 0);
        json_decref(model);
        model = service_to_model(view, &slices, &facts);
        assert_int_equal(json_object_size(json_at(model, "elements.services")), 1);
        /* The API's own is behind every rule's back; an address of the service range never is. */
        text = json_pack("{s:i, s:i, s:i, s:i, s:i}", "192.0.2.10:6443", 6443, "10.96.0.10:53", 53,
                        "name:443", 443, "[2001:db8::10]:6443", 6443, "[fd00:10:96::a]:53", 53);
        json_decref(model);
        model = protected_to_model(
                        text, (const char *const[FAMILIES]){"10.96.0.0/16", "fd00:10:96::/112"});
        assert_int_equal(json_object_size(json_at(model, "elements.protected")), 1);
        assert_non_null(json_get(model, "elements", "protected", "192.0.2.10 . tcp . 6443", NULL));
        assert_int_equal(json_object_size(json_at(model, "elements.protected6")), 1);
        assert_non_null(json_get(
                        model, "elements", "protected6", "2001:db8::10 . tcp . 6443", NULL));
}

/* ---- which endpoints ---- */

/* An endpoint: letters for its conditions (r ready, s serving, t terminating), then its node, and
 * hints. */
struct endpoint_case {
        const char *conditions, *node, *zone_hint, *node_hint;
};

static json_t *endpoint(const struct endpoint_case *c, int i) {
        json_t *e = json_pack("{s:[o], s:{s:b, s:b, s:b}, s:s}", "addresses",
                        json_sprintf("10.244.0.%d", i + 1), "conditions", "ready",
                        strchr(c->conditions, 'r') != NULL, "serving",
                        strchr(c->conditions, 's') != NULL, "terminating",
                        strchr(c->conditions, 't') != NULL, "nodeName", c->node);

        if (c->zone_hint)
                json_set_at(e, "hints.forZones", json_pack("[{s:s}]", "name", c->zone_hint));
        if (c->node_hint)
                json_set_at(e, "hints.forNodes", json_pack("[{s:s}]", "name", c->node_hint));
        return e;
}

/* "1 3" for 10.244.0.1 and 10.244.0.3. Caller frees. */
static char *numbers(const struct endpoint_list *l) {
        _cleanup_buf_ struct buf b = {0};

        for (size_t i = 0; i < l->count; i++)
                buf_printf(&b, "%s%s", i > 0 ? " " : "", strrchr(l->items[i].address, '.') + 1);
        return buf_take(&b);
}

static void test_endpoints(void **state) {
        static const struct {
                const char *what;
                struct endpoint_case endpoints[4];
                const char *cluster, *local;
                bool any;
        } cases[] = {
                        {"none", {{0}}, "", "", false},
                        {"ready here and there", {{"rs", "n1"}, {"rs", "n2"}}, "1 2", "1", true},
                        {"not ready is none", {{"", "n1"}, {"s", "n1"}}, "", "", false},
                        {"terminating ones only without ready ones",
                                        {{"rs", "n2"}, {"st", "n2"}, {"st", "n1"}}, "1", "3", true},
                        {"the last ones terminate", {{"st", "n2"}, {"t", "n2"}}, "1", "", true},
                        {"terminating here, ready here", {{"st", "n1"}, {"rs", "n1"}}, "2", "2",
                                        true},
                        {"zones", {{"rs", "n2", "z1"}, {"rs", "n3", "z2"}}, "1", "", true},
                        {"a zone without any", {{"rs", "n2", "z2"}, {"rs", "n3", "z3"}}, "1 2", "",
                                        true},
                        {"one without a hint", {{"rs", "n2", "z1"}, {"rs", "n3"}}, "1 2", "", true},
                        {"hints of those that are not ready",
                                        {{"rs", "n2", "z1"}, {"rs", "n3", "z2"}, {"st", "n3"}}, "1",
                                        "", true},
                        {"nodes before zones", {{"rs", "n1", "z1", "n1"}, {"rs", "n2", "z1", "n2"}},
                                        "1", "1", true},
                        {"no hint for this node",
                                        {{"rs", "n3", "z1", "n3"}, {"rs", "n2", "z2", "n2"}}, "1",
                                        "", true},
                        {"the policy Local knows no hints",
                                        {{"rs", "n1", "z2"}, {"rs", "n2", "z1"}}, "2", "1", true},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *list = json_array(), *slice = NULL;
                _cleanup_(slice_view_freep) struct slice_view *view = NULL;
                struct slice_list slices = {.items = &view, .count = 1};
                _cleanup_free_ char *cluster = NULL, *local = NULL;
                struct endpoint_choice c;

                for (int k = 0; k < 4 && cases[i].endpoints[k].conditions; k++)
                        json_array_append_new(list, endpoint(&cases[i].endpoints[k], k));
                slice = json_pack("{s:{s:s, s:s}, s:s, s:[{s:s, s:i}], s:O}", "metadata",
                                "namespace", "a", "name", "x", "addressType", "IPv4", "ports",
                                "name", "p", "port", 8080, "endpoints", list);
                view = slice_view_new(slice);
                assert_int_equal(endpoints_choose(&slices,
                                                 &(struct service_port){.name = "p", .port = 80},
                                                 FAMILY_IPV4, &(struct node_place){"n1", "z1"}, &c),
                                0);
                cluster = numbers(&c.cluster);
                local = numbers(&c.local);
                if (!streq(cluster, cases[i].cluster) || !streq(local, cases[i].local) ||
                                c.any != cases[i].any)
                        fail_msg("%s: got \"%s\" and \"%s\", %d", cases[i].what, cluster, local,
                                        c.any);
                endpoint_choice_done(&c);
        }
}

/* ---- elements as the kernel's messages ---- */

static int note_element(bool add, const char *collection, const char *key, const char *value,
                void *userdata) {
        return buf_printf(userdata, "%s %s %s = %s\n", add ? "+" : "-", collection, key, value);
}

/* What a batch says, read as the kernel's own messages are. */
static void test_elements(void **state) {
        static const struct {
                const char *collection, *key, *value;
                int result;
        } cases[] = {
                        {"services", "10.96.0.10 . tcp . 80", "goto pick-3", 0},
                        {"services", "10.96.0.10 . sctp . 80", "drop", 0},
                        {"services6", "fd00::10 . tcp . 80", "goto svc-a/b/tcp-80-0123456789ab", 0},
                        {"refused", "10.96.0.11 . udp . 53", "return", 0},
                        {"endpoints", "10.96.0.10 . tcp . 80 . 2", "10.244.1.2 . 8080", 0},
                        {"endpoints6", "fd00::10 . tcp . 80 . 31", "fd00:1::2 . 8080", 0},
                        {"nodeports", "udp . 30053", "goto ext-a/b/udp-53-0123456789ab", 0},
                        {"hairpin", "10.244.1.7 . 10.244.1.7", "", 0},
                        {"balanced6", "2001:db8::1", "", 0},
                        {"services", "10.96.0.10 . 1 . 80", "drop", 0},
                        {"services", "10.96.0.10 . 256 . 80", "drop", -EINVAL},
                        {"services", "10.96.0.10 . tcp", "drop", -EINVAL},
                        {"services", "10.96.0.10 . tcp . 80 . 1", "drop", -EINVAL},
                        {"services", "fd00::10 . tcp . 80", "drop", -EINVAL},
                        {"services", "10.96.0.10 . icmp . 80", "drop", -EINVAL},
                        {"services", "10.96.0.10 . tcp . 65536", "drop", -EINVAL},
                        {"services", "10.96.0.10 . tcp . 80", "jump x", -EINVAL},
                        {"endpoints", "10.96.0.10 . tcp . 80 . 2", "10.244.1.2", -EINVAL},
                        {"strange", "10.96.0.10", "", -EINVAL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct nft_batch b = {0};
                _cleanup_buf_ struct buf got = {0};
                _cleanup_free_ char *want = strformat("+ %s %s = %s\n", cases[i].collection,
                                cases[i].key, cases[i].value);
                const struct nlmsghdr *h;

                assert_int_equal(nft_batch_put(&b, true, cases[i].collection, cases[i].key,
                                                 cases[i].value),
                                cases[i].result);
                if (cases[i].result == 0) {
                        assert_int_equal(nft_batch_close(&b), 0);
                        /* begin, elements, end */
                        h = (const struct nlmsghdr *)(b.bytes.data +
                                                      ((struct nlmsghdr *)b.bytes.data)->nlmsg_len);
                        assert_true(h->nlmsg_flags & NLM_F_ACK);
                        assert_int_equal(nft_elements_read(h, note_element, &got), 0);
                        assert_string_equal(got.data, want);
                }
                nft_batch_done(&b);
        }
}

/* A batch of more elements than a message holds; each comes back once. */
static void test_long_batch(void **state) {
        struct nft_batch b = {0};
        _cleanup_buf_ struct buf got = {0};
        size_t lines = 0, messages = 0;

        for (int i = 0; i < 3000; i++) {
                _cleanup_free_ char *key = strformat("10.96.%d.%d . tcp . 80", i / 250, i % 250);

                assert_int_equal(nft_batch_put(&b, i % 2, "services", key, "goto pick-3"), 0);
        }
        for (int i = 0; i < 3000; i++) {
                _cleanup_free_ char *key = strformat("10.97.%d.%d . tcp . 80", i / 250, i % 250);

                assert_int_equal(nft_batch_put(&b, true, "services", key, "goto pick-3"), 0);
        }
        assert_int_equal(nft_batch_close(&b), 0);
        for (size_t at = 0; at < b.bytes.size;) {
                const struct nlmsghdr *h = (const struct nlmsghdr *)(b.bytes.data + at);

                assert_true(h->nlmsg_len >= sizeof(*h) && at + h->nlmsg_len <= b.bytes.size);
                at += h->nlmsg_len;
                if (at < b.bytes.size && messages > 0)
                        assert_int_equal(nft_elements_read(h, note_element, &got), 0);
                messages++;
        }
        for (const char *s = got.data; s && (s = strchr(s, '\n')); s++)
                lines++;
        assert_int_equal(lines, 3000 + 3000);
        nft_batch_done(&b);
}

/* ---- UDP flows ---- */

static void test_stale_flows(void **state) {
        static const char *const ranges[FAMILIES] = {"10.96.0.0/16", "fd00:96::/112"};
        _cleanup_json_ json_t *flows = json_pack("{s:[s, s], s:[], s:[s]}", "10.96.0.5:53",
                        "10.244.1.2:5353", "10.244.2.2:5353", "10.96.0.6:53", "*:30053",
                        "10.244.1.2:5353");
        json_object_set_new(flows, "[fd00::5]:53", json_pack("[s]", "[fd00:1::2]:5353"));
        static const struct {
                struct udp_flow flow;
                bool stale_of_changes, stale_of_all;
        } cases[] = {
                        /* to an endpoint of today */
                        {{"10.96.0.5", "10.244.1.2", 53, 5353}, false, false},
                        /* to a pod that is none any longer, or its other port */
                        {{"10.96.0.5", "10.244.3.2", 53, 5353}, true, true},
                        {{"10.96.0.5", "10.244.1.2", 53, 9999}, true, true},
                        /* sent when no rule was there: it ended nowhere */
                        {{"10.96.0.5", "10.96.0.5", 53, 53}, true, true},
                        /* a service without endpoints */
                        {{"10.96.0.6", "10.244.1.2", 53, 5353}, true, true},
                        /* node port: what was sent on, and what a program of the machine answers */
                        {{"192.0.2.1", "10.244.3.2", 30053, 5353}, true, true},
                        {{"192.0.2.1", "10.244.1.2", 30053, 5353}, false, false},
                        {{"192.0.2.1", "192.0.2.1", 30053, 30053}, false, false},
                        /* a service that was deleted while the agent was away */
                        {{"10.96.9.9", "10.244.1.2", 53, 5353}, false, true},
                        {{"fd00::5", "fd00:1::2", 53, 5353}, false, false},
                        {{"fd00::5", "fd00:1::3", 53, 5353}, true, true},
                        {{"fd00:96::9", "fd00:1::3", 53, 5353}, false, true},
                        /* not ours */
                        {{"203.0.113.9", "203.0.113.9", 53, 53}, false, false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                assert_int_equal(flow_is_stale(flows, NULL, &cases[i].flow),
                                cases[i].stale_of_changes);
                assert_int_equal(flow_is_stale(flows, ranges, &cases[i].flow),
                                cases[i].stale_of_all);
        }
}

/* ---- the disk ---- */

static int read_back(const char *path, json_t *lines) {
        struct services_reader *reader;
        json_t *line;
        int r = services_reader_open(&reader, path);

        if (r < 0)
                return r;
        while ((r = services_reader_next(reader, &line)) > 0)
                json_array_append_new(lines, line);
        services_reader_free(reader);
        return r;
}

static void test_disk(void **state) {
        _cleanup_free_ char *dir = strdup("/tmp/test-node-services.XXXXXX"), *path = NULL;
        _cleanup_json_ json_t *objects = json_array(), *more = json_array(), *back = json_array();
        FILE *f;

        assert_non_null(mkdtemp(dir));
        path = strformat("%s/services.jsonl", dir);
        assert_int_equal(read_back(path, back), -ENOENT);
        for (int i = 0; i < 50; i++)
                json_array_append_new(i < 40 ? objects : more, service(i, 1));
        assert_int_equal(services_disk_save(path, objects), 0);
        assert_int_equal(services_disk_append(path, more), 0);
        assert_int_equal(read_back(path, back), 0);
        json_array_extend(objects, more);
        assert_true(json_equal(objects, back));
        /* Cut off: what is whole is taken. */
        f = fopen(path, "a");
        assert_non_null(f);
        assert_true(fputs("{\"metadata\":{}}", f) >= 0);
        (void)fclose(f);
        json_array_clear(back);
        assert_int_equal(read_back(path, back), -EINVAL);
        assert_int_equal(json_array_size(back), 50);
        (void)unlink(path);
        (void)rmdir(dir);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_cost_of_a_change),
                        cmocka_unit_test(test_a_slice_moves), cmocka_unit_test(test_claims),
                        cmocka_unit_test(test_reserved_addresses), cmocka_unit_test(test_endpoints),
                        cmocka_unit_test(test_elements), cmocka_unit_test(test_long_batch),
                        cmocka_unit_test(test_stale_flows), cmocka_unit_test(test_disk)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
