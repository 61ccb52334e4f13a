/* zlib's deflate behind a read function. The level is the reference server's: 1, since the texts of
 * the API repeat themselves and shrink to a tenth with the least effort. */
#include "lib/http-gzip.h"

#include <zlib.h>

/* A smaller window than the usual one: many answers may be under way. */
enum { LEVEL = 1, WINDOW_BITS = 14, GZIP_FORMAT = 16, MEMORY_LEVEL = 7 };

struct http_gzip {
        z_stream z;
        size_t count, at;
        bool ended;
        struct bytes *pieces[];
};

bool http_accepts_gzip(const char *header) {
        for (const char *s = strempty(header); *s; s += strcspn(s, ","), s += *s == ',') {
                const char *rest, *q;

                s += strspn(s, " \t");
                rest = startswith(s, "gzip");
                if (!rest)
                        continue;
                rest += strspn(rest, " \t");
                if (*rest == 0 || *rest == ',')
                        return true;
                if (*rest != ';')
                        continue;
                q = rest + 1 + strspn(rest + 1, " \t");
                if (!startswith(q, "q="))
                        continue;
                q += 2;
                return strspn(q, "0.") != strcspn(q, ", \t");
        }
        return false;
}

int http_gzip_new(struct http_gzip **ret, struct bytes **pieces, size_t n) {
        struct http_gzip *g = calloc(1, sizeof(*g) + n * sizeof(*pieces));

        if (!g)
                return -ENOMEM;
        if (deflateInit2(&g->z, LEVEL, Z_DEFLATED, WINDOW_BITS + GZIP_FORMAT, MEMORY_LEVEL,
                            Z_DEFAULT_STRATEGY) != Z_OK) {
                free(g);
                return -ENOMEM;
        }
        g->count = n;
        for (size_t i = 0; i < n; i++)
                g->pieces[i] = bytes_ref(pieces[i]);
        *ret = g;
        return 0;
}

size_t http_gzip_size(const struct http_gzip *g) {
        size_t n = 0;

        for (size_t i = g->at; i < g->count; i++)
                n += g->pieces[i]->size;
        return n;
}

struct http_gzip *http_gzip_free(struct http_gzip *g) {
        if (!g)
                return NULL;
        for (; g->at < g->count; g->at++)
                bytes_unref(g->pieces[g->at]);
        (void)deflateEnd(&g->z);
        return mfree(g);
}

/* The piece that is read now; those before it are let go. */
static void next_input(struct http_gzip *g) {
        while (g->z.avail_in == 0 && g->at < g->count) {
                struct bytes *b = g->pieces[g->at];

                if (g->z.next_in == (Bytef *)b->data + b->size) {
                        g->pieces[g->at++] = bytes_unref(b);
                        g->z.next_in = NULL;
                        continue;
                }
                g->z.next_in = (Bytef *)b->data;
                g->z.avail_in = (uInt)MIN(b->size, (size_t)UINT32_MAX);
        }
}

ssize_t http_gzip_read(struct http_gzip *g, void *out, size_t n) {
        int r = Z_OK;

        g->z.next_out = out;
        g->z.avail_out = (uInt)MIN(n, (size_t)INT32_MAX);
        while (!g->ended && g->z.avail_out > 0) {
                next_input(g);
                r = deflate(&g->z, g->at == g->count ? Z_FINISH : Z_NO_FLUSH);
                if (r == Z_STREAM_END)
                        g->ended = true;
                else if (r != Z_OK && r != Z_BUF_ERROR)
                        return -EIO;
        }
        return (ssize_t)((uint8_t *)g->z.next_out - (uint8_t *)out);
}
