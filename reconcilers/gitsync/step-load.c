/* Reads the inventory, once in a GitSync's life: from the status, or from the objects that it
 * names. (Writing is part of writing the status.) */
#include "lib/log.h"
#include "lib/object.h"
#include "reconcilers/gitsync/run-actions.h"
#include "reconcilers/gitsync/gitsync-internal.h"

static void on_chunk(int error, const json_t *chunk, const struct problem *p, void *userdata) {
        struct running_action *a = userdata;
        struct gitsync *s = gitsync_of(a);
        _cleanup_problem_ struct problem why = {0};

        a->handle = NULL;
        if (error == 0)
                error = inventory_read_sets(&s->inventory, json_object_get(chunk, "sets"));
        if (error == -ENOENT) {
                gitsync_log(s, LOG_WARNING, NULL,
                                "GitSync %s: its inventory \"%s\" is gone; what is listed there is "
                            "applied again and not pruned",
                                s->key, a->action->name);
                error = 0;
        }
        if (error == 0) {
                action_ended(a, /* error= */ 0, /* object= */ NULL, /* p= */ NULL);
                return;
        }
        problem_set(&why, error, p->code, NULL, "cannot read the inventory \"%s\": %s",
                        a->action->name, strempty(p->message));
        gitsync_action_failed(a, /* item= */ NULL, "ApiUnavailable", error, &why);
}

static int start_chunk(struct running_action *a) {
        struct gitsync *s = gitsync_of(a);
        _cleanup_free_ char *path =
                        api_path(a->action->resource, s->ns, a->action->name, NULL, NULL);
        struct api_call *call = NULL;
        int r;

        if (!path)
                return -ENOMEM;
        r = api_get_async(s->world->client, path, on_chunk, a, &call);
        a->handle = call;
        return r;
}

const struct action_type run_action_read_inventory = {
                .name = "read", .start = start_chunk, .cancel = gitsync_cancel_call};

static void loaded(struct gitsync *s) {
        s->inventory_uid = strdup(strempty(object_uid(s->object)));
        map_foreach (s->inventory.entries, m) {
                const struct inventory_entry *e = map_entry_value(m);

                if (e->kept && !s->kept) /* tried again by the first run */
                        s->kept = strdup(json_str_or(object_condition(s->object, "Pruned"),
                                        "message", "something was kept"));
        }
        gitsync_next(s);
}

void gitsync_load_begin(struct gitsync *s) {
        const struct api_resource *resource = api_resource(KIND_GITSYNCINVENTORIES);
        struct actions list = {0};
        const json_t *name;
        size_t i;

        inventory_clear(&s->inventory);
        s->gone_count = 0;
        s->inventory_dirty = false;
        s->kept = mfree(s->kept);
        if (inventory_read_items(&s->inventory, json_at(s->object, "status.inventory")) < 0)
                log_oom();
        json_array_foreach (json_at(s->object, "status.inventoryIn"), i, name)
                actions_add(&list, &run_action_read_inventory, resource, s->ns,
                                strempty(json_string_value(name)), /* body= */ NULL);
        gitsync_carry_out(s, &list, loaded);
}
