/* Who waits for other servers (webhooks, extension servers, pods): bounds for all, of which each
 * user gets at most half of what is free, so that one user's requests leave room for the others'.
 * Pure. */
#pragma once

#include "lib/base.h"

struct shares;
struct share; /* of one user */
int shares_new(struct shares **ret, size_t requests_max, size_t bytes_max);
/* Also frees the shares. */
struct shares *shares_free(struct shares *s);
DEFINE_CLEANUP(struct shares *, shares_free);

/* A request of the user begins to wait. -EBUSY: too many do, or the user has half of what is free;
 * -ENOMEM. */
int shares_enter(struct shares *s, const char *user, struct share **ret);
/* It waits no longer; its messages are gone already. NULL is fine; returns NULL. */
struct share *shares_leave(struct shares *s, struct share *share);
/* A message of such a request is under way, or has been answered. */
void shares_hold(struct shares *s, struct share *share, size_t bytes);
void shares_drop(struct shares *s, struct share *share, size_t bytes);
/* Requests that wait. */
size_t shares_waiting(const struct shares *s);
