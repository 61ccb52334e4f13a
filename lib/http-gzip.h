/* Bodies of answers compressed while they are sent: a piece at a time, as the client takes them, so
 * that a large list neither holds the loop nor is in memory twice. */
#pragma once

#include "lib/buf.h"

/* Whether an Accept-Encoding header takes gzip; NULL is none. "gzip;q=0" does not. */
bool http_accepts_gzip(const char *header);

struct http_gzip;
/* Takes a reference on each piece. */
int http_gzip_new(struct http_gzip **ret, struct bytes **pieces, size_t n);
/* Bytes that are not read yet, before they are compressed. */
size_t http_gzip_size(const struct http_gzip *g);
struct http_gzip *http_gzip_free(struct http_gzip *g);
DEFINE_CLEANUP(struct http_gzip *, http_gzip_free);
/* The next compressed bytes, at most n; 0: that was all. -EIO. */
ssize_t http_gzip_read(struct http_gzip *g, void *out, size_t n);
