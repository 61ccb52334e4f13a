/* Notices that another program removed parts of the node's network. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

struct network_watch;

/* Calls on_missing soon after one of our links, addresses or routes was removed, or a link was
 * switched off; network_repair() restores them. A negative errno. */
int network_watch_new(struct network_watch **ret, sd_event *event,
                void (*on_missing)(void *userdata), void *userdata);
struct network_watch *network_watch_free(struct network_watch *w);
DEFINE_CLEANUP(struct network_watch *, network_watch_free);
