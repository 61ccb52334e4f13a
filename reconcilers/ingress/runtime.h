/* The runtime socket of haproxy: commands and their answers, one connection for each piece. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/json.h"

struct runtime_call;

/* 0: haproxy runs this generation and has done everything. -ESTALE: another generation answered,
 * and did nothing. -EIO: it refused a command (*why), others: the socket. why may be NULL. The call
 * is over and freed. */
typedef void (*runtime_done_func)(int error, const char *why, void *userdata);

/* Sends commands (an array of strings, borrowed until done) to the socket at path. Errors of
 * starting are returned, and done is not called then. */
int runtime_call_new(struct runtime_call **ret, sd_event *event, const char *path,
                uint64_t generation, const json_t *commands, runtime_done_func done,
                void *userdata);
/* Cancels it: done is not called. */
struct runtime_call *runtime_call_free(struct runtime_call *c);
