/* HTTP/2 connections over non-blocking sockets. nghttp2 is a state machine here: bytes in through
 * mem_recv, bytes out through mem_send into one buffer, which is written once per turn of the loop.
 *
 * Invariants: nghttp2 is entered only with busy > 0; a connection is freed only with busy == 0, so
 * that every callback may free it (doomed). A stream is in its connection's list from
 * h2_stream_link() until on_closed, and on_closed is called exactly once for it. */
#include "lib/h2.h"

#include <sys/socket.h>
#include <time.h>

#include "lib/h2-internal.h"
#include "lib/net.h"
#include "lib/parallel.h"

enum {
        BLOCK_SIZE = 64 << 10,
        READ_PER_TURN_MAX = 512 << 10,
        OUT_MAX = 47 << 10,  /* frames made ahead of the socket: with one more it is 64 KB */
        OUT_KEPT = 16 << 10, /* memory that an idle connection keeps */
        FLUSH_US = 2000,     /* writing to many connections gives way to others after this */
        /* Between looks at the clock; what the threads do together. */
        BATCH_MAX = 256,
        BATCH_BYTES_MAX = 1 << 20,
        HANDSHAKE_US = 10000000,
};

uint64_t h2_now_us(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- freeing ---- */

static void dirty_unlink(struct h2_connection *c) {
        if (!c->dirty_link)
                return;
        *c->dirty_link = c->dirty_next;
        if (c->dirty_next)
                c->dirty_next->dirty_link = c->dirty_link;
        c->dirty_link = NULL;
        c->dirty_next = NULL;
}

/* Closes the remaining streams. */
static void close_streams(struct h2_connection *c) {
        struct h2_stream *s;

        c->state = H2_BROKEN;
        c->busy++;
        while ((s = c->streams)) {
                h2_stream_unlink(s);
                c->handler->on_closed(s, H2_NO_ERROR);
        }
        c->busy--;
}

static void connection_destroy(struct h2_connection *c) {
        assert(c->busy == 0 && !c->streams);
        if (c->session)
                h2_session_free(c);
        /* What thousands of streams have used lies between other memory and holds its pages. */
        pool_drop(c->pool);
        pool_unref(c->pool);
        buf_done(&c->out);
        free(c);
}

struct h2_connection *h2_connection_free(struct h2_connection *c) {
        if (!c || c->doomed)
                return NULL;
        c->doomed = true;
        close_streams(c);
        dirty_unlink(c);
        if (c->link) {
                *c->link = c->next;
                if (c->next)
                        c->next->link = c->link;
        }
        c->io = sd_event_source_disable_unref(c->io);
        c->tls = tls_stream_free(c->tls);
        c->fd = safe_close(c->fd);
        c->loop = NULL;
        if (c->busy == 0)
                connection_destroy(c);
        return NULL;
}

static void enter(struct h2_connection *c) {
        c->busy++;
}

/* True when the connection is gone. */
static bool leave(struct h2_connection *c) {
        if (--c->busy > 0 || !c->doomed)
                return c->doomed;
        connection_destroy(c);
        return true;
}

void h2_connection_fail(struct h2_connection *c, const char *why) {
        if (c->doomed)
                return;
        c->state = H2_BROKEN;
        enter(c);
        c->handler->on_broken(c, why);
        h2_connection_free(c);
        (void)leave(c);
}

/* ---- the loop ---- */

static void flush_batch(struct h2_connection **round, struct parallel *parallel);

static void flush_all(struct h2_loop *loop) {
        /* Take the list as it is: what becomes dirty meanwhile has its turn in the next round. A
         * callback may free the loop, so that only the list is used from here on; while there
         * is a connection in it there is the loop, too. */
        struct h2_connection *round = TAKE_PTR(loop->dirty), *c;
        struct parallel *parallel = loop->parallel;
        uint64_t until_us = h2_now_us() + FLUSH_US;

        if (round)
                round->dirty_link = &round;
        while (round) {
                flush_batch(&round, parallel);
                if (!round || h2_now_us() < until_us)
                        continue;
                while ((c = round)) { /* the rest in the next round, first */
                        dirty_unlink(c);
                        h2_connection_dirty(c);
                }
        }
}

static int on_flush(sd_event_source *source, void *userdata) {
        struct h2_loop *loop = userdata;

        loop->flush = sd_event_source_disable_unref(loop->flush);
        flush_all(loop);
        return 0;
}

void h2_connection_dirty(struct h2_connection *c) {
        struct h2_loop *loop = c->loop;

        if (c->doomed || c->dirty_link || c->state != H2_OPEN)
                return;
        c->dirty_next = loop->dirty;
        c->dirty_link = &loop->dirty;
        if (c->dirty_next)
                c->dirty_next->dirty_link = &c->dirty_next;
        loop->dirty = c;
        /* A new source each time takes its turn after those pending already: that makes the
         * batch. */
        if (!loop->flush && sd_event_add_defer(loop->event, &loop->flush, on_flush, loop) < 0)
                h2_loop_wake_at(loop, 0);
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        struct h2_loop *loop = userdata;

        loop->wake_us = UINT64_MAX;
        if (loop->dirty && !loop->flush) { /* there was no memory for a source */
                h2_loop_wake_at(loop, h2_now_us());
                flush_all(loop);
        } else
                loop->on_deadline(loop, h2_now_us());
        return 0;
}

int h2_loop_init(struct h2_loop *loop, sd_event *event,
                void (*on_deadline)(struct h2_loop *loop, uint64_t now_us)) {
        int r;

        *loop = (struct h2_loop){.event = sd_event_ref(event),
                        .wake_us = UINT64_MAX,
                        .on_deadline = on_deadline};
        r = pool_new(&loop->pool);
        if (r < 0)
                return r;
        r = sd_event_add_time(
                        event, &loop->timer, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_time, loop);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(loop->timer, SD_EVENT_OFF);
}

void h2_loop_done(struct h2_loop *loop) {
        assert(!loop->dirty);
        sd_event_source_disable_unref(loop->flush);
        sd_event_source_disable_unref(loop->timer);
        sd_event_unref(loop->event);
        pool_unref(loop->pool);
        buf_done(&loop->spare);
        *loop = (struct h2_loop){0};
}

void h2_loop_wake_at(struct h2_loop *loop, uint64_t when_us) {
        if (when_us >= loop->wake_us)
                return;
        loop->wake_us = when_us;
        (void)sd_event_source_set_time(loop->timer, when_us);
        (void)sd_event_source_set_enabled(loop->timer, SD_EVENT_ONESHOT);
}

/* ---- writing ---- */

/* Edge-triggered once HTTP/2 is spoken: sd-event asks epoll again before each single dispatch, so
 * that a thousand ready connections would each be reported a thousand times. */
enum { OPEN_EVENTS = (int)(EPOLLIN | EPOLLRDHUP | EPOLLET) };

static void update_io(struct h2_connection *c, uint32_t events) {
        if (c->doomed || events == c->io_events)
                return;
        if (sd_event_source_set_io_events(c->io, events) >= 0)
                c->io_events = events;
}

static void notify_drained(struct h2_connection *c) {
        struct h2_stream *s;

        while (!c->doomed && (s = c->drained)) {
                c->drained = s->drained_next;
                if (s->drained_next)
                        s->drained_next->drained_link = &c->drained;
                s->drained_link = NULL;
                if (s->count == 0 && !s->ending)
                        c->handler->on_drained(s);
        }
}

/* Frames into the buffer. */
static int fill_out(struct h2_connection *c) {
        const uint8_t *data;
        ssize_t n;

        /* A peer that reads slowly would else never see the buffer empty, and make it grow. */
        buf_consume(&c->out, c->out_offset);
        c->out_offset = 0;
        if (!c->out.data && c->loop) {
                c->out = c->loop->spare;
                c->loop->spare = (struct buf){0};
        }
        while (c->out.size < OUT_MAX) {
                n = h2_session_give(c, &data);
                if (c->doomed || n == 0)
                        return 0;
                if (n < 0)
                        return (int)n;
                if (buf_append(&c->out, data, (size_t)n) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* The buffer to the socket: 0 when all is gone, -EAGAIN. */
static int write_out(struct h2_connection *c) {
        while (c->out_offset < c->out.size) {
                const char *p = c->out.data + c->out_offset;
                size_t size = c->out.size - c->out_offset;
                ssize_t n = c->tls ? tls_stream_write(c->tls, p, size)
                                   : send(c->fd, p, size, MSG_NOSIGNAL);

                if (n < 0 && !c->tls)
                        n = -errno;
                if (n == -EINTR)
                        continue;
                if (n < 0)
                        return (int)n;
                c->out_offset += (size_t)n;
                c->written += (uint64_t)n;
        }
        c->out_offset = 0;
        buf_reset(&c->out);
        return 0;
}

/* An idle connection keeps little memory; one such buffer is kept for all. */
static void release_out(struct h2_connection *c) {
        if (c->out.size > 0 || c->out.allocated <= OUT_KEPT)
                return;
        buf_reset(&c->out); /* one that failed does not fail the next connection */
        if (c->loop && !c->loop->spare.data)
                c->loop->spare = c->out;
        else
                free(c->out.data);
        c->out = (struct buf){0};
}

/* What follows from having written (r), of a connection that was entered. */
static void finish_flush(struct h2_connection *c, int r) {
        release_out(c);
        if (!c->doomed && r == 0 && h2_session_wants_write(c))
                h2_connection_dirty(c); /* in the next round, after the others' turns */
        if (!c->read_more)
                update_io(c, (uint32_t)OPEN_EVENTS | (r == -EAGAIN ? EPOLLOUT : 0));
        notify_drained(c);
        if (c->doomed)
                ;
        else if (r < 0 && r != -EAGAIN)
                h2_connection_fail(c, c->tls && *tls_stream_error_text(c->tls)
                                                      ? tls_stream_error_text(c->tls)
                                                      : strerror(-r));
        else if (r == 0 && h2_session_is_over(c))
                h2_connection_fail(c, "the peer ended the session");
        (void)leave(c);
}

static void flush(struct h2_connection *c) {
        int r;

        if (c->state != H2_OPEN || c->doomed)
                return;
        enter(c);
        r = fill_out(c);
        finish_flush(c, r < 0 || c->doomed ? r : write_out(c));
}

struct flushing {
        struct h2_connection *connection;
        int r;
};

/* On any thread: only the connection's own buffer, TLS and socket are touched. */
static int write_one(size_t i, void *userdata) {
        struct flushing *f = (struct flushing *)userdata + i;

        if (f->r >= 0 && !f->connection->doomed)
                f->r = write_out(f->connection);
        return 0;
}

/* Frames are made one connection after the other, encrypted and sent side by side. Each connection
 * is entered, so that it is still there when a callback of another one frees it. */
static void flush_batch(struct h2_connection **round, struct parallel *parallel) {
        struct flushing batch[BATCH_MAX];
        struct h2_connection *c;
        size_t n = 0, size = 0;
        int r;

        while (n < BATCH_MAX && size < BATCH_BYTES_MAX && (c = *round)) {
                dirty_unlink(c);
                if (c->state != H2_OPEN || c->doomed)
                        continue;
                enter(c);
                batch[n++] = (struct flushing){.connection = c, .r = fill_out(c)};
                size += c->out.size;
        }
        r = parallel_run(parallel_for_sending(parallel, n, size), n, write_one, batch);
        assert(r >= 0);
        for (size_t i = 0; i < n; i++)
                finish_flush(batch[i].connection, batch[i].r);
}

/* ---- reading ---- */

static ssize_t read_block(struct h2_connection *c, void *block, size_t n) {
        ssize_t r;

        if (c->tls)
                return tls_stream_read(c->tls, block, n);
        do
                r = recv(c->fd, block, n, 0);
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : r;
}

static void set_priority(struct h2_connection *c, int64_t priority) {
        if (c->loop->priority != SD_EVENT_PRIORITY_NORMAL)
                (void)sd_event_source_set_priority(c->io, priority);
}

/* Runs again for the rest: no edge will report it. */
static void read_more_later(struct h2_connection *c) {
        c->read_more = true;
        c->io_events = (uint32_t)OPEN_EVENTS | EPOLLOUT; /* writable as good as always */
        /* This much shares the turn with everything else. */
        set_priority(c, SD_EVENT_PRIORITY_NORMAL);
        if (sd_event_source_set_io_events(c->io, c->io_events) < 0)
                h2_connection_fail(c, "out of memory");
}

/* Bytes of HTTP/2. False when the connection is gone. */
static bool take_in(struct h2_connection *c, const void *data, size_t n) {
        const char *why;
        int r = h2_session_take(c, data, n, &why);

        if (c->doomed)
                return false;
        if (r >= 0)
                return true;
        flush(c); /* the reason, in a GOAWAY */
        h2_connection_fail(c, why);
        return false;
}

static void read_in(struct h2_connection *c, bool to_the_end) {
        uint8_t block[BLOCK_SIZE];
        size_t total = 0;
        ssize_t n = 0;

        c->read_more = false;
        while (!c->doomed) {
                if (total >= READ_PER_TURN_MAX) {
                        read_more_later(c);
                        break;
                }
                n = read_block(c, block, sizeof(block));
                if (n == -EAGAIN)
                        break;
                if (n <= 0) {
                        h2_connection_fail(c, n == 0            ? "the peer closed the connection"
                                              : c->tls && n < 0 ? tls_stream_error_text(c->tls)
                                                                : strerror((int)-n));
                        return;
                }
                total += (size_t)n;
                if (!take_in(c, block, (size_t)n))
                        return;
                if (!c->tls && (size_t)n < sizeof(block) && !to_the_end)
                        break; /* all there was; what comes is a new edge */
        }
        if (c->doomed)
                return;
        c->received_us = h2_now_us();
        if (!c->read_more)
                set_priority(c, c->loop->priority);
        if (h2_session_wants_write(c) || h2_session_is_over(c))
                h2_connection_dirty(c);
}

/* ---- connections ---- */

/* Transport is ready: HTTP/2 begins. */
static void connection_open(struct h2_connection *c) {
        if (h2_session_new(c) < 0) {
                h2_connection_fail(c, "out of memory");
                return;
        }
        c->state = H2_OPEN;
        update_io(c, (uint32_t)OPEN_EVENTS);
        if (c->handler->on_open)
                c->handler->on_open(c);
        if (!c->doomed)
                flush(c);
}

/* ---- clients of other protocols ---- */

static void give_away(struct h2_connection *c, const void *data, size_t n) {
        struct tls_stream *tls = TAKE_PTR(c->tls);
        int fd = TAKE_FD(c->fd);

        c->io = sd_event_source_disable_unref(c->io);
        c->handler->on_stranger(c, fd, tls, data, n);
        h2_connection_fail(c, "the peer does not speak HTTP/2");
}

/* HTTP/2 begins with "PRI ", which no request of HTTP/1 does. */
static void read_preface(struct h2_connection *c) {
        static const char magic[sizeof(c->first)] = {'P', 'R', 'I', ' '};
        uint8_t block[BLOCK_SIZE];
        size_t kept = c->first_size;
        ssize_t n;

        memcpy(block, c->first, kept);
        n = read_block(c, block + kept, sizeof(block) - kept);
        if (n == -EAGAIN)
                return;
        if (n <= 0) {
                h2_connection_fail(
                                c, n == 0 ? "the peer closed the connection" : strerror((int)-n));
                return;
        }
        n += (ssize_t)kept;
        if (memcmp(block, magic, MIN((size_t)n, sizeof(magic))) != 0) {
                give_away(c, block, (size_t)n);
                return;
        }
        if ((size_t)n < sizeof(magic)) {
                memcpy(c->first, block, (size_t)n);
                c->first_size = (size_t)n;
                return;
        }
        connection_open(c);
        if (!c->doomed && take_in(c, block, (size_t)n))
                read_in(c, false);
}

static void secured(struct h2_connection *c) {
        char alpn[TLS_ALPN_SIZE];

        if (!c->handler->on_stranger || streq(tls_stream_alpn(c->tls, alpn), "h2")) {
                connection_open(c);
                return;
        }
        c->state = H2_PREFACE;
        update_io(c, EPOLLIN | EPOLLRDHUP);
        read_preface(c); /* it may have come along with the handshake */
}

static void handshake(struct h2_connection *c) {
        bool want_write = false;
        int r = tls_stream_handshake(c->tls, &want_write);

        if (r == -EAGAIN)
                update_io(c, want_write ? EPOLLOUT : EPOLLIN);
        else if (r < 0)
                h2_connection_fail(c, tls_stream_error_text(c->tls));
        else
                secured(c);
}

static void connected(struct h2_connection *c) {
        socklen_t n = sizeof(int);
        int r = 0;

        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &r, &n) < 0)
                r = errno;
        if (r != 0) {
                h2_connection_fail(c, strerror(r));
                return;
        }
        net_tune(c->fd);
        c->state = H2_HANDSHAKE;
        if (c->tls)
                handshake(c);
        else
                connection_open(c);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct h2_connection *c = userdata;

        enter(c);
        switch (c->state) {
        case H2_CONNECTING:
                connected(c);
                break;
        case H2_HANDSHAKE:
                handshake(c);
                break;
        case H2_PREFACE:
                read_preface(c);
                break;
        case H2_OPEN:
                if (c->read_more || (revents & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
                        read_in(c, revents & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
                if (!c->doomed && (revents & EPOLLOUT))
                        flush(c);
                break;
        case H2_BROKEN:
                break;
        }
        (void)leave(c);
        return 0;
}

/* Watches the socket and enters the first state that follows from the role and from TLS. */
static int connection_start(
                struct h2_connection *c, int fd, struct tls_context *tls, const char *server_name) {
        int r = sd_event_add_io(c->loop->event, &c->io, fd, c->io_events, on_io, c);

        if (r < 0)
                return r;
        if (c->loop->priority != SD_EVENT_PRIORITY_NORMAL) {
                r = sd_event_source_set_priority(c->io, c->loop->priority);
                if (r < 0)
                        return r;
        }
        if (tls) {
                r = tls_stream_new(&c->tls, tls, fd, server_name,
                                c->handler->on_stranger ? "h2,http/1.1" : "h2");
                if (r >= 0 && h2_terms_of(c)->any_peer)
                        tls_stream_take_any_peer(c->tls);
                return r;
        }
        if (!c->server)
                return 0;
        if (c->handler->on_stranger) {
                c->state = H2_PREFACE;
                c->io_events = EPOLLIN | EPOLLRDHUP;
                return sd_event_source_set_io_events(c->io, c->io_events);
        }
        c->state = H2_OPEN;
        return h2_session_new(c);
}

int h2_connection_new(struct h2_connection **ret, struct h2_loop *loop,
                const struct h2_handler *handler, void *owner, int fd, struct tls_context *tls,
                const char *server_name, enum h2_role role) {
        const bool server = role == H2_SERVER;
        struct h2_connection *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        *c = (struct h2_connection){.loop = loop,
                        .handler = handler,
                        .owner = owner,
                        .pool = pool_ref(loop->pool),
                        .fd = -EBADF,
                        .server = server,
                        .state = server ? H2_HANDSHAKE : H2_CONNECTING,
                        .io_events = !server ? EPOLLOUT
                                     : tls   ? EPOLLIN
                                             : (uint32_t)OPEN_EVENTS,
                        .received_us = h2_now_us()};
        c->deadline_us = c->received_us + HANDSHAKE_US;
        r = connection_start(c, fd, tls, server_name);
        if (r < 0) {
                h2_connection_free(c);
                return r;
        }
        c->fd = fd;
        h2_loop_wake_at(loop, c->deadline_us);
        h2_connection_dirty(c);
        *ret = c;
        return 0;
}

void h2_connection_shutdown(struct h2_connection *c) {
        if (c->state == H2_OPEN && !c->doomed) {
                h2_session_goaway(c);
                /* Not from inside of nghttp2: then the end of the connection must do. */
                if (c->busy == 0) {
                        enter(c);
                        if (fill_out(c) == 0 && !c->doomed)
                                (void)write_out(c);
                        if (leave(c))
                                return;
                }
        }
        h2_connection_free(c);
}

void h2_connection_go_away(struct h2_connection *c) {
        if (c->state != H2_OPEN || c->doomed || c->goes_away || c->notice_us)
                return;
        c->notice_us = h2_now_us();
        h2_session_notice(c);
        h2_loop_wake_at(c->loop, c->notice_us + H2_NOTICE_US);
        h2_connection_dirty(c);
}

/* The client has had time to learn of it. */
static void end_notice(struct h2_connection *c, uint64_t now_us, uint64_t *next_us) {
        if (!c->notice_us || c->goes_away || c->state != H2_OPEN)
                return;
        if (now_us < c->notice_us + H2_NOTICE_US) {
                *next_us = MIN(*next_us, c->notice_us + H2_NOTICE_US);
                return;
        }
        c->goes_away = true;
        h2_session_goaway(c);
        h2_connection_dirty(c);
}

bool h2_connection_is_stuck(const struct h2_connection *c) {
        return c->out_offset < c->out.size;
}

int h2_connection_peer(const struct h2_connection *c, struct tls_peer *ret) {
        *ret = (struct tls_peer){0};
        return c->tls ? tls_stream_peer(c->tls, ret) : 0;
}

int h2_connection_signed_by(
                const struct h2_connection *c, const char *ca_pem, struct tls_peer *ret) {
        return c->tls ? tls_stream_signed_by(c->tls, ca_pem, ret) : 0;
}

void h2_connection_check(struct h2_connection *c, uint64_t now_us, uint64_t *next_us) {
        if (!c->settled && now_us >= c->deadline_us) {
                h2_connection_fail(c, c->state == H2_CONNECTING ? strerror(ETIMEDOUT)
                                                                : "the handshake took too long");
                return;
        }
        if (!c->settled)
                *next_us = MIN(*next_us, c->deadline_us);
        enter(c);
        for (struct h2_stream *s = c->streams; s; s = c->cursor) {
                c->cursor = s->next;
                if (s->deadline_us > now_us)
                        *next_us = MIN(*next_us, s->deadline_us);
                else {
                        s->deadline_us = UINT64_MAX;
                        c->handler->on_expired(s);
                }
                if (c->doomed)
                        break;
        }
        c->cursor = NULL;
        if (!c->doomed)
                end_notice(c, now_us, next_us);
        (void)leave(c);
}
