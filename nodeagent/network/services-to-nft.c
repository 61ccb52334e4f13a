/* The table. Packets to a service's address find their chain by one lookup in the verdict map
 * `services` (address . protocol . port), so the cost does not grow with the number of services.
 * The chain pick-N, which all services of N endpoints share, draws a number and finds the endpoint
 * in the map `endpoints`; services with affinity, many endpoints or external addresses have their
 * own chains, with one rule that picks an endpoint. Services without endpoints are elements of
 * `refused`, looked up only for new connections in the filter hooks, where reject is allowed.
 * Nothing here reads the kernel's state. */
#include "nodeagent/network/services-to-nft.h"

#include <arpa/inet.h>

#include "lib/address.h"
#include "lib/object.h"

#define TABLE "inet keelson"
/* What has ports. */
#define PORTS "meta l4proto { tcp, udp, sctp }"

/* Services with more endpoints have their own chain. */
enum { PICK_MAX = 32 };

/* Whether an address lies in a range ("10.96.0.0/16"). */
static bool ipv4_in_range(const char *cidr, const char *address) {
        struct in_addr a, net;
        char text[INET_ADDRSTRLEN];
        size_t n = strcspn(strempty(cidr), "/");
        uint64_t bits;

        if (isempty(cidr) || n >= sizeof(text) || cidr[n] != '/' ||
                        parse_u64(cidr + n + 1, &bits) < 0 || bits > 32)
                return false;
        memcpy(text, cidr, n);
        text[n] = 0;
        if (inet_pton(AF_INET, text, &net) != 1 || inet_pton(AF_INET, address, &a) != 1)
                return false;
        return bits == 0 || ((ntohl(a.s_addr) ^ ntohl(net.s_addr)) >> (32 - bits)) == 0;
}

struct endpoint {
        const char *address;
        int port;
        bool local;
};

struct endpoints {
        struct endpoint *items;
        size_t count;
};

static const char *protocol_of(const json_t *port) {
        const char *p = json_str_or(port, "protocol", "TCP");
        return strcaseeq(p, "UDP") ? "udp" : strcaseeq(p, "SCTP") ? "sctp" : "tcp";
}

/* Text that nft's grammar could misread must not get into the ruleset. */
static bool address_is_plain(const char *s) {
        size_t n = strspn(s, "0123456789.");
        return n >= 7 && n <= 15 && !s[n];
}

static bool address_is_reserved(const struct service_facts *f, const char *address) {
        return (f->reserved && map_get(f->reserved, address)) ||
               ipv4_in_range(f->service_cidr, address);
}

static bool name_is_plain(const char *s) {
        size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.-");
        return n > 0 && n <= 253 && !s[n];
}

static int slice_port(const json_t *slice, const json_t *service_port) {
        const char *name = json_str_or(service_port, "name", "");
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(slice, "ports"), i, v)
                if (streq(json_str_or(v, "name", ""), name) &&
                                streq(protocol_of(v), protocol_of(service_port)))
                        return (int)json_int_or(v, "port", 0);
        return 0;
}

static int compare_endpoints(const void *a, const void *b) {
        const struct endpoint *x = a, *y = b;
        int r = strcmp(x->address, y->address);
        return r != 0 ? r : x->port - y->port;
}

static bool endpoint_counts(const json_t *endpoint, bool terminating) {
        const json_t *c = json_at(endpoint, "conditions");

        if (terminating)
                return json_bool_or(c, "serving", false) && json_bool_or(c, "terminating", false);
        return json_bool_or(c, "ready", true);
}

/* Ready endpoints; without any, those that are serving while they terminate. Sorted, deduplicated.
 */
