/* Lists of actions: how plans write them down, and their text form. */
#include "reconcilers/controller.h"

#include <stdarg.h>

#include "lib/buf.h"
#include "lib/object.h"
#include "lib/selector.h"

static void action_done(struct action *x) {
        free(x->ns);
        free(x->name);
        free(x->uid);
        free(x->subresource);
        json_decref(x->body);
        free(x->event_type);
        free(x->reason);
        free(x->message);
}

void actions_done(struct actions *a) {
        for (size_t i = 0; i < a->count; i++)
                action_done(&a->items[i]);
        free(a->items);
        *a = (struct actions){0};
}

/* Plans have no way to fail: out of memory ends the program, which starts again where it was. */
static char *copy(const char *s) {
        char *c = s ? strdup(s) : NULL;

        assert(!s || c);
        return c;
}

static struct action *add(struct actions *a, enum action_type type, const struct api_resource *r,
                const char *ns, const char *name, json_t *body) {
        assert(r);
        if (a->count == a->allocated) {
                size_t n = a->allocated ? a->allocated * 2 : 4;
                struct action *items = reallocarray(a->items, n, sizeof(*items));

                assert(items);
                a->items = items;
                a->allocated = n;
        }
        a->items[a->count] = (struct action){.type = type,
                        .resource = r,
                        .ns = copy(ns),
                        .name = copy(name),
                        .body = body};
        return &a->items[a->count++];
}

void action_create(struct actions *a, const char *plural, const char *ns, json_t *body) {
        assert(body);
        add(a, ACTION_CREATE, api_resource_find(plural), ns, NULL, body);
}

static void patch(struct actions *a, const struct api_resource *r, const json_t *object,
                const char *subresource, json_t *body) {
        struct action *x;

        assert(body);
        assert(json_set_str(body, "metadata.resourceVersion",
                               json_str_or(object, "metadata.resourceVersion", "")) >= 0);
        x = add(a, ACTION_PATCH, r, object_namespace(object), object_name(object), body);
        x->subresource = copy(subresource);
        x->uid = copy(object_uid(object));
}

void action_patch(struct actions *a, const char *plural, const json_t *object,
                const char *subresource, json_t *body) {
        patch(a, api_resource_find(plural), object, subresource, body);
}

void action_patch_resource(struct actions *a, const struct api_resource *r, const json_t *object,
                json_t *body) {
        patch(a, r, object, NULL, body);
}

void action_update(struct actions *a, const char *plural, const json_t *object,
                const char *subresource, json_t *body) {
        struct action *x;

        assert(body);
        x = add(a, ACTION_UPDATE, api_resource_find(plural), object_namespace(object),
                        object_name(object), body);
        x->subresource = copy(subresource);
        x->uid = copy(object_uid(object));
}

void action_delete_resource(struct actions *a, const struct api_resource *r, const json_t *object,
                int64_t grace_s, const char *propagation) {
        json_t *options = json_pack("{s:s, s:s, s:s, s:{s:s}}", "kind", "DeleteOptions",
                        "apiVersion", "v1", "propagationPolicy",
                        propagation ? propagation : "Background", "preconditions", "uid",
                        object_uid(object));
        struct action *x;

        assert(options);
        if (grace_s >= 0)
                json_object_set_new(options, "gracePeriodSeconds", json_integer(grace_s));
        x = add(a, ACTION_DELETE, r, object_namespace(object), object_name(object), options);
        x->uid = copy(object_uid(object));
}

void action_delete(struct actions *a, const char *plural, const json_t *object, int64_t grace_s,
                const char *propagation) {
        action_delete_resource(a, api_resource_find(plural), object, grace_s, propagation);
}

void action_guard_absent(struct actions *a, const struct api_resource *r, const char *ns,
                const char *name, const char *uid) {
        struct action *x = add(a, ACTION_GUARD_ABSENT, r, ns, name, NULL);

        x->uid = copy(uid);
}

void action_delete_collection(struct actions *a, const struct api_resource *r, const char *ns) {
        json_t *options = json_pack("{s:s, s:s, s:s}", "kind", "DeleteOptions", "apiVersion", "v1",
                        "propagationPolicy", "Background");

        assert(options);
        add(a, ACTION_DELETE_COLLECTION, r, ns, NULL, options);
}

