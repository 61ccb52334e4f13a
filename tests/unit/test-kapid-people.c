/* Tokens of an OpenID Connect issuer, true and forged; certificates that were revoked. */
#include "tests/unit/unit.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>

#include "kapid/auth/oidc.h"
#include "kapid/auth/revoked.h"
#include "lib/buf.h"
#include "lib/crypto.h"
#include "lib/timefmt.h"

#define NOW UINT64_C(1700000000)
#define ISSUER "https://login.example.com/realm"

/* A key that signs as an issuer would, and its public half in a set. */
struct issuer_key {
        const char *id, *type;
        gnutls_pk_algorithm_t algorithm;
        unsigned bits;
        gnutls_privkey_t key;
};

static struct issuer_key keys[] = {
                {"rsa", "RSA", GNUTLS_PK_RSA, 2048, NULL},
                {"p256", "EC", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
                                NULL},
                {"p384", "EC", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1),
                                NULL},
};
static struct jwk_set *set;

static json_t *encoded(const gnutls_datum_t *d, size_t size) {
        const unsigned char *data = d->data;
        size_t n = d->size;
        unsigned char padded[66] = {0};
        _cleanup_free_ char *text = NULL;

        for (; n > 1 && *data == 0 && (size == 0 || n > size); n--)
                data++;
        if (size > n) {
                memcpy(padded + size - n, data, n);
                data = padded;
                n = size;
        }
        text = base64url_encode(data, n);
        return json_string(text);
}

static json_t *public_half(const struct issuer_key *k) {
        json_t *v = json_pack("{ss, ss, ss}", "kid", k->id, "kty", k->type, "use", "sig");
        gnutls_datum_t a, b;
        gnutls_pubkey_t public;
        gnutls_ecc_curve_t curve;

        assert_int_equal(gnutls_pubkey_init(&public), 0);
        assert_int_equal(gnutls_pubkey_import_privkey(public, k->key, 0, 0), 0);
        if (k->algorithm == GNUTLS_PK_RSA) {
                assert_int_equal(gnutls_pubkey_export_rsa_raw(public, &a, &b), 0);
                json_object_set_new(v, "n", encoded(&a, 0));
                json_object_set_new(v, "e", encoded(&b, 0));
        } else {
                assert_int_equal(gnutls_pubkey_export_ecc_raw(public, &curve, &a, &b), 0);
                size_t size = curve == GNUTLS_ECC_CURVE_SECP256R1 ? 32 : 48;
                json_object_set_new(v, "crv", json_string(size == 32 ? "P-256" : "P-384"));
                json_object_set_new(v, "x", encoded(&a, size));
                json_object_set_new(v, "y", encoded(&b, size));
        }
        gnutls_free(a.data);
        gnutls_free(b.data);
        gnutls_pubkey_deinit(public);
        return v;
}

static int make_keys(void **state) {
        _cleanup_json_ json_t *document = json_pack(
                        "{s[{ss, ss}, {ss}]}", "keys", "kty", "oct", "k", "c2VjcmV0", "kty", "OKP");
        _cleanup_problem_ struct problem p = {0};

        for (size_t i = 0; i < ELEMENTS(keys); i++) {
                assert_int_equal(gnutls_privkey_init(&keys[i].key), 0);
                assert_int_equal(gnutls_privkey_generate(
                                                 keys[i].key, keys[i].algorithm, keys[i].bits, 0),
                                0);
                json_array_append_new(json_object_get(document, "keys"), public_half(&keys[i]));
        }
        assert_int_equal(jwk_set_new(&set, document, &p), 0);
        assert_int_equal(jwk_set_count(set), ELEMENTS(keys)); /* the others are not used */
        return 0;
}

static int free_keys(void **state) {
        for (size_t i = 0; i < ELEMENTS(keys); i++)
                gnutls_privkey_deinit(keys[i].key);
        set = jwk_set_free(set);
        return 0;
}

