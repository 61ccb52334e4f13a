/* The API client: requests for objects over lib/http-client. It tries once and reports exactly what
 * came back; when to try again is for the work queue, the informer and the command line. */
#include "lib/client/api.h"

#include "lib/buf.h"
#include "lib/client/api-internal.h"
#include "lib/client/failover.h"
#include "lib/client/identity-files.h"
#include "lib/client/kubeconfig.h"
#include "lib/json-text.h"
#include "lib/log.h"
#include "lib/timefmt.h"

struct api_client {
        sd_event *event; /* borrowed; NULL: blocking only */
        struct http_client *http;
        struct identity_files *files; /* NULL: it borrows http */
        struct failover *failover;    /* NULL: a Unix socket */
        char *server;
        char *ns;
        char *manager;
        char *host; /* or NULL */
        struct recorder *recorder;
        bool borrows_http;            /* another client's, with its failover */
        void (*pause)(void);          /* before a request is sent again; or NULL */
        bool lean;                    /* answers without managedFields */
        struct http_header *headers;  /* on behalf of whom; names are constants */
        struct http_header *standing; /* the same of the command line, for every call */
};

struct api_call {
        struct api_client *client;
        struct http_call *http;
        bool lean;
        api_done_func done;
        void *userdata;
};

static void append_segment(struct buf *b, const char *s) {
        _cleanup_free_ char *escaped = url_escape(s);

        if (escaped)
                buf_printf(b, "/%s", escaped);
        else
                b->failed = true;
}

char *api_path(const struct api_resource *r, const char *ns, const char *name,
                const char *subresource, const char *query) {
        _cleanup_buf_ struct buf b = {0};

        if (*r->group)
                buf_printf(&b, "/apis/%s/%s", r->group, r->version);
        else
                buf_printf(&b, "/api/%s", r->version);
        if (r->namespaced && !isempty(ns)) {
                buf_append_str(&b, "/namespaces");
                append_segment(&b, ns);
        }
        append_segment(&b, r->plural);
        if (!isempty(name))
                append_segment(&b, name);
        if (!isempty(subresource))
                buf_printf(&b, "/%s", subresource); /* "log", but also "proxy/a/b" */
        if (!isempty(query))
                buf_printf(&b, "?%s", query);
        return buf_take(&b);
}

static const char *const patch_types[] = {
                [API_PATCH_MERGE] = "application/merge-patch+json",
                [API_PATCH_JSON] = "application/json-patch+json",
                [API_PATCH_STRATEGIC] = "application/strategic-merge-patch+json",
                [API_PATCH_APPLY] = "application/apply-patch+yaml",
};

static struct http_header *headers_free(struct http_header *headers) {
        for (struct http_header *h = headers; h && h->name; h++)
                free((char *)h->value);
        free(headers);
        return NULL;
}

/* User and groups as headers, ended by a NULL name. NULL when out of memory: a request without one
 * of them would be another user's. */
static struct http_header *impersonation(const char *user, char *const *groups) {
        size_t n = strv_length(groups);
        struct http_header *headers = calloc(n + 2, sizeof(*headers));

        for (size_t i = 0; headers && i <= n; i++) {
                headers[i].value = strdup(i == 0 ? user : groups[i - 1]);
                if (!headers[i].value)
                        return headers_free(headers);
                headers[i].name = i == 0 ? "Impersonate-User" : "Impersonate-Group";
        }
        return headers;
}

/* Certificates, keys and tokens that were renewed are used from the next call on. */
static void before_call(void *userdata) {
        struct api_client *c = userdata;

        if (c->http)
                identity_files_check(c->files, c->http);
}

/* A request whose bytes are not acknowledged for this long has no server. */
enum { USER_TIMEOUT_MS = 10000 };
#define REPEAT_MAX_US UINT64_C(8000000)

static int add_failover(
                struct api_client *c, const struct kubeconfig_context *k, const char *file) {
        struct servers servers;
        int r = servers_init(&servers, k->server, k->more);

        if (r < 0)
                return r;
        r = failover_new(&c->failover, c->event, c->http, &servers, file);
        servers_done(&servers);
        return r;
}

