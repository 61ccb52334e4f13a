/* Named formats of strings: Kubernetes' format.dns1123Label(), format.named("uri") and validate().
 * A row a format; the checks are those of schemas. */
#include "kapid/cel/lib-url-text.h"
#include "kapid/schema/format.h"

enum { FLAG_PREFIX = 1 << 0, REGEX_SIZE_MAX = 128 };

struct named_format {
        const char *name;          /* as format.named() takes it */
        enum schema_format format; /* one of format_check(), or FORMAT_NONE */
        const char *custom;        /* else one of CustomResourceDefinitions, and what it says */
        const char *message;
        unsigned flags;
};

static const struct named_format formats[] = {
                {"dns1123Label", FORMAT_DNS1123_LABEL, NULL, NULL, 0},
                {"dns1123Subdomain", FORMAT_DNS1123_SUBDOMAIN, NULL, NULL, 0},
                {"dns1035Label", FORMAT_DNS1035_LABEL, NULL, NULL, 0},
                {"qualifiedName", FORMAT_QUALIFIED_NAME, NULL, NULL, 0},
                {"dns1123LabelPrefix", FORMAT_DNS1123_LABEL, NULL, NULL, FLAG_PREFIX},
                {"dns1123SubdomainPrefix", FORMAT_DNS1123_SUBDOMAIN, NULL, NULL, FLAG_PREFIX},
                {"dns1035LabelPrefix", FORMAT_DNS1035_LABEL, NULL, NULL, FLAG_PREFIX},
                {"labelValue", FORMAT_LABEL_VALUE, NULL, NULL, 0},
                {"uri", FORMAT_NONE, NULL, NULL, 0},
                {"uuid", FORMAT_NONE, "uuid", "does not match the UUID format", 0},
                {"byte", FORMAT_NONE, "byte", "invalid base64", 0},
                {"date", FORMAT_NONE, "date", "invalid date", 0},
                {"datetime", FORMAT_NONE, "datetime", "invalid datetime", 0},
};

static bool equal(const void *a, const void *b) {
        return a == b;
}

static const struct cel_opaque_class format_class = {
                .type = {.kind = CEL_TYPE_OPAQUE,
                                .name = "kubernetes.NamedFormat",
                                .size_max = UINT64_MAX},
                .equal = equal};

static struct cel_value format_of(size_t i) {
        return cel_opaque(&format_class, &formats[i]);
}

static struct cel_value named(struct cel_run *run, const struct cel_value *args, size_t n) {
        for (size_t i = 0; i < ELEMENTS(formats); i++)
                if (cel_is_text(args[0], formats[i].name))
                        return cel_some(run, format_of(i));
        return cel_none();
}

/* What is wrong, as an error value; null: nothing. */
static struct cel_value check_uri(struct cel_run *run, struct cel_value text) {
        struct cel_value error;
        struct cel_url url;

        return cel_url_parse(run, text, &url, &error) ? cel_null() : error;
}

static struct cel_value check_custom(
                struct cel_run *run, const struct named_format *f, const char *text) {
        return format_custom_fits(format_custom_find(f->custom), text)
                               ? cel_null()
                               : cel_error(run, "%s", f->message);
}

static struct cel_value check(
                struct cel_run *run, const struct named_format *f, struct cel_value text) {
        char *copy = cel_alloc(run, text.text.size + 1);
        size_t n = text.text.size;
        const char *why;

        if (!copy)
                return cel_no_memory(run);
        /* No format has a NUL within: something else that none has stands for it. */
        for (size_t i = 0; i < n; i++)
                copy[i] = text.text.data[i] ? text.text.data[i] : '\1';
        copy[n] = '\0';
        if (f->custom)
                return check_custom(run, f, copy);
        if (f->format == FORMAT_NONE)
                return check_uri(run, text);
        /* A prefix may end with a dash: what follows it will not be the end. */
        if ((f->flags & FLAG_PREFIX) && n > 1 && copy[n - 1] == '-') {
                copy[n - 2] = 'a';
                copy[n - 1] = '\0';
        }
        why = format_check(f->format, copy);
        return why ? cel_error(run, "%s", why) : cel_null();
}

static struct cel_value validate(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct cel_value wrong = check(run, args[0].opaque.data, args[1]), list;

        if (!cel_is_error(wrong))
                return cel_none();
        wrong.kind = CEL_STRING;
        list = cel_list_of(run, &wrong, 1);
        return cel_is_error(list) ? list : cel_some(run, list);
}

static void estimate_validate(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        const struct cel_range regex = {REGEX_SIZE_MAX / 4, REGEX_SIZE_MAX / 4};

        *ret_cost = cel_range_multiply(cel_range_text(args[1]), regex);
}

/* format.NAME(): a function for each row above, in its order. */
#define CONSTANT(i, name) \
        static struct cel_value format_##name( \
                        struct cel_run *run, const struct cel_value *args, size_t n) { \
                return format_of(i); \
        }
#define FORMATS(X) \
        X(0, dns1123Label) \
        X(1, dns1123Subdomain) \
        X(2, dns1035Label) \
        X(3, qualifiedName) \
        X(4, dns1123LabelPrefix) \
        X(5, dns1123SubdomainPrefix) \
        X(6, dns1035LabelPrefix) \
        X(7, labelValue) \
        X(8, uri) \
        X(9, uuid) \
        X(10, byte) \
        X(11, date) \
        X(12, datetime)
FORMATS(CONSTANT)

#define ROW(i, name) \
        {"format." #name, 0, "() -> kubernetes.NamedFormat", format_##name, NULL, NULL, \
                        "format." #name},

static const struct cel_row rows[] = {
                FORMATS(ROW){"format.named", 0, "(string) -> optional(kubernetes.NamedFormat)",
                                named, NULL, NULL, "format-named"},
                {"validate", CEL_MEMBER,
                                "(kubernetes.NamedFormat, string) -> optional(list(string))",
                                validate, NULL, estimate_validate, "format-validate"},
};

static const struct cel_opaque_class *const classes[] = {&format_class};

const struct cel_library cel_library_format = {.name = "format",
                .rows = rows,
                .row_count = ELEMENTS(rows),
                .classes = classes,
                .class_count = ELEMENTS(classes)};
