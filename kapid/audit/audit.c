/* A record is made when the request's head has been judged and holds what the events of all stages
 * share; the bodies are kept as text and put into the line as they are. The stages are those of
 * kube-apiserver: RequestReceived and ResponseComplete, for streams also ResponseStarted; for a
 * request whose user was refused ResponseStarted alone. There is no Panic: a program error ends
 * kapid. */
#include "kapid/audit/audit.h"

#include "kapid/http/request.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/timefmt.h"
#include "lib/yaml.h"

enum { POLICY_SIZE_MAX = 1 << 20, HEADER_SIZE_MAX = 1024, URI_SIZE_MAX = 64 << 10 };

#define TRUNCATED "audit.k8s.io/truncated"

struct audit {
        struct audit_policy *policy;
        struct sink *sink;
        struct metric *levels[AUDIT_REQUEST_RESPONSE + 1];
};

struct audit_record {
        struct audit *audit;
        struct audit_decision decision;
        json_t *event;   /* what the stages share, and what is found out on the way */
        char *requested; /* JSON of the body; NULL: none */
        char *answered;
        bool unknown_user; /* authentication refused it */
        bool streams, done;
};

/* --- set up --- */

static int read_policy(struct audit *a, const char *path, struct problem *p) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = file_read(path, POLICY_SIZE_MAX, &text, &n);

        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "read the audit policy", r);

                return problem_set(p, -r, 0, NULL, "--audit-policy-file: %s", strempty(why));
        }
        r = audit_policy_new(&a->policy, text, n, p);
        if (r < 0 && p->message)
                problem_prefix(p, "--audit-policy-file %s", path);
        return r;
}

static int check_flags(const struct audit_options *o, struct problem *p) {
        if (!streq(o->format, "json"))
                return problem_set(p, EINVAL, 0, NULL,
                                "--audit-log-format %s: json is the only format", o->format);
        if (isempty(o->policy_file) && !isempty(o->log.path))
                return problem_set(p, EINVAL, 0, NULL,
                                "--audit-log-path needs --audit-policy-file: without a policy "
                                "nothing would be written");
        if (!isempty(o->policy_file) && isempty(o->log.path))
                return problem_set(p, EINVAL, 0, NULL,
                                "--audit-policy-file needs --audit-log-path: a file, - for "
                                "standard output, or journald");
        return 0;
}

static int add_metrics(struct audit *a, struct metrics *m) {
        for (size_t i = 0; i < ELEMENTS(a->levels); i++) {
                _cleanup_free_ char *labels =
                                strformat("level=\"%s\"", audit_level_name((enum audit_level)i));

                a->levels[i] = labels ? metrics_counter(m, "apiserver_audit_level_total", labels,
                                                        "Requests by the level that the audit "
                                                        "policy gives them.")
                                      : NULL;
                if (!a->levels[i])
                        return -ENOMEM;
        }
        return 0;
}

