/* What the files of a sync share; nobody else includes this. */
#pragma once

#include "lib/client/executor.h"
#include "lib/map.h"
#include "reconcilers/gitsync/child.h"
#include "reconcilers/gitsync/decide.h"
#include "reconcilers/gitsync/sync.h"

/* The steps of a run; their table is in sync.c. */
enum sync_state {
        SYNC_IDLE,
        SYNC_STARTING,
        SYNC_LOADING,
        SYNC_FETCHING,
        SYNC_RESOLVING,
        SYNC_CHECKING,
        SYNC_RECORDING,
        SYNC_APPLYING_BASE, /* namespaces and CRDs */
        SYNC_AWAITING_KINDS,
        SYNC_CHECKING_LATE, /* what could not be checked before those */
        SYNC_APPLYING,
        SYNC_PRUNING,
        SYNC_REPORTING,
        SYNC_DRIFT,
        SYNC_STATES_MAX,
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
        unsigned *numbers;  /* 0, 1, ... chunks - 1: what the actions that write them point to */
        struct executor *executor; /* writes the chunks */
        struct api_call *call;     /* writes the status */
};

struct sync {
        struct sync_world *world;
        char *ns, *name, *key;
        char *manager;              /* field manager of its applies */
        enum sync_state state, was; /* was: the step before */
        struct identity *who;       /* as whom it acts; borrowed from the world */

        /* The one thing waited for, and the timer that starts the next run. */
        struct child *child;
        struct api_call *call;
        struct executor *executor;
        void (*then)(struct sync *s); /* when the executor's list is carried out */
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
        bool deleting;
        bool finished;
        bool again;           /* something happened meanwhile */
        struct slot slot;     /* its turn of fetching */
        uint64_t progress_us; /* monotonic: when the status last said how far the fetch is */
        unsigned resolve_tries, failures;
        uint64_t next_poll_us; /* monotonic */
        struct map *refreshed; /* group versions that this run has asked the API for */

        struct inventory inventory;
        char *inventory_uid; /* whose it is; NULL: not read yet */
        bool inventory_dirty;
        struct inventory_entry **gone; /* what left Git; NULL: its entry is forgotten */
        size_t gone_count, gone_at;    /* gone_at: the first one that was not looked at */
        struct leaving *leaving;       /* those of the rank that is being pruned */
        size_t leaving_count;
        char *kept, *kept_before; /* what was kept of what left Git, and why; a sentence */
        size_t kept_count;
        bool look_again; /* something kept changed: try to prune it */

        struct map *suspects;     /* inventory key -> (void *)1: perhaps drifted */
        struct finding *findings; /* of those that are being compared */
        size_t finding_count;
        struct map *drifted;   /* inventory key -> (void *)1: reported, left as it is */
        unsigned drift_rounds; /* back-off against a fight */
        uint64_t drift_round_us;

        /* What the report will say. */
        bool ok;
        const char *reason;
        char *message;
        struct status_writer writer;
};

#define out_of_memory() (&(struct problem){.message = (char *)"out of memory"})

void revision_done(struct revision *r);

/* --- sync.c: moving on --- */

/* The step is done: begins the next one of the table. */
void sync_next(struct sync *s);
/* Continues with another step than the next one. */
void sync_enter(struct sync *s, enum sync_state state);
/* Ends the run with a failure: the report says reason (a static string) and p's message. */
void sync_fail(struct sync *s, const char *reason, const struct problem *p);
/* Takes the list and carries it out, many actions at once; then calls then(). When an action fails
 * the run does (the reason is the problem's). */
void sync_carry_out(struct sync *s, struct actions *list, void (*then)(struct sync *s));
/* The client of the identity that the run acts as. */
struct api_client *sync_client(const struct sync *s);
/* Whether a person confirmed the pruning of this commit. */
bool sync_is_confirmed(const struct sync *s, const struct revision *r);
/* Its objects are pruned: lets the deleted GitSync go. */
void sync_finish_deletion(struct sync *s);

/* --- sync-requests.c: parts of actions --- */

struct sync *sync_of(const struct running_action *a);
/* For action types whose handle is the api_call that they wait for. */
void sync_cancel_call(struct running_action *a);
/* Each sends a request as the identity of the run and sets the action's handle; done gets the
 * action. path NULL: -ENOMEM. */
int sync_get(struct running_action *a, const char *path, api_done_func done);
enum apply_mode { APPLY_TRIAL, APPLY_FORCED_TRIAL, APPLY_REAL };
int sync_send_apply(struct running_action *a, const struct wanted *w, enum apply_mode mode,
                api_done_func done);
/* Lets our manager own what people's managers own, as the dry run's answer shows it. */
int sync_send_take_over(struct running_action *a, const struct wanted *w, const json_t *managed,
                const char *version, api_done_func done);
/* Words a failure for the status: names the file and line of the item (which may be NULL), the
 * service account, or that the API cannot be asked; p->reason is `reason`, or ApiUnavailable.
 * Returns error. */
int sync_blame(const struct sync *s, const struct manifest_item *item, const char *reason,
                int error, const struct problem *why, struct problem *p);
/* Ends the action with that. */
void sync_action_failed(struct running_action *a, const struct manifest_item *item,
                const char *reason, int error, const struct problem *why);
/* "it belongs to GitSync ... too" */
void sync_set_conflict(const struct sync *s, const struct problem *why, struct problem *p);
bool sync_removes_additions(const struct sync *s, const struct wanted *w, const json_t *live);

/* --- the steps --- */

void sync_load_begin(struct sync *s);        /* sync-inventory.c */
void sync_fetch_begin(struct sync *s);       /* sync-fetch.c */
void sync_resolve_begin(struct sync *s);     /* sync-resolve.c */
void sync_await_kinds_begin(struct sync *s); /* the kinds of CRDs that were applied just now */
void sync_check_begin(struct sync *s);       /* sync-check.c; also the late check */
void sync_record_begin(struct sync *s);      /* sync-record.c */
void sync_recorded(struct sync *s, int error);
void sync_apply_begin(struct sync *s); /* sync-apply.c; also namespaces and CRDs */
/* The answer of a real apply: its hashes go into the inventory. */
int sync_note_applied(struct sync *s, const struct wanted *w, const json_t *answer);
void sync_prune_begin(struct sync *s); /* sync-prune.c */
void sync_prune_done(struct sync *s);  /* frees what it looked at */
void sync_drift_begin(struct sync *s); /* sync-drift.c */
void sync_drift_done(struct sync *s);  /* frees what it found */

/* --- sync-drift.c: what is watched --- */

/* Watches every kind (and namespace) of the current revision. */
void sync_watch_all(struct sync *s);
/* The live object of a wanted one as the watch shows it, or NULL. Borrowed. */
const json_t *sync_live(const struct sync *s, const struct wanted *w);
/* Whether spec.drift is that word. */
bool sync_drift_is(const struct sync *s, const char *word);

/* --- sync-status.c: the only writer of the status --- */

int sync_status_init(struct sync *s);
void sync_status_done(struct sync *s);
/* Takes the status over from the object, once. */
void sync_status_load(struct sync *s);
void sync_condition(struct sync *s, const char *type, const char *status, const char *reason,
                const char *message);
/* Takes value. */
void sync_status_set(struct sync *s, const char *field, json_t *value);
/* Writes what there is to write. wait: the run continues (in RECORDING and REPORTING) when all of
 * it is written. */
void sync_status_write(struct sync *s, bool wait);
void sync_report_begin(struct sync *s);
/* Judges the health of what was applied, after a moment. */
void sync_health_soon(struct sync *s);
