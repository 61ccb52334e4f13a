/* Cells of network policies, ingresses, ingress classes and ranges of services. */
#include "kapid/table/cells.h"
#include "lib/buf.h"
#include "lib/object.h"

enum { HOSTS_SHOWN = 3 };

json_t *cells_policy_selector(const json_t *o, uint64_t now_us) {
        return cells_selector(json_at(o, "spec.podSelector"));
}

/* "a.example.com,b.example.com,c.example.com + 2 more..."; "*" where the rules name none. */
json_t *cells_ingress_hosts(const json_t *o, uint64_t now_us) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *rule;
        size_t i, n = 0;

        json_array_foreach (json_at(o, "spec.rules"), i, rule) {
                const char *host = json_str_or(rule, "host", "");

                if (*host && n++ < HOSTS_SHOWN)
                        buf_printf(&b, "%s%s", b.size > 0 ? "," : "", host);
        }
        if (n > HOSTS_SHOWN)
                buf_printf(&b, " + %zu more...", n - HOSTS_SHOWN);
        return json_string(b.size > 0 ? b.data : "*");
}

json_t *cells_ingress_addresses(const json_t *o, uint64_t now_us) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *item;
        size_t i;

        json_array_foreach (json_at(o, "status.loadBalancer.ingress"), i, item)
                buf_printf(&b, "%s%s", b.size > 0 ? "," : "",
                                json_str_or(item, "ip", json_str_or(item, "hostname", "")));
        return json_string(b.size > 0 ? b.data : "");
}

json_t *cells_ingress_ports(const json_t *o, uint64_t now_us) {
        return json_string(json_array_size(json_at(o, "spec.tls")) > 0 ? "80, 443" : "80");
}

/* "Kind.group/name" */
json_t *cells_ingressclass_parameters(const json_t *o, uint64_t now_us) {
        const json_t *to = json_at(o, "spec.parameters");
        const char *group = json_str_or(to, "apiGroup", "");

        if (!to)
                return json_string("<none>");
        return json_sprintf("%s%s%s/%s", json_str_or(to, "kind", ""), *group ? "." : "", group,
                        json_str_or(to, "name", ""));
}

json_t *cells_servicecidr_ranges(const json_t *o, uint64_t now_us) {
        const json_t *cidrs = json_at(o, "spec.cidrs");

        return json_sprintf("%s%s%s", strempty(json_string_value(json_array_get(cidrs, 0))),
                        json_array_size(cidrs) > 1 ? "," : "",
                        strempty(json_string_value(json_array_get(cidrs, 1))));
}
