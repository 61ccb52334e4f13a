/* Encryption of stored values: values that Python's cryptography made (AES-GCM) and NaCl's own
 * example (secretbox) open; what was changed, cut or moved does not; configurations. */
#include "tests/unit/unit.h"

#include "kapid/crypt/crypt.h"
#include "lib/crypto.h"
#include "lib/secretbox.h"

#define KEY "/registry/secrets/default/x"
#define PLAIN "{\"kind\":\"Secret\",\"metadata\":{\"name\":\"x\"},\"data\":{\"a\":\"c2VjcmV0\"}}"
#define SECRET16 "AAECAwQFBgcICQoLDA0ODw=="
#define SECRET24 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
#define SECRET32 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define OTHER32 "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="

/* Of the keys above over PLAIN, beside KEY: nonce, cipher text, tag. */
static const char gcm16[] = "6465666768696a6b6c6d6e6f614025ccb5669ac0b96d3273f4af5fce1caa159ae6c8b93b80"
                            "0e93adc7d09992d799701ea96005eca67a4327f9e3663da0bf7c51a724221a95e462309aae"
                            "471d198677b2e47d08e6744867ea4485162bfc",
                  gcm24[] = "6465666768696a6b6c6d6e6f924ad0153ccb2c02f18287628897ef9cf17b33af8ee8158ef5"
                            "226af0cd4cf621373125a57a6d66cd52b107d0586302d61b4c4f7abb2fc12feffb3562c551"
                            "f34d97aae550883cb384022ccfc7c999b4c618",
                  gcm32[] = "6465666768696a6b6c6d6e6f3339b50f178d74a41c313a8ba8001edf6ee06b6fff0d9713d3"
                            "b08e728081cb29f98c62fa6e6ab979d1d11c5e8923e8f56079f9c51a68221aac9bcfbbb9b1"
                            "87f77595cd53be0b44eb516a09c013d2d7294e",
                  box32[] = "32333435363738393a3b3c3d3e3f40414243444546474849912dc86867aa371e1e967d665b"
                            "cd7e8755263a9797afd05c400464c9d2fdb6540824205dfb831e5aeff8fece902c8142430d"
                            "224e34cf090aec65b69b732300ca14e0fd2298a289fc5704bef4ba3227a6c7";

static struct kind_registry *kinds;

static int setup(void **state) {
        struct problem p = {0};

        return kind_registry_new(&kinds, &p);
}

static int teardown(void **state) {
        kind_registry_free(kinds);
        return 0;
}

static size_t from_hex(const char *hex, uint8_t *ret) {
        size_t n = strlen(hex) / 2;

        for (size_t i = 0; i < n; i++) {
                unsigned byte;

                assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
                ret[i] = (uint8_t)byte;
        }
        return n;
}

#define HEAD \
        "apiVersion: apiserver.config.k8s.io/v1\n" \
        "kind: EncryptionConfiguration\n" \
        "resources:\n"

static struct crypt *config(const char *entries) {
        _cleanup_free_ char *text = strformat(HEAD "%s", entries);
        struct problem p = {0};
        struct crypt *c = NULL;

        assert_non_null(text);
        if (crypt_new(&c, text, strlen(text), kinds, &p) < 0)
                fail_msg("%s", p.message);
        return c;
}

/* One resource and its providers, in flow style. */
static struct crypt *secrets(const char *providers) {
        _cleanup_free_ char *entry = strformat(
                        "- resources: [secrets]\n  providers: [%s]\n", providers);

        return config(entry);
}

#define GCM(name, secret) "{aesgcm: {keys: [{name: " name ", secret: \"" secret "\"}]}}"
#define BOX(name, secret) "{secretbox: {keys: [{name: " name ", secret: \"" secret "\"}]}}"

struct stored {
        uint8_t data[512];
        size_t size;
};

static struct stored stored_of(const char *prefix, const char *hex) {
        struct stored s = {.size = strlen(prefix)};

        memcpy(s.data, prefix, s.size);
        s.size += from_hex(hex, s.data + s.size);
        return s;
}

static int open_it(struct crypt *c, const char *key, const struct stored *s,
                struct crypt_opened *ret) {
        return crypt_open(c, key, (const char *)s->data, s->size, ret);
}

