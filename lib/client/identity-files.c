/* The stamps of the files are compared; when one differs, all are read again. */
#include "lib/client/identity-files.h"

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/timefmt.h"

#define LOOK_US UINT64_C(1000000)

struct identity_files {
        char *kubeconfig, *context, *token; /* as they were given; NULL where they were not */
        char **paths;
        struct file_stamp *stamps; /* one of each path */
        uint64_t looked_us;
};

static int copy(char **to, const char *from) {
        if (!from)
                return 0;
        *to = strdup(from);
        return *to ? 0 : -ENOMEM;
}

static int take_files(struct identity_files *f, char *const *paths) {
        struct file_stamp *stamps = calloc(strv_length(paths) + 1, sizeof(*stamps));
        _cleanup_strv_free_ char **copy = NULL;

        for (char *const *s = paths; stamps && s && *s; s++) {
                file_stamp_read(*s, &stamps[s - paths]);
                if (strv_extend(&copy, *s) < 0) {
                        free(stamps);
                        return -ENOMEM;
                }
        }
        if (!stamps)
                return -ENOMEM;
        strv_free(f->paths);
        free(f->stamps);
        f->paths = TAKE_PTR(copy);
        f->stamps = stamps;
        return 0;
}

int identity_files_new(struct identity_files **ret, const struct api_client_options *options,
                const struct kubeconfig_context *k) {
        _cleanup_(identity_files_freep) struct identity_files *f = calloc(1, sizeof(*f));
        const struct kubeconfig_overrides *o = options->overrides;
        int r;

        if (!f)
                return -ENOMEM;
        f->looked_us = now_mono_us();
        if (copy(&f->kubeconfig, options->kubeconfig) < 0 ||
                        copy(&f->context, o ? o->context : options->context) < 0 ||
                        copy(&f->token, o ? o->token : NULL) < 0)
                return -ENOMEM;
        r = take_files(f, k->files);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}

struct identity_files *identity_files_free(struct identity_files *f) {
        if (!f)
                return NULL;
        free(f->kubeconfig);
        free(f->context);
        if (f->token)
                explicit_bzero(f->token, strlen(f->token));
        free(f->token);
        strv_free(f->paths);
        free(f->stamps);
        return mfree(f);
}

/* Also takes the stamps of what it saw: files that cannot be used are not read again and again. */
static bool is_changed(struct identity_files *f) {
        bool changed = false;

        for (size_t i = 0; f->paths && f->paths[i]; i++) {
                struct file_stamp now;

                file_stamp_read(f->paths[i], &now);
                changed |= !file_stamp_equal(&now, &f->stamps[i]);
                f->stamps[i] = now;
        }
        return changed;
}

static int use(struct identity_files *f, struct http_client *http,
                const struct kubeconfig_context *k) {
        int r = http_client_set_identity(http, k->ca_pem, k->cert_pem, k->key_pem, k->token);

        return r < 0 ? r : take_files(f, k->files);
}

void identity_files_check(struct identity_files *f, struct http_client *http) {
        const struct kubeconfig_overrides overrides = {.context = f->context, .token = f->token};
        struct kubeconfig_context k = {0};
        _cleanup_problem_ struct problem p = {0};
        uint64_t now_us = now_mono_us();
        int r;

        if (now_us < f->looked_us + LOOK_US)
                return;
        f->looked_us = now_us;
        if (!is_changed(f))
                return;
        r = kubeconfig_load_with(&k, f->kubeconfig, &overrides, &p);
        if (r < 0 || use(f, http, &k) < 0)
                log_debug("The credentials that are in use stay: %s", strempty(p.message));
        kubeconfig_context_done(&k);
}
