/* A conversion is a queue of objects that goes to the webhook call by call, one at a time. The
 * client of a definition's webhook is made of its clientConfig when it is first asked, and again
 * when the definition has changed; calling it is kapid/webhooks/'s. */
#include "kapid/conversion/conversion.h"

#include "kapid/cache/forms.h"
#include "kapid/conversion/review.h"
#include "kapid/kinds/crds.h"
#include "kapid/pipeline/convert.h"
#include "kapid/webhooks/client.h"
#include "kapid/webhooks/resolve.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/random.h"

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
        /* Items and their forms, or NULL where an object is converted to be stored. */
        struct item **items, **forms;
        size_t item_count;
        size_t *places; /* of each object: the index of its item */
        json_t **objects, **made;
        size_t count, next, batch;
        char uid[UUID_SIZE];
        sd_event_source *soon;
        bool is_called, is_cancelled;
        conversion_done done;
        conversion_stored stored;
        void *userdata;
};

struct conversions {
        struct api *api;
        struct webhook_clients *clients;
        LIST_HEAD(, converter) converters;
        LIST_HEAD(, conversion) under_way;
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
        c->version = conversion_review_version(
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

static struct conversion *conversion_free(struct conversion *c) {
        LIST_REMOVE(c, entry);
        sd_event_source_disable_unref(c->soon);
        for (size_t i = 0; i < c->item_count; i++) {
                item_unref(c->items[i]);
                item_unref(c->forms[i]);
        }
        for (size_t i = 0; i < c->count; i++) {
                json_decref(c->objects[i]);
                json_decref(c->made[i]);
        }
        free(c->items);
        free(c->forms);
        free(c->places);
        free(c->objects);
        free(c->made);
        free(c->to);
        webhook_config_unref(c->config);
        kind_unref(c->kind);
        return mfree(c);
}
DEFINE_CLEANUP(struct conversion *, conversion_free);

/* Forms of the items, those too that needed no webhook. */
static int take_forms(struct conversion *c, struct problem *p) {
        int r = 0;

        for (size_t i = 0; i < c->count && r >= 0; i++)
                r = item_take_form(c->items[c->places[i]], c->kind, c->made[i]);
        for (size_t i = 0; i < c->item_count && r >= 0; i++) {
                struct item *form;

                r = item_as(c->items[i], c->kind, &form, p);
                if (r >= 0)
                        c->forms[i] = item_ref(form);
        }
        return r;
}

/* Ends it with p, or for an empty p with the error; 0: it has succeeded. */
static void finish(struct conversion *c_taken, int error, struct problem *p) {
        _cleanup_(conversion_freep) struct conversion *c = c_taken;

        if (error >= 0 && c->done)
                error = take_forms(c, p);
        if (error < 0 && !p->code)
                problem_set(p, -error, 500, "InternalError", "Internal error occurred: %s",
                                strerror(-error));
        if (c->is_cancelled)
                return;
        if (c->done)
                c->done(c->forms, c->item_count, error < 0 ? p : NULL, c->userdata);
        else
                c->stored(error < 0 ? NULL : TAKE_PTR(c->made[0]), error < 0 ? p : NULL,
                                c->userdata);
}

static int failed(const struct conversion *c, const char *why, struct problem *p) {
        return problem_set(p, EINVAL, 500, "InternalError",
                        "conversion webhook for %s, Kind=%s failed: %s", c->kind->api_version,
                        c->kind->kind, why);
}

static void next_call(struct conversion *c);

static int take_answer(struct conversion *c, const struct http_result *result, struct problem *p) {
        const struct conversion_question q = {.version = c->version,
                        .uid = c->uid,
                        .to_api_version = c->to,
                        .objects = c->objects + c->next,
                        .count = c->batch};
        _cleanup_free_ char *why = NULL;
        int r;

        if (result->error)
                return failed(c, strempty(result->error_text), p);
        if (result->code != 200) {
                log_debug("The conversion webhook for %s, Kind=%s answered with status %d: %.300s",
                                c->kind->api_version, c->kind->kind, result->code,
                                strempty(result->body));
                why = strformat("the server answered with HTTP status %d", result->code);
                return failed(c, strempty(why), p);
        }
        r = conversion_answer(&q, result->body, result->body_size, c->made + c->next, &why);
        return r == -EINVAL ? failed(c, strempty(why), p) : r;
}

static void on_called(const struct http_result *result, void *userdata) {
        _cleanup_problem_ struct problem p = {0};
        struct conversion *c = userdata;
        int r;

        c->is_called = false;
        if (c->is_cancelled) {
                conversion_free(c);
                return;
        }
        r = take_answer(c, result, &p);
        c->next += r >= 0 ? c->batch : 0;
        if (r < 0)
                finish(c, r, &p);
        else
                next_call(c);
}

/* As many of the next objects as go into one call. The text of their items is a good measure. */
static size_t batch_of(const struct conversion *c) {
        size_t n = 0, bytes = 0;

        for (; c->next + n < c->count && n < CONVERSION_OBJECTS_MAX; n++) {
                if (c->items)
                        bytes += item_text(c->items[c->places[c->next + n]])->size;
                if (n > 0 && bytes > CONVERSION_BYTES_MAX)
                        break;
        }
        return n;
}

static int call(struct conversion *c, struct problem *p) {
        struct webhook *w = &c->config->webhooks[0];
        _cleanup_webhook_place_ struct webhook_place place = {0};
        _cleanup_json_ json_t *review = NULL;
        _cleanup_free_ char *text = NULL, *why = NULL;
        int r;

        c->batch = batch_of(c);
        random_uuid(c->uid);
        review = conversion_review(c->version, c->uid, c->to, c->objects + c->next, c->batch);
        text = review ? json_text(review) : NULL;
        if (!text)
                return -ENOMEM;
        r = webhook_resolve(c->all->api, w, &place, &why);
        if (r < 0)
                return why ? failed(c, why, p) : r;
        r = webhook_call_start(c->all->clients, w, &place, text, w->timeout_us, on_called, c);
        c->is_called = r >= 0;
        return r;
}

static void next_call(struct conversion *c) {
        _cleanup_problem_ struct problem p = {0};
        int r = c->next < c->count ? call(c, &p) : 0;

        if (r < 0 || c->next == c->count)
                finish(c, r, &p);
}

static int on_soon(sd_event_source *source, void *userdata) {
        struct conversion *c = userdata;

        c->soon = sd_event_source_disable_unref(c->soon);
        next_call(c);
        return 0;
}

static int conversion_new(struct api *a, const struct kind *k, const char *to, size_t item_count,
                size_t count, struct conversion **ret, struct problem *p) {
        _cleanup_(conversion_freep) struct conversion *c = NULL;
        struct converter *converter = NULL;
        int r = converter_get(a->conversions, k, &converter, p);

        if (r < 0)
                return r;
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        LIST_INSERT_HEAD(&a->conversions->under_way, c, entry);
        c->all = a->conversions;
        c->kind = kind_ref(k);
        c->config = webhook_config_ref(converter->config);
        c->version = converter->version;
        c->to = strdup(to);
        c->objects = calloc(count + 1, sizeof(*c->objects));
        c->made = calloc(count + 1, sizeof(*c->made));
        c->places = calloc(count + 1, sizeof(*c->places));
        c->items = item_count > 0 ? calloc(item_count, sizeof(*c->items)) : NULL;
        c->forms = item_count > 0 ? calloc(item_count, sizeof(*c->forms)) : NULL;
        if (!c->to || !c->objects || !c->made || !c->places ||
                        (item_count > 0 && (!c->items || !c->forms)))
                return -ENOMEM;
        r = sd_event_add_defer(a->event, &c->soon, on_soon, c);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

bool conversion_is_needed(struct item *it, const struct kind *k) {
        return k->by_webhook && !item_has_api_version(it, k->api_version) &&
               !item_form(it, k->serial);
}

int conversion_start(struct api *a, const struct kind *k, struct item *const *items, size_t n,
                conversion_done done, void *userdata, struct conversion **ret, struct problem *p) {
        _cleanup_(conversion_freep) struct conversion *c = NULL;
        size_t needed = 0;
        int r;

        for (size_t i = 0; i < n; i++)
                needed += conversion_is_needed(items[i], k);
        if (needed == 0)
                return 0;
        r = conversion_new(a, k, k->api_version, n, needed, &c, p);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                c->items[c->item_count++] = item_ref(items[i]);
                if (!conversion_is_needed(items[i], k))
                        continue;
                c->objects[c->count] = item_object_once(items[i]);
                c->places[c->count] = i;
                if (!c->objects[c->count])
                        return -ENOMEM;
                c->count++;
        }
        c->done = done;
        c->userdata = userdata;
        if (ret)
                *ret = c;
        c = NULL;
        return 1;
}

struct conversion *conversion_cancel(struct conversion *c) {
        if (!c)
                return NULL;
        if (c->is_called)
                c->is_cancelled = true; /* the answer frees it */
        else
                conversion_free(c);
        return NULL;
}

int conversion_to_storage(struct api *a, const struct kind *k, json_t *object,
                conversion_stored done, void *userdata, struct problem *p) {
        struct conversion *c = NULL;
        int r = conversion_new(a, k, k->storage_api_version, 0, 1, &c, p);

        if (r < 0)
                return r;
        c->objects[c->count++] = json_incref(object);
        c->stored = done;
        c->userdata = userdata;
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
        *ret = TAKE_PTR(all);
        return 0;
}

struct conversions *conversions_free(struct conversions *all) {
        if (!all)
                return NULL;
        webhook_clients_free(all->clients);
        while (!LIST_EMPTY(&all->under_way))
                conversion_free(LIST_FIRST(&all->under_way));
        while (!LIST_EMPTY(&all->converters)) {
                struct converter *c = LIST_FIRST(&all->converters);

                LIST_REMOVE(c, entry);
                converter_free(c);
        }
        return mfree(all);
}
