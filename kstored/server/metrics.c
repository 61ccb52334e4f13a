/* Metrics with etcd's names and labels. Values that the server keeps anyway are read when /metrics
 * is requested; durations are observed as they happen. Series of a member begin with its first
 * message or ping.
 */
#include "kstored/server/metrics.h"

#include <sys/resource.h>

#include "config.h"
#include "kstored/server/server.h"
#include "kstored/service/maintenance.h"
#include "kstored/service/requests.h"
#include "kstored/service/services.h"
#include "kstored/snapshot/receive.h"

enum { LABELS_SIZE = 160 };

/* A figure that is read from the server. */
struct figure {
        const char *name, *help;
        bool counter;
        double (*value)(struct server *s, const struct raft_status *status);
};

struct method_series {
        struct metric *started, *received, *sent, *handled[GRPC_CODES], *seconds;
};

struct server_metrics {
        struct server *server;
        struct metrics *all;
        struct metric **figures;
        struct method_series *methods;
        struct metric *fsync, *commit, *defragment;
        struct {
                uint64_t member, bytes, failures;
        } received[RAFT_MEMBERS_MAX];
        size_t received_count;
};

static struct server_metrics *metrics_of(const struct server *s) {
        return server_part(s, SERVER_PART_METRICS);
}

#define FIGURE(func, expr) \
        static double func(struct server *s, const struct raft_status *status) { \
                return (double)(expr); \
        }
FIGURE(has_leader, status->leader != 0)
FIGURE(is_leader, status->role == RAFT_LEADER)
FIGURE(is_learner, status->learner)
FIGURE(leader_changes, s->counts.leader_changes)
FIGURE(committed, status->commit)
FIGURE(applied, s->state->applied)
FIGURE(pending, requests_pending(s))
FIGURE(failed, s->counts.proposals_failed)
FIGURE(reads_failed, s->counts.read_indexes_failed)
FIGURE(reads_slow, s->counts.read_indexes_slow)
FIGURE(slow_applies, s->counts.slow_applies)
FIGURE(health_ok, s->counts.health_ok)
FIGURE(health_failed, s->counts.health_failed)
FIGURE(quota, s->options->quota_bytes)
FIGURE(receives_snapshot, snapshot_is_received(s))
FIGURE(db_size, disk_size(s->disk).size)
FIGURE(db_in_use, disk_size(s->disk).in_use)
FIGURE(keys, mvcc_key_count(s->state->kv.mvcc))
FIGURE(revision, mvcc_rev(s->state->kv.mvcc))
FIGURE(compact_revision, mvcc_compact_rev(s->state->kv.mvcc))
FIGURE(watchers, hub_watcher_count(s->hub))
FIGURE(client_received, grpc_server_traffic(s->grpc).received_bytes)
FIGURE(client_sent, grpc_server_traffic(s->grpc).sent_bytes)
FIGURE(disconnected, peers_disconnects(s->peers))
FIGURE(defragmenting, s->counts.defragmenting)
FIGURE(fds, process_open_fds())
FIGURE(leases, lessor_count(s->state->kv.lessor))
FIGURE(connections, grpc_server_traffic(s->grpc).connections)
#undef FIGURE

static double fd_limit(struct server *s, const struct raft_status *status) {
        struct rlimit files = {0};

        (void)getrlimit(RLIMIT_NOFILE, &files);
        return (double)files.rlim_cur;
}

static double watch_streams(struct server *s, const struct raft_status *status) {
        uint64_t n = 0;

        for (size_t i = 0; i < server_method_count; i++)
                if (streq(server_methods[i].path, "/etcdserverpb.Watch/Watch")) {
                        const struct grpc_method_stats *x = grpc_server_stats(s->grpc, i);

                        n = x->started;
                        for (size_t k = 0; k < GRPC_CODES; k++)
                                n -= x->handled[k];
                }
        return (double)n;
}

