/* Admission: the rules of writes that no schema and no strategy can express, because they depend on
 * the user or on other objects. It is a table of named plugins in an order (docs/admission.md);
 * each has rules: kinds, operations, and the functions that run for them. Plugins read
 * the caches and write nothing but the new object.
 *
 *      create:  ADMISSION_MAY_CREATE -> (defaults) -> ADMISSION_MUTATE -> (schema)
 *                      -> ADMISSION_VALIDATE -> ADMISSION_CHARGE
 *      update:  (defaults) -> ADMISSION_MUTATE -> (schema) -> ADMISSION_VALIDATE
 *                      -> ADMISSION_CHARGE
 *      delete:  ADMISSION_MAY_DELETE -> ... -> ADMISSION_DELETED, with what removes the object
 *      connect: ADMISSION_MAY_CONNECT (exec, attach, port-forward)
 *
 * A new plugin is a file beside this one and a row in plugins.h. */
#pragma once

#include "kapid/kinds/kind.h"
#include "lib/json.h"
#include "lib/problem.h"

struct admission_rule;
struct api;
struct metrics;
struct user;

enum admission_operation {
        ADMIT_CREATE = 1 << 0,
        ADMIT_UPDATE = 1 << 1, /* also of a subresource */
        ADMIT_DELETE = 1 << 2,
        ADMIT_CONNECT = 1 << 3, /* a stream into what the object runs; by its subresource */
        ADMIT_WRITE = ADMIT_CREATE | ADMIT_UPDATE,
};

enum admission_stage {
        /* Before anything is done with the body. A refusal may come from caches that are moments
         * old: the verb freshens them and asks once more. */
        ADMISSION_MAY_CREATE,
        /* Fills in what other objects decide, in `draft`. */
        ADMISSION_MUTATE,
        /* Refuses, or warns about, the object as it will be stored. */
        ADMISSION_VALIDATE,
        /* Charges what the write uses to quotas: after everything else, for every object that is
         * stored, by any verb, right before the store's transaction. The caches hold all that
         * earlier writes of the namespace have charged here. */
        ADMISSION_CHARGE,
        /* Refuses the deletion of `live`. */
        ADMISSION_MAY_DELETE,
        /* `live` is removed by this write: gives back what it held. */
        ADMISSION_DELETED,
        /* Refuses a stream into `live`. */
        ADMISSION_MAY_CONNECT,
};

/* The request as plugins see it. Everything is borrowed for one call of admission_run(). */
struct admission {
        struct api *api;
        const struct user *user;
        uint64_t now_us; /* wall clock */
        bool dry_run;
        enum admission_operation operation;
        const struct kind *kind;
        const char *subresource; /* "": the object itself */
        const char *namespace;   /* "": none */
        const char *name;        /* "" in ADMISSION_MAY_CREATE when the server makes the name */
        const json_t *live;      /* the stored object; NULL: a create */
        const json_t *object;    /* what it becomes; NULL: a deletion, or ADMISSION_MAY_CREATE */
        json_t *draft;    /* `object` in ADMISSION_MUTATE, where it may be changed; else NULL */
        char ***warnings; /* for admission_warn() */
        /* Another key that belongs to the same transaction: owner claims it if it is free, NULL
         * gives it back. Used by admission_claim() and admission_release(). */
        int (*add_key)(void *userdata, const char *key, const char *owner);
        /* Another object that changes in the same transaction, if it is still at that revision;
         * value: what is stored. Used by admission_replace(). */
        int (*replace_key)(void *userdata, const char *key, const char *value, uint64_t revision);
        void *userdata;
        const struct admission_rule *rule; /* the rule that matched; set by admission_run() */
};

/* One plugin's hooks for some kinds. A hook that is NULL has nothing to do in its stage. Hooks
 * return 0, or a negative errno and, when the user is to know why, a filled p. */
typedef int (*admission_hook)(struct admission *a, struct problem *p);
struct admission_rule {
        const char *group, *plural; /* plural NULL: every kind */
        const char *subresource;    /* NULL: the object itself; "*": it and all its subresources */
        unsigned operations;        /* of enum admission_operation */
        admission_hook may_create, mutate, validate, charge, may_delete, deleted, may_connect;
};
struct admission_plugin {
        bool safeguard; /* without it users get more rights: "*" does not switch it off */
        const struct admission_rule *rules; /* ended by one without operations */
};

/* --- for the pipeline --- */

/* Switches and order of plugins; vectors of names, ended by NULL (NULL: none). */
struct admission_options {
        char *const *disable; /* "*": all that are not safeguards */
        char *const *enable;  /* those of "*" that stay on */
        char *const *order;   /* these come first, the others follow in the documented order */
};
struct admission_chain;
/* -EINVAL with p for an unknown name (p lists the known ones) and for contradictions. Logs a
 * warning for each safeguard that is off. m is borrowed; NULL: nothing is counted. */
int admission_chain_new(struct admission_chain **ret, const struct admission_options *o,
                struct metrics *m, struct problem *p);
struct admission_chain *admission_chain_free(struct admission_chain *c);
DEFINE_CLEANUP(struct admission_chain *, admission_chain_free);
/* The name of the i-th plugin that is on; NULL past the last. */
const char *admission_chain_at(const struct admission_chain *c, size_t i);

/* Asks the plugins one after another, up to the first refusal. */
int admission_run(struct admission_chain *c, struct admission *a, enum admission_stage stage,
                struct problem *p);

/* --- for plugins --- */

/* The cached object of that kind; NULL when there is none. namespace "" when it has none. */
struct item *admission_find(const struct admission *a, const char *group, const char *plural,
                const char *namespace, const char *name);
/* 403: `pods "x" is forbidden: why`. Returns -EACCES. */
int admission_forbidden(const struct admission *a, struct problem *p, const char *fmt, ...)
                _printf_(3, 4);
/* 422 about one field. Returns -EINVAL. */
int admission_invalid(const struct admission *a, const char *field, const char *value,
                const char *why, struct problem *p);
/* Whether the user may; also for verbs that only admission asks for (docs/who-may-do-what.md). */
struct admission_right {
        const char *verb, *group, *resource, *subresource, *namespace, *name; /* NULL: "" */
};
bool admission_may(const struct admission *a, const struct admission_right *right);
/* Adds a Warning header to the answer. */
int admission_warn(struct admission *a, const char *text);
int admission_claim(struct admission *a, const char *key, const char *owner);
int admission_release(struct admission *a, const char *key);
int admission_replace(struct admission *a, const char *key, const char *value, uint64_t revision);
