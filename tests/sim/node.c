/* One member, in the place of server.c. Its writes and ticks take simulated time, and its
 * end may come between any two things it does. */
#include "kstored/wal/internal.h"
#include "tests/sim/sim.h"

uint64_t node_now_ms(const struct node *n) {
        uint64_t passed = n->world->now_us - n->clock_since_us;

        return (n->clock_base_us + passed * n->clock_rate_ppm / 1000000) / 1000;
}

void node_clock_set(struct node *n, uint64_t rate_ppm, uint64_t jump_us) {
        uint64_t passed = n->world->now_us - n->clock_since_us;

        n->clock_base_us += passed * n->clock_rate_ppm / 1000000 + jump_us;
        n->clock_since_us = n->world->now_us;
        n->clock_rate_ppm = rate_ppm;
}

bool node_leads(const struct node *n) {
        return n->phase == NODE_UP && replica_is_leader(n->replica);
}

/* ---- writing */

/* From here on it relies on these: they must be found again after every crash. */
static void note_promise(struct node *n, const struct wal_batch *b) {
        n->promised_block = n->replica->wal->synced;
        n->promised_term = b->term;
        n->promised_vote = b->vote;
}

void node_forget_promises(struct node *n) {
        n->promised_block = n->promised_term = n->promised_vote = 0;
}

static void on_saved(struct world *w, struct node *n, void *data, uint64_t number) {
        const struct wal_batch *b = TAKE_PTR(n->save);
        int result = n->disk_fails ? -EIO : 0;

        n->disk_fails = false;
        n->device.log.full = w->now_us < n->disk_full_until_us;
        if (result >= 0)
                result = wal_write(n->replica->wal, b);
        if (result < 0)
                trace(w, "member %u: its save failed: %s", n->number, strerror(-result));
        else
                note_promise(n, b);
        n->turning = true;
        replica_saved(n->replica, result);
        n->turning = false;
        node_turn(w, n);
}

static void op_save(void *userdata, const struct wal_batch *b) {
        struct node *n = userdata;
        struct world *w = n->world;

        n->save = b;
        after(w, delay_us(w, 100, 4 * MS) + n->disk_slow_us, n, on_saved, NULL, NULL, 0);
}

static void on_flushed(struct world *w, struct node *n, void *data, uint64_t number) {
        const struct disk_batch *b = TAKE_PTR(n->flush);
        int result = sim_disk_end(n->disk, b, w->now_us < n->disk_full_until_us ? -ENOSPC : 0);
        bool settled = result >= 0 && one_in(w, 4) && disk_checkpoint(n->disk) > 0;

        if (result >= 0 && b->sync)
                (void)disk_checkpoint(n->disk); /* as durable, if not yet in its place */

        if (one_in(w, 3))
                (void)wal_sync_mark(n->replica->wal);
        n->turning = true;
        replica_flushed(n->replica, result, settled);
        n->turning = false;
        node_turn(w, n);
}

static void op_flush(void *userdata, const struct disk_batch *b) {
        struct node *n = userdata;
        struct world *w = n->world;

        n->flush = b;
        sim_disk_begin(n->disk, b);
        after(w, delay_us(w, 200, 2 * MS) + n->disk_slow_us, n, on_flushed, NULL, NULL, 0);
}

/* The end comes somewhere in the midst of a save. */
static void tear_save(struct world *w, struct node *n) {
        const struct wal_batch *b = TAKE_PTR(n->save);

        if (!b || one_in(w, 4))
                return;
        w->count.torn++;
        n->device.log.ending = true;
        n->device.log.budget = below(w, one_in(w, 2) ? 16 * 1024 : 256 * 1024);
        (void)wal_write(n->replica->wal, b);
}

/* ---- operations of the replica */

/* Now and then the process ends in the midst of a turn, half of which is done. */
static void maybe_die(struct node *n) {
        struct world *w = n->world;

        if (!w->calm && !w->healing && !n->dying && one_in(w, 20000))
                node_crash(w, n, one_in(w, 2) ? CRASH_KILL : CRASH_POWER);
}

static void op_send(void *userdata, const struct raft_message *m) {
        struct node *n = userdata;

        maybe_die(n);
        if (n->dying)
                return;
        if (m->type == RAFT_MSG_SNAPSHOT)
                n->snapshot_for = m->to;
        else
                network_send(n->world, n, m);
}

