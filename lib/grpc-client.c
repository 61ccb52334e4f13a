/* The gRPC client: a channel is at most one connection.
 *
 *   IDLE -> RESOLVING -> CONNECTING (address after address, endpoint after endpoint) -> UP
 *     ^                        |                                                        |
 *     '------- back-off -------'<---------------- broken, GOAWAY -----------------------'
 *
 * Calls wait in `waiting` while the channel is not UP, each until its own deadline. A call that was
 * on a connection when it broke ends with UNAVAILABLE: only its owner knows whether to repeat it.
 */
#include "lib/grpc-client.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "lib/grpc-framing.h"
#include "lib/grpc-internal.h"
#include "lib/h2.h"
#include "lib/random.h"
#include "lib/resolve.h"
#include "lib/vector.h"

enum {
        MESSAGE_SIZE_MAX_DEFAULT = 64 << 20,
        TIMEOUT_DEFAULT_US = 10000000,
        BACKOFF_MIN_US = 50000,
        BACKOFF_DEFAULT_US = 5000000,
        MOVE_ON_PAUSE_US = 300000,
        CONNECT_ONE_OF_SEVERAL_US = 4000000,
        PING_DEFAULT_US = 10000000,
        GOAWAY_GRACE_US = 5000000,
        ENDPOINTS_MAX = 16,
        ADDRESSES_MAX = 8,
};

struct address {
        struct sockaddr_storage storage;
        socklen_t size;
};

struct grpc_channel {
        struct h2_loop loop;
        struct grpc_endpoint endpoints[ENDPOINTS_MAX];
        char *authorities[ENDPOINTS_MAX];
        size_t endpoint_count, endpoint; /* endpoint: the one in use */
        struct address addresses[ADDRESSES_MAX];
        size_t address_count, address;
        struct tls_context *tls;
        struct grpc_framing_handler framing;
        void (*on_state)(struct grpc_channel *ch, bool connected, void *userdata);
        void *userdata;
        struct resolve *resolve;
        struct h2_connection *connection;
        bool up, going_away, moving_on;
        sd_event_source *retry, *ping;
        uint64_t ping_us, backoff_max_us, backoff_us, goaway_at_us;
        char *why;                      /* the last failure */
        struct grpc_client_call *calls; /* every one */
        struct grpc_client_call *waiting, **waiting_tail, *cursor;
        sd_event_source *state; /* calls on_state from the loop */
        bool reported_up;
        bool *freed; /* set when the channel is freed while it ends calls or looks at deadlines */
};

struct grpc_client_call {
        struct h2_stream stream;
        struct grpc_framing framing;
        struct grpc_channel *channel;
        struct grpc_client_call *next, **link; /* of the waiting calls */
        struct grpc_client_call *all_next, **all_link;
        struct grpc_client_call_options options;
        char *path;
        VECTOR(struct grpc_metadata) metadata; /* copies */
        uint64_t timeout_us;
        bool done; /* on_done has run, or will never */
        bool have_http, got_status;
        enum grpc_code code, http_code;
        char *message;
};

static struct grpc_client_call *call_of(struct h2_stream *s) {
        return container_of(s, struct grpc_client_call, stream);
}

/* ---- calls ---- */

static void waiting_unlink(struct grpc_client_call *call) {
        struct grpc_channel *ch = call->channel;

        if (!call->link)
                return;
        if (ch->cursor == call)
                ch->cursor = call->next;
        *call->link = call->next;
        if (call->next)
                call->next->link = call->link;
        else
                ch->waiting_tail = call->link;
        call->link = NULL;
}

static void waiting_append(struct grpc_client_call *call) {
        struct grpc_channel *ch = call->channel;

        call->next = NULL;
        call->link = ch->waiting_tail;
        *ch->waiting_tail = call;
        ch->waiting_tail = &call->next;
}

static void calls_unlink(struct grpc_client_call *call) {
        if (!call->all_link)
                return;
        *call->all_link = call->all_next;
        if (call->all_next)
                call->all_next->all_link = call->all_link;
        call->all_link = NULL;
}

