/* Whole states for members that fell behind, in simulated time, in place of kstored/snapshot/. */
#include "tests/sim/sim.h"

struct sending {
        uint64_t to;
        uint64_t index, term;
        bool flushed;
        bool under_way;
};

struct parcel {
        struct buf image;
        struct raft_message message;
        struct raft_term_start term_starts[TERM_STARTS_MAX];
        size_t term_start_count;
        uint64_t from_number, from_life;
};

static void parcel_drop(void *data) {
        struct parcel *p = data;

        buf_done(&p->image);
        free(p);
}

static void tell_core(struct world *w, struct node *n, uint64_t to, uint64_t index, bool failed) {
        struct raft_message m = {.type = RAFT_MSG_SNAPSHOT_STATUS,
                        .from = to,
                        .to = n->id,
                        .log_index = index,
                        .reject = failed};

        replica_step(n->replica, &m);
}

static void finish(struct world *w, struct node *n, bool failed) {
        struct sending *x = TAKE_PTR(n->sending);

        n->replica->keep_after = 0;
        tell_core(w, n, x->to, x->index, failed);
        free(x);
}

/* The answer, or that there is none in time. */
static void on_result(struct world *w, struct node *n, void *data, uint64_t number) {
        struct sending *x = n->sending;

        if (!x || !x->under_way || x->index != number >> 1)
                return;
        finish(w, n, number & 1);
        node_turn(w, n);
}

static void answer(struct world *w, uint64_t from_number, uint64_t from_life, uint64_t index,
                bool failed) {
        struct node *n = &w->nodes[from_number];

        if (n->phase == NODE_UP && n->life == from_life)
                after(w, delay_us(w, 100, w->network.usual_us), n, on_result, NULL, NULL,
                                index << 1 | failed);
}

static void on_parcel(struct world *w, struct node *n, void *data, uint64_t number) {
        struct parcel *p = data;

        if (w->network.cut[p->from_number][n->number] || n->has_received) {
                parcel_drop(p);
                return;
        }
        n->received = p->image;
        n->received_message = p->message;
        memcpy(n->received_starts, p->term_starts, sizeof(n->received_starts));
        n->received_start_count = p->term_start_count;
        n->received_from_life = p->from_life;
        n->received_message.context = p->from_number;
        n->has_received = true;
        free(p);
        node_turn(w, n);
}

static void dispatch(struct world *w, struct node *n, struct sending *x) {
        struct parcel *p = calloc(1, sizeof(*p));
        struct node *to = node_of(w, x->to);
        uint64_t numbers[DISK_NUMBERS];
        struct raft_status status;

        assert(p);
        raft_get_status(n->replica->raft, &status);
        (void)sim_disk_image(n->disk, &p->image);
        sim_image_numbers(&p->image, numbers);
        x->index = numbers[DISK_APPLIED];
        x->term = numbers[DISK_APPLIED_TERM];
        p->message = (struct raft_message){.type = RAFT_MSG_SNAPSHOT,
                        .from = n->id,
                        .to = x->to,
                        .term = status.term,
                        .log_index = x->index,
                        .log_term = x->term};
        p->term_start_count = n->replica->state->term_start_count;
        memcpy(p->term_starts, n->replica->state->term_starts, sizeof(p->term_starts));
        p->from_number = n->number;
        p->from_life = n->life;
        x->under_way = true;
        n->replica->keep_after = x->index;
        trace(w, "member %u sends %llx the state of index %llu", n->number,
                        (unsigned long long)x->to, (unsigned long long)x->index);
        if (to && to->phase == NODE_UP)
                after(w, delay_us(w, 5 * MS, 200 * MS), to, on_parcel, p, parcel_drop, 0);
        else
                parcel_drop(p);
        /* A connection that breaks or stalls ends it. */
        after(w, 3 * SECOND, n, on_result, NULL, NULL, x->index << 1 | 1);
}

void snapshot_wanted(struct node *n, uint64_t to) {
        struct sending *x;

        if (n->sending) {
                if (n->sending->to != to)
                        tell_core(n->world, n, to, 0, true);
                return;
        }
        x = calloc(1, sizeof(*x));
        assert(x);
        x->to = to;
        n->sending = x;
}

static void install(struct world *w, struct node *n) {
        uint64_t from = n->received_message.context, from_life = n->received_from_life;
        uint64_t index = n->received_message.log_index;
        struct raft_message m = n->received_message;
        int r;

        m.context = 0;
        buf_done(&n->device.incoming);
        n->device.incoming = n->received;
        n->received = (struct buf){0};
        n->has_received = false;
        n->turning = true;
        if (!replica_check_terms(n->replica, &m, n->received_starts, n->received_start_count)) {
                n->turning = false;
                return;
        }
        r = replica_install(n->replica, "/nonexistent/state", &m);
        n->turning = false;
        if (n->dying)
                return;
        if (r == -EAGAIN) { /* in a later turn */
                n->received = n->device.incoming;
                n->device.incoming = (struct buf){0};
                n->has_received = true;
                return;
        }
        if (r < 0) {
                fail(w, "member %u cannot take a state: %s", n->number, strerror(-r));
                return;
        }
        if (n->replica->state->applied > n->checked_index) {
                w->count.snapshots++;
                n->checked_index = n->replica->state->applied;
                n->checked_rev = mvcc_rev(n->replica->state->kv.mvcc);
                trace(w, "member %u took the state of index %llu", n->number,
                                (unsigned long long)n->checked_index);
                story_digest(w, n, n->checked_index, node_digest(n));
        }
        answer(w, from, from_life, index, false);
}

void snapshot_turn(struct world *w, struct node *n) {
        struct sending *x;

        if (n->snapshot_for) {
                snapshot_wanted(n, n->snapshot_for);
                n->snapshot_for = 0;
        }
        x = n->sending;
        if (x && !x->under_way && replica_flush(n->replica))
                dispatch(w, n, x);
        else if (x && !replica_is_leader(n->replica))
                finish(w, n, true);
        if (n->has_received && replica_idle(n->replica)) {
                install(w, n);
                if (!w->failure && !n->has_received)
                        node_turn(w, n);
        }
}

void snapshot_forget(struct node *n) {
        free(TAKE_PTR(n->sending));
        buf_done(&n->received);
        n->received = (struct buf){0};
        n->has_received = false;
}