static const struct figure figures[] = {
                {"etcd_server_has_leader", "Whether a leader is known.", false, has_leader},
                {"etcd_server_is_leader", "Whether this member leads.", false, is_leader},
                {"etcd_server_is_learner", "Whether this member is a learner.", false, is_learner},
                {"etcd_server_leader_changes_seen_total", "Changes of the leader.", true,
                                leader_changes},
                {"etcd_server_proposals_committed_total", "Index of the last committed entry.",
                                false, committed},
                {"etcd_server_proposals_applied_total", "Index of the last applied entry.", false,
                                applied},
                {"etcd_server_proposals_pending", "Proposals that wait.", false, pending},
                {"etcd_server_proposals_failed_total", "Proposals that failed.", true, failed},
                {"etcd_server_read_indexes_failed_total", "Read barriers that failed.", true,
                                reads_failed},
                {"etcd_server_slow_read_indexes_total", "Read barriers that were repeated.", true,
                                reads_slow},
                {"etcd_server_slow_apply_total", "Rounds of applying over 100 ms.", true,
                                slow_applies},
                {"etcd_server_health_success", "Successful answers of /health.", true, health_ok},
                {"etcd_server_health_failures", "Failed answers of /health.", true, health_failed},
                {"etcd_server_quota_backend_bytes", "The quota of the database.", false, quota},
                {"etcd_server_snapshot_apply_in_progress_total",
                                "1 while the state of another member is loaded.", false,
                                receives_snapshot},
                {"etcd_mvcc_db_total_size_in_bytes", "Size of the database.", false, db_size},
                {"etcd_mvcc_db_total_size_in_use_in_bytes",
                                "Part of the database file that is in use.", false, db_in_use},
                {"etcd_debugging_mvcc_keys_total",
                                "Keys in the index, deleted ones that are not compacted included.",
                                false, keys},
                {"etcd_debugging_mvcc_current_revision", "The current revision.", false, revision},
                {"etcd_debugging_mvcc_compact_revision", "The last compacted revision.", false,
                                compact_revision},
                {"etcd_debugging_mvcc_watcher_total", "Watchers.", false, watchers},
                {"etcd_debugging_mvcc_watch_stream_total", "Streams of watchers.", false,
                                watch_streams},
                {"etcd_network_client_grpc_received_bytes_total", "Bytes of messages from clients.",
                                true, client_received},
                {"etcd_network_client_grpc_sent_bytes_total", "Bytes of messages to clients.", true,
                                client_sent},
                {"etcd_network_disconnected_peers_total", "Times that a member became unreachable.",
                                true, disconnected},
                {"etcd_disk_defrag_inflight", "Whether defragmenting is under way.", false,
                                defragmenting},
                {"os_fd_used", "Open file descriptors.", false, fds},
                {"os_fd_limit", "File descriptors that may be open.", false, fd_limit},
                {"kstored_leases", "Leases.", false, leases},
                {"kstored_client_connections", "Connections of gRPC clients.", false, connections},
};

/* ---- gRPC ---- */

static const char *const codes[GRPC_CODES] = {"OK", "Canceled", "Unknown", "InvalidArgument",
                "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
                "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
                "Internal", "Unavailable", "DataLoss", "Unauthenticated"};

static const char *method_type(const struct grpc_method *m) {
        if (streq(m->path, "/etcdserverpb.Maintenance/Snapshot") ||
                        streq(m->path, "/grpc.health.v1.Health/Watch"))
                return "server_stream";
        return m->streaming ? "bidi_stream" : "unary";
}

static void add_method(
                struct server_metrics *x, const struct grpc_method *m, struct method_series *ret) {
        const char *service = m->path + 1, *name = strchr(service, '/') + 1;
        char labels[LABELS_SIZE], with_code[LABELS_SIZE + 32];

        (void)snprintf(labels, sizeof(labels),
                        "grpc_method=\"%s\",grpc_service=\"%.*s\",grpc_type=\"%s\"", name,
                        (int)(name - 1 - service), service, method_type(m));
        ret->started = metrics_counter(
                        x->all, "grpc_server_started_total", labels, "RPCs that began.");
        ret->received = metrics_counter(x->all, "grpc_server_msg_received_total", labels,
                        "Messages received from clients.");
        ret->sent = metrics_counter(
                        x->all, "grpc_server_msg_sent_total", labels, "Messages sent to clients.");
        ret->seconds = metrics_histogram_bounds(x->all, "grpc_server_handling_seconds", labels,
                        "How long RPCs took.", grpc_slower_s, GRPC_SLOWER);
        for (size_t i = 0; i < GRPC_CODES; i++) {
                (void)snprintf(with_code, sizeof(with_code), "grpc_code=\"%s\",%s", codes[i],
                                labels);
                ret->handled[i] = metrics_counter(
                                x->all, "grpc_server_handled_total", with_code, "RPCs that ended.");
        }
}

