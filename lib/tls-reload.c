/* Certificates that are renewed while a program runs: a context remembers the files it was read
 * from, and whoever is about to begin a session asks for a context of the files as they are.
 * Sessions that have begun keep theirs. Also: what is wrong with a peer's certificate, in words. */
#include "lib/log.h"
#include "lib/pki-renew.h"
#include "lib/timefmt.h"
#include "lib/tls-internal.h"

static const char *path_of(const struct tls_files *files, int which) {
        return which == TLS_FILES_CERT  ? files->cert
               : which == TLS_FILES_KEY ? files->key
                                        : files->ca;
}

void tls_paths_stamp(const struct tls_files *files, struct file_stamp ret[static TLS_FILES_MAX]) {
        for (int i = 0; i < TLS_FILES_MAX; i++) {
                ret[i] = (struct file_stamp){0};
                if (path_of(files, i))
                        file_stamp_read(path_of(files, i), &ret[i]);
        }
}

int tls_paths_keep(struct tls_context *c, const struct tls_files *files,
                const struct file_stamp stamps[static TLS_FILES_MAX]) {
        for (int i = 0; i < TLS_FILES_MAX; i++) {
                const char *path = path_of(files, i);

                c->stamps[i] = stamps[i];
                if (!path)
                        continue;
                c->paths[i] = strdup(path);
                if (!c->paths[i])
                        return -ENOMEM;
        }
        return 0;
}

static bool files_changed(const struct tls_context *c, const struct file_stamp now[]) {
        for (int i = 0; i < TLS_FILES_MAX; i++)
                if (!file_stamp_equal(&c->stamps[i], &now[i]))
                        return true;
        return false;
}

int tls_context_refresh(struct tls_context **c) {
        const struct tls_files files = {.cert = (*c)->paths[TLS_FILES_CERT],
                        .key = (*c)->paths[TLS_FILES_KEY],
                        .ca = (*c)->paths[TLS_FILES_CA],
                        .crl = (*c)->crl_path,
                        .allowed_cns = (*c)->allowed_cns,
                        .allowed_hostnames = (*c)->allowed_hostnames,
                        .unnamed_authorities = (*c)->unnamed_authorities,
                        .unverified = (*c)->unverified};
        struct file_stamp now[TLS_FILES_MAX];
        _cleanup_problem_ struct problem p = {0};
        struct tls_context *fresh;
        int r;

        if (!files.cert && !files.ca)
                return 0;
        tls_paths_stamp(&files, now);
        if (!files_changed(*c, now))
                return 0;
        r = tls_context_new(&fresh, &files, (*c)->server, &p);
        if (r < 0) {
                /* Half of a pair may be there: the next change is looked at again. */
                memcpy((*c)->stamps, now, sizeof(now));
                log_debug("The certificates that are in use stay: %s", strempty(p.message));
                return r;
        }
        tls_context_free(*c);
        *c = fresh;
        return 1;
}

/* The first certificate of the chain, or of an authority that it was sent with, that is out of its
 * time. NULL: none, or out of memory. */
static char *time_text(gnutls_session_t session) {
        uint64_t now_s = now_wall_us() / 1000000;
        unsigned n = 0;
        const gnutls_datum_t *certs = gnutls_certificate_get_peers(session, &n);

        for (unsigned i = 0; certs && i < n; i++) {
                _cleanup_pki_view_ struct pki_view v = {0};
                _cleanup_free_ char *why = NULL;
                gnutls_datum_t pem = {0};
                int r;

                if (gnutls_pem_base64_encode2("CERTIFICATE", &certs[i], &pem) < 0)
                        continue;
                r = pki_cert_view((const char *)pem.data, &v);
                gnutls_free(pem.data);
                if (r >= 0 && pki_time_problem(v.begins_s, v.ends_s, now_s, &why) >= 0 && why)
                        return strformat("the certificate of \"%s\" %s", v.cn, why);
        }
        return NULL;
}

char *tls_status_text(gnutls_session_t session, unsigned status) {
        gnutls_datum_t text = {0};
        char *s = NULL;

        if (status & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED))
                s = time_text(session);
        if (s)
                return s;
        if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) < 0)
                return strdup("the peer's certificate is not valid");
        s = strdup((const char *)text.data);
        gnutls_free(text.data);
        return s;
}
