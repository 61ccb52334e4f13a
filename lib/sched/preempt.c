/* DefaultPreemption: which pods of lower priority make room on which node. For each node that could
 * help, all pods of lower priority leave in thought; if the pod fits then, as many of them as
 * possible come back, the most important first, those whose PodDisruptionBudget forbids a
 * disruption before the others. The node that loses least is chosen. */
#include "lib/object.h"
#include "lib/sched/internal.h"

enum { CANDIDATES_MIN = 100, CANDIDATES_PERCENT = 10 };

void sched_preemption_done(struct sched_preemption *p) {
        free(p->node);
        strv_free(p->victims);
        free(p->message);
        *p = (struct sched_preemption){0};
}

struct victim {
        struct sched_pod *pod;
        bool violating; /* its budget allows no disruption */
};

struct candidate {
        struct sched_node *node;
        VECTOR(struct victim) victims; /* the most important first */
        unsigned violations;
};

static void candidate_done(struct candidate *x) {
        vector_done(&x->victims);
}

/* --- budgets --- */

/* A budget and how many more disruptions it allows. */
struct budget {
        const json_t *object;
        struct label_selector *selector;
        int64_t allowed;
};
struct budgets { /* a vector */
        struct budget *items;
        size_t count, allocated;
};

static void budgets_read(const struct sched_cluster *c, struct budgets *ret) {
        map_foreach (c->budgets, e) {
                struct budget b = {.object = map_entry_value(e)};
                const json_t *selector = json_at(b.object, "spec.selector");

                b.allowed = json_int_or(b.object, "status.disruptionsAllowed", 0);
                if (selector && label_selector_from_json(selector, &b.selector, NULL) >= 0)
                        sched_append(ret, b);
        }
}

static void budgets_reset(struct budgets *b) {
        for (size_t i = 0; i < b->count; i++)
                b->items[i].allowed =
                                json_int_or(b->items[i].object, "status.disruptionsAllowed", 0);
}

static void budgets_done(struct budgets *b) {
        for (size_t i = 0; i < b->count; i++)
                label_selector_free(b->items[i].selector);
        vector_done(b);
}

static bool disrupts(struct budgets *budgets, const struct sched_pod *pod) {
        const char *name = strchr(pod->key, '/');
        bool violating = false;

        for (size_t i = 0; i < budgets->count; i++) {
                struct budget *b = &budgets->items[i];

                if (!streq(object_namespace(b->object), pod->ns) ||
                                !label_selector_matches(b->selector, pod->class->labels))
                        continue;
                /* It is being disrupted already, and was counted. */
                if (name && json_get(b->object, "status", "disruptedPods", name + 1, NULL))
                        continue;
                violating |= --b->allowed < 0;
        }
        return violating;
}

/* --- one node --- */

static int compare_importance(const void *a, const void *b) {
        const struct sched_pod *x = ((const struct victim *)a)->pod;
        const struct sched_pod *y = ((const struct victim *)b)->pod;

        if (x->priority != y->priority)
                return x->priority > y->priority ? -1 : 1;
        if (x->start_us != y->start_us)
                return x->start_us < y->start_us ? -1 : 1;
        return strcmp(x->key, y->key);
}

static bool fits_now(struct sched_decision *d, const struct sched_node *node,
                struct sched_reasons *why) {
        return sched_decision_again(d, NULL) >= 0 && sched_decision_node(d, node, why) == FITS;
}

/* Brings pods back while the pod still fits; who cannot come back is a victim. */
static void reprieve(struct sched_decision *d, struct candidate *x, bool violating) {
        for (size_t i = 0; i < x->victims.count; i++) {
                struct victim *v = &x->victims.items[i];

                if (v->violating != violating)
                        continue;
                sched_attach(d->cluster, v->pod, x->node);
                if (fits_now(d, x->node, NULL))
                        continue;
                sched_detach(d->cluster, v->pod);
                x->violations += violating;
        }
}

/* Puts everything back; those that were not reprieved stay in the list. */
static void restore(struct sched_decision *d, struct candidate *x) {
        size_t kept = 0;

        for (size_t i = 0; i < x->victims.count; i++) {
                struct victim v = x->victims.items[i];

                if (v.pod->node)
                        continue;
                sched_attach(d->cluster, v.pod, x->node);
                x->victims.items[kept++] = v;
        }
        x->victims.count = kept;
}

