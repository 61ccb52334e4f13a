/* The central loop, and the thread hand-over of saves.
 *
 * A save of the core and the rows that were applied since the last one go to the disk in one
 * transaction. Rows alone wait up to half a second for a save to take them along: the log
 * has them already, so nothing is lost meanwhile, and a client that writes one thing after another
 * pays for one sync each, not two. */
#include "kstored/server.h"

#include "lib/log.h"
#include "lib/timefmt.h"

enum { FLUSH_DELAY_MS = 500, FULL_RETRY_MS = 1000 };

void server_fatal(struct server *s, int error, const char *what) {
        if (s->fatal)
                return;
        s->fatal = error ? error : -EIO;
        log_error_errno(s->fatal, "%s; stopping, so that nothing wrong is acknowledged", what);
        s->stopping = true;
        requests_fail_all(s, STORE_STOPPED);
        sd_event_exit(s->event, 1);
}

bool server_is_leader(const struct server *s) {
        struct raft_status status;

        raft_get_status(s->raft, &status);
        return status.role == RAFT_LEADER;
}

static int run_save(void *userdata) {
        struct server *s = userdata;
        int r = disk_write(s->disk, &s->saving);

        if (r >= 0 && s->wal_restart_due && !s->checkpointing) {
                /* What the checkpoint thread left is little: the WAL starts anew. */
                (void)disk_wal_restart(s->disk);
        }
        return r;
}

static void on_checkpointed(int result, void *userdata) {
        struct server *s = userdata;

        s->checkpointing = false;
        s->wal_restart_due = result >= 0;
        if (result < 0)
                log_warning_errno(result, "Cannot bring the write-ahead log into the database");
}

static int run_checkpoint(void *userdata) {
        struct server *s = userdata;

        return disk_checkpoint(s->disk);
}

static void on_saved(int result, void *userdata) {
        struct server *s = userdata;

        s->writing = false;
        if (result == -ENOSPC) {
                /* Nothing was written. Tried again every second; new writes are refused meanwhile.
                 */
                if (!s->disk_full)
                        log_error("The disk of %s is full: no change is accepted until there is "
                                  "space again",
                                        disk_path(s->disk));
                s->disk_full = true;
                s->flush_at_ms = server_now_ms() + FULL_RETRY_MS;
                return;
        }
        if (result < 0) {
                log_error("Writing %s failed: %s", disk_path(s->disk), disk_error_text(s->disk));
                server_fatal(s, result, "The disk does not keep what it is given");
                return;
        }
        if (s->disk_full) {
                log_notice("There is space on the disk of %s again", disk_path(s->disk));
                s->disk_full = false;
        }
        metric_observe(s->m_fsync, (double)(now_mono_us() - s->save_started_us) / 1e6);
        if (s->wal_restart_due && disk_wal_bytes(s->disk) < SERVER_CHECKPOINT_BYTES)
                s->wal_restart_due = false;
        mvcc_flushed(s->state->kv.mvcc, s->saving_next_seq);
        disk_batch_clear(&s->saving);
        if (s->saving_raft) {
                s->saving_raft = false;
                if (raft_saved(s->raft) < 0)
                        server_fatal(s, -ENOMEM, "Out of memory");
        }
        if (!s->checkpointing && !s->wal_restart_due &&
                        disk_wal_bytes(s->disk) >= SERVER_CHECKPOINT_BYTES) {
                s->checkpointing = true;
                if (worker_submit(s->keeper, run_checkpoint, on_checkpointed, s) < 0)
                        s->checkpointing = false;
        }
}

static void submit_save(struct server *s) {
        s->writing = true;
        s->save_started_us = now_mono_us();
        if (worker_submit(s->writer, run_save, on_saved, s) < 0)
                server_fatal(s, -ENOBUFS, "The writer does not take work");
}

/* Puts what the state machine made into the batch that goes out next. */
static void take_state_batch(struct server *s) {
        if (disk_batch_merge(&s->saving, &s->state->batch) < 0)
                server_fatal(s, -ENOMEM, "Out of memory");
        s->saving_next_seq = mvcc_next_seq(s->state->kv.mvcc);
        s->flush_at_ms = 0;
}

static bool can_save(const struct server *s) {
        return !s->writing && disk_batch_empty(&s->saving);
}

