/* Packets to a service's address find their chain by one lookup in the verdict map `services`
 * (address . protocol . port), so the cost does not grow with the number of services. The chain
 * pick-N, which all services of N endpoints share, draws a number and finds the endpoint in the map
 * `endpoints`; services with affinity, many endpoints or external addresses have their own chains.
 * Services without endpoints are elements of `refused`. Each family has its own maps, whose names
 * end with 6 for IPv6. A change of a chain's rules is a chain of another name, to which the
 * elements then point: so chains, elements and old chains may change in three transactions, and
 * each packet finds the old rules or the new ones. */
#include "nodeagent/network/services-to-nft.h"

#include "lib/address.h"
#include "lib/buf.h"
#include "lib/crypto.h"
#include "lib/object.h"
#include "nodeagent/network/nft-frame.h"

/* What the output leaves as it is, and postrouting masquerades. */
#define MARK "meta mark set meta mark | 0x4000"
enum { NAME_DIGEST_LENGTH = 12 };

struct port_context {
        json_t *model;
        const struct service_view *service;
        const struct service_facts *facts;
        const struct service_port *port;
        enum ip_family family;
        const char *protocol, *ip;     /* "tcp"; "ip" or "ip6" */
        json_t *endpoints;             /* their names when connections must be followed; borrowed */
        char stem[176];                /* "default/web/tcp-80", "default/web/tcp-80/6" */
        bool failed;                   /* out of memory */
        struct endpoint_choice choice; /* of this port and family */
        const struct endpoint_list *internal, *external;
};

/* Whether an address lies in a range ("10.96.0.0/16"). */
static bool is_in_range(const char *cidr, const char *address) {
        struct address_range range;
        struct address a = address_parse(strempty(address));

        return !isempty(cidr) && a.size > 0 && address_range_parse(cidr, &range) >= 0 &&
               address_range_has(&range, &a);
}

static bool is_in_one(const char *const ranges[FAMILIES], const char *address) {
        return is_in_range(ranges[FAMILY_IPV4], address) ||
               is_in_range(ranges[FAMILY_IPV6], address);
}

static bool name_is_plain(const char *s) {
        size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.-");
        return n > 0 && n <= 253 && !s[n];
}

/* "10.244.1.2:80", "[fd00::2]:80". Caller frees. */
static char *place(const char *address, unsigned port) {
        return strformat(strchr(address, ':') ? "[%s]:%u" : "%s:%u", address, port);
}

char *place_address(const char *place) {
        const char *end = strrchr(place, ':');

        if (*place == '[' && strchr(place, ']'))
                return strndup(place + 1, (size_t)(strchr(place, ']') - place - 1));
        return strndup(place, end ? (size_t)(end - place) : strlen(place));
}

/* The colons of an IPv6 address are not allowed in names. */
static void without_colons(char *name) {
        for (char *s = name; s && *s; s++)
                if (*s == ':')
                        *s = '_';
}

/* A part of the model, made when something comes into it; NULL when out of memory. */
static json_t *part(json_t *model, const char *name) {
        json_t *p = json_object_get(model, name);

        if (p)
                return p;
        p = json_object();
        return json_object_set_new(model, name, p) < 0 ? NULL : p;
}

static int put_element(json_t *model, enum nft_collection_id id, enum ip_family family,
                const char *key, const char *value) {
        const char *name = nft_collection_name(id, family);
        json_t *elements = part(model, "elements"), *map = json_object_get(elements, name);

        if (!map) {
                map = json_object();
                if (json_object_set_new(elements, name, map) < 0)
                        return -ENOMEM;
        }
        return key && json_object_set_new(map, key, json_string(value)) >= 0 ? 0 : -ENOMEM;
}

/* Adds a chain; its name, or NULL when out of memory. Takes rules; the caller frees the name. */
static char *put_chain(json_t *model, const char *stem, json_t *rules) {
        _cleanup_json_ json_t *owned = rules;
        _cleanup_free_ char *text = rules ? json_text(rules) : NULL, *name = NULL;
        char digest[65];

        if (!text || !stem)
                return NULL;
        sha256_hex(text, strlen(text), digest);
        name = strformat("%s-%.*s", stem, NAME_DIGEST_LENGTH, digest);
        if (!name || json_object_set(part(model, "chains"), name, owned) < 0)
                return NULL;
        return TAKE_PTR(name);
}

