/* The gRPC server: listening sockets, and calls on h2 streams.
 *
 * A call has two holders: the program, until finish or on_gone, and HTTP/2, until the stream closes
 * (on_closed), which is where it is freed. Response headers go out with the first message; a call
 * that ends without one answers with trailers only. */
#include "lib/grpc-server.h"

#include "lib/grpc-framing.h"
#include "lib/grpc-internal.h"
#include "lib/grpc-listen.h"
#include "lib/h2.h"
#include "lib/net.h"

enum {
        LISTENERS_MAX = 16,
        MESSAGE_SIZE_MAX_DEFAULT = 2 << 20,
        CONNECTIONS_MAX_DEFAULT = 20000,
        UNIX_ROOM = 32,
        HEADERS_ROOM = 320, /* as much as usual clients send */
};

struct grpc_server {
        struct h2_loop loop;
        struct grpc_server_options options;
        struct grpc_framing_handler framing;
        const struct grpc_method *last_method; /* likely the next one too */
        struct grpc_listener *listeners[LISTENERS_MAX];
        size_t listener_count;
        struct h2_connection *connections;
        unsigned connection_count;
        struct grpc_method_stats *stats; /* of each method */
        struct grpc_traffic traffic;
        struct web_gate *gate; /* for HTTP/1.1; NULL: there is none */
        bool *freed;           /* set when the server is freed inside of a walk over it */
};

struct header_head {
        uint16_t name_size, value_size; /* with their NULs */
};

struct grpc_call {
        struct h2_stream stream;
        struct grpc_framing framing;
        struct grpc_server *server;
        const struct grpc_method *method;
        char *headers; /* of each: struct header_head, name, NUL, value, NUL */
        size_t header_count, headers_size, headers_room;
        bool accepted; /* the method runs, or ran */
        bool responded, finished, half_closed, got_message, counted;
        struct web_request *web; /* instead of a method */
        bool plain;              /* the answer is one of HTTP: no messages, no trailers */
        uint64_t started_us;
        enum grpc_code code;
        char *message;
        void (*on_gone)(struct grpc_call *call, void *userdata);
        void (*on_drained)(struct grpc_call *call, void *userdata);
        void *on_gone_userdata, *on_drained_userdata, *userdata;
        char room[]; /* for the headers, while they fit */
};

static struct grpc_call *call_of(struct h2_stream *s) {
        return container_of(s, struct grpc_call, stream);
}

/* ---- answers ---- */

const double grpc_slower_s[GRPC_SLOWER] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

static struct grpc_method_stats *stats_of(const struct grpc_call *call) {
        const struct grpc_server *s = call->server;

        return call->method ? &s->stats[call->method - s->options.methods] : NULL;
}

static void count_handled(struct grpc_call *call, enum grpc_code code) {
        struct grpc_method_stats *stats = stats_of(call);
        double seconds;

        if (!stats || call->counted)
                return;
        call->counted = true;
        stats->handled[(unsigned)code < GRPC_CODES ? code : GRPC_UNKNOWN]++;
        seconds = (double)(h2_now_us() - call->started_us) / 1e6;
        stats->seconds += seconds;
        for (size_t i = 0; i < GRPC_SLOWER && seconds > grpc_slower_s[i]; i++)
                stats->slower[i]++;
}

/* With the kind of message that was asked in: application/grpc+proto. */
static const char *content_type(const struct grpc_call *call) {
        const char *asked = grpc_call_metadata(call, "content-type");

        return asked && startswith(asked, "application/grpc+") ? asked : "application/grpc";
}

/* grpc-status and grpc-message; behind the response headers when they have not gone yet. */
static int submit_status(struct grpc_call *call, bool trailers_only) {
        struct h2_header h[4] = {{":status", "200"}, {"content-type", content_type(call)}};
        _cleanup_free_ char *message = call->message ? grpc_message_encode(call->message) : NULL;
        char code[4];
        size_t n = trailers_only ? 2 : 0;

        (void)snprintf(code, sizeof(code), "%u", (unsigned)call->code);
        h[n++] = (struct h2_header){"grpc-status", code};
        if (message)
                h[n++] = (struct h2_header){"grpc-message", message};
        return trailers_only ? h2_submit_response(&call->stream, h, n, false)
                             : h2_submit_trailers(&call->stream, h, n);
}

