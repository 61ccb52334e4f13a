/* kctl create service loadbalancer. */
#include "kctl/create/create.h"

static int build(struct kctl *k, json_t *object, struct problem *p) {
        if (!k->flags.tcp)
                return problem_set(p, EINVAL, 0, NULL, "--tcp PORT[:TARGET] is needed");
        return service_build(k, object, "LoadBalancer", p);
}

int kctl_create_service_loadbalancer(struct kctl *k) {
        return create_run(k, KIND_SERVICES, build);
}
