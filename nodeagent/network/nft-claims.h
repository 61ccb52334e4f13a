/* Which key owns which element of the table's maps. Two services (or pods) that ask for the same
 * address and port must not make the kernel refuse the whole table: the first one keeps it. */
#pragma once

#include "lib/json.h"

struct nft_claims;

/* NULL when out of memory. */
struct nft_claims *nft_claims_new(void) _warn_unused_;
struct nft_claims *nft_claims_free(struct nft_claims *c);
DEFINE_CLEANUP(struct nft_claims *, nft_claims_free);
/* on_refused: `holder` keeps the element that `key` wants. on_free: `key` was refused an element
 * that is free now. Both must not call back into the claims. */
struct nft_claims_callbacks {
        void (*on_refused)(
                        const char *key, const char *element, const char *holder, void *userdata);
        void (*on_free)(const char *key, void *userdata);
        void *userdata;
};
/* Claims for `key` the elements of its model, and releases those of its previous model `old`, as
 * this function left it (NULL: none). Elements that another key holds are removed from the model
 * (which must not be shared) and reported with on_refused(element, holder). Keys that were refused
 * an element that is now free are reported with on_free(key). model NULL: releases everything.
 * -ENOMEM. */
int nft_claims_take(struct nft_claims *c, const char *key, const json_t *old, json_t *model,
                const struct nft_claims_callbacks *callbacks);
/* The key that holds an element ("<map> <key>"); NULL: none. Borrowed. */
const char *nft_claims_holder(const struct nft_claims *c, const char *element);
