/* Ephemeral containers: how their units differ from those of others, and what they see of the
 * container that they are for. They join the process namespace of one that has one. The machine's
 * is for containers without: there a process sees another one in /proc when it may ptrace it
 * (ptrace(2), "Ptrace access mode checking"). */
#include "nodeagent/plan/ephemeral.h"

#include "nodeagent/plan/pids.h"

int ephemeral_settle(json_t *properties) {
        static const char *const dropped[] = {"RestartUSec", "StartLimitIntervalUSec",
                        "StartLimitBurst", "RestartForceExitStatus", "ExecStartPostEx",
                        "ExecStartPreEx", "WatchdogUSec", "NotifyAccess"};

        for (size_t i = 0; i < ELEMENTS(dropped); i++)
                json_object_del(properties, dropped[i]);
        if (json_object_set_new(properties, "Type", json_string("exec")) < 0 ||
                        json_object_set_new(properties, "Restart", json_string("no")) < 0 ||
                        json_object_set_new(properties, "RemainAfterExit", json_true()) < 0)
                return -ENOMEM;
        return 0;
}

json_t *ephemeral_refused(const json_t *container, const struct problem *p) {
        return json_pack("{s:s, s:s, s:s}", "container", json_str_or(container, "name", ""),
                        "reason", p->reason ? p->reason : "CreateContainerConfigError", "message",
                        p->message);
}

static const json_t *property(const json_t *unit, const char *name) {
        return json_get(unit, "properties", name, NULL);
}

/* Whether all capabilities of the one are also the other's. No list: all of them. */
static bool has_capabilities_of(const json_t *unit, const json_t *target) {
        const json_t *mine = property(unit, "CapabilityBoundingSet"),
                     *theirs = property(target, "CapabilityBoundingSet"), *a, *b;
        size_t i, k;

        if (!mine || !theirs)
                return !mine;
        json_array_foreach (theirs, i, a) {
                bool found = false;

                json_array_foreach (mine, k, b)
                        found |= json_equal(json_unconst(a), json_unconst(b));
                if (!found)
                        return false;
        }
        return true;
}

static const char *user_of(const json_t *unit) {
        const char *user = strempty(json_string_value(property(unit, "User")));

        return *user ? user : "0";
}

bool ephemeral_sees(const json_t *unit, const json_t *target) {
        bool apart = json_is_true(property(unit, "PrivateUsers")),
             target_apart = json_is_true(property(target, "PrivateUsers"));

        if (json_at(unit, "start.pids.target"))
                return true;
        if (pids_has_namespace(unit))
                return false;
        if (!property(unit, "ProtectProc"))
                return true;
        if (apart)
                return false;
        /* The user namespace belongs to the machine's root. */
        if (target_apart)
                return streq(user_of(unit), "0");
        return streq(user_of(unit), user_of(target)) && has_capabilities_of(unit, target);
}

static const json_t *find_unit(const json_t *plan, const char *container) {
        for (enum container_list l = 0; l < CONTAINERS_EPHEMERAL; l++) {
                const json_t *unit;
                size_t i;

                json_array_foreach (json_object_get(plan, container_list_name(l)), i, unit)
                        if (streq(json_str_or(unit, "container", ""), container))
                                return unit;
        }
        return NULL;
}

static json_t *warning(const json_t *unit, size_t index, const char *target) {
        const char *name = json_str_or(unit, "container", "");

        if (pids_has_namespace(unit))
                return json_sprintf("spec.ephemeralContainers[%zu].targetContainerName: container "
                                    "%s runs on the machine's own root and has no process "
                                    "namespace that %s could join; with image: host it would see "
                                    "its processes",
                                index, target, name);
        return json_sprintf("spec.ephemeralContainers[%zu].targetContainerName: processes of "
                            "container %s have another user or a user namespace of their own, so "
                            "%s does not see them; the capability SYS_PTRACE would allow it",
                        index, target, name);
}

static int warn(json_t *unit, size_t index, const char *target) {
        return json_object_set_new(unit, "warning", warning(unit, index, target)) < 0 ? -ENOMEM : 0;
}

static int warn_of(const json_t *container, size_t index, json_t *plan) {
        const char *name = json_str_or(container, "name", ""),
                   *of = json_str_or(container, "targetContainerName", "");
        const json_t *target = *of ? find_unit(plan, of) : NULL;
        json_t *unit;
        size_t i;

        json_array_foreach (json_object_get(plan, "ephemeralContainers"), i, unit)
                if (target && streq(json_str_or(unit, "container", ""), name) &&
                                json_object_get(unit, "properties") &&
                                !ephemeral_sees(unit, target))
                        return warn(unit, index, of);
        return 0;
}

int ephemeral_warn(const json_t *pod, json_t *plan) {
        const json_t *c;
        size_t i;

        json_array_foreach (json_at(pod, "spec.ephemeralContainers"), i, c) {
                int r = warn_of(c, i, plan);

                if (r < 0)
                        return r;
        }
        return 0;
}
