/* A container's own /dev. systemd's private /dev (PrivateDevices=) is read-only before anything can
 * be mounted in it, and by default a termination message is there. A folder of the agent mounted at
 * /dev takes precedence over systemd's, while the rest of PrivateDevices= stays: it has the same
 * devices, links and mounts, and the message. */
#include "nodeagent/plan/plan.h"

static int bind(json_t *properties, const char *key, const char *source, const char *target,
                bool optional) {
        json_t *list = json_object_get(properties, key);

        if (!list) {
                list = json_array();
                if (json_object_set_new(properties, key, list) < 0)
                        return -ENOMEM;
        }
        return json_array_append_new(
                               list, optional ? json_pack("[s, s, s]", source, target, "optional")
                                              : json_pack("[s, s]", source, target)) < 0
                               ? -ENOMEM
                               : 0;
}

/* Something else is mounted at this path. */
static bool is_taken(const json_t *properties, const char *path) {
        static const char *const keys[] = {"BindPaths", "BindReadOnlyPaths"};
        const json_t *m;
        size_t i;

        for (size_t k = 0; k < ELEMENTS(keys); k++)
                json_array_foreach (json_object_get(properties, keys[k]), i, m)
                        if (streq_ptr(json_string_value(json_array_get(m, 1)), path))
                                return true;
        return false;
}

int pod_terminals(const struct pod_facts *facts, json_t *properties) {
        if (!facts->terminal_dir || is_taken(properties, "/dev") ||
                        is_taken(properties, "/dev/pts"))
                return 0;
        return bind(properties, "BindPaths", facts->terminal_dir, "/dev/pts",
                        /* optional= */ false);
}

int pod_own_devices(json_t *properties, const char *dir) {
        static const struct {
                const char *path;
                bool optional;
        } devices[] = {{"/dev/null", false}, {"/dev/zero", false}, {"/dev/full", false},
                        {"/dev/random", false}, {"/dev/urandom", false}, {"/dev/tty", false},
                        {"/dev/pts", true}, {"/dev/hugepages", true}};
        int r;

        if (is_taken(properties, "/dev"))
                return 0;
        r = bind(properties, "BindReadOnlyPaths", dir, "/dev", /* optional= */ false);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTS(devices); i++) {
                if (is_taken(properties, devices[i].path))
                        continue;
                r = bind(properties, "BindPaths", devices[i].path, devices[i].path,
                                devices[i].optional);
                if (r < 0)
                        return r;
        }
        /* With PrivateIPC systemd mounts its own. */
        if (json_bool_or(properties, "PrivateIPC", false))
                return 1;
        r = bind(properties, "BindPaths", "/dev/mqueue", "/dev/mqueue", /* optional= */ true);
        return r < 0 ? r : 1;
}
