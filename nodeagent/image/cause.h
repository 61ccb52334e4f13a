/* Why an image could not be had, as a word for programs; struct problem has the sentence. */
#pragma once

#include "lib/problem.h"

enum image_cause {
        IMAGE_CAUSE_NONE,
        IMAGE_CAUSE_NAME,         /* the reference is not valid */
        IMAGE_CAUSE_UNAUTHORIZED, /* 401, 403: no or wrong credentials */
        IMAGE_CAUSE_NOT_FOUND,    /* 404: no such repository, tag or digest */
        IMAGE_CAUSE_RATE_LIMITED, /* 429 */
        IMAGE_CAUSE_UNAVAILABLE,  /* cannot be reached, TLS, 5xx, cut off */
        IMAGE_CAUSE_SLOW,         /* no progress within the time limit */
        IMAGE_CAUSE_DIGEST,       /* bytes that do not have their digest */
        IMAGE_CAUSE_PLATFORM,     /* not for this machine's platform */
        IMAGE_CAUSE_INVALID,      /* manifest, configuration or layer cannot be read */
        IMAGE_CAUSE_UNSAFE,       /* a layer leaves its root */
        IMAGE_CAUSE_TOO_LARGE,    /* above one of the limits */
        IMAGE_CAUSE_DISK,         /* the machine's disk is full or broken */
        IMAGE_CAUSE_INTERNAL,     /* anything else: a bug, memory */
        IMAGE_CAUSE_COUNT,
};

/* "unauthorized", "notFound", ...; "" for NONE. */
const char *image_cause_text(enum image_cause cause);
enum image_cause image_cause_from_text(const char *text); /* INTERNAL when it is not one */
/* Fills p and returns -error, as problem_set(). The cause is kept in p->field (its text), the
 * reason is ErrImagePull, or InvalidImageName for NAME. */
int image_problem(struct problem *p, int error, enum image_cause cause, const char *fmt, ...)
                _printf_(4, 5);
/* The same for an errno value of a file of the store; what: what was done to which file. */
int image_disk_problem(struct problem *p, int error, const char *what);
/* The cause that image_problem() gave; INTERNAL for other problems. */
enum image_cause image_problem_cause(const struct problem *p);
