/* Causes and their words, one table. */
#include "nodeagent/image/cause.h"

#include <stdarg.h>

static const char *const texts[IMAGE_CAUSE_COUNT] = {
                [IMAGE_CAUSE_NONE] = "",
                [IMAGE_CAUSE_NAME] = "name",
                [IMAGE_CAUSE_UNAUTHORIZED] = "unauthorized",
                [IMAGE_CAUSE_NOT_FOUND] = "notFound",
                [IMAGE_CAUSE_RATE_LIMITED] = "rateLimited",
                [IMAGE_CAUSE_UNAVAILABLE] = "unavailable",
                [IMAGE_CAUSE_SLOW] = "slow",
                [IMAGE_CAUSE_DIGEST] = "digest",
                [IMAGE_CAUSE_PLATFORM] = "platform",
                [IMAGE_CAUSE_INVALID] = "invalid",
                [IMAGE_CAUSE_UNSAFE] = "unsafe",
                [IMAGE_CAUSE_TOO_LARGE] = "tooLarge",
                [IMAGE_CAUSE_DISK] = "disk",
                [IMAGE_CAUSE_INTERNAL] = "internal",
};

const char *image_cause_text(enum image_cause cause) {
        assert(cause < IMAGE_CAUSE_COUNT);
        return texts[cause];
}

enum image_cause image_cause_from_text(const char *text) {
        for (size_t i = 0; text && i < ELEMENTS(texts); i++)
                if (streq(texts[i], text))
                        return (enum image_cause)i;
        return IMAGE_CAUSE_INTERNAL;
}

int image_problem(struct problem *p, int error, enum image_cause cause, const char *fmt, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&text, fmt, ap) < 0)
                text = NULL;
        va_end(ap);
        problem_set(p, error, 0, cause == IMAGE_CAUSE_NAME ? "InvalidImageName" : "ErrImagePull",
                        "%s", text ? text : "out of memory");
        return problem_field(p, -error, "%s", image_cause_text(cause));
}

enum image_cause image_problem_cause(const struct problem *p) {
        return p->field ? image_cause_from_text(p->field) : IMAGE_CAUSE_INTERNAL;
}

int image_disk_problem(struct problem *p, int error, const char *what) {
        switch (error) {
        case ENOSPC:
        case EDQUOT:
                return image_problem(p, error, IMAGE_CAUSE_DISK,
                                "%s: the disk of the image store is full; remove images (kctl "
                                "image remove) or make room",
                                what);
        case EROFS:
        case EIO:
                return image_problem(p, error, IMAGE_CAUSE_DISK,
                                "%s: %s; the disk of the image store is broken or read-only", what,
                                strerror(error));
        case EMFILE:
        case ENOMEM:
                return image_problem(p, error, IMAGE_CAUSE_INTERNAL,
                                "%s: %s; the machine or the unit's limits are too small", what,
                                strerror(error));
        default:
                return image_problem(p, error, IMAGE_CAUSE_DISK, "%s: %s", what, strerror(error));
        }
}
