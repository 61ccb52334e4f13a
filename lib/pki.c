/* Certificates and keys through GnuTLS. Serial numbers are random (RFC 5280: at most 20 octets); a
 * clock that is a little slow is forgiven by dating certificates back by five minutes. */
#include "lib/pki.h"

#include <arpa/inet.h>
#include <gnutls/crypto.h>
#include <time.h>

#include "lib/pki-internal.h"
#include "lib/random.h"
#include "lib/timefmt.h"

enum { BACKDATE_S = 300, PEM_SIZE_MAX = 256 * 1024 };

static void crq_donep(gnutls_x509_crq_t *c) {
        if (*c)
                gnutls_x509_crq_deinit(*c);
}

static void privkey_donep(gnutls_privkey_t *k) {
        if (*k)
                gnutls_privkey_deinit(*k);
}

static void pubkey_donep(gnutls_pubkey_t *k) {
        if (*k)
                gnutls_pubkey_deinit(*k);
}

#define _cleanup_crq_ _cleanup_(crq_donep)

int pki_errno(int g) {
        if (g >= 0)
                return 0;
        return g == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL;
}

static gnutls_datum_t datum_of(const char *s) {
        return (gnutls_datum_t){(unsigned char *)s, (unsigned)strlen(s)};
}

/* The owned NUL-terminated copy of an exported datum. */
static int take_text(gnutls_datum_t *d, char **ret) {
        char *s = strndup((const char *)d->data, d->size);

        if (!s)
                return -ENOMEM;
        *ret = s;
        return 0;
}

int pki_crt_export(gnutls_x509_crt_t crt, char **ret_pem) {
        _cleanup_datum_ gnutls_datum_t pem = {0};
        int r = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem);

        return r < 0 ? pki_errno(r) : take_text(&pem, ret_pem);
}

