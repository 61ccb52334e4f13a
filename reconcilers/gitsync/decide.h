/* Decides what a run does from what it sees: the commit's objects, the inventory and what the API
 * says. Pure: no I/O, clock or randomness. */
#pragma once

#include "lib/client/actions.h"
#include "reconcilers/gitsync/inventory.h"
#include "reconcilers/gitsync/manifest.h"

/* --- whether a run starts, and with which step --- */

/* The state in which a run may start. */
struct run_view {
        bool deleting;                 /* the GitSync is being deleted */
        bool has_finalizer;            /* kgitd's */
        bool inventory_loaded;         /* what it applied before is known */
        bool suspended;                /* spec.suspend */
        const char *dependency;        /* a GitSync of spec.dependsOn that is not Ready, or NULL */
        size_t suspects;               /* objects that may have drifted */
        bool drift_off;                /* spec.drift is "off" */
        bool have_current;             /* a commit was applied (or is being applied) */
        unsigned failures;             /* runs that failed one after the other */
        bool spec_changed;             /* since that commit was applied */
        bool asked;                    /* a person asked for a run (keelson.dev/reconcileAt) */
        bool look_again;               /* what was kept changed, or its removal was confirmed */
        uint64_t now_us, next_poll_us; /* monotonic */
};
enum run_start {
        RUN_NOTHING,       /* not due */
        RUN_LET_GO,        /* deleted, and nothing of it is left to remove */
        RUN_ADD_FINALIZER, /* before anything is applied */
        RUN_LOAD,          /* the inventory first */
        RUN_REMOVE_ALL,    /* the GitSync is being deleted: what it applied is removed */
        RUN_SUSPENDED,
        RUN_WAIT, /* for the dependency */
        RUN_DRIFT,
        RUN_FETCH,
};
enum run_start decide_run(const struct run_view *v);

/* --- the commit --- */

/* One object of the commit, with its place on the server. */
struct wanted {
        const struct manifest_item *item;
        const struct api_resource *resource; /* borrowed */
        char *key;                           /* inventory_key() */
        char hash[INVENTORY_HASH_SIZE];
        unsigned rank;
        bool apply;        /* to be applied by this run */
        bool served;       /* the API serves its kind */
        bool unchecked;    /* could not be tried before namespaces and CRDs were applied */
        const json_t *crd; /* the CRD of the commit that brings its kind, or NULL */
        bool adopt;        /* fields that people own are taken over first */
        json_t *managed;   /* managedFields of the last dry run, when adopt */
        char *version;     /* resourceVersion that goes with it */
};

/* A hash of what will be applied: 16 hex digits of SHA-256. salt: the user that applies it. */
void decide_hash(const json_t *object, const struct api_resource *resource, const char *salt,
                char ret[static INVENTORY_HASH_SIZE]);

/* The resource that a CRD among the commit's objects brings for this kind and version, or false.
 * The strings are the CRD's. */
bool decide_brought_resource(const struct manifest_set *set, const json_t *object,
                struct api_resource *ret, const json_t **ret_crd);

/* Refuses the same object twice: group, kind, resolved namespace and name alike. Names both places.
 */
int decide_duplicates(const struct wanted *wanted, size_t count, struct problem *p);

/* Marks what must be applied: what never was, or is different in Git now. Returns the number. */
size_t decide_apply(struct wanted *wanted, size_t count, const struct inventory *inventory);

/* The dry runs of what this run applies. late: after namespaces and CRDs were applied, only what
 * could not be tried before; otherwise what cannot be tried yet is marked `unchecked`. */
void decide_trials(struct wanted *wanted, size_t count, bool late, struct actions *ret);

/* The result of one dry run. */
struct trial {
        const struct wanted *wanted; /* the commit's */
        size_t count;
        const struct wanted *w; /* the one that was tried */
        bool late;              /* as above */
        bool forced;            /* tried with force */
        const char *manager;    /* our field manager */
        int error;
        const struct problem *p;
};
enum trial_result {
        TRIAL_PASSED,
        TRIAL_LATER,    /* what it needs comes with the commit itself */
        TRIAL_FORCE,    /* others own fields of it: drift, or a first adoption; try with force */
        TRIAL_CONFLICT, /* another GitSync owns fields of it */
        TRIAL_REFUSED,
};
enum trial_result decide_trial(const struct trial *t);
/* The other GitSync ("namespace/name") that a conflict names, or NULL. */
const char *decide_other_owner(
                const char *manager, const struct problem *p, char *buffer, size_t n);

