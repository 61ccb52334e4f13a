/* A socket listens from the moment it is made, so that a unit may be started at once: its output
 * waits in the connection until the collecting service has received the socket. Messages that the
 * service does not accept yet (it is starting) are kept and sent again. */
#include "config.h"

#include "nodeagent/logs/log-sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/net.h"
#include "nodeagent/logs/log-collect.h"
#include "nodeagent/terminals.h"

enum { RETRY_US = 200000, BACKLOG = 64 };

struct message {
        char *text;
        int fd; /* or negative */
};

struct log_sockets {
        sd_event *event;
        struct map *pending; /* name -> struct message */
        sd_event_source *timer;
        int control;
};

static void message_free(void *value) {
        struct message *m = value;

        safe_close(m->fd);
        free(m->text);
        free(m);
}

int log_sockets_new(struct log_sockets **ret, sd_event *event) {
        struct log_sockets *l = calloc(1, sizeof(*l));
        int r;

        if (!l)
                return -ENOMEM;
        l->event = sd_event_ref(event);
        l->pending = map_new(message_free);
        l->control = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        r = !l->pending ? -ENOMEM : l->control < 0 ? -errno : mkdir_parents(LOG_COLLECT_DIR, 0700);
        if (r < 0) {
                log_sockets_free(l);
                return r;
        }
        *ret = l;
        return 0;
}

struct log_sockets *log_sockets_free(struct log_sockets *l) {
        if (!l)
                return NULL;
        map_free(l->pending);
        sd_event_source_disable_unref(l->timer);
        safe_close(l->control);
        sd_event_unref(l->event);
        free(l);
        return NULL;
}

static int address_of(const char *path, struct sockaddr_un *ret) {
        *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
        if (strlen(path) >= sizeof(ret->sun_path))
                return -ENAMETOOLONG;
        memcpy(ret->sun_path, path, strlen(path) + 1);
        return 0;
}

static int hand_over(struct log_sockets *l, const struct message *m) {
        struct sockaddr_un address;

        (void)address_of(LOG_COLLECT_CONTROL, &address);
        return net_send_file(l->control, (const struct sockaddr *)&address, sizeof(address),
                        m->text, m->fd);
}

static void try_pending(struct log_sockets *l);

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct log_sockets *l = userdata;

        l->timer = sd_event_source_disable_unref(l->timer);
        try_pending(l);
        return 0;
}

static void try_pending(struct log_sockets *l) {
        map_foreach (l->pending, e) {
                if (hand_over(l, map_entry_value(e)) < 0)
                        break;
                (void)map_remove(l->pending, map_entry_key(e));
        }
        if (map_size(l->pending) > 0 && !l->timer)
                (void)sd_event_add_time_relative(
                                l->event, &l->timer, CLOCK_MONOTONIC, RETRY_US, 0, on_timer, l);
}

/* Takes fd and message. */
static int send_later(struct log_sockets *l, const char *name, json_t *message, int fd) {
        struct message *m = calloc(1, sizeof(*m));
        int r;

        if (!m) {
                safe_close(fd);
                json_decref(message);
                return -ENOMEM;
        }
        m->fd = fd;
        m->text = json_text(message);
        json_decref(message);
        if (!m->text)
                r = -ENOMEM;
        else if (strlen(m->text) >= LOG_COLLECT_MESSAGE_MAX)
                r = -E2BIG;
        else
                r = map_set(l->pending, name, m);
        if (r < 0) {
                message_free(m);
                return r;
        }
        try_pending(l);
        return 0;
}

int log_sockets_start_service(struct log_sockets *l, struct units *units) {
        char self[4096];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        _cleanup_json_ json_t *unit = NULL;

        if (n < 0)
                return -errno;
        self[n] = 0;
        unit = json_pack("{s:s, s:{s:s, s:s, s:[[s, s]], s:s, s:i, s:s, s:s, s:i, s:i, s:i, s:i, "
                         "s:s, s:[s], s:s, s:b, s:b, s:[], s:b, s:b, s:b, s:b, s:i}}",
                        "name", LOG_COLLECT_UNIT, "properties", "Description",
                        "keelson: collects the output of containers into the journal", "Type",
                        "notify", "ExecStartEx", self, "logs-collect", "Restart", "always",
                        "RestartUSec", 100000, "CollectMode", "inactive-or-failed", "KillMode",
                        "process", "StartLimitIntervalUSec", 0, "FileDescriptorStoreMax", 8192,
                        "LimitNOFILE", 16384, "OOMScoreAdjust", -900, "ProtectSystem", "strict",
                        "ReadWritePaths", LOG_COLLECT_DIR, "ProtectHome", "yes", "PrivateDevices",
                        1, "NoNewPrivileges", 1, "CapabilityBoundingSet", "PrivateNetwork", 1,
                        "MemoryDenyWriteExecute", 1, "ProtectKernelTunables", 1,
                        "ProtectKernelModules", 1, "LogRateLimitIntervalUSec", 0);
        /* It is not an error when the unit exists. */
        return unit ? units_start_slice(units, unit) : -ENOMEM;
}

/* Whether a process has the listening end. A socket of another type is refused by one that is there
 * (unix(7), EPROTOTYPE): a connection would be the output of a run, and its end the end of that. */
