/*   CALLING:  the node was asked; the request waits.        READY -> OPENING, REFUSED -> answered
 *   OPENING:  101 is being sent.                            the socket comes -> OPEN
 *   OPEN:     bytes both ways.                              EXIT, FAILED, the node's end -> CLOSING
 *   CLOSING:  the last bytes for the client, and its close. sent and closed, or late -> freed
 *
 * The client's end frees it in every state, and with it ends what the node runs. */
#include "kapid/streams/session.h"

#include <sys/epoll.h>

#include "kapid/http/dispatch.h"
#include "kapid/streams/exit-status.h"
#include "kapid/streams/node-stream.h"
#include "lib/log.h"
#include "lib/timefmt.h"

enum {
        READ_SIZE = 16 << 10,
        RECORD = 16 << 10,      /* of TLS, at most */
        RECORDS_PER_TURN = 64,  /* of the loop: answers to a flood of pings are many small ones */
        OUTPUT_LOW = 128 << 10, /* below it the node is credited */
        OUTPUT_MAX = 2 * STREAM_WINDOW,
        TICK_US = 20 * 1000 * 1000,
        OPEN_US = 30 * 1000 * 1000,   /* for a client's streams, as in Kubernetes */
        CLOSING_US = 5 * 1000 * 1000, /* for its last bytes and its close */
};

enum state { CALLING, OPENING, OPEN, CLOSING };

struct stream_session {
        struct api *api;
        struct stream_session *next, **link; /* of the API's */
        char *user;
        char *authenticated; /* the same, or who acts as that user */
        enum state state;
        struct request *request; /* in CALLING */
        struct stream_choice choice;
        bool forwards;
        struct stream_client *client;
        struct node_stream *node; /* NULL: it has ended */
        struct http_upgrade *upgrade;
        sd_event_source *io, *timer, *soon;
        bool more;                /* the client's last read may not have been all */
        int64_t credit;           /* bytes of the client's data that the node takes */
        size_t message_left;      /* of the message whose beginning was written */
        uint32_t owed;            /* bytes of output that the node was not credited for */
        bool client_shut, failed; /* the client sends nothing more; end it in the next turn */
        uint64_t opened_us, active_us;
};

static struct stream_session *session_free(struct stream_session *s) {
        if (!s)
                return NULL;
        if (s->link) {
                *s->link = s->next;
                if (s->next)
                        s->next->link = s->link;
        }
        sd_event_source_disable_unref(s->io);
        sd_event_source_disable_unref(s->timer);
        sd_event_source_disable_unref(s->soon);
        node_stream_end(s->node);
        if (s->upgrade)
                http_upgrade_end(s->upgrade);
        stream_client_free(s->client);
        request_unref(s->request);
        free(s->user);
        free(s->authenticated);
        return mfree(s);
}
DEFINE_CLEANUP(struct stream_session *, session_free);

void stream_sessions_end(struct api *api) {
        while (api->sessions)
                session_free(api->sessions);
}

