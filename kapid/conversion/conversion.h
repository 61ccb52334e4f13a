/* Conversions of custom resources by the webhook of their definition. What needs one cannot be
 * read at once: who reads asks for the forms first, and reads them with item_as() when they are
 * there (kapid/pipeline/forms.h). */
#pragma once

#include "kapid/http/request.h"

enum {
        CONVERSION_OBJECTS_MAX = 200, /* of one call */
        CONVERSION_BYTES_MAX = 1 << 20,
        CONVERSION_TIMEOUT_S = 30, /* as Kubernetes */
        CONVERSION_TOTAL_S = 60,   /* of all calls */
        CONVERSIONS_MAX = 256,     /* under way, half of what is free for each user */
        CONVERSIONS_BYTES_MAX = 64 << 20,
};

struct conversions;
int conversions_new(struct conversions **ret, struct api *a);
/* Conversions under way are forgotten without their callbacks. */
struct conversions *conversions_free(struct conversions *c);
DEFINE_CLEANUP(struct conversions *, conversions_free);

/* Whether the item has no form of the kind yet and only the webhook can make it. */
bool conversion_is_needed(struct item *it, const struct kind *k);

/* Once, never before the start has returned. p NULL: each item has its form, until another version
 * of the kind is read (forms.h). forms[i] is that of items[i], borrowed; NULL where no webhook is
 * needed, and item_as() makes it. */
typedef void (*conversion_done)(
                struct item *const *forms, size_t n, struct problem *p, void *userdata);
/* p NULL: the object in the version that was asked for; the callback takes it. */
typedef void (*conversion_stored)(json_t *object, struct problem *p, void *userdata);
struct conversion_waiter {
        /* One of them. */
        conversion_done done;
        conversion_stored stored;
        /* Borrowed. When its client is gone the call under way ends and no other is made
           (-ECANCELED). NULL: it ends with a cancel alone. */
        struct request *request;
        const char *user; /* whose share it takes, where there is no request */
        void *userdata;
};

struct conversion;
/* Makes the forms that are missing. 0: none is, done is not called; 1: it will be. Refuses with p;
 * -EBUSY: too many are under way (429). */
int conversion_start(struct api *a, const struct kind *k, struct item *const *items, size_t n,
                const struct conversion_waiter *waiter, struct conversion **ret, struct problem *p);
/* Its callback will not be called. NULL is fine; returns NULL. */
struct conversion *conversion_cancel(struct conversion *c);
/* An object of the kind in another of its versions, for `stored`. Refuses likewise. */
int conversion_to(struct api *a, const struct kind *k, const char *to_api_version, json_t *object,
                const struct conversion_waiter *waiter, struct problem *p);
/* An object in the kind's version as it is stored. Refuses likewise. */
int conversion_to_storage(struct api *a, const struct kind *k, json_t *object,
                const struct conversion_waiter *waiter, struct problem *p);
