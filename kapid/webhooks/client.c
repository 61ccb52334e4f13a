/* A client for each (authorities, name), because curl takes a kept connection by its host and not
 * by what it was checked against. Clients that were not used for a while are freed. Calls wait in
 * one queue; one whose webhook has its share already is passed over. */
#include "kapid/webhooks/client.h"

#include <sys/queue.h>

#include "lib/timefmt.h"
#include "lib/tls.h"

enum { IDLE_US = 60 * 1000 * 1000, TIMER_ACCURACY_US = 10 * 1000 };

struct client {
        LIST_ENTRY(client) entry;
        char *ca_pem, *server_name; /* may be NULL */
        struct http_client *http;
        uint64_t used_us;
        unsigned calls;
};

struct call {
        TAILQ_ENTRY(call) entry;
        struct webhook_clients *clients;
        struct webhook *webhook;
        struct webhook_place place;
        char *text; /* until it is sent: the HTTP client has a copy */
        size_t size;
        struct client *client; /* NULL: it waits for its turn */
        struct http_call *http;
        sd_event_source *timer;
        uint64_t timeout_us;
        webhook_call_done done;
        void *userdata;
};

struct webhook_clients {
        sd_event *event;
        LIST_HEAD(, client) clients;
        TAILQ_HEAD(, call) calls; /* in flight and waiting, the oldest first */
        size_t count;
        unsigned in_flight;
        sd_event_source *soon, *sweep;
};

void webhook_place_done(struct webhook_place *p) {
        free(p->base_url);
        free(p->path);
        free(p->server_name);
        free(p->shown);
        *p = (struct webhook_place){0};
}

/* --- clients --- */

static struct client *client_free(struct client *c) {
        http_client_free(c->http);
        free(c->ca_pem);
        free(c->server_name);
        return mfree(c);
}

static bool same(const char *a, const char *b) {
        return a && b ? streq(a, b) : a == b;
}

static int client_new(struct webhook_clients *cs, const struct call *call, struct client **ret) {
        const char *ca = call->webhook->target.ca_pem, *name = call->place.server_name;
        struct client *c = calloc(1, sizeof(*c));
        int r = -ENOMEM;

        if (!c)
                return -ENOMEM;
        c->ca_pem = ca ? strdup(ca) : NULL;
        c->server_name = name ? strdup(name) : NULL;
        if ((!ca || c->ca_pem) && (!name || c->server_name))
                r = http_client_new(&c->http, cs->event,
                                &(struct http_client_options){.base_url = call->place.base_url,
                                                .ca_pem = ca,
                                                .tls_server_name = name,
                                                .user_agent = "kapid-admission",
                                                .on_session = tls_bound_keys,
                                                .flags = HTTP_CLIENT_TLS_1_2});
        if (r < 0) {
                client_free(c);
                return r;
        }
        LIST_INSERT_HEAD(&cs->clients, c, entry);
        *ret = c;
        return 0;
}

static int client_get(struct webhook_clients *cs, const struct call *call, struct client **ret) {
        struct client *c;

        LIST_FOREACH(c, &cs->clients, entry)
        if (same(c->ca_pem, call->webhook->target.ca_pem) &&
                        same(c->server_name, call->place.server_name)) {
                *ret = c;
                return 0;
        }
        return client_new(cs, call, ret);
}

