/* The authority's certificates and key, which sign requests: read again when the files are
 * replaced. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/problem.h"

struct signing {
        const char *cert_path, *key_path; /* borrowed */
        char *cert, *key;                 /* texts; NULL: no signing */
        sd_event_source *source;
        void (*on_change)(void *userdata);
        void *userdata;
};

/* Reads both; paths may be NULL together. 1 when the texts are others than before, 0, or an error:
 * p says why, and the texts stay. */
int signing_read(struct signing *s, const char *cert_path, const char *key_path,
                struct problem *p);
/* From now on the texts follow the files; on_change is called after they have changed. A pair that
 * does not fit (half of it is there) changes nothing. A folder that cannot be watched is only
 * reported: the texts stay as they are. */
int signing_watch(struct signing *s, sd_event *event, void (*on_change)(void *userdata),
                void *userdata);
void signing_done(struct signing *s);
