/* kctl create poddisruptionbudget. */
#include "kctl/create/create.h"

static int build(struct kctl *k, json_t *object, struct problem *p) {
        const struct kctl_flags *f = &k->flags;
        json_t *selector;
        int r;

        if (isempty(f->selector))
                return problem_set(p, EINVAL, 0, NULL,
                                "--selector is needed: the labels of the pods, as app=web");
        if (!f->min_available == !f->max_unavailable)
                return problem_set(p, EINVAL, 0, NULL,
                                "one of --min-available and --max-unavailable is needed: a number "
                                "or a percentage");
        r = label_selector_json(f->selector, &selector, p);
        if (r < 0)
                return r;
        r = json_set_at(object, "spec.selector", selector);
        if (r < 0)
                return r;
        return f->min_available
                               ? json_set_at(object, "spec.minAvailable",
                                                 number_or_text(f->min_available))
                               : json_set_at(object, "spec.maxUnavailable",
                                                 number_or_text(f->max_unavailable));
}

int kctl_create_poddisruptionbudget(struct kctl *k) {
        return create_run(k, KIND_PODDISRUPTIONBUDGETS, build);
}
