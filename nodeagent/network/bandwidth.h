/* The annotations kubernetes.io/ingress-bandwidth and kubernetes.io/egress-bandwidth of a pod.
 * Pure.
 */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

#define BANDWIDTH_INGRESS "kubernetes.io/ingress-bandwidth"
#define BANDWIDTH_EGRESS "kubernetes.io/egress-bandwidth"

/* Bits a second; 0: no limit. */
struct bandwidth {
        uint64_t ingress, egress;
};

/* -EINVAL for what is no quantity, or is outside of 1k to 1P as in Kubernetes; p says which. */
int bandwidth_read(const json_t *pod, struct bandwidth *ret, struct problem *p);

/* A token bucket for the rate (linux/pkt_sched.h): it holds what passes in ten milliseconds, and at
 * least the largest packet that the kernel passes in one piece; packets wait 25 ms at most. A rate
 * beyond what the kernel's interface can express is none: rate 0. */
struct token_bucket {
        int rate; /* bytes a second */
        int bytes, queue_bytes;
};
struct token_bucket bandwidth_bucket(uint64_t bits_per_s);
