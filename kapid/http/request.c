/* Requests and their answers. Every answer carries Audit-Id (set when the request came in) and
 * Cache-Control; every refusal is a Status (kubernetes-wire.md section 6). */
#include "kapid/http/request.h"

#include "kapid/http/dispatch.h"
#include "kapid/cache/filled.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"

/* As the reference server: all warnings of an answer together, else each cut to a part. */
enum { WARNINGS_MAX = 32, WARNINGS_SIZE_MAX = 4096, WARNING_SIZE_MAX = 256 };

static unsigned *lane_counter(struct request *r) {
        switch (r->lane) {
        case LANE_READ:
                return &r->api->reads;
        case LANE_WRITE:
                return &r->api->writes;
        default:
                return NULL;
        }
}

/* The client has its answer or is gone. */
static void request_end(struct request *r) {
        unsigned *n = lane_counter(r);

        r->http = NULL;
        if (n && *n > 0)
                (*n)--;
        r->lane = LANE_NONE;
}

static void on_http_free(void *p) {
        struct request *r = p;

        if (r->http)
                request_end(r);
        dispatch_leave(r);
        request_unref(r);
}

static void on_gone(struct http_request *http, void *userdata) {
        struct request *r = userdata;

        if (r->http)
                request_end(r);
}

struct request *request_new(struct api *a, struct http_request *http) {
        struct request *r = calloc(1, sizeof(*r));

        if (!r)
                return NULL;
        r->refs = 2; /* the HTTP request's and the caller's */
        r->api = a;
        r->http = http;
        r->lane = LANE_NONE;
        r->started_us = now_mono_us();
        r->now_us = now_wall_us();
        http_request_set_userdata(http, r, on_http_free);
        http_request_on_gone(http, on_gone, r);
        return r;
}

struct request *request_ref(struct request *r) {
        r->refs++;
        return r;
}

struct request *request_unref(struct request *r) {
        if (!r)
                return NULL;
        assert(r->refs > 0);
        if (--r->refs > 0)
                return NULL;
        if (r->free_state)
                r->free_state(r->state);
        problem_done(&r->refusal);
        user_done(&r->user);
        user_done(&r->real_user);
        route_done(&r->route);
        kind_unref(r->kind);
        return mfree(r);
}

const char *request_query(const struct request *r, const char *name) {
        return r->http ? http_request_query(r->http, name) : NULL;
}

const char *request_header(const struct request *r, const char *name) {
        return r->http ? http_request_header(r->http, name) : NULL;
}

const char *request_body(const struct request *r, size_t *ret_n) {
        *ret_n = 0;
        return r->http ? http_request_body(r->http, ret_n) : "";
}

static void count(struct request *r, int code) {
        struct metrics *m = daemon_metrics(r->api->daemon);
        const char *resource = r->kind ? r->kind->plural : "";
        const char *verb =
                        r->route.verb && (r->kind || !r->route.resource) ? r->route.verb : "other";
        _cleanup_free_ char *labels =
                        strformat("verb=\"%s\",resource=\"%s\",code=\"%d\"", verb, resource, code);
        _cleanup_free_ char *short_labels =
                        strformat("verb=\"%s\",resource=\"%s\"", verb, resource);
        struct metric *x;

        if (!labels || !short_labels)
                return;
        x = metrics_counter(m, "apiserver_request_total", labels, "Requests answered.");
        if (x)
                metric_add(x, 1);
        if (r->route.verb && streq(r->route.verb, "watch"))
                return;
        x = metrics_histogram(m, "apiserver_request_duration_seconds", short_labels,
                        "Time to the answer.");
        if (x)
                metric_observe(x, (double)(now_mono_us() - r->started_us) / 1e6);
}

/* Takes the HTTP request for answering it; NULL when nobody waits any more. */
static struct http_request *take_http(struct request *r, int code) {
        struct http_request *http = r->http;

        if (!http)
                return NULL;
        count(r, code);
        http_response_header(http, "Cache-Control", "no-cache, private");
        log_debug("%s %s: %d", http_request_method(http), http_request_path(http), code);
        request_end(r);
        return http;
}

void respond_pieces(struct request *r, int code, const char *content_type, struct bytes **pieces,
                size_t n) {
        struct http_request *http = take_http(r, code);

        if (http)
                http_respond_pieces(http, code, content_type, pieces, n);
}

