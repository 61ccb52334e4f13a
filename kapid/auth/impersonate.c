/* Impersonation: a request in the name of another user, when RBAC gives the verb `impersonate` on
 * that user, each of the groups, the uid and each value of the extra fields (authentication.k8s.io
 * userextras/<key>), as in Kubernetes. The authenticated user is kept as real_user. */
#include "kapid/auth/authn.h"
#include "kapid/auth/authz.h"

enum { GROUPS_MAX = 64, EXTRAS_MAX = 64 };

static int may_impersonate(struct request *request, const struct access *what, struct problem *p) {
        struct access access = *what;

        access.user = &request->user;
        access.verb = "impersonate";
        access.version = "v1";
        if (authorize(request->api, &access))
                return 0;
        return problem_set(p, EACCES, 403, "Forbidden",
                        "%s%s%s \"%s\" is forbidden: User \"%s\" cannot impersonate resource "
                        "\"%s%s%s\" in API group \"%s\" %s%s%s",
                        access.resource, *access.subresource ? "/" : "", access.subresource,
                        access.name, request->user.name, access.resource,
                        *access.subresource ? "/" : "", access.subresource, access.group,
                        *access.namespace ? "in the namespace \"" : "at the cluster scope",
                        access.namespace, *access.namespace ? "\"" : "");
}

/* "system:serviceaccount:NS:NAME" and nothing more: 1 with both parts in *ret_namespace (owned) and
 * *ret_name. Other names are plain users'. */
static int split_account(const char *user, char **ret_namespace, const char **ret_name) {
        const char *rest = startswith(user, "system:serviceaccount:"),
                   *colon = rest ? strchr(rest, ':') : NULL;

        if (!colon || colon == rest || !colon[1] || strchr(colon + 1, ':'))
                return 0;
        *ret_namespace = strndup(rest, (size_t)(colon - rest));
        if (!*ret_namespace)
                return -ENOMEM;
        *ret_name = colon + 1;
        return 1;
}

static int impersonate_user(
                struct request *request, const char *name, struct user *u, struct problem *p) {
        _cleanup_free_ char *namespace = NULL, *group = NULL;
        const char *account = NULL;
        int r = split_account(name, &namespace, &account);

        if (r < 0)
                return r;
        if (r == 0) {
                r = may_impersonate(request,
                                &(struct access){.resource = "users",
                                                .group = "",
                                                .subresource = "",
                                                .namespace = "",
                                                .name = name},
                                p);
                return r < 0 ? r : user_set(u, name, "");
        }
        r = may_impersonate(request,
                        &(struct access){.resource = "serviceaccounts",
                                        .group = "",
                                        .subresource = "",
                                        .namespace = namespace,
                                        .name = account},
                        p);
        group = strformat("system:serviceaccounts:%s", namespace);
        if (r < 0)
                return r;
        r = group ? user_add_group(u, "system:serviceaccounts") : -ENOMEM;
        if (r < 0)
                return r;
        r = user_add_group(u, group);
        return r < 0 ? r : user_set(u, name, "");
}

static int impersonate_groups(struct request *request, struct user *u, struct problem *p) {
        const char *group;

        for (size_t i = 0; (group = http_request_header_at(request->http, "Impersonate-Group", i));
                        i++) {
                int r;

                if (i == GROUPS_MAX)
                        return problem_set(p, E2BIG, 400, "BadRequest",
                                        "too many Impersonate-Group headers");
                r = may_impersonate(request,
                                &(struct access){.resource = "groups",
                                                .group = "",
                                                .subresource = "",
                                                .namespace = "",
                                                .name = group},
                                p);
                if (r < 0)
                        return r;
                r = user_add_group(u, group);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int impersonate_extra(struct request *request, struct user *u, struct problem *p) {
        const char *name, *value;
        char key[USER_EXTRA_KEY_SIZE];

        for (size_t i = 0; (name = http_request_header_prefixed(
                                            request->http, "Impersonate-Extra-", i, &value));
                        i++) {
                int r;

                if (i == EXTRAS_MAX)
                        return problem_set(p, E2BIG, 400, "BadRequest",
                                        "too many Impersonate-Extra- headers");
                if (user_extra_key(name, key) < 0 || !utf8_is_valid(value, strlen(value)))
                        return problem_set(p, EINVAL, 400, "BadRequest",
                                        "the header Impersonate-Extra-%.64s has no valid key or "
                                        "value",
                                        name);
                r = may_impersonate(request,
                                &(struct access){.resource = "userextras",
                                                .group = "authentication.k8s.io",
                                                .subresource = key,
                                                .namespace = "",
                                                .name = value},
                                p);
                if (r < 0)
                        return r;
                r = user_add_extra(u, key, value);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int impersonate_uid(
                struct request *request, const char *name, struct user *u, struct problem *p) {
        const char *uid = request_header(request, "Impersonate-Uid");
        int r;

        if (!uid)
                return 0;
        r = may_impersonate(request,
                        &(struct access){.resource = "uids",
                                        .group = "authentication.k8s.io",
                                        .subresource = "",
                                        .namespace = "",
                                        .name = uid},
                        p);
        return r < 0 ? r : user_set(u, name, uid);
}

int impersonate(struct request *request, struct problem *p) {
        const char *name = request_header(request, "Impersonate-User"), *value;
        _cleanup_user_ struct user u = {0};
        int r;

        if (isempty(name)) {
                if (request_header(request, "Impersonate-Uid") ||
                                request_header(request, "Impersonate-Group") ||
                                http_request_header_prefixed(
                                                request->http, "Impersonate-Extra-", 0, &value))
                        return problem_set(p, EINVAL, 400, "BadRequest",
                                        "Impersonate-Group, Impersonate-Uid and "
                                        "Impersonate-Extra- need Impersonate-User");
                return 0;
        }
        r = impersonate_groups(request, &u, p);
        if (r < 0)
                return r;
        r = impersonate_user(request, name, &u, p);
        if (r < 0)
                return r;
        r = impersonate_extra(request, &u, p);
        if (r < 0)
                return r;
        r = impersonate_uid(request, name, &u, p);
        if (r < 0)
                return r;
        r = user_add_group(&u, streq(name, "system:anonymous") ? "system:unauthenticated"
                                                               : "system:authenticated");
        if (r < 0)
                return r;
        request->real_user = request->user;
        request->user = u;
        u = (struct user){0};
        return 0;
}
