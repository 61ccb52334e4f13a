/* This node's Node object and Lease: made, kept fresh, told the truth about. */
#pragma once

#include "nodeagent/agent.h"

int node_new(struct node **ret, struct agent *agent);
struct node *node_free(struct node *n);
DEFINE_CLEANUP(struct node *, node_free);
/* What the watch says about our own Node; NULL: there is none (yet). Called when the first list is
 * in, and on changes. */
void node_observed(struct node *n, const json_t *object);
/* Whether the lease was renewed lately. */
bool node_is_in_touch(const struct node *n);

/* How many processes and threads the kernel allows; 0 when it does not say. */
int64_t node_tasks_max(void);
/* What of a machine's memory is not for pods: a tenth, at least 256 MiB and at most 2 GiB, but
 * never more than a quarter. Pure. */
int64_t node_memory_reserve(int64_t memory_bytes);

/* The status of a node from facts; pure. Conditions of other writers in old are kept. */
struct node_facts {
        const char *name;
        const char *address;
        int64_t cpu_milli, memory_bytes, disk_bytes;
        int64_t memory_available, disk_available, pids_max, pids_used;
        const char *machine_id, *boot_id, *kernel, *os_image, *architecture, *runtime, *version;
        uint64_t now_us;
};
json_t *node_status(const json_t *old, const struct node_facts *facts) _warn_unused_;
/* Whether two statuses differ in more than the times of their heartbeats. */
bool node_status_differs(const json_t *a, const json_t *b);
