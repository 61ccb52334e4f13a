/* Expressions made along the grammar, well typed, against values made along a schema: each
 * compiles, gives a value of its type, gives it again when it is written in another way (all
 * parentheses, comments, line breaks) and read again, costs what the estimate allows, and ends
 * within any budget. */
#include "tests/unit/unit.h"

#include "kapid/cel/cel.h"
#include "kapid/schema/pattern.h"
#include "lib/buf.h"
#include "tests/unit/random.h"

enum type {
        BOOL,
        INT,
        UINT,
        DOUBLE,
        STRING,
        BYTES,
        INTS,
        TEXTS,
        MAP,
        TIME,
        WAIT,
        DYN,
        MAYBE,
        TYPES
};

/* How tightly a form binds: a looser one within it needs parentheses. */
enum level { CONDITION, OR, AND, RELATION, SUM, PRODUCT, UNARY, MEMBER };

/* A form of expressions. In the text $ is an argument and @ the variable of a macro, which is of
 * the type `loop` in the last arguments. Constant texts of times and patterns are refused when they
 * are invalid: `+ ''` hides them from the checker. */
struct form {
        enum type type;
        enum level level;
        const char *text;
        struct {
                enum type type;
                enum level level;
        } args[3];
        enum type loop;
        unsigned loop_args; /* how many of the last arguments see the variable */
};

#define RELATIONS(type) \
        {BOOL, RELATION, "$ == $", {{type, SUM}, {type, SUM}}}, { \
                BOOL, RELATION, "$ != $", { \
                        {type, SUM}, { \
                                type, SUM \
                        } \
                } \
        }
#define ORDER(type) \
        RELATIONS(type), {BOOL, RELATION, "$ < $", {{type, SUM}, {type, SUM}}}, \
                        {BOOL, RELATION, "$ >= $", {{type, SUM}, {type, SUM}}}, { \
                BOOL, RELATION, "$ in [$, $]", { \
                        {type, SUM}, {type}, { \
                                type \
                        } \
                } \
        }
#define CHOICE(type) \
        {type, CONDITION, "$ ? $ : $", {{BOOL, OR}, {type, OR}, {type}}}, { \
                type, MEMBER, "cel.bind(@, $, $)", {{type}, {type}}, type, 1 \
        }
#define NUMBERS(type) \
        {type, SUM, "$ + $", {{type, SUM}, {type, PRODUCT}}}, \
                        {type, SUM, "$ - $", {{type, SUM}, {type, PRODUCT}}}, \
                        {type, PRODUCT, "$ * $", {{type, PRODUCT}, {type, UNARY}}}, { \
                type, PRODUCT, "$ / $", { \
                        {type, PRODUCT}, { \
                                type, UNARY \
                        } \
                } \
        }

