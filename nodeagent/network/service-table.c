/* Invariants: by_service holds exactly the slices of `slices`, each under the service that its
 * label names; by_namespace the services of `services`; pods counts the endpoints of all slices. */
#include "nodeagent/network/service-table.h"

#include "lib/object.h"

struct pod_count {
        int mentions, ready;
};

struct service_table {
        struct map *services;     /* "ns/name" -> object */
        struct map *slices;       /* "ns/name" -> object */
        struct map *by_service;   /* "ns/service" -> array of slices */
        struct map *by_namespace; /* ns -> {name: service} */
        struct map *pods;         /* uid -> struct pod_count */
        uint64_t steps;
        service_touched_func touched;
        void *userdata;
};

static void json_free(void *v) {
        json_decref(v);
}

struct service_table *service_table_new(service_touched_func touched, void *userdata) {
        struct service_table *t = calloc(1, sizeof(*t));

        if (!t)
                return NULL;
        t->touched = touched;
        t->userdata = userdata;
        t->services = map_new(json_free);
        t->slices = map_new(json_free);
        t->by_service = map_new(json_free);
        t->by_namespace = map_new(json_free);
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
        free(t);
        return NULL;
}

static void touch(struct service_table *t, const char *service) {
        if (t->touched && service)
                t->touched(service, t->userdata);
}

static bool is_same_version(const json_t *old, const json_t *object) {
        uint64_t version = object_resource_version(object);

        return old && version != 0 && version == object_resource_version(old) &&
               streq(object_uid(old), object_uid(object));
}

/* Caller frees; NULL when the slice belongs to no service. */
static char *service_of(const json_t *slice) {
        const char *name = object_label(slice, "kubernetes.io/service-name");

        return name && *name ? strformat("%s/%s", object_namespace(slice), name) : NULL;
}

static int count_endpoints(struct service_table *t, const json_t *slice, int sign) {
        const json_t *e;
        size_t i;

        json_array_foreach (json_at(slice, "endpoints"), i, e) {
                const char *uid = json_str(e, "targetRef.uid");
                struct pod_count *v = uid ? map_get(t->pods, uid) : NULL;

                t->steps++;
                if (!uid)
                        continue;
                if (!v) {
                        v = calloc(1, sizeof(*v));
                        if (!v || map_set(t->pods, uid, v) < 0) {
                                free(v);
                                return -ENOMEM;
                        }
                }
                v->mentions += sign;
                if (json_bool_or(e, "conditions.ready", true))
                        v->ready += sign;
                if (v->mentions <= 0)
                        (void)map_remove(t->pods, uid);
        }
        return 0;
}

/* Removes a slice from its service's list. */
static void unindex(struct service_table *t, const json_t *slice) {
        _cleanup_free_ char *service = service_of(slice);
        json_t *list = service ? map_get(t->by_service, service) : NULL;

        (void)count_endpoints(t, slice, -1);
        for (size_t i = json_array_size(list); i-- > 0;) {
                t->steps++;
                if (json_array_get(list, i) == slice) {
                        (void)json_array_remove(list, i);
                        break;
                }
        }
        if (list && json_array_size(list) == 0)
                (void)map_remove(t->by_service, service);
}

static int index_slice(struct service_table *t, const json_t *slice) {
        _cleanup_free_ char *service = service_of(slice);
        json_t *list;
        int r = count_endpoints(t, slice, 1);

        if (r < 0 || !service)
                return r;
        list = map_get(t->by_service, service);
        if (!list) {
                list = json_array();
                if (!list || map_set(t->by_service, service, list) < 0) {
                        json_decref(list);
                        return -ENOMEM;
                }
        }
        t->steps++;
        return json_array_append(list, (json_t *)slice) < 0 ? -ENOMEM : 0;
}

static int add_slice(struct service_table *t, const char *key, const json_t *slice) {
        int r = map_set(t->slices, key, json_incref((json_t *)slice));

        if (r < 0)
                return r;
        return index_slice(t, slice);
}

int service_table_set_slice(struct service_table *t, const json_t *slice) {
        _cleanup_free_ char *key = object_key(slice), *service = service_of(slice), *before = NULL;
        const json_t *old = key ? map_get(t->slices, key) : NULL;
        int r;

        if (!key)
                return -ENOMEM;
        if (is_same_version(old, slice))
                return 0;
        if (old) {
                before = service_of(old);
                unindex(t, old);
        }
        r = add_slice(t, key, slice);
        if (before && !streq_ptr(before, service))
                touch(t, before);
        touch(t, service);
        return r < 0 ? r : 1;
}

int service_table_drop_slice(struct service_table *t, const char *key) {
        _cleanup_json_ json_t *old = json_incref(map_get(t->slices, key));
        _cleanup_free_ char *service = NULL;

        if (!old)
                return 0;
        service = service_of(old);
        unindex(t, old);
        (void)map_remove(t->slices, key);
        touch(t, service);
        return 1;
}

int service_table_set_service(struct service_table *t, const json_t *service) {
        _cleanup_free_ char *key = object_key(service);
        json_t *of_namespace = map_get(t->by_namespace, object_namespace(service));

        if (!key)
                return -ENOMEM;
        if (is_same_version(map_get(t->services, key), service))
                return 0;
        if (!of_namespace) {
                of_namespace = json_object();
                if (!of_namespace || map_set(t->by_namespace, object_namespace(service),
                                                     of_namespace) < 0) {
                        json_decref(of_namespace);
                        return -ENOMEM;
                }
        }
        if (map_set(t->services, key, json_incref((json_t *)service)) < 0 ||
                        json_object_set(of_namespace, object_name(service), (json_t *)service) < 0)
                return -ENOMEM;
        touch(t, key);
        return 1;
}

int service_table_drop_service(struct service_table *t, const char *key) {
        _cleanup_json_ json_t *old = json_incref(map_get(t->services, key));
        json_t *of_namespace;

        if (!old)
                return 0;
        of_namespace = map_get(t->by_namespace, object_namespace(old));
        (void)json_object_del(of_namespace, object_name(old));
        if (of_namespace && json_object_size(of_namespace) == 0)
                (void)map_remove(t->by_namespace, object_namespace(old));
        (void)map_remove(t->services, key);
        touch(t, key);
        return 1;
}

const json_t *service_table_service(const struct service_table *t, const char *key) {
        return map_get(t->services, key);
}

const json_t *service_table_slices(struct service_table *t, const char *key) {
        const json_t *list = map_get(t->by_service, key);

        t->steps += json_array_size(list) + 1;
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
