/* Admission: the order of the plugins and its flags, their figures, a refusal of each plugin, and
 * what those that fill in fields do. */
#include "tests/unit/unit.h"

#include "kapid/admission/plugins.h"
#include "kapid/api.h"
#include "kapid/auth/authz.h"
#include "kapid/store/alloc.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/pki.h"
#include "tests/unit/kapid-cases.h"

#define NAME(name, plugin) name,
static const char *const names[] = {ADMISSION_PLUGINS(NAME)};
#undef NAME

/* A kapid without store and listeners, and what a write would take from the plugins. */
static struct api api;
static char **warnings;
static struct key { char *key, *owner; } keys[16];
static size_t key_count;
static char *masters_request, *agent_request; /* base64 of PEM */

static void put(const char *group, const char *plural, const char *path, const char *text) {
        static uint64_t revision;
        const struct kind *k = kind_registry_find_resource(api.kinds, group, plural);
        _cleanup_free_ char *key = strformat("%s%s", k->storage_prefix, path);
        _cleanup_free_ char *value = quoted(text);

        assert_int_equal(caches_feed(api.caches, key, value, strlen(value), ++revision), 0);
        caches_feed_done(api.caches, revision);
}

static void fill(void) {
        put("", "namespaces", "shop", "{'metadata':{'name':'shop'}}");
        put("", "namespaces", "open",
                        "{'metadata':{'name':'open','labels':{"
                        "'pod-security.kubernetes.io/enforce':'privileged'}}}");
        put("", "namespaces", "gone",
                        "{'metadata':{'name':'gone','deletionTimestamp':'2024-01-01T00:00:00Z'}}");
        put("", "serviceaccounts", "shop/builder", "{'metadata':{'name':'builder'}}");
        put("", "nodes", "n1",
                        "{'metadata':{'name':'n1'},'spec':{'taints':[{'key':'a','effect':"
                        "'NoSchedule'}]},'status':{'addresses':[{'address':'192.0.2.7'}]}}");
        put("scheduling.k8s.io", "priorityclasses", "usual",
                        "{'metadata':{'name':'usual'},'value':7,'globalDefault':true,"
                        "'preemptionPolicy':'Never'}");
        put("rbac.authorization.k8s.io", "clusterroles", "reader",
                        "{'kind':'ClusterRole','metadata':{'name':'reader'},'rules':[{'apiGroups':"
                        "[''],'resources':['pods'],'verbs':['get']}]}");
        put("rbac.authorization.k8s.io", "clusterroles", "writer",
                        "{'kind':'ClusterRole','metadata':{'name':'writer'},'rules':[{'apiGroups':"
                        "[''],'resources':['pods'],'verbs':['*']}]}");
        put("rbac.authorization.k8s.io", "clusterrolebindings", "reader",
                        "{'kind':'ClusterRoleBinding','metadata':{'name':'reader'},'roleRef':{"
                        "'kind':'ClusterRole','name':'reader'},'subjects':[{'kind':'User','name':"
                        "'bob'}]}");
}

static char *request_for(const char *cn, const char *organization) {
        const char *const organizations[] = {organization, NULL};
        _cleanup_free_ char *key = NULL, *pem = NULL;

        assert_int_equal(pki_key_new(&key), 0);
        assert_int_equal(pki_csr_new(key,
                                         &(struct pki_subject){
                                                         .cn = cn, .organizations = organizations},
                                         &pem),
                        0);
        return base64_encode(pem, strlen(pem));
}

static int set_up(void **state) {
        _cleanup_problem_ struct problem p = {0};

        log_setup("test", LOG_ERR);
        api.options = (struct api_options){
                        .service_range = "10.96.0.0/28", .pod_security_default = LEVEL_BASELINE};
        assert_true(sd_event_new(&api.event) >= 0);
        assert_int_equal(kind_registry_new(&api.kinds, &p), 0);
        assert_int_equal(alloc_new(&api.alloc, api.options.service_range, &p), 0);
        assert_int_equal(caches_new(&api.caches, api.event, &(struct caches_options){0}), 0);
        api.rbac = rbac_new();
        assert_non_null(api.rbac);
        fill();
        masters_request = request_for("x", "system:masters");
        agent_request = request_for("system:node:n2", "system:nodes");
        return 0;
}

static int tear_down(void **state) {
        free(masters_request);
        free(agent_request);
        rbac_free(api.rbac);
        caches_free(api.caches);
        alloc_free(api.alloc);
        kind_registry_free(api.kinds);
        sd_event_unref(api.event);
        return 0;
}

/* --- one question --- */

static int add_key(void *userdata, const char *key, const char *owner) {
        assert_true(key_count < ELEMENTS(keys));
        keys[key_count].key = strdup(key);
        keys[key_count++].owner = owner ? strdup(owner) : NULL;
        return 0;
}

static void forget(void) {
        warnings = strv_free(warnings);
        for (size_t i = 0; i < key_count; i++) {
                free(keys[i].key);
                free(keys[i].owner);
        }
        key_count = 0;
}

