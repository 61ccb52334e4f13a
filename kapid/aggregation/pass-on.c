/* A request on its way to an extension server: the path that was authorized, and who asks in
 * headers. The rest is kapid/relay/. */
#include "kapid/aggregation/internal.h"
#include "kapid/audit/audit.h"

/* One more API server has it. */
static int add_hops(struct request *request, struct forward_headers *h) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%u",
                        forward_hops(request_header(request, FORWARD_HOPS)) + 1);
        return forward_add(h, FORWARD_HOPS, text);
}

static int add_headers(struct request *request, void *owner, struct forward_headers *h,
                struct problem *p) {
        int r = forward_identity(&request->user, h, p);

        if (r < 0)
                return r;
        r = remote_add_host(owner, h);
        if (r < 0)
                return r;
        r = add_hops(request, h);
        if (r < 0)
                return r;
        return MIN(forward_add(h, "Audit-Id", request->audit_id), 0);
}

static int make_tls(void *owner, struct tls_context **ret, struct problem *p) {
        const struct remote *remote = owner;
        struct front_proxy *f = remote->all ? remote->all->api->front_proxy : NULL;
        struct tls_files pem = {.ca = remote->service.target.ca_pem,
                        .unverified = remote->service.insecure};

        if (f) {
                (void)front_proxy_refresh(f);
                pem.cert = front_proxy_cert(f);
                pem.key = front_proxy_key(f);
        }
        return tls_context_new_pem(ret, &pem, false, p);
}

static void release(void *owner) {
        remote_unref(owner);
}

static const struct relay_ops ops = {.server = "the extension server",
                .busy = "requests to extension servers",
                .add_headers = add_headers,
                .tls = make_tls,
                .free = release};

int pass_on_start(struct aggregation *g) {
        return relays_new(&g->relays, g->api,
                        &(struct relay_options){.ops = &ops,
                                        .requests_max = PROXY_CALLS_MAX,
                                        .bytes_max = PROXY_BYTES_MAX,
                                        .counter = "keelson_aggregator_requests_total",
                                        .counter_help = "Requests that were passed on to "
                                                        "extension servers."});
}

static void audit_body(struct request *request) {
        size_t n;
        const char *body = request_body(request, &n);

        if (n > 0)
                audit_request_text(request, body, n);
}

static int find_place(struct request *request, struct remote *remote, char **ret_target,
                char **ret_address, struct problem *p) {
        _cleanup_free_ char *why = NULL;
        int r = forward_target(http_request_path(request->http),
                        http_request_query_text(request->http), ret_target, p);

        if (r < 0)
                return r;
        r = remote_address(remote, ret_address, &why);
        if (r == -ENOENT)
                return problem_set(p, ENOENT, 503, "ServiceUnavailable", "service unavailable: %s",
                                why);
        return r;
}

void aggregation_pass_on(struct request *request) {
        struct remote *remote = request->remote;
        _cleanup_free_ char *target = NULL, *address = NULL;
        _cleanup_problem_ struct problem p = {0};
        struct relay *y;
        int r;

        if (!remote->all || !remote_is_available(remote)) {
                relay_refuse_request(request, "service unavailable");
                return;
        }
        audit_body(request);
        if (forward_hops(request_header(request, FORWARD_HOPS)) >= FORWARD_HOPS_MAX) {
                relay_refuse_request(request,
                                "the APIService leads back to an API server that has passed the "
                                "request on already; change its spec.service");
                return;
        }
        y = relay_begin(remote->all->relays, request, remote_ref(remote));
        if (!y)
                return;
        r = find_place(request, remote, &target, &address, &p);
        if (r < 0)
                relay_refuse(y, r, &p);
        else
                relay_send(y, &(struct relay_place){.client = remote->client,
                                              .base_url = address,
                                              .server_name = remote->server_name,
                                              .target = target});
}