static int key_generate(gnutls_x509_privkey_t *ret) {
        int r = gnutls_x509_privkey_init(ret);

        if (r < 0)
                return pki_errno(r);
        return pki_errno(gnutls_x509_privkey_generate(*ret, GNUTLS_PK_ECDSA,
                        GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
}

static int key_export(gnutls_x509_privkey_t key, char **ret) {
        _cleanup_datum_ gnutls_datum_t d = {0};
        int r = gnutls_x509_privkey_export2_pkcs8(
                        key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &d);

        if (r < 0)
                return pki_errno(r);
        r = take_text(&d, ret);
        explicit_bzero(d.data, d.size);
        return r;
}

int pki_key_import(gnutls_x509_privkey_t *ret, const char *pem) {
        gnutls_datum_t d = datum_of(pem);
        int r = gnutls_x509_privkey_init(ret);

        if (r < 0)
                return pki_errno(r);
        return pki_errno(gnutls_x509_privkey_import2(*ret, &d, GNUTLS_X509_FMT_PEM, NULL, 0));
}

int pki_crt_import(gnutls_x509_crt_t *ret, const char *pem) {
        gnutls_datum_t d = datum_of(pem);
        int r = gnutls_x509_crt_init(ret);

        if (r < 0)
                return pki_errno(r);
        return pki_errno(gnutls_x509_crt_import(*ret, &d, GNUTLS_X509_FMT_PEM));
}

int pki_key_new(char **ret_key_pem) {
        _cleanup_key_ gnutls_x509_privkey_t key = NULL;
        int r = key_generate(&key);

        return r < 0 ? r : key_export(key, ret_key_pem);
}

int pki_public_key(const char *key_pem, char **ret_public_pem) {
        _cleanup_key_ gnutls_x509_privkey_t key = NULL;
        _cleanup_datum_ gnutls_datum_t pem = {0};
        _cleanup_(privkey_donep) gnutls_privkey_t private = NULL;
        _cleanup_(pubkey_donep) gnutls_pubkey_t public = NULL;
        int r = pki_key_import(&key, key_pem);

        if (r < 0)
                return r;
        r = pki_errno(gnutls_privkey_init(&private));
        if (r < 0)
                return r;
        r = pki_errno(gnutls_privkey_import_x509(private, key, GNUTLS_PRIVKEY_IMPORT_COPY));
        if (r < 0)
                return r;
        r = pki_errno(gnutls_pubkey_init(&public));
        if (r < 0)
                return r;
        r = pki_errno(gnutls_pubkey_import_privkey(public, private, 0, 0));
        if (r < 0)
                return r;
        r = pki_errno(gnutls_pubkey_export2(public, GNUTLS_X509_FMT_PEM, &pem));
        if (r < 0)
                return r;
        return take_text(&pem, ret_public_pem);
}

/* Version, serial number and life; common to every certificate. */
int pki_crt_begin(gnutls_x509_crt_t *ret, uint64_t seconds) {
        unsigned char serial[16];
        time_t now = (time_t)(now_wall_us() / 1000000);
        int r = gnutls_x509_crt_init(ret);

        if (r < 0)
                return pki_errno(r);
        random_bytes(serial, sizeof(serial));
        serial[0] &= 0x7f; /* positive */
        serial[0] |= 0x40; /* and of full length */
        if (gnutls_x509_crt_set_version(*ret, 3) < 0 ||
                        gnutls_x509_crt_set_serial(*ret, serial, sizeof(serial)) < 0 ||
                        gnutls_x509_crt_set_activation_time(*ret, now - BACKDATE_S) < 0 ||
                        gnutls_x509_crt_set_expiration_time(*ret, now + (time_t)seconds) < 0)
                return -EINVAL;
        return 0;
}

static int set_key_id(gnutls_x509_crt_t crt) {
        unsigned char id[64];
        size_t n = sizeof(id);

        if (gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA1, id, &n) < 0)
                return -EINVAL;
        return pki_errno(gnutls_x509_crt_set_subject_key_id(crt, id, n));
}

int pki_ca_new(const char *cn, unsigned days, char **ret_cert_pem, char **ret_key_pem) {
        _cleanup_crt_ gnutls_x509_crt_t crt = NULL;
        _cleanup_key_ gnutls_x509_privkey_t key = NULL;
        _cleanup_datum_ gnutls_datum_t pem = {0};
        _cleanup_free_ char *cert = NULL;
        int r = key_generate(&key);

        if (r < 0)
                return r;
        r = pki_crt_begin(&crt, (uint64_t)days * 86400);
        if (r < 0)
                return r;
        if (gnutls_x509_crt_set_dn_by_oid(
                            crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn, (unsigned)strlen(cn)) < 0 ||
                        gnutls_x509_crt_set_key(crt, key) < 0 ||
                        gnutls_x509_crt_set_basic_constraints(crt, 1, -1) < 0 ||
                        gnutls_x509_crt_set_key_usage(
                                        crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN |
                                                             GNUTLS_KEY_DIGITAL_SIGNATURE) < 0 ||
                        set_key_id(crt) < 0 ||
                        gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0) < 0 ||
                        gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem) < 0)
                return -EINVAL;
        r = take_text(&pem, &cert);
        if (r < 0)
                return r;
        r = key_export(key, ret_key_pem);
        if (r < 0)
                return r;
        *ret_cert_pem = TAKE_PTR(cert);
        return 0;
}

/* A text address as its 4 or 16 octets; the size, or 0. */
static unsigned address_octets(const char *text, unsigned char octets[static 16]) {
        if (inet_pton(AF_INET, text, octets) == 1)
                return 4;
        return inet_pton(AF_INET6, text, octets) == 1 ? 16 : 0;
}

