/* The object machine: decoding, pruning, defaults, validation, preparing, scale, grace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kapid/pipeline/pipeline.h"
#include "kapid/pipeline/delete-options.h"
#include "lib/object.h"
#include "tests/unit/kapid-create.h"

static void decode_fails(const struct kind *k, const char *content_type, const char *text,
                enum field_validation v, int code, const char *expected) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_decoded_ struct decoded d = {0};
        _cleanup_free_ char *s = quoted(text), *e = quoted(expected);

        assert_true(pipeline_decode(k, NULL, content_type, s, strlen(s), v, &d, &p) < 0);
        assert_int_equal(p.code, code);
        if (!strstr(p.message, e))
                fail_msg("\n got: %s\nwant: %s", p.message, e);
}

#define WEB(replicas, more) \
        "{'apiVersion':'apps/" \
        "v1','kind':'Deployment','metadata':{'name':'web','namespace':'d'},'spec':{'replicas'" \
        ":" replicas ",'selector':{'matchLabels':{'app':'web'}},'template':{'metadata':{'labels':" \
        "{'app':'web'}},'spec':" \
        "{'containers':[{'name':'c','command':['sleep','1']" more "}]}}}}"

static void test_decode(void **state) {
        const struct kind *deployments = kind("apps", "deployments");
        _cleanup_json_ json_t *o = decode(deployments,
                        WEB("2", ",'resources':{'limits':{'cpu':'1000m','memory':1073741824}}"));

        assert_string_equal(json_str_or(o, "spec.template.spec.containers", "-"), "-");
        const json_t *c = json_array_get(json_at(o, "spec.template.spec.containers"), 0);
        assert_string_equal(json_str(c, "resources.limits.cpu"), "1");
        assert_string_equal(json_str(c, "resources.limits.memory"), "1073741824");
        decode_fails(deployments, NULL, WEB("'two'", ""), FIELD_VALIDATION_WARN, 400,
                        "json: cannot unmarshal string into field spec.replicas of type int32");
        decode_fails(deployments, NULL, WEB("1", ",'imagge':'x'"), FIELD_VALIDATION_STRICT, 400,
                        "strict decoding error: unknown field "
                        "'spec.template.spec.containers[0].imagge'");
        decode_fails(deployments, NULL, WEB("1,'replicas':2", ""), FIELD_VALIDATION_STRICT, 400,
                        "strict decoding error: duplicate field 'spec.replicas'");
        decode_fails(deployments, NULL, "{'kind':'Pod'}", FIELD_VALIDATION_WARN, 400,
                        "cannot be handled as a Deployment");
        decode_fails(deployments, NULL, "{'apiVersion':'apps/v2'}", FIELD_VALIDATION_WARN, 400,
                        "the API version in the data (apps/v2) does not match the expected API "
                        "version (apps/v1)");
        decode_fails(deployments, NULL, "{", FIELD_VALIDATION_WARN, 400, "line 1");
        decode_fails(deployments, NULL, "[]", FIELD_VALIDATION_WARN, 400, "must be an object");
        decode_fails(deployments, "text/plain", "{}", FIELD_VALIDATION_WARN, 415,
                        "accepted media types");
        decode_fails(deployments, NULL, WEB("1", ",'resources':{'limits':{'cpu':'x'}}"),
                        FIELD_VALIDATION_WARN, 400, "quantities must match");
}

static void test_decode_warns(void **state) {
        const char *text = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"data\":{\"a\":\"1\","
                           "\"a\":\"2\"},\"dta\":{},"
                           "\"metadata\":{\"name\":\"x\",\"creationTimestamp\":null}}";
        _cleanup_problem_ struct problem p = {0};
        _cleanup_decoded_ struct decoded d = {0}, e = {0};

        assert_int_equal(pipeline_decode(kind("", "configmaps"), NULL,
                                         "application/json; charset=utf-8", text, strlen(text),
                                         FIELD_VALIDATION_WARN, &d, &p),
                        0);
        assert_int_equal(strv_length(d.warnings), 2);
        assert_string_equal(d.warnings[0], "duplicate field \"data.a\"");
        assert_string_equal(d.warnings[1], "unknown field \"dta\"");
        assert_json(d.object, "{'apiVersion':'v1','kind':'ConfigMap','data':{'a':'2'},'metadata':{'"
                              "name':'x'}}");
        assert_int_equal(pipeline_decode(kind("", "configmaps"), NULL, NULL, text, strlen(text),
                                         FIELD_VALIDATION_IGNORE, &e, &p),
                        0);
        assert_int_equal(strv_length(e.warnings), 0);
}

static void test_decode_yaml(void **state) {
        const char *text = "kind: ConfigMap\nmetadata: {name: x}\ndata:\n  a: \"1\"\n";
        _cleanup_problem_ struct problem p = {0};
        _cleanup_decoded_ struct decoded d = {0};

        assert_int_equal(pipeline_decode(kind("", "configmaps"), NULL, "application/yaml", text,
                                         strlen(text), FIELD_VALIDATION_STRICT, &d, &p),
                        0);
        assert_json(d.object, "{'apiVersion':'v1','kind':'ConfigMap','data':{'a':'1'},'metadata':{'"
                              "name':'x'}}");
}

static void test_deployment_defaults(void **state) {
        _cleanup_json_ json_t *o = create(kind("apps", "deployments"), WEB("0", ""), NULL);

        assert_int_equal(json_int_or(o, "spec.replicas", -1), 0);
        assert_json(json_at(o, "spec.strategy"), "{'type':'RollingUpdate','rollingUpdate':{'"
                                                 "maxSurge':'25%','maxUnavailable':'25%'}}");
        assert_int_equal(json_int_or(o, "spec.revisionHistoryLimit", 0), 10);
        assert_int_equal(json_int_or(o, "spec.progressDeadlineSeconds", 0), 600);
        assert_int_equal(json_int_or(o, "metadata.generation", 0), 1);
        assert_json(json_at(o, "spec.template.spec"),
                        "{'containers':[{'name':'c','command':['sleep','1'],'resources':{},'"
                        "terminationMessagePath':'/dev/termination-log',"
                        "'terminationMessagePolicy':'File'}],'restartPolicy':'Always','dnsPolicy':'"
                        "ClusterFirst','securityContext':{},"
                        "'schedulerName':'default-scheduler','terminationGracePeriodSeconds':30,'"
                        "enableServiceLinks':true}");
}

static void test_deployment_refusals(void **state) {
        const struct kind *k = kind("apps", "deployments");

        create_fails(k, WEB("-1", ""),
                        "Deployment.apps 'web' is invalid: spec.replicas: Invalid value: -1: must "
                        "be greater than or equal to 0");
        create_fails(k, WEB("1", ",'ports':[{'containerPort':70000}]"),
                        "spec.template.spec.containers[0].ports[0].containerPort: Invalid value: "
                        "70000: must be between 1 and 65535, inclusive");
        create_fails(k,
                        WEB("1", ",'volumeMounts':[{'name':'v','mountPath':'/v'},"
                                 "{'name':'w','mountPath':'/v'}]"),
                        "volumeMounts[1].mountPath: Duplicate value: '/v'");
        create_fails(k, WEB("1", "},{'name':'c'"),
                        "spec.template.spec.containers[1].name: Duplicate value: 'c'");
        create_fails(k, WEB("1", "},{'command':['x']"),
                        "spec.template.spec.containers[1].name: Required value");
        create_fails(k, WEB("1", "},{'name':'A_b'"), "a lowercase RFC 1123 label must consist of");
        create_fails(k, WEB("1", ",'volumeMounts':[{'name':'v','mountPath':'/v'}]"),
                        "containers[0].volumeMounts[0].name: Not found: 'v'");
        create_fails(k, WEB("1", ",'imagePullPolicy':'Never2'"),
                        "Unsupported value: 'Never2': supported values: 'Always', 'IfNotPresent', "
                        "'Never'");
        create_fails(k, WEB("1", ",'livenessProbe':{}"),
                        "livenessProbe: Required value: must specify a handler type");
        create_fails(k, WEB("1", ",'resources':{'requests':{'cpu':'2'},'limits':{'cpu':'1'}}"),
                        "must be less than or equal to cpu limit of 1");
        create_fails(k,
                        "{'metadata':{'name':'web','namespace':'d'},'spec':{'selector':{'"
                        "matchLabels':{'a':'b'}},'template':{'metadata':{'labels':"
                        "{'app':'x'}},'spec':{'containers':[{'name':'c'}]}}}}",
                        "spec.template.metadata.labels: Invalid value: {'app':'x'}: `selector` "
                        "does not match template `labels`");
        create_fails(k, "{'metadata':{'name':'web','namespace':'d'},'spec':{}}",
                        "[spec.selector: Required value, spec.template: Required value]");
        create_fails(k,
                        "{'metadata':{'name':'Web!','namespace':'d','labels':{'-x':'y','ok':'-'}},'"
                        "spec':{}}",
                        "metadata.name: Invalid value: 'Web!'");
}

static void test_pod(void **state) {
        const struct kind *k = kind("", "pods");
        _cleanup_json_ json_t *o = create(k,
                        "{'metadata':{'name':'p','namespace':'d'},'spec':{'containers':[{'name':'c'"
                        ",'resources':{'limits':{'cpu':'1',"
                        "'memory':'1Gi'}}}]},'status':{'phase':'Running'}}",
                        NULL);
        _cleanup_problem_ struct problem p = {0};

        assert_json(json_at(o, "status"), "{'phase':'Pending','qosClass':'Guaranteed'}");
        assert_string_equal(json_str(o, "spec.serviceAccountName"), "default");
        assert_int_equal(json_array_size(json_at(o, "spec.tolerations")), 2);
        _cleanup_json_ json_t *changed = json_deep_copy(o);
        json_set_str(json_array_get(json_at_mut(changed, "spec.containers"), 0), "image", "other");
        assert_int_equal(pipeline_validate_update(k, NULL, o, changed, NULL, &p), 0);
        json_set_str(changed, "spec.nodeName", "n1");
        assert_true(pipeline_validate_update(k, NULL, o, changed, NULL, &p) < 0);
        assert_non_null(strstr(p.message,
                        "spec: Forbidden: pod updates may not change fields other than"));
        create_fails(k, "{'metadata':{'name':'p','namespace':'d'},'spec':{'containers':[]}}",
                        "spec.containers: Required value");
        create_fails(k, "{'metadata':{'name':'p','namespace':'d'}}", "spec: Required value");
        create_fails(k,
                        "{'metadata':{'name':'p','namespace':'d'},'spec':{'initContainers':[{'name'"
                        ":'c'}],'containers':[{'name':'c'}]}}",
                        "spec.containers[0].name: Duplicate value: 'c'");
        create_fails(k, "{'metadata':{'name':'p'},'spec':{'containers':[{'name':'c'}]}}",
                        "metadata.namespace: Required value");
}

/* What newer Kubernetes takes and 1.20 did not. */
static void test_today(void **state) {
        _cleanup_json_ json_t *pod = create(kind("", "pods"),
                                              "{'metadata':{'name':'p','namespace':'d'},'spec':{"
                                              "'dnsConfig':{'searches':['.','_a.b_c.example.']},"
                                              "'containers':[{'name':'c','env':[{'name':'a b-1',"
                                              "'value':'x'}],'securityContext':{'appArmorProfile'"
                                              ":{'type':'Localhost','localhostProfile':"
                                              "'/usr/bin/x'}}}]}}",
                                              NULL),
                              *slice = create(kind("discovery.k8s.io", "endpointslices"),
                                              "{'metadata':{'name':'s','namespace':'d'},"
                                              "'addressType':'FQDN','endpoints':[{'addresses':["
                                              "'a.example.']}]}",
                                              NULL);

        assert_non_null(pod);
        assert_non_null(slice);
        create_fails(kind("", "pods"),
                        "{'metadata':{'name':'p','namespace':'d'},'spec':{'dnsConfig':{"
                        "'searches':['a_']},'containers':[{'name':'c'}]}}",
                        "spec.dnsConfig.searches[0]: Invalid value: 'a_'");
}

