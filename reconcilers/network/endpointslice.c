/* EndpointSlice: for every Service with a selector, the addresses of its pods and their conditions,
 * in slices of their own for each of its families. A pod keeps its place in the slice it is in, so
 * that one change touches one slice; new endpoints fill free places; empty slices are deleted. Pods
 * with different numbers for a named port get separate slices. Conditions as KEP-1672: a
 * terminating pod is not ready, but may still serve. */
#include "lib/address.h"
#include "lib/object.h"
#include "lib/selector.h"
#include "reconcilers/controller.h"
#include "reconcilers/pods.h"
#include "reconcilers/network/slices.h"

#define ZONE_LABEL "topology.kubernetes.io/zone"
enum { ENDPOINTS_PER_SLICE_MAX = 100, GROUPS_MAX = 32 };

static bool selects(const json_t *service, const json_t *pod) {
        const json_t *map = json_at(service, "spec.selector");
        const char *key;
        json_t *v;

        if (json_object_size(map) == 0)
                return false;
        json_object_foreach ((json_t *)map, key, v)
                if (!streq_ptr(object_label(pod, key), json_string_value(v)))
                        return false;
        return true;
}

/* Only services whose selector begins with one of the pod's labels are looked at. */
static void wake_services_of(const struct world *w, const struct wake *out, const json_t *pod) {
        char value[WORLD_LABEL_VALUE_MAX];
        const char *key;
        json_t *v;

        json_object_each (json_at(pod, "metadata.labels"), key, v) {
                _cleanup_objects_ struct objects services = {0};

                world_list(w, WORLD_SERVICES_BY_SELECTOR,
                                world_label_value(object_namespace(pod), key,
                                                strempty(json_string_value(v)), value,
                                                sizeof(value)),
                                &services);
                for (size_t i = 0; i < services.count; i++)
                        if (selects(services.items[i], pod))
                                wake_object(out, services.items[i]);
        }
}

static bool zone_changed(const json_t *old, const json_t *node) {
        return old && !streq_ptr(object_label(old, ZONE_LABEL), object_label(node, ZONE_LABEL));
}

static void endpointslice_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        _cleanup_objects_ struct objects pods = {0};

        switch (kind) {
        case WORLD_SERVICES:
                wake_object(out, object);
                break;
        case WORLD_PODS:
                wake_services_of(w, out, object);
                if (old && !json_equal(json_at(old, "metadata.labels"),
                                           json_at(object, "metadata.labels")))
                        wake_services_of(w, out, old);
                break;
        case WORLD_ENDPOINTSLICES:
                if (slice_is_managed_by(object, SLICE_MANAGED_BY_SERVICES))
                        slices_wake_service(out, object);
                break;
        case WORLD_NODES:
                if (!gone && !node_readiness_changed(old, object) && !zone_changed(old, object))
                        break;
                world_list(w, WORLD_PODS_BY_NODE, object_name(object), &pods);
                for (size_t i = 0; i < pods.count; i++)
                        wake_services_of(w, out, pods.items[i]);
                break;
        default:
                break;
        }
}

/* The number of a named port in a pod's containers; 0 when there is none. */
static int64_t named_port(const json_t *pod, const char *name, const char *protocol) {
        const json_t *c, *port;
        size_t i, k;

        json_array_foreach (json_at(pod, "spec.containers"), i, c)
                json_array_foreach (json_object_get(c, "ports"), k, port)
                        if (streq(json_str_or(port, "name", ""), name) &&
                                        streq(json_str_or(port, "protocol", "TCP"), protocol))
                                return json_int_or(port, "containerPort", 0);
        return 0;
}

/* The ports a pod serves for the service, as an EndpointSlice lists them. */
static json_t *ports_of(const json_t *service, const json_t *pod) {
        json_t *ports = json_array();
        const json_t *p;
        size_t i;

        json_array_foreach (json_at(service, "spec.ports"), i, p) {
                const json_t *target = json_object_get(p, "targetPort");
                const char *protocol = json_str_or(p, "protocol", "TCP");
                const char *app = json_str(p, "appProtocol");
                int64_t number = json_int_or(p, "port", 0);

                if (json_is_integer(target) && json_integer_value(target) > 0)
                        number = json_integer_value(target);
                else if (json_is_string(target) && *json_string_value(target))
                        number = named_port(pod, json_string_value(target), protocol);
                if (number > 0)
                        json_array_append_new(
                                        ports, json_pack("{s:s, s:I, s:s, s:s*}", "name",
                                                               json_str_or(p, "name", ""), "port",
                                                               (json_int_t)number, "protocol",
                                                               protocol, "appProtocol", app));
        }
        return ports;
}

