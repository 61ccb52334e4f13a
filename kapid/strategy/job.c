/* What a Job's spec must fulfil, apart from its pod: bounds of Indexed jobs, the policies of
 * failure and of success. All rules and numbers are Kubernetes'. */
#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"
#include "lib/ranges.h"

enum {
        PARALLELISM_MAX = 100000,  /* of Indexed jobs */
        COMPLETIONS_MANY = 100000, /* above: with these bounds */
        PARALLELISM_OF_MANY_MAX = 10000,
        FAILED_OF_MANY_MAX = 10000,
        FAILED_INDEXES_MAX = 100000,
        RULES_MAX = 20,
        PATTERNS_MAX = 20,
        EXIT_CODES_MAX = 255,
        MANAGER_SIZE_MAX = 63,
        SUCCEEDED_INDEXES_SIZE_MAX = 64 * 1024,
        INDEX_SIZE = 16
};

void strategy_validate_finishing(struct findings *f, const json_t *spec) {
        const json_t *policy = json_object_get(spec, "restartPolicy");

        if (!policy || streq(json_string_value(policy), "Always"))
                finding_add(f, FINDING_REQUIRED, "restartPolicy", NULL,
                                "valid values: \"OnFailure\", \"Never\"");
}

static void at_most(struct findings *f, const json_t *spec, const char *field, int64_t max,
                const char *when) {
        const json_t *v = json_object_get(spec, field);

        if (json_is_integer(v) && json_integer_value(v) > max)
                finding_add(f, FINDING_INVALID, field, v, "must be less than or equal to %lld%s",
                                (long long)max, when);
}

static void validate_many(struct findings *f, const json_t *spec) {
        static const char when[] =
                        " when completions are above 100000 and used with backoff limit per index";

        if (!json_object_get(spec, "maxFailedIndexes"))
                finding_add(f, FINDING_REQUIRED, "maxFailedIndexes", NULL,
                                "must be specified when completions is above %i", COMPLETIONS_MANY);
        at_most(f, spec, "parallelism", PARALLELISM_OF_MANY_MAX, when);
        at_most(f, spec, "maxFailedIndexes", FAILED_OF_MANY_MAX, when);
}

static void validate_indexed(struct findings *f, const json_t *spec) {
        const json_t *completions = json_object_get(spec, "completions");

        if (!completions) {
                finding_add(f, FINDING_REQUIRED, "completions", NULL,
                                "when completion mode is Indexed");
                return;
        }
        at_most(f, spec, "parallelism", PARALLELISM_MAX, " when completion mode is Indexed");
        at_most(f, spec, "maxFailedIndexes", json_integer_value(completions), "");
        at_most(f, spec, "maxFailedIndexes", FAILED_INDEXES_MAX, "");
        if (json_integer_value(completions) > COMPLETIONS_MANY &&
                        json_object_get(spec, "backoffLimitPerIndex"))
                validate_many(f, spec);
}

static void validate_mode(struct findings *f, const json_t *spec, bool indexed) {
        static const char *const of_indexes[] = {"backoffLimitPerIndex", "maxFailedIndexes"};

        if (indexed)
                validate_indexed(f, spec);
        for (size_t i = 0; i < ELEMENTS(of_indexes) && !indexed; i++)
                if (json_object_get(spec, of_indexes[i]))
                        finding_add(f, FINDING_INVALID, of_indexes[i],
                                        json_object_get(spec, of_indexes[i]),
                                        "requires indexed completion mode");
        if (json_object_get(spec, "maxFailedIndexes") &&
                        !json_object_get(spec, "backoffLimitPerIndex"))
                finding_add(f, FINDING_REQUIRED, "backoffLimitPerIndex", NULL,
                                "when maxFailedIndexes is specified");
}

/* The last index's host name is the longest. */
static void validate_host_name(struct findings *f, const json_t *object) {
        int64_t completions = json_int_or(object, "spec.completions", 0);
        const json_t *name = json_at(object, "metadata.name");
        _cleanup_free_ char *host = strformat(
                        "%s-%lld", strempty(json_string_value(name)), (long long)completions - 1);
        const char *error = host && name && completions > 0
                                            ? format_check(FORMAT_DNS1123_LABEL, host)
                                            : NULL;

        f->failed |= !host;
        if (error)
                finding_add(f, FINDING_INVALID, "metadata.name", name,
                                "will not able to create pod with invalid DNS label: %s", host);
}

static void validate_manager(struct findings *f, const json_t *manager) {
        const char *text = json_string_value(manager), *slash = text ? strchr(text, '/') : NULL;
        _cleanup_free_ char *domain = slash ? strndup(text, (size_t)(slash - text)) : NULL;

        if (!text)
                return;
        if (!slash || !domain || format_check(FORMAT_DNS1123_SUBDOMAIN, domain) || !slash[1])
                finding_add(f, FINDING_INVALID, "managedBy", manager,
                                "must be a domain-prefixed path (such as \"acme.io/foo\")");
        if (strlen(text) > MANAGER_SIZE_MAX)
                finding_add(f, FINDING_TOO_LONG, "managedBy", manager,
                                "may not be more than %i bytes", MANAGER_SIZE_MAX);
}

