/* The folders of a share, as the agent's helper binds, removes and archives them: nothing leads out
 * of the share. A bind mount stands for the NFS mount. Needs root and a mount namespace of its own;
 * skipped without. */
#include "tests/unit/unit.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fileio.h"
#include "nodeagent/pod/share-folder.h"
#include "nodeagent/pod/stage.h"

static char top[] = "/tmp/keelson-test-XXXXXX";
static bool possible;
static char *server, *where, *outside;

static void put(const char *dir, const char *name) {
        _cleanup_free_ char *path = strformat("%s/%s", dir, name);

        assert_int_equal(file_write_atomic(path, name, strlen(name), 0644), 0);
}

static bool there(const char *dir, const char *name) {
        _cleanup_free_ char *path = strformat("%s/%s", dir, name);

        return access(path, F_OK) >= 0;
}

static void link_to(const char *target, const char *name) {
        _cleanup_free_ char *path = strformat("%s/%s", server, name);

        assert_int_equal(symlink(target, path), 0);
}

static int set_up(void **state) {
        assert_non_null(mkdtemp(top));
        possible = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
                   mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
        server = strformat("%s/server", top);
        where = strformat("%s/where", top);
        outside = strformat("%s/outside", top);
        assert_int_equal(mkdir_parents(server, 0755) | mkdir_parents(where, 0755) |
                                         mkdir_parents(outside, 0755),
                        0);
        put(outside, "secret");
        link_to("../outside", "out");
        link_to(outside, "absolute");
        if (possible)
                assert_int_equal(mount(server, where, NULL, MS_BIND, NULL), 0);
        return 0;
}

static int tear_down(void **state) {
        stage_unmount_below(top);
        free(server);
        free(where);
        free(outside);
        return remove_tree(top);
}

static char *target(unsigned i) {
        char *path = strformat("%s/run/%u", top, i);

        assert_non_null(path);
        return path;
}

static void test_bind(void **state) {
        _cleanup_free_ char *a = target(1), *b = target(2), *c = target(3);
        struct stat st;

        if (!possible)
                skip();
        /* Made as open as an emptyDir, also below another one. */
        assert_int_equal(share_bind(where, "ns/own", "", a), 0);
        put(a, "kept");
        assert_true(there(server, "ns/own/kept"));
        assert_int_equal(stat(a, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0777);
        /* Once more: nothing happens. */
        assert_int_equal(share_bind(where, "ns/own", "", a), 0);
        assert_int_equal(umount(a), 0);
        assert_false(there(a, "kept"));
        assert_int_equal(share_bind(where, "ns/own", "deep/er", b), 0);
        assert_true(there(server, "ns/own/deep/er"));
        assert_int_equal(share_bind(where, "", "ns", c), 0);
        assert_true(there(c, "own/kept"));
}

static void test_bind_refused(void **state) {
        static const struct {
                const char *folder, *sub;
                int r;
        } cases[] = {
                        {"out", "", -ELOOP}, {"absolute", "", -ELOOP}, {"out/new", "", -ELOOP},
                        {"", "out", -EXDEV}, {"", "absolute", -EXDEV},
                        {"ns", "up", -EXDEV}, /* a link to another folder of the share */
        };
        _cleanup_free_ char *t = target(4);

        if (!possible)
                skip();
        link_to("../other", "ns/up");
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_int_equal(share_bind(where, cases[i].folder, cases[i].sub, t), cases[i].r);
        assert_false(there(outside, "new"));
        assert_int_equal(share_bind(outside, "a", "", t), -ENOTCONN);
        assert_false(there(outside, "a"));
}

static void test_remove(void **state) {
        _cleanup_free_ char *gone = strformat("%s/ns/gone", server),
                            *kept = strformat("%s/ns/kept", server);

        if (!possible)
                skip();
        assert_int_equal(mkdir_parents(gone, 0755) | mkdir_parents(kept, 0755), 0);
        put(gone, "a");
        put(kept, "a");
        link_to("../../outside", "ns/gone/link");
        assert_int_equal(share_remove(where, "ns/gone", ""), 0);
        assert_false(there(server, "ns/gone"));
        assert_true(there(outside, "secret"));
        assert_int_equal(share_remove(where, "ns/gone", ""), 0);
        assert_int_equal(share_remove(where, "no/where", ""), 0);
        assert_int_equal(share_remove(where, "ns/kept", "archived-kept"), 0);
        assert_true(there(server, "ns/archived-kept/a"));
        /* An archive is never replaced. */
        assert_int_equal(mkdir_parents(kept, 0755), 0);
        assert_int_equal(share_remove(where, "ns/kept", "archived-kept"), -EEXIST);
        assert_true(there(server, "ns/archived-kept/a"));
}

static void test_remove_refused(void **state) {
        if (!possible)
                skip();
        assert_int_equal(share_remove(where, "out", ""), -ELOOP);
        assert_int_equal(share_remove(where, "absolute/secret", ""), -ELOOP);
        assert_true(there(outside, "secret"));
        assert_int_equal(share_remove(outside, "secret", ""), -ENOTCONN);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_bind),
                        cmocka_unit_test(test_remove), cmocka_unit_test(test_bind_refused),
                        cmocka_unit_test(test_remove_refused)};

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
