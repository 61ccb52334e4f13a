/* Making and changing objects: what create, run, expose, set, patch, replace and edit share. */
#pragma once

#include "kctl/kctl.h"

/* --dry-run: client only shows what would be sent, server has it checked and not stored. */
enum dry_run { DRY_RUN_NONE, DRY_RUN_CLIENT, DRY_RUN_SERVER };
/* 0, or -EINVAL with p. */
int dry_run_parse(struct kctl *k, enum dry_run *ret, struct problem *p);
/* "", " (dry run)" or " (server dry run)": behind what a verb says it has done. */
const char *dry_run_text(enum dry_run dry_run);
/* "fieldManager=...", and more for a dry run by the server; more may be NULL. Caller frees. */
char *change_query(struct kctl *k, enum dry_run dry_run, const char *more);

/* Prints a changed object as -o says, otherwise "KIND/NAME DONE (server dry run)".
 * done NULL: nothing is printed. */
int print_change(struct kctl *k, const json_t *object, const struct kind_ref *kind,
                const char *done, enum dry_run dry_run, struct problem *p);

/* Sends a new object (with -n in it, as the command line says) and prints the result; a dry run of
 * the client only prints. ret_made, which may be NULL, is what the server made of it. */
int object_create(struct kctl *k, const struct kind_ref *kind, const json_t *object,
                const char *done, json_t **ret_made, struct problem *p);

/* A value with a JSON merge patch (RFC 7386) applied; a new reference. NULL when out of memory. */
json_t *merge_apply(const json_t *value, const json_t *patch);
/* The JSON merge patch that makes `new` of `old`; a new reference, {} when they are equal. NULL
 * when out of memory. Pure. */
json_t *merge_difference(const json_t *old, const json_t *new);
/* Whether everything that a merge patch of `old` replaces is in `live` as it was in `old`. Pure. */
bool merge_is_current(const json_t *patch, const json_t *old, const json_t *live);
/* The same object with every key in order, as kubectl prints it. NULL when out of memory. */
json_t *json_sorted(const json_t *v);

/* Changes a copy of an object. 0, or an error with p. */
typedef int (*mutate_func)(json_t *object, const struct target *t, void *userdata,
                struct problem *p);
/* Reads an object, has `mutate` change it, and sends the difference, again when another change came
 * between. Prints the result. Nothing is sent or printed when nothing changes. */
int object_change(struct kctl *k, const struct target *t, mutate_func mutate, void *userdata,
                const char *done, struct problem *p);
/* The objects that the words and -f, --all, -l name; each has a name. */
int change_targets(struct kctl *k, struct targets *ret, struct problem *p);
/* Those of -f alone. */
int targets_of_files(struct kctl *k, struct targets *ret, struct problem *p);
/* The whole of a verb that works on named objects, by words or by files: calls one for each, and
 * continues after an error. verb: for the message when none is named. Returns the exit code. */
int targets_each_named(struct kctl *k, const char *verb,
                int (*one)(struct kctl *k, const struct target *t, struct problem *p));
