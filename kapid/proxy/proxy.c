/* The owner of a relay (kapid/relay/) is a struct proxied: it dials (kapid/streams/dial.h), gives
 * the name of its socket to the relay, and afterwards knows why a connection was refused. */
#include "kapid/proxy/proxy.h"

#include "kapid/proxy/name.h"
#include "kapid/relay/relay.h"
#include "kapid/streams/dial.h"

enum {
        REQUESTS_MAX = 128, /* at a time; each has a stream to a node */
        BYTES_MAX = 64 << 20,
        HOSTS_MAX = 4,
};

struct pod_proxies {
        struct api *api;
        struct relays *relays;
        struct dials *dials;
        struct http_client *plain, *tls;
        uint64_t turn;
};

struct proxied {
        struct pod_proxies *all;
        struct relay *relay;
        struct dial *dial;
        char *base_url, *target;
        char *prefix;           /* of its paths, at the client */
        char *hosts[HOSTS_MAX]; /* the server's own, ended by NULL */
        bool tls;
};

static void proxied_free(void *owner) {
        struct proxied *x = owner;

        dial_free(x->dial);
        for (size_t i = 0; i < HOSTS_MAX; i++)
                free(x->hosts[i]);
        free(x->base_url);
        free(x->target);
        free(x->prefix);
        free(x);
}

/* --- what the relay asks --- */

/* The client's address without its port. */
static int add_client(struct request *request, struct forward_headers *h) {
        const char *address = http_request_peer(request->http)->address, *colon;
        _cleanup_free_ char *ip = NULL;
        bool brackets = address && *address == '[';

        colon = address ? strrchr(address, ':') : NULL;
        if (!colon || *address == '@' || colon - address < 2 * brackets)
                return 0;
        ip = strndup(address + brackets, (size_t)(colon - address) - 2 * brackets);
        return ip ? forward_add(h, "X-Forwarded-For", ip) : -ENOMEM;
}

