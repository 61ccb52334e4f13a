/* Macros: what looks like a call but binds names. Each becomes a fold over a list or map as
 * cel-go's, so that its cost is the same; the accumulator's name cannot be written by people. */
#include "kapid/cel/internal.h"

#define ACCUMULATOR "@result"

static struct cel_expr *ident(struct cel_source *s, size_t offset, const char *name) {
        struct cel_expr *e = cel_expr_new(s, CEL_EXPR_IDENT, offset);

        if (!e)
                return NULL;
        e->name = name;
        e->name_size = strlen(name);
        return e;
}

static struct cel_expr *constant(struct cel_source *s, size_t offset, struct cel_value v) {
        struct cel_expr *e = cel_expr_new(s, CEL_EXPR_CONST, offset);

        if (e)
                e->constant = v;
        return e;
}

static struct cel_expr *empty(struct cel_source *s, enum cel_expr_kind kind, size_t offset) {
        return cel_expr_new(s, kind, offset);
}

static struct cel_expr *list_of_one(struct cel_source *s, struct cel_expr *item) {
        struct cel_expr *e = cel_expr_new(s, CEL_EXPR_LIST, item->offset);

        if (!e)
                return NULL;
        e->args = cel_types_alloc(s->memory, sizeof(*e->args));
        if (!e->args) {
                s->failed = true;
                return NULL;
        }
        e->args[0] = item;
        e->arg_count = 1;
        e->depth = item->depth + 1;
        return e;
}

#define CALL(s, offset, name, ...) \
        cel_expr_call((s), (offset), (name), (struct cel_expr *[]){__VA_ARGS__}, \
                        sizeof((struct cel_expr *[]){__VA_ARGS__}) / sizeof(struct cel_expr *))

struct fold {
        const char *accumulator;
        const char *loop[2];
        struct cel_expr *args[FOLD_ARGS];
        bool bind;
};

static struct cel_expr *fold_new(struct cel_source *s, size_t offset, const struct fold *f) {
        /* The arguments are checked and kept as those of a call are. */
        struct cel_expr *e = cel_expr_call(s, offset, f->accumulator, f->args, FOLD_ARGS);

        if (!e)
                return NULL;
        e->kind = CEL_EXPR_FOLD;
        e->loop[0] = f->loop[0];
        e->loop[1] = f->loop[1];
        e->bind = f->bind;
        return e;
}

/* The names that a macro binds: args[1] and, with two variables, args[2]. */
static bool loop_names(struct cel_source *s, const struct cel_expr *call, size_t count,
                const char **names) {
        for (size_t i = 0; i < count; i++) {
                const struct cel_expr *e = call->args[1 + i];

                if (e->kind != CEL_EXPR_IDENT) {
                        cel_finding(s, e->offset, "argument must be a simple name");
                        return false;
                }
                names[i] = e->name;
        }
        if (count == 2 && streq(names[0], names[1])) {
                cel_finding(s, call->args[2]->offset, "duplicate variable name: %s", names[1]);
                return false;
        }
        return true;
}

static struct cel_expr *quantifier(
                struct cel_source *s, struct cel_expr *call, size_t names, bool all) {
        struct fold f = {.accumulator = ACCUMULATOR};
        struct cel_expr *test = call->args[1 + names], *so_far;
        size_t at = call->offset;

        if (!loop_names(s, call, names, f.loop))
                return NULL;
        so_far = ident(s, at, ACCUMULATOR);
        f.args[FOLD_RANGE] = call->args[0];
        f.args[FOLD_INIT] = constant(s, at, cel_bool(all));
        if (!all)
                so_far = CALL(s, at, "!_", so_far);
        f.args[FOLD_CONDITION] = CALL(s, at, "@not_strictly_false", so_far);
        f.args[FOLD_STEP] = CALL(s, at, all ? "_&&_" : "_||_", ident(s, at, ACCUMULATOR), test);
        f.args[FOLD_RESULT] = ident(s, at, ACCUMULATOR);
        return fold_new(s, at, &f);
}

static struct cel_expr *expand_all(struct cel_source *s, struct cel_expr *call, size_t names) {
        return quantifier(s, call, names, true);
}

static struct cel_expr *expand_exists(struct cel_source *s, struct cel_expr *call, size_t names) {
        return quantifier(s, call, names, false);
}

static struct cel_expr *expand_one(struct cel_source *s, struct cel_expr *call, size_t names) {
        struct fold f = {.accumulator = ACCUMULATOR};
        size_t at = call->offset;

