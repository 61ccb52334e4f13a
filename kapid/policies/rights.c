/* Questions of expressions about rights, answered for the user of a request. */
#include "kapid/policies/rights.h"

#include "kapid/auth/authz.h"
#include "kapid/http/request.h"

static int account_user(const struct policy_access *access, struct user *ret) {
        const char *namespace = access->service_account_namespace;
        _cleanup_free_ char *name = strformat("system:serviceaccount:%s:%s", namespace,
                                            access->service_account),
                            *group = strformat("system:serviceaccounts:%s", namespace);
        int r = name && group ? user_set(ret, name, "") : -ENOMEM;

        if (r < 0)
                return r;
        r = user_add_group(ret, "system:serviceaccounts");
        if (r < 0)
                return r;
        r = user_add_group(ret, group);
        return r < 0 ? r : user_add_group(ret, "system:authenticated");
}

bool policy_may(const struct policy_access *access, void *userdata) {
        const struct request *request = userdata;
        _cleanup_user_ struct user account = {0};
        _cleanup_(field_selector_freep) struct field_selector *fields = NULL;
        _cleanup_problem_ struct problem bad = {0};
        bool of_account = *access->service_account;

        if (of_account && account_user(access, &account) < 0)
                return false;
        /* As in Kubernetes one that cannot be read asks about everything. */
        if (*access->fields)
                (void)field_selector_parse(access->fields, &fields, &bad);
        return authorize(request->api,
                        &(struct access){.user = of_account ? &account : &request->user,
                                        .verb = access->verb,
                                        .group = access->group,
                                        .version = "*",
                                        .resource = access->resource,
                                        .subresource = access->subresource,
                                        .namespace = access->namespace,
                                        .name = access->name,
                                        .path = *access->path ? access->path : NULL,
                                        .fields = fields,
                                        .labels = *access->labels ? access->labels : NULL});
}
