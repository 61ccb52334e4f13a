/* Digests over lib/crypto's hashes. */
#include "nodeagent/image/digest.h"

#include "lib/crypto.h"

struct image_hash {
        struct hash *hash;
        const char *prefix;
};

struct image_hash *image_hash_new(const char *digest) {
        bool is_long = digest && startswith(digest, "sha512:");
        struct image_hash *h;

        if (digest && !image_digest_is_valid(digest))
                return NULL;
        h = calloc(1, sizeof(*h));
        if (!h)
                return NULL;
        h->prefix = is_long ? "sha512:" : "sha256:";
        h->hash = hash_new(is_long ? HASH_SHA512 : HASH_SHA256);
        return h->hash ? h : image_hash_free(h);
}

struct image_hash *image_hash_free(struct image_hash *h) {
        if (h)
                hash_free(h->hash);
        return mfree(h);
}

void image_hash_add(struct image_hash *h, const void *data, size_t n) {
        hash_add(h->hash, data, n);
}

void image_hash_take(struct image_hash *h, char ret[static IMAGE_DIGEST_SIZE]) {
        char hex[HASH_HEX_SIZE_MAX];

        hash_take(h->hash, hex);
        snprintf(ret, IMAGE_DIGEST_SIZE, "%s%s", h->prefix, hex);
}

bool image_digest_matches(const char *digest, const void *data, size_t n) {
        _cleanup_(image_hash_freep) struct image_hash *h = image_hash_new(digest);
        char got[IMAGE_DIGEST_SIZE];

        if (!h || !digest)
                return false;
        image_hash_add(h, data, n);
        image_hash_take(h, got);
        return streq(got, digest);
}
