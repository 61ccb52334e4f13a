/* kctl create configmap. */
#include "kctl/create/create.h"

static int build(struct kctl *k, json_t *object, struct problem *p) {
        _cleanup_json_ json_t *data = json_object(), *binary = json_object();
        int r;

        if (!data || !binary)
                return -ENOMEM;
        r = sources_read(k, data, binary, p);
        if (r < 0)
                return r;
        if (json_object_size(data) > 0)
                json_object_set(object, "data", data);
        if (json_object_size(binary) > 0)
                json_object_set(object, "binaryData", binary);
        return k->flags.append_hash ? append_hash(object, p) : 0;
}

int kctl_create_configmap(struct kctl *k) {
        return create_run(k, KIND_CONFIGMAPS, build);
}
