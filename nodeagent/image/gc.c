/* The kubelet's order: images that are unused for the longest time first, of those the ones that
 * were pulled first. */
#include "nodeagent/image/gc.h"

#include "lib/timefmt.h"
#include "lib/vector.h"

const struct image_gc_policy image_gc_policy_default = {
                .high_percent = 85, .low_percent = 80, .age_us_min = UINT64_C(120) * 1000000};

struct candidate {
        const char *id;
        uint64_t used_us, pulled_us, size_bytes;
};
struct candidates {
        struct candidate *items;
        size_t count, allocated;
};

void image_gc_plan_done(struct image_gc_plan *p) {
        json_decref(p->remove);
        *p = (struct image_gc_plan){0};
}

static uint64_t time_of(const json_t *image, const char *member) {
        uint64_t us;

        return time_parse(json_str_or(image, member, ""), &us) == 0 ? us : 0;
}

static bool is_in_use(const json_t *image, const json_t *in_use) {
        const json_t *name;
        size_t i;

        if (json_get(in_use, json_str_or(image, "id", ""), NULL))
                return true;
        json_array_foreach (json_at(image, "names"), i, name)
                if (json_get(in_use, json_string_value(name), NULL))
                        return true;
        return false;
}

static uint64_t age_of(uint64_t then_us, uint64_t now_us) {
        return then_us < now_us ? now_us - then_us : 0;
}

/* Images that may go. */
static int collect(const json_t *images, const json_t *in_use, const struct image_gc_policy *policy,
                uint64_t wall_us, struct candidates *ret) {
        const json_t *image;
        size_t i;

        json_array_foreach (images, i, image) {
                struct candidate c = {.id = json_str(image, "id"),
                                .used_us = time_of(image, "lastUsed"),
                                .pulled_us = time_of(image, "pulled"),
                                .size_bytes = (uint64_t)MAX(
                                                json_int_or(image, "size", 0), (int64_t)0)};
                int r;

                c.used_us = MAX(c.used_us, c.pulled_us);
                if (!c.id || json_bool_or(image, "pinned", false) || is_in_use(image, in_use) ||
                                age_of(c.pulled_us, wall_us) < policy->age_us_min)
                        continue;
                r = vector_append(ret, c);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compare(const void *a, const void *b) {
        const struct candidate *x = a, *y = b;

        if (x->used_us != y->used_us)
                return x->used_us < y->used_us ? -1 : 1;
        if (x->pulled_us != y->pulled_us)
                return x->pulled_us < y->pulled_us ? -1 : 1;
        return strcmp(x->id, y->id);
}

static uint64_t bytes_to_free(
                const struct image_gc_disk *disk, const struct image_gc_policy *policy) {
        uint64_t size = disk->size_bytes, used = size - MIN(disk->free_bytes, size),
                 percent = size / 100;

        if (size == 0 || used / MAX(percent, UINT64_C(1)) < policy->high_percent)
                return 0;
        return used - MIN(used, percent * policy->low_percent);
}

static int decide(const struct candidates *candidates, const struct image_gc_policy *policy,
                uint64_t wall_us, struct image_gc_plan *plan) {
        for (size_t i = 0; i < candidates->count; i++) {
                const struct candidate *c = &candidates->items[i];
                bool too_old = policy->age_us_max > 0 &&
                               age_of(c->used_us, wall_us) > policy->age_us_max;

                if (!too_old && plan->freed_bytes >= plan->wanted_bytes)
                        continue;
                if (json_array_append_new(plan->remove, json_string(c->id)) < 0)
                        return -ENOMEM;
                plan->freed_bytes += c->size_bytes;
        }
        return 0;
}

static void candidates_done(struct candidates *c) {
        vector_done(c);
}

int image_gc_decide(const json_t *images, const json_t *in_use, const struct image_gc_disk *disk,
                const struct image_gc_policy *policy, uint64_t wall_us, struct image_gc_plan *ret) {
        _cleanup_image_gc_plan_ struct image_gc_plan plan = {
                        .remove = json_array(), .wanted_bytes = bytes_to_free(disk, policy)};
        _cleanup_(candidates_done) struct candidates candidates = {0};
        int r = collect(images, in_use, policy, wall_us, &candidates);

        if (r < 0)
                return r;
        if (!plan.remove)
                return -ENOMEM;
        if (candidates.count > 0)
                qsort(candidates.items, candidates.count, sizeof(*candidates.items), compare);
        r = decide(&candidates, policy, wall_us, &plan);
        if (r < 0)
                return r;
        *ret = plan;
        plan = (struct image_gc_plan){0};
        return 0;
}
