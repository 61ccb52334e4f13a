/* kctl set subject: adds users, groups and service accounts to bindings of roles. */
#include "kctl/create/create.h"
#include "kctl/set/set.h"

static bool is_there(const json_t *list, const json_t *subject) {
        const json_t *known;
        size_t i;

        json_array_foreach (list, i, known)
                if (json_same(known, subject))
                        return true;
        return false;
}

static int mutate(json_t *object, const struct target *t, void *userdata, struct problem *p) {
        json_t *list = json_object_get(object, "subjects"), *subject;
        size_t i;

        if (!streq(t->kind.resource.kind, "RoleBinding") &&
                        !streq(t->kind.resource.kind, "ClusterRoleBinding"))
                return problem_set(p, EINVAL, 0, NULL,
                                "a %s has no subjects; rolebindings and clusterrolebindings have",
                                t->kind.singular);
        if (!list) {
                list = json_array();
                if (json_object_set_new(object, "subjects", list) < 0)
                        return -ENOMEM;
        }
        json_array_foreach ((json_t *)userdata, i, subject)
                if (!is_there(list, subject) && json_array_append(list, subject) < 0)
                        return -ENOMEM;
        return 0;
}

int kctl_set_subject(struct kctl *k) {
        _cleanup_json_ json_t *subjects = json_array();
        _cleanup_problem_ struct problem p = {0};

        if (!subjects || subjects_read(k, subjects, &p) < 0)
                return kctl_fail(&p);
        if (json_array_size(subjects) == 0)
                return kctl_usage(k, "--user, --group or --serviceaccount is needed");
        return set_all(k, mutate, subjects, "subjects updated");
}
