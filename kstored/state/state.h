/* The replicated state machine: entries in, changes of mvcc, leases, members and alarms out, and
 * the same changes as rows for the disk. Deterministic; no I/O. */
#pragma once

#include "kstored/state/command.h"
#include "kstored/disk/disk.h"
#include "kstored/state/kv.h"

struct member {
        uint64_t id;
        char *name; /* "" until it has published it */
        char **peer_urls;
        char **client_urls;
        bool learner;
};

enum { TERM_STARTS_MAX = 256 };
enum { HEARD_MAX = 2 * RAFT_MEMBERS_MAX };

enum { ALARM_NOSPACE = 1, ALARM_CORRUPT = 2 }; /* numbers of AlarmType */
enum { ALARMS_MAX = RAFT_MEMBERS_MAX + 1 };    /* each member's, and one for no member */

struct alarm {
        uint64_t member;
        uint32_t types; /* bit set by AlarmType */
};

struct state {
        struct kv kv;
        struct row_source source;
        struct member *members[RAFT_MEMBERS_MAX];
        size_t member_count;
        const struct member *newest; /* what the last change of membership made; NULL: nothing */
        uint64_t member_changes;     /* rises with every change of a member */
        struct alarm alarms[ALARMS_MAX];
        size_t alarm_count;
        /* This member's own knowledge, not replicated: see replica/heard.c. */
        uint64_t heard[HEARD_MAX];
        size_t heard_count;
        uint64_t unconfirmed; /* a member that began empty and is not confirmed; 0: none */
        uint64_t applied;
        uint64_t applied_term;
        /* Where the newest terms begin: what the log would show if it were kept. */
        struct raft_term_start term_starts[TERM_STARTS_MAX];
        size_t term_start_count;
        struct arena arena;
        struct disk_batch batch; /* effects that were not given to the disk yet */
        int64_t lease_ttl_min_s;
        uint64_t renewed_lease; /* set by a COMMAND_LEASE_RENEW: the driver renews it on its clock
                                 */
};

int state_new(struct state **ret, const struct row_source *source, int64_t lease_ttl_min_s);
struct state *state_free(struct state *s);
DEFINE_CLEANUP(struct state *, state_free);
/* Fills it from the disk. */
int state_load(struct state *s, struct disk *d, struct problem *p);

/* Forgets all and fills it from the disk, as after a snapshot; the pointer stays good, those to its
 * parts do not. On an error it is as before. */
int state_reload(struct state *s, struct disk *d);

/* The outcome of one entry for the member whose client asked. */
struct outcome {
        enum store_error error;
        int64_t rev;              /* for the answer's header */
        struct kv_answer *answer; /* fields from 2 on; NULL when no client waits */
};

/* Applies one committed entry. A request's failure is in the outcome; a negative errno
 * means that this member cannot continue (no memory, disk). */
int state_apply(struct state *s, const struct raft_entry *e, struct outcome *o);

bool state_alarm(const struct state *s, uint32_t type);
struct member *state_member(const struct state *s, uint64_t id);
void wire_member(struct buf *b, unsigned field, const struct member *m);
/* keelsonpeer.MemberRecord bytes. */
int member_encode(const struct member *m, struct buf *out);
int member_decode(const void *data, size_t n, struct member **ret);
struct member *member_free(struct member *m);
DEFINE_CLEANUP(struct member *, member_free);
/* Puts a member in or replaces it, in memory and for the disk. Takes m. */
int state_set_member(struct state *s, struct member *m);
