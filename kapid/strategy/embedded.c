/* Objects within custom resources (x-kubernetes-embedded-resource): each is a whole object with
 * apiVersion, kind and metadata, which are checked as those of any object. The schema has pruned
 * them already. */
#include "kapid/schema/format.h"
#include "kapid/schema/internal.h"
#include "kapid/strategy/strategy.h"

static void check_api_version(struct findings *f, const json_t *object) {
        const json_t *v = json_object_get(object, "apiVersion");
        const char *text = json_string_value(v), *slash = text ? strchr(text, '/') : NULL;

        if (!v)
                finding_add(f, FINDING_REQUIRED, "apiVersion", NULL, "must not be empty");
        else if (text && !*text)
                finding_add(f, FINDING_INVALID, "apiVersion", v, "must not be empty");
        else if (slash && strchr(slash + 1, '/'))
                finding_add(f, FINDING_INVALID, "apiVersion", v,
                                "unexpected GroupVersion string: %s", text);
}

static void check_kind(struct findings *f, const json_t *object) {
        const json_t *v = json_object_get(object, "kind");
        const char *text = json_string_value(v), *error;
        _cleanup_free_ char *lower = text ? strdup(text) : NULL;

        for (char *s = lower; s && *s; s++)
                if (*s >= 'A' && *s <= 'Z')
                        *s = (char)(*s - 'A' + 'a');
        if (!v)
                finding_add(f, FINDING_REQUIRED, "kind", NULL, "must not be empty");
        else if (text && !*text)
                finding_add(f, FINDING_INVALID, "kind", v, "must not be empty");
        else if (lower && (error = format_check(FORMAT_DNS1035_LABEL, lower)))
                finding_add(f, FINDING_INVALID, "kind", v,
                                "may have mixed case, but should otherwise match: %s", error);
}

static void check_metadata(struct findings *f, const json_t *object) {
        json_t *metadata = json_object_get(object, "metadata");
        _cleanup_json_ json_t *copy = NULL;
        bool namespaced = !isempty(json_str(metadata, "namespace"));

        if (!json_is_object(metadata))
                return; /* absent is fine; another type is the schema's finding */
        copy = json_copy(metadata);
        /* A template may leave its name open. */
        if (!copy || (isempty(json_str(copy, "name")) &&
                                     json_object_set_new(copy, "name", json_string("unnamed")) <
                                                     0)) {
                f->failed = true;
                return;
        }
        strategy_validate_metadata(f, copy, NAME_PATH_SEGMENT, namespaced);
}

void strategy_validate_embedded(struct findings *f, const struct schema *s, const json_t *v) {
        const char *key;
        json_t *child;
        size_t i;

        if (s->flags & SCHEMA_EMBEDDED_RESOURCE && json_is_object(v)) {
                check_api_version(f, v);
                check_kind(f, v);
                check_metadata(f, v);
        }
        json_object_foreach ((json_t *)v, key, child) {
                const struct schema *cs = schema_child(s, key);
                size_t at;

                if (!cs || cs->name)
                        continue;
                at = findings_push(f, key);
                strategy_validate_embedded(f, cs, child);
                findings_pop(f, at);
        }
        json_array_foreach (v, i, child) {
                size_t at;

                if (!s->items)
                        break;
                at = findings_push_index(f, i);
                strategy_validate_embedded(f, s->items, child);
                findings_pop(f, at);
        }
}