static void append_signature(
                struct buf *token, const struct issuer_key *k, gnutls_sign_algorithm_t algorithm) {
        gnutls_datum_t in = {(unsigned char *)token->data, (unsigned)token->size}, der, r, s;
        unsigned char raw[132] = {0};
        _cleanup_free_ char *text = NULL;
        size_t size = k->algorithm == GNUTLS_PK_RSA ? 0 : streq(k->id, "p256") ? 32 : 48;

        assert_true(gnutls_privkey_sign_data2(k->key, algorithm, 0, &in, &der) >= 0);
        if (size == 0) {
                text = base64url_encode(der.data, der.size);
        } else {
                assert_int_equal(gnutls_decode_rs_value(&der, &r, &s), 0);
                for (size_t i = 0; i < size && i < r.size; i++)
                        raw[size - 1 - i] = r.data[r.size - 1 - i];
                for (size_t i = 0; i < size && i < s.size; i++)
                        raw[2 * size - 1 - i] = s.data[s.size - 1 - i];
                text = base64url_encode(raw, 2 * size);
                gnutls_free(r.data);
                gnutls_free(s.data);
        }
        gnutls_free(der.data);
        buf_append_char(token, '.');
        buf_append_str(token, text);
}

/* header and claims with ' for "; signed as said, or (NULL) with no signature. */
static char *token_of(const char *header, const char *claims, const struct issuer_key *k,
                gnutls_sign_algorithm_t algorithm) {
        struct buf token = {0};

        for (int part = 0; part < 2; part++) {
                _cleanup_free_ char *text = strdup(part == 0 ? header : claims), *code = NULL;

                for (char *c = text; *c; c++)
                        *c = *c == '\'' ? '"' : *c;
                code = base64url_encode(text, strlen(text));
                buf_append_str(&token, code);
                if (part == 0)
                        buf_append_char(&token, '.');
        }
        if (k)
                append_signature(&token, k, algorithm);
        else
                buf_append_char(&token, '.');
        return buf_take(&token);
}

static struct oidc_options usual(void) {
        static char *algorithms[] = {
                        (char *)"RS256", (char *)"ES256", (char *)"ES384", (char *)"PS256", NULL};

        return (struct oidc_options){.issuer_url = (char *)ISSUER,
                        .client_id = (char *)"keelson",
                        .username_claim = (char *)"sub",
                        .groups_claim = (char *)"groups",
                        .algorithms = algorithms};
}

static const char good[] = "{'iss':'" ISSUER "','aud':'keelson','sub':'ann','exp':1700000100}";

static int check(const struct oidc_options *o, const char *token, struct user *u,
                struct problem *p) {
        return oidc_token_check(o, set, token, NOW, u, p);
}