/* For whom a ready endpoint is, by spec.trafficDistribution (KEP-3015). NULL: for all. */
static json_t *hints_of(const json_t *service, const char *node, const char *zone) {
        const char *wish = json_str_or(service, "spec.trafficDistribution", "");
        bool same_node = streq(wish, "PreferSameNode");
        json_t *hints;

        if (!same_node && !streq(wish, "PreferClose") && !streq(wish, "PreferSameZone"))
                return NULL;
        hints = json_object();
        if (same_node)
                json_object_set_new(hints, "forNodes", json_pack("[{s:s}]", "name", node));
        if (zone)
                json_object_set_new(hints, "forZones", json_pack("[{s:s}]", "name", zone));
        if (json_object_size(hints) > 0)
                return hints;
        json_decref(hints);
        return NULL;
}

/* The pod's address of a family ("IPv4"); NULL: it has none. */
static const char *address_of(const json_t *pod, const char *family) {
        const json_t *v;
        size_t i;

        for (i = 0; i <= json_array_size(json_at(pod, "status.podIPs")); i++) {
                v = json_array_get(json_at(pod, "status.podIPs"), i);
                const char *text =
                                v ? json_str_or(v, "ip", "") : json_str_or(pod, "status.podIP", "");
                struct address a = address_parse(text);

                if (a.size > 0 && streq(family_name(address_family(&a)), family))
                        return text;
        }
        return NULL;
}

static json_t *endpoint_of(const struct world *w, const json_t *service, const json_t *pod,
                const char *address) {
        const char *node = json_str(pod, "spec.nodeName"),
                   *hostname = json_str(pod, "spec.hostname"),
                   *zone = object_label(world_get(w, WORLD_NODES, NULL, node), ZONE_LABEL);
        bool terminating = object_is_deleting(pod), serving = pod_is_ready(w, pod),
             ready = json_bool_or(service, "spec.publishNotReadyAddresses", false) ||
                     (serving && !terminating);
        json_t *hints = ready ? hints_of(service, node, zone) : NULL;

        if (!streq_ptr(json_str(pod, "spec.subdomain"), object_name(service)))
                hostname = NULL;
        return json_pack("{s:[s], s:{s:b, s:b, s:b}, s:s*, s:s*, s:s*, s:o*, s:{s:s, s:s, s:s, "
                         "s:s}}",
                        "addresses", address, "conditions", "ready", ready, "serving", serving,
                        "terminating", terminating, "hostname", hostname, "nodeName", node, "zone",
                        zone, "hints", hints, "targetRef", "kind", "Pod", "namespace",
                        object_namespace(pod), "name", object_name(pod), "uid", object_uid(pod));
}

/* Endpoints of one family with the same ports, and the slices that carry them. */
struct port_group {
        const char *family;
        json_t *ports;
        json_t *endpoints; /* uid of the pod -> endpoint, those not placed yet */
        struct objects slices;
};

struct groups {
        struct port_group items[GROUPS_MAX];
        size_t count;
};

static void groups_done(struct groups *g) {
        for (size_t i = 0; i < g->count; i++) {
                json_decref(g->items[i].ports);
                json_decref(g->items[i].endpoints);
                objects_done(&g->items[i].slices);
        }
}

static struct port_group *group_find(struct groups *g, const char *family, const json_t *ports) {
        for (size_t i = 0; i < g->count; i++)
                if (streq(g->items[i].family, family) && json_equal(g->items[i].ports, ports))
                        return &g->items[i];
        return NULL;
}

/* Takes ports. NULL when there are too many different ones. */
static struct port_group *group_for(struct groups *g, const char *family, json_t *ports) {
        _cleanup_json_ json_t *owned = ports;
        struct port_group *found = group_find(g, family, ports);

        if (found || g->count == GROUPS_MAX)
                return found;
        g->items[g->count] = (struct port_group){
                        .family = family, .ports = TAKE_PTR(owned), .endpoints = json_object()};
        return &g->items[g->count++];
}

/* The service's families: those of its spec; of one that was stored without any, its address's. */
struct families {
        const char *items[FAMILIES];
        size_t count;
};

