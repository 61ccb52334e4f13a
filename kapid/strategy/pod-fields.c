/* Fields of a pod's spec that stand for themselves: tolerations, DNS, host aliases, names of other
 * objects. */
#include "kapid/strategy/pod-fields.h"

#include "kapid/schema/format.h"
#include "lib/object.h"
#include "lib/taints.h"

static void validate_toleration(struct findings *f, const json_t *t) {
        const char *key = json_str_or(t, "key", ""), *operator= json_str_or(t, "operator", "Equal");
        int64_t number;

        if (!*key && !streq(operator, "Exists"))
                finding_add(f, FINDING_INVALID, "operator",
                                json_object_get(t, "operator") ? json_object_get(t, "operator")
                                                               : json_null(),
                                "operator must be Exists when `key` is empty, which means "
                                "\"match all values and all keys\"");
        if (streq(operator, "Exists") && *json_str_or(t, "value", ""))
                finding_add(f, FINDING_INVALID, "operator", json_object_get(t, "operator"),
                                "value must be empty when `operator` is 'Exists'");
        if ((streq(operator, "Lt") || streq(operator, "Gt")) &&
                        !toleration_number(json_str_or(t, "value", ""), &number))
                finding_add(f, FINDING_INVALID, "value", json_object_get(t, "value"),
                                "must be a valid decimal integer in canonical form");
        if (streq(operator, "Equal") &&
                        format_check(FORMAT_LABEL_VALUE, json_str_or(t, "value", "")))
                finding_add(f, FINDING_INVALID, "operator", json_object_get(t, "value"), "%s",
                                format_check(FORMAT_LABEL_VALUE, json_str_or(t, "value", "")));
        if (*key && format_check(FORMAT_QUALIFIED_NAME, key))
                finding_add(f, FINDING_INVALID, "key", json_object_get(t, "key"), "%s",
                                format_check(FORMAT_QUALIFIED_NAME, key));
        if (json_object_get(t, "tolerationSeconds") &&
                        !streq(json_str_or(t, "effect", ""), "NoExecute"))
                finding_add(f, FINDING_INVALID, "effect",
                                json_object_get(t, "effect") ? json_object_get(t, "effect")
                                                             : json_null(),
                                "effect must be 'NoExecute' when `tolerationSeconds` is "
                                "set");
}

void pod_fields_validate_tolerations(struct findings *f, const json_t *spec) {
        findings_each(f, spec, "tolerations", validate_toleration);
}

/* A domain, whose parts may have underscores; it may end with a dot, or be the root alone. */
static const char *search_error(const char *search) {
        _cleanup_free_ char *name = strdup(search);
        size_t n = name ? strlen(name) : 0;

        if (!name || streq(name, "."))
                return NULL;
        if (n > 1 && name[n - 1] == '.')
                name[n - 1] = 0;
        for (char *s = name; *s; s++)
                if (*s == '_' && s[1] && s[1] != '.')
                        *s = 'a';
        return format_check(FORMAT_DNS1123_SUBDOMAIN, name);
}

static void validate_searches(struct findings *f, const json_t *searches) {
        enum { SEARCHES_MAX = 32, SEARCH_LENGTH_MAX = 2048 };
        const json_t *v;
        size_t i, total = 0;

        json_array_foreach (searches, i, v) {
                _cleanup_free_ char *path = strformat("searches[%zu]", i);
                const char *error = search_error(strempty(json_string_value(v)));

                total += json_string_length(v) + (i > 0);
                if (error && path)
                        finding_add(f, FINDING_INVALID, path, v, "%s", error);
        }
        if (json_array_size(searches) > SEARCHES_MAX)
                finding_add(f, FINDING_INVALID, "searches", searches,
                                "must not have more than %d search paths", SEARCHES_MAX);
        if (total > SEARCH_LENGTH_MAX)
                finding_add(f, FINDING_INVALID, "searches", searches,
                                "must not have more than %d characters (including spaces) in the "
                                "search list",
                                SEARCH_LENGTH_MAX);
}