static const struct form forms[] = {
                {BOOL, AND, "$ && $", {{BOOL, AND}, {BOOL, RELATION}}},
                {BOOL, OR, "$ || $", {{BOOL, OR}, {BOOL, AND}}},
                {BOOL, UNARY, "!$", {{BOOL, MEMBER}}},
                RELATIONS(BOOL),
                ORDER(INT),
                ORDER(UINT),
                ORDER(DOUBLE),
                ORDER(STRING),
                ORDER(BYTES),
                RELATIONS(INTS),
                RELATIONS(TEXTS),
                RELATIONS(MAP),
                ORDER(TIME),
                ORDER(WAIT),
                RELATIONS(DYN),
                RELATIONS(MAYBE),
                {BOOL, RELATION, "$ < $", {{INT, SUM}, {DOUBLE, SUM}}},
                {BOOL, RELATION, "$ in $", {{INT, SUM}, {INTS, SUM}}},
                {BOOL, RELATION, "$ in $", {{STRING, SUM}, {MAP, SUM}}},
                {BOOL, RELATION, "$ in $", {{DYN, SUM}, {TEXTS, SUM}}},
                {BOOL, MEMBER, "$.exists(@, $)", {{INTS, MEMBER}, {BOOL}}, INT, 1},
                {BOOL, MEMBER, "$.all(@, $)", {{TEXTS, MEMBER}, {BOOL}}, STRING, 1},
                {BOOL, MEMBER, "$.exists_one(@, $)", {{MAP, MEMBER}, {BOOL}}, STRING, 1},
                {BOOL, MEMBER, "o.items.exists(i, i.size == $)", {{INT, SUM}}},
                {BOOL, MEMBER, "$.startsWith($)", {{STRING, MEMBER}, {STRING}}},
                {BOOL, MEMBER, "$.contains($)", {{STRING, MEMBER}, {STRING}}},
                {BOOL, MEMBER, "$.matches('^[a-z]*(x|y)?')", {{STRING, MEMBER}}},
                {BOOL, MEMBER, "$.matches($ + '')", {{STRING, MEMBER}, {STRING, SUM}}},
                {BOOL, MEMBER, "sets.contains($, $)", {{INTS}, {INTS}}},
                {BOOL, MEMBER, "sets.intersects($, $)", {{TEXTS}, {TEXTS}}},
                {BOOL, MEMBER, "$.isSorted()", {{INTS, MEMBER}}},
                {BOOL, MEMBER, "$.hasValue()", {{MAYBE, MEMBER}}},
                {BOOL, MEMBER, "isIP($)", {{STRING}}},
                {BOOL, MEMBER, "isQuantity($)", {{STRING}}},
                {BOOL, MEMBER, "isURL($)", {{STRING}}},
                {BOOL, MEMBER, "bool($)", {{STRING}}},
                CHOICE(BOOL),
                NUMBERS(INT),
                {INT, PRODUCT, "$ % $", {{INT, PRODUCT}, {INT, UNARY}}},
                {INT, UNARY, "-$", {{INT, MEMBER}}},
                {INT, MEMBER, "size($)", {{STRING}}},
                {INT, MEMBER, "$.size()", {{INTS, MEMBER}}},
                {INT, MEMBER, "$.size()", {{MAP, MEMBER}}},
                {INT, MEMBER, "size($)", {{BYTES}}},
                {INT, MEMBER, "$[$]", {{INTS, MEMBER}, {INT}}},
                {INT, MEMBER, "$[$]", {{MAP, MEMBER}, {STRING}}},
                {INT, MEMBER, "$.sum()", {{INTS, MEMBER}}},
                {INT, MEMBER, "$.max()", {{INTS, MEMBER}}},
                {INT, MEMBER, "$.indexOf($)", {{INTS, MEMBER}, {INT}}},
                {INT, MEMBER, "$.indexOf($)", {{STRING, MEMBER}, {STRING}}},
                {INT, MEMBER, "$.lastIndexOf($, $)", {{STRING, MEMBER}, {STRING}, {INT}}},
                {INT, MEMBER, "int($)", {{STRING}}},
                {INT, MEMBER, "int($)", {{DOUBLE}}},
                {INT, MEMBER, "int($)", {{UINT}}},
                {INT, MEMBER, "int($)", {{TIME}}},
                {INT, MEMBER, "$.getHours()", {{TIME, MEMBER}}},
                {INT, MEMBER, "$.getDayOfYear('+02:30')", {{TIME, MEMBER}}},
                {INT, MEMBER, "$.getMilliseconds()", {{WAIT, MEMBER}}},
                {INT, MEMBER, "$.value()", {{MAYBE, MEMBER}}},
                {INT, MEMBER, "$.orValue($)", {{MAYBE, MEMBER}, {INT}}},
                CHOICE(INT),
                NUMBERS(UINT),
                {UINT, MEMBER, "uint($)", {{INT}}},
                {UINT, MEMBER, "uint($)", {{STRING}}},
                CHOICE(UINT),
                NUMBERS(DOUBLE),
                {DOUBLE, MEMBER, "double($)", {{INT}}},
                {DOUBLE, MEMBER, "double($)", {{STRING}}},
                CHOICE(DOUBLE),
                {STRING, SUM, "$ + $", {{STRING, SUM}, {STRING, PRODUCT}}},
                {STRING, MEMBER, "string($)", {{INT}}},
                {STRING, MEMBER, "string($)", {{DOUBLE}}},
                {STRING, MEMBER, "string($)", {{BYTES}}},
                {STRING, MEMBER, "string($)", {{TIME}}},
                {STRING, MEMBER, "string($)", {{WAIT}}},
                {STRING, MEMBER, "$.lowerAscii()", {{STRING, MEMBER}}},
                {STRING, MEMBER, "$.replace($, $)", {{STRING, MEMBER}, {STRING}, {STRING}}},
                {STRING, MEMBER, "$.substring($)", {{STRING, MEMBER}, {INT}}},
                {STRING, MEMBER, "$.substring($, $)", {{STRING, MEMBER}, {INT}, {INT}}},
                {STRING, MEMBER, "$.trim()", {{STRING, MEMBER}}},
                {STRING, MEMBER, "$.charAt($)", {{STRING, MEMBER}, {INT}}},
                {STRING, MEMBER, "$.join($)", {{TEXTS, MEMBER}, {STRING}}},
                {STRING, MEMBER, "$.find('[a-c]+')", {{STRING, MEMBER}}},
                {STRING, MEMBER, "strings.quote($)", {{STRING}}},
                {STRING, MEMBER, "$.format([$, $])", {{STRING, MEMBER}, {DYN}, {DYN}}},
                {STRING, MEMBER, "$[$]", {{TEXTS, MEMBER}, {INT}}},
                CHOICE(STRING),
                {BYTES, SUM, "$ + $", {{BYTES, SUM}, {BYTES, PRODUCT}}},
                {BYTES, MEMBER, "bytes($)", {{STRING}}},
                CHOICE(BYTES),
                {INTS, MEMBER, "[$, $]", {{INT}, {INT}}},
                {INTS, MEMBER, "[$, ?$]", {{INT}, {MAYBE}}},
                {INTS, SUM, "$ + $", {{INTS, SUM}, {INTS, PRODUCT}}},
                {INTS, MEMBER, "$.map(@, $)", {{INTS, MEMBER}, {INT}}, INT, 1},
                {INTS, MEMBER, "$.map(@, $, $)", {{TEXTS, MEMBER}, {BOOL}, {INT}}, STRING, 2},
                {INTS, MEMBER, "$.filter(@, $)", {{INTS, MEMBER}, {BOOL}}, INT, 1},
                {INTS, MEMBER, "$.sortBy(@, $)", {{INTS, MEMBER}, {DOUBLE}}, INT, 1},
                {INTS, MEMBER, "$.slice($, $)", {{INTS, MEMBER}, {INT}, {INT}}},
                {INTS, MEMBER, "$.distinct()", {{INTS, MEMBER}}},
                {INTS, MEMBER, "[$, $].flatten()", {{INTS}, {INTS}}},
                {INTS, MEMBER, "lists.range($ % 20)", {{INT, PRODUCT}}},
                CHOICE(INTS),
                {TEXTS, MEMBER, "[$, $]", {{STRING}, {STRING}}},
                {TEXTS, MEMBER, "$.split($)", {{STRING, MEMBER}, {STRING}}},
                {TEXTS, MEMBER, "$.map(@, $)", {{MAP, MEMBER}, {STRING}}, STRING, 1},
                {TEXTS, MEMBER, "$.findAll('[a-z]')", {{STRING, MEMBER}}},
                {TEXTS, MEMBER, "$.sort()", {{TEXTS, MEMBER}}},
                CHOICE(TEXTS),
                {MAP, MEMBER, "{$: $}", {{STRING}, {INT}}},
                {MAP, MEMBER, "{'k': $, $: 1}", {{INT}, {STRING}}},
                {MAP, MEMBER, "{?$: $}", {{STRING}, {MAYBE}}},
                {MAP, MEMBER, "$.transformMap(k, @, $)", {{MAP, MEMBER}, {INT}}, INT, 1},
                CHOICE(MAP),
                {TIME, SUM, "$ + $", {{TIME, SUM}, {WAIT, PRODUCT}}},
                {TIME, MEMBER, "timestamp($ + '')", {{STRING, SUM}}},
                {TIME, MEMBER, "timestamp($)", {{INT}}},
                CHOICE(TIME),
                {WAIT, SUM, "$ - $", {{TIME, SUM}, {TIME, PRODUCT}}},
                {WAIT, SUM, "$ + $", {{WAIT, SUM}, {WAIT, PRODUCT}}},
                {WAIT, MEMBER, "duration($ + '')", {{STRING, SUM}}},
                CHOICE(WAIT),
                {DYN, MEMBER, "dyn($)", {{INT}}},
                {DYN, MEMBER, "dyn($)", {{STRING}}},
                {DYN, MEMBER, "dyn($)", {{INTS}}},
                {DYN, MEMBER, "dyn($)", {{MAP}}},
                {DYN, MEMBER, "dyn($)", {{DOUBLE}}},
                {DYN, MEMBER, "[dyn($), dyn($)][$]", {{TIME}, {BYTES}, {INT}}},
                {DYN, MEMBER, "x[$]", {{STRING}}},
                CHOICE(DYN),
                {MAYBE, MEMBER, "optional.of($)", {{INT}}},
                {MAYBE, MEMBER, "optional.ofNonZeroValue($)", {{INT}}},
                {MAYBE, MEMBER, "$[?$]", {{INTS, MEMBER}, {INT}}},
                {MAYBE, MEMBER, "$[?$]", {{MAP, MEMBER}, {STRING}}},
                {MAYBE, MEMBER, "$.or($)", {{MAYBE, MEMBER}, {MAYBE}}},
                {MAYBE, MEMBER, "$.optMap(@, $)", {{MAYBE, MEMBER}, {INT}}, INT, 1},
                {MAYBE, MEMBER, "$.optFlatMap(@, $)", {{MAYBE, MEMBER}, {MAYBE}}, INT, 1},
                CHOICE(MAYBE),
};

