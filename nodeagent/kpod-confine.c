/* Capabilities by their system calls, the filter by libseccomp. The unit's own filter, which
 * systemd has loaded, stays: a call must pass both. */
#include "nodeagent/kpod-confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

#ifdef __s390__
enum { CLONE_FLAGS_ARGUMENT = 1 };
#else
enum { CLONE_FLAGS_ARGUMENT = 0 };
#endif

enum { CAPABILITIES_MAX = 64, CALL_NAME_MAX = 64 };

/* ---- capabilities ---- */

uint64_t confine_bounding(void) {
        uint64_t mask = 0;

        for (unsigned i = 0; i < CAPABILITIES_MAX; i++)
                if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) > 0)
                        mask |= UINT64_C(1) << i;
        return mask;
}

static int drop_bounding(uint64_t keep) {
        for (unsigned i = 0; i < CAPABILITIES_MAX; i++)
                if (!(keep & (UINT64_C(1) << i)) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0 &&
                                errno != EINVAL)
                        return -errno;
        return 0;
}

/* The permitted ones are also effective. None is gained. */
static int set_capabilities(uint64_t permitted, uint64_t inheritable) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[2];

        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
                return -errno;
        if (syscall(SYS_capget, &header, data) < 0)
                return -errno;
        for (unsigned i = 0; i < 2; i++) {
                data[i].permitted &= (uint32_t)(permitted >> (32 * i));
                data[i].effective = data[i].permitted;
                data[i].inheritable = data[i].permitted & (uint32_t)(inheritable >> (32 * i));
        }
        return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static int raise_ambient(uint64_t ambient) {
        for (unsigned i = 0; i < CAPABILITIES_MAX; i++)
                if (ambient & (UINT64_C(1) << i) &&
                                prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
                        return -errno;
        return 0;
}

int confine_to_capabilities(uint64_t keep) {
        int r = drop_bounding(0);

        return r < 0 ? r : set_capabilities(keep, 0);
}

/* ---- system calls ---- */

static const uint32_t namespace_flags[] = {CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS,
                CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, CLONE_NEWTIME};

static int refuse_flag(scmp_filter_ctx f, int call, unsigned argument, uint32_t flag) {
        struct scmp_arg_cmp has = {argument, SCMP_CMP_MASKED_EQ, flag, flag};

        return seccomp_rule_add_array(f, SCMP_ACT_ERRNO(EPERM), call, 1, &has);
}

/* clone3() has its flags in memory, where no filter sees them: programs use clone() without it. As
 * a signal of clone(), CLONE_NEWTIME has another meaning. */
static int refuse_namespace(scmp_filter_ctx f, uint32_t flag) {
        int r = refuse_flag(f, SCMP_SYS(unshare), 0, flag);

        if (r < 0)
                return r;
        r = refuse_flag(f, SCMP_SYS(setns), 1, flag);
        if (r < 0 || flag == CLONE_NEWTIME)
                return r;
        return refuse_flag(f, SCMP_SYS(clone), CLONE_FLAGS_ARGUMENT, flag);
}

static int refuse_namespaces(scmp_filter_ctx f, unsigned long allowed) {
        struct scmp_arg_cmp any = {1, SCMP_CMP_EQ, 0, 0};
        bool some = false;
        int r;

        for (size_t i = 0; i < sizeof(namespace_flags) / sizeof(*namespace_flags); i++) {
                if (allowed & namespace_flags[i])
                        continue;
                some |= namespace_flags[i] != CLONE_NEWTIME;
                r = refuse_namespace(f, namespace_flags[i]);
                if (r < 0)
                        return r;
        }
        if (!some)
                return 0;
        r = seccomp_rule_add_array(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setns), 1, &any);
        return r < 0 ? r : seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int refuse_call(scmp_filter_ctx f, const char *name, size_t n) {
        char text[CALL_NAME_MAX];
        int call;

        if (n >= sizeof(text))
                return -EINVAL;
        memcpy(text, name, n);
        text[n] = 0;
        call = seccomp_syscall_resolve_name(text);
        return call == __NR_SCMP_ERROR ? -EINVAL
                                       : seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), call, 0);
}

/* The other forms of system calls that this kernel may have. Where the unit allows native ones only
 * these have been refused already. */
static int add_architectures(scmp_filter_ctx f) {
        static const uint32_t others[] = {
#if defined(__x86_64__)
                SCMP_ARCH_X86,
                SCMP_ARCH_X32
#elif defined(__aarch64__)
                SCMP_ARCH_ARM
#else
                SCMP_ARCH_NATIVE
#endif
        };

        for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
                int r = seccomp_arch_add(f, others[i]);

                if (r < 0 && r != -EEXIST)
                        return r;
        }
        return 0;
}

static int add_rules(scmp_filter_ctx f, const char *text) {
        size_t n = strcspn(text, " ");
        char *end;
        int r;

        if (*text != '-') {
                unsigned long allowed = strtoul(text, &end, 16);

                if (end != text + n || n == 0)
                        return -EINVAL;
                r = refuse_namespaces(f, allowed);
                if (r < 0)
                        return r;
        }
        for (text += n; *text; text += n) {
                text++;
                n = strcspn(text, " ");
                r = refuse_call(f, text, n);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int fill(scmp_filter_ctx f, const char *text) {
        int r = add_architectures(f);

        if (r < 0)
                return r;
        /* Whether set-uid programs have their effect is the unit's matter. */
        r = seccomp_attr_set(f, SCMP_FLTATR_CTL_NNP, 0);
        if (r < 0)
                return r;
        r = add_rules(f, text);
        return r < 0 ? r : seccomp_load(f);
}

static int load_filter(const char *text) {
        scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
        int r;

        if (!f)
                return -ENOMEM;
        r = fill(f, text);
        seccomp_release(f);
        return r;
}

/* The filter first: loading it needs what is dropped then. */
int confine_program(const struct confinement *c, const char **ret_what) {
        bool root = geteuid() == 0;
        int r;

        *ret_what = "what the program may gain";
        if (c->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        *ret_what = "the filter of system calls";
        r = c->filter ? load_filter(c->filter) : 0;
        if (r < 0)
                return r;
        *ret_what = "the capabilities";
        r = drop_bounding(c->bounding);
        if (r < 0)
                return r;
        r = set_capabilities(root ? c->bounding : c->ambient, c->ambient);
        return r < 0 ? r : raise_ambient(c->ambient);
}
