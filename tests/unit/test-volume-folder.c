/* How an agent makes the folders of claimed volumes, which of them it removes, and how. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fileio.h"
#include "lib/object.h"
#include "nodeagent/pod/trash.h"
#include "nodeagent/pod/volume-folder.h"
#include "nodeagent/pod/volumes.h"

static json_t *volume(void) {
        json_t *v = json_pack("{s:{s:s, s:s, s:{s:s}, s:{s:s}, s:[s]}, s:{s:s, s:{s:s}}}",
                        "metadata", "name", "pvc-1", "deletionTimestamp", "2026-01-01T00:00:00Z",
                        "labels", "keelson.dev/node", "n1", "annotations",
                        "pv.kubernetes.io/provisioned-by", "keelson.dev/local", "finalizers",
                        "keelson.dev/volume-data", "spec", "persistentVolumeReclaimPolicy",
                        "Delete", "local", "path", "/var/lib/keelson/volumes/pvc-1");

        assert_non_null(v);
        return v;
}

/* One change that makes it stay, or keep its data. */
static void test_end(void **state) {
        static const struct {
                const char *path, *value;
                enum volume_end end;
        } cases[] = {
                        {"metadata.name", "pvc-1", VOLUME_REMOVES},
                        {"spec.persistentVolumeReclaimPolicy", "Retain", VOLUME_KEEPS},
                        {"spec.local.path", "/etc", VOLUME_STAYS},
                        {"spec.local.path", "/var/lib/keelson/volumes/pvc-2", VOLUME_STAYS},
                        {"spec.local.path", "/var/lib/keelson/volumes/../../../etc", VOLUME_STAYS},
                        {"metadata.deletionTimestamp", NULL, VOLUME_STAYS},
                        {"metadata.finalizers", NULL, VOLUME_STAYS},
                        {"metadata.annotations", NULL, VOLUME_STAYS},
                        {"metadata.labels", NULL, VOLUME_STAYS},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *v = volume();

                if (cases[i].value)
                        json_set_str(v, cases[i].path, cases[i].value);
                else
                        json_del_at(v, cases[i].path);
                assert_int_equal(local_volume_end(v, "n1"), cases[i].end);
                assert_int_equal(local_volume_end(v, "n2"), VOLUME_STAYS);
        }
}

/* A claim has it still. */
static void test_protected(void **state) {
        _cleanup_json_ json_t *v = volume();

        json_array_append_new(json_at_mut(v, "metadata.finalizers"),
                        json_string("kubernetes.io/pv-protection"));
        assert_int_equal(local_volume_end(v, "n1"), VOLUME_STAYS);
}

static json_t *share_volume(const char *share, const char *path, const char *on_delete) {
        json_t *v = volume(),
               *annotations = json_pack("{s:s, s:s, s:s*}", "pv.kubernetes.io/provisioned-by",
                               "keelson.dev/nfs", "keelson.dev/share-path", share,
                               "keelson.dev/on-delete", on_delete);

        json_del_at(v, "spec.local");
        assert_int_equal(json_set_at(v, "metadata.annotations", annotations), 0);
        assert_int_equal(json_set_str(v, "spec.nfs.path", path), 0);
        return v;
}

/* A folder on a share is removed only below it. */
static void test_share(void **state) {
        static const struct {
                const char *path, *on_delete;
                const char *command; /* NULL: it stays */
        } cases[] = {
                        {"/e/ns-c-pvc-1", NULL, "[[\"share-remove\",\"/w\",\"ns-c-pvc-1\",\"\"]]"},
                        {"/e/ns-c-pvc-1", "archive",
                                        "[[\"share-remove\",\"/w\",\"ns-c-pvc-1\","
                                        "\"archived-ns-c-pvc-1\"]]"},
                        {"/e/ns/web", "archive",
                                        "[[\"share-remove\",\"/w\",\"ns/web\","
                                        "\"archived-web-pvc-1\"]]"},
                        {"/e", NULL, NULL},
                        {"/etc", NULL, NULL},
                        {"/e/../etc", NULL, NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *v = share_volume("/e", cases[i].path, cases[i].on_delete),
                                      *command = NULL;
                _cleanup_free_ char *text = NULL;

                assert_int_equal(local_volume_end(v, "n1"),
                                cases[i].command ? VOLUME_REMOVES : VOLUME_STAYS);
                assert_int_equal(local_volume_end(v, "n2"), VOLUME_STAYS);
                if (!cases[i].command)
                        continue;
                command = share_remove_command(v, "/w");
                text = json_dumps(command, JSON_COMPACT);
                assert_string_equal(text, cases[i].command);
        }
}

static void test_turns(void **state) {
        static const struct {
                const char *last, *a, *b;
                bool before;
        } cases[] = {
                        {NULL, "v1", "v2", true},
                        {NULL, "v2", "v1", false},
                        {"v1", "v1", "v2", false},
                        {"v1", "v2", "v1", true},
                        {"v1", "v2", "v3", true},
                        {"v3", "v1", "v2", true},
                        {"v2", "v3", "v1", true},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *a = volume(), *b = volume();

                json_set_str(a, "metadata.name", cases[i].a);
                json_set_str(b, "metadata.name", cases[i].b);
                assert_int_equal(local_volume_is_before(cases[i].last, a, b), cases[i].before);
        }
}

/* A folder that is a mount point stays, with what is in it: /proc is one everywhere. */
static void test_mounted(void **state) {
        assert_int_equal(local_volume_remove("/", "proc"), -EXDEV);
        assert_int_equal(access("/proc/self", F_OK), 0);
}

/* Mode and group that a folder gets. */
static void test_make(void **state) {
        static const struct {
                int mode; /* of the folder before; 0: none */
                bool make, read_only, group;
                int r, after;
        } cases[] = {
                        {0, true, false, false, 0, 0777},
                        {0, true, false, true, 0, 02777},
                        {0, false, false, true, -ENOENT, 0},
                        {0700, true, false, false, 0, 0700},
                        {0700, true, false, true, 0, 02770},
                        {02755, false, false, true, 0, 02775},
                        {0755, false, true, true, 0, 0755},
        };
        char dir[] = "/tmp/test-volume-folder-XXXXXX";

        assert_non_null(mkdtemp(dir));
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *path = strformat("%s/v/%zu", dir, i),
                                    *fresh = strformat("%s/v/.new-%zu", dir, i);
                _cleanup_json_ json_t *plan = json_pack("[{s:s, s:s, s:s, s:b, s:b}]", "name", "v",
                                "type", "claim", "path", path, "make", cases[i].make, "readOnly",
                                cases[i].read_only);
                _cleanup_problem_ struct problem p = {0};
                struct stat st = {0};

                if (cases[i].group)
                        json_object_set_new(
                                        json_array_get(plan, 0), "group", json_integer(getgid()));
                /* what a crash has left */
                assert_int_equal(mkdir_parents(fresh, 0700), 0);
                if (cases[i].mode) {
                        assert_int_equal(mkdir_parents(path, 0700), 0);
                        assert_int_equal(chmod(path, (mode_t)cases[i].mode), 0);
                }
                assert_int_equal(volumes_make(plan, &p), cases[i].r);
                (void)stat(path, &st);
                assert_int_equal(st.st_mode & 07777, cases[i].after);
        }
        assert_int_equal(remove_tree(dir), 0);
}

