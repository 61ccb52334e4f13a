/* Real members of kstored under load, while they are killed, stopped, paused, cut off and changed;
 * afterwards all answers to clients are checked against the stored state.
 *
 * kill -9 ends a process, not the machine: what it gave to the kernel is kept. Writes that a power
 * cut would lose are the simulator's business (tests/sim).
 *
 * One thread and one event loop: clients, watchers and proxies are callbacks on it, and what is
 * done to the members (nemesis.c) is written down as one thing after the other, with the loop
 * turning while it waits. */
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "lib/grpc-client.h"
#include "proto/rpc.pb-c.h"
#include "tests/sim/linear.h"

enum {
        SLOTS_MAX = 24, /* members that ever were, a new one for each that joins */
        CLIENTS_MAX = 64,
        KEEPERS_MAX = 16,
        FAILURES_SHOWN = 10,
        OP_LIMIT_US = 1500000,
        ELECTION_MS = 1000,
};

struct chaos;

/* Chance from a seed: splitmix64. */
struct dice {
        uint64_t state;
};
uint64_t dice_draw(struct dice *d);
uint64_t dice_below(struct dice *d, uint64_t bound);
/* In [low, high]. */
uint64_t dice_between(struct dice *d, uint64_t low, uint64_t high);

/* ---- rpc.c: calls with protobuf messages ---- */

struct rpc_reply {
        enum grpc_code code;
        const char *message;
        const void *data;
        size_t size;
};
typedef void (*rpc_done)(struct chaos *c, const struct rpc_reply *reply, void *userdata);

/* A channel to one member whose calls all end, also when it is closed. */
struct link {
        struct chaos *chaos;
        struct grpc_channel *channel;
        struct rpc *calls;
};
int link_open(struct link *l, struct chaos *c, const char *url);
void link_close(struct link *l);
bool link_is_up(const struct link *l);
/* done is called once, never from in here; not at all when this fails. */
int rpc_start(struct link *l, const char *path, const ProtobufCMessage *request,
                uint64_t timeout_us, rpc_done done, void *userdata);
/* Turns the loop until the answer is there. ret_data may be NULL; the caller's. The call's code, or
 * GRPC_UNAVAILABLE when it could not be made. */
enum grpc_code rpc_wait(struct link *l, const char *path, const ProtobufCMessage *request,
                uint64_t timeout_us, void **ret_data, size_t *ret_size);
int message_pack(const ProtobufCMessage *m, struct buf *ret);
static inline ProtobufCBinaryData text_data(const char *s) {
        return (ProtobufCBinaryData){.len = strlen(s), .data = (uint8_t *)s};
}

/* ---- proxy.c: what lies between two members ---- */

struct proxy;
/* Listens on a port of its own; the process that owns the other end is the member that connects. */
int proxy_new(struct proxy **ret, struct chaos *c, unsigned to);
struct proxy *proxy_free(struct proxy *p);
uint16_t proxy_port(const struct proxy *p);
/* After a change of the rules in struct chaos. */
void proxies_update(struct chaos *c);

/* ---- cluster.c ---- */

enum member_state {
        MEMBER_NONE, /* never was, or removed from the cluster */
        MEMBER_DOWN, /* not running */
        MEMBER_RUNNING,
        MEMBER_PAUSED,
};

/* A member and how to reach it. */
struct member_slot {
        enum member_state state;
        bool removed; /* from the cluster, after it was in it */
        bool learner, may_exit;
        pid_t pid;
        unsigned starts;
        uint16_t client_port, peer_port;
        char *name, *dir, *url, *cluster;
        bool joins;
        struct proxy *proxy;
        struct link load, control; /* clients' calls; the test's own */
        /* What it last said of itself. */
        bool asking;
        uint64_t id, leader, term, asked_us;
        int64_t rev;
        struct watcher *watcher;
};

/* A socket bound to a free port that no connection is given by the kernel. */
int chaos_bind(uint16_t *ret_port);
int cluster_make(struct chaos *c);
void cluster_done(struct chaos *c);
/* A slot for a member that is not started yet; its number, or a negative errno. */
int member_add_slot(struct chaos *c);
int member_start(struct chaos *c, unsigned m);
/* SIGKILL, SIGSTOP, SIGCONT; waits for the end after the first. */
void member_kill(struct chaos *c, unsigned m);
void member_pause(struct chaos *c, unsigned m);
void member_resume(struct chaos *c, unsigned m);
/* SIGTERM; true when it ended with status 0 in time. */
bool member_stop(struct chaos *c, unsigned m);
/* The one that says it leads in the highest term; -1 when nobody does. */
int cluster_leader(const struct chaos *c);
bool member_in_cluster(const struct chaos *c, unsigned m);
/* Turns the loop until each member in the cluster answers and all name the same leader. */
bool cluster_wait_healthy(struct chaos *c, uint64_t timeout_us);