/* Metadata that an older server took do not keep a status from being written. */
static void test_old_metadata(void **state) {
        const struct kind *k = kind("", "pods");
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *old = create(k,
                                              "{'metadata':{'name':'p','namespace':'d'},'spec':{"
                                              "'containers':[{'name':'c'}]}}",
                                              NULL),
                              *new = NULL;

        json_set_at(old, "metadata.finalizers", json_pack("[s]", "held"));
        new = json_deep_copy(old);
        json_set_str(new, "status.phase", "Running");
        assert_int_equal(pipeline_validate_update(k, NULL, old, new, NULL, &p), 0);
        json_array_append_new(json_at_mut(new, "metadata.finalizers"), json_string("more"));
        assert_true(pipeline_validate_update(k, NULL, old, new, NULL, &p) < 0);
        if (!strstr(p.message, "metadata.finalizers[1]"))
                fail_msg("%s", p.message);
}

static void test_service(void **state) {
        const struct kind *k = kind("", "services");
        _cleanup_json_ json_t *o = create(k,
                        "{'metadata':{'name':'s','namespace':'d'},'spec':{'ports':[{'port':80}]}}",
                        NULL);
        _cleanup_problem_ struct problem p = {0};

        assert_json(json_at(o, "spec"),
                        "{'type':'ClusterIP','sessionAffinity':'None','internalTrafficPolicy':'"
                        "Cluster','ports':[{'port':80,'protocol':'TCP','targetPort':80}]}");
        json_set_str(o, "spec.clusterIP", "10.96.0.7");
        json_set_at(o, "spec.clusterIPs", json_pack("[s]", "10.96.0.7"));
        _cleanup_json_ json_t *put = decode(k,
                        "{'metadata':{'name':'s','namespace':'d'},'spec':{'ports':[{'port':81}]}}");
        json_set_at(put, "metadata.uid", json_incref((json_t *)json_at(o, "metadata.uid")));
        assert_int_equal(pipeline_default(k, put), 0);
        assert_int_equal(pipeline_prepare_update(k, NULL, o, put, &context), 0);
        assert_string_equal(json_str(put, "spec.clusterIP"), "10.96.0.7");
        json_set_str(put, "spec.clusterIP", "10.96.0.8");
        json_set_at(put, "spec.clusterIPs", json_pack("[s]", "10.96.0.8"));
        assert_true(pipeline_validate_update(k, NULL, o, put, NULL, &p) < 0);
        if (!strstr(p.message, "may not change once set"))
                fail_msg("%s", p.message);
        create_fails(k,
                        "{'metadata':{'name':'s','namespace':'d'},'spec':{'ports':[{'port':80}],"
                        "'ipFamilies':['IPv4','IPv4']}}",
                        "spec.ipFamilies[1]: Duplicate value: \"IPv4\"");
        create_fails(k,
                        "{'metadata':{'name':'s','namespace':'d'},'spec':{'ports':[{'port':80}],"
                        "'clusterIPs':['10.96.0.7']}}",
                        "spec.clusterIPs: Invalid value: [\"10.96.0.7\"]: must be empty when "
                        "`clusterIP` is not specified");
        create_fails(k,
                        "{'metadata':{'name':'s','namespace':'d'},'spec':{'ports':[{'port':80}],"
                        "'clusterIP':'10.96.0.7','clusterIPs':['10.96.0.7','10.96.0.8']}}",
                        "may specify no more than one IP for each IP family");
        create_fails(k,
                        "{'metadata':{'name':'s','namespace':'d'},'spec':{'ports':[{'port':80}],"
                        "'clusterIP':'10.96.0.7','clusterIPs':['10.96.0.7'],'ipFamilies':['IPv6']}}",
                        "spec.clusterIPs[0]: Invalid value: \"10.96.0.7\": expected an IPv6 value as "
                        "indicated by `ipFamilies[0]`");
        create_fails(k,
                        "{'metadata':{'name':'s','namespace':'d'},'spec':{'type':'ExternalName',"
                        "'externalName':'a.example','ipFamilyPolicy':'SingleStack'}}",
                        "spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services");
        create_fails(k, "{'metadata':{'name':'1s','namespace':'d'},'spec':{'ports':[{'port':80}]}}",
                        "a DNS-1035 label must consist of");
        create_fails(k, "{'metadata':{'name':'s','namespace':'d'},'spec':{}}",
                        "spec.ports: Required value");
        create_fails(k,
                        "{'metadata':{'name':'s','namespace':'d'},'spec':{'ports':[{'port':80},{'"
                        "port':81}]}}",
                        "spec.ports[0].name: Required value");
        create_fails(k,
                        "{'metadata':{'name':'s','namespace':'d'},'spec':{'ports':[{'port':80,'"
                        "nodePort':30000}]}}",
                        "may not be used when `type` is");
}

