/* A simulated world for the store: the real replica (raft/, mvcc, leases, watches, state machine)
 * on simulated disks, network and clocks. One seed decides everything: the same seed and program
 * give the same run. Time is virtual, in microseconds.
 *
 *   world.c     events in order of time, chance, failures
 *   disk.c      kstored/disk/disk.h on a device that can lose, fill and rot
 *   files.c     the files of the real log: they tear, lose, fill and rot
 *   network.c   messages that get lost, late, doubled and out of order
 *   node.c      one member: its life, its turn, its writes
 *   fresh.c     members that begin empty, for the first time or not
 *   forget.c    a disk that loses confirmed writes
 *   snapshot.c  whole states on their way
 *   clients.c   registers and lists, read and written
 *   tenants.c   leases
 *   watchers.c  watches that move from member to member
 *   faults.c    faults; members.c: members that come and go
 *   checks.c    invariants; story.c: the history that the members agreed on */
#pragma once

#include "kstored/raft/bugs.h"
#include "kstored/replica/replica.h"
#include "tests/sim/linear.h"

enum {
        NODES_MAX = 28, /* in one run, those that were replaced included */
        CLIENTS = 6,
        TENANTS = 3,
        WATCHERS = 5,
        HEARTBEAT_MS = 100,
        ELECTION_MS = 500,
        MS = 1000,
        SECOND = 1000 * 1000,
};

struct world;
struct node;

/* ---- files.c: the log's files */
enum { SIM_STEPS_MAX = 16, SIM_SEGMENT_BYTES = 32 * 1024, SIM_STEP_BYTES = 8192 };

struct sim_names {
        struct sim_name {
                char *name;
                struct wal_file *file;
        } * v;
        size_t count, allocated;
};

struct sim_folder {
        struct sim_names names, durable;
        struct sim_names steps[SIM_STEPS_MAX]; /* after each change of names that is not durable */
        size_t step_count;
        bool full;
        bool ending; /* after budget bytes nothing more is done */
        size_t budget;
};

/* ---- disk.c: the part of a member that outlives its process */
struct device {
        struct buf bytes;    /* the database: frames in order of their writing */
        size_t settled;      /* up to here a checkpoint has made it durable */
        size_t writing_at;   /* the frame that is being written; SIZE_MAX: none is */
        struct buf incoming; /* a state of another member, received whole */
        uint64_t number;     /* for messages */
        struct sim_folder log;
};

enum crash {
        CRASH_KILL, /* the process ends; the kernel has its writes */
        CRASH_POWER,
};

struct wal_folder sim_folder_use(struct sim_folder *d);
void sim_folder_crash(struct world *w, struct sim_folder *d, enum crash how);
bool sim_folder_rot(struct world *w, struct sim_folder *d); /* one bit of one file */
/* A copy of the folder as it is now, all of it durable. */
void sim_folder_copy(struct sim_folder *to, const struct sim_folder *from);
void sim_folder_done(struct sim_folder *d);

int sim_disk_open(struct disk **ret, struct device *dev);
/* disk_write() in two steps, as time passes between them. result 0: the write is done. */
void sim_disk_begin(struct disk *d, const struct disk_batch *b);
int sim_disk_end(struct disk *d, const struct disk_batch *b, int result);
/* An image that another member can disk_adopt(). */
int sim_disk_image(struct disk *d, struct buf *ret);
void sim_image_numbers(const struct buf *image, uint64_t numbers[static DISK_NUMBERS]);
void device_crash(struct world *w, struct device *dev, enum crash how);
/* Copies a disk as it is now, or back, so that it loses later writes. Its member is down. */
void device_copy(struct device *to, const struct device *from);
/* One bit turns, of the database or the log. False when there is nothing. */
bool device_rot(struct world *w, struct device *dev);
void device_done(struct device *dev);

/* ---- world.c */
typedef void (*event_run)(struct world *w, struct node *n, void *data, uint64_t number);

struct event {
        uint64_t at_us;
        uint64_t order;
        event_run run;
        struct node *node; /* NULL: nobody's */
        uint64_t life;     /* of the node: later lives do not get it */
        void *data;
        void (*drop)(void *data); /* frees data when the event is not run */
        uint64_t number;
};

uint64_t chance(struct world *w);
uint64_t below(struct world *w, uint64_t n);
uint64_t between(struct world *w, uint64_t a, uint64_t b); /* both included */
bool one_in(struct world *w, uint64_t n);
/* Mostly near the least, now and then far from it. */
uint64_t delay_us(struct world *w, uint64_t least, uint64_t usual);
/* data's ownership passes to the event; run() takes it over. */
void after(struct world *w, uint64_t delay, struct node *n, event_run run, void *data,
                void (*drop)(void *), uint64_t number);
/* The first failure counts; the run ends. */
void fail(struct world *w, const char *fmt, ...) _printf_(2, 3);
void trace(struct world *w, const char *fmt, ...) _printf_(2, 3);

