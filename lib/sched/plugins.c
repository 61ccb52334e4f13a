/* The plugins, in the order in which they refuse. A new one is a row here and a function in a
 * plugin-<topic>.c. Names and weights are those of kube-scheduler's default profile; NodeReady is
 * our own, for nodes that have never reported. */
#include "lib/sched/internal.h"

const struct sched_plugin sched_plugins[] = {
                {.name = "NodeUnschedulable",
                                .filter = sched_unschedulable_filter,
                                .events = SCHED_NODE_ADDED | SCHED_NODE_TAINTS,
                                .advice = "kctl uncordon NODE"},
                {.name = "NodeReady",
                                .filter = sched_ready_filter,
                                .events = SCHED_NODE_ADDED,
                                .advice = "kctl describe node NODE shows why it is not ready"},
                {.name = "NodeName",
                                .filter = sched_name_filter,
                                .events = SCHED_NODE_ADDED,
                                .advice = "the pod names its node in spec.nodeName; remove it to "
                                          "let the scheduler choose"},
                {.name = "TaintToleration",
                                .filter = sched_taints_filter,
                                .score = sched_taints_score,
                                .scaling = SCALE_REVERSE,
                                .weight = 3,
                                .events = SCHED_NODE_ADDED | SCHED_NODE_TAINTS,
                                .advice = "add a toleration to the pod, or remove the taint (kctl "
                                          "taint NODE KEY-)"},
                {.name = "NodeAffinity",
                                .filter = sched_affinity_filter,
                                .score = sched_affinity_score,
                                .scaling = SCALE_UP,
                                .weight = 2,
                                .events = SCHED_NODE_ADDED | SCHED_NODE_LABELS,
                                .advice = "label a node as spec.nodeSelector and node affinity "
                                          "ask (kctl label node NODE KEY=VALUE), or relax them"},
                {.name = "NodePorts",
                                .filter = sched_ports_filter,
                                .events = SCHED_NODE_ADDED | SCHED_POD_GONE,
                                .advice = "use another hostPort, or none and a Service"},
                {.name = "NodeResourcesFit",
                                .filter = sched_fit_filter,
                                .score = sched_fit_score,
                                .weight = 1,
                                .events = SCHED_NODE_ADDED | SCHED_POD_GONE,
                                .advice = "lower the pod's requests, add a node, or remove pods"},
                {.name = "VolumeBinding",
                                .begin = sched_volumes_begin,
                                .wide_filter = sched_volumes_filter,
                                .events = SCHED_NODE_ADDED | SCHED_NODE_LABELS | SCHED_POD_GONE |
                                          SCHED_VOLUMES,
                                .advice = "kctl describe pvc NAME shows what the claim waits for; "
                                          "a volume that is bound to a node keeps its pod there"},
                {.name = "PodTopologySpread",
                                .begin = sched_spread_begin,
                                .wide_filter = sched_spread_filter,
                                .wide_score = sched_spread_score,
                                .weight = 2,
                                .events = SCHED_NODE_ADDED | SCHED_NODE_LABELS | SCHED_POD_GONE |
                                          SCHED_POD_PLACED | SCHED_POD_CHANGED,
                                .advice = "raise maxSkew, use whenUnsatisfiable: ScheduleAnyway, "
                                          "or add nodes in the domains that have few pods"},
                {.name = "InterPodAffinity",
                                .begin = sched_interpod_begin,
                                .wide_filter = sched_interpod_filter,
                                .wide_score = sched_interpod_score,
                                .weight = 2,
                                .events = SCHED_NODE_ADDED | SCHED_NODE_LABELS | SCHED_POD_GONE |
                                          SCHED_POD_PLACED | SCHED_POD_CHANGED,
                                .advice = "start the pods that it wants near, add nodes in other "
                                          "domains, or use preferred instead of required rules"},
                {.name = "NodeResourcesBalancedAllocation",
                                .score = sched_balanced_score,
                                .weight = 1},
                {.name = "ImageLocality", .score = sched_images_score, .weight = 1},
};
const size_t sched_plugins_count = ELEMENTS(sched_plugins);
_Static_assert(ELEMENTS(sched_plugins) <= PLUGINS_MAX, "PLUGINS_MAX bounds the arrays by plugin");
