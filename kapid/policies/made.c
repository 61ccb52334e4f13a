/* Values are measured before they are copied: lists and maps of expressions share their parts, so
 * that a short expression may stand for a tree that fits no memory. */
#include "kapid/policies/made.h"

#include "kapid/cel/value.h"

enum { NODE_BYTES = 8 };

struct making {
        struct cel_run *run;
        size_t left; /* bytes */
        char *why;
};

/* Where a value is: the object around it, as an expression named its type, and its field there. */
struct place {
        const char *type; /* NULL: no such object is around it */
        const char *field;
        size_t field_size;
        unsigned depth;
};

static int measure(struct making *m, struct cel_value v, struct place at);

static int refuse(struct making *m, char *why_taken) {
        m->why = why_taken;
        return why_taken ? -EINVAL : -ENOMEM;
}

static int take(struct making *m, size_t bytes, unsigned depth) {
        if (depth > POLICY_MADE_DEPTH_MAX)
                return refuse(m, strformat("the expression gave a value that is nested deeper than "
                                           "%d levels",
                                                 POLICY_MADE_DEPTH_MAX));
        if (bytes >= m->left)
                return refuse(m, strformat("the expression gave a value of more than %d bytes",
                                                 POLICY_MADE_BYTES_MAX));
        m->left -= bytes;
        return 0;
}

static int measure_tree(struct making *m, const json_t *v, unsigned depth) {
        int r = take(m, NODE_BYTES + json_string_length(v), depth);
        const char *key;
        json_t *child;
        size_t i;

        if (r < 0)
                return r;
        json_object_each (v, key, child) {
                r = take(m, strlen(key), depth);
                if (r < 0)
                        return r;
                r = measure_tree(m, child, depth + 1);
                if (r < 0)
                        return r;
        }
        json_array_foreach (v, i, child) {
                r = measure_tree(m, child, depth + 1);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int measure_list(struct making *m, struct cel_value v, struct place at) {
        at.depth++;
        for (size_t i = 0, n = cel_list_count(v); i < n; i++) {
                int r = measure(m, cel_list_at(m->run, v, i), at);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Object.spec{} stands in the field spec of Object{}, in a list there, or in a map. */
static int check_name(struct making *m, const struct cel_type *type, struct place at) {
        const char *rest = startswith(type->name, at.type);

        if (rest && *rest == '.' && strlen(rest + 1) == at.field_size &&
                        memcmp(rest + 1, at.field, at.field_size) == 0)
                return 0;
        return refuse(m, strformat("type mismatch: unexpected type name \"%s\", expected "
                                   "\"%s.%.*s\", which matches field name path from root Object "
                                   "type",
                                         type->name, at.type, (int)at.field_size, at.field));
}

static int measure_map(struct making *m, struct cel_value v, struct place at) {
        const struct cel_type *type = cel_message_of(v);
        struct cel_value key, item;
        struct cel_map_at walk = {0};
        int r = type && at.type ? check_name(m, type, at) : 0;

        if (r < 0)
                return r;
        at.depth++;
        while (cel_map_next(m->run, v, &walk, &key, &item)) {
                if (key.kind != CEL_STRING)
                        return refuse(m, strdup("the expression gave a map with a key that is not "
                                                "a string"));
                if (type) {
                        at.type = type->name;
                        at.field = key.text.data;
                        at.field_size = key.text.size;
                }
                r = take(m, key.text.size, at.depth);
                if (r < 0)
                        return r;
                r = measure(m, item, at);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int measure(struct making *m, struct cel_value v, struct place at) {
        bool text = v.kind == CEL_STRING || v.kind == CEL_BYTES;
        int r;

        if (v.json)
                return measure_tree(m, v.wrapped.tree, at.depth);
        r = take(m, NODE_BYTES + (text ? v.text.size : 0), at.depth);
        if (r < 0)
                return r;
        switch (v.kind) {
        case CEL_LIST:
                return measure_list(m, v, at);
        case CEL_MAP:
                return measure_map(m, v, at);
        default:
                return 0;
        }
}

/* The operations of a patch are objects of no field. */
static int measure_patch(struct making *m, struct cel_value v) {
        for (size_t i = 0, n = cel_list_count(v); i < n; i++) {
                struct cel_value item = cel_list_at(m->run, v, i), key, value;
                struct cel_map_at walk = {0};
                int r;

                if (!cel_message_of(item))
                        return refuse(m, strdup("type mismatch: the expression gave an item that "
                                                "is not a JSONPatch"));
                r = take(m, NODE_BYTES, 0);
                if (r < 0)
                        return r;
                while (cel_map_next(m->run, item, &walk, &key, &value)) {
                        r = measure(m, value, (struct place){.depth = 1});
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

int policy_made(struct cel_run *run, struct cel_value v, bool is_patch, json_t **ret,
                char **ret_why) {
        struct making m = {.run = run, .left = POLICY_MADE_BYTES_MAX};
        _cleanup_json_ json_t *shared = NULL;
        int r;

        if (is_patch ? v.kind != CEL_LIST : !cel_message_of(v))
                r = refuse(&m, strdup("the expression gave a value of another type"));
        else
                r = is_patch ? measure_patch(&m, v) : measure(&m, v, (struct place){0});
        if (r >= 0) {
                r = cel_to_json(run, v, &shared);
                if (r == -EINVAL)
                        r = refuse(&m, strdup("the expression gave a value that has no JSON form"));
        }
        if (r < 0) {
                *ret_why = m.why;
                return r;
        }
        *ret = json_tree_copy(shared);
        return *ret ? 0 : -ENOMEM;
}
