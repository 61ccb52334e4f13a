/* Measures folders with du(1), in a process of its own because they may hold a million files. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

struct du;

enum du_unit { DU_BYTES, DU_INODES };

/* One folder's figure. */
typedef void (*du_path_func)(const char *path, uint64_t amount, void *userdata);

struct du_options {
        enum du_unit unit;
        char *const *paths; /* NULL-ended; ones that are not there are left out of the answer */
        du_path_func on_path;
        /* Called once after the last path, never from du_start(); the du is to be freed then. */
        void (*on_end)(struct du *du, void *userdata);
        void *userdata;
};

/* -ENOMEM, or an errno of the process. */
int du_start(struct du **ret, sd_event *event, const struct du_options *options);
/* Ends the process when it still runs. NULL is fine; returns NULL. */
struct du *du_free(struct du *du);
DEFINE_CLEANUP(struct du *, du_free);
