/* The images of a living pod: a container's image is decided once, before the pod's units are
 * planned, and stays the same until the pod names another one; so restarts and reboots need no
 * registry. Reasons, events and pauses are the kubelet's (pkg/kubelet/images/image_manager.go). */
#include "nodeagent/pod/decide.h"

enum {
        BACKOFF_MIN_US = 10 * 1000000,
        BACKOFF_MAX_US = 300 * 1000000,
        SHOWN_US = 2 * 1000000, /* ErrImagePull, before it is ImagePullBackOff */
        LOOK_US = 5 * 1000000,  /* an image may be put into the store without a pull */
};

void container_memory_new_image(struct container_memory *m) {
        m->pull_backoff_us = m->pull_retry_us = m->pull_shown_us = 0;
        m->pull_failed = false;
}

/* Sets the waiting reason of a container that waits; one that runs (its image was changed) or is
 * in a pause goes on showing that. True when the reason is new. */
static bool wait_for(struct decide *d, size_t i, const char *reason, const char *message) {
        const struct container_record *r = d->v->containers[i].record;

        if (r->phase != CONTAINER_WAITING || streq_ptr(r->reason, "CrashLoopBackOff"))
                return false;
        if (streq_ptr(r->reason, reason) && streq_ptr(r->message, message))
                return false;
        action_wait(&d->out->actions, r->name, reason, message);
        return !streq_ptr(r->reason, reason);
}

/* What only a person can change: announced once, and looked at again from time to time. */
static void refuse(struct decide *d, size_t i, const char *reason, const char *event,
                const char *message) {
        if (wait_for(d, i, reason, message)) {
                action_pod_event(&d->out->actions, "Warning", event, "%s", message);
                if (!streq(event, "Failed"))
                        action_pod_event(
                                        &d->out->actions, "Warning", "Failed", "Error: %s", reason);
        }
        decide_wake(d, d->v->now_us + LOOK_US);
}

static void use(struct decide *d, size_t i) {
        container_memory_new_image(&d->out->containers[i]);
        action_container(&d->out->actions, CONTAINER_USE_IMAGE, d->v->containers[i].record->name);
        d->out->again = true;
}

static void pull(struct decide *d, size_t i) {
        const struct container_view *c = &d->v->containers[i];
        struct container_memory *m = &d->out->containers[i];

        if (d->v->now_us < m->pull_retry_us) {
                decide_wake(d, m->pull_retry_us);
                return;
        }
        m->pull_failed = false;
        action_pod_event(&d->out->actions, "Normal", "Pulling", "Pulling image \"%s\"",
                        c->image.name);
        action_container(&d->out->actions, CONTAINER_PULL, c->record->name);
        d->out->again = true;
}

static void absent(struct decide *d, size_t i) {
        const struct image_view *image = &d->v->containers[i].image;
        bool there = image->state == IMAGE_THERE;
        _cleanup_free_ char *text = NULL;

        if (there && !streq(image->policy, "Always")) {
                action_pod_event(&d->out->actions, "Normal", "Pulled",
                                "Container image \"%s\" already present on machine", image->name);
                use(d, i);
                return;
        }
        if (!streq(image->policy, "Never")) {
                pull(d, i);
                return;
        }
        text = strformat("Container image \"%s\" is not present with pull policy of Never; import "
                         "it with `kctl image import`, or choose another policy",
                        image->name);
        assert(text);
        refuse(d, i, "ErrImageNeverPull", "ErrImageNeverPull", text);
}

static void pulled(struct decide *d, size_t i) {
        const struct image_view *image = &d->v->containers[i].image;

        action_pod_event(&d->out->actions, "Normal", "Pulled",
                        "Successfully pulled image \"%s\" in %.3fs (%.3fs including waiting). "
                        "Image size: %llu bytes.",
                        image->name, (double)image->took_us / 1e6,
                        (double)(image->took_us + image->waited_us) / 1e6,
                        (unsigned long long)image->size_bytes);
        use(d, i);
}

static void note_failure(struct decide *d, size_t i) {
        const struct image_view *image = &d->v->containers[i].image;
        struct container_memory *m = &d->out->containers[i];
        struct actions *a = &d->out->actions;
        uint64_t pause = m->pull_backoff_us == 0
                                         ? (uint64_t)BACKOFF_MIN_US
                                         : MIN(m->pull_backoff_us * 2, (uint64_t)BACKOFF_MAX_US);

        m->pull_failed = true;
        m->pull_backoff_us = pause;
        pause = MAX(pause, image->retry_after_us);
        m->pull_retry_us = d->v->now_us + MIN(pause, (uint64_t)BACKOFF_MAX_US);
        m->pull_shown_us = d->v->now_us + SHOWN_US;
        action_pod_event(a, "Warning", "Failed", "Failed to pull image \"%s\": %s", image->name,
                        image->message);
        action_pod_event(a, "Warning", "Failed", "Error: %s", image->reason);
        (void)wait_for(d, i, image->reason, image->message);
        decide_wake(d, m->pull_shown_us);
}

static void failed(struct decide *d, size_t i) {
        const struct image_view *image = &d->v->containers[i].image;
        struct container_memory *m = &d->out->containers[i];
        _cleanup_free_ char *text = NULL;

        if (!m->pull_failed) {
                note_failure(d, i);
                return;
        }
        if (d->v->now_us >= m->pull_retry_us) {
                pull(d, i);
                return;
        }
        if (d->v->now_us < m->pull_shown_us) {
                decide_wake(d, m->pull_shown_us);
                return;
        }
        decide_wake(d, m->pull_retry_us);
        text = strformat("Back-off pulling image \"%s\": %s: %s", image->name, image->reason,
                        image->message);
        assert(text);
        if (!wait_for(d, i, "ImagePullBackOff", text))
                return;
        action_pod_event(&d->out->actions, "Normal", "BackOff", "Back-off pulling image \"%s\"",
                        image->name);
        action_pod_event(&d->out->actions, "Warning", "Failed", "Error: ImagePullBackOff");
}

static void broken(struct decide *d, size_t i) {
        const struct image_view *image = &d->v->containers[i].image;
        _cleanup_free_ char *text = NULL;

        if (!streq(image->reason, "ImageInspectError")) {
                refuse(d, i, image->reason, "Failed", image->message);
                return;
        }
        text = strformat("Failed to inspect image \"%s\": %s", image->name, image->message);
        assert(text);
        refuse(d, i, image->reason, "InspectFailed", text);
}

static void decide_one(struct decide *d, size_t i) {
        const struct image_view *image = &d->v->containers[i].image;

        switch (image->state) {
        case IMAGE_READY:
                return;
        case IMAGE_INVALID:
                refuse(d, i, "InvalidImageName", "InspectFailed", image->message);
                return;
        case IMAGE_BROKEN:
                broken(d, i);
                return;
        case IMAGE_MISSING:
        case IMAGE_THERE:
                absent(d, i);
                return;
        case IMAGE_PULLING:
                (void)wait_for(d, i, "ContainerCreating", image->message);
                return;
        case IMAGE_PULLED:
                pulled(d, i);
                return;
        case IMAGE_FAILED:
                failed(d, i);
                return;
        }
        assert_not_reached();
}

bool decide_images(struct decide *d) {
        bool all = true;

        for (size_t i = 0; i < d->v->count; i++) {
                decide_one(d, i);
                /* The pod does not wait for what is added to it. */
                all &= d->v->containers[i].image.state == IMAGE_READY ||
                       d->v->containers[i].record->ephemeral;
        }
        return all;
}
