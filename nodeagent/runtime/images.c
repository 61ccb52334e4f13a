/* The kinds of images, in the order in which they are tried. */
#include "nodeagent/runtime/images.h"

#include "nodeagent/image/reference.h"
#include "nodeagent/plan/plan.h"

const char *image_path_problem(const char *path) {
        /* A container's user 0 could write there what the machine runs or reads. */
        static const char *const whole[] = {
                        "/", "/usr", "/var", "/var/lib", "/home", "/opt", "/srv"};
        static const char *const within[] = {"/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp",
                        "/var/run", "/etc", "/boot", "/root", "/bin", "/sbin", "/lib", "/lib64",
                        "/usr/bin", "/usr/sbin", "/usr/lib"};

        for (size_t i = 0; i < ELEMENTS(whole); i++)
                if (streq(path, whole[i]))
                        return "it is the machine's own; use `host`";
        for (size_t i = 0; i < ELEMENTS(within); i++) {
                const char *rest = startswith(path, within[i]);
                if (rest && (!*rest || *rest == '/'))
                        return "it is in a folder of the system or of other programs";
        }
        return pod_path_is_hidden(path) ? "keelson's own files are there" : NULL;
}

/* A tidy path that the container may have as its root. Caller frees *ret. */
static int root_path(const json_t *container, const char *name, char **ret, struct problem *p) {
        _cleanup_free_ char *path = pod_path_tidy(name);
        const char *why;

        if (!path)
                return problem_set(p, EINVAL, 0, "InvalidImageName",
                                "image \"%s\" is not a path that this node can use: it must be "
                                "absolute, without '..': of a directory, or of a .raw, .img or "
                                ".squashfs image",
                                name);
        why = container_is_privileged(container) ? NULL : image_path_problem(path);
        if (why)
                return problem_set(p, EINVAL, 0, "InvalidImageName",
                                "image \"%s\" cannot be a container's root: %s", name, why);
        *ret = TAKE_PTR(path);
        return 0;
}

static bool is_host(const char *name) {
        return !*name || streq(name, "host");
}

static bool is_raw(const char *name) {
        static const char *const ends[] = {".raw", ".img", ".squashfs"};
        _cleanup_free_ char *path = pod_path_tidy(name);

        for (size_t i = 0; i < ELEMENTS(ends); i++)
                if (path && endswith(path, ends[i]))
                        return true;
        return false;
}

static bool is_path(const char *name) {
        return *name == '/';
}

/* The rest is a reference, or refused. */
static bool is_any(const char *name) {
        return true;
}

static int resolve_host(const json_t *container, const char *root, const char *name, json_t **ret,
                struct problem *p) {
        *ret = json_pack("{s:s}", "root", root);
        return *ret ? 0 : -ENOMEM;
}

static int resolve_path(const json_t *container, const char *root, const char *name, json_t **ret,
                struct problem *p) {
        _cleanup_free_ char *path = NULL;
        int r = root_path(container, name, &path, p);

        if (r < 0)
                return r;
        *ret = json_pack("{s:s, s:s}", "root", root, "path", path);
        return *ret ? 0 : -ENOMEM;
}

static int resolve_reference(const json_t *container, const char *root, const char *name,
                json_t **ret, struct problem *p) {
        _cleanup_image_reference_ struct image_reference reference = {0};
        _cleanup_free_ char *full = NULL;
        int r = image_reference_parse(name, &reference, p);

        if (r < 0)
                return r;
        full = image_reference_text(&reference);
        if (!full)
                return -ENOMEM;
        *ret = json_pack("{s:s, s:s, s:b}", "root", root, "name", full, "latest",
                        image_reference_is_latest(&reference));
        return *ret ? 0 : -ENOMEM;
}

static const struct {
        const char *root;
        bool (*is)(const char *name);
        int (*resolve)(const json_t *container, const char *root, const char *name, json_t **ret,
                        struct problem *p);
} kinds[] = {
                {"host", is_host, resolve_host},
                {"raw", is_raw, resolve_path},
                {"directory", is_path, resolve_path},
                {"oci", is_any, resolve_reference},
};

int image_resolve(const json_t *container, json_t **ret, struct problem *p) {
        const char *name = json_str_or(container, "image", "");

        for (size_t i = 0; i < ELEMENTS(kinds); i++)
                if (kinds[i].is(name))
                        return kinds[i].resolve(container, kinds[i].root, name, ret, p);
        assert_not_reached();
}

int images_resolve(const json_t *pod, json_t **ret, struct problem *p) {
        static const char *const lists[] = {
                        "spec.initContainers", "spec.containers", "spec.ephemeralContainers"};
        _cleanup_json_ json_t *images = json_object();
        const json_t *c;
        size_t i;

        if (!images)
                return -ENOMEM;
        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_at(pod, lists[l]), i, c) {
                        json_t *image;
                        int r = image_resolve(c, &image, p);

                        if (r < 0)
                                return r;
                        r = json_object_set_new(images, json_str_or(c, "name", ""), image);
                        if (r < 0)
                                return -ENOMEM;
                }
        *ret = TAKE_PTR(images);
        return 0;
}
