/* Shared by set.c and mutating.c. */
#pragma once

#include "kapid/policies/asking.h"
#include "kapid/policies/figures.h"
#include "kapid/policies/set.h"

struct policy_set {
        struct api *api;
        struct policy_language *language; /* made when there is a policy */
        struct policy_store stores[POLICY_TYPES];
        struct policy_figures *figures;
};

/* Before policies of the type are asked. */
int policy_set_refresh(struct policy_set *h, enum policy_type type);
/* The beginning of a question: policy_asking_begin() follows. */
struct policy_asking policy_set_asking(struct policy_set *h, enum policy_type type,
                struct request *request, const struct webhook_request *facts);
