/* The Common Expression Language: the table of cases, findings and their places, costs, sizes,
 * bounds, and expressions that nobody would write. */
#include "tests/unit/unit.h"

#include "kapid/cel/cel.h"
#include "kapid/schema/pattern.h"
#include "lib/buf.h"
#include "lib/fileio.h"
#include "lib/siphash.h"
#include "lib/timefmt.h"

/* All rows of the table are looked at before the test fails. */
static size_t broken_rows;
#define broken(...) (print_message(__VA_ARGS__), print_message("\n"), (void)broken_rows++)

static struct pattern_cache *patterns;
static struct cel_functions *functions;
static struct cel_types *types;

static const char schema_text[] =
                "{'type':'object','properties':{'name':{'type':'string','maxLength':10},"
                "'count':{'type':'integer'},'ratio':{'type':'number'},'enabled':{'type':'boolean'},"
                "'data':{'type':'string','format':'byte'},"
                "'at':{'type':'string','format':'date-time'},"
                "'wait':{'type':'string','format':'duration'},"
                "'port':{'x-kubernetes-int-or-string':true},'absent':{'type':'string'},"
                "'nulled':{'type':'string'},'maybe':{'type':'object','nullable':true},"
                "'a-b':{'type':'string'},'namespace':{'type':'string'},'c.d':{'type':'string'},"
                "'e/f':{'type':'string'},'g__h':{'type':'string'},"
                "'unknown':{'x-kubernetes-preserve-unknown-fields':true},"
                "'tags':{'type':'object','additionalProperties':{'type':'string','maxLength':5},"
                "'maxProperties':10},"
                "'items':{'type':'array','maxItems':10,'items':{'type':'object','properties':"
                "{'name':{'type':'string','maxLength':20},'size':{'type':'integer'}}}},"
                "'set':{'type':'array','x-kubernetes-list-type':'set','items':{'type':'string'}},"
                "'sameset':{'type':'array','x-kubernetes-list-type':'set',"
                "'items':{'type':'string'}},"
                "'list':{'type':'array','items':{'type':'string'}},"
                "'otherlist':{'type':'array','items':{'type':'string'}},"
                "'keyed':{'type':'array','x-kubernetes-list-type':'map',"
                "'x-kubernetes-list-map-keys':['k'],'items':{'type':'object','properties':"
                "{'k':{'type':'string'},'v':{'type':'integer'}}}},"
                "'samekeyed':{'type':'array','x-kubernetes-list-type':'map',"
                "'x-kubernetes-list-map-keys':['k'],'items':{'type':'object','properties':"
                "{'k':{'type':'string'},'v':{'type':'integer'}}}}}}";
static const char object_text[] =
                "{'name':'thing','count':3,'ratio':2,'enabled':true,'data':'aGVsbG8=',"
                "'at':'2024-02-29T12:00:00Z','wait':'1m30s','port':80,'nulled':null,'maybe':null,"
                "'a-b':'dash','namespace':'ns','c.d':'dot','e/f':'slash','g__h':'under',"
                "'unknown':{'x':1},'tags':{'a':'x','b':'y'},"
                "'items':[{'name':'first','size':1},{'name':'second','size':2}],"
                "'set':['a','b'],'sameset':['b','a'],'list':['a','b'],'otherlist':['b','a'],"
                "'keyed':[{'k':'a','v':1},{'k':'b','v':2}],"
                "'samekeyed':[{'k':'b','v':2},{'k':'a','v':1}]}";
static const char dyn_text[] = "{'a':1,'n':null,'deep':{'list':[{'name':'one'},{'name':'two'}]}}";

enum { VARIABLES = 11 };
static struct cel_variable variables[VARIABLES];
static json_t *trees[4];
static struct cel_env env;

static json_t *parse(const char *single_quoted) {
        _cleanup_free_ char *text = strdup(single_quoted), *error = NULL;
        json_t *v = NULL;

        for (char *c = text; *c; c++)
                if (*c == '\'')
                        *c = '"';
        if (json_parse(text, strlen(text), 0, &v, &error) < 0)
                fail_msg("%s: %s", text, error);
        return v;
}

