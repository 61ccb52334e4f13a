/* RuntimeClass: a pod names a class that exists, and gets what the class adds: the overhead, node
 * labels and tolerations. Nothing else may set an overhead. The messages are those of Kubernetes.
 */
#include "kapid/admission/plugins.h"
#include "kapid/cache/cache.h"
#include "lib/object.h"
#include "lib/quantity.h"

/* The class that the pod names: a new reference, NULL where it names none. -EACCES with p: there is
 * no such class. */
static int find_class(struct admission *a, const json_t *pod, json_t **ret, struct problem *p) {
        const char *name = json_str_or(pod, "spec.runtimeClassName", "");
        struct item *it;

        *ret = NULL;
        if (!*name)
                return 0;
        it = admission_find(a, "node.k8s.io", "runtimeclasses", "", name);
        if (!it)
                return admission_forbidden(
                                a, p, "pod rejected: RuntimeClass \"%s\" not found", name);
        *ret = item_object(it);
        return *ret ? 0 : -ENOMEM;
}

static bool is_same_amounts(const json_t *x, const json_t *y) {
        const char *key;
        json_t *v;
        int order;

        if (json_object_size(x) != json_object_size(y))
                return false;
        json_object_each (x, key, v) {
                const json_t *other = json_object_get(y, key);

                if (!other || quantity_compare(v, other, &order) < 0 || order != 0)
                        return false;
        }
        return true;
}

/* --- overhead --- */

static int check_overhead(struct admission *a, const json_t *pod, const json_t *class,
                struct problem *p) {
        const json_t *given = json_at(pod, "spec.overhead"), *overhead = json_at(class, "overhead");

        if (json_object_size(given) == 0)
                return 0;
        if (!overhead)
                return admission_forbidden(a, p,
                                "pod rejected: Pod Overhead set without corresponding RuntimeClass "
                                "defined Overhead");
        if (is_same_amounts(given, json_object_get(overhead, "podFixed")))
                return 0;
        return admission_forbidden(a, p,
                        "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined "
                        "Overhead");
}

static int set_overhead(struct admission *a, const json_t *class) {
        const json_t *fixed = json_at(class, "overhead.podFixed");
        json_t *copy;

        if (json_object_size(fixed) == 0)
                return 0;
        copy = json_tree_copy(fixed); /* the cache has the class; the draft is changed in place */
        return copy ? json_set_at(a->draft, "spec.overhead", copy) : -ENOMEM;
}

/* --- where it runs --- */

static int add_labels(struct admission *a, const json_t *class, struct problem *p) {
        const json_t *wanted = json_at(class, "scheduling.nodeSelector"),
                     *before = json_at(a->draft, "spec.nodeSelector");
        _cleanup_json_ json_t *merged = before ? json_copy(json_unconst(before)) : json_object();
        const char *key;
        json_t *v;

        if (json_object_size(wanted) == 0)
                return 0;
        json_object_each (wanted, key, v) {
                const char *given = json_string_value(json_object_get(before, key)),
                           *text = strempty(json_string_value(v));

                if (given && !streq(given, text))
                        return admission_forbidden(a, p,
                                        "conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; "
                                        "pod.spec.nodeSelector[%s] = %s",
                                        key, text, key, given);
                if (!merged || json_object_set(merged, key, v) < 0)
                        return -ENOMEM;
        }
        return json_set_at(a->draft, "spec.nodeSelector", TAKE_PTR(merged));
}

/* Whether whatever t tolerates is tolerated by the other one too. */
static bool is_part_of(const json_t *t, const json_t *other) {
        const char *key = json_str_or(other, "key", ""), *effect = json_str_or(other, "effect", ""),
                   *operator= json_str_or(other, "operator", "Equal");
        const json_t *seconds = json_object_get(t, "tolerationSeconds"),
                     *most = json_object_get(other, "tolerationSeconds");

        if (json_same(t, other))
                return true;
        if (!streq(key, json_str_or(t, "key", "")) && (*key || !streq(operator, "Exists")))
                return false;
        if (*effect && !streq(effect, json_str_or(t, "effect", "")))
                return false;
        if (streq(effect, "NoExecute") && most &&
                        (!seconds || json_integer_value(seconds) > json_integer_value(most)))
                return false;
        return streq(operator, "Exists") ||
               (streq(operator, json_str_or(t, "operator", "Equal")) &&
                               streq(json_str_or(t, "value", ""), json_str_or(other, "value", "")));
}

/* Whether one of the list but for the i-th makes that one superfluous; of equal ones the first
 * stays. In a long list, of which each would be compared with each, nothing is. */
static bool is_superfluous(const json_t *list, size_t i) {
        enum { COMPARED_MAX = 128 };
        const json_t *t = json_array_get(list, i), *other;
        size_t k;

        if (json_array_size(list) > COMPARED_MAX)
                return false;
        json_array_foreach (list, k, other)
                if (k != i && is_part_of(t, other) && (k < i || !is_part_of(other, t)))
                        return true;
        return false;
}

static int add_tolerations(struct admission *a, const json_t *class) {
        const json_t *wanted = json_at(class, "scheduling.tolerations"),
                     *before = json_at(a->draft, "spec.tolerations");
        _cleanup_json_ json_t *all = json_array(), *merged = json_array(), *more = NULL;
        json_t *t;
        size_t i;

        if (json_array_size(wanted) == 0)
                return 0;
        more = json_tree_copy(wanted);
        if (!all || !merged || !more ||
                        (before && json_array_extend(all, json_unconst(before)) < 0) ||
                        json_array_extend(all, more) < 0)
                return -ENOMEM;
        json_array_foreach (all, i, t)
                if (!is_superfluous(all, i) && json_array_append(merged, t) < 0)
                        return -ENOMEM;
        return json_set_at(a->draft, "spec.tolerations", TAKE_PTR(merged));
}

/* --- the hooks --- */

static int apply_class(struct admission *a, struct problem *p) {
        _cleanup_json_ json_t *class = NULL;
        int r = find_class(a, a->draft, &class, p);

        if (r < 0)
                return r;
        r = check_overhead(a, a->draft, class, p);
        if (r < 0 || !class)
                return r;
        r = set_overhead(a, class);
        if (r < 0)
                return r;
        r = add_labels(a, class, p);
        return r < 0 ? r : add_tolerations(a, class);
}

/* Webhooks may have changed the pod since. */
static int check_class(struct admission *a, struct problem *p) {
        _cleanup_json_ json_t *class = NULL;
        int r = find_class(a, a->object, &class, p);

        return r < 0 ? r : check_overhead(a, a->object, class, p);
}

static const struct admission_rule rules[] = {
                {.group = "",
                                .plural = "pods",
                                .operations = ADMIT_CREATE,
                                .mutate = apply_class,
                                .validate = check_class},
                {0},
};

const struct admission_plugin admission_runtime_class = {.rules = rules};
