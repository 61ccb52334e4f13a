/* DaemonSet: which nodes have a pod, and what a node's pod looks like. kschedd binds the pods: each
 * names its node by node affinity, so that room and ports are checked as for any other pod. */
#include "lib/node-affinity.h"
#include "lib/object.h"
#include "lib/taints.h"
#include "reconcilers/workloads/daemonset-internal.h"

#define FAILURES_ANNOTATION "keelson.dev/daemon-pod-failures"

/* A daemon's pod stays on a node in trouble: it may be the cure. */
static const struct {
        const char *key, *effect;
        bool host_network; /* only for pods on the host's network */
} own_tolerations[] = {
                {"node.kubernetes.io/not-ready", "NoExecute", false},
                {"node.kubernetes.io/unreachable", "NoExecute", false},
                {"node.kubernetes.io/disk-pressure", "NoSchedule", false},
                {"node.kubernetes.io/memory-pressure", "NoSchedule", false},
                {"node.kubernetes.io/pid-pressure", "NoSchedule", false},
                {"node.kubernetes.io/unschedulable", "NoSchedule", false},
                {"node.kubernetes.io/network-unavailable", "NoSchedule", true},
};

static bool has_toleration(const json_t *list, const char *key, const char *effect) {
        const json_t *t;
        size_t i;

        json_array_foreach (list, i, t)
                if (streq(json_str_or(t, "key", ""), key) &&
                                streq(json_str_or(t, "effect", ""), effect) &&
                                streq(json_str_or(t, "operator", ""), "Exists") &&
                                !json_object_get(t, "tolerationSeconds"))
                        return true;
        return false;
}

/* The template's pod spec with the tolerations of a daemon. */
static json_t *spec_of(const json_t *object) {
        json_t *spec = json_copy(json_unconst(json_at(object, "spec.template.spec"))), *list;
        bool host_network = json_bool_or(spec, "hostNetwork", false);

        assert(spec);
        list = json_object_get(spec, "tolerations");
        list = list ? json_copy(list) : json_array();
        for (size_t i = 0; i < ELEMENTS(own_tolerations); i++)
                if ((host_network || !own_tolerations[i].host_network) &&
                                !has_toleration(list, own_tolerations[i].key,
                                                own_tolerations[i].effect))
                        json_array_append_new(list,
                                        json_pack("{s:s, s:s, s:s}", "key", own_tolerations[i].key,
                                                        "operator", "Exists", "effect",
                                                        own_tolerations[i].effect));
        json_object_set_new(spec, "tolerations", list);
        return spec;
}

static void judge_node(const struct daemons *d, struct daemon_node *n) {
        const char *fixed = json_str_or(d->shape, "spec.nodeName", "");
        const json_t *taint;
        size_t i;

        if ((*fixed && !streq(fixed, object_name(n->node))) ||
                        !node_matches_required(d->shape, n->node))
                return;
        n->wants = n->keeps = true;
        json_array_foreach (json_at(n->node, "spec.taints"), i, taint) {
                const char *effect = json_str_or(taint, "effect", "");

                if (streq(effect, "PreferNoSchedule") ||
                                pod_tolerates(d->shape, taint, /* ret_seconds= */ NULL))
                        continue;
                n->wants = false;
                if (streq(effect, "NoExecute"))
                        n->keeps = false;
        }
}

static void read_nodes(struct daemons *d, const struct world *w) {
        _cleanup_objects_ struct objects nodes = {0};

        world_all(w, WORLD_NODES, &nodes);
        d->nodes = calloc(nodes.count + 1, sizeof(*d->nodes));
        d->by_name = map_new(/* free_value= */ NULL);
        assert(d->nodes && d->by_name);
        for (size_t i = 0; i < nodes.count; i++) {
                struct daemon_node *n = &d->nodes[d->node_count++];

                n->node = nodes.items[i];
                judge_node(d, n);
                d->desired += n->wants;
                assert(map_set(d->by_name, object_name(n->node), n) >= 0);
        }
}

const char *daemon_target(const json_t *pod) {
        const char *name = json_str_or(pod, "spec.nodeName", "");
        const json_t *term, *field, *values;
        size_t i, k;

        if (*name)
                return name;
        json_array_foreach (json_at(pod, "spec.affinity.nodeAffinity."
                                         "requiredDuringSchedulingIgnoredDuringExecution."
                                         "nodeSelectorTerms"),
                        i, term)
                json_array_foreach (json_object_get(term, "matchFields"), k, field) {
                        values = json_object_get(field, "values");
                        if (streq(json_str_or(field, "key", ""), "metadata.name") &&
                                        streq(json_str_or(field, "operator", ""), "In") &&
                                        json_array_size(values) == 1)
                                return json_string_value(json_array_get(values, 0));
                }
        return NULL;
}

bool daemon_is_updated(const struct daemons *d, const json_t *pod) {
        const json_t *update = d->history.update;

        return update && streq_ptr(object_label(pod, REVISION_LABEL), revision_hash(update));
}