/* Leaves; those with a minus bind as UNARY. */
static const char *const leaves[TYPES][16] = {
                [BOOL] = {"true", "false", "o.enabled", "has(o.name)", "has(o.at)", "has(x.a)"},
                [INT] = {"0", "1", "2", "-3", "9223372036854775807", "-9223372036854775808", "0x1f",
                                "o.count", "o.size"},
                [UINT] = {"0u", "1u", "18446744073709551615u", "0x10u", "uint(o.size)"},
                [DOUBLE] = {"0.0", "-1.5", "2.5e10", "1e308", "5e-324", "o.ratio"},
                [STRING] = {"''", "'a'", "\"it's\"", "'''x\ny'''", "r'\\d+'",
                                "'\\u00e4\\U0001F600'", "'%s %d'", "'%.2f %x'", "'10.0.0.1'",
                                "'1h30m'", "'2024-02-29T12:00:00Z'", "o.name", "'12'", "'true'",
                                "'(a|'"},
                [BYTES] = {"b''", "b'abc'", "b'\\xff\\000'", "o.data"},
                [INTS] = {"[]", "[1, 2, 3]", "o.numbers", "[o.count]"},
                [TEXTS] = {"['a', 'b', 'a']", "o.list", "o.set", "['']"},
                [MAP] = {"{'a': 1, 'b': 2}", "o.tags"},
                [TIME] = {"timestamp('2024-02-29T12:00:00Z')", "timestamp(0)", "o.at",
                                "timestamp('9999-12-31T23:59:59.999999999Z')"},
                [WAIT] = {"duration('90s')", "duration('-1ns')", "o.wait", "duration('2540400h')"},
                [DYN] = {"x", "x.a", "dyn(null)", "dyn(1u)", "dyn('a')", "o.unknown.y",
                                "dyn(type(1))"},
                [MAYBE] = {"optional.none()", "optional.of(7)", "o.?count", "o.?size"},
};

