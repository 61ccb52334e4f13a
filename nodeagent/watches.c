/* Four informers. An incomplete list never removes anything: pods, services and slices that the
 * disk remembers stay until the first full list is in. */
#include "nodeagent/watches.h"

#include "lib/client/informer.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/worker.h"
#include "nodeagent/node.h"
#include "nodeagent/pod/pods.h"
#include "nodeagent/network/services-disk.h"

enum { SAVE_DELAY_US = 1000000, ROUTES_DELAY_US = 100000 };

struct save;

struct watches {
        struct agent *agent;
        struct informer *pods, *services, *slices, *nodes;
        char *pod_selector;
        sd_event_source *save, *routes;
        struct worker *worker; /* writes the services to disk */
        char *services_path;
        struct save *saving;
        bool save_again;
        bool table_synced;
};

/* The arguments of a save on the thread. */
struct save {
        struct watches *watches;
        json_t *objects;
};

static void save_later(struct watches *s);

static int save_run(void *userdata) {
        const struct save *v = userdata;
        return services_disk_save(v->watches->services_path, v->objects);
}

static struct save *save_free(struct save *v) {
        if (v)
                json_decref(v->objects);
        free(v);
        return NULL;
}

static void save_done(int result, void *userdata) {
        struct save *v = userdata;
        struct watches *s = v->watches;

        s->saving = save_free(v);
        if (result < 0)
                log_warning_errno(result, "Cannot keep the services on disk");
        if (s->save_again)
                save_later(s);
}

static int on_save(sd_event_source *source, uint64_t usec, void *userdata) {
        struct watches *s = userdata;
        struct save *v = calloc(1, sizeof(*v));
        int r = v ? 0 : -ENOMEM;

        s->save = sd_event_source_disable_unref(s->save);
        s->save_again = false;
        if (v) {
                v->watches = s;
                v->objects = nft_objects(s->agent->nft);
                r = worker_submit(s->worker, save_run, save_done, v);
        }
        if (r < 0) {
                save_free(v);
                log_warning_errno(r, "Cannot keep the services on disk");
        } else
                s->saving = v;
        return 0;
}

static void save_later(struct watches *s) {
        if (s->saving)
                s->save_again = true;
        else if (!s->save)
                (void)sd_event_add_time_relative(s->agent->event, &s->save, CLOCK_MONOTONIC,
                                SAVE_DELAY_US, 0, on_save, s);
}

static char *services_path(const struct agent *a) {
        return strformat("%s/services.jsonl", a->config.data_dir);
}

static void on_stored(const json_t *object, void *userdata) {
        struct agent *a = userdata;

        if (json_at(object, "addressType"))
                (void)nft_slice(a->nft, object, false);
        else
                (void)nft_service(a->nft, object, false);
}

void watches_load_services(struct agent *a) {
        _cleanup_free_ char *path = services_path(a);
        int r = path ? services_disk_load(path, on_stored, a) : -ENOMEM;

        if (r < 0 && r != -ENOENT)
                log_warning_errno(r, "Cannot read the services kept in %s", strempty(path));
}

static void on_pod(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct watches *s = userdata;

        /* Deleted and created again under the same name while the watch was disconnected. */
        if (old && !streq(object_uid(old), object_uid(object)))
                pods_gone(s->agent->pods, object_uid(old));
        if (event == INFORMER_DELETED)
                pods_gone(s->agent->pods, object_uid(object));
        else {
                int r = pods_apply(s->agent->pods, object, 0);
                if (r < 0)
                        log_warning_errno(r, "Cannot start pod %s/%s", object_namespace(object),
                                        object_name(object));
        }
}

static bool pod_is_known(const char *uid, void *userdata) {
        struct watches *s = userdata;

        informer_foreach(s->pods, e) {
                if (streq(object_uid(informer_object(e)), uid))
                        return true;
        }
        return false;
}

