/* Admission: the order of the plugins and its flags, their figures, a refusal of each plugin, and
 * what those that fill in fields do. */
#include "tests/unit/kapid-admission.h"

#include "lib/fileio.h"
#include "lib/metrics.h"

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
                                403, "the integer value of priority (8) must not be provided"},
                {"Priority", ADMISSION_MUTATE,
                                {.group = "",
                                                .plural = "pods",
                                                .namespace = "shop",
                                                .name = "p",
                                                .object = "{'spec':{'preemptionPolicy':"
                                                          "'PreemptLowerPriority'}}"},
                                403,
                                "the string value of PreemptionPolicy (PreemptLowerPriority) must "
                                "not be provided in pod spec; priority admission controller "
                                "computed Never"},
                {"Priority", ADMISSION_VALIDATE,
                                {.group = "scheduling.k8s.io",
                                                .plural = "priorityclasses",
                                                .name = "other",
                                                .object = "{'value':9,'globalDefault':true}"},
                                403,
                                "priorityclasses.scheduling.k8s.io \"other\" is forbidden: "
                                "PriorityClass usual is already marked as default. Only one "
                                "default can exist"},
                {"Priority", ADMISSION_MAY_DELETE,
                                {.group = "scheduling.k8s.io",
                                                .plural = "priorityclasses",
                                                .name = "system-node-critical",
                                                .live = "{}"},
                                403, "this is a system priority class and cannot be deleted"},
                {"LimitRanger", ADMISSION_VALIDATE,
                                {.group = "",
                                                .plural = "pods",
                                                .namespace = "bounded",
                                                .name = "p",
                                                .object = "{" POD "}}"},
                                403,
                                "pods \"p\" is forbidden: maximum cpu usage per Container is 1.  "
                                "No limit is specified"},
                {"ResourceQuota", ADMISSION_CHARGE,
                                {.group = "",
                                                .plural = "secrets",
                                                .namespace = "bounded",
                                                .name = "s",
                                                .object = "{}"},
                                403,
                                "secrets \"s\" is forbidden: exceeded quota: q, requested: "
                                "secrets=1, used: secrets=0, limited: secrets=0"},
                {"PersistentVolumeClaimResize", ADMISSION_VALIDATE,
                                {.group = "",
                                                .plural = "persistentvolumeclaims",
                                                .namespace = "shop",
                                                .name = "c",
                                                .live = "{'spec':{'resources':{'requests':{"
                                                        "'storage':'1Gi'}}}}",
                                                .object = "{'spec':{'resources':{'requests':{"
                                                          "'storage':'2Gi'}}}}"},
                                403, "the storageclass that provisions the pvc must support"},
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
                {"NodeRestriction", ADMISSION_VALIDATE,
                                {.user = "system:node:n1",
                                                .user_group = "system:nodes",
                                                .group = "",
                                                .plural = "persistentvolumes",
                                                .name = "v",
                                                .live = "{'metadata':{'finalizers':["
                                                        "'keelson.dev/volume-data']}}",
                                                .object = "{'metadata':{'finalizers':[]}}"},
                                403, "from a volume that is being deleted"},
                {"NodeRestriction", ADMISSION_VALIDATE,
                                {.user = "system:node:n1",
                                                .user_group = "system:nodes",
                                                .group = "",
                                                .plural = "persistentvolumes",
                                                .name = "v",
                                                .live = "{'metadata':{'deletionTimestamp':'x',"
                                                        "'finalizers':['a/b']}}",
                                                .object = "{'metadata':{'deletionTimestamp':'x',"
                                                          "'finalizers':[]}}"},
                                403, "an agent may only remove the finalizer"},
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
                {"PodSecurity", ADMISSION_MAY_CONNECT,
                                {.group = "",
                                                .plural = "pods",
                                                .namespace = "shop",
                                                .name = "p",
                                                .subresource = "exec",
                                                .live = "{" POD ",'hostNetwork':true}}"},
                                403, "host namespaces"},
                {"PodSecurity", ADMISSION_MAY_CONNECT,
                                {.group = "",
                                                .plural = "pods",
                                                .namespace = "shop",
                                                .name = "p",
                                                .subresource = "attach",
                                                .live = "{" POD ",'hostNetwork':true}}"},
                                403, "host namespaces"},
                {"PodSecurity", ADMISSION_MAY_CONNECT,
                                {.group = "",
                                                .plural = "pods",
                                                .namespace = "shop",
                                                .name = "p",
                                                .subresource = "portforward",
                                                .live = "{" POD ",'hostNetwork':true}}"},
                                403, "host namespaces"},
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
                {"RuntimeClass", ADMISSION_MUTATE,
                                {.group = "",
                                                .plural = "pods",
                                                .namespace = "shop",
                                                .name = "p",
                                                .object = "{'spec':{'runtimeClassName':'none'}}"},
                                403,
                                "pods \"p\" is forbidden: pod rejected: RuntimeClass \"none\" not "
                                "found"},
                {"NodeRestriction", ADMISSION_VALIDATE,
                                {.user = "system:node:n1",
                                                .user_group = "system:nodes",
                                                .group = "storage.k8s.io",
                                                .plural = "csinodes",
                                                .name = "n2",
                                                .object = "{'metadata':{'name':'n2'}}"},
                                403, "an agent may write only the CSINode of its own node"},
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
                {"AddressPoolOverlap", ADMISSION_VALIDATE,
                                {.group = "keelson.dev",
                                                .plural = "addresspools",
                                                .name = "more",
                                                .object = "{'spec':{'addresses':['192.0.2.4','"
                                                          "203.0.113.0/28']}}"},
                                422,
                                "spec.addresses[1]: Invalid value: \"203.0.113.0/28\": overlaps "
                                "with 203.0.113.9-203.0.113.20 of the AddressPool"},
                {"AddressPoolOverlap", ADMISSION_VALIDATE,
                                {.group = "keelson.dev",
                                                .plural = "addresspools",
                                                .name = "more",
                                                .object = "{'spec':{'addresses':['10.96.0.0/24']}"
                                                          "}"},
                                422, "the range of service addresses"},
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
                {"AdmissionPolicies", ADMISSION_VALIDATE,
                                {.group = "admissionregistration.k8s.io",
                                                .plural = "validatingadmissionpolicies",
                                                .name = "p",
                                                .object = "{'spec':{'paramKind':{'apiVersion':"
                                                          "'v1','kind':'Secret'}}}"},
                                403, "must have \"get\" permission on all objects"},
                {"AdmissionPolicies", ADMISSION_VALIDATE,
                                {.group = "admissionregistration.k8s.io",
                                                .plural = "validatingadmissionpolicybindings",
                                                .name = "b",
                                                .object = "{'spec':{'policyName':'p',"
                                                          "'paramRef':{'name':'x',"
                                                          "'namespace':'shop'}}}"},
                                403, "spec.paramRef: Forbidden"},
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
                {"UserRevocation", ADMISSION_MAY_DELETE,
                                {.group = "keelson.dev",
                                                .plural = "clusterusers",
                                                .name = "ann",
                                                .live = "{'metadata':{'name':'ann'},'spec':{"
                                                        "'certificates':[{'revokedAt':'x',"
                                                        "'expiresAt':'2999-01-01T00:00:00Z'}]}}"},
                                403, "until they expire (2999-01-01T00:00:00Z)"},
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
                                                "'priorityClassName':'system-node-critical'}}"),
                              *own = parse("{'spec':{'serviceAccount':'builder',"
                                           "'imagePullSecrets':[{'name':'own'}]}}");

        assert_int_equal(run(all, &q, ADMISSION_MUTATE, NULL, pod, &p), 0);
        assert_json(pod, "{'spec':{'serviceAccount':'default','serviceAccountName':'default',"
                         "'priorityClassName':'usual','preemptionPolicy':'Never','priority':7}}");
        assert_int_equal(run(all, &q, ADMISSION_MUTATE, NULL, critical, &p), 0);
        assert_json(critical, "{'spec':{'serviceAccount':'builder','serviceAccountName':'builder',"
                              "'priorityClassName':'system-node-critical','preemptionPolicy':"
                              "'PreemptLowerPriority','priority':2000001000,"
                              "'imagePullSecrets':[{'name':'registry'}]}}");
        assert_int_equal(run(all, &q, ADMISSION_MUTATE, NULL, own, &p), 0);
        assert_json(json_at(own, "spec.imagePullSecrets"), "[{'name':'own'}]");
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
                                              "'containers':[{'name':'c','image':'host',"
                                              "'volumeDevices':[{'name':'x'}]}]}}}}");

        assert_int_equal(run(all, &q, ADMISSION_VALIDATE, NULL, object, &p), 0);
        assert_int_equal(strv_length(warnings), 2);
        assert_non_null(strstr(warnings[0], "would violate PodSecurity \"baseline:latest\""));
        assert_non_null(strstr(warnings[1],
                        "spec.template.spec.containers[0].volumeDevices has no effect"));
        forget();
        assert_int_equal(run(all, &q, ADMISSION_VALIDATE, object, object, &p), 0);
        assert_int_equal(strv_length(warnings), 0);
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
                        " NodeConnectionRestriction NodeRestriction LimitRanger PodSecurity "
                        "PodNodeNameRestriction Priority ServiceIPAllocation "
                        "ServiceAddressRestriction AddressPoolOverlap "
                        "GitSyncImpersonation "
                        "RBACEscalationPrevention CertificateApproval CertificateSigning "
                        "CertificateSubjectRestriction UserRevocation AdmissionPolicies "
                        "ResourceQuota");
        assert_order(
                        &(struct admission_options){
                                        .disable = list("*,PodSecurity,GitSyncImpersonation"
                                                        ",NodeRestriction"),
                                        .enable = list("ServiceAccount"),
                                        .order = list("RBACEscalationPrevention,ServiceAccount")},
                        " RBACEscalationPrevention ServiceAccount NodeConnectionRestriction "
                        "LimitRanger PodNodeNameRestriction Priority ServiceIPAllocation "
                        "ServiceAddressRestriction AddressPoolOverlap CertificateApproval "
                        "CertificateSigning CertificateSubjectRestriction UserRevocation "
                        "AdmissionPolicies ResourceQuota");
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
        assert_null(strstr(b.data, "{name=\"PodSecurity\",operation=\"DELETE\""));
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
        static const char *const others[] = {"CustomResourceDefinitionNames", "FieldsWithoutEffect",
                        /* test-kapid-networking, test-kapid-storage */
                        "DefaultIngressClass", "DefaultStorageClass",
                        "StorageObjectInUseProtection",
                        /* test-kapid-account-tokens, tests/clients/controllers */
                        "ServiceAccountToken"};

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