static const char schema_text[] =
                "{\"type\":\"object\",\"properties\":{"
                "\"name\":{\"type\":\"string\",\"maxLength\":12},\"count\":{\"type\":\"integer\"},"
                "\"size\":{\"type\":\"integer\"},\"ratio\":{\"type\":\"number\"},"
                "\"enabled\":{\"type\":\"boolean\"},"
                "\"data\":{\"type\":\"string\",\"format\":\"byte\",\"maxLength\":16},"
                "\"at\":{\"type\":\"string\",\"format\":\"date-time\"},"
                "\"wait\":{\"type\":\"string\",\"format\":\"duration\"},"
                "\"unknown\":{\"type\":\"object\",\"maxProperties\":2,\"additionalProperties\":"
                "{\"x-kubernetes-int-or-string\":true}},"
                "\"numbers\":{\"type\":\"array\",\"maxItems\":4,\"items\":{\"type\":\"integer\"}},"
                "\"list\":{\"type\":\"array\",\"maxItems\":4,\"items\":{\"type\":\"string\","
                "\"maxLength\":12}},\"set\":{\"type\":\"array\",\"maxItems\":4,"
                "\"x-kubernetes-list-type\":\"set\",\"items\":{\"type\":\"string\",\"maxLength\":12}},"
                "\"tags\":{\"type\":\"object\",\"maxProperties\":4,"
                "\"additionalProperties\":{\"type\":\"integer\"}},"
                "\"items\":{\"type\":\"array\",\"maxItems\":4,\"items\":{\"type\":\"object\","
                "\"properties\":{\"size\":{\"type\":\"integer\"}}}}}}";

