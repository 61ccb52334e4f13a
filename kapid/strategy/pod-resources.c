/* Resources of pods: what spec.resources may say beside the containers' own (KEP-2837), and which
 * changes the subresource "resize" takes (KEP-1287). */
#include "kapid/strategy/pod-resources.h"

#include "kapid/schema/format.h"
#include "lib/object.h"
#include "lib/pod-amounts.h"

static const char *const lists[] = {"initContainers", "containers"};
static const char *const sides[] = {"requests", "limits"};
static const char *const counted[] = {"cpu", "memory"};

static bool is_sidecar(const json_t *container) {
        return streq(json_str_or(container, "restartPolicy", ""), "Always");
}

/* --- containers --- */

/* Whether the scheduler may give out more of it than there is. */
static bool can_overcommit(const char *resource) {
        return !startswith(resource, "hugepages-") &&
               (!strchr(resource, '/') || strstr(resource, "kubernetes.io/"));
}

static void validate_amount(
                struct findings *f, const char *side, const char *resource, const json_t *amount) {
        static const char *const standard[] = {"cpu", "memory", "ephemeral-storage"};
        _cleanup_free_ char *path = strformat("%s[%s]", side, resource);
        _cleanup_json_ json_t *name = json_string(resource);
        const char *error = format_check(FORMAT_QUALIFIED_NAME, resource);
        bool known = strchr(resource, '/') || startswith(resource, "hugepages-");
        struct quantity q;
        int sign;

        f->failed |= !path;
        for (size_t i = 0; i < ELEMENTS(standard); i++)
                known |= streq(standard[i], resource);
        if (error)
                finding_add(f, FINDING_INVALID, path, name, "%s", error);
        else if (!known)
                finding_add(f, FINDING_INVALID, path, name,
                                "must be a standard resource for containers");
        if (quantity_compare(amount, NULL, &sign) == 0 && sign < 0)
                finding_add(f, FINDING_INVALID, path, amount, "must be greater than or equal to 0");
        else if (strchr(resource, '/') && !can_overcommit(resource) &&
                        quantity_read(amount, &q) == 0 && q.milli % 1000 != 0)
                finding_add(f, FINDING_INVALID, path, amount, "must be an integer");
}

static void validate_request(struct findings *f, const char *resource, const json_t *request,
                const json_t *limit) {
        int order;

        if (!limit) {
                if (!can_overcommit(resource))
                        finding_add(f, FINDING_REQUIRED, "limits", NULL,
                                        "Limit must be set for non overcommitable resources");
                return;
        }
        if (quantity_compare(request, limit, &order) < 0)
                return;
        if (order != 0 && !can_overcommit(resource))
                finding_add(f, FINDING_INVALID, "requests", request,
                                "must be equal to %s limit of %s", resource,
                                strempty(json_string_value(limit)));
        else if (order > 0)
                finding_add(f, FINDING_INVALID, "requests", request,
                                "must be less than or equal to %s limit of %s", resource,
                                strempty(json_string_value(limit)));
}

void pod_resources_validate_container(struct findings *f, const json_t *container) {
        const json_t *limits = json_at(container, "resources.limits"),
                     *requests = json_at(container, "resources.requests");
        size_t at = findings_push(f, "resources");
        const char *key;
        json_t *v;

        json_object_each (limits, key, v)
                validate_amount(f, "limits", key, v);
        json_object_each (requests, key, v) {
                validate_amount(f, "requests", key, v);
                validate_request(f, key, v, json_object_get(limits, key));
        }
        findings_pop(f, at);
}

/* --- spec.resources --- */

static bool is_counted(const char *resource) {
        for (size_t i = 0; i < ELEMENTS(counted); i++)
                if (streq(counted[i], resource))
                        return true;
        return startswith(resource, "hugepages-") != NULL;
}

