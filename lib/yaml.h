/* YAML (libyaml) to JSON values with the place of every value, and back. Plain scalars are what
 * they are for kubectl: YAML 1.1 (yes, on, y are true; 0777 is octal), also as keys; anchors and
 * aliases are expanded within bounds (100,000 nodes); merge keys (<<) work; tags other than the
 * core ones are refused. Duplicate keys are refused. A byte order mark before a document is left
 * out. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

struct yaml_doc {
        json_t *value; /* owned */
        unsigned line; /* line of the document's first node, from 1 */
        struct yaml_places *places;
};

struct yaml_docs { /* a vector */
        struct yaml_doc *items;
        size_t count, allocated;
};

void yaml_docs_done(struct yaml_docs *d);
#define _cleanup_yaml_docs_ _cleanup_(yaml_docs_done)

/* Parses a stream of documents (JSON is YAML too). Empty documents are left out. On refusal p says
 * line and column and the cause. -EINVAL, -ENOMEM, -E2BIG. */
int yaml_parse(const char *text, size_t n, struct yaml_docs *ret, struct problem *p);
/* The same; func is called now and then, and the text need not stay then: the document is long.
 * breath NULL: as yaml_parse(). */
struct yaml_breath {
        void (*func)(void *userdata);
        void *userdata;
};
int yaml_parse_breathing(const char *text, size_t n, const struct yaml_breath *breath,
                struct yaml_docs *ret, struct problem *p);
/* The same from a stream of JSON values, read by the JSON parser; a document knows only the line
 * where it begins. Duplicate keys are refused. */
int yaml_parse_json(const char *text, size_t n, struct yaml_docs *ret, struct problem *p);
/* The line where the value at a field path ("spec.template.spec.containers[0].image") stands, or of
 * the nearest parent that exists. */
unsigned yaml_line_of(const struct yaml_doc *doc, const char *field_path);
/* Block-style text in kubectl's manner (two blanks, keys in the object's order); characters that
 * steer a terminal are escapes (lib/plain.h). Caller frees. */
char *yaml_text(const json_t *v) _warn_unused_;
