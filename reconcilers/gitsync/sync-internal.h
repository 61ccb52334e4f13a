/* What the files of a sync share; nobody else includes this. */
#pragma once

#include "lib/map.h"
#include "reconcilers/gitsync/child.h"
#include "reconcilers/gitsync/manifest.h"
#include "reconcilers/gitsync/sync.h"

enum sync_state {
        SYNC_IDLE,
        SYNC_FETCHING,
        SYNC_RESOLVING,
        SYNC_CHECKING,
        SYNC_RECORDING,
        SYNC_APPLYING,
        SYNC_PRUNING,
        SYNC_REPORTING,
};

/* A commit's objects in the order of applying. */
struct revision {
        struct manifest_set set;
        size_t *order;
        char *commit, *name, *summary;
};

struct sync {
        struct sync_world *world;
        char *ns, *name, *key;
        enum sync_state state;

        /* The one thing waited for, and the timer that starts the next run. */
        struct child *child;
        struct api_call *call;
        sd_event_source *timer;
        sd_event_source *health_timer;
        sd_event_source *retry_timer;

        json_t *object;          /* the GitSync of this run */
        struct revision current; /* what was last applied whole (or is being applied) */
        struct revision candidate;
        bool have_current;
        int64_t applied_generation; /* of the GitSync, when `current` was applied */
        char *attempted;            /* revision that was fetched last */
        char *handled_at;           /* the last keelson.dev/reconcileAt that was answered */

        /* Progress of this run. */
        size_t at;         /* index into the order, or into `prune` */
        bool forced;       /* the check of item `at` is repeated with force */
        bool only_drifted; /* this run only puts back what is in `drifted` */
        bool deleting;
        bool finished;
        bool again;   /* something happened meanwhile */
        bool counted; /* holds one of the fetch slots */
        unsigned resolve_tries, failures;
        uint64_t next_poll_us; /* monotonic */
        json_t *inventory;     /* of the revision */
        json_t *prune;
        struct map *refreshed;    /* group versions that this run has asked the API for */
        struct map *fingerprints; /* inventory key -> char[65] of what we left on the server */
        struct map *drifted;      /* inventory key -> (void *)1 */
        unsigned drift_rounds;    /* back-off against a fight */
        uint64_t drift_round_us;

        /* What the report will say. */
        bool ok;
        const char *reason;
        char *message;
        /* The conditions as last written, and whose: the watch brings them a moment later. */
        json_t *written;
        char *written_uid;
};

void revision_done(struct revision *r);
/* Moves to a state and does its first step. */
void sync_enter(struct sync *s, enum sync_state state);
/* Ends the run with a failure: the report says reason and message (taken from p). */
void sync_fail(struct sync *s, const char *reason, struct problem *p);
/* The resource of an item of a revision, or NULL when the server does not know its kind (yet). */
const struct api_resource *sync_resource(struct sync *s, const struct manifest_item *item);

/* Its objects are pruned: lets the deleted GitSync go. */
void sync_finish_deletion(struct sync *s);

/* sync-fetch.c */
void sync_fetch_begin(struct sync *s);
/* sync-apply.c */
void sync_resolve_step(struct sync *s);
void sync_check_step(struct sync *s);
void sync_record_begin(struct sync *s);
void sync_apply_step(struct sync *s);
void sync_prune_step(struct sync *s);
/* sync-status.c */
void sync_report_begin(struct sync *s);
void sync_health_soon(struct sync *s);
/* The conditions of the object, to be changed and written back. A new tree. */
json_t *sync_conditions(const struct sync *s);
/* Writes a merge patch of the status; done as in api_patch_async. Takes status. When it fails,
 * sync_forget_conditions() makes the object's own count again. */
void sync_forget_conditions(struct sync *s);
int sync_write_status(struct sync *s, json_t *status, api_done_func done, struct api_call **ret);
