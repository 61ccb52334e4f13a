/* What the expressions of mutations may make: Object{...}, Object.spec{...} and so on, whose fields
 * are checked when the configuration is merged, and JSONPatch{...} (reference: apiserver's
 * pkg/cel/mutation and pkg/cel/library/jsonpatch.go). */
#include "kapid/cel/lib.h"
#include "kapid/policies/language.h"

#define CONFIGURATION "Object"
#define PATCH "JSONPatch"

/* "~" and "/" of a key, as a path of a JSON patch has them. */
static struct cel_value escape_key(struct cel_run *run, const struct cel_value *a, size_t n) {
        struct cel_value key = a[0];
        size_t size = 0, special = 0;
        char *text;

        (void)n;
        for (size_t i = 0; i < key.text.size; i++)
                special += key.text.data[i] == '~' || key.text.data[i] == '/';
        if (key.text.size + special > CEL_TEXT_RESULT_MAX)
                return cel_error(run, "the text is too long");
        text = cel_alloc(run, key.text.size + special);
        if (!text)
                return cel_no_memory(run);
        for (size_t i = 0; i < key.text.size; i++) {
                char c = key.text.data[i];

                text[size++] = c == '/' ? '~' : c;
                if (c == '~' || c == '/')
                        text[size++] = c == '~' ? '0' : '1';
        }
        return cel_string_at(text, size);
}

static void escape_estimate(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        (void)n;
        *ret_cost = cel_range_text(args[0]);
        *ret_size = (struct cel_range){args[0].min, cel_cost_multiply(args[0].max, 2)};
}

static const struct cel_row rows[] = {
                {"jsonpatch.escapeKey", 0, "(string) -> string", escape_key, cel_cost_of_first,
                                escape_estimate},
};

#define FIELD(n, t) \
        { .name = (n), .property = (n), .type = (t) }
static const struct cel_field patch_fields[] = {FIELD("from", &cel_string_type),
                FIELD("op", &cel_string_type), FIELD("path", &cel_string_type),
                FIELD("value", &cel_dyn_type)};

static const struct cel_message messages[] = {
                {.name = CONFIGURATION, .has_parts = true},
                {.name = PATCH, .fields = patch_fields, .field_count = ELEMENTS(patch_fields)},
};

const struct cel_library policy_library_mutation = {.name = "mutation",
                .rows = rows,
                .row_count = ELEMENTS(rows),
                .messages = messages,
                .message_count = ELEMENTS(messages)};

static bool is_message(const struct cel_type *t, const char *name) {
        return t->kind == CEL_TYPE_OBJECT && t->message && streq(t->name, name);
}

bool policy_is_configuration(const struct cel_type *t) {
        return is_message(t, CONFIGURATION);
}

bool policy_is_patch(const struct cel_type *t) {
        return t->kind == CEL_TYPE_LIST && is_message(t->of[0], PATCH);
}
