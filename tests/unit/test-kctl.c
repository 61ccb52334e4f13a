/* kctl's parts that need no server: kubeconfig files, the files of a new
 * cluster, manifests, kinds. */
#include "tests/unit/unit.h"

#include "kctl/cluster.h"
#include "kctl/kctl.h"
#include "kctl/remote.h"
#include "kctl/units.h"
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
                        "kgitd.kubeconfig", "kreconciled.crt", "kreconciled.key", "kschedd.crt",
                        "kschedd.key", "kgitd.crt", "kgitd.key", "front-proxy-ca.crt", "front-proxy-ca.key",
                        "front-proxy-client.crt", "front-proxy-client.key", "admin.kubeconfig"};
        struct cluster_ranges ranges;
        const struct cluster_spec spec = {.names = (const char *const[]){"n1", NULL},
                        .addresses = (const char *const[]){"10.0.0.1", NULL},
                        .server = "https://10.0.0.1:6443",
                        .port = 6443,
                        .ranges = &ranges,
                        .context = "keelson"};
        struct cluster_spec broken = spec;
        _cleanup_cluster_ struct cluster_files f = {0}, none = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *cn = NULL;
        _cleanup_strv_free_ char **organizations = NULL;

        assert_int_equal(ranges_read(NULL, NULL, (uint32_t[FAMILIES]){0}, &ranges, &p), 0);
        assert_int_equal(cluster_files_make(&spec, &f, &p), 0);
        for (size_t i = 0; i < ELEMENTS(names); i++)
                assert_non_null(cluster_file_text(&f, names[i]));
        assert_int_equal(f.count, ELEMENTS(names));
        for (size_t i = 0; i < f.count; i++)
                assert_int_equal(f.items[i].secret,
                                strstr(f.items[i].text, "PRIVATE KEY") ||
                                                strstr(f.items[i].text, "client-key-data"));
        assert_int_equal(pki_cert_matches_key(cluster_file_text(&f, "kapid.crt"),
                                         cluster_file_text(&f, "kapid.key")),
                        1);
        assert_int_equal(pki_cert_read(cluster_file_text(&f, "kapid.crt"), &cn, &organizations,
                                         NULL),
                        0);
        assert_string_equal(cn, "kapid");
        assert_non_null(startswith(cluster_file_text(&f, "ssh_kapid.pub"), "ssh-ed25519 AAAA"));
        broken.addresses = (const char *const[]){"10.0.0.x", NULL};
        assert_true(cluster_files_make(&broken, &none, &p) < 0);
}

