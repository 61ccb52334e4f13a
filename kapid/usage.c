/* nodes: name -> report, which owns its pods. pods: "namespace/name" -> the pod of the newest
 * report that has it. Whether a pod is the node's is found out by reading the pod, once: its node
 * never changes, so the next reports of the same uid and containers are believed. */
#include "kapid/usage.h"

#include <inttypes.h>

#include "lib/map.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { SECOND_US = 1000000, SWEEP_US = 10 * SECOND_US, UID_SIZE = 64 };

struct amount {
        int64_t cpu_nano, memory_bytes;
};

struct container_usage {
        char *name;
        struct amount amount;
};

struct node_usage;

struct pod_usage {
        struct node_usage *node;
        char *path;
        char uid[UID_SIZE];
        struct container_usage *containers;
        size_t count;
};

struct node_usage {
        struct amount amount;
        uint64_t at_us, mono_us; /* when the report came */
        int64_t window_ms;
        struct pod_usage *pods;
        size_t count;
};

struct usages {
        struct map *nodes, *pods;
        uint64_t swept_us;
};

static struct node_usage *node_usage_free(struct node_usage *n) {
        if (!n)
                return NULL;
        for (size_t i = 0; i < n->count; i++) {
                struct pod_usage *p = &n->pods[i];

                for (size_t k = 0; k < p->count; k++)
                        free(p->containers[k].name);
                free(p->containers);
                free(p->path);
        }
        free(n->pods);
        return mfree(n);
}
DEFINE_CLEANUP(struct node_usage *, node_usage_free);

struct usages *usages_new(void) {
        _cleanup_(usages_freep) struct usages *u = calloc(1, sizeof(*u));

        if (!u)
                return NULL;
        u->nodes = map_new(NULL);
        u->pods = map_new(NULL);
        return u->nodes && u->pods ? TAKE_PTR(u) : NULL;
}

struct usages *usages_free(struct usages *u) {
        if (!u)
                return NULL;
        if (u->nodes)
                map_foreach (u->nodes, e)
                        node_usage_free(map_entry_value(e));
        map_free(u->nodes);
        map_free(u->pods);
        return mfree(u);
}

size_t usages_count(const struct usages *u) {
        return map_size(u->nodes);
}

/* --- reports --- */

static void drop_node(struct usages *u, const char *name) {
        struct node_usage *n = map_steal(u->nodes, name);

        for (size_t i = 0; n && i < n->count; i++) {
                const struct pod_usage *p = map_get(u->pods, n->pods[i].path);

                if (p && p->node == n)
                        (void)map_steal(u->pods, n->pods[i].path);
        }
        node_usage_free(n);
}

void usages_sweep(struct usages *u, uint64_t mono_us) {
        if (mono_us < u->swept_us + SWEEP_US)
                return;
        u->swept_us = mono_us;
        map_foreach (u->nodes, e) {
                const struct node_usage *n = map_entry_value(e);
                _cleanup_free_ char *name = NULL;

                if (mono_us <= n->mono_us + (uint64_t)USAGE_AGE_MAX_S * SECOND_US)
                        continue;
                name = strdup(map_entry_key(e));
                if (name)
                        drop_node(u, name);
        }
}

static struct amount amount_of(const json_t *v) {
        return (struct amount){.cpu_nano = json_int_or(v, "cpuNanocores", 0),
                        .memory_bytes = json_int_or(v, "memoryBytes", 0)};
}

static bool has_container(const struct pod_usage *p, const char *name) {
        for (size_t i = 0; i < p->count; i++)
                if (streq(p->containers[i].name, name))
                        return true;
        return false;
}

/* Whether the node's previous report had this pod with all these containers. */
static bool is_known(
                const struct usages *u, const char *node, const char *path, const json_t *row) {
        const struct pod_usage *p = map_get(u->pods, path);
        const json_t *c;
        size_t i;

        if (!p || p->node != map_get(u->nodes, node) || !streq(p->uid, json_str_or(row, "uid", "")))
                return false;
        json_array_foreach (json_object_get(row, "containers"), i, c)
                if (!has_container(p, json_str_or(c, "name", "")))
                        return false;
        return true;
}

static bool spec_has_container(const json_t *pod, const char *name) {
        static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers"};

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                if (json_named(json_get(pod, "spec", lists[l], NULL), name))
                        return true;
        return false;
}

/* Whether the API has bound the pod of this row to the node. */
static bool is_of_node(struct item *it, const char *node, const json_t *row) {
        _cleanup_json_ json_t *pod = NULL;
        char bound_to[256];
        const json_t *c;
        size_t i;

        /* Before it is parsed: a report may name a thousand large pods of other nodes. */
        if (!item_string(it, "spec", "nodeName", bound_to, sizeof(bound_to)) ||
                        !streq(bound_to, node))
                return false;
        pod = item_object_once(it);
        if (!pod || !streq(object_uid(pod), json_str_or(row, "uid", "")))
                return false;
        json_array_foreach (json_object_get(row, "containers"), i, c)
                if (!spec_has_container(pod, json_str_or(c, "name", "")))
                        return false;
        return true;
}

static int fill_pod(
                struct pod_usage *p, struct node_usage *n, const char *path, const json_t *row) {
        const json_t *list = json_object_get(row, "containers"), *c;
        size_t i;

        p->node = n;
        snprintf(p->uid, sizeof(p->uid), "%s", json_str_or(row, "uid", ""));
        p->path = strdup(path);
        p->containers = calloc(json_array_size(list) + 1, sizeof(*p->containers));
        if (!p->path || !p->containers)
                return -ENOMEM;
        json_array_foreach (list, i, c) {
                if (has_container(p, json_str_or(c, "name", "")))
                        continue;
                p->containers[p->count].name = strdup(json_str_or(c, "name", ""));
                if (!p->containers[p->count].name)
                        return -ENOMEM;
                p->containers[p->count++].amount = amount_of(c);
        }
        return 0;
}

