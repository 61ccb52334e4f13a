/* DefaultIngressClass: an ingress that names no class, also not in the way before classes existed,
 * gets the one that is marked as the default. */
#include "kapid/admission/default-class.h"
#include "kapid/admission/plugins.h"
#include "lib/object.h"

static const char *const marks[] = {"ingressclass.kubernetes.io/is-default-class", NULL};

static int set_class(struct admission *a, struct problem *p) {
        _cleanup_json_ json_t *class = NULL;

        if (json_at(a->draft, "spec.ingressClassName") ||
                        object_annotation(a->draft, "kubernetes.io/ingress.class"))
                return 0;
        class = default_class_find(a, "networking.k8s.io", "ingressclasses", marks);
        return class ? json_set_str(a->draft, "spec.ingressClassName", object_name(class)) : 0;
}

static const struct admission_rule rules[] = {
                {.group = "networking.k8s.io",
                                .plural = "ingresses",
                                .operations = ADMIT_CREATE,
                                .mutate = set_class},
                {0},
};

const struct admission_plugin admission_default_ingress_class = {.rules = rules};
