/* The format of all that kapid keeps in the store (lib/formats.h), under a key of its own: a kapid
 * of an earlier version must not read, or worse write, what it does not know. */
#pragma once

#include "kapid/api.h"

#define STORE_FORMAT_KEY "/keelson/format"

struct store_format;
/* Checks the store's format as soon as the store can be reached, writes it where it is older, and
 * lets the caches begin. The process exits with a message when it is newer. */
int store_format_start(struct store_format **ret, struct api *a);
struct store_format *store_format_free(struct store_format *f);
/* The connection came. */
void store_format_on_store(struct store_format *f);

enum store_format_verdict {
        STORE_FORMAT_CURRENT,
        STORE_FORMAT_OLDER, /* or none: it is to be written */
        STORE_FORMAT_NEWER,
        STORE_FORMAT_UNKNOWN, /* not a number */
};
/* value NULL: there is none. Pure. */
enum store_format_verdict store_format_judge(const char *value, unsigned *ret_format);
