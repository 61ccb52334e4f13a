/* haproxy reads one line of commands separated by ';', answers all and closes. Each line asks for
 * the generation first, so that an answer of a worker that is being replaced is noticed. Answers
 * that are not known as good are failures. */
#include "reconcilers/ingress/runtime.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "lib/buf.h"

/* A line must fit haproxy's buffer of 16 kB. */
enum { LINE_MAX_BYTES = 8000, ANSWER_MAX = 1 << 20 };
#define CALL_TIMEOUT_US UINT64_C(5000000)

struct runtime_call {
        sd_event *event;
        char *path;
        uint64_t generation;
        json_t *commands;
        size_t next; /* the first command that was not sent */
        int fd;
        sd_event_source *io, *timer;
        struct buf answer;
        runtime_done_func done;
        void *userdata;
};

struct runtime_call *runtime_call_free(struct runtime_call *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->timer);
        safe_close(c->fd);
        free(c->path);
        json_decref(c->commands);
        buf_done(&c->answer);
        free(c);
        return NULL;
}

static void finish(struct runtime_call *c, int error, const char *why) {
        _cleanup_free_ char *text = why ? strdup(why) : NULL;
        runtime_done_func done = c->done;
        void *userdata = c->userdata;

        runtime_call_free(c);
        done(error, text, userdata);
}

/* 0, -ESTALE, or -EIO with the line that is not an answer of success. */
static int check_answer(struct runtime_call *c, char **ret_line) {
        static const char *const good[] = {"IP changed from", "no need to change", "port changed"};
        _cleanup_strv_free_ char **lines = NULL;
        _cleanup_free_ char *want =
                        strformat("KEELSON_GENERATION=%llu", (unsigned long long)c->generation);
        int r;

        if (!want)
                return -ENOMEM;
        r = strv_split(strempty(c->answer.data), "\n", &lines);
        if (r < 0)
                return r;
        if (!lines || !lines[0] || !streq(lines[0], want))
                return -ESTALE;
        for (char **line = lines + 1; *line; line++) {
                bool is_good = false;

                for (size_t i = 0; i < ELEMENTS(good); i++)
                        is_good |= startswith(*line, good[i]) != NULL;
                if (is_good)
                        continue;
                *ret_line = strdup(*line);
                return *ret_line ? -EIO : -ENOMEM;
        }
        return 0;
}

static int send_piece(struct runtime_call *c);

static int on_readable(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        struct runtime_call *c = userdata;
        _cleanup_free_ char *line = NULL;
        char piece[4096];
        ssize_t n = read(fd, piece, sizeof(piece));
        int r;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n > 0 && c->answer.size + (size_t)n <= ANSWER_MAX &&
                        buf_append(&c->answer, piece, (size_t)n) >= 0)
                return 0;
        r = n < 0 ? -errno : n > 0 ? -EFBIG : check_answer(c, &line);
        if (r >= 0 && c->next < json_array_size(c->commands)) {
                r = send_piece(c);
                if (r >= 0)
                        return 0;
        }
        finish(c, r, line);
        return 0;
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        finish(userdata, -ETIMEDOUT, NULL);
        return 0;
}

static int connect_to(const char *path) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = -EBADF;

        if (strlen(path) >= sizeof(a.sun_path))
                return -ENAMETOOLONG;
        memcpy(a.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* As many commands as fit a line. */
static int send_piece(struct runtime_call *c) {
        _cleanup_buf_ struct buf line = {0};
        int r;

        c->io = sd_event_source_disable_unref(c->io);
        c->fd = safe_close(c->fd);
        buf_reset(&c->answer);
        buf_append_str(&line, "show env KEELSON_GENERATION");
        for (; c->next < json_array_size(c->commands); c->next++) {
                const char *text = json_string_value(json_array_get(c->commands, c->next));

                if (line.size + strlen(text) + 2 > LINE_MAX_BYTES)
                        break;
                buf_printf(&line, ";%s", text);
        }
        buf_append_char(&line, '\n');
        if (line.failed)
                return -ENOMEM;
        c->fd = connect_to(c->path);
        if (c->fd < 0)
                return c->fd;
        /* A new Unix socket takes a line at once. */
        if (send(c->fd, line.data, line.size, MSG_NOSIGNAL) != (ssize_t)line.size)
                return -EIO;
        r = sd_event_add_io(c->event, &c->io, c->fd, EPOLLIN, on_readable, c);
        return r < 0 ? r : 0;
}

static int runtime_start(struct runtime_call *c) {
        int r;

        if (!c->path)
                return -ENOMEM;
        r = sd_event_add_time_relative(c->event, &c->timer, CLOCK_MONOTONIC, CALL_TIMEOUT_US,
                        /* accuracy= */ 0, on_timeout, c);
        if (r < 0)
                return r;
        return send_piece(c);
}

int runtime_call_new(struct runtime_call **ret, sd_event *event, const char *path,
                uint64_t generation, const json_t *commands, runtime_done_func done,
                void *userdata) {
        struct runtime_call *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        *c = (struct runtime_call){.event = event,
                        .path = strdup(path),
                        .generation = generation,
                        .commands = json_ref(commands),
                        .fd = -EBADF,
                        .done = done,
                        .userdata = userdata};
        r = runtime_start(c);
        if (r < 0) {
                runtime_call_free(c);
                return r;
        }
        *ret = c;
        return 0;
}