static void validate_dns_config(struct findings *f, const json_t *config) {
        enum { NAMESERVERS_MAX = 3 };
        const json_t *v, *servers = json_object_get(config, "nameservers");
        size_t i;

        if (json_array_size(servers) > NAMESERVERS_MAX)
                finding_add(f, FINDING_INVALID, "nameservers", servers,
                                "must not have more than %d nameservers", NAMESERVERS_MAX);
        json_array_foreach (servers, i, v) {
                _cleanup_free_ char *path = strformat("nameservers[%zu]", i);
                const char *error = format_check(FORMAT_IP, strempty(json_string_value(v)));

                if (error && path)
                        finding_add(f, FINDING_INVALID, path, v, "%s", error);
        }
        validate_searches(f, json_object_get(config, "searches"));
        json_array_foreach (json_object_get(config, "options"), i, v) {
                _cleanup_free_ char *path = strformat("options[%zu]", i);

                if (path && !*json_str_or(v, "name", ""))
                        finding_add(f, FINDING_REQUIRED, path, NULL, "must not be empty");
        }
}

static void validate_dns(struct findings *f, const json_t *spec) {
        const json_t *config = json_object_get(spec, "dnsConfig");
        bool none = streq(json_str_or(spec, "dnsPolicy", ""), "None");
        size_t at;

        if (none && !config)
                finding_add(f, FINDING_REQUIRED, "dnsConfig", NULL,
                                "must provide `dnsConfig` when `dnsPolicy` is None");
        if (!config)
                return;
        at = findings_push(f, "dnsConfig");
        if (none && json_array_size(json_object_get(config, "nameservers")) == 0)
                finding_add(f, FINDING_REQUIRED, "nameservers", NULL,
                                "must provide at least one DNS nameserver when `dnsPolicy` is "
                                "None");
        validate_dns_config(f, config);
        findings_pop(f, at);
}

static void validate_host_aliases(struct findings *f, const json_t *spec) {
        const json_t *alias, *name;
        size_t i, j;

        json_array_foreach (json_object_get(spec, "hostAliases"), i, alias) {
                const json_t *ip = json_object_get(alias, "ip");
                const char *error = format_check(FORMAT_IP, strempty(json_string_value(ip)));
                size_t at = findings_push(f, "hostAliases");

                findings_push_index(f, i);
                if (error)
                        finding_add(f, FINDING_INVALID, "ip", ip, "%s", error);
                json_array_foreach (json_object_get(alias, "hostnames"), j, name) {
                        _cleanup_free_ char *path = strformat("hostnames[%zu]", j);

                        f->failed |= !path;
                        error = format_check(FORMAT_DNS1123_SUBDOMAIN,
                                        strempty(json_string_value(name)));
                        if (error)
                                finding_add(f, FINDING_INVALID, path, name, "%s", error);
                }
                findings_pop(f, at);
        }
}

static void validate_qualified(
                struct findings *f, const json_t *spec, const char *list, const char *field) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(spec, list), i, v) {
                _cleanup_free_ char *path = strformat("%s[%zu].%s", list, i, field);
                const char *error = format_check(FORMAT_QUALIFIED_NAME, json_str_or(v, field, ""));

                f->failed |= !path;
                if (error)
                        finding_add(f, FINDING_INVALID, path, json_object_get(v, field), "%s",
                                        error);
        }
}

/* Names of other objects. */
static void validate_names(struct findings *f, const json_t *spec) {
        static const char *const fields[] = {"nodeName", "priorityClassName", "runtimeClassName"};

        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                const json_t *name = json_object_get(spec, fields[i]);
                const char *text = strempty(json_string_value(name)),
                           *error = *text ? format_check(FORMAT_DNS1123_SUBDOMAIN, text) : NULL;

                if (error)
                        finding_add(f, FINDING_INVALID, fields[i], name, "%s", error);
        }
}