struct question {
        const char *user, *user_group; /* NULL: bob of no group */
        const char *group, *plural, *subresource;
        const char *namespace, *name;
        const char *live, *object; /* JSON with single quotes */
};

static int run(struct admission_chain *chain, const struct question *q, enum admission_stage stage,
                json_t *live, json_t *object, struct problem *p) {
        char *groups[] = {(char *)q->user_group, NULL};
        struct user user = {.name = (char *)(q->user ? q->user : "bob"), .groups = groups};
        bool deletes = stage == ADMISSION_MAY_DELETE || stage == ADMISSION_DELETED;
        struct admission a = {.api = &api,
                        .user = &user,
                        .operation = deletes ? ADMIT_DELETE
                                     : live  ? ADMIT_UPDATE
                                             : ADMIT_CREATE,
                        .kind = kind_registry_find_resource(api.kinds, q->group, q->plural),
                        .subresource = strempty(q->subresource),
                        .namespace = strempty(q->namespace),
                        .name = strempty(q->name),
                        .live = live,
                        .object = object,
                        .draft = stage == ADMISSION_MUTATE ? object : NULL,
                        .warnings = &warnings,
                        .add_key = add_key};

        assert_non_null(a.kind);
        return admission_run(chain, &a, stage, p);
}

static struct admission_chain *chain_new(const struct admission_options *o, struct metrics *m) {
        _cleanup_problem_ struct problem p = {0};
        struct admission_chain *chain = NULL;

        if (admission_chain_new(&chain, o, m, &p) < 0)
                fail_msg("%s", strempty(p.message));
        return chain;
}

/* All but the one, or the one alone. */
static struct admission_chain *chain_of(const char *name, bool alone) {
        char *disable[ELEMENTS(names) + 1] = {NULL};
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (streq(names[i], name) != alone)
                        disable[n++] = (char *)names[i];
        return chain_new(&(struct admission_options){.disable = disable}, NULL);
}

/* --- refusals --- */

#define POD "'metadata':{'name':'p'},'spec':{'containers':[{'name':'c','image':'host'}]"