static int collect(const json_t *slices, const json_t *port, const char *node_name,
                struct endpoints *ret) {
        size_t capacity = 0, i, j, n = 0;
        const json_t *slice, *e;

        json_array_foreach (slices, i, slice)
                capacity += json_array_size(json_at(slice, "endpoints"));
        ret->items = calloc(MAX(capacity, (size_t)1), sizeof(*ret->items));
        if (!ret->items)
                return -ENOMEM;
        for (int terminating = 0; terminating < 2 && n == 0; terminating++)
                json_array_foreach (slices, i, slice) {
                        int number = slice_port(slice, port);

                        if (number <= 0 || number > 65535 ||
                                        !streq(json_str_or(slice, "addressType", "IPv4"), "IPv4"))
                                continue;
                        json_array_foreach (json_at(slice, "endpoints"), j, e) {
                                const char *address = strempty(json_string_value(
                                                json_array_get(json_at(e, "addresses"), 0)));
                                if (!endpoint_counts(e, terminating) || !address_is_plain(address))
                                        continue;
                                ret->items[n++] = (struct endpoint){address, number,
                                                streq(json_str_or(e, "nodeName", ""), node_name)};
                        }
                }
        qsort(ret->items, n, sizeof(*ret->items), compare_endpoints);
        for (i = 0; i < n; i++)
                if (ret->count == 0 ||
                                compare_endpoints(&ret->items[ret->count - 1], &ret->items[i]) != 0)
                        ret->items[ret->count++] = ret->items[i];
        return 0;
}

static void keep_local(struct endpoints *e) {
        size_t n = 0;

        for (size_t i = 0; i < e->count; i++)
                if (e->items[i].local)
                        e->items[n++] = e->items[i];
        e->count = n;
}

static void element(json_t *model, const char *map, json_t *key, const char *verdict) {
        json_t *elements = json_object_get(model, "elements"), *o = json_object_get(elements, map);

        if (!o) {
                o = json_object();
                json_object_set_new(elements, map, o);
        }
        json_object_set_new(o, json_string_value(key), json_string(verdict));
        json_decref(key);
}

static void chain(json_t *model, const char *name, json_t *rules) {
        json_object_set_new(json_object_get(model, "chains"), name, rules);
}

static json_t *balance_rule(const struct endpoints *e, const char *protocol) {
        _cleanup_buf_ struct buf b = {0};

        if (e->count == 1)
                return json_sprintf("meta l4proto %s dnat ip to %s:%d", protocol,
                                e->items[0].address, e->items[0].port);
        buf_printf(&b, "meta l4proto %s dnat ip to numgen random mod %zu map { ", protocol,
                        e->count);
        for (size_t i = 0; i < e->count; i++)
                buf_printf(&b, "%s%zu : %s . %d", i > 0 ? ", " : "", i, e->items[i].address,
                                e->items[i].port);
        buf_append_str(&b, " }");
        return json_string(b.data);
}

/* A client stays with its endpoint for `timeout` seconds after its last new connection. */
static json_t *affinity_rules(json_t *model, const char *stem, const struct endpoints *e,
                const char *protocol, int64_t timeout_s) {
        json_t *rules = json_array();
        _cleanup_buf_ struct buf pick = {0};

        buf_printf(&pick, "numgen random mod %zu vmap { ", e->count);
        for (size_t i = 0; i < e->count; i++) {
                const struct endpoint *x = &e->items[i];
                _cleanup_free_ char *name = strformat("%s/%s-%d", stem, x->address, x->port);

                if (!name)
                        continue;
                _cleanup_free_ char *set = strformat("aff-%s", name),
                                    *end = strformat("ep-%s", name);
                if (!set || !end)
                        continue;
                json_object_set_new(json_object_get(model, "sets"), set, json_integer(timeout_s));
                json_array_append_new(rules, json_sprintf("ip saddr @%s goto %s", set, end));
                buf_printf(&pick, "%s%zu : goto %s", i > 0 ? ", " : "", i, end);
                chain(model, end,
                                json_pack("[o]", json_sprintf("update @%s { ip saddr } meta "
                                                              "l4proto %s dnat ip to %s:%d",
                                                                 set, protocol, x->address,
                                                                 x->port)));
        }
        buf_append_str(&pick, " }");
        json_array_append_new(rules, json_string(pick.data));
        return rules;
}

