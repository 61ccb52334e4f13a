/* Whether an extension server answers: it is asked for the discovery document of its version, as
 * the API server itself would be, again and again; what it says is kept for discovery. The other
 * questions, less often, are for the index of its OpenAPI documents and for that of version 2. A
 * server that did answer is asked once more before it counts as unavailable. Each kapid asks for
 * itself, because each passes requests on; one of them writes the condition (publish.c). */
#include "kapid/aggregation/internal.h"

#include "kapid/discovery/merge-v2.h"
#include "kapid/relay/forward.h"
#include "lib/fiber.h"
#include "lib/log.h"
#include "lib/siphash.h"
#include "lib/timefmt.h"

enum {
        PERIOD_US = 30 * 1000 * 1000,
        RETRY_US = 1000 * 1000,
        RETRIES_MAX = 5, /* after these the waits have reached the period */
        OPENAPI_US = 60 * 1000 * 1000,
        ANSWER_US = 5 * 1000 * 1000,
        CONFIRM_US = 300 * 1000,
        DISCOVERY_MAX = 512 << 10, /* trees take up to a hundred times as much */
        INDEX_MAX = 512 << 10,
        ACCURACY_US = 50 * 1000,
        HASH_MAX = 128,
        V2_MAX = 2 << 20, /* of a document */
};

static void schedule(struct remote *remote, uint64_t us) {
        if (!remote->timer)
                return;
        (void)sd_event_source_set_time_relative(remote->timer, us);
        (void)sd_event_source_set_enabled(remote->timer, SD_EVENT_ONESHOT);
}

static void schedule_next(struct remote *remote) {
        unsigned doublings =
                        remote->failures > 0 ? MIN(remote->failures - 1, (unsigned)RETRIES_MAX) : 0;
        uint64_t us = (uint64_t)RETRY_US << doublings;

        schedule(remote, remote->failures > 0 ? MIN(us, (uint64_t)PERIOD_US) : PERIOD_US);
}

/* Takes what it is given. */
static void settle(struct remote *remote, struct availability *a) {
        bool was = remote_is_available(remote), is;
        bool news = !remote->availability.reason || !streq(remote->availability.reason, a->reason);

        availability_done(&remote->availability);
        remote->availability = *a;
        *a = (struct availability){0};
        is = remote_is_available(remote);
        remote->failures = is ? 0 : MIN(remote->failures + 1, 1000u);
        if (was != is)
                remote->all->generation++;
        if (news && !is)
                log_warning("The APIService %s is not available: %s: %s", remote->service.name,
                                remote->availability.reason,
                                strempty(remote->availability.message));
        else if (news && was != is)
                log_info("The APIService %s is available", remote->service.name);
        publisher_wake(remote->all->publisher);
        schedule_next(remote);
}

static void settle_failed(struct remote *remote, const char *why) {
        _cleanup_availability_ struct availability a = {0};

        if (remote_is_available(remote) && remote->failures + 1 < PROBE_CONFIRMATIONS) {
                remote->failures++;
                schedule(remote, CONFIRM_US);
                return;
        }
        if (availability_set(&a, "False", "FailedDiscoveryCheck",
                            "failing or missing response from https://%s:%lld/apis/%s/%s: %s",
                            remote->server_name, (long long)remote->service.target.port,
                            remote->service.group, remote->service.version, why) < 0) {
                (void)log_oom();
                schedule_next(remote);
                return;
        }
        settle(remote, &a);
}

/* --- answers --- */

static void take_resources(struct remote *remote, const struct http_result *result) {
        _cleanup_json_ json_t *v = NULL;

        if (json_parse(result->body, result->body_size, 0, &v, NULL) < 0 ||
                        !json_is_array(json_object_get(v, "resources")))
                return;
        if (json_same(v, remote->resources))
                return;
        json_decref(remote->resources);
        remote->resources = TAKE_PTR(v);
        remote->all->generation++;
}

