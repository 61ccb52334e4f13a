/* Users of an OpenID Connect issuer: follows the issuer's keys, without holding the loop. Which
 * tokens count is decided in oidc-token.c. */
#pragma once

#include <systemd/sd-event.h>

#include "kapid/auth/oidc-token.h"
#include "kapid/auth/verified.h"

struct metrics;
struct oidc;

/* Starts to fetch the keys. options (borrowed) were checked before. tokens and m are borrowed. */
int oidc_new(struct oidc **ret, sd_event *event, const struct oidc_options *options,
                struct verified *tokens, struct metrics *m);
struct oidc *oidc_free(struct oidc *o);
DEFINE_CLEANUP(struct oidc *, oidc_free);

/* Whether the token is for oidc_authenticate(). */
bool oidc_knows(const struct oidc *o, const char *token, const struct token_digest *digest);
/* The user of a token. -EACCES with p (401); -EAGAIN with p (503, Retry-After) while the keys are
 * fetched. */
int oidc_authenticate(struct oidc *o, const char *token, const struct token_digest *digest,
                struct user *ret, struct problem *p);

/* When the keys are fetched again, after that many failures in a row (0: a success). Pure. */
uint64_t oidc_pause_us(unsigned failures);
/* Whether a token with an unknown key may cause a fetch: the last one began at that time. Pure. */
bool oidc_may_fetch(uint64_t last_us, uint64_t now_us);
