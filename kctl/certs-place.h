/* Where the keys and certificates of a control plane are: a folder of this machine, or
 * /etc/keelson/pki on a machine over SSH. */
#pragma once

#include "kctl/machine.h"

struct certs_place {
        struct machine *machine; /* NULL: this one */
        char *dir;
        char *name;   /* in messages and tables */
        bool is_dev;  /* the folder of `kctl dev` */
        bool is_connected;
        char *own_kubeconfig; /* --kubeconfig as it was given, once certs_connect() replaced it */
};
void certs_place_done(struct certs_place *place);

/* where: "user@host", or NULL for this machine, whose folder --dir may name. p when there is no
 * control plane. */
int certs_place_open(
                struct certs_place *ret, struct kctl *k, const char *where, struct problem *p);
/* A file of the folder; -ENOENT without p when it is not there. */
int certs_place_read(
                const struct certs_place *place, const char *name, char **ret, struct problem *p);
/* Atomically. */
int certs_place_write(const struct certs_place *place, const char *name, const char *text,
                bool secret, struct problem *p);
/* 0 also when it is not there. */
int certs_place_remove(const struct certs_place *place, const char *name, struct problem *p);
/* Where the administrator's kubeconfig is, from the folder. */
const char *certs_place_admin(const struct certs_place *place);