static void timer_in(struct stream_session *s, uint64_t us) {
        (void)sd_event_source_set_time_relative(s->timer, us);
        (void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

/* Callbacks of the client and the node do not free it: the timer does, at once. */
static void fail(struct stream_session *s, int error) {
        log_debug_errno(error, "A stream of %s has ended early", s->user);
        s->failed = true;
        timer_in(s, 0);
}

size_t stream_sessions_end_of(struct api *api, const char *user) {
        size_t n = 0;

        for (struct stream_session *s = api->sessions; s; s = s->next)
                if (streq(s->authenticated, user)) {
                        fail(s, -EACCES);
                        n++;
                }
        return n;
}

/* ---- both directions ---- */

static void pay(struct stream_session *s) {
        if (s->owed == 0 || !s->node || stream_client_output(s->client)->size > OUTPUT_LOW)
                return;
        (void)node_stream_send_u32(s->node, STREAM_CREDIT, 0, s->owed);
        s->owed = 0;
}

/* What one read brings must fit into what the node still takes. Answers to a flood of pings and of
 * streams are bounded by the output. */
static bool may_read(const struct stream_session *s) {
        return !s->client_shut && stream_client_output(s->client)->size <= OUTPUT_MAX &&
               (!s->node || s->credit >= READ_SIZE);
}

static int on_more(sd_event_source *source, void *userdata);

/* Who may send now. */
static void update(struct stream_session *s) {
        size_t out = stream_client_output(s->client)->size;
        bool read = may_read(s);
        uint32_t events = (read ? EPOLLIN : 0) | (out > 0 ? EPOLLOUT : 0);

        if (s->node)
                node_stream_pause(s->node,
                                s->state == OPENING ||
                                                (s->state == OPEN && !stream_client_is_ready(
                                                                                     s->client)));
        pay(s);
        if (!s->io)
                return;
        if (read && s->more && !s->soon &&
                        sd_event_add_defer(s->api->event, &s->soon, on_more, s) < 0)
                s->soon = NULL;
        (void)sd_event_source_set_io_events(s->io, events);
        (void)sd_event_source_set_enabled(s->io, events ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void begin_closing(struct stream_session *s) {
        s->state = CLOSING;
        node_stream_end(TAKE_PTR(s->node));
        timer_in(s, CLOSING_US);
        update(s);
}

/* ---- from the client ---- */

static int to_node(struct stream_session *s, enum stream_frame_type type, uint32_t id,
                const void *data, size_t n) {
        s->active_us = now_mono_us();
        if (type == STREAM_STDIN || type == STREAM_DATA)
                s->credit -= (int64_t)n;
        return s->node ? node_stream_send(s->node, type, id, data, n) : 0;
}

static int on_stdin(const void *data, size_t n, void *userdata) {
        return to_node(userdata, STREAM_STDIN, 0, data, n);
}

static int on_stdin_end(void *userdata) {
        return to_node(userdata, STREAM_STDIN_END, 0, NULL, 0);
}

static int on_resize(uint16_t columns, uint16_t rows, void *userdata) {
        const uint8_t size[] = {columns >> 8, columns & 0xff, rows >> 8, rows & 0xff};

        return to_node(userdata, STREAM_RESIZE, 0, size, sizeof(size));
}

static int on_open(uint32_t id, uint16_t port, void *userdata) {
        const uint8_t bytes[] = {port >> 8, port & 0xff};

        return to_node(userdata, STREAM_OPEN, id, bytes, sizeof(bytes));
}

static int on_data(uint32_t id, const void *data, size_t n, void *userdata) {
        return to_node(userdata, STREAM_DATA, id, data, n);
}

static int on_client_end(uint32_t id, void *userdata) {
        return to_node(userdata, STREAM_END, id, NULL, 0);
}

static int on_reset(uint32_t id, void *userdata) {
        return to_node(userdata, STREAM_RESET, id, NULL, 0);
}

static const struct client_events client_events = {.on_stdin = on_stdin,
                .on_stdin_end = on_stdin_end,
                .on_resize = on_resize,
                .on_open = on_open,
                .on_data = on_data,
                .on_end = on_client_end,
                .on_reset = on_reset};

/* The size of the next record. Each message is a TLS record of its own: a client that waits for its
 * socket (Python's) would not see a message that came in the record of another, the end of the
 * command among them. */
static size_t next_record(struct stream_session *s, size_t offset) {
        const struct buf *out = stream_client_output(s->client);
        size_t size = MIN(out->size - offset, (size_t)RECORD);

        if (s->message_left == 0)
                s->message_left = stream_client_message_size(s->client, offset);
        return MIN(size, s->message_left);
}

/* What is left is written when the socket is looked at again. */
static void write_client(struct stream_session *s) {
        struct buf *out = stream_client_output(s->client);
        size_t done = 0;

        for (unsigned i = 0; i < RECORDS_PER_TURN && done < out->size; i++) {
                size_t size = next_record(s, done);
                /* TLS repeats what it could not send: always the same beginning. */
                ssize_t n = http_upgrade_write(s->upgrade, out->data + done, size);

                if (n < 0 && n != -EAGAIN)
                        fail(s, (int)n);
                if (n < 0)
                        break;
                done += (size_t)n;
                s->message_left -= (size_t)n;
        }
        buf_consume(out, done);
}

static void read_client(struct stream_session *s) {
        char data[READ_SIZE];
        ssize_t n = http_upgrade_read(s->upgrade, data, sizeof(data));
        int r;

        s->more = n > 0;
        if (n == -EAGAIN)
                return;
        if (n <= 0) {
                s->client_shut = true;
                fail(s, n < 0 ? (int)n : -ECONNRESET);
                return;
        }
        r = stream_client_feed(s->client, data, (size_t)n);
        if (r < 0)
                fail(s, r);
        else if (stream_client_has_ended(s->client) && s->state != CLOSING)
                begin_closing(s);
}

/* Closed by both sides, and nothing is left to be sent. */
static bool is_over(const struct stream_session *s) {
        return s->state == CLOSING && stream_client_has_ended(s->client) &&
               stream_client_output(s->client)->size == 0;
}

static int turn(struct stream_session *s);

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct stream_session *s = userdata;

        if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR) && !s->client_shut)
                read_client(s);
        return turn(s);
}

/* TLS holds bytes that the socket no longer shows. */
static int on_more(sd_event_source *source, void *userdata) {
        struct stream_session *s = userdata;

        s->soon = sd_event_source_disable_unref(s->soon);
        if (may_read(s) && !s->failed)
                read_client(s);
        return turn(s);
}

static int turn(struct stream_session *s) {
        if (!s->failed)
                write_client(s);
        if (is_over(s))
                fail(s, 0);
        update(s);
        return 0;
}

/* ---- from the node ---- */

static int open_client(struct stream_session *s, int fd, const void *data, size_t n) {
        int r = sd_event_add_io(s->api->event, &s->io, fd, EPOLLIN, on_io, s);

        if (r < 0)
                return r;
        r = stream_client_begin(s->client);
        if (r < 0 || n == 0)
                return r;
        return stream_client_feed(s->client, data, n);
}

static void on_upgrade_open(
                struct http_upgrade *u, int fd, const void *data, size_t n, void *userdata) {
        struct stream_session *s = userdata;
        int r;

        s->state = OPEN;
        s->opened_us = s->active_us = now_mono_us();
        timer_in(s, TICK_US);
        r = open_client(s, fd, data, n);
        if (r < 0) {
                fail(s, r);
                return;
        }
        write_client(s);
        update(s);
}

static void on_upgrade_gone(struct http_upgrade *u, void *userdata) {
        struct stream_session *s = userdata;

        s->upgrade = NULL;
        session_free(s);
}

static const struct http_upgrade_handler upgrade_handler = {
                .on_open = on_upgrade_open, .on_gone = on_upgrade_gone};

/* The node accepts. Afterwards s may be gone. */
static void answer(struct stream_session *s) {
        _cleanup_request_ struct request *request = TAKE_PTR(s->request);
        struct http_request *http = request->http;
        const char *protocol = stream_protocol_is_websocket(s->choice.protocol)
                                               ? "Sec-WebSocket-Protocol"
                                               : "X-Stream-Protocol-Version";

        if (!http || !dispatch_stream(request)) {
                fail(s, -ECONNRESET);
                return;
        }
        (void)http_response_header(http, "Upgrade", s->choice.upgrade);
        (void)http_response_header(http, protocol, s->choice.name);
        if (*s->choice.accept)
                (void)http_response_header(http, "Sec-WebSocket-Accept", s->choice.accept);
        s->state = OPENING;
        s->upgrade = respond_upgrade(request, &upgrade_handler, s);
        if (!s->upgrade)
                fail(s, -ENOMEM);
}

static void refuse(struct stream_session *s, const struct stream_frame *f) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *v = NULL;
        int code;

        (void)json_parse((const char *)f->data, f->size, 0, &v, NULL);
        code = (int)json_int_or(v, "code", 500);
        problem_set(&p, EINVAL, code == 400 || code == 404 ? code : 500,
                        code == 400   ? "BadRequest"
                        : code == 404 ? "NotFound"
                                      : "InternalError",
                        "%s", json_str_or(v, "message", "the node refused"));
        if (s->request->http)
                respond_problem(s->request, &p);
        fail(s, 0);
}

