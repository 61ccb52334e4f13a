/* The part of --replace that works on the data directory. */
#include "kstored/backup/replace-data.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "lib/fileio.h"
#include "lib/json.h"

enum { TICKET_SIZE_MAX = 64 * 1024 };

static const char ticket_name[] = "kstored.db.join";

static int refuse_file(const char *path, const char *what, int r, struct problem *p) {
        _cleanup_free_ char *text = file_error_text(path, what, r);

        return problem_set(p, -r, 0, NULL, "%s", strempty(text));
}

/* ---- the ticket */

void replace_ticket_done(struct replace_ticket *t) {
        t->peer_urls = strv_free(t->peer_urls);
}

static uint64_t read_hex(const json_t *v, const char *key) {
        return strtoull(json_str_or(v, key, "0"), NULL, 16);
}

int replace_ticket_read(const char *data_dir, struct replace_ticket *ret, struct problem *p) {
        _cleanup_free_ char *path = strformat("%s/%s", data_dir, ticket_name), *text = NULL;
        _cleanup_(replace_ticket_done) struct replace_ticket t = {0};
        _cleanup_json_ json_t *v = NULL;
        const json_t *urls;
        size_t n, i;
        json_t *url;
        int r = path ? file_read(path, TICKET_SIZE_MAX, &text, &n) : -ENOMEM;

        if (r == -ENOENT || r == -ENOTDIR)
                return 0;
        if (r < 0)
                return refuse_file(path, "read", r, p);
        r = json_parse(text, n, 0, &v, NULL);
        if (r < 0)
                return refuse_file(path, "read", r, p);
        t.cluster_id = read_hex(v, "clusterID");
        t.member_id = read_hex(v, "memberID");
        urls = json_get(v, "peerURLs", NULL);
        json_array_foreach (urls, i, url) {
                r = strv_extend(&t.peer_urls, strempty(json_string_value(url)));
                if (r < 0)
                        return r;
        }
        *ret = t;
        t = (struct replace_ticket){0};
        return 1;
}

void replace_ticket_drop(const char *data_dir) {
        _cleanup_free_ char *path = strformat("%s/%s", data_dir, ticket_name);

        if (path)
                (void)unlink(path);
}

/* ---- the directory */

void replace_dir_done(struct replace_dir *d) {
        free(d->path);
        safe_close(d->lock_fd);
        *d = (struct replace_dir){.lock_fd = -EBADF};
}

static int lock(struct replace_dir *d, struct problem *p) {
        _cleanup_free_ char *path = strformat("%s/lock", d->path);

        d->lock_fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
        if (d->lock_fd < 0)
                return refuse_file(strempty(path), "open", path ? -errno : -ENOMEM, p);
        if (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0)
                return problem_set(p, EBUSY, 0, NULL,
                                "the data directory %s is in use by a running kstored; stop it "
                                "first",
                                d->path);
        if (geteuid() == 0 && fchown(d->lock_fd, d->uid, d->gid) < 0)
                return refuse_file(path, "hand over", -errno, p);
        return 0;
}

/* One that cannot be renamed later is refused before anything is changed. */
static int check_can_move(const struct replace_dir *d, dev_t device, struct problem *p) {
        _cleanup_free_ char *above = strformat("%s/..", d->path);
        struct stat st;

        if (!above)
                return -ENOMEM;
        if (stat(above, &st) < 0)
                return refuse_file(above, "read", -errno, p);
        if (st.st_dev != device)
                return problem_set(p, EBUSY, 0, NULL,
                                "%s is a mount point, which can not be put aside: make the data "
                                "directory a folder in it (--data-dir)",
                                d->path);
        return access(above, W_OK | X_OK) < 0 ? refuse_file(above, "write to", -errno, p) : 0;
}