static void validate_names(struct findings *f, const json_t *spec) {
        const char *key;
        json_t *v;

        for (size_t s = 0; s < ELEMENTS(sides); s++)
                json_object_each (json_get(spec, "resources", sides[s], NULL), key, v) {
                        _cleanup_free_ char *path = strformat("resources.%s[%s]", sides[s], key);

                        f->failed |= !path;
                        if (!is_counted(key))
                                finding_add(f, FINDING_NOT_SUPPORTED, path, v,
                                                "supported for a pod as a whole: \"cpu\", "
                                                "\"memory\", \"hugepages-*\"");
                }
}

static void validate_amounts(struct findings *f, const json_t *spec) {
        const json_t *limits = json_at(spec, "resources.limits");
        const char *key;
        json_t *v;

        for (size_t s = 0; s < ELEMENTS(sides); s++)
                json_object_each (json_get(spec, "resources", sides[s], NULL), key, v) {
                        _cleanup_free_ char *path = strformat("resources.%s[%s]", sides[s], key);
                        int sign;

                        f->failed |= !path;
                        if (quantity_compare(v, NULL, &sign) == 0 && sign < 0)
                                finding_add(f, FINDING_INVALID, path, v,
                                                "must be greater than or equal to 0");
                }
        json_object_each (json_at(spec, "resources.requests"), key, v) {
                size_t at = findings_push(f, "resources");

                if (json_object_get(limits, key))
                        validate_request(f, key, v, json_object_get(limits, key));
                findings_pop(f, at);
        }
}

/* The containers together ask for no more than the pod. */
static void validate_sum(struct findings *f, const json_t *spec, const char *resource) {
        struct quantity whole, sum;
        _cleanup_json_ json_t *without = json_copy(json_unconst(spec));
        _cleanup_free_ char *path = strformat("resources.requests[%s]", resource), *text = NULL;

        f->failed |= !without || !path;
        if (f->failed || !container_amount(spec, "requests", resource, &whole))
                return;
        json_object_del(without, "resources");
        json_object_del(without, "overhead");
        if (!pod_amount(without, "requests", resource, &sum) || sum.milli <= whole.milli)
                return;
        text = quantity_write(sum);
        finding_add(f, FINDING_INVALID, path,
                        json_get(spec, "resources", "requests", resource, NULL),
                        "must be greater than or equal to aggregate container requests of %s",
                        strempty(text));
}

static void validate_limit(struct findings *f, const json_t *spec, const char *resource) {
        const json_t *limit = json_get(spec, "resources", "limits", resource, NULL), *c;
        size_t i;

        for (size_t l = 0; limit && l < ELEMENTS(lists); l++)
                json_array_foreach (json_object_get(spec, lists[l]), i, c) {
                        const json_t *own = json_get(c, "resources", "limits", resource, NULL);
                        _cleanup_free_ char *path = NULL;
                        int order;

                        if (!own || quantity_compare(own, limit, &order) < 0 || order <= 0)
                                continue;
                        path = strformat("%s[%zu].resources.limits[%s]", lists[l], i, resource);
                        f->failed |= !path;
                        finding_add(f, FINDING_INVALID, path, own,
                                        "must be less than or equal to pod limits of %s",
                                        strempty(json_string_value(limit)));
                }
}

void pod_resources_validate(struct findings *f, const json_t *spec) {
        if (!json_object_get(spec, "resources"))
                return;
        validate_names(f, spec);
        validate_amounts(f, spec);
        for (size_t i = 0; i < ELEMENTS(counted); i++) {
                validate_sum(f, spec, counted[i]);
                validate_limit(f, spec, counted[i]);
        }
}

