/* Whether an extension server answers: it is asked for the discovery document of its version, as
 * the API server itself would be, again and again; what it says is kept for discovery. The second
 * question, less often, is for the index of its OpenAPI documents. A server that did answer is
 * asked once more before it counts as unavailable. Each kapid asks for itself, because each passes
 * requests on; one of them writes the condition (publish.c). */
#include "kapid/aggregation/internal.h"

#include "kapid/aggregation/forward.h"
#include "lib/log.h"
#include "lib/timefmt.h"

enum {
        PERIOD_US = 30 * 1000 * 1000,
        RETRY_US = 1000 * 1000,
        RETRIES_MAX = 5, /* after these the waits have reached the period */
        OPENAPI_US = 60 * 1000 * 1000,
        ANSWER_US = 5 * 1000 * 1000,
        CONFIRM_US = 300 * 1000,
        CONFIRMATIONS = 2,
        DISCOVERY_MAX = 2 << 20,
        INDEX_MAX = 1 << 20,
        ACCURACY_US = 50 * 1000,
        HASH_MAX = 128,
};

static void schedule(struct remote *r, uint64_t us) {
        if (!r->timer)
                return;
        (void)sd_event_source_set_time_relative(r->timer, us);
        (void)sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT);
}

static void schedule_next(struct remote *r) {
        unsigned doublings = r->failures > 0 ? MIN(r->failures - 1, (unsigned)RETRIES_MAX) : 0;
        uint64_t us = (uint64_t)RETRY_US << doublings;

        schedule(r, r->failures > 0 ? MIN(us, (uint64_t)PERIOD_US) : PERIOD_US);
}

/* Takes what it is given. */
static void settle(struct remote *r, struct availability *a) {
        bool was = remote_is_available(r), is;
        bool news = !r->availability.reason || !streq(r->availability.reason, a->reason);

        availability_done(&r->availability);
        r->availability = *a;
        *a = (struct availability){0};
        is = remote_is_available(r);
        r->failures = is ? 0 : MIN(r->failures + 1, 1000u);
        if (was != is)
                r->all->generation++;
        if (news && !is)
                log_warning("The APIService %s is not available: %s: %s", r->service.name,
                                r->availability.reason, strempty(r->availability.message));
        else if (news && was != is)
                log_info("The APIService %s is available", r->service.name);
        publisher_wake(r->all->publisher);
        schedule_next(r);
}

static void settle_failed(struct remote *r, const char *why) {
        _cleanup_availability_ struct availability a = {0};

        if (remote_is_available(r) && r->failures + 1 < CONFIRMATIONS) {
                r->failures++;
                schedule(r, CONFIRM_US);
                return;
        }
        if (availability_set(&a, "False", "FailedDiscoveryCheck",
                            "failing or missing response from https://%s:%lld/apis/%s/%s: %s",
                            r->server_name, (long long)r->service.target.port, r->service.group,
                            r->service.version, why) < 0) {
                (void)log_oom();
                schedule_next(r);
                return;
        }
        settle(r, &a);
}

/* --- answers --- */

static void take_resources(struct remote *r, const struct http_result *result) {
        _cleanup_json_ json_t *v = NULL;

        if (json_parse(result->body, result->body_size, 0, &v, NULL) < 0 ||
                        !json_is_array(json_object_get(v, "resources")))
                return;
        if (json_same(v, r->resources))
                return;
        json_decref(r->resources);
        r->resources = TAKE_PTR(v);
        r->all->generation++;
}

/* The hash in "/openapi/v3/apis/GROUP/VERSION?hash=..."; what it has beside letters and digits does
 * not go into ours. */
