/* The scheduler's view of the cluster: pods on their nodes, and what they use there. Updated by
 * single changes; a pod counts once, on the node that it is on or was just assigned to. */
#include "lib/object.h"
#include "lib/sched/internal.h"
#include "lib/sched/volumes.h"
#include "lib/timefmt.h"

static struct map *new_map(map_free_func func) {
        struct map *m = map_new(func);

        assert(m);
        return m;
}

static void decref(void *p) {
        json_decref(p);
}

struct sched_cluster *sched_cluster_new(void) {
        struct sched_cluster *c = sched_alloc(1, sizeof(*c));

        c->nodes = new_map(NULL);
        c->pods = new_map(NULL);
        c->namespaces = new_map(decref);
        c->budgets = new_map(decref);
        c->claims = new_map(decref);
        c->claim_users = new_map(free);
        c->storage_classes = new_map(decref);
        c->volumes = new_map(NULL);
        c->shapes = new_map(NULL);
        c->classes = new_map(NULL);
        c->selectors = new_map(NULL);
        c->keys = new_map(NULL);
        c->filters = new_map(NULL);
        c->images = new_map(NULL);
        TAILQ_INIT(&c->unused_tallies);
        TAILQ_INIT(&c->unused_shapes);
        assert(sched_resource_id(c, "cpu") == RESOURCE_CPU);
        assert(sched_resource_id(c, "memory") == RESOURCE_MEMORY);
        assert(sched_resource_id(c, "ephemeral-storage") == RESOURCE_STORAGE);
        return c;
}

struct sched_cluster *sched_cluster_free(struct sched_cluster *c) {
        if (!c)
                return NULL;
        map_foreach (c->pods, e)
                sched_cluster_forget(c, map_entry_key(e));
        map_foreach (c->nodes, e)
                sched_node_free(c, map_entry_value(e));
        for (size_t i = 0; i < c->profiles.count; i++)
                sched_profile_free(c, c->profiles.items[i]);
        vector_done(&c->profiles);
        sched_volumes_free(c);
        sched_tallies_trim(c, 0);
        map_foreach (c->shapes, e)
                sched_shape_free(c, map_entry_value(e));
        /* Pods and profiles are gone, so nothing refers to these. */
        assert(map_size(c->classes) == 0 && map_size(c->selectors) == 0 && map_size(c->keys) == 0 &&
                        map_size(c->filters) == 0);
        map_free(c->nodes);
        map_free(c->pods);
        map_free(c->namespaces);
        map_free(c->budgets);
        map_free(c->claim_users);
        map_free(c->shapes);
        map_free(c->classes);
        map_free(c->selectors);
        map_free(c->keys);
        map_free(c->filters);
        map_free(c->images);
        for (size_t i = 0; i < c->resource_count; i++)
                free(c->resource_names[i]);
        vector_done(&c->slots);
        vector_done(&c->nominated);
        free(c->refused);
        free(c->total);
        free(c->sums);
        free(c);
        return NULL;
}

size_t sched_cluster_node_count(const struct sched_cluster *c) {
        return c->node_count;
}

size_t sched_cluster_pod_count(const struct sched_cluster *c) {
        return map_size(c->pods);
}

const char *sched_cluster_node_of(const struct sched_cluster *c, const char *uid) {
        const struct sched_pod *p = map_get(c->pods, uid);

        return p ? p->node->name : NULL;
}

bool sched_cluster_node_is_clearing(
                const struct sched_cluster *c, const char *node, int32_t priority) {
        const struct sched_node *n = map_get(c->nodes, node);

        for (size_t i = 0; n && i < n->pods.count; i++)
                if (n->pods.items[i]->terminating && n->pods.items[i]->priority < priority)
                        return true;
        return false;
}

/* --- pods --- */

static uint64_t time_of(const json_t *pod) {
        const char *text = json_str(pod, "status.startTime");
        uint64_t us = 0;

        if (!text)
                text = json_str_or(pod, "metadata.creationTimestamp", "");
        (void)time_parse(text, &us);
        return us;
}

static struct sched_pod *pod_new(
                struct sched_cluster *c, const struct sched_profile *profile, const json_t *pod) {
        struct sched_pod *p = sched_alloc(1, sizeof(*p));

        p->key = object_key(pod);
        assert(p->key);
        p->uid = sched_strdup(object_uid(pod));
        p->profile = profile;
        p->shape = sched_shape_get(c, pod, /* pending= */ profile != NULL);
        p->class = sched_class_get(c, pod);
        p->ns = p->class->ns;
        p->priority = (int32_t)json_int_or(pod, "spec.priority", 0);
        p->terminating = object_is_deleting(pod);
        p->never_preempts = streq(json_str_or(pod, "spec.preemptionPolicy", ""), "Never");
        p->start_us = time_of(pod);
        sched_pod_terms(c, p, pod);
        return p;
}

