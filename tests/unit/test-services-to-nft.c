/* Services -> nftables: each tests/golden/services-to-nft/NAME.yaml holds steps (documents
 * {services, slices}, with the ranges cluster6, service6 and the address node6 of a dual-stack
 * cluster); the golden file shows the changes that lead to the first and to each next one: what
 * comes before the elements, the elements, and what comes after them. frame.yaml and
 * frame-dual.yaml are the frame's. */
#include "tests/unit/unit.h"

#include "lib/object.h"
#include "lib/yaml.h"
#include "nodeagent/network/nft-frame.h"
#include "nodeagent/network/services-to-nft.h"
#include "tests/unit/golden.h"

static json_t *model_of(const json_t *step, const char *name) {
        struct slice_list slices = {0};
        _cleanup_(service_view_freep) struct service_view *service = NULL;
        const struct service_facts facts = {.node = {"n1", "z1"},
                        .cluster_cidr = {"10.244.0.0/16", json_str_or(step, "cluster6", "")},
                        .service_cidr = {"10.96.0.0/16", json_str_or(step, "service6", "")},
                        .node_ip = {"203.0.113.7", json_str_or(step, "node6", "")}};
        const json_t *v;
        json_t *model;
        size_t i;

        json_array_foreach (json_at(step, "services"), i, v)
                if (streq(object_name(v), name))
                        service = service_view_new(v);
        if (!service)
                return NULL;
        json_array_foreach (json_at(step, "slices"), i, v)
                if (streq(strempty(object_label(v, "kubernetes.io/service-name")), name)) {
                        struct slice_view *slice = slice_view_new(v);

                        assert_non_null(slice);
                        assert_int_equal(vector_append(&slices, slice), 0);
                }
        model = service_to_model(service, &slices, &facts);
        assert_non_null(model);
        for (i = 0; i < slices.count; i++)
                slice_view_free(slices.items[i]);
        vector_done(&slices);
        return model;
}

static void add_names(json_t *names, const json_t *step) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(step, "services"), i, v)
                json_object_set_new(names, object_name(v), json_true());
}

static int element_text(bool add, const char *collection, const char *key, const char *value,
                void *userdata) {
        return buf_printf(userdata, "%s element %s { %s%s%s }\n", add ? "add" : "delete",
                        collection, key, add && *value ? " : " : "", add ? value : "");
}

static void add_change(const json_t *old, const json_t *model, struct buf *out) {
        assert_int_equal(model_before(old, model, out), 0);
        assert_int_equal(model_each_change(old, model, element_text, out), 0);
        assert_int_equal(model_after(old, model, out), 0);
}

static char *convert(const char *yaml) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_buf_ struct buf out = {0};

        assert_int_equal(yaml_parse(yaml, strlen(yaml), &docs, &p), 0);
        for (size_t d = 0; d < docs.count; d++) {
                const json_t *now = docs.items[d].value,
                             *before = d > 0 ? docs.items[d - 1].value : NULL;
                _cleanup_json_ json_t *names = json_object();
                const char *name;
                json_t *v;

                add_names(names, before);
                add_names(names, now);
                buf_printf(&out, "%s# step %zu\n", d > 0 ? "\n" : "", d + 1);
                json_object_foreach (names, name, v) {
                        _cleanup_json_ json_t *old = before ? model_of(before, name) : NULL,
                                              *model = model_of(now, name);

                        add_change(old, model, &out);
                }
        }
        return buf_take(&out);
}

static char *convert_frame(const char *yaml) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_buf_ struct buf out = {0};
        struct nft_frame frame;

        assert_int_equal(yaml_parse(yaml, strlen(yaml), &docs, &p), 0);
        frame = (struct nft_frame){.cluster_cidr = {json_str(docs.items[0].value, "cluster"),
                                           json_str(docs.items[0].value, "cluster6")},
                        .service_cidr = {json_str(docs.items[0].value, "service"),
                                        json_str(docs.items[0].value, "service6")}};
        assert_int_equal(nft_frame_text(&frame, &out), 0);
        return buf_take(&out);
}

