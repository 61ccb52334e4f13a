/* Random objects of any kind, made along its schema; after cmocka. */
#pragma once

#include "kapid/schema/schema.h"
#include "tests/unit/kapid-cases.h"
#include "tests/unit/random.h"

enum { RANDOM_DEPTH_MAX = 9 };

static _unused_ json_t *random_string(struct dice *d, const struct schema *s) {
        static const char *const texts[] = {"", "a", "b", "web", "x-y", "80", "a/b", "25%",
                        "kubernetes.io/x", "Always", "None", "\xc3\xa4", "A_b", "10.0.0.1"};
        const json_t *allowed = s->rules ? s->rules->enumeration : NULL;

        if (allowed && (d->complete || roll(d, 8) > 0))
                return json_incref(json_array_get(allowed, roll(d, json_array_size(allowed))));
        switch (s->format) {
        case FORMAT_DATE_TIME:
        case FORMAT_MICRO_TIME:
                return json_string(roll(d, 2) ? "2024-01-02T03:04:05Z"
                                              : "2024-01-02T03:04:05.5+01:00");
        case FORMAT_QUANTITY:
                return roll(d, 2) ? json_string("1500m") : json_integer((json_int_t)roll(d, 5000));
        case FORMAT_BYTE:
                return json_string("aGVsbG8=");
        case FORMAT_DURATION:
                return json_string("90s");
        default:
                return json_string(texts[d->complete + roll(d, ELEMENTS(texts) - d->complete)]);
        }
}

static _unused_ json_t *random_value(struct dice *d, const struct schema *s, unsigned depth);

static _unused_ uint64_t random_count(struct dice *d) {
        return d->complete ? 1 + roll(d, 3) : roll(d, 4);
}

static _unused_ json_t *random_object(struct dice *d, const struct schema *s, unsigned depth) {
        static const char *const keys[] = {"a", "b", "app", "x/y", "cpu"};
        json_t *object = json_object();

        for (size_t i = 0; i < s->field_count; i++) {
                const struct schema_field *f = &s->fields[i];
                uint64_t odds = f->flags & FIELD_REQUIRED ? 12 + d->complete
                                : s->field_count > 12     ? 1
                                                          : 5;

                if (roll(d, 13) < odds && (depth < RANDOM_DEPTH_MAX || odds > 12))
                        json_object_set_new(object, f->name, random_value(d, f->schema, depth + 1));
        }
        for (uint64_t n = s->additional ? random_count(d) : 0; n > 0; n--)
                json_object_set_new(object, keys[roll(d, ELEMENTS(keys))],
                                random_value(d, s->additional, depth + 1));
        return object;
}

static _unused_ json_t *random_value(struct dice *d, const struct schema *s, unsigned depth) {
        json_t *list;

        switch (s->type) {
        case SCHEMA_OBJECT:
                return random_object(d, s, depth);
        case SCHEMA_ARRAY:
                list = json_array();
                for (uint64_t n = random_count(d); s->items && n > 0; n--)
                        json_array_append_new(list, random_value(d, s->items, depth + 1));
                return list;
        case SCHEMA_STRING:
                return random_string(d, s);
        case SCHEMA_INTEGER:
                return json_integer((json_int_t)roll(d, 100) - 3);
        case SCHEMA_NUMBER:
                return json_real((double)roll(d, 100) / 7);
        case SCHEMA_BOOLEAN:
                return json_boolean(roll(d, 2));
        case SCHEMA_INT_OR_STRING:
                return roll(d, 2) ? json_integer((json_int_t)roll(d, 100)) : json_string("25%");
        default:
                return json_pack("{s:i}", "x", (int)roll(d, 9));
        }
}

/* An object of the kind with a good name, decoded from its text. */
static _unused_ json_t *random_decoded(struct dice *d, const struct kind *k) {
        _cleanup_json_ json_t *raw = random_object(d, k->schema, 0);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL;
        struct decoded decoded = {0};

        json_object_set_new(raw, "apiVersion", json_string(k->api_version));
        json_object_set_new(raw, "kind", json_string(k->kind));
        json_object_set_new(raw, "metadata",
                        json_pack("{s:s, s:s*, s:s}", "name", "web", "namespace",
                                        k->namespaced ? "d" : NULL, "uid", "u"));
        text = json_dumps(raw, 0);
        if (pipeline_decode(k, NULL, NULL, text, strlen(text), FIELD_VALIDATION_STRICT, &decoded,
                            &p) < 0)
                fail_msg("%s: %s\n%s", k->kind, p.message, text);
        return decoded.object;
}
