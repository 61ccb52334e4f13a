/* Reading a configuration along the schema, refusing what is atomic, and the merge. (Reference:
 * apiserver's admission/plugin/policy/mutating/patch/smd.go.) */
#include "kapid/patch/configuration.h"

#include "kapid/patch/fieldset.h"
#include "kapid/schema/internal.h"
#include "lib/object.h"

enum { ATOMICS_TEXT_MAX = 1000 };

void configuration_undeclared(char *const *unknown, struct buf *out) {
        if (strv_length(unknown) > 1)
                buf_append_str(out, "errors:\n  ");
        for (size_t i = 0; unknown[i]; i++) {
                const char *path = strchr(unknown[i], '"') + 1;

                buf_printf(out, "%s.%.*s: field not declared in schema", i > 0 ? "\n  " : "",
                                (int)strcspn(path, "\""), path);
        }
}

/* The way to a value, from the inside out. */
struct step {
        const struct step *before;
        const char *name; /* NULL: an index */
        size_t index;
};

static void append_path(struct buf *out, const struct step *at) {
        if (!at)
                return;
        append_path(out, at->before);
        if (at->name)
                buf_printf(out, ".%s", at->name);
        else
                buf_printf(out, "[%zu]", at->index);
}

static void note_atomic(struct buf *out, const struct step *at) {
        if (out->size > ATOMICS_TEXT_MAX)
                return;
        if (out->size > 0)
                buf_append_str(out, ", ");
        append_path(out, at);
}

/* A list without a schema is replaced whole, too. */
static bool is_atomic(const struct schema *s, const json_t *v) {
        if (json_is_array(v))
                return !s || s->type != SCHEMA_ARRAY || s->list == LIST_ATOMIC;
        return s && s->flags & SCHEMA_MAP_ATOMIC;
}

/* No deeper than the value, which its maker bounds. */
static void find_atomics(
                struct buf *out, const struct schema *s, const json_t *v, const struct step *at) {
        const char *key;
        json_t *child;
        size_t i;

        if (!json_is_array(v) && !json_is_object(v))
                return;
        if (is_atomic(s, v))
                note_atomic(out, at);
        json_object_each (v, key, child) {
                const struct step next = {.before = at, .name = key};

                find_atomics(out, s ? schema_child(s, key) : NULL, child, &next);
        }
        json_array_foreach (v, i, child) {
                const struct step next = {.before = at, .index = i};

                find_atomics(out, s && s->type == SCHEMA_ARRAY ? s->items : NULL, child, &next);
        }
}

/* Takes why. */
static int refuse(char **ret_why, char *why) {
        *ret_why = why;
        return why ? -EINVAL : -ENOMEM;
}

static int check_types(
                const struct kind *k, const struct schema *s, json_t *config, char **ret_why) {
        _cleanup_strv_free_ char **unknown = NULL;
        _cleanup_normaliser_ struct normaliser walk = {.custom = k->custom,
                        .keep_nulls = true,
                        .deduce = true,
                        .takes_whole = true,
                        .unknown = &unknown};
        _cleanup_buf_ struct buf text = {0};
        int r = normalise(&walk, s, config);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return refuse(ret_why,
                                strformat("failed to convert patch object to typed object: %s",
                                                strempty(walk.error)));
        if (!unknown)
                return 0;
        configuration_undeclared(unknown, &text);
        return refuse(ret_why, strformat("failed to convert patch object to typed object: %s",
                                               strempty(text.data)));
}

static int check_keys(const struct kind *k, const struct schema *s, const json_t *config,
                char **ret_why) {
        _cleanup_findings_ struct findings twins = {.built_in = !k->custom};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *set = NULL;
        _cleanup_free_ char *error = NULL;
        int r;

        schema_check_duplicates(&twins, s, config);
        if (findings_problem(&twins, k, NULL, object_name(config), &p) < 0)
                return refuse(ret_why,
                                strformat("failed to convert patch object to typed object: %s",
                                                strempty(p.message)));
        r = fieldset_of(s, config, &set, &error);
        if (r >= 0 || r == -ENOMEM)
                return r;
        return refuse(ret_why, strformat("failed to convert patch object to typed object: %s",
                                               strempty(error)));
}

int configuration_apply(const struct kind *k, const struct schema *s, const json_t *object,
                json_t *config, json_t **ret, char **ret_why) {
        _cleanup_json_ json_t *merged = NULL;
        _cleanup_buf_ struct buf atomics = {0};
        int r = check_types(k, s, config, ret_why);

        if (r < 0)
                return r;
        r = check_keys(k, s, config, ret_why);
        if (r < 0)
                return r;
        find_atomics(&atomics, s, config, NULL);
        if (atomics.failed)
                return -ENOMEM;
        if (atomics.size > 0)
                return refuse(ret_why,
                                strformat("invalid ApplyConfiguration: may not mutate atomic "
                                          "arrays, maps or structs: %s",
                                                atomics.data));
        merged = typed_merge(s, object, config);
        *ret = merged ? json_tree_copy(merged) : NULL;
        return *ret ? 0 : -ENOMEM;
}
