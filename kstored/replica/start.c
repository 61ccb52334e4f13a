/* A member's start: from the state on the disk, or, when it is empty, from the given members. */
#include "kstored/replica/replica.h"

#include "kstored/disk/damage.h"
#include "lib/log.h"

/* Reads the state machine back. Damage ends the member, so that it no longer answers. A row that
 * could not be read may be readable later: it fails only the request, and the scrub starts again.
 */
static int check_source(struct replica *replica, int r) {
        if (r >= 0)
                return r;
        log_error_errno(r, "Reading %s failed", disk_path(replica->disk));
        replica->in_doubt = true;
        if (r == -EBADMSG)
                replica_fail(replica, r, "The database is damaged: a row is not what was written");
        return r;
}

static int source_read(void *userdata, int64_t seq, struct row **ret) {
        struct replica *replica = userdata;

        return check_source(replica, disk_read_row(replica->disk, seq, ret));
}

static int source_head(void *userdata, int64_t seq, struct row **ret) {
        struct replica *replica = userdata;

        return check_source(replica, disk_read_head(replica->disk, seq, ret));
}

static int source_find_rev(void *userdata, int64_t rev, int64_t *ret_seq) {
        struct replica *replica = userdata;

        return check_source(replica, disk_find_rev(replica->disk, rev, ret_seq));
}

static int source_scan(void *userdata, int64_t from_seq, size_t n, struct row **ret_rows) {
        struct replica *replica = userdata;

        return check_source(replica, disk_scan_rows(replica->disk, from_seq, n, ret_rows));
}

static void source_hold(void *userdata, bool open) {
        struct replica *replica = userdata;

        if (open)
                disk_read_begin(replica->disk);
        else
                disk_read_end(replica->disk);
}

static struct wal_options log_options(const struct replica *replica) {
        return (struct wal_options){.files = replica->options.files,
                        .member_id = replica->member_id,
                        .seed = replica->options.seed,
                        .segment_bytes = replica->options.segment_bytes,
                        .step_bytes = replica->options.step_bytes};
}

/* Everything is in the database, and nothing in SQLite's log. -EBUSY while somebody reads. */
static int checkpoint(struct disk *d) {
        int r = disk_checkpoint(d);

        return r == 0 ? -EBUSY : r;
}

static int store_first(struct replica *replica, const struct wal_contents *start) {
        struct replica_options *o = &replica->options;
        struct disk_batch *b = &replica->state->batch;
        int r;

        disk_batch_number(b, DISK_MEMBER_ID, replica->member_id);
        disk_batch_number(b, DISK_CLUSTER_ID, replica->cluster_id);
        disk_batch_number(b, DISK_CONFIG_INDEX, o->config_index);
        if (start->base_index > 0) {
                disk_batch_number(b, DISK_APPLIED, start->base_index);
                disk_batch_number(b, DISK_APPLIED_TERM, start->base_term);
                disk_batch_number(b, DISK_LOG_BASE, start->base_index);
                disk_batch_number(b, DISK_LOG_BASE_TERM, start->base_term);
        }
        /* In a cluster of several it waits to be confirmed: see heard.c. */
        if (!o->joining && o->member_count > 1) {
                r = disk_batch_op(b,
                                &(struct disk_op){.table = DISK_HEARD, .id = replica->member_id});
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < o->member_count; i++) {
                r = state_set_member(replica->state, TAKE_PTR(o->members[i]));
                if (r < 0)
                        return r;
        }
        r = disk_write(replica->disk, b);
        if (r < 0)
                return r;
        return checkpoint(replica->disk);
}

/* The members of the options and the identity of this one; durable before anything follows from
 * it. */
static int write_first(
                struct replica *replica, const struct wal_contents *start, struct problem *p) {
        int r = store_first(replica, start);

        return r < 0 ? problem_set(p, -r, 0, NULL, "cannot write %s: %s", disk_path(replica->disk),
                                       disk_error_text(replica->disk))
                     : 0;
}

