/* CustomResourceDefinitionNames: a definition gets the names that no other definition has
 * (kapid/kinds/crd-names.h); the others wait. */
#include "kapid/admission/plugins.h"
#include "kapid/api.h"
#include "kapid/kinds/crd-names.h"

static int settle_names(struct admission *a, struct problem *p) {
        return crd_settle_names(a->api->kinds, a->live, a->draft, a->now_us);
}

const struct admission_plugin admission_definition_names = {
                .rules =
                                (const struct admission_rule[]){
                                                {.group = "apiextensions.k8s.io",
                                                                .plural = "customresourcedefinition"
                                                                          "s",
                                                                .operations = ADMIT_CREATE |
                                                                              ADMIT_UPDATE,
                                                                .mutate = settle_names},
                                                {0},
                                },
};
