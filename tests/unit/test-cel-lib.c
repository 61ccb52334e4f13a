/* Kubernetes' libraries of functions for expressions: the table of cases and costs, what hostile
 * arguments make of time and memory, and calls that nobody would write. */
#include "tests/unit/unit.h"

#include "kapid/cel/cel.h"
#include "kapid/cel/lib.h"
#include "kapid/schema/pattern.h"
#include "lib/fileio.h"

enum { VARIABLES = 4 };
static struct pattern_cache *patterns;
static struct cel_functions *functions;
static struct cel_types *types;
static struct cel_variable variables[VARIABLES];
static struct cel_env env;
static json_t *object;

static int setup(void **state) {
        static const char text[] =
                        "{\"type\":\"object\",\"properties\":{\"names\":{\"type\":\"array\","
                        "\"maxItems\":10,\"items\":{\"type\":\"string\",\"maxLength\":10}}}}";
        _cleanup_free_ char *error = NULL;
        _cleanup_json_ json_t *schema = NULL;
        const struct cel_type *type = NULL;

        patterns = pattern_cache_new();
        types = cel_types_new();
        if (cel_functions_new(cel_libraries, patterns, &functions, &error) < 0)
                fail_msg("%s", strempty(error));
        schema = json_loads(text, 0, NULL);
        assert_non_null(schema);
        assert_int_equal(cel_type_from_schema(types, schema, 0, &type), 0);
        variables[0] = (struct cel_variable){"ints", cel_list_type(types, &cel_int_type)};
        variables[1] = (struct cel_variable){"doubles", cel_list_type(types, &cel_double_type)};
        variables[2] = (struct cel_variable){"names", cel_field_find(type, "names", 5)->type};
        variables[3] = (struct cel_variable){"long", &cel_string_type};
        env = (struct cel_env){functions, variables, VARIABLES};
        object = json_loads("{\"names\":[\"first\",\"second\"]}", 0, NULL);
        return 0;
}

static int teardown(void **state) {
        json_decref(object);
        cel_functions_free(functions);
        cel_types_free(types);
        pattern_cache_free(patterns);
        return 0;
}

static struct cel_value evaluate(
                struct cel_run *run, const struct cel_program *p, struct cel_value text) {
        const struct cel_value ints[] = {cel_int(1), cel_int(2), cel_int(3)},
                               doubles[] = {cel_double(0.5)};
        struct cel_value values[VARIABLES] = {cel_list_of(run, ints, ELEMENTS(ints)),
                        cel_list_of(run, doubles, ELEMENTS(doubles)),
                        cel_from_json(run, json_object_get(object, "names"), variables[2].type),
                        text};

        return cel_eval(run, p, values);
}

static const struct cel_limits limits = {0};

/* --- the table --- */

struct row {
        char *expression, *want;
        char mark;
};

static bool split(char *line, struct row *ret) {
        static const char *const marks[] = {" ==> ", " ==! ", " ==? ", " ==$ "};

        for (size_t i = 0; i < ELEMENTS(marks); i++) {
                char *at = strstr(line, marks[i]);

                if (!at)
                        continue;
                *at = '\0';
                *ret = (struct row){.expression = line, .want = at + 5, .mark = marks[i][3]};
                return true;
        }
        return false;
}

static unsigned complaints;

/* All that is wrong with the table in one run. */
static void _printf_(1, 2) complain(const char *fmt, ...) {
        char text[1000];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        print_error("%s\n", text);
        complaints++;
}

static void check_cost(const struct row *r, struct cel_run *run, const struct cel_program *p) {
        struct cel_range estimate = cel_program_estimate(p);
        char got[100];

        if (estimate.max == UINT64_MAX)
                snprintf(got, sizeof(got), "%llu %llu *", (unsigned long long)cel_run_cost(run),
                                (unsigned long long)estimate.min);
        else
                snprintf(got, sizeof(got), "%llu %llu %llu", (unsigned long long)cel_run_cost(run),
                                (unsigned long long)estimate.min, (unsigned long long)estimate.max);
        if (!streq(got, r->want))
                complain("%s: costs %s, not %s", r->expression, got, r->want);
}

