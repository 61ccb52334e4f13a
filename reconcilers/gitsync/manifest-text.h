/* The forms in which manifests are written: YAML or JSON, lists of objects, Secrets in plain text.
 * Pure. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"
#include "lib/yaml.h"

/* The documents of a file: JSON (one value after another) when it begins with "{", else YAML. On
 * errors p names line and cause. -EINVAL, -E2BIG, -ENOMEM. */
int manifest_text_parse(
                const char *name, const char *text, struct yaml_docs *ret, struct problem *p);
/* Whether a document is meant to be an object of the API: a mapping with apiVersion or kind. Others
 * are files of other programs (values.yaml, a pipeline). */
bool manifest_is_object(const json_t *document);
/* The items of a list (kind List, or ...List with items and without a name of its own), NULL when
 * it is not a list. */
json_t *manifest_list_items(const json_t *document);
/* An item of such a list takes apiVersion and kind from it ("ConfigMapList": ConfigMap) where it
 * has none itself. 0 or -ENOMEM. */
int manifest_complete_item(const json_t *list, json_t *item);
/* stringData of a Secret becomes data, as the API would make it: so that a key removed from the
 * manifest is removed from the object: the applier owns it. 0, -ENOMEM, or -EINVAL with p's field
 * set. */
int manifest_convert(json_t *object, struct problem *p);
