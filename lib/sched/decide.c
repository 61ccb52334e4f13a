/* The choice of a node:
 *
 *      scan (kept for the pod's shape; only changed nodes are asked again)
 *        -> wide filters -> nominated pods -> scaled and wide scores -> the best, ties by chance
 *
 * A scan holds the verdict and the score of each node by the plugins that look at one node. The
 * cluster logs the nodes that change, and a scan asks again for those since it was last used: a
 * choice costs a pass over an array of integers, and the work of what has changed. */
#include "lib/sched/internal.h"

/* --- scans --- */

void sched_scan_free(struct sched_scan *s) {
        if (!s)
                return;
        for (size_t i = 0; i < RAW_MAX; i++)
                free(s->raw[i]);
        free(s->refused);
        free(s->sum);
        free(s);
}

static void set_raw(struct sched_scan *s, size_t r, size_t slot, int64_t value) {
        int64_t bound = INT32_MAX / 200; /* so that hundredths fit */
        int32_t v = (int32_t)(value > bound ? bound : value < -bound ? -bound : value);

        s->raw_set[r] += (v != 0) - (s->raw[r][slot] != 0);
        s->raw[r][slot] = v;
}

/* Asks all plugins that look at one node. */
static void look(const struct sched_cluster *c, const struct sched_profile *profile,
                const struct sched_shape *shape, struct sched_scan *s, size_t slot) {
        const struct sched_node *node = c->slots.items[slot];
        int64_t sum = 0;
        size_t r = 0;

        s->sum[slot] = -1;
        for (size_t i = 0; i < RAW_MAX && s->raw[i]; i++)
                set_raw(s, i, slot, 0);
        s->refused[slot] = NO_NODE;
        if (!node)
                return;
        for (size_t k = 0; k < sched_plugins_count; k++)
                if (profile->filters[k] && sched_plugins[k].filter &&
                                sched_plugins[k].filter(c, profile, shape, node, NULL) != FITS) {
                        s->refused[slot] = (uint8_t)(k + 1);
                        return;
                }
        s->refused[slot] = 0;
        for (size_t k = 0; k < sched_plugins_count; k++) {
                const struct sched_plugin *p = &sched_plugins[k];

                if (!p->score || profile->scores[k] == 0)
                        continue;
                int64_t score = p->score(c, profile, shape, node);

                if (p->scaling == SCALE_NONE)
                        sum += score * profile->scores[k];
                else
                        set_raw(s, r++, slot, score);
        }
        s->sum[slot] = (int32_t)sum;
}

static size_t scaled_count(const struct sched_profile *profile) {
        size_t n = 0;

        for (size_t k = 0; k < sched_plugins_count; k++)
                n += sched_plugins[k].score && profile->scores[k] > 0 &&
                     sched_plugins[k].scaling != SCALE_NONE;
        assert(n <= RAW_MAX);
        return n;
}

static struct sched_scan *scan_new(
                const struct sched_cluster *c, const struct sched_profile *profile) {
        struct sched_scan *s = sched_alloc(1, sizeof(*s));

        s->slots = c->slots.allocated;
        s->refused = sched_alloc(s->slots, sizeof(*s->refused));
        s->sum = sched_alloc(s->slots, sizeof(*s->sum));
        for (size_t i = 0; i < scaled_count(profile); i++)
                s->raw[i] = sched_alloc(s->slots, sizeof(*s->raw[i]));
        return s;
}

struct sched_scan *sched_scan_get(struct sched_cluster *c, const struct sched_profile *profile,
                struct sched_shape *shape) {
        struct sched_scan *s = shape->scans[profile->index];
        uint64_t behind;

        if (s && s->slots < c->slots.count) {
                sched_scan_free(s);
                s = shape->scans[profile->index] = NULL;
        }
        behind = s ? c->change_count - s->seen : UINT64_MAX;
        if (s && shape->images.count > 0 && s->images_epoch != c->images_epoch)
                behind = UINT64_MAX;
        if (!s)
                s = shape->scans[profile->index] = scan_new(c, profile);
        if (behind > CHANGES_MAX || behind > c->slots.count)
                for (size_t i = 0; i < c->slots.count; i++)
                        look(c, profile, shape, s, i);
        else
                for (uint64_t i = s->seen; i < c->change_count; i++)
                        look(c, profile, shape, s, c->changes[i % CHANGES_MAX]);
        s->seen = c->change_count;
        s->images_epoch = c->images_epoch;
        return s;
}

