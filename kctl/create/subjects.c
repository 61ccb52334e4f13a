/* --user, --group and --serviceaccount as subjects. */
#include "kctl/create/create.h"

static int add_named(char *const *names, const char *kind, json_t *subjects) {
        const char *group = api_resource(KIND_ROLES)->group;

        for (; names && *names; names++)
                if (json_array_append_new(subjects,
                                    json_pack("{s:s, s:s, s:s}", "apiGroup", group, "kind", kind,
                                                    "name", *names)) < 0)
                        return -ENOMEM;
        return 0;
}

int subjects_read(struct kctl *k, json_t *subjects, struct problem *p) {
        if (add_named(k->flags.users, "User", subjects) < 0 ||
                        add_named(k->flags.groups, "Group", subjects) < 0)
                return -ENOMEM;
        for (char **word = k->flags.service_accounts; word && *word; word++) {
                const char *colon = strchr(*word, ':');
                _cleanup_free_ char *ns = colon ? strndup(*word, (size_t)(colon - *word)) : NULL;

                if (!ns || !*ns || !colon[1] || strchr(colon + 1, ':'))
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--serviceaccount %s is not NAMESPACE:NAME", *word);
                if (json_array_append_new(subjects,
                                    json_pack("{s:s, s:s, s:s}", "kind", "ServiceAccount", "name",
                                                    colon + 1, "namespace", ns)) < 0)
                        return -ENOMEM;
        }
        return 0;
}
