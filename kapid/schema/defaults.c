/* Schema defaults, and zero values that are as good as absent. A default is copied, because objects
 * own their values; what a default brings is defaulted in its turn. */
#include "kapid/schema/internal.h"

static int default_children(const struct schema *s, json_t *object) {
        const char *key;
        json_t *child;

        json_object_foreach (object, key, child) {
                const struct schema *cs;
                int r;

                if (!json_is_object(child) && !json_is_array(child))
                        continue;
                cs = schema_child(s, key);
                r = cs ? schema_default(cs, child) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

bool schema_is_zero(const json_t *v) {
        switch (json_typeof(v)) {
        case JSON_OBJECT:
                return json_object_size(v) == 0;
        case JSON_ARRAY:
                return json_array_size(v) == 0;
        case JSON_STRING:
                return json_string_length(v) == 0;
        case JSON_INTEGER:
                return json_integer_value(v) == 0;
        case JSON_FALSE:
                return true;
        default:
                return false;
        }
}

int schema_default(const struct schema *s, json_t *object) {
        json_t *child;
        size_t i;

        if (json_is_object(object)) {
                for (i = 0; i < s->field_count; i++) {
                        const struct schema_field *f = &s->fields[i];

                        if (!f->fallback && !(f->flags & FIELD_OMITS_ZERO))
                                continue;
                        child = json_object_get(object, f->name);
                        if (child && f->flags & FIELD_OMITS_ZERO && schema_is_zero(child)) {
                                json_object_del(object, f->name);
                                child = NULL;
                        }
                        if (!f->fallback)
                                continue;
                        if (child && !(json_is_null(child) &&
                                                     !(f->schema->flags & SCHEMA_NULLABLE)))
                                continue;
                        if (json_object_set_new(object, f->name, json_tree_copy(f->fallback)) < 0)
                                return -ENOMEM;
                }
                return default_children(s, object);
        }
        if (json_is_array(object) && s->items)
                json_array_foreach (object, i, child) {
                        int r = json_is_object(child) || json_is_array(child)
                                                ? schema_default(s->items, child)
                                                : 0;

                        if (r < 0)
                                return r;
                }
        return 0;
}

/* How many zero values there are that are to go; with `remove` they go. */
static size_t zeros(const struct schema *s, json_t *v, bool remove) {
        size_t count = 0, i;
        const char *key;
        json_t *child;
        void *next;

        if (json_is_array(v) && s->items)
                json_array_foreach (v, i, child)
                        count += zeros(s->items, child, remove);
        if (!json_is_object(v))
                return count;
        json_object_foreach_safe(v, next, key, child) {
                const struct schema_field *f = schema_field_find(s, key);
                const struct schema *cs = f ? f->schema : schema_child(s, key);

                if (f && f->flags & FIELD_OMITS_ZERO && schema_is_zero(child)) {
                        count++;
                        if (remove)
                                json_object_del(v, key);
                } else if (cs && (json_is_object(child) || json_is_array(child)))
                        count += zeros(cs, child, remove);
        }
        return count;
}

json_t *schema_without_zeros(const struct schema *s, const json_t *object) {
        json_t *copy;

        if (zeros(s, (json_t *)object, false) == 0)
                return json_incref((json_t *)object);
        copy = json_tree_copy(object);
        if (copy)
                zeros(s, copy, true);
        return copy;
}
