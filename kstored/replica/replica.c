/* The central turn, and what goes to the disk when.
 *
 * A save of the core goes to the log at once. What was applied waits up to half a second, or until
 * there is enough of it, for a transaction of the database: the log has it already, so nothing is
 * lost meanwhile. The log keeps what the database may still lose. */
#include "kstored/replica/replica.h"

#include "lib/log.h"

enum {
        FLUSH_DELAY_MS = 500,
        FULL_RETRY_MS = 1000,
        LEASE_RETRY_MS = 2000,
        DEAD_ROWS_MAX = 50000,
        REVOKES_AGAIN_MS = 20
};

void replica_fail(struct replica *r, int error, const char *what) {
        if (r->failed)
                return;
        r->failed = error ? error : -EIO;
        r->options.ops->failed(r->options.userdata, r->failed, what);
}

bool replica_is_leader(const struct replica *r) {
        struct raft_status status;

        raft_get_status(r->raft, &status);
        return status.role == RAFT_LEADER;
}

/* Raft's own errors: want of memory ends a member, and a leader that contradicts what was committed
 * here. Other messages that make no sense do not. */
static void check_core(struct replica *r, int result) {
        if (result == -ENOMEM)
                replica_fail(r, -ENOMEM, "Out of memory");
        else if (result == -EUCLEAN && !r->failed) {
                _cleanup_free_ char *what = replica_contradiction_text(r);

                replica_report_contradiction(r);
                replica_fail(r, -EUCLEAN, strempty(what));
        }
}

static void step(struct replica *r, const struct raft_message *m) {
        int q = r->failed ? 0 : raft_step(r->raft, m);

        if (q == -EBADMSG)
                log_warning("Member %llx sent a message that makes no sense (type %d)",
                                (unsigned long long)m->from, (int)m->type);
        else
                check_core(r, q);
}

bool replica_check_terms(struct replica *r, const struct raft_message *m,
                const struct raft_term_start *starts, size_t n) {
        int q = r->failed || r->fresh ? 0 : raft_check_terms(r->raft, m, starts, n);

        check_core(r, q);
        return q >= 0;
}

void replica_step(struct replica *r, const struct raft_message *m) {
        /* What is dropped here comes again. */
        if (r->fresh || (m->type != RAFT_MSG_SNAPSHOT_STATUS && !replica_hear(r, m->from)))
                return;
        step(r, m);
}

bool replica_idle(const struct replica *r) {
        return !r->saving_now && !r->flushing_now;
}

static void set_disk_full(struct replica *r) {
        bool full = r->log_full || r->database_full;

        if (full && !r->disk_full)
                log_error("The disk of %s is full: no change is accepted until there is space "
                          "again",
                                disk_path(r->disk));
        else if (!full && r->disk_full)
                log_notice("There is space on the disk of %s again", disk_path(r->disk));
        r->disk_full = full;
}

/* ---- the log */

/* Not while the database falls behind without end. */
static bool can_save(const struct replica *r) {
        return !r->save_pending &&
               (r->state->batch.row_bytes < REPLICA_UNFLUSHED_BYTES_MAX || !r->flushing_now);
}

static void submit_save(struct replica *r) {
        r->saving_now = true;
        r->options.ops->save(r->options.userdata, &r->saving);
}

/* Up to where the log is needed neither by members that lag nor by the database. */
static uint64_t trim_to(const struct replica *r) {
        struct raft_status status;

        raft_get_status(r->raft, &status);
        return bug(BUG_WAL_TRIM_EARLY) ? status.first - 1 : MIN(status.first - 1, r->settled);
}

