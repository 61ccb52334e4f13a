/* kctl create service externalname. */
#include "kctl/create/create.h"

static int build(struct kctl *k, json_t *object, struct problem *p) {
        int r;

        if (isempty(k->flags.external_name))
                return problem_set(p, EINVAL, 0, NULL,
                                "--external-name is needed: the name that the service stands for");
        r = service_build(k, object, "ExternalName", p);
        return r < 0 ? r : json_set_str(object, "spec.externalName", k->flags.external_name);
}

int kctl_create_service_externalname(struct kctl *k) {
        return create_run(k, KIND_SERVICES, build);
}
