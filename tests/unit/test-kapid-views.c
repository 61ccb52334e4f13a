/* What clients see of kinds and objects: tables, discovery, OpenAPI, field selectors; and CRDs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kapid/discovery/discovery.h"
#include "kapid/table/table.h"
#include "tests/unit/kapid-cases.h"

static const uint64_t now_us = 1700000000ull * 1000000; /* 2023-11-14T22:13:20Z */

/* The cells of an object's row joined by "|", wide ones too. */
static char *row(const struct kind *k, const char *text) {
        _cleanup_json_ json_t *object = parse(text), *table = table_new(k, "v1", NULL, true);
        _cleanup_buf_ struct buf b = {0};
        const json_t *cells, *cell;
        size_t i;

        assert_int_equal(table_add_row(table, k, object, TABLE_INCLUDE_METADATA, now_us), 0);
        cells = json_object_get(json_array_get(json_object_get(table, "rows"), 0), "cells");
        assert_int_equal(json_array_size(cells),
                        json_array_size(json_object_get(table, "columnDefinitions")));
        json_array_foreach (cells, i, cell) {
                _cleanup_free_ char *s = json_dumps(cell, JSON_ENCODE_ANY);

                buf_printf(&b, "%s%s", i > 0 ? "|" : "",
                                json_is_string(cell) ? json_string_value(cell) : s);
        }
        return buf_take(&b);
}

#define AGE "'creationTimestamp':'2023-11-14T22:03:20Z'"