static void refresh_method(const struct grpc_method_stats *stats, struct method_series *m) {
        uint64_t handled = 0;

        metric_set(m->started, (double)stats->started);
        metric_set(m->received, (double)stats->received);
        metric_set(m->sent, (double)stats->sent);
        for (size_t i = 0; i < GRPC_CODES; i++) {
                metric_set(m->handled[i], (double)stats->handled[i]);
                handled += stats->handled[i];
        }
        metric_set_histogram(m->seconds, stats->slower, handled, stats->seconds);
}

/* ---- members ---- */

void server_count_received(struct server *s, uint64_t from, size_t bytes, bool failed) {
        struct server_metrics *x = metrics_of(s);
        size_t i = 0;

        while (i < x->received_count && x->received[i].member != from)
                i++;
        if (i == ELEMENTS(x->received)) /* the one that was removed first makes room */
                i = 0;
        else if (i == x->received_count)
                x->received_count++;
        if (x->received[i].member != from) {
                x->received[i].member = from;
                x->received[i].bytes = x->received[i].failures = 0;
        }
        x->received[i].bytes += bytes;
        x->received[i].failures += failed;
}

static void set_for_member(struct server_metrics *x, bool counter, const char *name,
                const char *label, uint64_t member, const char *help, double v) {
        char labels[LABELS_SIZE];

        (void)snprintf(labels, sizeof(labels), "%s=\"%llx\"", label, (unsigned long long)member);
        metric_set(counter ? metrics_counter(x->all, name, labels, help)
                           : metrics_gauge(x->all, name, labels, help),
                        v);
}

static void refresh_members(struct server_metrics *x) {
        struct peer_sent sent[RAFT_MEMBERS_MAX];
        struct server *s = x->server;
        size_t n = peers_sent(s->peers, sent);
        char labels[LABELS_SIZE];

        metrics_zero(x->all, "etcd_network_active_peers"); /* also of those that were removed */
        for (size_t i = 0; i < n; i++) {
                set_for_member(x, true, "etcd_network_peer_sent_bytes_total", "To", sent[i].id,
                                "Bytes of messages to a member.", (double)sent[i].bytes);
                set_for_member(x, true, "etcd_network_peer_sent_failures_total", "To", sent[i].id,
                                "Messages to a member that could not be sent.",
                                (double)sent[i].failures);
                (void)snprintf(labels, sizeof(labels), "Local=\"%llx\",Remote=\"%llx\"",
                                (unsigned long long)s->member_id, (unsigned long long)sent[i].id);
                metric_set(metrics_gauge(x->all, "etcd_network_active_peers", labels,
                                           "Reachable members."),
                                sent[i].connected);
        }
        for (size_t i = 0; i < x->received_count; i++) {
                set_for_member(x, true, "etcd_network_peer_received_bytes_total", "From",
                                x->received[i].member, "Bytes of messages from a member.",
                                (double)x->received[i].bytes);
                set_for_member(x, true, "etcd_network_peer_received_failures_total", "From",
                                x->received[i].member,
                                "Messages from a member that could not be processed.",
                                (double)x->received[i].failures);
        }
}

void server_metrics_round_trip(struct server *s, uint64_t member, uint64_t us) {
        struct server_metrics *x = metrics_of(s);
        char labels[LABELS_SIZE];

        (void)snprintf(labels, sizeof(labels), "To=\"%llx\"", (unsigned long long)member);
        metric_observe(metrics_histogram_exponential(x->all,
                                       "etcd_network_peer_round_trip_time_seconds", labels,
                                       "Pings of a member.", 0.0001, 2, 16),
                        (double)us / 1e6);
}

/* ---- all ---- */

