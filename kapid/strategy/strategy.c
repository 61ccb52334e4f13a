/* Finds strategies, and the checks that several kinds share. */
#include "kapid/strategy/strategy.h"

#include "kapid/schema/format.h"
#include "kapid/strategy/pod-ephemeral.h"
#include "lib/object.h"

enum { ANNOTATIONS_SIZE_MAX = 256 * 1024 };

const struct kind_strategy *strategy_find(const char *group, const char *kind) {
        static const struct kind_strategy *const all[] = {strategies_core, strategies_pod,
                        strategies_service, strategies_apps, strategies_batch,
                        strategies_certificates, strategies_rbac, strategies_apiextensions,
                        strategies_keelson, strategies_networking, strategies_policy,
                        strategies_storage, strategies_other, strategies_quota,
                        strategies_autoscaling, strategies_addresspool, strategies_descheduling,
                        strategies_endpoints, strategies_admissionregistration,
                        strategies_admissionpolicies, strategies_apiregistration,
                        strategies_events, strategies_csi, strategies_node,
                        strategies_podtemplate, strategies_flowcontrol};
        static const struct kind_strategy none = {.name = NAME_SUBDOMAIN};

        for (size_t i = 0; i < ELEMENTS(all); i++)
                for (const struct kind_strategy *s = all[i]; s->kind; s++)
                        if (streq(s->kind, kind) && streq(s->group, group))
                                return s;
        return &none;
}

static const char *name_error(const char *name, enum name_rule rule) {
        switch (rule) {
        case NAME_LABEL:
                return format_check(FORMAT_DNS1123_LABEL, name);
        case NAME_LABEL_1035:
                return format_check(FORMAT_DNS1035_LABEL, name);
        case NAME_PATH_SEGMENT:
                if (streq(name, ".") || streq(name, ".."))
                        return "may not be '.' or '..'";
                if (strpbrk(name, "/%"))
                        return "may not contain '/' or '%'";
                return NULL;
        default:
                return format_check(FORMAT_DNS1123_SUBDOMAIN, name);
        }
}

/* generateName is what a name begins with: a dash at its end is followed by letters. */
static void validate_stem(struct findings *f, const json_t *stem, enum name_rule rule) {
        _cleanup_free_ char *text = strdup(json_string_value(stem));
        size_t n = text ? strlen(text) : 0;
        const char *error;

        f->failed |= !text;
        if (n > 1 && text[n - 1] == '-')
                text[n - 1] = 'a';
        error = text ? name_error(text, rule) : NULL;
        if (error)
                finding_add(f, FINDING_INVALID, "generateName", stem, "%s", error);
}

static void validate_names(
                struct findings *f, const json_t *metadata, enum name_rule rule, bool namespaced) {
        const json_t *name = json_object_get(metadata, "name"),
                     *ns = json_object_get(metadata, "namespace"),
                     *stem = json_object_get(metadata, "generateName");
        const char *text = json_string_value(name), *space = json_string_value(ns), *error;

        if (!isempty(json_string_value(stem)))
                validate_stem(f, stem, rule);
        if (isempty(text))
                finding_add(f, FINDING_REQUIRED, "name", NULL, "name or generateName is required");
        else if ((error = name_error(text, rule)))
                finding_add(f, FINDING_INVALID, "name", name, "%s", error);
        if (namespaced && isempty(space))
                finding_add(f, FINDING_REQUIRED, "namespace", NULL, NULL);
        else if (namespaced && (error = format_check(FORMAT_DNS1123_LABEL, space)))
                finding_add(f, FINDING_INVALID, "namespace", ns, "%s", error);
        else if (!namespaced && !isempty(space))
                finding_add(f, FINDING_FORBIDDEN, "namespace", NULL, "not allowed on this type");
}

static void validate_labels(struct findings *f, const json_t *labels) {
        const char *key, *error;
        json_t *value;

        json_object_foreach ((json_t *)labels, key, value) {
                _cleanup_json_ json_t *name = json_string(key);

                if ((error = format_check(FORMAT_QUALIFIED_NAME, key)))
                        finding_add(f, FINDING_INVALID, "labels", name, "%s", error);
                if (json_is_string(value) && (error = format_check(FORMAT_LABEL_VALUE,
                                                              json_string_value(value))))
                        finding_add(f, FINDING_INVALID, "labels", value, "%s", error);
        }
}

static void validate_annotations(struct findings *f, const json_t *annotations) {
        size_t total = 0;
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *)annotations, key, value) {
                _cleanup_free_ char *lower = strdup(key);
                const char *error;

                total += strlen(key) + json_string_length(value);
                for (char *s = lower; s && *s; s++)
                        if (*s >= 'A' && *s <= 'Z')
                                *s = (char)(*s - 'A' + 'a');
                if (lower && (error = format_check(FORMAT_QUALIFIED_NAME, lower))) {
                        _cleanup_json_ json_t *name = json_string(key);

                        finding_add(f, FINDING_INVALID, "annotations", name, "%s", error);
                }
        }
        if (total > ANNOTATIONS_SIZE_MAX)
                finding_add(f, FINDING_TOO_LONG, "annotations", NULL,
                                "may not be more than %i bytes", ANNOTATIONS_SIZE_MAX);
}

