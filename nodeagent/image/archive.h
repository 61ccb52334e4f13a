/* Images in a folder: an OCI layout (OCI image spec, image-layout.md), or the files of a
 * `docker save` or `podman save` archive. The folder may have come from an archive, so nothing in
 * it is believed: documents are bounded and checked against their digests, and no link leads out.
 */
#pragma once

#include "lib/json.h"
#include "nodeagent/image/cause.h"
#include "nodeagent/image/manifest.h"
#include "nodeagent/image/reference.h"

struct archive_image {
        char id[IMAGE_DIGEST_SIZE];     /* of the configuration */
        char digest[IMAGE_DIGEST_SIZE]; /* of the manifest or index; "" of docker save */
        json_t *config;                 /* of image_config_parse() */
        json_t *names;                  /* array of full references; may be empty */
        char **layer_paths;             /* relative to the folder; the lowest first */
};
struct archive_images {
        struct archive_image *items;
        size_t count, allocated;
};
void archive_images_done(struct archive_images *a);
#define _cleanup_archive_images_ _cleanup_(archive_images_done)
enum { ARCHIVE_IMAGES_MAX = 256 };

/* The images of the open folder for the platform; those for others are left out. name: a reference
 * for an image that has none, or NULL. Layers are checked when they are unpacked. -EINVAL and
 * others with p: it is neither form, or holds no image for this machine. */
int archive_find(int folder, const struct image_platform *platform, const char *name,
                struct archive_images *ret, struct problem *p);
/* Opens a file of the folder for reading. -ENOENT, errno. */
int archive_open(int folder, const char *path);
