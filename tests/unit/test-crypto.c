/* Hashes, derived keys, seals, signatures, Base64: against published examples. */
#include "tests/unit/unit.h"

#include "lib/crypto.h"
#include "lib/pki.h"

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

static void test_sha256(void **state) {
        _cleanup_(sha256_freep) struct sha256 *h = sha256_new();
        uint8_t first[SHA256_SIZE], second[SHA256_SIZE], empty[SHA256_SIZE];

        assert_non_null(h);
        sha256_take(h, empty);
        sha256_add(h, "ab", 2);
        sha256_add(h, "c", 1);
        sha256_take(h, first);
        sha256_add(h, "abc", 3);
        sha256_take(h, second);
        assert_memory_equal(first, second, sizeof(first));
        assert_memory_equal(first, "\xba\x78\x16\xbf", 4);
        assert_memory_equal(empty, "\xe3\xb0\xc4\x42", 4);
        assert_true(secret_equal(first, second, sizeof(first)));
        second[31] ^= 1;
        assert_false(secret_equal(first, second, sizeof(first)));
}

/* RFC 5869, appendix A.1. */
static void test_key_derive(void **state) {
        static const uint8_t salt[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
        static const uint8_t expected[] = {0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a, 0x90,
                        0x43, 0x4f, 0x64, 0xd0, 0x36, 0x2f, 0x2a, 0x2d, 0x2d, 0x0a, 0x90, 0xcf,
                        0x1a, 0x5a, 0x4c, 0x5d, 0xb0, 0x2d, 0x56, 0xec, 0xc4, 0xc5, 0xbf, 0x34,
                        0x00, 0x72, 0x08, 0xd5, 0xb8, 0x87, 0x18, 0x58, 0x65};
        uint8_t material[22], key[sizeof(expected)];
        const struct key_source source = {
                        .material = material,
                        .material_size = sizeof(material),
                        .salt = salt,
                        .salt_size = sizeof(salt),
                        .purpose = "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9",
        };

        memset(material, 0x0b, sizeof(material));
        assert_int_equal(key_derive(&source, key, sizeof(key)), 0);
        assert_memory_equal(key, expected, sizeof(key));
}

static void test_seal(void **state) {
        uint8_t key[SEAL_KEY_SIZE] = {1}, other[SEAL_KEY_SIZE] = {2};
        _cleanup_free_ void *sealed = NULL, *again = NULL, *opened = NULL;
        size_t n, m, k;
        void *x;

        assert_int_equal(seal(key, "secret", 6, &sealed, &n), 0);
        assert_int_equal(n, 8 + 12 + 6 + 16);
        assert_memory_equal(sealed, "KLSNSEA1", 8);
        assert_int_equal(seal(key, "secret", 6, &again, &m), 0);
        assert_memory_not_equal(sealed, again, n);
        assert_int_equal(unseal(key, sealed, n, &opened, &k), 0);
        assert_int_equal(k, 6);
        assert_string_equal(opened, "secret");
        assert_int_equal(unseal(other, sealed, n, &x, &k), -EBADMSG);
        assert_int_equal(unseal(key, sealed, n - 1, &x, &k), -EBADMSG);
        for (size_t i = 0; i < n; i++) {
                ((uint8_t *)sealed)[i] ^= 1;
                assert_int_equal(unseal(key, sealed, n, &x, &k), -EBADMSG);
                ((uint8_t *)sealed)[i] ^= 1;
        }
}

/* RFC 7515, appendix A.3: the key's public half as PEM, the signing input, the signature. */
static void test_published_signature(void **state) {
        static const char pem[] =
                        "-----BEGIN PUBLIC KEY-----\n"
                        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n"
                        "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
                        "-----END PUBLIC KEY-----\n";
        static const char input[] = "eyJhbGciOiJFUzI1NiJ9."
                                    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6"
                                    "Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        static const char text[] = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8IS"
                                   "lSApmWQxfKTUJqPP3-Kg6NU1Q";
        _cleanup_(sign_key_freep) struct sign_key *k = NULL;
        _cleanup_free_ void *signature = NULL;
        size_t n;

        assert_int_equal(sign_key_new(&k, pem), 0);
        assert_false(sign_key_is_private(k));
        assert_string_equal(sign_key_algorithm(k), "ES256");
        assert_int_equal(base64url_decode(text, strlen(text), &signature, &n), 0);
        assert_int_equal(n, 64);
        assert_int_equal(sign_key_verify(k, input, strlen(input), signature, n), 0);
        assert_int_equal(sign_key_verify(k, input, strlen(input) - 1, signature, n), -EINVAL);
        assert_int_equal(sign_key_verify(k, input, strlen(input), signature, n - 1), -EINVAL);
        ((uint8_t *)signature)[40] ^= 1;
        assert_int_equal(sign_key_verify(k, input, strlen(input), signature, n), -EINVAL);
}

static void test_signature(void **state) {
        _cleanup_free_ char *private = NULL, *public = NULL;
        _cleanup_(sign_key_freep) struct sign_key *signer = NULL, *verifier = NULL;
        struct sign_key *none = NULL;

        assert_int_equal(pki_key_new(&private), 0);
        assert_int_equal(pki_public_key(private, &public), 0);
        assert_int_equal(sign_key_new(&signer, private), 0);
        assert_int_equal(sign_key_new(&verifier, public), 0);
        assert_int_equal(sign_key_new(&none, "nonsense"), -EINVAL);
        assert_true(sign_key_is_private(signer));
        assert_string_equal(sign_key_id(signer), sign_key_id(verifier));
        assert_int_equal(strlen(sign_key_id(signer)), 40);
        /* Coordinates that begin with a zero are padded: one in 128 signatures has one. */
        for (int i = 0; i < 300; i++) {
                _cleanup_free_ void *signature = NULL;
                size_t n;

                assert_int_equal(sign_key_sign(signer, &i, sizeof(i), &signature, &n), 0);
                assert_int_equal(n, 64);
                assert_int_equal(sign_key_verify(verifier, &i, sizeof(i), signature, n), 0);
        }
        void *signature;
        size_t n;
        assert_int_equal(sign_key_sign(verifier, "x", 1, &signature, &n), -EOPNOTSUPP);
}

static void test_base64url(void **state) {
        static const char *const bad[] = {"a", "+w", "/w", "YQ==", "Y Q"};
        _cleanup_free_ char *text = base64url_encode("\xfb\xff\xfe?", 4);
        _cleanup_free_ void *data = NULL;
        size_t n;

        assert_string_equal(text, "-__-Pw");
        assert_int_equal(base64url_decode("-__-Pw.rest", 6, &data, &n), 0);
        assert_int_equal(n, 4);
        assert_memory_equal(data, "\xfb\xff\xfe?", 4);
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                void *x;
                assert_int_equal(base64url_decode(bad[i], strlen(bad[i]), &x, &n), -EINVAL);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_base64),
                        cmocka_unit_test(test_base64url),
                        cmocka_unit_test(test_sha256),
                        cmocka_unit_test(test_key_derive),
                        cmocka_unit_test(test_seal),
                        cmocka_unit_test(test_published_signature),
                        cmocka_unit_test(test_signature),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
