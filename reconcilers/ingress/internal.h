/* Shared by the parts of the decision; decide.h is the interface. */
#pragma once

#include "lib/buf.h"
#include "lib/json.h"
#include "lib/problem.h"
#include "reconcilers/ingress/decide.h"

enum {
        INGRESS_RULES_MAX = 10000, /* paths of one rule */
        INGRESS_PATH_MAX = 1024,
        INGRESS_CERT_MAX = 256 << 10, /* bytes of a chain or a key */
        INGRESS_CERTS_MAX = 4 << 20   /* of all files of a namespace */
};

/* A decision in the making. */
struct ingress_draft {
        const struct ingress_view *view;
        json_t *backends, *files, *certificates, *findings, *served, *uses;
        json_t *exact, *prefix, *fallback; /* {key: value of the map} */
        json_t *owners;   /* {"exact key" or the like: "ns/name" of the Ingress that has it} */
        json_t *hosts;    /* {host: namespace} */
        json_t *unusable; /* {file of a certificate: why} */
        json_t *sizes;    /* {namespace: bytes of its certificates} */
        json_t *names;    /* {SNI name: certificate's file name} */
};

/* The settings that annotations of an Ingress make. */
struct ingress_settings {
        bool ssl_redirect, https_backend;
        uint64_t body_max;            /* bytes; 0: no limit */
        uint64_t connect_ms, read_ms; /* 0: the defaults */
};

void ingress_finding(struct ingress_draft *d, const json_t *ingress, const char *reason,
                const char *fmt, ...) _printf_(4, 5);
/* Whether the namespace of the Ingress may have rules and certificates for the host ("": all
 * hosts). The oldest Ingress with the host decides; a refusal is a finding. */
bool ingress_claim_host(struct ingress_draft *d, const json_t *ingress, const char *host);
/* The Service or Secret of that name; NULL when there is none. Remembers that it was looked for. */
const json_t *ingress_service(struct ingress_draft *d, const char *ns, const char *name);
const json_t *ingress_secret(struct ingress_draft *d, const char *ns, const char *name);
/* An RFC 1123 subdomain, also "*.<subdomain>" when wildcard is set. */
bool ingress_is_host(const char *s, bool wildcard);
/* Reads the annotations keelson.dev/; invalid ones are findings, and their defaults count. */
void ingress_read_settings(
                struct ingress_draft *d, const json_t *ingress, struct ingress_settings *ret);
/* The name of the backend for an IngressBackend, which is added when it is new. Without a service
 * that can be used it is the one that answers 503. Borrowed. */
const char *ingress_backend(struct ingress_draft *d, const json_t *ingress,
                const struct ingress_settings *s, const json_t *backend);
/* The certificates of spec.tls. */
void ingress_add_tls(struct ingress_draft *d, const json_t *ingress);
/* The default certificate, and the list of all. */
void ingress_finish_tls(struct ingress_draft *d);
/* Whether spec.tls has the host. */
bool ingress_has_tls(const json_t *ingress, const char *host);
/* The text up to the backends, and the maps. */
char *ingress_main_text(const struct ingress_options *o) _warn_unused_;
char *ingress_map_text(const json_t *map) _warn_unused_;
/* The name of the backend that answers 503. */
#define INGRESS_UNAVAILABLE "unavailable"
