/* Volumes, claims and storage classes in kapid: what may be created and changed, columns, and the
 * admission plugins that fill them in. */
#include "tests/unit/kapid-admission.h"

#include "kapid/table/table.h"
#include "lib/object.h"

#define NODES \
        "'nodeAffinity':{'required':{'nodeSelectorTerms':[{'matchExpressions':[{'key':'kubernetes." \
        "io/hostname','operator':'In','values':['n1']}]}]}}"
#define PV(more) \
        "{'metadata':{'name':'v'},'spec':{'capacity':{'storage':'1Gi'},'accessModes':[" \
        "'ReadWriteOnce']," more "}}"
#define LOCAL "'local':{'path':'/srv/a'}," NODES
#define PVC(more) \
        "{'metadata':{'name':'c','namespace':'d'},'spec':{'accessModes':['ReadWriteOnce']" more "}}"
#define SIZE(n) "'resources':{'requests':{'storage':'" n "'}}"
#define SC(more) "{'metadata':{'name':'s'},'provisioner':'keelson.dev/local'" more "}"
#define POD(volume) \
        "{'metadata':{'name':'p','namespace':'d'},'spec':{'containers':[{'name':'c'}],'volumes':[" \
        "{'name':'v'," volume "}]}}"

static const struct kind *kind_of(const char *plural) {
        const struct kind *k = kind_registry_find_resource(
                        api.kinds, streq(plural, "storageclasses") ? "storage.k8s.io" : "", plural);

        assert_non_null(k);
        return k;
}

static const struct {
        const char *plural, *object, *refusal; /* NULL: valid */
} creates[] = {
                {"persistentvolumes", PV(LOCAL), NULL},
                {"persistentvolumes", PV("'nfs':{'server':'s','path':'/a'}"), NULL},
                {"persistentvolumes", PV("'hostPath':{'path':'/a'}"), NULL},
                {"persistentvolumes", PV("'csi':{'driver':'d','volumeHandle':'h'}"), NULL},
                {"persistentvolumes", PV("'local':{'path':'/a'}"),
                                "spec.nodeAffinity: Required value: Local volume requires node "
                                "affinity"},
                {"persistentvolumes", PV("'nfs':{'server':'s','path':'a'}"),
                                "must be an absolute path"},
                {"persistentvolumes", PV("'hostPath':{'path':'/a/../b'}"), "must not contain '..'"},
                {"persistentvolumes", PV("'storageClassName':'a'"),
                                "spec: Required value: must specify a volume type"},
                {"persistentvolumes", PV("'hostPath':{'path':'/b'}," LOCAL),
                                "may not specify more than 1 volume type"},
                {"persistentvolumes",
                                "{'metadata':{'name':'v'},'spec':{'accessModes':['ReadWriteOnce'],"
                                "'hostPath':{'path':'/a'}}}",
                                "spec.capacity: Required value"},
                {"persistentvolumes",
                                "{'metadata':{'name':'v'},'spec':{'capacity':{'storage':'0'},"
                                "'accessModes':['ReadWriteOnce','ReadWriteOncePod'],'hostPath':{"
                                "'path':'/a'}}}",
                                "may not use ReadWriteOncePod with other access modes"},
                {"persistentvolumes",
                                "{'metadata':{'name':'v'},'spec':{'capacity':{'storage':'0'},"
                                "'accessModes':['ReadWriteOnce'],'hostPath':{'path':'/a'}}}",
                                "must be greater than zero"},
                {"persistentvolumes", PV("'hostPath':{'path':'/a'},'volumeMode':'Raw'"),
                                "spec.volumeMode: Unsupported value"},
                {"persistentvolumeclaims", PVC("," SIZE("1Gi")), NULL},
                {"persistentvolumeclaims", PVC("," SIZE("1Gi") ",'storageClassName':''"), NULL},
                {"persistentvolumeclaims", PVC(""), "spec.resources[storage]: Required value"},
                {"persistentvolumeclaims", PVC("," SIZE("-1")), "must be greater than zero"},
                {"persistentvolumeclaims", PVC("," SIZE("1Gi") ",'storageClassName':'A b'"),
                                "spec.storageClassName: Invalid value"},
                {"persistentvolumeclaims",
                                "{'metadata':{'name':'c','namespace':'d'},'spec':{" SIZE("1") "}}",
                                "spec.accessModes: Required value: at least 1 access mode is "
                                "required"},
                {"storageclasses", SC(""), NULL},
                {"storageclasses", SC(",'reclaimPolicy':'Recycle'"), "Unsupported value"},
                {"storageclasses", "{'metadata':{'name':'s'},'provisioner':'a b'}",
                                "provisioner: Invalid value"},
                {"storageclasses", "{'metadata':{'name':'s'}}", "provisioner: Required value"},
                {"pods", POD("'persistentVolumeClaim':{'claimName':'c'}"), NULL},
                {"pods", POD("'nfs':{'server':'s','path':'/a'}"), NULL},
                {"pods",
                                POD("'ephemeral':{'volumeClaimTemplate':{'metadata':{'labels':{'a':"
                                    "'b'}},'spec':{'accessModes':['ReadWriteOnce']," SIZE(
                                                    "1") "}}}"),
                                NULL},
                {"pods", POD("'ephemeral':{}"),
                                "spec.volumes[0].ephemeral.volumeClaimTemplate: Required value"},
                {"pods",
                                POD("'ephemeral':{'volumeClaimTemplate':{'metadata':{'name':'x'},"
                                    "'spec':{'accessModes':['ReadWriteOnce']," SIZE("1") "}}}"),
                                "volumeClaimTemplate.metadata.name: Forbidden"},
                {"pods", POD("'ephemeral':{'volumeClaimTemplate':{'spec':{}}}"),
                                "ephemeral.volumeClaimTemplate.spec.accessModes: Required value"},
};