/* --- a decision --- */

int sched_decision_again(struct sched_decision *d, struct sched_reasons *why) {
        for (size_t k = 0; k < sched_plugins_count; k++) {
                int r = 0;

                if (d->profile->filters[k] && sched_plugins[k].begin) {
                        if (why)
                                why->refusing = sched_plugins[k].name;
                        r = sched_plugins[k].begin(d, why);
                        if (r < 0) {
                                if (why)
                                        why->events |= sched_plugins[k].events;
                                return r;
                        }
                }
                d->active[k] = r > 0;
        }
        return 0;
}

int sched_decision_node(const struct sched_decision *d, const struct sched_node *node,
                struct sched_reasons *why) {
        const struct sched_profile *profile = d->profile;

        for (size_t k = 0; k < sched_plugins_count; k++) {
                const struct sched_plugin *p = &sched_plugins[k];
                int v = FITS;

                if (why)
                        why->refusing = p->name;
                if (profile->filters[k] && p->filter)
                        v = p->filter(d->cluster, profile, d->pod->shape, node, why);
                if (v == FITS && d->active[k])
                        v = p->wide_filter(d, node, why);
                if (v == FITS)
                        continue;
                if (why)
                        why->events |= p->events;
                return v;
        }
        return FITS;
}

static void filter_wide(struct sched_decision *d) {
        for (size_t k = 0; k < sched_plugins_count; k++) {
                if (!d->active[k])
                        continue;
                for (size_t i = 0; i < d->slots; i++)
                        if (d->total[i] >= 0 &&
                                        sched_plugins[k].wide_filter(d, d->cluster->slots.items[i],
                                                        NULL) != FITS) {
                                d->refused[i] = (uint8_t)(k + 1);
                                d->total[i] = -1;
                        }
        }
}

/* Pods of at least this priority that were promised a node count there. */
static bool counts_for(const struct sched_pod *nominated, const struct sched_pod *pod) {
        return nominated != pod && nominated->priority >= pod->priority &&
               !streq(nominated->uid, pod->uid);
}

size_t sched_attach_nominated(struct sched_decision *d, struct sched_node *node) {
        size_t n = 0;

        for (size_t i = 0; i < node->nominated.count; i++)
                if (counts_for(node->nominated.items[i], d->pod) &&
                                !node->nominated.items[i]->node) {
                        sched_attach(d->cluster, node->nominated.items[i], node);
                        n++;
                }
        return n;
}

void sched_detach_nominated(struct sched_decision *d, struct sched_node *node) {
        for (size_t i = 0; i < node->nominated.count; i++)
                if (node->nominated.items[i]->node)
                        sched_detach(d->cluster, node->nominated.items[i]);
}

static void filter_nominated(struct sched_decision *d, struct sched_reasons *why) {
        const struct sched_cluster *c = d->cluster;
        bool moved = false;

        for (size_t i = 0; i < c->nominated.count; i++) {
                struct sched_node *node = c->nominated.items[i]->nominated;

                if (node->slot < 0 || d->total[node->slot] < 0 ||
                                sched_attach_nominated(d, node) == 0)
                        continue;
                moved = true;
                if (sched_decision_again(d, NULL) < 0 ||
                                sched_decision_node(d, node, why) != FITS) {
                        d->total[node->slot] = -1;
                        d->refused[node->slot] = BY_NOMINATED;
                }
                sched_detach_nominated(d, node);
        }
        if (moved)
                (void)sched_decision_again(d, NULL);
}

int sched_decision_begin(struct sched_decision *d, struct sched_cluster *c, struct sched_pod *pod,
                struct sched_reasons *why) {
        int r;

        *d = (struct sched_decision){
                        .cluster = c, .profile = pod->profile, .pod = pod, .slots = c->slots.count};
        d->scan = sched_scan_get(c, pod->profile, pod->shape);
        sched_grow(&c->refused, &c->refused_allocated, d->slots, sizeof(*c->refused), 0);
        sched_grow(&c->total, &c->total_allocated, d->slots, sizeof(*c->total), 0);
        sched_grow(&c->sums, &c->sums_allocated, d->slots, sizeof(*c->sums), 0);
        d->refused = c->refused;
        d->total = c->total;
        if (d->slots > 0) {
                memcpy(d->refused, d->scan->refused, d->slots * sizeof(*d->refused));
                memcpy(d->total, d->scan->sum, d->slots * sizeof(*d->total));
        }
        r = sched_decision_again(d, why);
        if (r < 0)
                return r;
        filter_wide(d);
        if (c->nominated.count > 0)
                filter_nominated(d, why);
        return 0;
}

