/* Definitions become kinds when the cache sees them; with the definition go its objects. */
#include "kapid/kinds/crds.h"

#include "kapid/kinds/crd-cleanup.h"
#include "kapid/kinds/crd-names.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"

const char crd_prefix[] = "/registry/customresourcedefinitions/";

void crds_load(struct api *a) {
        struct cache *c = caches_get(a->caches, crd_prefix);

        for (struct item *it = c ? cache_first(c, "") : NULL; it; it = cache_next(c, it)) {
                _cleanup_json_ json_t *crd = item_object(it);

                if (crd)
                        crd_serve(a->kinds, crd);
        }
        crd_cleanup_wake(a->cleanup);
}

static void on_purged(const struct store_result *res, void *userdata) {
        if (res->error)
                log_warning("Objects of a removed definition could not be deleted: %s",
                                res->message);
}

/* What crd-cleanup.c has left: objects that no key opens, those of a definition whose finalizer
 * somebody took away. Every kapid does this; deleting twice does no harm, and objects of a
 * definition that was made again are not touched. */
static void purge(struct api *a, const struct item *it, const json_t *crd) {
        _cleanup_free_ char *prefix =
                        strformat("/registry/%s/%s/", json_str_or(crd, "spec.group", "-"),
                                        json_str_or(crd, "spec.names.plural", "-"));
        struct store_guard gone = {.key = item_key(it), .revision = 0};
        struct store_op op = {.key = prefix, .prefix = true};
        int r = prefix ? store_txn(a->store,
                                         &(struct store_txn){.guards = &gone,
                                                         .guard_count = 1,
                                                         .ops = &op,
                                                         .op_count = 1},
                                         on_purged, NULL)
                       : -ENOMEM;

        if (r < 0)
                log_warning_errno(r, "Objects of a removed definition could not be deleted");
}

static void on_settled(const struct store_result *res, void *userdata) {
        if (res->error)
                log_warning("A definition that waits for its names could not be written: %s",
                                res->message);
}

/* Gives a definition the names that are free now. Every kapid tries: the guard lets one through.
 * 1 when it is being written. */
static int settle(struct api *a, struct item *it, const json_t *old) {
        _cleanup_json_ json_t *crd = json_tree_copy(old);
        struct store_guard guard = {.key = item_key(it), .revision = item_revision(it)};
        _cleanup_free_ char *text = NULL;
        int r = crd ? crd_settle_names(a->kinds, old, crd, now_wall_us()) : -ENOMEM;

        if (r <= 0)
                return r;
        json_del_at(crd, "metadata.resourceVersion");
        text = json_text(crd);
        if (!text)
                return -ENOMEM;
        struct store_op op = {.key = item_key(it), .value = text, .size = strlen(text)};
        r = store_txn(a->store,
                        &(struct store_txn){.guards = &guard,
                                        .guard_count = 1,
                                        .ops = &op,
                                        .op_count = 1},
                        on_settled, NULL);
        return r < 0 ? r : 1;
}

/* A definition went or changed: those of its group that wait may have its names now. One at a time,
 * as two may wait for the same name; the change of the first brings us here again. */
static void settle_waiting(struct api *a, const char *group) {
        struct cache *c = caches_get(a->caches, crd_prefix);

        for (struct item *it = c ? cache_first(c, "") : NULL; it; it = cache_next(c, it)) {
                _cleanup_json_ json_t *crd = item_object(it);

                if (!crd || !crd_is_waiting(crd) || object_is_deleting(crd) ||
                                !streq(json_str_or(crd, "spec.group", ""), group))
                        continue;
                int r = settle(a, it, crd);
                if (r < 0)
                        log_warning_errno(r, "The names of %s cannot be settled", object_name(crd));
                if (r > 0)
                        return;
        }
}

void crds_on_change(struct api *a, const struct change *c) {
        struct item *it = c->after ? c->after : c->before;
        _cleanup_json_ json_t *crd = item_object(it);

        if (!crd)
                return;
        if (c->after) {
                crd_serve(a->kinds, crd);
                if (object_is_deleting(crd))
                        crd_cleanup_wake(a->cleanup);
                settle_waiting(a, json_str_or(crd, "spec.group", ""));
                return;
        }
        kind_registry_remove_crd(a->kinds, object_name(crd));
        purge(a, it, crd);
        settle_waiting(a, json_str_or(crd, "spec.group", ""));
}