static struct waiting *waiting_find(struct node *n, uint64_t id) {
        for (size_t i = 0; i < n->waiting_count; i++)
                if (n->waiting[i].id == id)
                        return &n->waiting[i];
        return NULL;
}

static bool op_waiting(void *userdata, uint64_t id) {
        return waiting_find(userdata, id);
}

static void op_outcome(void *userdata, uint64_t id, const struct outcome *o) {
        struct node *n = userdata;
        struct waiting *x = waiting_find(n, id), done;

        maybe_die(n);
        if (!x || n->dying)
                return;
        done = *x;
        *x = n->waiting[--n->waiting_count];
        done.done(n->world, n, done.data, o);
}

static void op_read_allowed(void *userdata, const struct raft_read *read) {
        struct node *n = userdata;

        for (size_t i = 0; i < n->barrier_count; i++)
                if (n->barriers[i].context == read->context && read->index != 0) {
                        n->barriers[i].index = read->index;
                        return;
                }
}

static void op_applied(void *userdata) {
        struct node *n = userdata;
        struct world *w = n->world;

        check_node(w, n);
        for (size_t i = 0; i < n->barrier_count && !n->dying;) {
                struct barrier b = n->barriers[i];

                if (b.index == 0 || b.index > n->replica->state->applied) {
                        i++;
                        continue;
                }
                n->barrier_count--;
                memmove(n->barriers + i, n->barriers + i + 1,
                                (n->barrier_count - i) * sizeof(n->barriers[0]));
                forget_read(w, n);
                b.ready(w, n, b.data, b.number);
        }
}

static void op_role_changed(void *userdata, const struct raft_status *status) {
        struct node *n = userdata;

        trace(n->world, "member %u is %s of term %llu, led by %llx", n->number,
                        raft_role_to_string(status->role), (unsigned long long)status->term,
                        (unsigned long long)status->leader);
        if (status->role == RAFT_LEADER)
                check_leader(n->world, n, status->term);
}

static void op_failed(void *userdata, int error, const char *what) {
        struct node *n = userdata;
        struct world *w = n->world;

        trace(n->world, "member %u stops: %s (%s)", n->number, what, strerror(-error));
        n->contradicted |= error == -EUCLEAN && w->forked;
        if (error != -EIO && error != -ENOSPC) /* those that the world causes */
                fail(n->world, "member %u stops: %s (%s)", n->number, what, strerror(-error));
        node_crash(n->world, n, CRASH_KILL);
}

static const struct replica_ops ops = {.save = op_save,
                .flush = op_flush,
                .send = op_send,
                .waiting = op_waiting,
                .outcome = op_outcome,
                .read_allowed = op_read_allowed,
                .applied = op_applied,
                .role_changed = op_role_changed,
                .failed = op_failed};

/* ---- turns */

static void on_tick(struct world *w, struct node *n, void *data, uint64_t number);

static void tick_at(struct node *n, uint64_t ms) {
        struct world *w = n->world;
        uint64_t now_ms = node_now_ms(n), delay;

        delay = ms > now_ms ? (ms - now_ms) * 1000000 * 1000 / n->clock_rate_ppm + 1 : 200;
        n->tick_at_us = w->now_us + delay;
        after(w, delay, n, on_tick, NULL, NULL, n->tick_at_us);
}

static void end_life(struct world *w, struct node *n) {
        snapshot_forget(n);
        watchers_gone(w, n);
        n->replica = replica_free(n->replica);
        n->disk = disk_free(n->disk);
        n->save = NULL;
        n->flush = NULL;
        n->waiting_count = n->barrier_count = 0;
        n->snapshot_for = 0;
        n->life++;
        n->phase = NODE_DOWN;
        n->paused_until_us = 0;
}

static void ask_again(struct node *n) {
        uint64_t now_ms = node_now_ms(n);

        for (size_t i = 0; i < n->barrier_count; i++) {
                struct barrier *b = &n->barriers[i];

                if (b->index != 0 || now_ms < b->asked_ms + HEARTBEAT_MS * 3)
                        continue;
                b->asked_ms = now_ms;
                (void)raft_read_index(n->replica->raft, b->context);
        }
}

