/* What the issuer of service-account tokens says of itself (OpenID Connect Discovery 1.0 section 3,
 * RFC 7517): others can check the tokens without a TokenReview. Pure. */
#pragma once

#include "lib/json.h"

struct sign_key;

/* The document of /.well-known/openid-configuration. NULL when out of memory. */
json_t *issuer_configuration(const char *issuer, const struct sign_key *key) _warn_unused_;
/* The set of its one key, the document of /openid/v1/jwks. NULL: out of memory, or an odd key. */
json_t *issuer_keys(const struct sign_key *key) _warn_unused_;