static void assert_opens(struct crypt *c, const char *prefix, const char *hex, bool stale) {
        struct stored s = stored_of(prefix, hex);
        struct crypt_opened o;

        assert_int_equal(open_it(c, KEY, &s, &o), 0);
        assert_int_equal(o.size, strlen(PLAIN));
        assert_string_equal(o.value, PLAIN);
        assert_int_equal(o.stale, stale);
        crypt_opened_done(&o);
}

/* why: a part of the sentence. */
static void assert_refused(struct crypt *c, const char *key, const struct stored *s,
                const char *why) {
        struct crypt_opened o;

        assert_int_equal(open_it(c, key, s, &o), -EBADMSG);
        assert_null(o.value);
        if (!strstr(o.why, why) || !strstr(o.why, key))
                fail_msg("%s", o.why);
        crypt_opened_done(&o);
}

static void test_vectors(void **state) {
        _cleanup_(crypt_freep) struct crypt *c = secrets(GCM("a", SECRET32) "," GCM(
                        "b", SECRET24) "," GCM("c", SECRET16) "," BOX("d", SECRET32));

        assert_opens(c, "k8s:enc:aesgcm:v1:a:", gcm32, false);
        assert_opens(c, "k8s:enc:aesgcm:v1:b:", gcm24, true);
        assert_opens(c, "k8s:enc:aesgcm:v1:c:", gcm16, true);
        assert_opens(c, "k8s:enc:secretbox:v1:d:", box32, true);
}

/* tests/secretbox.c of NaCl. */
static void test_nacl(void **state) {
        uint8_t key[32], sealed[24 + 16 + 131], plain[131], wanted[131];
        size_t n;

        from_hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389", key);
        n = from_hex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37"
                     "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4"
                     "476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738"
                     "b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de"
                     "56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5",
                        sealed);
        assert_int_equal(n, sizeof(sealed));
        from_hex("be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a"
                 "1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057"
                 "e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040"
                 "e082f937763848645e0705",
                        wanted);
        assert_int_equal(secretbox_open(key, sealed, n, plain), 0);
        assert_memory_equal(plain, wanted, sizeof(wanted));
        for (size_t size = 0; size <= sizeof(plain); size += 13) { /* around the first block too */
                uint8_t again[24 + 16 + 131];

                secretbox_seal(key, plain, size, again);
                memset(wanted, 0, sizeof(wanted));
                assert_int_equal(secretbox_open(key, again, size + 40, wanted), 0);
                assert_memory_equal(plain, wanted, size);
                again[size + 39] ^= 1;
                assert_int_equal(secretbox_open(key, again, size + 40, wanted), -EBADMSG);
        }
}

static void round_trip(struct crypt *c, const char *prefix, size_t overhead) {
        struct stored first = {0}, second = {0};
        char *sealed = NULL;

        for (int i = 0; i < 2; i++) {
                struct stored *s = i ? &second : &first;

                assert_int_equal(crypt_seal(c, KEY, PLAIN, strlen(PLAIN), &sealed, &s->size), 1);
                assert_int_equal(s->size, strlen(prefix) + overhead + strlen(PLAIN));
                memcpy(s->data, sealed, s->size);
                free(sealed);
        }
        assert_memory_equal(first.data, prefix, strlen(prefix));
        assert_memory_not_equal(first.data, second.data, first.size);
        assert_null(memmem(first.data, first.size, "Secret", 6));
        struct crypt_opened o;
        assert_int_equal(open_it(c, KEY, &second, &o), 0);
        assert_string_equal(o.value, PLAIN);
        assert_false(o.stale);
        crypt_opened_done(&o);
}

static void test_round_trip(void **state) {
        _cleanup_(crypt_freep) struct crypt *gcm = secrets(GCM("k", SECRET32)),
                                            *box = secrets(BOX("k", SECRET32));

        round_trip(gcm, "k8s:enc:aesgcm:v1:k:", 28);
        round_trip(box, "k8s:enc:secretbox:v1:k:", 40);
}

