/* Kinds that keelson keeps for other programs, and those that describe the control plane: defaults,
 * refusals, what stays, columns. */
#include "tests/unit/kapid-admission.h"

#include "kapid/bootstrap-objects.h"
#include "kapid/http/fairness.h"
#include "kapid/table/table.h"
#include "kapid/verbs/components.h"
#include "lib/timefmt.h"
#include "lib/yaml.h"
#include "tests/unit/kapid-create.h"

#define STORAGE "storage.k8s.io"
#define FLOW "flowcontrol.apiserver.k8s.io"
#define NET "networking.k8s.io"
#define NODE "node.k8s.io"
#define META "'metadata':{'name':'a.example.com'}"
#define DRIVER(spec) "{" META ",'spec':{" spec "}}"
#define OF_NODE(driver) "{" META ",'spec':{'drivers':[{" driver "}]}}"
#define SPACE(more) "{'metadata':{'name':'s','namespace':'d'}," more "}"
#define ATTACH(spec) "{" META ",'spec':{'attacher':'d.example.com','nodeName':'n1'," spec "}}"
#define SCHEMA(spec) "{" META ",'spec':{'priorityLevelConfiguration':{'name':'l'}" spec "}}"
#define RULE(rule) SCHEMA(",'rules':[{'subjects':[{'kind':'User','user':{'name':'*'}}]," rule "}]")
#define RESOURCES(rule) RULE("'resourceRules':[{" rule "}]")
#define SUBJECT(subject) \
        SCHEMA(",'rules':[{'subjects':[{" subject "}],'nonResourceRules':[{'verbs':['*']," \
               "'nonResourceURLs':['*']}]}]")
#define LEVEL(spec) "{" META ",'spec':{" spec "}}"
#define QUEUE(queuing) \
        LEVEL("'type':'Limited','limited':{'limitResponse':{'type':'Queue','queuing':{" queuing \
              "}}}")
#define RANGES(cidrs) "{" META ",'spec':{'cidrs':[" cidrs "]}}"
#define CLASS(more) "{" META ",'handler':'kata'" more "}"
#define TEMPLATE(template) "{'metadata':{'name':'t','namespace':'d'},'template':" template "}"
#define CONTAINERS "'containers':[{'name':'c','image':'i'},{'name':'e','image':'j'}]"