enum { VARIABLES = 2, DEPTH_MAX = 6, LOOPS_MAX = 8, ARGS_MAX = 3, NODES_MAX = 60 };
static struct pattern_cache *patterns;
static struct cel_functions *functions;
static struct cel_types *types;
static struct cel_variable variables[VARIABLES];
static struct cel_env env;

static int setup(void **state) {
        _cleanup_json_ json_t *schema = json_loads(schema_text, 0, NULL);
        const struct cel_type *object = NULL;
        _cleanup_free_ char *error = NULL;

        patterns = pattern_cache_new();
        types = cel_types_new();
        assert_non_null(schema);
        if (cel_functions_new(cel_libraries, patterns, &functions, &error) < 0)
                fail_whole("%s", strempty(error));
        assert_int_equal(cel_type_from_schema(types, schema, 0, &object), 0);
        variables[0] = (struct cel_variable){"o", object};
        variables[1] = (struct cel_variable){"x", &cel_dyn_type};
        env = (struct cel_env){functions, variables, VARIABLES};
        return 0;
}

static int teardown(void **state) {
        cel_functions_free(functions);
        cel_types_free(types);
        pattern_cache_free(patterns);
        return 0;
}

/* --- expressions --- */

struct node {
        const struct form *form; /* NULL: a leaf */
        const char *leaf;
        unsigned variable; /* of a macro, or a leaf that is one: v1... */
        struct node *args[ARGS_MAX];
};

static struct node *node_free(struct node *n) {
        for (size_t i = 0; n && i < ARGS_MAX; i++)
                node_free(n->args[i]);
        return mfree(n);
}
DEFINE_CLEANUP(struct node *, node_free);

struct maker {
        struct dice dice;
        enum type loops[LOOPS_MAX]; /* types of the variables in scope: v1... */
        unsigned loop_count;
        unsigned nodes, depth_max;
};

static size_t arg_count(const struct form *f) {
        size_t n = 0;

        for (const char *c = f->text; *c; c++)
                n += *c == '$';
        return n;
}

static struct node *make_leaf(struct maker *m, enum type type, struct node *n) {
        size_t count = 0;

        for (unsigned v = m->loop_count; v > 0; v--)
                if (m->loops[v - 1] == type && roll(&m->dice, 2) == 0) {
                        n->variable = v;
                        return n;
                }
        while (count < ELEMENTS(leaves[type]) && leaves[type][count])
                count++;
        n->leaf = leaves[type][roll(&m->dice, count)];
        return n;
}

static const struct form *pick_form(struct maker *m, enum type type) {
        size_t first = 0, count = 0;

        for (size_t i = 0; i < ELEMENTS(forms); i++)
                if (forms[i].type == type && count++ == 0)
                        first = i;
        first += roll(&m->dice, count);
        assert_int_equal(forms[first].type, type);
        return &forms[first];
}

static struct node *make(struct maker *m, enum type type, unsigned depth) {
        struct node *n = calloc(1, sizeof(*n));
        const struct form *f;
        size_t args;

        assert_non_null(n);
        if (depth >= m->depth_max || m->nodes++ >= NODES_MAX || roll(&m->dice, depth + 4) > 3)
                return make_leaf(m, type, n);
        f = pick_form(m, type);
        if (f->loop_args > 0 && m->loop_count >= LOOPS_MAX)
                return make_leaf(m, type, n);
        n->form = f;
        args = arg_count(f);
        for (size_t i = 0; i < args; i++) {
                bool sees = f->loop_args > 0 && i >= args - f->loop_args;

                if (sees && i == args - f->loop_args) {
                        m->loops[m->loop_count++] = f->loop;
                        n->variable = m->loop_count;
                }
                n->args[i] = make(m, f->args[i].type, depth + 1);
        }
        m->loop_count -= f->loop_args > 0;
        return n;
}

static enum level level_of(const struct node *n) {
        if (n->form)
                return n->form->level;
        return n->leaf && *n->leaf == '-' ? UNARY : MEMBER;
}

