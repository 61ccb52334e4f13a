/* securityContext -> the sandbox properties of a unit (docs/pod-security.md). A container that is
 * not privileged starts from the rows below, and its fields lift single rows. On the machine's own
 * root it is a dynamic user without capabilities; with an image it has what container users expect.
 * A capability also lifts the restrictions that would make it useless. */
#include "nodeagent/plan/plan.h"

#include "lib/object.h"
#include "nodeagent/plan/dynamic-user.h"
#include "nodeagent/plan/image.h"
#include "nodeagent/plan/unit-props.h"

#define REASON "CreateContainerConfigError"

enum { ON_HOST = 1 << 0, IN_IMAGE = 1 << 1, EVERYWHERE = ON_HOST | IN_IMAGE };
/* The agent may have to add an entry to the group database for each. */
enum { GROUPS_MAX = 64 };

/* Applies unless one of the words of `lifted` is given: an added capability, or hostIPC, hostPID,
 * unmasked (procMount: Unmasked), unconfined (seccompProfile: Unconfined). */
static const struct sandbox_row {
        const char *property, *json;
        unsigned where;
        const char *lifted;
} sandbox[] = {
                {"ProtectSystem", "\"strict\"", ON_HOST, ""},
                {"ProtectHome", "\"tmpfs\"", ON_HOST, ""},
                {"PrivateTmp", "true", ON_HOST, ""},
                {"RestrictSUIDSGID", "true", ON_HOST, ""},
                {"NoNewPrivileges", "true", ON_HOST, ""},
                {"RemoveIPC", "true", ON_HOST, "hostIPC"},
                {"PrivateDevices", "true", EVERYWHERE, "MKNOD SYS_RAWIO"},
                {"DevicePolicy", "\"closed\"", EVERYWHERE, ""},
                {"PrivateIPC", "true", EVERYWHERE, "hostIPC"},
                /* "invisible" shows everything to members of the group 0. */
                {"ProtectProc", "\"ptraceable\"", EVERYWHERE, "hostPID SYS_PTRACE unmasked"},
                {"ProtectClock", "true", EVERYWHERE, "SYS_TIME"},
                {"ProtectHostname", "true", EVERYWHERE, "SYS_ADMIN"},
                {"ProtectKernelTunables", "true", EVERYWHERE, "SYS_ADMIN unmasked"},
                {"ProtectKernelModules", "true", EVERYWHERE, "SYS_MODULE"},
                {"ProtectKernelLogs", "true", EVERYWHERE, "SYSLOG"},
                {"ProtectControlGroups", "true", EVERYWHERE, ""},
                {"RestrictNamespaces", "[]", EVERYWHERE, "SYS_ADMIN unconfined"},
                {"RestrictRealtime", "true", EVERYWHERE, "SYS_NICE unconfined"},
                {"LockPersonality", "true", EVERYWHERE, "unconfined"},
                {"SystemCallArchitectures", "[\"native\"]", EVERYWHERE, "unconfined"},
                {"KeyringMode", "\"private\"", EVERYWHERE, ""},
                {"RestrictAddressFamilies",
                                "{\"allow\": true, \"names\": [\"AF_UNIX\", \"AF_INET\", "
                                "\"AF_INET6\", \"AF_NETLINK\"]}",
                                ON_HOST, "NET_ADMIN NET_RAW unconfined"},
                {"RestrictAddressFamilies",
                                "{\"allow\": true, \"names\": [\"AF_UNIX\", \"AF_INET\", "
                                "\"AF_INET6\", \"AF_NETLINK\", \"AF_PACKET\"]}",
                                IN_IMAGE, "NET_ADMIN unconfined"},
};

/* Private folders of a container; its own volumes take precedence. */
static const struct own_folder {
        const char *path, *options;
        unsigned where;
        const char *lifted;
} own_folders[] = {
                {"/run", "mode=0755", ON_HOST, ""},
                {"/var", "mode=0755", ON_HOST, ""},
                {"/dev/shm", "mode=1777", EVERYWHERE, "hostIPC"},
};

/* Possible targets of the link /etc/resolv.conf, when the agent has no better file for it. */
static const char *const resolver_files[] = {"/run/systemd/resolve/resolv.conf",
                "/run/systemd/resolve/stub-resolv.conf", "/run/NetworkManager/resolv.conf",
                "/run/resolvconf/resolv.conf"};

/* The default set of container runtimes. */
static const char *const image_capabilities[] = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER",
                "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
                "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_MKNOD",
                "CAP_AUDIT_WRITE", "CAP_SETFCAP"};

/* These work inside the container's own user namespace, where they have no effect on anything
 * outside. */
static const char *const contained_capabilities[] = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID",
                "KILL", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "MKNOD",
                "AUDIT_WRITE", "SETFCAP"};

