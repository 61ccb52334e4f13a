/* A unit is first planned as if systemd confined its program, by all of plan/. Then what stands in
 * the way of a process namespace is moved from its properties to "pids", and kpod-exec does it.
 *
 * The agent does not switch this on yet (pod_facts.process_namespaces), because it is not safe:
 * what the unit has for kpod-exec, any program has that systemd executes at /run/kpod/exec. That
 * path is in the container's root. With a volume mounted at /run (or where a link of the image
 * leads there) another container of the pod can exchange the folder between systemd's mounts and
 * its execve(2), and its program then has CAP_SYS_ADMIN and the machine's processes: seen 15 times
 * in 20 s, on a lab machine with systemd 252. A launcher with privileges must be executed on the
 * machine's own root: a unit without RootDirectory, which enters the mount namespace of another
 * unit that only holds it, opens what it needs there without following links, and then does the
 * same as kpod-namespace.c.
 *
 * systemd's own PrivatePIDs (257) is not used: it is not yet the parent of such a process when it
 * learns of it, and then may miss how that ends. Of 390 units that exited with 7, 12 had ended with
 * success (257.13), and a SIGKILL was a success, too. Nor can another unit join the namespace. */
#include "nodeagent/plan/pids.h"

#include <inttypes.h>

#include "lib/object.h"
#include "nodeagent/plan/unit-props.h"

/* For the namespace, /proc, the maps of a user namespace, dropping all of this, and for signals to
 * a program that has changed its user. */
static const char *const own_capabilities[] = {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_CHROOT",
                "CAP_SETPCAP", "CAP_SETUID", "CAP_SETGID", "CAP_SETFCAP", "CAP_DAC_OVERRIDE",
                "CAP_KILL"};

/* System calls that kpod-exec makes for a namespace, and the names of systemd's groups by which a
 * filter may allow them to the program, too. */
static const struct own_call {
        const char *name;
        const char *groups[3];
} own_calls[] = {{"mount", {"@mount"}}, {"umount2", {"@mount"}}, {"open_tree", {"@mount"}},
                {"move_mount", {"@mount"}}, {"setns", {"@process", "@system-service"}},
                {"unshare", {"@process", "@system-service"}}};

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

/* A list that is not there means: all of them, or, of the ambient ones, none. */
static int capabilities(json_t *properties, json_t *pids) {
        json_t *bounding = json_object_get(properties, "CapabilityBoundingSet"),
               *ambient = json_object_get(properties, "AmbientCapabilities"), *all = NULL;
        int r;

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
        int r = set(pids, "proc", json_string(subset ? "subset=pid" : ""));

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

static int wrap(json_t *unit) {
        json_t *properties = json_object_get(unit, "properties"), *start = start_of(unit);
        _cleanup_json_ json_t *pids = json_object();
        int r;

        if (!pids)
                return -ENOMEM;
        r = proc(properties, pids);
        if (r < 0)
                return r;
        r = move(properties, "PrivateUsers", pids, "users");
        if (r < 0)
                return r;
        r = capabilities(properties, pids);
        if (r < 0)
                return r;
        r = system_calls(properties, pids);
        if (r < 0)
                return r;
        r = messages(properties, pids);
        if (r < 0)
                return r;
        return json_object_set(start, "pids", pids) < 0 ? -ENOMEM : 0;
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

static int make_namespace(json_t *unit, const json_t *target, bool own_root) {
        bool joins = target && pids_has_namespace(target);
        int r;

        if (!joins && !own_root)
                return 0;
        r = wrap(unit);
        if (r < 0 || !joins)
                return r;
        /* Its user need not exist in the other one's user namespace. */
        json_object_del(json_object_get(start_of(unit), "pids"), "users");
        return set(json_object_get(start_of(unit), "pids"), "target",
                        json_string(json_str_or(target, "container", "")));
}

int pod_pids(const json_t *pod, const struct pod_facts *facts, json_t *plan) {
        if (!facts->process_namespaces || json_bool_or(pod, "spec.hostPID", false))
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
                        bool own_root = property(unit, "RootDirectory") ||
                                        property(unit, "RootImage");
                        int r;

                        if (!property(unit, "ExecStartEx"))
                                continue;
                        r = make_namespace(unit, *of ? find_unit(plan, of) : NULL, own_root);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
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

        if (!pids)
                return;
        /* Without "join" it is a hook of the container's own unit. */
        if (join || !streq(file, "main"))
                field(b, 'J', strempty(join));
        else
                field(b, 'N', json_str_or(pids, "proc", ""));
        if (masks)
                field(b, 'M', masks);
        if (json_bool_or(pids, "users", false))
                field(b, 'U', "");
        if (json_bool_or(pids, "notify", false) && streq(file, "main"))
                field(b, 'S', "");
        buf_printf(b, "C%" PRIx64 " %" PRIx64, bounding ? capability_mask(bounding) : UINT64_MAX,
                        capability_mask(json_object_get(pids, "ambient")));
        buf_append_char(b, 0);
        filter_field(pids, b);
}
