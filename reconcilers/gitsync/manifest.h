/* Manifests: files of a commit -> API objects, each with its place, so that every refusal names
 * file, line and field. Pure. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"
#include "lib/yaml.h"

enum { MANIFEST_ITEMS_MAX = 50000 };

struct manifest_item {
        json_t *object;             /* owned; with the sync's labels and its namespace set */
        const char *file;           /* borrowed from the set */
        const struct yaml_doc *doc; /* borrowed; places of the object's fields */
        char *prefix; /* path of the object within the document: "" or "items[2]." (a List) */
};

struct manifest_file {
        char *name;
        struct yaml_docs docs;
};

struct manifest_set {
        struct manifest_file *files;
        size_t file_count;
        struct manifest_item *items;
        size_t count;
        json_t *ignored; /* ["file line N (why)"]: documents that are not manifests */
};

void manifest_set_done(struct manifest_set *s);
#define _cleanup_manifests_ _cleanup_(manifest_set_done)

/* The owner of the objects, for their labels. */
struct manifest_owner {
        const char *name, *ns; /* of the GitSync: label values */
};

/* files: [{name, text}]. Lists are expanded; documents with neither apiVersion nor kind are files
 * of other programs and only listed; every object must have apiVersion, kind and metadata.name
 * (generateName is refused: it can't be applied twice); metadata must not hold what the server
 * owns; two objects with the same identity are refused, naming both places. */
int manifest_set_read(const json_t *files, const struct manifest_owner *owner,
                struct manifest_set *ret, struct problem *p);

/* Puts "file line N: " before a refusal of this item and its field after it. */
void manifest_blame(const struct manifest_item *item, struct problem *p);
