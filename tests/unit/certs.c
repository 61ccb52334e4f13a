#include "tests/unit/unit.h"

#include "tests/unit/certs.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <time.h>

#define OK(expr) assert_int_equal((expr), 0)

static char *export_text(gnutls_datum_t *d) {
        char *s = strndup((char *)d->data, d->size);

        gnutls_free(d->data);
        assert_non_null(s);
        return s;
}

static void set_leaf(gnutls_x509_crt_t crt) {
        const struct in_addr loopback = {htonl(INADDR_LOOPBACK)};

        OK(gnutls_x509_crt_set_subject_alt_name(
                        crt, GNUTLS_SAN_DNSNAME, "localhost", 9, GNUTLS_FSAN_SET));
        OK(gnutls_x509_crt_set_subject_alt_name(
                        crt, GNUTLS_SAN_IPADDRESS, &loopback, 4, GNUTLS_FSAN_APPEND));
        OK(gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0));
        OK(gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_CLIENT, 0));
        OK(gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE));
}

static void sign(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, const struct test_cert *issuer) {
        gnutls_datum_t cert_pem = {(void *)issuer->cert, (unsigned)strlen(issuer->cert)};
        gnutls_datum_t key_pem = {(void *)issuer->key, (unsigned)strlen(issuer->key)};
        gnutls_x509_privkey_t ca_key;
        gnutls_x509_crt_t ca;

        OK(gnutls_x509_crt_init(&ca));
        OK(gnutls_x509_crt_import(ca, &cert_pem, GNUTLS_X509_FMT_PEM));
        OK(gnutls_x509_privkey_init(&ca_key));
        OK(gnutls_x509_privkey_import(ca_key, &key_pem, GNUTLS_X509_FMT_PEM));
        OK(gnutls_x509_crt_sign2(crt, ca, ca_key, GNUTLS_DIG_SHA256, 0));
        gnutls_x509_crt_deinit(ca);
        gnutls_x509_privkey_deinit(ca_key);
}

struct test_cert test_cert_new(const struct test_cert *issuer, const char *cn,
                const char *organization, bool expired) {
        const time_t start = 1600000000, end = expired ? 1600001000 : 4000000000;
        gnutls_x509_privkey_t key;
        gnutls_x509_crt_t crt;
        struct test_cert c;
        gnutls_datum_t out;

        OK(gnutls_x509_privkey_init(&key));
        OK(gnutls_x509_privkey_generate(
                        key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
        OK(gnutls_x509_crt_init(&crt));
        OK(gnutls_x509_crt_set_version(crt, 3));
        OK(gnutls_x509_crt_set_serial(crt, issuer ? "\2" : "\1", 1));
        OK(gnutls_x509_crt_set_activation_time(crt, start));
        OK(gnutls_x509_crt_set_expiration_time(crt, end));
        OK(gnutls_x509_crt_set_dn_by_oid(
                        crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn, (unsigned)strlen(cn)));
        if (organization)
                OK(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_ORGANIZATION_NAME, 0,
                                organization, (unsigned)strlen(organization)));
        OK(gnutls_x509_crt_set_key(crt, key));
        OK(gnutls_x509_crt_set_basic_constraints(crt, issuer ? 0 : 1, -1));
        if (issuer) {
                set_leaf(crt);
                sign(crt, key, issuer);
        } else {
                OK(gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN));
                OK(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0));
        }
        OK(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &out));
        c.cert = export_text(&out);
        OK(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &out));
        c.key = export_text(&out);
        gnutls_x509_crt_deinit(crt);
        gnutls_x509_privkey_deinit(key);
        return c;
}

void test_cert_done(struct test_cert *c) {
        free(c->cert);
        free(c->key);
        *c = (struct test_cert){0};
}