/* The end of exec and attach. */
static int ended(struct stream_session *s, char *status) {
        _cleanup_free_ char *text = status;
        int r = text ? stream_client_finish(s->client, text) : -ENOMEM;

        if (r >= 0)
                begin_closing(s);
        return r;
}

static int failed(struct stream_session *s, const char *why) {
        if (!s->forwards)
                return ended(s, exit_failure_text(why));
        int r = stream_client_close(s->client);

        if (r >= 0)
                begin_closing(s);
        return r;
}

static int take_frame(struct stream_session *s, const struct stream_frame *f) {
        _cleanup_free_ char *text = NULL;

        switch (f->type) {
        case STREAM_CREDIT:
                s->credit = MIN(s->credit + stream_frame_u32(f), (int64_t)STREAM_WINDOW);
                return 0;
        case STREAM_STDOUT:
                return stream_client_stdout(s->client, f->data, f->size);
        case STREAM_STDERR:
                return stream_client_stderr(s->client, f->data, f->size);
        case STREAM_DATA:
                return stream_client_data(s->client, f->id, f->data, f->size);
        case STREAM_END:
                return stream_client_end(s->client, f->id);
        case STREAM_RESET:
                text = f->size > 0 ? strndup((const char *)f->data, f->size) : NULL;
                return stream_client_refuse(s->client, f->id, text);
        case STREAM_EXIT:
                return ended(s, exit_status_text(stream_frame_u32(f)));
        case STREAM_FAILED:
                text = strndup((const char *)f->data, f->size);
                return text ? failed(s, text) : -ENOMEM;
        default:
                return -EBADMSG;
        }
}

