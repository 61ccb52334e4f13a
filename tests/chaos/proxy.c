/* A proxy between two members: the others reach a member at a port of the proxy. The member
 * that connects is the process that owns the other end of the connection, so that each direction
 * between two members can be cut or delayed for itself. What is cut waits, as with packets that get
 * lost and are sent again: it arrives, late, when the way is open again. */
#include "tests/chaos/chaos.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { QUEUED_MAX = 1 << 20, CHUNK = 65536, NOBODY = SLOTS_MAX };

struct chunk {
        struct chunk *next;
        uint64_t due_us;
        size_t size, sent;
        char data[];
};

/* Bytes from one side to the other. */
struct way {
        int from_fd, to_fd;
        unsigned from, to;
        struct chunk *first, **tail;
        size_t queued;
        bool ended, told_end;
};

struct connection {
        struct proxy *proxy;
        struct connection *next, **back;
        int fds[2]; /* who connected; the member */
        sd_event_source *io[2], *timer;
        bool gone[2];
        struct way ways[2];
};

struct proxy {
        struct chaos *chaos;
        unsigned to;
        int fd;
        uint16_t port;
        sd_event_source *io;
        struct connection *connections;
};

static struct connection *connection_free(struct connection *x) {
        for (unsigned i = 0; i < 2; i++) {
                sd_event_source_disable_unref(x->io[i]);
                safe_close(x->fds[i]);
                while (x->ways[i].first) {
                        struct chunk *k = x->ways[i].first;

                        x->ways[i].first = k->next;
                        free(k);
                }
        }
        sd_event_source_disable_unref(x->timer);
        *x->back = x->next;
        if (x->next)
                x->next->back = x->back;
        free(x);
        return NULL;
}

static bool is_cut(const struct chaos *c, const struct way *w) {
        return w->from != NOBODY && w->to != NOBODY && c->cut[w->from][w->to];
}

static void way_read(struct chaos *c, struct way *w) {
        while (!w->ended && w->queued < QUEUED_MAX && !is_cut(c, w)) {
                struct chunk *k = malloc(sizeof(*k) + CHUNK);
                ssize_t n = k ? read(w->from_fd, k->data, CHUNK) : -1;

                if (n <= 0) {
                        free(k);
                        if (n == 0 || (errno != EAGAIN && errno != EINTR))
                                w->ended = true;
                        return;
                }
                *k = (struct chunk){.size = (size_t)n, .due_us = chaos_now_us(c)};
                if (w->from != NOBODY)
                        k->due_us += (uint64_t)c->delay_ms[w->from][w->to] * 1000;
                *w->tail = k;
                w->tail = &k->next;
                w->queued += (size_t)n;
                c->bytes_forwarded += (uint64_t)n;
        }
}

/* Whether the socket takes no more for now. */
static bool way_write(struct chaos *c, struct way *w) {
        uint64_t now_us = chaos_now_us(c);

        while (w->first && w->first->due_us <= now_us && !is_cut(c, w)) {
                struct chunk *k = w->first;
                ssize_t n = send(w->to_fd, k->data + k->sent, k->size - k->sent, MSG_NOSIGNAL);

                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return true;
                if (n < 0) {
                        w->ended = true;
                        return false;
                }
                k->sent += (size_t)n;
                w->queued -= (size_t)n;
                if (k->sent < k->size)
                        return true;
                w->first = k->next;
                if (!w->first)
                        w->tail = &w->first;
                free(k);
        }
        return false;
}

static void connection_turn(struct connection *x) {
        struct chaos *c = x->proxy->chaos;
        uint32_t events[2] = {0, 0};
        uint64_t due_us = UINT64_MAX;

        for (unsigned i = 0; i < 2; i++) {
                struct way *w = &x->ways[i];
                bool full;

                way_read(c, w);
                full = way_write(c, w);
                if (w->ended && !w->first && !is_cut(c, w)) {
                        connection_free(x);
                        return;
                }
                if (!w->ended && w->queued < QUEUED_MAX && !is_cut(c, w))
                        events[i] |= EPOLLIN;
                if (full)
                        events[!i] |= EPOLLOUT;
                if (w->first && !full && !is_cut(c, w))
                        due_us = MIN(due_us, w->first->due_us);
        }
        for (unsigned i = 0; i < 2; i++)
                (void)sd_event_source_set_io_events(x->io[i], events[i]);
        if (due_us == UINT64_MAX)
                (void)sd_event_source_set_enabled(x->timer, SD_EVENT_OFF);
        else {
                uint64_t now_us = chaos_now_us(c);

                (void)sd_event_source_set_time_relative(
                                x->timer, due_us > now_us ? due_us - now_us : 0);
                (void)sd_event_source_set_enabled(x->timer, SD_EVENT_ONESHOT);
        }
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        struct connection *x = userdata;
        unsigned i = fd == x->fds[0] ? 0 : 1;

        /* A side that is gone would be reported again and again while its way is cut. */
        if (events & (EPOLLHUP | EPOLLERR) && is_cut(x->proxy->chaos, &x->ways[i])) {
                x->gone[i] = true;
                return sd_event_source_set_enabled(source, SD_EVENT_OFF);
        }
        connection_turn(x);
        return 0;
}