static void pod_free(struct sched_cluster *c, struct sched_pod *p) {
        sched_pod_terms_done(c, p);
        sched_shape_put(c, p->shape);
        sched_class_put(c, p->class);
        free(p->key);
        free(p->uid);
        free(p);
}

struct sched_pod *sched_pod_new(
                struct sched_cluster *c, const struct sched_profile *profile, const json_t *pod) {
        assert(profile);
        return pod_new(c, profile, pod);
}

struct sched_pod *sched_pod_free(struct sched_cluster *c, struct sched_pod *pod) {
        if (!pod)
                return NULL;
        sched_cluster_nominate(c, pod, NULL);
        pod_free(c, pod);
        return NULL;
}

const char *sched_pod_key(const struct sched_pod *pod) {
        return pod->key;
}

const char *sched_pod_uid(const struct sched_pod *pod) {
        return pod->uid;
}

int32_t sched_pod_priority(const struct sched_pod *pod) {
        return pod->priority;
}

/* --- on a node --- */

static void use_node(struct sched_node *n, struct sched_pod *p, int by) {
        const struct sched_shape *s = p->shape;

        for (size_t i = 0; i < s->requests.count; i++)
                n->used.v[s->requests.items[i].id] += by * s->requests.items[i].amount;
        n->score_cpu += by * s->score_cpu;
        n->score_memory += by * s->score_memory;
        for (size_t i = 0; i < s->ports.count && by > 0; i++)
                sched_append(&n->ports, &s->ports.items[i]);
        for (size_t i = 0; i < s->ports.count && by < 0; i++)
                for (size_t k = 0; k < n->ports.count; k++)
                        if (n->ports.items[k] == &s->ports.items[i]) {
                                vector_remove_unordered(&n->ports, k);
                                break;
                        }
}

void sched_attach(struct sched_cluster *c, struct sched_pod *p, struct sched_node *n) {
        p->node = n;
        p->node_index = n->pods.count;
        sched_append(&n->pods, p);
        LIST_INSERT_HEAD(&p->class->pods, p, of_class);
        use_node(n, p, 1);
        sched_claims_count(c, p, 1);
        sched_terms_count(p, 1);
        sched_node_changed(c, n);
}

void sched_detach(struct sched_cluster *c, struct sched_pod *p) {
        struct sched_node *n = p->node;

        sched_terms_count(p, -1);
        use_node(n, p, -1);
        sched_claims_count(c, p, -1);
        LIST_REMOVE(p, of_class);
        n->pods.items[p->node_index] = n->pods.items[--n->pods.count];
        n->pods.items[p->node_index]->node_index = p->node_index;
        p->node = NULL;
        sched_node_changed(c, n);
}

static void place(struct sched_cluster *c, struct sched_pod *p, const char *node) {
        sched_attach(c, p, sched_node_get(c, node));
        assert(map_set(c->pods, p->uid, p) >= 0);
}

void sched_cluster_forget(struct sched_cluster *c, const char *uid) {
        struct sched_pod *p = map_steal(c->pods, uid);
        struct sched_node *n;

        if (!p)
                return;
        n = p->node;
        sched_detach(c, p);
        pod_free(c, p);
        sched_node_maybe_drop(c, n);
}

bool sched_cluster_forget_one(struct sched_cluster *c) {
        const struct map_entry *first = map_first(c->pods);

        if (!first)
                return false;
        sched_cluster_forget(c, map_entry_key(first));
        return true;
}

static bool occupies_a_node(const json_t *pod) {
        const char *phase = json_str_or(pod, "status.phase", "");

        return *json_str_or(pod, "spec.nodeName", "") && !streq(phase, "Succeeded") &&
               !streq(phase, "Failed");
}

static bool requests_less(const struct sched_shape *now, const struct sched_shape *was) {
        if (now == was)
                return false;
        for (size_t i = 0; i < was->requests.count; i++) {
                int64_t amount = 0;

                for (size_t k = 0; k < now->requests.count; k++)
                        if (now->requests.items[k].id == was->requests.items[i].id)
                                amount = now->requests.items[k].amount;
                if (amount < was->requests.items[i].amount)
                        return true;
        }
        return false;
}

/* The pod as it was counted and as it is now are equal to all plugins: nothing moves. */
static bool same_pod(const struct sched_pod *old, const struct sched_pod *p, const char *node) {
        return old->shape == p->shape && old->class == p->class && streq(old->node->name, node) &&
               old->terminating == p->terminating && old->priority == p->priority;
}

