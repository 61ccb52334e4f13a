/* The actions of a decision, as data: a list. A pure function writes the list, a test
 * compares its text, the executor (executor.h) carries it out.
 *
 * The type of an action is a row of functions and not an enum: each program adds types of its own
 * beside those for API objects (api-actions.h). A type with its starting function is all that
 * "start the unit" or "run the hook" needs. */
#pragma once

#include "lib/buf.h"
#include "lib/client/api.h"

struct action;
struct executor;

/* A running action, as its type sees it. */
struct running_action {
        const struct action *action;
        struct api_client *client; /* executor_options.client */
        void *context;             /* executor_options.context */
        void *handle;              /* the type's own: start() sets it, cancel() frees it */
        struct executor *executor;
};

/* The action has ended; called exactly once for each started action that is not
 * cancelled, from inside start() or later. error: 0 or a negative errno. object: the result, or
 * NULL; p: why it failed, or NULL. Both are borrowed for the call. `a` is invalid after it. */
void action_ended(
                struct running_action *a, int error, const json_t *object, const struct problem *p);

struct action_type {
        const char *name; /* the first word of its line in actions_text() */
        /* Waits until everything before it has ended; what comes after it waits for its end. */
        bool barrier;
        /* When it fails, those of such types that follow are started all the same, and nothing
         * else: each is worth its own try. The failures' messages are strings in problem.causes. */
        bool independent;
        /* Begins it. A negative errno: it failed to begin, and action_ended() is not called.
         * The handle is set before anything is called that may free the executor. */
        int (*start)(struct running_action *a);
        /* Cancels what start() began; action_ended() is not called after it. NULL: every action of
         * this type has ended when start() returns. */
        void (*cancel)(struct running_action *a);
        /* Writes the rest of its line in actions_text(); NULL: the body as JSON. */
        void (*text)(const struct action *x, struct buf *b);
};

/* One thing to do. A type uses the fields that it needs and leaves the others NULL. */
struct action {
        const struct action_type *type;
        const struct api_resource *resource; /* of the table, or living as long as the action */
        char *ns, *name, *uid, *subresource;
        char *query; /* of the request; encoded, without '?' */
        json_t *body;
        char *event_type, *reason, *message; /* of an Event */
        /* Its end becomes an Event about another object, its owner (action_report_end()). */
        json_t *about;
        const char *verb; /* static: "Create" */
        char *done, *failed;
        void *subject; /* borrowed: what the type's functions work on; must outlive the action */
};

/* Zero-initialise to start. The order matters only around barriers, see executor.h. */
struct actions {
        struct action *items;
        size_t count, allocated;
        uint64_t requeue_after_us; /* decide again at the latest after this time; 0: only on events
                                    */
};
void actions_done(struct actions *a);
#define _cleanup_actions_ _cleanup_(actions_done)

/* Appends an action: strings are copied, body is taken. resource, ns, name and body may be NULL.
 * Returned for further fields; valid until the next one is added. Functions that write lists cannot
 * fail: out of memory ends the program, which then starts again where it was. */
struct action *actions_add(struct actions *a, const struct action_type *type,
                const struct api_resource *resource, const char *ns, const char *name,
                json_t *body);
/* Moves the actions of `more` to the end of the list; lowers requeue_after_us to that of more. */
void actions_append(struct actions *a, struct actions *more);
/* A barrier: later actions wait for the end of all earlier ones. */
void actions_barrier(struct actions *a);
/* Lowers requeue_after_us to delay_us (1 ms at least). */
void actions_requeue(struct actions *a, uint64_t delay_us);
/* One line an action, "type plural namespace/name subresource body" ("create pods default/web-
 * {...}"), for tests and debugging. Caller frees. */
char *actions_text(const struct actions *a) _warn_unused_;
/* A copy of a string for a field of an action; NULL for NULL. */
char *action_string(const char *s) _warn_unused_;
