/* Deployment: how old pods are replaced (spec.strategy), and how all sets are scaled when
 * spec.replicas changes in the middle of a rollout. */
#include "lib/object.h"
#include "reconcilers/workloads/deployment-internal.h"

static int64_t clamp(int64_t v, int64_t low, int64_t high) {
        return v < low ? low : v > high ? high : v;
}

/* Updates the new set, or creates it, and scales it to that many replicas. False when that waits
 * for the next round. */
static bool keep_new_set(const struct rollout *d, struct actions *a, int64_t replicas) {
        if (!d->new_set) {
                rollout_create_set(d, a, replicas);
                return false;
        }
        if (rollout_update_set(d, a))
                return false;
        rollout_scale(d, a, d->new_set, replicas);
        return true;
}

/* --- RollingUpdate --- */

static void read_rolling(struct rollout *d) {
        const json_t *rolling = json_at(d->deployment, "spec.strategy.rollingUpdate");

        d->surge = int_or_percent(json_object_get(rolling, "maxSurge"), d->replicas,
                        /* round_up= */ true, (d->replicas + 3) / 4);
        d->unavailable = int_or_percent(json_object_get(rolling, "maxUnavailable"), d->replicas,
                        /* round_up= */ false, d->replicas / 4);
        if (d->surge == 0 && d->unavailable == 0)
                d->unavailable = 1; /* otherwise nothing could ever move */
        d->unavailable = MIN(d->unavailable, d->replicas);
}

/* How many pods of the new template there may be now, given how many all sets have together. */
static int64_t new_replicas_allowed(const struct rollout *d) {
        int64_t now = d->new_set ? set_replicas(d->new_set) : 0;
        int64_t total = sets_spec_replicas(d);

        if (now > d->replicas)
                return d->replicas;
        if (total >= d->replicas + d->surge)
                return now;
        return MIN(now + (d->replicas + d->surge - total), d->replicas);
}

/* Available pods that stay: those that were already scaled away no longer count, though the status
 * may still name them. */
static int64_t set_available(const json_t *rs) {
        return clamp(set_status(rs, "availableReplicas"), 0, set_replicas(rs));
}

static int64_t sets_available(const struct rollout *d) {
        int64_t sum = 0;

        for (size_t i = 0; i < d->sets.count; i++)
                sum += set_available(d->sets.items[i]);
        return sum;
}

/* Scales old sets down by what is over the minimum of available pods; unavailable pods go first. */
static void scale_down_old(const struct rollout *d, struct actions *a) {
        int64_t total = sets_spec_replicas(d);
        int64_t min_available = d->replicas - d->unavailable;
        int64_t new_unavailable = set_replicas(d->new_set) - set_available(d->new_set);
        int64_t max_scaled_down = total - min_available - new_unavailable, max_available_down;

        if (max_scaled_down <= 0)
                return;
        max_available_down = sets_available(d) - min_available;
        for (size_t i = 0; i < d->sets.count && max_scaled_down > 0; i++) {
                const json_t *rs = d->sets.items[i];
                int64_t size = set_replicas(rs), unavailable, available;

                if (rs == d->new_set || size == 0)
                        continue;
                unavailable = clamp(size - set_available(rs), 0, max_scaled_down);
                max_scaled_down -= unavailable;
                available = clamp(size - unavailable, 0,
                                clamp(max_available_down, 0, max_scaled_down));
                max_available_down -= available;
                max_scaled_down -= available;
                rollout_scale(d, a, rs, size - unavailable - available);
        }
}

static void roll_gradually(const struct rollout *d, const struct world *w, struct actions *a) {
        if (keep_new_set(d, a, new_replicas_allowed(d)))
                scale_down_old(d, a);
}

const struct rollout_strategy rolling_update_strategy = {.type = "RollingUpdate",
                .read = read_rolling,
                .roll = roll_gradually,
                .keeps_several_sets = true};

/* --- Recreate --- */

static void read_recreate(struct rollout *d) {
        d->surge = d->unavailable = 0;
}

