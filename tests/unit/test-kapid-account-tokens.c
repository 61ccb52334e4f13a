/* Tokens of service accounts: which one a Secret gets, and until when it is one. */
#include "tests/unit/kapid-admission.h"

#include "kapid/auth/account-token.h"
#include "kapid/auth/authn.h"
#include "kapid/auth/issuer.h"
#include "kapid/auth/jwt.h"
#include "kapid/auth/verified.h"
#include "lib/jwk.h"
#include "lib/object.h"
#include "lib/timefmt.h"

#define NAMED(more) \
        "'name':'s','namespace':'shop','uid':'u-s','annotations':{" \
        "'kubernetes.io/service-account.name':'robot'" more "}"
#define SECRET(metadata, more) \
        "{'metadata':{" metadata "},'type':'kubernetes.io/service-account-token'" more "}"
#define OF(uid) NAMED(",'kubernetes.io/service-account.uid':'" uid "'")
#define OWNER(uid) "{'apiVersion':'v1','kind':'ServiceAccount','name':'robot','uid':'" uid "'}"
#define DATA "'data':{'token':'b2xk','namespace':'c2hvcA=='}"

static int set_up_tokens(void **state) {
        _cleanup_free_ char *pem = NULL;

        if (set_up(state) < 0)
                return -1;
        api.options.issuer = "https://keelson";
        assert_int_equal(pki_key_new(&pem), 0);
        assert_int_equal(sign_key_new(&api.jwt, pem), 0);
        assert_int_equal(verified_new(&api.verified, NULL), 0);
        put("", "serviceaccounts", "shop/robot",
                        "{'metadata':{'name':'robot','namespace':'shop','uid':'u-a'}}");
        return 0;
}

static int tear_down_tokens(void **state) {
        api.jwt = sign_key_free(api.jwt);
        api.verified = verified_free(api.verified);
        return tear_down(state);
}

/* The Secret as it would be stored; live NULL: it is new. */
static json_t *admitted(const char *live_text, const char *text) {
        _cleanup_(admission_chain_freep) struct admission_chain *chain =
                        chain_of("ServiceAccountToken", true);
        _cleanup_json_ json_t *live = live_text ? parse(live_text) : NULL;
        _cleanup_problem_ struct problem p = {0};
        const struct question q = {
                        .group = "", .plural = "secrets", .namespace = "shop", .name = "s"};
        json_t *object = parse(text);

        if (run(chain, &q, ADMISSION_MUTATE, live, object, &p) < 0)
                fail_msg("%s", strempty(p.message));
        return object;
}

static char *token_of(const json_t *secret) {
        void *token = NULL;
        size_t n;

        assert_int_equal(base64_decode(json_str_or(secret, "data.token", ""), &token, &n), 0);
        return token;
}

