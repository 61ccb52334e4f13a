/* A conversion is a queue of objects that goes to the webhook call by call, one at a time. An
 * object is parsed for its call, and the form is made when the answer comes: the trees of one call
 * exist at a time. Forms are kept with the items as they come, so that who asks again after an end
 * in the middle continues there. How many conversions are under way, and what their calls hold, is
 * bounded. The client of a definition's webhook is made of its clientConfig when it is first asked,
 * and again when the definition has changed; calling it is kapid/webhooks/'s. */
#include "kapid/conversion/conversion.h"

#include "kapid/conversion/review.h"
#include "kapid/kinds/crds.h"
#include "kapid/pipeline/convert.h"
#include "kapid/pipeline/forms.h"
#include "kapid/pipeline/pipeline.h"
#include "kapid/wait-shares.h"
#include "kapid/webhooks/client.h"
#include "kapid/webhooks/config.h"
#include "kapid/webhooks/resolve.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"

/* How the objects of one definition are converted. */
struct converter {
        LIST_ENTRY(converter) entry;
        char *definition;
        uint64_t revision;             /* of the definition that it was made of */
        struct webhook_config *config; /* with one webhook */
        const char *version;           /* of ConversionReview */
};

struct conversion {
        LIST_ENTRY(conversion) entry;
        struct conversions *all;
        struct kind *kind;
        struct webhook_config *config;
        const char *version;
        char *to; /* apiVersion */
        /* Items and their forms; none where an object is converted to be stored. */
        struct item **items, **forms;
        size_t item_count, next;
        json_t *object, *stored_form; /* one to be stored, until it is sent, and what it became */
        /* Of the call that is under way. */
        json_t *objects[CONVERSION_OBJECTS_MAX], *made[CONVERSION_OBJECTS_MAX];
        size_t places[CONVERSION_OBJECTS_MAX]; /* the indices of their items */
        size_t batch;
        size_t bytes; /* of objects that a call has at most */
        uint64_t deadline_us;
        char uid[UUID_SIZE];
        sd_event_source *soon;
        bool is_called;
        struct wait_share *share;   /* of its user; NULL: none yet */
        struct conversion *sibling; /* the next one of its request */
        struct conversion_waiter waiter;
};

struct conversions {
        struct api *api;
        struct webhook_clients *clients;
        LIST_HEAD(, converter) converters;
        LIST_HEAD(, conversion) under_way;
        struct wait_shares *shares;
};

/* --- converters --- */

static struct converter *converter_free(struct converter *c) {
        free(c->definition);
        webhook_config_unref(c->config);
        return mfree(c);
}

static struct converter *converter_find(struct conversions *all, const char *definition) {
        struct converter *c;

        LIST_FOREACH(c, &all->converters, entry)
        if (streq(c->definition, definition))
                return c;
        return NULL;
}

/* The webhook of the definition as one of a configuration, which the client knows. */
static int read_webhook(const json_t *crd, struct webhook_config **ret, struct problem *p) {
        _cleanup_json_ json_t *object = json_pack("{s:{s:s}, s:[{s:s, s:O, s:i, s:[s]}]}",
                        "metadata", "name", object_name(crd), "webhooks", "name", object_name(crd),
                        "clientConfig", json_at(crd, "spec.conversion.webhook.clientConfig"),
                        "timeoutSeconds", CONVERSION_TIMEOUT_S, "admissionReviewVersions", "v1");

        if (!object)
                return -ENOMEM;
        return webhook_config_new(ret, WEBHOOK_VALIDATING, object, p);
}

