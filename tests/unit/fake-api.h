/* A small API server in memory for tests of whole control loops: objects of any kind with one
 * version counter; list, watch, get, create, update, merge patch, delete with grace and finalizers,
 * binding. */
#pragma once

#include "tests/unit/loop.h"

#include "lib/buf.h"
#include "lib/client/api.h"
#include "lib/fileio.h"
#include "lib/http-server.h"
#include "lib/map.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"

enum { FAKE_WATCHES_MAX = 64 };

struct fake_watch {
        struct fake_api *api;
        struct http_stream *stream;
        char prefix[300]; /* "/api/v1/pods|" */
        char ns[64];
};

struct fake_api {
        sd_event *event;
        struct http_server *server;
        struct api_client *client;
        struct map *objects; /* "/api/v1/pods|ns/name" -> json_t */
        struct fake_watch watches[FAKE_WATCHES_MAX];
        uint64_t version;
        unsigned writes, creates, conflicts;
        /* Called before a create is stored; a code >= 400 refuses it. */
        int (*on_create)(struct fake_api *a, const char *key, json_t *object);
        /* Sees every request first; true: it has answered. */
        bool (*on_request)(struct fake_api *a, struct http_request *r, const json_t *body);
        json_t *history; /* [key, namespace, version, event] of every change */
        json_t *last;    /* what was deleted last, for the answer */
        char dir[64];
};

static inline void fake_decref(void *p) {
        json_decref(p);
}

static inline void fake_send(struct fake_watch *w, const json_t *change) {
        const char *key = json_string_value(json_array_get(change, 0));
        const char *ns = json_string_value(json_array_get(change, 1));
        const char *text = json_string_value(json_array_get(change, 3));

        if (startswith(key, w->prefix) && (!*w->ns || streq(w->ns, ns)))
                (void)http_stream_write_copy(w->stream, text, strlen(text));
}

static inline void fake_emit(struct fake_api *a, const char *key, const char *type, json_t *o) {
        _cleanup_json_ json_t *event = json_pack("{s:s, s:O}", "type", type, "object", o);
        _cleanup_free_ char *text = json_text(event), *line = strformat("%s\n", text);
        json_t *change = json_pack(
                        "[s, s, I, s]", key, object_namespace(o), (json_int_t)a->version, line);

        json_array_append_new(a->history, change);
        for (size_t i = 0; i < FAKE_WATCHES_MAX; i++)
                if (a->watches[i].stream)
                        fake_send(&a->watches[i], change);
}

/* Stores the object (takes it) under the next version and tells watchers. */
static inline json_t *fake_store(struct fake_api *a, const char *key, json_t *o) {
        bool known = map_get(a->objects, key);
        char version[24];

        a->writes++;
        (void)snprintf(version, sizeof(version), "%llu", (unsigned long long)++a->version);
        assert_int_equal(json_set_str(o, "metadata.resourceVersion", version), 0);
        if (object_is_deleting(o) && json_array_size(json_at(o, "metadata.finalizers")) == 0 &&
                        json_int_or(o, "metadata.deletionGracePeriodSeconds", 0) == 0) {
                fake_emit(a, key, "DELETED", o);
                map_remove(a->objects, key);
                json_decref(a->last);
                return a->last = o;
        }
        assert_int_equal(map_set(a->objects, key, o), 0);
        fake_emit(a, key, known ? "MODIFIED" : "ADDED", o);
        return o;
}

static inline void fake_merge(json_t *to, const json_t *patch) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)patch, key, v) {
                json_t *old = json_object_get(to, key);

                if (json_is_null(v))
                        json_object_del(to, key);
                else if (json_is_object(v)) {
                        if (!json_is_object(old)) {
                                json_object_set_new(to, key, json_object());
                                old = json_object_get(to, key);
                        }
                        fake_merge(old, v);
                } else
                        json_object_set(to, key, v);
        }
}

static inline void fake_respond(struct http_request *r, int code, const json_t *o) {
        _cleanup_free_ char *text = json_text(o);

        http_respond(r, code, "application/json", text, strlen(text));
}

static inline void fake_refuse(struct http_request *r, int code, const char *reason) {
        _cleanup_json_ json_t *status = json_pack("{s:s, s:s, s:s, s:i, s:s}", "kind", "Status",
                        "status", "Failure", "reason", reason, "code", code, "message", reason);

        fake_respond(r, code, status);
}

/* "/api/v1/namespaces/ns/pods/name/sub" -> collection "/api/v1/pods", ns, name, sub. */
struct fake_path {
        char collection[256], ns[64], name[256], sub[64];
};

