/* Wiring of the parts, and what follows from changes: CRDs become kinds, range keys become taken
 * addresses, and old revisions of the store are compacted away. */
#include "kapid/api.h"

#include "kapid/store/alloc.h"
#include "kapid/admission/quota-accounts.h"
#include "kapid/aggregation/aggregation.h"
#include "kapid/audit/audit.h"
#include "kapid/auth/authz.h"
#include "kapid/auth/front-proxy.h"
#include "kapid/auth/oidc.h"
#include "kapid/auth/revoked.h"
#include "kapid/bootstrap.h"
#include "kapid/conversion/conversion.h"
#include "kapid/crypt/crypt.h"
#include "kapid/crypt/sweep.h"
#include "kapid/kinds/crd-cleanup.h"
#include "kapid/kinds/crds.h"
#include "kapid/http/dispatch.h"
#include "kapid/store/compact.h"
#include "kapid/store/store-format.h"
#include "kapid/http/paths.h"
#include "kapid/pipeline/leases.h"
#include "kapid/pipeline/turns.h"
#include "kapid/policies/set.h"
#include "kapid/presence.h"
#include "kapid/proxy/proxy.h"
#include "kapid/streams/session.h"
#include "kapid/usage.h"
#include "kapid/webhooks/webhooks.h"
#include "lib/crypto.h"
#include "lib/fiber.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/random.h"
#include "lib/trim.h"

/* Less that is free is left for the next request. */
enum { TRIM_FREE_BYTES = 12 << 20 };
/* Expressions may hold 64 MB while they are evaluated. */
enum { FIBER_TURN_US = 15 * 1000, FIBERS_MAX = 8 };

static void on_change(struct cache *c, const struct change *change, void *userdata) {
        struct api *a = userdata;

        webhooks_on_change(a->webhooks, change ? c : NULL);
        policy_set_on_change(a->policies, change ? c : NULL);
        if (change) {
                quotas_on_change(a->quotas, c, change);
                if (!change->after)
                        crd_cleanup_on_deleted(a->cleanup);
                if (streq(cache_prefix(c), crd_prefix))
                        crds_on_change(a, change);
                else if (c == a->cluster_users)
                        revoked_on_change(a, change);
                aggregation_on_change(a->aggregation, c, change);
                return;
        }
        crds_load(a);
        aggregation_on_change(a->aggregation, NULL, NULL);
        quotas_on_change(a->quotas, NULL, NULL);
        if (!a->bootstrap && bootstrap_start(&a->bootstrap, a) < 0)
                log_error("Cannot create the bootstrap objects");
}

static void on_range(const char *key, const char *value, size_t n, void *userdata) {
        struct api *a = userdata;

        alloc_observe(a->alloc, key, value, n);
        presence_observe(a->presence, key, value);
}

static void on_reset(void *userdata) {
        struct api *a = userdata;

        alloc_reset(a->alloc);
        presence_reset(a->presence);
}

static void on_store(bool connected, void *userdata) {
        struct api *a = userdata;

        if (!connected)
                log_warning("The store is not reachable; reads are served from the cache");
        else if (caches_are_loaded(a->caches))
                log_info("The store is reachable again");
        caches_on_store(a->caches, connected);
        if (connected && a->format)
                store_format_on_store(a->format);
}

static void on_render(void *userdata) {
        struct api *a = userdata;

        metric_set(a->in_flight[0], a->reads);
        metric_set(a->in_flight[1], a->writes);
        metric_set(a->stream_gauge, a->streams);
        metric_set(a->unreadable, (double)caches_unreadable_count(a->caches));
        dispatch_render(a->dispatch);
}

