/* ServiceAddressRestriction: addresses that a Service draws to itself on every machine
 * (spec.externalIPs, the ingress of a load balancer): CVE-2020-8554. Allowed inside the ranges of
 * --external-ip-ranges and to whom has the verb use-external-ips on the Service, and never an
 * address of a node, of the API or of the range of service addresses. And addresses of endpoints:
 * nothing that would lead into the machine that asks (loopback, link-local), a pod's own address
 * included. */
#include "kapid/admission/addresses.h"
#include "kapid/admission/plugins.h"
#include "kapid/api.h"
#include "kapid/auth/user.h"
#include "kapid/store/alloc.h"
#include "lib/object.h"

static int invalid(struct admission *a, const char *field, const char *value, const char *why,
                struct problem *p) {
        _cleanup_free_ char *quoted = strformat("\"%.128s\"", value);

        return quoted ? admission_invalid(a, field, quoted, why, p) : -ENOMEM;
}

/* Whether any of the kind's objects has the address. Most are passed over by their text alone. */
static bool any_has(struct cache *c, const char *from, const char *address,
                bool (*has)(const json_t *object, const char *address)) {
        for (struct item *it = c ? cache_first(c, from) : NULL;
                        it && startswith(item_path(it), from); it = cache_next(c, it)) {
                _cleanup_json_ json_t *o = NULL;

                if (!strstr(item_text(it)->data, address))
                        continue;
                o = item_object(it);
                if (!o || has(o, address))
                        return true;
        }
        return false;
}

static bool node_has(const json_t *node, const char *address) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(node, "status.addresses"), i, v)
                if (address_equal(json_str_or(v, "address", ""), address))
                        return true;
        return false;
}

static bool slice_has(const json_t *slice, const char *address) {
        const json_t *endpoint, *v;
        size_t i, k;

        json_array_foreach (json_object_get(slice, "endpoints"), i, endpoint)
                json_array_foreach (json_object_get(endpoint, "addresses"), k, v)
                        if (address_equal(strempty(json_string_value(v)), address))
                                return true;
        return false;
}

/* Why the address is in use already; NULL: it is free to take. */
static const char *owner_of(const struct admission *a, const char *text) {
        const struct api_options *o = &a->api->options;
        char buffer[ADDRESS_TEXT_SIZE];
        const char *address = address_canonical(text, buffer);

        if (!address)
                return NULL;
        if (a->api->alloc && cidrs_with(alloc_ranges(a->api->alloc), address))
                return "is in the range of service addresses";
        if (o->advertise_address && address_equal(address, o->advertise_address))
                return "is an address of the API";
        if (o->api_address && address_equal(address, o->api_address))
                return "is an address of the API";
        if (any_has(api_cache(a->api, "discovery.k8s.io", "endpointslices"), "default/kubernetes-",
                            address, slice_has))
                return "is an address of the API";
        if (any_has(api_cache(a->api, "", "nodes"), "", address, node_has))
                return "is an address of a node";
        return NULL;
}

static const char *address_in(const json_t *v, const char *member) {
        return member ? json_str_or(v, member, "") : strempty(json_string_value(v));
}

/* The addresses of a list in their usual forms, as the keys of an object: lists may be long. NULL:
 * out of memory. */
static json_t *addresses_of(const json_t *list, const char *member) {
        _cleanup_json_ json_t *all = json_object();
        char buffer[ADDRESS_TEXT_SIZE];
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                const char *address = address_canonical(address_in(v, member), buffer);

                if (address && json_object_set_new(all, address, json_true()) < 0)
                        return NULL;
        }
        return TAKE_PTR(all);
}

static bool in_allowed_range(const struct admission *a, const char *address) {
        char *const *ranges = a->api->options.external_ip_ranges;

        for (size_t i = 0; ranges && ranges[i]; i++)
                if (address_in_range(address, ranges[i]))
                        return true;
        return false;
}

/* The addresses of pools are there for all services; kreconciled's loadbalancer.c decides which
 * service gets which. */
static bool in_pool(const struct admission *a, const char *address) {
        struct cache *pools = api_cache(a->api, "keelson.dev", "addresspools");

        for (struct item *it = pools ? cache_first(pools, "") : NULL; it;
                        it = cache_next(pools, it)) {
                _cleanup_json_ json_t *pool = item_object(it);
                const json_t *v;
                size_t i;

                json_array_foreach (json_at(pool, "spec.addresses"), i, v)
                        if (address_in_range(address, strempty(json_string_value(v))))
                                return true;
        }
        return false;
}

static bool may_use_any(const struct admission *a) {
        return admission_may(a, &(struct admission_right){.verb = "use-external-ips",
                                                .resource = "services",
                                                .namespace = a->namespace,
                                                .name = a->name});
}

/* pooled: an address of an AddressPool is allowed too. */
static int check_drawn(struct admission *a, const char *field, const char *address, bool pooled,
                struct problem *p) {
        const char *why = address_special(address);

        if (!why)
                why = owner_of(a, address);
        if (why)
                return invalid(a, field, address, why, p);
        if (pooled && in_pool(a, address))
                return 0;
        if (in_allowed_range(a, address) || may_use_any(a))
                return 0;
        return admission_forbidden(a, p,
                        "%s: user \"%s\" may not use the address %s for a Service: it would take "
                        "traffic away from others; ask an administrator to add it to kapid's "
                        "--external-ip-ranges or to grant the verb \"use-external-ips\" on "
                        "services",
                        field, a->user->name, address);
}

