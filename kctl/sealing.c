/* What goes into a sealed backup, and back. */
#include "kctl/sealing.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "kctl/machine.h"
#include "kctl/store.h"
#include "lib/crypto.h"
#include "lib/fileio.h"
#include "lib/json.h"
#include "lib/ssh.h"
#include "lib/timefmt.h"

enum {
        SECRET_SIZE_MAX = 4096,
        KEYS_SIZE_MAX = 64 << 20,
        LINE_SIZE_MAX = 4096,
        DIGITS = 16,
        TIMEOUT_S = 60,
        HAS_KEYS = 44
};

/* ---- secrets ---- */

/* The first line of a file that belongs to nobody else. Caller frees and forgets. */
static int read_secret(const char *path, char **ret, struct problem *p) {
        struct stat st;
        int r = file_read(path, SECRET_SIZE_MAX, ret, NULL);

        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "read", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        (*ret)[strcspn(*ret, "\r\n")] = 0;
        if (stat(path, &st) == 0 && (st.st_mode & 077))
                fprintf(stderr, "warning: %s can be read by others: chmod 600 %s\n", path, path);
        if (**ret)
                return 0;
        *ret = mfree(*ret);
        return problem_set(p, EINVAL, 0, NULL, "%s: its first line is empty", path);
}

static void forget(char *secret) {
        if (secret)
                explicit_bzero(secret, strlen(secret));
        free(secret);
}

bool sealing_is_wanted(const struct kctl *k) {
        return k->flags.seal_passphrase_file || k->flags.recipients;
}

/* ---- making ---- */

/* The tar of the folder, into memory: some hundred KB. What only this machine's key opens goes in
 * opened: the backup seals it again. For a moment it is in a folder of root's in memory. */
static int read_keys(struct kctl *k, struct buf *ret, struct problem *p) {
        static const char there[] =
                        "set -e; umask 077; sealed=/etc/keelson/pki/encryption.cred; set --; "
                        "if test -e $sealed; then d=$(mktemp -d /run/keelson-backup.XXXXXX); "
                        "trap 'rm -rf \"$d\"' EXIT; trap 'exit 1' HUP INT TERM PIPE; "
                        "mkdir -p \"$d/etc/keelson/pki\"; "
                        "systemd-creds decrypt --name=encryption $sealed "
                        "\"$d/etc/keelson/pki/encryption.yaml\"; "
                        "set -- -C \"$d\" etc/keelson/pki/encryption.yaml; fi; "
                        "tar -C / -c --exclude=etc/keelson/node "
                        "--exclude=etc/keelson/nodeagent.yaml "
                        "--exclude=etc/keelson/pki/encryption.cred etc/keelson \"$@\"";
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_free_ char *dir = NULL, *command = NULL;
        int r;

        if (!k->flags.dir) {
                r = machine_open(&m, k, k->flags.control ? k->flags.control[0] : NULL,
                                /* host_key= */ NULL, p);
                return r < 0 ? r : machine_run(m, there, NULL, 0, TIMEOUT_S, ret, p);
        }
        dir = shell_quote(k->flags.dir);
        command = dir ? strformat("tar -C %s -c pki kubeconfig", dir) : NULL;
        if (!command)
                return -ENOMEM;
        _cleanup_buf_ struct buf err = {0};
        int status;

        r = local_run(command, NULL, 0, TIMEOUT_S, ret, &err, &status, p);
        if (r < 0 || status == 0)
                return r;
        return problem_set(p, EIO, 0, NULL, "cannot read the keys in %s: %s", k->flags.dir,
                        strempty(err.data));
}

static int write_tail(int fd, const struct buf *keys, const char *line, const char *size) {
        int r = file_write_all(fd, keys->data, keys->size);

        if (r < 0)
                return r;
        r = file_write_all(fd, line, strlen(line));
        return r < 0 ? r : file_write_all(fd, size, DIGITS);
}

int sealing_add_keys(struct kctl *k, int fd, struct problem *p) {
        _cleanup_buf_ struct buf keys = {0};
        char now[TIMEFMT_SIZE];
        _cleanup_free_ char *line = NULL;
        struct stat st;
        int r = read_keys(k, &keys, p);

        if (r < 0)
                return r;
        if (keys.size == 0 || keys.size > KEYS_SIZE_MAX || fstat(fd, &st) < 0 ||
                        lseek(fd, 0, SEEK_END) < 0)
                return problem_set(p, EIO, 0, NULL, "the keys cannot be added to the backup");
        line = strformat("{\"store\":%lld,\"keys\":%zu,\"time\":\"%s\"}\n", (long long)st.st_size,
                        keys.size, time_format(now_wall_us(), now));
        _cleanup_free_ char *size = line ? strformat("%016zx", strlen(line)) : NULL;
        if (!size)
                return -ENOMEM;
        r = write_tail(fd, &keys, line, size);
        explicit_bzero(keys.data, keys.size);
        return r < 0 ? problem_set(p, -r, 0, NULL, "cannot write the backup: %s", strerror(-r)) : 0;
}

