/* Notices that another program removed parts of the node's network. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

struct network_watch;

struct network_watch_callbacks {
        /* Soon after one of the node's own links, addresses or routes was removed, or a link was
         * switched off; network_repair() restores them. */
        void (*missing)(void *userdata);
        /* A pod's link was removed, by whoever. */
        void (*pod_link_gone)(const char *link, void *userdata);
        void *userdata;
};
/* A negative errno. */
int network_watch_new(struct network_watch **ret, sd_event *event,
                const struct network_watch_callbacks *callbacks);
struct network_watch *network_watch_free(struct network_watch *w);
DEFINE_CLEANUP(struct network_watch *, network_watch_free);
