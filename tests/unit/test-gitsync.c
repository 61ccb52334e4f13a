/* The Git sync's pure parts, and fetching from a real repository. */
#include "tests/unit/unit.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/fileio.h"
#include "lib/object.h"
#include "reconcilers/gitsync/fetch.h"
#include "reconcilers/gitsync/manifest.h"
#include "reconcilers/gitsync/plan.h"

static json_t *file(const char *name, const char *text) {
        return json_pack("{s:s, s:s}", "name", name, "text", text);
}

static int read_files(json_t *files_taken, struct manifest_set *ret, struct problem *p) {
        _cleanup_json_ json_t *files = files_taken;

        return manifest_set_read(files, &(struct manifest_owner){"sync", "flux"}, ret, p);
}

static void test_manifests(void **state) {
        _cleanup_manifests_ struct manifest_set s = {0};
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(read_files(json_pack("[o, o]",
                                                    file("a.yaml", "apiVersion: v1\nkind: "
                                                                   "ConfigMap\nmetadata:\n  name: "
                                                                   "a\n---\n"
                                                                   "apiVersion: v1\nkind: "
                                                                   "List\nitems:\n- apiVersion: "
                                                                   "v1\n  kind: Secret\n  "
                                                                   "metadata:\n    name: s\n"),
                                                    file("b.json", "{\"apiVersion\":\"apps/"
                                                                   "v1\",\"kind\":\"Deployment\","
                                                                   "\"metadata\":{\"name\":\"d\","
                                                                   "\"labels\":{\"x\":\"y\"}}}")),
                                         &s, &p),
                        0);
        assert_int_equal(s.count, 3);
        assert_string_equal(object_kind(s.items[1].object), "Secret");
        assert_string_equal(object_label(s.items[2].object, "x"), "y");
        assert_string_equal(object_label(s.items[2].object, "keelson.dev/gitsync-name"), "sync");
        assert_string_equal(
                        object_label(s.items[0].object, "keelson.dev/gitsync-namespace"), "flux");
}

