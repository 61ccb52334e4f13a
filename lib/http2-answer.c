/* Answers by HTTP/2: a head, and bytes that are shared with whoever made them. Streams of the
 * program (lib/http-stream.c) are kept in the queue of their HTTP/2 stream. */
#include "lib/http-server-internal.h"

#include <ctype.h>

enum { HEAD_SIZE_MAX = 48 << 10, NUMBER_SIZE = 24, GZIP_BLOCK_SIZE = 16 << 10 };

/* Of HTTP/1.1's connections (RFC 9113 section 8.2.2), or said otherwise here. */
static bool is_of_connection(const char *name) {
        static const char *const names[] = {"connection", "keep-alive", "proxy-connection",
                        "transfer-encoding", "upgrade", "content-length"};

        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (streq(name, names[i]))
                        return true;
        return false;
}

/* Names are in small letters. */
static size_t add_headers(struct http_request *r, struct h2_header *h, size_t n) {
        size_t size = 0;

        for (size_t i = 0; i < r->header_count && n < H2_HEADERS_MAX; i++) {
                char *name = r->headers[i].name;

                for (char *c = name; *c; c++)
                        *c = (char)tolower((unsigned char)*c);
                size += strlen(name) + strlen(r->headers[i].value);
                if (!is_of_connection(name) && size <= HEAD_SIZE_MAX)
                        h[n++] = (struct h2_header){name, r->headers[i].value};
        }
        return n;
}

/* Made once a second. */
static const char *date_text(struct http_server *s) {
        const uint64_t now_s = now_wall_us() / 1000000;
        time_t now = (time_t)now_s;
        struct tm tm;

        if (now_s == s->date_s)
                return s->date;
        s->date_s = now_s;
        *s->date = '\0';
        if (gmtime_r(&now, &tm))
                (void)strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        return s->date;
}

static bool has_no_body(const struct http_request *r, int code) {
        return code == 204 || code == 304 || streq(r->method, "HEAD");
}

/* length: of a body that is known, else negative. */
static int submit_head(struct http_request *r, int code, const char *content_type, int64_t length,
                bool with_body) {
        struct h2_header h[H2_HEADERS_MAX];
        char status[NUMBER_SIZE], size[NUMBER_SIZE];
        size_t n = 0;

        (void)snprintf(status, sizeof(status), "%d", code);
        h[n++] = (struct h2_header){":status", status};
        h[n++] = (struct h2_header){"date", date_text(r->server)};
        if (content_type)
                h[n++] = (struct h2_header){"content-type", content_type};
        if (length >= 0 && code != 204 && code != 304) {
                (void)snprintf(size, sizeof(size), "%" PRId64, length);
                h[n++] = (struct h2_header){"content-length", size};
        }
        n = add_headers(r, h, n);
        r->state = REQUEST_ANSWERED;
        r->code = (unsigned)code;
        r->h2->stream.deaf = true;
        r->h2->stream.deadline_us = UINT64_MAX;
        return h2_submit_response(&r->h2->stream, h, n, with_body);
}

void http2_answer_failed(struct http_request *r) {
        r->state = REQUEST_GONE;
        h2_stream_reset(&r->h2->stream, H2_INTERNAL_ERROR);
}

void http2_respond(struct http_request *r, int code, const char *content_type,
                struct bytes **pieces, size_t n) {
        struct h2_stream *s = &r->h2->stream;
        uint64_t size = 0;
        bool with_body;
        int k = 0;

        for (size_t i = 0; i < n; i++)
                size += pieces[i]->size;
        with_body = size > 0 && !has_no_body(r, code);
        for (size_t i = 0; i < n && with_body && k >= 0; i++)
                if (pieces[i]->size > 0)
                        k = h2_stream_send(s, NULL, 0, pieces[i]);
        if (k >= 0)
                k = submit_head(r, code, content_type, (int64_t)size, with_body);
        http2_not_served(r);
        if (k < 0)
                http2_answer_failed(r);
        else if (with_body)
                h2_stream_end(s);
}

struct http_stream *http2_stream_begin(struct http_request *r, int code, const char *content_type,
                size_t queued_bytes_max, http_stream_func on_gone, void *userdata) {
        struct http_stream *s = calloc(1, sizeof(*s));

        if (!s || submit_head(r, code, content_type, -1, !has_no_body(r, code)) < 0) {
                free(s);
                http2_answer_failed(r);
                return NULL;
        }
        *s = (struct http_stream){.server = r->server,
                        .request = r,
                        .h2 = &r->h2->stream,
                        .queued_max = queued_bytes_max,
                        .on_gone = on_gone,
                        .on_gone_userdata = userdata};
        r->stream = s;
        return s;
}

void http2_more_gzip(struct http2_request *h) {
        char block[GZIP_BLOCK_SIZE];
        ssize_t n = http_gzip_read(h->gzip, block, sizeof(block));
        _cleanup_bytes_ struct bytes *b = n > 0 ? bytes_new(block, (size_t)n) : NULL;

        if (n == 0)
                h2_stream_end(&h->stream);
        else if (!b || h2_stream_send(&h->stream, NULL, 0, b) < 0)
                http2_answer_failed(h->request);
}

void http2_respond_gzip(struct http_request *r, int code, const char *content_type,
                struct http_gzip *body) {
        r->h2->gzip = body;
        r->h2->held = http_gzip_size(body);
        r->h2->stream.connection->queued += r->h2->held;
        http2_not_served(r);
        if (submit_head(r, code, content_type, -1, /* with_body= */ true) < 0)
                http2_answer_failed(r);
        else
                http2_more_gzip(r->h2);
}
