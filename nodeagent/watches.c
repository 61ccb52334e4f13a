/* Four informers. An incomplete list never removes anything: pods, services and slices that the
 * disk remembers stay until the first full list is in. */
#include "nodeagent/watches.h"

#include "lib/client/informer.h"
#include "lib/log.h"
#include "lib/object.h"
#include "nodeagent/network/node-address.h"
#include "nodeagent/network/policy.h"
#include "nodeagent/network/services-keeper.h"
#include "nodeagent/node.h"
#include "nodeagent/pod/pods.h"

#define UID_INDEX "uid"
#define ZONE_LABEL "topology.kubernetes.io/zone"
enum { ROUTES_DELAY_US = 100000 };

struct watches {
        struct agent *agent;
        struct informer *pods, *services, *slices, *nodes;
        char *pod_selector;
        sd_event_source *routes;
        bool table_synced;
};

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

                policies_pod_changed(s->agent->policies, object);
                if (r < 0)
                        object_log(LOG_WARNING, r, object, "Pod",
                                        "Cannot start pod %s/%s", object_namespace(object),
                                        object_name(object));
        }
}

static const char *uid_of(const json_t *pod, char *buffer, size_t n) {
        return object_uid(pod);
}

static void note_found(const json_t *pod, void *userdata) {
        bool *found = userdata;

        *found = true;
}

static bool pod_is_known(const char *uid, void *userdata) {
        const struct watches *s = userdata;
        bool found = false;

        informer_by_index(s->pods, UID_INDEX, uid, note_found, &found);
        return found;
}

static void on_pods_synced(struct informer *i, void *userdata) {
        struct watches *s = userdata;

        pods_synced(s->agent->pods, pod_is_known, s);
}

static void keep(struct watches *s, bool slice, const json_t *object) {
        _cleanup_free_ char *key = object_key(object);

        if (key)
                services_keeper_note(s->agent->services, slice, key);
}

static void on_service(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct watches *s = userdata;

        if (nft_service(s->agent->nft, object, event == INFORMER_DELETED) != 0)
                keep(s, /* slice= */ false, object);
}

static void on_slice(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct watches *s = userdata;

        if (nft_slice(s->agent->nft, object, event == INFORMER_DELETED) != 0)
                keep(s, /* slice= */ true, object);
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
        services_keeper_replace(s->agent->services);
        nft_keep_only(s->agent->nft, table_is_known, s);
        if (!nft_is_loaded(s->agent->nft))
                nft_reload(s->agent->nft);
}

/* Its InternalIPs as text (node-address.h); NULL: it has none. Caller frees. */
static char *internal_ips(const json_t *node) {
        struct node_addresses all = {0};
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(node, "status.addresses"), i, v) {
                struct address a = address_parse(json_str_or(v, "address", ""));

                if (a.size > 0 && streq(json_str_or(v, "type", ""), "InternalIP") &&
                                !*all.text[address_family(&a)])
                        address_text(&a, all.text[address_family(&a)]);
        }
        return *all.text[FAMILY_IPV4] || *all.text[FAMILY_IPV6] ? node_addresses_text(&all) : NULL;
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

/* "10.98.0.11:6443" out of "https://10.98.0.11:6443", "[fd00::11]:6443" likewise; NULL when it is a
 * name. Caller frees. */
static char *api_address(struct agent *a) {
        const char *host = strempty(api_client_server(a->api)), *rest = strstr(host, "://");
        size_t n;

        host = rest ? rest + 3 : host;
        n = *host == '[' ? strcspn(host, "/") : strspn(host, "0123456789.:");
        if (n < 6 || (*host == '[' && !memmem(host, n, "]:", 2)) || (host[n] && host[n] != '/') || !memchr(host, ':', n))
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
        if (*s->agent->node_ip6)
                (void)map_set(addresses, s->agent->node_ip6, s);
        informer_foreach(s->nodes, e) {
                json_array_foreach (json_at(informer_object(e), "status.addresses"), i, v) {
                        const char *address = json_str_or(v, "address", "");
                        if (endswith(json_str_or(v, "type", ""), "IP") && *address)
                                (void)map_set(addresses, address, s);
                }
        }
        nft_reserve(s->agent->nft, addresses, api);
}