static const struct {
        const char *group, *plural, *object, *cells;
} row_cases[] = {
                {"", "namespaces", "{'metadata':{'name':'a'," AGE "},'status':{'phase':'Active'}}",
                                "a|Active|10m"},
                {"", "configmaps", "{'metadata':{'name':'a'},'data':{'x':'1','y':'2'}}",
                                "a|2|<unknown>"},
                {"apps", "deployments",
                                "{'metadata':{'name':'w'," AGE
                                "},'spec':{'replicas':3,'selector':{'matchLabels':{'a':'b'}"
                                "},'template':{'spec':"
                                "{'containers':[{'name':'c','image':'i'},{'name':'d'}]}}},'"
                                "status':{'readyReplicas':2,'updatedReplicas':1}}",
                                "w|2/3|1|0|10m|c,d|i,host|a=b"},
                {"batch", "jobs",
                                "{'metadata':{'name':'j'," AGE
                                "},'spec':{'completions':2,'parallelism':1,'template':{'"
                                "spec':{'containers':[{'name':'c'}]}}},"
                                "'status':{'succeeded':1,'startTime':'2023-11-14T22:12:20Z'"
                                "}}",
                                "j|Running|1/2|60s|10m|c|host|<none>"},
                {"", "services",
                                "{'metadata':{'name':'s'," AGE
                                "},'spec':{'type':'NodePort','clusterIP':'10.0.0.1','"
                                "selector':{'a':'b'},'ports':[{'port':80,'nodePort':30080,"
                                "'protocol':'TCP'},{'port':53,'protocol':'UDP'}]}}",
                                "s|NodePort|10.0.0.1|<none>|80:30080/TCP,53/UDP|10m|a=b"},
                {"", "nodes",
                                "{'metadata':{'name':'n'," AGE
                                ",'labels':{'node-role.kubernetes.io/"
                                "control-plane':''}},'spec':{'unschedulable':true},'status'"
                                ":{'conditions':[{'type':"
                                "'Ready','status':'True'}],'addresses':[{'type':'"
                                "InternalIP','address':'10.1.1.1'}],'nodeInfo':{'"
                                "kubeletVersion':'v1'}}}",
                                "n|Ready,SchedulingDisabled|control-plane|10m|v1|10.1.1.1|<"
                                "none>|<unknown>|<unknown>|<unknown>"},
                {"", "events",
                                "{'metadata':{'name':'e'},'involvedObject':{'kind':'Pod','"
                                "name':'p'},'type':'Normal','reason':'R','message':'M','"
                                "count':3,'lastTimestamp':"
                                "'2023-11-14T22:13:15Z','source':{'component':'k','host':'"
                                "n'}}",
                                "5s|Normal|R|pod/p||k, n|M|<unknown>|3|e"},
                {"keelson.dev", "gitsyncs",
                                "{'metadata':{'name':'g'," AGE
                                "},'spec':{'url':'u','path':'.'},'status':{'conditions':[{'"
                                "type':'X','status':'a'},{'type':'Ready',"
                                "'status':'True'}],'lastAppliedRevision':'main@sha1:1'}}",
                                "g|True|main@sha1:1|10m|u|.|"},
                {"discovery.k8s.io", "endpointslices",
                                "{'metadata':{'name':'s'},'addressType':'IPv4','ports':[{'"
                                "port':80}],'endpoints':[{'addresses':['1','2']},{'"
                                "addresses':"
                                "['3']},{'addresses':['4']}]}",
                                "s|IPv4|80|1,2,3 + 1 more...|<unknown>"},
                {"certificates.k8s.io", "certificatesigningrequests",
                                "{'metadata':{'name':'c'},'spec':{'signerName':'a/"
                                "b','username':'u'},'status':{'certificate':'x','"
                                "conditions':"
                                "[{'type':'Approved'}]}}",
                                "c|<unknown>|a/b|u|<none>|Approved,Issued"},
                {"certificates.k8s.io", "certificatesigningrequests",
                                "{'metadata':{'name':'c'},'spec':{'signerName':'a/b','username':'u'"
                                "},'status':{'conditions':[{'type':'Failed'},{'type':'Other'}]}}",
                                "c|<unknown>|a/b|u|<none>|Pending,Failed"},
                {"discovery.k8s.io", "endpointslices",
                                "{'metadata':{'name':'s'},'addressType':'IPv4','ports':[{'name':"
                                "'x'},{}]}",
                                "s|IPv4|x,*|<unset>|<unknown>"},
                {"", "endpoints",
                                "{'metadata':{'name':'e'},'subsets':[{'addresses':[{'ip':'fd00::1'}"
                                "],'ports':[{'port':80}]}]}",
                                "e|[fd00::1]:80|<unknown>"},
                {"", "endpoints",
                                "{'metadata':{'name':'e'},'subsets':[{'notReadyAddresses':[{'ip':"
                                "'10.0.0.1'}],'ports':[{'port':80}]}]}",
                                "e||<unknown>"},
                {"networking.k8s.io", "networkpolicies",
                                "{'metadata':{'name':'n'},'spec':{'podSelector':{'matchLabels':{"
                                "'z':'1','a':'2'},'matchExpressions':[{'key':'m','operator':'In',"
                                "'values':['y','x']}]}}}",
                                "n|a=2,m in (x,y),z=1|<unknown>"},
                {"rbac.authorization.k8s.io", "clusterrolebindings",
                                "{'metadata':{'name':'b'},'roleRef':{'kind':'ClusterRole','"
                                "name':'r'},'subjects':[{'kind':'User','name':'u'},"
                                "{'kind':'ServiceAccount','namespace':'n','name':'s'}]}",
                                "b|ClusterRole/r|<unknown>|u||n/s"},
};

static void test_rows(void **state) {
        for (size_t i = 0; i < ELEMENTS(row_cases); i++) {
                _cleanup_free_ char *cells = row(
                                kind(row_cases[i].group, row_cases[i].plural), row_cases[i].object);

                assert_string_equal(cells, row_cases[i].cells);
        }
}

