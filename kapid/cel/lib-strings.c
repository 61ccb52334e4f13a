/* cel-go's extended functions on strings, as Kubernetes has them (version 2: without reverse).
 * Positions are code points. Parts of a text are given in place, without a copy. */
#include "kapid/cel/lib.h"

static struct cel_value out_of_range(struct cel_run *run, int64_t index) {
        return cel_error(run, "index out of range: %lld", (long long)index);
}

/* The byte at which the code point of that number starts; the size when it is one more than the
 * last; SIZE_MAX beyond. */
static size_t byte_of(struct cel_value text, int64_t index) {
        size_t at = 0;

        for (; index > 0 && at < text.text.size; index--)
                at += cel_code_point_size(cel_text_from(text, at));
        return index > 0 ? SIZE_MAX : at;
}

/* How many code points are before the byte. */
static int64_t index_of(struct cel_value text, size_t byte) {
        return (int64_t)cel_string_length(cel_string_at(text.text.data, byte));
}

static struct cel_value char_at(struct cel_run *run, const struct cel_value *args, size_t n) {
        int64_t index = args[1].integer;
        size_t at = index < 0 ? SIZE_MAX : byte_of(args[0], index);
        struct cel_value rest;

        if (at == SIZE_MAX)
                return out_of_range(run, index);
        rest = cel_text_from(args[0], at);
        return cel_string_at(rest.text.data, rest.text.size > 0 ? cel_code_point_size(rest) : 0);
}

/* Going through both once, whatever they are: memmem() is linear. */
static size_t find(struct cel_value text, size_t from, struct cel_value part) {
        const char *found = memmem(text.text.data + from, text.text.size - from, part.text.data,
                        part.text.size);

        return found ? (size_t)(found - text.text.data) : SIZE_MAX;
}

static struct cel_value first_index(struct cel_run *run, const struct cel_value *args, size_t n) {
        int64_t offset = n > 2 ? args[2].integer : 0;
        size_t from, found;

        if (offset < 0)
                return out_of_range(run, offset);
        from = byte_of(args[0], offset);
        if (args[1].text.size == 0)
                return cel_int(from == SIZE_MAX ? (int64_t)cel_string_length(args[0]) : offset);
        found = from == SIZE_MAX ? SIZE_MAX : find(args[0], from, args[1]);
        return cel_int(found == SIZE_MAX ? -1 : index_of(args[0], found));
}

static char *backwards(struct cel_run *run, const char *data, size_t n) {
        char *copy = cel_alloc(run, n);

        for (size_t i = 0; copy && i < n; i++)
                copy[i] = data[n - 1 - i];
        return copy;
}

/* The last place within the first `end` bytes; both are turned around to stay linear. */
static bool find_last(struct cel_run *run, struct cel_value text, size_t end, struct cel_value part,
                size_t *ret) {
        char *t = backwards(run, text.text.data, end);
        char *p = backwards(run, part.text.data, part.text.size);
        const char *found;

        if (!t || !p)
                return false;
        found = memmem(t, end, p, part.text.size);
        *ret = found ? end - (size_t)(found - t) - part.text.size : SIZE_MAX;
        return true;
}

static struct cel_value last_index(struct cel_run *run, const struct cel_value *args, size_t n) {
        int64_t length = (int64_t)cel_string_length(args[0]),
                part = (int64_t)cel_string_length(args[1]), offset = length - 1;
        size_t found;

        if (n > 2) {
                offset = args[2].integer;
                if (offset < 0)
                        return out_of_range(run, offset);
                if (part == 0)
                        return cel_int(MIN(offset, length));
                if (offset >= length)
                        return cel_int(-1);
        } else if (part == 0)
                return cel_int(length);
        if (part > length)
                return cel_int(-1);
        offset = MIN(offset, length - part);
        if (!find_last(run, args[0], byte_of(args[0], offset + part), args[1], &found))
                return cel_no_memory(run);
        return cel_int(found == SIZE_MAX ? -1 : index_of(args[0], found));
}

static struct cel_value with_case(struct cel_run *run, struct cel_value text, char from, char to) {
        char *copy = cel_alloc(run, text.text.size);

