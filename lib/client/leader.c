/* Leader election on a Lease, after client-go's leaderelection: the holder of the lease renews it;
 * another takes it when it has seen no change for the lease's duration by its *own* clock (clocks
 * of machines need not agree). A holder that could not renew for the renew deadline, which is
 * shorter than the lease, stops before anyone else can start. Optimistic concurrency
 * (resourceVersion) decides races. Every renewal is a write to disk on every member of the store,
 * so a holder renews every 4 s; where the control plane has several machines, whose loss must not
 * hold the fleet for long, every second. The lease says how long it is, and others take its word.
 */
#include "lib/client/leader.h"

#include "lib/client/api-internal.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { LEASE_MAX_S = 60 };
#define RELEASE_TIMEOUT_US UINT64_C(2000000)

static const struct pace {
        unsigned lease_s;
        uint64_t deadline_us, renew_us, retry_us;
} alone = {15, 10000000, 4000000, 2000000}, among_others = {3, 2600000, 800000, 300000};

struct leader {
        sd_event *event;
        struct api_client *client;
        struct leader_options options;
        char *ns, *name, *identity;
        char *path, *collection;
        struct api_call *call;
        sd_event_source *timer, *deadline;
        json_t *lease; /* as last seen */
        uint64_t observed_us, sent_us;
        bool leading;
};

static void attempt(struct leader *l);

static const struct pace *pace(const struct leader *l) {
        return api_client_is_redundant(l->client) ? &among_others : &alone;
}

/* How long the holder that was seen may be silent. */
static uint64_t lease_us(const struct leader *l) {
        int64_t s = json_int_or(l->lease, "spec.leaseDurationSeconds", alone.lease_s);

        return (uint64_t)(s < 1 ? 1 : MIN(s, LEASE_MAX_S)) * 1000000;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        attempt(userdata);
        return 0;
}

static void again_after(struct leader *l, uint64_t delay_us) {
        l->timer = sd_event_source_disable_unref(l->timer);
        if (sd_event_add_time_relative(
                            l->event, &l->timer, CLOCK_MONOTONIC, delay_us, 0, on_timer, l) < 0)
                log_error("Cannot start a timer: the lease %s is no longer renewed", l->name);
}

static void stop_leading(struct leader *l) {
        l->deadline = sd_event_source_disable_unref(l->deadline);
        if (!l->leading)
                return;
        l->leading = false;
        if (l->options.on_stopped)
                l->options.on_stopped(l->options.userdata);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        struct leader *l = userdata;

        log_debug("The lease %s could not be renewed in time", l->name);
        stop_leading(l);
        return 0;
}

/* The write went out at sent_us; the deadline counts from there, not from its answer. */
static void hold(struct leader *l) {
        uint64_t now = now_mono_us(), left = l->sent_us + pace(l)->deadline_us;

        l->deadline = sd_event_source_disable_unref(l->deadline);
        if (left <= now || sd_event_add_time_relative(l->event, &l->deadline, CLOCK_MONOTONIC,
                                           left - now, 0, on_deadline, l) < 0) {
                stop_leading(l);
                return;
        }
        if (l->leading)
                return;
        l->leading = true;
        if (l->options.on_started)
                l->options.on_started(l->options.userdata);
}

static void observe(struct leader *l, const json_t *lease) {
        if (!l->lease || !streq_ptr(json_str(l->lease, "metadata.resourceVersion"),
                                         json_str(lease, "metadata.resourceVersion")))
                l->observed_us = now_mono_us();
        json_decref(l->lease);
        l->lease = json_ref(lease);
}

static void on_written(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct leader *l = userdata;

        l->call = NULL;
        if (error == 0 && object) {
                observe(l, object);
                hold(l);
                again_after(l, pace(l)->renew_us);
                return;
        }
        log_debug("The lease %s was not taken: %s", l->name, strempty(p->message));
        /* Someone else was faster, or the answer is lost: read it before the next try. */
        json_decref(l->lease);
        l->lease = NULL;
        again_after(l, error == -ECONNRESET ? 0 : pace(l)->retry_us);
}