static inline void fake_parse(const char *path, struct fake_path *ret) {
        _cleanup_strv_free_ char **parts = NULL;
        size_t i, n;

        *ret = (struct fake_path){0};
        assert_int_equal(strv_split(path, "/", &parts), 0);
        n = strv_length(parts);
        i = n > 0 && streq(parts[0], "api") ? 2 : 3;
        (void)snprintf(ret->collection, sizeof(ret->collection), "/%s/%s%s%s", parts[0],
                        n > 1 ? parts[1] : "", i == 3 && n > 2 ? "/" : "",
                        i == 3 && n > 2 ? parts[2] : "");
        if (n > i + 2 && streq(parts[i], "namespaces") && !streq(parts[i + 2], "finalize") &&
                        !streq(parts[i + 2], "status")) {
                (void)snprintf(ret->ns, sizeof(ret->ns), "%s", parts[i + 1]);
                i += 2;
        }
        if (n > i)
                (void)snprintf(ret->collection + strlen(ret->collection),
                                sizeof(ret->collection) - strlen(ret->collection), "/%s", parts[i]);
        if (n > i + 1)
                (void)snprintf(ret->name, sizeof(ret->name), "%s", parts[i + 1]);
        if (n > i + 2)
                (void)snprintf(ret->sub, sizeof(ret->sub), "%s", parts[i + 2]);
}

static inline void fake_gone(struct http_stream *s, void *userdata) {
        ((struct fake_watch *)userdata)->stream = NULL;
}

static inline void fake_watch(
                struct fake_api *a, struct http_request *r, const struct fake_path *p) {
        const json_t *change;
        uint64_t since = 0;
        size_t k;

        for (size_t i = 0; i < FAKE_WATCHES_MAX; i++)
                if (!a->watches[i].stream) {
                        struct fake_watch *w = &a->watches[i];

                        w->api = a;
                        (void)snprintf(w->prefix, sizeof(w->prefix), "%s|", p->collection);
                        (void)snprintf(w->ns, sizeof(w->ns), "%s", p->ns);
                        (void)parse_u64(strempty(http_request_query(r, "resourceVersion")), &since);
                        w->stream = http_stream_begin(
                                        r, 200, "application/json", 1 << 24, fake_gone, w);
                        json_array_foreach (a->history, k, change)
                                if ((uint64_t)json_integer_value(json_array_get(change, 2)) > since)
                                        fake_send(w, change);
                        return;
                }
        fail_msg("too many watches");
}

static inline json_t *fake_list(struct fake_api *a, const struct fake_path *p) {
        json_t *items = json_array();
        char prefix[300];

        (void)snprintf(prefix, sizeof(prefix), "%s|", p->collection);
        map_foreach (a->objects, e)
                if (startswith(map_entry_key(e), prefix) &&
                                (!*p->ns || streq(object_namespace(map_entry_value(e)), p->ns)))
                        json_array_append(items, map_entry_value(e));
        return json_pack("{s:s, s:{s:o}, s:o}", "kind", "List", "metadata", "resourceVersion",
                        json_sprintf("%llu", (unsigned long long)a->version), "items", items);
}

static inline void fake_key(const struct fake_path *p, const char *name, char key[static 600]) {
        (void)snprintf(key, 600, "%s|%s%s%s", p->collection, p->ns, *p->ns ? "/" : "", name);
}

static inline void fake_create(
                struct fake_api *a, struct http_request *r, const struct fake_path *p, json_t *o) {
        const char *generate = json_str(o, "metadata.generateName");
        char key[600], uid[UUID_SIZE], suffix[6], now[TIMEFMT_SIZE];
        int code;

        if (generate && !*object_name(o)) {
                _cleanup_free_ char *name = NULL;

                random_name_suffix(suffix, 5);
                name = strformat("%s%s", generate, suffix);
                json_set_str(o, "metadata.name", name);
        }
        fake_key(p, object_name(o), key);
        if (map_get(a->objects, key))
                return fake_refuse(r, 409, "AlreadyExists");
        code = a->on_create ? a->on_create(a, key, o) : 0;
        if (code >= 400)
                return fake_refuse(r, code, "Forbidden");
        json_set_str(o, "metadata.uid", random_uuid(uid));
        json_set_str(o, "metadata.creationTimestamp", time_format(now_wall_us(), now));
        if (*p->ns)
                json_set_str(o, "metadata.namespace", p->ns);
        if (json_object_get(o, "spec"))
                json_set_int(o, "metadata.generation", 1);
        a->creates++;
        fake_respond(r, 201, fake_store(a, key, json_incref(o)));
}

static inline bool fake_conflicts(const json_t *o, const json_t *body) {
        const char *version = json_str(body, "metadata.resourceVersion"), *uid = object_uid(body);

        if (*uid && !streq(uid, object_uid(o)))
                return true;
        return version && !streq_ptr(version, json_str(o, "metadata.resourceVersion"));
}

