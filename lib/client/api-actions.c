/* Actions on API objects: one request each. */
#include "lib/client/api-actions.h"

#include <stdarg.h>

#include "lib/object.h"

/* --- carrying out --- */

bool problem_is_end_of_namespace(const struct problem *p) {
        const json_t *cause;
        size_t i;

        json_array_foreach (p ? p->causes : NULL, i, cause)
                if (streq(json_str_or(cause, "reason", ""), "NamespaceTerminating"))
                        return true;
        return false;
}

static void report_end(const struct running_action *a, int error, const json_t *object,
                const struct problem *p) {
        const struct action *x = a->action;
        const char *mark = strstr(x->done, "{}"), *name = x->name ? x->name : object_name(object);
        char reason[64];

        (void)snprintf(reason, sizeof(reason), "%s%s", error == 0 ? "Successful" : "Failed",
                        x->verb);
        if (error == 0 && mark)
                api_event(a->client, x->about, "Normal", reason, "%.*s%s%s", (int)(mark - x->done),
                                x->done, name, mark + 2);
        else if (error == 0)
                api_event(a->client, x->about, "Normal", reason, "%s", x->done);
        /* A delete of what is gone, or changed since, is decided again and no news. */
        else if (error != -ENOENT && error != -ESTALE && !problem_is_end_of_namespace(p))
                api_event(a->client, x->about, "Warning", reason, "%s%s", x->failed,
                                p ? strempty(p->message) : strerror(-error));
}

static void on_answer(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct running_action *a = userdata;

        if (a->action->about)
                report_end(a, error, object, p);
        action_ended(userdata, error, object, p);
}

static void cancel_call(struct running_action *a) {
        a->handle = api_call_cancel(a->handle);
}

static char *path_of(const struct action *x) {
        return api_path(x->resource, x->ns, x->name, x->subresource, x->query);
}

static int start_create(struct running_action *a) {
        _cleanup_free_ char *path = path_of(a->action);
        struct api_call *call = NULL;
        int r;

        if (!path)
                return -ENOMEM;
        r = api_create_async(a->client, path, a->action->body, on_answer, a, &call);
        a->handle = call;
        return r;
}

static int start_patch(struct running_action *a) {
        _cleanup_free_ char *path = path_of(a->action);
        struct api_call *call = NULL;
        int r;

        if (!path)
                return -ENOMEM;
        r = api_patch_async(a->client, path, API_PATCH_MERGE, a->action->body, on_answer, a, &call);
        a->handle = call;
        return r;
}

static int start_update(struct running_action *a) {
        _cleanup_free_ char *path = path_of(a->action);
        struct api_call *call = NULL;
        int r;

        if (!path)
                return -ENOMEM;
        r = api_update_async(a->client, path, a->action->body, on_answer, a, &call);
        a->handle = call;
        return r;
}

static int start_delete(struct running_action *a) {
        _cleanup_free_ char *path = path_of(a->action);
        struct api_call *call = NULL;
        int r;

        if (!path)
                return -ENOMEM;
        r = api_delete_async(a->client, path, a->action->body, on_answer, a, &call);
        a->handle = call;
        return r;
}

static int start_event(struct running_action *a) {
        const struct action *x = a->action;

        api_event(a->client, x->body, x->event_type, x->reason, "%s", x->message);
        action_ended(a, /* error= */ 0, /* object= */ NULL, /* p= */ NULL);
        return 0;
}

/* --- all of a resource, one by one --- */

struct deletions {
        struct running_action *action;
        struct api_call *call;
        json_t *list;
        size_t next;
};

static struct deletions *deletions_free(struct deletions *d) {
        if (!d)
                return NULL;
        api_call_cancel(d->call);
        json_decref(d->list);
        return mfree(d);
}

static void cancel_each(struct running_action *a) {
        a->handle = deletions_free(a->handle);
}

