/* journald's own stream of a unit's output strips blanks, drops empty lines, cuts long ones and
 * ends lines at NUL. The output of containers is therefore read here and sent to journald in its
 * native protocol, which takes any bytes. A container's standard output is a connection to its own
 * socket (StandardOutput=file:SOCKET), which systemd opens at each start: every run has its own
 * stream, and the socket says which container it is.
 *
 * Sockets and streams are kept in systemd's file descriptor store: when this process exits or
 * crashes, the containers do not notice, and the next process continues. Only the beginning of a
 * line that was not complete is lost. The agent need not run. */
#include "config.h"

#include "nodeagent/logs/log-collect.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>

#include "lib/buf.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/map.h"
#include "nodeagent/logs/log-attach.h"
#include "nodeagent/terminals.h"

enum { READ_SIZE = 64 * 1024, FIELDS_MAX = 24, ACCEPT_PER_TURN = 16, DRAIN_READS_MAX = 16 };

struct log_collector {
        sd_event *event;
        struct map *sources; /* name -> struct log_source */
        uint64_t serial;
        int control;
};

/* A container's socket, which its runs connect to. */
struct log_source {
        struct log_collector *collector;
        char *name, *unit;
        json_t *about;
        unsigned refs;
        int fd;
        sd_event_source *io;
        LIST_HEAD(, stream) streams;
        struct stream *newest; /* the run that attached clients get; NULL: none */
};

/* One run of the container (or a command beside it). */
struct stream {
        struct log_source *source;
        char *stored; /* its name in the file descriptor store */
        char *invocation;
        int fd;
        int slave; /* of a terminal, which lives on between runs; else negative */
        sd_event_source *io, *timer;
        struct buf rest;
        struct log_budget budget;
        struct log_attached attached;
        LIST_ENTRY(stream) others; /* of the source */
};

static struct log_source *source_unref(struct log_source *s) {
        if (!s || --s->refs > 0)
                return NULL;
        sd_event_source_disable_unref(s->io);
        safe_close(s->fd);
        json_decref(s->about);
        free(s->name);
        free(s->unit);
        free(s);
        return NULL;
}

static void source_release(void *value) {
        struct log_source *s = value;

        /* Open streams continue; no new ones are accepted. */
        s->io = sd_event_source_disable_unref(s->io);
        s->fd = safe_close(s->fd);
        source_unref(s);
}

/* Within a run the program's own connection comes first. Others are made by commands beside it. */
static void stream_began(struct stream *s) {
        struct stream *newest = s->source->newest;

        LIST_INSERT_HEAD(&s->source->streams, s, others);
        if (!newest || !streq(newest->invocation, s->invocation))
                s->source->newest = s;
}

static void stream_ended(struct stream *s) {
        struct stream *x;

        LIST_REMOVE(s, others);
        if (s->source->newest != s)
                return;
        s->source->newest = NULL;
        LIST_FOREACH (x, &s->source->streams, others)
                if (streq(x->invocation, s->invocation))
                        s->source->newest = x;
}

/* A command beside the program may end before it. */
static bool is_last_of_run(const struct stream *s) {
        const struct stream *x;

        LIST_FOREACH (x, &s->source->streams, others)
                if (x != s && streq(x->invocation, s->invocation))
                        return false;
        return true;
}

static void stream_free(struct stream *s) {
        log_attached_end(&s->attached);
        if (s->fd >= 0)
                stream_ended(s);
        sd_event_source_disable_unref(s->timer);
        sd_event_source_disable_unref(s->io);
        safe_close(s->fd);
        safe_close(s->slave);
        source_unref(s->source);
        buf_done(&s->rest);
        free(s->stored);
        free(s->invocation);
        free(s);
}

static void fdstore_add(const char *name, int fd) {
        _cleanup_free_ char *text = strformat("FDSTORE=1\nFDNAME=%s", name);

        if (text)
                (void)sd_pid_notify_with_fds(0, 0, text, &fd, 1);
}

static void fdstore_remove(const char *name) {
        _cleanup_free_ char *text = strformat("FDSTOREREMOVE=1\nFDNAME=%s", name);

        if (text)
                (void)sd_notify(0, text);
}

