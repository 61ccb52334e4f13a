/* Shared by the files of a GitSync; nothing else includes this. */
#pragma once

#include "lib/client/executor.h"
#include "lib/map.h"
#include "reconcilers/gitsync/child.h"
#include "reconcilers/gitsync/decide.h"
#include "reconcilers/gitsync/gitsync.h"

/* The steps of a run; their table is in gitsync.c. */
enum gitsync_state {
        GITSYNC_IDLE,
        GITSYNC_STARTING,
        GITSYNC_LOADING,
        GITSYNC_FETCHING,
        GITSYNC_RESOLVING,
        GITSYNC_CHECKING,
        GITSYNC_RECORDING,
        GITSYNC_APPLYING_BASE, /* namespaces and CRDs */
        GITSYNC_AWAITING_KINDS,
        GITSYNC_CHECKING_LATE, /* what could not be checked before those */
        GITSYNC_APPLYING,
        GITSYNC_PRUNING,
        GITSYNC_REPORTING,
        GITSYNC_DRIFT,
        GITSYNC_STATES_MAX,
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

/* The writer of the status (status.c), the only one. */
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

struct gitsync {
        struct gitsync_world *world;
        char *ns, *name, *key;
        char *manager;                 /* field manager of its applies */
        enum gitsync_state state, was; /* was: the step before */
        struct identity *identity;     /* that it acts as; borrowed from the world */

        /* The one thing waited for, and the timer that starts the next run. */
        struct child *child;
        struct aside *aside; /* work on the candidate, off the loop (aside.h) */
        struct api_call *call;
        struct executor *executor;
        void (*then)(struct gitsync *s); /* when the executor's list is carried out */
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
        bool again;             /* something happened meanwhile */
        bool start_waits;       /* for the end of the status write under way */
        struct fetch_turn turn; /* its turn of fetching */
        uint64_t progress_us;   /* monotonic: when the status last got the fetch's progress */
        unsigned resolve_tries, failures;
        uint64_t next_poll_us; /* monotonic */
        struct map *refreshed; /* group versions that this run has asked the API for */

        struct inventory inventory;
        char *inventory_uid; /* uid of the GitSync that it belongs to; NULL: not read yet */
        bool inventory_dirty;
        struct inventory_entry **gone; /* what left Git; NULL: its entry is forgotten */
        size_t gone_count, gone_at;    /* gone_at: the first one that was not looked at */
        struct leaving *leaving;       /* those of the rank that is being pruned */
        size_t leaving_count;
        char *kept, *kept_before; /* what was kept of what left Git, and why; a sentence */
        size_t kept_count;
        bool look_again; /* a kept object changed: try to prune it */

        struct map *suspects;     /* inventory key -> SUSPECT_...: perhaps drifted */
        struct finding *findings; /* of those that are being compared */
        size_t finding_count;
        struct map *drifted;      /* inventory key -> (void *)1: reported, left as it is */
        unsigned drift_rounds;    /* back-off when others write the same fields */
        uint64_t drift_round_us;  /* monotonic: when the last round's delay is over */
        uint64_t suspects_due_us; /* monotonic: not compared before */
        bool drift_in_vain;       /* a take-over conflicted */