/* --- podFailurePolicy --- */

static bool has_container(const json_t *pod, const json_t *name) {
        static const char *const lists[] = {"containers", "initContainers"};
        const json_t *c;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_object_get(pod, lists[l]), i, c)
                        if (json_same(json_object_get(c, "name"), name))
                                return true;
        return false;
}

static void validate_values(struct findings *f, const json_t *values, bool is_in) {
        json_int_t last = INT32_MIN;
        bool ordered = true;
        const json_t *v;
        size_t i;

        if (json_array_size(values) == 0)
                finding_add(f, FINDING_INVALID, "values", values ? values : json_null(),
                                "at least one value is required");
        if (json_array_size(values) > EXIT_CODES_MAX)
                finding_add(f, FINDING_TOO_MANY, "values", NULL, "must have at most %i items",
                                EXIT_CODES_MAX);
        json_array_foreach (values, i, v) {
                _cleanup_free_ char *path = strformat("values[%zu]", i);

                f->failed |= !path;
                if (is_in && json_integer_value(v) == 0)
                        finding_add(f, FINDING_INVALID, path, v,
                                        "must not be 0 for the In operator");
                ordered &= i == 0 || json_integer_value(v) >= last;
                last = json_integer_value(v);
        }
        if (!ordered)
                finding_add(f, FINDING_INVALID, "values", values, "must be ordered");
}

static void validate_exit_codes(struct findings *f, const json_t *codes, const json_t *pod) {
        const json_t *name = json_object_get(codes, "containerName"),
                     *operator= json_object_get(codes, "operator");
        const char *word = strempty(json_string_value(operator));
        size_t at = findings_push(f, "onExitCodes");

        if (!*word)
                finding_add(f, FINDING_REQUIRED, "operator", NULL,
                                "valid values: [\"In\" \"NotIn\"]");
        else if (!streq(word, "In") && !streq(word, "NotIn"))
                finding_add(f, FINDING_NOT_SUPPORTED, "operator", operator,
                                "supported values: \"In\", \"NotIn\"");
        if (name && !has_container(pod, name))
                finding_add(f, FINDING_INVALID, "containerName", name,
                                "must be one of the container or initContainer names in the pod "
                                "template");
        validate_values(f, json_object_get(codes, "values"), streq(word, "In"));
        findings_pop(f, at);
}

static void validate_patterns(struct findings *f, const json_t *patterns) {
        const json_t *x;
        size_t i;

        if (json_array_size(patterns) > PATTERNS_MAX)
                finding_add(f, FINDING_TOO_MANY, "onPodConditions", NULL,
                                "must have at most %i items", PATTERNS_MAX);
        json_array_foreach (patterns, i, x) {
                const json_t *type = json_object_get(x, "type"),
                             *status = json_object_get(x, "status");
                const char *word = strempty(json_string_value(status));
                const char *error = format_check(
                                FORMAT_QUALIFIED_NAME, strempty(json_string_value(type)));
                size_t at = findings_push(f, "onPodConditions");

                findings_push_index(f, i);
                if (error)
                        finding_add(f, FINDING_INVALID, "type", type, "%s", error);
                if (!streq(word, "True") && !streq(word, "False") && !streq(word, "Unknown"))
                        finding_add(f, FINDING_NOT_SUPPORTED, "status", status,
                                        "supported values: \"False\", \"True\", \"Unknown\"");
                findings_pop(f, at);
        }
}

static void validate_failure_rule(struct findings *f, const json_t *rule, const json_t *spec) {
        const json_t *action = json_object_get(rule, "action"),
                     *codes = json_object_get(rule, "onExitCodes"),
                     *patterns = json_object_get(rule, "onPodConditions");
        const char *word = strempty(json_string_value(action));

        if (!*word)
                finding_add(f, FINDING_REQUIRED, "action", NULL,
                                "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]");
        else if (streq(word, "FailIndex") && !json_object_get(spec, "backoffLimitPerIndex"))
                finding_add(f, FINDING_INVALID, "action", action,
                                "requires the backoffLimitPerIndex to be set");
        else if (!streq(word, "FailIndex") && !streq(word, "FailJob") && !streq(word, "Ignore") &&
                        !streq(word, "Count"))
                finding_add(f, FINDING_NOT_SUPPORTED, "action", action,
                                "supported values: \"Count\", \"FailIndex\", \"FailJob\", "
                                "\"Ignore\"");
        if (codes)
                validate_exit_codes(f, codes, json_at(spec, "template.spec"));
        validate_patterns(f, patterns);
        if (codes && json_array_size(patterns) > 0)
                finding_add(f, FINDING_INVALID, NULL, rule,
                                "specifying both OnExitCodes and OnPodConditions is not supported");
        if (!codes && json_array_size(patterns) == 0)
                finding_add(f, FINDING_INVALID, NULL, rule,
                                "specifying one of OnExitCodes and OnPodConditions is required");
}

