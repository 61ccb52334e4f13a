/* Leader election on a Lease (coordination.k8s.io/v1) as client-go does it: lease 15 s, renew
 * deadline 10 s, retry 2 s; with several API servers, where others wait to lead, 3 s, 2.6 s and
 * 0.3 s. */
#pragma once

#include "lib/client/api.h"

struct leader;
struct leader_options {
        const char *ns;       /* "kube-system" */
        const char *name;     /* "kreconciled" */
        const char *identity; /* "<hostname>_<uuid>" */
        void (*on_started)(void *userdata);
        /* The lease is lost: stop acting at once. */
        void (*on_stopped)(void *userdata);
        void *userdata;
};
int leader_new(struct leader **ret, sd_event *event, struct api_client *c,
                const struct leader_options *options);
/* Gives the lease up if held (best effort). */
struct leader *leader_free(struct leader *l);
DEFINE_CLEANUP(struct leader *, leader_free);
bool leader_is(const struct leader *l);