static void add_route(struct map *routes, const char *cidr, const char *addresses) {
        char *copy = isempty(cidr) ? NULL : strdup(addresses);

        if (copy && map_set(routes, cidr, copy) < 0)
                free(copy);
}

/* Whether a node's addresses (node-address.h) begin with this node's. */
static bool is_own(const struct agent *a, const char *addresses) {
        const struct node_addresses all = node_addresses_read(addresses);

        return streq(all.text[agent_is_ipv6_only(a) ? FAMILY_IPV6 : FAMILY_IPV4], a->node_ip);
}

/* The routes to a node's pods: one for each family. */
static void add_routes(struct watches *s, const json_t *node, struct map *routes) {
        _cleanup_free_ char *addresses = internal_ips(node);
        const json_t *list = json_at(node, "spec.podCIDRs"), *v;
        size_t i;

        if (!addresses || streq(object_name(node), s->agent->config.node_name) ||
                        is_own(s->agent, addresses))
                return;
        if (json_array_size(list) == 0)
                add_route(routes, json_str(node, "spec.podCIDR"), addresses);
        json_array_foreach (list, i, v) {
                const char *cidr = strempty(json_string_value(v));

                if (!strchr(cidr, ':') || cidrs_of(&s->agent->cluster_ranges, FAMILY_IPV6))
                        add_route(routes, cidr, addresses);
        }
}

static int on_routes(sd_event_source *source, uint64_t usec, void *userdata) {
        struct watches *s = userdata;
        _cleanup_(map_freep) struct map *routes = map_new(free);
        unsigned mtu;

        s->routes = sd_event_source_disable_unref(s->routes);
        reserve_addresses(s);
        if (!routes || !s->agent->network)
                return 0;
        informer_foreach(s->nodes, e) add_routes(s, informer_object(e), routes);
        mtu = network_pod_mtu(s->agent->network);
        (void)network_set_routes(s->agent->network, routes);
        policies_nodes(s->agent->policies, routes);
        if (network_pod_mtu(s->agent->network) != mtu)
                pods_mend_network(s->agent->pods);
        save_routes(s, routes);
        return 0;
}

static bool routes_differ(const json_t *old, const json_t *object) {
        return !old ||
               !streq_ptr(json_str(old, "spec.podCIDR"), json_str(object, "spec.podCIDR")) ||
               !json_same(json_at(old, "spec.podCIDRs"), json_at(object, "spec.podCIDRs")) ||
               (json_at(object, "status.addresses") &&
                               !json_equal(json_at(old, "status.addresses"),
                                               json_at(object, "status.addresses")));
}

/* This node's own object; NULL: deleted. */
static void own_node(struct watches *s, const json_t *node) {
        node_observed(s->agent->node, node);
        if (node)
                nft_set_zone(s->agent->nft, strempty(object_label(node, ZONE_LABEL)));
}

static void on_node(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct watches *s = userdata;

        if (streq(object_name(object), s->agent->config.node_name) && informer_is_synced(i))
                own_node(s, event == INFORMER_DELETED ? NULL : object);
        /* The heartbeats of a large fleet must not cost a dump of the routes each. */
        if (informer_is_synced(i) && !s->routes &&
                        (event == INFORMER_DELETED || routes_differ(old, object)))
                (void)sd_event_add_time_relative(s->agent->event, &s->routes, CLOCK_MONOTONIC,
                                ROUTES_DELAY_US, 0, on_routes, s);
}

static void on_nodes_synced(struct informer *i, void *userdata) {
        struct watches *s = userdata;

        own_node(s, informer_get(i, s->agent->config.node_name));
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
        return informer_add_index(s->pods, UID_INDEX, uid_of);
}

int watches_new(struct watches **ret, struct agent *a) {
        _cleanup_(watches_freep) struct watches *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->agent = a;
        s->pod_selector = strformat("spec.nodeName=%s", a->config.node_name);
        if (!s->pod_selector)
                return -ENOMEM;
        r = start_informers(s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

struct watches *watches_free(struct watches *s) {
        if (!s)
                return NULL;
        informer_free(s->pods);
        informer_free(s->services);
        informer_free(s->slices);
        informer_free(s->nodes);
        sd_event_source_disable_unref(s->routes);
        free(s->pod_selector);
        free(s);
        return NULL;
}
