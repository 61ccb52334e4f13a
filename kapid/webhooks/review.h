/* AdmissionReview, the message to a webhook and its answer. Pure. */
#pragma once

#include "kapid/webhooks/match.h"

enum {
        WEBHOOK_MESSAGE_MAX = 32 << 10, /* bytes of a status message */
        WEBHOOK_WARNINGS_MAX = 20,
        WEBHOOK_ANNOTATIONS_MAX = 50,
};

/* The message: a in its own version's form of objects, as k: the version the webhook asked for
 * (objects are in it already). NULL when out of memory. */
json_t *webhook_review(const struct webhook *w, const struct webhook_request *a,
                const struct kind *k, const char *uid);

struct webhook_answer {
        bool allowed;
        json_t *status;      /* of a refusal: a whole Status, in the words of Kubernetes */
        json_t *patch;       /* operations; NULL: none */
        json_t *annotations; /* an object of strings; NULL: none */
        char **warnings;
};
void webhook_answer_done(struct webhook_answer *a);
#define _cleanup_webhook_answer_ _cleanup_(webhook_answer_done)

/* The answer of w to the message with that uid. -EINVAL with a sentence in *ret_why (the caller
 * frees it) when it is not what it has to be; -ENOMEM. */
int webhook_answer_parse(const struct webhook *w, const char *uid, const char *body, size_t n,
                struct webhook_answer *ret, char **ret_why);
