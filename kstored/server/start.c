/* Start and end of the server. The start: the parts' options, the replica with what the disk holds,
 * threads, the parts. */
#include "kstored/backup/replace-data.h"
#include "kstored/disk/damage.h"
#include "kstored/server/auto-tls.h"
#include "kstored/server/drive.h"
#include "kstored/server/identity.h"
#include "kstored/server/server.h"
#include "lib/log.h"
#include "lib/random.h"

static int start_replica(struct server *s, struct replica_options *o, struct member **members,
                struct problem *p) {
        if (disk_is_new(s->disk)) {
                int r = identity_first_members(s, o, members, p);

                if (r < 0)
                        return r;
        }
        return replica_new(&s->replica, o, server_now_ms(), p);
}

static int make_replica(struct server *s, struct problem *p) {
        struct server_options *o = s->options;
        struct member *members[RAFT_MEMBERS_MAX] = {0};
        struct replica_options ro = {.ops = &drive_ops,
                        .userdata = s,
                        .seed = random_u64(),
                        .heartbeat_ms = o->heartbeat_ms,
                        .election_ms = o->election_ms,
                        .snapshot_count = o->snapshot_count,
                        .fragment_bytes = (size_t)o->max_request_bytes + SERVER_REQUEST_OVERHEAD,
                        .no_fsync = o->unsafe_no_fsync,
                        .members = members};
        int r = damage_check(o->data_dir, p);

        if (r < 0)
                return r;
        r = disk_open(&s->disk, o->data_dir, p);
        if (r < 0)
                return r;
        r = wal_files_new(&s->log_files, o->data_dir);
        if (r < 0)
                return r;
        r = server_tls(s, p);
        if (r < 0)
                return r;
        ro.disk = s->disk;
        ro.files = s->log_files;
        r = start_replica(s, &ro, members, p);
        for (size_t i = 0; i < ELEMENTS(members); i++)
                member_free(members[i]);
        if (r < 0)
                return r;
        replace_ticket_drop(o->data_dir);
        s->state = s->replica->state;
        s->raft = s->replica->raft;
        s->hub = s->replica->hub;
        s->cluster_id = s->replica->cluster_id;
        s->member_id = s->replica->member_id;
        return identity_check(s, p);
}

static int make_threads(struct server *s) {
        int r = worker_new(&s->writer, s->event);

        if (r < 0)
                return r;
        r = worker_new(&s->flusher, s->event);
        return r < 0 ? r : worker_new(&s->keeper, s->event);
}

int server_new(struct server **ret, sd_event *event, struct metrics *metrics,
                struct server_options *options, struct problem *p) {
        _cleanup_(server_freep) struct server *s = calloc(1, sizeof(*s));
        struct raft_status status;
        int r;

        if (!s)
                return -ENOMEM;
        s->options = options;
        s->event = event;
        s->all_metrics = metrics;
        arena_init(&s->arena);
        r = parts_new(s, p);
        if (r < 0)
                return r;
        r = make_replica(s, p);
        if (r < 0)
                return r;
        r = make_threads(s);
        if (r < 0)
                return r;
        r = parts_start(s, p);
        if (r < 0)
                return r;
        r = server_start_loop(s);
        if (r < 0)
                return r;
        raft_get_status(s->raft, &status);
        log_info("Member %llx of cluster %llx: %zu keys, revision %lld, log %llu..%llu, applied "
                 "%llu",
                        (unsigned long long)s->member_id, (unsigned long long)s->cluster_id,
                        mvcc_key_count(s->state->kv.mvcc), (long long)mvcc_rev(s->state->kv.mvcc),
                        (unsigned long long)status.first, (unsigned long long)status.last,
                        (unsigned long long)s->state->applied);
        *ret = TAKE_PTR(s);
        return 0;
}

struct server *server_free(struct server *s) {
        if (!s)
                return NULL;
        s->stopping = true;
        parts_stop(s);
        s->grpc = grpc_server_free(s->grpc);
        s->peer_grpc = grpc_server_free(s->peer_grpc);
        s->web = grpc_server_free(s->web);
        sd_event_source_disable_unref(s->post);
        sd_event_source_disable_unref(s->ticker);
        sd_event_source_disable_unref(s->stopper);
        worker_free(s->writer);
        worker_free(s->flusher);
        worker_free(s->keeper);
        parts_end(s);
        peers_free(s->peers);
        if (s->replica)
                replica_last_write(s->replica);
        replica_free(s->replica);
        disk_free(s->disk);
        wal_files_done(&s->log_files);
        arena_done(&s->arena);
        parts_free(s);
        free(s);
        return NULL;
}