/* A folder that is not kstored's is left alone, whatever the flag says. */
static int look(struct replace_dir *d, struct problem *p) {
        _cleanup_strv_free_ char **names = NULL;
        bool strange = false, database = false;
        int r = file_list(d->path, &names);

        if (r < 0)
                return refuse_file(d->path, "read", r, p);
        for (char **name = names; name && *name; name++) {
                if (streq(*name, "lock") || streq(*name, ticket_name))
                        continue;
                d->has_data = true;
                database |= startswith(*name, "kstored.db") != NULL;
                strange |= !startswith(*name, "kstored.") && !startswith(*name, "log");
        }
        if (strange && !database)
                return problem_set(p, EEXIST, 0, NULL,
                                "%s is not a data directory of kstored: it holds other files and "
                                "no "
                                "kstored.db; give the right --data-dir",
                                d->path);
        return 0;
}

int replace_dir_open(struct replace_dir *ret, const char *data_dir, struct problem *p) {
        _cleanup_(replace_dir_done) struct replace_dir d = {.lock_fd = -EBADF};
        struct stat st;
        int r = mkdir_parents(data_dir, 0700);

        if (r < 0)
                return refuse_file(data_dir, "make the data directory", r, p);
        d.path = realpath(data_dir, NULL);
        if (!d.path || stat(d.path, &st) < 0)
                return refuse_file(data_dir, "use the data directory", -errno, p);
        if (!S_ISDIR(st.st_mode))
                return refuse_file(data_dir, "use the data directory", -ENOTDIR, p);
        d.uid = st.st_uid;
        d.gid = st.st_gid;
        r = look(&d, p);
        if (r < 0)
                return r;
        if (d.has_data)
                r = check_can_move(&d, st.st_dev, p);
        if (r < 0)
                return r;
        r = lock(&d, p);
        if (r < 0)
                return r;
        *ret = d;
        d = (struct replace_dir){.lock_fd = -EBADF};
        return 0;
}

/* After a kill in between, the next run finds no directory and makes an empty one. */
int replace_dir_put_aside(struct replace_dir *d, char **ret_aside, struct problem *p) {
        _cleanup_free_ char *aside = file_aside_name(d->path, "replaced");
        int r;

        if (!aside)
                return -ENOMEM;
        if (rename(d->path, aside) < 0)
                return refuse_file(d->path, "put aside", -errno, p);
        d->lock_fd = safe_close(d->lock_fd);
        d->has_data = false;
        if (mkdir(d->path, 0700) < 0)
                return refuse_file(d->path, "make", -errno, p);
        if (geteuid() == 0 && chown(d->path, d->uid, d->gid) < 0)
                return refuse_file(d->path, "hand over", -errno, p);
        r = file_sync_folder_of(d->path);
        if (r < 0)
                return refuse_file(d->path, "make durable", r, p);
        *ret_aside = TAKE_PTR(aside);
        return lock(d, p);
}

int replace_dir_write_ticket(
                const struct replace_dir *d, const struct replace_ticket *t, struct problem *p) {
        _cleanup_free_ char *path = strformat("%s/%s", d->path, ticket_name), *text = NULL;
        _cleanup_json_ json_t *v = json_pack("{s:o, s:o}", "clusterID",
                        json_sprintf("%llx", (unsigned long long)t->cluster_id), "memberID",
                        json_sprintf("%llx", (unsigned long long)t->member_id));
        json_t *urls = json_array();
        int r = path && v && urls ? 0 : -ENOMEM;

        for (char **u = t->peer_urls; r >= 0 && u && *u; u++)
                r = json_array_append_new(urls, json_string(*u)) < 0 ? -ENOMEM : 0;
        if (r < 0 || json_object_set_new(v, "peerURLs", urls) < 0) {
                if (r < 0)
                        json_decref(urls);
                return -ENOMEM;
        }
        text = json_text(v);
        r = text ? file_write_atomic(path, text, strlen(text), 0600) : -ENOMEM;
        if (r >= 0 && geteuid() == 0 && chown(path, d->uid, d->gid) < 0)
                r = -errno;
        return r < 0 ? refuse_file(path, "write", r, p) : 0;
}
