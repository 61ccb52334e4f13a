/* A gRPC server inside an sd-event loop (nghttp2 + GnuTLS). Payloads are the program's protobuf
 * bytes. Flow control, deadlines (grpc-timeout), cancellation, size limits and PING are handled
 * here. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/buf.h"
#include "lib/grpc.h"
#include "lib/problem.h"
#include "lib/tls.h"
#include "lib/web.h"

struct grpc_server;
struct grpc_call;
enum { GRPC_SLOWER = 11 };

struct grpc_method {
        const char *path; /* "/etcdserverpb.KV/Range" */
        /* A whole message has arrived (unary: the one). data is borrowed. The call may be answered
         * now or later. */
        void (*on_message)(struct grpc_call *call, const void *data, size_t n, void *userdata);
        /* The client has half-closed; NULL when of no interest. */
        void (*on_half_close)(struct grpc_call *call, void *userdata);
        bool streaming; /* false: a second message is refused */
};

struct grpc_server_options {
        const struct grpc_method *methods;
        size_t method_count;
        size_t message_size_max;  /* RESOURCE_EXHAUSTED above; 0: 2 MiB */
        unsigned connections_max; /* 0: 20000; on Unix sockets there is room for some more */
        unsigned unix_mode;       /* of Unix sockets; 0: 0600 */
        int64_t priority;         /* of what comes in, as sd-event has it, while that is little */
        /* Called when a call's headers have arrived; returns false when it ended the call. May be
         * NULL. */
        bool (*admit)(struct grpc_call *call, void *userdata);
        /* Plain HTTP (lib/web.h) on the same addresses; NULL: refused. */
        web_handler web;
        /* A client, or none was shown, whose certificate is not accepted. May be NULL. */
        void (*on_refused)(const char *address, const char *why, void *userdata);
        void *userdata; /* given to every method function */
};

int grpc_server_new(struct grpc_server **ret, sd_event *event,
                const struct grpc_server_options *options);
struct grpc_server *grpc_server_free(struct grpc_server *s);
DEFINE_CLEANUP(struct grpc_server *, grpc_server_free);
/* Listens on "https://10.0.0.1:2379", "http://127.0.0.1:2379" or "unix:///path"; several are fine.
 * tls is needed for https and asks for a client certificate when it has a CA. */
int grpc_server_listen(struct grpc_server *s, const char *url, const struct tls_files *tls,
                struct problem *p);

/* Ends every call of a streaming method that came with this metadata. */
void grpc_server_end_streams(struct grpc_server *s, const struct grpc_metadata *with,
                enum grpc_code code, const char *message);

/* The called method, for metrics. A call is handled once, however it ends. */
enum { GRPC_CODES = 17 };
struct grpc_method_stats {
        uint64_t started, received, sent; /* calls; messages */
        uint64_t handled[GRPC_CODES];
        uint64_t slower[GRPC_SLOWER]; /* calls that took longer than grpc_slower_s[i] */
        double seconds;               /* all together */
};
extern const double grpc_slower_s[GRPC_SLOWER];
/* Of the method at this place of the table. */
const struct grpc_method_stats *grpc_server_stats(const struct grpc_server *s, size_t method);
struct grpc_traffic {
        uint64_t received_bytes, sent_bytes; /* of messages */
        unsigned connections;
};
struct grpc_traffic grpc_server_traffic(const struct grpc_server *s);

/* The port of the first address (when port 0 let the kernel pick one). */
uint16_t grpc_server_port(const struct grpc_server *s);

/* Sends one message; copies. -ENOBUFS when more than 16 MiB wait for a slow client: the caller ends
 * the call. */
int grpc_call_send(struct grpc_call *call, const void *data, size_t n);
int grpc_call_send_bytes(struct grpc_call *call,
                struct bytes *b); /* takes a reference; b is the bare protobuf message */
size_t grpc_call_queued(const struct grpc_call *call);
size_t grpc_call_connection_queued(
                const struct grpc_call *call); /* of all calls on its connection */
/* Ends the call with a status. message may be NULL. The call is gone after it. */
void grpc_call_finish(struct grpc_call *call, enum grpc_code code, const char *message);
/* One message of this size in pieces, for a call that has sent nothing: begin, then the bytes, then
 * finish(). -EMSGSIZE when gRPC cannot carry it; else as grpc_call_send(). */
int grpc_call_begin(struct grpc_call *call, uint64_t size);
int grpc_call_piece(struct grpc_call *call, const void *data, size_t n);
/* Identifies the connection of a call; only for comparing. */
const void *grpc_call_connection(const struct grpc_call *call);
/* send + finish(OK). */
void grpc_call_reply(struct grpc_call *call, const void *data, size_t n);
/* Called if the client cancels, its deadline passes or the connection ends, before finish: the call
 * is gone after it. */
void grpc_call_on_gone(struct grpc_call *call, void (*func)(struct grpc_call *call, void *userdata),
                void *userdata);
void grpc_call_set_userdata(struct grpc_call *call, void *userdata);
void *grpc_call_userdata(const struct grpc_call *call);
/* Called when the queue of a call has drained. */
void grpc_call_on_drained(struct grpc_call *call,
                void (*func)(struct grpc_call *call, void *userdata), void *userdata);
const char *grpc_call_metadata(const struct grpc_call *call,
                const char *name); /* lower-case name; NULL when absent */
/* Deadline on the monotonic clock in microseconds; UINT64_MAX when none. */
uint64_t grpc_call_deadline_us(const struct grpc_call *call);
