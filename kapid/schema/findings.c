/* Collects findings and words them as the API does (docs/wire.md section 6). */
#include "kapid/schema/findings.h"

#include <stdarg.h>

enum { VALUE_TEXT_MAX = 512 };

static const struct {
        const char *reason, *words;
} wording[] = {
                [FINDING_REQUIRED] = {"FieldValueRequired", "Required value"},
                [FINDING_INVALID] = {"FieldValueInvalid", "Invalid value"},
                [FINDING_NOT_SUPPORTED] = {"FieldValueNotSupported", "Unsupported value"},
                [FINDING_DUPLICATE] = {"FieldValueDuplicate", "Duplicate value"},
                [FINDING_FORBIDDEN] = {"FieldValueForbidden", "Forbidden"},
                [FINDING_TOO_LONG] = {"FieldValueTooLong", "Too long"},
                [FINDING_TOO_MANY] = {"FieldValueTooMany", "Too many"},
                [FINDING_TYPE] = {"FieldValueTypeInvalid", "Invalid value"},
                [FINDING_NOT_FOUND] = {"FieldValueNotFound", "Not found"},
};

void findings_done(struct findings *f) {
        json_decref(f->causes);
        buf_done(&f->path);
        *f = (struct findings){0};
}

void findings_tick(struct findings *f) {
        enum { LOOK_EVERY = 256 };

        if (f->now_us && ++f->ticks % LOOK_EVERY == 0)
                (void)f->now_us(f->clock);
}

size_t findings_push(struct findings *f, const char *name) {
        size_t length = f->path.size;

        if (length > 0)
                buf_append_char(&f->path, '.');
        buf_append_str(&f->path, name);
        return length;
}

size_t findings_push_index(struct findings *f, size_t i) {
        size_t length = f->path.size;

        buf_append_index(&f->path, i);
        return length;
}

size_t findings_push_key(struct findings *f, const char *key) {
        size_t length = f->path.size;

        buf_append_char(&f->path, '[');
        buf_append_str(&f->path, key);
        buf_append_char(&f->path, ']');
        return length;
}

void findings_pop(struct findings *f, size_t length) {
        f->path.size = length;
        if (f->path.data)
                f->path.data[length] = 0;
}

void findings_each(struct findings *f, const json_t *holder, const char *field,
                void (*validate)(struct findings *f, const json_t *entry)) {
        const json_t *entry;
        size_t i;

        json_array_foreach (json_object_get(holder, field), i, entry) {
                size_t at = findings_push(f, field);

                findings_push_index(f, i);
                validate(f, entry);
                findings_pop(f, at);
        }
}

static char *value_text(const json_t *value) {
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

        if (text && strlen(text) > VALUE_TEXT_MAX) {
                size_t n = VALUE_TEXT_MAX;

                while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
                        n--;
                memcpy(text + n, "", 1);
        }
        return text;
}

void finding_add(struct findings *f, enum finding what, const char *relative, const json_t *value,
                const char *fmt, ...) {
        _cleanup_buf_ struct buf message = {0};
        _cleanup_free_ char *path = NULL, *detail = NULL, *shown = value ? value_text(value) : NULL;
        va_list ap;

        if (json_array_size(f->causes) >= FINDINGS_MAX)
                return;
        if (fmt) {
                va_start(ap, fmt);
                if (vasprintf(&detail, fmt, ap) < 0)
                        detail = NULL;
                va_end(ap);
        }
        path = strformat("%s%s%s", f->path.size ? f->path.data : "",
                        f->path.size && relative && *relative != '[' ? "." : "",
                        strempty(relative));
        buf_append_str(&message, wording[what].words);
        if (shown)
                buf_printf(&message, ": %s", shown);
        if (detail)
                buf_printf(&message, ": %s", detail);
        if (!f->causes)
                f->causes = json_array();
        if (!f->causes || !path || message.failed ||
                        json_array_append_new(f->causes,
                                        json_pack("{s:s, s:s, s:s}", "reason", wording[what].reason,
                                                        "message", message.data, "field", path)) <
                                        0)
                f->failed = true;
}

size_t findings_count(const struct findings *f) {
        return json_array_size(f->causes);
}

/* "Scale.autoscaling": kind and group. */
static void about_word(struct problem *p, const char *word, const char *name) {
        const char *dot = strchr(word, '.');
        _cleanup_free_ char *kind = strndup(word, dot ? (size_t)(dot - word) : strlen(word));

        problem_about(p, dot ? dot + 1 : "", strempty(kind), name);
}

int findings_problem(const struct findings *f, const struct kind *k, const char *kind_word,
                const char *name, struct problem *p) {
        size_t n = json_array_size(f->causes), i;
        _cleanup_buf_ struct buf text = {0};
        const json_t *cause;

        if (f->failed)
                return problem_set(p, ENOMEM, 500, "InternalError", "out of memory");
        if (n == 0)
                return 0;
        json_array_foreach (f->causes, i, cause)
                buf_printf(&text, "%s%s: %s", i > 0 ? ", " : "", json_str_or(cause, "field", ""),
                                json_str_or(cause, "message", ""));
        problem_set(p, EINVAL, 422, "Invalid", "%s%s%s \"%s\" is invalid: %s%s%s",
                        kind_word ? kind_word : k->kind, !kind_word && *k->group ? "." : "",
                        !kind_word ? k->group : "", strempty(name), n > 1 ? "[" : "",
                        strempty(text.data), n > 1 ? "]" : "");
        if (kind_word)
                about_word(p, kind_word, name);
        else
                problem_about(p, k->group, k->kind, name);
        problem_field(p, 0, "%s", json_str_or(json_array_get(f->causes, 0), "field", ""));
        p->causes = json_incref(f->causes);
        return -EINVAL;
}