static void deletions_end(struct deletions *d, int error, const struct problem *p) {
        struct running_action *a = d->action;

        a->handle = NULL;
        action_ended(a, error, /* object= */ NULL, p);
        deletions_free(d); /* p may be of the call */
}

static void on_one_deleted(int error, const json_t *object, const struct problem *p,
                void *userdata);

static int delete_next(struct deletions *d) {
        const struct action *x = d->action->action;
        const json_t *object = json_array_get(json_object_get(d->list, "items"), d->next++);
        _cleanup_json_ json_t *options = json_pack("{s:s, s:s, s:s, s:{s:s}}", "kind",
                        "DeleteOptions", "apiVersion", "v1", "propagationPolicy", "Background",
                        "preconditions", "uid", object_uid(object));
        _cleanup_free_ char *path = api_path(x->resource, x->ns, object_name(object), NULL, NULL);

        return path && options ? api_delete_async(d->action->client, path, options, on_one_deleted,
                                                 d, &d->call)
                               : -ENOMEM;
}

/* Continues with the next one that has a name. */
static void deletions_continue(struct deletions *d) {
        const json_t *items = json_object_get(d->list, "items");
        int r = 0;

        while (d->next < json_array_size(items) &&
                        !*object_name(json_array_get(items, d->next)))
                d->next++;
        if (d->next < json_array_size(items) && d->next < DELETE_EACH_MAX) {
                r = delete_next(d);
                if (r >= 0)
                        return;
        } else if (d->next < json_array_size(items) ||
                        *json_str_or(d->list, "metadata.continue", ""))
                r = -EINPROGRESS;
        deletions_end(d, r, /* p= */ NULL);
}

static void on_one_deleted(int error, const json_t *object, const struct problem *p,
                void *userdata) {
        struct deletions *d = userdata;

        d->call = NULL;
        if (error == 0 || error == -ENOENT || error == -ESTALE)
                deletions_continue(d);
        else
                deletions_end(d, error, p);
}

static void on_each_listed(int error, const json_t *list, const struct problem *p,
                void *userdata) {
        struct deletions *d = userdata;

        d->call = NULL;
        if (error < 0) {
                deletions_end(d, error == -ENOENT ? 0 : error, p);
                return;
        }
        d->list = json_ref(list);
        deletions_continue(d);
}

static int list_each(struct deletions *d) {
        const struct action *x = d->action->action;
        _cleanup_free_ char *query = strformat("limit=%d", DELETE_EACH_MAX),
                            *path = query ? api_path(x->resource, x->ns, NULL, NULL, query) : NULL;

        return path ? api_get_async(d->action->client, path, on_each_listed, d, &d->call) : -ENOMEM;
}

static int start_deletions(struct running_action *a, int (*start)(struct deletions *d)) {
        struct deletions *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return -ENOMEM;
        d->action = a;
        a->handle = d;
        r = start(d);
        if (r < 0)
                a->handle = deletions_free(d);
        return r;
}

static int start_delete_each(struct running_action *a) {
        return start_deletions(a, list_each);
}

/* --- all of a resource at once --- */

/* A server that says it can, and cannot: one by one. */
static void on_all_deleted(int error, const json_t *object, const struct problem *p,
                void *userdata) {
        struct deletions *d = userdata;
        int r;

        d->call = NULL;
        if (!p || p->code != 405) {
                deletions_end(d, error, p);
                return;
        }
        r = list_each(d);
        if (r < 0)
                deletions_end(d, r, /* p= */ NULL);
}

static int delete_all(struct deletions *d) {
        const struct action *x = d->action->action;
        _cleanup_free_ char *path = path_of(x);

        return path ? api_delete_async(d->action->client, path, x->body, on_all_deleted, d,
                                          &d->call)
                    : -ENOMEM;
}

static int start_delete_all(struct running_action *a) {
        return start_deletions(a, delete_all);
}

/* --- guards --- */

