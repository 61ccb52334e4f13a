/* The controls of the level baseline: Kubernetes' own, then keelson's two. Allowed values are
 * listed, never forbidden ones, wherever the standard does so: what is not known is refused. */
#include "kapid/admission/pod-security-internal.h"

enum {
        SYSTEM_ID_END = 1000,     /* users of the distribution */
        DYNAMIC_ID_FIRST = 61184, /* systemd's DynamicUser=: other pods */
        DYNAMIC_ID_LAST = 65519,
};

int check_apparmor(struct look *l) {
        static const char *const types[] = {"RuntimeDefault", "Localhost", "", NULL};
        _cleanup_strv_free_ char **names = NULL, **values = NULL, **annotations = NULL;
        _cleanup_free_ char *who = NULL, *what = NULL, *all = NULL;
        const char *key;
        json_t *v;
        bool pod;

        look_find_bad(l, &(struct setting){"appArmorProfile.type", types}, &pod, &names, &values);
        json_object_foreach ((json_t *)json_object_get(l->metadata, "annotations"), key, v) {
                const char *text = strempty(json_string_value(v));
                _cleanup_free_ char *item = NULL;

                if (!startswith(key, APPARMOR_PREFIX) || isempty(text) ||
                                streq(text, "runtime/default") || startswith(text, "localhost/"))
                        continue;
                item = strformat("%s=%s", key, text);
                look_add(l, &annotations, strempty(item));
                if (!item)
                        l->out_of_memory = true;
        }
        if (!pod && !names && !annotations)
                return 0;
        look_sort(annotations);
        who = pod || names ? look_setters(l, pod, names) : strdup("");
        for (char **a = annotations; a && *a; a++)
                look_add(l, &values, *a);
        what = look_quoted(l, values);
        all = strformat("%s%s%s", strempty(who), annotations && (pod || names) ? " and " : "",
                        !annotations                    ? ""
                        : strv_length(annotations) == 1 ? "annotation"
                                                        : "annotations");
        return look_say(l,
                        strv_length(values) == 1 ? "forbidden AppArmor profile"
                                                 : "forbidden AppArmor profiles",
                        "%s must not set AppArmor profile type to %s", strempty(all),
                        strempty(what));
}

static const char *const baseline_capabilities[] = {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE",
                "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
                "SETPCAP", "SETUID", "SYS_CHROOT", NULL};

int check_capabilities(struct look *l) {
        _cleanup_strv_free_ char **names = NULL, **added = NULL;
        _cleanup_free_ char *who = NULL, *what = NULL;

        look_find_added(l, baseline_capabilities, &names, &added);
        if (!names)
                return 0;
        who = look_containers(l, names);
        what = look_quoted(l, added);
        return look_say(l, "non-default capabilities",
                        "%s must not include %s in securityContext.capabilities.add", strempty(who),
                        strempty(what));
}

int check_host_namespaces(struct look *l) {
        static const char *const fields[] = {"hostNetwork", "hostPID", "hostIPC"};
        _cleanup_strv_free_ char **set = NULL;
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; i < ELEMENTS(fields); i++)
                if (json_bool_or(l->spec, fields[i], false)) {
                        _cleanup_free_ char *item = strformat("%s=true", fields[i]);

                        look_add(l, &set, strempty(item));
                }
        if (!set)
                return 0;
        text = strv_join(set, ", ");
        return look_say(l, "host namespaces", "%s", strempty(text));
}

int check_host_path(struct look *l) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *text = NULL;
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(l->spec, "volumes"), i, v)
                if (json_object_get(v, "hostPath"))
                        look_add(l, &names, json_str_or(v, "name", ""));
        if (!names)
                return 0;
        text = look_counted(l, "volume", "volumes", names);
        return look_say(l, "hostPath volumes", "%s", strempty(text));
}

