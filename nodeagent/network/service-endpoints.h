/* Which endpoints of a service a node uses: ready ones, those that topology hints give to the node
 * or its zone, those of the node itself, and serving terminating ones when no other is left. Pure.
 */
#pragma once

#include "nodeagent/network/service-view.h"

/* The slices of a service; borrowed. */
struct slice_list { /* a vector */
        struct slice_view **items;
        size_t count, allocated;
};

/* Where the node stands. Borrowed; zone "": not known. */
struct node_place {
        const char *name, *zone;
};

struct endpoint {
        const char *address; /* borrowed from the slice */
        unsigned port;
};

struct endpoint_list { /* a vector, sorted, without duplicates */
        struct endpoint *items;
        size_t count, allocated;
};

struct endpoint_choice {
        struct endpoint_list cluster; /* for the traffic policy Cluster */
        struct endpoint_list local;   /* for Local */
        bool any;                     /* some endpoint serves, here or elsewhere */
};

/* The endpoints of one port and family, as kube-proxy's CategorizeEndpoints (KEP-1669, KEP-2433,
 * KEP-3015) selects them. slices may be NULL. The caller ends *ret with endpoint_choice_done().
 * -ENOMEM. */
int endpoints_choose(const struct slice_list *slices, const struct service_port *port,
                enum ip_family family, const struct node_place *node, struct endpoint_choice *ret);
void endpoint_choice_done(struct endpoint_choice *c);
/* How many endpoints on this node are ready: the answer for spec.healthCheckNodePort. */
size_t endpoints_ready_here(const struct slice_list *slices, const char *node_name);