static void on_pods_synced(struct informer *i, void *userdata) {
        struct watches *s = userdata;

        pods_synced(s->agent->pods, pod_is_known, s);
}

static void on_service(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct watches *s = userdata;

        if (nft_service(s->agent->nft, object, event == INFORMER_DELETED) != 0)
                save_later(s);
}

static void on_slice(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct watches *s = userdata;

        if (nft_slice(s->agent->nft, object, event == INFORMER_DELETED) != 0)
                save_later(s);
}

static bool table_is_known(enum kind_id kind, const char *key, void *userdata) {
        struct watches *s = userdata;

        return informer_get(kind == KIND_SERVICES ? s->services : s->slices, key) != NULL;
}

static void on_table_synced(struct informer *i, void *userdata) {
        struct watches *s = userdata;

        if (s->table_synced || !informer_is_synced(s->services) || !informer_is_synced(s->slices))
                return;
        s->table_synced = true;
        nft_keep_only(s->agent->nft, table_is_known, s);
        if (!nft_is_loaded(s->agent->nft))
                nft_reload(s->agent->nft);
        save_later(s);
}

static const char *internal_ip(const json_t *node) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(node, "status.addresses"), i, v)
                if (streq(json_str_or(v, "type", ""), "InternalIP"))
                        return json_str(v, "address");
        return NULL;
}

static void save_routes(struct watches *s, const struct map *routes) {
        _cleanup_json_ json_t *v = json_object();
        int r;

        map_foreach (routes, e)
                json_object_set_new(v, map_entry_key(e), json_string(map_entry_value(e)));
        r = statedir_save(s->agent->statedir, "routes", v);
        if (r < 0)
                log_warning_errno(r, "Cannot keep the routes to the other nodes' pods on disk");
}

void watches_load_routes(struct agent *a) {
        _cleanup_json_ json_t *v = NULL;
        _cleanup_(map_freep) struct map *routes = map_new(free);
        const char *cidr;
        json_t *gateway;

        if (!routes || statedir_load(a->statedir, "routes", &v) < 0)
                return;
        json_object_foreach (v, cidr, gateway) {
                if (json_is_string(gateway))
                        (void)map_set(routes, cidr, strdup(json_string_value(gateway)));
        }
        (void)network_set_routes(a->network, routes);
}

/* "10.98.0.11:6443" out of "https://10.98.0.11:6443"; NULL when it is a name. Caller frees. */
static char *api_address(struct agent *a) {
        const char *host = strempty(api_client_server(a->api)), *rest = strstr(host, "://");
        size_t n;

        host = rest ? rest + 3 : host;
        n = strspn(host, "0123456789.:");
        if (n < 9 || (host[n] && host[n] != '/') || !memchr(host, ':', n))
                return NULL;
        return strndup(host, n);
}

/* No service may claim the address of a node or of the API. */
static void reserve_addresses(struct watches *s) {
        _cleanup_(map_freep) struct map *addresses = map_new(NULL);
        _cleanup_free_ char *api = api_address(s->agent);
        const json_t *v;
        size_t i;

        if (!addresses)
                return;
        (void)map_set(addresses, s->agent->node_ip, s);
        informer_foreach(s->nodes, e) {
                json_array_foreach (json_at(informer_object(e), "status.addresses"), i, v) {
                        const char *address = json_str_or(v, "address", "");
                        if (endswith(json_str_or(v, "type", ""), "IP") && *address)
                                (void)map_set(addresses, address, s);
                }
        }
        nft_reserve(s->agent->nft, addresses, api);
}

