/* The steps of an object between the request's bytes and the store, apart from admission and
 * authorization. Pure: no I/O, the time is an argument. The order of a write is the table of steps
 * in write-object.c; decode.c, prepare.c and convert.c hold the functions.
 *
 * The live object of an update has the version that was asked for and the defaults that its kind
 * has now (pipeline/forms.h), whenever it was stored.
 *
 * Objects handed in as json_t * (not const) are changed in place: the caller must own them alone.
 */
#pragma once

#include "kapid/kinds/kind.h"

enum field_validation { FIELD_VALIDATION_WARN, FIELD_VALIDATION_IGNORE, FIELD_VALIDATION_STRICT };
/* "Ignore", "Warn", "Strict", NULL or "" (Warn). Refusal: 422 in p. */
/* options: their kind, for a refusal. */
int field_validation_parse(const char *options, const char *word, enum field_validation *ret,
                struct problem *p);

/* The writer and the time; strategies need it (a CSR records its requestor, conditions carry
 * times). */
struct pipeline_context {
        uint64_t now_us;      /* wall clock */
        const char *user;     /* may be NULL inside kapid itself */
        const char *user_uid; /* may be NULL */
        char *const *groups;  /* may be NULL */
};

struct decoded {
        json_t *object;    /* owned */
        bool status_alone; /* the object shares all but its status with another one, which is not to
                            * change (kapid/patch/status.h) */
        char **warnings;   /* texts for Warning headers: `unknown field "spec.x"` */
        const struct yaml_breath *breath; /* for the reader of a long body; NULL: none */
};
void decoded_done(struct decoded *d);
#define _cleanup_decoded_ _cleanup_(decoded_done)

/* Bytes of a body -> object of the kind (or of the subresource's body kind when sub is not NULL),
 * pruned of unknown fields and normalised: null is absent, quantities, times and integers in their
 * canonical form. Content types: application/json, application/yaml,
 * application/vnd.kubernetes.protobuf, NULL or
 * "" (JSON). Refusals in p: 400 BadRequest (unreadable, wrong apiVersion or kind, strict errors),
 * 415. Values of a wrong type are 400, as typed decoding does for built-in kinds, and left to
 * validation (422) for custom ones. */
int pipeline_decode(const struct kind *k, const struct kind_subresource *sub,
                const char *content_type, const void *data, size_t n,
                enum field_validation validation, struct decoded *ret, struct problem *p);
/* The same for a body that is not of a served kind (DeleteOptions): checks its kind, and its types
 * by the schema; unknown fields are ignored. Never called with an empty body. */
int pipeline_decode_plain(const struct schema *s, const char *kind, const char *content_type,
                const void *data, size_t n, json_t **ret, struct problem *p);
/* Prunes and normalises an object that came otherwise (a patch's result). unknown (may be NULL)
 * collects `unknown field "..."` texts. Refusal as for pipeline_decode. */
int pipeline_normalise(const struct kind *k, json_t *object, char ***unknown, struct problem *p);

/* Fills in defaults of the schema and of the strategy. */
int pipeline_default(const struct kind *k, json_t *object);
/* The same below the status alone, which no strategy has defaults for. */
int pipeline_default_status(const struct kind *k, json_t *object);

/* A stored object as the schema of its kind has it now: without the fields that the schema has not,
 * with the defaults that it lacks (a definition may have changed since it was written). A new
 * reference to the object itself, or to a copy; NULL when out of memory. */
json_t *pipeline_fill(const struct kind *k, json_t *stored);
/* The same by the schema of the version that it is stored in. When that is not the kind's, only the
 * defaults: what was written through another version stays for its readers. Then, when it was
 * converted, what the kind's version has no field for goes. Its defaults are for what is written in
 * it. */
json_t *pipeline_fill_stored(const struct kind *k, json_t *stored);
json_t *pipeline_prune(const struct kind *k, json_t *converted);
/* Whether pipeline_fill() surely has nothing to do: a look that copies nothing. */
bool pipeline_is_filled(const struct kind *k, const json_t *stored);

/* Whether a PUT must carry a resourceVersion (leases, definitions, custom resources): an update
 * that names none would overwrite what another has written since. */
