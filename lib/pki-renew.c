/* A renewed certificate has the key of the old one: certificate and key are two files, and a crash
 * between the two must not leave a pair that does not fit. What it says is copied from the old
 * certificate, so that whoever renews needs to know nothing of names and addresses. */
#include "lib/pki-renew.h"

#include <arpa/inet.h>

#include "lib/pki-internal.h"
#include "lib/timefmt.h"

enum { BUNDLE_MAX = 64 };

void pki_view_done(struct pki_view *v) {
        free(v->cn);
        free(v->issuer);
        free(v->fingerprint);
        strv_free(v->organizations);
        strv_free(v->dns_names);
        strv_free(v->ip_addresses);
        *v = (struct pki_view){0};
}

struct bundle {
        gnutls_x509_crt_t *items;
        unsigned count;
};

static void bundle_done(struct bundle *b) {
        for (unsigned i = 0; i < b->count; i++)
                if (b->items[i])
                        gnutls_x509_crt_deinit(b->items[i]);
        gnutls_free(b->items);
}
#define _cleanup_bundle_ _cleanup_(bundle_done)

static int bundle_import(struct bundle *ret, const char *pem) {
        const gnutls_datum_t d = {(unsigned char *)pem, (unsigned)strlen(pem)};
        struct bundle b = {0};
        int r = gnutls_x509_crt_list_import2(&b.items, &b.count, &d, GNUTLS_X509_FMT_PEM, 0);

        if (r < 0)
                return pki_errno(r);
        *ret = b;
        if (b.count > 0 && b.count <= BUNDLE_MAX)
                return 0;
        bundle_done(ret);
        *ret = (struct bundle){0};
        return -EINVAL;
}

static bool has_key(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key) {
        unsigned char a[64], b[64];
        size_t n = sizeof(a), m = sizeof(b);

        return gnutls_x509_crt_get_key_id(crt, 0, a, &n) >= 0 &&
               gnutls_x509_privkey_get_key_id(key, 0, b, &m) >= 0 && n == m && memcmp(a, b, n) == 0;
}

int pki_signer_import(
                gnutls_x509_crt_t *ret, const char *cas_pem, gnutls_x509_privkey_t ca_key) {
        _cleanup_bundle_ struct bundle b = {0};
        int r = bundle_import(&b, cas_pem);

        if (r < 0)
                return r;
        for (unsigned i = 0; i < b.count; i++)
                if (has_key(b.items[i], ca_key)) {
                        *ret = TAKE_PTR(b.items[i]);
                        return 0;
                }
        return -ENOKEY;
}

/* ---- what a certificate says ---- */

static int address_text_of(const char *octets, size_t n, char ret[static INET6_ADDRSTRLEN]) {
        int family = n == 4 ? AF_INET : n == 16 ? AF_INET6 : AF_UNSPEC;

        return family != AF_UNSPEC && inet_ntop(family, octets, ret, INET6_ADDRSTRLEN) ? 0
                                                                                         : -EINVAL;
}

static int add_name(struct pki_view *v, int type, const char *name, size_t n) {
        char address[INET6_ADDRSTRLEN];
        _cleanup_free_ char *copy = NULL;

        if (type == GNUTLS_SAN_IPADDRESS)
                return address_text_of(name, n, address) < 0
                                       ? -EINVAL
                                       : strv_extend(&v->ip_addresses, address);
        if (type != GNUTLS_SAN_DNSNAME)
                return 0; /* none of our certificates has others */
        if (!utf8_is_valid(name, n))
                return -EINVAL;
        copy = strndup(name, n);
        return copy ? strv_extend(&v->dns_names, copy) : -ENOMEM;
}

static int read_names(gnutls_x509_crt_t crt, struct pki_view *v) {
        for (unsigned i = 0; i < PKI_NAMES_MAX; i++) {
                char name[1024];
                size_t n = sizeof(name);
                int r = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &n, NULL);

                if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
                        return 0;
                if (r < 0)
                        return -EINVAL;
                r = add_name(v, r, name, n);
                if (r < 0)
                        return r;
        }
        return -EINVAL;
}

static void read_usage(gnutls_x509_crt_t crt, struct pki_view *v) {
        for (unsigned i = 0; i < 16; i++) {
                char oid[128];
                size_t n = sizeof(oid);
                unsigned critical;

                if (gnutls_x509_crt_get_key_purpose_oid(crt, i, oid, &n, &critical) < 0)
                        return;
                if (streq(oid, GNUTLS_KP_TLS_WWW_CLIENT))
                        v->usage |= PKI_USAGE_CLIENT;
                if (streq(oid, GNUTLS_KP_TLS_WWW_SERVER))
                        v->usage |= PKI_USAGE_SERVER;
        }
}