/* Starts saving what the core asks for. */
static void save(struct replica *r, const struct raft_ready *ready) {
        const struct raft_save *v = &ready->save;

        if (!ready->must_save)
                return;
        assert(can_save(r));
        r->saving.entries = malloc(MAX(v->entry_count, (size_t)1) * sizeof(v->entries[0]));
        if (!r->saving.entries) {
                replica_fail(r, -ENOMEM, "Out of memory");
                return;
        }
        for (size_t i = 0; i < v->entry_count; i++)
                r->saving.entries[i] = raft_entry_ref(v->entries[i]);
        r->saving.entry_count = v->entry_count;
        r->saving.term = v->term;
        r->saving.vote = v->vote;
        r->saving.truncate_from = v->truncate_from;
        if (v->truncate_from > 0)
                r->saving.truncate_term = raft_term_at(r->raft, v->truncate_from - 1);
        r->saving.trim_to = trim_to(r);
        r->saving.sync = !r->options.no_fsync && !bug(BUG_NO_SYNC);
        r->save_pending = true;
        submit_save(r);
}

/* Nothing was written. Tried again every second; new writes are refused meanwhile. */
static void save_refused(struct replica *r) {
        r->log_full = true;
        r->save_again_ms = r->now_ms + FULL_RETRY_MS;
        set_disk_full(r);
        /* Somebody with space leads better: what cannot be saved here piles up. */
        if (replica_is_leader(r))
                (void)raft_transfer(r->raft, 0);
}

void replica_saved(struct replica *r, int result) {
        r->saving_now = false;
        if (result == -ENOSPC) {
                save_refused(r);
                return;
        }
        if (result < 0) {
                log_error_errno(result, "Writing the log beside %s failed", disk_path(r->disk));
                replica_fail(r, result, "The disk does not keep what it is given");
                return;
        }
        r->log_full = false;
        set_disk_full(r);
        wal_batch_clear(&r->saving);
        r->save_pending = false;
        check_core(r, raft_saved(r->raft));
}

/* ---- the database */

/* Puts what the state machine made into the batch that goes out next. */
static void take_state_batch(struct replica *r) {
        if (bug(BUG_APPLY_TWICE))
                r->state->batch.numbers_set &= ~(1u << DISK_APPLIED | 1u << DISK_APPLIED_TERM);
        if (disk_batch_merge(&r->flushing, &r->state->batch) < 0)
                replica_fail(r, -ENOMEM, "Out of memory");
        r->flushing_next_seq = mvcc_next_seq(r->state->kv.mvcc);
        r->flush_at_ms = 0;
        r->takes++;
}

static void submit_flush(struct replica *r) {
        r->flush_at_ms = 0;
        r->flushing_now = true;
        r->options.ops->flush(r->options.userdata, &r->flushing);
}

static bool flush_is_due(const struct replica *r) {
        return !disk_batch_empty(&r->state->batch) &&
               (r->now_ms >= r->flush_at_ms || r->take_wanted > r->takes ||
                               r->state->batch.row_bytes >= REPLICA_FLUSH_BYTES);
}

/* What was applied goes to the database when it is much, old or asked for. */
static void flush(struct replica *r) {
        if (r->failed)
                return;
        if (r->flush_at_ms == 0 && !disk_batch_empty(&r->state->batch))
                r->flush_at_ms = r->now_ms + FLUSH_DELAY_MS;
        if (r->flushing_now)
                return;
        if (!disk_batch_empty(&r->flushing)) { /* what a full disk refused */
                if (r->now_ms >= r->flush_at_ms)
                        submit_flush(r);
                return;
        }
        if (!flush_is_due(r))
                return;
        take_state_batch(r);
        submit_flush(r);
}

bool replica_flush(struct replica *r) {
        if (r->flushing_now || !disk_batch_empty(&r->flushing))
                return false;
        if (disk_batch_empty(&r->state->batch))
                return true;
        if (!r->failed) {
                take_state_batch(r);
                submit_flush(r);
        }
        return false;
}

uint64_t replica_flush_ask(struct replica *r) {
        if (!disk_batch_empty(&r->state->batch))
                r->take_wanted = r->takes + 1;
        return MAX(r->takes, r->take_wanted);
}

bool replica_flush_done(const struct replica *r, uint64_t ticket) {
        return r->takes_written >= ticket;
}

