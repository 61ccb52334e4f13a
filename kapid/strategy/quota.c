/* ResourceQuotas and LimitRanges: which resources and scopes may be named, and amounts that
 * contradict each other. The rules and words are those of kube-apiserver's validation. */
#include <math.h>

#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"
#include "lib/quantity.h"

static bool is_one_of(const char *s, const char *const *words) {
        for (; *words; words++)
                if (streq(s, *words))
                        return true;
        return false;
}

/* --- quotas --- */

static const char *const quota_resources[] = {"cpu", "memory", "ephemeral-storage", "requests.cpu",
                "requests.memory", "requests.storage", "requests.ephemeral-storage", "limits.cpu",
                "limits.memory", "limits.ephemeral-storage", "pods", "resourcequotas", "services",
                "replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps",
                "services.nodeports", "services.loadbalancers", NULL};
/* Those that a scope of pods goes with. */
static const char *const pod_resources[] = {"pods", "cpu", "memory", "limits.cpu", "limits.memory",
                "requests.cpu", "requests.memory", NULL};
static const char *const claim_resources[] = {"persistentvolumeclaims", "requests.storage", NULL};
/* Counted in whole objects. */
static const char *const whole_resources[] = {"pods", "resourcequotas", "services",
                "replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps",
                "services.nodeports", "services.loadbalancers", NULL};

static bool is_standard(const char *resource) {
        return is_one_of(resource, quota_resources) || startswith(resource, "hugepages-") ||
               startswith(resource, "requests.hugepages-");
}

static void quota_check_resource(
                struct findings *f, const char *resource, const char *path, const json_t *amount) {
        _cleanup_json_ json_t *name = json_string(resource);
        const char *error = format_check(FORMAT_QUALIFIED_NAME, resource);
        bool whole = is_one_of(resource, whole_resources) || startswith(resource, "count/");
        struct quantity q;

        if (error)
                finding_add(f, FINDING_INVALID, path, name, "%s", error);
        if (!strchr(resource, '/') && !is_standard(resource))
                finding_add(f, FINDING_INVALID, path, name,
                                "must be a standard resource for quota");
        if (quantity_read(amount, &q) < 0)
                finding_add(f, FINDING_INVALID, path, amount, "must be an amount below 1e27");
        else if (q.milli < 0)
                finding_add(f, FINDING_INVALID, path, amount, "must be greater than or equal to 0");
        else if (whole && q.milli % 1000 != 0)
                finding_add(f, FINDING_INVALID, path, amount, "must be an integer");
}

static void quota_check_amounts(struct findings *f, const json_t *amounts, const char *field) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)amounts, key, v) {
                _cleanup_free_ char *path = strformat("%s[%s]", field, key);

                quota_check_resource(f, key, strempty(path), v);
        }
}

static const struct {
        const char *name;
        bool needs_exists; /* in a scopeSelector, the only operator */
        const char *const *resources;
} quota_scopes[] = {
                {"Terminating", true, pod_resources},
                {"NotTerminating", true, pod_resources},
                {"BestEffort", true, NULL}, /* pods alone */
                {"NotBestEffort", true, pod_resources},
                {"PriorityClass", false, pod_resources},
                {"CrossNamespacePodAffinity", true, pod_resources},
                {"VolumeAttributesClass", false, claim_resources},
};

/* The index of a scope, or ELEMENTS(quota_scopes). */
static size_t scope_index(const char *name) {
        size_t i = 0;

        while (i < ELEMENTS(quota_scopes) && !streq(quota_scopes[i].name, name))
                i++;
        return i;
}

/* Whether every standard resource of the quota can be in the scope. */
static bool scope_fits(size_t scope, const json_t *spec) {
        const char *const *resources = quota_scopes[scope].resources;
        const char *key;
        json_t *v;

        json_object_foreach (json_object_get(spec, "hard"), key, v) {
                if (!is_standard(key))
                        continue;
                if (resources ? !is_one_of(key, resources) : !streq(key, "pods"))
                        return false;
        }
        return true;
}

static void check_conflict(struct findings *f, unsigned seen, const char *path, const json_t *v) {
        static const char *const pairs[][2] = {
                        {"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"}};

        for (size_t i = 0; i < ELEMENTS(pairs); i++)
                if (seen & (1U << scope_index(pairs[i][0])) &&
                                seen & (1U << scope_index(pairs[i][1])))
                        finding_add(f, FINDING_INVALID, path, v, "conflicting scopes");
}