/* The hash in "/openapi/v3/apis/GROUP/VERSION?hash=..."; what it has beside letters and digits does
 * not go into ours. */
static char *hash_of(const json_t *index, const struct remote *remote) {
        _cleanup_free_ char *path =
                        strformat("apis/%s/%s", remote->service.group, remote->service.version);
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

static void take_index(struct remote *remote, const struct http_result *result) {
        _cleanup_json_ json_t *v = NULL;
        _cleanup_free_ char *hash = NULL;

        if (result->code == 200 && result->error == 0)
                (void)json_parse(result->body, result->body_size, 0, &v, NULL);
        hash = hash_of(v, remote);
        if (streq_ptr(hash, remote->openapi_hash))
                return;
        free(remote->openapi_hash);
        remote->openapi_hash = TAKE_PTR(hash);
        remote->all->generation++;
}

/* Its part of the v2 document is cut out of the whole, in turns of the loop. */
struct cutting {
        struct remote *remote; /* a reference */
        char *text;
        size_t size;
        char *part;
};

static void cut(struct fiber *f, void *userdata) {
        struct cutting *c = userdata;
        _cleanup_json_ json_t *doc = NULL, *part = NULL;

        if (json_parse(c->text, c->size, 0, &doc, NULL) < 0)
                return;
        fiber_breathe(f);
        if (openapi_v2_filter(doc, c->remote->service.group, c->remote->service.version, &part) < 0)
                return;
        fiber_breathe(f);
        c->part = json_text(part);
}

static void cutting_free(struct cutting *c) {
        remote_unref(c->remote);
        free(c->text);
        free(c->part);
        free(c);
}

static void on_cut(void *userdata) {
        struct cutting *c = userdata;
        struct remote *remote = c->remote;

        if (remote->all && !streq_ptr(remote->openapi_v2, c->part)) {
                free(remote->openapi_v2);
                remote->openapi_v2 = TAKE_PTR(c->part);
                remote->all->generation++;
        }
        cutting_free(c);
}

static void on_v2(struct remote *remote, const struct http_result *result) {
        struct api *a = remote->all->api;
        bool any = result->error == 0 && result->code == 200;
        uint64_t mark = any ? siphash(a->apply_secret, result->body, result->body_size) : 0;
        /* A part without a mark is of the spec before. */
        bool same = mark == remote->openapi_v2_mark && (any || !remote->openapi_v2);
        struct cutting *c = NULL;
        int r;

        schedule_next(remote);
        if (result->error || result->code >= 500) /* it may have one: what is known stays */
                return;
        c = same ? NULL : calloc(1, sizeof(*c));
        if (!c)
                return;
        remote->openapi_v2_mark = mark;
        c->remote = remote_ref(remote);
        c->size = any ? result->body_size : 0;
        c->text = calloc(1, c->size + 1); /* what comes may have zero bytes */
        if (c->size > 0 && c->text)
                memcpy(c->text, result->body, c->size);
        r = c->text ? fibers_start(a->fibers, cut, on_cut, c) : -ENOMEM;
        if (r == 0)
                on_cut(c);
        else if (r < 0)
                cutting_free(c);
}

static int ask(struct remote *remote, const char *path, size_t size_max);

static void on_index(struct remote *remote, const struct http_result *result) {
        take_index(remote, result);
        remote->asks = ask(remote, "/openapi/v2", V2_MAX) < 0 ? PROBE_DISCOVERY : PROBE_V2;
        schedule_next(remote);
}

static void on_discovery(struct remote *remote, const struct http_result *result) {
        _cleanup_availability_ struct availability a = {0};
        char text[64];

        if (result->error) {
                settle_failed(remote, result->error_text);
                return;
        }
        if (result->code < 200 || result->code > 299) {
                (void)snprintf(text, sizeof(text), "bad status: %d", result->code);
                settle_failed(remote, text);
                return;
        }
        take_resources(remote, result);
        if (availability_set(&a, "True", "Passed", "all checks passed") < 0) {
                schedule_next(remote);
                return;
        }
        settle(remote, &a);
        if (remote->openapi_us && remote->openapi_us + OPENAPI_US > now_mono_us())
                return;
        remote->openapi_us = now_mono_us();
        remote->asks = ask(remote, "/openapi/v3", INDEX_MAX) < 0 ? PROBE_DISCOVERY : PROBE_INDEX;
}

static void on_done(struct http_call *call, const struct http_result *result, void *userdata) {
        struct remote *remote = remote_ref(userdata);
        const int asked = remote->asks;

        remote->probe = NULL;
        remote->asks = PROBE_DISCOVERY;
        if (remote->all && asked == PROBE_INDEX)
                on_index(remote, result);
        else if (remote->all && asked == PROBE_V2)
                on_v2(remote, result);
        else if (remote->all)
                on_discovery(remote, result);
        if (remote->all && remote->again && !remote->probe)
                schedule(remote, 0);
        remote_unref(remote);
}

/* --- questions --- */

static int ask(struct remote *remote, const char *path, size_t size_max) {
        _cleanup_forward_headers_ struct forward_headers h = {0};
        _cleanup_free_ char *address = NULL, *why = NULL;
        int r = remote_address(remote, &address, &why);

        if (r < 0)
                return r;
        r = forward_add(&h, "X-Remote-User", "system:kube-aggregator");
        if (r < 0)
                return r;
        r = forward_add(&h, "X-Remote-Group", "system:masters");
        if (r < 0)
                return r;
        r = forward_add(&h, FORWARD_HOPS, "1");
        if (r < 0)
                return r;
        r = remote_add_host(remote, &h);
        if (r < 0)
                return r;
        return http_call_start(remote->client,
                        &(struct http_call_options){.method = "GET",
                                        .path = path,
                                        .base_url = address,
                                        .headers = h.items,
                                        .timeout_us = ANSWER_US,
                                        .body_size_max = size_max,
                                        .on_done = on_done,
                                        .userdata = remote},
                        &remote->probe);
}

static int find(struct remote *remote, const char *plural, json_t **ret) {
        const struct webhook_target *t = &remote->service.target;
        struct item *it = api_find(remote->all->api, "", plural, t->namespace, t->service);

        if (!it)
                return 0;
        *ret = item_object(it);
        return *ret ? 0 : -ENOMEM;
}

/* 1: the server can be asked; 0: it is settled already. */
static int look_at_service(struct remote *remote) {
        _cleanup_availability_ struct availability a = {0};
        _cleanup_json_ json_t *service = NULL, *endpoints = NULL;
        int r = find(remote, "services", &service);

        if (r < 0)
                return r;
        r = find(remote, "endpoints", &endpoints);
        if (r < 0)
                return r;
        r = availability_of_service(&remote->service, service, endpoints, &a);
        if (r == 0)
                settle(remote, &a);
        return r;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct remote *remote = userdata;
        char path[512];
        int r;

        if (!remote->all || remote->probe)
                return 0;
        remote->again = false;
        if (!caches_are_loaded(remote->all->api->caches)) {
                schedule(remote, RETRY_US);
                return 0;
        }
        r = look_at_service(remote);
        if (r == 0)
                return 0;
        if (r > 0) {
                (void)snprintf(path, sizeof(path), "/apis/%s/%s", remote->service.group,
                                remote->service.version);
                r = ask(remote, path, DISCOVERY_MAX);
        }
        if (r < 0)
                settle_failed(remote, strerror(-r));
        return 0;
}

int probe_start(struct remote *remote) {
        return sd_event_add_time_relative(remote->all->api->event, &remote->timer, CLOCK_MONOTONIC,
                        0, ACCURACY_US, on_timer, remote);
}

void probe_soon(struct remote *remote) {
        remote->again = true;
        if (!remote->probe)
                schedule(remote, 0);
}

void probe_stop(struct remote *remote) {
        remote->timer = sd_event_source_disable_unref(remote->timer);
        remote->probe = http_call_cancel(remote->probe);
}