void sched_decision_done(struct sched_decision *d) {
        vector_done(&d->refusing);
        vector_done(&d->volume_filters);
        vector_done(&d->unbound);
}

/* --- scores --- */

/* Raw scores of one plugin over the nodes that fit, as 0..100. False: they are all equal. */
static bool scale(const struct sched_decision *d, const struct sched_plugin *p, size_t r,
                double *scores) {
        const int32_t *raw = d->scan->raw[r];
        int64_t max = 0;

        if (d->scan->raw_set[r] == 0)
                return false;
        for (size_t i = 0; i < d->slots; i++)
                if (d->total[i] >= 0)
                        max = MAX(max, (int64_t)raw[i]);
        if (max <= 0)
                return false;
        for (size_t i = 0; i < d->slots; i++) {
                int64_t share = raw[i] * INT64_C(100) / max;

                scores[i] = (double)(p->scaling == SCALE_REVERSE ? 100 - share : share);
        }
        return true;
}

void sched_decision_score(struct sched_decision *d, sched_scores_func explain, void *userdata) {
        double *scores = d->cluster->sums;
        size_t r = 0;

        for (size_t k = 0; k < sched_plugins_count; k++) {
                const struct sched_plugin *p = &sched_plugins[k];
                int32_t weight = (int32_t)d->profile->scores[k];
                bool any = false;

                if (weight == 0)
                        continue;
                if (p->score && p->scaling != SCALE_NONE)
                        any = scale(d, p, r++, scores);
                else if (p->wide_score)
                        any = p->wide_score(d, scores);
                if (!any)
                        continue;
                if (explain)
                        explain(d, k, scores, userdata);
                for (size_t i = 0; i < d->slots; i++)
                        d->total[i] += d->total[i] < 0 ? 0 : weight * (int32_t)scores[i];
        }
}

const struct sched_node *sched_decision_pick(const struct sched_decision *d, uint64_t tie) {
        const int32_t *total = d->total;
        int32_t best = -1;
        size_t equal = 0, n;

        for (size_t i = 0; i < d->slots; i++) {
                if (total[i] < best)
                        continue;
                equal = total[i] > best ? 1 : equal + 1;
                best = total[i];
        }
        if (best < 0)
                return NULL;
        n = tie % equal;
        for (size_t i = 0; i < d->slots; i++)
                if (total[i] == best && n-- == 0)
                        return d->cluster->slots.items[i];
        return NULL;
}

static void collect_reasons(const struct sched_decision *d, struct sched_reasons *why) {
        const struct sched_cluster *c = d->cluster;

        if (c->node_count == 0)
                why->events |= SCHED_NODE_ADDED;
        for (size_t i = 0; i < d->slots; i++) {
                const struct sched_plugin *p;
                size_t k = d->refused[i];

                if (k == 0 || k == NO_NODE || k == BY_NOMINATED)
                        continue;
                p = &sched_plugins[k - 1];
                why->refusing = p->name;
                why->events |= p->events;
                if (p->filter)
                        (void)p->filter(c, d->profile, d->pod->shape, c->slots.items[i], why);
                else
                        (void)p->wide_filter(d, c->slots.items[i], why);
        }
}

const char *sched_choose(struct sched_cluster *c, struct sched_pod *pod, uint64_t tie,
                struct sched_reasons *why) {
        const struct sched_node *best, *promised = pod->nominated;
        struct sched_decision d;

        if (sched_decision_begin(&d, c, pod, why) < 0) {
                sched_decision_done(&d);
                return NULL;
        }
        if (promised && promised->slot >= 0 && d.total[promised->slot] >= 0)
                best = promised;
        else {
                sched_decision_score(&d, /* explain= */ NULL, /* userdata= */ NULL);
                best = sched_decision_pick(&d, tie);
        }
        if (best)
                sched_reasons_done(why);
        else
                collect_reasons(&d, why);
        sched_decision_done(&d);
        return best ? best->name : NULL;
}

bool sched_node_may_fit(struct sched_cluster *c, struct sched_pod *pod, const char *node) {
        const struct sched_node *n = map_get(c->nodes, node);
        const struct sched_scan *scan;

        if (!n || n->slot < 0)
                return false;
        scan = sched_scan_get(c, pod->profile, pod->shape);
        return scan->refused[n->slot] == 0;
}
