/* A pod may ask for any uid, as it could in a container; systemd wants an entry in the user
 * database for it. Missing ones get one named kpod-<number> without a shell or password, by
 * systemd-sysusers, which knows how to lock and write the files. They stay: files on volumes belong
 * to them. */
#include "nodeagent/pod/users.h"

#include <grp.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/wait.h>

#include "lib/buf.h"
#include "lib/log.h"

extern char **environ;

/* Each one is looked up in the group database: supplementalGroups, fsGroup, and an annotation. */
enum { GROUPS_MAX = 128 };

static bool number(const char *s, uint32_t *ret) {
        return s && parse_u32(s, ret) >= 0;
}

static int run_sysusers(char *const *lines) {
        _cleanup_strv_free_ char **argv = NULL;
        int r = strv_extend(&argv, "systemd-sysusers"), status;
        pid_t pid;

        if (r < 0)
                return r;
        r = strv_extend(&argv, "--inline");
        if (r < 0)
                return r;
        for (char *const *l = lines; *l; l++) {
                r = strv_extend(&argv, *l);
                if (r < 0)
                        return r;
        }
        r = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
        if (r != 0)
                return -r;
        /* It edits two small files; it does not wait for anything else. */
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int add_group(char ***lines, const char *text) {
        _cleanup_free_ char *line = NULL;
        uint32_t gid;

        if (!number(text, &gid) || getgrgid(gid))
                return 0;
        line = strformat("g kpod-%u %u", gid, gid);
        if (!line)
                return -ENOMEM;
        return strv_contains(*lines, line) ? 0 : strv_extend(lines, line);
}

/* A process with such an account's number could send signals to the program and read its files. An
 * image's own user was not chosen by the pod, and its files belong to that number. */
static int check_account(const json_t *unit, uint32_t uid, struct problem *p) {
        static const char *const begins[] = {
                        "keelson", "systemd-", "messagebus", "sshd", "polkitd", "unbound", "_"};
        const struct passwd *account = getpwuid(uid);

        if (!account || uid == 0 || json_bool_or(unit, "privileged", false) ||
                        json_bool_or(unit, "root.ownUser", false))
                return 0;
        for (size_t i = 0; i < ELEMENTS(begins); i++)
                if (startswith(account->pw_name, begins[i]))
                        return problem_set(p, EPERM, 0, "CreateContainerConfigError",
                                        "runAsUser %u is the account %s of this machine: choose "
                                        "another number, or leave it out for an account of the "
                                        "pod's own",
                                        uid, account->pw_name);
        return 0;
}

static int add_user(char ***lines, uint32_t uid, const char *group) {
        _cleanup_free_ char *line = NULL;
        uint32_t gid;

        if (!number(group, &gid))
                gid = uid;
        line = strformat("u kpod-%u %u:%u \"user of keelson pods\"", uid, uid, gid);
        return line ? strv_extend(lines, line) : -ENOMEM;
}

/* The lines for systemd-sysusers; *ret is NULL when nothing is missing. */
static int missing(const json_t *unit, char ***ret, struct problem *p) {
        const json_t *properties = json_at(unit, "properties"), *groups, *v;
        const char *user = json_str(properties, "User"), *group = json_str(properties, "Group");
        _cleanup_strv_free_ char **lines = NULL;
        bool by_number;
        uint32_t uid;
        size_t i;
        int r;

        by_number = number(user, &uid);
        if (by_number) {
                r = check_account(unit, uid, p);
                if (r < 0)
                        return r;
        }
        groups = json_at(properties, "SupplementaryGroups");
        if (json_array_size(groups) > GROUPS_MAX)
                return problem_set(p, EINVAL, 0, "CreateContainerConfigError",
                                "SupplementaryGroups of container %s has more than %d groups: "
                                "leave some out",
                                json_str_or(unit, "container", ""), GROUPS_MAX);
        r = add_group(&lines, group);
        if (r < 0)
                return r;
        json_array_foreach (groups, i, v) {
                r = add_group(&lines, json_string_value(v));
                if (r < 0)
                        return r;
        }
        if (by_number && !getpwuid(uid)) {
                r = add_user(&lines, uid, group);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(lines);
        return 0;
}

int users_ensure(const json_t *unit, struct problem *p) {
        _cleanup_strv_free_ char **lines = NULL;
        int r = missing(unit, &lines, p);

        if (r < 0 || !lines)
                return r;
        r = run_sysusers(lines);
        if (r < 0)
                return log_warning_errno(r, "Cannot make the users of %s with systemd-sysusers",
                                json_str_or(unit, "name", ""));
        log_info("Made the users or groups that %s runs as: they were not known on this machine",
                        json_str_or(unit, "name", ""));
        return 0;
}
