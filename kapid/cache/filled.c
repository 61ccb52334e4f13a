/* Filled once for each item and kind: what was made is kept with the item. */
#include "kapid/cache/filled.h"

#include "kapid/pipeline/pipeline.h"

/* A new item with the text of the object, whose resourceVersion is the item's own business. */
static int make(struct item *it, const struct kind *k, const json_t *object, struct item **ret) {
        _cleanup_json_ json_t *copy = json_copy((json_t *)object);
        json_t *metadata = json_copy(json_object_get(object, "metadata"));
        _cleanup_free_ char *text = NULL;

        if (!copy || !metadata || json_object_set_new(copy, "metadata", metadata) < 0)
                return -ENOMEM;
        json_object_del(metadata, "resourceVersion");
        text = json_text(copy);
        return text ? item_new(item_pool(it), item_key(it), strlen(k->storage_prefix), text,
                                      strlen(text), item_revision(it), ret)
                    : -ENOMEM;
}

struct item *item_for_kind(struct item *it, const struct kind *k) {
        struct item *known = k->fills_defaults ? item_filled(it, k->serial) : it;
        _cleanup_json_ json_t *stored = NULL, *filled = NULL;

        if (known)
                return known;
        stored = item_object_once(it);
        filled = stored ? machine_fill(k, stored) : NULL;
        if (!filled)
                return NULL;
        if (filled != stored && make(it, k, filled, &known) < 0)
                return NULL;
        item_set_filled(it, k->serial, known);
        return known ? known : it;
}