static void test_status_and_generation(void **state) {
        const struct kind *k = kind("apps", "deployments");
        _cleanup_json_ json_t *o = create(k, WEB("1", ""), NULL), *status = json_deep_copy(o),
                              *spec = NULL, *label = NULL;

        json_set_int(status, "status.replicas", 3);
        json_set_int(status, "spec.replicas", 9);
        assert_int_equal(pipeline_prepare_update(k, kind_subresource_find(k, "status"), o, status,
                                         &context),
                        0);
        assert_int_equal(json_int_or(status, "spec.replicas", 0), 1);
        assert_int_equal(json_int_or(status, "status.replicas", 0), 3);
        assert_int_equal(object_generation(status), 1);
        spec = json_deep_copy(status);
        json_object_del(spec, "status");
        json_set_int(spec, "spec.replicas", 2);
        assert_int_equal(pipeline_prepare_update(k, NULL, status, spec, &context), 0);
        assert_int_equal(json_int_or(spec, "status.replicas", 0), 3);
        assert_int_equal(object_generation(spec), 2);
        label = json_deep_copy(spec);
        json_set_str(label, "metadata.labels.a", "b");
        assert_int_equal(pipeline_prepare_update(k, NULL, spec, label, &context), 0);
        assert_int_equal(object_generation(label), 2);
}

