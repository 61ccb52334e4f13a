/* What pods share: shapes (all that matters when one node is looked at) and classes (all that
 * selectors see). Both are found by a signature of the fields that they are made of, so that the
 * pods of a template are read and judged once. */
#include "lib/buf.h"
#include "lib/object.h"
#include "lib/pod-amounts.h"
#include "lib/sched/internal.h"

/* Assumed requests of a container without any when nodes are compared (never when they are
 * filtered). */
#define DEFAULT_CPU_MILLI 100
#define DEFAULT_MEMORY (200 * INT64_C(1024) * 1024)

enum { UNUSED_SHAPES_MAX = 256 };

void *sched_alloc(size_t count, size_t size) {
        void *p = calloc(count, size);

        assert(p || count == 0);
        return p;
}

char *sched_strdup(const char *s) {
        char *copy = strdup(strempty(s));

        assert(copy);
        return copy;
}

void sched_keep(struct map *m, const char *key, const json_t *object) {
        if (map_get(m, key) != object)
                assert(map_set(m, key, json_ref(object)) >= 0);
}

void sched_grow(void *items, size_t *allocated, size_t count, size_t size, int fill) {
        void **at = items;
        size_t more = MAX(count, *allocated * 2);
        void *grown;

        if (count <= *allocated)
                return;
        more = MAX(more, (size_t)16);
        grown = reallocarray(*at, more, size);
        assert(grown);
        memset((char *)grown + *allocated * size, fill, (more - *allocated) * size);
        *at = grown;
        *allocated = more;
}

/* --- resources --- */

unsigned sched_resource_id(struct sched_cluster *c, const char *name) {
        for (size_t i = 0; i < c->resource_count; i++)
                if (streq(c->resource_names[i], name))
                        return (unsigned)i;
        if (c->resource_count == RESOURCES_MAX)
                return RESOURCES_MAX;
        c->resource_names[c->resource_count] = sched_strdup(name);
        return (unsigned)c->resource_count++;
}

int64_t sched_resource_amount(unsigned id, const json_t *v) {
        int64_t n = 0;

        if (id == RESOURCE_CPU)
                (void)quantity_parse_milli(v, &n);
        else
                (void)quantity_parse_units(v, &n);
        return MAX(n, (int64_t)0);
}

static bool is_sidecar(const json_t *container) {
        return streq(json_str_or(container, "restartPolicy", ""), "Always");
}

/* In the unit of the resource, rounded up. */
static int64_t in_units(unsigned id, struct quantity q) {
        __int128 n = id == RESOURCE_CPU ? q.milli : (q.milli + 999) / 1000;

        return n < 0 ? 0 : n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

/* The pod's amounts of the resources that the list names; each is summed up once, however many
 * containers name it. */
static void add_amounts(struct sched_cluster *c, const json_t *spec, const json_t *list,
                bool *is_known, struct sched_resources *ret) {
        const char *name;
        json_t *v;

        json_object_each (list, name, v) {
                unsigned id = sched_resource_id(c, name);
                struct quantity q;

                ret->unknown |= id == RESOURCES_MAX;
                if (id == RESOURCES_MAX || is_known[id])
                        continue;
                is_known[id] = true;
                if (pod_amount(spec, "requests", name, &q))
                        ret->v[id] = in_units(id, q);
        }
}

/* lib/pod-amounts.h says what a pod requests; the resources are those that anything in it names. */
static void pod_requests(struct sched_cluster *c, const json_t *pod, struct sched_resources *ret) {
        static const char *const lists[] = {"containers", "initContainers"};
        const json_t *spec = json_object_get(pod, "spec"), *container;
        bool is_known[RESOURCES_MAX] = {false};
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_object_get(spec, lists[l]), i, container)
                        add_amounts(c, spec, json_at(container, "resources.requests"), is_known,
                                        ret);
        add_amounts(c, spec, json_at(spec, "resources.requests"), is_known, ret);
        add_amounts(c, spec, json_object_get(spec, "overhead"), is_known, ret);
}

static void score_figures(struct sched_shape *s, const json_t *pod) {
        const json_t *container;
        size_t i;

        json_array_foreach (json_at(pod, "spec.containers"), i, container) {
                const json_t *requests = json_at(container, "resources.requests");
                const json_t *cpu = json_object_get(requests, "cpu");
                const json_t *memory = json_object_get(requests, "memory");

                s->score_cpu += cpu ? sched_resource_amount(RESOURCE_CPU, cpu) : DEFAULT_CPU_MILLI;
                s->score_memory += memory ? sched_resource_amount(RESOURCE_MEMORY, memory)
                                          : DEFAULT_MEMORY;
        }
}

/* --- images --- */

