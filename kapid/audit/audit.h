/* The audit log: for each request that the policy asks for, an Event of audit.k8s.io/v1 a stage, as
 * one line of JSON (docs/audit.md). The request's steps call these functions; all are fine for
 * requests that are not audited. */
#pragma once

#include <systemd/sd-event.h>

#include "kapid/audit/sink.h"
#include "kapid/audit/policy.h"

struct audit;
struct audit_record;
struct bytes;
struct request;

enum {
        AUDIT_OBJECT_BYTES_MAX = 1536 << 10, /* of a body; a larger one is left out */
};

/* As the flags give them. */
struct audit_options {
        char *policy_file; /* with log.path: both or none */
        char *format;      /* "json" */
        struct sink_options log;
};

/* *ret is NULL when nothing is to be audited. p names flag, file and remedy. */
int audit_new(struct audit **ret, sd_event *event, const struct audit_options *o, struct metrics *m,
                struct problem *p);
struct audit *audit_free(struct audit *a);
DEFINE_CLEANUP(struct audit *, audit_free);

/* The request's user is known or refused, its body has not come: RequestReceived. */
void audit_begin(struct request *request);
/* The object that the client sent, decoded, before anything is changed in it. */
void audit_request_object(struct request *request, const json_t *object);
/* A patch, as it came. */
void audit_request_text(struct request *request, const char *data, size_t n);
/* An annotation of the events that follow; the text is copied. */
void audit_annotate(struct request *request, const char *name, const char *value);
/* The Status that is the answer. */
void audit_status(struct request *request, const json_t *status);
/* Whether the policy asks for the answer itself: then it is needed as JSON. */
bool audit_wants_answer(const struct request *request);
/* The answer is complete: ResponseComplete. pieces: its body; JSON is logged where the policy
 * asks for it. */
void audit_answer(struct request *request, int code, const char *content_type,
                struct bytes *const *pieces, size_t n);
void audit_answer_text(struct request *request, int code, const char *content_type,
                const char *body, size_t n);
/* The answer is a stream that begins: ResponseStarted. */
void audit_stream(struct request *request, int code);
/* The request has ended, and with it a stream: ResponseComplete, if it was not written before. */
void audit_end(struct request *request);
