/* The tables of functions made ready: signatures parsed, rows of one name together. */
#include "kapid/cel/internal.h"

struct signature {
        struct cel_types *types;
        const struct cel_library *const *libraries;
        const char *at;
        const struct cel_type *letters[26];
};

static void skip_space(struct signature *s) {
        while (*s->at == ' ')
                s->at++;
}

static bool take(struct signature *s, const char *text) {
        const char *rest;

        skip_space(s);
        rest = startswith(s->at, text);
        if (rest)
                s->at = rest;
        return rest != NULL;
}

static const struct {
        const char *name;
        const struct cel_type *type;
} simple_types[] = {
                {"dyn", &cel_dyn_type},
                {"null", &cel_null_type},
                {"null_type", &cel_null_type},
                {"bool", &cel_bool_type},
                {"int", &cel_int_type},
                {"uint", &cel_uint_type},
                {"double", &cel_double_type},
                {"string", &cel_string_type},
                {"bytes", &cel_bytes_type},
                {"timestamp", &cel_timestamp_type},
                {"duration", &cel_duration_type},
                {"type", &cel_type_type},
                {"list", &cel_list_dyn_type},
                {"map", &cel_map_dyn_type},
                {"optional_type", &cel_optional_dyn_type},
                {"google.protobuf.Timestamp", &cel_timestamp_type},
                {"google.protobuf.Duration", &cel_duration_type},
};

static const struct cel_type *type_by_name(
                const struct cel_library *const *libraries, const char *name, size_t n) {
        for (size_t i = 0; i < ELEMENTS(simple_types); i++)
                if (strlen(simple_types[i].name) == n && !strncmp(simple_types[i].name, name, n))
                        return simple_types[i].type;
        for (; *libraries; libraries++)
                for (size_t i = 0; i < (*libraries)->class_count; i++) {
                        const struct cel_type *t = &(*libraries)->classes[i]->type;

                        if (strlen(t->name) == n && !strncmp(t->name, name, n))
                                return t;
                }
        return NULL;
}

const struct cel_type *cel_named_type(const struct cel_functions *f, const char *name) {
        return type_by_name(f->libraries, name, strlen(name));
}

static bool is_message(const struct cel_message *m, const char *name) {
        const char *rest = startswith(name, m->name);

        return rest && (!*rest || (m->has_parts && *rest == '.'));
}

const struct cel_type *cel_message_type(
                const struct cel_functions *f, struct cel_types *memory, const char *name) {
        for (const struct cel_library *const *l = f->libraries; *l; l++)
                for (size_t i = 0; i < (*l)->message_count; i++) {
                        const struct cel_message *m = &(*l)->messages[i];
                        struct cel_type *t;

                        if (!is_message(m, name))
                                continue;
                        t = cel_types_alloc(memory, sizeof(*t));
                        if (!t)
                                return NULL;
                        *t = (struct cel_type){.kind = CEL_TYPE_OBJECT,
                                        .message = true,
                                        .name = cel_types_strndup(memory, name, strlen(name)),
                                        .fields = m->fields,
                                        .field_count = m->field_count,
                                        .size_max = UINT64_MAX,
                                        .size_json_min = 2};
                        return t->name ? t : NULL;
                }
        return NULL;
}

static const struct cel_type *parse_type(struct signature *s, unsigned depth);

/* list(T), map(K, V), optional(T), type(T); the name is behind us. */
static const struct cel_type *parse_inner(
                struct signature *s, const char *name, size_t n, unsigned depth) {
        const struct cel_type *first, *second = NULL;
        bool map = n == 3 && !strncmp(name, "map", n);

        first = parse_type(s, depth + 1);
        if (map) {
                if (!first || !take(s, ","))
                        return NULL;
                second = parse_type(s, depth + 1);
        }
        if (!first || !take(s, ")"))
                return NULL;
        if (map)
                return cel_map_type(s->types, first, second);
        if (n == 4 && !strncmp(name, "list", n))
                return cel_list_type(s->types, first);
        if (n == 8 && !strncmp(name, "optional", n))
                return cel_optional_type(s->types, first);
        if (n == 4 && !strncmp(name, "type", n))
                return cel_type_type_of(s->types, first);
        return NULL;
}

static const struct cel_type *parse_type(struct signature *s, unsigned depth) {
        const char *name;
        size_t n;

        skip_space(s);
        name = s->at;
        n = strcspn(name, "(), ");
        s->at += n;
        if (n == 0 || depth > 10)
                return NULL;
        if (n == 1 && *name >= 'A' && *name <= 'Z') {
                const struct cel_type **letter = &s->letters[*name - 'A'];
                struct cel_type *t = *letter ? NULL : cel_types_alloc(s->types, sizeof(*t));

                if (t) {
                        *t = (struct cel_type){.kind = CEL_TYPE_PARAM,
                                        .name = cel_types_strndup(s->types, name, 1),
                                        .size_max = UINT64_MAX};
                        *letter = t;
                }
                return *letter;
        }
        if (take(s, "("))
                return parse_inner(s, name, n, depth);
        return type_by_name(s->libraries, name, n);
}