static void element(
                struct port_context *c, enum nft_collection_id id, char *key, const char *value) {
        _cleanup_free_ char *owned = key;

        if (!value || put_element(c->model, id, c->family, owned, value) < 0)
                c->failed = true;
}

/* A chain of this port: "goto NAME". Takes rules; the caller frees. */
static char *go_chain(struct port_context *c, const char *prefix, json_t *rules) {
        _cleanup_free_ char *stem = strformat("%s-%s", prefix, c->stem),
                            *name = put_chain(c->model, stem, rules),
                            *go = name ? strformat("goto %s", name) : NULL;

        if (!go)
                c->failed = true;
        return TAKE_PTR(go);
}

static json_t *balance_rules(const struct port_context *c, const struct endpoint_list *e) {
        _cleanup_free_ char *one = place(e->items[0].address, e->items[0].port);
        _cleanup_buf_ struct buf b = {0};

        if (e->count == 1)
                return json_pack("[o]", json_sprintf("meta l4proto %s dnat %s to %s", c->protocol,
                                                        c->ip, strempty(one)));
        buf_printf(&b, "meta l4proto %s dnat %s to numgen random mod %zu map { ", c->protocol,
                        c->ip, e->count);
        for (size_t i = 0; i < e->count; i++)
                buf_printf(&b, "%s%zu : %s . %u", i > 0 ? ", " : "", i, e->items[i].address,
                                e->items[i].port);
        buf_append_str(&b, " }");
        return b.failed ? NULL : json_pack("[s]", b.data);
}

/* The chain of one endpoint: remembers the client in the set. "goto NAME"; the caller frees. */
static char *affinity_endpoint(struct port_context *c, const struct endpoint *e, const char *set) {
        _cleanup_free_ char *to = place(e->address, e->port),
                            *prefix = strformat("ep-%s-%u", e->address, e->port);

        without_colons(prefix);
        return to && prefix ? go_chain(c, prefix,
                                              json_pack("[o]",
                                                              json_sprintf("update @%s { %s saddr } "
                                                                           "meta l4proto %s dnat "
                                                                           "%s to %s",
                                                                              set, c->ip,
                                                                              c->protocol, c->ip,
                                                                              to)))
                            : NULL;
}

/* A client stays with its endpoint for affinity_s seconds after its last new connection. */
static json_t *affinity_rules(struct port_context *c, const struct endpoint_list *e) {
        long long timeout_s = c->service->affinity_s;
        _cleanup_json_ json_t *rules = json_array();
        _cleanup_buf_ struct buf pick = {0};

        buf_printf(&pick, "numgen random mod %zu vmap { ", e->count);
        for (size_t i = 0; i < e->count; i++) {
                const struct endpoint *x = &e->items[i];
                _cleanup_free_ char *set = strformat("aff-%llds-%s/%s-%u", timeout_s, c->stem,
                                                    x->address, x->port),
                                    *go = NULL;

                without_colons(set);
                go = set ? affinity_endpoint(c, x, set) : NULL;
                if (!go || json_object_set_new(part(c->model, "sets"), set,
                                           json_pack("[s, I]",
                                                           c->family == FAMILY_IPV4 ? "ipv4_addr"
                                                                                    : "ipv6_addr",
                                                           (json_int_t)timeout_s)) < 0)
                        return NULL;
                json_array_append_new(rules, json_sprintf("%s saddr @%s %s", c->ip, set, go));
                buf_printf(&pick, "%s%zu : %s", i > 0 ? ", " : "", i, go);
        }
        buf_append_str(&pick, " }");
        if (pick.failed || json_array_append_new(rules, json_string(pick.data)) < 0)
                return NULL;
        return TAKE_PTR(rules);
}

/* The verdict that leads to one of the endpoints, in a chain PREFIX-STEM; the caller frees. */
static char *go_endpoints(
                struct port_context *c, const char *prefix, const struct endpoint_list *e) {
        if (e->count == 0)
                return strdup("drop");
        return go_chain(c, prefix,
                        c->service->affinity_s > 0 ? affinity_rules(c, e) : balance_rules(c, e));
}

/* ---- the addresses ---- */

