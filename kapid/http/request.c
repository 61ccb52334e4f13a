/* Requests and their answers. Every answer carries Audit-Id (set when the request came in) and
 * Cache-Control; every refusal is a Status (docs/wire.md section 6). */
#include "kapid/http/request.h"

#include "kapid/aggregation/aggregation.h"
#include "kapid/http/dispatch.h"
#include "kapid/http/protobuf.h"
#include "kapid/audit/audit.h"
#include "kapid/pipeline/forms.h"
#include "lib/fiber.h"
#include "lib/log.h"
#include "lib/json.h"
#include "lib/map.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "lib/yaml.h"

/* As the reference server: all warnings of an answer together, else each cut to a part. */
enum { WARNINGS_MAX = 32, WARNINGS_SIZE_MAX = 4096, WARNING_SIZE_MAX = 256 };

static unsigned *lane_counter(struct request *request) {
        switch (request->lane) {
        case LANE_READ:
                return &request->api->reads;
        case LANE_WRITE:
                return &request->api->writes;
        default:
                return NULL;
        }
}

/* The client has its answer or is gone. */
static void request_end(struct request *request) {
        unsigned *n = lane_counter(request);

        request->http = NULL;
        request->timeout = sd_event_source_disable_unref(request->timeout);
        if (n && *n > 0)
                (*n)--;
        request->lane = LANE_NONE;
}

static void on_http_free(void *p) {
        struct request *request = p;

        if (request->http)
                request_end(request);
        if (request->carrier) {
                LIST_REMOVE(request, open);
                request->carrier = NULL;
        }
        dispatch_end(request);
        request_unref(request);
}

static void on_gone(struct http_request *http, void *userdata) {
        struct request *request = userdata;

        if (request->http)
                request_end(request);
        if (request->on_gone)
                request->on_gone(request);
}

struct request *request_new(struct api *a, struct http_request *http) {
        struct request *request = calloc(1, sizeof(*request));

        if (!request)
                return NULL;
        request->refs = 2; /* the HTTP request's and the caller's */
        request->api = a;
        request->http = http;
        request->lane = LANE_NONE;
        request->started_us = now_mono_us();
        request->now_us = now_wall_us();
        http_request_set_userdata(http, request, on_http_free);
        http_request_on_gone(http, on_gone, request);
        return request;
}

struct request *request_ref(struct request *request) {
        request->refs++;
        return request;
}

struct request *request_unref(struct request *request) {
        if (!request)
                return NULL;
        assert(request->refs > 0);
        if (--request->refs > 0)
                return NULL;
        audit_end(request);
        if (request->state)
                request->state->free(request->state);
        decoded_done(&request->body);
        delete_options_done(&request->delete_options);
        problem_done(&request->refusal);
        user_done(&request->user);
        user_done(&request->real_user);
        route_done(&request->route);
        kind_unref(request->kind);
        remote_unref(request->remote);
        return mfree(request);
}

const char *request_sharer(const struct request *request) {
        return request->real_user.name ? request->real_user.name : strempty(request->user.name);
}

int request_breathe(struct request *request) {
        struct fiber *f = fiber_if_current(request->fiber);

        fiber_breathe(f);
        return request->http || !f ? 0 : -ECANCELED;
}

static void breathe(void *userdata) {
        fiber_breathe(userdata);
}

const struct yaml_breath *request_yaml_breath(struct request *request) {
        struct fiber *f = fiber_if_current(request->fiber);

        request->yaml_breath = (struct yaml_breath){breathe, f};
        return f ? &request->yaml_breath : NULL;
}

struct turned {
        struct request *request; /* a reference */
        void (*func)(void *userdata);
        void *userdata;
};

/* A deleted collection works at several objects at a time: one of them has the request's fiber. */
static void in_fiber(struct fiber *f, void *userdata) {
        struct turned *t = userdata;
        bool first = !t->request->fiber;

        if (first)
                t->request->fiber = f;
        t->func(t->userdata);
        if (first)
                t->request->fiber = NULL;
}

static void turned_free(void *userdata) {
        struct turned *t = userdata;

        dispatch_release(t->request);
        request_unref(t->request);
        free(t);
}

