/* kctl create rolebinding. */
#include "kctl/create/create.h"

static int build(struct kctl *k, json_t *object, struct problem *p) {
        const struct kctl_flags *f = &k->flags;
        enum kind_id kind = f->cluster_role ? KIND_CLUSTERROLES : KIND_ROLES;
        json_t *subjects = json_array();
        int r = json_set_at(object, "subjects", subjects);

        if (r < 0)
                return r;
        if (!f->cluster_role == !f->role)
                return problem_set(p, EINVAL, 0, NULL,
                                "one of --role and --clusterrole is needed: what is given");
        r = subjects_read(k, subjects, p);
        if (r < 0)
                return r;
        return json_set_at(object, "roleRef",
                        json_pack("{s:s, s:s, s:s}", "apiGroup", api_resource(kind)->group, "kind",
                                        api_resource(kind)->kind, "name",
                                        f->cluster_role ? f->cluster_role : f->role));
}

int kctl_create_rolebinding(struct kctl *k) {
        return create_run(k, KIND_ROLEBINDINGS, build);
}
