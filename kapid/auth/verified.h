/* Tokens whose signature was found good, so that it need not be computed for each request of a
 * client (0.2 ms for ECDSA). Nothing else is remembered: that a token is in time, for us, and of an
 * account that is still there is judged each time from its claims. */
#pragma once

#include "lib/json.h"

struct metrics;
struct verified;

/* Whose keys verified it. */
enum verified_by { VERIFIED_BY_CLUSTER, VERIFIED_BY_ISSUER };

enum { VERIFIED_TOKENS_MAX = 2048, VERIFIED_BYTES_MAX = 2 << 20 };

/* Which token it is: the SHA-256 of the whole, signature included. */
struct token_digest {
        char hex[65];
};

/* m may be NULL. */
int verified_new(struct verified **ret, struct metrics *m);
struct verified *verified_free(struct verified *v);
DEFINE_CLEANUP(struct verified *, verified_free);

struct token_digest token_digest(const char *token);
/* The claims of a token that was remembered, a new reference to something immutable; NULL: its
 * signature must be verified. v NULL is fine. */
json_t *verified_find(struct verified *v, const struct token_digest *d, enum verified_by by);
/* Whether it would. */
bool verified_has(const struct verified *v, const struct token_digest *d, enum verified_by by);
/* Its signature is good. size: of the token; above the bounds those that were not used for longest
 * are forgotten. */
void verified_add(struct verified *v, const struct token_digest *d, enum verified_by by,
                json_t *claims, size_t size);
/* Their keys are others now. */
void verified_forget(struct verified *v, enum verified_by by);
size_t verified_count(const struct verified *v);
