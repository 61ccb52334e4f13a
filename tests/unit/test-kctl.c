/* kctl's parts that need no server: kubeconfig files, the files of a new
 * cluster, manifests, kinds. */
#include "tests/unit/unit.h"

#include "kctl/cluster.h"
#include "kctl/kctl.h"
#include "lib/client/kubeconfig.h"
#include "lib/fileio.h"
#include "lib/pki.h"

/* The verbs' table is main.c's; completion and usage need one. */
const struct verb verbs[] = {{NULL}};

struct api_client *kctl_client(struct kctl *k) {
        return NULL;
}

const char *kctl_namespace(struct kctl *k) {
        return "default";
}

int kctl_fail(const struct problem *p) {
        return EXIT_ERROR;
}

int kctl_error(const char *fmt, ...) {
        return EXIT_ERROR;
}

int kctl_usage(struct kctl *k, const char *fmt, ...) {
        return EXIT_USAGE;
}

static int write_text(const char *path, const char *text) {
        return file_write_atomic(path, text, strlen(text), 0600);
}

static void test_kubeconfig(void **state) {
        static const char theirs[] =
                        "apiVersion: v1\nkind: Config\nclusters:\n- name: old\n  cluster: {server: "
                        "https://old, extra: kept}\n"
                        "- name: keelson\n  cluster: {server: https://stale}\nusers:\n- name: u\n  "
                        "user: {token: t}\n"
                        "contexts:\n- name: old\n  context: {cluster: old, user: u}\n"
                        "current-context: old\npreferences: {colors: true}\n";
        char folder[] = "/tmp/keelson-kctl-XXXXXX";
        _cleanup_free_ char *path = NULL,
                            *fresh = kubeconfig_text(
                                            "keelson", "https://new:6443", "CA", "CERT", "KEY"),
                            *text = NULL;
        _cleanup_problem_ struct problem p = {0};
        struct kubeconfig_context context;

        assert_non_null(mkdtemp(folder));
        path = strformat("%s/sub/config", folder);
        assert_int_equal(kubeconfig_merge(path, fresh, &p),
                        0); /* none there: made, with its folder */
        assert_int_equal(write_text(path, theirs), 0);
        assert_int_equal(kubeconfig_merge(path, fresh, &p), 0);
        assert_int_equal(kubeconfig_load(&context, path, NULL, &p), 0);
        assert_string_equal(context.server, "https://new:6443");
        assert_string_equal(context.key_pem, "KEY");
        kubeconfig_context_done(&context);
        assert_int_equal(file_read(path, 65536, &text, NULL), 0);
        assert_non_null(strstr(text, "extra: kept"));
        assert_non_null(strstr(text, "colors: true"));
        assert_null(strstr(text, "https://stale"));
        assert_int_equal(kubeconfig_remove(path, "keelson", &p), 0);
        if (kubeconfig_load(&context, path, "old", &p) < 0)
                fail_msg("%s", p.message);
        assert_string_equal(context.server, "https://old");
        kubeconfig_context_done(&context);
        assert_true(kubeconfig_load(&context, path, "keelson", &p) < 0);
        assert_int_equal(write_text(path, "a: ["), 0);
        assert_int_equal(kubeconfig_merge(path, fresh, &p), -EINVAL);
        assert_non_null(strstr(p.message, path));
        assert_int_equal(remove_tree(folder), 0);
}

