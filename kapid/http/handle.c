/* A request's way through kapid. The lists `first_steps` and `last_steps` are the order of
 * DESIGN.md section 3: each step does its part and says whether the next may go on. The first ones
 * need no body, and run before one is read: who may not ask does not fill our memory. Then the
 * request waits for its turn (dispatch.c), and the verb runs, where decode, convert, default,
 * admission, validation and the store txn follow (write.c). */
#include "kapid/auth/authn.h"
#include "kapid/auth/authz.h"
#include "kapid/http/dispatch.h"
#include "kapid/http/request.h"
#include "lib/random.h"
#include "lib/timefmt.h"

/* 0: on to the next; negative: refused, p says why (an empty p: out of memory and the like). */
typedef int (*step)(struct request *r, struct problem *p);

static int step_identify(struct request *r, struct problem *p) {
        char uuid[UUID_SIZE];
        const char *given = request_header(r, "Audit-Id");
        bool usable = given && strlen(given) <= 64;

        for (const char *s = given; usable && *s; s++)
                usable = *s > ' ' && *s < 0x7f;
        return http_response_header(r->http, "Audit-Id", usable ? given : random_uuid(uuid));
}

static int step_route(struct request *r, struct problem *p) {
        return route_parse(http_request_method(r->http), http_request_path(r->http),
                        http_request_query(r->http, "watch"), &r->route, p);
}

static int step_authenticate(struct request *r, struct problem *p) {
        int e = authenticate(r, p);

        if (e < 0)
                return e;
        if (e != AUTHN_ANONYMOUS)
                http_request_trust(r->http, r->user.name);
        else if (r->route.resource)
                return problem_set(p, EACCES, 401, "Unauthorized", "Unauthorized");
        return impersonate(r, p);
}

static int step_context(struct request *r, struct problem *p) {
        r->context = (struct machine_context){.now_us = r->now_us,
                        .user = r->user.name,
                        .user_uid = isempty(r->user.uid) ? NULL : r->user.uid,
                        .groups = r->user.groups};
        return 0;
}

static int step_ready(struct request *r, struct problem *p) {
        if (!r->route.resource || caches_are_loaded(r->api->caches))
                return 0;
        problem_set(p, EAGAIN, 503, "ServiceUnavailable",
                        "the server is starting: it has not read the store yet");
        p->retry_after_s = 1;
        return -EAGAIN;
}

static int step_resource(struct request *r, struct problem *p) {
        const struct route *t = &r->route;
        const struct kind *k;

        if (!t->resource)
                return 0;
        k = kind_registry_find(r->api->kinds, t->group, t->version, t->plural);
        if (!k)
                return 0; /* 404, but only for those who may know: after authorization */
        r->kind = kind_ref(k);
        if (!isempty(t->subresource))
                r->sub = kind_subresource_find(k, t->subresource);
        if (k->stored) {
                r->cache = caches_get(r->api->caches, k->storage_prefix);
                if (!r->cache)
                        return -ENOMEM;
        }
        return 0;
}

/* Health and version are for everyone, discovery for everyone known. */
static bool path_is_public(const char *path) {
        static const char *const open[] = {"/healthz", "/livez", "/readyz", "/version"};

        for (size_t i = 0; i < ELEMENTS(open); i++) {
                const char *rest = startswith(path, open[i]);

                if (rest && (*rest == 0 || *rest == '/'))
                        return true;
        }
        return false;
}

static int step_authorize(struct request *r, struct problem *p) {
        const struct route *t = &r->route;
        _cleanup_(field_selector_freep) struct field_selector *fields = NULL;
        struct access access = {.user = &r->user,
                        .verb = t->verb,
                        .group = t->group,
                        .version = t->version,
                        .resource = t->plural,
                        .subresource = t->subresource,
                        .namespace = t->namespace,
                        .name = t->name,
                        .path = t->resource ? NULL : t->path};
        const char *text = request_query(r, "fieldSelector");

        if (!t->resource && path_is_public(t->path))
                return 0;
        if (!t->resource && user_in_group(&r->user, "system:unauthenticated"))
                return problem_set(p, EACCES, 401, "Unauthorized", "Unauthorized");
        if (t->resource && streq(t->plural, "namespaces") && isempty(t->namespace))
                access.namespace = t->name; /* a Namespace belongs to itself */
        if (t->resource && !isempty(text) && isempty(t->name) &&
                        field_selector_parse(text, &fields, p) < 0)
                return -EINVAL;
        access.fields = fields;
        return authorize(r->api, &access) ? 0 : access_refused(&access, r->kind, p);
}

static int step_found(struct request *r, struct problem *p) {
        const struct route *t = &r->route;

        if (!t->resource)
                return 0;
        if (!r->kind || (!isempty(t->subresource) && !r->sub))
                return problem_no_route(p);
        if (!r->kind->namespaced && !isempty(t->namespace))
                return problem_no_route(p);
        if (r->kind->namespaced && isempty(t->namespace) &&
                        (!isempty(t->name) || streq(t->verb, "create") ||
                                        streq(t->verb, "deletecollection")))
                return !isempty(t->name) ? problem_no_route(p) : problem_method(p);
        return 0;
}