static void test_signatures(void **state) {
        static const struct {
                const char *header, *key;
                gnutls_sign_algorithm_t algorithm;
                int expected;
        } cases[] = {
                        {"{'alg':'RS256','kid':'rsa'}", "rsa", GNUTLS_SIGN_RSA_SHA256, 0},
                        {"{'alg':'PS256','kid':'rsa'}", "rsa", GNUTLS_SIGN_RSA_PSS_SHA256, 0},
                        {"{'alg':'ES256','kid':'p256'}", "p256", GNUTLS_SIGN_ECDSA_SHA256, 0},
                        {"{'alg':'ES384','kid':'p384'}", "p384", GNUTLS_SIGN_ECDSA_SHA384, 0},
                        {"{'alg':'RS256'}", "rsa", GNUTLS_SIGN_RSA_SHA256, 0},
                        /* made with a key, named as another */
                        {"{'alg':'ES256','kid':'other'}", "p256", GNUTLS_SIGN_ECDSA_SHA256,
                                        -ENOKEY},
                        {"{'alg':'ES256','kid':'p384'}", "p256", GNUTLS_SIGN_ECDSA_SHA256, -ENOKEY},
                        {"{'alg':'RS256','kid':'p256'}", "rsa", GNUTLS_SIGN_RSA_SHA256, -ENOKEY},
                        {"{'alg':'RS256','kid':'rsa'}", "p256", GNUTLS_SIGN_ECDSA_SHA256, -EACCES},
                        {"{'alg':'PS256','kid':'rsa'}", "rsa", GNUTLS_SIGN_RSA_SHA256, -EACCES},
                        /* not among --oidc-signing-algs, or no signature at all */
                        {"{'alg':'RS512','kid':'rsa'}", "rsa", GNUTLS_SIGN_RSA_SHA512, -EACCES},
                        {"{'alg':'none','kid':'rsa'}", NULL, 0, -EACCES},
                        {"{'alg':'None'}", NULL, 0, -EACCES},
                        {"{'alg':'RS256','kid':'rsa'}", NULL, 0, -EACCES},
                        {"{'alg':['RS256'],'kid':'rsa'}", "rsa", GNUTLS_SIGN_RSA_SHA256, -EACCES},
                        {"{'alg':'RS256','kid':7}", "rsa", GNUTLS_SIGN_RSA_SHA256, -EACCES},
                        {"{'alg':'RS256','kid':'rsa','crit':['b64']}", "rsa",
                                        GNUTLS_SIGN_RSA_SHA256, -EACCES},
                        {"{'alg':'RS256','alg':'none'}", "rsa", GNUTLS_SIGN_RSA_SHA256, -EACCES},
                        {"{}", "rsa", GNUTLS_SIGN_RSA_SHA256, -EACCES},
                        {"[]", "rsa", GNUTLS_SIGN_RSA_SHA256, -EACCES},
        };
        struct oidc_options o = usual();

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct issuer_key *k = NULL;
                _cleanup_problem_ struct problem p = {0};
                _cleanup_user_ struct user u = {0};

                for (size_t j = 0; cases[i].key && j < ELEMENTS(keys); j++)
                        if (streq(keys[j].id, cases[i].key))
                                k = &keys[j];
                _cleanup_free_ char *token = token_of(cases[i].header, good, k, cases[i].algorithm);
                int r = check(&o, token, &u, &p);

                if (r != cases[i].expected)
                        print_error("%s by %s: %d, %s\n", cases[i].header, strempty(cases[i].key),
                                        r, strempty(p.message));
                assert_int_equal(r, cases[i].expected);
                assert_int_equal(p.code, r == -EACCES ? 401 : 0);
        }
}

/* The public key as the secret of an HMAC (RFC 8725 section 2.1), in PEM and as the JWK has it. */
static void test_public_key_as_secret(void **state) {
        static char *all[] = {(char *)"RS256", (char *)"HS256", NULL};
        struct oidc_options o = usual();
        _cleanup_problem_ struct problem p = {0};
        _cleanup_user_ struct user u = {0};
        _cleanup_free_ char *token = token_of("{'alg':'HS256','kid':'rsa'}", good, NULL, 0),
                            *code = NULL, *forged = NULL;
        gnutls_datum_t pem;
        gnutls_pubkey_t public;
        unsigned char mac[32];

        assert_int_equal(gnutls_pubkey_init(&public), 0);
        assert_int_equal(gnutls_pubkey_import_privkey(public, keys[0].key, 0, 0), 0);
        assert_int_equal(gnutls_pubkey_export2(public, GNUTLS_X509_FMT_PEM, &pem), 0);
        assert_int_equal(gnutls_hmac_fast(GNUTLS_MAC_SHA256, pem.data, pem.size, token,
                                         strlen(token) - 1, mac),
                        0);
        gnutls_free(pem.data);
        gnutls_pubkey_deinit(public);
        code = base64url_encode(mac, sizeof(mac));
        forged = strformat("%s%s", token, code);
        assert_int_equal(check(&o, forged, &u, &p), -EACCES);
        o.algorithms = all; /* not even where the flag would name it, which it cannot */
        assert_int_equal(check(&o, forged, &u, &p), -EACCES);
        assert_int_equal(oidc_options_check(&o, "x", &p), -EINVAL);
        assert_non_null(strstr(p.message, "HS256"));
}

