/* Metrics of admission policies, with the names and labels of kube-apiserver's. */
#pragma once

#include "kapid/policies/policy.h"
#include "lib/metrics.h"

struct policy_figures;
int policy_figures_new(struct policy_figures **ret, struct metrics *m);
struct policy_figures *policy_figures_free(struct policy_figures *f);
DEFINE_CLEANUP(struct policy_figures *, policy_figures_free);

struct policy_figure {
        enum policy_type type;
        const char *policy, *binding;
        const char *failure; /* what went wrong; NULL: nothing */
        const char *action;  /* validating: "deny", "warn", "audit", "allow" */
        uint64_t took_us;
};
void policy_figures_count(struct policy_figures *f, const struct policy_figure *one);
