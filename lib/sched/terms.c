/* Terms about other pods, as counts that each pod keeps up to date when it comes and leaves:
 *
 *      class (namespace, labels, owner) --matched by--> selector --has--> tally (key, filter)
 *      placed pod --holds--> held (selector, key, kind, weight)
 *
 * A selector is compared with a class once, when either appears. A pod that is placed adds one to
 * each tally of each selector of its class, and to each term that it holds: work in proportion to
 * the terms that concern it, not to nodes or pods. A new tally counts the pods of its classes once.
 * Tallies without users stay for a while, because the next pod of the same template comes soon. */
#include "lib/buf.h"
#include "lib/object.h"
#include "lib/sched/internal.h"

enum { UNUSED_TALLIES_MAX = 4096 };

/* --- topology keys --- */

struct sched_key *sched_key_get(struct sched_cluster *c, const char *name) {
        struct sched_key *k = map_get(c->keys, name);

        if (k) {
                k->refs++;
                return k;
        }
        k = sched_alloc(1, sizeof(*k));
        k->name = sched_strdup(name);
        k->ids = map_new(NULL);
        k->refs = 1;
        assert(k->ids && map_set(c->keys, name, k) >= 0);
        LIST_INSERT_HEAD(&c->all_keys, k, all);
        for (size_t i = 0; i < c->slots.count; i++)
                if (c->slots.items[i])
                        sched_key_enter(k, c->slots.items[i]);
        return k;
}

struct sched_key *sched_key_put(struct sched_cluster *c, struct sched_key *k) {
        if (!k || --k->refs > 0)
                return NULL;
        LIST_REMOVE(k, all);
        map_steal(c->keys, k->name);
        map_free(k->ids);
        for (size_t i = 0; i < k->count; i++)
                free(k->domains[i].value);
        free(k->domains);
        free(k->domain);
        free(k->name);
        free(k);
        return NULL;
}

static size_t domain_new(struct sched_key *k, const char *value) {
        size_t id = k->count;

        if (map_size(k->ids) < k->count) /* one is free */
                for (id = 0; k->domains[id].value; id++)
                        ;
        if (id == k->count) {
                sched_grow(&k->domains, &k->allocated, k->count + 1, sizeof(*k->domains), 0);
                k->count++;
        }
        k->domains[id].value = sched_strdup(value);
        assert(map_set(k->ids, value, (void *)(uintptr_t)(id + 1)) >= 0);
        return id;
}

void sched_key_enter(struct sched_key *k, const struct sched_node *node) {
        const char *value = object_label(node->object, k->name);
        size_t id;

        sched_grow(&k->domain, &k->slots, (size_t)node->slot + 1, sizeof(*k->domain), 0xff);
        if (!value)
                return;
        id = (size_t)(uintptr_t)map_get(k->ids, value);
        id = id > 0 ? id - 1 : domain_new(k, value);
        k->domain[node->slot] = (int32_t)id;
        k->domains[id].nodes++;
}

void sched_key_leave(struct sched_key *k, const struct sched_node *node) {
        int32_t id = sched_domain(k, node->slot);

        if (id < 0)
                return;
        k->domain[node->slot] = -1;
        if (--k->domains[id].nodes > 0)
                return;
        /* No node, so no count: every tally is 0 here, and the id is free for another value. */
        map_steal(k->ids, k->domains[id].value);
        k->domains[id].value = mfree(k->domains[id].value);
}

/* --- selectors --- */

void sched_match_done(struct sched_match *m) {
        strv_free(m->namespaces);
        label_selector_free(m->of_namespaces);
        label_selector_free(m->labels);
        free(m->owner);
}

static char *selector_text(const struct sched_match *rules, size_t count) {
        _cleanup_buf_ struct buf b = {0};

        for (size_t i = 0; i < count; i++) {
                _cleanup_free_ char *ns = strv_join(rules[i].namespaces, ",");
                _cleanup_free_ char *of =
                                rules[i].of_namespaces ? label_selector_text(rules[i].of_namespaces)
                                                       : sched_strdup("-");
                _cleanup_free_ char *labels = rules[i].labels ? label_selector_text(rules[i].labels)
                                                              : sched_strdup("-");

                assert(of && labels);
                assert(buf_printf(&b, "%s|%s|%s|%s\n", strempty(ns), of, labels,
                                       strempty(rules[i].owner)) >= 0);
        }
        return buf_take(&b);
}

static bool rule_matches(const struct sched_cluster *c, const struct sched_match *m,
                const struct sched_class *class) {
        if (m->owner && !streq(m->owner, class->owner))
                return false;
        if (!strv_contains(m->namespaces, class->ns) &&
                        !(m->of_namespaces && label_selector_matches(m->of_namespaces,
                                                              map_get(c->namespaces, class->ns))))
                return false;
        return !m->labels || label_selector_matches(m->labels, class->labels);
}

