/* Host drift: what other programs change of the things that the agent has made on the machine.
 * Whoever notices a change asks here whether to repair it (--drift=repair, the default) or to
 * leave it (--drift=report); here it is counted (keelson_drift_total), logged, and reported as an
 * event HostDrift of the Node. docs/own-units.md explains it. */
#pragma once

#include "lib/base.h"
#include "lib/problem.h"

struct agent;
struct host_drift;

enum drift_kind {
        DRIFT_UNIT,    /* properties of a unit */
        DRIFT_RULES,   /* an nftables table */
        DRIFT_NETWORK, /* links, addresses, routes */
        DRIFT_FILE,    /* files that pods read */
        DRIFT_KINDS,
};

/* -EINVAL with p: the option has another value than repair and report. */
int host_drift_new(struct host_drift **ret, struct agent *agent, struct problem *p);
struct host_drift *host_drift_free(struct host_drift *d);
DEFINE_CLEANUP(struct host_drift *, host_drift_free);
/* what: "the link keelson0 was removed". Returns whether to repair it. ret_news, where it is not
 * NULL: whether it was not reported a short time ago. */
bool host_drift_found(struct host_drift *d, enum drift_kind kind, const char *what, bool *ret_news);
/* Whether changes are repaired. */
bool host_drift_is_repaired(const struct host_drift *d);
