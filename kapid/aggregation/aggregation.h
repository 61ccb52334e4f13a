/* Extension API servers behind APIServices: requests of their groups and versions are
 * authenticated and authorized here like any other, and passed on to them (docs/aggregation.md).
 *
 *   apiservice.c   objects read and decided upon (pure)     pass-on.c      requests to them
 *   aggregation.c  the set of remote ones                   auth-config.c  what they trust (pure)
 *   probe.c        whether they answer, and with what       publish.c      objects kapid writes
 *
 * Who we are to them is kapid/auth/front-proxy.h. */
#pragma once

#include "kapid/api.h"

struct aggregation;
struct remote; /* a version of a group that another server serves; counted */

/* They are called as a->front_proxy. */
int aggregation_new(struct aggregation **ret, struct api *a);
struct aggregation *aggregation_free(struct aggregation *g);
DEFINE_CLEANUP(struct aggregation *, aggregation_free);
/* A change of any cache; both NULL after a reload. */
void aggregation_on_change(
                struct aggregation *g, const struct cache *c, const struct change *change);

/* The server of a group's version; borrowed. NULL: kapid itself, or nobody. g may be NULL. */
struct remote *aggregation_find(struct aggregation *g, const char *group, const char *version);
struct remote *remote_ref(struct remote *r);
struct remote *remote_unref(struct remote *r);

/* All that are served elsewhere, for discovery. */
struct remote *aggregation_first(struct aggregation *g);
struct remote *remote_next(struct remote *r);
const char *remote_group(const struct remote *r);
const char *remote_version(const struct remote *r);
void remote_priorities(const struct remote *r, int64_t *ret_group, int64_t *ret_version);
bool remote_is_available(const struct remote *r);
/* The APIResourceList that it gave last; NULL: none yet. Borrowed. */
const json_t *remote_resources(const struct remote *r);
/* The hash of its OpenAPI v3 document; NULL: it has none. */
const char *remote_openapi_hash(const struct remote *r);
/* Its part of the OpenAPI v2 document (discovery/merge-v2.h), as text; NULL: it has none. */
const char *remote_openapi_v2(const struct remote *r);
/* Grows when what discovery says may have changed. */
uint64_t aggregation_generation(const struct aggregation *g);

/* Ends what waits for a server or has left HTTP; how many there were. user: who asked, whoever they
 * act as. Open streams are the API's own (request->carrier). g may be NULL. */
size_t aggregation_end_of(struct aggregation *g, const char *user);

/* Passes a request with request->remote on, in its turn of dispatch. */
struct request;
void aggregation_pass_on(struct request *request);