/* Objects that still exist are checked again later. */
static void refuse(struct running_action *a) {
        const struct action *x = a->action;
        _cleanup_problem_ struct problem p = {0};
        int r = problem_set(&p, EINPROGRESS, 0, NULL, "%s %s is still there", x->resource->plural,
                        strempty(x->name));

        action_ended(a, r, /* object= */ NULL, &p);
}

static void on_listed(int error, const json_t *list, const struct problem *p, void *userdata) {
        if (error == 0 && json_array_size(json_object_get(list, "items")) > 0)
                refuse(userdata);
        else
                action_ended(userdata, error == -ENOENT ? 0 : error, /* object= */ NULL, p);
}

static void on_looked_up(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct running_action *a = userdata;
        const char *uid = a->action->uid;

        if (error == 0 && (isempty(uid) || streq(object_uid(object), uid)))
                refuse(a);
        else
                action_ended(a, error == -ENOENT ? 0 : error, /* object= */ NULL, p);
}

static int start_get(struct running_action *a, api_done_func done) {
        _cleanup_free_ char *path = path_of(a->action);
        struct api_call *call = NULL;
        int r;

        if (!path)
                return -ENOMEM;
        r = api_get_async(a->client, path, done, a, &call);
        a->handle = call;
        return r;
}

static int start_guard_empty(struct running_action *a) {
        return start_get(a, on_listed);
}

static int start_guard_absent(struct running_action *a) {
        return start_get(a, on_looked_up);
}

/* --- the types --- */

static void event_text(const struct action *x, struct buf *b) {
        buf_printf(b, " %s %s: %s", x->event_type, x->reason, x->message);
}

const struct action_type action_type_create = {
                .name = "create", .start = start_create, .cancel = cancel_call};
const struct action_type action_type_patch = {
                .name = "patch", .start = start_patch, .cancel = cancel_call};
const struct action_type action_type_update = {
                .name = "update", .start = start_update, .cancel = cancel_call};
const struct action_type action_type_delete = {
                .name = "delete", .start = start_delete, .cancel = cancel_call};
const struct action_type action_type_delete_seen = {.name = "delete",
                .independent = true,
                .start = start_delete,
                .cancel = cancel_call};
const struct action_type action_type_delete_collection = {
                .name = "delete-all",
                .independent = true,
                .start = start_delete_all,
                .cancel = cancel_each};
const struct action_type action_type_delete_each = {.name = "delete-each",
                .independent = true,
                .start = start_delete_each,
                .cancel = cancel_each};
const struct action_type action_type_event = {
                .name = "event", .start = start_event, .text = event_text};
const struct action_type action_type_guard_empty = {.name = "guard-empty",
                .barrier = true,
                .start = start_guard_empty,
                .cancel = cancel_call};
const struct action_type action_type_guard_absent = {.name = "guard-absent",
                .barrier = true,
                .start = start_guard_absent,
                .cancel = cancel_call};

/* --- writing them down --- */

/* An action on an object that exists. */
static struct action *add_for(struct actions *a, const struct action_type *type,
                const struct api_resource *r, const json_t *object, json_t *body) {
        struct action *x;

        assert(r && body);
        x = actions_add(a, type, r, object_namespace(object), object_name(object), body);
        x->uid = action_string(object_uid(object));
        return x;
}

void action_create(struct actions *a, const char *plural, const char *ns, json_t *body) {
        const struct api_resource *r = api_resource_find(plural);

        assert(r && body);
        actions_add(a, &action_type_create, r, ns, /* name= */ NULL, body);
}

static void patch(struct actions *a, const struct api_resource *r, const json_t *object,
                const char *subresource, json_t *body) {
        const char *version = json_str_or(object, "metadata.resourceVersion", "");

        assert(json_set_str(body, "metadata.resourceVersion", version) >= 0);
        add_for(a, &action_type_patch, r, object, body)->subresource = action_string(subresource);
}

