/* The files that a container writes for the agent: kpod-exec's report of the start, and the
 * termination message. The program can write anything there, of any size: they are read up to a
 * bound, and what is not as expected is left out. */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "nodeagent/pod/pod.h"

enum {
        REPORT_MAX = 2048,
        MESSAGE_MAX = 4096,  /* as the Container API page has it: 4096 bytes ... */
        FALLBACK_MAX = 2048, /* ... or the last 2048 bytes or 80 lines of the log */
        FALLBACK_LINES_MAX = 80,
};

/* Up to max bytes of a regular file; NUL-terminated, NULL when there is none. settled: also NULL
 * while its writer holds a lock on it (flock). */
static char *read_begin(const char *path, size_t max, bool settled, size_t *ret_size) {
        _cleanup_free_ char *data = malloc(max + 1);
        struct stat st;
        ssize_t n;
        int fd;

        if (!path || !data)
                return NULL;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return NULL;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
                        (settled && flock(fd, LOCK_SH | LOCK_NB) < 0))
                n = -1;
        else
                n = pread(fd, data, max, 0);
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

        text = read_begin(path, REPORT_MAX, /* settled= */ true, &n);
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

/* terminationMessagePolicy FallbackToLogsOnError: the end of what this run wrote. */
static char *log_end(const struct container *c, const struct run_state *state) {
        if (!streq(json_str_or(container_spec(c), "terminationMessagePolicy", ""),
                            "FallbackToLogsOnError"))
                return NULL;
        return runtime_logs(c->pod->pods->agent->runtime, c->pod->uid, c->record->name, state->id,
                        FALLBACK_LINES_MAX, FALLBACK_MAX);
}

char *container_last_words(struct container *c, const struct run_state *state) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        size_t n = 0;

        if (json_str(container_spec(c), "terminationMessagePath")) {
                path = file_of(c, "message");
                text = read_begin(path, MESSAGE_MAX, /* settled= */ false, &n);
        }
        if (isempty(text) && state->exit_code != 0) {
                free(text);
                text = log_end(c, state);
        }
        if (isempty(text))
                return NULL;
        make_text(text);
        return TAKE_PTR(text);
}
