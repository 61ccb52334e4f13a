/* The central turn, and the order of writes.
 *
 * A save of the core goes to the log at once. Applied changes wait up to half a second, or until
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

void replica_fail(struct replica *replica, int error, const char *what) {
        if (replica->failed)
                return;
        replica->failed = error ? error : -EIO;
        replica->options.ops->failed(replica->options.userdata, replica->failed, what);
}

bool replica_is_leader(const struct replica *replica) {
        struct raft_status status;

        raft_get_status(replica->raft, &status);
        return status.role == RAFT_LEADER;
}

/* Errors of the core: out of memory ends a member, and so does a leader that contradicts what was
 * committed here. Other invalid messages do not. */
static void check_core(struct replica *replica, int result) {
        if (result == -ENOMEM)
                replica_fail(replica, -ENOMEM, "Out of memory");
        else if (result == -EUCLEAN && !replica->failed) {
                _cleanup_free_ char *what = replica_contradiction_text(replica);

                replica_report_contradiction(replica);
                replica_fail(replica, -EUCLEAN, strempty(what));
        }
}

static void step(struct replica *replica, const struct raft_message *m) {
        int r = replica->failed ? 0 : raft_step(replica->raft, m);

        if (r == -EBADMSG)
                log_warning("Member %llx sent an invalid message (type %d)",
                                (unsigned long long)m->from, (int)m->type);
        else
                check_core(replica, r);
}

bool replica_check_terms(struct replica *replica, const struct raft_message *m,
                const struct raft_term_start *starts, size_t n) {
        int r = replica->failed || replica->fresh ? 0
                                                  : raft_check_terms(replica->raft, m, starts, n);

        check_core(replica, r);
        return r >= 0;
}

void replica_step(struct replica *replica, const struct raft_message *m) {
        /* Dropped messages are sent again. */
        if (replica->fresh ||
                        (m->type != RAFT_MSG_SNAPSHOT_STATUS && !replica_hear(replica, m->from)))
                return;
        step(replica, m);
}

bool replica_idle(const struct replica *replica) {
        return !replica->saving_now && !replica->flushing_now;
}

static void set_disk_full(struct replica *replica) {
        bool full = replica->log_full || replica->database_full;

        if (full && !replica->disk_full)
                log_error("The disk of %s is full: no change is accepted until there is space "
                          "again",
                                disk_path(replica->disk));
        else if (!full && replica->disk_full)
                log_notice("There is space on the disk of %s again", disk_path(replica->disk));
        replica->disk_full = full;
}

/* ---- the log */

/* Not while the database is too far behind. */
static bool can_save(const struct replica *replica) {
        return !replica->save_pending &&
               (replica->state->batch.row_bytes < REPLICA_UNFLUSHED_BYTES_MAX ||
                               !replica->flushing_now);
}

static void submit_save(struct replica *replica) {
        replica->saving_now = true;
        replica->options.ops->save(replica->options.userdata, &replica->saving);
}

/* Up to where the log is needed neither by members that lag nor by the database. */
static uint64_t trim_to(const struct replica *replica) {
        struct raft_status status;

        raft_get_status(replica->raft, &status);
        return bug(BUG_WAL_TRIM_EARLY) ? status.first - 1 : MIN(status.first - 1, replica->settled);
}

/* Starts saving what the core asks for. */
static void save(struct replica *replica, const struct raft_ready *ready) {
        const struct raft_save *v = &ready->save;

        if (!ready->must_save)
                return;
        assert(can_save(replica));
        replica->saving.entries = malloc(MAX(v->entry_count, (size_t)1) * sizeof(v->entries[0]));
        if (!replica->saving.entries) {
                replica_fail(replica, -ENOMEM, "Out of memory");
                return;
        }
        for (size_t i = 0; i < v->entry_count; i++)
                replica->saving.entries[i] = raft_entry_ref(v->entries[i]);
        replica->saving.entry_count = v->entry_count;
        replica->saving.term = v->term;
        replica->saving.vote = v->vote;
        replica->saving.truncate_from = v->truncate_from;
        if (v->truncate_from > 0)
                replica->saving.truncate_term = raft_term_at(replica->raft, v->truncate_from - 1);
        replica->saving.trim_to = trim_to(replica);
        replica->saving.sync = !replica->options.no_fsync && !bug(BUG_NO_SYNC);
        replica->save_pending = true;
        submit_save(replica);
}

