/* --verb and --resource as rules: one rule for each group of the API. */
#include "kctl/create/create.h"

/* "deployments.apps/scale" as group and resource with subresource. */
static int resource_parse(struct kctl *k, const char *word, const char **ret_group,
                char **ret_resource, struct problem *p) {
        const char *slash = strchr(word, '/');
        _cleanup_free_ char *kind_word = strndup(word, strcspn(word, "/"));
        struct kind_ref kind;
        int r;

        if (!kind_word)
                return -ENOMEM;
        if (streq(kind_word, "*")) {
                *ret_group = "*";
                *ret_resource = strdup(word);
                return *ret_resource ? 0 : -ENOMEM;
        }
        r = kind_find(k, kind_word, &kind, p);
        if (r < 0)
                return r;
        *ret_group = kind.resource.group;
        *ret_resource = strformat("%s%s", kind.resource.plural, strempty(slash));
        return *ret_resource ? 0 : -ENOMEM;
}

/* The resources under their groups, each once. */
static int group_resources(struct kctl *k, json_t *groups, struct problem *p) {
        for (char **word = k->flags.resources; word && *word; word++) {
                _cleanup_free_ char *resource = NULL;
                const json_t *known;
                const char *group;
                json_t *list;
                bool there = false;
                size_t i;
                int r = resource_parse(k, *word, &group, &resource, p);

                if (r < 0)
                        return r;
                list = json_object_get(groups, group);
                if (!list) {
                        list = json_array();
                        if (json_object_set_new(groups, group, list) < 0)
                                return -ENOMEM;
                }
                json_array_foreach (list, i, known)
                        there |= streq(json_string_value(known), resource);
                if (!there && json_array_append_new(list, json_string(resource)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* Each verb once; "*" stands for all. */
static json_t *verbs_json(char *const *words) {
        _cleanup_strv_free_ char **once = NULL;

        if (strv_contains(words, "*"))
                return json_pack("[s]", "*");
        for (; words && *words; words++)
                if (!strv_contains(once, *words) && strv_extend(&once, *words) < 0)
                        return NULL;
        return texts_json(once);
}

int rules_read(struct kctl *k, json_t *rules, struct problem *p) {
        const struct kctl_flags *f = &k->flags;
        _cleanup_json_ json_t *verb_list = NULL, *groups = json_object(), *sorted = NULL;
        const json_t *list;
        const char *group;
        int r;

        if (!f->verbs)
                return problem_set(p, EINVAL, 0, NULL,
                                "--verb is needed: get, list, watch, create, update, patch, "
                                "delete or *");
        if (!f->resources && !f->non_resource_urls)
                return problem_set(p, EINVAL, 0, NULL,
                                "--resource is needed: for example pods or deployments.apps/scale");
        if (f->resource_names && strv_length(f->resources) > 1)
                return problem_set(p, EINVAL, 0, NULL,
                                "--resource-name is for one --resource; several are given");
        verb_list = verbs_json(f->verbs);
        if (!verb_list || !groups)
                return -ENOMEM;
        r = group_resources(k, groups, p);
        if (r < 0)
                return r;
        sorted = json_sorted(groups);
        json_object_each(sorted, group, list)
                if (json_array_append_new(rules,
                                    json_pack("{s:[s], s:O, s:o*, s:O}", "apiGroups", group,
                                                    "resources", list, "resourceNames",
                                                    f->resource_names
                                                                    ? texts_json(f->resource_names)
                                                                    : NULL,
                                                    "verbs", verb_list)) < 0)
                        return -ENOMEM;
        if (f->non_resource_urls &&
                        json_array_append_new(rules,
                                        json_pack("{s:o, s:O}", "nonResourceURLs",
                                                        texts_json(f->non_resource_urls), "verbs",
                                                        verb_list)) < 0)
                return -ENOMEM;
        return 0;
}
