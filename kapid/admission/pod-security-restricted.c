/* The controls that the level restricted has beside those of baseline. */
#include "kapid/admission/pod-security-internal.h"

int check_escalation(struct look *l) {
        return look_flag(l, "securityContext.allowPrivilegeEscalation", true,
                        "allowPrivilegeEscalation != false",
                        "must set securityContext.allowPrivilegeEscalation=false");
}

static bool drops_all(const json_t *container) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(container, "securityContext.capabilities.drop"), i, v)
                if (streq(strempty(json_string_value(v)), "ALL"))
                        return true;
        return false;
}

int check_capabilities_restricted(struct look *l) {
        static const char *const allowed[] = {"NET_BIND_SERVICE", NULL};
        _cleanup_strv_free_ char **keeping = NULL, **adding = NULL, **added = NULL, **said = NULL;
        _cleanup_free_ char *text = NULL;
        const json_t *c;
        size_t i;

        json_array_foreach (l->containers, i, c)
                if (!drops_all(c))
                        look_add(l, &keeping, look_name_of(c));
        look_find_added(l, allowed, &adding, &added);
        if (!keeping && !adding)
                return 0;
        if (keeping) {
                _cleanup_free_ char *who = look_containers(l, keeping);
                _cleanup_free_ char *item =
                                strformat("%s must set securityContext.capabilities.drop=[\"ALL\"]",
                                                strempty(who));

                look_add(l, &said, strempty(item));
        }
        if (adding) {
                _cleanup_free_ char *who = look_containers(l, adding),
                                    *what = look_quoted(l, added);
                _cleanup_free_ char *item = strformat(
                                "%s must not include %s in securityContext.capabilities.add",
                                strempty(who), strempty(what));

                look_add(l, &said, strempty(item));
        }
        text = strv_join(said, "; ");
        return look_say(l, "unrestricted capabilities", "%s", strempty(text));
}

/* The one member of a volume that is not its name; "emptyDir" when there is none. */
static const char *volume_type(const json_t *volume) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)volume, key, v)
                if (!streq(key, "name") && !json_is_null(v))
                        return key;
        return "emptyDir";
}

int check_volumes(struct look *l) {
        static const char *const allowed[] = {"configMap", "csi", "downwardAPI", "emptyDir",
                        "ephemeral", "persistentVolumeClaim", "projected", "secret", NULL};
        _cleanup_strv_free_ char **names = NULL, **types = NULL;
        _cleanup_free_ char *who = NULL, *what = NULL;
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(l->spec, "volumes"), i, v) {
                const char *type = volume_type(v);

                if (look_word_in(allowed, type))
                        continue;
                look_add(l, &names, json_str_or(v, "name", ""));
                look_add(l, &types, type);
        }
        if (!names)
                return 0;
        look_sort(types);
        who = look_counted(l, "volume", "volumes", names);
        what = look_counted(l, "restricted volume type", "restricted volume types", types);
        return look_say(l, "restricted volume types", "%s %s %s", strempty(who),
                        strv_length(names) == 1 ? "uses" : "use", strempty(what));
}

int check_non_root(struct look *l) {
        const json_t *of_pod = json_at(l->spec, "securityContext.runAsNonRoot"), *c, *v;
        _cleanup_strv_free_ char **no = NULL, **silent = NULL;
        _cleanup_free_ char *who = NULL;
        size_t i;

        json_array_foreach (l->containers, i, c) {
                v = json_at(c, "securityContext.runAsNonRoot");
                if (json_is_false(v))
                        look_add(l, &no, look_name_of(c));
                else if (!json_is_true(v) && !json_is_true(of_pod))
                        look_add(l, &silent, look_name_of(c));
        }
        if (json_is_false(of_pod) || no) {
                who = look_setters(l, json_is_false(of_pod), no);
                return look_say(l, "runAsNonRoot != true",
                                "%s must not set securityContext.runAsNonRoot=false",
                                strempty(who));
        }
        if (!silent)
                return 0;
        who = look_containers(l, silent);
        return look_say(l, "runAsNonRoot != true",
                        "pod or %s must set securityContext.runAsNonRoot=true", strempty(who));
}

static bool is_root(const json_t *v) {
        return json_is_integer(v) && json_integer_value(v) == 0;
}

int check_root_user(struct look *l) {
        bool pod = is_root(json_at(l->spec, "securityContext.runAsUser"));
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *who = NULL;
        const json_t *c;
        size_t i;

        json_array_foreach (l->containers, i, c)
                if (is_root(json_at(c, "securityContext.runAsUser")))
                        look_add(l, &names, look_name_of(c));
        if (!pod && !names)
                return 0;
        who = look_setters(l, pod, names);
        return look_say(l, "runAsUser=0", "%s must not set runAsUser=0", strempty(who));
}

int check_seccomp_restricted(struct look *l) {
        static const char *const allowed[] = {"RuntimeDefault", "Localhost", "", NULL};
        const char *of_pod = json_str_or(l->spec, "securityContext.seccompProfile.type", "");
        _cleanup_strv_free_ char **names = NULL, **values = NULL, **silent = NULL;
        _cleanup_free_ char *who = NULL, *what = NULL;
        const json_t *c;
        size_t i;
        bool pod;

        look_find_bad(l, &(struct setting){"seccompProfile.type", allowed}, &pod, &names, &values);
        if (pod || names) {
                who = look_setters(l, pod, names);
                what = look_quoted(l, values);
                return look_say(l, "seccompProfile",
                                "%s must not set securityContext.seccompProfile.type to %s",
                                strempty(who), strempty(what));
        }
        json_array_foreach (l->containers, i, c)
                if (isempty(of_pod) &&
                                isempty(json_str_or(c, "securityContext.seccompProfile.type", "")))
                        look_add(l, &silent, look_name_of(c));
        if (!silent)
                return 0;
        who = look_containers(l, silent);
        return look_say(l, "seccompProfile",
                        "pod or %s must set securityContext.seccompProfile.type to "
                        "\"RuntimeDefault\" or \"Localhost\"",
                        strempty(who));
}