void action_patch(struct actions *a, const char *plural, const json_t *object,
                const char *subresource, json_t *body) {
        patch(a, api_resource_find(plural), object, subresource, body);
}

void action_patch_resource(struct actions *a, const struct api_resource *r, const json_t *object,
                json_t *body) {
        patch(a, r, object, /* subresource= */ NULL, body);
}

void action_update(struct actions *a, const char *plural, const json_t *object,
                const char *subresource, json_t *body) {
        const struct api_resource *r = api_resource_find(plural);

        add_for(a, &action_type_update, r, object, body)->subresource = action_string(subresource);
}

static json_t *delete_options(const json_t *object, const char *propagation) {
        json_t *options = json_pack("{s:s, s:s, s:s, s:{s:s}}", "kind", "DeleteOptions",
                        "apiVersion", "v1", "propagationPolicy",
                        propagation ? propagation : "Background", "preconditions", "uid",
                        object_uid(object));

        assert(options);
        return options;
}

void action_delete(struct actions *a, const char *plural, const json_t *object, int64_t grace_s,
                const char *propagation) {
        json_t *options = delete_options(object, propagation);

        if (grace_s >= 0)
                json_object_set_new(options, "gracePeriodSeconds", json_integer(grace_s));
        add_for(a, &action_type_delete, api_resource_find(plural), object, options);
}

void action_delete_seen(struct actions *a, const struct api_resource *r, const json_t *object,
                const char *propagation) {
        const char *version = json_str_or(object, "metadata.resourceVersion", "");
        json_t *options = delete_options(object, propagation);

        if (*version)
                assert(json_set_str(options, "preconditions.resourceVersion", version) >= 0);
        add_for(a, &action_type_delete_seen, r, object, options);
}

void action_delete_collection(struct actions *a, const struct api_resource *r, const char *ns) {
        json_t *options = json_pack("{s:s, s:s, s:s}", "kind", "DeleteOptions", "apiVersion", "v1",
                        "propagationPolicy", "Background");

        assert(r && options);
        actions_add(a, &action_type_delete_collection, r, ns, /* name= */ NULL, options);
}

void action_delete_each(struct actions *a, const struct api_resource *r, const char *ns) {
        struct action *x;

        assert(r);
        x = actions_add(a, &action_type_delete_each, r, ns, /* name= */ NULL, /* body= */ NULL);
        x->query = action_string("limit=100"); /* DELETE_EACH_MAX */
}

void action_guard_empty(struct actions *a, const struct api_resource *r, const char *ns) {
        struct action *x;

        assert(r);
        x = actions_add(a, &action_type_guard_empty, r, ns, /* name= */ NULL, /* body= */ NULL);
        x->query = action_string("limit=1");
}

void action_guard_absent(struct actions *a, const struct api_resource *r, const char *ns,
                const char *name, const char *uid) {
        struct action *x;

        assert(r && name);
        x = actions_add(a, &action_type_guard_absent, r, ns, name, /* body= */ NULL);
        x->uid = action_string(uid);
}

void action_report_end(struct actions *a, const json_t *about, const char *verb, const char *done,
                const char *failed) {
        struct action *x = &a->items[a->count - 1];

        assert(a->count > 0 && !x->about);
        x->about = json_ref(about);
        x->verb = verb;
        x->done = action_string(done);
        x->failed = action_string(failed);
}

void action_event(struct actions *a, const json_t *about, const char *type, const char *reason,
                const char *fmt, ...) {
        struct action *x = add_for(
                        a, &action_type_event, api_resource(KIND_EVENTS), about, json_ref(about));
        va_list ap;

        x->event_type = action_string(type);
        x->reason = action_string(reason);
        va_start(ap, fmt);
        if (vasprintf(&x->message, fmt, ap) < 0)
                x->message = NULL;
        va_end(ap);
        assert(x->message);
}
