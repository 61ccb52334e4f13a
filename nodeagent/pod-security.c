/* securityContext -> the sandbox properties of a unit. A container that is not privileged keeps the
 * capabilities that container users expect and never sees keelson's own keys and state. */
#include "nodeagent/pod-units.h"

#include "lib/object.h"
#include "nodeagent/unit-props.h"

#define REASON "CreateContainerConfigError"

static const char *const default_capabilities[] = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER",
                "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
                "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_MKNOD",
                "CAP_AUDIT_WRITE", "CAP_SETFCAP"};
static const char *const hidden_paths[] = {"-/etc/keelson", "-/var/lib/keelson", "-/run/keelson",
                "-/root/.ssh", "-/root/.kube"};

/* The container's own field wins over the pod's. */
static const json_t *setting(const json_t *pod, const json_t *container, const char *key) {
        const json_t *v = json_get(container, "securityContext", key, NULL);
        return v && !json_is_null(v) ? v : json_get(pod, "spec", "securityContext", key, NULL);
}

static json_t *mask_to_names(uint64_t mask) {
        json_t *a = json_array();

        for (int i = 0; capability_name(i); i++)
                if (mask & (UINT64_C(1) << i))
                        json_array_append_new(a, json_string(capability_name(i)));
        return a;
}

static int capability_list(const json_t *names, uint64_t *mask, bool add, struct problem *p) {
        const json_t *v;
        size_t i;

        json_array_foreach (names, i, v) {
                const char *name = strempty(json_string_value(v));
                int n = capability_number(name);
                uint64_t bit = strcaseeq(name, "ALL") ? UINT64_MAX : n >= 0 ? UINT64_C(1) << n : 0;

                if (bit == 0)
                        return problem_set(p, EINVAL, 0, REASON,
                                        "securityContext.capabilities: '%s' is not known", name);
                *mask = add ? *mask | bit : *mask & ~bit;
        }
        return 0;
}

static int capabilities(const json_t *container, json_t *properties, bool root, struct problem *p) {
        const json_t *caps = json_at(container, "securityContext.capabilities");
        uint64_t bounding = 0, added = 0;
        int r;

        for (size_t i = 0; i < ELEMENTS(default_capabilities); i++)
                bounding |= UINT64_C(1) << capability_number(default_capabilities[i]);
        r = capability_list(json_at(caps, "drop"), &bounding, false, p);
        if (r >= 0)
                r = capability_list(json_at(caps, "add"), &added, true, p);
        if (r < 0)
                return r;
        json_object_set_new(properties, "CapabilityBoundingSet", mask_to_names(bounding | added));
        if (!root && added != 0)
                json_object_set_new(properties, "AmbientCapabilities", mask_to_names(added));
        return 0;
}

static int seccomp(const json_t *profile, json_t *properties, struct problem *p) {
        const char *type = json_str_or(profile, "type", "Unconfined");

        if (streq(type, "Unconfined"))
                return 0;
        if (!streq(type, "RuntimeDefault"))
                return problem_set(p, EINVAL, 0, REASON,
                                "seccompProfile type '%s' is not supported; use RuntimeDefault, "
                                "Unconfined or the annotation unit.keelson.dev/SystemCallFilter",
                                type);
        json_object_set_new(properties, "SystemCallFilter",
                        json_pack("{s:b, s:[s]}", "allow", 1, "names", "@system-service"));
        json_object_set_new(properties, "SystemCallErrorNumber", json_integer(EPERM));
        return 0;
}

static int identity(const json_t *pod, const json_t *container, json_t *properties, bool *ret_root,
                struct problem *p) {
        const json_t *user = setting(pod, container, "runAsUser"),
                     *group = setting(pod, container, "runAsGroup");
        const json_t *v, *groups = json_at(pod, "spec.securityContext.supplementalGroups");
        int64_t fs_group = json_int_or(pod, "spec.securityContext.fsGroup", -1);
        bool non_root = json_is_true(setting(pod, container, "runAsNonRoot"));
        json_t *extra = json_array();
        char number[24];
        size_t i;

        *ret_root = true;
        if (json_is_integer(user)) {
                *ret_root = json_integer_value(user) == 0;
                snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(user));
                json_object_set_new(properties, "User", json_string(number));
                if (!group)
                        json_object_set_new(properties, "Group", json_string(number));
        } else if (non_root) {
                *ret_root = false;
                json_object_set_new(properties, "DynamicUser", json_true());
        }
        if (json_is_integer(group)) {
                snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(group));
                json_object_set_new(properties, "Group", json_string(number));
        }
        json_array_foreach (groups, i, v)
                json_array_append_new(
                                extra, json_sprintf("%lld", (long long)json_integer_value(v)));
        if (fs_group >= 0)
                json_array_append_new(extra, json_sprintf("%lld", (long long)fs_group));
        if (json_array_size(extra) > 0)
                json_object_set_new(properties, "SupplementaryGroups", extra);
        else
                json_decref(extra);
        if (non_root && *ret_root)
                return problem_set(p, EINVAL, 0, REASON,
                                "container has runAsNonRoot and would run as root: set runAsUser "
                                "to another user or leave it out");
        return 0;
}

int pod_security(
                const json_t *pod, const json_t *container, json_t *properties, struct problem *p) {
        bool root = true, privileged = json_bool_or(container, "securityContext.privileged", false);
        json_t *hidden;
        int r;

        r = identity(pod, container, properties, &root, p);
        if (r < 0)
                return r;
        if (json_bool_or(container, "securityContext.readOnlyRootFilesystem", false))
                json_object_set_new(properties, "ProtectSystem", json_string("strict"));
        if (privileged)
                return 0;
        hidden = json_array();
        for (size_t i = 0; i < ELEMENTS(hidden_paths); i++)
                json_array_append_new(hidden, json_string(hidden_paths[i]));
        json_object_set_new(properties, "InaccessiblePaths", hidden);
        json_object_set_new(properties, "ProtectKernelModules", json_true());
        json_object_set_new(properties, "ProtectKernelLogs", json_true());
        json_object_set_new(properties, "ProtectClock", json_true());
        json_object_set_new(properties, "RestrictRealtime", json_true());
        if (json_is_false(setting(pod, container, "allowPrivilegeEscalation")))
                json_object_set_new(properties, "NoNewPrivileges", json_true());
        r = seccomp(setting(pod, container, "seccompProfile"), properties, p);
        return r < 0 ? r : capabilities(container, properties, root, p);
}

int pod_passthrough(
                const json_t *pod, const char *container, json_t *properties, struct problem *p) {
        _cleanup_free_ char *own = strformat("%s.unit.keelson.dev/", container);
        const char *key;
        json_t *v;

        if (!own)
                return -ENOMEM;
        json_object_foreach ((json_t *)json_at(pod, "metadata.annotations"), key, v) {
                const char *name = startswith(key, "unit.keelson.dev/");
                const struct prop_row *row;
                json_t *value;
                int r;

                if (!name)
                        name = startswith(key, own);
                if (!name)
                        continue;
                row = prop_find(name);
                if (!row)
                        return problem_set(p, EINVAL, 0, REASON,
                                        "annotation %s: the unit property %s is not known; "
                                        "docs/pod-to-units.md lists them",
                                        key, name);
                r = prop_from_text(row, strempty(json_string_value(v)), &value, p);
                if (r < 0)
                        return r;
                if (json_object_set_new(properties, row->name, value) < 0)
                        return -ENOMEM;
        }
        return 0;
}