static const struct refusal {
        const char *plugin;
        enum admission_stage stage;
        struct question q;
        int code;
        const char *message; /* a part of it */
} refusals[] = {
                {"NamespaceLifecycle", ADMISSION_MAY_CREATE,
                                {.group = "", .plural = "pods", .namespace = "none", .name = "p"},
                                404, "namespaces \"none\" not found"},
                {"NamespaceLifecycle", ADMISSION_MAY_CREATE,
                                {.group = "", .plural = "pods", .namespace = "gone", .name = "p"},
                                403,
                                "pods \"p\" is forbidden: unable to create new content in "
                                "namespace gone because it is being terminated"},
                {"NamespaceLifecycle", ADMISSION_MAY_CREATE,
                                {.group = "", .plural = "pods", .namespace = "gone", .name = ""},
                                403, "pods is forbidden: unable to create new content"},
                {"NamespaceLifecycle", ADMISSION_MAY_DELETE,
                                {.group = "",
                                                .plural = "namespaces",
                                                .name = "kube-system",
                                                .live = "{}"},
                                403, "this namespace may not be deleted"},
                {"ServiceAccount", ADMISSION_MUTATE,
                                {.group = "",
                                                .plural = "pods",
                                                .namespace = "shop",
                                                .name = "p",
                                                .object = "{'spec':{'serviceAccountName':'x'}}"},
                                403,
                                "error looking up service account shop/x: serviceaccount \"x\" not "
                                "found"},
                {"Priority", ADMISSION_MUTATE,
                                {.group = "",
                                                .plural = "pods",
                                                .namespace = "shop",
                                                .name = "p",
                                                .object = "{'spec':{'priorityClassName':'x'}}"},
                                403, "no PriorityClass with name x was found"},
                {"Priority", ADMISSION_MUTATE,
                                {.group = "",
                                                .plural = "pods",
                                                .namespace = "shop",
                                                .name = "p",
                                                .object = "{'spec':{'priority':8}}"},
                                403, "the integer value of priority must not be provided"},
                {"NodeConnectionRestriction", ADMISSION_VALIDATE,
                                {.group = "",
                                                .plural = "nodes",
                                                .name = "n1",
                                                .live = "{}",
                                                .object = "{'metadata':{'annotations':{"
                                                          "'keelson.dev/ssh-user':'root'}}}"},
                                403, "annotations keelson.dev/ssh-* may be changed by"},
                {"NodeRestriction", ADMISSION_VALIDATE,
                                {.user = "system:node:n1",
                                                .user_group = "system:nodes",
                                                .group = "",
                                                .plural = "nodes",
                                                .name = "n2",
                                                .live = "{}",
                                                .object = "{}"},
                                403, "an agent may write only its own node"},
                {"NodeRestriction", ADMISSION_VALIDATE,
                                {.user = "system:node:n1",
                                                .user_group = "system:nodes",
                                                .group = "",
                                                .plural = "nodes",
                                                .name = "n1",
                                                .subresource = "status",
                                                .live = "{}",
                                                .object = "{'spec':{'unschedulable':true}}"},
                                403, "an agent may not change whether pods go to its node"},
                {"NodeRestriction", ADMISSION_VALIDATE,
                                {.user = "system:node:n1",
                                                .user_group = "system:nodes",
                                                .group = "",
                                                .plural = "pods",
                                                .namespace = "open",
                                                .name = "p",
                                                .object = "{" POD "}}"},
                                403, "an agent may not create pods"},
                {"NodeRestriction", ADMISSION_VALIDATE,
                                {.user = "system:node:n1",
                                                .user_group = "system:nodes",
                                                .group = "coordination.k8s.io",
                                                .plural = "leases",
                                                .namespace = "kube-node-lease",
                                                .name = "n2",
                                                .object = "{}"},
                                403, "an agent may write only its own lease"},
                {"NodeRestriction", ADMISSION_VALIDATE,
                                {.user = "system:node:n1",
                                                .user_group = "system:nodes",
                                                .group = "certificates.k8s.io",
                                                .plural = "certificatesigningrequests",
                                                .name = "r",
                                                .object = "{'spec':{'signerName':'x/y'}}"},
                                403, "an agent may ask only the signers"},
                {"NodeRestriction", ADMISSION_VALIDATE,
                                {.user = "system:node:n1",
                                                .user_group = "system:nodes",
                                                .group = "certificates.k8s.io",
                                                .plural = "certificatesigningrequests",
                                                .name = "r",
                                                .object = "{'spec':{'signerName':"
                                                          "'kubernetes.io/kubelet-serving',"
                                                          "'request':'AGENT'}}"},
                                403, "an agent may ask for a certificate of its own node only"},
                {"PodSecurity", ADMISSION_VALIDATE,
                                {.group = "",
                                                .plural = "pods",
                                                .namespace = "shop",
                                                .name = "p",
                                                .object = "{" POD ",'hostNetwork':true}}"},
                                403, "violates PodSecurity \"baseline:latest\": host namespaces"},
                {"PodSecurity", ADMISSION_VALIDATE,
                                {.group = "",
                                                .plural = "namespaces",
                                                .name = "shop",
                                                .live = "{'metadata':{}}",
                                                .object = "{'metadata':{'labels':{"
                                                          "'pod-security.kubernetes.io/enforce':"
                                                          "'privileged'}}}"},
                                403, "needs the verb \"set-pod-security\""},
                {"PodSecurity", ADMISSION_VALIDATE,
                                {.group = "",
                                                .plural = "namespaces",
                                                .name = "shop",
                                                .live = "{'metadata':{}}",
                                                .object = "{'metadata':{'labels':{"
                                                          "'pod-security.kubernetes.io/enforce':"
                                                          "'lax'}}}"},
                                422, "Namespace \"shop\" is invalid"},
                {"PodNodeNameRestriction", ADMISSION_VALIDATE,
                                {.group = "",
                                                .plural = "pods",
                                                .namespace = "open",
                                                .name = "p",
                                                .object = "{" POD ",'nodeName':'n9'}}"},
                                403, "names the node \"n9\", which is not there"},
                {"PodNodeNameRestriction", ADMISSION_VALIDATE,
                                {.group = "",
                                                .plural = "pods",
                                                .namespace = "open",
                                                .name = "p",
                                                .object = "{" POD ",'nodeName':'n1'}}"},
                                403, "whose taint a:NoSchedule the pod does not tolerate"},
                {"ServiceIPAllocation", ADMISSION_MUTATE,
                                {.group = "",
                                                .plural = "services",
                                                .namespace = "shop",
                                                .name = "s",
                                                .object = "{'spec':{'clusterIP':'10.97.0.5'}}"},
                                422, "the provided IP is not in the valid range"},
                {"ServiceAddressRestriction", ADMISSION_VALIDATE,
                                {.group = "",
                                                .plural = "services",
                                                .namespace = "shop",
                                                .name = "s",
                                                .object = "{'spec':{'externalIPs':['192.0.2.7']}"
                                                          "}"},
                                422,
                                "spec.externalIPs[0]: Invalid value: \"192.0.2.7\": is an "
                                "address of a node"},
                {"ServiceAddressRestriction", ADMISSION_VALIDATE,
                                {.group = "",
                                                .plural = "services",
                                                .namespace = "shop",
                                                .name = "s",
                                                .object = "{'spec':{'externalIPs':['192.0.2.8']}"
                                                          "}"},
                                403, "to grant the verb \"use-external-ips\""},
                {"ServiceAddressRestriction", ADMISSION_VALIDATE,
                                {.group = "",
                                                .plural = "services",
                                                .namespace = "shop",
                                                .name = "s",
                                                .subresource = "status",
                                                .live = "{}",
                                                .object = "{'status':{'loadBalancer':{'ingress':["
                                                          "{'ip':'127.0.0.1'}]}}}"},
                                422, "status.loadBalancer.ingress[0].ip"},
                {"ServiceAddressRestriction", ADMISSION_VALIDATE,
                                {.group = "",
                                                .plural = "pods",
                                                .namespace = "shop",
                                                .name = "p",
                                                .subresource = "status",
                                                .live = "{}",
                                                .object = "{'status':{'podIP':'127.0.0.1'}}"},
                                422, "status.podIP: Invalid value: \"127.0.0.1\""},
                {"ServiceAddressRestriction", ADMISSION_VALIDATE,
                                {.group = "discovery.k8s.io",
                                                .plural = "endpointslices",
                                                .namespace = "shop",
                                                .name = "s",
                                                .object = "{'endpoints':[{'addresses':["
                                                          "'169.254.1.1']}]}"},
                                422, "endpoints[0].addresses[0]"},
                {"ServiceAddressRestriction", ADMISSION_VALIDATE,
                                {.group = "",
                                                .plural = "endpoints",
                                                .namespace = "shop",
                                                .name = "s",
                                                .object = "{'subsets':[{'notReadyAddresses':[{"
                                                          "'ip':'::1'}]}]}"},
                                422, "subsets[0].notReadyAddresses[0].ip"},
                {"GitSyncImpersonation", ADMISSION_VALIDATE,
                                {.group = "keelson.dev",
                                                .plural = "gitsyncs",
                                                .namespace = "shop",
                                                .name = "g",
                                                .object = "{'spec':{}}"},
                                403, "acts with all rights of the cluster"},
                {"GitSyncImpersonation", ADMISSION_VALIDATE,
                                {.group = "keelson.dev",
                                                .plural = "gitsyncs",
                                                .namespace = "shop",
                                                .name = "g",
                                                .object = "{'spec':{'serviceAccountName':"
                                                          "'builder'}}"},
                                403, "it would act as the service account \"builder\""},
                {"GitSyncImpersonation", ADMISSION_MAY_DELETE,
                                {.group = "keelson.dev",
                                                .plural = "gitsyncs",
                                                .namespace = "shop",
                                                .name = "g",
                                                .live = "{'spec':{}}"},
                                403, "also when it removes what it applied"},
                {"RBACEscalationPrevention", ADMISSION_VALIDATE,
                                {.group = "rbac.authorization.k8s.io",
                                                .plural = "roles",
                                                .namespace = "shop",
                                                .name = "r",
                                                .object = "{'rules':[{'apiGroups':[''],"
                                                          "'resources':['secrets'],'verbs':["
                                                          "'get']}]}"},
                                403, "attempting to grant RBAC permissions not currently held"},
                {"RBACEscalationPrevention", ADMISSION_VALIDATE,
                                {.group = "rbac.authorization.k8s.io",
                                                .plural = "clusterroles",
                                                .name = "r",
                                                .object = "{'rules':[],'aggregationRule':{}}"},
                                403, "attempting to grant RBAC permissions not currently held"},
                {"RBACEscalationPrevention", ADMISSION_VALIDATE,
                                {.group = "rbac.authorization.k8s.io",
                                                .plural = "rolebindings",
                                                .namespace = "shop",
                                                .name = "r",
                                                .object = "{'roleRef':{'kind':'ClusterRole',"
                                                          "'name':'writer'}}"},
                                403, "attempting to grant RBAC permissions not currently held"},
                {"RBACEscalationPrevention", ADMISSION_VALIDATE,
                                {.group = "rbac.authorization.k8s.io",
                                                .plural = "clusterrolebindings",
                                                .name = "r",
                                                .object = "{'roleRef':{'kind':'ClusterRole',"
                                                          "'name':'x'}}"},
                                404, "clusterroles.rbac.authorization.k8s.io \"x\" not found"},
                {"CertificateApproval", ADMISSION_VALIDATE,
                                {.group = "certificates.k8s.io",
                                                .plural = "certificatesigningrequests",
                                                .name = "r",
                                                .subresource = "approval",
                                                .live = "{}",
                                                .object = "{'spec':{'signerName':'x/y'}}"},
                                403, "not permitted to approve requests with signerName \"x/y\""},
                {"CertificateSigning", ADMISSION_VALIDATE,
                                {.group = "certificates.k8s.io",
                                                .plural = "certificatesigningrequests",
                                                .name = "r",
                                                .subresource = "status",
                                                .live = "{'status':{}}",
                                                .object = "{'spec':{'signerName':'x/y'},'status':{"
                                                          "'certificate':'x'}}"},
                                403, "not permitted to sign requests with signerName \"x/y\""},
                {"CertificateSubjectRestriction", ADMISSION_VALIDATE,
                                {.group = "certificates.k8s.io",
                                                .plural = "certificatesigningrequests",
                                                .name = "r",
                                                .object = "{'spec':{'signerName':"
                                                          "'kubernetes.io/kube-apiserver-client',"
                                                          "'request':'MASTERS'}}"},
                                403, "signer with system:masters group is not allowed"},
                {"CertificateSubjectRestriction", ADMISSION_VALIDATE,
                                {.group = "certificates.k8s.io",
                                                .plural = "certificatesigningrequests",
                                                .name = "r",
                                                .object = "{'spec':{'signerName':"
                                                          "'kubernetes.io/kube-apiserver-client',"
                                                          "'request':'*'}}"},
                                400, "spec.request is not base64 text"},
};