void request_in_turns(
                struct request *request, bool large, void (*func)(void *userdata), void *userdata) {
        struct turned *t = large && !request->fiber ? calloc(1, sizeof(*t)) : NULL;

        if (!t) {
                func(userdata);
                return;
        }
        *t = (struct turned){request_ref(request), func, userdata};
        dispatch_hold(request);
        switch (fibers_start(request->api->fibers, in_fiber, turned_free, t)) {
        case 1:
                return;
        case 0:
                break;
        default: /* without memory for it, in one turn */
                func(userdata);
        }
        turned_free(t);
}

const char *request_query(const struct request *request, const char *name) {
        return request->http ? http_request_query(request->http, name) : NULL;
}

const char *request_header(const struct request *request, const char *name) {
        return request->http ? http_request_header(request->http, name) : NULL;
}

const char *request_body(const struct request *request, size_t *ret_n) {
        *ret_n = 0;
        return request->http ? http_request_body(request->http, ret_n) : "";
}

/* The series of one kind of answers, found once. */
struct counted {
        struct metric *total, *seconds;
};

static struct counted *counted_new(
                struct metrics *m, const char *verb, const char *resource, int code) {
        _cleanup_free_ char *labels =
                        strformat("verb=\"%s\",resource=\"%s\",code=\"%d\"", verb, resource, code);
        _cleanup_free_ char *short_labels =
                        strformat("verb=\"%s\",resource=\"%s\"", verb, resource);
        struct counted *c = calloc(1, sizeof(*c));

        if (!labels || !short_labels || !c)
                return mfree(c);
        c->total = metrics_counter(m, "apiserver_request_total", labels, "Requests answered.");
        if (!streq(verb, "watch"))
                c->seconds = metrics_histogram(m, "apiserver_request_duration_seconds",
                                short_labels, "Time to the answer.");
        return c;
}

static void count(struct request *request, int code) {
        struct api *a = request->api;
        const char *resource = request->kind ? request->kind->plural : "";
        const char *verb = request->route.verb && (request->kind || request->remote ||
                                                                  !request->route.resource)
                                           ? request->route.verb
                                           : "other";
        const char digits[] = {(char)('0' + code / 100 % 10), (char)('0' + code / 10 % 10),
                        (char)('0' + code % 10), ' ', 0};
        _cleanup_buf_ struct buf key = {0};
        struct counted *c;

        buf_append_str(&key, digits);
        buf_append_str(&key, verb);
        buf_append_char(&key, ' ');
        buf_append_str(&key, resource);
        if (key.failed)
                return;
        c = map_get(a->counted, key.data);
        if (!c) {
                c = counted_new(daemon_metrics(a->daemon), verb, resource, code);
                if (!c || map_set(a->counted, key.data, c) < 0) {
                        free(c);
                        return;
                }
        }
        metric_add(c->total, 1);
        if (c->seconds)
                metric_observe(c->seconds, (double)(now_mono_us() - request->started_us) / 1e6);
}

static void log_request(const struct request *request, int code) {
        const struct route *r = &request->route;
        _cleanup_free_ char *key = NULL;

        if (log_level_max() < LOG_DEBUG)
                return;
        if (request->kind && !isempty(r->name))
                key = isempty(r->namespace) ? strdup(r->name)
                                            : strformat("%s/%s", r->namespace, r->name);
        log_about(LOG_DEBUG, 0, request->kind ? request->kind->kind : NULL, key, "%s %s: %d",
                        http_request_method(request->http), http_request_path(request->http), code);
}

/* Takes the HTTP request for answering it with a body of that size; NULL when no client waits for
 * an answer. */
static struct http_request *take_http(struct request *request, int code, size_t size) {
        struct http_request *http = request->http;

        if (!http)
                return NULL;
        count(request, code);
        http_response_header(http, "Cache-Control", "no-cache, private");
        log_request(request, code);
        request_end(request);
        dispatch_answered(request, size > SIZE_MAX / 2 ? size : size + http_request_unread(http));
        return http;
}

/* The JSON answer as YAML. NULL: out of memory. */
static char *yaml_of(const struct buf *json) {
        _cleanup_json_ json_t *v = NULL;

        if (json_parse(json->data, json->size, 0, &v, NULL) < 0)
                return NULL;
        return yaml_text(v);
}