        if (!loop_names(s, call, names, f.loop))
                return NULL;
        f.args[FOLD_RANGE] = call->args[0];
        f.args[FOLD_INIT] = constant(s, at, cel_int(0));
        f.args[FOLD_CONDITION] = constant(s, at, cel_bool(true));
        f.args[FOLD_STEP] = CALL(s, at, "_?_:_", call->args[1 + names],
                        CALL(s, at, "_+_", ident(s, at, ACCUMULATOR), constant(s, at, cel_int(1))),
                        ident(s, at, ACCUMULATOR));
        f.args[FOLD_RESULT] =
                        CALL(s, at, "_==_", ident(s, at, ACCUMULATOR), constant(s, at, cel_int(1)));
        return fold_new(s, at, &f);
}

/* A list that grows by `item` where `test` (NULL: always) holds. */
static struct cel_expr *collect(struct cel_source *s, struct cel_expr *call, size_t names,
                struct cel_expr *test, struct cel_expr *item) {
        struct fold f = {.accumulator = ACCUMULATOR};
        size_t at = call->offset;

        if (!item || !loop_names(s, call, names, f.loop))
                return NULL;
        f.args[FOLD_RANGE] = call->args[0];
        f.args[FOLD_INIT] = empty(s, CEL_EXPR_LIST, at);
        f.args[FOLD_CONDITION] = constant(s, at, cel_bool(true));
        f.args[FOLD_STEP] = CALL(s, at, "_+_", ident(s, at, ACCUMULATOR), list_of_one(s, item));
        if (test)
                f.args[FOLD_STEP] = CALL(
                                s, at, "_?_:_", test, f.args[FOLD_STEP], ident(s, at, ACCUMULATOR));
        f.args[FOLD_RESULT] = ident(s, at, ACCUMULATOR);
        return fold_new(s, at, &f);
}

static struct cel_expr *expand_filter(struct cel_source *s, struct cel_expr *call, size_t names) {
        struct cel_expr *name = call->args[1];

        return collect(s, call, names, call->args[2], ident(s, name->offset, strempty(name->name)));
}

static struct cel_expr *expand_map(struct cel_source *s, struct cel_expr *call, size_t names) {
        bool filtered = call->arg_count == names + 3;

        return collect(s, call, names, filtered ? call->args[1 + names] : NULL,
                        call->args[call->arg_count - 1]);
}

/* A map that grows by an entry: key and value, or a map of one. */
static struct cel_expr *collect_map(struct cel_source *s, struct cel_expr *call, bool entries) {
        struct fold f = {.accumulator = ACCUMULATOR};
        struct cel_expr *last = call->args[call->arg_count - 1];
        size_t at = call->offset;

        if (!loop_names(s, call, 2, f.loop))
                return NULL;
        f.args[FOLD_RANGE] = call->args[0];
        f.args[FOLD_INIT] = empty(s, CEL_EXPR_MAP, at);
        f.args[FOLD_CONDITION] = constant(s, at, cel_bool(true));
        f.args[FOLD_STEP] = entries ? CALL(s, at, "cel.@mapInsert", ident(s, at, ACCUMULATOR), last)
                                    : CALL(s, at, "cel.@mapInsert", ident(s, at, ACCUMULATOR),
                                                      ident(s, at, f.loop[0]), last);
        if (call->arg_count == 5)
                f.args[FOLD_STEP] = CALL(s, at, "_?_:_", call->args[3], f.args[FOLD_STEP],
                                ident(s, at, ACCUMULATOR));
        f.args[FOLD_RESULT] = ident(s, at, ACCUMULATOR);
        return fold_new(s, at, &f);
}

static struct cel_expr *expand_map_of(struct cel_source *s, struct cel_expr *call, size_t names) {
        (void)names;
        return collect_map(s, call, false);
}

static struct cel_expr *expand_map_entry(
                struct cel_source *s, struct cel_expr *call, size_t names) {
        (void)names;
        return collect_map(s, call, true);
}

static struct cel_expr *expand_has(struct cel_source *s, struct cel_expr *call, size_t names) {
        struct cel_expr *e = call->args[0];

        (void)names;
        if (e->kind != CEL_EXPR_SELECT || e->test_only) {
                cel_finding(s, e->offset, "invalid argument to has() macro");
                return NULL;
        }
        e->test_only = true;
        return e;
}

