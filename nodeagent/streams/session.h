/* `knodeagent ssh` with the command "stream": one exec, attach, port-forward or proxy of
 * kapid, frames of lib/stream-frame.h on standard input and output. */
#pragma once

#define STREAM_COMMAND "stream"

/* Returns the exit code. */
int streams_ssh_main(void);
