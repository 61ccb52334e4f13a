/* What controllers, scheduler and agents must see alike in volumes and claims. */
#include "lib/client/volumes.h"

#include "lib/object.h"

int pod_claim_name(const json_t *pod, const json_t *volume, char **ret) {
        const char *claim = json_str(volume, "persistentVolumeClaim.claimName");
        char *name = NULL;

        if (claim)
                name = strdup(claim);
        else if (json_at(volume, "ephemeral"))
                name = strformat("%s-%s", object_name(pod), json_str_or(volume, "name", ""));
        if (!name && (claim || json_at(volume, "ephemeral")))
                return -ENOMEM;
        *ret = name;
        return 0;
}

const char *volume_class(const json_t *volume_or_claim) {
        const char *old = object_annotation(
                        volume_or_claim, "volume.beta.kubernetes.io/storage-class");

        return old ? old : json_str_or(volume_or_claim, "spec.storageClassName", "");
}

bool volume_is_ours(const json_t *volume) {
        return streq(strempty(object_annotation(volume, VOLUME_PROVISIONED_BY)), PROVISIONER_LOCAL);
}