static int converter_read(struct conversions *all, const char *definition, struct item *it,
                struct converter **ret, struct problem *p) {
        _cleanup_json_ json_t *crd = item_object(it);
        struct webhook_config *config = NULL;
        struct converter *c = converter_find(all, definition);
        int r = crd ? read_webhook(crd, &config, p) : -ENOMEM;

        if (r < 0)
                return r;
        if (!c) {
                c = calloc(1, sizeof(*c));
                if (c)
                        c->definition = strdup(definition);
                if (!c || !c->definition) {
                        webhook_config_unref(config);
                        free(c);
                        return -ENOMEM;
                }
                LIST_INSERT_HEAD(&all->converters, c, entry);
        }
        webhook_config_unref(c->config);
        c->config = config;
        c->revision = item_revision(it);
        c->version = webhook_review_version(
                        json_at(crd, "spec.conversion.webhook.conversionReviewVersions"));
        *ret = c;
        return 0;
}

static int converter_get(struct conversions *all, const struct kind *k, struct converter **ret,
                struct problem *p) {
        const char *definition = kind_document(k);
        struct converter *c = converter_find(all, definition);
        struct cache *cache = caches_get(all->api->caches, crd_prefix);
        struct item *it = cache ? cache_find(cache, definition) : NULL;
        int r = 0;

        if (!it)
                return problem_set(p, ENOENT, 500, "InternalError",
                                "there is no definition \"%s\" any longer", definition);
        if (!c || c->revision != item_revision(it))
                r = converter_read(all, definition, it, &c, p);
        if (r < 0)
                return r;
        if (!c->version)
                return problem_set(p, EINVAL, 500, "InternalError",
                                "the conversion webhook of %s takes no version of "
                                "ConversionReview that this server speaks (v1, v1beta1)",
                                definition);
        *ret = c;
        return 0;
}

/* --- one conversion --- */

static void drop_batch(struct conversion *c) {
        for (size_t i = 0; i < c->batch; i++) {
                json_decref(c->objects[i]);
                json_decref(c->made[i]);
                c->objects[i] = c->made[i] = NULL;
        }
        c->batch = 0;
}

static void on_client_gone(struct request *request);

/* A request may have several at a time (a deleted collection): they are a list behind on_gone. */
static void join_request(struct conversion *c, struct request *request) {
        assert(!request->on_gone || request->on_gone == on_client_gone);
        c->sibling = request->on_gone ? request->on_gone_userdata : NULL;
        request->on_gone = on_client_gone;
        request->on_gone_userdata = c;
}

/* Once: whoever is called afterwards may let the request go. */
static void leave_request(struct conversion *c) {
        struct request *request = TAKE_PTR(c->waiter.request);
        struct conversion *at;

        if (!request || request->on_gone != on_client_gone)
                return;
        at = request->on_gone_userdata;
        if (at == c) {
                request->on_gone_userdata = c->sibling;
                if (!c->sibling)
                        request->on_gone = NULL;
                return;
        }
        while (at && at->sibling != c)
                at = at->sibling;
        if (at)
                at->sibling = c->sibling;
}

static struct conversion *conversion_free(struct conversion *c) {
        LIST_REMOVE(c, entry);
        if (c->is_called)
                webhook_call_end(c->all->clients, c);
        leave_request(c);
        if (c->share)
                wait_shares_drop(c->all->shares, c->share, c->bytes);
        wait_shares_leave(c->all->shares, c->share);
        sd_event_source_disable_unref(c->soon);
        for (size_t i = 0; c->items && c->forms && i < c->item_count; i++) {
                item_unref(c->items[i]);
                item_unref(c->forms[i]);
        }
        drop_batch(c);
        json_decref(c->object);
        json_decref(c->stored_form);
        free(c->items);
        free(c->forms);
        free(c->to);
        webhook_config_unref(c->config);
        kind_unref(c->kind);
        return mfree(c);
}
DEFINE_CLEANUP(struct conversion *, conversion_free);

