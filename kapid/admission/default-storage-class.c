/* DefaultStorageClass: a claim that names no class gets the one that is marked as the default; of
 * several the newest. A claim with an empty class asks for none. */
#include "kapid/admission/plugins.h"
#include "kapid/api.h"
#include "lib/object.h"

static bool is_default(const json_t *class) {
        const char *mark = object_annotation(class, "storageclass.kubernetes.io/is-default-class"),
                   *beta = object_annotation(
                                   class, "storageclass.beta.kubernetes.io/is-default-class");

        return streq(strempty(mark), "true") || streq(strempty(beta), "true");
}

static bool is_newer(const json_t *class, const json_t *than) {
        int order = strcmp(json_str_or(class, "metadata.creationTimestamp", ""),
                        json_str_or(than, "metadata.creationTimestamp", ""));

        return order > 0 || (order == 0 && strcmp(object_name(class), object_name(than)) < 0);
}

/* A new reference; NULL: there is none. */
static json_t *find_default(const struct admission *a) {
        struct cache *classes = api_cache(a->api, "storage.k8s.io", "storageclasses");
        _cleanup_json_ json_t *found = NULL;

        if (!classes)
                return NULL;
        for (struct item *it = cache_first(classes, ""); it; it = cache_next(classes, it)) {
                _cleanup_json_ json_t *class = item_object(it);

                if (!class || !is_default(class) || (found && !is_newer(class, found)))
                        continue;
                json_decref(found);
                found = TAKE_PTR(class);
        }
        return TAKE_PTR(found);
}

static int set_class(struct admission *a, struct problem *p) {
        _cleanup_json_ json_t *class = NULL;

        if (json_at(a->draft, "spec.storageClassName") ||
                        object_annotation(a->draft, "volume.beta.kubernetes.io/storage-class"))
                return 0;
        class = find_default(a);
        return class ? json_set_str(a->draft, "spec.storageClassName", object_name(class)) : 0;
}

static const struct admission_rule rules[] = {
                {.group = "",
                                .plural = "persistentvolumeclaims",
                                .operations = ADMIT_CREATE,
                                .mutate = set_class},
                {0},
};

const struct admission_plugin admission_default_storage_class = {.rules = rules};
