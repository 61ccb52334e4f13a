/* The walk of a run: strategy by strategy, pod by pod.
 *
 *      judge (the strategy's reason) -> limits -> choose (where the scheduler would place it)
 *        -> no other node, or no better one: it stays -> else: evict
 *
 * The scheduler is asked with the pod gone, so a pod is never evicted only to come back to the node
 * that it left. */
#include "lib/object.h"
#include "reconcilers/descheduling/descheduling-internal.h"

enum { TOTAL_DEFAULT = 100 };

/* --- making and freeing --- */

static struct map *new_map(map_free_func func) {
        struct map *m = map_new(func);

        assert(m);
        return m;
}

static void node_free(void *p) {
        struct desched_node *n = p;

        free(n->name);
        free(n);
}

static void group_free(void *p) {
        struct desched_group *g = p;

        map_free(g->counts);
        free(g);
}

static int64_t limit(const json_t *spec, const char *field, int64_t fallback) {
        return json_int_or(spec, field, fallback);
}

static int read_strategies(struct desched *d, struct problem *p) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(d->spec, "strategies"), i, v) {
                struct desched_strategy s = {
                                .type = desched_strategy_find(json_str_or(v, "name", "")),
                                .args = v};

                if (!s.type || i == DESCHED_STRATEGIES_MAX)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "strategy %s is not known to this kreconciled",
                                        json_str_or(v, "name", ""));
                if (streq(s.type->name, "RemoveDuplicates") && !d->groups)
                        d->groups = new_map(group_free);
                assert(vector_append(&d->strategies, s) >= 0);
        }
        return 0;
}

/* How the scheduler of the pods compares nodes. */
static int make_profile(struct desched *d, struct problem *p) {
        const char *scoring = json_str_or(d->spec, "scheduler.scoringStrategy", "LeastAllocated");
        _cleanup_json_ json_t *profile = json_pack("{s:s, s:[{s:s, s:{s:{s:s, s:[{s:s, s:i}, {s:s, "
                                                   "s:i}]}}}]}",
                        "schedulerName",
                        json_str_or(d->spec, "scheduler.name", "default-scheduler"), "pluginConfig",
                        "name", "NodeResourcesFit", "args", "scoringStrategy", "type", scoring,
                        "resources", "name", "cpu", "weight", 1, "name", "memory", "weight", 1);

        assert(profile);
        return sched_profile_add(d->cluster, profile, &d->profile, p);
}

