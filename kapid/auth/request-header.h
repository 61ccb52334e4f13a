/* Identities that an authenticating proxy before kapid vouches for, in headers, as the reference
 * server takes them (Kubernetes' page "Authenticating", Authenticating Proxy): only from a client
 * whose certificate the front proxy's authority signed, with one of the allowed common names. */
#pragma once

#include "kapid/http/request.h"

/* Names of headers, each list ended by NULL and may be NULL. Without user_names nobody is believed.
 */
struct identity_headers {
        char *const *user_names, *const *uid_names, *const *group_names, *const *extra_prefixes;
};

/* 1: request->user is the one that the headers name; 0: the headers are not there, or the client is
 * not to be believed, and counts as what it is itself; 401 in p for headers that name nobody
 * properly; -ENOMEM. */
int authenticate_by_header(struct request *request, struct problem *p);
/* Whether the header, in any spelling that a server may take for it, is one of them. Pure. */
bool identity_headers_have(const struct identity_headers *h, const char *name);
