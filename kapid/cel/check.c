/* The checker: the type of each part of an expression, what its names stand for, which rows of the
 * tables a call may mean. Messages are cel-go's. */
#include "kapid/cel/unify.h"

enum { ARGS_MAX = 8, SCOPES_MAX = CEL_DEPTH_MAX * 4 };

struct local {
        const char *name;
        const struct cel_type *type;
        int32_t slot;
};

struct checker {
        struct cel_source *s;
        const struct cel_env *env;
        struct cel_program *program;
        struct cel_unify unify;
        VECTOR(struct local)
        scope;          /* the innermost last */
        unsigned mixed; /* calls around that take lists and maps of unlike items: format() */
};

static void check(struct checker *c, struct cel_expr *e);

/* A type as messages write it, in the program's memory. */
static const char *type_text(struct checker *c, const struct cel_type *t) {
        _cleanup_buf_ struct buf b = {};
        const char *text;

        if (cel_type_text(&b, t) < 0)
                return "";
        text = cel_types_strndup(c->s->memory, b.data, b.size);
        return strempty(text);
}

static const struct cel_type *resolved(struct checker *c, const struct cel_type *t) {
        return cel_substitute(&c->unify, t, false);
}

static void mismatch(struct checker *c, const struct cel_expr *e, const struct cel_type *wanted,
                const struct cel_type *found) {
        cel_finding(c->s, e->offset, "expected type '%s' but found '%s'",
                        type_text(c, resolved(c, wanted)), type_text(c, resolved(c, found)));
}

static const struct cel_type *list_of(struct checker *c, const struct cel_type *item) {
        const struct cel_type *t = cel_list_type(c->s->memory, item);

        if (!t)
                c->s->failed = true;
        return t ? t : &cel_error_type;
}

static const struct cel_type *optional_of(struct checker *c, const struct cel_type *inner) {
        const struct cel_type *t = cel_optional_type(c->s->memory, inner);

        if (!t)
                c->s->failed = true;
        return t ? t : &cel_error_type;
}

static bool find_name(struct checker *c, struct cel_expr *e, const char *name) {
        const struct cel_type *named;

        for (size_t i = c->scope.count; i > 0; i--)
                if (streq(c->scope.items[i - 1].name, name)) {
                        e->slot = c->scope.items[i - 1].slot;
                        e->type = c->scope.items[i - 1].type;
                        return true;
                }
        for (size_t i = 0; i < c->env->variable_count; i++)
                if (streq(c->env->variables[i].name, name)) {
                        e->slot = ~(int32_t)i;
                        e->type = c->env->variables[i].type;
                        c->program->reads[i] = true;
                        return true;
                }
        named = cel_named_type(c->env->functions, name);
        if (!named)
                return false;
        e->kind = CEL_EXPR_CONST;
        e->constant = cel_type_value(named);
        e->type = cel_type_type_of(c->s->memory, named);
        e->arg_count = 0;
        if (!e->type)
                c->s->failed = true;
        return e->type != NULL;
}

static void check_ident(struct checker *c, struct cel_expr *e) {
        if (find_name(c, e, e->name))
                return;
        cel_finding(c->s, e->offset, "undeclared reference to '%s' (in container '')", e->name);
        e->type = &cel_error_type;
}

/* "a.b.c" of names that only dots join; NULL when there is something else within. */
static char *qualified(const struct cel_expr *e, unsigned depth) {
        _cleanup_free_ char *before = NULL;

        if (e->kind == CEL_EXPR_IDENT)
                return strdup(e->name);
        if (e->kind != CEL_EXPR_SELECT || e->test_only || depth > 10)
                return NULL;
        before = qualified(e->args[0], depth + 1);
        return before ? strformat("%s.%s", before, e->name) : NULL;
}