/* ---- entries ---- */

static void set_field(struct iovec *v, char *text) {
        *v = (struct iovec){text, text ? strlen(text) : 0};
}

static int send_line(const struct stream *s, const struct log_line *line) {
        struct iovec v[FIELDS_MAX];
        size_t n = 0, i;
        const json_t *field;
        _cleanup_free_ char *message = malloc(line->size + 8),
                            *unit = strformat("OBJECT_SYSTEMD_UNIT=%s", s->source->unit),
                            *invocation = strformat("KEELSON_INVOCATION=%s", s->invocation);
        static char priority[] = "PRIORITY=6", partial[] = "KEELSON_PARTIAL=1";

        if (!message || !unit || !invocation)
                return -ENOMEM;
        memcpy(message, "MESSAGE=", 8);
        memcpy(message + 8, line->data, line->size);
        v[n++] = (struct iovec){message, line->size + 8};
        set_field(&v[n++], priority);
        set_field(&v[n++], unit);
        set_field(&v[n++], invocation);
        if (!line->ended)
                set_field(&v[n++], partial);
        json_array_foreach (json_at(s->source->about, "fields"), i, field)
                if (n < FIELDS_MAX)
                        set_field(&v[n++], (char *)strempty(json_string_value(field)));
        return sd_journal_sendv(v, (int)n);
}

/* The number of entries made. */
static uint64_t take_lines(struct stream *s, bool last) {
        size_t done = 0, used;
        uint64_t count = 0;
        struct log_line line;

        while (log_line_next(s->rest.size > 0 ? s->rest.data + done : "", s->rest.size - done, last,
                               &line, &used) > 0) {
                int r = send_line(s, &line);
                if (r < 0)
                        log_warning_errno(r, "A line of %s did not reach the journal",
                                        s->source->unit);
                done += used;
                count++;
        }
        buf_consume(&s->rest, done);
        return count;
}

static int on_interval(sd_event_source *timer, uint64_t usec, void *userdata) {
        struct stream *s = userdata;

        return sd_event_source_set_enabled(s->io, SD_EVENT_ON);
}

static int pause_until(struct stream *s, uint64_t until_us) {
        int r;

        if (!s->timer)
                r = sd_event_add_time(s->source->collector->event, &s->timer, CLOCK_MONOTONIC,
                                until_us, 0, on_interval, s);
        else
                r = sd_event_source_set_time(s->timer, until_us);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(s->io, SD_EVENT_OFF);
}

/* The program's writes block when the socket is full, so nothing is lost. */
static int wait_until(struct stream *s, uint64_t until_us) {
        static const char text[] = "keelson: this container writes more than 10000 lines or 8 MiB "
                                   "in 30 seconds; its writes block until they are over, then its "
                                   "output is read again. Nothing is lost. Write less, or "
                                   "to a volume.";
        const struct log_line line = {text, sizeof(text) - 1, true};
        int r;

        _Static_assert(LOG_BUDGET_LINES == 10000 && LOG_BUDGET_BYTES == 8 << 20, "as in text");
        r = pause_until(s, until_us);
        if (r < 0)
                return r;
        return send_line(s, &line);
}

static void take_and_count(struct stream *s, size_t bytes) {
        uint64_t lines = take_lines(s, false), now = 0, until;
        int r;

        if (sd_event_now(s->source->collector->event, CLOCK_MONOTONIC, &now) < 0)
                return;
        until = log_budget_take(&s->budget, now, lines, bytes);
        r = until > 0 ? wait_until(s, until) : 0;
        if (r < 0)
                log_warning_errno(r, "Cannot limit the output of %s", s->source->unit);
}

/* Journald keeps the order of what one process sends. */
static void send_end(const struct stream *s) {
        int r = sd_journal_send(LOG_COLLECT_END "=%s", s->invocation, "PRIORITY=7", NULL);

        if (r < 0)
                log_warning_errno(r, "The end of the output of %s did not reach the journal",
                                s->source->unit);
}

static void read_invocation(struct stream *s);
static int open_slave(struct stream *s);

/* A terminal was hung up by the end of its run; a slave that is open takes that back, and the next
 * run continues on it. */
