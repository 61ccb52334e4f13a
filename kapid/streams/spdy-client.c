/* Clients of SPDY name each stream by a header "streamtype" (docs/wire.md section 13). exec and
 * attach: error, stdin, stdout, stderr, resize; one each. port-forward: for each connection an
 * error and a data stream with the same "requestid" and "port". */
#include "kapid/streams/client-internal.h"

static int refuse_stream(struct stream_client *c, uint32_t id) {
        return spdy_reset(c->spdy, id, SPDY_REFUSED_STREAM);
}

int spdy_client_flush(struct stream_client *c) {
        struct buf *out = spdy_output(c->spdy);
        int r;

        if (!c->websocket || out->size == 0)
                return 0;
        r = websocket_send(c->websocket, NULL, 0, out->data, out->size);
        buf_reset(out);
        return r;
}

int spdy_client_on_piece(const void *data, size_t n, unsigned flags, void *userdata) {
        struct stream_client *c = userdata;
        int r = spdy_feed(c->spdy, data, n);

        return r < 0 ? r : spdy_client_flush(c);
}

/* ---- exec and attach ---- */

static int open_named(struct stream_client *c, uint32_t id, const char *type) {
        const struct {
                const char *type;
                bool wanted;
                uint32_t *id;
        } streams[] = {{"error", true, &c->error_id},
                        {"stdin", c->setup.streams & CLIENT_STDIN, &c->stdin_id},
                        {"stdout", c->setup.streams & CLIENT_STDOUT, &c->stdout_id},
                        {"stderr", c->setup.streams & CLIENT_STDERR, &c->stderr_id},
                        {"resize", c->setup.streams & CLIENT_TTY, &c->resize_id}};

        for (size_t i = 0; i < ELEMENTS(streams); i++)
                if (streq(streams[i].type, type) && streams[i].wanted && *streams[i].id == 0) {
                        *streams[i].id = id;
                        return spdy_reply(c->spdy, id);
                }
        return refuse_stream(c, id);
}

/* Without a terminal there are no sizes, but clients may open the stream for them with one only. */
static bool spdy_is_ready(const struct stream_client *c) {
        unsigned streams = c->setup.streams;

        if (c->setup.protocol != PROTOCOL_SPDY)
                return true;
        return c->error_id && (!(streams & CLIENT_STDIN) || c->stdin_id) &&
               (!(streams & CLIENT_STDOUT) || c->stdout_id) &&
               (!(streams & CLIENT_STDERR) || c->stderr_id) &&
               (!(streams & CLIENT_TTY) || c->resize_id);
}

