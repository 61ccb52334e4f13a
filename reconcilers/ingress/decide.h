/* The decision of kingressd: from Ingresses, their classes, Services, EndpointSlices and Secrets to
 * a configuration of haproxy. Pure: no clock, no files, no API.
 *
 * The result is a JSON object, so that it can be compared, stored and printed as a whole:
 *
 *      main          text of haproxy.cfg up to the backends; @DIR@ stands for the folder of its
 * files backends      {name: {section: text, endpoints: ["10.244.1.7:8080", ...]}}; text.h writes
 *                    the servers, because their places (slots) depend on the past
 *      files         {name: text}: the maps and the list of certificates
 *      certificates  {name: PEM of chain and key}: secret
 *      findings      [{ingress: "ns/name", reason, message}]: faults that users should see
 *      served        ["ns/name"]: the Ingresses that are ours
 *      uses          {"service ns/name": true, "secret ns/name": true}: what it looked for; changes
 *                    of other objects of these kinds are no reason to decide again
 *
 * Routes: keys of the maps are host and path, values "BACKEND/" or "BACKEND/redirect". Of the hosts
 * the exact one is looked up first, then the wildcard of one label, then the rules without a host;
 * in each of them Exact before the longest Prefix. Default backends come last. */
#pragma once

#include "lib/json.h"

/* What the configuration needs beside the objects; all borrowed. */
struct ingress_options {
        const char *bind_address; /* "*", "127.0.0.1"; "[::]" accepts IPv4, too */
        unsigned http_port, https_port;
        unsigned threads, connections_max;
        const char *run_dir;             /* the admin socket is there */
        const char *default_certificate; /* "namespace/name" of a Secret, or NULL */
        const char *fallback_pem;        /* certificate and key for all other names */
        bool share_hosts;                /* rules for one host may be in several namespaces */
};

struct ingress_view {
        const struct ingress_options *options;
        const json_t *ingresses, *classes; /* arrays, in any order */
        const json_t *refused; /* {"namespace/name@resourceVersion of a Secret": why}, or NULL */
        /* NULL when there is none; borrowed. */
        const json_t *(*service)(void *data, const char *ns, const char *name);
        const json_t *(*secret)(void *data, const char *ns, const char *name);
        /* Appends the EndpointSlices of a Service to the array. */
        void (*slices)(void *data, const char *ns, const char *service, json_t *ret);
        void *data;
};

/* A new object as described above. Never NULL: out of memory ends the program. */
json_t *ingress_decide(const struct ingress_view *view) _warn_unused_;
/* The key of a Secret in ingress_view.refused. Caller frees. */
char *ingress_secret_mark(const json_t *secret) _warn_unused_;
/* Takes out of ingress_view.refused what is about Secrets that have changed or are gone. (What is
 * about the others must stay: a decision with them is refused as a whole.) */
void ingress_forget_refused(const struct ingress_view *view, json_t *refused);
/* Whether two decisions differ at most in endpoints and findings: then no reload is needed. */
bool ingress_same_structure(const json_t *a, const json_t *b);
