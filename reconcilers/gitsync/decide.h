/* What a run does, decided from what it sees: the commit's objects, the inventory and what the API
 * says. Pure: no I/O, clock or randomness. */
#pragma once

#include "reconcilers/gitsync/inventory.h"
#include "reconcilers/gitsync/manifest.h"

/* One object of the commit, with its place on the server. */
struct wanted {
        const struct manifest_item *item;
        const struct api_resource *resource; /* borrowed */
        char *key;                           /* inventory_key() */
        char hash[INVENTORY_HASH_SIZE];
        unsigned rank;
        bool apply;        /* to be applied by this run */
        bool unchecked;    /* could not be tried before */
        const json_t *crd; /* the CRD of the commit that brings its kind, or NULL */
        bool adopt;        /* people's fields on it are to be taken over first */
        json_t *managed;   /* managedFields of the last dry run, when adopt */
        char *version;     /* resourceVersion that goes with it */
};

/* A hash of what will be applied: 16 hex digits of SHA-256. salt: who applies it. */
void decide_hash(const json_t *object, const struct api_resource *resource, const char *salt,
                char ret[static INVENTORY_HASH_SIZE]);

/* The resource that a CRD among the commit's objects brings for this kind and version, or false.
 * The strings are the CRD's. */
bool decide_brought_resource(const struct manifest_set *set, const json_t *object,
                struct api_resource *ret, const json_t **ret_crd);

/* Refuses the same object twice: group, kind, resolved namespace and name alike. Names both places.
 */
int decide_duplicates(const struct wanted *wanted, size_t count, struct problem *p);

/* Marks what must be applied: never applied, or Git says something else now. Returns how many. */
size_t decide_apply(struct wanted *wanted, size_t count, const struct inventory *inventory);

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

/* What is known of an object that left Git. */
struct removal_facts {
        bool ours;          /* its labels still name this GitSync */
        const char *prune;  /* its annotation keelson.dev/prune, or NULL */
        bool by_link;       /* a link or submodule that is not followed may stand for it */
        bool confirmed;     /* a person confirmed this commit's pruning */
        bool holds_gitsync; /* a Namespace with the GitSync itself in it */
        const char *holds;  /* something in it that is not this GitSync's, or NULL */
        const char *unseen; /* why what it holds cannot be seen, or NULL */
};
enum removal {
        REMOVE,
        RELEASE_OPTED_OUT, /* stays, and is this GitSync's no longer */
        RELEASE_NOT_OURS,
        KEEP_GITSYNC, /* stays until a person says a word */
        KEEP_HOLDS,
        KEEP_UNSEEN,
        KEEP_LINK,
};
enum removal decide_removal(const struct removal_facts *f);

/* Whether an object that is not there has ended rather than been taken away: a Job or another
 * object with a time to live that is over, a Pod that ran to its end. wanted: what Git says; last:
 * its last state, or NULL when nobody saw it go. */
bool decide_is_finished(const json_t *wanted, const json_t *last, uint64_t now_us);

/* The first field in which the live object is not what it would be ("data.a"), for a message; NULL
 * when there is none. What the server keeps by itself is passed over. Never a value: it may be a
 * secret. Caller frees. */
char *decide_difference(const json_t *live, const json_t *would_be);
