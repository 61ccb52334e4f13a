/* Authorization. Masters may do everything; then the node authorizer for agents; then RBAC.
 * Either one's yes is enough. */
#pragma once

#include "kapid/api.h"
#include "kapid/auth/user.h"
#include "lib/selector.h"

/* One question. Strings are never NULL ("" where there is none). path is set for plain paths only.
 */
struct access {
        const struct user *user;
        const char *verb;
        const char *group, *version, *resource, *subresource;
        const char *namespace, *name;
        const char *path;
        const struct field_selector *fields; /* of a list, watch or deletecollection; may be NULL */
        const char *labels; /* text of the label selector of the same; may be NULL */
};

bool authorize(struct api *a, const struct access *access);
/* Fills p with the 403 in the API's words. Returns -EACCES. */
int access_refused(const struct access *access, const struct kind *k, struct problem *p);

/* The node authorizer (authz-node.c): an agent reads and writes only what concerns its node. */
bool authorize_node(struct api *a, const struct access *access, const char *node);
/* By this it finds a node's pods: the index that the cache of pods must have. */
extern const struct cache_key pods_by_node;

/* RBAC (authz-rbac.c): rules compiled from the four kinds of objects, compiled again when one of
 * them changed. */
struct rbac;
struct rbac *rbac_new(void) _warn_unused_;
struct rbac *rbac_free(struct rbac *rbac);
DEFINE_CLEANUP(struct rbac *, rbac_free);
/* Forgets all. */
void rbac_clear(struct rbac *rbac);
/* Roles before the bindings that name them. kind: Role, ClusterRole, RoleBinding,
 * ClusterRoleBinding. */
int rbac_add(struct rbac *rbac, const json_t *object);
bool rbac_allows(const struct rbac *rbac, const struct access *access);
/* Whether the user already has every right that the rules (a Role's) give in the namespace ("" for
 * all): a user grants no right that the user lacks. missing, when not NULL, is set to the first
 * rule that is too much. */
bool rbac_covers(const struct rbac *rbac, const struct user *u, const char *namespace,
                const json_t *rules, const json_t **ret_missing);
/* The rules that apply to a user in a namespace: {resourceRules, nonResourceRules}. */
json_t *rbac_rules_of(const struct rbac *rbac, const struct user *u, const char *namespace);
/* The rules of the role a binding in the namespace ("" cluster-wide) refers to; NULL when unknown.
 */
const json_t *rbac_role_rules(
                const struct rbac *rbac, const char *namespace, const json_t *role_ref);
/* Brings it up to date with the caches. */
int rbac_refresh(struct rbac *rbac, struct api *a);