static int on_sweep(sd_event_source *source, uint64_t usec, void *userdata) {
        struct webhook_clients *cs = userdata;
        struct client *c = LIST_FIRST(&cs->clients), *next;
        uint64_t now_us = now_mono_us();

        for (; c; c = next) {
                next = LIST_NEXT(c, entry);
                if (c->calls > 0 || c->used_us + IDLE_US > now_us)
                        continue;
                LIST_REMOVE(c, entry);
                client_free(c);
        }
        if (LIST_EMPTY(&cs->clients))
                return 0;
        (void)sd_event_source_set_time_relative(source, IDLE_US);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

static void sweep_later(struct webhook_clients *cs) {
        int on = SD_EVENT_OFF;

        (void)sd_event_source_get_enabled(cs->sweep, &on);
        if (on != SD_EVENT_OFF)
                return;
        (void)sd_event_source_set_time_relative(cs->sweep, IDLE_US);
        (void)sd_event_source_set_enabled(cs->sweep, SD_EVENT_ONESHOT);
}

/* --- calls --- */

static struct call *call_free(struct call *c) {
        http_call_cancel(c->http);
        sd_event_source_disable_unref(c->timer);
        webhook_place_done(&c->place);
        webhook_config_unref(c->webhook->config);
        free(c->text);
        return mfree(c);
}

static void next_soon(struct webhook_clients *cs) {
        (void)sd_event_source_set_enabled(cs->soon, SD_EVENT_ONESHOT);
}

static void call_leave(struct webhook_clients *cs, struct call *c) {
        TAILQ_REMOVE(&cs->calls, c, entry);
        cs->count--;
        if (c->client) {
                c->client->calls--;
                c->client->used_us = now_mono_us();
                c->webhook->in_flight--;
                cs->in_flight--;
                next_soon(cs);
        }
}

/* Its place is free, then its owner gets the result. */
static void call_finish(struct call *c, const struct http_result *result) {
        webhook_call_done done = c->done;
        void *userdata = c->userdata;

        call_leave(c->clients, c);
        done(result, userdata);
        call_free(c);
}

static void on_answer(struct http_call *http, const struct http_result *result, void *userdata) {
        struct call *c = userdata;

        c->http = NULL;
        call_finish(c, result);
}

static void call_fail(struct call *c, int error, const char *text) {
        call_finish(c, &(struct http_result){.error = error, .error_text = text, .body = ""});
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        struct call *c = userdata;
        _cleanup_free_ char *text = strformat("context deadline exceeded (%s within %.3g s)",
                        c->client ? "no answer" : "too many calls are under way; not called",
                        (double)c->timeout_us / 1e6);

        call_fail(c, -ETIMEDOUT, text ? text : "context deadline exceeded");
        return 0;
}

static int call_send(struct webhook_clients *cs, struct call *c) {
        int r = client_get(cs, c, &c->client);

        if (r < 0)
                return r;
        c->client->calls++;
        c->client->used_us = now_mono_us();
        c->webhook->in_flight++;
        cs->in_flight++;
        sweep_later(cs);
        r = http_call_start(c->client->http,
                        &(struct http_call_options){.method = "POST",
                                        .base_url = c->place.base_url,
                                        .path = c->place.path,
                                        .body = c->text,
                                        .body_size = c->size,
                                        .content_type = "application/json",
                                        .timeout_us = c->timeout_us + IDLE_US, /* the timer's */
                                        .body_size_max = WEBHOOK_ANSWER_MAX,
                                        .on_done = on_answer,
                                        .userdata = c},
                        &c->http);
        c->text = mfree(c->text);
        return r;
}

static struct call *next_call(struct webhook_clients *cs) {
        struct call *c;

        if (cs->in_flight >= WEBHOOK_CALLS_MAX)
                return NULL;
        TAILQ_FOREACH(c, &cs->calls, entry)
        if (!c->client && c->webhook->in_flight < WEBHOOK_CALLS_EACH_MAX)
                return c;
        return NULL;
}

static int on_soon(sd_event_source *source, void *userdata) {
        struct webhook_clients *cs = userdata;
        struct call *c;

        while ((c = next_call(cs))) {
                int r = call_send(cs, c);

                if (r < 0)
                        call_fail(c, r, strerror(-r));
        }
        return 0;
}

int webhook_call_start(struct webhook_clients *cs, struct webhook *w,
                const struct webhook_place *place, const char *text, uint64_t timeout_us,
                webhook_call_done done, void *userdata) {
        struct call *c = calloc(1, sizeof(*c));
        int r = -ENOMEM;

        if (!c)
                return -ENOMEM;
        c->clients = cs;
        c->webhook = w;
        webhook_config_ref(w->config);
        c->text = strdup(text);
        c->place = (struct webhook_place){.base_url = strdup(place->base_url),
                        .path = strdup(place->path),
                        .server_name = place->server_name ? strdup(place->server_name) : NULL,
                        .shown = strdup(place->shown)};
        c->timeout_us = timeout_us;
        c->done = done;
        c->userdata = userdata;
        if (c->text && c->place.base_url && c->place.path && c->place.shown &&
                        (!place->server_name || c->place.server_name))
                r = sd_event_add_time_relative(cs->event, &c->timer, CLOCK_MONOTONIC, timeout_us,
                                TIMER_ACCURACY_US, on_timeout, c);
        if (r < 0) {
                call_free(c);
                return r;
        }
        TAILQ_INSERT_TAIL(&cs->calls, c, entry);
        cs->count++;
        c->size = strlen(text);
        next_soon(cs);
        return 0;
}

void webhook_call_end(struct webhook_clients *cs, const void *userdata) {
        struct call *c;

        TAILQ_FOREACH(c, &cs->calls, entry)
        if (c->userdata == userdata)
                break;
        if (!c)
                return;
        call_leave(cs, c);
        call_free(c);
}

size_t webhook_clients_calls(const struct webhook_clients *c) {
        return c->count;
}

int webhook_clients_new(struct webhook_clients **ret, sd_event *event) {
        _cleanup_(webhook_clients_freep) struct webhook_clients *cs = calloc(1, sizeof(*cs));
        int r;

        if (!cs)
                return -ENOMEM;
        TAILQ_INIT(&cs->calls);
        cs->event = sd_event_ref(event);
        r = sd_event_add_defer(event, &cs->soon, on_soon, cs);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(cs->soon, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(
                        event, &cs->sweep, CLOCK_MONOTONIC, IDLE_US, 0, on_sweep, cs);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(cs->sweep, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(cs);
        return 0;
}

struct webhook_clients *webhook_clients_free(struct webhook_clients *cs) {
        struct call *c;
        struct client *client;

        if (!cs)
                return NULL;
        while ((c = TAILQ_FIRST(&cs->calls))) {
                TAILQ_REMOVE(&cs->calls, c, entry);
                call_free(c);
        }
        while ((client = LIST_FIRST(&cs->clients))) {
                LIST_REMOVE(client, entry);
                client_free(client);
        }
        sd_event_source_disable_unref(cs->soon);
        sd_event_source_disable_unref(cs->sweep);
        sd_event_unref(cs->event);
        return mfree(cs);
}
