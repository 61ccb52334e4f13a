/* InterPodAffinity: what a pod asks of placed pods, and what placed pods ask of it. Both are counts
 * by domain (terms.c). */
#include "lib/sched/internal.h"

static int32_t tally_at(const struct sched_tally *t, int32_t slot) {
        return sched_count_at(t->counts, t->counts_allocated, sched_domain(t->key, slot));
}

/* --- filter --- */

int sched_interpod_begin(struct sched_decision *d, struct sched_reasons *why) {
        const struct sched_pod *pod = d->pod;
        const struct sched_class *class = pod->class;
        int64_t total = 0;

        d->refusing.count = 0;
        for (size_t i = 0; i < class->selectors.count; i++) {
                const struct sched_selector *s = class->selectors.items[i];

                for (size_t k = 0; k < s->held.count; k++)
                        if (s->held.items[k]->kind == HELD_ANTI && s->held.items[k]->total > 0)
                                sched_append(&d->refusing, s->held.items[k]);
        }
        for (size_t i = 0; i < pod->affinity.count; i++)
                total += pod->affinity.items[i]->total;
        d->first = total == 0 && pod->affinity_self;
        return d->refusing.count > 0 || pod->affinity.count > 0 || pod->anti.count > 0;
}

static bool near_enough(const struct sched_decision *d, int32_t slot) {
        const struct sched_pod *pod = d->pod;
        bool there = true;

        for (size_t i = 0; i < pod->affinity.count; i++) {
                const struct sched_tally *t = pod->affinity.items[i];

                if (sched_domain(t->key, slot) < 0)
                        return false;
                there &= tally_at(t, slot) > 0;
        }
        return there || d->first;
}

int sched_interpod_apart(const struct sched_decision *d, const struct sched_node *node,
                struct sched_reasons *why) {
        const struct sched_pod *pod = d->pod;

        for (size_t i = 0; i < pod->anti.count; i++)
                if (tally_at(pod->anti.items[i], node->slot) > 0) {
                        sched_reason(why, "node(s) didn't match pod anti-affinity rules");
                        return REFUSED;
                }
        for (size_t i = 0; i < d->refusing.count; i++) {
                const struct sched_held *h = d->refusing.items[i];

                if (sched_count_at(h->counts, h->counts_allocated,
                                    sched_domain(h->key, node->slot)) > 0) {
                        sched_reason(why, "node(s) didn't satisfy existing pods anti-affinity "
                                          "rules");
                        return REFUSED;
                }
        }
        return FITS;
}

int sched_interpod_filter(const struct sched_decision *d, const struct sched_node *node,
                struct sched_reasons *why) {
        if (d->pod->affinity.count > 0 && !near_enough(d, node->slot)) {
                sched_reason(why, "node(s) didn't match pod affinity rules");
                return UNRESOLVABLE;
        }
        return sched_interpod_apart(d, node, why);
}

/* --- score --- */

static bool add(const struct sched_decision *d, const struct sched_key *key, const int32_t *counts,
                size_t known, double weight, bool cleared, double *scores) {
        size_t slots = MIN(d->slots, key->slots);

        for (size_t i = 0; i < d->slots && !cleared; i++)
                scores[i] = 0;
        for (size_t i = 0; i < slots; i++) {
                int32_t domain = key->domain[i];

                if (domain >= 0 && (size_t)domain < known)
                        scores[i] += weight * (double)counts[domain];
        }
        return true;
}

/* The weight of a term of placed pods for this pod. */
static int64_t held_weight(const struct sched_profile *profile, const struct sched_held *h) {
        switch (h->kind) {
        case HELD_AFFINITY:
                return profile->hard_weight;
        case HELD_PREFERRED:
                return h->weight;
        case HELD_ANTI:
                break;
        }
        return 0;
}

/* Adds the scores; they are cleared before the first. */
static bool add_all(const struct sched_decision *d, double *scores) {
        const struct sched_pod *pod = d->pod;
        const struct sched_class *class = pod->class;
        bool any = false;

        if (d->profile->ignore_preferred_of_existing && pod->preferred.count == 0)
                return false;
        for (size_t i = 0; i < pod->preferred.count; i++) {
                const struct sched_tally *t = pod->preferred.items[i].tally;

                if (t->total != 0)
                        any = add(d, t->key, t->counts, t->counts_allocated,
                                        (double)pod->preferred.items[i].weight, any, scores);
        }
        for (size_t i = 0; i < class->selectors.count; i++) {
                const struct sched_selector *s = class->selectors.items[i];

                for (size_t k = 0; k < s->held.count; k++) {
                        const struct sched_held *h = s->held.items[k];
                        int64_t weight = held_weight(d->profile, h);

                        if (h->total != 0 && weight != 0)
                                any = add(d, h->key, h->counts, h->counts_allocated, (double)weight,
                                                any, scores);
                }
        }
        return any;
}

bool sched_interpod_score(const struct sched_decision *d, double *scores) {
        double min = 0, max = 0;
        bool first = true;

        if (!add_all(d, scores))
                return false;
        for (size_t i = 0; i < d->slots; i++) {
                if (d->total[i] < 0)
                        continue;
                min = first || scores[i] < min ? scores[i] : min;
                max = first || scores[i] > max ? scores[i] : max;
                first = false;
        }
        if (max <= min)
                return false;
        for (size_t i = 0; i < d->slots; i++)
                scores[i] = (double)(int64_t)(100 * (scores[i] - min) / (max - min));
        return true;
}