int pki_csr_new(const char *key_pem, const struct pki_subject *s, char **ret_csr_pem) {
        _cleanup_crq_ gnutls_x509_crq_t crq = NULL;
        _cleanup_key_ gnutls_x509_privkey_t key = NULL;
        _cleanup_datum_ gnutls_datum_t pem = {0};
        unsigned char octets[16];
        int r = pki_key_import(&key, key_pem);

        if (r < 0)
                return r;
        r = pki_errno(gnutls_x509_crq_init(&crq));
        if (r < 0)
                return r;
        if (gnutls_x509_crq_set_version(crq, 1) < 0 || gnutls_x509_crq_set_key(crq, key) < 0 ||
                        gnutls_x509_crq_set_dn_by_oid(crq, GNUTLS_OID_X520_COMMON_NAME, 0, s->cn,
                                        (unsigned)strlen(s->cn)) < 0)
                return -EINVAL;
        for (const char *const *o = s->organizations; o && *o; o++)
                if (gnutls_x509_crq_set_dn_by_oid(crq, GNUTLS_OID_X520_ORGANIZATION_NAME, 0, *o,
                                    (unsigned)strlen(*o)) < 0)
                        return -EINVAL;
        for (const char *const *n = s->dns_names; n && *n; n++)
                if (gnutls_x509_crq_set_subject_alt_name(crq, GNUTLS_SAN_DNSNAME, *n,
                                    (unsigned)strlen(*n), GNUTLS_FSAN_APPEND) < 0)
                        return -EINVAL;
        for (const char *const *a = s->ip_addresses; a && *a; a++) {
                unsigned n = address_octets(*a, octets);

                if (n == 0 || gnutls_x509_crq_set_subject_alt_name(crq, GNUTLS_SAN_IPADDRESS,
                                              octets, n, GNUTLS_FSAN_APPEND) < 0)
                        return -EINVAL;
        }
        if (gnutls_x509_crq_sign2(crq, key, GNUTLS_DIG_SHA256, 0) < 0 ||
                        gnutls_x509_crq_export2(crq, GNUTLS_X509_FMT_PEM, &pem) < 0)
                return -EINVAL;
        return take_text(&pem, ret_csr_pem);
}

/* A signature by a key without bounds takes minutes to verify. Exponents above 32 bits are not in
 * use (Go refuses them, too), nor is DSA, whose exponents have no bound. */
static bool has_sane_key(gnutls_x509_crq_t crq) {
        enum { RSA_BITS_MAX = 16384, OTHER_BITS_MAX = 4096, EXPONENT_SIZE_MAX = 5 };
        gnutls_datum_t modulus = {0}, exponent = {0};
        unsigned bits = 0;
        int algorithm = gnutls_x509_crq_get_pk_algorithm(crq, &bits);
        bool sane;

        if (algorithm != GNUTLS_PK_RSA)
                return algorithm != GNUTLS_PK_DSA && bits <= OTHER_BITS_MAX;
        if (bits > RSA_BITS_MAX || gnutls_x509_crq_get_key_rsa_raw(crq, &modulus, &exponent) < 0)
                return false;
        sane = exponent.size <= EXPONENT_SIZE_MAX;
        gnutls_free(modulus.data);
        gnutls_free(exponent.data);
        return sane;
}

static int crq_import(gnutls_x509_crq_t *ret, const char *csr_pem, struct problem *p) {
        gnutls_datum_t d = datum_of(csr_pem);

        if (strlen(csr_pem) > PEM_SIZE_MAX || gnutls_x509_crq_init(ret) < 0 ||
                        gnutls_x509_crq_import(*ret, &d, GNUTLS_X509_FMT_PEM) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "the certificate request is not a PEM \"CERTIFICATE REQUEST\"");
        if (!has_sane_key(*ret))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "the key of the certificate request is of a kind or a size that "
                                "is not taken");
        if (gnutls_x509_crq_verify(*ret, 0) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "the certificate request is not signed with the key it holds");
        return 0;
}

typedef int (*dn_func)(void *object, const char *oid, unsigned index, void *buffer, size_t *size);

static int crq_dn(void *object, const char *oid, unsigned index, void *buffer, size_t *size) {
        return gnutls_x509_crq_get_dn_by_oid(object, oid, (int)index, 0, buffer, size);
}

static int crt_dn(void *object, const char *oid, unsigned index, void *buffer, size_t *size) {
        return gnutls_x509_crt_get_dn_by_oid(object, oid, (int)index, 0, buffer, size);
}

