/* Shared by crypt.c and config.c. */
#pragma once

#include "kapid/crypt/crypt.h"
#include "lib/crypto.h"
#include "lib/secretbox.h"
#include "lib/vector.h"

enum crypt_method { CRYPT_IDENTITY, CRYPT_AESGCM, CRYPT_SECRETBOX };

/* What every encrypted value begins with. */
#define CRYPT_MARK "k8s:enc:"

/* One key of a provider, or the provider identity, which has none. */
struct crypt_key {
        enum crypt_method method;
        char *name;
        char *with;   /* "aesgcm:key1" */
        char *prefix; /* "k8s:enc:aesgcm:v1:key1:" */
        size_t prefix_size;
        char id[KEY_ID_TEXT_SIZE];
        struct aes_gcm *gcm;
        uint8_t box[SECRETBOX_KEY_SIZE];
        struct metric *sealed, *opened;
};

/* An entry of the configuration: its first key writes. */
struct crypt_entry {
        char **resources;
        VECTOR(struct crypt_key *) keys;
};

/* Where in the store an entry applies. */
struct crypt_place {
        char *prefix;
        size_t size;
        size_t entry;
};

struct crypt {
        VECTOR(struct crypt_entry) entries;
        VECTOR(struct crypt_place) places; /* the first that fits counts */
        struct metric *failed;
};

const char *crypt_method_name(enum crypt_method method);
struct crypt_key *crypt_key_free(struct crypt_key *k);
DEFINE_CLEANUP(struct crypt_key *, crypt_key_free);
