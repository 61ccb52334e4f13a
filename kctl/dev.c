/* kctl dev: a control plane in the foreground, as children of this process. State, keys, kubeconfig
 * and logs are in one folder; the next start continues from it. When a child exits, everything is
 * stopped and the child is named. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>

#include "kctl/certs-seen.h"
#include "kctl/cluster.h"
#include "kctl/kctl.h"
#include "kctl/ranges.h"
#include "kctl/store.h"
#include "lib/fileio.h"
#include "lib/random.h"
#include "lib/timefmt.h"

enum {
        READY_TIMEOUT_US = 30000000,
        STOP_TIMEOUT_US = 10000000,
        LOG_TAIL = 600,
        SUN_PATH_MAX = sizeof(((struct sockaddr_un *)0)->sun_path)
};

extern char **environ;

struct daemon_child {
        const char *name, *folder;
        pid_t pid;
        sd_event_source *source;
};

struct dev {
        struct kctl *k;
        sd_event *event;
        char *dir, *sockets; /* sockets: a short path to dir, sockaddr_un being small */
        struct cluster_ranges ranges;
        uint16_t port;
        int lock_fd;
        struct daemon_child children[5];
        size_t started;
        bool stopping, failed;
};

static int make_dir(struct dev *d) {
        int r = mkdir_parents(d->k->flags.dir, 0700);

        if (r < 0)
                return r;
        d->dir = realpath(d->k->flags.dir, /* resolved= */ NULL);
        return d->dir ? 0 : -errno;
}

static int lock_dir(struct dev *d, struct problem *p) {
        _cleanup_free_ char *path = NULL;
        int r = make_dir(d);

        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(d->k->flags.dir, "make the folder", r);

                return problem_set(p, r, 0, NULL, "%s", strempty(why));
        }
        path = strformat("%s/lock", d->dir);
        d->lock_fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -EBADF;
        if (d->lock_fd < 0) {
                _cleanup_free_ char *why = file_error_text(strempty(path), "open", errno);

                return problem_set(p, EACCES, 0, NULL, "%s", strempty(why));
        }
        if (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0)
                return problem_set(p, EBUSY, 0, NULL,
                                "another `kctl dev` runs on %s; stop it (Ctrl-C there), or give "
                                "another --dir",
                                d->dir);
        return 0;
}

static int check_port(struct dev *d, struct problem *p) {
        struct sockaddr_in a = {.sin_family = AF_INET,
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                        .sin_port = htons(d->k->flags.port)};
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        socklen_t n = sizeof(a);
        int on = 1;

        if (fd < 0)
                return -errno;
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 1) < 0)
                return problem_set(p, EADDRINUSE, 0, NULL,
                                "port %u on 127.0.0.1 cannot be used: %s; give another with --port "
                                "(0 picks a free one)",
                                d->k->flags.port, strerror(errno));
        if (getsockname(fd, (struct sockaddr *)&a, &n) < 0)
                return -errno;
        d->port = ntohs(a.sin_port);
        return 0;
}

/* Keys are made at the first start only; the port may change, so kubeconfigs are written again when
 * it has. */
static int make_files(struct dev *d, struct problem *p) {
        _cleanup_free_ char *pki = strformat("%s/pki", d->dir),
                            *server = strformat("https://127.0.0.1:%u", d->port),
                            *kubeconfig = NULL, *text = NULL, *mark = NULL;
        _cleanup_cluster_ struct cluster_files f = {0};
        int r;

        kubeconfig = strformat("%s/kubeconfig", d->dir);
        if (!pki || !server || !kubeconfig)
                return -ENOMEM;
        mark = strformat("server: %s\n", server);
        if (mark && file_read(kubeconfig, 1 << 20, &text, NULL) == 0 && strstr(text, mark)) {
                const struct certs_place place = {.dir = pki, .name = d->dir, .is_dev = true};

                return certs_add_front_proxy(
                                &place, cluster_life_s(d->k->flags.certificate_life_us), p);
        }
        r = mkdir_parents(pki, 0700);
        if (r < 0)
                return r;
        const struct cluster_spec spec = {.server = server,
                        .port = d->port,
                        .ranges = &d->ranges,
                        .pki_dir = pki,
                        .life_s = cluster_life_s(d->k->flags.certificate_life_us),
                        .context = "keelson-dev"};
        r = cluster_files_make(&spec, &f, p);
        if (r < 0)
                return r;
        for (size_t i = 0; i < f.count; i++) {
                _cleanup_free_ char *path = strformat("%s/%s", pki, f.items[i].name);

                if (!path)
                        return -ENOMEM;
                r = file_write_atomic(path, f.items[i].text, strlen(f.items[i].text),
                                f.items[i].secret ? 0600 : 0644);
                if (r < 0)
                        return r;
        }
        return file_write_atomic(kubeconfig, cluster_file_text(&f, "admin.kubeconfig"),
                        strlen(cluster_file_text(&f, "admin.kubeconfig")), 0600);
}

