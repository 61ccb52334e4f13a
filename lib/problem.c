/* Refusals for users, and their form as the API's Status object. */
#include "lib/problem.h"

#include <stdarg.h>

#include "lib/json.h"

void problem_done(struct problem *p) {
        free(p->field);
        free(p->message);
        json_decref(p->causes);
        json_decref(p->about);
        json_decref(p->status);
        free(p->next);
        *p = (struct problem){0};
}

int problem_set(struct problem *p, int error, int code, const char *reason, const char *fmt, ...) {
        char *message = NULL;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&message, fmt, ap) < 0)
                message = NULL;
        va_end(ap);
        problem_done(p); /* after the formatting: its arguments may be p's own strings */
        p->message = message;
        p->code = code;
        p->reason = reason;
        return -abs(error);
}

int problem_field(struct problem *p, int error, const char *fmt, ...) {
        char *field = NULL;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&field, fmt, ap) < 0)
                field = NULL;
        va_end(ap);
        free(p->field);
        p->field = field;
        return error;
}

/* Parts of a request are in texts, and need not be UTF-8. */
static json_t *text_of(const char *s) {
        _cleanup_free_ char *copy = NULL;
        json_t *v = s ? json_string(s) : NULL;

        if (v || !s)
                return v;
        copy = strdup(s);
        if (copy)
                (void)utf8_clean(copy, strlen(copy));
        return copy ? json_string(copy) : NULL;
}

int problem_cause(struct problem *p, const char *reason, const char *field, const char *message) {
        if (!p->causes)
                p->causes = json_array();
        if (!p->causes)
                return -ENOMEM;
        return json_array_append_new(p->causes,
                               json_pack("{s:s*, s:o*, s:o*}", "reason", reason, "message",
                                               text_of(message), "field",
                                               isempty(field) ? NULL : text_of(field))) < 0
                               ? -ENOMEM
                               : 0;
}

void problem_prefix(struct problem *p, const char *fmt, ...) {
        char *prefix = NULL, *message;
        va_list ap;

        va_start(ap, fmt);
        int n = vasprintf(&prefix, fmt, ap);
        va_end(ap);
        if (n < 0)
                return;
        message = strformat("%s: %s", prefix, strempty(p->message));
        free(prefix);
        if (!message)
                return;
        free(p->message);
        p->message = message;
}

static json_t *details_of(const char *name, const char *group, const char *kind) {
        return json_pack("{s:o*, s:o*, s:o*}", "name", isempty(name) ? NULL : text_of(name),
                        "group", isempty(group) ? NULL : text_of(group), "kind",
                        isempty(kind) ? NULL : text_of(kind));
}

void problem_about(struct problem *p, const char *group, const char *kind, const char *name) {
        json_decref(p->about);
        p->about = details_of(name, group, kind);
}

/* Whether a refusal of the kind says what it is about: as the reference server's do. */
static bool names_object(int code) {
        static const int silent[] = {400, 401, 406, 410, 413, 415, 504};

        for (size_t i = 0; i < ELEMENTS(silent); i++)
                if (silent[i] == code)
                        return false;
        return true;
}

json_t *problem_to_status(
                const struct problem *p, const char *name, const char *group, const char *kind) {
        bool named = names_object(p->code);
        _cleanup_json_ json_t *details =
                        p->about ? json_copy(p->about)
                                 : details_of(named && p->code != 405 ? name : NULL,
                                                   named ? group : NULL, named ? kind : NULL);
        int code = p->code ? p->code : 500;

        if (p->status)
                return json_incref(p->status);
        if (!details)
                return NULL;
        if (p->causes && json_object_set(details, "causes", p->causes) < 0)
                return NULL;
        if (p->retry_after_s > 0 && json_object_set_new(details, "retryAfterSeconds",
                                                    json_integer(p->retry_after_s)) < 0)
                return NULL;
        /* The reference server's order: people compare texts. */
        return json_pack("{s:s, s:s, s:{s:s*}, s:s, s:o, s:s, s:O*, s:i}", "kind", "Status",
                        "apiVersion", "v1", "metadata", "continue", p->next, "status", "Failure",
                        "message", text_of(p->message ? p->message : "out of memory"), "reason",
                        p->reason ? p->reason : "InternalError", "details",
                        json_object_size(details) > 0 ? details : NULL, "code", code);
}

/* The reasons of the API, as static strings that struct problem may point to. */
static const char *reason_intern(const char *s) {
        static const char *const known[] = {"BadRequest", "Unauthorized", "Forbidden", "NotFound",
                        "MethodNotAllowed", "NotAcceptable", "UnsupportedMediaType",
                        "AlreadyExists", "Conflict", "Gone", "Expired", "RequestEntityTooLarge",
                        "Invalid", "TooManyRequests", "InternalError", "ServiceUnavailable",
                        "Timeout", "ServerTimeout"};

        for (size_t i = 0; s && i < ELEMENTS(known); i++)
                if (streq(s, known[i]))
                        return known[i];
        return NULL;
}

void problem_from_status(struct problem *p, int http_code, const char *body, size_t n) {
        _cleanup_json_ json_t *v = NULL;

        if (n > 0 && json_parse(body, n, 0, &v, NULL) == 0 &&
                        streq(json_str_or(v, "kind", ""), "Status")) {
                json_t *causes = json_at_mut(v, "details.causes");
                const char *cause_field =
                                json_is_array(causes) ? json_str(json_array_get(causes, 0), "field")
                                                      : NULL;

                problem_set(p, EINVAL, http_code, reason_intern(json_str(v, "reason")), "%s",
                                json_str_or(v, "message", "the server gave no message"));
                p->causes = json_is_array(causes) ? json_incref(causes) : NULL;
                p->retry_after_s = (int)MIN(
                                json_int_or(v, "details.retryAfterSeconds", 0), (int64_t)3600);
                if (cause_field)
                        problem_field(p, 0, "%s", cause_field);
                return;
        }
        problem_set(p, EINVAL, http_code, NULL, "the server answered with HTTP status %i: %.*s",
                        http_code, (int)MIN(n, (size_t)200), n > 0 ? body : "(no body)");
        if (p->message) /* it may end within a character, or be none at all */
                (void)utf8_clean(p->message, strlen(p->message));
}