/* Minimal: parentheses only where they are needed. Else all of them, and comments between. */
static void print(struct buf *b, const struct node *n, enum level around, bool minimal) {
        bool wrapped = level_of(n) < around || (!minimal && n->form);
        size_t next = 0;

        if (wrapped)
                buf_append_str(b, minimal ? "(" : "( // ' \" )\n");
        if (!n->form && n->leaf)
                buf_append_str(b, n->leaf);
        else if (!n->form)
                buf_printf(b, "v%u", n->variable);
        for (const char *c = n->form ? n->form->text : ""; *c; c++) {
                if (*c == '$') {
                        print(b, n->args[next], n->form->args[next].level, minimal);
                        next++;
                } else if (*c == '@')
                        buf_printf(b, "v%u", n->variable);
                else if (*c == ' ' && !minimal && next > 0)
                        buf_append_str(b, "\n\t// %\r\n");
                else
                        buf_append_char(b, *c);
        }
        if (wrapped)
                buf_append_char(b, ')');
}

/* --- values --- */

static json_t *some_text(struct dice *d) {
        static const char *const texts[] = {"", "a", "b", "web", "\xc3\xa4", "12", "10.0.0.1", "%d",
                        "a,b", "\xf0\x9f\x98\x80", "true", "x y"};

        return json_string(texts[roll(d, ELEMENTS(texts))]);
}

static json_t *some_number(struct dice *d) {
        static const json_int_t numbers[] = {0, 1, -1, 3, 42, INT64_MAX, INT64_MIN};

        return json_integer(numbers[roll(d, ELEMENTS(numbers))]);
}

/* An object along the schema: `size` and the lists are always there. */
static json_t *some_object(struct dice *d) {
        static const char *const optional[] = {"name", "count", "enabled"};
        json_t *o = json_pack("{s:i, s:f, s:s, s:s, s:s, s:{}, s:[], s:[], s:[], s:{}, s:[]}",
                        "size", (int)roll(d, 50), "ratio", (double)roll(d, 9) / 4, "data",
                        roll(d, 2) ? "aGVsbG8=" : "", "at",
                        roll(d, 2) ? "2024-02-29T12:00:00Z" : "0001-01-01T00:00:00.5+01:00", "wait",
                        roll(d, 2) ? "1m30s" : "-5ms", "unknown", "numbers", "list", "set", "tags",
                        "items");

        assert_non_null(o);
        for (size_t i = 0; i < ELEMENTS(optional); i++)
                if (roll(d, 3) > 0)
                        json_object_set_new(o, optional[i],
                                        i == 0   ? some_text(d)
                                        : i == 1 ? some_number(d)
                                                 : json_boolean(roll(d, 2)));
        for (uint64_t n = roll(d, 5); n > 0; n--) {
                _cleanup_json_ json_t *key = some_text(d);

                json_array_append_new(json_object_get(o, "numbers"), some_number(d));
                json_array_append_new(json_object_get(o, "list"), some_text(d));
                json_array_append_new(json_object_get(o, "items"),
                                roll(d, 4) ? json_pack("{s:i}", "size", (int)n) : json_object());
                json_object_set_new(
                                json_object_get(o, "tags"), json_string_value(key), some_number(d));
                if (n % 2)
                        json_array_append_new(json_object_get(o, "set"), json_incref(key));
        }
        if (roll(d, 2))
                json_object_set_new(json_object_get(o, "unknown"), "y",
                                roll(d, 2) ? some_text(d) : some_number(d));
        return o;
}

static json_t *some_dyn(struct dice *d, unsigned depth) {
        json_t *v;

        switch (roll(d, depth > 3 ? 5 : 7)) {
        case 0:
                return json_null();
        case 1:
                return json_boolean(roll(d, 2));
        case 2:
                return some_number(d);
        case 3:
                return json_real((double)roll(d, 7) / 3);
        case 4:
                return some_text(d);
        case 5:
                v = json_array();
                for (uint64_t n = roll(d, 4); n > 0; n--)
                        json_array_append_new(v, some_dyn(d, depth + 1));
                return v;
        default:
                v = json_object();
                for (uint64_t n = roll(d, 4); n > 0; n--)
                        json_object_set_new(v,
                                        n == 1   ? "a"
                                        : n == 2 ? "b"
                                                 : "12",
                                        some_dyn(d, depth + 1));
                return v;
        }
}