static void test_claims(void **state) {
#define WHO "'iss':'" ISSUER "','aud':'keelson','sub':'ann'"
        static const struct {
                const char *claims, *message; /* message NULL: accepted */
        } cases[] = {
                        {"{" WHO ",'exp':1700000100}", NULL},
                        {"{" WHO ",'exp':1700000000.5}", NULL},
                        {"{" WHO ",'exp':1700000100,'nbf':1700000060}", NULL},
                        {"{" WHO ",'exp':1700000000}", "has expired"},
                        {"{" WHO ",'exp':1}", "has expired"},
                        {"{" WHO "}", "has no claim exp"},
                        {"{" WHO ",'exp':'1800000000'}", "exp that is not a time"},
                        {"{" WHO ",'exp':1e300}", "exp that is not a time"},
                        {"{" WHO ",'exp':-5}", "exp that is not a time"},
                        {"{" WHO ",'exp':true}", "exp that is not a time"},
                        {"{" WHO ",'exp':1700000100,'nbf':1700000061}", "not valid yet"},
                        {"{" WHO ",'exp':1700000100,'nbf':'x'}", "nbf that is not a time"},
                        {"{'iss':'" ISSUER "/','aud':'keelson','sub':'ann','exp':1700000100}",
                                        "not from the issuer"},
                        {"{'iss':['" ISSUER "'],'aud':'keelson','sub':'ann','exp':1700000100}",
                                        "not from the issuer"},
                        {"{'aud':'keelson','sub':'ann','exp':1700000100}", "not from the issuer"},
                        {"{'iss':'" ISSUER "','aud':'keelson2','sub':'ann','exp':1700000100}",
                                        "another audience than keelson"},
                        {"{'iss':'" ISSUER "','sub':'ann','exp':1700000100}", "another audience"},
                        {"{'iss':'" ISSUER "','aud':[],'sub':'ann','exp':1700000100}",
                                        "another audience"},
                        {"{'iss':'" ISSUER "','aud':['x',7,'keelson'],'sub':'a','exp':1700000100}",
                                        NULL},
                        {"{'iss':'" ISSUER "','aud':'keelson','exp':1700000100}", "no claim sub"},
                        {"{'iss':'" ISSUER "','aud':'keelson','sub':'','exp':1700000100}",
                                        "no claim sub"},
                        {"{'iss':'" ISSUER "','aud':'keelson','sub':7,'exp':1700000100}",
                                        "no claim sub"},
                        {"{'iss':'" ISSUER "','aud':'keelson','sub':'a\\u0007b','exp':1700000100}",
                                        "no valid name"},
                        {"{" WHO ",'exp':1700000100,'groups':7}", "neither a text nor a list"},
                        {"{" WHO ",'exp':1700000100,'groups':[7]}", "no list of texts"},
                        {"{" WHO ",'sub':'eve','exp':1700000100}", "not a JSON Web Token"},
        };
        struct oidc_options o = usual();

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *token = token_of("{'alg':'ES256','kid':'p256'}",
                                cases[i].claims, &keys[1], GNUTLS_SIGN_ECDSA_SHA256);
                _cleanup_problem_ struct problem p = {0};
                _cleanup_user_ struct user u = {0};
                int r = check(&o, token, &u, &p);

                if (r != (cases[i].message ? -EACCES : 0))
                        print_error("%s: %d, %s\n", cases[i].claims, r, strempty(p.message));
                assert_int_equal(r, cases[i].message ? -EACCES : 0);
                if (cases[i].message && !strstr(p.message, cases[i].message))
                        fail_msg("%s: %s", cases[i].claims, p.message);
        }
}

