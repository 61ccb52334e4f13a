/* A form is made once for each item and kind and kept with the item: watches and lists of a version
 * that is not the stored one convert each object once. */
#include "kapid/pipeline/forms.h"

#include "kapid/pipeline/convert.h"
#include "kapid/pipeline/pipeline.h"

/* A new item with the text of the object; the resourceVersion is the item's own part. */
static int make_item(
                struct item *it, const struct kind *k, const json_t *object, struct item **ret) {
        _cleanup_json_ json_t *copy = json_copy((json_t *)object);
        json_t *metadata = json_copy(json_object_get(object, "metadata"));
        _cleanup_free_ char *text = NULL;

        if (!copy || !metadata || json_object_set_new(copy, "metadata", metadata) < 0)
                return -ENOMEM;
        json_object_del(metadata, "resourceVersion");
        text = json_text(copy);
        if (!text)
                return -ENOMEM;
        return item_new(item_pool(it), item_key(it), strlen(k->storage_prefix), text, strlen(text),
                        item_revision(it), ret);
}

/* Nothing is converted or filled in: objects are stored as the kind shows them. What was stored
 * before a definition changed its storage version has the earlier one. */
static bool is_plain(const struct item *it, const struct kind *k) {
        return !k->fills_defaults && !k->prunes && streq(k->api_version, k->storage_api_version) &&
               item_has_api_version(it, k->api_version);
}

/* *ret_object: a new reference to the form's tree where one was made for it, else untouched. */
static int make_form(struct item *it, const struct kind *k, struct item **ret, json_t **ret_object,
                struct problem *p) {
        struct item *form = is_plain(it, k) ? it : item_form(it, k->serial);
        _cleanup_json_ json_t *stored = NULL, *converted = NULL, *filled = NULL, *shown = NULL;
        int r;

        if (form) {
                *ret = form;
                return 0;
        }
        stored = item_object_once(it);
        if (!stored)
                return -ENOMEM;
        filled = pipeline_fill_stored(k, stored);
        if (!filled)
                return -ENOMEM;
        r = object_as(filled, k, &converted, p);
        if (r < 0)
                return r;
        shown = converted == filled ? json_incref(filled) : pipeline_prune(k, converted);
        if (!shown)
                return -ENOMEM;
        if (shown != stored) {
                r = make_item(it, k, shown, &form);
                if (r < 0)
                        return r;
        }
        item_set_form(it, k->serial, form);
        *ret = form ? form : it;
        *ret_object = TAKE_PTR(shown);
        return 0;
}

int item_as(struct item *it, const struct kind *k, struct item **ret, struct problem *p) {
        _cleanup_json_ json_t *object = NULL;

        return make_form(it, k, ret, &object, p);
}

int item_take_form(struct item *it, const struct kind *k, json_t *converted) {
        _cleanup_json_ json_t *filled = pipeline_fill(k, converted);
        struct item *form;
        int r = filled ? make_item(it, k, filled, &form) : -ENOMEM;

        if (r >= 0)
                item_set_form(it, k->serial, form);
        return r;
}

void item_keep_form(struct item *it, const struct kind *k, struct item *form) {
        if (!item_form(it, k->serial))
                item_set_form(it, k->serial, form == it ? NULL : item_ref(form));
}

int item_gone_as(struct item *it, const struct kind *k, uint64_t revision, struct item **ret) {
        _cleanup_item_ struct item *gone = NULL;
        struct item *form = k->by_webhook ? item_form(it, k->serial) : NULL, *gone_form;
        int r = item_at_revision(it, revision, &gone);

        if (r < 0)
                return r;
        if (form && form != it) {
                r = item_at_revision(form, revision, &gone_form);
                if (r < 0)
                        return r;
                item_set_form(gone, k->serial, gone_form);
        }
        *ret = TAKE_PTR(gone);
        return 0;
}

int item_as_object(struct item *it, const struct kind *k, struct item **ret, json_t **ret_object,
                struct problem *p) {
        _cleanup_json_ json_t *object = NULL;
        struct item *form;
        int r = make_form(it, k, &form, &object, p);

        if (r < 0)
                return r;
        if (!object)
                object = item_object_once(form);
        if (!object)
                return -ENOMEM;
        *ret = form;
        *ret_object = TAKE_PTR(object);
        return 0;
}

int item_object_as(struct item *it, const struct kind *k, json_t **ret, struct problem *p) {
        struct item *form;

        return item_as_object(it, k, &form, ret, p);
}
