/* A refusal that a user must understand: the fault, the place, the remedy. Functions that can
 * refuse a user's input take a struct problem *p (never NULL) and return a negative errno with it
 * filled. It maps one to one on the Status object of the API. */
#pragma once

#include <jansson.h>

#include "lib/base.h"

struct problem {
        int code;           /* HTTP status, 0 where there is none */
        const char *reason; /* static string in Kubernetes' words: "Invalid", "NotFound", ... or
                               NULL */
        char *field;        /* "spec.containers[0].image" or NULL */
        char *message;      /* one sentence that names the thing, the cause and the remedy */
        json_t *causes;     /* NULL or an array of {reason, message, field} */
        json_t *about;      /* {name, group, kind} of the Status' details where they are not the
                               request's object's; NULL */
        int retry_after_s;  /* 0: none */
        char *next;         /* a token by which a list can be continued all the same, or NULL */
        json_t *status; /* NULL, or the whole Status where another server made it; owned. Code and
                           message are its own */
};

#define _cleanup_problem_ _cleanup_(problem_done)
void problem_done(struct problem *p);
/* Fills p (what was there is freed) and returns -error, so that `return problem_set(...)` reads
 * well. */
int problem_set(struct problem *p, int error, int code, const char *reason, const char *fmt, ...)
                _printf_(5, 6);
/* Names the field; returns what it is given. */
int problem_field(struct problem *p, int error, const char *fmt, ...) _printf_(3, 4);
/* Adds one cause: reason in the API's words (FieldValueInvalid, ...), message, field. */
int problem_cause(struct problem *p, const char *reason, const char *field, const char *message);
/* Whom the details name: kind is the plural, or the kind for what is Invalid. name may be "". */
void problem_about(struct problem *p, const char *group, const char *kind, const char *name);
/* Puts text before the message: "web.yaml: ...". */
void problem_prefix(struct problem *p, const char *fmt, ...) _printf_(2, 3);
/* The Status object (docs/wire.md section 6) for the refusal; a new reference. name, group and
 * kind fill details, of reasons that have them, and may be NULL. */
json_t *problem_to_status(
                const struct problem *p, const char *name, const char *group, const char *kind);
/* The other way: reads an API error body. Unreadable bodies become a message with the HTTP code. */
void problem_from_status(struct problem *p, int http_code, const char *body, size_t n);