/* Ends it with p, or for an empty p with the error; 0: it has succeeded. */
static void finish(struct conversion *c_taken, int error, struct problem *p) {
        _cleanup_(conversion_freep) struct conversion *c = c_taken;
        const struct conversion_waiter *w = &c->waiter;

        if (error < 0 && !p->code)
                problem_set(p, -error, 500, "InternalError", "Internal error occurred: %s",
                                strerror(-error));
        leave_request(c);
        if (w->stored) {
                w->stored(error < 0 ? NULL : TAKE_PTR(c->stored_form), error < 0 ? p : NULL,
                                w->userdata);
                return;
        }
        /* Readers of another version may have had theirs made since. */
        for (size_t i = 0; error >= 0 && i < c->item_count; i++)
                if (c->forms[i])
                        item_keep_form(c->items[i], c->kind, c->forms[i]);
        w->done(c->forms, c->item_count, error < 0 ? p : NULL, w->userdata);
}

static int failed(const struct conversion *c, const char *why, struct problem *p) {
        return problem_set(p, EINVAL, 500, "InternalError",
                        "conversion webhook for %s, Kind=%s failed: %s", c->kind->api_version,
                        c->kind->kind, why);
}

static bool is_late(const struct conversion *c) {
        return now_mono_us() >= c->deadline_us;
}

static int late(const struct conversion *c, struct problem *p) {
        return problem_set(p, ETIMEDOUT, 504, "Timeout",
                        "Timeout: request did not complete within requested timeout: the "
                        "conversion webhook for %s, Kind=%s took longer than %d s in all",
                        c->kind->api_version, c->kind->kind, CONVERSION_TOTAL_S);
}

static void next_call(struct conversion *c);

static int take_answer(struct conversion *c, const struct http_result *result, struct problem *p) {
        const struct conversion_question q = {.version = c->version,
                        .uid = c->uid,
                        .to_api_version = c->to,
                        .objects = c->objects,
                        .count = c->batch};
        _cleanup_free_ char *why = NULL;
        int r;

        if (result->error)
                return is_late(c) ? late(c, p) : failed(c, strempty(result->error_text), p);
        if (result->code != 200) {
                log_debug("The conversion webhook for %s, Kind=%s answered with status %d: %.300s",
                                c->kind->api_version, c->kind->kind, result->code,
                                strempty(result->body));
                why = strformat("the server answered with HTTP status %d", result->code);
                return failed(c, strempty(why), p);
        }
        r = conversion_answer(&q, result->body, result->body_size, c->made, &why);
        return r == -EINVAL ? failed(c, strempty(why), p) : r;
}

/* What the answer has brought becomes forms of the items. */
static int take_made(struct conversion *c) {
        if (c->waiter.stored) {
                c->stored_form = TAKE_PTR(c->made[0]);
                return 0;
        }
        for (size_t i = 0; i < c->batch; i++) {
                struct item *it = c->items[c->places[i]];

                /* Another conversion may have been faster. */
                int r = item_form(it, c->kind->serial) ? 0
                                                       : item_take_form(it, c->kind, c->made[i]);
                if (r < 0)
                        return r;
                c->forms[c->places[i]] = item_ref(item_form(it, c->kind->serial));
        }
        return 0;
}

static int take_batch(struct conversion *c, const struct http_result *result, struct problem *p) {
        int r = take_answer(c, result, p);

        return r < 0 ? r : take_made(c);
}

static void on_called(const struct http_result *result, void *userdata) {
        _cleanup_problem_ struct problem p = {0};
        struct conversion *c = userdata;
        int r;

        c->is_called = false;
        r = take_batch(c, result, &p);
        drop_batch(c);
        if (r < 0)
                finish(c, r, &p);
        else
                next_call(c);
}

static int add_object(struct conversion *c, json_t *object_taken, size_t place) {
        if (!object_taken)
                return -ENOMEM;
        c->objects[c->batch] = object_taken;
        c->places[c->batch++] = place;
        return 0;
}

/* The webhook gets what readers of the version see that the object is stored in. NULL when out of
 * memory. */
static json_t *stored_object(struct item *it, const struct kind *k) {
        _cleanup_json_ json_t *stored = item_object_once(it);

        return stored ? pipeline_fill_stored(k, stored) : NULL;
}