int check_host_ports(struct look *l) {
        _cleanup_strv_free_ char **names = NULL, **ports = NULL;
        _cleanup_free_ char *who = NULL, *what = NULL;
        const json_t *c, *port;
        size_t i, k;

        json_array_foreach (l->containers, i, c)
                json_array_foreach (json_object_get(c, "ports"), k, port) {
                        int64_t n = json_int_or(port, "hostPort", 0);
                        _cleanup_free_ char *text = NULL;

                        if (n == 0)
                                continue;
                        text = strformat("%lld", (long long)n);
                        look_add(l, &names, look_name_of(c));
                        look_add(l, &ports, strempty(text));
                }
        if (!names)
                return 0;
        look_sort(ports);
        who = look_containers(l, names);
        what = strv_join(ports, ", ");
        return look_say(l, "hostPort", "%s %s %s %s", strempty(who),
                        strv_length(names) == 1 ? "uses" : "use",
                        strv_length(ports) == 1 ? "hostPort" : "hostPorts", strempty(what));
}

/* Probes and hooks that connect to something other than the pod (a way around network rules). */
int check_probe_hosts(struct look *l) {
        static const char *const handlers[] = {"livenessProbe", "readinessProbe", "startupProbe",
                        "lifecycle.postStart", "lifecycle.preStop"};
        static const char *const kinds[] = {"httpGet.host", "tcpSocket.host"};
        _cleanup_strv_free_ char **names = NULL, **hosts = NULL;
        _cleanup_free_ char *who = NULL, *what = NULL;
        const json_t *c;
        size_t i;

        json_array_foreach (l->containers, i, c)
                for (size_t h = 0; h < ELEMENTS(handlers); h++)
                        for (size_t k = 0; k < ELEMENTS(kinds); k++) {
                                const char *host =
                                                json_str_or(json_at(c, handlers[h]), kinds[k], "");

                                if (isempty(host))
                                        continue;
                                look_add(l, &names, look_name_of(c));
                                look_add(l, &hosts, host);
                        }
        if (!names)
                return 0;
        look_sort(names);
        look_sort(hosts);
        who = look_containers(l, names);
        what = look_quoted(l, hosts);
        return look_say(l, "probe or lifecycle host", "%s %s %s %s", strempty(who),
                        strv_length(names) == 1 ? "uses" : "use",
                        strv_length(hosts) == 1 ? "probe or lifecycle host"
                                                : "probe or lifecycle hosts",
                        strempty(what));
}

int look_flag(struct look *l, const char *path, bool usual, const char *control,
                const char *complaint) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *who = NULL;
        const json_t *c;
        size_t i;

        json_array_foreach (l->containers, i, c)
                if (json_bool_or(c, path, usual))
                        look_add(l, &names, look_name_of(c));
        if (!names)
                return 0;
        who = look_containers(l, names);
        return look_say(l, control, "%s %s", strempty(who), complaint);
}

int check_privileged(struct look *l) {
        return look_flag(l, "securityContext.privileged", false, "privileged",
                        "must not set securityContext.privileged=true");
}

int check_proc_mount(struct look *l) {
        static const char *const allowed[] = {"Default", "", NULL};
        _cleanup_strv_free_ char **names = NULL, **values = NULL;
        _cleanup_free_ char *who = NULL, *what = NULL;
        bool pod;

        look_find_bad(l, &(struct setting){"procMount", allowed}, &pod, &names, &values);
        if (!names)
                return 0;
        who = look_containers(l, names);
        what = look_quoted(l, values);
        return look_say(l, "procMount", "%s must not set securityContext.procMount to %s",
                        strempty(who), strempty(what));
}

int check_selinux(struct look *l) {
        static const char *const old_types[] = {
                        "container_t", "container_init_t", "container_kvm_t", "", NULL};
        static const char *const types[] = {"container_t", "container_init_t", "container_kvm_t",
                        "container_engine_t", "", NULL};
        static const char *const unset[] = {"", NULL};
        static const char *const paths[] = {
                        "seLinuxOptions.type", "seLinuxOptions.user", "seLinuxOptions.role"};
        _cleanup_strv_free_ char **names = NULL, **said = NULL;
        _cleanup_free_ char *who = NULL, *text = NULL;
        bool any_pod = false;

        for (size_t i = 0; i < ELEMENTS(paths); i++) {
                _cleanup_strv_free_ char **values = NULL;
                _cleanup_free_ char *item = NULL;
                const struct setting s = {paths[i], i > 0            ? unset
                                                    : l->minor >= 31 ? types
                                                                     : old_types};
                bool pod;

                look_find_bad(l, &s, &pod, &names, &values);
                any_pod |= pod;
                if (!values)
                        continue;
                item = i == 0 ? look_counted(l, "type", "types", values)
                              : strdup(i == 1 ? "user may not be set" : "role may not be set");
                look_add(l, &said, strempty(item));
        }
        if (!said)
                return 0;
        who = look_setters(l, any_pod, names);
        text = strv_join(said, "; ");
        return look_say(l, "seLinuxOptions", "%s set forbidden securityContext.seLinuxOptions: %s",
                        strempty(who), strempty(text));
}