static int init(struct api_client *c, sd_event *event, const struct kubeconfig_context *k,
                const struct http_client_options *http, const char *servers_file) {
        const char *agent = http->user_agent;
        int r;

        c->event = event;
        r = http_client_new(&c->http, event, http);
        if (r < 0)
                return r;
        c->server = strdup(k->server);
        c->ns = strdup(k->ns);
        c->manager = strndup(agent, strcspn(agent, "/"));
        c->recorder = recorder_new();
        if (!c->server || !c->ns || !c->manager || !c->recorder)
                return -ENOMEM;
        return startswith(k->server, "unix://") ? 0 : add_failover(c, k, servers_file);
}

static int make(struct api_client *c, sd_event *event, const struct api_client_options *options,
                const struct kubeconfig_context *k, const struct http_client_options *http) {
        int r = identity_files_new(&c->files, options, k);

        return r < 0 ? r : init(c, event, k, http, options->servers_file);
}

int api_client_new(struct api_client **ret, sd_event *event,
                const struct api_client_options *options, struct problem *p) {
        _cleanup_(api_client_freep) struct api_client *c = calloc(1, sizeof(*c));
        const char *agent = options->user_agent ? options->user_agent : "keelson";
        struct kubeconfig_context k = {0};
        struct http_client_options http = {.user_agent = agent, .user_timeout_ms = USER_TIMEOUT_MS};
        int r;

        if (!c)
                return -ENOMEM;
        r = options->overrides
                            ? kubeconfig_load_with(&k, options->kubeconfig, options->overrides, p)
                            : kubeconfig_load(&k, options->kubeconfig, options->context, p);
        if (r < 0)
                return r;
        if (k.as_user) {
                c->standing = impersonation(k.as_user, k.as_groups);
                if (!c->standing) {
                        kubeconfig_context_done(&k);
                        return -ENOMEM;
                }
                http.headers = c->standing;
        }
        http.timeout_us = options->timeout_us;
        http.calls_max = options->calls_max;
        http.trace = options->trace;
        http.unix_path = startswith(k.server, "unix://");
        http.base_url = http.unix_path ? "http://localhost" : k.server;
        http.ca_pem = k.ca_pem;
        http.cert_pem = k.cert_pem;
        http.key_pem = k.key_pem;
        http.token = k.token;
        http.tls_server_name = k.tls_server_name;
        http.before_call = before_call;
        http.userdata = c;
        c->pause = options->pause;
        r = make(c, event, options, &k, &http);
        if (r < 0)
                problem_set(p, -r, 0, NULL, "cannot make a client for %s: %s", k.server,
                                strerror(-r));
        kubeconfig_context_done(&k);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

int api_client_as(struct api_client **ret, struct api_client *base, const char *user,
                char *const *groups) {
        _cleanup_(api_client_freep) struct api_client *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->borrows_http = true;
        c->http = base->http;
        c->failover = base->failover;
        c->event = base->event;
        c->server = strdup(base->server);
        c->ns = strdup(base->ns);
        c->manager = strdup(base->manager);
        c->recorder = recorder_new();
        c->headers = impersonation(user, groups);
        if (!c->server || !c->ns || !c->manager || !c->recorder || !c->headers)
                return -ENOMEM;
        *ret = TAKE_PTR(c);
        return 0;
}

const struct http_header *api_client_headers(const struct api_client *c) {
        return c->headers;
}

struct api_client *api_client_free(struct api_client *c) {
        if (!c)
                return NULL;
        recorder_free(c->recorder);
        if (!c->borrows_http) {
                failover_free(c->failover);
                http_client_free(c->http);
        }
        identity_files_free(c->files);
        headers_free(c->headers);
        headers_free(c->standing);
        free(c->server);
        free(c->ns);
        free(c->manager);
        free(c->host);
        free(c);
        return NULL;
}

void api_client_set_lean(struct api_client *c) {
        c->lean = true;
}

int api_client_set_host(struct api_client *c, const char *host) {
        assert(!c->host);
        c->host = strdup(host);
        return c->host ? 0 : -ENOMEM;
}

const char *api_client_host(const struct api_client *c) {
        return c->host;
}

const char *api_client_server(const struct api_client *c) {
        return c->failover ? failover_server(c->failover) : c->server;
}

bool api_client_is_redundant(const struct api_client *c) {
        return c->failover && failover_is_redundant(c->failover);
}

void api_client_note(struct api_client *c, const struct http_result *result) {
        if (c->failover)
                failover_note(c->failover, result->error, result->error_text);
}

const char *api_client_namespace(const struct api_client *c) {
        return c->ns;
}

struct http_client *api_client_http(struct api_client *c) {
        if (c->failover)
                failover_check(c->failover, /* suspect= */ false);
        return c->http;
}

sd_event *api_client_event(const struct api_client *c) {
        return c->event;
}

const char *api_client_manager(const struct api_client *c) {
        return c->manager;
}

struct recorder *api_client_recorder(const struct api_client *c) {
        return c->recorder;
}

static int error_of_code(int code, const char *reason) {
        switch (code) {
        case 400:
        case 422:
                return EINVAL;
        case 401:
        case 403:
                return EACCES;
        case 404:
                return ENOENT;
        case 405:
        case 406:
        case 415:
                return EOPNOTSUPP;
        case 409:
                return streq_ptr(reason, "AlreadyExists") ? EEXIST : ESTALE;
        case 410:
                return EKEYEXPIRED;
        case 413:
                return EFBIG;
        case 429:
        case 503:
                return EAGAIN;
        case 504:
                return ETIMEDOUT;
        default:
                return EREMOTEIO;
        }
}

/* A socket that is not there must never be taken for an object that is not there. */
static int transport_error(int error) {
        return error == -ENOENT || error == -EEXIST || error == -ESTALE || error == -EKEYEXPIRED
                               ? ECONNREFUSED
                               : -error;
}

int api_result_error(const struct http_result *result, struct problem *p) {
        if (result->error < 0)
                return problem_set(p, transport_error(result->error), 0, NULL, "%s",
                                isempty(result->error_text) ? strerror(-result->error)
                                                            : result->error_text);
        if (result->code >= 200 && result->code < 300)
                return 0;
        problem_from_status(p, result->code, result->body, result->body_size);
        if (result->retry_after_s > 0)
                p->retry_after_s = result->retry_after_s;
        return -error_of_code(result->code, p->reason);
}

/* Reads a 2xx body: the object, or NULL when the answer has no body. */
static int read_object(
                const struct http_result *result, bool lean, json_t **ret, struct problem *p) {
        static const char *const unused[] = {"metadata", "managedFields", NULL};
        _cleanup_free_ char *why = NULL;
        int r;

        if (result->body_size == 0) {
                *ret = NULL;
                return 0;
        }
        if (lean && json_parse_without(result->body, result->body_size, unused, ret) >= 0) {
                json_object_del(json_object_get(*ret, "metadata"), "managedFields");
                return 0;
        }
        r = json_parse(result->body, result->body_size, 0, ret, &why);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "the server's answer is not JSON: %s",
                                strempty(why));
        return 0;
}