static void check_scopes(struct findings *f, const json_t *spec) {
        const json_t *scopes = json_object_get(spec, "scopes"), *scope;
        unsigned seen = 0;
        size_t i;

        json_array_foreach (scopes, i, scope) {
                size_t index = scope_index(strempty(json_string_value(scope)));

                if (index == ELEMENTS(quota_scopes)) {
                        finding_add(f, FINDING_INVALID, "spec.scopes", scopes, "unsupported scope");
                        continue;
                }
                if (!scope_fits(index, spec))
                        finding_add(f, FINDING_INVALID, "spec.scopes", scopes,
                                        "unsupported scope applied to resource");
                seen |= 1U << index;
        }
        check_conflict(f, seen, "spec.scopes", scopes);
}

static void check_operator(struct findings *f, size_t scope, const json_t *term) {
        static const char *const with_values[] = {"In", "NotIn", NULL},
                                 *const without[] = {"Exists", "DoesNotExist", NULL};
        const json_t *word = json_object_get(term, "operator"),
                     *values = json_object_get(term, "values");
        const char *operator= strempty(json_string_value(word));

        if (scope < ELEMENTS(quota_scopes) && quota_scopes[scope].needs_exists &&
                        !streq(operator, "Exists"))
                finding_add(f, FINDING_INVALID, "operator", word,
                                "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating,"
                                " ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                                "ResourceQuotaScopeNotBestEffort or "
                                "ResourceQuotaScopeCrossNamespacePodAffinity");
        if (is_one_of(operator, with_values)) {
                if (json_array_size(values) == 0)
                        finding_add(f, FINDING_REQUIRED, "values", NULL,
                                        "must be at least one value when `operator` is 'In' or "
                                        "'NotIn' for scope selector");
        } else if (!is_one_of(operator, without))
                finding_add(f, FINDING_INVALID, "operator", word, "not a valid selector operator");
        else if (json_array_size(values) > 0)
                finding_add(f, FINDING_INVALID, "values", values,
                                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for "
                                "scope selector");
}

static void check_scope_selector(struct findings *f, const json_t *spec) {
        static const char path[] = "spec.scopeSelector.matchExpressions";
        const json_t *selector = json_object_get(spec, "scopeSelector"), *term;
        unsigned seen = 0;
        size_t i;

        json_array_foreach (json_object_get(selector, "matchExpressions"), i, term) {
                size_t at = findings_push(f, path), index;

                index = scope_index(json_str_or(term, "scopeName", ""));
                if (index == ELEMENTS(quota_scopes))
                        finding_add(f, FINDING_INVALID, "scopeName",
                                        json_object_get(term, "scopeName"), "unsupported scope");
                else if (!scope_fits(index, spec))
                        finding_add(f, FINDING_INVALID, NULL, selector,
                                        "unsupported scope applied to resource");
                check_operator(f, index, term);
                findings_pop(f, at);
                if (index < ELEMENTS(quota_scopes))
                        seen |= 1U << index;
        }
        check_conflict(f, seen, path, selector);
}

static void quota_validate(struct findings *f, const json_t *object) {
        const json_t *spec = json_object_get(object, "spec");

        quota_check_amounts(f, json_object_get(spec, "hard"), "spec.hard");
        check_scopes(f, spec);
        check_scope_selector(f, spec);
}

/* Whether both lists have the same words, in any order. */
static bool same_words(const json_t *a, const json_t *b) {
        const json_t *lists[] = {a, b}, *v, *other;
        size_t i, j;

        for (size_t l = 0; l < 2; l++)
                json_array_foreach (lists[l], i, v) {
                        bool found = false;

                        json_array_foreach (lists[1 - l], j, other)
                                found |= json_equal((json_t *)v, (json_t *)other);
                        if (!found)
                                return false;
                }
        return true;
}

static void quota_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        const json_t *before = json_at(old, "spec.scopes"), *after = json_at(object, "spec.scopes");

        if (!same_words(before, after))
                finding_add(f, FINDING_INVALID, "spec.scopes", after ? after : json_null(),
                                "field is immutable");
}

/* --- limit ranges --- */

enum amounts { MIN_AMOUNT, MAX_AMOUNT, DEFAULT_AMOUNT, DEFAULT_REQUEST, RATIO, AMOUNTS };
static const char *const amount_fields[AMOUNTS] = {
                "min", "max", "default", "defaultRequest", "maxLimitRequestRatio"};

/* What a limit without a value takes from the others: default from max, defaultRequest from default
 * or from min. */
static int limit_fill(json_t *item, const char *field, const char *from) {
        const json_t *source = json_object_get(item, from);
        json_t *to = json_object_get(item, field), *v;
        const char *key;

        if (json_object_size(source) == 0)
                return 0;
        if (!to) {
                to = json_object();
                if (!to || json_object_set_new(item, field, to) < 0)
                        return -ENOMEM;
        }
        json_object_foreach ((json_t *)source, key, v)
                if (!json_object_get(to, key) && json_object_set(to, key, v) < 0)
                        return -ENOMEM;
        return 0;
}

