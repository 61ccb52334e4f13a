/* unbound's configuration and unit, as text and data. Pure. */
#pragma once

#include "lib/buf.h"
#include "lib/json.h"
#include "lib/problem.h"

#define DNS_UNIT "keelson-dns.service"
#define DNS_VIEW "keelson"

struct dns_stub {
        char *domain;   /* "corp.example" */
        char **servers; /* in unbound's form */
};

struct dns_config {
        const char *address; /* of the name server: "10.96.0.10" */
        const char *domain;  /* of the cluster: "cluster.local" */
        const char *socket_path, *records_path;
        char *const *zones;   /* reverse zones of the cluster's addresses */
        char *const *clients; /* ranges and addresses that may ask */
        char *const *ranges;  /* of the cluster: no answer from outside may lead there */
        char *const *upstreams;
        const struct dns_stub *stubs;
        size_t stub_count;
};
/* The text of unbound.conf. -ENOMEM. */
int dns_config_text(const struct dns_config *c, struct buf *out);

/* "192.0.2.53", "192.0.2.53:5353", "2001:db8::1" or "[2001:db8::1]:5353" -> unbound's form
 * "192.0.2.53@5353"; caller frees. NULL: it is none, or out of memory. */
char *dns_server_parse(const char *text) _warn_unused_;
/* The name servers of a resolv.conf but `own`, at most 8. -ENOMEM. */
int dns_upstreams_of(const char *resolv_conf, const char *own, char ***ret);
/* "corp.example=192.0.2.53": adds the server to the domain's stub in *stubs. -EINVAL with p;
 * -ENOMEM. */
int dns_stub_add(struct dns_stub **stubs, size_t *count, const char *text, struct problem *p);
void dns_stubs_free(struct dns_stub *stubs, size_t count);

/* The unit for systemd_runtime's units. program: unbound's path; library_dir: where its libraries
 * are, or NULL; runtime_dir: below /run, for its socket. */
json_t *dns_unit(const char *program, const char *library_dir, const char *config_path,
                const char *runtime_dir) _warn_unused_;
