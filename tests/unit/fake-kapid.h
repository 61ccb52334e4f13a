/* kapid without sockets: its verbs, pipeline and caches as they are, over an HTTP client and a
 * store that are arrays here. The store answers at once, so every exchange is over when exchange()
 * returns (a watch: what it was sent so far is there). */
#pragma once

#include "kapid/http/request.h"
#include "kapid/pipeline/write.h"

/* One request and its answer. */
struct exchange {
        const char *method, *path, *body, *content_type;
        const char *query[8];     /* name, value, name, value ...; NULL past the last */
        const char *accept_table; /* not NULL: asks for a Table */
        int code;                 /* 0: not answered yet */
        struct buf answer;        /* of a stream: all that it was sent */
        struct buf warnings;      /* Warning headers, a line each */
        bool streaming, ended, aborted;
        void *userdata;
        void (*free_userdata)(void *);
        void (*on_drained)(struct http_stream *s, void *userdata);
        void *stream_userdata;
};

struct fake_kapid {
        sd_event *event;
        struct api api;
        uint64_t leases_granted;
        unsigned txns;         /* that were asked for */
        const char *rival;     /* before the next txn another writer stores this at its key... */
        const char *rival_key; /* ...or at this one */
        bool hold;             /* txns are answered by fake_kapid_answer() only */
        int error;             /* every call of the store fails with it; 0: none */
};

/* Starts with the built-in kinds and the namespace "default". */
struct fake_kapid *fake_kapid_new(void);
struct fake_kapid *fake_kapid_free(struct fake_kapid *f);
DEFINE_CLEANUP(struct fake_kapid *, fake_kapid_free);
/* What is stored at the key; NULL: nothing. */
const char *fake_kapid_stored(const struct fake_kapid *f, const char *key);
int64_t fake_kapid_lease(const struct fake_kapid *f, const char *key);
/* Stores as another program would; value NULL deletes. */
void fake_kapid_put(struct fake_kapid *f, const char *key, const char *value);
/* Answers the txn that has waited longest; false: none waits. */
bool fake_kapid_answer(struct fake_kapid *f);
/* A request by a user who may do everything, routed; http may be NULL (then there is no answer). */
struct request *fake_request(struct fake_kapid *f, struct exchange *x);
/* Runs the exchange's verb. The caller ends it with exchange_done. */
void exchange(struct fake_kapid *f, struct exchange *x);
void exchange_done(struct exchange *x);
#define _cleanup_exchange_ _cleanup_(exchange_done)
/* The text, and its tree, with double quotes for single ones; the caller's. */
char *fake_quoted(const char *text);
json_t *fake_json(const char *text);
