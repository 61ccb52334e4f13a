/* Streams: the list of a connection, and a ring of pieces that h2-session takes as it may send. A
 * body is shared (one event for many watchers), so a piece brings its own few bytes before it. */
#include "lib/h2-internal.h"

enum { RING_KEPT = 64 };

void h2_stream_link(struct h2_stream *s, struct h2_connection *c, int32_t id) {
        s->connection = c;
        s->id = id;
        s->link = &c->streams;
        s->next = c->streams;
        if (s->next)
                s->next->link = &s->next;
        c->streams = s;
        c->stream_count++;
}

void h2_stream_unlink(struct h2_stream *s) {
        struct h2_connection *c = s->connection;

        if (c->cursor == s)
                c->cursor = s->next;
        *s->link = s->next;
        if (s->next)
                s->next->link = s->link;
        s->link = NULL;
        c->stream_count--;
}

static void drained_unlink(struct h2_stream *s) {
        if (!s->drained_link)
                return;
        *s->drained_link = s->drained_next;
        if (s->drained_next)
                s->drained_next->drained_link = s->drained_link;
        s->drained_link = NULL;
}

void h2_stream_note_drained(struct h2_stream *s) {
        struct h2_connection *c = s->connection;

        if (s->drained_link)
                return;
        s->drained_next = c->drained;
        s->drained_link = &c->drained;
        if (s->drained_next)
                s->drained_next->drained_link = &s->drained_next;
        c->drained = s;
}

static void account(struct h2_stream *s, size_t less) {
        s->queued -= less;
        if (s->connection)
                s->connection->queued -= less;
}

static size_t piece_size(const struct h2_piece *piece) {
        return piece->head_size + piece->body->size;
}

static void pop(struct h2_stream *s) {
        bytes_unref(s->ring[s->head].body);
        s->head = (s->head + 1) % s->ring_size;
        s->count--;
        s->offset = 0;
        if (s->count == 0 && s->ring_size > RING_KEPT) {
                free(s->ring);
                s->ring = NULL;
                s->ring_size = s->head = 0;
        }
}

void h2_stream_done(struct h2_stream *s) {
        assert(!s->link);
        drained_unlink(s);
        account(s, s->queued);
        while (s->count > 0)
                pop(s);
        if (s->ring != s->few)
                free(s->ring);
}

/* Takes a reference to the body. */
static int push(struct h2_stream *s, struct h2_piece piece) {
        if (!s->ring) {
                s->ring = s->few;
                s->ring_size = ELEMENTS(s->few);
        } else if (s->count == s->ring_size) {
                size_t size = 2 * s->ring_size;
                struct h2_piece *ring = reallocarray(NULL, size, sizeof(*ring));

                if (!ring)
                        return -ENOMEM;
                for (size_t i = 0; i < s->count; i++)
                        ring[i] = s->ring[(s->head + i) % s->ring_size];
                if (s->ring != s->few)
                        free(s->ring);
                s->ring = ring;
                s->ring_size = size;
                s->head = 0;
        }
        bytes_ref(piece.body);
        s->ring[(s->head + s->count++) % s->ring_size] = piece;
        return 0;
}

static void resume(struct h2_stream *s) {
        struct h2_connection *c = s->connection;

        if (!c || c->state != H2_OPEN)
                return;
        if (s->waits)
                h2_session_resume(s);
        s->waits = false;
        h2_connection_dirty(c);
}

static size_t queued_max(const struct h2_stream *s) {
        size_t max = s->connection ? h2_terms_of(s->connection)->queued_max : 0;

        return max ? max : H2_QUEUED_MAX;
}

int h2_stream_send(struct h2_stream *s, const void *head, size_t head_size, struct bytes *body) {
        struct h2_piece piece = {.body = body, .head_size = (uint8_t)head_size};
        int r;

        assert(!s->ending && head_size <= H2_HEAD_MAX);
        if (body->size > UINT32_MAX)
                return -EMSGSIZE;
        if (s->count > 0 && s->queued + body->size > queued_max(s))
                return -ENOBUFS;
        if (head_size > 0)
                memcpy(piece.head, head, head_size);
        r = push(s, piece);
        if (r < 0)
                return r;
        s->queued += piece_size(&piece);
        if (s->connection)
                s->connection->queued += piece_size(&piece);
        resume(s);
        return 0;
}

void h2_stream_end(struct h2_stream *s) {
        s->ending = true;
        resume(s);
}

void h2_stream_drop_unsent(struct h2_stream *s) {
        while (s->count > (s->offset > 0 ? 1 : 0)) {
                size_t last = (s->head + s->count - 1) % s->ring_size;

                account(s, piece_size(&s->ring[last]));
                bytes_unref(s->ring[last].body);
                s->count--;
        }
}

size_t h2_stream_fill(struct h2_stream *s, uint8_t *out, size_t n) {
        size_t filled = 0;

        while (s->count > 0 && filled < n) {
                const struct h2_piece *piece = &s->ring[s->head];
                const size_t size = piece->body->size;
                size_t done, part;

                while (s->offset < piece->head_size && filled < n)
                        out[filled++] = piece->head[s->offset++];
                if (s->offset < piece->head_size)
                        break;
                done = s->offset - piece->head_size;
                part = MIN(n - filled, size - done);
                memcpy(out + filled, piece->body->data + done, part);
                filled += part;
                s->offset += part;
                if (done + part == size)
                        pop(s);
        }
        account(s, filled);
        s->taken += filled;
        return filled;
}