/* One attribute of a subject; 0 when there are no more, -EINVAL when it is not text. */
static int dn_text(dn_func func, void *object, const char *oid, unsigned index,
                char buffer[static 1024]) {
        size_t n = 1023;
        int r = func(object, oid, index, buffer, &n);

        if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
                return 0;
        if (r < 0 || !utf8_is_valid(buffer, n))
                return -EINVAL;
        buffer[n] = 0;
        return 1;
}

static int read_subject(dn_func func, void *object, char **ret_cn, char ***ret_organizations) {
        _cleanup_strv_free_ char **organizations = NULL;
        _cleanup_free_ char *cn = NULL;
        char buffer[1024];
        int r = dn_text(func, object, GNUTLS_OID_X520_COMMON_NAME, 0, buffer);

        if (r < 0)
                return r;
        cn = strdup(r > 0 ? buffer : "");
        if (!cn)
                return -ENOMEM;
        for (unsigned i = 0; i < PKI_NAMES_MAX; i++) {
                r = dn_text(func, object, GNUTLS_OID_X520_ORGANIZATION_NAME, i, buffer);
                if (r < 0)
                        return r;
                if (r == 0)
                        break;
                if (strv_extend(&organizations, buffer) < 0)
                        return -ENOMEM;
        }
        if (ret_cn)
                *ret_cn = TAKE_PTR(cn);
        if (ret_organizations)
                *ret_organizations = TAKE_PTR(organizations);
        return 0;
}

int pki_crt_subject(gnutls_x509_crt_t crt, char **ret_cn, char ***ret_organizations) {
        return read_subject(crt_dn, crt, ret_cn, ret_organizations);
}

int pki_csr_read(const char *csr_pem, char **ret_cn, char ***ret_organizations, struct problem *p) {
        _cleanup_crq_ gnutls_x509_crq_t crq = NULL;
        int r = crq_import(&crq, csr_pem, p);

        if (r < 0)
                return r;
        r = read_subject(crq_dn, crq, ret_cn, ret_organizations);
        return r == -EINVAL ? problem_set(p, EINVAL, 400, "BadRequest",
                                              "the subject of the certificate request is not valid "
                                              "text")
                            : r;
}

void pki_request_done(struct pki_request *r) {
        free(r->cn);
        strv_free(r->organizations);
        strv_free(r->dns_names);
        strv_free(r->ip_addresses);
        free(r->odd);
        *r = (struct pki_request){0};
}

/* The first oddity stays. */
static int set_odd(struct pki_request *r, const char *what, const char *which) {
        if (r->odd)
                return 0;
        r->odd = strformat("%s%s%s", what, *which ? ": " : "", which);
        return r->odd ? 0 : -ENOMEM;
}

/* More than one CN, or anything in a subject that is neither CN nor O. */
static int look_at_subject(gnutls_x509_crq_t crq, struct pki_request *request) {
        unsigned names = 0;

        for (unsigned i = 0; i < PKI_NAMES_MAX; i++) {
                char oid[128];
                size_t n = sizeof(oid);
                int r = gnutls_x509_crq_get_dn_oid(crq, i, oid, &n);

                if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
                        return names > 1 ? set_odd(request, "the subject has more than one CN", "")
                                         : 0;
                if (r < 0)
                        return set_odd(request, "the subject cannot be read", "");
                if (streq(oid, GNUTLS_OID_X520_COMMON_NAME))
                        names++;
                else if (!streq(oid, GNUTLS_OID_X520_ORGANIZATION_NAME) &&
                                set_odd(request, "the subject has a part beside CN and O", oid) < 0)
                        return -ENOMEM;
        }
        return set_odd(request, "the subject has too many parts", "");
}

static int add_name(struct pki_request *request, unsigned type, const char *name, size_t n) {
        char text[INET6_ADDRSTRLEN];

        if (type == GNUTLS_SAN_IPADDRESS && (n == 4 || n == 16) &&
                        inet_ntop(n == 4 ? AF_INET : AF_INET6, name, text, sizeof(text)))
                return strv_extend(&request->ip_addresses, text);
        if (type == GNUTLS_SAN_DNSNAME && utf8_is_valid(name, n)) {
                _cleanup_free_ char *copy = strndup(name, n);

                return copy ? strv_extend(&request->dns_names, copy) : -ENOMEM;
        }
        return set_odd(request, "an alternative name is neither a DNS name nor an address", "");
}