/* Whether victims on the node make the pod fit; else the reason. */
static bool dry_run(struct sched_decision *d, struct budgets *budgets, struct candidate *x,
                struct sched_reasons *why) {
        struct sched_node *node = x->node;
        bool fits;

        for (size_t i = 0; i < node->pods.count; i++)
                if (node->pods.items[i]->priority < d->pod->priority)
                        sched_append(&x->victims, ((struct victim){node->pods.items[i], false}));
        if (x->victims.count == 0) {
                sched_reason(why, "No preemption victims found for incoming pod");
                return false;
        }
        qsort(x->victims.items, x->victims.count, sizeof(*x->victims.items), compare_importance);
        budgets_reset(budgets);
        for (size_t i = 0; i < x->victims.count; i++)
                x->victims.items[i].violating = disrupts(budgets, x->victims.items[i].pod);
        (void)sched_attach_nominated(d, node);
        for (size_t i = 0; i < x->victims.count; i++)
                sched_detach(d->cluster, x->victims.items[i].pod);
        fits = fits_now(d, node, why);
        if (fits) {
                reprieve(d, x, /* violating= */ true);
                reprieve(d, x, /* violating= */ false);
        }
        restore(d, x);
        sched_detach_nominated(d, node);
        return fits && x->victims.count > 0;
}

/* --- the choice --- */

static int64_t priorities(const struct candidate *x) {
        int64_t sum = 0;

        for (size_t i = 0; i < x->victims.count; i++)
                sum += (int64_t)x->victims.items[i].pod->priority + (INT64_C(1) << 31);
        return sum;
}

/* When the earliest of the most important victims started. */
static uint64_t earliest(const struct candidate *x) {
        const struct sched_pod *first = x->victims.items[0].pod;
        uint64_t us = first->start_us;

        for (size_t i = 1; i < x->victims.count; i++)
                if (x->victims.items[i].pod->priority == first->priority)
                        us = MIN(us, x->victims.items[i].pod->start_us);
        return us;
}

/* Fewest violated budgets, lowest most important victim, lowest sum of priorities, fewest victims,
 * youngest. */
static bool better(const struct candidate *a, const struct candidate *b) {
        int32_t top_a = a->victims.items[0].pod->priority;
        int32_t top_b = b->victims.items[0].pod->priority;

        if (a->violations != b->violations)
                return a->violations < b->violations;
        if (top_a != top_b)
                return top_a < top_b;
        if (priorities(a) != priorities(b))
                return priorities(a) < priorities(b);
        if (a->victims.count != b->victims.count)
                return a->victims.count < b->victims.count;
        return earliest(a) > earliest(b);
}

static void search(struct sched_decision *d, uint64_t offset, struct candidate *best,
                struct sched_reasons *why) {
        struct sched_cluster *c = d->cluster;
        size_t enough = MAX((size_t)CANDIDATES_MIN, d->slots * CANDIDATES_PERCENT / 100), found = 0;
        struct budgets budgets = {0};

        budgets_read(c, &budgets);
        for (size_t i = 0; i < d->slots && found < enough; i++) {
                struct sched_node *node = c->slots.items[(i + offset % d->slots) % d->slots];
                struct candidate x = {.node = node};

                if (!node)
                        continue;
                if (sched_decision_again(d, NULL) < 0 ||
                                sched_decision_node(d, node, NULL) == UNRESOLVABLE)
                        sched_reason(why, "Preemption is not helpful for scheduling");
                else if (dry_run(d, &budgets, &x, why)) {
                        found++;
                        if (!best->node || better(&x, best)) {
                                candidate_done(best);
                                *best = x;
                                continue;
                        }
                }
                candidate_done(&x);
        }
        budgets_done(&budgets);
}

static char *text_or_die(char *text) {
        assert(text);
        return text;
}

void sched_preempt(struct sched_cluster *c, struct sched_pod *pod, uint64_t offset,
                struct sched_preemption *ret) {
        _cleanup_sched_reasons_ struct sched_reasons why = {0}, ignored = {0};
        struct candidate best = {0};
        struct sched_decision d;

        *ret = (struct sched_preemption){0};
        if (!pod->profile->preempts)
                return;
        if (pod->never_preempts) {
                ret->message = sched_strdup("not eligible due to preemptionPolicy=Never.");
                return;
        }
        if (pod->nominated &&
                        sched_cluster_node_is_clearing(c, pod->nominated->name, pod->priority)) {
                ret->message = sched_strdup(
                                "not eligible due to a terminating pod on the nominated node.");
                return;
        }
        if (sched_decision_begin(&d, c, pod, &ignored) >= 0)
                search(&d, offset, &best, &why);
        else
                for (size_t i = 0; i < c->node_count; i++)
                        sched_reason(&why, "Preemption is not helpful for scheduling");
        if (best.node) {
                ret->node = sched_strdup(best.node->name);
                ret->violations = best.violations;
                for (size_t i = 0; i < best.victims.count; i++)
                        assert(strv_extend(&ret->victims, best.victims.items[i].pod->key) >= 0);
        } else if (c->node_count > 0)
                ret->message = text_or_die(sched_message(c, &why));
        ret->is_hopeless = !best.node;
        candidate_done(&best);
        sched_decision_done(&d);
}
