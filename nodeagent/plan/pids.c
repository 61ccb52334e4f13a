/* A unit is first planned as if systemd confined its program, by all of plan/. Then it becomes two.
 *
 * "hold" (kpodm-...) has the root and all that is mounted, and one process that waits in it. The
 * container's own unit is on the machine's root, and has the rest. It wants the other one and is
 * ordered after it, so systemd starts that again with each start of the container, and executes
 * kpod-exec there (Type=exec) before it executes it here. This one, with the capabilities and
 * system calls for it, enters the namespaces of the waiting process, ends that, makes a process
 * namespace, and drops what the program must not have. What stands in its way is moved from the
 * unit's properties to "pids".
 *
 * Why this is safe. Whoever can write to a container's root, or to a volume mounted in it at /run,
 * can exchange what is executed there: another container of the pod does so between systemd's
 * mounts and its execve(2). A launcher with privileges there was caught 15 times in 20 s. Now only
 * the waiting process is executed there. It has no capability, cannot gain one, and may make only
 * system calls about its own memory and its end: it cannot signal, trace or limit a process, open a
 * file or fork, whatever its user is. A program in its place can do no more than waste time, for a
 * minute. What has privileges is executed on the machine's own root, by the path of the machine.
 * From the container it takes the namespaces of exactly that process, which systemd has confined
 * completely (kpod-place.c), and then opens no path in it but /proc, without following links
 * (kpod-namespace.c). The program's own paths are used after everything has been given up.
 *
 * systemd's own PrivatePIDs (257) is not used: it is not yet the parent of such a process when it
 * learns of it, and then may miss how that ends. Of 390 units that exited with 7, 12 had ended with
 * success (257.13), and a SIGKILL was a success, too. Nor can another unit join the namespace. */
#include "nodeagent/plan/pids.h"

#include <errno.h>
#include <inttypes.h>

#include "lib/object.h"
#include "nodeagent/plan/unit-props.h"

#define HOLD_PREFIX "kpodm-"

enum {
        HOLD_TASKS_MAX = 8,
        HOLD_MEMORY_MAX = 64 * 1024 * 1024,
        HOLD_RUN_US = 60 * 1000000, /* the container's unit starts right after it */
        HOLD_START_US = 90 * 1000000,
        HOLD_STOP_US = 5 * 1000000,
        SHARE_RESTART_US = 100000,
};

/* For the namespaces, /proc, dropping all of this, for files that only root can read, and for
 * signals to a program that has changed its user. */
