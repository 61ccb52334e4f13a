/* The configuration of encryption on machines of the control plane: sealed by systemd-creds, or in
 * a file of root's where that is not possible, and the unit's credential either way. */
#pragma once

#include "kctl/machine.h"

/* On a new control plane: makes a key. Before the units are started. Prints how it is kept. */
int encryption_make(struct machine *m, struct problem *p);
/* A further machine gets what the first has, perhaps nothing. */
int encryption_copy(struct machine *from, struct machine *m, struct problem *p);
/* Seals what a restored backup, or a time without systemd-creds, has left in a file. 1 when the
 * machine has a configuration. */
int encryption_adopt(struct machine *m, struct problem *p);

struct encryption_place {
        json_t *config;   /* NULL: none */
        const char *kept; /* for people: how; static */
};
void encryption_place_done(struct encryption_place *place);
/* -EBUSY with p where an administrator configured kapid with a file of his own. */
int encryption_read(struct machine *m, struct encryption_place *ret, struct problem *p);
/* config NULL: removes it. kapid reads it when it starts again. */
int encryption_write(struct machine *m, const json_t *config, struct problem *p);
