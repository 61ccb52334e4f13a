/* What other servers serve, put into the documents of discovery and the index of OpenAPI. A version
 * that both have is theirs. Pure. */
#pragma once

#include "lib/json.h"

struct discovery_version {
        const char *group, *version;
        bool local; /* ours: it is in the documents already, and only its order is wanted */
        int64_t group_priority, version_priority;
        bool stale;               /* the server does not answer: what it said last is listed */
        const json_t *resources;  /* its APIResourceList; NULL: it never answered */
        const char *openapi_hash; /* NULL: it has no document */
};

/* In the order in which they are listed, as kube-aggregator does: groups by the largest priority of
 * their versions, then by name; versions by their priority, then as versions are ordered. */
void discovery_versions_sort(struct discovery_version *v, size_t n);
/* Of an APIGroupList. Groups and versions are in the order of v after it; those that v does not
 * have come behind them. 0 or -ENOMEM, as below. */
int discovery_merge_groups(json_t *list, const struct discovery_version *v, size_t n);
/* An APIGroup, or NULL (taken); the same, or a new one, or NULL when nobody has the group. */
json_t *discovery_merge_group(
                json_t *group, const char *name, const struct discovery_version *v, size_t n);
/* Of an APIGroupDiscoveryList. */
int discovery_merge_aggregated(json_t *list, const struct discovery_version *v, size_t n);
/* Of /openapi/v3. */
int openapi_merge_index(json_t *index, const struct discovery_version *v, size_t n);