static void validate_failure_policy(struct findings *f, const json_t *spec) {
        const json_t *policy = json_object_get(spec, "podFailurePolicy"),
                     *rules = json_object_get(policy, "rules"),
                     *restart = json_at(spec, "template.spec.restartPolicy"),
                     *replacement = json_object_get(spec, "podReplacementPolicy"), *rule;
        size_t i;

        if (!policy)
                return;
        if (!streq(strempty(json_string_value(restart)), "Never"))
                finding_add(f, FINDING_INVALID, "template.spec.restartPolicy",
                                restart ? restart : json_null(),
                                "only \"Never\" is supported when podFailurePolicy is specified");
        if (replacement && !streq(strempty(json_string_value(replacement)), "Failed"))
                finding_add(f, FINDING_NOT_SUPPORTED, "podReplacementPolicy", replacement,
                                "supported values: \"Failed\"");
        if (json_array_size(rules) > RULES_MAX) {
                finding_add(f, FINDING_TOO_MANY, "podFailurePolicy.rules", NULL,
                                "must have at most %i items", RULES_MAX);
                return;
        }
        json_array_foreach (rules, i, rule) {
                size_t at = findings_push(f, "podFailurePolicy.rules");

                findings_push_index(f, i);
                validate_failure_rule(f, rule, spec);
                findings_pop(f, at);
        }
}

/* --- successPolicy --- */

static void validate_success_rule(struct findings *f, const json_t *rule, int64_t completions) {
        const json_t *count = json_object_get(rule, "succeededCount"),
                     *indexes = json_object_get(rule, "succeededIndexes");
        _cleanup_ranges_ struct ranges set = {0};
        const char *error = NULL;
        int r = 0;

        if (!count && !indexes)
                finding_add(f, FINDING_REQUIRED, NULL, NULL,
                                "at least one of succeededCount or succeededIndexes must be "
                                "specified");
        if (json_string_length(indexes) > SUCCEEDED_INDEXES_SIZE_MAX)
                finding_add(f, FINDING_TOO_LONG, "succeededIndexes", indexes,
                                "may not be more than %i bytes", SUCCEEDED_INDEXES_SIZE_MAX);
        else if (indexes)
                r = ranges_parse(json_string_value(indexes), (uint32_t)completions, &set, &error);
        f->failed |= r == -ENOMEM;
        if (error)
                finding_add(f, FINDING_INVALID, "succeededIndexes", indexes,
                                "error parsing succeededIndexes: %s", error);
        if (!count)
                return;
        if (json_integer_value(count) < 0)
                finding_add(f, FINDING_INVALID, "succeededCount", count,
                                "must be greater than or equal to 0");
        at_most(f, rule, "succeededCount", completions, " (the number of specified completions)");
        if (indexes && r == 0 && !error)
                at_most(f, rule, "succeededCount", (int64_t)ranges_count(&set),
                                " (the number of indexes in the specified succeededIndexes field)");
}

static void validate_success_policy(struct findings *f, const json_t *spec, bool indexed) {
        const json_t *policy = json_object_get(spec, "successPolicy"),
                     *rules = json_object_get(policy, "rules"), *rule;
        int64_t completions = json_int_or(spec, "completions", 0);
        size_t i;

        if (!policy)
                return;
        if (!indexed) {
                finding_add(f, FINDING_INVALID, "successPolicy", policy,
                                "requires indexed completion mode");
                return;
        }
        if (json_array_size(rules) == 0)
                finding_add(f, FINDING_REQUIRED, "successPolicy.rules", NULL,
                                "at least one rules must be specified when the successPolicy is "
                                "specified");
        if (json_array_size(rules) > RULES_MAX) {
                finding_add(f, FINDING_TOO_MANY, "successPolicy.rules", NULL,
                                "must have at most %i items", RULES_MAX);
                return;
        }
        json_array_foreach (rules, i, rule) {
                size_t at = findings_push(f, "successPolicy.rules");

                findings_push_index(f, i);
                validate_success_rule(f, rule, completions);
                findings_pop(f, at);
        }
}

void strategy_validate_job(struct findings *f, const json_t *object) {
        const json_t *spec = json_object_get(object, "spec");
        bool indexed = streq(json_str_or(spec, "completionMode", ""), "Indexed");
        size_t at = findings_push(f, "spec");

        validate_mode(f, spec, indexed);
        validate_manager(f, json_object_get(spec, "managedBy"));
        validate_failure_policy(f, spec);
        validate_success_policy(f, spec, indexed);
        findings_pop(f, at);
        if (indexed)
                validate_host_name(f, object);
}