void respond_data(
                struct request *r, int code, const char *content_type, const void *data, size_t n) {
        struct http_request *http = take_http(r, code);

        if (http)
                http_respond(http, code, content_type, data, n);
}

void respond_text(struct request *r, int code, const char *content_type, const char *text) {
        respond_data(r, code, content_type, text, strlen(text));
}

void respond_json(struct request *r, int code, const json_t *v) {
        bool pretty = query_true(request_query(r, "pretty"));
        _cleanup_free_ char *text = v ? (pretty ? json_text_pretty(v) : json_text(v)) : NULL;

        if (text)
                respond_text(r, code, "application/json", text);
        else
                respond_text(r, 500, "application/json",
                                "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
                                "\"status\":\"Failure\",\"message\":\"out of memory\","
                                "\"reason\":\"InternalError\",\"code\":500}");
}

void respond_problem(struct request *r, const struct problem *p) {
        struct problem copy = *p;
        _cleanup_json_ json_t *status = NULL;
        const char *name = isempty(r->route.name) ? r->new_name : r->route.name;

        if (!copy.code) {
                copy.code = 500;
                copy.reason = "InternalError";
        }
        status = problem_to_status(&copy, isempty(name) ? NULL : name,
                        r->kind ? r->kind->group : NULL,
                        !r->kind           ? NULL
                        : copy.code == 422 ? r->kind->kind
                                           : r->kind->plural);
        if (r->http && copy.retry_after_s > 0) {
                char seconds[16];

                snprintf(seconds, sizeof(seconds), "%d", copy.retry_after_s);
                http_response_header(r->http, "Retry-After", seconds);
        }
        respond_json(r, copy.code, status);
}

void respond_errno(struct request *r, int error) {
        _cleanup_problem_ struct problem p = {0};

        problem_set(&p, abs(error), 500, "InternalError", "Internal error occurred: %s",
                        strerror(abs(error)));
        respond_problem(r, &p);
}

void respond_success(struct request *r, int code, const char *name, const char *uid) {
        _cleanup_json_ json_t *v = json_pack("{ss, ss, s{}, ss, s{ss, ss}}", "kind", "Status",
                        "apiVersion", "v1", "metadata", "status", "Success", "details", "name",
                        strempty(name), "kind", r->kind ? r->kind->plural : "");

        if (v && r->kind && !isempty(r->kind->group))
                json_set_str(v, "details.group", r->kind->group);
        if (v && !isempty(uid))
                json_set_str(v, "details.uid", uid);
        respond_json(r, code, v);
}

void respond_object(struct request *r, int code, const json_t *object) {
        _cleanup_json_ json_t *v = NULL;

        if (r->form == FORM_TABLE) {
                _cleanup_json_ json_t *metadata = json_pack("{ss}", "resourceVersion",
                                json_str_or(object, "metadata.resourceVersion", ""));

                v = table_new(r->kind, r->form_version, metadata, true);
                if (v && table_add_row(v, r->kind, object, r->include, r->now_us) < 0) {
                        respond_errno(r, ENOMEM);
                        return;
                }
                respond_json(r, code, v);
        } else if (r->form == FORM_PARTIAL) {
                v = partial_metadata(object, r->form_version);
                respond_json(r, code, v);
        } else {
                respond_json(r, code, object);
        }
}

json_t *request_object_of(const struct request *r, struct item *it) {
        struct item *filled = item_for_kind(it, r->kind);
        json_t *stored = filled ? item_object_once(filled) : NULL, *copy;

        if (!stored || streq(object_api_version(stored), r->kind->api_version))
                return stored;
        copy = json_deep_copy(stored);
        json_decref(stored);
        if (copy && kind_convert(r->kind, copy) < 0) {
                json_decref(copy);
                return NULL;
        }
        return copy;
}

void respond_item(struct request *r, int code, struct item *it) {
        _cleanup_json_ json_t *object = NULL;

        it = item_for_kind(it, r->kind);
        if (!it) {
                respond_errno(r, ENOMEM);
                return;
        }
        if (r->form == FORM_OBJECT && streq(r->kind->version, r->kind->storage_version) &&
                        !query_true(request_query(r, "pretty"))) {
                struct http_request *http = take_http(r, code);

                if (http)
                        http_respond_bytes(http, code, "application/json", item_text(it));
                return;
        }
        object = request_object_of(r, it);
        if (object)
                respond_object(r, code, object);
        else
                respond_errno(r, ENOMEM);
}

