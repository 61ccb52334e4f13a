/* Machines over SSH and this one, behind the same few calls. */
#include "kctl/machine.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include "kctl/clock.h"
#include "kctl/texts.h"
#include "lib/fileio.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "lib/ssh.h"
#include "lib/timefmt.h"

#include "config.h"

enum { BUNDLE_SIZE_MAX = 256 << 20, SYSTEMD_MIN = 252, PACKAGES_TIMEOUT_S = 600 };

extern char **environ;

struct machine {
        struct kctl *k; /* borrowed */
        char *name, *user, *host;
        uint16_t port;
        struct ssh_conn *ssh; /* NULL: this machine */
        bool sudo;
};

struct machine *machine_free(struct machine *m) {
        if (!m)
                return NULL;
        ssh_conn_free(m->ssh);
        free(m->name);
        free(m->user);
        free(m->host);
        free(m);
        return NULL;
}

const char *machine_name(const struct machine *m) {
        return m->name;
}

const char *machine_host_key(const struct machine *m) {
        return m->ssh ? ssh_conn_host_key(m->ssh) : NULL;
}

const char *machine_user(const struct machine *m) {
        return m->user;
}

uint16_t machine_port(const struct machine *m) {
        return m->port;
}

/* "user@host:port", "[::1]:port"; a second colon without brackets is an IPv6 address. */
static int parse_where(struct machine *m, const char *where, struct problem *p) {
        const char *at = strrchr(where, '@'), *host = at ? at + 1 : where,
                   *end = host + strlen(host), *colon = strrchr(host, ':');

        m->user = at ? strndup(where, (size_t)(at - where)) : strdup("root");
        if (*host == '[' && strchr(host, ']')) {
                colon = strchr(host, ']')[1] == ':' ? strchr(host, ']') + 1 : NULL;
                end = strchr(host++, ']');
        } else if (colon && strchr(host, ':') != colon)
                colon = NULL;
        else if (colon)
                end = colon;
        m->host = strndup(host, (size_t)(end - host));
        if (!m->user || !m->host)
                return -ENOMEM;
        if (!*m->host || !*m->user || *m->host == '-' ||
                        (colon && parse_port(colon + 1, &m->port) < 0))
                return problem_set(p, EINVAL, 0, NULL, "\"%s\" is not [USER@]HOST[:PORT]", where);
        return 0;
}

int machine_open(struct machine **ret, struct kctl *k, const char *where, const char *host_key,
                struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        m->k = k;
        m->name = strdup(where ? where : "this machine");
        if (!m->name)
                return -ENOMEM;
        if (!where) {
                if (geteuid() != 0)
                        return problem_set(p, EPERM, 0, NULL,
                                        "this machine can be set up by root only: run it with "
                                        "sudo, or give --control USER@HOST");
        } else {
                r = parse_where(m, where, p);
                if (r < 0)
                        return r;
                if (!m->port)
                        m->port = k->flags.ssh_port ? (uint16_t)k->flags.ssh_port : 22;
                r = ssh_conn_open(&m->ssh,
                                &(struct ssh_target){.host = m->host,
                                                .port = m->port,
                                                .user = m->user,
                                                .identity_file = k->flags.identity,
                                                .host_key = host_key,
                                                .accept_new_host_key =
                                                                k->flags.accept_new_host_key},
                                p);
                if (r < 0)
                        return r;
                m->sudo = !streq(m->user, "root");
        }
        *ret = TAKE_PTR(m);
        return 0;
}

/* Where the node's sshd is. Caller frees. */
static char *ssh_where(const json_t *node) {
        const json_t *addresses = json_at(node, "status.addresses"), *a;
        const char *address = object_name(node);
        size_t i;

        json_array_foreach (addresses, i, a)
                if (streq(json_str_or(a, "type", ""), "InternalIP"))
                        address = json_str_or(a, "address", address);
        const char *user = object_annotation(node, "keelson.dev/ssh-user"),
                   *port = object_annotation(node, "keelson.dev/ssh-port");
        return strformat(strchr(address, ':') ? "%s@[%s]:%s" : "%s@%s:%s", user ? user : "root",
                        address, port ? port : "22");
}

int machine_open_node(struct machine **ret, struct kctl *k, const json_t *node, struct problem *p) {
        _cleanup_free_ char *where = ssh_where(node);

        if (!where)
                return -ENOMEM;
        return machine_open(ret, k, where, object_annotation(node, "keelson.dev/ssh-host-key"), p);
}

