/* Secrets that support bundles must not have: each planted one is gone, and the text around it is
 * still there. */
#include "tests/unit/unit.h"

#include <sys/stat.h>

#include "kctl/support.h"
#include "kctl/tar-write.h"
#include "lib/fileio.h"
#include "lib/object.h"

static struct redactor *redactor;

static int setup(void **state) {
        _cleanup_json_ json_t *secret = json_pack("{s:{s:s, s:s, s:s, s:s, s:s}}", "data",
                        "password", "cGxhbnRlZC1wYXNzd29yZA==", /* planted-password */
                        "short", "YWJj", "bad", "!!", "namespace", "a3ViZS1zeXN0ZW0=", "lines",
                        "Zmlyc3QgbGluZSBvZiBpdApzZWNvbmQgbGluZSBvZiBpdAo=");

        redactor = redactor_new();
        assert_non_null(redactor);
        assert_int_equal(redactor_add_secret(redactor, secret), 0);
        /* the same beginning: the longest that fits is removed */
        assert_int_equal(redactor_add(redactor, "planted-password-and-more\n", 26), 0);
        redactor_seal(redactor);
        return 0;
}

static int teardown(void **state) {
        redactor = redactor_free(redactor);
        return 0;
}

static void check(const char *text, const char *want) {
        _cleanup_buf_ struct buf out = {0};

        assert_int_equal(redact_text(redactor, text, strlen(text), &out), 0);
        if (!streq(strempty(out.data), want))
                fail_msg("\"%s\"\n became \"%s\"\n   not    \"%s\"", text, strempty(out.data),
                                want);
}

static void test_values_of_secrets(void **state) {
        check("it said planted-password, twice: planted-passwordplanted-password",
                        "it said (removed), twice: (removed)(removed)");
        check("planted-password-and-more", "(removed)");
        check("cGxhbnRlZC1wYXNzd29yZA==", "(removed)");
        check("planted-passwor planted", "planted-passwor planted");
        check("abc is too short to be found", "abc is too short to be found");
        check("x second line of it y", "x (removed) y");
        check("pods in kube-system", "pods in kube-system"); /* the value of a key that is public */
        check("", "");
}