static char *hash_of(const json_t *index, const struct remote *r) {
        _cleanup_free_ char *path = strformat("apis/%s/%s", r->service.group, r->service.version);
        const json_t *entry = path ? json_object_get(json_object_get(index, "paths"), path) : NULL;
        const char *url = json_str(entry, "serverRelativeURL"),
                   *hash = url ? strstr(url, "hash=") : NULL;
        char *copy, *out;

        if (!url)
                return NULL;
        copy = out = strndup(hash ? hash + strlen("hash=") : "", HASH_MAX);
        for (const char *s = copy; s && *s; s++)
                if ((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') ||
                                (*s >= 'A' && *s <= 'Z'))
                        *out++ = *s;
        if (out)
                *out = 0;
        return copy;
}

static void take_index(struct remote *r, const struct http_result *result) {
        _cleanup_json_ json_t *v = NULL;
        _cleanup_free_ char *hash = NULL;

        if (result->code == 200 && result->error == 0)
                (void)json_parse(result->body, result->body_size, 0, &v, NULL);
        hash = hash_of(v, r);
        if (streq_ptr(hash, r->openapi_hash))
                return;
        free(r->openapi_hash);
        r->openapi_hash = TAKE_PTR(hash);
        r->all->generation++;
}

static int ask(struct remote *r, const char *path, size_t size_max);

static void on_index(struct remote *r, const struct http_result *result) {
        take_index(r, result);
        schedule_next(r);
}

static void on_discovery(struct remote *r, const struct http_result *result) {
        _cleanup_availability_ struct availability a = {0};
        char text[64];

        if (result->error) {
                settle_failed(r, result->error_text);
                return;
        }
        if (result->code < 200 || result->code > 299) {
                (void)snprintf(text, sizeof(text), "bad status: %d", result->code);
                settle_failed(r, text);
                return;
        }
        take_resources(r, result);
        if (availability_set(&a, "True", "Passed", "all checks passed") < 0) {
                schedule_next(r);
                return;
        }
        settle(r, &a);
        if (r->openapi_us && r->openapi_us + OPENAPI_US > now_mono_us())
                return;
        r->openapi_us = now_mono_us();
        r->is_openapi = ask(r, "/openapi/v3", INDEX_MAX) >= 0;
}

static void on_done(struct http_call *call, const struct http_result *result, void *userdata) {
        struct remote *r = remote_ref(userdata);

        r->probe = NULL;
        if (!r->all)
                ;
        else if (r->is_openapi) {
                r->is_openapi = false;
                on_index(r, result);
        } else
                on_discovery(r, result);
        remote_unref(r);
}

/* --- questions --- */

static int ask(struct remote *r, const char *path, size_t size_max) {
        _cleanup_forward_headers_ struct forward_headers h = {0};
        _cleanup_free_ char *address = NULL, *why = NULL;
        int e = remote_address(r, &address, &why);

        if (e < 0)
                return e;
        e = forward_add(&h, "X-Remote-User", "system:kube-aggregator");
        if (e < 0)
                return e;
        e = forward_add(&h, "X-Remote-Group", "system:masters");
        if (e < 0)
                return e;
        e = remote_add_host(r, &h);
        if (e < 0)
                return e;
        return http_call_start(r->client,
                        &(struct http_call_options){.method = "GET",
                                        .path = path,
                                        .base_url = address,
                                        .headers = h.items,
                                        .timeout_us = ANSWER_US,
                                        .body_size_max = size_max,
                                        .on_done = on_done,
                                        .userdata = r},
                        &r->probe);
}

static int find(struct remote *r, const char *plural, json_t **ret) {
        const struct webhook_target *t = &r->service.target;
        struct item *it = api_find(r->all->api, "", plural, t->namespace, t->service);

        if (!it)
                return 0;
        *ret = item_object(it);
        return *ret ? 0 : -ENOMEM;
}

/* 1: the server can be asked; 0: it is settled already. */
static int look_at_service(struct remote *r) {
        _cleanup_availability_ struct availability a = {0};
        _cleanup_json_ json_t *service = NULL, *endpoints = NULL;
        int e = find(r, "services", &service);

        if (e < 0)
                return e;
        e = find(r, "endpoints", &endpoints);
        if (e < 0)
                return e;
        e = availability_of_service(&r->service, service, endpoints, &a);
        if (e == 0)
                settle(r, &a);
        return e;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct remote *r = userdata;
        char path[512];
        int e;

        if (!r->all || r->probe)
                return 0;
        if (!caches_are_loaded(r->all->api->caches)) {
                schedule(r, RETRY_US);
                return 0;
        }
        e = look_at_service(r);
        if (e == 0)
                return 0;
        if (e > 0) {
                (void)snprintf(path, sizeof(path), "/apis/%s/%s", r->service.group,
                                r->service.version);
                e = ask(r, path, DISCOVERY_MAX);
        }
        if (e < 0)
                settle_failed(r, strerror(-e));
        return 0;
}

int probe_start(struct remote *r) {
        return sd_event_add_time_relative(r->all->api->event, &r->timer, CLOCK_MONOTONIC, 0,
                        ACCURACY_US, on_timer, r);
}

void probe_soon(struct remote *r) {
        if (!r->probe)
                schedule(r, 0);
}

void probe_stop(struct remote *r) {
        r->timer = sd_event_source_disable_unref(r->timer);
        r->probe = http_call_cancel(r->probe);
}