static int add_metrics(struct api *a) {
        static const char *const lanes[] = {
                        "request_kind=\"readOnly\"", "request_kind=\"mutating\""};
        struct metrics *m = daemon_metrics(a->daemon);

        for (size_t i = 0; i < ELEMENTS(lanes); i++) {
                a->in_flight[i] = metrics_gauge(m, "apiserver_current_inflight_requests", lanes[i],
                                "Requests under way.");
                if (!a->in_flight[i])
                        return -ENOMEM;
        }
        a->stream_gauge = metrics_gauge(m, "apiserver_longrunning_requests", "verb=\"watch\"",
                        "Watches that are open.");
        a->watch_events = metrics_counter(
                        m, "apiserver_watch_events_total", "", "Events written to watches.");
        a->unreadable = metrics_gauge(m, "keelson_encryption_unreadable_values", "",
                        "Stored values that no key of the configuration opens.");
        if (!a->stream_gauge || !a->watch_events || !a->unreadable)
                return -ENOMEM;
        return metrics_on_render(m, on_render, a);
}

bool api_ready(void *userdata, const char **ret_why) {
        struct api *a = userdata;

        if (!store_is_connected(a->store))
                *ret_why = "the store is not reachable";
        else if (!caches_are_loaded(a->caches))
                *ret_why = "the store has not been read yet";
        else if (!a->bootstrapped)
                *ret_why = "the bootstrap objects do not exist yet";
        else if (!caches_are_current(a->caches))
                *ret_why = "the store's changes do not arrive; does it have a leader?";
        else if (presence_disk_full(a->presence))
                *ret_why = "the disk of this machine's store is full: make room on it (df -h "
                           "/var/lib/keelson)";
        else
                return true;
        return false;
}

static int add_crypt(struct api *a, struct problem *p) {
        const char *text = a->options.encryption_config;
        int r = text ? crypt_new(&a->crypt, text, strlen(text), a->kinds, p) : 0;

        a->options.encryption_config = NULL; /* its owner forgets it now */
        if (r < 0 && p->message)
                problem_prefix(p, "--encryption-provider-config");
        return r < 0 || !a->crypt ? r : crypt_add_metrics(a->crypt, daemon_metrics(a->daemon));
}

/* The parts that need nothing but memory and the options. */
static int add_parts(struct api *a, struct problem *p) {
        const struct api_options *o = &a->options;
        int r;

        r = kind_registry_new_with(&a->kinds, o->runtime_config, p);
        if (r < 0)
                return r;
        r = add_crypt(a, p);
        if (r < 0)
                return r;
        r = alloc_new(&a->alloc, o->service_range, p);
        if (r < 0)
                return r;
        r = admission_chain_new(&a->admission, &o->admission, daemon_metrics(a->daemon), p);
        if (r < 0)
                return r;
        if (o->sa_key_pem && sign_key_new(&a->jwt, o->sa_key_pem) < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "--service-account-key-file holds no ECDSA P-256 or RSA key");
        if (o->audit) {
                r = audit_new(&a->audit, a->event, o->audit, daemon_metrics(a->daemon), p);
                if (r < 0)
                        return r;
        }
        r = verified_new(&a->verified, daemon_metrics(a->daemon));
        if (r < 0)
                return r;
        if (o->oidc && !isempty(o->oidc->issuer_url)) {
                r = oidc_new(&a->oidc, a->event, o->oidc, a->verified, daemon_metrics(a->daemon));
                if (r < 0)
                        return r;
        }
        a->rbac = rbac_new();
        a->documents = documents_new();
        a->leases = leases_new();
        a->quotas = quotas_new(a);
        a->usages = usages_new();
        return a->rbac && a->documents && a->leases && a->quotas && a->usages ? 0 : -ENOMEM;
}

