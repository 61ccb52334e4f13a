/* Copies are deep: an object that was asked for may be shared with the cache. */
#include "kapid/pipeline/convert.h"

#include "kapid/strategy/strategy.h"
#include "lib/json-text.h"
#include "lib/object.h"

/* Changes the object in place. Where a convert gives no code, 500: the client did nothing wrong. */
static int convert(const struct kind *k, const char *version, const char *api_version,
                json_t *object, struct problem *p) {
        int r;

        if (k->by_webhook)
                return problem_set(p, EAGAIN, 500, "InternalError",
                                "conversion of %s \"%s\" to %s needs the webhook of its "
                                "definition, which cannot be asked now",
                                k->resource, object_name(object), version);
        if (k->strategy->convert) {
                r = k->strategy->convert(k, version, object, p);
                if (r == -ENOMEM)
                        return r;
                if (r < 0 && !p->code)
                        p->code = 500;
                if (r < 0 && !p->reason)
                        p->reason = "InternalError";
                if (r < 0) {
                        problem_prefix(p, "conversion of %s \"%s\" to %s failed", k->resource,
                                        object_name(object), version);
                        return r;
                }
        }
        return json_set_str(object, "apiVersion", api_version);
}

int object_as(const json_t *object, const struct kind *k, json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *copy = NULL;
        int r;

        if (streq(object_api_version(object), k->api_version)) {
                *ret = json_incref((json_t *)object);
                return 0;
        }
        copy = json_tree_copy(object);
        if (!copy)
                return -ENOMEM;
        r = convert(k, k->version, k->api_version, copy, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(copy);
        return 0;
}

int kind_store_form(const struct kind *k, const json_t *object, json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *form = NULL, *metadata = NULL;
        int r;

        if (streq(k->api_version, k->storage_api_version)) {
                form = json_copy((json_t *)object);
        } else {
                form = json_tree_copy(object);
                if (!form)
                        return -ENOMEM;
                r = convert(k, k->storage_version, k->storage_api_version, form, p);
                if (r < 0)
                        return r;
        }
        metadata = json_copy(json_object_get(form, "metadata"));
        if (!form || !metadata)
                return -ENOMEM;
        json_object_del(metadata, "resourceVersion");
        if (json_object_set(form, "metadata", metadata) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(form);
        return 0;
}

bool kind_stores_as(const struct kind *k, const char *value, size_t n) {
        const char *version = k->storage_api_version, *end = value + n,
                   *at = json_text_member(value, end, "apiVersion");
        size_t size = strlen(version);

        return at && (size_t)(end - at) >= size + 2 && *at == '"' &&
               memcmp(at + 1, version, size) == 0 && at[size + 1] == '"';
}
