/* One series for each policy, binding, kind of failure and action. */
#include "kapid/policies/figures.h"

#include "lib/metric-names.h"

enum { NAMES_MAX = 200 };

struct policy_figures {
        struct metrics *metrics;
        struct metric_names *names;
};

int policy_figures_new(struct policy_figures **ret, struct metrics *m) {
        _cleanup_(policy_figures_freep) struct policy_figures *f = calloc(1, sizeof(*f));
        int r;

        if (!f)
                return -ENOMEM;
        f->metrics = m;
        r = metric_names_new(&f->names, NAMES_MAX);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}

struct policy_figures *policy_figures_free(struct policy_figures *f) {
        if (!f)
                return NULL;
        metric_names_free(f->names);
        return mfree(f);
}

/* As kube-apiserver tells them apart. */
static const char *error_type(const char *failure) {
        if (!failure)
                return "no_error";
        if (strstr(failure, "compilation failed"))
                return "compile_error";
        return startswith(failure, "validation failed due to running out of cost budget")
                               ? "out_of_budget"
                               : "invalid_error";
}

/* The names of objects need no escaping. */
void policy_figures_count(struct policy_figures *f, const struct policy_figure *one) {
        static const double bounds[] = {0.0000005, 0.001, 0.01, 0.1, 1.0};
        bool mutating = one->type == POLICY_MUTATING;
        _cleanup_free_ char *labels = strformat(
                "%s%s%serror_type=\"%s\",policy=\"%s\",policy_binding=\"%s\"",
                mutating ? "" : "enforcement_action=\"", mutating ? "" : one->action,
                mutating ? "" : "\",", error_type(one->failure),
                metric_name(f->names, one->policy), metric_name(f->names, one->binding));
        struct metric *total, *seconds;

        if (!labels)
                return;
        total = metrics_counter(f->metrics,
                        mutating ? "apiserver_mutating_admission_policy_check_total"
                                 : "apiserver_validating_admission_policy_check_total",
                        labels,
                        mutating ? "Mutations of admission policies that were asked for."
                                 : "Validations of admission policies that did not hold, or "
                                   "failed.");
        seconds = metrics_histogram_bounds(f->metrics,
                        mutating ? "apiserver_mutating_admission_policy_check_duration_seconds"
                                 : "apiserver_validating_admission_policy_check_duration_seconds",
                        labels,
                        mutating ? "Time of a mutation of an admission policy."
                                 : "Time of a policy whose validations did not hold, or failed.",
                        bounds, ELEMENTS(bounds));
        if (total)
                metric_add(total, 1);
        if (seconds)
                metric_observe(seconds, (double)one->took_us / 1e6);
}