uint32_t sched_cluster_put_pod(struct sched_cluster *c, const json_t *pod) {
        struct sched_pod *old = map_get(c->pods, object_uid(pod)), *p;
        const char *node = json_str_or(pod, "spec.nodeName", "");
        uint32_t events;

        if (!occupies_a_node(pod)) {
                /* An update from before the binding does not show it. */
                if (!old || (old->assumed && !*node))
                        return 0;
                sched_cluster_forget(c, object_uid(pod));
                return SCHED_POD_GONE;
        }
        p = pod_new(c, /* profile= */ NULL, pod);
        if (!old) {
                place(c, p, node);
                return SCHED_POD_PLACED;
        }
        if (same_pod(old, p, node)) {
                old->assumed = false;
                old->start_us = p->start_us;
                pod_free(c, p);
                return 0;
        }
        events = (requests_less(p->shape, old->shape) ? SCHED_POD_GONE : 0) |
                 (p->class != old->class || p->terminating != old->terminating ? SCHED_POD_CHANGED
                                                                               : 0) |
                 (!streq(old->node->name, node) ? SCHED_POD_GONE | SCHED_POD_PLACED : 0);
        sched_cluster_forget(c, object_uid(pod));
        place(c, p, node);
        return events;
}

uint32_t sched_cluster_remove_pod(struct sched_cluster *c, const json_t *pod) {
        uint32_t events = map_get(c->pods, object_uid(pod)) ? SCHED_POD_GONE : 0;

        sched_cluster_forget(c, object_uid(pod));
        return events;
}

void sched_cluster_assume(struct sched_cluster *c, const struct sched_pod *pod, const char *node) {
        struct sched_pod *p = sched_alloc(1, sizeof(*p));

        sched_cluster_forget(c, pod->uid);
        *p = (struct sched_pod){.key = sched_strdup(pod->key),
                        .uid = sched_strdup(pod->uid),
                        .shape = pod->shape,
                        .class = pod->class,
                        .ns = pod->ns,
                        .priority = pod->priority,
                        .terminating = pod->terminating,
                        .never_preempts = pod->never_preempts,
                        .start_us = pod->start_us,
                        .assumed = true};
        p->shape->refs++;
        p->class->refs++;
        for (size_t i = 0; pod->claims && pod->claims[i]; i++)
                assert(strv_extend(&p->claims, pod->claims[i]) >= 0);
        for (size_t i = 0; i < pod->held.count; i++) {
                pod->held.items[i]->refs++;
                sched_append(&p->held, pod->held.items[i]);
        }
        place(c, p, node);
}

void sched_cluster_nominate(struct sched_cluster *c, struct sched_pod *pod, const char *node) {
        struct sched_node *n = pod->nominated;

        if (n) {
                for (size_t i = 0; i < n->nominated.count; i++)
                        if (n->nominated.items[i] == pod) {
                                vector_remove(&n->nominated, i);
                                break;
                        }
                pod->nominated = NULL;
                for (size_t i = 0; i < c->nominated.count; i++)
                        if (c->nominated.items[i] == pod) {
                                vector_remove(&c->nominated, i);
                                break;
                        }
                sched_node_maybe_drop(c, n);
        }
        if (!node)
                return;
        pod->nominated = sched_node_get(c, node);
        sched_append(&pod->nominated->nominated, pod);
        sched_append(&c->nominated, pod);
}

/* --- namespaces and budgets --- */

uint32_t sched_cluster_put_namespace(struct sched_cluster *c, const json_t *ns) {
        const json_t *labels = json_at(ns, "metadata.labels");
        const char *name = object_name(ns);

        if (json_same(map_get(c->namespaces, name), labels))
                return 0;
        if (labels)
                sched_keep(c->namespaces, name, labels);
        else
                map_remove(c->namespaces, name);
        sched_selector_recheck(c, name);
        return SCHED_POD_CHANGED;
}

void sched_cluster_remove_namespace(struct sched_cluster *c, const json_t *ns) {
        if (map_remove(c->namespaces, object_name(ns)))
                sched_selector_recheck(c, object_name(ns));
}

void sched_cluster_put_budget(struct sched_cluster *c, const json_t *budget) {
        _cleanup_free_ char *key = object_key(budget);

        assert(key);
        sched_keep(c->budgets, key, budget);
}

void sched_cluster_remove_budget(struct sched_cluster *c, const json_t *budget) {
        _cleanup_free_ char *key = object_key(budget);

        assert(key);
        map_remove(c->budgets, key);
}
