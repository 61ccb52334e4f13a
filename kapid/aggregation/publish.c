/* What kapid writes itself: an APIService for each version that it serves, the conditions of the
 * remote ones, and the ConfigMap from which extension servers learn whom to trust. Objects and
 * conditions are written by one of several kapids (presence.h); the ConfigMap by each that has
 * something to add. One write is under way at a time; each has a guard on what it was made of, and
 * its own change, when the cache sees it, brings the next one. */
#include "kapid/aggregation/internal.h"

#include "kapid/aggregation/auth-config.h"
#include "kapid/pipeline/pipeline.h"
#include "kapid/presence.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"
#include "lib/vector.h"

#define CONFIG_NAMESPACE "kube-system"
#define CONFIG_NAME "extension-apiserver-authentication"

enum {
        BATCH_MAX = 32,
        RETRY_US = 1000 * 1000,
        LOOK_US = 30 * 1000 * 1000, /* for files that were replaced */
        SETTLE_US = 20 * 1000,
};

struct write {
        char *key, *text; /* text NULL: it is deleted */
        uint64_t revision;
};

struct publisher {
        struct aggregation *all;
        sd_event_source *timer;
        struct write batch[BATCH_MAX];
        struct store_guard guards[BATCH_MAX];
        struct store_op ops[BATCH_MAX];
        size_t count;
        bool pending;
        uint64_t kinds, objects; /* generations for which the local objects are as they should be */
};

static void batch_clear(struct publisher *p) {
        for (size_t i = 0; i < p->count; i++) {
                free(p->batch[i].key);
                free(p->batch[i].text);
        }
        memset(p->batch, 0, sizeof(p->batch));
        p->count = 0;
}

