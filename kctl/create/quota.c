/* kctl create quota: a ResourceQuota. */
#include "kctl/create/create.h"

static int build(struct kctl *k, json_t *object, struct problem *p) {
        _cleanup_strv_free_ char **amounts = NULL, **scopes = NULL;
        json_t *hard = json_object();
        int r = json_set_at(object, "spec.hard", hard);

        if (r < 0)
                return r;
        if (isempty(k->flags.hard))
                return problem_set(p, EINVAL, 0, NULL,
                                "--hard is needed: the allowed amounts, as pods=10");
        if (strv_split(k->flags.hard, ",", &amounts) < 0 ||
                        (k->flags.scopes && strv_split(k->flags.scopes, ",", &scopes) < 0))
                return -ENOMEM;
        r = pairs_read(amounts, "--hard", hard, p);
        if (r < 0)
                return r;
        if (json_object_size(hard) != strv_length(amounts))
                return problem_set(p, EINVAL, 0, NULL, "--hard %s names an amount twice",
                                k->flags.hard);
        return scopes ? json_set_at(object, "spec.scopes", texts_json(scopes)) : 0;
}

int kctl_create_quota(struct kctl *k) {
        return create_run(k, KIND_RESOURCEQUOTAS, build);
}
