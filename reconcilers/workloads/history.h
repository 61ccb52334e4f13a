/* The history of pod templates of a StatefulSet or DaemonSet, kept in ControllerRevisions that it
 * owns. Pure. */
#pragma once

#include "lib/map.h"
#include "reconcilers/controller.h"
#include "reconcilers/pods.h"

/* The label of a pod that names its revision, and of a revision that has its hash. */
#define REVISION_LABEL "controller-revision-hash"

struct history {
        const json_t *owner;
        const char *kind;         /* of the owner, in apps/v1: "StatefulSet" */
        struct objects revisions; /* its own, the lowest number first */
        struct objects orphans;   /* that its selector matches */
        const json_t *update;     /* the one of the present template, or NULL */
        json_t *data;             /* what a revision of the present template holds */
        char hash[TEMPLATE_HASH_SIZE];
};

void history_read(struct history *h, const struct world *w, const json_t *owner, const char *kind);
void history_done(struct history *h);
/* Plans what makes `update` the newest revision: adopting orphans, creating it, or giving it the
 * next number when the template has returned to an older one. False: something has to be changed,
 * and the rest of the plan waits for the next round. */
bool history_sync(struct history *h, struct actions *a);
/* Plans the deletion of the oldest revisions beyond spec.revisionHistoryLimit. used: names or
 * hashes (as map keys) of revisions that pods have; they and the newest one stay and do not
 * count. */
void history_clean(const struct history *h, struct actions *a, const struct map *used);
/* The revision of that name, or NULL. */
const json_t *history_find(const struct history *h, const char *name);
/* The hash of a revision, "" without one; borrowed. */
const char *revision_hash(const json_t *revision);
/* The pod template that a revision holds; a new reference, NULL when it holds none. */
json_t *revision_template(const json_t *revision);
/* The owner's status.collisionCount: one more when creating the revision failed because another
 * owner's has its name. failed may be NULL. */
int64_t history_collisions(const struct history *h, const struct problem *failed);