static struct cel_expr *bind(struct cel_source *s, size_t at, const char *name,
                struct cel_expr *init, struct cel_expr *result) {
        struct fold f = {.accumulator = name, .loop = {"#unused"}, .bind = true};

        f.args[FOLD_RANGE] = empty(s, CEL_EXPR_LIST, at);
        f.args[FOLD_INIT] = init;
        f.args[FOLD_CONDITION] = constant(s, at, cel_bool(false));
        f.args[FOLD_STEP] = ident(s, at, name);
        f.args[FOLD_RESULT] = result;
        return fold_new(s, at, &f);
}

static struct cel_expr *expand_bind(struct cel_source *s, struct cel_expr *call, size_t names) {
        const struct cel_expr *receiver = call->args[0];
        const char *name[1];

        (void)names;
        if (receiver->kind != CEL_EXPR_IDENT || !streq(receiver->name, "cel"))
                return call;
        if (call->args[1]->kind != CEL_EXPR_IDENT) {
                cel_finding(s, call->args[1]->offset,
                                "cel.bind() variable names must be simple identifiers");
                return NULL;
        }
        if (!loop_names(s, call, 1, name))
                return NULL;
        return bind(s, call->offset, name[0], call->args[2], call->args[3]);
}

/* optMap: the value of an optional goes through an expression; optFlatMap: one that gives an
 * optional itself. The receiver is evaluated once. */
static struct cel_expr *optional_map(struct cel_source *s, struct cel_expr *call, bool flat) {
        static const char hidden[] = "@optional";
        struct cel_expr *value, *result, *has;
        const char *name[1];
        size_t at = call->offset;

        if (call->args[1]->kind != CEL_EXPR_IDENT) {
                cel_finding(s, call->args[1]->offset,
                                "%s() variable name must be a simple identifier",
                                flat ? "optFlatMap" : "optMap");
                return NULL;
        }
        if (!loop_names(s, call, 1, name))
                return NULL;
        value = CALL(s, at, "value", ident(s, at, hidden));
        has = CALL(s, at, "hasValue", ident(s, at, hidden));
        if (!value || !has)
                return NULL;
        value->member = has->member = true;
        result = bind(s, at, name[0], value, call->args[2]);
        if (!flat)
                result = CALL(s, at, "optional.of", result);
        result = CALL(s, at, "_?_:_", has, result, cel_expr_call(s, at, "optional.none", NULL, 0));
        return bind(s, at, hidden, call->args[0], result);
}

static struct cel_expr *expand_opt_map(struct cel_source *s, struct cel_expr *call, size_t names) {
        (void)names;
        return optional_map(s, call, false);
}

static struct cel_expr *expand_opt_flat(struct cel_source *s, struct cel_expr *call, size_t names) {
        (void)names;
        return optional_map(s, call, true);
}

static const struct macro {
        const char *name;
        size_t args; /* the receiver too */
        bool member;
        size_t names;
        struct cel_expr *(*expand)(struct cel_source *s, struct cel_expr *call, size_t names);
} macros[] = {
                {"has", 1, false, 0, expand_has},
                {"all", 3, true, 1, expand_all},
                {"all", 4, true, 2, expand_all},
                {"exists", 3, true, 1, expand_exists},
                {"exists", 4, true, 2, expand_exists},
                {"exists_one", 3, true, 1, expand_one},
                {"existsOne", 3, true, 1, expand_one},
                {"existsOne", 4, true, 2, expand_one},
                {"map", 3, true, 1, expand_map},
                {"map", 4, true, 1, expand_map},
                {"filter", 3, true, 1, expand_filter},
                {"transformList", 4, true, 2, expand_map},
                {"transformList", 5, true, 2, expand_map},
                {"transformMap", 4, true, 2, expand_map_of},
                {"transformMap", 5, true, 2, expand_map_of},
                {"transformMapEntry", 4, true, 2, expand_map_entry},
                {"transformMapEntry", 5, true, 2, expand_map_entry},
                {"bind", 4, true, 1, expand_bind},
                {"optMap", 3, true, 1, expand_opt_map},
                {"optFlatMap", 3, true, 1, expand_opt_flat},
};

struct cel_expr *cel_expand(struct cel_source *s, struct cel_expr *call) {
        for (size_t i = 0; i < ELEMENTS(macros); i++)
                if (macros[i].member == call->member && macros[i].args == call->arg_count &&
                                streq(macros[i].name, call->name))
                        return macros[i].expand(s, call, macros[i].names);
        return call;
}