int check_seccomp(struct look *l) {
        static const char *const allowed[] = {"RuntimeDefault", "Localhost", "", NULL};
        _cleanup_strv_free_ char **names = NULL, **values = NULL;
        _cleanup_free_ char *who = NULL, *what = NULL;
        bool pod;

        look_find_bad(l, &(struct setting){"seccompProfile.type", allowed}, &pod, &names, &values);
        if (!pod && !names)
                return 0;
        who = look_setters(l, pod, names);
        what = look_quoted(l, values);
        return look_say(l, "seccompProfile",
                        "%s must not set securityContext.seccompProfile.type to %s", strempty(who),
                        strempty(what));
}

int check_sysctls(struct look *l) {
        static const struct {
                const char *name;
                unsigned since;
        } allowed[] = {
                        {"kernel.shm_rmid_forced", 0},
                        {"net.ipv4.ip_local_port_range", 0},
                        {"net.ipv4.tcp_syncookies", 0},
                        {"net.ipv4.ping_group_range", 0},
                        {"net.ipv4.ip_unprivileged_port_start", 0},
                        {"net.ipv4.ip_local_reserved_ports", 27},
                        {"net.ipv4.tcp_keepalive_time", 29},
                        {"net.ipv4.tcp_fin_timeout", 29},
                        {"net.ipv4.tcp_keepalive_intvl", 29},
                        {"net.ipv4.tcp_keepalive_probes", 29},
                        {"net.ipv4.tcp_rmem", 32},
                        {"net.ipv4.tcp_wmem", 32},
        };
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *text = NULL;
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(l->spec, "securityContext.sysctls"), i, v) {
                const char *name = json_str_or(v, "name", "");
                bool good = false;

                for (size_t k = 0; k < ELEMENTS(allowed); k++)
                        good |= streq(allowed[k].name, name) && l->minor >= allowed[k].since;
                if (!good)
                        look_add(l, &names, name);
        }
        if (!names)
                return 0;
        text = strv_join(names, ", ");
        return look_say(l, "forbidden sysctls", "%s", strempty(text));
}

int check_host_process(struct look *l) {
        static const char path[] = "securityContext.windowsOptions.hostProcess";
        bool pod = json_bool_or(l->spec, path, false);
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *who = NULL;
        const json_t *c;
        size_t i;

        json_array_foreach (l->containers, i, c)
                if (json_bool_or(c, path, false))
                        look_add(l, &names, look_name_of(c));
        if (!pod && !names)
                return 0;
        who = look_setters(l, pod, names);
        return look_say(l, "hostProcess", "%s must not set %s=true", strempty(who), path);
}

/* --- keelson's own, on baseline --- */

/* No file system of its own from an image: absent, `host`, or a path of the machine. */
static bool is_machine_root(const json_t *container) {
        const char *image = json_str_or(container, "image", "");

        return isempty(image) || streq(image, "host") || *image == '/';
}

static bool is_reserved_id(const json_t *v) {
        int64_t id = json_integer_value(v);

        return json_is_integer(v) &&
               (id < SYSTEM_ID_END || (id >= DYNAMIC_ID_FIRST && id <= DYNAMIC_ID_LAST));
}

static void look_at_id(struct look *l, const json_t *context, const char *field, char ***fields) {
        const json_t *v = json_object_get(context, field);
        _cleanup_free_ char *text = NULL;

        if (!is_reserved_id(v))
                return;
        text = strformat("%s=%lld", field, (long long)json_integer_value(v));
        look_add(l, fields, strempty(text));
}

