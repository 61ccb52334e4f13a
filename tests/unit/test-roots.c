/* The root of a container with an OCI image: what it writes is its own and gone after the next
 * start, the image stays as it is; folders that must be there are made without leaving the root; a
 * file system that holds no writable layer. Needs root and a mount namespace of its own; skipped
 * without. */
#include "tests/unit/unit.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fileio.h"
#include "lib/json.h"
#include "nodeagent/pod/roots.h"

static char top[] = "/tmp/keelson-test-XXXXXX";
static bool possible;

static char *at(const char *path) {
        char *p = strformat("%s/%s", top, path);

        assert_non_null(p);
        return p;
}

static void put(const char *path, const char *text) {
        _cleanup_free_ char *full = at(path), *dir = strdup(full);

        *strrchr(dir, '/') = 0;
        assert_int_equal(mkdir_parents(dir, 0755), 0);
        assert_int_equal(file_write_atomic(full, text, strlen(text), 0644), 0);
}

static bool there(const char *path) {
        _cleanup_free_ char *full = at(path);
        struct stat st;

        return lstat(full, &st) >= 0;
}

static int set_up(void **state) {
        _cleanup_free_ char *lower = NULL, *link = NULL, *out = NULL, *outside = NULL;

        assert_non_null(mkdtemp(top));
        possible = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
                   mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                   mount("t", top, "tmpfs", 0, "mode=0755") == 0;
        put("image/etc/conf", "image");
        put("image/usr/file", "image");
        put("outside/file", "machine");
        lower = at("image");
        outside = at("outside");
        link = at("image/lib");
        out = at("image/out");
        assert_int_equal(chmod(lower, 0711), 0);
        assert_int_equal(symlink("usr", link), 0);
        assert_int_equal(symlink(outside, out), 0);
        return 0;
}

static int tear_down(void **state) {
        _cleanup_free_ char *place = at("run/roots/c"), *memory = at("run/memory/c");

        (void)umount2(place, MNT_DETACH);
        (void)umount2(memory, MNT_DETACH);
        (void)umount2(top, MNT_DETACH);
        return remove_tree(top);
}

static json_t *unit(const char *own, const char *const *folders) {
        json_t *list = json_array();

        for (; *folders; folders++)
                json_array_append_new(list, json_string(*folders));
        return json_pack("{s:s, s:{s:o, s:o, s:o, s:o, s:o}}", "container", "c", "root", "lower",
                        json_sprintf("%s/image", top), "place", json_sprintf("%s/run/roots/c", top),
                        "own", json_sprintf("%s/%s", top, own), "memory",
                        json_sprintf("%s/run/memory/c", top), "folders", list);
}

static void make(const json_t *u) {
        _cleanup_problem_ struct problem p = {0};

        if (root_make(u, /* trash= */ NULL, &p) < 0)
                fail_msg("%s", strempty(p.message));
}

static void test_layer(void **state) {
        static const char *const folders[] = {"/work/deep", "/lib/made", NULL};
        _cleanup_json_ json_t *u = unit("disk/c", folders);
        _cleanup_free_ char *place = at("run/roots/c");
        struct stat st;

        if (!possible)
                skip();
        make(u);
        assert_int_equal(stat(place, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0711);
        assert_true(there("run/roots/c/etc/conf"));
        assert_true(there("run/roots/c/work/deep"));
        assert_true(there("run/roots/c/usr/made"));
        put("run/roots/c/etc/conf", "container");
        put("run/roots/c/new", "container");
        assert_true(there("disk/c/upper/new"));
        assert_false(there("image/new"));
        make(u);
        assert_false(there("run/roots/c/new"));
        assert_false(there("image/work"));
        assert_true(there("run/roots/c/work/deep"));
}

/* A link of the image that leads to the machine leads to its own root instead. */
static void test_link_out(void **state) {
        static const char *const folders[] = {"/out/made", NULL};
        _cleanup_json_ json_t *u = unit("disk/c", folders);
        _cleanup_problem_ struct problem p = {0};

        if (!possible)
                skip();
        assert_int_equal(root_make(u, /* trash= */ NULL, &p), -ENOENT);
        assert_string_equal(p.reason, "CreateContainerError");
        assert_non_null(strstr(p.message, "/out/made"));
        assert_false(there("outside/made"));
}

/* An overlay cannot hold the writable layer of another one. */
static void test_memory(void **state) {
        static const char *const folders[] = {"/work", NULL};
        _cleanup_json_ json_t *u = unit("over/c", folders);
        _cleanup_free_ char *over = at("over"), *up = at("up"), *wk = at("wk"), *lo = at("lo"),
                            *options = strformat("lowerdir=%s,upperdir=%s,workdir=%s", lo, up, wk);

        if (!possible)
                skip();
        assert_int_equal(
                        mkdir(over, 0755) | mkdir(up, 0755) | mkdir(wk, 0755) | mkdir(lo, 0755), 0);
        assert_int_equal(mount("o", over, "overlay", 0, options), 0);
        make(u);
        put("run/roots/c/new", "container");
        assert_true(there("run/memory/c/layer/upper/new"));
        make(u);
        assert_false(there("run/roots/c/new"));
        assert_true(there("run/roots/c/work"));
        assert_int_equal(umount2(over, MNT_DETACH), 0);
}

static void test_without_root(void **state) {
        _cleanup_json_ json_t *u = json_pack("{s:s}", "container", "c");

        make(u);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_layer),
                        cmocka_unit_test(test_link_out), cmocka_unit_test(test_memory),
                        cmocka_unit_test(test_without_root)};

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
