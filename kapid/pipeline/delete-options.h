/* DeleteOptions: how an object is to be deleted, from the body or the query of a DELETE, or from an
 * eviction. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

struct delete_options {
        int64_t grace_s;         /* -1: not given */
        const char *propagation; /* "", Background, Foreground, Orphan; static */
        const char *uid;         /* preconditions; NULL: none. Both are in `body` */
        const char *resource_version;
        bool dry_run;
        json_t *body; /* owned; NULL: none was given */
};
void delete_options_done(struct delete_options *o);

/* Bytes of a body in any of the encodings (pipeline_decode) -> DeleteOptions in JSON; no bytes:
 * NULL. Refusals: 400, 415. */
int delete_options_decode(const char *content_type, const void *data, size_t n, json_t **ret,
                struct problem *p);
/* The options of a body (DeleteOptions as JSON, NULL: none; borrowed, a reference is kept) and of
 * the query parameters gracePeriodSeconds, propagationPolicy and orphanDependents (NULL: absent),
 * which count where the body says nothing, the last one without a body. Refusals: 400, 422. */
int delete_options_parse(const json_t *body, const char *query_grace, const char *query_propagation,
                const char *query_orphan, struct delete_options *ret, struct problem *p);
