/* The scheduler's view of the cluster: what each node offers and what is in use. Updated by single
 * changes; a pod counts once, on the node that it is on or was just assigned to. */
#include "lib/object.h"
#include "lib/quantity.h"
#include "reconcilers/sched-internal.h"

/* Assumed requests of a container without any when nodes are compared (never when they are
 * filtered). */
#define DEFAULT_CPU_MILLI 100
#define DEFAULT_MEMORY (200 * INT64_C(1024) * 1024)

static int resource_id(struct resource_names *n, const char *name) {
        for (size_t i = 0; i < n->count; i++)
                if (streq(n->names[i], name))
                        return (int)i;
        if (n->count == RESOURCES_MAX)
                return -1; /* more kinds than we can count are not counted */
        n->names[n->count] = strdup(name);
        assert(n->names[n->count]);
        return (int)n->count++;
}

int cluster_init(struct cluster *c) {
        *c = (struct cluster){.nodes = map_new(NULL), .pods = map_new(NULL)};
        if (!c->nodes || !c->pods) {
                cluster_done(c);
                return -ENOMEM;
        }
        assert(resource_id(&c->names, "cpu") == RESOURCE_CPU);
        assert(resource_id(&c->names, "memory") == RESOURCE_MEMORY);
        assert(resource_id(&c->names, "ephemeral-storage") == RESOURCE_STORAGE);
        return 0;
}

static void node_free(struct sched_node *n) {
        json_decref(n->object);
        free(n->name);
        free(n->pods);
        free(n);
}

void cluster_done(struct cluster *c) {
        if (c->pods)
                map_foreach (c->pods, e)
                        sched_pod_free(map_entry_value(e));
        if (c->nodes)
                map_foreach (c->nodes, e)
                        node_free(map_entry_value(e));
        map_free(c->pods);
        map_free(c->nodes);
        for (size_t i = 0; i < c->names.count; i++)
                free(c->names.names[i]);
        *c = (struct cluster){0};
}

static int64_t amount(int id, const json_t *v) {
        int64_t n = 0;

        if (id == RESOURCE_CPU)
                (void)quantity_parse_milli(v, &n);
        else
                (void)quantity_parse_units(v, &n);
        return MAX(n, (int64_t)0);
}

static void add_list(struct cluster *c, struct resources *r, const json_t *list) {
        const char *name;
        json_t *v;

        json_object_foreach ((json_t *)list, name, v) {
                int id = resource_id(&c->names, name);
                int64_t sum;

                if (id >= 0 && !__builtin_add_overflow(r->v[id], amount(id, v), &sum))
                        r->v[id] = sum;
        }
}

/* Long-running containers add up; an init container counts alone, with the sidecars started before
 * it. */
static void pod_requests(struct cluster *c, const json_t *pod, struct resources *ret) {
        struct resources sum = {0}, init_max = {0}, sidecars = {0};
        const json_t *container;
        size_t i;

        json_array_foreach (json_at(pod, "spec.containers"), i, container)
                add_list(c, &sum, json_at(container, "resources.requests"));
        json_array_foreach (json_at(pod, "spec.initContainers"), i, container) {
                struct resources now = sidecars;

                add_list(c, &now, json_at(container, "resources.requests"));
                if (streq(json_str_or(container, "restartPolicy", ""), "Always")) {
                        sidecars = now;
                        add_list(c, &sum, json_at(container, "resources.requests"));
                }
                for (size_t k = 0; k < RESOURCES_MAX; k++)
                        init_max.v[k] = MAX(init_max.v[k], now.v[k]);
        }
        for (size_t k = 0; k < RESOURCES_MAX; k++)
                ret->v[k] = MAX(sum.v[k], init_max.v[k]);
        add_list(c, ret, json_at(pod, "spec.overhead"));
}

static void pod_score_figures(const json_t *pod, struct sched_pod *p) {
        const json_t *container;
        size_t i;

        json_array_foreach (json_at(pod, "spec.containers"), i, container) {
                const json_t *requests = json_at(container, "resources.requests");
                const json_t *cpu = json_object_get(requests, "cpu");
                const json_t *memory = json_object_get(requests, "memory");

                p->score_cpu += cpu ? amount(RESOURCE_CPU, cpu) : DEFAULT_CPU_MILLI;
                p->score_memory += memory ? amount(RESOURCE_MEMORY, memory) : DEFAULT_MEMORY;
        }
}

struct sched_pod *sched_pod_new(struct cluster *c, const json_t *pod) {
        struct sched_pod *p = calloc(1, sizeof(*p));

        assert(p);
        p->object = json_incref((json_t *)pod);
        p->key = object_key(pod);
        assert(p->key);
        p->uid = object_uid(p->object);
        p->owner = json_str_or(object_controller_ref(p->object), "uid", "");
        pod_requests(c, pod, &p->requests);
        pod_score_figures(pod, p);
        return p;
}

struct sched_pod *sched_pod_free(struct sched_pod *p) {
        if (!p)
                return NULL;
        json_decref(p->object);
        free(p->key);
        free(p);
        return NULL;
}