static int setup(void **state) {
        static const char *const names[VARIABLES] = {
                        "i", "u", "d", "s", "b", "l", "m", "t", "d9", "x", "o"};
        const struct cel_type *object = NULL;
        const struct cel_type *all[VARIABLES] = {&cel_int_type, &cel_uint_type, &cel_double_type,
                        &cel_string_type, &cel_bool_type, NULL, NULL, &cel_timestamp_type,
                        &cel_duration_type, &cel_dyn_type, NULL};
        _cleanup_json_ json_t *schema = parse(schema_text);
        _cleanup_free_ char *error = NULL;

        patterns = pattern_cache_new();
        types = cel_types_new();
        if (cel_functions_new(cel_libraries, patterns, &functions, &error) < 0)
                fail_msg("%s", strempty(error));
        assert_int_equal(cel_type_from_schema(types, schema, 0, &object), 0);
        all[5] = cel_list_type(types, &cel_int_type);
        all[6] = cel_map_type(types, &cel_string_type, &cel_int_type);
        all[10] = object;
        for (size_t i = 0; i < VARIABLES; i++)
                variables[i] = (struct cel_variable){names[i], all[i]};
        env = (struct cel_env){functions, variables, VARIABLES};
        trees[0] = parse(dyn_text);
        trees[1] = parse(object_text);
        trees[2] = parse("[1,2,3]");
        trees[3] = parse("{'one':1,'two':2}");
        return 0;
}

static int teardown(void **state) {
        for (size_t i = 0; i < ELEMENTS(trees); i++)
                json_decref(trees[i]);
        cel_functions_free(functions);
        cel_types_free(types);
        pattern_cache_free(patterns);
        return 0;
}

static void set_values(struct cel_run *run, struct cel_value values[VARIABLES]) {
        values[0] = cel_int(42);
        values[1] = cel_uint(7);
        values[2] = cel_double(0.5);
        values[3] = cel_string_at("text", 4);
        values[4] = cel_bool(true);
        values[5] = cel_from_json(run, trees[2], variables[5].type);
        values[6] = cel_from_json(run, trees[3], variables[6].type);
        values[7] = cel_timestamp(1234567890, 0);
        values[8] = cel_duration(INT64_MAX);
        values[9] = cel_from_json(run, trees[0], &cel_dyn_type);
        values[10] = cel_from_json(run, trees[1], variables[10].type);
}

static struct cel_value evaluate(struct cel_run *run, const struct cel_program *p) {
        struct cel_value values[VARIABLES];

        set_values(run, values);
        return cel_eval(run, p, values);
}

struct row {
        const char *line;
        char *expression, *want;
        char mark;
};

static bool split(char *line, struct row *ret) {
        static const char *const marks[] = {" ==> ", " ==! ", " ==? "};

        for (size_t i = 0; i < ELEMENTS(marks); i++) {
                char *at = strstr(line, marks[i]);

                if (!at)
                        continue;
                *at = '\0';
                *ret = (struct row){.line = line,
                                .expression = line,
                                .want = at + 5,
                                .mark = marks[i][3]};
                return true;
        }
        return false;
}

static void refused(const struct row *r, const struct cel_findings *f) {
        if (r->mark != '?')
                broken("%s: %s", r->expression, strempty(f->text));
        else if (!strstr(f->text, r->want))
                broken("%s: wanted %s, got %s", r->expression, r->want, f->text);
}

static void check_error(const struct row *r, struct cel_value got) {
        _cleanup_free_ char *text = NULL;

        if (!cel_is_error(got)) {
                broken("%s: no error", r->expression);
                return;
        }
        text = strndup(got.text.data, got.text.size);
        if (!strstr(text, r->want))
                broken("%s: wanted %s, got %s", r->expression, r->want, text);
}

