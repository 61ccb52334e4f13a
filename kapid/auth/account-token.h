/* The claims of service-account tokens (KEP-1205), as the reference server writes them. */
#pragma once

#include "lib/json.h"

struct account_token {
        const char *issuer, *namespace;
        const json_t *account;   /* the ServiceAccount */
        const json_t *audiences; /* NULL or empty: the issuer */
        /* The object that it ends with: the name of its claim ("pod", "secret"); NULL: none. */
        const char *bound_claim, *bound_name, *bound_uid;
        uint64_t now_s, end_s; /* since 1970 */
};

/* NULL: no memory. The caller's. */
json_t *account_token_claims(const struct account_token *t) _warn_unused_;
