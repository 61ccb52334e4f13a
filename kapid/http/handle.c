/* The lists `first_steps` and `last_steps` are the order in which a request is judged
 * (docs/kapid.md): each step does its part and returns whether the next one runs. The first ones
 * need no body and run before it is read: a client that may not ask does not fill our memory. Then
 * the request waits for its turn (dispatch.c) and its verb runs. A write is decoded and decided
 * there, passes the steps of pipeline/write-object.c, and is carried out by pipeline/write.c. */
#include "kapid/http/handle.h"

#include "kapid/aggregation/aggregation.h"
#include "kapid/audit/audit.h"
#include "kapid/auth/authn.h"
#include "kapid/auth/authz.h"
#include "kapid/http/dispatch.h"
#include "kapid/http/paths.h"
#include "kapid/http/protobuf.h"
#include "kapid/http/timeout.h"
#include "kapid/pipeline/options.h"
#include "kapid/relay/relay.h"
#include "kapid/verbs/verbs.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"

/* 0: the next step runs; negative: refused, with the reason in p (an empty p: out of memory etc.).
 */
typedef int (*request_step)(struct request *request, struct problem *p);

static int step_identify(struct request *request, struct problem *p) {
        char uuid[UUID_SIZE];
        const char *given = request_header(request, "Audit-Id");
        bool usable = given && strlen(given) <= 64;

        for (const char *s = given; usable && *s; s++)
                usable = *s > ' ' && *s < 0x7f;
        if (!usable)
                given = uuid_next(&request->api->audit_ids, uuid);
        memcpy(request->audit_id, given, strlen(given) + 1);
        return http_response_header(request->http, "Audit-Id", given);
}

static int step_route(struct request *request, struct problem *p) {
        return route_parse(http_request_method(request->http), http_request_path(request->http),
                        http_request_query(request->http, "watch"), &request->route, p);
}

static int step_authenticate(struct request *request, struct problem *p) {
        int r = authenticate(request, p);

        if (r < 0)
                return r;
        if (r != AUTHN_ANONYMOUS)
                http_request_trust(request->http, request->user.name);
        else if (request->route.resource)
                return problem_set(p, EACCES, 401, "Unauthorized", "Unauthorized");
        return impersonate(request, p);
}

static int step_context(struct request *request, struct problem *p) {
        request->context = (struct pipeline_context){.now_us = request->now_us,
                        .user = request->user.name,
                        .user_uid = isempty(request->user.uid) ? NULL : request->user.uid,
                        .groups = request->user.groups};
        return 0;
}

static int step_ready(struct request *request, struct problem *p) {
        if (!request->route.resource || caches_are_loaded(request->api->caches))
                return 0;
        problem_set(p, EAGAIN, 503, "ServiceUnavailable",
                        "the server is starting: it has not read the store yet");
        p->retry_after_s = 1;
        return -EAGAIN;
}

/* "/apis/GROUP/VERSION" and "/openapi/v3/apis/GROUP/VERSION", in the caller's memory. */
static bool names_version(const char *path, char group[static OBJECT_GROUP_SIZE],
                char version[static OBJECT_VERSION_SIZE]) {
        const char *rest = startswith(path, "/openapi/v3/apis/");

        if (!rest)
                rest = startswith(path, "/apis/");
        return rest && strchr(rest, '/') && !strchr(strchr(rest, '/') + 1, '/') &&
               object_split_api_version(rest, group, version) >= 0;
}

/* Whether another server serves it. */
static bool find_remote(struct request *request) {
        const struct route *t = &request->route;
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];
        struct aggregation *g = request->api->aggregation;
        struct remote *r = t->resource ? aggregation_find(g, t->group, t->version)
                           : names_version(t->path, group, version)
                                           ? aggregation_find(g, group, version)
                                           : NULL;

        request->remote = r ? remote_ref(r) : NULL;
        return r;
}

static int step_resource(struct request *request, struct problem *p) {
        const struct route *t = &request->route;
        const struct kind *k;

        if (find_remote(request) || !t->resource)
                return 0;
        k = kind_registry_find(request->api->kinds, t->group, t->version, t->plural);
        if (!k)
                return 0; /* 404 comes after authorization: only for clients that may know */
        request->kind = kind_ref(k);
        if (!isempty(t->subresource))
                request->sub = kind_subresource_find(k, t->subresource);
        if (k->stored) {
                request->cache = caches_get(request->api->caches, k->storage_prefix);
                if (!request->cache)
                        return -ENOMEM;
        }
        return 0;
}

