/* kctl set serviceaccount: under which account pods run. */
#include "kctl/set/set.h"

static int mutate(json_t *object, const struct target *t, void *userdata, struct problem *p) {
        json_t *spec = set_pod_spec(object, t, p);

        if (!spec)
                return -EINVAL;
        /* The old name of the field is kept equal by the server. */
        if (json_object_get(spec, "serviceAccount"))
                json_set_str(spec, "serviceAccount", userdata);
        return json_set_str(spec, "serviceAccountName", userdata);
}

int kctl_set_serviceaccount(struct kctl *k) {
        size_t n = strv_length(k->words);
        _cleanup_free_ char *account = NULL;

        if (n < (k->flags.filenames ? 1 : 2))
                return kctl_usage(k, "which objects, and which account? Give KIND/NAME ACCOUNT");
        account = TAKE_PTR(k->words[n - 1]);
        return set_all(k, mutate, account, "serviceaccount updated");
}