static int respond(struct grpc_call *call) {
        struct h2_header h[] = {{":status", "200"}, {"content-type", content_type(call)}};
        int r;

        if (call->responded)
                return 0;
        r = h2_submit_response(&call->stream, h, ELEMENTS(h), true);
        if (r == 0)
                call->responded = true;
        return r;
}

int grpc_call_send_bytes(struct grpc_call *call, struct bytes *b) {
        int r;

        assert(!call->finished);
        r = grpc_framing_send(&call->framing, &call->stream, b);
        if (r < 0)
                return r;
        if (stats_of(call))
                stats_of(call)->sent++;
        call->server->traffic.sent_bytes += b->size;
        return respond(call);
}

int grpc_call_send(struct grpc_call *call, const void *data, size_t n) {
        _cleanup_bytes_ struct bytes *b = bytes_new(data, n);

        return b ? grpc_call_send_bytes(call, b) : -ENOMEM;
}

int grpc_call_begin(struct grpc_call *call, uint64_t size) {
        uint8_t prefix[GRPC_PREFIX_SIZE];

        assert(!call->responded && call->stream.count == 0);
        if (size > INT32_MAX)
                return -EMSGSIZE;
        grpc_framing_prefix(prefix, (uint32_t)size);
        call->framing.raw = true;
        return grpc_call_send(call, prefix, sizeof(prefix));
}

int grpc_call_piece(struct grpc_call *call, const void *data, size_t n) {
        assert(call->framing.raw);
        return grpc_call_send(call, data, n);
}

const void *grpc_call_connection(const struct grpc_call *call) {
        return call->stream.connection;
}

size_t grpc_call_queued(const struct grpc_call *call) {
        return call->stream.queued;
}

size_t grpc_call_connection_queued(const struct grpc_call *call) {
        return call->stream.connection->queued;
}

void grpc_call_finish(struct grpc_call *call, enum grpc_code code, const char *message) {
        struct h2_stream *s = &call->stream;

        assert(!call->finished);
        call->finished = s->deaf = true;
        call->on_gone = call->on_drained = NULL;
        call->code = code;
        count_handled(call, code);
        call->message = message ? strdup(message) : NULL;
        s->deadline_us = UINT64_MAX;
        if (code != GRPC_OK)
                h2_stream_drop_unsent(s);
        if (s->connection->state != H2_OPEN)
                return;
        if (!call->responded) {
                if (submit_status(call, true) < 0)
                        h2_stream_reset(s, H2_INTERNAL_ERROR);
        } else if (code != GRPC_OK && h2_stream_is_blocked(s))
                h2_stream_reset(s, code == GRPC_RESOURCE_EXHAUSTED ? H2_ENHANCE_YOUR_CALM
                                                                   : H2_INTERNAL_ERROR);
        else
                h2_stream_end(s);
}

void grpc_call_reply(struct grpc_call *call, const void *data, size_t n) {
        int r = grpc_call_send(call, data, n);

        if (r < 0)
                grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "the answer cannot be queued");
        else
                grpc_call_finish(call, GRPC_OK, NULL);
}

void grpc_call_on_gone(struct grpc_call *call, void (*func)(struct grpc_call *call, void *userdata),
                void *userdata) {
        call->on_gone = func;
        call->on_gone_userdata = userdata;
}

void grpc_call_on_drained(struct grpc_call *call,
                void (*func)(struct grpc_call *call, void *userdata), void *userdata) {
        call->on_drained = func;
        call->on_drained_userdata = userdata;
}

void grpc_call_set_userdata(struct grpc_call *call, void *userdata) {
        call->userdata = userdata;
}

void *grpc_call_userdata(const struct grpc_call *call) {
        return call->userdata;
}

uint64_t grpc_call_deadline_us(const struct grpc_call *call) {
        return call->stream.deadline_us;
}

const char *grpc_call_metadata(const struct grpc_call *call, const char *name) {
        const char *at = call->headers;
        size_t n = strlen(name) + 1;

        for (size_t i = 0; i < call->header_count; i++) {
                struct header_head head;

                memcpy(&head, at, sizeof(head));
                at += sizeof(head);
                if (head.name_size == n && memcmp(at, name, n) == 0)
                        return at + n;
                at += head.name_size + head.value_size;
        }
        return NULL;
}