static void test_cluster_files(void **state) {
        static const char *const names[] = {"ca.crt", "ca.key", "kapid.crt", "kapid.key", "sa.key",
                        "sa.pub", "store-ca.crt", "store-ca.key", "store.crt", "store.key", "peer.crt", "peer.key", "ssh_kapid",
                        "ssh_kapid.pub", "kreconciled.kubeconfig", "kschedd.kubeconfig",
                        "kgitd.kubeconfig", "admin.kubeconfig"};
        const struct cluster_spec spec = {.names = (const char *const[]){"n1", NULL},
                        .addresses = (const char *const[]){"10.0.0.1", NULL},
                        .server = "https://10.0.0.1:6443",
                        .port = 6443,
                        .service_range = "10.96.0.0/16",
                        .context = "keelson"};
        struct cluster_spec broken = spec;
        _cleanup_cluster_ struct cluster_files f = {0}, none = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *cn = NULL;
        _cleanup_strv_free_ char **organizations = NULL;

        assert_int_equal(cluster_files_make(&spec, &f, &p), 0);
        for (size_t i = 0; i < ELEMENTS(names); i++)
                assert_non_null(cluster_file_text(&f, names[i]));
        assert_int_equal(f.count, ELEMENTS(names));
        for (size_t i = 0; i < f.count; i++)
                assert_int_equal(f.items[i].secret,
                                strstr(f.items[i].text, "PRIVATE KEY") ||
                                                strstr(f.items[i].name, "kubeconfig"));
        assert_int_equal(pki_cert_matches_key(cluster_file_text(&f, "kapid.crt"),
                                         cluster_file_text(&f, "kapid.key")),
                        1);
        assert_int_equal(pki_cert_read(cluster_file_text(&f, "kapid.crt"), &cn, &organizations,
                                         NULL),
                        0);
        assert_string_equal(cn, "kapid");
        assert_non_null(startswith(cluster_file_text(&f, "ssh_kapid.pub"), "ssh-ed25519 AAAA"));
        broken.service_range = "10.96.0.0";
        assert_true(cluster_files_make(&broken, &none, &p) < 0);
}

static void test_kinds(void **state) {
        static const struct {
                const char *word, *plural;
        } cases[] = {{"po", "pods"}, {"Deployment", "deployments"},
                        {"deployments.apps", "deployments"}, {"svc", "services"},
                        {"gs", "gitsyncs"}, {"CSR", "certificatesigningrequests"},
                        {"crds", "customresourcedefinitions"}};
        struct kctl k = {0};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                struct kind_ref kind;

                assert_int_equal(kind_find(&k, cases[i].word, &kind, &p), 0);
                assert_string_equal(kind.resource.plural, cases[i].plural);
        }
        _cleanup_problem_ struct problem p = {0};
        struct kind_ref kind;
        assert_int_equal(kind_find_object(&k, "apps/v1", "Deployment", &kind, &p), 0);
        assert_string_equal(kind.resource.plural, "deployments");
        assert_true(kind_find(&k, "deployments.batch", &kind, &p) <
                        0); /* not ours: it would ask the server */
}

static void test_manifests(void **state) {
        char folder[] = "/tmp/keelson-kctl-XXXXXX";
        _cleanup_free_ char *a = NULL, *b = NULL, *c = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_manifests_ struct manifests m = {0};
        struct kctl k = {0};

        assert_non_null(mkdtemp(folder));
        a = strformat("%s/b.yaml", folder);
        b = strformat("%s/a.json", folder);
        c = strformat("%s/readme.txt", folder);
        assert_int_equal(write_text(a, "apiVersion: v1\nkind: A\nmetadata: {name: "
                                       "x}\n---\napiVersion: v1\nkind: B\nmetadata: {name: 'y'}\n"),
                        0);
        assert_int_equal(write_text(b, "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{"
                                       "\"apiVersion\":\"v1\",\"kind\":\"C\",\"metadata\":{"
                                       "\"name\":\"z\"}}]}"),
                        0);
        assert_int_equal(write_text(c, "no"), 0);
        k.flags.filenames = (char *[]){folder, NULL};
        assert_int_equal(manifests_read(&k, &m, &p), 0);
        assert_int_equal(m.count, 3);
        assert_non_null(strstr(m.items[2].place, "b.yaml line 5"));
        assert_int_equal(write_text(a, "kind: A\n"), 0);
        struct manifests none = {0};
        assert_int_equal(manifests_read(&k, &none, &p), -EINVAL);
        assert_non_null(strstr(p.message, "b.yaml line 1"));
        assert_int_equal(remove_tree(folder), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_kubeconfig),
                        cmocka_unit_test(test_cluster_files),
                        cmocka_unit_test(test_kinds),
                        cmocka_unit_test(test_manifests),
        };

        return cmocka_run_group_tests_name("kctl", tests, NULL, NULL);
}
