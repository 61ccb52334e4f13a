/* Validation along the schema. Built-in kinds get the sentences of typed validation ("must be
 * greater than or equal to 0"), custom ones those of schema validation ("spec.x in body should be
 * ..."). */
#include <uthash.h>

#include "kapid/schema/format.h"
#include "kapid/schema/pattern.h"
#include "kapid/schema/internal.h"
#include "lib/map.h"

/* Lists that are so short are looked through without a table of what was seen. */
enum { COMPARED_MAX = 8 };

/* The path as sentences have it ("spec.x in body"): within the validated value. */
static const char *here(const struct findings *f) {
        const char *path = f->path.size > f->body_at ? f->path.data + f->body_at : "";

        return path + (f->body_at > 0 && *path == '.');
}

static const char *json_type_word(const json_t *v) {
        switch (json_typeof(v)) {
        case JSON_OBJECT:
                return "object";
        case JSON_ARRAY:
                return "array";
        case JSON_STRING:
                return "string";
        case JSON_INTEGER:
                return "integer";
        case JSON_REAL:
                return "number";
        case JSON_NULL:
                return "null";
        default:
                return "boolean";
        }
}

static bool type_fits(const struct schema *s, const json_t *v) {
        switch (s->type) {
        case SCHEMA_OBJECT:
                return json_is_object(v);
        case SCHEMA_ARRAY:
                return json_is_array(v);
        case SCHEMA_STRING:
                return json_is_string(v);
        case SCHEMA_INTEGER:
                return json_is_integer(v) ||
                       (json_is_real(v) && number_is_whole(json_real_value(v)));
        case SCHEMA_NUMBER:
                return json_is_number(v);
        case SCHEMA_BOOLEAN:
                return json_is_boolean(v);
        case SCHEMA_INT_OR_STRING:
                return json_is_integer(v) || json_is_string(v);
        default:
                return true;
        }
}

static void check_type(struct findings *f, const struct schema *s, const json_t *v) {
        _cleanup_json_ json_t *word = json_string(json_type_word(v));
        const char *wanted = s->type == SCHEMA_INT_OR_STRING ? "integer,string"
                                                             : schema_type_name(s->type);

        finding_add(f, FINDING_TYPE, NULL, word, "%s in body must be of type %s: \"%s\"", here(f),
                        strempty(wanted), json_type_word(v));
}

static void check_enum(struct findings *f, const struct schema_rules *rules, const json_t *v) {
        _cleanup_buf_ struct buf text = {0};
        const json_t *allowed;
        size_t i;

        json_array_foreach (rules->enumeration, i, allowed)
                if (json_same(allowed, v))
                        return;
        json_array_foreach (rules->enumeration, i, allowed) {
                _cleanup_free_ char *one = json_dumps(allowed, JSON_COMPACT | JSON_ENCODE_ANY);

                if (f->built_in && json_is_string(allowed) && !*json_string_value(allowed))
                        continue;
                buf_printf(&text, "%s%s", text.size > 0 ? ", " : "", strempty(one));
        }
        finding_add(f, FINDING_NOT_SUPPORTED, NULL, v, "supported values: %s", strempty(text.data));
}

static void check_number(struct findings *f, const struct schema_rules *rules, const json_t *v) {
        double d = json_number_value(v);
        bool over = rules->bounds & BOUND_EXCLUSIVE_MINIMUM,
             under = rules->bounds & BOUND_EXCLUSIVE_MAXIMUM;

        if (f->built_in && rules->bounds & BOUND_MINIMUM && rules->bounds & BOUND_MAXIMUM &&
                        rules->minimum == 1 && rules->maximum == 65535) {
                if (d < 1 || d > 65535)
                        finding_add(f, FINDING_INVALID, NULL, v,
                                        "must be between 1 and 65535, inclusive");
                return;
        }
        if (rules->bounds & BOUND_MINIMUM && (over ? d <= rules->minimum : d < rules->minimum)) {
                if (f->built_in)
                        finding_add(f, FINDING_INVALID, NULL, v, "must be greater than %s%.15g",
                                        over ? "" : "or equal to ", rules->minimum);
                else
                        finding_add(f, FINDING_INVALID, NULL, v,
                                        "%s in body should be greater than %s%.15g", here(f),
                                        over ? "" : "or equal to ", rules->minimum);
        }
        if (rules->bounds & BOUND_MAXIMUM && (under ? d >= rules->maximum : d > rules->maximum)) {
                if (f->built_in)
                        finding_add(f, FINDING_INVALID, NULL, v, "must be less than %s%.15g",
                                        under ? "" : "or equal to ", rules->maximum);
                else
                        finding_add(f, FINDING_INVALID, NULL, v,
                                        "%s in body should be less than %s%.15g", here(f),
                                        under ? "" : "or equal to ", rules->maximum);
        }
        if (rules->bounds & BOUND_MULTIPLE_OF && rules->multiple_of > 0 &&
                        !number_is_whole(d / rules->multiple_of))
                finding_add(f, FINDING_INVALID, NULL, v, "%s in body should be a multiple of %.15g",
                                here(f), rules->multiple_of);
}