/* A value in words, errors too. */
static void describe(struct cel_run *run, struct cel_value v, struct buf *b) {
        struct cel_map_at at = {0};
        struct cel_value key, item;

        buf_printf(b, "%u:", v.kind);
        switch (v.kind) {
        case CEL_ERROR:
        case CEL_STRING:
        case CEL_BYTES:
                buf_append(b, v.text.data, v.text.size);
                break;
        case CEL_BOOL:
                buf_append_str(b, v.boolean ? "true" : "false");
                break;
        case CEL_UINT:
        case CEL_DOUBLE: /* its bits: no two spellings, and NaN is itself */
                buf_printf(b, "%llu", (unsigned long long)v.natural);
                break;
        case CEL_LIST:
                for (size_t i = 0; i < cel_list_count(v); i++) {
                        describe(run, cel_list_at(run, v, i), b);
                        buf_append_char(b, ',');
                }
                break;
        case CEL_MAP:
                while (cel_map_next(run, v, &at, &key, &item)) {
                        describe(run, key, b);
                        buf_append_char(b, '=');
                        describe(run, item, b);
                        buf_append_char(b, ',');
                }
                break;
        case CEL_TYPE:
                (void)cel_type_text(b, v.type);
                break;
        case CEL_OPTIONAL:
                if (v.inner)
                        describe(run, *v.inner, b);
                break;
        case CEL_NULL:
        case CEL_OPAQUE:
                break;
        default:
                buf_printf(b, "%lld.%u", (long long)v.integer, (unsigned)v.nanos);
        }
}

/* --- what must hold --- */

struct outcome {
        struct buf text; /* of the value */
        uint64_t cost;
        bool spent, is_error, fits; /* fits: the value is of the program's type */
};

static void outcome_done(struct outcome *o) {
        buf_done(&o->text);
}
#define _cleanup_outcome_ _cleanup_(outcome_done)

static void evaluate(const struct cel_program *p, const struct cel_limits *limits,
                json_t *const trees[VARIABLES], struct outcome *ret) {
        _cleanup_(cel_run_freep) struct cel_run *run = NULL;
        struct cel_value values[VARIABLES], v;

        assert_int_equal(cel_run_new(functions, limits, &run), 0);
        for (size_t i = 0; i < VARIABLES; i++)
                values[i] = cel_from_json(run, trees[i], variables[i].type);
        v = cel_eval(run, p, values);
        ret->is_error = cel_is_error(v);
        ret->fits = ret->is_error || v.kind == CEL_NULL || cel_value_is(v, cel_program_type(p));
        ret->cost = cel_run_cost(run);
        ret->spent = cel_run_spent(run);
        buf_append_char(&ret->text, ' ');
        describe(run, v, &ret->text);
}

static struct cel_program *compile(uint64_t seed, const char *text, size_t n) {
        _cleanup_cel_findings_ struct cel_findings f = {0};
        struct cel_program *p = NULL;

        if (cel_compile(&env, text, n, &p, &f) < 0)
                fail_whole("seed %llu is refused: %s", (unsigned long long)seed, strempty(f.text));
        return p;
}

static const struct cel_limits usual = {.cost_max = 50000, .memory_max = 8 << 20};

/* The same program with less of everything: the same answer, or one that says that it was spent. */
static void check_budgets(uint64_t seed, struct dice *d, const struct cel_program *p,
                json_t *const trees[VARIABLES], const struct outcome *whole) {
        struct cel_limits limits = usual;
        _cleanup_outcome_ struct outcome same = {}, less = {}, small = {};

        if (whole->spent || whole->cost == 0)
                return;
        limits.cost_max = whole->cost;
        evaluate(p, &limits, trees, &same);
        if (same.spent || !streq(same.text.data, whole->text.data))
                fail_whole("seed %llu: cost %llu is not enough to spend it",
                                (unsigned long long)seed, (unsigned long long)whole->cost);
        if (whole->cost > 1) {
                limits.cost_max = 1 + roll(d, whole->cost - 1);
                evaluate(p, &limits, trees, &less);
                if (!less.spent)
                        fail_whole("seed %llu: %llu of cost %llu was enough",
                                        (unsigned long long)seed,
                                        (unsigned long long)limits.cost_max,
                                        (unsigned long long)whole->cost);
        }
        limits = (struct cel_limits){.cost_max = usual.cost_max, .memory_max = 1 + roll(d, 8192)};
        evaluate(p, &limits, trees, &small);
        if (!small.spent && !streq(small.text.data, whole->text.data))
                fail_whole("seed %llu with %zu bytes: %s instead of %s", (unsigned long long)seed,
                                limits.memory_max, small.text.data, whole->text.data);
}

