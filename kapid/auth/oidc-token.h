/* ID tokens of an OpenID Connect issuer as users (OpenID Connect Core 1.0 section 3.1.3.7), with
 * the meaning that kube-apiserver's --oidc-* flags have. Pure. */
#pragma once

#include "kapid/auth/user.h"
#include "lib/jwk.h"

/* As the flags give them. */
struct oidc_options {
        char *issuer_url; /* NULL: no OpenID Connect */
        char *client_id;
        char *username_claim;  /* "sub" */
        char *username_prefix; /* empty: the issuer and '#', none for the claim "email"; "-": none */
        char *groups_claim;    /* NULL: no groups */
        char *groups_prefix;   /* NULL: none */
        char **required_claims; /* "key=value" */
        char **algorithms;      /* "RS256" */
        char *ca_pem;           /* verifies the issuer's server; NULL: the system's authorities */
};

/* 0, or -EINVAL with p that names the flag. own_issuer: of service-account tokens, which must be
 * another one. */
int oidc_options_check(const struct oidc_options *o, const char *own_issuer, struct problem *p);
/* Whether the token says that this issuer made it; nothing of it is verified. */
bool oidc_token_is_from(const char *token, const char *issuer);
/* Verifies the token and makes a user of its claims. -EACCES with p (401); -ENOKEY: signed with a
 * key that is not in the set (NULL: no key is known yet); -ENOMEM. */
int oidc_token_check(const struct oidc_options *o, const struct jwk_set *keys, const char *token,
                uint64_t now_s, struct user *ret, struct problem *p);
/* The two halves of it: form and signature; and what the claims say now. */
int oidc_token_verify(const struct oidc_options *o, const struct jwk_set *keys, const char *token,
                json_t **ret_claims, struct problem *p);
int oidc_token_judge(const struct oidc_options *o, const json_t *claims, uint64_t now_s,
                struct user *ret, struct problem *p);