/* Ready, status and restarts of pods. */
static void test_pod_rows(void **state) {
        static const struct {
                const char *rest, *cells;
        } cases[] = {
                        {"'spec':{'containers':[{},{}]},'status':{'phase':'Pending'}",
                                        "0/2|Pending|0"},
                        {"'spec':{'containers':[{}]},'status':{'phase':'Running','"
                         "containerStatuses':[{'ready':true,'restartCount':3,'state':{'running':{}}"
                         ","
                         "'lastState':{'terminated':{'finishedAt':'2023-11-14T22:08:20Z'}}}]}",
                                        "1/1|Running|3 (5m ago)"},
                        {"'spec':{'containers':[{}]},'status':{'phase':'Running','"
                         "containerStatuses':[{'restartCount':7,'state':{'waiting':{'reason':'"
                         "CrashLoopBackOff'}}}]}",
                                        "0/1|CrashLoopBackOff|7"},
                        {"'spec':{'containers':[{}]},'status':{'phase':'Succeeded','"
                         "containerStatuses':[{'state':{'terminated':{'reason':'Completed','"
                         "exitCode':0}}}]}",
                                        "0/1|Completed|0"},
                        {"'spec':{'containers':[{}]},'status':{'phase':'Failed','containerStatuses'"
                         ":[{'state':{'terminated':{'exitCode':3}}}]}",
                                        "0/1|ExitCode:3|0"},
                        {"'spec':{'containers':[{}]},'status':{'phase':'Failed','containerStatuses'"
                         ":[{'state':{'terminated':{'signal':9}}}]}",
                                        "0/1|Signal:9|0"},
                        {"'spec':{'initContainers':[{'name':'i'},{'name':'k'}],'containers':[{}]},'"
                         "status':{'phase':'Pending','initContainerStatuses':[{'name':'i','state':{"
                         "'terminated':"
                         "{'exitCode':0}}},{'name':'k','state':{'running':{}}}]}",
                                        "0/1|Init:1/2|0"},
                        {"'spec':{'initContainers':[{'name':'i'}],'containers':[{}]},'status':{'"
                         "phase':'Pending','initContainerStatuses':[{'name':'i','state':{'"
                         "terminated':{'exitCode':1,"
                         "'reason':'Error'}}}]}",
                                        "0/1|Init:Error|0"},
                        {"'spec':{'containers':[{},{}]},'status':{'phase':'Running','"
                         "containerStatuses':[{'state':{'terminated':{'reason':'Completed','"
                         "exitCode':0}}},{'ready':true,'state':"
                         "{'running':{}}}]}",
                                        "1/2|NotReady|0"},
                        {"'spec':{'containers':[{}]},'status':{'phase':'Failed','reason':'Evicted'"
                         "}",
                                        "0/1|Evicted|0"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text =
                                strformat("{'metadata':{'name':'p'},%s}", cases[i].rest);
                _cleanup_free_ char *cells = row(kind("", "pods"), text),
                                    *want = strformat("p|%s|", cases[i].cells);

                if (!startswith(cells, want))
                        fail_msg("\n got: %s\nwant: %s", cells, want);
        }
        _cleanup_free_ char *gone = row(kind("", "pods"),
                        "{'metadata':{'name':'p','deletionTimestamp':'x'},'spec':"
                        "{'containers':[{}]},'status':{'phase':'Running'}}");
        assert_non_null(strstr(gone, "|Terminating|"));
}

static void test_table_frame(void **state) {
        const struct kind *k = kind("", "configmaps");
        _cleanup_json_ json_t *metadata = parse("{'resourceVersion':'5'}"),
                              *object = parse("{'metadata':{'name':'a'},'data':{}}");
        _cleanup_json_ json_t *table = table_new(k, "v1beta1", metadata, false);
        _cleanup_problem_ struct problem p = {0};
        enum table_include include;

        assert_int_equal(table_include_parse("Object", &include, &p), 0);
        assert_int_equal(table_add_row(table, k, object, include, now_us), 0);
        assert_int_equal(table_add_row(table, k, object, TABLE_INCLUDE_NONE, now_us), 0);
        assert_json(table, "{'kind':'Table','apiVersion':'meta.k8s.io/"
                           "v1beta1','metadata':{'resourceVersion':'5'},'columnDefinitions':null,'"
                           "rows':["
                           "{'cells':['a',0,'<unknown>'],'object':{'metadata':{'name':'a'},'data':{"
                           "}}},{'cells':['a',0,'<unknown>']}]}");
        assert_true(table_include_parse("All", &include, &p) < 0);
}

/* The types that Tables name are not always those of the cells. */
static void test_column_types(void **state) {
        static const struct {
                const char *group, *plural, *name, *type, *format;
        } cases[] = {
                        {"", "pods", "Name", "string", "name"},
                        {"", "pods", "Age", "string", ""},
                        {"", "configmaps", "Data", "string", ""},
                        {"", "events", "Count", "string", ""},
                        {"", "events", "Name", "string", "name"},
                        {"", "limitranges", "Created At", "date", ""},
                        {"apps", "deployments", "Up-to-date", "string", ""},
                        {"apps", "daemonsets", "Up-to-date", "integer", ""},
                        {"apps", "controllerrevisions", "Revision", "string", ""},
                        {"autoscaling", "horizontalpodautoscalers", "MaxPods", "string", ""},
                        {"batch", "cronjobs", "Suspend", "boolean", ""},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *table =
                                table_new(kind(cases[i].group, cases[i].plural), "v1", NULL, true);
                const json_t *c, *found = NULL;
                size_t n;

                json_array_foreach (json_object_get(table, "columnDefinitions"), n, c)
                        if (streq(json_str_or(c, "name", ""), cases[i].name))
                                found = c;
                assert_string_equal(json_str_or(found, "type", "none"), cases[i].type);
                assert_string_equal(json_str_or(found, "format", "none"), cases[i].format);
        }
}

static const json_t *resource_of(const json_t *list, const char *name) {
        const json_t *item;
        size_t i;

        json_array_foreach (json_object_get(list, "resources"), i, item)
                if (streq(json_str_or(item, "name", ""), name))
                        return item;
        return NULL;
}

static void test_discovery(void **state) {
        _cleanup_json_ json_t *core = discovery_aggregated(registry, true, "v2"),
                              *groups = discovery_aggregated(registry, false, "v2beta1");
        _cleanup_json_ json_t *list = discovery_group_list(registry),
                              *old = discovery_resource_list(registry, "", "v1");
        _cleanup_json_ json_t *group = discovery_group(registry, "apps"),
                              *apps = discovery_resource_list(registry, "apps", "v1");
        const json_t *item;
        bool eviction = false;
        size_t i;

        assert_string_equal(json_str(core, "apiVersion"), "apidiscovery.k8s.io/v2");
        assert_int_equal(json_array_size(json_object_get(core, "items")), 1);
        assert_string_equal(json_str(groups, "apiVersion"), "apidiscovery.k8s.io/v2beta1");
        assert_int_equal(json_array_size(json_object_get(groups, "items")),
                        json_array_size(json_object_get(list, "groups")));
        assert_json(group, "{'kind':'APIGroup','apiVersion':'v1','name':'apps','versions':[{'"
                           "groupVersion':'apps/v1','version':'v1'}],"
                           "'preferredVersion':{'groupVersion':'apps/v1','version':'v1'}}");
        assert_json(resource_of(apps, "deployments/status"),
                        "{'name':'deployments/"
                        "status','singularName':'','namespaced':true,'kind':'Deployment','verbs':['"
                        "get','patch','update']}");
        assert_json(resource_of(apps, "deployments/scale"),
                        "{'name':'deployments/"
                        "scale','singularName':'','namespaced':true,'kind':'Scale','group':'"
                        "autoscaling','version':'v1','verbs':['get','patch','update']}");
        json_array_foreach (json_object_get(old, "resources"), i, item)
                eviction |= streq(json_str_or(item, "name", ""), "pods/eviction") &&
                            streq(json_str_or(item, "group", ""), "policy");
        assert_true(eviction);
        assert_null(discovery_group(registry, "nope"));
        assert_null(discovery_resource_list(registry, "apps", "v9"));
}

/* Every $ref of a document leads somewhere. */
static void check_refs(const json_t *v, const json_t *root, const char *prefix, size_t *count) {
        const char *key;
        json_t *child;
        size_t i;

        if (json_is_array(v))
                json_array_foreach (v, i, child)
                        check_refs(child, root, prefix, count);
        json_object_foreach ((json_t *)v, key, child) {
                const char *name = streq(key, "$ref") && json_is_string(child)
                                                   ? startswith(json_string_value(child), prefix)
                                                   : NULL;

                if (name && !json_object_get(root, name))
                        fail_msg("%s leads nowhere", json_string_value(child));
                *count += name != NULL;
                check_refs(child, root, prefix, count);
        }
}

static char *hash_of(const char *path) {
        _cleanup_json_ json_t *index = openapi_v3_index(registry);

        return strdup(strempty(
                        json_str(json_get(index, "paths", path, NULL), "serverRelativeURL")));
}

/* Clients keep a document until its hash in the index is another one. */
static void test_openapi_hashes(void **state) {
        static const char *const definitions[] = {
                        "{'metadata':{'name':'as.a.example'},'spec':{'group':'a.example','scope':"
                        "'Cluster','names':{'plural':'as','kind':'A'},'versions':[{'name':'v1',"
                        "'served':true,'storage':true,'schema':{'openAPIV3Schema':{'type':'object'"
                        "}}}]}}",
                        "{'metadata':{'name':'as.a.example'},'spec':{'names':{'kind':'A','plural':"
                        "'as'},'group':'a.example','scope':'Cluster','versions':[{'name':'v1',"
                        "'served':true,'storage':true,'schema':{'openAPIV3Schema':{'type':'object'"
                        "}}}]},'status':{}}",
                        "{'metadata':{'name':'as.a.example'},'spec':{'group':'a.example','scope':"
                        "'Cluster','names':{'plural':'as','kind':'A'},'versions':[{'name':'v1',"
                        "'served':true,'storage':true,'schema':{'openAPIV3Schema':{'type':'object'"
                        ",'properties':{'spec':{'type':'object'}}}}}]}}"};
        _cleanup_free_ char *core = hash_of("api/v1"), *apps = hash_of("apis/apps/v1"), *after;
        char *hashes[ELEMENTS(definitions)];

        for (size_t i = 0; i < ELEMENTS(definitions); i++) {
                _cleanup_json_ json_t *crd = parse(definitions[i]);
                _cleanup_problem_ struct problem p = {0};

                if (kind_registry_add_crd(registry, crd, &p) < 0)
                        fail_msg("%s", p.message);
                hashes[i] = hash_of("apis/a.example/v1");
        }
        after = hash_of("api/v1");
        assert_string_equal(core, after);
        assert_non_null(startswith(core, "/openapi/v3/api/v1?hash="));
        assert_string_not_equal(strchr(core, '='), strchr(apps, '='));
        assert_non_null(startswith(hashes[0], "/openapi/v3/apis/a.example/v1?hash="));
        assert_string_equal(hashes[0], hashes[1]);
        assert_string_not_equal(hashes[0], hashes[2]);
        for (size_t i = 0; i < ELEMENTS(definitions); i++)
                free(hashes[i]);
        assert_int_equal(kind_registry_remove_crd(registry, "as.a.example"), 1);
}

static void test_openapi(void **state) {
        _cleanup_json_ json_t *index = openapi_v3_index(registry), *v2 = NULL;
        _cleanup_free_ char *text2 = openapi_v2_json(registry);
        _cleanup_buf_ struct buf protobuf = {0};
        const char *path;
        size_t refs = 0;
        json_t *entry;

        assert_int_equal(json_object_size(json_object_get(index, "paths")), 23);
        json_object_foreach (json_object_get(index, "paths"), path, entry) {
                const char *rest = startswith(path, "apis/");
                _cleanup_strv_free_ char **parts = NULL;

                assert_int_equal(strv_split(rest ? rest : "v1", "/", &parts), 0);
                _cleanup_free_ char *text = openapi_v3_document(
                                registry, rest ? parts[0] : "", rest ? parts[1] : "v1");
                _cleanup_json_ json_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
                if (!doc)
                        fail_msg("%s is not JSON", path);
                check_refs(doc, json_at(doc, "components.schemas"), "#/components/schemas/", &refs);
        }
        assert_true(refs > 100);
        v2 = json_loads(text2, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(v2);
        check_refs(v2, json_object_get(v2, "definitions"), "#/definitions/", &refs);
        _cleanup_free_ char *apps = openapi_v3_document(registry, "apps", "v1");
        _cleanup_json_ json_t *doc = json_loads(apps, 0, NULL);
        const json_t *patch = json_get(doc, "paths",
                        "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch", NULL);
        assert_json(json_object_get(patch, "x-kubernetes-group-version-kind"),
                        "{'group':'apps','kind':'Deployment','version':'v1'}");
        assert_string_equal(
                        json_str(json_array_get(json_object_get(patch, "parameters"), 2), "name"),
                        "fieldValidation");
        assert_json(json_get(doc, "components", "schemas", "io.k8s.api.core.v1.PodSpec",
                                    "properties", "containers", "x-kubernetes-list-map-keys", NULL),
                        "['name']");
        assert_int_equal(openapi_v2_protobuf(registry, &protobuf), 0);
        assert_true(protobuf.size > 1000);
        assert_null(openapi_v3_document(registry, "apps", "v2"));
}

static bool selects(const struct kind *k, const char *selector, const char *object) {
        _cleanup_(field_selector_freep) struct field_selector *s = NULL;
        _cleanup_json_ json_t *o = parse(object);
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(field_selector_parse(selector, &s, &p), 0);
        assert_int_equal(kind_check_field_selector(k, s, &p), 0);
        return kind_field_selector_matches(k, s, o);
}

static void test_field_selectors(void **state) {
        const struct kind *pods = kind("", "pods"), *nodes = kind("", "nodes"),
                          *events = kind("", "events");
        _cleanup_(field_selector_freep) struct field_selector *bad = NULL;
        _cleanup_problem_ struct problem p = {0};

        assert_true(selects(pods, "spec.nodeName=n,status.phase!=Failed",
                        "{'spec':{'nodeName':'n'},'status':{'phase':'Running'}}"));
        assert_false(selects(pods, "spec.nodeName=n,status.phase!=Failed",
                        "{'spec':{'nodeName':'n'},'status':{'phase':'Failed'}}"));
        assert_true(selects(pods, "spec.nodeName=", "{'spec':{}}"));
        assert_true(selects(pods, "spec.hostNetwork=false", "{'spec':{}}"));
        assert_true(selects(pods, "status.podIPs=1.2.3.4",
                        "{'status':{'podIPs':[{'ip':'1.1.1.1'},{'ip':'1.2.3.4'}]}}"));
        assert_true(selects(nodes, "spec.unschedulable=false,metadata.name=n",
                        "{'metadata':{'name':'n'}}"));
        assert_false(selects(nodes, "spec.unschedulable=false", "{'spec':{'unschedulable':true}}"));
        assert_true(selects(events, "involvedObject.kind=Pod,source=k",
                        "{'involvedObject':{'kind':'Pod'},'source':{'component':'k'}}"));
        assert_true(selects(kind("batch", "jobs"), "status.successful=0", "{}"));
        assert_int_equal(field_selector_parse("spec.x=1", &bad, &p), 0);
        assert_true(kind_check_field_selector(pods, bad, &p) < 0);
        assert_string_equal(p.message, "field label not supported: spec.x");
        assert_true(kind_check_field_selector(kind("", "configmaps"), bad, &p) < 0);
        assert_string_equal(p.message, "\"spec.x\" is not a known field selector: only "
                                       "\"metadata.name\", \"metadata.namespace\"");
        assert_true(kind_check_field_selector(kind("batch", "jobs"), bad, &p) < 0);
        assert_string_equal(p.message, "field label \"spec.x\" not supported for batchv1.Job");
}

static const char crd_text[] =
                "{'apiVersion':'apiextensions.k8s.io/"
                "v1','kind':'CustomResourceDefinition','metadata':{'name':'widgets.example.com'},'"
                "spec':{'group':'example.com','scope':'Namespaced',"
                "'names':{'plural':'widgets','kind':'Widget','shortNames':['wi']},'versions':[{'"
                "name':'v1','served':true,'storage':true,'subresources':{'status':{},'scale':{"
                "'specReplicasPath':'.spec.n','statusReplicasPath':'.status.n'}},'"
                "additionalPrinterColumns':[{'name':'Size','type':'integer','jsonPath':'.spec.size'"
                "},{'name':'Age',"
                "'type':'date','jsonPath':'.metadata.creationTimestamp'}],'selectableFields':[{'"
                "jsonPath':'.spec.color'}],'schema':{'openAPIV3Schema':{'type':'object','"
                "properties':{"
                "'spec':{'type':'object','required':['size'],'properties':{'size':{'type':'integer'"
                ",'minimum':1,'maximum':10},'color':{'type':'string','enum':['red','blue'],'"
                "default':"
                "'red'},'code':{'type':'string','pattern':'^\\\\d{3}-\\\\w+$'},'n':{'type':'"
                "integer'},'tags':{'type':'array','items':{'type':'string'},'x-kubernetes-list-"
                "type':'set'},"
                "'any':{'type':'object','x-kubernetes-preserve-unknown-fields':true},'port':{'x-"
                "kubernetes-int-or-string':true},'nul':{'type':'string','nullable':true}}},"
                "'status':{'type':'object','properties':{'n':{'type':'integer'}}}}}}}]}}";

static void custom_fails(const struct kind *k, const char *spec, const char *expected) {
        _cleanup_free_ char
                        *text = strformat("{\"apiVersion\":\"example.com/v1\",\"kind\":\"Widget\","
                                          "\"metadata\":{\"name\":\"w\",\"namespace\":\"d\"},"
                                          "\"spec\":%s}",
                                        spec),
                        *body = quoted(text), *want = quoted(expected);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_decoded_ struct decoded d = {0};

        assert_int_equal(pipeline_decode(k, NULL, NULL, body, strlen(body), FIELD_VALIDATION_WARN,
                                         &d, &p),
                        0);
        assert_int_equal(pipeline_default(k, d.object), 0);
        assert_true(pipeline_validate_create(k, d.object, &p) < 0);
        if (!strstr(p.message, want))
                fail_msg("\n got: %s\nwant: %s", p.message, want);
}

static void test_crd(void **state) {
        const struct kind *crds = kind("apiextensions.k8s.io", "customresourcedefinitions"), *k;
        struct pipeline_context c = {.now_us = now_us};
        _cleanup_free_ char *body = quoted(crd_text);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_decoded_ struct decoded d = {0}, w = {0};
        uint64_t generation = kind_registry_generation(registry);

        if (pipeline_decode(crds, NULL, NULL, body, strlen(body), FIELD_VALIDATION_STRICT, &d, &p) <
                        0)
                fail_msg("%s", p.message);
        assert_int_equal(pipeline_default(crds, d.object), 0);
        assert_int_equal(pipeline_prepare_create(crds, d.object, &c), 0);
        if (pipeline_validate_create(crds, d.object, &p) < 0)
                fail_msg("%s", p.message);
        assert_string_equal(json_str(d.object, "status.acceptedNames.listKind"), "WidgetList");
        assert_int_equal(kind_registry_add_crd(registry, d.object, &p), 0);
        assert_true(kind_registry_generation(registry) > generation);
        k = kind_registry_find(registry, "example.com", "v1", "widgets");
        assert_non_null(k);
        assert_true(k->custom && k->has_status && k->scale);
        assert_string_equal(k->storage_prefix, "/registry/example.com/widgets/");
        assert_ptr_equal(kind_registry_find_kind(registry, "example.com", "v1", "Widget"), k);
        static const char widget[] = "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Widget\","
                                     "\"metadata\":{\"name\":\"w\",\"namespace\":\"d\"},\"spec\":{"
                                     "\"size\":2,\"x\":1,\"any\":{\"y\":1},\"nul\":null,\"code\":"
                                     "\"123-a\",\"port\":\"http\"}}";
        assert_int_equal(pipeline_decode(k, NULL, NULL, widget, strlen(widget),
                                         FIELD_VALIDATION_WARN, &w, &p),
                        0);
        assert_string_equal(w.warnings[0], "unknown field \"spec.x\"");
        assert_int_equal(pipeline_default(k, w.object), 0);
        assert_json(json_object_get(w.object, "spec"), "{'size':2,'any':{'y':1},'nul':null,'code':'"
                                                       "123-a','port':'http','color':'red'}");
        if (pipeline_validate_create(k, w.object, &p) < 0)
                fail_msg("%s", p.message);
        custom_fails(k, "{'size':11}",
                        "Widget.example.com 'w' is invalid: spec.size: Invalid value: 11: "
                        "spec.size in body should be less than or equal to 10");
        custom_fails(k, "{}", "spec.size: Required value");
        custom_fails(k, "{'size':'x'}",
                        "spec.size: Invalid value: 'string': spec.size in body must be of type "
                        "integer: 'string'");
        custom_fails(k, "{'size':1,'color':'green'}",
                        "spec.color: Unsupported value: 'green': supported values: 'red', 'blue'");
        custom_fails(k, "{'size':1,'code':'12-a'}", "spec.code in body should match");
        custom_fails(k, "{'size':1,'tags':['a','a']}", "spec.tags[1]: Duplicate value: 'a'");
        _cleanup_free_ char *cells = row(k, "{'metadata':{'name':'w'," AGE "},'spec':{'size':4}}");
        assert_string_equal(cells, "w|4|10m");
        _cleanup_free_ char *doc = openapi_v3_document(registry, "example.com", "v1");
        assert_non_null(strstr(doc, "\"com.example.v1.Widget\""));
        _cleanup_json_ json_t *parsed = json_loads(doc, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(parsed);
        /* A reference outlives the CRD. */
        _cleanup_(kind_unrefp) struct kind *held = kind_ref(k);
        assert_int_equal(kind_registry_remove_crd(registry, "widgets.example.com"), 1);
        assert_int_equal(kind_registry_remove_crd(registry, "widgets.example.com"), 0);
        assert_null(kind_registry_find(registry, "example.com", "v1", "widgets"));
        assert_string_equal(held->plural, "widgets");
        assert_false(kind_registry_has_group_version(registry, "example.com", "v1"));
}

static void test_bad_crds(void **state) {
        static const struct {
                const char *path, *value, *expected;
        } cases[] = {
                        {"metadata.name", "'x.example.com'",
                                        "metadata.name: Invalid value: 'x.example.com': must be "
                                        "spec.names.plural+'.'+spec.group"},
                        {"spec.scope", "'Galaxy'", "spec.scope: Unsupported value: 'Galaxy'"},
                        {"schema", "{'type':'object','properties':{'a':{}}}",
                                        "properties[a].type: Required value: must not be empty for specified "
                                        "object fields"},
                        {"schema", "{'type':'string'}",
                                        "type: Invalid value: 'string': must be object at the root"},
                        {"schema",
                                        "{'type':'object','properties':{'a':{'type':'string','"
                                        "pattern':'(?=x)'}}}",
                                        "the pattern (?=x) uses what RE2 lacks"},
                        {"schema", "{'type':'object','properties':{'a':{'type':'array'}}}",
                                        "properties[a].items: Required value: must be specified"},
                        {"schema", "{'type':'object','properties':{'a':{'$ref':'core.v1.Pod'}}}",
                                        "properties[a].$ref: Forbidden: $ref is not supported"},
                        {"storage", "false",
                                        "must have exactly one version marked as storage version"},
        };
        const struct kind *crds = kind("apiextensions.k8s.io", "customresourcedefinitions");

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *crd = parse(crd_text), *value = parse(cases[i].value);
                _cleanup_free_ char *want = quoted(cases[i].expected);
                _cleanup_problem_ struct problem p = {0};
                json_t *version = json_array_get(json_at_mut(crd, "spec.versions"), 0);

                if (streq(cases[i].path, "schema"))
                        json_set_at(version, "schema.openAPIV3Schema", json_incref(value));
                else
                        json_set_at(streq(cases[i].path, "storage") ? version : crd, cases[i].path,
                                        json_incref(value));
                assert_int_equal(pipeline_default(crds, crd), 0);
                assert_true(pipeline_validate_create(crds, crd, &p) < 0);
                if (!strstr(p.message, want))
                        fail_msg("\n got: %s\nwant: %s", p.message, want);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_rows),
                        cmocka_unit_test(test_pod_rows),
                        cmocka_unit_test(test_table_frame),
                        cmocka_unit_test(test_column_types),
                        cmocka_unit_test(test_discovery),
                        cmocka_unit_test(test_openapi),
                        cmocka_unit_test(test_openapi_hashes),
                        cmocka_unit_test(test_field_selectors),
                        cmocka_unit_test(test_crd),
                        cmocka_unit_test(test_bad_crds),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
