/* Raft messages as protobuf (proto/peer.proto), written and read without copies that are not
 * needed. */
#pragma once

#include "kstored/raft/raft.h"
#include "kstored/state/wire.h"
#include "proto/peer.pb-c.h"

enum {
        PEER_PROTOCOL = 1,
        PEER_MESSAGE_SIZE_MAX = 32 * 1024 * 1024, /* of one envelope */
        PEER_SNAPSHOT_PIECE = 512 * 1024,
};

struct peer_hello {
        uint64_t cluster_id;
        uint64_t from;
        uint64_t to;
        uint64_t config_index;
        bool fresh;
};

/* Writes a Hello as this field. */
void peer_wire_hello(struct buf *b, unsigned field, const struct peer_hello *h);
/* Writes ids of members as this field. */
void peer_wire_heard(struct buf *b, unsigned field, const uint64_t *ids, size_t n);
/* Writes where terms begin as Entries of this field. */
void peer_wire_terms(struct buf *b, unsigned field, const struct raft_term_start *v, size_t n);
/* Writes a Message as this field; b->failed when there was no memory. */
void peer_wire_message(struct buf *b, unsigned field, const struct raft_message *m);
/* The message with entries of its own, all of which peer_message_done() drops. -EBADMSG when its
 * type or an entry's is invalid or it has more entries than a leader sends, -ENOMEM. */
int peer_message_read(const Keelsonpeer__Message *wire, struct raft_message *ret);
void peer_message_done(struct raft_message *m);
