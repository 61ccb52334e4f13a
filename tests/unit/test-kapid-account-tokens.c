/* Tokens of service accounts: which one a Secret gets, and until when it is one. */
#include "tests/unit/kapid-admission.h"

#include "kapid/auth/authn.h"
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
        put("", "serviceaccounts", "shop/robot",
                        "{'metadata':{'name':'robot','namespace':'shop','uid':'u-a'}}");
        return 0;
}

static int tear_down_tokens(void **state) {
        api.jwt = sign_key_free(api.jwt);
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

/* What keeps an account or a Secret does not keep the token. */
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

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_owner),
                        cmocka_unit_test(test_replaced),
                        cmocka_unit_test(test_immutable),
                        cmocka_unit_test(test_ends),
        };

        return cmocka_run_group_tests(tests, set_up_tokens, tear_down_tokens);
}
