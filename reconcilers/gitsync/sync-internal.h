/* What the files of a sync share; nobody else includes this. */
#pragma once

#include "lib/map.h"
#include "reconcilers/gitsync/batch.h"
#include "reconcilers/gitsync/child.h"
#include "reconcilers/gitsync/decide.h"
#include "reconcilers/gitsync/sync.h"

enum sync_state {
        SYNC_IDLE,
        SYNC_LOADING,
        SYNC_FETCHING,
        SYNC_RESOLVING,
        SYNC_CHECKING,
        SYNC_RECORDING,
        SYNC_APPLYING,
        SYNC_PRUNING,
        SYNC_REPORTING,
        SYNC_DRIFT,
};

/* A commit's objects in the order of applying. */
struct revision {
        struct manifest_set set;
        struct wanted *wanted;
        size_t count;
        struct map *resources; /* "apiVersion kind" -> struct kept_resource */
        char *commit, *name, *summary;
        json_t *ignored; /* ["file (what it is)"] that the fetch did not follow */
};

/* The writer of the status (sync-status.c): the only one; what it writes it made itself. */
struct status_writer {
        json_t *status; /* all fields but the inventory */
        bool dirty, writing, again;
        bool waited; /* the run continues when everything is written */
        unsigned chunks;
        bool chunked;
        char (*hashes)[65]; /* of each chunk as written */
        json_t *names;      /* of the chunks that the status names */
        json_t *old_names;  /* of those that it named before */
        struct batch batch;
        unsigned *list; /* chunks to write */
        struct api_call *call;
        int error;
};

struct sync {
        struct sync_world *world;
        char *ns, *name, *key;
        char *manager; /* field manager of its applies */
        enum sync_state state;
        struct identity *who; /* as whom it acts; borrowed from the world */

        /* The one thing waited for, and the timer that starts the next run. */
        struct child *child;
        struct api_call *call;
        struct batch batch;
        sd_event_source *timer;
        sd_event_source *health_timer;
        sd_event_source *retry_timer;

        json_t *object;          /* the GitSync of this run */
        struct revision current; /* what was last applied whole (or is being applied) */
        struct revision candidate;
        struct revision *revision; /* the one of this run */
        bool have_current;
        int64_t applied_generation; /* of the GitSync, when `current` was applied */
        char *attempted;            /* revision that was fetched last */
        char *handled_at;           /* the last keelson.dev/reconcileAt that was answered */

        /* Progress of this run. */
        size_t *todo; /* indexes of wanted, or of suspects, of the batch under way */
        size_t todo_count, at, to;
        bool late_done;
        bool deleting;
        bool finished;
        bool again;   /* something happened meanwhile */
        struct slot slot;     /* its turn of fetching */
        uint64_t progress_us; /* monotonic: when the status last said how far the fetch is */
        unsigned resolve_tries, failures;
        uint64_t next_poll_us; /* monotonic */
        struct map *refreshed; /* group versions that this run has asked the API for */

        struct inventory inventory;
        char *inventory_uid; /* whose it is; NULL: not read yet */
        bool inventory_dirty;
        struct inventory_entry **gone;
        size_t gone_count;
        char *kept, *kept_before; /* what was kept of what left Git, and why; a sentence */
        size_t kept_count;
        struct leaving *look_at[BATCH_WIDTH]; /* by slot: Namespaces and CRDs that are looked into
                                               */
        bool look_again;                      /* something kept changed: try to prune it */

        struct map *suspects; /* inventory key -> (void *)1: perhaps drifted */
        char **suspect_list;
        struct map *drifted;   /* inventory key -> (void *)1: reported, left as it is */
        unsigned drift_rounds; /* back-off against a fight */
        uint64_t drift_round_us;

        /* The first failure of a batch. */
        bool batch_failed;
        size_t failed_at;
        const char *failed_reason;
        struct problem failure;

        /* What the report will say. */
        bool ok;
        const char *reason;
        char *message;
        struct status_writer writer;
};

#define out_of_memory(p) (&(struct problem){.message = (char *)"out of memory"})

void revision_done(struct revision *r);
/* Moves to a state and does its first step. */
void sync_enter(struct sync *s, enum sync_state state);
/* Ends the run with a failure: the report says reason and message (taken from p). */
void sync_fail(struct sync *s, const char *reason, struct problem *p);
/* The client of the identity that the run acts as. */
struct api_client *sync_client(const struct sync *s);
/* Whether a person confirmed the pruning of this commit. */
bool sync_is_confirmed(const struct sync *s, const struct revision *r);

/* Its objects are pruned: lets the deleted GitSync go. */
void sync_finish_deletion(struct sync *s);

/* The inventory is read: what the run has to do. */
void sync_loaded(struct sync *s);

/* sync-fetch.c */
void sync_fetch_begin(struct sync *s);
/* sync-resolve.c */
void sync_resolve_step(struct sync *s);
/* After the CRDs of the commit were applied: waits until their kinds are served, then continues
 * with sync_apply_step(). */
void sync_await_kinds(struct sync *s);
/* sync-apply.c */
void sync_check_begin(struct sync *s);
void sync_record_begin(struct sync *s);
void sync_recorded(struct sync *s, int error);
void sync_apply_begin(struct sync *s);
void sync_apply_step(struct sync *s);
/* The job of a slot failed: remembers the first failure (in the order of the list), starts no more.
 */
void sync_slot_failed(struct batch_slot *slot, const struct manifest_item *item, const char *reason,
                int error, const struct problem *why);
/* Ends the run when a job of the batch failed. */
bool sync_batch_ended_badly(struct sync *s);
/* One apply of an item: a PATCH with these further flags. */
int sync_apply_item(struct sync *s, const struct wanted *w, const char *flags, api_done_func done,
                struct batch_slot *slot);
/* Lets our manager own what people's managers own, as the dry run's answer shows it. */
int sync_take_over(struct sync *s, const struct wanted *w, const json_t *managed,
                const char *version, api_done_func done, struct batch_slot *slot);
/* The answer of a real apply: its hashes go into the inventory. */
int sync_note_applied(struct sync *s, const struct wanted *w, const json_t *answer);
bool sync_removes_additions(const struct sync *s, const struct wanted *w, const json_t *live);
/* The other GitSync that a conflict names, or NULL. */
const char *sync_other_owner(const struct sync *s, const struct problem *p, char *buffer, size_t n);
/* sync-prune.c */
void sync_prune_begin(struct sync *s);
/* Ends looks into Namespaces and CRDs that are under way. */
void sync_prune_cancel(struct sync *s);
/* sync-drift.c */
void sync_drift_begin(struct sync *s);
/* Watches every kind (and namespace) of the current revision. */
void sync_watch_all(struct sync *s);
/* The live object of a wanted one as the watch shows it, or NULL. Borrowed. */
const json_t *sync_live(const struct sync *s, const struct wanted *w);
bool sync_drift_is(const struct sync *s, const char *word);
/* sync-inventory.c */
void sync_load_begin(struct sync *s);
/* sync-status.c */
void sync_status_done(struct sync *s);
/* Takes the status over from the object, once. */
void sync_status_load(struct sync *s);
void sync_condition(struct sync *s, const char *type, const char *status, const char *reason,
                const char *message);
/* Takes value. */
void sync_status_set(struct sync *s, const char *field, json_t *value);
/* Writes what there is to write. wait: the run continues (in RECORDING and REPORTING) when all of it
 * is written. */
void sync_status_write(struct sync *s, bool wait);
void sync_report_begin(struct sync *s);
void sync_health_soon(struct sync *s);
