/* LimitRanger: the LimitRanges of a namespace give containers that name no requests and limits
 * their defaults, and bound the amounts of containers, pods and volume claims. Messages are those
 * of kube-apiserver's plugin. */
#include "kapid/admission/plugins.h"
#include "kapid/api.h"
#include "lib/buf.h"
#include "lib/object.h"
#include "lib/pod-amounts.h"

static const char *const container_lists[][2] = {
                {"containers", "container"}, {"initContainers", "init container"}};

/* --- the ranges of a namespace --- */

typedef int (*range_func)(struct admission *a, const json_t *range, struct problem *p);

static int each_range(struct admission *a, range_func func, struct problem *p) {
        struct cache *c = api_cache(a->api, "", "limitranges");
        _cleanup_free_ char *prefix = strformat("%s/", a->namespace);

        if (!c || !prefix)
                return -ENOMEM;
        for (struct item *it = cache_first(c, prefix); it && startswith(item_path(it), prefix);
                        it = cache_next(c, it)) {
                _cleanup_json_ json_t *range = item_object(it);
                int r = range ? func(a, range, p) : -ENOMEM;

                if (r < 0)
                        return r;
        }
        return 0;
}

/* The range's item about that type, NULL when it has none. */
static const json_t *limit_of(const json_t *range, const char *type) {
        const json_t *item;
        size_t i;

        json_array_foreach (json_at(range, "spec.limits"), i, item)
                if (streq(json_str_or(item, "type", ""), type))
                        return item;
        return NULL;
}

/* --- defaults --- */

static int by_text(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Gives a container those of the amounts that it does not name, and notes which:
 * "cpu, memory request for container web". */
static int fill_side(json_t *container, const char *side, const json_t *amounts, const char *what,
                char ***notes) {
        json_t *resources = json_object_get(container, "resources"), *have, *v;
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *list = NULL, *note = NULL;
        const char *key;

        json_object_foreach ((json_t *)amounts, key, v)
                if (!json_get(resources, side, key, NULL) && strv_extend(&names, key) < 0)
                        return -ENOMEM;
        if (!names)
                return 0;
        if (!resources && json_set_at(container, "resources", json_object()) < 0)
                return -ENOMEM;
        resources = json_object_get(container, "resources");
        have = json_object_get(resources, side);
        if (!have) {
                have = json_object();
                if (!have || json_object_set_new(resources, side, have) < 0)
                        return -ENOMEM;
        }
        for (size_t i = 0; names[i]; i++)
                if (json_object_set(have, names[i], json_object_get(amounts, names[i])) < 0)
                        return -ENOMEM;
        qsort(names, strv_length(names), sizeof(*names), by_text);
        list = strv_join(names, ", ");
        note = list ? strformat("%s %.*s for %s %s", list, (int)strlen(side) - 1, side, what,
                                      json_str_or(container, "name", ""))
                    : NULL;
        return note ? strv_extend(notes, note) : -ENOMEM;
}

/* Validation, which comes later, refuses a longer list. */
enum { CONTAINERS_MAX = 500 };

static int fill_pod(struct admission *a, const json_t *range, struct problem *p) {
        const json_t *limit = limit_of(range, "Container");
        _cleanup_strv_free_ char **notes = NULL;
        _cleanup_free_ char *joined = NULL, *text = NULL;
        json_t *annotations, *container;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(container_lists); l++) {
                const json_t *list = json_object_get(
                                json_object_get(a->draft, "spec"), container_lists[l][0]);

                if (json_array_size(list) > CONTAINERS_MAX)
                        continue;
                json_array_foreach (list, i, container) {
                        const char *what = container_lists[l][1];
                        int r = fill_side(container, "requests",
                                        json_object_get(limit, "defaultRequest"), what, &notes);

                        if (r < 0)
                                return r;
                        r = fill_side(container, "limits", json_object_get(limit, "default"), what,
                                        &notes);
                        if (r < 0)
                                return r;
                }
        }
        if (!notes)
                return 0;
        annotations = json_at_mut(a->draft, "metadata.annotations");
        if (!annotations) {
                annotations = json_object();
                if (!annotations || json_set_at(a->draft, "metadata.annotations", annotations) < 0)
                        return -ENOMEM;
        }
        joined = strv_join(notes, "; ");
        text = joined ? strformat("LimitRanger plugin set: %s", joined) : NULL;
        return text && json_object_set_new(annotations, "kubernetes.io/limit-ranger",
                                       json_string(text)) >= 0
                               ? 0
                               : -ENOMEM;
}

