/* `knodeagent ssh`: the one command that kapid may run here. */
#pragma once

#include <systemd/sd-journal.h>

#include "lib/base.h"
#include "lib/problem.h"

struct logs_request {
        char *ns, *pod, *uid, *container;
        bool follow, previous, timestamps;
        int64_t tail;         /* -1: all */
        uint64_t since_us;    /* wall clock; 0: from the start */
        uint64_t limit_bytes; /* 0: none */
};
void logs_request_done(struct logs_request *r);
/* Reads "logs <namespace> <pod> <uid> <container> [option...]" (docs/names.md). Pure. */
int logs_request_parse(const char *command, struct logs_request *ret, struct problem *p);
/* Does what SSH_ORIGINAL_COMMAND asks for; returns the exit code. */
int logs_ssh_main(const char *command);
/* Matches the lines that a container's program wrote, not what systemd says about its unit: of one
 * run, or of all with NULL. uid: of the pod. */
int logs_match(sd_journal *j, const char *uid, const char *container, const char *invocation);
