/* One member: Raft core, state machine, disk and clients, brought together on one event loop.
 *
 * The replica (replica.h) does what follows from each event; writes run on a thread, unless
 * nobody else would notice. */
#pragma once

#include <stdatomic.h>
#include <systemd/sd-event.h>

#include "kstored/service/answers.h"
#include "kstored/server/peers.h"
#include "kstored/replica/replica.h"
#include "kstored/server/metrics.h"
#include "lib/worker.h"
#include "lib/daemon.h"
#include "lib/grpc-server.h"

enum {
        SERVER_HELD_BYTES_MAX = 64 * 1024 * 1024, /* of proposals that wait for a leader */
        SERVER_READ_BYTES_MAX = 64 * 1024 * 1024, /* of requests that wait for a read barrier */
        SERVER_PENDING_MAX = 50000, /* requests that wait for the log or a read barrier */
        SERVER_CONNECTIONS_MAX = 20000,
        SERVER_FILES_RESERVE =
                        256, /* descriptors that clients do not get: members, disk, metrics */
        SERVER_CHECKPOINT_BYTES = 4 * 1024 * 1024,
        SERVER_REQUEST_OVERHEAD = 512 * 1024,
        SERVER_SLOW_APPLY_MS = 100,
};

struct server_options {
        char *name;
        char *data_dir;
        char **listen_client_urls;
        char **advertise_client_urls;
        char **listen_peer_urls;
        char **initial_advertise_peer_urls;
        char **initial_cluster;
        char *initial_cluster_state;
        char *initial_cluster_token;
        char *cert_file, *key_file, *trusted_ca_file, *client_crl_file;
        char **client_cert_allowed_cn, **client_cert_allowed_hostname;
        bool auto_tls;
        bool client_cert_auth;
        bool unix_socket_group_access;
        char *peer_cert_file, *peer_key_file, *peer_trusted_ca_file, *peer_crl_file;
        char **peer_cert_allowed_cn, **peer_cert_allowed_hostname;
        bool peer_auto_tls;
        uint32_t self_signed_cert_validity; /* years */
        bool peer_client_cert_auth;
        uint64_t quota_bytes;
        char *auto_compaction_mode;
        char *auto_compaction_retention;
        uint32_t heartbeat_ms;
        uint32_t election_ms;
        uint64_t snapshot_count;
        uint32_t max_txn_ops;
        uint32_t max_request_bytes;
        char **listen_metrics_urls;
        char *log_level;
        bool strict_reconfig_check;
        char *corrupt_check_time;
        bool unsafe_no_fsync;
        struct {
                char *check, *restore, *write_out;
                bool force, other_cluster, dry_run, replace;
        } offline; /* offline.h */
};

struct request;
struct first_life;

struct server {
        struct server_options *options;
        sd_event *event;
        struct replica *replica;
        /* The replica's parts, the same for life, for the services. */
        struct disk *disk;
        struct state *state;
        struct raft *raft;
        struct hub *hub;
        struct grpc_server *grpc;      /* for clients */
        struct grpc_server *peer_grpc; /* for members */
        struct grpc_server *web;       /* of --listen-metrics-urls */
        struct metrics *all_metrics;
        struct server_metrics *metrics;
        struct server_counts counts;
        struct buf metrics_text; /* as of the last rendering, which serves for a moment */
        uint64_t metrics_text_until_ms;
        uint64_t refused_log_ms; /* when a refused client may be logged again */
        uint32_t refused_unlogged;
        struct peers *peers;
        /* As of the last peers_update(): */
        bool peers_known;
        uint64_t peers_changes, peers_config;
        struct tls_files peer_tls, client_tls;
        char *made_files[4];         /* of those: certificates and keys of auto-tls.c */
        uint64_t snapshot_for;       /* asked for in this turn */
        struct sending *sending;     /* a state for a member that fell behind */
        struct receiving *receiving; /* one that comes from the leader */
        struct forward *forwards;
        struct health_watch *health_watches, *health_strangers;
        struct moving *moving;         /* leadership, for a client */
        struct first_life *first_life; /* while this member asks whether it is new */
        struct worker *writer;         /* the log */
        struct worker *flusher;        /* the database */
        struct worker *keeper;         /* copies, hashes and looking for damage */
        uint64_t cluster_id;
        uint64_t member_id;

