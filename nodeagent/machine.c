/* Reads /proc, /etc and the agent's own folder once, at start. */
#include "nodeagent/machine.h"

#include <limits.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "lib/fileio.h"

/* A stub resolver on the host's loopback is out of a pod's reach: the name servers behind it are
 * shown instead. 0; -ENOMEM. */
static int find_resolv_conf(struct machine_facts *f) {
        static const char real[] = "/run/systemd/resolve/resolv.conf";
        _cleanup_free_ char *text = NULL;
        size_t n;

        if (file_read("/etc/resolv.conf", 65536, &text, &n) < 0 ||
                        !strstr(text, "nameserver 127.") || access(real, R_OK) < 0)
                return 0;
        f->resolv_conf = strdup(real);
        return f->resolv_conf ? 0 : -ENOMEM;
}

/* Some distributions and administrators switch user namespaces off. */
static bool user_namespaces_work(void) {
        _cleanup_free_ char *text = NULL;
        size_t n;

        return access("/proc/self/ns/user", F_OK) == 0 &&
               (file_read("/proc/sys/user/max_user_namespaces", 64, &text, &n) < 0 || *text != '0');
}

/* Every command of a pod is started through it. */
static int find_exec_program(struct machine_facts *f, struct problem *p) {
        char self[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        char *slash;

        if (n < 0)
                return -errno;
        self[n] = 0;
        slash = strrchr(self, '/');
        if (slash)
                *slash = 0;
        f->exec_program = strformat("%s/kpod-exec", self);
        if (!f->exec_program)
                return -ENOMEM;
        if (access(f->exec_program, X_OK) < 0)
                return problem_set(p, errno, 0, NULL,
                                "the program %s, through which pods are started, cannot be used: "
                                "%s (install it beside knodeagent)",
                                f->exec_program, strerror(errno));
        return 0;
}

int machine_facts_read(struct machine_facts *f, struct problem *p) {
        struct sysinfo info;
        char host[256];
        int r;

        r = find_exec_program(f, p);
        if (r < 0)
                return r;
        if (gethostname(host, sizeof(host)) < 0)
                return -errno;
        host[sizeof(host) - 1] = 0;
        f->host_name = strdup(host);
        if (!f->host_name)
                return -ENOMEM;
        if (sysinfo(&info) < 0)
                return -errno;
        f->memory_bytes = (int64_t)info.totalram * info.mem_unit;
        f->cpu_milli = (int64_t)sysconf(_SC_NPROCESSORS_ONLN) * 1000;
        f->no_user_namespaces = !user_namespaces_work();
        return find_resolv_conf(f);
}

void machine_facts_done(struct machine_facts *f) {
        free(f->host_name);
        free(f->exec_program);
        free(f->resolv_conf);
        *f = (struct machine_facts){0};
}
