/* The common part, and the rows of the two families: channels.c (WebSocket messages) and
 * spdy-client.c (SPDY streams, plain or inside of WebSocket messages). */
#include "kapid/streams/client-internal.h"

int stream_client_new(struct stream_client **ret, const struct client_setup *setup,
                const struct client_events *events, void *userdata) {
        _cleanup_(stream_client_freep) struct stream_client *c = calloc(1, sizeof(*c));
        bool spdy = stream_protocol_is_spdy(setup->protocol);
        int r;

        if (!c)
                return -ENOMEM;
        assert(setup->port_count <= CLIENT_PORTS_MAX);
        c->setup = *setup;
        c->events = events;
        c->userdata = userdata;
        c->channel = -1;
        for (size_t i = 0; i < setup->port_count; i++)
                c->ports[i] = setup->ports[i];
        c->setup.ports = NULL;
        c->family = spdy ? &spdy_family : &channel_family;
        if (spdy) {
                r = spdy_new(&c->spdy, &spdy_client_events, c);
                if (r < 0)
                        return r;
        }
        if (stream_protocol_is_websocket(setup->protocol)) {
                r = websocket_new(&c->websocket, WEBSOCKET_SERVER,
                                spdy ? spdy_client_on_piece : channels_on_piece, c);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(c);
        return 0;
}

struct stream_client *stream_client_free(struct stream_client *c) {
        struct spdy_forward *f;

        if (!c)
                return NULL;
        while ((f = LIST_FIRST(&c->forwards))) {
                LIST_REMOVE(f, entry);
                free(f);
        }
        spdy_free(c->spdy);
        websocket_free(c->websocket);
        return mfree(c);
}

int stream_client_begin(struct stream_client *c) {
        return c->family->begin ? c->family->begin(c) : 0;
}

int stream_client_feed(struct stream_client *c, const void *data, size_t n) {
        return c->websocket ? websocket_feed(c->websocket, data, n) : spdy_feed(c->spdy, data, n);
}

bool stream_client_is_ready(const struct stream_client *c) {
        return !c->family->is_ready || c->family->is_ready(c);
}

bool stream_client_has_ended(const struct stream_client *c) {
        return c->websocket ? websocket_has_ended(c->websocket) : c->goaway;
}

int stream_client_stdout(struct stream_client *c, const void *data, size_t n) {
        return c->setup.streams & CLIENT_STDOUT ? c->family->output(c, false, data, n) : 0;
}

int stream_client_stderr(struct stream_client *c, const void *data, size_t n) {
        return c->setup.streams & CLIENT_STDERR ? c->family->output(c, true, data, n) : 0;
}

int stream_client_finish(struct stream_client *c, const char *status) {
        int r = c->family->finish(c, status);

        return r < 0 ? r : stream_client_close(c);
}

int stream_client_data(struct stream_client *c, uint32_t id, const void *data, size_t n) {
        return c->family->data(c, id, data, n);
}

int stream_client_end(struct stream_client *c, uint32_t id) {
        return c->family->end(c, id);
}

int stream_client_refuse(struct stream_client *c, uint32_t id, const char *why) {
        return c->family->refuse(c, id, why);
}

int stream_client_close(struct stream_client *c) {
        int r = 0;

        if (c->closed)
                return 0;
        c->closed = true;
        if (c->spdy)
                r = spdy_goaway(c->spdy);
        if (r < 0 || !c->websocket)
                return r;
        r = c->spdy ? spdy_client_flush(c) : 0;
        return r < 0 ? r : websocket_close(c->websocket, 1000);
}

int stream_client_ping(struct stream_client *c) {
        return c->websocket && !c->closed ? websocket_ping(c->websocket) : 0;
}

struct buf *stream_client_output(struct stream_client *c) {
        return c->websocket ? websocket_output(c->websocket) : spdy_output(c->spdy);
}

size_t stream_client_message_size(struct stream_client *c, size_t offset) {
        const struct buf *out = stream_client_output(c);
        size_t n = out->size - offset;

        return c->websocket ? websocket_frame_size(out->data + offset, n) : n;
}
