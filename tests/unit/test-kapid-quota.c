/* ResourceQuotas and LimitRanges, from the request to the store: what is counted and refused, in
 * which words; what other writers change in between; and that what is held by one writer is not
 * given to a second. */
#include "tests/unit/unit.h"

#include "kapid/admission/quota-accounts.h"
#include "lib/object.h"
#include "tests/unit/fake-kapid.h"

static struct fake_kapid *f;

#define NS "/api/v1/namespaces/default/"
#define QUOTA_KEY "/registry/resourcequotas/default/q"

static int setup(void **state) {
        f = fake_kapid_new();
        fake_kapid_put(f, "/registry/serviceaccounts/default/default",
                        "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":"
                        "\"default\",\"namespace\":\"default\"}}");
        return 0;
}

static int teardown(void **state) {
        f = fake_kapid_free(f);
        return 0;
}

/* One request; its code must be that, and its answer hold the text. */
static void ask(const char *method, const char *path, const char *body, int code,
                const char *text) {
        _cleanup_free_ char *b = body ? fake_quoted(body) : NULL;
        _cleanup_(exchange_done) struct exchange x = {.method = method, .path = path, .body = b};

        if (streq(method, "PATCH"))
                x.content_type = "application/merge-patch+json";
        exchange(f, &x);
        buf_append(&x.answer, "", 1);
        if (x.code != code || (text && !strstr(x.answer.data, text)))
                fail_msg("%s %s %s\n got: %d %s\nwant: %d %s", method, path, strempty(b), x.code,
                                x.answer.data, code, strempty(text));
}

static void post(const char *plural, const char *kind, const char *rest, int code,
                const char *text) {
        _cleanup_free_ char *path = strformat(NS "%s", plural);
        _cleanup_free_ char *body = strformat("{'apiVersion':'v1','kind':'%s',%s}", kind, rest);

        ask("POST", path, body, code, text);
}

static void quota(const char *spec) {
        _cleanup_free_ char *rest = strformat("'metadata':{'name':'q'},'spec':%s", spec);

        post("resourcequotas", "ResourceQuota", rest, 201, NULL);
}

static void expect_used(const char *used) {
        const char *stored = fake_kapid_stored(f, QUOTA_KEY);
        _cleanup_json_ json_t *want = fake_json(used), *got = NULL;

        assert_non_null(stored);
        got = json_loads(stored, 0, NULL);
        if (!json_equal((json_t *)json_at(got, "status.used"), want))
                fail_msg("\n got: %s\nwant: %s", stored, used);
        assert_true(json_same(json_at(got, "status.hard"), json_at(got, "spec.hard")));
}

#define CONTAINERS(resources) "'containers':[{'name':'c','image':'host','resources':" resources "}]"
#define POD(name, spec) "'metadata':{'name':'" name "'},'spec':{" spec "}"
#define PLAIN(name) POD(name, "'containers':[{'name':'c','image':'host'}]")

/* --- counting and refusing --- */

static void test_pods(void **state) {
        quota("{'hard':{'pods':'2','count/pods':'3'}}");
        expect_used("{'pods':'0','count/pods':'0'}");
        post("pods", "Pod", PLAIN("a"), 201, NULL);
        post("pods", "Pod", PLAIN("b"), 201, NULL);
        expect_used("{'pods':'2','count/pods':'2'}");
        post("pods", "Pod", PLAIN("c"), 403,
                        "pods \\\"c\\\" is forbidden: exceeded quota: q, requested: pods=1, used: "
                        "pods=2, limited: pods=2");
        expect_used("{'pods':'2','count/pods':'2'}");
        assert_null(fake_kapid_stored(f, "/registry/pods/default/c"));
        /* One that ends makes room for "pods", and none for count/pods. */
        ask("PATCH", NS "pods/a/status", "{'status':{'phase':'Succeeded'}}", 200, NULL);
        post("pods", "Pod", PLAIN("c"), 201, NULL);
        expect_used("{'pods':'2','count/pods':'3'}");
        ask("DELETE", NS "pods/b", NULL, 200, NULL);
        /* Deletions touch no quota; the next write sees them, and so does a count. */
        expect_used("{'pods':'2','count/pods':'3'}");
        ask("PATCH", NS "resourcequotas/q/status", "{'status':{}}", 200, NULL);
        expect_used("{'pods':'1','count/pods':'2'}");
        post("pods", "Pod", PLAIN("d"), 201, NULL);
        expect_used("{'pods':'2','count/pods':'3'}");
}