        if (!copy)
                return cel_no_memory(run);
        for (size_t i = 0; i < text.text.size; i++) {
                char c = text.text.data[i];

                copy[i] = c >= from && c <= from + 25 ? (char)(c - from + to) : c;
        }
        return cel_string_at(copy, text.text.size);
}

static struct cel_value lower(struct cel_run *run, const struct cel_value *args, size_t n) {
        return with_case(run, args[0], 'A', 'a');
}

static struct cel_value upper(struct cel_run *run, const struct cel_value *args, size_t n) {
        return with_case(run, args[0], 'a', 'A');
}

/* --- replace, split, join --- */

/* Where the next piece ends from `from` on: at the separator, or for an empty one behind a code
 * point. SIZE_MAX: none is left. */
static size_t next_place(struct cel_value text, size_t from, struct cel_value separator) {
        if (separator.text.size > 0)
                return from > text.text.size ? SIZE_MAX : find(text, from, separator);
        return from >= text.text.size ? SIZE_MAX
                                      : from + cel_code_point_size(cel_text_from(text, from));
}

static size_t count_places(struct cel_value text, struct cel_value part, size_t most) {
        size_t count = 0;

        if (part.text.size == 0)
                return MIN(cel_string_length(text) + 1, most);
        for (size_t at = 0; count < most && (at = find(text, at, part)) != SIZE_MAX;
                        at += part.text.size)
                count++;
        return count;
}

static void copy_replaced(char *to, const struct cel_value *args, size_t count) {
        struct cel_value text = args[0], old = args[1], new = args[2];
        size_t start = 0;

        for (size_t i = 0; i < count; i++) {
                size_t end = old.text.size == 0 && i == 0 ? 0 : next_place(text, start, old);

                to = mempcpy(to, text.text.data + start, end - start);
                to = mempcpy(to, new.text.data, new.text.size);
                start = end + old.text.size;
        }
        memcpy(to, text.text.data + start, text.text.size - start);
}

static struct cel_value replace(struct cel_run *run, const struct cel_value *args, size_t n) {
        size_t most = n > 3 && args[3].integer >= 0 ? (size_t)args[3].integer : SIZE_MAX;
        size_t count = count_places(args[0], args[1], most);
        uint64_t size = cel_cost_add(args[0].text.size - count * args[1].text.size,
                        cel_cost_multiply(count, args[2].text.size));
        char *copy;

        if (count == 0)
                return args[0];
        copy = size <= CEL_TEXT_RESULT_MAX ? cel_alloc(run, size) : NULL;
        if (!copy)
                return cel_no_memory(run);
        copy_replaced(copy, args, count);
        return cel_string_at(copy, size);
}

static size_t split_count(struct cel_value text, struct cel_value separator, int64_t limit) {
        size_t most = limit < 0 ? SIZE_MAX : (size_t)limit, count;

        if (most == 0)
                return 0;
        if (separator.text.size == 0)
                return MIN(cel_string_length(text), most);
        count = count_places(text, separator, most - 1);
        return count + 1;
}

static struct cel_value split(struct cel_run *run, const struct cel_value *args, size_t n) {
        size_t count = split_count(args[0], args[1], n > 2 ? args[2].integer : -1), start = 0;
        struct cel_value *items = cel_alloc(run, MAX(count, (size_t)1) * sizeof(*items));

        if (!items)
                return cel_no_memory(run);
        for (size_t i = 0; i + 1 < count; i++) {
                size_t end = next_place(args[0], start, args[1]);

                items[i] = cel_string_at(args[0].text.data + start, end - start);
                start = end + args[1].text.size;
        }
        if (count > 0)
                items[count - 1] = cel_text_from(args[0], start);
        return cel_list_of(run, items, count);
}

