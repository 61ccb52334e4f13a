/* The event loop around the replica: timers, the writer's and the keeper's threads, what is done
 * every second. */
#include "kstored/server/server.h"

#include <malloc.h>
#include <poll.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "kstored/disk/damage.h"
#include "lib/log.h"
#include "lib/timefmt.h"

enum {
        WRITE_HERE_US = 2000,
        LONE_SAVES_MIN = 16,
        SYNC_MARK_US = 250000,
        FATAL_LINGER_US = 500000,
        TRIM_MS = 2000,
        TRIM_BYTES = 8 << 20,
};

static int on_fatal_end(sd_event_source *source, uint64_t usec, void *userdata) {
        struct server *s = userdata;

        return sd_event_exit(s->event, EX_CONFIG); /* the unit does not start it again */
}

void server_fatal(struct server *s, int error, const char *what) {
        bool contradicted =
                        s->raft && raft_get_contradiction(s->raft)->kind != RAFT_CONTRADICTION_NONE;

        if (s->fatal)
                return;
        s->fatal = error ? error : -EIO;
        if (!contradicted)
                log_error_errno(s->fatal, "%s; stopping, so that nothing wrong is acknowledged",
                                what);
        else
                log_error("%s; stopping, so that nothing wrong is acknowledged", what);
        s->stopping = true;
        requests_fail_all(s, STORE_STOPPED);
        /* What it has to say to the others leaves first; clients are served no more. */
        if (contradicted && sd_event_add_time_relative(s->event, &s->stopper, CLOCK_MONOTONIC,
                                            FATAL_LINGER_US, 1000, on_fatal_end, s) >= 0) {
                peers_flush(s->peers, server_now_ms());
                return;
        }
        /* Of damage another start would find no less. */
        sd_event_exit(s->event, s->fatal == -EBADMSG ? EX_CONFIG : 1);
}

void server_damaged(struct server *s, const char *what) {
        _cleanup_problem_ struct problem p = {0};
        int r = damage_note(s->options->data_dir, what);

        if (r < 0)
                log_warning_errno(
                                r, "Cannot leave a note of the damage in %s", s->options->data_dir);
        (void)damage_problem(&p, "%s", what);
        server_fatal(s, -EBADMSG, strempty(p.message));
}

bool server_is_leader(const struct server *s) {
        return replica_is_leader(s->replica);
}

static int run_save(void *userdata) {
        struct server *s = userdata;

        return wal_write(s->replica->wal, &s->replica->saving);
}

static void on_saved(int result, void *userdata) {
        struct server *s = userdata;

        replica_saved(s->replica, result);
        if (result < 0)
                return;
        s->save_us = now_mono_us() - s->save_started_us;
        server_metrics_saved(s->metrics, s->save_us);
}

/* Whether this save and the ones before it are of a client that is alone and waits. Going to the
 * writer's thread and back costs such a client as much as half a sync. Not where the disk was slow
 * last time: the loop must not stand still for long. */
static bool write_here(struct server *s) {
        struct pollfd events = {.fd = sd_event_get_fd(s->event), .events = POLLIN};

        if (s->state->member_count > 1)
                return false;
        if (s->request_count > 1 || s->gathering || s->save_us >= WRITE_HERE_US ||
                        worker_pending(s->writer) > 0 || poll(&events, 1, 0) != 0)
                s->lone_saves = 0;
        else
                s->lone_saves++;
        return s->lone_saves > LONE_SAVES_MIN;
}

static void op_save(void *userdata, const struct wal_batch *b) {
        struct server *s = userdata;

        s->save_started_us = now_mono_us();
        if (write_here(s))
                s->write_now = true; /* not from inside the replica */
        else if (worker_submit(s->writer, run_save, on_saved, s) < 0)
                server_fatal(s, -ENOBUFS, "The writer does not take work");
}

/* What can be given back when the disk is full: the room of SQLite's own log, which is in the
 * database then, and segments kept for reuse. */
