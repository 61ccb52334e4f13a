/* The set of versions that other servers serve, made from the cache when it is asked for after a
 * change. One whose spec stays keeps its client and what is known of it. */
#include "kapid/aggregation/internal.h"

#include "kapid/relay/forward.h"
#include "lib/log.h"
#include "lib/object.h"

static const char apiregistration[] = "apiregistration.k8s.io";

/* --- remotes --- */

struct remote *remote_ref(struct remote *remote) {
        remote->refs++;
        return remote;
}

struct remote *remote_unref(struct remote *remote) {
        if (!remote || --remote->refs > 0)
                return NULL;
        probe_stop(remote);
        http_client_free(remote->client);
        apiservice_done(&remote->service);
        availability_done(&remote->availability);
        json_decref(remote->spec);
        json_decref(remote->resources);
        free(remote->server_name);
        free(remote->openapi_hash);
        free(remote->openapi_v2);
        return mfree(remote);
}

/* Calls begin with the front proxy's present certificate. */
static void before_call(void *userdata) {
        struct remote *remote = userdata;
        struct front_proxy *f = remote->all ? remote->all->api->front_proxy : NULL;
        uint64_t generation = f ? front_proxy_refresh(f) : remote->identity;

        if (generation == remote->identity)
                return;
        if (http_client_set_identity(remote->client, remote->service.target.ca_pem,
                            front_proxy_cert(f), front_proxy_key(f), NULL) >= 0)
                remote->identity = generation;
}

static int make_client(struct remote *remote) {
        struct front_proxy *f = remote->all->api->front_proxy;
        _cleanup_free_ char *url = NULL;

        remote->server_name = strformat("%s.%s.svc", remote->service.target.service,
                        remote->service.target.namespace);
        url = remote->server_name ? strformat("https://%s", remote->server_name) : NULL;
        if (!url)
                return -ENOMEM;
        remote->identity = front_proxy_refresh(f);
        return http_client_new(&remote->client, remote->all->api->event,
                        &(struct http_client_options){.base_url = url,
                                        .ca_pem = remote->service.target.ca_pem,
                                        .cert_pem = front_proxy_cert(f),
                                        .key_pem = front_proxy_key(f),
                                        .tls_server_name = remote->server_name,
                                        .user_agent = "kapid-aggregator",
                                        .connect_timeout_us = CONNECT_TIME_US,
                                        .user_timeout_ms = SILENT_PEER_MS,
                                        .flags = HTTP_CLIENT_TLS_1_2 |
                                                 (remote->service.insecure ? HTTP_CLIENT_ANY_SERVER
                                                                           : 0),
                                        .before_call = before_call,
                                        .on_session = tls_bound_keys,
                                        .userdata = remote});
}


/* The same object with another spec: what is known of its server holds until the new one was asked,
 * at once; one that does not answer then is not asked twice. */
static int inherit(struct remote *remote, const struct remote *old) {
        const struct availability *a = &old->availability;

        remote->resources = json_ref(old->resources);
        if (!remote_is_available(old))
                return 0;
        remote->failures = PROBE_CONFIRMATIONS;
        if (old->openapi_hash) {
                remote->openapi_hash = strdup(old->openapi_hash);
                if (!remote->openapi_hash)
                        return -ENOMEM;
        }
        if (old->openapi_v2) {
                remote->openapi_v2 = strdup(old->openapi_v2);
                if (!remote->openapi_v2)
                        return -ENOMEM;
        }
        return availability_set(&remote->availability, a->status, a->reason, "%s",
                        strempty(a->message));
}

/* old: the same object with another spec; NULL: a new one. */
static int prepare(struct remote *remote, const struct remote *old) {
        int r = old ? inherit(remote, old) : 0;

        if (r < 0)
                return r;
        r = make_client(remote);
        return r < 0 ? r : probe_start(remote);
}

/* Takes the service. */
static int remote_new(struct aggregation *g, struct apiservice *service, const json_t *spec,
                const struct remote *old) {
        struct remote *remote = calloc(1, sizeof(*remote));
        int r;

        if (!remote)
                return -ENOMEM;
        remote->refs = 1;
        remote->all = g;
        remote->service = *service;
        *service = (struct apiservice){0};
        remote->spec = json_ref(spec);
        remote->seen = true;
        r = prepare(remote, old);
        if (r < 0) {
                remote_unref(remote);
                return r;
        }
        LIST_INSERT_HEAD(&g->remotes, remote, entry);
        g->generation++;
        return 0;
}

/* It is no longer one of the set; requests that are on their way keep it. */
static void remote_leave(struct remote *remote) {
        LIST_REMOVE(remote, entry);
        probe_stop(remote);
        remote->all->generation++;
        remote->all = NULL;
        remote_unref(remote);
}

static struct remote *find_object(struct aggregation *g, const struct apiservice *s) {
        struct remote *remote;

        LIST_FOREACH(remote, &g->remotes, entry)
        if (streq(remote->service.uid, s->uid) && streq(remote->service.name, s->name))
                return remote;
        return NULL;
}

/* --- the set --- */

static int read_one(struct aggregation *g, struct item *it) {
        _cleanup_apiservice_ struct apiservice s = {0};
        _cleanup_json_ json_t *object = item_object_once(it);
        const json_t *spec = json_object_get(object, "spec");
        struct remote *remote;
        int r = object ? apiservice_read(object, &s) : -ENOMEM;

        if (r == -EINVAL) {
                log_warning("The APIService %s cannot be read and has no effect; write it again",
                                item_path(it));
                return 0;
        }
        if (r < 0 || s.local || !apiservice_may_replace(g->api->kinds, s.group, s.version))
                return MIN(r, 0);
        remote = find_object(g, &s);
        if (remote && json_same(remote->spec, spec)) {
                remote->seen = true;
                return 0;
        }
        return remote_new(g, &s, spec, remote);
}

