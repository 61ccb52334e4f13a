/* ConfigMap kube-system/keelson-info: what a join needs, where every administrator can read it:
 * "server" (the URL for nodes), "api-address" (of --api-address; absent: none), "ca.crt",
 * "ssh-key", the ranges. */
#pragma once

#include "kctl/machine.h"
#include "kctl/ranges.h"

/* Writes it; the keys are read from m, a machine of the control plane. api may be NULL. */
int info_publish(struct kctl *k, struct machine *m, const struct cluster_ranges *ranges,
                const char *server, const char *api, struct problem *p);
/* Changes server and api-address alone. */
int info_publish_address(struct kctl *k, const char *server, const char *api, struct problem *p);
/* Its data. -ENOENT with p: there is none. */
int info_read(struct kctl *k, json_t **ret, struct problem *p);
/* The servers that nodes and users are to know: the one of `server` first, then those of the
 * control plane's machines. ret ends with NULL. */
int info_servers(struct kctl *k, char ***ret, struct problem *p);
/* A file of a machine, whole. Caller frees; NULL with p. */
char *machine_read(struct machine *m, const char *path, struct problem *p);
