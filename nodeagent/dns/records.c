/* Services -> records. What comes from objects is checked before it becomes a part of a line, so
 * that no name can add a record of its own. A headless service without ready endpoints has no
 * records: its name does not exist, as the specification asks. */
#include "nodeagent/dns/records.h"

#include "lib/object.h"

enum { LABEL_MAX = 63, NAME_MAX_LENGTH = 253 };

/* A label, in the letters that Kubernetes' names have; '_' for names of others. */
static bool is_label(const char *s, size_t n) {
        if (n == 0 || n > LABEL_MAX || s[0] == '-' || s[n - 1] == '-')
                return false;
        for (size_t i = 0; i < n; i++)
                if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_", s[i]) || !s[i])
                        return false;
        return true;
}

static bool is_plain_label(const char *s) {
        return is_label(s, strlen(s));
}

bool dns_name_is_valid(const char *s) {
        size_t total = strlen(s);
        const char *end;

        if (total > 0 && s[total - 1] == '.')
                total--;
        if (total == 0 || total > NAME_MAX_LENGTH)
                return false;
        end = s + total;
        for (;;) {
                size_t n = strcspn(s, ".");

                if (!is_label(s, n))
                        return false;
                if (s + n == end)
                        return true;
                s += n + 1;
        }
}

const char *dns_reverse_name(const struct address *a, char buffer[static DNS_NAME_SIZE]) {
        size_t n = 0;

        for (unsigned i = a->size; i-- > 0;)
                n += (size_t)(a->size == 4 ? snprintf(buffer + n, DNS_NAME_SIZE - n, "%u.",
                                                             a->octets[i])
                                           : snprintf(buffer + n, DNS_NAME_SIZE - n, "%x.%x.",
                                                             a->octets[i] & 15U,
                                                             a->octets[i] >> 4U));
        snprintf(buffer + n, DNS_NAME_SIZE - n, "%s", a->size == 4 ? "in-addr.arpa." : "ip6.arpa.");
        return buffer;
}

/* Adds the reverse name of an address without its first `skip` labels. */
static int add_zone(const struct address *a, unsigned skip, char ***zones) {
        char name[DNS_NAME_SIZE], *at = name;

        dns_reverse_name(a, name);
        for (; skip > 0; skip--)
                at = strchr(at, '.') + 1;
        at[strlen(at) - 1] = 0;
        return strv_contains(*zones, at) ? 0 : strv_extend(zones, at);
}

int dns_reverse_zones(const char *cidr, char ***zones) {
        const char *slash = strchr(cidr, '/');
        struct address_range range;
        unsigned step, zone_bits, count;
        struct address at;
        uint64_t bits;
        int r;

        if (!slash || address_range_parse(cidr, &range) < 0 || parse_u64(slash + 1, &bits) < 0)
                return -EINVAL;
        at = range.first;
        step = at.size == 4 ? 8 : 4;
        if (bits < (at.size == 4 ? 8 : 16) || bits > at.size * 8U)
                return -EINVAL;
        zone_bits = (unsigned)((bits + step - 1) / step * step);
        count = 1U << (zone_bits - (unsigned)bits);
        for (unsigned i = 0; i < count; i++) {
                unsigned octet = (zone_bits - 1) / 8, shift = (8 - zone_bits % 8) % 8;

                r = add_zone(&at, (at.size * 8U - zone_bits) / step, zones);
                if (r < 0)
                        return r;
                at.octets[octet] = (unsigned char)(at.octets[octet] + (1U << shift));
        }
        return 0;
}

static bool is_in(const struct address_range *ranges, size_t count, const struct address *a) {
        for (size_t i = 0; i < count; i++)
                if (address_range_has(&ranges[i], a))
                        return true;
        return false;
}

static const char *type_of(const struct address *a) {
        return a->size == 4 ? "A" : "AAAA";
}

/* "10-244-1-7": how an endpoint without a host name is called. */
static const char *dashed(const struct address *a, char buffer[static ADDRESS_TEXT_SIZE]) {
        address_text(a, buffer);
        for (char *s = buffer; *s; s++)
                if (*s == '.' || *s == ':')
                        *s = '-';
        return buffer;
}

