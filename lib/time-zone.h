/* Time zones of the tz database: the offset of local time from UTC at any instant. Read from the
 * system's compiled files (RFC 8536), years beyond their tables by the rule at their end. Nothing
 * here uses or changes the process's own zone. */
#pragma once

#include "lib/base.h"

struct time_zone;

/* The zone of that name ("Europe/Berlin") in the system's tz database. -EINVAL: the name has a form
 * that no zone has; -ENOENT: the database has no such zone; -EBADMSG: its file is damaged; other
 * negative errnos of reading it. */
int time_zone_load(const char *name, struct time_zone **ret);
/* From the bytes of a compiled file. -EBADMSG, -ENOMEM. */
int time_zone_parse(const void *data, size_t n, struct time_zone **ret);
struct time_zone *time_zone_free(struct time_zone *z);
DEFINE_CLEANUP(struct time_zone *, time_zone_free);

/* Seconds to add to UTC at an instant (seconds since the epoch). *ret_until: the instant from which
 * on another offset may hold, after `at`; INT64_MAX when none ever does. zone NULL: UTC. */
int32_t time_zone_offset(const struct time_zone *zone, int64_t at, int64_t *ret_until);