static void test_defaults(void **state) {
        static const struct {
                const char *group, *plural, *object, *path, *expected;
        } cases[] = {
                        {STORAGE, "csidrivers", DRIVER(""), "spec",
                                        "{'attachRequired':true,'podInfoOnMount':false,"
                                        "'storageCapacity':false,'requiresRepublish':false,"
                                        "'seLinuxMount':false,'volumeLifecycleModes':['Persistent'"
                                        "],'fsGroupPolicy':'ReadWriteOnceWithFSType'}"},
                        {STORAGE, "csinodes", "{" META ",'spec':{'drivers':null}}", "spec",
                                        "{'drivers':[]}"},
                        {STORAGE, "csinodes", "{" META "}", "spec", "{'drivers':[]}"},
                        {STORAGE, "volumeattachments",
                                        ATTACH("'source':{'persistentVolumeName':'v'}"), "status",
                                        "{'attached':false}"},
                        {STORAGE, "csistoragecapacities", SPACE("'storageClassName':'c'"),
                                        "storageClassName", "'c'"},
                        {STORAGE, "volumeattributesclasses",
                                        "{" META
                                        ",'driverName':'d','parameters':{'iops':'1'}}",
                                        "parameters", "{'iops':'1'}"},
                        {FLOW, "flowschemas", SCHEMA(""), "spec.matchingPrecedence", "1000"},
                        {FLOW, "flowschemas", SCHEMA(",'matchingPrecedence':0"),
                                        "spec.matchingPrecedence", "1000"},
                        {FLOW, "flowschemas", SCHEMA(""), "status", "{}"},
                        {FLOW, "flowschemas", SCHEMA(""), "metadata.generation", "1"},
                        {FLOW, "prioritylevelconfigurations", QUEUE("'handSize':0"),
                                        "spec.limited",
                                        "{'nominalConcurrencyShares':30,'lendablePercent':0,"
                                        "'limitResponse':{'type':'Queue','queuing':{'queues':64,"
                                        "'handSize':8,'queueLengthLimit':50}}}"},
                        {NET, "servicecidrs", RANGES("'10.0.0.0/16','fd00::/112'"), "status", "{}"},
                        {NODE, "runtimeclasses", CLASS(""), "handler", "'kata'"},
                        {"", "podtemplates", TEMPLATE("{'spec':{" CONTAINERS "}}"),
                                        "template.spec.restartPolicy", "'Always'"},
                        {"", "podtemplates",
                                        TEMPLATE("{'spec':{'hostNetwork':true,'containers':[{'name':"
                                                 "'c','ports':[{'containerPort':80}]}]}}"),
                                        "template.spec.containers",
                                        "[{'name':'c','ports':[{'containerPort':80,'hostPort':80,"
                                        "'protocol':'TCP'}],'resources':{},"
                                        "'terminationMessagePath':'/dev/termination-log',"
                                        "'terminationMessagePolicy':'File'}]"},
                        {"", "podtemplates", TEMPLATE("{'spec':{" CONTAINERS "}}"),
                                        "metadata.generation", "1"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *o =
                                create(kind(cases[i].group, cases[i].plural), cases[i].object,
                                                NULL);

                assert_json(json_at(o, cases[i].path), cases[i].expected);
        }
}

struct refusal {
        const char *group, *plural, *object, *expected;
};

static void refuse(const struct refusal *cases, size_t n) {
        for (size_t i = 0; i < n; i++)
                create_fails(kind(cases[i].group, cases[i].plural), cases[i].object,
                                cases[i].expected);
}

static void test_storage_refusals(void **state) {
        static const struct refusal cases[] = {
                        {STORAGE, "csidrivers", DRIVER("'volumeLifecycleModes':['Other']"),
                                        "Unsupported value"},
                        {STORAGE, "csidrivers", DRIVER("'fsGroupPolicy':'Maybe'"),
                                        "spec.fsGroupPolicy: Unsupported value"},
                        {STORAGE, "csidrivers",
                                        DRIVER("'tokenRequests':[{'audience':'a'},{'audience':'a'}]"),
                                        "spec.tokenRequests[1].audience: Duplicate value"},
                        {STORAGE, "csidrivers",
                                        DRIVER("'tokenRequests':[{'audience':'a',"
                                               "'expirationSeconds':5}]"),
                                        "spec.tokenRequests[0].expirationSeconds: Invalid value"},
                        {STORAGE, "csidrivers", DRIVER("'nodeAllocatableUpdatePeriodSeconds':9"),
                                        "greater than or equal to 10"},
                        {STORAGE, "csinodes", OF_NODE("'name':'d'"),
                                        "spec.drivers[0].nodeID: Required value"},
                        {STORAGE, "csinodes", OF_NODE("'name':'d_','nodeID':'x'"),
                                        "spec.drivers[0].name: Invalid value: 'd_'"},
                        {STORAGE, "csinodes",
                                        OF_NODE("'name':'d','nodeID':'x','topologyKeys':['a','a']"),
                                        "spec.drivers[0].topologyKeys: Duplicate value"},
                        {STORAGE, "csinodes",
                                        OF_NODE("'name':'d','nodeID':'x','allocatable':{'count':-1}"),
                                        "spec.drivers[0].allocatable.count: Invalid value"},
                        {STORAGE, "csinodes",
                                        "{" META ",'spec':{'drivers':[{'name':'d','nodeID':'x'},{"
                                        "'name':'d','nodeID':'y'}]}}",
                                        "Duplicate value"},
                        {STORAGE, "csistoragecapacities", SPACE("'capacity':'1'"),
                                        "storageClassName: Required value"},
                        {STORAGE, "csistoragecapacities",
                                        SPACE("'storageClassName':'c','capacity':'-1'"),
                                        "capacity: Invalid value: '-1'"},
                        {STORAGE, "csistoragecapacities",
                                        SPACE("'storageClassName':'c','nodeTopology':{"
                                              "'matchExpressions':[{'key':'a','operator':'In'}]}"),
                                        "nodeTopology.matchExpressions[0].values: Required value"},
                        {STORAGE, "volumeattachments", ATTACH("'source':{}"),
                                        "spec.source: Required value: must specify exactly one"},
                        {STORAGE, "volumeattachments",
                                        ATTACH("'source':{'persistentVolumeName':''}"),
                                        "persistentVolumeName: Required value"},
                        {STORAGE, "volumeattachments",
                                        ATTACH("'source':{'persistentVolumeName':'v',"
                                               "'inlineVolumeSpec':{}}"),
                                        "spec.source: Forbidden"},
                        {STORAGE, "volumeattributesclasses", "{" META ",'driverName':'d'}",
                                        "parameters: Required value: must contain at least one"},
                        {STORAGE, "volumeattributesclasses",
                                        "{" META ",'driverName':'_','parameters':{'a':'b'}}",
                                        "driverName: Invalid value"},
        };

        refuse(cases, ELEMENTS(cases));
}

static void test_flow_refusals(void **state) {
        static const struct refusal cases[] = {
                        {FLOW, "flowschemas", "{" META "}",
                                        "spec.priorityLevelConfiguration.name: Required value"},
                        {FLOW, "flowschemas", SCHEMA(",'matchingPrecedence':10001"),
                                        "must not be greater than 10000"},
                        {FLOW, "flowschemas", SCHEMA(",'matchingPrecedence':-1"),
                                        "must be a positive value"},
                        {FLOW, "flowschemas", SCHEMA(",'matchingPrecedence':1"),
                                        "may have matchingPrecedence 1"},
                        {FLOW, "flowschemas", SCHEMA(",'distinguisherMethod':{'type':'ByDay'}"),
                                        "spec.distinguisherMethod.type: Unsupported value"},
                        {FLOW, "flowschemas", SCHEMA(",'rules':[{'subjects':[]}]"),
                                        "spec.rules[0].subjects: Required value"},
                        {FLOW, "flowschemas", RULE("'resourceRules':[]"),
                                        "spec.rules[0]: Required value: at least one of"},
                        {FLOW, "flowschemas", SUBJECT("'kind':'Group','user':{'name':'*'}"),
                                        "subjects[0].group: Required value: group is required"},
                        {FLOW, "flowschemas", SUBJECT("'kind':'Group','user':{'name':'*'}"),
                                        "subjects[0].user: Forbidden: user is forbidden when"},
                        {FLOW, "flowschemas",
                                        RESOURCES("'verbs':['get','*'],'apiGroups':['*'],"
                                                  "'resources':['*'],'clusterScope':true"),
                                        "is present, must not specify other verbs"},
                        {FLOW, "flowschemas",
                                        RESOURCES("'verbs':['fetch'],'apiGroups':['*'],"
                                                  "'resources':['*'],'clusterScope':true"),
                                        "verbs: Unsupported value: 'fetch'"},
                        {FLOW, "flowschemas",
                                        RESOURCES("'verbs':['*'],'apiGroups':['*'],'resources':["
                                                  "'*']"),
                                        "namespaces: Required value: resource rules that are not"},
                        {FLOW, "flowschemas",
                                        RULE("'nonResourceRules':[{'verbs':['*'],"
                                             "'nonResourceURLs':['/a*']}]"),
                                        "wildcard can only do suffix matching"},
                        {FLOW, "flowschemas",
                                        RULE("'nonResourceRules':[{'verbs':['*'],"
                                             "'nonResourceURLs':['*a']}]"),
                                        "and have no blanks"},
                        {FLOW, "prioritylevelconfigurations", "{" META "}",
                                        "spec.type: Required value"},
                        {FLOW, "prioritylevelconfigurations", LEVEL("'type':'Exempt'"),
                                        "spec.type: Invalid value: 'Exempt': must be"},
                        {FLOW, "prioritylevelconfigurations", LEVEL("'type':'Limited'"),
                                        "spec.limited: Required value"},
                        {FLOW, "prioritylevelconfigurations",
                                        LEVEL("'type':'Limited','limited':{}"),
                                        "spec.limited.limitResponse.type: Required value"},
                        {FLOW, "prioritylevelconfigurations",
                                        LEVEL("'type':'Limited','limited':{'limitResponse':{'type':"
                                              "'Queue'}}"),
                                        "spec.limited.limitResponse.queuing: Required value"},
                        {FLOW, "prioritylevelconfigurations",
                                        LEVEL("'type':'Limited','exempt':{},'limited':{"
                                              "'limitResponse':{'type':'Reject','queuing':{}}}"),
                                        "queuing: Forbidden"},
                        {FLOW, "prioritylevelconfigurations", QUEUE("'queues':3,'handSize':4"),
                                        "handSize: Invalid value: 4: should not be greater than "
                                        "queues (3)"},
                        {FLOW, "prioritylevelconfigurations", QUEUE("'queueLengthLimit':-1"),
                                        "queueLengthLimit: Invalid value: -1: must be positive"},
        };

        refuse(cases, ELEMENTS(cases));
}

static void test_other_refusals(void **state) {
        static const struct refusal cases[] = {
                        {NET, "servicecidrs", RANGES(""), "at least one CIDR required"},
                        {NET, "servicecidrs", RANGES("'10.0.0.0'"),
                                        "spec.cidrs[0]: Invalid value: '10.0.0.0'"},
                        {NET, "servicecidrs", RANGES("'10.0.0.0/16','10.1.0.0/16'"),
                                        "no more than one IP for each IP family"},
                        {NET, "servicecidrs", RANGES("'10.0.0.0/16','fd00::/112','fd01::/112'"),
                                        "may only hold up to 2 values"},
                        {NODE, "runtimeclasses", "{" META "}", "handler: Required value"},
                        {NODE, "runtimeclasses", "{" META ",'handler':'A'}",
                                        "handler: Invalid value: 'A'"},
                        {NODE, "runtimeclasses", CLASS(",'overhead':{'podFixed':{'cpu':'-1'}}"),
                                        "overhead.podFixed[cpu]: Invalid value: '-1'"},
                        {NODE, "runtimeclasses",
                                        CLASS(",'scheduling':{'nodeSelector':{'a b':'c'}}"),
                                        "scheduling.nodeSelector: Invalid value: 'a b'"},
                        {NODE, "runtimeclasses", CLASS(",'scheduling':{'tolerations':[{}]}"),
                                        "scheduling.tolerations[0].operator: Invalid value"},
                        {NODE, "runtimeclasses",
                                        CLASS(",'scheduling':{'tolerations':[{'key':'a','operator':"
                                              "'Exists'},{'key':'a','operator':'Exists'}]}"),
                                        "scheduling.tolerations[1]: Duplicate value"},
                        {"", "podtemplates", TEMPLATE("{}"), "template.spec: Required value"},
                        {"", "podtemplates", TEMPLATE("{'spec':{'containers':[]}}"),
                                        "template.spec.containers: Required value"},
                        {"", "podtemplates",
                                        TEMPLATE("{'metadata':{'labels':{'a b':'c'}},'spec':{" CONTAINERS
                                                 "}}"),
                                        "template.metadata.labels: Invalid value: 'a b'"},
        };

        refuse(cases, ELEMENTS(cases));
}

/* What a second object may not change of a first. */
static void test_what_stays(void **state) {
        static const struct {
                const char *group, *plural, *old, *new, *expected; /* NULL: it is accepted */
        } cases[] = {
                        {STORAGE, "csidrivers", DRIVER(""), DRIVER("'attachRequired':false"),
                                        "spec.attachRequired: Invalid value: false: field is "
                                        "immutable"},
                        {STORAGE, "csidrivers", DRIVER(""), DRIVER("'storageCapacity':true"), NULL},
                        {STORAGE, "csinodes", OF_NODE("'name':'d','nodeID':'x'"),
                                        OF_NODE("'name':'d','nodeID':'y'"),
                                        "spec.drivers[0]: Invalid value"},
                        {STORAGE, "csinodes", OF_NODE("'name':'d','nodeID':'x'"),
                                        OF_NODE("'name':'d','nodeID':'x','allocatable':{'count':3}"),
                                        NULL},
                        {STORAGE, "csinodes", OF_NODE("'name':'d','nodeID':'x'"),
                                        OF_NODE("'name':'e','nodeID':'y'"), NULL},
                        {STORAGE, "csistoragecapacities", SPACE("'storageClassName':'c'"),
                                        SPACE("'storageClassName':'d'"),
                                        "storageClassName: Invalid value: 'd': field is immutable"},
                        {STORAGE, "csistoragecapacities", SPACE("'storageClassName':'c'"),
                                        SPACE("'storageClassName':'c','capacity':'5Gi'"), NULL},
                        {STORAGE, "volumeattachments",
                                        ATTACH("'source':{'persistentVolumeName':'v'}"),
                                        ATTACH("'source':{'persistentVolumeName':'w'}"),
                                        "field is immutable"},
                        {NET, "servicecidrs", RANGES("'10.0.0.0/16'"), RANGES("'10.1.0.0/16'"),
                                        "spec.cidrs: Invalid value"},
                        {NODE, "runtimeclasses", CLASS(""), "{" META ",'handler':'runc'}",
                                        "handler: Invalid value: 'runc': field is immutable"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct kind *k = kind(cases[i].group, cases[i].plural);
                _cleanup_json_ json_t *old = create(k, cases[i].old, NULL),
                                      *new = create(k, cases[i].new, NULL);
                _cleanup_free_ char *want = cases[i].expected ? quoted(cases[i].expected) : NULL;
                _cleanup_problem_ struct problem p = {0};
                int r = pipeline_validate_update(k, NULL, old, new, NULL, &p);

                if (!want && r < 0)
                        fail_msg("%s", p.message);
                if (want && (r >= 0 || !strstr(p.message, want)))
                        fail_msg("\n got: %s\nwant: %s", strempty(p.message), want);
        }
}

static char *cells_of(const struct kind *k, const json_t *object) {
        _cleanup_json_ json_t *table = table_new(k, "v1", NULL, true);
        _cleanup_buf_ struct buf b = {0};
        const json_t *cell;
        size_t i;

        assert_int_equal(table_add_row(table, k, object, TABLE_INCLUDE_NONE, 1700000000000000), 0);
        json_array_foreach (json_at(json_array_get(json_object_get(table, "rows"), 0), "cells"), i,
                        cell) {
                _cleanup_free_ char *text = json_dumps(cell, JSON_ENCODE_ANY);

                buf_printf(&b, "%s|",
                                json_is_string(cell) ? json_string_value(cell) : strempty(text));
        }
        assert_false(b.failed);
        return strdup(strempty(b.data));
}

/* As kubectl shows them; without the age. */
static void test_columns(void **state) {
        static const struct {
                const char *group, *plural, *object, *cells;
        } cases[] = {
                        {STORAGE, "csidrivers",
                                        DRIVER("'tokenRequests':[{'audience':'a'},{'audience':'b'}],"
                                               "'volumeLifecycleModes':['Persistent','Ephemeral']"),
                                        "a.example.com|true|false|false|a,b|false|Persistent,"
                                        "Ephemeral|"},
                        {STORAGE, "csidrivers", DRIVER("'attachRequired':false"),
                                        "a.example.com|false|false|false|<unset>|false|"
                                        "Persistent|"},
                        {STORAGE, "csinodes", OF_NODE("'name':'d','nodeID':'x'"),
                                        "a.example.com|1|"},
                        {STORAGE, "csistoragecapacities", SPACE("'storageClassName':'c'"),
                                        "s|c|<unset>|"},
                        {STORAGE, "csistoragecapacities",
                                        SPACE("'storageClassName':'c','capacity':'5Gi'"),
                                        "s|c|5Gi|"},
                        {STORAGE, "volumeattachments",
                                        ATTACH("'source':{'persistentVolumeName':'v'}"),
                                        "a.example.com|d.example.com|v|n1|false|"},
                        {STORAGE, "volumeattachments",
                                        ATTACH("'source':{'inlineVolumeSpec':{}}"),
                                        "a.example.com|d.example.com||n1|false|"},
                        {STORAGE, "volumeattributesclasses",
                                        "{" META ",'driverName':'d','parameters':{'a':'b'}}",
                                        "a.example.com|d|"},
                        {FLOW, "prioritylevelconfigurations", QUEUE(""),
                                        "a.example.com|Limited|30|64|8|50|"},
                        {FLOW, "prioritylevelconfigurations",
                                        "{'metadata':{'name':'exempt'},'spec':{'type':'Exempt'}}",
                                        "exempt|Exempt|<none>|<none>|<none>|<none>|"},
                        {NET, "servicecidrs", RANGES("'10.0.0.0/16','fd00::/112'"),
                                        "a.example.com|10.0.0.0/16,fd00::/112|"},
                        {NODE, "runtimeclasses", CLASS(""), "a.example.com|kata|"},
                        {"", "podtemplates",
                                        TEMPLATE("{'metadata':{'labels':{'a':'b'}},'spec':{" CONTAINERS
                                                 "}}"),
                                        "t|c,e|i,j|a=b|"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct kind *k = kind(cases[i].group, cases[i].plural);
                _cleanup_json_ json_t *o = create(k, cases[i].object, NULL);
                _cleanup_free_ char *got = cells_of(k, o);

                if (!startswith(got, cases[i].cells))
                        fail_msg("%s\n got: %s\nwant: %s", cases[i].plural, got, cases[i].cells);
        }
}

/* FlowSchemas have the age before their last column. */
static void test_flow_columns(void **state) {
        const struct kind *k = kind(FLOW, "flowschemas");
        _cleanup_json_ json_t *o = create(k, SCHEMA(",'distinguisherMethod':{'type':'ByUser'}"),
                                              NULL);
        _cleanup_free_ char *before = cells_of(k, o), *after = NULL;

        assert_true(startswith(before, "a.example.com|l|1000|ByUser|") != NULL);
        assert_non_null(strstr(before, "|?|"));
        assert_int_equal(json_set_at(o, "status.conditions",
                                         parse("[{'type':'Dangling','status':'False'}]")),
                        0);
        after = cells_of(k, o);
        assert_non_null(strstr(after, "|False|"));
}

/* --- the state of the control plane --- */

static void test_components(void **state) {
        static const struct {
                const char *lease, *trouble; /* a lease of 15 s, 2023-11-14T22:13:20Z */
        } cases[] = {
                        {NULL, "no kschedd has the lease kube-system/kschedd; see `systemctl"},
                        {"{'spec':{'holderIdentity':'','renewTime':'2023-11-14T22:13:19.000000Z'}}",
                                        "no kschedd has the lease"},
                        {"{'spec':{'holderIdentity':'m1','leaseDurationSeconds':15,'renewTime':"
                         "'2023-11-14T22:13:01.000000Z'}}",
                                        NULL},
                        {"{'spec':{'holderIdentity':'m1','leaseDurationSeconds':15,'renewTime':"
                         "'2023-11-14T22:12:40.000000Z'}}",
                                        "m1 has not renewed the lease kube-system/kschedd since "
                                        "2023-11-14T22:12:40.000000Z"},
                        {"{'spec':{'holderIdentity':'m1'}}", "m1 has not renewed the lease"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *lease = cases[i].lease ? parse(cases[i].lease) : NULL,
                                      *status = NULL;
                _cleanup_free_ char *trouble = NULL, *cells = NULL;

                assert_int_equal(component_lease_trouble(lease, "kschedd",
                                                 UINT64_C(1700000000000000), &trouble),
                                0);
                status = component_status("scheduler", trouble);
                cells = cells_of(kind("", "componentstatuses"), status);
                if (!cases[i].trouble) {
                        assert_null(trouble);
                        assert_string_equal(cells, "scheduler|Healthy|ok||");
                        continue;
                }
                if (!startswith(strempty(trouble), cases[i].trouble))
                        fail_msg("\n got: %s\nwant: %s", strempty(trouble), cases[i].trouble);
                assert_true(startswith(cells, "scheduler|Unhealthy||") != NULL);
        }
}

/* --- the levels that every cluster has --- */

static json_t *of_kind(const struct yaml_docs *docs, const char *kind_name, const char *name) {
        for (size_t i = 0; i < docs->count; i++)
                if (streq(object_kind(docs->items[i].value), kind_name) &&
                                streq(object_name(docs->items[i].value), name))
                        return docs->items[i].value;
        return NULL;
}

/* The objects say what is compiled in, and are as the server would store them. */
static void test_levels(void **state) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_(fairness_freep) struct fairness *f = fairness_new();
        _cleanup_problem_ struct problem p = {0};
        size_t seen = 0;

        assert_non_null(f);
        assert_int_equal(yaml_parse(bootstrap_objects, strlen(bootstrap_objects), &docs, &p), 0);
        for (unsigned i = 0; i < FAIRNESS_LEVELS; i++) {
                const struct fairness_level_state *l = fairness_level(f, i);
                const json_t *level = of_kind(&docs, "PriorityLevelConfiguration", l->name);

                assert_non_null(level);
                if (i == FAIRNESS_EXEMPT)
                        assert_string_equal(json_str_or(level, "spec.type", ""), "Exempt");
                else
                        assert_int_equal(json_int_or(level, "spec.limited.nominalConcurrencyShares",
                                                         0),
                                        l->seats_max);
        }
        for (size_t i = 0; i < docs.count; i++) {
                const char *name = object_kind(docs.items[i].value);
                _cleanup_json_ json_t *filled = json_tree_copy(docs.items[i].value);
                const struct kind *k = kind_registry_find_kind(registry, FLOW, "v1", name);

                if (!k)
                        continue;
                seen++;
                assert_int_equal(pipeline_default(k, filled), 0);
                assert_true(json_equal(json_object_get(filled, "spec"),
                                json_object_get(docs.items[i].value, "spec")));
                if (pipeline_validate_create(k, filled, &p) < 0)
                        fail_msg("%s", p.message);
        }
        assert_int_equal(seen, 9);
}

/* A FlowSchema's rule is for a user when it names the user, a group or the account. */
static bool schema_names(const json_t *schema, const char *user, const char *group) {
        const json_t *subject;
        size_t i;

        json_array_foreach (json_at(json_array_get(json_at(schema, "spec.rules"), 0), "subjects"), i,
                        subject)
                if (streq(json_str_or(subject, "user.name", ""), user) ||
                                streq(json_str_or(subject, "group.name", ""), group) ||
                                (streq(json_str_or(subject, "kind", ""), "ServiceAccount") &&
                                                startswith(user,
                                                                "system:serviceaccount:kube-system:")))
                        return true;
        return false;
}

static void test_schemas(void **state) {
        static const char *const by_precedence[] = {"exempt", "anonymous", "system",
                        "global-default", "catch-all"};
        static const char *const users[][2] = {{"root", "system:masters"},
                        {"system:anonymous", "system:unauthenticated"},
                        {"system:node:n1", "system:nodes"},
                        {"system:kube-scheduler", "system:authenticated"},
                        {"system:kube-controller-manager", "system:authenticated"},
                        {"system:keelson:kgitd", "system:authenticated"},
                        {"system:serviceaccount:kube-system:x", "system:authenticated"},
                        {"system:serviceaccount:shop:x", "system:authenticated"},
                        {"jane", "system:authenticated"}};
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_(fairness_freep) struct fairness *f = fairness_new();
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(yaml_parse(bootstrap_objects, strlen(bootstrap_objects), &docs, &p), 0);
        for (size_t i = 0; i < ELEMENTS(users); i++) {
                char *groups[] = {(char *)users[i][1], NULL};
                enum fairness_level level = fairness_classify(users[i][0], groups, "", "pods");
                const char *said = NULL;

                for (size_t k = 0; k < ELEMENTS(by_precedence) && !said; k++) {
                        const json_t *s = of_kind(&docs, "FlowSchema", by_precedence[k]);

                        assert_non_null(s);
                        if (schema_names(s, users[i][0], users[i][1]))
                                said = json_str_or(s, "spec.priorityLevelConfiguration.name", "");
                }
                assert_string_equal(strempty(said), fairness_level(f, level)->name);
        }
}

/* --- RuntimeClass: what a pod gets --- */

#define POD(spec) "{'metadata':{'name':'p'},'spec':{'runtimeClassName':'kata'" spec "}}"
#define IN_POD(spec) "{'runtimeClassName':'kata'" spec "}"

/* The class of the cases; then what the plugin makes of the pod's spec, or its refusal. */
static void pod_becomes(const char *pod, const char *spec, const char *refusal) {
        _cleanup_(admission_chain_freep) struct admission_chain *one =
                        chain_of("RuntimeClass", true);
        const struct question q = {.plural = "pods", .group = "", .namespace = "shop", .name = "p"};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *o = parse(pod);
        int r = run(one, &q, ADMISSION_MUTATE, NULL, o, &p);

        if (refusal) {
                _cleanup_free_ char *want = quoted(refusal);

                if (r >= 0 || !strstr(strempty(p.message), want))
                        fail_msg("\n got: %s\nwant: %s", strempty(p.message), want);
                assert_int_equal(p.code, 403);
                return;
        }
        if (r < 0)
                fail_msg("%s", strempty(p.message));
        assert_json(json_object_get(o, "spec"), spec);
        assert_int_equal(run(one, &q, ADMISSION_VALIDATE, NULL, o, &p), 0);
}

static void test_runtime_class(void **state) {
        static const struct {
                const char *pod, *spec, *refusal;
        } cases[] = {
                        {"{'metadata':{'name':'p'},'spec':{}}", "{}", NULL},
                        {"{'metadata':{'name':'p'},'spec':{'runtimeClassName':'x'}}", NULL,
                                        "pods 'p' is forbidden: pod rejected: RuntimeClass 'x' not "
                                        "found"},
                        {"{'metadata':{'name':'p'},'spec':{'runtimeClassName':'bare'}}",
                                        "{'runtimeClassName':'bare'}", NULL},
                        {"{'metadata':{'name':'p'},'spec':{'overhead':{'cpu':'1'}}}", NULL,
                                        "Pod Overhead set without corresponding RuntimeClass"},
                        {"{'metadata':{'name':'p'},'spec':{'runtimeClassName':'bare','overhead':{"
                         "'cpu':'1'}}}",
                                        NULL, "Pod Overhead set without"},
                        {POD(""),
                                        IN_POD(",'overhead':{'cpu':'250m'},'nodeSelector':{'k':'v'},"
                                               "'tolerations':[{'key':'t','operator':'Exists'}]"),
                                        NULL},
                        {POD(",'overhead':{'cpu':'0.25'}"),
                                        IN_POD(",'overhead':{'cpu':'250m'},'nodeSelector':{'k':'v'},"
                                               "'tolerations':[{'key':'t','operator':'Exists'}]"),
                                        NULL},
                        {POD(",'overhead':{'cpu':'1'}"), NULL,
                                        "match RuntimeClass"},
                        {POD(",'overhead':{'memory':'1'}"), NULL, "match RuntimeClass"},
                        {POD(",'nodeSelector':{'k':'v','m':'n'},'tolerations':[{'key':'t','value':"
                             "'x'},{'key':'u','operator':'Exists'}]"),
                                        IN_POD(",'overhead':{'cpu':'250m'},'nodeSelector':{'k':'v',"
                                               "'m':'n'},'tolerations':[{'key':'u','operator':"
                                               "'Exists'},{'key':'t','operator':'Exists'}]"),
                                        NULL},
                        {POD(",'tolerations':[{'operator':'Exists'}]"),
                                        IN_POD(",'overhead':{'cpu':'250m'},'nodeSelector':{'k':'v'},"
                                               "'tolerations':[{'operator':'Exists'}]"),
                                        NULL},
                        {POD(",'tolerations':[{'key':'t','operator':'Exists','effect':'NoExecute',"
                             "'tolerationSeconds':5},{'key':'t','operator':'Exists'}]"),
                                        IN_POD(",'overhead':{'cpu':'250m'},'nodeSelector':{'k':'v'},"
                                               "'tolerations':[{'key':'t','operator':'Exists'}]"),
                                        NULL},
                        {POD(",'nodeSelector':{'k':'w'}"), NULL,
                                        "conflict: runtimeClass.scheduling.nodeSelector[k] = v; "
                                        "pod.spec.nodeSelector[k] = w"},
        };

        put(NODE, "runtimeclasses", "kata",
                        "{'metadata':{'name':'kata'},'handler':'kata','overhead':{'podFixed':{'cpu'"
                        ":'250m'}},'scheduling':{'nodeSelector':{'k':'v'},'tolerations':[{'key':'t'"
                        ",'operator':'Exists'}]}}");
        put(NODE, "runtimeclasses", "bare", "{'metadata':{'name':'bare'},'handler':'runc'}");
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                pod_becomes(cases[i].pod, cases[i].spec, cases[i].refusal);
}

/* A webhook that ran after the plugin cannot take the overhead back. */
static void test_overhead_is_checked_last(void **state) {
        _cleanup_(admission_chain_freep) struct admission_chain *one =
                        chain_of("RuntimeClass", true);
        const struct question q = {.plural = "pods", .group = "", .namespace = "shop", .name = "p"};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *o = parse(POD(",'overhead':{'cpu':'1m'}"));

        put(NODE, "runtimeclasses", "kata",
                        "{'metadata':{'name':'kata'},'handler':'kata','overhead':{'podFixed':{'cpu'"
                        ":'250m'}}}");
        assert_true(run(one, &q, ADMISSION_VALIDATE, NULL, o, &p) < 0);
        assert_non_null(strstr(p.message, "doesn't match"));
}

static int begin(void **state) {
        int r = set_up(state);

        return r < 0 ? r : setup(state);
}

static int end(void **state) {
        (void)teardown(state);
        return tear_down(state);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_defaults),
                        cmocka_unit_test(test_storage_refusals),
                        cmocka_unit_test(test_flow_refusals),
                        cmocka_unit_test(test_other_refusals),
                        cmocka_unit_test(test_what_stays),
                        cmocka_unit_test(test_columns),
                        cmocka_unit_test(test_flow_columns),
                        cmocka_unit_test(test_components),
                        cmocka_unit_test(test_levels),
                        cmocka_unit_test(test_schemas),
                        cmocka_unit_test(test_runtime_class),
                        cmocka_unit_test(test_overhead_is_checked_last),
        };

        return cmocka_run_group_tests(tests, begin, end);
}
