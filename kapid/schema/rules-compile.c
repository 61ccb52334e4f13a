/* Rules compiled: a walk over a version's schema that makes the tree of rules. */
#include "kapid/schema/pattern.h"
#include "kapid/schema/rules-internal.h"

struct compiler {
        struct rules *rules;
};

static struct rules_node *node_free(struct rules_node *n) {
        if (!n)
                return NULL;
        for (size_t i = 0; i < n->rule_count; i++) {
                cel_program_free(n->rules[i].program);
                cel_program_free(n->rules[i].message);
                free(n->rules[i].error);
                free(n->rules[i].message_error);
                free(n->rules[i].field_path);
        }
        for (size_t i = 0; i < n->child_count; i++)
                node_free(n->children[i].node);
        node_free(n->items);
        node_free(n->additional);
        free(n->rules);
        free(n->children);
        return mfree(n);
}
DEFINE_CLEANUP(struct rules_node *, node_free);

struct rules *rules_free(struct rules *r) {
        if (!r)
                return NULL;
        node_free(r->root);
        cel_types_free(r->types);
        json_decref(r->schema);
        return mfree(r);
}

bool rules_are_in(const json_t *schema, unsigned depth) {
        const json_t *child;
        const char *name;

        if (!json_is_object(schema) || depth > RULES_DEPTH_MAX)
                return false;
        if (json_array_size(json_object_get(schema, "x-kubernetes-validations")) > 0)
                return true;
        if (rules_are_in(json_object_get(schema, "items"), depth + 1) ||
                        rules_are_in(json_object_get(schema, "additionalProperties"), depth + 1))
                return true;
        json_object_each (json_object_get(schema, "properties"), name, child) {
                if (rules_are_in(child, depth + 1))
                        return true;
        }
        return false;
}

const char *rules_trimmed(const char *text, size_t *ret_size) {
        size_t n;

        text += strspn(text, " \t\n\v\f\r");
        n = strlen(text);
        while (n > 0 && strchr(" \t\n\v\f\r", text[n - 1]))
                n--;
        *ret_size = n;
        return text;
}

/* One name of a field path: .name or ['name']. *at moves behind it. 0 or -EINVAL, -ENOMEM. */
static int path_step(const char **at, char **ret) {
        _cleanup_buf_ struct buf b = {};
        const char *s = *at;

        if (*s == '.') {
                size_t n = strcspn(++s, ".[]");

                buf_append(&b, s, n);
                s += n;
                if (n == 0)
                        return -EINVAL;
        } else if (*s == '[' && s[1] == '\'') {
                for (s += 2; *s && *s != '\''; s++) {
                        static const char from[] = "abfnrtv'\\", to[] = "\a\b\f\n\r\t\v'\\";
                        const char *escape = *s == '\\' && s[1] ? strchr(from, s[1]) : NULL;

                        if (*s == '\\' && !escape)
                                return -EINVAL;
                        buf_append_char(&b, escape ? to[escape - from] : *s);
                        s += escape ? 1 : 0;
                }
                if (s[0] != '\'' || s[1] != ']')
                        return -EINVAL;
                s += 2;
        } else
                return -EINVAL;
        *at = s;
        *ret = buf_take(&b);
        return *ret ? 0 : -ENOMEM;
}

char *rules_field_path(const json_t *schema, const char *path, bool *ret_memory) {
        _cleanup_buf_ struct buf b = {};

        *ret_memory = false;
        while (*path) {
                const json_t *properties = json_object_get(schema, "properties");
                _cleanup_free_ char *name = NULL;
                int r = path_step(&path, &name);

                *ret_memory |= r == -ENOMEM;
                if (r < 0)
                        return NULL;
                if (properties)
                        schema = json_object_get(properties, name);
                else
                        schema = json_object_get(schema, "additionalProperties");
                if (!json_is_object(schema))
                        return NULL;
                if (properties)
                        buf_printf(&b, "%s%s", b.size > 0 ? "." : "", name);
                else
                        buf_printf(&b, "[%s]", name);
        }
        *ret_memory = b.failed;
        return buf_take(&b);
}

