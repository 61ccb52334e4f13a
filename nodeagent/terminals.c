/* devpts: Documentation/filesystems/devpts.rst of Linux, ioctl_tty(2). */
#include "nodeagent/terminals.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "lib/base.h"
#include "lib/fileio.h"
#include "nodeagent/agent.h"

int terminals_mount(const char *dir) {
        struct statfs fs;
        int r = mkdir_parents(dir, 0755);

        if (r < 0)
                return r;
        if (statfs(dir, &fs) == 0 && fs.f_type == DEVPTS_SUPER_MAGIC)
                return 0;
        /* A terminal belongs to the user that has opened it, and to nobody else. */
        if (mount("keelson-terminals", dir, "devpts", MS_NOSUID | MS_NOEXEC,
                            "newinstance,ptmxmode=0666,mode=0600") < 0)
                return -errno;
        return 0;
}

int terminal_path(int master, char slave[static TERMINAL_PATH_SIZE]) {
        struct stat ours, its;
        unsigned number;
        bool same;

        if (ioctl(master, TIOCGPTN, &number) < 0 || fstat(master, &its) < 0)
                return -errno;
        same = stat(AGENT_TERMINAL_DIR, &ours) == 0 && ours.st_dev == its.st_dev;
        snprintf(slave, TERMINAL_PATH_SIZE, "%s/%u", same ? AGENT_TERMINAL_DIR : "/dev/pts",
                        number);
        return 0;
}

int terminal_open(char slave[static TERMINAL_PATH_SIZE]) {
        _cleanup_close_ int fd = open(AGENT_TERMINAL_DIR "/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
        const int locked = 0;
        int r;

        if (fd < 0 || ioctl(fd, TIOCSPTLCK, &locked) < 0)
                return -errno;
        r = terminal_path(fd, slave);
        return r < 0 ? r : TAKE_FD(fd);
}
