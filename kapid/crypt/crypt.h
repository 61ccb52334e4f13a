/* Encryption of stored values. The configuration and the stored bytes are those of Kubernetes' API
 * server: an EncryptionConfiguration (apiserver.config.k8s.io/v1) names resources and for each the
 * providers, of which the first writes and all read; a value is "k8s:enc:aesgcm:v1:KEY:" and the
 * sealed bytes, which the store's key authenticates: a value that is moved to another key does not
 * open. Pure, but for random nonces. */
#pragma once

#include "kapid/kinds/kind.h"
#include "lib/metrics.h"

struct crypt;

/* From the text of an EncryptionConfiguration. The kinds say where a resource is stored. -EINVAL
 * with p, which never has a key in it; -ENOMEM. */
int crypt_new(struct crypt **ret, const char *text, size_t n, const struct kind_registry *kinds,
                struct problem *p);
struct crypt *crypt_free(struct crypt *c);
DEFINE_CLEANUP(struct crypt *, crypt_free);
/* Counts from now on. -ENOMEM. */
int crypt_add_metrics(struct crypt *c, struct metrics *m);

/* c may be NULL in the following: without a configuration everything is plain. */

/* The bytes to store for a value. 0: the value as it is; 1: *ret, which the caller frees. -ENOMEM,
 * -EIO. */
int crypt_seal(struct crypt *c, const char *key, const char *value, size_t n, char **ret,
                size_t *ret_size);

struct crypt_opened {
        char *value; /* owned; NULL: the stored bytes are the value */
        size_t size;
        bool stale;       /* a write would store it in another way */
        const char *with; /* "aesgcm:key1", or "identity"; borrowed from c or static */
        char *why;        /* owned; a sentence, where it cannot be opened */
};
void crypt_opened_done(struct crypt_opened *o);
/* 0, -ENOMEM, or -EBADMSG with ret->why, which names the store's key and the key that is missing or
 * does not open it. */
int crypt_open(struct crypt *c, const char *key, const char *stored, size_t n,
                struct crypt_opened *ret);

/* What it does, for administrators: [{"resources": ["secrets"], "keys": [{"provider": "aesgcm",
 * "name": "key1", "id": "1f0c..."}, {"provider": "identity"}]}], the first key writes. The id tells
 * keys of one name apart and does not show the key. A new reference; NULL when out of memory. */
json_t *crypt_report(const struct crypt *c);
/* The parts of the store that it covers, one after another: "/registry/secrets/". NULL past the
 * last. A key may be in two of them: it belongs to the first. */
const char *crypt_prefix_at(const struct crypt *c, size_t i);
bool crypt_is_in(const struct crypt *c, const char *key, const char *prefix);
