/* A body ends with a line of the byte 4, as unbound-control sends it. An answer whose line begins
 * with "error" is a refusal; unbound carries out the other lines of such a command. */
#include "nodeagent/dns/feed.h"

#include <sys/socket.h>
#include <sys/un.h>

enum {
        COMMAND_TIMEOUT_US = 10 * 1000000,
        READ_SIZE = 32768,
        LINE_MAX_SIZE = 1024 * 1024,
};
#define MAGIC "UBCT1 "
#define BODY_END "\x04\n"

struct dns_feed {
        sd_event *event;
        char *path;
        struct dns_commands commands;
        size_t next; /* command */
        struct dns_feed_callbacks callbacks;
        bool busy;
        int fd;
        sd_event_source *io, *timer, *defer;
        struct buf out, in;
        size_t sent;
        char *refusal; /* the first line that said error */
};

void dns_commands_done(struct dns_commands *c) {
        for (size_t i = 0; i < c->list.count; i++) {
                free(c->list.items[i].text);
                free(c->list.items[i].body);
        }
        vector_done(&c->list);
}

int dns_commands_add(struct dns_commands *c, const char *text, char *body) {
        struct dns_command command = {.text = strdup(text), .body = body};
        int r = command.text ? vector_append(&c->list, command) : -ENOMEM;

        if (r < 0) {
                free(command.text);
                free(body);
        }
        return r;
}

static int add_bulk(struct dns_commands *c, const char *text, struct buf *body) {
        char *lines;

        if (body->failed)
                return -ENOMEM;
        if (body->size == 0)
                return 0;
        lines = buf_take(body);
        return lines ? dns_commands_add(c, text, lines) : -ENOMEM;
}

/* "VERB VIEW NAME[ END]" for each name. */
static int add_singles(struct dns_commands *c, const char *verb, const char *view,
                char *const *names, const char *end) {
        for (; names && *names; names++) {
                _cleanup_free_ char *text = strformat("%s %s %s%s", verb, view, *names, end);
                int r = text ? dns_commands_add(c, text, /* body= */ NULL) : -ENOMEM;

                if (r < 0)
                        return r;
        }
        return 0;
}

int dns_changes_commands(struct dns_changes *changes, const char *view, struct dns_commands *ret) {
        _cleanup_free_ char *show = strformat("view_local_datas %s", view);
        int r = show ? add_bulk(ret, show, &changes->shown) : -ENOMEM;

        if (r < 0)
                return r;
        r = add_singles(ret, "view_local_zone_remove", view, changes->dropped, "");
        if (r < 0)
                return r;
        r = add_singles(ret, "view_local_zone", view, changes->zones, " redirect");
        if (r < 0)
                return r;
        r = add_bulk(ret, show, &changes->zone_data);
        if (r < 0)
                return r;
        r = add_bulk(ret, "local_datas_remove", &changes->removed);
        if (r < 0)
                return r;
        r = add_bulk(ret, "local_datas", &changes->added);
        if (r < 0)
                return r;
        return add_singles(ret, "view_local_zone_remove", view, changes->unshown, "");
}