void node_turn(struct world *w, struct node *n) {
        assert(n->phase == NODE_UP && !n->turning);
        n->turning = true;
        if (!n->dying)
                replica_turn(n->replica, node_now_ms(n));
        n->turning = false;
        if (n->dying) {
                node_crash(w, n, n->dying_how);
                return;
        }
        check_node(w, n);
        snapshot_turn(w, n);
        if (n->phase != NODE_UP)
                return;
        if (n->replica->removed) {
                trace(w, "member %u learns that it was removed", n->number);
                node_stop(w, n);
                n->phase = NODE_RETIRED;
                return;
        }
        if ((hub_sync_step(n->replica->hub) > 0 || mvcc_compacting(n->replica->state->kv.mvcc)) &&
                        n->tick_at_us > w->now_us + 2 * MS)
                tick_at(n, 0);
        watchers_check(w, false);
}

static void on_tick(struct world *w, struct node *n, void *data, uint64_t number) {
        if (number != n->tick_at_us)
                return;
        n->turning = true; /* a lease's end may stop it, too */
        replica_tick(n->replica, node_now_ms(n));
        n->turning = false;
        ask_again(n);
        node_turn(w, n);
        if (n->phase == NODE_UP && n->tick_at_us <= w->now_us)
                tick_at(n, MAX(replica_next_ms(n->replica), node_now_ms(n) + 1));
}

/* ---- life */

static void restart(struct world *w, struct node *none, void *data, uint64_t number) {
        struct node *n = data;

        if (n->phase == NODE_DOWN && n->life == number)
                node_start(w, n);
}

static void hurry(struct world *w, struct node *n, void *data, uint64_t number) {
        raft_hurry(n->replica->raft, number);
        node_turn(w, n);
}

/* The others notice that their connections to it ended, or that there is one again. */
static void notify_others(struct world *w, const struct node *n, uint64_t lost) {
        for (unsigned i = 0; i < w->node_count; i++) {
                struct node *x = &w->nodes[i];

                if (x != n && x->phase == NODE_UP && network_reaches(w, n, x))
                        after(w, delay_us(w, 100, 5 * MS), x, hurry, NULL, NULL, lost);
        }
}

static void refuse(struct world *w, struct node *n, const char *why) {
        trace(w, "member %u does not start: %s", n->number, why);
        n->phase = NODE_LOST;
}

static void check_promises(struct world *w, const struct node *n) {
        const struct wal *log = n->replica->wal;

        if (log->number < n->promised_block)
                fail(w, "member %u starts with its log up to block %llu, and relied on block %llu",
                                n->number, (unsigned long long)log->number,
                                (unsigned long long)n->promised_block);
        else if (log->term < n->promised_term ||
                        (log->term == n->promised_term && log->vote != n->promised_vote &&
                                        n->promised_vote != 0))
                fail(w,
                                "member %u starts in term %llu with a vote for %llx, and relied on "
                                "term "
                                "%llu and a vote for %llx",
                                n->number, (unsigned long long)log->term,
                                (unsigned long long)log->vote, (unsigned long long)n->promised_term,
                                (unsigned long long)n->promised_vote);
}