/* The applies of this run, rank by rank. base: namespaces and CRDs only. */
void decide_applies(const struct wanted *wanted, size_t count, bool base, struct actions *ret);

/* --- objects that left Git --- */

/* Entries that the commit does not have, in reverse order of applying; an array for the caller to
 * free, of borrowed entries. NULL when out of memory. */
struct inventory_entry **decide_gone(const struct inventory *inventory, const struct wanted *wanted,
                size_t count, size_t *ret_count);

enum brake { BRAKE_NONE, BRAKE_NOTHING_LEFT, BRAKE_SHARE };
/* had: the objects of the inventory that were not kept back before; gone: those of them that left;
 * left: those that the commit has. At least PRUNE_LIMIT_FROM objects must have been there for the
 * share to count. */
enum { PRUNE_LIMIT_FROM = 10, PRUNE_LIMIT_DEFAULT = 50 };
enum brake decide_brake(size_t had, size_t gone, size_t left, unsigned limit_percent);
/* "50%" -> 50; the default when absent or none. */
unsigned decide_limit(const char *text);

/* An object that is no longer in Git. */
struct removal_facts {
        bool ours;          /* its labels still name this GitSync */
        const char *prune;  /* its annotation keelson.dev/prune, or NULL */
        bool by_link;       /* a link or submodule that is not followed may refer to it */
        bool confirmed;     /* a person confirmed this commit's pruning */
        bool holds_gitsync; /* a Namespace with the GitSync itself in it */
        const char *holds;  /* something in it that is not this GitSync's, or NULL */
        const char *unseen; /* why what it holds cannot be seen, or NULL */
};
enum removal {
        REMOVE,
        RELEASE_OPTED_OUT, /* stays, and no longer belongs to this GitSync */
        RELEASE_NOT_OURS,
        KEEP_GITSYNC, /* stays until a person allows its removal */
        KEEP_HOLDS,
        KEEP_UNSEEN,
        KEEP_LINK,
};
enum removal decide_removal(const struct removal_facts *f);

/* One object that left Git, as it was seen. */
struct leaving {
        struct inventory_entry *entry;
        json_t *live;               /* NULL: there is nothing, or it is being deleted already */
        struct removal_facts facts; /* strings: borrowed from live, or the next two */
        char *holds, *unseen;
        int error; /* it could not be looked at, or removed */
        struct problem problem;
};
/* Decides about objects no longer in Git: forget, release, keep or remove; nothing about those with
 * an error. prune: spec.prune. */
void decide_removals(struct leaving *leaving, size_t count, bool prune, struct actions *ret);

/* --- drift --- */

/* Whether an absent object has finished rather than been removed: a Job or another
 * object with a time to live that is over, a Pod that ran to its end. wanted: what Git says; last:
 * its last state, or NULL when its deletion was not observed. */
bool decide_is_finished(const json_t *wanted, const json_t *last, uint64_t now_us);

/* A suspect, compared with what applying Git's revision now would give. */
struct finding {
        struct wanted *w;
        bool drifted; /* else it is right as it is, or the comparison failed */
        int error;    /* of the comparison */
        struct problem problem;
        json_t *live;                    /* NULL: it is gone */
        json_t *answer;                  /* of the dry run */
        json_t *extra;                   /* fields that people added, or NULL */
        char print[INVENTORY_HASH_SIZE]; /* of the state that it is in */
};
/* "revert", "detect" or "off": what the object's own annotation, in Git or on the server, or the
 * GitSync's spec.drift says to do. live may be NULL. */
const char *decide_drift_word(const json_t *object, const json_t *live, const char *spec_drift);
/* Decides about objects that drifted: revert, report, or ignore. */
void decide_drift(struct finding *findings, size_t count, const char *spec_drift,
                struct actions *ret);

/* The first field in which the live object is not what it would be ("data.a"), for a message; NULL
 * when there is none. Fields that the server maintains are skipped. Never a value: it may be a
 * secret. Caller frees. */
char *decide_difference(const json_t *live, const json_t *would_be);
