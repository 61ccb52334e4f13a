/* A member's beginning: what the disk holds, or the members that an empty one is given. */
#include "kstored/replica.h"

#include "lib/log.h"

static int source_read(void *userdata, int64_t seq, struct row **ret) {
        int r = disk_read_row(userdata, seq, ret);

        if (r < 0)
                log_error_errno(r, "Reading %s failed", disk_path(userdata));
        return r;
}

static int source_head(void *userdata, int64_t seq, struct row **ret) {
        int r = disk_read_head(userdata, seq, ret);

        if (r < 0)
                log_error_errno(r, "Reading %s failed", disk_path(userdata));
        return r;
}

static int source_find_rev(void *userdata, int64_t rev, int64_t *ret_seq) {
        return disk_find_rev(userdata, rev, ret_seq);
}

static int source_scan(void *userdata, int64_t from_seq, size_t n, struct row **ret_rows) {
        return disk_scan_rows(userdata, from_seq, n, ret_rows);
}

static void source_hold(void *userdata, bool open) {
        if (open)
                disk_read_begin(userdata);
        else
                disk_read_end(userdata);
}

/* Takes the options' members. */
static int bootstrap(struct replica *r, struct problem *p) {
        struct replica_options *o = &r->options;
        struct disk_batch *b = &r->state->batch;
        int q = 0;

        r->member_id = o->member_id;
        r->cluster_id = o->cluster_id;
        disk_batch_number(b, DISK_MEMBER_ID, r->member_id);
        disk_batch_number(b, DISK_CLUSTER_ID, r->cluster_id);
        disk_batch_number(b, DISK_CONFIG_INDEX, o->config_index);
        if (!o->joining) {
                /* The first members are index 1 of term 1 and in no log: a new member gets them
                 * with a whole state, never by replaying a log that begins without them. */
                disk_batch_number(b, DISK_TERM, 1);
                disk_batch_number(b, DISK_COMMIT, 1);
                disk_batch_number(b, DISK_APPLIED, 1);
                disk_batch_number(b, DISK_APPLIED_TERM, 1);
                disk_batch_number(b, DISK_LOG_BASE, 1);
                disk_batch_number(b, DISK_LOG_BASE_TERM, 1);
        }
        for (size_t i = 0; i < o->member_count; i++) {
                struct member *m = o->members[i];

                o->members[i] = NULL;
                if (q >= 0)
                        q = state_set_member(r->state, m);
                else
                        member_free(m);
        }
        if (q < 0)
                return q;
        b->sync = true;
        q = disk_write(r->disk, b);
        if (q < 0)
                return problem_set(p, -q, 0, NULL, "cannot write %s: %s", disk_path(r->disk),
                                disk_error_text(r->disk));
        q = state_reload(r->state, r->disk);
        return q < 0 ? problem_set(p, -q, 0, NULL, "cannot read %s: %s", disk_path(r->disk),
                                       strerror(-q))
                     : 0;
}

static int load_raft(struct replica *r, struct problem *p) {
        const struct replica_options *v = &r->options;
        struct raft_options o = {.id = r->member_id,
                        .seed = v->seed,
                        /* Ticks are half a heartbeat: elections end sooner that way. */
                        .heartbeat_ticks = 2,
                        .election_ticks = MAX(2 * v->election_ms / v->heartbeat_ms, 4u),
                        .config = replica_config(r),
                        .term = disk_number(r->disk, DISK_TERM),
                        .vote = disk_number(r->disk, DISK_VOTE),
                        .commit = disk_number(r->disk, DISK_COMMIT),
                        .applied = r->state->applied,
                        .snapshot_index = disk_number(r->disk, DISK_LOG_BASE),
                        .snapshot_term = disk_number(r->disk, DISK_LOG_BASE_TERM)};
        int q = disk_load_log(r->disk, &o.entries, &o.entry_count);

        if (q >= 0)
                q = raft_new(&r->raft, &o);
        for (size_t i = 0; i < o.entry_count; i++)
                raft_entry_unref(o.entries[i]);
        free(o.entries);
        /* As if the first members had always been index 1 (see bootstrap()). */
        if (q >= 0 && o.snapshot_index == 0 && o.applied > 0)
                raft_compact(r->raft, 1);
        if (q < 0)
                return problem_set(p, -q, 0, NULL,
                                "the log in %s contradicts itself (%s); restore a backup, or "
                                "remove the member from the cluster and add it again empty",
                                disk_path(r->disk), strerror(-q));
        return 0;
}

static int load(struct replica *r, struct problem *p) {
        int q;

        if (disk_is_new(r->disk))
                q = bootstrap(r, p);
        else {
                r->member_id = disk_number(r->disk, DISK_MEMBER_ID);
                r->cluster_id = disk_number(r->disk, DISK_CLUSTER_ID);
                q = state_load(r->state, r->disk, p);
        }
        return q < 0 ? q : load_raft(r, p);
}

int replica_new(struct replica **ret, const struct replica_options *options, uint64_t now_ms,
                struct problem *p) {
        _cleanup_(replica_freep) struct replica *r = calloc(1, sizeof(*r));
        struct row_source source = {.find_rev = source_find_rev,
                        .read = source_read,
                        .head = source_head,
                        .scan = source_scan,
                        .hold = source_hold,
                        .userdata = options->disk};
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
        disk_batch_clear(&r->saving);
        state_free(r->state);
        arena_done(&r->arena);
        free(r);
        return NULL;
}