void node_start(struct world *w, struct node *n) {
        _cleanup_problem_ struct problem p = {0};
        struct replica_options o = {.ops = &ops,
                        .userdata = n,
                        .seed = chance(w) | 1,
                        .heartbeat_ms = HEARTBEAT_MS,
                        .election_ms = ELECTION_MS,
                        .snapshot_count = w->snapshot_count,
                        .files = sim_folder_use(&n->device.log),
                        .segment_bytes = SIM_SEGMENT_BYTES,
                        .step_bytes = SIM_STEP_BYTES,
                        .fragment_bytes = 512 * 1024,
                        .cluster_id = 77,
                        .member_id = n->id,
                        .members = n->members,
                        .member_count = n->member_count,
                        .joining = n->joining,
                        .config_index = n->config_index};
        int r = sim_disk_open(&n->disk, &n->device);

        n->life++;
        if (r == -EUCLEAN && n->rotten) {
                refuse(w, n, "its database is damaged");
                return;
        }
        if (r < 0) {
                fail(w, "member %u finds its sound database damaged", n->number);
                return;
        }
        o.disk = n->disk;
        /* A machine's clock begins anywhere. */
        n->clock_base_us = between(w, 1, 1000) * SECOND;
        n->clock_since_us = w->now_us;
        n->clock_rate_ppm = between(w, 960000, 1040000);
        n->dying = n->turning = n->disk_fails = false;
        n->disk_slow_us = n->disk_full_until_us = 0;
        r = replica_new(&n->replica, &o, node_now_ms(n), &p);
        if (r < 0) {
                if (r != -EUCLEAN || !n->rotten)
                        fail(w, "member %u does not start: %s (%s)", n->number, p.message,
                                        strerror(-r));
                n->disk = disk_free(n->disk);
                refuse(w, n, strempty(p.message));
                return;
        }
        check_promises(w, n);
        n->rotten = false;
        n->member_count = 0; /* they were taken */
        n->phase = NODE_UP;
        n->checked_index = n->replica->state->applied;
        n->checked_rev = mvcc_rev(n->replica->state->kv.mvcc);
        n->next_id = (uint64_t)n->number << 56 | n->life << 32;
        trace(w, "member %u (%llx) starts: applied %llu, revision %lld", n->number,
                        (unsigned long long)n->id, (unsigned long long)n->checked_index,
                        (long long)n->checked_rev);
        if (!w->forked)
                story_digest(w, n, n->replica->state->applied, node_digest(n));
        tick_at(n, replica_next_ms(n->replica));
        fresh_started(w, n);
        notify_others(w, n, 0);
        node_turn(w, n);
}

void node_crash(struct world *w, struct node *n, enum crash how) {
        if (n->turning) {
                n->dying = true;
                n->dying_how = how;
                return;
        }
        assert(n->phase == NODE_UP);
        trace(w, "member %u %s", n->number, how == CRASH_POWER ? "loses power" : "is killed");
        if (how == CRASH_POWER)
                w->count.power_cuts++;
        w->count.crashes++;
        tear_save(w, n);
        device_crash(w, &n->device, how);
        end_life(w, n);
        notify_others(w, n, n->id);
        after(w, delay_us(w, 20 * MS, 800 * MS), NULL, restart, n, NULL, n->life);
}

void node_stop(struct world *w, struct node *n) {
        replica_last_write(n->replica);
        device_crash(w, &n->device, CRASH_KILL);
        end_life(w, n);
        notify_others(w, n, n->id);
}

void node_done(struct node *n) {
        snapshot_forget(n);
        replica_free(n->replica);
        disk_free(n->disk);
        device_done(&n->device);
        free(n->waiting);
        free(n->barriers);
        for (size_t i = 0; i < n->member_count; i++)
                member_free(n->members[i]);
}

/* ---- requests */

int node_propose(struct node *n, enum command_kind kind, const void *data, size_t size,
                void (*done)(struct world *, struct node *, void *, const struct outcome *),
                void *data_of_done) {
        uint64_t id = done ? ++n->next_id : 0;
        int r = replica_propose(n->replica, kind, id, data, size);

        if (r < 0 || !done)
                return r;
        if (n->waiting_count == n->waiting_allocated) {
                n->waiting_allocated = n->waiting_allocated * 2 + 16;
                n->waiting = reallocarray(n->waiting, n->waiting_allocated, sizeof(n->waiting[0]));
                assert(n->waiting);
        }
        n->waiting[n->waiting_count++] =
                        (struct waiting){.id = id, .done = done, .data = data_of_done};
        return 0;
}

void node_read(struct node *n,
                void (*ready)(struct world *, struct node *, void *, uint64_t number), void *data,
                uint64_t number) {
        uint64_t context = ++n->next_id;

        if (n->barrier_count == n->barriers_allocated) {
                n->barriers_allocated = n->barriers_allocated * 2 + 16;
                n->barriers = reallocarray(
                                n->barriers, n->barriers_allocated, sizeof(n->barriers[0]));
                assert(n->barriers);
        }
        n->barriers[n->barrier_count++] = (struct barrier){.context = context,
                        .asked_ms = node_now_ms(n),
                        .ready = ready,
                        .data = data,
                        .number = number};
        (void)raft_read_index(n->replica->raft, context);
}