/* RFC 7234 section 5.5: quotes and backslashes escaped, no control characters. */
/* At most size bytes of the text, and no part of a character. */
static void add_warning(struct request *r, const char *text, size_t size) {
        _cleanup_buf_ struct buf b = {0};
        size_t n = strlen(text);

        if (!r->http)
                return;
        if (n > size)
                for (n = size; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
                        n--;
        buf_append_str(&b, "299 - \"");
        for (size_t i = 0; i < n; i++) {
                if (text[i] == '"' || text[i] == '\\')
                        buf_append_char(&b, '\\');
                buf_append_char(&b, (unsigned char)text[i] < 0x20 ? ' ' : text[i]);
        }
        buf_append_char(&b, '"');
        if (!b.failed)
                http_response_header(r->http, "Warning", b.data);
}

void request_warn(struct request *r, const char *text) {
        add_warning(r, text, WARNING_SIZE_MAX);
}

void request_warn_all(struct request *r, char *const *texts) {
        size_t total = 0;

        for (size_t i = 0; texts && texts[i]; i++)
                total += strlen(texts[i]);
        for (size_t i = 0; texts && texts[i] && i < WARNINGS_MAX; i++)
                add_warning(r, texts[i],
                                total <= WARNINGS_SIZE_MAX ? WARNINGS_SIZE_MAX : WARNING_SIZE_MAX);
}

struct http_stream *respond_stream(struct request *r, const char *content_type, size_t queued_max,
                http_stream_func on_stream_gone, void *userdata) {
        struct http_request *http = take_http(r, 200);

        return http ? http_stream_begin(
                                      http, 200, content_type, queued_max, on_stream_gone, userdata)
                    : NULL;
}

int problem_not_found(struct problem *p, const struct kind *k, const char *name) {
        return problem_set(p, ENOENT, 404, "NotFound", "%s \"%s\" not found", k->resource, name);
}

int problem_conflict(struct problem *p, const struct kind *k, const char *name, const char *why) {
        return problem_set(p, EEXIST, 409, "Conflict",
                        "Operation cannot be fulfilled on %s \"%s\": %s", k->resource, name,
                        why ? why
                            : "the object has been modified; please apply your changes to the "
                              "latest version and try again");
}

int problem_no_route(struct problem *p) {
        return problem_set(p, ENOENT, 404, "NotFound",
                        "the server could not find the requested resource");
}

int problem_method(struct problem *p) {
        return problem_set(p, EOPNOTSUPP, 405, "MethodNotAllowed",
                        "the server does not allow this method on the requested resource");
}

char *request_cache_path(const struct request *r, const char *name) {
        return r->kind->namespaced ? strformat("%s/%s", r->route.namespace, name) : strdup(name);
}

char *kind_store_key(const struct kind *k, const char *namespace, const char *name) {
        return k->namespaced ? strformat("%s%s/%s", k->storage_prefix, namespace, name)
                             : strformat("%s%s", k->storage_prefix, name);
}

static void on_fresh(int error, void *userdata) {
        _cleanup_request_ struct request *r = userdata;
        _cleanup_problem_ struct problem p = {0};

        if (!r->http)
                return;
        if (!error) {
                r->then(r);
                return;
        }
        if (error == -ETIMEDOUT && caches_are_following(r->api->caches)) {
                problem_set(&p, ETIMEDOUT, 504, "Timeout", "Too large resource version");
                problem_cause(&p, "ResourceVersionTooLarge", "", "Too large resource version");
                p.retry_after_s = 1;
        } else {
                store_problem(&(struct store_result){.error = error == -ETIMEDOUT ? -EHOSTUNREACH
                                                                                  : error,
                                              .message = ""},
                                &p);
        }
        respond_problem(r, &p);
}

void request_freshen(struct request *r, void (*then)(struct request *r)) {
        r->then = then;
        request_ref(r);
        if (caches_freshen(r->api->caches, on_fresh, r) < 0) {
                respond_errno(r, ENOMEM);
                request_unref(r);
        }
}

void request_wait_revision(struct request *r, uint64_t revision, void (*then)(struct request *r)) {
        r->then = then;
        request_ref(r);
        if (caches_wait(r->api->caches, revision, 3 * 1000 * 1000, on_fresh, r) < 0) {
                respond_errno(r, ENOMEM);
                request_unref(r);
        }
}
