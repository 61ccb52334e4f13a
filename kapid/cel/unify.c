/* Which types may stand for which, as cel-go's checker decides it. Bindings made on the way are
 * taken back when the answer is no. Types share their parts: {a: a} has one type twice, and a few
 * dozen of those within each other are a tree that nobody walks to its end. So steps are counted;
 * when they run out any answer is yes, and the checker refuses the expression. */
#include "kapid/cel/unify.h"

enum {
        TYPE_DEPTH_MAX = 64,
        /* Looks at a type, and types made, for one expression: some dozens of times what any of
         * Kubernetes' own needs. */
        STEPS_MIN = 100 * 1000,
        STEPS_PER_BYTE = 200,
        BUILT_MIN = 10 * 1000,
        BUILT_PER_BYTE = 4,
};

struct undo {
        VECTOR(struct cel_binding)
        list; /* variable and what it was bound to before */
};

void cel_unify_begin(struct cel_unify *u, struct cel_types *memory, size_t text_size) {
        *u = (struct cel_unify){.memory = memory,
                        .steps = STEPS_MIN + STEPS_PER_BYTE * (uint64_t)text_size,
                        .built = BUILT_MIN + BUILT_PER_BYTE * (uint64_t)text_size};
}

/* false: enough has been done. */
static bool step(struct cel_unify *u) {
        return u->steps > 0 && --u->steps > 0;
}

bool cel_unify_too_large(const struct cel_unify *u) {
        return u->steps == 0;
}

const struct cel_type *cel_fresh(struct cel_unify *u) {
        struct cel_type *t = cel_types_alloc(u->memory, sizeof(*t));

        if (!t || vector_append(&u->bindings, ((struct cel_binding){.variable = t})) < 0) {
                u->failed = true;
                return NULL;
        }
        *t = (struct cel_type){.kind = CEL_TYPE_PARAM,
                        .size_max = UINT64_MAX,
                        .size_json_min = u->bindings.count - 1};
        return t;
}

static const struct cel_type *bound(const struct cel_unify *u, const struct cel_type *variable) {
        return u->bindings.items[variable->size_json_min].to;
}

static void bind(struct cel_unify *u, struct undo *undo, const struct cel_type *variable,
                const struct cel_type *to) {
        struct cel_binding *b = &u->bindings.items[variable->size_json_min];

        if (vector_append(&undo->list, *b) < 0)
                u->failed = true;
        else
                b->to = to;
}

static const struct cel_type *rebuilt(struct cel_unify *u, const struct cel_type *t,
                const struct cel_type *first, const struct cel_type *second) {
        struct cel_type *n;

        if (first == t->of[0] && second == t->of[1])
                return t;
        if (u->built == 0) {
                u->steps = 0;
                return t;
        }
        u->built--;
        n = cel_types_alloc(u->memory, sizeof(*n));
        if (!n) {
                u->failed = true;
                return t;
        }
        *n = *t;
        n->of[0] = first;
        n->of[1] = second;
        return n;
}

static const struct cel_type *substitute(
                struct cel_unify *u, const struct cel_type *t, bool free_to_dyn, unsigned depth) {
        if (depth > TYPE_DEPTH_MAX || !step(u))
                return &cel_dyn_type;
        if (t->kind == CEL_TYPE_PARAM) {
                const struct cel_type *to = bound(u, t);

                if (!to)
                        return free_to_dyn ? &cel_dyn_type : t;
                return substitute(u, to, free_to_dyn, depth + 1);
        }
        if (!t->of[0])
                return t;
        return rebuilt(u, t, substitute(u, t->of[0], free_to_dyn, depth + 1),
                        t->of[1] ? substitute(u, t->of[1], free_to_dyn, depth + 1) : NULL);
}

const struct cel_type *cel_substitute(
                struct cel_unify *u, const struct cel_type *t, bool free_to_dyn) {
        return substitute(u, t, free_to_dyn, 0);
}

static bool occurs(struct cel_unify *u, const struct cel_type *variable, const struct cel_type *in,
                unsigned depth) {
        if (in == variable || depth > TYPE_DEPTH_MAX || !step(u))
                return true;
        if (in->kind == CEL_TYPE_PARAM)
                return bound(u, in) && occurs(u, variable, bound(u, in), depth + 1);
        return (in->of[0] && occurs(u, variable, in->of[0], depth + 1)) ||
               (in->of[1] && occurs(u, variable, in->of[1], depth + 1));
}

static bool less_specific(struct cel_unify *u, const struct cel_type *a, const struct cel_type *b,
                unsigned depth) {
        if (a->kind == CEL_TYPE_DYN || a->kind == CEL_TYPE_PARAM || !step(u))
                return true;
        if (b->kind == CEL_TYPE_DYN || b->kind == CEL_TYPE_PARAM || depth > TYPE_DEPTH_MAX)
                return false;
        if (a->kind != b->kind)
                return false;
        if (!a->of[0] || !b->of[0])
                return cel_types_same(u, a, b);
        if (!less_specific(u, a->of[0], b->of[0], depth + 1))
                return false;
        return !a->of[1] || less_specific(u, a->of[1], b->of[1], depth + 1);
}