static void fill(json_t *model, const char *name, const char *stem, const struct endpoints *e,
                const char *protocol, int64_t affinity_s) {
        chain(model, name,
                        affinity_s > 0 ? affinity_rules(model, stem, e, protocol, affinity_s)
                                       : json_pack("[o]", balance_rule(e, protocol)));
}

struct port_context {
        json_t *model;
        const json_t *service;
        const struct service_facts *facts;
        json_t *endpoints; /* their names when connections must be followed; borrowed */
        const char *protocol;
        char stem[160]; /* "default/web/tcp-80" */
        int64_t affinity_s;
        int port, node_port;
};

/* "address:port" of every endpoint that may be chosen. */
static json_t *endpoint_names(const struct endpoints *lists[2]) {
        json_t *names = json_array();

        for (size_t l = 0; l < 2; l++)
                for (size_t i = 0; i < lists[l]->count; i++)
                        json_array_append_new(
                                        names, json_sprintf("%s:%d", lists[l]->items[i].address,
                                                               lists[l]->items[i].port));
        return names;
}

/* Valid destinations of UDP flows, which have no end, to this address. */
static void flow(struct port_context *c, const char *address, int port) {
        _cleanup_free_ char *key = strformat("%s:%d", address, port);

        if (c->endpoints && key)
                json_object_set(json_object_get(c->model, "flows"), key, c->endpoints);
}

static void one_address(
                struct port_context *c, const char *map, const char *address, const char *verdict) {
        element(c->model, map, json_sprintf("%s . %s . %d", address, c->protocol, c->port),
                        verdict);
        flow(c, address, c->port);
}

/* An external address must not divert traffic to a node, to the API or to another service
 * (CVE-2020-8554). */
static void external_address(
                struct port_context *c, const char *map, const char *address, const char *verdict) {
        if (!address_is_plain(address))
                return;
        if (address_is_reserved(c->facts, address))
                json_object_set_new(json_object_get(c->model, "leftOut"), address, json_true());
        else
                one_address(c, map, address, verdict);
}

/* The range as nft reads it: to nft, "10.0.0.0/010" is an octal number, and "/08" an error that
 * would keep the rules of all services from being loaded. NULL: it is none of IPv4. Caller frees.
 */
static char *source_range(const char *text, struct address_range *ret) {
        const char *slash = strchr(text, '/');
        char first[ADDRESS_TEXT_SIZE];
        uint32_t bits = 32;

        if (strchr(text, '-') || address_range_parse(text, ret) < 0 || ret->first.size != 4 ||
                        (slash && parse_u32(slash + 1, &bits) < 0))
                return NULL;
        return strformat("%s/%u", address_text(&ret->first, first), bits);
}

/* Rules that let only spec.loadBalancerSourceRanges pass, in the chain lb-STEM. A range of the
 * other family lets nobody of this one pass. */
static void source_rules(struct port_context *c, const char *verdict) {
        json_t *rules = json_array();
        _cleanup_free_ char *name = strformat("lb-%s", c->stem);
        struct address node = address_parse(strempty(c->facts->node_ip));
        bool node_passes = false;
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(c->service, "spec.loadBalancerSourceRanges"), i, v) {
                struct address_range r;
                _cleanup_free_ char *text = source_range(strempty(json_string_value(v)), &r);

                if (!text)
                        continue;
                node_passes |= address_range_has(&r, &node);
                json_array_append_new(rules, endswith(text, "/0") ? json_string(verdict)
                                                                  : json_sprintf("ip saddr %s %s",
                                                                                    text, verdict));
        }
        /* The machine that carries the address asks with the address itself as its own. */
        if (node_passes)
                json_array_append_new(rules, json_sprintf("fib saddr type local %s", verdict));
        json_array_append_new(rules, json_string("drop"));
        if (name)
                chain(c->model, name, rules);
}

/* An address of a load balancer: one node carries it, the rules of all know it, and ports that no
 * service of it has are refused (the set `balanced`). Where a service that is answered only next to
 * its endpoints has none, the packet goes its way to the node that carries the address. */