static void check_same(const struct row *r, struct cel_run *run, struct cel_value got) {
        _cleanup_cel_findings_ struct cel_findings f = {};
        _cleanup_(cel_program_freep) struct cel_program *wanted = NULL;
        struct cel_value want, same;

        if (cel_is_error(got)) {
                broken("%s: %.*s", r->expression, (int)got.text.size, got.text.data);
                return;
        }
        if (cel_compile(&env, r->want, strlen(r->want), &wanted, &f) < 0) {
                broken("%s: %s", r->want, strempty(f.text));
                return;
        }
        want = evaluate(run, wanted);
        same = cel_equal(run, got, want);
        if (got.kind != want.kind || cel_is_error(same) || !same.boolean)
                broken("%s is not %s (kinds %d and %d)", r->expression, r->want, got.kind,
                                want.kind);
}

static void check_value(const struct row *r, struct cel_run *run, const struct cel_program *p) {
        struct cel_value got = evaluate(run, p);
        uint64_t cost = cel_run_cost(run), most = cel_program_estimate(p).max;

        /* Kubernetes' estimates take objects and keys for empty: some steps more may be. */
        if (cost > cel_cost_add(most, 4))
                broken("%s: cost %llu is beyond the estimate %llu", r->expression,
                                (unsigned long long)cost, (unsigned long long)most);
        if (r->mark == '!')
                check_error(r, got);
        else
                check_same(r, run, got);
}

static void check_row(const struct row *r) {
        _cleanup_cel_findings_ struct cel_findings f = {};
        _cleanup_(cel_program_freep) struct cel_program *p = NULL;
        _cleanup_(cel_run_freep) struct cel_run *run = NULL;
        int c = cel_compile(&env, r->expression, strlen(r->expression), &p, &f);

        if (c == -EINVAL) {
                refused(r, &f);
                return;
        }
        assert_int_equal(c, 0);
        if (r->mark == '?') {
                broken("%s: was compiled", r->expression);
                return;
        }
        assert_int_equal(cel_run_new(functions, NULL, &run), 0);
        check_value(r, run, p);
}

static char *read_cases(void) {
        _cleanup_free_ char *path =
                        strformat("%s/tests/unit/cel/cases.txt", getenv("KEELSON_SRCDIR"));
        char *text = NULL;
        size_t n;

        if (file_read(path, 1 << 20, &text, &n) < 0)
                fail_msg("cannot read %s", path);
        return text;
}

static void test_cases(void **state) {
        _cleanup_free_ char *text = read_cases();
        size_t count = 0;
        char *save = NULL;

        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                struct row r = {};

                if (*line == '#')
                        continue;
                if (!split(line, &r))
                        fail_msg("no case: %s", line);
                check_row(&r);
                count++;
        }
        assert_int_equal(broken_rows, 0);
        assert_true(count > 400);
}

/* Where findings are said to be, and their text. */
static void test_findings(void **state) {
        static const struct {
                const char *text;
                unsigned line, column;
        } cases[] = {{"o.nam", 1, 2}, {"1 +\n  y", 2, 3}, {"'ñ' + 1", 1, 5}, {"o.name.f(1)", 1, 9},
                        {"[1, 'a']", 1, 5}, {"true &&\n\n  'x'", 3, 3}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_cel_findings_ struct cel_findings f = {};
                struct cel_program *p = NULL;

                assert_int_equal(cel_compile(&env, cases[i].text, strlen(cases[i].text), &p, &f),
                                -EINVAL);
                assert_int_equal(f.count, 1);
                assert_int_equal(f.items[0].line, cases[i].line);
                assert_int_equal(f.items[0].column, cases[i].column);
        }

        _cleanup_cel_findings_ struct cel_findings f = {};
        struct cel_program *p = NULL;

        assert_int_equal(cel_compile(&env, "o.nam == y", 10, &p, &f), -EINVAL);
        assert_string_equal(f.text, "ERROR: <input>:1:2: undefined field 'nam'\n"
                                    " | o.nam == y\n"
                                    " | .^\n"
                                    "ERROR: <input>:1:10: undeclared reference to 'y' (in "
                                    "container '')\n"
                                    " | o.nam == y\n"
                                    " | .........^");
}