/* A socket's path must fit 108 bytes: where DIR is too long, a link in the runtime folder is used
 * instead. */
static int short_path(struct dev *d, struct problem *p) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");

        if (strlen(d->dir) + strlen("/kstored.sock") < SUN_PATH_MAX) {
                d->sockets = strdup(d->dir);
                return d->sockets ? 0 : -ENOMEM;
        }
        d->sockets = strformat("%s/keelson-dev-%i",
                        runtime && strlen(runtime) < 60 ? runtime : "/tmp", (int)getpid());
        if (!d->sockets)
                return -ENOMEM;
        if (symlink(d->dir, d->sockets) < 0)
                return problem_set(p, errno, 0, NULL, "cannot link %s to %s: %s", d->sockets,
                                d->dir, strerror(errno));
        return 0;
}

/* An argument of a daemon: a flag and its value, which begins with the folder of dev, with the
 * short path to it for sockets, with the API's port, is one of the ranges, or is complete. */
struct dev_argument {
        const char *daemon; /* NULL: all but kstored and kapid */
        const char *flag;
        enum {
                VALUE_TEXT,
                VALUE_DIR,
                VALUE_SOCKETS,
                VALUE_PORT,
                VALUE_TOKEN,
                VALUE_KUBECONFIG,
                VALUE_SERVICES,
                VALUE_PODS,
                VALUE_BITS,
                VALUE_BITS6
        } value;
        const char *text;
};

static const struct dev_argument dev_arguments[] = {
                {"kstored", "--initial-cluster-token=", VALUE_TOKEN, ""},
                {"kstored", "--name=", VALUE_TEXT, "dev"},
                {"kstored", "--data-dir=", VALUE_DIR, "/kstored"},
                {"kstored", "--listen-client-urls=unix://", VALUE_SOCKETS, "/kstored.sock"},
                {"kstored", "--advertise-client-urls=unix://", VALUE_SOCKETS, "/kstored.sock"},
                {"kstored", "--listen-peer-urls=", VALUE_TEXT, ""},
                {"kstored", "--listen-metrics-urls=", VALUE_TEXT, ""},
                {"kapid", "--store=unix://", VALUE_SOCKETS, "/kstored.sock"},
                {"kapid", "--unix-socket=", VALUE_SOCKETS, "/kapid.sock"},
                {"kapid", "--bind-address=", VALUE_TEXT, "127.0.0.1"},
                {"kapid", "--advertise-address=", VALUE_TEXT, "127.0.0.1"},
                {"kapid", "--secure-port=", VALUE_PORT, ""},
                {"kapid", "--service-cluster-ip-range=", VALUE_SERVICES, ""},
                {"kapid", "--tls-cert-file=", VALUE_DIR, "/pki/kapid.crt"},
                {"kapid", "--tls-private-key-file=", VALUE_DIR, "/pki/kapid.key"},
                {"kapid", "--client-ca-file=", VALUE_DIR, "/pki/ca.crt"},
                {"kapid", "--proxy-client-cert-file=", VALUE_DIR, "/pki/front-proxy-client.crt"},
                {"kapid", "--proxy-client-key-file=", VALUE_DIR, "/pki/front-proxy-client.key"},
                {"kapid", "--requestheader-client-ca-file=", VALUE_DIR, "/pki/front-proxy-ca.crt"},
                {"kapid", "--requestheader-username-headers=", VALUE_TEXT, "X-Remote-User"},
                {"kapid", "--requestheader-uid-headers=", VALUE_TEXT, "X-Remote-Uid"},
                {"kapid", "--requestheader-group-headers=", VALUE_TEXT, "X-Remote-Group"},
                {"kapid", "--requestheader-extra-headers-prefix=", VALUE_TEXT, "X-Remote-Extra-"},
                {"kapid", "--service-account-key-file=", VALUE_DIR, "/pki/sa.key"},
                {"kapid", "--ssh-key-file=", VALUE_DIR, "/pki/ssh_kapid"},
                {NULL, "--kubeconfig=", VALUE_KUBECONFIG, ""},
                {NULL, "--health-address=", VALUE_TEXT, ""},
                {"kreconciled", "--cluster-cidr=", VALUE_PODS, ""},
                {"kreconciled", "--node-cidr-mask-size-ipv4=", VALUE_BITS, ""},
                {"kreconciled", "--node-cidr-mask-size-ipv6=", VALUE_BITS6, ""},
                {"kreconciled", "--cluster-signing-cert-file=", VALUE_DIR, "/pki/ca.crt"},
                {"kreconciled", "--cluster-signing-key-file=", VALUE_DIR, "/pki/ca.key"},
                {"kreconciled", "--horizontal-pod-autoscaler-sync-period=", VALUE_TEXT, "2s"},
                {"kgitd", "--data-dir=", VALUE_DIR, "/kgitd"},
};