static void schedule(struct publisher *p, uint64_t us) {
        uint64_t at_us = 0, now_us = now_mono_us();
        int on = SD_EVENT_OFF;

        (void)sd_event_source_get_enabled(p->timer, &on);
        if (on != SD_EVENT_OFF && sd_event_source_get_time(p->timer, &at_us) >= 0 &&
                        at_us <= now_us + us)
                return;
        (void)sd_event_source_set_time_relative(p->timer, us);
        (void)sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

void publisher_wake(struct publisher *p) {
        if (p)
                schedule(p, SETTLE_US);
}

static void on_stored(const struct store_result *res, void *userdata) {
        struct publisher *p = userdata;

        p->pending = false;
        batch_clear(p);
        if (res->error)
                log_debug_errno(res->error, "Cannot write an APIService: %s", res->message);
        schedule(p, res->error ? RETRY_US : SETTLE_US);
}

static int batch_send(struct publisher *p) {
        int r;

        if (p->count == 0)
                return 0;
        for (size_t i = 0; i < p->count; i++) {
                const struct write *w = &p->batch[i];

                p->guards[i] = (struct store_guard){.key = w->key, .revision = w->revision};
                p->ops[i] = (struct store_op){.key = w->key,
                                .value = w->text,
                                .size = w->text ? strlen(w->text) : 0};
        }
        r = store_txn(p->all->api->store,
                        &(struct store_txn){.guards = p->guards,
                                        .guard_count = p->count,
                                        .ops = p->ops,
                                        .op_count = p->count},
                        on_stored, p);
        p->pending = r >= 0;
        if (r < 0)
                batch_clear(p);
        return r;
}

/* object NULL: the one at the key is deleted. */
static int batch_add(struct publisher *p, const struct kind *k, const char *namespace,
                const char *name, const struct item *it, const json_t *object) {
        struct write w = {.key = kind_store_key(k, namespace, name),
                        .text = object ? json_text(object) : NULL,
                        .revision = it ? item_revision(it) : 0};

        if (!w.key || (object && !w.text)) {
                free(w.key);
                free(w.text);
                return -ENOMEM;
        }
        p->batch[p->count++] = w;
        return 0;
}

/* uid, times and defaults of a new object. */
static int complete(const struct kind *k, json_t *object) {
        const struct pipeline_context c = {.now_us = now_wall_us()};
        char uuid[UUID_SIZE], now[TIMEFMT_SIZE];
        int r = json_set_str(object, "metadata.uid", random_uuid(uuid));

        if (r < 0)
                return r;
        r = json_set_str(object, "metadata.creationTimestamp", time_format(c.now_us, now));
        if (r < 0)
                return r;
        r = pipeline_default(k, object);
        return r < 0 ? r : pipeline_prepare_create(k, object, &c);
}

/* --- the objects of local groups --- */

static const struct kind *apiservice_kind(struct publisher *p) {
        return kind_registry_find(
                        p->all->api->kinds, "apiregistration.k8s.io", "v1", "apiservices");
}

/* Of a version whose kinds begin at the i-th. */
static enum apiservice_wish wish_at(const struct kind_registry *r, size_t i) {
        const struct kind *first = kind_registry_at(r, i), *k;

        for (; (k = kind_registry_at(r, i)) && streq(k->api_version, first->api_version); i++)
                if (!k->custom)
                        return apiservice_may_replace(r, k->group, k->version)
                                               ? APISERVICE_UNWANTED
                                               : APISERVICE_BUILT_IN;
        return APISERVICE_CUSTOM;
}

/* Whether nothing is to say that kapid serves it. */
static bool is_unwanted(const struct kind_registry *r, const char *group, const char *version) {
        const struct kind *k;

        for (size_t i = 0; (k = kind_registry_at(r, i)); i++)
                if (streq(k->group, group) && streq(k->version, version))
                        return wish_at(r, i) == APISERVICE_UNWANTED;
        return true;
}

static int sync_one(struct publisher *p, const struct kind *k, const char *group,
                const char *version, enum apiservice_wish wish, const char *name, struct item *it) {
        _cleanup_json_ json_t *live = it ? item_object_once(it) : NULL, *object = NULL;
        enum apiservice_action action;
        int r = it && !live ? -ENOMEM
                            : apiservice_decide(live, group, version, wish, &action, &object);

        if (r < 0 || action == APISERVICE_KEEP)
                return r;
        if (action == APISERVICE_WRITE && !it) {
                r = complete(k, object);
                if (r < 0)
                        return r;
        }
        return batch_add(p, k, "", name, it, action == APISERVICE_WRITE ? object : NULL);
}

/* What is served here and has no object, or one that says otherwise. */
static int sync_wanted(struct publisher *p, const struct kind *k) {
        const struct kind_registry *kinds = p->all->api->kinds;
        const struct kind *at, *previous = NULL;

        for (size_t i = 0; (at = kind_registry_at(kinds, i)) && p->count < BATCH_MAX;
                        previous = at, i++) {
                _cleanup_free_ char *name = NULL;
                int r;

                if (previous && streq(previous->api_version, at->api_version))
                        continue;
                name = apiservice_name(at->group, at->version);
                r = name ? sync_one(p, k, at->group, at->version, wish_at(kinds, i), name,
                                           cache_find(p->all->apiservices, name))
                         : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Our objects for versions that are no longer served. */
static int sync_unwanted(struct publisher *p, const struct kind *k) {
        struct cache *c = p->all->apiservices;

        for (struct item *it = cache_first(c, ""); it && p->count < BATCH_MAX;
                        it = cache_next(c, it)) {
                _cleanup_json_ json_t *live = item_object_once(it);
                const char *group = json_str_or(live, "spec.group", ""),
                           *version = json_str_or(live, "spec.version", "");
                int r = 0;

                if (!live)
                        return -ENOMEM;
                if (object_label(live, APISERVICE_AUTOMANAGED) &&
                                is_unwanted(p->all->api->kinds, group, version))
                        r = sync_one(p, k, group, version, APISERVICE_UNWANTED, item_path(it), it);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int sync_local(struct publisher *p) {
        const struct kind *k = apiservice_kind(p);
        uint64_t kinds = kind_registry_generation(p->all->api->kinds),
                 objects = cache_changes(p->all->apiservices);
        int r;

        if (!k || (kinds == p->kinds && objects == p->objects))
                return 0;
        r = sync_wanted(p, k);
        if (r < 0)
                return r;
        r = p->count > 0 ? 0 : sync_unwanted(p, k);
        if (r < 0)
                return r;
        if (p->count == 0) {
                p->kinds = kinds;
                p->objects = objects;
        }
        return 0;
}

/* --- conditions --- */

static int sync_conditions(struct publisher *p) {
        const struct kind *k = apiservice_kind(p);
        struct remote *remote;

        for (remote = aggregation_first(p->all); remote && k && p->count < BATCH_MAX;
                        remote = remote_next(remote)) {
                struct item *it = cache_find(p->all->apiservices, remote->service.name);
                _cleanup_json_ json_t *live = NULL, *object = NULL;
                int r;

                if (!it || !remote->availability.reason)
                        continue;
                live = item_object_once(it);
                if (!live)
                        return -ENOMEM;
                if (!streq(object_uid(live), remote->service.uid))
                        continue;
                r = availability_apply(live, &remote->availability, now_wall_us(), &object);
                if (r < 0)
                        return r;
                if (!object)
                        continue;
                r = batch_add(p, k, "", remote->service.name, it, object);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* --- the ConfigMap --- */

static int sync_config(struct publisher *p) {
        struct api *a = p->all->api;
        struct front_proxy *f = a->front_proxy;
        const struct kind *k = kind_registry_find(a->kinds, "", "v1", "configmaps");
        struct item *it = api_find(a, "", "configmaps", CONFIG_NAMESPACE, CONFIG_NAME);
        _cleanup_json_ json_t *live = it ? item_object(it) : NULL, *copy = NULL, *data = NULL;
        int r;

        (void)front_proxy_refresh(f);
        const struct auth_config wanted = {.client_ca = front_proxy_client_ca(f),
                        .front_ca = front_proxy_ca(f),
                        .names = front_proxy_names(f)};
        if (!k || (it && !live) || (!wanted.client_ca && !wanted.front_ca))
                return k && it && !live ? -ENOMEM : 0;
        r = auth_config_data(
                        &wanted, json_object_get(live, "data"), now_wall_us() / 1000000, &data);
        if (r < 0 || !data)
                return r;
        copy = live ? json_tree_copy(live)
                    : json_pack("{ss, ss, s{ss, ss}}", "apiVersion", "v1", "kind", "ConfigMap",
                                      "metadata", "name", CONFIG_NAME, "namespace",
                                      CONFIG_NAMESPACE);
        if (!copy || json_object_set(copy, "data", data) < 0)
                return -ENOMEM;
        json_del_at(copy, "metadata.resourceVersion");
        r = live ? 0 : complete(k, copy);
        return r < 0 ? r : batch_add(p, k, CONFIG_NAMESPACE, CONFIG_NAME, it, copy);
}

/* --- turns --- */

/* The first of these that has something to write. */
static int sync_all(struct publisher *p) {
        static const struct {
                bool of_one; /* of several kapids */
                int (*sync)(struct publisher *p);
        } all[] = {{true, sync_local}, {true, sync_conditions}, {false, sync_config}};

        for (size_t i = 0; i < ELEMENTS(all) && p->count == 0; i++) {
                int r = !all[i].of_one || presence_is_first(p->all->api->presence) ? all[i].sync(p)
                                                                                   : 0;

                if (r < 0)
                        return r;
        }
        return batch_send(p);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct publisher *p = userdata;
        struct api *a = p->all->api;
        int r;

        if (p->pending)
                return 0;
        if (!a->bootstrapped || !caches_are_current(a->caches) || !store_is_connected(a->store)) {
                schedule(p, RETRY_US);
                return 0;
        }
        r = sync_all(p);
        if (r < 0) {
                batch_clear(p);
                log_debug_errno(r, "Cannot write APIServices");
        }
        if (!p->pending)
                schedule(p, r < 0 ? RETRY_US : LOOK_US);
        return 0;
}

int publisher_new(struct publisher **ret, struct aggregation *g) {
        _cleanup_(publisher_freep) struct publisher *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return -ENOMEM;
        p->all = g;
        r = sd_event_add_time_relative(
                        g->api->event, &p->timer, CLOCK_MONOTONIC, RETRY_US, 0, on_timer, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

struct publisher *publisher_free(struct publisher *p) {
        if (!p)
                return NULL;
        sd_event_source_disable_unref(p->timer);
        batch_clear(p);
        return mfree(p);
}
