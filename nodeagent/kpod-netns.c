/* kpod-netns: keeps the network namespaces of a node's pods, keelson-netns.service. A namespace
 * without processes lives as long as something holds it. As a mount it would cost every start of a
 * unit: systemd removes the mounts below the folders that it hides from the unit (/run), one after
 * another, and reads the table of mounts for each. So this process holds their files, and
 * /run/netns/NAME is a link to /proc/PID/fd/N, which `ip netns`, nsenter and systemd follow.
 *
 * A request is a packet on a connection to its socket, for root only: "keep NAME" with the file, or
 * "drop NAME"; the answer is "0" or the number of an error. systemd has all files, too (its store
 * of file descriptors): a process that is started again gets them back, and sets the links. Linked
 * statically, and small, because it runs on every node. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "config.h"
#include "nodeagent/network/netns-keeper.h"

enum {
        FIRST_FD = 3, /* sd_listen_fds(3) */
        REQUEST_SECONDS = 2,
        BACKLOG = 16,
        LINK_MAX = 64,
        NOTIFY_MAX = 512,
};

static struct {
        char name[NETNS_NAME_MAX + 1];
        int fd;
} kept[NETNS_COUNT_MAX];
static size_t kept_count;
static const char *links = NETNS_DIR; /* the folder of the links */

static bool name_is_good(const char *name) {
        static const char good[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.";
        size_t n = strlen(name);

        return n > 0 && n <= NETNS_NAME_MAX && *name != '.' && strspn(name, good) == n;
}

static size_t find(const char *name) {
        size_t i = 0;

        while (i < kept_count && strcmp(kept[i].name, name) != 0)
                i++;
        return i;
}

/* To systemd; fd: negative for none. */
static void notify(const char *text, int fd) {
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct iovec v = {(void *)(uintptr_t)text, strlen(text)};
        struct msghdr h = {.msg_name = &address, .msg_iov = &v, .msg_iovlen = 1};
        size_t n = path ? strlen(path) : 0;
        int s;

        if (n == 0 || n >= sizeof(address.sun_path))
                return;
        memcpy(address.sun_path, path, n);
        if (*path == '@')
                address.sun_path[0] = 0;
        h.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
        if (fd >= 0) {
                h.msg_control = &control;
                h.msg_controllen = sizeof(control);
                control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS};
                memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        }
        s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (s < 0)
                return;
        if (sendmsg(s, &h, MSG_NOSIGNAL) < 0)
                dprintf(STDERR_FILENO, "kpod-netns: systemd cannot be notified: %s\n",
                                strerror(errno));
        (void)close(s);
}

static int set_link(const char *name, int fd) {
        char link[PATH_MAX], new[PATH_MAX], target[LINK_MAX];
        int r;

        snprintf(link, sizeof(link), "%s/%s", links, name);
        snprintf(new, sizeof(new), "%s/.%s.new", links, name);
        snprintf(target, sizeof(target), "/proc/%d/fd/%d", (int)getpid(), fd);
        (void)unlink(new);
        if (symlink(target, new) == 0 && rename(new, link) == 0)
                return 0;
        r = -errno;
        (void)unlink(new);
        return r;
}

static int forget(const char *name) {
        char text[NOTIFY_MAX], link[PATH_MAX];
        size_t i = find(name);

        if (i == kept_count)
                return -ENOENT;
        snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
        notify(text, -1);
        snprintf(link, sizeof(link), "%s/%s", links, name);
        (void)unlink(link);
        (void)close(kept[i].fd);
        kept[i] = kept[--kept_count];
        return 0;
}

static bool is_namespace(int fd) {
        struct statfs s;

        return fstatfs(fd, &s) == 0 && (unsigned long)s.f_type == NSFS_MAGIC;
}

/* What has the name now is forgotten. */
static int may_keep(const char *name, int fd) {
        if (!is_namespace(fd))
                return -EINVAL;
        (void)forget(name);
        return kept_count == NETNS_COUNT_MAX ? -ENOSPC : 0;
}