static bool takes(const struct daemon_child *c, const struct dev_argument *a) {
        return a->daemon ? streq(a->daemon, c->name)
                         : !streq(c->name, "kstored") && !streq(c->name, "kapid");
}

static char *argument_text(
                const struct dev *d, const struct daemon_child *c, const struct dev_argument *a) {
        char token[UUID_SIZE];

        switch (a->value) {
        case VALUE_TEXT:
                return strformat("%s%s", a->flag, a->text);
        case VALUE_DIR:
                return strformat("%s%s%s", a->flag, d->dir, a->text);
        case VALUE_SOCKETS:
                return strformat("%s%s%s", a->flag, d->sockets, a->text);
        case VALUE_PORT:
                return strformat("%s%u", a->flag, d->port);
        case VALUE_TOKEN: /* read at the first start only: it distinguishes clusters */
                return strformat("%s%s", a->flag, random_uuid(token));
        case VALUE_KUBECONFIG:
                return strformat("%s%s/pki/%s.kubeconfig", a->flag, d->dir, c->name);
        case VALUE_SERVICES:
                return strformat("%s%s", a->flag, d->ranges.services_text);
        case VALUE_PODS:
                return strformat("%s%s", a->flag, d->ranges.pods_text);
        case VALUE_BITS:
                return strformat("%s%u", a->flag, d->ranges.bits[FAMILY_IPV4]);
        case VALUE_BITS6:
                return strformat("%s%u", a->flag, d->ranges.bits[FAMILY_IPV6]);
        }
        assert_not_reached();
}

static int make_argv(
                struct dev *d, const struct daemon_child *c, const char *program, char ***ret) {
        _cleanup_strv_free_ char **v = NULL;
        int r;

        r = strv_extend(&v, program);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTS(dev_arguments); i++) {
                _cleanup_free_ char *word = NULL;

                if (!takes(c, &dev_arguments[i]))
                        continue;
                word = argument_text(d, c, &dev_arguments[i]);
                if (!word)
                        return -ENOMEM;
                r = strv_extend(&v, word);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(v);
        return 0;
}

static void stop(struct dev *d);

static void print_log_tail(struct dev *d, const struct daemon_child *c) {
        _cleanup_free_ char *path = strformat("%s/log/%s.log", d->dir, c->name), *text = NULL;
        size_t n;

        if (!path || file_read(path, 64 << 20, &text, &n) < 0)
                return;
        const char *tail = n > LOG_TAIL ? text + n - LOG_TAIL : text;
        if (n > LOG_TAIL && strchr(tail, '\n'))
                tail = strchr(tail, '\n') + 1;
        fprintf(stderr, "The last lines of %s:\n%s", path, tail);
}