/* A root that is a path of the machine names no user: what runs there without one is user 0. */
static bool starts_as_root(const json_t *c, const json_t *own, const json_t *pod) {
        const json_t *non_root = json_object_get(own, "runAsNonRoot");

        if (*json_str_or(c, "image", "") != '/' ||
                        json_is_integer(json_object_get(own, "runAsUser")) ||
                        json_is_integer(json_object_get(pod, "runAsUser")))
                return false;
        return !json_is_true(json_is_boolean(non_root) ? non_root
                                                       : json_object_get(pod, "runAsNonRoot"));
}

/* Users of the machine itself, root first. A container's field wins over the pod's, and a pod's
 * counts for every container without one. */
int check_machine_users(struct look *l) {
        static const char *const fields[] = {"runAsUser", "runAsGroup"};
        const json_t *pod = json_object_get(l->spec, "securityContext"), *c, *v;
        _cleanup_strv_free_ char **names = NULL, **set = NULL;
        _cleanup_free_ char *who = NULL, *what = NULL;
        size_t i, k;

        json_array_foreach (l->containers, i, c) {
                const json_t *own = json_object_get(c, "securityContext");
                size_t before = strv_length(set);
                bool bad = starts_as_root(c, own, pod);

                if (bad)
                        look_add(l, &set, "image=/... without runAsUser or runAsNonRoot=true");

                if (!is_machine_root(c))
                        continue;
                for (k = 0; k < ELEMENTS(fields); k++) {
                        const json_t *from = json_is_integer(json_object_get(own, fields[k])) ? own
                                                                                              : pod;

                        bad |= is_reserved_id(json_object_get(from, fields[k]));
                        look_at_id(l, from, fields[k], &set);
                }
                bad |= is_reserved_id(json_object_get(pod, "fsGroup"));
                look_at_id(l, pod, "fsGroup", &set);
                json_array_foreach (json_object_get(pod, "supplementalGroups"), k, v)
                        if (is_reserved_id(v)) {
                                _cleanup_free_ char *text = strformat("supplementalGroups=%lld",
                                                (long long)json_integer_value(v));

                                look_add(l, &set, strempty(text));
                                bad = true;
                        }
                if (bad || strv_length(set) > before)
                        look_add(l, &names, look_name_of(c));
        }
        if (!names)
                return 0;
        who = look_containers(l, names);
        what = strv_join(set, ", ");
        return look_say(l, "users of the machine",
                        "%s without an image of its own must not set %s: ids below %d and from %d "
                        "to %d belong to the machine",
                        strempty(who), strempty(what), SYSTEM_ID_END, DYNAMIC_ID_FIRST,
                        DYNAMIC_ID_LAST);
}

/* On every level but privileged; which level a property needs is lib/unit-properties.c's. */
static int check_properties(struct look *l, enum security_level level) {
        _cleanup_strv_free_ char **said = NULL;
        _cleanup_free_ char *text = NULL;
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)json_object_get(l->metadata, "annotations"), key, v) {
                const char *name = unit_property_of_annotation(key);
                const struct unit_property *row = name ? unit_property_find(name) : NULL;
                const char *value = strempty(json_string_value(v));
                enum security_level allowed;
                _cleanup_free_ char *item = NULL;

                if (!name)
                        continue;
                allowed = row ? unit_property_level(row, value) : LEVEL_PRIVILEGED;
                if (allowed >= level)
                        continue;
                item = row && row->values && allowed < row->level
                                       ? strformat("annotation \"%s\" may only be set to %s", key,
                                                         row->values)
                                       : strformat("annotation \"%s\" needs the level %s", key,
                                                         pod_security_level_name(allowed));
                look_add(l, &said, strempty(item));
                if (!item)
                        l->out_of_memory = true;
        }
        if (!said)
                return 0;
        look_sort(said);
        text = strv_join(said, "; ");
        return look_say(l, "unit properties", "%s", strempty(text));
}

int check_properties_baseline(struct look *l) {
        return check_properties(l, LEVEL_BASELINE);
}

int check_properties_restricted(struct look *l) {
        return check_properties(l, LEVEL_RESTRICTED);
}