static void test_damage(void **state) {
        _cleanup_(crypt_freep) struct crypt *c = secrets(GCM("a", SECRET32) "," BOX(
                                                            "d", SECRET32) ",{identity: {}}"),
                                            *other = secrets(GCM("a", OTHER32));
        static const struct {
                const char *prefix, *hex;
        } values[] = {{"k8s:enc:aesgcm:v1:a:", gcm32}, {"k8s:enc:secretbox:v1:d:", box32}};

        for (size_t v = 0; v < ELEMENTS(values); v++) {
                struct stored good = stored_of(values[v].prefix, values[v].hex);
                size_t head = strlen(values[v].prefix);

                for (size_t bit = 8 * head; bit < 8 * good.size; bit += 3) {
                        struct stored s = good;

                        s.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
                        assert_refused(c, KEY, &s, "was changed");
                }
                for (size_t n = head; n < good.size; n++) {
                        struct stored s = good;

                        s.size = n;
                        assert_refused(c, KEY, &s, "was changed");
                }
        }
        struct stored s = stored_of("k8s:enc:aesgcm:v1:a:", gcm32);
        assert_refused(c, "/registry/secrets/default/y", &s, "was moved from another object");
        assert_refused(c, "/registry/secrets/other/x", &s, "was moved");
        assert_refused(other, KEY, &s, "another key of that name");
}

static void test_unknown_key(void **state) {
        _cleanup_(crypt_freep) struct crypt *c = secrets(GCM("a", SECRET32));
        struct stored s = stored_of("k8s:enc:aesgcm:v1:gone:", gcm32),
                      bare = stored_of("k8s:enc:", ""), odd = stored_of("k8s:enc:a\x1b[2J:v1", "");

        assert_refused(c, KEY, &s, "the key \"gone\" (aesgcm, v1)");
        assert_refused(NULL, KEY, &s, "the key \"gone\" (aesgcm, v1)");
        assert_refused(c, "/registry/configmaps/default/x", &s, "the key \"gone\"");
        assert_refused(c, KEY, &bare, "the key \"\"");
        assert_refused(c, KEY, &odd, "a?[2J");
}

static void test_plain(void **state) {
        _cleanup_(crypt_freep) struct crypt *with = secrets(GCM("a", SECRET32) ",{identity: {}}"),
                                            *without = secrets(GCM("a", SECRET32)),
                                            *first = secrets("{identity: {}}," GCM("a", SECRET32));
        struct stored s = stored_of(PLAIN, "");
        struct crypt_opened o;
        char *sealed = NULL;
        size_t n;

        assert_int_equal(open_it(with, KEY, &s, &o), 0);
        assert_null(o.value); /* as it is, without a copy */
        assert_true(o.stale);
        assert_string_equal(o.with, "identity");
        assert_int_equal(open_it(first, KEY, &s, &o), 0);
        assert_false(o.stale);
        assert_refused(without, KEY, &s, "is not encrypted");
        assert_int_equal(crypt_seal(first, KEY, PLAIN, 5, &sealed, &n), 0);
        assert_opens(first, "k8s:enc:aesgcm:v1:a:", gcm32, true);
        /* Other kinds, and none. */
        assert_int_equal(open_it(without, "/registry/pods/default/x", &s, &o), 0);
        assert_false(o.stale);
        assert_int_equal(crypt_seal(with, "/registry/pods/default/x", PLAIN, 5, &sealed, &n), 0);
        assert_int_equal(crypt_seal(NULL, KEY, PLAIN, 5, &sealed, &n), 0);
        assert_int_equal(open_it(NULL, KEY, &s, &o), 0);
}

static bool seals(struct crypt *c, const char *key) {
        char *sealed = NULL;
        size_t n;
        int r = crypt_seal(c, key, "{}", 2, &sealed, &n);

        assert_true(r >= 0);
        free(sealed);
        return r > 0;
}