static const struct pipeline_context context = {.now_us = 1700000000000000, .user = "jane"};

/* As it would be stored; NULL: refused, p says why. */
static json_t *create(const char *plural, const char *text, struct problem *p) {
        const struct kind *k = kind_of(plural);
        _cleanup_json_ json_t *o = parse(text);

        assert_int_equal(pipeline_default(k, o), 0);
        assert_int_equal(pipeline_prepare_create(k, o, &context), 0);
        return pipeline_validate_create(k, o, p) < 0 ? NULL : TAKE_PTR(o);
}

static void test_creates(void **state) {
        for (size_t i = 0; i < ELEMENTS(creates); i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *o = create(creates[i].plural, creates[i].object, &p);

                if (creates[i].refusal ? o || !strstr(strempty(p.message), creates[i].refusal) : !o)
                        fail_msg("%s: %s", creates[i].object, strempty(p.message));
        }
}

static void test_defaults(void **state) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *volume = create("persistentvolumes", PV("'hostPath':{'path':'/a'}"),
                                              &p),
                              *claim = create("persistentvolumeclaims", PVC("," SIZE("1Gi")), &p),
                              *class = create("storageclasses", SC(""), &p);

        assert_json(json_object_get(volume, "status"),
                        "{'phase':'Pending','lastPhaseTransitionTime':'2023-11-14T22:13:20Z'}");
        assert_string_equal(
                        json_str_or(volume, "spec.persistentVolumeReclaimPolicy", ""), "Retain");
        assert_string_equal(json_str_or(volume, "spec.volumeMode", ""), "Filesystem");
        assert_null(json_at(volume, "metadata.generation"));
        assert_json(json_object_get(claim, "status"), "{'phase':'Pending'}");
        assert_string_equal(json_str_or(claim, "spec.volumeMode", ""), "Filesystem");
        assert_string_equal(json_str_or(class, "reclaimPolicy", ""), "Delete");
        assert_string_equal(json_str_or(class, "volumeBindingMode", ""), "Immediate");
}

#define BOUND(spec, phase, has) \
        "{'metadata':{'name':'c','namespace':'d'},'spec':{'accessModes':['ReadWriteOnce']," spec \
        "},'status':{'phase':'" phase "','capacity':{'storage':'" has "'}}}"

