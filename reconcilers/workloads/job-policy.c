/* The policies of a job: the meaning of a failure, and when it has succeeded. */
#include "lib/object.h"
#include "reconcilers/workloads/job-internal.h"

static bool values_have(const json_t *values, json_int_t code) {
        const json_t *v;
        size_t i;

        json_array_foreach (values, i, v)
                if (json_is_integer(v) && json_integer_value(v) == code)
                        return true;
        return false;
}

/* The status of a container that failed with an exit code that the rule is about. */
static const json_t *match_exit_code(const json_t *codes, const json_t *pod) {
        static const char *const lists[] = {"containerStatuses", "initContainerStatuses"};
        const char *name = json_str(codes, "containerName");
        bool is_in = streq(json_str_or(codes, "operator", ""), "In");
        const json_t *c;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_get(pod, "status", lists[l], NULL), i, c) {
                        int64_t code = json_int_or(c, "state.terminated.exitCode", 0);

                        if (code == 0 || (name && !streq(name, json_str_or(c, "name", ""))))
                                continue;
                        if (values_have(json_object_get(codes, "values"), code) == is_in)
                                return c;
                }
        return NULL;
}

/* The condition of a pod that one of the patterns is about. */
static const json_t *match_condition(const json_t *patterns, const json_t *pod) {
        const json_t *x;
        size_t i;

        json_array_foreach (patterns, i, x) {
                const json_t *c = object_condition(pod, json_str_or(x, "type", ""));

                if (c && streq(json_str_or(c, "status", ""), json_str_or(x, "status", "True")))
                        return c;
        }
        return NULL;
}

static enum job_action action_of(const json_t *rule) {
        const char *word = json_str_or(rule, "action", "");

        return streq(word, "Ignore")      ? JOB_IGNORE
               : streq(word, "FailIndex") ? JOB_FAIL_INDEX
               : streq(word, "FailJob")   ? JOB_FAIL_JOB
                                          : JOB_COUNT;
}

static char *failure_message(const json_t *rule, const json_t *pod, const json_t *container,
                const json_t *condition, size_t index) {
        const char *word = json_str_or(rule, "action", "");

        if (container)
                return strformat(
                                "Container %s for pod %s/%s failed with exit code %lld matching %s "
                                "rule at index %zu",
                                json_str_or(container, "name", ""), object_namespace(pod),
                                object_name(pod),
                                (long long)json_int_or(container, "state.terminated.exitCode", 0),
                                word, index);
        return strformat("Pod %s/%s has condition %s matching %s rule at index %zu",
                        object_namespace(pod), object_name(pod), json_str_or(condition, "type", ""),
                        word, index);
}

enum job_action job_failure_action(const json_t *job, const json_t *pod, char **ret_message) {
        const json_t *rule;
        size_t i;

        json_array_foreach (json_at(job, "spec.podFailurePolicy.rules"), i, rule) {
                const json_t *codes = json_object_get(rule, "onExitCodes");
                const json_t *container = codes ? match_exit_code(codes, pod) : NULL;
                const json_t *condition =
                                match_condition(json_object_get(rule, "onPodConditions"), pod);
                enum job_action action = action_of(rule);

                if (!container && !condition)
                        continue;
                if (ret_message && action == JOB_FAIL_JOB) {
                        *ret_message = failure_message(rule, pod, container, condition, i);
                        assert(*ret_message);
                }
                return action;
        }
        return JOB_COUNT;
}

static bool rule_is_met(const json_t *rule, const struct ranges *done) {
        const char *text = json_str(rule, "succeededIndexes");
        const json_t *count = json_object_get(rule, "succeededCount");
        _cleanup_ranges_ struct ranges wanted = {0};
        uint64_t met = ranges_count(done), needed;

        if (text) {
                int r = ranges_parse(text, UINT32_MAX, &wanted, /* ret_error= */ NULL);

                assert(r != -ENOMEM);
                if (r < 0)
                        return false;
                met = ranges_count_common(&wanted, done);
        }
        needed = json_is_integer(count) ? (uint64_t)MAX(json_integer_value(count), (json_int_t)0)
                                        : ranges_count(&wanted);
        return (text || count) && met >= needed;
}

int64_t job_success_rule(const json_t *job, const struct ranges *done) {
        const json_t *rule;
        size_t i;

        json_array_foreach (json_at(job, "spec.successPolicy.rules"), i, rule)
                if (rule_is_met(rule, done))
                        return (int64_t)i;
        return -1;
}
