/* Authentication: an authenticating proxy's word (request-header.h), client certificate, bearer
 * token or Unix peer; and for whom (impersonation
 * headers). */
#pragma once

#include "kapid/http/request.h"

enum { AUTHN_ANONYMOUS = 1 };
/* Fills r->user. AUTHN_ANONYMOUS when nothing was presented; -EACCES with p (401) when what was
 * presented is not accepted. */
int authenticate(struct request *request, struct problem *p);
/* The user of a token; also for TokenReview. 401 in p, or 503 while the keys of an issuer are
 * fetched. */
int authenticate_token(struct api *a, const char *token, struct user *ret, struct problem *p);
/* Checks Impersonate-* headers and the right to use them, and makes r->user that user. */
int impersonate(struct request *request, struct problem *p);
/* Whether an audience is this API server, for token reviews. */
bool audience_is_ours(const struct api *a, const char *audience);