static bool old_pods_exist(const struct rollout *d, const struct world *w) {
        for (size_t i = 0; i < d->sets.count; i++) {
                _cleanup_objects_ struct objects pods = {0};

                if (d->sets.items[i] == d->new_set)
                        continue;
                world_list(w, WORLD_PODS_BY_OWNER, object_uid(d->sets.items[i]), &pods);
                for (size_t k = 0; k < pods.count; k++)
                        if (!pod_is_finished(pods.items[k]))
                                return true;
        }
        return false;
}

static void recreate(const struct rollout *d, const struct world *w, struct actions *a) {
        bool scaled_down = false;

        for (size_t i = 0; i < d->sets.count; i++) {
                const json_t *rs = d->sets.items[i];

                if (rs == d->new_set || set_replicas(rs) == 0)
                        continue;
                rollout_scale(d, a, rs, 0);
                scaled_down = true;
        }
        if (!scaled_down && !old_pods_exist(d, w))
                keep_new_set(d, a, d->replicas);
}

const struct rollout_strategy recreate_strategy = {
                .type = "Recreate", .read = read_recreate, .roll = recreate};

/* --- scaling all sets in proportion --- */

bool rollout_is_scaling(const struct rollout *d) {
        for (size_t i = 0; i < d->sets.count; i++) {
                const json_t *rs = d->sets.items[i];

                if (set_replicas(rs) > 0 && set_scaled_for(rs) >= 0 &&
                                set_scaled_for(rs) != d->replicas)
                        return true;
        }
        return false;
}

/* The share of `rs` in a change of `delta`, by its part of what the sets were meant to have. */
static int64_t fair_share(const struct rollout *d, const json_t *rs, int64_t delta) {
        const char *text = object_annotation(rs, MAX_ANNOTATION);
        int64_t was = 0, size = set_replicas(rs), share;

        if (!text || parse_i64(text, &was) < 0 || was <= 0)
                was = MAX(sets_spec_replicas(d), (int64_t)1);
        share = (size * (d->replicas + d->surge) * 2 + was) / (2 * was) - size; /* rounded */
        return delta > 0 ? clamp(share, 0, delta) : clamp(share, delta, 0);
}

struct share {
        const json_t *set;
        int64_t size, change;
        size_t age; /* its place in rollout.sets: the oldest is 0 */
        bool growing;
};

/* The largest first; of equal ones the newest when growing, the oldest when shrinking. */
static int compare_shares(const void *x, const void *y) {
        const struct share *a = x, *b = y;

        if (a->size != b->size)
                return a->size > b->size ? -1 : 1;
        return (a->age > b->age) == a->growing ? -1 : 1;
}

/* Each set gets its fair share of the change; what rounding leaves goes to the largest. */
static void scale_in_proportion(const struct rollout *d, struct actions *a) {
        int64_t allowed = d->replicas > 0 ? d->replicas + d->surge : 0;
        int64_t delta = allowed - sets_spec_replicas(d), left = delta;
        struct share *shares = calloc(d->sets.count, sizeof(*shares));
        size_t n = 0;

        assert(shares);
        for (size_t i = 0; i < d->sets.count; i++)
                if (set_replicas(d->sets.items[i]) > 0)
                        shares[n++] = (struct share){.set = d->sets.items[i],
                                        .size = set_replicas(d->sets.items[i]),
                                        .age = i,
                                        .growing = delta > 0};
        qsort(shares, n, sizeof(*shares), compare_shares);
        for (size_t i = 0; i < n; i++) {
                shares[i].change = fair_share(d, shares[i].set, left);
                left -= shares[i].change;
        }
        shares[0].change += left;
        for (size_t i = 0; i < n; i++)
                rollout_scale(d, a, shares[i].set,
                                MAX(shares[i].size + shares[i].change, (int64_t)0));
        free(shares);
}

void rollout_scale_all(const struct rollout *d, struct actions *a) {
        const json_t *active = NULL;
        size_t active_count = 0;

        for (size_t i = 0; i < d->sets.count; i++)
                if (set_replicas(d->sets.items[i]) > 0) {
                        active = d->sets.items[i];
                        active_count++;
                }
        if (active_count == 0)
                active = d->new_set;
        if (active_count > 1 && d->strategy->keeps_several_sets)
                scale_in_proportion(d, a);
        else if (active_count <= 1 && active)
                rollout_scale(d, a, active, d->replicas);
}
