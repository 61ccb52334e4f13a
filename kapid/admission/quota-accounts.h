/* What every ResourceQuota counts now: sums that follow the caches, change by change. All caches
 * stand at one revision, so a sum is exact as of that revision, for all kinds at once and without
 * walking over the namespace. */
#pragma once

#include <sys/queue.h>

#include "kapid/admission/quota-spec.h"
#include "kapid/cache/cache.h"

struct api;
struct quotas;

/* How many quotas one write can be charged to, beside a Service's addresses. */
enum { RESOURCE_QUOTAS_MAX = 40 };

/* One quota. Borrowed until the caches change. */
struct quota_account {
        LIST_ENTRY(quota_account) entry;
        char *name;
        struct quota_spec spec;
        char **prefixes;       /* of the store's keys that each measure counts; NULL: nothing */
        struct quantity *used; /* by measure */
        bool stale;            /* used must be counted from nothing */
};

struct quotas *quotas_new(struct api *api) _warn_unused_;
struct quotas *quotas_free(struct quotas *q);
DEFINE_CLEANUP(struct quotas *, quotas_free);
/* After a change was put into a cache. c and change NULL: everything was reloaded. */
void quotas_on_change(struct quotas *q, const struct cache *c, const struct change *change);

/* Whether the namespace has any quota. q NULL: no. */
bool quotas_has(const struct quotas *q, const char *namespace);
/* Brings the sums of the namespace up to date: counts the stale ones, and leaves out pods whose end
 * is overdue. now_us: wall clock. 0 or -ENOMEM. */
int quotas_settle(struct quotas *q, const char *namespace, uint64_t now_us);
/* The namespace's accounts; NULL past the last. */
const struct quota_account *quotas_first(const struct quotas *q, const char *namespace);
const struct quota_account *quotas_next(const struct quota_account *a);
const struct quota_account *quotas_find(
                const struct quotas *q, const char *namespace, const char *name);
/* Counts a spec that no account has (yet) into used, an array of spec->count. 0 or -ENOMEM. */
int quotas_count(struct quotas *q, const char *namespace, const struct quota_spec *spec,
                struct quantity *used);
/* Whether an object of the account's namespace counts as an ended pod. */
bool quotas_pod_has_ended(const struct quotas *q, const char *namespace, const json_t *pod);
