/* PodTopologySpread (KEP-895, KEP-3022, KEP-3094, KEP-3243): pods of a selector spread over the
 * domains of a label. The counts are tallies; a decision looks at the domains and then at each
 * node's domain. */
#include <math.h>

#include "lib/sched/internal.h"

static int32_t nodes_of(const struct sched_tally *t, size_t domain) {
        return t->filter ? sched_count_at(t->nodes, t->nodes_allocated, (int32_t)domain)
                         : t->key->domains[domain].nodes;
}

/* The smallest count of the domains that have an eligible node; 0 when there are too few. */
static int64_t smallest(const struct sched_spread *x) {
        const struct sched_tally *t = x->tally;
        int64_t min = INT64_MAX, domains = 0;

        for (size_t i = 0; i < t->key->count; i++) {
                if (nodes_of(t, i) <= 0)
                        continue;
                domains++;
                min = MIN(min, (int64_t)sched_count_at(t->counts, t->counts_allocated, (int32_t)i));
        }
        return domains < x->min_domains || min == INT64_MAX ? 0 : min;
}

int sched_spread_begin(struct sched_decision *d, struct sched_reasons *why) {
        const struct sched_pod *pod = d->pod;

        d->hard_count = 0;
        for (size_t i = 0; i < pod->spread.count && d->hard_count < HARD_MAX; i++) {
                const struct sched_spread *x = &pod->spread.items[i];

                if (!x->hard)
                        continue;
                d->hard[d->hard_count].constraint = x;
                d->hard[d->hard_count++].min = smallest(x);
        }
        return d->hard_count > 0;
}

/* One pod more in the domain, and it differs too much from the emptiest. */
static bool exceeds(const struct sched_spread *x, int32_t domain, int64_t min) {
        const struct sched_tally *t = x->tally;

        return sched_count_at(t->counts, t->counts_allocated, domain) + x->self - min > x->max_skew;
}

int sched_spread_filter(const struct sched_decision *d, const struct sched_node *node,
                struct sched_reasons *why) {
        for (size_t i = 0; i < d->hard_count; i++) {
                const struct sched_spread *x = d->hard[i].constraint;
                int32_t domain = sched_domain(x->tally->key, node->slot);

                if (domain < 0) {
                        sched_reason(why, "node(s) didn't match pod topology spread constraints "
                                          "(missing required label)");
                        return UNRESOLVABLE;
                }
                if (!exceeds(x, domain, d->hard[i].min))
                        continue;
                sched_reason(why, "node(s) didn't match pod topology spread constraints");
                return REFUSED;
        }
        return FITS;
}

bool sched_spread_exceeds(const struct sched_pod *pod, const struct sched_node *node, bool soft) {
        for (size_t i = 0; i < pod->spread.count; i++) {
                const struct sched_spread *x = &pod->spread.items[i];
                int32_t domain = sched_domain(x->tally->key, node->slot);

                if (!x->hard && (!soft || pod->spread_by_default))
                        continue;
                if (domain < 0 ? x->hard : exceeds(x, domain, smallest(x)))
                        return true;
        }
        return false;
}

/* --- score --- */

/* A node without one of the keys has no say, except with the system's defaults. */
static bool is_ignored(const struct sched_pod *pod, int32_t slot) {
        if (pod->spread_by_default)
                return false;
        for (size_t i = 0; i < pod->spread.count; i++)
                if (!pod->spread.items[i].hard &&
                                sched_domain(pod->spread.items[i].tally->key, slot) < 0)
                        return true;
        return false;
}

/* Few domains weigh less than many: log(domains + 2). fit: nodes that fit and count. */
static double weight_of(const struct sched_decision *d, const struct sched_spread *x, size_t fit,
                const double *scores) {
        const struct sched_key *key = x->tally->key;
        size_t size = 0;
        uint8_t *seen;

        if (x->hostname)
                return log((double)fit + 2);
        seen = sched_alloc(key->count + 1, 1);
        for (size_t i = 0; i < d->slots && size < key->count; i++) {
                int32_t domain = scores[i] >= 0 ? sched_domain(key, (int32_t)i) : -1;

                if (domain >= 0 && !seen[domain]) {
                        seen[domain] = 1;
                        size++;
                }
        }
        free(seen);
        return log((double)size + 2);
}

static void add_constraint(const struct sched_decision *d, const struct sched_spread *x,
                double weight, double *scores) {
        const struct sched_tally *t = x->tally;
        const int32_t *domains = t->key->domain, *counts = t->counts;
        size_t known = t->counts_allocated, slots = MIN(d->slots, t->key->slots);
        double base = (double)(x->max_skew - 1);

        for (size_t i = 0; i < slots; i++) {
                int32_t domain = domains[i];

                if (scores[i] < 0 || domain < 0)
                        continue;
                scores[i] += base +
                             ((size_t)domain < known ? (double)counts[domain] * weight : 0.0);
        }
}

/* The fewer pods, the better: the smallest sum becomes 100. */
static int64_t reversed(int64_t score, int64_t min, int64_t max) {
        return max <= 0 ? 100 : 100 * (max + min - score) / max;
}

enum { TABLE_MAX = 512 }; /* sums are small: a table saves a division for each node */

static void reverse(const struct sched_decision *d, double *scores) {
        int64_t min = INT64_MAX, max = 0;
        double table[TABLE_MAX];

        for (size_t i = 0; i < d->slots; i++) {
                int64_t score = (int64_t)(scores[i] + 0.5);

                if (scores[i] < 0)
                        continue;
                scores[i] = (double)score;
                min = score < min ? score : min;
                max = score > max ? score : max;
        }
        for (int64_t k = 0; k <= max && k < TABLE_MAX; k++)
                table[k] = (double)reversed(k, min, max);
        for (size_t i = 0; i < d->slots; i++) {
                double score = scores[i];

                if (score < 0)
                        scores[i] = 0;
                else if (score < TABLE_MAX)
                        scores[i] = table[(int)score];
                else
                        scores[i] = (double)reversed((int64_t)score, min, max);
        }
}

bool sched_spread_score(const struct sched_decision *d, double *scores) {
        const struct sched_pod *pod = d->pod;
        size_t fit = 0;
        bool any = false;

        for (size_t i = 0; i < pod->spread.count; i++)
                any |= !pod->spread.items[i].hard;
        if (!any)
                return false;
        for (size_t i = 0; i < d->slots; i++) {
                scores[i] = d->total[i] < 0 || is_ignored(pod, (int32_t)i) ? -1 : 0;
                fit += scores[i] >= 0;
        }
        for (size_t i = 0; i < pod->spread.count; i++) {
                const struct sched_spread *x = &pod->spread.items[i];

                if (!x->hard)
                        add_constraint(d, x, weight_of(d, x, fit, scores), scores);
        }
        reverse(d, scores);
        return true;
}