static int limitrange_defaults(json_t *object) {
        static const char *const steps[][2] = {{"default", "max"}, {"defaultRequest", "default"},
                        {"defaultRequest", "min"}};
        json_t *item;
        size_t i;

        json_array_foreach (json_at_mut(object, "spec.limits"), i, item)
                for (size_t s = 0; s < ELEMENTS(steps); s++) {
                        int r;

                        if (!streq(json_str_or(item, "type", ""), "Container"))
                                continue;
                        r = limit_fill(item, steps[s][0], steps[s][1]);
                        if (r < 0)
                                return r;
                }
        return 0;
}

static bool limit_resource_is_known(const char *type, const char *resource) {
        static const char *const compute[] = {"cpu", "memory", "ephemeral-storage", NULL};

        if (strchr(resource, '/'))
                return true;
        if (streq(type, "Container") || streq(type, "Pod"))
                return is_one_of(resource, compute) || startswith(resource, "hugepages-");
        return is_one_of(resource, compute) || streq(resource, "storage") ||
               startswith(resource, "hugepages-");
}

static void limit_check_names(struct findings *f, const char *type, const json_t *item) {
        for (size_t a = 0; a < AMOUNTS; a++) {
                const char *key;
                json_t *v;

                json_object_foreach (json_object_get(item, amount_fields[a]), key, v) {
                        _cleanup_free_ char *path = strformat("%s[%s]", amount_fields[a], key);
                        _cleanup_json_ json_t *name = json_string(key);
                        const char *error = format_check(FORMAT_QUALIFIED_NAME, key);
                        struct quantity q;

                        if (error)
                                finding_add(f, FINDING_INVALID, path, name, "%s", error);
                        else if (!limit_resource_is_known(type, key))
                                finding_add(f, FINDING_INVALID, path, name,
                                                streq(type, "Container") || streq(type, "Pod")
                                                                ? "must be a standard resource for "
                                                                  "containers"
                                                                : "must be a standard resource type "
                                                                  "or fully qualified");
                        if (quantity_read(v, &q) < 0)
                                finding_add(f, FINDING_INVALID, path, v,
                                                "must be an amount below 1e27");
                }
        }
}

static const struct {
        enum amounts low, high; /* low may not be above high */
        enum amounts about;     /* the field that the finding names */
        const char *words[2];
} limit_orders[] = {
                {MIN_AMOUNT, MAX_AMOUNT, MIN_AMOUNT, {"min value", "max value"}},
                {MIN_AMOUNT, DEFAULT_REQUEST, DEFAULT_REQUEST,
                                {"min value", "default request value"}},
                {DEFAULT_REQUEST, MAX_AMOUNT, DEFAULT_REQUEST,
                                {"default request value", "max value"}},
                {DEFAULT_REQUEST, DEFAULT_AMOUNT, DEFAULT_REQUEST,
                                {"default request value", "default limit value"}},
                {MIN_AMOUNT, DEFAULT_AMOUNT, DEFAULT_AMOUNT, {"min value", "default value"}},
                {DEFAULT_AMOUNT, MAX_AMOUNT, DEFAULT_AMOUNT, {"default value", "max value"}},
};

static void limit_finding(struct findings *f, enum amounts about, const char *resource,
                const json_t *value, const char *text) {
        _cleanup_free_ char *path = strformat("%s[%s]", amount_fields[about], resource);

        finding_add(f, FINDING_INVALID, path, value, "%s", strempty(text));
}

static void limit_check_ratio(
                struct findings *f, const char *resource, const json_t *const v[AMOUNTS]) {
        const char *ratio = strempty(json_string_value(v[RATIO]));
        struct quantity q = {0}, low = {0}, high = {0};
        _cleanup_free_ char *text = NULL;

        if (!v[RATIO] || quantity_read(v[RATIO], &q) < 0)
                return;
        if (q.milli < 1000) {
                text = strformat("ratio %s is less than 1", ratio);
                limit_finding(f, RATIO, resource, v[RATIO], text);
                return;
        }
        if (!v[MIN_AMOUNT] || !v[MAX_AMOUNT] || quantity_read(v[MIN_AMOUNT], &low) < 0 ||
                        quantity_read(v[MAX_AMOUNT], &high) < 0 || low.milli <= 0)
                return;
        if (ceil((double)q.milli / 1000) <= (double)high.milli / (double)low.milli)
                return;
        text = strformat("ratio %s is greater than max/min = %f", ratio,
                        (double)high.milli / (double)low.milli);
        limit_finding(f, RATIO, resource, v[RATIO], text);
}

