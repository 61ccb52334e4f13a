/* Forms that clients get instead of whole objects: Tables for people, PartialObjectMetadata for
 * garbage collectors (docs/wire.md sections 4 and 16). Ages are computed against now_us. */
#pragma once

#include "kapid/kinds/kind.h"
#include "lib/buf.h"

enum table_include { TABLE_INCLUDE_METADATA, TABLE_INCLUDE_NONE, TABLE_INCLUDE_OBJECT };
/* "None", "Metadata", "Object", NULL or "". Refusal: 400. */
int table_include_parse(const char *word, enum table_include *ret, struct problem *p);

/* An empty Table. version: "v1" or "v1beta1". list_metadata: {resourceVersion, continue,
 * remainingItemCount} or NULL. with_columns false: columnDefinitions left out (events of a watch
 * after the first). */
json_t *table_new(const struct kind *k, const char *version, const json_t *list_metadata,
                bool with_columns);
int table_add_row(json_t *table, const struct kind *k, const json_t *object,
                enum table_include include, uint64_t now_us);
/* The same row as text, from the text of an object: only what the kind's cells read of it is
 * parsed, and metadata are copied. */
int table_write_row(struct buf *b, const struct kind *k, const char *text, size_t n,
                enum table_include include, uint64_t now_us);

/* Only the columns: those of the subresource scale, whatever kind it belongs to. */
extern const struct kind table_of_scales;

/* {kind: PartialObjectMetadata, apiVersion: meta.k8s.io/<version>, metadata}; shares the metadata.
 */
json_t *partial_metadata(const json_t *object, const char *version);
/* The same from the text of an object. -EINVAL when it has no metadata. */
int partial_metadata_write(struct buf *b, const char *text, size_t n, const char *version);
