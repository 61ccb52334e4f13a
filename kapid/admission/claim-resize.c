/* PersistentVolumeClaimResize: a claim may ask for more storage when its class allows volumes to be
 * expanded. */
#include "kapid/admission/plugins.h"
#include "kapid/api.h"
#include "lib/object.h"
#include "lib/quantity.h"
#include "lib/volumes.h"

static bool class_allows(const struct admission *a) {
        const char *name = volume_class(a->object);
        struct item *it = isempty(name) ? NULL
                                        : admission_find(a, "storage.k8s.io", "storageclasses", "",
                                                          name);
        _cleanup_json_ json_t *class = it ? item_object(it) : NULL;

        return class && json_bool_or(class, "allowVolumeExpansion", false);
}

static int check_size(struct admission *a, struct problem *p) {
        const json_t *before = json_at(a->live, "spec.resources.requests.storage"),
                     *after = json_at(a->object, "spec.resources.requests.storage");
        int order;

        if (quantity_compare(after, before, &order) < 0 || order <= 0)
                return 0;
        if (class_allows(a))
                return 0;
        return admission_forbidden(a, p,
                        "only dynamically provisioned pvc can be resized and the storageclass that "
                        "provisions the pvc must support resize");
}

static const struct admission_rule rules[] = {
                {.group = "",
                                .plural = "persistentvolumeclaims",
                                .operations = ADMIT_UPDATE,
                                .validate = check_size},
                {0},
};

const struct admission_plugin admission_claim_resize = {.rules = rules};
