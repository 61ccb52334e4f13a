/* EndpointSlices for Endpoints that a person or another program writes: of Services without a
 * selector (KEP-752, "mirroring"). One slice for each subset and family of addresses. Left out are
 * Endpoints that a leader election keeps its record in, and those that say
 * endpointslice.kubernetes.io/skip-mirror: "true". */
#include "lib/object.h"
#include "reconcilers/controller.h"
#include "reconcilers/pods.h"
#include "reconcilers/network/slices.h"

enum { ADDRESSES_PER_SUBSET_MAX = 1000 };
#define LEADER_ANNOTATION "control-plane.alpha.kubernetes.io/leader"

static void endpointslicemirroring_wake(const struct world *w, const struct wake *out,
                enum world_kind kind, const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_SERVICES || kind == WORLD_ENDPOINTS) {
                wake_object(out, object);
                return;
        }
        if (slice_is_managed_by(object, SLICE_MANAGED_BY_MIRROR))
                slices_wake_service(out, object);
}

static bool is_mirrored(const json_t *endpoints, const json_t *service) {
        return endpoints && service && !object_is_deleting(endpoints) &&
               !object_is_deleting(service) &&
               json_object_size(json_at(service, "spec.selector")) == 0 &&
               !streq_ptr(object_label(endpoints, SLICE_SKIP_MIRROR_LABEL), "true") &&
               !object_annotation(endpoints, LEADER_ANNOTATION);
}

static json_t *endpoint_of(const json_t *address, bool ready) {
        json_t *target = json_object_get(address, "targetRef");

        return json_pack("{s:[s], s:{s:b}, s:s*, s:s*, s:O*}", "addresses",
                        json_str_or(address, "ip", ""), "conditions", "ready", ready, "hostname",
                        json_str(address, "hostname"), "nodeName", json_str(address, "nodeName"),
                        "targetRef", target);
}

/* Adds the addresses of one family from a list of a subset to the endpoints. */
static void add_addresses(json_t *endpoints, const json_t *list, bool ready, bool ipv6) {
        const json_t *address;
        size_t i;

        json_array_foreach (list, i, address)
                if (!!strchr(json_str_or(address, "ip", ""), ':') == ipv6 &&
                                json_array_size(endpoints) < ADDRESSES_PER_SUBSET_MAX)
                        json_array_append_new(endpoints, endpoint_of(address, ready));
}

static json_t *ports_of(const json_t *subset) {
        json_t *ports = json_array(), *copy;
        const json_t *port;
        size_t i;

        json_array_foreach (json_object_get(subset, "ports"), i, port) {
                copy = json_deep_copy(port);
                if (!json_str(copy, "name"))
                        json_object_set_new(copy, "name", json_string(""));
                json_array_append_new(ports, copy);
        }
        return ports;
}

static json_t *labels_of(const json_t *endpoints) {
        json_t *labels = slices_copy_labels(endpoints);

        json_object_set_new(labels, SLICE_SERVICE_LABEL, json_string(object_name(endpoints)));
        json_object_set_new(labels, SLICE_MANAGED_BY_LABEL, json_string(SLICE_MANAGED_BY_MIRROR));
        return labels;
}

/* The slices there should be, without their metadata. */
static json_t *wanted_slices(const json_t *endpoints) {
        json_t *slices = json_array();
        const json_t *subset;
        size_t i;

        json_array_foreach (json_object_get(endpoints, "subsets"), i, subset)
                for (int ipv6 = 0; ipv6 < 2; ipv6++) {
                        json_t *list = json_array();

                        add_addresses(list, json_object_get(subset, "addresses"), true, ipv6);
                        add_addresses(list, json_object_get(subset, "notReadyAddresses"), false,
                                        ipv6);
                        if (json_array_size(list) == 0) {
                                json_decref(list);
                                continue;
                        }
                        json_array_append_new(slices,
                                        json_pack("{s:s, s:o, s:o}", "addressType",
                                                        ipv6 ? "IPv6" : "IPv4", "ports",
                                                        ports_of(subset), "endpoints", list));
                }
        return slices;
}

/* The first of the slices not taken yet that can become the wanted one: the family of a slice
 * stays as it was made. It is taken out of the list. */
static const json_t *take_slice(struct objects *slices, const json_t *wanted) {
        for (size_t i = 0; i < slices->count; i++) {
                const json_t *slice = slices->items[i];

                if (!slice || !json_equal(json_object_get(slice, "addressType"),
                                              json_object_get(wanted, "addressType")))
                        continue;
                slices->items[i] = NULL;
                return slice;
        }
        return NULL;
}

static void write_slice(
                struct actions *a, const json_t *endpoints, const json_t *slice, json_t *wanted) {
        _cleanup_json_ json_t *labels = labels_of(endpoints), *body = NULL;
        _cleanup_free_ char *prefix = strformat("%s-", object_name(endpoints));

        assert(labels && prefix);
        if (slice) {
                body = json_deep_copy(slice);
                assert(body);
                json_object_set(json_object_get(body, "metadata"), "labels", labels);
                json_object_update(body, wanted);
                if (!json_equal(body, slice))
                        action_update(a, "endpointslices", slice, NULL, TAKE_PTR(body));
                return;
        }
        body = json_pack("{s:s, s:s, s:{s:s, s:s, s:O, s:[o]}}", "apiVersion",
                        "discovery.k8s.io/v1", "kind", "EndpointSlice", "metadata", "generateName",
                        prefix, "namespace", object_namespace(endpoints), "labels", labels,
                        "ownerReferences", controller_ref(endpoints, "v1", "Endpoints"));
        assert(body);
        json_object_update(body, wanted);
        action_create(a, "endpointslices", object_namespace(endpoints), TAKE_PTR(body));
}

static void endpointslicemirroring_plan(
                const struct world *w, const char *name, struct actions *a) {
        const json_t *endpoints = world_get_key(w, WORLD_ENDPOINTS, name);
        const json_t *service = world_get_key(w, WORLD_SERVICES, name);
        _cleanup_objects_ struct objects all = {0}, slices = {0};
        _cleanup_json_ json_t *wanted =
                        is_mirrored(endpoints, service) ? wanted_slices(endpoints) : json_array();
        json_t *one;
        size_t i;

        world_list(w, WORLD_SLICES_BY_SERVICE, name, &all);
        for (i = 0; i < all.count; i++)
                if (slice_is_managed_by(all.items[i], SLICE_MANAGED_BY_MIRROR) &&
                                !object_is_deleting(all.items[i]))
                        objects_add(&slices, all.items[i]);
        json_array_foreach (wanted, i, one)
                write_slice(a, endpoints, take_slice(&slices, one), one);
        for (i = 0; i < slices.count; i++)
                if (slices.items[i])
                        action_delete(a, "endpointslices", slices.items[i], -1, NULL);
}

const struct controller endpointslicemirroring_controller = {
                .name = "endpointslicemirroring",
                .primary = WORLD_ENDPOINTS,
                .kinds = WORLD_BIT(WORLD_SERVICES) | WORLD_BIT(WORLD_ENDPOINTS) |
                         WORLD_BIT(WORLD_ENDPOINTSLICES),
                .wake = endpointslicemirroring_wake,
                .plan = endpointslicemirroring_plan,
};
