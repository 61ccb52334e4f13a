/* The object machine: what happens to an object between the request's bytes and the store, apart
 * from admission and authorization. Pure: no I/O, the time comes in. The order of a write:
 *
 *   create:  machine_decode -> (api: name, namespace, uid, creationTimestamp) -> machine_default
 *            -> managed_update -> machine_prepare_create -> admission -> machine_validate_create ->
 * store update:  machine_decode -> (api: server-owned metadata from the old object) ->
 * machine_default
 *            -> managed_update -> machine_prepare_update -> admission -> machine_validate_update
 *            -> json_equal with the old one? nothing is written -> store
 *
 * The old object of an update has the defaults of its kind as it is now (machine_fill), whenever it
 * was stored. managed_update stands right after the defaults: what the server adds later belongs to
 * nobody. patch:   patch_run (patch.h) or apply_run (managed.h) instead of decode, then as update
 * (or create)
 *
 * Objects handed in as json_t * (not const) are changed in place: the caller must own them alone.
 */
#pragma once

#include "kapid/kinds/kind.h"

enum field_validation { FIELD_VALIDATION_WARN, FIELD_VALIDATION_IGNORE, FIELD_VALIDATION_STRICT };
/* "Ignore", "Warn", "Strict", NULL or "" (Warn). Refusal: 422 in p. */
int field_validation_parse(const char *word, enum field_validation *ret, struct problem *p);

/* Who writes and when; strategies need it (a CSR records its requestor, conditions carry times). */
struct machine_context {
        uint64_t now_us;      /* wall clock */
        const char *user;     /* may be NULL inside kapid itself */
        const char *user_uid; /* may be NULL */
        char *const *groups;  /* may be NULL */
};

struct decoded {
        json_t *object;  /* owned */
        char **warnings; /* texts for Warning headers: `unknown field "spec.x"` */
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
int machine_decode(const struct kind *k, const struct kind_subresource *sub,
                const char *content_type, const void *data, size_t n,
                enum field_validation validation, struct decoded *ret, struct problem *p);
/* Whether machine_decode takes that content type at all (415 otherwise). */
bool machine_can_decode(const char *content_type);
/* DeleteOptions in any of the encodings; an empty body is NULL. */
int machine_decode_delete_options(const char *content_type, const void *data, size_t n,
                json_t **ret, struct problem *p);
/* Prunes and normalises an object that came otherwise (a patch's result). unknown (may be NULL)
 * collects `unknown field "..."` texts. Refusal as for machine_decode. */
int machine_normalise(const struct kind *k, json_t *object, char ***unknown, struct problem *p);

/* Fills in defaults of the schema and of the strategy. */
int machine_default(const struct kind *k, json_t *object);

/* A stored object with the defaults that its kind has now and it lacks (a definition may have got
 * new ones since): a new reference to the object itself, or to a copy; NULL when out of memory. */
json_t *machine_fill(const struct kind *k, json_t *stored);

/* Whether a PUT must carry a resourceVersion (leases, definitions, custom resources): an update
 * that names none would overwrite what another has written since. */
bool machine_needs_version(const struct kind *k);

/* Strategy's part of a create: status dropped (kinds with a status subresource but Node),
 * generation = 1, what the server sets (phase, finalizers of a namespace, controller-uid labels of
 * a Job: metadata.uid must be there). */
int machine_prepare_create(const struct kind *k, json_t *object, const struct machine_context *c);
/* sub NULL for the main path. Main writes keep the old status; status (and approval, finalize)
 * writes keep everything else but labels and annotations are the old ones too; generation grows by
 * the rule. */
int machine_prepare_update(const struct kind *k, const struct kind_subresource *sub,
                const json_t *old, json_t *object, const struct machine_context *c);

/* 422 Invalid in p with every finding as a cause: `Pod "x" is invalid: spec.containers[0].name:
 * Required value`. */
int machine_validate_create(const struct kind *k, const json_t *object, struct problem *p);
/* Validates the new object and what must not change. */
int machine_validate_update(const struct kind *k, const struct kind_subresource *sub,
                const json_t *old, const json_t *object, struct problem *p);
/* Appends what the writer of a valid object should know: items of keyed lists that hide earlier
 * ones. -ENOMEM. */
int machine_warnings(const struct kind *k, const json_t *object, char ***warnings);
/* A subresource's own body (Binding, Eviction, TokenRequest, Scale): schema only. Defaults it
 * first. */
int machine_validate_body(const struct kind *k, const struct kind_subresource *sub, json_t *body,
                struct problem *p);

/* The grace period in seconds of a delete: requested is the option's value or -1. 0: goes at once.
 * Only pods have one; -EINVAL never. */
int64_t machine_grace_seconds(const struct kind *k, const json_t *object, int64_t requested);

/* Scale (autoscaling/v1) of an object; a new reference, NULL when out of memory. */
json_t *machine_scale_get(const struct kind *k, const json_t *object);
/* Sets the replicas in place; a scale with metadata.resourceVersion other than the object's is the
 * caller's 409. */
int machine_scale_put(const struct kind *k, json_t *object, const json_t *scale, struct problem *p);
