/* A service is called at one of its ready endpoints, and not at its cluster address: kapid's
 * machine need not be a node. Reference: kube-apiserver's endpoint routing (ResolveEndpoint). */
#include "kapid/webhooks/resolve.h"

#include "kapid/webhooks/service-port.h"

static int no_place(char **ret_why, const char *why, const struct webhook_target *t) {
        *ret_why = strformat("%s \"%s\" (namespace \"%s\")", why, t->service, t->namespace);
        return *ret_why ? -ENOENT : -ENOMEM;
}

static int find(struct api *a, const char *plural, const struct webhook_target *t, json_t **ret) {
        struct item *it = api_find(a, "", plural, t->namespace, t->service);

        if (!it)
                return 0;
        *ret = item_object(it);
        return *ret ? 1 : -ENOMEM;
}

static int pick_address(struct api *a, const struct webhook_target *t, uint64_t *turn,
                const json_t *port, char **ret, char **ret_why) {
        _cleanup_strv_free_ char **addresses = NULL;
        _cleanup_json_ json_t *endpoints = NULL;
        int r = find(a, "endpoints", t, &endpoints);

        if (r < 0)
                return r;
        r = webhook_addresses(endpoints, json_str_or(port, "name", ""), &addresses);
        if (r < 0)
                return r;
        if (strv_length(addresses) == 0)
                return no_place(ret_why, "no endpoints available for service", t);
        *ret = strdup(addresses[(*turn)++ % strv_length(addresses)]);
        return *ret ? 0 : -ENOMEM;
}

int webhook_service_address(struct api *a, const struct webhook_target *t, uint64_t *turn,
                char **ret, char **ret_why) {
        _cleanup_json_ json_t *service = NULL;
        const json_t *port;
        int r = find(a, "services", t, &service);

        if (r < 0)
                return r;
        if (r == 0)
                return no_place(ret_why, "there is no service", t);
        if (streq(json_str_or(service, "spec.type", ""), "ExternalName")) {
                *ret = strformat("%s:%lld", json_str_or(service, "spec.externalName", ""),
                                (long long)t->port);
                return *ret ? 0 : -ENOMEM;
        }
        port = service_port_find(service, t->port);
        if (!port)
                return no_place(ret_why, "the port of the configuration is no port of the service",
                                t);
        return pick_address(a, t, turn, port, ret, ret_why);
}

static int resolve_service(
                struct api *a, struct webhook *w, struct webhook_place *place, char **ret_why) {
        const struct webhook_target *t = &w->target;
        _cleanup_free_ char *address = NULL;
        int r = webhook_service_address(a, t, &w->next_address, &address, ret_why);

        if (r < 0)
                return r;
        place->base_url = strformat("https://%s", address);
        place->server_name = strformat("%s.%s.svc", t->service, t->namespace);
        place->path = strformat(
                        "%s?timeout=%llus", t->path, (unsigned long long)(w->timeout_us / 1000000));
        place->shown = strformat("https://%s.%s.svc:%lld%s", t->service, t->namespace,
                        (long long)t->port, t->path);
        return place->base_url && place->server_name && place->path && place->shown ? 0 : -ENOMEM;
}

static int resolve_url(struct webhook *w, struct webhook_place *place) {
        _cleanup_free_ char *path = NULL;
        int r = webhook_url_split(w->target.url, &place->base_url, &path);

        if (r < 0)
                return r;
        place->path = strformat(
                        "%s?timeout=%llus", path, (unsigned long long)(w->timeout_us / 1000000));
        place->shown = strdup(w->target.url);
        return place->path && place->shown ? 0 : -ENOMEM;
}

int webhook_resolve(struct api *a, struct webhook *w, struct webhook_place *ret, char **ret_why) {
        _cleanup_webhook_place_ struct webhook_place place = {0};
        int r = w->target.url ? resolve_url(w, &place) : resolve_service(a, w, &place, ret_why);

        if (r < 0)
                return r;
        *ret = place;
        place = (struct webhook_place){0};
        return 0;
}