/* Takes the call from the program. */
static void call_gone(struct grpc_call *call) {
        void (*func)(struct grpc_call * c, void *userdata) = TAKE_PTR(call->on_gone);

        call->on_drained = NULL;
        if (!call->finished && func)
                func(call, call->on_gone_userdata);
}

/* ---- requests ---- */

static struct h2_stream *on_request(struct h2_connection *c, int32_t id) {
        struct grpc_call *call = pool_alloc(c->pool, sizeof(*call) + HEADERS_ROOM);

        if (!call)
                return NULL;
        *call = (struct grpc_call){.server = c->owner,
                        .headers = call->room,
                        .headers_room = HEADERS_ROOM,
                        .stream.deadline_us = UINT64_MAX};
        h2_stream_link(&call->stream, c, id);
        return &call->stream;
}

static int grow_headers(struct grpc_call *call, size_t n) {
        size_t room = MAX(n, 2 * call->headers_room);
        char *v = realloc(call->headers == call->room ? NULL : call->headers, room);

        if (!v)
                return -ENOMEM;
        if (call->headers == call->room)
                memcpy(v, call->room, call->headers_size);
        call->headers = v;
        call->headers_room = room;
        return 0;
}

static int on_header(struct h2_stream *s, const char *name, const char *value) {
        struct grpc_call *call = call_of(s);
        size_t n = strlen(name) + 1, m = strlen(value) + 1, size;
        struct header_head head = {(uint16_t)n, (uint16_t)m};
        char *at;

        if (call->accepted)
                return 0; /* trailers of a request */
        size = call->headers_size + sizeof(head) + n + m;
        if (call->header_count >= H2_HEADERS_MAX || size > H2_HEADERS_SIZE_MAX)
                return -E2BIG;
        if (size > call->headers_room && grow_headers(call, size) < 0)
                return -ENOMEM;
        at = call->headers + call->headers_size;
        memcpy(at, &head, sizeof(head));
        memcpy(at + sizeof(head), name, n);
        memcpy(at + sizeof(head) + n, value, m);
        call->headers_size = size;
        call->header_count++;
        return 0;
}

static void refuse_http(struct grpc_call *call, const char *status) {
        const struct h2_header h = {":status", status};

        call->finished = call->stream.deaf = true;
        (void)h2_submit_response(&call->stream, &h, 1, false);
}

/* ---- plain HTTP ---- */

static void web_answered(void *client, int code, const char *type, const void *body, size_t n) {
        struct grpc_call *call = client;
        struct h2_stream *s = &call->stream;
        _cleanup_bytes_ struct bytes *b = NULL;
        char status[12], length[24];
        const struct h2_header h[] = {{":status", status}, {"content-type", strempty(type)},
                        {"content-length", length}, {"x-content-type-options", "nosniff"},
                        {"allow", "GET"}};
        bool head = streq(call->web->method, "HEAD");

        call->web = NULL;
        call->finished = true;
        if (s->connection->state != H2_OPEN)
                return;
        (void)snprintf(status, sizeof(status), "%d", code);
        (void)snprintf(length, sizeof(length), "%zu", n);
        b = head || n == 0 ? NULL : bytes_new(body, n);
        call->plain = true;
        if ((!b && !head && n > 0) || (b && h2_stream_send(s, NULL, 0, b) < 0) ||
                        h2_submit_response(s, h, ELEMENTS(h) - (code == 405 ? 0 : 1), b) < 0)
                h2_stream_reset(s, H2_INTERNAL_ERROR);
        else if (b)
                h2_stream_end(s);
}

static void serve_web(struct grpc_call *call) {
        const struct grpc_server_options *o = &call->server->options;
        const char *path = strempty(grpc_call_metadata(call, ":path")),
                   *question = strchr(path, '?');
        _cleanup_free_ char *bare = strndup(path, strcspn(path, "?"));

        call->stream.deaf = true;
        call->web = bare ? web_request_new(strempty(grpc_call_metadata(call, ":method")), bare,
                                           question ? question + 1 : "")
                         : NULL;
        if (!call->web) {
                refuse_http(call, "503");
                return;
        }
        call->web->client = call;
        call->web->answer = web_answered;
        o->web(call->web, o->userdata);
}