/* A local command: pipes and one poll loop, with a deadline. */
struct local {
        pid_t pid;
        int in, out[2];
        const char *input;
        size_t input_size;
        struct buf *ret[2];
};

static int local_step(struct local *l, int timeout_ms) {
        struct pollfd fds[] = {{l->in, POLLOUT, 0}, {l->out[0], POLLIN, 0}, {l->out[1], POLLIN, 0}};
        char piece[65536];
        ssize_t n;

        if (poll(fds, ELEMENTS(fds), timeout_ms) < 0)
                return errno == EINTR ? 0 : -errno;
        if (fds[0].revents) {
                n = write(l->in, l->input, MIN(l->input_size, (size_t)65536));
                if (n > 0) {
                        l->input += n;
                        l->input_size -= (size_t)n;
                }
                if (l->input_size == 0 || n < 0)
                        l->in = safe_close(l->in);
        }
        for (int i = 0; i < 2; i++)
                if (fds[i + 1].revents) {
                        n = read(l->out[i], piece, sizeof(piece));
                        if (n <= 0)
                                l->out[i] = safe_close(l->out[i]);
                        else if (l->ret[i] && buf_append(l->ret[i], piece, (size_t)n) < 0)
                                return -ENOMEM;
                }
        return 0;
}

static int local_spawn(struct local *l, const char *command) {
        char *argv[] = {(char *)"sh", (char *)"-c", (char *)command, NULL};
        posix_spawn_file_actions_t actions;
        int in[2], out[2], err[2], r;

        if (pipe2(in, O_CLOEXEC) < 0)
                return -errno;
        l->in = in[1];
        if (pipe2(out, O_CLOEXEC) < 0) {
                close(in[0]);
                return -errno;
        }
        l->out[0] = out[0];
        if (pipe2(err, O_CLOEXEC) < 0) {
                close(in[0]);
                close(out[1]);
                return -errno;
        }
        l->out[1] = err[0];
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, in[0], 0);
        posix_spawn_file_actions_adddup2(&actions, out[1], 1);
        posix_spawn_file_actions_adddup2(&actions, err[1], 2);
        r = posix_spawn(&l->pid, "/bin/sh", &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        close(in[0]);
        close(out[1]);
        close(err[1]);
        return -r;
}

int local_run(const char *command, const void *input, size_t input_size, unsigned timeout_s,
                struct buf *out, struct buf *err, int *ret_status, struct problem *p) {
        struct local l = {.in = -EBADF,
                        .out = {-EBADF, -EBADF},
                        .input = input,
                        .input_size = input_size,
                        .ret = {out, err}};
        uint64_t deadline = now_mono_us() + (timeout_s ? timeout_s : 120) * 1000000ull;
        int r, status = 0;

        signal(SIGPIPE, SIG_IGN);
        r = local_spawn(&l, command);
        if (r == 0 && input_size == 0)
                l.in = safe_close(l.in);
        while (r == 0 && (l.out[0] >= 0 || l.out[1] >= 0)) {
                r = local_step(&l, 500);
                if (now_mono_us() > deadline)
                        r = problem_set(p, ETIMEDOUT, 0, NULL,
                                        "a command on this machine did not end in time");
        }
        safe_close(l.in);
        safe_close(l.out[0]);
        safe_close(l.out[1]);
        if (l.pid > 0) {
                if (r < 0)
                        kill(l.pid, SIGKILL);
                waitpid(l.pid, &status, 0);
        }
        if (r < 0)
                return r;
        *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        return 0;
}

int machine_try(struct machine *m, const char *command, const void *input, size_t input_size,
                unsigned timeout_s, struct buf *ret_stdout, struct buf *ret_stderr, int *ret_status,
                struct problem *p) {
        _cleanup_free_ char *quoted = NULL, *full = NULL;

        if (!m->ssh)
                return local_run(command, input, input_size, timeout_s, ret_stdout, ret_stderr,
                                ret_status, p);
        if (m->sudo) {
                quoted = shell_quote(command);
                full = quoted ? strformat("sudo -n sh -c %s", quoted) : NULL;
                if (!full)
                        return -ENOMEM;
                command = full;
        }
        return ssh_conn_run(m->ssh, command, input, input_size, timeout_s, ret_stdout, ret_stderr,
                        ret_status, p);
}

/* Quoted for the shell of the other machine. */
static int far_command(struct machine *m, const char *command, char **ret) {
        _cleanup_free_ char *quoted = m->sudo ? shell_quote(command) : NULL;

        assert(m->ssh);
        if (m->sudo && !quoted)
                return -ENOMEM;
        *ret = m->sudo ? strformat("sudo -n sh -c %s", quoted) : strdup(command);
        return *ret ? 0 : -ENOMEM;
}