static int add_caches(struct api *a) {
        struct cache *pods;
        int r = caches_new(&a->caches, a->event,
                        &(struct caches_options){.on_change = on_change,
                                        .on_range = on_range,
                                        .on_reset = on_reset,
                                        .userdata = a});

        if (r < 0)
                return r;
        pods = api_cache(a, "", "pods");
        if (!pods)
                return -ENOMEM;
        r = cache_keep_index(pods, &pods_by_node);
        if (r < 0)
                return r;
        a->cluster_users = api_cache(a, "keelson.dev", "clusterusers");
        if (!a->cluster_users)
                return -ENOMEM;
        r = fibers_new(&a->fibers, a->event, FIBER_TURN_US, FIBERS_MAX);
        if (r < 0)
                return r;
        a->turns = turns_new(a->caches);
        if (!a->turns)
                return -ENOMEM;
        r = policy_set_new(&a->policies, a);
        return r < 0 ? r : webhooks_new(&a->webhooks, a);
}

int api_new(struct api **ret, struct daemon *d, const struct api_options *o,
                const struct store_options *store, struct problem *p) {
        _cleanup_(api_freep) struct api *a = calloc(1, sizeof(*a));
        struct store_options so = *store;
        int r;

        if (!a)
                return -ENOMEM;
        a->daemon = d;
        a->event = sd_event_ref(daemon_event(d));
        a->options = *o;
        random_bytes(a->apply_secret, sizeof(a->apply_secret));
        a->counted = map_new(free);
        if (!a->counted)
                return -ENOMEM;
        r = add_parts(a, p);
        if (r < 0)
                return r;
        r = dispatch_new(&a->dispatch, a);
        if (r < 0)
                return r;
        r = trim_new(&a->trim, a->event, TRIM_FREE_BYTES);
        if (r < 0)
                return r;
        r = add_metrics(a);
        if (r < 0)
                return r;
        r = add_caches(a);
        if (r < 0)
                return r;
        so.on_state = on_store;
        so.crypt = a->crypt;
        so.userdata = a;
        r = store_new(&a->store, a->event, &so, p);
        if (r < 0)
                return r;
        r = compact_start(&a->compact, a);
        if (r < 0)
                return r;
        r = conversions_new(&a->conversions, a);
        if (r < 0)
                return r;
        r = crd_cleanup_start(&a->cleanup, a);
        if (r < 0)
                return r;
        r = presence_start(&a->presence, a);
        if (r < 0)
                return r;
        r = store_format_start(&a->format, a);
        if (r < 0)
                return r;
        r = pod_proxies_new(&a->pod_proxies, a);
        if (r < 0)
                return r;
        if (o->front_proxy) {
                r = front_proxy_new(&a->front_proxy, o->front_proxy, p);
                if (r < 0)
                        return r;
                r = aggregation_new(&a->aggregation, a);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(a);
        return 0;
}

struct api *api_free(struct api *a) {
        if (!a)
                return NULL;
        stream_sessions_end(a);
        a->pod_proxies = pod_proxies_free(a->pod_proxies);
        a->aggregation = aggregation_free(a->aggregation);
        a->front_proxy = front_proxy_free(a->front_proxy);
        a->webhooks = webhooks_free(a->webhooks);
        a->policies = policy_set_free(a->policies);
        trim_free(a->trim);
        compact_free(a->compact);
        store_format_free(a->format);
        presence_free(a->presence);
        bootstrap_free(a->bootstrap);
        store_free(a->store);
        crd_cleanup_free(a->cleanup);
        conversions_free(a->conversions);
        sweeps_free(a);
        free(a->rewriting.error);
        crypt_free(a->crypt);
        dispatch_free(a->dispatch);
        turns_free(a->turns);
        fibers_free(a->fibers);
        caches_free(a->caches);
        usages_free(a->usages);
        quotas_free(a->quotas);
        documents_free(a->documents);
        leases_free(a->leases);
        rbac_free(a->rbac);
        sign_key_free(a->jwt);
        oidc_free(a->oidc);
        verified_free(a->verified);
        audit_free(a->audit);
        admission_chain_free(a->admission);
        alloc_free(a->alloc);
        kind_registry_free(a->kinds);
        map_free(a->counted);
        sd_event_unref(a->event);
        return mfree(a);
}