static int make_room(struct server *s) {
        int r = disk_checkpoint(s->disk);
        int q = wal_give_back(s->replica->wal);

        return r < 0 ? r : q;
}

/* SQLite's own log is brought into the database when it has grown; 1 when it was. */
static int run_flush(void *userdata) {
        struct server *s = userdata;
        int r = disk_write(s->disk, &s->replica->flushing);

        if (r == -ENOSPC && make_room(s) >= 0)
                r = disk_write(s->disk, &s->replica->flushing);
        if (r < 0 || disk_unsettled_bytes(s->disk) < SERVER_CHECKPOINT_BYTES)
                return r;
        r = disk_checkpoint(s->disk);
        return r == -ENOSPC ? 0 : r; /* it is written; the rest can wait */
}

static int run_sync_mark(void *userdata) {
        struct server *s = userdata;

        return wal_sync_mark(s->replica->wal);
}

static void on_mark_synced(int result, void *userdata) {
        struct server *s = userdata;

        s->mark_syncing = false;
        s->mark_synced_us = now_mono_us();
        if (result < 0 && result != -ENOSPC)
                server_fatal(s, result, "The disk does not keep what it is given");
}

/* The mark of the log becomes durable now and then, and no block waits for it. */
static void sync_mark(struct server *s) {
        if (s->mark_syncing || !wal_mark_is_ahead(s->replica->wal) ||
                        now_mono_us() - s->mark_synced_us < SYNC_MARK_US)
                return;
        s->mark_syncing = worker_submit(s->writer, run_sync_mark, on_mark_synced, s) >= 0;
}

static void on_flushed(int result, void *userdata) {
        struct server *s = userdata;

        if (result >= 0)
                server_metrics_flushed(s->metrics, now_mono_us() - s->flush_started_us);
        replica_flushed(s->replica, result, result > 0);
}

static void op_flush(void *userdata, const struct disk_batch *b) {
        struct server *s = userdata;

        s->flush_started_us = now_mono_us();
        if (worker_submit(s->flusher, run_flush, on_flushed, s) < 0)
                server_fatal(s, -ENOBUFS, "The database's writer does not take work");
}

/* Messages to other members. */
static void op_send(void *userdata, const struct raft_message *m) {
        struct server *s = userdata;

        if (m->type == RAFT_MSG_SNAPSHOT)
                s->snapshot_for = m->to; /* not from inside the core */
        else
                peers_send(s->peers, m);
}

static bool op_waiting(void *userdata, uint64_t id) {
        return requests_waiting(userdata, id);
}

static void op_outcome(void *userdata, uint64_t id, const struct outcome *o) {
        requests_outcome(userdata, id, o);
}

static void op_read_allowed(void *userdata, const struct raft_read *read) {
        reads_allowed(userdata, read);
}

static void op_applied(void *userdata) {
        reads_serve(userdata);
}

static void op_role_changed(void *userdata, const struct raft_status *status) {
        struct server *s = userdata;

        s->counts.leader_changes += status->leader != 0 && status->leader != s->counts.leader;
        s->counts.leader = status->leader;
        log_info("Member %llx is %s of term %llu, led by %llx", (unsigned long long)s->member_id,
                        raft_role_to_string(status->role), (unsigned long long)status->term,
                        (unsigned long long)status->leader);
}

static void op_failed(void *userdata, int error, const char *what) {
        struct server *s = userdata;

        if (error == -EBADMSG)
                server_damaged(s, what);
        else
                server_fatal(s, error, what);
}

const struct replica_ops server_replica_ops = {.save = op_save,
                .flush = op_flush,
                .send = op_send,
                .waiting = op_waiting,
                .outcome = op_outcome,
                .read_allowed = op_read_allowed,
                .applied = op_applied,
                .role_changed = op_role_changed,
                .failed = op_failed};

