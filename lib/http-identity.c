/* Memory files for libcurl, and why a server's certificate was refused. */
#include "lib/http-identity.h"

#include "lib/fileio.h"
#include "lib/pki-renew.h"
#include "lib/timefmt.h"

void http_identity_done(struct http_identity *i) {
        safe_close(i->ca_fd);
        safe_close(i->cert_fd);
        safe_close(i->key_fd);
        *i = HTTP_IDENTITY_NONE;
}

int http_identity_new(struct http_identity *ret, const char *ca_pem, const char *cert_pem,
                const char *key_pem) {
        _cleanup_(http_identity_done) struct http_identity i = HTTP_IDENTITY_NONE;
        int r = file_in_memory(&i.ca_fd, "pem", ca_pem);

        if (r < 0)
                return r;
        r = file_in_memory(&i.cert_fd, "pem", cert_pem);
        if (r < 0)
                return r;
        r = file_in_memory(&i.key_fd, "pem", key_pem);
        if (r < 0)
                return r;
        *ret = i;
        i = HTTP_IDENTITY_NONE;
        return 0;
}

static void set_file(CURL *easy, CURLoption option, int fd) {
        char path[64];

        if (fd < 0)
                return;
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        curl_easy_setopt(easy, option, path);
}

void http_identity_apply(const struct http_identity *i, CURL *easy) {
        if (i->ca_fd >= 0) /* the given CA alone, not this machine's too */
                curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
        set_file(easy, CURLOPT_CAINFO, i->ca_fd);
        set_file(easy, CURLOPT_SSLCERT, i->cert_fd);
        set_file(easy, CURLOPT_SSLKEY, i->key_fd);
        /* What the server showed, for http_identity_time_text(). */
        curl_easy_setopt(easy, CURLOPT_CERTINFO, 1L);
}

/* "Cert:-----BEGIN..." of libcurl's list. */
static const char *pem_of(const struct curl_slist *fields) {
        for (; fields; fields = fields->next) {
                const char *pem = startswith(fields->data, "Cert:");

                if (pem)
                        return pem;
        }
        return NULL;
}

char *http_identity_time_text(CURL *easy) {
        struct curl_certinfo *info = NULL;
        uint64_t now_s = now_wall_us() / 1000000;

        if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &info) != CURLE_OK || !info)
                return NULL;
        for (int i = 0; i < info->num_of_certs; i++) {
                _cleanup_pki_view_ struct pki_view v = {0};
                _cleanup_free_ char *why = NULL;
                const char *pem = pem_of(info->certinfo[i]);

                if (pem && pki_cert_view(pem, &v) >= 0 &&
                                pki_time_problem(v.begins_s, v.ends_s, now_s, &why) >= 0 && why)
                        return strformat("the server's certificate \"%s\" %s", v.cn, why);
        }
        return NULL;
}
