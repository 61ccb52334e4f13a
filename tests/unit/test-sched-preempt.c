/* Preemption: which pods of lower priority make room. */
#include "tests/unit/sched.h"

struct running {
        const char *name, *node, *requests;
        int priority;
        const char *more;    /* further fields of spec */
        const char *started; /* hour */
};

struct scene {
        const char *what;
        struct running pods[6];
        const char *spec, *requests;
        const char *budget; /* spec.selector.matchLabels.app and allowed disruptions, or NULL */
        const char *node, *victims;
        const char *message;
};

static const struct scene scenes[] = {
                {.what = "the lowest priority leaves",
                                .pods = {{"a1", "a", "cpu: '2'", 5}, {"b1", "b", "cpu: '2'", 1}},
                                .requests = "cpu: '1'",
                                .node = "b",
                                .victims = "d/b1"},
                {.what = "only as many as needed, the most important stay",
                                .pods = {{"a1", "a", "cpu: 600m", 1}, {"a2", "a", "cpu: 600m", 3},
                                                {"a3", "a", "cpu: 600m", 2},
                                                {"b1", "b", "cpu: '2'", 50}},
                                .requests = "cpu: '1'",
                                .node = "a",
                                .victims = "d/a3,d/a1"},
                {.what = "fewer victims when their priorities are equal",
                                .pods = {{"a1", "a", "cpu: '1'", 1}, {"a2", "a", "cpu: '1'", 1},
                                                {"b1", "b", "cpu: '2'", 1}},
                                .requests = "cpu: '2'",
                                .node = "b",
                                .victims = "d/b1"},
                {.what = "the younger one",
                                .pods = {{"a1", "a", "cpu: '2'", 1, "", "08"},
                                                {"b1", "b", "cpu: '2'", 1, "", "09"}},
                                .requests = "cpu: '2'",
                                .node = "b",
                                .victims = "d/b1"},
                {.what = "a budget that allows no disruption",
                                .pods = {{"a1", "a", "cpu: '2'", 5}, {"b1", "b", "cpu: '2'", 1}},
                                .requests = "cpu: '1'",
                                .budget = "b1",
                                .node = "a",
                                .victims = "d/a1"},
                {.what = "but a budget is only a wish",
                                .pods = {{"a1", "a", "cpu: '2'", 500}, {"b1", "b", "cpu: '2'", 1}},
                                .requests = "cpu: '1'",
                                .budget = "b1",
                                .node = "b",
                                .victims = "d/b1"},
                {.what = "nobody is of lower priority",
                                .pods = {{"a1", "a", "cpu: '2'", 500},
                                                {"b1", "b", "cpu: '2'", 100}},
                                .requests = "cpu: '1'",
                                .message = "0/3 nodes are available: 1 Preemption is not helpful "
                                           "for scheduling, 2 No preemption victims found for "
                                           "incoming pod."},
                {.what = "no victim helps",
                                .pods = {{"a1", "a", "cpu: '2'", 1}, {"b1", "b", "cpu: '2'", 1}},
                                .requests = "cpu: '3'",
                                .message = "0/3 nodes are available: 3 Preemption is not helpful "
                                           "for scheduling."},
                {.what = "the pod may not",
                                .pods = {{"a1", "a", "cpu: '2'", 1}, {"b1", "b", "cpu: '2'", 1}},
                                .spec = "preemptionPolicy: Never",
                                .requests = "cpu: '1'",
                                .message = "not eligible due to preemptionPolicy=Never."},
                {.what = "anti-affinity of a lower pod",
                                .pods = {{"a1", "a", "cpu: 100m", 1,
                                                         "affinity: {podAntiAffinity: "
                                                         "{requiredDuringSchedulingIgnoredDuringExe"
                                                         "cution: [{topologyKey: "
                                                         "kubernetes.io/hostname, labelSelector: "
                                                         "{}}]}}"},
                                                {"b1", "b", "cpu: '2'", 500}},
                                .requests = "cpu: '1'",
                                .node = "a",
                                .victims = "d/a1"},
                {.what = "room for one pod more",
                                .pods = {{"a1", "a", "cpu: '2'", 500}, {"b1", "b", "", 1},
                                                {"b2", "b", "", 2}, {"b3", "b", "", 500}},
                                .requests = "cpu: '2'",
                                .node = "b",
                                .victims = "d/b1"},
};

static struct sched_cluster *scene_set(const struct scene *x) {
        struct sched_cluster *c = cluster_new();

