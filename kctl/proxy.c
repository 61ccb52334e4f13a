/* kctl proxy: the API on a port of this machine, with our credentials. Who reaches the port has our
 * rights: it listens on 127.0.0.1, takes only requests that name this machine as their host (so
 * that no web page reaches it by a name of its own), and no streams into pods. */
#include <fnmatch.h>
#include <signal.h>

#include "kctl/kctl.h"
#include "lib/http-server.h"

enum { PROXY_PORT = 8001, QUEUED_MAX = 64 << 20 };

struct proxy {
        sd_event *event;
        struct api_client *client;
        const char *prefix; /* "/" or "/x/": what stands before the paths of the API */
        const char *address;
};

/* A request that is passed on. */
struct passing {
        struct proxy *proxy;
        struct http_request *request; /* until it is answered */
        struct http_stream *stream;
        struct http_call *call;
        char *content_type;
};

static struct passing *passing_free(struct passing *x) {
        free(x->content_type);
        free(x);
        return NULL;
}

static void refuse(struct http_request *request, int code, const char *why) {
        http_respond(request, code, "text/plain", why, strlen(why));
}

/* The client has gone away. */
static void on_request_gone(struct http_request *request, void *userdata) {
        struct passing *x = userdata;

        http_call_cancel(x->call);
        passing_free(x);
}

static void on_stream_gone(struct http_stream *stream, void *userdata) {
        struct passing *x = userdata;

        http_call_cancel(x->call);
        passing_free(x);
}

static void on_header(const char *name, const char *value, void *userdata) {
        struct passing *x = userdata;

        /* Of the servers of pods, which are reached through the API. */
        if (x->request && (strcaseeq(name, "Location") || strcaseeq(name, "Set-Cookie")))
                (void)http_response_header(x->request, name, value);
        if (!strcaseeq(name, "Content-Type"))
                return;
        free(x->content_type);
        x->content_type = strdup(value);
}

/* A good answer comes as a stream; others come whole, in on_done. */
static int on_headers(struct http_call *call, int code, void *userdata) {
        struct passing *x = userdata;

        if (code >= 300)
                return 0;
        x->stream = http_stream_begin(x->request, code, strempty(x->content_type), QUEUED_MAX,
                        on_stream_gone, x);
        x->request = NULL;
        return x->stream ? 0 : -ENOMEM;
}

static int on_data(struct http_call *call, const char *data, size_t n, void *userdata) {
        struct passing *x = userdata;

        return http_stream_write_copy(x->stream, data, n);
}

static void on_done(struct http_call *call, const struct http_result *result, void *userdata) {
        struct passing *x = userdata;

        api_client_note(x->proxy->client, result);
        if (x->stream && result->error < 0)
                http_stream_abort(x->stream);
        else if (x->stream)
                http_stream_end(x->stream);
        else if (x->request && result->error < 0)
                refuse(x->request, 502, strempty(result->error_text));
        else if (x->request)
                http_respond(x->request, result->code, result->content_type, result->body,
                                result->body_size);
        passing_free(x);
}

/* The host that a request names, without its port. */
static bool host_is_ours(const struct proxy *proxy, const char *host) {
        static const char *const ours[] = {"localhost", "127.0.0.1", "[::1]"};
        size_t n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");

        for (size_t i = 0; i < ELEMENTS(ours); i++)
                if (strlen(ours[i]) == n && strncmp(host, ours[i], n) == 0)
                        return true;
        return strlen(proxy->address) == n && strncmp(host, proxy->address, n) == 0;
}

/* Streams into pods are commands: not for everyone who reaches the port. */
static bool is_stream(const char *path) {
        static const char *const patterns[] = {"/api/*/pods/*/exec*", "/api/*/pods/*/attach*",
                        "/api/*/pods/*/portforward*"};

        for (size_t i = 0; i < ELEMENTS(patterns); i++)
                if (fnmatch(patterns[i], path, 0) == 0)
                        return true;
        return false;
}

