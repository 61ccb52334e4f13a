/* A filter of system calls: unlike a network namespace it needs no privileges that would
 * weaken the daemon's sandbox. */
#include "reconcilers/gitsync/no-network.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/socket.h>

static int load(scmp_filter_ctx filter) {
        int r;

        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1,
                        SCMP_A0(SCMP_CMP_NE, AF_UNIX));
        if (r < 0)
                return r;
        /* The other way to create a socket. */
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0);
        if (r < 0)
                return r;
        return seccomp_load(filter); /* sets "no new privileges" */
}

int no_network(void) {
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        int r;

        if (!filter)
                return -ENOMEM;
        r = load(filter);
        seccomp_release(filter);
        return r;
}