static int on_frame(const struct stream_frame *f, void *userdata) {
        struct stream_session *s = userdata;
        int r;

        if (s->failed)
                return 0;
        if (s->state == CALLING) {
                if (f->type == STREAM_READY)
                        answer(s);
                else if (f->type == STREAM_REFUSED)
                        refuse(s, f);
                else
                        return -EBADMSG;
                if (!s->failed)
                        update(s);
                return 0;
        }
        if (stream_frame_is_data(f)) {
                s->owed += (uint32_t)f->size;
                s->active_us = now_mono_us();
        }
        r = take_frame(s, f);
        if (r < 0)
                fail(s, r);
        else
                update(s);
        return 0;
}

static void on_drained(void *userdata) {
        update(userdata);
}

static void on_node_end(int error, const char *why, void *userdata) {
        struct stream_session *s = userdata;
        _cleanup_problem_ struct problem p = {0};
        int r;

        s->node = NULL;
        if (s->failed)
                return;
        if (s->state == CALLING) {
                problem_set(&p, EIO, 500, "InternalError", "the pod's node cannot be reached: %s",
                                isempty(why) ? "it ended the connection" : why);
                if (s->request->http)
                        respond_problem(s->request, &p);
                session_free(s);
                return;
        }
        r = failed(s, isempty(why) ? "the connection to the node has ended" : why);
        if (r < 0)
                fail(s, r);
}

static const struct node_stream_events node_events = {
                .on_frame = on_frame, .on_drained = on_drained, .on_end = on_node_end};

/* ---- time ---- */

static bool is_late(const struct stream_session *s, uint64_t now_us) {
        uint64_t idle_us = s->api->options.stream_idle_us;

        return s->failed || s->state == CLOSING || (s->state == CALLING && !s->request->http) ||
               (s->state == OPEN && !stream_client_is_ready(s->client) &&
                               now_us - s->opened_us > OPEN_US) ||
               (s->state == OPEN && idle_us > 0 && now_us - s->active_us > idle_us);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct stream_session *s = userdata;

        if (is_late(s, now_mono_us())) {
                session_free(s);
                return 0;
        }
        if (s->state == OPEN && stream_client_ping(s->client) >= 0)
                update(s);
        timer_in(s, s->state == CALLING ? TICK_US / 20 : TICK_US);
        return 0;
}

/* ---- the request ---- */

/* One user has at most half of what the others leave. */
static int check_number(struct api *api, const char *user, struct problem *p) {
        size_t all = 0, mine = 0;

        for (const struct stream_session *s = api->sessions; s; s = s->next) {
                all++;
                mine += streq(s->user, user);
        }
        if (mine < (NODE_STREAMS_MAX - (all - mine)) / 2)
                return 0;
        problem_set(p, EBUSY, 429, "TooManyRequests",
                        "you have %zu streams into pods open at this server; end some of them",
                        mine);
        p->retry_after_s = 5;
        return -EBUSY;
}

static int ask_node(struct stream_session *s, const struct session_options *o, struct problem *p) {
        _cleanup_free_ char *text = json_text(o->node_request);
        int r;

        if (!text)
                return -ENOMEM;
        if (strlen(text) > STREAM_FRAME_MAX)
                return problem_set(p, E2BIG, 400, "BadRequest", "the command is too long");
        r = node_stream_new(&s->node, s->api, o->target, &node_events, s, p);
        if (r < 0)
                return r;
        return node_stream_send_request(s->node, text);
}

int stream_session_start(struct request *request, struct session_options *o, struct problem *p) {
        struct api *api = request->api;
        _cleanup_(session_freep) struct stream_session *s = NULL;
        int r = check_number(api, strempty(request->user.name), p);

        if (r < 0)
                return r;
        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->api = api;
        s->credit = STREAM_WINDOW;
        s->choice = o->choice;
        s->forwards = o->setup.protocol >= PROTOCOL_FORWARD;
        s->user = strdup(strempty(request->user.name));
        s->authenticated = strdup(strempty(request->real_user.name ? request->real_user.name
                                                                   : request->user.name));
        if (!s->user || !s->authenticated)
                return -ENOMEM;
        r = stream_client_new(&s->client, &o->setup, &client_events, s);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(
                        api->event, &s->timer, CLOCK_MONOTONIC, TICK_US / 20, 0, on_timer, s);
        if (r < 0)
                return r;
        r = ask_node(s, o, p);
        if (r < 0)
                return r;
        s->request = request_ref(request);
        s->next = api->sessions;
        s->link = &api->sessions;
        if (s->next)
                s->next->link = &s->next;
        api->sessions = s;
        (void)TAKE_PTR(s);
        return 0;
}
