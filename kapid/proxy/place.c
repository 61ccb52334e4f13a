/* Reference: ResourceLocation and isValidAddress of pkg/registry/core/{pod,service}/storage. */
#include "kapid/proxy/place.h"

#include "lib/buf.h"
#include "lib/object.h"

enum { LOOKUPS_MAX = 64 };

/* --- pods --- */

static const json_t *first_port(const json_t *pod, const char *name) {
        const json_t *container, *port;
        size_t i, k;

        json_array_foreach (json_at(pod, "spec.containers"), i, container)
                json_array_foreach (json_at(container, "ports"), k, port)
                        if (!name || streq(json_str_or(port, "name", ""), name))
                                return port;
        return NULL;
}

int place_port_of_pod(
                const json_t *pod, const char *port, bool tls, uint16_t *ret, struct problem *p) {
        const json_t *named = first_port(pod, *port ? port : NULL);
        int64_t number = named ? json_int_or(named, "containerPort", 0) : 0;

        if (*port && parse_port(port, ret) >= 0 && *ret > 0)
                return 0;
        if (*port && !named)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "\"%.64s\" is neither a port (1 to 65535) nor the name of a port of "
                                "a container of pod \"%s\"",
                                port, object_name(pod));
        *ret = (uint16_t)(number > 0 && number <= UINT16_MAX ? number : tls ? 443 : 80);
        return 0;
}

int place_check_pod(const json_t *pod, struct problem *p) {
        if (isempty(json_str_or(pod, "spec.nodeName", "")))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "pod %s does not have a host assigned", object_name(pod));
        if (isempty(json_str_or(pod, "status.podIP", "")))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "address not allowed: pod \"%s\" has none, it does not run",
                                object_name(pod));
        return 0;
}

static bool has_address(const json_t *pod, const char *ip) {
        const json_t *v;
        size_t i;

        if (isempty(ip))
                return false;
        json_array_foreach (json_at(pod, "status.podIPs"), i, v)
                if (streq(json_str_or(v, "ip", ""), ip))
                        return true;
        return streq(json_str_or(pod, "status.podIP", ""), ip);
}

void pod_place_done(struct pod_place *p) {
        json_decref(p->pod);
        *p = (struct pod_place){0};
}

/* --- services --- */

static char *ports_text(const json_t *service) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(service, "spec.ports"), i, v)
                buf_printf(&b, "%s%lld%s%s", i ? ", " : "", (long long)json_int_or(v, "port", 0),
                                isempty(json_str(v, "name")) ? "" : " ",
                                json_str_or(v, "name", ""));
        return buf_take(&b);
}

/* Without an endpoint of that port there is none at all, so a missing name is refused as that. */
static int refuse_port(const json_t *service, const char *port, struct problem *p) {
        _cleanup_free_ char *ports = ports_text(service);
        uint64_t number;

        if (parse_u64(port, &number) >= 0)
                return problem_set(p, ENOENT, 503, "ServiceUnavailable",
                                "no service port %.8s found for service \"%s\" (it has: %s)", port,
                                object_name(service), strempty(ports));
        return problem_set(p, ENOENT, 503, "ServiceUnavailable",
                        "no endpoints available for service \"%s\": it has no port %s%.64s (it "
                        "has: %s); NAME:PORT says which one is meant",
                        object_name(service), *port ? "named " : "without a name", port,
                        strempty(ports));
}

int place_port_of_service(
                const json_t *service, const char *port, const char **ret, struct problem *p) {
        uint64_t number;
        bool by_number = parse_u64(port, &number) >= 0;
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(service, "spec.ports"), i, v)
                if (by_number ? json_int_or(v, "port", 0) == (int64_t)number
                              : streq(json_str_or(v, "name", ""), port)) {
                        *ret = json_str_or(v, "name", "");
                        return 0;
                }
        return refuse_port(service, port, p);
}

/* 1: the address is that of a living pod. */
static int try_address(const json_t *address, const char *namespace, place_pod_func find,
                void *userdata, json_t **ret) {
        const json_t *ref = json_at(address, "targetRef");
        _cleanup_json_ json_t *pod = NULL;

        if (!streq(json_str_or(ref, "kind", ""), "Pod") ||
                        !streq(json_str_or(ref, "namespace", ""), namespace))
                return 0;
        pod = find(json_str_or(ref, "name", ""), userdata);
        if (!pod || !has_address(pod, json_str_or(address, "ip", "")))
                return 0;
        *ret = TAKE_PTR(pod);
        return 1;
}

/* The number of the subset's port of that name; 0: it has none. */
static uint16_t subset_port(const json_t *subset, const char *name) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(subset, "ports"), i, v) {
                int64_t number = json_int_or(v, "port", 0);

                if (streq(json_str_or(v, "name", ""), name) &&
                                streq(json_str_or(v, "protocol", "TCP"), "TCP") && number > 0 &&
                                number <= UINT16_MAX)
                        return (uint16_t)number;
        }
        return 0;
}

int place_of_service(const json_t *endpoints, const char *port_name, uint64_t turn,
                place_pod_func find, void *userdata, struct pod_place *ret, struct problem *p) {
        const json_t *subsets = json_at(endpoints, "subsets");
        size_t count = json_array_size(subsets), left = LOOKUPS_MAX, others = 0;

        for (size_t i = 0; i < count; i++) {
                const json_t *subset = json_array_get(subsets, (turn + i) % count),
                             *addresses = json_at(subset, "addresses");
                size_t n = json_array_size(addresses);
                uint16_t port = subset_port(subset, port_name);

                for (size_t k = 0; port > 0 && k < n && left > 0; k++, left--, others++) {
                        const json_t *a = json_array_get(addresses, (turn + k) % n);

                        if (try_address(a, object_namespace(endpoints), find, userdata, &ret->pod) >
                                        0) {
                                ret->port = port;
                                return 0;
                        }
                }
        }
        return problem_set(p, ENOENT, 503, "ServiceUnavailable",
                        "no endpoints available for service \"%s\"%s", object_name(endpoints),
                        others > 0 ? ": its addresses are not those of pods of this namespace, and "
                                     "the API server connects to no others"
                                   : "");
}
