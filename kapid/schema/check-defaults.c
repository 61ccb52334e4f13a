/* Defaults of a CustomResourceDefinition against the schemas that carry them: a default must be
 * what validation takes, and nothing that would be pruned. It must be valid as it stands, before
 * defaults below it are filled in, as the API asks. */
#include "kapid/schema/internal.h"

static void check_one(struct findings *f, const struct schema *s) {
        size_t at = findings_push(f, "default");
        _cleanup_json_ json_t *copy = json_tree_copy(s->fallback);
        _cleanup_strv_free_ char **unknown = NULL;
        struct normaliser n = {.custom = true, .keep_nulls = true, .unknown = &unknown};

        if (!copy || normalise(&n, s, copy) < 0)
                f->failed = true;
        normaliser_done(&n);
        if (strv_length(unknown) > 0)
                finding_add(f, FINDING_INVALID, NULL, s->fallback, "must be pruned: %s",
                                unknown[0]);
        f->body_at = f->path.size;
        schema_validate(f, s, s->fallback);
        f->body_at = 0;
        findings_pop(f, at);
}

void schema_check_defaults(struct findings *f, const struct schema *s) {
        size_t at;

        if (s->fallback)
                check_one(f, s);
        for (size_t i = 0; i < s->field_count; i++) {
                /* A name means a definition of the server: ObjectMeta. */
                if (s->fields[i].schema->name)
                        continue;
                at = findings_push(f, "properties");
                findings_push_key(f, s->fields[i].name);
                schema_check_defaults(f, s->fields[i].schema);
                findings_pop(f, at);
        }
        if (s->items) {
                at = findings_push(f, "items");
                schema_check_defaults(f, s->items);
                findings_pop(f, at);
        }
        if (s->additional) {
                at = findings_push(f, "additionalProperties");
                schema_check_defaults(f, s->additional);
                findings_pop(f, at);
        }
}

bool schema_has_defaults(const struct schema *s) {
        if (s->fallback)
                return true;
        for (size_t i = 0; i < s->field_count; i++)
                if (!s->fields[i].schema->name && schema_has_defaults(s->fields[i].schema))
                        return true;
        return (s->items && schema_has_defaults(s->items)) ||
               (s->additional && schema_has_defaults(s->additional));
}

bool schema_has_embedded(const struct schema *s) {
        if (s->flags & SCHEMA_EMBEDDED_RESOURCE)
                return true;
        for (size_t i = 0; i < s->field_count; i++)
                if (!s->fields[i].schema->name && schema_has_embedded(s->fields[i].schema))
                        return true;
        return (s->items && schema_has_embedded(s->items)) ||
               (s->additional && schema_has_embedded(s->additional));
}
