/* The files that a container writes for the agent: kpod-exec's report of the start, and the
 * termination message. The program can write anything there, of any size: they are read up to a
 * bound, and what is not as expected is left out. */
#include "nodeagent/pod/internal.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/timefmt.h"
#include "nodeagent/logs/logs.h"

enum {
        REPORT_MAX = 2048,
        MESSAGE_MAX = 4096,  /* as the Container API page has it: 4096 bytes ... */
        FALLBACK_MAX = 2048, /* ... or the last 2048 bytes or 80 lines of the log */
        FALLBACK_LINES_MAX = 80,
};

/* Up to max bytes of a regular file; NUL-terminated, NULL when there is none. */
static char *read_begin(const char *path, size_t max, size_t *ret_size) {
        _cleanup_free_ char *data = malloc(max + 1);
        struct stat st;
        ssize_t n;
        int fd;

        if (!path || !data)
                return NULL;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return NULL;
        n = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ? -1 : pread(fd, data, max, 0);
        close(fd);
        if (n < 0)
                return NULL;
        data[n] = 0;
        *ret_size = (size_t)n;
        return TAKE_PTR(data);
}

static char *file_of(const struct container *c, const char *name) {
        return strformat("%s/containers/%s/%s", c->pod->disk_dir, c->record->name, name);
}

void container_read_report(struct container *c) {
        _cleanup_free_ char *path = file_of(c, "report"), *text = NULL;
        size_t n;

        text = read_begin(path, REPORT_MAX, &n);
        if (text)
                start_report_parse(text, n, &c->record->report);
        else
                c->record->report = (struct start_report){0};
}

/* JSON takes UTF-8 only: other bytes become "?", a NUL ends the text. */
static void make_text(char *s) {
        if (utf8_is_valid(s, strlen(s)))
                return;
        for (; *s; s++)
                if ((unsigned char)*s >= 0x80)
                        *s = '?';
}

static void prepend_line(struct buf *b, const void *data, size_t n) {
        _cleanup_buf_ struct buf joined = {0};
        const char *message = memchr(data, '=', n);

        if (!message)
                return;
        message++;
        buf_append(&joined, message, n - (size_t)(message - (const char *)data));
        buf_append_char(&joined, '\n');
        buf_append(&joined, b->size > 0 ? b->data : "", b->size);
        buf_reset(b);
        buf_append(b, joined.data, joined.size);
}

/* terminationMessagePolicy FallbackToLogsOnError: the end of what this run wrote. */
static char *log_end(const struct container *c, const char *invocation) {
        _cleanup_buf_ struct buf b = {0};
        sd_journal *j = NULL;
        const void *data;
        size_t n;

        if (!*invocation || sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY) < 0)
                return NULL;
        if (logs_match(j, c->pod->uid, c->record->name, invocation) >= 0 &&
                        sd_journal_seek_tail(j) >= 0)
                for (int i = 0; i < FALLBACK_LINES_MAX && b.size < FALLBACK_MAX &&
                                sd_journal_previous(j) > 0;
                                i++)
                        if (sd_journal_get_data(j, "MESSAGE", &data, &n) >= 0)
                                prepend_line(&b, data, n);
        sd_journal_close(j);
        if (b.failed || b.size == 0)
                return NULL;
        return strndup(b.data + (b.size > FALLBACK_MAX ? b.size - FALLBACK_MAX : 0),
                        MIN(b.size, (size_t)FALLBACK_MAX));
}

static char *last_words(struct container *c, const struct unit_state *state) {
        const json_t *spec = container_spec(c);
        _cleanup_free_ char *path = NULL, *text = NULL;
        bool failed = state->exec_status != 0;
        size_t n = 0;

        if (json_str(spec, "terminationMessagePath")) {
                path = file_of(c, "message");
                text = read_begin(path, MESSAGE_MAX, &n);
        }
        if (isempty(text) && failed &&
                        streq(json_str_or(spec, "terminationMessagePolicy", ""),
                                        "FallbackToLogsOnError")) {
                free(text);
                text = log_end(c, state->invocation);
        }
        if (isempty(text))
                return NULL;
        make_text(text);
        return TAKE_PTR(text);
}

void container_look(struct container *c, const struct unit_state *state) {
        struct container_record *r = c->record;

        if (state && state->main_pid == 0 && state->exec_code != 0 &&
                        r->phase != CONTAINER_TERMINATED) {
                container_read_report(c);
                free(r->last_words);
                r->last_words = last_words(c, state);
        }
        (void)container_observe(r, state, now_wall_us());
}
