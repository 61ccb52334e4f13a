/* JSON patch and merge patch, and the frame that every patch goes through: parse, apply to a copy,
 * prune, normalise. */
#include "kapid/patch/patch.h"

#include "kapid/patch/status.h"
#include "kapid/schema/schema.h"
#include "kapid/schema/internal.h"
#include "lib/yaml.h"

enum {
        OPERATIONS_MAX = 10000,
        SEGMENT_MAX = 1024,
        COPIES_SIZE_MAX = 3 * 1024 * 1024,
        DEPTH_MAX = 100,         /* as bodies: a deeper object could not be read again */
        DEPTH_BETWEEN_MAX = 400, /* between two operations */
        MEASURES_MAX = 20,
};

static int out_of_memory(struct problem *p) {
        return problem_set(p, ENOMEM, 500, "InternalError", "out of memory");
}

int patch_type_parse(const struct kind *k, const char *content_type, enum patch_type *ret,
                struct problem *p) {
        static const struct {
                const char *name;
                enum patch_type type;
        } known[] = {{"application/json-patch+json", PATCH_JSON},
                        {"application/merge-patch+json", PATCH_MERGE},
                        {"application/apply-patch+yaml", PATCH_APPLY},
                        {"application/strategic-merge-patch+json", PATCH_STRATEGIC}};
        size_t n = content_type ? strcspn(content_type, "; \t") : 0;

        for (size_t i = 0; i < ELEMENTS(known); i++)
                if (strlen(known[i].name) == n &&
                                strncasecmp(known[i].name, content_type, n) == 0 &&
                                !(k->custom && known[i].type == PATCH_STRATEGIC)) {
                        *ret = known[i].type;
                        return 0;
                }
        return problem_set(p, EINVAL, 415, "UnsupportedMediaType",
                        "the body of the request was in an unknown format - accepted media types "
                        "include: "
                        "application/json-patch+json, application/merge-patch+json, "
                        "application/apply-patch+yaml%s",
                        k->custom ? "" : ", application/strategic-merge-patch+json");
}

/* The value without members of objects that are null, also those in lists. */
static json_t *without_nulls(const json_t *value) {
        json_t *result, *v;
        const char *key;
        size_t i;
        int r = 0;

        if (json_is_array(value)) {
                result = json_array();
                json_array_foreach (value, i, v)
                        r |= json_array_append_new(result, without_nulls(v));
        } else if (json_is_object(value)) {
                result = json_object();
                json_object_foreach ((json_t *)value, key, v)
                        if (!json_is_null(v))
                                r |= json_object_set_new(result, key, without_nulls(v));
        } else
                return json_incref((json_t *)value);
        if (r == 0)
                return result;
        json_decref(result);
        return NULL;
}

/* RFC 7386, but nulls in lists: where no object was merged, members that are null go there, too, as
 * the library does that Kubernetes merges with (evanphx/json-patch). */
static json_t *merge(json_t *target, const json_t *patch) {
        json_t *result, *v;
        const char *key;

        if (!json_is_object(patch))
                return json_is_object(target) ? json_incref((json_t *)patch) : without_nulls(patch);
        result = json_is_object(target) ? json_copy(target) : json_object();
        json_object_foreach ((json_t *)patch, key, v) {
                if (!result)
                        return NULL;
                if (json_is_null(v)) {
                        json_object_del(result, key);
                        continue;
                }
                json_t *merged = merge(json_object_get(result, key), v);
                if (!merged || json_object_set_new(result, key, merged) < 0) {
                        json_decref(result);
                        return NULL;
                }
        }
        return result;
}

int patch_merge(const json_t *target, const json_t *patch, json_t **ret) {
        json_t *shared = merge(json_unconst(target), patch);

        if (!shared)
                return -ENOMEM;
        *ret = shared;
        return 0;
}

/* One segment of a JSON pointer (RFC 6901), unescaped; *s is after its '/'. */
static int read_segment(const char **s, char segment[static SEGMENT_MAX]) {
        size_t n = 0;

        for (; **s && **s != '/'; (*s)++) {
                char c = **s;

                if (c == '~' && ((*s)[1] == '0' || (*s)[1] == '1'))
                        c = *++*s == '0' ? '~' : '/';
                else if (c == '~')
                        return -EINVAL;
                if (n + 1 >= SEGMENT_MAX)
                        return -EINVAL;
                segment[n++] = c;
        }
        segment[n] = 0;
        if (**s == '/')
                (*s)++;
        return 0;
}

