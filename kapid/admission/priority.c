/* Priority: a pod's number comes from the PriorityClass that it names, or from the one that is the
 * default for all. */
#include "kapid/admission/plugins.h"
#include "kapid/api.h"
#include "lib/object.h"

/* The classes that every cluster has, also before anybody has made them (KEP-268). */
static const struct {
        const char *name;
        int64_t value;
} system_classes[] = {
                {"system-cluster-critical", 2000000000},
                {"system-node-critical", 2000001000},
};

/* The class of the name; without a name the one that is the default for all. NULL: none. */
static json_t *find_class(const struct admission *a, const char *name) {
        struct cache *classes = api_cache(a->api, "scheduling.k8s.io", "priorityclasses");
        struct item *it;

        if (!classes)
                return NULL;
        if (!isempty(name)) {
                it = cache_find(classes, name);
                return it ? item_object(it) : NULL;
        }
        for (it = cache_first(classes, ""); it; it = cache_next(classes, it)) {
                json_t *class = item_object(it);

                if (class && json_bool_or(class, "globalDefault", false))
                        return class;
                json_decref(class);
        }
        return NULL;
}

/* -ENOENT: there is no such class. */
static int find_value(const char *name, const json_t *class, int64_t *ret) {
        *ret = json_int_or(class, "value", 0);
        if (class || isempty(name))
                return 0;
        for (size_t i = 0; i < ELEMENTS(system_classes); i++)
                if (streq(name, system_classes[i].name)) {
                        *ret = system_classes[i].value;
                        return 0;
                }
        return -ENOENT;
}

static int set_priority(struct admission *a, struct problem *p) {
        const char *name = json_str_or(a->draft, "spec.priorityClassName", "");
        _cleanup_json_ json_t *class = find_class(a, name);
        const char *preemption = json_str(class, "preemptionPolicy");
        int64_t value;
        int r;

        if (find_value(name, class, &value) < 0)
                return admission_forbidden(a, p, "no PriorityClass with name %s was found", name);
        if (json_at(a->draft, "spec.priority") &&
                        json_int_or(a->draft, "spec.priority", 0) != value)
                return admission_forbidden(a, p,
                                "the integer value of priority must not be provided in pod spec; "
                                "priority admission controller computed it from the given "
                                "PriorityClass name");
        if (class && isempty(name)) {
                r = json_set_str(a->draft, "spec.priorityClassName", object_name(class));
                if (r < 0)
                        return r;
        }
        if (preemption) {
                r = json_set_str(a->draft, "spec.preemptionPolicy", preemption);
                if (r < 0)
                        return r;
        }
        return json_set_int(a->draft, "spec.priority", value);
}

static const struct admission_rule rules[] = {
                {.group = "", .plural = "pods", .operations = ADMIT_CREATE, .mutate = set_priority},
                {0},
};

const struct admission_plugin admission_priority = {.safeguard = true, .rules = rules};