        struct wal_folder log_files;
        struct scrub *scrub;

        struct request *requests;     /* by id */
        struct request *first, *last; /* by age */
        uint64_t next_request_id;
        struct barrier *barriers, *barriers_last;
        struct barrier *gathering; /* reads that came in this turn */
        uint64_t next_barrier;
        size_t request_count;
        size_t read_bytes;
        uint64_t serving_since_us;     /* the first read of this turn; 0: none yet */
        struct answers *answers;       /* large ones, being made */
        size_t held_count, held_bytes; /* of those, proposals that wait for a leader */

        struct arena arena; /* of the request being read */
        bool published;
        uint64_t published_at_ms;
        bool alarm_asked;
        bool stopping;
        int exit_status;
        uint64_t stop_by_ms;
        int fatal;
        sd_event_source *post, *ticker, *stopper;
        uint64_t sync_at_us; /* lagging watchers have their turn then */
        uint64_t next_second_ms, next_trim_ms;
        uint64_t leaderless_since_ms; /* 0: there is a leader */
        struct autocompact *autocompact;
        struct compact_wait *compact_waits;
        struct hashing *hashings;
        struct snapshot *snapshots; /* copies for clients that wait for a flush */
        struct corrupt_check *corrupt_check;
        uint64_t corrupt_check_us, next_corrupt_check_ms;
        _Atomic bool hashing_stop;
        uint64_t save_started_us, save_us; /* the last one took so long */
        uint64_t flush_started_us;
        uint64_t mark_synced_us; /* when sync_mark() was done last */
        bool mark_syncing;
        uint32_t lone_saves;
        bool write_now; /* what op_write() was given */
};

int server_new(struct server **ret, sd_event *event, struct metrics *metrics,
                struct server_options *options, struct problem *p);
struct server *server_free(struct server *s);
DEFINE_CLEANUP(struct server *, server_free);
int server_listen(struct server *s, struct problem *p);
/* Hands leadership over where there is someone, saves, and ends the loop. */
void server_stop(struct server *s);
/* Stops, because the cluster does without this member. */
void server_removed(struct server *s);
/* How long a request may take: as etcd, five seconds and two elections. */
uint64_t server_time_limit_ms(const struct server *s);
/* Whether a voter can be reached for as long as ms. */
bool server_reaches(const struct server *s, uint64_t member_id, uint64_t ms);
/* auto-tls.c: the files of both sides, made where --auto-tls and --peer-auto-tls ask for it. */
int server_tls(struct server *s, struct problem *p);
void server_tls_done(struct server *s);
bool server_is_ready(void *server, const char **ret_why);
bool server_is_leader(const struct server *s);
/* Makes the links those that the members need now; cheap when nothing changed. */
int server_update_peers(struct server *s);
uint64_t server_now_ms(void);

/* What a request waits with. done is called once: with the outcome, or with an error and no answer.
 */
typedef void (*request_done)(
                struct server *s, struct grpc_call *call, const struct outcome *o, void *userdata);

/* Proposes a command for a call; it is answered by `done` (NULL: the standard answer). call NULL:
 * nobody waits. */
void server_propose(struct server *s, struct grpc_call *call, enum command_kind kind,
                const void *data, size_t n, request_done done);
/* The same for a change of membership. */
void server_propose_change(struct server *s, struct grpc_call *call,
                const struct raft_change *change, const void *data, size_t n, request_done done);
/* Runs `serve` with a copy of the bytes when a linearizable read may be served. */
typedef void (*read_serve)(struct server *s, struct grpc_call *call, const void *data, size_t n);
void server_read(struct server *s, struct grpc_call *call, const void *data, size_t n,
                read_serve serve);
/* Calls ready when a linearizable read may be served, or when it may not: for calls that wait for
 * several things at once. Always once, and never from in here, unless this is refused. */
typedef void (*read_ready)(struct server *s, enum store_error e, void *userdata);
enum store_error server_read_wait(struct server *s, read_ready ready, void *userdata);

