/* One request on its way: what the steps have found out about it, and how it is answered. Requests
 * are reference-counted, because an answer of the store may come after the client has gone: `http`
 * is NULL then, and answering does nothing. */
#pragma once

#include "kapid/api.h"
#include "kapid/auth/user.h"
#include "kapid/http/fairness.h"
#include "kapid/http/route.h"
#include "kapid/patch/patch.h"
#include "kapid/pipeline/delete-options.h"
#include "kapid/pipeline/pipeline.h"
#include "kapid/table/table.h"
#include "lib/http-server.h"
#include "lib/yaml.h"

enum form { FORM_OBJECT, FORM_TABLE, FORM_PARTIAL };
enum lane { LANE_READ, LANE_WRITE, LANE_NONE };

/* State of a verb that answers in several turns: the first member of the
 * verb's own struct, which container_of() finds again. */
struct verb_state {
        void (*free)(struct verb_state *s);
};

struct request {
        unsigned refs;
        struct api *api;
        struct http_request *http;    /* NULL: gone or answered */
        struct http_request *carrier; /* of a stream that is open; else NULL */
        LIST_ENTRY(request) open;     /* with it: of the API's */
        struct user user;
        struct user real_user; /* the impersonating user; name NULL: none */
        struct route route;
        struct kind *kind; /* owned reference; NULL for paths */
        const struct kind_subresource *sub;
        struct cache *cache;   /* of the kind; NULL when it is not stored */
        struct remote *remote; /* the server that serves it, counted; NULL: kapid */
        enum form form;
        bool yaml;            /* the answer, rather than JSON */
        bool protobuf;        /* likewise */
        char form_version[8]; /* of Table or PartialObjectMetadata: v1, v1beta1 */
        enum table_include include;
        bool dry_run;
        enum field_validation validation;
        enum lane lane;
        sd_event_source *timeout;        /* timeout.c */
        uint64_t started_us;             /* monotonic */
        uint64_t now_us;                 /* wall clock */
        struct pipeline_context context; /* borrows from user */
        struct problem refusal;          /* found before the body came */
        int refused;                     /* 0, or the refusal's errno */
        struct fairness_ticket ticket;   /* dispatch.c, as the next two */
        unsigned holds;                  /* fibers that work for it */
        bool leaves;                     /* when they are through */
        char audit_id[65];               /* "": not yet known */
        struct audit_record *audit;      /* owned; NULL: not audited */
        /* Called when the awaited event has come: its turn, fresh caches. */
        void (*next)(struct request *request);
        /* Read by the verb from the body (pipeline/body.h) and the query. */
        struct decoded body;
        enum patch_type patch_type;
        struct delete_options delete_options;
        const char *new_name;     /* of an object in a collection that a create names; NULL: none */
        struct verb_state *state; /* owned */
        struct fiber *fiber;      /* of what is done for it now; NULL: all in one turn */
        struct yaml_breath yaml_breath;
        /* Called when the client has left, or got the answer of a timer: what still works for it
         * may end. NULL: nothing does. */
        void (*on_gone)(struct request *request);
        void *on_gone_userdata;
};

struct request *request_new(struct api *api, struct http_request *http);
struct request *request_ref(struct request *request);
struct request *request_unref(struct request *request);
DEFINE_CLEANUP(struct request *, request_unref);
#define _cleanup_request_ _cleanup_(request_unrefp)

/* The user whose share of bounded things the request takes: the impersonating one. */
const char *request_sharer(const struct request *request);

/* For long bodies of YAML; NULL: it is done in one turn. */
const struct yaml_breath *request_yaml_breath(struct request *request);
/* A place at which the loop may have its turn. -ECANCELED: the client has gone meanwhile, and what
 * belongs to its request (body, headers, query) too. */
int request_breathe(struct request *request);
/* From how many bytes on an object is worked at in turns. */
enum { REQUEST_LARGE_BYTES = 64 << 10 };
/* Calls func for the request, in turns of the loop where large is true. */
void request_in_turns(struct request *request, bool large, void (*func)(void *userdata),
                void *userdata);

/* Query parameter, NULL when absent (also when the client has gone). */
const char *request_query(const struct request *request, const char *name);
const char *request_header(const struct request *request, const char *name);
const char *request_body(const struct request *request, size_t *ret_n);
/* Whether the client asked for indented JSON, and gets it. */
bool request_is_pretty(const struct request *request);
/* Whether the answer is an object's stored text as it is. */
bool request_is_plain(const struct request *request);

/* Answers; each ends the request's life with its client. Statuses carry the resource's details. */
void respond_problem(struct request *request, const struct problem *p);
/* The usual end of a step that failed: p where it says something, else the errno (its sign does not
 * matter) as an internal error. */
void respond_error(struct request *request, int error, const struct problem *p);
/* For out of memory and other errors without a sentence. */
void respond_errno(struct request *request, int error);
void respond_json(struct request *request, int code, const json_t *v);
void respond_text(struct request *request, int code, const char *content_type, const char *text);
void respond_data(struct request *request, int code, const char *content_type, const void *data,
                size_t n);
/* The same without a copy: the pieces one after another. Takes references. */
void respond_pieces(struct request *request, int code, const char *content_type,
                struct bytes **pieces, size_t n);
/* One object of the kind, in the form the client asked for. */
void respond_object(struct request *request, int code, const json_t *object);
void respond_item(struct request *request, int code, struct item *it);
/* {status: Success} with details of the object. */
void respond_success(struct request *request, int code, const char *name, const char *uid);
/* Adds `Warning: 299 - "text"`; at most a few dozen. */
void request_warn(struct request *request, const char *text);
void request_warn_all(struct request *request, char *const *texts);
/* Starts the chunked answer of a stream; the standard headers go with it. NULL: it was answered. */
struct http_stream *respond_stream(struct request *request, const char *content_type,
                size_t queued_max, http_stream_func on_gone, void *userdata);
/* The same with a code of its own, and a type that may be NULL. */
struct http_stream *respond_stream_as(struct request *request, int code, const char *content_type,
                size_t queued_max, http_stream_func on_gone, void *userdata);

/* Leaves HTTP (101); the headers of the protocol were added before. NULL: no client, or no memory.
 */
struct http_upgrade *respond_upgrade(struct request *request,
                const struct http_upgrade_handler *handler, void *userdata);

/* `pods "x" not found` and similar; return -ENOENT etc. with p filled. */
int problem_not_found(struct problem *p, const struct kind *k, const char *name);
int problem_conflict(struct problem *p, const struct kind *k, const char *name, const char *why);
int problem_no_route(struct problem *p);
int problem_method(struct problem *p);

/* Calls next once the cache is as fresh as the store was when this was called. Refuses the request
 * itself when the store does not answer. Keeps a reference meanwhile. */
void request_freshen(struct request *request, void (*next)(struct request *request));
/* The same with a revision to wait for. */
void request_wait_revision(
                struct request *request, uint64_t revision, void (*next)(struct request *request));

/* The cached item that the request's path names; borrowed until the cache changes. -ENOENT: 404 in
 * p. */
int request_item(const struct request *request, struct item **ret, struct problem *p);
/* The same as an object, in the version that was asked for; a new reference, immutable. */
int request_object(const struct request *request, json_t **ret, struct problem *p);
