/* Semantic versions (semver.org, version 2): Kubernetes' semver(), isSemver() and what they can be
 * asked. Errors are those of the parser that Kubernetes uses (blang/semver). */
#include "kapid/cel/lib.h"

enum { NUMBERS = 3 };
static const char digits[] = "0123456789";
static const char words[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-";

struct version {
        uint64_t numbers[NUMBERS];
        struct cel_value prerelease; /* "alpha.1"; "" none. Build metadata have no order. */
};

static bool of_letters(struct cel_value s, const char *letters) {
        for (size_t i = 0; i < s.text.size; i++)
                if (!s.text.data[i] || !strchr(letters, s.text.data[i]))
                        return false;
        return true;
}

static bool has_leading_zero(struct cel_value s) {
        return s.text.size > 1 && *s.text.data == '0';
}

/* Of digits only; false: none, or more than 64 bits. */
static bool to_number(struct cel_value s, uint64_t *ret) {
        uint64_t value = 0;

        for (size_t i = 0; i < s.text.size; i++)
                if (__builtin_mul_overflow(value, 10, &value) ||
                                __builtin_add_overflow(
                                                value, (uint64_t)(s.text.data[i] - '0'), &value))
                        return false;
        *ret = value;
        return s.text.size > 0;
}

/* The part up to the letter, which is taken off with it; everything when it is not there. */
static struct cel_value take_until(struct cel_value *rest, char letter, bool *ret_found) {
        const char *at = memchr(rest->text.data, letter, rest->text.size);
        size_t n = at ? (size_t)(at - rest->text.data) : rest->text.size;
        struct cel_value part = cel_string_at(rest->text.data, n);

        *rest = cel_text_from(*rest, MIN(n + 1, rest->text.size));
        *ret_found = at != NULL;
        return part;
}

/* --- order --- */

static int compare_numbers(uint64_t a, uint64_t b) {
        return a < b ? -1 : a > b;
}

/* Numbers before words. */
static int compare_parts(struct cel_value a, struct cel_value b) {
        bool number_a = of_letters(a, digits), number_b = of_letters(b, digits);
        uint64_t x = 0, y = 0;
        int r = 0;

        if (number_a != number_b)
                return number_a ? -1 : 1;
        if (number_a)
                return to_number(a, &x) && to_number(b, &y) ? compare_numbers(x, y) : 0;
        (void)cel_compare(a, b, &r);
        return r;
}

static int compare_prereleases(struct cel_value a, struct cel_value b) {
        bool more_a = a.text.size > 0, more_b = b.text.size > 0;

        /* A version without one comes behind those with one. */
        if (!more_a || !more_b)
                return (int)more_b - (int)more_a;
        while (more_a && more_b) {
                struct cel_value x = take_until(&a, '.', &more_a), y = take_until(&b, '.', &more_b);
                int r = compare_parts(x, y);

                if (r != 0)
                        return r;
        }
        return (int)more_a - (int)more_b;
}

static int compare_versions(const struct version *a, const struct version *b) {
        for (size_t i = 0; i < NUMBERS; i++)
                if (a->numbers[i] != b->numbers[i])
                        return compare_numbers(a->numbers[i], b->numbers[i]);
        return compare_prereleases(a->prerelease, b->prerelease);
}

static bool equal(const void *a, const void *b) {
        return compare_versions(a, b) == 0;
}

static const struct cel_opaque_class semver_class = {.type = {.kind = CEL_TYPE_OPAQUE,
                                                                     .name = "kubernetes.Semver",
                                                                     .size_max = UINT64_MAX},
                .equal = equal};

/* --- reading --- */

static struct cel_value refusal(struct cel_run *run, const char *what, struct cel_value part) {
        char quoted[CEL_QUOTED_SIZE];

        return cel_error(run, "%s %s", what, cel_quoted(part, quoted));
}

static struct cel_value bad_number(struct cel_run *run, struct cel_value part) {
        char quoted[CEL_QUOTED_SIZE];

        return cel_error(run, "strconv.ParseUint: parsing %s: %s", cel_quoted(part, quoted),
                        part.text.size == 0 ? "invalid syntax" : "value out of range");
}

/* Each of these returns null, or an error. */
static struct cel_value parse_number(
                struct cel_run *run, struct cel_value part, size_t which, uint64_t *ret) {
        static const char *const invalid[] = {"Invalid character(s) found in major number",
                        "Invalid character(s) found in minor number",
                        "Invalid character(s) found in patch number"};
        static const char *const zeros[] = {"Major number must not contain leading zeroes",
                        "Minor number must not contain leading zeroes",
                        "Patch number must not contain leading zeroes"};

        if (!of_letters(part, digits))
                return refusal(run, invalid[which], part);
        if (has_leading_zero(part))
                return refusal(run, zeros[which], part);
        return to_number(part, ret) ? cel_null() : bad_number(run, part);
}

static struct cel_value check_prerelease(struct cel_run *run, struct cel_value rest) {
        for (bool more = true; more;) {
                struct cel_value part = take_until(&rest, '.', &more);
                uint64_t unused;

                if (part.text.size == 0)
                        return cel_error(run, "Prerelease is empty");
                if (!of_letters(part, words))
                        return refusal(run, "Invalid character(s) found in prerelease", part);
                if (!of_letters(part, digits))
                        continue;
                if (has_leading_zero(part))
                        return refusal(run,
                                        "Numeric PreRelease version must not contain leading "
                                        "zeroes",
                                        part);
                if (!to_number(part, &unused))
                        return bad_number(run, part);
        }
        return cel_null();
}

static struct cel_value check_build(struct cel_run *run, struct cel_value rest) {
        for (bool more = true; more;) {
                struct cel_value part = take_until(&rest, '.', &more);

                if (part.text.size == 0)
                        return cel_error(run, "Build meta data is empty");
                if (!of_letters(part, words))
                        return refusal(run, "Invalid character(s) found in build meta data", part);
        }
        return cel_null();
}

static struct cel_value parse(struct cel_run *run, struct cel_value text, struct version *ret) {
        struct cel_value parts[NUMBERS], rest = text, v = cel_null();
        bool more, prerelease, build;

        if (text.text.size == 0)
                return cel_error(run, "Version string empty");
        for (size_t i = 0; i + 1 < NUMBERS; i++) {
                parts[i] = take_until(&rest, '.', &more);
                if (!more)
                        return cel_error(run, "No Major.Minor.Patch elements found");
        }
        /* patch, then "-prerelease", then "+build" */
        parts[2] = take_until(&rest, '+', &build);
        ret->prerelease = parts[2];
        parts[2] = take_until(&ret->prerelease, '-', &prerelease);
        for (size_t i = 0; i < NUMBERS && !cel_is_error(v); i++)
                v = parse_number(run, parts[i], i, &ret->numbers[i]);
        if (!cel_is_error(v) && prerelease)
                v = check_prerelease(run, ret->prerelease);
        if (!cel_is_error(v) && build)
                v = check_build(run, rest);
        return v;
}

/* "v1.02" -> "1.2.0": no "v", no zeros before the numbers, all three. */
static struct cel_value normalize(struct cel_run *run, struct cel_value text) {
        struct cel_value rest = text;
        char *copy = cel_alloc(run, text.text.size + NUMBERS + sizeof(".0.0")), *to = copy;
        size_t count = 0;

        if (!copy)
                return cel_no_memory(run);
        if (rest.text.size > 0 && *rest.text.data == 'v')
                rest = cel_text_from(rest, 1);
        for (bool more = true; more && count < NUMBERS; count++) {
                struct cel_value part = rest;

                more = false;
                if (count + 1 < NUMBERS)
                        part = take_until(&rest, '.', &more);
                while (part.text.size > 1 && *part.text.data == '0' && part.text.data[1] >= '0' &&
                                part.text.data[1] <= '9')
                        part = cel_text_from(part, 1);
                if (count > 0)
                        *to++ = '.';
                to = mempcpy(to, part.text.data, part.text.size);
                if (!more && count + 1 < NUMBERS &&
                                (memchr(part.text.data, '+', part.text.size) ||
                                                memchr(part.text.data, '-', part.text.size)))
                        return cel_error(run, "short version cannot contain PreRelease/Build meta "
                                              "data");
        }
        for (; count < NUMBERS; count++)
                to = mempcpy(to, ".0", 2);
        return cel_string_at(copy, (size_t)(to - copy));
}

static struct cel_value read_version(
                struct cel_run *run, const struct cel_value *args, size_t n, struct version *ret) {
        struct cel_value text = args[0];

        if (n > 1 && args[1].boolean)
                text = normalize(run, text);
        return cel_is_error(text) ? text : parse(run, text, ret);
}

static struct cel_value semver(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct version version = {};
        struct cel_value v = read_version(run, args, n, &version);

        return cel_is_error(v) ? v : cel_opaque_copy(run, &semver_class, &version, sizeof(version));
}

static struct cel_value is_semver(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct version version = {};

        return cel_bool(!cel_is_error(read_version(run, args, n, &version)));
}

static const struct version *version_of(struct cel_value v) {
        return v.opaque.data;
}

static struct cel_value major_number(struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_int((int64_t)version_of(args[0])->numbers[0]);
}

static struct cel_value minor_number(struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_int((int64_t)version_of(args[0])->numbers[1]);
}

static struct cel_value patch_number(struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_int((int64_t)version_of(args[0])->numbers[2]);
}

static int compare(const struct cel_value *args) {
        return compare_versions(version_of(args[0]), version_of(args[1]));
}

static struct cel_value compare_to(struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_int(compare(args));
}

static struct cel_value is_greater(struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_bool(compare(args) > 0);
}

static struct cel_value is_less(struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_bool(compare(args) < 0);
}

/* Kubernetes estimates 1 for semver() and isSemver(), whatever the size. */
static const struct cel_row rows[] = {
                {"semver", 0, "(string) -> kubernetes.Semver", semver, cel_cost_of_first, NULL,
                                "string_to_semver"},
                {"semver", 0, "(string, bool) -> kubernetes.Semver", semver, cel_cost_of_first,
                                NULL, "string_bool_to_semver"},
                {"isSemver", 0, "(string) -> bool", is_semver, cel_cost_of_first, NULL,
                                "is_semver_string"},
                {"isSemver", 0, "(string, bool) -> bool", is_semver, cel_cost_of_first, NULL,
                                "is_semver_string_bool"},
                {"isGreaterThan", CEL_MEMBER, "(kubernetes.Semver, kubernetes.Semver) -> bool",
                                is_greater, NULL, NULL, "semver_is_greater_than"},
                {"isLessThan", CEL_MEMBER, "(kubernetes.Semver, kubernetes.Semver) -> bool",
                                is_less, NULL, NULL, "semver_is_less_than"},
                {"compareTo", CEL_MEMBER, "(kubernetes.Semver, kubernetes.Semver) -> int",
                                compare_to, NULL, NULL, "semver_compare_to"},
                {"major", CEL_MEMBER, "(kubernetes.Semver) -> int", major_number, NULL, NULL,
                                "semver_major"},
                {"minor", CEL_MEMBER, "(kubernetes.Semver) -> int", minor_number, NULL, NULL,
                                "semver_minor"},
                {"patch", CEL_MEMBER, "(kubernetes.Semver) -> int", patch_number, NULL, NULL,
                                "semver_patch"},
};

static const struct cel_opaque_class *const classes[] = {&semver_class};

const struct cel_library cel_library_semver = {.name = "semver",
                .rows = rows,
                .row_count = ELEMENTS(rows),
                .classes = classes,
                .class_count = ELEMENTS(classes)};
