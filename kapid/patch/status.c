/* What pipeline_prepare_update() does to an object of the path "status" at the end (it keeps all
 * but the status as it was) is done at the beginning where it surely comes to the same. */
#include "kapid/patch/status.h"

#include "kapid/schema/schema.h"
#include "kapid/strategy/strategy.h"

/* Where nothing but the status is written, in the form that is stored. */
static bool is_of_status(const struct kind *k, const struct kind_subresource *sub) {
        return sub && streq(sub->name, "status") && sub->schema == k->schema && !sub->form &&
               !(k->strategy->flags & STRATEGY_STATUS_DEFAULTS) &&
               schema_child(k->schema, "status") && streq(k->api_version, k->storage_api_version);
}

static json_t *with_status(const json_t *live, const json_t *metadata, const json_t *status) {
        _cleanup_json_ json_t *object = json_shallow_copy(live);

        if (!object || !json_is_object(metadata) || !json_is_object(status))
                return NULL;
        if (json_object_set_new(object, "metadata", json_shallow_copy(metadata)) < 0 ||
                        json_object_set_new(object, "status", json_tree_copy(status)) < 0)
                return NULL;
        return TAKE_PTR(object);
}

/* Whether only the status differs, or is new. */
static bool is_same_but_status(const json_t *live, const json_t *merged) {
        const bool had = json_object_get(live, "status") != NULL;
        const char *key;
        const json_t *v;

        if (json_object_size(live) - had + 1 != json_object_size(merged))
                return false;
        json_object_each (merged, key, v)
                if (!streq(key, "status") && !json_same(v, json_object_get(live, key)))
                        return false;
        return true;
}

json_t *status_patched(const struct kind *k, const struct kind_subresource *sub,
                const json_t *live, const json_t *merged) {
        const json_t *status = json_object_get(merged, "status");

        if (!is_of_status(k, sub) || !status || !is_same_but_status(live, merged))
                return NULL;
        return with_status(live, json_object_get(live, "metadata"), status);
}

json_t *status_replaced(const struct kind *k, const struct kind_subresource *sub,
                const json_t *live, const json_t *body) {
        if (!is_of_status(k, sub))
                return NULL;
        return with_status(live, json_object_get(body, "metadata"),
                        json_object_get(body, "status"));
}