/* "address:port" of every endpoint that may be chosen. */
static json_t *endpoint_names(const struct endpoint_choice *choice) {
        const struct endpoint_list *lists[] = {&choice->cluster, &choice->local};
        json_t *names = json_array();

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                for (size_t i = 0; i < lists[l]->count; i++) {
                        _cleanup_free_ char *name =
                                        place(lists[l]->items[i].address, lists[l]->items[i].port);

                        if (!name || json_array_append_new(names, json_string(name)) < 0) {
                                json_decref(names);
                                return NULL;
                        }
                }
        return names;
}

/* Valid destinations of UDP flows, which have no end, to this address. */
static void flow(struct port_context *c, const char *address, unsigned port) {
        _cleanup_free_ char *key = c->endpoints ? place(address, port) : NULL;

        if (c->endpoints &&
                        (!key || json_object_set(part(c->model, "flows"), key, c->endpoints) < 0))
                c->failed = true;
}

static void one_address(struct port_context *c, enum nft_collection_id id, const char *address,
                const char *verdict) {
        element(c, id, strformat("%s . %s . %u", address, c->protocol, c->port->port), verdict);
        flow(c, address, c->port->port);
}

static bool address_is_reserved(const struct service_facts *f, const char *address) {
        return (f->reserved && map_get(f->reserved, address)) ||
               is_in_one(f->service_cidr, address);
}

/* An external address must not divert traffic to a node, to the API or to another service
 * (CVE-2020-8554). */
static void external_address(struct port_context *c, enum nft_collection_id id, const char *address,
                const char *verdict) {
        if (address_is_reserved(c->facts, address))
                json_object_set_new(part(c->model, "leftOut"), address, json_true());
        else
                one_address(c, id, address, verdict);
}

/* The range as nft reads it: to nft, "10.0.0.0/010" is an octal number, and "/08" an error that
 * would keep the rules of all services from being loaded. NULL: it is none of this family. Caller
 * frees. */
static char *source_range(const char *text, enum ip_family family, struct address_range *ret) {
        const char *slash = strchr(text, '/');
        char first[ADDRESS_TEXT_SIZE];
        uint32_t bits = family == FAMILY_IPV4 ? 32 : 128;

        if (strchr(text, '-') || address_range_parse(text, ret) < 0 ||
                        ret->first.size != (family == FAMILY_IPV4 ? 4 : 16) ||
                        (slash && parse_u32(slash + 1, &bits) < 0))
                return NULL;
        return strformat("%s/%u", address_text(&ret->first, first), bits);
}

/* A chain that lets only spec.loadBalancerSourceRanges pass. A range of the other family lets
 * nobody of this one pass. The caller frees. */
static char *go_sources(struct port_context *c, const char *verdict) {
        json_t *rules = json_array();
        struct address node = address_parse(strempty(c->facts->node_ip[c->family]));
        bool node_passes = false;
        const json_t *v;
        size_t i;

        json_array_foreach (c->service->source_ranges, i, v) {
                struct address_range r;
                _cleanup_free_ char *text =
                                source_range(strempty(json_string_value(v)), c->family, &r);

                if (!text)
                        continue;
                node_passes |= address_range_has(&r, &node);
                json_array_append_new(rules, endswith(text, "/0")
                                                             ? json_string(verdict)
                                                             : json_sprintf("%s saddr %s %s", c->ip,
                                                                               text, verdict));
        }
        /* The machine that carries the address asks with the address itself as its own. */
        if (node_passes)
                json_array_append_new(rules, json_sprintf("fib saddr type local %s", verdict));
        json_array_append_new(rules, json_string("drop"));
        return go_chain(c, "lb", rules);
}

/* An address of a load balancer: one node carries it, the rules of all know it, and ports that no
 * service of it has are refused (the set `balanced`). Where a service that is answered only next to
 * its endpoints has none, the packet goes its way to the node that carries the address. */
static void balanced_address(struct port_context *c, enum nft_collection_id id, const char *address,
                const char *verdict) {
        _cleanup_free_ char *sources = NULL;

        if (!address_is_reserved(c->facts, address))
                element(c, NFT_BALANCED, strdup(address), "");
        if (id == NFT_SERVICES && c->external->count == 0) {
                external_address(c, NFT_REFUSED, address, "return");
                return;
        }
        if (id == NFT_SERVICES && json_array_size(c->service->source_ranges) > 0)
                verdict = sources = go_sources(c, verdict);
        external_address(c, id, address, verdict);
}

