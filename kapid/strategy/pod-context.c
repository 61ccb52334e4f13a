/* Security contexts: what belongs together, the names of kernel settings, the ranges of groups. */
#include "kapid/strategy/pod-context.h"

#include "kapid/strategy/pod-volumes.h"
#include "lib/object.h"

enum { SYSCTL_NAME_MAX = 253 };

static void validate_profile(struct findings *f, const json_t *context, const char *field) {
        const json_t *profile = json_object_get(context, field),
                     *local = json_object_get(profile, "localhostProfile");
        bool is_local = streq(json_str_or(profile, "type", ""), "Localhost");
        size_t at;

        if (!profile)
                return;
        at = findings_push(f, field);
        if (is_local && !*strempty(json_string_value(local)))
                finding_add(f, FINDING_REQUIRED, "localhostProfile", NULL,
                                "must be set when %s type is Localhost",
                                streq(field, "seccompProfile") ? "seccomp" : "AppArmor");
        else if (!is_local && local)
                finding_add(f, FINDING_INVALID, "localhostProfile", local,
                                "can only be set when %s type is Localhost",
                                streq(field, "seccompProfile") ? "seccomp" : "AppArmor");
        else if (is_local && streq(field, "seccompProfile"))
                /* A file. AppArmor's are names, of which many begin as a program's path does. */
                pod_validate_path_below(f, "localhostProfile", local);
        findings_pop(f, at);
}

/* --- the pod --- */

/* Words of lower case letters and digits, with - and _ inside of them, and . or / between them. */
static bool is_sysctl_name(const char *name) {
        static const char ends[] = "abcdefghijklmnopqrstuvwxyz0123456789",
                          inside[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";

        if (strlen(name) > SYSCTL_NAME_MAX)
                return false;
        for (const char *s = name;;) {
                size_t n = strspn(s, inside);

                if (n == 0 || !strchr(ends, s[0]) || !strchr(ends, s[n - 1]))
                        return false;
                if (!s[n])
                        return true;
                if (s[n] != '.' && s[n] != '/')
                        return false;
                s += n + 1;
        }
}

static void validate_sysctls(struct findings *f, const json_t *context) {
        _cleanup_json_ json_t *seen = json_object();
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(context, "sysctls"), i, v) {
                const json_t *name = json_object_get(v, "name");
                const char *text = strempty(json_string_value(name));
                size_t at = findings_push(f, "sysctls");

                findings_push_index(f, i);
                if (!*text)
                        finding_add(f, FINDING_REQUIRED, "name", NULL, NULL);
                else if (!is_sysctl_name(text))
                        finding_add(f, FINDING_INVALID, "name", name,
                                        "must have at most %i characters and match regex "
                                        "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*"
                                        "[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
                                        SYSCTL_NAME_MAX);
                else if (json_object_get(seen, text))
                        finding_add(f, FINDING_DUPLICATE, "name", name, NULL);
                f->failed |= json_object_set_new(seen, text, json_true()) < 0;
                findings_pop(f, at);
        }
}

static void validate_groups(struct findings *f, const json_t *context) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(context, "supplementalGroups"), i, v) {
                _cleanup_free_ char *path = strformat("supplementalGroups[%zu]", i);

                f->failed |= !path;
                if (json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
                        finding_add(f, FINDING_INVALID, path, v,
                                        "must be between 0 and 2147483647, inclusive");
        }
}

void pod_context_validate(struct findings *f, const json_t *spec) {
        const json_t *context = json_object_get(spec, "securityContext"),
                     *shared = json_object_get(spec, "shareProcessNamespace");
        size_t at = findings_push(f, "securityContext");

        if (json_is_true(shared) && json_bool_or(spec, "hostPID", false))
                finding_add(f, FINDING_INVALID, "shareProcessNamespace", shared,
                                "ShareProcessNamespace and HostPID cannot both be enabled");
        validate_groups(f, context);
        validate_sysctls(f, context);
        validate_profile(f, context, "seccompProfile");
        validate_profile(f, context, "appArmorProfile");
        findings_pop(f, at);
}

/* --- a container --- */

static bool adds_capability(const json_t *context, const char *name) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(context, "capabilities.add"), i, v)
                if (streq(strempty(json_string_value(v)), name))
                        return true;
        return false;
}

void pod_context_validate_container(struct findings *f, const json_t *container) {
        const json_t *context = json_object_get(container, "securityContext"),
                     *mount = json_object_get(context, "procMount");
        const char *word = strempty(json_string_value(mount));
        size_t at = findings_push(f, "securityContext");

        if (mount && !streq(word, "Default") && !streq(word, "Unmasked"))
                finding_add(f, FINDING_NOT_SUPPORTED, "procMount", mount,
                                "supported values: \"Default\", \"Unmasked\"");
        validate_profile(f, context, "seccompProfile");
        validate_profile(f, context, "appArmorProfile");
        if (json_is_false(json_object_get(context, "allowPrivilegeEscalation"))) {
                if (json_bool_or(context, "privileged", false))
                        finding_add(f, FINDING_INVALID, NULL, context,
                                        "cannot set `allowPrivilegeEscalation` to false and "
                                        "`privileged` to true");
                if (adds_capability(context, "CAP_SYS_ADMIN"))
                        finding_add(f, FINDING_INVALID, NULL, context,
                                        "cannot set `allowPrivilegeEscalation` to false and "
                                        "`capabilities.Add` CAP_SYS_ADMIN");
        }
        findings_pop(f, at);
}