/* ---- node.c */
enum node_phase {
        NODE_UNUSED,
        NODE_DOWN,
        NODE_UP,
        NODE_LOST,    /* its disk is; it has to be replaced */
        NODE_RETIRED, /* removed from the cluster */
};

struct waiting {
        uint64_t id;
        /* The member's answer; called from inside its turn. */
        void (*done)(struct world *w, struct node *n, void *data, const struct outcome *o);
        void *data;
};

struct barrier {
        uint64_t context, index, asked_ms;
        void (*ready)(struct world *w, struct node *n, void *data, uint64_t number);
        void *data;
        uint64_t number;
};

struct sending; /* snapshot.c */

struct node {
        struct world *world;
        unsigned number;
        uint64_t id;
        enum node_phase phase;
        uint64_t life; /* rises with every start and end */
        struct device device;
        struct disk *disk;
        struct replica *replica;
        bool turning; /* inside replica_turn() */
        bool dying;   /* a crash in the middle of a turn: nothing is sent afterwards */
        enum crash dying_how;

        /* Its clock: base_ms at since_us, running at rate_ppm millionths. */
        uint64_t clock_base_us, clock_since_us, clock_rate_ppm;
        uint64_t paused_until_us;
        uint64_t tick_at_us; /* of the newest tick event; older ones are ignored */

        const struct wal_batch *save;   /* under way */
        const struct disk_batch *flush; /* the same */
        bool rotten;                    /* its disk was hurt since it started last */
        uint64_t promised_block; /* it relied on these being durable: the log up to here, ... */
        uint64_t promised_term, promised_vote;
        uint64_t disk_slow_us;
        uint64_t disk_full_until_us;
        bool disk_fails;

        struct waiting *waiting;
        size_t waiting_count, waiting_allocated;
        struct barrier *barriers;
        size_t barrier_count, barriers_allocated;
        uint64_t next_id;

        uint64_t snapshot_for;
        struct sending *sending;
        struct buf received; /* a state that waits for its turn */
        struct raft_message received_message;
        struct raft_term_start received_starts[TERM_STARTS_MAX];
        size_t received_start_count;
        uint64_t received_from_life;
        bool has_received;

        /* How far the checkers have looked. */
        uint64_t checked_index;
        int64_t checked_rev;
        uint64_t hashed_index;

        /* The members that a new one starts with. */
        struct member *members[RAFT_MEMBERS_MAX];
        size_t member_count;
        uint64_t config_index;
        bool joining;
        bool added, removed; /* agreed on */
        uint8_t first_answers[NODES_MAX];
        bool contradicted; /* it ended for that */
};

void node_start(struct world *w, struct node *n);
/* In a turn: at its end, and nothing is sent afterwards. */
void node_crash(struct world *w, struct node *n, enum crash how);
void node_stop(struct world *w, struct node *n); /* cleanly */
void node_turn(struct world *w, struct node *n);
uint64_t node_now_ms(const struct node *n);
void node_clock_set(struct node *n, uint64_t rate_ppm, uint64_t jump_us);
bool node_leads(const struct node *n);
/* A command; done is called if this life of the member learns what became of it, else never. */
int node_propose(struct node *n, enum command_kind kind, const void *data, size_t size,
                void (*done)(struct world *, struct node *, void *, const struct outcome *),
                void *data_of_done);
/* ready(..., number) is called when a fresh read may be served, if ever. */
void node_read(struct node *n,
                void (*ready)(struct world *, struct node *, void *, uint64_t number), void *data,
                uint64_t number);
/* Its disk went back on purpose. */
void node_forget_promises(struct node *n);
void node_done(struct node *n);

/* ---- fresh.c */
void fresh_started(struct world *w, struct node *n);
/* The first members, for one that begins with them. */
void founders_members(struct world *w, struct node *n);
/* One of the first members begins again with nothing. */
void node_wipe(struct world *w, struct node *n);

/* ---- forget.c */
void forget_start(struct world *w);
void forget_check(struct world *w, struct node *n); /* after each turn */
void forget_read(struct world *w, struct node *n);  /* a fresh read may be answered there */

/* ---- snapshot.c */
void snapshot_wanted(struct node *n, uint64_t to);
void snapshot_turn(struct world *w, struct node *n);
void snapshot_forget(struct node *n); /* the member's life ends */

/* ---- network.c */
struct network {
        /* [from][to]: nothing arrives. */
        bool cut[NODES_MAX][NODES_MAX];
        unsigned loss_percent, doubled_percent;
        uint64_t usual_us;
};
void network_send(struct world *w, struct node *from, const struct raft_message *m);
bool network_reaches(const struct world *w, const struct node *a, const struct node *b);

/* ---- story.c: the history that the members agreed on */
struct agreed {
        bool known;
        uint64_t term, commit_term; /* it was committed no later than in commit_term */
        uint64_t hash;
        uint64_t digest; /* of the state with it, where somebody looked; 0: nobody did */
};

