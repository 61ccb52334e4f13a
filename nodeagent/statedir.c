/* Layout of the data directory: `key` (32 random bytes), `<name>.json`,
 * `pods/<uid>/{pod.sealed,run.json,volumes/}`, `format` (a number; a folder without it has 1).
 * The sealing key is HKDF-SHA256 of the key file with /etc/machine-id as salt: a copied disk
 * image or a backup of this folder alone does not reveal secrets. Files are written atomically,
 * mode 0600. */
#include "nodeagent/statedir.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/crypto.h"
#include "lib/fileio.h"
#include "lib/formats.h"
#include "lib/log.h"
#include "lib/random.h"

enum { FILE_SIZE_MAX = 64 * 1024 * 1024 };

struct statedir {
        char *dir;
        uint8_t key[SEAL_KEY_SIZE];
};

static int derive_key(const char *file_key, size_t n, uint8_t ret[static SEAL_KEY_SIZE]) {
        _cleanup_free_ char *machine = NULL;
        size_t machine_size = 0;

        /* Without a machine id the files are still sealed; only the second factor is missing. */
        if (file_read("/etc/machine-id", 4096, &machine, &machine_size) < 0)
                machine_size = 0;
        return key_derive(&(struct key_source){.material = file_key,
                                          .material_size = n,
                                          .salt = strempty(machine),
                                          .salt_size = MIN(machine_size, (size_t)32),
                                          .purpose = "keelson node state"},
                        ret, SEAL_KEY_SIZE);
}

/* Reads the file; creates it at the first start. */
static int read_or_make_key(const char *path, char **ret, size_t *ret_size) {
        _cleanup_free_ char *data = NULL;
        int r = file_read(path, 4096, ret, ret_size);

        if (r != -ENOENT)
                return r;
        data = malloc(SEAL_KEY_SIZE);
        if (!data)
                return -ENOMEM;
        random_bytes(data, SEAL_KEY_SIZE);
        r = file_write_atomic(path, data, SEAL_KEY_SIZE, 0600);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(data);
        *ret_size = SEAL_KEY_SIZE;
        return 0;
}

static int load_key(struct statedir *s, struct problem *p) {
        _cleanup_free_ char *path = strformat("%s/key", s->dir), *data = NULL;
        size_t n = 0;
        int r;

        if (!path)
                return -ENOMEM;
        r = read_or_make_key(path, &data, &n);
        if (r < 0) {
                _cleanup_free_ char *text = file_error_text(path, "use", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(text));
        }
        if (n != SEAL_KEY_SIZE)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s is damaged (%zu bytes, not %d): remove %s to start over", path,
                                n, SEAL_KEY_SIZE, s->dir);
        return derive_key(data, n, s->key);
}

static int write_format(const char *path) {
        char text[16];
        size_t n = (size_t)snprintf(text, sizeof(text), "%d\n", FORMAT_NODE_STATE);

        return file_write_atomic(path, text, n, 0600);
}

/* Before anything else is read: an earlier version would take what it does not know for damage, or
 * forget pods that run. */
static int check_format(const char *dir, struct problem *p) {
        _cleanup_free_ char *path = strformat("%s/format", dir), *text = NULL;
        uint32_t format = 1;
        size_t n;
        int r = path ? file_read(path, 64, &text, &n) : -ENOMEM;

        if (r < 0 && r != -ENOENT)
                return problem_set(p, -r, 0, NULL, "cannot read %s/format: %s", dir, strerror(-r));
        if (r >= 0) {
                text[strcspn(text, "\n")] = 0;
                if (parse_u32(text, &format) < 0)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "%s does not hold a number; when the folder is of this "
                                        "version, write %d into it",
                                        path, FORMAT_NODE_STATE);
                if (format > FORMAT_NODE_STATE)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "%s has format %u, written by a newer knodeagent; this one "
                                        "knows formats up to %d: start the newer program",
                                        dir, format, FORMAT_NODE_STATE);
                if (format == FORMAT_NODE_STATE)
                        return 0;
        }
        r = write_format(path);
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "write", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        return 0;
}

