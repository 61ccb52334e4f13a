/* Node restriction, as the reference server's NodeRestriction: what an agent's writes may contain.
 * Which objects it reaches at all is the node authorizer's (authz-node.c). An agent that was broken
 * into must not make its machine look like another one (labels that draw workloads, taints, owner
 * references and finalizers, the range of its pods' addresses). */
#include "kapid/admission/plugins.h"
#include "kapid/admission/node-restriction.h"
#include "lib/object.h"

/* The annotations that say how the control plane reaches a machine are the administrators'. */
static bool ssh_annotations_equal(const json_t *a, const json_t *b) {
        static const char *const names[] = {
                        "keelson.dev/ssh-host-key", "keelson.dev/ssh-port", "keelson.dev/ssh-user"};

        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (!streq_ptr(object_annotation(a, names[i]), object_annotation(b, names[i])))
                        return false;
        return true;
}

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

static int restrict_node(struct write *w, const char *node, const json_t *live,
                const json_t *object, struct problem *p) {
        const char *why, *what;
        _cleanup_free_ char *text = NULL;

        if (!streq(w->name, node))
                return admission_forbidden(w, p, "an agent may write only its own node");
        if (node_restrict_object(live, object, &why, &what) == 0)
                return 0;
        text = strformat("an agent %s (%s)", why, what);
        return text ? admission_forbidden(w, p, text) : -ENOMEM;
}

int validate_node(struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        const char *node = user_node(&w->request->user);

        if (admission_is_kind(w, "", "nodes") && !user_is_master(&w->request->user) &&
                        !ssh_annotations_equal(live, object))
                return admission_forbidden(w, p,
                                "the annotations keelson.dev/ssh-* may be changed by "
                                "system:masters only");
        if (!node || user_is_master(&w->request->user))
                return 0;
        if (admission_is_kind(w, "", "nodes"))
                return restrict_node(w, node, live, object, p);
        if (admission_is_kind(w, "", "pods") && !live)
                return admission_forbidden(w, p, "an agent may not create pods");
        if (admission_is_kind(w, "coordination.k8s.io", "leases")) {
                if (!streq(w->name, node))
                        return admission_forbidden(w, p, "an agent may write only its own lease");
        }
        return 0;
}
