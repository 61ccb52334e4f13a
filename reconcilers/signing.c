/* inotify on the folder of the certificate: files are replaced by renaming. */
#include "reconcilers/signing.h"

#include <sys/inotify.h>

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/pki-renew.h"

enum { PEM_SIZE_MAX = 1024 * 1024 };

static int read_pem(const char *path, char **ret, struct problem *p) {
        int r = file_read(path, PEM_SIZE_MAX, ret, NULL);

        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "read", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        return 0;
}

static void forget(char *key) {
        if (key)
                explicit_bzero(key, strlen(key));
        free(key);
}

int signing_read(
                struct signing *s, const char *cert_path, const char *key_path, struct problem *p) {
        _cleanup_free_ char *cert = NULL, *signer = NULL;
        char *key = NULL;
        int r;

        if (!cert_path != !key_path)
                return problem_set(p, EINVAL, 0, NULL,
                                "--cluster-signing-cert-file and --cluster-signing-key-file go "
                                "together");
        s->cert_path = cert_path;
        s->key_path = key_path;
        if (!cert_path)
                return 0;
        r = read_pem(cert_path, &cert, p);
        if (r < 0)
                return r;
        r = read_pem(key_path, &key, p);
        if (r < 0)
                return r;
        r = pki_signer(cert, key, &signer);
        if (r < 0) {
                forget(key);
                return problem_set(p, -r, 0, NULL, "the key %s belongs to no certificate of %s",
                                key_path, cert_path);
        }
        if (s->cert && streq(s->cert, cert) && streq(s->key, key)) {
                forget(key);
                return 0; /* who borrows the texts keeps them */
        }
        free(s->cert);
        forget(s->key);
        s->cert = TAKE_PTR(cert);
        s->key = key;
        return 1;
}

static int on_files(sd_event_source *source, const struct inotify_event *event, void *userdata) {
        struct signing *s = userdata;
        _cleanup_problem_ struct problem p = {0};
        int r = signing_read(s, s->cert_path, s->key_path, &p);

        if (r < 0)
                log_notice("The authority's files have changed and cannot be used, the previous "
                           "ones stay in use: %s",
                                strempty(p.message));
        if (r > 0) {
                log_info("The authority's files have changed: they are in use");
                s->on_change(s->userdata);
        }
        return 0;
}

int signing_watch(struct signing *s, sd_event *event, void (*on_change)(void *userdata),
                void *userdata) {
        const char *slash = s->cert_path ? strrchr(s->cert_path, '/') : NULL;
        _cleanup_free_ char *folder = NULL;
        int r;

        if (!s->cert_path)
                return 0;
        folder = slash ? strndup(s->cert_path, (size_t)(slash - s->cert_path) + 1) : strdup(".");
        if (!folder)
                return -ENOMEM;
        s->on_change = on_change;
        s->userdata = userdata;
        r = sd_event_add_inotify(
                        event, &s->source, folder, IN_MOVED_TO | IN_CLOSE_WRITE, on_files, s);
        if (r < 0)
                log_warning_errno(r,
                                "A new authority is used after a restart only: cannot watch "
                                "%s%s",
                                folder,
                                r == -EMFILE ? " (the sysctl fs.inotify.max_user_instances is too low)"
                                             : "");
        return 0;
}

void signing_done(struct signing *s) {
        sd_event_source_disable_unref(s->source);
        free(s->cert);
        forget(s->key);
        *s = (struct signing){0};
}
