/* haproxy.cfg, maps, the list of certificates, certificates, and the output of the check. Nothing
 * is synced: the folder is in memory, and is made again at each start. */
#include "reconcilers/ingress/folder.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fileio.h"
#include "reconcilers/ingress/text.h"

enum { CHECK_SIZE_MAX = 1 << 20, CHECK_LOG_SIZE = 2000 };

char *folder_path(const char *run_dir, uint64_t generation) {
        return strformat("%s/config-%llu", run_dir, (unsigned long long)generation);
}

static int put(const char *dir, const char *name, const char *text) {
        _cleanup_free_ char *path = strformat("%s/%s", dir, name);
        _cleanup_close_ int fd = -EBADF;

        if (!path)
                return -ENOMEM;
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        return file_write_all(fd, text, strlen(text));
}

static int put_all(const char *dir, const json_t *files) {
        const json_t *v;
        const char *name;

        json_object_each (files, name, v) {
                int r = put(dir, name, json_string_value(v));

                if (r < 0)
                        return r;
        }
        return 0;
}

static int put_lists(const char *dir, const json_t *files) {
        const json_t *v;
        const char *name;

        json_object_each (files, name, v) {
                _cleanup_free_ char *text = ingress_text_in(json_string_value(v), dir);
                int r = put(dir, name, text);

                if (r < 0)
                        return r;
        }
        return 0;
}

int folder_write(const char *run_dir, uint64_t generation, const json_t *decision,
                const json_t *slots) {
        _cleanup_free_ char *dir = folder_path(run_dir, generation),
                            *certs = dir ? strformat("%s/certs", dir) : NULL, *text = NULL;
        int r;

        if (!certs)
                return -ENOMEM;
        r = mkdir_parents(certs, 0700);
        if (r < 0)
                return r;
        r = put_all(certs, json_object_get(decision, "certificates"));
        if (r < 0)
                return r;
        r = put_lists(dir, json_object_get(decision, "files"));
        if (r < 0)
                return r;
        text = ingress_text(decision, slots, dir, generation);
        return put(dir, "haproxy.cfg", text);
}

int folder_link(const char *run_dir, uint64_t generation) {
        _cleanup_free_ char *target = folder_path(run_dir, generation),
                            *link = strformat("%s/current", run_dir),
                            *fresh = strformat("%s/current.new", run_dir);

        if (!target || !link || !fresh)
                return -ENOMEM;
        (void)unlink(fresh);
        if (symlink(target, fresh) < 0 || rename(fresh, link) < 0)
                return -errno;
        return 0;
}

int folder_clean(const char *run_dir, uint64_t generation) {
        _cleanup_free_ char *keep = folder_path(run_dir, generation);
        _cleanup_strv_free_ char **names = NULL;
        int r = keep ? file_list(run_dir, &names) : -ENOMEM;

        if (r < 0)
                return r;
        for (char **name = names; name && *name; name++) {
                _cleanup_free_ char *path = strformat("%s/%s", run_dir, *name);

                if (!path)
                        return -ENOMEM;
                if (!startswith(*name, "config-") || (generation > 0 && streq(path, keep)))
                        continue;
                r = remove_tree(path);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Past the name of a file that a decision has: "ns_secret.pem", where a secret may be named
 * "x.pem.y". NULL: it is none. */
static const char *name_end(const char *begin) {
        size_t n = strspn(begin, "abcdefghijklmnopqrstuvwxyz0123456789-._");

        while (n > 0 && begin[n - 1] == '.') /* the end of the sentence */
                n--;
        if (n <= strlen(".pem") || strncmp(begin + n - strlen(".pem"), ".pem", strlen(".pem")) != 0)
                return NULL;
        return begin + n;
}

/* A line of haproxy about a certificate ends with " : unable to load ... '/.../certs/x.pem'." */
static void report_line(const char *line, const char *mark, int *count,
                void (*found)(const char *file, const char *why, void *userdata), void *userdata) {
        const char *begin = mark + strlen("/certs/"), *end = name_end(begin), *last = line;
        _cleanup_free_ char *file = NULL, *why = NULL;

        if (!end)
                return;
        file = strndup(begin, (size_t)(end - begin));
        for (const char *at = line; (at = strstr(at, " : ")) && at < mark;)
                last = at += strlen(" : ");
        why = strndup(last, strcspn(last, "'"));
        if (!file || !why)
                return;
        found(file, why, userdata);
        (*count)++;
}

int folder_read_check(const char *dir,
                void (*found)(const char *file, const char *why, void *userdata), void *userdata,
                char **ret_text) {
        _cleanup_free_ char *path = strformat("%s/check.log", dir), *text = NULL;
        _cleanup_strv_free_ char **lines = NULL;
        int count = 0, r;

        if (!path)
                return -ENOMEM;
        r = file_read(path, CHECK_SIZE_MAX, &text, /* ret_size= */ NULL);
        if (r < 0)
                return r;
        r = strv_split(text, "\n", &lines);
        if (r < 0)
                return r;
        *ret_text = strndup(text, CHECK_LOG_SIZE);
        if (!*ret_text)
                return -ENOMEM;
        for (char **line = lines; line && *line; line++) {
                const char *mark = strstr(*line, "/certs/");

                if (mark)
                        report_line(*line, mark, &count, found, userdata);
        }
        return count;
}
