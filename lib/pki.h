/* Keys and certificates: the cluster's CA, daemons' certificates, requests. ECDSA P-256 throughout.
 * All texts are PEM, NUL-terminated, owned by the caller. */
#pragma once

#include "lib/base.h"
#include "lib/crypto.h"
#include "lib/problem.h"

struct pki_subject {
        const char *cn;
        const char *const *organizations; /* NULL-terminated or NULL */
        const char *const *dns_names;
        const char *const *ip_addresses; /* text form */
};

enum pki_usage { PKI_USAGE_CLIENT = 1 << 0, PKI_USAGE_SERVER = 1 << 1 };

int pki_key_new(char **ret_key_pem);
/* The public half, as a PEM "PUBLIC KEY". */
int pki_public_key(const char *key_pem, char **ret_public_pem);
/* A self-signed CA. */
int pki_ca_new(const char *cn, unsigned days, char **ret_cert_pem, char **ret_key_pem);
/* A certificate for a key made elsewhere is signed from a request; this one makes key and
 * certificate together. */
int pki_issue(const char *ca_cert_pem, const char *ca_key_pem, const struct pki_subject *subject,
                unsigned usage, uint64_t seconds, char **ret_cert_pem, char **ret_key_pem);
/* A self-signed certificate and its key: for peers that are trusted by certificate, or not at all.
 */
int pki_self_signed(const struct pki_subject *subject, unsigned usage, unsigned days,
                char **ret_cert_pem, char **ret_key_pem);
int pki_csr_new(const char *key_pem, const struct pki_subject *subject, char **ret_csr_pem);
/* Reads and checks a request (its self-signature too). Strings owned by caller; organizations is a
 * strv. */
int pki_csr_read(const char *csr_pem, char **ret_cn, char ***ret_organizations, struct problem *p);
/* All that a request asks for, so that a signer can refuse what it does not expect (RFC 2986). */
struct pki_request {
        char *cn; /* the first common name, "" when there is none */
        char **organizations;
        char **dns_names;
        char **ip_addresses; /* text form */
        char *odd; /* a sentence on the first thing that no certificate here has: a second CN, other
                    * parts of a subject, names that are not DNS names or addresses, extensions
                    * beside alternative names and usages, CA: yes; NULL when there is none */
};
void pki_request_done(struct pki_request *r);
#define _cleanup_pki_request_ _cleanup_(pki_request_done)
/* Reads and checks a request like pki_csr_read, whole. -EINVAL with p, -ENOMEM. */
int pki_csr_details(const char *csr_pem, struct pki_request *ret, struct problem *p);
/* Signs a request as it is (subject and names from the request), for so many seconds from now. Of
 * several certificates of authorities the one that belongs to the key signs. */
int pki_csr_sign(const char *ca_cert_pem, const char *ca_key_pem, const char *csr_pem,
                unsigned usage, uint64_t seconds, char **ret_cert_pem, struct problem *p);
/* Subject and end of a certificate. Any output may be NULL. */
int pki_cert_read(const char *cert_pem, char **ret_cn, char ***ret_organizations,
                uint64_t *ret_not_after_s);
/* Whether a certificate is for this host: a name or an address. 1, 0 or an error. */
int pki_cert_covers(const char *cert_pem, const char *host);
/* When a certificate begins to be valid, in seconds since the epoch. */
int pki_cert_begins(const char *cert_pem, uint64_t *ret_not_before_s);
/* SHA-256 of a certificate (its DER form) as lower-case hex, as servers see their peers'. */
int pki_cert_fingerprint(const char *cert_pem, char ret[static SHA256_HEX_SIZE]);
/* Whether key and certificate belong together. */
int pki_cert_matches_key(const char *cert_pem, const char *key_pem);