static int on_due(sd_event_source *source, uint64_t usec, void *userdata) {
        connection_turn(userdata);
        return 0;
}

static bool owns_socket(pid_t pid, unsigned long inode) {
        char dir[64], want[64], path[330], have[64];
        struct dirent *e;
        bool found = false;
        DIR *d;

        snprintf(dir, sizeof(dir), "/proc/%d/fd", (int)pid);
        snprintf(want, sizeof(want), "socket:[%lu]", inode);
        d = opendir(dir);
        while (d && !found && (e = readdir(d))) {
                ssize_t n;

                snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
                n = readlink(path, have, sizeof(have) - 1);
                have[MAX(n, (ssize_t)0)] = '\0';
                found = streq(have, want);
        }
        if (d)
                closedir(d);
        return found;
}

/* Which member this connection comes from. */
static unsigned owner(const struct chaos *c, const struct proxy *p, uint16_t port) {
        _cleanup_fclose_ FILE *f = fopen("/proc/net/tcp", "re");
        unsigned long inode = 0;
        char line[512];

        while (f && inode == 0 && fgets(line, sizeof(line), f)) {
                unsigned local, remote;
                unsigned long found;

                if (sscanf(line, "%*u: %*8x:%4x %*8x:%4x %*x %*s %*s %*s %*u %*u %lu", &local,
                                    &remote, &found) == 3 &&
                                local == port && remote == p->port)
                        inode = found;
        }
        for (unsigned m = 0; inode != 0 && m < c->slot_count; m++)
                if (c->slots[m].pid > 0 && owns_socket(c->slots[m].pid, inode))
                        return m;
        return NOBODY;
}

static int connect_to(uint16_t port) {
        struct sockaddr_in a = {.sin_family = AF_INET,
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                        .sin_port = htons(port)};
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        /* Loopback answers at once. */
        if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
                        fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int connection_new(struct proxy *p, int client, int member, unsigned from) {
        struct connection *x = calloc(1, sizeof(*x));
        sd_event *event = p->chaos->event;
        const int one = 1;
        int r = 0;

        if (!x)
                return -ENOMEM;
        x->proxy = p;
        x->next = p->connections;
        x->back = &p->connections;
        if (x->next)
                x->next->back = &x->next;
        p->connections = x;
        x->fds[0] = client;
        x->fds[1] = member;
        for (unsigned i = 0; i < 2; i++) {
                x->ways[i] = (struct way){.from_fd = x->fds[i],
                                .to_fd = x->fds[!i],
                                .from = i == 0 ? from : p->to,
                                .to = i == 0 ? p->to : from,
                                .tail = &x->ways[i].first};
                if (i == 1 && from == NOBODY)
                        x->ways[i].from = NOBODY;
                (void)setsockopt(x->fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
                if (r >= 0)
                        r = sd_event_add_io(event, &x->io[i], x->fds[i], EPOLLIN, on_io, x);
        }
        if (r >= 0)
                r = sd_event_add_time(event, &x->timer, CLOCK_MONOTONIC, 0, 1000, on_due, x);
        if (r < 0) {
                x->fds[0] = x->fds[1] = -1; /* the caller's still */
                connection_free(x);
                return r;
        }
        connection_turn(x);
        return 0;
}

static int on_accept(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        struct proxy *p = userdata;
        struct chaos *c = p->chaos;
        struct sockaddr_in a;
        socklen_t n = sizeof(a);
        _cleanup_close_ int client =
                        accept4(fd, (struct sockaddr *)&a, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
        _cleanup_close_ int member = -EBADF;
        unsigned from;

        if (client < 0)
                return 0;
        from = owner(c, p, ntohs(a.sin_port));
        member = connect_to(c->slots[p->to].peer_port);
        if (member < 0)
                return 0;
        if (connection_new(p, client, member, from) >= 0)
                client = member = -EBADF;
        return 0;
}

int proxy_new(struct proxy **ret, struct chaos *c, unsigned to) {
        struct proxy *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return -ENOMEM;
        p->chaos = c;
        p->to = to;
        r = p->fd = chaos_bind(&p->port);
        if (r >= 0 && listen(p->fd, 128) < 0)
                r = -errno;
        if (r >= 0)
                r = sd_event_add_io(c->event, &p->io, p->fd, EPOLLIN, on_accept, p);
        if (r < 0) {
                proxy_free(p);
                return r;
        }
        *ret = p;
        return 0;
}

struct proxy *proxy_free(struct proxy *p) {
        if (!p)
                return NULL;
        while (p->connections)
                connection_free(p->connections);
        sd_event_source_disable_unref(p->io);
        safe_close(p->fd);
        free(p);
        return NULL;
}

uint16_t proxy_port(const struct proxy *p) {
        return p->port;
}

void proxies_update(struct chaos *c) {
        for (unsigned m = 0; m < c->slot_count; m++) {
                struct connection *next;

                for (struct connection *x = c->slots[m].proxy->connections; x; x = next) {
                        next = x->next;
                        for (unsigned i = 0; i < 2; i++) {
                                if (x->gone[i] && !is_cut(c, &x->ways[i])) {
                                        x->gone[i] = false;
                                        (void)sd_event_source_set_enabled(x->io[i], SD_EVENT_ON);
                                }
                        }
                        connection_turn(x);
                }
        }
}
