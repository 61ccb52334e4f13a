/* How a control plane gets from one key of encryption to another. Pure.
 *
 *      every API server reads the new key -> every one writes with it -> all values are rewritten
 *      -> every one has the new key alone
 *
 * The configurations on the machines (EncryptionConfiguration, docs/encryption-at-rest.md) and what
 * the API servers say of themselves show how far it is, so that it can be interrupted anywhere: the
 * same call continues. */
#pragma once

#include "lib/json.h"

/* What kctl makes: one key that writes secrets, and plain values are read. A new reference. */
json_t *encryption_config_new(const char *name, const char *secret);
/* What an API server with this configuration (NULL: none) says of it: kapid/crypt/crypt.h. A new
 * reference; NULL when out of memory, or when it is not one. */
json_t *encryption_report(const json_t *config);
/* Whether the name is a key of it; its secret, borrowed, or NULL. */
const char *encryption_secret(const json_t *config, const char *name);

/* A name for a new key, which sorts behind `newest` ("": there is none): "key-20261129T183112Z".
 * No name comes twice, because backups may have values of every key that there was. Caller
 * frees.
 */
char *encryption_key_name(uint64_t wall_us, const char *newest) _warn_unused_;

enum encryption_goal { ENCRYPTION_ENABLE, ENCRYPTION_ROTATE, ENCRYPTION_DISABLE };

/* A machine of the control plane. */
struct encryption_view {
        const json_t *config;  /* what is on the machine; NULL: none */
        const json_t *running; /* what its API server says */
};
/* What one of the API servers says of the stored values. */
struct encryption_values {
        bool known;
        uint64_t stale; /* a write would encrypt them in another way */
        uint64_t unreadable;
};

/* The key that the goal is about: the one that an interrupted call made, or that is there already,
 * or the name of one that has to be made (then *ret_secret is NULL). The caller frees both.
 * -ENOMEM, -EBADMSG: machines have different keys of that name. */
int encryption_choose(enum encryption_goal goal, const struct encryption_view *views, size_t n,
                uint64_t wall_us, char **ret_name, char **ret_secret);

enum encryption_act {
        ENCRYPTION_DONE,
        ENCRYPTION_WRITE,   /* the configuration to the machine; NULL: remove it */
        ENCRYPTION_RESTART, /* the API server of the machine has not read its configuration */
        ENCRYPTION_COUNT,   /* how the values are encrypted must be known now */
        ENCRYPTION_REWRITE, /* the values, by the API server of the machine */
        ENCRYPTION_STOP,    /* some values cannot be read: their key must not go */
};
struct encryption_step {
        enum encryption_act act;
        size_t machine;
        json_t *config;
        const char *what; /* for people */
};
void encryption_step_done(struct encryption_step *s);
/* name and secret: of the key; not used for ENCRYPTION_DISABLE. force: values that cannot be read
 * do not matter. -ENOMEM, -EINVAL. */
struct encryption_wish {
        enum encryption_goal goal;
        const char *name, *secret;
        bool force;
};
int encryption_next(const struct encryption_wish *wish, const struct encryption_view *views,
                size_t n, const struct encryption_values *values, struct encryption_step *ret);
