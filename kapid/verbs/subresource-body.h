/* The body of a POST to a part of an object. */
#pragma once

#include "kapid/http/request.h"

/* Reads a subresource's own body (Binding, Eviction, TokenRequest) into request->body and validates
 * it. */
int subresource_body(struct request *request, struct problem *p);
/* {status: Success, code: 201}: the answer where the API gives no object back. */
void respond_created(struct request *request);