static int on_hangup(struct stream *s) {
        (void)take_lines(s, true);
        log_attached_end(&s->attached);
        return open_slave(s);
}

static int on_data(sd_event_source *io, int fd, uint32_t events, void *userdata) {
        struct stream *s = userdata;
        static char data[READ_SIZE];
        ssize_t n = read(fd, data, sizeof(data));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n > 0 && buf_append(&s->rest, data, (size_t)n) >= 0) {
                if (s->slave >= 0)
                        read_invocation(s);
                log_attached_output(&s->attached, data, (size_t)n);
                take_and_count(s, (size_t)n);
                return 0;
        }
        if (n < 0 && errno == EIO && s->slave >= 0 && on_hangup(s) >= 0)
                return 0;
        (void)take_lines(s, true);
        if (is_last_of_run(s))
                send_end(s);
        fdstore_remove(s->stored);
        stream_free(s);
        return 0;
}

/* ---- streams ---- */

/* The invocation that systemd has or starts for this unit; false when it has ended. */
static bool has_invocation(const char *unit, char ret[static 33]) {
        _cleanup_free_ char *path = strformat("/run/systemd/units/invocation:%s", unit);
        ssize_t n = path ? readlink(path, ret, 33) : -1;

        ret[32] = 0;
        return n == 32;
}

/* The same; a random one when it has ended. */
static char *invocation_of(const char *unit) {
        char target[33];
        sd_id128_t id;

        if (has_invocation(unit, target))
                return strdup(target);
        return sd_id128_randomize(&id) < 0 ? NULL : strdup(SD_ID128_TO_STRING(id));
}

/* Which run of a terminal it is, is known when it writes. */
static void read_invocation(struct stream *s) {
        char *id = invocation_of(s->source->unit);

        if (!id)
                return;
        /* Those that were attached were attached to the run before. */
        if (!streq(id, s->invocation))
                log_attached_end(&s->attached);
        free(s->invocation);
        s->invocation = id;
}