static void test_secret(void **state) {
        _cleanup_json_ json_t *o = create(kind("", "secrets"),
                        "{'metadata':{'name':'s','namespace':'d'},'stringData':{'a':'hello'}}",
                        NULL);

        assert_json(json_object_get(o, "data"), "{'a':'aGVsbG8='}");
        assert_null(json_object_get(o, "stringData"));
        assert_string_equal(json_str(o, "type"), "Opaque");
        decode_fails(kind("", "secrets"), NULL, "{'data':{'a':'x'}}", FIELD_VALIDATION_WARN, 400,
                        "data.a: illegal base64 data");
        create_fails(kind("", "secrets"),
                        "{'metadata':{'name':'s','namespace':'d'},'type':'kubernetes.io/tls'}",
                        "data[tls.crt]: Required value");
}

static void test_job(void **state) {
        const struct kind *k = kind("batch", "jobs");
        _cleanup_json_ json_t *o = create(k,
                        "{'metadata':{'name':'j','namespace':'d'},'spec':{'template':{'spec':{'"
                        "restartPolicy':'Never','containers':[{'name':'c'}]}}}}",
                        NULL);

        assert_int_equal(json_int_or(o, "spec.backoffLimit", 0), 6);
        assert_int_equal(json_int_or(o, "spec.completions", 0), 1);
        assert_json(json_at(o, "spec.selector"),
                        "{'matchLabels':{'batch.kubernetes.io/"
                        "controller-uid':'11111111-1111-4111-8111-111111111111'}}");
        assert_string_equal(json_string_value(json_get(o, "spec", "template", "metadata", "labels",
                                            "job-name", NULL)),
                        "j");
        create_fails(k,
                        "{'metadata':{'name':'j','namespace':'d'},'spec':{'template':{'spec':{'"
                        "containers':[{'name':'c'}]}}}}",
                        "restartPolicy: Required value: valid values: 'OnFailure', 'Never'");
}