static void balanced_address(
                struct port_context *c, const char *map, const char *address, const char *verdict) {
        bool filtered = json_array_size(json_at(c->service, "spec.loadBalancerSourceRanges")) > 0;
        _cleanup_free_ char *go = strformat("goto lb-%s", c->stem);

        if (address_parse(address).size == 16 && !address[strspn(address, "0123456789abcdef:")])
                element(c->model, "balanced6", json_string(address), "");
        if (!address_is_plain(address) || !go)
                return;
        if (!address_is_reserved(c->facts, address))
                element(c->model, "balanced", json_string(address), "");
        if (streq(verdict, "drop")) {
                external_address(c, "refused", address, "return");
                return;
        }
        if (filtered && streq(map, "services")) {
                source_rules(c, verdict);
                verdict = go;
        }
        external_address(c, map, address, verdict);
}

static bool cluster_ip_is_usable(const struct port_context *c, const char *address) {
        return address_is_plain(address) &&
               !(c->facts->reserved && map_get(c->facts->reserved, address));
}

static void port_addresses(struct port_context *c, const char *map, const char *internal,
                const char *external) {
        const char *cluster_ip = json_str_or(c->service, "spec.clusterIP", "");
        const json_t *v;
        size_t i;

        if (cluster_ip_is_usable(c, cluster_ip))
                one_address(c, map, cluster_ip, internal);
        json_array_foreach (json_at(c->service, "spec.externalIPs"), i, v)
                external_address(c, map, strempty(json_string_value(v)), external);
        json_array_foreach (json_at(c->service, "status.loadBalancer.ingress"), i, v)
                if (!streq(json_str_or(v, "ipMode", "VIP"), "Proxy"))
                        balanced_address(c, map, json_str_or(v, "ip", ""), external);
        if (c->node_port > 0)
                flow(c, "*", c->node_port);
}

/* The endpoints of the cluster address, numbered: the chain pick-N draws one of N. */
static void pick_elements(struct port_context *c, const struct endpoints *e) {
        const char *cluster_ip = json_str_or(c->service, "spec.clusterIP", "");

        if (!cluster_ip_is_usable(c, cluster_ip))
                return;
        for (size_t i = 0; i < e->count; i++) {
                _cleanup_free_ char *to =
                                strformat("%s . %d", e->items[i].address, e->items[i].port);
                if (to)
                        element(c->model, "endpoints",
                                        json_sprintf("%s . %s . %d . %zu", cluster_ip, c->protocol,
                                                        c->port, i),
                                        to);
        }
}

static bool has_external_addresses(const json_t *service) {
        return json_array_size(json_at(service, "spec.externalIPs")) > 0 ||
               json_array_size(json_at(service, "status.loadBalancer.ingress")) > 0;
}