static void test_goldens(void **state) {
        static const char *const names[] = {"cluster-ip", "node-port", "affinity", "headless",
                        "load-balancer", "traffic-policies", "topology", "dual-stack", "dual-ranges", "sctp"};

        for (size_t i = 0; i < ELEMENTS(names); i++)
                golden_check("services-to-nft", names[i], convert);
        golden_check("services-to-nft", "frame", convert_frame);
        golden_check("services-to-nft", "frame-dual", convert_frame);
}

/* The number of rules of each chain is what the frame's text adds: by it a changed chain is seen.
 */
static void test_frame_rules(void **state) {
        static const struct nft_frame frames[] = {{{NULL, NULL}, {NULL, NULL}},
                        {{"10.244.0.0/16", NULL}, {"10.96.0.0/16", ""}},
                        {{"10.244.0.0/16", "fd00:244::/56"}, {"10.96.0.0/16", "fd00:96::/112"}}};

        for (size_t i = 0; i < ELEMENTS(frames); i++) {
                _cleanup_buf_ struct buf text = {0};
                _cleanup_json_ json_t *counts = json_object();
                _cleanup_free_ char *marker = nft_frame_marker(&frames[i]);
                const char *name;
                json_t *v;

                assert_int_equal(nft_frame_text(&frames[i], &text), 0);
                for (char *save, *line = strtok_r(text.data, "\n", &save); line;
                                line = strtok_r(NULL, "\n", &save)) {
                        bool rule = startswith(line, "add rule inet keelson ") != NULL;
                        const char *chain = startswith(line, rule ? "add rule inet keelson "
                                                                  : "add chain inet keelson ");
                        _cleanup_free_ char *copy =
                                        chain ? strndup(chain, strcspn(chain, " ")) : NULL;

                        if (copy)
                                json_object_set_new(counts, copy,
                                                json_integer(json_int_or(counts, copy, 0) + rule));
                }
                assert_non_null(json_object_get(counts, marker));
                assert_int_equal(nft_frame_rules(&frames[i], marker), -1);
                json_object_del(counts, marker);
                json_object_foreach (counts, name, v)
                        assert_int_equal(nft_frame_rules(&frames[i], name), json_integer_value(v));
                assert_int_equal(json_object_size(counts), 10 + 2 * NFT_PICK_MAX);
        }
        assert_int_equal(nft_frame_rules(&frames[0], "pick-33"), -1);
        assert_int_equal(nft_frame_rules(&frames[0], "svc-a/b/tcp-80-0123456789ab"), -1);
}

static const char *const only4[FAMILIES] = {"10.244.1.7", ""},
                         *const both[FAMILIES] = {"10.244.1.7", "fd00:244:1::7"},
                         *const no_address[FAMILIES] = {"10.0.0.1; drop", "fd00:0::7"};

static void test_local_pod(void **state) {
        _cleanup_json_ json_t *ports = json_pack("[{s:i, s:i}, {s:i, s:i, s:s}]", "hostPort", 80,
                        "containerPort", 8080, "hostPort", 53, "containerPort", 5353, "protocol",
                        "UDP");
        _cleanup_json_ json_t *model = local_pod_to_model("11-22", only4, ports),
                              *bad = local_pod_to_model("u", no_address, ports);
        _cleanup_buf_ struct buf out = {0};

        add_change(NULL, model, &out);
        assert_non_null(strstr(out.data, "add element hairpin { 10.244.1.7 . 10.244.1.7 }"));
        assert_non_null(strstr(out.data, "add element nodeports { tcp . 80 : goto "
                                         "host-11-22/tcp-80-"));
        assert_non_null(strstr(out.data, "add element nodeports { udp . 53 : goto "
                                         "host-11-22/udp-53-"));
        assert_non_null(strstr(out.data, "meta l4proto tcp dnat ip to 10.244.1.7:8080"));
        buf_reset(&out);
        add_change(NULL, bad, &out);
        assert_int_equal(out.size, 0);
        add_change(model, model, &out);
        assert_int_equal(out.size, 0);
}

