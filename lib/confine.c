/* Landlock by its system calls: Debian 12's C library has no functions for them, and its kernel
 * headers know the first versions only. Numbers and layouts: linux/landlock.h of 6.12. */
#include "lib/confine.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
        FS_TRUNCATE = 1 << 14,  /* since version 3 */
        FS_IOCTL_DEV = 1 << 15, /* 5 */
        NET_BIND_TCP = 1 << 0,  /* 4 */
        NET_CONNECT_TCP = 1 << 1,
        SCOPE_ABSTRACT_SOCKETS = 1 << 0, /* 6 */
        SCOPE_SIGNALS = 1 << 1,
        RULE_NET_PORT = 2,
        VERSION_NET = 4,
        VERSION_SCOPES = 6,
};

struct ruleset_attr {
        uint64_t fs, net, scoped;
};

struct net_port_attr {
        uint64_t access, port;
};

const struct confine_path confine_network_files[] = {
                {"/dev/null", CONFINE_WRITE},
                {"/dev/urandom", CONFINE_READ},
                {"/etc/ca-certificates", CONFINE_READ},
                {"/etc/crypto-policies", CONFINE_READ},
                {"/etc/gai.conf", CONFINE_READ},
                {"/etc/gnutls", CONFINE_READ},
                {"/etc/host.conf", CONFINE_READ},
                {"/etc/hosts", CONFINE_READ},
                {"/etc/ld.so.cache", CONFINE_READ},
                {"/etc/localtime", CONFINE_READ},
                {"/etc/nsswitch.conf", CONFINE_READ},
                {"/etc/passwd", CONFINE_READ},
                {"/etc/pki/ca-trust", CONFINE_READ},
                {"/etc/pki/tls", CONFINE_READ},
                {"/etc/protocols", CONFINE_READ},
                {"/etc/resolv.conf", CONFINE_READ},
                {"/etc/services", CONFINE_READ},
                {"/etc/ssl", CONFINE_READ},
                {"/lib", CONFINE_READ},
                {"/lib64", CONFINE_READ},
                {"/opt/keelson/lib", CONFINE_READ},
                {"/run/systemd/resolve", CONFINE_READ},
                {"/usr/lib", CONFINE_READ},
                {"/usr/lib64", CONFINE_READ},
                {"/usr/share", CONFINE_READ},
};
const size_t confine_network_file_count = ELEMENTS(confine_network_files);

static uint64_t known_fs(long version) {
        /* Everything of version 1; REFER (2), TRUNCATE (3) and IOCTL_DEV (5) with their versions.
         */
        uint64_t all = LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1;

        if (version >= 2)
                all |= LANDLOCK_ACCESS_FS_REFER;
        if (version >= 3)
                all |= FS_TRUNCATE;
        if (version >= 5)
                all |= FS_IOCTL_DEV;
        return all;
}

static int allow_path(int ruleset, const struct confine_path *p, uint64_t known) {
        const uint64_t on_files = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                  LANDLOCK_ACCESS_FS_EXECUTE | FS_TRUNCATE;
        _cleanup_close_ int fd = open(p->path, O_PATH | O_CLOEXEC);
        struct landlock_path_beneath_attr rule = {.parent_fd = fd};
        struct stat st;

        if (fd < 0)
                return errno == ENOENT || errno == EACCES || errno == ENOTDIR ? 0 : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
        if (p->access == CONFINE_RUN)
                rule.allowed_access |= LANDLOCK_ACCESS_FS_EXECUTE;
        if (p->access == CONFINE_WRITE)
                rule.allowed_access =
                                known & ~(uint64_t)(LANDLOCK_ACCESS_FS_EXECUTE | FS_IOCTL_DEV |
                                                        LANDLOCK_ACCESS_FS_MAKE_CHAR |
                                                        LANDLOCK_ACCESS_FS_MAKE_BLOCK |
                                                        LANDLOCK_ACCESS_FS_MAKE_SOCK);
        if (!S_ISDIR(st.st_mode))
                rule.allowed_access &= on_files;
        rule.allowed_access &= known;
        return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
                               ? -errno
                               : 0;
}

static int allow_port(int ruleset, uint16_t port) {
        const struct net_port_attr rule = {.access = NET_CONNECT_TCP, .port = port};

        return syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) < 0 ? -errno : 0;
}

static long landlock_version(void) {
        return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

bool confine_is_there(void) {
        return landlock_version() >= 1;
}

int confine_self(const struct confine_options *options) {
        const struct rlimit none = {0, 0};
        struct ruleset_attr attr = {0};
        _cleanup_close_ int ruleset = -EBADF;
        long version;
        int r = 0;

        if (setrlimit(RLIMIT_CORE, &none) < 0 && errno != EPERM)
                return -errno;
        version = landlock_version();
        if (version < 1)
                return version < 0 && errno != ENOSYS && errno != EOPNOTSUPP && errno != EPERM
                                       ? -errno
                                       : -EOPNOTSUPP;
        attr.fs = known_fs(version);
        if (version >= VERSION_NET && !options->any_port)
                attr.net = NET_BIND_TCP | NET_CONNECT_TCP;
        if (version >= VERSION_SCOPES)
                attr.scoped = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS;
        ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr,
                        version >= VERSION_SCOPES ? sizeof(attr)
                        : version >= VERSION_NET  ? offsetof(struct ruleset_attr, scoped)
                                                  : offsetof(struct ruleset_attr, net),
                        0);
        if (ruleset < 0)
                return -errno;
        for (size_t i = 0; r == 0 && i < options->path_count; i++)
                r = allow_path(ruleset, &options->paths[i], attr.fs);
        for (size_t i = 0; r == 0 && attr.net && i < options->port_count; i++)
                r = allow_port(ruleset, options->ports[i]);
        if (r < 0)
                return r;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                        syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
                return -errno;
        return version >= VERSION_SCOPES ? 0 : CONFINE_PARTLY;
}