static void test_amounts(void **state) {
        quota("{'hard':{'requests.cpu':'1','limits.memory':'1Gi','requests.example.com/gpu':'2',"
              "'hugepages-2Mi':'4Mi'}}");
        post("pods", "Pod", PLAIN("a"), 403,
                        "pods \\\"a\\\" is forbidden: failed quota: q: must specify limits.memory "
                        "for: c; requests.cpu for: c");
        post("pods", "Pod",
                        POD("a", CONTAINERS("{'requests':{'cpu':'600m'},'limits':{'memory':'512Mi',"
                                            "'example.com/gpu':'1','hugepages-2Mi':'2Mi'}}")),
                        201, NULL);
        expect_used("{'requests.cpu':'600m','limits.memory':'512Mi','requests.example.com/gpu':'1',"
                    "'hugepages-2Mi':'2Mi'}");
        post("pods", "Pod",
                        POD("b", CONTAINERS("{'requests':{'cpu':'401m'},'limits':{'memory':'600Mi'"
                                            "}}")),
                        403,
                        "exceeded quota: q, requested: limits.memory=600Mi,requests.cpu=401m, "
                        "used: limits.memory=512Mi,requests.cpu=600m, limited: "
                        "limits.memory=1Gi,requests.cpu=1");
        post("pods", "Pod",
                        POD("b", CONTAINERS("{'requests':{'cpu':'400m'},'limits':{'memory':'512Mi'"
                                            "}}")),
                        201, NULL);
        expect_used("{'requests.cpu':'1','limits.memory':'1Gi','requests.example.com/gpu':'1',"
                    "'hugepages-2Mi':'2Mi'}");
}

/* Init containers count with what runs at one time. */
static void test_init_containers(void **state) {
        quota("{'hard':{'cpu':'5'}}");
        post("pods", "Pod",
                        POD("a", "'initContainers':[{'name':'s','image':'host','restartPolicy':"
                                 "'Always','resources':{'requests':{'cpu':'1'}}},{'name':'i',"
                                 "'image':'host','resources':{'requests':{'cpu':'2'}}}]," CONTAINERS(
                                                 "{'requests':{'cpu':'500m'}}")),
                        201, NULL);
        expect_used("{'cpu':'3'}");
}

static void test_services(void **state) {
        quota("{'hard':{'services':'5','services.nodeports':'2','services.loadbalancers':'1'}}");
        post("services", "Service",
                        "'metadata':{'name':'a'},'spec':{'type':'NodePort','ports':[{'port':80}]}",
                        201, NULL);
        expect_used("{'services':'1','services.nodeports':'1','services.loadbalancers':'0'}");
        post("services", "Service",
                        "'metadata':{'name':'b'},'spec':{'ports':[{'port':80,'name':'x'},{'port':"
                        "81,'name':'y'}]}",
                        201, NULL);
        /* Another type is charged like a new Service. */
        ask("PATCH", NS "services/b", "{'spec':{'type':'NodePort'}}", 403,
                        "services \\\"b\\\" is forbidden: exceeded quota: q, requested: "
                        "services.nodeports=2, used: services.nodeports=1, limited: "
                        "services.nodeports=2");
        ask("PATCH", NS "services/a",
                        "{'spec':{'type':'ClusterIP','ports':[{'port':80,"
                        "'nodePort':null}]}}",
                        200, NULL);
        ask("PATCH", NS "services/b", "{'spec':{'type':'NodePort'}}", 200, NULL);
        expect_used("{'services':'2','services.nodeports':'2','services.loadbalancers':'0'}");
}

static void test_counts(void **state) {
        quota("{'hard':{'count/deployments.apps':'0','count/configmaps':'1','configmaps':'1',"
              "'resourcequotas':'2'}}");
        expect_used("{'count/deployments.apps':'0','count/configmaps':'0','configmaps':'0',"
                    "'resourcequotas':'1'}");
        post("configmaps", "ConfigMap", "'metadata':{'generateName':'x-'}", 201, NULL);
        post("configmaps", "ConfigMap", "'metadata':{'name':'b'}", 403,
                        "requested: configmaps=1,count/configmaps=1, used: "
                        "configmaps=1,count/configmaps=1, limited: "
                        "configmaps=1,count/configmaps=1");
        ask("POST", "/apis/apps/v1/namespaces/default/deployments",
                        "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'d'},"
                        "'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{"
                        "'labels':{'a':'b'}},'spec':{'containers':[{'name':'c','image':'host'}]}}}"
                        "}",
                        403,
                        "deployments.apps \\\"d\\\" is forbidden: exceeded quota: q, requested: "
                        "count/deployments.apps=1, used: count/deployments.apps=0, limited: "
                        "count/deployments.apps=0");
        post("resourcequotas", "ResourceQuota", "'metadata':{'name':'r'},'spec':{}", 201, NULL);
        post("resourcequotas", "ResourceQuota", "'metadata':{'name':'s'},'spec':{}", 403,
                        "exceeded quota: q");
}

