/* Limits of folders: how a project is chosen, in a world of fake projects; and for real on a btrfs
 * in a file, where this machine can make and mount one (root, loop devices, mkfs.btrfs). */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fileio.h"
#include "nodeagent/pod/folder-size.h"

/* ---- projects ---- */

static struct {
        uint32_t project; /* of the folder */
        bool has_files, fails;
        struct {
                uint32_t project;
                struct project_quota quota;
        } known[8];
        size_t count;
} world;

static int get_project(int fd, uint32_t *ret) {
        *ret = world.project;
        return 0;
}

static int set_project(int fd, uint32_t project) {
        world.project = project;
        return world.fails ? -EPERM : 0;
}

static int is_empty(int fd) {
        return !world.has_files;
}

static int get_quota(int fd, uint32_t project, struct project_quota *ret) {
        *ret = (struct project_quota){0};
        for (size_t i = 0; i < world.count; i++)
                if (world.known[i].project == project)
                        *ret = world.known[i].quota;
        return 0;
}

static int set_limit(int fd, uint32_t project, uint64_t bytes) {
        for (size_t i = 0; i < world.count; i++)
                if (world.known[i].project == project)
                        return world.known[i].quota.limit_bytes = bytes, 0;
        assert_true(world.count < ELEMENTS(world.known));
        world.known[world.count].project = project;
        world.known[world.count++].quota.limit_bytes = bytes;
        return 0;
}

static const struct project_ops ops = {get_project, set_project, is_empty, get_quota, set_limit};

static uint64_t limit_of(uint32_t project) {
        struct project_quota q;

        assert_int_equal(get_quota(-1, project, &q), 0);
        return q.limit_bytes;
}

static void test_projects(void **state) {
        uint32_t first, second;

        memset(&world, 0, sizeof(world));
        assert_int_equal(project_set_limit(&ops, 3, "pvc-1", 1000), 1);
        first = world.project;
        assert_true(first >= 0x20000000 && first < 0x40000000);
        assert_int_equal(limit_of(first), 1000);
        /* It keeps its project, also with files. */
        world.has_files = true;
        assert_int_equal(project_set_limit(&ops, 3, "pvc-1", 2000), 1);
        assert_int_equal(world.project, first);
        assert_int_equal(limit_of(first), 2000);
        /* Another folder whose name gives the same number. */
        world.project = 0;
        world.has_files = false;
        assert_int_equal(project_set_limit(&ops, 3, "pvc-1", 500), 1);
        second = world.project;
        assert_int_equal(second, first + 1);
        assert_int_equal(limit_of(first), 2000);
        assert_int_equal(limit_of(second), 500);
        /* A number without limit, but with files, is in use. */
        world.project = 0;
        world.known[1].quota = (struct project_quota){.used_bytes = 1};
        assert_int_equal(project_set_limit(&ops, 3, "pvc-1", 500), 1);
        assert_int_equal(world.project, first + 2);
}

/* An administrator's project for all volumes, which new folders inherit, is left alone. */
static void test_inherited_project(void **state) {
        static const uint32_t foreign[] = {1000, 0x40000000};

        for (size_t i = 0; i < ELEMENTS(foreign); i++) {
                memset(&world, 0, sizeof(world));
                world.known[0].project = world.project = foreign[i];
                world.known[0].quota = (struct project_quota){.limit_bytes = 1 << 30};
                world.count = 1;
                assert_int_equal(project_set_limit(&ops, 3, "pvc-1", 1000), 1);
                assert_int_equal(limit_of(foreign[i]), 1 << 30);
                assert_int_equal(limit_of(world.project), 1000);
                /* One with files stays where it is, and as it is. */
                world.project = foreign[i];
                world.has_files = true;
                assert_int_equal(project_set_limit(&ops, 3, "pvc-2", 1000), 0);
                assert_int_equal(limit_of(foreign[i]), 1 << 30);
        }
}

static void test_no_project(void **state) {
        memset(&world, 0, sizeof(world));
        world.has_files = true;
        assert_int_equal(project_set_limit(&ops, 3, "pvc-1", 1000), 0);
        assert_int_equal(world.project, 0);
        assert_int_equal(world.count, 0);
        world.has_files = false;
        world.fails = true;
        assert_int_equal(project_set_limit(&ops, 3, "pvc-1", 1000), -EPERM);
        assert_int_equal(world.count, 0);
}

