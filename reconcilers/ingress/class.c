/* Of kingressd and of kreconciled, which writes the status: both must agree. */
#include "reconcilers/ingress/class.h"

#include "lib/object.h"

bool ingress_class_has(const json_t *class, const json_t *ingress) {
        const char *name = json_str(ingress, "spec.ingressClassName");

        if (!streq(json_str_or(class, "spec.controller", ""), INGRESS_CONTROLLER))
                return false;
        if (!name)
                name = object_annotation(ingress, "kubernetes.io/ingress.class");
        if (name)
                return streq(object_name(class), name);
        return streq(strempty(object_annotation(
                                     class, "ingressclass.kubernetes.io/is-default-class")),
                        "true");
}
