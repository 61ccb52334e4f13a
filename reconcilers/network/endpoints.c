/* Endpoints of core/v1, for clients that do not know EndpointSlices: for every Service with a
 * selector, what its EndpointSlices say in the older form (the reference server's Endpoints
 * controller; 1,000 addresses at most, as there). Whoever needs more, or the pods that are
 * terminating, reads the slices. */
#include <stdlib.h>

#include "lib/object.h"
#include "reconcilers/controller.h"
#include "reconcilers/network/slices.h"

enum { ADDRESSES_MAX = 1000 };
#define OVER_CAPACITY "endpoints.kubernetes.io/over-capacity"
#define MANAGED_BY_LABEL "endpoints.kubernetes.io/managed-by"
#define MANAGED_BY "endpoint-controller"

/* The slices that Endpoints are made from: those of services with a selector, and those in which
 * each kapid says where it is. */
static bool is_source(const json_t *slice) {
        return slice_is_managed_by(slice, SLICE_MANAGED_BY_SERVICES) ||
               slice_is_managed_by(slice, SLICE_MANAGED_BY_KAPID);
}

static bool is_api_server(const json_t *service) {
        return streq(object_name(service), "kubernetes") &&
               streq(object_namespace(service), "default");
}

static void endpoints_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_SERVICES || kind == WORLD_ENDPOINTS) {
                wake_object(out, object);
                return;
        }
        if (is_source(object))
                slices_wake_service(out, object);
}

/* kapid alone may name a loopback address (kctl dev): nobody else may write it into an object. */
static bool is_loopback(const json_t *endpoint) {
        const char *ip = json_string_value(
                        json_array_get(json_object_get(endpoint, "addresses"), 0));

        return ip && (startswith(ip, "127.") || streq(ip, "::1"));
}

static json_t *address_of(const json_t *endpoint) {
        json_t *address = json_pack("{s:s, s:s*, s:s*}", "ip",
                        json_string_value(
                                        json_array_get(json_object_get(endpoint, "addresses"), 0)),
                        "hostname", json_str(endpoint, "hostname"), "nodeName",
                        json_str(endpoint, "nodeName"));
        json_t *target = json_object_get(endpoint, "targetRef");

        assert(address);
        if (target)
                json_object_set(address, "targetRef", target);
        return address;
}

/* The API keeps none. */
static void drop_empty_lists(json_t *subsets) {
        static const char *const names[] = {"addresses", "notReadyAddresses", "ports"};
        json_t *subset;
        size_t i;

        json_array_foreach (subsets, i, subset)
                for (size_t k = 0; k < ELEMENTS(names); k++)
                        if (json_array_size(json_object_get(subset, names[k])) == 0)
                                json_object_del(subset, names[k]);
}

/* The ports of a slice as a subset has them: without empty names. */
static json_t *ports_of(const json_t *slice) {
        json_t *ports = json_deep_copy(json_object_get(slice, "ports")), *port;
        size_t i;

        json_array_foreach (ports, i, port)
                if (isempty(json_str(port, "name")))
                        json_object_del(port, "name");
        return ports ? ports : json_array();
}

/* The subset with these ports, which are taken. */
static json_t *subset_for(json_t *subsets, json_t *ports) {
        json_t *subset;
        size_t i;

        json_array_foreach (subsets, i, subset)
                if (json_equal(json_object_get(subset, "ports"), ports)) {
                        json_decref(ports);
                        return subset;
                }
        subset = json_pack("{s:o, s:[], s:[]}", "ports", ports, "addresses", "notReadyAddresses");
        assert(subset);
        json_array_append_new(subsets, subset);
        return subset;
}

static void add_slice(json_t *subsets, const json_t *slice) {
        json_t *subset = NULL, *endpoint;
        size_t i;

        json_array_foreach (json_object_get(slice, "endpoints"), i, endpoint) {
                bool ready = json_bool_or(endpoint, "conditions.ready", true);

                if (is_loopback(endpoint) ||
                                (!ready && json_bool_or(endpoint, "conditions.terminating", false)))
                        continue;
                if (!subset)
                        subset = subset_for(subsets, ports_of(slice));
                json_array_append_new(
                                json_object_get(subset, ready ? "addresses" : "notReadyAddresses"),
                                address_of(endpoint));
        }
}

static int by_ip(const void *a, const void *b) {
        return strcmp(json_str_or(*(json_t *const *)a, "ip", ""),
                        json_str_or(*(json_t *const *)b, "ip", ""));
}

