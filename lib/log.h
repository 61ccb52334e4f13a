/* Logging: one sentence a call, to the journal with structured fields when stderr is a journal
 * stream, else to stderr as "<program>: <sentence>". Libraries log at debug only. Never log
 * secrets. */
#pragma once

#include <stdarg.h>
#include <syslog.h>

#include "lib/base.h"

/* Name shown before each line on a terminal; borrowed for the program's life. */
void log_setup(const char *program, int level_max);
/* "debug", "info", "notice", "warning", "error" -> LOG_*; -EINVAL. */
int log_level_from_string(const char *s);
int log_level_max(void);

/* Writes a message. fields: NULL or pairs of strings, name then value, ended by NULL; names in
 * journald form (KEELSON_POD). Returns -abs(error) so that `return log_errno(...)` reads well. */
int log_full(int level, int error, const char *const *fields, const char *fmt, ...) _printf_(4, 5);
int log_fullv(int level, int error, const char *const *fields, const char *fmt, va_list ap)
                _printf_(4, 0);
/* About an object of the API: with the field KEELSON_OBJECT=Kind/namespace/name, or Kind/name of
 * one without a namespace, so that `journalctl KEELSON_OBJECT=...` shows what all daemons of the
 * machine say about it. key: "namespace/name" or "name"; kind or key NULL: without the field. */
int log_about(int level, int error, const char *kind, const char *key, const char *fmt, ...)
                _printf_(5, 6);
int log_aboutv(int level, int error, const char *kind, const char *key, const char *fmt, va_list ap)
                _printf_(5, 0);

#define log_debug(...) ((void)log_full(LOG_DEBUG, 0, NULL, __VA_ARGS__))
#define log_info(...) ((void)log_full(LOG_INFO, 0, NULL, __VA_ARGS__))
#define log_notice(...) ((void)log_full(LOG_NOTICE, 0, NULL, __VA_ARGS__))
#define log_warning(...) ((void)log_full(LOG_WARNING, 0, NULL, __VA_ARGS__))
#define log_error(...) ((void)log_full(LOG_ERR, 0, NULL, __VA_ARGS__))
/* Adds ": <strerror>" and returns the negative errno. */
#define log_error_errno(e, ...) log_full(LOG_ERR, (e), NULL, __VA_ARGS__)
#define log_warning_errno(e, ...) log_full(LOG_WARNING, (e), NULL, __VA_ARGS__)
#define log_debug_errno(e, ...) log_full(LOG_DEBUG, (e), NULL, __VA_ARGS__)
/* Structured: log_fields(LOG_INFO, ((const char *const[]){ "KEELSON_POD", name, NULL }), "..."). */
#define log_fields(level, fields, ...) ((void)log_full((level), 0, (fields), __VA_ARGS__))
#define log_oom() log_full(LOG_ERR, ENOMEM, NULL, "Out of memory")