static json_t *object_of(const char *text) {
        json_t *v = text ? parse(text) : NULL;
        const char *request = json_str_or(v, "spec.request", "");

        if (streq(request, "MASTERS"))
                json_set_str(v, "spec.request", masters_request);
        else if (streq(request, "AGENT"))
                json_set_str(v, "spec.request", agent_request);
        return v;
}

/* The plugin alone refuses; all others together do not. */
static void test_refusals(void **state) {
        for (size_t i = 0; i < ELEMENTS(refusals); i++) {
                const struct refusal *c = &refusals[i];
                _cleanup_(admission_chain_freep) struct admission_chain *alone = chain_of(c->plugin,
                                                                                        true),
                                                                        *others = chain_of(
                                                                                        c->plugin,
                                                                                        false);
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *live = object_of(c->q.live),
                                      *object = object_of(c->q.object);
                int r;

                print_message("# %s: %s\n", c->plugin, c->message);
                r = run(alone, &c->q, c->stage, live, object, &p);
                assert_true(r < 0);
                assert_int_equal(p.code, c->code);
                if (!strstr(strempty(p.message), c->message))
                        fail_msg("%s: %s", c->plugin, strempty(p.message));
                r = run(others, &c->q, c->stage, live, object, &p);
                if (r < 0)
                        fail_msg("%s is refused by another plugin: %s", c->message, p.message);
                forget();
        }
}