/* The amounts of one resource against each other. */
static void limit_check_resource(struct findings *f, const json_t *item, const char *resource) {
        const json_t *v[AMOUNTS];
        int order;

        for (size_t a = 0; a < AMOUNTS; a++)
                v[a] = json_object_get(json_object_get(item, amount_fields[a]), resource);
        for (size_t i = 0; i < ELEMENTS(limit_orders); i++) {
                const json_t *low = v[limit_orders[i].low], *high = v[limit_orders[i].high];
                _cleanup_free_ char *text = NULL;

                if (!low || !high || quantity_compare(low, high, &order) < 0 || order <= 0)
                        continue;
                text = strformat("%s %s is greater than %s %s", limit_orders[i].words[0],
                                strempty(json_string_value(low)), limit_orders[i].words[1],
                                strempty(json_string_value(high)));
                limit_finding(f, limit_orders[i].about, resource, v[limit_orders[i].about], text);
        }
        limit_check_ratio(f, resource, v);
        /* Whole devices and huge pages cannot be overcommitted. */
        if ((strchr(resource, '/') || startswith(resource, "hugepages-")) && v[DEFAULT_AMOUNT] &&
                        v[DEFAULT_REQUEST] &&
                        quantity_compare(v[DEFAULT_AMOUNT], v[DEFAULT_REQUEST], &order) >= 0 &&
                        order != 0)
                limit_finding(f, DEFAULT_REQUEST, resource, v[DEFAULT_REQUEST],
                                "default value and default request value must be equal for a "
                                "resource that cannot be overcommitted");
}

static void limit_check_item(struct findings *f, const json_t *item) {
        static const char *const types[] = {"Container", "Pod", "PersistentVolumeClaim", NULL};
        const json_t *type = json_object_get(item, "type");
        const char *word = strempty(json_string_value(type)), *key;
        _cleanup_json_ json_t *names = json_object();
        json_t *v;

        if (format_check(FORMAT_QUALIFIED_NAME, word))
                finding_add(f, FINDING_INVALID, "type", type, "%s",
                                format_check(FORMAT_QUALIFIED_NAME, word));
        else if (!strchr(word, '/') && !is_one_of(word, types))
                finding_add(f, FINDING_INVALID, "type", type,
                                "must be a standard limit type or fully qualified");
        if (streq(word, "Pod"))
                for (size_t a = DEFAULT_AMOUNT; a <= DEFAULT_REQUEST; a++)
                        if (json_object_size(json_object_get(item, amount_fields[a])) > 0)
                                finding_add(f, FINDING_FORBIDDEN, amount_fields[a], NULL,
                                                "may not be specified when `type` is 'Pod'");
        if (streq(word, "PersistentVolumeClaim") && !json_get(item, "min", "storage", NULL) &&
                        !json_get(item, "max", "storage", NULL))
                finding_add(f, FINDING_REQUIRED, "limits", NULL,
                                "either minimum or maximum storage value is required, but neither "
                                "was provided");
        limit_check_names(f, word, item);
        for (size_t a = 0; a < AMOUNTS; a++)
                f->failed |= !names ||
                             (json_object_get(item, amount_fields[a]) &&
                                             json_object_update(names,
                                                             json_object_get(item,
                                                                             amount_fields[a])) <
                                                             0);
        json_object_foreach (names, key, v)
                limit_check_resource(f, item, key);
}

static void limitrange_validate(struct findings *f, const json_t *object) {
        const json_t *limits = json_at(object, "spec.limits"), *item, *other;
        size_t i, j;

        json_array_foreach (limits, i, item) {
                size_t at = findings_push(f, "spec.limits");

                findings_push_index(f, i);
                json_array_foreach (limits, j, other)
                        if (j < i && streq(json_str_or(item, "type", ""),
                                                     json_str_or(other, "type", ""))) {
                                finding_add(f, FINDING_DUPLICATE, "type",
                                                json_object_get(item, "type"), NULL);
                                break;
                        }
                limit_check_item(f, item);
                findings_pop(f, at);
        }
}

const struct kind_strategy strategies_quota[] = {
                {.group = "",
                                .kind = "ResourceQuota",
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_READ_AT_ONCE |
                                         STRATEGY_STATUS_COUNTED | STRATEGY_RETURNS_DELETED,
                                .validate = quota_validate,
                                .validate_update = quota_validate_update},
                {.group = "",
                                .kind = "LimitRange",
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_READ_AT_ONCE,
                                .defaults = limitrange_defaults,
                                .validate = limitrange_validate},
                {0},
};