static void call_free(struct grpc_client_call *call) {
        waiting_unlink(call);
        calls_unlink(call);
        grpc_framing_done(&call->framing, &call->stream);
        h2_stream_done(&call->stream);
        for (size_t i = 0; i < call->metadata.count; i++) {
                free((char *)call->metadata.items[i].name);
                free((char *)call->metadata.items[i].value);
        }
        vector_done(&call->metadata);
        free(call->message);
        free(call->path);
        free(call);
}

/* Notifies the program, once. The call itself lives while it has a stream. */
static void call_done(struct grpc_client_call *call, enum grpc_code code, const char *message) {
        if (call->done)
                return;
        call->done = call->stream.deaf = true;
        call->stream.deadline_us = UINT64_MAX;
        if (call->options.on_done)
                call->options.on_done(call, code, strempty(message), call->options.userdata);
}

static int copy_metadata(struct grpc_client_call *call, const struct grpc_metadata *m) {
        for (; m && m->name; m++) {
                const struct grpc_metadata copy = {strdup(m->name), strdup(m->value)};
                int r = vector_append(&call->metadata, copy);

                if (r < 0) {
                        free((char *)copy.name);
                        free((char *)copy.value);
                        return r;
                }
                if (!copy.name || !copy.value)
                        return -ENOMEM;
        }
        return call->metadata.count + 8 > H2_HEADERS_MAX ? -E2BIG : 0;
}

/* Onto the connection. */
static int call_submit(struct grpc_client_call *call) {
        struct grpc_channel *ch = call->channel;
        struct h2_header h[H2_HEADERS_MAX] = {
                        {":method", "POST"},
                        {":scheme", ch->endpoints[ch->endpoint].tls ? "https" : "http"},
                        {":path", call->path},
                        {":authority", ch->authorities[ch->endpoint]},
                        {"te", "trailers"},
                        {"content-type", "application/grpc"},
                        {"user-agent", "keelson-grpc/1"},
        };
        uint64_t deadline_us = call->stream.deadline_us;
        char timeout[GRPC_TIMEOUT_SIZE];
        size_t n = 7;

        if (deadline_us != UINT64_MAX) {
                uint64_t now_us = h2_now_us();

                grpc_timeout_format(timeout, deadline_us > now_us ? deadline_us - now_us : 1);
                h[n++] = (struct h2_header){"grpc-timeout", timeout};
        }
        for (size_t i = 0; i < call->metadata.count; i++)
                h[n++] = (struct h2_header){
                                call->metadata.items[i].name, call->metadata.items[i].value};
        return h2_submit_request(ch->connection, &call->stream, h, n);
}

static void submit_waiting(struct grpc_channel *ch) {
        struct grpc_client_call *call;

        while (ch->up && !ch->going_away && (call = ch->waiting)) {
                if (call_submit(call) < 0) {
                        /* Out of memory or of stream ids: this connection is full. */
                        ch->going_away = true;
                        ch->goaway_at_us = h2_now_us();
                        h2_loop_wake_at(&ch->loop, ch->goaway_at_us);
                        return;
                }
                waiting_unlink(call);
        }
}

int grpc_client_call_start(struct grpc_channel *ch, const struct grpc_client_call_options *options,
                struct grpc_client_call **ret) {
        struct grpc_client_call *call = calloc(1, sizeof(*call));
        int r;

        if (!call)
                return -ENOMEM;
        call->channel = ch;
        call->options = *options;
        call->timeout_us = options->timeout_us ? options->timeout_us : TIMEOUT_DEFAULT_US;
        call->stream.deadline_us = call->timeout_us == UINT64_MAX ? UINT64_MAX
                                                                  : h2_now_us() + call->timeout_us;
        call->path = strdup(options->path);
        r = call->path ? copy_metadata(call, options->metadata) : -ENOMEM;
        if (r < 0) {
                call_free(call);
                return r;
        }
        waiting_append(call);
        call->all_link = &ch->calls;
        call->all_next = ch->calls;
        if (call->all_next)
                call->all_next->all_link = &call->all_next;
        ch->calls = call;
        h2_loop_wake_at(&ch->loop, call->stream.deadline_us);
        submit_waiting(ch);
        if (ret)
                *ret = call;
        return 0;
}