int machine_stream(struct machine *m, const char *command,
                int (*on_output)(bool is_stderr, const char *data, size_t n, void *userdata),
                void *userdata, int *ret_status, struct problem *p) {
        _cleanup_free_ char *full = NULL;
        int r = far_command(m, command, &full);

        return r < 0 ? r : ssh_conn_stream(m->ssh, full, on_output, userdata, ret_status, p);
}

int machine_pipe(struct machine *m, const char *command, int fd,
                int (*on_output)(bool is_stderr, const char *data, size_t n, void *userdata),
                void *userdata, int *ret_status, struct problem *p) {
        _cleanup_free_ char *full = NULL;
        int r = far_command(m, command, &full);

        return r < 0 ? r : ssh_conn_pipe(m->ssh, full, fd, on_output, userdata, ret_status, p);
}

int machine_feed(struct machine *m, const char *command, int fd, unsigned timeout_s,
                struct buf *ret_stderr, int *ret_status, struct problem *p) {
        _cleanup_free_ char *full = NULL;
        int r = far_command(m, command, &full);

        return r < 0 ? r : ssh_conn_feed(m->ssh, full, fd, timeout_s, ret_stderr, ret_status, p);
}

/* The last line of an output that is not empty. */
static const char *last_words(struct buf *b) {
        while (b->size > 0 && strchr(" \t\r\n", b->data[b->size - 1]))
                b->data[--b->size] = 0;
        if (b->size == 0)
                return "it gave no reason";
        char *newline = strrchr(b->data, '\n');
        return newline ? newline + 1 : b->data;
}

int machine_run(struct machine *m, const char *command, const void *input, size_t input_size,
                unsigned timeout_s, struct buf *ret_stdout, struct problem *p) {
        _cleanup_buf_ struct buf err = {0};
        int status, r = machine_try(m, command, input, input_size, timeout_s, ret_stdout, &err,
                                    &status, p);

        if (r < 0)
                return r;
        if (status == 0)
                return 0;
        return problem_set(p, EIO, 0, NULL, "%s: \"%.60s%s\" failed with status %i: %s", m->name,
                        command, strlen(command) > 60 ? "..." : "", status, last_words(&err));
}

int machine_put(struct machine *m, const char *path, const char *mode, const char *text,
                struct problem *p) {
        _cleanup_free_ char *q = shell_quote(path),
                            *command = q ? strformat("umask 077 && cat >%s.new && chmod %s %s.new "
                                                     "&& mv %s.new %s",
                                                           q, mode, q, q, q)
                                         : NULL;

        return command ? machine_run(m, command, text, strlen(text), 30, NULL, p) : -ENOMEM;
}

/* Caller frees. */
static char *bundle_path(const char *name, struct problem *p) {
        const char *env = getenv("KEELSON_BUNDLE_DIR");
        _cleanup_free_ char *self = realpath("/proc/self/exe", NULL), *own = NULL, *beside = NULL;
        char *slash = self ? strrchr(self, '/') : NULL, *path = NULL;

        if (slash) {
                *slash = 0;
                own = strformat("%s/../bundle", self);
                beside = strformat("%s/../libexec/keelson", self); /* of a package */
        }
        const char *places[] = {env, own, beside, KEELSON_LIBEXECDIR "/keelson"};
        for (size_t i = 0; i < ELEMENTS(places); i++) {
                if (!places[i])
                        continue;
                path = strformat("%s/%s.tar.gz", places[i], name);
                if (path && access(path, R_OK) == 0)
                        return path;
                free(path);
        }
        problem_set(p, ENOENT, 0, NULL,
                        "the bundle %s.tar.gz that goes to machines is neither in %s nor in %s; "
                        "build it (make) or set KEELSON_BUNDLE_DIR",
                        name, strempty(own), KEELSON_LIBEXECDIR "/keelson");
        return NULL;
}

enum { UNPACK_CANNOT_RUN = 75 };

