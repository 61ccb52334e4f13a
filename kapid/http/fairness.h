/* Which request is served next (as priority and fairness, KEP-1040, in spirit). Requests belong to
 * a level by user and resource, and within it to a flow (a user). Flows are served by their cost so
 * far, in a virtual time (start-time fair queuing), so that a user with a thousand
 * requests delays another user's request at most by the one that is running. Each level has seats:
 * a request holds as many as it is wide (large lists, large bodies) until its answer has been
 * taken; a flow gets at most half of those that are free. Queues and waiting times are bounded.
 * Pure: time comes in, tickets come out. */
#pragma once

#include <sys/queue.h>

#include "lib/base.h"

enum fairness_level {
        FAIRNESS_EXEMPT,    /* root and the cluster's administrators: never refused */
        FAIRNESS_SYSTEM,    /* nodes, controllers, the scheduler; leases of all of them */
        FAIRNESS_WORKLOAD,  /* users and service accounts */
        FAIRNESS_CATCH_ALL, /* anonymous users */
        FAIRNESS_LEVELS,
};

enum {
        FAIRNESS_FLOW_QUEUE_MAX = 1000, /* requests of one flow that wait */
        FAIRNESS_WAIT_US = 30 * 1000 * 1000,
};

enum fairness_state { TICKET_IDLE, TICKET_QUEUED, TICKET_SEATED };

struct fairness_flow;
/* Embedded in a request; zero-initialise. */
struct fairness_ticket {
        struct fairness_flow *flow;
        TAILQ_ENTRY(fairness_ticket) entry;
        enum fairness_state state;
        bool seated; /* it holds seats, also while it waits to be continued */
        bool streaming;
        unsigned width;
        uint64_t queued_us;
};

struct fairness_level_state {
        const char *name;
        unsigned seats_max, seats; /* seats that are taken */
        unsigned queued;
        uint64_t dispatched, rejected;
};

struct fairness;
struct fairness *fairness_new(void) _warn_unused_;
struct fairness *fairness_free(struct fairness *f);
DEFINE_CLEANUP(struct fairness *, fairness_free);

/* The level of a request. groups: NULL-terminated or NULL. resource "" for plain paths. */
enum fairness_level fairness_classify(
                const char *user, char *const *groups, const char *group, const char *resource);
/* Queues a ticket. -EBUSY: too many wait already; -ENOMEM. */
int fairness_enqueue(struct fairness *f, struct fairness_ticket *t, enum fairness_level level,
                const char *flow, unsigned width, uint64_t now_us);
/* Queues one that runs again, with its seats, behind its flow's others of this kind: it has more to
 * do. Those and the new ones have turns one by one. */
void fairness_yield(struct fairness *f, struct fairness_ticket *t, uint64_t now_us);
/* Takes the next one off its queue and seats it. NULL: none waits, or none that fits in. */
struct fairness_ticket *fairness_next(struct fairness *f);
/* Whether fairness_next() would take this one. */
bool fairness_is_next(const struct fairness *f, const struct fairness_ticket *t);
/* One that has waited longer than FAIRNESS_WAIT_US without a seat; it is taken off. NULL: none. */
struct fairness_ticket *fairness_overdue(struct fairness *f, uint64_t now_us);
/* The time that its last run took. */
void fairness_charge(struct fairness *f, struct fairness_ticket *t, uint64_t cost_us);
/* Gives its seats back, or takes it off its queue. Fine in any state. */
void fairness_leave(struct fairness *f, struct fairness_ticket *t);
/* A seated ticket becomes a stream: it holds a stream in place of its seats. false: its flow has
 * half of the streams that are left already; nothing changed. */
bool fairness_stream(struct fairness *f, struct fairness_ticket *t, unsigned streams_max);

const struct fairness_level_state *fairness_level(const struct fairness *f, enum fairness_level l);
size_t fairness_flows(const struct fairness *f);
size_t fairness_queued(const struct fairness *f);
