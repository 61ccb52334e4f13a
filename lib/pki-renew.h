/* What becomes of certificates after they were made: what they say, when they are due, the same one
 * again with a new life, and bundles of authorities while one replaces another. */
#pragma once

#include "lib/pki.h"

/* What a certificate says. Strings owned. */
struct pki_view {
        char *cn;
        char **organizations, **dns_names, **ip_addresses;
        char *issuer;      /* common name of the authority */
        char *fingerprint; /* SHA-256 of the certificate, lower-case hex */
        uint64_t begins_s, ends_s;
        unsigned usage; /* enum pki_usage */
        bool is_authority;
};
void pki_view_done(struct pki_view *v);
#define _cleanup_pki_view_ _cleanup_(pki_view_done)
/* The first certificate of a text. -EINVAL, -ENOMEM. */
int pki_cert_view(const char *cert_pem, struct pki_view *ret);

enum pki_life { PKI_LIFE_NOT_YET, PKI_LIFE_FRESH, PKI_LIFE_DUE, PKI_LIFE_EXPIRED };
/* A certificate is due when two thirds of its life are over. Pure. */
enum pki_life pki_life(uint64_t begins_s, uint64_t ends_s, uint64_t now_s);
/* When it becomes due. Pure. */
uint64_t pki_due_s(uint64_t begins_s, uint64_t ends_s);

/* "expired on 2026-01-02T03:04:05Z, and this machine's clock says ...", or "is valid from ... on,
 * and ..."; *ret is NULL when it is in time. -ENOMEM. Pure. */
int pki_time_problem(uint64_t begins_s, uint64_t ends_s, uint64_t now_s, char **ret);

/* The same certificate with a new life: subject, names, usages and key are those of the old one.
 * cas_pem may hold several authorities: the one that belongs to ca_key_pem signs. p says why not.
 */
int pki_renew(const char *cas_pem, const char *ca_key_pem, const char *cert_pem, uint64_t seconds,
                char **ret_cert_pem, struct problem *p);
/* Whether one of the authorities has signed the certificate, whatever the time is. 1, 0 or
 * -EINVAL. */
int pki_signed_by(const char *cert_pem, const char *cas_pem);
/* Of several authorities the text of the one that belongs to the key. -ENOKEY: none does. */
int pki_signer(const char *cas_pem, const char *ca_key_pem, char **ret_cert_pem);
/* The texts of a bundle, one a certificate. */
int pki_bundle_split(const char *cas_pem, char ***ret);
