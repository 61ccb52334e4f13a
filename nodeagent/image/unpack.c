/* Entries of a layer become files. A later entry replaces an earlier one of the same path; a folder
 * keeps what is in it. Times of folders are set at the end, because what comes into them changes
 * them. Owners come before modes and attributes: the kernel takes set-id bits and capabilities away
 * when a file's owner changes. */
#include "nodeagent/image/unpack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "lib/fileio.h"
#include "lib/map.h"
#include "lib/plain.h"
#include "lib/vector.h"
#include "nodeagent/image/beneath.h"
#include "nodeagent/image/tar.h"

enum {
        ATTRIBUTES_MAX = 64,
        ATTRIBUTE_SIZE_MAX = 65536,
        CHECK_FREE_EVERY = 64 << 20,
        PATH_SHOWN_MAX = 200,
        NOTES_MAX = 200000,
        NOTES_SIZE_MAX = 4 << 20,
        LINK_SIZE_MAX = 4095,
};

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define WHITEOUT_META ".wh..wh." /* names that aufs reserved for itself */

struct folder_time {
        char *path;
        struct timespec time;
};

struct unpack {
        const struct unpack_options *options;
        struct tar *tar;
        int root;
        uint64_t bytes, entries, since_check;
        size_t note_count, note_size;
        json_t *notes;
        json_t *whiteouts, *opaque, *links; /* borrowed from notes */
        struct map *implied;                /* paths */
        struct {
                struct folder_time *items;
                size_t count, allocated;
        } folders;
};

static void unpack_done(struct unpack *u) {
        for (size_t i = 0; i < u->folders.count; i++)
                free(u->folders.items[i].path);
        vector_done(&u->folders);
        json_decref(u->notes);
        map_free(u->implied);
        tar_free(u->tar);
}

/* --- refusals --- */

static int with_path(struct problem *p, int error, enum image_cause cause, const char *path,
                const char *what) {
        _cleanup_free_ char *shown = plain_copy(path, strnlen(path, PATH_SHOWN_MAX), PLAIN_LINE);

        if (!shown)
                return -ENOMEM;
        return image_problem(p, error, cause, "a layer %s: \"%s\"", what, shown);
}

static int cannot_make(struct problem *p, int error, const char *path) {
        _cleanup_free_ char *shown = plain_copy(path, strnlen(path, PATH_SHOWN_MAX), PLAIN_LINE),
                            *what = NULL;

        if (error == ELOOP || error == ENOTDIR || error == EXDEV)
                return with_path(p, error, IMAGE_CAUSE_UNSAFE, path,
                                "has a file below a link or file that is not a folder");
        what = shown ? strformat("\"%s\" of a layer cannot be made", shown) : NULL;
        return what ? image_disk_problem(p, error, what) : -ENOMEM;
}

static int clean_path(struct unpack *u, const char *path, char **ret, struct problem *p) {
        const struct image_limits *l = &u->options->limits;
        int r = beneath_path(path, l->path_max, l->depth_max, ret);

        switch (r) {
        case -EPERM:
                return with_path(p, EPERM, IMAGE_CAUSE_UNSAFE, path,
                                "has a path that leads out of the image");
        case -ENAMETOOLONG:
                return with_path(p, ENAMETOOLONG, IMAGE_CAUSE_TOO_LARGE, path,
                                "has a path that is too long or too deep");
        }
        return r;
}

/* --- limits --- */

static int count(struct unpack *u, const struct tar_entry *e, struct problem *p) {
        const struct unpack_options *o = u->options;
        uint64_t size = e->type == TAR_FILE ? e->size : 0;

        if (++u->entries + o->entries_before > o->limits.entries_max)
                return image_problem(p, EFBIG, IMAGE_CAUSE_TOO_LARGE,
                                "the image has more than %llu files (limit entriesMax)",
                                (unsigned long long)o->limits.entries_max);
        if (size > o->limits.image_bytes_max ||
                        u->bytes + size + o->bytes_before > o->limits.image_bytes_max)
                return image_problem(p, EFBIG, IMAGE_CAUSE_TOO_LARGE,
                                "the image has more than %llu bytes (limit imageBytesMax)",
                                (unsigned long long)o->limits.image_bytes_max);
        u->bytes += size;
        return 0;
}

/* Keeps some of the disk free for the machine. */
static int check_room(uint64_t bytes, void *userdata, struct problem *p) {
        struct unpack *u = userdata;
        struct statvfs st;

        u->since_check += bytes;
        if (u->since_check < CHECK_FREE_EVERY)
                return 0;
        u->since_check = 0;
        if (fstatvfs(u->root, &st) < 0)
                return image_disk_problem(p, errno, "the image store");
        if ((uint64_t)st.f_bavail * st.f_frsize < u->options->limits.free_bytes_min)
                return image_disk_problem(p, ENOSPC, "a layer cannot be unpacked");
        return 0;
}

