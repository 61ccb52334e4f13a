/* Every definition wants a plural, a singular, short names, a kind and a list kind. The first that
 * comes has them; a later one in the same group is stored, but not served until they are free, and
 * its conditions say why. Reasons and messages are the API's. */
#include "kapid/kinds/crd-names.h"

#include "kapid/kinds/crd-approval.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"

static const json_t *condition(const json_t *crd, const char *type) {
        const json_t *list = json_at(crd, "status.conditions"), *c;
        size_t i;

        json_array_foreach (list, i, c)
                if (streq(json_str_or(c, "type", ""), type))
                        return c;
        return NULL;
}

static bool condition_is(const json_t *crd, const char *type, const char *status) {
        const json_t *c = condition(crd, type);

        return c && streq(json_str_or(c, "status", ""), status);
}

bool crd_is_established(const json_t *crd) {
        return !condition_is(crd, "Established", "False");
}

bool crd_is_waiting(const json_t *crd) {
        return condition_is(crd, "NamesAccepted", "False");
}

int crd_set_condition(json_t *crd, const char *type, const char *status, const char *reason,
                const char *message, uint64_t now_us) {
        const json_t *old = condition(crd, type);
        json_t *list = json_at_mut(crd, "status.conditions"), *made;
        bool same = old && streq(json_str_or(old, "status", ""), status);
        char now[TIMEFMT_SIZE];
        size_t i = 0;

        time_format(now_us, now);
        made = json_pack("{ss, ss, ss, ss, ss}", "type", type, "status", status, "reason", reason,
                        "message", message, "lastTransitionTime",
                        same ? json_str_or(old, "lastTransitionTime", now) : now);
        if (!made)
                return -ENOMEM;
        if (!json_is_array(list)) {
                list = json_array();
                if (json_set_at(crd, "status.conditions", list) < 0) {
                        json_decref(made);
                        return -ENOMEM;
                }
        }
        while (i < json_array_size(list) && json_array_get(list, i) != old)
                i++;
        return (old ? json_array_set_new(list, i, made) : json_array_append_new(list, made)) < 0
                               ? -ENOMEM
                               : 0;
}

enum { NAME_OF_RESOURCE, NAME_OF_KIND };

/* Whether another definition of the group has that name. */
static bool is_taken(const struct kind_registry *registry, const json_t *crd, int what,
                const char *name) {
        const char *group = json_str_or(crd, "spec.group", "");
        const struct kind *k;

        for (size_t i = 0; (k = kind_registry_at(registry, i)); i++) {
                if (!streq(k->group, group) || streq(kind_document(k), object_name(crd)))
                        continue;
                if (what == NAME_OF_KIND) {
                        if (streq(k->kind, name) || streq(k->list_kind, name))
                                return true;
                        continue;
                }
                if (streq(k->plural, name) || streq(k->singular, name))
                        return true;
                for (size_t j = 0; k->short_names && k->short_names[j]; j++)
                        if (streq(k->short_names[j], name))
                                return true;
        }
        return false;
}

/* The name of the field that is taken, or NULL. */
static const char *taken(const struct kind_registry *registry, const json_t *crd, int what,
                const char *field) {
        const json_t *v = json_get(crd, "spec", "names", field, NULL), *item;
        size_t i;

        if (json_is_string(v))
                return is_taken(registry, crd, what, json_string_value(v)) ? json_string_value(v)
                                                                           : NULL;
        json_array_foreach (v, i, item)
                if (json_is_string(item) && is_taken(registry, crd, what, json_string_value(item)))
                        return json_string_value(item);
        return NULL;
}

static int keep_old_name(json_t *accepted, const json_t *old, const char *field) {
        json_t *v = (json_t *)json_get(old, "status", "acceptedNames", field, NULL);

        json_object_del(accepted, field);
        return v && json_object_set(accepted, field, v) < 0 ? -ENOMEM : 0;
}

/* Removes from `accepted` the names that others have, or restores the old ones. Of several such
 * names *ret_taken is the last one, and *ret_reason belongs to it; both stay NULL without one. */
static int settle_accepted(const struct kind_registry *registry, const json_t *old,
                const json_t *crd, json_t *accepted, const char **ret_taken,
                const char **ret_reason) {
        static const struct {
                const char *field, *reason;
                int what;
        } fields[] = {
                        {"plural", "PluralConflict", NAME_OF_RESOURCE},
                        {"singular", "SingularConflict", NAME_OF_RESOURCE},
                        {"shortNames", "ShortNamesConflict", NAME_OF_RESOURCE},
                        {"kind", "KindConflict", NAME_OF_KIND},
                        {"listKind", "ListKindConflict", NAME_OF_KIND},
        };

        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                const char *name = taken(registry, crd, fields[i].what, fields[i].field);
                int r;

                if (!name)
                        continue;
                *ret_taken = name;
                *ret_reason = fields[i].reason;
                r = keep_old_name(accepted, old, fields[i].field);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A definition has no names without the two main ones. */
static int set_accepted(json_t *crd, json_t *accepted) {
        if (json_object_get(accepted, "plural") && json_object_get(accepted, "kind"))
                return json_set_at(crd, "status.acceptedNames", json_incref(accepted));
        json_del_at(crd, "status.acceptedNames");
        return 0;
}

/* Whether the definition may be in its group; it is served all the same. */
static int settle_approval(json_t *crd, uint64_t now_us) {
        _cleanup_free_ char *why = NULL;
        enum crd_approval approval = crd_approval_of(crd, &why);
        const char *reason = crd_approval_reason(approval);

        if (!reason)
                return 0;
        return crd_set_condition(crd, "KubernetesAPIApprovalPolicyConformant",
                        approval == CRD_APPROVAL_GIVEN ? "True" : "False", reason, strempty(why),
                        now_us);
}

int crd_settle_names(const struct kind_registry *registry, const json_t *old, json_t *crd,
                uint64_t now_us) {
        const json_t *names = json_at(crd, "spec.names");
        _cleanup_json_ json_t *before = json_tree_copy(json_object_get(crd, "status")),
                              *accepted = names ? json_tree_copy(names) : json_object();
        bool was_established = old && condition_is(old, "Established", "True");
        _cleanup_free_ char *message = NULL;
        const char *name = NULL, *reason = NULL;
        int r;

        if (!accepted)
                return -ENOMEM;
        r = settle_accepted(registry, old, crd, accepted, &name, &reason);
        if (r < 0)
                return r;
        message = name ? strformat("\"%s\" is already in use", name) : strdup("no conflicts found");
        if (!message)
                return -ENOMEM;
        r = set_accepted(crd, accepted);
        if (r < 0)
                return r;
        r = crd_set_condition(crd, "NamesAccepted", name ? "False" : "True",
                        name ? reason : "NoConflicts", message, now_us);
        if (r < 0)
                return r;
        if (!name || !was_established) {
                r = crd_set_condition(crd, "Established", name ? "False" : "True",
                                name ? "NotAccepted" : "InitialNamesAccepted",
                                name ? "not all names are accepted"
                                     : "the initial names have been accepted",
                                now_us);
                if (r < 0)
                        return r;
        }
        r = settle_approval(crd, now_us);
        if (r < 0)
                return r;
        return !before || !json_equal(before, json_object_get(crd, "status"));
}

void crd_serve(struct kind_registry *kinds, const json_t *crd) {
        _cleanup_problem_ struct problem p = {0};

        if (!crd_is_established(crd))
                return;
        if (kind_registry_add_crd(kinds, crd, &p) < 0)
                log_warning("The kinds of %s cannot be served: %s", object_name(crd),
                                strempty(p.message));
}
