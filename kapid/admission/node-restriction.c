/* NodeRestriction limits the contents of an agent's writes, as in Kubernetes. Which objects it
 * reaches at all is the node authorizer's (kapid/auth/authz-node.c). An agent that was broken into
 * must not make its machine look like another one: labels that draw workloads, taints, owner
 * references and finalizers, the range of its pods' addresses. */
#include "kapid/admission/node-restriction.h"

#include "kapid/admission/certificate-request.h"
#include "kapid/admission/plugins.h"
#include "kapid/auth/user.h"
#include "lib/object.h"

/* Whether the label's prefix (of n bytes) is the domain or below it. */
static bool is_below(const char *key, size_t n, const char *domain) {
        size_t m = strlen(domain);

        return n >= m && memcmp(key + n - m, domain, m) == 0 && (n == m || key[n - m - 1] == '.');
}

bool node_may_set_label(const char *key) {
        /* A machine's own facts, and the two prefixes that are the agents'. */
        static const char *const facts[] = {"kubernetes.io/hostname", "kubernetes.io/os",
                        "kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
                        "node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type",
                        "topology.kubernetes.io/region", "topology.kubernetes.io/zone",
                        "failure-domain.beta.kubernetes.io/region",
                        "failure-domain.beta.kubernetes.io/zone"};
        const char *slash = strchr(key, '/');
        size_t n = slash ? (size_t)(slash - key) : 0;

        if (!is_below(key, n, "kubernetes.io") && !is_below(key, n, "k8s.io"))
                return true;
        if (is_below(key, n, "kubelet.kubernetes.io") || is_below(key, n, "node.kubernetes.io"))
                return true;
        for (size_t i = 0; i < ELEMENTS(facts); i++)
                if (streq(key, facts[i]))
                        return true;
        return false;
}

/* The first label that differs and that an agent may not touch: set, changed or taken away. */
static const char *forbidden_label(const json_t *before, const json_t *after) {
        const json_t *sides[] = {before, after};
        const char *key;
        json_t *v;

        for (size_t i = 0; i < ELEMENTS(sides); i++)
                json_object_foreach ((json_t *)sides[i], key, v)
                        if (!json_equal(json_object_get(sides[1 - i], key), v) &&
                                        !node_may_set_label(key))
                                return key;
        return NULL;
}

/* Absent and empty are the same. */
static bool same(const json_t *a, const json_t *b) {
        bool none_a = !a || json_is_null(a) || (json_is_array(a) && json_array_size(a) == 0) ||
                      (json_is_object(a) && json_object_size(a) == 0);
        bool none_b = !b || json_is_null(b) || (json_is_array(b) && json_array_size(b) == 0) ||
                      (json_is_object(b) && json_object_size(b) == 0);

        return none_a || none_b ? none_a == none_b : json_equal((json_t *)a, (json_t *)b);
}

int node_restrict_object(const json_t *live, const json_t *object, const char **ret_why,
                const char **ret_what) {
        static const struct {
                const char *path, *why;
                bool at_creation; /* a new Node may not have it either */
        } fixed[] = {
                        {"spec.taints", "may not change the taints of its node", false},
                        {"spec.unschedulable", "may not change whether pods go to its node", false},
                        {"spec.podCIDR", "may not choose the range of its pods' addresses", true},
                        {"spec.podCIDRs", "may not choose the range of its pods' addresses", true},
                        {"spec.configSource", "may not set a source of configuration", true},
                        {"metadata.ownerReferences", "may not set owner references on its node",
                                        true},
                        {"metadata.finalizers", "may not set finalizers on its node", true},
        };
        const char *label;

        for (size_t i = 0; i < ELEMENTS(fixed); i++)
                if ((live || fixed[i].at_creation) &&
                                !same(json_at(live, fixed[i].path),
                                                json_at(object, fixed[i].path))) {
                        *ret_why = fixed[i].why;
                        *ret_what = fixed[i].path;
                        return 1;
                }
        label = forbidden_label(json_get(live, "metadata", "labels", NULL),
                        json_get(object, "metadata", "labels", NULL));
        if (!label)
                return 0;
        *ret_why = "may not set, change or remove labels of kubernetes.io or k8s.io on its node "
                   "other than its own facts";
        *ret_what = label;
        return 1;
}

/* The node whose agent makes the request; NULL for other users, and for those with all rights. */
static const char *agent(const struct admission *a) {
        return user_is_master(a->user) ? NULL : user_node(a->user);
}

