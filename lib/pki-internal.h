/* Between the files that make certificates: GnuTLS' objects from texts, and the parts that every
 * certificate has. Errors are negative errno. */
#pragma once

#include <gnutls/abstract.h>
#include <gnutls/x509.h>

#include "lib/pki.h"

enum { PKI_NAMES_MAX = 256 };

static inline void crt_donep(gnutls_x509_crt_t *c) {
        if (*c)
                gnutls_x509_crt_deinit(*c);
}

static inline void key_donep(gnutls_x509_privkey_t *k) {
        if (*k)
                gnutls_x509_privkey_deinit(*k);
}

static inline void datum_donep(gnutls_datum_t *d) {
        gnutls_free(d->data);
}

#define _cleanup_crt_ _cleanup_(crt_donep)
#define _cleanup_key_ _cleanup_(key_donep)
#define _cleanup_datum_ _cleanup_(datum_donep)

int pki_errno(int gnutls_error);
int pki_key_import(gnutls_x509_privkey_t *ret, const char *pem);
int pki_crt_import(gnutls_x509_crt_t *ret, const char *pem);
/* The text of a certificate. */
int pki_crt_export(gnutls_x509_crt_t crt, char **ret_pem);
/* Common name and organizations; either output may be NULL. */
int pki_crt_subject(gnutls_x509_crt_t crt, char **ret_cn, char ***ret_organizations);
/* A certificate with version, serial number and life, nothing else. */
int pki_crt_begin(gnutls_x509_crt_t *ret, uint64_t seconds);
/* enum pki_usage */
int pki_crt_set_usage(gnutls_x509_crt_t crt, unsigned usage);
/* The last steps: key identifiers and the signature. */
int pki_crt_sign(gnutls_x509_crt_t crt, gnutls_x509_crt_t ca, gnutls_x509_privkey_t ca_key);
/* Of several certificates of authorities the one that belongs to the key: while an authority is
 * replaced there are two. -ENOKEY when there is none. */
int pki_signer_import(
                gnutls_x509_crt_t *ret, const char *cas_pem, gnutls_x509_privkey_t ca_key);