static void test_places(void **state) {
        _cleanup_(crypt_freep) struct crypt *c = config(
                "- resources: [events]\n"
                "  providers: [{identity: {}}]\n"
                "- resources: [configmaps, deployments.apps, widgets.example.com, '*.batch']\n"
                "  providers: [" GCM("a", SECRET32) "]\n"),
                *all = config(
                "- resources: [events]\n"
                "  providers: [{identity: {}}]\n"
                "- resources: ['*.*']\n"
                "  providers: [" GCM("a", SECRET32) "]\n");

        assert_true(seals(c, "/registry/configmaps/default/x"));
        assert_true(seals(c, "/registry/deployments/default/x"));
        assert_true(seals(c, "/registry/jobs/default/x"));
        assert_true(seals(c, "/registry/example.com/widgets/default/x"));
        assert_false(seals(c, "/registry/example.com/gadgets/default/x"));
        assert_false(seals(c, "/registry/secrets/default/x"));
        assert_false(seals(c, "/registry/events/default/x"));
        assert_true(seals(all, "/registry/secrets/default/x"));
        assert_true(seals(all, "/registry/example.com/gadgets/default/x"));
        assert_false(seals(all, "/registry/events/default/x"));
        /* Its own notes are not objects. */
        assert_false(seals(all, "/registry/ranges/ips/10.96.0.1"));
        assert_false(seals(all, "/registry/kapids/kubernetes-10-0-0-1"));
        assert_true(crypt_is_in(all, "/registry/secrets/default/x", "/registry/"));
        assert_false(crypt_is_in(all, "/registry/events/default/x", "/registry/"));
}

static void test_refusals(void **state) {
        static const struct {
                const char *entries, *why;
        } cases[] = {
                        {"- resources: [secrets]\n", "providers must list"},
                        {"- providers: [{identity: {}}]\n", "resources must name"},
                        {"- resources: [secretz]\n  providers: [{identity: {}}]\n",
                                        "\"secretz\" is not a resource"},
                        {"- resources: ['*']\n  providers: [{identity: {}}]\n",
                                        "\"*\" is not a resource"},
                        {"- resources: [secrets]\n  providers: [{kms: {}}]\n",
                                        "providers[0].kms: this provider is not supported"},
                        {"- resources: [secrets]\n  providers: [{identity: {}, aesgcm: {}}]\n",
                                        "must name one provider"},
                        {"- resources: [secrets]\n  providers: [{aesgcm: {keys: []}}]\n",
                                        "keys must list"},
                        {"- resources: [secrets]\n  providers: [" GCM("'a:b'", SECRET32) "]\n",
                                        "keys[0].name must be"},
                        {"- resources: [secrets]\n  providers: [" GCM("a", "AAEC") "]\n",
                                        "keys[0].secret has 3 bytes"},
                        {"- resources: [secrets]\n  providers: [" BOX("a", SECRET16) "]\n",
                                        "keys[0].secret has 16 bytes; it must have 32"},
                        {"- resources: [secrets]\n  providers: [" GCM("a", "topsecret!") "]\n",
                                        "keys[0].secret is not Base64"},
                        {"- resources: [secrets]\n  provider: [{identity: {}}]\n",
                                        "the field \"provider\" is not known"},
                        {" []\n", "resources must list"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = strformat(HEAD "%s", cases[i].entries);
                struct problem p = {0};
                struct crypt *c = NULL;

                assert_int_equal(crypt_new(&c, text, strlen(text), kinds, &p), -EINVAL);
                if (!strstr(p.message, cases[i].why))
                        fail_msg("%zu: %s", i, p.message);
                assert_null(strstr(p.message, "topsecret"));
                problem_done(&p);
        }
}

static void test_report(void **state) {
        _cleanup_(crypt_freep) struct crypt *c = secrets(GCM("a", SECRET32) ",{identity: {}}"),
                                            *d = secrets(GCM("a", OTHER32) ",{identity: {}}");
        _cleanup_json_ json_t *one = crypt_report(c), *two = crypt_report(d);
        _cleanup_free_ char *text = json_text(one);

        assert_null(strstr(text, SECRET32));
        const json_t *keys = json_object_get(json_array_get(one, 0), "keys"),
                     *others = json_object_get(json_array_get(two, 0), "keys");
        assert_string_equal(json_str(json_array_get(keys, 0), "name"), "a");
        assert_string_equal(json_str(json_array_get(keys, 1), "provider"), "identity");
        assert_string_not_equal(json_str(json_array_get(keys, 0), "id"),
                        json_str(json_array_get(others, 0), "id"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_vectors),
                        cmocka_unit_test(test_nacl),
                        cmocka_unit_test(test_round_trip),
                        cmocka_unit_test(test_damage),
                        cmocka_unit_test(test_unknown_key),
                        cmocka_unit_test(test_plain),
                        cmocka_unit_test(test_places),
                        cmocka_unit_test(test_refusals),
                        cmocka_unit_test(test_report),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
