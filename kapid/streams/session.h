/* One exec, attach or port-forward: a request that becomes a connection, between a client
 * (client.h) and a node (node-stream.h). At most one block waits in each direction: a side that
 * does not take its bytes stops the other one. */
#pragma once

#include "kapid/http/request.h"
#include "kapid/streams/client.h"
#include "kapid/streams/node-target.h"

struct stream_session;

struct session_options {
        struct node_target *target; /* its contents are taken */
        struct stream_choice choice;
        struct client_setup setup;
        const json_t *node_request; /* the payload of STREAM_REQUEST; borrowed for the call */
};

/* Asks the node, and answers the request when the node has: with 101, or with its refusal. p: it
 * cannot be asked; 429 when this user, or all users, have too many. */
int stream_session_start(struct request *request, struct session_options *o, struct problem *p);
/* Ends all; for the end of the server. */
void stream_sessions_end(struct api *api);
/* Ends those of a user, in the next turn of the loop. The number of them. */
size_t stream_sessions_end_of(struct api *api, const char *user);
