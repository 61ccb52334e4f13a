/* Schemas as types, and compiling a policy with them (reference: apiserver's
 * admission/plugin/policy/validating/typechecking.go). */
#include "kapid/policies/types.h"

#include "kapid/schema/schema.h"
#include "lib/vector.h"

enum { DEPTH_MAX = 40 };

/* Nodes of schemas are shared and may refer to themselves: each has one type. */
struct made {
        const struct schema *schema;
        struct cel_type *type;
};
struct making {
        struct cel_types *types;
        VECTOR(struct made)
        made;
        bool failed;
};

static const struct cel_type *type_of(struct making *m, const struct schema *s, unsigned depth);

static struct cel_type *known_type(const struct making *m, const struct schema *s) {
        for (size_t i = 0; i < m->made.count; i++)
                if (m->made.items[i].schema == s)
                        return m->made.items[i].type;
        return NULL;
}

static const struct cel_type *string_type(const struct schema *s) {
        switch (s->format) {
        case FORMAT_BYTE:
                return &cel_bytes_type;
        case FORMAT_DATE_TIME:
        case FORMAT_MICRO_TIME:
                return &cel_timestamp_type;
        case FORMAT_QUANTITY:
                return &cel_dyn_type; /* a number is one, too */
        default:
                return &cel_string_type;
        }
}

static const struct cel_field *fields_of(
                struct making *m, const struct schema *s, unsigned depth, size_t *ret_count) {
        struct cel_field *fields =
                        cel_types_alloc(m->types, (s->field_count + 1) * sizeof(*fields));
        size_t count = 0;

        if (!fields) {
                m->failed = true;
                return NULL;
        }
        for (size_t i = 0; i < s->field_count; i++) {
                const struct schema_field *f = &s->fields[i];
                const char *name = cel_escape(m->types, f->name);

                if (!name)
                        continue; /* expressions cannot name it */
                fields[count++] = (struct cel_field){.name = name,
                                .property = cel_types_strndup(m->types, f->name, strlen(f->name)),
                                .type = type_of(m, f->schema, depth + 1),
                                .required = f->flags & FIELD_REQUIRED};
                m->failed |= !fields[count - 1].property;
        }
        *ret_count = count;
        return fields;
}

static const struct cel_type *object_type(
                struct making *m, const struct schema *s, unsigned depth) {
        struct cel_type *t = known_type(m, s);
        const struct cel_type *made;
        const struct cel_field *fields;
        size_t count = 0;

        if (t)
                return t;
        t = cel_types_alloc(m->types, sizeof(*t));
        if (!t || vector_append(&m->made, ((struct made){s, t})) < 0) {
                m->failed = true;
                return &cel_dyn_type;
        }
        fields = fields_of(m, s, depth, &count);
        made = fields ? cel_object_type(m->types, "object", (struct cel_field *)fields, count)
                      : NULL;
        if (made)
                *t = *made;
        else
                m->failed = true;
        return t;
}

static const struct cel_type *type_of(struct making *m, const struct schema *s, unsigned depth) {
        const struct cel_type *t = NULL;

        if (depth > DEPTH_MAX || m->failed)
                return &cel_dyn_type;
        switch (s->type) {
        case SCHEMA_STRING:
                return string_type(s);
        case SCHEMA_INTEGER:
                return &cel_int_type;
        case SCHEMA_NUMBER:
                return &cel_double_type;
        case SCHEMA_BOOLEAN:
                return &cel_bool_type;
        case SCHEMA_ARRAY:
                t = cel_list_type(m->types,
                                s->items ? type_of(m, s->items, depth + 1) : &cel_dyn_type);
                break;
        case SCHEMA_OBJECT:
                if (s->field_count > 0 && !(s->flags & SCHEMA_PRESERVE_UNKNOWN))
                        return object_type(m, s, depth);
                if (!s->additional)
                        return &cel_dyn_type;
                t = cel_map_type(m->types, &cel_string_type, type_of(m, s->additional, depth + 1));
                break;
        default:
                return &cel_dyn_type;
        }
        m->failed |= !t;
        return t ? t : &cel_dyn_type;
}

const struct cel_type *policy_type_of_schema(struct cel_types *t, const struct schema *s) {
        struct making m = {.types = t};
        const struct cel_type *type = type_of(&m, s, 0);

        vector_done(&m.made);
        return m.failed ? NULL : type;
}

/* --- checking --- */

