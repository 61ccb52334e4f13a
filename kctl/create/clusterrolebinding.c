/* kctl create clusterrolebinding. */
#include "kctl/create/create.h"

static int build(struct kctl *k, json_t *object, struct problem *p) {
        const struct api_resource *role = api_resource(KIND_CLUSTERROLES);
        json_t *subjects = json_array();
        int r = json_set_at(object, "subjects", subjects);

        if (r < 0)
                return r;
        if (isempty(k->flags.cluster_role))
                return problem_set(p, EINVAL, 0, NULL, "--clusterrole is needed: what is given");
        r = subjects_read(k, subjects, p);
        if (r < 0)
                return r;
        return json_set_at(object, "roleRef",
                        json_pack("{s:s, s:s, s:s}", "apiGroup", role->group, "kind", role->kind,
                                        "name", k->flags.cluster_role));
}

int kctl_create_clusterrolebinding(struct kctl *k) {
        return create_run(k, KIND_CLUSTERROLEBINDINGS, build);
}
