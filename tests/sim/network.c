/* Messages between members. They are written and read as on the wire; they get lost, doubled and
 * overtake each other, which the program's own connections do only when they break. */
#include "kstored/replica/peer-wire.h"
#include "tests/sim/sim.h"

bool network_reaches(const struct world *w, const struct node *a, const struct node *b) {
        return !w->network.cut[a->number][b->number];
}

static void drop_bytes(void *data) {
        struct buf *b = data;

        buf_done(b);
        free(b);
}

static void arrive(struct world *w, struct node *n, void *data, uint64_t from) {
        struct buf *b = data;
        Keelsonpeer__Envelope *e;
        struct raft_message m = {0};

        if (w->network.cut[from][n->number]) {
                drop_bytes(b);
                return;
        }
        e = keelsonpeer__envelope__unpack(NULL, b->size, (const uint8_t *)b->data);
        assert(e && e->n_messages == 1);
        assert(peer_message_read(e->messages[0], &m) >= 0);
        for (size_t i = 0; i < e->n_heard && !n->replica->fresh; i++)
                (void)replica_hear(n->replica, e->heard[i]);
        keelsonpeer__envelope__free_unpacked(e, NULL);
        drop_bytes(b);
        n->turning = true;
        replica_step(n->replica, &m);
        n->turning = false;
        peer_message_done(&m);
        node_turn(w, n);
}

static struct buf *encode(const struct node *from, const struct raft_message *m) {
        struct buf *b = calloc(1, sizeof(*b));

        assert(b);
        peer_wire_message(b, 2, m);
        peer_wire_heard(b, 3, from->replica->state->heard, from->replica->state->heard_count);
        assert(!b->failed);
        return b;
}

void network_send(struct world *w, struct node *from, const struct raft_message *m) {
        struct node *to = node_of(w, m->to);
        bool doubled = below(w, 100) < w->network.doubled_percent;
        /* The one message that has to come at most once, and does, on the program's streams. */
        unsigned copies = doubled && m->type != RAFT_MSG_PROPOSE ? 2 : 1;

        if (!to || to->phase != NODE_UP || !network_reaches(w, from, to))
                return;
        for (unsigned i = 0; i < copies; i++)
                if (w->healing || below(w, 100) >= w->network.loss_percent)
                        after(w, delay_us(w, 50, w->network.usual_us), to, arrive, encode(from, m),
                                        drop_bytes, from->number);
}