static void test_users(void **state) {
        static char *required[] = {(char *)"team=ops", NULL};
        static const struct {
                const char *claim, *prefix, *groups_prefix, *more, *user, *groups;
                bool required;
        } cases[] = {
                        {"sub", NULL, NULL, "", ISSUER "#ann", "system:authenticated", false},
                        {"sub", "-", NULL, "", "ann", "system:authenticated", false},
                        {"sub", "oidc:", "oidc:", ",'groups':['a','b','a']", "oidc:ann",
                                        "oidc:a oidc:b system:authenticated", false},
                        {"sub", "", NULL, ",'groups':'one'", ISSUER "#ann",
                                        "one system:authenticated", false},
                        {"email", NULL, NULL, ",'email':'a@b.c'", "a@b.c", "system:authenticated",
                                        false},
                        {"email", NULL, NULL, ",'email':'a@b.c','email_verified':true", "a@b.c",
                                        "system:authenticated", false},
                        {"email", NULL, NULL, ",'email':'a@b.c','email_verified':false", NULL, NULL,
                                        false},
                        {"email", NULL, NULL, ",'email':'a@b.c','email_verified':'true'", NULL,
                                        NULL, false},
                        /* the cluster's own names are nobody else's */
                        {"sub", "system:", NULL, "", NULL, NULL, false},
                        {"name", "-", NULL, ",'name':'system:admin'", NULL, NULL, false},
                        {"sub", "-", NULL, ",'groups':['system:masters','x']", "ann",
                                        "x system:authenticated", false},
                        {"sub", "-", "system:", ",'groups':['masters']", "ann",
                                        "system:authenticated", false},
                        {"sub", "-", NULL, ",'team':'ops'", "ann", "system:authenticated", true},
                        {"sub", "-", NULL, ",'team':'dev'", NULL, NULL, true},
                        {"sub", "-", NULL, ",'team':['ops']", NULL, NULL, true},
                        {"sub", "-", NULL, "", NULL, NULL, true},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *claims = strformat(
                                                    "{" WHO ",'exp':1700000100%s}", cases[i].more),
                                    *token = token_of("{'alg':'RS256','kid':'rsa'}", claims,
                                                    &keys[0], GNUTLS_SIGN_RSA_SHA256),
                                    *groups = NULL;
                _cleanup_problem_ struct problem p = {0};
                _cleanup_user_ struct user u = {0};
                struct oidc_options o = usual();
                int r;

                o.username_claim = (char *)cases[i].claim;
                o.username_prefix = (char *)cases[i].prefix;
                o.groups_prefix = (char *)cases[i].groups_prefix;
                o.required_claims = cases[i].required ? required : NULL;
                r = check(&o, token, &u, &p);
                if (r != (cases[i].user ? 0 : -EACCES))
                        print_error("%s: %d %s\n", claims, r, strempty(p.message));
                assert_int_equal(r, cases[i].user ? 0 : -EACCES);
                if (r < 0)
                        continue;
                groups = strv_join(u.groups, " ");
                assert_string_equal(u.name, cases[i].user);
                assert_string_equal(groups, cases[i].groups);
        }
}

static void test_sizes(void **state) {
        struct oidc_options o = usual();
        _cleanup_free_ char *big = calloc(1, 20000), *claims = NULL, *token = NULL, *dots = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_user_ struct user u = {0};

        memset(big, 'x', 19999);
        claims = strformat("{" WHO ",'exp':1700000100,'x':'%s'}", big);
        token = token_of("{'alg':'RS256','kid':'rsa'}", claims, &keys[0], GNUTLS_SIGN_RSA_SHA256);
        assert_int_equal(check(&o, token, &u, &p), -EACCES);
        assert_false(oidc_token_is_from(token, ISSUER));
        assert_false(oidc_token_is_from("..", ISSUER));
        assert_false(oidc_token_is_from("", ISSUER));
        memset(big, '.', 19999);
        assert_int_equal(check(&o, big, &u, &p), -EACCES);
        dots = token_of("{'alg':'ES256'}", good, &keys[1], GNUTLS_SIGN_ECDSA_SHA256);
        assert_true(oidc_token_is_from(dots, ISSUER));
        assert_int_equal(check(&o, dots, &u, &p), 0);
        /* another letter: still base64url, another signature */
        dots[strlen(dots) - 3] = dots[strlen(dots) - 3] == 'A' ? 'B' : 'A';
        assert_int_equal(check(&o, dots, &u, &p), -EACCES);
        assert_int_equal(oidc_token_check(&o, NULL, dots, NOW, &u, &p), -ENOKEY);
}

