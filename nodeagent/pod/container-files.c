/* The files that a container writes for the agent: kpod-exec's report of the start, and the
 * termination message. The program can write anything there, of any size: they are read up to a
 * bound, and what is not as expected is left out. */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "lib/timefmt.h"
#include "nodeagent/pod/pod.h"

enum {
        REPORT_MAX = 2048,
        MESSAGE_MAX = 4096,  /* as the Container API page has it: 4096 bytes ... */
        FALLBACK_MAX = 2048, /* ... or the last 2048 bytes or 80 lines of the log */
        FALLBACK_LINES_MAX = 80,
        LOG_MAX_US = 20 * 1000000, /* for the rest of a log to arrive, also on a busy machine */
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

/* terminationMessagePolicy FallbackToLogsOnError: the end of what this run wrote. Its output is on
 * the way to the journal still, through keelson-logs.service, and is read when its last line is
 * there. */
static bool takes_log(const struct container *c) {
        return streq(json_str_or(container_spec(c), "terminationMessagePolicy", ""),
                        "FallbackToLogsOnError");
}

/* A unit whose output goes elsewhere has no stream that ends. */
static bool has_stream(const struct container *c) {
        const json_t *unit = container_plan(c);

        return !unit || json_at(unit, "properties.StandardOutputFile");
}

static char *log_end(const struct container *c, const char *id) {
        return runtime_logs(c->pod->pods->agent->runtime, c->pod->uid, c->record->name, id,
                        FALLBACK_LINES_MAX, FALLBACK_MAX);
}

static void await_log(struct container *c, const char *id) {
        memcpy(c->log_end.of, id, sizeof(c->log_end.of));
        c->log_end.until_us = now_mono_us() + (has_stream(c) ? LOG_MAX_US : 0);
}

char *container_last_words(struct container *c, const struct run_state *state) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        size_t n = 0;

        if (json_str(container_spec(c), "terminationMessagePath")) {
                path = file_of(c, "message");
                text = read_begin(path, MESSAGE_MAX, /* settled= */ false, &n);
        }
        if (isempty(text)) {
                if (state->exit_code != 0 && takes_log(c))
                        await_log(c, state->id);
                return NULL;
        }
        make_text(text);
        return TAKE_PTR(text);
}

/* 1 when the log is complete or its time is over. */
static int take_log(struct container *c) {
        struct container_log_end *e = &c->log_end;
        _cleanup_free_ char *text = NULL;

        if (!runtime_logs_are_complete(c->pod->pods->agent->runtime, e->of) &&
                        now_mono_us() < e->until_us)
                return 0;
        text = log_end(c, e->of);
        if (!isempty(text)) {
                make_text(text);
                container_record_words(c->record, e->of, text);
        }
        e->of[0] = 0;
        return 1;
}

bool pod_awaits_logs(struct pod *p) {
        bool waits = false;

        for (size_t i = 0; i < p->count; i++)
                if (p->containers[i]->log_end.of[0])
                        waits |= !take_log(p->containers[i]);
        return waits;
}
