/* wslay reads from and writes to buffers here. Without its own buffering (RFC 6455 section 5.4 lets
 * a message be split anyhow), so only control frames are held, which have at most 125 bytes. */
#include "lib/websocket.h"

#include <wslay/wslay.h>

#include "lib/crypto.h"
#include "lib/random.h"

#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 section 1.3 */

struct websocket {
        wslay_event_context_ptr wslay;
        websocket_func on_piece;
        void *userdata;
        const uint8_t *in; /* during a feed */
        size_t in_size;
        struct buf out;
        bool in_message, control, last; /* of the frame that is read */
        bool first;                     /* nothing of the message was passed on */
        int failure;                    /* of on_piece */
};

static ssize_t on_recv(
                wslay_event_context_ptr ctx, uint8_t *to, size_t n, int flags, void *userdata) {
        struct websocket *w = userdata;

        if (w->in_size == 0 || w->failure < 0) {
                wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
                return -1;
        }
        n = MIN(n, w->in_size);
        memcpy(to, w->in, n);
        w->in += n;
        w->in_size -= n;
        return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t n, int flags,
                void *userdata) {
        struct websocket *w = userdata;

        if (buf_append(&w->out, data, n) >= 0)
                return (ssize_t)n;
        wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
}

static int on_mask(wslay_event_context_ptr ctx, uint8_t *to, size_t n, void *userdata) {
        random_bytes(to, n);
        return 0;
}

static void pass_on(struct websocket *w, const void *data, size_t n, bool last) {
        unsigned flags = (w->first ? WEBSOCKET_FIRST : 0) | (last ? WEBSOCKET_LAST : 0);

        if (w->failure < 0)
                return;
        w->first = false;
        w->failure = MIN(w->on_piece(data, n, flags, w->userdata), 0);
}

static void on_frame(wslay_event_context_ptr ctx,
                const struct wslay_event_on_frame_recv_start_arg *arg, void *userdata) {
        struct websocket *w = userdata;

        w->control = wslay_is_ctrl_frame(arg->opcode);
        if (w->control)
                return;
        w->last = arg->fin;
        if (!w->in_message)
                w->first = true;
        w->in_message = true;
}

static void on_chunk(wslay_event_context_ptr ctx,
                const struct wslay_event_on_frame_recv_chunk_arg *arg, void *userdata) {
        struct websocket *w = userdata;

        if (!w->control && arg->data_length > 0)
                pass_on(w, arg->data, arg->data_length, /* last= */ false);
}

static void on_frame_end(wslay_event_context_ptr ctx, void *userdata) {
        struct websocket *w = userdata;

        if (w->control || !w->last)
                return;
        pass_on(w, "", 0, /* last= */ true);
        w->in_message = false;
}

int websocket_new(struct websocket **ret, enum websocket_role role, websocket_func on_piece,
                void *userdata) {
        const struct wslay_event_callbacks callbacks = {.recv_callback = on_recv,
                        .send_callback = on_send,
                        .genmask_callback = on_mask,
                        .on_frame_recv_start_callback = on_frame,
                        .on_frame_recv_chunk_callback = on_chunk,
                        .on_frame_recv_end_callback = on_frame_end};
        _cleanup_(websocket_freep) struct websocket *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        w->on_piece = on_piece;
        w->userdata = userdata;
        r = role == WEBSOCKET_SERVER ? wslay_event_context_server_init(&w->wslay, &callbacks, w)
                                     : wslay_event_context_client_init(&w->wslay, &callbacks, w);
        if (r != 0)
                return -ENOMEM;
        wslay_event_config_set_no_buffering(w->wslay, 1);
        wslay_event_config_set_max_recv_msg_length(w->wslay, INT64_MAX);
        *ret = TAKE_PTR(w);
        return 0;
}

struct websocket *websocket_free(struct websocket *w) {
        if (!w)
                return NULL;
        if (w->wslay)
                wslay_event_context_free(w->wslay);
        buf_done(&w->out);
        return mfree(w);
}

static int send_queued(struct websocket *w) {
        int r = wslay_event_send(w->wslay);

        return r == 0 ? 0 : r == WSLAY_ERR_NOMEM || w->out.failed ? -ENOMEM : -EPIPE;
}