/* What `kctl up` says to ranges: NULL where it takes them. */
static void test_ranges(void **state) {
        static const struct {
                const char *pods, *services;
                uint32_t bits[FAMILIES];
                const char *says;
        } cases[] = {
                        {NULL, NULL, {0, 0}, NULL},
                        {"10.244.0.0/16,fd00:10:244::/56", "10.96.0.0/16,fd00:10:96::/112", {23, 64},
                                        NULL},
                        {"10.0.0.0/12", NULL, {22, 0}, NULL},
                        {"10.244.0.0/16,fd00:10:244::/56", NULL, {0, 0},
                                        "must have the same families"},
                        {"fd00:10:244::/56,10.244.0.0/16", "10.96.0.0/16,fd00:10:96::/112", {0, 0},
                                        "the network of IPv4 comes first; give "
                                        "10.244.0.0/16,fd00:10:244::/56"},
                        {"fd00:10:244::/56", "fd00:10:96::/112", {0, 0}, NULL},
                        {"fd00:10:244::/56", "fd00:10:96::/112", {0, 72}, NULL},
                        {"fd00:10:244::/56", NULL, {0, 0}, "must have the same families"},
                        {NULL, "fd00:10:96::/112", {0, 0}, "must have the same families"},
                        {"fd00:10:244::/40", "fd00:10:96::/112", {0, 64}, "must be between 40 and 56"},
                        {"10.244.0.0/16,10.245.0.0/16", NULL, {0, 0}, "two networks of one family"},
                        {"10.244.0.0/16,fd00::/56,fd01::/56", NULL, {0, 0}, "more than two networks"},
                        {"10.244.0.0", NULL, {0, 0}, "\"10.244.0.0\" is not a network"},
                        {"10.244.0.0/16,", NULL, {0, 0}, "\"\" is not a network"},
                        {"10.96.128.0/17", NULL, {0, 0},
                                        "--cluster-cidr 10.96.128.0/17 overlaps with "
                                        "--service-cluster-ip-range 10.96.0.0/16"},
                        {"10.244.0.0/16,fd00:10::/56", "10.96.0.0/16,fd00:10::1:0/112", {0, 0},
                                        "overlaps with --service-cluster-ip-range fd00:10::1:0/112"},
                        {NULL, "172.0.0.0/8", {0, 0}, "must be between /12 and /28"},
                        {"10.244.0.0/16,fd00:10:244::/56", "10.96.0.0/16,fd00:10:96::/48", {0, 0},
                                        "must be between /64 and /124"},
                        {NULL, NULL, {15, 0}, "--node-cidr-mask-size-ipv4 15 does not fit"},
                        {"172.0.0.0/8", NULL, {26, 0}, "it must be between 16 and 24"},
                        {"10.244.0.0/16,fd00:10:244::/48", "10.96.0.0/16,fd00:10:96::/112", {24, 72},
                                        "--node-cidr-mask-size-ipv6 72 does not fit"},
                        {"10.244.0.0/16,fd00:10:244::/112", "10.96.0.0/16,fd00:10:96::/112",
                                        {22, 120}, "use at most 118"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                struct cluster_ranges r;
                int error = ranges_read(cases[i].pods, cases[i].services, cases[i].bits, &r, &p);

                assert_int_equal(error, cases[i].says ? -EINVAL : 0);
                if (cases[i].says && !strstr(p.message, cases[i].says))
                        fail_msg("%zu: %s\nnot: %s", i, p.message, cases[i].says);
        }
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

static void test_copy_places(void **state) {
        static const struct {
                const char *word, *ns, *pod, *path;
        } cases[] = {
                        {"web-1:/tmp/x", NULL, "web-1", "/tmp/x"},
                        {"shop/web-1:x:y", "shop", "web-1", "x:y"},
                        {"web-1:", NULL, "web-1", ""},
                        {"file", NULL, NULL, "file"},
                        {"./a:b", NULL, NULL, "./a:b"},
                        {"/a:b", NULL, NULL, "/a:b"},
                        {":b", NULL, NULL, ":b"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct copy_place c = {0};

                assert_int_equal(copy_place_parse(cases[i].word, &c), 0);
                assert_true(streq_ptr(c.ns, cases[i].ns));
                assert_true(streq_ptr(c.pod, cases[i].pod));
                assert_string_equal(c.path, cases[i].path);
                copy_place_done(&c);
        }
}

static void test_tar_rename(void **state) {
        static const struct {
                const char *base, *name, *want;
        } cases[] = {
                        {"a", "b", "s,^a,b,S"},
                        {"x[1].*", "n", "s,^x[[]1[]][.][*],n,S"},
                        {"a,b^\\", "c,&\\", "s,^a\\,b\\^\\\\,c\\,\\&\\\\,S"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *got = tar_rename(cases[i].base, cases[i].name);

                assert_string_equal(got, cases[i].want);
        }
}

static void test_port_pairs(void **state) {
        static const struct {
                const char *word;
                int local, remote; /* -1: refused */
        } cases[] = {{"80", 80, 80}, {"8080:80", 8080, 80}, {":80", 0, 80}, {"80:", -1, 0},
                        {"a:80", -1, 0}, {"80:65536", -1, 0}, {"0", -1, 0}, {"", -1, 0}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                uint16_t local = 1, remote = 1;
                int r = port_pair_parse(cases[i].word, &local, &remote, &p);

                if (cases[i].local < 0) {
                        assert_true(r < 0 && p.message);
                        continue;
                }
                assert_int_equal(r, 0);
                assert_int_equal(local, cases[i].local);
                assert_int_equal(remote, cases[i].remote);
        }
}

static void test_remote_status(void **state) {
        static const struct {
                const char *text;
                int code; /* -1: an error with this message */
                const char *message;
        } cases[] = {
                        {"{\"metadata\":{},\"status\":\"Success\"}", 0, NULL},
                        {"{\"status\":\"Failure\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\","
                         "\"message\":\"3\"}]}}",
                                        3, NULL},
                        {"{\"status\":\"Failure\",\"message\":\"why\"}", -1, "why"},
                        {"{\"status\":\"Failure\",\"message\":\"why\",\"details\":{\"causes\":[{"
                         "\"reason\":\"ExitCode\",\"message\":\"999\"}]}}",
                                        -1, "why"},
                        {"", -1, "the connection ended before the command's result came"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                int code = -1, r = remote_status(cases[i].text, strlen(cases[i].text), &code, &p);

                assert_int_equal(r < 0 ? -1 : code, cases[i].code);
                if (cases[i].message)
                        assert_string_equal(p.message, cases[i].message);
        }
}

static void test_machine_units(void **state) {
        static const char text[] = "Id=a.service\nLoadState=loaded\nActiveState=active\n"
                                   "SubState=running\nDescription=A = B\n"
                                   "FragmentPath=/lib/systemd/system/a.service\n\n"
                                   "Id=kpod-x_y_z.service\nLoadState=loaded\nActiveState=active\n\n"
                                   "Id=gone.service\nLoadState=not-found\nActiveState=inactive\n\n"
                                   "Id=b.service\nLoadState=loaded\nActiveState=failed\n"
                                   "SubState=failed\nDescription=\nFragmentPath=\n";
        _cleanup_json_ json_t *units = machine_units_parse(text), *none = machine_units_parse(""),
                              *pods = json_pack("[{s:{s:s, s:s, s:{s:s}}, s:{s:[{s:s}]}}]",
                                              "metadata", "namespace", "shop", "name", "web",
                                              "annotations", "unit.keelson.dev/adopt", "b.service",
                                              "spec", "containers", "name", "c");

        assert_int_equal(json_array_size(none), 0);
        assert_int_equal(json_array_size(units), 2);
        assert_int_equal(machine_units_adopted(units, pods), 0);
        assert_string_equal(json_str(json_array_get(units, 0), "unit"), "a.service");
        assert_string_equal(json_str(json_array_get(units, 0), "state"), "active (running)");
        assert_string_equal(json_str(json_array_get(units, 0), "description"), "A = B");
        assert_null(json_object_get(json_array_get(units, 0), "adoptedBy"));
        assert_string_equal(json_string_value(json_array_get(
                                            json_object_get(json_array_get(units, 1), "adoptedBy"),
                                            0)),
                        "shop/web (read-only)");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_machine_units),
                        cmocka_unit_test(test_copy_places), cmocka_unit_test(test_tar_rename),
                        cmocka_unit_test(test_port_pairs), cmocka_unit_test(test_remote_status),
                        cmocka_unit_test(test_kubeconfig),
                        cmocka_unit_test(test_cluster_files), cmocka_unit_test(test_ranges),
                        cmocka_unit_test(test_kinds),
                        cmocka_unit_test(test_manifests),
        };

        return cmocka_run_group_tests_name("kctl", tests, NULL, NULL);
}