static void test_owner(void **state) {
        static const struct {
                const char *live, *object, *expected;
        } cases[] = {
                        {NULL, SECRET(NAMED(""), ""), "[" OWNER("u-a") "]"},
                        {NULL, SECRET(NAMED("") ",'ownerReferences':[" OWNER("u-a") "]", ""),
                                        "[" OWNER("u-a") "]"},
                        {SECRET(OF("u-a"), ""), SECRET(NAMED(""), ""), "[" OWNER("u-a") "]"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *o = admitted(cases[i].live, cases[i].object);

                assert_json(json_at(o, "metadata.ownerReferences"), cases[i].expected);
        }
}

/* A token stays, but one of an account that is gone is replaced. */
static void test_replaced(void **state) {
        _cleanup_json_ json_t *kept = admitted(SECRET(OF("u-a"), "," DATA),
                                              SECRET(OF("u-a"), "," DATA)),
                              *other = admitted(SECRET(OF("u-x"), "," DATA),
                                              SECRET(OF("u-x"), "," DATA));

        assert_json(json_at(kept, "data.token"), "'b2xk'");
        assert_false(streq(json_str_or(other, "data.token", ""), "b2xk"));
        assert_json(json_at(other, "metadata.annotations"),
                        "{'kubernetes.io/service-account.name':'robot',"
                        "'kubernetes.io/service-account.uid':'u-a'}");
}

/* An immutable Secret can still be labelled, and its finalizers taken away. */
static void test_immutable(void **state) {
        static const char text[] = SECRET(OF("u-a"), ",'immutable':true," DATA);
        _cleanup_json_ json_t *o = admitted(text, text), *expected = parse(text);

        put("", "configmaps", "shop/kube-root-ca.crt",
                        "{'metadata':{'name':'kube-root-ca.crt'},'data':{'ca.crt':'x'}}");
        json_decref(o);
        o = admitted(text, text);
        assert_true(json_equal(json_object_get(o, "data"), json_object_get(expected, "data")));
}

/* What keeps an account or a Secret does not keep the token, remembered or not. */
static void test_ends(void **state) {
        static const struct {
                const char *plural, *name, *uid;
                int ago_s; /* since its deletion; -1: it is not deleted */
                int expected;
        } cases[] = {
                        {"secrets", "s", "u-s", -1, 0},
                        {"secrets", "s", "u-s", 10, 0},
                        {"secrets", "s", "u-s", 90, -EACCES},
                        {"secrets", "s", "u-other", -1, -EACCES},
                        {"secrets", "s", "u-s", -1, 0},
                        {"serviceaccounts", "robot", "u-a", 90, -EACCES},
                        {"serviceaccounts", "robot", "u-a", 10, 0},
                        {"serviceaccounts", "robot", "u-b", -1, -EACCES},
        };
        _cleanup_json_ json_t *secret = admitted(NULL, SECRET(NAMED(""), ""));
        _cleanup_free_ char *token = token_of(secret);

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *path = strformat("shop/%s", cases[i].name), *text = NULL;
                _cleanup_problem_ struct problem p = {0};
                _cleanup_user_ struct user user = {0};
                char at[TIMEFMT_SIZE];

                time_format(now_wall_us() - (uint64_t)(MAX(cases[i].ago_s, 0)) * 1000000, at);
                text = strformat("{'metadata':{'name':'%s','namespace':'shop','uid':'%s'%s%s%s}}",
                                cases[i].name, cases[i].uid,
                                cases[i].ago_s < 0 ? "" : ",'deletionTimestamp':'",
                                cases[i].ago_s < 0 ? "" : at, cases[i].ago_s < 0 ? "" : "'");
                put("", cases[i].plural, path, text);
                assert_int_equal(authenticate_token(&api, token, &user, &p), cases[i].expected);
        }
}

static char *new_token(const struct sign_key *key, uint64_t now_s, uint64_t end_s) {
        _cleanup_json_ json_t *account = parse("{'metadata':{'name':'robot','uid':'u-a'}}"),
                              *claims = account_token_claims(
                                              &(struct account_token){.issuer = api.options.issuer,
                                                              .namespace = "shop",
                                                              .account = account,
                                                              .now_s = now_s,
                                                              .end_s = end_s});
        char *token = NULL;

        assert_int_equal(jwt_sign(key, claims, &token), 0);
        return token;
}

static int ask(const char *token) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_user_ struct user user = {0};
        int r = authenticate_token(&api, token, &user, &p);

        if (r >= 0)
                assert_string_equal(user.name, "system:serviceaccount:shop:robot");
        return r;
}

static void put_account(const char *uid) {
        _cleanup_free_ char *text = strformat(
                        "{'metadata':{'name':'robot','namespace':'shop','uid':'%s'}}", uid);

        put("", "serviceaccounts", "shop/robot", text);
}

/* Only the signature is remembered, and only for the very same token. */
static void test_remembered(void **state) {
        const uint64_t now_s = now_wall_us() / 1000000;
        _cleanup_free_ char *pem = NULL, *token = new_token(api.jwt, now_s, now_s + 3600),
                            *late = new_token(api.jwt, now_s - 20, now_s - 10), *forged = NULL;
        _cleanup_(sign_key_freep) struct sign_key *other = NULL;
        struct token_digest d = token_digest(late);
        char *last;

        put_account("u-a");
        verified_forget(api.verified, VERIFIED_BY_CLUSTER);
        assert_int_equal(ask(token), 0);
        assert_int_equal(verified_count(api.verified), 1);
        assert_int_equal(ask(token), 0);
        assert_int_equal(verified_count(api.verified), 1);
        /* its account is another one now */
        put_account("u-b");
        assert_int_equal(ask(token), -EACCES);
        put_account("u-a");
        assert_int_equal(ask(token), 0);
        /* the same claims with another signature */
        last = token + strlen(token) - 3;
        *last = *last == 'A' ? 'B' : 'A';
        assert_int_equal(ask(token), -EACCES);
        assert_int_equal(pki_key_new(&pem), 0);
        assert_int_equal(sign_key_new(&other, pem), 0);
        forged = new_token(other, now_s, now_s + 3600);
        assert_int_equal(ask(forged), -EACCES);
        assert_int_equal(verified_count(api.verified), 1);
        /* one that has expired since it was remembered */
        _cleanup_json_ json_t *claims = NULL;
        assert_int_equal(jwt_verify_signature(api.jwt, late, &claims), 0);
        verified_add(api.verified, &d, VERIFIED_BY_CLUSTER, claims, strlen(late));
        assert_int_equal(ask(late), -EACCES);
}

