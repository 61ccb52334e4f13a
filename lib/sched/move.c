/* Placed pods seen by the scheduler's own rules: what forbids a pod the node where it is, and where
 * it would be placed if it had to leave. A pod that is asked about is not counted meanwhile. */
#include "lib/sched/internal.h"

struct sched_move {
        struct sched_cluster *cluster;
        struct sched_pod *placed; /* detached */
        struct sched_node *home;
        struct sched_pod *pending; /* the same pod as the scheduler would get it again */
};

/* --- nodes --- */

static const struct sched_node *known_node(const struct sched_cluster *c, const char *name) {
        const struct sched_node *n = map_get(c->nodes, name);

        return n && n->slot >= 0 ? n : NULL;
}

/* RESOURCES_MAX: no pod and no node has named it. */
static unsigned find_resource(const struct sched_cluster *c, const char *name) {
        for (size_t i = 0; i < c->resource_count; i++)
                if (streq(c->resource_names[i], name))
                        return (unsigned)i;
        return RESOURCES_MAX;
}

bool sched_cluster_usage(const struct sched_cluster *c, const char *node, const char *resource,
                struct sched_usage *ret) {
        const struct sched_node *n = known_node(c, node);
        unsigned id = find_resource(c, resource);

        if (!n)
                return false;
        if (streq(resource, "pods"))
                *ret = (struct sched_usage){(int64_t)n->pods.count, n->pods_max};
        else if (id == RESOURCES_MAX)
                *ret = (struct sched_usage){0};
        else
                *ret = (struct sched_usage){n->used.v[id], n->allocatable.v[id]};
        return true;
}

bool sched_cluster_node_is_open(const struct sched_cluster *c, const char *node) {
        const struct sched_node *n = known_node(c, node);

        return n && n->ready && !n->unschedulable && !n->deleting;
}

/* --- pods where they are --- */

static const struct sched_pod *placed_pod(const struct sched_cluster *c, const char *uid) {
        const struct sched_pod *p = map_get(c->pods, uid);

        return p && p->node && p->node->slot >= 0 ? p : NULL;
}

int64_t sched_placed_request(const struct sched_cluster *c, const char *uid, const char *resource) {
        const struct sched_pod *p = map_get(c->pods, uid);
        unsigned id = find_resource(c, resource);

        if (!p)
                return 0;
        if (streq(resource, "pods"))
                return 1;
        for (size_t i = 0; i < p->shape->requests.count; i++)
                if (p->shape->requests.items[i].id == id)
                        return p->shape->requests.items[i].amount;
        return 0;
}

bool sched_placed_breaks_affinity(const struct sched_cluster *c,
                const struct sched_profile *profile, const char *uid) {
        const struct sched_pod *p = placed_pod(c, uid);

        return p && sched_affinity_filter(c, profile, p->shape, p->node, NULL) != FITS;
}

static bool is_among(char *const *excluded, const struct sched_taint *t) {
        size_t n = strlen(t->key);

        for (size_t i = 0; excluded && excluded[i]; i++) {
                const char *rest = startswith(excluded[i], t->key);

                if (rest && (!*rest || (excluded[i][n] == '=' && streq(rest + 1, t->value))))
                        return true;
        }
        return false;
}

char *sched_placed_untolerated(
                const struct sched_cluster *c, const char *uid, char *const *excluded) {
        const struct sched_pod *p = placed_pod(c, uid);
        const struct sched_taint *t = NULL;
        char *text;
        size_t at = 0;

        if (!p)
                return NULL;
        do
                t = sched_next_untolerated(p->shape, p->node, &at);
        while (t && is_among(excluded, t));
        if (!t)
                return NULL;
        text = strformat("%s%s%s:%s", t->key, *t->value ? "=" : "", t->value,
                        t->effect == EFFECT_NO_EXECUTE ? "NoExecute" : "NoSchedule");
        assert(text);
        return text;
}