static const struct {
        const char *plural, *old, *object, *refusal;
} updates[] = {
                {"persistentvolumes", PV(LOCAL),
                                PV(LOCAL ",'persistentVolumeReclaimPolicy':'Delete'"), NULL},
                {"persistentvolumes", PV(LOCAL),
                                PV(LOCAL ",'claimRef':{'namespace':'d','name':'c'}"), NULL},
                {"persistentvolumes", PV(LOCAL), PV("'local':{'path':'/srv/b'}," NODES),
                                "spec.persistentvolumesource is immutable after creation"},
                {"persistentvolumes", PV("'nfs':{'server':'s','path':'/a'}"),
                                PV("'nfs':{'server':'s','path':'/a'}," NODES), NULL},
                {"persistentvolumes", PV("'nfs':{'server':'s','path':'/a'}," NODES),
                                PV("'nfs':{'server':'s','path':'/a'}"),
                                "spec.nodeAffinity: Invalid value: null: field is immutable"},
                {"persistentvolumeclaims", PVC("," SIZE("1Gi")),
                                PVC("," SIZE("1Gi") ",'volumeName':'v','storageClassName':'s'"),
                                NULL},
                {"persistentvolumeclaims", PVC("," SIZE("1Gi") ",'storageClassName':'r'"),
                                PVC("," SIZE("1Gi") ",'storageClassName':'s'"),
                                "spec is immutable after creation except resources.requests"},
                {"persistentvolumeclaims", PVC("," SIZE("1Gi") ",'volumeName':'v'"),
                                PVC("," SIZE("1Gi")), "spec is immutable"},
                {"persistentvolumeclaims", PVC("," SIZE("1Gi")), PVC("," SIZE("2Gi")),
                                "spec is immutable"},
                {"persistentvolumeclaims", BOUND(SIZE("1Gi"), "Bound", "1Gi"),
                                BOUND(SIZE("2Gi"), "Bound", "1Gi"), NULL},
                {"persistentvolumeclaims", BOUND(SIZE("4Gi"), "Bound", "1Gi"),
                                BOUND(SIZE("2Gi"), "Bound", "1Gi"), NULL},
                {"persistentvolumeclaims", BOUND(SIZE("2Gi"), "Bound", "2Gi"),
                                BOUND(SIZE("1Gi"), "Bound", "2Gi"),
                                "field can not be less than status.capacity"},
                {"storageclasses", SC(""), SC(",'allowVolumeExpansion':true"), NULL},
                {"storageclasses", SC(""), SC(",'parameters':{'a':'b'}"),
                                "updates to parameters are forbidden."},
                {"storageclasses", SC(""), SC(",'volumeBindingMode':'WaitForFirstConsumer'"),
                                "volumeBindingMode: Invalid value"},
};

static void test_updates(void **state) {
        for (size_t i = 0; i < ELEMENTS(updates); i++) {
                const struct kind *k = kind_of(updates[i].plural);
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *old = parse(updates[i].old), *o = parse(updates[i].object);
                int r;

                assert_int_equal(pipeline_default(k, old), 0);
                assert_int_equal(pipeline_default(k, o), 0);
                r = pipeline_validate_update(k, NULL, old, o, NULL, &p);
                if (updates[i].refusal ? r >= 0 || !strstr(p.message, updates[i].refusal) : r < 0)
                        fail_msg("%s: %s", updates[i].object, strempty(p.message));
        }
}

/* A change of the phase writes its time. */
static void test_phase_time(void **state) {
        const struct kind *k = kind_of("persistentvolumes");
        const struct kind_subresource *status = kind_subresource_find(k, "status");
        const struct pipeline_context later = {.now_us = 1700000060000000};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *old = create("persistentvolumes", PV(LOCAL), &p), *same = NULL,
                              *bound = NULL;

        same = json_deep_copy(old);
        bound = json_deep_copy(old);
        json_set_str(bound, "status.phase", "Bound");
        assert_int_equal(pipeline_prepare_update(k, status, old, same, &later), 0);
        assert_string_equal(json_str_or(same, "status.lastPhaseTransitionTime", ""),
                        "2023-11-14T22:13:20Z");
        assert_int_equal(pipeline_prepare_update(k, status, old, bound, &later), 0);
        assert_string_equal(json_str_or(bound, "status.lastPhaseTransitionTime", ""),
                        "2023-11-14T22:14:20Z");
}

