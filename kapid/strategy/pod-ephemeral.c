/* Ephemeral containers (KEP-277): a user adds them to a running pod, through
 * pods/ephemeralcontainers, to look into it. They are never changed and never removed. They have no
 * part in the pod's work, so ports, probes, hooks and resources are refused. */
#include "kapid/strategy/pod-ephemeral.h"

#include "lib/object.h"

/* Everything that an ephemeral container may have. */
static const char *const allowed[] = {"args", "command", "env", "envFrom", "image",
                "imagePullPolicy", "name", "securityContext", "stdin", "stdinOnce",
                "targetContainerName", "terminationMessagePath", "terminationMessagePolicy", "tty",
                "volumeDevices", "volumeMounts", "workingDir"};

int pod_ephemeral_prepare(const json_t *old, json_t *object) {
        json_t *list = json_at_mut(object, "spec.ephemeralContainers");
        _cleanup_json_ json_t *spec = json_copy(json_object_get(old, "spec"));

        if (!spec)
                return -ENOMEM;
        if (!list)
                json_object_del(spec, "ephemeralContainers");
        else if (json_object_set(spec, "ephemeralContainers", list) < 0)
                return -ENOMEM;
        return json_object_set(object, "spec", spec) < 0 ? -ENOMEM : 0;
}

static bool is_allowed(const char *field) {
        for (size_t i = 0; i < ELEMENTS(allowed); i++)
                if (streq(allowed[i], field))
                        return true;
        return false;
}

/* {} and [] say nothing: defaults may have set them. */
static bool is_empty(const json_t *v) {
        return (json_is_object(v) && json_object_size(v) == 0) ||
               (json_is_array(v) && json_array_size(v) == 0);
}

void pod_ephemeral_validate(struct findings *f, const json_t *names, const json_t *container) {
        static const char *const paths[] = {"subPath", "subPathExpr"};
        const json_t *target = json_object_get(container, "targetContainerName"), *mount;
        const char *name = strempty(json_string_value(target)), *key;
        json_t *v;
        size_t i;

        if (*name && !json_object_get(names, name))
                finding_add(f, FINDING_NOT_FOUND, "targetContainerName", target, NULL);
        json_object_each (container, key, v)
                if (!is_allowed(key) && !is_empty(v))
                        finding_add(f, FINDING_FORBIDDEN, key, NULL,
                                        "cannot be set for an Ephemeral Container");
        json_array_foreach (json_object_get(container, "volumeMounts"), i, mount)
                for (size_t k = 0; k < ELEMENTS(paths); k++) {
                        _cleanup_free_ char *path = strformat("volumeMounts[%zu].%s", i, paths[k]);

                        f->failed |= !path;
                        if (*json_str_or(mount, paths[k], ""))
                                finding_add(f, FINDING_FORBIDDEN, path, NULL,
                                                "cannot be set for an Ephemeral Container");
                }
}

void pod_ephemeral_validate_none(
                struct findings *f, const json_t *spec, const char *field, const char *why) {
        if (json_array_size(json_object_get(spec, "ephemeralContainers")) > 0)
                finding_add(f, FINDING_FORBIDDEN, field, NULL, "%s", why);
}

void pod_ephemeral_validate_update(struct findings *f, const json_t *old, const json_t *pod) {
        _cleanup_json_ json_t *list = json_by_name(json_at(pod, "spec.ephemeralContainers"));
        const json_t *before;
        size_t i;

        f->failed |= !list;

        if (object_annotation(pod, "kubernetes.io/config.mirror")) {
                finding_add(f, FINDING_FORBIDDEN, "", NULL,
                                "static pods do not support ephemeral containers");
                return;
        }
        /* A patch does not keep their order. */
        json_array_foreach (json_at(old, "spec.ephemeralContainers"), i, before) {
                const char *name = json_str_or(before, "name", "");
                const json_t *now = json_object_get(list, name);

                if (!now)
                        finding_add(f, FINDING_FORBIDDEN, "spec.ephemeralContainers", NULL,
                                        "existing ephemeral containers \"%s\" may not be removed",
                                        name);
                else if (!json_equal(json_unconst(before), json_unconst(now)))
                        finding_add(f, FINDING_FORBIDDEN, "spec.ephemeralContainers", NULL,
                                        "existing ephemeral containers \"%s\" may not be changed",
                                        name);
        }
}