/* An empty disk: the log comes first, so that a member that has an identity has a log. */
static int bootstrap(struct replica *replica, struct wal_contents *log, struct problem *p) {
        struct wal_options o;
        int r;

        replica->member_id = replica->options.member_id;
        replica->cluster_id = replica->options.cluster_id;
        /* The first members are index 1 of term 1 and in no log: a new member gets them with a
         * whole state, never by replaying a log that begins without them. */
        if (!replica->options.joining)
                *log = (struct wal_contents){.term = 1, .base_index = 1, .base_term = 1};
        o = log_options(replica);
        r = wal_was_written(&o);
        if (r > 0)
                return damage_problem(p,
                                "%s is empty, and the log beside it (kstored.log.*) is not",
                                disk_path(replica->disk));
        if (r < 0)
                return r;
        r = wal_create(&replica->wal, &o, log, p);
        if (r < 0)
                return r;
        r = write_first(replica, log, p);
        if (r < 0)
                return r;
        r = state_reload(replica->state, replica->disk);
        return r < 0 ? problem_set(p, -r, 0, NULL, "cannot read %s: %s", disk_path(replica->disk),
                                       strerror(-r))
                     : 0;
}

static uint64_t term_in(const struct wal_contents *c, uint64_t index) {
        if (index == c->base_index)
                return c->base_term;
        if (index < c->base_index || index > c->base_index + c->entry_count)
                return 0;
        return c->entries[index - c->base_index - 1]->term;
}

/* A crash between the two steps of replica_install(): the database is the new one, the log is still
 * of the time before. */
static int finish_install(struct replica *replica, struct wal_contents *c) {
        uint64_t base = disk_number(replica->disk, DISK_LOG_BASE);
        uint64_t base_term = disk_number(replica->disk, DISK_LOG_BASE_TERM);
        uint64_t term = c->term, vote = c->vote;
        int r;

        if (base < c->base_index || term_in(c, base) == base_term)
                return 0;
        r = wal_reset(replica->wal, base, base_term);
        if (r < 0)
                return r;
        wal_contents_done(c);
        *c = (struct wal_contents){
                        .term = term, .vote = vote, .base_index = base, .base_term = base_term};
        return 0;
}

/* The database may be behind the log, and must be within it. */
static int check_together(
                const struct replica *replica, const struct wal_contents *c, struct problem *p) {
        uint64_t applied = replica->state->applied, last = c->base_index + c->entry_count;

        if (applied < c->base_index)
                return damage_problem(p,
                                "%s holds what was applied up to entry %llu, and its log begins "
                                "behind entry %llu: the entries between them are missing",
                                disk_path(replica->disk), (unsigned long long)applied,
                                (unsigned long long)c->base_index);
        if (applied > last)
                return damage_problem(p,
                                "%s holds what was applied up to entry %llu, and its log ends at "
                                "entry %llu",
                                disk_path(replica->disk), (unsigned long long)applied,
                                (unsigned long long)last);
        if (term_in(c, applied) != replica->state->applied_term)
                return damage_problem(p,
                                "%s and its log are not of one history: entry %llu is of term %llu "
                                "in one and of term %llu in the other",
                                disk_path(replica->disk), (unsigned long long)applied,
                                (unsigned long long)replica->state->applied_term,
                                (unsigned long long)term_in(c, applied));
        return 0;
}

static int write_problem(const struct disk *d, int r, struct problem *p) {
        return problem_set(p, -r, 0, NULL, "cannot write %s: %s", disk_path(d), strerror(-r));
}

/* The log of a database of format 1 moves to files of its own; again from the start after a crash.
 */
static int move_old_log(struct replica *replica, struct wal_contents *c, struct problem *p) {
        struct wal_options o = log_options(replica);
        int r = wal_create(&replica->wal, &o, c, p);

        if (r < 0)
                return r;
        r = disk_drop_old_log(replica->disk);
        if (r < 0)
                return write_problem(replica->disk, r, p);
        /* While another program reads it, the table may come back. */
        r = checkpoint(replica->disk);
        return r < 0 ? write_problem(replica->disk, r, p) : 0;
}

static int open_log(struct replica *replica, struct wal_contents *c, struct problem *p) {
        struct wal_options o = log_options(replica);
        uint64_t applied = replica->state->applied, keep = replica->options.snapshot_count;
        int r = disk_old_log(replica->disk, c);

        if (r < 0)
                return r;
        if (r > 0)
                return move_old_log(replica, c, p);
        o.skip_to = applied > keep ? applied - keep : 0;
        r = wal_open(&replica->wal, &o, c, p);
        if (r == -ENOENT)
                return damage_problem(p, "the log beside %s (kstored.log.*) is gone",
                                disk_path(replica->disk));
        if (r < 0)
                return r;
        return finish_install(replica, c);
}