static json_t *lease_body(struct leader *l, const char *holder) {
        const char *old = json_str_or(l->lease, "spec.holderIdentity", "");
        int64_t transitions = json_int_or(l->lease, "spec.leaseTransitions", 0);
        bool same = streq(old, l->identity);
        const char *acquired = same ? json_str(l->lease, "spec.acquireTime") : NULL;
        char now[TIMEFMT_SIZE];

        time_format_micro(now_wall_us(), now);
        return json_pack("{s:s, s:s, s:{s:s, s:s, s:s*}, s:{s:s, s:i, s:s, s:s, s:I}}",
                        "apiVersion", "coordination.k8s.io/v1", "kind", "Lease", "metadata", "name",
                        l->name, "namespace", l->ns, "resourceVersion",
                        json_str(l->lease, "metadata.resourceVersion"), "spec", "holderIdentity",
                        holder, "leaseDurationSeconds", (int)pace(l)->lease_s, "acquireTime",
                        acquired ? acquired : now, "renewTime", now, "leaseTransitions",
                        (json_int_t)(l->lease && !same && *old ? transitions + 1 : transitions));
}

static void write_lease(struct leader *l) {
        _cleanup_json_ json_t *body = lease_body(l, l->identity);
        int r = -ENOMEM;

        l->sent_us = now_mono_us();
        if (body)
                r = l->lease ? api_update_async(l->client, l->path, body, on_written, l, &l->call)
                             : api_create_async(l->client, l->collection, body, on_written, l,
                                               &l->call);
        if (r < 0)
                again_after(l, pace(l)->retry_us);
}

static void decide(struct leader *l) {
        const char *holder = json_str_or(l->lease, "spec.holderIdentity", "");
        bool ours = streq(holder, l->identity);

        if (!ours)
                stop_leading(l);
        if (ours || !*holder || now_mono_us() - l->observed_us >= lease_us(l))
                write_lease(l);
        else
                again_after(l, pace(l)->retry_us);
}

static void on_read(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct leader *l = userdata;
        json_t *seen = l->lease;

        l->call = NULL;
        if (error == -ENOENT) {
                json_decref(seen);
                l->lease = NULL;
                write_lease(l);
        } else if (error == 0 && object) {
                observe(l, object);
                decide(l);
        } else {
                log_debug("Cannot read the lease %s: %s", l->name, strempty(p->message));
                again_after(l, pace(l)->retry_us);
        }
}

/* A holder writes at once, with the version of its last write; others read first. */
static void attempt(struct leader *l) {
        if (l->call)
                return;
        l->timer = sd_event_source_disable_unref(l->timer);
        if (l->leading && l->lease) {
                write_lease(l);
                return;
        }
        if (api_get_async(l->client, l->path, on_read, l, &l->call) < 0)
                again_after(l, pace(l)->retry_us);
}

int leader_new(struct leader **ret, sd_event *event, struct api_client *c,
                const struct leader_options *options) {
        const struct api_resource *leases = api_resource(KIND_LEASES);
        _cleanup_(leader_freep) struct leader *l = calloc(1, sizeof(*l));
        int r;

        if (!l)
                return -ENOMEM;
        l->event = sd_event_ref(event);
        l->client = c;
        l->options = *options;
        l->ns = strdup(options->ns);
        l->name = strdup(options->name);
        l->identity = strdup(options->identity);
        l->path = api_path(leases, options->ns, options->name, /* subresource= */ NULL,
                        /* query= */ NULL);
        l->collection = api_path(leases, options->ns, /* name= */ NULL, /* subresource= */ NULL,
                        /* query= */ NULL);
        if (!l->ns || !l->name || !l->identity || !l->path || !l->collection)
                return -ENOMEM;
        r = sd_event_add_time_relative(event, &l->timer, CLOCK_MONOTONIC, 0, 0, on_timer, l);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

/* Blocking and short: the loop is ending, and the next leader need not wait for the lease to run
 * out. */
static void release(struct leader *l) {
        _cleanup_json_ json_t *body = l->lease ? lease_body(l, "") : NULL;
        _cleanup_free_ char *text = body ? json_text(body) : NULL;
        struct http_call_options options = {.method = "PUT",
                        .path = l->path,
                        .body = text,
                        .body_size = text ? strlen(text) : 0,
                        .content_type = "application/json",
                        .timeout_us = RELEASE_TIMEOUT_US};
        struct http_result result = {0};

        if (!text)
                return;
        (void)http_client_do(api_client_http(l->client), &options, &result);
        http_result_done(&result);
}

struct leader *leader_free(struct leader *l) {
        if (!l)
                return NULL;
        api_call_cancel(l->call);
        sd_event_source_disable_unref(l->timer);
        sd_event_source_disable_unref(l->deadline);
        if (l->leading)
                release(l);
        json_decref(l->lease);
        sd_event_unref(l->event);
        free(l->ns);
        free(l->name);
        free(l->identity);
        free(l->path);
        free(l->collection);
        free(l);
        return NULL;
}

bool leader_is(const struct leader *l) {
        return l->leading;
}
