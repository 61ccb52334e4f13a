/* kctl create priorityclass. */
#include "kctl/create/create.h"

static int build(struct kctl *k, json_t *object, struct problem *p) {
        const struct kctl_flags *f = &k->flags;
        int64_t value = 0;
        int r;

        if (f->value && parse_i64(f->value, &value) < 0)
                return problem_set(p, EINVAL, 0, NULL, "--value %s is not a number", f->value);
        r = json_set_int(object, "value", value);
        if (r < 0)
                return r;
        if (f->global_default) {
                r = json_set_at(object, "globalDefault", json_true());
                if (r < 0)
                        return r;
        }
        if (!isempty(f->description)) {
                r = json_set_str(object, "description", f->description);
                if (r < 0)
                        return r;
        }
        return json_set_str(object, "preemptionPolicy",
                        f->preemption_policy ? f->preemption_policy : "PreemptLowerPriority");
}

int kctl_create_priorityclass(struct kctl *k) {
        return create_run(k, KIND_PRIORITYCLASSES, build);
}
