/* One member: combines Raft core, state machine, disk and clients on one event loop.
 *
 *   event of the loop -> parts: prepare -> replica_turn -> parts: turn        (server_turn)
 *
 * The replica (replica.h) does what follows from each event; writes run on threads (drive.h). Here
 * is what the services and mechanisms share. Each that has more state keeps it in a struct of its
 * own, private to its file, and is a part (parts.h). */
#pragma once

#include <systemd/sd-event.h>

#include "kstored/replica/replica.h"
#include "kstored/server/options.h"
#include "kstored/server/parts.h"
#include "kstored/server/peers.h"
#include "lib/grpc-server.h"
#include "lib/metrics.h"
#include "lib/worker.h"

enum {
        SERVER_REQUEST_OVERHEAD = 512 * 1024, /* bytes that a message may have on top of the limit
                                               * of requests */
};

/* Counted where it happens, shown by metrics.c. */
struct server_counts {
        uint64_t leader_changes, leader; /* leader: the last one that was seen */
        uint64_t proposals_failed, read_indexes_failed, read_indexes_slow, slow_applies;
        uint64_t health_ok, health_failed;
        uint64_t defragmenting; /* under way now */
};

struct server {
        struct server_options *options;
        sd_event *event;
        struct replica *replica;
        /* Of the replica, the same for its life. */
        struct state *state;
        struct raft *raft;
        struct hub *hub;
        struct disk *disk;
        struct wal_folder log_files;
        uint64_t cluster_id;
        uint64_t member_id;

        struct peers *peers;           /* calls to other members */
        struct grpc_server *grpc;      /* calls from clients */
        struct grpc_server *peer_grpc; /* calls from members */
        struct grpc_server *web;       /* --listen-metrics-urls; NULL: none */
        struct tls_files peer_tls, client_tls;

        struct worker *writer;  /* the log */
        struct worker *flusher; /* the database */
        struct worker *keeper;  /* copies, hashes and looking for damage */

        struct metrics *all_metrics;
        struct server_counts counts;
        struct arena arena; /* of the requests read in this turn */

        bool stopping;
        int fatal; /* a negative errno: nothing is done or acknowledged after it */
        int exit_status;
        uint64_t stop_by_ms;
        uint64_t next_second_ms;
        sd_event_source *post, *ticker, *stopper;

        void *parts[SERVER_PARTS_COUNT]; /* the parts' private structs */
};

/* start.c: opens the disk, loads what it holds and makes the parts; options, event and metrics are
 * borrowed. p says what a person can do. */
int server_new(struct server **ret, sd_event *event, struct metrics *metrics,
                struct server_options *options, struct problem *p);
struct server *server_free(struct server *s);
DEFINE_CLEANUP(struct server *, server_free);
/* The timers and what follows every event; once, at the end of the start. */
int server_start_loop(struct server *s);

/* Hands leadership over where another member can take it, then answers what waits and ends the
 * loop. */
void server_stop(struct server *s);
/* The same for a member that was removed from the cluster; the unit does not start it again. */
void server_removed(struct server *s);
/* Ends the program: this member cannot continue safely. error: a negative errno; what: a sentence
 * for the log. */
void server_fatal(struct server *s, int error, const char *what);
/* The same because the data of this member are damaged: it does not start again before it was
 * replaced. */
void server_damaged(struct server *s, const char *what);

bool server_is_ready(void *server, const char **ret_why);
bool server_is_leader(const struct server *s);
bool server_is_learner(const struct server *s);
/* The monotonic clock. */
uint64_t server_now_ms(void);
/* How long a request may take: as etcd, five seconds and two elections. */
uint64_t server_time_limit_ms(const struct server *s);
/* The loop's timer fires at this time of the monotonic clock, or earlier. */
void server_wake_at(struct server *s, uint64_t us);

/* The private struct of a part; only the part's own file asks for it. */
static inline void *server_part(const struct server *s, enum server_part_id id) {
        return s->parts[id];
}