int pod_resources_default(json_t *spec) {
        json_t *resources = json_object_get(spec, "resources"), *requests, *v;
        const char *key;

        json_object_each (json_object_get(resources, "limits"), key, v) {
                struct quantity q;

                /* What every container asks for is what the pod asks for. */
                if (pod_amount(spec, "requests", key, &q))
                        continue;
                requests = json_object_get(resources, "requests");
                if (!requests) {
                        requests = json_object();
                        if (json_object_set_new(resources, "requests", requests) < 0)
                                return -ENOMEM;
                }
                if (json_object_set(requests, key, v) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* --- resize --- */

/* The old container with the new resources. */
static json_t *with_resources(const json_t *old, const json_t *new) {
        const json_t *resources = json_object_get(new, "resources");
        _cleanup_json_ json_t *out = json_copy(json_unconst(old));

        if (!out || !new)
                return TAKE_PTR(out);
        if (!resources)
                json_object_del(out, "resources");
        else if (json_object_set(out, "resources", json_unconst(resources)) < 0)
                return NULL;
        return TAKE_PTR(out);
}

static int take_list(json_t *spec, const json_t *wanted, const char *list) {
        _cleanup_json_ json_t *after = json_by_name(json_object_get(wanted, list)),
                              *out = json_array();
        const json_t *before = json_object_get(spec, list), *c;
        size_t i;

        if (!before)
                return 0;
        if (!after)
                return -ENOMEM;
        json_array_foreach (before, i, c) {
                json_t *one = with_resources(c, json_object_get(after, json_str_or(c, "name", "")));

                if (json_array_append_new(out, one) < 0)
                        return -ENOMEM;
        }
        return json_object_set(spec, list, out) < 0 ? -ENOMEM : 0;
}

int pod_resize_prepare(const json_t *old, json_t *object) {
        _cleanup_json_ json_t *spec = json_copy(json_object_get(old, "spec"));

        if (!spec)
                return -ENOMEM;
        for (size_t l = 0; l < ELEMENTS(lists); l++) {
                int r = take_list(spec, json_object_get(object, "spec"), lists[l]);

                if (r < 0)
                        return r;
        }
        return json_object_set(object, "spec", spec) < 0 ? -ENOMEM : 0;
}

/* Amounts may change; what had one keeps one. */
static void validate_side(
                struct findings *f, const char *side, const json_t *before, const json_t *after) {
        _cleanup_free_ char *path = strformat("resources.%s", side);
        const char *key;
        json_t *v;

        f->failed |= !path;
        json_object_each (before, key, v)
                if (!json_object_get(after, key))
                        finding_add(f, FINDING_FORBIDDEN, path, NULL,
                                        "resource %s cannot be removed", side);
        json_object_each (after, key, v) {
                bool can = streq(key, "cpu") || streq(key, "memory");

                if (!can && !json_equal(json_object_get(before, key), v))
                        finding_add(f, FINDING_FORBIDDEN, path, NULL,
                                        "only cpu and memory resources are mutable");
        }
}

static void validate_container(struct findings *f, const json_t *before, const json_t *after) {
        for (size_t s = 0; s < ELEMENTS(sides); s++)
                validate_side(f, sides[s], json_get(before, "resources", sides[s], NULL),
                                json_get(after, "resources", sides[s], NULL));
}

void pod_resize_validate(struct findings *f, const json_t *old, const json_t *pod) {
        const json_t *before = json_object_get(old, "spec"), *after = json_object_get(pod, "spec");
        const char *phase = json_str_or(old, "status.phase", "");

        if (streq(phase, "Succeeded") || streq(phase, "Failed"))
                finding_add(f, FINDING_FORBIDDEN, "spec", NULL,
                                "a pod that has ended cannot be resized");
        if (!streq(pod_qos_class(before), pod_qos_class(after)))
                finding_add(f, FINDING_INVALID, "spec", NULL,
                                "Pod QOS Class may not change as a result of resizing");
        for (size_t l = 0; l < ELEMENTS(lists); l++) {
                const json_t *was = json_object_get(before, lists[l]),
                             *is = json_object_get(after, lists[l]), *c;
                size_t i;

                json_array_foreach (is, i, c) {
                        const json_t *own = json_array_get(was, i);
                        size_t at = findings_push(f, "spec");

                        findings_push(f, lists[l]);
                        findings_push_index(f, i);
                        if (l == 0 && !is_sidecar(c) &&
                                        !json_same(json_object_get(own, "resources"),
                                                        json_object_get(c, "resources")))
                                finding_add(f, FINDING_FORBIDDEN, "resources", NULL,
                                                "resources of init containers that are not "
                                                "sidecars cannot be changed");
                        else
                                validate_container(f, own, c);
                        findings_pop(f, at);
                }
        }
}