static struct cel_value join(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct cel_value separator = n > 1 ? args[1] : cel_string_at("", 0);
        size_t count = cel_list_count(args[0]);
        uint64_t size = 0;
        char *text, *to;

        for (size_t i = 0; i < count; i++) {
                struct cel_value item = cel_list_at(run, args[0], i);

                if (cel_is_error(item))
                        return item;
                if (item.kind != CEL_STRING)
                        return cel_error(run, "join: invalid input: a value that is no string");
                size = cel_cost_add(size, item.text.size + (i > 0 ? separator.text.size : 0));
        }
        to = text = size <= CEL_TEXT_RESULT_MAX ? cel_alloc(run, size) : NULL;
        if (!text)
                return cel_no_memory(run);
        for (size_t i = 0; i < count; i++) {
                struct cel_value item = cel_list_at(run, args[0], i);

                if (i > 0)
                        to = mempcpy(to, separator.text.data, separator.text.size);
                to = mempcpy(to, item.text.data, item.text.size);
        }
        return cel_string_at(text, size);
}

/* --- quote, substring, trim --- */

static struct cel_value quote(struct cel_run *run, const struct cel_value *args, size_t n) {
        static const char named[] = "\a\b\f\n\r\t\v\\\"", names[] = "abfnrtv\\\"";
        struct cel_value text = args[0];
        char *copy = cel_alloc(run, text.text.size * 2 + 2), *to = copy;

        if (!copy)
                return cel_no_memory(run);
        *to++ = '"';
        for (size_t i = 0; i < text.text.size; i++) {
                char c = text.text.data[i];
                const char *known = c ? strchr(named, c) : NULL;

                if (known)
                        *to++ = '\\';
                *to++ = known ? names[known - named] : c;
        }
        *to++ = '"';
        return cel_string_at(copy, (size_t)(to - copy));
}

static struct cel_value substring(struct cel_run *run, const struct cel_value *args, size_t n) {
        int64_t start = args[1].integer, end = n > 2 ? args[2].integer : INT64_MAX;
        size_t from, to = args[0].text.size;

        if (start > end)
                return cel_error(run, "invalid substring range. start: %lld, end: %lld",
                                (long long)start, (long long)end);
        from = start < 0 ? SIZE_MAX : byte_of(args[0], start);
        if (from == SIZE_MAX)
                return out_of_range(run, start);
        if (n > 2)
                to = byte_of(args[0], end);
        if (to == SIZE_MAX)
                return out_of_range(run, end);
        return cel_string_at(args[0].text.data + from, to - from);
}