        add_node(c, "a", "", "");
        add_node(c, "b", "", "");
        add_node(c, "t", "", "taints: [{key: k, effect: NoSchedule}]");
        for (size_t i = 0; i < ELEMENTS(x->pods) && x->pods[i].name; i++) {
                const struct running *r = &x->pods[i];
                _cleanup_free_ char *spec = strformat("nodeName: %s, priority: %d%s%s", r->node,
                                r->priority, isempty(r->more) ? "" : ", ", strempty(r->more));
                _cleanup_json_ json_t *o = pod(r->name, r->name, spec, r->requests);
                _cleanup_free_ char *time =
                                strformat("2026-01-01T%s:00:00Z", r->started ? r->started : "00");

                json_set_str(o, "status.startTime", time);
                sched_cluster_put_pod(c, o);
        }
        if (x->budget) {
                _cleanup_json_ json_t *budget =
                                yaml("metadata: {name: b, namespace: d}\nspec: {selector: "
                                     "{matchLabels: {app: %s}}}\nstatus: {disruptionsAllowed: 0}",
                                                x->budget);

                sched_cluster_put_budget(c, budget);
        }
        return c;
}

static void test_scenes(void **state) {
        for (size_t i = 0; i < ELEMENTS(scenes); i++) {
                const struct scene *x = &scenes[i];
                _cleanup_(sched_cluster_freep) struct sched_cluster *c = scene_set(x);
                _cleanup_free_ char *spec = strformat("priority: 100%s%s", x->spec ? ", " : "",
                                                    strempty(x->spec)),
                                    *victims = NULL, *before = NULL, *after = NULL;
                _cleanup_json_ json_t *o = pod("p", "o", spec, x->requests);
                struct sched_pod *p = read_pod(c, o);
                struct sched_preemption result;

                before = place(c, o);
                for (uint64_t offset = 0; offset < 3; offset++) {
                        sched_preempt(c, p, offset, &result);
                        free(victims);
                        victims = strv_join(result.victims, ",");
                        if (!streq(strempty(result.node), strempty(x->node)) ||
                                        !streq(strempty(victims), strempty(x->victims)) ||
                                        !streq(strempty(result.message), strempty(x->message)) ||
                                        result.is_hopeless != (!x->node && !x->spec))
                                fail_msg("%s: node %s, victims %s, message %s", x->what,
                                                strempty(result.node), strempty(victims),
                                                strempty(result.message));
                        sched_preemption_done(&result);
                }
                /* It was only thought. */
                after = place(c, o);
                assert_string_equal(before, after);
                sched_pod_free(c, p);
        }
}

/* A promised node counts as used for pods of the same or a lower priority, not for higher ones; the
 * pod itself takes it when it is free. */
static void test_nominated(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();
        _cleanup_json_ json_t *promised = pod("p", "o", "priority: 100", "cpu: '2'");
        struct sched_pod *p = read_pod(c, promised);
        _cleanup_free_ char *first = NULL;

        add_node(c, "a", "", "");
        sched_cluster_nominate(c, p, "a");
        assert_place(c, "q", "priority: 100", "cpu: 1m",
                        "0/1 nodes are available: 1 Insufficient cpu.");
        assert_place(c, "q", "priority: 101", "cpu: 1m", "a");
        first = place(c, promised);
        assert_string_equal(first, "a");
        add_node(c, "b", "", "");
        add_pod(c, "x", "x", "a", "", "cpu: 500m"); /* another writer was faster */
        assert_place(c, "p", "priority: 100", "cpu: '2'", "b");
        sched_cluster_nominate(c, p, NULL);
        assert_place(c, "q", "nodeSelector: {kubernetes.io/hostname: a}", "cpu: '1'", "a");
        sched_pod_free(c, p);
}

/* While the victims of an earlier preemption terminate, no further ones are chosen. */
static void test_clearing(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();
        _cleanup_json_ json_t *victim = pod("v", "v", "nodeName: a, priority: 1", "cpu: '2'");
        _cleanup_json_ json_t *o = pod("p", "o", "priority: 100", "cpu: '2'");
        struct sched_pod *p = read_pod(c, o);
        struct sched_preemption result;

        add_node(c, "a", "", "");
        json_set_str(victim, "metadata.deletionTimestamp", "2026-01-01T00:00:00Z");
        sched_cluster_put_pod(c, victim);
        sched_cluster_nominate(c, p, "a");
        sched_preempt(c, p, 0, &result);
        assert_null(result.node);
        assert_string_equal(result.message,
                        "not eligible due to a terminating pod on the nominated node.");
        sched_preemption_done(&result);
        sched_pod_free(c, p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_scenes),
                        cmocka_unit_test(test_nominated),
                        cmocka_unit_test(test_clearing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