/* One entry of an Accept header: "application/json;as=Table;v=v1;g=meta.k8s.io". */
static bool accept_entry(struct request *r, char *entry) {
        char *save = NULL, *type = strtok_r(entry, ";", &save), *word;
        const char *as = "", *version = "v1";

        while (type && *type == ' ')
                type++;
        if (!type)
                return false;
        for (char *end = type + strlen(type); end > type && end[-1] == ' ';)
                *--end = 0;
        while ((word = strtok_r(NULL, ";", &save))) {
                while (*word == ' ')
                        word++;
                if (startswith(word, "as="))
                        as = word + 3;
                else if (startswith(word, "v="))
                        version = word + 2;
        }
        if (!streq(type, "application/json") && !streq(type, "*/*") &&
                        !streq(type, "application/*"))
                return false;
        if (strlen(version) >= sizeof(r->form_version))
                return false;
        if (streq(as, "Table") && (streq(version, "v1") || streq(version, "v1beta1")))
                r->form = FORM_TABLE;
        else if (streq(as, "PartialObjectMetadata") || streq(as, "PartialObjectMetadataList"))
                r->form = FORM_PARTIAL;
        else if (*as)
                return false;
        else
                r->form = FORM_OBJECT;
        memcpy(r->form_version, version, strlen(version) + 1);
        return true;
}

static int step_accept(struct request *r, struct problem *p) {
        const char *header = request_header(r, "Accept");
        _cleanup_free_ char *copy = NULL;
        char *save = NULL;
        int e;

        if (!r->route.resource)
                return 0;
        e = table_include_parse(request_query(r, "includeObject"), &r->include, p);
        if (e < 0 || isempty(header))
                return e;
        copy = strdup(header);
        if (!copy)
                return -ENOMEM;
        for (char *s = strtok_r(copy, ",", &save); s; s = strtok_r(NULL, ",", &save))
                if (accept_entry(r, s))
                        return 0;
        /* Logs are plain text, whatever was asked for. */
        if (r->sub && streq(r->sub->name, "log"))
                return 0;
        return problem_set(p, EINVAL, 406, "NotAcceptable",
                        "only the following media types are accepted: application/json, "
                        "application/yaml, application/vnd.kubernetes.protobuf (requests)");
}

static int step_options(struct request *r, struct problem *p) {
        const char *dry_run = request_query(r, "dryRun");
        int e;

        if (!r->route.resource)
                return 0;
        if (!isempty(dry_run)) {
                if (!streq(dry_run, "All")) {
                        char text[256];

                        snprintf(text, sizeof(text),
                                        "Unsupported value: \"%.64s\": supported values: \"All\"",
                                        dry_run);
                        problem_set(p, EINVAL, 422, "Invalid", "options is invalid: dryRun: %s",
                                        text);
                        return problem_cause(p, "FieldValueNotSupported", "dryRun", text), -EINVAL;
                }
                r->dry_run = true;
        }
        e = field_validation_parse(request_query(r, "fieldValidation"), &r->validation, p);
        return e;
}

static const step first_steps[] = {
                step_identify,
                step_route,
                step_authenticate,
                step_ready,
                step_resource,
                step_authorize,
                step_found,
};

static const step last_steps[] = {
                step_context,
                step_accept,
                step_options,
};

static int take_steps(struct request *r, const step *steps, size_t n) {
        for (size_t i = 0; i < n && !r->refused; i++)
                r->refused = MIN(steps[i](r, &r->refusal), 0);
        return r->refused;
}

static bool has_body(const struct request *r) {
        static const char *const verbs[] = {
                        "create", "update", "patch", "delete", "deletecollection"};

        for (size_t i = 0; r->route.resource && i < ELEMENTS(verbs); i++)
                if (streq(r->route.verb, verbs[i]))
                        return true;
        return false;
}

enum http_admission api_admit(struct http_request *http, void *userdata) {
        struct request *r = request_new(userdata, http);
        bool wanted;

        if (!r)
                return HTTP_DROP_BODY;
        wanted = take_steps(r, first_steps, ELEMENTS(first_steps)) >= 0 && has_body(r);
        request_unref(r);
        return wanted ? HTTP_READ_BODY : HTTP_DROP_BODY;
}

static void run(struct request *r) {
        if (r->route.resource)
                verb_run(r);
        else
                path_run(r);
}

void api_handle(struct http_request *http, void *userdata) {
        struct request *r = http_request_userdata(http);

        if (!r) {
                http_respond(http, 500, "text/plain", "out of memory\n", 14);
                return;
        }
        request_ref(r);
        r->started_us = now_mono_us();
        r->now_us = now_wall_us();
        if (take_steps(r, last_steps, ELEMENTS(last_steps)) >= 0) {
                if (r->route.resource) {
                        bool read = streq(r->route.verb, "get") || streq(r->route.verb, "list") ||
                                    streq(r->route.verb, "watch");

                        r->lane = read ? LANE_READ : LANE_WRITE;
                        (*(read ? &r->api->reads : &r->api->writes))++;
                }
                if (!r->route.resource && path_is_public(r->route.path))
                        run(r); /* health is for everyone at any time */
                else
                        dispatch_submit(r, run);
        } else if (r->refusal.code)
                respond_problem(r, &r->refusal);
        else
                respond_errno(r, r->refused);
        request_unref(r);
}

void api_reject(struct http_request *http, int code, const char *why, void *userdata) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *status = NULL;
        _cleanup_free_ char *text = NULL;
        char uuid[UUID_SIZE];

        problem_set(&p, EINVAL, code,
                        code == 413   ? "RequestEntityTooLarge"
                        : code == 429 ? "TooManyRequests"
                        : code == 503 ? "ServiceUnavailable"
                                      : "BadRequest",
                        "%s", code == 413 ? "Request entity too large: limit is 3145728" : why);
        status = problem_to_status(&p, NULL, NULL, NULL);
        text = status ? json_text(status) : NULL;
        http_response_header(http, "Audit-Id", random_uuid(uuid));
        http_response_header(http, "Cache-Control", "no-cache, private");
        http_respond(http, code, "application/json", strempty(text), strlen(strempty(text)));
}
