/* Shared by the deleting verbs. */
#pragma once

#include "kapid/http/request.h"

/* Reads request->delete_options from the body and the query of a DELETE. 400, 415, 422. */
int request_delete_options(struct request *request, struct problem *p);
/* Whether `live`, of that kind, is what the preconditions of request->delete_options ask for; 409
 * otherwise. */
int delete_check_preconditions(const struct request *request, const struct kind *k,
                const json_t *live, struct problem *p);