/* Events end by themselves; of what is not "version" or "group/version" no one finds the owner. */
static void validate_owner(struct findings *f, const json_t *ref) {
        const char *version = json_str_or(ref, "apiVersion", ""), *slash = strchr(version, '/');

        if (streq(json_str_or(ref, "kind", ""), "Event") && streq(version, "v1"))
                finding_add(f, FINDING_INVALID, "ownerReferences", ref,
                                "/v1, Kind=Event is disallowed from being an owner");
        if (slash && (!slash[1] || strchr(slash + 1, '/')))
                finding_add(f, FINDING_INVALID, "ownerReferences.apiVersion",
                                json_object_get(ref, "apiVersion"), "version must not be empty");
}

static void validate_owners(struct findings *f, const json_t *owners) {
        unsigned controllers = 0;
        const json_t *ref;
        size_t i;

        json_array_foreach (owners, i, ref) {
                controllers += json_bool_or(ref, "controller", false);
                validate_owner(f, ref);
        }
        if (controllers > 1)
                finding_add(f, FINDING_INVALID, "ownerReferences", owners,
                                "Only one reference can have Controller set to true");
}

/* Those without a domain are Kubernetes' own; objects of some groups may have others
 * (f->domains). */
static bool is_finalizer(const char *name) {
        static const char *const standard[] = {"kubernetes", "orphan", "foregroundDeletion"};

        for (size_t i = 0; i < ELEMENTS(standard); i++)
                if (streq(standard[i], name))
                        return true;
        return strchr(name, '/') != NULL;
}

void strategy_validate_metadata(
                struct findings *f, const json_t *metadata, enum name_rule rule, bool namespaced) {
        size_t at = findings_push(f, "metadata");
        const json_t *item;
        const char *error;
        size_t i;

        validate_names(f, metadata, rule, namespaced);
        validate_labels(f, json_object_get(metadata, "labels"));
        validate_annotations(f, json_object_get(metadata, "annotations"));
        validate_owners(f, json_object_get(metadata, "ownerReferences"));
        json_array_foreach (json_object_get(metadata, "finalizers"), i, item) {
                if (json_is_string(item) && (error = format_check(FORMAT_QUALIFIED_NAME,
                                                             json_string_value(item))))
                        finding_add(f, FINDING_INVALID, "finalizers", item, "%s", error);
                else if (f->domains && !is_finalizer(strempty(json_string_value(item)))) {
                        _cleanup_free_ char *path = strformat("finalizers[%zu]", i);

                        f->failed |= !path;
                        finding_add(f, FINDING_INVALID, path, item,
                                        "name is neither a standard finalizer name nor is it fully "
                                        "qualified");
                }
        }
        findings_pop(f, at);
}

/* The key and the values of a term of a selector. */
static void validate_term_words(struct findings *f, const json_t *term) {
        const json_t *key = json_object_get(term, "key"), *value;
        const char *error = format_check(FORMAT_QUALIFIED_NAME, strempty(json_string_value(key)));
        size_t i;

        if (error)
                finding_add(f, FINDING_INVALID, "key", key, "%s", error);
        json_array_foreach (json_object_get(term, "values"), i, value) {
                _cleanup_free_ char *path = strformat("values[%zu]", i);

                f->failed |= !path;
                error = format_check(FORMAT_LABEL_VALUE, strempty(json_string_value(value)));
                if (error)
                        finding_add(f, FINDING_INVALID, path, value, "%s", error);
        }
}

void strategy_validate_label_selector(struct findings *f, const json_t *selector) {
        size_t at = findings_push(f, "matchLabels"), i;
        const json_t *item;

        {
                const json_t *labels = json_object_get(selector, "matchLabels");
                const char *key, *error;
                json_t *value;

                json_object_foreach ((json_t *)labels, key, value) {
                        _cleanup_json_ json_t *name = json_string(key);

                        if ((error = format_check(FORMAT_QUALIFIED_NAME, key)))
                                finding_add(f, FINDING_INVALID, NULL, name, "%s", error);
                        if ((error = format_check(FORMAT_LABEL_VALUE,
                                             strempty(json_string_value(value)))))
                                finding_add(f, FINDING_INVALID, NULL, value, "%s", error);
                }
        }
        findings_pop(f, at);
        json_array_foreach (json_object_get(selector, "matchExpressions"), i, item) {
                const char *operator= json_str_or(item, "operator", "");
                size_t n = json_array_size(json_object_get(item, "values"));

                at = findings_push(f, "matchExpressions");
                findings_push_index(f, i);
                if ((streq(operator, "In") || streq(operator, "NotIn")) && n == 0)
                        finding_add(f, FINDING_REQUIRED, "values", NULL,
                                        "must be specified when `operator` is 'In' or 'NotIn'");
                if ((streq(operator, "Exists") || streq(operator, "DoesNotExist")) && n > 0)
                        finding_add(f, FINDING_FORBIDDEN, "values", NULL,
                                        "may not be specified when `operator` is 'Exists' or "
                                        "'DoesNotExist'");
                validate_term_words(f, item);
                findings_pop(f, at);
        }
}