/* Starts saving what the core asks for, with the rows that were applied before. */
static void save(struct server *s, const struct raft_ready *ready) {
        const struct raft_save *v = &ready->save;

        if (!ready->must_save)
                return;
        assert(can_save(s));
        s->saving.entries = malloc(MAX(v->entry_count, (size_t)1) * sizeof(v->entries[0]));
        if (!s->saving.entries) {
                server_fatal(s, -ENOMEM, "Out of memory");
                return;
        }
        for (size_t i = 0; i < v->entry_count; i++)
                s->saving.entries[i] = raft_entry_ref(v->entries[i]);
        s->saving.entry_count = v->entry_count;
        s->saving.truncate_from = v->truncate_from;
        s->saving.sync = !s->options->unsafe_no_fsync;
        disk_batch_number(&s->saving, DISK_TERM, v->term);
        disk_batch_number(&s->saving, DISK_VOTE, v->vote);
        disk_batch_number(&s->saving, DISK_COMMIT, v->commit);
        s->saving_raft = true;
        take_state_batch(s);
        submit_save(s);
}

/* Rows that no save took along in time, or too many of them. */
static void flush(struct server *s, uint64_t now_ms) {
        if (s->writing || s->fatal)
                return;
        if (!disk_batch_empty(&s->saving)) { /* the disk was full */
                if (now_ms >= s->flush_at_ms)
                        submit_save(s);
                return;
        }
        if (disk_batch_empty(&s->state->batch))
                return;
        if (s->flush_at_ms == 0)
                s->flush_at_ms = now_ms + FLUSH_DELAY_MS;
        if (now_ms < s->flush_at_ms && s->state->batch.row_bytes < SERVER_UNFLUSHED_BYTES_MAX)
                return;
        take_state_batch(s);
        submit_save(s);
}

/* Messages to other members. */
static void send_messages(struct server *s, const struct raft_ready *ready) {
        for (size_t i = 0; i < ready->message_count; i++)
                log_debug("No way yet to member %llx: message %d dropped",
                                (unsigned long long)ready->messages[i].to,
                                (int)ready->messages[i].type);
}

static void spread_changes(struct server *s) {
        size_t n;
        struct row **rows = mvcc_take_changes(s->state->kv.mvcc, &n);

        for (size_t i = 0; i < n; i++)
                if (disk_batch_row(&s->state->batch, rows[i]) < 0)
                        server_fatal(s, -ENOMEM, "Out of memory");
        (void)hub_notify(s->hub, rows, n);
        for (size_t i = 0; i < n; i++)
                row_unref(rows[i]);
        free(rows);
}

static void apply_entry(struct server *s, const struct raft_entry *e) {
        uint64_t id = e->type == RAFT_ENTRY_CONFIG ? UINT64_MAX - e->index
                                                   : command_id(e->data, e->size);
        _cleanup_buf_ struct buf answer = {0};
        struct outcome o = {.answer = requests_waiting(s, id) ? &answer : NULL};
        int r = state_apply(s->state, e, &o);

        if (r < 0) {
                server_fatal(s, r,
                                r == -EPROTO ? "The log holds a command of a newer version"
                                             : "Cannot apply the log");
                return;
        }
        spread_changes(s);
        metric_add(s->m_applied, 1);
        if (s->state->renewed_lease && server_is_leader(s))
                lease_renew(lessor_find(s->state->kv.lessor, (int64_t)s->state->renewed_lease),
                                server_now_ms());
        if (o.answer)
                requests_outcome(s, id, &o);
}

static void apply(struct server *s, const struct raft_ready *ready) {
        for (size_t i = 0; i < ready->committed_count && !s->fatal; i++)
                apply_entry(s, ready->committed[i]);
        for (size_t i = 0; i < ready->read_count; i++)
                reads_allowed(s, &ready->reads[i]);
}

/* A lease must never end early: the new leader gives each its whole time, and an election on top.
 */
static void role_changed(struct server *s) {
        struct raft_status status;
        bool leads;

        raft_get_status(s->raft, &status);
        leads = status.role == RAFT_LEADER;
        hub_set_header(s->hub, &(struct watch_header){.cluster_id = s->cluster_id,
                                               .member_id = s->member_id,
                                               .term = status.term});
        if (leads && !s->was_leader)
                lessor_promote(s->state->kv.lessor, server_now_ms(), s->options->election_ms);
        else if (!leads && s->was_leader)
                lessor_demote(s->state->kv.lessor);
        if (leads != s->was_leader)
                log_info("Member %llx is %s of term %llu", (unsigned long long)s->member_id,
                                raft_role_to_string(status.role), (unsigned long long)status.term);
        s->was_leader = leads;
}

