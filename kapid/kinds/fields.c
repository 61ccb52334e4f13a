/* Field selectors against objects. */
#include "kapid/kinds/kind.h"

#include "kapid/schema/schema.h"
#include "lib/json-part.h"

static bool selectable(const struct kind *k, const char *path) {
        return streq(path, "metadata.name") || streq(path, "metadata.namespace") ||
               strv_contains(k->selectable_fields, path);
}

/* The reference server's words differ with what a kind has. */
static int refused(const struct kind *k, const char *path, struct problem *p) {
        bool batch = !k->custom && streq(k->group, "batch");

        if (batch && streq(k->kind, "Job"))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "field label \"%s\" not supported for batchv1.Job", path);
        if (batch)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "field label \"%s\" not supported for \"%s\"", path, k->kind);
        if (k->custom || (k->selectable_fields && *k->selectable_fields))
                return problem_set(p, EINVAL, 400, "BadRequest", "field label not supported: %s",
                                path);
        return problem_set(p, EINVAL, 400, "BadRequest",
                        "\"%s\" is not a known field selector: only \"metadata.name\", "
                        "\"metadata.namespace\"",
                        path);
}

int kind_check_field_selector(
                const struct kind *k, const struct field_selector *s, struct problem *p) {
        const char *path, *value;
        bool negated;

        for (size_t i = 0; field_selector_term(s, i, &path, &value, &negated); i++)
                if (!selectable(k, path))
                        return refused(k, path, p);
        return 0;
}

/* The schema's node at a dotted path. */
static const struct schema *schema_at(const struct schema *s, const char *path) {
        char key[128];

        while (s && *path) {
                const char *dot = strchrnul(path, '.');
                size_t n = (size_t)(dot - path);

                if (n >= sizeof(key))
                        return NULL;
                memcpy(key, path, n);
                key[n] = 0;
                s = schema_child(s, key);
                path = *dot ? dot + 1 : dot;
        }
        return s;
}

static const char *value_text(const struct kind *k, const char *path, const json_t *object,
                char *buffer, size_t n) {
        const json_t *v = json_at(object, path);
        const struct schema *s;

        if (json_is_string(v))
                return json_string_value(v);
        if (json_is_boolean(v))
                return json_is_true(v) ? "true" : "false";
        if (json_is_integer(v)) {
                snprintf(buffer, n, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
                return buffer;
        }
        s = schema_at(k->schema, path);
        if (s && s->type == SCHEMA_BOOLEAN)
                return "false";
        return s && s->type == SCHEMA_INTEGER ? "0" : "";
}

/* source is a struct in events, of which the component counts; podIPs matches any of its addresses.
 */
static bool term_matches(
                const struct kind *k, const char *path, const char *value, const json_t *object) {
        const json_t *list = json_at(object, path), *item;
        char buffer[32];
        size_t i;

        if (streq(path, "status.successful")) /* the selector's word for it */
                path = "status.succeeded";
        if (json_is_array(list)) {
                json_array_foreach (list, i, item)
                        if (streq(json_str_or(item, "ip", ""), value))
                                return true;
                return false;
        }
        if (json_is_object(list) || streq(path, "source"))
                return streq(json_str_or(list, "component",
                                             json_str_or(object, "reportingComponent", "")),
                                value);
        return streq(value_text(k, path, object, buffer, sizeof(buffer)), value);
}

/* Beside the paths themselves, what term_matches() reads for some. */
int kind_field_selector_part(const struct field_selector *s, struct json_part **ret) {
        _cleanup_(json_part_freep) struct json_part *part = json_part_new();
        const char *path, *value;
        bool negated;

        if (!part || json_part_add(part, "status.succeeded reportingComponent") < 0)
                return -ENOMEM;
        for (size_t i = 0; field_selector_term(s, i, &path, &value, &negated); i++)
                if (json_part_add(part, path) < 0)
                        return -ENOMEM;
        *ret = TAKE_PTR(part);
        return 0;
}

bool kind_field_selector_matches(
                const struct kind *k, const struct field_selector *s, const json_t *object) {
        const char *path, *value;
        bool negated;

        for (size_t i = 0; s && field_selector_term(s, i, &path, &value, &negated); i++)
                if (term_matches(k, path, value, object) == negated)
                        return false;
        return true;
}