int64_t daemon_failures(const json_t *pod) {
        const char *text = object_annotation(pod, FAILURES_ANNOTATION);
        int64_t n;

        return text && parse_i64(text, &n) >= 0 && n >= 0 ? n : 0;
}

/* Pods on nodes first, then the older ones. */
static int compare_pods(const void *x, const void *y) {
        const json_t *a = *(const json_t *const *)x, *b = *(const json_t *const *)y;
        bool on_a = *json_str_or(a, "spec.nodeName", "") != 0,
             on_b = *json_str_or(b, "spec.nodeName", "") != 0;

        if (on_a != on_b)
                return on_a ? -1 : 1;
        if (object_created_us(a) != object_created_us(b))
                return object_created_us(a) < object_created_us(b) ? -1 : 1;
        return strcmp(object_name(a), object_name(b));
}

/* Pods come in the order of compare_pods(). */
static void place_pod(struct daemons *d, const json_t *pod) {
        const char *target = daemon_target(pod);
        struct daemon_node *n = target ? map_get(d->by_name, target) : NULL;
        const json_t **place;

        if (!n) {
                /* podgc cares for pods on nodes that are gone. */
                if (!object_is_deleting(pod) && !*json_str_or(pod, "spec.nodeName", ""))
                        objects_add(&d->surplus, pod);
                return;
        }
        if (object_is_deleting(pod)) {
                n->terminating = true;
                return;
        }
        if (pod_is_finished(pod) && n->keeps && !n->finished) {
                n->finished = pod;
                return;
        }
        place = daemon_is_updated(d, pod) ? &n->updated : &n->outdated;
        if (!n->keeps || pod_is_finished(pod) || *place || (n->oldest && d->surge == 0))
                objects_add(&d->surplus, pod);
        else
                *place = pod;
        if (!n->oldest && !pod_is_finished(pod))
                n->oldest = pod;
}

void daemons_read(struct daemons *d, const struct world *w, const json_t *object) {
        const json_t *rolling = json_at(object, "spec.updateStrategy.rollingUpdate");

        d->object = object;
        d->min_ready_s = json_int_or(object, "spec.minReadySeconds", 0);
        d->shape = json_pack("{s:o}", "spec", spec_of(object));
        assert(d->shape);
        history_read(&d->history, w, object, "DaemonSet");
        read_nodes(d, w);
        d->rolling = !streq(json_str_or(object, "spec.updateStrategy.type", ""), "OnDelete");
        if (d->rolling) {
                d->surge = int_or_percent(json_object_get(rolling, "maxSurge"), d->desired,
                                /* round_up= */ true, /* fallback= */ 0);
                d->unavailable = int_or_percent(json_object_get(rolling, "maxUnavailable"),
                                d->desired, /* round_up= */ true, /* fallback= */ 1);
        }
        world_list(w, WORLD_PODS_BY_OWNER, object_uid(object), &d->pods);
        if (d->pods.count > 0)
                qsort(d->pods.items, d->pods.count, sizeof(*d->pods.items), compare_pods);
        for (size_t i = 0; i < d->pods.count; i++)
                place_pod(d, d->pods.items[i]);
}

void daemons_done(struct daemons *d) {
        history_done(&d->history);
        objects_done(&d->pods);
        objects_done(&d->surplus);
        map_free(d->by_name);
        json_decref(d->shape);
        free(d->nodes);
}

/* The required terms are replaced: judge_node() has looked at them, and labels of nodes change. */
static json_t *affinity_to(const json_t *affinity, const char *node) {
        json_t *all = affinity ? json_deep_copy(affinity) : json_object();

        assert(all && json_set_at(all,
                                      "nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
                                      json_pack("{s:[{s:[{s:s, s:s, s:[s]}]}]}",
                                                      "nodeSelectorTerms", "matchFields", "key",
                                                      "metadata.name", "operator", "In", "values",
                                                      node)) >= 0);
        return all;
}

json_t *daemon_pod(const struct daemons *d, const json_t *node, int64_t failures) {
        json_t *pod = pod_from_template(
                        json_at(d->object, "spec.template"), d->object, "apps/v1", "DaemonSet");
        json_t *labels = json_deep_copy(json_at(pod, "metadata.labels")),
               *spec = json_copy(json_object_get(d->shape, "spec"));

        assert(pod && spec && labels);
        json_object_set_new(labels, REVISION_LABEL, json_string(revision_hash(d->history.update)));
        assert(json_set_at(pod, "metadata.labels", labels) >= 0);
        if (failures > 0) {
                json_t *annotations = json_deep_copy(json_at(pod, "metadata.annotations"));

                if (!annotations)
                        annotations = json_object();
                json_object_set_new(annotations, FAILURES_ANNOTATION,
                                json_sprintf("%lld", (long long)failures));
                assert(json_set_at(pod, "metadata.annotations", annotations) >= 0);
        }
        json_object_set_new(spec, "affinity",
                        affinity_to(json_object_get(spec, "affinity"), object_name(node)));
        json_object_set_new(pod, "spec", spec);
        return pod;
}