/* Entries that everyone may need stay; older ones leave memory and disk. */
static void trim_log(struct server *s) {
        struct raft_status status;
        uint64_t keep = state_member(s->state, s->member_id) && s->state->member_count == 1
                                        ? MIN(s->options->snapshot_count, (uint64_t)1000)
                                        : s->options->snapshot_count;
        uint64_t to;

        raft_get_status(s->raft, &status);
        if (s->state->applied < keep || status.applied != s->state->applied)
                return;
        to = s->state->applied - keep;
        if (to + 1 < status.first + keep / 2 + 1)
                return;
        disk_batch_number(&s->state->batch, DISK_LOG_BASE, to);
        disk_batch_number(&s->state->batch, DISK_LOG_BASE_TERM, raft_term_at(s->raft, to));
        s->state->batch.trim_to = to;
        raft_compact(s->raft, to);
}

/* event -> step -> save -> send -> apply: the events have stepped the core; this does the rest. */
static int server_turn(sd_event_source *source, void *userdata) {
        struct server *s = userdata;
        struct raft_ready ready;

        reads_ask(s);
        while (!s->fatal && raft_ready(s->raft, can_save(s), &ready)) {
                save(s, &ready);
                send_messages(s, &ready);
                apply(s, &ready);
                if (ready.role_changed)
                        role_changed(s);
                raft_advance(s->raft);
                reads_serve(s);
        }
        if (s->fatal)
                return 0;
        trim_log(s);
        flush(s, server_now_ms());
        hub_flush(s->hub);
        if (hub_sync_step(s->hub) > 0 || mvcc_compacting(s->state->kv.mvcc))
                (void)sd_event_source_set_time_relative(s->ticker, 0);
        arena_reset(&s->arena);
        return 0;
}

static void on_dropped(int64_t seq, void *userdata) {
        struct server *s = userdata;

        if (disk_batch_dead(&s->state->batch, seq) < 0)
                server_fatal(s, -ENOMEM, "Out of memory");
}

static void expire_leases(struct server *s, uint64_t now_ms) {
        int64_t ids[64];
        size_t n = lessor_expired(s->state->kv.lessor, now_ms, 2000, ids, ELEMENTS(ids));

        for (size_t i = 0; i < n; i++) {
                _cleanup_buf_ struct buf b = {0};

                wire_uint(&b, 1, (uint64_t)ids[i]);
                if (!b.failed)
                        server_propose(s, NULL, COMMAND_LEASE_REVOKE, b.data, b.size, NULL);
        }
}

/* Says name and addresses to the others until they have it. */
static void publish(struct server *s, uint64_t now_ms) {
        struct member *m = state_member(s->state, s->member_id), wanted = {0};
        _cleanup_buf_ struct buf b = {0};

        if (!m || now_ms < s->published_at_ms)
                return;
        wanted = (struct member){.id = s->member_id,
                        .name = s->options->name,
                        .client_urls = s->options->advertise_client_urls};
        if (streq(m->name, wanted.name) &&
                        strv_length(m->client_urls) == strv_length(wanted.client_urls)) {
                size_t i = 0;

                while (m->client_urls && m->client_urls[i] &&
                                streq(m->client_urls[i], wanted.client_urls[i]))
                        i++;
                if (i == strv_length(m->client_urls)) {
                        s->published = true;
                        return;
                }
        }
        s->published_at_ms = now_ms + 1000;
        if (member_encode(&wanted, &b) >= 0)
                server_propose(s, NULL, COMMAND_MEMBER, b.data, b.size, NULL);
}

static void every_second(struct server *s, uint64_t now_ms) {
        int64_t rev;

        requests_expire(s, now_ms);
        s->alarm_asked = false;
        metric_set(s->m_rev, (double)mvcc_rev(s->state->kv.mvcc));
        metric_set(s->m_keys, (double)mvcc_key_count(s->state->kv.mvcc));
        metric_set(s->m_watchers, (double)hub_watcher_count(s->hub));
        metric_set(s->m_db_size, (double)disk_size(s->disk).size);
        metric_set(s->m_leader, server_is_leader(s));
        metric_set(s->m_requests_pending, (double)s->request_count);
        if (!server_is_leader(s))
                return;
        rev = autocompact_due(s->autocompact, now_ms, mvcc_rev(s->state->kv.mvcc));
        if (rev > mvcc_compact_rev(s->state->kv.mvcc)) {
                _cleanup_buf_ struct buf b = {0};

                wire_uint(&b, 1, (uint64_t)rev);
                if (!b.failed)
                        server_propose(s, NULL, COMMAND_COMPACT, b.data, b.size, NULL);
        }
}