void action_guard_empty(struct actions *a, const struct api_resource *r, const char *ns) {
        add(a, ACTION_GUARD_EMPTY, r, ns, NULL, NULL);
}

void action_event(struct actions *a, const json_t *about, const char *type, const char *reason,
                const char *fmt, ...) {
        struct action *x = add(a, ACTION_EVENT, api_resource_find("events"),
                        object_namespace(about), object_name(about), json_incref((json_t *)about));
        va_list ap;

        x->event_type = copy(type);
        x->reason = copy(reason);
        va_start(ap, fmt);
        if (vasprintf(&x->message, fmt, ap) < 0)
                x->message = NULL;
        va_end(ap);
        assert(x->message);
}

void actions_requeue(struct actions *a, uint64_t delay_us) {
        if (a->requeue_after_us == 0 || delay_us < a->requeue_after_us)
                a->requeue_after_us = MAX(delay_us, UINT64_C(1000));
}

static const char *const type_names[] = {
                [ACTION_CREATE] = "create",
                [ACTION_PATCH] = "patch",
                [ACTION_UPDATE] = "update",
                [ACTION_DELETE] = "delete",
                [ACTION_EVENT] = "event",
                [ACTION_DELETE_COLLECTION] = "delete-all",
                [ACTION_GUARD_EMPTY] = "guard-empty",
                [ACTION_GUARD_ABSENT] = "guard-absent",
};

char *actions_text(const struct actions *a) {
        _cleanup_buf_ struct buf b = {0};

        for (size_t i = 0; i < a->count; i++) {
                const struct action *x = &a->items[i];
                const char *name =
                                x->name ? x->name
                                        : json_str_or(x->body, "metadata.name",
                                                          json_str_or(x->body,
                                                                          "metadata.generateName",
                                                                          ""));

                buf_printf(&b, "%s %s %s%s%s%s%s", type_names[x->type], x->resource->plural,
                                strempty(x->ns), isempty(x->ns) ? "" : "/", name,
                                x->subresource ? " " : "", strempty(x->subresource));
                if (x->type == ACTION_EVENT)
                        buf_printf(&b, " %s %s: %s", x->event_type, x->reason, x->message);
                else if (x->body) {
                        _cleanup_free_ char *text =
                                        json_dumps(x->body, JSON_COMPACT | JSON_SORT_KEYS);

                        buf_printf(&b, " %s", strempty(text));
                }
                buf_append_char(&b, '\n');
        }
        return buf_take(&b);
}

void wake_key(const struct wake *out, const char *ns, const char *name) {
        char key[600];

        if (snprintf(key, sizeof(key), "%s%s%s", strempty(ns), isempty(ns) ? "" : "/", name) <
                        (int)sizeof(key))
                out->add(out->userdata, key);
}

void wake_object(const struct wake *out, const json_t *object) {
        wake_key(out, object_namespace(object), object_name(object));
}

void wake_controller(
                const struct wake *out, const json_t *object, const char *group, const char *kind) {
        const json_t *ref = object_controller_ref(object);
        const char *version = json_str_or(ref, "apiVersion", "");
        const char *slash = strchr(version, '/');
        size_t n = slash ? (size_t)(slash - version) : 0;

        if (ref && streq(json_str_or(ref, "kind", ""), kind) && strlen(group) == n &&
                        strncmp(version, group, n) == 0)
                wake_key(out, object_namespace(object), json_str_or(ref, "name", ""));
}

void wake_selecting(const struct world *w, const struct wake *out, enum world_index index,
                const json_t *object) {
        _cleanup_objects_ struct objects all = {0};

        if (object_controller_ref(object))
                return;
        world_list(w, index, object_namespace(object), &all);
        for (size_t i = 0; i < all.count; i++) {
                _cleanup_(label_selector_freep) struct label_selector *selector = NULL;
                _cleanup_problem_ struct problem p = {0};

                if (label_selector_from_json(
                                    json_at(all.items[i], "spec.selector"), &selector, &p) >= 0 &&
                                label_selector_matches(
                                                selector, json_at(object, "metadata.labels")))
                        wake_object(out, all.items[i]);
        }
}
