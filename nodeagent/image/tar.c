/* Two readers of libarchive: `filter` decompresses (format raw, one filter once, so that a gzip in
 * a gzip in a gzip is not opened), `reader` parses its output (format tar, no filter). Between
 * them, pull() hashes, counts and refuses. libarchive is linked statically, and only what is called
 * here: the shared library brings all of its formats, with libxml2 and ICU, which would be four
 * times as large as the agent. */
#include "nodeagent/image/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include "lib/plain.h"
#include "nodeagent/image/digest.h"

enum { PIECE = 1 << 18, RATIO_FREE = 64 << 20, WORDS_MAX = 200 };

struct tar {
        struct tar_options options;
        struct archive *filter, *reader;
        struct archive_entry *entry;
        uint64_t in_bytes, out_bytes;
        struct image_hash *hash;
        char *in, *out;         /* PIECE bytes each */
        size_t held;            /* bytes of `in` that were read to see how it is compressed */
        enum image_cause cause; /* why pull() refused; NONE: it did not */
        int read_error;
        bool ended;
};

static ssize_t read_blob(struct tar *t) {
        ssize_t n;

        if (t->held > 0) {
                n = (ssize_t)t->held;
                t->held = 0;
                return n;
        }
        do
                n = read(t->options.fd, t->in, PIECE);
        while (n < 0 && errno == EINTR);
        if (n < 0) {
                t->read_error = errno;
                return -1;
        }
        t->in_bytes += (uint64_t)n;
        if (t->options.on_progress)
                t->options.on_progress(t->in_bytes, t->options.userdata);
        return n;
}

static la_ssize_t on_blob(struct archive *a, void *userdata, const void **ret) {
        struct tar *t = userdata;
        ssize_t n = read_blob(t);

        *ret = t->in;
        if (n < 0)
                archive_set_error(a, t->read_error, "%s", strerror(t->read_error));
        return n;
}

/* The next decompressed bytes, in *ret; 0 at the end, -1 when the stream is bad. */
static ssize_t pull(struct tar *t, const char **ret) {
        ssize_t n = t->filter ? archive_read_data(t->filter, t->out, PIECE) : read_blob(t);

        *ret = t->filter ? t->out : t->in;
        if (n < 0)
                return -1;
        if (n == 0) {
                t->ended = true;
                return 0;
        }
        t->out_bytes += (uint64_t)n;
        image_hash_add(t->hash, *ret, (size_t)n);
        if (t->out_bytes > t->options.stream_bytes_max ||
                        (t->out_bytes > RATIO_FREE &&
                                        (t->out_bytes - RATIO_FREE) / t->options.ratio_max >
                                                        t->in_bytes)) {
                t->cause = IMAGE_CAUSE_TOO_LARGE;
                return -1;
        }
        return n;
}

static la_ssize_t on_stream(struct archive *a, void *userdata, const void **ret) {
        const char *data;
        ssize_t n = pull(userdata, &data);

        *ret = data;
        if (n < 0)
                archive_set_error(a, EIO, "the stream ended");
        return n;
}

/* The words of libarchive, which may quote the archive. */
static char *words_of(struct archive *a) {
        const char *s = a ? archive_error_string(a) : NULL;

        return s ? plain_copy(s, strnlen(s, WORDS_MAX), PLAIN_LINE) : strdup("it is damaged");
}

static int bad(struct tar *t, struct problem *p) {
        bool by_filter = t->filter && archive_errno(t->filter) != 0;
        _cleanup_free_ char *words = words_of(by_filter ? t->filter : t->reader);

        if (!words)
                return -ENOMEM;
        if (t->cause == IMAGE_CAUSE_TOO_LARGE)
                return image_problem(p, EFBIG, IMAGE_CAUSE_TOO_LARGE,
                                "a layer is larger than allowed: more than %llu bytes came out of "
                                "%llu (limits imageBytesMax, ratioMax)",
                                (unsigned long long)t->out_bytes, (unsigned long long)t->in_bytes);
        if (t->read_error)
                return image_disk_problem(p, t->read_error, "a layer cannot be read");
        return image_problem(p, EBADMSG, IMAGE_CAUSE_INVALID,
                        "a layer is not a tar archive that can be read (%s): %s",
                        by_filter ? "while decompressing" : "while unpacking", words);
}

