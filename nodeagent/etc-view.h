/* The machine's /etc as pods on the machine's own root see it: an overlay of it below a folder of
 * empty files, one for each hidden path (plan/annotations.c), which nobody may read. Its names are
 * not those of the machine's file system, so nothing that the machine does to /etc changes what is
 * hidden. A mount over the file itself does not hold: the kernel removes it when the file is
 * replaced. */
#pragma once

#include <systemd/sd-event.h>

struct etc_view;

/* Makes it. Where the machine's /etc cannot be shown like this (a hidden path is a link, or
 * something is mounted in /etc) there is none, which is logged. -ENOMEM and the like. */
int etc_view_new(struct etc_view **ret, sd_event *event);
/* The mount stays, for the pods. Accepts NULL; returns NULL. */
struct etc_view *etc_view_free(struct etc_view *v);
/* AGENT_ETC_DIR, or NULL: there is none. */
const char *etc_view_dir(const struct etc_view *v);