/* Costs at run time and before it, as Kubernetes counts. */
static void test_costs(void **state) {
        static const struct {
                const char *text;
                uint64_t cost, most; /* most 0: not looked at */
        } cases[] = {
                        {"1", 0, 0},
                        {"i", 1, 1},
                        {"i == 1", 2, 2},
                        {"o.count == 3", 3, 3},
                        {"o.name == 'thing'", 3, 3},
                        {"has(o.name)", 1, 1},
                        {"true && true", 0, 0},
                        {"true ? i : i", 1, 1},
                        {"[1, 2]", 10, 10},
                        {"{'a': 1}", 30, 30},
                        {"i in [1, 2]", 13, 13},
                        {"s + s", 3, 0},
                        {"o.name + 'a'", 3, 7},
                        {"o.name.size() < 5", 4, 4},
                        {"o.items.all(e, e.size > 0)", 2 + 2 * 6 + 1, 2 + 10 * 6 + 1},
                        {"l.map(e, e * 2)", 1 + 10 + 3 * (1 + 1 + 10 + 2) + 1, 0},
                        {"o.name.startsWith('th')", 3, 3},
                        {"o.tags.all(k, k != '')", 2 + 2 * (2 + 1 + 1 + 0) + 1, 0},
                        {"o.name.contains('h')", 3, 2 + 4 * 1},
                        {"o.name.matches('abcdefgh')", 2 + 2 * 1, 2 + 5 * 2},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_cel_findings_ struct cel_findings f = {};
                _cleanup_(cel_program_freep) struct cel_program *p = NULL;
                _cleanup_(cel_run_freep) struct cel_run *run = NULL;

                if (cel_compile(&env, cases[i].text, strlen(cases[i].text), &p, &f) < 0)
                        fail_msg("%s", strempty(f.text));
                assert_int_equal(cel_run_new(functions, NULL, &run), 0);
                assert_false(cel_is_error(evaluate(run, p)));
                if (cel_run_cost(run) != cases[i].cost)
                        fail_msg("%s costs %llu", cases[i].text,
                                        (unsigned long long)cel_run_cost(run));
                if (cases[i].most > 0 && cel_program_estimate(p).max != cases[i].most)
                        fail_msg("%s may cost %llu", cases[i].text,
                                        (unsigned long long)cel_program_estimate(p).max);
        }
}

static struct cel_value run_limited(
                const char *text, const struct cel_limits *limits, bool *spent) {
        _cleanup_cel_findings_ struct cel_findings f = {};
        _cleanup_(cel_program_freep) struct cel_program *p = NULL;
        _cleanup_(cel_run_freep) struct cel_run *run = NULL;
        struct cel_value v;

        if (cel_compile(&env, text, strlen(text), &p, &f) < 0)
                fail_msg("%s", strempty(f.text));
        assert_int_equal(cel_run_new(functions, limits, &run), 0);
        v = evaluate(run, p);
        *spent = cel_run_spent(run);
        return (struct cel_value){.kind = v.kind};
}

static uint64_t late(void *clock) {
        return 100;
}

#define TEN "[1,2,3,4,5,6,7,8,9,10]"
#define THOUSAND TEN ".map(a, " TEN ".map(b, " TEN ".map(c, a + b + c)))"

static void test_bounds(void **state) {
        bool spent;

        /* Nothing absorbs a spent budget. */
        assert_int_equal(run_limited("true || " THOUSAND ".size() > 0", NULL, &spent).kind,
                        CEL_BOOL);
        assert_int_equal(run_limited(THOUSAND ".size() > 0 || true",
                                         &(struct cel_limits){.cost_max = 500}, &spent)
                                         .kind,
                        CEL_ERROR);
        assert_true(spent);
        assert_int_equal(run_limited(THOUSAND ".size() == 10", NULL, &spent).kind, CEL_BOOL);
        assert_false(spent);
        assert_int_equal(run_limited(THOUSAND ".size() > 0",
                                         &(struct cel_limits){.deadline_us = 50, .now_us = late},
                                         &spent)
                                         .kind,
                        CEL_ERROR);
        assert_true(spent);
        assert_int_equal(run_limited(THOUSAND ".size() > 0",
                                         &(struct cel_limits){.memory_max = 10000}, &spent)
                                         .kind,
                        CEL_ERROR);
        assert_true(spent);
}