/* The value that is named is how many there are. */
static void too_few(struct findings *f, size_t n, size_t min, const char *what) {
        _cleanup_json_ json_t *count = json_integer((json_int_t)n);

        finding_add(f, FINDING_INVALID, NULL, count, "%s in body should have at least %zu %s",
                        here(f), min, what);
}

static size_t characters(const char *s) {
        size_t n = 0;

        for (; *s; s++)
                n += ((unsigned char)*s & 0xc0) != 0x80;
        return n;
}

/* A value that is too costly to check is refused, in `not` and oneOf too. */
static void give_up(struct findings *f) {
        if (f->gave_up)
                return;
        f->gave_up = true;
        finding_add(f, FINDING_INVALID, NULL, NULL,
                        "matching the patterns of the definition against the values takes too "
                        "long; "
                        "simplify the patterns (repetition within repetition), bound maxLength, or "
                        "make the values shorter");
}

static void check_pattern(struct findings *f, struct pattern *pattern, const json_t *v) {
        int r = pattern_match(
                        pattern, json_string_value(v), json_string_length(v), &f->pattern_steps);

        if (r == 0)
                finding_add(f, FINDING_INVALID, NULL, v, "%s in body should match '%s'", here(f),
                                pattern_text(pattern));
        else if (r == -E2BIG)
                give_up(f);
        else if (r < 0)
                f->failed = true;
}

static void check_string(struct findings *f, const struct schema *s, const json_t *v) {
        const struct schema_rules *rules = s->rules;
        const char *text = json_string_value(v);
        unsigned bounds = rules ? rules->bounds : 0;

        if (bounds & BOUND_MIN_LENGTH && characters(text) < rules->length_min) {
                if (f->built_in && rules->length_min == 1) {
                        finding_add(f, FINDING_REQUIRED, NULL, NULL, NULL);
                        return;
                }
                finding_add(f, FINDING_INVALID, NULL, v,
                                "%s in body should be at least %zu chars long", here(f),
                                rules->length_min);
        } else if (bounds & BOUND_MAX_LENGTH && characters(text) > rules->length_max) {
                finding_add(f, FINDING_TOO_LONG, NULL, NULL, "may not be more than %zu bytes",
                                rules->length_max);
        } else if (rules && rules->pattern) {
                check_pattern(f, rules->pattern, v);
        }
        if (!format_custom_fits(s->format, text))
                finding_add(f, FINDING_INVALID, NULL, v, "%s in body must be of type %s: \"%s\"",
                                here(f), format_custom_name(s->format), text);
        if (s->format != FORMAT_NONE && (*text || !f->built_in || bounds & BOUND_MIN_LENGTH)) {
                const char *error = format_check(s->format, text);

                if (error)
                        finding_add(f, FINDING_INVALID, NULL, v, "%s", error);
        }
}

/* The keys of a list map's item, as {"containerPort":80,"protocol":"TCP"}; absent ones are left
 * out. */
static json_t *item_keys(const struct schema *s, const json_t *item) {
        json_t *keys = json_object();

        for (size_t i = 0; keys && s->map_keys[i]; i++) {
                json_t *v = json_object_get(item, s->map_keys[i]);

                if (v && json_object_set(keys, s->map_keys[i], v) < 0)
                        return NULL;
        }
        return keys;
}

/* Whether the items have the same keys, or are the same item of a set. */
static bool are_twins(const struct schema *s, const json_t *a, const json_t *b) {
        if (s->list != LIST_MAP)
                return json_same(a, b);
        for (size_t i = 0; s->map_keys[i]; i++)
                if (!json_same(json_object_get(a, s->map_keys[i]),
                                    json_object_get(b, s->map_keys[i])))
                        return false;
        return true;
}

bool schema_has_no_twins(const struct schema *s, const json_t *list) {
        size_t n = json_array_size(list);

        if (n > COMPARED_MAX)
                return false;
        for (size_t i = 1; i < n; i++)
                for (size_t j = 0; j < i; j++)
                        if (are_twins(s, json_array_get(list, i), json_array_get(list, j)))
                                return false;
        return true;
}

struct seen {
        UT_hash_handle hh;
        char text[];
};