int statedir_new(struct statedir **ret, const char *dir, struct problem *p) {
        _cleanup_(statedir_freep) struct statedir *s = calloc(1, sizeof(*s));
        _cleanup_free_ char *pods = strformat("%s/pods", dir);
        int r;

        if (!s || !pods || !(s->dir = strdup(dir)))
                return -ENOMEM;
        r = mkdir_parents(pods, 0700);
        if (r < 0) {
                _cleanup_free_ char *text = file_error_text(dir, "make", r);
                return problem_set(p, -r, 0, NULL, "%s", strempty(text));
        }
        (void)chmod(dir, 0700);
        r = check_format(dir, p);
        if (r < 0)
                return r;
        r = load_key(s, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

struct statedir *statedir_free(struct statedir *s) {
        if (!s)
                return NULL;
        explicit_bzero(s->key, sizeof(s->key));
        free(s->dir);
        free(s);
        return NULL;
}

char *statedir_pod_dir(const struct statedir *s, const char *uid) {
        return strformat("%s/pods/%s", s->dir, uid);
}

static int write_json(const char *path, const json_t *v) {
        _cleanup_free_ char *text = json_text(v);
        return text ? file_write_atomic(path, text, strlen(text), 0600) : -ENOMEM;
}

static int read_json(const char *path, json_t **ret) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = file_read(path, FILE_SIZE_MAX, &text, &n);

        return r < 0 ? r : json_parse(text, n, 0, ret, NULL);
}

static char *pod_file(const struct statedir *s, const char *uid, const char *name) {
        return strformat("%s/pods/%s/%s", s->dir, uid, name);
}

static int pod_folder(struct statedir *s, const char *uid) {
        _cleanup_free_ char *dir = statedir_pod_dir(s, uid);

        if (!dir || !*uid || strchr(uid, '/') || *uid == '.')
                return dir ? -EINVAL : -ENOMEM;
        return mkdir_parents(dir, 0700);
}

int statedir_save_pod(struct statedir *s, const char *uid, const json_t *desired) {
        _cleanup_free_ char *path = pod_file(s, uid, "pod.sealed"), *text = json_text(desired);
        _cleanup_free_ void *sealed = NULL;
        size_t n;
        int r = path && text ? pod_folder(s, uid) : -ENOMEM;

        if (r < 0)
                return r;
        r = seal(s->key, text, strlen(text), &sealed, &n);
        if (r < 0)
                return r;
        return file_write_atomic(path, sealed, n, 0600);
}

int statedir_load_pod(struct statedir *s, const char *uid, json_t **ret) {
        _cleanup_free_ char *path = pod_file(s, uid, "pod.sealed"), *data = NULL;
        _cleanup_free_ void *text = NULL;
        size_t n, text_size;
        int r = path ? file_read(path, FILE_SIZE_MAX, &data, &n) : -ENOMEM;

        if (r < 0)
                return r;
        r = unseal(s->key, data, n, &text, &text_size);
        if (r < 0)
                return r;
        return json_parse(text, text_size, 0, ret, NULL);
}

int statedir_save_run(struct statedir *s, const char *uid, const json_t *run) {
        _cleanup_free_ char *path = pod_file(s, uid, "run.json");
        int r = path ? pod_folder(s, uid) : -ENOMEM;

        return r < 0 ? r : write_json(path, run);
}

int statedir_load_run(struct statedir *s, const char *uid, json_t **ret) {
        _cleanup_free_ char *path = pod_file(s, uid, "run.json");
        return path ? read_json(path, ret) : -ENOMEM;
}

int statedir_remove_pod(struct statedir *s, const char *uid) {
        _cleanup_free_ char *dir = statedir_pod_dir(s, uid);
        return dir ? remove_tree(dir) : -ENOMEM;
}

int statedir_each_pod(
                struct statedir *s, void (*func)(const char *uid, void *userdata), void *userdata) {
        _cleanup_free_ char *dir = strformat("%s/pods", s->dir);
        DIR *d = dir ? opendir(dir) : NULL;

        if (!d)
                return dir ? -errno : -ENOMEM;
        for (struct dirent *e = readdir(d); e; e = readdir(d))
                if (e->d_name[0] != '.')
                        func(e->d_name, userdata);
        closedir(d);
        return 0;
}

int statedir_save(struct statedir *s, const char *name, const json_t *v) {
        _cleanup_free_ char *path = strformat("%s/%s.json", s->dir, name);
        return path ? write_json(path, v) : -ENOMEM;
}

int statedir_load(struct statedir *s, const char *name, json_t **ret) {
        _cleanup_free_ char *path = strformat("%s/%s.json", s->dir, name);
        return path ? read_json(path, ret) : -ENOMEM;
}