/* LONG stands for a text that takes some time. */
static char *with_long_text(const char *expression) {
        enum { LONG = 20000 };
        struct buf b = {};
        const char *at;

        for (; (at = strstr(expression, "LONG")); expression = at + 4) {
                buf_printf(&b, "%.*s", (int)(at - expression), expression);
                for (size_t i = 0; i < LONG; i++)
                        buf_append_char(&b, 'x');
        }
        buf_append_str(&b, expression);
        return buf_take(&b);
}

/* Few calls with much work look at the clock too, and a deadline that has passed stays so. */
static void test_work(void **state) {
        static const char *const cases[] = {TEN ".all(i, 'LONG'.charAt(1) == 'x')",
                        TEN ".all(i, size('LONG') > i)", TEN ".all(i, !isURL('LONG'))",
                        TEN ".all(i, {'LONG': i}['LONG'] == i)",
                        TEN ".exists(i, '%s%d'.format(['LONG', 'no']) == '')",
                        "'LONG' in " TEN ".map(i, dyn('LONG'))",
                        "cel.bind(a, " TEN ", cel.bind(b, a.map(i, a), cel.bind(c, b.map(i, b), "
                        "c == c)))"};
        static const struct cel_limits limits = {.deadline_us = 50, .now_us = late};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = with_long_text(cases[i]);
                _cleanup_cel_findings_ struct cel_findings f = {};
                _cleanup_(cel_program_freep) struct cel_program *p = NULL;
                _cleanup_(cel_run_freep) struct cel_run *run = NULL;

                if (cel_compile(&env, text, strlen(text), &p, &f) < 0)
                        fail_msg("%s: %s", cases[i], strempty(f.text));
                assert_int_equal(cel_run_new(functions, &limits, &run), 0);
                if (!cel_is_error(evaluate(run, p)) || !cel_run_spent(run))
                        fail_msg("no deadline: %s", cases[i]);
                cel_run_budget(run, CEL_COST_MAX);
                assert_true(cel_run_spent(run));
        }
}

/* What is given back can be had again. */
static void test_memory(void **state) {
        static const struct cel_limits limits = {.memory_max = 100 * 1000};
        static const char text[] = THOUSAND ".size() == 10";
        _cleanup_cel_findings_ struct cel_findings f = {};
        _cleanup_(cel_program_freep) struct cel_program *p = NULL;
        _cleanup_(cel_run_freep) struct cel_run *run = NULL;
        struct cel_value v = {};
        struct cel_mark mark;

        assert_int_equal(cel_compile(&env, text, strlen(text), &p, &f), 0);
        assert_int_equal(cel_run_new(functions, &limits, &run), 0);
        mark = cel_run_mark(run);
        for (size_t i = 0; i < 100; i++) {
                cel_run_budget(run, CEL_COST_MAX);
                v = evaluate(run, p);
                if (i == 0)
                        assert_int_equal(v.kind, CEL_ERROR);
                cel_run_back(run, &mark);
                assert_false(cel_run_spent(run));
        }
        cel_run_free(TAKE_PTR(run));
        assert_int_equal(cel_run_new(functions, NULL, &run), 0);
        mark = cel_run_mark(run);
        for (size_t i = 0; i < 500; i++) {
                cel_run_budget(run, CEL_COST_MAX);
                v = evaluate(run, p);
                assert_int_equal(v.kind, CEL_BOOL);
                cel_run_back(run, &mark);
        }
}

/* The vectors of its authors: bytes that count up under a key that does. */
static void test_hash(void **state) {
        static const uint64_t key[] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
        static const struct {
                size_t n;
                uint64_t hash;
        } cases[] = {{0, UINT64_C(0x726fdb47dd0e0e31)}, {8, UINT64_C(0x93f5f5799a932462)},
                        {15, UINT64_C(0xa129ca6149be45e5)}};
        unsigned char bytes[16];

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (unsigned char)i;
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_true(siphash(key, bytes, cases[i].n) == cases[i].hash);
}

