/* What a controller is: three pure functions in a table entry. The runner (runner.h) owns everything
 * else: queue, back-off, leadership, not acting on a stale cache, carrying actions out. */
#pragma once

#include "lib/problem.h"
#include "reconcilers/world.h"

enum action_type {
        ACTION_CREATE,
        ACTION_PATCH,         /* merge patch */
        ACTION_UPDATE,
        ACTION_DELETE,
        ACTION_EVENT,         /* an Event about `body` */
        ACTION_DELETE_COLLECTION,
        ACTION_GUARD_EMPTY,   /* goes on only when the namespace holds none of the resource, live */
        ACTION_GUARD_ABSENT,  /* goes on only when the object (of that uid, when given) does not exist live */
};

struct action {
        enum action_type type;
        const struct api_resource *resource; /* of the table, or living as long as the runner */
        char *ns, *name, *uid, *subresource;
        json_t *body;
        char *event_type, *reason, *message;
};

/* What a plan wants. Order: guards and the actions after a barrier wait for everything before them;
 * the others go out in parallel in slow-start batches; the first failure drops the rest. */
struct actions {
        struct action *items;
        size_t count, allocated;
        uint64_t requeue_after_us;   /* 0: only an event brings the name back */
};
void actions_done(struct actions *a);
#define _cleanup_actions_ _cleanup_(actions_done)

/* All take body. */
void action_create(struct actions *a, const char *plural, const char *ns, json_t *body);
/* A merge patch of the object as seen: carries its resourceVersion, so that a change in between is a
 * conflict and planned anew. */
void action_patch(struct actions *a, const char *plural, const json_t *object, const char *subresource, json_t *body);
void action_update(struct actions *a, const char *plural, const json_t *object, const char *subresource, json_t *body);
/* Deletes this very object (uid precondition). grace_s < 0: the object's own. propagation NULL: Background. */
void action_delete(struct actions *a, const char *plural, const json_t *object, int64_t grace_s, const char *propagation);
void action_delete_resource(struct actions *a, const struct api_resource *r, const json_t *object, int64_t grace_s, const char *propagation);
void action_patch_resource(struct actions *a, const struct api_resource *r, const json_t *object, json_t *body);
void action_guard_absent(struct actions *a, const struct api_resource *r, const char *ns, const char *name, const char *uid);
void action_delete_collection(struct actions *a, const struct api_resource *r, const char *ns);
void action_guard_empty(struct actions *a, const struct api_resource *r, const char *ns);
void action_event(struct actions *a, const json_t *about, const char *type, const char *reason, const char *fmt, ...) _printf_(5, 6);
/* Comes back at the latest after so long. */
void actions_requeue(struct actions *a, uint64_t delay_us);
/* One line an action ("create pods default/web- {...}"), for tests and debugging. Caller frees. */
char *actions_text(const struct actions *a) _warn_unused_;

/* Where wake() puts the names it finds. */
struct wake {
        void (*add)(void *userdata, const char *key);
        void *userdata;
};
void wake_key(const struct wake *out, const char *ns, const char *name);
void wake_object(const struct wake *out, const json_t *object);
/* The object's controller, when it is of that kind and group. */
void wake_controller(const struct wake *out, const json_t *object, const char *group, const char *kind);
/* Those of the index (..._BY_NS) whose spec.selector matches the labels of an object without controller. */
void wake_selecting(const struct world *w, const struct wake *out, enum world_index index, const json_t *object);

struct controller {
        const char *name;            /* also its log and metric name */
        enum world_kind primary;     /* the kind its names are of; WORLD_KINDS_MAX: names of its own */
        uint32_t kinds;              /* WORLD_BIT() of what wakes it */
        /* An object came, changed (old is there) or went (gone). */
        void (*wake)(const struct world *w, const struct wake *out, enum world_kind kind, const json_t *old, const json_t *object, bool gone);
        void (*plan)(const struct world *w, const char *name, struct actions *a);
        /* The whole new status of the primary object `name`; NULL: nothing to say. failed: what the
         * plan's actions came to, NULL when well. May be NULL. */
        json_t *(*report)(const struct world *w, const char *name, const struct problem *failed);
};

/* Whether the range of pods' addresses and the size of a node's part make sense together. */
int podcidr_check(const struct world_config *config, struct problem *p);

extern const struct controller
                deployment_controller,
                replicaset_controller,
                endpointslice_controller,
                node_controller,
                podcidr_controller,
                podgc_controller,
                job_controller,
                namespace_controller,
                gc_controller,
                serviceaccount_controller,
                csr_controller,
                clusterrole_controller;