static size_t size_of(struct bytes *const *pieces, size_t n) {
        size_t size = 0;

        for (size_t i = 0; i < n; i++)
                size += pieces[i]->size;
        return size;
}

/* The JSON answer in the encoding that the client asked for; its type, or NULL: JSON is what it
 * gets. */
static const char *recode(
                const struct request *request, struct bytes **pieces, size_t n, struct buf *ret) {
        _cleanup_buf_ struct buf json = {0};

        for (size_t i = 0; i < n; i++)
                (void)buf_append(&json, pieces[i]->data, pieces[i]->size);
        if (json.failed || json.size == 0)
                return NULL;
        if (request->protobuf)
                return request_encode(request, json.data, json.size, ret) < 0 ? NULL
                                                                              : PROTOBUF_MEDIA_TYPE;
        _cleanup_free_ char *yaml = yaml_of(&json);
        return yaml && buf_append_str(ret, yaml) >= 0 ? "application/yaml" : NULL;
}

void respond_pieces(struct request *request, int code, const char *content_type,
                struct bytes **pieces, size_t n) {
        _cleanup_buf_ struct buf other = {0};
        const char *type = NULL;
        struct http_request *http;

        if ((request->yaml || request->protobuf) && streq(content_type, "application/json"))
                type = recode(request, pieces, n, &other);
        audit_answer(request, code, content_type, pieces, n);
        http = take_http(request, code, type ? other.size : size_of(pieces, n));
        if (!http)
                return;
        if (type)
                http_respond(http, code, type, other.data, other.size);
        else
                http_respond_pieces(http, code, content_type, pieces, n);
}

void respond_data(struct request *request, int code, const char *content_type, const void *data,
                size_t n) {
        struct http_request *http;

        if (request->yaml || request->protobuf) {
                _cleanup_bytes_ struct bytes *b = bytes_new(data, n);

                if (b) {
                        respond_pieces(request, code, content_type, (struct bytes *[]){b}, 1);
                        return;
                }
        }
        audit_answer_text(request, code, content_type, data, n);
        http = take_http(request, code, n);
        if (http)
                http_respond(http, code, content_type, data, n);
}

void respond_text(struct request *request, int code, const char *content_type, const char *text) {
        respond_data(request, code, content_type, text, strlen(text));
}

void respond_json(struct request *request, int code, const json_t *v) {
        bool pretty = request_is_pretty(request);
        _cleanup_free_ char *text = v ? (pretty ? json_text_pretty(v) : json_text(v)) : NULL;

        if (text)
                respond_text(request, code, "application/json", text);
        else
                respond_text(request, 500, "application/json",
                                "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
                                "\"status\":\"Failure\",\"message\":\"out of memory\","
                                "\"reason\":\"InternalError\",\"code\":500}");
}

void respond_problem(struct request *request, const struct problem *p) {
        struct problem copy = *p;
        _cleanup_json_ json_t *status = NULL;
        const char *name = isempty(request->route.name) ? request->new_name : request->route.name;

        if (!copy.code) {
                copy.code = 500;
                copy.reason = "InternalError";
        }
        status = problem_to_status(&copy, isempty(name) ? NULL : name,
                        request->kind ? request->kind->group : NULL,
                        !request->kind     ? NULL
                        : copy.code == 422 ? request->kind->kind
                                           : request->kind->plural);
        if (request->http && copy.retry_after_s > 0) {
                char seconds[16];

                snprintf(seconds, sizeof(seconds), "%d", copy.retry_after_s);
                http_response_header(request->http, "Retry-After", seconds);
        }
        audit_status(request, status);
        respond_json(request, copy.code, status);
}

void respond_errno(struct request *request, int error) {
        _cleanup_problem_ struct problem p = {0};

        problem_set(&p, abs(error), 500, "InternalError", "Internal error occurred: %s",
                        strerror(abs(error)));
        respond_problem(request, &p);
}

void respond_error(struct request *request, int error, const struct problem *p) {
        if (p->code)
                respond_problem(request, p);
        else
                respond_errno(request, error);
}