/* Masters pass where the refusal is about rights. */
static void test_masters(void **state) {
        _cleanup_(admission_chain_freep) struct admission_chain *all =
                        chain_new(&(struct admission_options){0}, NULL);

        for (size_t i = 0; i < ELEMENTS(refusals); i++) {
                const struct refusal *c = &refusals[i];
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *live = object_of(c->q.live),
                                      *object = object_of(c->q.object);
                struct question q = c->q;

                if (!startswith(c->plugin, "Node") && !startswith(c->plugin, "RBAC") &&
                                !startswith(c->plugin, "GitSync"))
                        continue;
                q.user_group = "system:masters";
                assert_int_equal(run(all, &q, c->stage, live, object, &p), 0);
                forget();
        }
}

/* --- what is filled in, warned about, claimed --- */

static void test_pod_is_filled(void **state) {
        _cleanup_(admission_chain_freep) struct admission_chain *all =
                        chain_new(&(struct admission_options){0}, NULL);
        const struct question q = {.group = "", .plural = "pods", .namespace = "shop", .name = "p"};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *pod = parse("{'spec':{}}"),
                              *critical = parse("{'spec':{'serviceAccount':'builder',"
                                                "'priorityClassName':'system-node-critical'}}");

        assert_int_equal(run(all, &q, ADMISSION_MUTATE, NULL, pod, &p), 0);
        assert_json(pod, "{'spec':{'serviceAccount':'default','serviceAccountName':'default',"
                         "'priorityClassName':'usual','preemptionPolicy':'Never','priority':7}}");
        assert_int_equal(run(all, &q, ADMISSION_MUTATE, NULL, critical, &p), 0);
        assert_json(critical, "{'spec':{'serviceAccount':'builder','serviceAccountName':'builder',"
                              "'priorityClassName':'system-node-critical','priority':2000001000}}");
        /* an update is left as it is */
        assert_int_equal(run(all, &q, ADMISSION_MUTATE, pod, pod, &p), 0);
        assert_int_equal(json_int_or(pod, "spec.priority", 0), 7);
}

static void test_warnings(void **state) {
        _cleanup_(admission_chain_freep) struct admission_chain *all =
                        chain_new(&(struct admission_options){0}, NULL);
        const struct question q = {
                        .group = "apps", .plural = "deployments", .namespace = "shop", .name = "d"};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *object = parse("{'spec':{'template':{'spec':{'hostNetwork':true,"
                                              "'containers':[{'name':'c','image':'host','tty':true}"
                                              "]}}}}");

        assert_int_equal(run(all, &q, ADMISSION_VALIDATE, NULL, object, &p), 0);
        assert_int_equal(strv_length(warnings), 2);
        assert_non_null(strstr(warnings[0], "would violate PodSecurity \"baseline:latest\""));
        assert_non_null(strstr(warnings[1], "spec.template.spec.containers[0].tty has no effect"));
        forget();
        assert_int_equal(run(all, &q, ADMISSION_VALIDATE, object, object, &p), 0);
        assert_int_equal(strv_length(warnings), 0);
}

