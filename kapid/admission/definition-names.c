/* CustomResourceDefinitionNames: a definition gets the names that no other definition has
 * (kapid/kinds/crd-names.h); the others wait. While a definition is being deleted, none of its
 * objects are created. */
#include "kapid/admission/plugins.h"
#include "kapid/api.h"
#include "kapid/kinds/crd-names.h"

static int settle_names(struct admission *a, struct problem *p) {
        return crd_settle_names(a->api->kinds, a->live, a->draft, a->now_us);
}

static int refuse_terminating(struct admission *a, struct problem *p) {
        if (!a->kind->terminating)
                return 0;
        problem_set(p, EACCES, 403, "Forbidden",
                        "%s \"%s\" is forbidden: create not allowed while custom resource "
                        "definition is terminating",
                        a->kind->resource, a->name);
        problem_about(p, a->kind->group, a->kind->plural, a->name);
        return -EACCES;
}

static const struct admission_rule rules[] = {
                {.operations = ADMIT_CREATE, .may_create = refuse_terminating},
                {.group = "apiextensions.k8s.io",
                                .plural = "customresourcedefinitions",
                                .operations = ADMIT_WRITE,
                                .mutate = settle_names},
                {0},
};

const struct admission_plugin admission_definition_names = {.rules = rules};
