/* Fields that have no effect here, or little, and are taken as Kubernetes takes them; how exactly
 * JSON has to have the types of built-in kinds; the schemas inside of definitions. */
#include "tests/unit/unit.h"

#include "kapid/patch/patch.h"
#include "kapid/schema/internal.h"
#include "kapid/schema/protobuf.h"
#include "tests/unit/kapid-create.h"

#define POD(more) \
        "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'d'},'spec':{" \
        "'containers':[{'name':'c'}]" more "}}"
#define CONTAINER(more) \
        "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'d'},'spec':{" \
        "'containers':[{'name':'c'" more "}],'resourceClaims':[{'name':'gpu','resourceClaimName':" \
        "'a'}]}}"
#define VOLUME(source) POD(",'volumes':[{'name':'v'," source "}]")
#define PV(source) \
        "{'apiVersion':'v1','kind':'PersistentVolume','metadata':{'name':'v'},'spec':{" \
        "'accessModes':['ReadWriteOnce'],'capacity':{'storage':'1Gi'}," source "}}"

/* why NULL: it is taken, and what it says is kept. */
static const struct {
        const char *plural, *text, *why;
} creates[] = {
                {"pods", POD(",'os':{'name':'linux'}"), NULL},
                {"pods",
                                POD(",'os':{'name':'windows'},'securityContext':{'windowsOptions':{"
                                    "'gmsaCredentialSpecName':'a','hostProcess':false,'runAsUserName':"
                                    "'b'}}"),
                                NULL},
                {"pods", POD(",'os':{}"), "spec.os.name: Required value: cannot be empty"},
                {"pods", POD(",'os':{'name':'plan9'}"),
                                "spec.os: Unsupported value: 'plan9': supported values: 'linux', "
                                "'windows'"},
                {"pods",
                                POD(",'os':{'name':'linux'},'securityContext':{'windowsOptions':{"
                                    "}}"),
                                "spec.securityContext.windowsOptions: Forbidden: windows options "
                                "cannot be set for a linux pod"},
                {"pods", POD(",'os':{'name':'windows'},'hostPID':true"),
                                "spec.hostPID: Forbidden: cannot be set for a windows pod"},
                {"pods", POD(",'securityContext':{'windowsOptions':{'runAsUserName':''}}"),
                                "runAsUserName cannot be an empty string"},
                {"pods", POD(",'hostnameOverride':'db.example.org'"), NULL},
                {"pods", POD(",'hostnameOverride':'a_b'"),
                                "spec.hostnameOverride: Invalid value: 'a_b'"},
                {"pods",
                                POD(",'hostnameOverride':'a123456789.b123456789.c123456789."
                                    "d123456789.e123456789.f12345.org'"),
                                "spec.hostnameOverride: Too long: may not be more than 64 bytes"},
                {"pods", POD(",'hostnameOverride':'a','hostNetwork':true"),
                                "spec.hostnameOverride: Forbidden: may not be set when "
                                "hostNetwork is true"},
                {"pods", POD(",'hostnameOverride':'a','setHostnameAsFQDN':true"),
                                "spec.setHostnameAsFQDN: Forbidden"},
                {"pods", CONTAINER(",'resources':{'claims':[{'name':'gpu','request':'r'}]}"), NULL},
                {"pods", CONTAINER(",'resources':{'claims':[{'name':'tpu'}]}"),
                                "spec.containers[0].resources.claims[0].name: Not found: 'tpu'"},
                {"pods", POD(",'resourceClaims':[{'name':'a'}]"),
                                "must specify one of: `resourceClaimName`"},
                {"pods",
                                POD(",'resourceClaims':[{'name':'a','resourceClaimName':'b',"
                                    "'resourceClaimTemplateName':'c'}]"),
                                "spec.resourceClaims[0]: Invalid value"},
                {"pods", POD(",'resourceClaims':[{'name':'A','resourceClaimName':'b'}]"),
                                "spec.resourceClaims[0].name: Invalid value: 'A'"},
                {"pods", POD(",'schedulingGroup':{'podGroupName':'g'}"), NULL},
                {"pods", POD(",'schedulingGroup':{'podGroupName':'G g'}"),
                                "spec.schedulingGroup.podGroupName: Invalid value"},
                {"pods",
                                CONTAINER(",'env':[{'name':'A','valueFrom':{'fileKeyRef':{"
                                          "'volumeName':'v','path':'a/b','key':'K'}}}]"),
                                NULL},
                {"pods",
                                CONTAINER(",'env':[{'name':'A','valueFrom':{'fileKeyRef':{"
                                          "'volumeName':'v','path':'../b','key':'K'}}}]"),
                                "valueFrom.fileKeyRef.path: Invalid value: '../b'"},
                {"pods",
                                CONTAINER(",'env':[{'name':'A','valueFrom':{'fileKeyRef':{"
                                          "'volumeName':'v','path':'b','key':''}}}]"),
                                "valueFrom.fileKeyRef.key: Required value"},
                {"pods",
                                CONTAINER(",'restartPolicy':'Never','restartPolicyRules':[{"
                                          "'action':'Restart','exitCodes':{'operator':'In',"
                                          "'values':[1,2]}}]"),
                                NULL},
                {"pods",
                                CONTAINER(",'restartPolicy':'Never','restartPolicyRules':[{"
                                          "'action':'Restart'}]"),
                                "restartPolicyRules[0].exitCodes: Required value"},
                {"pods",
                                CONTAINER(",'restartPolicy':'Never','restartPolicyRules':[{"
                                          "'action':'Stop','exitCodes':{'operator':'In','values':["
                                          "1]}}]"),
                                "restartPolicyRules[0].action: Unsupported value: 'Stop'"},
                {"pods",
                                CONTAINER(",'restartPolicy':'Never','restartPolicyRules':[{"
                                          "'action':'Restart','exitCodes':{'operator':'In','values'"
                                          ":[1,1]}}]"),
                                "exitCodes.values[1]: Duplicate value"},
                {"pods",
                                CONTAINER(",'restartPolicyRules':[{'action':'Restart','exitCodes':"
                                          "{'operator':'In','values':[1]}}]"),
                                "spec.containers[0].restartPolicy: Required value: must specify "
                                "restartPolicy when restart rules are used"},
                {"pods", CONTAINER(",'lifecycle':{'stopSignal':'SIGRTMIN+3'}"), NULL},
                {"pods", CONTAINER(",'lifecycle':{'stopSignal':'SIGNOTHING'}"),
                                "lifecycle.stopSignal: Unsupported value: 'SIGNOTHING'"},
                {"pods", POD(",'tolerations':[{'key':'a','operator':'Gt','value':'-5'}]"), NULL},
                {"pods", POD(",'tolerations':[{'key':'a','operator':'Lt','value':'05'}]"),
                                "spec.tolerations[0].value: Invalid value: '05': must be a valid "
                                "decimal integer"},
                {"pods", POD(",'tolerations':[{'operator':'Lt','value':'5'}]"),
                                "operator must be Exists when `key` is empty"},
                {"pods", VOLUME("'image':{'reference':'busybox','pullPolicy':'Always'}"), NULL},
                {"pods", VOLUME("'image':{'reference':'busybox','pullPolicy':'Often'}"),
                                "spec.volumes[0].image.pullPolicy: Unsupported value: 'Often'"},
                {"pods",
                                VOLUME("'projected':{'sources':[{'clusterTrustBundle':{'name':'a',"
                                       "'path':'p'}},{'podCertificate':{'signerName':'a/b',"
                                       "'keyType':'ED25519','keyPath':'k'}}]}"),
                                NULL},
                {"pods",
                                VOLUME("'projected':{'sources':[{'clusterTrustBundle':{'name':'a',"
                                       "'signerName':'s','path':'p'}}]}"),
                                "only one of name and signerName may be used"},
                {"pods",
                                VOLUME("'projected':{'sources':[{'podCertificate':{'signerName':"
                                       "'a/b','keyType':'DSA','keyPath':'k'}}]}"),
                                "podCertificate.keyType: Unsupported value: 'DSA'"},
                {"pods", VOLUME("'gitRepo':{'repository':'r','directory':'../a'}"),
                                "spec.volumes[0].gitRepo.directory: Invalid value"},
                {"pods", VOLUME("'awsElasticBlockStore':{'volumeID':'a','partition':256}"),
                                "awsElasticBlockStore.partition: Invalid value: 256"},
                {"pods", VOLUME("'awsElasticBlockStore':{'volumeID':''}"),
                                "awsElasticBlockStore.volumeID: Required value"},
                {"pods", VOLUME("'fc':{'targetWWNs':['a']}"),
                                "spec.volumes[0].fc.lun: Required value"},
                {"pods", VOLUME("'flocker':{'datasetName':'a/b'}"), "must not contain"},
                {"pods",
                                VOLUME("'iscsi':{'iqn':'iqn.a','targetPortal':'b','lun':1},'nfs':{"
                                       "'server':'a','path':'/b'}"),
                                "may not specify more than 1 volume type"},
                {"persistentvolumes",
                                PV("'cephfs':{'monitors':['a'],'secretRef':{'name':'b',"
                                   "'namespace':'c'}}"),
                                NULL},
                {"persistentvolumes", PV("'cephfs':{'monitors':[]}"),
                                "spec.cephfs.monitors: Required value"},
                {"persistentvolumes",
                                PV("'rbd':{'monitors':['a'],'image':'b'},'local':{'path':"
                                   "'/a'}"),
                                "may not specify more than 1 volume type"},
};

