/* A verb's decision about one object: the change in the store, and what the client
 * gets. Made by a pure function from the live object and the request; carried out by write.c. */
#pragma once

#include "lib/json.h"

enum decision_act {
        DECIDE_NOTHING, /* nothing is written; object: the answer, or NULL */
        DECIDE_PUT,     /* object is stored */
        DECIDE_DELETE,  /* the key is deleted; object: its last state for the answer, or NULL */
        DECIDE_RENAME,  /* `name` is tried instead, a free name (generateName) */
};

/* A Service's addresses and ports, and as many quotas. With the object itself they fit into one
 * transaction of the store (STORE_TXN_MAX). */
enum { DECISION_KEYS_MAX = 80 };

/* What validating webhooks are asked about before it is carried out. */
enum decision_question {
        ASK_NOBODY,
        ASK_ABOUT_WRITE,    /* object, and what was there */
        ASK_ABOUT_DELETION, /* what was there; mutating webhooks too */
};

struct decision {
        enum decision_act act;
        enum decision_question question;
        json_t *object; /* owned, in the version that was asked for; has its resourceVersion once it
                         * is stored */
        char *name;     /* owned; of DECIDE_RENAME */
        bool unchanged; /* object is the live one; nothing is written */
        bool created;   /* there was nothing before: 201 */
        bool no_retry;  /* the client named the revision: a conflict is the client's to solve */
        char **warnings; /* owned */
        /* Keys that are written in the same txn (service addresses, what quotas have used). */
        struct decision_key {
                char *key;
                char *value;       /* NULL: deleted */
                bool claim;        /* it must not be there yet */
                uint64_t revision; /* not 0: its last change must still be this one */
        } *keys; /* owned */
        size_t key_count, keys_allocated;
};

/* Frees what it owns and makes it empty (DECIDE_NOTHING) again. */
void decision_done(struct decision *d);
#define _cleanup_decision_ _cleanup_(decision_done)
/* Copies key and value. -ENOMEM, -E2BIG beyond DECISION_KEYS_MAX. */
int decision_add_key(struct decision *d, const char *key, const char *value, bool claim);
/* The same for a key that is there and was read at that revision. */
int decision_replace_key(struct decision *d, const char *key, const char *value, uint64_t revision);
/* Leaves the first `count` keys. */
void decision_drop_keys(struct decision *d, size_t count);
/* Adds texts for Warning headers (a NULL-terminated vector or NULL). -ENOMEM. */
int decision_warn(struct decision *d, char *const *texts);
