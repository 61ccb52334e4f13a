/* The parts of the controller of load balancers. A view is what the plan works on: the pools, the
 * addresses in use as the pools' status lists them, and what may not be given. It is changed by
 * lb_allocate() and lb_choose_nodes(), and is then what the pools' status shall be. */
#pragma once

#include "lib/address.h"
#include "lib/map.h"
#include "lib/selector.h"
#include "lib/vector.h"
#include "reconcilers/controller.h"

#define LB_CLASS "keelson.dev/address-pool"
#define LB_FINALIZER "service.kubernetes.io/load-balancer-cleanup"
#define LB_CONDITION "keelson.dev/AddressAssigned"
/* The lease that the controller itself renews: proof that renewals get through. No node may have
 * this name. */
#define LB_PULSE "keelson.load-balancer"
#define LB_LEASE_NAMESPACE "kube-node-lease"
/* Of one pool: its status is one object. */
enum { LB_ADDRESSES_MAX = 1024 };

struct lb_pool {
        const json_t *object; /* borrowed from the world */
        VECTOR(struct address_range) ranges;
        struct label_selector *namespaces, *services, *nodes; /* NULL: all */
        int64_t priority;
        bool auto_assign;
        size_t in_use;
};

struct lb_entry {
        struct address address;
        char text[ADDRESS_TEXT_SIZE];
        struct lb_pool *pool;
        char *node;       /* NULL: none */
        json_t *services; /* keys "namespace/name", in the order in which they got it */
};

struct lb_view {
        const struct world *w;
        VECTOR(struct lb_pool) pools; /* in the order in which they are used */
        struct map *entries;          /* text of the address -> struct lb_entry */
        struct map *reserved;         /* text -> whose it is (char *); NULL: not looked at yet */
};

/* Reads the pools and their status. Addresses that are in no pool any longer are left out. */
void lb_view_init(struct lb_view *v, const struct world *w);
void lb_view_done(struct lb_view *v);
#define _cleanup_lb_view_ _cleanup_(lb_view_done)

/* Whether the service is to have an address from here. */
bool lb_wants(const json_t *service);
/* Whether its class leaves it to this controller, whatever its type. */
bool lb_is_ours(const json_t *service);
/* Whether its status shows the address. */
bool lb_shows(const json_t *service, const char *address);
/* Whether the service wants an address of the family (4 or 16 octets). */
bool lb_wants_family(const json_t *service, unsigned size);
/* Whether the service may have the entry's address: it is one of those that it asks for, and the
 * services that had it before share it. */
bool lb_accepts(const struct lb_view *v, const struct lb_entry *e, const json_t *service);
/* Whether the entry lists the service. */
bool lb_lists(const struct lb_entry *e, const char *key);

/* Why a service gets no address: reason is a constant in CamelCase. */
struct lb_refusal {
        const char *reason;
        char *message;
};
/* An address of the family for the service: an entry that it may share, or a new one. NULL, and
 * *ret says why; its message is the caller's. */
struct lb_entry *lb_place(
                struct lb_view *v, const json_t *service, unsigned size, struct lb_refusal *ret);
/* Releases what services no longer have, keeps what they show, places those without. */
void lb_allocate(struct lb_view *v);
/* Chooses a node for every address. a: when to look again. */
void lb_choose_nodes(struct lb_view *v, struct actions *a);
