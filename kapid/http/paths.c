/* Plain paths: health, version, metrics, discovery, OpenAPI. Documents made from the kinds are kept
 * by path and form until the kinds change. */
#include "kapid/http/paths.h"

#include <sys/utsname.h>

#include "config.h"
#include "kapid/aggregation/aggregation.h"
#include "kapid/aggregation/apiservice.h"
#include "kapid/auth/issuer.h"
#include "kapid/crypt/answer.h"
#include "kapid/discovery/discovery.h"
#include "kapid/discovery/merge-v2.h"
#include "kapid/discovery/merge.h"
#include "lib/map.h"
#include "lib/pki.h"
#include "lib/vector.h"

#define ISSUER_PATH "/.well-known/openid-configuration"
#define ISSUER_KEYS_PATH "/openid/v1/jwks"

struct document {
        struct bytes *body;
        const char *type;
        char etag[67];
};

struct documents {
        struct map *by_key;
        uint64_t generation, remotes; /* of the kinds, and of what others serve */
};

static void document_free(void *p) {
        struct document *d = p;

        bytes_unref(d->body);
        free(d);
}

struct documents *documents_new(void) {
        struct documents *d = calloc(1, sizeof(*d));

        if (d && !(d->by_key = map_new(document_free)))
                return mfree(d);
        return d;
}

struct documents *documents_free(struct documents *d) {
        if (!d)
                return NULL;
        map_free(d->by_key);
        return mfree(d);
}

static void no_route(struct request *request) {
        _cleanup_problem_ struct problem p = {0};

        problem_no_route(&p);
        respond_problem(request, &p);
}

/* --- health --- */

static void health(struct request *request) {
        bool ready_path = startswith(request->route.path, "/readyz") != NULL;
        bool verbose = request_query(request, "verbose") != NULL;
        const char *why = NULL;
        bool ok = !ready_path || daemon_is_ready(request->api->daemon, &why);
        bool store = store_is_connected(request->api->store),
             loaded = caches_are_loaded(request->api->caches);
        _cleanup_buf_ struct buf b = {0};

        if (ok && !verbose) {
                respond_text(request, 200, "text/plain; charset=utf-8", "ok");
                return;
        }
        buf_printf(&b, "[+]ping ok\n[%c]store %s\n[%c]caches %s\n", store ? '+' : '-',
                        store ? "ok" : "failed: not reachable", loaded ? '+' : '-',
                        loaded ? "ok" : "failed: not loaded yet");
        if (!ok)
                buf_printf(&b, "[-]ready failed: %s\n", strempty(why));
        buf_printf(&b, "%s check %s\n", request->route.path + 1, ok ? "passed" : "failed");
        respond_text(request, ok ? 200 : 500, "text/plain; charset=utf-8", b.failed ? "" : b.data);
}

static void version(struct request *request) {
        struct utsname u = {0};
        _cleanup_json_ json_t *v = NULL;

        (void)uname(&u);
        v = json_pack("{ss, ss, ss, ss, ss, ss, ss, ss, ss}", "major", "1", "minor", "33",
                        "gitVersion", "v1.33.0+keelson-" PACKAGE_VERSION, "gitCommit", "",
                        "gitTreeState", "clean", "buildDate", "1970-01-01T00:00:00Z", "goVersion",
                        "none", "compiler", "gcc", "platform",
                        streq(u.machine, "aarch64") ? "linux/arm64" : "linux/amd64");
        respond_json(request, 200, v);
}

static void metrics(struct request *request) {
        _cleanup_buf_ struct buf b = {0};

        if (metrics_render(daemon_metrics(request->api->daemon), &b) < 0 || b.failed)
                respond_errno(request, ENOMEM);
        else
                respond_data(request, 200, "text/plain; version=0.0.4; charset=utf-8", b.data,
                                b.size);
}

/* --- documents --- */

static struct document *document_find(struct request *request, const char *key) {
        struct documents *d = request->api->documents;
        uint64_t generation = kind_registry_generation(request->api->kinds), remotes;

        (void)aggregation_first(request->api->aggregation); /* it reads what has changed */
        remotes = aggregation_generation(request->api->aggregation);
        if (d->generation != generation || d->remotes != remotes) {
                map_clear(d->by_key);
                d->generation = generation;
                d->remotes = remotes;
        }
        return map_get(d->by_key, key);
}

