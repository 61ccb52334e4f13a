/* The client's side of the distribution API (OCI distribution spec 1.1): manifests and blobs from
 * the endpoints of one repository, with token service, Basic, mirrors, redirects and time limits.
 * Blocks; runs in a process of its own that has no privileges. */
#pragma once

#include "nodeagent/image/cause.h"
#include "nodeagent/image/limits.h"
#include "nodeagent/image/reference.h"

struct registry;

struct registry_options {
        const struct image_reference *reference; /* borrowed while the registry is in use */
        const json_t *credentials;               /* for image_credentials_find() */
        const json_t *settings;                  /* of image_settings_parse(), or NULL */
        struct image_limits limits;
        const char *user_agent;
        /* Called with the bytes of the current blob that have come; may be NULL. */
        void (*on_progress)(uint64_t done, uint64_t total, void *userdata);
        void *userdata;
};

/* 0, -ENOMEM, -EINVAL with p (settings, CA file). */
int registry_new(struct registry **ret, const struct registry_options *options, struct problem *p);
struct registry *registry_free(struct registry *reg);
DEFINE_CLEANUP(struct registry *, registry_free);

/* Fetches a manifest or index: of the reference's tag or digest (digest NULL), else the one that an
 * index named. Tries each endpoint and credential in order; of a failing mirror the next one is
 * tried, and the last problem is the registry's own. The bytes are checked against the digest
 * where one is known. ret_digest: of the bytes. Caller frees *ret (NUL-terminated). Errors fill p
 * by image_problem(); p->retry_after_s is the registry's Retry-After. */
int registry_manifest(struct registry *reg, const char *digest, char **ret, size_t *ret_size,
                char ret_digest[static IMAGE_DIGEST_SIZE], struct problem *p);
/* Fetches a blob of this size into the file, from its beginning on, and checks its digest. A file
 * with other or fewer bytes is an error; the caller removes it. Redirects to other hosts are
 * followed, without the Authorization header. */
int registry_blob(
                struct registry *reg, const char *digest, uint64_t size, int fd, struct problem *p);
