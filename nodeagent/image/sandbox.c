/* Capabilities by their system calls: libcap would be one more library for two calls. */
#include "nodeagent/image/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <locale.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/confine.h"
#include "lib/log.h"
#include "nodeagent/image/cause.h"

enum { NOBODY = 65534, CAPABILITIES_MAX = 64, KEPT_MAX = 8 };

static int failed(struct problem *p, int error, const char *what) {
        return image_problem(p, error, IMAGE_CAUSE_INTERNAL,
                        "the sandbox for images cannot be entered: %s: %s", what, strerror(error));
}

static int compare_fds(const void *a, const void *b) {
        return *(const int *)a - *(const int *)b;
}

void sandbox_keep_only(const int *fds, size_t n) {
        int sorted[KEPT_MAX];
        unsigned next = 0;

        assert(n < KEPT_MAX);
        memcpy(sorted, fds, n * sizeof(*fds));
        sorted[n++] = STDERR_FILENO;
        qsort(sorted, n, sizeof(*sorted), compare_fds);
        for (size_t i = 0; i < n; i++) {
                if ((unsigned)sorted[i] > next)
                        (void)close_range(next, (unsigned)sorted[i] - 1, 0);
                next = (unsigned)sorted[i] + 1;
        }
        (void)close_range(next, UINT32_MAX, 0);
}

/* Keeps these capabilities, and none that a program started later could get. */
static int keep_capabilities(uint64_t keep, struct problem *p) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[2] = {0};

        for (unsigned i = 0; i < CAPABILITIES_MAX; i++)
                if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0 && errno != EINVAL)
                        return failed(p, errno, "the bounding set of capabilities");
        for (unsigned i = 0; i < ELEMENTS(data); i++)
                data[i].effective = data[i].permitted = (uint32_t)(keep >> (32 * i));
        if (syscall(SYS_capset, &header, data) < 0)
                return failed(p, errno, "capabilities");
        return 0;
}

static int common(struct problem *p) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return failed(p, errno, "no new privileges");
        if (setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0)
                return failed(p, errno, "core files");
        return 0;
}

/* --- system calls --- */

static int fill_and_load(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t n) {
        for (size_t i = 0; i < n; i++) {
                int r;

                if (calls[i] == __NR_SCMP_ERROR)
                        continue;
                r = seccomp_rule_add(filter, action, calls[i], 0);
                if (r < 0)
                        return r;
        }
        return seccomp_load(filter);
}

static int load_filter(uint32_t otherwise, uint32_t action, const int *calls, size_t n,
                struct problem *p) {
        scmp_filter_ctx filter = seccomp_init(otherwise);
        int r;

        if (!filter)
                return -ENOMEM;
        r = fill_and_load(filter, action, calls, n);
        seccomp_release(filter);
        return r < 0 ? failed(p, -r, "the filter of system calls") : 0;
}

static int forbid_calls(struct problem *p) {
        static const int calls[] = {SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace),
                        SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(mount), SCMP_SYS(pivot_root),
                        SCMP_SYS(chroot), SCMP_SYS(bpf), SCMP_SYS(perf_event_open),
                        SCMP_SYS(userfaultfd), SCMP_SYS(keyctl), SCMP_SYS(add_key),
                        SCMP_SYS(request_key), SCMP_SYS(io_uring_setup), SCMP_SYS(process_vm_readv),
                        SCMP_SYS(process_vm_writev), SCMP_SYS(kcmp), SCMP_SYS(open_by_handle_at)};

        return load_filter(SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(EPERM), calls, ELEMENTS(calls), p);
}

/* Files below the root, memory, and what the C library does by itself. */
static int allow_calls(struct problem *p) {
        static const int calls[] = {SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64),
                        SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pwrite64), SCMP_SYS(lseek),
                        SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(close),
                        SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
                        SCMP_SYS(statx), SCMP_SYS(fstatfs), SCMP_SYS(getdents64), SCMP_SYS(fstat64),
                        SCMP_SYS(fstatat64), SCMP_SYS(fstatfs64), SCMP_SYS(_llseek),
                        SCMP_SYS(fcntl), SCMP_SYS(fcntl64), SCMP_SYS(mkdirat), SCMP_SYS(mknodat),
                        SCMP_SYS(linkat), SCMP_SYS(symlinkat), SCMP_SYS(unlinkat),
                        SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(readlinkat),
                        SCMP_SYS(fchown), SCMP_SYS(fchown32), SCMP_SYS(fchownat), SCMP_SYS(fchmod),
                        SCMP_SYS(fchmodat), SCMP_SYS(fsetxattr), SCMP_SYS(ftruncate),
                        SCMP_SYS(ftruncate64), SCMP_SYS(utimensat), SCMP_SYS(utimensat_time64),
                        SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(munmap), SCMP_SYS(mremap),
                        SCMP_SYS(mprotect), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(futex),
                        SCMP_SYS(futex_time64), SCMP_SYS(getrandom), SCMP_SYS(clock_gettime),
                        SCMP_SYS(clock_gettime64), SCMP_SYS(gettimeofday), SCMP_SYS(getpid),
                        SCMP_SYS(gettid), SCMP_SYS(tgkill), SCMP_SYS(sched_yield),
                        SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
                        SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group),
                        SCMP_SYS(time)};

        return load_filter(SCMP_ACT_ERRNO(EPERM), SCMP_ACT_ALLOW, calls, ELEMENTS(calls), p);
}

/* --- the two --- */

int sandbox_fetcher(struct problem *p) {
        const struct confine_options files = {.paths = confine_network_files,
                        .path_count = confine_network_file_count,
                        .any_port = true};
        pid_t parent = getppid();
        int r = common(p);

        if (r < 0)
                return r;
        r = keep_capabilities(UINT64_C(1) << CAP_SETUID | UINT64_C(1) << CAP_SETGID, p);
        if (r < 0)
                return r;
        if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
                        setresuid(NOBODY, NOBODY, NOBODY) < 0)
                return failed(p, errno, "another user");
        /* With another user the kernel has forgotten that it ends with its parent. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
                return failed(p, ESRCH, "the parent process");
        r = confine_self(&files);
        if (r == -EOPNOTSUPP)
                log_debug("The kernel has no Landlock; the fetcher of images can read public "
                          "files");
        else if (r < 0)
                return failed(p, -r, "Landlock");
        return forbid_calls(p);
}

int sandbox_unpacker(int folder, bool keep_owner, struct problem *p) {
        const uint64_t owners = UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_DAC_OVERRIDE |
                                UINT64_C(1) << CAP_FOWNER | UINT64_C(1) << CAP_FSETID |
                                UINT64_C(1) << CAP_SETFCAP;
        int r = common(p);

        if (r < 0)
                return r;
        /* Names of files in archives are UTF-8; the locale's file is outside the new root. */
        if (!setlocale(LC_CTYPE, "C.UTF-8"))
                log_debug("There is no locale C.UTF-8");
        if (fchdir(folder) < 0 || chroot(".") < 0 || chdir("/") < 0)
                return failed(p, errno, "another root");
        (void)umask(0);
        r = keep_capabilities(keep_owner ? owners : 0, p);
        if (r < 0)
                return r;
        return MEMORY_IS_CHECKED ? 0 : allow_calls(p);
}