static int call_send_bytes(struct grpc_client_call *call, struct bytes *b) {
        assert(!call->done);
        return grpc_framing_send(&call->framing, &call->stream, b);
}

int grpc_client_call_send(struct grpc_client_call *call, const void *data, size_t n) {
        _cleanup_bytes_ struct bytes *b = bytes_new(data, n);

        return b ? call_send_bytes(call, b) : -ENOMEM;
}

int grpc_client_call_half_close(struct grpc_client_call *call) {
        assert(!call->done);
        h2_stream_end(&call->stream);
        return 0;
}

struct grpc_client_call *grpc_client_call_cancel(struct grpc_client_call *call) {
        if (!call || call->done)
                return NULL;
        call->done = true;
        call->stream.deadline_us = UINT64_MAX;
        if (call->stream.link)
                h2_stream_reset(&call->stream, H2_CANCEL);
        else if (call->link)
                call_free(call);
        return NULL;
}

int grpc_client_unary(struct grpc_channel *ch, const struct grpc_client_call_options *options,
                const void *data, size_t n, struct grpc_client_call **ret) {
        _cleanup_bytes_ struct bytes *b = bytes_new(data, n);

        return b ? grpc_client_unary_bytes(ch, options, b, ret) : -ENOMEM;
}

int grpc_client_unary_bytes(struct grpc_channel *ch, const struct grpc_client_call_options *options,
                struct bytes *request, struct grpc_client_call **ret) {
        struct grpc_client_call *call;
        int r = grpc_client_call_start(ch, options, &call);

        if (r < 0)
                return r;
        r = call_send_bytes(call, request);
        if (r < 0) {
                grpc_client_call_cancel(call);
                return r;
        }
        (void)grpc_client_call_half_close(call);
        if (ret)
                *ret = call;
        return 0;
}

/* ---- answers ---- */

static int on_header(struct h2_stream *s, const char *name, const char *value) {
        struct grpc_client_call *call = call_of(s);
        uint32_t code;

        if (streq(name, ":status")) {
                call->have_http = true;
                call->http_code = streq(value, "200") ? GRPC_OK : grpc_code_from_http(value);
        } else if (streq(name, "grpc-status")) {
                call->got_status = true;
                call->code = parse_u32(value, &code) == 0 && code <= GRPC_UNAUTHENTICATED
                                             ? (enum grpc_code)code
                                             : GRPC_UNKNOWN;
        } else if (streq(name, "grpc-message")) {
                free(call->message);
                call->message = grpc_message_decode(value);
        }
        return 0;
}

/* The server has ended the stream: it does not need the rest of our side. */
static void on_remote_end(struct h2_stream *s) {
        struct grpc_client_call *call = call_of(s);

        if (!s->ending || s->count > 0)
                h2_stream_reset(s, H2_CANCEL);
        if (call->got_status)
                call_done(call, call->code, call->message);
        else if (call->http_code != GRPC_OK)
                call_done(call, call->http_code, "the server does not speak gRPC on this path");
        else
                call_done(call, GRPC_INTERNAL, "the server ended the call without a status");
}

static void on_headers(struct h2_stream *s, bool end) {
        if (end)
                on_remote_end(s);
}

static void on_message(struct h2_stream *s, const void *data, size_t n) {
        struct grpc_client_call *call = call_of(s);

        if (!call->done && call->options.on_message)
                call->options.on_message(call, data, n, call->options.userdata);
}

static void on_bad_message(struct h2_stream *s, enum grpc_code code, const char *why) {
        h2_stream_reset(s, H2_CANCEL);
        call_done(call_of(s), code, why);
}

static const struct grpc_framing_handler *framing_of(struct h2_stream *s) {
        struct grpc_channel *ch = s->connection->owner;

        return &ch->framing;
}

