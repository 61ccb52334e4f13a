/* The evaluator: a walk over the checked tree. Errors are values; what && and || may absorb they
 * absorb, except that nothing absorbs a spent budget. Costs are counted as Kubernetes counts. */
#include "kapid/cel/internal.h"

enum { ARGS_INLINE = 4, COST_LIST = 10, COST_MAP = 30, COST_MESSAGE = 40, KIND_LAZY = 255 };

static struct cel_value eval(struct cel_run *run, const struct cel_expr *e);

/* Ends the evaluation, wherever it stands. */
static bool ended(const struct cel_run *run) {
        return run->spent || run->no_memory;
}

static bool failed(const struct cel_run *run, struct cel_value v) {
        return cel_is_error(v) || ended(run);
}

static struct cel_value end_of(struct cel_run *run, struct cel_value v) {
        if (run->spent)
                return cel_spent(run);
        return run->no_memory ? cel_no_memory(run) : v;
}

static struct cel_value spend(struct cel_run *run, uint64_t cost, struct cel_value v) {
        return cel_spend(run, cost) ? v : cel_spent(run);
}

static struct cel_value no_overload(struct cel_run *run) {
        return cel_error(run, "no such overload");
}

static struct cel_value eval_ident(struct cel_run *run, const struct cel_expr *e) {
        struct cel_value *local;

        if (e->slot < 0)
                return spend(run, 1, run->variables[~e->slot]);
        local = &run->locals[e->slot];
        if (local->kind == KIND_LAZY) {
                /* What cel.bind names is computed when it is first needed. */
                const struct cel_expr *init = (const struct cel_expr *)local->list;
                struct cel_value v = eval(run, init);

                run->locals[e->slot] = v;
        }
        return spend(run, 1, run->locals[e->slot]);
}

/* A field by its name in JSON (property) or as the expression writes it. */
static bool find_field(struct cel_run *run, struct cel_value v, const char *name,
                const char *property, struct cel_value *ret) {
        if (!property && v.json && v.wrapped.type->kind == CEL_TYPE_OBJECT) {
                const struct cel_field *f = cel_field_find(v.wrapped.type, name, strlen(name));

                property = f ? f->property : name;
        }
        if (!property)
                property = name;
        return cel_member(run, v, property, strlen(property), ret);
}

static struct cel_value eval_select(struct cel_run *run, const struct cel_expr *e) {
        struct cel_value v = eval(run, e->args[0]), found;
        bool optional = v.kind == CEL_OPTIONAL;

        if (failed(run, v))
                return v;
        if (!cel_spend(run, e->test_only ? 0 : 1))
                return cel_spent(run);
        if (optional) {
                if (!v.inner)
                        return e->test_only ? cel_bool(false) : v;
                v = *v.inner;
        }
        if (v.kind != CEL_MAP)
                return e->test_only && optional ? cel_bool(false) : no_overload(run);

        bool there = find_field(run, v, e->name, e->property, &found);

        if (e->test_only)
                return cel_bool(there);
        if (optional)
                return !there ? cel_none() : cel_is_error(found) ? found : cel_some(run, found);
        return there ? found : cel_error(run, "no such key: %s", e->name);
}

/* a?.b and a[?b]: an optional, also of an optional. */
static struct cel_value eval_optional(struct cel_run *run, const struct cel_expr *e) {
        struct cel_value v = eval(run, e->args[0]), key, found;
        bool there;

        if (failed(run, v))
                return v;
        key = eval(run, e->args[1]);
        if (failed(run, key))
                return key;
        if (!cel_spend(run, 1))
                return cel_spent(run);
        if (v.kind == CEL_OPTIONAL) {
                if (!v.inner)
                        return v;
                v = *v.inner;
        }
        if (v.kind != CEL_MAP && v.kind != CEL_LIST)
                return no_overload(run);
        if (e->op == CEL_OP_SELECT_OPTIONAL)
                there = v.kind == CEL_MAP && find_field(run, v, key.text.data, e->property, &found);
        else
                there = cel_index_find(run, v, key, &found);
        if (!there)
                return cel_none();
        return cel_is_error(found) ? found : cel_some(run, found);
}

static struct cel_value eval_index(struct cel_run *run, const struct cel_expr *e) {
        struct cel_value v = eval(run, e->args[0]), key, found;

        if (failed(run, v))
                return v;
        key = eval(run, e->args[1]);
        if (failed(run, key))
                return key;
        if (!cel_spend(run, 1))
                return cel_spent(run);
        if (v.kind != CEL_OPTIONAL)
                return cel_index(run, v, key);
        if (!v.inner || !cel_index_find(run, *v.inner, key, &found))
                return cel_none();
        return cel_is_error(found) ? found : cel_some(run, found);
}

/* The first argument that decides, whichever side an error is on; else the first error. */
static struct cel_value eval_logic(struct cel_run *run, const struct cel_expr *e, bool decides) {
        struct cel_value error = {};
        bool have_error = false;

