/* Which images to remove when the disk fills: the kubelet's rule (pkg/kubelet/images,
 * image_gc_manager.go). Pure. */
#pragma once

#include "lib/json.h"

struct image_gc_policy {
        unsigned high_percent; /* of the disk in use: begin; 85 */
        unsigned low_percent;  /* remove until no more than this is in use; 80 */
        uint64_t age_us_min;   /* an image stays at least so long after it was pulled; 2 min */
        uint64_t age_us_max;   /* unused for longer: removed whatever the disk says; 0: never */
};
extern const struct image_gc_policy image_gc_policy_default;

struct image_gc_disk {
        uint64_t size_bytes, free_bytes;
};

struct image_gc_plan {
        json_t *remove;        /* ids, the longest unused first; owned */
        uint64_t wanted_bytes; /* to be freed; 0: the disk is not full */
        uint64_t freed_bytes;  /* by these removals at most; less than wanted: an event
                                  FreeDiskSpaceFailed is due */
};
void image_gc_plan_done(struct image_gc_plan *p);
#define _cleanup_image_gc_plan_ _cleanup_(image_gc_plan_done)

/* images: of image_store_list(). in_use: an object whose keys are the ids and names that pods of
 * this machine have (running or not), or NULL. Images in use, pinned or younger than age_us_min
 * stay. -ENOMEM. */
int image_gc_decide(const json_t *images, const json_t *in_use, const struct image_gc_disk *disk,
                const struct image_gc_policy *policy, uint64_t wall_us, struct image_gc_plan *ret);
