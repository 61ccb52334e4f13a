/* Service-account tokens: JSON Web Tokens (RFC 7519) signed with ES256 or RS256. */
#pragma once

#include "lib/json.h"

struct sign_key; /* lib/crypto.h */

/* *ret is the caller's. -EOPNOTSUPP for a public key, -ENOMEM, -EIO. */
int jwt_sign(const struct sign_key *key, const json_t *claims, char **ret);
/* Checks form, algorithm and signature, and exp and nbf against the time (seconds since 1970).
 * -EINVAL when it is not a token of this key, -ETIME when it is not valid now. */
int jwt_verify(const struct sign_key *key, const char *token, uint64_t now_s, json_t **ret_claims);
/* The two halves of it: form, algorithm and signature; and the times. */
int jwt_verify_signature(const struct sign_key *key, const char *token, json_t **ret_claims);
int jwt_check_times(const json_t *claims, uint64_t now_s);

/* A token taken apart, nothing of it verified. */
struct jwt {
        json_t *header, *claims; /* objects */
        const char *signed_text; /* borrowed from the token */
        size_t signed_size;
        void *signature;
        size_t signature_size;
};
/* -EINVAL when it has not that form, is too long, or names a member twice; -ENOMEM. */
int jwt_parse(const char *token, struct jwt *ret);
void jwt_done(struct jwt *t);
#define _cleanup_jwt_ _cleanup_(jwt_done)
