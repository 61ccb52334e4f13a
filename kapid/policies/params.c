/* (Reference: CollectParams of apiserver's admission/plugin/policy/generic.) */
#include "kapid/policies/params.h"

#include "kapid/pipeline/forms.h"

static int refuse(char **ret_why, const char *why) {
        *ret_why = strdup(why);
        return *ret_why ? -EINVAL : -ENOMEM;
}

static int take(struct item *it, const struct kind *k, json_t *list, char **ret_why) {
        _cleanup_problem_ struct problem p = {0};
        json_t *object = NULL;
        int r = item_object_as(it, k, &object, &p);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return refuse(ret_why, strempty(p.message));
        return json_array_append_new(list, object) < 0 ? -ENOMEM : 0;
}

static int take_named(struct cache *c, const struct kind *k, const char *namespace,
                const char *name, json_t *list, char **ret_why) {
        _cleanup_free_ char *path =
                        k->namespaced ? strformat("%s/%s", namespace, name) : strdup(name);
        struct item *it = path ? cache_find(c, path) : NULL;

        if (!path)
                return -ENOMEM;
        return it ? take(it, k, list, ret_why) : 0;
}

static int take_selected(struct cache *c, const struct kind *k, const char *namespace,
                const struct label_selector *selector, json_t *list, char **ret_why) {
        _cleanup_free_ char *prefix = k->namespaced ? strformat("%s/", namespace) : strdup("");

        if (!prefix)
                return -ENOMEM;
        for (struct item *it = cache_first(c, prefix); it && startswith(item_path(it), prefix);
                        it = cache_next(c, it)) {
                _cleanup_json_ json_t *labels = NULL;
                int r = item_labels(it, &labels);

                if (r < 0)
                        return r;
                r = label_selector_matches(selector, labels) ? take(it, k, list, ret_why) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

int policy_params(struct api *a, const struct policy *p, const struct policy_binding *b,
                const char *namespace, json_t **ret, char **ret_why) {
        _cleanup_json_ json_t *list = NULL;
        const char *from = *b->param_namespace ? b->param_namespace : strempty(namespace);
        const struct kind *k;
        struct cache *c;
        int r;

        if (!p->param_kind || !b->has_params)
                return 0;
        k = policy_param_kind(a->kinds, p->param_api_version, p->param_kind);
        if (!k || !k->stored) {
                *ret_why = strformat("paramKind kind `%s, Kind=%s` not known", p->param_api_version,
                                p->param_kind);
                return *ret_why ? -EINVAL : -ENOMEM;
        }
        if (!k->namespaced && *b->param_namespace)
                return refuse(ret_why, "paramRef.namespace must not be provided for a "
                                       "cluster-scoped `paramKind`");
        if (k->namespaced && !*from)
                return refuse(ret_why, "cannot use namespaced paramRef in policy binding that "
                                       "matches cluster-scoped resources");
        c = caches_get(a->caches, k->storage_prefix);
        list = json_array();
        if (!c || !list)
                return -ENOMEM;
        r = b->param_selector ? take_selected(c, k, from, b->param_selector, list, ret_why)
                              : take_named(c, k, from, b->param_name, list, ret_why);
        if (r < 0)
                return r;
        if (json_array_size(list) == 0 && b->denies_without_params)
                return refuse(ret_why, "no params found for policy binding with `Deny` "
                                       "parameterNotFoundAction");
        *ret = TAKE_PTR(list);
        return 0;
}
