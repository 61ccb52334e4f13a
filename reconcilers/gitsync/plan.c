/* Decisions of the Git sync as functions of their arguments. */
#include "reconcilers/gitsync/plan.h"

#include "lib/client/kinds.h"
#include "lib/object.h"
#include "lib/pki.h"

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

static bool rule_holds(const struct kind_rule *rule, const json_t *o) {
        _cleanup_free_ char *text = NULL;
        const json_t *v;

        if (rule->condition && rule->reason)
                return streq(json_str_or(object_condition(o, rule->condition), "reason", ""),
                                rule->reason);
        if (rule->condition)
                return object_condition_true(o, rule->condition);
        v = json_at(o, rule->path);
        if (json_is_string(v))
                return streq(json_string_value(v), rule->value);
        text = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        return text && streq(text, rule->value);
}

/* The first rule of a list that holds; NULL when none does. */
static const struct kind_rule *find_rule(const struct kind_rule *rules, const json_t *o) {
        for (; rules->condition || rules->path; rules++)
                if (rule_holds(rules, o))
                        return rules;
        return NULL;
}

static int number_at(const json_t *o, const char *path, int fallback) {
        return path ? (int)json_int_or(o, path, fallback) : fallback;
}

static enum health replica_health(const struct kind_health *h, const json_t *o, char **ret_why) {
        int wanted = number_at(o, h->wanted, 1), available = number_at(o, h->available, 0);

        if (h->updated && !find_rule(h->manual, o)) {
                int updated = number_at(o, h->updated, 0), current = number_at(o, h->current, 0);
                int held = h->held_back ? MIN(number_at(o, h->held_back, 0), wanted) : 0;

                if (updated < wanted - held)
                        return progressing(ret_why, strformat("%i of %i replicas are updated",
                                                                    updated, wanted - held));
                if (current - held > updated)
                        return progressing(ret_why, strformat("%i old replicas are still there",
                                                                    current - held - updated));
        }
        if (available < wanted)
                return progressing(ret_why,
                                strformat("%i of %i replicas are available", available, wanted));
        return HEALTH_READY;
}

enum health plan_health(const json_t *o, char **ret_why) {
        char group[OBJECT_GROUP_SIZE] = "", version[OBJECT_VERSION_SIZE];
        const struct kind_facts *facts;
        const struct kind_rule *failed;
        const struct kind_health *h;

        *ret_why = NULL;
        if (object_is_deleting(o))
                return progressing(ret_why, strdup("it is being deleted"));
        (void)object_split_api_version(object_api_version(o), group, version);
        facts = kind_facts_by_kind(group, object_kind(o));
        if (!facts || !facts->health)
                return HEALTH_READY;
        h = facts->health;
        if (h->observed && json_int_or(o, h->observed, 0) < object_generation(o))
                return progressing(ret_why, strdup("not yet seen by its controller"));
        failed = find_rule(h->failed, o);
        if (failed) {
                *ret_why = strformat("it %s", failed->text);
                return HEALTH_FAILED;
        }
        if (h->otherwise && !find_rule(h->ready, o))
                return progressing(ret_why, strformat("it %s", h->otherwise));
        return h->wanted ? replica_health(h, o, ret_why) : HEALTH_READY;
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