/* "nginx" means "nginx:latest". */
static char *image_name(const char *name) {
        const char *slash = strrchr(name, '/');
        char *s = strchr(slash ? slash : name, ':') || strchr(name, '@')
                                  ? strdup(name)
                                  : strformat("%s:latest", name);

        assert(s);
        return s;
}

struct sched_image *sched_image_get(struct sched_cluster *c, const char *name) {
        _cleanup_free_ char *full = image_name(name);
        struct sched_image *image = map_get(c->images, full);

        if (!image) {
                image = sched_alloc(1, sizeof(*image));
                assert(map_set(c->images, full, image) >= 0);
                image->name = TAKE_PTR(full);
        }
        image->refs++;
        return image;
}

void sched_images_done(struct sched_cluster *c, struct sched_images *images) {
        for (size_t i = 0; i < images->count; i++) {
                struct sched_image *image = images->items[i];

                if (--image->refs > 0)
                        continue;
                map_steal(c->images, image->name);
                free(image->name);
                free(image);
        }
        vector_done(images);
}

/* --- shapes --- */

static const char *const container_fields[] = {"resources", "ports", "image", "restartPolicy"};
static const char *const pod_fields[] = {"spec.hostNetwork", "spec.resources", "spec.overhead",
                "spec.nodeSelector", "spec.affinity.nodeAffinity", "spec.tolerations"};

static void append_json(struct buf *b, const json_t *v) {
        _cleanup_free_ char *text = v ? json_text(v) : NULL;

        assert(!v || text);
        assert(buf_append_str(b, strempty(text)) >= 0 && buf_append_char(b, '\n') >= 0);
}

static char *shape_signature(const json_t *pod, bool pending) {
        static const char *const lists[] = {"spec.containers", "spec.initContainers"};
        _cleanup_buf_ struct buf b = {0};
        const json_t *container;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists); l++) {
                json_array_foreach (json_at(pod, lists[l]), i, container)
                        for (size_t k = 0; k < ELEMENTS(container_fields); k++)
                                append_json(&b, json_object_get(container, container_fields[k]));
                append_json(&b, NULL);
        }
        for (size_t k = 0; k < ELEMENTS(pod_fields); k++)
                append_json(&b, json_at(pod, pod_fields[k]));
        if (pending && json_at(pod, "spec.nodeName"))
                append_json(&b, json_at(pod, "spec.nodeName"));
        char *text = buf_take(&b);

        assert(text);
        return text;
}

static void add_ports(struct sched_ports *ports, const json_t *container, bool host_network) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(container, "ports"), i, v) {
                const char *ip = json_str_or(v, "hostIP", "");
                int64_t port = json_int_or(v, "hostPort",
                                host_network ? json_int_or(v, "containerPort", 0) : 0);

                if (port <= 0)
                        continue;
                if (streq(ip, "0.0.0.0") || streq(ip, "::"))
                        ip = "";
                struct sched_port x = {.port = port,
                                .protocol = sched_strdup(json_str_or(v, "protocol", "TCP")),
                                .ip = sched_strdup(ip)};

                sched_append(ports, x);
        }
}

static void read_containers(struct sched_cluster *c, struct sched_shape *s, const json_t *pod) {
        static const char *const lists[] = {"spec.containers", "spec.initContainers"};
        bool host_network = json_bool_or(pod, "spec.hostNetwork", false);
        const json_t *container;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_at(pod, lists[l]), i, container) {
                        const char *image = json_str_or(container, "image", "");

                        s->containers++;
                        if (*image)
                                sched_append(&s->images, sched_image_get(c, image));
                        if (l == 0 || is_sidecar(container))
                                add_ports(&s->ports, container, host_network);
                }
}

static void read_affinity(struct sched_cluster *c, struct sched_shape *s, const json_t *pod) {
        const json_t *affinity = json_at(pod, "spec.affinity.nodeAffinity"), *p;
        const json_t *required =
                        json_object_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution");
        _cleanup_json_ json_t *none = required ? json_array() : NULL;
        const json_t *terms = json_object_get(required, "nodeSelectorTerms");
        size_t i;

        s->required = sched_filter_get(c, json_at(pod, "spec.nodeSelector"),
                        required && !terms ? none : terms, /* tolerations= */ NULL,
                        /* keys= */ NULL);
        json_array_foreach (json_object_get(affinity,
                                            "preferredDuringSchedulingIgnoredDuringExecution"),
                        i, p) {
                _cleanup_json_ json_t *one = json_array();

                assert(one && json_array_append(one, json_object_get(p, "preference")) == 0);
                struct sched_weighted_filter x = {
                                .filter = sched_filter_get(c, /* selector= */ NULL, one,
                                                /* tolerations= */ NULL, /* keys= */ NULL),
                                .weight = json_int_or(p, "weight", 0)};

                sched_append(&s->preferred, x);
        }
}

