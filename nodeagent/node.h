/* This node's Node object and Lease: creates and renews them, and reports the node's status. */
#pragma once

#include "nodeagent/agent.h"
#include "nodeagent/eviction-plan.h"

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
/* Writes the status at once when it has changed (a pressure came or went). */
void node_report(struct node *n);
/* The machine is being shut down: the node is not ready; or it is not after all. Renews the lease,
 * too: node_renewed_us() tells whether the control plane has heard of it. */
void node_set_shutdown(struct node *n, bool shutting_down);
/* When the lease was last renewed, monotonic; 0: never. */
uint64_t node_renewed_us(const struct node *n);
/* Whether the last renewal of the lease is still valid. */
bool node_is_in_touch(const struct node *n);

/* The kernel's limit of processes and threads; 0 when unknown. */
int64_t node_tasks_max(void);
/* The memory that is reserved for the machine itself: a tenth, at least 256 MiB and at most 2 GiB,
 * but never more than a quarter. Pure. */
int64_t node_memory_reserve(int64_t memory_bytes);

/* How many pods a node takes whose range has this many addresses for them (0: not known): 250 for a
 * /24, 500 for a /23 and so on, at most 4000, and never more than there are addresses. Pure. */
int64_t node_pods_max(uint32_t addresses);

/* The status of a node from facts; pure. Conditions in `old` that we do not own are kept. */
struct node_facts {
        const char *name;
        const char *address;
        const char *address6; /* NULL or "": none */
        int64_t cpu_milli, memory_bytes, disk_bytes, pods_max;
        bool pressure[NODE_PRESSURES];
        bool shutting_down;
        const char *machine_id, *boot_id, *kernel, *os_image, *architecture, *runtime, *version;
        const json_t *images; /* Node.status.images; NULL: not known */
        uint64_t now_us;
};
json_t *node_status(const json_t *old, const struct node_facts *facts) _warn_unused_;
/* Whether two statuses differ in more than their heartbeat times. */
bool node_status_differs(const json_t *a, const json_t *b);
