/* ConversionReview, the message to the webhook of a CustomResourceDefinition that converts its
 * objects from one version to another, and its answer. Pure. */
#pragma once

#include "lib/json.h"

/* The message; version: of the ConversionReview. NULL when out of memory. */
json_t *conversion_review(const char *version, const char *uid, const char *to_api_version,
                json_t *const *objects, size_t count);

/* What a message was about. */
struct conversion_question {
        const char *version, *uid, *to_api_version;
        json_t *const *objects;
        size_t count;
};
/* The converted objects in the order of the message's: new references in ret_objects, which has
 * room for them. All metadata but labels and annotations are those of the message's objects.
 * -EINVAL with a sentence in *ret_why (the caller frees it) when the answer is a failure or is not
 * what it has to be: nothing is returned then; -ENOMEM. */
int conversion_answer(const struct conversion_question *q, const char *body, size_t n,
                json_t **ret_objects, char **ret_why);