static struct sched_node *node_get(struct cluster *c, const char *name) {
        struct sched_node *n = map_get(c->nodes, name);

        if (n)
                return n;
        n = calloc(1, sizeof(*n));
        assert(n);
        n->name = strdup(name);
        assert(n->name && map_set(c->nodes, name, n) >= 0);
        return n;
}

static void node_maybe_drop(struct cluster *c, struct sched_node *n) {
        if (n->object || n->pod_count > 0)
                return;
        map_steal(c->nodes, n->name);
        node_free(n);
}

static void count_pod(struct sched_node *n, const struct sched_pod *p, int sign) {
        for (size_t k = 0; k < RESOURCES_MAX; k++)
                n->used.v[k] += sign * p->requests.v[k];
        n->score_cpu += sign * p->score_cpu;
        n->score_memory += sign * p->score_memory;
}

static void place(struct cluster *c, struct sched_pod *p, const char *node) {
        struct sched_node *n = node_get(c, node);

        if (n->pod_count == n->pod_allocated) {
                size_t size = n->pod_allocated ? n->pod_allocated * 2 : 16;
                struct sched_pod **pods = reallocarray(n->pods, size, sizeof(*pods));

                assert(pods);
                n->pods = pods;
                n->pod_allocated = size;
        }
        n->pods[n->pod_count++] = p;
        p->node = n;
        count_pod(n, p, 1);
        assert(map_set(c->pods, p->uid, p) >= 0);
}

void cluster_forget(struct cluster *c, const char *uid) {
        struct sched_pod *p = map_steal(c->pods, uid);
        struct sched_node *n;

        if (!p)
                return;
        n = p->node;
        for (size_t i = 0; i < n->pod_count; i++)
                if (n->pods[i] == p) {
                        n->pods[i] = n->pods[--n->pod_count];
                        break;
                }
        count_pod(n, p, -1);
        sched_pod_free(p);
        node_maybe_drop(c, n);
}

static bool occupies_a_node(const json_t *pod) {
        const char *phase = json_str_or(pod, "status.phase", "");

        return *json_str_or(pod, "spec.nodeName", "") && !streq(phase, "Succeeded") &&
               !streq(phase, "Failed");
}

void cluster_put_pod(struct cluster *c, const json_t *pod) {
        const struct sched_pod *old = map_get(c->pods, object_uid(pod));

        if (!occupies_a_node(pod)) {
                /* An update from before the binding does not show it. */
                if (old && old->assumed && !*json_str_or(pod, "spec.nodeName", ""))
                        return;
                cluster_forget(c, object_uid(pod));
                return;
        }
        cluster_forget(c, object_uid(pod));
        place(c, sched_pod_new(c, pod), json_str(pod, "spec.nodeName"));
}

void cluster_remove_pod(struct cluster *c, const json_t *pod) {
        cluster_forget(c, object_uid(pod));
}

void cluster_assume(struct cluster *c, const json_t *pod, const char *node) {
        struct sched_pod *p;

        cluster_forget(c, object_uid(pod));
        p = sched_pod_new(c, pod);
        p->assumed = true;
        place(c, p, node);
}

void cluster_put_node(struct cluster *c, const json_t *node) {
        struct sched_node *n = node_get(c, object_name(node));
        const json_t *pods = json_at(node, "status.allocatable.pods");

        if (!n->object)
                c->node_count++;
        json_decref(n->object);
        n->object = json_incref((json_t *)node);
        n->allocatable = (struct resources){0};
        add_list(c, &n->allocatable, json_at(node, "status.allocatable"));
        n->pods_max = 110;
        if (pods)
                (void)quantity_parse_units(pods, &n->pods_max);
}

void cluster_remove_node(struct cluster *c, const json_t *node) {
        struct sched_node *n = map_get(c->nodes, object_name(node));

        if (!n || !n->object)
                return;
        json_decref(n->object);
        n->object = NULL;
        c->node_count--;
        node_maybe_drop(c, n);
}

static bool same_at(const json_t *a, const json_t *b, const char *path) {
        const json_t *x = json_at(a, path), *y = json_at(b, path);

        return x == y || (x && y && json_equal(x, y));
}

uint32_t sched_node_events(const json_t *old, const json_t *node) {
        uint32_t events = 0;

        if (!old)
                return SCHED_NODE_ADDED | SCHED_NODE_LABELS | SCHED_NODE_TAINTS;
        if (!same_at(old, node, "status.allocatable"))
                events |= SCHED_NODE_ADDED;
        if (object_condition_true(node, "Ready") && !object_condition_true(old, "Ready"))
                events |= SCHED_NODE_ADDED;
        if (!same_at(old, node, "metadata.labels"))
                events |= SCHED_NODE_LABELS;
        if (!same_at(old, node, "spec.taints") ||
                        json_bool_or(old, "spec.unschedulable", false) !=
                                        json_bool_or(node, "spec.unschedulable", false))
                events |= SCHED_NODE_TAINTS;
        return events;
}
