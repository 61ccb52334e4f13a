/* ServiceAccount: a pod that names no service account gets its namespace's `default`; one that it
 * names must be there. */
#include "kapid/admission/plugins.h"
#include "lib/object.h"

static int set_account(struct admission *a, struct problem *p) {
        const char *name = json_str_or(a->draft, "spec.serviceAccountName",
                        json_str_or(a->draft, "spec.serviceAccount", ""));
        _cleanup_free_ char *account = strdup(isempty(name) ? "default" : name);
        int r;

        if (!account)
                return -ENOMEM;
        /* The default account comes a moment after its namespace; a pod need not wait for it. */
        if (!streq(account, "default") &&
                        !admission_find(a, "", "serviceaccounts", a->namespace, account))
                return admission_forbidden(a, p,
                                "error looking up service account %s/%s: serviceaccount \"%s\" "
                                "not found",
                                a->namespace, account, account);
        r = json_set_str(a->draft, "spec.serviceAccountName", account);
        if (r < 0)
                return r;
        return json_set_str(a->draft, "spec.serviceAccount", account);
}

static const struct admission_rule rules[] = {
                {.group = "", .plural = "pods", .operations = ADMIT_CREATE, .mutate = set_account},
                {0},
};

const struct admission_plugin admission_service_account = {.rules = rules};