static void test_gitsync(void **state) {
        const struct kind *k = kind("keelson.dev", "gitsyncs");
        _cleanup_json_ json_t *o = create(k,
                        "{'metadata':{'name':'g','namespace':'d'},'spec':{'url':'git@host:repo.git'"
                        ",'suspend':false}}",
                        NULL);

        assert_json(json_at(o, "spec"), "{'url':'git@host:repo.git','ref':{},'path':'.','interval':"
                                        "'30s','prune':true,'suspend':false,'drift':'revert',"
                                        "'pruneLimit':'50%','additions':'remove'}");
        create_fails(k, "{'metadata':{'name':'g','namespace':'d'},'spec':{'url':'nonsense'}}",
                        "spec.url: Invalid value: 'nonsense'");
        create_fails(k,
                        "{'metadata':{'name':'g','namespace':'d'},'spec':{'url':'/srv/"
                        "r','interval':'soon'}}",
                        "spec.interval: Invalid value: 'soon': must be a duration");
        create_fails(k,
                        "{'metadata':{'name':'g','namespace':'d'},'spec':{'url':'/srv/"
                        "r','path':'../x'}}",
                        "must stay inside the repository");
        create_fails(k,
                        "{'metadata':{'name':'g','namespace':'d'},'spec':{'url':'/srv/"
                        "r','ref':{'commit':'zz'}}}",
                        "spec.ref.commit");
        create_fails(k, "{'metadata':{'name':'g','namespace':'d'},'spec':{}}",
                        "spec.url: Required value");
}