/* The error of an answer, or its object. ret may be NULL. */
static int read_answer(
                const struct http_result *result, bool lean, json_t **ret, struct problem *p) {
        int r = api_result_error(result, p);

        return r < 0 || !ret ? r : read_object(result, lean, ret, p);
}

static void on_call_done(struct http_call *http, const struct http_result *result, void *userdata) {
        struct api_call *call = userdata;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *object = NULL;
        int r = read_answer(result, call->lean, &object, &p);
        api_client_note(call->client, result);
        for (char *const *w = result->warnings; w && *w; w++)
                log_debug("The server warns: %s", *w);
        if (call->done)
                call->done(r, object, &p, call->userdata);
        free(call);
}

/* Server-side apply needs a field manager in the query; the program's own unless one is named. */
static char *apply_path(const struct api_client *c, const char *path) {
        if (strstr(path, "fieldManager="))
                return strdup(path);
        return strformat("%s%cfieldManager=%s", path, strchr(path, '?') ? '&' : '?', c->manager);
}

static int call_start(struct api_client *c, const char *method, const char *path,
                const char *content_type, const json_t *body, api_done_func done, void *userdata,
                struct api_call **ret) {
        _cleanup_free_ struct api_call *call = calloc(1, sizeof(*call));
        _cleanup_free_ char *text = body ? json_text(body) : NULL;
        struct http_call_options options = {
                        .method = method,
                        .path = path,
                        .headers = c->headers,
                        .body = text,
                        .body_size = text ? strlen(text) : 0,
                        .content_type = text ? content_type : NULL,
                        /* Who is late with it counts as dead. */
                        .urgent = strstr(path, "/coordination.k8s.io/") != NULL,
                        .on_done = on_call_done,
                        .userdata = call,
        };
        int r;

        if (!call || (body && !text))
                return -ENOMEM;
        call->client = c;
        call->lean = c->lean;
        call->done = done;
        call->userdata = userdata;
        r = http_call_start(c->http, &options, &call->http);
        if (r < 0)
                return r;
        if (ret)
                *ret = call;
        call = NULL;
        return 0;
}

