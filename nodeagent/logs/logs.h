/* `knodeagent ssh`: the only command that kapid may run here. */
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
/* Frees the texts of the request. */
void logs_request_done(struct logs_request *r);
/* Reads "logs <namespace> <pod> <uid> <container> [option...]" (docs/names.md). Pure. */
int logs_request_parse(const char *command, struct logs_request *ret, struct problem *p);
/* Runs the command of SSH_ORIGINAL_COMMAND; returns the exit code. */
int logs_ssh_main(const char *command);
/* The file that names the unit of the machine whose log is the container's. Caller frees. */
char *logs_adopted_path(const char *uid, const char *container) _warn_unused_;
/* Adds journal matches for the output of a container's program, without systemd's messages about
 * its unit: of one run, or of all with NULL. uid: of the pod. */
int logs_match(sd_journal *j, const char *uid, const char *container, const char *invocation);
