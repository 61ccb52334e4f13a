/* Services -> nftables: each tests/golden/services-to-nft/NAME.yaml holds steps (documents
 * {services, slices}); the golden file shows the whole table of the first and the change to each
 * next one. */
#include "tests/unit/unit.h"

#include "lib/object.h"
#include "lib/yaml.h"
#include "nodeagent/network/services-to-nft.h"
#include "tests/unit/golden.h"

static json_t *model_of(const json_t *step, const char *name) {
        _cleanup_json_ json_t *slices = json_array();
        const json_t *v, *service = NULL;
        size_t i;

        json_array_foreach (json_at(step, "services"), i, v)
                if (streq(object_name(v), name))
                        service = v;
        if (!service)
                return NULL;
        json_array_foreach (json_at(step, "slices"), i, v)
                if (streq(strempty(object_label(v, "kubernetes.io/service-name")), name))
                        json_array_append(slices, (json_t *)v);
        return service_to_model(service, slices,
                        &(struct service_facts){.node_name = "n1",
                                        .service_cidr = "10.96.0.0/16",
                                        .node_ip = "203.0.113.7"});
}

static void add_names(json_t *names, const json_t *step) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(step, "services"), i, v)
                json_object_set_new(names, object_name(v), json_true());
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
                struct nft_frame frame = {"10.244.0.0/16", "10.96.0.0/16"};
                struct ruleset ruleset = {0};
                const char *name;
                json_t *v;

                add_names(names, before);
                add_names(names, now);
                buf_printf(&out, "%s# step %zu\n", d > 0 ? "\n" : "", d + 1);
                json_object_foreach (names, name, v) {
                        _cleanup_json_ json_t *old = before ? model_of(before, name) : NULL,
                                              *new_model = model_of(now, name);
                        if (d == 0)
                                assert_int_equal(ruleset_add(&ruleset, new_model), 0);
                        else
                                assert_int_equal(model_diff(old, new_model, &out), 0);
                }
                if (d == 0)
                        assert_int_equal(ruleset_text(&ruleset, &frame, &out), 0);
        }
        return buf_take(&out);
}

static void test_goldens(void **state) {
        static const char *const names[] = {
                        "cluster-ip", "node-port", "affinity", "headless", "load-balancer"};

        for (size_t i = 0; i < ELEMENTS(names); i++)
                golden_check("services-to-nft", names[i], convert);
}

static void test_local_pod(void **state) {
        _cleanup_json_ json_t *ports = json_pack("[{s:i, s:i}, {s:i, s:i, s:s}]", "hostPort", 80,
                        "containerPort", 8080, "hostPort", 53, "containerPort", 5353, "protocol",
                        "UDP");
        _cleanup_json_ json_t *model = local_pod_to_model("11-22", "10.244.1.7", ports),
                              *bad = local_pod_to_model("u", "10.0.0.1; drop", ports);
        _cleanup_buf_ struct buf out = {0};

        assert_int_equal(model_diff(NULL, model, &out), 0);
        assert_non_null(strstr(
                        out.data, "add element inet keelson hairpin { 10.244.1.7 . 10.244.1.7 }"));
        assert_non_null(strstr(out.data, "add element inet keelson nodeports { tcp . 80 : goto "
                                         "host-11-22/tcp-80, udp . 53 : goto "
                                         "host-11-22/udp-53 }"));
        assert_non_null(strstr(out.data, "meta l4proto tcp dnat ip to 10.244.1.7:8080"));
        buf_reset(&out);
        assert_int_equal(model_diff(NULL, bad, &out), 0);
        assert_int_equal(out.size, 0);
        assert_int_equal(model_diff(model, model, &out), 0);
        assert_int_equal(out.size, 0);
}

static void test_host_ip(void **state) {
        _cleanup_json_ json_t *ports = json_pack(
                        "[{s:i, s:i, s:s}, {s:i, s:i, s:s}, {s:i, s:i, s:s}]", "hostPort", 81,
                        "containerPort", 8081, "hostIP", "127.0.0.1", "hostPort", 82,
                        "containerPort", 8082, "hostIP", "0.0.0.0", "hostPort", 83, "containerPort",
                        8083, "hostIP", "10.0.0.1; drop");
        _cleanup_json_ json_t *model = local_pod_to_model("11-22", "10.244.1.7", ports);
        _cleanup_buf_ struct buf out = {0};

        assert_int_equal(model_diff(NULL, model, &out), 0);
        assert_non_null(strstr(out.data,
                        "add element inet keelson hostports { 127.0.0.1 . tcp . 81 : goto "
                        "host-11-22/tcp-81/127.0.0.1 }"));
        assert_non_null(strstr(out.data, "add rule inet keelson host-11-22/tcp-81/127.0.0.1 meta "
                                         "mark set meta mark | 0x4000"));
        assert_null(strstr(out.data, "tcp . 81 : goto host-11-22/tcp-81 "));
        assert_non_null(strstr(out.data, "nodeports { tcp . 82"));
        assert_null(strstr(out.data, "8083"));
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens),
                        cmocka_unit_test(test_local_pod), cmocka_unit_test(test_host_ip)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
