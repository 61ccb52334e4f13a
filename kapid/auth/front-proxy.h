/* The certificate by which extension servers know that a request comes from the API server, and the
 * authorities that they are given to check it. The files are read again when they are replaced. */
#pragma once

#include "kapid/auth/request-header.h"

/* Files may be NULL: without certificate and key servers are called without one. */
struct front_proxy_options {
        const char *cert_file, *key_file; /* shown to extension servers */
        const char *ca_file;              /* its authority, which they and we are to trust */
        char *const *allowed_names;       /* common names that they and we are to accept */
        struct identity_headers headers;  /* of a proxy before kapid */
        const char *client_ca_file;       /* clients' authorities, for them */
};

struct front_proxy;
int front_proxy_new(
                struct front_proxy **ret, const struct front_proxy_options *o, struct problem *p);
struct front_proxy *front_proxy_free(struct front_proxy *f);
DEFINE_CLEANUP(struct front_proxy *, front_proxy_free);

/* Reads replaced files, at most once a second. Grows when the certificate is another one. */
uint64_t front_proxy_refresh(struct front_proxy *f);
/* NULL: there are none. */
const char *front_proxy_cert(const struct front_proxy *f);
const char *front_proxy_key(const struct front_proxy *f);
const char *front_proxy_ca(const struct front_proxy *f);
const char *front_proxy_client_ca(const struct front_proxy *f);
char *const *front_proxy_names(const struct front_proxy *f);
/* Above 0; grows when the authority is another one. */
uint64_t front_proxy_ca_generation(const struct front_proxy *f);
/* By which a proxy that the authority signed says who asks. */
const struct identity_headers *front_proxy_headers(const struct front_proxy *f);
