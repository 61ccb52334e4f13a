/* .../pods/NAME/proxy/PATH, .../services/NAME/proxy/PATH, .../nodes/NAME/proxy/PATH: whom the
 * request is for, and whether it may go there; kapid/proxy/ passes it on. */
#include "kapid/pipeline/admit.h"
#include "kapid/pipeline/ask.h"
#include "kapid/proxy/name.h"
#include "kapid/proxy/place.h"
#include "kapid/proxy/proxy.h"
#include "kapid/streams/node-target.h"
#include "kapid/verbs/verbs.h"
#include "lib/object.h"

enum {
        AGENT_PORT = 10250, /* the kubelet's, by which clients name it */
        PODS_BYTES_MAX = 4 << 20,
};

static int find(struct request *request, const char *plural, const char *name, json_t **ret) {
        struct item *it = api_find(request->api, "", plural, request->route.namespace, name);

        if (!it)
                return -ENOENT;
        *ret = item_object(it);
        return *ret ? 0 : -ENOMEM;
}

/* The object that the path names. */
static int find_named(struct request *request, const char *name, json_t **ret, struct problem *p) {
        int r = find(request, request->kind->plural, name, ret);

        return r == -ENOENT ? problem_not_found(p, request->kind, name) : r;
}

/* Who may do it with port-forward may do it here: the same is asked. */
static int send_to_pod(struct request *request, const json_t *pod, uint16_t port, bool tls,
                struct problem *p) {
        _cleanup_(node_target_done) struct node_target target = {0};
        _cleanup_json_ json_t *ask = NULL;
        _cleanup_free_ char *text = NULL;
        int r = place_check_pod(pod, p);

        if (r < 0)
                return r;
        r = request_may_connect(request, pod, p);
        if (r < 0)
                return r;
        r = node_target_of_pod(request->api, pod, &target, p);
        if (r < 0)
                return r;
        ask = json_pack("{ss, ss, ss, ss}", "verb", "proxy", "namespace", object_namespace(pod),
                        "pod", object_name(pod), "uid", object_uid(pod));
        text = ask ? json_text(ask) : NULL;
        if (!text)
                return -ENOMEM;
        return proxy_request(request,
                        &(struct proxy_to){.target = &target,
                                        .ask = text,
                                        .address = json_str_or(pod, "status.podIP", ""),
                                        .port = port,
                                        .tls = tls},
                        p);
}

static int to_pod(struct request *request, const struct proxy_name *n, struct problem *p) {
        _cleanup_json_ json_t *pod = NULL;
        uint16_t port;
        int r = find_named(request, n->name, &pod, p);

        if (r < 0)
                return r;
        r = place_port_of_pod(pod, n->port, n->tls, &port, p);
        return r < 0 ? r : send_to_pod(request, pod, port, n->tls, p);
}

struct search {
        struct request *request;
        size_t left; /* bytes of pods that may still be looked at in this turn */
};

/* Without those that are too much: who may write endpoints could name many large pods. */
static json_t *find_pod(const char *name, void *userdata) {
        struct search *s = userdata;
        struct item *it = api_find(s->request->api, "", "pods", s->request->route.namespace, name);
        size_t size = it ? item_text(it)->size : 0;

        if (!it || size > s->left)
                return NULL;
        s->left -= size;
        return item_object(it);
}

static int no_endpoints(const char *service, struct problem *p) {
        return problem_set(p, ENOENT, 503, "ServiceUnavailable",
                        "no endpoints available for service \"%s\"", service);
}

static int to_service(struct request *request, const struct proxy_name *n, struct problem *p) {
        _cleanup_json_ json_t *service = NULL, *endpoints = NULL;
        _cleanup_(pod_place_done) struct pod_place place = {0};
        struct search search = {.request = request, .left = PODS_BYTES_MAX};
        const char *port = "";
        int r = find_named(request, n->name, &service, p);

        if (r < 0)
                return r;
        r = place_port_of_service(service, n->port, &port, p);
        if (r < 0)
                return r;
        r = find(request, "endpoints", n->name, &endpoints);
        if (r == -ENOENT)
                return no_endpoints(n->name, p);
        if (r < 0)
                return r;
        r = place_of_service(endpoints, port, pod_proxies_turn(request->api->pod_proxies), find_pod,
                        &search, &place, p);
        return r < 0 ? r : send_to_pod(request, place.pod, place.port, n->tls, p);
}