/* --- notes --- */

static int count_note(struct unpack *u, const char *path, struct problem *p) {
        u->note_size += strlen(path);
        if (++u->note_count > NOTES_MAX || u->note_size > NOTES_SIZE_MAX)
                return image_problem(p, EFBIG, IMAGE_CAUSE_TOO_LARGE,
                                "a layer removes or implies more than %d files of other layers",
                                NOTES_MAX);
        return 0;
}

/* Takes value. */
static int note(struct unpack *u, json_t *list, const char *path, json_t *value,
                struct problem *p) {
        int r = count_note(u, path, p);

        if (r < 0) {
                json_decref(value);
                return r;
        }
        return value && json_array_append_new(list, value) == 0 ? 0 : -ENOMEM;
}

/* Only an entry of its own says owner and mode of a folder. */
static int note_implied(struct unpack *u, const char *path, struct problem *p) {
        int r = count_note(u, path, p);

        return r < 0 ? r : map_set(u->implied, path, u->implied);
}

static int notes_new(struct unpack *u) {
        u->notes = json_pack("{s:[], s:[], s:[]}", "whiteouts", "opaque", "links");
        u->implied = map_new(NULL);
        u->whiteouts = json_at_mut(u->notes, "whiteouts");
        u->opaque = json_at_mut(u->notes, "opaque");
        u->links = json_at_mut(u->notes, "links");
        return u->notes && u->implied ? 0 : -ENOMEM;
}

/* --- places --- */

static int imply_folder(struct unpack *u, const char *path, struct problem *p) {
        const char *name;
        _cleanup_close_ int parent = beneath_parent(u->root, path, &name);

        if (parent < 0)
                return cannot_make(p, -parent, path);
        if (mkdirat(parent, name, 0755) < 0)
                return cannot_make(p, errno == EEXIST ? ELOOP : errno, path);
        return note_implied(u, path, p);
}

/* The folder that a path's last part is in; what is missing above it is made. */
static int open_parent(
                struct unpack *u, const char *path, const char **ret_name, struct problem *p) {
        int fd = beneath_parent(u->root, path, ret_name);

        if (fd != -ENOENT)
                return fd < 0 ? cannot_make(p, -fd, path) : fd;
        for (const char *s = strchr(path, '/'); s; s = strchr(s + 1, '/')) {
                _cleanup_free_ char *above = strndup(path, (size_t)(s - path));
                _cleanup_close_ int folder = -EBADF;
                int r;

                if (!above)
                        return -ENOMEM;
                folder = beneath_open(u->root, above, O_PATH | O_DIRECTORY);
                r = folder == -ENOENT ? imply_folder(u, above, p) : 0;
                if (r < 0)
                        return r;
                if (folder < 0 && folder != -ENOENT)
                        return cannot_make(p, -folder, above);
        }
        fd = beneath_parent(u->root, path, ret_name);
        return fd < 0 ? cannot_make(p, -fd, path) : fd;
}

/* --- attributes --- */

struct attributes {
        int fd;
        bool keep_owner;
        unsigned count;
};

static int set_attribute(const char *name, const void *value, size_t size, void *userdata) {
        struct attributes *a = userdata;
        bool capability = streq(name, "security.capability") && a->keep_owner;

        /* user.overlay. is what an overlay writes for itself. */
        if (!capability && (!startswith(name, "user.") || startswith(name, "user.overlay.")))
                return 0;
        if (++a->count > ATTRIBUTES_MAX || size > ATTRIBUTE_SIZE_MAX)
                return -E2BIG;
        if (fsetxattr(a->fd, name, value, size, 0) < 0 && errno != EOPNOTSUPP)
                return -errno;
        return 0;
}

/* Owner, attributes, mode of an open file or folder, in this order. */
static int set_metadata(struct unpack *u, int fd, const struct tar_entry *e, const char *path,
                struct problem *p) {
        struct attributes a = {.fd = fd, .keep_owner = u->options->keep_owner};
        int r;

        if (u->options->is_archive)
                return 0;
        if (u->options->keep_owner && fchown(fd, e->uid, e->gid) < 0)
                return cannot_make(p, errno, path);
        r = tar_each_attribute(u->tar, set_attribute, &a);
        if (r == -E2BIG)
                return with_path(p, E2BIG, IMAGE_CAUSE_TOO_LARGE, path,
                                "has a file with too many or too long attributes");
        if (r < 0)
                return cannot_make(p, -r, path);
        return fchmod(fd, e->mode) < 0 ? cannot_make(p, errno, path) : 0;
}