/* Where plain HTTP is not served, it gets no answer; nor do bytes that are not HTTP at all: methods
 * begin with a capital letter, TLS does not. */
static void on_stranger(struct h2_connection *c, int fd, struct tls_stream *tls, const void *data,
                size_t n) {
        const unsigned char *first = data;
        struct grpc_server *s = c->owner;

        if (s->gate && n > 0 && *first >= 'A' && *first <= 'Z') {
                web_gate_take(s->gate, fd, tls, data, n);
                return;
        }
        tls_stream_free(tls);
        safe_close(fd);
}

static void on_remote_end(struct h2_stream *s) {
        struct grpc_call *call = call_of(s);

        if (call->half_closed || call->finished || call->web)
                return;
        call->half_closed = true;
        if (!call->method->streaming && !call->got_message)
                grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "the request holds no message");
        else if (call->method->on_half_close)
                call->method->on_half_close(call, call->server->options.userdata);
}

static const struct grpc_method *find_method(struct grpc_server *s, const char *path) {
        if (s->last_method && streq(s->last_method->path, path))
                return s->last_method;
        for (size_t i = 0; i < s->options.method_count; i++)
                if (streq(s->options.methods[i].path, path))
                        return s->last_method = &s->options.methods[i];
        return NULL;
}

/* The text of grpc-go: clients may match on it. */
static void refuse_method(struct grpc_call *call, const char *path) {
        const struct grpc_server *s = call->server;
        const char *service = *path == '/' ? path + 1 : path, *slash = strrchr(service, '/');
        size_t n = slash ? (size_t)(slash + 1 - path) : 0;
        _cleanup_free_ char *text = NULL;
        bool known = false;

        for (size_t i = 0; i < s->options.method_count && slash; i++)
                known = known || strncmp(s->options.methods[i].path, path, n) == 0;
        if (!slash)
                text = strformat("malformed method name: \"%s\"", path);
        else if (known)
                text = strformat("unknown method %s for service %.*s", slash + 1,
                                (int)(slash - service), service);
        else
                text = strformat("unknown service %.*s", (int)(slash - service), service);
        grpc_call_finish(call, GRPC_UNIMPLEMENTED, text);
}

static void refuse_encoding(struct grpc_call *call, const char *encoding) {
        _cleanup_free_ char *text = strformat(
                        "grpc: Decompressor is not installed for grpc-encoding \"%s\"", encoding);

        grpc_call_finish(call, GRPC_UNIMPLEMENTED, text);
}

static bool is_grpc(const char *type) {
        const char *rest = type ? startswith(type, "application/grpc") : NULL;

        return rest && (*rest == '\0' || *rest == '+' || *rest == ';');
}

static void on_headers(struct h2_stream *s, bool end) {
        struct grpc_call *call = call_of(s);
        const struct grpc_server_options *options = &call->server->options;
        const char *path = grpc_call_metadata(call, ":path"),
                   *type = grpc_call_metadata(call, "content-type"),
                   *encoding = grpc_call_metadata(call, "grpc-encoding"),
                   *timeout = grpc_call_metadata(call, "grpc-timeout");
        uint64_t us;

        if (!call->accepted) {
                call->accepted = true;
                if (!streq_ptr(grpc_call_metadata(call, ":method"), "POST")) {
                        if (options->web && !is_grpc(type))
                                serve_web(call);
                        else
                                refuse_http(call, "405");
                        return;
                }
                if (!is_grpc(type)) {
                        refuse_http(call, "415");
                        return;
                }
                call->method = find_method(call->server, strempty(path));
                if (!call->method) {
                        refuse_method(call, strempty(path));
                        return;
                }
                call->started_us = h2_now_us();
                stats_of(call)->started++;
                if (encoding && !streq(encoding, "identity")) {
                        refuse_encoding(call, encoding);
                        return;
                }
                if (timeout && grpc_timeout_parse(timeout, &us) < 0) {
                        grpc_call_finish(call, GRPC_INTERNAL, "malformed grpc-timeout");
                        return;
                }
                if (timeout) {
                        s->deadline_us = h2_now_us() + us;
                        h2_loop_wake_at(s->connection->loop, s->deadline_us);
                }
                if (options->admit && !options->admit(call, options->userdata))
                        return;
        }
        if (end)
                on_remote_end(s);
}