enum { PARAMS_MAX = 8 };

static int parse_signature(
                struct cel_functions *f, const struct cel_row *row, struct cel_overload *ret) {
        struct signature s = {.types = f->types, .libraries = f->libraries, .at = row->signature};
        const struct cel_type *params[PARAMS_MAX], **kept;
        size_t count = 0;

        if (!take(&s, "("))
                return -EINVAL;
        while (!take(&s, ")")) {
                if (count == PARAMS_MAX || (count > 0 && !take(&s, ",")))
                        return -EINVAL;
                params[count] = parse_type(&s, 0);
                if (!params[count])
                        return -EINVAL;
                count++;
        }
        if (!take(&s, "->"))
                return -EINVAL;
        *ret = (struct cel_overload){.row = row, .param_count = count, .result = parse_type(&s, 0)};
        skip_space(&s);
        if (!ret->result || *s.at || ((row->flags & CEL_MEMBER) && count == 0))
                return -EINVAL;
        kept = cel_types_alloc(f->types, MAX(count, (size_t)1) * sizeof(*kept));
        if (!kept)
                return -ENOMEM;
        if (count > 0)
                memcpy(kept, params, count * sizeof(*kept));
        ret->params = kept;
        return 0;
}

static size_t row_count(const struct cel_library *const *libraries) {
        size_t n = 0;

        for (; *libraries; libraries++)
                n += (*libraries)->row_count;
        return n;
}

/* Rows of one name stay in the order of their tables: qsort gets their positions along. */
struct sorted {
        struct cel_overload overload;
        size_t position;
};

static int by_name(const void *a, const void *b) {
        const struct sorted *x = a, *y = b;
        int r = strcmp(x->overload.row->name, y->overload.row->name);

        return r != 0 ? r : (x->position > y->position) - (x->position < y->position);
}

static int group(struct cel_functions *f, const struct sorted *sorted, size_t count) {
        struct cel_overload *all = cel_types_alloc(f->types, count * sizeof(*all));

        f->entries = cel_types_alloc(f->types, count * sizeof(*f->entries));
        if (!all || !f->entries)
                return -ENOMEM;
        for (size_t i = 0; i < count; i++) {
                struct cel_function_entry *e = &f->entries[f->count];

                all[i] = sorted[i].overload;
                if (f->count > 0 && streq(e[-1].name, all[i].row->name)) {
                        e[-1].count++;
                        continue;
                }
                *e = (struct cel_function_entry){
                                .name = all[i].row->name, .overloads = &all[i], .count = 1};
                f->count++;
        }
        return 0;
}

int cel_functions_new(const struct cel_library *const *libraries, struct pattern_cache *patterns,
                struct cel_functions **ret, char **ret_error) {
        _cleanup_(cel_functions_freep) struct cel_functions *f = calloc(1, sizeof(*f));
        size_t total = row_count(libraries), count = 0;
        _cleanup_free_ struct sorted *sorted = calloc(MAX(total, (size_t)1), sizeof(*sorted));
        int r;

        if (!f || !sorted)
                return -ENOMEM;
        f->types = cel_types_new();
        if (!f->types)
                return -ENOMEM;
        f->libraries = libraries;
        f->patterns = patterns;
        for (const struct cel_library *const *l = libraries; *l; l++)
                for (size_t i = 0; i < (*l)->row_count; i++, count++) {
                        const struct cel_row *row = &(*l)->rows[i];

                        r = parse_signature(f, row, &sorted[count].overload);
                        if (r == -EINVAL && ret_error)
                                *ret_error = strformat("%s: %s: no signature: %s", (*l)->name,
                                                row->name, row->signature);
                        if (r < 0)
                                return r;
                        sorted[count].position = count;
                }
        qsort(sorted, count, sizeof(*sorted), by_name);
        r = group(f, sorted, count);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}

struct cel_functions *cel_functions_free(struct cel_functions *f) {
        if (!f)
                return NULL;
        cel_types_free(f->types);
        return mfree(f);
}

const struct cel_function_entry *cel_function_find(
                const struct cel_functions *f, const char *name) {
        size_t from = 0, to = f->count;

        while (from < to) {
                size_t middle = (from + to) / 2;
                int r = strcmp(f->entries[middle].name, name);

                if (r == 0)
                        return &f->entries[middle];
                if (r < 0)
                        from = middle + 1;
                else
                        to = middle;
        }
        return NULL;
}