        for (size_t i = 0; i < e->arg_count; i++) {
                struct cel_value v = eval(run, e->args[i]);

                if (ended(run))
                        return v;
                if (v.kind == CEL_BOOL) {
                        if (v.boolean == decides)
                                return v;
                        continue;
                }
                if (!have_error)
                        error = cel_is_error(v) ? v : no_overload(run);
                have_error = true;
        }
        return have_error ? error : cel_bool(!decides);
}

static struct cel_value eval_condition(struct cel_run *run, const struct cel_expr *e) {
        struct cel_value v = eval(run, e->args[0]);

        if (failed(run, v))
                return v;
        if (v.kind != CEL_BOOL)
                return no_overload(run);
        return eval(run, e->args[v.boolean ? 1 : 2]);
}

static struct cel_value eval_not_strictly_false(struct cel_run *run, const struct cel_expr *e) {
        struct cel_value v = eval(run, e->args[0]);

        if (ended(run))
                return v;
        return spend(run, 1, cel_bool(v.kind != CEL_BOOL || v.boolean));
}

static struct cel_value eval_or_else(struct cel_run *run, const struct cel_expr *e) {
        struct cel_value v = eval(run, e->args[0]);

        if (failed(run, v))
                return v;
        if (v.kind != CEL_OPTIONAL)
                return no_overload(run);
        if (!cel_spend(run, 1))
                return cel_spent(run);
        if (!v.inner)
                return eval(run, e->args[1]);
        return e->op == CEL_OP_OR_VALUE ? *v.inner : v;
}

/* What a call may have gone through, for the clock: texts, and items of lists. */
static uint64_t work_of(struct cel_value v) {
        switch (v.kind) {
        case CEL_STRING:
        case CEL_BYTES:
                return v.text.size;
        case CEL_LIST:
                return cel_list_count(v) * sizeof(v);
        default:
                return 0;
        }
}

static struct cel_value dispatch(
                struct cel_run *run, const struct cel_expr *e, const struct cel_value *args) {
        for (const struct cel_overload *const *o = e->overloads; *o; o++) {
                const struct cel_row *row = (*o)->row;
                struct cel_value v;
                uint64_t work;
                size_t i = 0;

                while (i < e->arg_count && cel_value_is(args[i], (*o)->params[i]))
                        i++;
                if (i < e->arg_count)
                        continue;
                v = row->call(run, args, e->arg_count);
                if (ended(run))
                        return v;
                work = work_of(v);
                for (i = 0; i < e->arg_count; i++)
                        work += work_of(args[i]);
                if (!cel_work(run, work))
                        return cel_spent(run);
                return spend(run, row->cost ? row->cost(args, e->arg_count, &v) : 1, v);
        }
        return no_overload(run);
}

static struct cel_value eval_call(struct cel_run *run, const struct cel_expr *e) {
        struct cel_value few[ARGS_INLINE], *args = few;

        switch ((enum cel_op)e->op) {
        case CEL_OP_AND:
                return eval_logic(run, e, false);
        case CEL_OP_OR:
                return eval_logic(run, e, true);
        case CEL_OP_CONDITION:
                return eval_condition(run, e);
        case CEL_OP_INDEX:
                return eval_index(run, e);
        case CEL_OP_INDEX_OPTIONAL:
        case CEL_OP_SELECT_OPTIONAL:
                return eval_optional(run, e);
        case CEL_OP_NOT_STRICTLY_FALSE:
                return eval_not_strictly_false(run, e);
        case CEL_OP_OR_OPTIONAL:
        case CEL_OP_OR_VALUE:
                return eval_or_else(run, e);
        case CEL_OP_CALL:
                break;
        }
        if (e->arg_count > ARGS_INLINE) {
                args = cel_alloc(run, e->arg_count * sizeof(*args));
                if (!args)
                        return cel_no_memory(run);
        }
        for (size_t i = 0; i < e->arg_count; i++) {
                args[i] = eval(run, e->args[i]);
                if (failed(run, args[i]))
                        return args[i];
        }
        return dispatch(run, e, args);
}

/* [?x] and {k: ?v}: 1 with the value, 0 when there is none, below 0 with an error in *v. */
static int optional_item(struct cel_run *run, struct cel_value *v) {
        if (v->kind != CEL_OPTIONAL) {
                *v = cel_error(run, "cannot initialize optional entry from non-optional value");
                return -EINVAL;
        }
        if (!v->inner)
                return 0;
        *v = *v->inner;
        return 1;
}

static struct cel_value eval_list(struct cel_run *run, const struct cel_expr *e) {
        struct cel_value list = cel_list_of(run, NULL, 0);

        for (size_t i = 0; i < e->arg_count && !failed(run, list); i++) {
                struct cel_value v = eval(run, e->args[i]);

                if (failed(run, v))
                        return v;
                if (e->args[i]->optional) {
                        int r = optional_item(run, &v);

                        if (r < 0)
                                return v;
                        if (r == 0)
                                continue;
                }
                list = cel_list_append(run, list, v);
        }
        return spend(run, COST_LIST, list);
}

