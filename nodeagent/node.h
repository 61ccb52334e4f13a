/* This node's Node object and Lease: creates and renews them, and reports the node's status. */
#pragma once

#include "nodeagent/agent.h"

/* Starts the timer of the lease; the Node is registered after node_observed(). Borrows agent.
 * -ENOMEM or an errno of sd-event. */
int node_new(struct node **ret, struct agent *agent);
struct node *node_free(struct node *n);
DEFINE_CLEANUP(struct node *, node_free);
/* Reports the Node object that the watch has seen; NULL: it does not exist. Called after the first
 * list, and on changes. */
void node_observed(struct node *n, const json_t *object);
/* The Node object as it was observed last; NULL: none. Borrowed until the next one. */
const json_t *node_object(const struct node *n);
/* The node carries addresses of load balancers: its lease is renewed every second, and says so in
 * leaseDurationSeconds; or it no longer does. Renews at once when that changes. */
void node_set_carrying(struct node *n, bool carrying);
/* When the lease was last renewed, monotonic; 0: never. */
uint64_t node_renewed_us(const struct node *n);
/* Whether the last renewal of the lease is still valid. */
bool node_is_in_touch(const struct node *n);

/* The kernel's limit of processes and threads; 0 when unknown. */
int64_t node_tasks_max(void);
/* The memory that is reserved for the machine itself: a tenth, at least 256 MiB and at most 2 GiB,
 * but never more than a quarter. Pure. */
int64_t node_memory_reserve(int64_t memory_bytes);

/* The status of a node from facts; pure. Conditions in `old` that we do not own are kept. */
struct node_facts {
        const char *name;
        const char *address;
        int64_t cpu_milli, memory_bytes, disk_bytes;
        int64_t memory_available, disk_available, pids_max, pids_used;
        const char *machine_id, *boot_id, *kernel, *os_image, *architecture, *runtime, *version;
        uint64_t now_us;
};
json_t *node_status(const json_t *old, const struct node_facts *facts) _warn_unused_;
/* Whether two statuses differ in more than their heartbeat times. */
bool node_status_differs(const json_t *a, const json_t *b);