/* Health and version are for everyone, discovery for everyone who is authenticated. */
static bool path_is_public(const char *path) {
        static const char *const open[] = {"/healthz", "/livez", "/readyz", "/version"};

        for (size_t i = 0; i < ELEMENTS(open); i++) {
                const char *rest = startswith(path, open[i]);

                if (rest && (*rest == 0 || *rest == '/'))
                        return true;
        }
        return false;
}

/* A list or watch of one name is what a rule with resourceNames may allow: kubectl get NAME --watch
 * and informers of one object send it. "" when it asks for none, or for what no path can name. An
 * extension server reads the query itself, and those in Go leave a selector with a semicolon or a
 * broken escape out as if there were none: then it is none here, too. */
static const char *name_asked_for(const struct request *request, const char *text,
                const struct field_selector *fields) {
        const char *name = strempty(field_selector_exact(fields, "metadata.name"));

        if (request->remote && strpbrk(strempty(text), ";%"))
                return "";
        return strpbrk(name, "/%") || streq(name, ".") || streq(name, "..") ? "" : name;
}

static int step_authorize(struct request *request, struct problem *p) {
        const struct route *t = &request->route;
        _cleanup_(field_selector_freep) struct field_selector *fields = NULL;
        struct access access = {.user = &request->user,
                        .verb = t->verb,
                        .group = t->group,
                        .version = t->version,
                        .resource = t->plural,
                        .subresource = t->subresource,
                        .namespace = t->namespace,
                        .name = t->name,
                        .path = t->resource ? NULL : t->path};
        const char *text = request_query(request, "fieldSelector");
        bool reads_many = isempty(t->name) || streq(t->verb, "watch");

        if (!t->resource && path_is_public(t->path))
                return 0;
        if (!t->resource && user_in_group(&request->user, "system:unauthenticated"))
                return problem_set(p, EACCES, 401, "Unauthorized", "Unauthorized");
        if (t->resource && streq(t->plural, "namespaces") && isempty(t->namespace))
                access.namespace = t->name; /* a Namespace belongs to itself */
        if (t->resource && !isempty(text) && reads_many &&
                        field_selector_parse(text, &fields, p) < 0)
                return -EINVAL;
        access.fields = fields;
        if (isempty(t->name) && (streq(t->verb, "list") || streq(t->verb, "watch")))
                access.name = name_asked_for(request, text, fields);
        access.labels = isempty(t->name) ? request_query(request, "labelSelector") : NULL;
        return authorize(request->api, &access) ? 0 : access_refused(&access, request->kind, p);
}

static int step_found(struct request *request, struct problem *p) {
        const struct route *t = &request->route;

        if (!t->resource || request->remote)
                return 0;
        if (!request->kind || t->deep || (!isempty(t->subresource) && !request->sub))
                return problem_no_route(p);
        if (!request->kind->namespaced && !isempty(t->namespace))
                return problem_no_route(p);
        if (request->kind->namespaced && isempty(t->namespace) &&
                        (!isempty(t->name) || streq(t->verb, "create") ||
                                        streq(t->verb, "deletecollection")))
                return !isempty(t->name) ? problem_no_route(p) : problem_method(p);
        return 0;
}

/* One entry of an Accept header: "application/json;as=Table;v=v1;g=meta.k8s.io;q=0.9". */
struct accept_entry {
        enum form form;
        const char *version;
        bool yaml, protobuf;
        unsigned quality; /* in thousandths */
};

/* RFC 9110 section 12.4.2; what is none counts as 1. */
static unsigned quality_parse(const char *s) {
        unsigned v = 0, digit = 100;

        if (*s != '0')
                return 1000;
        for (s += s[1] == '.' ? 2 : 1; *s >= '0' && *s <= '9' && digit > 0; s++, digit /= 10)
                v += (unsigned)(*s - '0') * digit;
        return v;
}

