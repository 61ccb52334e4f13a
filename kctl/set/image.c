/* kctl set image: CONTAINER=IMAGE, of pods and of what makes pods. "*" means every container. */
#include "kctl/set/set.h"

static int set_one(json_t *container, void *userdata) {
        return json_set_str(container, "image", userdata);
}

static int mutate(json_t *object, const struct target *t, void *userdata, struct problem *p) {
        json_t *spec = set_pod_spec(object, t, p);

        if (!spec)
                return -EINVAL;
        for (char **pair = userdata; pair && *pair; pair++) {
                char *equals = strchr(*pair, '=');
                _cleanup_free_ char *name = strndup(*pair, (size_t)(equals - *pair));
                int r;

                if (!name)
                        return -ENOMEM;
                if (!*name || !equals[1])
                        return problem_set(p, EINVAL, 0, NULL, "\"%s\" is not CONTAINER=IMAGE",
                                        *pair);
                r = set_containers(spec, name, set_one, equals + 1);
                if (r < 0)
                        return r;
                if (r == 0)
                        return set_no_container(spec, name, t, p);
        }
        return 0;
}

int kctl_set_image(struct kctl *k) {
        _cleanup_strv_free_ char **pairs = NULL;
        _cleanup_problem_ struct problem p = {0};

        if (set_split(k, set_is_pair, &pairs, &p) < 0)
                return kctl_fail(&p);
        if (!pairs)
                return kctl_usage(k, "which image? Give CONTAINER=IMAGE");
        return set_all(k, mutate, pairs, "image updated");
}