static int on_child(sd_event_source *s, const siginfo_t *si, void *userdata) {
        struct dev *d = userdata;

        for (size_t i = 0; i < d->started; i++) {
                struct daemon_child *c = &d->children[i];

                if (c->pid != si->si_pid)
                        continue;
                c->pid = 0;
                if (d->stopping)
                        continue;
                d->failed = true;
                kctl_error("%s %s %i; everything is stopped", c->name,
                                si->si_code == CLD_EXITED ? "ended with status"
                                                          : "was killed by signal",
                                si->si_status);
                print_log_tail(d, c);
                stop(d);
        }
        for (size_t i = 0; i < d->started; i++)
                if (d->children[i].pid > 0)
                        return 0;
        return sd_event_exit(d->event, d->failed ? EXIT_ERROR : EXIT_OK);
}

static int start(struct dev *d, struct daemon_child *c, struct problem *p) {
        _cleanup_free_ char *program = program_path(c->folder, c->name),
                            *log = strformat("%s/log/%s.log", d->dir, c->name);
        _cleanup_strv_free_ char **argv = NULL;
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none;
        int r;

        if (!program || !log)
                return -ENOMEM;
        if (access(program, X_OK) < 0)
                return problem_set(p, ENOENT, 0, NULL,
                                "the program %s was not found (looked beside kctl and in %s); "
                                "build it with make",
                                c->name, KEELSON_SBINDIR);
        r = make_argv(d, c, program, &argv);
        if (r < 0)
                return r;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_addopen(
                        &actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
        posix_spawnattr_init(&attributes);
        sigemptyset(&none);
        posix_spawnattr_setsigmask(&attributes, &none);
        /* Its own process group: Ctrl-C reaches kctl alone, which stops them in order. */
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
        r = posix_spawn(&c->pid, program, &actions, &attributes, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
        if (r != 0) {
                c->pid = 0;
                return problem_set(p, r, 0, NULL, "cannot start %s: %s", program, strerror(r));
        }
        d->started++;
        r = sd_event_add_child(d->event, &c->source, c->pid, WEXITED, on_child, d);
        return r < 0 ? r : 0;
}

/* All at once: every daemon survives the end of the others. */
static void terminate_all(struct dev *d) {
        for (size_t i = d->started; i-- > 0;)
                if (d->children[i].pid > 0)
                        kill(d->children[i].pid, SIGTERM);
}

static int on_stop_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        struct dev *d = userdata;

        for (size_t i = 0; i < d->started; i++)
                if (d->children[i].pid > 0) {
                        fprintf(stderr, "%s does not stop: killing it\n", d->children[i].name);
                        kill(d->children[i].pid, SIGKILL);
                }
        return 0;
}

static void stop(struct dev *d) {
        if (d->stopping)
                return;
        d->stopping = true;
        terminate_all(d);
        (void)sd_event_add_time_relative(
                        d->event, NULL, CLOCK_MONOTONIC, STOP_TIMEOUT_US, 0, on_stop_timeout, d);
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        struct dev *d = userdata;

        if (d->started == 0)
                return sd_event_exit(d->event, EXIT_OK);
        stop(d);
        return 0;
}

/* Waits, with the loop running so that the exit of a child is noticed, until a path exists or the
 * API is ready. */
static int wait_until(struct dev *d, bool (*is_true)(struct dev *d), const char *what,
                struct problem *p) {
        uint64_t deadline = now_mono_us() + READY_TIMEOUT_US;

        while (!is_true(d)) {
                if (sd_event_get_state(d->event) == SD_EVENT_FINISHED || d->stopping)
                        return -ECANCELED;
                if (now_mono_us() > deadline)
                        return problem_set(p, ETIMEDOUT, 0, NULL,
                                        "%s was not ready within %i s; see %s/log", what,
                                        READY_TIMEOUT_US / 1000000, d->dir);
                int r = sd_event_run(d->event, 30000);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool store_is_there(struct dev *d) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        snprintf(a.sun_path, sizeof(a.sun_path), "%s/kstored.sock", d->sockets);
        return fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
}

static bool api_is_ready(struct dev *d) {
        struct http_result result;
        bool ready;

        if (!d->k->client) {
                free(d->k->flags.kubeconfig);
                d->k->flags.kubeconfig = strformat("%s/kubeconfig", d->dir);
                if (!kctl_client(d->k))
                        return false;
        }
        int r = http_client_do(api_client_http(d->k->client),
                        &(struct http_call_options){.method = "GET",
                                        .path = "/readyz",
                                        .accept = "*/*",
                                        .timeout_us = 2000000},
                        &result);
        ready = r == 0 && result.code == 200;
        http_result_done(&result);
        return ready;
}

/* The daemons in the order of their start; is_ready: the next one needs it. */
static const struct {
        struct daemon_child child;
        bool (*is_ready)(struct dev *d);
        const char *what;
} start_order[] = {
                {{.name = "kstored", .folder = "kstored"}, store_is_there, "the store"},
                {{.name = "kapid", .folder = "kapid"}, api_is_ready, "the API"},
                {.child = {.name = "kreconciled", .folder = "reconcilers"}},
                {.child = {.name = "kschedd", .folder = "reconcilers"}},
                {.child = {.name = "kgitd", .folder = "reconcilers"}},
};
_Static_assert(ELEMENTS(start_order) == ELEMENTS(((struct dev *)0)->children),
                "each daemon has a place in struct dev");

static int bring_up(struct dev *d, struct problem *p) {
        _cleanup_free_ char *log = strformat("%s/log", d->dir),
                            *stale = strformat("%s/kstored.sock", d->sockets);
        int r = log && stale ? mkdir_parents(log, 0700) : -ENOMEM;

        if (r < 0)
                return r;
        (void)unlink(stale);
        for (size_t i = 0; i < ELEMENTS(start_order); i++) {
                d->children[i] = start_order[i].child;
                r = start(d, &d->children[i], p);
                if (r < 0)
                        return r;
                if (!start_order[i].is_ready)
                        continue;
                r = wait_until(d, start_order[i].is_ready, start_order[i].what, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int watch_signals(struct dev *d, struct problem *p) {
        int r = sd_event_default(&d->event);

        if (r < 0)
                return r;
        r = sd_event_add_signal(d->event, /* ret= */ NULL, SIGTERM, on_signal, d);
        if (r < 0)
                return r;
        r = sd_event_add_signal(d->event, /* ret= */ NULL, SIGINT, on_signal, d);
        return r < 0 ? r : 0;
}

static int choose_ranges(struct dev *d, struct problem *p) {
        const uint32_t bits[FAMILIES] = {d->k->flags.mask_size, d->k->flags.mask_size6};

        return ranges_read(
                        d->k->flags.cluster_range, d->k->flags.service_range, bits, &d->ranges, p);
}

static int set_up(struct dev *d, struct problem *p) {
        static int (*const steps[])(struct dev * d, struct problem * p) = {choose_ranges, lock_dir,
                        check_port, make_files, short_path, watch_signals, bring_up};

        for (size_t i = 0; i < ELEMENTS(steps); i++) {
                int r = steps[i](d, p);

                if (r < 0)
                        return r;
        }
        return 0;
}

int kctl_dev(struct kctl *k) {
        struct dev d = {.k = k, .lock_fd = -EBADF};
        _cleanup_problem_ struct problem p = {0};
        sigset_t mask;
        int r, code = EXIT_ERROR;

        if (!k->flags.dir)
                return kctl_usage(k, "--dir DIR is needed: the folder for state, keys, kubeconfig "
                                     "and logs");
        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGCHLD);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        r = set_up(&d, &p);
        if (r == 0) {
                printf("ready https://127.0.0.1:%u\n", d.port);
                fflush(stdout);
        } else if (r != -ECANCELED) {
                code = p.message ? kctl_fail(&p) : kctl_error("%s", strerror(-r));
                d.failed = true;
                stop(&d);
        }
        if (d.event && sd_event_get_state(d.event) != SD_EVENT_FINISHED && (d.started > 0)) {
                r = sd_event_loop(d.event);
                code = r < 0 || d.failed ? EXIT_ERROR : r;
        }
        if (d.sockets && d.dir && !streq(d.sockets, d.dir))
                (void)unlink(d.sockets);
        for (size_t i = 0; i < ELEMENTS(d.children); i++)
                sd_event_source_unref(d.children[i].source);
        sd_event_unref(d.event);
        safe_close(d.lock_fd);
        free(d.sockets);
        free(d.dir);
        return code;
}