static int load_raft(struct replica *replica, const struct wal_contents *c, struct problem *p) {
        const struct replica_options *v = &replica->options;
        struct raft_options o = {.id = replica->member_id,
                        .seed = v->seed,
                        /* Ticks are half a heartbeat: elections end sooner. */
                        .heartbeat_ticks = 2,
                        .election_ticks = MAX(2 * v->election_ms / v->heartbeat_ms, 4u),
                        .config = replica_config(replica),
                        .term = c->term,
                        .vote = c->vote,
                        .commit = replica->state->applied,
                        .applied = replica->state->applied,
                        .snapshot_index = c->base_index,
                        .snapshot_term = c->base_term,
                        .entries = c->entries,
                        .entry_count = c->entry_count};
        int r = raft_new(&replica->raft, &o);

        if (r == -EINVAL)
                return damage_problem(p, "the log beside %s contradicts itself",
                                disk_path(replica->disk));
        if (r < 0)
                return r;
        /* As if the first members had always been index 1 (see bootstrap()). */
        if (o.snapshot_index == 0 && o.applied > 0)
                raft_compact(replica->raft, 1);
        return 0;
}

static int load_log(struct replica *replica, struct wal_contents *log, struct problem *p) {
        int r;

        if (disk_is_new(replica->disk))
                return bootstrap(replica, log, p);
        replica->member_id = disk_number(replica->disk, DISK_MEMBER_ID);
        replica->cluster_id = disk_number(replica->disk, DISK_CLUSTER_ID);
        r = state_load(replica->state, replica->disk, p);
        if (r < 0)
                return r;
        return open_log(replica, log, p);
}

static int load(struct replica *replica, struct problem *p) {
        _cleanup_(wal_contents_done) struct wal_contents log = {0};
        int r = load_log(replica, &log, p);

        if (r < 0)
                return r;
        r = check_together(replica, &log, p);
        if (r < 0)
                return r;
        r = load_raft(replica, &log, p);
        if (r < 0)
                return r;
        replica->settled = replica->state->applied;
        replica->fresh = replica->state->unconfirmed != 0 &&
                         replica->state->unconfirmed == replica->member_id;
        replica->heard_durable = replica->state->heard_count;
        return 0;
}

int replica_new(struct replica **ret, const struct replica_options *options, uint64_t now_ms,
                struct problem *p) {
        _cleanup_(replica_freep) struct replica *replica = calloc(1, sizeof(*replica));
        struct row_source source = {.find_rev = source_find_rev,
                        .read = source_read,
                        .head = source_head,
                        .scan = source_scan,
                        .hold = source_hold,
                        .userdata = replica};
        /* As etcd: one and a half elections, in whole seconds. */
        int64_t ttl_min_s = ((int64_t)options->election_ms * 3 / 2 + 999) / 1000;
        int r;

        if (!replica)
                return -ENOMEM;
        replica->options = *options;
        if (replica->options.log_bytes_max == 0)
                replica->options.log_bytes_max = REPLICA_LOG_BYTES_MAX;
        replica->disk = options->disk;
        replica->now_ms = now_ms;
        replica->tick_ms = MAX(options->heartbeat_ms / 2, 5u);
        replica->next_tick_ms = now_ms + replica->tick_ms;
        arena_init(&replica->arena);
        r = state_new(&replica->state, &source, MAX(ttl_min_s, (int64_t)1));
        if (r < 0)
                return r;
        r = load(replica, p);
        if (r < 0)
                return r;
        r = hub_new(&replica->hub, replica->state->kv.mvcc, options->fragment_bytes);
        if (r < 0)
                return r;
        /* No other voter to ask: lead at once. */
        if (replica->state->member_count == 1 &&
                        replica->state->members[0]->id == replica->member_id) {
                r = raft_campaign(replica->raft);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(replica);
        return 0;
}

struct replica *replica_free(struct replica *replica) {
        if (!replica)
                return NULL;
        hub_free(replica->hub);
        raft_free(replica->raft);
        wal_batch_clear(&replica->saving);
        disk_batch_clear(&replica->flushing);
        wal_free(replica->wal);
        state_free(replica->state);
        arena_done(&replica->arena);
        free(replica);
        return NULL;
}