void replica_flushed(struct replica *r, int result, bool settled) {
        r->flushing_now = false;
        if (result == -ENOSPC) {
                r->database_full = true;
                r->flush_at_ms = r->now_ms + FULL_RETRY_MS;
                set_disk_full(r);
                return;
        }
        if (result < 0) {
                log_error("Writing %s failed: %s", disk_path(r->disk), disk_error_text(r->disk));
                replica_fail(r, result, "The disk does not keep what it is given");
                return;
        }
        r->database_full = false;
        set_disk_full(r);
        mvcc_flushed(r->state->kv.mvcc, r->flushing_next_seq);
        r->takes_written = r->takes;
        replica_heard_written(r);
        disk_batch_clear(&r->flushing);
        if (settled)
                r->settled = disk_number(r->disk, DISK_APPLIED);
}

/* ---- applying */

static void spread_changes(struct replica *r) {
        size_t n;
        struct row **rows = mvcc_take_changes(r->state->kv.mvcc, &n);

        for (size_t i = 0; i < n; i++)
                if (disk_batch_row(&r->state->batch, rows[i]) < 0)
                        replica_fail(r, -ENOMEM, "Out of memory");
        (void)hub_notify(r->hub, rows, n);
        for (size_t i = 0; i < n; i++)
                row_unref(rows[i]);
        free(rows);
}

static void note_change(struct replica *r, const struct raft_entry *e) {
        struct raft_change change;

        if (raft_change_decode(e->data, e->size, &change) >= 0 && change.op == RAFT_REMOVE &&
                        change.id == r->member_id)
                r->removed = true;
}

static void apply_entry(struct replica *r, const struct raft_entry *e) {
        const struct replica_ops *ops = r->options.ops;
        uint64_t id = e->type == RAFT_ENTRY_CONFIG ? UINT64_MAX - e->index
                                                   : command_id(e->data, e->size);
        _cleanup_answer_ struct kv_answer answer = {0};
        struct outcome o = {.answer = ops->waiting(r->options.userdata, id) ? &answer : NULL};
        int q = state_apply(r->state, e, &o);

        if (q < 0) {
                replica_fail(r, q,
                                q == -EPROTO ? "The log holds a command of a newer version"
                                             : "Cannot apply the log");
                return;
        }
        spread_changes(r);
        if (e->type == RAFT_ENTRY_CONFIG)
                note_change(r, e);
        if (r->state->renewed_lease && replica_is_leader(r))
                lease_renew(lessor_find(r->state->kv.lessor, (int64_t)r->state->renewed_lease),
                                r->now_ms);
        if (o.answer)
                ops->outcome(r->options.userdata, id, &o);
}

static void apply(struct replica *r, const struct raft_ready *ready) {
        for (size_t i = 0; i < ready->committed_count && !r->failed; i++)
                apply_entry(r, ready->committed[i]);
        for (size_t i = 0; i < ready->read_count; i++)
                r->options.ops->read_allowed(r->options.userdata, &ready->reads[i]);
}

/* A lease must never end early: the new leader gives each its whole time, and an election on top.
 */
static void role_changed(struct replica *r) {
        struct raft_status status;
        bool leads;

        raft_get_status(r->raft, &status);
        leads = status.role == RAFT_LEADER;
        hub_set_header(r->hub, &(struct watch_header){.cluster_id = r->cluster_id,
                                               .member_id = r->member_id,
                                               .term = status.term});
        if (leads && (!r->was_leader || r->led_term != status.term))
                lessor_promote(r->state->kv.lessor, r->now_ms, r->options.election_ms);
        else if (!leads && r->was_leader && !bug(BUG_LEASE_OLD_LEADER))
                lessor_demote(r->state->kv.lessor);
        r->was_leader = leads;
        r->led_term = status.term;
        r->options.ops->role_changed(r->options.userdata, &status);
}

/* Up to where the log is worth nothing: by number of entries once half as many again are there, by
 * their size once they are too much for memory and disk. */