static int fill(struct admission *a, struct problem *p) {
        return each_range(a, fill_pod, p);
}

/* --- bounds --- */

/* The amounts of one container, pod or claim, to compare with a limit's item. */
struct measured {
        const char *type; /* of the limit */
        bool (*amount)(const json_t *of, const char *side, const char *resource,
                        struct quantity *ret);
        const json_t *of;
        bool requests_only; /* a claim has no limits */
        char ***errors;
};

static int add_error(const struct measured *m, char *text_taken) {
        _cleanup_free_ char *text = text_taken;

        if (!text)
                return -ENOMEM;
        return strv_contains(*m->errors, text) ? 0 : strv_extend(m->errors, text);
}

static int check_min(const struct measured *m, const char *resource, const json_t *bound) {
        const char *text = strempty(json_string_value(bound));
        struct quantity q, request, limit;
        bool has_request = m->amount(m->of, "requests", resource, &request),
             has_limit = !m->requests_only && m->amount(m->of, "limits", resource, &limit);
        _cleanup_free_ char *had = NULL;

        if (quantity_read(bound, &q) < 0)
                return 0;
        if (!has_request)
                return add_error(m, strformat("minimum %s usage per %s is %s.  No request is "
                                              "specified",
                                                    resource, m->type, text));
        if (request.milli >= q.milli && !(has_limit && limit.milli < q.milli))
                return 0;
        had = quantity_write(request.milli < q.milli ? request : limit);
        return had ? add_error(m, strformat("minimum %s usage per %s is %s, but %s is %s", resource,
                                                  m->type, text,
                                                  request.milli < q.milli ? "request" : "limit",
                                                  had))
                   : -ENOMEM;
}

static int check_max(const struct measured *m, const char *resource, const json_t *bound) {
        const char *text = strempty(json_string_value(bound)),
                   *first = m->requests_only ? "request" : "limit";
        struct quantity q, request, limit = {0};
        bool has_request = m->amount(m->of, "requests", resource, &request),
             has_limit = m->requests_only ? has_request
                                          : m->amount(m->of, "limits", resource, &limit);
        _cleanup_free_ char *had = NULL;

        if (quantity_read(bound, &q) < 0)
                return 0;
        if (!has_limit)
                return add_error(m, strformat("maximum %s usage per %s is %s.  No %s is specified",
                                                    resource, m->type, text, first));
        if (limit.milli <= q.milli && !(has_request && request.milli > q.milli))
                return 0;
        had = quantity_write(limit.milli > q.milli ? limit : request);
        return had ? add_error(m, strformat("maximum %s usage per %s is %s, but %s is %s", resource,
                                                  m->type, text,
                                                  limit.milli > q.milli ? "limit" : "request", had))
                   : -ENOMEM;
}

static int check_ratio(const struct measured *m, const char *resource, const json_t *bound) {
        const char *text = strempty(json_string_value(bound));
        struct quantity q, request, limit;
        bool has_request = m->amount(m->of, "requests", resource, &request),
             has_limit = m->amount(m->of, "limits", resource, &limit);

        if (quantity_read(bound, &q) < 0)
                return 0;
        if (!has_request || request.milli == 0 || !has_limit || limit.milli == 0) {
                const char *lacks = !has_request || request.milli == 0 ? "request" : "limit";

                return add_error(m, strformat("%s max limit to request ratio per %s is %s, but no "
                                              "%s is specified or %s is 0",
                                                    resource, m->type, text, lacks, lacks));
        }
        double ratio = (double)limit.milli / (double)request.milli;

        if (ratio * 1000 <= (double)q.milli)
                return 0;
        return add_error(m, strformat("%s max limit to request ratio per %s is %s, but provided "
                                      "ratio is %f",
                                            resource, m->type, text, ratio));
}

