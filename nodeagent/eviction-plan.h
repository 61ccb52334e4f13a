/* Node-pressure eviction: when memory, disk, inodes or process ids of the machine run low, the node
 * says so in its conditions, and pods that use more than they asked for end, one after another. The
 * words, defaults and the order of the pods are a kubelet's; docs/node-pressure.md is for users. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

enum eviction_signal {
        SIGNAL_MEMORY, /* bytes that programs can have without swapping */
        SIGNAL_DISK,   /* free bytes on the disk of the state directory ... */
        SIGNAL_INODES, /* ... and free inodes */
        SIGNAL_PIDS,   /* free process ids */
        EVICTION_SIGNALS,
};
enum node_pressure { PRESSURE_MEMORY, PRESSURE_DISK, PRESSURE_PIDS, NODE_PRESSURES };
enum { EVICTION_THRESHOLDS_MAX = 16 };

/* An amount, or a part of the capacity in millionths. */
struct eviction_amount {
        bool is_part;
        int64_t value;
};

struct eviction_threshold {
        enum eviction_signal signal;
        struct eviction_amount below;   /* it is met when less is available ... */
        struct eviction_amount reclaim; /* ... until so much more is */
        bool soft;
        uint64_t grace_us; /* how long a soft one must be met */
};

struct eviction_settings {
        struct eviction_threshold items[EVICTION_THRESHOLDS_MAX];
        size_t count;
        uint64_t transition_us;   /* a condition stays for so long after its threshold */
        int64_t soft_grace_max_s; /* of pods that a soft threshold ends */
};

/* The texts of the flags, as a kubelet takes them. NULL or "": none. */
struct eviction_texts {
        const char *hard;       /* "memory.available<100Mi,nodefs.available<10%" */
        const char *soft;       /* likewise */
        const char *soft_grace; /* "memory.available=1m30s": one for each soft threshold */
        const char *reclaim;    /* "nodefs.available=500Mi" */
};
/* Fills thresholds; the other settings stay. -EINVAL with p. Pure. */
int eviction_settings_parse(
                struct eviction_settings *s, const struct eviction_texts *texts, struct problem *p);

struct eviction_observation {
        bool known;
        int64_t available, capacity;
};

/* What is kept from one look to the next; zero at first. */
struct eviction_memory {
        uint64_t met_us[EVICTION_THRESHOLDS_MAX]; /* since when each threshold is met; 0: it is not
                                                   */
        uint64_t seen_us[NODE_PRESSURES];         /* when the pressure was seen last; 0: never */
};

struct eviction_verdict {
        bool pressure[NODE_PRESSURES];
        const struct eviction_threshold *due; /* a pod must end; NULL: none. Borrowed from the
                                                 settings */
};
/* One look; times are monotonic and not 0. Pure. */
void eviction_look(const struct eviction_settings *s, struct eviction_memory *m,
                const struct eviction_observation seen[static EVICTION_SIGNALS], uint64_t now_us,
                struct eviction_verdict *ret);

/* A pod that can be chosen. */
struct eviction_pod {
        const json_t *object;
        json_t *containers; /* {name: what it uses of the signal's resource}, or NULL */
        int64_t usage;      /* of the pod as a whole */
        int64_t request;
        int64_t priority;
};
/* Fills request and priority. Pure. */
void eviction_pod_rate(struct eviction_pod *pod, enum eviction_signal signal);
/* Whether it may be ended for the machine's sake at all: no critical and no static pod. Pure. */
bool eviction_pod_is_critical(const json_t *object);
/* Orders pods: the first one ends first. Pods that use more than they asked for (memory, disk),
 * then the lower priority, then the larger excess. Pure. */
void eviction_rank(struct eviction_pod *pods, size_t n, enum eviction_signal signal);
/* The message of the pod's status and event; caller frees. NULL: out of memory. Pure. */
char *eviction_message(const struct eviction_pod *pod, const struct eviction_threshold *t,
                const struct eviction_observation *seen) _warn_unused_;
/* How long the pod may take to end, in seconds. Pure. */
int64_t eviction_grace_s(const struct eviction_settings *s, const struct eviction_threshold *t,
                const json_t *object);