static void on_data(struct h2_stream *s, const void *data, size_t n) {
        grpc_framing_take(&call_of(s)->framing, s, framing_of(s), data, n);
}

static void on_data_end(struct h2_stream *s) {
        if (!grpc_framing_is_cut(&call_of(s)->framing, s, framing_of(s)))
                on_remote_end(s);
}

static void on_expired(struct h2_stream *s) {
        h2_stream_reset(s, H2_CANCEL);
        call_done(call_of(s), GRPC_DEADLINE_EXCEEDED, "the deadline has passed");
}

static int on_local_end(struct h2_stream *s) {
        return 0;
}

static void on_drained(struct h2_stream *s) {
        struct grpc_client_call *call = call_of(s);

        if (!call->done && call->options.on_drained)
                call->options.on_drained(call, call->options.userdata);
}

static void on_closed(struct h2_stream *s, uint32_t error) {
        struct grpc_client_call *call = call_of(s);

        if (call->done)
                ; /* the channel may be gone too */
        else if (s->connection->state == H2_BROKEN)
                call_done(call, GRPC_UNAVAILABLE, call->channel->why);
        else
                call_done(call, grpc_code_from_h2(error),
                                error == H2_REFUSED_STREAM ? "the server refused the call"
                                                           : "the server reset the call");
        call_free(call);
}

/* ---- the connection ---- */

static void set_why(struct grpc_channel *ch, const char *why) {
        const struct grpc_endpoint *e = &ch->endpoints[ch->endpoint];
        char *text = strformat(
                        "%s: %s", e->unix_path ? e->unix_path : ch->authorities[ch->endpoint], why);

        if (text) {
                free(ch->why);
                ch->why = text;
        }
}

static int on_state_changed(sd_event_source *source, void *userdata) {
        struct grpc_channel *ch = userdata;

        ch->state = sd_event_source_disable_unref(ch->state);
        if (ch->reported_up == ch->up)
                return 0;
        ch->reported_up = ch->up;
        ch->on_state(ch, ch->up, ch->userdata);
        return 0;
}

static void set_state(struct grpc_channel *ch, bool up) {
        ch->up = up;
        if (ch->on_state && !ch->state)
                (void)sd_event_add_defer(ch->loop.event, &ch->state, on_state_changed, ch);
}

static void retry_in(struct grpc_channel *ch, uint64_t us) {
        (void)sd_event_source_set_time_relative(ch->retry, us);
        (void)sd_event_source_set_enabled(ch->retry, SD_EVENT_ONESHOT);
}

/* Ends a call that waits. Its owner may free the channel meanwhile. */
static void end_waiting(struct grpc_client_call *call, enum grpc_code code, const char *message) {
        waiting_unlink(call);
        calls_unlink(call);
        call_done(call, code, message);
        call_free(call);
}

/* Ends the waiting calls that do not wait for a connection (fail_fast). */
static void fail_fast(struct grpc_channel *ch) {
        bool freed = false, *outer = ch->freed;

        ch->freed = &freed;
        for (struct grpc_client_call *call = ch->waiting; call; call = ch->cursor) {
                ch->cursor = call->next;
                if (!call->options.fail_fast)
                        continue;
                end_waiting(call, GRPC_UNAVAILABLE, ch->why);
                if (freed) {
                        if (outer)
                                *outer = true;
                        return;
                }
        }
        ch->cursor = NULL;
        ch->freed = outer;
}

/* This endpoint does not answer: the next one, at once unless all have been tried. */
static void endpoint_failed(struct grpc_channel *ch, const char *why) {
        set_why(ch, why);
        ch->endpoint = (ch->endpoint + 1) % ch->endpoint_count;
        if (ch->endpoint != 0) {
                retry_in(ch, 0);
                return;
        }
        ch->backoff_us = ch->backoff_us ? MIN(2 * ch->backoff_us, ch->backoff_max_us)
                                        : BACKOFF_MIN_US;
        retry_in(ch, ch->backoff_us / 2 + random_below(ch->backoff_us));
        fail_fast(ch);
}

