/* Between the TLS files: a context, and the checks of a peer beyond its signature. */
#pragma once

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <sys/stat.h>

#include "lib/tls.h"

struct tls_context {
        unsigned refs;
        gnutls_certificate_credentials_t credentials;
        bool server, has_ca, unverified, any_cipher;
        char **allowed_cns, **allowed_hostnames;
        char *crl_path; /* NULL: there is no list */
        char *ca_pem;   /* who must have signed it */
        struct stat crl_stat;
        gnutls_x509_crl_t *crls;
        unsigned crl_count;
};

/* Reads the list of revoked certificates. p names the fault. */
int tls_crl_load(struct tls_context *c, const char *ca_pem, const char *path, struct problem *p);
void tls_crl_done(struct tls_context *c);
/* For a peer whose chain is valid: 0, or negative when it is refused; *ret_why, the caller's, says
 * why, if there was memory for it. */
int tls_lists_check(struct tls_context *c, gnutls_session_t session, char **ret_why);
