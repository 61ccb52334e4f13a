/* Versions of kinds: their order, and which old ones of built-in kinds are served (kapid
 * --runtime-config). A setting is
 * "GROUP/VERSION", "GROUP/VERSION=true" or "GROUP/VERSION=false"; settings are vectors ended by
 * NULL, NULL is none. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

/* The group of a version of a document: its own (x-keelson.group), else the document's. */
const char *versions_group(const json_t *spec, const json_t *version);
/* Whether the last setting about the version switches it on. */
bool versions_are_on(char *const *settings, const char *group, const char *version);
/* Each setting must be about an old version that one of the documents has. -EINVAL with p, which
 * lists them; -ENOMEM. */
int versions_check(const json_t *documents, char *const *settings, struct problem *p);
/* Like strcmp(): v1 before v1beta2 before v1beta1 before v1alpha1; then by name, as the API orders
 * versions. */
int versions_compare(const char *a, const char *b);