void respond_success(struct request *request, int code, const char *name, const char *uid) {
        const struct kind *k = request->kind;
        _cleanup_json_ json_t *v = json_pack("{ss, ss, s{}, ss, s{ss, ss*, ss, ss*}}", "kind",
                        "Status", "apiVersion", "v1", "metadata", "status", "Success", "details",
                        "name", strempty(name), "group", k && *k->group ? k->group : NULL, "kind",
                        k ? k->plural : "", "uid", isempty(uid) ? NULL : uid);

        audit_status(request, v);
        respond_json(request, code, v);
}

void respond_object(struct request *request, int code, const json_t *object) {
        _cleanup_json_ json_t *v = NULL;

        if (request->form == FORM_TABLE) {
                const struct kind *k = request->sub && request->sub->form ? &table_of_scales
                                                                          : request->kind;
                _cleanup_json_ json_t *metadata = json_pack("{ss}", "resourceVersion",
                                json_str_or(object, "metadata.resourceVersion", ""));

                v = table_new(k, request->form_version, metadata, true);
                if (v && table_add_row(v, k, object, request->include, request->now_us) < 0) {
                        respond_errno(request, ENOMEM);
                        return;
                }
                respond_json(request, code, v);
        } else if (request->form == FORM_PARTIAL) {
                v = partial_metadata(object, request->form_version);
                respond_json(request, code, v);
        } else {
                respond_json(request, code, object);
        }
}

bool request_is_pretty(const struct request *request) {
        const char *pretty = request_query(request, "pretty");

        return !request->protobuf && !isempty(pretty) && query_true(pretty);
}

bool request_is_plain(const struct request *request) {
        return request->form == FORM_OBJECT && !request->yaml && !request->protobuf &&
               !request_is_pretty(request);
}

/* An object of the cache, from its text. */
static void respond_encoded(struct request *request, int code, struct item *form) {
        const struct message_type t = request_message(request);
        struct bytes *text = item_text(form);
        _cleanup_buf_ struct buf b = {0};
        struct http_request *http;
        int r = encode_answer(&b, &t, text->data, text->size);

        if (r < 0) {
                _cleanup_problem_ struct problem p = {0};

                if (r == -EINVAL)
                        (void)encode_refused(&p, request->kind, item_path(form));
                respond_error(request, r, &p);
                return;
        }
        audit_answer(request, code, "application/json", &text, 1);
        http = take_http(request, code, b.size);
        if (http)
                http_respond(http, code, PROTOBUF_MEDIA_TYPE, b.data, b.size);
}

void respond_item(struct request *request, int code, struct item *it) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *object = NULL;
        struct http_request *http;
        int r;

        if (!request_is_plain(request) && !(request->protobuf && request->form == FORM_OBJECT)) {
                r = item_object_as(it, request->kind, &object, &p);
                if (r < 0)
                        respond_error(request, r, &p);
                else
                        respond_object(request, code, object);
                return;
        }
        r = item_as(it, request->kind, &it, &p);
        if (r < 0) {
                respond_error(request, r, &p);
                return;
        }
        if (request->protobuf) {
                respond_encoded(request, code, it);
                return;
        }
        audit_answer(request, code, "application/json", (struct bytes *[]){item_text(it)}, 1);
        http = take_http(request, code, item_text(it)->size);
        if (http)
                http_respond_bytes(http, code, "application/json", item_text(it));
}

/* At most size bytes of the text, and no part of a character. RFC 7234 section 5.5: quotes and
 * backslashes escaped, no control characters. */
static void add_warning(struct request *request, const char *text, size_t size) {
        _cleanup_buf_ struct buf b = {0};
        size_t n = strlen(text);

        if (!request->http)
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
                http_response_header(request->http, "Warning", b.data);
}

void request_warn(struct request *request, const char *text) {
        add_warning(request, text, WARNING_SIZE_MAX);
}

void request_warn_all(struct request *request, char *const *texts) {
        size_t total = 0;

        for (size_t i = 0; texts && texts[i]; i++)
                total += strlen(texts[i]);
        for (size_t i = 0; texts && texts[i] && i < WARNINGS_MAX; i++)
                add_warning(request, texts[i],
                                total <= WARNINGS_SIZE_MAX ? WARNINGS_SIZE_MAX : WARNING_SIZE_MAX);
}

struct http_stream *respond_stream(struct request *request, const char *content_type,
                size_t queued_max, http_stream_func on_stream_gone, void *userdata) {
        return respond_stream_as(request, 200, content_type, queued_max, on_stream_gone, userdata);
}

