/* One probe of one container: timing and thresholds, and the http, tcp, grpc and exec checks, all
 * inside the event loop. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/json.h"

struct probe;

struct probe_options {
        const json_t *spec;      /* the Probe object; kept by reference */
        const json_t *container; /* for named ports; kept by reference */
        const char *address;     /* of the pod */
        bool initial; /* the verdict before the first one: readiness starts as failed, liveness as
                         passed */
        bool once;    /* a hook: one check at once, whose verdict is the first and last */
        /* Runs a command in the container; probe_exec_done() is called with its outcome, never from
         * within. */
        int (*exec)(struct probe *p, const json_t *command, uint64_t timeout_us, void *userdata);
        void (*exec_cancel)(struct probe *p, void *userdata);
        /* The verdict changed, or failed once more past the threshold (liveness acts on each). */
        void (*on_verdict)(struct probe *p, bool passed, const char *message, void *userdata);
        /* Every single check, as it ended; may be NULL. */
        void (*on_check)(struct probe *p, bool passed, void *userdata);
        /* Every single failed check, for events; may be NULL. */
        void (*on_failure)(struct probe *p, const char *message, void *userdata);
        void *userdata;
};

/* Starts probing at once (or after the probe's initial delay). */
int probe_new(struct probe **ret, sd_event *event, const struct probe_options *options);
struct probe *probe_free(struct probe *p);
DEFINE_CLEANUP(struct probe *, probe_free);
/* The outcome of options.exec(). */
void probe_exec_done(struct probe *p, bool passed, const char *message);

/* Pure parts. The port of an IntOrString by number or container port name; 0 when unknown. */
uint16_t probe_port(const json_t *port, const json_t *container);
/* The request of an httpGet probe; caller frees. */
char *probe_http_request(const json_t *http_get, const char *address, uint16_t port) _warn_unused_;
/* The status code in an answer's first bytes; 0 when more is needed, -EBADMSG when it is not HTTP.
 */
int probe_http_status(const char *data, size_t n);
/* Counts checks against the thresholds. Returns 1 when on_verdict is due. */
struct probe_counter {
        unsigned success_needed, failure_needed, successes, failures;
        bool passed;
};
int probe_count(struct probe_counter *c, bool passed);
