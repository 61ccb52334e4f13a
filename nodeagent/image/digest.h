/* The digest of bytes that come in pieces, in the form that images use: "sha256:<hex>" or
 * "sha512:<hex>" (OCI image spec, descriptor.md). */
#pragma once

#include "nodeagent/image/reference.h"

struct image_hash;
/* For comparing with this digest, or NULL for a sha256 one. NULL when out of memory or when the
 * digest is not valid. */
struct image_hash *image_hash_new(const char *digest) _warn_unused_;
struct image_hash *image_hash_free(struct image_hash *h);
DEFINE_CLEANUP(struct image_hash *, image_hash_free);
void image_hash_add(struct image_hash *h, const void *data, size_t n);
/* The digest of everything added; the next piece begins a new one. */
void image_hash_take(struct image_hash *h, char ret[static IMAGE_DIGEST_SIZE]);
/* Whether the bytes have the digest. False when it is not valid. */
bool image_digest_matches(const char *digest, const void *data, size_t n);
