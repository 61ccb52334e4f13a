/* Authorization: masters may do everything; then the node authorizer is asked for agents; then
 * RBAC. */
#include "kapid/auth/authz.h"

bool authorize(struct api *a, const struct access *access) {
        const char *node = user_node(access->user);

        if (user_is_master(access->user))
                return true;
        if (node && authorize_node(a, access, node))
                return true;
        if (rbac_refresh(a->rbac, a) < 0)
                return false;
        return rbac_allows(a->rbac, access);
}

int access_refused(const struct access *a, const struct kind *k, struct problem *p) {
        const char *user = a->user->name;
        _cleanup_free_ char *resource = NULL, *where = NULL, *subject = NULL;

        if (a->path)
                return problem_set(p, EACCES, 403, "Forbidden",
                                "forbidden: User \"%s\" cannot %s path \"%s\"", user, a->verb,
                                a->path);
        resource = isempty(a->subresource) ? strdup(a->resource)
                                           : strformat("%s/%s", a->resource, a->subresource);
        where = isempty(a->namespace) || (k && !k->namespaced)
                                ? strdup("at the cluster scope")
                                : strformat("in the namespace \"%s\"", a->namespace);
        subject = isempty(a->name) ? strdup(k ? k->resource : a->resource)
                                   : strformat("%s \"%s\"", k ? k->resource : a->resource, a->name);
        if (!resource || !where || !subject)
                return -ENOMEM;
        return problem_set(p, EACCES, 403, "Forbidden",
                        "%s is forbidden: User \"%s\" cannot %s resource \"%s\" in API group "
                        "\"%s\" %s",
                        subject, user, a->verb, resource, a->group, where);
}