/* Duplicates of list maps by their keys, of sets by their value. Hashed: a list may be long. */
static void check_unique(struct findings *f, const struct schema *s, const json_t *list) {
        struct seen *all = NULL, *e, *next;
        const json_t *item;
        size_t i;

        if (schema_has_no_twins(s, list))
                return;
        json_array_foreach (list, i, item) {
                _cleanup_json_ json_t *key = s->list == LIST_MAP ? item_keys(s, item)
                                                                 : json_incref((json_t *)item);
                _cleanup_free_ char *text = key ? json_dumps(key, JSON_COMPACT | JSON_ENCODE_ANY |
                                                                                  JSON_SORT_KEYS)
                                                : NULL;
                size_t n = text ? strlen(text) : 0;

                if (!text)
                        continue;
                HASH_FIND(hh, all, text, n, e);
                if (e) {
                        size_t at = findings_push_index(f, i);
                        const json_t *only = s->list == LIST_MAP && s->map_keys[0] &&
                                                                             !s->map_keys[1] &&
                                                                             f->built_in
                                                             ? json_object_get(key, s->map_keys[0])
                                                             : NULL;

                        finding_add(f, FINDING_DUPLICATE, only ? s->map_keys[0] : NULL,
                                        only ? only : key, NULL);
                        findings_pop(f, at);
                        continue;
                }
                e = malloc(sizeof(*e) + n + 1);
                if (!e) {
                        f->failed = true;
                        break;
                }
                memcpy(e->text, text, n + 1);
                HASH_ADD_KEYPTR(hh, all, e->text, n, e);
        }
        HASH_ITER(hh, all, e, next) {
                HASH_DEL(all, e);
                free(e);
        }
}

void schema_each_list(struct findings *f, const struct schema *s, const json_t *v,
                void (*func)(struct findings *f, const struct schema *s, const json_t *list,
                                void *userdata),
                void *userdata) {
        const char *key;
        json_t *child;
        size_t i;

        json_object_foreach ((json_t *)v, key, child) {
                const struct schema *cs = schema_child(s, key);
                size_t at;

                if (!cs || !(json_is_object(child) || json_is_array(child)))
                        continue;
                at = findings_push(f, key);
                schema_each_list(f, cs, child, func, userdata);
                findings_pop(f, at);
        }
        if (json_is_array(v) && s->list != LIST_ATOMIC)
                func(f, s, v, userdata);
        json_array_foreach (v, i, child)
                if (s->items && json_is_object(child)) {
                        size_t at = findings_push_index(f, i);

                        schema_each_list(f, s->items, child, func, userdata);
                        findings_pop(f, at);
                }
}

static void on_list(
                struct findings *f, const struct schema *s, const json_t *list, void *userdata) {
        check_unique(f, s, list);
}

void schema_check_duplicates(struct findings *f, const struct schema *s, const json_t *v) {
        schema_each_list(f, s, v, on_list, NULL);
}

static void validate(
                struct findings *f, const struct schema *s, const json_t *v, const json_t *old);

/* What an item of a keyed list is known by; NULL when out of memory (it is validated then). */
static char *item_key(const struct schema *s, const json_t *item) {
        _cleanup_json_ json_t *keys = json_array();

        for (char *const *k = s->map_keys; k && *k; k++) {
                const json_t *v = json_object_get(item, *k);

                if (json_array_append_new(keys, v ? json_ref(v) : json_null()) < 0)
                        return NULL;
        }
        return keys ? json_text(keys) : NULL;
}

static struct map *items_by_key(const struct schema *s, const json_t *list) {
        struct map *m = map_new(NULL);
        const json_t *item;
        size_t i;

        json_array_foreach (list, i, item) {
                _cleanup_free_ char *key = item_key(s, item);

                if (!m || !key || map_set(m, key, json_unconst(item)) < 0)
                        return map_free(m);
        }
        return m;
}

/* Items of keyed lists are compared with those of the same keys, others with none. */
static void check_array(
                struct findings *f, const struct schema *s, const json_t *v, const json_t *old) {
        _cleanup_(map_freep) struct map *known = NULL;
        const struct schema_rules *rules = s->rules;
        size_t n = json_array_size(v), i;
        const json_t *item;

        if (rules && rules->bounds & BOUND_MIN_ITEMS && n < rules->items_min) {
                if (f->built_in && rules->items_min == 1)
                        finding_add(f, FINDING_REQUIRED, NULL, NULL, NULL);
                else
                        too_few(f, n, rules->items_min, "items");
        }
        if (rules && rules->bounds & BOUND_MAX_ITEMS && n > rules->items_max) {
                finding_add(f, FINDING_TOO_MANY, NULL, NULL, "%zu: must have at most %zu items", n,
                                rules->items_max);
                return;
        }
        if ((s->list != LIST_ATOMIC && s->flags & SCHEMA_UNIQUE_KEYS) ||
                        (rules && rules->bounds & BOUND_UNIQUE_ITEMS))
                check_unique(f, s, v);
        if (s->items && json_is_array(old) && s->list == LIST_MAP)
                known = items_by_key(s, old);
        if (s->items)
                json_array_foreach (v, i, item) {
                        _cleanup_free_ char *key = known ? item_key(s, item) : NULL;
                        size_t at = findings_push_index(f, i);

                        validate(f, s->items, item, key ? map_get(known, key) : NULL);
                        findings_pop(f, at);
                }
}