static void on_message(struct h2_stream *s, const void *data, size_t n) {
        struct grpc_call *call = call_of(s);

        if (call->finished)
                return;
        if (call->got_message && !call->method->streaming) {
                call_gone(call);
                grpc_call_finish(call, GRPC_INVALID_ARGUMENT,
                                "the request holds more than one message");
                return;
        }
        call->got_message = true;
        stats_of(call)->received++;
        call->server->traffic.received_bytes += n;
        call->method->on_message(call, data, n, call->server->options.userdata);
}

static void on_bad_message(struct h2_stream *s, enum grpc_code code, const char *why) {
        struct grpc_call *call = call_of(s);

        if (call->finished)
                return;
        if (call->web) { /* no other caller ends one early */
                TAKE_PTR(call->web)->client = NULL;
                refuse_http(call, "503");
                return;
        }
        call_gone(call);
        if (!call->finished)
                grpc_call_finish(call, code, why);
}

static void on_expired(struct h2_stream *s) {
        on_bad_message(s, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
}

static void on_data(struct h2_stream *s, const void *data, size_t n) {
        struct grpc_call *call = call_of(s);

        grpc_framing_take(&call->framing, s, &call->server->framing, data, n);
}

static void on_data_end(struct h2_stream *s) {
        struct grpc_call *call = call_of(s);

        if (!grpc_framing_is_cut(&call->framing, s, &call->server->framing))
                on_remote_end(s);
}

static int on_local_end(struct h2_stream *s) {
        if (call_of(s)->plain)
                return 0;
        return submit_status(call_of(s), false) < 0 ? 0 : 1;
}

static void on_stream_drained(struct h2_stream *s) {
        struct grpc_call *call = call_of(s);

        if (call->on_drained)
                call->on_drained(call, call->on_drained_userdata);
}

static void on_closed(struct h2_stream *s, uint32_t error) {
        struct grpc_call *call = call_of(s);

        call_gone(call);
        count_handled(call, GRPC_CANCELLED);
        if (call->web)
                call->web->client = NULL;
        grpc_framing_done(&call->framing, s);
        h2_stream_done(s);
        if (call->headers != call->room)
                free(call->headers);
        free(call->message);
        pool_free(s->connection->pool, call);
}

static void on_broken(struct h2_connection *c, const char *why) {
        struct grpc_server *s = c->owner;
        char address[NET_ADDRESS_SIZE];

        s->connection_count--;
        if (s->options.on_refused && c->tls && tls_stream_refused_peer(c->tls))
                s->options.on_refused(net_peer_name(c->fd, address), why, s->options.userdata);
}

static const struct h2_handler handler = {
                .on_request = on_request,
                .on_header = on_header,
                .on_headers = on_headers,
                .on_data = on_data,
                .on_remote_end = on_data_end,
                .on_local_end = on_local_end,
                .on_drained = on_stream_drained,
                .on_expired = on_expired,
                .on_closed = on_closed,
                .on_stranger = on_stranger,
                .on_broken = on_broken,
};

/* ---- listening ---- */

static void on_client(void *userdata, int fd, struct tls_context *tls, bool over_unix) {
        struct grpc_server *s = userdata;
        struct h2_connection *c;

        /* Administrators on the machine use its Unix sockets and get in while clients flood it. */
        if (s->connection_count >= s->options.connections_max + (over_unix ? UNIX_ROOM : 0)) {
                safe_close(fd);
                return;
        }
        net_tune(fd);
        if (h2_connection_new(&c, &s->loop, &handler, s, fd, tls, /* server_name= */ NULL,
                            H2_SERVER) < 0) {
                safe_close(fd);
                return;
        }
        c->link = &s->connections;
        c->next = s->connections;
        if (c->next)
                c->next->link = &c->next;
        s->connections = c;
        s->connection_count++;
}

int grpc_server_listen(struct grpc_server *s, const char *url, const struct tls_files *tls,
                struct problem *p) {
        const struct grpc_listener_options options = {.url = url,
                        .tls = tls,
                        .unix_mode = s->options.unix_mode,
                        .on_client = on_client,
                        .userdata = s};
        int r;

        if (s->listener_count >= LISTENERS_MAX)
                return problem_set(p, E2BIG, 0, NULL, "too many addresses to listen on");
        r = grpc_listener_new(&s->listeners[s->listener_count], s->loop.event, &options, p);
        if (r < 0)
                return r;
        s->listener_count++;
        return 0;
}

void grpc_server_end_streams(struct grpc_server *s, const struct grpc_metadata *with,
                enum grpc_code code, const char *message) {
        for (struct h2_connection *c = s->connections; c; c = c->next) {
                for (struct h2_stream *stream = c->streams; stream; stream = c->cursor) {
                        struct grpc_call *call = call_of(stream);

                        c->cursor = stream->next;
                        if (call->method && call->method->streaming &&
                                        streq_ptr(grpc_call_metadata(call, with->name),
                                                        with->value))
                                on_bad_message(stream, code, message);
                }
                c->cursor = NULL;
        }
}

const struct grpc_method_stats *grpc_server_stats(const struct grpc_server *s, size_t method) {
        return &s->stats[method];
}

struct grpc_traffic grpc_server_traffic(const struct grpc_server *s) {
        struct grpc_traffic t = s->traffic;

        t.connections = s->connection_count;
        return t;
}

uint16_t grpc_server_port(const struct grpc_server *s) {
        return s->listener_count > 0 ? grpc_listener_port(s->listeners[0]) : 0;
}

/* ---- the server ---- */

static void on_deadline(struct h2_loop *loop, uint64_t now_us) {
        struct grpc_server *s = container_of(loop, struct grpc_server, loop);
        uint64_t next_us = UINT64_MAX;
        struct h2_connection *next;
        bool freed = false;

        s->freed = &freed;
        for (struct h2_connection *c = s->connections; c; c = next) {
                next = c->next;
                h2_connection_check(c, now_us, &next_us);
                if (freed)
                        return;
        }
        s->freed = NULL;
        h2_loop_wake_at(loop, next_us);
}

int grpc_server_new(struct grpc_server **ret, sd_event *event,
                const struct grpc_server_options *options) {
        _cleanup_(grpc_server_freep) struct grpc_server *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->options = *options;
        s->framing = (struct grpc_framing_handler){
                        .message_size_max = options->message_size_max ? options->message_size_max
                                                                      : MESSAGE_SIZE_MAX_DEFAULT,
                        .on_message = on_message,
                        .on_bad_message = on_bad_message};
        if (s->options.connections_max == 0)
                s->options.connections_max = CONNECTIONS_MAX_DEFAULT;
        s->stats = calloc(MAX(options->method_count, (size_t)1), sizeof(*s->stats));
        r = h2_loop_init(&s->loop, event, on_deadline);
        if (r < 0)
                return r;
        if (!s->stats)
                return -ENOMEM;
        if (options->web) {
                r = web_gate_new(&s->gate, event, options->web, options->userdata);
                if (r < 0)
                        return r;
        }
        s->loop.priority = options->priority;
        *ret = TAKE_PTR(s);
        return 0;
}

struct grpc_server *grpc_server_free(struct grpc_server *s) {
        if (!s)
                return NULL;
        if (s->freed)
                *s->freed = true;
        for (size_t i = 0; i < s->listener_count; i++)
                grpc_listener_free(s->listeners[i]);
        while (s->connections) {
                struct h2_connection *c = s->connections;

                /* Calls in flight end with a status rather than with the connection. */
                for (struct h2_stream *stream = c->streams; stream; stream = c->cursor) {
                        c->cursor = stream->next;
                        on_bad_message(stream, GRPC_UNAVAILABLE, "the server is shutting down");
                }
                c->cursor = NULL;
                h2_connection_shutdown(c);
        }
        web_gate_free(s->gate);
        h2_loop_done(&s->loop);
        free(s->stats);
        return mfree(s);
}