        /* Data of the report. */
        bool ok;
        const char *reason;
        char *message;
        struct status_writer writer;
        struct figures figures;
};

/* Values of gitsync.suspects: changed since it was last looked at, or being compared. */
#define SUSPECT_NEW ((void *)1)
#define SUSPECT_SEEN ((void *)2)

#define out_of_memory() (&(struct problem){.message = (char *)"out of memory"})

void revision_done(struct revision *r);

/* --- gitsync.c: moving on --- */

/* The step is done: begins the next one of the table. */
void gitsync_next(struct gitsync *s);
/* Continues with another step than the next one. */
void gitsync_enter(struct gitsync *s, enum gitsync_state state);
/* Ends the run with a failure: the report says reason (a static string) and p's message. */
void gitsync_fail(struct gitsync *s, const char *reason, const struct problem *p);
/* Takes the list and carries it out, many actions at once; then calls then(). When an action fails
 * the run does (the reason is the problem's). */
void gitsync_carry_out(struct gitsync *s, struct actions *list, void (*then)(struct gitsync *s));
/* The client of the identity that the run acts as. */
struct api_client *gitsync_client(const struct gitsync *s);
/* Whether a person confirmed the pruning of this commit. */
bool gitsync_is_confirmed(const struct gitsync *s, const struct revision *r);
/* A log line about the GitSync, and about another object, "Kind/namespace/name", unless NULL. */
void gitsync_log(const struct gitsync *s, int level, const char *other, const char *fmt, ...)
                _printf_(4, 5);
/* Removes the finalizer of a deleted GitSync whose objects are pruned. */
void gitsync_finish_deletion(struct gitsync *s);

/* --- requests.c: parts of actions --- */

struct gitsync *gitsync_of(const struct running_action *a);
/* For action types whose handle is the api_call that they wait for. */
void gitsync_cancel_call(struct running_action *a);
/* Each sends a request as the identity of the run and sets the action's handle; done gets the
 * action. path NULL: -ENOMEM. */
int gitsync_get(struct running_action *a, const char *path, api_done_func done);
enum apply_mode { APPLY_TRIAL, APPLY_FORCED_TRIAL, APPLY_REAL };
int gitsync_send_apply(struct running_action *a, const struct wanted *w, enum apply_mode mode,
                api_done_func done);
/* Lets our manager own the fields that other managers own, as the dry run's answer shows them. */
int gitsync_send_take_over(struct running_action *a, const struct wanted *w, const json_t *managed,
                const char *version, api_done_func done);
/* Makes a failure's message for the status: names the file and line of the item (which may be
 * NULL), the service account, or that the API cannot be asked; p->reason is `reason`, or
 * ApiUnavailable. Returns error. */
int gitsync_blame(const struct gitsync *s, const struct manifest_item *item, const char *reason,
                int error, const struct problem *why, struct problem *p);
/* Ends the action with that. */
void gitsync_action_failed(struct running_action *a, const struct manifest_item *item,
                const char *reason, int error, const struct problem *why);
/* "it belongs to GitSync ... too" */
void gitsync_set_conflict(const struct gitsync *s, const struct problem *why, struct problem *p);
bool gitsync_removes_additions(const struct gitsync *s, const struct wanted *w, const json_t *live);

/* --- the steps --- */

void gitsync_load_begin(struct gitsync *s);    /* step-load.c */
void gitsync_fetch_begin(struct gitsync *s);   /* step-fetch.c */
void gitsync_resolve_begin(struct gitsync *s); /* step-resolve.c */
void gitsync_await_kinds_begin(
                struct gitsync *s);           /* the kinds of CRDs that were applied just now */
void gitsync_check_begin(struct gitsync *s);  /* step-check.c; also the late check */
void gitsync_record_begin(struct gitsync *s); /* step-record.c */
void gitsync_recorded(struct gitsync *s, int error);
void gitsync_apply_begin(struct gitsync *s); /* step-apply.c; also namespaces and CRDs */
/* The answer of a real apply: its hashes go into the inventory. */
int gitsync_note_applied(struct gitsync *s, const struct wanted *w, const json_t *answer);
void gitsync_prune_begin(struct gitsync *s); /* step-prune.c */
void gitsync_prune_done(struct gitsync *s);  /* frees its view */
void gitsync_drift_begin(struct gitsync *s); /* step-drift.c */
void gitsync_drift_done(struct gitsync *s);  /* frees its findings */

/* --- step-drift.c: watched objects --- */

/* Watches every kind (and namespace) of the current revision. */
void gitsync_watch_all(struct gitsync *s);
/* The live object of a wanted one as the watch shows it, or NULL. Borrowed. */
const json_t *gitsync_live(const struct gitsync *s, const struct wanted *w);
/* Its comparison or its apply begins: what changes from here on makes it a new suspect. */
void gitsync_suspect_seen(struct gitsync *s, const struct wanted *w);
/* The comparison or apply has ended well. It is no longer a suspect, unless it changed meanwhile to
 * something else than what is known to be correct. */
void gitsync_suspect_settled(struct gitsync *s, const struct wanted *w);
/* Whether spec.drift is that word. */
bool gitsync_drift_is(const struct gitsync *s, const char *word);

/* --- status.c: the only writer of the status --- */

int gitsync_status_init(struct gitsync *s);
void gitsync_status_done(struct gitsync *s);
/* Takes the status over from the object, once. Not while it is being written. */
void gitsync_status_load(struct gitsync *s);
void gitsync_condition(struct gitsync *s, const char *type, const char *status, const char *reason,
                const char *message);
/* Takes value. */
void gitsync_status_set(struct gitsync *s, const char *field, json_t *value);
/* Writes the status and the inventory where they changed. wait: the run continues (in RECORDING and
 * REPORTING) when all of it is written. */
void gitsync_status_write(struct gitsync *s, bool wait);
void gitsync_report_begin(struct gitsync *s);
/* Judges the health of what was applied, after a moment. */
void gitsync_health_soon(struct gitsync *s);