int sealing_seal(struct kctl *k, int fd, const char *path, struct problem *p) {
        struct sealed_for locks = {.recipients = k->flags.recipients};
        _cleanup_close_ int out = -EBADF;
        char *passphrase = NULL;
        int r = 0;

        if (k->flags.seal_passphrase_file)
                r = read_secret(k->flags.seal_passphrase_file, &passphrase, p);
        if (r < 0)
                return r;
        locks.passphrase = passphrase;
        out = open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (out < 0 || lseek(fd, 0, SEEK_SET) < 0)
                r = problem_set(p, errno, 0, NULL, "cannot write %s: %s", path, strerror(errno));
        else
                r = sealed_write(fd, out, &locks, p);
        forget(passphrase);
        if (r < 0)
                return r;
        return fsync(out) < 0 ? problem_set(p, errno, 0, NULL, "cannot write %s: %s", path,
                                                strerror(errno))
                              : 0;
}

/* ---- opening ---- */

void opened_done(struct opened *o) {
        if (o->path)
                (void)unlink(o->path);
        free(o->path);
        if (o->keys)
                explicit_bzero(o->keys, o->keys_size);
        free(o->keys);
        *o = (struct opened){0};
}

static int damaged(struct problem *p) {
        return problem_set(p, EBADMSG, 0, NULL, "it holds no backup of this form");
}

/* The sizes at the end of the file, checked against its own. */
static int read_sizes(int fd, size_t *ret_store, size_t *ret_keys, struct problem *p) {
        char digits[DIGITS + 1] = "", line[LINE_SIZE_MAX + 1];
        _cleanup_json_ json_t *o = NULL;
        int64_t store, keys;
        size_t size;
        char *end;
        struct stat st;

        if (fstat(fd, &st) < 0 || st.st_size < DIGITS ||
                        pread(fd, digits, DIGITS, st.st_size - DIGITS) != DIGITS)
                return damaged(p);
        size = strtoull(digits, &end, 16);
        if (*end || size == 0 || size > LINE_SIZE_MAX || (off_t)size > st.st_size - DIGITS ||
                        pread(fd, line, size, st.st_size - DIGITS - (off_t)size) != (ssize_t)size)
                return damaged(p);
        line[size] = 0;
        if (json_parse(line, size, 0, &o, NULL) < 0)
                return damaged(p);
        store = json_int_or(o, "store", -1);
        keys = json_int_or(o, "keys", -1);
        if (store < 0 || store > st.st_size || keys <= 0 || keys > KEYS_SIZE_MAX ||
                        store + keys != st.st_size - DIGITS - (int64_t)size)
                return damaged(p);
        *ret_store = (size_t)store;
        *ret_keys = (size_t)keys;
        return 0;
}

/* Takes the keys into memory and leaves the store's backup in the file. */
static int take_apart(int fd, struct opened *o, struct problem *p) {
        size_t store;
        int r = read_sizes(fd, &store, &o->keys_size, p);

        if (r < 0)
                return r;
        o->keys = malloc(o->keys_size);
        if (!o->keys)
                return -ENOMEM;
        if (pread(fd, o->keys, o->keys_size, (off_t)store) != (ssize_t)o->keys_size ||
                        ftruncate(fd, (off_t)store) < 0 || fsync(fd) < 0)
                return problem_set(p, EIO, 0, NULL, "cannot use %s", o->path);
        return 0;
}

static int read_with(struct kctl *k, int in, int out, struct problem *p) {
        bool by_key = k->flags.identity_file != NULL;
        struct sealed_with with = {0};
        char *secret = NULL;
        int r;

        if (!k->flags.seal_passphrase_file && !by_key)
                return problem_set(p, EINVAL, 0, NULL,
                                "it is sealed: give --seal-passphrase-file FILE or "
                                "--identity-file FILE");
        r = read_secret(by_key ? k->flags.identity_file : k->flags.seal_passphrase_file, &secret,
                        p);
        if (r < 0)
                return r;
        if (by_key)
                with.identity = secret;
        else
                with.passphrase = secret;
        r = sealed_read(in, out, &with, p);
        forget(secret);
        return r;
}

static int open_into(struct kctl *k, int in, int out, struct opened *o, struct problem *p) {
        int r = read_with(k, in, out, p);

        return r < 0 ? r : take_apart(out, o, p);
}

