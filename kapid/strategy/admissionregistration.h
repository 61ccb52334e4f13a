/* Checks that webhook configurations and admission policies share. */
#pragma once

#include "kapid/strategy/strategy.h"

/* The list of rules at a field of v, and its selectors; v is at the path's end. */
void admission_validate_rules(struct findings *f, const json_t *v, const char *field);
void admission_validate_selectors(struct findings *f, const json_t *v);