static int port_to_model(struct port_context *c, const json_t *port, const json_t *slices) {
        const char *node_name = c->facts->node_name;
        _cleanup_json_ json_t *names = NULL;
        struct endpoints all = {0}, local = {0};
        bool external_local = streq(
                        json_str_or(c->service, "spec.externalTrafficPolicy", "Cluster"), "Local");
        _cleanup_free_ char *internal = strformat("svc-%s", c->stem),
                            *external = strformat("ext-%s", c->stem);
        _cleanup_free_ char *go_internal = strformat("goto svc-%s", c->stem),
                            *go_external = strformat("goto ext-%s", c->stem);

        if (collect(slices, port, node_name, &all) < 0 ||
                        collect(slices, port, node_name, &local) < 0 || !internal || !external ||
                        !go_internal || !go_external) {
                free(all.items);
                free(local.items);
                return -ENOMEM;
        }
        keep_local(&local);
        if (streq(json_str_or(c->service, "spec.internalTrafficPolicy", "Cluster"), "Local"))
                keep_local(&all);
        if (streq(c->protocol, "udp"))
                c->endpoints = names = endpoint_names((const struct endpoints *[]){
                                &all, external_local ? &local : &(struct endpoints){0}});
        if (all.count == 0) {
                port_addresses(c, "refused", "goto refuse", "goto refuse");
                if (c->node_port > 0)
                        element(c->model, "refused-nodeports",
                                        json_sprintf("%s . %d", c->protocol, c->node_port),
                                        "goto refuse");
        } else {
                bool outside = c->node_port > 0 || has_external_addresses(c->service),
                     pick = c->affinity_s == 0 && all.count <= PICK_MAX;
                char go_pick[32];

                snprintf(go_pick, sizeof(go_pick), "goto pick-%zu", all.count);
                if (pick)
                        pick_elements(c, &all);
                if (!pick || (outside && !external_local))
                        fill(c->model, internal, c->stem, &all, c->protocol, c->affinity_s);
                if (external_local && local.count > 0)
                        fill(c->model, external, c->stem, &local, c->protocol, c->affinity_s);
                else if (!external_local && outside)
                        chain(c->model, external,
                                        json_pack("[s, s]", "meta mark set meta mark | 0x4000",
                                                        go_internal));
                port_addresses(c, "services", pick ? go_pick : go_internal,
                                external_local && local.count == 0 ? "drop" : go_external);
                if (c->node_port > 0)
                        element(c->model, "nodeports",
                                        json_sprintf("%s . %d", c->protocol, c->node_port),
                                        external_local && local.count == 0 ? "drop" : go_external);
        }
        free(all.items);
        free(local.items);
        return 0;
}

static json_t *model_new(void) {
        return json_pack("{s:{}, s:{}, s:{}, s:{}, s:{}}", "sets", "chains", "elements", "flows",
                        "leftOut");
}