/* Those that the live object has already are not looked at again, and no address twice. */
static int check_list(
                struct admission *a, const char *path, const char *member, struct problem *p) {
        _cleanup_json_ json_t *known = addresses_of(json_at(a->live, path), member);
        char buffer[ADDRESS_TEXT_SIZE];
        const json_t *v;
        size_t i;

        if (!known)
                return -ENOMEM;
        json_array_foreach (json_at(a->object, path), i, v) {
                const char *address = address_in(v, member),
                           *key = address_canonical(address, buffer);
                _cleanup_free_ char *field = strformat(
                                "%s[%zu]%s%s", path, i, member ? "." : "", strempty(member));
                int r;

                if (!field)
                        return -ENOMEM;
                if (isempty(address) || (key && json_object_get(known, key)))
                        continue;
                r = check_drawn(a, field, address, /* pooled= */ false, p);
                if (r < 0)
                        return r;
                if (key && json_object_set_new(known, key, json_true()) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* Names that mean the requesting machine. */
static int check_external_name(struct admission *a, struct problem *p) {
        const char *name = json_str_or(a->object, "spec.externalName", "");
        size_t n = strlen(name);
        const char *why;

        if (!streq(json_str_or(a->object, "spec.type", ""), "ExternalName"))
                return 0;
        if (n > 0 && name[n - 1] == '.')
                n--;
        if ((n == 9 && strncasecmp(name, "localhost", 9) == 0) ||
                        (n > 10 && strncasecmp(name + n - 10, ".localhost", 10) == 0))
                return invalid(a, "spec.externalName", name, "may not be the asking machine", p);
        why = address_special(name);
        if (!why)
                why = owner_of(a, name);
        return why ? invalid(a, "spec.externalName", name, why, p) : 0;
}

static int check_service(struct admission *a, struct problem *p) {
        const char *wanted = json_str_or(a->object, "spec.loadBalancerIP", "");
        int r;

        r = check_list(a, "spec.externalIPs", NULL, p);
        if (r < 0)
                return r;
        if (!isempty(wanted) && !streq(wanted, json_str_or(a->live, "spec.loadBalancerIP", ""))) {
                r = check_drawn(a, "spec.loadBalancerIP", wanted, /* pooled= */ true, p);
                if (r < 0)
                        return r;
        }
        return check_external_name(a, p);
}

static int check_service_status(struct admission *a, struct problem *p) {
        return check_list(a, "status.loadBalancer.ingress", "ip", p);
}

static int check_endpoint_list(struct admission *a, const json_t *addresses, const char *path,
                const char *member, struct problem *p) {
        const json_t *v;
        size_t i;

        json_array_foreach (addresses, i, v) {
                const char *address = member ? json_str_or(v, member, "")
                                             : strempty(json_string_value(v));
                const char *why = address_special(address);
                _cleanup_free_ char *field =
                                why ? strformat("%s[%zu]%s%s", path, i, member ? "." : "",
                                                      strempty(member))
                                    : NULL;

                if (why)
                        return field ? invalid(a, field, address, why, p) : -ENOMEM;
        }
        return 0;
}

static int check_slice(struct admission *a, struct problem *p) {
        const json_t *endpoint;
        size_t i;

        if (streq(json_str_or(a->object, "addressType", ""), "FQDN"))
                return 0;
        json_array_foreach (json_object_get(a->object, "endpoints"), i, endpoint) {
                _cleanup_free_ char *path = strformat("endpoints[%zu].addresses", i);
                int r;

                if (!path)
                        return -ENOMEM;
                r = check_endpoint_list(a, json_object_get(endpoint, "addresses"), path, NULL, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int check_subset(
                struct admission *a, const json_t *subset, size_t index, struct problem *p) {
        static const char *const lists[] = {"addresses", "notReadyAddresses"};

        for (size_t i = 0; i < ELEMENTS(lists); i++) {
                _cleanup_free_ char *path = strformat("subsets[%zu].%s", index, lists[i]);
                int r;

                if (!path)
                        return -ENOMEM;
                r = check_endpoint_list(a, json_object_get(subset, lists[i]), path, "ip", p);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int check_endpoints(struct admission *a, struct problem *p) {
        const json_t *subset;
        size_t i;

        json_array_foreach (json_object_get(a->object, "subsets"), i, subset) {
                int r = check_subset(a, subset, i, p);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* A pod's addresses, which its node writes, become endpoints. */
static int check_pod_addresses(struct admission *a, struct problem *p) {
        const char *address = json_str_or(a->object, "status.podIP", ""),
                   *why = streq(address, json_str_or(a->live, "status.podIP", ""))
                                          ? NULL
                                          : address_special(address);

        if (why)
                return invalid(a, "status.podIP", address, why, p);
        if (json_equal((json_t *)json_at(a->live, "status.podIPs"),
                            (json_t *)json_at(a->object, "status.podIPs")))
                return 0;
        return check_endpoint_list(
                        a, json_at(a->object, "status.podIPs"), "status.podIPs", "ip", p);
}

static const struct admission_rule rules[] = {
                {.group = "",
                                .plural = "services",
                                .operations = ADMIT_WRITE,
                                .validate = check_service},
                {.group = "",
                                .plural = "services",
                                .subresource = "status",
                                .operations = ADMIT_UPDATE,
                                .validate = check_service_status},
                {.group = "",
                                .plural = "pods",
                                .subresource = "status",
                                .operations = ADMIT_UPDATE,
                                .validate = check_pod_addresses},
                {.group = "discovery.k8s.io",
                                .plural = "endpointslices",
                                .operations = ADMIT_WRITE,
                                .validate = check_slice},
                {.group = "",
                                .plural = "endpoints",
                                .operations = ADMIT_WRITE,
                                .validate = check_endpoints},
                {0},
};

const struct admission_plugin admission_service_addresses = {.safeguard = true, .rules = rules};
