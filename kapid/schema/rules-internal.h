/* The tree of rules, as its three files share it: each node is a place of the schema that has rules
 * or leads to some. */
#pragma once

#include "kapid/cel/cel.h"
#include "kapid/schema/rules.h"

struct rule {
        const json_t *doc;
        struct cel_program *program, *message; /* NULL: none, or it does not compile */
        char *error, *message_error;           /* why; owned */
        bool uses_old, optional_old;
        char *field_path; /* normalised: "a.b[c]"; owned, NULL: none or not valid */
};

struct rules_child {
        const char *name; /* of the property; borrowed from the schema */
        struct rules_node *node;
};

struct rules_node {
        const json_t *schema;
        const struct cel_type *type; /* NULL: expressions cannot see such values */
        struct rule *rules;
        size_t rule_count;
        struct rules_child *children;
        size_t child_count;
        struct rules_node *items, *additional;
};

struct rules_base {
        struct pattern_cache *patterns;
        struct cel_functions *functions;
};

struct rules {
        json_t *schema;                        /* owned */
        const struct cel_functions *functions; /* the base's */
        struct cel_types *types;
        struct rules_node *root;
};

enum { RULES_DEPTH_MAX = 100 };

/* Whether the schema or one below it has rules. */
bool rules_are_in(const json_t *schema, unsigned depth);
/* "['a-b'].c" in the words of field paths ("a-b.c"); NULL when the schema has no such field, with
 * *ret_memory when memory was the reason. */
char *rules_field_path(const json_t *schema, const char *path, bool *ret_memory);
/* The text without blanks around it; borrowed, with its length. */
const char *rules_trimmed(const char *text, size_t *ret_size);