bool sched_selector_matches(const struct sched_cluster *c, const struct sched_selector *s,
                const struct sched_class *class) {
        for (size_t i = 0; i < s->rules.count; i++)
                if (!rule_matches(c, &s->rules.items[i], class))
                        return false;
        return true;
}

static void link_class(struct sched_selector *s, struct sched_class *class) {
        sched_append(&s->classes, class);
        sched_append(&class->selectors, s);
}

static void unlink_class(struct sched_selector *s, struct sched_class *class) {
        for (size_t i = 0; i < s->classes.count; i++)
                if (s->classes.items[i] == class) {
                        vector_remove_unordered(&s->classes, i);
                        break;
                }
        for (size_t i = 0; i < class->selectors.count; i++)
                if (class->selectors.items[i] == s) {
                        vector_remove_unordered(&class->selectors, i);
                        break;
                }
}

struct sched_selector *sched_selector_get(
                struct sched_cluster *c, struct sched_match *rules, size_t count) {
        _cleanup_free_ char *text = selector_text(rules, count);
        struct sched_selector *s = map_get(c->selectors, strempty(text));

        if (s) {
                for (size_t i = 0; i < count; i++)
                        sched_match_done(&rules[i]);
                s->refs++;
                return s;
        }
        s = sched_alloc(1, sizeof(*s));
        s->text = sched_strdup(text);
        s->refs = 1;
        for (size_t i = 0; i < count; i++)
                sched_append(&s->rules, rules[i]);
        assert(map_set(c->selectors, s->text, s) >= 0);
        LIST_INSERT_HEAD(&c->all_selectors, s, all);
        map_foreach (c->classes, e) {
                struct sched_class *class = map_entry_value(e);

                if (sched_selector_matches(c, s, class))
                        link_class(s, class);
        }
        return s;
}

void sched_selector_put(struct sched_cluster *c, struct sched_selector *s) {
        if (--s->refs > 0)
                return;
        assert(s->tallies.count == 0 && s->held.count == 0);
        while (s->classes.count > 0)
                unlink_class(s, s->classes.items[s->classes.count - 1]);
        LIST_REMOVE(s, all);
        map_steal(c->selectors, s->text);
        for (size_t i = 0; i < s->rules.count; i++)
                sched_match_done(&s->rules.items[i]);
        vector_done(&s->rules);
        vector_done(&s->classes);
        vector_done(&s->tallies);
        vector_done(&s->held);
        free(s->text);
        free(s);
}

void sched_class_enter(struct sched_cluster *c, struct sched_class *class) {
        struct sched_selector *s;

        LIST_FOREACH(s, &c->all_selectors, all)
        if (sched_selector_matches(c, s, class))
                link_class(s, class);
}

void sched_class_leave(struct sched_class *class) {
        while (class->selectors.count > 0)
                unlink_class(class->selectors.items[class->selectors.count - 1], class);
        vector_done(&class->selectors);
}

/* --- counting --- */

static void count(int32_t **counts, size_t *allocated, int64_t *total, const struct sched_key *k,
                int32_t slot, int by) {
        int32_t domain = sched_domain(k, slot);

        if (domain < 0)
                return;
        sched_grow(counts, allocated, MAX((size_t)domain + 1, k->count), sizeof(**counts), 0);
        (*counts)[domain] += by;
        *total += by;
}

static void tally_pod(struct sched_tally *t, const struct sched_pod *pod, int by) {
        int32_t slot = pod->node->slot;

        if (slot < 0 || (t->skips_terminating && pod->terminating) ||
                        (t->filter && !t->filter->match[slot]))
                return;
        count(&t->counts, &t->counts_allocated, &t->total, t->key, slot, by);
}

void sched_terms_count(struct sched_pod *pod, int by) {
        const struct sched_class *class = pod->class;

        for (size_t i = 0; i < class->selectors.count; i++) {
                const struct sched_selector *s = class->selectors.items[i];

                for (size_t k = 0; k < s->tallies.count; k++)
                        tally_pod(s->tallies.items[k], pod, by);
        }
        for (size_t i = 0; i < pod->held.count; i++) {
                struct sched_held *h = pod->held.items[i];

                count(&h->counts, &h->counts_allocated, &h->total, h->key, pod->node->slot, by);
        }
}

void sched_tally_node(struct sched_tally *t, const struct sched_node *node, int by) {
        int64_t ignored = 0;

        if (t->filter->match[node->slot])
                count(&t->nodes, &t->nodes_allocated, &ignored, t->key, node->slot, by);
}