/* Nothing was written. Tried again every second; new writes are refused meanwhile. */
static void save_refused(struct replica *replica) {
        replica->log_full = true;
        replica->save_again_ms = replica->now_ms + FULL_RETRY_MS;
        set_disk_full(replica);
        /* A member with space leads better: here entries pile up that cannot be saved. */
        if (replica_is_leader(replica))
                (void)raft_transfer(replica->raft, 0);
}

void replica_log_failed(struct replica *replica, int error) {
        log_error_errno(error, "Writing the log beside %s failed", disk_path(replica->disk));
        replica_fail(replica, error, "Cannot write to the log");
}

void replica_saved(struct replica *replica, int result) {
        replica->saving_now = false;
        if (result == -ENOSPC) {
                save_refused(replica);
                return;
        }
        if (result < 0) {
                replica_log_failed(replica, result);
                return;
        }
        replica->log_full = false;
        set_disk_full(replica);
        wal_batch_clear(&replica->saving);
        replica->save_pending = false;
        check_core(replica, raft_saved(replica->raft));
}

/* ---- the database */

/* Puts what the state machine made into the batch that goes out next. */
static void take_state_batch(struct replica *replica) {
        if (bug(BUG_APPLY_TWICE))
                replica->state->batch.numbers_set &=
                                ~(1u << DISK_APPLIED | 1u << DISK_APPLIED_TERM);
        if (disk_batch_merge(&replica->flushing, &replica->state->batch) < 0)
                replica_fail(replica, -ENOMEM, "Out of memory");
        replica->flushing_next_seq = mvcc_next_seq(replica->state->kv.mvcc);
        replica->flush_at_ms = 0;
        replica->takes++;
}

static void submit_flush(struct replica *replica) {
        replica->flush_at_ms = 0;
        replica->flushing_now = true;
        replica->options.ops->flush(replica->options.userdata, &replica->flushing);
}

static bool flush_is_due(const struct replica *replica) {
        return !disk_batch_empty(&replica->state->batch) &&
               (replica->now_ms >= replica->flush_at_ms || replica->take_wanted > replica->takes ||
                               replica->state->batch.row_bytes >= REPLICA_FLUSH_BYTES);
}

/* Applied changes are written to the database when they are many, old or asked for. */
static void flush(struct replica *replica) {
        if (replica->failed)
                return;
        if (replica->flush_at_ms == 0 && !disk_batch_empty(&replica->state->batch))
                replica->flush_at_ms = replica->now_ms + FLUSH_DELAY_MS;
        if (replica->flushing_now)
                return;
        if (!disk_batch_empty(&replica->flushing)) { /* a batch that the full disk refused */
                if (replica->now_ms >= replica->flush_at_ms)
                        submit_flush(replica);
                return;
        }
        if (!flush_is_due(replica))
                return;
        take_state_batch(replica);
        submit_flush(replica);
}

bool replica_flush(struct replica *replica) {
        if (replica->flushing_now || !disk_batch_empty(&replica->flushing))
                return false;
        if (disk_batch_empty(&replica->state->batch))
                return true;
        if (!replica->failed) {
                take_state_batch(replica);
                submit_flush(replica);
        }
        return false;
}

uint64_t replica_flush_ask(struct replica *replica) {
        if (!disk_batch_empty(&replica->state->batch))
                replica->take_wanted = replica->takes + 1;
        return MAX(replica->takes, replica->take_wanted);
}

bool replica_flush_done(const struct replica *replica, uint64_t ticket) {
        return replica->takes_written >= ticket;
}

void replica_flushed(struct replica *replica, int result, bool settled) {
        replica->flushing_now = false;
        if (result == -ENOSPC) {
                replica->database_full = true;
                replica->flush_at_ms = replica->now_ms + FULL_RETRY_MS;
                set_disk_full(replica);
                return;
        }
        if (result < 0) {
                log_error("Writing %s failed: %s", disk_path(replica->disk),
                                disk_error_text(replica->disk));
                replica_fail(replica, result, "Cannot write to the database");
                return;
        }
        replica->database_full = false;
        set_disk_full(replica);
        mvcc_flushed(replica->state->kv.mvcc, replica->flushing_next_seq);
        replica->takes_written = replica->takes;
        replica_heard_written(replica);
        disk_batch_clear(&replica->flushing);
        if (settled)
                replica->settled = disk_number(replica->disk, DISK_APPLIED);
}

