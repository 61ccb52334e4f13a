/* Between the TLS files: a context, and the checks of a peer beyond its signature. */
#pragma once

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <sys/stat.h>

#include "lib/fileio.h"
#include "lib/tls.h"

enum { TLS_FILES_CERT, TLS_FILES_KEY, TLS_FILES_CA, TLS_FILES_MAX };

enum { TLS_DIGEST_SIZE = 32, TLS_KNOWN_MAX = 1024 };

/* A client's certificate that was verified; each has one place, where the latest one is. */
struct tls_known {
        uint8_t digest[TLS_DIGEST_SIZE]; /* SHA-256 of the whole */
        uint64_t begins_s, ends_s;       /* 0: none */
};

struct tls_context {
        unsigned refs;
        gnutls_certificate_credentials_t credentials;
        bool server, has_ca, unverified, any_cipher, unnamed_authorities;
        char **allowed_cns, **allowed_hostnames;
        char *crl_path; /* NULL: there is no list */
        char *ca_pem;   /* who must have signed it */
        struct stat crl_stat;
        gnutls_x509_crl_t *crls;
        unsigned crl_count;
        /* Of contexts that were read from files: the files, and what they were like. */
        char *paths[TLS_FILES_MAX];
        struct file_stamp stamps[TLS_FILES_MAX];
        struct tls_known *known; /* TLS_KNOWN_MAX; NULL until the first */
};

/* Whether a certificate was verified and counts at that time; and that it was. */
bool tls_known_find(const struct tls_context *c, const uint8_t digest[static TLS_DIGEST_SIZE],
                uint64_t now_s);
void tls_known_add(struct tls_context *c, const uint8_t digest[static TLS_DIGEST_SIZE],
                uint64_t begins_s, uint64_t ends_s);

/* Makes the context remember its files, as they were before they were read. -ENOMEM. */
int tls_paths_keep(struct tls_context *c, const struct tls_files *files,
                const struct file_stamp stamps[static TLS_FILES_MAX]);
void tls_paths_stamp(const struct tls_files *files, struct file_stamp ret[static TLS_FILES_MAX]);
/* Why a peer's certificate is not valid, in words; a certificate out of its time is named, with
 * both times. Caller frees; NULL when out of memory. */
char *tls_status_text(gnutls_session_t session, unsigned status);

/* Reads the list of revoked certificates. p names the fault. */
int tls_crl_load(struct tls_context *c, const char *ca_pem, const char *path, struct problem *p);
void tls_crl_done(struct tls_context *c);
/* For a peer whose chain is valid: 0, or negative when it is refused; *ret_why, the caller's, says
 * why, if there was memory for it. */
int tls_lists_check(struct tls_context *c, gnutls_session_t session, char **ret_why);
