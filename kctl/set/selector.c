/* kctl set selector: the labels by which a Service finds its pods. */
#include "kctl/create/create.h"
#include "kctl/set/set.h"

static int mutate(json_t *object, const struct target *t, void *userdata, struct problem *p) {
        if (!streq(t->kind.resource.kind, "Service"))
                return problem_set(p, EINVAL, 0, NULL,
                                "the selector of a %s cannot be set; that of a service can",
                                t->kind.singular);
        return json_set_at(object, "spec.selector", json_ref(userdata));
}

int kctl_set_selector(struct kctl *k) {
        _cleanup_json_ json_t *labels = json_object();
        _cleanup_strv_free_ char **words = NULL, **pairs = NULL;
        _cleanup_problem_ struct problem p = {0};

        if (set_split(k, set_is_pair, &words, &p) < 0)
                return kctl_fail(&p);
        if (strv_length(words) != 1)
                return kctl_usage(k, "which labels? Give them as one word: a=b,c=d");
        if (strv_split(words[0], ",", &pairs) < 0 ||
                        pairs_read(pairs, "the selector", labels, &p) < 0)
                return kctl_fail(&p);
        return set_all(k, mutate, labels, "selector updated");
}
