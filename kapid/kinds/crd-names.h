/* The names of CustomResourceDefinitions: each belongs to one definition of a group. Pure. */
#pragma once

#include "kapid/kinds/kind.h"

/* Sets status.acceptedNames and the conditions NamesAccepted and Established of a definition by
 * the names of the other definitions of its group in the registry. A name in use is not
 * accepted: `old` (the definition before, may be NULL) says which one stays in its place. A
 * definition that was established stays so. 1 when something changed, 0, -ENOMEM. */
int crd_settle_names(
                const struct kind_registry *r, const json_t *old, json_t *crd, uint64_t now_us);
/* Whether its kinds are served. One without conditions (written before there were any) is. */
bool crd_is_established(const json_t *crd);
/* Makes the kinds of an established definition and puts them into the registry; of another one,
 * none. Kinds that cannot be served are logged. */
void crd_serve(struct kind_registry *kinds, const json_t *crd);
/* Whether it waits for names that others have. */
bool crd_is_waiting(const json_t *crd);
/* Sets a condition; its time stays while its status does. 0 or -ENOMEM. */
int crd_set_condition(json_t *crd, const char *type, const char *status, const char *reason,
                const char *message, uint64_t now_us);