static bool is_empty(const char *dir) {
        _cleanup_strv_free_ char **names = NULL;

        assert_int_equal(file_list(dir, &names), 0);
        return !names;
}

/* Folders of this agent and of the one before. */
static void test_trash(void **state) {
        char dir[] = "/tmp/test-volume-folder-XXXXXX";
        _cleanup_free_ char *trash = NULL, *left = NULL, *volumes = NULL, *inside = NULL;
        struct trash *t = NULL;
        sd_event *event = NULL;

        assert_non_null(mkdtemp(dir));
        trash = strformat("%s/removed", dir);
        left = strformat("%s/removed/1/a", dir);
        volumes = strformat("%s/volumes", dir);
        inside = strformat("%s/volumes/v/a", dir);
        assert_int_equal(mkdir_parents(left, 0700), 0);
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(trash_new(&t, event, trash), 0);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(mkdir_parents(inside, 0700), 0);
                assert_int_equal(trash_put(t, volumes), 0);
                assert_int_equal(access(volumes, F_OK), -1);
                assert_int_equal(trash_put(t, volumes), 0);
        }
        for (int i = 0; i < 1000 && !is_empty(trash); i++)
                assert_true(sd_event_run(event, 10000) >= 0);
        assert_true(is_empty(trash));
        trash_free(t);
        sd_event_unref(event);
        assert_int_equal(remove_tree(dir), 0);
}

static void test_remove(void **state) {
        char dir[] = "/tmp/test-volume-folder-XXXXXX";
        _cleanup_free_ char *outside = NULL, *folder = NULL, *link = NULL, *file = NULL,
                            *inside = NULL;

        assert_non_null(mkdtemp(dir));
        outside = strformat("%s/outside", dir);
        folder = strformat("%s/volumes/pvc-1", dir);
        inside = strformat("%s/volumes/pvc-1/a/b", dir);
        link = strformat("%s/volumes/pvc-1/link", dir);
        file = strformat("%s/volumes", dir);
        assert_int_equal(mkdir_parents(inside, 0755), 0);
        assert_int_equal(mkdir_parents(outside, 0755), 0);
        assert_int_equal(symlink(outside, link), 0);
        assert_int_equal(local_volume_remove(file, "pvc-1"), 0);
        assert_int_equal(access(folder, F_OK), -1);
        assert_int_equal(access(outside, F_OK), 0);
        assert_int_equal(local_volume_remove(file, "pvc-1"), 0);
        assert_int_equal(local_volume_remove(file, ".."), -EINVAL);
        assert_int_equal(local_volume_remove(file, ""), -EINVAL);
        assert_int_equal(local_volume_remove(file, "../outside"), -EINVAL);
        /* a link in the folder's place is not followed */
        assert_int_equal(symlink(outside, folder), 0);
        assert_int_equal(local_volume_remove(file, "pvc-1"), -ENOTDIR);
        assert_int_equal(access(outside, F_OK), 0);
        assert_int_equal(remove_tree(dir), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_end),
                        cmocka_unit_test(test_protected),
                        cmocka_unit_test(test_make),
                        cmocka_unit_test(test_trash),
                        cmocka_unit_test(test_turns),
                        cmocka_unit_test(test_share),
                        cmocka_unit_test(test_mounted),
                        cmocka_unit_test(test_remove),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