static const char *cluster_ip(const struct port_context *c) {
        const char *address = c->service->cluster_ip[c->family];

        return *address && !(c->facts->reserved && map_get(c->facts->reserved, address)) ? address
                                                                                         : NULL;
}

/* The service's addresses in a map; internal is the verdict for the cluster address. */
static void port_addresses(struct port_context *c, enum nft_collection_id id, const char *internal,
                const char *external) {
        const char *address = cluster_ip(c);

        if (address)
                one_address(c, id, address, internal);
        /* Outside of the service range, other ports of the address are refused by the address
         * itself.
         */
        if (address && c->family == FAMILY_IPV6 && !is_in_one(c->facts->service_cidr, address))
                element(c, NFT_BALANCED, strdup(address), "");
        for (size_t i = 0; i < c->service->outside.count; i++) {
                const struct service_outside *o = &c->service->outside.items[i];

                if (o->family != c->family)
                        continue;
                if (!o->balanced)
                        external_address(c, id, o->address, external);
                else if (!o->proxied)
                        balanced_address(c, id, o->address, external);
        }
        if (c->port->node_port == 0)
                return;
        element(c, id == NFT_REFUSED ? NFT_REFUSED_NODEPORTS : NFT_NODEPORTS,
                        strformat("%s . %u", c->protocol, c->port->node_port), external);
        flow(c, c->family == FAMILY_IPV4 ? "*" : "*:", c->port->node_port);
}

/* The endpoints of the cluster address, numbered: the chain pick-N draws one of N. */
static void pick_elements(struct port_context *c) {
        const struct endpoint_list *e = c->internal;
        const char *address = cluster_ip(c);

        for (size_t i = 0; address && i < e->count; i++) {
                _cleanup_free_ char *to =
                                strformat("%s . %u", e->items[i].address, e->items[i].port);

                element(c, NFT_ENDPOINTS,
                                strformat("%s . %s . %u . %zu", address, c->protocol, c->port->port,
                                                i),
                                to);
        }
}

static bool has_outside(const struct port_context *c) {
        for (size_t i = 0; i < c->service->outside.count; i++)
                if (c->service->outside.items[i].family == c->family)
                        return true;
        return c->port->node_port > 0;
}

/* What comes from outside. With the policy Local the sender's address is kept, and only endpoints
 * of this node answer; pods and the nodes themselves may use any (as in kube-proxy, they are not
 * outside). The caller frees. */
static char *go_external(struct port_context *c) {
        _cleanup_free_ char *cluster = go_endpoints(c, "svc", &c->choice.cluster), *local = NULL;
        json_t *rules;

        if (!cluster)
                return NULL;
        if (!c->service->external_local)
                return go_chain(c, "ext", json_pack("[s, s]", MARK, cluster));
        local = go_endpoints(c, "loc", &c->choice.local);
        rules = json_array();
        if (!isempty(c->facts->cluster_cidr[c->family]))
                json_array_append_new(
                                rules, json_sprintf("%s saddr %s %s", c->ip,
                                                       c->facts->cluster_cidr[c->family], cluster));
        json_array_append_new(rules, json_sprintf("fib saddr type local " MARK " %s", cluster));
        if (!local || json_array_append_new(rules, json_string(local)) < 0)
                c->failed = true;
        return go_chain(c, "ext", rules);
}

static void served_port(struct port_context *c) {
        bool pick = c->service->affinity_s == 0 && c->internal->count > 0 &&
                    c->internal->count <= NFT_PICK_MAX;
        _cleanup_free_ char *internal = NULL, *external = NULL;

        if (pick) {
                pick_elements(c);
                internal = strformat("goto %s-%zu", c->family == FAMILY_IPV4 ? "pick" : "pick6",
                                c->internal->count);
        } else
                internal = go_endpoints(c, c->service->internal_local ? "loc" : "svc", c->internal);
        if (has_outside(c)) {
                external = go_external(c);
                c->failed |= !external;
        }
        if (!c->failed)
                port_addresses(c, NFT_SERVICES, internal, external);
}

