/* From objects to the names that a controller works on, for wake functions. */
#include "reconcilers/wake.h"

#include "lib/object.h"
#include "lib/selector.h"

void wake_key(const struct wake *out, const char *ns, const char *name) {
        char key[600];

        if (snprintf(key, sizeof(key), "%s%s%s", strempty(ns), isempty(ns) ? "" : "/", name) <
                        (int)sizeof(key))
                out->add(out->userdata, key);
}

void wake_object(const struct wake *out, const json_t *object) {
        wake_key(out, object_namespace(object), object_name(object));
}

void wake_controller(
                const struct wake *out, const json_t *object, const char *group, const char *kind) {
        const json_t *ref = object_controller_ref(object);
        const char *version = json_str_or(ref, "apiVersion", "");
        const char *slash = strchr(version, '/');
        size_t n = slash ? (size_t)(slash - version) : 0;

        if (ref && streq(json_str_or(ref, "kind", ""), kind) && strlen(group) == n &&
                        strncmp(version, group, n) == 0)
                wake_key(out, object_namespace(object), json_str_or(ref, "name", ""));
}

void wake_selecting(const struct world *w, const struct wake *out, enum world_index index,
                const json_t *object) {
        _cleanup_objects_ struct objects all = {0};

        if (object_controller_ref(object))
                return;
        world_list(w, index, object_namespace(object), &all);
        for (size_t i = 0; i < all.count; i++) {
                _cleanup_(label_selector_freep) struct label_selector *selector = NULL;
                _cleanup_problem_ struct problem p = {0};

                if (label_selector_from_any(
                                    json_at(all.items[i], "spec.selector"), &selector, &p) >= 0 &&
                                label_selector_matches(
                                                selector, json_at(object, "metadata.labels")))
                        wake_object(out, all.items[i]);
        }
}
