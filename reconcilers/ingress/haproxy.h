/* The haproxy of this machine: a master with its workers, kept as the newest decision wants it.
 *
 *      a decision --> only endpoints differ: commands on the runtime socket
 *                 '-> else: write a new folder -> `haproxy -c` -> link `current` -> SIGUSR2
 *
 * The master starts new workers, which take the listening sockets over from the old ones, so that
 * no connection is lost; old workers finish what they serve. A configuration that the check refuses
 * never becomes `current`. Reloads have a bounded rate; while one is delayed, endpoints are still
 * updated in the configuration that runs. Certificates are only in run_dir, which is in memory. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/json.h"
#include "lib/metrics.h"

struct haproxy;

struct haproxy_options {
        sd_event *event;
        struct metrics *metrics;
        const char *program; /* path; borrowed, as the others */
        const char *run_dir; /* exists, private, in memory */
        /* The check refuses the certificate in that file of the decision: a decision without it
         * should follow. why is one line. */
        void (*on_refused_certificate)(const char *file, const char *why, void *userdata);
        void *userdata;
};

int haproxy_new(struct haproxy **ret, const struct haproxy_options *options);
/* Kills it. */
struct haproxy *haproxy_free(struct haproxy *h);
DEFINE_CLEANUP(struct haproxy *, haproxy_free);
/* Sets the decision (decide.h) that counts from now on; takes it. */
void haproxy_want(struct haproxy *h, json_t *decision);
/* NULL when it runs, with the newest decision or one before that still holds; else why not. */
const char *haproxy_not_ready(const struct haproxy *h);
/* Ends it: it accepts nothing new, and gets drain_us to finish what it serves. done() is called
 * when it has exited, perhaps before this returns. */
void haproxy_stop(
                struct haproxy *h, uint64_t drain_us, void (*done)(void *userdata), void *userdata);
