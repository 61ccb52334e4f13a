/* Certificates: a chain that verifies, requests that are signed as asked and no further, base64 and
 * SHA-256. */
#include "tests/unit/unit.h"

#include <gnutls/x509.h>

#include "lib/pki.h"

static gnutls_x509_crt_t import(const char *pem) {
        gnutls_datum_t d = {(unsigned char *)pem, (unsigned)strlen(pem)};
        gnutls_x509_crt_t crt;

        assert_int_equal(gnutls_x509_crt_init(&crt), 0);
        assert_int_equal(gnutls_x509_crt_import(crt, &d, GNUTLS_X509_FMT_PEM), 0);
        return crt;
}

static void test_chain(void **state) {
        _cleanup_free_ char *ca = NULL, *ca_key = NULL, *other = NULL, *other_key = NULL,
                            *cert = NULL, *key = NULL;
        const struct pki_subject subject = {.cn = "kapid",
                        .organizations = (const char *const[]){"one", "two", NULL},
                        .dns_names = (const char *const[]){"localhost", NULL},
                        .ip_addresses = (const char *const[]){"127.0.0.1", "::1", NULL}};
        unsigned status;

        assert_int_equal(pki_ca_new("test CA", 10, &ca, &ca_key), 0);
        assert_int_equal(pki_ca_new("other CA", 10, &other, &other_key), 0);
        assert_int_equal(pki_issue(ca, ca_key, &subject, PKI_USAGE_SERVER | PKI_USAGE_CLIENT,
                                         5 * 86400,
                                         &cert, &key),
                        0);
        gnutls_x509_crt_t c = import(cert), a = import(ca), b = import(other);
        assert_int_equal(gnutls_x509_crt_list_verify(&c, 1, &a, 1, NULL, 0, 0, &status), 0);
        assert_int_equal(status, 0);
        assert_int_equal(gnutls_x509_crt_list_verify(&c, 1, &b, 1, NULL, 0, 0, &status), 0);
        assert_int_not_equal(status, 0);
        assert_true(gnutls_x509_crt_check_hostname(c, "localhost"));
        assert_true(gnutls_x509_crt_check_hostname(c, "127.0.0.1"));
        assert_false(gnutls_x509_crt_check_hostname(c, "example.org"));
        assert_int_equal(gnutls_x509_crt_get_ca_status(c, NULL), 0);
        gnutls_x509_crt_deinit(a);
        gnutls_x509_crt_deinit(b);
        gnutls_x509_crt_deinit(c);
        assert_int_equal(pki_cert_matches_key(cert, key), 1);
        assert_int_equal(pki_cert_matches_key(cert, ca_key), 0);
}

static void test_request(void **state) {
        _cleanup_free_ char *ca = NULL, *ca_key = NULL, *key = NULL, *csr = NULL, *cert = NULL,
                            *cn = NULL, *cn2 = NULL;
        _cleanup_strv_free_ char **organizations = NULL, **organizations2 = NULL;
        const struct pki_subject subject = {.cn = "system:node:n1",
                        .organizations = (const char *const[]){"system:nodes", NULL}};
        _cleanup_problem_ struct problem p = {0};
        uint64_t end;

        assert_int_equal(pki_ca_new("test CA", 10, &ca, &ca_key), 0);
        assert_int_equal(pki_key_new(&key), 0);
        assert_int_equal(pki_csr_new(key, &subject, &csr), 0);
        assert_int_equal(pki_csr_read(csr, &cn, &organizations, &p), 0);
        assert_string_equal(cn, "system:node:n1");
        assert_int_equal(strv_length(organizations), 1);
        assert_string_equal(organizations[0], "system:nodes");
        assert_int_equal(pki_csr_sign(ca, ca_key, csr, PKI_USAGE_CLIENT, 3600, &cert, &p), 0);
        assert_int_equal(pki_cert_read(cert, &cn2, &organizations2, &end), 0);
        assert_string_equal(cn2, "system:node:n1");
        assert_true(end > 1700000000);
        assert_int_equal(pki_cert_matches_key(cert, key), 1);
}

static void test_bad_requests(void **state) {
        _cleanup_free_ char *key = NULL, *csr = NULL;
        const struct pki_subject subject = {.cn = "x"};
        _cleanup_problem_ struct problem p = {0};
        char *cn = NULL, **organizations = NULL;

        assert_int_equal(pki_csr_read("nonsense", &cn, &organizations, &p), -EINVAL);
        assert_int_equal(p.code, 400);
        assert_int_equal(pki_key_new(&key), 0);
        assert_int_equal(pki_csr_new(key, &subject, &csr), 0);
        char *middle = csr + strlen(csr) / 2;
        *middle = *middle == 'A' ? 'B' : 'A';
        assert_int_equal(pki_csr_read(csr, &cn, &organizations, &p), -EINVAL);
}

