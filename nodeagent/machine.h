/* Facts about this machine that hold while the agent runs. */
#pragma once

#include "lib/base.h"
#include "lib/problem.h"

struct machine_facts {
        char *host_name;    /* of the kernel */
        char *exec_program; /* path of kpod-exec, beside our own program */
        char *resolv_conf;  /* NULL, or the file that pods see as /etc/resolv.conf */
        int64_t cpu_milli;
        int64_t memory_bytes;
        bool no_user_namespaces; /* the kernel has none, or they are switched off */
};

/* Fills ret, which the caller ends with machine_facts_done(), also after an error. -errno, with p
 * where the user must change something. */
int machine_facts_read(struct machine_facts *ret, struct problem *p);
/* Frees the texts; all facts are zero then. */
void machine_facts_done(struct machine_facts *f);
