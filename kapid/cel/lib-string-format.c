/* format() of strings: printf-like, in the words and with the oddities of cel-go's version for an
 * American locale (numbers in groups of three, powers of ten in small digits). What it makes is
 * bounded; values whose parts are shared are written each time. */
#include <math.h>

#include "kapid/cel/internal.h"
#include "kapid/cel/lib.h"

/* cel-go has no bound; more digits than these say nothing. */
enum { PRECISION = 6, PRECISION_MAX = 1000, DEPTH_MAX = 200 };

struct writer {
        struct cel_run *run;
        struct buf text;
        struct cel_value error; /* kind CEL_ERROR from the start; with a text when it failed */
        unsigned depth;
};

static bool fail(struct writer *w, struct cel_value error) {
        w->error = error;
        return false;
}

static bool put(struct writer *w, const char *data, size_t n) {
        if (!cel_work(w->run, n))
                return fail(w, cel_spent(w->run));
        if (w->text.size + n > CEL_TEXT_RESULT_MAX || buf_append(&w->text, data, n) < 0)
                return fail(w, cel_no_memory(w->run));
        return true;
}

static bool put_str(struct writer *w, const char *s) {
        return put(w, s, strlen(s));
}

/* As Go's %q writes it. */
static bool put_quoted(struct writer *w, struct cel_value v) {
        static const char named[] = "\a\b\f\n\r\t\v\\\"", names[] = "abfnrtv\\\"";
        char escaped[8];
        size_t from = 0;

        if (!put_str(w, "\""))
                return false;
        for (size_t i = 0; i < v.text.size; i++) {
                unsigned char c = (unsigned char)v.text.data[i];
                const char *known = c ? strchr(named, c) : NULL;

                if (!known && c >= ' ' && c != 0x7f)
                        continue;
                if (known)
                        snprintf(escaped, sizeof(escaped), "\\%c", names[known - named]);
                else
                        snprintf(escaped, sizeof(escaped), "\\x%02x", c);
                if (!put(w, v.text.data + from, i - from) || !put_str(w, escaped))
                        return false;
                from = i + 1;
        }
        return put(w, v.text.data + from, v.text.size - from) && put_str(w, "\"");
}

static bool put_number(struct writer *w, struct cel_value v) {
        char text[32];

        if (v.kind == CEL_INT)
                snprintf(text, sizeof(text), "%lld", (long long)v.integer);
        else
                snprintf(text, sizeof(text), "%llu", (unsigned long long)v.natural);
        return put_str(w, text);
}

/* Doubles within lists and maps: as a literal, or what is none in quotes. */
static bool put_inner_double(struct writer *w, double d) {
        char text[352];

        if (!isfinite(d))
                return put_str(w, isnan(d) ? "\"NaN\"" : d > 0 ? "\"+Inf\"" : "\"-Inf\"");
        snprintf(text, sizeof(text), "%.6f", d);
        return put_str(w, text);
}

/* What string() gives. */
static bool put_converted(struct writer *w, struct cel_value v) {
        v = cel_text_of(w->run, v);
        return v.kind == CEL_STRING ? put(w, v.text.data, v.text.size) : fail(w, v);
}

/* The name at run time, where a list is a list. */
static const char *type_name(const struct cel_type *type) {
        static const char *const names[] = {[CEL_TYPE_DYN] = "dyn",
                        [CEL_TYPE_NULL] = "null_type",
                        [CEL_TYPE_BOOL] = "bool",
                        [CEL_TYPE_INT] = "int",
                        [CEL_TYPE_UINT] = "uint",
                        [CEL_TYPE_DOUBLE] = "double",
                        [CEL_TYPE_STRING] = "string",
                        [CEL_TYPE_BYTES] = "bytes",
                        [CEL_TYPE_LIST] = "list",
                        [CEL_TYPE_MAP] = "map",
                        [CEL_TYPE_OBJECT] = "object",
                        [CEL_TYPE_TIMESTAMP] = "google.protobuf.Timestamp",
                        [CEL_TYPE_DURATION] = "google.protobuf.Duration",
                        [CEL_TYPE_TYPE] = "type",
                        [CEL_TYPE_OPTIONAL] = "optional_type"};

        if (type->name)
                return type->name;
        return type->kind < ELEMENTS(names) ? names[type->kind] : "dyn";
}

static bool put_list(struct writer *w, struct cel_value list);
static bool put_map(struct writer *w, struct cel_value map);

