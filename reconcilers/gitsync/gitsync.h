/* One GitSync at work: fetch, check the whole commit, apply, prune, report; drift corrected in
 * between. Each run sees (the commit, the inventory, what the API says), decides (decide.h, pure)
 * and carries out, and only status.c writes the status.
 *
 *        due, asked, changed
 *   IDLE ----------------> LOADING (the inventory, once) --> FETCHING --> RESOLVING --> CHECKING
 *    ^ | suspected drift                                        | unchanged   | refused     |
 * refused | v                                                        v             v             v
 *    |<- DRIFT                                     <-- REPORTING <---------------------------
 *    |                                                  ^
 *    |                          RECORDING --> APPLYING --> PRUNING
 *
 * CHECKING, APPLYING, PRUNING and DRIFT do many requests at once (batch.h), rank by rank.
 */
#pragma once

#include <systemd/sd-event.h>

#include "lib/client/informer.h"
#include "reconcilers/gitsync/discovery.h"
#include "reconcilers/gitsync/drift.h"
#include "reconcilers/gitsync/figures.h"
#include "reconcilers/gitsync/turns.h"

/* Shared by all GitSyncs; owned by main. */
struct gitsync_world {
        sd_event *event;
        struct api_client *client;
        struct informer *gitsyncs;
        struct discovery *discovery;
        struct drift *drift;
        struct map *identities; /* identity.h */
        const char *data_dir;
        const char *program;      /* path of kgitd itself, for the fetch child */
        struct fetch_turns turns; /* turns of fetching */
        struct asides *asides;    /* NULL: the loop does all work */
        struct figures_shared figures;
};

/* The thread for work that grows with a commit. */
struct asides;
int asides_new(struct asides **ret, sd_event *event);
/* Waits for the work under way. After the GitSyncs. */
struct asides *asides_free(struct asides *x);

struct gitsync;

int gitsync_new(struct gitsync **ret, struct gitsync_world *world, const char *ns,
                const char *name);
struct gitsync *gitsync_free(struct gitsync *s);
DEFINE_CLEANUP(struct gitsync *, gitsync_free);
/* Its object or a dependency changed: considers a run soon. */
void gitsync_poke(struct gitsync *s);
/* An object applied by it changed or was deleted, as the identity of that name sees it. */
void gitsync_object_changed(struct gitsync *s, const char *user,
                const struct api_resource *resource, const json_t *object, bool gone);
/* The first full list of a watch has arrived: objects not in it are gone. */
void gitsync_watch_synced(struct gitsync *s, const char *user, const struct api_resource *resource);
/* Deleted, its objects pruned, nothing under way: it may be freed. */
bool gitsync_is_finished(const struct gitsync *s);
