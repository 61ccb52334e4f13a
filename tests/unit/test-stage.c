/* Sub-paths of volumes: what a link may do and what not, also while somebody exchanges folders and
 * links as fast as possible. Needs root and a mount namespace of its own; skipped without. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fileio.h"
#include "lib/json.h"
#include "lib/problem.h"
#include "nodeagent/pod/stage.h"

enum { RACE_ROUNDS = 400 };

static char top[] = "/tmp/keelson-test-XXXXXX";
static bool possible;

static char *at(const char *path) {
        char *p = strformat("%s/%s", top, path);

        assert_non_null(p);
        return p;
}

static void put(const char *path, const char *text) {
        _cleanup_free_ char *full = at(path);

        assert_int_equal(file_write_atomic(full, text, strlen(text), 0644), 0);
}

static void folder(const char *path) {
        _cleanup_free_ char *full = at(path);

        assert_int_equal(mkdir_parents(full, 0755), 0);
}

static void link_to(const char *target, const char *path) {
        _cleanup_free_ char *full = at(path);

        assert_int_equal(symlink(target, full), 0);
}

static int set_up(void **state) {
        assert_non_null(mkdtemp(top));
        possible = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
                   mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
        folder("volume/in/side");
        folder("outside");
        put("volume/in/side/file", "inside");
        put("outside/file", "secret");
        link_to("/etc", "volume/absolute");
        link_to("../outside", "volume/relative");
        link_to("in/side", "volume/tame");
        link_to("/proc/self/root", "volume/magic");
        link_to("loop", "volume/loop");
        return 0;
}

static int tear_down(void **state) {
        _cleanup_free_ char *run = at("run");

        stage_unmount_below(run);
        return remove_tree(top);
}

static int stage_sub(const char *sub, bool make, struct problem *p) {
        _cleanup_free_ char *place = at("run/mounts/c/0"), *root = at("volume");
        _cleanup_json_ json_t *unit = json_pack("{s:s, s:{}, s:[{s:s, s:s, s:s, s:s, s:s, s:b}]}",
                        "container", "c", "properties", "stage", "path", place, "volume", "v",
                        "type", "empty", "root", root, "sub", sub, "make", make);

        assert_non_null(unit);
        return stage_container(unit, NULL, p);
}

static char *staged(const char *file) {
        _cleanup_free_ char *path = at("run/mounts/c/0");
        _cleanup_free_ char *full = strformat("%s%s", path, file);
        char *text = NULL;
        size_t n;

        return file_read(full, 1000, &text, &n) < 0 ? NULL : text;
}

static void test_links(void **state) {
        static const char *const bad[] = {"absolute", "relative", "magic", "loop", "absolute/ssh",
                        "relative/file", "magic/etc", "in/../../outside"};

        if (!possible)
                skip();
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                _cleanup_problem_ struct problem p = {0};

                assert_true(stage_sub(bad[i], true, &p) < 0);
                assert_string_equal(p.reason, "CreateContainerConfigError");
                assert_non_null(strstr(p.message, bad[i]));
                assert_null(staged("/file"));
        }
}

static void test_what_works(void **state) {
        static const char *const good[] = {"in/side", "tame", "in//side"};
        _cleanup_free_ char *made = at("volume/new/er");
        struct stat st;

        if (!possible)
                skip();
        for (size_t i = 0; i < ELEMENTS(good); i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_free_ char *text = NULL;

                assert_int_equal(stage_sub(good[i], false, &p), 0);
                text = staged("/file");
                assert_string_equal(text, "inside");
        }
        {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_free_ char *volume = at("volume"), *text = NULL;

                /* A file takes the place of a folder. */
                assert_int_equal(stage_sub("in/side/file", false, &p), 0);
                text = staged("");
                assert_string_equal(text, "inside");
                /* Missing folders are as open as the volume. */
                assert_int_equal(chmod(volume, 02777), 0);
                assert_int_equal(stage_sub("new/er", true, &p), 0);
                assert_int_equal(stat(made, &st), 0);
                assert_int_equal(st.st_mode & 07777, 02777);
                assert_true(stage_sub("newer", false, &p) < 0);
        }
}

