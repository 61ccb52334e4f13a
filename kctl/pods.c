/* From a word to a pod: names, and workloads by their selector. */
#include "kctl/remote.h"

#include "lib/object.h"
#include "lib/selector.h"

/* The pods that a workload's selector finds. */
static int pods_of(struct kctl *k, const struct target *t, json_t **ret, struct problem *p) {
        _cleanup_free_ char *path = target_path(t, /* subresource= */ NULL, /* query= */ NULL),
                            *labels = NULL, *query = NULL, *pods_path = NULL, *text = NULL;
        _cleanup_json_ json_t *o = NULL;
        _cleanup_(label_selector_freep) struct label_selector *selector = NULL;
        const json_t *s;
        int r = path ? api_get(k->client, path, &o, p) : -ENOMEM;

        if (r < 0)
                return r;
        s = json_at(o, "spec.selector");
        if (!s)
                return problem_set(p, EINVAL, 0, NULL, "a %s has no pods", t->kind.singular);
        r = streq(t->kind.resource.kind, "Service") ? label_selector_from_map(s, &selector)
                                                    : label_selector_from_json(s, &selector, p);
        if (r < 0)
                return r;
        text = label_selector_text(selector);
        labels = text ? url_escape(text) : NULL;
        query = labels ? strformat("labelSelector=%s", labels) : NULL;
        pods_path = query ? api_path(api_resource(KIND_PODS), t->ns, /* name= */ NULL,
                                            /* subresource= */ NULL, query)
                          : NULL;
        return pods_path ? api_get(k->client, pods_path, ret, p) : -ENOMEM;
}

/* Whether a pod's machine reports that it is well; also when we may not know. */
static bool node_is_well(struct kctl *k, const json_t *pod) {
        const char *node = json_str(pod, "spec.nodeName");
        _cleanup_free_ char *path =
                        node ? api_path(api_resource(KIND_NODES), NULL, node, NULL, NULL) : NULL;
        _cleanup_problem_ struct problem ignored = {0};
        _cleanup_json_ json_t *o = NULL;
        int r;

        if (!path)
                return false;
        r = api_get(k->client, path, &o, &ignored);
        return r < 0 ? r != -ENOENT : object_condition_true(o, "Ready");
}

/* How good a pod is to look into: one that ends comes last, then one that does not run, and a ready
 * one first. */
static int rank(const json_t *pod) {
        if (object_is_deleting(pod))
                return 0;
        if (!streq(json_str_or(pod, "status.phase", ""), "Running"))
                return 1;
        return object_condition_true(pod, "Ready") ? 3 : 2;
}

/* The best pod whose machine answers; when none does, the best one of all. */
static const json_t *best_pod(struct kctl *k, const json_t *list) {
        const json_t *items = json_object_get(list, "items"), *pod, *best = NULL, *any = NULL;
        size_t i;

        for (int wanted = 3; wanted >= 0 && !best; wanted--)
                json_array_foreach (items, i, pod) {
                        if (best || rank(pod) != wanted)
                                continue;
                        any = any ? any : pod;
                        if (json_array_size(items) == 1 || node_is_well(k, pod))
                                best = pod;
                }
        return best ? best : any;
}

static int take_names(const char *ns, const char *pod, char **ret_ns, char **ret_pod) {
        _cleanup_free_ char *a = strdup(ns), *b = strdup(pod);

        if (!a || !b)
                return -ENOMEM;
        *ret_ns = TAKE_PTR(a);
        *ret_pod = TAKE_PTR(b);
        return 0;
}

static int pod_of_workload(struct kctl *k, const char *word, const struct target *t, char **ret_ns,
                char **ret_pod, struct problem *p) {
        _cleanup_json_ json_t *list = NULL;
        const json_t *pod;
        size_t n;
        int r = pods_of(k, t, &list, p);

        if (r < 0)
                return r;
        pod = best_pod(k, list);
        if (!pod)
                return problem_set(p, ENOENT, 0, NULL, "%s has no pods at the moment", word);
        n = json_array_size(json_object_get(list, "items"));
        if (n > 1)
                fprintf(stderr, "Found %zu pods, using pod/%s\n", n, object_name(pod));
        return take_names(object_namespace(pod), object_name(pod), ret_ns, ret_pod);
}

int pod_of_word(struct kctl *k, const char *word, char **ret_ns, char **ret_pod,
                struct problem *p) {
        char *words[] = {(char *)word, NULL}, **before = k->words;
        _cleanup_targets_ struct targets t = {0};
        int r;

        if (!strchr(word, '/'))
                return take_names(kctl_namespace(k), word, ret_ns, ret_pod);
        k->words = words;
        r = targets_parse(k, 0, &t, p);
        k->words = before;
        if (r < 0)
                return r;
        if (t.items[0].kind.facts == &kind_facts[KIND_PODS])
                return take_names(t.items[0].ns, t.items[0].name, ret_ns, ret_pod);
        return pod_of_workload(k, word, &t.items[0], ret_ns, ret_pod, p);
}