static int read_times(gnutls_x509_crt_t crt, struct pki_view *v) {
        time_t begin = gnutls_x509_crt_get_activation_time(crt),
               end = gnutls_x509_crt_get_expiration_time(crt);

        if (begin == (time_t)-1 || end == (time_t)-1 || begin < 0 || end < begin)
                return -EINVAL;
        v->begins_s = (uint64_t)begin;
        v->ends_s = (uint64_t)end;
        return 0;
}

static int read_issuer(gnutls_x509_crt_t crt, struct pki_view *v) {
        char cn[1024];
        size_t n = sizeof(cn);

        if (gnutls_x509_crt_get_issuer_dn_by_oid(
                            crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, cn, &n) < 0 ||
                        !utf8_is_valid(cn, n))
                n = 0;
        v->issuer = strndup(cn, n);
        return v->issuer ? 0 : -ENOMEM;
}

static int read_fingerprint(gnutls_x509_crt_t crt, struct pki_view *v) {
        unsigned char digest[32];
        size_t n = sizeof(digest);

        if (gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, digest, &n) < 0)
                return -EINVAL;
        v->fingerprint = calloc(1, 2 * sizeof(digest) + 1);
        for (size_t i = 0; v->fingerprint && i < n; i++)
                (void)snprintf(v->fingerprint + 2 * i, 3, "%02x", digest[i]);
        return v->fingerprint ? 0 : -ENOMEM;
}

static int view_crt(gnutls_x509_crt_t crt, struct pki_view *ret) {
        _cleanup_pki_view_ struct pki_view v = {0};
        unsigned critical, is_ca = 0;
        int r = pki_crt_subject(crt, &v.cn, &v.organizations);

        if (r < 0)
                return r;
        r = read_names(crt, &v);
        if (r < 0)
                return r;
        r = read_times(crt, &v);
        if (r < 0)
                return r;
        r = read_issuer(crt, &v);
        if (r < 0)
                return r;
        r = read_fingerprint(crt, &v);
        if (r < 0)
                return r;
        read_usage(crt, &v);
        if (gnutls_x509_crt_get_basic_constraints(crt, &critical, &is_ca, NULL) >= 0)
                v.is_authority = is_ca != 0;
        *ret = v;
        v = (struct pki_view){0};
        return 0;
}

int pki_cert_view(const char *cert_pem, struct pki_view *ret) {
        _cleanup_crt_ gnutls_x509_crt_t crt = NULL;
        int r = pki_crt_import(&crt, cert_pem);

        return r < 0 ? r : view_crt(crt, ret);
}

/* ---- time ---- */

uint64_t pki_due_s(uint64_t begins_s, uint64_t ends_s) {
        return begins_s + (ends_s - begins_s) / 3 * 2;
}

enum pki_life pki_life(uint64_t begins_s, uint64_t ends_s, uint64_t now_s) {
        if (now_s < begins_s)
                return PKI_LIFE_NOT_YET;
        if (now_s >= ends_s)
                return PKI_LIFE_EXPIRED;
        return now_s >= pki_due_s(begins_s, ends_s) ? PKI_LIFE_DUE : PKI_LIFE_FRESH;
}

int pki_time_problem(uint64_t begins_s, uint64_t ends_s, uint64_t now_s, char **ret) {
        char begin[TIMEFMT_SIZE], end[TIMEFMT_SIZE], now[TIMEFMT_SIZE];
        enum pki_life life = pki_life(begins_s, ends_s, now_s);

        *ret = NULL;
        time_format(begins_s * 1000000, begin);
        time_format(ends_s * 1000000, end);
        time_format(now_s * 1000000, now);
        if (life == PKI_LIFE_EXPIRED)
                *ret = strformat("expired at %s, and this machine's clock says %s", end, now);
        else if (life == PKI_LIFE_NOT_YET)
                *ret = strformat("is not yet valid: it begins at %s, and this machine's clock says "
                                 "%s (is that clock slow, or the one of the machine that signed "
                                 "it fast?)",
                                begin, now);
        else
                return 0;
        return *ret ? 0 : -ENOMEM;
}

/* ---- the same certificate again ---- */

static int set_subject(gnutls_x509_crt_t crt, const struct pki_view *v) {
        if (*v->cn && gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, v->cn,
                                      (unsigned)strlen(v->cn)) < 0)
                return -EINVAL;
        for (char **o = v->organizations; o && *o; o++)
                if (gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_ORGANIZATION_NAME, 0, *o,
                                    (unsigned)strlen(*o)) < 0)
                        return -EINVAL;
        return 0;
}