static bool put_inner(struct writer *w, struct cel_value v) {
        struct cel_value text;

        switch (v.kind) {
        case CEL_ERROR:
                return fail(w, v);
        case CEL_NULL:
                return put_str(w, "null");
        case CEL_BOOL:
                return put_str(w, v.boolean ? "true" : "false");
        case CEL_INT:
        case CEL_UINT:
                return put_number(w, v);
        case CEL_DOUBLE:
                return put_inner_double(w, v.real);
        case CEL_STRING:
                return put_quoted(w, v);
        case CEL_BYTES:
                text = cel_text_of(w->run, v);
                if (cel_is_error(text))
                        return fail(w, text);
                return put_str(w, "b") && put_quoted(w, text);
        case CEL_TIMESTAMP:
        case CEL_DURATION:
                text = cel_text_of(w->run, v);
                if (cel_is_error(text))
                        return fail(w, text);
                return put_str(w, v.kind == CEL_DURATION ? "duration(" : "timestamp(") &&
                       put_quoted(w, text) && put_str(w, ")");
        case CEL_LIST:
                return put_list(w, v);
        case CEL_MAP:
                return put_map(w, v);
        case CEL_TYPE:
                return put_str(w, type_name(v.type));
        default:
                return fail(w, cel_error(w->run,
                                               "error during formatting: no formatting function "
                                               "for %s",
                                               type_name(cel_type_of(v))));
        }
}

static bool deeper(struct writer *w) {
        if (++w->depth > DEPTH_MAX)
                return fail(w, cel_error(w->run, "error during formatting: the value is too deep"));
        return true;
}

static bool put_list(struct writer *w, struct cel_value list) {
        if (!deeper(w) || !put_str(w, "["))
                return false;
        for (size_t i = 0, n = cel_list_count(list); i < n; i++)
                if ((i > 0 && !put_str(w, ", ")) || !put_inner(w, cel_list_at(w->run, list, i)))
                        return false;
        w->depth--;
        return put_str(w, "]");
}

struct entry {
        struct cel_value key_text, value;
};

static int entry_compare(const void *a, const void *b) {
        struct cel_value x = ((const struct entry *)a)->key_text,
                         y = ((const struct entry *)b)->key_text;
        int r = memcmp(x.text.data, y.text.data, MIN(x.text.size, y.text.size));

        return r != 0 ? r : (x.text.size > y.text.size) - (x.text.size < y.text.size);
}

/* The key as it is written, taken out of the text again: entries are sorted by it. */
static bool key_text(struct writer *w, struct cel_value key, struct cel_value *ret) {
        size_t from = w->text.size;

        if (!put_inner(w, key))
                return false;
        *ret = cel_string(w->run, w->text.data + from, w->text.size - from);
        w->text.size = from;
        return !cel_is_error(*ret) || fail(w, *ret);
}

static bool put_map(struct writer *w, struct cel_value map) {
        size_t count = cel_map_count(map), n = 0;
        struct entry *entries = cel_alloc(w->run, MAX(count, (size_t)1) * sizeof(*entries));
        struct cel_map_at at = {};
        struct cel_value key, value;

        if (!entries)
                return fail(w, cel_no_memory(w->run));
        if (!deeper(w) || !put_str(w, "{"))
                return false;
        while (n < count && cel_map_next(w->run, map, &at, &key, &value)) {
                entries[n].value = value;
                if (!key_text(w, key, &entries[n++].key_text))
                        return false;
        }
        qsort(entries, n, sizeof(*entries), entry_compare);
        for (size_t i = 0; i < n; i++) {
                struct cel_value text = entries[i].key_text;

                if ((i > 0 && !put_str(w, ", ")) || !put(w, text.text.data, text.text.size) ||
                                !put_str(w, ":") || !put_inner(w, entries[i].value))
                        return false;
        }
        w->depth--;
        return put_str(w, "}");
}

static bool refuse(struct writer *w, const char *what, struct cel_value v) {
        return fail(w, cel_error(w->run, "error during formatting: %s, was given %s", what,
                                       type_name(cel_type_of(v))));
}

/* --- the clauses: a function each --- */