static const char *const own_capabilities[] = {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_CHROOT",
                "CAP_SETPCAP", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE", "CAP_KILL"};

/* System calls that kpod-exec makes for a namespace, and the names of systemd's groups by which a
 * filter may allow them to the program, too. */
static const struct own_call {
        const char *name;
        const char *groups[3];
} own_calls[] = {{"fsopen", {"@mount"}}, {"fsconfig", {"@mount"}}, {"fsmount", {"@mount"}},
                {"open_tree", {"@mount"}}, {"move_mount", {"@mount"}},
                {"mount_setattr", {"@mount"}}, {"setns", {"@process", "@system-service"}},
                {"unshare", {"@process", "@system-service"}}};

/* Properties of what is mounted: only the unit that holds it has them, or ("both") the other one,
 * too. */
static const struct held {
        const char *name;
        bool both;
} held[] = {{"RootDirectory", false}, {"RootImage", false}, {"MountAPIVFS", false},
                {"BindPaths", false}, {"BindReadOnlyPaths", false}, {"TemporaryFileSystem", false},
                {"ReadWritePaths", false}, {"ReadOnlyPaths", false}, {"InaccessiblePaths", false},
                {"NoExecPaths", false}, {"ExecPaths", false}, {"PrivateTmp", false},
                {"PrivateDevices", false}, {"PrivateMounts", false}, {"PrivateUsers", false},
                {"PrivateIPC", false}, {"ProtectSystem", false}, {"ProtectHome", false},
                {"ProtectKernelTunables", false}, {"ProtectKernelModules", false},
                {"ProtectKernelLogs", false}, {"ProtectControlGroups", false},
                {"LoadCredential", false}, {"NetworkNamespacePath", true},
                {"PrivateNetwork", true}, {"User", true}, {"Group", true},
                {"SupplementaryGroups", true}, {"DynamicUser", true}, {"Slice", true}};

/* With one of these (by annotations that need the level privileged) there are more commands in the
 * unit than kpod-exec starts, or folders that end with it. */
static const char *const not_with[] = {"ExecStartPreEx", "ExecReloadEx", "ExecStopPostEx",
                "RuntimeDirectory", "StateDirectory", "CacheDirectory", "LogsDirectory"};

/* Capabilities that systemd takes from a unit with such a property. */
static const struct {
        const char *property, *capability;
} without[] = {{"PrivateDevices", "CAP_MKNOD"}, {"PrivateDevices", "CAP_SYS_RAWIO"},
                {"ProtectKernelModules", "CAP_SYS_MODULE"}, {"ProtectKernelLogs", "CAP_SYSLOG"}};

static const json_t *property(const json_t *unit, const char *name) {
        return json_get(unit, "properties", name, NULL);
}

static json_t *start_of(const json_t *unit) {
        return json_object_get(unit, "start");
}

bool pids_has_namespace(const json_t *unit) {
        return json_object_get(start_of(unit), "pids") != NULL;
}

static bool contains(const json_t *list, const char *text) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq(strempty(json_string_value(v)), text))
                        return true;
        return false;
}

static int add(json_t *list, const char *text) {
        if (contains(list, text))
                return 0;
        return json_array_append_new(list, json_string(text)) < 0 ? -ENOMEM : 0;
}

static int set(json_t *o, const char *key, json_t *value) {
        return json_object_set_new(o, key, value) < 0 ? -ENOMEM : 0;
}

/* The property goes from the unit to what kpod-exec does. */
static int move(json_t *properties, const char *property, json_t *pids, const char *key) {
        json_t *v = json_object_get(properties, property);

        if (!v)
                return 0;
        if (json_object_set(pids, key, v) < 0)
                return -ENOMEM;
        json_object_del(properties, property);
        return 0;
}

/* ---- what the unit has more than its program ---- */

static int with_own(const json_t *list, json_t **ret) {
        _cleanup_json_ json_t *all = list ? json_deep_copy(list) : json_array();

        if (!all)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(own_capabilities); i++) {
                int r = add(all, own_capabilities[i]);

                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(all);
        return 0;
}

static bool is_root(const json_t *properties) {
        const char *user = json_str_or(properties, "User", "0");

        return streq(user, "0") || streq(user, "root");
}

static int remove_from(json_t *list, const char *text) {
        for (size_t i = json_array_size(list); i > 0; i--)
                if (streq(strempty(json_string_value(json_array_get(list, i - 1))), text) &&
                                json_array_remove(list, i - 1) < 0)
                        return -ENOMEM;
        return 0;
}

static json_t *all_capabilities(void) {
        json_t *all = json_array();

        for (int i = 0; all && capability_name(i); i++)
                (void)json_array_append_new(all, json_string(capability_name(i)));
        return all;
}

/* What the program may have; a list that is not there means all of them. */
static int bounding_of(const json_t *properties, json_t **ret) {
        const json_t *given = json_object_get(properties, "CapabilityBoundingSet");
        _cleanup_json_ json_t *list = NULL;
        bool any = false;

        for (size_t i = 0; i < ELEMENTS(without); i++)
                any |= json_bool_or(properties, without[i].property, false);
        if (!given && !any)
                return 0;
        list = given ? json_deep_copy(given) : all_capabilities();
        for (size_t i = 0; list && i < ELEMENTS(without); i++)
                if (json_bool_or(properties, without[i].property, false) &&
                                remove_from(list, without[i].capability) < 0)
                        return -ENOMEM;
        if (!list)
                return -ENOMEM;
        *ret = TAKE_PTR(list);
        return 1;
}