/* The type of a field of a value of this type; `e` gets the name in JSON. */
static const struct cel_type *field_type(struct checker *c, struct cel_expr *e,
                const struct cel_type *operand, const char *name) {
        const struct cel_field *f;
        bool optional = operand->kind == CEL_TYPE_OPTIONAL;

        if (optional)
                operand = resolved(c, operand->of[0]);
        switch (operand->kind) {
        case CEL_TYPE_MAP:
                return optional ? optional_of(c, operand->of[1]) : operand->of[1];
        case CEL_TYPE_OBJECT:
                f = cel_field_find(operand, name, strlen(name));
                if (!f && operand->message && operand->field_count == 0)
                        break;
                if (!f) {
                        cel_finding(c->s, e->offset, "undefined field '%s'", name);
                        return &cel_error_type;
                }
                e->property = f->property;
                return optional ? optional_of(c, f->type) : f->type;
        case CEL_TYPE_PARAM:
                (void)cel_assignable(&c->unify, &cel_dyn_type, operand);
                break;
        case CEL_TYPE_DYN:
        case CEL_TYPE_ERROR:
                break;
        default:
                cel_finding(c->s, e->offset, "type '%s' does not support field selection",
                                type_text(c, operand));
        }
        return optional ? optional_of(c, &cel_dyn_type) : &cel_dyn_type;
}

/* A variable whose name has dots ("variables.count"), or a type; not below a variable of a loop. */
static bool is_declared(struct checker *c, const char *name) {
        size_t first = strcspn(name, ".");

        for (size_t i = 0; i < c->scope.count; i++)
                if (strlen(c->scope.items[i].name) == first &&
                                strncmp(c->scope.items[i].name, name, first) == 0)
                        return false;
        for (size_t i = 0; i < c->env->variable_count; i++)
                if (streq(c->env->variables[i].name, name))
                        return true;
        return cel_named_type(c->env->functions, name) != NULL;
}

/* What is declared is there: has(variables.count). */
static void declared_select(struct checker *c, struct cel_expr *e, const char *name) {
        bool test_only = e->test_only;

        if (!find_name(c, e, name))
                return;
        if (e->kind == CEL_EXPR_SELECT)
                e->kind = CEL_EXPR_IDENT;
        e->arg_count = 0;
        e->test_only = false;
        if (!test_only)
                return;
        e->kind = CEL_EXPR_CONST;
        e->constant = cel_bool(true);
        e->type = &cel_bool_type;
}

static void check_select(struct checker *c, struct cel_expr *e) {
        bool test_only = e->test_only;
        _cleanup_free_ char *name = NULL;

        e->test_only = false;
        name = qualified(e, 0);
        e->test_only = test_only;
        if (name && is_declared(c, name)) {
                declared_select(c, e, name);
                return;
        }
        check(c, e->args[0]);
        e->type = field_type(c, e, resolved(c, e->args[0]->type), e->name);
        if (e->test_only)
                e->type = &cel_bool_type;
        e->type = resolved(c, e->type);
}

static const struct cel_type *join(struct checker *c, const struct cel_expr *e,
                const struct cel_type *before, const struct cel_type *now) {
        if (!before)
                return now;
        if (cel_assignable(&c->unify, before, now))
                return cel_most_general(&c->unify, before, now);
        if (c->mixed > 0)
                return &cel_dyn_type;
        mismatch(c, e, before, now);
        return &cel_error_type;
}

/* The type of an item; [?x] takes the optional's value. */
static const struct cel_type *item_type(
                struct checker *c, const struct cel_expr *e, bool optional) {
        const struct cel_type *t = resolved(c, e->type);

        if (!optional || t->kind == CEL_TYPE_DYN || t->kind == CEL_TYPE_ERROR)
                return t;
        if (t->kind == CEL_TYPE_OPTIONAL)
                return t->of[0];
        mismatch(c, e, optional_of(c, t), t);
        return t;
}

static void check_list(struct checker *c, struct cel_expr *e) {
        const struct cel_type *item = NULL;

        for (size_t i = 0; i < e->arg_count; i++) {
                check(c, e->args[i]);
                item = join(c, e->args[i], item, item_type(c, e->args[i], e->args[i]->optional));
        }
        if (!item)
                item = cel_fresh(&c->unify);
        e->type = item ? list_of(c, item) : &cel_error_type;
}

