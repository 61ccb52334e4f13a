/* Small groups: leases, priority classes. */
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

const struct system_class *system_class_find(const char *name) {
        static const struct system_class classes[] = {
                        {"system-cluster-critical", 2000000000},
                        {"system-node-critical", 2000001000},
        };

        for (size_t i = 0; i < ELEMENTS(classes); i++)
                if (streq(name, classes[i].name))
                        return &classes[i];
        return NULL;
}

static char *system_class_error(const json_t *object) {
        const char *name = object_name(object);
        const struct system_class *class = system_class_find(name);

        if (!class)
                return strformat("%s is not a known system priority class", name);
        if (json_int_or(object, "value", 0) != class->value)
                return strformat("value of %s PriorityClass must be %lld", name,
                                (long long)class->value);
        if (json_bool_or(object, "globalDefault", false))
                return strformat("globalDefault of %s PriorityClass must be false", name);
        return NULL;
}

static void priorityclass_validate(struct findings *f, const json_t *object) {
        _cleanup_free_ char *error = NULL;

        if (!startswith(object_name(object), "system-")) {
                if (json_int_or(object, "value", 0) > 1000000000)
                        finding_add(f, FINDING_FORBIDDEN, "value", NULL,
                                        "maximum allowed value of a user defined priority is "
                                        "1000000000");
                return;
        }
        error = system_class_error(object);
        if (error)
                finding_add(f, FINDING_FORBIDDEN, "metadata.name", NULL,
                                "priority class names with 'system-' prefix are reserved for "
                                "system use only. error: %s",
                                error);
}

static void priorityclass_validate_update(struct findings *f, const char *subresource,
                const json_t *old, const json_t *object) {
        if (json_int_or(old, "value", 0) != json_int_or(object, "value", 0))
                finding_add(f, FINDING_FORBIDDEN, "value", NULL,
                                "may not be changed in an update.");
        strategy_validate_immutable(f, old, object, "preemptionPolicy");
}

const struct kind_strategy strategies_other[] = {
                {.group = "coordination.k8s.io",
                                .kind = "Lease",
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_NEEDS_VERSION},
                {.group = "scheduling.k8s.io",
                                .kind = "PriorityClass",
                                .flags = STRATEGY_READ_AT_ONCE,
                                .validate = priorityclass_validate,
                                .validate_update = priorityclass_validate_update},
                {0},
};
