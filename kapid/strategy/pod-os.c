/* The operating system that a pod names (KEP-2802): fields of the other one are refused. A pod for
 * Windows is taken, and its node refuses it. Sentences are Kubernetes'. */
#include "kapid/strategy/pod-os.h"

#include "kapid/schema/format.h"
#include "lib/object.h"

/* What a pod for one system must not set: in its spec, its security context, a container's. */
struct other_system {
        const char *name, *why;
        const char *const *spec, *const *pod_context, *const *context;
};
static const struct other_system systems[] = {
                {.name = "linux",
                                .why = "windows options cannot be set for a linux pod",
                                .spec = (const char *const[]){NULL},
                                .pod_context = (const char *const[]){"windowsOptions", NULL},
                                .context = (const char *const[]){"windowsOptions", NULL}},
                {.name = "windows",
                                .why = "cannot be set for a windows pod",
                                .spec = (const char *const[]){"hostUsers", "hostPID", "hostIPC",
                                                "shareProcessNamespace", NULL},
                                .pod_context = (const char *const[]){"appArmorProfile",
                                                "seLinuxOptions", "seccompProfile", "fsGroup",
                                                "fsGroupChangePolicy", "sysctls", "runAsUser",
                                                "runAsGroup", "supplementalGroups",
                                                "supplementalGroupsPolicy", NULL},
                                .context = (const char *const[]){"appArmorProfile",
                                                "seLinuxOptions", "seccompProfile", "capabilities",
                                                "readOnlyRootFilesystem", "privileged",
                                                "allowPrivilegeEscalation", "procMount",
                                                "runAsUser", "runAsGroup", NULL}},
};

static void forbid(struct findings *f, const json_t *holder, const char *const *fields,
                const char *why) {
        for (; *fields; fields++)
                if (json_object_get(holder, *fields))
                        finding_add(f, FINDING_FORBIDDEN, *fields, NULL, "%s", why);
}

static void validate_windows_options(struct findings *f, const json_t *context) {
        const json_t *options = json_object_get(context, "windowsOptions"),
                     *name = json_object_get(options, "gmsaCredentialSpecName"),
                     *content = json_object_get(options, "gmsaCredentialSpec"),
                     *user = json_object_get(options, "runAsUserName");
        const char *error = name ? format_check(FORMAT_DNS1123_SUBDOMAIN, json_string_value(name))
                                 : NULL;
        size_t at = findings_push(f, "windowsOptions");

        if (error)
                finding_add(f, FINDING_INVALID, "gmsaCredentialSpecName", name, "%s", error);
        if (content && json_string_length(content) == 0)
                finding_add(f, FINDING_INVALID, "gmsaCredentialSpec", content,
                                "gmsaCredentialSpec cannot be an empty string");
        if (user && json_string_length(user) == 0)
                finding_add(f, FINDING_INVALID, "runAsUserName", user,
                                "runAsUserName cannot be an empty string");
        findings_pop(f, at);
}

/* other NULL: the pod names no system. */
static void validate_contexts(
                struct findings *f, const json_t *spec, const struct other_system *other) {
        static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
        const json_t *context = json_object_get(spec, "securityContext"), *container;
        size_t at = findings_push(f, "securityContext"), i;

        validate_windows_options(f, context);
        if (other)
                forbid(f, context, other->pod_context, other->why);
        findings_pop(f, at);
        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_object_get(spec, lists[l]), i, container) {
                        context = json_object_get(container, "securityContext");
                        if (!context)
                                continue;
                        at = findings_push(f, lists[l]);
                        findings_push_index(f, i);
                        findings_push(f, "securityContext");
                        validate_windows_options(f, context);
                        if (other)
                                forbid(f, context, other->context, other->why);
                        findings_pop(f, at);
                }
}

void pod_os_validate(struct findings *f, const json_t *spec) {
        const json_t *os = json_object_get(spec, "os"), *name = json_object_get(os, "name");
        const struct other_system *other = NULL;

        for (size_t i = 0; i < ELEMENTS(systems); i++)
                if (streq(systems[i].name, strempty(json_string_value(name))))
                        other = &systems[i];
        if (os && !*strempty(json_string_value(name)))
                finding_add(f, FINDING_REQUIRED, "os.name", NULL, "cannot be empty");
        else if (os && !other)
                finding_add(f, FINDING_NOT_SUPPORTED, "os", name,
                                "supported values: \"linux\", \"windows\"");
        if (other)
                forbid(f, spec, other->spec, other->why);
        validate_contexts(f, spec, other);
}
