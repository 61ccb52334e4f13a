/* Kinds of Kubernetes are structs with structs in them: an empty Deployment has a spec, a template
 * and a strategy, and a list of no containers. Who creates one therefore owns the fields in them
 * and not that they are there, which is what `.` in managedFields says. The kinds' documents say
 * which (x-keelson, empty). */
#include "kapid/patch/empty.h"

/* A part that the object lacks would count as one that it lost. */
static void drop_missing(json_t *empty, const json_t *object) {
        const char *key;
        json_t *v;
        void *next;

        json_object_foreach_safe(empty, next, key, v) {
                const json_t *is = json_object_get(object, key);

                if (!is || json_typeof(is) != json_typeof(v))
                        json_object_del(empty, key);
                else if (json_is_object(v))
                        drop_missing(v, is); /* as deep as the document is */
        }
}

json_t *empty_object(const struct kind *k, const json_t *object) {
        json_t *empty = k->empty    ? json_tree_copy(k->empty)
                        : k->custom ? json_object()
                                    : json_pack("{s:{},s:{}}", "spec", "status");

        if (empty)
                drop_missing(empty, object);
        return empty;
}