static bool put_text(struct writer *w, struct cel_value v, int precision) {
        switch (v.kind) {
        case CEL_NULL:
        case CEL_BOOL:
        case CEL_LIST:
        case CEL_MAP:
        case CEL_TYPE:
                return put_inner(w, v);
        case CEL_STRING:
                return put(w, v.text.data, v.text.size);
        case CEL_DOUBLE:
                if (!isfinite(v.real))
                        return put_str(w, isnan(v.real) ? "NaN" : v.real > 0 ? "+Inf" : "-Inf");
                return put_converted(w, v);
        case CEL_INT:
        case CEL_UINT:
        case CEL_BYTES:
        case CEL_TIMESTAMP:
        case CEL_DURATION:
                return put_converted(w, v);
        default:
                return refuse(w,
                                "string clause can only be used on strings, bools, bytes, ints, "
                                "doubles, maps, lists, types, durations, and timestamps",
                                v);
        }
}

static bool put_decimal(struct writer *w, struct cel_value v, int precision) {
        if (v.kind != CEL_INT && v.kind != CEL_UINT)
                return refuse(w, "decimal clause can only be used on integers", v);
        return put_number(w, v);
}

/* A double, or the texts that stand for what JSON does not have. */
static bool as_double(struct cel_value v, double *ret) {
        if (v.kind == CEL_DOUBLE)
                *ret = v.real;
        else if (cel_is_text(v, "NaN"))
                *ret = NAN;
        else if (cel_is_text(v, "Infinity"))
                *ret = INFINITY;
        else if (cel_is_text(v, "-Infinity"))
                *ret = -INFINITY;
        else
                return false;
        return true;
}

static bool put_special(struct writer *w, double d) {
        return put_str(w, isnan(d) ? "NaN" : d > 0 ? "∞" : "-∞");
}

/* Groups of three before the point. */
static bool put_grouped(struct writer *w, const char *text) {
        size_t digits;

        if (*text == '-' && !put(w, text++, 1))
                return false;
        digits = strspn(text, "0123456789");
        for (size_t i = 0; i < digits; i++)
                if ((i > 0 && (digits - i) % 3 == 0 && !put_str(w, ",")) || !put(w, text + i, 1))
                        return false;
        return put_str(w, text + digits);
}

static bool put_fixed(struct writer *w, struct cel_value v, int precision) {
        char text[PRECISION_MAX + 352];
        double d;

        if (!as_double(v, &d))
                return refuse(w, "fixed-point clause can only be used on doubles", v);
        if (!isfinite(d))
                return put_special(w, d);
        snprintf(text, sizeof(text), "%.*f", precision, d);
        return put_grouped(w, text);
}

