/* Shared by the deleting verbs. */
#pragma once

#include "kapid/http/request.h"

/* Reads request->delete_options from the body and the query of a DELETE. 400, 415, 422. */
int request_delete_options(struct request *request, struct problem *p);