struct checking {
        const struct policy_language *language;
        const json_t *spec;
        const struct kind *kind; /* of the objects */
        json_t *warnings;        /* fieldRef -> text */
        bool failed;
};

/* Kubernetes checks what is validated, and the messages. */
static void on_fault(const char *field, const char *text, const char *why, void *userdata) {
        struct checking *c = userdata;
        const char *rest = startswith(why, "compilation failed: ");
        _cleanup_free_ char *ref = NULL, *warning = NULL;
        const char *before;

        (void)text;
        if (!startswith(field, "validations"))
                return;
        ref = strformat("spec.%s", field);
        before = ref ? json_string_value(json_object_get(c->warnings, ref)) : NULL;
        warning = strformat("%s%s%s, Kind=%s: %s", strempty(before), before ? "\n" : "",
                        c->kind->api_version, c->kind->kind, rest ? rest : why);
        if (!ref || !warning || json_object_set_new(c->warnings, ref, json_string(warning)) < 0)
                c->failed = true;
}

static int check_kind(struct checking *c, const struct kind *k, const struct schema *params) {
        _cleanup_(cel_types_freep) struct cel_types *t = cel_types_new();
        _cleanup_(policy_program_freep) struct policy_program *program = NULL;
        struct policy_types types = {0};
        int r;

        if (!t)
                return -ENOMEM;
        types.object = policy_type_of_schema(t, k->schema);
        types.params = params ? policy_type_of_schema(t, params) : &cel_dyn_type;
        if (!types.object || !types.params)
                return -ENOMEM;
        c->kind = k;
        r = policy_program_new(&program, c->language, c->spec, &types, on_fault, c);
        return r < 0 ? r : c->failed ? -ENOMEM : 0;
}

struct kinds {
        const struct kind *list[POLICY_CHECKED_TYPES_MAX];
        size_t count;
};

static void add_kind(struct kinds *kinds, const struct kind *k) {
        if (!k || kinds->count == ELEMENTS(kinds->list))
                return;
        for (size_t i = 0; i < kinds->count; i++)
                if (kinds->list[i] == k)
                        return;
        kinds->list[kinds->count++] = k;
}

static bool has_star(const json_t *list) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (strchr(strempty(json_string_value(v)), '*'))
                        return true;
        return false;
}

static void add_kinds(
                struct kinds *kinds, const struct kind_registry *registry, const json_t *rule) {
        const json_t *groups = json_object_get(rule, "apiGroups"),
                     *versions = json_object_get(rule, "apiVersions"),
                     *resources = json_object_get(rule, "resources"), *g, *v, *res;
        size_t i, j, k;

        if (has_star(groups) || has_star(versions) || has_star(resources))
                return;
        json_array_foreach (groups, i, g)
                json_array_foreach (versions, j, v)
                        json_array_foreach (resources, k, res)
                                add_kind(kinds, kind_registry_find(registry,
                                                                strempty(json_string_value(g)),
                                                                strempty(json_string_value(v)),
                                                                strempty(json_string_value(res))));
}

static const struct schema *params_schema(
                const struct kind_registry *registry, const json_t *spec) {
        const json_t *kind = json_object_get(spec, "paramKind");
        const struct kind *k =
                        kind ? policy_param_kind(registry, json_str_or(kind, "apiVersion", ""),
                                               json_str_or(kind, "kind", ""))
                             : NULL;

        return k ? k->schema : NULL;
}

int policy_check_types(const struct policy_language *l, const struct kind_registry *registry,
                const json_t *spec, json_t **ret) {
        _cleanup_json_ json_t *warnings = json_object(), *list = NULL;
        struct checking c = {.language = l, .spec = spec, .warnings = warnings};
        struct kinds kinds = {0};
        const json_t *rule;
        const char *ref;
        json_t *text;
        size_t i;

        if (!warnings)
                return -ENOMEM;
        json_array_foreach (json_at(spec, "matchConstraints.resourceRules"), i, rule)
                add_kinds(&kinds, registry, rule);
        for (i = 0; i < kinds.count; i++) {
                int r = check_kind(&c, kinds.list[i], params_schema(registry, spec));

                if (r < 0)
                        return r;
        }
        *ret = NULL;
        if (json_object_size(warnings) == 0)
                return 0;
        list = json_array();
        json_object_each (warnings, ref, text)
                if (json_array_append_new(list,
                                    json_pack("{ss, sO}", "fieldRef", ref, "warning", text)) < 0)
                        return -ENOMEM;
        *ret = TAKE_PTR(list);
        return *ret ? 0 : -ENOMEM;
}