int sealing_open(struct kctl *k, const char *file, struct opened *ret, struct problem *p) {
        _cleanup_close_ int in = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY), out = -EBADF;
        _cleanup_(opened_done) struct opened o = {0};
        int r;

        if (in < 0)
                return problem_set(p, errno, 0, NULL, "cannot open %s: %s", file, strerror(errno));
        if (!sealed_is(in))
                return 0;
        o.path = strdup("/var/tmp/kctl-restore.XXXXXX");
        if (!o.path)
                return -ENOMEM;
        out = mkostemp(o.path, O_CLOEXEC);
        if (out < 0) {
                r = problem_set(p, errno, 0, NULL, "cannot make a file in /var/tmp: %s",
                                strerror(errno));
                o.path = mfree(o.path);
                return r;
        }
        r = open_into(k, in, out, &o, p);
        if (r < 0) {
                problem_prefix(p, "%s", file);
                return r;
        }
        *ret = o;
        o = (struct opened){0};
        return 0;
}

/* ---- keys ---- */

/* Exit status 44: there is one already. */
static const char put_script[] =
                "set -e; umask 077; mkdir -p $1; cd $1; "
                "if test -e $2/ca.crt; then test $3 = force || exit 44; "
                "cp -a $4 $4.before-restore-$(date -u +%Y%m%dT%H%M%SZ); fi; "
                "rm -f $2/encryption.cred $2/encryption.yaml; tar -x -p -f -";

static int put(struct kctl *k, const char *command, const struct opened *o, int *ret_status,
                struct buf *err, struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        int r;

        if (k->flags.dir)
                return local_run(command, o->keys, o->keys_size, TIMEOUT_S, NULL, err, ret_status,
                                p);
        r = machine_open(&m, k, k->flags.control ? k->flags.control[0] : NULL,
                        /* host_key= */ NULL, p);
        return r < 0 ? r
                     : machine_try(m, command, o->keys, o->keys_size, TIMEOUT_S, NULL, err,
                                       ret_status, p);
}

int sealing_put_keys(struct kctl *k, const struct opened *o, struct problem *p) {
        _cleanup_free_ char *script = shell_quote(put_script),
                            *root = shell_quote(k->flags.dir ? k->flags.dir : "/"),
                            *command = NULL;
        _cleanup_buf_ struct buf err = {0};
        int status, r;

        command = script && root ? strformat("sh -c %s put %s %s %s %s", script, root,
                                                   k->flags.dir ? "pki" : "etc/keelson/pki",
                                                   k->flags.force ? "force" : "new",
                                                   k->flags.dir ? "pki" : "etc/keelson")
                                 : NULL;
        if (!command)
                return -ENOMEM;
        r = put(k, command, o, &status, &err, p);
        if (r < 0 || status == 0)
                return r;
        if (status == HAS_KEYS)
                return problem_set(p, EEXIST, 0, NULL,
                                "there are keys of a control plane already; --force replaces them, "
                                "and keeps them aside");
        return problem_set(p, EIO, 0, NULL, "the keys cannot be written: %s", strempty(err.data));
}

/* ---- names ---- */

#define PREFIX "keelson-"

char *backup_file_name(uint64_t wall_us, bool sealed) {
        char now[TIMEFMT_SIZE], plain[TIMEFMT_SIZE];
        size_t n = 0;

        time_format(wall_us, now);
        for (const char *c = now; *c; c++)
                if (*c != '-' && *c != ':')
                        plain[n++] = *c;
        plain[n] = 0;
        return strformat(PREFIX "%s.%s", plain, sealed ? "sealed" : "backup");
}

static bool is_scheduled(const char *name) {
        const char *rest = startswith(name, PREFIX);

        return rest && strspn(rest, "0123456789") == 8 && rest[8] == 'T' &&
               strspn(rest + 9, "0123456789") == 6 && rest[15] == 'Z' &&
               (streq(rest + 16, ".sealed") || streq(rest + 16, ".backup"));
}

static int by_name(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

int backup_surplus(char *const *names, size_t keep, char ***ret) {
        _cleanup_strv_free_ char **found = NULL, **surplus = NULL;
        size_t n;

        for (char *const *s = names; s && *s; s++)
                if (is_scheduled(*s) && strv_extend(&found, *s) < 0)
                        return -ENOMEM;
        n = strv_length(found);
        if (n > 0)
                qsort(found, n, sizeof(*found), by_name);
        for (size_t i = 0; i + keep < n; i++)
                if (strv_extend(&surplus, found[i]) < 0)
                        return -ENOMEM;
        *ret = TAKE_PTR(surplus);
        return 0;
}