static void on_open(struct h2_connection *c) {
        struct grpc_channel *ch = c->owner;

        ch->backoff_us = 0;
        ch->going_away = ch->moving_on = false;
        (void)sd_event_source_set_time_relative(ch->ping, ch->ping_us);
        (void)sd_event_source_set_enabled(ch->ping, SD_EVENT_ONESHOT);
        set_state(ch, true);
        submit_waiting(ch);
}

static void on_goaway(struct h2_connection *c) {
        struct grpc_channel *ch = c->owner;

        if (ch->going_away)
                return;
        ch->going_away = true;
        ch->goaway_at_us = h2_now_us() + (c->stream_count > 0 ? GOAWAY_GRACE_US : 0);
        h2_loop_wake_at(&ch->loop, ch->goaway_at_us);
}

static void on_broken(struct h2_connection *c, const char *why) {
        struct grpc_channel *ch = c->owner;
        bool was_up = ch->up;

        ch->connection = NULL;
        ch->going_away = false;
        set_state(ch, false);
        (void)sd_event_source_set_enabled(ch->ping, SD_EVENT_OFF);
        if (was_up) {
                set_why(ch, why);
                ch->address_count = 0; /* names are resolved again */
                ch->backoff_us = BACKOFF_MIN_US;
                if (ch->moving_on)
                        ch->endpoint = (ch->endpoint + 1) % ch->endpoint_count;
                retry_in(ch, ch->moving_on ? MOVE_ON_PAUSE_US : random_below(BACKOFF_MIN_US));
                return;
        }
        if (++ch->address < ch->address_count) {
                set_why(ch, why);
                retry_in(ch, 0);
                return;
        }
        ch->address_count = 0;
        endpoint_failed(ch, why);
}

static const struct h2_handler handler = {
                .on_header = on_header,
                .on_headers = on_headers,
                .on_data = on_data,
                .on_remote_end = on_data_end,
                .on_local_end = on_local_end,
                .on_drained = on_drained,
                .on_expired = on_expired,
                .on_closed = on_closed,
                .on_open = on_open,
                .on_goaway = on_goaway,
                .on_broken = on_broken,
};

static int start_connection(
                struct grpc_channel *ch, const struct grpc_endpoint *e, const struct address *a) {
        _cleanup_close_ int fd =
                        socket(a->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int r;

        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)&a->storage, a->size) < 0 && errno != EINPROGRESS)
                return -errno;
        if (e->tls)
                (void)tls_context_refresh(&ch->tls);
        r = h2_connection_new(&ch->connection, &ch->loop, &handler, ch, fd, e->tls ? ch->tls : NULL,
                        e->host, H2_CLIENT);
        if (r < 0)
                return r;
        /* Of several endpoints one that hangs does not hold the others up for long. */
        if (ch->endpoint_count > 1)
                ch->connection->deadline_us = MIN(ch->connection->deadline_us,
                                h2_now_us() + CONNECT_ONE_OF_SEVERAL_US);
        TAKE_FD(fd);
        return 0;
}

/* The next of the known addresses. */
static void connect_address(struct grpc_channel *ch) {
        int r = start_connection(ch, &ch->endpoints[ch->endpoint], &ch->addresses[ch->address]);

        if (r >= 0)
                return;
        ch->connection = NULL;
        if (++ch->address < ch->address_count) {
                set_why(ch, strerror(-r));
                retry_in(ch, 0);
                return;
        }
        ch->address_count = 0;
        endpoint_failed(ch, strerror(-r));
}

static void on_resolved(
                struct resolve *resolve, int error, const struct addrinfo *list, void *userdata) {
        struct grpc_channel *ch = userdata;

        ch->address = ch->address_count = 0;
        for (const struct addrinfo *a = error == 0 ? list : NULL;
                        a && ch->address_count < ADDRESSES_MAX; a = a->ai_next) {
                struct address *to = &ch->addresses[ch->address_count++];

                memcpy(&to->storage, a->ai_addr, a->ai_addrlen);
                to->size = a->ai_addrlen;
        }
        ch->resolve = resolve_free(resolve);
        if (ch->address_count > 0)
                connect_address(ch);
        else
                endpoint_failed(ch, gai_strerror(error != 0 ? error : EAI_NONAME));
}