/* Whether all of `part` is in v. */
static bool holds(const json_t *v, const json_t *part) {
        const char *key;
        json_t *child;
        size_t i;

        if (json_is_object(part)) {
                json_object_foreach ((json_t *)part, key, child)
                        if (!holds(json_object_get(v, key), child))
                                return false;
                return json_is_object(v);
        }
        json_array_foreach ((json_t *)part, i, child)
                if (!holds(json_array_get(v, i), child))
                        return false;
        return json_is_array(part) ? json_is_array(v) : json_equal((json_t *)v, (json_t *)part);
}

static void test_creates(void **state) {
        for (size_t i = 0; i < ELEMENTS(creates); i++) {
                const struct kind *k = kind("", creates[i].plural);
                _cleanup_json_ json_t *object = NULL, *wanted = parse(creates[i].text);

                if (creates[i].why) {
                        create_fails(k, creates[i].text, creates[i].why);
                        continue;
                }
                object = create(k, creates[i].text, NULL);
                if (!holds(object, wanted))
                        fail_msg("not kept: %s", creates[i].text);
        }
}

static void test_defaults(void **state) {
        _cleanup_json_ json_t *pod = create(kind("", "pods"),
                        VOLUME("'azureDisk':{'diskName':'a','diskURI':'https://b'}"), NULL);

        assert_json(json_at(json_array_get(json_at(pod, "spec.volumes"), 0), "azureDisk"),
                        "{'diskName':'a','diskURI':'https://b','cachingMode':'ReadWrite','fsType':"
                        "'ext4','kind':'Shared','readOnly':false}");
}

