/* The parts of the server: services and mechanisms with state of their own. The state is a struct
 * that is private to the part's file; the server makes it, zeroed, and calls the part's functions.
 *
 * A new part: a file with its header, a row in SERVER_PARTS and the header's include in parts.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/problem.h"

struct server;

/* Any function may be NULL. All run on the event loop's thread. */
struct server_part {
        const char *name;
        size_t size; /* of the private struct: zeroed, the same for the server's life */
        /* Reads the options. Nothing has been opened or made yet. */
        int (*configure)(struct server *s, void *state, struct problem *p);
        /* The replica and the worker threads exist. */
        int (*start)(struct server *s, void *state, struct problem *p);
        /* In each turn, which follows every event: before the replica's turn, which carries out
         * what is asked of it here ... */
        void (*prepare)(struct server *s, void *state, uint64_t now_ms);
        /* ... and after it, unless there was a fatal error. */
        void (*turn)(struct server *s, void *state, uint64_t now_ms);
        /* Before each tick of the replica: every heartbeat interval or so, on a single idle member
         * every 500 ms. */
        void (*tick)(struct server *s, void *state, uint64_t now_ms);
        /* About once a second, after the ticks. */
        void (*second)(struct server *s, void *state, uint64_t now_ms);
        /* The server ends: answers the calls that wait, and asks work on threads to end early.
         * Connections, peers and threads still exist. Also called when the start failed. */
        void (*stop)(struct server *s, void *state);
        /* Frees what the private struct owns, not the struct. No client is connected, the threads
         * have ended (without calling back); peers, replica and the other parts' structs still
         * exist. */
        void (*end)(struct server *s, void *state);
};

/* In the order in which their functions are called. Order matters here:
 * - reads before requests: a barrier that is asked for now covers what was proposed before;
 * - metrics before links, whose pings are observed;
 * - links first among those with a turn: it sends what the replica's turn made;
 * - snapshot_receive after what gives work to the keeper: it installs a state when nothing runs;
 * - watch last: watchers that lag get the time that is left. */
#define SERVER_PARTS(X) \
        X(AUTO_TLS, auto_tls_part) \
        X(METRICS, metrics_part) \
        X(READS, reads_part) \
        X(REQUESTS, requests_part) \
        X(REPLY, reply_part) \
        X(HASH, hash_part) \
        X(LINKS, links_part) \
        X(FORWARD, forward_part) \
        X(LISTEN, listen_part) \
        X(SNAPSHOT_SEND, snapshot_send_part) \
        X(CORRUPT, corrupt_part) \
        X(SCRUB, scrub_part) \
        X(MOVE_LEADER, move_leader_part) \
        X(FIRST_LIFE, first_life_part) \
        X(SNAPSHOT_RECEIVE, snapshot_receive_part) \
        X(SNAPSHOT, snapshot_part) \
        X(DRIVE, drive_part) \
        X(KV, kv_part) \
        X(HEALTH, health_part) \
        X(WEB, web_part) \
        X(REQUIRE_LEADER, require_leader_part) \
        X(AUTOCOMPACT, autocompact_part) \
        X(QUOTA, quota_part) \
        X(PUBLISH, publish_part) \
        X(MEMORY, memory_part) \
        X(WATCH, watch_part)

#define SERVER_PART_ID(id, part) SERVER_PART_##id,
enum server_part_id { SERVER_PARTS(SERVER_PART_ID) SERVER_PARTS_COUNT };
#undef SERVER_PART_ID

/* Makes the private structs and has the options read. */
int parts_new(struct server *s, struct problem *p);
int parts_start(struct server *s, struct problem *p);
void parts_prepare(struct server *s, uint64_t now_ms);
void parts_turn(struct server *s, uint64_t now_ms);
void parts_tick(struct server *s, uint64_t now_ms);
void parts_second(struct server *s, uint64_t now_ms);
void parts_stop(struct server *s);
void parts_end(struct server *s);
/* Frees the private structs. */
void parts_free(struct server *s);
