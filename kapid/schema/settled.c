/* A look at an object of a custom kind that says whether filling in defaults and pruning would
 * leave it as it is: nearly every stored one. It changes and copies nothing; where it is not sure,
 * the walks of normalise.c and defaults.c find out. */
#include "kapid/schema/internal.h"

static bool is_settled(const struct schema *s, const json_t *v, unsigned what);

/* Each default is there, and no zero value that counts as absent. */
static bool has_defaults(const struct schema *s, const json_t *object) {
        for (size_t i = 0; i < s->field_count; i++) {
                const struct schema_field *f = &s->fields[i];
                const json_t *child;

                if (!f->fallback && !(f->flags & FIELD_OMITS_ZERO))
                        continue;
                child = json_object_get(object, f->name);
                if (child ? f->flags & FIELD_OMITS_ZERO && schema_is_zero(child)
                          : f->fallback != NULL)
                        return false;
        }
        return true;
}

static bool are_members_settled(const struct schema *s, const json_t *object, unsigned what) {
        const char *key;
        const json_t *child;

        if (s->type != SCHEMA_OBJECT && s->type != SCHEMA_ANY)
                return false;
        if (what & SETTLED_DEFAULTS && !has_defaults(s, object))
                return false;
        json_object_each (object, key, child) {
                const struct schema *cs = schema_child(s, key);
                bool known = cs || s->flags & SCHEMA_PRESERVE_UNKNOWN || s->type == SCHEMA_ANY;

                if (json_is_null(child) || (!known && what & SETTLED_PRUNED) ||
                                (cs && !is_settled(cs, child, what)))
                        return false;
        }
        return true;
}

static bool are_items_settled(const struct schema *s, const json_t *list, unsigned what) {
        const json_t *item;
        size_t i;

        if (s->type != SCHEMA_ARRAY && s->type != SCHEMA_ANY)
                return false;
        json_array_foreach (list, i, item)
                if (s->items && !is_settled(s->items, item, what))
                        return false;
        return true;
}

static bool is_settled(const struct schema *s, const json_t *v, unsigned what) {
        if (json_is_object(v))
                return are_members_settled(s, v, what);
        if (json_is_array(v))
                return are_items_settled(s, v, what);
        if (s->type == SCHEMA_STRING && s->format == FORMAT_QUANTITY)
                return false;
        return !json_is_real(v) || s->type == SCHEMA_NUMBER || s->type == SCHEMA_ANY;
}

bool schema_is_settled(const struct schema *s, const json_t *object, unsigned what) {
        static const char *const dropped[] = {
                        "labels", "annotations", "finalizers", "ownerReferences"};
        const json_t *metadata = json_object_get(object, "metadata");

        for (size_t i = 0; i < ELEMENTS(dropped); i++) {
                const json_t *v = json_object_get(metadata, dropped[i]);

                if (v && json_object_size(v) + json_array_size(v) == 0)
                        return false;
        }
        return is_settled(s, object, what);
}
