/* Who waits for other servers (webhooks, extension servers, pods): bounds for all, of which each
 * user gets at most half of what is free, so that one user's requests leave room for the others'.
 * Pure. */
#pragma once

#include "lib/base.h"

struct wait_shares;
struct wait_share; /* of one user */
int wait_shares_new(struct wait_shares **ret, size_t requests_max, size_t bytes_max);
/* Also frees the shares. */
struct wait_shares *wait_shares_free(struct wait_shares *s);
DEFINE_CLEANUP(struct wait_shares *, wait_shares_free);

/* A request of the user begins to wait. -EBUSY: too many do, or the user has half of what is free;
 * -ENOMEM. */
int wait_shares_enter(struct wait_shares *s, const char *user, struct wait_share **ret);
/* It waits no longer; its messages are gone already. NULL is fine; returns NULL. */
struct wait_share *wait_shares_leave(struct wait_shares *s, struct wait_share *share);
/* A message of such a request is under way, or has been answered. */
void wait_shares_hold(struct wait_shares *s, struct wait_share *share, size_t bytes);
void wait_shares_drop(struct wait_shares *s, struct wait_share *share, size_t bytes);
/* Requests that wait. */
size_t wait_shares_waiting(const struct wait_shares *s);
