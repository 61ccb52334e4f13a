/* Who waits for webhooks: bounds for all, of which each user gets at most half of what is free, so
 * that one user's requests leave room for the others'. Pure. */
#pragma once

#include "lib/base.h"

struct webhook_shares;
struct webhook_share; /* of one user */
int webhook_shares_new(struct webhook_shares **ret, size_t requests_max, size_t bytes_max);
/* Also frees the shares. */
struct webhook_shares *webhook_shares_free(struct webhook_shares *s);
DEFINE_CLEANUP(struct webhook_shares *, webhook_shares_free);

/* A request of the user begins to wait. -EBUSY: too many do, or the user has half of what is free;
 * -ENOMEM. */
int webhook_shares_enter(struct webhook_shares *s, const char *user, struct webhook_share **ret);
/* It waits no longer; its messages are gone already. NULL is fine; returns NULL. */
struct webhook_share *webhook_shares_leave(struct webhook_shares *s, struct webhook_share *share);
/* A message of such a request is under way, or has been answered. */
void webhook_shares_hold(struct webhook_shares *s, struct webhook_share *share, size_t bytes);
void webhook_shares_drop(struct webhook_shares *s, struct webhook_share *share, size_t bytes);
/* Requests that wait. */
size_t webhook_shares_waiting(const struct webhook_shares *s);