int server_update_peers(struct server *s) {
        struct member *v[RAFT_MEMBERS_MAX];
        uint64_t config = raft_get_config(s->raft)->index;
        size_t n;
        int r;

        if (s->peers_known && s->peers_changes == s->state->member_changes &&
                        s->peers_config == config)
                return 0;
        r = replica_members(s->replica, v, &n);
        if (r < 0)
                return r;
        r = peers_update(s->peers, v, n);
        while (n > 0)
                member_free(v[--n]);
        if (r < 0)
                return r;
        s->peers_known = true;
        s->peers_changes = s->state->member_changes;
        s->peers_config = config;
        return 0;
}

/* Watchers that lag get at most half of the loop's time: after a step as much passes without one.
 */
static void catch_up_watchers(struct server *s) {
        uint64_t now_us = now_mono_us(), after_us;
        int r;

        if (!hub_lags(s->hub))
                return;
        if (now_us < s->sync_at_us) {
                (void)sd_event_source_set_time(s->ticker, s->sync_at_us);
                return;
        }
        r = hub_sync_step(s->hub);
        after_us = now_mono_us();
        s->sync_at_us = after_us + (after_us - now_us);
        if (r > 0)
                (void)sd_event_source_set_time_relative(s->ticker, after_us - now_us);
}

/* After every event of the loop. */
static int server_turn(sd_event_source *source, void *userdata) {
        struct server *s = userdata;

        uint64_t now_ms = server_now_ms();

        reads_ask(s);
        requests_propose_held(s);
        hash_turn(s, now_ms);
        replica_turn(s->replica, now_ms);
        s->counts.slow_applies += server_now_ms() - now_ms > SERVER_SLOW_APPLY_MS;
        while (s->write_now && !s->fatal) {
                s->write_now = false;
                on_saved(run_save(s), s);
                replica_turn(s->replica, server_now_ms());
        }
        if (s->fatal)
                return 0;
        (void)server_update_peers(s); /* again in the next turn where it failed */
        peers_flush(s->peers, now_ms);
        if (s->snapshot_for) {
                snapshot_wanted(s, s->snapshot_for);
                s->snapshot_for = 0;
        }
        corrupt_check_turn(s, now_ms);
        scrub_turn(s, now_ms);
        move_leader_turn(s, now_ms);
        first_life_turn(s, now_ms);
        snapshot_send_turn(s, now_ms);
        snapshot_receive_turn(s);
        service_snapshot_turn(s, now_ms);
        sync_mark(s);
        s->serving_since_us = 0;
        answers_set_store(s->answers, s->state->kv.mvcc);
        catch_up_watchers(s);
        if (replica_drops(s->replica))
                (void)sd_event_source_set_time_relative(s->ticker, 0);
        arena_reset(&s->arena);
        return 0;
}