/* ---- applying */

static void spread_changes(struct replica *replica) {
        size_t n;
        struct row **rows = mvcc_take_changes(replica->state->kv.mvcc, &n);

        for (size_t i = 0; i < n; i++)
                if (disk_batch_row(&replica->state->batch, rows[i]) < 0)
                        replica_fail(replica, -ENOMEM, "Out of memory");
        (void)hub_notify(replica->hub, rows, n);
        for (size_t i = 0; i < n; i++)
                row_unref(rows[i]);
        free(rows);
}

static void note_change(struct replica *replica, const struct raft_entry *e) {
        struct raft_change change;

        if (raft_change_decode(e->data, e->size, &change) >= 0 && change.op == RAFT_REMOVE &&
                        change.id == replica->member_id)
                replica->removed = true;
}

static void apply_entry(struct replica *replica, const struct raft_entry *e) {
        const struct replica_ops *ops = replica->options.ops;
        uint64_t id = e->type == RAFT_ENTRY_CONFIG ? UINT64_MAX - e->index
                                                   : command_id(e->data, e->size);
        _cleanup_answer_ struct kv_answer answer = {0};
        struct outcome o = {.answer = ops->waiting(replica->options.userdata, id) ? &answer : NULL};
        int r = state_apply(replica->state, e, &o);

        if (r < 0) {
                replica_fail(replica, r,
                                r == -EPROTO ? "The log holds a command of a newer version"
                                             : "Cannot apply the log");
                return;
        }
        spread_changes(replica);
        if (e->type == RAFT_ENTRY_CONFIG)
                note_change(replica, e);
        if (replica->state->renewed_lease && replica_is_leader(replica))
                lease_renew(lessor_find(replica->state->kv.lessor,
                                            (int64_t)replica->state->renewed_lease),
                                replica->now_ms);
        if (o.answer)
                ops->outcome(replica->options.userdata, id, &o);
}

static void apply(struct replica *replica, const struct raft_ready *ready) {
        for (size_t i = 0; i < ready->committed_count && !replica->failed; i++)
                apply_entry(replica, ready->committed[i]);
        for (size_t i = 0; i < ready->read_count; i++)
                replica->options.ops->read_allowed(replica->options.userdata, &ready->reads[i]);
}

/* A lease must never end early: the new leader gives each its whole TTL plus an election timeout.
 */
static void role_changed(struct replica *replica) {
        struct raft_status status;
        bool leads;

        raft_get_status(replica->raft, &status);
        leads = status.role == RAFT_LEADER;
        hub_set_header(replica->hub, &(struct watch_header){.cluster_id = replica->cluster_id,
                                                     .member_id = replica->member_id,
                                                     .term = status.term});
        if (leads && (!replica->was_leader || replica->led_term != status.term))
                lessor_promote(replica->state->kv.lessor, replica->now_ms,
                                replica->options.election_ms);
        else if (!leads && replica->was_leader && !bug(BUG_LEASE_OLD_LEADER))
                lessor_demote(replica->state->kv.lessor);
        replica->was_leader = leads;
        replica->led_term = status.term;
        replica->options.ops->role_changed(replica->options.userdata, &status);
}

/* The index up to which the log can go: by number of entries once there are half as many again as
 * are kept, by their size once they are too much for memory and disk. */
static uint64_t log_surplus(const struct replica *replica, uint64_t first) {
        uint64_t keep = replica->options.snapshot_count, applied = replica->state->applied, to = 0;
        size_t bytes = raft_log_bytes(replica->raft), bytes_max = replica->options.log_bytes_max;
        bool held = replica->keep_after != 0 && applied - replica->keep_after < REPLICA_LOG_MAX &&
                    bytes <= bytes_max * REPLICA_LOG_HELD_FACTOR;

        /* A single member has none to send them to. */
        if (replica->state->member_count == 1 && keep > 1000)
                keep = 1000;
        if (applied >= keep && applied - keep >= first + keep / 2)
                to = applied - keep;
        if (bytes > bytes_max && !held)
                to = MAX(to, raft_log_excess(replica->raft, bytes_max / 2));
        return held ? MIN(to, replica->keep_after) : to;
}