static const struct question service = {
                .group = "", .plural = "services", .namespace = "a", .name = "web"};

static int allocate(json_t *live, json_t *object, struct problem *p) {
        _cleanup_(admission_chain_freep) struct admission_chain *chain =
                        chain_of("ServiceIPAllocation", true);

        return run(chain, &service, ADMISSION_MUTATE, live, object, p);
}

static void test_alloc_gives(void **state) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *s =
                        parse("{'spec':{'type':'NodePort','ports':[{'port':80},{'port':81,"
                              "'nodePort':30100}]}}");
        const char *ip;

        assert_int_equal(allocate(NULL, s, &p), 0);
        ip = json_str(s, "spec.clusterIP");
        assert_non_null(ip);
        assert_non_null(startswith(ip, "10.96.0."));
        assert_string_not_equal(ip, "10.96.0.1");
        assert_true(json_int_or(json_array_get(json_at(s, "spec.ports"), 0), "nodePort", 0) >=
                        30000);
        assert_int_equal(key_count, 3);
        for (size_t i = 0; i < 3; i++)
                assert_string_equal(keys[i].owner, "a/web");
        assert_string_equal(keys[2].key, "/registry/ranges/nodeports/30100");
        forget();
}

static void test_alloc_refuses(void **state) {
        static const char *const bad[] = {
                        "{'spec':{'clusterIP':'10.97.0.5'}}",
                        "{'spec':{'clusterIP':'10.96.0.5'}}",
                        "{'spec':{'clusterIP':'ten'}}",
                        "{'spec':{'clusterIP':'10.96.0.6','type':'NodePort','ports':[{'nodePort':"
                        "80}]}}",
                        "{'spec':{'clusterIP':'10.96.0.6','type':'NodePort','ports':[{'nodePort':"
                        "30001}]}}",
        };
        _cleanup_problem_ struct problem p = {0};

        alloc_observe(api.alloc, "/registry/ranges/serviceips/10.96.0.5", "x/y", 3);
        alloc_observe(api.alloc, "/registry/ranges/nodeports/30001", "x/y", 3);
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                _cleanup_json_ json_t *s = parse(bad[i]);

                assert_true(allocate(NULL, s, &p) < 0);
                assert_int_equal(p.code, 422);
                forget();
        }
        for (int i = 2; i < 15; i++) {
                _cleanup_free_ char *key = strformat("/registry/ranges/serviceips/10.96.0.%d", i);

                alloc_observe(api.alloc, key, "x/y", 3);
        }
        _cleanup_json_ json_t *s = parse("{'spec':{}}");

        assert_true(allocate(NULL, s, &p) < 0); /* the range is full */
        alloc_observe(api.alloc, "/registry/ranges/serviceips/10.96.0.9", NULL, 0);
        assert_int_equal(allocate(NULL, s, &p), 0);
        assert_string_equal(json_str(s, "spec.clusterIP"), "10.96.0.9");
        alloc_reset(api.alloc);
        forget();
}

static void test_alloc_ranges(void **state) {
        _cleanup_(alloc_freep) struct alloc *a = NULL;
        _cleanup_problem_ struct problem p = {0};

        assert_true(alloc_new(&a, "10.96.0.0", &p) < 0);
        assert_true(alloc_new(&a, "10.96.0.0/31", &p) < 0);
}

static void test_alloc_changes(void **state) {
        _cleanup_(admission_chain_freep) struct admission_chain *all =
                        chain_new(&(struct admission_options){0}, NULL);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t
                        *live = parse("{'spec':{'clusterIP':'10.96.0.5','type':'NodePort','ports':["
                                      "{'port':80,'nodePort':30001}]}}"),
                        *same = json_deep_copy(live),
                        *cluster = parse("{'spec':{'clusterIP':'10.96.0.5','type':'ClusterIP',"
                                         "'ports':[{'port':80}]}}");

        alloc_observe(api.alloc, "/registry/ranges/serviceips/10.96.0.5", "a/web", 5);
        alloc_observe(api.alloc, "/registry/ranges/nodeports/30001", "a/web", 5);
        assert_int_equal(allocate(live, same, &p), 0);
        assert_int_equal(key_count, 0);
        /* no node port any more: it is given back */
        assert_int_equal(allocate(live, cluster, &p), 0);
        assert_int_equal(key_count, 1);
        assert_null(keys[0].owner);
        assert_string_equal(keys[0].key, "/registry/ranges/nodeports/30001");
        assert_int_equal(run(all, &service, ADMISSION_DELETED, live, NULL, &p), 0);
        assert_int_equal(key_count, 3);
        alloc_reset(api.alloc);
        forget();
}

/* --- the chain --- */

