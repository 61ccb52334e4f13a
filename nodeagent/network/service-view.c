/* Objects come from the API, which has validated them, and from the disk; each text that may get
 * into a ruleset is checked here again. */
#include "nodeagent/network/service-view.h"

#include "lib/address.h"
#include "lib/object.h"

#define SERVICE_LABEL "kubernetes.io/service-name"
enum { AFFINITY_DEFAULT_S = 10800 };

const char *service_protocol_name(enum service_protocol p) {
        static const char *const names[] = {"tcp", "udp", "sctp"};

        return names[p];
}

enum service_protocol service_protocol_of(const json_t *port) {
        const char *p = strempty(json_string_value(json_object_get(port, "protocol")));

        return strcaseeq(p, "UDP")    ? SERVICE_UDP
               : strcaseeq(p, "SCTP") ? SERVICE_SCTP
                                      : SERVICE_TCP;
}

bool address_is_of(const char *address, enum ip_family family) {
        struct address a;
        char text[ADDRESS_TEXT_SIZE];

        if (isempty(address))
                return false;
        a = address_parse(address);
        return a.size == (family == FAMILY_IPV4 ? 4u : 16u) &&
               streq(address_text(&a, text), address);
}

static unsigned port_number(const json_t *object, const char *key) {
        json_int_t n = json_integer_value(json_object_get(object, key));

        return n > 0 && n <= 65535 ? (unsigned)n : 0;
}

static const char *text_of(const json_t *object, const char *key) {
        return strempty(json_string_value(json_object_get(object, key)));
}

static bool is_local(const json_t *spec, const char *key) {
        return streq(text_of(spec, key), "Local");
}