/* The answer: header, then fields. */
void server_reply(struct server *s, struct grpc_call *call, int64_t rev, const struct buf *fields);
/* The same where fields may be long; takes what a holds. */
void server_answer(struct server *s, struct grpc_call *call, int64_t rev, struct kv_answer *a);
void server_send_answer(
                struct server *s, struct grpc_call *call, struct buf *head, struct kv_answer *a);
void server_refuse(struct grpc_call *call, enum store_error e);
void server_header(const struct server *s, struct buf *b, int64_t rev);
/* STORE_NO_SPACE when the quota does not allow so many bytes more. */
enum store_error server_check_space(struct server *s, size_t bytes);
/* STORE_TOO_LARGE for requests of so many bytes that etcd would not take either. */
enum store_error server_check_size(const struct server *s, size_t bytes);
/* Ends the program: this member can not go on safely. */
void server_fatal(struct server *s, int error, const char *what);

/* The same because the data of this member are damaged: it does not start again before it was
 * replaced. */
void server_damaged(struct server *s, const char *what);

/* forward.c: passes a call on to the leader. False on the leader: serve it here. */
bool server_forward(struct server *s, struct grpc_call *call, const char *path, const void *data,
                size_t n);
void forwards_end(struct server *s);
/* What a call passed on carries, and whether this one was: it must not be passed on again. */
extern const struct grpc_metadata server_forward_metadata[];
bool server_is_forwarded(const struct grpc_call *call);
/* service-move-leader.c */
void move_leader_turn(struct server *s, uint64_t now_ms);
void move_leader_end(struct server *s);
/* require-leader.c: what clients mean that want to be told when there is no leader. */
bool server_admit(struct grpc_call *call, void *userdata);
void require_leader_turn(struct server *s, uint64_t now_ms);
/* service-snapshot.c */
void service_snapshot_turn(struct server *s, uint64_t now_ms);
void service_snapshot_end(struct server *s);
/* first-life.c: asks the others, while the replica is fresh, whether they know this member. */
void first_life_turn(struct server *s, uint64_t now_ms);
void first_life_over(struct server *s); /* it is not the first: stops with the remedy */
void first_life_soon(struct server *s); /* somebody came in reach */
void first_life_end(struct server *s);
/* snapshot-send.c, snapshot-receive.c */
void snapshot_wanted(struct server *s, uint64_t to);
void snapshot_send_turn(struct server *s, uint64_t now_ms);
void snapshot_receive_turn(struct server *s);
void snapshot_send_end(struct server *s);
void snapshot_receive_end(struct server *s);
/* scrub.c: reads the whole database at the start and once a day, in search of damage, and makes the
 * log's mark durable. */
int scrub_new(struct server *s);
void scrub_turn(struct server *s, uint64_t now_ms);
void scrub_stop(struct server *s); /* before the keeper's end, which it hastens */
void scrub_free(struct server *s); /* after it */
/* corrupt.c: compares the members on the leader, now and then, and raises CORRUPT. */
struct corrupt_check;
void corrupt_check_turn(struct server *s, uint64_t now_ms);
void corrupt_check_end(struct server *s);
/* service-hash.c: the hash of the data at a revision (kstored/disk/disk.h) is given to `done`
 * later, or a negative errno: -ERANGE when it was compacted meanwhile. -ENOBUFS, -ENOMEM. */
typedef void (*hash_done)(struct server *s, int result, int64_t rev, int64_t compact_rev,
                uint32_t hash, void *userdata);
int server_hash(struct server *s, int64_t rev, hash_done done, void *userdata);
void hash_turn(struct server *s, uint64_t now_ms);
void hashes_end(struct server *s);  /* before the keeper's end, which it hastens */
void hashes_done(struct server *s); /* after it */
/* service-peer.c: ends a call of a member, and whether its Hello is right (else the call is ended).
 */
