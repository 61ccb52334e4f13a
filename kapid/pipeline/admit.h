/* A request, and a write of it, as admission sees them. */
#pragma once

#include "kapid/admission/admission.h"
#include "kapid/pipeline/write.h"

/* Whether the object of a create (or of an update that creates) may be made where it is asked for;
 * may be refused on caches that are moments old. */
int request_may_create(struct request *request, struct problem *p);
/* The same for a write that has waited; now: its kind as it is at present. */
int write_may_create(struct write *w, const struct kind *now, struct problem *p);
/* ADMISSION_MAY_CONNECT: whether the user may have a stream into the object. */
int request_may_connect(struct request *request, const json_t *live, struct problem *p);
/* One stage for an object that is created (live NULL) or changed. ADMISSION_MUTATE may change it.
 */
int write_admit(struct write *w, enum admission_stage stage, const json_t *live, json_t *object,
                struct problem *p);
/* Whether what is stored in the namespace is charged to any quota. */
bool write_is_charged(const struct write *w);
/* ADMISSION_CHARGE for what w->decision is to store. */
int write_charge(struct write *w, const json_t *live, struct problem *p);
/* ADMISSION_MAY_DELETE and ADMISSION_DELETED. */
int write_admit_deletion(
                struct write *w, enum admission_stage stage, const json_t *live, struct problem *p);