static void test_what_looks_secret(void **state) {
        static const char key[] = "before\n"
                                  "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEI\nAwEHoUQD\n"
                                  "-----END EC PRIVATE KEY-----\n"
                                  "after\n";

        check(key, "before\n(removed)\nafter\n");
        check("k: \"-----BEGIN PRIVATE KEY-----\\nMHc\\n-----END PRIVATE KEY-----\\n\"\nnext",
                        "k: \"(removed)\nnext");
        check("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
                        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----");
        check("got \"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl\" from n1",
                        "got \"(removed)\" from n1");
        check("join with abcdef.0123456789abcdef now", "join with (removed) now");
        check("abcdef.0123456789abcdefg and node1.example",
                        "abcdef.0123456789abcdefg and node1.example");
        check("clone https://me:hunter2@git.example/x failed",
                        "clone https://(removed)@git.example/x failed");
        check("GET https://10.0.0.1:6443/api?x=a@b", "GET https://10.0.0.1:6443/api?x=a@b");
        check("Authorization: Bearer abc.def", "Authorization: (removed)");
        check("sent Bearer abcdef and more", "sent Bearer (removed) and more");
        check("DB_PASSWORD=hunter2 PATH=/bin", "DB_PASSWORD=(removed) PATH=/bin");
        check("  client-key-data: LS0tLS1C", "  client-key-data: (removed)");
        check("password: \"two words\", user: me", "password: (removed), user: me");
        check("password: two words", "password: (removed)");
        check("run --token abc --port 1", "run --token (removed) --port 1");
        check("service-account-key-file: /etc/keelson/pki/sa.key",
                        "service-account-key-file: /etc/keelson/pki/sa.key");
        check("secretName: db-login, the token of n1", "secretName: db-login, the token of n1");
        check("plain text: a=b c:d", "plain text: a=b c:d");
}

static void test_names(void **state) {
        static const char *const secret[] = {"password", "DB_PASSWORD", "dbPassword", "API_KEY",
                        "clientSecret", "auth-token", "aws.secret_access_key", "sshPassphrase"};
        static const char *const harmless[] = {"passwordFile", "secretName", "tokenExpiry", "key",
                        "", "user", "secretKeyRef"};

        for (size_t i = 0; i < ELEMENTS(secret); i++)
                if (!redact_is_secret_name(secret[i], strlen(secret[i])))
                        fail_msg("%s", secret[i]);
        for (size_t i = 0; i < ELEMENTS(harmless); i++)
                if (redact_is_secret_name(harmless[i], strlen(harmless[i])))
                        fail_msg("%s", harmless[i]);
}

static json_t *clean(const char *text) {
        _cleanup_json_ json_t *o = NULL;

        assert_int_equal(json_parse(text, strlen(text), 0, &o, NULL), 0);
        assert_int_equal(redact_object(redactor, o), 0);
        return TAKE_PTR(o);
}

static void test_objects(void **state) {
        _cleanup_json_ json_t *secret = clean("{\"kind\":\"Secret\",\"metadata\":{\"name\":\"s\","
                                              "\"managedFields\":[{}],\"annotations\":{\"a\":\"b\","
                                              "\"kubectl.kubernetes.io/"
                                              "last-applied-configuration\":\"{}\"}},"
                                              "\"data\":{\"k\":\"aHVudGVyMg==\"},\"stringData\":"
                                              "{\"l\":\"hunter2\"}}");
        _cleanup_json_ json_t *map =
                        clean("{\"kind\":\"ConfigMap\",\"data\":{\"conf\":\"secret = x\"}}");
        _cleanup_json_ json_t *pod = clean(
                        "{\"kind\":\"Pod\",\"spec\":{\"automountServiceAccountToken\":true,"
                        "\"containers\":[{\"name\":\"c\",\"env\":[{\"name\":\"URL\",\"value\":"
                        "\"hunter2\"},{\"name\":\"B\",\"valueFrom\":{\"secretKeyRef\":{\"name\":"
                        "\"s\",\"key\":\"k\"}}}],\"command\":[\"run\",\"--password\",\"hunter2\","
                        "\"--port\",\"1\",\"--token=hunter2\"],\"livenessProbe\":{\"httpGet\":{"
                        "\"httpHeaders\":[{\"name\":\"X\",\"value\":\"hunter2\"}]}}}]},\"status\":"
                        "{\"message\":\"planted-password was refused\",\"password\":\"hunter2\"}}");
        _cleanup_free_ char *text = json_text(secret), *text2 = json_text(map),
                            *text3 = json_text(pod);

        assert_string_equal(text,
                        "{\"kind\":\"Secret\",\"metadata\":{\"name\":\"s\",\"annotations\":{\"a\":"
                        "\"b\"}},\"data\":{\"k\":\"(removed, 12 bytes)\"},\"stringData\":{\"l\":"
                        "\"(removed, 7 bytes)\"}}");
        assert_string_equal(text2, "{\"kind\":\"ConfigMap\",\"data\":{\"conf\":\"(removed, 10 "
                                   "bytes)\"}}");
        assert_null(strstr(text3, "hunter2"));
        assert_null(strstr(text3, "planted-password"));
        assert_string_equal(json_str(pod, "status.message"), "(removed) was refused");
        assert_true(json_bool_or(pod, "spec.automountServiceAccountToken", false));
        assert_non_null(strstr(text3, "\"secretKeyRef\":{\"name\":\"s\",\"key\":\"k\"}"));
        assert_non_null(strstr(text3, "\"run\",\"--password\",\"(removed, 7 bytes)\",\"--port\","
                                      "\"1\",\"--token=(removed)\""));
}

static int note_file(const char *name, const char *text, size_t n, void *userdata) {
        return buf_printf(userdata, "%s(%.*s)", name, (int)n, text);
}

static void test_answers_of_machines(void **state) {
        static const char good[] = "FILE a.txt 3\nx\ny"
                                   "FILE b/c d.txt 0\n"
                                   "FILE e 1\nz";
        _cleanup_buf_ struct buf b = {0};

        assert_int_equal(support_each_file(good, sizeof(good) - 1, note_file, &b), 0);
        assert_string_equal(b.data, "a.txt(x\ny)b/c d.txt()e(z)");
        buf_reset(&b);
        /* cut off, not an answer, a size that is not one */
        assert_int_equal(support_each_file(good, sizeof(good) - 2, note_file, &b), -EBADMSG);
        assert_string_equal(b.data, "a.txt(x\ny)b/c d.txt()");
        assert_int_equal(support_each_file("sh: not found\n", 14, note_file, &b), -EBADMSG);
        assert_int_equal(support_each_file("FILE a -1\nx", 11, note_file, &b), -EBADMSG);
        assert_int_equal(support_each_file("", 0, note_file, &b), 0);
}

static void test_archive(void **state) {
        char dir[] = "/tmp/keelson-test-XXXXXX";
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *path = NULL, *long_name = NULL;
        struct tar_writer *t = NULL;
        struct stat st;

        assert_non_null(mkdtemp(dir));
        path = strformat("%s/x.tar.gz", dir);
        long_name = strformat("nodes/%090d/%090d", 1, 2);
        assert_int_equal(tar_writer_new(&t, path, "x", &p), 0);
        assert_int_equal(tar_writer_add(t, "../a b", "text", 4, &p), 0);
        assert_int_equal(tar_writer_add(t, long_name, "", 0, &p), 0);
        assert_int_equal(tar_writer_finish(t, &p), 0);
        t = tar_writer_free(t);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_true(st.st_size > 50);
        /* what is there is not replaced, and what is not finished leaves nothing */
        assert_int_equal(tar_writer_new(&t, path, "x", &p), -EEXIST);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(tar_writer_new(&t, path, "x", &p), 0);
        t = tar_writer_free(t);
        assert_int_equal(stat(path, &st), -1);
        assert_int_equal(remove_tree(dir), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_values_of_secrets),
                        cmocka_unit_test(test_what_looks_secret),
                        cmocka_unit_test(test_names),
                        cmocka_unit_test(test_objects),
                        cmocka_unit_test(test_answers_of_machines),
                        cmocka_unit_test(test_archive),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
