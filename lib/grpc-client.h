/* A gRPC client inside an sd-event loop (nghttp2 + GnuTLS): one channel is one HTTP/2 connection to
 * the first endpoint that answers, made again with back-off when it breaks. Payloads are the
 * caller's protobuf bytes. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/buf.h"
#include "lib/grpc.h"
#include "lib/tls.h"

struct grpc_channel;
struct grpc_client_call;

struct grpc_channel_options {
        char *const *endpoints;      /* "unix:///run/keelson/kstored.sock", "https://host:2379",
                                        "http://127.0.0.1:2379" */
        const struct tls_files *tls; /* NULL: no TLS (unix, http) */
        size_t message_size_max;     /* of received messages; 0: 64 MiB */
        uint64_t ping_us;            /* how often a silent peer gets a PING; 0: 10 s */
        uint64_t backoff_max_us;     /* between attempts to connect; 0: 5 s */
        int64_t priority; /* of what comes in, as sd-event has it, while that is little */
        /* Connection state, for readiness; may be NULL. */
        void (*on_state)(struct grpc_channel *ch, bool connected, void *userdata);
        void *userdata;
};

int grpc_channel_new(struct grpc_channel **ret, sd_event *event,
                const struct grpc_channel_options *options, struct problem *p);
/* Calls in flight end without their callbacks. Allowed in every callback. */
struct grpc_channel *grpc_channel_free(struct grpc_channel *ch);
DEFINE_CLEANUP(struct grpc_channel *, grpc_channel_free);
bool grpc_channel_is_connected(const struct grpc_channel *ch);
/* Why it is not connected, as far as it was tried; NULL when it is. */
const char *grpc_channel_why(const struct grpc_channel *ch);
/* How long the last ping took; *ret_number grows with each one that was answered on this
 * connection. */
uint64_t grpc_channel_round_trip_us(const struct grpc_channel *ch, uint64_t *ret_number);
/* This endpoint answers but is of no use (it has no leader, say): the next one is tried. What is
 * in flight ends with UNAVAILABLE, from the loop. Without another endpoint nothing happens. */
void grpc_channel_move_on(struct grpc_channel *ch);

struct grpc_client_call_options {
        const char *path;    /* "/etcdserverpb.KV/Range" */
        uint64_t timeout_us; /* also sent as grpc-timeout; 0: 10 s; UINT64_MAX: none */
        bool fail_fast;      /* UNAVAILABLE once no endpoint answers, instead of waiting */
        const struct grpc_metadata *metadata; /* NULL-name ended, or NULL */
        /* A whole message from the server; data is borrowed. */
        void (*on_message)(
                        struct grpc_client_call *call, const void *data, size_t n, void *userdata);
        /* Exactly once unless cancelled; the call is gone after it. A broken connection is
         * GRPC_UNAVAILABLE. */
        void (*on_done)(struct grpc_client_call *call, enum grpc_code code, const char *message,
                        void *userdata);
        /* Everything that was sent has left this program; may be NULL. */
        void (*on_drained)(struct grpc_client_call *call, void *userdata);
        void *userdata;
};
/* Starts a call; calls made while the channel is not connected wait for it until their deadline. */
int grpc_client_call_start(struct grpc_channel *ch, const struct grpc_client_call_options *options,
                struct grpc_client_call **ret);
/* Sends one message (copied); -ENOBUFS when more than 16 MiB wait already. A unary call sends one,
 * then half-closes. */
int grpc_client_call_send(struct grpc_client_call *call, const void *data, size_t n);
int grpc_client_call_half_close(struct grpc_client_call *call);
struct grpc_client_call *grpc_client_call_cancel(struct grpc_client_call *call);
/* start + send + half_close in one. */
int grpc_client_unary(struct grpc_channel *ch, const struct grpc_client_call_options *options,
                const void *data, size_t n, struct grpc_client_call **ret);
/* The same without a copy: shares the request. */
int grpc_client_unary_bytes(struct grpc_channel *ch, const struct grpc_client_call_options *options,
                struct bytes *request, struct grpc_client_call **ret);