/* The selector, and the labels that it must match. */
static void validate_selection(struct findings *f, const json_t *object) {
        const json_t *selector = json_at(object, "spec.selector");
        const json_t *labels = json_at(object, "spec.template.metadata.labels");
        _cleanup_(label_selector_freep) struct label_selector *s = NULL;
        _cleanup_problem_ struct problem p = {0};
        bool map = label_selector_is_map(selector);
        size_t at = findings_push(f, "spec.selector");

        if (!map)
                strategy_validate_label_selector(f, selector);
        findings_pop(f, at);
        if (!json_is_object(selector))
                return;
        if (!map && json_object_size(json_object_get(selector, "matchLabels")) == 0 &&
                        json_array_size(json_object_get(selector, "matchExpressions")) == 0)
                finding_add(f, FINDING_INVALID, "spec.selector", selector,
                                "empty selector is invalid for this kind");
        else if (label_selector_from_any(selector, &s, &p) == 0 &&
                        !label_selector_matches(s, labels)) {
                _cleanup_json_ json_t *none = json_object();

                finding_add(f, FINDING_INVALID, "spec.template.metadata.labels",
                                labels ? labels : none,
                                "`selector` does not match template `labels`");
        }
}

void strategy_validate_pod_template(struct findings *f, const json_t *template,
                void (*more)(struct findings *f, const json_t *spec)) {
        const json_t *spec = json_object_get(template, "spec");
        size_t at = findings_push(f, "metadata");

        validate_labels(f, json_at(template, "metadata.labels"));
        validate_annotations(f, json_at(template, "metadata.annotations"));
        findings_pop(f, at);
        if (!spec) {
                finding_add(f, FINDING_REQUIRED, "spec", NULL, NULL);
                return;
        }
        at = findings_push(f, "spec");
        strategy_validate_pod_spec(f, spec);
        pod_ephemeral_validate_none(f, spec, "ephemeralContainers",
                        "ephemeral containers not allowed in pod template");
        if (more)
                more(f, spec);
        findings_pop(f, at);
}

void strategy_validate_template(struct findings *f, const json_t *object,
                void (*more)(struct findings *f, const json_t *spec)) {
        size_t at;

        validate_selection(f, object);
        at = findings_push(f, "spec.template");
        strategy_validate_pod_template(f, json_at(object, "spec.template"), more);
        findings_pop(f, at);
}

bool strategy_was_seen(struct findings *f, json_t *seen, const char *text) {
        bool had = json_object_get(seen, text);

        f->failed |= json_object_set_new(seen, text, json_true()) < 0;
        return had;
}

void strategy_validate_immutable(
                struct findings *f, const json_t *old, const json_t *object, const char *path) {
        const json_t *a = json_at(old, path), *b = json_at(object, path);

        if (a != b && (!a || !b || !json_equal(a, b)))
                finding_add(f, FINDING_INVALID, path, b ? b : json_null(), "field is immutable");
}

static int read_count_or_percent(const json_t *v, int64_t *ret) {
        const char *text = json_string_value(v);
        char number[16];
        size_t n;

        if (json_is_integer(v)) {
                *ret = json_integer_value(v);
                return 0;
        }
        n = text ? strlen(text) : 0;
        if (n < 2 || n > sizeof(number) || text[n - 1] != '%')
                return -EINVAL;
        memcpy(number, text, n - 1);
        number[n - 1] = 0;
        return parse_i64(number, ret);
}

int strategy_count_or_percent(
                struct findings *f, const char *field, const json_t *v, int64_t *ret) {
        int64_t n;

        if (read_count_or_percent(v, &n) < 0) {
                finding_add(f, FINDING_INVALID, field, v,
                                "a valid percent string must be a numeric string followed by an "
                                "ending '%%' (e.g. '1%%',  or '93%%', regex used for validation is "
                                "'[0-9]+%%')");
                return -EINVAL;
        }
        if (n < 0) {
                finding_add(f, FINDING_INVALID, field, v, "must be greater than or equal to 0");
                return -EINVAL;
        }
        *ret = n;
        return 0;
}
