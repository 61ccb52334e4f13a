/* For each mount that is to be read-only or hidden, and for each one that a tmpfs covers, systemd
 * 252 reads the table of all mounts again, which was most of the processor time of a start. A
 * program that is not root and has no capability does not need all of these: what belongs to root
 * and is writable for root alone is so without a mount of its own, too. So, on the machine's own
 * root:
 *
 * - /proc is one that the agent has mounted and masked once for all (proc-view.h). Where there is
 *   none, ProtectProc stays, and /proc/sys is read-only; the rest of what ProtectKernelTunables and
 *   ProtectKernelLogs cover in /proc has no file that another user than root may write to.
 * - /sys is read-only as a whole. The files of kernel modules are no secret.
 * - The system calls that these properties also refuse are not in an allowing filter, or need a
 *   capability.
 * - The container's own /run and /var are folders of the agent instead of a tmpfs each: nothing but
 *   mounts is made in them, because root alone may write to them.
 * - What the agent itself mounts into a container is root's, and its mode says the same as a
 *   read-only mount.
 * - What cannot be there is not hidden.
 *
 * Volumes are left as they are, and so is everything when root or a capability is involved. */
#include "nodeagent/plan/plan.h"

#define OWN_OPTIONS "mode=0755"

static const char *const own_folders[] = {"/run", "/var"};

static bool is_on(const json_t *properties, const char *name) {
        return json_bool_or(properties, name, false);
}