static int stage_below(const char *below, const char *source, struct problem *p) {
        _cleanup_free_ char *root = at("volume"), *from = *source ? at(source) : strdup("");
        _cleanup_json_ json_t *unit = json_pack("{s:s, s:{}, s:[{s:s, s:s, s:s, s:s, s:s}]}",
                        "container", "c", "properties", "stage", "root", root, "below", below,
                        "target", "/d/t", "volume", "v", "source", from);

        assert_non_null(unit);
        return stage_container(unit, NULL, p);
}

/* systemd would make the rest of these paths wherever the links lead. */
static void test_mounts_in_volumes(void **state) {
        static const char *const bad[] = {"absolute/nologin", "absolute", "relative/new",
                        "tame/new", "magic/tmp", "loop", "in/absolute"};
        _cleanup_free_ char *outside = at("outside/new"), *side = at("volume/in/side/new"),
                            *file = at("volume/below/er/file"), *made = at("volume/below/folder"),
                            *parent = at("volume/later"), *later = at("volume/later/x");
        struct stat st;

        link_to("/etc", "volume/in/absolute");
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                _cleanup_problem_ struct problem p = {0};

                assert_true(stage_below(bad[i], "outside/file", &p) < 0);
                assert_string_equal(p.reason, "CreateContainerConfigError");
                assert_non_null(strstr(p.message, "a link is in the way"));
                assert_non_null(strstr(p.message, "/d/t"));
        }
        assert_int_equal(access("/etc/nologin", F_OK), -1);
        assert_int_equal(access(outside, F_OK), -1);
        assert_int_equal(access(side, F_OK), -1);
        {
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(stage_below("in/side/file", "outside/file", &p), 0);
                assert_int_equal(stage_below("below/er/file", "outside/file", &p), 0);
                assert_int_equal(stat(file, &st), 0);
                assert_true(S_ISREG(st.st_mode));
                assert_int_equal(stage_below("below/folder", "outside", &p), 0);
                assert_int_equal(stat(made, &st), 0);
                assert_true(S_ISDIR(st.st_mode));
                /* What is mounted is not there yet. */
                assert_int_equal(stage_below("later/x", "no/such", &p), 0);
                assert_int_equal(access(parent, F_OK), 0);
                assert_int_equal(access(later, F_OK), -1);
                assert_int_equal(stage_below("below/tmp", "", &p), 0);
                assert_null(p.message);
        }
}

/* A child exchanges a folder and a link to the outside without pause. */
static void test_race(void **state) {
        _cleanup_free_ char *swapped = at("volume/swapped"), *other = at("volume/other");
        unsigned shown = 0, refused = 0;
        pid_t child, parent = getpid();

        if (!possible)
                skip();
        folder("volume/swapped");
        put("volume/swapped/file", "inside");
        link_to("../outside", "volume/other");
        child = fork();
        assert_true(child >= 0);
        while (getpid() != parent)
                (void)renameat2(AT_FDCWD, swapped, AT_FDCWD, other, RENAME_EXCHANGE);
        for (int i = 0; i < RACE_ROUNDS; i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_free_ char *text = NULL;

                if (stage_sub("swapped", true, &p) < 0) {
                        refused++;
                        continue;
                }
                shown++;
                text = staged("/file");
                assert_string_equal(text, "inside");
        }
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
        print_message("shown %u times, refused %u times\n", shown, refused);
        assert_int_equal(shown + refused, RACE_ROUNDS);
}

/* A mount that was forgotten is not entered, so that nothing of another's is removed. */
static void test_removal_stops_at_mounts(void **state) {
        _cleanup_free_ char *run = at("run"), *file = at("volume/in/side/file");
        _cleanup_problem_ struct problem p = {0};

        if (!possible)
                skip();
        assert_int_equal(stage_sub("in/side", false, &p), 0);
        assert_true(remove_tree(run) < 0);
        assert_int_equal(access(file, F_OK), 0);
        stage_unmount_below(run);
        assert_int_equal(remove_tree(run), 0);
        assert_int_equal(access(file, F_OK), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_links),
                        cmocka_unit_test(test_what_works), cmocka_unit_test(test_mounts_in_volumes),
                        cmocka_unit_test(test_race),
                        cmocka_unit_test(test_removal_stops_at_mounts)};

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