static bool is_listening(const struct sockaddr_un *address) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
               errno == EPROTOTYPE;
}

/* The value of a field in a list of NAME=VALUE; "" without it. */
static const char *field_of(const json_t *fields, const char *name) {
        const json_t *v;
        size_t i;

        json_array_foreach (fields, i, v) {
                const char *rest = startswith(strempty(json_string_value(v)), name);

                if (rest && *rest == '=')
                        return rest + 1;
        }
        return "";
}

/* The message that makes the collecting service read from fd; takes fd. */
static int send_source(struct log_sockets *l, const char *name, const json_t *unit, int fd) {
        const json_t *stream = json_at(unit, "stream");
        json_t *message;
        _cleanup_json_ json_t *fields = json_deep_copy(json_at(unit, "properties.LogExtraFields"));

        if (fields) {
                json_array_append_new(fields, json_sprintf("SYSLOG_IDENTIFIER=%s",
                                                              json_str_or(unit, "container", "")));
                json_array_append_new(fields, json_sprintf("KEELSON_OBJECT=Pod/%s/%s",
                                                              field_of(fields, "KEELSON_NAMESPACE"),
                                                              field_of(fields, "KEELSON_POD")));
        }
        message = json_pack("{s:s, s:s, s:O?, s:s}", "name", name, "unit",
                        json_str_or(unit, "name", ""), "fields", fields, "version",
                        PACKAGE_VERSION);
        if (message && stream)
                (void)json_object_update(message, json_unconst(stream));
        return send_later(l, name, message, fd);
}

/* Its slave's path is known from now on; the link is there before the unit starts. */
static int make_terminal(const char *link, int *ret) {
        char slave[TERMINAL_PATH_SIZE];
        _cleanup_close_ int fd = terminal_open(slave);
        int r;

        if (fd < 0)
                return fd;
        r = symlink_atomic(slave, link);
        if (r < 0)
                return r;
        *ret = TAKE_FD(fd);
        return 0;
}

static int ensure_terminal(struct log_sockets *l, const json_t *unit, const char *link) {
        const char *name = startswith(link, LOG_COLLECT_DIR "/"),
                   *suffix = endswith(link, LOG_TTY_SUFFIX);
        _cleanup_free_ char *source = NULL;
        int fd = -EBADF, r;

        if (!name || !suffix)
                return 0;
        source = strndup(name, (size_t)(suffix - name));
        if (!source)
                return -ENOMEM;
        if (map_get(l->pending, source) || access(link, F_OK) == 0)
                return 0;
        r = make_terminal(link, &fd);
        return r < 0 ? r : send_source(l, source, unit, fd);
}

int log_sockets_attach(struct log_sockets *l, const char *pod_uid, const char *container, int fd) {
        _cleanup_free_ char *path = log_socket_path(pod_uid, container);
        const char *name = path ? startswith(path, LOG_COLLECT_DIR "/") : NULL;
        _cleanup_json_ json_t *v = name ? json_pack("{s:s}", "attach", name) : NULL;
        struct message m = {.fd = fd};
        int r;

        m.text = v ? json_text(v) : NULL;
        if (!m.text)
                return -ENOMEM;
        r = hand_over(l, &m);
        free(m.text);
        return r;
}

int log_sockets_ensure(struct log_sockets *l, const json_t *unit) {
        const char *path = json_str_or(unit, "properties.StandardOutputFile", ""),
                   *tty = json_str(unit, "properties.TTYPath"), *name;
        struct sockaddr_un address;
        int fd, r;

        if (tty)
                return ensure_terminal(l, unit, tty);
        name = startswith(path, LOG_COLLECT_DIR "/");
        if (!name)
                return 0;
        r = address_of(path, &address);
        if (r < 0 || map_get(l->pending, name) || is_listening(&address))
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        (void)unlink(path);
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, BACKLOG) < 0) {
                r = -errno;
                safe_close(fd);
                return r;
        }
        return send_source(l, name, unit, fd);
}

void log_sockets_run_ended(struct log_sockets *l, const char *pod_uid, const char *container,
                const char *invocation) {
        _cleanup_free_ char *path = log_socket_path(pod_uid, container);
        const char *name = path ? startswith(path, LOG_COLLECT_DIR "/") : NULL;
        /* Beside a message about the socket itself. */
        _cleanup_free_ char *key = name ? strformat("ended %s", name) : NULL;

        if (key)
                (void)send_later(l, key,
                                json_pack("{s:s, s:s}", "ended", name, "invocation", invocation),
                                -EBADF);
}

void log_sockets_remove(struct log_sockets *l, const char *pod_uid, const char *container) {
        _cleanup_free_ char *path = log_socket_path(pod_uid, container);
        const char *name = path ? startswith(path, LOG_COLLECT_DIR "/") : NULL;

        _cleanup_free_ char *tty = path ? strformat("%s" LOG_TTY_SUFFIX, path) : NULL;

        if (name && (access(path, F_OK) == 0 || (tty && access(tty, F_OK) == 0)))
                (void)send_later(l, name, json_pack("{s:s}", "remove", name), -EBADF);
}
