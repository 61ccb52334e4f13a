/* SSH against a real sshd on loopback, in a folder of the test's own. */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/fileio.h"
#include "lib/ssh.h"

extern char **environ;

struct server {
        char folder[64], host_key[4096], identity[128], known_hosts[128];
        uint16_t port;
        pid_t pid;
};

static uint16_t free_port(void) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(a);
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
        close(fd);
        return ntohs(a.sin_port);
}

static void shell(const char *fmt, const char *folder) {
        _cleanup_free_ char *command = strformat("cd '%s' && %s", folder, fmt);

        assert_int_equal(system(command), 0);
}

static void wait_for_port(uint16_t port) {
        struct sockaddr_in a = {.sin_family = AF_INET,
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                        .sin_port = htons(port)};

        for (int i = 0; i < 500; i++) {
                int fd = socket(AF_INET, SOCK_STREAM, 0),
                    r = connect(fd, (struct sockaddr *)&a, sizeof(a));

                close(fd);
                if (r == 0)
                        return;
                usleep(10000);
        }
        fail_msg("sshd did not start");
}

static int setup(void **state) {
        struct server *s = calloc(1, sizeof(*s));
        _cleanup_free_ char *config = NULL, *config_path = NULL, *public_path = NULL, *key = NULL,
                            *log = NULL;

        strcpy(s->folder, "/tmp/keelson-ssh-XXXXXX");
        assert_non_null(mkdtemp(s->folder));
        shell("ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f user && "
              "cp user.pub authorized_keys",
                        s->folder);
        if (geteuid() == 0)
                (void)mkdir("/run/sshd", 0755); /* sshd as root insists on it */
        s->port = free_port();
        config = strformat("Port %u\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile "
                           "%s/authorized_keys\nPidFile none\n"
                           "StrictModes no\nUsePAM no\nPasswordAuthentication no\n",
                        s->port, s->folder, s->folder);
        config_path = strformat("%s/config", s->folder);
        log = strformat("%s/log", s->folder);
        assert_int_equal(file_write_atomic(config_path, config, strlen(config), 0600), 0);
        public_path = strformat("%s/host.pub", s->folder);
        assert_int_equal(file_read(public_path, 4000, &key, NULL), 0);
        snprintf(s->host_key, sizeof(s->host_key), "%s", key);
        snprintf(s->identity, sizeof(s->identity), "%s/user", s->folder);
        snprintf(s->known_hosts, sizeof(s->known_hosts), "%s/known_hosts", s->folder);
        char *argv[] = {(char *)"/usr/sbin/sshd", (char *)"-D", (char *)"-E", log, (char *)"-f",
                        config_path, NULL};
        posix_spawn_file_actions_t files;

        /* It holds none of our pipes: a test that dies must not keep its reader waiting. */
        assert_int_equal(posix_spawn_file_actions_init(&files), 0);
        for (int fd = 0; fd <= 2; fd++)
                assert_int_equal(posix_spawn_file_actions_addopen(
                                                 &files, fd, "/dev/null", O_RDWR, 0),
                                0);
        assert_int_equal(posix_spawn(&s->pid, argv[0], &files, NULL, argv, environ), 0);
        posix_spawn_file_actions_destroy(&files);
        wait_for_port(s->port);
        *state = s;
        return 0;
}

static int teardown(void **state) {
        struct server *s = *state;

        kill(s->pid, SIGTERM);
        waitpid(s->pid, NULL, 0);
        remove_tree(s->folder);
        free(s);
        return 0;
}

static const char *self(void) {
        const char *user = getenv("USER");

        return geteuid() == 0 ? "root" : user ? user : "nobody";
}

static struct ssh_conn *open_pinned(struct server *s) {
        struct ssh_target t = {.host = "127.0.0.1",
                        .port = s->port,
                        .user = self(),
                        .identity_file = s->identity,
                        .host_key = s->host_key};
        _cleanup_problem_ struct problem p = {0};
        struct ssh_conn *c = NULL;

        if (ssh_conn_open(&c, &t, &p) < 0)
                fail_msg("%s", p.message);
        return c;
}