/* An object that is written in an old version, of another group, is the same object. */
static void test_old_versions(void **state) {
        static const char *const settings[] = {"extensions/v1beta1", NULL};
        _cleanup_problem_ struct problem p = {0};

        kind_registry_free(f->api.kinds);
        assert_int_equal(kind_registry_new_with(&f->api.kinds, (char *const *)settings, &p), 0);
        quota("{'hard':{'count/deployments.apps':'0'}}");
        ask("POST", "/apis/extensions/v1beta1/namespaces/default/deployments",
                        "{'apiVersion':'extensions/v1beta1','kind':'Deployment','metadata':{'name':"
                        "'d'},'spec':{'template':{'metadata':{'labels':{'a':'b'}},'spec':{"
                        "'containers':[{'name':'c','image':'host'}]}}}}",
                        403, "exceeded quota: q, requested: count/deployments.apps=1");
}

/* --- scopes --- */

#define SCOPES(x) "{'hard':{'pods':'1'},'scopes':[" x "]}"
#define SELECTOR(x) "{'hard':{'pods':'1'},'scopeSelector':{'matchExpressions':[" x "]}}"
#define AFFINITY \
        "'affinity':{'podAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':[{" \
        "'topologyKey':'a','namespaces':['other']}]}},"

static const struct {
        const char *spec;
        const char *in, *out; /* what a pod in the scope, and one that is not, has */
} scopes[] = {
                {SCOPES("'Terminating'"), "'activeDeadlineSeconds':5,", ""},
                {SCOPES("'NotTerminating'"), "", "'activeDeadlineSeconds':5,"},
                {SCOPES("'BestEffort'"), "",
                                "'initContainers':[{'name':'i','image':'host','resources':{"
                                "'requests':{'memory':'1'}}}],"},
                {SCOPES("'NotBestEffort'"),
                                "'initContainers':[{'name':'i','image':'host','resources':{"
                                "'limits':{'cpu':'1'}}}],",
                                ""},
                {SCOPES("'NotTerminating','BestEffort'"), "", "'activeDeadlineSeconds':5,"},
                {SCOPES("'PriorityClass'"), "'priorityClassName':'high',", ""},
                {SELECTOR("{'scopeName':'PriorityClass','operator':'In','values':['low','high']}"),
                                "'priorityClassName':'high',", ""},
                {SELECTOR("{'scopeName':'PriorityClass','operator':'NotIn','values':['high']}"), "",
                                "'priorityClassName':'high',"},
                {SELECTOR("{'scopeName':'PriorityClass','operator':'DoesNotExist'}"), "",
                                "'priorityClassName':'high',"},
                {SELECTOR("{'scopeName':'CrossNamespacePodAffinity','operator':'Exists'}"),
                                AFFINITY, ""},
};

static void pod_with(const char *name, const char *extra, int code) {
        _cleanup_free_ char *rest = strformat("'metadata':{'name':'%s'},'spec':{%s'containers':[{"
                                              "'name':'c','image':'host'}]}",
                        name, extra);

        post("pods", "Pod", rest, code, NULL);
}

static void test_scopes(void **state) {
        for (size_t i = 0; i < ELEMENTS(scopes); i++) {
                print_message("# %s\n", scopes[i].spec);
                if (i > 0) {
                        teardown(NULL);
                        setup(NULL);
                }
                fake_kapid_put(f, "/registry/priorityclasses/high",
                                "{\"apiVersion\":\"scheduling.k8s.io/v1\",\"kind\":"
                                "\"PriorityClass\",\"metadata\":{\"name\":\"high\"},\"value\":5,"
                                "\"preemptionPolicy\":\"Never\"}");
                quota(scopes[i].spec);
                pod_with("a", scopes[i].out, 201);
                expect_used("{'pods':'0'}");
                pod_with("b", scopes[i].in, 201);
                expect_used("{'pods':'1'}");
                pod_with("c", scopes[i].in, 403);
                pod_with("d", scopes[i].out, 201);
        }
}

/* A pod that comes into a scope later is charged then. */
static void test_scope_changes(void **state) {
        quota(SCOPES("'Terminating'"));
        pod_with("a", "", 201);
        pod_with("b", "'activeDeadlineSeconds':5,", 201);
        ask("PATCH", NS "pods/a", "{'spec':{'activeDeadlineSeconds':9}}", 403, "exceeded quota: q");
        ask("DELETE", NS "pods/b", NULL, 200, NULL);
        ask("PATCH", NS "pods/a", "{'spec':{'activeDeadlineSeconds':9}}", 200, NULL);
        expect_used("{'pods':'1'}");
}