static struct sched_shape *shape_new(
                struct sched_cluster *c, const json_t *pod, bool pending, char *signature) {
        struct sched_shape *s = sched_alloc(1, sizeof(*s));
        struct sched_resources requests = {0};

        *s = (struct sched_shape){.signature = signature, .refs = 1};
        pod_requests(c, pod, &requests);
        for (unsigned k = 0; k < RESOURCES_MAX; k++)
                if (requests.v[k] > 0)
                        sched_append(&s->requests, ((struct sched_amount){k, requests.v[k]}));
        s->wants_unknown = requests.unknown;
        score_figures(s, pod);
        read_containers(c, s, pod);
        read_affinity(c, s, pod);
        sched_tolerations_parse(json_at(pod, "spec.tolerations"), &s->tolerations);
        s->tolerates_unschedulable = sched_tolerates(&s->tolerations,
                        "node.kubernetes.io/unschedulable", "", EFFECT_NO_SCHEDULE);
        s->tolerates_not_ready = sched_tolerates(
                        &s->tolerations, "node.kubernetes.io/not-ready", "", EFFECT_NO_SCHEDULE);
        s->node_name = sched_strdup(pending ? json_str_or(pod, "spec.nodeName", "") : "");
        return s;
}

struct sched_shape *sched_shape_get(struct sched_cluster *c, const json_t *pod, bool pending) {
        char *signature = shape_signature(pod, pending);
        struct sched_shape *s = map_get(c->shapes, signature);

        if (s) {
                free(signature);
                if (s->refs++ == 0) {
                        TAILQ_REMOVE(&c->unused_shapes, s, unused);
                        c->unused_shape_count--;
                }
                return s;
        }
        s = shape_new(c, pod, pending, signature);
        assert(map_set(c->shapes, signature, s) >= 0);
        return s;
}

void sched_shape_free(struct sched_cluster *c, struct sched_shape *s) {
        map_steal(c->shapes, s->signature);
        for (size_t i = 0; i < SCHED_PROFILES_MAX; i++)
                sched_scan_free(s->scans[i]);
        for (size_t i = 0; i < s->ports.count; i++) {
                free(s->ports.items[i].protocol);
                free(s->ports.items[i].ip);
        }
        for (size_t i = 0; i < s->preferred.count; i++)
                sched_filter_put(c, s->preferred.items[i].filter);
        sched_filter_put(c, s->required);
        sched_images_done(c, &s->images);
        sched_tolerations_done(&s->tolerations);
        vector_done(&s->ports);
        vector_done(&s->preferred);
        vector_done(&s->requests);
        free(s->node_name);
        free(s->signature);
        free(s);
}

/* Without pods a shape stays for a while: the next pod of its template comes soon. */
void sched_shape_put(struct sched_cluster *c, struct sched_shape *s) {
        if (--s->refs > 0)
                return;
        TAILQ_INSERT_TAIL(&c->unused_shapes, s, unused);
        if (++c->unused_shape_count <= UNUSED_SHAPES_MAX)
                return;
        s = TAILQ_FIRST(&c->unused_shapes);
        TAILQ_REMOVE(&c->unused_shapes, s, unused);
        c->unused_shape_count--;
        sched_shape_free(c, s);
}

/* --- classes --- */

struct sched_class *sched_class_get(struct sched_cluster *c, const json_t *pod) {
        const json_t *labels = json_at(pod, "metadata.labels");
        const char *owner = json_str_or(object_controller_ref(pod), "uid", "");
        _cleanup_buf_ struct buf b = {0};
        struct sched_class *class;

        assert(buf_printf(&b, "%s\n%s\n", object_namespace(pod), owner) >= 0);
        append_json(&b, labels);
        class = map_get(c->classes, b.data);
        if (class) {
                class->refs++;
                return class;
        }
        class = sched_alloc(1, sizeof(*class));
        *class = (struct sched_class){.signature = buf_take(&b),
                        .refs = 1,
                        .ns = sched_strdup(object_namespace(pod)),
                        .owner = sched_strdup(owner),
                        .labels = json_ref(labels)};
        assert(class->signature && map_set(c->classes, class->signature, class) >= 0);
        sched_class_enter(c, class);
        return class;
}

void sched_class_put(struct sched_cluster *c, struct sched_class *class) {
        if (--class->refs > 0)
                return;
        assert(LIST_EMPTY(&class->pods));
        sched_class_leave(class);
        map_steal(c->classes, class->signature);
        json_decref(class->labels);
        free(class->signature);
        free(class->owner);
        free(class->ns);
        free(class);
}