/* An IPv6 address may begin or end in "::", and its dashed form is no label then. */
static bool dashed_label(const struct address *a, char buffer[static ADDRESS_TEXT_SIZE]) {
        return is_plain_label(dashed(a, buffer));
}

static int add_address(const char *name, const struct address *a, struct buf *out) {
        char text[ADDRESS_TEXT_SIZE];

        return buf_printf(out, "%s\t%s %s\n", name, type_of(a), address_text(a, text));
}

static int add_reverse(const struct address *a, const char *name, struct buf *out) {
        char reverse[DNS_NAME_SIZE];

        return buf_printf(out, "%s\tPTR %s\n", dns_reverse_name(a, reverse), name);
}

static const char *protocol_of(const json_t *port) {
        const char *p = json_str_or(port, "protocol", "TCP");

        return strcaseeq(p, "UDP") ? "udp" : strcaseeq(p, "SCTP") ? "sctp" : "tcp";
}

/* A record for each port that has a name: _https._tcp.web.shop... -> the target's port. */
static int add_ports(const json_t *ports, const char *base, const char *target, struct buf *out) {
        const json_t *v;
        size_t i;
        int r;

        json_array_foreach (ports, i, v) {
                const char *name = json_str_or(v, "name", "");
                int64_t port = json_int_or(v, "port", 0);

                if (!is_plain_label(name) || port < 1 || port > 65535)
                        continue;
                r = buf_printf(out, "_%s._%s.%s\tSRV 0 100 %lld %s\n", name, protocol_of(v), base,
                                (long long)port, target);
                if (r < 0)
                        return r;
        }
        return 0;
}

int dns_pod_records(
                const char *ns, const char *address, const struct dns_facts *f, struct buf *out) {
        struct address a = address_parse(address);
        char label[ADDRESS_TEXT_SIZE], name[DNS_NAME_SIZE];

        if (a.size == 0 || !is_plain_label(ns) || !dashed_label(&a, label))
                return 0;
        snprintf(name, sizeof(name), "%s.%s.pod.%s.", label, ns, f->domain);
        return add_address(name, &a, out);
}

struct endpoint {
        const json_t *endpoint, *slice;
        const char *ns;
};

/* One address of a headless service: its own name, the service's, ports, and the way back. */
static int add_headless(const struct endpoint *e, const struct address *a, const char *base,
                const struct dns_facts *f, struct buf *out) {
        const char *host = json_str_or(e->endpoint, "hostname", "");
        char label[ADDRESS_TEXT_SIZE];
        char name[DNS_NAME_SIZE];
        int r = add_address(base, a, out);

        if (r < 0)
                return r;
        if (!is_plain_label(host)) {
                if (!dashed_label(a, label))
                        return 0;
                host = label;
        }
        if (strlen(host) + 1 + strlen(base) > NAME_MAX_LENGTH + 1)
                return 0;
        snprintf(name, sizeof(name), "%s.%s", host, base);
        r = add_address(name, a, out);
        if (r < 0)
                return r;
        r = add_ports(json_at(e->slice, "ports"), base, name, out);
        if (r < 0 || !is_in(f->pods, f->pod_count, a))
                return r;
        return add_reverse(a, name, out);
}

