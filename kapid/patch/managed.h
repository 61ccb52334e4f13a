/* Server-side apply and field ownership (metadata.managedFields, docs/wire.md section 10). */
#pragma once

#include "kapid/pipeline/pipeline.h"

/* The manager of a request: fieldManager, else the User-Agent's part before '/', else "unknown";
 * cut to 128 bytes. Caller frees. For apply the query parameter is a must: 400. -EINVAL 422 about
 * the options (their kind) when not printable or too long. */
int field_manager_name(const char *query, const char *user_agent, const char *options,
                bool is_apply, char **ret,
                struct problem *p);

struct apply_options {
        const char *manager;
        bool force;
        const char *subresource; /* "" or NULL: main */
        uint64_t now_us;
};

/* One apply. live is NULL when the object is not there yet (then ret is the object to create). body
 * is the bytes of the intent (JSON or YAML). The result still goes through default, prepare,
 * validate; its managedFields are complete (do NOT call managed_update after apply_run; call
 * managed_keep_time instead). ret->object equals live when nothing changed. Refusals: 409 Conflict
 * with FieldManagerConflict causes; 400 (unreadable, managedFields set, unknown fields). */
int apply_run(const struct kind *k, const void *data, size_t n, const json_t *live,
                const struct apply_options *o, struct decoded *ret, struct problem *p);
/* After default/prepare of an apply: when the object equals live apart from managedFields' times,
 * puts live's managedFields back, so that an apply that changes nothing writes nothing. 1: they are
 * equal now; 0: they differ; -ENOMEM. */
int managed_settle(const json_t *live, json_t *object);

/* Ownership after a POST, PUT or patch: fields that differ from live (NULL: all) go to (manager,
 * Update); others lose them. An object that did not change keeps its managedFields. The body's own
 * managedFields count only when they trim (an empty list resets). */
int managed_update(const struct kind *k, const json_t *live, json_t *object,
                const struct apply_options *o);