static int look_at_names(gnutls_x509_crq_t crq, struct pki_request *request) {
        for (unsigned i = 0; i < PKI_NAMES_MAX; i++) {
                char name[1024];
                size_t n = sizeof(name);
                unsigned type = 0;
                int r = gnutls_x509_crq_get_subject_alt_name(crq, i, name, &n, &type, NULL);

                if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
                        return 0;
                if (r < 0)
                        return set_odd(request, "an alternative name cannot be read", "");
                r = add_name(request, type, name, n);
                if (r < 0)
                        return r;
        }
        return set_odd(request, "there are too many alternative names", "");
}

static int look_at_extensions(gnutls_x509_crq_t crq, struct pki_request *request) {
        /* Alternative names, key usage, extended key usage, basic constraints, key identifier. */
        static const char *const known[] = {
                        "2.5.29.17", "2.5.29.15", "2.5.29.37", "2.5.29.19", "2.5.29.14"};
        unsigned seen[ELEMENTS(known)] = {0}, ca = 0;

        for (unsigned i = 0; i < PKI_NAMES_MAX; i++) {
                char oid[128];
                size_t n = sizeof(oid), k;
                unsigned critical;
                int r = gnutls_x509_crq_get_extension_info(crq, i, oid, &n, &critical);

                if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
                        break;
                if (r < 0)
                        return set_odd(request, "an extension cannot be read", "");
                for (k = 0; k < ELEMENTS(known) && !streq(known[k], oid); k++)
                        ;
                if ((k == ELEMENTS(known) || seen[k]++ > 0) &&
                                set_odd(request, "an extension that is not expected", oid) < 0)
                        return -ENOMEM;
        }
        if (gnutls_x509_crq_get_basic_constraints(crq, NULL, &ca, NULL) >= 0 && ca)
                return set_odd(request, "a certificate of an authority is requested", "");
        return 0;
}

int pki_csr_details(const char *csr_pem, struct pki_request *ret, struct problem *p) {
        _cleanup_pki_request_ struct pki_request request = {0};
        _cleanup_crq_ gnutls_x509_crq_t crq = NULL;
        int r = crq_import(&crq, csr_pem, p);

        if (r < 0)
                return r;
        r = read_subject(crq_dn, crq, &request.cn, &request.organizations);
        if (r == -EINVAL)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "the subject of the certificate request is not valid text");
        if (r < 0)
                return r;
        r = look_at_subject(crq, &request);
        if (r < 0)
                return r;
        r = look_at_names(crq, &request);
        if (r < 0)
                return r;
        r = look_at_extensions(crq, &request);
        if (r < 0)
                return r;
        *ret = request;
        request = (struct pki_request){0};
        return 0;
}

/* Copies the alternative names that a request asks for: DNS names and addresses only. */
static int copy_names(gnutls_x509_crt_t crt, gnutls_x509_crq_t crq) {
        for (unsigned i = 0; i < PKI_NAMES_MAX; i++) {
                char name[1024];
                size_t n = sizeof(name);
                unsigned type = 0;
                int r = gnutls_x509_crq_get_subject_alt_name(crq, i, name, &n, &type, NULL);

                if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
                        return 0;
                if (r < 0)
                        return -EINVAL;
                if ((type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_IPADDRESS) &&
                                gnutls_x509_crt_set_subject_alt_name(crt, type, name, (unsigned)n,
                                                GNUTLS_FSAN_APPEND) < 0)
                        return -EINVAL;
        }
        return 0;
}

int pki_crt_set_usage(gnutls_x509_crt_t crt, unsigned usage) {
        if (gnutls_x509_crt_set_basic_constraints(crt, 0, -1) < 0 ||
                        gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE) < 0)
                return -EINVAL;
        if ((usage & PKI_USAGE_CLIENT) &&
                        gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_CLIENT, 0) < 0)
                return -EINVAL;
        if ((usage & PKI_USAGE_SERVER) &&
                        gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0) < 0)
                return -EINVAL;
        return 0;
}

