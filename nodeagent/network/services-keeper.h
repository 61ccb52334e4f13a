/* Keeps the services and slices on disk, and reads them back when the agent starts, in pieces: the
 * loop is not blocked, however many there are. */
#pragma once

#include <systemd/sd-event.h>

#include "nodeagent/network/nft.h"

struct services_keeper;

/* Everything that the disk remembers is in the table. */
typedef void (*services_loaded_func)(void *userdata);

/* Reads path from the next turn of the loop on; what the table has already stays. Copies path,
 * borrows the rest. on_loaded is called once, also when there is no file. A negative errno. */
int services_keeper_new(struct services_keeper **ret, sd_event *event, const char *path,
                struct nft *nft, services_loaded_func on_loaded, void *userdata);
/* Waits for a running write; changes of the last second may be missing on disk. */
struct services_keeper *services_keeper_free(struct services_keeper *k);
DEFINE_CLEANUP(struct services_keeper *, services_keeper_free);
/* Whether the table lacks something that the disk remembers. k NULL: it does. */
bool services_keeper_is_reading(const struct services_keeper *k);
/* A service (or a slice) has changed or is gone; key: "namespace/name". Written within a second. */
void services_keeper_note(struct services_keeper *k, bool slice, const char *key);
/* The API's lists are in the table: the file is no longer read, and is written as a whole.
 * on_loaded is not called any longer. */
void services_keeper_replace(struct services_keeper *k);
