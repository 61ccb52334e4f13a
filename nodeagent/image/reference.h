/* References of images, as Docker and Kubernetes read them (the grammar of
 * github.com/distribution/reference): [host[:port]/]path[:tag][@digest]. Pure. */
#pragma once

#include "lib/base.h"
#include "lib/problem.h"

enum {
        IMAGE_REPOSITORY_MAX = 255, /* characters of host and path together, as in Docker */
        IMAGE_TAG_MAX = 128,
        IMAGE_DIGEST_SIZE = 136, /* "sha512:", 128 hex digits and a NUL */
};

struct image_reference {
        char *registry;   /* "docker.io", "registry.lan:5000", "[fd00::1]:5000" */
        char *repository; /* "library/nginx" */
        char *tag;        /* "latest" when neither tag nor digest was given; NULL: only a digest */
        char *digest;     /* "sha256:<hex>" or NULL */
};

#define _cleanup_image_reference_ _cleanup_(image_reference_done)
void image_reference_done(struct image_reference *r);

/* Whether the text has the form of a reference, of an OCI image: not "", "host" or a path (those
 * are nodeagent/runtime/images.c's). Does not say that it is a valid one. */
bool image_reference_is(const char *text);
/* Parses: "nginx" is docker.io/library/nginx:latest; a first part with a dot, a colon or upper-case
 * letters, or "localhost", is the registry; index.docker.io is docker.io. The caller ends *ret with
 * image_reference_done(). -EINVAL with p (reason InvalidImageName), -ENOMEM. */
int image_reference_parse(const char *text, struct image_reference *ret, struct problem *p);
/* The whole name: "docker.io/library/nginx:1.25", with a digest
 * "docker.io/library/nginx@sha256:..." (a tag beside a digest says nothing and is left out). Caller
 * frees; NULL when out of memory. */
char *image_reference_text(const struct image_reference *r) _warn_unused_;
/* "docker.io/library/nginx". Caller frees; NULL when out of memory. */
char *image_reference_name(const struct image_reference *r) _warn_unused_;
/* Whether the policy of an image without imagePullPolicy is Always: the tag is latest and there is
 * no digest. */
bool image_reference_is_latest(const struct image_reference *r);

/* Whether this is "sha256:" and 64, or "sha512:" and 128, lower-case hex digits. */
bool image_digest_is_valid(const char *text);
