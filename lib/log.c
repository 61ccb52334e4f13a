/* Logging to the journal (structured) when stderr is a journal stream, to stderr otherwise. Whether
 * it is one is decided once, from JOURNAL_STREAM, as sd_journal documents. */
#include "lib/log.h"

#include <stdarg.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

#include "lib/plain.h"

enum { LOG_FIELDS_MAX = 16, LOG_LINE_MAX = 8192 };

/* The log level and the program's name: the process-wide state that the style allows. */
static struct {
        const char *program;
        int level_max;
        int journal; /* -1: not yet known */
} state = {.program = "keelson", .level_max = LOG_INFO, .journal = -1};

void log_setup(const char *program, int level_max) {
        state.program = program;
        state.level_max = level_max;
}

int log_level_from_string(const char *s) {
        static const struct {
                const char *name;
                int level;
        } levels[] = {
                        {"debug", LOG_DEBUG},
                        {"info", LOG_INFO},
                        {"notice", LOG_NOTICE},
                        {"warning", LOG_WARNING},
                        {"error", LOG_ERR},
        };

        for (size_t i = 0; i < ELEMENTS(levels); i++)
                if (streq(s, levels[i].name))
                        return levels[i].level;
        return -EINVAL;
}

int log_level_max(void) {
        return state.level_max;
}

static bool stderr_is_journal(void) {
        const char *e = getenv("JOURNAL_STREAM");
        struct stat st;
        uintmax_t device, inode;

        if (!e || sscanf(e, "%ju:%ju", &device, &inode) != 2 || fstat(STDERR_FILENO, &st) < 0)
                return false;
        return st.st_dev == device && st.st_ino == inode;
}

static void log_to_journal(int level, const char *const *fields, const char *line) {
        char storage[LOG_FIELDS_MAX][512], priority[32], *message = NULL;
        struct iovec iov[LOG_FIELDS_MAX + 2];
        int n = 0;

        if (asprintf(&message, "MESSAGE=%s", line) < 0)
                return;
        snprintf(priority, sizeof(priority), "PRIORITY=%i", level);
        iov[n++] = (struct iovec){message, strlen(message)};
        iov[n++] = (struct iovec){priority, strlen(priority)};
        for (size_t i = 0; fields && fields[i] && i / 2 < LOG_FIELDS_MAX; i += 2) {
                char *s = storage[i / 2];

                snprintf(s, sizeof(storage[0]), "%s=%s", fields[i], strempty(fields[i + 1]));
                iov[n++] = (struct iovec){s, strlen(s)};
        }
        (void)sd_journal_sendv(iov, n);
        free(message);
}

int log_fullv(int level, int error, const char *const *fields, const char *fmt, va_list ap) {
        char line[LOG_LINE_MAX];
        int saved = errno;

        error = abs(error);
        if (level <= state.level_max) {
                int n = vsnprintf(line, sizeof(line), fmt, ap);
                if (error != 0 && n >= 0 && (size_t)n < sizeof(line))
                        snprintf(line + n, sizeof(line) - (size_t)n, ": %s", strerror(error));
                if (state.journal < 0)
                        state.journal = stderr_is_journal();
                /* It may contain text from outside; journalctl would show none of a line with
                 * control characters. */
                _cleanup_free_ char *shown = plain_copy(line, strlen(line), PLAIN_TEXT);
                if (state.journal)
                        log_to_journal(level, fields, strempty(shown));
                else
                        fprintf(stderr, "%s: %s\n", state.program, strempty(shown));
        }
        errno = saved;
        return -error;
}

int log_full(int level, int error, const char *const *fields, const char *fmt, ...) {
        va_list ap;

        va_start(ap, fmt);
        int r = log_fullv(level, error, fields, fmt, ap);
        va_end(ap);
        return r;
}

int log_aboutv(int level, int error, const char *kind, const char *key, const char *fmt,
                va_list ap) {
        const char *fields[] = {"KEELSON_OBJECT", NULL, NULL};
        _cleanup_free_ char *value = NULL;

        if (level > state.level_max)
                return -abs(error);
        value = kind && key ? strformat("%s/%s", kind, key) : NULL;
        fields[1] = value;
        return log_fullv(level, error, value ? fields : NULL, fmt, ap);
}

int log_about(int level, int error, const char *kind, const char *key, const char *fmt, ...) {
        va_list ap;

        va_start(ap, fmt);
        int r = log_aboutv(level, error, kind, key, fmt, ap);
        va_end(ap);
        return r;
}
