/* kctl set resources: --requests and --limits of containers. */
#include "kctl/create/create.h"
#include "kctl/set/set.h"

struct amounts {
        json_t *requests, *limits;
        const char *container;
};

static int set_one(json_t *container, void *userdata) {
        const struct amounts *a = userdata;
        json_t *resources = json_object_get(container, "resources");
        const struct {
                const char *name;
                json_t *values;
        } parts[] = {{"requests", a->requests}, {"limits", a->limits}};

        if (!resources) {
                resources = json_object();
                if (json_object_set_new(container, "resources", resources) < 0)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < ELEMENTS(parts); i++) {
                json_t *old = json_object_get(resources, parts[i].name);

                if (json_object_size(parts[i].values) == 0)
                        continue;
                if (json_object_set_new(resources, parts[i].name,
                                    merge_apply(old, parts[i].values)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int mutate(json_t *object, const struct target *t, void *userdata, struct problem *p) {
        struct amounts *a = userdata;
        json_t *spec = set_pod_spec(object, t, p);
        int r = spec ? set_containers(spec, a->container, set_one, a) : -EINVAL;

        return r == 0 ? set_no_container(spec, a->container, t, p) : MIN(r, 0);
}

static int read_amounts(const char *text, const char *flag, json_t *into, struct problem *p) {
        _cleanup_strv_free_ char **pairs = NULL;

        if (!text)
                return 0;
        if (strv_split(text, ",", &pairs) < 0)
                return -ENOMEM;
        return pairs_read(pairs, flag, into, p);
}

int kctl_set_resources(struct kctl *k) {
        _cleanup_json_ json_t *requests = json_object(), *limits = json_object();
        struct amounts a = {requests, limits, k->flags.container ? k->flags.container : "*"};
        _cleanup_problem_ struct problem p = {0};

        if (!k->flags.requests && !k->flags.limits)
                return kctl_usage(k, "--requests or --limits is needed: cpu=200m,memory=512Mi");
        if (read_amounts(k->flags.requests, "--requests", requests, &p) < 0 ||
                        read_amounts(k->flags.limits, "--limits", limits, &p) < 0)
                return kctl_fail(&p);
        return set_all(k, mutate, &a, "resource requirements updated");
}