static struct cel_value eval_map(struct cel_run *run, const struct cel_expr *e) {
        struct cel_value map = cel_map_empty(run);

        for (size_t i = 0; i < e->arg_count && !failed(run, map); i += 2) {
                struct cel_value key = eval(run, e->args[i]), v;

                if (failed(run, key))
                        return key;
                v = eval(run, e->args[i + 1]);
                if (failed(run, v))
                        return v;
                if (e->args[i]->optional) {
                        int r = optional_item(run, &v);

                        if (r < 0)
                                return v;
                        if (r == 0)
                                continue;
                }
                map = cel_map_insert(run, map, key, v);
                if (cel_is_error(map) && key.kind == CEL_STRING && !ended(run))
                        return cel_error(run, "Failed with repeated key");
        }
        return spend(run, COST_MAP, map);
}

static struct cel_value eval_message(struct cel_run *run, const struct cel_expr *e) {
        struct cel_value map = eval_map(run, e);

        if (failed(run, map))
                return map;
        return spend(run, COST_MESSAGE - COST_MAP, cel_map_message(run, map, e->type));
}

/* One turn of a loop; false: it ends. */
static bool turn(struct cel_run *run, const struct cel_expr *e, struct cel_value first,
                struct cel_value second) {
        struct cel_value v;

        run->locals[e->loop_slot[0]] = first;
        if (e->loop[1])
                run->locals[e->loop_slot[1]] = second;
        v = eval(run, e->args[FOLD_CONDITION]);
        if (ended(run) || (v.kind == CEL_BOOL && !v.boolean))
                return false;
        v = eval(run, e->args[FOLD_STEP]);
        run->locals[e->slot] = v;
        /* Nothing repairs a list, map or number that could not be made. */
        return !ended(run) && !(cel_is_error(v) && e->args[FOLD_INIT]->type->kind != CEL_TYPE_BOOL);
}

static struct cel_value eval_fold(struct cel_run *run, const struct cel_expr *e) {
        struct cel_value range, key, value;
        struct cel_map_at at = {};

        if (e->bind) {
                run->locals[e->slot] = (struct cel_value){.kind = KIND_LAZY,
                                .list = (const struct cel_list *)(const void *)e->args[FOLD_INIT]};
                if (!cel_spend(run, COST_LIST))
                        return cel_spent(run);
                return eval(run, e->args[FOLD_RESULT]);
        }
        range = eval(run, e->args[FOLD_RANGE]);
        if (failed(run, range))
                return range;
        if (range.kind != CEL_LIST && range.kind != CEL_MAP)
                return no_overload(run);
        run->locals[e->slot] = eval(run, e->args[FOLD_INIT]);
        if (range.kind == CEL_LIST) {
                size_t count = cel_list_count(range);

                for (size_t i = 0; i < count; i++) {
                        value = cel_list_at(run, range, i);
                        key = e->loop[1] ? cel_int((int64_t)i) : value;
                        if (!turn(run, e, key, value))
                                break;
                }
        } else
                while (cel_map_next(run, range, &at, &key, &value))
                        if (!turn(run, e, key, value))
                                break;
        if (ended(run))
                return end_of(run, range);
        return eval(run, e->args[FOLD_RESULT]);
}

static struct cel_value eval_kind(struct cel_run *run, const struct cel_expr *e) {
        switch ((enum cel_expr_kind)e->kind) {
        case CEL_EXPR_CONST:
                return e->constant;
        case CEL_EXPR_IDENT:
                return eval_ident(run, e);
        case CEL_EXPR_SELECT:
                return eval_select(run, e);
        case CEL_EXPR_CALL:
                return eval_call(run, e);
        case CEL_EXPR_LIST:
                return eval_list(run, e);
        case CEL_EXPR_MAP:
                return eval_map(run, e);
        case CEL_EXPR_FOLD:
                return eval_fold(run, e);
        case CEL_EXPR_MESSAGE:
                return eval_message(run, e);
        }
        assert_not_reached();
}

/* The tree is not deep, but what cel.bind names is evaluated within its innermost use. */
static struct cel_value eval(struct cel_run *run, const struct cel_expr *e) {
        struct cel_value v;

        if (!cel_deeper(run))
                return cel_too_deep(run);
        v = eval_kind(run, e);
        run->depth--;
        return v;
}

struct cel_value cel_eval(struct cel_run *run, const struct cel_program *p,
                const struct cel_value *variables) {
        struct cel_value v;

        run->variables = variables;
        run->locals = cel_alloc(run, MAX(p->local_count, (size_t)1) * sizeof(*run->locals));
        if (!run->locals)
                return cel_no_memory(run);
        memset(run->locals, 0, p->local_count * sizeof(*run->locals));
        v = eval(run, p->root);
        return ended(run) ? end_of(run, v) : v;
}