/* --- ways around it --- */

static void test_status_is_counted(void **state) {
        quota("{'hard':{'pods':'1'}}");
        post("pods", "Pod", PLAIN("a"), 201, NULL);
        /* By whoever may write the status. */
        ask("PATCH", NS "resourcequotas/q/status",
                        "{'status':{'hard':{'pods':'9'},'used':{'pods':'0'}}}", 200, NULL);
        expect_used("{'pods':'1'}");
        post("pods", "Pod", PLAIN("b"), 403, "exceeded quota: q");
        /* By a quota that brings its status along. */
        post("resourcequotas", "ResourceQuota",
                        "'metadata':{'name':'r'},'spec':{'hard':{'pods':'1'}},'status':{'used':{"
                        "'pods':'-5'}}",
                        201, "\"used\":{\"pods\":\"1\"}");
        ask("DELETE", NS "resourcequotas/r", NULL, 200, NULL);
        /* A dry run charges nothing, and is refused like a real one. */
        ask("DELETE", NS "pods/a", NULL, 200, NULL);
        ask("PATCH", NS "resourcequotas/q/status", "{}", 200, NULL);
        expect_used("{'pods':'0'}");
        _cleanup_free_ char *body = fake_quoted("{'apiVersion':'v1','kind':'Pod'," PLAIN("c") "}");
        for (int i = 0; i < 2; i++) {
                _cleanup_(exchange_done) struct exchange x = {.method = "POST",
                                .path = NS "pods",
                                .body = body,
                                .query = {"dryRun", "All"}};

                exchange(f, &x);
                assert_int_equal(x.code, i == 0 ? 201 : 403);
                expect_used(i == 0 ? "{'pods':'0'}" : "{'pods':'1'}");
                if (i == 0)
                        post("pods", "Pod", PLAIN("d"), 201, NULL);
        }
}

/* Finalizers keep an object, and what it counts. */
static void test_finalizers(void **state) {
        quota("{'hard':{'configmaps':'1'}}");
        post("configmaps", "ConfigMap", "'metadata':{'name':'a','finalizers':['example.com/x']}",
                        201, NULL);
        ask("DELETE", NS "configmaps/a", NULL, 200, NULL);
        post("configmaps", "ConfigMap", "'metadata':{'name':'b'}", 403, "exceeded quota: q");
        ask("PATCH", NS "configmaps/a", "{'metadata':{'finalizers':null}}", 200, NULL);
        post("configmaps", "ConfigMap", "'metadata':{'name':'b'}", 201, NULL);
        expect_used("{'configmaps':'1'}");
}

/* A pod whose node does not answer counts for one more grace period. */
static void test_overdue_pods(void **state) {
        /* Requests of this kapid come at 1700000000. */
        static const char pod[] =
                        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\","
                        "\"namespace\":\"default\",\"uid\":\"u\",\"deletionTimestamp\":\"%s\","
                        "\"deletionGracePeriodSeconds\":30},\"spec\":{\"nodeName\":\"n\","
                        "\"containers\":[{\"name\":\"c\"}]}}";
        _cleanup_free_ char *later = strformat(pod, "2099-01-01T00:00:00Z"),
                            *past = strformat(pod, "2020-01-01T00:00:00Z");
        struct quantity used;

        quota("{'hard':{'pods':'1','count/pods':'5'}}");
        fake_kapid_put(f, "/registry/pods/default/a", later);
        post("pods", "Pod", PLAIN("b"), 403, "exceeded quota: q");
        /* 2099 and a minute: nothing but the clock has changed. */
        assert_int_equal(quotas_settle(f->api.quotas, "default", UINT64_C(4070908860000000)), 0);
        for (size_t i = 0; i < 2; i++) {
                const struct quota_account *a = quotas_first(f->api.quotas, "default");

                used = a->used[i];
                assert_int_equal((long long)used.milli,
                                streq(a->spec.measures[i].resource, "pods") ? 0 : 1000);
        }
        /* When it goes at last it is not subtracted once more. */
        fake_kapid_put(f, "/registry/pods/default/a", NULL);
        post("pods", "Pod", PLAIN("b"), 201, NULL);
        expect_used("{'pods':'1','count/pods':'1'}");
        fake_kapid_put(f, "/registry/pods/default/a", past);
        ask("PATCH", NS "resourcequotas/q/status", "{}", 200, NULL);
        expect_used("{'pods':'1','count/pods':'2'}");
}

/* --- other writers --- */