bool pipeline_needs_version(const struct kind *k);

/* Strategy's part of a create: status dropped (kinds with a status subresource but Node),
 * generation = 1, what the server sets (phase, finalizers of a namespace, controller-uid labels of
 * a Job: metadata.uid must be there). */
int pipeline_prepare_create(const struct kind *k, json_t *object, const struct pipeline_context *c);
/* sub NULL for the main path. Main writes keep the old status; status (and approval, finalize)
 * writes keep everything else but labels and annotations are the old ones too; generation grows by
 * the rule. */
int pipeline_prepare_update(const struct kind *k, const struct kind_subresource *sub,
                const json_t *old, json_t *object, const struct pipeline_context *c);

/* What is validated. warnings (may be NULL): what an update breaks of its definition in parts that
 * it leaves as they were. now_us(clock): processor time, for the bound on rules; called often, so
 * that it may give the loop to others (kapid_core knows no loop). NULL: the wall's. */
struct pipeline_validation {
        const struct kind *kind;
        const struct kind_subresource *sub; /* of an update; may be NULL */
        const json_t *old;                  /* NULL: a create */
        const json_t *object;
        char ***warnings;
        uint64_t (*now_us)(void *clock);
        void *clock;
};
int pipeline_validate(const struct pipeline_validation *v, struct problem *p);
/* 422 Invalid in p with every finding as a cause: `Pod "x" is invalid: spec.containers[0].name:
 * Required value`. */
int pipeline_validate_create(const struct kind *k, const json_t *object, struct problem *p);
/* Validates the new object and what must not change. What breaks a rule of its definition in parts
 * that the update leaves as they were is a warning (warnings may be NULL). */
int pipeline_validate_update(const struct kind *k, const struct kind_subresource *sub,
                const json_t *old, const json_t *object, char ***warnings, struct problem *p);
/* Appends what the writer of a valid object should know: items of keyed lists that hide earlier
 * ones, finalizers (that old has not; it may be NULL) whose names others may use too. -ENOMEM. */
int pipeline_warnings(
                const struct kind *k, const json_t *old, const json_t *object, char ***warnings);
/* A subresource's own body (Binding, Eviction, TokenRequest, Scale): schema only. Defaults it
 * first. */
int pipeline_validate_body(const struct kind *k, const struct kind_subresource *sub, json_t *body,
                struct problem *p);

/* The grace period in seconds of a delete: requested is the option's value or -1. 0: goes at once.
 * Only pods have one; -EINVAL never. */
int64_t pipeline_grace_seconds(const struct kind *k, const json_t *object, int64_t requested);
/* The finalizer that the first delete of an object of the kind adds; NULL: none. */
const char *pipeline_delete_finalizer(const struct kind *k);
/* Changes by a delete in an object that it only marks (a Namespace's phase). */
int pipeline_prepare_delete(const struct kind *k, json_t *object);
/* Whether finalizers hold the object: a delete marks it only. */
bool pipeline_is_held(const struct kind *k, const json_t *object);
/* Whether a write of it is answered once the caches have it, because admission reads them. */
bool pipeline_is_read_at_once(const struct kind *k);
/* Whether a write of that subresource counts what the caches hold, and needs fresh ones. */
bool pipeline_counts_status(const struct kind *k, const struct kind_subresource *sub);
/* Whether a delete that removes the object answers with it (pods), not with a Status. */
bool pipeline_returns_deleted(const struct kind *k);
/* After the store has taken a write: what follows at once from it (a definition's kinds). */
void pipeline_stored(const struct kind *k, struct kind_registry *kinds, const json_t *object);

/* A subresource that shows the object in another kind's form (kind_subresource.form). */
struct subresource_form {
        /* A new reference, NULL when out of memory. */
        json_t *(*get)(const struct kind *k, const json_t *object);
        /* Puts what the body says into the object, in place. A body with another
         * metadata.resourceVersion than the object's is the caller's 409. */
        int (*put)(const struct kind *k, json_t *object, const json_t *body, struct problem *p);
};
/* Scale (autoscaling/v1): the replicas. */
extern const struct subresource_form scale_form;