static void test_key_sets(void **state) {
        static const char *const bad[] = {"{}", "[]", "{\"keys\":{}}", "{\"keys\":[]}",
                        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
                        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQ\",\"y\":\"AQ\"}]}",
                        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AQAB\"}]}"};
        _cleanup_json_ json_t *many = json_pack("{s[]}", "keys"),
                              *encryption = json_pack("{s[o]}", "keys", public_half(&keys[0]));
        struct jwk_set *s = NULL;

        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                _cleanup_json_ json_t *v = NULL;
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(json_parse(bad[i], strlen(bad[i]), 0, &v, NULL), 0);
                assert_int_equal(jwk_set_new(&s, v, &p), -EINVAL);
                assert_non_null(p.message);
        }
        for (size_t i = 0; i <= JWK_COUNT_MAX; i++)
                json_array_append_new(json_object_get(many, "keys"), public_half(&keys[1]));
        _cleanup_problem_ struct problem p = {0};
        assert_int_equal(jwk_set_new(&s, many, &p), -EINVAL);
        json_object_set_new(json_array_get(json_object_get(encryption, "keys"), 0), "use",
                        json_string("enc"));
        assert_int_equal(jwk_set_new(&s, encryption, &p), -EINVAL);
        assert_null(s);
}

static void test_flags(void **state) {
        static const struct {
                const char *url, *client, *message;
        } cases[] = {
                        {NULL, NULL, NULL},
                        {"https://a", "x", NULL},
                        {"https://a:8443/b/", "x", NULL},
                        {NULL, "x", "needs --oidc-issuer-url"},
                        {"https://a", NULL, "needs --oidc-client-id"},
                        {"http://a", "x", "expected https://"},
                        {"https://", "x", "expected https://"},
                        {"https:///b", "x", "expected https://"},
                        {"https://a?b", "x", "expected https://"},
                        {"https://own", "x", "the cluster's own issuer"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                struct oidc_options o = usual();

                o.issuer_url = (char *)cases[i].url;
                o.client_id = (char *)cases[i].client;
                assert_int_equal(oidc_options_check(&o, "https://own", &p),
                                cases[i].message ? -EINVAL : 0);
                if (cases[i].message)
                        assert_non_null(strstr(p.message, cases[i].message));
        }
}

static void test_pauses(void **state) {
        assert_int_equal(oidc_pause_us(0), 300 * 1000000ull);
        assert_int_equal(oidc_pause_us(1), 1000000);
        assert_int_equal(oidc_pause_us(4), 8000000);
        assert_int_equal(oidc_pause_us(7), 60000000);
        assert_int_equal(oidc_pause_us(4000000000u), 60000000);
        assert_false(oidc_may_fetch(1000000, 10999999));
        assert_true(oidc_may_fetch(1000000, 11000000));
}

static void test_revoked(void **state) {
        static const char text[] =
                        "{\"spec\":{\"revokedAt\":\"2024-01-02T00:00:00Z\",\"certificates\":["
                        "{\"fingerprint\":\"aa\",\"expiresAt\":\"2024-05-01T00:00:00Z\"},"
                        "{\"fingerprint\":\"bb\",\"expiresAt\":\"2026-05-01T00:00:00Z\","
                        "\"revokedAt\":\"2024-01-02T00:00:00Z\"}]}}";
        _cleanup_json_ json_t *v = NULL, *empty = json_object();
        char time[TIMEFMT_SIZE];

        assert_int_equal(json_parse(text, strlen(text), 0, &v, NULL), 0);
        assert_true(certificate_is_listed(v, "aa"));
        assert_false(certificate_is_listed(v, "bb"));
        assert_false(certificate_is_listed(v, "cc"));
        assert_false(certificate_is_listed(v, ""));
        assert_false(certificate_is_listed(empty, "aa"));
        assert_int_equal(revoked_until(empty), 0);
        assert_string_equal(time_format(revoked_until(v), time), "2026-05-01T00:00:00Z");
        json_array_clear(json_object_get(json_object_get(v, "spec"), "certificates"));
        /* of certificates that nobody listed: the longest life from the revocation on */
        assert_string_equal(time_format(revoked_until(v), time), "2025-01-02T00:00:00Z");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_signatures),
                        cmocka_unit_test(test_public_key_as_secret),
                        cmocka_unit_test(test_claims),
                        cmocka_unit_test(test_users),
                        cmocka_unit_test(test_sizes),
                        cmocka_unit_test(test_key_sets),
                        cmocka_unit_test(test_flags),
                        cmocka_unit_test(test_pauses),
                        cmocka_unit_test(test_revoked),
        };

        return cmocka_run_group_tests(tests, make_keys, free_keys);
}