static void test_manifest_refusals(void **state) {
        static const struct {
                const char *text, *why;
        } cases[] = {
                        {"kind: ConfigMap\nmetadata:\n  name: a\n",
                                        "a.yaml line 1: ConfigMap \"a\": apiVersion is missing"},
                        {"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  generateName: a\n",
                                        "a.yaml line 4: ConfigMap \"\": "},
                        {"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  uid: x\n",
                                        "a.yaml line 5: ConfigMap \"a\": metadata.uid"},
                        {"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a/../b?\n",
                                        "a.yaml line 4"},
                        {"a: [", "a.yaml: line "},
                        {"apiVersion: v1\nkind: A\nmetadata: {name: x}\n---\napiVersion: v1\nkind: "
                         "A\nmetadata: {name: x}\n",
                                        "a.yaml line 7: A \"x\": metadata.name: the same object "
                                        "is in a.yaml line 1"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_manifests_ struct manifest_set s = {0};
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(
                                read_files(json_pack("[o]", file("a.yaml", cases[i].text)), &s, &p),
                                -EINVAL);
                if (!strstr(p.message, cases[i].why))
                        print_error("%s\n", p.message);
                assert_non_null(strstr(p.message, cases[i].why));
        }
}

static void test_blame(void **state) {
        _cleanup_manifests_ struct manifest_set s = {0};
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(
                        read_files(json_pack("[o]", file("w.yaml", "apiVersion: apps/v1\nkind: "
                                                                   "Deployment\nmetadata:\n  name: "
                                                                   "web\nspec:\n  replicas: -1\n")),
                                        &s, &p),
                        0);
        problem_set(&p, EINVAL, 422, "Invalid", "Invalid value: -1");
        problem_cause(&p, "FieldValueInvalid", "spec.replicas", "no");
        manifest_blame(&s.items[0], &p);
        assert_string_equal(p.message,
                        "w.yaml line 6: Deployment \"web\": spec.replicas: Invalid value: -1");
}

static void test_fingerprint(void **state) {
        _cleanup_json_ json_t *a = json_loads(
                        "{\"kind\":\"D\",\"metadata\":{\"name\":\"x\",\"resourceVersion\":\"1\"},"
                        "\"spec\":{\"r\":1},\"status\":{\"s\":1}}",
                        0, NULL);
        _cleanup_json_ json_t *b = json_loads("{\"metadata\":{\"name\":\"x\",\"resourceVersion\":"
                                              "\"2\"},\"spec\":{\"r\":1},\"status\":{\"s\":2}}",
                        0, NULL);
        _cleanup_json_ json_t *c =
                        json_loads("{\"metadata\":{\"name\":\"x\"},\"spec\":{\"r\":2}}", 0, NULL);
        char x[65], y[65], z[65];

        plan_fingerprint(a, x);
        plan_fingerprint(b, y);
        plan_fingerprint(c, z);
        assert_string_equal(x, y);
        assert_string_not_equal(x, z);
        assert_non_null(json_at(a, "status.s")); /* the object itself is untouched */
}

#define STATEFULSET(strategy, updated, available) \
        "{\"apiVersion\":\"apps/v1\",\"kind\":\"StatefulSet\",\"spec\":{\"replicas\":2," \
        "\"updateStrategy\":" strategy "},\"status\":{\"replicas\":2,\"updatedReplicas\":" updated \
        ",\"availableReplicas\":" available "}}"
#define DAEMONSET(updated, available) \
        "{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"status\":{" \
        "\"desiredNumberScheduled\":3,\"updatedNumberScheduled\":" updated \
        ",\"numberAvailable\":" available "}}"

static void test_health(void **state) {
        static const struct {
                const char *object;
                enum health health;
        } cases[] = {
                        {"{\"kind\":\"ConfigMap\"}", HEALTH_READY},
                        {"{\"apiVersion\":\"apps/"
                         "v1\",\"kind\":\"Deployment\",\"metadata\":{\"generation\":2},\"spec\":{"
                         "\"replicas\":2},\"status\":{\"observedGeneration\":1}}",
                                        HEALTH_PROGRESSING},
                        {"{\"apiVersion\":\"apps/"
                         "v1\",\"kind\":\"Deployment\",\"metadata\":{\"generation\":1},\"spec\":{"
                         "\"replicas\":2},\"status\":{\"observedGeneration\":1,"
                         "\"updatedReplicas\":2,\"replicas\":2,\"availableReplicas\":2}}",
                                        HEALTH_READY},
                        {"{\"apiVersion\":\"apps/"
                         "v1\",\"kind\":\"Deployment\",\"metadata\":{\"generation\":1},\"spec\":{"
                         "\"replicas\":2},\"status\":{\"observedGeneration\":1,"
                         "\"updatedReplicas\":2,\"replicas\":3,\"availableReplicas\":3}}",
                                        HEALTH_PROGRESSING},
                        {"{\"apiVersion\":\"apps/"
                         "v1\",\"kind\":\"Deployment\",\"metadata\":{\"generation\":1},\"spec\":{"
                         "\"replicas\":0},\"status\":{\"observedGeneration\":1}}",
                                        HEALTH_READY},
                        {STATEFULSET("{}", "2", "2"), HEALTH_READY},
                        {STATEFULSET("{}", "1", "2"), HEALTH_PROGRESSING},
                        {STATEFULSET("{}", "2", "1"), HEALTH_PROGRESSING},
                        {STATEFULSET("{\"rollingUpdate\":{\"partition\":1}}", "1", "2"),
                                        HEALTH_READY},
                        {STATEFULSET("{\"rollingUpdate\":{\"partition\":7}}", "0", "2"),
                                        HEALTH_READY},
                        {STATEFULSET("{\"type\":\"OnDelete\"}", "0", "2"), HEALTH_READY},
                        {DAEMONSET("3", "3"), HEALTH_READY},
                        {DAEMONSET("2", "3"), HEALTH_PROGRESSING},
                        {DAEMONSET("3", "2"), HEALTH_PROGRESSING},
                        {"{\"apiVersion\":\"batch/"
                         "v1\",\"kind\":\"Job\",\"status\":{\"conditions\":[{\"type\":\"Failed\","
                         "\"status\":\"True\"}]}}",
                                        HEALTH_FAILED},
                        {"{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"status\":{}}",
                                        HEALTH_PROGRESSING},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *o = json_loads(cases[i].object, 0, NULL);
                _cleanup_free_ char *why = NULL;

                assert_int_equal(plan_health(o, &why), cases[i].health);
                assert_int_equal(why != NULL, cases[i].health != HEALTH_READY);
        }
}

static void test_conditions(void **state) {
        _cleanup_json_ json_t *conditions = json_array();

        assert_int_equal(plan_condition(conditions, "Ready", "True", "R", "m", "t1", 1), 0);
        assert_int_equal(plan_condition(conditions, "Ready", "True", "R", "m2", "t2", 2), 0);
        assert_int_equal(json_array_size(conditions), 1);
        assert_string_equal(json_str(json_array_get(conditions, 0), "lastTransitionTime"), "t1");
        assert_int_equal(plan_condition(conditions, "Ready", "False", "R", "m", "t3", 2), 0);
        assert_string_equal(json_str(json_array_get(conditions, 0), "lastTransitionTime"), "t3");
}

static void git(const char *folder, const char *what) {
        _cleanup_free_ char *command = strformat("cd '%s' && git -c user.name=t -c user.email=t@t "
                                                 "-c init.defaultBranch=main %s >/dev/null 2>&1",
                        folder, what);

        assert_int_equal(system(command), 0);
}

static int fetch(const char *folder, const char *kind, const char *ref, const char *path,
                const char *known, json_t **ret, struct problem *p) {
        _cleanup_free_ char *url = strformat("%s/repo", folder),
                            *mirror = strformat("%s/mirror", folder);
        _cleanup_json_ json_t *request =
                        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "url", url, "refKind", kind,
                                        "ref", ref, "path", path, "mirror", mirror, "known", known);

        return fetch_run(request, ret, p);
}

