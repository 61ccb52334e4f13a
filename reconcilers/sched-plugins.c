/* The scheduler's plugins: each says whether a pod may go to a node, how well, and which events may
 * change a no. A new one is a function and a row in the table at the end. */
#include "lib/client/taints.h"
#include "lib/object.h"
#include "reconcilers/sched-internal.h"

/* --- filters --- */

static bool fits(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node, struct reasons *why) {
        bool ok = true;

        if ((int64_t)node->pod_count + 1 > node->pods_max) {
                reasons_add(why, "Too many pods");
                ok = false;
        }
        for (size_t k = 0; k < c->names.count; k++)
                if (pod->requests.v[k] > 0 &&
                                pod->requests.v[k] > node->allocatable.v[k] - node->used.v[k]) {
                        reasons_add(why, "Insufficient %s", c->names.names[k]);
                        ok = false;
                }
        return ok;
}

static bool has_name(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node, struct reasons *why) {
        const char *wanted = json_str_or(pod->object, "spec.nodeName", "");

        if (!*wanted || streq(wanted, node->name))
                return true;
        reasons_add(why, "node(s) didn't match the requested node name");
        return false;
}

static bool matches_affinity(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node, struct reasons *why) {
        if (node_matches_required(pod->object, node->object))
                return true;
        reasons_add(why, "node(s) didn't match Pod's node affinity/selector");
        return false;
}

static bool is_schedulable(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node, struct reasons *why) {
        if (!json_bool_or(node->object, "spec.unschedulable", false) ||
                        pod_tolerates_key(pod->object, "node.kubernetes.io/unschedulable",
                                        "NoSchedule"))
                return true;
        reasons_add(why, "node(s) were unschedulable");
        return false;
}

/* A node that has never reported ready may not have the taint yet. */
static bool is_ready(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node, struct reasons *why) {
        if (object_condition_true(node->object, "Ready") ||
                        pod_tolerates_key(
                                        pod->object, "node.kubernetes.io/not-ready", "NoSchedule"))
                return true;
        reasons_add(why, "node(s) were not ready");
        return false;
}

static bool tolerates(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node, struct reasons *why) {
        const json_t *taint;
        size_t i;

        json_array_foreach (json_at(node->object, "spec.taints"), i, taint) {
                const char *effect = json_str_or(taint, "effect", "");

                if ((!streq(effect, "NoSchedule") && !streq(effect, "NoExecute")) ||
                                pod_tolerates(pod->object, taint, NULL))
                        continue;
                reasons_add(why, "node(s) had untolerated taint {%s: %s}",
                                json_str_or(taint, "key", ""), json_str_or(taint, "value", ""));
                return false;
        }
        return true;
}

static bool any_address(const char *ip) {
        return !*ip || streq(ip, "0.0.0.0") || streq(ip, "::");
}

static bool same_host_port(const json_t *a, const json_t *b) {
        const char *ip_a = json_str_or(a, "hostIP", ""), *ip_b = json_str_or(b, "hostIP", "");

        return json_int_or(a, "hostPort", 0) == json_int_or(b, "hostPort", 0) &&
               streq(json_str_or(a, "protocol", "TCP"), json_str_or(b, "protocol", "TCP")) &&
               (any_address(ip_a) || any_address(ip_b) || streq(ip_a, ip_b));
}

static bool uses_host_port(const json_t *pod, const json_t *port) {
        const json_t *container, *other;
        size_t i, k;

        json_array_foreach (json_at(pod, "spec.containers"), i, container)
                json_array_foreach (json_object_get(container, "ports"), k, other)
                        if (json_int_or(other, "hostPort", 0) > 0 && same_host_port(port, other))
                                return true;
        return false;
}

static bool has_ports(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node, struct reasons *why) {
        const json_t *container, *port;
        size_t i, k;

        json_array_foreach (json_at(pod->object, "spec.containers"), i, container)
                json_array_foreach (json_object_get(container, "ports"), k, port) {
                        if (json_int_or(port, "hostPort", 0) <= 0)
                                continue;
                        for (size_t n = 0; n < node->pod_count; n++)
                                if (uses_host_port(node->pods[n]->object, port)) {
                                        reasons_add(why, "node(s) didn't have free ports for the "
                                                         "requested pod ports");
                                        return false;
                                }
                }
        return true;
}

/* --- scores --- */

static int64_t free_share(int64_t total, int64_t used) {
        return total <= 0 || used >= total ? 0 : (total - used) * 100 / total;
}

static int64_t least_allocated(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node) {
        int64_t cpu = free_share(
                        node->allocatable.v[RESOURCE_CPU], node->score_cpu + pod->score_cpu);
        int64_t memory = free_share(node->allocatable.v[RESOURCE_MEMORY],
                        node->score_memory + pod->score_memory);

        return (cpu + memory) / 2;
}

static int64_t preferred(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node) {
        return node_preference(pod->object, node->object);
}

static int64_t few_intolerable(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node) {
        const json_t *taint;
        int64_t n = 0;
        size_t i;

        json_array_foreach (json_at(node->object, "spec.taints"), i, taint)
                n += streq(json_str_or(taint, "effect", ""), "PreferNoSchedule") &&
                     !pod_tolerates(pod->object, taint, NULL);
        return 100 / (n + 1);
}

/* Fewer siblings are better: a lost node should cost an owner as little as possible. Terminating
 * pods do not count, so a rolling update keeps its spread. */
static int64_t spread(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node) {
        int64_t siblings = 0;

        for (size_t i = 0; *pod->owner && i < node->pod_count; i++)
                siblings += streq(node->pods[i]->owner, pod->owner) &&
                            !object_is_deleting(node->pods[i]->object);
        return 100 / (siblings + 1);
}

const struct sched_plugin sched_plugins[] = {
                {.name = "NodeUnschedulable",
                                .filter = is_schedulable,
                                .events = SCHED_NODE_ADDED | SCHED_NODE_TAINTS},
                {.name = "NodeReady", .filter = is_ready, .events = SCHED_NODE_ADDED},
                {.name = "NodeName", .filter = has_name, .events = SCHED_NODE_ADDED},
                {.name = "TaintToleration",
                                .filter = tolerates,
                                .score = few_intolerable,
                                .weight = 3,
                                .events = SCHED_NODE_ADDED | SCHED_NODE_TAINTS},
                {.name = "NodeAffinity",
                                .filter = matches_affinity,
                                .score = preferred,
                                .normalize = true,
                                .weight = 2,
                                .events = SCHED_NODE_ADDED | SCHED_NODE_LABELS},
                {.name = "NodePorts",
                                .filter = has_ports,
                                .events = SCHED_NODE_ADDED | SCHED_POD_GONE},
                {.name = "NodeResourcesFit",
                                .filter = fits,
                                .score = least_allocated,
                                .weight = 1,
                                .events = SCHED_NODE_ADDED | SCHED_POD_GONE},
                {.name = "SelectorSpread", .score = spread, .weight = 4},
};
const size_t sched_plugins_count = ELEMENTS(sched_plugins);