int audit_new(struct audit **ret, sd_event *event, const struct audit_options *o, struct metrics *m,
                struct problem *p) {
        _cleanup_(audit_freep) struct audit *a = NULL;
        int r = check_flags(o, p);

        if (r < 0)
                return r;
        if (isempty(o->policy_file)) {
                *ret = NULL;
                return 0;
        }
        a = calloc(1, sizeof(*a));
        if (!a)
                return -ENOMEM;
        r = read_policy(a, o->policy_file, p);
        if (r < 0)
                return r;
        r = add_metrics(a, m);
        if (r < 0)
                return r;
        r = sink_new(&a->sink, event, &o->log, m, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

struct audit *audit_free(struct audit *a) {
        if (!a)
                return NULL;
        sink_free(a->sink);
        audit_policy_free(a->policy);
        return mfree(a);
}

/* --- what all stages share --- */

/* Text from outside: bytes that are not UTF-8 become '?', and it has a bound. */
static json_t *text_value(const char *s, size_t size_max) {
        size_t n = strnlen(strempty(s), size_max);
        _cleanup_free_ char *copy = strndup(strempty(s), n);

        if (!copy)
                return NULL;
        if (!utf8_is_valid(copy, n))
                for (char *c = copy; *c; c++)
                        if ((unsigned char)*c >= 0x80)
                                *c = '?';
        return json_string(copy);
}

static int set_text(json_t *v, const char *name, const char *s, size_t size_max) {
        return isempty(s) ? 0 : json_object_set_new(v, name, text_value(s, size_max));
}

/* "10.0.0.1:5000" and "[fd00::1]:5000" without the port; a Unix socket has no address. */
static json_t *source_addresses(const struct http_peer *peer) {
        const char *s = strempty(peer->address), *colon = strrchr(s, ':');
        size_t n = colon ? (size_t)(colon - s) : strlen(s);

        if (peer->unix_socket || n == 0)
                return NULL;
        if (*s == '[' && n > 2 && s[n - 1] == ']') {
                s++;
                n -= 2;
        }
        return json_pack("[s%]", s, n);
}

static json_t *texts_value(char *const *texts) {
        json_t *list = json_array();

        for (; list && texts && *texts; texts++)
                (void)json_array_append_new(list, text_value(*texts, URI_SIZE_MAX));
        return list;
}

/* Whatever bytes a name has (one that is impersonated): there is an event. With the certificate
 * that was shown, as kube-apiserver records it. */
static json_t *user_value(const struct user *u, const struct http_peer *peer) {
        _cleanup_json_ json_t *v = json_object();
        _cleanup_free_ char *id = NULL;

        if (!v || json_object_set_new(v, "username", text_value(u->name, URI_SIZE_MAX)) < 0 ||
                        set_text(v, "uid", u->uid, URI_SIZE_MAX) < 0 ||
                        json_object_set_new(v, "groups", texts_value(u->groups)) < 0)
                return NULL;
        if (u->extra && json_object_set(v, "extra", u->extra) < 0)
                return NULL;
        if (!peer || !peer->certificate || !peer->fingerprint)
                return json_incref(v);
        id = strformat("X509SHA256=%s", peer->fingerprint);
        if (!id || json_object_set_new(v, "extra",
                                   json_pack("{s[s]}", "authentication.kubernetes.io/credential-id",
                                                   id)) < 0)
                return NULL;
        return json_incref(v);
}

static const char *namespace_of(const struct route *t) {
        /* A Namespace belongs to itself. */
        return isempty(t->namespace) && t->resource && streq(t->plural, "namespaces")
                               ? t->name
                               : t->namespace;
}

static json_t *object_reference(const struct route *t) {
        _cleanup_json_ json_t *v = json_object();

        if (!v || set_text(v, "resource", t->plural, ROUTE_PATH_MAX) < 0 ||
                        set_text(v, "namespace", namespace_of(t), ROUTE_PATH_MAX) < 0 ||
                        set_text(v, "name", t->name, ROUTE_PATH_MAX) < 0 ||
                        set_text(v, "apiGroup", t->group, ROUTE_PATH_MAX) < 0 ||
                        set_text(v, "apiVersion", t->version, ROUTE_PATH_MAX) < 0 ||
                        set_text(v, "subresource", t->subresource, ROUTE_PATH_MAX) < 0)
                return NULL;
        return json_incref(v);
}

static void set_time(json_t *v, const char *name, uint64_t us) {
        char text[TIMEFMT_SIZE];

        (void)json_object_set_new(v, name, json_string(time_format_micro(us, text)));
}

static json_t *shared_part(const struct request *request, enum audit_level level) {
        const struct http_peer *peer = http_request_peer(request->http);
        const struct user *u = request->real_user.name ? &request->real_user : &request->user;
        const char *query = http_request_query_text(request->http),
                   *path = http_request_path(request->http);
        _cleanup_free_ char *uri = isempty(query) ? strdup(path) : strformat("%s?%s", path, query);
        _cleanup_json_ json_t *v = json_pack("{ss, ss, ss}", "kind", "Event", "apiVersion",
                                              "audit.k8s.io/v1", "level", audit_level_name(level)),
                              *addresses = source_addresses(peer);

        if (!v || !uri || set_text(v, "auditID", request->audit_id, HEADER_SIZE_MAX) < 0 ||
                        json_object_set_new(v, "stage", json_string("")) < 0 ||
                        set_text(v, "requestURI", uri, URI_SIZE_MAX) < 0 ||
                        set_text(v, "verb", request->route.verb, HEADER_SIZE_MAX) < 0)
                return NULL;
        if (json_object_set_new(v, "user", u->name ? user_value(u, peer) : json_object()) < 0)
                return NULL;
        if (request->real_user.name && json_object_set_new(v, "impersonatedUser",
                                                       user_value(&request->user, NULL)) < 0)
                return NULL;
        if (addresses && json_object_set(v, "sourceIPs", addresses) < 0)
                return NULL;
        if (set_text(v, "userAgent", http_request_header(request->http, "User-Agent"),
                            HEADER_SIZE_MAX) < 0)
                return NULL;
        if (request->route.resource &&
                        json_object_set_new(v, "objectRef", object_reference(&request->route)) < 0)
                return NULL;
        set_time(v, "requestReceivedTimestamp", request->now_us);
        return json_incref(v);
}

/* --- writing --- */

/* {..., "requestObject": ..., "responseObject": ...}: the bodies are text already. */
static int line_of(const struct audit_record *r, bool complete, struct buf *out) {
        _cleanup_free_ char *text = json_text(r->event);

        if (!text)
                return -ENOMEM;
        buf_append(out, text, strlen(text) - 1);
        if (r->requested && r->decision.level >= AUDIT_REQUEST)
                buf_printf(out, ",\"requestObject\":%s", r->requested);
        if (complete && r->answered)
                buf_printf(out, ",\"responseObject\":%s", r->answered);
        buf_append_char(out, '}');
        return out->failed ? -ENOMEM : 0;
}

static void emit(struct audit_record *r, enum audit_stage stage) {
        const char *const fields[] = {"KEELSON_AUDIT_ID", json_str_or(r->event, "auditID", ""),
                        "KEELSON_AUDIT_USER", json_str_or(r->event, "user.username", ""),
                        "KEELSON_AUDIT_VERB", json_str_or(r->event, "verb", ""), NULL};
        _cleanup_buf_ struct buf line = {0};

        if (r->decision.omit_stages & stage)
                return;
        if (json_object_set_new(r->event, "stage", json_string(audit_stage_name(stage))) < 0)
                return;
        set_time(r->event, "stageTimestamp", now_wall_us());
        if (line_of(r, stage == AUDIT_COMPLETE, &line) < 0)
                (void)log_oom();
        else
                sink_write(r->audit->sink, line.data, line.size, fields);
}

static void annotate(struct audit_record *r, const char *name, const char *value) {
        json_t *v = json_object_get(r->event, "annotations");

        if (!v) {
                v = json_object();
                if (json_object_set_new(r->event, "annotations", v) < 0)
                        return;
        }
        (void)json_object_set_new(v, name, json_string(value));
}

void audit_annotate(struct request *request, const char *name, const char *value) {
        if (request->audit)
                annotate(request->audit, name, value);
}

static void set_code(struct audit_record *r, int code) {
        json_t *status = json_object_get(r->event, "responseStatus");

        if (!status) {
                status = json_pack("{s{}}", "metadata");
                if (json_object_set_new(r->event, "responseStatus", status) < 0)
                        return;
        }
        (void)json_object_set_new(status, "code", json_integer(code));
}

/* --- the way of a request --- */

static struct audit_decision decide(const struct audit *a, const struct request *request) {
        const struct user *u = request->real_user.name ? &request->real_user : &request->user;
        const struct route *t = &request->route;

        return audit_policy_decide(
                        a->policy, &(struct audit_attributes){.user = strempty(u->name),
                                                   .groups = u->groups,
                                                   .verb = strempty(t->verb),
                                                   .path = t->resource ? NULL : strempty(t->path),
                                                   .group = strempty(t->group),
                                                   .resource = strempty(t->plural),
                                                   .subresource = strempty(t->subresource),
                                                   .namespace = strempty(namespace_of(t)),
                                                   .name = strempty(t->name)});
}

void audit_begin(struct request *request) {
        struct audit *a = request->api->audit;
        struct audit_decision d;
        struct audit_record *r;

        if (!a || !request->route.verb) /* nothing is known of a path that cannot be read */
                return;
        d = decide(a, request);
        metric_add(a->levels[d.level], 1);
        if (d.level == AUDIT_NONE)
                return;
        r = calloc(1, sizeof(*r));
        if (r)
                r->event = shared_part(request, d.level);
        if (!r || !r->event) {
                free(r);
                (void)log_oom();
                return;
        }
        r->audit = a;
        r->decision = d;
        r->unknown_user = !request->user.name;
        request->audit = r;
        if (r->unknown_user)
                return;
        emit(r, AUDIT_RECEIVED);
        if (request->refusal.code == 403)
                annotate(r, "authorization.k8s.io/decision", "forbid");
        else if (request->refused == 0 || request->refusal.code == 404 ||
                        request->refusal.code == 405) /* found out after it was allowed */
                annotate(r, "authorization.k8s.io/decision", "allow");
}

static void drop_managed_fields(json_t *object) {
        json_t *items = json_object_get(object, "items"), *item;
        size_t i;

        json_del_at(object, "metadata.managedFields");
        json_array_foreach (items, i, item)
                json_del_at(item, "metadata.managedFields");
}

/* The object's text as the policy wants it; NULL: it is too large, or there is no memory. */
static char *object_text(struct audit_record *r, const json_t *object) {
        _cleanup_json_ json_t *copy = NULL;
        char *text;

        if (r->decision.omit_managed_fields) {
                copy = json_tree_copy(object);
                if (!copy)
                        return NULL;
                drop_managed_fields(copy);
                object = copy;
        }
        text = json_text(object);
        if (text && strlen(text) > AUDIT_OBJECT_BYTES_MAX) {
                annotate(r, TRUNCATED, "true");
                return mfree(text);
        }
        return text;
}

static bool wants_request(const struct audit_record *r) {
        return r && r->decision.level >= AUDIT_REQUEST && !r->requested;
}

void audit_request_object(struct request *request, const json_t *object) {
        if (wants_request(request->audit))
                request->audit->requested = object_text(request->audit, object);
}

void audit_request_text(struct request *request, const char *data, size_t n) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *object = NULL;

        if (!wants_request(request->audit) || n == 0)
                return;
        if (n > AUDIT_OBJECT_BYTES_MAX) {
                annotate(request->audit, TRUNCATED, "true");
                return;
        }
        if (json_parse(data, n, 0, &object, NULL) < 0 && yaml_parse(data, n, &docs, &p) >= 0 &&
                        docs.count == 1)
                object = json_incref(docs.items[0].value); /* an apply */
        if (object)
                request->audit->requested = object_text(request->audit, object);
}

void audit_status(struct request *request, const json_t *status) {
        static const char *const copied[] = {"status", "message", "reason", "details", "code"};
        struct audit_record *r = request->audit;
        json_t *v;

        if (!r)
                return;
        v = json_pack("{s{}}", "metadata");
        for (size_t i = 0; v && i < ELEMENTS(copied); i++) {
                json_t *member = json_object_get(status, copied[i]);

                if (member)
                        (void)json_object_set(v, copied[i], member);
        }
        (void)json_object_set_new(r->event, "responseStatus", v);
}

/* Our own JSON, but for indented answers and where fields are left out. */
static char *answer_text(struct audit_record *r, const char *body, size_t n) {
        _cleanup_json_ json_t *object = NULL;

        if (n == 0)
                return NULL;
        if (n > AUDIT_OBJECT_BYTES_MAX) {
                annotate(r, TRUNCATED, "true");
                return NULL;
        }
        if (!r->decision.omit_managed_fields && !memchr(body, '\n', n))
                return strndup(body, n);
        return json_parse(body, n, 0, &object, NULL) < 0 ? NULL : object_text(r, object);
}

/* What is known only at the end of a create: the name. */
static void complete_reference(struct audit_record *r, const struct request *request) {
        json_t *reference = json_object_get(r->event, "objectRef");

        if (reference && !json_object_get(reference, "name") && !isempty(request->new_name))
                (void)set_text(reference, "name", request->new_name, HEADER_SIZE_MAX);
}

static void finish(struct request *request) {
        struct audit_record *r = request->audit;

        r->done = true;
        complete_reference(r, request);
        emit(r, r->unknown_user ? AUDIT_STARTED : AUDIT_COMPLETE);
}

static bool wants_answer(const struct audit_record *r, const char *content_type) {
        return r->decision.level >= AUDIT_REQUEST_RESPONSE && content_type &&
               streq(content_type, "application/json");
}

bool audit_wants_answer(const struct request *request) {
        return request->audit && wants_answer(request->audit, "application/json");
}

void audit_answer_text(struct request *request, int code, const char *content_type,
                const char *body, size_t n) {
        struct audit_record *r = request->audit;

        if (!r || r->done)
                return;
        set_code(r, code);
        if (wants_answer(r, content_type))
                r->answered = answer_text(r, body, n);
        finish(request);
}

void audit_answer(struct request *request, int code, const char *content_type,
                struct bytes *const *pieces, size_t n) {
        struct audit_record *r = request->audit;
        _cleanup_buf_ struct buf all = {0};
        size_t size = 0;

        if (!r || r->done)
                return;
        if (!wants_answer(r, content_type))
                n = 0;
        for (size_t i = 0; i < n; i++)
                size += pieces[i]->size;
        for (size_t i = 0; size <= AUDIT_OBJECT_BYTES_MAX && i < n; i++)
                buf_append(&all, pieces[i]->data, pieces[i]->size);
        if (n > 0 && !all.failed)
                audit_answer_text(request, code, content_type, strempty(all.data), size);
        else
                audit_answer_text(request, code, NULL, "", 0);
}

void audit_stream(struct request *request, int code) {
        struct audit_record *r = request->audit;

        if (!r || r->done)
                return;
        r->streams = true;
        set_code(r, code);
        emit(r, AUDIT_STARTED);
}

void audit_end(struct request *request) {
        struct audit_record *r = request->audit;

        if (!r)
                return;
        if (!r->done) {
                if (!r->streams)
                        annotate(r, "keelson.dev/outcome", "the client left before the answer");
                finish(request);
        }
        json_decref(r->event);
        free(r->requested);
        free(r->answered);
        free(r);
        request->audit = NULL;
}
