/* What an informer asks the API for: a page of a list, or a watch. */
#pragma once

#include "lib/client/api.h"

struct informer_request {
        const struct api_resource *resource;
        const char *ns;
        const char *resource_version; /* of a watch; NULL: a list */
        const char *continue_token, *label_selector, *field_selector; /* NULL or "": none */
        bool metadata_only;
        bool small; /* the pages: usual ones were too large */
};
/* NULL when out of memory. Caller frees. */
char *informer_request_path(const struct informer_request *r) _warn_unused_;
/* NULL: the usual one. */
const char *informer_request_accept(const struct informer_request *r);
/* Of a list with a bound. */
unsigned informer_pages_max(bool small);