/* Deep and long expressions end in a finding, or a value, not in a crash. */
static void test_depth(void **state) {
        static const struct {
                const char *before, *middle, *after;
                bool ok; /* with 40 of them */
        } cases[] = {{"(", "1", ")", true}, {"[", "1", "]", true}, {"", "1", "+1", true},
                        {"-(", "1", ")", true}, {"", "true", "&&true", true},
                        {"true?1:", "1", "", true}, {"{'a':", "1", "}", true},
                        {"", "x", ".a", true}, {"", "x", "[0]", true},
                        {"[1].map(e,", "1", ")", true}, {"size(", "'a'", ")", false},
                        {"optional.of(", "1", ")", true}, {"cel.bind(a,1,", "1", ")", true}};
        static const size_t counts[] = {40, 1000, 5000};

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                for (size_t k = 0; k < ELEMENTS(counts); k++) {
                        _cleanup_cel_findings_ struct cel_findings f = {};
                        _cleanup_(cel_program_freep) struct cel_program *p = NULL;
                        _cleanup_(cel_run_freep) struct cel_run *run = NULL;
                        _cleanup_buf_ struct buf b = {};
                        int r;

                        for (size_t n = 0; n < counts[k]; n++)
                                buf_append_str(&b, cases[i].before);
                        buf_append_str(&b, cases[i].middle);
                        for (size_t n = 0; n < counts[k]; n++)
                                buf_append_str(&b, cases[i].after);
                        r = cel_compile(&env, b.data, b.size, &p, &f);
                        if (k == 0 && cases[i].ok && r < 0)
                                fail_msg("%s%s%s: %s", cases[i].before, cases[i].middle,
                                                cases[i].after, strempty(f.text));
                        if (r < 0)
                                continue;
                        assert_int_equal(cel_run_new(functions, NULL, &run), 0);
                        (void)evaluate(run, p);
                }
}

/* cel.bind(a1, first, cel.bind(a2, next, ... last)): '@' in `next` is the variable before. */
static void bind_chain(struct buf *b, size_t count, const char *first, const char *next,
                const char *last) {
        for (size_t i = 1; i <= count; i++) {
                buf_printf(b, "cel.bind(a%zu, ", i);
                for (const char *c = i == 1 ? first : next; *c; c++)
                        if (*c == '@')
                                buf_printf(b, "a%zu", i - 1);
                        else
                                buf_append_char(b, *c);
                buf_append_str(b, ", ");
        }
        for (const char *c = last; *c; c++)
                if (*c == '@')
                        buf_printf(b, "a%zu", count);
                else
                        buf_append_char(b, *c);
        for (size_t i = 0; i < count; i++)
                buf_append_char(b, ')');
}

/* Messages are cut, but not within a character: they become JSON. */
static void test_cut_texts(void **state) {
        static const char *const cases[] = {"{'a': 1}['@']", "{'@': 1, '@': 2}", "1 '@'",
                        "1 == '@ ", "timestamp(s + '@')", "d9 == '@'", "duration('@' + s)",
                        "t.getHours('@')", "url('@')", "'@'.matches('(@' + s)", "int('@' + s)"};

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                for (size_t k = 0; k < 3; k++) {
                        _cleanup_cel_findings_ struct cel_findings f = {};
                        _cleanup_(cel_program_freep) struct cel_program *p = NULL;
                        _cleanup_(cel_run_freep) struct cel_run *run = NULL;
                        _cleanup_buf_ struct buf b = {};
                        struct cel_value v;

                        for (const char *c = cases[i]; *c; c++) {
                                if (*c != '@') {
                                        buf_append_char(&b, *c);
                                        continue;
                                }
                                buf_append(&b, "ab", k);
                                for (unsigned n = 0; n < 600; n++)
                                        buf_append_str(&b, "€");
                        }
                        if (cel_compile(&env, b.data, b.size, &p, &f) < 0) {
                                assert_true(utf8_is_valid(f.text, strlen(f.text)));
                                continue;
                        }
                        assert_int_equal(cel_run_new(functions, NULL, &run), 0);
                        v = evaluate(run, p);
                        assert_true(cel_is_error(v));
                        assert_true(utf8_is_valid(v.text.data, v.text.size));
                }
}