static int check_limit(const struct measured *m, const json_t *limit) {
        static const struct {
                const char *field;
                int (*check)(const struct measured *m, const char *resource, const json_t *bound);
        } checks[] = {{"min", check_min}, {"max", check_max},
                        {"maxLimitRequestRatio", check_ratio}};

        for (size_t i = 0; i < ELEMENTS(checks); i++) {
                const char *key;
                json_t *v;

                if (m->requests_only && checks[i].check == check_ratio)
                        continue;
                json_object_foreach (json_object_get(limit, checks[i].field), key, v) {
                        int r = checks[i].check(m, key, v);

                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

/* One sentence, or "[one, another]". */
static int refuse(struct admission *a, char **errors, struct problem *p) {
        _cleanup_free_ char *text = NULL;

        if (!errors)
                return 0;
        text = strv_join(errors, ", ");
        if (!text)
                return -ENOMEM;
        return errors[1] ? admission_forbidden(a, p, "[%s]", text)
                         : admission_forbidden(a, p, "%s", text);
}

static int check_pod(struct admission *a, const json_t *range, struct problem *p) {
        const json_t *spec = json_object_get(a->object, "spec"),
                     *limit = limit_of(range, "Container"), *container;
        _cleanup_strv_free_ char **errors = NULL;
        size_t i;
        int r;

        for (size_t l = 0; limit && l < ELEMENTS(container_lists); l++)
                json_array_foreach (json_object_get(spec, container_lists[l][0]), i, container) {
                        r = check_limit(&(struct measured){.type = "Container",
                                                        .amount = container_amount,
                                                        .of = container,
                                                        .errors = &errors},
                                        limit);
                        if (r < 0)
                                return r;
                }
        limit = limit_of(range, "Pod");
        r = check_limit(&(struct measured){.type = "Pod",
                                        .amount = pod_amount,
                                        .of = spec,
                                        .errors = &errors},
                        limit);
        return r < 0 ? r : refuse(a, errors, p);
}

static int check_pods(struct admission *a, struct problem *p) {
        return each_range(a, check_pod, p);
}

static int check_claim(struct admission *a, const json_t *range, struct problem *p) {
        _cleanup_strv_free_ char **errors = NULL;
        int r = check_limit(&(struct measured){.type = "PersistentVolumeClaim",
                                            .amount = container_amount,
                                            .of = json_object_get(a->object, "spec"),
                                            .requests_only = true,
                                            .errors = &errors},
                        limit_of(range, "PersistentVolumeClaim"));

        return r < 0 ? r : refuse(a, errors, p);
}

/* A claim that is being deleted loses its finalizers whatever the ranges say now. */
static int check_claims(struct admission *a, struct problem *p) {
        if (a->live && object_is_deleting(a->live))
                return 0;
        return each_range(a, check_claim, p);
}

/* --- the ranges themselves --- */

/* Fields that say nothing about a type: a claim has a request and no limits, and no default. */
static const char *const claim_useless[] = {"default", "defaultRequest", "maxLimitRequestRatio"};

static int warn_one(struct admission *a, size_t index, const char *field, const char *why) {
        _cleanup_free_ char *text =
                        strformat("spec.limits[%zu].%s has no effect: %s", index, field, why);

        return text ? admission_warn(a, text) : -ENOMEM;
}

static int warn_useless(struct admission *a, struct problem *p) {
        const json_t *limits = json_at(a->object, "spec.limits"), *limit;
        size_t i;
        int r = 0;

        if (json_same(limits, json_at(a->live, "spec.limits")))
                return 0;
        json_array_foreach (limits, i, limit) {
                const char *type = json_str_or(limit, "type", "");

                if (strchr(type, '/'))
                        r = warn_one(a, i, "type", "no object is of this type");
                for (size_t n = 0; r >= 0 && streq(type, "PersistentVolumeClaim") &&
                                   n < ELEMENTS(claim_useless);
                                n++)
                        if (json_object_size(json_object_get(limit, claim_useless[n])) > 0)
                                r = warn_one(a, i, claim_useless[n],
                                                "a volume claim has a request only, which is "
                                                "always given");
                if (r < 0)
                        return r;
        }
        return 0;
}

static const struct admission_rule rules[] = {
                {.group = "",
                                .plural = "limitranges",
                                .operations = ADMIT_WRITE,
                                .validate = warn_useless},
                {.group = "",
                                .plural = "pods",
                                .operations = ADMIT_CREATE,
                                .mutate = fill,
                                .validate = check_pods},
                {.group = "",
                                .plural = "pods",
                                .subresource = "resize",
                                .operations = ADMIT_UPDATE,
                                .validate = check_pods},
                {.group = "",
                                .plural = "persistentvolumeclaims",
                                .operations = ADMIT_WRITE,
                                .validate = check_claims},
                {0},
};

const struct admission_plugin admission_limit_ranger = {.safeguard = true, .rules = rules};