static struct document *document_add(struct request *request, const char *key, const char *type,
                const void *data, size_t n) {
        struct document *d = calloc(1, sizeof(*d));

        if (!d)
                return NULL;
        d->type = type;
        d->body = bytes_new(data, n);
        d->etag[0] = '"';
        sha256_hex(data, n, d->etag + 1);
        d->etag[65] = '"';
        d->etag[66] = 0;
        if (!d->body || map_set(request->api->documents->by_key, key, d) < 0) {
                document_free(d);
                return NULL;
        }
        return d;
}

static void document_respond(struct request *request, const struct document *d) {
        const char *match = request_header(request, "If-None-Match");

        if (!d) {
                respond_errno(request, ENOMEM);
                return;
        }
        if (request->http) {
                http_response_header(request->http, "ETag", d->etag);
                http_response_header(request->http, "Vary", "Accept");
        }
        if (match && streq(match, d->etag))
                respond_data(request, 304, d->type, "", 0);
        else
                respond_data(request, 200, d->type, d->body->data, d->body->size);
}

static void document_json(
                struct request *request, const char *key, const char *type, json_t *taken) {
        _cleanup_json_ json_t *v = taken;
        _cleanup_free_ char *text = NULL;

        if (!v) {
                no_route(request);
                return;
        }
        text = json_text(v);
        document_respond(request,
                        text ? document_add(request, key, type, text, strlen(text)) : NULL);
}

static const char aggregated_v2[] =
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
static const char aggregated_v2beta1[] =
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/* The first form of discovery in the Accept header that we have. */
static const char *aggregated_version(struct request *request) {
        const char *accept = request_header(request, "Accept");
        _cleanup_free_ char *copy = strdup(strempty(accept));
        char *save = NULL;

        for (char *s = copy ? strtok_r(copy, ",", &save) : NULL; s;
                        s = strtok_r(NULL, ",", &save)) {
                bool as = strstr(s, "as=APIGroupDiscoveryList");

                if (as && strstr(s, "v=v2beta1"))
                        return "v2beta1";
                if (as && strstr(s, "v=v2"))
                        return "v2";
                if (!as)
                        return NULL;
        }
        return NULL;
}

/* What is served, here and by other servers. The items borrow. */
struct remotes {
        VECTOR(struct discovery_version);
};

static void remotes_done(struct remotes *r) {
        vector_done(r);
}