/* What cel.bind names is evaluated in its use, and values are as deep as many of them make them. */
static void test_chains(void **state) {
        _cleanup_buf_ struct buf plus = {}, nested = {}, deep = {}, equal = {};

        buf_append_char(&plus, '@');
        for (unsigned i = 0; i < 80; i++)
                buf_append_str(&plus, "+1");
        for (unsigned i = 0; i < 45; i++)
                buf_append_char(&nested, '[');
        buf_append_char(&nested, '@');
        for (unsigned i = 0; i < 45; i++)
                buf_append_char(&nested, ']');
        buf_printf(&deep, "dyn(%s)", nested.data);
        buf_append_str(&equal, "[");
        for (unsigned i = 1; i <= 45; i++)
                buf_printf(&equal, "%sa%u", i > 1 ? ", " : "", i);
        buf_append_str(&equal, "].size() == 45 && @ == @");

        const struct {
                size_t count;
                const char *first, *next, *last;
        } cases[] = {{80, "1", plus.data, "@ > 0"}, {45, "dyn(1)", deep.data, equal.data}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_cel_findings_ struct cel_findings f = {};
                _cleanup_(cel_program_freep) struct cel_program *p = NULL;
                _cleanup_(cel_run_freep) struct cel_run *run = NULL;
                _cleanup_buf_ struct buf b = {};
                struct cel_value v;

                bind_chain(&b, cases[i].count, cases[i].first, cases[i].next, cases[i].last);
                if (cel_compile(&env, b.data, b.size, &p, &f) < 0)
                        fail_msg("%s", strempty(f.text));
                assert_int_equal(cel_run_new(functions, NULL, &run), 0);
                v = evaluate(run, p);
                assert_true(cel_is_error(v));
                assert_non_null(memmem(v.text.data, v.text.size, "recursion limit", 15));
        }
}

/* Types that are twice as large with every step are refused, at once. */
static void test_types(void **state) {
        static const struct {
                size_t count;
                const char *first, *next, *last;
                enum { OK, REFUSED, ANY } want;
        } cases[] = {
                        {6, "{1: 1}", "{'x': {@: @}}", "@ == @", OK},
                        {6, "1", "[@]", "@ == @", OK},
                        {40, "{1: 1}", "{@: @}", "true", REFUSED},
                        {40, "{1: 1}", "{@: @}", "@ == 1", REFUSED},
                        {40, "[{1: 1}]", "[{@: @}, {@: @}]", "[@, @] == [@]", REFUSED},
                        {40, "{1: 1}", "optional.of({@: @})", "@ + 1", REFUSED},
                        {40, "[]", "cel.bind(b, [], cel.bind(c, [@, [{b: b}]], b))", "@", ANY},
                        {40, "[]", "cel.bind(b, [], [@, [{b: b}]].size() == 1 ? b : b)", "@ == 1",
                                        ANY},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_cel_findings_ struct cel_findings f = {};
                _cleanup_(cel_program_freep) struct cel_program *p = NULL;
                _cleanup_buf_ struct buf b = {};
                uint64_t start = now_mono_us();

                bind_chain(&b, cases[i].count, cases[i].first, cases[i].next, cases[i].last);
                (void)cel_compile(&env, b.data, b.size, &p, &f);
                if (cases[i].want == OK && !p)
                        fail_msg("%zu: %s", i, strempty(f.text));
                if (cases[i].want == REFUSED && p)
                        fail_msg("%s was compiled", b.data);
                assert_true(now_mono_us() - start < 2000000);
        }
}

static uint64_t next_random(uint64_t *seed) {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        return *seed;
}