/* Entries that a member may need soon stay; older ones leave memory, and with the next saves the
 * disk. */
static void trim_log(struct replica *replica) {
        struct raft_status status;
        uint64_t to;

        raft_get_status(replica->raft, &status);
        if (status.applied != replica->state->applied)
                return;
        to = log_surplus(replica, status.first);
        if (to >= status.first)
                raft_compact(replica->raft, to);
}

void replica_turn(struct replica *replica, uint64_t now_ms) {
        const struct replica_ops *ops = replica->options.ops;
        struct raft_ready ready;

        replica->now_ms = now_ms;
        lessor_set_now(replica->state->kv.lessor, now_ms);
        while (!replica->failed && raft_ready(replica->raft, can_save(replica), &ready)) {
                save(replica, &ready);
                for (size_t i = 0; i < ready.message_count; i++)
                        ops->send(replica->options.userdata, &ready.messages[i]);
                apply(replica, &ready);
                if (ready.role_changed)
                        role_changed(replica);
                raft_advance(replica->raft);
                ops->applied(replica->options.userdata);
        }
        if (replica->failed)
                return;
        if (replica->save_pending && !replica->saving_now && now_ms >= replica->save_again_ms)
                submit_save(replica);
        trim_log(replica);
        flush(replica);
        hub_flush(replica->hub);
}

int replica_propose(struct replica *replica, enum command_kind kind, uint64_t id, const void *data,
                size_t n) {
        uint8_t *bytes = arena_alloc(&replica->arena, COMMAND_HEADER_SIZE + n);
        int r;

        if (!bytes)
                return -ENOMEM;
        command_encode(bytes, kind, id);
        if (n > 0)
                memcpy(bytes + COMMAND_HEADER_SIZE, data, n);
        r = raft_propose(replica->raft, bytes, COMMAND_HEADER_SIZE + n);
        arena_reset(&replica->arena);
        return r;
}

static void expire_leases(struct replica *replica) {
        int64_t ids[REPLICA_REVOKES];
        size_t n;

        /* The core may know already that another member leads, and would pass proposals on to it.
         * But the old leader, or one that was stopped for a while, does not know which leases the
         * other has renewed. */
        if (!replica_is_leader(replica) && !bug(BUG_LEASE_OLD_LEADER))
                return;
        n = lessor_expired(replica->state->kv.lessor, replica->now_ms, LEASE_RETRY_MS, ids,
                        ELEMENTS(ids));
        replica->expire_at_ms = n == ELEMENTS(ids) ? replica->now_ms + REVOKES_AGAIN_MS : 0;
        for (size_t i = 0; i < n; i++) {
                _cleanup_buf_ struct buf b = {0};

                wire_uint(&b, 1, (uint64_t)ids[i]);
                if (!b.failed)
                        (void)replica_propose(replica, COMMAND_LEASE_REVOKE, 0, b.data, b.size);
        }
}

static void on_dropped(int64_t seq, void *userdata) {
        struct replica *replica = userdata;

        if (disk_batch_dead(&replica->state->batch, seq) < 0)
                replica_fail(replica, -ENOMEM, "Out of memory");
}

/* A single member hears from no others: fewer wake-ups are enough, also for leases. */
static uint64_t tick_period_ms(const struct replica *replica) {
        return replica->state->member_count == 1 && replica->was_leader
                               ? MAX(replica->tick_ms, (uint64_t)500)
                               : replica->tick_ms;
}

bool replica_drops(const struct replica *replica) {
        return mvcc_compacting(replica->state->kv.mvcc) && !replica->hold_dropping &&
               replica->state->batch.dead.count < DEAD_ROWS_MAX;
}

