/* Schema defaults. A default is copied, because objects own their values; what a default brings is
 * defaulted in its turn. */
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

int schema_default(const struct schema *s, json_t *object) {
        json_t *child;
        size_t i;

        if (json_is_object(object)) {
                for (i = 0; i < s->field_count; i++) {
                        const struct schema_field *f = &s->fields[i];

                        if (!f->fallback)
                                continue;
                        child = json_object_get(object, f->name);
                        if (child && !(json_is_null(child) &&
                                                     !(f->schema->flags & SCHEMA_NULLABLE)))
                                continue;
                        if (json_object_set_new(object, f->name, json_deep_copy(f->fallback)) < 0)
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
