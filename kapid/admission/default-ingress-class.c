/* DefaultIngressClass: an ingress that names no class, also not in the way before classes existed,
 * gets the one that is marked as the default. Ingresses that nothing of keelson serves get a
 * warning. */
#include "kapid/admission/default-class.h"
#include "kapid/admission/plugins.h"
#include "kapid/api.h"
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

/* The class of that name has keelson's controller: 1; another one, or there is none: 0. */
static int is_served(struct admission *a, const char *name) {
        struct cache *classes = api_cache(a->api, "networking.k8s.io", "ingressclasses");
        struct item *it = classes ? cache_find(classes, name) : NULL;
        _cleanup_json_ json_t *class = it ? item_object(it) : NULL;

        return streq(json_str_or(class, "spec.controller", ""), "keelson.dev/ingress");
}

static int warn_unserved(struct admission *a, struct problem *p) {
        const char *name = json_str(a->object, "spec.ingressClassName");

        if (!name)
                name = object_annotation(a->object, "kubernetes.io/ingress.class");
        if (!name)
                return admission_warn(a,
                                "spec.ingressClassName: the Ingress names no class, and no "
                                "class is the default: nothing serves it; use the class "
                                "keelson");
        if (is_served(a, name))
                return 0;
        return admission_warn(a, "spec.ingressClassName: keelson does not serve this class; a "
                                 "controller that you install can, or use the class keelson");
}

static const struct admission_rule rules[] = {
                {.group = "networking.k8s.io",
                                .plural = "ingresses",
                                .operations = ADMIT_CREATE,
                                .mutate = set_class},
                {.group = "networking.k8s.io",
                                .plural = "ingresses",
                                .operations = ADMIT_CREATE | ADMIT_UPDATE,
                                .validate = warn_unserved},
                {0},
};

const struct admission_plugin admission_default_ingress_class = {.rules = rules};