static const struct {
        const char *plural, *object, *cells;
} rows[] = {
                {"persistentvolumes",
                                "{'metadata':{'name':'v','creationTimestamp':'2023-11-14T22:03:20Z'"
                                "},'spec':{'capacity':{'storage':'1Gi'},'accessModes':["
                                "'ReadWriteMany','ReadWriteOnce'],'persistentVolumeReclaimPolicy':"
                                "'Retain','claimRef':{'namespace':'d','name':'c'},"
                                "'storageClassName':'s','volumeMode':'Filesystem'},'status':{"
                                "'phase':'Bound'}}",
                                "v|1Gi|RWO,RWX|Retain|Bound|d/c|s|<unset>||10m|Filesystem"},
                {"persistentvolumes",
                                "{'metadata':{'name':'v','deletionTimestamp':"
                                "'2023-11-14T22:03:20Z'},'status':{'phase':'Available'}}",
                                "v||||Terminating|||<unset>||<unknown>|<unset>"},
                {"persistentvolumeclaims",
                                "{'metadata':{'name':'c','creationTimestamp':'2023-11-14T22:03:20Z'"
                                "},'spec':{'accessModes':['ReadWriteOnce'],'volumeName':'v',"
                                "'storageClassName':'s','volumeMode':'Filesystem'},'status':{"
                                "'phase':'Bound','capacity':{'storage':'1Gi'},'accessModes':["
                                "'ReadWriteOnce']}}",
                                "c|Bound|v|1Gi|RWO|s|<unset>|10m|Filesystem"},
                {"persistentvolumeclaims",
                                "{'metadata':{'name':'c'},'spec':{'accessModes':['ReadWriteOnce']},"
                                "'status':{'phase':'Pending'}}",
                                "c|Pending||||"
                                "|<unset>|<unknown>|<unset>"},
                {"storageclasses",
                                "{'metadata':{'name':'s','creationTimestamp':'2023-11-14T22:03:20Z'"
                                ",'annotations':{'storageclass.kubernetes.io/is-default-class':"
                                "'true'}},'provisioner':'keelson.dev/local','reclaimPolicy':"
                                "'Delete','volumeBindingMode':'WaitForFirstConsumer',"
                                "'allowVolumeExpansion':true}",
                                "s (default)|keelson.dev/local|Delete|WaitForFirstConsumer|true|"
                                "10m"},
                {"storageclasses", "{'metadata':{'name':'s'},'provisioner':'a/b'}",
                                "s|a/b|||false|<unknown>"},
};

static void test_rows(void **state) {
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                const struct kind *k = kind_of(rows[i].plural);
                _cleanup_json_ json_t *o = parse(rows[i].object),
                                      *table = table_new(k, "v1", NULL, true);
                _cleanup_buf_ struct buf b = {0};
                const json_t *cell;
                size_t c;

                assert_int_equal(table_add_row(table, k, o, TABLE_INCLUDE_METADATA,
                                                 1700000000000000),
                                0);
                json_array_foreach (
                                json_object_get(json_array_get(json_object_get(table, "rows"), 0),
                                                "cells"),
                                c, cell)
                        buf_printf(&b, "%s%s", c > 0 ? "|" : "",
                                        json_is_boolean(cell)
                                                        ? json_is_true(cell) ? "true" : "false"
                                                        : strempty(json_string_value(cell)));
                assert_string_equal(b.data, rows[i].cells);
        }
}

/* The plugins' defaults in a new object. */
static void assert_filled(const char *plural, const char *text, const char *expected) {
        _cleanup_(admission_chain_freep) struct admission_chain *all =
                        chain_new(&(struct admission_options){0}, NULL);
        const struct question q = {.group = "", .plural = plural, .namespace = "shop", .name = "c"};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *o = parse(text);

        assert_int_equal(run(all, &q, ADMISSION_MUTATE, NULL, o, &p), 0);
        assert_json(o, expected);
        forget();
}

#define CLASS(name, time) \
        "{'metadata':{'name':'" name "','creationTimestamp':'" time "','annotations':{" \
        "'storageclass.kubernetes.io/is-default-class':'true'}},'provisioner':'x','" \
        "allowVolumeExpansion':true}"
