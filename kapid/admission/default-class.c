/* Clusters have few classes: each look is a walk over all. */
#include "kapid/admission/default-class.h"

#include "kapid/api.h"
#include "lib/object.h"

static bool is_marked(const json_t *class, const char *const *marks) {
        for (size_t i = 0; marks[i]; i++)
                if (streq(strempty(object_annotation(class, marks[i])), "true"))
                        return true;
        return false;
}

static bool is_newer(const json_t *class, const json_t *than) {
        int order = strcmp(json_str_or(class, "metadata.creationTimestamp", ""),
                        json_str_or(than, "metadata.creationTimestamp", ""));

        return order > 0 || (order == 0 && strcmp(object_name(class), object_name(than)) < 0);
}

json_t *default_class_find(const struct admission *a, const char *group, const char *plural,
                const char *const *marks) {
        struct cache *classes = api_cache(a->api, group, plural);
        _cleanup_json_ json_t *found = NULL;

        if (!classes)
                return NULL;
        for (struct item *it = cache_first(classes, ""); it; it = cache_next(classes, it)) {
                _cleanup_json_ json_t *class = item_object(it);

                if (!class || !is_marked(class, marks) || (found && !is_newer(class, found)))
                        continue;
                json_decref(found);
                found = TAKE_PTR(class);
        }
        return TAKE_PTR(found);
}