int api_get_async(struct api_client *c, const char *path, api_done_func done, void *userdata,
                struct api_call **ret) {
        return call_start(c, "GET", path, /* content_type= */ NULL, /* body= */ NULL, done,
                        userdata, ret);
}

int api_create_async(struct api_client *c, const char *path, const json_t *body, api_done_func done,
                void *userdata, struct api_call **ret) {
        return call_start(c, "POST", path, "application/json", body, done, userdata, ret);
}

int api_update_async(struct api_client *c, const char *path, const json_t *body, api_done_func done,
                void *userdata, struct api_call **ret) {
        return call_start(c, "PUT", path, "application/json", body, done, userdata, ret);
}

int api_patch_async(struct api_client *c, const char *path, enum api_patch kind, const json_t *body,
                api_done_func done, void *userdata, struct api_call **ret) {
        _cleanup_free_ char *full = kind == API_PATCH_APPLY ? apply_path(c, path) : strdup(path);

        if (!full)
                return -ENOMEM;
        return call_start(c, "PATCH", full, patch_types[kind], body, done, userdata, ret);
}

int api_delete_async(struct api_client *c, const char *path, const json_t *body, api_done_func done,
                void *userdata, struct api_call **ret) {
        return call_start(c, "DELETE", path, "application/json", body, done, userdata, ret);
}

struct api_call *api_call_cancel(struct api_call *call) {
        if (call) {
                http_call_cancel(call->http);
                free(call);
        }
        return NULL;
}

/* Whether the same request may be sent again after an answer (or none): the server asked for that,
 * or nothing can have been done. */
static bool may_repeat(const char *method, const struct http_result *result) {
        if (result->error < 0)
                return streq(method, "GET") || result->error == -ECONNREFUSED ||
                       result->error == -EHOSTUNREACH;
        return (result->code == 429 || result->code == 503) && result->retry_after_s > 0;
}

/* One server: what came back is reported. Several: another answers within seconds. */
static void do_request(struct api_client *c, const struct http_call_options *options,
                struct http_result *result) {
        uint64_t deadline = now_mono_us() + REPEAT_MAX_US;

        for (;;) {
                (void)http_client_do(api_client_http(c), options, result);
                if (!api_client_is_redundant(c) || !c->pause ||
                                !may_repeat(options->method, result) || now_mono_us() > deadline)
                        return;
                api_client_note(c, result);
                http_result_done(result);
                c->pause();
        }
}

int api_request(struct api_client *c, const char *method, const char *path,
                const char *content_type, const json_t *body, json_t **ret, struct problem *p) {
        _cleanup_free_ char *text = body ? json_text(body) : NULL;
        struct http_call_options options = {
                        .method = method,
                        .path = path,
                        .headers = c->headers,
                        .body = text,
                        .body_size = text ? strlen(text) : 0,
                        .content_type = !text          ? NULL
                                        : content_type ? content_type
                                                       : "application/json",
        };
        struct http_result result = {0};
        _cleanup_json_ json_t *object = NULL;
        int r;

        if (body && !text)
                return -ENOMEM;
        do_request(c, &options, &result);
        for (char *const *w = result.warnings; w && *w; w++)
                fprintf(stderr, "Warning: %s\n", *w);
        r = read_answer(&result, c->lean, ret ? &object : NULL, p);
        http_result_done(&result);
        if (r < 0)
                return r;
        if (ret)
                *ret = TAKE_PTR(object);
        return 0;
}

int api_get(struct api_client *c, const char *path, json_t **ret, struct problem *p) {
        return api_request(c, "GET", path, /* content_type= */ NULL, /* body= */ NULL, ret, p);
}

int api_patch_request(struct api_client *c, const char *path, enum api_patch kind,
                const json_t *body, json_t **ret, struct problem *p) {
        _cleanup_free_ char *full = kind == API_PATCH_APPLY ? apply_path(c, path) : strdup(path);

        if (!full)
                return -ENOMEM;
        return api_request(c, "PATCH", full, patch_types[kind], body, ret, p);
}