/* Another kapid takes what is left between our reading and our transaction. */
static void test_rival(void **state) {
        _cleanup_free_ char *full = NULL;

        quota("{'hard':{'configmaps':'1'}}");
        full = strdup(fake_kapid_stored(f, QUOTA_KEY));
        f->rival = full;
        f->rival_key = QUOTA_KEY;
        f->txns = 0;
        post("configmaps", "ConfigMap", "'metadata':{'name':'a'}", 201, NULL);
        assert_int_equal(f->txns, 2);
        expect_used("{'configmaps':'1'}");
}

/* Fifty creates at once against a quota of ten; then the answers come. */
static void test_race(void **state) {
        struct exchange x[50] = {0};
        char *bodies[50];
        int created = 0;

        quota("{'hard':{'configmaps':'10'}}");
        f->hold = true;
        f->txns = 0;
        for (int i = 0; i < 50; i++) {
                bodies[i] = strformat("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{"
                                      "\"name\":\"c%d\"}}",
                                i);
                x[i] = (struct exchange){
                                .method = "POST", .path = NS "configmaps", .body = bodies[i]};
                exchange(f, &x[i]);
        }
        while (fake_kapid_answer(f))
                ;
        f->hold = false;
        for (int i = 0; i < 50; i++) {
                assert_true(x[i].code == 201 || x[i].code == 403);
                created += x[i].code == 201;
                exchange_done(&x[i]);
                free(bodies[i]);
        }
        assert_int_equal(created, 10);
        assert_int_equal(f->txns, 10); /* none was in vain */
        expect_used("{'configmaps':'10'}");
}