/* The index of an array; "-" is its end when that is allowed. "-1" is the last place that there may
 * be, which only Kubernetes' library knows. */
static int read_index(const char *segment, size_t size, bool end_allowed, size_t *ret) {
        size_t places = size + end_allowed;
        uint64_t v;

        if (streq(segment, "-") && end_allowed) {
                *ret = size;
                return 0;
        }
        if (segment[0] == '-') {
                if (parse_u64(segment + 1, &v) < 0 || v == 0 || v > places)
                        return -ENOENT;
                *ret = places - (size_t)v;
                return 0;
        }
        if ((segment[0] == '0' && segment[1]) || parse_u64(segment, &v) < 0 || v > size ||
                        (v == size && !end_allowed))
                return -ENOENT;
        *ret = (size_t)v;
        return 0;
}

/* The parent of what the pointer names, and the last segment. The root itself has no parent: 1. */
static int find_parent(json_t *root, const char *pointer, json_t **ret_parent,
                char segment[static SEGMENT_MAX]) {
        json_t *at = root;

        if (!*pointer)
                return 1;
        if (*pointer++ != '/')
                return -EINVAL;
        for (;;) {
                bool last = !strchr(pointer, '/');
                size_t i;

                if (read_segment(&pointer, segment) < 0)
                        return -EINVAL;
                if (last) {
                        *ret_parent = at;
                        return json_is_object(at) || json_is_array(at) ? 0 : -ENOENT;
                }
                if (json_is_array(at))
                        at = read_index(segment, json_array_size(at), false, &i) == 0
                                             ? json_array_get(at, i)
                                             : NULL;
                else
                        at = json_object_get(at, segment);
                if (!at)
                        return -ENOENT;
        }
}

static json_t *find(json_t *root, const char *pointer) {
        char segment[SEGMENT_MAX];
        json_t *parent;
        size_t i;
        int r = find_parent(root, pointer, &parent, segment);

        if (r == 1)
                return root;
        if (r < 0)
                return NULL;
        if (json_is_array(parent))
                return read_index(segment, json_array_size(parent), false, &i) == 0
                                       ? json_array_get(parent, i)
                                       : NULL;
        return json_object_get(parent, segment);
}

/* Takes value. replace: the item of a list must exist. A member of an object that is missing is
 * added, which RFC 6902 does not say, but the library does that Kubernetes patches with. */
static int put(json_t **root, const char *pointer, json_t *value, bool replace) {
        _cleanup_json_ json_t *v = value;
        char segment[SEGMENT_MAX];
        json_t *parent;
        size_t i;
        int r = v ? find_parent(*root, pointer, &parent, segment) : -ENOMEM;

        if (r < 0)
                return r;
        if (r == 1) {
                json_decref(*root);
                *root = TAKE_PTR(v);
                return 0;
        }
        if (json_is_array(parent)) {
                if (read_index(segment, json_array_size(parent), !replace, &i) < 0)
                        return -ENOENT;
                return (replace ? json_array_set(parent, i, v) : json_array_insert(parent, i, v)) <
                                                       0
                                       ? -ENOMEM
                                       : 0;
        }
        return json_object_set(parent, segment, v) < 0 ? -ENOMEM : 0;
}

static int take_out(json_t *root, const char *pointer) {
        char segment[SEGMENT_MAX];
        json_t *parent;
        size_t i;
        int r = find_parent(root, pointer, &parent, segment);

        if (r != 0)
                return r == 1 ? -EINVAL : r;
        if (json_is_array(parent))
                return read_index(segment, json_array_size(parent), false, &i) < 0
                                       ? -ENOENT
                                       : json_array_remove(parent, i);
        return json_object_del(parent, segment) < 0 ? -ENOENT : 0;
}

/* source is the value at from. */
static int move(json_t **root, const char *from, json_t *source, const char *path) {
        _cleanup_json_ json_t *kept = json_incref(source);
        int r = take_out(*root, from);

        if (r < 0)
                return r;
        return put(root, path, TAKE_PTR(kept), /* replace= */ false);
}

static int refuse(struct problem *p, const char *why, const char *op, const char *path) {
        return problem_set(p, EINVAL, 422, "Invalid",
                        "the server rejected our request due to an error in our request: %s "
                        "operation: %s: \"%s\"",
                        op, why, path);
}

/* What an object lacks counts as null there; a list has no such items. */
static bool may_lack(json_t *root, const char *path) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *parent = slash ? strndup(path, (size_t)(slash - path)) : NULL;

        return parent && json_is_object(find(root, parent));
}