/* Sorts a subset's list and keeps as many as there is room for; an empty list goes. */
static void finish_list(json_t *subset, const char *list, size_t *room) {
        json_t *all = json_object_get(subset, list), *kept = json_array();
        size_t n = json_array_size(all), keep = MIN(n, *room);
        json_t **sorted = calloc(n + 1, sizeof(*sorted));

        assert(sorted && kept);
        for (size_t i = 0; i < n; i++)
                sorted[i] = json_array_get(all, i);
        qsort(sorted, n, sizeof(*sorted), by_ip);
        for (size_t i = 0; i < keep; i++)
                json_array_append(kept, sorted[i]);
        free(sorted);
        *room -= keep;
        if (keep > 0)
                json_object_set_new(subset, list, kept);
        else {
                json_decref(kept);
                json_object_del(subset, list);
        }
        if (json_array_size(json_object_get(subset, "ports")) == 0)
                json_object_del(subset, "ports");
}

static json_t *subsets_of(const struct world *w, const char *name, const json_t *service,
                bool *ret_truncated) {
        const char *family =
                        json_string_value(json_array_get(json_at(service, "spec.ipFamilies"), 0));
        _cleanup_objects_ struct objects slices = {0};
        json_t *subsets = json_array(), *subset;
        size_t i, total = 0, room = ADDRESSES_MAX;
        world_list(w, WORLD_SLICES_BY_SERVICE, name, &slices);
        for (i = 0; i < slices.count; i++)
                if (is_source(slices.items[i]) && !object_is_deleting(slices.items[i]) &&
                                (!family || streq(json_str_or(slices.items[i], "addressType", ""),
                                                            family)))
                        add_slice(subsets, slices.items[i]);
        json_array_foreach (subsets, i, subset)
                total += json_array_size(json_object_get(subset, "addresses")) +
                         json_array_size(json_object_get(subset, "notReadyAddresses"));
        /* Those that are ready have the first claim to the room there is. */
        json_array_foreach (subsets, i, subset)
                finish_list(subset, "addresses", &room);
        json_array_foreach (subsets, i, subset)
                finish_list(subset, "notReadyAddresses", &room);
        for (i = json_array_size(subsets); i-- > 0;) {
                subset = json_array_get(subsets, i);
                if (!json_object_get(subset, "addresses") &&
                                !json_object_get(subset, "notReadyAddresses"))
                        json_array_remove(subsets, i);
        }
        *ret_truncated = total > ADDRESSES_MAX;
        return subsets;
}

static json_t *labels_of(const json_t *service) {
        json_t *labels = slices_service_labels(service);

        json_object_set_new(labels, MANAGED_BY_LABEL, json_string(MANAGED_BY));
        if (is_api_server(service))
                json_object_set_new(labels, SLICE_SKIP_MIRROR_LABEL, json_string("true"));
        return labels;
}

/* The object as it should be: what others wrote into it besides stays. */
static json_t *wanted_of(const struct world *w, const char *name, const json_t *service,
                const json_t *live) {
        json_t *wanted = live ? json_deep_copy(live)
                              : json_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "v1", "kind",
                                                "Endpoints", "metadata", "name",
                                                object_name(service), "namespace",
                                                object_namespace(service));
        bool truncated;
        json_t *subsets = subsets_of(w, name, service, &truncated), *metadata, *annotations;

        assert(wanted);
        metadata = json_object_get(wanted, "metadata");
        annotations = json_object_get(metadata, "annotations");
        json_object_set_new(metadata, "labels", labels_of(service));
        if (truncated && !annotations) {
                annotations = json_object();
                json_object_set_new(metadata, "annotations", annotations);
        }
        if (truncated)
                json_object_set_new(annotations, OVER_CAPACITY, json_string("truncated"));
        else if (annotations)
                json_object_del(annotations, OVER_CAPACITY);
        drop_empty_lists(subsets);
        if (json_array_size(subsets) > 0)
                json_object_set(wanted, "subsets", subsets);
        else
                json_object_del(wanted, "subsets");
        json_decref(subsets);
        return wanted;
}

static void endpoints_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *service = world_get_key(w, WORLD_SERVICES, name),
                     *live = world_get_key(w, WORLD_ENDPOINTS, name);
        _cleanup_json_ json_t *wanted = NULL;

        if (!service || object_is_deleting(service)) {
                if (live && streq_ptr(object_label(live, MANAGED_BY_LABEL), MANAGED_BY))
                        action_delete(a, "endpoints", live, -1, NULL);
                return;
        }
        if ((!service_has_selector(service) && !is_api_server(service)) ||
                        (live && object_is_deleting(live)))
                return;
        wanted = wanted_of(w, name, service, live);
        if (!live)
                action_create(a, "endpoints", object_namespace(service), TAKE_PTR(wanted));
        else if (!json_equal(live, wanted))
                action_update(a, "endpoints", live, NULL, TAKE_PTR(wanted));
}

const struct controller endpoints_controller = {
                .name = "endpoints",
                .primary = WORLD_SERVICES,
                .kinds = WORLD_BIT(WORLD_SERVICES) | WORLD_BIT(WORLD_ENDPOINTS) |
                         WORLD_BIT(WORLD_ENDPOINTSLICES),
                .wake = endpoints_wake,
                .plan = endpoints_plan,
};
