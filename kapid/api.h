/* The API server's parts in one place, for requests. */
#pragma once

#include <sys/queue.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "kapid/admission/admission.h"
#include "kapid/cache/cache.h"
#include "kapid/kinds/kind.h"
#include "kapid/store/store.h"
#include "lib/daemon.h"
#include "lib/http-server.h"
#include "lib/random.h"
#include "lib/unit-properties.h"

struct aggregation;
struct alloc;
struct audit;
struct audit_options;
struct bootstrap;
struct compact;
struct conversions;
struct crd_cleanup;
struct crypt;
struct dispatch;
struct documents;
struct fibers;
struct front_proxy;
struct front_proxy_options;
struct leases;
struct oidc;
struct verified;
struct oidc_options;
struct policy_set;
struct pod_proxies;
struct presence;
struct quotas;
struct rbac;
struct request;
struct sign_key;
struct stream_session;
struct sweep;
struct trim;
struct turns;
struct usages;
struct webhooks;

enum {
        API_STREAMS_MAX = 20000, /* half of what is left for one user */
        API_LOG_STREAMS_MAX = 64,
};

struct api_options {
        const char *advertise_address; /* NULL: not published */
        const char *api_address;       /* a further one, which no Service may take; or NULL */
        uint16_t port;
        const char *service_range; /* "10.96.0.0/16", or one of each family (alloc.h) */
        const char *ssh_key_file;  /* NULL: no logs */
        const char *sa_key_pem;    /* NULL: no tokens */
        const char *issuer;
        const struct audit_options *audit;        /* NULL: no audit log */
        const struct oidc_options *oidc;          /* without an issuer: no OpenID Connect */
        char *const *runtime_config;              /* old versions: kapid/kinds/versions.h */
        enum security_level pod_security_default; /* of namespaces without the label */
        char *const *external_ip_ranges;          /* NULL: none */
        struct admission_options admission;
        const struct front_proxy_options *front_proxy; /* NULL: no extension servers (tests) */
        const char *encryption_config; /* an EncryptionConfiguration; NULL: values are plain */
        uint64_t stream_idle_us; /* of exec, attach and port-forward; 0: unlimited */
};

struct api {
        sd_event *event;
        struct daemon *daemon;
        struct api_options options;
        struct kind_registry *kinds;
        struct store *store;
        struct crypt *crypt; /* NULL: values are stored as they are */
        struct caches *caches;
        struct rbac *rbac;
        struct alloc *alloc;
        struct admission_chain *admission;
        struct aggregation *aggregation; /* NULL: there are no extension servers (tests) */
        struct front_proxy *front_proxy; /* NULL likewise */
        struct policy_set *policies;   /* NULL: none count (tests) */
        struct webhooks *webhooks;   /* NULL: none are asked (tests) */
        struct quotas *quotas;       /* what every ResourceQuota counts */
        struct fibers *fibers;       /* work of requests that takes several turns of the loop */
        struct turns *turns;         /* of the writes that are charged to them */
        struct sign_key *jwt;        /* NULL: no service-account tokens */
        struct audit *audit;         /* NULL: nothing is audited */
        struct uuid_source audit_ids;
        struct verified *verified;   /* tokens whose signature is known to be good */
        struct oidc *oidc;           /* NULL: no users of an OpenID Connect issuer */
        struct cache *cluster_users; /* what was revoked (auth/revoked.h) */
        struct documents *documents;
        struct bootstrap *bootstrap;
        struct compact *compact;
        struct conversions *conversions; /* by webhooks of definitions */
        struct crd_cleanup *cleanup; /* of deleted definitions */
        struct store_format *format; /* of what is in the store */
        struct presence *presence;
        struct dispatch *dispatch;
        struct trim *trim;
        struct usages *usages; /* what agents measured */
        bool bootstrapped;     /* the bootstrap objects exist */
        LIST_HEAD(, sweep) sweeps;     /* over encrypted values */
        struct {
                bool running;
                uint64_t rewritten; /* by the last one */
                char *error;        /* of the last one; NULL: none */
        } rewriting;
        struct leases *leases; /* of objects that end by themselves */
        unsigned reads, writes, streams, log_streams, node_streams;
        struct pod_proxies *pod_proxies;
        struct stream_session *sessions;        /* of exec, attach and port-forward */
        LIST_HEAD(open_requests, request) open; /* whose answers are streams */
        struct metric *in_flight[3], *stream_gauge, *watch_events, *unreadable;
        uint64_t apply_secret[2]; /* for the marks of applies (verbs/update.c) */
        struct map *counted; /* the series of answers, by code, verb and resource */
};

/* Wires everything but the listeners. options' strings are borrowed for the API's life. */
int api_new(struct api **ret, struct daemon *d, const struct api_options *o,
                const struct store_options *store, struct problem *p);
struct api *api_free(struct api *a);
DEFINE_CLEANUP(struct api *, api_free);

/* The cache of a kind, whatever its version; NULL when there is no such kind, or no memory. That of
 * pods has an index by their node. */
struct cache *api_cache(struct api *a, const char *group, const char *plural);
/* The cached object of that kind; borrowed until the next change. namespace "": it has none. NULL
 * when there is none. */
struct item *api_find(struct api *a, const char *group, const char *plural, const char *namespace,
                const char *name);

/* Whether it can serve, and if not a sentence why. */
bool api_ready(void *userdata, const char **ret_why);
