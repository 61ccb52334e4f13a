/* What a pod may say and a systemd machine cannot do, or not yet: a table, so that each field has
 * its word and none is ignored in silence. A field that comes to have its effect leaves the table.
 */
#include "nodeagent/pod-units.h"

#include "lib/object.h"

enum place { POD, CONTAINER };

static const struct {
        enum place place;
        const char *path;
        const char *text;
} rows[] = {
                {POD, "spec.hostname",
                                "HOSTNAME, /etc/hostname and /etc/hosts have it; what the kernel "
                                "says (uname, hostname) stays the machine's own name"},
                {POD, "spec.setHostnameAsFQDN",
                                "HOSTNAME and /etc/hostname have it; what the kernel says (uname, "
                                "hostname) stays the machine's own name"},
                {POD, "spec.runtimeClassName", "there is one way to run a pod here"},
                {POD, "spec.ephemeralContainers", "nothing can be added to a pod that runs"},
                {POD, "spec.securityContext.seLinuxOptions", "SELinux labels are not set"},
                {POD, "spec.securityContext.windowsOptions", "this machine runs Linux"},
                {CONTAINER, "stdin", "nothing is connected to it"},
                {CONTAINER, "tty", "there is no terminal"},
                {CONTAINER, "volumeDevices", "block devices are not given to pods"},
                {CONTAINER, "securityContext.seLinuxOptions", "SELinux labels are not set"},
                {CONTAINER, "securityContext.windowsOptions", "this machine runs Linux"},
};

/* Set to something: false, null and what is empty ask for nothing. */
static bool is_set(const json_t *v) {
        if (json_is_array(v))
                return json_array_size(v) > 0;
        if (json_is_string(v))
                return json_string_length(v) > 0;
        return v && !json_is_false(v) && !json_is_null(v);
}

static int warn(json_t *warnings, const char *field, const char *text) {
        return json_array_append_new(warnings, json_sprintf("%s: %s", field, text)) < 0 ? -ENOMEM
                                                                                        : 0;
}

static int containers(const json_t *pod, const char *list, json_t *warnings) {
        const json_t *c;
        size_t i;
        int r = 0;

        json_array_foreach (json_at(pod, list), i, c)
                for (size_t k = 0; k < ELEMENTS(rows) && r >= 0; k++) {
                        _cleanup_free_ char *field = NULL;

                        if (rows[k].place != CONTAINER || !is_set(json_at(c, rows[k].path)))
                                continue;
                        field = strformat("%s[%s].%s", list, json_str_or(c, "name", ""),
                                        rows[k].path);
                        r = field ? warn(warnings, field, rows[k].text) : -ENOMEM;
                }
        return r;
}

/* Those of the pod's network namespace are set; others would be the whole machine's. */
static int sysctls(const json_t *pod, json_t *warnings) {
        const json_t *v;
        size_t i;
        int r = 0;

        json_array_foreach (json_at(pod, "spec.securityContext.sysctls"), i, v) {
                const char *name = json_str_or(v, "name", "");
                _cleanup_free_ char *field = strformat("spec.securityContext.sysctls[%s]", name);

                if (r < 0 || startswith(name, "net.") || startswith(name, "net/"))
                        continue;
                r = field ? warn(warnings, field,
                                            "pods have no IPC namespace of their own, so only "
                                            "net.* can be set")
                          : -ENOMEM;
        }
        return r;
}

int pod_unrealized(const json_t *pod, json_t *warnings) {
        int r = 0;

        for (size_t i = 0; i < ELEMENTS(rows) && r >= 0; i++)
                if (rows[i].place == POD && is_set(json_at(pod, rows[i].path)))
                        r = warn(warnings, rows[i].path, rows[i].text);
        if (r >= 0)
                r = sysctls(pod, warnings);
        if (r >= 0)
                r = containers(pod, "spec.initContainers", warnings);
        return r < 0 ? r : containers(pod, "spec.containers", warnings);
}