/* Reads the set again where it is stale. */
static int refresh(struct aggregation *g) {
        struct remote *remote, *next;

        if (!g->stale)
                return 0;
        LIST_FOREACH(remote, &g->remotes, entry)
        remote->seen = false;
        for (struct item *it = cache_first(g->apiservices, ""); it;
                        it = cache_next(g->apiservices, it)) {
                int r = read_one(g, it);

                if (r < 0)
                        return r; /* it stays stale */
        }
        for (remote = LIST_FIRST(&g->remotes); remote; remote = next) {
                next = LIST_NEXT(remote, entry);
                if (!remote->seen)
                        remote_leave(remote);
        }
        g->stale = false;
        return 0;
}

struct remote *aggregation_find(struct aggregation *g, const char *group, const char *version) {
        struct remote *remote;

        if (!g || isempty(group))
                return NULL;
        if (g->stale && refresh(g) < 0)
                (void)log_oom();
        LIST_FOREACH(remote, &g->remotes, entry)
        if (streq(remote->service.group, group) && streq(remote->service.version, version))
                return remote;
        return NULL;
}

struct remote *aggregation_first(struct aggregation *g) {
        if (g && g->stale && refresh(g) < 0)
                (void)log_oom();
        return g ? LIST_FIRST(&g->remotes) : NULL;
}

struct remote *remote_next(struct remote *remote) {
        return LIST_NEXT(remote, entry);
}

const char *remote_group(const struct remote *remote) {
        return remote->service.group;
}

const char *remote_version(const struct remote *remote) {
        return remote->service.version;
}

void remote_priorities(const struct remote *remote, int64_t *ret_group, int64_t *ret_version) {
        *ret_group = remote->service.group_priority;
        *ret_version = remote->service.version_priority;
}

bool remote_is_available(const struct remote *remote) {
        return remote->availability.status && streq(remote->availability.status, "True");
}

const json_t *remote_resources(const struct remote *remote) {
        return remote->resources;
}

const char *remote_openapi_hash(const struct remote *remote) {
        return remote->openapi_hash;
}

const char *remote_openapi_v2(const struct remote *remote) {
        return remote->openapi_v2;
}

size_t aggregation_end_of(struct aggregation *g, const char *user) {
        return g ? relays_end_of(g->relays, user) : 0;
}

uint64_t aggregation_generation(const struct aggregation *g) {
        return g ? g->generation : 0;
}

int remote_address(struct remote *remote, char **ret, char **ret_why) {
        _cleanup_free_ char *address = NULL;
        int r = webhook_service_address(remote->all->api, &remote->service.target, &remote->turn,
                        &address, ret_why);

        if (r < 0)
                return r;
        *ret = strformat("https://%s", address);
        return *ret ? 0 : -ENOMEM;
}

int remote_add_host(const struct remote *remote, struct forward_headers *h) {
        _cleanup_free_ char *host = strformat(
                        "%s:%lld", remote->server_name, (long long)remote->service.target.port);

        return host ? forward_add(h, "Host", host) : -ENOMEM;
}

/* --- changes --- */

static void wake(struct aggregation *g) {
        (void)sd_event_source_set_enabled(g->soon, SD_EVENT_ONESHOT);
}

static int on_soon(sd_event_source *source, void *userdata) {
        struct aggregation *g = userdata;

        if (caches_are_loaded(g->api->caches) && refresh(g) < 0)
                (void)log_oom();
        publisher_wake(g->publisher);
        return 0;
}

/* The services of remotes, and their endpoints. */
static void look_at(struct aggregation *g, const struct change *change) {
        const char *path = item_path(change->after ? change->after : change->before);
        struct remote *remote;

        LIST_FOREACH(remote, &g->remotes, entry) {
                const struct webhook_target *t = &remote->service.target;
                const char *rest = startswith(path, t->namespace);

                if (rest && *rest == '/' && streq(rest + 1, t->service))
                        probe_soon(remote);
        }
}

void aggregation_on_change(
                struct aggregation *g, const struct cache *c, const struct change *change) {
        if (!g)
                return;
        if (!change || c == g->apiservices) {
                g->stale = true;
                wake(g);
        } else if (c == g->services || c == g->endpoints)
                look_at(g, change);
        else if (streq(cache_prefix(c), "/registry/customresourcedefinitions/"))
                wake(g);
}

int aggregation_new(struct aggregation **ret, struct api *a) {
        _cleanup_(aggregation_freep) struct aggregation *g = calloc(1, sizeof(*g));
        int r;

        if (!g)
                return -ENOMEM;
        g->api = a;
        g->stale = true;
        g->apiservices = api_cache(a, apiregistration, "apiservices");
        g->services = api_cache(a, "", "services");
        g->endpoints = api_cache(a, "", "endpoints");
        if (!g->apiservices || !g->services || !g->endpoints)
                return -ENOMEM;
        r = pass_on_start(g);
        if (r < 0)
                return r;
        r = sd_event_add_defer(a->event, &g->soon, on_soon, g);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(g->soon, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = publisher_new(&g->publisher, g);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(g);
        return 0;
}

struct aggregation *aggregation_free(struct aggregation *g) {
        struct remote *remote;

        if (!g)
                return NULL;
        relays_free(g->relays);
        while ((remote = LIST_FIRST(&g->remotes)))
                remote_leave(remote);
        publisher_free(g->publisher);
        sd_event_source_disable_unref(g->soon);
        return mfree(g);
}