static int capabilities(json_t *properties, json_t *pids) {
        json_t *ambient = json_object_get(properties, "AmbientCapabilities"), *all = NULL;
        _cleanup_json_ json_t *bounding = NULL;
        int r = bounding_of(properties, &bounding);

        if (r < 0)
                return r;
        if (bounding) {
                if (json_object_set(pids, "capabilities", bounding) < 0)
                        return -ENOMEM;
                r = with_own(bounding, &all);
                if (r < 0)
                        return r;
                r = set(properties, "CapabilityBoundingSet", all);
                if (r < 0)
                        return r;
        }
        if (ambient && json_object_set(pids, "ambient", ambient) < 0)
                return -ENOMEM;
        if (is_root(properties))
                return 0;
        r = with_own(ambient, &all);
        return r < 0 ? r : set(properties, "AmbientCapabilities", all);
}

/* systemd implies it for a filter of another user than root, who cannot load it otherwise. */
static int new_privileges(const json_t *properties, json_t *pids) {
        static const char *const filters[] = {"SystemCallFilter", "SystemCallArchitectures",
                        "RestrictNamespaces", "RestrictAddressFamilies"};
        bool any = false;

        for (size_t i = 0; i < ELEMENTS(filters); i++)
                any |= json_object_get(properties, filters[i]) != NULL;
        if (!any || is_root(properties))
                return 0;
        return set(pids, "noNewPrivileges", json_true());
}

static bool is_allowed(const json_t *names, const struct own_call *c) {
        bool allowed = contains(names, c->name);

        for (size_t i = 0; i < ELEMENTS(c->groups) && c->groups[i]; i++)
                allowed |= contains(names, c->groups[i]);
        return allowed;
}

/* The same of a list of what is refused: these calls are excepted from it, and refused later. */
static int except(json_t *filter, json_t *calls) {
        _cleanup_json_ json_t *names = json_array();

        for (size_t i = 0; i < ELEMENTS(own_calls); i++) {
                int r = names ? add(names, own_calls[i].name) : -ENOMEM;

                if (r < 0)
                        return r;
                r = is_allowed(json_object_get(filter, "names"), &own_calls[i])
                                    ? add(calls, own_calls[i].name)
                                    : 0;
                if (r < 0)
                        return r;
        }
        return json_object_set(filter, "except", names) < 0 ? -ENOMEM : 0;
}