struct change {
        int64_t rev;
        char *key;
        char *value; /* NULL: a deletion */
        uint64_t hash;
};

struct story {
        struct agreed *entries; /* by index */
        size_t entries_allocated;
        uint64_t newest_index;
        struct change *changes; /* in order */
        size_t change_count, changes_allocated;
        int64_t rev;       /* of the newest */
        int64_t compacted; /* the newest compaction that was agreed on */
        struct {
                uint64_t term, id;
        } * leaders;
        size_t leader_count, leaders_allocated;
};
void story_entry(struct world *w, struct node *n, const struct raft_entry *e);
/* Every change of the revisions that they are of, in order. */
void story_rows(struct world *w, struct node *n, struct row *const *rows, size_t count);
void story_digest(struct world *w, struct node *n, uint64_t index, uint64_t digest);
void story_leader(struct world *w, struct node *n, uint64_t term);
struct change_figures {
        int64_t rev, create, version, lease; /* create 0: a deletion */
};
uint64_t change_hash(const struct change_figures *f, const void *key, size_t key_size,
                const void *value, size_t value_size);
/* The first change of at least this revision. */
size_t story_find(const struct story *s, int64_t rev);
/* The value of the key at rev, NULL when there is none. */
const char *story_value(const struct story *s, const char *key, int64_t rev);
void story_done(struct story *s);

/* ---- checks.c */
void check_node(struct world *w, struct node *n); /* after each turn */
void check_leader(struct world *w, struct node *n, uint64_t term);
uint64_t node_digest(struct node *n);
/* Ends the run when there is nothing left to wait for; an event after the healing. */
void check_rest(struct world *w, struct node *none, void *data, uint64_t number);
void check_end(struct world *w);

/* ---- clients.c */
struct client;
struct answered { /* a change that a client got an answer for */
        int64_t rev;
        char *key;
        char *value; /* NULL: a deletion */
};
void clients_start(struct world *w);
void clients_done(struct world *w);
bool clients_busy(const struct world *w);
/* A member that is up, or one that is not, at random; NULL when there is none at all. */
struct node *some_node(struct world *w);

/* ---- tenants.c */
struct tenant;
void tenants_start(struct world *w);
void tenants_done(struct world *w);
/* A revocation that the store itself asked for was agreed on. */
void tenants_ended(struct world *w, int64_t lease);

/* ---- watchers.c */
struct watcher_client;
void watchers_start(struct world *w);
void watchers_check(struct world *w, bool at_end);
bool watchers_at_end(struct world *w);
void watchers_gone(struct world *w, struct node *n); /* before its hub goes */
void watchers_done(struct world *w);

/* ---- faults.c, members.c */
void faults_start(struct world *w);
void faults_heal(struct world *w);
void members_start(struct world *w);
/* After a failure of its disk a member has to be replaced before another may fail. */
bool members_all_sound(const struct world *w);
struct node *node_new(struct world *w);
struct node *node_of(struct world *w, uint64_t id);
struct node *a_leader(struct world *w);
bool in_config(const struct node *n, uint64_t id); /* the newest that n has */

/* ---- the world */
struct world {
        uint64_t seed, chance;
        uint64_t now_us;
        uint64_t order;
        struct event *events; /* a heap */
        size_t event_count, events_allocated;
        uint64_t hash; /* of all that happened: equal for equal runs */
        bool tracing;
        char *failure;

        struct node nodes[NODES_MAX];
        unsigned node_count, founders;
        struct network network;
        struct story story;
        uint64_t jumped_us; /* all jumps of clocks together */
        bool healing;       /* no more faults are injected */
        uint64_t heal_at_us, end_at_us;
        uint64_t snapshot_count;
        uint64_t fault_us, change_us; /* at most, between two faults, changes of members */
        uint64_t think_us;            /* of clients, at most, between two operations */
        const char *unrest;           /* the reason why the end waits */
        bool calm;                    /* no faults at all in this run, members change faster */
        /* A run of forget.c; from where a disk has forgotten nothing else is judged. */
        bool amnesia, forked;
        struct node *witness, *forgetful, *absent;
        uint64_t witness_last, witness_term, forget_above;
        struct device remembered; /* the disk that the forgetful one goes back to */

        struct linear_history history;
        struct answered *answers;
        size_t answer_count, answers_allocated;
        struct { /* reads of old revisions */
                char *key, *value;
                int64_t rev;
        } * old_reads;
        size_t old_read_count, old_reads_allocated;
        struct client *clients;
        struct tenant *tenants;
        struct watcher_client *watchers;
        uint64_t next_value;

        /* Counts of events in the run, for the report. */
        struct {
                unsigned crashes, power_cuts, elections, snapshots, partitions, changes, rots,
                                compactions, lease_ends, watch_moves, writes, reads, torn, wipes,
                                refused, forgotten;
        } count;
};

/* Runs one seed: 0, or 1 with w->failure set. To be done with world_done(). */
int world_run(struct world *w, uint64_t seed, bool tracing);
void world_done(struct world *w);