int pki_crt_sign(gnutls_x509_crt_t crt, gnutls_x509_crt_t ca, gnutls_x509_privkey_t ca_key) {
        unsigned char id[64];
        size_t n = sizeof(id);
        int r = set_key_id(crt);

        if (r < 0)
                return r;
        if (gnutls_x509_crt_get_subject_key_id(ca, id, &n, NULL) >= 0 &&
                        gnutls_x509_crt_set_authority_key_id(crt, id, n) < 0)
                return -EINVAL;
        return pki_errno(gnutls_x509_crt_sign2(crt, ca, ca_key, GNUTLS_DIG_SHA256, 0));
}

/* The request's key, subject and names under the CA's name and signature; never its extensions,
 * such as CA: yes. */
static int certify(gnutls_x509_crt_t *ret, gnutls_x509_crq_t crq, gnutls_x509_crt_t ca,
                gnutls_x509_privkey_t ca_key, unsigned usage, uint64_t seconds) {
        int r = pki_crt_begin(ret, MIN(seconds, (uint64_t)100 * 365 * 86400));

        if (r < 0)
                return r;
        r = pki_errno(gnutls_x509_crt_set_crq(*ret, crq));
        if (r < 0)
                return r;
        r = copy_names(*ret, crq);
        if (r < 0)
                return r;
        r = pki_crt_set_usage(*ret, usage);
        if (r < 0)
                return r;
        return pki_crt_sign(*ret, ca, ca_key);
}

int pki_csr_sign(const char *ca_cert_pem, const char *ca_key_pem, const char *csr_pem,
                unsigned usage, uint64_t seconds, char **ret_cert_pem, struct problem *p) {
        _cleanup_crt_ gnutls_x509_crt_t ca = NULL, crt = NULL;
        _cleanup_crq_ gnutls_x509_crq_t crq = NULL;
        _cleanup_key_ gnutls_x509_privkey_t ca_key = NULL;
        _cleanup_datum_ gnutls_datum_t pem = {0};
        int r;

        if (pki_key_import(&ca_key, ca_key_pem) < 0 ||
                        pki_signer_import(&ca, ca_cert_pem, ca_key) < 0)
                return problem_set(p, EINVAL, 500, "InternalError",
                                "the CA's certificate or key cannot be read, or they do not belong "
                                "together");
        r = crq_import(&crq, csr_pem, p);
        if (r < 0)
                return r;
        r = certify(&crt, crq, ca, ca_key, usage, seconds);
        if (r < 0 || gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem) < 0)
                return problem_set(p, r < 0 ? -r : EINVAL, 500, "InternalError",
                                "the certificate request cannot be signed");
        return take_text(&pem, ret_cert_pem);
}

int pki_issue(const char *ca_cert_pem, const char *ca_key_pem, const struct pki_subject *subject,
                unsigned usage, uint64_t seconds, char **ret_cert_pem, char **ret_key_pem) {
        _cleanup_free_ char *key = NULL, *csr = NULL;
        _cleanup_problem_ struct problem p = {0};
        int r = pki_key_new(&key);

        if (r < 0)
                return r;
        r = pki_csr_new(key, subject, &csr);
        if (r < 0)
                return r;
        r = pki_csr_sign(ca_cert_pem, ca_key_pem, csr, usage, seconds, ret_cert_pem,
                        &p);
        if (r < 0)
                return r;
        *ret_key_pem = TAKE_PTR(key);
        return 0;
}

/* A peer that is to trust it gets it as a CA, so it is one. */
static int self_sign(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, unsigned usage) {
        int r = pki_crt_set_usage(crt, usage);

        if (r < 0)
                return r;
        r = pki_errno(gnutls_x509_crt_set_basic_constraints(crt, 1, 0));
        if (r < 0)
                return r;
        r = pki_errno(gnutls_x509_crt_set_key_usage(
                        crt, GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_KEY_CERT_SIGN));
        if (r < 0)
                return r;
        r = set_key_id(crt);
        return r < 0 ? r : pki_errno(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0));
}

