/* Built-in admission: what depends on other objects or on who asks, so that no schema and no
 * strategy can say it. Reads the caches, writes nothing. */
#pragma once

#include "kapid/pipeline/write.h"

/* The namespace of a create exists and is not going away: 404, 403. */
int admission_namespace(struct request *r, struct problem *p);
/* Mutating, before validation: fills in what other objects decide (service account, priority,
 * addresses of a Service), and refuses what the user may not write. */
int admission_create(struct write *w, json_t *object, struct problem *p);
int admission_update(struct write *w, const json_t *live, json_t *object, struct problem *p);
/* After validation; live NULL: a create. */
int admission_validate(
                struct write *w, const json_t *live, const json_t *object, struct problem *p);
/* Warns of fields, new with this write, that have no effect (no-effect.c). */
int warn_no_effect(struct write *w, const json_t *live, const json_t *object, struct problem *p);
/* An object goes: refuses what must stay, gives back what it held. */
int admission_delete(struct write *w, const json_t *object);
int admission_may_delete(struct write *w, const json_t *object, struct problem *p);