static int permit(json_t *filter, json_t *calls) {
        json_t *names = json_object_get(filter, "names");

        for (size_t i = 0; i < ELEMENTS(own_calls); i++) {
                int r;

                if (is_allowed(names, &own_calls[i]))
                        continue;
                r = add(names, own_calls[i].name);
                if (r < 0)
                        return r;
                r = add(calls, own_calls[i].name);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int system_calls(json_t *properties, json_t *pids) {
        json_t *filter = json_object_get(properties, "SystemCallFilter");
        _cleanup_json_ json_t *calls = json_array();
        int r;

        if (!calls)
                return -ENOMEM;
        r = move(properties, "RestrictNamespaces", pids, "namespaces");
        if (r < 0 || !filter)
                return r;
        r = json_bool_or(filter, "allow", true) ? permit(filter, calls) : except(filter, calls);
        if (r < 0 || json_array_size(calls) == 0)
                return r;
        return json_object_set(pids, "calls", calls) < 0 ? -ENOMEM : 0;
}

/* In its own namespace a process sees nothing that ProtectProc would hide. */
static int proc(json_t *properties, json_t *pids) {
        bool tunables = json_bool_or(properties, "ProtectKernelTunables", false),
             logs = json_bool_or(properties, "ProtectKernelLogs", false),
             subset = streq(json_str_or(properties, "ProcSubset", ""), "pid");
        int r = set(pids, "proc", json_string(subset ? "pid" : ""));

        json_object_del(properties, "ProtectProc");
        json_object_del(properties, "ProcSubset");
        if (r < 0 || (!tunables && !logs))
                return r;
        return set(pids, "masks",
                        json_sprintf("%s%s%s", tunables ? "tunables" : "",
                                        tunables && logs ? " " : "", logs ? "logs" : ""));
}

/* systemd takes messages of the main process, which passes on those of the program. */
static int messages(json_t *properties, json_t *pids) {
        static const char *const keys[] = {"NotifyAccess", "WatchdogUSec"};
        bool any = false;

        for (size_t i = 0; i < ELEMENTS(keys); i++)
                any |= json_object_get(properties, keys[i]) != NULL;
        if (!any)
                return 0;
        if (set(pids, "notify", json_true()) < 0)
                return -ENOMEM;
        return set(properties, "NotifyAccess", json_string("main"));
}

/* ---- the unit that holds the mounts ---- */

/* prlimit64() would reach other processes of the user; systemd itself writes a byte before it
 * executes the program, whose only files are /dev/null. */
static const char hold_properties[] =
                "{\"Type\": \"exec\", \"Restart\": \"no\", \"CollectMode\": "
                "\"inactive-or-failed\", \"StartLimitIntervalUSec\": 0, \"CapabilityBoundingSet\": "
                "[], \"NoNewPrivileges\": true, \"SystemCallFilter\": {\"allow\": true, \"names\": "
                "[\"@default\", \"write\"], \"except\": [\"prlimit64\"]}, "
                "\"SystemCallErrorNumber\": 1, "
                "\"SystemCallArchitectures\": [\"native\"], \"StandardInput\": \"null\", "
                "\"StandardOutput\": \"null\", \"StandardError\": \"null\", \"KillMode\": "
                "\"control-group\"}";

static int hold_own(json_t *properties, const char *name) {
        const struct {
                const char *key;
                int64_t value;
        } rows[] = {{"TasksMax", HOLD_TASKS_MAX}, {"MemoryMax", HOLD_MEMORY_MAX},
                        {"RuntimeMaxUSec", HOLD_RUN_US}, {"TimeoutStartUSec", HOLD_START_US},
                        {"TimeoutStopUSec", HOLD_STOP_US}};

        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (set(properties, rows[i].key, json_integer(rows[i].value)) < 0)
                        return -ENOMEM;
        if (set(properties, "PartOf", json_pack("[s]", name)) < 0)
                return -ENOMEM;
        return set(properties, "Description", json_sprintf("Mounts of %s", name));
}

/* The properties that are held go to the unit that holds them. */
static int hold_take(json_t *properties, json_t *hold) {
        for (size_t i = 0; i < ELEMENTS(held); i++) {
                json_t *v = json_object_get(properties, held[i].name);

                if (!v)
                        continue;
                if (json_object_set(hold, held[i].name, v) < 0)
                        return -ENOMEM;
                if (!held[i].both)
                        json_object_del(properties, held[i].name);
        }
        return 0;
}

static int append_to(json_t *properties, const char *key, const char *word) {
        json_t *list = json_object_get(properties, key);
        _cleanup_json_ json_t *own = list ? json_copy(list) : json_array();

        if (!own || json_array_append_new(own, json_string(word)) < 0)
                return -ENOMEM;
        return json_object_set(properties, key, own) < 0 ? -ENOMEM : 0;
}

static bool is_on(const json_t *properties, const char *name) {
        return json_bool_or(properties, name, false);
}

/* kpod-exec covers /proc with one of its own, and masks that. What these properties do beside it is
 * one mount for /sys, instead of some 20: for each systemd reads the table of mounts, which was
 * half of the time of a start. */
static int hold_lighten(json_t *hold) {
        if (is_on(hold, "ProtectKernelLogs") && is_on(hold, "PrivateDevices"))
                json_object_del(hold, "ProtectKernelLogs");
        if (!is_on(hold, "ProtectKernelTunables") || !is_on(hold, "ProtectControlGroups"))
                return 0;
        json_object_del(hold, "ProtectKernelTunables");
        json_object_del(hold, "ProtectControlGroups");
        return append_to(hold, "ReadOnlyPaths", "+/sys");
}

/* systemd closes the devices of a unit with PrivateDevices. */
static int devices(json_t *properties) {
        if (!json_bool_or(properties, "PrivateDevices", false) ||
                        !streq(json_str_or(properties, "DevicePolicy", "auto"), "auto"))
                return 0;
        return set(properties, "DevicePolicy", json_string("closed"));
}

static int credentials(const json_t *hold, json_t *start, const char *name) {
        json_t *environment = json_object_get(start, "environment");

        if (!json_object_get(hold, "LoadCredential"))
                return 0;
        return json_array_append_new(environment,
                                       json_sprintf("CREDENTIALS_DIRECTORY=/run/credentials/%s",
                                                       name)) < 0
                               ? -ENOMEM
                               : 0;
}

static int hold_make(json_t *unit, json_t *pids) {
        json_t *properties = json_object_get(unit, "properties");
        const char *name = json_str_or(unit, "name", ""), *rest = startswith(name, "kpod-");
        _cleanup_json_ json_t *hold = json_loads(hold_properties, 0, NULL);
        _cleanup_free_ char *called = strformat(HOLD_PREFIX "%s", rest ? rest : name);
        int r;

        if (!hold || !called)
                return -ENOMEM;
        r = devices(properties);
        if (r < 0)
                return r;
        r = hold_take(properties, hold);
        if (r < 0)
                return r;
        r = hold_lighten(hold);
        if (r < 0)
                return r;
        r = hold_own(hold, name);
        if (r < 0)
                return r;
        r = credentials(hold, start_of(unit), called);
        if (r < 0)
                return r;
        if (set(hold, "ExecStartEx", json_pack("[[s, s]]", "/run/kpod/exec", "hold")) < 0 ||
                        set(pids, "hold", json_string(called)) < 0 ||
                        append_to(properties, "Wants", called) < 0 ||
                        append_to(properties, "After", called) < 0)
                return -ENOMEM;
        return set(unit, "hold", json_pack("{s:s, s:O}", "name", called, "properties", hold));
}

/* ---- the container's own unit ---- */

json_t *pids_words(const json_t *start, const char *file, bool report) {
        json_t *words = json_pack("[s, o]", json_str_or(start, "pids.program", ""),
                        json_sprintf("%s/%s", json_str_or(start, "dir", ""), file));

        if (report)
                json_array_append_new(words, json_string(json_str_or(start, "report", "")));
        return json_pack("[o]", words);
}

void pids_strip(json_t *unit) {
        static const char *const wanted[] = {"hold", "share"};
        json_t *properties = json_object_get(unit, "properties");

        for (size_t i = 0; i < ELEMENTS(wanted); i++) {
                const char *name = json_str_or(json_at(unit, "start.pids"), wanted[i], "");

                (void)remove_from(json_object_get(properties, "After"), name);
                (void)remove_from(json_object_get(properties, "Wants"), name);
        }
        json_object_del(unit, "hold");
}

static int commands(json_t *properties, const json_t *start) {
        if (set(properties, "ExecStartEx", pids_words(start, "main", true)) < 0)
                return -ENOMEM;
        if (!json_object_get(properties, "ExecStartPostEx"))
                return 0;
        return set(properties, "ExecStartPostEx", pids_words(start, "post-start", false));
}

/* systemd would enter the machine's folder. */
static int working_directory(json_t *properties, json_t *start) {
        const char *given = json_str(properties, "WorkingDirectory");
        int r = 0;

        if (given && !*json_str_or(start, "workingDir", ""))
                r = set(start, "workingDir", json_string(given));
        json_object_del(properties, "WorkingDirectory");
        return r;
}

static int confine(json_t *properties, json_t *pids) {
        int r = proc(properties, pids);

        if (r < 0)
                return r;
        r = new_privileges(properties, pids);
        if (r < 0)
                return r;
        r = capabilities(properties, pids);
        if (r < 0)
                return r;
        r = system_calls(properties, pids);
        return r < 0 ? r : messages(properties, pids);
}

static int wrap(json_t *unit, const char *program) {
        json_t *properties = json_object_get(unit, "properties"), *start = start_of(unit);
        _cleanup_json_ json_t *pids = json_pack("{s:s}", "program", program);
        int r;

        if (!pids || json_object_set(start, "pids", pids) < 0)
                return -ENOMEM;
        r = confine(properties, pids);
        if (r < 0)
                return r;
        r = working_directory(properties, start);
        if (r < 0)
                return r;
        r = commands(properties, start);
        return r < 0 ? r : hold_make(unit, pids);
}

/* ---- which units ---- */

static const json_t *find(const json_t *list, const char *key, const char *name) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq(json_str_or(v, key, ""), name))
                        return v;
        return NULL;
}

