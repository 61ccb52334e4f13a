/* The readable forms of kctl describe. */
#include "kctl/describe-forms.h"
#include "tests/unit/unit.h"

static json_t *parse(const char *text) {
        json_error_t e;
        json_t *v = json_loads(text, 0, &e);

        if (!v)
                fail_msg("%s: %s", e.text, text);
        return v;
}

/* Each object's form is, or where `part` is set has, this text. */
static const struct {
        const char *object, *text;
        bool part;
} forms[] = {
                {"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\"}}",
                                ""},
                /* a kind of the same name in another group is shown as it is */
                {"{\"apiVersion\":\"example.org/v1\",\"kind\":\"Job\",\"spec\":{}}", ""},
                {"{\"apiVersion\":\"policy/v1\",\"kind\":\"PodDisruptionBudget\",\"spec\":"
                 "{\"minAvailable\":\"50%\",\"selector\":{\"matchLabels\":{\"a\":\"b\",\"c\":\"d\"},"
                 "\"matchExpressions\":[{\"key\":\"zone\",\"operator\":\"In\",\"values\":[\"x\","
                 "\"y\"]},{\"key\":\"old\",\"operator\":\"DoesNotExist\"}]}},\"status\":"
                 "{\"disruptionsAllowed\":1,\"currentHealthy\":3,\"desiredHealthy\":2,"
                 "\"expectedPods\":3}}",
                                "Min available:        50%\n"
                                "Selector:             a=b,c=d,zone in (x,y),!old\n"
                                "Allowed disruptions:  1\n"
                                "Current:              3\n"
                                "Desired:              2\n"
                                "Total:                3\n"},
                {"{\"apiVersion\":\"policy/v1\",\"kind\":\"PodDisruptionBudget\",\"spec\":"
                 "{\"maxUnavailable\":1,\"selector\":{}}}",
                                "Max unavailable:      1\n"
                                "Selector:             <none>\n"
                                "Allowed disruptions:  0\n"
                                "Current:              0\n"
                                "Desired:              0\n"
                                "Total:                0\n"},
                {"{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"Ingress\",\"spec\":{\"tls\":"
                 "[{\"secretName\":\"s\",\"hosts\":[\"a\",\"b\"]}],\"rules\":[{\"host\":\"a\","
                 "\"http\":{\"paths\":[{\"path\":\"/x\",\"pathType\":\"Exact\",\"backend\":"
                 "{\"service\":{\"name\":\"web\",\"port\":{\"number\":80}}}},{\"pathType\":"
                 "\"Prefix\",\"backend\":{\"service\":{\"name\":\"web\",\"port\":{\"name\":"
                 "\"http\"}}}}]}},{\"host\":\"b\"}]},\"status\":{\"loadBalancer\":{\"ingress\":"
                 "[{\"ip\":\"192.0.2.1\"},{\"hostname\":\"h\"}]}}}",
                                "Address:              192.0.2.1\n"
                                "                      h\n"
                                "Ingress Class:        <none>\n"
                                "TLS:                  s terminates a, b\n"
                                "Rules:                a\n"
                                "                        /x   web:80 (Exact)\n"
                                "                        /   web:http (Prefix)\n"
                                "                      b\n"},
                {"{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"Ingress\",\"spec\":"
                 "{\"defaultBackend\":{\"service\":{\"name\":\"web\",\"port\":{\"number\":80}}}}}",
                                "Address:              \n"
                                "Ingress Class:        <none>\n"
                                "Default backend:      web:80\n"
                                "Rules:                <none>\n"},
                {"{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"spec\":{\"claimRef\":"
                 "{\"namespace\":\"n\",\"name\":\"c\"},\"nfs\":{\"server\":\"s\",\"path\":\"/p\"}}}",
                                "StorageClass:         \n"
                                "Status:               <unset>\n"
                                "Claim:                n/c\n"
                                "Source:               nfs: server=s,path=/p\n"},
                {"{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"spec\":{\"completions\":3,"
                 "\"podFailurePolicy\":{\"rules\":[{\"action\":\"FailJob\",\"onExitCodes\":"
                 "{\"operator\":\"In\",\"values\":[1,2]}}]},\"template\":{}},\"status\":"
                 "{\"succeeded\":2,\"completedIndexes\":\"0,1\"}}",
                                "Failure Policy:       FailJob: operator=In,values=1, 2\n"
                                "Pods Statuses:        0 Active (0 Ready) / 2 Succeeded / 0 Failed\n"
                                "Completed Indexes:    0,1\n",
                                true},
                {"{\"apiVersion\":\"batch/v1\",\"kind\":\"CronJob\",\"spec\":{\"schedule\":\"* * * * "
                 "*\",\"jobTemplate\":{\"spec\":{\"completions\":2,\"template\":{\"spec\":"
                 "{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"ports\":[{\"containerPort\":"
                 "80}],\"command\":[\"a\",\"b\"],\"env\":[{\"name\":\"E\",\"value\":\"1\"},{"
                 "\"name\":\"F\"}],\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":\"2Gi\"}}}],"
                 "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}],\"tolerations\":[{\"operator\":"
                 "\"Exists\"}]}}}}}}",
                                "Completions:          2\n"
                                "Last Schedule Time:   <unset>\n"
                                "Last Successful Time: <unset>\n"
                                "Active Jobs:          <none>\n"
                                "Pod Template:\n"
                                "  Labels:             <none>\n"
                                "  Containers:\n"
                                "    c:\n"
                                "      Image:          i\n"
                                "      Ports:          80/TCP\n"
                                "      Command:        a, b\n"
                                "      Limits:         cpu=1,memory=2Gi\n"
                                "      Environment:    E: 1\n"
                                "                      F:\n"
                                "      Mounts:         <none>\n"
                                "  Volumes:            name=v,emptyDir=()\n"
                                "  Node-Selectors:     <none>\n"
                                "  Tolerations:        every taint Exists\n",
                                true},
                /* what a terminal would obey is shown, not sent; what is long is cut */
                {"{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"spec\":"
                 "{\"volumeName\":\"a\\u001b[31mb\\nc\"}}",
                                "Volume:               a^[[31mb^Jc\n", true},
};