/* What kapid serves itself, for its place among the others. */
static int add_local(const struct kind_registry *kinds, struct remotes *list) {
        const struct kind *k, *previous = NULL;

        for (size_t i = 0; (k = kind_registry_at(kinds, i)); previous = k, i++) {
                struct discovery_version v = {
                                .group = k->group, .version = k->version, .local = true};
                int r;

                if (previous && streq(previous->api_version, k->api_version))
                        continue;
                apiservice_priorities(k->group, k->version, k->custom, &v.group_priority,
                                &v.version_priority);
                r = vector_append(list, v);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int remotes_read(struct request *request, struct remotes *ret) {
        _cleanup_(remotes_done) struct remotes list = {0};
        struct remote *remote;
        int of_local = add_local(request->api->kinds, &list);

        if (of_local < 0)
                return of_local;
        for (remote = aggregation_first(request->api->aggregation); remote;
                        remote = remote_next(remote)) {
                struct discovery_version v = {.group = remote_group(remote),
                                .version = remote_version(remote),
                                .stale = !remote_is_available(remote),
                                .resources = remote_resources(remote),
                                .openapi_hash = remote_openapi_hash(remote)};
                int r;

                remote_priorities(remote, &v.group_priority, &v.version_priority);
                r = vector_append(&list, v);
                if (r < 0)
                        return r;
        }
        discovery_versions_sort(list.items, list.count);
        *ret = list;
        list = (struct remotes){0};
        return 0;
}

/* With what others serve; takes v, and returns NULL when there is no such document. */
static json_t *with_remotes(struct request *request, json_t *v,
                int (*merge)(json_t *v, const struct discovery_version *items, size_t n)) {
        _cleanup_(remotes_done) struct remotes r = {0};
        _cleanup_json_ json_t *left = v;

        if (!v || remotes_read(request, &r) < 0 || merge(v, r.items, r.count) < 0)
                return NULL;
        return TAKE_PTR(left);
}

static json_t *group_document(struct request *request, const char *group) {
        _cleanup_(remotes_done) struct remotes r = {0};
        json_t *v = discovery_group(request->api->kinds, group);

        if (remotes_read(request, &r) < 0) {
                json_decref(v);
                return NULL;
        }
        return discovery_merge_group(v, group, r.items, r.count);
}

static void discovery(struct request *request, char *const *s, size_t n) {
        const struct kind_registry *k = request->api->kinds;
        bool core = streq(s[0], "api");
        const char *aggregated = n == 1 ? aggregated_version(request) : NULL;
        _cleanup_free_ char *key = strformat("%s %s", request->route.path, strempty(aggregated));
        const char *type = "application/json";
        struct document *d = key ? document_find(request, key) : NULL;
        json_t *v = NULL;

        if (!key) {
                respond_errno(request, ENOMEM);
                return;
        }
        if (d) {
                document_respond(request, d);
                return;
        }
        if (aggregated) {
                v = discovery_aggregated(k, core, aggregated);
                v = core ? v : with_remotes(request, v, discovery_merge_aggregated);
                type = streq(aggregated, "v2") ? aggregated_v2 : aggregated_v2beta1;
        } else if (core && n == 1) {
                const struct api_options *o = &request->api->options;
                const char *own = o->advertise_address ? o->advertise_address : "127.0.0.1";
                _cleanup_free_ char *address =
                                strformat(strchr(own, ':') ? "[%s]:%u" : "%s:%u", own, o->port);

                v = discovery_api_versions(strempty(address));
        } else if (core && n == 2) {
                v = discovery_resource_list(k, "", s[1]);
        } else if (n == 1) {
                v = with_remotes(request, discovery_group_list(k), discovery_merge_groups);
        } else if (n == 2) {
                v = group_document(request, s[1]);
        } else {
                v = discovery_resource_list(k, s[1], s[2]);
        }
        document_json(request, key, type, v);
}

static const char v2_key[] = "/openapi/v2";

/* The parts of extension servers, with the most important group first: beyond that they are left
 * out. */
enum { V2_PARTS_BYTES_MAX = 8 << 20 };

/* Copies: versions may come and go while they are merged. */
static int v2_parts(struct request *request, char ***ret) {
        struct aggregation *g = request->api->aggregation;
        _cleanup_(remotes_done) struct remotes list = {0};
        size_t left = V2_PARTS_BYTES_MAX;
        int r = remotes_read(request, &list);

        for (size_t i = 0; r >= 0 && i < list.count; i++) {
                const struct discovery_version *v = &list.items[i];
                const struct remote *remote =
                                v->local ? NULL : aggregation_find(g, v->group, v->version);
                const char *text = remote ? remote_openapi_v2(remote) : NULL;

                if (!text || strlen(text) > left)
                        continue;
                left -= strlen(text);
                r = strv_extend(ret, text);
        }
        return r;
}

/* One that does not fit is left out: the others are not to blame. -ENOMEM, -ECANCELED. */
static int v2_add_part(struct request *request, json_t *whole, const char *text) {
        json_t *part;
        int r;

        if (json_parse(text, strlen(text), 0, &part, NULL) < 0)
                return 0;
        r = request_breathe(request);
        if (r < 0) {
                json_decref(part);
                return r;
        }
        r = openapi_v2_merge(whole, part);
        return r == -ENOSPC ? 0 : r;
}

/* own: our document. */
static char *v2_merged(struct request *request, const char *own, char *const *parts) {
        _cleanup_json_ json_t *whole = NULL;

        if (json_parse(own, strlen(own), 0, &whole, NULL) < 0 || request_breathe(request) < 0)
                return NULL;
        for (; *parts; parts++) {
                if (v2_add_part(request, whole, *parts) < 0 || request_breathe(request) < 0)
                        return NULL;
        }
        return json_text(whole);
}

static char *v2_text(struct request *request) {
        _cleanup_free_ char *own = openapi_v2_json(request->api->kinds);
        _cleanup_strv_free_ char **parts = NULL;

        if (!own || v2_parts(request, &parts) < 0)
                return NULL;
        if (!parts)
                return TAKE_PTR(own);
        return request_breathe(request) < 0 ? NULL : v2_merged(request, own, parts);
}

static void make_v2(void *userdata) {
        struct request *request = userdata;
        struct document *d = document_find(request, v2_key);
        const uint64_t kinds = request->api->documents->generation,
                       remotes = request->api->documents->remotes;
        _cleanup_free_ char *text = d ? NULL : v2_text(request);

        if (text)
                d = document_add(request, v2_key, "application/json", text, strlen(text));
        document_respond(request, d);
        /* What has changed while it was made is in the next one. */
        if (kind_registry_generation(request->api->kinds) != kinds ||
                        aggregation_generation(request->api->aggregation) != remotes)
                (void)map_remove(request->api->documents->by_key, v2_key);
}

static void openapi_v2(struct request *request) {
        const char *accept = strempty(request_header(request, "Accept"));
        bool protobuf = strstr(accept, "proto-openapi.spec.v2") != NULL;
        const char *key = protobuf ? "/openapi/v2 protobuf" : v2_key;
        struct document *d = document_find(request, key);
        _cleanup_buf_ struct buf b = {0};

        if (!d && protobuf) {
                if (openapi_v2_protobuf(request->api->kinds, &b) >= 0)
                        d = document_add(request, key,
                                        "application/"
                                        "com.github.proto-openapi.spec.v2.v1.0+protobuf",
                                        b.data, b.size);
        } else if (!d) {
                request_in_turns(request, true, make_v2, request);
                return;
        }
        document_respond(request, d);
}

/* /openapi/v3/api/v1 and /openapi/v3/apis/GROUP/VERSION */
static void openapi_v3(struct request *request, char *const *s, size_t n) {
        struct document *d = document_find(request, request->route.path);
        const char *group, *api_version;
        _cleanup_free_ char *text = NULL;

        if (d) {
                document_respond(request, d);
                return;
        }
        if (n == 2) {
                document_json(request, request->route.path, "application/json",
                                with_remotes(request, openapi_v3_index(request->api->kinds),
                                                openapi_merge_index));
                return;
        }
        if (n == 4 && streq(s[2], "api")) {
                group = "";
                api_version = s[3];
        } else if (n == 5 && streq(s[2], "apis")) {
                group = s[3];
                api_version = s[4];
        } else {
                no_route(request);
                return;
        }
        text = openapi_v3_document(request->api->kinds, group, api_version);
        if (!text)
                no_route(request);
        else
                document_respond(request, document_add(request, request->route.path,
                                                          "application/json", text, strlen(text)));
}

/* What others need to check service-account tokens; as with Kubernetes, only of an issuer that they
 * could ask (https). */
static void issuer_document(struct request *request, const char *path) {
        const struct sign_key *key = request->api->jwt;
        const char *issuer = strempty(request->api->options.issuer);
        const bool keys = streq(path, ISSUER_KEYS_PATH);
        const char *type = keys ? "application/jwk-set+json" : "application/json";
        struct document *d = document_find(request, path);

        if (d)
                document_respond(request, d);
        else if (!key || !startswith(issuer, "https://"))
                no_route(request);
        else
                document_json(request, path, type,
                                keys ? issuer_keys(key) : issuer_configuration(issuer, key));
}

static void roots(struct request *request) {
        _cleanup_json_ json_t *v = json_pack("{s[s, s, s, s, s, s, s, s, s, s, s]}", "paths",
                        ISSUER_PATH, "/api", "/apis", "/healthz", "/livez", "/metrics",
                        "/openapi/v2", "/openapi/v3", ISSUER_KEYS_PATH, "/readyz", "/version");

        respond_json(request, 200, v);
}

static bool is_path(const char *path, const char *root) {
        const char *rest = startswith(path, root);

        return rest && (*rest == 0 || *rest == '/');
}

void path_run(struct request *request) {
        /* The reference server's single checks are all of one here. */
        static const char *const checks[] = {"", "caches", "etcd", "informer-sync", "log", "ping",
                        "shutdown", "store", NULL};
        _cleanup_strv_free_ char **s = NULL;
        const char *path = request->route.path;
        _cleanup_problem_ struct problem p = {0};
        size_t n;

        if (streq(path, ENCRYPTION_PATH)) {
                encryption_run(request);
                return;
        }
        if (!streq(request->route.verb, "get") && !streq(request->route.verb, "head")) {
                problem_method(&p);
                respond_problem(request, &p);
                return;
        }
        if (strv_split(path, "/", &s) < 0) {
                respond_errno(request, ENOMEM);
                return;
        }
        n = strv_length(s);
        if ((is_path(path, "/healthz") || is_path(path, "/livez") || is_path(path, "/readyz")) &&
                        (n == 1 || (n == 2 && strv_contains((char *const *)checks, s[1]))))
                health(request);
        else if (streq(path, "/version"))
                version(request);
        else if (streq(path, "/metrics"))
                metrics(request);
        else if ((is_path(path, "/api") && n <= 2) || (is_path(path, "/apis") && n <= 3))
                discovery(request, s, n);
        else if (streq(path, ISSUER_PATH) || streq(path, ISSUER_KEYS_PATH))
                issuer_document(request, path);
        else if (streq(path, "/openapi/v2"))
                openapi_v2(request);
        else if (is_path(path, "/openapi/v3") && n >= 2)
                openapi_v3(request, s, n);
        else if (n == 0)
                roots(request);
        else
                no_route(request);
}