static void check_object(
                struct findings *f, const struct schema *s, const json_t *v, const json_t *old) {
        const struct schema_rules *rules = s->rules;
        size_t n = json_object_size(v);
        const char *key;
        json_t *child;

        for (size_t i = 0; i < s->field_count; i++)
                if (s->fields[i].flags & FIELD_REQUIRED && !json_object_get(v, s->fields[i].name))
                        finding_add(f, FINDING_REQUIRED, s->fields[i].name, NULL, NULL);
        if (rules && rules->bounds & BOUND_MIN_PROPERTIES && n < rules->properties_min)
                too_few(f, n, rules->properties_min, "properties");
        if (rules && rules->bounds & BOUND_MAX_PROPERTIES && n > rules->properties_max)
                finding_add(f, FINDING_TOO_MANY, NULL, NULL, "%zu: must have at most %zu items", n,
                                rules->properties_max);
        json_object_foreach ((json_t *)v, key, child) {
                const struct schema_field *field = schema_field_find(s, key);
                const struct schema *cs = field ? field->schema : s->additional;
                size_t at;

                if (!cs)
                        continue;
                at = field || !f->built_in ? findings_push(f, key) : findings_push_key(f, key);
                validate(f, cs, child, json_object_get(old, key));
                findings_pop(f, at);
        }
}

/* How many of the alternatives hold, without keeping their findings. */
static size_t count_holding(struct findings *f, const struct schema *const *list, const json_t *v) {
        size_t n = 0;

        for (; *list; list++) {
                _cleanup_findings_ struct findings own = {
                                .built_in = f->built_in,
                                .pattern_steps = f->pattern_steps,
                                .now_us = f->now_us,
                                .clock = f->clock};

                buf_append_str(&own.path, f->path.size > 0 ? f->path.data : "");
                own.body_at = f->body_at;
                schema_validate(&own, *list, v);
                n += findings_count(&own) == 0;
                f->pattern_steps = own.pattern_steps;
                f->failed |= own.failed;
                if (own.gave_up)
                        give_up(f);
        }
        return n;
}

static void check_alternatives(
                struct findings *f, const struct schema_rules *rules, const json_t *v) {
        for (const struct schema *const *s = rules->all_of; s && *s; s++)
                schema_validate(f, *s, v);
        if (rules->any_of && count_holding(f, rules->any_of, v) == 0)
                finding_add(f, FINDING_INVALID, NULL, v,
                                "%s in body must validate at least one schema (anyOf)", here(f));
        if (rules->one_of && count_holding(f, rules->one_of, v) != 1)
                finding_add(f, FINDING_INVALID, NULL, v,
                                "%s in body must validate one and only one schema (oneOf)",
                                here(f));
        if (rules->not ) {
                const struct schema *const only[] = {rules->not, NULL};

                if (count_holding(f, only, v) > 0)
                        finding_add(f, FINDING_INVALID, NULL, v,
                                        "%s in body must not validate the schema (not)", here(f));
        }
}

static void validate(
                struct findings *f, const struct schema *s, const json_t *v, const json_t *old) {
        const struct schema_rules *rules = s->rules;

        findings_tick(f);
        if (old && json_same(v, old))
                return;
        if (json_is_null(v) && s->flags & SCHEMA_NULLABLE)
                return;
        if (!type_fits(s, v)) {
                check_type(f, s, v);
                return;
        }
        if (rules && rules->enumeration)
                check_enum(f, rules, v);
        if (json_is_object(v))
                check_object(f, s, v, old);
        else if (json_is_array(v))
                check_array(f, s, v, old);
        else if (json_is_string(v) && (rules || s->format != FORMAT_NONE))
                check_string(f, s, v);
        else if (json_is_number(v) && rules)
                check_number(f, rules, v);
        if (rules && (rules->all_of || rules->any_of || rules->one_of || rules->not ))
                check_alternatives(f, rules, v);
}

void schema_validate(struct findings *f, const struct schema *s, const json_t *v) {
        validate(f, s, v, NULL);
}

void schema_validate_update(
                struct findings *f, const struct schema *s, const json_t *v, const json_t *old) {
        validate(f, s, v, old);
}