/* The labels of a namespace changed: selectors by namespaceSelector may match others now. */
void sched_selector_recheck(struct sched_cluster *c, const char *ns) {
        struct sched_selector *s;

        LIST_FOREACH(s, &c->all_selectors, all) {
                bool by_labels = false;

                for (size_t i = 0; i < s->rules.count; i++)
                        by_labels |= s->rules.items[i].of_namespaces != NULL;
                if (!by_labels)
                        continue;
                map_foreach (c->classes, e) {
                        struct sched_class *class = map_entry_value(e);
                        struct sched_pod *pod;
                        bool was = false, is;

                        if (!streq(class->ns, ns))
                                continue;
                        for (size_t i = 0; i < class->selectors.count; i++)
                                was |= class->selectors.items[i] == s;
                        is = sched_selector_matches(c, s, class);
                        if (is == was)
                                continue;
                        LIST_FOREACH(pod, &class->pods, of_class)
                        for (size_t i = 0; i < s->tallies.count; i++)
                                tally_pod(s->tallies.items[i], pod, is ? 1 : -1);
                        if (is)
                                link_class(s, class);
                        else
                                unlink_class(s, class);
                }
        }
}

/* --- tallies --- */

static void tally_free(struct sched_cluster *c, struct sched_tally *t) {
        struct sched_selector *s = t->selector;

        for (size_t i = 0; i < s->tallies.count; i++)
                if (s->tallies.items[i] == t) {
                        vector_remove_unordered(&s->tallies, i);
                        break;
                }
        if (t->filter)
                LIST_REMOVE(t, filtered);
        sched_filter_put(c, t->filter);
        sched_key_put(c, t->key);
        sched_selector_put(c, s);
        free(t->counts);
        free(t->nodes);
        free(t);
}

static struct sched_tally *tally_find(const struct sched_selector *s, const char *key,
                const struct sched_node_filter *filter, bool skips_terminating) {
        for (size_t i = 0; i < s->tallies.count; i++) {
                struct sched_tally *t = s->tallies.items[i];

                if (t->filter == filter && t->skips_terminating == skips_terminating &&
                                streq(t->key->name, key))
                        return t;
        }
        return NULL;
}

static void tally_fill(struct sched_cluster *c, struct sched_tally *t) {
        const struct sched_selector *s = t->selector;

        for (size_t i = 0; i < s->classes.count; i++) {
                const struct sched_pod *pod;

                LIST_FOREACH(pod, &s->classes.items[i]->pods, of_class)
                tally_pod(t, pod, 1);
        }
        for (size_t i = 0; t->filter && i < c->slots.count; i++)
                if (c->slots.items[i])
                        sched_tally_node(t, c->slots.items[i], 1);
}

struct sched_tally *sched_tally_get(struct sched_cluster *c, struct sched_selector *s,
                const char *key, struct sched_node_filter *filter, bool skips_terminating) {
        struct sched_tally *t = tally_find(s, key, filter, skips_terminating);

        if (t) {
                sched_filter_put(c, filter);
                if (t->refs++ == 0) {
                        TAILQ_REMOVE(&c->unused_tallies, t, unused);
                        c->unused_tally_count--;
                }
                return t;
        }
        t = sched_alloc(1, sizeof(*t));
        *t = (struct sched_tally){.selector = s,
                        .key = sched_key_get(c, key),
                        .filter = filter,
                        .skips_terminating = skips_terminating,
                        .refs = 1};
        s->refs++;
        sched_append(&s->tallies, t);
        if (filter)
                LIST_INSERT_HEAD(&c->filtered, t, filtered);
        tally_fill(c, t);
        return t;
}

void sched_tallies_trim(struct sched_cluster *c, size_t keep) {
        while (c->unused_tally_count > keep) {
                struct sched_tally *t = TAILQ_FIRST(&c->unused_tallies);

                TAILQ_REMOVE(&c->unused_tallies, t, unused);
                c->unused_tally_count--;
                tally_free(c, t);
        }
}

void sched_tally_put(struct sched_cluster *c, struct sched_tally *t) {
        if (--t->refs > 0)
                return;
        TAILQ_INSERT_TAIL(&c->unused_tallies, t, unused);
        c->unused_tally_count++;
        sched_tallies_trim(c, UNUSED_TALLIES_MAX);
}

/* --- terms that placed pods hold --- */

struct sched_held *sched_held_get(struct sched_cluster *c, struct sched_selector *s,
                const char *key, enum sched_held_kind kind, int64_t weight) {
        struct sched_held *h;

        for (size_t i = 0; i < s->held.count; i++) {
                h = s->held.items[i];
                if (h->kind == kind && h->weight == weight && streq(h->key->name, key)) {
                        h->refs++;
                        return h;
                }
        }
        h = sched_alloc(1, sizeof(*h));
        *h = (struct sched_held){.selector = s,
                        .key = sched_key_get(c, key),
                        .kind = kind,
                        .weight = weight,
                        .refs = 1};
        s->refs++;
        sched_append(&s->held, h);
        return h;
}

void sched_held_put(struct sched_cluster *c, struct sched_held *h) {
        struct sched_selector *s = h->selector;

        if (--h->refs > 0)
                return;
        for (size_t i = 0; i < s->held.count; i++)
                if (s->held.items[i] == h) {
                        vector_remove_unordered(&s->held, i);
                        break;
                }
        sched_key_put(c, h->key);
        sched_selector_put(c, s);
        free(h->counts);
        free(h);
}