/* base NULL: the service is not headless, only pods get records. */
static int add_endpoint(const struct endpoint *e, const char *base, bool unready_too,
                const struct dns_facts *f, struct buf *out) {
        bool is_pod = streq(json_str_or(e->endpoint, "targetRef.kind", ""), "Pod");
        bool ready = unready_too || json_bool_or(e->endpoint, "conditions.ready", true);
        const json_t *v;
        size_t i;
        int r;

        json_array_foreach (json_at(e->endpoint, "addresses"), i, v) {
                const char *text = strempty(json_string_value(v));
                struct address a = address_parse(text);

                if (a.size == 0)
                        continue;
                if (is_pod) {
                        r = dns_pod_records(json_str_or(e->endpoint, "targetRef.namespace", e->ns),
                                        text, f, out);
                        if (r < 0)
                                return r;
                }
                if (base && ready) {
                        r = add_headless(e, &a, base, f, out);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int add_slices(const json_t *service, const json_t *slices, const char *base,
                const struct dns_facts *f, struct buf *out) {
        bool unready_too = json_bool_or(service, "spec.publishNotReadyAddresses", false);
        struct endpoint e = {.ns = object_namespace(service)};
        size_t i, k;
        int r;

        json_array_foreach (slices, i, e.slice)
                json_array_foreach (json_at(e.slice, "endpoints"), k, e.endpoint) {
                        r = add_endpoint(&e, base, unready_too, f, out);
                        if (r < 0)
                                return r;
                }
        return 0;
}

/* An address of the service itself. */
static int add_cluster_ip(
                const char *text, const char *base, const struct dns_facts *f, struct buf *out) {
        struct address a = address_parse(text);
        int r;

        if (a.size == 0)
                return 0;
        r = add_address(base, &a, out);
        if (r < 0 || !is_in(f->services, f->service_count, &a))
                return r;
        return add_reverse(&a, base, out);
}

static int add_cluster_ips(const json_t *service, const char *base, const struct dns_facts *f,
                struct buf *out) {
        const json_t *v, *list = json_at(service, "spec.clusterIPs");
        size_t i;
        int r;

        if (json_array_size(list) == 0) {
                r = add_cluster_ip(json_str_or(service, "spec.clusterIP", ""), base, f, out);
                if (r < 0)
                        return r;
        }
        json_array_foreach (list, i, v) {
                r = add_cluster_ip(strempty(json_string_value(v)), base, f, out);
                if (r < 0)
                        return r;
        }
        return add_ports(json_at(service, "spec.ports"), base, base, out);
}

/* Whether a name (without the final dot) is the domain or below it. */
static bool is_below(const char *name, const char *domain) {
        const char *end = endswith(name, domain);

        return end && (end == name || end[-1] == '.');
}

static int add_external(const json_t *service, const char *base, const struct dns_facts *f,
                struct buf *out) {
        _cleanup_free_ char *name = strdup(json_str_or(service, "spec.externalName", ""));
        size_t n;

        if (!name)
                return -ENOMEM;
        for (char *s = name; *s; s++)
                if (*s >= 'A' && *s <= 'Z')
                        *s = (char)(*s - 'A' + 'a');
        if (!dns_name_is_valid(name) || address_parse(name).size > 0)
                return 0;
        n = strlen(name);
        if (name[n - 1] == '.')
                name[n - 1] = 0;
        return buf_printf(out, "%s\t%s %s.\n", base, is_below(name, f->domain) ? "ALIAS" : "CNAME",
                        name);
}

int dns_service_records(const json_t *service, const json_t *slices, const struct dns_facts *f,
                struct buf *out) {
        const char *name = object_name(service), *ns = object_namespace(service),
                   *ip = json_str_or(service, "spec.clusterIP", "");
        char base[DNS_NAME_SIZE];
        int r;

        if (!is_plain_label(name) || !is_plain_label(ns))
                return 0;
        if ((size_t)snprintf(base, sizeof(base), "%s.%s.svc.%s.", name, ns, f->domain) >=
                        sizeof(base))
                return 0;
        if (streq(json_str_or(service, "spec.type", ""), "ExternalName"))
                return add_external(service, base, f, out);
        if (streq(ip, "None"))
                return add_slices(service, slices, base, f, out);
        r = add_cluster_ips(service, base, f, out);
        return r < 0 ? r : add_slices(service, slices, /* base= */ NULL, f, out);
}

static int add_soa(const char *zone, const struct dns_facts *f, struct buf *out) {
        return buf_printf(out, "%s.\tSOA ns.dns.%s. hostmaster.%s. 1 7200 1800 86400 %i\n", zone,
                        f->domain, f->domain, DNS_TTL_S);
}

int dns_zone_records(const struct dns_facts *f, char *const *reverse_zones, struct buf *out) {
        int r = add_soa(f->domain, f, out);

        for (char *const *z = reverse_zones; z && *z && r >= 0; z++)
                r = add_soa(*z, f, out);
        if (r < 0)
                return r;
        return buf_printf(out, "%s.\tNS ns.dns.%s.\ndns-version.%s.\tTXT \"1.1.0\"\n", f->domain,
                        f->domain, f->domain);
}
