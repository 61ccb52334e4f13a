/* What the controllers of endpoints have in common. */
#include "reconcilers/network/slices.h"

#include "lib/object.h"

#define HEADLESS_LABEL "service.kubernetes.io/headless"

json_t *slices_copy_labels(const json_t *object) {
        json_t *labels = json_object(), *v;
        const char *key;

        assert(labels);
        json_object_foreach ((json_t *)json_at(object, "metadata.labels"), key, v)
                json_object_set(labels, key, v);
        return labels;
}

json_t *slices_service_labels(const json_t *service) {
        json_t *labels = slices_copy_labels(service);

        if (streq(json_str_or(service, "spec.clusterIP", ""), "None"))
                json_object_set_new(labels, HEADLESS_LABEL, json_string(""));
        else
                json_object_del(labels, HEADLESS_LABEL);
        return labels;
}

void slices_wake_service(const struct wake *out, const json_t *slice) {
        const char *service = object_label(slice, SLICE_SERVICE_LABEL);

        if (service)
                wake_key(out, object_namespace(slice), service);
}

bool slice_is_managed_by(const json_t *slice, const char *controller) {
        return streq_ptr(object_label(slice, SLICE_MANAGED_BY_LABEL), controller);
}

bool service_has_selector(const json_t *service) {
        return json_object_size(json_at(service, "spec.selector")) > 0 &&
               !streq(json_str_or(service, "spec.type", ""), "ExternalName");
}
