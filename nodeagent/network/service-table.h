/* The services and slices that the agent knows, and indexes over them, so that a query costs only
 * what it returns. Nothing here visits every slice for one service. No I/O. */
#pragma once

#include "lib/map.h"
#include "nodeagent/network/service-endpoints.h"
#include "nodeagent/network/service-view.h"

struct service_table;

/* A service ("namespace/name") or one of its slices was added, changed or removed. Not called for
 * what was known already. It must not change the table. */
typedef void (*service_touched_func)(const char *service, void *userdata);

/* NULL when out of memory. */
struct service_table *service_table_new(void) _warn_unused_;
struct service_table *service_table_free(struct service_table *t);
DEFINE_CLEANUP(struct service_table *, service_table_free);
/* Calls touched from now on, after those that observe already. -ENOMEM. */
int service_table_observe(struct service_table *t, service_touched_func touched, void *userdata);
/* Ends it; nothing when this pair does not observe. */
void service_table_unobserve(struct service_table *t, service_touched_func touched, void *userdata);

/* Adds or replaces an object (keeps a reference); the observers are called for the services that it
 * affects. 1; 0 when this version (uid and resourceVersion) is known already; -ENOMEM. */
int service_table_set_service(struct service_table *t, const json_t *service);
int service_table_set_slice(struct service_table *t, const json_t *slice);
/* Removes an object; the observers are called as above. key: "namespace/name". 1; 0 when it is not
 * known. */
int service_table_drop_service(struct service_table *t, const char *key);
int service_table_drop_slice(struct service_table *t, const char *key);

/* By "namespace/name". Borrowed until the next change of the table; NULL when not known. */
const struct service_view *service_table_service(const struct service_table *t, const char *key);
const struct slice_view *service_table_slice(const struct service_table *t, const char *key);
/* The slices of a service, in the order of their arrival; NULL: none. Borrowed as above. */
const struct slice_list *service_table_slices(struct service_table *t, const char *key);
/* {name: service} of a namespace; NULL: none. Borrowed as above. */
const json_t *service_table_namespace(const struct service_table *t, const char *ns);
/* Whether some slice has this pod as a ready endpoint. */
bool service_table_is_ready(const struct service_table *t, const char *pod_uid);
/* All of them by key; values are struct service_view * and struct slice_view *. Borrowed. */
const struct map *service_table_services(const struct service_table *t);
const struct map *service_table_all_slices(const struct service_table *t);
/* The number of slices and endpoints visited since the table was made; tests compare it with the
 * size of a change. */
uint64_t service_table_steps(const struct service_table *t);