/* The environment of a rule: self, and oldSelf as it is or optional. */
static int variables_of(struct compiler *c, const struct rules_node *n, const struct rule *rule,
                struct cel_variable ret[2]) {
        const struct cel_type *old = n->type;

        if (rule->optional_old)
                old = cel_optional_type(c->rules->types, n->type);
        if (!old)
                return -ENOMEM;
        ret[0] = (struct cel_variable){"self", n->type};
        ret[1] = (struct cel_variable){"oldSelf", old};
        return 0;
}

/* 0 with a program, or with *ret_error saying why there is none. */
static int compile_text(struct compiler *c, const struct cel_variable *variables, const char *text,
                enum cel_type_kind wanted, const char *what, struct cel_program **ret,
                char **ret_error) {
        struct cel_env env = {c->rules->functions, variables, 2};
        _cleanup_cel_findings_ struct cel_findings f = {};
        _cleanup_(cel_program_freep) struct cel_program *p = NULL;
        int r = cel_compile(&env, text, strlen(text), &p, &f);

        if (r == -EINVAL)
                *ret_error = strformat("%scompilation failed: %s", what, strempty(f.text));
        else if (r < 0)
                return r;
        else if (cel_program_type(p)->kind != wanted && cel_program_type(p)->kind != CEL_TYPE_DYN)
                *ret_error = wanted == CEL_TYPE_BOOL
                                             ? strdup("cel expression must evaluate to a bool")
                                             : strdup("messageExpression must evaluate to a string");
        else {
                *ret = TAKE_PTR(p);
                return 0;
        }
        return *ret_error ? 0 : -ENOMEM;
}

static int compile_rule(struct compiler *c, const struct rules_node *n, const json_t *doc,
                struct rule *rule) {
        const char *text = json_str_or(doc, "rule", ""),
                   *message = json_str_or(doc, "messageExpression", ""),
                   *path = json_str_or(doc, "fieldPath", "");
        struct cel_variable variables[2];
        size_t size;
        bool memory;
        int r;

        rule->doc = doc;
        rule->optional_old = json_bool_or(doc, "optionalOldSelf", false);
        (void)rules_trimmed(text, &size);
        if (size == 0)
                return 0;
        if (!n->type) {
                rule->error = strdup("failed to convert to declType for CEL validation rules");
                return rule->error ? 0 : -ENOMEM;
        }
        r = variables_of(c, n, rule, variables);
        if (r < 0)
                return r;
        r = compile_text(c, variables, text, CEL_TYPE_BOOL, "", &rule->program, &rule->error);
        if (r < 0 || !rule->program)
                return r;
        rule->uses_old = cel_program_reads(rule->program, 1);
        if (*message) {
                r = compile_text(c, variables, message, CEL_TYPE_STRING, "messageExpression ",
                                &rule->message, &rule->message_error);
                if (r < 0)
                        return r;
        }
        if (*path) {
                rule->field_path = rules_field_path(n->schema, path, &memory);
                if (!rule->field_path && memory)
                        return -ENOMEM;
        }
        return 0;
}

static int make_node(struct compiler *c, const json_t *schema, const struct cel_type *type,
                bool root, unsigned depth, struct rules_node **ret);

static bool is_embedded(const json_t *schema) {
        return json_is_true(json_object_get(schema, "x-kubernetes-embedded-resource"));
}

static const struct cel_type *child_type(const struct cel_type *type, const char *property) {
        for (size_t i = 0; type && type->kind == CEL_TYPE_OBJECT && i < type->field_count; i++)
                if (streq(type->fields[i].property, property))
                        return type->fields[i].type;
        return NULL;
}