static int port_to_model(struct port_context *c, const struct slice_list *slices) {
        _cleanup_json_ json_t *names = NULL;
        int r = endpoints_choose(slices, c->port, c->family, &c->facts->node, &c->choice);

        if (r < 0)
                return r;
        c->internal = c->service->internal_local ? &c->choice.local : &c->choice.cluster;
        c->external = c->service->external_local ? &c->choice.local : &c->choice.cluster;
        if (c->port->protocol == SERVICE_UDP) {
                c->endpoints = names = endpoint_names(&c->choice);
                c->failed |= !names;
        }
        if (c->choice.any)
                served_port(c);
        else
                port_addresses(c, NFT_REFUSED, "goto refuse", "goto refuse");
        endpoint_choice_done(&c->choice);
        return c->failed ? -ENOMEM : 0;
}

static bool has_address(const struct service_view *v, const struct service_port *port) {
        return *v->cluster_ip[FAMILY_IPV4] || *v->cluster_ip[FAMILY_IPV6] || port->node_port > 0;
}

/* Whether the service has anything to do with the family: node ports of a service without a known
 * cluster address are IPv4's. */
static bool uses_family(const struct service_view *v, enum ip_family family) {
        if (*v->cluster_ip[family])
                return true;
        for (size_t i = 0; i < v->outside.count; i++)
                if (v->outside.items[i].family == family)
                        return true;
        return family == FAMILY_IPV4 && !*v->cluster_ip[FAMILY_IPV6];
}

json_t *service_to_model(const struct service_view *service, const struct slice_list *slices,
                const struct service_facts *facts) {
        _cleanup_json_ json_t *model = json_object();

        if (!model || !name_is_plain(service->ns) || !name_is_plain(service->name) ||
                        service->external_name)
                return TAKE_PTR(model);
        for (size_t i = 0; i < service->ports.count * FAMILIES; i++) {
                struct port_context c = {.model = model,
                                .service = service,
                                .facts = facts,
                                .port = &service->ports.items[i / FAMILIES],
                                .family = (enum ip_family)(i % FAMILIES)};

                if (!has_address(service, c.port) || !uses_family(service, c.family))
                        continue;
                c.protocol = service_protocol_name(c.port->protocol);
                c.ip = c.family == FAMILY_IPV4 ? "ip" : "ip6";
                snprintf(c.stem, sizeof(c.stem), "%.63s/%.63s/%s-%u%s", service->ns, service->name,
                                c.protocol, c.port->port, c.family == FAMILY_IPV4 ? "" : "/6");
                if (port_to_model(&c, slices) < 0)
                        return NULL;
        }
        return TAKE_PTR(model);
}

/* ---- pods of this node, and the API ---- */

struct host_port {
        const char *protocol, *ip; /* ip "": any of the machine's */
        unsigned number, of_pod;
};

/* Whether it is one that can have a rule of the family. */
static bool read_host_port(const json_t *port, enum ip_family family, struct host_port *ret) {
        int64_t number = json_int_or(port, "hostPort", 0),
                of_pod = json_int_or(port, "containerPort", 0);
        const char *ip = json_str_or(port, "hostIP", "");

        *ret = (struct host_port){.protocol = service_protocol_name(service_protocol_of(port)),
                        .ip = streq(ip, "0.0.0.0") || streq(ip, "::") ? "" : ip,
                        .number = (unsigned)number,
                        .of_pod = (unsigned)of_pod};
        /* "0.0.0.0" is every address of IPv4, as a socket of it is. No packet from ::1 reaches a
         * pod. */
        return number > 0 && number <= 65535 && of_pod > 0 && of_pod <= 65535 &&
               !(streq(ip, "0.0.0.0") && family == FAMILY_IPV6) &&
               !(streq(ip, "::") && family == FAMILY_IPV4) && !streq(ip, "::1") &&
               (!*ret->ip || address_is_of(ret->ip, family));
}

