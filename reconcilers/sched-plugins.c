/* The scheduler's plugins: each says whether a pod may go to a node, how well, and which events may
 * change a no. And the choice over them. */
#include <stdarg.h>

#include "lib/object.h"
#include "reconcilers/sched.h"
#include "lib/client/taints.h"

/* --- reasons --- */

int reasons_init(struct reasons *r) {
        *r = (struct reasons){.counts = map_new(NULL)};
        return r->counts ? 0 : -ENOMEM;
}

void reasons_done(struct reasons *r) {
        r->counts = map_free(r->counts);
}

void reasons_add(struct reasons *r, const char *fmt, ...) {
        char text[256];
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        assert(map_set(r->counts, text, (void *)((uintptr_t)map_get(r->counts, text) + 1)) >= 0);
}

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

static bool tolerates_key(const struct sched_pod *pod, const char *key) {
        _cleanup_json_ json_t *taint = json_pack("{s:s, s:s}", "key", key, "effect", "NoSchedule");

        assert(taint);
        return pod_tolerates(pod->object, taint, NULL);
}

static bool is_schedulable(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node, struct reasons *why) {
        if (!json_bool_or(node->object, "spec.unschedulable", false) ||
                        tolerates_key(pod, "node.kubernetes.io/unschedulable"))
                return true;
        reasons_add(why, "node(s) were unschedulable");
        return false;
}

/* A node that has not said it is ready may carry no taint yet. */
static bool is_ready(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node, struct reasons *why) {
        if (object_condition_true(node->object, "Ready") ||
                        tolerates_key(pod, "node.kubernetes.io/not-ready"))
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

/* Fewer siblings are better: a lost node should cost an owner as little as possible. Pods on their
 * way out do not count, so a rolling update keeps its spread. */
static int64_t spread(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node) {
        int64_t siblings = 0;

        for (size_t i = 0; *pod->owner && i < node->pod_count; i++)
                siblings += streq(node->pods[i]->owner, pod->owner) &&
                            !object_is_deleting(node->pods[i]->object);
        return 100 / (siblings + 1);
}

const struct sched_plugin sched_plugins[] = {
                {"NodeUnschedulable", is_schedulable, NULL, false, 0,
                                SCHED_NODE_ADDED | SCHED_NODE_TAINTS},
                {"NodeReady", is_ready, NULL, false, 0, SCHED_NODE_ADDED},
                {"NodeName", has_name, NULL, false, 0, SCHED_NODE_ADDED},
                {"TaintToleration", tolerates, few_intolerable, false, 3,
                                SCHED_NODE_ADDED | SCHED_NODE_TAINTS},
                {"NodeAffinity", matches_affinity, preferred, true, 2,
                                SCHED_NODE_ADDED | SCHED_NODE_LABELS},
                {"NodePorts", has_ports, NULL, false, 0, SCHED_NODE_ADDED | SCHED_POD_GONE},
                {"NodeResourcesFit", fits, least_allocated, false, 1,
                                SCHED_NODE_ADDED | SCHED_POD_GONE},
                {"SelectorSpread", NULL, spread, false, 4, 0},
};
const size_t sched_plugins_count = ELEMENTS(sched_plugins);

/* --- the choice --- */

static bool node_passes(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node, struct reasons *why) {
        for (size_t k = 0; k < sched_plugins_count; k++)
                if (sched_plugins[k].filter && !sched_plugins[k].filter(c, pod, node, why)) {
                        why->events |= sched_plugins[k].events;
                        return false;
                }
        return true;
}

struct candidate {
        const struct sched_node *node;
        int64_t score;
};

static void add_scores(const struct cluster *c, const struct sched_pod *pod,
                struct candidate *candidates, size_t count, const struct sched_plugin *plugin) {
        int64_t max = 0;

        if (plugin->scale)
                for (size_t i = 0; i < count; i++)
                        max = MAX(max, plugin->score(c, pod, candidates[i].node));
        for (size_t i = 0; i < count; i++) {
                int64_t score = plugin->score(c, pod, candidates[i].node);

                if (plugin->scale)
                        score = max > 0 ? score * 100 / max : 0;
                candidates[i].score += score * plugin->weight;
        }
}

const struct sched_node *sched_choose(const struct cluster *c, const struct sched_pod *pod,
                uint64_t tie, struct reasons *why) {
        struct candidate *candidates = calloc(map_size(c->nodes) + 1, sizeof(*candidates));
        const struct sched_node *best = NULL;
        size_t count = 0, equal = 0;
        int64_t best_score = -1;

        assert(candidates);
        map_foreach (c->nodes, e) {
                const struct sched_node *node = map_entry_value(e);

                if (node->object && !object_is_deleting(node->object) &&
                                node_passes(c, pod, node, why))
                        candidates[count++].node = node;
        }
        if (c->node_count == 0)
                why->events |= SCHED_NODE_ADDED;
        for (size_t k = 0; k < sched_plugins_count && count > 1; k++)
                if (sched_plugins[k].score)
                        add_scores(c, pod, candidates, count, &sched_plugins[k]);
        for (size_t i = 0; i < count; i++) {
                best_score = MAX(best_score, candidates[i].score);
        }
        for (size_t i = 0; i < count; i++)
                equal += candidates[i].score == best_score;
        for (size_t i = 0, n = equal ? tie % equal : 0; i < count && !best; i++)
                if (candidates[i].score == best_score && n-- == 0)
                        best = candidates[i].node;
        free(candidates);
        return best;
}

static int compare_strings(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

char *sched_message(const struct cluster *c, const struct reasons *why) {
        _cleanup_strv_free_ char **parts = NULL;
        _cleanup_free_ char *joined = NULL;

        if (c->node_count == 0)
                return strdup("no nodes available to schedule pods");
        map_foreach (why->counts, e) {
                _cleanup_free_ char *part = strformat(
                                "%zu %s", (size_t)(uintptr_t)map_entry_value(e), map_entry_key(e));

                if (!part || strv_extend(&parts, part) < 0)
                        return NULL;
        }
        if (strv_length(parts) > 1)
                qsort(parts, strv_length(parts), sizeof(*parts), compare_strings);
        joined = strv_join(parts, ", ");
        return joined ? strformat("0/%zu nodes are available: %s.", c->node_count, joined) : NULL;
}
