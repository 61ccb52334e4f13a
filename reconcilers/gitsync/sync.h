/* One GitSync at work: fetch, check the whole commit, apply, prune, report; drift put back in
 * between.
 *
 *            due / asked                  files           all resolved        nothing refused
 *   IDLE ---------------> FETCHING ---------------> RESOLVING --------> CHECKING -------->
 * RECORDING ^  \                    | unchanged / failed      | refused           | refused |
 * inventory written |   \ drifted           v                         v                   v v |
 * `------------> APPLYING <---------------------------------------------------------APPLYING | | |
 *    `------ REPORTING <-----+------------------------------ PRUNING <-------------------------'
 *
 * Every state waits for exactly one thing: a child, an API call or a timer; sync_step() moves on.
 */
#pragma once

#include <systemd/sd-event.h>

#include "lib/client/informer.h"
#include "reconcilers/gitsync/discovery.h"
#include "reconcilers/gitsync/drift.h"

/* What all syncs share; owned by main. */
struct sync_world {
        sd_event *event;
        struct api_client *client;
        struct informer *gitsyncs;
        struct discovery *discovery;
        struct drift *drift;
        const char *data_dir;
        const char *program; /* path of kgitd itself, for the fetch child */
        unsigned fetching, fetching_max;
};

struct sync;

int sync_new(struct sync **ret, struct sync_world *world, const char *ns, const char *name);
struct sync *sync_free(struct sync *s);
/* Its object changed (or a dependency did): look at it soon. */
void sync_poke(struct sync *s);
/* Something applied by it changed or went. */
void sync_object_changed(struct sync *s, const struct api_resource *resource, const json_t *object,
                bool gone);
/* Deleted, its objects pruned, nothing under way: it may be freed. */
bool sync_is_finished(const struct sync *s);
