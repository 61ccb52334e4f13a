/* The services and slices that the agent knows, and indexes over them, so that a query costs only
 * what it returns. Nothing here visits every slice for one service. No I/O. */
#pragma once

#include "lib/json.h"
#include "lib/map.h"

struct service_table;

/* A service ("namespace/name") whose slices changed. */
typedef void (*service_touched_func)(const char *service, void *userdata);

/* touched may be NULL. NULL when out of memory. */
struct service_table *service_table_new(service_touched_func touched, void *userdata) _warn_unused_;
struct service_table *service_table_free(struct service_table *t);
DEFINE_CLEANUP(struct service_table *, service_table_free);

/* Adds or replaces an object (keeps a reference); touched is called for the services that it
 * affects. 1; 0 when this version (uid and resourceVersion) is known already; -ENOMEM. */
int service_table_set_service(struct service_table *t, const json_t *service);
int service_table_set_slice(struct service_table *t, const json_t *slice);
/* Removes an object; touched is called as above. key: "namespace/name". 1; 0 when it is not known.
 */
int service_table_drop_service(struct service_table *t, const char *key);
int service_table_drop_slice(struct service_table *t, const char *key);

/* Borrowed; NULL when not known. */
const json_t *service_table_service(const struct service_table *t, const char *key);
/* The array of this service's slices, in the order of their names' arrival; NULL: none. Borrowed.
 */
const json_t *service_table_slices(struct service_table *t, const char *key);
/* {name: service} of a namespace; NULL: none. Borrowed. */
const json_t *service_table_namespace(const struct service_table *t, const char *ns);
/* Whether some slice has this pod as a ready endpoint. */
bool service_table_is_ready(const struct service_table *t, const char *pod_uid);
/* All of them by key, values are objects (json_t *). Borrowed. */
const struct map *service_table_services(const struct service_table *t);
const struct map *service_table_all_slices(const struct service_table *t);
/* The number of slices and endpoints visited since the table was made; tests compare it with the
 * size of a change. */
uint64_t service_table_steps(const struct service_table *t);