static int unpack_bundle(struct machine *m, const struct bundle *b, const char *upgrade,
                struct problem *p) {
        const char *name = b->name;
        _cleanup_free_ char *quoted = shell_quote(text_unpack_sh),
                            *command = quoted ? strformat("sh -c %s unpack %s %s %s", quoted, name,
                                                                b->hash, strempty(upgrade))
                                              : NULL;
        _cleanup_buf_ struct buf err = {0};
        int status, r = command ? machine_try(m, command, b->data, b->size, 300, NULL, &err,
                                                  &status, p)
                                : -ENOMEM;

        if (r < 0 || status == 0)
                return r;
        if (strstr(strempty(err.data), strerror(ENOSPC)))
                return problem_set(p, ENOSPC, 0, NULL,
                                "%s: no space is left for the bundle %s in /opt/keelson; make room "
                                "on that file system (df -h /opt; it needs about 70 MiB)",
                                m->name, name);
        if (status != UNPACK_CANNOT_RUN)
                return problem_set(p, EIO, 0, NULL,
                                "%s: the bundle %s could not be unpacked into /opt/keelson "
                                "(status %i): %s",
                                m->name, name, status, last_words(&err));
        /* The first line of the loader names the first missing library. */
        return problem_set(p, ENOTSUP, 0, NULL,
                        "%s: the programs of this build do not run there, nothing was changed: "
                        "%.*s; build keelson on that machine's release or on an older one (a build "
                        "from Debian 12 runs on Debian 13, not the other way round)",
                        m->name, (int)strcspn(strempty(err.data), "\n"), strempty(err.data));
}

/* --packages: apt installs what the bundle would bring, and /opt/keelson leads to it. */
static int install_packages(struct machine *m, const char *name, struct problem *p) {
        _cleanup_free_ char *quoted = shell_quote(text_packages_sh),
                            *command = quoted ? strformat("sh -c %s packages %s", quoted, name)
                                              : NULL;
        _cleanup_buf_ struct buf out = {0}, err = {0};
        int status, r = command ? machine_try(m, command, /* input= */ NULL, 0, PACKAGES_TIMEOUT_S,
                                                  &out, &err, &status, p)
                                : -ENOMEM;

        if (r < 0)
                return r;
        if (status != 0)
                return problem_set(p, EIO, 0, NULL,
                                "%s: the package keelson-%s could not be installed: %s; see that "
                                "apt-get update and apt-get install work there and that one of "
                                "its repositories has keelson (docs/install.md)",
                                m->name, name, last_words(&err));
        return streq(strempty(out.data), "unchanged\n") ? 0 : 1;
}

void bundle_done(struct bundle *b) {
        free(b->path);
        free(b->data);
        *b = (struct bundle){0};
}

int bundle_read(struct bundle *ret, const char *folder, const char *name, struct problem *p) {
        struct bundle b = {.name = name};
        int r;

        b.path = folder ? strformat("%s/%s.tar.gz", folder, name) : bundle_path(name, p);
        if (!b.path)
                return folder ? -ENOMEM : -ENOENT;
        r = file_read(b.path, BUNDLE_SIZE_MAX, &b.data, &b.size);
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(b.path, "read", r);

                bundle_done(&b);
                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        sha256_hex(b.data, b.size, b.hash);
        *ret = b;
        return 0;
}

int machine_unpack_bundle(struct machine *m, const struct bundle *b, const char *upgrade,
                struct problem *p) {
        _cleanup_free_ char *command = strformat(
                        "test \"$(cat /opt/keelson/.%s 2>/dev/null)\" = %s", b->name, b->hash);
        int status, r = command ? machine_try(m, command, /* input= */ NULL, 0, 30,
                                                  /* ret_stdout= */ NULL, /* ret_stderr= */ NULL,
                                                  &status, p)
                                : -ENOMEM;

        if (r < 0 || status == 0)
                return r;
        r = unpack_bundle(m, b, upgrade, p);
        return r < 0 ? r : 1;
}

int machine_install_bundle(struct machine *m, const char *name, struct problem *p) {
        _cleanup_(bundle_done) struct bundle b = {0};
        int r;

        if (m->k->flags.packages)
                return install_packages(m, name, p);
        r = bundle_read(&b, /* folder= */ NULL, name, p);
        return r < 0 ? r : machine_unpack_bundle(m, &b, /* upgrade= */ NULL, p);
}

void facts_done(struct facts *f) {
        free(f->hostname);
        free(f->arch);
        free(f->address);
        free(f->address6);
        free(f->machine_id);
        *f = (struct facts){0};
}

const char *facts_address(const struct facts *f, enum ip_family family) {
        return family == FAMILY_IPV6 && !strchr(f->address, ':') && *f->address6 ? f->address6
                                                                                 : f->address;
}

