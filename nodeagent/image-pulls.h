/* Pulls of images for the pods of this node. A pull is a run of keelson-image in a unit of its own
 * (image/job.h): the agent only asks, follows its answers in a file and is never held up. */
#pragma once

#include "nodeagent/agent.h"

struct image_pulls;
struct image_wait;

/* Borrows agent, whose units must be there. -ENOMEM, errno. */
int image_pulls_new(struct image_pulls **ret, struct agent *agent);
/* Stops the pulls that run; nobody may wait for one any longer. */
struct image_pulls *image_pulls_free(struct image_pulls *s);
DEFINE_CLEANUP(struct image_pulls *, image_pulls_free);

struct image_pull_result {
        const json_t *image;           /* the store's record, or NULL */
        const struct problem *problem; /* why not; NULL: success */
        uint64_t took_us, waited_us;   /* the pull itself, and its wait for others before it */
};

struct image_want {
        const char *image;         /* full reference; copied */
        const json_t *credentials; /* array, for image/credentials.h; borrowed, immutable */
        void (*done)(const struct image_pull_result *result, void *userdata);
        void (*progress)(void *userdata); /* image_wait_text() has changed */
        void *userdata;
};

/* Asks for an image. Whoever asks with the same credentials while it is being pulled waits for the
 * same pull; at most a few run at once, the others wait for their turn. done is called once, never
 * from inside; the wait is gone then. *ret is the caller's until done or image_wait_cancel().
 * -ENOMEM. */
int image_pulls_want(struct image_pulls *s, const struct image_want *want, struct image_wait **ret);
/* Not called back after it; a pull that nobody waits for is stopped. NULL is fine; returns NULL. */
struct image_wait *image_wait_cancel(struct image_wait *w);
/* How far the pull is, in words; NULL: nothing to say. Borrowed until the next event. */
const char *image_wait_text(const struct image_wait *w);
/* Deletes in a unit of its own what removed images have left on the disk. Errors are logged. */
void image_pulls_sweep(struct image_pulls *s);
