/* A process that is about to read untrusted data drops the rights that it does not need for that,
 * for good and for all its children: files outside those named, sockets and signals of others,
 * other ports (Landlock, landlock(7), as far as the kernel has it), core files. Needs no
 * privileges. */
#pragma once

#include "lib/base.h"

enum confine_access {
        CONFINE_READ,  /* files and folders below it may be read; nothing executed */
        CONFINE_RUN,   /* read and executed */
        CONFINE_WRITE, /* and made, changed, removed */
};

struct confine_path {
        const char *path; /* one that is not there is skipped */
        enum confine_access access;
};

struct confine_options {
        const struct confine_path *paths;
        size_t path_count;
        const uint16_t *ports; /* TCP ports that it may connect to (Linux 6.7); it listens on none
                                */
        size_t port_count;
        bool any_port; /* it may connect to all ports, and listen */
};

/* Confined afterwards: 0 files, ports, signals; CONFINE_PARTLY where the kernel knows fewer of
 * them (before 6.12); -EOPNOTSUPP where it has no Landlock at all: nothing holds. Other negative
 * errno: no rule is certain to hold. */
enum { CONFINE_PARTLY = 1 };
int confine_self(const struct confine_options *options);
/* Whether the kernel has Landlock and lets this process use it. */
bool confine_is_there(void);

/* Of this machine's files what a program needs that resolves names and checks certificates. */
extern const struct confine_path confine_network_files[];
extern const size_t confine_network_file_count;
