/* kctl logs: the flags as parameters of the request, and where each line comes from. */
#pragma once

#include "kctl/kctl.h"
#include "lib/buf.h"

/* "tailLines=10&...", without a container; tail_default NULL: all lines. -EINVAL with p. */
int log_query(struct kctl *k, const char *tail_default, struct buf *b, struct problem *p);

/* The containers of a pod whose logs are wanted: one by -c or the pod's default, or all of them
 * (--all-containers), in the order in which they run. A strv; -ENOENT with p. */
int log_containers(struct kctl *k, const json_t *pod, char ***ret, struct problem *p);