#define PROTECTED "'finalizers':['kubernetes.io/pvc-protection']"

static void test_filled(void **state) {
        static const struct question grow = {.group = "",
                        .plural = "persistentvolumeclaims",
                        .namespace = "shop",
                        .name = "c"};
        _cleanup_(admission_chain_freep) struct admission_chain *all =
                        chain_new(&(struct admission_options){0}, NULL);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *small = parse("{'spec':{'storageClassName':'old'," SIZE("1") "}}"),
                              *large = parse("{'spec':{'storageClassName':'old'," SIZE("2") "}}");

        assert_filled("persistentvolumeclaims", "{'metadata':{},'spec':{}}",
                        "{'metadata':{" PROTECTED "},'spec':{}}");
        put("storage.k8s.io", "storageclasses", "old", CLASS("old", "2024-01-01T00:00:00Z"));
        put("storage.k8s.io", "storageclasses", "new", CLASS("new", "2024-02-01T00:00:00Z"));
        put("storage.k8s.io", "storageclasses", "plain", "{'metadata':{'name':'plain'}}");
        assert_filled("persistentvolumeclaims", "{'metadata':{},'spec':{}}",
                        "{'metadata':{" PROTECTED "},'spec':{'storageClassName':'new'}}");
        assert_filled("persistentvolumeclaims", "{'metadata':{},'spec':{'storageClassName':''}}",
                        "{'metadata':{" PROTECTED "},'spec':{'storageClassName':''}}");
        assert_filled("persistentvolumes", "{'metadata':{'finalizers':['a/b']}}",
                        "{'metadata':{'finalizers':['a/b','kubernetes.io/pv-protection']}}");
        assert_int_equal(run(all, &grow, ADMISSION_VALIDATE, small, large, &p), 0);
        forget();
}

/* The rights of node n1's certificate on volumes and claims. */
static const struct {
        const char *verb, *resource, *namespace, *name, *subresource, *labels;
        bool allowed;
} rights[] = {
                {"get", "persistentvolumeclaims", "shop", "data", "", NULL, true},
                {"get", "persistentvolumeclaims", "shop", "web-scratch", "", NULL, true},
                {"get", "persistentvolumeclaims", "shop", "other", "", NULL, false},
                {"get", "persistentvolumeclaims", "open", "data", "", NULL, false},
                {"list", "persistentvolumeclaims", "shop", "", "", NULL, false},
                {"update", "persistentvolumeclaims", "shop", "data", "status", NULL, false},
                /* the volume of a claim of its pod: only to read */
                {"get", "persistentvolumes", "", "share", "", NULL, true},
                {"patch", "persistentvolumes", "", "share", "", NULL, false},
                {"delete", "persistentvolumes", "", "share", "", NULL, false},
                /* its own disk's */
                {"get", "persistentvolumes", "", "mine", "", NULL, true},
                {"patch", "persistentvolumes", "", "mine", "", NULL, true},
                {"update", "persistentvolumes", "", "mine", "", NULL, false},
                {"delete", "persistentvolumes", "", "mine", "", NULL, false},
                {"patch", "persistentvolumes", "", "mine", "status", NULL, false},
                {"create", "persistentvolumes", "", "", "", "keelson.dev/node=n1", false},
                /* another node's, and all */
                {"get", "persistentvolumes", "", "theirs", "", NULL, false},
                {"patch", "persistentvolumes", "", "theirs", "", NULL, false},
                {"get", "persistentvolumes", "", "none", "", NULL, false},
                {"watch", "persistentvolumes", "", "", "", "keelson.dev/node=n1", true},
                {"list", "persistentvolumes", "", "", "", "keelson.dev/node=n1", true},
                {"deletecollection", "persistentvolumes", "", "", "", "keelson.dev/node=n1", false},
                {"list", "persistentvolumes", "", "", "", "keelson.dev/node=n2", false},
                {"list", "persistentvolumes", "", "", "", "keelson.dev/node in (n1,n2)", false},
                {"list", "persistentvolumes", "", "", "", NULL, false},
                {"list", "persistentvolumes", "", "", "", "", false},
};

