/*   line (an SSH stream):   CALLING --READY--> carries a dial <--> idle, for IDLE_US
 *   dial:                   waits for its line --> listens --> connected --> ended
 *
 * Towards the socket a dial holds at most STREAM_WINDOW bytes: the node is credited for what was
 * written. From the socket it reads what the node takes. Frames of a connection that has ended are
 * credited and dropped. A line that says what it must not is ended with its dial. */
#include "kapid/streams/dial.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "kapid/streams/node-stream.h"
#include "lib/net.h"
#include "lib/random.h"

enum {
        READ_SIZE = 16 << 10,
        QUEUE_HIGH = 256 << 10, /* for the node; more is not read */
        PAY_BELOW = 64 << 10,   /* with more than this unread the node is not credited */
        IDLE_US = 10 * 1000 * 1000,
        IDLE_MAX = 32,
        STREAMS_MAX = NODE_STREAMS_MAX / 4 * 3, /* the others are for exec and the like */
        WHY_MAX = 400,
};

struct line {
        LIST_ENTRY(line) entry;
        struct dials *all;
        struct node_stream *node; /* NULL: it has ended */
        char *key;
        struct dial *dial; /* NULL: idle */
        bool ready;
        uint32_t id; /* of the last connection */
        int64_t credit;
        uint32_t debt; /* bytes of ended connections that the node was not credited for */
        sd_event_source *timer; /* while it is idle */
};

struct dial {
        struct line *line; /* NULL: it has ended */
        struct api *api;
        const struct dial_events *events;
        void *userdata;
        uint16_t port;
        int fd; /* listens, then the connection; negative: neither, or it has ended */
        bool listens;
        sd_event_source *io, *soon;
        struct buf down;   /* for the socket */
        uint32_t owed;     /* bytes that the node was not credited for */
        bool opened, over; /* over: nothing comes after what is in down */
        char *why;
};

struct dials {
        struct api *api;
        LIST_HEAD(, line) lines;
};

/* --- lines --- */

static struct line *line_free(struct line *l) {
        if (!l)
                return NULL;
        LIST_REMOVE(l, entry);
        if (l->dial)
                l->dial->line = NULL;
        node_stream_end(l->node);
        sd_event_source_disable_unref(l->timer);
        free(l->key);
        return mfree(l);
}

DEFINE_CLEANUP(struct line *, line_free);

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        line_free(userdata);
        return 0;
}

static size_t count_idle(const struct dials *all) {
        const struct line *l;
        size_t n = 0;

        LIST_FOREACH(l, &all->lines, entry)
        n += !l->dial;
        return n;
}

/* Its dial has left it. */
static void line_rest(struct line *l) {
        l->dial = NULL;
        if (!l->node || !l->ready || l->id >= STREAM_ID_MAX || count_idle(l->all) > IDLE_MAX ||
                        l->all->api->node_streams > NODE_STREAMS_MAX / 2 ||
                        sd_event_add_time_relative(l->all->api->event, &l->timer, CLOCK_MONOTONIC,
                                        IDLE_US, 0, on_idle, l) < 0)
                line_free(l);
}

static struct line *find_idle(struct dials *all, const char *key) {
        struct line *l;

        LIST_FOREACH(l, &all->lines, entry)
        if (!l->dial && streq(l->key, key))
                return l;
        return NULL;
}

/* --- a connection --- */

static void set_why(struct dial *d, const char *text, size_t n) {
        if (d->why || n == 0)
                return;
        d->why = strndup(text, MIN(n, (size_t)WHY_MAX));
        if (d->why)
                d->why[utf8_clean(d->why, strlen(d->why))] = 0;
}

/* Not while the node does not read: it could have us queue a credit for each byte that it sends. */
static int pay(struct line *l, uint32_t *owed) {
        int r;

        if (*owed == 0 || node_stream_queued(l->node) >= QUEUE_HIGH)
                return 0;
        r = node_stream_send_u32(l->node, STREAM_CREDIT, 0, *owed);
        *owed = 0;
        return r;
}

static void close_socket(struct dial *d) {
        d->io = sd_event_source_disable_unref(d->io);
        d->fd = safe_close(d->fd);
}

/* The line is free again; nothing more comes. */
static void leave_line(struct dial *d) {
        struct line *l = TAKE_PTR(d->line);

        if (!l)
                return;
        if (d->opened && l->node) {
                (void)node_stream_send(l->node, STREAM_RESET, l->id, NULL, 0);
                l->debt += d->owed;
                d->owed = 0;
                (void)pay(l, &l->debt);
        }
        line_rest(l);
}