static bool is_plain_user(const json_t *properties) {
        const json_t *bounding = json_object_get(properties, "CapabilityBoundingSet");
        const char *user = json_str_or(properties, "User", "0");

        /* Or it could become root by a program of the machine. */
        return is_on(properties, "NoNewPrivileges") && json_is_array(bounding) &&
               json_array_size(bounding) == 0 &&
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

static void drop_empty(json_t *properties, const char *key) {
        if (json_array_size(json_object_get(properties, key)) == 0)
                json_object_del(properties, key);
}

static const char *word(const json_t *list, size_t i) {
        return strempty(json_string_value(json_array_get(list, i)));
}

static int add_bind(json_t *properties, const char *source, const char *target) {
        return json_array_append_new(list_of(properties, "BindPaths"),
                               json_pack("[s, s]", source, target)) < 0
                               ? -ENOMEM
                               : 0;
}

/* The first mount at this path, or below it (`below`) but for the folder's own. */
static const json_t *mounted(const json_t *properties, const char *path, bool below) {
        static const char *const keys[] = {"BindPaths", "BindReadOnlyPaths"};
        const json_t *m;
        size_t i;

        for (size_t k = 0; k < ELEMENTS(keys); k++)
                json_array_foreach (json_object_get(properties, keys[k]), i, m) {
                        const char *rest = startswith(word(m, 1), path);

                        if (rest && (!*rest || (below && *rest == '/')))
                                return m;
                }
        return NULL;
}

/* ---- the kernel's files ---- */

static int read_only(json_t *properties, const char *path) {
        return json_array_append_new(list_of(properties, "ReadOnlyPaths"), json_string(path)) < 0
                               ? -ENOMEM
                               : 0;
}

static int show_proc(json_t *properties, const struct pod_facts *f) {
        if (!f->proc_dir || !streq(json_str_or(properties, "ProtectProc", ""), "ptraceable") ||
                        json_object_get(properties, "ProcSubset") ||
                        mounted(properties, "/proc", /* below= */ true))
                return read_only(properties, "/proc/sys");
        json_object_del(properties, "ProtectProc");
        return add_bind(properties, f->proc_dir, "/proc");
}

static int kernel(json_t *properties, const struct pod_facts *f) {
        int r;

        json_object_del(properties, "ProtectKernelModules");
        if (is_on(properties, "PrivateDevices") && filter_refuses_log(properties))
                json_object_del(properties, "ProtectKernelLogs");
        if (!is_on(properties, "ProtectKernelTunables") ||
                        !is_on(properties, "ProtectControlGroups"))
                return 0;
        json_object_del(properties, "ProtectKernelTunables");
        json_object_del(properties, "ProtectControlGroups");
        r = show_proc(properties, f);
        return r < 0 ? r : read_only(properties, "/sys");
}

/* ---- the agent's own ---- */

/* What the agent makes for each pod, writable for root alone. */
static bool is_of_root(const json_t *bind, const struct pod_facts *f) {
        const char *source = word(bind, 0), *rest;

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

/* The targets of a link /etc/resolv.conf, where the container has its own file. */
static bool is_unused_resolver(const json_t *properties, const json_t *bind) {
        return json_array_size(bind) == 3 && streq(word(bind, 0), word(bind, 1)) &&
               startswith(word(bind, 0), "/run/") &&
               mounted(properties, "/etc/resolv.conf", /* below= */ false);
}

static int binds(json_t *properties, const struct pod_facts *f) {
        json_t *list = json_object_get(properties, "BindReadOnlyPaths");

        for (size_t i = 0; i < json_array_size(list);) {
                json_t *bind = json_array_get(list, i);
                bool own = is_of_root(bind, f);

                if (!own && !is_unused_resolver(properties, bind)) {
                        i++;
                        continue;
                }
                if ((own && json_array_append(list_of(properties, "BindPaths"), bind) < 0) ||
                                json_array_remove(list, i) < 0)
                        return -ENOMEM;
        }
        drop_empty(properties, "BindReadOnlyPaths");
        return 0;
}

static bool is_own_folder(const json_t *tmpfs) {
        for (size_t i = 0; i < ELEMENTS(own_folders); i++)
                if (streq(word(tmpfs, 0), own_folders[i]))
                        return streq(word(tmpfs, 1), OWN_OPTIONS);
        return false;
}

static int folders(json_t *unit, json_t *properties, const struct pod_facts *f) {
        json_t *list = json_object_get(properties, "TemporaryFileSystem"),
               *start = json_object_get(unit, "start");

        for (size_t i = 0; i < json_array_size(list);) {
                const char *path = word(json_array_get(list, i), 0);
                _cleanup_free_ char *own = NULL;

                if (!is_own_folder(json_array_get(list, i))) {
                        i++;
                        continue;
                }
                own = strformat("%s/own/%s%s", strempty(f->run_dir),
                                json_str_or(unit, "container", ""), path);
                if (!own || add_bind(properties, own, path) < 0 ||
                                json_array_append_new(list_of(start, "folders"), json_string(own)) <
                                                0 ||
                                json_array_remove(list, i) < 0)
                        return -ENOMEM;
        }
        drop_empty(properties, "TemporaryFileSystem");
        return 0;
}

/* ---- what is not there ---- */

static bool is_in_own_folder(const json_t *properties, const char *path) {
        _cleanup_free_ char *above = strdup(path);
        const char *own = startswith(path, "/root/") ? "/root" : NULL;
        char *slash;

        for (size_t i = 0; i < ELEMENTS(own_folders); i++) {
                const json_t *m = mounted(properties, own_folders[i], /* below= */ false);
                const char *rest = startswith(path, own_folders[i]);

                if (rest && *rest == '/' && m && strstr(word(m, 0), "/own/"))
                        own = own_folders[i];
        }
        if (!own || (streq(own, "/root") &&
                                    (!streq(json_str_or(properties, "ProtectHome", ""), "tmpfs") ||
                                                    mounted(properties, own, false))))
                return false;
        /* Nothing is mounted between the folder and the path, nor at it. */
        for (; above && strlen(above) > strlen(own); *slash = 0) {
                if (mounted(properties, above, /* below= */ false))
                        return false;
                slash = strrchr(above, '/');
        }
        return above != NULL;
}

static int hidden(json_t *properties) {
        json_t *list = json_object_get(properties, "InaccessiblePaths");

        for (size_t i = 0; i < json_array_size(list);) {
                const char *path = startswith(word(list, i), "-");

                if (!path || !is_in_own_folder(properties, path))
                        i++;
                else if (json_array_remove(list, i) < 0)
                        return -ENOMEM;
        }
        drop_empty(properties, "InaccessiblePaths");
        return 0;
}

int pod_lighten(const struct pod_facts *facts, json_t *unit) {
        json_t *properties = json_object_get(unit, "properties");
        int r;

        if (json_bool_or(unit, "privileged", false) || json_object_get(unit, "hold") ||
                        json_at(unit, "start.pids") || !json_object_get(unit, "start") ||
                        json_object_get(properties, "RootDirectory") ||
                        json_object_get(properties, "RootImage") || !is_plain_user(properties))
                return 0;
        r = kernel(properties, facts);
        if (r < 0)
                return r;
        r = binds(properties, facts);
        if (r < 0)
                return r;
        r = folders(unit, properties, facts);
        return r < 0 ? r : hidden(properties);
}
