/* systemd-portabled over D-Bus (org.freedesktop.portable1(5)): attaches the units of an image to
 * the machine until it starts again, and detaches them. */
#pragma once

#include "nodeagent/runtime/units.h"

enum portable_verb { PORTABLE_STATE, PORTABLE_ATTACH, PORTABLE_DETACH };

struct portable_request {
        enum portable_verb verb;
        const char *image;   /* absolute path of a folder or a disk image */
        const char *profile; /* PORTABLE_ATTACH: "default", "strict", ... */
};

struct portable_call;
/* error: why it failed, else NULL. state: of PORTABLE_STATE ("detached", "attached-runtime",
 * "running-runtime", ...), else "". */
typedef void (*portable_func)(const char *error, const char *state, void *userdata);
/* done is called once, never from inside. */
int portable_call(struct units *u, const struct portable_request *q, portable_func done,
                void *userdata, struct portable_call **ret);
/* done is not called after it. NULL is fine; returns NULL. */
struct portable_call *portable_cancel(struct portable_call *c);
