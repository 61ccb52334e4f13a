/* The OpenAPI v2 documents of extension servers, put into ours by kube-aggregator's rules. Pure. */
#pragma once

#include "lib/json.h"

/* The part of an extension server's document that is about its version: the paths below
 * /apis/GROUP/VERSION and the definitions that they need. {"paths": {...}, "definitions": {...}},
 * a tree that shares the document's; -ENOENT: it says nothing about it. -ENOMEM. */
int openapi_v2_filter(const json_t *doc, const char *group, const char *version, json_t **ret);
/* Puts such a part into a whole document. A path that is there already stays as it is. A definition
 * of the same name that says something else comes in as NAME_v2 (or _v3 and so on), and the part
 * refers to that. Takes the part, which no one else may share, also on failure. -ENOSPC: too many
 * have its names already, and the whole is as it was; -ENOMEM. */
int openapi_v2_merge(json_t *whole, json_t *part_taken);