static struct families families_of(const json_t *service) {
        const json_t *list = json_at(service, "spec.ipFamilies"), *v;
        struct address a = address_parse(json_str_or(service, "spec.clusterIP", ""));
        struct families f = {.items = {"IPv4"}};
        size_t i;

        json_array_foreach (list, i, v)
                if (f.count < FAMILIES && json_is_string(v))
                        f.items[f.count++] = streq(json_string_value(v), "IPv6") ? "IPv6" : "IPv4";
        if (f.count > 0)
                return f;
        if (a.size > 0)
                f.items[0] = family_name(address_family(&a));
        f.count = 1;
        return f;
}

static void collect_pod(const struct world *w, const json_t *service, const struct families *f,
                const json_t *pod, struct groups *g) {
        for (size_t i = 0; i < f->count; i++) {
                const char *address = address_of(pod, f->items[i]);
                struct port_group *group =
                                address ? group_for(g, f->items[i], ports_of(service, pod)) : NULL;

                if (group)
                        json_object_set_new(group->endpoints, object_uid(pod),
                                        endpoint_of(w, service, pod, address));
        }
}

static void collect_endpoints(const struct world *w, const json_t *service,
                const struct families *f, struct groups *g) {
        const struct world_index_row *by_selector = &world_indexes[WORLD_SERVICES_BY_SELECTOR];
        _cleanup_objects_ struct objects pods = {0};
        char value[WORLD_LABEL_VALUE_MAX];

        world_list(w, WORLD_PODS_BY_LABEL, by_selector->func(service, value, sizeof(value)), &pods);
        for (size_t i = 0; i < pods.count; i++) {
                const json_t *pod = pods.items[i];

                if (selects(service, pod) && !pod_is_finished(pod) &&
                                !isempty(json_str(pod, "spec.nodeName")))
                        collect_pod(w, service, f, pod, g);
        }
}

static json_t *labels_of(const json_t *service) {
        json_t *labels = slices_service_labels(service);

        json_object_set_new(labels, SLICE_SERVICE_LABEL, json_string(object_name(service)));
        json_object_set_new(labels, SLICE_MANAGED_BY_LABEL, json_string(SLICE_MANAGED_BY_SERVICES));
        return labels;
}

static void create_slice(struct actions *a, const json_t *service, const char *family,
                json_t *ports, json_t *endpoints) {
        _cleanup_free_ char *prefix = strformat("%s-", object_name(service));

        assert(prefix);
        action_create(a, "endpointslices", object_namespace(service),
                        json_pack("{s:s, s:s, s:{s:s, s:s, s:o, s:[o]}, s:s, s:O, s:o}",
                                        "apiVersion", "discovery.k8s.io/v1", "kind",
                                        "EndpointSlice", "metadata", "generateName", prefix,
                                        "namespace", object_namespace(service), "labels",
                                        labels_of(service), "ownerReferences",
                                        controller_ref(service, "v1", "Service"), "addressType",
                                        family, "ports", ports, "endpoints", endpoints));
}

/* The slice's endpoints that remain, updated; they are removed from the group. */
static json_t *keep_endpoints(struct port_group *group, const json_t *slice) {
        json_t *kept = json_array(), *e;
        size_t i;

        json_array_foreach (json_object_get(slice, "endpoints"), i, e) {
                const char *uid = json_str_or(e, "targetRef.uid", "");
                json_t *now = json_object_get(group->endpoints, uid);

                if (!now || json_array_size(kept) >= ENDPOINTS_PER_SLICE_MAX)
                        continue;
                json_array_append(kept, now);
                json_object_del(group->endpoints, uid);
        }
        return kept;
}

/* Moves unplaced endpoints into the array until it is full. */
static void fill(struct port_group *group, json_t *endpoints) {
        const char *uid;
        json_t *e;
        void *tmp;

        json_object_foreach_safe(group->endpoints, tmp, uid, e) {
                if (json_array_size(endpoints) >= ENDPOINTS_PER_SLICE_MAX)
                        return;
                json_array_append(endpoints, e);
                json_object_del(group->endpoints, uid);
        }
}

