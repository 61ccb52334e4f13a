/* kctl set: its frame, and finding containers. */
#include "kctl/set/set.h"

#include <fnmatch.h>

bool set_is_pair(const char *word) {
        return strchr(word, '=') != NULL;
}

int set_split(struct kctl *k, bool (*is_value)(const char *word), char ***ret_values,
                struct problem *p) {
        _cleanup_strv_free_ char **values = NULL, **names = NULL;

        for (char **w = k->words; w && *w; w++)
                if (strv_extend(is_value(*w) ? &values : &names, *w) < 0)
                        return -ENOMEM;
        strv_free(k->words);
        k->words = TAKE_PTR(names);
        *ret_values = TAKE_PTR(values);
        return 0;
}

int set_all(struct kctl *k, mutate_func mutate, void *userdata, const char *done) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        if (!k->words && !k->flags.filenames)
                return kctl_usage(k, "of what? Give KIND/NAME, KIND NAME or -f FILE");
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (change_targets(k, &t, &p) < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++)
                if (object_change(k, &t.items[i], mutate, userdata, done, &p) < 0)
                        code = kctl_fail(&p);
        return code;
}

json_t *set_pod_spec(json_t *object, const struct target *t, struct problem *p) {
        const char *template = t->kind.facts ? t->kind.facts->pod_template : NULL;
        json_t *spec;

        if (!template) {
                problem_set(p, EINVAL, 0, NULL, "a %s has no pod template", t->kind.singular);
                return NULL;
        }
        spec = json_object_get(*template ? json_at_mut(object, template) : object, "spec");
        if (!spec)
                problem_set(p, EINVAL, 0, NULL, "%s \"%s\" has no pod template", t->kind.singular,
                                t->name);
        return spec;
}

static const char *const lists[] = {"initContainers", "containers"};

int set_containers(json_t *pod_spec, const char *pattern, container_func func, void *userdata) {
        int found = 0;
        json_t *c;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_object_get(pod_spec, lists[l]), i, c) {
                        int r = 0;

                        if (fnmatch(pattern, json_str_or(c, "name", ""), 0) != 0)
                                continue;
                        found++;
                        r = func(c, userdata);
                        if (r < 0)
                                return r;
                }
        return found;
}

int set_no_container(const json_t *pod_spec, const char *pattern, const struct target *t,
                struct problem *p) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *list = NULL;
        const json_t *c;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_object_get(pod_spec, lists[l]), i, c)
                        if (strv_extend(&names, json_str_or(c, "name", "")) < 0)
                                return -ENOMEM;
        list = strv_join(names, ", ");
        return problem_set(p, ENOENT, 0, NULL,
                        "unable to find container named \"%s\" in %s \"%s\"; it has %s", pattern,
                        t->kind.singular, t->name, isempty(list) ? "none" : list);
}