static int to_node(struct request *request, const struct proxy_name *n, struct problem *p) {
        _cleanup_(node_target_done) struct node_target target = {0};
        _cleanup_json_ json_t *node = NULL;
        uint16_t port = AGENT_PORT;
        int r = find_named(request, n->name, &node, p);

        if (r < 0)
                return r;
        if (*n->port && (parse_port(n->port, &port) < 0 || port != AGENT_PORT))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "port \"%.64s\" of a node is not reached through the API server: "
                                "only its agent is, without a port or as %d",
                                n->port, AGENT_PORT);
        r = node_target_of_node(request->api, node, &target, p);
        if (r < 0)
                return r;
        return proxy_request(request,
                        &(struct proxy_to){.target = &target,
                                        .ask = (char *)"{\"verb\":\"node\"}",
                                        .address = "",
                                        .port = AGENT_PORT},
                        p);
}

static const struct {
        const char *plural, *singular;
        int (*send)(struct request *request, const struct proxy_name *n, struct problem *p);
} rows[] = {{"pods", "pod", to_pod}, {"services", "service", to_service},
                {"nodes", "node", to_node}};

/* A page below ".../proxy" would have its links resolved one level too high. */
static void redirect(struct request *request) {
        const char *path = http_request_path(request->http),
                   *query = http_request_query_text(request->http);
        size_t slashes = strspn(path, "/"); /* "//api" would name a host */
        _cleanup_free_ char *to = strformat("/%s/%s%s", path + slashes, *query ? "?" : "", query);

        if (!to || http_response_header(request->http, "Location", to) < 0)
                respond_errno(request, ENOMEM);
        else
                respond_data(request, 301, "text/plain; charset=utf-8", "", 0);
}

/* An empty path goes where its redirection leads; an upgrade is not redirected, nor what a client
 * would repeat as a GET. */
static bool is_bare(const struct request *request) {
        return isempty(request->route.rest) && isempty(request_header(request, "Upgrade")) &&
               streq(request->route.verb, "get");
}

static int send_on(struct request *request, struct problem *p) {
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_proxy_name_ struct proxy_name n = {0};
                _cleanup_json_ json_t *object = NULL;
                int r;

                if (!streq(rows[i].plural, request->kind->plural))
                        continue;
                r = proxy_name_parse(request->route.name, rows[i].singular, &n, p);
                if (r < 0 || !is_bare(request))
                        return r < 0 ? r : rows[i].send(request, &n, p);
                r = find_named(request, n.name, &object, p);
                if (r >= 0)
                        redirect(request);
                return r;
        }
        return problem_no_route(p);
}

static void proxy_now(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = request->http ? send_on(request, &p) : 0;

        if (r < 0)
                respond_error(request, r, &p);
}

/* PodProxyOptions and the like, for webhooks. */
static int options_of(struct request *request, json_t **ret, struct problem *p) {
        _cleanup_free_ char *path = NULL;
        int r = proxy_path(request->route.rest, &path, p);

        if (r < 0)
                return r;
        path[utf8_clean(path, strlen(path))] = 0;
        *ret = json_pack("{ss, ss, ss}", "kind", request->sub->kind, "apiVersion", "v1", "path",
                        path);
        return *ret ? 0 : -ENOMEM;
}

static void proxy_ask(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *options = NULL;
        int r = options_of(request, &options, &p);

        if (r < 0)
                respond_error(request, r, &p);
        else
                request_ask(request, WEBHOOK_CONNECT, options, proxy_now);
}

void verb_proxy(struct request *request) {
        request_freshen(request, proxy_ask);
}
