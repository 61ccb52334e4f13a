/* Raft messages as protobuf. */
#include "kstored/replica/peer-wire.h"

void peer_wire_hello(struct buf *b, unsigned field, const struct peer_hello *h) {
        size_t mark = wire_begin(b, field);

        wire_uint(b, 1, h->cluster_id);
        wire_uint(b, 2, h->from);
        wire_uint(b, 3, h->to);
        wire_uint(b, 4, PEER_PROTOCOL);
        wire_uint(b, 5, h->config_index);
        wire_bool(b, 6, h->fresh);
        wire_end(b, mark);
}

void peer_wire_heard(struct buf *b, unsigned field, const uint64_t *ids, size_t n) {
        for (size_t i = 0; i < n; i++)
                wire_uint(b, field, ids[i]);
}

void peer_wire_terms(struct buf *b, unsigned field, const struct raft_term_start *v, size_t n) {
        for (size_t i = 0; i < n; i++) {
                size_t mark = wire_begin(b, field);

                wire_uint(b, 1, v[i].index);
                wire_uint(b, 2, v[i].term);
                wire_end(b, mark);
        }
}

static size_t uint_size(uint64_t v) {
        return v ? 1 + wire_varint_size(v) : 0;
}

/* The size is known before, so that the bytes of entries need not move. */
static size_t entry_size(const struct raft_entry *e) {
        return uint_size(e->index) + uint_size(e->term) + uint_size(e->type) +
               (e->size ? 1 + wire_varint_size(e->size) + e->size : 0);
}

static size_t message_size(const struct raft_message *m) {
        size_t n = uint_size(m->type) + uint_size(m->to) + uint_size(m->from) + uint_size(m->term) +
                   uint_size(m->log_index) + uint_size(m->log_term) + uint_size(m->commit) +
                   (m->reject ? 2 : 0) + uint_size(m->hint_index) + uint_size(m->hint_term) +
                   uint_size(m->context);

        for (size_t i = 0; i < m->entry_count; i++) {
                size_t one = entry_size(m->entries[i]);

                n += 1 + wire_varint_size(one) + one;
        }
        return n;
}

void peer_wire_message(struct buf *b, unsigned field, const struct raft_message *m) {
        wire_message(b, field, message_size(m));
        wire_uint(b, 1, m->type);
        wire_uint(b, 2, m->to);
        wire_uint(b, 3, m->from);
        wire_uint(b, 4, m->term);
        wire_uint(b, 5, m->log_index);
        wire_uint(b, 6, m->log_term);
        wire_uint(b, 7, m->commit);
        wire_bool(b, 8, m->reject);
        wire_uint(b, 9, m->hint_index);
        wire_uint(b, 10, m->hint_term);
        wire_uint(b, 11, m->context);
        for (size_t i = 0; i < m->entry_count; i++) {
                const struct raft_entry *e = m->entries[i];

                wire_message(b, 12, entry_size(e));
                wire_uint(b, 1, e->index);
                wire_uint(b, 2, e->term);
                wire_uint(b, 3, e->type);
                wire_bytes(b, 4, e->data, e->size);
        }
}

void peer_message_done(struct raft_message *m) {
        for (size_t i = 0; i < m->entry_count; i++)
                raft_entry_unref(m->entries[i]);
        free(m->entries);
        *m = (struct raft_message){0};
}

int peer_message_read(const Keelsonpeer__Message *w, struct raft_message *ret) {
        struct raft_message m = {.type = w->type,
                        .to = w->to,
                        .from = w->from,
                        .term = w->term,
                        .log_index = w->log_index,
                        .log_term = w->log_term,
                        .commit = w->commit,
                        .reject = w->reject,
                        .hint_index = w->hint_index,
                        .hint_term = w->hint_term,
                        .context = w->context};
        int r = 0;

        if (w->type < RAFT_MSG_PRE_VOTE || w->type > RAFT_MSG_SNAPSHOT_STATUS ||
                        w->n_entries > RAFT_APPEND_ENTRIES_MAX)
                return -EBADMSG;
        if (w->n_entries > 0) {
                m.entries = malloc(w->n_entries * sizeof(m.entries[0]));
                if (!m.entries)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < w->n_entries && r >= 0; i++) {
                const Keelsonpeer__Entry *e = w->entries[i];

                if (e->type > RAFT_ENTRY_CONFIG) {
                        r = -EBADMSG;
                        break;
                }
                m.entries[i] = raft_entry_new(
                                e->index, e->term, e->type, e->data.data, e->data.len);
                if (m.entries[i])
                        m.entry_count++;
                else
                        r = -ENOMEM;
        }
        if (r < 0) {
                peer_message_done(&m);
                return r;
        }
        *ret = m;
        return 0;
}
