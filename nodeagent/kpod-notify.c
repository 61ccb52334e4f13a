/* Lines NAME=VALUE; files that come with a message are closed, which is also the answer to
 * sd_notify_barrier(3). */
#include "nodeagent/kpod-notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { MESSAGE_MAX = 4096 /* systemd takes no longer ones */, AT_ONCE_MAX = 64 };

static int failed(int r, const char **what, const char *text) {
        *what = text;
        return r;
}

static int address_of(const char *path, struct sockaddr_un *ret) {
        if (strlen(path) >= sizeof(ret->sun_path))
                return -ENAMETOOLONG;
        *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
        memcpy(ret->sun_path, path, strlen(path) + 1);
        return 0;
}

static int connect_systemd(const char *path) {
        struct sockaddr_un a;
        int r = address_of(path, &a), fd;

        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
                return -errno;
        return fd;
}

/* By the folder's file: its path may be longer than an address. */
static int bind_in(int folder, int fd) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};

        snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/" NOTIFY_SOCKET_NAME, folder);
        if ((unlinkat(folder, NOTIFY_SOCKET_NAME, 0) < 0 && errno != ENOENT) ||
                        bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
                        fchmodat(folder, NOTIFY_SOCKET_NAME, 0666, 0) < 0)
                return -errno;
        return 0;
}

static int make_socket(const char *path) {
        int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), fd, r;

        if (folder < 0)
                return -errno;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        r = fd < 0 ? -errno : bind_in(folder, fd);
        close(folder);
        if (r < 0 && fd >= 0)
                close(fd);
        return r < 0 ? r : fd;
}

int notify_open(const char *folder, struct notify *ret, const char **ret_what) {
        const char *path = getenv("NOTIFY_SOCKET");

        /* An abstract one would be in the network namespace; systemd has none. */
        if (!path || *path != '/')
                return 0;
        ret->to = connect_systemd(path);
        if (ret->to < 0)
                return failed(ret->to, ret_what, "systemd's socket for messages");
        ret->from = make_socket(folder);
        if (ret->from < 0)
                return failed(ret->from, ret_what, "a socket for messages to systemd");
        return 1;
}

static bool is_passed_on(const char *line) {
        static const char *const names[] = {"READY=", "RELOADING=", "STOPPING=", "STATUS=",
                        "ERRNO=", "BUSERROR=", "EXIT_STATUS=", "MONOTONIC_USEC=", "WATCHDOG=",
                        "WATCHDOG_USEC=", "EXTEND_TIMEOUT_USEC="};

        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
                if (strncmp(line, names[i], strlen(names[i])) == 0)
                        return true;
        return false;
}

/* Leaves the lines that are passed on; the message ends in a NUL. Returns their size. */
static size_t reduce(char *message) {
        char *to = message;

        for (char *line = message; *line;) {
                size_t n = strcspn(line, "\n");
                char *next = line + n + (line[n] == '\n');

                if (is_passed_on(line)) {
                        memmove(to, line, (size_t)(next - line));
                        to += next - line;
                }
                line = next;
        }
        return (size_t)(to - message);
}

void notify_pass_on(const struct notify *n) {
        char message[MESSAGE_MAX + 1];

        for (int i = 0; i < AT_ONCE_MAX; i++) {
                ssize_t size = recv(n->from, message, MESSAGE_MAX, MSG_DONTWAIT | MSG_TRUNC);

                if (size < 0)
                        return;
                if (size > MESSAGE_MAX)
                        continue;
                message[size] = 0;
                size = (ssize_t)reduce(message);
                if (size > 0)
                        (void)send(n->to, message, (size_t)size, MSG_NOSIGNAL);
        }
}
