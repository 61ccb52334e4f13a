/* Files here directly, files there through the shell. */
#include "kctl/certs-place.h"

#include "lib/fileio.h"
#include "lib/ssh.h"

enum { FILE_SIZE_MAX = 1 << 20, TIMEOUT_S = 30, ABSENT = 44 };

#define PKI_DIR "/etc/keelson/pki"

void certs_place_done(struct certs_place *place) {
        machine_free(place->machine);
        free(place->dir);
        free(place->name);
        free(place->own_kubeconfig);
        *place = (struct certs_place){0};
}

const char *certs_place_admin(const struct certs_place *place) {
        return place->is_dev ? "../kubeconfig" : "../admin.kubeconfig";
}

static int open_place(
                struct certs_place *place, struct kctl *k, const char *where, struct problem *p) {
        place->is_dev = k->flags.dir && !where;
        place->dir = place->is_dev ? strformat("%s/pki", k->flags.dir) : strdup(PKI_DIR);
        place->name = strdup(where            ? where
                             : place->is_dev ? k->flags.dir
                                             : "this machine");
        if (!place->dir || !place->name)
                return -ENOMEM;
        if (!where && !place->is_dev && geteuid() != 0)
                return problem_set(p, EPERM, 0, NULL,
                                "the certificates of this machine can be read by root only: run it "
                                "with sudo, or give --control USER@HOST");
        return where ? machine_open(&place->machine, k, where, /* host_key= */ NULL, p) : 0;
}

int certs_place_open(
                struct certs_place *ret, struct kctl *k, const char *where, struct problem *p) {
        _cleanup_(certs_place_done) struct certs_place place = {0};
        _cleanup_free_ char *ca = NULL;
        int r = open_place(&place, k, where, p);

        if (r < 0)
                return r;
        r = certs_place_read(&place, "ca.crt", &ca, p);
        if (r == -ENOENT)
                return problem_set(p, ENOENT, 0, NULL,
                                "%s: no control plane is here (there is no %s/ca.crt); give "
                                "--control USER@HOST, or --dir for that of kctl dev",
                                place.name, place.dir);
        if (r < 0)
                return r;
        *ret = place;
        place = (struct certs_place){0};
        return 0;
}

static char *path_of(const struct certs_place *place, const char *name) {
        return strformat("%s/%s", place->dir, name);
}

static int read_there(const struct certs_place *place, const char *path, char **ret,
                struct problem *p) {
        _cleanup_free_ char *quoted = shell_quote(path), *command = NULL;
        _cleanup_buf_ struct buf out = {0}, err = {0};
        int status, r;

        command = quoted ? strformat("test -e %s || exit %i; cat %s", quoted, ABSENT, quoted) : NULL;
        if (!command)
                return -ENOMEM;
        r = machine_try(place->machine, command, /* input= */ NULL, 0, TIMEOUT_S, &out, &err,
                        &status, p);
        if (r < 0)
                return r;
        if (status == ABSENT)
                return -ENOENT;
        if (status != 0)
                return problem_set(p, EIO, 0, NULL, "%s: cannot read %s: %s", place->name, path,
                                strempty(err.data));
        *ret = out.data ? buf_take(&out) : strdup("");
        return *ret ? 0 : -ENOMEM;
}

int certs_place_read(
                const struct certs_place *place, const char *name, char **ret, struct problem *p) {
        _cleanup_free_ char *path = path_of(place, name);
        int r;

        if (!path)
                return -ENOMEM;
        if (place->machine)
                return read_there(place, path, ret, p);
        r = file_read(path, FILE_SIZE_MAX, ret, NULL);
        if (r < 0 && r != -ENOENT) {
                _cleanup_free_ char *why = file_error_text(path, "read", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        return r;
}

int certs_place_write(const struct certs_place *place, const char *name, const char *text,
                bool secret, struct problem *p) {
        _cleanup_free_ char *path = path_of(place, name);
        int r;

        if (!path)
                return -ENOMEM;
        if (place->machine)
                return machine_put(place->machine, path, secret ? "0600" : "0644", text, p);
        r = file_write_atomic(path, text, strlen(text), secret ? 0600 : 0644);
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "write", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        return 0;
}

int certs_place_remove(const struct certs_place *place, const char *name, struct problem *p) {
        _cleanup_free_ char *path = path_of(place, name), *quoted = NULL, *command = NULL;

        if (!path)
                return -ENOMEM;
        if (!place->machine) {
                if (unlink(path) < 0 && errno != ENOENT)
                        return problem_set(p, errno, 0, NULL, "cannot remove %s: %s", path,
                                        strerror(errno));
                return 0;
        }
        quoted = shell_quote(path);
        command = quoted ? strformat("rm -f %s", quoted) : NULL;
        return command ? machine_run(place->machine, command, /* input= */ NULL, 0, TIMEOUT_S,
                                         /* ret_stdout= */ NULL, p)
                       : -ENOMEM;
}
