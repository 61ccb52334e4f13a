/* A socket that a gRPC server listens on. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/grpc.h"
#include "lib/tls.h"

struct grpc_listener;
/* A client has connected: takes the socket. tls is NULL without TLS; over_unix: it came by a Unix
 * socket. */
typedef void (*grpc_listener_func)(void *userdata, int fd, struct tls_context *tls, bool over_unix);

struct grpc_listener_options {
        const char *url;             /* unix:///path, http://host:port, https://host:port */
        const struct tls_files *tls; /* for https */
        unsigned unix_mode;          /* of the socket's file */
        grpc_listener_func on_client;
        void *userdata;
};

/* 0, -ENOMEM, or a negative errno with p that names the address. */
int grpc_listener_new(struct grpc_listener **ret, sd_event *event,
                const struct grpc_listener_options *options, struct problem *p);
/* Also removes a Unix socket's file. */
struct grpc_listener *grpc_listener_free(struct grpc_listener *l);
DEFINE_CLEANUP(struct grpc_listener *, grpc_listener_free);
/* The port, of TCP. */
uint16_t grpc_listener_port(const struct grpc_listener *l);
