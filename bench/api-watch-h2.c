/* The watchers of bench/api by HTTP/2, as client-go's: several watches on a connection.
 *
 *      api-watch-h2 CA CERTIFICATE KEY PORT PATH COUNT STREAMS
 *
 * COUNT watches, STREAMS on each connection. Says what api-watch says: "ready" when all have their
 * head, then for each event the monotonic time in microseconds at which the last of them had it
 * whole. Ends with its standard input. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "lib/h2.h"
#include "lib/net.h"
#include "lib/timefmt.h"
#include "lib/tls.h"

enum { PER_ADDRESS = 4000 };

struct watch {
        struct h2_stream stream;
        unsigned events; /* that it had */
        char last;       /* byte */
};

struct crowd {
        sd_event *event;
        struct h2_loop loop;
        struct tls_context *tls;
        struct watch *watches;
        const char *path;
        size_t count, per_connection, begun, heads, behind; /* behind: without the present event */
        unsigned present;
};

static int on_header(struct h2_stream *s, const char *name, const char *value) {
        return streq(name, ":status") && !streq(value, "200") ? -EACCES : 0;
}

static void on_headers(struct h2_stream *s, bool end) {
        struct crowd *c = s->connection->owner;

        if (++c->heads < c->count)
                return;
        printf("ready\n");
        fflush(stdout);
}

static void next_event(struct crowd *c) {
        printf("%" PRIu64 "\n", now_mono_us());
        fflush(stdout);
        c->behind = c->count;
        c->present++;
        for (size_t i = 0; i < c->count; i++)
                c->behind -= c->watches[i].events >= c->present;
}

/* A line is an object and ends with "}\n". */
static void on_data(struct h2_stream *s, const void *data, size_t n) {
        struct watch *w = container_of(s, struct watch, stream);
        struct crowd *c = s->connection->owner;
        const char *p = data;

        for (const char *at = p; (at = memchr(at, '\n', n - (size_t)(at - p))); at++) {
                if ((at > p ? at[-1] : w->last) != '}')
                        continue;
                if (++w->events == c->present && --c->behind == 0)
                        next_event(c);
        }
        w->last = n > 0 ? p[n - 1] : w->last;
}

static void on_nothing(struct h2_stream *s) {
}

static int on_local_end(struct h2_stream *s) {
        return 0;
}

static void fail_all(struct crowd *c, const char *why) {
        fprintf(stderr, "api-watch-h2: %s\n", why);
        (void)sd_event_exit(c->event, 1);
}

static void on_closed(struct h2_stream *s, uint32_t error) {
        fail_all(s->connection->owner, "a watch ended");
        h2_stream_done(s);
}

static void on_broken(struct h2_connection *c, const char *why) {
        fail_all(c->owner, why);
}

static void on_deadline(struct h2_loop *loop, uint64_t now_us) {
}

static void on_open(struct h2_connection *connection);

static const struct h2_handler handler = {.on_header = on_header,
                .on_headers = on_headers,
                .on_data = on_data,
                .on_remote_end = on_nothing,
                .on_local_end = on_local_end,
                .on_drained = on_nothing,
                .on_expired = on_nothing,
                .on_closed = on_closed,
                .on_open = on_open,
                .on_broken = on_broken};

static int connect_next(struct crowd *c, uint16_t port) {
        struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
        struct h2_connection *connection;
        const int on = 1;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        from.sin_addr.s_addr = htonl(
                        INADDR_LOOPBACK + (uint32_t)(c->begun / c->per_connection / PER_ADDRESS));
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        to.sin_port = htons(port);
        (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
                return -errno;
        return h2_connection_new(&connection, &c->loop, &handler, c, fd, c->tls, NULL, H2_CLIENT);
}

static void on_open(struct h2_connection *connection) {
        struct crowd *c = connection->owner;
        const struct h2_header headers[] = {{":method", "GET"}, {":scheme", "https"},
                        {":path", c->path}, {":authority", "bench"}};

        for (size_t i = 0; i < c->per_connection && c->begun < c->count; i++) {
                struct watch *w = &c->watches[c->begun++];

                w->stream.deadline_us = UINT64_MAX;
                if (h2_submit_request(connection, &w->stream, headers, ELEMENTS(headers)) < 0) {
                        fail_all(c, "no request could be made");
                        return;
                }
                h2_stream_end(&w->stream);
        }
}

static int on_input(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        exit(0); /* the kernel closes them all */
}

static int run(struct crowd *c, uint16_t port) {
        int r = sd_event_new(&c->event), code;

        if (r >= 0)
                r = h2_loop_init(&c->loop, c->event, on_deadline);
        if (r >= 0)
                r = sd_event_add_io(c->event, NULL, STDIN_FILENO, EPOLLIN, on_input, c);
        while (r >= 0 && c->begun < c->count) {
                const size_t before = c->begun;

                r = connect_next(c, port);
                while (r >= 0 && c->begun == before)
                        r = sd_event_run(c->event, UINT64_MAX);
        }
        if (r < 0)
                return r;
        r = sd_event_loop(c->event);
        return sd_event_get_exit_code(c->event, &code) >= 0 && code ? -ECANCELED : r;
}

int main(int argc, char **argv) {
        struct tls_files files = {0};
        _cleanup_problem_ struct problem p = {0};
        struct crowd c = {.present = 1};
        uint64_t port = 0, count = 0, streams = 0;
        int r;

        if (argc != 8 || parse_u64(argv[4], &port) < 0 || parse_u64(argv[6], &count) < 0 ||
                        parse_u64(argv[7], &streams) < 0 || count == 0 || streams == 0) {
                fprintf(stderr, "Usage: api-watch-h2 CA CERTIFICATE KEY PORT PATH COUNT STREAMS\n");
                return 2;
        }
        files = (struct tls_files){.ca = argv[1], .cert = argv[2], .key = argv[3]};
        (void)setrlimit(RLIMIT_NOFILE, &(struct rlimit){count / streams + 100, count + 100});
        c.count = c.behind = count;
        c.per_connection = streams;
        c.path = argv[5];
        c.watches = calloc(count, sizeof(*c.watches));
        r = c.watches ? tls_context_new(&c.tls, &files, /* server= */ false, &p) : -ENOMEM;
        if (r >= 0)
                r = run(&c, (uint16_t)port);
        if (r < 0)
                fprintf(stderr, "api-watch-h2: %s\n", p.message ? p.message : strerror(-r));
        return r < 0;
}
