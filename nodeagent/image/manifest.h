/* Manifests, indexes and configurations of images: OCI image spec 1.1 (manifest.md, image-index.md,
 * config.md) and Docker's image manifest v2 schema 2. Pure; all sizes are bounded, because every
 * byte comes from outside. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

enum {
        IMAGE_MANIFEST_SIZE_MAX = 4 << 20, /* of a manifest or an index, as registries limit it */
        IMAGE_CONFIG_SIZE_MAX = 4 << 20,
        IMAGE_LAYERS_MAX = 256,
        IMAGE_INDEX_ENTRIES_MAX = 1024,
};

/* For the Accept header of a request for a manifest. */
#define IMAGE_MANIFEST_TYPES \
        "application/vnd.oci.image.index.v1+json, " \
        "application/vnd.docker.distribution.manifest.list.v2+json, " \
        "application/vnd.oci.image.manifest.v1+json, " \
        "application/vnd.docker.distribution.manifest.v2+json"

/* In the words of Go's GOOS and GOARCH, which images use. */
struct image_platform {
        const char *os;           /* "linux" */
        const char *architecture; /* "amd64", "arm64", "arm" */
        const char *variant;      /* "v7"; "" where the architecture has none */
};
/* This machine's; static strings. */
struct image_platform image_platform_of_machine(void);

/* A blob that a document names. */
struct image_blob {
        char *digest; /* valid */
        uint64_t size;
};

struct image_manifest {
        struct image_blob config;
        struct image_blob *layers; /* the lowest first */
        size_t layer_count;
};
void image_manifest_done(struct image_manifest *m);
#define _cleanup_image_manifest_ _cleanup_(image_manifest_done)

/* Whether the document is an index (or Docker's manifest list): by mediaType, else by its members.
 */
bool image_document_is_index(const json_t *document);
/* The entry of an index for the platform: the best of those whose os and architecture are equal and
 * whose variant the machine can run (v7 runs v6 and v5, amd64 v2 runs v1; an arm64 entry without a
 * variant is v8). Attestations (platform unknown/unknown) never match. The caller frees
 * ret->digest. -ENOENT with p, which lists the platforms that there are; -EINVAL with p. */
int image_index_choose(const json_t *index, const struct image_platform *platform,
                struct image_blob *ret, struct problem *p);
/* Reads a manifest. -EINVAL with p: not a manifest of an image that can run, a bad digest or size,
 * too many layers, an unknown form of a layer; schema 1 is named as such. */
int image_manifest_parse(const json_t *document, struct image_manifest *ret, struct problem *p);

/* Reads a configuration and returns what is honoured, in a fixed form:
 *
 *      {"os", "architecture", "variant", "created",
 *       "layers": [diff id, the lowest first],
 *       "config": {"Entrypoint": [word], "Cmd": [word], "Env": ["NAME=value"], "User": "nginx",
 *                  "WorkingDir": "/", "StopSignal": "SIGTERM", "Volumes": ["/data"],
 *                  "ExposedPorts": ["80/tcp"]}}
 *
 * Empty members of "config" are left out, all other members of the image's configuration too.
 * layer_count: of the manifest; the numbers must be equal. A configuration for another os or
 * architecture than the platform's is refused. *ret: a new reference. -EINVAL with p, -ENOMEM. */
int image_config_parse(const json_t *document, size_t layer_count,
                const struct image_platform *platform, json_t **ret, struct problem *p);
