/* The annotations unit.keelson.dev/<Property>. Which namespace may use which property is decided by
 * the API's admission (the pod security level). These belong to the agent, whatever admission
 * allowed: the unit's identity, the other units that it affects, and keelson's own keys,
 * state and sockets, which are hidden after everything else. Only a container with
 * securityContext.privileged, which owns the machine anyway, is exempt. */
#include "nodeagent/plan/plan.h"

#include "lib/adoptable-units.h"
#include "nodeagent/plan/unit-props.h"

#define REASON "CreateContainerConfigError"
#define OTHER_UNITS \
        "it affects other units of the machine, which needs a container with " \
        "securityContext.privileged"

/* Only privileged containers see these. */
static const char *const hidden_paths[] = {"/etc/keelson", "/var/lib/keelson", "/run/keelson",
                "/root/.ssh", "/root/.kube", "/boot", "/etc/shadow", "/etc/shadow-", "/etc/gshadow",
                "/etc/gshadow-", "/etc/ssh", "/etc/ssl/private", "/etc/sudoers", "/etc/sudoers.d",
                "/etc/credstore", "/etc/credstore.encrypted"};

/* Properties that an annotation may set to these values only (none: not at all), and why. */
static const struct kept_property {
        const char *property, *values, *why;
} kept_properties[] = {
                {"Before", "", OTHER_UNITS},
                {"BindsTo", "", OTHER_UNITS},
                {"Conflicts", "", OTHER_UNITS},
                {"JoinsNamespaceOf", "", OTHER_UNITS},
                {"OnFailure", "", OTHER_UNITS},
                {"OnSuccess", "", OTHER_UNITS},
                {"PartOf", "", OTHER_UNITS},
                {"PropagatesReloadTo", "", OTHER_UNITS},
                {"PropagatesStopTo", "", OTHER_UNITS},
                {"ReloadPropagatedFrom", "", OTHER_UNITS},
                {"Requires", "", OTHER_UNITS},
                {"RequiresMountsFor", "", OTHER_UNITS},
                {"Requisite", "", OTHER_UNITS},
                {"Sockets", "", OTHER_UNITS},
                {"StopPropagatedFrom", "", OTHER_UNITS},
                {"Upholds", "", OTHER_UNITS},
                {"Wants", "", OTHER_UNITS},
                {"FailureAction", "none", "it affects the whole machine"},
                {"SuccessAction", "none", "it affects the whole machine"},
                {"StartLimitAction", "none", "it affects the whole machine"},
                {"JobTimeoutAction", "none", "it affects the whole machine"},
                {"Slice", "", "every pod has its own slice"},
                {"Description", "", "the agent identifies its units by it"},
                {"LogExtraFields", "", "they name the container of a log line"},
                {"LogNamespace", "", "the log of a pod is in the machine's journal"},
                {"SyslogIdentifier", "", "it is the container's name"},
                {"StandardInput", "null", "systemd would open a file of the machine as root"},
                {"StandardOutput", "journal null",
                                "systemd would open a file of the machine as root"},
                {"StandardError", "journal null inherit",
                                "systemd would open a file of the machine as root"},
                {"PassEnvironment", "", "it exposes systemd's own environment; use env"},
                {"User", "", "use securityContext.runAsUser"},
                {"Group", "", "use securityContext.runAsGroup"},
                {"SupplementaryGroups", "", "use securityContext.supplementalGroups"},
                {"DynamicUser", "yes true on 1", "use securityContext.runAsUser"},
                {"CapabilityBoundingSet", "", "use securityContext.capabilities"},
                {"AmbientCapabilities", "", "use securityContext.capabilities"},
                {"RootDirectory", "", "use the container's image"},
                {"RootImage", "", "use the container's image"},
                {"NetworkNamespacePath", "", "use hostNetwork"},
                {"RuntimeDirectory", "", "it creates or takes over a folder of the machine"},
                {"StateDirectory", "",
                                "it creates or takes over a folder of the machine; use a volume"},
                {"CacheDirectory", "",
                                "it creates or takes over a folder of the machine; use a volume"},
                {"LogsDirectory", "",
                                "it creates or takes over a folder of the machine; use a volume"},
                {"KillMode", "mixed control-group", "processes would outlive their pod"},
                {"SendSIGKILL", "yes true on 1", "processes would outlive their pod"},
};