/* The whole host name, which Linux keeps in 64 characters. */
static void validate_hostname_override(struct findings *f, const json_t *spec) {
        enum { HOSTNAME_MAX = 64 };
        const json_t *name = json_object_get(spec, "hostnameOverride");
        const char *text = strempty(json_string_value(name)),
                   *error = *text ? format_check(FORMAT_DNS1123_SUBDOMAIN, text) : NULL;

        if (!*text)
                return;
        if (error)
                finding_add(f, FINDING_INVALID, "hostnameOverride", name, "%s", error);
        if (strlen(text) > HOSTNAME_MAX)
                finding_add(f, FINDING_TOO_LONG, "hostnameOverride", NULL,
                                "may not be more than %d bytes", HOSTNAME_MAX);
        if (json_bool_or(spec, "hostNetwork", false))
                finding_add(f, FINDING_FORBIDDEN, "hostnameOverride", NULL,
                                "may not be set when hostNetwork is true");
        if (json_bool_or(spec, "setHostnameAsFQDN", false))
                finding_add(f, FINDING_FORBIDDEN, "setHostnameAsFQDN", NULL,
                                "may not be true when hostnameOverride is set");
}

/* A claim is named or made from a template; containers ask for claims of the pod. */
static void validate_claim(struct findings *f, const json_t *claim) {
        static const char *const sources[] = {"resourceClaimName", "resourceClaimTemplateName"};
        const json_t *name = json_object_get(claim, "name");
        const char *text = strempty(json_string_value(name)), *error;
        size_t n = 0;

        if (!*text)
                finding_add(f, FINDING_REQUIRED, "name", NULL, NULL);
        else if ((error = format_check(FORMAT_DNS1123_LABEL, text)))
                finding_add(f, FINDING_INVALID, "name", name, "%s", error);
        for (size_t i = 0; i < ELEMENTS(sources); i++) {
                const json_t *v = json_object_get(claim, sources[i]);

                n += v != NULL;
                error = v ? format_check(FORMAT_DNS1123_SUBDOMAIN, json_string_value(v)) : NULL;
                if (error)
                        finding_add(f, FINDING_INVALID, sources[i], v, "%s", error);
        }
        if (n != 1)
                finding_add(f, FINDING_INVALID, NULL, claim, "%s",
                                n ? "at most one of `resourceClaimName` or "
                                    "`resourceClaimTemplateName` may be specified"
                                  : "must specify one of: `resourceClaimName`, "
                                    "`resourceClaimTemplateName`");
}

/* claims: an object with the names of the pod's. */
static void validate_container_claims(struct findings *f, const json_t *spec, const json_t *claims,
                const char *list, size_t index) {
        const json_t *container = json_array_get(json_object_get(spec, list), index), *claim;
        size_t i;

        json_array_foreach (json_at(container, "resources.claims"), i, claim) {
                _cleanup_free_ char *path =
                                strformat("%s[%zu].resources.claims[%zu].name", list, index, i);

                f->failed |= !path;
                if (path && !json_object_get(claims, json_str_or(claim, "name", "")))
                        finding_add(f, FINDING_NOT_FOUND, path, json_object_get(claim, "name"),
                                        NULL);
        }
}

static void validate_claims(struct findings *f, const json_t *spec) {
        static const char *const lists[] = {"initContainers", "containers"};
        _cleanup_json_ json_t *claims = json_object();
        const json_t *claim;
        size_t k;

        findings_each(f, spec, "resourceClaims", validate_claim);
        json_array_foreach (json_object_get(spec, "resourceClaims"), k, claim)
                f->failed |= json_object_set_new(claims, json_str_or(claim, "name", ""),
                                             json_true()) < 0;
        for (size_t l = 0; l < ELEMENTS(lists); l++)
                for (size_t i = 0; i < json_array_size(json_object_get(spec, lists[l])); i++)
                        validate_container_claims(f, spec, claims, lists[l], i);
}

void pod_fields_validate(struct findings *f, const json_t *spec) {
        validate_hostname_override(f, spec);
        validate_claims(f, spec);
        pod_fields_validate_tolerations(f, spec);
        validate_dns(f, spec);
        validate_host_aliases(f, spec);
        validate_qualified(f, spec, "readinessGates", "conditionType");
        validate_qualified(f, spec, "schedulingGates", "name");
        validate_names(f, spec);
}