static void test_host_ip(void **state) {
        _cleanup_json_ json_t *ports = json_pack(
                        "[{s:i, s:i, s:s}, {s:i, s:i, s:s}, {s:i, s:i, s:s}]", "hostPort", 81,
                        "containerPort", 8081, "hostIP", "127.0.0.1", "hostPort", 82,
                        "containerPort", 8082, "hostIP", "0.0.0.0", "hostPort", 83, "containerPort",
                        8083, "hostIP", "10.0.0.1; drop");
        _cleanup_json_ json_t *model = local_pod_to_model("11-22", only4, ports);
        _cleanup_buf_ struct buf out = {0};

        add_change(NULL, model, &out);
        assert_non_null(strstr(out.data, "add element hostports { 127.0.0.1 . tcp . 81 : goto "
                                         "host-11-22/tcp-81/127.0.0.1-"));
        assert_non_null(strstr(out.data, "add chain inet keelson host-11-22/tcp-81/127.0.0.1-"));
        assert_non_null(strstr(out.data, " meta mark set meta mark | 0x4000\n"));
        assert_null(strstr(out.data, "nodeports { tcp . 81 "));
        assert_non_null(strstr(out.data, "nodeports { tcp . 82"));
        assert_null(strstr(out.data, "8083"));
}

/* Host ports of a pod with both addresses: of all addresses, of those of one family, of one. */
static void test_host_ports_dual(void **state) {
        _cleanup_json_ json_t *ports = json_pack(
                        "[{s:i, s:i}, {s:i, s:i, s:s}, {s:i, s:i, s:s}, {s:i, s:i, s:s}, {s:i, s:i, "
                        "s:s}]",
                        "hostPort", 81, "containerPort", 8081, "hostPort", 82, "containerPort", 8082,
                        "hostIP", "0.0.0.0", "hostPort", 83, "containerPort", 8083, "hostIP", "::",
                        "hostPort", 84, "containerPort", 8084, "hostIP", "fd00::1", "hostPort", 85,
                        "containerPort", 8085, "hostIP", "::1");
        static const struct {
                const char *text;
                bool is_there;
        } cases[] = {
                        {"element hairpin { 10.244.1.7 . 10.244.1.7 }", true},
                        {"element hairpin6 { fd00:244:1::7 . fd00:244:1::7 }", true},
                        {"element nodeports { tcp . 81 : goto host-11-22/tcp-81-", true},
                        {"element nodeports6 { tcp . 81 : goto host-11-22/tcp-81/6-", true},
                        {"tcp dnat ip6 to [fd00:244:1::7]:8081", true},
                        {"element nodeports { tcp . 82", true},
                        {"element nodeports6 { tcp . 82", false},
                        {"element nodeports { tcp . 83", false},
                        {"element nodeports6 { tcp . 83", true},
                        {"element hostports6 { fd00::1 . tcp . 84 : goto "
                         "host-11-22/tcp-84/fd00__1-",
                                        true},
                        {"element hostports { fd00::1", false},
                        {"8085", false}, /* no packet from ::1 reaches a pod */
        };
        _cleanup_json_ json_t *model = local_pod_to_model("11-22", both, ports);
        _cleanup_buf_ struct buf out = {0};

        add_change(NULL, model, &out);
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if (!!strstr(out.data, cases[i].text) != cases[i].is_there)
                        fail_msg("%s: %s\n%s", cases[i].text,
                                        cases[i].is_there ? "missing" : "not wanted", out.data);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens),
                        cmocka_unit_test(test_frame_rules), cmocka_unit_test(test_local_pod),
                        cmocka_unit_test(test_host_ip), cmocka_unit_test(test_host_ports_dual)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