json_t *service_to_model(
                const json_t *service, const json_t *slices, const struct service_facts *facts) {
        _cleanup_json_ json_t *model = model_new();
        const char *ns = object_namespace(service), *name = object_name(service);
        const json_t *port;
        size_t i;

        if (!model || !name_is_plain(ns) || !name_is_plain(name) ||
                        streq(json_str_or(service, "spec.type", "ClusterIP"), "ExternalName"))
                return TAKE_PTR(model);
        json_array_foreach (json_at(service, "spec.ports"), i, port) {
                struct port_context c = {.model = model,
                                .service = service,
                                .facts = facts,
                                .protocol = protocol_of(port)};

                c.port = (int)json_int_or(port, "port", 0);
                c.node_port = (int)json_int_or(port, "nodePort", 0);
                if (c.port <= 0 || c.port > 65535)
                        continue;
                snprintf(c.stem, sizeof(c.stem), "%.63s/%.63s/%s-%d", ns, name, c.protocol, c.port);
                if (streq(json_str_or(service, "spec.sessionAffinity", "None"), "ClientIP"))
                        c.affinity_s = json_int_or(service,
                                        "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                                        10800);
                if (!address_is_plain(json_str_or(service, "spec.clusterIP", "")) &&
                                c.node_port == 0)
                        continue;
                if (port_to_model(&c, port, slices) < 0)
                        return NULL;
        }
        return TAKE_PTR(model);
}

static void host_port(json_t *model, const char *uid, const char *pod_ip, const json_t *port) {
        int host = (int)json_int_or(port, "hostPort", 0),
            number = (int)json_int_or(port, "containerPort", 0);
        const char *protocol = protocol_of(port), *host_ip = json_str_or(port, "hostIP", "");
        bool any = !*host_ip || streq(host_ip, "0.0.0.0");
        _cleanup_free_ char *name = NULL, *go = NULL, *key = NULL;

        if (host <= 0 || host > 65535 || number <= 0 || number > 65535 ||
                        (!any && !address_is_plain(host_ip)))
                return;
        name = any ? strformat("host-%s/%s-%d", uid, protocol, host)
                   : strformat("host-%s/%s-%d/%s", uid, protocol, host, host_ip);
        go = name ? strformat("goto %s", name) : NULL;
        key = strformat("%s:%d", any ? "*" : host_ip, host);
        if (!go || !key)
                return;
        chain(model, name,
                        json_pack("[o]", json_sprintf("meta l4proto %s dnat ip to %s:%d", protocol,
                                                         pod_ip, number)));
        /* The pod could not answer an address that never leaves a machine. */
        if (startswith(host_ip, "127."))
                json_array_insert_new(json_object_get(json_object_get(model, "chains"), name), 0,
                                json_string("meta mark set meta mark | 0x4000"));
        if (any)
                element(model, "nodeports", json_sprintf("%s . %d", protocol, host), go);
        else
                element(model, "hostports", json_sprintf("%s . %s . %d", host_ip, protocol, host),
                                go);
        if (streq(protocol, "udp"))
                json_object_set_new(json_object_get(model, "flows"), key,
                                json_pack("[o]", json_sprintf("%s:%d", pod_ip, number)));
}

json_t *local_pod_to_model(const char *uid, const char *pod_ip, const json_t *ports) {
        json_t *model = model_new();
        const json_t *port;
        size_t i;

        if (!model || !address_is_plain(pod_ip) || !name_is_plain(uid))
                return model;
        element(model, "hairpin", json_sprintf("%s . %s", pod_ip, pod_ip), "");
        json_array_foreach (ports, i, port)
                host_port(model, uid, pod_ip, port);
        return model;
}

json_t *protected_to_model(const json_t *addresses, const char *service_cidr) {
        json_t *model = model_new();
        const char *address;
        json_t *port;

        json_object_foreach ((json_t *)addresses, address, port) {
                size_t n = strcspn(address, ":");
                _cleanup_free_ char *ip = strndup(address, n);

                if (model && ip && address_is_plain(ip) && !ipv4_in_range(service_cidr, ip) &&
                                json_integer_value(port) > 0 && json_integer_value(port) <= 65535)
                        element(model, "protected",
                                        json_sprintf("%s . tcp . %lld", ip,
                                                        (long long)json_integer_value(port)),
                                        "");
        }
        return model;
}

bool flow_is_stale(const json_t *flows, const char *service_cidr, const struct udp_flow *f) {
        _cleanup_free_ char *own = strformat("%s:%u", f->to, f->to_port),
                            *any = strformat("*:%u", f->to_port),
                            *from = strformat("%s:%u", f->from, f->from_port);
        const json_t *names = own ? json_object_get(flows, own) : NULL, *v;
        size_t i;

        if (!own || !any || !from)
                return false;
        /* Of the traffic to one of a node's own ports only flows that were forwarded to a pod are
         * ours. */
        if (!names && !streq(own, from))
                names = json_object_get(flows, any);
        if (!names)
                return ipv4_in_range(service_cidr, f->to);
        json_array_foreach (names, i, v)
                if (streq(json_string_value(v), from))
                        return false;
        return true;
}

static const struct {
        const char *name, *declaration;
        bool is_map;
} collections[] = {
                {"services",
                                "map services { type ipv4_addr . inet_proto . inet_service : "
                                "verdict; }",
                                true},
                {"endpoints",
                                "map endpoints { typeof ip daddr . meta l4proto . th dport . "
                                "numgen random mod 2 : ip daddr . th dport; }",
                                true},
                {"nodeports", "map nodeports { type inet_proto . inet_service : verdict; }", true},
                {"refused", "map refused { type ipv4_addr . inet_proto . inet_service : verdict; }",
                                true},
                {"refused-nodeports",
                                "map refused-nodeports { type inet_proto . inet_service : verdict; "
                                "}",
                                true},
                {"hostports",
                                "map hostports { type ipv4_addr . inet_proto . inet_service : "
                                "verdict; }",
                                true},
                {"balanced", "set balanced { type ipv4_addr; }", false},
                {"balanced6", "set balanced6 { type ipv6_addr; }", false},
                {"hairpin", "set hairpin { type ipv4_addr . ipv4_addr; }", false},
                {"protected", "set protected { type ipv4_addr . inet_proto . inet_service; }",
                                false},
};

/* First the addresses that no service and no pod may claim: the API's own. A packet to a service's
 * address that no rule has sent to a pod is for a port that is not served: it is refused, so that
 * no client waits for an answer. Loopback addresses never arrive over a link; otherwise a pod with
 * a host port on one would be a way to the machine's own servers (CVE-2020-8558). */
static void frame_text(const struct nft_frame *f, struct buf *out) {
        buf_append_str(out, "table " TABLE " {\n");
        for (size_t i = 0; i < ELEMENTS(collections); i++)
                buf_printf(out, "  %s\n", collections[i].declaration);
        for (int n = 1; n <= PICK_MAX; n++)
                buf_printf(out,
                                "  chain pick-%d { dnat ip to ip daddr . meta l4proto . th dport . "
                                "numgen random mod %d map @endpoints; }\n",
                                n, n);
        buf_append_str(out, "  chain refuse {\n    meta l4proto tcp reject with tcp reset\n    "
                            "reject\n  }\n"
                            "  chain guard {\n    type filter hook prerouting priority raw; "
                            "policy accept;\n    iif != lo ip daddr 127.0.0.0/8 drop\n  }\n"
                            "  chain dispatch {\n"
                            "    ip daddr . meta l4proto . th dport @protected return\n"
                            "    ip daddr . meta l4proto . th dport vmap @services\n"
                            "    ip daddr @balanced return\n"
                            "    fib daddr type local ip daddr . meta l4proto . th dport vmap "
                            "@hostports\n"
                            "    ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th "
                            "dport vmap @nodeports\n"
                            "  }\n"
                            "  chain prerouting {\n    type nat hook prerouting priority dstnat; "
                            "policy accept;\n    jump dispatch\n  }\n"
                            "  chain output {\n    type nat hook output priority -100; policy "
                            "accept;\n    jump dispatch\n  }\n"
                            "  chain refuse-check {\n"
                            "    ip daddr . meta l4proto . th dport @protected return\n"
                            "    ip daddr @balanced fib daddr type local " PORTS " goto refuse\n"
                            "    ip daddr . meta l4proto . th dport vmap @refused\n"
                            "    ip daddr @balanced " PORTS " goto refuse\n"
                            "    ip6 daddr @balanced6 " PORTS " goto refuse\n"
                            "    ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th "
                            "dport vmap @refused-nodeports\n");
        if (!isempty(f->service_cidr))
                buf_printf(out, "    ip daddr %s " PORTS " goto refuse\n", f->service_cidr);
        buf_append_str(out, "  }\n"
                            "  chain filter-input {\n    type filter hook input priority filter; "
                            "policy accept;\n    ct state new jump refuse-check\n  }\n"
                            "  chain filter-forward {\n    type filter hook forward priority "
                            "filter; policy accept;\n    ct state new jump refuse-check\n  }\n"
                            "  chain filter-output {\n    type filter hook output priority filter; "
                            "policy accept;\n    ct state new jump refuse-check\n  }\n"
                            "  chain postrouting {\n    type nat hook postrouting priority srcnat; "
                            "policy accept;\n"
                            "    meta mark & 0x4000 == 0x4000 masquerade\n"
                            "    ct status dnat ip saddr . ip daddr @hairpin masquerade\n");
        if (!isempty(f->cluster_cidr))
                buf_printf(out,
                                "    ip saddr %s ip daddr != %s fib daddr type != local "
                                "masquerade\n",
                                f->cluster_cidr, f->cluster_cidr);
        buf_append_str(out, "  }\n}\n");
}

/* Sets and empty chains first, so that everything after them may refer to them. */
static void add_containers(const json_t *old, const json_t *new_model, struct buf *out) {
        const char *name;
        json_t *v;

        json_object_foreach ((json_t *)json_at(new_model, "sets"), name, v) {
                if (!json_get(old, "sets", name, NULL))
                        buf_printf(out,
                                        "add set " TABLE
                                        " %s { type ipv4_addr; flags dynamic,timeout; timeout "
                                        "%llds; size 65535; }\n",
                                        name, (long long)json_integer_value(v));
        }
        json_object_foreach ((json_t *)json_at(new_model, "chains"), name, v) {
                if (!json_get(old, "chains", name, NULL))
                        buf_printf(out, "add chain " TABLE " %s\n", name);
        }
}

static void fill_chains(const json_t *old, const json_t *new_model, struct buf *out) {
        const char *name;
        json_t *v;

        json_object_foreach ((json_t *)json_at(new_model, "chains"), name, v) {
                const json_t *before = json_get(old, "chains", name, NULL), *rule;
                size_t i;

                if (before && json_equal(before, v))
                        continue;
                if (before)
                        buf_printf(out, "flush chain " TABLE " %s\n", name);
                json_array_foreach (v, i, rule)
                        buf_printf(out, "add rule " TABLE " %s %s\n", name,
                                        json_string_value(rule));
        }
}

/* One command per collection: a transaction's cost grows with the number of commands. */
static void change_elements(
                const json_t *from, const json_t *to, const char *verb, struct buf *out) {
        bool add = streq(verb, "add");

        for (size_t c = 0; c < ELEMENTS(collections); c++) {
                bool value = add && collections[c].is_map;
                size_t n = 0;
                const char *key;
                json_t *v;

                json_object_foreach ((json_t *)json_get(to, "elements", collections[c].name, NULL),
                                key, v) {
                        const json_t *other =
                                        json_get(from, "elements", collections[c].name, key, NULL);

                        if (other && json_equal(other, v))
                                continue;
                        if (n++ == 0)
                                buf_printf(out, "%s element " TABLE " %s { ", verb,
                                                collections[c].name);
                        buf_printf(out, "%s%s%s%s", n > 1 ? ", " : "", key, value ? " : " : "",
                                        value ? json_string_value(v) : "");
                }
                if (n > 0)
                        buf_append_str(out, " }\n");
        }
}

static void drop_containers(const json_t *old, const json_t *new_model, struct buf *out) {
        const char *name;
        json_t *v;

        json_object_foreach ((json_t *)json_at(old, "chains"), name, v) {
                if (!json_get(new_model, "chains", name, NULL))
                        buf_printf(out, "flush chain " TABLE " %s\n", name);
        }
        json_object_foreach ((json_t *)json_at(old, "chains"), name, v) {
                if (!json_get(new_model, "chains", name, NULL))
                        buf_printf(out, "delete chain " TABLE " %s\n", name);
        }
        json_object_foreach ((json_t *)json_at(old, "sets"), name, v) {
                if (!json_get(new_model, "sets", name, NULL))
                        buf_printf(out, "delete set " TABLE " %s\n", name);
        }
}

int model_diff(const json_t *old, const json_t *new_model, struct buf *out) {
        add_containers(old, new_model, out);
        fill_chains(old, new_model, out);
        change_elements(new_model, old, "delete", out);
        change_elements(old, new_model, "add", out);
        drop_containers(old, new_model, out);
        return out->failed ? -ENOMEM : 0;
}

int ruleset_add(struct ruleset *r, const json_t *model) {
        add_containers(NULL, model, &r->containers);
        fill_chains(NULL, model, &r->chains);
        change_elements(NULL, model, "add", &r->elements);
        return r->containers.failed || r->chains.failed || r->elements.failed ? -ENOMEM : 0;
}

int ruleset_text(struct ruleset *r, const struct nft_frame *frame, struct buf *out) {
        struct buf *parts[] = {&r->containers, &r->chains, &r->elements};

        /* Declared first, so that deleting works whether or not it is there. */
        buf_append_str(out, "table " TABLE "\ndelete table " TABLE "\n");
        frame_text(frame, out);
        for (size_t i = 0; i < ELEMENTS(parts); i++) {
                if (parts[i]->size > 0)
                        buf_append(out, parts[i]->data, parts[i]->size);
                out->failed |= parts[i]->failed;
                buf_done(parts[i]);
        }
        return out->failed ? -ENOMEM : 0;
}

void ruleset_done(struct ruleset *r) {
        buf_done(&r->containers);
        buf_done(&r->chains);
        buf_done(&r->elements);
}