int pki_self_signed(const struct pki_subject *subject, unsigned usage, unsigned days,
                char **ret_cert_pem, char **ret_key_pem) {
        _cleanup_free_ char *key_pem = NULL, *csr = NULL;
        _cleanup_key_ gnutls_x509_privkey_t key = NULL;
        _cleanup_crt_ gnutls_x509_crt_t crt = NULL;
        _cleanup_crq_ gnutls_x509_crq_t crq = NULL;
        _cleanup_datum_ gnutls_datum_t pem = {0};
        int r = pki_key_new(&key_pem);

        if (r < 0)
                return r;
        r = pki_csr_new(key_pem, subject, &csr);
        if (r < 0)
                return r;
        r = pki_key_import(&key, key_pem);
        if (r < 0)
                return r;
        r = crq_import(&crq, csr, NULL);
        if (r < 0)
                return r;
        r = pki_crt_begin(&crt, (uint64_t)days * 86400);
        if (r < 0)
                return r;
        r = pki_errno(gnutls_x509_crt_set_crq(crt, crq));
        if (r < 0)
                return r;
        r = copy_names(crt, crq);
        if (r < 0)
                return r;
        r = self_sign(crt, key, usage);
        if (r < 0)
                return r;
        r = pki_errno(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem));
        if (r < 0)
                return r;
        r = take_text(&pem, ret_cert_pem);
        if (r < 0)
                return r;
        *ret_key_pem = TAKE_PTR(key_pem);
        return 0;
}

int pki_cert_read(const char *cert_pem, char **ret_cn, char ***ret_organizations,
                uint64_t *ret_not_after_s) {
        _cleanup_crt_ gnutls_x509_crt_t crt = NULL;
        int r = pki_crt_import(&crt, cert_pem);

        if (r < 0)
                return r;
        time_t end = gnutls_x509_crt_get_expiration_time(crt);
        if (end == (time_t)-1)
                return -EINVAL;
        r = read_subject(crt_dn, crt, ret_cn, ret_organizations);
        if (r == 0 && ret_not_after_s)
                *ret_not_after_s = (uint64_t)end;
        return r;
}

int pki_cert_fingerprint(const char *cert_pem, char ret[static SHA256_HEX_SIZE]) {
        _cleanup_crt_ gnutls_x509_crt_t crt = NULL;
        _cleanup_datum_ gnutls_datum_t der = {0};
        int r = pki_crt_import(&crt, cert_pem);

        if (r < 0)
                return r;
        if (gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der) < 0)
                return -EINVAL;
        sha256_hex(der.data, der.size, ret);
        return 0;
}

int pki_cert_begins(const char *cert_pem, uint64_t *ret_not_before_s) {
        _cleanup_crt_ gnutls_x509_crt_t crt = NULL;
        int r = pki_crt_import(&crt, cert_pem);

        if (r < 0)
                return r;
        time_t begin = gnutls_x509_crt_get_activation_time(crt);
        if (begin == (time_t)-1)
                return -EINVAL;
        *ret_not_before_s = (uint64_t)begin;
        return 0;
}

int pki_cert_covers(const char *cert_pem, const char *host) {
        _cleanup_crt_ gnutls_x509_crt_t crt = NULL;
        int r = pki_crt_import(&crt, cert_pem);

        return r < 0 ? r : gnutls_x509_crt_check_hostname(crt, host) != 0;
}

int pki_cert_matches_key(const char *cert_pem, const char *key_pem) {
        _cleanup_crt_ gnutls_x509_crt_t crt = NULL;
        _cleanup_key_ gnutls_x509_privkey_t key = NULL;
        unsigned char a[64], b[64];
        size_t n = sizeof(a), m = sizeof(b);

        if (pki_crt_import(&crt, cert_pem) < 0 || pki_key_import(&key, key_pem) < 0 ||
                        gnutls_x509_crt_get_key_id(crt, 0, a, &n) < 0 ||
                        gnutls_x509_privkey_get_key_id(key, 0, b, &m) < 0)
                return -EINVAL;
        return n == m && memcmp(a, b, n) == 0;
}