static int host_port_to_model(json_t *model, const char *uid, enum ip_family family,
                const char *pod_ip, const struct host_port *p) {
        bool six = family == FAMILY_IPV6;
        _cleanup_free_ char *stem = strformat(HOST_CHAIN "%s/%s-%u%s%s%s", uid, p->protocol,
                                            p->number, *p->ip ? "/" : "", p->ip,
                                            six && !*p->ip ? "/6" : ""),
                            *to = place(pod_ip, p->of_pod), *key = NULL, *name = NULL, *go = NULL,
                            *flow_key = place(*p->ip ? p->ip
                                              : six  ? "*:"
                                                     : "*",
                                            p->number);
        json_t *rules = json_array();
        int r;

        without_colons(stem);
        /* The pod could not answer an address that never leaves a machine. */
        if (startswith(p->ip, "127."))
                json_array_append_new(rules, json_string(MARK));
        json_array_append_new(rules, json_sprintf("meta l4proto %s dnat %s to %s", p->protocol,
                                                     six ? "ip6" : "ip", strempty(to)));
        name = put_chain(model, stem, rules);
        go = name ? strformat("goto %s", name) : NULL;
        key = *p->ip ? strformat("%s . %s . %u", p->ip, p->protocol, p->number)
                     : strformat("%s . %u", p->protocol, p->number);
        if (!to || !go || !flow_key)
                return -ENOMEM;
        r = put_element(model, *p->ip ? NFT_HOSTPORTS : NFT_NODEPORTS, family, key, go);
        if (r < 0 || !streq(p->protocol, "udp"))
                return r;
        return json_object_set_new(part(model, "flows"), flow_key, json_pack("[s]", to)) < 0
                               ? -ENOMEM
                               : 0;
}

static int pod_address_to_model(json_t *model, const char *uid, enum ip_family family,
                const char *pod_ip, const json_t *ports) {
        _cleanup_free_ char *pair = strformat("%s . %s", pod_ip, pod_ip);
        const json_t *port;
        size_t i;
        int r = put_element(model, NFT_HAIRPIN, family, pair, "");

        if (r < 0)
                return r;
        json_array_foreach (ports, i, port) {
                struct host_port p;

                if (!read_host_port(port, family, &p))
                        continue;
                r = host_port_to_model(model, uid, family, pod_ip, &p);
                if (r < 0)
                        return r;
        }
        return 0;
}

json_t *local_pod_to_model(
                const char *uid, const char *const addresses[FAMILIES], const json_t *ports) {
        _cleanup_json_ json_t *model = json_object();

        if (!model || !name_is_plain(uid))
                return TAKE_PTR(model);
        for (int f = 0; f < FAMILIES; f++)
                if (address_is_of(addresses[f], (enum ip_family)f) &&
                                pod_address_to_model(model, uid, (enum ip_family)f, addresses[f],
                                                ports) < 0)
                        return NULL;
        return TAKE_PTR(model);
}

json_t *protected_to_model(
                const json_t *addresses, const char *const service_cidr[FAMILIES]) {
        _cleanup_json_ json_t *model = json_object();
        const char *address;
        json_t *port;

        json_object_each (addresses, address, port) {
                _cleanup_free_ char *ip = place_address(address), *key = NULL;
                long long number = json_integer_value(port);
                enum ip_family family;

                if (!model || !ip)
                        return NULL;
                family = strchr(ip, ':') ? FAMILY_IPV6 : FAMILY_IPV4;
                if (!address_is_of(ip, family) || is_in_one(service_cidr, ip) || number <= 0 ||
                                number > 65535)
                        continue;
                key = strformat("%s . tcp . %lld", ip, number);
                if (put_element(model, NFT_PROTECTED, family, key, "") < 0)
                        return NULL;
        }
        return TAKE_PTR(model);
}

bool flow_is_stale(const json_t *flows, const char *const service_cidr[FAMILIES],
                const struct udp_flow *f) {
        _cleanup_free_ char *own = place(f->to, f->to_port),
                            *any = strformat(strchr(f->to, ':') ? "[*:]:%u" : "*:%u", f->to_port),
                            *from = place(f->from, f->from_port);
        const json_t *names = own ? json_object_get(flows, own) : NULL, *v;
        size_t i;

        if (!own || !any || !from)
                return false;
        /* Of the traffic to one of a node's own ports only flows that were forwarded to a pod are
         * ours. */
        if (!names && !streq(own, from))
                names = json_object_get(flows, any);
        if (!names)
                return service_cidr && is_in_one(service_cidr, f->to);
        json_array_foreach (names, i, v)
                if (streq(json_string_value(v), from))
                        return false;
        return true;
}