static void connect_next(struct grpc_channel *ch) {
        const struct grpc_endpoint *e = &ch->endpoints[ch->endpoint];
        int r;

        if (ch->connection || ch->resolve)
                return;
        if (ch->address_count > 0 && ch->address < ch->address_count) {
                connect_address(ch);
                return;
        }
        ch->address = 0;
        if (e->unix_path) {
                struct sockaddr_un *un = (struct sockaddr_un *)&ch->addresses[0].storage;

                *un = (struct sockaddr_un){.sun_family = AF_UNIX};
                memcpy(un->sun_path, e->unix_path, strlen(e->unix_path) + 1);
                ch->addresses[0].size = sizeof(*un);
                ch->address_count = 1;
                connect_address(ch);
                return;
        }
        r = resolve_start(&ch->resolve, ch->loop.event, e->host, e->port, on_resolved, ch);
        if (r < 0)
                endpoint_failed(ch, strerror(-r));
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        connect_next(userdata);
        return 0;
}

/* A peer that is there but hangs is found by PING, while calls wait for it. */
static int on_ping(sd_event_source *source, uint64_t usec, void *userdata) {
        struct grpc_channel *ch = userdata;
        struct h2_connection *c = ch->connection;
        uint64_t now_us = h2_now_us();

        if (!c || !ch->up)
                return 0;
        (void)sd_event_source_set_time_relative(ch->ping, ch->ping_us);
        (void)sd_event_source_set_enabled(ch->ping, SD_EVENT_ONESHOT);
        if (c->stream_count == 0 || now_us - c->received_us < ch->ping_us / 2)
                c->pinged = false;
        else if (!c->pinged)
                h2_connection_ping(c);
        else {
                ch->moving_on = ch->endpoint_count > 1;
                h2_connection_fail(c, "the server does not answer");
        }
        return 0;
}

/* ---- the channel ---- */

static void on_deadline(struct h2_loop *loop, uint64_t now_us) {
        struct grpc_channel *ch = container_of(loop, struct grpc_channel, loop);
        uint64_t next_us = UINT64_MAX;
        bool freed = false;

        ch->freed = &freed;
        for (struct grpc_client_call *call = ch->waiting; call; call = ch->cursor) {
                ch->cursor = call->next;
                if (call->stream.deadline_us > now_us) {
                        next_us = MIN(next_us, call->stream.deadline_us);
                        continue;
                }
                end_waiting(call, GRPC_DEADLINE_EXCEEDED,
                                ch->why ? ch->why : "no connection in time");
                if (freed)
                        return;
        }
        ch->cursor = NULL;
        if (ch->connection && ch->going_away && now_us >= ch->goaway_at_us)
                h2_connection_fail(ch->connection, "the server is going away");
        else if (ch->connection)
                h2_connection_check(ch->connection, now_us, &next_us);
        if (freed)
                return;
        ch->freed = NULL;
        if (ch->connection && ch->going_away)
                next_us = MIN(next_us, ch->goaway_at_us);
        h2_loop_wake_at(loop, next_us);
}

bool grpc_channel_is_connected(const struct grpc_channel *ch) {
        return ch->up;
}

uint64_t grpc_channel_round_trip_us(const struct grpc_channel *ch, uint64_t *ret_number) {
        *ret_number = ch->connection ? ch->connection->round_trips : 0;
        return ch->connection ? ch->connection->round_trip_us : 0;
}

const char *grpc_channel_why(const struct grpc_channel *ch) {
        return ch->up ? NULL : ch->why;
}

void grpc_channel_move_on(struct grpc_channel *ch) {
        if (ch->endpoint_count < 2 || !ch->up || ch->moving_on)
                return;
        ch->moving_on = ch->going_away = true;
        ch->goaway_at_us = h2_now_us();
        h2_loop_wake_at(&ch->loop, ch->goaway_at_us);
}

