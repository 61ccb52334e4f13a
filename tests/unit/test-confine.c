/* What a confined process can't do any longer; and what a fetch keeps. Each case runs in a process
 * of its own, because there is no way back. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/confine.h"
#include "lib/fileio.h"
#include "reconcilers/gitsync/fetch-confine.h"
#include "tests/unit/unit.h"

struct place {
        char folder[32];
        char *open, *closed, *inside, *outside; /* folders, and a file in each */
        uint16_t port;                          /* has a listener */
        int listener;
};

static int setup(void **state) {
        struct place *p = calloc(1, sizeof(*p));
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(a);

        strcpy(p->folder, "/tmp/keelson-confine-XXXXXX");
        if (!mkdtemp(p->folder))
                return -1;
        p->open = strformat("%s/open", p->folder);
        p->closed = strformat("%s/closed", p->folder);
        p->inside = strformat("%s/file", p->open);
        p->outside = strformat("%s/file", p->closed);
        p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (mkdir(p->open, 0755) < 0 || mkdir(p->closed, 0755) < 0 ||
                        file_write_atomic(p->inside, "x", 1, 0644) < 0 ||
                        file_write_atomic(p->outside, "x", 1, 0644) < 0 ||
                        bind(p->listener, (struct sockaddr *)&a, sizeof(a)) < 0 ||
                        listen(p->listener, 4) < 0 ||
                        getsockname(p->listener, (struct sockaddr *)&a, &n) < 0)
                return -1;
        p->port = ntohs(a.sin_port);
        *state = p;
        return 0;
}

static int teardown(void **state) {
        struct place *p = *state;
        int r = remove_tree(p->folder);

        close(p->listener);
        free(p->open);
        free(p->closed);
        free(p->inside);
        free(p->outside);
        free(p);
        return r;
}

static int connects(uint16_t port) {
        struct sockaddr_in a = {.sin_family = AF_INET,
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                        .sin_port = htons(port)};
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        return connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
}

static int opens(const char *path, int flags) {
        _cleanup_close_ int fd = open(path, flags | O_CLOEXEC, 0644);

        return fd < 0 ? -errno : 0;
}

static int listens(void) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        return bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
}

enum { HAS_NONE = 100 };

/* Runs body confined; its result is 0, or the number of the line that failed. */
#define EXPECT(is, want) \
        do { \
                if ((is) != (want)) \
                        return __LINE__ % 100; \
        } while (0)

static int run(const struct place *place, enum confine_access access, bool port,
                int (*body)(const struct place *p, bool all)) {
        pid_t pid = fork();
        int status = 0;

        assert_true(pid >= 0);
        if (pid == 0) {
                const struct confine_path path = {place->open, access};
                int r = confine_self(&(struct confine_options){.paths = &path,
                                .path_count = 1,
                                .ports = &place->port,
                                .port_count = port});

                if (r == -EOPNOTSUPP)
                        _exit(HAS_NONE);
                _exit(r < 0 ? 99 : body(place, r == 0));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == HAS_NONE)
                skip();
        return WEXITSTATUS(status);
}

static int reading(const struct place *p, bool all) {
        _cleanup_free_ char *fresh = strformat("%s/new", p->open),
                            *around = strformat("%s/../closed/file", p->open);

        EXPECT(opens(p->inside, O_RDONLY), 0);
        EXPECT(opens(p->inside, O_WRONLY), -EACCES);
        EXPECT(opens(fresh, O_WRONLY | O_CREAT), -EACCES);
        EXPECT(opens(p->outside, O_RDONLY), -EACCES);
        EXPECT(opens(around, O_RDONLY), -EACCES);
        EXPECT(opens("/etc/passwd", O_RDONLY), -EACCES);
        EXPECT(opens("/proc/self/environ", O_RDONLY), -EACCES);
        EXPECT(unlink(p->inside) < 0 ? -errno : 0, -EACCES);
        return 0;
}