/* A patch that moves values into each other nests deeper with every operation. */
struct nesting {
        size_t bound; /* no deeper than this; an estimate */
        unsigned measures;
};

/* Levels of lists and objects. What comes here is not deeper than the bound. */
static size_t depth_of(const json_t *v) {
        size_t deepest = 0, i;
        const char *key;
        json_t *child;

        if (!json_is_object(v) && !json_is_array(v))
                return 0;
        json_object_each (v, key, child)
                deepest = MAX(deepest, depth_of(child));
        json_array_foreach (v, i, child)
                deepest = MAX(deepest, depth_of(child));
        return deepest + 1;
}

static size_t levels_of(const char *pointer) {
        size_t n = 0;

        for (; *pointer; pointer++)
                n += *pointer == '/';
        return n;
}

static bool fits(struct nesting *n, size_t depth) {
        if (depth > DEPTH_BETWEEN_MAX)
                return false;
        n->bound = MAX(n->bound, depth);
        return true;
}

/* Whether what is at from may lie at path, too. */
static bool may_move(struct nesting *n, const json_t *root, const char *from, const char *path) {
        size_t to = levels_of(path), of = levels_of(from);

        if (fits(n, to + n->bound - MIN(n->bound, of)))
                return true;
        if (n->measures++ == MEASURES_MAX)
                return false;
        n->bound = depth_of(root);
        return fits(n, to + n->bound - MIN(n->bound, of));
}

static int run_operation(json_t **root, const json_t *operation, size_t *copied,
                struct nesting *nesting, struct problem *p) {
        const char *op = json_str_or(operation, "op", ""), *path = json_str(operation, "path"),
                   *from = json_str(operation, "from");
        bool is_new = streq(op, "add") || streq(op, "replace"),
             is_moved = streq(op, "move") || streq(op, "copy");
        json_t *value = json_object_get(operation, "value"),
               *source = from && is_moved ? find(*root, from) : NULL;
        _cleanup_json_ json_t *nothing = json_null();
        int r;

        if (!path)
                return refuse(p, "path is missing", op, "");
        if (is_new && !value)
                return refuse(p, "value is missing", op, path);
        if (streq(op, "test") && !value)
                value = nothing;
        if (is_moved && !source)
                return refuse(p, "from does not exist", op, path);
        if ((is_new && !fits(nesting, levels_of(path) + depth_of(value))) ||
                        (is_moved && !may_move(nesting, *root, from, path)))
                return refuse(p, "the values are nested too deeply", op, path);
        if (is_new)
                r = put(root, path, json_tree_copy(value), *op == 'r');
        else if (streq(op, "remove"))
                r = take_out(*root, path);
        else if (streq(op, "test")) {
                json_t *found = find(*root, path);

                if (found ? !json_same(found, value)
                          : !json_is_null(value) || !may_lack(*root, path)) {
                        (void)refuse(p, "testing path failed: the value differs", op, path);
                        return -ENOMSG;
                }
                r = 0;
        } else if (streq(op, "copy")) {
                _cleanup_free_ char *text = json_text(source);

                if (!text)
                        return out_of_memory(p);
                *copied += strlen(text);
                if (*copied > COPIES_SIZE_MAX)
                        return refuse(p, "the copies are too large", op, path);
                r = put(root, path, json_tree_copy(source), false);
        } else if (streq(op, "move")) {
                if (startswith(path, from) && path[strlen(from)] == '/')
                        return refuse(p, "a value cannot move into itself", op, path);
                r = move(root, from, source, path);
        } else
                return refuse(p, "unsupported operation", op, path);
        if (r == -ENOMEM)
                return out_of_memory(p);
        return r < 0 ? refuse(p, "the path does not exist", op, path) : 0;
}

int patch_json(const json_t *target, const json_t *operations, json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *result = NULL;
        struct nesting nesting = {.bound = 2 * DEPTH_MAX};
        const json_t *operation;
        size_t i, copied = 0;

        if (!json_is_array(operations))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "a JSON patch must be a list of operations");
        if (json_array_size(operations) > OPERATIONS_MAX)
                return problem_set(p, EINVAL, 413, "RequestEntityTooLarge",
                                "The allowed maximum operations in a JSON patch is %i, got %zu",
                                OPERATIONS_MAX, json_array_size(operations));
        result = json_tree_copy(target);
        if (!result)
                return out_of_memory(p);
        json_array_foreach (operations, i, operation) {
                int r = run_operation(&result, operation, &copied, &nesting, p);

                if (r < 0)
                        return r;
        }
        if (depth_of(result) > DEPTH_MAX)
                return problem_set(p, EINVAL, 422, "Invalid",
                                "the patched object is nested deeper than %i levels", DEPTH_MAX);
        *ret = TAKE_PTR(result);
        return 0;
}

