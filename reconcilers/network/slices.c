/* What the controllers of endpoints have in common. */
#include "reconcilers/network/slices.h"

#include "lib/object.h"

bool slice_is_managed_by(const json_t *slice, const char *controller) {
        return streq_ptr(object_label(slice, SLICE_MANAGED_BY_LABEL), controller);
}

bool service_has_selector(const json_t *service) {
        return json_object_size(json_at(service, "spec.selector")) > 0 &&
               !streq(json_str_or(service, "spec.type", ""), "ExternalName");
}
