/* The watchers of bench/api: one thread with N connections, each a watch over TLS.
 *
 *      api-watch CA CERTIFICATE KEY PORT PATH COUNT
 *
 * Says "ready" when all have their head, then for each event the monotonic time in microseconds at
 * which the last of them had it whole. Ends with its standard input. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "bench/connection.h"
#include "lib/timefmt.h"

enum { EVENTS_MAX = 512, READ_SIZE = 64 << 10 };

struct watcher {
        struct connection connection;
        unsigned events; /* that it had */
        char last;       /* byte */
};

struct crowd {
        struct watcher *watchers;
        size_t count, behind; /* those that do not have the present event */
        unsigned event;
        int epoll_fd;
};

/* The events that end in what came: a line is an object and ends with "}\n". */
static void take(struct crowd *c, struct watcher *w, const char *p, size_t n) {
        for (const char *at = p; (at = memchr(at, '\n', n - (size_t)(at - p))); at++) {
                if ((at > p ? at[-1] : w->last) != '}')
                        continue;
                if (++w->events == c->event)
                        c->behind--;
        }
        w->last = n > 0 ? p[n - 1] : w->last;
}

static int read_head(struct watcher *w) {
        char head[4096];
        size_t n = 0;

        while (n < sizeof(head) - 1) {
                ssize_t r = tls_stream_read(w->connection.tls, head + n, sizeof(head) - 1 - n);

                if (r == -EAGAIN)
                        continue;
                if (r <= 0)
                        return r < 0 ? (int)r : -ECONNRESET;
                n += (size_t)r;
                head[n] = 0;
                if (strstr(head, "\r\n\r\n"))
                        return startswith(head, "HTTP/1.1 200 ") ? 0 : -EACCES;
        }
        return -E2BIG;
}

static int watcher_begin(struct watcher *w, struct tls_context *tls, size_t i, uint16_t port,
                const char *path) {
        _cleanup_free_ char *request = strformat("GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", path);
        int r = request ? connection_open(&w->connection, tls, i, port) : -ENOMEM;

        if (r < 0)
                return r;
        r = connection_write(&w->connection, request, strlen(request));
        if (r < 0)
                return r;
        r = read_head(w);
        if (r < 0)
                return r;
        return connection_unblock(&w->connection);
}

static int read_events(struct crowd *c, struct watcher *w) {
        char data[READ_SIZE];
        ssize_t r;

        while ((r = tls_stream_read(w->connection.tls, data, sizeof(data))) > 0)
                take(c, w, data, (size_t)r);
        return r == -EAGAIN ? 0 : r < 0 ? (int)r : -ECONNRESET;
}

static int run(struct crowd *c) {
        struct epoll_event events[EVENTS_MAX];

        for (;;) {
                int n = epoll_wait(c->epoll_fd, events, EVENTS_MAX, -1);

                for (int i = 0; i < n; i++) {
                        struct watcher *w = events[i].data.ptr;
                        int r = w ? read_events(c, w) : 1;

                        if (r)
                                return r;
                }
                if (c->behind > 0)
                        continue;
                printf("%" PRIu64 "\n", now_mono_us());
                fflush(stdout);
                c->behind = c->count;
                c->event++;
                for (size_t i = 0; i < c->count; i++)
                        c->behind -= c->watchers[i].events >= c->event;
        }
}

static int begin(struct crowd *c, struct tls_context *tls, uint16_t port, const char *path) {
        struct epoll_event e = {.events = EPOLLIN};

        c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &e) < 0)
                return -errno;
        for (size_t i = 0; i < c->count; i++) {
                int r = watcher_begin(&c->watchers[i], tls, i, port, path);

                if (r < 0)
                        return r;
                e = (struct epoll_event){.events = EPOLLIN | EPOLLET, .data.ptr = &c->watchers[i]};
                if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->watchers[i].connection.fd, &e) < 0)
                        return -errno;
        }
        c->event = 1;
        c->behind = c->count;
        printf("ready\n");
        fflush(stdout);
        return 0;
}

int main(int argc, char **argv) {
        struct tls_files files = {0};
        struct tls_context *tls = NULL;
        _cleanup_problem_ struct problem p = {0};
        struct crowd c = {0};
        uint64_t port = 0, count = 0;
        int r;

        if (argc != 7 || parse_u64(argv[4], &port) < 0 || parse_u64(argv[6], &count) < 0 ||
                        count == 0) {
                fprintf(stderr, "Usage: api-watch CA CERTIFICATE KEY PORT PATH COUNT\n");
                return 2;
        }
        files = (struct tls_files){.ca = argv[1], .cert = argv[2], .key = argv[3]};
        (void)setrlimit(RLIMIT_NOFILE, &(struct rlimit){count + 100, count + 100});
        c.count = count;
        c.watchers = calloc(count, sizeof(*c.watchers));
        r = c.watchers ? tls_context_new(&tls, &files, /* server= */ false, &p) : -ENOMEM;
        if (r >= 0)
                r = begin(&c, tls, (uint16_t)port, argv[5]);
        if (r >= 0)
                r = run(&c);
        if (r < 0)
                fprintf(stderr, "api-watch: %s\n", p.message ? p.message : strerror(-r));
        return r < 0; /* the kernel closes them all */
}
