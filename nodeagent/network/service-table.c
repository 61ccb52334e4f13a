/* Invariants: by_service holds exactly the slices of `slices`, each under the service that its
 * label names; by_namespace the services of `services`; pods counts the endpoints of all slices. */
#include "nodeagent/network/service-table.h"

#include "lib/object.h"

struct pod_count {
        int mentions, ready;
};

struct observer {
        service_touched_func touched;
        void *userdata;
};

struct service_table {
        struct map *services;     /* "ns/name" -> struct service_view */
        struct map *slices;       /* "ns/name" -> struct slice_view */
        struct map *by_service;   /* "ns/service" -> struct slice_list */
        struct map *by_namespace; /* ns -> {name: service} */
        struct map *pods;         /* uid -> struct pod_count */
        VECTOR(struct observer) observers;
        uint64_t steps;
};

static void free_json(void *v) {
        json_decref(v);
}

static void free_service(void *v) {
        service_view_free(v);
}

static void free_slice(void *v) {
        slice_view_free(v);
}

static void free_list(void *v) {
        struct slice_list *l = v;

        vector_done(l);
        free(l);
}

struct service_table *service_table_new(void) {
        struct service_table *t = calloc(1, sizeof(*t));

        if (!t)
                return NULL;
        t->services = map_new(free_service);
        t->slices = map_new(free_slice);
        t->by_service = map_new(free_list);
        t->by_namespace = map_new(free_json);
        t->pods = map_new(free);
        if (!t->services || !t->slices || !t->by_service || !t->by_namespace || !t->pods)
                return service_table_free(t);
        return t;
}

struct service_table *service_table_free(struct service_table *t) {
        if (!t)
                return NULL;
        map_free(t->services);
        map_free(t->slices);
        map_free(t->by_service);
        map_free(t->by_namespace);
        map_free(t->pods);
        vector_done(&t->observers);
        free(t);
        return NULL;
}

int service_table_observe(struct service_table *t, service_touched_func touched, void *userdata) {
        return vector_append(&t->observers, ((struct observer){touched, userdata}));
}

void service_table_unobserve(
                struct service_table *t, service_touched_func touched, void *userdata) {
        for (size_t i = t->observers.count; i-- > 0;)
                if (t->observers.items[i].touched == touched &&
                                t->observers.items[i].userdata == userdata)
                        vector_remove(&t->observers, i);
}

static void touch(struct service_table *t, const char *service) {
        for (size_t i = 0; service && i < t->observers.count; i++)
                t->observers.items[i].touched(service, t->observers.items[i].userdata);
}

static bool is_same_version(const json_t *old, const json_t *object) {
        uint64_t version = object_resource_version(object);

        return version != 0 && version == object_resource_version(old) &&
               streq(object_uid(old), object_uid(object));
}

static int count_endpoint(struct service_table *t, const struct slice_endpoint *e, int sign) {
        struct pod_count *v = map_get(t->pods, e->pod_uid);

        if (!v) {
                v = calloc(1, sizeof(*v));
                if (!v || map_set(t->pods, e->pod_uid, v) < 0) {
                        free(v);
                        return -ENOMEM;
                }
        }
        v->mentions += sign;
        if (e->ready)
                v->ready += sign;
        if (v->mentions <= 0)
                (void)map_remove(t->pods, e->pod_uid);
        return 0;
}