static void test_run(void **state) {
        _cleanup_(ssh_conn_freep) struct ssh_conn *c = open_pinned(*state);
        _cleanup_buf_ struct buf out = {0}, err = {0};
        _cleanup_problem_ struct problem p = {0};
        int status;

        assert_int_equal(ssh_conn_run(c, "cat; echo bad >&2; exit 3", "hello", 5, 10, &out, &err,
                                         &status, &p),
                        0);
        assert_int_equal(status, 3);
        assert_string_equal(out.data, "hello");
        assert_string_equal(err.data, "bad\n");
        assert_int_equal(ssh_conn_run(c, "exit 255", NULL, 0, 10, NULL, NULL, &status, &p), 0);
        assert_int_equal(status, 255);
        assert_int_equal(ssh_conn_run(c, "kill -KILL $$", NULL, 0, 10, NULL, NULL, &status, &p), 0);
        assert_int_equal(status, 128);
        /* the same connection serves again; a command past its time is given up */
        assert_int_equal(ssh_conn_run(c, "sleep 20", NULL, 0, 1, NULL, NULL, &status, &p),
                        -ETIMEDOUT);
        assert_int_equal(ssh_conn_run(c, "true", NULL, 0, 10, NULL, NULL, &status, &p), 0);
        assert_int_equal(status, 0);
}

static void test_large_input(void **state) {
        _cleanup_(ssh_conn_freep) struct ssh_conn *c = open_pinned(*state);
        _cleanup_buf_ struct buf out = {0};
        _cleanup_problem_ struct problem p = {0};
        enum { SIZE = 6 << 20 };
        _cleanup_free_ char *data = malloc(SIZE);
        int status;

        memset(data, 'x', SIZE);
        assert_int_equal(ssh_conn_run(c, "wc -c", data, SIZE, 30, &out, NULL, &status, &p), 0);
        assert_int_equal(atoi(out.data), SIZE);
}

static int stop_after_two(bool is_stderr, const char *data, size_t n, void *userdata) {
        unsigned *count = userdata;

        if (n > 0)
                (*count)++;
        return *count >= 2 ? -ECANCELED : 0;
}

static void test_stream(void **state) {
        _cleanup_(ssh_conn_freep) struct ssh_conn *c = open_pinned(*state);
        _cleanup_problem_ struct problem p = {0};
        unsigned count = 0;
        int status;

        assert_int_equal(ssh_conn_stream(c, "while :; do echo x; sleep 0.05; done", stop_after_two,
                                         &count, &status, &p),
                        -ECANCELED);
        assert_int_equal(count, 2);
}

static void test_host_keys(void **state) {
        struct server *s = *state;
        struct ssh_target t = {.host = "127.0.0.1",
                        .port = s->port,
                        .user = self(),
                        .identity_file = s->identity,
                        .known_hosts_file = s->known_hosts};
        _cleanup_problem_ struct problem p = {0};
        struct ssh_conn *c = NULL;

        assert_int_equal(ssh_conn_open(&c, &t, &p), -EKEYREJECTED);
        assert_non_null(strstr(p.message, "is unknown"));
        t.accept_new_host_key = true;
        assert_int_equal(ssh_conn_open(&c, &t, &p), 0);
        assert_non_null(startswith(ssh_conn_host_key(c), "ssh-ed25519 "));
        assert_non_null(startswith(ssh_conn_fingerprint(c), "SHA256:"));
        c = ssh_conn_free(c);
        t.accept_new_host_key = false;
        assert_int_equal(ssh_conn_open(&c, &t, &p), 0); /* known by now */
        c = ssh_conn_free(c);
        t.host_key = "ssh-ed25519 "
                     "AAAAC3NzaC1lZDI1NTE5AAAAIFAk6vxZT1VTAsDUVgBGsfsVZVMSnoOAiDIDWyTxJGtz";
        assert_int_equal(ssh_conn_open(&c, &t, &p), -EKEYREJECTED);
        assert_non_null(strstr(p.message, "not the pinned one"));
}

static void test_refusals(void **state) {
        struct server *s = *state;
        _cleanup_free_ char *wrong = strformat("%s/host", s->folder);
        struct ssh_target t = {.host = "127.0.0.1",
                        .port = s->port,
                        .user = self(),
                        .identity_file = wrong,
                        .host_key = s->host_key};
        _cleanup_problem_ struct problem p = {0};
        struct ssh_conn *c = NULL;

        assert_int_equal(ssh_conn_open(&c, &t, &p), -EACCES);
        assert_non_null(strstr(p.message, "none of the keys"));
        t.identity_file = "/nonexistent";
        assert_int_equal(ssh_conn_open(&c, &t, &p), -EACCES);
        t.port = 1;
        assert_int_equal(ssh_conn_open(&c, &t, &p), -EHOSTUNREACH);
        assert_non_null(strstr(p.message, "127.0.0.1"));
}

static void test_quote(void **state) {
        _cleanup_free_ char *q = shell_quote("a'b $c");

        assert_string_equal(q, "'a'\\''b $c'");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_run),
                        cmocka_unit_test(test_large_input),
                        cmocka_unit_test(test_stream),
                        cmocka_unit_test(test_host_keys),
                        cmocka_unit_test(test_refusals),
                        cmocka_unit_test(test_quote),
        };

        return cmocka_run_group_tests_name("ssh", tests, setup, teardown);
}