static void check_map(struct checker *c, struct cel_expr *e) {
        const struct cel_type *key = NULL, *value = NULL;

        for (size_t i = 0; i < e->arg_count; i += 2) {
                struct cel_expr *k = e->args[i], *v = e->args[i + 1];

                check(c, k);
                key = join(c, k, key, k->type);
                check(c, v);
                value = join(c, v, value, item_type(c, v, k->optional));
        }
        if (!key) {
                key = cel_fresh(&c->unify);
                value = cel_fresh(&c->unify);
        }
        e->type = key && value ? cel_map_type(c->s->memory, key, value) : NULL;
        if (!e->type) {
                c->s->failed = true;
                e->type = &cel_error_type;
        }
}

static void check_field(struct checker *c, const struct cel_type *message,
                const struct cel_expr *key, const struct cel_expr *v) {
        const char *name = key->constant.text.data;
        const struct cel_field *f = cel_field_find(message, name, strlen(name));
        const struct cel_type *given = item_type(c, v, key->optional);

        if (!f && message->field_count > 0)
                cel_finding(c->s, key->offset, "undefined field '%s'", name);
        else if (f && !cel_assignable(&c->unify, given, f->type))
                cel_finding(c->s, key->offset,
                                "expected type of field '%s' is '%s' but provided type is '%s'",
                                name, type_text(c, f->type), type_text(c, resolved(c, given)));
}

static void check_message(struct checker *c, struct cel_expr *e) {
        e->type = cel_message_type(c->env->functions, c->s->memory, e->name);
        if (!e->type)
                cel_finding(c->s, e->offset, "undeclared reference to '%s' (in container '')",
                                e->name);
        for (size_t i = 0; i < e->arg_count; i += 2) {
                check(c, e->args[i]);
                check(c, e->args[i + 1]);
                if (e->type)
                        check_field(c, e->type, e->args[i], e->args[i + 1]);
        }
}

static void no_match(struct checker *c, const struct cel_expr *e) {
        _cleanup_buf_ struct buf b = {};
        size_t i = 0;

        if (e->member && e->arg_count > 0) {
                (void)cel_type_text(&b, cel_substitute(&c->unify, e->args[i++]->type, true));
                buf_append_char(&b, '.');
        }
        buf_append_char(&b, '(');
        for (bool first = true; i < e->arg_count; i++, first = false) {
                if (!first)
                        buf_append_str(&b, ", ");
                (void)cel_type_text(&b, cel_substitute(&c->unify, e->args[i]->type, true));
        }
        buf_append_char(&b, ')');
        if (b.failed)
                c->s->failed = true;
        else
                cel_finding(c->s, e->offset, "found no matching overload for '%s' applied to '%s'",
                                e->name, b.data);
}

/* The type when this row is taken too; NULL: it does not fit. */
static const struct cel_type *try_overload(
                struct checker *c, const struct cel_expr *e, const struct cel_overload *o) {
        const struct cel_type *given[ARGS_MAX], *wanted[ARGS_MAX], *result;

        if (o->param_count != e->arg_count || e->arg_count > ARGS_MAX ||
                        e->member != ((o->row->flags & CEL_MEMBER) != 0))
                return NULL;
        if (!cel_instantiate(&c->unify, o, wanted, &result))
                return NULL;
        for (size_t i = 0; i < e->arg_count; i++)
                given[i] = e->args[i]->type;
        if (!cel_assignable_all(&c->unify, given, wanted, e->arg_count))
                return NULL;
        return resolved(c, result);
}

static void resolve(struct checker *c, struct cel_expr *e, const struct cel_function_entry *f) {
        const struct cel_overload **kept =
                        cel_types_alloc(c->s->memory, (f->count + 1) * sizeof(*kept));
        const struct cel_type *type = NULL;
        size_t count = 0;

        e->type = &cel_error_type;
        if (!kept) {
                c->s->failed = true;
                return;
        }
        for (size_t i = 0; i < f->count; i++) {
                const struct cel_type *t = try_overload(c, e, &f->overloads[i]);

                if (!t)
                        continue;
                kept[count++] = &f->overloads[i];
                if (!type)
                        type = t;
                else if (type->kind != CEL_TYPE_DYN && !cel_types_same(&c->unify, type, t))
                        type = &cel_dyn_type;
        }
        if (!type) {
                no_match(c, e);
                return;
        }
        e->overloads = kept;
        e->type = type;
}

