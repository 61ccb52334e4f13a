/* For each mount that is to be read-only or hidden systemd 252 reads the table of all mounts twice,
 * which was most of the processor time of a start. A program that is not root and has no capability
 * does not need all of these: what belongs to root and is writable for root alone is so without a
 * mount of its own, too. So, on the machine's own root:
 *
 * - /sys and /proc/sys stay read-only, each as a whole. The rest of /proc that
 * ProtectKernelTunables and ProtectKernelLogs cover has no file that another user than root may
 * write to (or, kcore and kmsg, read), and the files of kernel modules are no secret.
 * - The system calls that these properties also refuse are not in an allowing filter, or need a
 *   capability.
 * - What the agent itself mounts into a container is root's, and its mode says the same as the
 * mount.
 *
 * Volumes are left as they are, and so is everything when root or a capability is involved. */
#include "nodeagent/plan/plan.h"

/* Written so by annotations, or by the sandbox; only what is on is changed. */
static bool is_on(const json_t *properties, const char *name) {
        return json_bool_or(properties, name, false);
}

static bool is_plain_user(const json_t *properties) {
        const json_t *bounding = json_object_get(properties, "CapabilityBoundingSet");
        const char *user = json_str_or(properties, "User", "0");

        return json_is_array(bounding) && json_array_size(bounding) == 0 &&
               !json_object_get(properties, "AmbientCapabilities") && !streq(user, "0") &&
               !streq(user, "root");
}

/* A list of what is allowed, and nothing for the kernel's log in it. */
static bool filter_refuses_log(const json_t *properties) {
        const json_t *filter = json_object_get(properties, "SystemCallFilter"), *v;
        size_t i;

        if (!filter || !json_bool_or(filter, "allow", true))
                return false;
        json_array_foreach (json_object_get(filter, "names"), i, v)
                if (!streq(strempty(json_string_value(v)), "@system-service"))
                        return false;
        return true;
}

static json_t *list_of(json_t *properties, const char *key) {
        json_t *list = json_object_get(properties, key);

        if (!list) {
                list = json_array();
                if (json_object_set_new(properties, key, list) < 0)
                        return NULL;
        }
        return list;
}

static int kernel(json_t *properties) {
        static const char *const read_only[] = {"/proc/sys", "/sys"};

        json_object_del(properties, "ProtectKernelModules");
        if (is_on(properties, "PrivateDevices") && filter_refuses_log(properties))
                json_object_del(properties, "ProtectKernelLogs");
        if (!is_on(properties, "ProtectKernelTunables") ||
                        !is_on(properties, "ProtectControlGroups"))
                return 0;
        for (size_t i = 0; i < ELEMENTS(read_only); i++)
                if (json_array_append_new(list_of(properties, "ReadOnlyPaths"),
                                    json_string(read_only[i])) < 0)
                        return -ENOMEM;
        json_object_del(properties, "ProtectKernelTunables");
        json_object_del(properties, "ProtectControlGroups");
        return 0;
}

/* What the agent makes for each pod, writable for root alone. */
static bool is_of_root(const json_t *bind, const struct pod_facts *f) {
        const char *source = strempty(json_string_value(json_array_get(bind, 0))), *rest;

        if (json_array_size(bind) != 2)
                return false;
        if (streq_ptr(source, f->exec_program))
                return true;
        rest = startswith(source, strempty(f->secret_dir));
        if (rest && startswith(rest, "/command/"))
                return true;
        rest = startswith(source, strempty(f->run_dir));
        return rest && (startswith(rest, "/etc~/") || startswith(rest, "/dev/"));
}

static int binds(json_t *properties, const struct pod_facts *f) {
        json_t *list = json_object_get(properties, "BindReadOnlyPaths");

        for (size_t i = 0; i < json_array_size(list);) {
                json_t *bind = json_array_get(list, i);

                if (!is_of_root(bind, f)) {
                        i++;
                        continue;
                }
                if (json_array_append(list_of(properties, "BindPaths"), bind) < 0 ||
                                json_array_remove(list, i) < 0)
                        return -ENOMEM;
        }
        if (list && json_array_size(list) == 0)
                json_object_del(properties, "BindReadOnlyPaths");
        return 0;
}

int pod_lighten(const json_t *container, const struct pod_facts *facts, json_t *properties) {
        int r;

        if (container_is_privileged(container) || json_object_get(properties, "RootDirectory") ||
                        json_object_get(properties, "RootImage") || !is_plain_user(properties))
                return 0;
        r = kernel(properties);
        return r < 0 ? r : binds(properties, facts);
}