/* --- types in JSON --- */

#define DEPLOYMENT(replicas) \
        "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'a'},'spec':{'replicas':" replicas \
        "}}"

static void decode_fails(const struct kind *k, const char *text, const char *why) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_decoded_ struct decoded d = {0};
        _cleanup_free_ char *s = quoted(text);

        if (pipeline_decode(k, NULL, "application/json", s, strlen(s), FIELD_VALIDATION_STRICT, &d,
                            &p) >= 0)
                fail_msg("taken: %s", text);
        assert_int_equal(p.code, 400);
        if (!strstr(p.message, why))
                fail_msg("\n got: %s\nwant: %s", p.message, why);
}

/* Kubernetes reads a built-in kind's JSON into Go's types, which take no point in an integer. */
static void test_integers(void **state) {
        static const char *const bad[] = {"1.0", "1e3", "1.5", "99999999999"};
        static const char *const whys[] = {"number 1.0 into field spec.replicas of type int32",
                        "number 1000.0 into field", "number 1.5 into field",
                        "number into field spec.replicas of type int32"};
        const struct kind *k = kind("apps", "deployments");
        const char *yaml = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: "
                           "{replicas: 1.0, revisionHistoryLimit: 1e1}}";
        _cleanup_problem_ struct problem p = {0};
        _cleanup_decoded_ struct decoded d = {0};

        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                _cleanup_free_ char *text = strformat(DEPLOYMENT("%s"), bad[i]);

                decode_fails(k, text, whys[i]);
        }
        decode_fails(k, DEPLOYMENT("1,'strategy':{'rollingUpdate':{'maxSurge':1.0}}"),
                        "of type IntOrString");
        assert_int_equal(pipeline_decode(k, NULL, "application/yaml", yaml, strlen(yaml),
                                         FIELD_VALIDATION_STRICT, &d, &p),
                        0);
        assert_json(json_object_get(d.object, "spec"), "{'replicas':1,'revisionHistoryLimit':10}");
}

