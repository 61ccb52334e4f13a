/* An OpenAPI document being written: what the definitions (openapi.c) and the paths
 * (openapi-paths.c) share. */
#pragma once

#include "kapid/kinds/kind.h"
#include "lib/buf.h"
#include "lib/map.h"

struct writer {
        struct buf out;
        struct map *wanted; /* name of a definition -> struct schema, in order of discovery */
        const char *ref_prefix;
        bool v2;
};

/* `"key":` with a comma before it where one is needed. */
void writer_key(struct writer *w, const char *key);
void writer_pair(struct writer *w, const char *key, const char *value);
/* `"$ref":...` of a definition, which is then written after the paths. */
void writer_ref(struct writer *w, const struct schema *s);
void writer_gvk(struct writer *w, const char *group, const char *version, const char *kind);
/* The name of a kind's root definition, or of its list's; custom kinds get "com.example.v1.Widget".
 */
void writer_root_name(struct writer *w, const struct kind *k, bool list);

/* The members of "paths": of one group version, or, with group NULL, of all. */
void writer_paths(struct writer *w, const struct kind_registry *r, const char *group,
                const char *version);