static void check_value(const struct row *r, struct cel_run *run, struct cel_value got) {
        _cleanup_cel_findings_ struct cel_findings f = {};
        _cleanup_(cel_program_freep) struct cel_program *wanted = NULL;
        struct cel_value want, same;

        if (cel_is_error(got)) {
                complain("%s: %.*s", r->expression, (int)got.text.size, got.text.data);
                return;
        }
        if (cel_compile(&env, r->want, strlen(r->want), &wanted, &f) < 0) {
                complain("%s: %s", r->want, strempty(f.text));
                return;
        }
        want = evaluate(run, wanted, cel_string_at("", 0));
        same = cel_equal(run, got, want);
        if (got.kind == CEL_STRING && want.kind == CEL_STRING && !same.boolean)
                complain("%s gives '%.*s'", r->expression, (int)got.text.size, got.text.data);
        if (got.kind != want.kind || cel_is_error(same) || !same.boolean)
                complain("%s is not %s (kinds %d and %d)", r->expression, r->want, got.kind,
                                want.kind);
}

static void check_row(const struct row *r) {
        _cleanup_cel_findings_ struct cel_findings f = {};
        _cleanup_(cel_program_freep) struct cel_program *p = NULL;
        _cleanup_(cel_run_freep) struct cel_run *run = NULL;
        _cleanup_free_ char *text = NULL;
        struct cel_value got;

        if (cel_compile(&env, r->expression, strlen(r->expression), &p, &f) < 0) {
                if (r->mark != '?' || !strstr(f.text, r->want))
                        complain("%s: %s", r->expression, strempty(f.text));
                return;
        }
        if (r->mark == '?') {
                complain("%s: was compiled", r->expression);
                return;
        }
        assert_int_equal(cel_run_new(functions, &limits, &run), 0);
        got = evaluate(run, p, cel_string_at("", 0));
        if (r->mark == '$') {
                check_cost(r, run, p);
                return;
        }
        if (r->mark == '>') {
                check_value(r, run, got);
                return;
        }
        if (!cel_is_error(got)) {
                complain("%s: no error", r->expression);
                return;
        }
        text = strndup(got.text.data, got.text.size);
        if (!strstr(text, r->want))
                complain("%s: wanted %s, got %s", r->expression, r->want, text);
}

static void test_table(void **state) {
        _cleanup_free_ char *text = NULL;
        _cleanup_free_ char *path =
                        strformat("%s/tests/unit/cel/libraries.txt", getenv("KEELSON_SRCDIR"));
        size_t size = 0, rows = 0;
        char *rest;

        assert_int_equal(file_read(path, 1 << 20, &text, &size), 0);
        rest = text;
        for (char *line; (line = strsep(&rest, "\n"));) {
                struct row r;

                if (!*line || startswith(line, "# "))
                        continue;
                if (!split(line, &r))
                        fail_msg("no case: %s", line);
                check_row(&r);
                rows++;
        }
        assert_int_equal(complaints, 0);
        assert_true(rows > 400);
}

/* --- hostile arguments --- */

/* Of the expressions each ends within its budget and memory, whatever it gives. */
static const char *const greedy[] = {
                "long.replace('', long)",
                "long.split('').join(long)",
                "long.split('').sort()",
                "long.split('').distinct()",
                "sets.contains(long.split(''), long.split('').map(x, x + 'b'))",
                "sets.equivalent(long.split(''), long.split(''))",
                "long.lastIndexOf(long.substring(50000) + 'b')",
                "long.indexOf(long.substring(50000) + 'b')",
                "long.findAll('')",
                "long.findAll('a*b')",
                "long.findAll('(a|aa)+$')",
                "'%s'.format([long.split('').map(x, long)])",
                "'%s'.format([[long, long].map(x, [x, x, x, x]).map(x, [x, x, x, x])])",
                "lists.range(9223372036854775807)",
                "lists.range(500000).map(x, lists.range(500000))",
                "dyn([[], []]).map(x, [x, x, x, x]).map(x, [x, x, x, x]).flatten(100)",
                "[['']].map(a, [a, a, a, a, a, a, a, a]).map(a, [a, a, a, a, a, a, a, a])"
                ".map(a, [a, a, a, a, a, a, a, a]).map(a, [a, a, a, a, a, a, a, a])"
                ".map(a, [a, a, a, a, a, a, a, a]).map(a, [a, a, a, a, a, a, a, a])"
                ".map(a, [a, a, a, a, a, a, a, a]).map(a, [a, a, a, a, a, a, a, a])"
                ".map(a, [a, a, a, a, a, a, a, a]).map(a, [a, a, a, a, a, a, a, a]).indexOf([])",
                "quantity(long.replace('a', '9'))",
                "quantity('0.' + long.replace('a', '9') + 'Ei')",
                "quantity('1e999999999999999999999').add(quantity('1e-999999999999999'))",
                "semver('1.0.0-' + long.replace('a', 'a.') + 'a')",
                "url('https://' + long + '/?' + long.replace('a', 'a&')).getQuery()",
                "url('/' + long.replace('a', '%ff'))",
                "ip(long)",
                "cidr(long + '/8')",
                "long.find('(((a{1,30}){1,30})b)')",
                "'%.1000f'.format([1e308])",
                "strings.quote(long.replace('a', '\\\\'))",
};

