/* A member's beginning: what the disk holds, or the members that an empty one is given. */
#include "kstored/replica/replica.h"

#include "kstored/disk/damage.h"
#include "lib/log.h"

/* What the state machine reads back. Damage ends the member, so that it answers no more; what could
 * not be read may be readable again, so that it ends only the request, and is looked into. */
static int check_source(struct replica *r, int q) {
        if (q >= 0)
                return q;
        log_error_errno(q, "Reading %s failed", disk_path(r->disk));
        r->in_doubt = true;
        if (q == -EBADMSG)
                replica_fail(r, q, "The database is damaged: a row is not what was written");
        return q;
}

static int source_read(void *userdata, int64_t seq, struct row **ret) {
        struct replica *r = userdata;

        return check_source(r, disk_read_row(r->disk, seq, ret));
}

static int source_head(void *userdata, int64_t seq, struct row **ret) {
        struct replica *r = userdata;

        return check_source(r, disk_read_head(r->disk, seq, ret));
}

static int source_find_rev(void *userdata, int64_t rev, int64_t *ret_seq) {
        struct replica *r = userdata;

        return check_source(r, disk_find_rev(r->disk, rev, ret_seq));
}

static int source_scan(void *userdata, int64_t from_seq, size_t n, struct row **ret_rows) {
        struct replica *r = userdata;

        return check_source(r, disk_scan_rows(r->disk, from_seq, n, ret_rows));
}

static void source_hold(void *userdata, bool open) {
        struct replica *r = userdata;

        if (open)
                disk_read_begin(r->disk);
        else
                disk_read_end(r->disk);
}

static struct wal_options log_options(const struct replica *r) {
        return (struct wal_options){.files = r->options.files,
                        .member_id = r->member_id,
                        .seed = r->options.seed,
                        .segment_bytes = r->options.segment_bytes,
                        .step_bytes = r->options.step_bytes};
}

/* The members of the options, and who this is; durable before anything follows from it. */
static int write_first(struct replica *r, const struct wal_contents *start, struct problem *p) {
        struct replica_options *o = &r->options;
        struct disk_batch *b = &r->state->batch;
        int q = 0;

        disk_batch_number(b, DISK_MEMBER_ID, r->member_id);
        disk_batch_number(b, DISK_CLUSTER_ID, r->cluster_id);
        disk_batch_number(b, DISK_CONFIG_INDEX, o->config_index);
        if (start->base_index > 0) {
                disk_batch_number(b, DISK_APPLIED, start->base_index);
                disk_batch_number(b, DISK_APPLIED_TERM, start->base_term);
                disk_batch_number(b, DISK_LOG_BASE, start->base_index);
                disk_batch_number(b, DISK_LOG_BASE_TERM, start->base_term);
        }
        /* Among others it waits to be confirmed: see replica-heard.c. */
        if (!o->joining && o->member_count > 1)
                q = disk_batch_op(b, &(struct disk_op){.table = DISK_HEARD, .id = r->member_id});
        for (size_t i = 0; i < o->member_count; i++) {
                struct member *m = o->members[i];

                o->members[i] = NULL;
                if (q >= 0)
                        q = state_set_member(r->state, m);
                else
                        member_free(m);
        }
        if (q >= 0)
                q = disk_write(r->disk, b);
        if (q >= 0)
                q = disk_checkpoint(r->disk);
        if (q == 0)
                q = -EBUSY; /* nobody reads it yet */
        return q < 0 ? problem_set(p, -q, 0, NULL, "cannot write %s: %s", disk_path(r->disk),
                                       disk_error_text(r->disk))
                     : 0;
}

