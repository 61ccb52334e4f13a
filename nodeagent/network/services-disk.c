/* A whole file is written beside, synced, renamed: a reader finds the old file or the new one. Of
 * an appended line that was cut off, the reader says so. */
#include "nodeagent/network/services-disk.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fileio.h"

struct services_reader {
        FILE *file;
        char *line;
        size_t allocated;
};

static int write_lines(FILE *f, const json_t *lines) {
        const json_t *o;
        size_t i;

        json_array_foreach (lines, i, o) {
                if (json_dumpf(o, f, JSON_COMPACT) < 0 || fputc('\n', f) == EOF)
                        return -EIO;
        }
        if (fflush(f) == EOF || fsync(fileno(f)) < 0)
                return -errno;
        return 0;
}

static int write_file(const char *path, int flags, const json_t *lines) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0600), r;
        FILE *f;

        if (fd < 0)
                return -errno;
        f = fdopen(fd, flags & O_APPEND ? "a" : "w");
        if (!f) {
                safe_close(fd);
                return -ENOMEM;
        }
        r = write_lines(f, lines);
        if (fclose(f) == EOF && r >= 0)
                r = -errno;
        return r;
}

int services_disk_save(const char *path, const json_t *objects) {
        _cleanup_free_ char *beside = strformat("%s.new", path);
        int r = beside ? write_file(beside, O_TRUNC, objects) : -ENOMEM;

        if (r >= 0 && rename(beside, path) < 0)
                r = -errno;
        if (r < 0 && beside)
                (void)unlink(beside);
        return r;
}

int services_disk_append(const char *path, const json_t *lines) {
        return write_file(path, O_APPEND, lines);
}

int services_reader_open(struct services_reader **ret, const char *path) {
        _cleanup_(services_reader_freep) struct services_reader *reader =
                        calloc(1, sizeof(*reader));

        if (!reader)
                return -ENOMEM;
        reader->file = fopen(path, "re");
        if (!reader->file)
                return -errno;
        *ret = TAKE_PTR(reader);
        return 0;
}

struct services_reader *services_reader_free(struct services_reader *reader) {
        if (!reader)
                return NULL;
        if (reader->file)
                (void)fclose(reader->file);
        free(reader->line);
        free(reader);
        return NULL;
}

int services_reader_next(struct services_reader *reader, json_t **ret) {
        ssize_t n = getline(&reader->line, &reader->allocated, reader->file);

        if (n <= 0)
                return ferror(reader->file) ? -EIO : 0;
        if (reader->line[n - 1] != '\n' ||
                        json_parse(reader->line, (size_t)n, 0, ret, NULL) < 0)
                return -EINVAL;
        return 1;
}