static int read_pods(struct usages *u, const char *node, const json_t *report,
                const struct cache *pods, struct node_usage *n) {
        const json_t *list = json_object_get(report, "pods"), *row;
        size_t i;

        n->pods = calloc(json_array_size(list) + 1, sizeof(*n->pods));
        if (!n->pods)
                return -ENOMEM;
        json_array_foreach (list, i, row) {
                _cleanup_free_ char *path = strformat("%s/%s", json_str_or(row, "namespace", ""),
                                json_str_or(row, "name", ""));
                struct item *it = path ? cache_find(pods, path) : NULL;
                int r;

                if (!path)
                        return -ENOMEM;
                if (!it || (!is_known(u, node, path, row) && !is_of_node(it, node, row)))
                        continue;
                r = fill_pod(&n->pods[n->count++], n, path, row);
                if (r < 0)
                        return r;
        }
        return 0;
}

int usages_put(struct usages *u, const char *node, const json_t *report, const struct cache *pods,
                uint64_t now_us, uint64_t mono_us) {
        _cleanup_(node_usage_freep) struct node_usage *n = calloc(1, sizeof(*n));
        int r;

        if (!n)
                return -ENOMEM;
        *n = (struct node_usage){.amount = amount_of(report),
                        .at_us = now_us,
                        .mono_us = mono_us,
                        .window_ms = json_int_or(report, "windowMilliseconds", 0)};
        r = read_pods(u, node, report, pods, n);
        if (r < 0)
                return r;
        drop_node(u, node);
        r = map_set(u->nodes, node, n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n->count; i++) {
                r = map_set(u->pods, n->pods[i].path, &n->pods[i]);
                if (r < 0) {
                        n = NULL; /* the map's */
                        drop_node(u, node);
                        return r;
                }
        }
        n = NULL;
        usages_sweep(u, mono_us);
        return 0;
}

/* --- metrics --- */

static json_t *usage_json(const struct amount *a) {
        char cpu[32], memory[32];

        snprintf(cpu, sizeof(cpu), a->cpu_nano > 0 ? "%" PRId64 "n" : "0", a->cpu_nano);
        snprintf(memory, sizeof(memory), "%" PRId64 "Ki", a->memory_bytes / 1024);
        return json_pack("{ss, ss}", "cpu", cpu, "memory", memory);
}

/* What both kinds have: {kind, apiVersion, metadata, timestamp, window}. */
static json_t *metrics_new(const char *kind, const struct node_usage *n, struct item *it) {
        _cleanup_json_ json_t *labels = NULL;
        const char *path = item_path(it), *slash = strchr(path, '/');
        char at[TIMEFMT_SIZE], window[32];
        json_t *v, *metadata;

        time_format(n->at_us, at);
        snprintf(window, sizeof(window), "%" PRId64 ".%03ds", n->window_ms / 1000,
                        (int)(n->window_ms % 1000));
        if (item_labels(it, &labels) < 0)
                return NULL;
        v = json_pack("{ss, ss, s:{ss, ss}, ss, ss}", "kind", kind, "apiVersion",
                        "metrics.k8s.io/v1beta1", "metadata", "name", slash ? slash + 1 : path,
                        "creationTimestamp", at, "timestamp", at, "window", window);
        metadata = json_object_get(v, "metadata");
        if (metadata && slash)
                json_object_set_new(
                                metadata, "namespace", json_stringn(path, (size_t)(slash - path)));
        if (metadata && labels)
                json_object_set(metadata, "labels", labels);
        return v;
}

static bool is_present(const struct node_usage *n, uint64_t mono_us) {
        return n && mono_us <= n->mono_us + (uint64_t)USAGE_AGE_MAX_S * SECOND_US;
}

int usages_node_metrics(const struct usages *u, struct item *node, uint64_t mono_us, json_t **ret) {
        const struct node_usage *n = map_get(u->nodes, item_path(node));
        json_t *v;

        if (!is_present(n, mono_us))
                return 0;
        v = metrics_new("NodeMetrics", n, node);
        if (!v || json_object_set_new(v, "usage", usage_json(&n->amount)) < 0) {
                json_decref(v);
                return -ENOMEM;
        }
        *ret = v;
        return 1;
}

static json_t *containers_json(const struct pod_usage *p) {
        json_t *list = json_array();

        for (size_t i = 0; list && i < p->count; i++)
                json_array_append_new(
                                list, json_pack("{ss, so}", "name", p->containers[i].name, "usage",
                                                      usage_json(&p->containers[i].amount)));
        return list;
}

int usages_pod_metrics(const struct usages *u, struct item *pod, uint64_t mono_us, json_t **ret) {
        const struct pod_usage *p = map_get(u->pods, item_path(pod));
        json_t *v;

        /* Another pod of the same name has another uid. */
        if (!p || !is_present(p->node, mono_us) || !strstr(item_text(pod)->data, p->uid))
                return 0;
        v = metrics_new("PodMetrics", p->node, pod);
        if (!v || json_object_set_new(v, "containers", containers_json(p)) < 0) {
                json_decref(v);
                return -ENOMEM;
        }
        *ret = v;
        return 1;
}