/* The filter that the first bytes ask for; NULL for a plain tar. */
static int (*filter_of(const char *data, size_t n))(struct archive *a) {
        static const struct {
                const char *magic;
                size_t size;
                int (*support)(struct archive *a);
        } magics[] = {{"\x1f\x8b", 2, archive_read_support_filter_gzip},
                        {"\x28\xb5\x2f\xfd", 4, archive_read_support_filter_zstd}};

        for (size_t i = 0; i < ELEMENTS(magics); i++)
                if (n >= magics[i].size && memcmp(data, magics[i].magic, magics[i].size) == 0)
                        return magics[i].support;
        return NULL;
}

static int open_filter(struct tar *t, struct problem *p) {
        int (*support)(struct archive * a) = filter_of(t->in, t->held);
        struct archive_entry *entry;

        if (!support)
                return 0;
        t->filter = archive_read_new();
        if (!t->filter)
                return -ENOMEM;
        if (support(t->filter) != ARCHIVE_OK ||
                        archive_read_support_format_raw(t->filter) != ARCHIVE_OK ||
                        archive_read_open(t->filter, t, NULL, on_blob, NULL) != ARCHIVE_OK ||
                        archive_read_next_header(t->filter, &entry) != ARCHIVE_OK)
                return bad(t, p);
        /* The filter itself, and the stream below it. */
        if (archive_filter_count(t->filter) > 2)
                return image_problem(p, EBADMSG, IMAGE_CAUSE_INVALID,
                                "a layer is compressed more than once; push the image again");
        return 0;
}

static int open_reader(struct tar *t, struct problem *p) {
        t->reader = archive_read_new();
        if (!t->reader)
                return -ENOMEM;
        if (archive_read_support_format_tar(t->reader) != ARCHIVE_OK ||
                        archive_read_support_format_empty(t->reader) != ARCHIVE_OK ||
                        archive_read_open(t->reader, t, NULL, on_stream, NULL) != ARCHIVE_OK)
                return bad(t, p);
        return 0;
}