static void test_patched_integers(void **state) {
        static const struct {
                enum patch_type type;
                const char *patch;
                bool taken;
        } cases[] = {
                        {PATCH_STRATEGIC, "{'spec':{'replicas':3.0}}", true},
                        {PATCH_STRATEGIC, "{'spec':{'replicas':3.5}}", false},
                        {PATCH_MERGE, "{'spec':{'replicas':3.0}}", false},
                        {PATCH_MERGE, "{'spec':{'replicas':3}}", true},
                        {PATCH_JSON, "[{'op':'replace','path':'/spec/replicas','value':3.0}]",
                                        false},
        };
        const struct kind *k = kind("apps", "deployments");
        _cleanup_json_ json_t *target = decode(k, DEPLOYMENT("1"));

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_decoded_ struct decoded d = {0};
                _cleanup_free_ char *s = quoted(cases[i].patch);
                int r = patch_run(k, NULL, cases[i].type, s, strlen(s), FIELD_VALIDATION_STRICT,
                                target, &d, &p);

                if ((r >= 0) != cases[i].taken)
                        fail_msg("%s: %s", cases[i].patch, strempty(p.message));
                if (r >= 0)
                        assert_json(json_at(d.object, "spec.replicas"), "3");
        }
}

static void test_nulls(void **state) {
        _cleanup_json_ json_t *o = decode(kind("", "pods"),
                        "{'apiVersion':'v1','kind':'Pod','metadata':{'labels':{'a':null}},'spec':{"
                        "'activeDeadlineSeconds':null,'containers':[null,{'name':'x','args':[null,"
                        "'b'],'env':null,'ports':[{'containerPort':null}],'resources':{'limits':{"
                        "'cpu':null}}}]}}");

        assert_json(json_object_get(o, "metadata"), "{'labels':{'a':''}}");
        assert_json(json_object_get(o, "spec"),
                        "{'containers':[{},{'name':'x','args':['','b'],'ports':[{}],'resources':{"
                        "'limits':{'cpu':'0'}}}]}");
}

/* --- definitions --- */

#define DEFINITION(schema) \
        "{'apiVersion':'apiextensions.k8s.io/v1','kind':'CustomResourceDefinition','spec':{" \
        "'versions':[{'name':'v1','schema':{'openAPIV3Schema':" schema "}}]}}"

static const json_t *schema_of(const json_t *definition) {
        return json_at(json_array_get(json_at(definition, "spec.versions"), 0),
                        "schema.openAPIV3Schema");
}

/* What a schema is read as; or why it is not. As Go's types of Kubernetes 1.36 do it, but for the
 * nulls that they leave. */
