/* kctl create role. */
#include "kctl/create/create.h"

static int build(struct kctl *k, json_t *object, struct problem *p) {
        json_t *rules = json_array();
        int r = json_set_at(object, "rules", rules);

        return r < 0 ? r : rules_read(k, rules, p);
}

int kctl_create_role(struct kctl *k) {
        return create_run(k, KIND_ROLES, build);
}
