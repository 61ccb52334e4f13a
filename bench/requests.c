/* Many requests. An answer's head is looked at for its status and length only; of its body only the
 * length counts, which a body in chunks says piece by piece. */
#include "bench/requests.h"

#include <sys/epoll.h>

#include "lib/timefmt.h"

enum { READ_SIZE = 64 << 10, EVENTS_MAX = 128, SHOWN_MAX = 300 };

struct lane {
        struct connection connection;
        struct buf in; /* a head that has not come whole */
        size_t left;   /* of the body, or of its chunk with what ends it */
        bool body, chunked, last;
        unsigned status;
};

struct run {
        const struct requests_options *options;
        struct lane *lanes;
        struct buf out;
        unsigned long begun, ended;
        int epoll_fd;
        struct problem *problem;
};

static int send_next(struct run *run, struct lane *l) {
        int r;

        if (run->begun == run->options->count)
                return 0;
        run->out.size = 0;
        r = run->options->write(&run->out, run->begun++, run->options->userdata);
        return r < 0 ? r : connection_write(&l->connection, run->out.data, run->out.size);
}

/* The status and the length of the body; the head ends with NUL. */
static int read_head(struct lane *l, const char *head) {
        const char *length = strcasestr(head, "\r\nContent-Length:");

        l->chunked = strcasestr(head, "\r\nTransfer-Encoding: chunked");
        if (!startswith(head, "HTTP/1.1 ") || (!length && !l->chunked))
                return -EBADMSG;
        l->status = (unsigned)strtoul(head + strlen("HTTP/1.1 "), NULL, 10);
        l->left = l->chunked ? 0 : strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
        l->last = !l->chunked;
        l->body = true;
        return 0;
}

/* The line that begins a chunk; the last one, of no bytes, has no trailers. */
static size_t read_chunk_line(struct lane *l, const char *p, size_t n) {
        const char *end = memmem(p, n, "\r\n", 2);

        if (!end)
                return 0;
        l->left = strtoul(p, NULL, 16) + 2;
        l->last = l->left == 2;
        return (size_t)(end - p) + 2;
}

/* What came, or what was kept of a head with it; *ret_used bytes of it were taken. */
static int take(struct run *run, struct lane *l, const char *p, size_t n, size_t *ret_used) {
        const char *end;
        size_t used;

        if (l->body && !l->last && l->left == 0) {
                *ret_used = read_chunk_line(l, p, n);
                return 0;
        }
        if (l->body) {
                used = MIN(n, l->left);
                if (l->status / 100 != 2)
                        return problem_set(run->problem, EIO, 0, NULL, "%u: %.*s", l->status,
                                        (int)MIN(used, (size_t)SHOWN_MAX), p);
                l->left -= used;
        } else {
                end = memmem(p, n, "\r\n\r\n", 4);
                if (!end) {
                        *ret_used = 0;
                        return 0;
                }
                used = (size_t)(end - p) + 4;
                _cleanup_free_ char *head = strndup(p, used - 2);
                int r = head ? read_head(l, head) : -ENOMEM;

                if (r < 0)
                        return r;
        }
        *ret_used = used;
        if (!l->body || l->left > 0 || !l->last)
                return 0;
        l->body = false;
        run->ended++;
        return send_next(run, l);
}

static int take_all(struct run *run, struct lane *l, const char *p, size_t n) {
        size_t used = 1;

        if (l->in.size > 0 && buf_append(&l->in, p, n) < 0)
                return -ENOMEM;
        if (l->in.size > 0) {
                p = l->in.data;
                n = l->in.size;
        }
        while (n > 0 && used > 0) {
                int r = take(run, l, p, n, &used);

                if (r < 0)
                        return r;
                p += used;
                n -= used;
        }
        if (l->in.size > 0)
                buf_consume(&l->in, l->in.size - n);
        else if (n > 0)
                return buf_append(&l->in, p, n);
        return 0;
}

static int read_lane(struct run *run, struct lane *l) {
        char data[READ_SIZE];
        ssize_t n;

        while ((n = tls_stream_read(l->connection.tls, data, sizeof(data))) > 0) {
                int r = take_all(run, l, data, (size_t)n);

                if (r < 0)
                        return r;
        }
        return n == -EAGAIN ? 0 : n < 0 ? (int)n : -ECONNRESET;
}

static int lanes_open(struct run *run) {
        struct epoll_event e = {.events = EPOLLIN | EPOLLET};

        for (unsigned long i = 0; i < run->options->connections; i++) {
                struct lane *l = &run->lanes[i];
                int r = connection_open(&l->connection, run->options->tls, i, run->options->port);

                if (r < 0)
                        return r;
                r = connection_unblock(&l->connection);
                if (r < 0)
                        return r;
                e.data.ptr = l;
                if (epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, l->connection.fd, &e) < 0)
                        return -errno;
        }
        return 0;
}

static int run_all(struct run *run, uint64_t *ret_us) {
        struct epoll_event events[EVENTS_MAX];
        uint64_t begin;
        int r = lanes_open(run);

        if (r < 0)
                return r;
        begin = now_mono_us();
        for (unsigned long i = 0; i < run->options->connections; i++) {
                r = send_next(run, &run->lanes[i]);
                if (r < 0)
                        return r;
        }
        while (run->ended < run->options->count) {
                int n = epoll_wait(run->epoll_fd, events, EVENTS_MAX, -1);

                for (int i = 0; i < n; i++) {
                        r = read_lane(run, events[i].data.ptr);
                        if (r < 0)
                                return r;
                }
        }
        *ret_us = now_mono_us() - begin;
        return 0;
}

int requests_run(const struct requests_options *o, uint64_t *ret_us, struct problem *p) {
        struct run run = {.options = o, .problem = p};
        int r = -ENOMEM;

        run.lanes = calloc(o->connections, sizeof(*run.lanes));
        run.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (run.lanes && run.epoll_fd >= 0)
                r = run_all(&run, ret_us);
        for (unsigned long i = 0; run.lanes && i < o->connections; i++) {
                tls_stream_free(run.lanes[i].connection.tls);
                if (run.lanes[i].connection.tls)
                        safe_close(run.lanes[i].connection.fd);
                buf_done(&run.lanes[i].in);
        }
        free(run.lanes);
        buf_done(&run.out);
        safe_close(run.epoll_fd);
        return r;
}