static inline void fake_change(struct fake_api *a, struct http_request *r, const char *key,
                const json_t *o, const json_t *body, bool patch, const char *sub) {
        _cleanup_json_ json_t *new = json_deep_copy(o);

        if (fake_conflicts(o, body)) {
                a->conflicts++;
                return fake_refuse(r, 409, "Conflict");
        }
        if (streq(sub, "status") && !patch)
                json_object_set(new, "status", json_object_get(body, "status"));
        else if (streq(sub, "finalize"))
                json_object_set(new, "spec", json_object_get(body, "spec"));
        else
                fake_merge(new, body);
        if (json_equal(new, o))
                return fake_respond(r, 200, o);
        if (!*sub && !json_equal(json_object_get(new, "spec"), json_object_get(o, "spec")))
                json_set_int(new, "metadata.generation", object_generation(o) + 1);
        if (streq(sub, "finalize") && json_array_size(json_at(new, "spec.finalizers")) == 0)
                json_object_del(json_object_get(new, "metadata"), "finalizers");
        fake_respond(r, 200, fake_store(a, key, json_incref(new)));
}

static inline void fake_delete(
                struct fake_api *a, const char *key, json_t *o, const json_t *options) {
        int64_t grace = json_int_or(options, "gracePeriodSeconds",
                        *json_str_or(o, "spec.nodeName", "") ? 30 : 0);
        json_t *new = json_deep_copy(o);
        char now[TIMEFMT_SIZE];

        json_set_str(new, "metadata.deletionTimestamp", time_format(now_wall_us(), now));
        json_set_int(new, "metadata.deletionGracePeriodSeconds", grace);
        fake_store(a, key, new);
}

static inline void fake_delete_all(
                struct fake_api *a, const struct fake_path *p, const json_t *options) {
        char prefix[600];

        fake_key(p, "", prefix);
        map_foreach (a->objects, e)
                if (startswith(map_entry_key(e), prefix) && !object_is_deleting(map_entry_value(e)))
                        fake_delete(a, map_entry_key(e), map_entry_value(e), options);
}

/* Aggregated discovery of the kinds that api_resource_find() knows among these. */
static inline void fake_discovery(struct http_request *r, bool core) {
        static const char *const served[] = {"pods", "namespaces", "configmaps", "serviceaccounts",
                        "replicasets", "deployments"};
        json_t *items = json_array();
        _cleanup_json_ json_t *list =
                        json_pack("{s:s, s:o}", "kind", "APIGroupDiscoveryList", "items", items);

        for (size_t i = 0; i < ELEMENTS(served); i++) {
                const struct api_resource *k = api_resource_find(served[i]);

                if ((*k->group == 0) == core)
                        json_array_append_new(items,
                                        json_pack("{s:{s:s}, s:[{s:s, s:[{s:s, s:s, s:{s:s}, "
                                                  "s:[s,s,s,s]}]}]}",
                                                        "metadata", "name", k->group, "versions",
                                                        "version", k->version, "resources",
                                                        "resource", k->plural, "scope",
                                                        k->namespaced ? "Namespaced" : "Cluster",
                                                        "responseKind", "kind", k->kind, "verbs",
                                                        "list", "watch", "delete",
                                                        "deletecollection"));
        }
        fake_respond(r, 200, list);
}

static inline void fake_request(struct http_request *r, void *userdata) {
        struct fake_api *a = userdata;
        const char *method = http_request_method(r);
        _cleanup_json_ json_t *body = NULL, *list = NULL;
        struct fake_path p;
        char key[600];
        json_t *o;
        size_t n;
        const char *data = http_request_body(r, &n);

        if (streq(http_request_path(r), "/api") || streq(http_request_path(r), "/apis"))
                return fake_discovery(r, streq(http_request_path(r), "/api"));
        fake_parse(http_request_path(r), &p);
        if (n > 0)
                assert_int_equal(json_parse(data, n, 0, &body, NULL), 0);
        if (a->on_request && a->on_request(a, r, body))
                return;
        if (streq(method, "GET") && !*p.name) {
                if (http_request_query(r, "watch"))
                        return fake_watch(a, r, &p);
                list = fake_list(a, &p);
                return fake_respond(r, 200, list);
        }
        if (streq(method, "POST") && !*p.name)
                return fake_create(a, r, &p, body);
        if (streq(method, "DELETE") && !*p.name) {
                fake_delete_all(a, &p, body);
                list = json_object();
                return fake_respond(r, 200, list);
        }
        fake_key(&p, p.name, key);
        o = map_get(a->objects, key);
        if (!o)
                return fake_refuse(r, 404, "NotFound");
        if (streq(p.sub, "binding")) {
                _cleanup_json_ json_t *patch = json_pack(
                                "{s:{s:O}}", "spec", "nodeName", json_at(body, "target.name"));

                if (*json_str_or(o, "spec.nodeName", ""))
                        return fake_refuse(r, 409, "Conflict");
                return fake_change(a, r, key, o, patch, true, "");
        }
        if (streq(method, "GET"))
                return fake_respond(r, 200, o);
        if (streq(method, "DELETE")) {
                const char *uid = json_str(body, "preconditions.uid"),
                           *version = json_str(body, "preconditions.resourceVersion"),
                           *now = json_str_or(o, "metadata.resourceVersion", "");

                if ((uid && !streq(uid, object_uid(o))) || (version && !streq(version, now)))
                        return fake_refuse(r, 409, "Conflict");
                if (!object_is_deleting(o) || json_object_get(body, "gracePeriodSeconds"))
                        fake_delete(a, key, o, body);
                return fake_respond(r, 200, json_object_get(body, "preconditions"));
        }
        fake_change(a, r, key, o, body, streq(method, "PATCH"), p.sub);
}

