/* kctl create secret generic. */
#include "kctl/create/create.h"

static int build(struct kctl *k, json_t *object, struct problem *p) {
        _cleanup_json_ json_t *data = json_object();
        int r;

        if (!data)
                return -ENOMEM;
        r = sources_read(k, data, /* binary= */ NULL, p);
        if (r < 0)
                return r;
        if (json_object_size(data) > 0)
                json_object_set(object, "data", data);
        if (!isempty(k->flags.type))
                json_set_str(object, "type", k->flags.type);
        return k->flags.append_hash ? append_hash(object, p) : 0;
}

int kctl_create_secret_generic(struct kctl *k) {
        return create_run(k, KIND_SECRETS, build);
}