static void test_bounds(void **state) {
        _cleanup_free_ char *text = malloc(100000);

        memset(text, 'a', 100000);
        for (size_t i = 0; i < ELEMENTS(greedy); i++) {
                _cleanup_cel_findings_ struct cel_findings f = {};
                _cleanup_(cel_program_freep) struct cel_program *p = NULL;
                _cleanup_(cel_run_freep) struct cel_run *run = NULL;

                if (cel_compile(&env, greedy[i], strlen(greedy[i]), &p, &f) < 0)
                        fail_msg("%s: %s", greedy[i], strempty(f.text));
                assert_int_equal(cel_run_new(functions, &limits, &run), 0);
                (void)evaluate(run, p, cel_string_at(text, 100000));
        }
}

/* --- calls that nobody would write --- */

static uint64_t seed = 1;

static unsigned pick(unsigned below) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (unsigned)(seed >> 33) % below;
}

/* Texts that mean something to one of the libraries, cut and put together anew. */
static struct cel_value random_text(struct cel_run *run) {
        static const char *const pieces[] = {"", "a", "ÿ", "\xf0\x9f\x98\x80", "\xe2\x80\x8b", "%",
                        "%s", "%.3", "%e", "%2", "%zz", "1.2.3", "v", "-", "+", ".", "/", "//",
                        "https:", ":", "[", "]", "@", "?", "#", "&", "=", ";", "*", "(", ")", "\\",
                        "::", "ffff", "10.0.0.1", "/8", "%25", "0", "9", "99999999999999999999",
                        "Ki", "m", "e", "E", "1e", "-1", "\n", " ", "\x01", "2021-01-01",
                        "T00:00:00Z", "aGVsbG8=", "^", "$", "|", "{1,3}", "\\p{L}", "(?i)"};
        _cleanup_buf_ struct buf b = {0};

        for (unsigned n = pick(6); n > 0; n--)
                buf_append_str(&b, pieces[pick(ELEMENTS(pieces))]);
        if (pick(20) == 0)
                buf_append_char(&b, '\0');
        return cel_string(run, strempty(b.data), b.size);
}

static struct cel_value random_value(struct cel_run *run, unsigned depth);

static struct cel_value random_list(struct cel_run *run, unsigned depth) {
        struct cel_value items[4];
        unsigned count = pick(ELEMENTS(items) + 1), same = pick(2);

        for (unsigned i = 0; i < count; i++)
                items[i] = same && i > 0 ? items[0] : random_value(run, depth + 1);
        return cel_list_of(run, items, count);
}

static struct cel_value random_value(struct cel_run *run, unsigned depth) {
        static const int64_t numbers[] = {0, 1, -1, 2, 3, 7, 1000, INT64_MAX, INT64_MIN};
        struct cel_value map = cel_map_empty(run);

        switch (pick(depth > 3 ? 9 : 11)) {
        case 0:
                return cel_null();
        case 1:
                return cel_bool(pick(2));
        case 2:
                return cel_int(numbers[pick(ELEMENTS(numbers))]);
        case 3:
                return cel_uint((uint64_t)numbers[pick(ELEMENTS(numbers))]);
        case 4:
                return cel_double(pick(2) ? (double)pick(100) / 7 : 0.0 / 0.0);
        case 5:
                return cel_duration(numbers[pick(ELEMENTS(numbers))]);
        case 6:
                return cel_timestamp(pick(1000000), pick(1000));
        case 7:
                return cel_bytes_at("\xff\x00x", 3);
        case 9:
                return random_list(run, depth);
        case 10:
                return cel_map_insert(run, map, random_text(run), random_value(run, depth + 1));
        default:
                return random_text(run);
        }
}