static void test_schemas(void **state) {
        static const struct {
                const char *schema, *read, *why;
        } cases[] = {
                        {"{'items':5}", "{}", NULL},
                        {"{'items':true}", "{}", NULL},
                        {"{'items':[]}", "{}", NULL},
                        {"{'items':null}", "{}", NULL},
                        {"{'items':{'foo':1,'type':'string'}}", "{'items':{'type':'string'}}",
                                        NULL},
                        {"{'items':[{'type':'string'},null]}", "{'items':[{'type':'string'},{}]}",
                                        NULL},
                        {"{'items':{'properties':{'a':{'items':'x','type':'array'}}}}",
                                        "{'items':{'properties':{'a':{'type':'array'}}}}", NULL},
                        {"{'additionalProperties':null}", "{}", NULL},
                        {"{'additionalProperties':false}", "{'additionalProperties':false}", NULL},
                        {"{'dependencies':{'a':5,'b':['x'],'c':{'type':'string'}}}",
                                        "{'dependencies':{'b':['x'],'c':{'type':'string'}}}", NULL},
                        {"{'enum':[null,1,{'a':null}],'default':null,'example':{'a':null}}",
                                        "{'enum':[null,1,{'a':null}],'example':{'a':null}}", NULL},
                        {"{'properties':{'a':null},'allOf':[null]}",
                                        "{'properties':{'a':{}},'allOf':[{}]}", NULL},
                        {"{'items':{'maximum':1,'minimum':1.0}}",
                                        "{'items':{'maximum':1,'minimum':1.0}}", NULL},
                        {"{'items':{'type':7}}", NULL,
                                        "cannot unmarshal number into field spec.versions[0]."
                                        "schema.openAPIV3Schema.items.type of type string"},
                        {"{'additionalProperties':5}", NULL, "boolean or JSON schema expected"},
                        {"{'additionalProperties':[]}", NULL, "boolean or JSON schema expected"},
                        {"{'additionalProperties':{'type':7}}", NULL,
                                        "additionalProperties.type of type string"},
                        {"{'additionalProperties':{'items':{'maxItems':1.0}}}", NULL,
                                        "additionalProperties.items.maxItems of type int64"},
                        {"{'dependencies':{'c':[1]}}", NULL, "dependencies.c[0] of type string"},
                        {"{'items':{'required':[1]}}", NULL, "items.required[0] of type string"},
                        {"{'items':{'properties':[]}}", NULL, "items.properties of type map"},
                        {"{'items':{'not':{'anyOf':{}}}}", NULL, "items.not.anyOf of type array"},
                        {"{'items':[{'nullable':'yes'}]}", NULL, "items[0].nullable of type bool"},
        };
        const struct kind *k = kind("apiextensions.k8s.io", "customresourcedefinitions");

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = strformat(DEFINITION("%s"), cases[i].schema);
                _cleanup_json_ json_t *definition = NULL;

                if (cases[i].why) {
                        decode_fails(k, text, cases[i].why);
                        continue;
                }
                definition = decode(k, text);
                assert_json(schema_of(definition), cases[i].read);
        }
}

/* A definition that an older version stored: what does not fit is left out, and nothing else. */
static void test_odd_definition(void **state) {
        const struct kind *k = kind("apiextensions.k8s.io", "customresourcedefinitions");
        _cleanup_free_ char *error = NULL,
                            *text = quoted(DEFINITION("{'type':'object','properties':{'a':{"
                                                      "'items':{'type':7,'format':'x',"
                                                      "'additionalProperties':{'maxItems':'x',"
                                                      "'title':'t'}}},'b':{'items':[5]},'c':{"
                                                      "'additionalProperties':[1],'title':'c'},"
                                                      "'d':{'items':{'properties':[]}}}}"));
        _cleanup_buf_ struct buf b = {0};
        _cleanup_json_ json_t *back = NULL;

        assert_int_equal(protobuf_encode(&b, k->schema, text, strlen(text)), 0);
        assert_int_equal(protobuf_decode(k->schema, b.data, b.size, &back, &error), 0);
        assert_json(schema_of(back),
                        "{'type':'object','properties':{'a':{'items':{'format':'x',"
                        "'additionalProperties':{'title':'t'}}},'b':{},'c':{'title':'c',"
                        "'additionalProperties':false},'d':{'items':{}}}}");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_creates),
                        cmocka_unit_test(test_defaults),
                        cmocka_unit_test(test_integers),
                        cmocka_unit_test(test_patched_integers),
                        cmocka_unit_test(test_nulls),
                        cmocka_unit_test(test_schemas),
                        cmocka_unit_test(test_odd_definition),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
