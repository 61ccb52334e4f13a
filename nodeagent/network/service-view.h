/* Services and EndpointSlices as the agent's parts read them: each object is parsed once, when it
 * arrives, and never looked through by names of fields again. Texts are borrowed from the object,
 * which the view keeps. Pure. */
#pragma once

#include "lib/address.h"
#include "lib/json.h"
#include "lib/vector.h"

enum service_protocol { SERVICE_TCP, SERVICE_UDP, SERVICE_SCTP };

struct service_port {
        const char *name; /* "": none */
        enum service_protocol protocol;
        unsigned port, node_port; /* node_port 0: none */
};

/* An address that leads to the service from outside. */
struct service_outside {
        const char *address;
        enum ip_family family;
        bool balanced; /* of a load balancer; otherwise of spec.externalIPs */
        bool proxied;  /* a balancer that sends to node ports: no rules for its address */
};

struct service_view {
        json_t *object;
        const char *ns, *name;
        const char *cluster_ip[FAMILIES]; /* "": none */
        const char *external_name;        /* of type ExternalName; else NULL */
        bool headless;
        bool internal_local, external_local; /* the traffic policies */
        int64_t affinity_s;                  /* 0: no affinity */
        unsigned health_port;                /* spec.healthCheckNodePort; 0: none */
        const json_t *source_ranges;         /* an array of texts, or NULL */
        VECTOR(struct service_port) ports;
        VECTOR(struct service_outside) outside;
};

struct slice_port {
        const char *name; /* "": none */
        enum service_protocol protocol;
        unsigned port;
};

struct slice_endpoint {
        const char *address;
        const char *node, *hostname, *pod_uid; /* "": none */
        bool usable; /* the address is one of the slice's family, in its usual form */
        bool ready, serving, terminating;
        const json_t *zones, *nodes; /* hints: arrays of {name}, or NULL */
};

struct slice_view {
        json_t *object;
        const char *ns, *name;
        char *service; /* "namespace/name"; NULL: of no service */
        bool of_names; /* addressType FQDN: its addresses are no IP addresses */
        enum ip_family family;
        VECTOR(struct slice_port) ports;
        VECTOR(struct slice_endpoint) endpoints;
};

/* Keeps a reference on the object. NULL when out of memory. Ports and addresses that are no valid
 * ones are left out. */
struct service_view *service_view_new(const json_t *service) _warn_unused_;
struct service_view *service_view_free(struct service_view *v);
DEFINE_CLEANUP(struct service_view *, service_view_free);
struct slice_view *slice_view_new(const json_t *slice) _warn_unused_;
struct slice_view *slice_view_free(struct slice_view *v);
DEFINE_CLEANUP(struct slice_view *, slice_view_free);

/* "tcp", "udp", "sctp". */
const char *service_protocol_name(enum service_protocol p);
/* The protocol of a JSON object with `protocol`; TCP when it has none. */
enum service_protocol service_protocol_of(const json_t *port);
/* Whether it is an address of the family in its usual form, which may stand in a ruleset. */
bool address_is_of(const char *address, enum ip_family family);
