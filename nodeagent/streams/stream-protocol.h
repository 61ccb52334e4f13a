/* Between `knodeagent ssh` (session.c), which carries the bytes, and the agent (server.c), which
 * knows the pods: lines of JSON over a Unix socket.
 *
 *   session: {verb, namespace, pod, uid, container, command, tty, ...}, the request as kapid sent
 * it, with file descriptors: exec: standard input, output and error as far as `files` names them
 * ("stdin", "stdout", "stderr"); attach: a socket
 *   agent:   {"ready": true}, portforward and proxy with "netns": path or "", proxy with
 * "addresses" of the pod, node with "socket": path, attach with "tty": path or "", or {"refused":
 * {code, message}} and the end
 *   agent:   {"exit": code} or {"failed": message}, exec only, and the end
 *
 * When the session's end closes, the agent kills the command. When the agent's end closes without a
 * last line, it was restarted, and the next agent kills the command; attach and port-forward do not
 * need it any longer. */
#pragma once

#include "nodeagent/agent.h"

#define STREAM_SOCKET AGENT_RUN_DIR "/streams.sock"
/* HTTP: what the agent itself answers (nodeagent/node-api.h). */
#define NODE_API_SOCKET AGENT_RUN_DIR "/node-api.sock"

enum { STREAM_LINE_MAX = 128 << 10, STREAM_FILES_MAX = 3 };