static int add_headers(struct request *request, void *owner, struct forward_headers *h,
                struct problem *p) {
        struct proxied *x = owner;
        const char *host = request_header(request, "Host");
        _cleanup_free_ char *uri =
                        strformat("%s%.*s", x->prefix, (int)strcspn(x->target, "?"), x->target);
        int r;

        if (!uri)
                return -ENOMEM;
        if (isempty(host))
                host = strstr(x->base_url, "://") + 3;
        if (forward_add(h, "Host", host) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest", "the Host header is not valid");
        r = forward_add(h, "X-Forwarded-Uri", uri);
        if (r < 0)
                return r;
        return add_client(request, h);
}

static int change(void *owner, const char *name, const char *value, char **ret) {
        const struct proxied *x = owner;

        if (!strcaseeq(name, "Location"))
                return 0;
        return proxy_location(value, x->prefix, (const char *const *)x->hosts, ret);
}

static const char *why(void *owner) {
        const struct proxied *x = owner;

        return dial_why(x->dial);
}

static int make_tls(void *owner, struct tls_context **ret, struct problem *p) {
        return tls_context_new_unchecked(ret);
}

static const struct relay_ops ops = {.server = "the server",
                .busy = "proxied requests",
                .redirects = true,
                .add_headers = add_headers,
                .change = change,
                .why = why,
                .tls = make_tls,
                .free = proxied_free};

/* --- a request --- */

static void on_open(const char *socket_name, void *userdata) {
        struct proxied *x = userdata;
        struct pod_proxies *all = x->all;

        relay_send(x->relay, &(struct relay_place){.client = x->tls ? all->tls : all->plain,
                                             .base_url = x->base_url,
                                             .target = x->target,
                                             .socket_name = socket_name,
                                             .idle_us = all->api->options.stream_idle_us});
}

static void on_failed(const char *why, void *userdata) {
        struct proxied *x = userdata;
        _cleanup_free_ char *text = strformat("error trying to reach service: %s", why);

        relay_fail(x->relay, 503, strempty(text));
}

static const struct dial_events dial_events = {.on_open = on_open, .on_failed = on_failed};

static int add_hosts(struct proxied *x, struct request *request, const struct proxy_to *to) {
        const char *asked = request_header(request, "Host"), *full = strstr(x->base_url, "://") + 3;
        size_t n = 0;

        x->hosts[n++] = strdup(full);
        if (to->port == (to->tls ? 443 : 80)) /* it may be left out */
                x->hosts[n++] = strndup(full, (size_t)(strrchr(full, ':') - full));
        if (!isempty(asked))
                x->hosts[n++] = strdup(asked);
        for (size_t i = 0; i < n; i++)
                if (!x->hosts[i])
                        return -ENOMEM;
        return 0;
}

/* "/api/v1/namespaces/NS/pods/p:80/proxy", encoded. */
static int make_prefix(struct proxied *x, const struct route *t) {
        _cleanup_free_ char *path = strformat("/api/%s%s%s/%s/%s/proxy", t->version,
                        isempty(t->namespace) ? "" : "/namespaces/", t->namespace, t->plural,
                        t->name);

        return path ? proxy_target(path, NULL, &x->prefix) : -ENOMEM;
}

static int fill(struct proxied *x, struct request *request, const struct proxy_to *to,
                struct problem *p) {
        const char *scheme = to->tls ? "https" : "http",
                   *address = isempty(to->address) ? "localhost" : to->address;
        _cleanup_free_ char *path = NULL;
        int r = proxy_path(request->route.rest, &path, p);

        if (r < 0)
                return r;
        r = proxy_target(path, http_request_query_text(request->http), &x->target);
        if (r < 0)
                return r;
        r = make_prefix(x, &request->route);
        if (r < 0)
                return r;
        x->base_url = strformat(strchr(address, ':') ? "%s://[%s]:%u" : "%s://%s:%u", scheme,
                        address, to->port);
        x->tls = to->tls;
        return x->base_url ? add_hosts(x, request, to) : -ENOMEM;
}

int proxy_request(struct request *request, struct proxy_to *to, struct problem *p) {
        struct pod_proxies *all = request->api->pod_proxies;
        struct proxied *x = calloc(1, sizeof(*x));
        struct relay *y;
        int r = x ? fill(x, request, to, p) : -ENOMEM;

        if (r < 0) {
                if (x)
                        proxied_free(x);
                return r;
        }
        x->all = all;
        y = relay_begin(all->relays, request, x);
        if (!y)
                return 0;
        x->relay = y;
        r = dial_new(&x->dial, all->dials, to->target, to->ask, to->port, &dial_events, x, p);
        if (r < 0)
                relay_refuse(y, r, p);
        return 0;
}

/* --- all of them --- */

static int make_clients(struct pod_proxies *all) {
        static const unsigned flags[] = {0, HTTP_CLIENT_TLS_1_2 | HTTP_CLIENT_ANY_SERVER};
        struct http_client **const clients[] = {&all->plain, &all->tls};

        for (size_t i = 0; i < ELEMENTS(clients); i++) {
                int r = http_client_new(clients[i], all->api->event,
                                &(struct http_client_options){
                                                .base_url = "http://localhost",
                                                .on_session = flags[i] ? tls_bound_keys : NULL,
                                                .flags = flags[i]});

                if (r < 0)
                        return r;
        }
        return 0;
}

static int make_relays(struct pod_proxies *all) {
        return relays_new(&all->relays, all->api,
                        &(struct relay_options){.ops = &ops,
                                        .requests_max = REQUESTS_MAX,
                                        .bytes_max = BYTES_MAX,
                                        .counter = "keelson_proxied_requests_total",
                                        .counter_help = "Requests that were passed on to pods, "
                                                        "services and nodes."});
}

int pod_proxies_new(struct pod_proxies **ret, struct api *api) {
        _cleanup_(pod_proxies_freep) struct pod_proxies *all = calloc(1, sizeof(*all));
        int r;

        if (!all)
                return -ENOMEM;
        all->api = api;
        r = dials_new(&all->dials, api);
        if (r < 0)
                return r;
        r = make_clients(all);
        if (r < 0)
                return r;
        r = make_relays(all);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(all);
        return 0;
}

struct pod_proxies *pod_proxies_free(struct pod_proxies *all) {
        if (!all)
                return NULL;
        relays_free(all->relays);
        http_client_free(all->plain);
        http_client_free(all->tls);
        dials_free(all->dials);
        return mfree(all);
}

size_t pod_proxies_end_of(struct pod_proxies *all, const char *user) {
        return all ? relays_end_of(all->relays, user) : 0;
}

uint64_t pod_proxies_turn(struct pod_proxies *all) {
        return all->turn++;
}