/* Requests made with other tools: what they ask for beside a name. */
static char *odd_request(void (*change)(gnutls_x509_crq_t crq)) {
        gnutls_x509_crq_t crq;
        gnutls_x509_privkey_t key;
        gnutls_datum_t pem;
        char *text;

        assert_int_equal(gnutls_x509_privkey_init(&key), 0);
        assert_int_equal(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                         GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                        0);
        assert_int_equal(gnutls_x509_crq_init(&crq), 0);
        assert_int_equal(gnutls_x509_crq_set_version(crq, 1), 0);
        assert_int_equal(gnutls_x509_crq_set_key(crq, key), 0);
        assert_int_equal(gnutls_x509_crq_set_dn(crq, "CN=system:node:n1,O=system:nodes", NULL), 0);
        change(crq);
        assert_int_equal(gnutls_x509_crq_sign2(crq, key, GNUTLS_DIG_SHA256, 0), 0);
        assert_int_equal(gnutls_x509_crq_export2(crq, GNUTLS_X509_FMT_PEM, &pem), 0);
        text = strndup((const char *)pem.data, pem.size);
        gnutls_free(pem.data);
        gnutls_x509_crq_deinit(crq);
        gnutls_x509_privkey_deinit(key);
        return text;
}

static void change_nothing(gnutls_x509_crq_t crq) {
        assert_int_equal(gnutls_x509_crq_set_key_usage(crq, GNUTLS_KEY_DIGITAL_SIGNATURE), 0);
        assert_int_equal(gnutls_x509_crq_set_basic_constraints(crq, 0, -1), 0);
}

static void change_cn(gnutls_x509_crq_t crq) {
        assert_int_equal(gnutls_x509_crq_set_dn(
                                         crq, "CN=system:node:n1,CN=admin,O=system:nodes", NULL),
                        0);
}

static void change_subject(gnutls_x509_crq_t crq) {
        assert_int_equal(gnutls_x509_crq_set_dn(crq, "CN=n1,O=system:nodes,OU=x", NULL), 0);
}

static void change_mail(gnutls_x509_crq_t crq) {
        assert_int_equal(gnutls_x509_crq_set_subject_alt_name(
                                         crq, GNUTLS_SAN_RFC822NAME, "a@b", 3, GNUTLS_FSAN_SET),
                        0);
}

static void change_ca(gnutls_x509_crq_t crq) {
        assert_int_equal(gnutls_x509_crq_set_basic_constraints(crq, 1, -1), 0);
}

static void change_extension(gnutls_x509_crq_t crq) {
        assert_int_equal(gnutls_x509_crq_set_extension_by_oid(crq, "1.2.3.4", "\x05\x00", 2, 0), 0);
}

static void test_odd_requests(void **state) {
        static const struct {
                void (*change)(gnutls_x509_crq_t crq);
                const char *said; /* NULL: nothing odd */
        } cases[] = {
                        {change_nothing, NULL},
                        {change_cn, "more than one CN"},
                        {change_subject, "beside CN and O"},
                        {change_mail, "neither a DNS name nor an address"},
                        {change_ca, "authority"},
                        {change_extension, "1.2.3.4"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *csr = odd_request(cases[i].change);
                _cleanup_pki_request_ struct pki_request r = {0};
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(pki_csr_details(csr, &r, &p), 0);
                if (!cases[i].said)
                        assert_null(r.odd);
                else if (!strstr(strempty(r.odd), cases[i].said))
                        fail_msg("want: %s got: %s", cases[i].said, strempty(r.odd));
        }
}

static void test_details(void **state) {
        _cleanup_free_ char *key = NULL, *csr = NULL;
        const struct pki_subject subject = {.cn = "system:node:n1",
                        .organizations = (const char *const[]){"a", "b", NULL},
                        .dns_names = (const char *const[]){"n1", "kubernetes", NULL},
                        .ip_addresses = (const char *const[]){"10.96.0.1", "::1", NULL}};
        _cleanup_pki_request_ struct pki_request r = {0};
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(pki_key_new(&key), 0);
        assert_int_equal(pki_csr_new(key, &subject, &csr), 0);
        assert_int_equal(pki_csr_details(csr, &r, &p), 0);
        assert_null(r.odd);
        assert_string_equal(r.cn, "system:node:n1");
        assert_int_equal(strv_length(r.organizations), 2);
        assert_int_equal(strv_length(r.dns_names), 2);
        assert_string_equal(r.dns_names[1], "kubernetes");
        assert_int_equal(strv_length(r.ip_addresses), 2);
        assert_string_equal(r.ip_addresses[0], "10.96.0.1");
        assert_string_equal(r.ip_addresses[1], "::1");
        assert_int_equal(pki_csr_details("nonsense", &r, &p), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_chain),
                        cmocka_unit_test(test_request),
                        cmocka_unit_test(test_odd_requests),
                        cmocka_unit_test(test_details),
                        cmocka_unit_test(test_bad_requests),
        };

        return cmocka_run_group_tests_name("pki", tests, NULL, NULL);
}
