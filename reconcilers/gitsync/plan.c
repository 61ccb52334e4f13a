/* Decisions of the Git sync as functions of their arguments. */
#include "reconcilers/gitsync/plan.h"

#include "lib/map.h"
#include "lib/object.h"
#include "lib/pki.h"

unsigned plan_rank(const char *api_version, const char *kind) {
        static const struct {
                const char *kind;
                unsigned rank;
        } ranks[] = {
                        {"Namespace", 0},
                        {"CustomResourceDefinition", 1},
                        {"PriorityClass", 2},
                        {"ServiceAccount", 3},
                        {"ClusterRole", 4},
                        {"Role", 4},
                        {"ClusterRoleBinding", 5},
                        {"RoleBinding", 5},
                        {"ConfigMap", 6},
                        {"Secret", 6},
                        {"Service", 7},
                        {"Deployment", 8},
                        {"ReplicaSet", 8},
                        {"StatefulSet", 8},
                        {"DaemonSet", 8},
                        {"Pod", 8},
                        {"Job", 9},
                        {"CronJob", 9},
        };

        for (size_t i = 0; i < ELEMENTS(ranks); i++)
                if (streq(ranks[i].kind, kind))
                        return ranks[i].rank;
        return 10;
}

json_t *plan_entry(const char *group, const char *version, const char *kind, const char *plural,
                const char *ns, const char *name) {
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "group", group, "version", version,
                        "kind", kind, "resource", plural, "namespace", strempty(ns), "name", name);
}

char *plan_entry_key(const json_t *entry) {
        return strformat("%s/%s/%s/%s", json_str_or(entry, "group", ""),
                        json_str_or(entry, "kind", ""), json_str_or(entry, "namespace", ""),
                        json_str_or(entry, "name", ""));
}

static struct map *keys_of(const json_t *inventory) {
        _cleanup_(map_freep) struct map *keys = map_new(NULL);
        const json_t *entry;
        size_t i;

        if (!keys)
                return NULL;
        json_array_foreach (inventory, i, entry) {
                _cleanup_free_ char *key = plan_entry_key(entry);

                if (!key || map_set(keys, key, (void *)entry) < 0)
                        return NULL;
        }
        return TAKE_PTR(keys);
}

/* Entries of a that b lacks. */
static json_t *minus(const json_t *a, const json_t *b) {
        _cleanup_(map_freep) struct map *keys = keys_of(b);
        _cleanup_json_ json_t *out = json_array();
        json_t *entry;
        size_t i;

        if (!keys || !out)
                return NULL;
        json_array_foreach (a, i, entry) {
                _cleanup_free_ char *key = plan_entry_key(entry);

                if (!key || (!map_get(keys, key) && json_array_append(out, entry) < 0))
                        return NULL;
        }
        return TAKE_PTR(out);
}

static int compare_reverse(const void *a, const void *b) {
        const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
        unsigned i = plan_rank("", json_str_or(x, "kind", "")),
                 j = plan_rank("", json_str_or(y, "kind", ""));

        if (i != j)
                return i > j ? -1 : 1;
        return strcmp(json_str_or(x, "name", ""), json_str_or(y, "name", ""));
}

json_t *plan_prune(const json_t *old_inventory, const json_t *new_inventory) {
        _cleanup_json_ json_t *gone = minus(old_inventory, new_inventory), *out = json_array();
        size_t n = json_array_size(gone);
        _cleanup_free_ json_t **sorted = calloc(n + 1, sizeof(*sorted));

        if (!gone || !out || !sorted)
                return NULL;
        for (size_t i = 0; i < n; i++)
                sorted[i] = json_array_get(gone, i);
        qsort(sorted, n, sizeof(*sorted), compare_reverse);
        for (size_t i = 0; i < n; i++)
                if (json_array_append(out, sorted[i]) < 0)
                        return NULL;
        return TAKE_PTR(out);
}

json_t *plan_union(const json_t *old_inventory, const json_t *new_inventory) {
        _cleanup_json_ json_t *out = json_array(), *gone = minus(old_inventory, new_inventory);

        if (!out || !gone ||
                        (new_inventory && json_array_extend(out, (json_t *)new_inventory) < 0) ||
                        json_array_extend(out, gone) < 0)
                return NULL;
        return TAKE_PTR(out);
}

bool plan_prune_is_large(size_t prune_count, size_t old_count) {
        return old_count >= 10 && prune_count * 2 > old_count;
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

static enum health workload_health(const json_t *o, char **ret_why) {
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
        if (streq(object_kind(o), "Deployment") && updated < want)
                return progressing(ret_why, strformat("%i of %i replicas are updated", (int)updated,
                                                            (int)want));
        if (streq(object_kind(o), "Deployment") && have > updated)
                return progressing(ret_why, strformat("%i old replicas are still there",
                                                            (int)(have - updated)));
        if (available < want)
                return progressing(ret_why, strformat("%i of %i replicas are available",
                                                            (int)available, (int)want));
        return HEALTH_READY;
}

enum health plan_health(const json_t *o, char **ret_why) {
        const char *kind = object_kind(o);

        *ret_why = NULL;
        if (object_is_deleting(o))
                return progressing(ret_why, strdup("it is being deleted"));
        if (streq(kind, "Deployment") || streq(kind, "ReplicaSet"))
                return workload_health(o, ret_why);
        if (streq(kind, "Job")) {
                if (object_condition_true(o, "Failed")) {
                        *ret_why = strdup("it failed");
                        return HEALTH_FAILED;
                }
                return object_condition_true(o, "Complete") ||
                                                       json_bool_or(o, "spec.suspend", false)
                                       ? HEALTH_READY
                                       : progressing(ret_why, strdup("it has not completed"));
        }
        if (streq(kind, "Pod"))
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
