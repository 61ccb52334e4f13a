/* Backends: an Ingress' reference to a Service, its port, and the endpoints that requests go to. */
#include <arpa/inet.h>

#include "lib/object.h"
#include "lib/vector.h"
#include "reconcilers/ingress/internal.h"

/* The entry of spec.ports that an IngressBackend names; NULL: there is none. */
static const json_t *find_port(const json_t *service, const json_t *wanted) {
        const char *name = json_str_or(wanted, "name", "");
        int64_t number = json_int_or(wanted, "number", 0);
        const json_t *port;
        size_t i;

        json_array_foreach (json_at(service, "spec.ports"), i, port) {
                if (!streq(json_str_or(port, "protocol", "TCP"), "TCP"))
                        continue;
                if (*name ? streq(json_str_or(port, "name", ""), name)
                          : json_int_or(port, "port", 0) == number)
                        return port;
        }
        return NULL;
}

static int slice_port(const json_t *slice, const char *name) {
        const json_t *port;
        size_t i;

        json_array_foreach (json_at(slice, "ports"), i, port)
                if (streq(json_str_or(port, "name", ""), name) &&
                                streq(json_str_or(port, "protocol", "TCP"), "TCP")) {
                        int64_t n = json_int_or(port, "port", 0);

                        return n >= 1 && n <= UINT16_MAX ? (int)n : 0;
                }
        return 0;
}

/* "10.244.1.7:8080" or "[2001:db8::7]:8080"; NULL for something else. An endpoint is never this
 * machine itself: haproxy is in its network. Caller frees. */
static char *endpoint_text(const char *address, int port) {
        struct in6_addr v6;
        struct in_addr v4;
        uint32_t n;

        if (inet_pton(AF_INET, address, &v4) == 1) {
                n = ntohl(v4.s_addr);
                if (n >> 24 == 127 || n >> 24 == 0 || n >> 28 >= 14 || n >> 16 == 0xa9fe)
                        return NULL;
                return strformat("%s:%i", address, port);
        }
        if (inet_pton(AF_INET6, address, &v6) != 1 || IN6_IS_ADDR_LOOPBACK(&v6) ||
                        IN6_IS_ADDR_UNSPECIFIED(&v6) || IN6_IS_ADDR_MULTICAST(&v6) ||
                        IN6_IS_ADDR_LINKLOCAL(&v6) || IN6_IS_ADDR_V4MAPPED(&v6))
                return NULL;
        return strformat("[%s]:%i", address, port);
}

/* Ready ones; or those that still serve while they terminate (KEP-1669). */
static bool counts(const json_t *endpoint, bool terminating) {
        const json_t *c = json_object_get(endpoint, "conditions");

        if (terminating)
                return json_bool_or(c, "serving", false) && json_bool_or(c, "terminating", false);
        return json_bool_or(c, "ready", true);
}

static void collect(const json_t *slices, const char *port_name, bool terminating, json_t *found) {
        const json_t *slice, *e;
        size_t i, j;

        json_array_foreach (slices, i, slice) {
                int port = slice_port(slice, port_name);

                if (port == 0)
                        continue;
                json_array_foreach (json_at(slice, "endpoints"), j, e) {
                        const char *address = strempty(json_string_value(
                                        json_array_get(json_object_get(e, "addresses"), 0)));
                        _cleanup_free_ char *text = counts(e, terminating)
                                                                    ? endpoint_text(address, port)
                                                                    : NULL;

                        if (text)
                                assert(json_object_set_new(found, text, json_true()) >= 0);
                }
        }
}

