/* A tar archive in gzip's form: for each member a header of 512 bytes, its bytes, and zeros up to a
 * multiple of 512; at the end two blocks of zeros (pax(1), ustar). */
#include "kctl/tar-write.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <zlib.h>

#include "lib/fileio.h"
#include "lib/timefmt.h"

enum { BLOCK = 512, NAME_MAX_BYTES = 100, PREFIX_MAX_BYTES = 155 };

struct tar_writer {
        gzFile gz;
        char *path, *folder;
        int fd; /* ours; zlib has a copy */
        uint64_t now_s;
        bool finished;
};

struct ustar {
        char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100],
                        magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155],
                        pad[12];
};
_Static_assert(sizeof(struct ustar) == BLOCK, "a header is one block");

struct tar_writer *tar_writer_free(struct tar_writer *t) {
        if (!t)
                return NULL;
        if (t->gz)
                (void)gzclose(t->gz);
        if (t->fd >= 0 && !t->finished)
                (void)unlink(t->path);
        safe_close(t->fd);
        free(t->path);
        free(t->folder);
        free(t);
        return NULL;
}

static int cannot(const char *path, const char *what, int error, struct problem *p) {
        _cleanup_free_ char *why = file_error_text(path, what, error);

        return problem_set(p, -error, 0, NULL, "%s", strempty(why));
}

int tar_writer_new(
                struct tar_writer **ret, const char *path, const char *folder, struct problem *p) {
        _cleanup_(tar_writer_freep) struct tar_writer *t = calloc(1, sizeof(*t));
        int copy;

        if (!t)
                return -ENOMEM;
        t->fd = -EBADF;
        t->now_s = now_wall_us() / 1000000;
        t->path = strdup(path);
        t->folder = strdup(folder);
        if (!t->path || !t->folder)
                return -ENOMEM;
        t->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (t->fd < 0 && errno == EEXIST)
                return problem_set(p, EEXIST, 0, NULL, "%s exists: name another file, or remove it",
                                path);
        if (t->fd < 0 || fchmod(t->fd, 0600) < 0)
                return cannot(path, "write", -errno, p);
        copy = fcntl(t->fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0)
                return -errno;
        t->gz = gzdopen(copy, "wb6");
        if (!t->gz) {
                close(copy);
                return -ENOMEM;
        }
        *ret = TAKE_PTR(t);
        return 0;
}

static int write_bytes(struct tar_writer *t, const void *data, size_t n, struct problem *p) {
        const char *s = data;

        while (n > 0) {
                unsigned part = (unsigned)MIN(n, (size_t)1 << 20);

                if (gzwrite(t->gz, s, part) != (int)part)
                        return cannot(t->path, "write", errno ? -errno : -EIO, p);
                s += part;
                n -= part;
        }
        return 0;
}

static void octal(char *field, size_t size, uint64_t v) {
        (void)snprintf(field, size, "%0*llo", (int)size - 1, (unsigned long long)v);
}

/* The header, with a long name divided at a slash. -ENAMETOOLONG. */
static int make_header(const struct tar_writer *t, const char *name, size_t size, struct ustar *h) {
        size_t n = strlen(name), cut = 0;
        unsigned sum = 0;

        *h = (struct ustar){.type = '0', .magic = "ustar", .version = {'0', '0'}};
        if (n > NAME_MAX_BYTES) {
                for (cut = MIN(n - 1, (size_t)PREFIX_MAX_BYTES); cut > 0 && name[cut] != '/'; cut--)
                        ;
                if (cut == 0 || n - cut - 1 > NAME_MAX_BYTES)
                        return -ENAMETOOLONG;
                memcpy(h->prefix, name, cut);
                cut++;
        }
        memcpy(h->name, name + cut, n - cut);
        octal(h->mode, sizeof(h->mode), 0600);
        octal(h->uid, sizeof(h->uid), 0);
        octal(h->gid, sizeof(h->gid), 0);
        octal(h->size, sizeof(h->size), size);
        octal(h->mtime, sizeof(h->mtime), t->now_s);
        memset(h->checksum, ' ', sizeof(h->checksum));
        for (size_t i = 0; i < sizeof(*h); i++)
                sum += ((const unsigned char *)h)[i];
        (void)snprintf(h->checksum, sizeof(h->checksum), "%06o", sum);
        return 0;
}

/* No character that a file system or a shell could misread, and no part that is "..". */
static char *safe_name(const char *folder, const char *name) {
        char *s = strformat("%s/%s", folder, name);

        for (char *c = s; c && *c; c++)
                if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/",
                                    *c) ||
                                (*c == '.' && c > s && c[-1] == '/'))
                        *c = '_';
        return s;
}

int tar_writer_add(struct tar_writer *t, const char *name, const void *data, size_t n,
                struct problem *p) {
        static const char zeros[BLOCK];
        _cleanup_free_ char *full = safe_name(t->folder, name);
        struct ustar h;
        int r = full ? make_header(t, full, n, &h) : -ENOMEM;

        if (r < 0)
                return problem_set(p, -r, 0, NULL, "%s cannot be put into %s: %s", name, t->path,
                                strerror(-r));
        r = write_bytes(t, &h, sizeof(h), p);
        if (r < 0)
                return r;
        r = write_bytes(t, data, n, p);
        if (r < 0)
                return r;
        return write_bytes(t, zeros, (BLOCK - n % BLOCK) % BLOCK, p);
}

int tar_writer_finish(struct tar_writer *t, struct problem *p) {
        static const char zeros[2 * BLOCK];
        int r = write_bytes(t, zeros, sizeof(zeros), p), code;

        if (r < 0)
                return r;
        code = gzclose(t->gz);
        t->gz = NULL;
        if (code != Z_OK || fsync(t->fd) < 0)
                return cannot(t->path, "write", errno ? -errno : -EIO, p);
        t->finished = true;
        return 0;
}
