/* Patches that carry no ownership: JSON patch (RFC 6902), merge patch (RFC 7386) and strategic
 * merge patch by the schema's merge keys. Pure functions of an object and a patch. */
#pragma once

#include "kapid/pipeline/pipeline.h"

enum patch_type { PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY };
/* By Content-Type; refusal 415 naming the accepted ones (custom kinds have no strategic merge). */
int patch_type_parse(const struct kind *k, const char *content_type, enum patch_type *ret,
                struct problem *p);

/* One patch on one object, whole: parses the body, patches a copy, prunes and normalises. For every
 * type but PATCH_APPLY. sub: NULL, status, scale (then target is a Scale)... The patched object is
 * in ret->object (ret->status_alone: where it
 * shares parts with target, write_object()), warnings (unknown and duplicate fields of the patch) in ret->warnings. Refusals:
 * 400 (unreadable, strict errors), 422 (a failing JSON patch test or path; wrong types). */
int patch_run(const struct kind *k, const struct kind_subresource *sub, enum patch_type type,
                const void *data, size_t n, enum field_validation validation, const json_t *target,
                struct decoded *ret, struct problem *p);

/* The single rules; target is untouched. ret may share parts with it and with the patch but for
 * patch_json's, which is a new tree. patch_json: -ENOMSG when a test found another value. */
int patch_json(const json_t *target, const json_t *operations, json_t **ret, struct problem *p);
int patch_merge(const json_t *target, const json_t *patch, json_t **ret);
int patch_strategic(const struct schema *schema, const json_t *target, const json_t *patch,
                json_t **ret, struct problem *p);