static int check_node(struct admission *a, struct problem *p) {
        const char *node = agent(a), *why, *what;

        if (!node)
                return 0;
        if (!streq(a->name, node))
                return admission_forbidden(a, p, "an agent may write only its own node");
        if (node_restrict_object(a->live, a->object, &why, &what) == 0)
                return 0;
        return admission_forbidden(a, p, "an agent %s (%s)", why, what);
}

static int refuse_pod(struct admission *a, struct problem *p) {
        return agent(a) ? admission_forbidden(a, p, "an agent may not create pods") : 0;
}

#define DATA_FINALIZER "keelson.dev/volume-data"

/* Without the finalizer, and without what every write changes. NULL when out of memory. */
static json_t *without_data_finalizer(const json_t *volume) {
        _cleanup_json_ json_t *copy = json_tree_copy(volume), *kept = json_array();
        const json_t *f;
        size_t i;

        if (!copy || !kept)
                return NULL;
        json_array_foreach (json_at(volume, "metadata.finalizers"), i, f)
                if (!streq(strempty(json_string_value(f)), DATA_FINALIZER) &&
                                json_array_append(kept, json_unconst(f)) < 0)
                        return NULL;
        json_del_at(copy, "metadata.managedFields");
        json_del_at(copy, "metadata.resourceVersion");
        if (json_set_at(copy, "metadata.finalizers", json_ref(kept)) < 0)
                return NULL;
        return TAKE_PTR(copy);
}

/* An agent only reports that the data of a deleted volume is gone. */
static int check_volume(struct admission *a, struct problem *p) {
        _cleanup_json_ json_t *before = NULL, *after = NULL;

        if (!agent(a))
                return 0;
        before = without_data_finalizer(a->live);
        after = without_data_finalizer(a->object);
        if (!before || !after)
                return -ENOMEM;
        if (object_is_deleting(a->live) && json_equal(before, after))
                return 0;
        return admission_forbidden(a, p,
                        "an agent may only remove the finalizer " DATA_FINALIZER
                        " from a volume that is being deleted");
}

static int check_lease(struct admission *a, struct problem *p) {
        const char *node = agent(a);

        if (!node || streq(a->name, node))
                return 0;
        return admission_forbidden(a, p, "an agent may write only its own lease");
}

static int check_csi_node(struct admission *a, struct problem *p) {
        const char *node = agent(a);

        if (!node || streq(a->name, node))
                return 0;
        return admission_forbidden(a, p, "an agent may write only the CSINode of its own node");
}

static int check_certificate_request(struct admission *a, struct problem *p) {
        const char *node = agent(a), *signer = json_str_or(a->object, "spec.signerName", ""), *cn;
        _cleanup_pki_request_ struct pki_request request = {0};
        int r;

        if (!node)
                return 0;
        if (!streq(signer, SIGNER_KUBELET_CLIENT) && !streq(signer, SIGNER_KUBELET_SERVING))
                return admission_forbidden(a, p,
                                "an agent may ask only the signers " SIGNER_KUBELET_CLIENT
                                " and " SIGNER_KUBELET_SERVING);
        r = certificate_request_read(a->object, &request, p);
        if (r < 0)
                return r;
        cn = startswith(request.cn, "system:node:");
        if (cn && streq(cn, node))
                return 0;
        return admission_forbidden(a, p,
                        "an agent may ask for a certificate of its own node only "
                        "(CN=system:node:<its name>)");
}

static const struct admission_rule rules[] = {
                {.group = "",
                                .plural = "nodes",
                                .subresource = "*",
                                .operations = ADMIT_WRITE,
                                .validate = check_node},
                {.group = "", .plural = "pods", .operations = ADMIT_CREATE, .validate = refuse_pod},
                {.group = "",
                                .plural = "persistentvolumes",
                                .operations = ADMIT_UPDATE,
                                .validate = check_volume},
                {.group = "coordination.k8s.io",
                                .plural = "leases",
                                .operations = ADMIT_WRITE,
                                .validate = check_lease},
                {.group = "storage.k8s.io",
                                .plural = "csinodes",
                                .operations = ADMIT_WRITE,
                                .validate = check_csi_node},
                {.group = "certificates.k8s.io",
                                .plural = "certificatesigningrequests",
                                .operations = ADMIT_CREATE,
                                .validate = check_certificate_request},
                {0},
};

const struct admission_plugin admission_node_restriction = {.safeguard = true, .rules = rules};