static void update_slice(
                struct actions *a, const json_t *service, const json_t *slice, json_t *endpoints) {
        _cleanup_json_ json_t *labels = labels_of(service);

        if (json_equal(json_object_get(slice, "endpoints"), endpoints) &&
                        json_equal(json_at(slice, "metadata.labels"), labels)) {
                json_decref(endpoints);
                return;
        }
        action_patch(a, "endpointslices", slice, NULL,
                        json_pack("{s:{s:O}, s:o}", "metadata", "labels", labels, "endpoints",
                                        endpoints));
}

static void place_group(struct actions *a, const json_t *service, struct port_group *group,
                struct objects *unused) {
        json_t **kept = calloc(group->slices.count + 1, sizeof(*kept));

        assert(kept);
        for (size_t i = 0; i < group->slices.count; i++)
                kept[i] = keep_endpoints(group, group->slices.items[i]);
        for (size_t i = 0; i < group->slices.count; i++) {
                fill(group, kept[i]);
                if (json_array_size(kept[i]) > 0)
                        update_slice(a, service, group->slices.items[i], kept[i]);
                else {
                        json_decref(kept[i]);
                        objects_add(unused, group->slices.items[i]);
                }
        }
        free(kept);
        while (json_object_size(group->endpoints) > 0) {
                json_t *endpoints = json_array();

                fill(group, endpoints);
                create_slice(a, service, group->family, group->ports, endpoints);
        }
}

static bool is_ours(const json_t *slice, const json_t *service) {
        const json_t *ref = object_controller_ref(slice);

        return !object_is_deleting(slice) &&
               slice_is_managed_by(slice, SLICE_MANAGED_BY_SERVICES) &&
               (!service || !ref || streq(json_str_or(ref, "uid", ""), object_uid(service)));
}

static bool is_of_family(const json_t *slice, const char *family) {
        return streq(json_str_or(slice, "addressType", ""), family);
}

/* A service without pods keeps one empty slice of each family: clients see "none" rather than
 * "unknown". */
static void keep_empty(struct actions *a, const json_t *service, const char *family,
                struct objects *unused) {
        _cleanup_json_ json_t *none = json_array();

        for (size_t i = 0; i < unused->count; i++) {
                if (!is_of_family(unused->items[i], family))
                        continue;
                update_slice(a, service, unused->items[i], json_array());
                unused->items[i] = unused->items[--unused->count];
                return;
        }
        create_slice(a, service, family, none, json_array());
}

/* The groups' slices are changed; those of no group, or without endpoints now, become unused. */
static void place(const struct world *w, const char *name, const json_t *service,
                struct groups *groups, struct actions *a, struct objects *unused) {
        _cleanup_objects_ struct objects slices = {0};

        world_list(w, WORLD_SLICES_BY_SERVICE, name, &slices);
        for (size_t i = 0; i < slices.count; i++) {
                const json_t *slice = slices.items[i];
                struct port_group *group;

                if (!is_ours(slice, service))
                        continue;
                group = group_find(groups, json_str_or(slice, "addressType", ""),
                                json_object_get(slice, "ports"));
                objects_add(group ? &group->slices : unused, slice);
        }
        for (size_t i = 0; i < groups->count; i++)
                place_group(a, service, &groups->items[i], unused);
}

static void endpointslice_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *service = world_get_key(w, WORLD_SERVICES, name);
        _cleanup_objects_ struct objects unused = {0};
        _cleanup_(groups_done) struct groups groups = {0};
        struct families families = {0};
        bool has[FAMILIES] = {0};

        if (service && !object_is_deleting(service) && service_has_selector(service)) {
                families = families_of(service);
                collect_endpoints(w, service, &families, &groups);
        } else
                service = NULL;
        for (size_t i = 0; i < groups.count; i++)
                for (size_t k = 0; k < families.count; k++)
                        has[k] |= streq(groups.items[i].family, families.items[k]);
        place(w, name, service, &groups, a, &unused);
        for (size_t k = 0; k < families.count; k++)
                if (!has[k])
                        keep_empty(a, service, families.items[k], &unused);
        for (size_t i = 0; i < unused.count; i++)
                action_delete(a, "endpointslices", unused.items[i], -1, NULL);
}

const struct controller endpointslice_controller = {
                .name = "endpointslice",
                .primary = WORLD_SERVICES,
                .kinds = WORLD_BIT(WORLD_SERVICES) | WORLD_BIT(WORLD_PODS) |
                         WORLD_BIT(WORLD_ENDPOINTSLICES) | WORLD_BIT(WORLD_NODES),
                .wake = endpointslice_wake,
                .plan = endpointslice_plan,
};
