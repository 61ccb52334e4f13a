/* The built-in kinds' documents (kapid/kinds/ *.yaml) as one JSON array; the definition is made at
 * build time by kinds-to-c.
 *
 * A document is a CustomResourceDefinition, or `kind: Definitions` with schemas that others name by
 * `$ref: core.v1.PodSpec`. Beside what a CustomResourceDefinition may say, ours say:
 *   - in a version, x-keelson: verbs (all when absent), stored (false: answered and forgotten),
 *     updateCreates (PUT makes a missing object), ownNameColumn (no Name column first), subresources
 *     (name, verbs, and the group, version, kind and schema of the body where it is another kind);
 *   - columns without a jsonPath: their cells are made in kapid/table/;
 *   - on a field, x-protobuf: its number, or [outer, inner] below an inlined message;
 *     x-kubernetes-patch-strategy and -merge-key as in Kubernetes' own documents;
 *   - on a field, x-keelson-no-effect: it is taken and nothing comes of it; the text says why. As
 *     {value, text}: only that value has no effect; as {except, text}: values that begin so have
 *     one. See lib/no-effect.h;
 *   - formats of our own for names: dns1123-label, qualified-name... (schema.h), quantity, micro-time.
 * What a schema can't say is in kapid/strategy/. */
#pragma once

#include <stddef.h>

extern const char kind_documents[];
extern const size_t kind_documents_size;