int dns_feed_new(struct dns_feed **ret, sd_event *event, const char *socket_path) {
        struct dns_feed *f;

        if (strlen(socket_path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
                return -ENAMETOOLONG;
        f = calloc(1, sizeof(*f));
        if (!f)
                return -ENOMEM;
        f->fd = -EBADF;
        f->event = sd_event_ref(event);
        f->path = strdup(socket_path);
        if (!f->path) {
                dns_feed_free(f);
                return -ENOMEM;
        }
        *ret = f;
        return 0;
}

static void disconnect(struct dns_feed *f) {
        f->io = sd_event_source_disable_unref(f->io);
        f->timer = sd_event_source_disable_unref(f->timer);
        f->fd = safe_close(f->fd);
        buf_reset(&f->out);
        buf_reset(&f->in);
        f->sent = 0;
}

void dns_feed_stop(struct dns_feed *f) {
        disconnect(f);
        f->defer = sd_event_source_disable_unref(f->defer);
        dns_commands_done(&f->commands);
        f->refusal = mfree(f->refusal);
        f->busy = false;
}

struct dns_feed *dns_feed_free(struct dns_feed *f) {
        if (!f)
                return NULL;
        dns_feed_stop(f);
        buf_done(&f->out);
        buf_done(&f->in);
        sd_event_unref(f->event);
        free(f->path);
        free(f);
        return NULL;
}

bool dns_feed_is_busy(const struct dns_feed *f) {
        return f->busy;
}

static void finish(struct dns_feed *f, int result) {
        _cleanup_free_ char *message = TAKE_PTR(f->refusal);
        struct dns_feed_callbacks callbacks = f->callbacks;

        dns_feed_stop(f);
        if (result >= 0 && message)
                result = -EPROTO;
        callbacks.on_done(result, message ? message : strerror(-result), callbacks.userdata);
}

static int run_next(struct dns_feed *f);

static void command_over(struct dns_feed *f) {
        int r;

        disconnect(f);
        f->next++;
        r = f->next < f->commands.list.count ? run_next(f) : 1;
        if (r != 0)
                finish(f, MIN(r, 0));
}

static int take_line(struct dns_feed *f, const char *line) {
        if (startswith(line, "error") && !f->refusal) {
                f->refusal = strndup(line, 300);
                return f->refusal ? 0 : -ENOMEM;
        }
        if (f->callbacks.on_line && *line)
                f->callbacks.on_line(f->next, line, f->callbacks.userdata);
        return 0;
}

/* The lines that are whole; at_end: the rest too. */
static int take_lines(struct dns_feed *f, bool at_end) {
        size_t used = 0;
        int r = 0;

        while (used < f->in.size && r >= 0) {
                char *line = f->in.data + used;
                char *end = memchr(line, '\n', f->in.size - used);

                if (!end && !at_end)
                        break;
                if (end)
                        *end = 0;
                r = take_line(f, line);
                used = end ? (size_t)(end + 1 - f->in.data) : f->in.size;
        }
        buf_consume(&f->in, used);
        return r < 0 ? r : f->in.size > LINE_MAX_SIZE ? -E2BIG : 0;
}

/* 1: the answer is complete. */
static int read_some(struct dns_feed *f) {
        char buffer[READ_SIZE];
        ssize_t n = recv(f->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
        int r;

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n > 0) {
                r = buf_append(&f->in, buffer, (size_t)n);
                return r < 0 ? r : take_lines(f, /* at_end= */ false);
        }
        r = take_lines(f, /* at_end= */ true);
        return r < 0 ? r : 1;
}

static int write_some(struct dns_feed *f) {
        ssize_t n = send(f->fd, f->out.data + f->sent, f->out.size - f->sent,
                        MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        f->sent += (size_t)n;
        if (f->sent < f->out.size)
                return 0;
        return sd_event_source_set_io_events(f->io, EPOLLIN);
}

static int on_io(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        struct dns_feed *f = userdata;
        bool writing = f->sent < f->out.size;
        int r = writing ? write_some(f) : read_some(f);

        if (r < 0)
                finish(f, r);
        else if (r > 0 && !writing)
                command_over(f);
        return 0;
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        finish(userdata, -ETIMEDOUT);
        return 0;
}

static int connect_to(const char *path) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return -errno;
        memcpy(address.sun_path, path, strlen(path) + 1);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int run_next(struct dns_feed *f) {
        const struct dns_command *c = &f->commands.list.items[f->next];
        int r = buf_printf(&f->out, MAGIC "%s\n%s%s", c->text, strempty(c->body),
                        c->body ? BODY_END : "");

        if (r < 0)
                return r;
        f->fd = connect_to(f->path);
        if (f->fd < 0)
                return f->fd;
        r = sd_event_add_io(f->event, &f->io, f->fd, EPOLLOUT, on_io, f);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(f->event, &f->timer, CLOCK_MONOTONIC, COMMAND_TIMEOUT_US,
                        /* accuracy= */ 0, on_timeout, f);
        return MIN(r, 0);
}

static int on_defer(sd_event_source *s, void *userdata) {
        struct dns_feed *f = userdata;
        int r;

        f->defer = sd_event_source_disable_unref(f->defer);
        r = f->commands.list.count > 0 ? run_next(f) : 1;
        if (r != 0)
                finish(f, MIN(r, 0));
        return 0;
}

int dns_feed_run(struct dns_feed *f, struct dns_commands *c,
                const struct dns_feed_callbacks *callbacks) {
        int r;

        assert(!f->busy);
        r = sd_event_add_defer(f->event, &f->defer, on_defer, f);
        if (r < 0)
                return r;
        f->commands = *c;
        *c = (struct dns_commands){0};
        f->callbacks = *callbacks;
        f->next = 0;
        f->busy = true;
        return 0;
}
