/* Rules about nodes: spec.nodeSelector and node affinity ("Assigning Pods to Nodes"), tolerations,
 * labels that must exist. A filter keeps its answer for every node; a node that comes or changes is
 * judged once. */
#include "lib/node-affinity.h"
#include "lib/object.h"
#include "lib/sched/internal.h"

/* --- tolerations --- */

void sched_tolerations_parse(const json_t *list, struct sched_tolerations *ret) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                struct toleration t;

                toleration_read(v, &t);
                sched_append(ret, ((struct sched_toleration){sched_strdup(t.key),
                                                  sched_strdup(t.value), t.effect, t.op}));
        }
}

void sched_tolerations_done(struct sched_tolerations *t) {
        for (size_t i = 0; i < t->count; i++) {
                free(t->items[i].key);
                free(t->items[i].value);
        }
        vector_done(t);
}

bool sched_tolerates(const struct sched_tolerations *t, const char *key, const char *value,
                enum taint_effect effect) {
        for (size_t i = 0; i < t->count; i++) {
                const struct sched_toleration *x = &t->items[i];
                struct toleration one = {x->key, x->value, x->effect, x->op};

                if (toleration_matches(&one, key, value, effect))
                        return true;
        }
        return false;
}

const struct sched_taint *sched_next_untolerated(
                const struct sched_shape *shape, const struct sched_node *node, size_t *at) {
        while (*at < node->taints.count) {
                const struct sched_taint *t = &node->taints.items[(*at)++];

                if (taint_effect_forbids(t->effect) &&
                                !sched_tolerates(&shape->tolerations, t->key, t->value, t->effect))
                        return t;
        }
        return NULL;
}

/* --- judging a node --- */

static bool taints_are_tolerated(const struct sched_tolerations *t, const struct sched_node *node) {
        for (size_t i = 0; i < node->taints.count; i++) {
                const struct sched_taint *x = &node->taints.items[i];

                if (taint_effect_forbids(x->effect) &&
                                !sched_tolerates(t, x->key, x->value, x->effect))
                        return false;
        }
        return true;
}

static bool has_keys(char *const *keys, const json_t *node) {
        for (size_t i = 0; keys && keys[i]; i++)
                if (!object_label(node, keys[i]))
                        return false;
        return true;
}

void sched_filter_judge(struct sched_node_filter *f, const struct sched_node *node) {
        const json_t *o = node->object;

        sched_grow(&f->match, &f->slots, (size_t)node->slot + 1, sizeof(*f->match), 0);
        f->match[node->slot] = node_has_labels(f->selector, o) &&
                               (!f->has_terms || node_terms_match(f->terms, o)) &&
                               (!f->judges_taints || taints_are_tolerated(&f->tolerations, node)) &&
                               has_keys(f->keys, o);
}

/* --- filters --- */

static char *text_of(const json_t *v) {
        char *s = v ? json_text(v) : sched_strdup("-");

        assert(s);
        return s;
}

struct sched_node_filter *sched_filter_get(struct sched_cluster *c, const json_t *selector,
                const json_t *terms, const json_t *tolerations, char *const *keys) {
        _cleanup_free_ char *a = NULL, *b = NULL, *d = NULL, *e = strv_join(keys, ","),
                            *text = NULL;
        struct sched_node_filter *f;

        if (json_object_size(selector) == 0)
                selector = NULL;
        if (!selector && !terms && !tolerations && strv_length(keys) == 0)
                return NULL;
        a = text_of(selector);
        b = text_of(terms);
        d = text_of(tolerations);
        text = strformat("%s %s %s %s", a, b, d, strempty(e));
        assert(text);
        f = map_get(c->filters, text);
        if (f) {
                f->refs++;
                return f;
        }
        f = sched_alloc(1, sizeof(*f));
        *f = (struct sched_node_filter){.text = TAKE_PTR(text),
                        .refs = 1,
                        .selector = json_ref(selector),
                        .terms = json_ref(terms),
                        .has_terms = terms,
                        .judges_taints = tolerations};
        sched_tolerations_parse(tolerations, &f->tolerations);
        for (size_t i = 0; keys && keys[i]; i++)
                assert(strv_extend(&f->keys, keys[i]) >= 0);
        assert(map_set(c->filters, f->text, f) >= 0);
        LIST_INSERT_HEAD(&c->all_filters, f, all);
        for (size_t i = 0; i < c->slots.count; i++)
                if (c->slots.items[i])
                        sched_filter_judge(f, c->slots.items[i]);
        return f;
}

struct sched_node_filter *sched_filter_put(struct sched_cluster *c, struct sched_node_filter *f) {
        if (!f || --f->refs > 0)
                return NULL;
        LIST_REMOVE(f, all);
        map_steal(c->filters, f->text);
        json_decref(f->selector);
        json_decref(f->terms);
        sched_tolerations_done(&f->tolerations);
        strv_free(f->keys);
        free(f->match);
        free(f->text);
        free(f);
        return NULL;
}