static void test_fetch(void **state) {
        char folder[] = "/tmp/keelson-git-XXXXXX";
        _cleanup_free_ char *repo = NULL, *sub = NULL, *a = NULL, *link = NULL, *commit = NULL;
        _cleanup_problem_ struct problem p = {0};
        json_t *reply = NULL;

        assert_non_null(mkdtemp(folder));
        repo = strformat("%s/repo", folder);
        sub = strformat("%s/apps/.hidden", repo);
        a = strformat("%s/apps/a.yaml", repo);
        link = strformat("%s/apps/link.yaml", repo);
        assert_int_equal(mkdir_parents(sub, 0755), 0);
        git(repo, "init");
        assert_int_equal(file_write_atomic(a, "kind: A\n", 8, 0644), 0);
        assert_int_equal(symlink("/etc/passwd", link), 0);
        git(repo, "add . && git -c user.name=t -c user.email=t@t commit -m 'first one'");
        git(repo, "tag v1");

        assert_int_equal(fetch(folder, "branch", "main", "./apps/", "", &reply, &p), 0);
        assert_string_equal(json_str(reply, "summary"), "first one");
        assert_non_null(startswith(json_str(reply, "revision"), "main@sha1:"));
        assert_int_equal(json_array_size(json_object_get(reply, "files")), 1);
        assert_string_equal(json_str(json_array_get(json_object_get(reply, "files"), 0), "name"),
                        "apps/a.yaml");
        assert_string_equal(json_string_value(json_array_get(json_object_get(reply, "ignored"), 0)),
                        "apps/link.yaml (a link to /etc/passwd)");
        commit = strdup(json_str(reply, "commit"));
        json_decref(reply);

        assert_int_equal(fetch(folder, "branch", "main", ".", commit, &reply, &p), 0);
        assert_true(json_bool_or(reply, "unchanged", false));
        json_decref(reply);

        assert_int_equal(file_write_atomic(a, "kind: B\n", 8, 0644), 0);
        git(repo, "commit -am second");
        assert_int_equal(fetch(folder, "branch", "main", ".", commit, &reply, &p), 0);
        assert_string_equal(json_str(json_array_get(json_object_get(reply, "files"), 0), "text"),
                        "kind: B\n");
        json_decref(reply);
        assert_int_equal(fetch(folder, "tag", "v1", ".", "", &reply, &p), 0);
        assert_string_equal(json_str(reply, "commit"), commit);
        json_decref(reply);
        assert_int_equal(fetch(folder, "commit", commit, ".", "", &reply, &p), 0);
        assert_string_equal(json_str(json_array_get(json_object_get(reply, "files"), 0), "text"),
                        "kind: A\n");
        json_decref(reply);

        assert_true(fetch(folder, "branch", "absent", ".", "", &reply, &p) < 0);
        assert_non_null(strstr(p.message, "no branch \"absent\""));
        assert_true(fetch(folder, "branch", "main", "nowhere", "", &reply, &p) < 0);
        assert_non_null(strstr(p.message, "no folder \"nowhere\""));
        assert_true(fetch(folder, "branch", "main", "../etc", "", &reply, &p) < 0);
        assert_int_equal(remove_tree(repo), 0);
        assert_true(fetch(folder, "branch", "main", ".", "", &reply, &p) < 0);
        assert_non_null(strstr(p.message, "/repo"));
        assert_int_equal(remove_tree(folder), 0);
}

