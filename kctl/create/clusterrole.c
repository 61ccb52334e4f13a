/* kctl create clusterrole: with rules, or as the sum of others by their labels. */
#include "kctl/create/create.h"

static int aggregate(struct kctl *k, json_t *object, struct problem *p) {
        json_t *labels = json_object();
        int r = json_set_at(object, "aggregationRule",
                        json_pack("{s:[{s:o}]}", "clusterRoleSelectors", "matchLabels", labels));

        if (r < 0)
                return r;
        if (k->flags.verbs || k->flags.resources || k->flags.non_resource_urls)
                return problem_set(p, EINVAL, 0, NULL,
                                "--aggregation-rule takes the rules of other roles; none are given "
                                "beside it");
        r = pairs_read(k->flags.aggregation_rule, "--aggregation-rule", labels, p);
        return r < 0 ? r : json_set_at(object, "rules", json_array());
}

static int build(struct kctl *k, json_t *object, struct problem *p) {
        json_t *rules;
        int r;

        if (k->flags.aggregation_rule)
                return aggregate(k, object, p);
        rules = json_array();
        r = json_set_at(object, "rules", rules);
        return r < 0 ? r : rules_read(k, rules, p);
}

int kctl_create_clusterrole(struct kctl *k) {
        return create_run(k, KIND_CLUSTERROLES, build);
}
