/* Connections to a port in a pod, or to the agent of a node, by sockets of this process: the bytes
 * go as those of a port-forward, over SSH (node-stream.h). A stream carries one connection at a
 * time, so that a slow reader delays nobody else; without one it is kept for a moment for the next
 * connection to the same place. */
#pragma once

#include "kapid/streams/node-target.h"

struct dials; /* one of kapid */
struct dial;  /* a connection */

int dials_new(struct dials **ret, struct api *api);
struct dials *dials_free(struct dials *all);
DEFINE_CLEANUP(struct dials *, dials_free);

struct dial_events {
        /* Exactly one of both, never from inside of dial_new(). */
        /* The node has been asked to connect. One connection of this process, and of no other, to
         * the abstract Unix socket of that name leads there. A refusal by the pod comes later: the
         * connection ends, and dial_why() says so. */
        void (*on_open)(const char *socket_name, void *userdata);
        /* The node is not reached or refuses. why: a sentence. The callee frees the dial. */
        void (*on_failed)(const char *why, void *userdata);
};

/* Takes the contents of target. ask: what the agent is asked, a JSON text (stream-frame.h). events
 * is borrowed. p for what the user can change. */
int dial_new(struct dial **ret, struct dials *all, struct node_target *target, const char *ask,
                uint16_t port, const struct dial_events *events, void *userdata, struct problem *p);
/* Ends the connection. NULL is fine; returns NULL. */
struct dial *dial_free(struct dial *d);
DEFINE_CLEANUP(struct dial *, dial_free);
/* Why the connection has ended, from the node; NULL: not known. Borrowed. */
const char *dial_why(const struct dial *d);
