/* kctl create service clusterip. */
#include "kctl/create/create.h"

static int build(struct kctl *k, json_t *object, struct problem *p) {
        int r;

        if (!k->flags.tcp && !streq_ptr(k->flags.cluster_ip, "None"))
                return problem_set(p, EINVAL, 0, NULL,
                                "--tcp PORT[:TARGET] is needed, but for a headless service "
                                "(--clusterip None)");
        r = service_build(k, object, "ClusterIP", p);
        if (r < 0 || isempty(k->flags.cluster_ip))
                return r;
        return json_set_str(object, "spec.clusterIP", k->flags.cluster_ip);
}

int kctl_create_service_clusterip(struct kctl *k) {
        return create_run(k, KIND_SERVICES, build);
}