static inline struct fake_api *fake_api_new(sd_event *event) {
        struct fake_api *a = calloc(1, sizeof(*a));
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL, *sock = NULL, *config = NULL;
        struct http_server_options server = {.handler = fake_request, .userdata = a};
        struct api_client_options client = {.user_agent = "test/1"};

        assert_non_null(a);
        a->event = event;
        a->version = 100;
        a->objects = map_new(fake_decref);
        a->history = json_array();
        (void)snprintf(a->dir, sizeof(a->dir), "/tmp/keelson-test-XXXXXX");
        assert_non_null(mkdtemp(a->dir));
        sock = strformat("%s/s", a->dir);
        config = strformat("%s/config", a->dir);
        server.unix_path = sock;
        if (http_server_new(&a->server, event, &server, &p) < 0)
                fail_msg("%s", p.message);
        text = strformat("current-context: c\nclusters: [{name: k, cluster: {server: "
                         "'unix://%s'}}]\n"
                         "contexts: [{name: c, context: {cluster: k}}]\n",
                        sock);
        assert_int_equal(file_write_atomic(config, text, strlen(text), 0600), 0);
        client.kubeconfig = config;
        assert_int_equal(api_client_new(&a->client, event, &client, &p), 0);
        return a;
}

static inline void fake_api_free(struct fake_api *a) {
        api_client_free(a->client);
        http_server_free(a->server);
        map_free(a->objects);
        json_decref(a->last);
        json_decref(a->history);
        (void)remove_tree(a->dir);
        free(a);
}

/* An object put there by the test itself (takes it). */
static inline json_t *fake_api_put(struct fake_api *a, const char *plural, json_t *o) {
        const struct api_resource *r = api_resource_find(plural);
        _cleanup_free_ char *collection = api_path(r, NULL, NULL, NULL, NULL);
        _cleanup_free_ char *key = strformat("%s|%s%s%s", collection, object_namespace(o),
                        *object_namespace(o) ? "/" : "", object_name(o));
        char uid[UUID_SIZE], now[TIMEFMT_SIZE];

        if (!*object_uid(o)) {
                json_set_str(o, "metadata.uid", random_uuid(uid));
                json_set_str(o, "metadata.creationTimestamp", time_format(now_wall_us(), now));
        }
        return fake_store(a, key, o);
}

static inline json_t *fake_api_get(struct fake_api *a, const char *plural, const char *key) {
        _cleanup_free_ char *collection =
                        api_path(api_resource_find(plural), NULL, NULL, NULL, NULL);
        _cleanup_free_ char *full = strformat("%s|%s", collection, key);

        return map_get(a->objects, full);
}

/* Number of objects of a kind for which the test's question (may be NULL) says yes. */
static inline size_t fake_api_count(
                struct fake_api *a, const char *plural, bool (*which)(const json_t *o)) {
        _cleanup_free_ char *collection =
                        api_path(api_resource_find(plural), NULL, NULL, NULL, NULL);
        _cleanup_free_ char *prefix = strformat("%s|", collection);
        size_t n = 0;

        map_foreach (a->objects, e)
                n += startswith(map_entry_key(e), prefix) && (!which || which(map_entry_value(e)));
        return n;
}

/* Changes every object of a kind: func edits a copy and says whether to store it. */
static inline void fake_api_each(struct fake_api *a, const char *plural, bool (*func)(json_t *o)) {
        _cleanup_free_ char *collection =
                        api_path(api_resource_find(plural), NULL, NULL, NULL, NULL);
        _cleanup_free_ char *prefix = strformat("%s|", collection);

        map_foreach (a->objects, e) {
                json_t *copy;

                if (!startswith(map_entry_key(e), prefix))
                        continue;
                copy = json_deep_copy(map_entry_value(e));
                if (func(copy))
                        fake_store(a, map_entry_key(e), copy);
                else
                        json_decref(copy);
        }
}
