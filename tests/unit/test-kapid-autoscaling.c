/* HorizontalPodAutoscalers in kapid: defaults, refusals, cells, conversion to autoscaling/v1 and
 * back; and what agents report. */
#include "tests/unit/unit.h"

#include <time.h>

#include "kapid/pipeline/convert.h"
#include "kapid/table/cells.h"
#include "kapid/usage.h"
#include "lib/buf.h"
#include "tests/unit/kapid-create.h"

#define HPA(version, more) \
        "{'apiVersion':'autoscaling/" version "','metadata':{'name':'h','namespace':'d'},'spec':{" \
        "'scaleTargetRef':{'apiVersion':'apps/v1','kind':'Deployment','name':'web'}," \
        "'maxReplicas':5" more "}}"
#define METRIC(metric) HPA("v2", ",'metrics':[{" metric "}]")
#define RESOURCE(target) "'type':'Resource','resource':{'name':'cpu','target':{" target "}}"
#define UP(rules) HPA("v2", ",'behavior':{'scaleUp':{" rules "}}")
#define POLICY(policy) UP("'policies':[{" policy "}]")

static const struct kind *hpa_kind(const char *version) {
        const struct kind *k = kind_registry_find(
                        registry, "autoscaling", version, "horizontalpodautoscalers");

        assert_non_null(k);
        return k;
}

