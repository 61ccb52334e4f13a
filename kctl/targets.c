/* The objects that a verb works on, from the words of the command line. */
#include "kctl/kctl.h"
#include "lib/object.h"
#include "lib/vector.h"

void targets_done(struct targets *t) {
        for (size_t i = 0; i < t->count; i++) {
                free(t->items[i].ns);
                free(t->items[i].name);
        }
        vector_done(t);
}

int targets_add(struct targets *t, const struct kind_ref *kind, const char *ns, const char *name) {
        struct target *x;

        if (vector_append(t, (struct target){.kind = *kind}) < 0)
                return -ENOMEM;
        x = &t->items[t->count - 1];
        if (kind->resource.namespaced && ns && !(x->ns = strdup(ns)))
                return -ENOMEM;
        if (name && !(x->name = strdup(name)))
                return -ENOMEM;
        return 0;
}

static const char *default_namespace(struct kctl *k) {
        return k->flags.all_namespaces ? NULL : kctl_namespace(k);
}

/* The built-in kinds of a category ("all"), in the order of the catalogue. Returns how many. */
static int add_category(struct kctl *k, const char *word, struct targets *kinds) {
        int n = 0;

        for (size_t i = 0; i < KINDS_MAX; i++) {
                const struct kind_facts *f = &kind_facts[i];
                struct kind_ref kind = kind_ref_of((enum kind_id)i);
                int r;

                if (!kind_word_in(f->categories, word))
                        continue;
                r = targets_add(kinds, &kind, default_namespace(k), /* name= */ NULL);
                if (r < 0)
                        return r;
                n++;
        }
        return n;
}

/* One word that is a kind, several with commas, or kind/name. Kinds are collected for the names
 * that may follow. */
static int parse_kinds(struct kctl *k, const char *word, struct targets *kinds, struct problem *p) {
        _cleanup_strv_free_ char **parts = NULL;

        if (strv_split(word, ",", &parts) < 0)
                return -ENOMEM;
        for (char **part = parts; part && *part; part++) {
                struct kind_ref kind;
                int r;

                r = add_category(k, *part, kinds);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                r = kind_find(k, *part, &kind, p);
                if (r < 0)
                        return r;
                r = targets_add(kinds, &kind, default_namespace(k), /* name= */ NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_slash(struct kctl *k, const char *word, struct targets *ret, struct problem *p) {
        const char *slash = strchr(word, '/');
        _cleanup_free_ char *kind_word = strndup(word, (size_t)(slash - word));
        struct kind_ref kind;
        int r;

        if (!kind_word)
                return -ENOMEM;
        if (!slash[1] || strchr(slash + 1, '/'))
                return problem_set(p, EINVAL, 0, NULL, "\"%s\" is not KIND/NAME", word);
        r = kind_find(k, kind_word, &kind, p);
        return r < 0 ? r : targets_add(ret, &kind, default_namespace(k), slash + 1);
}

int targets_parse(struct kctl *k, size_t from, struct targets *ret, struct problem *p) {
        _cleanup_targets_ struct targets t = {0}, kinds = {0};
        size_t n = strv_length(k->words);
        int r;

        if (!kctl_client(k)) /* the context's namespace is needed */
                return kctl_no_client(p);
        if (from >= n)
                return problem_set(p, EINVAL, 0, NULL,
                                "a kind is missing: for example pods, deployment/web; kctl "
                                "api-resources lists the kinds");
        if (strchr(k->words[from], '/')) {
                for (size_t i = from; i < n; i++) {
                        if (!strchr(k->words[i], '/'))
                                return problem_set(p, EINVAL, 0, NULL,
                                                "\"%s\": after KIND/NAME every word must be "
                                                "KIND/NAME",
                                                k->words[i]);
                        r = parse_slash(k, k->words[i], &t, p);
                        if (r < 0)
                                return r;
                }
        } else {
                r = parse_kinds(k, k->words[from], &kinds, p);
                if (r < 0)
                        return r;
                for (size_t i = from + 1; i < n; i++)
                        for (size_t j = 0; j < kinds.count; j++)
                                if ((r = targets_add(&t, &kinds.items[j].kind, kinds.items[j].ns,
                                                     k->words[i])) < 0)
                                        return r;
                if (t.count == 0) {
                        t = kinds;
                        kinds = (struct targets){0};
                }
        }
        for (size_t i = 0; i < t.count; i++)
                if (t.items[i].name && t.items[i].kind.resource.namespaced && !t.items[i].ns)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "\"%s\" is a name within one namespace: give -n NAMESPACE "
                                        "instead of -A",
                                        t.items[i].name);
        *ret = t;
        t = (struct targets){0};
        return 0;
}

char *selector_query(struct kctl *k, const char *more) {
        _cleanup_free_ char *labels = k->flags.selector ? url_escape(k->flags.selector) : NULL,
                            *fields = k->flags.field_selector ? url_escape(k->flags.field_selector)
                                                              : NULL;
        _cleanup_buf_ struct buf b = {0};

        if (labels)
                buf_printf(&b, "labelSelector=%s", labels);
        if (fields)
                buf_printf(&b, "%sfieldSelector=%s", b.size ? "&" : "", fields);
        if (more)
                buf_printf(&b, "%s%s", b.size ? "&" : "", more);
        return buf_take(&b);
}

char *target_path(const struct target *t, const char *subresource, const char *query) {
        return api_path(&t->kind.resource, t->ns, t->name, subresource, query);
}

/* The objects that a target without a name and the selectors stand for. */
static int add_selected(
                struct kctl *k, const struct target *t, struct targets *named, struct problem *p) {
        _cleanup_free_ char *query = selector_query(k, /* more= */ NULL),
                            *path = query ? target_path(t, /* subresource= */ NULL, query) : NULL;
        _cleanup_json_ json_t *list = NULL;
        const json_t *o;
        size_t i;
        int r;

        if (!path)
                return -ENOMEM;
        r = api_get(k->client, path, &list, p);
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(list, "items"), i, o) {
                r = targets_add(named, &t->kind, object_namespace(o), object_name(o));
                if (r < 0)
                        return r;
        }
        return 0;
}

int targets_resolve(struct kctl *k, size_t from, struct targets *ret, struct problem *p) {
        _cleanup_targets_ struct targets t = {0}, named = {0};
        int r = targets_parse(k, from, &t, p);

        if (r < 0)
                return r;
        for (size_t i = 0; i < t.count; i++) {
                const struct target *x = &t.items[i];

                r = x->name ? targets_add(&named, &x->kind, x->ns, x->name)
                            : add_selected(k, x, &named, p);
                if (r < 0)
                        return r;
        }
        *ret = named;
        named = (struct targets){0};
        return 0;
}