struct http_stream *respond_stream_as(struct request *request, int code, const char *content_type,
                size_t queued_max, http_stream_func on_stream_gone, void *userdata) {
        struct http_request *http;

        audit_stream(request, code);
        http = take_http(request, code, SIZE_MAX);
        if (!http)
                return NULL;
        request->carrier = http;
        LIST_INSERT_HEAD(&request->api->open, request, open);
        return http_stream_begin(http, code, content_type, queued_max, on_stream_gone, userdata);
}

struct http_upgrade *respond_upgrade(struct request *request,
                const struct http_upgrade_handler *handler, void *userdata) {
        struct http_request *http;

        audit_stream(request, 101);
        http = take_http(request, 101, SIZE_MAX);

        return http ? http_upgrade_begin(http, handler, userdata) : NULL;
}

int problem_not_found(struct problem *p, const struct kind *k, const char *name) {
        problem_set(p, ENOENT, 404, "NotFound", "%s \"%s\" not found", k->resource, name);
        problem_about(p, k->group, k->plural, name);
        return -ENOENT;
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

/* The path in the cache of the object that the request names: "ns/name" or "name". */
static char *cache_path_of(const struct request *request) {
        const struct route *route = &request->route;

        return request->kind->namespaced ? strformat("%s/%s", route->namespace, route->name)
                                         : strdup(route->name);
}

/* Whether no key opens the stored object. */
static int check_readable(const struct request *request, const char *path, struct problem *p) {
        const struct caches *caches = request->api->caches;
        _cleanup_free_ char *key = NULL;
        const char *why;

        if (caches_unreadable_count(caches) == 0)
                return 0;
        key = strformat("%s%s", request->kind->storage_prefix, path);
        if (!key)
                return -ENOMEM;
        why = caches_unreadable(caches, key);
        return why ? problem_set(p, EBADMSG, 500, "InternalError", "Internal error occurred: %s",
                                     why)
                   : 0;
}

int request_item(const struct request *request, struct item **ret, struct problem *p) {
        _cleanup_free_ char *path = cache_path_of(request);
        struct item *it;
        int r;

        if (!path)
                return -ENOMEM;
        r = check_readable(request, path, p);
        if (r < 0)
                return r;
        it = cache_find(request->cache, path);
        if (!it)
                return problem_not_found(p, request->kind, request->route.name);
        *ret = it;
        return 0;
}

int request_object(const struct request *request, json_t **ret, struct problem *p) {
        struct item *it;
        int r = request_item(request, &it, p);

        return r < 0 ? r : item_object_as(it, request->kind, ret, p);
}

static void on_fresh(int error, void *userdata) {
        _cleanup_request_ struct request *request = userdata;
        _cleanup_problem_ struct problem p = {0};

        if (!request->http)
                return;
        if (!error) {
                request->next(request);
                return;
        }
        if (error == -ETIMEDOUT && caches_are_following(request->api->caches)) {
                problem_set(&p, ETIMEDOUT, 504, "Timeout",
                                "Timeout: Too large resource version: %s, current: %" PRIu64,
                                strempty(request_query(request, "resourceVersion")),
                                caches_revision(request->api->caches));
                problem_cause(&p, "ResourceVersionTooLarge", "", "Too large resource version");
                p.retry_after_s = 1;
        } else {
                store_problem(&(struct store_result){.error = error == -ETIMEDOUT ? -EHOSTUNREACH
                                                                                  : error,
                                              .message = ""},
                                &p);
        }
        respond_problem(request, &p);
}

void request_freshen(struct request *request, void (*next)(struct request *request)) {
        request->next = next;
        request_ref(request);
        if (caches_freshen(request->api->caches, on_fresh, request) < 0) {
                respond_errno(request, ENOMEM);
                request_unref(request);
        }
}

void request_wait_revision(
                struct request *request, uint64_t revision, void (*next)(struct request *request)) {
        request->next = next;
        request_ref(request);
        if (caches_wait(request->api->caches, revision, 3 * 1000 * 1000, on_fresh, request) < 0) {
                respond_errno(request, ENOMEM);
                request_unref(request);
        }
}
