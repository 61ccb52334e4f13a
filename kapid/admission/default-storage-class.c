/* DefaultStorageClass: a claim that names no class gets the one that is marked as the default; of
 * several the newest. A claim with an empty class asks for none. */
#include "kapid/admission/default-class.h"
#include "kapid/admission/plugins.h"
#include "lib/object.h"
#include "lib/volumes.h"

static const char *const marks[] = {"storageclass.kubernetes.io/is-default-class",
                "storageclass.beta.kubernetes.io/is-default-class", NULL};

static int set_class(struct admission *a, struct problem *p) {
        _cleanup_json_ json_t *class = NULL;

        if (json_at(a->draft, "spec.storageClassName") || object_annotation(a->draft, VOLUME_CLASS))
                return 0;
        class = default_class_find(a, "storage.k8s.io", "storageclasses", marks);
        return class ? json_set_str(a->draft, "spec.storageClassName", object_name(class)) : 0;
}

static const struct admission_rule rules[] = {
                {.group = "",
                                .plural = "persistentvolumeclaims",
                                .operations = ADMIT_CREATE,
                                .mutate = set_class},
                {0},
};

const struct admission_plugin admission_default_storage_class = {.rules = rules};