static int add_endpoint(
                struct grpc_channel *ch, const char *url, bool have_tls, struct problem *p) {
        size_t i = ch->endpoint_count;
        int r;

        if (i == ENDPOINTS_MAX)
                return problem_set(p, E2BIG, 0, NULL, "more than %d addresses of the store",
                                ENDPOINTS_MAX);
        r = grpc_endpoint_parse(&ch->endpoints[i], url, p);
        if (r < 0)
                return r;
        ch->endpoint_count++;
        struct grpc_endpoint *e = &ch->endpoints[i];
        if (e->tls && !have_tls)
                return problem_set(p, EINVAL, 0, NULL, "%s needs a CA certificate", url);
        if (e->unix_path && strlen(e->unix_path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
                return problem_set(p, ENAMETOOLONG, 0, NULL, "%s: the path is too long", url);
        ch->authorities[i] = e->unix_path ? strdup("localhost")
                                          : strformat(strchr(e->host, ':') ? "[%s]:%u" : "%s:%u",
                                                            e->host, e->port);
        return ch->authorities[i] ? 0 : -ENOMEM;
}

static int channel_start(struct grpc_channel *ch) {
        sd_event *event = ch->loop.event;
        int r;

        r = sd_event_add_time_relative(event, &ch->retry, CLOCK_MONOTONIC, 0, 0, on_retry, ch);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(event, &ch->ping, CLOCK_MONOTONIC, ch->ping_us,
                        ch->ping_us / 10, on_ping, ch);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(ch->ping, SD_EVENT_OFF);
        return r < 0 ? r : 0;
}

int grpc_channel_new(struct grpc_channel **ret, sd_event *event,
                const struct grpc_channel_options *options, struct problem *p) {
        _cleanup_(grpc_channel_freep) struct grpc_channel *ch = calloc(1, sizeof(*ch));
        int r;

        if (!ch)
                return -ENOMEM;
        ch->waiting_tail = &ch->waiting;
        ch->on_state = options->on_state;
        ch->userdata = options->userdata;
        ch->ping_us = options->ping_us ? options->ping_us : PING_DEFAULT_US;
        ch->backoff_max_us = options->backoff_max_us ? options->backoff_max_us : BACKOFF_DEFAULT_US;
        ch->framing = (struct grpc_framing_handler){
                        .message_size_max = options->message_size_max ? options->message_size_max
                                                                      : MESSAGE_SIZE_MAX_DEFAULT,
                        .on_message = on_message,
                        .on_bad_message = on_bad_message};
        r = h2_loop_init(&ch->loop, event, on_deadline);
        if (r < 0)
                return r;
        ch->loop.priority = options->priority;
        for (char *const *url = options->endpoints; url && *url; url++) {
                r = add_endpoint(ch, *url, options->tls, p);
                if (r < 0)
                        return r;
        }
        if (ch->endpoint_count == 0)
                return problem_set(p, EINVAL, 0, NULL, "no address of a gRPC server is given");
        if (options->tls) {
                r = tls_context_new(&ch->tls, options->tls, false, p);
                if (r < 0)
                        return r;
        }
        r = channel_start(ch);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(ch);
        return 0;
}

struct grpc_channel *grpc_channel_free(struct grpc_channel *ch) {
        struct grpc_client_call *call;

        if (!ch)
                return NULL;
        if (ch->freed)
                *ch->freed = true;
        while ((call = ch->calls)) {
                call->done = true;
                calls_unlink(call);
                if (call->link)
                        call_free(call);
        }
        if (ch->connection)
                h2_connection_shutdown(ch->connection);
        resolve_free(ch->resolve);
        sd_event_source_disable_unref(ch->retry);
        sd_event_source_disable_unref(ch->ping);
        sd_event_source_disable_unref(ch->state);
        if (ch->loop.event)
                h2_loop_done(&ch->loop);
        tls_context_free(ch->tls);
        for (size_t i = 0; i < ch->endpoint_count; i++) {
                grpc_endpoint_done(&ch->endpoints[i]);
                free(ch->authorities[i]);
        }
        free(ch->why);
        return mfree(ch);
}
