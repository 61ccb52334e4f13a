/* An answer is made from the table at the time of the question, as kube-proxy makes it: 200 with
 * endpoints, 503 without, their number in the body and in a header. A change of a service costs a
 * look at that service. */
#include "nodeagent/network/service-health.h"

#include "lib/http-server.h"
#include "lib/log.h"

enum { CONNECTIONS_MAX = 64, IDLE_S = 10, BODY_MAX = 1024 };

struct service_health {
        sd_event *event;
        struct service_table *table;
        char *node_name;
        struct map *listeners; /* "namespace/name" -> struct listener */
};

struct listener {
        struct service_health *health;
        char *service;
        unsigned port;
        struct http_server *server; /* NULL: the port could not be had */
};

static void free_listener(void *v) {
        struct listener *l = v;

        if (l) {
                http_server_free(l->server);
                free(l->service);
        }
        free(l);
}

static void on_request(struct http_request *r, void *userdata) {
        const struct listener *l = userdata;
        struct service_table *t = l->health->table;
        const struct service_view *s = service_table_service(t, l->service);
        size_t n = endpoints_ready_here(service_table_slices(t, l->service), l->health->node_name);
        _cleanup_json_ json_t *answer = json_pack("{s:{s:s, s:s}, s:I, s:b}", "service",
                        "namespace", s ? s->ns : "", "name", s ? s->name : "", "localEndpoints",
                        (json_int_t)n, "serviceProxyHealthy", 1);
        _cleanup_free_ char *text = answer ? json_text(answer) : NULL;
        char weight[24];

        snprintf(weight, sizeof(weight), "%zu", n);
        (void)http_response_header(r, "X-Load-Balancing-Endpoint-Weight", weight);
        http_respond(r, n > 0 ? 200 : 503, "application/json", strempty(text),
                        strlen(strempty(text)));
}

static void listen_for(struct service_health *h, const char *service, unsigned port) {
        struct listener *l = calloc(1, sizeof(*l));
        struct http_server_options options = {.port = (uint16_t)port,
                        .body_size_max = BODY_MAX,
                        .idle_timeout_s = IDLE_S,
                        .connections_max = CONNECTIONS_MAX,
                        .handler = on_request,
                        .userdata = l};
        _cleanup_problem_ struct problem p = {0};

        if (l)
                *l = (struct listener){.health = h, .service = strdup(service), .port = port};
        if (!l || !l->service || map_set(h->listeners, service, l) < 0) {
                free_listener(l);
                log_oom();
                return;
        }
        if (http_server_new(&l->server, h->event, &options, &p) < 0)
                log_about(LOG_WARNING, 0, "Service", service,
                                "Service %s: this node does not answer on its "
                                "healthCheckNodePort: %s",
                                service, strempty(p.message));
}

static void on_touched(const char *service, void *userdata) {
        struct service_health *h = userdata;
        const struct service_view *v = service_table_service(h->table, service);
        const struct listener *l = map_get(h->listeners, service);
        unsigned port = v && v->external_local ? v->health_port : 0;

        if ((l ? l->port : 0) == port)
                return;
        (void)map_remove(h->listeners, service);
        if (port > 0)
                listen_for(h, service, port);
}

int service_health_new(struct service_health **ret, sd_event *event, struct service_table *table,
                const char *node_name) {
        _cleanup_(service_health_freep) struct service_health *h = calloc(1, sizeof(*h));
        int r;

        if (!h)
                return -ENOMEM;
        h->event = event;
        h->table = table;
        h->node_name = strdup(node_name);
        h->listeners = map_new(free_listener);
        if (!h->node_name || !h->listeners)
                return -ENOMEM;
        r = service_table_observe(table, on_touched, h);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(h);
        return 0;
}

struct service_health *service_health_free(struct service_health *h) {
        if (!h)
                return NULL;
        service_table_unobserve(h->table, on_touched, h);
        map_free(h->listeners);
        free(h->node_name);
        free(h);
        return NULL;
}
