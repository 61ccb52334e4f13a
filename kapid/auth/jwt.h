/* Service-account tokens: JSON Web Tokens (RFC 7519) signed with ES256 or RS256. */
#pragma once

#include "lib/buf.h"
#include "lib/json.h"

struct jwt_key;

/* From a private key (signs and verifies) or a public one (verifies only), PEM. -EINVAL. */
int jwt_key_new(struct jwt_key **ret, const char *pem);
struct jwt_key *jwt_key_free(struct jwt_key *k);
DEFINE_CLEANUP(struct jwt_key *, jwt_key_free);
bool jwt_key_can_sign(const struct jwt_key *k);
/* Caller frees. */
int jwt_sign(const struct jwt_key *k, const json_t *claims, char **ret);
/* Checks form, algorithm and signature, and exp and nbf against the time. -EINVAL when it is no
 * token of this key, -ETIME when it is not valid now. */
int jwt_verify(const struct jwt_key *k, const char *token, uint64_t now_s, json_t **ret_claims);
