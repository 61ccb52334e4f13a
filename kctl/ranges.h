/* The addresses of a cluster's pods and services, as `kctl up` and `kctl dev` are given them: one
 * network of each, or one of each family, and the size of a node's part. */
#pragma once

#include "lib/cidr.h"

struct cluster_ranges {
        struct cidrs pods, services;
        unsigned bits[FAMILIES]; /* of a node's part of the pods' */
        char pods_text[FAMILIES * CIDR_TEXT_SIZE], services_text[FAMILIES * CIDR_TEXT_SIZE];
};

/* The first family of the pods and services: that of Service default/kubernetes, so that of the
 * API's address, too. */
enum ip_family ranges_family(const struct cluster_ranges *r);
/* pods, services: texts as of --cluster-cidr and --service-cluster-ip-range; NULL and 0: the
 * defaults. -EINVAL with p, which says what does not fit: families, sizes, networks that overlap.
 * Pure. */
int ranges_read(const char *pods, const char *services, const uint32_t bits[FAMILIES],
                struct cluster_ranges *ret, struct problem *p);