static bool put_scientific(struct writer *w, struct cel_value v, int precision) {
        static const char *const small[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
        char text[PRECISION_MAX + 32], *exponent;
        double d;

        if (!as_double(v, &d))
                return refuse(w, "scientific clause can only be used on doubles", v);
        if (!isfinite(d))
                return put_special(w, d);
        snprintf(text, sizeof(text), "%.*e", precision, d);
        exponent = strchr(text, 'e');
        if (!exponent)
                return fail(w, cel_no_overload(w->run, "format"));
        if (!put(w, text, (size_t)(exponent - text)) || !put_str(w, "\u202f×\u202f10"))
                return false;
        if (exponent[1] == '-' && !put_str(w, "⁻"))
                return false;
        for (exponent += 2; *exponent; exponent++)
                if (!put_str(w, small[*exponent - '0']))
                        return false;
        return true;
}

/* In a base that is a power of two, with the sign before it. */
static bool put_bits(struct writer *w, struct cel_value v, unsigned shift, const char *digits) {
        uint64_t left = v.kind == CEL_INT && v.integer < 0 ? -(uint64_t)v.integer : v.natural;
        char text[66], *at = text + sizeof(text) - 1;

        *at = '\0';
        do {
                *--at = digits[left & ((1u << shift) - 1)];
                left >>= shift;
        } while (left > 0);
        if (v.kind == CEL_INT && v.integer < 0)
                *--at = '-';
        return put_str(w, at);
}

static bool put_binary(struct writer *w, struct cel_value v, int precision) {
        if (v.kind == CEL_BOOL)
                return put_str(w, v.boolean ? "1" : "0");
        if (v.kind != CEL_INT && v.kind != CEL_UINT)
                return refuse(w, "only integers and bools can be formatted as binary", v);
        return put_bits(w, v, 1, "01");
}

static bool put_octal(struct writer *w, struct cel_value v, int precision) {
        if (v.kind != CEL_INT && v.kind != CEL_UINT)
                return refuse(w, "octal clause can only be used on integers", v);
        return put_bits(w, v, 3, "01234567");
}

static bool put_hex(struct writer *w, struct cel_value v, const char *digits) {
        if (v.kind == CEL_INT || v.kind == CEL_UINT)
                return put_bits(w, v, 4, digits);
        if (v.kind != CEL_STRING && v.kind != CEL_BYTES)
                return refuse(w, "only integers, byte buffers, and strings can be formatted as hex",
                                v);
        for (size_t i = 0; i < v.text.size; i++) {
                unsigned char c = (unsigned char)v.text.data[i];

                if (!put(w, (char[]){digits[c >> 4], digits[c & 15]}, 2))
                        return false;
        }
        return true;
}

static bool put_lower_hex(struct writer *w, struct cel_value v, int precision) {
        return put_hex(w, v, "0123456789abcdef");
}

static bool put_upper_hex(struct writer *w, struct cel_value v, int precision) {
        return put_hex(w, v, "0123456789ABCDEF");
}

static const struct {
        char letter;
        bool (*write)(struct writer *w, struct cel_value v, int precision);
} clauses[] = {
                {'s', put_text},
                {'d', put_decimal},
                {'f', put_fixed},
                {'e', put_scientific},
                {'b', put_binary},
                {'x', put_lower_hex},
                {'X', put_upper_hex},
                {'o', put_octal},
};

static bool read_precision(struct writer *w, const char **at, const char *end, int *ret) {
        const char *s = *at;
        int precision = 0;

        *ret = PRECISION;
        if (*s != '.')
                return true;
        for (s++; s < end && *s >= '0' && *s <= '9'; s++)
                precision = MIN(precision * 10 + (*s - '0'), PRECISION_MAX + 1);
        if (s == end)
                return fail(w, cel_error(w->run,
                                               "could not parse formatting clause: error while parsing precision: "
                                               "could not find end of precision specifier"));
        if (s == *at + 1)
                return fail(w, cel_error(w->run,
                                               "could not parse formatting clause: error while parsing precision: "
                                               "error while converting precision to integer: strconv.Atoi: "
                                               "parsing \"\": invalid syntax"));
        if (precision > PRECISION_MAX)
                return fail(w, cel_error(w->run,
                                               "could not parse formatting clause: error while parsing precision: "
                                               "precision exceeds maximum allowed precision %d",
                                               PRECISION_MAX));
        *at = s;
        *ret = precision;
        return true;
}

/* A clause behind its '%'. */
static bool put_clause(struct writer *w, const char **at, const char *end, struct cel_value v) {
        int precision;

        if (!read_precision(w, at, end, &precision))
                return false;
        for (size_t i = 0; i < ELEMENTS(clauses); i++)
                if (clauses[i].letter == **at) {
                        ++*at;
                        return clauses[i].write(w, v, precision);
                }
        return fail(w, cel_error(w->run,
                                       "could not parse formatting clause: unrecognized formatting clause "
                                       "\"%.*s\"",
                                       (int)cel_code_point_size(
                                                       cel_string_at(*at, (size_t)(end - *at))),
                                       *at));
}

static bool put_all(struct writer *w, struct cel_value format, struct cel_value list) {
        const char *at = format.text.data, *end = at + format.text.size;
        size_t used = 0;

        while (at < end) {
                const char *percent = memchr(at, '%', (size_t)(end - at));
                struct cel_value v;

                if (!put(w, at, (size_t)((percent ? percent : end) - at)))
                        return false;
                if (!percent)
                        return true;
                at = percent + 1;
                if (at < end && *at == '%') {
                        if (!put(w, at++, 1))
                                return false;
                        continue;
                }
                if (used >= cel_list_count(list))
                        return fail(w, cel_error(w->run, "index %zu out of range", used));
                if (at == end)
                        return fail(w, cel_error(w->run, "unexpected end of string"));
                v = cel_list_at(w->run, list, used++);
                if (cel_is_error(v))
                        return fail(w, v);
                if (!put_clause(w, &at, end, v))
                        return false;
        }
        return true;
}

static struct cel_value format(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct writer w = {.run = run};
        struct cel_value v;

        if (put_all(&w, args[0], args[1]))
                v = cel_string(run, strempty(w.text.data), w.text.size);
        else
                v = w.error;
        buf_done(&w.text);
        return v;
}

static void estimate(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        *ret_cost = cel_range_text(args[0]);
}

static const struct cel_row rows[] = {
                {"format", CEL_MEMBER, "(string, list(dyn)) -> string", format, cel_cost_of_first,
                                estimate, "string_format"},
};

const struct cel_library cel_library_string_format = {
                .name = "string format", .rows = rows, .row_count = ELEMENTS(rows)};