/* A certificate request that can be read, of the name x. */
#define CSR \
        "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIRk1HNENBUUF3RERFS01BZ0dBMVVF" \
        "QXd3QmVEQlpNQk1HQnlxR1NNNDlBZ0VHQ0NxR1NNNDlBd0VIQTBJQQpCUDhVLzRIYXBDR1ZqdkM3MDJK" \
        "cmJHK0xteFY2QzdkVmt2aDhlK3MwVW10SUp6czRrcWZ4YXZiZHRzcXl2K1l0Ckx2Q0NGVVJUWXlYbkNN" \
        "emcyUnZpSS9PZ0FEQUtCZ2dxaGtqT1BRUURBZ05IQURCRUFpQjBrSGdnM1JDdlJUdFkKbmlLVnNSOEps" \
        "RzZxY29UK25RQjNuVGNaM0ZpN1NRSWdVNHQrK0JSRDIvYTJkTkV4S0x6OVRRdXdJYnk0VjgyOQpUa0Yw" \
        "UWVSekRxUT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg=="

static void test_namespace_and_csr(void **state) {
        _cleanup_json_ json_t *ns =
                        create(kind("", "namespaces"), "{'metadata':{'name':'a'}}", NULL);
        _cleanup_json_ json_t *csr = create(
                        kind("certificates.k8s.io", "certificatesigningrequests"),
                        "{'metadata':{'name':'a:b'},'spec':{'request':'" CSR "','signerName':'"
                        "kubernetes.io/x','username':'forged','usages':['client auth']}}",
                        NULL);

        assert_json(json_at(ns, "spec.finalizers"), "['kubernetes']");
        assert_string_equal(json_str(ns, "status.phase"), "Active");
        assert_string_equal(json_str(csr, "spec.username"), "jane");
        create_fails(kind("", "namespaces"), "{'metadata':{'name':'a.b'}}", "RFC 1123 label");
        create_fails(kind("", "namespaces"), "{'metadata':{'name':'a','namespace':'x'}}",
                        "metadata.namespace: Forbidden: not allowed on this type");
}

/* Decisions are made at approval, hold and stay. */
static void test_csr_updates(void **state) {
#define DECIDED(LIST) \
        "{'metadata':{'name':'c'},'spec':{'request':'" CSR "','signerName':'kubernetes.io/x'," \
        "'usages':['client auth']},'status':{'conditions':[" LIST "]}}"
#define CONDITION(TYPE, STATUS) "{'type':'" TYPE "','status':'" STATUS "'}"
        static const struct {
                const char *sub, *old, *new, *why;
        } cases[] = {
                        {"approval", DECIDED(""), DECIDED(CONDITION("Approved", "True")), NULL},
                        {"approval", DECIDED(""), DECIDED(CONDITION("Approved", "False")),
                                        "status.conditions[0].status: Unsupported value: \"False\": "
                                        "supported values: \"True\""},
                        {"approval", DECIDED(CONDITION("Approved", "True")), DECIDED(""),
                                        "may not remove a condition of type \"Approved\""},
                        {"approval", DECIDED(""),
                                        DECIDED(CONDITION("Approved", "True") "," CONDITION(
                                                        "Denied", "True")),
                                        "status.conditions[1].type: Invalid value: \"Denied\""},
                        {"status", DECIDED(""), DECIDED(CONDITION("Approved", "True")),
                                        "may not add a condition of type \"Approved\""},
                        {"status", DECIDED(""), DECIDED(CONDITION("Failed", "True")), NULL},
                        {"status", DECIDED(CONDITION("Approved", "True")),
                                        DECIDED(CONDITION("Approved",
                                                        "True") "],'certificate':'dg==','x':["),
                                        "status.certificate: Invalid value: \"<certificate data>\""},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct kind *k = kind("certificates.k8s.io", "certificatesigningrequests");
                const struct kind_subresource *sub = kind_subresource_find(k, cases[i].sub);
                _cleanup_json_ json_t *old = parse(cases[i].old), *new = parse(cases[i].new);
                _cleanup_problem_ struct problem p = {0};
                int r = pipeline_validate_update(k, sub, old, new, NULL, &p);

                if ((r < 0) != (cases[i].why != NULL) ||
                                (cases[i].why && !strstr(p.message, cases[i].why)))
                        fail_msg("%zu: %s", i, strempty(p.message));
        }
}