const struct cel_type *cel_most_general(
                struct cel_unify *u, const struct cel_type *a, const struct cel_type *b) {
        return less_specific(u, a, b, 0) ? a : b;
}

bool cel_types_same(struct cel_unify *u, const struct cel_type *a, const struct cel_type *b) {
        return cel_type_same(a, b, &u->steps);
}

static bool assignable(struct cel_unify *u, struct undo *undo, const struct cel_type *from,
                const struct cel_type *to, unsigned depth);

/* Whether `variable` may stand for t. *ret_bound: it was bound already. */
static bool takes(struct cel_unify *u, struct undo *undo, const struct cel_type *t,
                const struct cel_type *variable, bool *ret_bound, unsigned depth) {
        const struct cel_type *to = bound(u, variable);

        *ret_bound = true;
        if (t == variable)
                return true;
        if (to) {
                if (cel_types_same(u, t, to))
                        return true;
                if (!assignable(u, undo, t, to, depth + 1))
                        return false;
                to = cel_most_general(u, t, to);
                if (!occurs(u, variable, to, 0))
                        bind(u, undo, variable, to);
                return true;
        }
        *ret_bound = false;
        if (occurs(u, variable, t, 0))
                return false;
        bind(u, undo, variable, t);
        return true;
}

static bool takes_null(const struct cel_type *t) {
        switch (t->kind) {
        case CEL_TYPE_NULL:
        case CEL_TYPE_OBJECT:
        case CEL_TYPE_TIMESTAMP:
        case CEL_TYPE_DURATION:
        case CEL_TYPE_OPAQUE:
        case CEL_TYPE_OPTIONAL:
                return true;
        default:
                return false;
        }
}

static bool is_wild(const struct cel_type *t) {
        return t->kind == CEL_TYPE_DYN || t->kind == CEL_TYPE_ERROR;
}

static bool assignable(struct cel_unify *u, struct undo *undo, const struct cel_type *from,
                const struct cel_type *to, unsigned depth) {
        bool was_bound;

        if (from == to || !step(u))
                return true;
        if (depth > TYPE_DEPTH_MAX)
                return false;
        if (to->kind == CEL_TYPE_PARAM) {
                if (takes(u, undo, from, to, &was_bound, depth))
                        return true;
                if (was_bound)
                        return false;
        }
        if (from->kind == CEL_TYPE_PARAM)
                return takes(u, undo, to, from, &was_bound, depth);
        if (is_wild(from) || is_wild(to))
                return true;
        if (from->kind == CEL_TYPE_NULL)
                return takes_null(to);
        if (to->kind == CEL_TYPE_NULL)
                return takes_null(from);
        if (from->kind != to->kind)
                return false;
        switch (from->kind) {
        case CEL_TYPE_LIST:
        case CEL_TYPE_MAP:
        case CEL_TYPE_OPTIONAL:
                return assignable(u, undo, from->of[0], to->of[0], depth + 1) &&
                       (!from->of[1] || assignable(u, undo, from->of[1], to->of[1], depth + 1));
        case CEL_TYPE_TYPE:
                return true;
        default:
                return cel_types_same(u, from, to);
        }
}

static void take_back(struct cel_unify *u, struct undo *undo) {
        while (undo->list.count > 0) {
                const struct cel_binding *b = &undo->list.items[--undo->list.count];

                u->bindings.items[b->variable->size_json_min].to = b->to;
        }
}

bool cel_assignable_all(struct cel_unify *u, const struct cel_type *const *from,
                const struct cel_type *const *to, size_t count) {
        struct undo undo = {};
        bool ok = true;

        for (size_t i = 0; i < count && ok; i++)
                ok = assignable(u, &undo, from[i], to[i], 0);
        if (!ok)
                take_back(u, &undo);
        vector_done(&undo.list);
        return ok;
}

bool cel_assignable(struct cel_unify *u, const struct cel_type *from, const struct cel_type *to) {
        return cel_assignable_all(u, &from, &to, 1);
}

/* Letters of a signature and what stands for them in this use of it. */
struct letters {
        const struct cel_type *from[8], *to[8];
        size_t count;
};

static const struct cel_type *renamed(
                struct cel_unify *u, struct letters *l, const struct cel_type *t) {
        if (t->kind == CEL_TYPE_PARAM) {
                for (size_t i = 0; i < l->count; i++)
                        if (l->from[i] == t)
                                return l->to[i];
                assert(l->count < ELEMENTS(l->from));
                l->from[l->count] = t;
                l->to[l->count] = cel_fresh(u);
                if (!l->to[l->count])
                        return &cel_dyn_type;
                return l->to[l->count++];
        }
        if (!t->of[0])
                return t;
        return rebuilt(u, t, renamed(u, l, t->of[0]), t->of[1] ? renamed(u, l, t->of[1]) : NULL);
}

bool cel_instantiate(struct cel_unify *u, const struct cel_overload *o,
                const struct cel_type **ret_params, const struct cel_type **ret_result) {
        struct letters l = {};

        for (size_t i = 0; i < o->param_count; i++)
                ret_params[i] = renamed(u, &l, o->params[i]);
        *ret_result = renamed(u, &l, o->result);
        return !u->failed;
}