static int open_slave(struct stream *s) {
        s->slave = safe_close(s->slave);
        s->slave = ioctl(s->fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        return s->slave < 0 ? -errno : 0;
}

static int stream_new(
                struct log_source *source, int fd, const char *invocation, const char *stored) {
        struct log_collector *c = source->collector;
        struct stream *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->source = source;
        source->refs++;
        s->fd = s->slave = -EBADF;
        LIST_INIT(&s->attached.clients);
        s->invocation = invocation ? strdup(invocation) : invocation_of(source->unit);
        if (s->invocation)
                s->stored = stored ? strdup(stored)
                                   : strformat("s-%s-%s-%llu", source->name, s->invocation,
                                                     (unsigned long long)c->serial++);
        r = s->stored ? sd_event_add_io(c->event, &s->io, fd, EPOLLIN, on_data, s) : -ENOMEM;
        if (r < 0) {
                stream_free(s);
                return r;
        }
        s->fd = fd;
        stream_began(s);
        if (json_bool_or(source->about, "tty", false) && open_slave(s) < 0)
                log_warning_errno(errno, "Cannot keep the terminal of %s", source->unit);
        if (!stored)
                fdstore_add(s->stored, fd);
        return 0;
}

static int on_connection(sd_event_source *io, int fd, uint32_t events, void *userdata) {
        struct log_source *s = userdata;

        for (unsigned i = 0; i < ACCEPT_PER_TURN; i++) {
                int one = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (one < 0)
                        return 0;
                if (stream_new(s, one, NULL, NULL) < 0)
                        safe_close(one);
        }
        return 0;
}

/* ---- sources ---- */

static bool name_is_valid(const char *name) {
        size_t n = strspn(name, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-");
        return n > 0 && n <= 100 && !name[n] && name[0] != '.';
}

/* Takes fd, also after an error; negative: a terminal, whose one stream comes by stream_new(). */
static int source_new(struct log_collector *c, const json_t *about, int fd) {
        const char *name = json_str_or(about, "name", "");
        struct log_source *s = calloc(1, sizeof(*s));
        int r;

        if (!s) {
                safe_close(fd);
                return -ENOMEM;
        }
        *s = (struct log_source){.collector = c,
                        .refs = 1,
                        .fd = fd,
                        .about = json_ref(about),
                        .name = strdup(name),
                        .unit = strdup(json_str_or(about, "unit", ""))};
        r = !s->name || !s->unit ? -ENOMEM
            : fd < 0             ? 0
                                 : sd_event_add_io(c->event, &s->io, fd, EPOLLIN, on_connection, s);
        if (r < 0) {
                source_unref(s);
                return r;
        }
        r = map_set(c->sources, name, s);
        if (r < 0) {
                source_unref(s);
                return r;
        }
        return 0;
}

static char *about_path(const char *name) {
        return strformat(LOG_COLLECT_DIR "/%s.json", name);
}

static void source_remove(struct log_collector *c, const char *name) {
        _cleanup_free_ char *stored = strformat("l-%s", name), *path = about_path(name),
                            *socket = strformat(LOG_COLLECT_DIR "/%s", name),
                            *tty = strformat(LOG_COLLECT_DIR "/%s" LOG_TTY_SUFFIX, name);
        struct log_source *s = map_get(c->sources, name);

        /* A terminal does not end by itself. */
        if (s && s->newest && s->newest->slave >= 0) {
                fdstore_remove(s->newest->stored);
                stream_free(s->newest);
        }
        if (tty)
                (void)unlink(tty);
        if (stored)
                fdstore_remove(stored);
        if (path)
                (void)unlink(path);
        if (socket)
                (void)unlink(socket);
        (void)map_remove(c->sources, name);
}

/* ---- the agent's messages ---- */

/* The link that the unit opens, once more: it may have been removed when this process started. */
static void link_terminal(const char *name, int master) {
        _cleanup_free_ char *path = strformat(LOG_COLLECT_DIR "/%s" LOG_TTY_SUFFIX, name);
        char slave[TERMINAL_PATH_SIZE];

        if (path && terminal_path(master, slave) >= 0)
                (void)symlink_atomic(slave, path);
}

/* Takes fd, also after an error. */
static int add_terminal(struct log_collector *c, const json_t *about, int fd) {
        const char *name = json_str_or(about, "name", "");
        struct log_source *s;
        int r;

        if (map_get(c->sources, name))
                source_remove(c, name);
        link_terminal(name, fd);
        (void)fcntl(fd, F_SETFL, O_NONBLOCK);
        r = source_new(c, about, -EBADF);
        s = r < 0 ? NULL : map_get(c->sources, name);
        r = s ? stream_new(s, fd, NULL, NULL) : r < 0 ? r : -ENOMEM;
        if (r < 0)
                safe_close(fd);
        return r;
}

/* Takes fd, also after an error. */
static int add_source(struct log_collector *c, const json_t *about, int fd) {
        const char *name = json_str_or(about, "name", "");
        _cleanup_free_ char *stored = strformat("l-%s", name), *path = about_path(name),
                            *text = json_text(about);
        /* The file (in a tmpfs) first: the next process must know which socket it is. */
        int r = stored && path && text ? file_write_atomic(path, text, strlen(text), 0600)
                                       : -ENOMEM;

        if (r < 0) {
                safe_close(fd);
                return r;
        }
        if (json_bool_or(about, "tty", false)) {
                r = add_terminal(c, about, fd);
                /* Without the old source its file has gone too. */
                return r < 0 ? r : file_write_atomic(path, text, strlen(text), 0600);
        }
        fdstore_remove(stored);
        r = source_new(c, about, fd);
        if (r < 0)
                return r;
        fdstore_add(stored, fd);
        return 0;
}

static void new_source(struct log_collector *c, const json_t *about, int fd) {
        int r = add_source(c, about, fd);

        if (r < 0)
                log_warning_errno(r, "Cannot collect the output of %s",
                                json_str_or(about, "unit", ""));
}

/* Takes fd. Without a run the client sees its end. */
static void attach(struct log_collector *c, const char *name, int fd) {
        struct log_source *s = map_get(c->sources, name);
        bool input = s && json_bool_or(s->about, "stdin", false);
        /* A terminal's input does not end. */
        bool once = input && s->newest && s->newest->slave < 0 &&
                    json_bool_or(s->about, "stdinOnce", false);
        int r;

        if (!s || !s->newest) {
                safe_close(fd);
                return;
        }
        r = log_attached_add(&s->newest->attached, c->event, fd, s->newest->fd,
                        (input ? LOG_ATTACH_INPUT : 0) | (once ? LOG_ATTACH_INPUT_ONCE : 0));
        if (r < 0)
                log_warning_errno(r, "Cannot attach to %s", s->unit);
}

/* A program's end does not hang up its terminal: the agent reports it. What was written before is
 * passed on first. */
static void run_ended(struct log_collector *c, const char *name, const char *invocation) {
        const struct log_source *source = map_get(c->sources, name);
        struct stream *s = source ? source->newest : NULL;
        char now[33];
        int waiting = 0;

        if (!s || (has_invocation(source->unit, now) && !streq(now, invocation)))
                return; /* another run has begun */
        for (size_t i = 0; i < DRAIN_READS_MAX && source->newest == s &&
                           ioctl(s->fd, FIONREAD, &waiting) == 0 && waiting > 0;
                        i++)
                (void)on_data(/* io= */ NULL, s->fd, EPOLLIN, s);
        if (source->newest == s)
                log_attached_end(&s->attached);
}

static int on_message(sd_event_source *io, int fd, uint32_t events, void *userdata) {
        struct log_collector *c = userdata;
        static char text[LOG_COLLECT_MESSAGE_MAX];
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec v = {text, sizeof(text)};
        struct msghdr m = {.msg_iov = &v,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        _cleanup_json_ json_t *about = NULL;
        const char *name;
        int passed = -EBADF;

        if (n < 0)
                return 0;
        for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
                if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
                        memcpy(&passed, CMSG_DATA(h), sizeof(passed));
        if (json_parse(text, (size_t)n, 0, &about, NULL) < 0 || (m.msg_flags & MSG_TRUNC)) {
                safe_close(passed);
                return 0;
        }
        if ((name = json_str(about, "remove")) && name_is_valid(name))
                source_remove(c, name);
        else if ((name = json_str(about, "ended")) && name_is_valid(name))
                run_ended(c, name, json_str_or(about, "invocation", ""));
        else if (passed >= 0 && (name = json_str(about, "attach")) && name_is_valid(name)) {
                attach(c, name, passed);
                passed = -EBADF;
        } else if (passed >= 0 && name_is_valid(json_str_or(about, "name", ""))) {
                new_source(c, about, passed);
                passed = -EBADF;
        }
        safe_close(passed);
        /* The agent was upgraded: systemd starts the next process from the new version. */
        if (!streq(json_str_or(about, "version", PACKAGE_VERSION), PACKAGE_VERSION))
                (void)sd_event_exit(c->event, 0);
        return 0;
}

static int open_control(struct log_collector *c) {
        struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = LOG_COLLECT_CONTROL};
        int r = mkdir_parents(LOG_COLLECT_DIR, 0700);

        if (r < 0)
                return r;
        c->control = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (c->control < 0)
                return -errno;
        (void)unlink(LOG_COLLECT_CONTROL);
        if (bind(c->control, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return sd_event_add_io(c->event, NULL, c->control, EPOLLIN, on_message, c);
}

/* ---- the contents of the file descriptor store ---- */

static void restore_source(struct log_collector *c, const char *name, int fd) {
        _cleanup_free_ char *path = about_path(name), *text = NULL,
                            *socket = strformat(LOG_COLLECT_DIR "/%s", name);
        _cleanup_json_ json_t *about = NULL;
        size_t n;

        if (!path || !socket || access(socket, F_OK) < 0 ||
                        file_read(path, LOG_COLLECT_MESSAGE_MAX, &text, &n) < 0 ||
                        json_parse(text, n, 0, &about, NULL) < 0) {
                safe_close(fd);
                source_remove(c, name);
                return;
        }
        (void)source_new(c, about, fd);
}

/* The source of a terminal has no socket that could be stored. */
static struct log_source *restore_terminal(struct log_collector *c, const char *name) {
        _cleanup_free_ char *path = about_path(name), *text = NULL;
        _cleanup_json_ json_t *about = NULL;
        size_t n;

        if (!path || file_read(path, LOG_COLLECT_MESSAGE_MAX, &text, &n) < 0 ||
                        json_parse(text, n, 0, &about, NULL) < 0 ||
                        !json_bool_or(about, "tty", false) || source_new(c, about, -EBADF) < 0)
                return NULL;
        return map_get(c->sources, name);
}

/* "s-<name>-<invocation>-<serial>" */
static void restore_stream(struct log_collector *c, const char *stored, int fd) {
        const char *serial = strrchr(stored, '-');
        size_t n = serial ? (size_t)(serial - stored) : 0;
        _cleanup_free_ char *name = NULL, *invocation = NULL;
        struct log_source *source;
        uint64_t number;

        if (n < 2 + 33 || stored[n - 33] != '-' || parse_u64(serial + 1, &number) < 0) {
                safe_close(fd);
                return;
        }
        c->serial = MAX(c->serial, number + 1);
        name = strndup(stored + 2, n - 33 - 2);
        invocation = strndup(stored + n - 32, 32);
        source = name ? map_get(c->sources, name) : NULL;
        if (name && !source)
                source = restore_terminal(c, name);
        if (!source || !invocation || stream_new(source, fd, invocation, stored) < 0) {
                safe_close(fd);
                fdstore_remove(stored);
        }
}

static int restore(struct log_collector *c) {
        char **names = NULL;
        int n = sd_listen_fds_with_names(1, &names);

        /* Streams belong to sources: those first. */
        for (int pass = 0; pass < 2; pass++)
                for (int i = 0; i < n; i++) {
                        int fd = SD_LISTEN_FDS_START + i;

                        (void)fcntl(fd, F_SETFL, O_NONBLOCK);
                        if (pass == 0 && startswith(names[i], "l-"))
                                restore_source(c, names[i] + 2, fd);
                        else if (pass == 1 && startswith(names[i], "s-"))
                                restore_stream(c, names[i], fd);
                }
        for (int i = 0; i < n; i++)
                free(names[i]);
        free(names);
        return MIN(n, 0);
}

/* A link without a terminal could lead to another one of the same number. The agent makes a
 * new one before the next start. */
static void remove_stale_terminals(struct log_collector *c) {
        DIR *dir = opendir(LOG_COLLECT_DIR);
        const struct dirent *e;

        while (dir && (e = readdir(dir))) {
                const char *suffix = endswith(e->d_name, LOG_TTY_SUFFIX);
                _cleanup_free_ char *name =
                                suffix ? strndup(e->d_name, (size_t)(suffix - e->d_name)) : NULL;
                const struct log_source *s = name ? map_get(c->sources, name) : NULL;

                if (name && (!s || !s->newest))
                        (void)unlinkat(dirfd(dir), e->d_name, 0);
        }
        if (dir)
                (void)closedir(dir);
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int run_loop(struct log_collector *c) {
        int r;

        c->sources = map_new(source_release);
        if (!c->sources)
                return -ENOMEM;
        r = sd_event_new(&c->event);
        if (r < 0)
                return r;
        r = sd_event_add_signal(c->event, NULL, SIGTERM, on_signal, c);
        if (r < 0)
                return r;
        r = sd_event_add_signal(c->event, NULL, SIGINT, on_signal, c);
        if (r < 0)
                return r;
        r = restore(c);
        if (r < 0)
                return r;
        remove_stale_terminals(c);
        r = open_control(c);
        if (r < 0)
                return r;
        (void)sd_notify(0, "READY=1\nSTATUS=collects the output of containers");
        return sd_event_loop(c->event);
}

int log_collect_main(void) {
        struct log_collector c = {.control = -EBADF};
        sigset_t signals;
        int r;

        log_setup("knodeagent", LOG_INFO);
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        (void)sigprocmask(SIG_BLOCK, &signals, NULL);
        r = run_loop(&c);
        if (r < 0)
                log_error_errno(r, "Cannot collect the containers' output");
        map_free(c.sources);
        safe_close(c.control);
        sd_event_unref(c.event);
        return r < 0 ? 1 : 0;
}