int websocket_feed(struct websocket *w, const void *data, size_t n) {
        int r;

        w->in = data;
        w->in_size = n;
        r = wslay_event_recv(w->wslay);
        w->in = NULL;
        w->in_size = 0;
        if (w->failure < 0)
                return w->failure;
        if (r != 0)
                return r == WSLAY_ERR_NOMEM ? -ENOMEM : -EPROTO;
        r = send_queued(w); /* pongs, and the answer to a close */
        if (r < 0)
                return r;
        /* wslay stops reading at a broken frame: it has queued a close that says why. */
        if (!wslay_event_get_read_enabled(w->wslay) && !websocket_has_ended(w))
                return -EPROTO;
        return 0;
}

int websocket_send(struct websocket *w, const void *head, size_t head_size, const void *data,
                size_t n) {
        _cleanup_free_ uint8_t *joined = malloc(head_size + n + 1);
        struct wslay_event_msg message = {.opcode = WSLAY_BINARY_FRAME};
        int r;

        if (!joined)
                return -ENOMEM;
        if (head_size > 0)
                memcpy(joined, head, head_size);
        if (n > 0)
                memcpy(joined + head_size, data, n);
        message.msg = joined;
        message.msg_length = head_size + n;
        r = wslay_event_queue_msg(w->wslay, &message);
        if (r != 0)
                return r == WSLAY_ERR_NOMEM ? -ENOMEM : -EPIPE;
        return send_queued(w);
}

int websocket_ping(struct websocket *w) {
        const struct wslay_event_msg message = {.opcode = WSLAY_PING};

        if (wslay_event_queue_msg(w->wslay, &message) != 0)
                return -EPIPE;
        return send_queued(w);
}

int websocket_close(struct websocket *w, uint16_t code) {
        if (wslay_event_queue_close(w->wslay, code, NULL, 0) != 0)
                return -EPIPE;
        return send_queued(w);
}

bool websocket_has_ended(const struct websocket *w) {
        return wslay_event_get_close_received(w->wslay);
}

struct buf *websocket_output(struct websocket *w) {
        return &w->out;
}

size_t websocket_frame_size(const void *data, size_t n) {
        const uint8_t *p = data;
        size_t head = n < 2 ? 0 : (p[1] & 0x7f) == 126 ? 4 : (p[1] & 0x7f) == 127 ? 10 : 2;
        uint64_t size = 0;

        if (head == 0 || n < head)
                return n;
        if (head == 2)
                return head + (p[1] & 0x7f);
        for (size_t i = 2; i < head; i++)
                size = size << 8 | p[i];
        return size > SIZE_MAX - head ? n : head + size;
}

int websocket_make_key(char ret[static WEBSOCKET_KEY_SIZE]) {
        uint8_t bytes[16];
        _cleanup_free_ char *text = NULL;

        random_bytes(bytes, sizeof(bytes));
        text = base64_encode(bytes, sizeof(bytes));
        if (!text)
                return -ENOMEM;
        assert(strlen(text) + 1 == WEBSOCKET_KEY_SIZE);
        memcpy(ret, text, WEBSOCKET_KEY_SIZE);
        return 0;
}

int websocket_accept(const char *key, char ret[static WEBSOCKET_ACCEPT_SIZE]) {
        _cleanup_free_ char *joined = NULL, *text = NULL;
        _cleanup_free_ void *bytes = NULL;
        uint8_t digest[SHA1_SIZE];
        size_t n;

        if (strlen(key) + 1 != WEBSOCKET_KEY_SIZE || base64_decode(key, &bytes, &n) < 0 || n != 16)
                return -EINVAL;
        joined = strformat("%s" ACCEPT_GUID, key);
        if (!joined)
                return -ENOMEM;
        sha1_bytes(joined, strlen(joined), digest);
        text = base64_encode(digest, sizeof(digest));
        if (!text)
                return -ENOMEM;
        assert(strlen(text) + 1 == WEBSOCKET_ACCEPT_SIZE);
        memcpy(ret, text, WEBSOCKET_ACCEPT_SIZE);
        return 0;
}