/* A value of the kind that the signature asks for; opaque ones are what functions gave before. */
static bool argument(struct cel_run *run, const char *type, const struct cel_value *given,
                size_t count, struct cel_value *ret) {
        if (startswith(type, "string"))
                *ret = random_text(run);
        else if (startswith(type, "list("))
                *ret = random_list(run, 0);
        else if (startswith(type, "int"))
                *ret = cel_int((int64_t)pick(12) - 3);
        else if (startswith(type, "bool"))
                *ret = cel_bool(pick(2));
        else if (strchr(type, '.'))
                for (size_t i = 0; i < count; i++) {
                        const char *name = given[i].opaque.class->type.name;

                        if (strncmp(type, name, strlen(name)) == 0) {
                                *ret = given[i];
                                return true;
                        }
                }
        else
                *ret = random_value(run, 0);
        return !startswith(type, "kubernetes.") && !startswith(type, "net.");
}

/* Splits "(A, list(B)) -> C" at the commas outside parentheses. */
static size_t parameters(char *signature, char *ret[static 4]) {
        unsigned depth = 0;
        size_t count = 0;
        char *start = signature + 1;

        for (char *c = signature; *c; c++) {
                depth += *c == '(';
                depth -= *c == ')';
                if ((depth == 1 && *c == ',') || (depth == 0 && c > start - 1)) {
                        bool last = *c == ')';

                        *c = '\0';
                        start += *start == ' ';
                        if (*start && count < 4)
                                ret[count++] = start;
                        start = c + 1;
                        if (last)
                                break;
                }
        }
        return count;
}

enum { KEPT = 32 };

static void call_row(struct cel_run *run, const struct cel_row *row, struct cel_value *kept,
                size_t *count) {
        _cleanup_free_ char *signature = strdup(row->signature);
        struct cel_value args[4], result;
        struct cel_range sizes[8] = {}, cost = {1, 1}, size = {0, UINT64_MAX};
        char *names[4];
        size_t n = parameters(signature, names);

        for (size_t i = 0; i < n; i++)
                if (!argument(run, names[i], kept, MIN(*count, (size_t)KEPT), &args[i]))
                        return;
        result = row->call(run, args, n);
        if (row->cost)
                assert_true(row->cost(args, n, &result) < UINT64_C(1) << 40);
        if (row->estimate)
                row->estimate(sizes, n, &cost, &size);
        assert_true(cost.min <= cost.max);
        if (result.kind == CEL_STRING && !memchr(result.text.data, '\0', result.text.size))
                assert_true(utf8_is_valid(result.text.data, result.text.size));
        if (result.kind == CEL_OPTIONAL && result.inner)
                result = *result.inner;
        if (result.kind == CEL_OPAQUE)
                kept[(*count)++ % KEPT] = result;
}

static void test_random(void **state) {
        const struct cel_library *const libraries[] = {&cel_library_strings,
                        &cel_library_string_format, &cel_library_lists, &cel_library_lists_more,
                        &cel_library_sets, &cel_library_regex, &cel_library_url, &cel_library_ip,
                        &cel_library_cidr, &cel_library_quantity, &cel_library_format,
                        &cel_library_semver};

        for (unsigned round = 0; round < 300; round++) {
                _cleanup_(cel_run_freep) struct cel_run *run = NULL;
                struct cel_value kept[KEPT];
                size_t count = 0;

                assert_int_equal(cel_run_new(functions, &limits, &run), 0);
                for (size_t i = 0; i < ELEMENTS(libraries); i++)
                        for (size_t k = 0; k < libraries[i]->row_count; k++)
                                for (unsigned again = 0; again < 3; again++)
                                        call_row(run, &libraries[i]->rows[k], kept, &count);
                assert_true(count > 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_table),
                        cmocka_unit_test(test_bounds),
                        cmocka_unit_test(test_random),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
