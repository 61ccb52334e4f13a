/* Decisions of the Git sync as functions of their arguments. */
#include "reconcilers/gitsync/plan.h"

#include "lib/object.h"
#include "lib/pki.h"

unsigned plan_rank(const char *group, const char *kind) {
        static const struct {
                const char *group, *kind;
                unsigned rank;
        } ranks[] = {
                        {"", "Namespace", 0},
                        {"apiextensions.k8s.io", "CustomResourceDefinition", 1},
                        {"scheduling.k8s.io", "PriorityClass", 2},
                        {"", "ServiceAccount", 3},
                        {"rbac.authorization.k8s.io", "ClusterRole", 4},
                        {"rbac.authorization.k8s.io", "Role", 4},
                        {"rbac.authorization.k8s.io", "ClusterRoleBinding", 5},
                        {"rbac.authorization.k8s.io", "RoleBinding", 5},
                        {"", "ConfigMap", 6},
                        {"", "Secret", 6},
                        {"", "LimitRange", 6},
                        {"", "ResourceQuota", 6},
                        {"", "PersistentVolume", 6},
                        {"", "PersistentVolumeClaim", 6},
                        {"", "Service", 7},
                        {"apps", "Deployment", 8},
                        {"apps", "ReplicaSet", 8},
                        {"apps", "StatefulSet", 8},
                        {"apps", "DaemonSet", 8},
                        {"", "Pod", 8},
                        {"batch", "Job", 9},
                        {"batch", "CronJob", 9},
        };

        for (size_t i = 0; i < ELEMENTS(ranks); i++)
                if (streq(ranks[i].kind, kind) && streq(ranks[i].group, group))
                        return ranks[i].rank;
        return 10;
}

void plan_fingerprint(const json_t *object, char ret[static 65]) {
        static const char *const server_owned[] = {
                        "resourceVersion", "managedFields", "generation"};
        _cleanup_json_ json_t *copy = json_copy((json_t *)object);
        _cleanup_json_ json_t *metadata = json_copy(json_object_get(object, "metadata"));
        _cleanup_free_ char *text = NULL;

        if (copy && metadata) {
                for (size_t i = 0; i < ELEMENTS(server_owned); i++)
                        json_object_del(metadata, server_owned[i]);
                json_object_del(copy, "status");
                json_object_del(copy, "kind"); /* items of a list come without */
                json_object_del(copy, "apiVersion");
                json_object_set(copy, "metadata", metadata);
                text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
        }
        sha256_hex(strempty(text), text ? strlen(text) : 0, ret);
}

static enum health progressing(char **ret_why, char *why) {
        *ret_why = why;
        return HEALTH_PROGRESSING;
}

static enum health workload_health(const json_t *o, bool is_deployment, char **ret_why) {
        int64_t want = json_int_or(o, "spec.replicas", 1),
                updated = json_int_or(o, "status.updatedReplicas", 0),
                available = json_int_or(o, "status.availableReplicas", 0),
                have = json_int_or(o, "status.replicas", 0);
        const json_t *progress = object_condition(o, "Progressing");

        if (json_int_or(o, "status.observedGeneration", 0) < object_generation(o))
                return progressing(ret_why, strdup("not yet seen by its controller"));
        if (streq(json_str_or(progress, "reason", ""), "ProgressDeadlineExceeded")) {
                *ret_why = strdup("its rollout exceeded its progress deadline");
                return HEALTH_FAILED;
        }
        if (is_deployment && updated < want)
                return progressing(ret_why, strformat("%i of %i replicas are updated", (int)updated,
                                                            (int)want));
        if (is_deployment && have > updated)
                return progressing(ret_why, strformat("%i old replicas are still there",
                                                            (int)(have - updated)));
        if (available < want)
                return progressing(ret_why, strformat("%i of %i replicas are available",
                                                            (int)available, (int)want));
        return HEALTH_READY;
}

enum health plan_health(const json_t *o, char **ret_why) {
        char group[OBJECT_GROUP_SIZE] = "", version[OBJECT_VERSION_SIZE];
        const char *kind = object_kind(o);

        *ret_why = NULL;
        if (object_is_deleting(o))
                return progressing(ret_why, strdup("it is being deleted"));
        (void)object_split_api_version(object_api_version(o), group, version);
        if (streq(group, "apps") && (streq(kind, "Deployment") || streq(kind, "ReplicaSet")))
                return workload_health(o, streq(kind, "Deployment"), ret_why);
        if (streq(group, "batch") && streq(kind, "Job")) {
                if (object_condition_true(o, "Failed")) {
                        *ret_why = strdup("it failed");
                        return HEALTH_FAILED;
                }
                return object_condition_true(o, "Complete") ||
                                                       json_bool_or(o, "spec.suspend", false)
                                       ? HEALTH_READY
                                       : progressing(ret_why, strdup("it has not completed"));
        }
        if (streq(group, "") && streq(kind, "Pod"))
                return object_condition_true(o, "Ready") ||
                                                       streq(json_str_or(o, "status.phase", ""),
                                                                       "Succeeded")
                                       ? HEALTH_READY
                                       : progressing(ret_why, strdup("it is not Ready"));
        return HEALTH_READY;
}

int plan_condition(json_t *conditions, const char *type, const char *status, const char *reason,
                const char *message, const char *now, int64_t generation) {
        const char *since = now;
        json_t *c;
        size_t i;

        json_array_foreach (conditions, i, c)
                if (streq(json_str_or(c, "type", ""), type)) {
                        if (streq(json_str_or(c, "status", ""), status))
                                since = json_str_or(c, "lastTransitionTime", now);
                        break;
                }
        json_t *fresh = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "type", type, "status", status,
                        "reason", reason, "message", strempty(message), "lastTransitionTime", since,
                        "observedGeneration", (json_int_t)generation);
        int r = i < json_array_size(conditions) ? json_array_set_new(conditions, i, fresh)
                                                : json_array_append_new(conditions, fresh);
        return r < 0 ? -ENOMEM : 0;
}