static uint64_t log_surplus(const struct replica *r, uint64_t first) {
        uint64_t keep = r->options.snapshot_count, applied = r->state->applied, to = 0;
        size_t bytes = raft_log_bytes(r->raft), bytes_max = r->options.log_bytes_max;
        bool held = r->keep_after != 0 && applied - r->keep_after < REPLICA_LOG_MAX &&
                    bytes <= bytes_max * REPLICA_LOG_HELD_FACTOR;

        /* Alone there is nobody to send them to. */
        if (r->state->member_count == 1 && keep > 1000)
                keep = 1000;
        if (applied >= keep && applied - keep >= first + keep / 2)
                to = applied - keep;
        if (bytes > bytes_max && !held)
                to = MAX(to, raft_log_excess(r->raft, bytes_max / 2));
        return held ? MIN(to, r->keep_after) : to;
}

/* Entries that a member may need soon stay; older ones leave memory, and with the next saves the
 * disk. */
static void trim_log(struct replica *r) {
        struct raft_status status;
        uint64_t to;

        raft_get_status(r->raft, &status);
        if (status.applied != r->state->applied)
                return;
        to = log_surplus(r, status.first);
        if (to >= status.first)
                raft_compact(r->raft, to);
}

void replica_turn(struct replica *r, uint64_t now_ms) {
        const struct replica_ops *ops = r->options.ops;
        struct raft_ready ready;

        r->now_ms = now_ms;
        lessor_set_now(r->state->kv.lessor, now_ms);
        while (!r->failed && raft_ready(r->raft, can_save(r), &ready)) {
                save(r, &ready);
                for (size_t i = 0; i < ready.message_count; i++)
                        ops->send(r->options.userdata, &ready.messages[i]);
                apply(r, &ready);
                if (ready.role_changed)
                        role_changed(r);
                raft_advance(r->raft);
                ops->applied(r->options.userdata);
        }
        if (r->failed)
                return;
        if (r->save_pending && !r->saving_now && now_ms >= r->save_again_ms)
                submit_save(r);
        trim_log(r);
        flush(r);
        hub_flush(r->hub);
}

int replica_propose(struct replica *r, enum command_kind kind, uint64_t id, const void *data,
                size_t n) {
        uint8_t *bytes = arena_alloc(&r->arena, COMMAND_HEADER_SIZE + n);
        int q;

        if (!bytes)
                return -ENOMEM;
        command_encode(bytes, kind, id);
        if (n > 0)
                memcpy(bytes + COMMAND_HEADER_SIZE, data, n);
        q = raft_propose(r->raft, bytes, COMMAND_HEADER_SIZE + n);
        arena_reset(&r->arena);
        return q;
}

static void expire_leases(struct replica *r) {
        int64_t ids[REPLICA_REVOKES];
        size_t n;

        /* The core may know already that another leads, and would pass on what we propose: but who
         * led until now, or was stopped for a while, does not know what the other has renewed. */
        if (!replica_is_leader(r) && !bug(BUG_LEASE_OLD_LEADER))
                return;
        n = lessor_expired(r->state->kv.lessor, r->now_ms, LEASE_RETRY_MS, ids, ELEMENTS(ids));
        r->expire_at_ms = n == ELEMENTS(ids) ? r->now_ms + REVOKES_AGAIN_MS : 0;
        for (size_t i = 0; i < n; i++) {
                _cleanup_buf_ struct buf b = {0};

                wire_uint(&b, 1, (uint64_t)ids[i]);
                if (!b.failed)
                        (void)replica_propose(r, COMMAND_LEASE_REVOKE, 0, b.data, b.size);
        }
}

static void on_dropped(int64_t seq, void *userdata) {
        struct replica *r = userdata;

        if (disk_batch_dead(&r->state->batch, seq) < 0)
                replica_fail(r, -ENOMEM, "Out of memory");
}

/* Alone there is nobody to hear from: fewer wake-ups do, and leases are exact enough with them. */
static uint64_t tick_period_ms(const struct replica *r) {
        return r->state->member_count == 1 && r->was_leader ? MAX(r->tick_ms, (uint64_t)500)
                                                            : r->tick_ms;
}

bool replica_drops(const struct replica *r) {
        return mvcc_compacting(r->state->kv.mvcc) && !r->hold_dropping &&
               r->state->batch.dead_count < DEAD_ROWS_MAX;
}