static void test_defaults(void **state) {
        static const struct {
                const char *version, *object, *path, *expected;
        } cases[] = {
                        {"v2", HPA("v2", ""), "spec.minReplicas", "1"},
                        {"v1", HPA("v1", ""), "spec.minReplicas", "1"},
                        {"v2", HPA("v2", ""), "spec.metrics",
                                        "[{'type':'Resource','resource':{'name':'cpu','target':{"
                                        "'type':'Utilization','averageUtilization':80}}}]"},
                        {"v2", HPA("v2", ",'behavior':{}"), "spec.behavior.scaleUp",
                                        "{'selectPolicy':'Max','stabilizationWindowSeconds':0,"
                                        "'policies':[{'type':'Pods','value':4,'periodSeconds':15},{"
                                        "'type':'Percent','value':100,'periodSeconds':15}]}"},
                        {"v2", HPA("v2", ",'behavior':{}"), "spec.behavior.scaleDown",
                                        "{'selectPolicy':'Max','policies':[{'type':'Percent',"
                                        "'value':100,'periodSeconds':15}]}"},
                        {"v2", UP("'selectPolicy':'Min'"), "spec.behavior.scaleUp.selectPolicy",
                                        "'Min'"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *o =
                                create(hpa_kind(cases[i].version), cases[i].object, NULL);

                assert_json(json_at(o, cases[i].path), cases[i].expected);
        }
}

static void test_refusals(void **state) {
        static const struct {
                const char *object, *expected;
        } cases[] = {
                        {HPA("v2", ",'minReplicas':0"),
                                        "spec.minReplicas: Invalid value: 0: must be "
                                        "greater than or equal to 1"},
                        {HPA("v2", ",'minReplicas':6"),
                                        "spec.maxReplicas: Invalid value: 5: must be "
                                        "greater than or equal to `minReplicas`"},
                        {"{'metadata':{'name':'h','namespace':'d'},'spec':{'maxReplicas':0,"
                         "'scaleTargetRef':{'kind':'D','name':'a/b'}}}",
                                        "spec.scaleTargetRef.name: Invalid value: 'a/b'"},
                        {METRIC("'type':'Resource'"),
                                        "metrics[0].resource: Required value: must populate"},
                        {METRIC("'type':'Disk'"), "metrics[0].type: Unsupported value: 'Disk'"},
                        {METRIC(RESOURCE("'type':'Utilization'")),
                                        "resource.target.averageUtilization: Required value: must "
                                        "set either a target raw value or a target utilization"},
                        {METRIC(RESOURCE("'type':'Utilization','averageUtilization':0")),
                                        "averageUtilization: Invalid value: 0: must be greater than "
                                        "0"},
                        {METRIC(RESOURCE("'type':'AverageValue','averageValue':'-1'")),
                                        "averageValue: Invalid value: '-1': must be positive"},
                        {METRIC(RESOURCE("'type':'X','averageValue':'1'")),
                                        "target.type: Invalid value: 'X'"},
                        {METRIC(RESOURCE("'type':'Utilization','averageUtilization':5,"
                                         "'averageValue':'1'")),
                                        "averageValue: Forbidden: may not set both"},
                        {METRIC("'type':'Pods','pods':{'metric':{'name':''},'target':{'type':"
                                "'AverageValue','averageValue':'1'}}"),
                                        "pods.metric.name: Required value"},
                        {METRIC("'type':'ContainerResource','containerResource':{'name':'cpu',"
                                "'container':'','target':{'type':'AverageValue','averageValue':"
                                "'1'}}"),
                                        "containerResource.container: Required value"},
                        {METRIC(RESOURCE("'type':'Utilization','averageUtilization':5") ",'pods':{"
                                                                                        "'metric':{'name':'x'},'target':{'type':'Value'}}"),
                                        "metrics[0].pods: Forbidden: must populate the given"},
                        {UP("'stabilizationWindowSeconds':3601"),
                                        "scaleUp.stabilizationWindowSeconds: Invalid value: 3601"},
                        {UP("'selectPolicy':'Any'"), "scaleUp.selectPolicy: Unsupported value"},
                        {UP("'tolerance':'-0.1'"), "scaleUp.tolerance: Invalid value"},
                        {UP("'policies':[]"), "scaleUp.policies: Required value"},
                        {POLICY("'type':'Pods','value':0,'periodSeconds':1"),
                                        "policies[0].value: Invalid value: 0"},
                        {POLICY("'type':'Pods','value':1,'periodSeconds':1801"),
                                        "policies[0].periodSeconds: Invalid value: 1801"},
                        {POLICY("'type':'Some','value':1,'periodSeconds':1"),
                                        "policies[0].type: Unsupported value"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                create_fails(hpa_kind("v2"), cases[i].object, cases[i].expected);
}

static void test_counts(void **state) {
        _cleanup_buf_ struct buf metrics = {0}, policies = {0};
        _cleanup_free_ char *object = NULL;

        for (int i = 0; i < 101; i++) {
                buf_printf(&metrics, "%s{%s}", i > 0 ? "," : "",
                                RESOURCE("'type':'Utilization','averageUtilization':5"));
                buf_printf(&policies, "%s{%s}", i > 0 ? "," : "",
                                "'type':'Pods','value':1,'periodSeconds':1");
        }
        object = strformat(HPA("v2", ",'metrics':[%s],'behavior':{'scaleDown':{'policies':["
                                     "%s]}}"),
                        metrics.data, policies.data);
        create_fails(hpa_kind("v2"), object,
                        "spec.metrics: Too many: 101: must have at most 100 items");
        create_fails(hpa_kind("v2"), object,
                        "spec.behavior.scaleDown.policies: Too many: 101: must have at most 100");
}

/* The annotations of v1 are checked as what they mean. */
static void test_v1_refusal(void **state) {
        static const char object[] =
                        "{'metadata':{'name':'h','namespace':'d','annotations':{"
                        "'autoscaling.alpha.kubernetes.io/metrics':'[{\\'type\\':\\'Resource\\',"
                        "\\'resource\\':{\\'name\\':\\'cpu\\'}}]'}},'spec':{'maxReplicas':2,"
                        "'scaleTargetRef':{'kind':'Deployment','name':'web'}}}";

        create_fails(hpa_kind("v1"), object, "metrics[0].resource.target.averageUtilization");
}

static json_t *as(const json_t *object, const char *version) {
        _cleanup_problem_ struct problem p = {0};
        json_t *ret = NULL;

        assert_int_equal(object_as(object, hpa_kind(version), &ret, &p), 0);
        return ret;
}

#define CPU \
        "{'type':'Resource','resource':{'name':'cpu','target':{'type':'Utilization'," \
        "'averageUtilization':70}}}"

/* v2 -> v1 -> v2 loses nothing. */
static void test_round_trip(void **state) {
        static const char *const cases[] = {
                        "'metrics':[" CPU "]",
                        "'metrics':[" CPU ",{'type':'Resource','resource':{'name':'memory','target'"
                        ":{'type':'AverageValue','averageValue':'1Gi'}}}]",
                        "'metrics':[{'type':'ContainerResource','containerResource':{'name':'cpu',"
                        "'container':'c','target':{'type':'Utilization','averageUtilization':9}}}]",
                        "'metrics':[{'type':'Pods','pods':{'metric':{'name':'hits','selector':{"
                        "'matchLabels':{'a':'b'}}},'target':{'type':'AverageValue','averageValue':"
                        "'10'}}}]",
                        "'metrics':[{'type':'Object','object':{'describedObject':{'kind':'Service',"
                        "'name':'s','apiVersion':'v1'},'metric':{'name':'hits'},'target':{'type':"
                        "'Value','value':'10'}}}]",
                        "'metrics':[{'type':'External','external':{'metric':{'name':'queue',"
                        "'selector':{'matchLabels':{'a':'b'}}},'target':{'type':'AverageValue',"
                        "'averageValue':'3'}}}]",
                        "'metrics':[" CPU "],'behavior':{'scaleUp':{'stabilizationWindowSeconds':1,"
                        "'selectPolicy':'Min','tolerance':'50m','policies':[{'type':'Percent',"
                        "'value':5,'periodSeconds':9}]},'scaleDown':{'selectPolicy':'Disabled',"
                        "'policies':[{'type':'Pods','value':1,'periodSeconds':2}]}}",
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = strformat(
                                "{'apiVersion':'autoscaling/v2','metadata':{'name':'h','annotations':{'a':"
                                "'b'}},'spec':{'maxReplicas':5,%s},'status':{'desiredReplicas':1,"
                                "'currentMetrics':[{'type':'Resource','resource':{'name':'cpu','current':{"
                                "'averageUtilization':12,'averageValue':'12m'}}}],'conditions':[{'type':"
                                "'AbleToScale','status':'True','reason':'R','message':'m',"
                                "'lastTransitionTime':'2026-01-01T00:00:00Z'}]}}",
                                cases[i]);
                _cleanup_json_ json_t *v2 = parse(text), *v1 = as(v2, "v1"), *back = as(v1, "v2");

                assert_json(json_object_get(v1, "apiVersion"), "'autoscaling/v1'");
                assert_null(json_at(v1, "spec.metrics"));
                assert_null(json_at(v1, "spec.behavior"));
                assert_null(json_at(v1, "status.conditions"));
                assert_json(json_at(v1, "status.currentCPUUtilizationPercentage"), "12");
                assert_json(back, text);
        }
}

static void test_v1(void **state) {
        _cleanup_json_ json_t *cpu = parse("{'apiVersion':'autoscaling/v2','metadata':{},'spec':{"
                                           "'metrics':[" CPU "]}}"),
                              *v1 = as(cpu, "v1"),
                              *junk = parse("{'apiVersion':'autoscaling/v1','metadata':{"
                                            "'annotations':{'autoscaling.alpha.kubernetes.io/"
                                            "metrics':'no JSON','autoscaling.alpha.kubernetes.io/"
                                            "behavior':'[1]','autoscaling.alpha.kubernetes.io/"
                                            "conditions':'{}','autoscaling.alpha.kubernetes.io/"
                                            "current-metrics':'[7]'}},'spec':{'maxReplicas':1},"
                                            "'status':{}}"),
                              *v2 = as(junk, "v2");

        assert_json(json_at(v1, "spec.targetCPUUtilizationPercentage"), "70");
        assert_null(json_at(v1, "metadata.annotations"));
        assert_json(json_at(v2, "spec.metrics"),
                        "[{'type':'Resource','resource':{'name':'cpu','target':{'type':"
                        "'Utilization','averageUtilization':80}}}]");
        assert_null(json_at(v2, "spec.behavior"));
        assert_null(json_at(v2, "metadata.annotations"));
}

/* An annotation of v1 brings nothing into v2 that clients of v2 could not read. */
static void test_hostile_annotations(void **state) {
        static const struct {
                const char *annotation, *text, *path, *expected;
        } cases[] = {
                        {"metrics",
                                        "[{'type':'Resource','resource':{'name':'memory',"
                                        "'targetAverageUtilization':4611686018427387904}}]",
                                        "spec.metrics",
                                        "[{'type':'Resource','resource':{'name':'memory'}}]"},
                        {"metrics",
                                        "[{'type':'Resource','resource':{'name':'memory',"
                                        "'targetAverageValue':'much'}}]",
                                        "spec.metrics",
                                        "[{'type':'Resource','resource':{'name':'memory'}}]"},
                        {"metrics",
                                        "[{'type':'Pods','pods':{'metricName':'m','selector':{"
                                        "'matchLabels':{'a':5}}}},{'type':'Pods','pods':{"
                                        "'metricName':'m','selector':{'matchExpressions':[{'key':"
                                        "'a','values':[1]}]}}},{'type':'Pods','pods':{'metricName':"
                                        "'m','selector':{'matchExpressions':[{'key':'a','operator':"
                                        "'In','values':['1']}]}}}]",
                                        "spec.metrics",
                                        "[{'type':'Pods','pods':{'metric':{'name':'m'}}},{'type':"
                                        "'Pods','pods':{'metric':{'name':'m'}}},{'type':'Pods',"
                                        "'pods':{'metric':{'name':'m','selector':{"
                                        "'matchExpressions':[{'key':'a','operator':'In','values':["
                                        "'1']}]}}}}]"},
                        {"behavior",
                                        "{'ScaleDown':{'Policies':[{'Type':'Pods','Value':"
                                        "4294967296,'PeriodSeconds':5}]}}",
                                        "spec.behavior.scaleDown.policies",
                                        "[{'type':'Pods','periodSeconds':5}]"},
                        {"conditions",
                                        "[{'type':'A','status':'Perhaps'},{'type':'B','status':"
                                        "'True','lastTransitionTime':'noon'},{'status':'True'},7]",
                                        "status.conditions", "[{'type':'B','status':'True'}]"},
                        {"current-metrics",
                                        "[{'type':'Resource','resource':{'name':'cpu',"
                                        "'currentAverageUtilization':2147483648,"
                                        "'currentAverageValue':'2'}}]",
                                        "status.currentMetrics",
                                        "[{'type':'Resource','resource':{'name':'cpu','current':{"
                                        "'averageValue':'2'}}}]"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *key = strformat(
                                "autoscaling.alpha.kubernetes.io/%s", cases[i].annotation);
                _cleanup_free_ char *text = quoted(cases[i].text);
                _cleanup_json_ json_t *v1 = parse("{'apiVersion':'autoscaling/v1','metadata':{"
                                                  "'annotations':{}},'spec':{},'status':{}}"),
                                      *v2 = NULL;

                json_object_set_new(
                                json_at_mut(v1, "metadata.annotations"), key, json_string(text));
                v2 = as(v1, "v2");
                assert_json(json_at(v2, cases[i].path), cases[i].expected);
        }
}

/* Such an annotation of a v2 object means nothing, and does not become a field through v1. */
static void test_annotations_of_v2(void **state) {
        static const char text[] = "{'apiVersion':'autoscaling/v2','metadata':{'annotations':{"
                                   "'autoscaling.alpha.kubernetes.io/behavior':'{}',"
                                   "'autoscaling.alpha.kubernetes.io/metrics':'[1]','a':'b'}},"
                                   "'spec':{'metrics':[" CPU "]}}";
        _cleanup_json_ json_t *v2 = parse(text), *v1 = as(v2, "v1"), *back = as(v1, "v2");

        assert_json(json_at(v1, "metadata.annotations"), "{'a':'b'}");
        assert_json(json_at(back, "spec"), "{'metrics':[" CPU "]}");
}

static void test_cells(void **state) {
        static const struct {
                const char *object, *expected;
        } cases[] = {
                        {"{'spec':{}}", "'<none>'"},
                        {"{'spec':{'metrics':[" CPU "]}}", "'cpu: <unknown>/70%'"},
                        {"{'spec':{'metrics':[" CPU "]},'status':{'currentMetrics':[{'type':"
                         "'Resource','resource':{'name':'cpu','current':{'averageUtilization':12,"
                         "'averageValue':'9m'}}}]}}",
                                        "'cpu: 12%/70%'"},
                        {"{'spec':{'metrics':[" CPU "," CPU "," CPU "," CPU "]}}",
                                        "'cpu: <unknown>/70%, cpu: <unknown>/70% + 2 more...'"},
                        {"{'spec':{'metrics':[{'type':'External','external':{'target':{"
                         "'averageValue':'3'}}},{'type':'Pods','pods':{'target':{'averageValue':"
                         "'4'}}}]}}",
                                        "'<unknown>/3 (avg), <unknown>/4'"},
                        {"{'spec':{'targetCPUUtilizationPercentage':50},'status':{"
                         "'currentCPUUtilizationPercentage':7}}",
                                        "'cpu: 7%/50%'"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *o = parse(cases[i].object), *v = cells_hpa_targets(o, 0);

                assert_json(v, cases[i].expected);
        }
}

/* --- reports of agents --- */

static void feed(struct caches *c, const char *key, const char *text) {
        _cleanup_free_ char *s = quoted(text);

        assert_int_equal(caches_feed(c, key, s, strlen(s), 7), 0);
}

static void put(struct usages *u, const struct cache *pods, const char *node, const char *more,
                uint64_t at_s) {
        _cleanup_free_ char *text = strformat("{'windowMilliseconds':15000,'cpuNanocores':5,"
                                              "'memoryBytes':2048,'pods':[%s]}",
                        more);
        _cleanup_json_ json_t *report = parse(text);

        assert_int_equal(usages_put(u, node, report, pods, at_s * 1000000, at_s * 1000000), 0);
}

#define POD(name, uid, container) \
        "{'namespace':'d','name':'" name "','uid':'" uid "','containers':[{'name':'" container \
        "','cpuNanocores':7000000,'memoryBytes':1024}]}"

/* The containers' metrics of a pod at that second, or "none". */
static void pod_is(const struct usages *u, const struct cache *pods, const char *path,
                uint64_t at_s, const char *expected) {
        _cleanup_json_ json_t *v = NULL;
        struct item *it = cache_find(pods, path);
        int r = it ? usages_pod_metrics(u, it, at_s * 1000000, &v) : 0;

        assert_true(r >= 0);
        if (streq(expected, "none"))
                assert_int_equal(r, 0);
        else
                assert_json(json_object_get(v, "containers"), expected);
}

static void test_usage(void **state) {
        static const char used[] = "[{'name':'c','usage':{'cpu':'7000000n','memory':'1Ki'}}]";
        _cleanup_(usages_freep) struct usages *u = usages_new();
        _cleanup_(caches_freep) struct caches *caches = NULL;
        struct caches_options none = {0};
        const struct cache *pods;
        sd_event *event = NULL;

        assert_int_equal(sd_event_new(&event), 0);
        assert_int_equal(caches_new(&caches, event, &none), 0);
        pods = caches_get(caches, "/registry/pods/");
        assert_non_null(pods);
        feed(caches, "/registry/pods/d/a",
                        "{'metadata':{'name':'a','namespace':'d','uid':'u-a'},'spec':{'nodeName':"
                        "'n1','containers':[{'name':'c'}]}}");
        feed(caches, "/registry/pods/d/b",
                        "{'metadata':{'name':'b','namespace':'d','uid':'u-b'},'spec':{'nodeName':"
                        "'n2','containers':[{'name':'c'}]}}");

        put(u, pods, "n1", POD("a", "u-a", "c") "," POD("b", "u-b", "c"), 100);
        pod_is(u, pods, "d/a", 101, used);
        pod_is(u, pods, "d/b", 101, "none"); /* of another node */
        put(u, pods, "n2", POD("b", "u-b", "c"), 100);
        put(u, pods, "n1", POD("a", "u-a", "c") "," POD("b", "u-b", "c"), 102);
        pod_is(u, pods, "d/b", 103, used);   /* as its own node reported it */
        pod_is(u, pods, "d/a", 163, "none"); /* too old */
        put(u, pods, "n1", POD("a", "u-a", "other"), 110);
        pod_is(u, pods, "d/a", 110, "none"); /* has no such container */
        put(u, pods, "n1", POD("a", "u-x", "c"), 111);
        pod_is(u, pods, "d/a", 111, "none"); /* another pod of that name */
        put(u, pods, "n1", POD("a", "u-a", "c"), 112);
        feed(caches, "/registry/pods/d/a",
                        "{'metadata':{'name':'a','namespace':'d','uid':'u-z'},'spec':{'nodeName':"
                        "'n3','containers':[{'name':'c'}]}}");
        pod_is(u, pods, "d/a", 112, "none"); /* replaced since */
        put(u, pods, "n1", "", 113);
        assert_int_equal(usages_count(u), 2);
        usages_sweep(u, UINT64_C(165) * 1000000); /* n2 was last heard at 100 */
        assert_int_equal(usages_count(u), 1);
        caches = caches_free(caches);
        sd_event_unref(event);
}

/* A report may name any pods: those of other nodes must not cost their whole size. */
static void test_pods_of_others(void **state) {
        _cleanup_(usages_freep) struct usages *u = usages_new();
        _cleanup_(caches_freep) struct caches *caches = NULL;
        _cleanup_json_ json_t *pod = parse("{'metadata':{'name':'b','namespace':'d','uid':'u-b'},"
                                           "'spec':{'nodeName':'n2','containers':[]}}");
        _cleanup_free_ char *text = NULL;
        _cleanup_buf_ struct buf rows = {0};
        struct caches_options none = {0};
        sd_event *event = NULL;
        clock_t start;

        for (int i = 0; i < 5000; i++)
                json_array_append_new(json_at_mut(pod, "spec.containers"),
                                json_pack("{ss, ss}", "name", "c", "image", "i"));
        text = json_text(pod);
        assert_int_equal(sd_event_new(&event), 0);
        assert_int_equal(caches_new(&caches, event, &none), 0);
        assert_non_null(caches_get(caches, "/registry/pods/"));
        assert_int_equal(caches_feed(caches, "/registry/pods/d/b", text, strlen(text), 7), 0);
        for (int i = 0; i < USAGE_PODS_MAX; i++)
                buf_printf(&rows, "%s%s", i > 0 ? "," : "", POD("b", "u-b", "c"));
        start = clock();
        put(u, caches_get(caches, "/registry/pods/"), "n1", rows.data, 100);
        assert_true(clock() - start < CLOCKS_PER_SEC / 4);
        caches = caches_free(caches);
        sd_event_unref(event);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_defaults),
                        cmocka_unit_test(test_refusals),
                        cmocka_unit_test(test_counts),
                        cmocka_unit_test(test_v1_refusal),
                        cmocka_unit_test(test_round_trip),
                        cmocka_unit_test(test_v1),
                        cmocka_unit_test(test_hostile_annotations),
                        cmocka_unit_test(test_annotations_of_v2),
                        cmocka_unit_test(test_cells),
                        cmocka_unit_test(test_usage),
                        cmocka_unit_test(test_pods_of_others),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