static void test_forms(void **state) {
        for (size_t i = 0; i < ELEMENTS(forms); i++) {
                _cleanup_json_ json_t *o = parse(forms[i].object);
                _cleanup_buf_ struct buf b = {0};

                assert_int_equal(describe_form(o, &b), *forms[i].text ? 1 : 0);
                if (!forms[i].part)
                        assert_string_equal(strempty(b.data), forms[i].text);
                else if (!strstr(strempty(b.data), forms[i].text))
                        fail_msg("%s\n is not in\n%s", forms[i].text, b.data);
        }
}

static void test_long(void **state) {
        _cleanup_buf_ struct buf b = {0};
        _cleanup_json_ json_t *o =
                        parse("{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\"}");
        char text[1001];

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = 0;
        json_set_str(o, "spec.volumeName", text);
        assert_int_equal(describe_form(o, &b), 1);
        assert_true(strlen(b.data) < 600);
        assert_non_null(strstr(b.data, "xxx...\n"));
}

/* However deep a value is, its end is reached. */
static void test_deep(void **state) {
        _cleanup_buf_ struct buf b = {0};
        _cleanup_json_ json_t *o = parse("{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\"}");
        json_t *deep = json_string("end");

        for (unsigned i = 0; i < 100; i++)
                deep = json_pack("{s:o}", "k", deep);
        json_set_at(o, "spec.selector", deep);
        assert_int_equal(describe_form(o, &b), 1);
        assert_non_null(strstr(b.data, "k=(k=(k=(k=(k=(k=(k=...))))))"));
}

static void test_pods(void **state) {
        static const char pod[] =
                        "{\"metadata\":{\"name\":\"p\",\"ownerReferences\":[{\"uid\":\"%s\","
                        "\"controller\":true}]},\"status\":{\"phase\":\"%s\"},\"spec\":{\"volumes\":"
                        "[{\"name\":\"v\",\"%s\":{\"claimName\":\"c\"}}]}}";
        _cleanup_json_ json_t *list = json_array();
        static const char *const pods[][3] = {
                        {"u", "Running", "persistentVolumeClaim"},
                        {"u", "Pending", "ephemeral"},
                        {"other", "Running", "configMap"},
                        {"u", "Running", "configMap"},
        };
        static const bool uses_c[] = {true, false, false, false},
                          uses_p_v[] = {false, true, false, false};

        for (size_t i = 0; i < ELEMENTS(pods); i++) {
                _cleanup_free_ char *text = strformat(pod, pods[i][0], pods[i][1], pods[i][2]);
                json_t *o = parse(text);

                json_array_append_new(list, o);
                assert_int_equal(describe_pod_uses_claim(o, "c"), uses_c[i]);
                assert_int_equal(describe_pod_uses_claim(o, "p-v"), uses_p_v[i]);
        }
        _cleanup_free_ char *counts = describe_pod_counts(list, "u");
        assert_string_equal(counts, "2 Running / 1 Waiting / 0 Succeeded / 0 Failed");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_forms),
                        cmocka_unit_test(test_long),
                        cmocka_unit_test(test_deep),
                        cmocka_unit_test(test_pods),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
