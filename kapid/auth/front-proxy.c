/* Files by their stamps: certificate and key count only together, so a pair of which one half is
 * replaced stays what it was. */
#include "kapid/auth/front-proxy.h"

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/pki.h"
#include "lib/timefmt.h"

enum { PEM_SIZE_MAX = 1 << 20, LOOK_US = 1000 * 1000 };
enum { FILE_CERT, FILE_KEY, FILE_CA, FILE_CLIENT_CA, FILES };

static const char *const flags[FILES] = {"--proxy-client-cert-file", "--proxy-client-key-file",
                "--requestheader-client-ca-file", "--client-ca-file"};

struct front_proxy {
        char *paths[FILES], *texts[FILES];
        struct file_stamp stamps[FILES];
        char **names, **header_names[4];
        struct identity_headers headers; /* of header_names */
        uint64_t generation, looked_us;
};

static void forget(char *text) {
        if (text)
                explicit_bzero(text, strlen(text));
        free(text);
}

static int read_all(struct front_proxy *f, char *texts[static FILES], int *ret_failed) {
        for (int i = 0; i < FILES; i++) {
                int r = f->paths[i] ? file_read(f->paths[i], PEM_SIZE_MAX, &texts[i], NULL) : 0;

                *ret_failed = i;
                if (r < 0)
                        return r;
        }
        if (texts[FILE_CERT] && pki_cert_matches_key(texts[FILE_CERT], texts[FILE_KEY]) <= 0) {
                *ret_failed = FILE_CERT;
                return -EKEYREJECTED;
        }
        return 0;
}

static void take_texts(struct front_proxy *f, char *texts[static FILES]) {
        for (int i = 0; i < FILES; i++) {
                forget(f->texts[i]);
                f->texts[i] = texts[i];
        }
        f->generation++;
}

static bool stamps_changed(struct front_proxy *f) {
        bool changed = false;

        for (int i = 0; i < FILES; i++) {
                struct file_stamp now = {0};

                if (!f->paths[i])
                        continue;
                file_stamp_read(f->paths[i], &now);
                changed |= !file_stamp_equal(&now, &f->stamps[i]);
                f->stamps[i] = now;
        }
        return changed;
}

uint64_t front_proxy_refresh(struct front_proxy *f) {
        char *texts[FILES] = {NULL};
        uint64_t now_us = now_mono_us();
        int failed = 0, r;

        if (f->looked_us + LOOK_US > now_us)
                return f->generation;
        f->looked_us = now_us;
        if (!stamps_changed(f))
                return f->generation;
        r = read_all(f, texts, &failed);
        if (r >= 0) {
                take_texts(f, texts);
                return f->generation;
        }
        log_warning_errno(r, "The replaced file of %s cannot be used; the earlier one stays",
                        flags[failed]);
        for (int i = 0; i < FILES; i++)
                forget(texts[i]);
        return f->generation;
}

static int check(const struct front_proxy_options *o, struct problem *p) {
        if (!isempty(o->cert_file) != !isempty(o->key_file))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s and %s: give both, or neither (extension servers are called "
                                "without a certificate then)",
                                flags[FILE_CERT], flags[FILE_KEY]);
        if (!isempty(o->cert_file) && isempty(o->ca_file))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s needs %s: it is the authority that extension servers trust",
                                flags[FILE_CERT], flags[FILE_CA]);
        if (o->headers.user_names && *o->headers.user_names && isempty(o->ca_file))
                return problem_set(p, EINVAL, 0, NULL,
                                "--requestheader-username-headers needs %s: the authority of the "
                                "proxies that are believed",
                                flags[FILE_CA]);
        return 0;
}

static int copy_headers(struct front_proxy *f, const struct identity_headers *h) {
        char *const *const from[] = {
                        h->user_names, h->uid_names, h->group_names, h->extra_prefixes};

        for (size_t i = 0; i < ELEMENTS(from); i++)
                for (char *const *name = from[i]; name && *name; name++)
                        if (**name && strv_extend(&f->header_names[i], *name) < 0)
                                return -ENOMEM;
        f->headers = (struct identity_headers){.user_names = f->header_names[0],
                        .uid_names = f->header_names[1],
                        .group_names = f->header_names[2],
                        .extra_prefixes = f->header_names[3]};
        return 0;
}

static int copy_options(struct front_proxy *f, const struct front_proxy_options *o) {
        const char *const paths[FILES] = {o->cert_file, o->key_file, o->ca_file, o->client_ca_file};

        for (int i = 0; i < FILES; i++) {
                if (isempty(paths[i]))
                        continue;
                f->paths[i] = strdup(paths[i]);
                if (!f->paths[i])
                        return -ENOMEM;
        }
        for (char *const *name = o->allowed_names; name && *name; name++)
                if (**name && strv_extend(&f->names, *name) < 0)
                        return -ENOMEM;
        return copy_headers(f, &o->headers);
}

int front_proxy_new(
                struct front_proxy **ret, const struct front_proxy_options *o, struct problem *p) {
        _cleanup_(front_proxy_freep) struct front_proxy *f = calloc(1, sizeof(*f));
        char *texts[FILES] = {NULL};
        int failed = 0, r = f ? check(o, p) : -ENOMEM;

        if (r < 0)
                return r;
        r = copy_options(f, o);
        if (r < 0)
                return r;
        (void)stamps_changed(f);
        r = read_all(f, texts, &failed);
        if (r < 0) {
                for (int i = 0; i < FILES; i++)
                        forget(texts[i]);
                return problem_set(p, -r, 0, NULL, "%s %s: %s", flags[failed],
                                strempty(f->paths[failed]),
                                r == -EKEYREJECTED ? "the key is not that of the certificate"
                                                   : strerror(-r));
        }
        take_texts(f, texts);
        *ret = TAKE_PTR(f);
        return 0;
}

struct front_proxy *front_proxy_free(struct front_proxy *f) {
        if (!f)
                return NULL;
        for (int i = 0; i < FILES; i++) {
                free(f->paths[i]);
                forget(f->texts[i]);
        }
        strv_free(f->names);
        for (size_t i = 0; i < ELEMENTS(f->header_names); i++)
                strv_free(f->header_names[i]);
        return mfree(f);
}

const char *front_proxy_cert(const struct front_proxy *f) {
        return f->texts[FILE_CERT];
}

const char *front_proxy_key(const struct front_proxy *f) {
        return f->texts[FILE_KEY];
}

const char *front_proxy_ca(const struct front_proxy *f) {
        return f->texts[FILE_CA];
}

const char *front_proxy_client_ca(const struct front_proxy *f) {
        return f->texts[FILE_CLIENT_CA];
}

char *const *front_proxy_names(const struct front_proxy *f) {
        return f->names;
}

uint64_t front_proxy_ca_generation(const struct front_proxy *f) {
        return f->generation; /* of all files: it may grow more often than needed */
}

const struct identity_headers *front_proxy_headers(const struct front_proxy *f) {
        return &f->headers;
}