static void test_names(void **state) {
        char dir[] = "/tmp/test-folder-size-XXXXXX";
        _cleanup_free_ char *below = NULL;

        assert_non_null(mkdtemp(dir));
        below = strformat("%s/not/there", dir);
        /* The file system of the tests has no limits, or it has; the folder above says which. */
        assert_int_equal(folder_limits_at(below), folder_limits_at(dir));
        assert_string_equal(folder_limits_name(FOLDERS_UNLIMITED), "unlimited");
        assert_string_equal(folder_limits_name(FOLDERS_PROJECTS), "project-quota");
        assert_string_equal(folder_limits_name(FOLDERS_SUBVOLUMES), "btrfs-quota");
        assert_int_equal(rmdir(dir), 0);
}

/* ---- a real btrfs ---- */

static char top[] = "/tmp/keelson-test-XXXXXX";
static bool possible;

static bool run(const char *command) {
        _cleanup_free_ char *full = strformat("cd %s && { %s; } >/dev/null 2>&1", top, command);

        assert_non_null(full);
        return system(full) == 0;
}

static int set_up(void **state) {
        assert_non_null(mkdtemp(top));
        possible = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
                   mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                   run("mkdir fs && truncate -s 128M image && mkfs.btrfs image && mount -o loop "
                       "image fs");
        return 0;
}

static int tear_down(void **state) {
        if (possible)
                assert_true(run("umount fs"));
        return remove_tree(top);
}

/* How many bytes fit into a new file of the folder, of at most 24 MiB. */
static size_t fill(const char *folder) {
        static const char zeros[65536];
        _cleanup_free_ char *path = strformat("%s/file", folder);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        size_t n = 0;
        ssize_t w;

        assert_true(fd >= 0);
        while (n < 24 << 20 && (w = write(fd, zeros, sizeof(zeros))) > 0)
                n += (size_t)w;
        return fsync(fd) < 0 && errno != EDQUOT ? 0 : n;
}

static void test_btrfs(void **state) {
        _cleanup_free_ char *fs = strformat("%s/fs", top), *folder = strformat("%s/fs/pvc-1", top),
                            *outside = strformat("%s/fs/.fresh", top);
        _cleanup_close_ int fd = -EBADF;
        size_t n;

        if (!possible)
                skip();
        assert_int_equal(folder_limits_at(fs), FOLDERS_UNLIMITED);
        assert_true(run("btrfs quota enable fs"));
        assert_int_equal(folder_limits_at(fs), FOLDERS_SUBVOLUMES);
        assert_int_equal(folder_make(outside, 0700), 0);
        assert_int_equal(folder_make(outside, 0700), -EEXIST);
        assert_int_equal(rename(outside, folder), 0);
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(folder_set_limit(fd, "pvc-1", 4 << 20), 1);
        n = fill(folder);
        assert_true(n > 0 && n <= 4 << 20);
        /* It grows; a folder that is no subvolume has no limit. */
        assert_int_equal(folder_set_limit(fd, "pvc-1", 12 << 20), 1);
        n = fill(folder);
        assert_true(n > 4 << 20 && n <= 12 << 20);
        assert_true(run("mkdir fs/plain"));
        (void)close(fd);
        fd = open(fs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(folder_remove(folder), 0);
        assert_int_equal(access(folder, F_OK), -1);
        free(folder);
        folder = strformat("%s/fs/plain", top);
        (void)close(fd);
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(folder_set_limit(fd, "plain", 4 << 20), 0);
        assert_int_equal(folder_remove(folder), 0);
        assert_int_equal(access(folder, F_OK), -1);
}

/* The unit's filter must let the agent use what this file tests: without quotactl_fd every file
 * system seems to have no projects. */
static void test_unit_allows(void **state) {
        _cleanup_free_ char *text = NULL, *path = strformat("%s/units/keelson-nodeagent.service.in",
                                                          getenv("KEELSON_SRCDIR"));
        const char *filter;
        size_t n;

        assert_int_equal(file_read(path, 65536, &text, &n), 0);
        filter = strstr(text, "\nSystemCallFilter=@system-service ");
        assert_non_null(filter);
        filter = strndup(filter + 1, strcspn(filter + 1, "\n"));
        assert_non_null(filter);
        assert_non_null(strstr(filter, " quotactl_fd"));
        free((char *)filter);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_projects),
                        cmocka_unit_test(test_no_project), cmocka_unit_test(test_inherited_project),
                        cmocka_unit_test(test_names), cmocka_unit_test(test_btrfs),
                        cmocka_unit_test(test_unit_allows)};

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