static int compare_strings(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys of an object, sorted: a new array. */
static json_t *sorted_keys(const json_t *object) {
        VECTOR(const char *) keys = {0};
        json_t *ret = json_array();
        const json_t *v;
        const char *key;

        assert(ret);
        json_object_each (object, key, v)
                assert(vector_append(&keys, key) >= 0);
        if (keys.count > 0)
                qsort(keys.items, keys.count, sizeof(*keys.items), compare_strings);
        for (size_t i = 0; i < keys.count; i++)
                assert(json_array_append_new(ret, json_string(keys.items[i])) >= 0);
        vector_done(&keys);
        return ret;
}

static json_t *endpoints_of(const struct ingress_draft *d, const char *ns, const char *service,
                const char *port_name) {
        _cleanup_json_ json_t *slices = json_array(), *found = json_object();

        assert(slices && found);
        d->view->slices(d->view->data, ns, service, slices);
        collect(slices, port_name, /* terminating= */ false, found);
        if (json_object_size(found) == 0)
                collect(slices, port_name, /* terminating= */ true, found);
        return sorted_keys(found);
}

static char *section_text(const char *name, const struct ingress_settings *s) {
        _cleanup_buf_ struct buf b = {0};
        char *text;

        buf_printf(&b, "backend %s\n        balance roundrobin\n", name);
        /* A request that may be repeated is sent to another endpoint when one has just stopped. */
        buf_append_str(&b, "        http-request disable-l7-retry if !{ method GET HEAD OPTIONS "
                           "PUT DELETE }\n");
        if (s->body_max > 0)
                buf_printf(&b,
                                "        http-request deny deny_status 413 if { req.body_size gt "
                                "%llu }\n",
                                (unsigned long long)s->body_max);
        if (s->connect_ms > 0)
                buf_printf(&b, "        timeout connect %llums\n",
                                (unsigned long long)s->connect_ms);
        if (s->read_ms > 0)
                buf_printf(&b, "        timeout server %llums\n", (unsigned long long)s->read_ms);
        if (s->https_backend)
                buf_append_str(&b, "        default-server ssl verify none sni var(txn.host)\n");
        text = buf_take(&b);
        assert(text);
        return text;
}

/* The Service and its port, or NULL after a finding. */
static const json_t *find_service(struct ingress_draft *d, const json_t *ingress,
                const json_t *reference, const json_t **ret_port) {
        const char *name = json_str_or(reference, "name", "");
        const json_t *service = ingress_service(d, object_namespace(ingress), name),
                     *port = json_object_get(reference, "port");

        if (!service) {
                ingress_finding(d, ingress, "ServiceNotFound",
                                "Service %s does not exist: its requests are answered with 503",
                                ingress_is_host(name, /* wildcard= */ false) ? name : "(no name)");
                return NULL;
        }
        if (streq(json_str_or(service, "spec.type", ""), "ExternalName")) {
                ingress_finding(d, ingress, "InvalidBackend",
                                "Service %s is of type ExternalName, which could lead anywhere in "
                                "the machines' network: its requests are answered with 503. Use a "
                                "Service with endpoints",
                                name);
                return NULL;
        }
        *ret_port = find_port(service, port);
        if (!*ret_port) {
                if (*json_str_or(port, "name", ""))
                        ingress_finding(d, ingress, "PortNotFound",
                                        "Service %s has no TCP port of that name: its requests are "
                                        "answered with 503",
                                        name);
                else
                        ingress_finding(d, ingress, "PortNotFound",
                                        "Service %s has no TCP port %lli: its requests are answered "
                                        "with 503",
                                        name, (long long)json_int_or(port, "number", 0));
                return NULL;
        }
        return service;
}

const char *ingress_backend(struct ingress_draft *d, const json_t *ingress,
                const struct ingress_settings *s, const json_t *backend) {
        const json_t *reference = json_object_get(backend, "service"), *service, *port = NULL;
        _cleanup_free_ char *name = NULL, *section = NULL;

        if (!reference) {
                ingress_finding(d, ingress, "InvalidBackend",
                                "A backend names a resource: only Services are supported, and its "
                                "requests are answered with 503");
                return INGRESS_UNAVAILABLE;
        }
        service = find_service(d, ingress, reference, &port);
        if (!service)
                return INGRESS_UNAVAILABLE;
        /* ':' is in none of the names, so two of these never meet. */
        name = strformat("%s:%s:%s:%lli", object_namespace(ingress), object_name(ingress),
                        object_name(service), (long long)json_int_or(port, "port", 0));
        assert(name);
        if (!json_object_get(d->backends, name)) {
                section = section_text(name, s);
                assert(json_object_set_new(d->backends, name,
                                       json_pack("{s:s, s:o}", "section", section, "endpoints",
                                                       endpoints_of(d, object_namespace(ingress),
                                                                       object_name(service),
                                                                       json_str_or(port, "name",
                                                                                       "")))) >= 0);
        }
        return json_object_iter_key(json_object_iter_at(d->backends, name));
}