static int writing(const struct place *p, bool all) {
        _cleanup_free_ char *fresh = strformat("%s/new", p->open),
                            *link = strformat("%s/link", p->open);

        EXPECT(opens(fresh, O_WRONLY | O_CREAT), 0);
        EXPECT(unlink(fresh), 0);
        EXPECT(symlink(p->outside, link), 0);
        EXPECT(opens(link, O_RDONLY), -EACCES);
        EXPECT(opens(link, O_WRONLY), -EACCES);
        EXPECT(opens(p->outside, O_WRONLY), -EACCES);
        EXPECT(mknod(fresh, S_IFIFO | 0644, 0), 0);
        return 0;
}

static int neighbours(const struct place *p, bool all) {
        if (!all)
                return 0;
        EXPECT(connects(p->port), -EACCES);
        EXPECT(listens(), -EACCES);
        EXPECT(kill(getppid(), 0) < 0 ? -errno : 0, -EPERM);
        return 0;
}

static int one_port(const struct place *p, bool all) {
        EXPECT(connects(p->port), 0);
        return 0;
}

static void test_reading(void **state) {
        assert_int_equal(run(*state, CONFINE_READ, false, reading), 0);
}

static void test_writing(void **state) {
        assert_int_equal(run(*state, CONFINE_WRITE, false, writing), 0);
}

static void test_neighbours(void **state) {
        assert_int_equal(run(*state, CONFINE_READ, false, neighbours), 0);
        assert_int_equal(run(*state, CONFINE_READ, true, one_port), 0);
}

static void test_ports(void **state) {
        static const struct {
                const char *url;
                uint16_t ports[FETCH_PORTS_MAX];
        } cases[] = {
                        {"https://git.example.com/a.git", {53, 443, 80}},
                        {"https://git.example.com:8443/a.git", {53, 8443, 443, 80}},
                        {"https://u:p@git.example.com:8443/a@b:9/c", {53, 8443, 443, 80}},
                        {"http://[2001:db8::1]/x", {53, 80, 443}},
                        {"http://[2001:db8::1]:81/x", {53, 81, 80, 443}},
                        {"ssh://git@host/x", {53, 22}},
                        {"ssh://git@host:2222/x", {53, 2222, 22}},
                        {"git@host:team/x.git", {53, 22}},
                        {"git://10.0.0.1/x", {53, 9418}},
                        {"git://10.0.0.1:99999/x", {53, 9418}},
                        {"file:///srv/x.git", {0}},
                        {"/srv/x.git", {0}},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                uint16_t ports[FETCH_PORTS_MAX];
                size_t n = fetch_ports(cases[i].url, ports), want = 0;

                while (want < FETCH_PORTS_MAX && cases[i].ports[want])
                        want++;
                assert_int_equal(n, want);
                for (size_t j = 0; j < n; j++)
                        assert_int_equal(ports[j], cases[i].ports[j]);
        }
        assert_string_equal(fetch_local_path("file:///srv/x"), "/srv/x");
        assert_null(fetch_local_path("git@host:/srv/x"));
}

/* The mirrors of others are no source. */
static void test_mirrors(void **state) {
        struct place *p = *state;
        const char *urls[] = {p->open, p->folder, p->closed};
        _cleanup_free_ char *link = strformat("%s/../alias-%i", p->folder, (int)getpid()),
                            *url = strformat("file://%s", p->closed);

        for (size_t i = 0; i < ELEMENTS(urls); i++) {
                _cleanup_problem_ struct problem problem = {0};

                assert_int_equal(fetch_confine(urls[i], p->open, &problem), -EACCES);
                assert_non_null(strstr(problem.message, "mirrors"));
        }
        _cleanup_problem_ struct problem problem = {0};
        assert_int_equal(fetch_confine(url, p->open, &problem), -EACCES);
        assert_int_equal(symlink(p->closed, link), 0);
        assert_int_equal(fetch_confine(link, p->open, &problem), -EACCES);
        assert_int_equal(unlink(link), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(test_reading, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_writing, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_neighbours, setup, teardown),
                        cmocka_unit_test(test_ports),
                        cmocka_unit_test_setup_teardown(test_mirrors, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