/* An empty disk: the log comes first, so that a member that knows who it is has one. */
static int bootstrap(struct replica *r, struct wal_contents *log, struct problem *p) {
        struct wal_options o;
        int q;

        r->member_id = r->options.member_id;
        r->cluster_id = r->options.cluster_id;
        /* The first members are index 1 of term 1 and in no log: a new member gets them with a
         * whole state, never by replaying a log that begins without them. */
        if (!r->options.joining)
                *log = (struct wal_contents){.term = 1, .base_index = 1, .base_term = 1};
        o = log_options(r);
        q = wal_was_written(&o);
        if (q > 0)
                return damage_problem(p,
                                "%s is empty, and the log beside it (kstored.log.*) is not",
                                disk_path(r->disk));
        if (q >= 0)
                q = wal_create(&r->wal, &o, log, p);
        if (q >= 0)
                q = write_first(r, log, p);
        if (q < 0)
                return q;
        q = state_reload(r->state, r->disk);
        return q < 0 ? problem_set(p, -q, 0, NULL, "cannot read %s: %s", disk_path(r->disk),
                                       strerror(-q))
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
static int finish_install(struct replica *r, struct wal_contents *c) {
        uint64_t base = disk_number(r->disk, DISK_LOG_BASE);
        uint64_t base_term = disk_number(r->disk, DISK_LOG_BASE_TERM);
        uint64_t term = c->term, vote = c->vote;
        int q;

        if (base < c->base_index || term_in(c, base) == base_term)
                return 0;
        q = wal_reset(r->wal, base, base_term);
        if (q < 0)
                return q;
        wal_contents_done(c);
        *c = (struct wal_contents){
                        .term = term, .vote = vote, .base_index = base, .base_term = base_term};
        return 0;
}

/* The database may be behind the log, and must be within it. */
static int check_together(
                const struct replica *r, const struct wal_contents *c, struct problem *p) {
        uint64_t applied = r->state->applied, last = c->base_index + c->entry_count;

        if (applied < c->base_index)
                return damage_problem(p,
                                "%s holds what was applied up to entry %llu, and its log begins "
                                "behind entry %llu: what is between them is gone",
                                disk_path(r->disk), (unsigned long long)applied,
                                (unsigned long long)c->base_index);
        if (applied > last)
                return damage_problem(p,
                                "%s holds what was applied up to entry %llu, and its log ends at "
                                "entry %llu",
                                disk_path(r->disk), (unsigned long long)applied,
                                (unsigned long long)last);
        if (term_in(c, applied) != r->state->applied_term)
                return damage_problem(p,
                                "%s and its log are not of one history: entry %llu is of term %llu "
                                "in one and of term %llu in the other",
                                disk_path(r->disk), (unsigned long long)applied,
                                (unsigned long long)r->state->applied_term,
                                (unsigned long long)term_in(c, applied));
        return 0;
}

/* The log of a database of format 1 moves to files of its own; again from the start after a crash.
 */
static int move_old_log(struct replica *r, struct wal_contents *c, struct problem *p) {
        struct wal_options o = log_options(r);
        int q = wal_create(&r->wal, &o, c, p);

        if (q < 0)
                return q;
        q = disk_drop_old_log(r->disk);
        if (q >= 0)
                q = disk_checkpoint(r->disk);
        if (q == 0)
                q = -EBUSY; /* another program reads it: the table may come back */
        return q < 0 ? problem_set(p, -q, 0, NULL, "cannot write %s: %s", disk_path(r->disk),
                                       strerror(-q))
                     : 0;
}

static int open_log(struct replica *r, struct wal_contents *c, struct problem *p) {
        struct wal_options o = log_options(r);
        uint64_t applied = r->state->applied, keep = r->options.snapshot_count;
        int q = disk_old_log(r->disk, c);

        if (q > 0)
                return move_old_log(r, c, p);
        o.skip_to = applied > keep ? applied - keep : 0;
        if (q >= 0)
                q = wal_open(&r->wal, &o, c, p);
        if (q == -ENOENT)
                return damage_problem(
                                p, "the log beside %s (kstored.log.*) is gone", disk_path(r->disk));
        if (q >= 0)
                q = finish_install(r, c);
        return q;
}

static int load_raft(struct replica *r, const struct wal_contents *c, struct problem *p) {
        const struct replica_options *v = &r->options;
        struct raft_options o = {.id = r->member_id,
                        .seed = v->seed,
                        /* Ticks are half a heartbeat: elections end sooner that way. */
                        .heartbeat_ticks = 2,
                        .election_ticks = MAX(2 * v->election_ms / v->heartbeat_ms, 4u),
                        .config = replica_config(r),
                        .term = c->term,
                        .vote = c->vote,
                        .commit = r->state->applied,
                        .applied = r->state->applied,
                        .snapshot_index = c->base_index,
                        .snapshot_term = c->base_term,
                        .entries = c->entries,
                        .entry_count = c->entry_count};
        int q = raft_new(&r->raft, &o);

        /* As if the first members had always been index 1 (see bootstrap()). */
        if (q >= 0 && o.snapshot_index == 0 && o.applied > 0)
                raft_compact(r->raft, 1);
        if (q == -EINVAL)
                return damage_problem(
                                p, "the log beside %s contradicts itself", disk_path(r->disk));
        return q;
}

static int load(struct replica *r, struct problem *p) {
        struct wal_contents log = {0};
        int q;

        if (disk_is_new(r->disk))
                q = bootstrap(r, &log, p);
        else {
                r->member_id = disk_number(r->disk, DISK_MEMBER_ID);
                r->cluster_id = disk_number(r->disk, DISK_CLUSTER_ID);
                q = state_load(r->state, r->disk, p);
                if (q >= 0)
                        q = open_log(r, &log, p);
        }
        if (q >= 0)
                q = check_together(r, &log, p);
        if (q >= 0)
                q = load_raft(r, &log, p);
        r->settled = r->state->applied;
        r->fresh = r->state->unconfirmed != 0 && r->state->unconfirmed == r->member_id;
        r->heard_durable = r->state->heard_count;
        wal_contents_done(&log);
        return q;
}

int replica_new(struct replica **ret, const struct replica_options *options, uint64_t now_ms,
                struct problem *p) {
        _cleanup_(replica_freep) struct replica *r = calloc(1, sizeof(*r));
        struct row_source source = {.find_rev = source_find_rev,
                        .read = source_read,
                        .head = source_head,
                        .scan = source_scan,
                        .hold = source_hold,
                        .userdata = r};
        /* As etcd: one and a half elections, in whole seconds. */
        int64_t ttl_min_s = ((int64_t)options->election_ms * 3 / 2 + 999) / 1000;
        int q;

        if (!r)
                return -ENOMEM;
        r->options = *options;
        if (r->options.log_bytes_max == 0)
                r->options.log_bytes_max = REPLICA_LOG_BYTES_MAX;
        r->disk = options->disk;
        r->now_ms = now_ms;
        r->tick_ms = MAX(options->heartbeat_ms / 2, 5u);
        r->next_tick_ms = now_ms + r->tick_ms;
        arena_init(&r->arena);
        q = state_new(&r->state, &source, MAX(ttl_min_s, (int64_t)1));
        if (q >= 0)
                q = load(r, p);
        if (q >= 0)
                q = hub_new(&r->hub, r->state->kv.mvcc, options->fragment_bytes);
        /* Nobody else to ask: lead at once. */
        if (q >= 0 && r->state->member_count == 1 && r->state->members[0]->id == r->member_id)
                q = raft_campaign(r->raft);
        if (q < 0)
                return q;
        *ret = TAKE_PTR(r);
        return 0;
}

struct replica *replica_free(struct replica *r) {
        if (!r)
                return NULL;
        hub_free(r->hub);
        raft_free(r->raft);
        wal_batch_clear(&r->saving);
        disk_batch_clear(&r->flushing);
        wal_free(r->wal);
        state_free(r->state);
        arena_done(&r->arena);
        free(r);
        return NULL;
}
