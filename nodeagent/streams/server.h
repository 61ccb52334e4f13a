/* The agent's side of exec, attach and port-forward: a socket for `knodeagent ssh`. */
#pragma once

#include "nodeagent/agent.h"

struct stream_server;
/* Also ends the commands that an earlier agent has left. p names the socket and the cause. */
int stream_server_new(struct stream_server **ret, struct agent *a, struct problem *p);
/* Ends all sessions and their commands. */
struct stream_server *stream_server_free(struct stream_server *s);
DEFINE_CLEANUP(struct stream_server *, stream_server_free);