static char *trim_blanks(char *s) {
        size_t n;

        s += strspn(s, " \t");
        for (n = strlen(s); n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t');)
                s[--n] = 0;
        return s;
}

/* False: it cannot be met. */
static bool accept_parse(char *entry, struct accept_entry *ret) {
        struct accept_entry e = {.form = FORM_OBJECT, .version = "v1", .quality = 1000};
        char *save = NULL, *type = strtok_r(entry, ";", &save), *word;
        const char *as = "";

        if (!type)
                return false;
        type = trim_blanks(type);
        while ((word = strtok_r(NULL, ";", &save))) {
                word = trim_blanks(word);
                if (startswith(word, "as="))
                        as = word + 3;
                else if (startswith(word, "v="))
                        e.version = word + 2;
                else if (startswith(word, "q="))
                        e.quality = quality_parse(word + 2);
        }
        e.yaml = streq(type, "application/yaml");
        e.protobuf = streq(type, PROTOBUF_MEDIA_TYPE);
        if (!e.yaml && !e.protobuf && !streq(type, "application/json") && !streq(type, "*/*") &&
                        !streq(type, "application/*"))
                return false;
        if (streq(as, "Table"))
                e.form = FORM_TABLE;
        else if (streq(as, "PartialObjectMetadata") || streq(as, "PartialObjectMetadataList"))
                e.form = FORM_PARTIAL;
        else if (*as)
                return false;
        if (*as && !streq(e.version, "v1") && !streq(e.version, "v1beta1"))
                return false;
        *ret = e;
        return e.quality > 0;
}

/* The best entry that can be met; the first of equals. Watches are lines of JSON, or frames. */
static bool accept_best(
                const struct request *request, char *header, bool watch, struct accept_entry *ret) {
        struct accept_entry e;
        char *save = NULL;

        ret->quality = 0;
        for (char *s = strtok_r(header, ",", &save); s; s = strtok_r(NULL, ",", &save))
                if (accept_parse(s, &e) && e.quality > ret->quality && !(e.yaml && watch) &&
                                !(e.protobuf && !request_has_protobuf(request, e.form)))
                        *ret = e;
        return ret->quality > 0;
}

/* A refusal before step_accept: a Status in protobuf for those who prefer it. */
static void accept_refusal(struct request *request) {
        const char *header = request_header(request, "Accept");
        _cleanup_free_ char *copy = isempty(header) ? NULL : strdup(header);
        struct accept_entry e;

        if (request->route.resource && copy && accept_best(request, copy, false, &e))
                request->protobuf = e.protobuf;
}

static int step_accept(struct request *request, struct problem *p) {
        const char *header = request_header(request, "Accept");
        const bool watch = streq(strempty(request->route.verb), "watch");
        _cleanup_free_ char *copy = NULL;
        struct accept_entry e;
        int r;

        if (!request->route.resource || request->remote || request->route.rest)
                return 0;
        r = table_include_parse(request_query(request, "includeObject"), &request->include, p);
        if (r < 0 || isempty(header))
                return r;
        copy = strdup(header);
        if (!copy)
                return -ENOMEM;
        if (accept_best(request, copy, watch, &e)) {
                request->form = e.form;
                request->yaml = e.yaml;
                request->protobuf = e.protobuf;
                if (e.form == FORM_OBJECT)
                        memcpy(request->form_version, "v1", sizeof("v1"));
                else
                        (void)snprintf(request->form_version, sizeof(request->form_version), "%s",
                                        e.version);
                return 0;
        }
        /* Logs are plain text and streams are bytes, whatever was asked for. */
        if (request->sub && !request->sub->schema)
                return 0;
        return problem_set(p, EINVAL, 406, "NotAcceptable",
                        "only the following media types are accepted: application/json%s%s",
                        watch ? "" : ", application/yaml",
                        request_has_protobuf(request, FORM_OBJECT) ? ", " PROTOBUF_MEDIA_TYPE : "");
}

static bool is_write(const char *verb) {
        return streq(verb, "create") || streq(verb, "update") || streq(verb, "patch") ||
               startswith(verb, "delete");
}

/* A dry run with an empty value must not become a real write, nor one of several values. */
static int read_dry_run(struct request *request, struct problem *p) {
        const char *first = http_request_query_at(request->http, "dryRun", 0), *word = first;
        _cleanup_json_ json_t *words = json_array();
        bool odd = false;

        if (!first || (!is_write(request->route.verb) && !*first))
                return 0;
        for (size_t i = 0; word; i++) {
                odd |= !streq(word, "All");
                json_array_append_new(words,
                                json_string(utf8_is_valid(word, strlen(word)) ? word : "?"));
                word = http_request_query_at(request->http, "dryRun", i + 1);
        }
        if (odd)
                return options_dry_run_refused(p, options_kind(request->route.verb), words);
        request->dry_run = true;
        return 0;
}

static int step_options(struct request *request, struct problem *p) {
        int r;

        if (!request->route.resource || request->route.rest) /* a proxy's query is not for us */
                return 0;
        if (request->remote) /* the others are the server's, and this one of what runs long */
                return relay_is_long_running(request) ? 0 : request_read_timeout(request, p);
        r = read_dry_run(request, p);
        if (r < 0)
                return r;
        r = request_read_timeout(request, p);
        return r < 0 ? r
                     : field_validation_parse(options_kind(request->route.verb),
                                       request_query(request, "fieldValidation"),
                                       &request->validation, p);
}

static const request_step first_steps[] = {
                step_identify,
                step_route,
                step_authenticate,
                step_ready,
                step_resource,
                step_authorize,
                step_found,
};

static const request_step last_steps[] = {
                step_context,
                step_accept,
                step_options,
};

static int take_steps(struct request *request, const request_step *steps, size_t n) {
        for (size_t i = 0; i < n && !request->refused; i++)
                request->refused = MIN(steps[i](request, &request->refusal), 0);
        return request->refused;
}

static bool has_body(const struct request *request) {
        static const char *const verbs[] = {
                        "create", "update", "patch", "delete", "deletecollection"};

        if (request->route.rest)
                return true;
        for (size_t i = 0; request->route.resource && i < ELEMENTS(verbs); i++)
                if (streq(request->route.verb, verbs[i]))
                        return true;
        return false;
}

enum http_admission api_admit(struct http_request *http, void *userdata) {
        struct request *request = request_new(userdata, http);
        bool wanted;

        if (!request)
                return HTTP_DROP_BODY;
        wanted = take_steps(request, first_steps, ELEMENTS(first_steps)) >= 0 && has_body(request);
        audit_begin(request);
        request_unref(request);
        return wanted ? HTTP_READ_BODY : HTTP_DROP_BODY;
}

static void run_verb(void *userdata) {
        struct request *request = userdata;

        if (request->http)
                verb_run(request);
}

static bool is_large(const struct request *request) {
        size_t n;

        (void)request_body(request, &n);
        return n >= REQUEST_LARGE_BYTES;
}

static void run(struct request *request) {
        if (request->remote)
                aggregation_pass_on(request);
        else if (request->route.resource)
                request_in_turns(request, is_large(request) && !request->route.rest, run_verb,
                                request);
        else
                path_run(request);
}

void api_handle(struct http_request *http, void *userdata) {
        struct request *request = http_request_userdata(http);

        if (!request) {
                http_respond(http, 500, "text/plain", "out of memory\n", 14);
                return;
        }
        request_ref(request);
        request->started_us = now_mono_us();
        request->now_us = now_wall_us();
        if (take_steps(request, last_steps, ELEMENTS(last_steps)) >= 0) {
                if (request->route.resource) {
                        bool read = streq(request->route.verb, "get") ||
                                    streq(request->route.verb, "list") ||
                                    streq(request->route.verb, "watch");

                        request->lane = read ? LANE_READ : LANE_WRITE;
                        (*(read ? &request->api->reads : &request->api->writes))++;
                }
                if (!request->route.resource && path_is_public(request->route.path))
                        run(request); /* health is for everyone at any time */
                else
                        dispatch_submit(request, run);
        } else {
                accept_refusal(request);
                respond_error(request, request->refused, &request->refusal);
        }
        request_unref(request);
}

void api_reject(struct http_request *http, int code, const char *why, void *userdata) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *status = NULL;
        _cleanup_free_ char *text = NULL;
        struct request *request = http_request_userdata(http);
        char uuid[UUID_SIZE];

        problem_set(&p, EINVAL, code,
                        code == 413   ? "RequestEntityTooLarge"
                        : code == 429 ? "TooManyRequests"
                        : code == 503 ? "ServiceUnavailable"
                                      : "BadRequest",
                        "%s", code == 413 ? "Request entity too large: limit is 3145728" : why);
        status = problem_to_status(&p, NULL, NULL, NULL);
        text = status ? json_text(status) : NULL;
        if (request) {
                audit_status(request, status);
                audit_answer_text(request, code, "application/json", strempty(text),
                                strlen(strempty(text)));
        } else
                http_response_header(http, "Audit-Id", random_uuid(uuid));
        http_response_header(http, "Cache-Control", "no-cache, private");
        http_respond(http, code, "application/json", strempty(text), strlen(strempty(text)));
}
