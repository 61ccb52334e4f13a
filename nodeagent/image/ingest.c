/* Adding to the store. Until the commit everything is in the ingest's own folder, on the store's
 * file system; the commit syncs that file system once and renames. */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "lib/fileio.h"
#include "lib/random.h"
#include "lib/timefmt.h"
#include "nodeagent/image/cause.h"
#include "nodeagent/image/store-internal.h"
#include "nodeagent/image/tree.h"

struct image_ingest {
        struct image_store *store;
        char *dir;
        int lock;
};

static int disk_problem(struct problem *p, int error, const char *path) {
        _cleanup_free_ char *what = strformat("the image store's %s", path);

        return what ? image_disk_problem(p, error, what) : -ENOMEM;
}

/* --- the ingest's folder --- */

/* Under the store's lock, so that no sweep sees the folder without its own lock. */
static int make_dir(struct image_ingest *i) {
        static const char *const names[] = {"/layers", "/image"};
        _cleanup_free_ char *lock = strformat("%s/" INGEST_LOCK, i->dir);
        _cleanup_close_ int store_lock = -EBADF;
        int r = lock ? image_store_lock(i->store, &store_lock) : -ENOMEM;

        if (r < 0)
                return r;
        if (mkdir(i->dir, 0700) < 0)
                return -errno;
        i->lock = open(lock, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (i->lock < 0 || flock(i->lock, LOCK_EX | LOCK_NB) < 0)
                return -errno;
        for (size_t n = 0; n < ELEMENTS(names); n++) {
                _cleanup_free_ char *path = strformat("%s%s", i->dir, names[n]);

                if (!path)
                        return -ENOMEM;
                if (mkdir(path, 0700) < 0)
                        return -errno;
        }
        return 0;
}

int image_ingest_begin(struct image_store *s, struct image_ingest **ret, struct problem *p) {
        _cleanup_(image_ingest_endp) struct image_ingest *i = calloc(1, sizeof(*i));
        char random[UUID_SIZE];
        int r;

        if (!i)
                return -ENOMEM;
        i->store = s;
        i->lock = -EBADF;
        i->dir = strformat("%s/ingest/%s", s->dir, random_uuid(random));
        r = i->dir ? make_dir(i) : -ENOMEM;
        if (r < 0)
                return disk_problem(p, -r, strempty(i->dir));
        *ret = TAKE_PTR(i);
        return 0;
}

struct image_ingest *image_ingest_end(struct image_ingest *i) {
        if (!i)
                return NULL;
        if (i->dir)
                (void)remove_tree(i->dir);
        safe_close(i->lock);
        free(i->dir);
        return mfree(i);
}

const char *image_ingest_dir(const struct image_ingest *i) {
        return i->dir;
}

int image_ingest_claim(struct image_ingest *i, const json_t *diff_ids) {
        _cleanup_free_ char *path = strformat("%s/" INGEST_CLAIMS, i->dir),
                            *text = json_text(diff_ids);
        _cleanup_close_ int lock = -EBADF;
        int r;

        if (!path || !text)
                return -ENOMEM;
        r = image_store_lock(i->store, &lock);
        return r < 0 ? r : file_write_atomic(path, text, strlen(text), 0600);
}

/* "INGEST/layers/<diff id>REST". Caller frees. */
static char *layer_path(const struct image_ingest *i, const char *diff_id, const char *rest) {
        char *path = strformat("%s/layers/%s%s", i->dir, diff_id, rest), *colon;

        colon = path ? strchr(path + strlen(i->dir), ':') : NULL;
        if (colon)
                *colon = '-';
        return path;
}

int image_ingest_has_layer(struct image_ingest *i, const char *diff_id, json_t **ret_notes) {
        _cleanup_free_ char *own = layer_path(i, diff_id, "/notes"),
                            *shared = image_store_path(i->store, "layers", diff_id, "/notes");
        int r;

        if (!own || !shared)
                return -ENOMEM;
        r = image_store_read(own, ret_notes);
        if (r != -ENOENT)
                return r < 0 ? r : 1;
        r = image_store_read(shared, ret_notes);
        return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

int image_ingest_layer_folder(
                struct image_ingest *i, const char *diff_id, int *ret_fd, struct problem *p) {
        _cleanup_free_ char *dir = layer_path(i, diff_id, ""),
                            *tree = layer_path(i, diff_id, "/tree");
        _cleanup_close_ int fd = -EBADF;

        if (!dir || !tree)
                return -ENOMEM;
        if (mkdir(dir, 0700) < 0 || mkdir(tree, 0755) < 0)
                return disk_problem(p, errno, tree);
        fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fchmod(fd, 0755) < 0)
                return disk_problem(p, errno, tree);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int write_json(const char *path, const json_t *v, struct problem *p) {
        _cleanup_free_ char *text = json_text(v);
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!text)
                return -ENOMEM;
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return disk_problem(p, errno, path);
        r = file_write_all(fd, text, strlen(text));
        return r < 0 ? disk_problem(p, -r, path) : 0;
}

int image_ingest_layer_done(struct image_ingest *i, const char *diff_id, const json_t *notes,
                struct problem *p) {
        _cleanup_free_ char *path = layer_path(i, diff_id, "/notes");

        return path ? write_json(path, notes, p) : -ENOMEM;
}

/* --- the root --- */

static int add_layer(struct image_ingest *i, int root, const char *diff_id, uint64_t *size,
                struct problem *p) {
        _cleanup_free_ char *own = layer_path(i, diff_id, "/tree"),
                            *shared = image_store_path(i->store, "layers", diff_id, "/tree");
        _cleanup_json_ json_t *notes = NULL;
        _cleanup_close_ int layer = -EBADF;
        int r = image_ingest_has_layer(i, diff_id, &notes);

        if (r < 0)
                return disk_problem(p, -r, diff_id);
        if (r == 0)
                return disk_problem(p, ENOENT, diff_id);
        if (!own || !shared)
                return -ENOMEM;
        layer = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (layer < 0 && errno == ENOENT)
                layer = open(shared, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (layer < 0)
                return disk_problem(p, errno, shared);
        *size += (uint64_t)json_int_or(notes, "bytes", 0);
        return tree_add_layer(root, layer, notes, p);
}

static int make_root(struct image_ingest *i, const json_t *record, uint64_t *ret_size,
                struct problem *p) {
        _cleanup_free_ char *path = strformat("%s/image/root", i->dir);
        _cleanup_close_ int root = -EBADF;
        uint64_t size = 0;
        const json_t *layer;
        size_t n;

        if (!path)
                return -ENOMEM;
        if (mkdir(path, 0755) < 0)
                return disk_problem(p, errno, path);
        root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root < 0 || fchmod(root, 0755) < 0)
                return disk_problem(p, errno, path);
        json_array_foreach (json_at(record, "layers"), n, layer) {
                int r = add_layer(i, root, strempty(json_string_value(layer)), &size, p);

                if (r < 0)
                        return r;
        }
        *ret_size = size;
        return 0;
}

/* --- the commit --- */

/* Several images of an archive come through one ingest. */
static int clear_image(struct image_ingest *i) {
        _cleanup_free_ char *path = strformat("%s/image", i->dir);
        int r = path ? remove_tree(path) : -ENOMEM;

        if (r < 0)
                return r;
        return mkdir(path, 0700) < 0 ? -errno : 0;
}

/* The image's folder in the ingest: root, record, used. */
static int make_image(struct image_ingest *i, const json_t *record, const json_t *names,
                struct problem *p) {
        _cleanup_free_ char *path = strformat("%s/image/record", i->dir),
                            *used = strformat("%s/image/used", i->dir);
        _cleanup_json_ json_t *full = json_shallow_copy(record);
        char now[TIMEFMT_SIZE];
        uint64_t size = 0;
        int fd, r;

        if (!path || !used || !full)
                return -ENOMEM;
        r = clear_image(i);
        if (r < 0)
                return disk_problem(p, -r, "ingest");
        r = make_root(i, record, &size, p);
        if (r < 0)
                return r;
        if (json_set_int(full, "size", (int64_t)size) < 0 ||
                        json_set_str(full, "pulled", time_format(now_wall_us(), now)) < 0 ||
                        json_object_set_new(full, "names", json_ref(names)) < 0)
                return -ENOMEM;
        r = write_json(path, full, p);
        if (r < 0)
                return r;
        fd = open(used, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return disk_problem(p, errno, used);
        safe_close(fd);
        return 0;
}

static int sync_store(struct image_ingest *i, struct problem *p) {
        _cleanup_close_ int fd = open(i->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 || syncfs(fd) < 0 ? disk_problem(p, errno, i->dir) : 0;
}

/* Renames a folder into its place; one that is there already stays. 1: moved. */
static int move(const char *from, const char *to, struct problem *p) {
        if (rename(from, to) >= 0)
                return 1;
        if (errno == EEXIST || errno == ENOTEMPTY || (errno == ENOENT && access(to, F_OK) == 0))
                return 0;
        return disk_problem(p, errno, to);
}

static int move_layers(struct image_ingest *i, const json_t *record, struct problem *p) {
        const json_t *layer;
        size_t n;

        json_array_foreach (json_at(record, "layers"), n, layer) {
                const char *diff_id = strempty(json_string_value(layer));
                _cleanup_free_ char *from = layer_path(i, diff_id, ""),
                                    *to = image_store_path(i->store, "layers", diff_id, "");
                int r = from && to ? move(from, to, p) : -ENOMEM;

                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_name(
                const struct image_store *s, const char *name, const char *id, struct problem *p) {
        _cleanup_free_ char *path = image_store_name_path(s, name), *text = NULL;
        _cleanup_json_ json_t *v = json_pack("{s:s, s:s}", "name", name, "image", id);
        int r;

        text = v ? json_text(v) : NULL;
        if (!path || !text)
                return -ENOMEM;
        r = file_write_atomic(path, text, strlen(text), 0600);
        return r < 0 ? disk_problem(p, -r, path) : 0;
}

static int write_names(const struct image_store *s, const char *id, const json_t *names,
                struct problem *p) {
        const json_t *name;
        size_t n;

        json_array_foreach (names, n, name) {
                int r = write_name(s, json_string_value(name), id, p);

                if (r < 0)
                        return r;
        }
        return 0;
}

static bool list_has(const json_t *list, const json_t *v) {
        const json_t *have;
        size_t n;

        json_array_foreach (list, n, have)
                if (json_same(have, v))
                        return true;
        return false;
}

/* The record of an image that is there already gets more names, and is pinned if this one is. */
static int add_to_record(const struct image_store *s, const char *id, bool pinned,
                const json_t *names, struct problem *p) {
        _cleanup_free_ char *path = image_store_path(s, "images", id, "/record"), *text = NULL;
        _cleanup_json_ json_t *have = NULL;
        json_t *list, *name;
        size_t n;
        int r;

        if (!path)
                return -ENOMEM;
        r = image_store_read(path, &have);
        if (r < 0)
                return disk_problem(p, -r, path);
        list = json_at_mut(have, "names");
        json_array_foreach (json_unconst(names), n, name)
                if (!list_has(list, name) && json_array_append(list, name) < 0)
                        return -ENOMEM;
        if (pinned && json_object_set_new(have, "pinned", json_true()) < 0)
                return -ENOMEM;
        text = json_text(have);
        if (!text)
                return -ENOMEM;
        r = file_write_atomic(path, text, strlen(text), 0600);
        return r < 0 ? disk_problem(p, -r, path) : 0;
}

static int publish(struct image_ingest *i, const json_t *record, const json_t *names,
                struct problem *p) {
        const char *id = json_str(record, "id");
        _cleanup_free_ char *from = strformat("%s/image", i->dir),
                            *to = image_store_path(i->store, "images", id, "");
        bool pinned = json_bool_or(record, "pinned", false);
        int r = move_layers(i, record, p);

        if (r < 0)
                return r;
        r = from && to ? move(from, to, p) : -ENOMEM;
        if (r < 0)
                return r;
        if (r > 0)
                return write_names(i->store, id, names, p);
        r = add_to_record(i->store, id, pinned, names, p);
        return r < 0 ? r : write_names(i->store, id, names, p);
}

static int sync_folders(const struct image_store *s, struct problem *p) {
        static const char *const names[] = {"layers", "images", "names"};

        for (size_t n = 0; n < ELEMENTS(names); n++) {
                _cleanup_free_ char *path = strformat("%s/%s", s->dir, names[n]);
                int r = path ? sync_folder(path) : -ENOMEM;

                if (r < 0)
                        return disk_problem(p, -r, names[n]);
        }
        return 0;
}

int image_ingest_commit(struct image_ingest *i, const json_t *record, const json_t *names,
                json_t **ret, struct problem *p) {
        const char *id = json_str(record, "id");
        _cleanup_close_ int lock = -EBADF;
        int r = make_image(i, record, names, p);

        if (r < 0)
                return r;
        r = sync_store(i, p);
        if (r < 0)
                return r;
        r = image_store_lock(i->store, &lock);
        if (r < 0)
                return disk_problem(p, -r, "lock");
        r = publish(i, record, names, p);
        if (r < 0)
                return r;
        r = sync_folders(i->store, p);
        if (r < 0)
                return r;
        r = image_store_record(i->store, id, ret);
        return r < 0 ? disk_problem(p, -r, id) : 0;
}

int image_store_add_names(struct image_store *s, const char *id, bool pinned, const json_t *names,
                json_t **ret, struct problem *p) {
        _cleanup_free_ char *path = image_store_path(s, "images", id, "/record");
        _cleanup_close_ int lock = -EBADF;
        int r;

        if (!path)
                return -ENOMEM;
        r = image_store_lock(s, &lock);
        if (r < 0)
                return disk_problem(p, -r, "lock");
        if (access(path, F_OK) < 0)
                return -ENOENT;
        r = add_to_record(s, id, pinned, names, p);
        if (r < 0)
                return r;
        r = write_names(s, id, names, p);
        if (r < 0)
                return r;
        r = sync_folders(s, p);
        if (r < 0)
                return r;
        r = image_store_record(s, id, ret);
        return r < 0 ? disk_problem(p, -r, id) : 0;
}