static int add_ports(struct service_view *v, const json_t *spec) {
        const json_t *p;
        size_t i;

        json_array_foreach (json_object_get(spec, "ports"), i, p) {
                struct service_port port = {.name = text_of(p, "name"),
                                .protocol = service_protocol_of(p),
                                .port = port_number(p, "port"),
                                .node_port = port_number(p, "nodePort")};

                if (port.port > 0 && vector_append(&v->ports, port) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int add_outside(struct service_view *v, struct service_outside o) {
        if (address_is_of(o.address, FAMILY_IPV6))
                o.family = FAMILY_IPV6;
        else if (!address_is_of(o.address, FAMILY_IPV4))
                return 0;
        return vector_append(&v->outside, o);
}

static int add_outsides(struct service_view *v, const json_t *spec) {
        const json_t *a;
        size_t i;
        int r;

        json_array_foreach (json_object_get(spec, "externalIPs"), i, a) {
                r = add_outside(v, (struct service_outside){
                                                   .address = strempty(json_string_value(a))});
                if (r < 0)
                        return r;
        }
        json_array_foreach (json_at(v->object, "status.loadBalancer.ingress"), i, a) {
                r = add_outside(v,
                                (struct service_outside){.address = text_of(a, "ip"),
                                                .balanced = true,
                                                .proxied = streq(text_of(a, "ipMode"), "Proxy")});
                if (r < 0)
                        return r;
        }
        return 0;
}

static void set_cluster_ip(struct service_view *v, const char *address) {
        for (int f = 0; f < FAMILIES; f++)
                if (!*v->cluster_ip[f] && address_is_of(address, (enum ip_family)f))
                        v->cluster_ip[f] = address;
}

static int fill_service(struct service_view *v, const json_t *spec) {
        const json_t *address;
        size_t i;
        int r;

        v->cluster_ip[FAMILY_IPV4] = v->cluster_ip[FAMILY_IPV6] = "";
        v->headless = streq(text_of(spec, "clusterIP"), "None");
        set_cluster_ip(v, text_of(spec, "clusterIP"));
        json_array_foreach (json_object_get(spec, "clusterIPs"), i, address)
                set_cluster_ip(v, strempty(json_string_value(address)));
        if (streq(text_of(spec, "type"), "ExternalName"))
                v->external_name = text_of(spec, "externalName");
        v->internal_local = is_local(spec, "internalTrafficPolicy");
        v->external_local = is_local(spec, "externalTrafficPolicy");
        if (streq(text_of(spec, "sessionAffinity"), "ClientIP"))
                v->affinity_s = json_int_or(spec, "sessionAffinityConfig.clientIP.timeoutSeconds",
                                AFFINITY_DEFAULT_S);
        v->health_port = port_number(spec, "healthCheckNodePort");
        v->source_ranges = json_object_get(spec, "loadBalancerSourceRanges");
        r = add_ports(v, spec);
        if (r < 0)
                return r;
        return add_outsides(v, spec);
}

struct service_view *service_view_new(const json_t *service) {
        struct service_view *v = calloc(1, sizeof(*v));

        if (!v)
                return NULL;
        v->object = json_ref(service);
        v->ns = object_namespace(service);
        v->name = object_name(service);
        return fill_service(v, json_object_get(service, "spec")) < 0 ? service_view_free(v) : v;
}

struct service_view *service_view_free(struct service_view *v) {
        if (!v)
                return NULL;
        vector_done(&v->ports);
        vector_done(&v->outside);
        json_decref(v->object);
        free(v);
        return NULL;
}

static const json_t *hint(const json_t *endpoint, const char *key) {
        const json_t *list = json_object_get(json_object_get(endpoint, "hints"), key);

        return json_array_size(list) > 0 ? list : NULL;
}

static bool condition(const json_t *conditions, const char *key, bool fallback) {
        const json_t *v = json_object_get(conditions, key);

        return json_is_boolean(v) ? json_is_true(v) : fallback;
}

/* Conditions as EndpointSlice defines them: absent means ready; serving follows ready. */
static struct slice_endpoint endpoint_of(const struct slice_view *v, const json_t *e) {
        const json_t *c = json_object_get(e, "conditions"),
                     *address = json_array_get(json_object_get(e, "addresses"), 0);
        bool ready = condition(c, "ready", true);

        return (struct slice_endpoint){.address = strempty(json_string_value(address)),
                        .node = text_of(e, "nodeName"),
                        .hostname = text_of(e, "hostname"),
                        .pod_uid = text_of(json_object_get(e, "targetRef"), "uid"),
                        .usable = !v->of_names &&
                                  address_is_of(json_string_value(address), v->family),
                        .ready = ready,
                        .serving = condition(c, "serving", ready),
                        .terminating = condition(c, "terminating", false),
                        .zones = hint(e, "forZones"),
                        .nodes = hint(e, "forNodes")};
}

static int fill_slice(struct slice_view *v) {
        const char *service = object_label(v->object, SERVICE_LABEL),
                   *type = text_of(v->object, "addressType");
        const json_t *p;
        size_t i;

        v->of_names = streq(type, "FQDN");
        v->family = streq(type, "IPv6") ? FAMILY_IPV6 : FAMILY_IPV4;
        if (!isempty(service)) {
                v->service = strformat("%s/%s", v->ns, service);
                if (!v->service)
                        return -ENOMEM;
        }
        json_array_foreach (json_object_get(v->object, "ports"), i, p) {
                struct slice_port port = {
                                text_of(p, "name"), service_protocol_of(p), port_number(p, "port")};

                if (port.port > 0 && vector_append(&v->ports, port) < 0)
                        return -ENOMEM;
        }
        json_array_foreach (json_object_get(v->object, "endpoints"), i, p) {
                if (vector_append(&v->endpoints, endpoint_of(v, p)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

struct slice_view *slice_view_new(const json_t *slice) {
        struct slice_view *v = calloc(1, sizeof(*v));

        if (!v)
                return NULL;
        v->object = json_ref(slice);
        v->ns = object_namespace(slice);
        v->name = object_name(slice);
        return fill_slice(v) < 0 ? slice_view_free(v) : v;
}

struct slice_view *slice_view_free(struct slice_view *v) {
        if (!v)
                return NULL;
        vector_done(&v->ports);
        vector_done(&v->endpoints);
        json_decref(v->object);
        free(v->service);
        free(v);
        return NULL;
}