static bool path_is_within(const char *path, const char *folder) {
        size_t n = strlen(folder);

        if (streq(folder, "/"))
                return *path == '/';
        return strncmp(path, folder, n) == 0 && (path[n] == '/' || !path[n]);
}

const char *pod_hidden_path(size_t i) {
        return i < ELEMENTS(hidden_paths) ? hidden_paths[i] : NULL;
}

bool pod_path_is_hidden(const char *path) {
        for (size_t i = 0; i < ELEMENTS(hidden_paths); i++)
                if (path_is_within(path, hidden_paths[i]))
                        return true;
        return false;
}

bool pod_path_holds_hidden(const char *path) {
        for (size_t i = 0; i < ELEMENTS(hidden_paths); i++)
                if (path_is_within(hidden_paths[i], path))
                        return true;
        return false;
}

bool pod_volume_is_of_machine(const json_t *volume) {
        const char *type = json_str_or(volume, "type", "");

        return streq(type, "host") || streq(type, "local");
}

static int may_be_set(const char *key, const char *property, const char *value, struct problem *p) {
        for (size_t i = 0; i < ELEMENTS(kept_properties); i++) {
                const struct kept_property *k = &kept_properties[i];
                _cleanup_strv_free_ char **values = NULL;
                int r;

                if (!streq(k->property, property))
                        continue;
                r = strv_split(k->values, " ", &values);
                if (r < 0)
                        return r;
                if (values && strv_contains(values, value))
                        return 0;
                return problem_set(p, EINVAL, 0, REASON,
                                "annotation %s: the unit property %s cannot be set to '%s': %s",
                                key, property, value, k->why);
        }
        return 0;
}

