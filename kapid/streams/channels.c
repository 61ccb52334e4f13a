/* Channels (docs/wire.md section 13): the first byte of a message. v5 adds 255, the byte after it
 * is a channel that is closed. Port-forward has two channels for each port, data and error, and the
 * first message on each is the port, two bytes, little endian. */
#include "kapid/streams/client-internal.h"
#include "lib/json.h"

enum {
        CHANNEL_STDIN = 0,
        CHANNEL_STDOUT = 1,
        CHANNEL_STDERR = 2,
        CHANNEL_STATUS = 3,
        CHANNEL_RESIZE = 4,
        CHANNEL_CLOSE = 255,
        MESSAGE_MAX = 32 << 10,
};

static bool is_v5(const struct stream_client *c) {
        return c->setup.protocol == PROTOCOL_CHANNELS_V5 ||
               c->setup.protocol == PROTOCOL_FORWARD_V5;
}

static bool is_forward(const struct stream_client *c) {
        return c->setup.protocol == PROTOCOL_FORWARD || c->setup.protocol == PROTOCOL_FORWARD_V5;
}

int client_resize_parse(const void *data, size_t n, uint16_t *ret_columns, uint16_t *ret_rows) {
        _cleanup_json_ json_t *v = NULL;
        int64_t columns, rows;

        if (json_parse(data, n, 0, &v, NULL) < 0)
                return -EPROTO;
        columns = json_int_or(v, "Width", 0);
        rows = json_int_or(v, "Height", 0);
        if (columns < 0 || columns > UINT16_MAX || rows < 0 || rows > UINT16_MAX)
                return -EPROTO;
        *ret_columns = (uint16_t)columns;
        *ret_rows = (uint16_t)rows;
        return 0;
}

/* ---- from the client ---- */

static int client_ends(struct stream_client *c, unsigned channel) {
        unsigned port = channel / 2;

        if (!is_forward(c))
                return channel == CHANNEL_STDIN && c->setup.streams & CLIENT_STDIN
                                       ? c->events->on_stdin_end(c->userdata)
                                       : 0;
        if (channel % 2 || port >= c->setup.port_count || c->ended & UINT64_C(1) << port)
                return 0;
        c->ended |= UINT64_C(1) << port;
        return c->events->on_end(port + 1, c->userdata);
}

/* A whole message of a channel that has short ones. */
static int take_text(struct stream_client *c) {
        uint16_t columns, rows;
        int r;

        if (c->channel == CHANNEL_CLOSE)
                return c->text_size == 1 ? client_ends(c, c->text[0]) : -EPROTO;
        if (c->text_size == 0)
                return 0;
        r = client_resize_parse(c->text, c->text_size, &columns, &rows);
        return r < 0 ? r : c->events->on_resize(columns, rows, c->userdata);
}

static int take_data(struct stream_client *c, const uint8_t *data, size_t n) {
        unsigned port = (unsigned)c->channel / 2;

        if (n == 0)
                return 0;
        if (!is_forward(c))
                return c->channel == CHANNEL_STDIN && c->setup.streams & CLIENT_STDIN
                                       ? c->events->on_stdin(data, n, c->userdata)
                                       : 0;
        if (c->channel % 2 || port >= c->setup.port_count || c->ended & UINT64_C(1) << port)
                return 0;
        return c->events->on_data(port + 1, data, n, c->userdata);
}

int channels_on_piece(const void *data, size_t n, unsigned flags, void *userdata) {
        struct stream_client *c = userdata;
        const uint8_t *p = data;
        bool text;
        int r = 0;

        if (flags & WEBSOCKET_FIRST)
                c->channel = -1;
        if (c->channel < 0 && n > 0) {
                c->channel = *p++;
                c->text_size = 0;
                n--;
        }
        text = (c->channel == CHANNEL_CLOSE && is_v5(c)) ||
               (c->channel == CHANNEL_RESIZE && !is_forward(c));
        if (text) {
                if (n > sizeof(c->text) - c->text_size)
                        return -E2BIG;
                memcpy(c->text + c->text_size, p, n);
                c->text_size += n;
                if (flags & WEBSOCKET_LAST)
                        r = take_text(c);
        } else if (c->channel >= 0) {
                r = take_data(c, p, n);
        }
        return r;
}

/* ---- to the client ---- */

static int channel_send(struct stream_client *c, unsigned channel, const void *data, size_t n) {
        const uint8_t head = (uint8_t)channel;
        const char *p = data;

        do {
                size_t part = MIN(n, (size_t)MESSAGE_MAX);
                int r = websocket_send(c->websocket, &head, 1, p, part);

                if (r < 0)
                        return r;
                p += part;
                n -= part;
        } while (n > 0);
        return 0;
}

static int begin_forward(struct stream_client *c) {
        for (unsigned i = 0; i < c->setup.port_count; i++) {
                const uint8_t port[2] = {c->ports[i] & 0xff, c->ports[i] >> 8};
                int r = channel_send(c, 2 * i, port, sizeof(port));

                if (r < 0)
                        return r;
                r = channel_send(c, 2 * i + 1, port, sizeof(port));
                if (r < 0)
                        return r;
                r = c->events->on_open(i + 1, c->ports[i], c->userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* An empty message says that the connection is there, as Kubernetes' server does. */
static int channels_begin(struct stream_client *c) {
        if (is_forward(c))
                return begin_forward(c);
        return channel_send(c,
                        c->setup.streams & CLIENT_STDOUT   ? CHANNEL_STDOUT
                        : c->setup.streams & CLIENT_STDERR ? CHANNEL_STDERR
                                                           : CHANNEL_STATUS,
                        "", 0);
}

static int channels_output(struct stream_client *c, bool is_stderr, const void *data, size_t n) {
        return channel_send(c, is_stderr ? CHANNEL_STDERR : CHANNEL_STDOUT, data, n);
}

static int channels_finish(struct stream_client *c, const char *status) {
        return channel_send(c, CHANNEL_STATUS, status, strlen(status));
}

static int channels_data(struct stream_client *c, uint32_t id, const void *data, size_t n) {
        return channel_send(c, 2 * (id - 1), data, n);
}

/* v4 cannot close one channel: the connection ends with the last one. */
static int channels_end(struct stream_client *c, uint32_t id) {
        const uint8_t channel = (uint8_t)(2 * (id - 1));
        uint64_t bit = UINT64_C(1) << (id - 1), all = UINT64_MAX >> (64 - c->setup.port_count);
        int r;

        if (c->finished & bit)
                return 0;
        c->finished |= bit;
        if (is_v5(c)) {
                r = channel_send(c, CHANNEL_CLOSE, &channel, 1);
                if (r < 0)
                        return r;
        }
        return c->finished == all && (!is_v5(c) || c->ended == all) ? stream_client_close(c) : 0;
}

static int channels_refuse(struct stream_client *c, uint32_t id, const char *why) {
        int r = why ? channel_send(c, 2 * (id - 1) + 1, why, strlen(why)) : 0;

        if (r < 0)
                return r;
        c->ended |= UINT64_C(1) << (id - 1);
        return channels_end(c, id);
}

const struct client_family channel_family = {.begin = channels_begin,
                .output = channels_output,
                .finish = channels_finish,
                .data = channels_data,
                .end = channels_end,
                .refuse = channels_refuse};
