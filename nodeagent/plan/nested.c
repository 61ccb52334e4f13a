/* Mounts inside mounts. systemd creates a missing mount point as root and follows any link on the
 * way; the contents of a volume are the pod's. So the agent opens and creates every mount
 * point below a volume of the same container before the start (stage.c), without following links.
 */
#include "nodeagent/plan/plan.h"

char *pod_host_path(const char *path) {
        static const char *const merged[] = {
                        "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin"};

        for (size_t i = 0; i < ELEMENTS(merged); i++) {
                const char *rest = startswith(path, merged[i]);
                if (rest && *rest == '/')
                        return strformat("/usr%s", path);
        }
        return strdup(path);
}

char *pod_mount_target(const json_t *properties, const char *given) {
        _cleanup_free_ char *path = pod_path_tidy(given);

        if (!path)
                return NULL;
        return json_object_get(properties, "RootDirectory") ||
                                               json_object_get(properties, "RootImage")
                               ? TAKE_PTR(path)
                               : pod_host_path(path);
}

/* target -> the name of the volume, of those that a pod can write to. */
static json_t *volume_targets(
                const json_t *container, const json_t *volumes, const json_t *properties) {
        _cleanup_json_ json_t *written = json_object(), *out = json_object();
        const json_t *v;
        size_t i;

        if (!written || !out)
                return NULL;
        json_array_foreach (volumes, i, v)
                if (!streq(json_str_or(v, "type", ""), "files"))
                        json_object_set_new(written, json_str_or(v, "name", ""), json_true());
        json_array_foreach (json_at(container, "volumeMounts"), i, v) {
                const char *name = json_str_or(v, "name", "");
                _cleanup_free_ char *target =
                                pod_mount_target(properties, json_str_or(v, "mountPath", ""));

                if (target && json_object_get(written, name))
                        json_object_set_new(out, target, json_string(name));
        }
        return TAKE_PTR(out);
}

/* The longest of these paths that contains this one, NULL for none; *ret_rest is the rest. */
static json_t *nearest(const json_t *targets, const char *path, const char **ret_rest) {
        _cleanup_free_ char *above = strdup(path);
        char *slash;

        while (above && (slash = strrchr(above, '/')) && slash > above) {
                json_t *found;

                *slash = 0;
                found = json_object_get(targets, above);
                if (found) {
                        *ret_rest = path + strlen(above) + 1;
                        return found;
                }
        }
        return NULL;
}

const char *pod_volume_above(const json_t *container, const json_t *volumes,
                const json_t *properties, const char *path) {
        _cleanup_json_ json_t *targets = volume_targets(container, volumes, properties);
        const char *rest, *name = json_string_value(nearest(targets, path, &rest));
        const json_t *v;
        size_t i;

        json_array_foreach (volumes, i, v)
                if (name && streq(name, json_str_or(v, "name", "")))
                        return json_str(v, "name");
        return NULL;
}

/* source NULL: a folder that systemd mounts itself. */
static int add_point(const json_t *mounts, const json_t *names, const char *source,
                const char *target, json_t *stage) {
        const char *below, *volume;
        const json_t *mount = nearest(mounts, target, &below);

        volume = json_str(mount, "target") ? json_string_value(json_object_get(
                                                             names, json_str(mount, "target")))
                                           : NULL;
        if (!volume)
                return 0;
        return json_array_append_new(
                               stage, json_pack("{s:s, s:s, s:s, s:s, s:s}", "root",
                                                      json_str_or(mount, "source", ""), "below",
                                                      below, "target", target, "volume", volume,
                                                      "source", strempty(source))) < 0
                               ? -ENOMEM
                               : 0;
}

static const char *const bind_keys[] = {"BindPaths", "BindReadOnlyPaths"};

static const char *word(const json_t *bind, size_t i) {
        return strempty(json_string_value(json_array_get(bind, i)));
}

/* target -> the bind that is mounted there, in both lists of the unit. -ENOMEM. */
static int bind_targets(const json_t *properties, json_t *mounts) {
        const json_t *b;
        size_t i;

        for (size_t k = 0; k < ELEMENTS(bind_keys); k++)
                json_array_foreach (json_object_get(properties, bind_keys[k]), i, b)
                        if (json_object_set_new(mounts, word(b, 1),
                                            json_pack("{s:s, s:s}", "target", word(b, 1), "source",
                                                            word(b, 0))) < 0)
                                return -ENOMEM;
        return 0;
}

int pod_nested(const json_t *container, const json_t *volumes, const json_t *properties,
                json_t *stage) {
        static const char *const temporary[] = {"/tmp", "/var/tmp"};
        _cleanup_json_ json_t *names = volume_targets(container, volumes, properties),
                              *mounts = json_object();
        const json_t *b;
        size_t i;
        int r;

        if (!names || !mounts)
                return -ENOMEM;
        if (json_object_size(names) == 0 || container_is_privileged(container))
                return 0;
        r = bind_targets(properties, mounts);
        if (r < 0)
                return r;
        for (size_t k = 0; k < ELEMENTS(bind_keys); k++)
                json_array_foreach (json_object_get(properties, bind_keys[k]), i, b) {
                        r = add_point(mounts, names, word(b, 0), word(b, 1), stage);
                        if (r < 0)
                                return r;
                }
        json_array_foreach (json_object_get(properties, "TemporaryFileSystem"), i, b) {
                r = add_point(mounts, names, /* source= */ NULL, word(b, 0), stage);
                if (r < 0)
                        return r;
        }
        if (!json_bool_or(properties, "PrivateTmp", false))
                return 0;
        for (i = 0; i < ELEMENTS(temporary); i++) {
                r = add_point(mounts, names, /* source= */ NULL, temporary[i], stage);
                if (r < 0)
                        return r;
        }
        return 0;
}