static void assert_order(const struct admission_options *o, const char *expected) {
        _cleanup_(admission_chain_freep) struct admission_chain *chain = chain_new(o, NULL);
        _cleanup_free_ char *text = strdup("");

        for (size_t i = 0; admission_chain_at(chain, i); i++) {
                char *longer = strformat("%s %s", text, admission_chain_at(chain, i));

                free(text);
                text = longer;
        }
        assert_string_equal(text, expected);
}

static char *const *list(const char *text) {
        static char **lists[3];
        static size_t next;
        char ***l = &lists[next++ % ELEMENTS(lists)];

        *l = strv_free(*l);
        assert_int_equal(strv_split(text, ",", l), 0);
        return *l;
}

static void test_order(void **state) {
        assert_order(&(struct admission_options){0}, ADMISSION_PLUGIN_WORDS);
        assert_order(&(struct admission_options){.disable = list("*")},
                        " NodeConnectionRestriction NodeRestriction PodSecurity "
                        "PodNodeNameRestriction ServiceAddressRestriction GitSyncImpersonation "
                        "RBACEscalationPrevention CertificateApproval CertificateSigning "
                        "CertificateSubjectRestriction");
        assert_order(
                        &(struct admission_options){
                                        .disable = list("*,PodSecurity,GitSyncImpersonation"
                                                        ",NodeRestriction"),
                                        .enable = list("Priority"),
                                        .order = list("RBACEscalationPrevention,Priority")},
                        " RBACEscalationPrevention Priority NodeConnectionRestriction "
                        "PodNodeNameRestriction ServiceAddressRestriction CertificateApproval "
                        "CertificateSigning CertificateSubjectRestriction");
}