void server_metrics_check(struct server *s, const char *type, const char *name, bool ok) {
        struct server_metrics *x = metrics_of(s);
        char labels[LABELS_SIZE];

        (void)snprintf(labels, sizeof(labels), "type=\"%s\",name=\"%s\"", type, name);
        metric_set(metrics_gauge(x->all, "etcd_server_healthcheck", labels,
                                   "The result of each kind of check."),
                        ok);
        (void)snprintf(labels, sizeof(labels), "type=\"%s\",name=\"%s\",status=\"%s\"", type, name,
                        ok ? "success" : "error");
        metric_add(metrics_counter(x->all, "etcd_server_healthchecks_total", labels,
                                   "Checks of each kind."),
                        1);
}

void server_metrics_saved(struct server *s, uint64_t us) {
        metric_observe(metrics_of(s)->fsync, (double)us / 1e6);
}

void server_metrics_flushed(struct server *s, uint64_t us) {
        metric_observe(metrics_of(s)->commit, (double)us / 1e6);
}

void server_metrics_defragmented(struct server *s, uint64_t us) {
        metric_observe(metrics_of(s)->defragment, (double)us / 1e6);
}

static void refresh(void *userdata) {
        struct server_metrics *x = userdata;
        struct server *s = x->server;
        struct raft_status status;

        raft_get_status(s->raft, &status);
        for (size_t i = 0; i < ELEMENTS(figures); i++)
                metric_set(x->figures[i], figures[i].value(s, &status));
        for (size_t i = 0; i < server_method_count; i++)
                refresh_method(grpc_server_stats(s->grpc, i), &x->methods[i]);
        refresh_members(x);
}

/* Facts that are labels, as etcd has them. */
static void add_facts(struct server_metrics *x) {
        char labels[LABELS_SIZE];

        (void)snprintf(labels, sizeof(labels), "server_version=\"%s\"", server_version);
        metric_set(metrics_gauge(x->all, "etcd_server_version", labels,
                                   "The version that clients see."),
                        1);
        (void)snprintf(labels, sizeof(labels), "cluster_version=\"%s\"", server_cluster_version);
        metric_set(metrics_gauge(x->all, "etcd_cluster_version", labels,
                                   "The version of the API of the cluster."),
                        1);
        (void)snprintf(labels, sizeof(labels), "server_id=\"%llx\"",
                        (unsigned long long)x->server->member_id);
        metric_set(metrics_gauge(x->all, "etcd_server_id", labels, "This member."), 1);
        (void)snprintf(labels, sizeof(labels), "version=\"%s\"", PACKAGE_VERSION);
        metric_set(metrics_gauge(x->all, "kstored_build_info", labels, "This program."), 1);
}

static int start(struct server *s, void *state, struct problem *p) {
        struct server_metrics *x = state;
        struct metrics *m = s->all_metrics;

        x->server = s;
        x->all = m;
        x->figures = calloc(ELEMENTS(figures), sizeof(*x->figures));
        x->methods = calloc(server_method_count, sizeof(*x->methods));
        if (!x->figures || !x->methods)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(figures); i++)
                x->figures[i] = (figures[i].counter ? metrics_counter : metrics_gauge)(
                                m, figures[i].name, "", figures[i].help);
        x->fsync = metrics_histogram_exponential(m, "etcd_disk_wal_fsync_duration_seconds", "",
                        "Time to make the log durable.", 0.001, 2, 14);
        x->commit = metrics_histogram_exponential(m, "etcd_disk_backend_commit_duration_seconds",
                        "", "Time of a transaction of the database.", 0.001, 2, 14);
        x->defragment = metrics_histogram_exponential(m,
                        "etcd_disk_backend_defrag_duration_seconds", "", "Time to defragment.", 0.1,
                        2, 13);
        for (size_t i = 0; i < server_method_count; i++)
                add_method(x, &server_methods[i], &x->methods[i]);
        add_facts(x);
        return metrics_on_render(m, refresh, x);
}

static void end(struct server *s, void *state) {
        struct server_metrics *x = state;

        if (x->all)
                metrics_off_render(x->all, refresh, x);
        x->figures = mfree(x->figures);
        x->methods = mfree(x->methods);
}

const struct server_part metrics_part = {.name = "metrics",
                .size = sizeof(struct server_metrics),
                .start = start,
                .end = end};