static void test_node_rights(void **state) {
        const struct user user = {.name = (char *)"system:node:n1"};

        put("", "pods", "shop/web",
                        "{'metadata':{'name':'web','namespace':'shop'},'spec':{'nodeName':'n1',"
                        "'volumes':[{'name':'a','persistentVolumeClaim':{'claimName':'data'}},{"
                        "'name':'scratch','ephemeral':{}}]}}");
        put("", "pods", "shop/db",
                        "{'metadata':{'name':'db','namespace':'shop'},'spec':{'nodeName':'n2',"
                        "'volumes':[{'name':'a','persistentVolumeClaim':{'claimName':'other'}}]}}");
        put("", "persistentvolumes", "share",
                        "{'metadata':{'name':'share'},'spec':{'claimRef':{'namespace':'shop',"
                        "'name':'data'}}}");
        put("", "persistentvolumes", "mine",
                        "{'metadata':{'name':'mine','labels':{'keelson.dev/node':'n1'}}}");
        put("", "persistentvolumes", "theirs",
                        "{'metadata':{'name':'theirs','labels':{'keelson.dev/node':'n2'}},'spec':{"
                        "'claimRef':{'namespace':'shop','name':'other'}}}");
        for (size_t i = 0; i < ELEMENTS(rights); i++) {
                const struct access access = {.user = &user,
                                .verb = rights[i].verb,
                                .group = "",
                                .version = "v1",
                                .resource = rights[i].resource,
                                .namespace = rights[i].namespace,
                                .name = rights[i].name,
                                .subresource = rights[i].subresource,
                                .labels = rights[i].labels};

                if (authorize_node(&api, &access, "n1") != rights[i].allowed)
                        fail_msg("%s %s/%s %s", rights[i].verb, rights[i].resource, rights[i].name,
                                        strempty(rights[i].labels));
        }
}

/* An agent removes its finalizer from a deleted volume, and changes nothing else. */
static void test_node_writes(void **state) {
        static const struct question q = {.user = "system:node:n1",
                        .user_group = "system:nodes",
                        .group = "",
                        .plural = "persistentvolumes",
                        .name = "v"};
        static const struct {
                const char *live, *object;
                bool allowed;
        } cases[] = {
#define GONE "'deletionTimestamp':'2024-01-01T00:00:00Z','finalizers':["
                        {"{'metadata':{" GONE "'a/b','keelson.dev/volume-data']}}",
                                        "{'metadata':{" GONE "'a/b']}}", true},
                        {"{'metadata':{" GONE "'keelson.dev/volume-data']}}",
                                        "{'metadata':{" GONE "]}}", true},
                        {"{'metadata':{" GONE "'a/b','keelson.dev/volume-data']}}",
                                        "{'metadata':{" GONE "]}}", false},
                        {"{'metadata':{" GONE "'keelson.dev/volume-data']}}",
                                        "{'metadata':{" GONE "],'labels':{'a':'b'}}}", false},
                        {"{'metadata':{" GONE "'keelson.dev/volume-data']},'spec':{}}",
                                        "{'metadata':{" GONE "]},'spec':{'local':{}}}", false},
                        {"{'metadata':{'finalizers':['keelson.dev/volume-data']}}",
                                        "{'metadata':{'finalizers':[]}}", false},
        };
        _cleanup_(admission_chain_freep) struct admission_chain *all =
                        chain_new(&(struct admission_options){0}, NULL);

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *live = parse(cases[i].live),
                                      *object = parse(cases[i].object);
                int r = run(all, &q, ADMISSION_VALIDATE, live, object, &p);

                if ((r >= 0) != cases[i].allowed)
                        fail_msg("%s: %s", cases[i].object, strempty(p.message));
                forget();
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_creates),
                        cmocka_unit_test(test_defaults),
                        cmocka_unit_test(test_updates),
                        cmocka_unit_test(test_phase_time),
                        cmocka_unit_test(test_rows),
                        cmocka_unit_test(test_filled),
                        cmocka_unit_test(test_node_rights),
                        cmocka_unit_test(test_node_writes),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