static void test_other_keys(void **state) {
        const uint64_t now_s = now_wall_us() / 1000000;
        _cleanup_free_ char *pem = NULL, *token = new_token(api.jwt, now_s, now_s + 3600);
        struct sign_key *own = api.jwt;
        struct token_digest d = token_digest(token);

        put_account("u-a");
        assert_int_equal(ask(token), 0);
        assert_true(verified_has(api.verified, &d, VERIFIED_BY_CLUSTER));
        assert_false(verified_has(api.verified, &d, VERIFIED_BY_ISSUER));
        verified_forget(api.verified, VERIFIED_BY_ISSUER);
        assert_true(verified_has(api.verified, &d, VERIFIED_BY_CLUSTER));
        verified_forget(api.verified, VERIFIED_BY_CLUSTER);
        assert_int_equal(verified_count(api.verified), 0);
        assert_int_equal(pki_key_new(&pem), 0);
        assert_int_equal(sign_key_new(&api.jwt, pem), 0);
        assert_int_equal(ask(token), -EACCES);
        sign_key_free(api.jwt);
        api.jwt = own;
        assert_int_equal(ask(token), 0);
}

/* As many as are kept, and those that were used last. */
static void test_bounds(void **state) {
        _cleanup_(verified_freep) struct verified *v = NULL;
        _cleanup_json_ json_t *claims = json_object();
        struct token_digest first = token_digest("0"), d;

        assert_int_equal(verified_new(&v, NULL), 0);
        for (unsigned i = 0; i <= VERIFIED_TOKENS_MAX; i++) {
                _cleanup_free_ char *text = strformat("%u", i);
                _cleanup_json_ json_t *found = NULL;

                d = token_digest(text);
                verified_add(v, &d, VERIFIED_BY_CLUSTER, claims, 10);
                found = verified_find(v, &first, VERIFIED_BY_CLUSTER);
                assert_ptr_equal(found, claims);
        }
        assert_int_equal(verified_count(v), VERIFIED_TOKENS_MAX);
        assert_true(verified_has(v, &d, VERIFIED_BY_CLUSTER));
        d = token_digest("1");
        assert_false(verified_has(v, &d, VERIFIED_BY_CLUSTER));
        d = token_digest("large");
        verified_add(v, &d, VERIFIED_BY_ISSUER, claims, VERIFIED_BYTES_MAX);
        assert_int_equal(verified_count(v), 1);
        d = token_digest("larger");
        verified_add(v, &d, VERIFIED_BY_ISSUER, claims, VERIFIED_BYTES_MAX + 1);
        assert_false(verified_has(v, &d, VERIFIED_BY_ISSUER));
}

/* What the issuer says of itself: its published key verifies what it signs, and is public only. */
static void test_issuer(void **state) {
        _cleanup_json_ json_t *known = issuer_keys(api.jwt),
                              *one = issuer_configuration("https://keelson", api.jwt),
                              *two = issuer_configuration("https://keelson/", api.jwt);
        _cleanup_(jwk_set_freep) struct jwk_set *set = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ void *signature = NULL;
        struct jws w = {.algorithm = "ES256",
                        .key_id = sign_key_id(api.jwt),
                        .data = "x",
                        .size = 1};

        assert_int_equal(jwk_set_new(&set, known, &p), 0);
        assert_int_equal(jwk_set_count(set), 1);
        assert_int_equal(sign_key_sign(api.jwt, "x", 1, &signature, &w.signature_size), 0);
        w.signature = signature;
        assert_int_equal(jwk_set_verify(set, &w), 0);
        w.data = "y";
        assert_int_equal(jwk_set_verify(set, &w), -EINVAL);
        assert_null(json_object_get(json_array_get(json_object_get(known, "keys"), 0), "d"));
        assert_string_equal(json_str(one, "issuer"), "https://keelson");
        assert_string_equal(json_str(one, "jwks_uri"), "https://keelson/openid/v1/jwks");
        assert_string_equal(json_str(two, "jwks_uri"), "https://keelson/openid/v1/jwks");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_owner),
                        cmocka_unit_test(test_replaced),
                        cmocka_unit_test(test_immutable),
                        cmocka_unit_test(test_ends),
                        cmocka_unit_test(test_remembered),
                        cmocka_unit_test(test_other_keys),
                        cmocka_unit_test(test_bounds),
                        cmocka_unit_test(test_issuer),
        };

        return cmocka_run_group_tests(tests, set_up_tokens, tear_down_tokens);
}
