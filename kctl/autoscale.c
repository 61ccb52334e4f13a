/* kctl autoscale: a HorizontalPodAutoscaler for a workload. */
#include "kctl/create/create.h"
#include "lib/object.h"

static int autoscaler_of(struct kctl *k, const struct target *t, json_t **ret, struct problem *p) {
        const struct kctl_flags *f = &k->flags;
        const struct api_resource *scaled = &t->kind.resource;
        _cleanup_free_ char *version =
                        *scaled->group ? strformat("%s/%s", scaled->group, scaled->version)
                                       : strdup(scaled->version);
        _cleanup_json_ json_t *o = object_new(
                        KIND_HORIZONTALPODAUTOSCALERS, f->object_name ? f->object_name : t->name);
        int64_t min = 0, max, cpu = 0;
        int r;

        if (!f->max)
                return problem_set(p, EINVAL, 0, NULL, "--max is needed: the most replicas");
        r = number_read(f->max, "--max", 1, &max, p);
        if (r < 0)
                return r;
        if (f->min && (r = number_read(f->min, "--min", 1, &min, p)) < 0)
                return r;
        if (f->cpu_percent && (r = number_read(f->cpu_percent, "--cpu-percent", 1, &cpu, p)) < 0)
                return r;
        if (min > max)
                return problem_set(p, EINVAL, 0, NULL, "--min %lld is more than --max %lld",
                                (long long)min, (long long)max);
        r = version ? json_set_at(o, "spec",
                                      json_pack("{s:I, s:{s:s, s:s, s:s}}", "maxReplicas",
                                                      (json_int_t)max, "scaleTargetRef",
                                                      "apiVersion", version, "kind", scaled->kind,
                                                      "name", t->name))
                    : -ENOMEM;
        if (r < 0)
                return r;
        if (min > 0)
                json_set_int(o, "spec.minReplicas", min);
        if (cpu > 0) {
                r = json_set_at(o, "spec.metrics",
                                json_pack("[{s:s, s:{s:s, s:{s:s, s:I}}}]", "type", "Resource",
                                                "resource", "name", "cpu", "target", "type",
                                                "Utilization", "averageUtilization",
                                                (json_int_t)cpu));
                if (r < 0)
                        return r;
        }
        if (t->ns && !streq(t->ns, kctl_namespace(k)))
                json_set_str(o, "metadata.namespace", t->ns);
        *ret = TAKE_PTR(o);
        return 0;
}

static int autoscale_one(struct kctl *k, const struct target *t, struct problem *p) {
        struct kind_ref kind = kind_ref_of(KIND_HORIZONTALPODAUTOSCALERS);
        _cleanup_free_ char *scale = target_path(t, "scale", /* query= */ NULL);
        _cleanup_json_ json_t *o = NULL;
        int r = autoscaler_of(k, t, &o, p);

        if (r < 0)
                return r;
        r = scale ? api_get(k->client, scale, /* ret= */ NULL, p) : -ENOMEM;
        if (r < 0) {
                problem_prefix(p, "%s \"%s\" cannot be scaled", t->kind.singular, t->name);
                return r;
        }
        return object_create(k, &kind, o, "autoscaled", /* ret_made= */ NULL, p);
}

int kctl_autoscale(struct kctl *k) {
        return targets_each_named(k, "autoscale", autoscale_one);
}