static void update(struct dial *d) {
        struct line *l = d->line;
        bool reads = l && l->node && l->credit >= READ_SIZE &&
                     node_stream_queued(l->node) < QUEUE_HIGH;
        uint32_t events = (reads ? EPOLLIN : 0) | (d->down.size > 0 ? EPOLLOUT : 0);

        if (d->listens) /* what comes waits for the connection */
                return;
        if (d->down.size < PAY_BELOW && l && l->node)
                (void)pay(l, &d->owed);
        if (d->over && d->down.size == 0 && d->fd >= 0) {
                close_socket(d);
                return;
        }
        if (!d->io)
                return;
        /* Without events a closed socket would still be reported, again and again. */
        (void)sd_event_source_set_io_events(d->io, events);
        (void)sd_event_source_set_enabled(d->io, events ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* The other end was closed, or the connection is broken. */
static void give_up(struct dial *d) {
        close_socket(d);
        buf_reset(&d->down);
        leave_line(d);
}

static void read_socket(struct dial *d) {
        char data[READ_SIZE];
        ssize_t n;

        if (!d->line || !d->line->node || d->line->credit < READ_SIZE)
                return;
        n = recv(d->fd, data, sizeof(data), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0) {
                d->line->credit -= n;
                if (node_stream_send(d->line->node, STREAM_DATA, d->line->id, data, (size_t)n) >= 0)
                        return;
        }
        give_up(d);
}

static void write_socket(struct dial *d) {
        ssize_t n;

        if (d->listens || d->down.size == 0)
                return;
        n = send(d->fd, d->down.data, d->down.size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
                buf_consume(&d->down, (size_t)n);
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
                give_up(d);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct dial *d = userdata;

        if (revents & EPOLLOUT)
                write_socket(d);
        if (d->fd >= 0 && revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                read_socket(d);
        update(d);
        return 0;
}

/* Any process of the machine may try. */
static bool is_ours(int fd) {
        struct ucred cred = {0};
        socklen_t n = sizeof(cred);

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 && cred.pid == getpid();
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct dial *d = userdata;
        int one = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (one < 0 || !is_ours(one)) {
                safe_close(one);
                return 0;
        }
        close_socket(d);
        d->fd = one;
        d->listens = false;
        if (sd_event_add_io(d->api->event, &d->io, one, EPOLLIN, on_io, d) < 0)
                give_up(d);
        else
                write_socket(d);
        update(d);
        return 0;
}

/* curl takes no connected socket in Debian 12 (7.88 connects it once more): it gets a name. */
static int open_socket(struct dial *d, const char *name) {
        int r = net_listen_abstract(&d->fd, name);

        if (r < 0)
                return r;
        d->listens = true;
        r = sd_event_add_io(d->api->event, &d->io, d->fd, EPOLLIN, on_connection, d);
        return MIN(r, 0);
}

static int ask_to_connect(struct dial *d, const char *name) {
        const uint8_t port[] = {d->port >> 8, d->port & 0xff};
        struct line *l = d->line;
        int r = open_socket(d, name);

        return r < 0 ? r : node_stream_send(l->node, STREAM_OPEN, ++l->id, port, sizeof(port));
}

/* Its line is ready. Afterwards d may be gone. */
static void open_dial(struct dial *d) {
        char name[UUID_SIZE];
        int r = ask_to_connect(d, random_uuid(name));

        if (r < 0) {
                d->events->on_failed(strerror(-r), d->userdata);
                return;
        }
        d->opened = true;
        d->events->on_open(name, d->userdata);
}

/* --- from the node --- */

static int take_data(struct line *l, const struct stream_frame *f) {
        struct dial *d = l->dial;

        if (!d || f->id != l->id || d->fd < 0 || d->over) {
                if (l->debt + f->size > STREAM_WINDOW)
                        return -EBADMSG;
                l->debt += (uint32_t)f->size;
                return pay(l, &l->debt);
        }
        if (d->owed + f->size > STREAM_WINDOW)
                return -EBADMSG;
        d->owed += (uint32_t)f->size;
        return buf_append(&d->down, f->data, f->size);
}

static void take_end(struct line *l, const struct stream_frame *f) {
        struct dial *d = l->dial;

        /* One that was not opened yet: l->id is still that of the connection before it. */
        if (!d || !d->opened || f->id != l->id)
                return;
        if (f->type == STREAM_RESET)
                set_why(d, (const char *)f->data, f->size);
        d->over = true;
}

/* Afterwards the dial and the line may be gone. */
static int refused(struct line *l, const struct stream_frame *f) {
        struct dial *d = l->dial;
        _cleanup_json_ json_t *v = NULL;

        (void)json_parse((const char *)f->data, f->size, 0, &v, NULL);
        line_free(l);
        if (d)
                d->events->on_failed(json_str_or(v, "message", "the node refuses"), d->userdata);
        return 0;
}

static int become_ready(struct line *l) {
        l->ready = true;
        if (l->dial)
                open_dial(l->dial);
        else
                line_rest(l);
        return 0;
}

static int on_frame(const struct stream_frame *f, void *userdata) {
        struct line *l = userdata;
        struct dial *d;
        int r = 0;

        if (!l->ready)
                return f->type == STREAM_READY     ? become_ready(l)
                       : f->type == STREAM_REFUSED ? refused(l, f)
                                                   : -EBADMSG;
        switch (f->type) {
        case STREAM_CREDIT:
                l->credit = MIN(l->credit + stream_frame_u32(f), (int64_t)STREAM_WINDOW);
                break;
        case STREAM_DATA:
                r = take_data(l, f);
                break;
        case STREAM_END:
        case STREAM_RESET:
                take_end(l, f);
                break;
        case STREAM_FAILED:
                if (l->dial)
                        set_why(l->dial, (const char *)f->data, f->size);
                return -ECONNRESET;
        default:
                return -EBADMSG;
        }
        d = l->dial;
        if (r >= 0 && d && d->fd >= 0) {
                write_socket(d);
                update(d);
        }
        return r;
}

static void on_drained(void *userdata) {
        struct line *l = userdata;

        (void)pay(l, &l->debt);
        if (l->dial)
                update(l->dial);
}

/* The stream is over. */
static void on_end(int error, const char *why, void *userdata) {
        struct line *l = userdata;
        struct dial *d = l->dial;

        l->node = NULL;
        line_free(l);
        if (!d)
                return;
        if (!d->opened) {
                _cleanup_free_ char *text = strformat("the node cannot be reached: %s",
                                isempty(why) ? "it ended the connection" : why);

                d->events->on_failed(strempty(text), d->userdata);
                return;
        }
        set_why(d, why, strlen(why));
        d->over = true;
        if (d->fd >= 0)
                write_socket(d);
        update(d);
}

static const struct node_stream_events node_events = {
                .on_frame = on_frame, .on_drained = on_drained, .on_end = on_end};

/* --- the beginning --- */

static int refuse_busy(struct problem *p) {
        problem_set(p, EBUSY, 429, "TooManyRequests",
                        "too many streams to nodes are open at this server");
        p->retry_after_s = 5;
        return -EBUSY;
}

/* Takes the key. */
static int line_new(struct line **ret, struct dials *all, char *key, struct node_target *target,
                const char *ask, struct problem *p) {
        _cleanup_(line_freep) struct line *l = calloc(1, sizeof(*l));
        int r;

        if (!l) {
                free(key);
                return -ENOMEM;
        }
        l->all = all;
        l->key = key;
        l->credit = STREAM_WINDOW;
        LIST_INSERT_HEAD(&all->lines, l, entry);
        r = node_stream_new(&l->node, all->api, target, &node_events, l, p);
        if (r < 0)
                return r;
        r = node_stream_send_request(l->node, ask);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

static int on_soon(sd_event_source *source, void *userdata) {
        struct dial *d = userdata;

        d->soon = sd_event_source_disable_unref(d->soon);
        if (d->line)
                open_dial(d);
        return 0;
}

static int use_line(struct dial *d, struct line *l) {
        int r = sd_event_add_defer(d->api->event, &d->soon, on_soon, d);

        if (r < 0)
                return r;
        l->timer = sd_event_source_disable_unref(l->timer);
        l->dial = d;
        d->line = l;
        return 0;
}

/* The node and what it is asked. */
static char *key_of(const struct node_target *t, const char *ask) {
        return strformat("%s@%s:%u %s %s", t->user, t->host, t->port, t->host_key, ask);
}

static int find_line(struct dial *d, struct dials *all, struct node_target *target, const char *ask,
                struct problem *p) {
        char *key = key_of(target, ask);
        struct line *l = key ? find_idle(all, key) : NULL;
        int r;

        if (!key)
                return -ENOMEM;
        if (l || all->api->node_streams >= STREAMS_MAX) {
                free(key);
                return l ? use_line(d, l) : refuse_busy(p);
        }
        r = line_new(&l, all, key, target, ask, p);
        if (r < 0)
                return r;
        l->dial = d;
        d->line = l;
        return 0;
}

int dial_new(struct dial **ret, struct dials *all, struct node_target *target, const char *ask,
                uint16_t port, const struct dial_events *events, void *userdata,
                struct problem *p) {
        _cleanup_(dial_freep) struct dial *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return -ENOMEM;
        d->api = all->api;
        d->fd = -EBADF;
        d->port = port;
        d->events = events;
        d->userdata = userdata;
        r = find_line(d, all, target, ask, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}

struct dial *dial_free(struct dial *d) {
        if (!d)
                return NULL;
        sd_event_source_disable_unref(d->soon);
        close_socket(d);
        leave_line(d);
        buf_done(&d->down);
        free(d->why);
        return mfree(d);
}

const char *dial_why(const struct dial *d) {
        return d ? d->why : NULL;
}

int dials_new(struct dials **ret, struct api *api) {
        struct dials *all = calloc(1, sizeof(*all));

        if (!all)
                return -ENOMEM;
        all->api = api;
        *ret = all;
        return 0;
}

struct dials *dials_free(struct dials *all) {
        struct line *l;

        if (!all)
                return NULL;
        while ((l = LIST_FIRST(&all->lines)))
                line_free(l);
        return mfree(all);
}