/* Passes a request on. The path goes as it came. */
static int pass(struct proxy *proxy, struct http_request *request, const char *path) {
        const char *query = http_request_query_text(request),
                   *type = http_request_header(request, "Content-Type"),
                   *accept = http_request_header(request, "Accept");
        _cleanup_free_ char *full = strformat("%s%s%s", path, *query ? "?" : "", query);
        struct passing *x = calloc(1, sizeof(*x));
        size_t n;
        const char *body = http_request_body(request, &n);
        int r;

        if (!full || !x) {
                free(x);
                return -ENOMEM;
        }
        x->proxy = proxy;
        x->request = request;
        r = http_call_start(api_client_http(proxy->client),
                        &(struct http_call_options){.method = http_request_method(request),
                                        .path = full,
                                        .body = n > 0 ? body : NULL,
                                        .body_size = n,
                                        .content_type = type,
                                        .accept = accept,
                                        .timeout_us = UINT64_MAX,
                                        .on_header = on_header,
                                        .on_headers = on_headers,
                                        .on_data = on_data,
                                        .on_done = on_done,
                                        .userdata = x},
                        &x->call);
        if (r < 0) {
                passing_free(x);
                return r;
        }
        http_request_on_gone(request, on_request_gone, x);
        return 0;
}

/* A page of another site must not send requests through the user's browser. */
static bool origin_is_ours(const struct proxy *proxy, const char *origin) {
        const char *host = origin ? strstr(origin, "://") : NULL;

        return !origin || (host && host_is_ours(proxy, host + 3));
}

static void on_request(struct http_request *request, void *userdata) {
        struct proxy *proxy = userdata;
        const char *host = strempty(http_request_header(request, "Host")),
                   *path = http_request_path(request), *rest = startswith(path, proxy->prefix);

        if (!host_is_ours(proxy, host) ||
                        !origin_is_ours(proxy, http_request_header(request, "Origin")))
                refuse(request, 403, "Forbidden: requests must name localhost as their host\n");
        else if (!rest)
                refuse(request, 404, "404 page not found\n");
        else if (is_stream(path + strlen(proxy->prefix) - 1) ||
                        http_request_header(request, "Upgrade"))
                refuse(request, 403, "Forbidden: use kctl exec, attach or port-forward\n");
        else if (pass(proxy, request, path + strlen(proxy->prefix) - 1) < 0)
                refuse(request, 500, "the request cannot be passed on\n");
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int add_signals(sd_event *event) {
        static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
        sigset_t set;

        sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTS(ends); i++)
                sigaddset(&set, ends[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTS(ends); i++) {
                int r = sd_event_add_signal(event, NULL, ends[i], on_signal, NULL);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int serve(struct kctl *k, struct proxy *proxy, struct problem *p) {
        _cleanup_(http_server_freep) struct http_server *server = NULL;
        uint16_t port = PROXY_PORT;
        int r;

        if (k->flags.proxy_port && parse_port(k->flags.proxy_port, &port) < 0)
                return problem_set(p, EINVAL, 0, NULL, "--port %s is not a port", k->flags.proxy_port);
        r = kctl_client_new(k, proxy->event, &proxy->client, p);
        if (r < 0)
                return r;
        r = http_server_new(&server, proxy->event,
                        &(struct http_server_options){.host = k->flags.unix_socket
                                                                        ? NULL
                                                                        : proxy->address,
                                        .port = port,
                                        .unix_path = k->flags.unix_socket,
                                        .handler = on_request,
                                        .userdata = proxy},
                        p);
        if (r < 0)
                return r;
        r = add_signals(proxy->event);
        if (r < 0)
                return r;
        if (k->flags.unix_socket)
                printf("Starting to serve on %s\n", k->flags.unix_socket);
        else
                printf("Starting to serve on %s:%u\n", proxy->address, http_server_port(server));
        fflush(stdout);
        r = sd_event_loop(proxy->event);
        return MIN(r, 0);
}

int kctl_proxy(struct kctl *k) {
        const char *prefix = k->flags.api_prefix ? k->flags.api_prefix : "/";
        struct proxy proxy = {.prefix = prefix,
                        .address = k->flags.address ? k->flags.address : "127.0.0.1"};
        _cleanup_problem_ struct problem p = {0};
        int r;

        if (k->words)
                return kctl_usage(k, "proxy takes no argument (\"%s\")", k->words[0]);
        if (*prefix != '/' || !endswith(prefix, "/"))
                return kctl_usage(k, "--api-prefix %s does not begin and end with '/'", prefix);
        if (sd_event_new(&proxy.event) < 0)
                return kctl_error("out of memory");
        r = serve(k, &proxy, &p);
        api_client_free(proxy.client);
        sd_event_unref(proxy.event);
        return r < 0 ? kctl_fail(&p) : EXIT_OK;
}
