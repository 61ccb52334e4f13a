/* Reading the store, and removing from it. Removing is renaming into trash/, under the lock;
 * deleting needs no lock. */
#include "nodeagent/image/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lib/crypto.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/timefmt.h"
#include "nodeagent/image/store-internal.h"

enum { RECORD_SIZE_MAX = 64 << 20 };

/* --- paths --- */

char *image_store_path(const struct image_store *s, const char *kind, const char *digest,
                const char *rest) {
        char *path = strformat("%s/%s/%s%s", s->dir, kind, digest, rest), *colon;

        colon = path ? strchr(path + strlen(s->dir) + strlen(kind) + 2, ':') : NULL;
        if (colon)
                *colon = '-';
        return path;
}

char *image_store_name_path(const struct image_store *s, const char *name) {
        char hex[SHA256_HEX_SIZE];

        sha256_hex(name, strlen(name), hex);
        return strformat("%s/names/%s", s->dir, hex);
}

static int name_to_digest(const char *file, char ret[static IMAGE_DIGEST_SIZE]) {
        char *dash;

        if (strlen(file) >= IMAGE_DIGEST_SIZE)
                return -EINVAL;
        memcpy(ret, file, strlen(file) + 1);
        dash = strchr(ret, '-');
        if (!dash)
                return -EINVAL;
        *dash = ':';
        return image_digest_is_valid(ret) ? 0 : -EINVAL;
}

int image_store_read(const char *path, json_t **ret) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = file_read(path, RECORD_SIZE_MAX, &text, &n);

        if (r < 0)
                return r;
        r = json_parse(text, n, 0, ret, NULL);
        return r == -EINVAL ? -EBADMSG : r;
}

int image_store_lock(const struct image_store *s, int *ret_fd) {
        _cleanup_free_ char *path = strformat("%s/lock", s->dir);
        _cleanup_close_ int fd = -EBADF;

        if (!path)
                return -ENOMEM;
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        while (flock(fd, LOCK_EX) < 0)
                if (errno != EINTR)
                        return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* --- opening --- */

static int make_folders(const struct image_store *s, struct problem *p) {
        static const char *const names[] = {"layers", "images", "names", "ingest", "trash"};

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                _cleanup_free_ char *path = strformat("%s/%s", s->dir, names[i]), *text = NULL;
                int r = path ? mkdir_parents(path, 0700) : -ENOMEM;

                if (r < 0) {
                        text = file_error_text(strempty(path), "make the image store's folder", r);
                        return problem_set(p, -r, 0, "ErrImagePull", "%s", strempty(text));
                }
        }
        return 0;
}

