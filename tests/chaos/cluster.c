/* The members: their processes, certificates and addresses, and what they say of themselves. */
#include "tests/chaos/chaos.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/pki.h"
#include "lib/random.h"

enum { STATUS_EVERY_US = 100000, STATUS_LIMIT_US = 1000000, STOP_LIMIT_US = 15000000 };

/* A free port below those that the kernel gives to connections: a member that is down for a while
 * must find its own again. */
int chaos_bind(uint16_t *ret_port) {
        enum { LOWEST = 12000, COUNT = 20000 };
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return -errno;
        for (unsigned tries = 0; tries < 1000; tries++) {
                uint16_t port = (uint16_t)(LOWEST + random_below(COUNT));

                a.sin_port = htons(port);
                if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
                        continue;
                *ret_port = port;
                return TAKE_FD(fd);
        }
        return -EADDRINUSE;
}

static int free_port(uint16_t *ret) {
        _cleanup_close_ int fd = chaos_bind(ret);

        return fd < 0 ? fd : 0;
}

static int write_pem(const struct chaos *c, const char *name, const char *suffix, const char *pem) {
        _cleanup_free_ char *path = strformat("%s/%s.%s", c->dir, name, suffix);
        _cleanup_fclose_ FILE *f = path ? fopen(path, "we") : NULL;

        if (!f)
                return -ENOENT;
        return fputs(pem, f) < 0 || fflush(f) != 0 ? -EIO : 0;
}

static int make_certificate(struct chaos *c, const char *name) {
        static const char *const addresses[] = {"127.0.0.1", NULL};
        struct pki_subject subject = {.cn = name, .ip_addresses = addresses};
        _cleanup_free_ char *cert = NULL, *key = NULL;
        int r = pki_issue(c->ca, c->ca_key, &subject, PKI_USAGE_CLIENT | PKI_USAGE_SERVER,
                        2 * 86400, &cert, &key);

        if (r >= 0)
                r = write_pem(c, name, "crt", cert);
        if (r >= 0)
                r = write_pem(c, name, "key", key);
        return r;
}

int member_add_slot(struct chaos *c) {
        unsigned m = c->slot_count;
        struct member_slot *s = &c->slots[m];
        int r;

        if (m == SLOTS_MAX)
                return -ENOSPC;
        s->name = strformat("m%u", m);
        s->dir = strformat("%s/m%u", c->dir, m);
        if (!s->name || !s->dir)
                return -ENOMEM;
        r = free_port(&s->client_port);
        if (r >= 0)
                r = free_port(&s->peer_port);
        if (r >= 0)
                r = make_certificate(c, s->name);
        if (r >= 0)
                r = proxy_new(&s->proxy, c, m);
        if (r < 0)
                return r;
        s->url = strformat("http://127.0.0.1:%u", s->client_port);
        if (!s->url)
                return -ENOMEM;
        s->state = MEMBER_DOWN;
        c->slot_count++;
        r = watcher_new(&s->watcher, c, m);
        return r < 0 ? r : (int)m;
}

/* --initial-cluster of a member that starts now. */
static char *cluster_list(const struct chaos *c, unsigned m) {
        _cleanup_buf_ struct buf b = {0};

        for (unsigned i = 0; i < c->slot_count; i++)
                if (i == m || member_in_cluster(c, i))
                        buf_printf(&b, "%s%s=https://127.0.0.1:%u", b.size > 0 ? "," : "",
                                        c->slots[i].name, proxy_port(c->slots[i].proxy));
        return buf_take(&b);
}

