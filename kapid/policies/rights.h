/* What authorizer asks in expressions. */
#pragma once

#include "kapid/policies/language.h"

/* For struct policy_authority; userdata: the struct request. */
bool policy_may(const struct policy_access *access, void *userdata);
