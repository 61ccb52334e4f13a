/* Services, endpoint slices and pods -> DNS records, as Kubernetes' DNS specification 1.1.0 has
 * them. Pure. A record is a line "NAME\tTYPE DATA\n", names ending in a dot:
 * "web.shop.svc.cluster.local.\tA 10.96.3.4\n". Two types are not of the wire: ALIAS stands for the
 * addresses of another name of the cluster, and CNAME leads out of it. */
#pragma once

#include "lib/address.h"
#include "lib/buf.h"
#include "lib/json.h"

enum { DNS_TTL_S = 5, DNS_NAME_SIZE = 256, DNS_RANGES_MAX = 4 };

struct dns_facts {
        const char *domain; /* "cluster.local" */
        /* Only addresses of these ranges get reverse names: of cluster IPs, and of endpoints. */
        struct address_range services[DNS_RANGES_MAX], pods[DNS_RANGES_MAX];
        size_t service_count, pod_count;
};

/* The records of the zones themselves: SOA, NS and dns-version. reverse_zones: of
 * dns_reverse_zones(). -ENOMEM. */
int dns_zone_records(const struct dns_facts *f, char *const *reverse_zones, struct buf *out);
/* The records of a service, and the pod records of its endpoints. slices: the array of its
 * EndpointSlices, or NULL. Names that DNS cannot carry are left out. -ENOMEM. */
int dns_service_records(const json_t *service, const json_t *slices, const struct dns_facts *f,
                struct buf *out);
/* "10-244-1-7.shop.pod.cluster.local.". -ENOMEM. */
int dns_pod_records(
                const char *ns, const char *address, const struct dns_facts *f, struct buf *out);
/* "7.1.244.10.in-addr.arpa." or the ip6.arpa name. Returns buffer. */
const char *dns_reverse_name(const struct address *a, char buffer[static DNS_NAME_SIZE]);
/* Adds the reverse zones that cover the range ("10.96.0.0/12": 16 zones of /16), without the final
 * dot. -EINVAL: not a range, or one larger than /8 (IPv6: /16); -ENOMEM. */
int dns_reverse_zones(const char *cidr, char ***zones);
/* Whether a text is a domain name of at most 253 characters; a final dot is allowed. */
bool dns_name_is_valid(const char *s);