static void test_scale_and_grace(void **state) {
        const struct kind *k = kind("apps", "deployments"), *pods = kind("", "pods");
        _cleanup_json_ json_t *o = create(k, WEB("3", ""), NULL), *scale = scale_form.get(k, o),
                              *put = parse("{'spec':{'replicas':5}}");
        _cleanup_json_ json_t *pod =
                        parse("{'spec':{'nodeName':'n','terminationGracePeriodSeconds':7}}");
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(json_int_or(scale, "spec.replicas", 0), 3);
        assert_string_equal(json_str(scale, "status.selector"), "app=web");
        assert_int_equal(scale_form.put(k, o, put, &p), 0);
        assert_int_equal(json_int_or(o, "spec.replicas", 0), 5);
        json_set_int(put, "spec.replicas", -2);
        assert_true(scale_form.put(k, o, put, &p) < 0);
        assert_int_equal(pipeline_grace_seconds(pods, pod, -1), 7);
        assert_int_equal(pipeline_grace_seconds(pods, pod, 0), 0);
        json_set_str(pod, "status.phase", "Failed");
        assert_int_equal(pipeline_grace_seconds(pods, pod, -1), 0);
        assert_int_equal(pipeline_grace_seconds(k, o, 30), 0);
}

static void test_delete_options(void **state) {
        struct delete_options o = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *v = NULL;
        const char *text = "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\","
                           "\"gracePeriodSeconds\":0,\"propagationPolicy\":\"Background\",\"x\":1}";
        const char *bad = "{\"propagationPolicy\":\"Sideways\"}";

        assert_int_equal(delete_options_decode(NULL, "", 0, &v, &p), 0);
        assert_null(v);
        assert_int_equal(delete_options_decode(NULL, text, strlen(text), &v, &p), 0);
        assert_int_equal(json_int_or(v, "gracePeriodSeconds", -1), 0);
        json_decref(v);
        v = NULL;
        assert_int_equal(delete_options_decode(NULL, bad, strlen(bad), &v, &p), 0);
        assert_true(delete_options_parse(v, NULL, NULL, NULL, &o, &p) < 0);
        assert_int_equal(p.code, 422);
        json_decref(v);
        /* The query counts where the body says nothing. */
        v = parse("{'gracePeriodSeconds':3,'dryRun':['All'],'preconditions':{'uid':'u'}}");
        assert_int_equal(delete_options_parse(v, "7", "Orphan", NULL, &o, &p), 0);
        assert_int_equal(o.grace_s, 3);
        assert_string_equal(o.propagation, "Orphan");
        assert_string_equal(o.uid, "u");
        assert_null(o.resource_version);
        assert_true(o.dry_run);
        delete_options_done(&o);
        assert_int_equal(delete_options_parse(NULL, "7", NULL, NULL, &o, &p), 0);
        assert_int_equal(o.grace_s, 7);
        assert_string_equal(o.propagation, "");
        delete_options_done(&o);
        assert_true(delete_options_parse(NULL, "soon", NULL, NULL, &o, &p) < 0);
        assert_int_equal(p.code, 400);
        problem_done(&p);
        /* Less than nothing is a second, and no word for the default. */
        v = (json_decref(v), parse("{'gracePeriodSeconds':-1}"));
        assert_int_equal(delete_options_parse(v, NULL, NULL, NULL, &o, &p), 0);
        assert_int_equal(o.grace_s, 1);
        delete_options_done(&o);
        assert_int_equal(delete_options_parse(NULL, NULL, NULL, NULL, &o, &p), 0);
        assert_int_equal(o.grace_s, -1);
        v = (json_decref(v), parse("{'dryRun':['All','x']}"));
        assert_true(delete_options_parse(v, NULL, NULL, NULL, &o, &p) < 0);
        assert_non_null(strstr(p.message, "[\"All\",\"x\"]: supported values: \"All\""));
        problem_done(&p);
        /* Dependents that are to stay must not go. */
        assert_int_equal(delete_options_parse(NULL, NULL, NULL, "true", &o, &p), 0);
        assert_string_equal(o.propagation, "Orphan");
        delete_options_done(&o);
        assert_int_equal(delete_options_parse(NULL, NULL, NULL, "false", &o, &p), 0);
        assert_string_equal(o.propagation, "");
        delete_options_done(&o);
        assert_true(delete_options_parse(NULL, NULL, "Background", "true", &o, &p) < 0);
        assert_int_equal(p.code, 422);
}

