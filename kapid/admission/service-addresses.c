/* Addresses that a Service draws to itself on every machine (spec.externalIPs, the ingress of a
 * load balancer): CVE-2020-8554. Allowed inside the ranges of --external-ip-ranges and to whom has
 * the verb use-external-ips on the Service, and never an address of a node, of the API or of the
 * range of service addresses. And addresses of endpoints: nothing that would lead into the machine
 * that asks (loopback, link-local), a pod's own address included. */
#include "kapid/admission/addresses.h"
#include "kapid/admission/plugins.h"
#include "lib/object.h"

static int invalid(struct write *w, const char *field, const char *value, const char *why,
                struct problem *p) {
        char text[400];

        snprintf(text, sizeof(text), "Invalid value: \"%.128s\": %s", value, why);
        problem_set(p, EINVAL, 422, "Invalid", "%s \"%s\" is invalid: %s: %s", w->kind->kind,
                        w->name, field, text);
        problem_cause(p, "FieldValueInvalid", field, text);
        return -EINVAL;
}

/* Whether any of the kind's objects has the address. Most are passed over by their text alone. */
static bool any_has(struct api *a, const char *prefix, const char *from, const char *address,
                bool (*has)(const json_t *object, const char *address)) {
        struct cache *c = caches_get(a->caches, prefix);

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

/* Whose address it is already; NULL: nobody's that counts. */
static const char *owner_of(const struct write *w, const char *text) {
        struct api *a = w->request->api;
        char buffer[ADDRESS_TEXT_SIZE];
        const char *address = address_canonical(text, buffer);

        if (!address)
                return NULL;
        if (a->options.service_range && address_in_range(address, a->options.service_range))
                return "is in the range of service addresses";
        if (a->options.advertise_address && address_equal(address, a->options.advertise_address))
                return "is an address of the API";
        if (any_has(a, "/registry/endpointslices/", "default/kubernetes-", address, slice_has))
                return "is an address of the API";
        if (any_has(a, "/registry/nodes/", "", address, node_has))
                return "is an address of a node";
        return NULL;
}

static bool was_there(const json_t *list, const char *member, const char *address) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                const char *text = member ? json_str_or(v, member, "")
                                          : strempty(json_string_value(v));

                if (address_equal(text, address))
                        return true;
        }
        return false;
}

static bool in_allowed_range(const struct write *w, const char *address) {
        char *const *ranges = w->request->api->options.external_ip_ranges;

        for (size_t i = 0; ranges && ranges[i]; i++)
                if (address_in_range(address, ranges[i]))
                        return true;
        return false;
}

static int check_drawn(struct write *w, const char *field, const char *address, struct problem *p) {
        const char *why = address_special(address);
        _cleanup_free_ char *text = NULL;

        if (!why)
                why = owner_of(w, address);
        if (why)
                return invalid(w, field, address, why, p);
        if (in_allowed_range(w, address) ||
                        admission_may(w, "use-external-ips", "", "services", w->namespace, w->name))
                return 0;
        text = strformat("%s: user \"%s\" may not draw the address %s to a Service: it would take "
                         "it away from everybody else; ask an administrator to add it to kapid's "
                         "--external-ip-ranges or to grant the verb \"use-external-ips\" on "
                         "services",
                        field, w->request->user.name, address);
        return text ? admission_forbidden(w, p, text) : -ENOMEM;
}

