/* Ephemeral containers (KEP-277): they start as soon as the pod has its network and volumes, also
 * while its init containers run or fail, and never again. */
#include "nodeagent/pod/decide.h"

/* The ConfigMaps and Secrets of a container that was added a moment ago may not be here yet. */
static bool is_fetching(const struct pod_view *v) {
        return v->resources_wanted && (v->fetching || v->now_us >= v->fetch_us);
}

void decide_ephemeral(struct decide *d) {
        for (size_t i = 0; i < d->v->count; i++) {
                const struct container_view *c = &d->v->containers[i];

                if (!c->record->ephemeral)
                        continue;
                /* For an image, decide_images() says that it waits. */
                if (!c->there && (c->image.state != IMAGE_READY || is_fetching(d->v)))
                        continue;
                (void)decide_container(d, i);
        }
}

void decide_stop_ephemeral(struct decide *d) {
        for (size_t i = 0; i < d->v->count; i++) {
                const struct container_view *c = &d->v->containers[i];

                if (c->record->ephemeral && c->there && decide_is_active(c) &&
                                !decide_is_asked(d, i))
                        decide_stop(d, i);
        }
}