void peer_refuse(struct grpc_call *call, const char *why, bool removed);
bool peer_hello_ok(struct server *s, struct grpc_call *call, const Keelsonpeer__Hello *h);
void service_peer_messages(struct grpc_call *call, const void *data, size_t n, void *server);
void service_peer_half_close(struct grpc_call *call, void *server);
void service_peer_members(struct grpc_call *call, const void *data, size_t n, void *server);
void service_install_snapshot(struct grpc_call *call, const void *data, size_t n, void *server);

/* requests.c, for server.c */
void requests_outcome(struct server *s, uint64_t id, const struct outcome *o);
bool requests_waiting(const struct server *s, uint64_t id);
void requests_expire(struct server *s, uint64_t now_ms);
void requests_propose_held(struct server *s);
void requests_fail_all(struct server *s, enum store_error e);
void requests_done(struct server *s); /* the reads that are left */
void reads_ask(struct server *s);
void reads_allowed(struct server *s, const struct raft_read *r);
void reads_serve(struct server *s);
size_t requests_pending(const struct server *s); /* proposals */
/* service-web.c: /health and the like, over HTTP. */
void service_web(struct web_request *w, void *server);
/* The etcd API that we serve; what comes after the plus is ours. */
extern const char server_version[], server_cluster_version[];
/* autocompact.c */
struct autocompact;
int autocompact_new(struct autocompact **ret, const char *mode, const char *retention,
                struct problem *p);
struct autocompact *autocompact_free(struct autocompact *a);
/* The revision to compact at now, or 0. Called about once a second. */
int64_t autocompact_due(struct autocompact *a, uint64_t now_ms, int64_t rev);

/* The services: rows for the gRPC server's table. */
extern const struct grpc_method server_methods[];
extern const size_t server_method_count;
extern const struct grpc_method server_peer_methods[]; /* what members may call */
extern const size_t server_peer_method_count;

/* service-*.c */
void service_range(struct grpc_call *call, const void *data, size_t n, void *server);
void service_put(struct grpc_call *call, const void *data, size_t n, void *server);
void service_delete_range(struct grpc_call *call, const void *data, size_t n, void *server);
void service_txn(struct grpc_call *call, const void *data, size_t n, void *server);
void service_compact(struct grpc_call *call, const void *data, size_t n, void *server);
void service_watch(struct grpc_call *call, const void *data, size_t n, void *server);
void service_lease_grant(struct grpc_call *call, const void *data, size_t n, void *server);
void service_lease_revoke(struct grpc_call *call, const void *data, size_t n, void *server);
void service_lease_keep_alive(struct grpc_call *call, const void *data, size_t n, void *server);
void service_lease_half_close(struct grpc_call *call, void *server);
void service_lease_time_to_live(struct grpc_call *call, const void *data, size_t n, void *server);
void service_lease_leases(struct grpc_call *call, const void *data, size_t n, void *server);
void service_member_add(struct grpc_call *call, const void *data, size_t n, void *server);
void service_member_remove(struct grpc_call *call, const void *data, size_t n, void *server);
void service_member_update(struct grpc_call *call, const void *data, size_t n, void *server);
void service_member_list(struct grpc_call *call, const void *data, size_t n, void *server);
void service_member_promote(struct grpc_call *call, const void *data, size_t n, void *server);
void service_alarm(struct grpc_call *call, const void *data, size_t n, void *server);
void service_status(struct grpc_call *call, const void *data, size_t n, void *server);
void service_defragment(struct grpc_call *call, const void *data, size_t n, void *server);
void service_hash(struct grpc_call *call, const void *data, size_t n, void *server);
void service_hash_kv(struct grpc_call *call, const void *data, size_t n, void *server);
void service_snapshot(struct grpc_call *call, const void *data, size_t n, void *server);
void service_move_leader(struct grpc_call *call, const void *data, size_t n, void *server);
void service_health_check(struct grpc_call *call, const void *data, size_t n, void *server);
void service_health_watch(struct grpc_call *call, const void *data, size_t n, void *server);
void health_turn(struct server *s); /* tells those that watch */
/* Answers the compactions that wait for the dropping, once that is done. */
void service_compact_finished(struct server *s);
int server_start_loop(struct server *s);
/* How many clients may be connected, so that descriptors are left for everything else. */
unsigned server_connections_max(void);
extern const struct replica_ops server_replica_ops;