/* Writes that charge nothing do not wait for those that do. */
static void test_others_pass(void **state) {
        struct exchange one = {.method = "POST",
                                        .path = NS "configmaps",
                                        .body = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{"
                                                "\"name\":\"a\"}}"},
                        two = {.method = "POST",
                                        .path = NS "secrets",
                                        .body = "{\"apiVersion\":\"v1\",\"kind\":\"Secret\","
                                                "\"metadata\":{\"name\":\"a\"}}"};

        quota("{'hard':{'configmaps':'10'}}");
        f->hold = true;
        f->txns = 0;
        exchange(f, &one);
        exchange(f, &two);
        assert_int_equal(f->txns, 2);
        while (fake_kapid_answer(f))
                ;
        f->hold = false;
        assert_int_equal(one.code, 201);
        assert_int_equal(two.code, 201);
        exchange_done(&one);
        exchange_done(&two);
}

/* One of three goes away while it waits: nothing is stored for it, and the next one gets on. */
static void test_client_goes(void **state) {
        struct exchange x[3];
        char *bodies[3];

        quota("{'hard':{'configmaps':'10'}}");
        f->hold = true;
        f->txns = 0;
        for (int i = 0; i < 3; i++) {
                bodies[i] = strformat("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{"
                                      "\"name\":\"c%d\"}}",
                                i);
                x[i] = (struct exchange){
                                .method = "POST", .path = NS "configmaps", .body = bodies[i]};
                exchange(f, &x[i]);
        }
        exchange_done(&x[1]);
        while (fake_kapid_answer(f))
                ;
        f->hold = false;
        assert_int_equal(f->txns, 2);
        assert_int_equal(x[0].code, 201);
        assert_int_equal(x[2].code, 201);
        assert_null(fake_kapid_stored(f, "/registry/configmaps/default/c1"));
        expect_used("{'configmaps':'2'}");
        exchange_done(&x[0]);
        exchange_done(&x[2]);
        for (int i = 0; i < 3; i++)
                free(bodies[i]);
}

/* --- validation --- */

static const struct {
        const char *plural, *kind, *spec, *message;
} invalid[] = {
                {"resourcequotas", "ResourceQuota", "{'hard':{'foo':'1'}}",
                                "spec.hard[foo]: Invalid value: \\\"foo\\\": must be a standard "
                                "resource for quota"},
                {"resourcequotas", "ResourceQuota", "{'hard':{'pods':'-1'}}",
                                "spec.hard[pods]: Invalid value: \\\"-1\\\": must be greater than "
                                "or equal to 0"},
                {"resourcequotas", "ResourceQuota", "{'hard':{'pods':'500m'}}",
                                "must be an integer"},
                {"resourcequotas", "ResourceQuota", "{'scopes':['Wide']}", "unsupported scope"},
                {"resourcequotas", "ResourceQuota",
                                "{'hard':{'services':'1'},'scopes':['BestEffort']}",
                                "unsupported scope applied to resource"},
                {"resourcequotas", "ResourceQuota", "{'scopes':['BestEffort','NotBestEffort']}",
                                "conflicting scopes"},
                {"resourcequotas", "ResourceQuota",
                                SELECTOR("{'scopeName':'PriorityClass','operator':'In'}"),
                                "must be at least one value when `operator` is 'In' or 'NotIn'"},
                {"resourcequotas", "ResourceQuota",
                                SELECTOR("{'scopeName':'BestEffort','operator':'DoesNotExist'}"),
                                "must be 'Exist' when scope is any of"},
                {"limitranges", "LimitRange", "{'limits':[{'type':'Node'}]}",
                                "must be a standard limit type or fully qualified"},
                {"limitranges", "LimitRange", "{'limits':[{'type':'Pod'},{'type':'Pod'}]}",
                                "spec.limits[1].type: Duplicate value: \\\"Pod\\\""},
                {"limitranges", "LimitRange", "{'limits':[{'type':'Pod','default':{'cpu':'1'}}]}",
                                "may not be specified when `type` is 'Pod'"},
                {"limitranges", "LimitRange",
                                "{'limits':[{'type':'Container','min':{'cpu':'2'},'max':{'cpu':'1'"
                                "}}]}",
                                "spec.limits[0].min[cpu]: Invalid value: \\\"2\\\": min value 2 is "
                                "greater than max value 1"},
                {"limitranges", "LimitRange",
                                "{'limits':[{'type':'Container','default':{'cpu':'1'},"
                                "'defaultRequest':{'cpu':'2'}}]}",
                                "default request value 2 is greater than default limit value 1"},
                {"limitranges", "LimitRange",
                                "{'limits':[{'type':'Pod','maxLimitRequestRatio':{'cpu':'500m'}}]}",
                                "ratio 500m is less than 1"},
                {"limitranges", "LimitRange",
                                "{'limits':[{'type':'Pod','min':{'cpu':'1'},'max':{'cpu':'2'},"
                                "'maxLimitRequestRatio':{'cpu':'3'}}]}",
                                "ratio 3 is greater than max/min = 2.000000"},
                {"limitranges", "LimitRange", "{'limits':[{'type':'PersistentVolumeClaim'}]}",
                                "either minimum or maximum storage value is required"},
                {"limitranges", "LimitRange",
                                "{'limits':[{'type':'Container','max':{'storage':"
                                "'1'}}]}",
                                "must be a standard resource for containers"},
};

static void test_invalid(void **state) {
        for (size_t i = 0; i < ELEMENTS(invalid); i++) {
                _cleanup_free_ char *rest =
                                strformat("'metadata':{'name':'x'},'spec':%s", invalid[i].spec);

                post(invalid[i].plural, invalid[i].kind, rest, 422, invalid[i].message);
        }
        quota(SCOPES("'BestEffort'"));
        ask("PATCH", NS "resourcequotas/q", "{'spec':{'scopes':['NotBestEffort']}}", 422,
                        "spec.scopes: Invalid value: [\\\"NotBestEffort\\\"]: field is immutable");
        /* The allowed amounts may change, and hold at once. */
        ask("PATCH", NS "resourcequotas/q", "{'spec':{'hard':{'pods':'0'}}}", 200, NULL);
        expect_used("{'pods':'0'}");
        post("pods", "Pod", PLAIN("a"), 403, "exceeded quota: q");
}

/* Lists that are compared item by item are short. */
static void test_long_lists(void **state) {
        static const struct {
                const char *plural, *kind, *field, *item;
        } lists[] = {{"resourcequotas", "ResourceQuota", "scopes", "'Terminating',"},
                        {"limitranges", "LimitRange", "limits", "{'type':'a/b'},"}};

        for (size_t i = 0; i < ELEMENTS(lists); i++) {
                _cleanup_buf_ struct buf b = {0};

                buf_printf(&b, "'metadata':{'name':'x'},'spec':{'%s':[", lists[i].field);
                for (int n = 0; n < 100; n++)
                        buf_append_str(&b, lists[i].item);
                buf_printf(&b, "%.*s]}", (int)strlen(lists[i].item) - 1, lists[i].item);
                post(lists[i].plural, lists[i].kind, b.data, 422, "must have at most 100 items");
        }
}

static void test_warnings(void **state) {
        _cleanup_free_ char *body = fake_quoted(
                        "{'apiVersion':'v1','kind':'ResourceQuota','metadata':{'name':'q'},'spec':"
                        "{'hard':{'example.com/x':'1','count/none':'1','count/nodes':'1','pods':'1'"
                        "}}}");
        _cleanup_(exchange_done) struct exchange x = {
                        .method = "POST", .path = NS "resourcequotas", .body = body};

        exchange(f, &x);
        assert_int_equal(x.code, 201);
        buf_append(&x.warnings, "", 1);
        assert_non_null(strstr(x.warnings.data, "spec.hard[example.com/x] has no effect: nothing "
                                                "counts this resource"));
        assert_non_null(strstr(x.warnings.data, "spec.hard[count/none] has no effect: no kind"));
        assert_non_null(strstr(x.warnings.data, "spec.hard[count/nodes] has no effect: objects"));
        assert_null(strstr(x.warnings.data, "[pods]"));
        body = mfree(body);
        exchange_done(&x);
        body = fake_quoted(
                        "{'apiVersion':'v1','kind':'LimitRange','metadata':{'name':'l'},'spec':{"
                        "'limits':[{'type':'PersistentVolumeClaim','max':{'storage':'1Gi'},'default':"
                        "{'storage':'1'}},{'type':'example.com/x','max':{'cpu':'1'}}]}}");
        x = (struct exchange){.method = "POST", .path = NS "limitranges", .body = body};
        exchange(f, &x);
        assert_int_equal(x.code, 201);
        buf_append(&x.warnings, "", 1);
        assert_non_null(strstr(x.warnings.data, "spec.limits[0].default has no effect: a volume"));
        assert_non_null(strstr(x.warnings.data, "spec.limits[1].type has no effect: no object"));
        assert_null(strstr(x.warnings.data, "max"));
}

/* --- limit ranges --- */

static void limits(const char *items) {
        _cleanup_free_ char *rest =
                        strformat("'metadata':{'name':'l'},'spec':{'limits':[%s]}", items);

        post("limitranges", "LimitRange", rest, 201, NULL);
}

static void test_limit_defaults(void **state) {
        _cleanup_json_ json_t *pod = NULL;
        const json_t *c;

        limits("{'type':'Container','max':{'cpu':'2'},'min':{'memory':'1Mi'},'default':{'memory':"
               "'64Mi'},'defaultRequest':{'cpu':'100m'}}");
        post("pods", "Pod",
                        POD("a", "'initContainers':[{'name':'i','image':'host','resources':{"
                                 "'limits':{'cpu':'1','memory':'1Mi'}}}]," CONTAINERS("{}")),
                        201, NULL);
        pod = json_loads(fake_kapid_stored(f, "/registry/pods/default/a"), 0, NULL);
        c = json_array_get(json_at(pod, "spec.containers"), 0);
        assert_string_equal(json_str_or(c, "resources.limits.cpu", ""), "2");
        assert_string_equal(json_str_or(c, "resources.limits.memory", ""), "64Mi");
        assert_string_equal(json_str_or(c, "resources.requests.cpu", ""), "100m");
        assert_string_equal(json_str_or(c, "resources.requests.memory", ""), "64Mi");
        assert_string_equal(object_annotation(pod, "kubernetes.io/limit-ranger"),
                        "LimitRanger plugin set: cpu, memory request for container c; cpu, memory "
                        "limit for container c");
}

static const struct {
        const char *limit, *resources, *message; /* message NULL: let in */
} bounds[] = {
                {"{'type':'Container','min':{'cpu':'100m'},'defaultRequest':{'memory':'1'}}", "{}",
                                NULL}, /* min is the default request */
                {"{'type':'Container','min':{'cpu':'100m'}}", "{'requests':{'cpu':'50m'}}",
                                "minimum cpu usage per Container is 100m, but request is 50m"},
                {"{'type':'Container','max':{'memory':'1Gi'}}", "{'limits':{'memory':'2Gi'}}",
                                "maximum memory usage per Container is 1Gi, but limit is 2Gi"},
                {"{'type':'Container','maxLimitRequestRatio':{'cpu':'2'}}",
                                "{'requests':{'cpu':'100m'},'limits':{'cpu':'300m'}}",
                                "cpu max limit to request ratio per Container is 2, but provided "
                                "ratio is 3.000000"},
                {"{'type':'Container','maxLimitRequestRatio':{'cpu':'2'}}", "{}",
                                "cpu max limit to request ratio per Container is 2, but no request "
                                "is specified or request is 0"},
                {"{'type':'Container','maxLimitRequestRatio':{'cpu':'2'}}",
                                "{'requests':{'cpu':'1'},'limits':{'cpu':'2'}}", NULL},
                {"{'type':'Pod','min':{'cpu':'1'}}", "{}",
                                "minimum cpu usage per Pod is 1.  No request is specified"},
                {"{'type':'Pod','max':{'cpu':'1'}}", "{'requests':{'cpu':'1'}}",
                                "maximum cpu usage per Pod is 1.  No limit is specified"},
                {"{'type':'Pod','max':{'cpu':'1','memory':'1'}}",
                                "{'limits':{'cpu':'2','memory':"
                                "'2'}}",
                                "forbidden: [maximum cpu usage per Pod is 1, but limit is 2, "
                                "maximum memory usage per Pod is 1, but limit is 2]"},
};

static void test_limit_bounds(void **state) {
        for (size_t i = 0; i < ELEMENTS(bounds); i++) {
                _cleanup_free_ char *rest = strformat(
                                "'metadata':{'name':'a'},'spec':{'containers':[{'name':'c','image':"
                                "'host','resources':%s}]}",
                                bounds[i].resources);

                if (i > 0) {
                        teardown(NULL);
                        setup(NULL);
                }
                limits(bounds[i].limit);
                post("pods", "Pod", rest, bounds[i].message ? 403 : 201, bounds[i].message);
        }
}

/* The range came after the claim; what deletes the claim must not be stopped by it. */
static void test_limits_of_deleted_claims(void **state) {
        fake_kapid_put(f, "/registry/persistentvolumeclaims/default/c",
                        "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{"
                        "\"name\":\"c\",\"namespace\":\"default\",\"finalizers\":[\"a.b/c\"]},"
                        "\"spec\":{\"volumeMode\":\"Filesystem\",\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{"
                        "\"storage\":\"9Gi\"}}},\"status\":{\"phase\":\"Pending\"}}");
        limits("{'type':'PersistentVolumeClaim','max':{'storage':'1Gi'}}");
        ask("PATCH", NS "persistentvolumeclaims/c", "{'metadata':{'labels':{'a':'b'}}}", 403,
                        "maximum storage usage per PersistentVolumeClaim is 1Gi");
        ask("DELETE", NS "persistentvolumeclaims/c", NULL, 200, NULL);
        ask("PATCH", NS "persistentvolumeclaims/c", "{'metadata':{'finalizers':null}}", 200, NULL);
        assert_null(fake_kapid_stored(f, "/registry/persistentvolumeclaims/default/c"));
}

/* The pod's own amounts do not hide those of its containers. */
static void test_whole_pods(void **state) {
        static const char *const refused[] = {"'resources':{'requests':{'cpu':'-9'}}",
                        "'resources':{'limits':{'memory':'-9'}}"};

        fake_kapid_put(f, "/registry/runtimeclasses/heavy",
                        "{\"apiVersion\":\"node.k8s.io/v1\",\"kind\":\"RuntimeClass\",\"metadata\":"
                        "{\"name\":\"heavy\"},\"handler\":\"heavy\",\"overhead\":{\"podFixed\":{"
                        "\"cpu\":\"1\"}}}");
        quota("{'hard':{'requests.cpu':'3','limits.memory':'1Gi'}}");
        for (size_t i = 0; i < ELEMENTS(refused); i++) {
                _cleanup_free_ char *rest =
                                strformat(POD("a", "%s,'containers':[{'name':'c','image':'host'}]"),
                                                refused[i]);

                post("pods", "Pod", rest, 422, "must be greater than or equal to 0");
        }
        post("pods", "Pod",
                        POD("a", "'resources':{'requests':{'cpu':'1'},'limits':{'memory':'2Gi'}}," CONTAINERS(
                                                 "{'requests':{'cpu':'1'},'limits':{'memory':'1Mi'}}")),
                        403, "exceeded quota: q, requested: limits.memory=2Gi,");
        post("pods", "Pod",
                        POD("a", "'resources':{'requests':{'cpu':'1'},'limits':{'memory':'1Mi'}}," CONTAINERS(
                                                 "{}")),
                        403, "failed quota: q: must specify limits.memory for: c");
        post("pods", "Pod",
                        POD("a", "'resources':{'requests':{'cpu':'2'}},'runtimeClassName':'heavy'," CONTAINERS(
                                                 "{'limits':{'memory':'1Gi'}}")),
                        201, NULL);
        expect_used("{'requests.cpu':'3','limits.memory':'1Gi'}");
}

int main(void) {
#define TEST(x) cmocka_unit_test_setup_teardown(x, setup, teardown)
        const struct CMUnitTest tests[] = {
                        TEST(test_pods),
                        TEST(test_amounts),
                        TEST(test_init_containers),
                        TEST(test_services),
                        TEST(test_counts),
                        TEST(test_old_versions),
                        TEST(test_scopes),
                        TEST(test_scope_changes),
                        TEST(test_status_is_counted),
                        TEST(test_finalizers),
                        TEST(test_overdue_pods),
                        TEST(test_rival),
                        TEST(test_race),
                        TEST(test_others_pass),
                        TEST(test_client_goes),
                        TEST(test_invalid),
                        TEST(test_long_lists),
                        TEST(test_warnings),
                        TEST(test_limit_defaults),
                        TEST(test_limit_bounds),
                        TEST(test_limits_of_deleted_claims),
                        TEST(test_whole_pods),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
