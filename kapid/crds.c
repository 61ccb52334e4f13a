/* Definitions become kinds when the cache sees them; with the definition go its objects. */
#include "kapid/crds.h"

#include "lib/log.h"
#include "lib/object.h"

const char crd_prefix[] = "/registry/customresourcedefinitions/";

void crds_stored(struct api *a, const json_t *crd) {
        _cleanup_problem_ struct problem p = {0};

        if (object_is_deleting(crd))
                return;
        if (kind_registry_add_crd(a->kinds, crd, &p) < 0)
                log_warning("The kinds of %s cannot be served: %s", object_name(crd),
                                strempty(p.message));
}

void crds_load(struct api *a) {
        struct cache *c = caches_get(a->caches, crd_prefix);

        for (struct item *it = c ? cache_first(c, "") : NULL; it; it = cache_next(c, it)) {
                _cleanup_json_ json_t *crd = item_object(it);

                if (crd)
                        crds_stored(a, crd);
        }
}

static void on_purged(const struct store_result *res, void *userdata) {
        if (res->error)
                log_warning("Objects of a removed definition could not be deleted: %s",
                                res->message);
}

/* Every kapid does this; deleting twice does no harm. */
static void purge(struct api *a, const json_t *crd) {
        _cleanup_free_ char *prefix =
                        strformat("/registry/%s/%s/", json_str_or(crd, "spec.group", "-"),
                                        json_str_or(crd, "spec.names.plural", "-"));
        struct store_op op = {.key = prefix, .prefix = true};
        int r = prefix ? store_txn(a->store, &(struct store_txn){.ops = &op, .op_count = 1},
                                         on_purged, NULL)
                       : -ENOMEM;

        if (r < 0)
                log_warning_errno(r, "Objects of a removed definition could not be deleted");
}

void crds_on_change(struct api *a, const struct change *c) {
        _cleanup_json_ json_t *crd = item_object(c->after ? c->after : c->before);

        if (!crd)
                return;
        if (c->after) {
                crds_stored(a, crd);
                return;
        }
        kind_registry_remove_crd(a->kinds, object_name(crd));
        purge(a, crd);
}
