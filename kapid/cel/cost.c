/* Costs as Kubernetes counts them: arithmetic that does not overflow, sizes, and the estimate of
 * what an expression may cost before it is evaluated (cel-go's checker/cost.go has the model). */
#include <math.h>

#include "kapid/cel/internal.h"

enum { LIST_COST = 10, MAP_COST = 30, MESSAGE_COST = 40 };

#define UNKNOWN ((struct cel_range){0, UINT64_MAX})

static struct cel_range fixed(uint64_t n) {
        return (struct cel_range){n, n};
}

uint64_t cel_cost_add(uint64_t a, uint64_t b) {
        return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

uint64_t cel_cost_multiply(uint64_t a, uint64_t b) {
        return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

struct cel_range cel_range_add(struct cel_range a, struct cel_range b) {
        return (struct cel_range){cel_cost_add(a.min, b.min), cel_cost_add(a.max, b.max)};
}

struct cel_range cel_range_multiply(struct cel_range a, struct cel_range b) {
        return (struct cel_range){cel_cost_multiply(a.min, b.min), cel_cost_multiply(a.max, b.max)};
}

static struct cel_range range_union(struct cel_range a, struct cel_range b) {
        return (struct cel_range){MIN(a.min, b.min), MAX(a.max, b.max)};
}

uint64_t cel_cost_text(uint64_t size) {
        /* As a double, as Kubernetes does. */
        return (uint64_t)ceil((double)size * 0.1);
}

struct cel_range cel_range_text(struct cel_range size) {
        return (struct cel_range){cel_cost_text(size.min), cel_cost_text(size.max)};
}

uint64_t cel_size_for_cost(struct cel_value v) {
        switch (v.kind) {
        case CEL_STRING:
                return cel_string_length(v);
        case CEL_BYTES:
                return v.text.size;
        case CEL_LIST:
                return cel_list_count(v);
        case CEL_MAP:
                return cel_map_count(v);
        case CEL_OPTIONAL:
                return v.inner ? cel_size_for_cost(*v.inner) : 1;
        default:
                return 1;
        }
}

/* Kubernetes finds sizes by the path from "self". What an expression makes has none; an item of
 * that has a path of one part, which is taken for the root's: its size is that of "self". */
enum path { PATH_OTHER, PATH_NONE, PATH_ROOT };

struct local {
        struct cel_range size;
        enum path path;
};

struct estimate {
        struct cel_program *program;
        struct local *locals; /* what the slots hold */
        struct cel_range root;
};

static struct cel_range cost_of(struct estimate *est, struct cel_expr *e);

/* The size that the type says; false: it says none. */
static bool type_size(const struct cel_type *t, struct cel_range *ret) {
        switch (t->kind) {
        case CEL_TYPE_BOOL:
        case CEL_TYPE_INT:
        case CEL_TYPE_UINT:
        case CEL_TYPE_DOUBLE:
        case CEL_TYPE_TIMESTAMP:
        case CEL_TYPE_DURATION:
        case CEL_TYPE_NULL:
                *ret = fixed(1);
                return true;
        case CEL_TYPE_OPTIONAL:
                return type_size(t->of[0], ret);
        default:
                if (t->size_max == UINT64_MAX)
                        return false;
                *ret = (struct cel_range){0, t->size_max};
                return true;
        }
}

static struct cel_range size_of(const struct cel_expr *e) {
        return e->size;
}

static struct cel_range own_size(const struct cel_expr *e) {
        struct cel_range size;

        return type_size(e->type, &size) ? size : UNKNOWN;
}

static enum path path_of_item(enum path whole) {
        return whole == PATH_NONE ? PATH_ROOT : PATH_OTHER;
}

static enum path path_of(const struct estimate *est, const struct cel_expr *e) {
        bool item = e->kind == CEL_EXPR_SELECT ||
                    (e->kind == CEL_EXPR_CALL && e->op == CEL_OP_INDEX);
        unsigned steps = 0;
        enum path path;

        for (; item; steps++) {
                e = e->args[0];
                item = e->kind == CEL_EXPR_SELECT ||
                       (e->kind == CEL_EXPR_CALL && e->op == CEL_OP_INDEX);
        }
        path = e->kind != CEL_EXPR_IDENT ? PATH_NONE
               : e->slot >= 0            ? est->locals[e->slot].path
                                         : PATH_OTHER;
        for (; steps > 0 && path != PATH_OTHER; steps--)
                path = path_of_item(path);
        return path;
}

/* Of an item: as its type says, else as its path says. */
static struct cel_range item_size(const struct estimate *est, const struct cel_expr *e) {
        struct cel_range size = own_size(e);

        return size.max == UINT64_MAX && path_of(est, e) == PATH_ROOT ? est->root : size;
}

/* What estimators are given besides the size (kapid/cel/lib.h): of a list the sizes of its texts, 0
 * of other items; of a constant int the number. */
static struct cel_range inner_size(const struct cel_expr *e) {
        const struct cel_type *item = e->type->kind == CEL_TYPE_LIST ? e->type->of[0] : NULL;
        struct cel_range size = UNKNOWN;

        if (e->kind == CEL_EXPR_CONST && e->constant.kind == CEL_INT)
                return fixed(e->constant.integer > 0 ? (uint64_t)e->constant.integer : 0);
        if (item && item->kind != CEL_TYPE_STRING && item->kind != CEL_TYPE_BYTES)
                return fixed(0);
        if (item)
                (void)type_size(item, &size);
        return size;
}

static struct cel_range call_cost(struct cel_expr *e, struct cel_range arguments) {
        struct cel_range sizes[16] = {}, total = {UINT64_MAX, 0}, size = {UINT64_MAX, 0};

        for (size_t i = 0; i < e->arg_count && e->arg_count * 2 <= ELEMENTS(sizes); i++) {
                sizes[i] = size_of(e->args[i]);
                sizes[e->arg_count + i] = inner_size(e->args[i]);
        }
        for (const struct cel_overload *const *o = e->overloads; o && *o; o++) {
                struct cel_range cost = fixed(1), result = UNKNOWN;

                if ((*o)->row->estimate)
                        (*o)->row->estimate(sizes, e->arg_count, &cost, &result);
                total = range_union(total, cost);
                size = range_union(size, result);
        }
        if (total.min > total.max)
                total = fixed(1);
        e->size = size.min <= size.max && size.max != UINT64_MAX ? size : own_size(e);
        return cel_range_add(arguments, total);
}

static struct cel_range special_cost(const struct estimate *est, struct cel_expr *e,
                const struct cel_range *costs, struct cel_range sum) {
        struct cel_range branches;

        e->size = item_size(est, e);
        switch ((enum cel_op)e->op) {
        case CEL_OP_AND:
        case CEL_OP_OR:
                return (struct cel_range){costs[0].min, sum.max};
        case CEL_OP_CONDITION:
                e->size = range_union(size_of(e->args[1]), size_of(e->args[2]));
                branches = range_union(costs[1], costs[2]);
                return cel_range_add(costs[0], branches);
        default:
                return cel_range_add(sum, fixed(1));
        }
}

static struct cel_range cost_of_call(struct estimate *est, struct cel_expr *e) {
        struct cel_range sum = {}, costs[3] = {};

        for (size_t i = 0; i < e->arg_count; i++) {
                struct cel_range cost = cost_of(est, e->args[i]);

                if (i < ELEMENTS(costs))
                        costs[i] = cost;
                sum = cel_range_add(sum, cost);
        }
        if (e->op != CEL_OP_CALL)
                return special_cost(est, e, costs, sum);
        if (e->arg_count == 1 && streq(e->name, "dyn")) {
                e->size = size_of(e->args[0]);
                return cel_range_add(sum, fixed(1));
        }
        return call_cost(e, sum);
}

static struct cel_range cost_of_items(struct estimate *est, struct cel_expr *e) {
        struct cel_range sum = fixed(e->kind == CEL_EXPR_LIST  ? LIST_COST
                                     : e->kind == CEL_EXPR_MAP ? MAP_COST
                                                               : MESSAGE_COST);

        for (size_t i = 0; i < e->arg_count; i++)
                sum = cel_range_add(sum, cost_of(est, e->args[i]));
        e->size = fixed(e->kind == CEL_EXPR_LIST ? e->arg_count : e->arg_count / 2);
        return sum;
}

static struct local loop_local(const struct estimate *est, const struct cel_expr *e, size_t which) {
        const struct cel_type *t = e->args[FOLD_RANGE]->type;
        enum path path = path_of_item(path_of(est, e->args[FOLD_RANGE]));
        struct cel_range size = UNKNOWN;

        if (t->kind == CEL_TYPE_LIST && e->loop[1] && which == 0)
                return (struct local){fixed(1), PATH_OTHER};
        if (t->kind == CEL_TYPE_LIST)
                (void)type_size(t->of[0], &size);
        if (t->kind == CEL_TYPE_MAP)
                (void)type_size(t->of[which], &size);
        if (size.max == UINT64_MAX && path == PATH_ROOT)
                size = est->root;
        return (struct local){size, path};
}

static struct cel_range cost_of_fold(struct estimate *est, struct cel_expr *e) {
        struct cel_range sum = cost_of(est, e->args[FOLD_RANGE]), loop;
        const struct cel_expr *init = e->args[FOLD_INIT];
        struct cel_range range = size_of(e->args[FOLD_RANGE]);

        sum = cel_range_add(sum, cost_of(est, e->args[FOLD_INIT]));
        est->locals[e->slot] = (struct local){size_of(init), path_of(est, init)};
        if (e->bind) {
                sum = cel_range_add(sum, cost_of(est, e->args[FOLD_RESULT]));
                e->size = size_of(e->args[FOLD_RESULT]);
                return sum;
        }
        for (size_t i = 0; i < 2 && e->loop[i]; i++)
                est->locals[e->loop_slot[i]] = loop_local(est, e, i);
        loop = cost_of(est, e->args[FOLD_CONDITION]);
        loop = cel_range_add(loop, cost_of(est, e->args[FOLD_STEP]));
        sum = cel_range_add(sum, cost_of(est, e->args[FOLD_RESULT]));
        sum = cel_range_add(sum, cel_range_multiply(range, loop));
        e->size = init->kind == CEL_EXPR_CONST ? fixed(1) : (struct cel_range){0, range.max};
        return sum;
}

static struct cel_range constant_size(struct cel_value v) {
        return fixed(v.kind == CEL_TYPE ? 1 : cel_size_for_cost(v));
}

static struct cel_range cost_of(struct estimate *est, struct cel_expr *e) {
        struct cel_range cost;

        switch ((enum cel_expr_kind)e->kind) {
        case CEL_EXPR_CONST:
                e->size = constant_size(e->constant);
                return fixed(0);
        case CEL_EXPR_IDENT:
                e->size = own_size(e);
                if (e->slot >= 0 && e->size.max == UINT64_MAX)
                        e->size = est->locals[e->slot].size;
                return fixed(1);
        case CEL_EXPR_SELECT:
                cost = cost_of(est, e->args[0]);
                e->size = item_size(est, e);
                return cel_range_add(cost, fixed(e->test_only ? 0 : 1));
        case CEL_EXPR_CALL:
                return cost_of_call(est, e);
        case CEL_EXPR_LIST:
        case CEL_EXPR_MAP:
        case CEL_EXPR_MESSAGE:
                return cost_of_items(est, e);
        case CEL_EXPR_FOLD:
                return cost_of_fold(est, e);
        }
        assert_not_reached();
}

struct cel_range cel_estimate_cost(struct cel_program *p, const struct cel_env *env) {
        struct estimate est = {.program = p,
                        .root = UNKNOWN,
                        .locals = calloc(MAX(p->local_count, (size_t)1), sizeof(*est.locals))};
        struct cel_range cost = UNKNOWN;

        for (size_t i = 0; i < env->variable_count; i++)
                if (streq(env->variables[i].name, "self"))
                        (void)type_size(env->variables[i].type, &est.root);
        if (est.locals)
                cost = cost_of(&est, p->root);
        free(est.locals);
        return cost;
}