void replica_tick(struct replica *r, uint64_t now_ms) {
        uint64_t period_ms = tick_period_ms(r);

        r->now_ms = now_ms;
        while (r->next_tick_ms <= now_ms && !r->failed) {
                /* After a pause of the machine the missed ticks are not made up for: they would
                 * look like a leader that has gone. */
                if (now_ms - r->next_tick_ms > 4 * period_ms)
                        r->next_tick_ms = now_ms;
                r->next_tick_ms += period_ms;
                if (!r->fresh)
                        check_core(r, raft_tick(r->raft));
        }
        if (r->failed)
                return;
        expire_leases(r);
        if (replica_drops(r))
                (void)mvcc_compact_step(r->state->kv.mvcc, REPLICA_COMPACT_BATCH, on_dropped, r);
}

uint64_t replica_next_ms(const struct replica *r) {
        uint64_t next = r->next_tick_ms;

        if (replica_drops(r))
                return r->now_ms;
        if (r->expire_at_ms > 0)
                next = MIN(next, r->expire_at_ms);
        if (!r->flushing_now && r->flush_at_ms > 0)
                next = MIN(next, r->flush_at_ms);
        if (r->save_pending && !r->saving_now)
                next = MIN(next, r->save_again_ms);
        return MAX(next, r->now_ms + 1);
}

struct raft_config replica_config(const struct replica *r) {
        struct raft_config c = {.index = disk_number(r->disk, DISK_CONFIG_INDEX),
                        .count = (uint32_t)r->state->member_count};

        for (size_t i = 0; i < r->state->member_count; i++) {
                c.members[i].id = r->state->members[i]->id;
                c.members[i].learner = r->state->members[i]->learner;
        }
        return c;
}

int replica_install(struct replica *r, const char *path, const struct raft_message *m) {
        struct raft_message message = *m;
        struct raft_status status;
        struct raft_config config;
        uint64_t heard[HEARD_MAX];
        size_t heard_count = r->state->heard_count;
        int64_t had_rev;
        int q;

        if (r->fresh)
                return -EBUSY; /* it takes part in nothing */
        if (!replica_idle(r) || r->save_pending || !disk_batch_empty(&r->flushing))
                return -EAGAIN;
        memcpy(heard, r->state->heard, heard_count * sizeof(heard[0]));
        raft_get_status(r->raft, &status);
        if (m->term < status.term || m->log_index <= status.commit ||
                        raft_term_at(r->raft, m->log_index) == m->log_term) {
                /* Not needed any more; the core says to the leader where it stands. */
                (void)unlink(path);
                step(r, m);
                return 0;
        }
        had_rev = mvcc_rev(r->state->kv.mvcc);
        hub_flush(r->hub);
        q = disk_adopt(r->disk, path, r->member_id);
        if (q >= 0)
                q = wal_reset(r->wal, m->log_index, m->log_term);
        if (q >= 0)
                q = state_reload(r->state, r->disk);
        if (q >= 0 && (r->state->applied != m->log_index || r->state->applied_term != m->log_term))
                q = -EUCLEAN;
        if (q < 0) {
                replica_fail(r, q, "Cannot use the state that the leader sent");
                return q;
        }
        r->settled = r->state->applied;
        r->flush_at_ms = 0;
        log_info("Took a state from member %llx: revision %lld, log index %llu",
                        (unsigned long long)m->from, (long long)mvcc_rev(r->state->kv.mvcc),
                        (unsigned long long)m->log_index);
        hub_restore(r->hub, r->state->kv.mvcc, had_rev);
        config = replica_config(r);
        message.config = &config;
        step(r, &message);
        replica_heard_again(r, heard, heard_count);
        return 0;
}

void replica_last_write(struct replica *r) {
        bool fits = !r->disk_full && disk_batch_empty(&r->flushing) && !r->save_pending;

        if (r->failed || !replica_idle(r))
                return;
        if (fits && !disk_batch_empty(&r->state->batch))
                (void)disk_write(r->disk, &r->state->batch);
        disk_batch_clear(&r->state->batch);
        (void)wal_finish(r->wal);
}