static int copy_names(gnutls_x509_crt_t to, gnutls_x509_crt_t from) {
        for (unsigned i = 0; i < PKI_NAMES_MAX; i++) {
                char name[1024];
                size_t n = sizeof(name);
                int r = gnutls_x509_crt_get_subject_alt_name(from, i, name, &n, NULL);

                if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
                        return 0;
                if (r < 0)
                        return -EINVAL;
                if ((r == GNUTLS_SAN_DNSNAME || r == GNUTLS_SAN_IPADDRESS) &&
                                gnutls_x509_crt_set_subject_alt_name(to,
                                                (gnutls_x509_subject_alt_name_t)r, name,
                                                (unsigned)n, GNUTLS_FSAN_APPEND) < 0)
                        return -EINVAL;
        }
        return -EINVAL;
}

static void pubkey_donep(gnutls_pubkey_t *k) {
        if (*k)
                gnutls_pubkey_deinit(*k);
}

static int copy_key(gnutls_x509_crt_t to, gnutls_x509_crt_t from) {
        _cleanup_(pubkey_donep) gnutls_pubkey_t key = NULL;

        if (gnutls_pubkey_init(&key) < 0)
                return -ENOMEM;
        if (gnutls_pubkey_import_x509(key, from, 0) < 0 || gnutls_x509_crt_set_pubkey(to, key) < 0)
                return -EINVAL;
        return 0;
}

static int renew_crt(gnutls_x509_crt_t old, gnutls_x509_crt_t ca, gnutls_x509_privkey_t ca_key,
                uint64_t seconds, char **ret_pem) {
        _cleanup_pki_view_ struct pki_view v = {0};
        _cleanup_crt_ gnutls_x509_crt_t crt = NULL;
        int r = view_crt(old, &v);

        if (r < 0)
                return r;
        if (v.is_authority)
                return -EINVAL;
        r = pki_crt_begin(&crt, seconds);
        if (r < 0)
                return r;
        r = set_subject(crt, &v);
        if (r < 0)
                return r;
        r = copy_key(crt, old);
        if (r < 0)
                return r;
        r = copy_names(crt, old);
        if (r < 0)
                return r;
        r = pki_crt_set_usage(crt, v.usage);
        if (r < 0)
                return r;
        r = pki_crt_sign(crt, ca, ca_key);
        return r < 0 ? r : pki_crt_export(crt, ret_pem);
}

int pki_renew(const char *cas_pem, const char *ca_key_pem, const char *cert_pem, uint64_t seconds,
                char **ret_cert_pem, struct problem *p) {
        _cleanup_crt_ gnutls_x509_crt_t ca = NULL, old = NULL;
        _cleanup_key_ gnutls_x509_privkey_t ca_key = NULL;
        int r = pki_key_import(&ca_key, ca_key_pem);

        if (r < 0)
                return problem_set(p, -r, 0, NULL, "the authority's key cannot be read");
        r = pki_signer_import(&ca, cas_pem, ca_key);
        if (r < 0)
                return problem_set(p, -r, 0, NULL,
                                "none of the authority's certificates belongs to its key");
        r = pki_crt_import(&old, cert_pem);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "it is not a certificate in PEM form");
        r = renew_crt(old, ca, ca_key, seconds, ret_cert_pem);
        return r < 0 ? problem_set(p, -r, 0, NULL, "it cannot be signed again: %s", strerror(-r))
                     : 0;
}

/* ---- bundles ---- */

int pki_signed_by(const char *cert_pem, const char *cas_pem) {
        _cleanup_crt_ gnutls_x509_crt_t crt = NULL;
        _cleanup_bundle_ struct bundle b = {0};
        int r = pki_crt_import(&crt, cert_pem);

        if (r < 0)
                return r;
        r = bundle_import(&b, cas_pem);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < b.count; i++) {
                unsigned status = 0;

                if (gnutls_x509_crt_verify(crt, &b.items[i], 1,
                                    GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status) >= 0 &&
                                status == 0)
                        return 1;
        }
        return 0;
}

int pki_signer(const char *cas_pem, const char *ca_key_pem, char **ret_cert_pem) {
        _cleanup_crt_ gnutls_x509_crt_t ca = NULL;
        _cleanup_key_ gnutls_x509_privkey_t ca_key = NULL;
        int r = pki_key_import(&ca_key, ca_key_pem);

        if (r < 0)
                return r;
        r = pki_signer_import(&ca, cas_pem, ca_key);
        return r < 0 ? r : pki_crt_export(ca, ret_cert_pem);
}

int pki_bundle_split(const char *cas_pem, char ***ret) {
        _cleanup_strv_free_ char **texts = NULL;
        _cleanup_bundle_ struct bundle b = {0};
        int r = bundle_import(&b, cas_pem);

        for (unsigned i = 0; r >= 0 && i < b.count; i++) {
                _cleanup_free_ char *pem = NULL;

                r = pki_crt_export(b.items[i], &pem);
                if (r < 0)
                        return r;
                r = strv_extend(&texts, pem);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(texts);
        return 0;
}
