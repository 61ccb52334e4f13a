/* Lists of actions: how decisions write them down, and their text form. */
#include "lib/client/actions.h"

#include "lib/object.h"
#include "lib/vector.h"

static void action_done(struct action *x) {
        free(x->ns);
        free(x->name);
        free(x->uid);
        free(x->subresource);
        free(x->query);
        json_decref(x->body);
        free(x->event_type);
        free(x->reason);
        free(x->message);
        json_decref(x->about);
        free(x->done);
        free(x->failed);
}

void actions_done(struct actions *a) {
        for (size_t i = 0; i < a->count; i++)
                action_done(&a->items[i]);
        vector_done(a);
        a->requeue_after_us = 0;
}

char *action_string(const char *s) {
        char *copy = s ? strdup(s) : NULL;

        assert(!s || copy);
        return copy;
}

struct action *actions_add(struct actions *a, const struct action_type *type,
                const struct api_resource *resource, const char *ns, const char *name,
                json_t *body) {
        const struct action x = {.type = type,
                        .resource = resource,
                        .ns = action_string(ns),
                        .name = action_string(name),
                        .body = body};

        assert(type && type->start);
        assert(vector_append(a, x) >= 0);
        return &a->items[a->count - 1];
}

void actions_append(struct actions *a, struct actions *more) {
        for (size_t i = 0; i < more->count; i++)
                assert(vector_append(a, more->items[i]) >= 0);
        if (more->requeue_after_us > 0)
                actions_requeue(a, more->requeue_after_us);
        more->count = 0;
        actions_done(more);
}

static int barrier_start(struct running_action *a) {
        action_ended(a, 0, /* object= */ NULL, /* p= */ NULL);
        return 0;
}

static const struct action_type barrier_type = {
                .name = "barrier", .barrier = true, .start = barrier_start};

void actions_barrier(struct actions *a) {
        actions_add(a, &barrier_type, /* resource= */ NULL, /* ns= */ NULL, /* name= */ NULL,
                        /* body= */ NULL);
}

void actions_requeue(struct actions *a, uint64_t delay_us) {
        if (a->requeue_after_us == 0 || delay_us < a->requeue_after_us)
                a->requeue_after_us = MAX(delay_us, UINT64_C(1000));
}

/* The name, or the one in the body of an object to create. */
static const char *name_of(const struct action *x) {
        const char *name = x->name ? x->name : json_str(x->body, "metadata.name");

        return name ? name : json_str_or(x->body, "metadata.generateName", "");
}

static void action_text(const struct action *x, struct buf *b) {
        const char *name = name_of(x);

        buf_append_str(b, x->type->name);
        if (x->resource)
                buf_printf(b, " %s", x->resource->plural);
        if (x->resource || *name || !isempty(x->ns))
                buf_printf(b, " %s%s%s", strempty(x->ns), isempty(x->ns) ? "" : "/", name);
        if (x->subresource)
                buf_printf(b, " %s", x->subresource);
        if (x->type->text)
                x->type->text(x, b);
        else if (x->body) {
                _cleanup_free_ char *body = json_dumps(x->body, JSON_COMPACT | JSON_SORT_KEYS);

                buf_printf(b, " %s", strempty(body));
        }
        if (x->about)
                buf_printf(b, " Successful%s: %s", x->verb, x->done);
        buf_append_char(b, '\n');
}

char *actions_text(const struct actions *a) {
        _cleanup_buf_ struct buf b = {0};

        for (size_t i = 0; i < a->count; i++)
                action_text(&a->items[i], &b);
        return buf_take(&b);
}