int pod_passthrough(
                const json_t *pod, const json_t *container, json_t *properties, struct problem *p) {
        _cleanup_free_ char *own =
                        strformat("%s.unit.keelson.dev/", json_str_or(container, "name", ""));
        const char *key;
        json_t *v;

        if (!own)
                return -ENOMEM;
        json_object_foreach ((json_t *)json_at(pod, "metadata.annotations"), key, v) {
                const char *name = startswith(key, "unit.keelson.dev/"),
                           *text = strempty(json_string_value(v));
                const struct prop_row *row;
                json_t *value;
                int r = 0;

                if (!name)
                        name = startswith(key, own);
                if (!name || adoption_is_word(name))
                        continue;
                row = prop_find(name);
                if (!container_is_privileged(container))
                        r = may_be_set(key, row ? row->name : name, text, p);
                if (r < 0)
                        return r;
                if (!row)
                        return problem_set(p, EINVAL, 0, REASON,
                                        "annotation %s: the unit property %s is not known; "
                                        "docs/pod-to-units.md lists them",
                                        key, name);
                r = prop_from_text(row, text, &value, p);
                if (r < 0)
                        return r;
                if (json_object_set_new(properties, row->name, value) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int hide(json_t *properties, const char *prefix, const char *at, const char *path) {
        json_t *list = json_object_get(properties, "InaccessiblePaths"), *v;
        _cleanup_free_ char *text = strformat("%s%s%s", prefix, at, path);
        size_t i;

        if (!text)
                return -ENOMEM;
        if (!list) {
                list = json_array();
                if (json_object_set_new(properties, "InaccessiblePaths", list) < 0)
                        return -ENOMEM;
        }
        json_array_foreach (list, i, v)
                if (streq_ptr(json_string_value(v), text))
                        return 0;
        return json_array_append_new(list, json_string(text));
}

/* Hides the hidden paths that a folder of the machine shows where it is mounted. */
static int hide_in_mount(json_t *properties, bool image, const char *source, const char *target) {
        size_t n = streq(source, "/") ? 0 : strlen(source);
        int r = 0;

        for (size_t i = 0; i < ELEMENTS(hidden_paths) && r >= 0; i++)
                if (path_is_within(hidden_paths[i], source) && !streq(hidden_paths[i], source))
                        r = hide(properties, image ? "-+" : "-", streq(target, "/") ? "" : target,
                                        hidden_paths[i] + n);
        return r;
}

/* Only sd_notify needs a socket of systemd, for the containers that use it. */
static int notify_socket(json_t *properties) {
        json_t *list = json_object_get(properties, "BindReadOnlyPaths");

        if (!streq(json_str_or(properties, "Type", ""), "notify") &&
                        !json_object_get(properties, "WatchdogUSec") &&
                        streq(json_str_or(properties, "NotifyAccess", "none"), "none"))
                return 0;
        if (!list) {
                list = json_array();
                if (json_object_set_new(properties, "BindReadOnlyPaths", list) < 0)
                        return -ENOMEM;
        }
        return json_array_append_new(
                        list, json_pack("[s, s]", "/run/systemd/notify", "/run/systemd/notify"));
}

static const json_t *mounted_at(const json_t *properties, const char *target) {
        static const char *const keys[] = {"BindPaths", "BindReadOnlyPaths", "TemporaryFileSystem"};
        const json_t *m;
        size_t i;

        for (size_t k = 0; k < ELEMENTS(keys); k++)
                json_array_foreach (json_object_get(properties, keys[k]), i, m)
                        if (streq_ptr(json_string_value(json_array_get(m,
                                                      streq(keys[k], "TemporaryFileSystem") ? 0
                                                                                            : 1)),
                                            target))
                                return m;
        return NULL;
}

/* 1 when /etc is the view of it that has no hidden files, or a copy of that (stage.c). It is
 * read-only already: a bind that is not costs systemd less. */
static int show_etc(const struct pod_facts *facts, json_t *properties) {
        const json_t *there = mounted_at(properties, "/etc");
        json_t *list = json_object_get(properties, "BindPaths");

        if (!facts->etc_dir)
                return 0;
        if (there)
                return streq_ptr(json_string_value(json_array_get(there, 2)), POD_BIND_MASKED);
        if (!list) {
                list = json_array();
                if (json_object_set_new(properties, "BindPaths", list) < 0)
                        return -ENOMEM;
        }
        return json_array_append_new(list, json_pack("[s, s]", facts->etc_dir, "/etc")) < 0
                               ? -ENOMEM
                               : 1;
}

int pod_protect(const json_t *container, const json_t *volumes, const struct pod_facts *facts,
                json_t *properties) {
        bool image = json_object_get(properties, "RootDirectory") ||
                     json_object_get(properties, "RootImage");
        int etc = 0;
        const json_t *m;
        size_t i;
        int r;

        if (container_is_privileged(container))
                return 0;
        if (!image) {
                etc = show_etc(facts, properties);
                if (etc < 0)
                        return etc;
        }
        for (i = 0; i < ELEMENTS(hidden_paths); i++) {
                if (etc > 0 && startswith(hidden_paths[i], "/etc/"))
                        continue;
                r = hide(properties, "-", "", hidden_paths[i]);
                if (r < 0)
                        return r;
        }
        json_array_foreach (json_at(container, "volumeMounts"), i, m) {
                const json_t *volume = json_named(volumes, json_str_or(m, "name", ""));
                _cleanup_free_ char *target = pod_path_tidy(json_str_or(m, "mountPath", ""));

                if (!target)
                        return -ENOMEM;
                if (!pod_volume_is_of_machine(volume) || *json_str_or(m, "subPath", "") ||
                                *json_str_or(m, "subPathExpr", ""))
                        continue;
                r = hide_in_mount(properties, image, json_str_or(volume, "path", ""), target);
                if (r < 0)
                        return r;
        }
        return image ? 0 : notify_socket(properties);
}