static void check_logic(struct checker *c, struct cel_expr *e) {
        e->type = &cel_bool_type;
        for (size_t i = 0; i < e->arg_count; i++)
                if (!cel_assignable(&c->unify, e->args[i]->type, &cel_bool_type)) {
                        mismatch(c, e->args[i], &cel_bool_type, e->args[i]->type);
                        e->type = &cel_error_type;
                }
}

static void check_optional_select(struct checker *c, struct cel_expr *e) {
        const struct cel_type *t;

        check(c, e->args[0]);
        check(c, e->args[1]);
        t = field_type(c, e, resolved(c, e->args[0]->type), e->args[1]->constant.text.data);
        t = resolved(c, t);
        e->type = t->kind == CEL_TYPE_OPTIONAL ? t : optional_of(c, t);
}

static void set_op(struct cel_expr *e) {
        static const struct {
                const char *name;
                bool member;
                enum cel_op op;
        } ops[] = {
                        {"_&&_", false, CEL_OP_AND},
                        {"_||_", false, CEL_OP_OR},
                        {"_?_:_", false, CEL_OP_CONDITION},
                        {"_[_]", false, CEL_OP_INDEX},
                        {"_[?_]", false, CEL_OP_INDEX_OPTIONAL},
                        {"_?._", false, CEL_OP_SELECT_OPTIONAL},
                        {"@not_strictly_false", false, CEL_OP_NOT_STRICTLY_FALSE},
                        {"or", true, CEL_OP_OR_OPTIONAL},
                        {"orValue", true, CEL_OP_OR_VALUE},
        };

        for (size_t i = 0; i < ELEMENTS(ops); i++)
                if (ops[i].member == e->member && streq(ops[i].name, e->name))
                        e->op = ops[i].op;
}

/* a.b.f(x) may be the function "a.b.f". */
static const struct cel_function_entry *namespaced(struct checker *c, struct cel_expr *e) {
        _cleanup_free_ char *prefix = e->member ? qualified(e->args[0], 0) : NULL;
        _cleanup_free_ char *name = prefix ? strformat("%s.%s", prefix, e->name) : NULL;
        const struct cel_function_entry *f =
                        name ? cel_function_find(c->env->functions, name) : NULL;

        if (!f)
                return NULL;
        e->member = false;
        e->name = f->name;
        e->args++;
        e->arg_count--;
        return f;
}

static void check_call(struct checker *c, struct cel_expr *e) {
        const struct cel_function_entry *f = namespaced(c, e);
        bool mixed;

        set_op(e);
        if (e->op == CEL_OP_SELECT_OPTIONAL) {
                check_optional_select(c, e);
                return;
        }
        mixed = e->member && streq(e->name, "format");
        c->mixed += mixed;
        for (size_t i = 0; i < e->arg_count; i++)
                check(c, e->args[i]);
        c->mixed -= mixed;
        if (e->op == CEL_OP_AND || e->op == CEL_OP_OR) {
                check_logic(c, e);
                return;
        }
        if (!f)
                f = cel_function_find(c->env->functions, e->name);
        if (!f) {
                cel_finding(c->s, e->offset, "undeclared reference to '%s' (in container '')",
                                e->name);
                e->type = &cel_error_type;
                return;
        }
        resolve(c, e, f);
}

static bool declare(struct checker *c, const char *name, const struct cel_type *type,
                int32_t *ret_slot) {
        struct local l = {.name = name, .type = type};

        if (c->scope.count >= SCOPES_MAX) {
                cel_finding(c->s, 0, "expression recursion limit exceeded: %d", CEL_DEPTH_MAX);
                return false;
        }
        l.slot = (int32_t)c->program->local_count++;
        *ret_slot = l.slot;
        if (vector_append(&c->scope, l) < 0)
                c->s->failed = true;
        return !c->s->failed;
}

