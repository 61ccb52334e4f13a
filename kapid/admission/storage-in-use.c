/* StorageObjectInUseProtection: new volumes and claims get a finalizer, which the controllers
 * pv-protection and pvc-protection remove once nothing uses them. A claim that a pod uses, and a
 * volume that is bound, stay until then. */
#include "kapid/admission/plugins.h"
#include "lib/object.h"

static int add_finalizer(json_t *object, const char *name) {
        json_t *list;

        if (object_has_finalizer(object, name))
                return 0;
        list = json_at_mut(object, "metadata.finalizers");
        if (list)
                return json_array_append_new(list, json_string(name)) < 0 ? -ENOMEM : 0;
        return json_set_at(object, "metadata.finalizers", json_pack("[s]", name));
}

static int protect_volume(struct admission *a, struct problem *p) {
        return add_finalizer(a->draft, "kubernetes.io/pv-protection");
}

static int protect_claim(struct admission *a, struct problem *p) {
        return add_finalizer(a->draft, "kubernetes.io/pvc-protection");
}

static const struct admission_rule rules[] = {
                {.group = "",
                                .plural = "persistentvolumes",
                                .operations = ADMIT_CREATE,
                                .mutate = protect_volume},
                {.group = "",
                                .plural = "persistentvolumeclaims",
                                .operations = ADMIT_CREATE,
                                .mutate = protect_claim},
                {0},
};

const struct admission_plugin admission_storage_in_use = {.rules = rules};
