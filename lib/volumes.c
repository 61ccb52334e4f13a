/* What controllers, scheduler and agents must see alike in volumes and claims. */
#include "lib/volumes.h"

#include "lib/object.h"
#include "lib/quantity.h"

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
        const char *old = object_annotation(volume_or_claim, VOLUME_CLASS);

        return old ? old : json_str_or(volume_or_claim, "spec.storageClassName", "");
}

static const char *provisioner_of(const json_t *volume) {
        return strempty(object_annotation(volume, VOLUME_PROVISIONED_BY));
}

bool volume_is_local(const json_t *volume) {
        return streq(provisioner_of(volume), PROVISIONER_LOCAL);
}

bool volume_is_ours(const json_t *volume) {
        return volume_is_local(volume) || streq(provisioner_of(volume), PROVISIONER_NFS);
}

bool share_folder_is_valid(const char *folder) {
        if (!*folder || strlen(folder) > SHARE_FOLDER_MAX)
                return false;
        for (const char *s = folder; *s; s++)
                if ((unsigned char)*s < ' ' || *s == 0x7f)
                        return false;
        while (true) {
                size_t n = strcspn(folder, "/");

                if (n == 0 || n > 255 || *folder == '.')
                        return false;
                if (!folder[n])
                        return true;
                folder += n + 1;
        }
}

const char *volume_share_folder(const json_t *volume) {
        const char *share = object_annotation(volume, VOLUME_SHARE_PATH),
                   *path = json_str_or(volume, "spec.nfs.path", ""), *below;

        if (!share || !streq(provisioner_of(volume), PROVISIONER_NFS))
                return NULL;
        below = startswith(path, share);
        if (!below || !*share)
                return NULL;
        if (share[strlen(share) - 1] != '/' && *below++ != '/')
                return NULL;
        return share_folder_is_valid(below) ? below : NULL;
}

bool volume_is_for(const json_t *volume, const json_t *claim) {
        const char *uid = json_str_or(volume, "spec.claimRef.uid", "");

        return streq(json_str_or(volume, "spec.claimRef.name", ""), object_name(claim)) &&
               streq(json_str_or(volume, "spec.claimRef.namespace", ""), object_namespace(claim)) &&
               (!*uid || streq(uid, object_uid(claim)));
}

static bool has_mode(const json_t *volume, const char *mode) {
        const json_t *m;
        size_t i;

        json_array_foreach (json_at(volume, "spec.accessModes"), i, m)
                if (streq(strempty(json_string_value(m)), mode))
                        return true;
        return false;
}

const char *volume_mismatch(const json_t *volume, const json_t *claim) {
        const json_t *mode;
        size_t i;
        int order;

        if (object_is_deleting(volume))
                return "the volume is being deleted";
        if (quantity_compare(json_at(volume, "spec.capacity.storage"),
                            json_at(claim, "spec.resources.requests.storage"), &order) < 0 ||
                        order < 0)
                return "requested PV is too small";
        if (!streq(volume_class(volume), volume_class(claim)))
                return "storageClassName does not match";
        if (!streq(json_str_or(volume, "spec.volumeMode", "Filesystem"),
                            json_str_or(claim, "spec.volumeMode", "Filesystem")))
                return "incompatible volumeMode";
        json_array_foreach (json_at(claim, "spec.accessModes"), i, mode)
                if (!has_mode(volume, strempty(json_string_value(mode))))
                        return "incompatible accessMode";
        return NULL;
}
