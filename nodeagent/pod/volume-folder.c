/* The name of the folder is the volume's, and nothing else that the volume says is believed. */
#include "nodeagent/pod/volume-folder.h"

#include <sys/stat.h>

#include "lib/client/volumes.h"
#include "lib/fileio.h"
#include "lib/object.h"

enum volume_end local_volume_end(const json_t *volume, const char *node) {
        const char *by = strempty(object_annotation(volume, VOLUME_PROVISIONED_BY)),
                   *path = startswith(json_str_or(volume, "spec.local.path", ""),
                                   LOCAL_VOLUMES_DIR "/");

        if (!object_is_deleting(volume) || !object_has_finalizer(volume, VOLUME_DATA_FINALIZER) ||
                        object_has_finalizer(volume, "kubernetes.io/pv-protection") ||
                        !streq(strempty(object_label(volume, VOLUME_NODE_LABEL)), node))
                return VOLUME_STAYS;
        if (!streq(by, PROVISIONER_LOCAL) || !path || !streq(path, object_name(volume)))
                return VOLUME_STAYS;
        return streq(json_str_or(volume, "spec.persistentVolumeReclaimPolicy", ""), "Delete")
                               ? VOLUME_REMOVES
                               : VOLUME_KEEPS;
}

int local_volume_remove(const char *dir, const char *name) {
        _cleanup_free_ char *path = NULL;
        struct stat st;

        if (!*name || *name == '.' || strchr(name, '/'))
                return -EINVAL;
        path = strformat("%s/%s", dir, name);
        if (!path)
                return -ENOMEM;
        /* Only root can put something else in its place; then it stays for them to look at. */
        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISDIR(st.st_mode))
                return -ENOTDIR;
        return remove_tree(path);
}