void replica_tick(struct replica *replica, uint64_t now_ms) {
        uint64_t period_ms = tick_period_ms(replica);

        replica->now_ms = now_ms;
        while (replica->next_tick_ms <= now_ms && !replica->failed) {
                /* After a pause of the machine the missed ticks are skipped: they would look like a
                 * leader that has gone. */
                if (now_ms - replica->next_tick_ms > 4 * period_ms)
                        replica->next_tick_ms = now_ms;
                replica->next_tick_ms += period_ms;
                if (!replica->fresh)
                        check_core(replica, raft_tick(replica->raft));
        }
        if (replica->failed)
                return;
        expire_leases(replica);
        if (replica_drops(replica))
                (void)mvcc_compact_step(replica->state->kv.mvcc, REPLICA_COMPACT_BATCH, on_dropped,
                                replica);
}

uint64_t replica_next_ms(const struct replica *replica) {
        uint64_t next = replica->next_tick_ms;

        if (replica_drops(replica))
                return replica->now_ms;
        if (replica->expire_at_ms > 0)
                next = MIN(next, replica->expire_at_ms);
        if (!replica->flushing_now && replica->flush_at_ms > 0)
                next = MIN(next, replica->flush_at_ms);
        if (replica->save_pending && !replica->saving_now)
                next = MIN(next, replica->save_again_ms);
        return MAX(next, replica->now_ms + 1);
}

struct raft_config replica_config(const struct replica *replica) {
        struct raft_config c = {.index = disk_number(replica->disk, DISK_CONFIG_INDEX),
                        .count = (uint32_t)replica->state->member_count};

        for (size_t i = 0; i < replica->state->member_count; i++) {
                c.members[i].id = replica->state->members[i]->id;
                c.members[i].learner = replica->state->members[i]->learner;
        }
        return c;
}

/* The sent database replaces ours, and the log begins behind it. */
static int take_state(struct replica *replica, const char *path, const struct raft_message *m) {
        int r = disk_adopt(replica->disk, path, replica->member_id);

        if (r < 0)
                return r;
        r = wal_reset(replica->wal, m->log_index, m->log_term);
        if (r < 0)
                return r;
        r = state_reload(replica->state, replica->disk);
        if (r < 0)
                return r;
        return replica->state->applied == m->log_index &&
                                               replica->state->applied_term == m->log_term
                               ? 0
                               : -EUCLEAN;
}

int replica_install(struct replica *replica, const char *path, const struct raft_message *m) {
        struct raft_message message = *m;
        struct raft_status status;
        struct raft_config config;
        uint64_t heard[HEARD_MAX];
        size_t heard_count = replica->state->heard_count;
        int64_t had_rev;
        int r;

        if (replica->fresh)
                return -EBUSY; /* it does not take part yet */
        if (!replica_idle(replica) || replica->save_pending ||
                        !disk_batch_empty(&replica->flushing))
                return -EAGAIN;
        memcpy(heard, replica->state->heard, heard_count * sizeof(heard[0]));
        raft_get_status(replica->raft, &status);
        if (m->term < status.term || m->log_index <= status.commit ||
                        raft_term_at(replica->raft, m->log_index) == m->log_term) {
                /* No longer needed; the core reports to the leader how far it is. */
                (void)unlink(path);
                step(replica, m);
                return 0;
        }
        had_rev = mvcc_rev(replica->state->kv.mvcc);
        hub_flush(replica->hub);
        r = take_state(replica, path, m);
        if (r < 0) {
                replica_fail(replica, r, "Cannot use the state that the leader sent");
                return r;
        }
        replica->settled = replica->state->applied;
        replica->flush_at_ms = 0;
        log_info("Took a state from member %llx: revision %lld, log index %llu",
                        (unsigned long long)m->from, (long long)mvcc_rev(replica->state->kv.mvcc),
                        (unsigned long long)m->log_index);
        hub_restore(replica->hub, replica->state->kv.mvcc, had_rev);
        config = replica_config(replica);
        message.config = &config;
        step(replica, &message);
        replica_heard_again(replica, heard, heard_count);
        return 0;
}

void replica_last_write(struct replica *replica) {
        bool fits = !replica->disk_full && disk_batch_empty(&replica->flushing) &&
                    !replica->save_pending;

        if (replica->failed || !replica_idle(replica))
                return;
        if (fits && !disk_batch_empty(&replica->state->batch))
                (void)disk_write(replica->disk, &replica->state->batch);
        disk_batch_clear(&replica->state->batch);
        (void)wal_finish(replica->wal);
}
