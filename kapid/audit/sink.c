/* A file holds whole lines only: a line that did not fit is cut off again. Old files are named as
 * kube-apiserver names them. */
#include "kapid/audit/sink.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/timefmt.h"
#include "lib/vector.h"

#define DAY_US (86400 * UINT64_C(1000000))
#define COMPLAIN_US (60 * UINT64_C(1000000))

enum { STAMP_SIZE = sizeof("2024-01-02T03-04-05.006"), JOURNAL_FIELDS_MAX = 8 };

enum target { TO_FILE, TO_PIPE, TO_SOCKET, TO_JOURNAL };

struct sink {
        sd_event *event;
        struct sink_options options;
        char *path;
        enum target target;
        int fd;
        uint64_t size, size_max; /* of a regular file; size_max 0: not rotated */
        bool broken;             /* the end of the file is no line's end */
        struct buf queue;        /* what a pipe or socket did not take yet */
        sd_event_source *writable;
        uint64_t lost, complained_us;
        struct metric *events, *errors;
};

/* --- names of old files (pure) --- */

/* "audit.log" -> 5: the part before the extension. */
static size_t stem_of(const char *name) {
        const char *dot = strrchr(name, '.');

        return dot ? (size_t)(dot - name) : strlen(name);
}

char *sink_backup_name(const char *name, uint64_t wall_us) {
        time_t seconds = (time_t)(wall_us / 1000000);
        size_t stem = stem_of(name);
        char stamp[32];
        struct tm tm;

        if (!gmtime_r(&seconds, &tm) ||
                        strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H-%M-%S", &tm) == 0)
                return NULL;
        return strformat("%.*s-%s.%03u%s", (int)stem, name, stamp,
                        (unsigned)(wall_us / 1000 % 1000), name + stem);
}

/* Whether it is the name of an old file; its time. */
static bool backup_time(const char *name, const char *candidate, uint64_t *ret_us) {
        size_t stem = stem_of(name), n = strlen(candidate);
        char text[STAMP_SIZE + 1];

        if (n != strlen(name) + STAMP_SIZE || strncmp(candidate, name, stem) != 0 ||
                        candidate[stem] != '-' ||
                        !streq(candidate + stem + STAMP_SIZE, name + stem))
                return false;
        memcpy(text, candidate + stem + 1, STAMP_SIZE - 1);
        text[13] = text[16] = ':'; /* as RFC 3339 writes it */
        text[STAMP_SIZE - 1] = 'Z';
        text[STAMP_SIZE] = 0;
        return time_parse(text, ret_us) >= 0;
}

static int newest_first(const void *a, const void *b) {
        return strcmp(*(char *const *)b, *(char *const *)a);
}

int sink_expired(const char *name, char *const *names, const struct sink_options *o,
                uint64_t now_us, char ***ret) {
        VECTOR(const char *) old = {0};
        int r = 0;

        for (; names && *names && r >= 0; names++) {
                uint64_t us;

                if (backup_time(name, *names, &us))
                        r = vector_append(&old, *names);
        }
        /* The time in the name sorts as the names do. */
        if (old.count > 0)
                qsort(old.items, old.count, sizeof(*old.items), newest_first);
        for (size_t i = 0; i < old.count && r >= 0; i++) {
                uint64_t us = 0;

                (void)backup_time(name, old.items[i], &us);
                if ((o->backups > 0 && i >= o->backups) ||
                                (o->age_days > 0 && us + o->age_days * DAY_US < now_us))
                        r = strv_extend(ret, old.items[i]);
        }
        vector_done(&old);
        return r;
}

/* --- losses --- */

static void lose(struct sink *s, int error, const char *why) {
        uint64_t now = now_mono_us();

        metric_add(s->errors, 1);
        s->lost++;
        if (s->complained_us && now - s->complained_us < COMPLAIN_US)
                return;
        s->complained_us = now;
        log_error("Audit events are lost (%llu so far): cannot write to %s: %s%s",
                        (unsigned long long)s->lost, s->path, why ? why : strerror(-error),
                        error == -ENOSPC ? "; free space, or lower --audit-log-maxbackup and "
                                           "--audit-log-maxsize"
                                         : "");
}

static void recovered(struct sink *s) {
        if (s->lost == 0)
                return;
        log_notice("The audit log is written again; %llu events were lost",
                        (unsigned long long)s->lost);
        s->lost = s->complained_us = 0;
}

/* --- files --- */

/* A crash may have left half a line. */
static bool ends_with_newline(int fd, uint64_t size) {
        char last;

        return size == 0 || (pread(fd, &last, 1, (off_t)size - 1) == 1 && last == '\n');
}

static int open_file(struct sink *s) {
        _cleanup_close_ int fd = open(s->path,
                        O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
        struct stat st;

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        safe_close(s->fd);
        s->fd = TAKE_FD(fd);
        s->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
        s->size_max = S_ISREG(st.st_mode)
                                      ? (uint64_t)(s->options.size_mb_max ? s->options.size_mb_max
                                                                          : SINK_SIZE_MB_DEFAULT)
                                                        << 20
                                      : 0;
        s->broken = S_ISREG(st.st_mode) && !ends_with_newline(s->fd, s->size);
        return 0;
}

static void prune(struct sink *s, const char *folder, const char *name) {
        _cleanup_strv_free_ char **names = NULL, **expired = NULL;

        if (s->options.backups == 0 && s->options.age_days == 0)
                return;
        if (file_list(folder, &names) < 0 ||
                        sink_expired(name, names, &s->options, now_wall_us(), &expired) < 0)
                return;
        for (char **e = expired; e && *e; e++) {
                _cleanup_free_ char *path = strformat("%s/%s", folder, *e);

                if (path && unlink(path) < 0)
                        (void)log_warning_errno(errno, "Cannot remove %s", path);
        }
}

/* The file continues to be used when it cannot be renamed. */
static void rotate(struct sink *s) {
        const char *slash = strrchr(s->path, '/'), *name = slash ? slash + 1 : s->path;
        _cleanup_free_ char *folder = slash ? strndup(s->path, (size_t)MAX(slash - s->path, 1))
                                            : strdup("."),
                            *backup = sink_backup_name(name, now_wall_us()),
                            *to = folder && backup ? strformat("%s/%s", folder, backup) : NULL;
        int r;

        if (!to)
                return;
        if (rename(s->path, to) < 0) {
                (void)log_warning_errno(errno, "Cannot rename %s, it grows on", s->path);
                s->size_max += s->size_max; /* tried again later */
                return;
        }
        r = open_file(s);
        if (r < 0) /* the old file, under its new name, takes the lines */
                (void)log_warning_errno(r, "Cannot open %s", s->path);
        prune(s, folder, name);
}

static int write_file(struct sink *s, const char *line, size_t n) {
        struct iovec iov[3] = {
                        {(char *)"\n", s->broken ? 1 : 0}, {(char *)line, n}, {(char *)"\n", 1}};
        size_t all = iov[0].iov_len + n + 1;
        ssize_t done;

        if (s->size_max && s->size > 0 && s->size + all > s->size_max)
                rotate(s);
        do
                done = writev(s->fd, iov, ELEMENTS(iov));
        while (done < 0 && errno == EINTR);
        if (done == (ssize_t)all) {
                s->size += all;
                s->broken = false;
                return 0;
        }
        if (done < 0)
                return -errno;
        s->broken = ftruncate(s->fd, (off_t)s->size) < 0;
        if (s->broken)
                s->size += (size_t)done;
        return -ENOSPC;
}

/* --- pipes and sockets: what they do not take at once waits --- */

static ssize_t send_some(struct sink *s) {
        if (s->target == TO_SOCKET)
                return send(s->fd, s->queue.data, s->queue.size, MSG_DONTWAIT | MSG_NOSIGNAL);
        return write(s->fd, s->queue.data, s->queue.size);
}

static int flush_queue(struct sink *s) {
        while (s->queue.size > 0) {
                ssize_t n = send_some(s);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                buf_consume(&s->queue, (size_t)n);
        }
        return 0;
}

static int on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct sink *s = userdata;
        int r = flush_queue(s);

        if (r < 0) {
                buf_reset(&s->queue);
                lose(s, r, NULL);
        }
        if (s->queue.size == 0)
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
}

static int write_queue(struct sink *s, const char *line, size_t n) {
        int r;

        if (s->queue.size + n + 1 > SINK_QUEUE_BYTES_MAX)
                return -ENOBUFS;
        if (buf_append(&s->queue, line, n) < 0 || buf_append_char(&s->queue, '\n') < 0)
                return -ENOMEM;
        r = flush_queue(s);
        if (r < 0)
                buf_reset(&s->queue);
        if (s->queue.size > 0 && s->writable)
                (void)sd_event_source_set_enabled(s->writable, SD_EVENT_ON);
        return r;
}

/* A description of our own, so that others who have our standard output still block. */
static int open_stdout(struct sink *s) {
        struct stat st;
        int r;

        if (fstat(STDOUT_FILENO, &st) < 0)
                return -errno;
        s->target = S_ISSOCK(st.st_mode) ? TO_SOCKET : TO_PIPE;
        s->fd = S_ISSOCK(st.st_mode)
                                ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                                : open("/proc/self/fd/1", O_WRONLY | O_APPEND | O_NONBLOCK |
                                                                          O_CLOEXEC | O_NOCTTY);
        if (s->fd < 0)
                return -errno;
        r = sd_event_add_io(s->event, &s->writable, s->fd, EPOLLOUT, on_writable, s);
        if (r == -EPERM) /* a file, which never waits */
                return 0;
        return r < 0 ? r : sd_event_source_set_enabled(s->writable, SD_EVENT_OFF);
}

/* --- the journal --- */

static int write_journal(const char *line, size_t n, const char *const *fields) {
        char texts[JOURNAL_FIELDS_MAX][512];
        struct iovec iov[JOURNAL_FIELDS_MAX + 3];
        _cleanup_free_ char *message = malloc(n + 9);
        int used = 0;

        if (!message)
                return -ENOMEM;
        memcpy(message, "MESSAGE=", 8);
        memcpy(message + 8, line, n);
        iov[used++] = (struct iovec){message, n + 8};
        iov[used++] = (struct iovec){(char *)"PRIORITY=6", 10};
        iov[used++] = (struct iovec){(char *)"SYSLOG_IDENTIFIER=kapid-audit", 29};
        for (size_t i = 0; fields && fields[i] && i / 2 < JOURNAL_FIELDS_MAX; i += 2) {
                char *t = texts[i / 2];

                snprintf(t, sizeof(texts[0]), "%s=%s", fields[i], strempty(fields[i + 1]));
                iov[used++] = (struct iovec){t, strlen(t)};
        }
        return sd_journal_sendv(iov, used);
}

/* --- all --- */

void sink_write(struct sink *s, const char *line, size_t n, const char *const *fields) {
        int r = s->target == TO_FILE      ? write_file(s, line, n)
                : s->target == TO_JOURNAL ? write_journal(line, n, fields)
                                          : write_queue(s, line, n);

        if (r < 0) {
                lose(s, r, r == -ENOBUFS ? "its reader is too slow" : NULL);
                return;
        }
        metric_add(s->events, 1);
        recovered(s);
}

static int sink_open(struct sink *s, struct problem *p) {
        int r;

        if (streq(s->path, "journald")) {
                s->target = TO_JOURNAL;
                return 0;
        }
        r = streq(s->path, "-") ? open_stdout(s) : open_file(s);
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(s->path, "write the audit log", r);

                return problem_set(p, -r, 0, NULL, "--audit-log-path: %s", strempty(why));
        }
        return 0;
}

int sink_new(struct sink **ret, sd_event *event, const struct sink_options *o, struct metrics *m,
                struct problem *p) {
        _cleanup_(sink_freep) struct sink *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->fd = -EBADF;
        s->event = sd_event_ref(event);
        s->options = *o;
        s->path = strdup(o->path);
        s->options.path = s->path;
        s->events = metrics_counter(m, "apiserver_audit_event_total", "", "Audit events written.");
        s->errors = metrics_counter(m, "apiserver_audit_error_total", "plugin=\"log\"",
                        "Audit events that could not be written.");
        if (!s->path || !s->events || !s->errors)
                return -ENOMEM;
        r = sink_open(s, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

struct sink *sink_free(struct sink *s) {
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->writable);
        (void)flush_queue(s);
        safe_close(s->fd);
        buf_done(&s->queue);
        sd_event_unref(s->event);
        free(s->path);
        return mfree(s);
}
