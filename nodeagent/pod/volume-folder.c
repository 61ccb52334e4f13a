/* The name of the folder is the volume's, and nothing else that the volume says is believed. */
#include "nodeagent/pod/volume-folder.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/object.h"
#include "lib/volumes.h"
#include "nodeagent/pod/folder-size.h"

enum volume_end local_volume_end(const json_t *volume, const char *node) {
        const char *path = startswith(
                        json_str_or(volume, "spec.local.path", ""), LOCAL_VOLUMES_DIR "/");
        bool is_folder = volume_is_local(volume) && path && streq(path, object_name(volume));

        if (!object_is_deleting(volume) || !object_has_finalizer(volume, VOLUME_DATA_FINALIZER) ||
                        object_has_finalizer(volume, "kubernetes.io/pv-protection") ||
                        !streq(strempty(object_label(volume, VOLUME_NODE_LABEL)), node))
                return VOLUME_STAYS;
        if (!is_folder && !volume_share_folder(volume))
                return VOLUME_STAYS;
        return streq(json_str_or(volume, "spec.persistentVolumeReclaimPolicy", ""), "Delete")
                               ? VOLUME_REMOVES
                               : VOLUME_KEEPS;
}

bool local_volume_is_before(const char *last, const json_t *a, const json_t *b) {
        bool a_waits = !last || strcmp(object_name(a), last) > 0,
             b_waits = !last || strcmp(object_name(b), last) > 0;

        return a_waits != b_waits ? a_waits : strcmp(object_name(a), object_name(b)) < 0;
}

/* Whether something is mounted at path itself, of whatever device. */
static bool is_mounted(const char *path) {
        struct statx st;

        return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, /* mask= */ 0, &st) >= 0 &&
               (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
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
        if (is_mounted(path))
                return -EXDEV;
        return folder_remove(path);
}

static char *archive_name(const json_t *volume, const char *name) {
        if (!streq(strempty(object_annotation(volume, VOLUME_ON_DELETE)), "archive"))
                return strdup("");
        if (strstr(name, object_name(volume)))
                return strformat("archived-%.240s", name);
        return strformat("archived-%.180s-%.60s", name, object_name(volume));
}

json_t *share_remove_command(const json_t *volume, const char *where) {
        const char *folder = volume_share_folder(volume), *slash = strrchr(folder, '/');
        _cleanup_free_ char *archive = archive_name(volume, slash ? slash + 1 : folder);

        return archive ? json_pack("[[s, s, s, s]]", "share-remove", where, folder, archive) : NULL;
}