/* ---- load.c ---- */

struct client;
int load_start(struct chaos *c);
/* No new operations; true when those under way ended. */
void load_stop(struct chaos *c);
bool load_is_idle(const struct chaos *c);
void load_done(struct chaos *c);
/* Reads every key that was in use, as a part of the history. */
bool load_read_all(struct chaos *c);

/* A write that was acknowledged, or what a watcher must tell of it. */
struct change {
        int64_t rev;
        uint64_t hash; /* of what, key and value */
};
uint64_t change_hash(bool put, const void *key, size_t key_size, const void *value, size_t size);

/* Two keys that one transaction wrote, never to be written again. */
enum unique_outcome { UNIQUE_UNKNOWN, UNIQUE_WRITTEN, UNIQUE_REFUSED };
struct unique {
        enum unique_outcome outcome;
        int64_t rev;
};

/* ---- watch.c ---- */

struct watcher;
int watcher_new(struct watcher **ret, struct chaos *c, unsigned member);
struct watcher *watcher_free(struct watcher *w);
/* The member's process was started again: there is a connection to make. */
void watcher_connect(struct watcher *w);
void watcher_disconnect(struct watcher *w);
int64_t watcher_rev(const struct watcher *w);
uint64_t watcher_resumed(const struct watcher *w);
/* Compares what was seen with the acknowledged writes, and with another watcher. */
void watcher_check_acknowledged(struct watcher *w);
void watcher_check_same(struct watcher *a, struct watcher *b);

/* ---- leases.c ---- */

int leases_start(struct chaos *c);
/* The keepers stop to keep; what they kept must go away. */
void leases_stop(struct chaos *c);
bool leases_gone(const struct chaos *c);
void leases_done(struct chaos *c);

/* ---- nemesis.c ---- */

void nemesis_run(struct chaos *c, uint64_t end_us);
/* Everything runs and reaches everything. */
void nemesis_heal(struct chaos *c);

/* ---- judge.c ---- */

void judge_all(struct chaos *c);

/* ---- main.c ---- */

struct chaos_options {
        char *kstored;
        char *dir;
        char *history;
        uint32_t members, clients, seconds;
        uint64_t seed;
        char **faults; /* NULL: all */
        bool keep;
};

struct gap {
        uint64_t us;
};

struct chaos {
        struct chaos_options options;
        sd_event *event;
        uint64_t start_us;
        bool interrupted;
        char *dir;
        char *ca, *ca_key;

        struct member_slot slots[SLOTS_MAX];
        unsigned slot_count;
        sd_event_source *status_timer;
        struct {
                uint64_t term, leader;
        } * terms; /* who led when */
        size_t term_count, terms_allocated;

        /* Rules between members: from a slot to a slot. */
        bool cut[SLOTS_MAX][SLOTS_MAX];
        uint32_t delay_ms[SLOTS_MAX][SLOTS_MAX];
        uint64_t bytes_forwarded;

        struct client *clients;
        bool loading;
        uint64_t ops_started, ops_known, ops_unknown, ops_refused;
        uint64_t last_success_us, success_gap_us;
        struct linear_history history;
        struct change *changes;
        size_t change_count, changes_allocated;
        struct unique *uniques[CLIENTS_MAX];
        size_t unique_count[CLIENTS_MAX], uniques_allocated[CLIENTS_MAX];

        struct keeper *keepers;
        bool keeping;
        uint64_t renewals, leases_kept;

        struct dice dice; /* of the nemesis alone, so that a seed replays its schedule */
        unsigned faults_done;
        struct gap *gaps; /* leaderless times after kill -9 of a leader */
        size_t gap_count;

        char answer[160]; /* code and message of the last rpc_wait() */
        unsigned tests, failed_tests;
        unsigned failures; /* since the last line of TAP */
        char *why[FAILURES_SHOWN];
};

uint64_t chaos_now_us(const struct chaos *c); /* since the start */
uint64_t chaos_now_ns(void);
/* Something is not as it must be; reported with the next line of TAP. */
void chaos_fail(struct chaos *c, const char *fmt, ...) _printf_(2, 3);
void chaos_say(struct chaos *c, const char *fmt, ...) _printf_(2, 3);
/* A line of TAP: not ok when something failed since the last. */
void chaos_result(struct chaos *c, const char *fmt, ...) _printf_(2, 3);
/* Turns the loop; false when interrupted. */
bool chaos_run(struct chaos *c, uint64_t us);
typedef bool (*chaos_condition)(struct chaos *c, void *userdata);
bool chaos_until(struct chaos *c, uint64_t timeout_us, chaos_condition met, void *userdata);
/* Room for one more element; ends the program when there is no memory. */
void chaos_grow(void *array, size_t *allocated, size_t count, size_t size);
