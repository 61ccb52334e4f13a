/* Transactions of the table `inet keelson`, as the worker thread runs them: a change of some
 * models, and the whole table, of which only what differs from the kernel's is written. */
#pragma once

#include "lib/map.h"
#include "nodeagent/network/nft-claims.h"
#include "nodeagent/network/nft-elements.h"

/* Who changes the table, for one thread at a time. */
struct nft_applier;
/* NULL when out of memory. */
struct nft_applier *nft_applier_new(void) _warn_unused_;
struct nft_applier *nft_applier_free(struct nft_applier *a);
DEFINE_CLEANUP(struct nft_applier *, nft_applier_free);
/* Why the library refused the last change, in its words; "" when something else failed. */
const char *nft_applier_reason(const struct nft_applier *a);

/* Zero-initialise; nft_change_done() frees. */
struct nft_change {
        struct buf before, after; /* text for nft, run before and after the elements */
        struct nft_batch elements;
        bool failed; /* out of memory, or an element that cannot be encoded */
};

/* Adds what turns old into model; NULL is the empty model. The change is complete when it was
 * applied. */
void nft_change_add(struct nft_change *c, const json_t *old, const json_t *model);
bool nft_change_is_empty(const struct nft_change *c);
void nft_change_done(struct nft_change *c);
/* Applies it, in at most three transactions; *commits grows by the number of those that were made,
 * also after an error. A negative errno. Blocks. */
int nft_change_apply(struct nft_change *c, struct nft_applier *a, unsigned *commits);

struct nft_whole {
        const struct nft_frame *frame;
        const struct map *models;        /* key -> model */
        const struct nft_claims *claims; /* of these models */
        bool rewrite; /* another program changed the table: also rules that seem complete */
        /* The agent has just started and does not know all pods: what pods have of the table stays,
         * wanted or not. */
        bool keep_pods;
};
/* Makes the kernel's table equal to the models; what is equal already is not written. *commits as
 * above. Blocks; the models must not change meanwhile. */
int nft_whole_apply(const struct nft_whole *w, struct nft_applier *a, unsigned *commits);