int image_store_open(struct image_store **ret, const char *dir, struct problem *p) {
        _cleanup_(image_store_freep) struct image_store *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->dir = strdup(dir);
        if (!s->dir)
                return -ENOMEM;
        r = make_folders(s, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

struct image_store *image_store_free(struct image_store *s) {
        if (s)
                free(s->dir);
        return mfree(s);
}

/* --- reading --- */

/* The id of the image that a name belongs to; caller unrefs the file's document. */
static int read_name(const struct image_store *s, const char *name, json_t **ret) {
        _cleanup_free_ char *path = image_store_name_path(s, name);
        _cleanup_json_ json_t *v = NULL;
        int r = path ? image_store_read(path, &v) : -ENOMEM;

        if (r < 0)
                return r;
        if (!streq_ptr(json_str(v, "name"), name) ||
                        !image_digest_is_valid(json_str_or(v, "image", "")))
                return -EBADMSG;
        *ret = TAKE_PTR(v);
        return 0;
}

/* Those of the names that are still the image's. */
static int own_names(const struct image_store *s, const char *id, json_t *record) {
        _cleanup_json_ json_t *names = json_array();
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(record, "names"), i, v) {
                _cleanup_json_ json_t *entry = NULL;
                int r = read_name(s, strempty(json_string_value(v)), &entry);

                if (r == -ENOMEM)
                        return r;
                if (r < 0 || !streq(json_str(entry, "image"), id))
                        continue;
                if (json_array_append_new(names, json_ref(v)) < 0)
                        return -ENOMEM;
        }
        return names ? json_object_set_new(record, "names", TAKE_PTR(names)) : -ENOMEM;
}

static int add_times(const struct image_store *s, const char *id, json_t *record) {
        _cleanup_free_ char *used = image_store_path(s, "images", id, "/used"),
                            *root = image_store_path(s, "images", id, "/root");
        char text[TIMEFMT_SIZE];
        struct stat st;
        uint64_t us = 0;

        if (!used || !root)
                return -ENOMEM;
        if (stat(used, &st) == 0)
                us = (uint64_t)st.st_mtim.tv_sec * 1000000 + (uint64_t)st.st_mtim.tv_nsec / 1000;
        if (json_set_str(record, "lastUsed", time_format(us, text)) < 0)
                return -ENOMEM;
        return json_set_str(record, "root", root);
}

int image_store_record(struct image_store *s, const char *id, json_t **ret) {
        _cleanup_free_ char *path = image_store_path(s, "images", id, "/record");
        _cleanup_json_ json_t *record = NULL;
        int r = path ? image_store_read(path, &record) : -ENOMEM;

        if (r < 0)
                return r;
        if (!streq_ptr(json_str(record, "id"), id))
                return -EBADMSG;
        r = own_names(s, id, record);
        if (r < 0)
                return r;
        r = add_times(s, id, record);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(record);
        return 0;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The digests that the folder's names are; others are left out. */
static int list_digests(const struct image_store *s, const char *kind, char ***ret) {
        _cleanup_free_ char *path = strformat("%s/%s", s->dir, kind);
        _cleanup_strv_free_ char **files = NULL, **digests = NULL;
        char digest[IMAGE_DIGEST_SIZE];
        int r = path ? file_list(path, &files) : -ENOMEM;

        if (r < 0)
                return r;
        if (strv_length(files) > 1)
                qsort(files, strv_length(files), sizeof(*files), compare_names);
        for (char **f = files; f && *f; f++) {
                if (name_to_digest(*f, digest) < 0)
                        continue;
                r = strv_extend(&digests, digest);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(digests);
        return 0;
}

int image_store_list(struct image_store *s, json_t **ret) {
        _cleanup_strv_free_ char **ids = NULL;
        _cleanup_json_ json_t *list = json_array();
        int r = list ? list_digests(s, "images", &ids) : -ENOMEM;

        if (r < 0)
                return r;
        for (char **id = ids; id && *id; id++) {
                json_t *record;

                r = image_store_record(s, *id, &record);
                if (r == -ENOMEM)
                        return r;
                if (r < 0) {
                        log_debug_errno(r, "Image %s cannot be read", *id);
                        continue;
                }
                if (json_array_append_new(list, record) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(list);
        return 0;
}

int image_store_find(struct image_store *s, const char *image, json_t **ret) {
        _cleanup_image_reference_ struct image_reference reference = {0};
        _cleanup_problem_ struct problem problem = {0};
        _cleanup_free_ char *name = NULL;
        _cleanup_json_ json_t *entry = NULL;
        int r;

        if (image_digest_is_valid(image))
                return image_store_record(s, image, ret);
        r = image_reference_parse(image, &reference, &problem);
        if (r < 0)
                return r;
        name = image_reference_text(&reference);
        if (!name)
                return -ENOMEM;
        r = read_name(s, name, &entry);
        return r < 0 ? r : image_store_record(s, json_str(entry, "image"), ret);
}

int image_store_mark_used(struct image_store *s, const char *id, uint64_t wall_us) {
        _cleanup_free_ char *path = image_store_path(s, "images", id, "/used");
        const struct timespec t = {.tv_sec = (time_t)(wall_us / 1000000),
                        .tv_nsec = (long)(wall_us % 1000000 * 1000)};

        if (!path)
                return -ENOMEM;
        return utimensat(AT_FDCWD, path, (const struct timespec[2]){t, t}, 0) < 0 ? -errno : 0;
}

int image_store_disk(struct image_store *s, uint64_t *ret_size, uint64_t *ret_free) {
        struct statvfs st;

        if (statvfs(s->dir, &st) < 0)
                return -errno;
        *ret_size = (uint64_t)st.f_blocks * st.f_frsize;
        *ret_free = (uint64_t)st.f_bavail * st.f_frsize;
        return 0;
}

/* --- removing --- */

int image_store_discard(const struct image_store *s, const char *path) {
        char random[UUID_SIZE];
        _cleanup_free_ char *trash = strformat("%s/trash/%s", s->dir, random_uuid(random));

        if (!trash)
                return -ENOMEM;
        return rename(path, trash) < 0 && errno != ENOENT ? -errno : 0;
}

static int add_keys(json_t *set, const json_t *list) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (json_object_set_new(set, strempty(json_string_value(v)), json_true()) < 0)
                        return -ENOMEM;
        return 0;
}

/* Whether the process of an ingest still runs. Only under the lock, because a new one has its own
 * lock before it lets go of the store's. */
static bool ingest_runs(const char *dir) {
        _cleanup_free_ char *path = strformat("%s/" INGEST_LOCK, dir);
        _cleanup_close_ int fd = path ? open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -EBADF;

        return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* Adds the layers that ingests claim; moves those whose process is gone to trash/. */
static int read_claims(struct image_store *s, json_t *needed) {
        _cleanup_free_ char *dir = strformat("%s/ingest", s->dir);
        _cleanup_strv_free_ char **names = NULL;
        int r = dir ? file_list(dir, &names) : -ENOMEM;

        if (r < 0)
                return r;
        for (char **name = names; name && *name; name++) {
                _cleanup_free_ char *path = strformat("%s/%s", dir, *name),
                                    *claims = strformat("%s/%s/" INGEST_CLAIMS, dir, *name);
                _cleanup_json_ json_t *list = NULL;

                if (!path || !claims)
                        return -ENOMEM;
                if (!ingest_runs(path)) {
                        r = image_store_discard(s, path);
                        if (r < 0)
                                return r;
                        continue;
                }
                r = image_store_read(claims, &list);
                if (r < 0 && r != -ENOENT)
                        return r;
                r = add_keys(needed, list);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The layers that images and ingests have: an object with their diff ids as keys. An image that
 * cannot be read stops it: nobody knows its layers then. */
static int needed_layers(struct image_store *s, json_t **ret) {
        _cleanup_strv_free_ char **ids = NULL;
        _cleanup_json_ json_t *needed = json_object();
        int r = needed ? list_digests(s, "images", &ids) : -ENOMEM;

        if (r < 0)
                return r;
        for (char **id = ids; id && *id; id++) {
                _cleanup_free_ char *path = image_store_path(s, "images", *id, "/record");
                _cleanup_json_ json_t *record = NULL;

                r = path ? image_store_read(path, &record) : -ENOMEM;
                if (r < 0)
                        return r;
                r = add_keys(needed, json_at(record, "layers"));
                if (r < 0)
                        return r;
        }
        r = read_claims(s, needed);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(needed);
        return 0;
}

static int discard_layers(struct image_store *s) {
        _cleanup_strv_free_ char **layers = NULL;
        _cleanup_json_ json_t *needed = NULL;
        int r = needed_layers(s, &needed);

        if (r < 0)
                return r;
        r = list_digests(s, "layers", &layers);
        if (r < 0)
                return r;
        for (char **layer = layers; layer && *layer; layer++) {
                _cleanup_free_ char *path = image_store_path(s, "layers", *layer, "");

                if (!path)
                        return -ENOMEM;
                r = json_get(needed, *layer, NULL) ? 0 : image_store_discard(s, path);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int unlink_names(struct image_store *s, const json_t *record) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(record, "names"), i, v) {
                _cleanup_free_ char *path =
                                image_store_name_path(s, strempty(json_string_value(v)));

                if (!path)
                        return -ENOMEM;
                if (unlink(path) < 0 && errno != ENOENT)
                        return -errno;
        }
        return 0;
}

/* Under the lock. */
static int remove_locked(struct image_store *s, const char *id) {
        _cleanup_free_ char *path = image_store_path(s, "images", id, "");
        _cleanup_json_ json_t *record = NULL;
        int r;

        if (!path)
                return -ENOMEM;
        r = image_store_record(s, id, &record);
        if (r == -ENOENT || r == -ENOMEM)
                return r;
        r = unlink_names(s, record);
        if (r < 0)
                return r;
        r = image_store_discard(s, path);
        return r < 0 ? r : discard_layers(s);
}

int image_store_remove(struct image_store *s, const char *id) {
        _cleanup_close_ int lock = -EBADF;
        int r;

        if (!image_digest_is_valid(id))
                return -ENOENT;
        r = image_store_lock(s, &lock);
        return r < 0 ? r : remove_locked(s, id);
}

int image_store_remove_name(struct image_store *s, const char *name) {
        _cleanup_free_ char *path = image_store_name_path(s, name);
        _cleanup_json_ json_t *entry = NULL, *record = NULL;
        _cleanup_close_ int lock = -EBADF;
        int r = path ? image_store_lock(s, &lock) : -ENOMEM;

        if (r < 0)
                return r;
        r = read_name(s, name, &entry);
        if (r < 0)
                return r;
        if (unlink(path) < 0)
                return -errno;
        r = image_store_record(s, json_str(entry, "image"), &record);
        if (r < 0)
                return r == -ENOENT ? 1 : r;
        if (json_array_size(json_at(record, "names")) > 0)
                return 0;
        r = remove_locked(s, json_str(entry, "image"));
        return r < 0 ? r : 1;
}

/* --- sweeping --- */

/* Names whose image is gone: a crash came between the two. */
static int discard_names(struct image_store *s) {
        _cleanup_free_ char *dir = strformat("%s/names", s->dir);
        _cleanup_strv_free_ char **files = NULL;
        int r = dir ? file_list(dir, &files) : -ENOMEM;

        if (r < 0)
                return r;
        for (char **file = files; file && *file; file++) {
                _cleanup_free_ char *path = strformat("%s/%s", dir, *file), *image = NULL;
                _cleanup_json_ json_t *entry = NULL;

                if (!path)
                        return -ENOMEM;
                r = image_store_read(path, &entry);
                if (r == -ENOMEM)
                        return r;
                image = image_store_path(s, "images", json_str_or(entry, "image", "none"), "");
                if (!image)
                        return -ENOMEM;
                if (access(image, F_OK) < 0 && errno == ENOENT && unlink(path) < 0)
                        return -errno;
        }
        return 0;
}

static int empty_trash(struct image_store *s) {
        _cleanup_free_ char *dir = strformat("%s/trash", s->dir);
        _cleanup_strv_free_ char **names = NULL;
        int r = dir ? file_list(dir, &names) : -ENOMEM;

        if (r < 0)
                return r;
        for (char **name = names; name && *name; name++) {
                _cleanup_free_ char *path = strformat("%s/%s", dir, *name);

                r = path ? remove_tree(path) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

int image_store_sweep(struct image_store *s) {
        _cleanup_close_ int lock = -EBADF;
        int r = image_store_lock(s, &lock);

        if (r < 0)
                return r;
        r = discard_names(s);
        if (r < 0)
                return r;
        r = discard_layers(s);
        lock = safe_close(lock);
        /* What is in trash/ is deleted in any case: the disk may be full. */
        int emptied = empty_trash(s);
        return r < 0 ? r : emptied;
}