/* As many of the next objects as go into one call. The text of their items is a good measure. */
static int gather(struct conversion *c) {
        size_t bytes = 0;

        if (c->object)
                return add_object(c, TAKE_PTR(c->object), 0);
        for (; c->next < c->item_count && c->batch < CONVERSION_OBJECTS_MAX; c->next++) {
                struct item *it = c->items[c->next];
                int r;

                if (!conversion_is_needed(it, c->kind)) {
                        c->forms[c->next] = item_ref(item_form(it, c->kind->serial));
                        continue;
                }
                bytes += item_text(it)->size;
                if (c->batch > 0 && bytes > CONVERSION_BYTES_MAX)
                        break;
                r = add_object(c, stored_object(it, c->kind), c->next);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* 1: the webhook is called; 0: no object is left. */
static int call(struct conversion *c, struct problem *p) {
        struct webhook *w = &c->config->webhooks[0];
        _cleanup_webhook_place_ struct webhook_place place = {0};
        _cleanup_json_ json_t *review = NULL;
        _cleanup_free_ char *text = NULL, *why = NULL;
        uint64_t now_us = now_mono_us();
        int r = gather(c);

        if (r < 0 || c->batch == 0)
                return r;
        if (now_us >= c->deadline_us)
                return late(c, p);
        random_uuid(c->uid);
        review = conversion_review(c->version, c->uid, c->to, c->objects, c->batch);
        text = review ? json_text(review) : NULL;
        if (!text)
                return -ENOMEM;
        r = webhook_resolve(c->all->api, w, &place, &why);
        if (r < 0)
                return why ? failed(c, why, p) : r;
        r = webhook_call_start(c->all->clients, w, &place, text,
                        MIN(w->timeout_us, c->deadline_us - now_us), on_called, c);
        if (r < 0)
                return r;
        c->is_called = true;
        return 1;
}

static void next_call(struct conversion *c) {
        const struct request *request = c->waiter.request;
        _cleanup_problem_ struct problem p = {0};
        int r = request && !request->http ? -ECANCELED : call(c, &p);

        if (r <= 0)
                finish(c, r, &p);
}

static int on_soon(sd_event_source *source, void *userdata) {
        struct conversion *c = userdata;

        c->soon = sd_event_source_disable_unref(c->soon);
        next_call(c);
        return 0;
}

/* Nobody waits for the call any longer. Its owner is notified later, from the loop. */
static void end_call(struct conversion *c) {
        if (c->is_called)
                webhook_call_end(c->all->clients, c);
        c->is_called = false;
        drop_batch(c);
        if (!c->soon)
                (void)sd_event_add_defer(c->all->api->event, &c->soon, on_soon, c);
}

static void on_client_gone(struct request *request) {
        struct conversion *c = request->on_gone_userdata;

        request->on_gone = NULL;
        while (c) {
                struct conversion *next = TAKE_PTR(c->sibling);

                end_call(c);
                c = next;
        }
}

static int too_many(struct problem *p) {
        problem_set(p, EBUSY, 429, "TooManyRequests",
                        "too many requests wait for conversion webhooks (bounds: %d, and %d MiB of "
                        "objects; half of what is free for one user); is a webhook slow? Please "
                        "try again later",
                        CONVERSIONS_MAX, CONVERSIONS_BYTES_MAX >> 20);
        p->retry_after_s = 1;
        return -EBUSY;
}

static int conversion_new(struct api *a, const struct kind *k, const char *to, size_t bytes,
                const struct conversion_waiter *waiter, struct conversion **ret,
                struct problem *p) {
        _cleanup_(conversion_freep) struct conversion *c = NULL;
        struct conversions *all = a->conversions;
        struct converter *converter = NULL;
        struct request *request = waiter->request;
        int r;

        r = converter_get(all, k, &converter, p);
        if (r < 0)
                return r;
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        LIST_INSERT_HEAD(&all->under_way, c, entry);
        c->all = all;
        r = wait_shares_enter(
                        all->shares, request ? request_sharer(request) : waiter->user, &c->share);
        if (r < 0)
                return r == -EBUSY ? too_many(p) : r;
        c->bytes = bytes;
        wait_shares_hold(all->shares, c->share, bytes);
        c->kind = kind_ref(k);
        c->config = webhook_config_ref(converter->config);
        c->version = converter->version;
        c->deadline_us = now_mono_us() + (uint64_t)CONVERSION_TOTAL_S * 1000000;
        c->waiter = *waiter;
        c->to = strdup(to);
        if (!c->to)
                return -ENOMEM;
        r = sd_event_add_defer(a->event, &c->soon, on_soon, c);
        if (r < 0)
                return r;
        if (request)
                join_request(c, request);
        *ret = TAKE_PTR(c);
        return 0;
}

bool conversion_is_needed(struct item *it, const struct kind *k) {
        return k->by_webhook && !item_has_api_version(it, k->api_version) &&
               !item_form(it, k->serial);
}

static int take_items(struct conversion *c, struct item *const *items, size_t n) {
        c->items = calloc(n, sizeof(*c->items));
        c->forms = calloc(n, sizeof(*c->forms));
        if (!c->items || !c->forms)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                c->items[c->item_count++] = item_ref(items[i]);
        return 0;
}

int conversion_start(struct api *a, const struct kind *k, struct item *const *items, size_t n,
                const struct conversion_waiter *waiter, struct conversion **ret,
                struct problem *p) {
        _cleanup_(conversion_freep) struct conversion *c = NULL;
        size_t needed = 0, bytes = 0, largest = 0;
        int r;

        for (size_t i = 0; i < n; i++) {
                size_t size = item_text(items[i])->size;

                if (!conversion_is_needed(items[i], k))
                        continue;
                needed++;
                bytes += size;
                largest = MAX(largest, size);
        }
        if (needed == 0)
                return 0;
        largest = MAX(largest, (size_t)CONVERSION_BYTES_MAX);
        bytes = MIN(bytes, largest); /* as gather() */
        r = conversion_new(a, k, k->api_version, bytes, waiter, &c, p);
        if (r < 0)
                return r;
        r = take_items(c, items, n);
        if (r < 0)
                return r;
        if (ret)
                *ret = c;
        c = NULL;
        return 1;
}

struct conversion *conversion_cancel(struct conversion *c) {
        return c ? conversion_free(c) : NULL;
}

int conversion_to_storage(struct api *a, const struct kind *k, json_t *object,
                const struct conversion_waiter *waiter, struct problem *p) {
        return conversion_to(a, k, k->storage_api_version, object, waiter, p);
}

int conversion_to(struct api *a, const struct kind *k, const char *to_api_version, json_t *object,
                const struct conversion_waiter *waiter, struct problem *p) {
        struct conversion *c = NULL;
        int r = conversion_new(a, k, to_api_version, json_size(object), waiter, &c, p);

        if (r < 0)
                return r;
        c->object = json_incref(object);
        return 0;
}

/* --- all of them --- */

int conversions_new(struct conversions **ret, struct api *a) {
        _cleanup_(conversions_freep) struct conversions *all = calloc(1, sizeof(*all));
        int r;

        if (!all)
                return -ENOMEM;
        all->api = a;
        LIST_INIT(&all->converters);
        LIST_INIT(&all->under_way);
        r = webhook_clients_new(&all->clients, a->event);
        if (r < 0)
                return r;
        r = wait_shares_new(&all->shares, CONVERSIONS_MAX, CONVERSIONS_BYTES_MAX);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(all);
        return 0;
}

struct conversions *conversions_free(struct conversions *all) {
        if (!all)
                return NULL;
        while (!LIST_EMPTY(&all->under_way))
                conversion_free(LIST_FIRST(&all->under_way));
        webhook_clients_free(all->clients);
        wait_shares_free(all->shares);
        while (!LIST_EMPTY(&all->converters)) {
                struct converter *c = LIST_FIRST(&all->converters);

                LIST_REMOVE(c, entry);
                converter_free(c);
        }
        return mfree(all);
}