/* The types of a loop's variables over a range. */
static void range_types(struct checker *c, const struct cel_expr *e, const struct cel_type **ret) {
        const struct cel_type *range = resolved(c, e->args[FOLD_RANGE]->type);
        bool two = e->loop[1] != NULL;

        switch (range->kind) {
        case CEL_TYPE_LIST:
                ret[0] = two ? &cel_int_type : range->of[0];
                ret[1] = range->of[0];
                return;
        case CEL_TYPE_MAP:
                ret[0] = range->of[0];
                ret[1] = range->of[1];
                return;
        case CEL_TYPE_DYN:
        case CEL_TYPE_ERROR:
        case CEL_TYPE_PARAM:
                (void)cel_assignable(&c->unify, &cel_dyn_type, range);
                ret[0] = ret[1] = &cel_dyn_type;
                return;
        default:
                cel_finding(c->s, e->args[FOLD_RANGE]->offset,
                                "expression of type '%s' cannot be range of a comprehension (must "
                                "be list, map, or dynamic)",
                                type_text(c, range));
                ret[0] = ret[1] = &cel_error_type;
        }
}

static void assert_type(struct checker *c, const struct cel_expr *e, const struct cel_type *t) {
        if (!cel_assignable(&c->unify, t, e->type))
                mismatch(c, e, t, e->type);
}

static void check_fold(struct checker *c, struct cel_expr *e) {
        const struct cel_type *types[2], *accumulated;
        size_t outer = c->scope.count, inner;

        e->type = &cel_error_type;
        check(c, e->args[FOLD_RANGE]);
        check(c, e->args[FOLD_INIT]);
        accumulated = e->args[FOLD_INIT]->type;
        if (!declare(c, e->name, accumulated, &e->slot))
                return;
        inner = c->scope.count;
        if (!e->bind) {
                range_types(c, e, types);
                for (size_t i = 0; i < 2 && e->loop[i]; i++)
                        if (!declare(c, e->loop[i], types[i], &e->loop_slot[i]))
                                return;
        }
        check(c, e->args[FOLD_CONDITION]);
        assert_type(c, e->args[FOLD_CONDITION], &cel_bool_type);
        check(c, e->args[FOLD_STEP]);
        assert_type(c, e->args[FOLD_STEP], accumulated);
        c->scope.count = inner;
        check(c, e->args[FOLD_RESULT]);
        c->scope.count = outer;
        e->type = resolved(c, e->args[FOLD_RESULT]->type);
}

static void check(struct checker *c, struct cel_expr *e) {
        switch ((enum cel_expr_kind)e->kind) {
        case CEL_EXPR_CONST:
                /* A name that was replaced has its type. */
                if (!e->type)
                        e->type = cel_type_of(e->constant);
                break;
        case CEL_EXPR_IDENT:
                check_ident(c, e);
                break;
        case CEL_EXPR_SELECT:
                check_select(c, e);
                break;
        case CEL_EXPR_CALL:
                check_call(c, e);
                break;
        case CEL_EXPR_LIST:
                check_list(c, e);
                break;
        case CEL_EXPR_MAP:
                check_map(c, e);
                break;
        case CEL_EXPR_FOLD:
                check_fold(c, e);
                break;
        case CEL_EXPR_MESSAGE:
                check_message(c, e);
                break;
        }
        if (!e->type)
                e->type = &cel_error_type;
}

/* Parameters that nothing bound are dyn in the end. */
static void settle(struct checker *c, struct cel_expr *e) {
        e->type = cel_substitute(&c->unify, e->type, true);
        for (size_t i = 0; i < e->arg_count; i++)
                settle(c, e->args[i]);
}

int cel_check(struct cel_source *s, const struct cel_env *env, struct cel_program *p) {
        struct checker c = {.s = s, .env = env, .program = p};

        cel_unify_begin(&c.unify, s->memory, s->size);
        check(&c, p->root);
        if (s->findings->count == 0 && !s->failed)
                settle(&c, p->root);
        if (cel_unify_too_large(&c.unify))
                cel_finding(s, 0, "the types of the expression are too large");
        s->failed = s->failed || c.unify.failed;
        vector_done(&c.unify.bindings);
        vector_done(&c.scope);
        if (s->failed)
                return -ENOMEM;
        return s->findings->count > 0 ? -EINVAL : 0;
}