/* Alone there is nobody to hear from: fewer wake-ups do, and leases are exact enough with them. */
static uint64_t tick_period_ms(const struct server *s) {
        return s->state->member_count == 1 && s->was_leader ? MAX(s->tick_ms, (uint64_t)500)
                                                            : s->tick_ms;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        struct server *s = userdata;
        uint64_t now_ms = server_now_ms(), period_ms = tick_period_ms(s), next;

        while (s->next_tick_ms <= now_ms) {
                /* After a pause of the machine the missed ticks are not made up for: they would
                 * look like a leader that has gone. */
                if (now_ms - s->next_tick_ms > 4 * period_ms)
                        s->next_tick_ms = now_ms;
                s->next_tick_ms += period_ms;
                if (raft_tick(s->raft) < 0)
                        server_fatal(s, -ENOMEM, "Out of memory");
        }
        if (now_ms >= s->next_second_ms) {
                s->next_second_ms = now_ms + 1000;
                every_second(s, now_ms);
        }
        expire_leases(s, now_ms);
        if (!s->published)
                publish(s, now_ms);
        if (mvcc_compacting(s->state->kv.mvcc) && s->state->batch.dead_count < 50000)
                (void)mvcc_compact_step(s->state->kv.mvcc, SERVER_COMPACT_BATCH, on_dropped, s);
        service_compact_finished(s);
        next = s->next_tick_ms;
        if (s->flush_at_ms > 0 && s->flush_at_ms < next)
                next = MAX(s->flush_at_ms, now_ms + 1);
        return sd_event_source_set_time(source, next * 1000);
}

bool server_is_ready(void *server, const char **ret_why) {
        struct server *s = server;
        struct raft_status status;

        raft_get_status(s->raft, &status);
        if (s->fatal || s->stopping)
                *ret_why = "stopping";
        else if (status.leader == 0)
                *ret_why = "no leader";
        else if (s->disk_full)
                *ret_why = "the disk is full";
        else
                return true;
        return false;
}

enum store_error server_check_space(struct server *s, size_t bytes) {
        if (s->disk_full)
                return STORE_NO_SPACE;
        if (s->options->quota_bytes == 0 ||
                        (uint64_t)disk_size(s->disk).in_use + s->state->batch.row_bytes + bytes <=
                                        s->options->quota_bytes)
                return STORE_OK;
        if (!state_alarm(s->state, ALARM_NOSPACE) && !s->alarm_asked) {
                _cleanup_buf_ struct buf b = {0};

                wire_uint(&b, 1, ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE);
                wire_uint(&b, 2, s->member_id);
                wire_uint(&b, 3, ALARM_NOSPACE);
                if (!b.failed)
                        server_propose(s, NULL, COMMAND_ALARM, b.data, b.size, NULL);
                s->alarm_asked = true; /* until the next second, in case it gets lost */
                log_warning("The database is larger than --quota-backend-bytes: raising the "
                            "NOSPACE alarm");
        }
        return STORE_NO_SPACE;
}

int server_start_loop(struct server *s) {
        int r;

        s->tick_ms = MAX(s->options->heartbeat_ms / 2, 5u);
        s->next_tick_ms = server_now_ms() + s->tick_ms;
        r = sd_event_add_post(s->event, &s->post, server_turn, s);
        if (r >= 0)
                r = sd_event_add_time(s->event, &s->ticker, CLOCK_MONOTONIC, s->next_tick_ms * 1000,
                                1000, on_tick, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->ticker, SD_EVENT_ON);
        return r;
}

static int on_stop_turn(sd_event_source *source, uint64_t usec, void *userdata) {
        struct server *s = userdata;

        sd_event_source_unref(source);
        requests_fail_all(s, STORE_STOPPED);
        return sd_event_exit(s->event, 0);
}

void server_stop(struct server *s) {
        sd_event_source *later;

        if (s->stopping)
                return;
        s->stopping = true;
        /* What is on its way may still be answered; then the loop ends. */
        if (sd_event_add_time_relative(
                            s->event, &later, CLOCK_MONOTONIC, 100000, 10000, on_stop_turn, s) < 0)
                sd_event_exit(s->event, 0);
}