/* A server that wants other credentials whatever it gets; it ends with the test. */
static pid_t start_refuser(uint16_t *ret_port) {
        static const char answer[] = "HTTP/1.1 401 Unauthorized\r\n"
                                     "WWW-Authenticate: Basic realm=\"x\"\r\n"
                                     "Content-Length: 0\r\nConnection: close\r\n\r\n";
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in a = {.sin_family = AF_INET};
        socklen_t size = sizeof(a);

        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(listen(fd, 8), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
        *ret_port = ntohs(a.sin_port);
        pid_t pid = fork();
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;) {
                        char request[4096];
                        int c = accept(fd, NULL, NULL);

                        /* One packet has all of a request without a body. */
                        if (c < 0 || read(c, request, sizeof(request)) < 0 ||
                                        write(c, answer, strlen(answer)) < 0)
                                _exit(1);
                        close(c);
                }
        }
        close(fd);
        return pid;
}

/* Why there were no credentials is said in our words, whatever libgit2 makes of it. */
static void test_credentials(void **state) {
        char folder[] = "/tmp/keelson-git-XXXXXX";
        _cleanup_problem_ struct problem p = {0}, p2 = {0};
        _cleanup_json_ json_t *request = NULL;
        json_t *reply = NULL;
        uint16_t port;

        assert_non_null(mkdtemp(folder));
        pid_t pid = start_refuser(&port);
        assert_true(pid > 0);
        _cleanup_free_ char *url = strformat("http://127.0.0.1:%u/repo.git", port);
        _cleanup_free_ char *mirror = strformat("%s/mirror", folder);
        request = json_pack("{s:s, s:s, s:s, s:s}", "url", url, "refKind", "branch", "ref", "main",
                        "mirror", mirror);
        assert_int_equal(fetch_run(request, &reply, &p), -EIO);
        assert_non_null(strstr(p.message, "names no secret that has them"));
        assert_int_equal(json_object_set_new(request, "username", json_string("u")), 0);
        assert_int_equal(json_object_set_new(request, "password", json_string("wrong")), 0);
        assert_int_equal(fetch_run(request, &reply, &p2), -EIO);
        assert_non_null(strstr(p2.message, "the server refused the credentials"));
        assert_null(reply);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(remove_tree(folder), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_manifests),
                        cmocka_unit_test(test_manifest_refusals),
                        cmocka_unit_test(test_blame),
                        cmocka_unit_test(test_fingerprint),
                        cmocka_unit_test(test_health),
                        cmocka_unit_test(test_conditions),
                        cmocka_unit_test(test_fetch),
                        cmocka_unit_test(test_credentials),
        };

        return cmocka_run_group_tests_name("gitsync", tests, NULL, NULL);
}