int tar_new(struct tar **ret, const struct tar_options *options, struct problem *p) {
        _cleanup_(tar_freep) struct tar *t = calloc(1, sizeof(*t));
        ssize_t n = 0;
        int r;

        if (!t)
                return -ENOMEM;
        t->options = *options;
        t->hash = image_hash_new(options->digest);
        t->in = malloc(PIECE);
        t->out = malloc(PIECE);
        if (!t->hash || !t->in || !t->out)
                return -ENOMEM;
        /* A pipe may give its first bytes one at a time. */
        while (t->held < 4) {
                n = read(options->fd, t->in + t->held, PIECE - t->held);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                t->held += (size_t)n;
        }
        if (n < 0)
                return image_disk_problem(p, errno, "a layer cannot be read");
        t->in_bytes = t->held;
        r = open_filter(t, p);
        if (r < 0)
                return r;
        r = open_reader(t, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(t);
        return 0;
}

struct tar *tar_free(struct tar *t) {
        if (!t)
                return NULL;
        archive_read_free(t->reader);
        archive_read_free(t->filter);
        image_hash_free(t->hash);
        free(t->in);
        free(t->out);
        return mfree(t);
}

/* What follows the archive's end belongs to its digest. */
static int finish(struct tar *t, struct problem *p) {
        char digest[IMAGE_DIGEST_SIZE];
        const char *data;

        while (!t->ended)
                if (pull(t, &data) < 0)
                        return bad(t, p);
        image_hash_take(t->hash, digest);
        if (t->options.digest && !streq(t->options.digest, digest))
                return image_problem(p, EBADMSG, IMAGE_CAUSE_DIGEST,
                                "a layer's contents do not have the digest %s that the image's "
                                "configuration names; the image is damaged, push it again",
                                t->options.digest);
        return 0;
}

static enum tar_type type_of(struct archive_entry *e) {
        if (archive_entry_hardlink(e))
                return TAR_HARD_LINK;
        switch (archive_entry_filetype(e)) {
        case AE_IFREG:
                return TAR_FILE;
        case AE_IFDIR:
                return TAR_FOLDER;
        case AE_IFLNK:
                return TAR_LINK;
        case AE_IFIFO:
                return TAR_FIFO;
        default:
                return TAR_OTHER;
        }
}

static bool id_is_valid(int64_t id) {
        return id >= 0 && id < UINT32_MAX;
}

int tar_next(struct tar *t, struct tar_entry *ret, struct problem *p) {
        struct archive_entry *e;
        int r = archive_read_next_header(t->reader, &e);

        if (r == ARCHIVE_EOF)
                return finish(t, p);
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
                return bad(t, p);
        t->entry = e;
        *ret = (struct tar_entry){.type = type_of(e),
                        .path = archive_entry_pathname(e),
                        .mode = archive_entry_mode(e) & 07777,
                        .uid = (uint32_t)archive_entry_uid(e),
                        .gid = (uint32_t)archive_entry_gid(e),
                        .time_s = archive_entry_mtime(e),
                        .time_ns = archive_entry_mtime_nsec(e),
                        .size = (uint64_t)MAX(archive_entry_size(e), (la_int64_t)0)};
        if (ret->type == TAR_HARD_LINK)
                ret->target = archive_entry_hardlink(e);
        else if (ret->type == TAR_LINK)
                ret->target = archive_entry_symlink(e);
        if (!ret->path || ((ret->type == TAR_LINK || ret->type == TAR_HARD_LINK) && !ret->target))
                return image_problem(p, EBADMSG, IMAGE_CAUSE_INVALID,
                                "a layer has an entry whose name is not text");
        if (!id_is_valid(archive_entry_uid(e)) || !id_is_valid(archive_entry_gid(e)))
                return image_problem(p, EBADMSG, IMAGE_CAUSE_INVALID,
                                "a layer has a file of a user or group above 4294967294");
        return 1;
}

int tar_each_attribute(struct tar *t,
                int (*func)(const char *name, const void *value, size_t size, void *userdata),
                void *userdata) {
        const char *name;
        const void *value;
        size_t size;

        archive_entry_xattr_reset(t->entry);
        while (archive_entry_xattr_next(t->entry, &name, &value, &size) == ARCHIVE_OK) {
                int r = name ? func(name, value, size, userdata) : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_at(int fd, const char *data, size_t n, uint64_t at) {
        while (n > 0) {
                ssize_t k = pwrite(fd, data, n, (off_t)at);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                data += k;
                n -= (size_t)k;
                at += (uint64_t)k;
        }
        return 0;
}

int tar_data(struct tar *t, int fd, int (*room)(uint64_t bytes, void *userdata, struct problem *p),
                void *userdata, struct problem *p) {
        uint64_t size = (uint64_t)MAX(archive_entry_size(t->entry), (la_int64_t)0);
        const void *data;
        la_int64_t at;
        size_t n;
        int state, r = 0;

        while ((state = archive_read_data_block(t->reader, &data, &n, &at)) == ARCHIVE_OK) {
                if (at < 0 || (uint64_t)at > size || n > size - (uint64_t)at)
                        return image_problem(p, EBADMSG, IMAGE_CAUSE_INVALID,
                                        "a layer has a file with more bytes than its size");
                if (room)
                        r = room(n, userdata, p);
                if (r < 0)
                        return r;
                r = write_at(fd, data, n, (uint64_t)at);
                if (r < 0)
                        return image_disk_problem(p, -r, "a file of a layer cannot be written");
        }
        if (state != ARCHIVE_EOF)
                return bad(t, p);
        if (ftruncate(fd, (off_t)size) < 0)
                return image_disk_problem(p, errno, "a file of a layer cannot be written");
        return 0;
}
