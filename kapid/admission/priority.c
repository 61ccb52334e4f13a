/* Priority: a pod's number and policy come from the PriorityClass that it names, or from the one
 * that is the default for all. Only one class may be that default. */
#include "kapid/admission/plugins.h"
#include "kapid/api.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

/* The class that is the default for all; of several the one of the lowest value. NULL: none. */
static json_t *find_default(struct cache *classes) {
        json_t *best = NULL;

        for (struct item *it = cache_first(classes, ""); it; it = cache_next(classes, it)) {
                _cleanup_json_ json_t *class = item_object(it);

                if (!class || !json_bool_or(class, "globalDefault", false))
                        continue;
                if (best && json_int_or(best, "value", 0) <= json_int_or(class, "value", 0))
                        continue;
                json_decref(best);
                best = TAKE_PTR(class);
        }
        return best;
}

/* The class of the name; without a name the default one. NULL: none. */
static json_t *find_class(const struct admission *a, const char *name) {
        struct cache *classes = api_cache(a->api, "scheduling.k8s.io", "priorityclasses");
        struct item *it;

        if (!classes)
                return NULL;
        if (isempty(name))
                return find_default(classes);
        it = cache_find(classes, name);
        return it ? item_object(it) : NULL;
}

/* -ENOENT: there is no such class. */
static int find_value(const char *name, const json_t *class, int64_t *ret) {
        const struct system_class *system;

        *ret = json_int_or(class, "value", 0);
        if (class || isempty(name))
                return 0;
        system = system_class_find(name);
        if (!system)
                return -ENOENT;
        *ret = system->value;
        return 0;
}

static int set_value(struct admission *a, int64_t value, struct problem *p) {
        int64_t given = json_int_or(a->draft, "spec.priority", value);

        if (given != value)
                return admission_forbidden(a, p,
                                "the integer value of priority (%lld) must not be provided in pod "
                                "spec; priority admission controller computed %lld from the given "
                                "PriorityClass name",
                                (long long)given, (long long)value);
        return json_set_int(a->draft, "spec.priority", value);
}

static int set_preemption(struct admission *a, const char *policy, struct problem *p) {
        const char *given = json_str_or(a->draft, "spec.preemptionPolicy", policy);

        if (!streq(given, policy))
                return admission_forbidden(a, p,
                                "the string value of PreemptionPolicy (%s) must not be provided in "
                                "pod spec; priority admission controller computed %s from the "
                                "given PriorityClass name",
                                given, policy);
        return json_set_str(a->draft, "spec.preemptionPolicy", policy);
}

static int set_priority(struct admission *a, struct problem *p) {
        const char *name = json_str_or(a->draft, "spec.priorityClassName", "");
        _cleanup_json_ json_t *class = find_class(a, name);
        int64_t value;
        int r;

        if (find_value(name, class, &value) < 0)
                return admission_forbidden(a, p, "no PriorityClass with name %s was found", name);
        r = set_value(a, value, p);
        if (r < 0)
                return r;
        r = set_preemption(a, json_str_or(class, "preemptionPolicy", "PreemptLowerPriority"), p);
        if (r < 0 || !class || !isempty(name))
                return r;
        return json_set_str(a->draft, "spec.priorityClassName", object_name(class));
}

/* --- the classes --- */

static int check_default(struct admission *a, struct problem *p) {
        struct cache *classes = api_cache(a->api, "scheduling.k8s.io", "priorityclasses");
        _cleanup_json_ json_t *other = NULL;

        if (!classes || !json_bool_or(a->object, "globalDefault", false))
                return 0;
        other = find_default(classes);
        if (!other || streq(object_name(other), a->name))
                return 0;
        return admission_forbidden(a, p,
                        "PriorityClass %s is already marked as default. Only one default can exist",
                        object_name(other));
}

static int keep_system_class(struct admission *a, struct problem *p) {
        if (system_class_find(a->name))
                return admission_forbidden(
                                a, p, "this is a system priority class and cannot be deleted");
        return 0;
}

static const struct admission_rule rules[] = {
                {.group = "", .plural = "pods", .operations = ADMIT_CREATE, .mutate = set_priority},
                {.group = "scheduling.k8s.io",
                                .plural = "priorityclasses",
                                .operations = ADMIT_WRITE | ADMIT_DELETE,
                                .validate = check_default,
                                .may_delete = keep_system_class},
                {0},
};

const struct admission_plugin admission_priority = {.safeguard = true, .rules = rules};
