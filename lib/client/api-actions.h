/* Actions on API objects: the types that every program has. Each is one request of
 * executor_options.client; an Event goes to the client's recorder (api_event()) and never fails. */
#pragma once

#include "lib/client/actions.h"

extern const struct action_type action_type_create, action_type_patch, /* a merge patch */
                action_type_update,                                    /* a PUT */
                action_type_delete,
                action_type_delete_seen,       /* a change since then fails it with -ESTALE */
                action_type_delete_collection, /* all of a resource in a namespace */
                /* likewise, one by one: of a resource that has no deletecollection. At most
                 * DELETE_EACH_MAX; what is left fails with -EINPROGRESS */
                action_type_delete_each,
                action_type_event,             /* an Event about `body` */
                /* A guard lets the list continue only when the server itself (not a cache) says
                 * that the namespace holds no object of the resource, or that the object (of that
                 * uid, when one is given) does not exist. Otherwise it fails with -EINPROGRESS. */
                action_type_guard_empty, action_type_guard_absent;

/* The functions with `plural` take the name of a resource that api_resource_find() knows. All take
 * body and copy the rest. */
void action_create(struct actions *a, const char *plural, const char *ns, json_t *body);
/* A merge patch of the object as it was seen: carries its resourceVersion, so that a change in
 * between is a conflict, and the decision is made again. subresource may be NULL. */
void action_patch(struct actions *a, const char *plural, const json_t *object,
                const char *subresource, json_t *body);
void action_patch_resource(struct actions *a, const struct api_resource *r, const json_t *object,
                json_t *body);
void action_update(struct actions *a, const char *plural, const json_t *object,
                const char *subresource, json_t *body);
/* Deletes this very object (uid precondition). grace_s < 0: the object's own grace period.
 * propagation NULL: Background. */
void action_delete(struct actions *a, const char *plural, const json_t *object, int64_t grace_s,
                const char *propagation);
/* Likewise, as it was seen: with its resourceVersion, so that a change in between is a conflict,
 * and the decision is made again. */
void action_delete_seen(struct actions *a, const struct api_resource *r, const json_t *object,
                const char *propagation);
void action_delete_collection(struct actions *a, const struct api_resource *r, const char *ns);
enum { DELETE_EACH_MAX = 100 };
void action_delete_each(struct actions *a, const struct api_resource *r, const char *ns);
void action_guard_empty(struct actions *a, const struct api_resource *r, const char *ns);
/* uid may be NULL or "": any object of that name counts. */
void action_guard_absent(struct actions *a, const struct api_resource *r, const char *ns,
                const char *name, const char *uid);
/* Reports the end of the last action of the list in an Event about `about`, as Kubernetes'
 * controllers do: Successful<verb> with `done`, in which {} stands for the object's name, or
 * Failed<verb> with `failed` and the error. verb: "Create", "Delete"; it must be static. The end of
 * a namespace is not a failure. */
void action_report_end(struct actions *a, const json_t *about, const char *verb, const char *done,
                const char *failed);
/* Whether a create was refused because its namespace is being deleted. p may be NULL. */
bool problem_is_end_of_namespace(const struct problem *p);
/* type: "Normal" or "Warning". fmt: the message. */
void action_event(struct actions *a, const json_t *about, const char *type, const char *reason,
                const char *fmt, ...) _printf_(5, 6);
