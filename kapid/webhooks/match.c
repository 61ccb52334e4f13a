/* Rules, scopes and selectors (reference: apiserver's webhook/predicates). */
#include "kapid/webhooks/match.h"

bool webhook_is_exempt(const struct kind *k) {
        static const char *const plurals[] = {"mutatingwebhookconfigurations",
                        "validatingwebhookconfigurations", "validatingadmissionpolicies",
                        "validatingadmissionpolicybindings", "mutatingadmissionpolicies",
                        "mutatingadmissionpolicybindings"};

        if (!streq(k->group, "admissionregistration.k8s.io"))
                return false;
        for (size_t i = 0; i < ELEMENTS(plurals); i++)
                if (streq(k->plural, plurals[i]))
                        return true;
        return false;
}

static bool is_namespace(const struct kind *k) {
        return streq(k->plural, "namespaces") && *k->group == 0;
}

const char *webhook_namespace(const struct kind *k, const char *namespace, const char *name) {
        return is_namespace(k) ? name : namespace;
}

bool webhook_has_own_form(const struct kind *k, const struct kind_subresource *sub) {
        return sub && sub->kind && !streq(sub->kind, k->kind);
}

void webhook_equivalents_find(const struct kind_registry *registry, const struct kind *k,
                struct webhook_equivalents *ret) {
        const struct kind *other;
        size_t n = 0;

        for (size_t i = 0; (other = kind_registry_at(registry, i)); i++)
                if (other != k && k->stored && other->stored && n < WEBHOOK_EQUIVALENTS_MAX &&
                                streq(other->storage_prefix, k->storage_prefix) &&
                                !streq(other->api_version, k->api_version))
                        ret->kinds[n++] = other;
        ret->kinds[n] = NULL;
}

static bool has_word(const json_t *list, const char *word) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                const char *s = strempty(json_string_value(v));

                if (streq(s, "*") || streq(s, word))
                        return true;
        }
        return false;
}

/* "pods", "pods/status", "pods/" + "*", "*", "*" + "/status": a part matches itself or "*"; one
 * without a slash is about no subresource. */
static bool has_resource(const json_t *list, const char *plural, const char *subresource) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                const char *s = strempty(json_string_value(v)), *slash = strchr(s, '/');
                size_t n = slash ? (size_t)(slash - s) : strlen(s);
                const char *sub = slash ? slash + 1 : "";

                if (!(n == 1 && *s == '*') && !(strlen(plural) == n && strncmp(s, plural, n) == 0))
                        continue;
                if (streq(sub, subresource) || streq(sub, "*"))
                        return true;
        }
        return false;
}

static bool scope_matches(const struct webhook_rule *rule, const struct webhook_request *a) {
        bool cluster = is_namespace(a->kind) || isempty(a->namespace);

        return rule->scope == WEBHOOK_ANY_SCOPE || (rule->scope == WEBHOOK_CLUSTER) == cluster;
}

/* One that the server is to name is on no list of names. */
static bool has_name(const json_t *names, const char *name) {
        const json_t *v;
        size_t i;

        json_array_foreach (names, i, v)
                if (!isempty(name) && streq(strempty(json_string_value(v)), name))
                        return true;
        return json_array_size(names) == 0;
}

static bool rule_matches(const struct webhook_rule *rule, const struct webhook_request *a,
                const struct kind *k) {
        return rule->operations & a->operation && scope_matches(rule, a) &&
               has_word(rule->groups, k->group) && has_word(rule->versions, k->version) &&
               has_resource(rule->resources, k->plural, a->sub ? a->sub->name : "") &&
               has_name(rule->names, a->name);
}

const struct kind *webhook_rules_match(const struct webhook *w, const struct webhook_request *a,
                const struct webhook_equivalents *equivalents) {
        for (size_t i = 0; i < w->rule_count; i++)
                if (rule_matches(&w->rules[i], a, a->kind))
                        return a->kind;
        for (size_t i = 0; i < w->rule_count && !w->exact; i++)
                for (const struct kind *const *k = equivalents->kinds; *k; k++)
                        if (rule_matches(&w->rules[i], a, *k))
                                return *k;
        return NULL;
}

/* What has no namespace matches every namespaceSelector. A Namespace that is written has its own
 * labels, which may be new. */
static bool namespace_matches(const struct webhook *w, const struct webhook_request *a) {
        const json_t *labels = a->namespace_labels;

        if (!w->namespaces || (!is_namespace(a->kind) && isempty(a->namespace)))
                return true;
        if (is_namespace(a->kind) && !a->sub && a->object)
                labels = json_get(a->object, "metadata", "labels", NULL);
        return label_selector_matches(w->namespaces, labels);
}

static bool labels_match(const struct label_selector *s, const json_t *object) {
        const json_t *metadata = json_object_get(object, "metadata");

        return metadata && label_selector_matches(s, json_object_get(metadata, "labels"));
}

static bool object_matches(const struct webhook *w, const struct webhook_request *a) {
        return !w->objects || labels_match(w->objects, a->object) ||
               labels_match(w->objects, a->old_object);
}

bool webhook_selectors_match(const struct webhook *w, const struct webhook_request *a) {
        return namespace_matches(w, a) && object_matches(w, a);
}

const struct kind *webhook_match(const struct webhook *w, const struct webhook_request *a,
                const struct webhook_equivalents *equivalents) {
        const struct kind *k = webhook_rules_match(w, a, equivalents);

        return k && webhook_selectors_match(w, a) ? k : NULL;
}