static void check_expression(uint64_t seed) {
        struct maker m = {.dice = {.state = seed},
                        .depth_max = MIN(1 + (unsigned)(seed / 500), (unsigned)DEPTH_MAX)};
        _cleanup_(node_freep) struct node *n = make(&m, (enum type)roll(&m.dice, TYPES), 0);
        _cleanup_json_ json_t *object = some_object(&m.dice), *dyn = some_dyn(&m.dice, 0);
        _cleanup_buf_ struct buf minimal = {}, whole = {};
        _cleanup_(cel_program_freep) struct cel_program *p = NULL, *q = NULL;
        _cleanup_outcome_ struct outcome one = {}, again = {}, other = {};
        json_t *const trees[VARIABLES] = {object, dyn};
        uint64_t began_us = now_mono_us();

        print(&minimal, n, CONDITION, true);
        print(&whole, n, CONDITION, false);
        assert_false(minimal.failed || whole.failed);
        p = compile(seed, minimal.data, minimal.size);
        q = compile(seed, whole.data, whole.size);
        evaluate(p, &usual, trees, &one);
        evaluate(p, &usual, trees, &again);
        evaluate(q, &usual, trees, &other);
        if (!one.fits)
                fail_whole("seed %llu: %s gives %s", (unsigned long long)seed, minimal.data,
                                one.text.data);
        if (!streq(one.text.data, again.text.data) || one.cost != again.cost)
                fail_whole("seed %llu: %s\nfirst:%s\nthen:%s", (unsigned long long)seed,
                                minimal.data, one.text.data, again.text.data);
        if (!streq(one.text.data, other.text.data) && !one.spent && !other.spent)
                fail_whole("seed %llu: %s gives\n%s\nand %s gives\n%s", (unsigned long long)seed,
                                minimal.data, one.text.data, whole.data, other.text.data);
        /* As in Kubernetes an error counts in costs and not in estimates, and the size of a flat
         * list is estimated as that of the outer one. */
        if (!strstr(minimal.data, ".flatten(") &&
                        one.cost > cel_cost_add(cel_program_estimate(p).max, m.nodes) && !one.spent)
                fail_whole("seed %llu: %s costs %llu, at most %llu was estimated",
                                (unsigned long long)seed, minimal.data,
                                (unsigned long long)one.cost,
                                (unsigned long long)cel_program_estimate(p).max);
        check_budgets(seed, &m.dice, p, trees, &one);
        assert_true(now_mono_us() - began_us < 30000000); /* rather than never */
}

static void test_expressions(void **state) {
        struct rounds r = {0};

        while (next_round(&r, 4000))
                check_expression(r.seed);
}

/* Broken texts of such expressions: refused with findings, or run within bounds. */
static void test_mutated(void **state) {
        static const struct cel_limits limits = {.cost_max = 2000, .memory_max = 1 << 20};
        struct rounds r = {0};

        while (next_round(&r, 4000)) {
                struct maker m = {.dice = {.state = r.seed}, .depth_max = DEPTH_MAX};
                _cleanup_(node_freep) struct node *n = make(&m, (enum type)roll(&m.dice, TYPES), 1);
                _cleanup_json_ json_t *object = some_object(&m.dice), *dyn = some_dyn(&m.dice, 0);
                json_t *const trees[VARIABLES] = {object, dyn};
                _cleanup_cel_findings_ struct cel_findings f = {0};
                _cleanup_(cel_program_freep) struct cel_program *p = NULL;
                _cleanup_outcome_ struct outcome o = {};
                _cleanup_buf_ struct buf b = {};

                print(&b, n, CONDITION, r.seed % 2);
                mutate_bytes(&m.dice, b.data, b.size, schema_text, sizeof(schema_text) - 1);
                if (cel_compile(&env, b.data, b.size, &p, &f) < 0) {
                        assert_true(f.count > 0 && f.text);
                        continue;
                }
                evaluate(p, &limits, trees, &o);
                if (!o.fits)
                        fail_whole("seed %llu: %s gives %s", (unsigned long long)r.seed, b.data,
                                        o.text.data);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_expressions),
                        cmocka_unit_test(test_mutated),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
