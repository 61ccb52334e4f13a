/* Work on a revision that grows with the number of its objects, off the event loop: reading its
 * files, hashing its objects, freeing it. Shared by the files of a GitSync; nothing else includes
 * this. */
#pragma once

#include "reconcilers/gitsync/gitsync-internal.h"

/* Copies of what the GitSync says. */
struct aside_words {
        char *name, *ns, *target, *user; /* target: spec.targetNamespace or "" */
};
/* On the thread: may use its arguments, and nothing of the GitSync. */
typedef int (*aside_work)(struct revision *revision, const json_t *reply,
                const struct aside_words *words, struct problem *p);
/* On the loop, when the candidate has the revision again: what work returned, and its problem. */
typedef void (*aside_done)(struct gitsync *s, int error, const struct problem *p);

/* Works on the candidate, which is empty meanwhile. Takes reply (may be NULL). -ENOMEM: done is not
 * called. */
int gitsync_aside(struct gitsync *s, json_t *reply, aside_work work, aside_done done);
/* The GitSync ends and waits no longer. */
void gitsync_aside_leave(struct gitsync *s);
/* As revision_done(). */
void gitsync_discard(struct gitsync *s, struct revision *revision);