_noreturn_ static void exec_member(const struct chaos *c, const struct member_slot *s) {
        char *args[48];
        size_t n = 0;
        _cleanup_free_ char *log = strformat("%s.log", s->dir);
        int fd = open(log ? log : "/dev/null", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        sigset_t none;

        /* The members die with the test, however it ends. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == 1 || fd < 0 || null < 0)
                _exit(126);
        sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)dup2(null, 0);
        (void)dup2(fd, 1);
        (void)dup2(fd, 2);
        args[n++] = c->options.kstored;
        args[n++] = strformat("--name=%s", s->name);
        args[n++] = strformat("--data-dir=%s", s->dir);
        args[n++] = strformat("--listen-client-urls=%s", s->url);
        args[n++] = strformat("--listen-peer-urls=https://127.0.0.1:%u", s->peer_port);
        args[n++] = strformat(
                        "--initial-advertise-peer-urls=https://127.0.0.1:%u", proxy_port(s->proxy));
        args[n++] = strformat("--initial-cluster=%s", s->cluster);
        args[n++] = strformat("--initial-cluster-state=%s", s->joins ? "existing" : "new");
        args[n++] = strformat(
                        "--initial-cluster-token=chaos-%llu", (unsigned long long)c->options.seed);
        args[n++] = strformat("--peer-cert-file=%s.crt", s->dir);
        args[n++] = strformat("--peer-key-file=%s.key", s->dir);
        args[n++] = strformat("--peer-trusted-ca-file=%s/ca.crt", c->dir);
        args[n++] = (char *)"--peer-client-cert-auth";
        args[n++] = (char *)"--heartbeat-interval=100";
        args[n++] = strformat("--election-timeout=%d", ELECTION_MS);
        /* Few, so that members that were away are brought up to date with whole states. */
        args[n++] = (char *)"--snapshot-count=1000";
        args[n] = NULL;
        execv(c->options.kstored, args);
        _exit(127);
}

int member_start(struct chaos *c, unsigned m) {
        struct member_slot *s = &c->slots[m];
        pid_t pid;

        assert(s->state == MEMBER_DOWN);
        if (!s->cluster) {
                s->cluster = cluster_list(c, m);
                if (!s->cluster)
                        return -ENOMEM;
        }
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                exec_member(c, s);
        s->pid = pid;
        s->starts++;
        s->state = MEMBER_RUNNING;
        s->leader = s->asked_us = 0;
        /* Fresh connections: the back-off of the old ones would cost seconds. */
        link_close(&s->load);
        link_close(&s->control);
        if (link_open(&s->load, c, s->url) < 0 || link_open(&s->control, c, s->url) < 0)
                return -ENOMEM;
        watcher_connect(s->watcher);
        return 0;
}

static void member_ended(struct chaos *c, struct member_slot *s) {
        s->pid = 0;
        s->state = MEMBER_DOWN;
        s->leader = 0;
        watcher_disconnect(s->watcher);
        link_close(&s->load);
        link_close(&s->control);
}

void member_kill(struct chaos *c, unsigned m) {
        struct member_slot *s = &c->slots[m];

        if (s->pid <= 0)
                return;
        (void)kill(s->pid, SIGKILL);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        member_ended(c, s);
}

void member_pause(struct chaos *c, unsigned m) {
        struct member_slot *s = &c->slots[m];

        if (s->state != MEMBER_RUNNING)
                return;
        (void)kill(s->pid, SIGSTOP);
        s->state = MEMBER_PAUSED;
}

void member_resume(struct chaos *c, unsigned m) {
        struct member_slot *s = &c->slots[m];

        if (s->state != MEMBER_PAUSED)
                return;
        (void)kill(s->pid, SIGCONT);
        s->state = MEMBER_RUNNING;
}

/* Whether it ended; its status. */
static bool member_reap(struct chaos *c, unsigned m, int *ret_status) {
        struct member_slot *s = &c->slots[m];

        if (s->pid <= 0 || waitpid(s->pid, ret_status, WNOHANG) != s->pid)
                return false;
        member_ended(c, s);
        return true;
}

struct stop {
        unsigned m;
        int status;
};

static bool has_stopped(struct chaos *c, void *userdata) {
        struct stop *stop = userdata;

        return c->slots[stop->m].pid == 0 || member_reap(c, stop->m, &stop->status);
}

bool member_stop(struct chaos *c, unsigned m) {
        struct stop stop = {.m = m, .status = -1};

        if (c->slots[m].pid <= 0)
                return true;
        c->slots[m].may_exit = true;
        (void)kill(c->slots[m].pid, SIGTERM);
        if (!chaos_until(c, STOP_LIMIT_US, has_stopped, &stop)) {
                if (!c->interrupted)
                        chaos_fail(c, "%s did not end after SIGTERM", c->slots[m].name);
                member_kill(c, m);
        } else if (stop.status != 0)
                chaos_fail(c, "%s ended with status %d after SIGTERM", c->slots[m].name,
                                stop.status);
        c->slots[m].may_exit = false;
        return stop.status == 0;
}

bool member_in_cluster(const struct chaos *c, unsigned m) {
        return c->slots[m].state != MEMBER_NONE && !c->slots[m].removed &&
               (!c->slots[m].joins || c->slots[m].starts > 0);
}

int cluster_leader(const struct chaos *c) {
        uint64_t term = 0;
        int leader = -1;

        for (unsigned m = 0; m < c->slot_count; m++) {
                const struct member_slot *s = &c->slots[m];

                if (s->pid > 0 && s->leader != 0 && s->leader == s->id && s->term > term) {
                        term = s->term;
                        leader = (int)m;
                }
        }
        return leader;
}

/* One term has one leader. */
static void note_leader(struct chaos *c, const struct member_slot *s) {
        if (s->leader == 0)
                return;
        for (size_t i = c->term_count; i > 0; i--)
                if (c->terms[i - 1].term == s->term) {
                        if (c->terms[i - 1].leader != s->leader)
                                chaos_fail(c, "term %llu is led by %llx and by %llx",
                                                (unsigned long long)s->term,
                                                (unsigned long long)c->terms[i - 1].leader,
                                                (unsigned long long)s->leader);
                        return;
                }
        chaos_grow(&c->terms, &c->terms_allocated, c->term_count, sizeof(*c->terms));
        c->terms[c->term_count].term = s->term;
        c->terms[c->term_count++].leader = s->leader;
}

static void on_status(struct chaos *c, const struct rpc_reply *reply, void *userdata) {
        struct member_slot *s = userdata;
        Etcdserverpb__StatusResponse *r;

        s->asking = false;
        if (reply->code != GRPC_OK)
                return;
        r = etcdserverpb__status_response__unpack(NULL, reply->size, reply->data);
        if (!r || !r->header)
                chaos_fail(c, "%s: a status that nobody can read", s->name);
        else {
                s->id = r->header->member_id;
                s->leader = r->leader;
                s->term = r->raftterm;
                s->rev = r->header->revision;
                s->learner = r->islearner;
                s->asked_us = chaos_now_us(c);
                note_leader(c, s);
        }
        if (r)
                etcdserverpb__status_response__free_unpacked(r, NULL);
}

static int on_status_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Etcdserverpb__StatusRequest request = ETCDSERVERPB__STATUS_REQUEST__INIT;
        struct chaos *c = userdata;
        int status;

        for (unsigned m = 0; m < c->slot_count; m++) {
                struct member_slot *s = &c->slots[m];

                if (!s->may_exit && member_reap(c, m, &status))
                        chaos_fail(c, "%s ended by itself: status %d; see %s.log", s->name, status,
                                        s->dir);
                if (s->state == MEMBER_RUNNING && !s->asking)
                        s->asking = rpc_start(&s->control, "/etcdserverpb.Maintenance/Status",
                                                    &request.base, STATUS_LIMIT_US, on_status,
                                                    s) >= 0;
        }
        (void)sd_event_source_set_time_relative(source, STATUS_EVERY_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

struct health {
        uint64_t since_us;
};

static bool is_healthy(struct chaos *c, void *userdata) {
        const struct health *h = userdata;
        uint64_t leader = 0;

        for (unsigned m = 0; m < c->slot_count; m++) {
                const struct member_slot *s = &c->slots[m];

                if (!member_in_cluster(c, m))
                        continue;
                if (s->state != MEMBER_RUNNING || s->asked_us < h->since_us || s->leader == 0 ||
                                (leader != 0 && leader != s->leader))
                        return false;
                leader = s->leader;
        }
        return leader != 0;
}

bool cluster_wait_healthy(struct chaos *c, uint64_t timeout_us) {
        struct health h = {.since_us = chaos_now_us(c)};

        return chaos_until(c, timeout_us, is_healthy, &h);
}

int cluster_make(struct chaos *c) {
        int r = pki_ca_new("chaos", 2, &c->ca, &c->ca_key);

        if (r >= 0)
                r = write_pem(c, "ca", "crt", c->ca);
        for (unsigned m = 0; r >= 0 && m < c->options.members; m++)
                r = member_add_slot(c);
        for (unsigned m = 0; r >= 0 && m < c->options.members; m++)
                r = member_start(c, m);
        if (r >= 0)
                r = sd_event_add_time_relative(c->event, &c->status_timer, CLOCK_MONOTONIC,
                                STATUS_EVERY_US, 1000, on_status_timer, c);
        return r < 0 ? r : 0;
}

void cluster_done(struct chaos *c) {
        sd_event_source_disable_unref(c->status_timer);
        for (unsigned m = 0; m < c->slot_count; m++) {
                struct member_slot *s = &c->slots[m];

                member_kill(c, m);
                link_close(&s->load);
                link_close(&s->control);
        }
        for (unsigned m = 0; m < c->slot_count; m++) {
                struct member_slot *s = &c->slots[m];

                watcher_free(s->watcher);
                proxy_free(s->proxy);
                free(s->name);
                free(s->dir);
                free(s->url);
                free(s->cluster);
        }
        free(c->terms);
        free(c->ca);
        free(c->ca_key);
}
