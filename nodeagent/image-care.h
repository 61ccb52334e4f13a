/* The images of this machine as a whole: what the Node reports of them, and which are removed when
 * the disk fills (image/gc.h decides). */
#pragma once

#include "nodeagent/agent.h"

struct image_care;

/* Borrows agent, whose images, pulls and pods must be there. -ENOMEM, errno. */
int image_care_new(struct image_care **ret, struct agent *agent);
struct image_care *image_care_free(struct image_care *c);
DEFINE_CLEANUP(struct image_care *, image_care_free);
/* Node.status.images as it is now; borrowed until the next call. NULL: not known. */
const json_t *image_care_status(struct image_care *c);

/* --- pure (node-images.c) --- */

/* Node.status.images of the store's records: the largest 50, each with at most 5 names. The caller
 * unrefs; NULL when out of memory. */
json_t *node_images(const json_t *records) _warn_unused_;
