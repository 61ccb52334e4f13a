/* Reading the inventory, once in a sync's life: from the status, or from the objects that it names.
 * (Writing is part of writing the status.) */
#include "lib/log.h"
#include "lib/object.h"
#include "reconcilers/gitsync/sync-internal.h"

static const json_t *chunk_names(const struct sync *s) {
        return json_at(s->object, "status.inventoryIn");
}

static void on_chunk(int error, const json_t *chunk, const struct problem *p, void *userdata) {
        struct batch_slot *slot = userdata;
        struct sync *s = slot->batch->userdata;
        const char *name = strempty(json_string_value(json_array_get(chunk_names(s), slot->at)));

        slot->call = NULL;
        if (error == 0)
                error = inventory_read_sets(&s->inventory, json_object_get(chunk, "sets"));
        if (error == -ENOENT) {
                log_warning("GitSync %s: its inventory \"%s\" is gone; what is listed there is "
                            "applied again and not pruned",
                                s->key, name);
                error = 0;
        }
        if (error < 0) {
                _cleanup_problem_ struct problem why = {0};

                problem_set(&why, error, p->code, NULL, "cannot read the inventory \"%s\": %s",
                                name, strempty(p->message));
                sync_slot_failed(slot, NULL, "ApiUnavailable", error, &why);
                return;
        }
        batch_next(slot);
}

static void start_chunk(struct batch_slot *slot) {
        struct sync *s = slot->batch->userdata;
        const char *name = strempty(json_string_value(json_array_get(chunk_names(s), slot->at)));
        _cleanup_free_ char *path =
                        api_path(api_resource_find("gitsyncinventories"), s->ns, name, NULL, NULL);

        if (!path || api_get_async(s->world->client, path, on_chunk, slot, &slot->call) < 0)
                sync_slot_failed(slot, NULL, "ApiUnavailable", -ENOMEM, out_of_memory());
}

static void on_loaded(void *userdata) {
        struct sync *s = userdata;

        if (sync_batch_ended_badly(s))
                return;
        s->inventory_uid = strdup(strempty(object_uid(s->object)));
        map_foreach (s->inventory.entries, m) {
                const struct inventory_entry *e = map_entry_value(m);

                if (e->kept && !s->kept) /* tried again by the first run */
                        s->kept = strdup(json_str_or(object_condition(s->object, "Pruned"),
                                        "message", "something was kept"));
        }
        if (s->deleting)
                sync_enter(s, SYNC_PRUNING);
        else {
                s->state = SYNC_IDLE;
                sync_loaded(s);
        }
}

void sync_load_begin(struct sync *s) {
        inventory_clear(&s->inventory);
        s->gone_count = 0;
        s->inventory_dirty = false;
        s->kept = mfree(s->kept);
        if (inventory_read_items(&s->inventory, json_at(s->object, "status.inventory")) < 0)
                log_oom();
        s->batch_failed = false;
        batch_run(&s->batch, json_array_size(chunk_names(s)), start_chunk, on_loaded, s);
}