static int parse_patch(const void *data, size_t n, json_t **ret, char ***ret_duplicates,
                struct problem *p) {
        _cleanup_free_ char *error = NULL;

        if (json_parse(data, n, JSON_PARSE_REJECT_DUPLICATES_FLAG, ret, NULL) == 0)
                return 0;
        if (json_parse(data, n, 0, ret, &error) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest", "error decoding patch: %s",
                                strempty(error));
        return json_find_duplicates(data, n, ret_duplicates) < 0 ? out_of_memory(p) : 0;
}

/* *ret may share parts with target and patch. */
static int apply(const struct schema *s, enum patch_type type, const json_t *target,
                const json_t *patch, json_t **ret, struct problem *p) {
        int r;

        if (type == PATCH_JSON)
                return patch_json(target, patch, ret, p);
        if (!json_is_object(patch))
                return problem_set(p, EINVAL, 400, "BadRequest", "the patch must be an object");
        if (type == PATCH_STRATEGIC)
                return patch_strategic(s, target, patch, ret, p);
        r = patch_merge(target, patch, ret);
        return r < 0 ? out_of_memory(p) : 0;
}

/* A strategic patch is laid over a typed object, whose type what it says of kind and apiVersion
 * does not change: Ansible's k8s_scale names the Deployment's kind in a patch of its scale. */
static int keep_type(
                enum patch_type type, const json_t *target, json_t *result, struct problem *p) {
        static const char *const paths[] = {"kind", "apiVersion"};

        for (size_t i = 0; i < ELEMENTS(paths); i++) {
                const char *is = json_str_or(target, paths[i], "");

                if (streq(json_str_or(result, paths[i], ""), is))
                        continue;
                if (type != PATCH_STRATEGIC)
                        return problem_set(p, EINVAL, 400, "BadRequest",
                                        "kind and apiVersion cannot be changed by a patch");
                if (json_set_str(result, paths[i], is) < 0)
                        return out_of_memory(p);
        }
        return 0;
}

int patch_run(const struct kind *k, const struct kind_subresource *sub, enum patch_type type,
                const void *data, size_t n, enum field_validation validation, const json_t *target,
                struct decoded *ret, struct problem *p) {
        const struct schema *s = sub && sub->schema ? sub->schema : k->schema;
        _cleanup_normaliser_ struct normaliser walk = {
                        .custom = k->custom && s == k->schema,
                        .keep_nulls = true,
                        .takes_whole = type == PATCH_STRATEGIC};
        _cleanup_strv_free_ char **complaints = NULL;
        _cleanup_json_ json_t *patch = NULL, *shared = NULL, *result = NULL;
        bool status_alone;
        int r;

        assert(type != PATCH_APPLY);
        r = parse_patch(data, n, &patch, &complaints, p);
        if (r < 0)
                return r;
        r = apply(s, type, target, patch, &shared, p);
        if (r < 0)
                return r;
        if (!json_is_object(shared))
                return problem_set(p, EINVAL, 422, "Invalid",
                                "the patched object is no longer an object");
        result = status_patched(k, sub, target, shared);
        status_alone = result != NULL;
        if (!result)
                result = json_tree_copy(shared);
        if (!result)
                return out_of_memory(p);
        walk.unknown = &complaints;
        r = status_alone ? normalise_member(&walk, s, result, "status")
                         : normalise(&walk, s, result);
        if (r == -ENOMEM)
                return out_of_memory(p);
        if (r < 0)
                return problem_set(p, EINVAL, 422, "Invalid",
                                "%s \"%s\" is invalid: patch: Invalid value: %s", k->kind,
                                json_str_or(target, "metadata.name", ""), strempty(walk.error));
        r = keep_type(type, target, result, p);
        if (r < 0)
                return r;
        if (validation == FIELD_VALIDATION_STRICT && complaints) {
                _cleanup_free_ char *text = strv_join(complaints, ", ");

                return problem_set(p, EINVAL, 400, "BadRequest", "strict decoding error: %s",
                                strempty(text));
        }
        ret->object = TAKE_PTR(result);
        ret->status_alone = status_alone;
        ret->warnings = validation == FIELD_VALIDATION_WARN ? TAKE_PTR(complaints) : NULL;
        return 0;
}
