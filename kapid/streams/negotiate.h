/* Which protocol a client and this server have in common for exec, attach and port-forward
 * (docs/wire.md section 13). Pure. */
#pragma once

#include "lib/problem.h"
#include "lib/websocket.h"

enum stream_protocol {
        PROTOCOL_CHANNELS,      /* WebSocket, a message's first byte is its channel */
        PROTOCOL_CHANNELS_V5,   /* the same, and channels can be closed */
        PROTOCOL_SPDY,          /* SPDY/3.1, a stream for each of stdin, stdout, ... */
        PROTOCOL_FORWARD,       /* port-forward by channels, the ports are in the query */
        PROTOCOL_FORWARD_V5,    /* the same with channels that can be closed; for kctl */
        PROTOCOL_FORWARD_SPDY,  /* SPDY/3.1, two streams for each connection */
        PROTOCOL_FORWARD_TUNNEL /* the same inside of WebSocket messages (KEP-4006) */
};

/* The request's headers; NULL where it has none. protocols: of Sec-WebSocket-Protocol for
 * websockets, else of X-Stream-Protocol-Version; several are joined by commas. */
struct stream_offer {
        const char *upgrade, *connection, *websocket_key, *websocket_version;
        const char *websocket_protocols, *spdy_protocols;
};

struct stream_choice {
        enum stream_protocol protocol;
        const char *upgrade;                /* of the answer: "websocket" or "SPDY/3.1" */
        const char *name;                   /* the chosen protocol */
        char accept[WEBSOCKET_ACCEPT_SIZE]; /* "" without WebSocket */
};

bool stream_protocol_is_websocket(enum stream_protocol p);
bool stream_protocol_is_spdy(enum stream_protocol p); /* also inside of WebSocket */

/* -EINVAL with p: 400 for what is no upgrade, 403 when there is no common protocol, as Kubernetes
 * answers; kubectl then tries its other one. */
int stream_negotiate(const struct stream_offer *offer, bool port_forward, struct stream_choice *ret,
                struct problem *p);
