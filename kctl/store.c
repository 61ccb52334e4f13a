/* The store's program as a tool: kctl itself has no code for databases. */
#include "kctl/store.h"

#include "lib/json.h"
#include "lib/ssh.h"

enum { CHECK_TIMEOUT_S = 3600 };

char *program_path(const char *folder, const char *name) {
        _cleanup_free_ char *self = realpath("/proc/self/exe", NULL);
        char *slash = self ? strrchr(self, '/') : NULL, *path;

        if (!slash)
                return NULL;
        *slash = 0;
        path = strformat("%s/../%s/%s", self, folder, name);
        if (path && access(path, X_OK) == 0)
                return path;
        free(path);
        path = strformat("%s/%s", self, name);
        if (path && access(path, X_OK) == 0)
                return path;
        free(path);
        path = strformat("%s/../sbin/%s", self, name); /* of a package */
        if (path && access(path, X_OK) == 0)
                return path;
        free(path);
        return strformat("%s/%s", KEELSON_SBINDIR, name);
}

/* The last line, without the program's name before it. */
static int refusal(struct buf *said, struct problem *p) {
        const char *line, *text;

        while (said->size > 0 && said->data[said->size - 1] == '\n')
                said->data[--said->size] = 0;
        line = said->size > 0 ? strrchr(said->data, '\n') : NULL;
        line = line ? line + 1 : said->size > 0 ? said->data : "kstored gave no reason";
        text = startswith(line, "kstored: ");
        return problem_set(p, EINVAL, 0, NULL, "%s", text ? text : line);
}

int store_program_run(char *const *words, json_t **ret, struct problem *p) {
        _cleanup_free_ char *program = program_path("kstored", "kstored"), *line = NULL;
        _cleanup_buf_ struct buf command = {0}, out = {0}, err = {0};
        int status, r;

        if (!program)
                return -ENOMEM;
        if (access(program, X_OK) < 0)
                return problem_set(p, ENOENT, 0, NULL,
                                "the program kstored, which reads backups, was not found (looked "
                                "beside kctl and in %s)",
                                KEELSON_SBINDIR);
        line = shell_quote(program);
        buf_printf(&command, "exec %s", strempty(line));
        for (char *const *w = words; *w; w++) {
                _cleanup_free_ char *quoted = shell_quote(*w);

                buf_printf(&command, " %s", strempty(quoted));
        }
        if (!line || command.failed)
                return -ENOMEM;
        r = local_run(command.data, NULL, 0, CHECK_TIMEOUT_S, &out, &err, &status, p);
        if (r < 0)
                return r;
        if (status != 0)
                return refusal(&err, p);
        return json_parse(strempty(out.data), out.size, 0, ret, NULL);
}

static const char *plural(int64_t n) {
        return n == 1 ? "" : "s";
}

char *store_info_text(const json_t *info) {
        int64_t keys = json_int_or(info, "keys", 0), leases = json_int_or(info, "leases", 0);

        return strformat("cluster %s, revision %lld, %lld key%s, %lld lease%s, %lld KiB",
                        json_str_or(info, "clusterID", "?"),
                        (long long)json_int_or(info, "revision", 0), (long long)keys, plural(keys),
                        (long long)leases, plural(leases),
                        (long long)(json_int_or(info, "size", 0) + 1023) / 1024);
}

int store_fail(int r, const struct problem *p) {
        return p->message ? kctl_fail(p) : kctl_error("%s", strerror(-r));
}

int store_control_machine(struct kctl *k, const char **ret, struct problem *p) {
        size_t n = strv_length(k->flags.control);

        if (n > 1)
                return problem_set(p, EINVAL, 0, NULL,
                                "--control: give one machine, not %zu; each member of the store "
                                "holds all of it",
                                n);
        *ret = n ? k->flags.control[0] : NULL;
        return 0;
}
