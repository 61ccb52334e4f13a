/* kctl create service nodeport. */
#include "kctl/create/create.h"

static int build(struct kctl *k, json_t *object, struct problem *p) {
        json_t *ports;
        int64_t number;
        int r;

        if (!k->flags.tcp)
                return problem_set(p, EINVAL, 0, NULL, "--tcp PORT[:TARGET] is needed");
        r = service_build(k, object, "NodePort", p);
        if (r < 0 || !k->flags.node_port)
                return r;
        r = number_read(k->flags.node_port, "--node-port", 1, &number, p);
        if (r < 0)
                return r;
        ports = json_at_mut(object, "spec.ports");
        return json_set_int(json_array_get(ports, 0), "nodePort", number);
}

int kctl_create_service_nodeport(struct kctl *k) {
        return create_run(k, KIND_SERVICES, build);
}