static int on_routes(sd_event_source *source, uint64_t usec, void *userdata) {
        struct watches *s = userdata;
        _cleanup_(map_freep) struct map *routes = map_new(free);

        s->routes = sd_event_source_disable_unref(s->routes);
        reserve_addresses(s);
        if (!routes || !s->agent->network)
                return 0;
        informer_foreach(s->nodes, e) {
                const json_t *node = informer_object(e);
                const char *cidr = json_str(node, "spec.podCIDR"), *ip = internal_ip(node);

                if (cidr && ip && !streq(object_name(node), s->agent->config.node_name) &&
                                !streq(ip, s->agent->node_ip))
                        (void)map_set(routes, cidr, strdup(ip));
        }
        (void)network_set_routes(s->agent->network, routes);
        save_routes(s, routes);
        return 0;
}

static bool routes_differ(const json_t *old, const json_t *object) {
        return !old ||
               !streq_ptr(json_str(old, "spec.podCIDR"), json_str(object, "spec.podCIDR")) ||
               (json_at(object, "status.addresses") &&
                               !json_equal(json_at(old, "status.addresses"),
                                               json_at(object, "status.addresses")));
}

static void on_node(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct watches *s = userdata;

        if (streq(object_name(object), s->agent->config.node_name) && informer_is_synced(i))
                node_observed(s->agent->node, event == INFORMER_DELETED ? NULL : object);
        /* The heartbeats of a large fleet must not cost a dump of the routes each. */
        if (informer_is_synced(i) && !s->routes &&
                        (event == INFORMER_DELETED || routes_differ(old, object)))
                (void)sd_event_add_time_relative(s->agent->event, &s->routes, CLOCK_MONOTONIC,
                                ROUTES_DELAY_US, 0, on_routes, s);
}

static void on_nodes_synced(struct informer *i, void *userdata) {
        struct watches *s = userdata;

        node_observed(s->agent->node, informer_get(i, s->agent->config.node_name));
        if (!s->routes)
                (void)sd_event_add_time_relative(
                                s->agent->event, &s->routes, CLOCK_MONOTONIC, 0, 0, on_routes, s);
}

bool watches_are_synced(const struct watches *s) {
        return informer_is_synced(s->pods) && informer_is_synced(s->services) &&
               informer_is_synced(s->slices) && informer_is_synced(s->nodes);
}

static int start_informers(struct watches *s) {
        const struct {
                struct informer **ret;
                struct informer_options options;
        } rows[] = {
                        {&s->nodes, {.resource = api_resource(KIND_NODES),
                                                    .on_event = on_node,
                                                    .on_synced = on_nodes_synced}},
                        {&s->services, {.resource = api_resource(KIND_SERVICES),
                                                       .on_event = on_service,
                                                       .on_synced = on_table_synced}},
                        {&s->slices, {.resource = api_resource(KIND_ENDPOINTSLICES),
                                                     .on_event = on_slice,
                                                     .on_synced = on_table_synced}},
                        {&s->pods, {.resource = api_resource(KIND_PODS),
                                                   .field_selector = s->pod_selector,
                                                   .on_event = on_pod,
                                                   .on_synced = on_pods_synced}},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                struct informer_options options = rows[i].options;
                int r;

                options.userdata = s;
                r = informer_new(rows[i].ret, s->agent->api, &options);
                if (r < 0)
                        return r;
        }
        return 0;
}

int watches_new(struct watches **ret, struct agent *a) {
        _cleanup_(watches_freep) struct watches *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->agent = a;
        s->pod_selector = strformat("spec.nodeName=%s", a->config.node_name);
        s->services_path = services_path(a);
        if (!s->pod_selector || !s->services_path)
                return -ENOMEM;
        r = worker_new(&s->worker, a->event);
        if (r < 0)
                return r;
        r = start_informers(s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

struct watches *watches_free(struct watches *s) {
        if (!s)
                return NULL;
        worker_free(s->worker);
        save_free(s->saving);
        free(s->services_path);
        informer_free(s->pods);
        informer_free(s->services);
        informer_free(s->slices);
        informer_free(s->nodes);
        sd_event_source_disable_unref(s->save);
        sd_event_source_disable_unref(s->routes);
        free(s->pod_selector);
        free(s);
        return NULL;
}
