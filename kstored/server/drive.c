/* Work that the replica leaves to its driver: writes on threads, messages to members, and what
 * became of requests and reads. */
#include "kstored/server/drive.h"

#include <poll.h>

#include "kstored/server/metrics.h"
#include "kstored/server/server.h"
#include "kstored/service/reads.h"
#include "kstored/service/requests.h"
#include "kstored/snapshot/send.h"
#include "lib/log.h"
#include "lib/timefmt.h"

enum {
        WRITE_HERE_US = 2000,
        LONE_SAVES_MIN = 16,
        SYNC_MARK_US = 250000,
        CHECKPOINT_BYTES = 4 * 1024 * 1024,
};

struct drive {
        uint64_t save_started_us, save_us; /* the last save took save_us */
        uint64_t flush_started_us;
        uint64_t mark_synced_us; /* when sync_mark() was done last */
        bool mark_syncing;
        uint32_t lone_saves; /* in a row, for a single client */
        bool write_now;      /* a save waits for drive_write_now() */
};

static int run_save(void *userdata) {
        struct server *s = userdata;

        return wal_write(s->replica->wal, &s->replica->saving);
}

static void on_saved(int result, void *userdata) {
        struct server *s = userdata;
        struct drive *x = server_part(s, SERVER_PART_DRIVE);

        replica_saved(s->replica, result);
        if (result < 0)
                return;
        x->save_us = now_mono_us() - x->save_started_us;
        server_metrics_saved(s, x->save_us);
}

/* Whether this save and the ones before it are for a single synchronous client. The way to the
 * writer's thread and back costs such a client as much as half a sync. Not where the disk was slow
 * last time: the loop must not stand still for long. */
static bool write_here(const struct server *s, struct drive *x) {
        struct pollfd events = {.fd = sd_event_get_fd(s->event), .events = POLLIN};

        if (s->state->member_count > 1)
                return false;
        if (requests_pending(s) + reads_pending(s) > 1 || reads_gathering(s) ||
                        x->save_us >= WRITE_HERE_US || worker_pending(s->writer) > 0 ||
                        poll(&events, 1, 0) != 0)
                x->lone_saves = 0;
        else
                x->lone_saves++;
        return x->lone_saves > LONE_SAVES_MIN;
}

static void op_save(void *userdata, const struct wal_batch *b) {
        struct server *s = userdata;
        struct drive *x = server_part(s, SERVER_PART_DRIVE);

        x->save_started_us = now_mono_us();
        if (write_here(s, x))
                x->write_now = true; /* not from inside the replica */
        else if (worker_submit(s->writer, run_save, on_saved, s) < 0)
                server_fatal(s, -ENOBUFS, "The log's thread accepts no more work");
}

/* Space that can be freed when the disk is full: SQLite's own log, once its content is in the
 * database, and segments kept for reuse. */
static int make_room(struct server *s) {
        int r = disk_checkpoint(s->disk), log = wal_give_back(s->replica->wal);

        return r < 0 ? r : log;
}

/* Also moves SQLite's own log into the database when it has grown; 1 when it did. */
static int run_flush(void *userdata) {
        struct server *s = userdata;
        int r = disk_write(s->disk, &s->replica->flushing);

        if (r == -ENOSPC && make_room(s) >= 0)
                r = disk_write(s->disk, &s->replica->flushing);
        if (r < 0 || disk_unsettled_bytes(s->disk) < CHECKPOINT_BYTES)
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
        struct drive *x = server_part(s, SERVER_PART_DRIVE);

        x->mark_syncing = false;
        x->mark_synced_us = now_mono_us();
        if (result < 0 && result != -ENOSPC)
                replica_log_failed(s->replica, result);
}

/* The mark of the log becomes durable now and then; no block waits for it. */
static void sync_mark(struct server *s, void *state, uint64_t now_ms) {
        struct drive *x = state;

        if (x->mark_syncing || !wal_mark_is_ahead(s->replica->wal) ||
                        now_mono_us() - x->mark_synced_us < SYNC_MARK_US)
                return;
        x->mark_syncing = worker_submit(s->writer, run_sync_mark, on_mark_synced, s) >= 0;
}

static void on_flushed(int result, void *userdata) {
        struct server *s = userdata;
        struct drive *x = server_part(s, SERVER_PART_DRIVE);

        if (result >= 0)
                server_metrics_flushed(s, now_mono_us() - x->flush_started_us);
        replica_flushed(s->replica, result, result > 0);
}

static void op_flush(void *userdata, const struct disk_batch *b) {
        struct server *s = userdata;
        struct drive *x = server_part(s, SERVER_PART_DRIVE);

        x->flush_started_us = now_mono_us();
        if (worker_submit(s->flusher, run_flush, on_flushed, s) < 0)
                server_fatal(s, -ENOBUFS, "The database's thread accepts no more work");
}

/* Messages to other members. */
static void op_send(void *userdata, const struct raft_message *m) {
        struct server *s = userdata;

        if (m->type == RAFT_MSG_SNAPSHOT)
                snapshot_send_wanted(s, m->to);
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

const struct replica_ops drive_ops = {.save = op_save,
                .flush = op_flush,
                .send = op_send,
                .waiting = op_waiting,
                .outcome = op_outcome,
                .read_allowed = op_read_allowed,
                .applied = op_applied,
                .role_changed = op_role_changed,
                .failed = op_failed};

bool drive_write_now(struct server *s) {
        struct drive *x = server_part(s, SERVER_PART_DRIVE);

        if (!x->write_now || s->fatal)
                return false;
        x->write_now = false;
        on_saved(run_save(s), s);
        return true;
}

const struct server_part drive_part = {
                .name = "drive", .size = sizeof(struct drive), .turn = sync_mark};
