/* Faults of a disk and of the wall clock, for tests/clients/kstored-faults: loaded into kstored
 * with LD_PRELOAD. The file that $KEELSON_FAULTS names says which ones: words, read at every call,
 * so that a fault comes and goes while the program runs. write, sync, read   these calls on files
 * named kstored.* fail with EIO short               writes to them write the first half, then
 * fail with EIO clock=SECONDS       the wall clock is off by SECONDS */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The words, with a space before and after each. */
static void read_faults(char ret[static 128]) {
        const char *path = getenv("KEELSON_FAULTS");
        long fd, n = 0;

        if (path) {
                fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
                if (fd >= 0) {
                        n = syscall(SYS_read, (int)fd, ret + 1, 120);
                        (void)syscall(SYS_close, (int)fd);
                }
        }
        n = n < 0 ? 0 : n;
        ret[0] = ' ';
        ret[1 + n] = ' ';
        ret[2 + n] = '\0';
        for (char *c = ret; *c; c++)
                if (*c == '\n')
                        *c = ' ';
}

static bool is_database(int fd) {
        char link[64], path[4096];
        ssize_t n;

        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        if (n <= 0)
                return false;
        path[n] = '\0';
        return strstr(path, "/kstored.") != NULL;
}

static bool faulty(int fd, const char *word) {
        int saved = errno;
        char faults[128];
        bool yes;

        read_faults(faults);
        yes = strstr(faults, word) && is_database(fd);
        errno = saved;
        return yes;
}

static ssize_t faulty_write(int fd, const void *data, size_t n, off_t at) {
        if (faulty(fd, " write ")) {
                errno = EIO;
                return -1;
        }
        if (faulty(fd, " full ")) {
                errno = ENOSPC;
                return -1;
        }
        if (faulty(fd, " short ")) {
                (void)syscall(SYS_pwrite64, fd, data, n / 2, at);
                errno = EIO;
                return -1;
        }
        return syscall(SYS_pwrite64, fd, data, n, at);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
        return faulty_write(fd, data, n, at);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
        return faulty_write(fd, data, n, at);
}

static ssize_t faulty_read(int fd, void *data, size_t n, off_t at) {
        if (faulty(fd, " read ")) {
                errno = EIO;
                return -1;
        }
        return syscall(SYS_pread64, fd, data, n, at);
}

ssize_t pread(int fd, void *data, size_t n, off_t at) {
        return faulty_read(fd, data, n, at);
}

ssize_t pread64(int fd, void *data, size_t n, off64_t at) {
        return faulty_read(fd, data, n, at);
}

static int faulty_sync(int fd, long call) {
        if (faulty(fd, " sync ")) {
                errno = EIO;
                return -1;
        }
        return (int)syscall(call, fd);
}

int fsync(int fd) {
        return faulty_sync(fd, SYS_fsync);
}

int fdatasync(int fd) {
        return faulty_sync(fd, SYS_fdatasync);
}

int clock_gettime(clockid_t id, struct timespec *ts) {
        int r = (int)syscall(SYS_clock_gettime, id, ts);

        if (r == 0 && id == CLOCK_REALTIME) {
                char faults[128], *off;

                read_faults(faults);
                off = strstr(faults, " clock=");
                if (off)
                        ts->tv_sec += strtol(off + 7, NULL, 10);
        }
        return r;
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz) {
        struct timespec ts;

        (void)tz;
        (void)clock_gettime(CLOCK_REALTIME, &ts);
        *tv = (struct timeval){.tv_sec = ts.tv_sec, .tv_usec = ts.tv_nsec / 1000};
        return 0;
}

time_t time(time_t *ret) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_REALTIME, &ts);
        if (ret)
                *ret = ts.tv_sec;
        return ts.tv_sec;
}