static int count_endpoints(struct service_table *t, const struct slice_view *slice, int sign) {
        for (size_t i = 0; i < slice->endpoints.count; i++) {
                int r;

                t->steps++;
                if (!*slice->endpoints.items[i].pod_uid)
                        continue;
                r = count_endpoint(t, &slice->endpoints.items[i], sign);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Removes a slice from its service's list. */
static void unindex(struct service_table *t, const struct slice_view *slice) {
        struct slice_list *list = slice->service ? map_get(t->by_service, slice->service) : NULL;

        (void)count_endpoints(t, slice, -1);
        for (size_t i = list ? list->count : 0; i-- > 0;) {
                t->steps++;
                if (list->items[i] == slice) {
                        vector_remove(list, i);
                        break;
                }
        }
        if (list && list->count == 0)
                (void)map_remove(t->by_service, slice->service);
}

static struct slice_list *list_of(struct service_table *t, const char *service) {
        struct slice_list *list = map_get(t->by_service, service);

        if (list)
                return list;
        list = calloc(1, sizeof(*list));
        if (!list || map_set(t->by_service, service, list) < 0) {
                free(list);
                return NULL;
        }
        return list;
}

static int index_slice(struct service_table *t, struct slice_view *slice) {
        struct slice_list *list;
        int r = count_endpoints(t, slice, 1);

        if (r < 0 || !slice->service)
                return r;
        list = list_of(t, slice->service);
        if (!list)
                return -ENOMEM;
        t->steps++;
        return vector_append(list, slice);
}

/* The previous view leaves the index before map_set() frees it. */
static int put_slice(struct service_table *t, const char *key, const json_t *object) {
        struct slice_view *slice = slice_view_new(object), *old = map_steal(t->slices, key);
        _cleanup_free_ char *before = old && old->service ? strdup(old->service) : NULL;
        int r = slice ? map_set(t->slices, key, slice) : -ENOMEM;

        if (old)
                unindex(t, old);
        slice_view_free(old);
        if (r < 0) {
                slice_view_free(slice);
                touch(t, before);
                return r;
        }
        r = index_slice(t, slice);
        if (before && !streq_ptr(before, slice->service))
                touch(t, before);
        touch(t, slice->service);
        return r < 0 ? r : 1;
}

int service_table_set_slice(struct service_table *t, const json_t *object) {
        _cleanup_free_ char *key = object_key(object);
        const struct slice_view *old = key ? map_get(t->slices, key) : NULL;

        if (!key)
                return -ENOMEM;
        if (old && is_same_version(old->object, object))
                return 0;
        return put_slice(t, key, object);
}

int service_table_drop_slice(struct service_table *t, const char *key) {
        _cleanup_(slice_view_freep) struct slice_view *old = map_steal(t->slices, key);

        if (!old)
                return 0;
        unindex(t, old);
        touch(t, old->service);
        return 1;
}

static json_t *namespace_of(struct service_table *t, const char *ns) {
        json_t *services = map_get(t->by_namespace, ns);

        if (services)
                return services;
        services = json_object();
        if (!services || map_set(t->by_namespace, ns, services) < 0) {
                json_decref(services);
                return NULL;
        }
        return services;
}

int service_table_set_service(struct service_table *t, const json_t *object) {
        _cleanup_(service_view_freep) struct service_view *view = NULL;
        _cleanup_free_ char *key = object_key(object);
        const struct service_view *old = key ? map_get(t->services, key) : NULL;
        json_t *of_namespace;

        if (!key)
                return -ENOMEM;
        if (old && is_same_version(old->object, object))
                return 0;
        view = service_view_new(object);
        of_namespace = namespace_of(t, object_namespace(object));
        if (!view || !of_namespace || json_object_set(of_namespace, view->name, view->object) < 0 ||
                        map_set(t->services, key, view) < 0)
                return -ENOMEM;
        TAKE_PTR(view);
        touch(t, key);
        return 1;
}

int service_table_drop_service(struct service_table *t, const char *key) {
        _cleanup_(service_view_freep) struct service_view *old = map_steal(t->services, key);
        json_t *of_namespace;

        if (!old)
                return 0;
        of_namespace = map_get(t->by_namespace, old->ns);
        (void)json_object_del(of_namespace, old->name);
        if (of_namespace && json_object_size(of_namespace) == 0)
                (void)map_remove(t->by_namespace, old->ns);
        touch(t, key);
        return 1;
}

const struct service_view *service_table_service(const struct service_table *t, const char *key) {
        return map_get(t->services, key);
}

const struct slice_view *service_table_slice(const struct service_table *t, const char *key) {
        return map_get(t->slices, key);
}

const struct slice_list *service_table_slices(struct service_table *t, const char *key) {
        const struct slice_list *list = map_get(t->by_service, key);

        t->steps += (list ? list->count : 0) + 1;
        return list;
}

const json_t *service_table_namespace(const struct service_table *t, const char *ns) {
        return map_get(t->by_namespace, ns);
}

bool service_table_is_ready(const struct service_table *t, const char *pod_uid) {
        const struct pod_count *v = map_get(t->pods, pod_uid);
        return v && v->ready > 0;
}

const struct map *service_table_services(const struct service_table *t) {
        return t->services;
}

const struct map *service_table_all_slices(const struct service_table *t) {
        return t->slices;
}

uint64_t service_table_steps(const struct service_table *t) {
        return t->steps;
}