/* Takes the file. stored: systemd has it already. */
static int keep(const char *name, int fd, bool stored) {
        char text[NOTIFY_MAX];
        int r = may_keep(name, fd);

        if (r < 0) {
                (void)close(fd);
                return r;
        }
        r = set_link(name, fd);
        if (r < 0) {
                (void)close(fd);
                return r;
        }
        snprintf(kept[kept_count].name, sizeof(kept[0].name), "%s", name);
        kept[kept_count++].fd = fd;
        if (!stored) {
                snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
                notify(text, fd);
        }
        return 0;
}

/* What an earlier process had. */
static void take_stored(void) {
        const char *count = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
        long n = count ? strtol(count, NULL, 10) : 0;

        for (int i = 0; i < n && i < NETNS_COUNT_MAX && names; i++) {
                size_t size = strcspn(names, ":");
                char name[NETNS_NAME_MAX + 1];

                (void)fcntl(FIRST_FD + i, F_SETFD, FD_CLOEXEC);
                snprintf(name, sizeof(name), "%.*s", (int)size, names);
                if (size > NETNS_NAME_MAX || !name_is_good(name))
                        (void)close(FIRST_FD + i);
                else if (keep(name, FIRST_FD + i, /* stored= */ true) < 0)
                        dprintf(STDERR_FILENO, "kpod-netns: the namespace %s is lost: %s\n", name,
                                        strerror(errno));
                names += size;
                names += *names == ':';
        }
}

/* fd: of the request, or negative; taken. */
static int answer(char *text, int fd) {
        bool keeps = strncmp(text, "keep ", 5) == 0;
        const char *name = text + 5;
        int r;

        if ((!keeps && strncmp(text, "drop ", 5) != 0) || !name_is_good(name) || keeps != (fd >= 0))
                r = -EINVAL;
        else if (keeps)
                return keep(name, fd, /* stored= */ false);
        else
                r = forget(name);
        if (fd >= 0)
                (void)close(fd);
        return r;
}

static int receive(int s, char *text, size_t size, int *ret_fd) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec v = {text, size - 1};
        struct msghdr h = {.msg_iov = &v,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(s, &h, MSG_CMSG_CLOEXEC);

        *ret_fd = -1;
        if (n <= 0)
                return -EIO;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c))
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
                        memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
        text[n] = 0;
        return 0;
}

static void serve(int s) {
        const struct timeval time = {.tv_sec = REQUEST_SECONDS};
        char text[NETNS_NAME_MAX + 8], reply[16];
        struct ucred peer = {.uid = (uid_t)-1};
        socklen_t n = sizeof(peer);
        int fd;

        if (getsockopt(s, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 || peer.uid != 0)
                return;
        (void)setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
        (void)setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
        if (receive(s, text, sizeof(text), &fd) < 0)
                return;
        snprintf(reply, sizeof(reply), "%d", -answer(text, fd));
        (void)send(s, reply, strlen(reply), MSG_NOSIGNAL);
}

static int listen_on(const char *path) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        (void)unlink(path);
        (void)umask(0077);
        if (s < 0 || bind(s, (struct sockaddr *)&address, sizeof(address)) < 0 ||
                        listen(s, BACKLOG) < 0)
                return -errno;
        (void)umask(0022);
        return s;
}

int main(int argc, char **argv) {
        const char *path = argc == 3 ? argv[1] : NETNS_KEEPER_SOCKET;
        int s, c;

        if (argc == 2 && strcmp(argv[1], "--version") == 0)
                return puts("kpod-netns " PACKAGE_VERSION) < 0;
        if ((argc != 1 && argc != 3) || strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path) {
                dprintf(STDERR_FILENO, "usage: kpod-netns [SOCKET FOLDER]\n");
                return EXIT_FAILURE;
        }
        if (argc == 3)
                links = argv[2];
        (void)signal(SIGPIPE, SIG_IGN);
        take_stored();
        s = listen_on(path);
        if (s < 0) {
                dprintf(STDERR_FILENO, "kpod-netns: %s: %s\n", path, strerror(-s));
                return EXIT_FAILURE;
        }
        notify("READY=1", -1);
        for (;;) {
                c = accept4(s, NULL, NULL, SOCK_CLOEXEC);
                if (c < 0)
                        continue;
                serve(c);
                (void)close(c);
        }
}