/* Sizes come as JSON documents one after another, each in a frame of its own or cut anywhere. */
static int take_sizes(struct stream_client *c, const char *data, size_t n) {
        for (size_t i = 0; i < n; i++) {
                uint16_t columns, rows;
                int r;

                if (c->text_size == sizeof(c->text))
                        return -E2BIG;
                c->text[c->text_size++] = (uint8_t)data[i];
                if (data[i] != '}')
                        continue;
                r = client_resize_parse(c->text, c->text_size, &columns, &rows);
                if (r < 0)
                        return r;
                c->text_size = 0;
                r = c->events->on_resize(columns, rows, c->userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int spdy_output_of(struct stream_client *c, bool is_stderr, const void *data, size_t n) {
        return spdy_data(c->spdy, is_stderr ? c->stderr_id : c->stdout_id, data, n);
}

static int spdy_finish(struct stream_client *c, const char *status) {
        const uint32_t ends[] = {c->stdout_id, c->stderr_id, c->error_id};
        int r = spdy_data(c->spdy, c->error_id, status, strlen(status));

        for (size_t i = 0; i < ELEMENTS(ends) && r >= 0; i++)
                r = spdy_fin(c->spdy, ends[i]);
        return r;
}

/* ---- port-forward ---- */

static struct spdy_forward *forward_of_stream(struct stream_client *c, uint32_t stream) {
        struct spdy_forward *f;

        LIST_FOREACH(f, &c->forwards, entry)
        if (f->data_id == stream || f->error_id == stream)
                return f;
        return NULL;
}

static struct spdy_forward *forward_of_id(struct stream_client *c, uint32_t id) {
        struct spdy_forward *f;

        LIST_FOREACH(f, &c->forwards, entry)
        if (f->id == id)
                return f;
        return NULL;
}

static void forward_free(struct stream_client *c, struct spdy_forward *f) {
        LIST_REMOVE(f, entry);
        c->forward_count--;
        free(f);
}

/* The connection that waits for this stream, or a new one. NULL: too many, or no memory. */
static struct spdy_forward *forward_wanted(
                struct stream_client *c, const char *request_id, bool is_error, uint16_t port) {
        struct spdy_forward *f;

        LIST_FOREACH(f, &c->forwards, entry)
        if (f->id == 0 && f->port == port && streq(f->request_id, request_id) &&
                        (is_error ? f->error_id : f->data_id) == 0)
                return f;
        if (c->forward_count >= CLIENT_FORWARDS_MAX)
                return NULL;
        f = calloc(1, sizeof(*f));
        if (!f)
                return NULL;
        snprintf(f->request_id, sizeof(f->request_id), "%s", request_id);
        f->port = port;
        LIST_INSERT_HEAD(&c->forwards, f, entry);
        c->forward_count++;
        return f;
}

static int open_forward(struct stream_client *c, uint32_t id, const char *type,
                const struct spdy_headers *h) {
        const char *request_id = strempty(spdy_header(h, "requestid")),
                   *text = spdy_header(h, "port");
        bool is_error = streq(type, "error");
        struct spdy_forward *f;
        uint64_t port;
        int r;

        if ((!is_error && !streq(type, "data")) || !text || parse_u64(text, &port) < 0 ||
                        port == 0 || port > UINT16_MAX || strlen(request_id) >= REQUEST_ID_SIZE)
                return refuse_stream(c, id);
        f = forward_wanted(c, request_id, is_error, (uint16_t)port);
        if (!f)
                return refuse_stream(c, id);
        *(is_error ? &f->error_id : &f->data_id) = id;
        r = spdy_reply(c->spdy, id);
        if (r < 0 || !f->error_id || !f->data_id)
                return r;
        f->id = ++c->last_forward;
        return f->id > UINT32_C(0xffffff) ? -E2BIG
                                          : c->events->on_open(f->id, f->port, c->userdata);
}

static int spdy_forward_data(struct stream_client *c, uint32_t id, const void *data, size_t n) {
        const struct spdy_forward *f = forward_of_id(c, id);

        return f ? spdy_data(c->spdy, f->data_id, data, n) : 0;
}

/* kubectl closes its local connection when both streams have ended. */
static int forward_node_ends(struct stream_client *c, struct spdy_forward *f) {
        int r = spdy_fin(c->spdy, f->error_id);

        if (r < 0)
                return r;
        r = spdy_fin(c->spdy, f->data_id);
        f->node_ended = true;
        if (f->client_ended)
                forward_free(c, f);
        return r;
}

static int spdy_forward_end(struct stream_client *c, uint32_t id) {
        struct spdy_forward *f = forward_of_id(c, id);

        return f && !f->node_ended ? forward_node_ends(c, f) : 0;
}

static int spdy_forward_refuse(struct stream_client *c, uint32_t id, const char *why) {
        struct spdy_forward *f = forward_of_id(c, id);
        int r = f && why && !f->node_ended ? spdy_data(c->spdy, f->error_id, why, strlen(why)) : 0;

        if (r < 0 || !f)
                return r;
        f->client_ended = true; /* what it still sends goes nowhere */
        if (!f->node_ended)
                return forward_node_ends(c, f);
        forward_free(c, f);
        return 0;
}

/* ---- events of SPDY ---- */

static int on_stream(uint32_t id, const struct spdy_headers *headers, void *userdata) {
        struct stream_client *c = userdata;
        const char *type = strempty(spdy_header(headers, "streamtype"));

        return c->setup.protocol == PROTOCOL_SPDY ? open_named(c, id, type)
                                                  : open_forward(c, id, type, headers);
}

static int on_data(uint32_t id, const void *data, size_t n, void *userdata) {
        struct stream_client *c = userdata;
        const struct spdy_forward *f;

        if (id == c->stdin_id)
                return c->events->on_stdin(data, n, c->userdata);
        if (id == c->resize_id)
                return take_sizes(c, data, n);
        f = forward_of_stream(c, id);
        return f && f->id && f->data_id == id && !f->client_ended
                               ? c->events->on_data(f->id, data, n, c->userdata)
                               : 0;
}

static int on_fin(uint32_t id, void *userdata) {
        struct stream_client *c = userdata;
        struct spdy_forward *f;
        uint32_t ended;

        if (id == c->stdin_id)
                return c->events->on_stdin_end(c->userdata);
        f = forward_of_stream(c, id);
        if (!f || !f->id || f->data_id != id || f->client_ended)
                return 0;
        f->client_ended = true;
        ended = f->id;
        if (f->node_ended)
                forward_free(c, f);
        return c->events->on_end(ended, c->userdata);
}

static int on_reset(uint32_t id, void *userdata) {
        struct stream_client *c = userdata;
        struct spdy_forward *f;
        uint32_t ended;
        int r;

        if (id == c->stdin_id)
                return c->events->on_stdin_end(c->userdata);
        f = forward_of_stream(c, id);
        if (!f || f->data_id != id)
                return 0;
        ended = f->id;
        r = spdy_fin(c->spdy, f->error_id);
        forward_free(c, f);
        if (r < 0 || !ended)
                return r;
        return c->events->on_reset(ended, c->userdata);
}

static int on_goaway(void *userdata) {
        struct stream_client *c = userdata;

        c->goaway = true;
        return 0;
}

const struct spdy_events spdy_client_events = {.on_stream = on_stream,
                .on_data = on_data,
                .on_fin = on_fin,
                .on_reset = on_reset,
                .on_goaway = on_goaway};

/* In a tunnel every call puts its bytes into messages. */
static int flushed(struct stream_client *c, int r) {
        return r < 0 ? r : spdy_client_flush(c);
}

static int tunnel_data(struct stream_client *c, uint32_t id, const void *data, size_t n) {
        return flushed(c, spdy_forward_data(c, id, data, n));
}

static int tunnel_end(struct stream_client *c, uint32_t id) {
        return flushed(c, spdy_forward_end(c, id));
}

static int tunnel_refuse(struct stream_client *c, uint32_t id, const char *why) {
        return flushed(c, spdy_forward_refuse(c, id, why));
}

const struct client_family spdy_family = {.is_ready = spdy_is_ready,
                .output = spdy_output_of,
                .finish = spdy_finish,
                .data = tunnel_data,
                .end = tunnel_end,
                .refuse = tunnel_refuse};