static void test_bad_flags(void **state) {
        static const struct {
                const char *disable, *enable, *order, *message;
        } cases[] = {
                        {"PodSecurty", "", "",
                                        "--disable-admission-plugins: there is no admission plugin "
                                        "\"PodSecurty\"; there are: NamespaceLifecycle"},
                        {"", "podsecurity", "", "--enable-admission-plugins: there is no"},
                        {"", "*", "", "--enable-admission-plugins: there is no"},
                        {"", "", "Priority,x", "--admission-order: there is no"},
                        {"", "", "Priority,Priority", "--admission-order names Priority twice"},
                        {"Priority", "Priority", "", "both name Priority"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                struct admission_chain *chain = NULL;
                const struct admission_options o = {.disable = list(cases[i].disable),
                                .enable = list(cases[i].enable),
                                .order = list(cases[i].order)};

                assert_int_equal(admission_chain_new(&chain, &o, NULL, &p), -EINVAL);
                assert_null(chain);
                if (!strstr(p.message, cases[i].message))
                        fail_msg("%s", p.message);
        }
}

/* The first plugin of the order is the one that refuses. */
static void test_order_decides(void **state) {
        static const char *const orders[] = {"PodSecurity", "PodNodeNameRestriction"};
        const struct question q = {.group = "", .plural = "pods", .namespace = "shop", .name = "p"};
        _cleanup_json_ json_t *object = parse("{" POD ",'hostNetwork':true,'nodeName':'n9'}}");

        for (size_t i = 0; i < ELEMENTS(orders); i++) {
                _cleanup_(admission_chain_freep) struct admission_chain *chain = chain_new(
                                &(struct admission_options){.order = list(orders[i])}, NULL);
                _cleanup_problem_ struct problem p = {0};

                assert_string_equal(admission_chain_at(chain, 0), orders[i]);
                assert_int_equal(run(chain, &q, ADMISSION_VALIDATE, NULL, object, &p), -EACCES);
                assert_non_null(strstr(p.message, i == 0 ? "host namespaces" : "\"n9\""));
                forget();
        }
}

static void test_figures(void **state) {
        _cleanup_(metrics_freep) struct metrics *m = metrics_new();
        _cleanup_(admission_chain_freep) struct admission_chain *chain =
                        chain_new(&(struct admission_options){0}, m);
        const struct question q = {.group = "", .plural = "pods", .namespace = "shop", .name = "p"};
        _cleanup_json_ json_t *good = parse("{" POD "}}"),
                              *bad = parse("{" POD ",'hostNetwork':true}}");
        _cleanup_problem_ struct problem p = {0};
        _cleanup_(buf_done) struct buf b = {0};

        for (int i = 0; i < 3; i++)
                assert_int_equal(run(chain, &q, ADMISSION_VALIDATE, NULL, good, &p), 0);
        assert_int_equal(run(chain, &q, ADMISSION_VALIDATE, NULL, bad, &p), -EACCES);
        assert_int_equal(run(chain, &q, ADMISSION_MUTATE, NULL, good, &p), 0);
        assert_int_equal(metrics_render(m, &b), 0);
        assert_int_equal(buf_append(&b, "", 1), 0);
#define COUNT "apiserver_admission_controller_admission_duration_seconds_count"
        assert_non_null(strstr(b.data, COUNT "{name=\"PodSecurity\",operation=\"CREATE\","
                                             "rejected=\"false\",type=\"validate\"} 3\n"));
        assert_non_null(strstr(b.data, COUNT "{name=\"PodSecurity\",operation=\"CREATE\","
                                             "rejected=\"true\",type=\"validate\"} 1\n"));
        assert_non_null(strstr(b.data, COUNT "{name=\"Priority\",operation=\"CREATE\","
                                             "rejected=\"false\",type=\"admit\"} 1\n"));
        /* those after the refusal were not asked, and there is nothing for what is never asked */
        assert_non_null(strstr(b.data, COUNT "{name=\"FieldsWithoutEffect\",operation=\"CREATE\","
                                             "rejected=\"false\",type=\"validate\"} 3\n"));
        assert_null(strstr(b.data, "{name=\"Priority\",operation=\"DELETE\""));
        forget();
}

/* docs/admission.md: the plugins in their order, and which are safeguards. */
static void test_page(void **state) {
#define ROW(name, plugin) {name, &plugin},
        static const struct {
                const char *name;
                const struct admission_plugin *plugin;
        } rows[] = {ADMISSION_PLUGINS(ROW)};
#undef ROW
        const char *root = getenv("KEELSON_SRCDIR");
        _cleanup_free_ char *path = strformat("%s/docs/admission.md", root ? root : "."),
                            *text = NULL;
        const char *at;
        size_t size, n = 0;

        assert_int_equal(file_read(path, 1024 * 1024, &text, &size), 0);
        for (at = text; (at = strstr(at, "\n| `")); n++) {
                const char *end;
                size_t length;

                at += strlen("\n| `");
                if (*at == '-') /* the flags */
                        break;
                assert_true(n < ELEMENTS(rows));
                length = strcspn(at, "`");
                assert_int_equal(length, strlen(rows[n].name));
                assert_memory_equal(at, rows[n].name, length);
                end = strchrnul(at, '\n');
                assert_int_equal(strncmp(end - strlen("| yes |"), "| yes |", 7) == 0,
                                rows[n].plugin->safeguard);
        }
        assert_int_equal(n, ELEMENTS(rows));
}

/* kapid --help names them all. */
static void test_help(void **state) {
        const char *build = getenv("KEELSON_BUILDDIR");
        _cleanup_free_ char *command = NULL, *text = calloc(1, 64 * 1024);
        FILE *f;

        if (!build)
                skip();
        command = strformat("'%s/kapid/kapid' --help", build);
        f = popen(command, "r");
        assert_non_null(f);
        assert_true(fread(text, 1, 64 * 1024 - 1, f) > 0);
        assert_int_equal(pclose(f), 0);
        assert_non_null(strstr(text, "--disable-admission-plugins"));
        for (size_t i = 0; i < ELEMENTS(names); i++)
                assert_non_null(strstr(text, names[i]));
}

/* Every plugin has a refusal above, or is tested for what it fills in or warns about. */
static void test_all_are_tested(void **state) {
        static const char *const others[] = {
                        "CustomResourceDefinitionNames", "FieldsWithoutEffect"};

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                bool found = false;

                for (size_t k = 0; k < ELEMENTS(refusals); k++)
                        found |= streq(refusals[k].plugin, names[i]);
                for (size_t k = 0; k < ELEMENTS(others); k++)
                        found |= streq(others[k], names[i]);
                if (!found)
                        fail_msg("%s has no test", names[i]);
        }
}

static void test_definition_names(void **state) {
        _cleanup_(admission_chain_freep) struct admission_chain *all =
                        chain_new(&(struct admission_options){0}, NULL);
        const struct question q = {.group = "apiextensions.k8s.io",
                        .plural = "customresourcedefinitions",
                        .name = "pods.example.com"};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *crd = parse("{'metadata':{'name':'widgets.example.com'},'spec':{"
                                           "'group':'example.com','names':{'plural':'widgets',"
                                           "'kind':'Widget'}}}");

        assert_int_equal(MIN(run(all, &q, ADMISSION_MUTATE, NULL, crd, &p), 0), 0);
        assert_string_equal(json_str_or(crd, "status.acceptedNames.plural", ""), "widgets");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_refusals),
                        cmocka_unit_test(test_masters),
                        cmocka_unit_test(test_pod_is_filled),
                        cmocka_unit_test(test_warnings),
                        cmocka_unit_test(test_alloc_gives),
                        cmocka_unit_test(test_alloc_refuses),
                        cmocka_unit_test(test_alloc_ranges),
                        cmocka_unit_test(test_alloc_changes),
                        cmocka_unit_test(test_order),
                        cmocka_unit_test(test_bad_flags),
                        cmocka_unit_test(test_order_decides),
                        cmocka_unit_test(test_figures),
                        cmocka_unit_test(test_page),
                        cmocka_unit_test(test_help),
                        cmocka_unit_test(test_all_are_tested),
                        cmocka_unit_test(test_definition_names),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
