/* Views of what every API object has: type and metadata. All borrow from the object. */
#pragma once

#include "lib/json.h"

const char *object_kind(const json_t *o); /* "" when absent; likewise below */
const char *object_api_version(const json_t *o);
const char *object_name(const json_t *o);
const char *object_namespace(const json_t *o);
const char *object_uid(const json_t *o);
/* The resourceVersion as a number; 0 when absent or not a number. */
uint64_t object_resource_version(const json_t *o);
int64_t object_generation(const json_t *o);
bool object_is_deleting(const json_t *o);                        /* has a deletionTimestamp */
const char *object_label(const json_t *o, const char *key);      /* NULL when absent */
const char *object_annotation(const json_t *o, const char *key); /* NULL when absent */
bool object_has_finalizer(const json_t *o, const char *name);
/* The owner reference with controller: true, or NULL. */
const json_t *object_controller_ref(const json_t *o);
/* "namespace/name", or "name" for cluster-scoped objects. Caller frees; NULL when out of memory. */
char *object_key(const json_t *o) _warn_unused_;
/* The condition of that type in status.conditions, or NULL. */
const json_t *object_condition(const json_t *o, const char *type);
/* Whether that condition's status is "True". */
bool object_condition_true(const json_t *o, const char *type);
/* A log line about the object (log_about()); of one whose kind is not in it, say it in `kind`. */
int object_log(int level, int error, const json_t *o, const char *kind, const char *fmt, ...)
                _printf_(5, 6);
/* Leaves of an object what a metadata-only cache keeps: its identity, owners and finalizers. */
void object_trim_to_metadata(json_t *o);
/* Splits "apps/v1" or "v1" into group ("" for core) and version; into fixed buffers. -EINVAL when
 * too long or empty. */
enum { OBJECT_GROUP_SIZE = 254, OBJECT_VERSION_SIZE = 64 };
int object_split_api_version(const char *api_version, char group[static OBJECT_GROUP_SIZE],
                char version[static OBJECT_VERSION_SIZE]);
