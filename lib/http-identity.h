/* Certificates for libcurl, which with GnuTLS takes them from files only: texts live in memory
 * files, which curl opens by their names under /proc. */
#pragma once

#include <curl/curl.h>

#include "lib/base.h"

struct http_identity {
        int ca_fd, cert_fd, key_fd; /* -EBADF where there is none */
};
#define HTTP_IDENTITY_NONE ((struct http_identity){-EBADF, -EBADF, -EBADF})

/* Any text may be NULL. An errno. */
int http_identity_new(struct http_identity *ret, const char *ca_pem, const char *cert_pem,
                const char *key_pem);
void http_identity_done(struct http_identity *i);
void http_identity_apply(const struct http_identity *i, CURL *easy);
/* After a handshake that failed: a certificate that the server showed is out of its time. A
 * sentence with both times, or NULL. Caller frees. */
char *http_identity_time_text(CURL *easy);
