/* Reasons and messages of the condition are those of Kubernetes; how many objects are held, and by
 * which finalizer, is added, so that a definition that does not go says why. */
#include "kapid/kinds/crd-delete.h"

#include "kapid/kinds/crd-names.h"
#include "lib/object.h"
#include "lib/timefmt.h"

bool crd_wants_cleanup(const json_t *crd) {
        return object_is_deleting(crd) && object_has_finalizer(crd, CRD_FINALIZER);
}

int crd_delete_object(const json_t *object, uint64_t now_us, json_t **ret) {
        _cleanup_json_ json_t *copy = NULL;
        char now[TIMEFMT_SIZE];
        int r;

        if (json_array_size(json_at(object, "metadata.finalizers")) == 0)
                return CRD_OBJECT_DELETE;
        if (object_is_deleting(object))
                return CRD_OBJECT_WAITS;
        copy = json_tree_copy(object);
        if (!copy)
                return -ENOMEM;
        json_del_at(copy, "metadata.resourceVersion");
        time_format(now_us, now);
        r = json_set_str(copy, "metadata.deletionTimestamp", now);
        if (r < 0)
                return r;
        r = json_set_int(copy, "metadata.deletionGracePeriodSeconds", 0);
        if (r < 0)
                return r;
        r = json_set_int(copy, "metadata.generation", object_generation(object) + 1);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(copy);
        return CRD_OBJECT_MARK;
}

int crd_delete_progress(json_t *crd, const struct crd_remains *remains, uint64_t now_us) {
        _cleanup_json_ json_t *before = json_tree_copy(json_object_get(crd, "status"));
        static const char text[] = "CustomResource deletion is in progress";
        _cleanup_free_ char *message =
                        remains->waiting == 0
                                        ? strdup(text)
                                        : strformat("%s: %zu held by finalizers, such as %s (%s)",
                                                          text, remains->waiting, remains->object,
                                                          remains->finalizer);
        int r;

        if (!message)
                return -ENOMEM;
        r = crd_set_condition(
                        crd, "Terminating", "True", "InstanceDeletionInProgress", message, now_us);
        if (r < 0)
                return r;
        return !before || !json_equal(before, json_object_get(crd, "status"));
}

int crd_delete_finish(json_t *crd, uint64_t now_us) {
        json_t *list = json_at_mut(crd, "metadata.finalizers");

        for (size_t i = json_array_size(list); i-- > 0;)
                if (streq(strempty(json_string_value(json_array_get(list, i))), CRD_FINALIZER) &&
                                json_array_remove(list, i) < 0)
                        return -ENOMEM;
        if (json_array_size(list) == 0)
                return 0;
        if (crd_set_condition(crd, "Terminating", "False", "InstanceDeletionCompleted",
                            "removed all instances", now_us) < 0)
                return -ENOMEM;
        return 1;
}