/* The bytes kubectl sends for `create namespace x` in their protobuf form. */
static void test_protobuf(void **state) {
        static const unsigned char body[] = "k8s\0"
                                            "\x0a\x0f\x0a\x02v1\x12\x09Namespace"
                                            "\x12\x11"
                                            "\x0a\x0b\x0a\x01x\x12\x00\x1a\x00\x22\x00\x42\x00"
                                            "\x12\x00\x1a\x00"
                                            "\x1a\x00\x22\x00";
        _cleanup_problem_ struct problem p = {0};
        _cleanup_decoded_ struct decoded d = {0};

        if (pipeline_decode(kind("", "namespaces"), NULL, "application/vnd.kubernetes.protobuf",
                            body, sizeof(body) - 1, FIELD_VALIDATION_STRICT, &d, &p) < 0)
                fail_msg("%s", p.message);
        assert_json(d.object, "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'x'}}");
        for (size_t n = 0; n < sizeof(body) - 5; n++) {
                _cleanup_problem_ struct problem q = {0};
                _cleanup_decoded_ struct decoded cut = {0};

                (void)pipeline_decode(kind("", "namespaces"), NULL,
                                "application/vnd.kubernetes.protobuf", body, n,
                                FIELD_VALIDATION_STRICT, &cut, &q);
        }
}

/* What kubectl 1.33 sends for `create deployment d --image=nginx --replicas=0 --port=80`. */
static const char deployment_hex[] =
                "6b3873000a150a07617070732f7631120a4465706c6f796d656e7412b0010a1b0a016412001a"
                "0022002a003200380042005a080a036170701201641282010800120a0a080a03617070120164"
                "1a6a0a1a0a0012001a0022002a003200380042005a080a03617070120164124c122e0a056e67"
                "696e7812056e67696e782a00320a0a001000185022002a0042006a0072008001008801009001"
                "00a201001a00320042004a0052005800600068008201008a01009a0100c2010022020a002800"
                "38001a0c0800100018002000280038001a002200";

static size_t unhex(const char *hex, unsigned char *ret) {
        size_t n = 0;

        for (; hex[0] && hex[1]; hex += 2) {
                char byte[3] = {hex[0], hex[1], 0};

                ret[n++] = (unsigned char)strtoul(byte, NULL, 16);
        }
        return n;
}

static void test_protobuf_deployment(void **state) {
        unsigned char body[sizeof(deployment_hex) / 2];
        _cleanup_problem_ struct problem p = {0};
        _cleanup_decoded_ struct decoded d = {0};
        size_t n = unhex(deployment_hex, body);

        if (pipeline_decode(kind("apps", "deployments"), NULL,
                            "application/vnd.kubernetes.protobuf", body, n, FIELD_VALIDATION_STRICT,
                            &d, &p) < 0)
                fail_msg("%s", p.message);
        assert_json(json_object_get(d.object, "spec"), "{'replicas':0,'selector':{'matchLabels':{'"
                                                       "app':'d'}},'template':{'metadata':{"
                                                       "'labels':{'app':'d'}},'spec':{'containers':"
                                                       "[{'name':'nginx','image':'nginx',"
                                                       "'ports':[{'containerPort':80}]}]}}}");
        assert_json(json_object_get(d.object, "metadata"), "{'name':'d','labels':{'app':'d'}}");
        /* Any bit changed: refused or read, never worse. */
        for (size_t i = 4; i < n; i++)
                for (unsigned bit = 0; bit < 8; bit++) {
                        _cleanup_problem_ struct problem q = {0};
                        _cleanup_decoded_ struct decoded e = {0};

                        body[i] ^= (unsigned char)(1 << bit);
                        (void)pipeline_decode(kind("apps", "deployments"), NULL,
                                        "application/vnd.kubernetes.protobuf", body, n,
                                        FIELD_VALIDATION_WARN, &e, &q);
                        body[i] ^= (unsigned char)(1 << bit);
                }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_decode),
                        cmocka_unit_test(test_decode_warns),
                        cmocka_unit_test(test_decode_yaml),
                        cmocka_unit_test(test_deployment_defaults),
                        cmocka_unit_test(test_deployment_refusals),
                        cmocka_unit_test(test_pod),
                        cmocka_unit_test(test_today),
                        cmocka_unit_test(test_old_metadata),
                        cmocka_unit_test(test_service),
                        cmocka_unit_test(test_status_and_generation),
                        cmocka_unit_test(test_secret),
                        cmocka_unit_test(test_job),
                        cmocka_unit_test(test_gitsync),
                        cmocka_unit_test(test_namespace_and_csr),
                        cmocka_unit_test(test_csr_updates),
                        cmocka_unit_test(test_scale_and_grace),
                        cmocka_unit_test(test_delete_options),
                        cmocka_unit_test(test_protobuf),
                        cmocka_unit_test(test_protobuf_deployment),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