/* Those that the live object has already are not looked at again. */
static int check_list(struct write *w, const char *path, const char *member, const json_t *live,
                const json_t *object, struct problem *p) {
        const json_t *before = json_at(live, path), *v;
        size_t i;

        json_array_foreach (json_at(object, path), i, v) {
                const char *address = member ? json_str_or(v, member, "")
                                             : strempty(json_string_value(v));
                _cleanup_free_ char *field = strformat(
                                "%s[%zu]%s%s", path, i, member ? "." : "", strempty(member));
                int r;

                if (!field)
                        return -ENOMEM;
                if (isempty(address) || was_there(before, member, address))
                        continue;
                r = check_drawn(w, field, address, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Names that stand for the machine that asks. */
static int check_external_name(struct write *w, const json_t *object, struct problem *p) {
        const char *name = json_str_or(object, "spec.externalName", "");
        size_t n = strlen(name);
        const char *why;

        if (!streq(json_str_or(object, "spec.type", ""), "ExternalName"))
                return 0;
        if (n > 0 && name[n - 1] == '.')
                n--;
        if ((n == 9 && strncasecmp(name, "localhost", 9) == 0) ||
                        (n > 10 && strncasecmp(name + n - 10, ".localhost", 10) == 0))
                return invalid(w, "spec.externalName", name, "may not be the asking machine", p);
        why = address_special(name);
        if (!why)
                why = owner_of(w, name);
        return why ? invalid(w, "spec.externalName", name, why, p) : 0;
}

static int check_service(
                struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        const char *wanted = json_str_or(object, "spec.loadBalancerIP", "");
        int r;

        if (w->request->sub)
                return streq(w->request->sub->name, "status")
                                       ? check_list(w, "status.loadBalancer.ingress", "ip", live,
                                                         object, p)
                                       : 0;
        r = check_list(w, "spec.externalIPs", NULL, live, object, p);
        if (r >= 0 && !isempty(wanted) &&
                        !streq(wanted, json_str_or(live, "spec.loadBalancerIP", "")))
                r = check_drawn(w, "spec.loadBalancerIP", wanted, p);
        return r < 0 ? r : check_external_name(w, object, p);
}

static int check_endpoint_list(struct write *w, const json_t *addresses, const char *path,
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
                        return field ? invalid(w, field, address, why, p) : -ENOMEM;
        }
        return 0;
}

static int check_slice(struct write *w, const json_t *object, struct problem *p) {
        const json_t *endpoint;
        size_t i;
        int r = 0;

        if (streq(json_str_or(object, "addressType", ""), "FQDN"))
                return 0;
        json_array_foreach (json_object_get(object, "endpoints"), i, endpoint) {
                _cleanup_free_ char *path = strformat("endpoints[%zu].addresses", i);

                r = path ? check_endpoint_list(
                                           w, json_object_get(endpoint, "addresses"), path, NULL, p)
                         : -ENOMEM;
                if (r < 0)
                        break;
        }
        return r;
}

static int check_endpoints(struct write *w, const json_t *object, struct problem *p) {
        static const char *const lists[] = {"addresses", "notReadyAddresses"};
        const json_t *subset;
        size_t i;

        json_array_foreach (json_object_get(object, "subsets"), i, subset)
                for (size_t k = 0; k < ELEMENTS(lists); k++) {
                        _cleanup_free_ char *path = strformat("subsets[%zu].%s", i, lists[k]);
                        int r = path ? check_endpoint_list(w, json_object_get(subset, lists[k]),
                                                       path, "ip", p)
                                     : -ENOMEM;

                        if (r < 0)
                                return r;
                }
        return 0;
}

/* A pod's addresses, which its node writes, become endpoints. */
static int check_pod_addresses(
                struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        const char *address = json_str_or(object, "status.podIP", ""),
                   *why = streq(address, json_str_or(live, "status.podIP", ""))
                                          ? NULL
                                          : address_special(address);

        if (why)
                return invalid(w, "status.podIP", address, why, p);
        return json_equal((json_t *)json_at(live, "status.podIPs"),
                               (json_t *)json_at(object, "status.podIPs"))
                               ? 0
                               : check_endpoint_list(w, json_at(object, "status.podIPs"),
                                                 "status.podIPs", "ip", p);
}

int validate_addresses(
                struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        if (admission_is_kind(w, "", "services"))
                return check_service(w, live, object, p);
        if (admission_is_kind(w, "", "pods") && w->request->sub)
                return check_pod_addresses(w, live, object, p);
        if (admission_is_kind(w, "discovery.k8s.io", "endpointslices"))
                return check_slice(w, object, p);
        if (admission_is_kind(w, "", "endpoints"))
                return check_endpoints(w, object, p);
        return 0;
}