/* System calls beyond @system-service that a capability is for. */
static const struct {
        const char *capability, *calls;
} capability_calls[] = {
                {"CAP_SYS_CHROOT", "chroot"},
                {"CAP_SYS_PTRACE", "@debug"},
                {"CAP_SYS_ADMIN", "@mount setns unshare bpf perf_event_open"},
                {"CAP_SYS_MODULE", "@module"},
                {"CAP_SYS_TIME", "@clock"},
                {"CAP_SYS_BOOT", "@reboot"},
                {"CAP_SYS_RAWIO", "@raw-io"},
                {"CAP_SYS_PACCT", "acct"},
                {"CAP_SYS_TTY_CONFIG", "vhangup"},
                {"CAP_SYSLOG", "syslog"},
                {"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
                {"CAP_BPF", "bpf"},
                {"CAP_PERFMON", "perf_event_open"},
};

struct context {
        const json_t *pod, *container;
        const struct pod_facts *facts;
        json_t *properties;
        json_t *lifts; /* a set: the lifted words of the table */
        unsigned where;
        bool root;    /* user 0 */
        bool dynamic; /* DynamicUser */
        struct problem *p;
};

/* The container's own field wins over the pod's. */
const json_t *pod_security_setting(const json_t *pod, const json_t *container, const char *key) {
        const json_t *v = json_get(container, "securityContext", key, NULL);
        return v && !json_is_null(v) ? v : json_get(pod, "spec", "securityContext", key, NULL);
}

bool container_is_privileged(const json_t *container) {
        return json_bool_or(container, "securityContext.privileged", false);
}

static bool lifted(const struct context *c, const char *words) {
        _cleanup_strv_free_ char **list = NULL;

        if (strv_split(words, " ", &list) < 0)
                return false;
        for (char **w = list; w && *w; w++)
                if (json_object_get(c->lifts, *w))
                        return true;
        return false;
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

static int capabilities(struct context *c, uint64_t *ret_bounding) {
        const json_t *caps = json_at(c->container, "securityContext.capabilities");
        uint64_t bounding = 0, added = 0;
        int r;

        for (size_t i = 0; c->where == IN_IMAGE && i < ELEMENTS(image_capabilities); i++)
                bounding |= UINT64_C(1) << capability_number(image_capabilities[i]);
        r = capability_list(json_at(caps, "drop"), &bounding, /* add= */ false, c->p);
        if (r < 0)
                return r;
        r = capability_list(json_at(caps, "add"), &added, /* add= */ true, c->p);
        if (r < 0)
                return r;
        for (int i = 0; capability_name(i); i++)
                if (added & (UINT64_C(1) << i))
                        json_object_set_new(
                                        c->lifts, capability_name(i) + strlen("CAP_"), json_true());
        *ret_bounding = bounding | added;
        json_object_set_new(c->properties, "CapabilityBoundingSet", mask_to_names(*ret_bounding));
        if (!c->root && added != 0)
                json_object_set_new(c->properties, "AmbientCapabilities", mask_to_names(added));
        return 0;
}

static int seccomp(struct context *c, uint64_t bounding) {
        const json_t *profile = pod_security_setting(c->pod, c->container, "seccompProfile");
        const char *type = json_str_or(profile, "type", "RuntimeDefault");
        json_t *names;

        if (streq(type, "Unconfined")) {
                json_object_set_new(c->lifts, "unconfined", json_true());
                return 0;
        }
        if (!streq(type, "RuntimeDefault"))
                return problem_set(c->p, EINVAL, 0, REASON,
                                "seccompProfile type '%s' is not supported; use RuntimeDefault, "
                                "Unconfined or the annotation unit.keelson.dev/SystemCallFilter",
                                type);
        names = json_pack("[s]", "@system-service");
        for (size_t i = 0; i < ELEMENTS(capability_calls); i++) {
                int n = capability_number(capability_calls[i].capability);
                _cleanup_strv_free_ char **calls = NULL;

                if (!(bounding & (UINT64_C(1) << n)))
                        continue;
                if (strv_split(capability_calls[i].calls, " ", &calls) < 0)
                        return json_decref(names), -ENOMEM;
                for (char **w = calls; *w; w++)
                        json_array_append_new(names, json_string(*w));
        }
        json_object_set_new(c->properties, "SystemCallFilter",
                        json_pack("{s:b, s:o}", "allow", 1, "names", names));
        json_object_set_new(c->properties, "SystemCallErrorNumber", json_integer(EPERM));
        return 0;
}

/* One user for all containers of a pod and for the commands of their probes, the same at every
 * start: systemd derives its number from the name. With a claim the name follows from the claimed
 * folder, so that the next pod may write what this one has written. */
static int dynamic_user(struct context *c) {
        const char *claimed = c->facts->claimed;
        char name[DYNAMIC_USER_SIZE];

        if (claimed)
                dynamic_user_name(claimed, 0, name);
        else
                dynamic_user_name(object_uid(c->pod), c->facts->user_try, name);
        c->dynamic = true;
        json_object_set_new(c->properties, "DynamicUser", json_true());
        return json_object_set_new(c->properties, "User", json_string(name));
}

static int groups(struct context *c) {
        const json_t *v, *list = json_at(c->pod, "spec.securityContext.supplementalGroups"),
                         *own = json_at(image_of_container(c->facts, c->container), "user.groups");
        int64_t fs_group = json_int_or(c->pod, "spec.securityContext.fsGroup", -1);
        json_t *extra;
        size_t i;

        if (json_array_size(list) > GROUPS_MAX)
                return problem_set(c->p, EINVAL, 0, REASON,
                                "securityContext.supplementalGroups has %zu groups; at most %d are "
                                "possible: leave some out",
                                json_array_size(list), GROUPS_MAX);
        extra = json_array();
        json_array_foreach (own, i, v)
                json_array_append_new(
                                extra, json_sprintf("%lld", (long long)json_integer_value(v)));
        json_array_foreach (list, i, v)
                json_array_append_new(
                                extra, json_sprintf("%lld", (long long)json_integer_value(v)));
        if (fs_group >= 0)
                json_array_append_new(extra, json_sprintf("%lld", (long long)fs_group));
        if (json_array_size(extra) > 0)
                json_object_set_new(c->properties, "SupplementaryGroups", extra);
        else
                json_decref(extra);
        return 0;
}

/* User and Group, where the container names them, are set by pod_fields_apply() already. */
static int identity(struct context *c) {
        const json_t *user = pod_security_setting(c->pod, c->container, "runAsUser"),
                     *group = pod_security_setting(c->pod, c->container, "runAsGroup");
        bool non_root = json_is_true(pod_security_setting(c->pod, c->container, "runAsNonRoot"));
        bool privileged = container_is_privileged(c->container);
        int r;

        c->root = true;
        if (image_is_layered(image_of_container(c->facts, c->container))) {
                r = image_identity(image_of_container(c->facts, c->container), c->pod, c->container,
                                c->properties, c->p);
                if (r < 0)
                        return r;
                c->root = r > 0;
                return groups(c);
        }
        if (json_is_integer(user)) {
                c->root = json_integer_value(user) == 0;
                if (!group && json_object_set(c->properties, "Group",
                                              json_object_get(c->properties, "User")) < 0)
                        return -ENOMEM;
        } else if (non_root || (c->where == ON_HOST && !privileged)) {
                c->root = false;
                r = dynamic_user(c);
                if (r < 0)
                        return r;
        }
        r = groups(c);
        if (r < 0)
                return r;
        if (non_root && c->root)
                return problem_set(c->p, EINVAL, 0, REASON,
                                "container has runAsNonRoot and would run as root: set runAsUser "
                                "to another user or leave it out");
        return 0;
}

/* A user namespace hides the processes of the same user in other pods and on the machine from
 * ptrace and /proc/PID, and limits capabilities to the container's own resources. A dynamic user
 * without capabilities does not need it, and without it the commands of probes see the container's
 * processes. It maps root and the container's own user only, so it is not possible for root with
 * capabilities, or for a capability over something outside. */
static bool wants_user_namespace(const struct context *c) {
        const char *name;
        bool wanted = !c->dynamic;
        json_t *v;

        if (c->facts->no_user_namespaces || (c->where == IN_IMAGE && c->root))
                return false;
        json_object_foreach (c->lifts, name, v) {
                bool contained = !c->root;

                if (capability_number(name) < 0)
                        continue;
                if (streq(name, "NET_BIND_SERVICE") && !c->facts->netns_path)
                        return false;
                if (contained) {
                        contained = false;
                        for (size_t i = 0; i < ELEMENTS(contained_capabilities); i++)
                                contained |= streq(contained_capabilities[i], name);
                }
                if (!contained)
                        return false;
                wanted = true;
        }
        return wanted;
}

/* Whether something is mounted at this path, or below it. */
static bool is_mount_point(const struct context *c, const char *path, bool below) {
        static const char *const keys[] = {"BindPaths", "BindReadOnlyPaths"};
        const json_t *m;
        size_t i;

        for (size_t k = 0; k < ELEMENTS(keys); k++)
                json_array_foreach (json_object_get(c->properties, keys[k]), i, m) {
                        const char *target = strempty(json_string_value(json_array_get(m, 1))),
                                   *rest = startswith(target, path);
                        if (rest && (below ? *rest == '/' : !*rest))
                                return true;
                }
        return false;
}

static json_t *list_of(json_t *properties, const char *key) {
        json_t *list = json_object_get(properties, key);

        if (!list) {
                list = json_array();
                json_object_set_new(properties, key, list);
        }
        return list;
}

static bool path_is_below(const char *path, const char *folder) {
        const char *rest = startswith(path, folder);

        return rest && *rest == '/';
}

/* A volume may be mounted where the machine has no folder: the mount point is then created in a
 * copy of the system's folder that only this container sees (stage.c), not on the machine. */
static json_t *points_of(const struct context *c, const char *system) {
        bool masked = c->facts->etc_dir && streq(system, "/etc");

        /* Without the one that has no hidden files there is no start. */
        return json_pack("[o, s, s]",
                        json_sprintf("%s/points/%s%s", c->facts->run_dir,
                                        json_str_or(c->container, "name", ""), system),
                        system, masked ? POD_BIND_MASKED : "optional");
}

static void mount_points(struct context *c) {
        static const char *const system[] = {"/etc", "/usr"};
        /* Is mounted later. */
        _cleanup_free_ char *message = pod_mount_target(
                        c->properties, json_str_or(c->container, "terminationMessagePath", ""));

        for (size_t i = 0; i < ELEMENTS(system); i++)
                if ((is_mount_point(c, system[i], true) ||
                                    (message && path_is_below(message, system[i]))) &&
                                !is_mount_point(c, system[i], false))
                        json_array_append_new(list_of(c->properties, "BindReadOnlyPaths"),
                                        points_of(c, system[i]));
}

static void folders(struct context *c) {
        if (c->where == ON_HOST)
                mount_points(c);
        for (size_t i = 0; i < ELEMENTS(own_folders); i++) {
                const struct own_folder *f = &own_folders[i];

                if (!(f->where & c->where) || lifted(c, f->lifted) ||
                                is_mount_point(c, f->path, false))
                        continue;
                json_array_append_new(list_of(c->properties, "TemporaryFileSystem"),
                                json_pack("[s, s]", f->path, f->options));
        }
        if (c->where != ON_HOST || is_mount_point(c, "/run", false) || c->facts->resolv_conf)
                return;
        for (size_t i = 0; i < ELEMENTS(resolver_files); i++)
                json_array_append_new(list_of(c->properties, "BindReadOnlyPaths"),
                                json_pack("[s, s, s]", resolver_files[i], resolver_files[i],
                                                "optional"));
}

static int rows(struct context *c) {
        for (size_t i = 0; i < ELEMENTS(sandbox); i++) {
                json_t *v;

                if (!(sandbox[i].where & c->where) || lifted(c, sandbox[i].lifted))
                        continue;
                v = json_loads(sandbox[i].json, JSON_DECODE_ANY, NULL);
                if (!v || json_object_set_new(c->properties, sandbox[i].property, v) < 0)
                        return -ENOMEM;
        }
        if (wants_user_namespace(c))
                json_object_set_new(c->properties, "PrivateUsers", json_true());
        if (c->dynamic && c->where == ON_HOST)
                json_object_set_new(c->properties, "UMask", json_integer(0027));
        return 0;
}

static void note_lifts(struct context *c) {
        static const char *const fields[] = {"hostIPC", "hostPID"};

        for (size_t i = 0; i < ELEMENTS(fields); i++)
                if (json_is_true(json_get(c->pod, "spec", fields[i], NULL)))
                        json_object_set_new(c->lifts, fields[i], json_true());
        if (streq(json_str_or(c->container, "securityContext.procMount", ""), "Unmasked"))
                json_object_set_new(c->lifts, "unmasked", json_true());
}

int pod_security(const json_t *pod, const json_t *container, const struct pod_facts *facts,
                json_t *properties, struct problem *p) {
        _cleanup_json_ json_t *lifts = json_object();
        bool image = json_object_get(properties, "RootDirectory") ||
                     json_object_get(properties, "RootImage");
        struct context c = {.pod = pod,
                        .container = container,
                        .facts = facts,
                        .properties = properties,
                        .lifts = lifts,
                        .where = image ? IN_IMAGE : ON_HOST,
                        .p = p};
        uint64_t bounding = 0;
        int r;

        if (!lifts)
                return -ENOMEM;
        r = identity(&c);
        if (r < 0)
                return r;
        if (container_is_privileged(container))
                return 0;
        note_lifts(&c);
        r = capabilities(&c, &bounding);
        if (r < 0)
                return r;
        r = seccomp(&c, bounding);
        if (r < 0)
                return r;
        r = rows(&c);
        if (r < 0)
                return r;
        folders(&c);
        return 0;
}