/* Any text, run or refused, within bounds. */
static void try_text(const char *text, size_t n) {
        static const struct cel_limits limits = {.cost_max = 2000, .memory_max = 1 << 20};
        _cleanup_cel_findings_ struct cel_findings f = {};
        _cleanup_(cel_program_freep) struct cel_program *p = NULL;
        _cleanup_(cel_run_freep) struct cel_run *run = NULL;
        struct cel_value v;
        int r = cel_compile(&env, text, n, &p, &f);

        if (r < 0) {
                assert_int_equal(r, -EINVAL);
                assert_true(f.count > 0 && f.text);
                return;
        }
        assert_int_equal(f.count, 0);
        assert_int_equal(cel_run_new(functions, &limits, &run), 0);
        v = evaluate(run, p);
        if (!cel_is_error(v))
                assert_true(cel_value_is(v, cel_program_type(p)) || v.kind == CEL_NULL);
}

static void mutate(char *text, size_t n, const char *other, size_t other_size, uint64_t *seed) {
        static const char words[] = "()[]{}.,:?!<>+-*/%&|=\"'`rb0x1u e";

        for (uint64_t k = next_random(seed) % 4 + 1; k > 0; k--) {
                size_t at = next_random(seed) % n;

                switch (next_random(seed) % 4) {
                case 0:
                        text[at] = (char)next_random(seed);
                        break;
                case 1:
                        text[at] = words[next_random(seed) % (sizeof(words) - 1)];
                        break;
                case 2:
                        text[at] = text[next_random(seed) % n];
                        break;
                default: {
                        size_t from = next_random(seed) % other_size;
                        size_t left = MIN(n - at, other_size - from);
                        size_t size = MIN(left, (size_t)(next_random(seed) % 12));

                        memcpy(text + at, other + from, size);
                }
                }
        }
}

static void test_random(void **state) {
        _cleanup_free_ char *text = read_cases();
        uint64_t seed = 88172645463325252ULL;
        const char *lines[1000];
        size_t count = 0;
        char *save = NULL;

        for (char *line = strtok_r(text, "\n", &save); line && count < ELEMENTS(lines);
                        line = strtok_r(NULL, "\n", &save)) {
                struct row r = {};

                if (*line != '#' && split(line, &r))
                        lines[count++] = r.expression;
        }
        for (unsigned i = 0; i < 6000; i++) {
                const char *one = lines[next_random(&seed) % count];
                const char *other = lines[next_random(&seed) % count];
                _cleanup_free_ char *copy = strdup(one);

                mutate(copy, strlen(one), other, strlen(other), &seed);
                try_text(copy, strlen(one));
        }
        for (unsigned i = 0; i < 2000; i++) {
                char bytes[64];
                size_t n = next_random(&seed) % sizeof(bytes);

                for (size_t k = 0; k < n; k++)
                        bytes[k] = (char)next_random(&seed);
                try_text(bytes, n);
        }
}

/* Property names as expressions write them. */
static void test_names(void **state) {
        static const struct {
                const char *property, *name;
        } cases[] = {{"a", "a"}, {"a-b", "a__dash__b"}, {"a.b/c", "a__dot__b__slash__c"},
                        {"if", "__if__"}, {"namespace", "__namespace__"},
                        {"a__b", "a__underscores__b"}, {"1a", NULL}, {"a b", NULL}, {"", NULL},
                        {"_a", "_a"}, {"$ref", NULL}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *name = cel_escape(types, cases[i].property);

                if (!streq_ptr(name, cases[i].name))
                        fail_msg("%s: %s", cases[i].property, strempty(name));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_cases),
                        cmocka_unit_test(test_findings),
                        cmocka_unit_test(test_costs),
                        cmocka_unit_test(test_bounds),
                        cmocka_unit_test(test_work),
                        cmocka_unit_test(test_memory),
                        cmocka_unit_test(test_hash),
                        cmocka_unit_test(test_depth),
                        cmocka_unit_test(test_cut_texts),
                        cmocka_unit_test(test_chains),
                        cmocka_unit_test(test_types),
                        cmocka_unit_test(test_random),
                        cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
