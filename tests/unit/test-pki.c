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
        assert_int_equal(pki_issue(ca, ca_key, &subject, PKI_USAGE_SERVER | PKI_USAGE_CLIENT, 5,
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

static void test_base64(void **state) {
        static const char *const bad[] = {"a", "ab=c", "a===", "ab c", "YQ", "YQ==\n"};
        _cleanup_free_ char *text = base64_encode("a\0b", 3);
        _cleanup_free_ void *data = NULL;
        size_t n;
        char hex[65];

        assert_string_equal(text, "YQBi");
        assert_int_equal(base64_decode("YQBi", &data, &n), 0);
        assert_int_equal(n, 3);
        assert_memory_equal(data, "a\0b", 3);
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                void *x;
                assert_int_equal(base64_decode(bad[i], &x, &n), -EINVAL);
        }
        sha256_hex("abc", 3, hex);
        assert_string_equal(
                        hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_chain),
                        cmocka_unit_test(test_request),
                        cmocka_unit_test(test_bad_requests),
                        cmocka_unit_test(test_base64),
        };

        return cmocka_run_group_tests_name("pki", tests, NULL, NULL);
}
