/* One optimistic write of one stored object: read what is there, decide what it becomes, store it
 * if it is still what was read; else decide again on what is there now.
 *
 *      READ --(cache or store)--> DECIDE --nothing to do--> done
 *        ^                           '--> (lease) --> TXN --guard held--> done
 *        '------------- what stands there now -------------'
 *
 * The first reading comes from the cache, which may be moments old: a refusal or "nothing changed"
 * found on it is not told before it was found on the store's own state too. */
#pragma once

#include "kapid/http/request.h"

enum { WRITE_ATTEMPTS_MAX = 8, WRITE_EXTRA_MAX = 40 };
enum write_act { WRITE_NOTHING, WRITE_PUT, WRITE_DELETE };

struct write;
/* live: what is there, in the version that was asked for (NULL: nothing; immutable). Sets w->act
 * and, for WRITE_PUT and WRITE_NOTHING, w->object (owned by w; WRITE_DELETE: the object's last
 * state, or NULL). May be called several times. Refuses with p. */
typedef int (*write_decide)(struct write *w, const json_t *live, struct problem *p);
/* The end; p NULL: it is done (w->object has its resourceVersion). The write is freed after it. */
typedef void (*write_done)(struct write *w, const struct problem *p);

struct write {
        struct request *r;
        struct kind *kind;
        char *namespace;
        char *name;
        write_decide decide;
        write_done done;
        void *userdata;
        bool create; /* it is expected not to be there */

        enum write_act act;
        json_t *object;
        bool created;  /* there was nothing before */
        bool no_retry; /* a conflict is the client's to solve */
        char **warnings;
        /* Keys that go with the object in one txn (service addresses): guards that they are free
         * (or still ours) and what becomes of them. */
        struct write_extra {
                char *key;
                char *value; /* NULL: deleted */
                bool claim;  /* it must be free now */
        } extra[WRITE_EXTRA_MAX];
        size_t extra_count;

        uint64_t revision; /* of live */
        bool fresh;
        unsigned attempts;
        json_t *live;
        char *key;
        char *text; /* what is stored */
        int64_t lease;
};

/* Starts a write; it holds a reference on the request. name and namespace are copied. */
void write_start(struct request *r, const struct kind *k, const char *namespace, const char *name,
                bool create, write_decide decide, write_done done, void *userdata);
/* For decide: another name (generateName) for something that is not there. */
int write_rename(struct write *w, const char *name);
int write_add_extra(struct write *w, const char *key, const char *value, bool claim);
/* The usual end: answers with the object, or the refusal. */
void write_respond(struct write *w, const struct problem *p);

/* What the verbs share (object.c): a new object from default to ownership, and a changed one. Both
 * set w->act and w->object; they take `object`. from_apply: ownership was computed by apply_run. */
int write_new_object(struct write *w, json_t *object, bool from_apply, struct problem *p);
int write_changed_object(struct write *w, const json_t *live, json_t *object, bool from_apply,
                struct problem *p);
/* Checks name and namespace of a body against the path and fills them in. */
int body_check_names(struct request *r, json_t *object, struct problem *p);
/* {manager, subresource, time} of the request for ownership; manager is to be freed. */
struct apply_options;
int request_apply_options(struct request *r, bool is_apply, struct apply_options *ret,
                char **ret_manager, struct problem *p);

/* A deletion, for DELETE, deletecollection and eviction (delete.c). */
struct delete_options {
        int64_t grace_s;         /* -1: not said */
        const char *propagation; /* "", Background, Foreground, Orphan */
        const char *uid;         /* preconditions; NULL: none */
        const char *resource_version;
};
/* userdata of the write must point to its struct delete_options. */
int delete_decide(struct write *w, const json_t *live, struct problem *p);
/* Reads query and body; strings are borrowed from the request and *ret_body (to be freed). */
int delete_options_parse(struct request *r, const json_t *body, struct delete_options *ret,
                struct problem *p);
void delete_respond(struct write *w, const struct problem *p);