static const json_t *find_unit(const json_t *plan, const char *container) {
        const json_t *unit = NULL;

        for (enum container_list l = 0; !unit && l < CONTAINERS_EPHEMERAL; l++)
                unit = find(json_object_get(plan, container_list_name(l)), "container", container);
        return unit;
}

/* Whether the unit can have one, and all of its commands in it. */
static bool is_possible(const json_t *unit) {
        bool possible = property(unit, "ExecStartEx") != NULL;

        for (size_t i = 0; i < ELEMENTS(not_with); i++)
                possible &= !property(unit, not_with[i]);
        return possible;
}

static int make_namespace(json_t *unit, const json_t *target, const char *program) {
        bool joins = target && pids_has_namespace(target),
             own_root = property(unit, "RootDirectory") || property(unit, "RootImage");
        int r;

        if (!is_possible(unit) || (!joins && !own_root))
                return 0;
        r = wrap(unit, program);
        if (r < 0 || !joins)
                return r;
        return set(json_object_get(start_of(unit), "pids"), "target",
                        json_string(json_str_or(target, "container", "")));
}

/* ---- the pod's own one ---- */

static int share_unit(const json_t *pod, const struct pod_facts *facts, json_t *plan) {
        _cleanup_free_ char *name = pod_share_unit_name(pod),
                            *slice = pod_slice_name(object_uid(pod));

        if (!name || !slice)
                return -ENOMEM;
        return set(plan, "share",
                        json_pack("{s:s, s:{s:o, s:s, s:s, s:s, s:i, s:i, s:s, s:[s, s, s], "
                                  "s:s, s:i, s:[[s, s]]}}",
                                        "name", name, "properties", "Description",
                                        json_sprintf("Processes of pod %s/%s",
                                                        object_namespace(pod), object_name(pod)),
                                        "Slice", slice, "Type", "exec", "Restart", "always",
                                        "RestartUSec", SHARE_RESTART_US, "StartLimitIntervalUSec",
                                        0, "CollectMode", "inactive-or-failed",
                                        "CapabilityBoundingSet", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT",
                                        "CAP_SETPCAP", "StandardInput", "null", "TimeoutStopUSec",
                                        HOLD_STOP_US, "ExecStartEx", facts->exec_program, "share"));
}

