/* Service-account tokens: JSON Web Tokens (RFC 7519) signed with ES256 or RS256. */
#pragma once

#include "lib/json.h"

struct sign_key; /* lib/crypto.h */

/* *ret is the caller's. -EOPNOTSUPP for a public key, -ENOMEM, -EIO. */
int jwt_sign(const struct sign_key *key, const json_t *claims, char **ret);
/* Checks form, algorithm and signature, and exp and nbf against the time (seconds since 1970).
 * -EINVAL when it is not a token of this key, -ETIME when it is not valid now. */
int jwt_verify(const struct sign_key *key, const char *token, uint64_t now_s, json_t **ret_claims);