int desched_new(struct desched **ret, const json_t *spec, int32_t priority_threshold,
                uint64_t now_us, struct problem *p) {
        _cleanup_(desched_freep) struct desched *d = calloc(1, sizeof(*d));
        int r;

        assert(d);
        *d = (struct desched){.spec = json_ref(spec),
                        .now_us = now_us,
                        .priority_threshold = priority_threshold,
                        .total_max = limit(spec, "maxNoOfPodsToEvictTotal", TOTAL_DEFAULT),
                        .node_max = limit(spec, "maxNoOfPodsToEvictPerNode", INT64_MAX),
                        .namespace_max = limit(spec, "maxNoOfPodsToEvictPerNamespace", INT64_MAX),
                        .cluster = sched_cluster_new(),
                        .nodes = new_map(node_free),
                        .namespaces = new_map(free),
                        .listed = json_array()};
        assert(d->listed);
        r = desched_filter_read(d, p);
        if (r < 0)
                return r;
        r = read_strategies(d, p);
        if (r < 0)
                return r;
        r = make_profile(d, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}

static void forget_asked(struct desched *d) {
        d->asked = NULL;
        d->reason = mfree(d->reason);
        d->to = mfree(d->to);
}

bool desched_shrink(struct desched *d) {
        d->move = sched_move_free(d->move);
        if (d->pods.count > 0) {
                struct desched_pod *x = d->pods.items[--d->pods.count];

                json_decref(x->object);
                free(x);
                return true;
        }
        return sched_cluster_forget_one(d->cluster);
}

struct desched *desched_free(struct desched *d) {
        if (!d)
                return NULL;
        sched_move_free(d->move);
        forget_asked(d);
        for (size_t i = 0; i < d->strategies.count; i++) {
                vector_done(&d->strategies.items[i].thresholds);
                strv_free(d->strategies.items[i].words);
                free(d->strategies.items[i].message);
        }
        vector_done(&d->strategies);
        for (size_t i = 0; i < d->pods.count; i++) {
                json_decref(d->pods.items[i]->object);
                free(d->pods.items[i]);
        }
        vector_done(&d->pods);
        sched_cluster_free(d->cluster);
        map_free(d->nodes);
        map_free(d->namespaces);
        map_free(d->groups);
        label_selector_free(d->labels);
        label_selector_free(d->node_labels);
        json_decref(d->listed);
        json_decref(d->spec);
        free(d);
        return NULL;
}

/* --- counts by name --- */

static int64_t *count_of(struct map *m, const char *name) {
        int64_t *n = map_get(m, name);

        if (n)
                return n;
        n = calloc(1, sizeof(*n));
        assert(n && map_set(m, name, n) >= 0);
        return n;
}

int64_t desched_group_count(const struct desched_group *g, const char *node) {
        const int64_t *n = map_get(g->counts, node);

        return n ? *n : 0;
}

static int compare_texts(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "namespace uid-of-controller image,image", the images sorted. */
static char *group_key(const json_t *pod, const json_t *owner) {
        _cleanup_strv_free_ char **images = NULL;
        _cleanup_free_ char *joined = NULL;
        const json_t *container;
        char *key;
        size_t i;

        json_array_foreach (json_at(pod, "spec.containers"), i, container)
                assert(strv_extend(&images, json_str_or(container, "image", "")) >= 0);
        if (images)
                qsort(images, strv_length(images), sizeof(*images), compare_texts);
        joined = strv_join(images, ",");
        assert(joined);
        key = strformat("%s %s %s", object_namespace(pod), json_str_or(owner, "uid", ""), joined);
        assert(key);
        return key;
}

struct desched_group *desched_group_of(struct desched *d, const json_t *pod) {
        const json_t *owner = object_controller_ref(pod);
        _cleanup_free_ char *key = NULL;
        struct desched_group *g;

        if (!owner)
                return NULL;
        key = group_key(pod, owner);
        g = map_get(d->groups, key);
        if (g)
                return g;
        g = calloc(1, sizeof(*g));
        assert(g);
        g->counts = new_map(free);
        assert(map_set(d->groups, key, g) >= 0);
        return g;
}

/* --- the cluster --- */

static void put_node(struct desched *d, const json_t *object) {
        struct desched_node *n = calloc(1, sizeof(*n));

        assert(n);
        n->name = strdup(object_name(object));
        n->selected = !d->node_labels ||
                      label_selector_matches(d->node_labels, json_at(object, "metadata.labels"));
        assert(n->name && map_set(d->nodes, n->name, n) >= 0);
        sched_cluster_put_node(d->cluster, object);
}

static void put_pod(struct desched *d, const json_t *object) {
        struct desched_node *node = map_get(d->nodes, json_str_or(object, "spec.nodeName", ""));
        struct desched_group *group = NULL;
        enum desched_kept kept;
        struct desched_pod *x;

        sched_cluster_put_pod(d->cluster, object);
        if (!sched_cluster_node_of(d->cluster, object_uid(object)))
                return; /* it has no node yet, or has ended */
        d->pod_count++;
        if (d->groups && node && !object_is_deleting(object))
                group = desched_group_of(d, object);
        if (group)
                ++*count_of(group->counts, node->name);
        kept = desched_keeps(d, object, node);
        d->kept[kept]++;
        if (kept != KEPT_NONE)
                return;
        x = calloc(1, sizeof(*x));
        assert(x);
        *x = (struct desched_pod){.object = json_ref(object),
                        .uid = object_uid(object),
                        .node = node,
                        .group = group,
                        .priority = (int32_t)json_int_or(object, "spec.priority", 0),
                        .start_us = desched_started_us(object)};
        assert(vector_append(&d->pods, x) >= 0);
}

void desched_put(struct desched *d, enum world_kind kind, const json_t *object) {
        switch (kind) {
        case WORLD_NODES:
                put_node(d, object);
                break;
        case WORLD_PODS:
                put_pod(d, object);
                break;
        case WORLD_NAMESPACES:
                sched_cluster_put_namespace(d->cluster, object);
                break;
        case WORLD_CLAIMS:
                sched_cluster_put_claim(d->cluster, object);
                break;
        case WORLD_VOLUMES:
                sched_cluster_put_volume(d->cluster, object);
                break;
        case WORLD_CLASSES:
                sched_cluster_put_storage_class(d->cluster, object);
                break;
        default:
                assert_not_reached();
        }
}

/* --- the walk --- */

static int compare_pods(const void *a, const void *b) {
        const struct desched_pod *x = *(struct desched_pod *const *)a,
                                 *y = *(struct desched_pod *const *)b;

        if (x->rank != y->rank)
                return x->rank < y->rank ? -1 : 1;
        if (x->priority != y->priority)
                return x->priority < y->priority ? -1 : 1;
        if (x->start_us != y->start_us)
                return x->start_us > y->start_us ? -1 : 1;
        return strcmp(x->uid, y->uid);
}

static void begin(struct desched *d, struct desched_strategy *s) {
        if (s->type->begin)
                s->type->begin(d, s);
        d->begun = true;
        d->at = 0;
        if (s->message) {
                d->at = d->pods.count;
                return;
        }
        for (size_t i = 0; i < d->pods.count; i++) {
                struct desched_pod *x = d->pods.items[i];

                x->rank = s->type->rank ? s->type->rank(d, s, x) : 0;
        }
        if (d->pods.count > 0)
                qsort(d->pods.items, d->pods.count, sizeof(*d->pods.items), compare_pods);
}

struct sched_move *desched_move(struct desched *d, const struct desched_pod *x) {
        if (!d->move)
                d->move = sched_move_new(d->cluster, d->profile, x->object);
        return d->move;
}

static bool is_beyond_limits(struct desched *d, const struct desched_pod *x) {
        return x->node->evicted >= d->node_max ||
               *count_of(d->namespaces, object_namespace(x->object)) >= d->namespace_max;
}

/* Counts the pod as evicted, or takes that back. The cluster's own counts are the move's. */
static void count_eviction(struct desched *d, const struct desched_pod *x, int by) {
        d->evicted += by;
        x->node->evicted += by;
        *count_of(d->namespaces, object_namespace(x->object)) += by;
        if (!x->group)
                return;
        *count_of(x->group->counts, x->node->name) -= by;
        if (d->to)
                *count_of(x->group->counts, d->to) += by;
}

static bool helps(struct desched *d, const struct desched_strategy *s, const struct desched_pod *x,
                const char *to) {
        const struct desched_node *node = map_get(d->nodes, to);

        if (s->type->may_return)
                return true;
        if (!node || node == x->node)
                return false;
        return !s->type->helps || s->type->helps(d, s, x, node);
}

/* The pod has a reason to go. 1: it goes. */
static int decide(struct desched *d, struct desched_strategy *s, struct desched_pod *x) {
        struct sched_move *m;
        const char *to;
        bool elsewhere;

        if (is_beyond_limits(d, x)) {
                s->beyond_limits++;
                return 0;
        }
        m = desched_move(d, x);
        if (!m)
                return 0;
        to = sched_move_choose(m, &elsewhere);
        if (!elsewhere && (d->node_fit || s->type->needs_node)) {
                s->no_other_node++;
                return 0;
        }
        if (to && !helps(d, s, x, to)) {
                s->would_not_help++;
                return 0;
        }
        if (to) {
                d->to = strdup(to);
                assert(d->to);
        }
        sched_move_to(TAKE_PTR(d->move), d->to);
        return 1;
}

static enum desched_step look(
                struct desched *d, struct desched_strategy *s, struct desched_pod *x) {
        int r = 0;

        if (x->tried)
                return DESCHED_MORE;
        d->reason = s->type->judge(d, s, x);
        if (d->reason) {
                s->found++;
                r = decide(d, s, x);
        }
        d->move = sched_move_free(d->move);
        if (r == 0) {
                d->reason = mfree(d->reason);
                return DESCHED_MORE;
        }
        x->tried = true;
        d->asked = x;
        count_eviction(d, x, 1);
        return DESCHED_EVICT;
}

enum desched_step desched_step(struct desched *d) {
        struct desched_strategy *s;

        assert(!d->asked);
        if (d->current == d->strategies.count || d->evicted >= d->total_max)
                return DESCHED_END;
        s = &d->strategies.items[d->current];
        if (!d->begun)
                begin(d, s);
        else if (d->at < d->pods.count)
                return look(d, s, d->pods.items[d->at++]);
        else {
                d->current++;
                d->begun = false;
        }
        return DESCHED_MORE;
}

void desched_eviction(const struct desched *d, struct desched_eviction *ret) {
        assert(d->asked);
        *ret = (struct desched_eviction){.pod = d->asked->object,
                        .node = d->asked->node->name,
                        .to = d->to,
                        .strategy = d->strategies.items[d->current].type->name,
                        .reason = d->reason};
}

void desched_answer(struct desched *d, enum desched_outcome outcome, const char *message) {
        struct desched_strategy *s = &d->strategies.items[d->current];

        assert(d->asked);
        desched_list(d, outcome, message);
        switch (outcome) {
        case DESCHED_EVICTED:
                s->evicted++;
                break;
        case DESCHED_WOULD_EVICT:
                s->would_evict++;
                d->would_evict++;
                break;
        case DESCHED_GONE:
                count_eviction(d, d->asked, -1);
                sched_cluster_remove_pod(d->cluster, d->asked->object);
                break;
        case DESCHED_REFUSED:
        case DESCHED_FAILED:
                *(outcome == DESCHED_REFUSED ? &s->refused : &s->failed) += 1;
                *(outcome == DESCHED_REFUSED ? &d->refused : &d->failed) += 1;
                count_eviction(d, d->asked, -1);
                sched_cluster_put_pod(d->cluster, d->asked->object);
                break;
        }
        forget_asked(d);
}