static struct timespec time_of(const struct tar_entry *e) {
        return (struct timespec){.tv_sec = (time_t)e->time_s,
                        .tv_nsec = e->time_ns >= 0 && e->time_ns < 1000000000 ? e->time_ns : 0};
}

/* --- kinds of entries --- */

static int make_file(struct unpack *u, int parent, const char *name, const char *path,
                const struct tar_entry *e, struct problem *p) {
        const struct timespec times[2] = {time_of(e), time_of(e)};
        _cleanup_close_ int fd = openat(
                        parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        int r;

        if (fd < 0)
                return cannot_make(p, errno, path);
        r = tar_data(u->tar, fd, check_room, u, p);
        if (r < 0)
                return r;
        r = set_metadata(u, fd, e, path, p);
        if (r < 0)
                return r;
        return futimens(fd, times) < 0 ? cannot_make(p, errno, path) : 0;
}

/* The one existing kind of entry that is not replaced. */
static int make_folder(
                struct unpack *u, const char *path, const struct tar_entry *e, struct problem *p) {
        struct folder_time t = {.path = strdup(path), .time = time_of(e)};
        _cleanup_close_ int fd = -EBADF;

        if (!t.path || vector_append(&u->folders, t) < 0) {
                free(t.path);
                return -ENOMEM;
        }
        map_remove(u->implied, path);
        fd = beneath_open(u->root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        return fd < 0 ? cannot_make(p, -fd, path) : set_metadata(u, fd, e, path, p);
}

static int make_link(struct unpack *u, int parent, const char *name, const char *path,
                const struct tar_entry *e, struct problem *p) {
        const struct timespec times[2] = {time_of(e), time_of(e)};

        if (!*e->target || strlen(e->target) > LINK_SIZE_MAX)
                return with_path(p, EINVAL, IMAGE_CAUSE_INVALID, path,
                                "has a link that leads nowhere or has more than 4095 bytes");
        if (symlinkat(e->target, parent, name) < 0)
                return cannot_make(p, errno, path);
        if (u->options->keep_owner &&
                        fchownat(parent, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return cannot_make(p, errno, path);
        return utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? cannot_make(p, errno, path)
                                                                       : 0;
}

static int make_hard_link(struct unpack *u, int parent, const char *name, const char *path,
                const struct tar_entry *e, struct problem *p) {
        _cleanup_free_ char *target = NULL;
        const char *target_name;
        _cleanup_close_ int target_parent = -EBADF;
        int r = clean_path(u, e->target, &target, p);

        if (r < 0)
                return r;
        if (!*target || streq(target, path))
                return with_path(p, EINVAL, IMAGE_CAUSE_INVALID, path,
                                "has a hard link to itself or to a folder");
        target_parent = beneath_parent(u->root, target, &target_name);
        if (target_parent >= 0 && linkat(target_parent, target_name, parent, name, 0) >= 0)
                return 0;
        r = target_parent < 0 ? target_parent : -errno;
        if (r == -ENOENT)
                return note(u, u->links, target, json_pack("[s, s]", path, target), p);
        if (r == -EPERM)
                return with_path(
                                p, EPERM, IMAGE_CAUSE_INVALID, path, "has a hard link to a folder");
        return cannot_make(p, -r, path);
}

static int make_fifo(struct unpack *u, int parent, const char *name, const char *path,
                const struct tar_entry *e, struct problem *p) {
        if (mkfifoat(parent, name, 0600) < 0)
                return cannot_make(p, errno, path);
        if (u->options->keep_owner &&
                        fchownat(parent, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return cannot_make(p, errno, path);
        return fchmodat(parent, name, e->mode, 0) < 0 ? cannot_make(p, errno, path) : 0;
}

/* Makes room for an entry at its place; a folder stays where a folder comes. 1: it is there. */
static int prepare(int parent, const char *name, const char *path, const struct tar_entry *e,
                struct problem *p) {
        struct stat st;
        int r;

        if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : cannot_make(p, errno, path);
        if (e->type == TAR_FOLDER && S_ISDIR(st.st_mode))
                return 1;
        r = remove_tree_at(parent, name);
        return r < 0 ? cannot_make(p, -r, path) : 0;
}

static int make_entry(
                struct unpack *u, const char *path, const struct tar_entry *e, struct problem *p) {
        const char *name;
        _cleanup_close_ int parent = open_parent(u, path, &name, p);
        int r;

        if (parent < 0)
                return parent;
        r = prepare(parent, name, path, e, p);
        if (r < 0)
                return r;
        switch (e->type) {
        case TAR_FILE:
                return make_file(u, parent, name, path, e, p);
        case TAR_FOLDER:
                if (r == 0 && mkdirat(parent, name, 0700) < 0)
                        return cannot_make(p, errno, path);
                return make_folder(u, path, e, p);
        case TAR_LINK:
                return make_link(u, parent, name, path, e, p);
        case TAR_HARD_LINK:
                return make_hard_link(u, parent, name, path, e, p);
        case TAR_FIFO:
                return make_fifo(u, parent, name, path, e, p);
        case TAR_OTHER:
                break;
        }
        return 0;
}

/* --- whiteouts --- */

/* Whether a part before the last one is a whiteout's name: aufs' own folders. */
static bool is_below_whiteout(const char *path) {
        for (const char *s = path, *end; (end = strchr(s, '/')); s = end + 1)
                if (startswith(s, WHITEOUT))
                        return true;
        return false;
}

/* 1: the entry was a whiteout, or is to be left out. */
static int take_whiteout(struct unpack *u, const char *path, struct problem *p) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *hidden;
        _cleanup_free_ char *at = NULL;
        int r;

        if (is_below_whiteout(path))
                return 1;
        hidden = startswith(name, WHITEOUT);
        if (!hidden)
                return 0;
        if (streq(name, OPAQUE)) {
                at = strndup(path, slash ? (size_t)(slash - path) : 0);
                r = at ? note(u, u->opaque, at, json_string(at), p) : -ENOMEM;
                return r < 0 ? r : 1;
        }
        if (startswith(name, WHITEOUT_META))
                return 1;
        if (!*hidden || streq(hidden, ".") || streq(hidden, ".."))
                return with_path(p, EINVAL, IMAGE_CAUSE_UNSAFE, path,
                                "has a whiteout without a name");
        at = strformat("%.*s%s", (int)(name - path), path, hidden);
        r = at ? note(u, u->whiteouts, at, json_string(at), p) : -ENOMEM;
        return r < 0 ? r : 1;
}

/* --- the whole layer --- */

static int take_entry(struct unpack *u, const struct tar_entry *e, struct problem *p) {
        _cleanup_free_ char *path = NULL;
        int r = count(u, e, p);

        if (r < 0)
                return r;
        r = clean_path(u, e->path, &path, p);
        if (r < 0)
                return r;
        r = u->options->is_archive ? 0 : take_whiteout(u, path, p);
        if (r != 0)
                return r < 0 ? r : 0;
        if (*path)
                return make_entry(u, path, e, p);
        /* "./", the root itself. */
        if (e->type != TAR_FOLDER)
                return with_path(p, EINVAL, IMAGE_CAUSE_INVALID, e->path,
                                "has a root that is not a folder");
        return make_folder(u, path, e, p);
}

static int set_folder_times(struct unpack *u, struct problem *p) {
        for (size_t i = u->folders.count; i-- > 0;) {
                const struct folder_time *t = &u->folders.items[i];
                const struct timespec times[2] = {t->time, t->time};
                _cleanup_close_ int fd =
                                beneath_open(u->root, t->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

                /* A later entry may have replaced it, or taken the permission from us. */
                if (fd >= 0 && futimens(fd, times) < 0)
                        return cannot_make(p, errno, t->path);
        }
        return 0;
}

static int finish_notes(struct unpack *u) {
        json_t *implied = json_array();

        if (!implied || json_object_set_new(u->notes, "implied", implied) < 0)
                return -ENOMEM;
        map_foreach (u->implied, e)
                if (json_array_append_new(implied, json_string(map_entry_key(e))) < 0)
                        return -ENOMEM;
        if (json_set_int(u->notes, "bytes", (int64_t)u->bytes) < 0)
                return -ENOMEM;
        return json_set_int(u->notes, "entries", (int64_t)u->entries);
}

static int take_all(struct unpack *u, struct problem *p) {
        struct tar_entry e;
        int r = note_implied(u, "", p); /* the root, until an entry says what it is */

        if (r < 0)
                return r;
        while ((r = tar_next(u->tar, &e, p)) > 0) {
                r = take_entry(u, &e, p);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        r = set_folder_times(u, p);
        return r < 0 ? r : finish_notes(u);
}

int unpack_layer(int blob, int folder, const struct unpack_options *options, json_t **ret_notes,
                struct problem *p) {
        _cleanup_(unpack_done) struct unpack u = {
                        .options = options, .root = folder, .since_check = CHECK_FREE_EVERY};
        const struct tar_options stream = {.fd = blob,
                        .digest = options->diff_id,
                        .stream_bytes_max = options->limits.image_bytes_max,
                        .ratio_max = options->limits.ratio_max,
                        .on_progress = options->on_progress,
                        .userdata = options->userdata};
        int r = notes_new(&u);

        if (r < 0)
                return r;
        r = tar_new(&u.tar, &stream, p);
        if (r < 0)
                return r;
        r = take_all(&u, p);
        if (r < 0)
                return r;
        *ret_notes = TAKE_PTR(u.notes);
        return 0;
}
