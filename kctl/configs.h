/* The daemons' configuration on a machine of the control plane (docs/names.md), and how that of an
 * earlier version is brought up to date. */
#pragma once

#include "kctl/machine.h"
#include "kctl/ranges.h"

enum { CONFIGS_PORT_DEFAULT = 6443 };

struct config_spec {
        const char *hostname; /* names the store's member */
        const char *address;  /* under which nodes reach the API */
        bool has_others; /* further members of the store follow: it is reached at the address */
        uint16_t port;
        const struct cluster_ranges *ranges;
};

/* Writes /etc/keelson/{kstored,kapid,kreconciled,kschedd,kgitd}.yaml. */
int configs_write(struct machine *m, const struct config_spec *spec, struct problem *p);
/* The ranges in these files, which stay as long as the cluster: those that were given to a later
 * `up` (NULL, 0: not given) must be the same. -EINVAL with p otherwise. */
int configs_ranges(struct machine *m, const char *pods, const char *services,
                const uint32_t bits[FAMILIES], struct cluster_ranges *ret, struct problem *p);
/* Where the API of this installation is, as its configuration says: the machine's own address and
 * the one of --api-address (ret_api may be NULL); NULL where it says nothing. */
int configs_address(struct machine *m, char **ret_address, char **ret_api, uint16_t *ret_port,
                struct problem *p);
/* Makes them others; api NULL: none. */
int configs_set_address(
                struct machine *m, const char *address, const char *api, struct problem *p);
/* Adds to the files of an earlier version: Unix sockets for health and metrics where there
 * were loopback ports, and the store's socket for its group. Lines that an administrator changed
 * are kept. */
int configs_refresh(struct machine *m, struct problem *p);

/* Starts these daemons of the control plane ("kstored kapid"; NULL: all, after their units were
 * installed); those that run with what there is now are left alone. ret (may be NULL; caller frees)
 * are the names of the others. */
int configs_start(struct machine *m, const char *daemons, char **ret, struct problem *p);

enum store_state {
        STORE_HAS_AUTHORITY,    /* nothing to do */
        STORE_SHARES_AUTHORITY, /* the cluster's, as earlier versions made it, and one member */
        STORE_IS_ELSEWHERE,     /* members or clients that an administrator set up, or an etcd */
};
/* How the store of this control plane authenticates its clients. */
int configs_store_state(struct machine *m, enum store_state *ret, struct problem *p);
/* Makes kstored.yaml and kapid.yaml name the store's own authority and the clients and members
 * that it accepts. */
int configs_name_store_authority(struct machine *m, struct problem *p);
