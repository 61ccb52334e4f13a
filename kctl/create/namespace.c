/* kctl create namespace. */
#include "kctl/create/create.h"

static int build(struct kctl *k, json_t *object, struct problem *p) {
        return 0;
}

int kctl_create_namespace(struct kctl *k) {
        return create_run(k, KIND_NAMESPACES, build);
}