static char *fact(const char *text, const char *key) {
        size_t n = strlen(key);

        for (const char *line = text; line;
                        line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
                if (strncmp(line, key, n) == 0 && line[n] == '=')
                        return strndup(line + n + 1, strcspn(line + n + 1, "\r\n"));
        return strdup("");
}

static bool fact_is(const char *text, const char *key, const char *value) {
        _cleanup_free_ char *v = fact(text, key);

        return v && streq(v, value);
}

static void on_date(const char *name, const char *value, void *userdata) {
        int64_t *seconds = userdata;

        if (strcasecmp(name, "Date") == 0)
                (void)clock_parse_http(value, seconds);
}

/* How far the API server's clock is ahead of ours, where there is one to ask. */
static int64_t api_clock(struct kctl *k) {
        int64_t seconds = CLOCK_UNKNOWN;
        struct http_result result;

        if (!k->client || startswith(api_client_server(k->client), "unix://"))
                return CLOCK_UNKNOWN;
        (void)http_client_do(api_client_http(k->client),
                        &(struct http_call_options){.method = "GET",
                                        .path = "/livez",
                                        .accept = "*/*",
                                        .timeout_us = 5000000,
                                        .on_header = on_date,
                                        .userdata = &seconds},
                        &result);
        http_result_done(&result);
        return seconds == CLOCK_UNKNOWN ? seconds : seconds - (int64_t)(now_wall_us() / 1000000);
}

static int check_clock(struct machine *m, int64_t skew_s, struct problem *p) {
        _cleanup_free_ char *text = NULL;
        int r = clock_problem(m->name, skew_s, api_clock(m->k), now_wall_us() / 1000000, &text);

        if (r < 0 || !text)
                return r;
        return problem_set(p, ENOTSUP, 0, NULL, "%s", text);
}

int machine_inspect(struct machine *m, bool for_node, struct facts *ret, struct problem *p) {
        _cleanup_facts_ struct facts f = {0};
        _cleanup_buf_ struct buf out = {0};
        _cleanup_free_ char *systemd = NULL, *clock = NULL;
        struct utsname own;
        int64_t seconds = 0;
        int r = machine_run(m, text_inspect_sh, NULL, 0, 30, &out, p);

        if (r < 0)
                return r;
        f.hostname = fact(out.data, "hostname");
        f.arch = fact(out.data, "arch");
        f.address = fact(out.data, "address");
        f.address6 = fact(out.data, "address6");
        f.machine_id = fact(out.data, "machine_id");
        systemd = fact(out.data, "systemd");
        clock = fact(out.data, "clock");
        if (!f.hostname || !f.arch || !f.address || !f.address6 || !f.machine_id ||
                        !systemd || !clock)
                return -ENOMEM;
        f.has_nft = fact_is(out.data, "nft", "yes");
        f.has_control = fact_is(out.data, "control", "yes");
        f.has_agent = fact_is(out.data, "agent", "yes");
        (void)parse_i64(clock, &seconds);
        f.clock_skew_s = seconds - (int64_t)(now_wall_us() / 1000000);
        if (!fact_is(out.data, "uid", "0"))
                return problem_set(p, EPERM, 0, NULL,
                                "%s: root is needed there: log in as root, or let the user run "
                                "sudo without a password",
                                m->name);
        if (!fact_is(out.data, "init", "systemd"))
                return problem_set(p, ENOTSUP, 0, NULL,
                                "%s: its PID 1 is not systemd; keelson runs on machines that "
                                "systemd runs",
                                m->name);
        if (parse_u32(systemd, &f.systemd) < 0 || f.systemd < SYSTEMD_MIN)
                return problem_set(p, ENOTSUP, 0, NULL,
                                "%s: systemd %s is too old; %i or later is needed", m->name,
                                *systemd ? systemd : "(none)", SYSTEMD_MIN);
        if (uname(&own) == 0 && !streq(own.machine, f.arch))
                return problem_set(p, ENOTSUP, 0, NULL,
                                "%s: its architecture is %s, this build is for %s; use a kctl "
                                "built for it",
                                m->name, f.arch, own.machine);
        if (!fact_is(out.data, "tar", "yes"))
                return problem_set(p, ENOTSUP, 0, NULL,
                                "%s: tar and gzip are needed there; install them", m->name);
        if (for_node && !f.has_nft)
                return problem_set(p, ENOTSUP, 0, NULL,
                                "%s: nft is missing; install the package nftables", m->name);
        r = check_clock(m, f.clock_skew_s, p);
        if (r < 0)
                return r;
        *ret = f;
        f = (struct facts){0};
        return 0;
}
