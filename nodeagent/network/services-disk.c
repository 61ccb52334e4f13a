/* Written to a new file, synced, renamed: a reader finds the old file or the new one. */
#include "nodeagent/network/services-disk.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fileio.h"

static int write_all(FILE *f, const json_t *objects) {
        const json_t *o;
        size_t i;

        json_array_foreach (objects, i, o) {
                if (json_dumpf(o, f, JSON_COMPACT) < 0 || fputc('\n', f) == EOF)
                        return -EIO;
        }
        if (fflush(f) == EOF || fsync(fileno(f)) < 0)
                return -errno;
        return 0;
}

int services_disk_save(const char *path, const json_t *objects) {
        _cleanup_free_ char *beside = strformat("%s.new", path);
        int fd = beside ? open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)
                        : -1,
            r;
        FILE *f;

        if (fd < 0)
                return beside ? -errno : -ENOMEM;
        f = fdopen(fd, "w");
        if (!f) {
                safe_close(fd);
                return -ENOMEM;
        }
        r = write_all(f, objects);
        if (fclose(f) == EOF && r >= 0)
                r = -errno;
        if (r >= 0 && rename(beside, path) < 0)
                r = -errno;
        if (r < 0)
                (void)unlink(beside);
        return r;
}

int services_disk_load(const char *path, void (*func)(const json_t *object, void *userdata),
                void *userdata) {
        FILE *f = fopen(path, "re");
        char *line = NULL;
        size_t allocated = 0;
        ssize_t n;
        int r = 0;

        if (!f)
                return -errno;
        while (r >= 0 && (n = getline(&line, &allocated, f)) > 0) {
                _cleanup_json_ json_t *o = NULL;

                r = json_parse(line, (size_t)n, 0, &o, NULL);
                if (r >= 0 && json_is_object(o))
                        func(o, userdata);
        }
        free(line);
        (void)fclose(f);
        return r;
}