/* Says name and addresses to the others until they have it. */
static void publish(struct server *s, uint64_t now_ms) {
        struct member *m = state_member(s->state, s->member_id), wanted = {0};
        struct raft_status status;
        _cleanup_buf_ struct buf b = {0};

        raft_get_status(s->raft, &status);
        if (!m || status.leader == 0 || now_ms < s->published_at_ms)
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

/* What slow clients or large changes have needed lies free among what is in use: it is given back
 * once it is much. */
static void give_memory_back(struct server *s, uint64_t now_ms) {
        if (now_ms < s->next_trim_ms)
                return;
        s->next_trim_ms = now_ms + TRIM_MS;
        if (mallinfo2().fordblks >= TRIM_BYTES)
                (void)malloc_trim(TRIM_BYTES / 4);
}

static void every_second(struct server *s, uint64_t now_ms) {
        int64_t rev;

        requests_expire(s, now_ms);
        answers_idle(s->answers);
        give_memory_back(s, now_ms);
        s->alarm_asked = false;
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

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        struct server *s = userdata;
        uint64_t now_ms = server_now_ms();

        if (s->fatal)
                return sd_event_source_set_enabled(source, SD_EVENT_OFF);
        s->replica->hold_dropping = answers_hold(s->answers, now_ms);
        replica_tick(s->replica, now_ms);
        require_leader_turn(s, now_ms);
        health_turn(s);
        if (now_ms >= s->next_second_ms) {
                s->next_second_ms = now_ms + 1000;
                every_second(s, now_ms);
        }
        if (!s->published && !s->stopping)
                publish(s, now_ms);
        if (s->replica->removed)
                server_removed(s);
        service_compact_finished(s);
        return sd_event_source_set_time(source, replica_next_ms(s->replica) * 1000);
}

bool server_is_ready(void *server, const char **ret_why) {
        struct server *s = server;
        struct raft_status status;

        raft_get_status(s->raft, &status);
        if (s->fatal || s->stopping)
                *ret_why = "stopping";
        else if (status.leader == 0)
                *ret_why = "no leader";
        else if (s->replica->disk_full)
                *ret_why = "the disk is full";
        else
                return true;
        return false;
}

enum store_error server_check_space(struct server *s, size_t bytes) {
        if (s->replica->disk_full)
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

unsigned server_connections_max(void) {
        struct rlimit files;
        rlim_t n = SERVER_CONNECTIONS_MAX;

        if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < n + SERVER_FILES_RESERVE)
                n = files.rlim_cur > 2 * SERVER_FILES_RESERVE
                                    ? files.rlim_cur - SERVER_FILES_RESERVE
                                    : files.rlim_cur / 2;
        return MAX((unsigned)n, 1u);
}

int server_start_loop(struct server *s) {
        int r = answers_new(&s->answers, s->event);

        if (r < 0)
                return r;
        answers_set_store(s->answers, s->state->kv.mvcc);
        r = sd_event_add_post(s->event, &s->post, server_turn, s);
        if (r >= 0)
                r = sd_event_add_time(s->event, &s->ticker, CLOCK_MONOTONIC,
                                replica_next_ms(s->replica) * 1000, 1000, on_tick, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->ticker, SD_EVENT_ON);
        return r;
}

/* This member is no more one of the cluster. */
void server_removed(struct server *s) {
        if (s->stopping)
                return;
        log_error("This member (%llx) was removed from the cluster: stopping. Its data in %s is of "
                  "no more use; a new member starts with an empty data directory",
                        (unsigned long long)s->member_id, s->options->data_dir);
        s->exit_status = EX_CONFIG; /* the unit does not start it again */
        server_stop(s);
}

bool server_reaches(const struct server *s, uint64_t member_id, uint64_t ms) {
        uint64_t since = peers_connected_since(s->peers, member_id);

        return member_id == s->member_id || (since && server_now_ms() >= since + ms);
}

static bool has_successor(const struct server *s) {
        for (size_t i = 0; i < s->state->member_count; i++)
                if (s->state->members[i]->id != s->member_id && !s->state->members[i]->learner &&
                                server_reaches(s, s->state->members[i]->id, 0))
                        return true;
        return false;
}

/* Leadership first, if someone can take it; then what is on its way may still be answered. */
static int on_stop_turn(sd_event_source *source, uint64_t usec, void *userdata) {
        struct server *s = userdata;
        uint64_t now_ms = server_now_ms();

        if (now_ms < s->stop_by_ms && server_is_leader(s) && has_successor(s))
                return sd_event_source_set_time_relative(source, 10000) < 0
                                       ? 0
                                       : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        requests_fail_all(s, STORE_STOPPED);
        return sd_event_exit(s->event, s->exit_status);
}

void server_stop(struct server *s) {
        if (s->stopping)
                return;
        s->stopping = true;
        s->stop_by_ms = server_now_ms() + 2 * (uint64_t)s->options->election_ms;
        if (server_is_leader(s) && has_successor(s))
                (void)raft_transfer(s->raft, 0);
        if (sd_event_add_time_relative(s->event, &s->stopper, CLOCK_MONOTONIC, 100000, 1000,
                            on_stop_turn, s) < 0)
                sd_event_exit(s->event, s->exit_status);
}
