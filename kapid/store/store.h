/* The store's client: the etcd v3 calls that kapid needs, over one gRPC channel. Works on kstored
 * and on etcd alike. Nothing here knows about objects. Values are encrypted on their way out and
 * decrypted on their way in (kapid/crypt/): callers see the plain ones. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/problem.h"
#include "lib/tls.h"

struct crypt;
struct store;

struct store_options {
        char *const *endpoints;
        const struct tls_files *tls; /* NULL: none */
        struct crypt *crypt;         /* NULL: values are stored as they are */
        void (*on_state)(bool connected, void *userdata);
        void *userdata;
};

int store_new(struct store **ret, sd_event *event, const struct store_options *o,
                struct problem *p);
/* Calls under way are forgotten without their callbacks. */
struct store *store_free(struct store *s);
DEFINE_CLEANUP(struct store *, store_free);
bool store_is_connected(const struct store *s);

/* One key and its value; borrowed for the time of the callback. The key is NUL-terminated. */
struct store_kv {
        const char *key;
        const char *value;
        size_t size;
        uint64_t revision; /* of its last change */
        uint64_t create_revision;
        int64_t lease;
        const char *unreadable; /* why the value cannot be decrypted: it is "" then; or NULL */
        const char *with;       /* the key that it is encrypted with (kapid/crypt/crypt.h) */
        bool stale;             /* a write of it would encrypt it in another way */
};

/* The store's answer. error 0, or:
 *   -EHOSTUNREACH  the store is not there and nothing was done
 *   -ETIMEDOUT     no answer: a write may or may not have been done
 *   -ESTALE        the wanted revision is compacted
 *   -ENOSPC        the store is out of space (alarm NOSPACE)
 *   -E2BIG         the request is larger than the store takes
 *   -EBUSY, -EIO   it refuses for now; it refuses otherwise (message says why) */
struct store_result {
        int error;
        const char *message; /* never NULL */
        uint64_t revision;   /* the store's when it answered */
        bool succeeded;      /* txn: every guard held */
        const struct store_kv *kvs;
        size_t count;
        bool more;      /* range: the limit cut it */
        uint64_t total; /* range: keys in the range */
        int64_t lease;  /* granted */
        int64_t ttl_s;  /* of a renewed lease; 0: it is gone */
};
typedef void (*store_done)(const struct store_result *res, void *userdata);

/* Fills p with the client's answer: 503 with Retry-After, 504, 413, 500, 410. */
int store_problem(const struct store_result *res, struct problem *p);

struct store_range {
        const char *key;
        const char *end;   /* NULL: the one key; else keys in [key, end) */
        uint64_t revision; /* 0: newest */
        uint64_t limit;    /* 0: all */
};
/* Linearizable. 0, or a negative errno (as in store_result) when the call could not be started:
 * done is not called then. The same holds for the calls below. */
int store_range(struct store *s, const struct store_range *q, store_done done, void *userdata);
/* The store's revision now, confirmed by a quorum: a key that does not exist is read. */
int store_read_index(struct store *s, store_done done, void *userdata);

/* A guard holds when the key's last change is this revision; 0: when there is no such key. */
struct store_guard {
        const char *key;
        uint64_t revision;
};
struct store_op {
        const char *key;
        const char *value; /* NULL: the key is deleted */
        size_t size;
        int64_t lease; /* 0: none */
        bool prefix;   /* every key that begins with key is deleted */
};
struct store_txn {
        const struct store_guard *guards;
        size_t guard_count;
        const struct store_op *ops;
        size_t op_count;
};
enum { STORE_TXN_MAX = 100 };
/* All operations when every guard holds, else none: then the result has what stands at the guards'
 * keys (a missing key has no kv). */
int store_txn(struct store *s, const struct store_txn *t, store_done done, void *userdata);
int store_lease_grant(struct store *s, uint64_t ttl_s, store_done done, void *userdata);
int store_lease_renew(struct store *s, int64_t lease, store_done done, void *userdata);
int store_compact(struct store *s, uint64_t revision, store_done done, void *userdata);

struct store_event {
        bool deleted; /* then only key and revision are set */
        struct store_kv kv;
};
struct store_watch_options {
        uint64_t start_revision;
        /* Every change of every key, in order; events of one revision come together. */
        void (*on_events)(const struct store_event *events, size_t n, void *userdata);
        /* Once: the watch has ended, -ESTALE when its revisions are compacted. */
        void (*on_lost)(int error, const char *message, void *userdata);
        void *userdata;
};
/* The one watch of a store: every key. A second replaces the first without on_lost. */
int store_watch(struct store *s, const struct store_watch_options *o);