bool sched_placed_may_clash(const struct sched_cluster *c, const char *uid) {
        const struct sched_pod *p = placed_pod(c, uid);

        for (size_t i = 0; p && i < p->held.count; i++)
                if (p->held.items[i]->kind == HELD_ANTI)
                        return true;
        for (size_t i = 0; p && i < p->class->selectors.count; i++) {
                const struct sched_selector *s = p->class->selectors.items[i];

                for (size_t k = 0; k < s->held.count; k++)
                        if (s->held.items[k]->kind == HELD_ANTI && s->held.items[k]->total > 0)
                                return true;
        }
        return false;
}

/* --- moves --- */

/* The pod without its node: one that names a node is not the scheduler's to place. */
static json_t *without_node(const json_t *pod) {
        _cleanup_json_ json_t *copy = json_shallow_copy(pod),
                              *spec = json_shallow_copy(json_object_get(pod, "spec"));

        assert(copy && spec);
        json_object_del(spec, "nodeName");
        assert(json_object_set(copy, "spec", spec) == 0);
        return TAKE_PTR(copy);
}

struct sched_move *sched_move_new(
                struct sched_cluster *c, const struct sched_profile *profile, const json_t *pod) {
        struct sched_pod *placed = map_get(c->pods, json_str_or(pod, "metadata.uid", ""));
        _cleanup_json_ json_t *free_pod = NULL;
        struct sched_move *m;

        if (!placed || placed->node->slot < 0)
                return NULL;
        free_pod = without_node(pod);
        m = sched_alloc(1, sizeof(*m));
        *m = (struct sched_move){.cluster = c,
                        .placed = placed,
                        .home = placed->node,
                        .pending = sched_pod_new(c, profile, free_pod)};
        sched_detach(c, placed);
        return m;
}

struct sched_move *sched_move_free(struct sched_move *m) {
        if (!m)
                return NULL;
        sched_attach(m->cluster, m->placed, m->home);
        sched_pod_free(m->cluster, m->pending);
        free(m);
        return NULL;
}

bool sched_move_clashes(const struct sched_move *m) {
        struct sched_decision d = {.cluster = m->cluster,
                        .profile = m->pending->profile,
                        .pod = m->pending,
                        .slots = m->cluster->slots.count};
        bool clashes = sched_interpod_begin(&d, NULL) > 0 &&
                       sched_interpod_apart(&d, m->home, NULL) != FITS;

        sched_decision_done(&d);
        return clashes;
}

bool sched_move_skews(const struct sched_move *m, bool soft) {
        return sched_spread_exceeds(m->pending, m->home, soft);
}

static bool fits_elsewhere(const struct sched_decision *d, int32_t home) {
        for (size_t i = 0; i < d->slots; i++)
                if (d->total[i] >= 0 && i != (size_t)home)
                        return true;
        return false;
}

const char *sched_move_choose(struct sched_move *m, bool *ret_elsewhere) {
        const struct sched_node *best = NULL;
        struct sched_decision d;
        int32_t home = m->home->slot;

        *ret_elsewhere = false;
        if (sched_decision_begin(&d, m->cluster, m->pending, NULL) >= 0) {
                *ret_elsewhere = fits_elsewhere(&d, home);
                sched_decision_score(&d, /* explain= */ NULL, /* userdata= */ NULL);
                best = sched_decision_pick(&d, /* tie= */ 0);
                if (best && d.total[home] == d.total[best->slot])
                        best = m->home;
        }
        sched_decision_done(&d);
        return best ? best->name : NULL;
}

void sched_move_to(struct sched_move *m, const char *node) {
        struct sched_cluster *c = m->cluster;
        struct sched_pod *pending = TAKE_PTR(m->pending);

        sched_attach(c, m->placed, m->home);
        if (node)
                sched_cluster_assume(c, pending, node);
        else
                sched_cluster_forget(c, pending->uid);
        sched_pod_free(c, pending);
        free(m);
}