static int make_children(struct compiler *c, struct rules_node *n, const struct cel_type *type,
                unsigned depth) {
        const json_t *properties = json_object_get(n->schema, "properties"), *child;
        const char *name;
        int r;

        n->children = calloc(MAX(json_object_size(properties), (size_t)1), sizeof(*n->children));
        if (!n->children)
                return -ENOMEM;
        json_object_each (properties, name, child) {
                struct rules_node *made = NULL;

                r = make_node(c, child, child_type(type, name), is_embedded(child), depth + 1,
                                &made);
                if (r < 0)
                        return r;
                if (made)
                        n->children[n->child_count++] = (struct rules_child){name, made};
        }
        return 0;
}

static int make_rules(struct compiler *c, struct rules_node *n) {
        const json_t *list = json_object_get(n->schema, "x-kubernetes-validations"), *doc;
        size_t i;
        int r;

        n->rules = calloc(MAX(json_array_size(list), (size_t)1), sizeof(*n->rules));
        if (!n->rules)
                return -ENOMEM;
        json_array_foreach (list, i, doc) {
                r = compile_rule(c, n, doc, &n->rules[n->rule_count++]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int make_node(struct compiler *c, const json_t *schema, const struct cel_type *type,
                bool root, unsigned depth, struct rules_node **ret) {
        const json_t *items = json_object_get(schema, "items"),
                     *additional = json_object_get(schema, "additionalProperties");
        _cleanup_(node_freep) struct rules_node *n = NULL;
        bool list = type && type->kind == CEL_TYPE_LIST, map = type && type->kind == CEL_TYPE_MAP;
        int r;

        if (!rules_are_in(schema, depth) || depth > RULES_DEPTH_MAX)
                return 0;
        n = calloc(1, sizeof(*n));
        if (!n)
                return -ENOMEM;
        n->schema = schema;
        /* Parts of the tree's type serve where there are some; names that cannot be written have
           none there. */
        if (!type) {
                r = cel_type_from_schema(
                                c->rules->types, schema, root ? CEL_SCHEMA_ROOT : 0, &type);
                if (r < 0)
                        return r;
                list = type && type->kind == CEL_TYPE_LIST;
                map = type && type->kind == CEL_TYPE_MAP;
        }
        n->type = type;
        r = make_rules(c, n);
        if (r < 0)
                return r;
        r = make_node(c, items, list ? type->of[0] : NULL, is_embedded(items), depth + 1,
                        &n->items);
        if (r < 0)
                return r;
        r = make_node(c, additional, map ? type->of[1] : NULL, is_embedded(additional), depth + 1,
                        &n->additional);
        if (r < 0)
                return r;
        r = make_children(c, n, type, depth);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(n);
        return 0;
}

int rules_base_new(struct rules_base **ret) {
        _cleanup_(rules_base_freep) struct rules_base *b = calloc(1, sizeof(*b));
        int r;

        if (!b)
                return -ENOMEM;
        b->patterns = pattern_cache_new();
        if (!b->patterns)
                return -ENOMEM;
        r = cel_functions_new(cel_libraries, b->patterns, &b->functions, NULL);
        assert(r != -EINVAL); /* the tables are right: a unit test reads them */
        if (r < 0)
                return r;
        *ret = TAKE_PTR(b);
        return 0;
}

struct rules_base *rules_base_free(struct rules_base *b) {
        if (!b)
                return NULL;
        cel_functions_free(b->functions);
        pattern_cache_free(b->patterns);
        return mfree(b);
}

int rules_new(const json_t *schema, const struct rules_base *base, struct rules **ret) {
        _cleanup_(rules_freep) struct rules *rules = NULL;
        struct compiler c = {};
        int r;

        if (!rules_are_in(schema, 0)) {
                *ret = NULL;
                return 0;
        }
        c.rules = rules = calloc(1, sizeof(*rules));
        if (!rules)
                return -ENOMEM;
        rules->schema = json_ref(schema);
        rules->functions = base->functions;
        rules->types = cel_types_new();
        if (!rules->types)
                return -ENOMEM;
        r = make_node(&c, schema, NULL, true, 0, &rules->root);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(rules);
        return 0;
}