/* Unicode's white space; the text has no NUL where it matters. */
static bool is_space(const char *s, size_t n) {
        static const char *const wide[] = {"\xc2\x85", "\u00a0", "\u1680", "\u2000", "\u2001",
                        "\u2002", "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008",
                        "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};

        if (n == 1)
                return *s == ' ' || (*s >= '\t' && *s <= '\r');
        for (size_t i = 0; i < ELEMENTS(wide); i++)
                if (strlen(wide[i]) == n && memcmp(wide[i], s, n) == 0)
                        return true;
        return false;
}

static struct cel_value trim(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct cel_value text = args[0];

        while (text.text.size > 0) {
                size_t size = cel_code_point_size(text);

                if (!is_space(text.text.data, size))
                        break;
                text = cel_text_from(text, size);
        }
        while (text.text.size > 0) {
                size_t at = text.text.size - 1;

                while (at > 0 && ((unsigned char)text.text.data[at] & 0xc0) == 0x80)
                        at--;
                if (!is_space(text.text.data + at, text.text.size - at))
                        break;
                text.text.size = at;
        }
        return text;
}

/* --- costs --- */

static uint64_t cost_index(const struct cel_value *args, size_t n, const struct cel_value *result) {
        return args[0].text.size / 10;
}

static uint64_t cost_join(const struct cel_value *args, size_t n, const struct cel_value *result) {
        return cel_cost_text(cel_cost_multiply(cel_size_for_cost(*result), 2));
}

static void estimate_index(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        *ret_cost = cel_range_text(args[0]);
}

static uint64_t divide_up(uint64_t a, uint64_t b) {
        return a / b + (a % b != 0);
}

/* The longest and the shortest result: Kubernetes' model. */
static void estimate_replace(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        struct cel_range text = args[0], old = args[1], new = args[2], count = {}, kept = {};

        if (old.min == 0) {
                count.max = cel_cost_add(text.max, 1);
                kept.max = text.max;
        } else if (new.max <= old.min)
                kept.max = text.max;
        else
                count.max = divide_up(text.max, old.min);
        if (old.max == 0) {
                count.min = cel_cost_add(text.min, 1);
                kept.min = text.min;
        } else if (old.max <= new.min)
                kept.min = text.min;
        else
                count.min = divide_up(text.min, old.max);
        *ret_cost = cel_range_texts(text, 2);
        *ret_size = cel_range_add(cel_range_multiply(count, new), kept);
}

static void estimate_split(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        struct cel_range limit =
                        n > 2 ? cel_range_of_items(args, n, 2) : (struct cel_range){0, UINT64_MAX};

        *ret_cost = cel_range_texts(args[0], 2);
        *ret_size = (struct cel_range){0, limit.max == UINT64_MAX ? args[0].max : limit.max};
}

static void estimate_join(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        struct cel_range size = cel_range_multiply(args[0], cel_range_of_items(args, n, 0));
        struct cel_range between = {args[0].min > 0 ? args[0].min - 1 : 0,
                        args[0].max > 0 ? args[0].max - 1 : 0};

        if (n > 1)
                size = cel_range_add(size, cel_range_multiply(args[1], between));
        *ret_cost = cel_range_text(size);
        *ret_size = size;
}

static void estimate_quote(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        *ret_cost = cel_range_text(args[0]);
        *ret_size = (struct cel_range){cel_cost_add(args[0].min, 2),
                        cel_cost_add(cel_cost_multiply(args[0].max, 2), 2)};
}

#define MEMBER(name, signature, function, cost, estimate, overload) \
        { name, CEL_MEMBER, signature, function, cost, estimate, overload }

static const struct cel_row rows[] = {
                MEMBER("charAt", "(string, int) -> string", char_at, NULL, NULL,
                                "string_char_at_int"),
                MEMBER("indexOf", "(string, string) -> int", first_index, cost_index,
                                estimate_index, "string_index_of_string"),
                MEMBER("indexOf", "(string, string, int) -> int", first_index, cost_index,
                                estimate_index, "string_index_of_string_int"),
                MEMBER("lastIndexOf", "(string, string) -> int", last_index, cost_index,
                                estimate_index, "string_last_index_of_string"),
                MEMBER("lastIndexOf", "(string, string, int) -> int", last_index, cost_index,
                                estimate_index, "string_last_index_of_string_int"),
                MEMBER("lowerAscii", "(string) -> string", lower, cel_cost_of_first,
                                cel_estimate_first, "string_lower_ascii"),
                MEMBER("upperAscii", "(string) -> string", upper, cel_cost_of_first,
                                cel_estimate_first, "string_upper_ascii"),
                MEMBER("replace", "(string, string, string) -> string", replace,
                                cel_cost_of_first_twice, estimate_replace,
                                "string_replace_string_string"),
                MEMBER("replace", "(string, string, string, int) -> string", replace,
                                cel_cost_of_first_twice, estimate_replace,
                                "string_replace_string_string_int"),
                MEMBER("split", "(string, string) -> list(string)", split, cel_cost_of_first_twice,
                                estimate_split, "string_split_string"),
                MEMBER("split", "(string, string, int) -> list(string)", split,
                                cel_cost_of_first_twice, estimate_split, "string_split_string_int"),
                MEMBER("join", "(list(string)) -> string", join, cost_join, estimate_join,
                                "list_join"),
                MEMBER("join", "(list(string), string) -> string", join, cost_join, estimate_join,
                                "list_join_string"),
                MEMBER("substring", "(string, int) -> string", substring, cel_cost_of_first,
                                cel_estimate_first, "string_substring_int"),
                MEMBER("substring", "(string, int, int) -> string", substring, cel_cost_of_first,
                                cel_estimate_first, "string_substring_int_int"),
                MEMBER("trim", "(string) -> string", trim, cel_cost_of_first, cel_estimate_first,
                                "string_trim"),
                {"strings.quote", 0, "(string) -> string", quote, cel_cost_of_first, estimate_quote,
                                "strings_quote"},
};

const struct cel_library cel_library_strings = {
                .name = "strings", .rows = rows, .row_count = ELEMENTS(rows)};
