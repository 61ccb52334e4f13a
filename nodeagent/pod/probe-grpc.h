/* One check of a grpc probe: grpc.health.v1.Health/Check over plain HTTP/2. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

struct probe_grpc;

/* The verdict; called once, never from within probe_grpc_start(). The check may be freed in it. */
typedef void (*probe_grpc_func)(bool passed, const char *message, void *userdata);

struct probe_grpc_options {
        const char *address; /* of the pod: IPv4 or IPv6 */
        uint16_t port;
        const char *service; /* which service of the server; "": the server itself */
        uint64_t timeout_us;
        probe_grpc_func done;
        void *userdata;
};

/* -EINVAL: not an address; -ENOMEM, or an errno of the connection. */
int probe_grpc_start(
                struct probe_grpc **ret, sd_event *event, const struct probe_grpc_options *options);
/* Cancels a check that has not ended. NULL is fine; returns NULL. */
struct probe_grpc *probe_grpc_free(struct probe_grpc *g);
DEFINE_CLEANUP(struct probe_grpc *, probe_grpc_free);