/* On the machine's own root, or with commands that kpod-exec does not start. */
static int warn_alone(json_t *plan, const json_t *unit) {
        json_t *list = json_object_get(plan, "warnings");

        if (!list && set(plan, "warnings", json_array()) < 0)
                return -ENOMEM;
        list = json_object_get(plan, "warnings");
        return json_array_append_new(list,
                                       json_sprintf("spec.shareProcessNamespace: container %s has "
                                                    "no process namespace and does not join the "
                                                    "pod's",
                                                       json_str_or(unit, "container", ""))) < 0
                               ? -ENOMEM
                               : 0;
}

/* The unit joins the pod's namespace, unless it has none or joins that of another container. */
static int share_one(json_t *plan, enum container_list list, json_t *unit) {
        json_t *pids = json_object_get(start_of(unit), "pids"),
               *properties = json_object_get(unit, "properties");
        const char *name = json_str_or(plan, "share.name", "");

        if (!pids)
                return list == CONTAINERS_EPHEMERAL ? 0 : warn_alone(plan, unit);
        if (json_object_get(pids, "target"))
                return 0;
        if (set(pids, "share", json_string(name)) < 0 || append_to(properties, "Wants", name) < 0)
                return -ENOMEM;
        return append_to(properties, "After", name);
}

static int share(const json_t *pod, const struct pod_facts *facts, json_t *plan) {
        int r = share_unit(pod, facts, plan);

        if (r < 0)
                return r;
        for (enum container_list l = 0; l < CONTAINER_LISTS; l++) {
                json_t *unit;
                size_t i;

                json_array_foreach (json_object_get(plan, container_list_name(l)), i, unit) {
                        r = share_one(plan, l, unit);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

int pod_pids(const json_t *pod, const struct pod_facts *facts, json_t *plan) {
        if (facts->no_process_namespaces || json_bool_or(pod, "spec.hostPID", false))
                return 0;
        for (enum container_list l = 0; l < CONTAINER_LISTS; l++) {
                const char *list = container_list_name(l);
                json_t *unit;
                size_t i;

                json_array_foreach (json_object_get(plan, list), i, unit) {
                        const char *name = json_str_or(unit, "container", ""),
                                   *of = json_str_or(find(json_get(pod, "spec", list, NULL), "name",
                                                                     name),
                                                   "targetContainerName", "");
                        int r = make_namespace(unit, *of ? find_unit(plan, of) : NULL,
                                        facts->exec_program);

                        if (r < 0)
                                return r;
                }
        }
        return json_bool_or(pod, "spec.shareProcessNamespace", false) ? share(pod, facts, plan) : 0;
}

/* ---- the file for kpod-exec ---- */

static void field(struct buf *b, char kind, const char *text) {
        buf_append_char(b, kind);
        buf_append(b, text, strlen(text) + 1);
}

static void filter_field(const json_t *pids, struct buf *b) {
        const json_t *namespaces = json_object_get(pids, "namespaces"), *v;
        size_t i;

        if (!namespaces && !json_object_get(pids, "calls"))
                return;
        if (namespaces)
                buf_printf(b, "F%" PRIx64, namespaces_mask(namespaces));
        else
                buf_append_str(b, "F-");
        json_array_foreach (json_object_get(pids, "calls"), i, v)
                buf_printf(b, " %s", strempty(json_string_value(v)));
        buf_append_char(b, 0);
}

void pids_command_fields(const json_t *start, const char *file, struct buf *b) {
        const json_t *pids = json_object_get(start, "pids"),
                     *bounding = json_object_get(pids, "capabilities");
        const char *join = json_str(pids, "join"), *masks = json_str(pids, "masks");
        bool main = streq(file, "main");

        if (!pids)
                return;
        if (main) {
                field(b, 'H', json_str_or(pids, "hold", ""));
                if (json_str(pids, "share"))
                        field(b, 'G', json_str(pids, "share"));
                field(b, 'N', json_str_or(pids, "proc", ""));
                if (masks)
                        field(b, 'M', masks);
                if (json_bool_or(pids, "notify", false))
                        field(b, 'S', json_str_or(start, "dir", ""));
        }
        /* Without "join" it is a hook of the container's own unit. */
        if (join || !main)
                field(b, 'J', strempty(join));
        if (json_bool_or(pids, "noNewPrivileges", false))
                field(b, 'P', "");
        buf_printf(b, "C%" PRIx64 " %" PRIx64, bounding ? capability_mask(bounding) : UINT64_MAX,
                        capability_mask(json_object_get(pids, "ambient")));
        buf_append_char(b, 0);
        filter_field(pids, b);
}
