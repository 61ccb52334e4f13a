/* HTTP requests as the program sees them: reading the target, headers and body, and answering. The
 * query is decoded here and not by libmicrohttpd, whose decoding works in place and loses the raw
 * text that paths need. */
#include "lib/http-server-internal.h"
#include "lib/web.h"

enum {
        QUERY_PARAMETERS_MAX = 256,
        ANSWER_HEADERS_MAX = 64,
        PIECES_BLOCK_SIZE = 64 << 10,
        GZIP_BLOCK_SIZE = 16 << 10, /* of about ten times as much text */
        REFUSAL_SIZE_MAX = 256,
        /* A body past the limit is drained up to this many times the limit, so that the client
         * reads the refusal; then the request is cut. */
        DISCARD_FACTOR = 8,
        STRANGERS_DISCARD_MAX = 64 << 10, /* of a body that nobody wants */
};

static int parse_parameter(struct http_request *r, const char *s, size_t n) {
        const char *equals = memchr(s, '=', n);
        size_t name_size = equals ? (size_t)(equals - s) : n;
        struct http_query *q = &r->query[r->query_count];

        q->name = web_query_decode(s, name_size);
        q->value = equals ? web_query_decode(equals + 1, n - name_size - 1) : strdup("");
        r->query_count++;
        return q->name && q->value ? 0 : -ENOMEM;
}

int http_request_parse_target(struct http_request *r, const char *target) {
        const char *question = strchr(target, '?');
        size_t parameters = 0;

        r->path = strdup(target);
        if (!r->path)
                return -ENOMEM;
        r->query_text = r->path + (question ? question - target : (ssize_t)strlen(target));
        if (question)
                *r->query_text++ = 0;
        if (!question || !question[1])
                return 0;
        for (const char *c = r->query_text; *c; c += strcspn(c, "&"), c += *c == '&')
                parameters++;
        if (parameters > QUERY_PARAMETERS_MAX)
                return -E2BIG;
        r->query = calloc(parameters + 1, sizeof(*r->query));
        if (!r->query)
                return -ENOMEM;
        for (const char *c = r->query_text; *c;) {
                size_t n = strcspn(c, "&");

                if (n > 0 && parse_parameter(r, c, n) < 0)
                        return -ENOMEM;
                c += n + (c[n] == '&');
        }
        return 0;
}

const char *http_request_method(const struct http_request *r) {
        return r->method;
}

const char *http_request_path(const struct http_request *r) {
        return r->path;
}

const char *http_request_query_text(const struct http_request *r) {
        return r->query_text;
}

const char *http_request_query_at(const struct http_request *r, const char *name, size_t i) {
        for (size_t k = 0; k < r->query_count; k++)
                if (streq(r->query[k].name, name) && i-- == 0)
                        return r->query[k].value;
        return NULL;
}

const char *http_request_query(const struct http_request *r, const char *name) {
        return http_request_query_at(r, name, 0);
}

struct header_search {
        const char *name;
        bool prefix; /* names may be longer */
        size_t left;
        const char *rest, *value; /* of the name, behind the prefix */
};

static enum MHD_Result search_header(
                void *userdata, enum MHD_ValueKind kind, const char *name, const char *value) {
        struct header_search *search = userdata;
        size_t n = strlen(search->name);

        if (strncasecmp(name, search->name, n) != 0 || (name[n] && !search->prefix) ||
                        search->left-- > 0)
                return MHD_YES;
        search->rest = name + n;
        search->value = strempty(value);
        return MHD_NO;
}

static void search_headers(const struct http_request *r, struct header_search *search) {
        const struct http2_request *h = r->h2;

        if (!h) {
                MHD_get_connection_values(r->mhd, MHD_HEADER_KIND, search_header, search);
                return;
        }
        for (size_t i = 0; i < h->header_count; i++)
                if (search_header(search, MHD_HEADER_KIND, h->headers[i].name,
                                    h->headers[i].value) == MHD_NO)
                        return;
}

const char *http_request_header(const struct http_request *r, const char *name) {
        return r->h2 ? http_request_header_at(r, name, 0)
                     : MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, name);
}

const char *http_request_header_at(const struct http_request *r, const char *name, size_t i) {
        struct header_search search = {.name = name, .left = i};

        search_headers(r, &search);
        return search.value;
}

const char *http_request_header_prefixed(const struct http_request *r, const char *prefix, size_t i,
                const char **ret_value) {
        struct header_search search = {.name = prefix, .prefix = true, .left = i};

        search_headers(r, &search);
        if (search.rest)
                *ret_value = search.value;
        return search.rest;
}

const char *http_request_body(const struct http_request *r, size_t *ret_size) {
        if (ret_size)
                *ret_size = r->body.size;
        return r->body.data ? r->body.data : "";
}

void http_request_hang_up(struct http_request *r) {
        if (r->h2)
                h2_stream_reset(&r->h2->stream, H2_CANCEL);
        else
                (void)shutdown(r->connection->fd, SHUT_RDWR);
}

size_t http_request_unread(const struct http_request *r) {
        return r->h2 ? r->h2->stream.connection->queued : 0; /* else one answer at a time */
}

uint64_t http_request_discard_max(const struct http_request *r) {
        return r->connection->stranger
                               ? STRANGERS_DISCARD_MAX
                               : DISCARD_FACTOR * (uint64_t)r->server->options.body_size_max;
}

int http_request_keep(struct http_request *r, const void *data, size_t n) {
        if (!r->drop && !r->busy && !r->too_large) {
                size_t size = r->body.size + n;

                r->too_large = n > r->server->options.body_size_max - r->body.size;
                r->busy = !r->too_large && size > r->reserved &&
                          http_limits_reserve(r, size - r->reserved) < 0;
                if (!r->busy && !r->too_large)
                        return buf_append(&r->body, data, n);
                buf_done(&r->body);
        }
        r->discarded += n;
        return 0;
}

void http_request_refuse(struct http_request *r, int code, const char *why) {
        struct http_server *s = r->server;
        char text[REFUSAL_SIZE_MAX];
        int n;

        (void)http_response_header(r, "Connection", "close");
        if (s->options.reject) {
                s->options.reject(r, code, why, s->options.userdata);
                return;
        }
        n = snprintf(text, sizeof(text), "%s\n", why);
        http_respond(r, code, "text/plain", text, MIN((size_t)n, sizeof(text) - 1));
}

void http_request_refuse_size(struct http_request *r) {
        char why[REFUSAL_SIZE_MAX];

        (void)snprintf(why, sizeof(why), "the request body is too large: limit is %zu bytes",
                        r->server->options.body_size_max);
        http_request_refuse(r, 413, why);
}

void http_request_refuse_busy(struct http_request *r) {
        (void)http_response_header(r, "Retry-After", "1");
        http_request_refuse(r, 429, "too many bodies of requests are on their way; try again");
}

void http_request_set_userdata(struct http_request *r, void *userdata, void (*free_func)(void *)) {
        r->userdata = userdata;
        r->free_func = free_func;
}

void *http_request_userdata(const struct http_request *r) {
        return r->userdata;
}

void http_request_on_gone(struct http_request *r,
                void (*func)(struct http_request *r, void *userdata), void *userdata) {
        r->on_gone = func;
        r->on_gone_userdata = userdata;
}

/* For one more. Most answers have few. */
static int make_header_room(struct http_request *r) {
        const size_t few = ELEMENTS(r->header_room);
        struct http_header_pair *more;

        if (r->header_count >= ANSWER_HEADERS_MAX)
                return -E2BIG;
        if (r->header_count < few) {
                r->headers = r->header_room;
                return 0;
        }
        if (r->header_count > few)
                more = reallocarray(r->headers, r->header_count + 1, sizeof(*more));
        else
                more = calloc(few + 1, sizeof(*more));
        if (!more)
                return -ENOMEM;
        if (r->header_count == few)
                memcpy(more, r->header_room, sizeof(r->header_room));
        r->headers = more;
        return 0;
}

int http_response_header(struct http_request *request, const char *name, const char *value) {
        const size_t n = strlen(name) + 1, m = strlen(value) + 1;
        char *text;
        int r = make_header_room(request);

        if (r < 0)
                return r;
        text = malloc(n + m);
        if (!text)
                return -ENOMEM;
        memcpy(text, name, n);
        memcpy(text + n, value, m);
        request->headers[request->header_count++] =
                        (struct http_header_pair){.name = text, .value = text + n};
        return 0;
}

static void add_headers(struct http_request *r, struct MHD_Response *response) {
        for (size_t i = 0; i < r->header_count; i++)
                (void)MHD_add_response_header(response, r->headers[i].name, r->headers[i].value);
}

void http_request_answer(struct http_request *r, unsigned code, struct MHD_Response *response) {
        assert(r->state == REQUEST_RECEIVING || r->state == REQUEST_HANDLING ||
                        r->state == REQUEST_WAITING);
        add_headers(r, response);
        r->response = response;
        r->code = code;
        if (r->stream) /* each piece of it is written by itself */
                r->connection->transport.gathering = NULL;
        if (r->state == REQUEST_WAITING) {
                /* A stream's hangup watch continues: libmicrohttpd does not look at suspended
                 * sockets. */
                if (!r->stream)
                        r->hangup = sd_event_source_disable_unref(r->hangup);
                MHD_resume_connection(r->mhd);
                http_server_run_soon(r->server);
        }
        r->state = REQUEST_ANSWERED;
}

/* Without memory for an answer the connection is closed: state GONE makes the handler refuse. */
static void answer_failed(struct http_request *r) {
        bool waiting = r->state == REQUEST_WAITING;

        if (r->h2) {
                http2_answer_failed(r);
                return;
        }
        r->state = REQUEST_GONE;
        if (waiting) {
                MHD_resume_connection(r->mhd);
                http_server_run_soon(r->server);
        }
}

static ssize_t gzip_read(void *userdata, uint64_t position, char *out, size_t n) {
        ssize_t filled = http_gzip_read(userdata, out, n);

        if (filled > 0)
                return filled;
        return filled == 0 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void gzip_free(void *userdata) {
        http_gzip_free(userdata);
}

/* Answers compressed, if the client takes that and the body is large enough. */
static bool respond_gzip(struct http_request *r, int code, const char *content_type,
                struct bytes **pieces, size_t n) {
        const size_t above = r->server->options.gzip_above;
        struct MHD_Response *response = NULL;
        struct http_gzip *body;
        size_t size = 0;

        for (size_t i = 0; i < n; i++)
                size += pieces[i]->size;
        if (above == 0 || size <= above || code != 200 || streq(r->method, "HEAD") ||
                        !http_accepts_gzip(http_request_header(r, "Accept-Encoding")) ||
                        http_gzip_new(&body, pieces, n) < 0)
                return false;
        if (!r->h2)
                response = MHD_create_response_from_callback(
                                MHD_SIZE_UNKNOWN, GZIP_BLOCK_SIZE, gzip_read, body, gzip_free);
        if (!r->h2 && !response) {
                http_gzip_free(body);
                return false;
        }
        (void)http_response_header(r, "Content-Encoding", "gzip");
        (void)http_response_header(r, "Vary", "Accept-Encoding");
        if (r->h2) {
                http2_respond_gzip(r, code, content_type, body);
                return true;
        }
        if (content_type)
                (void)MHD_add_response_header(response, "Content-Type", content_type);
        http_request_answer(r, (unsigned)code, response);
        return true;
}

static void bytes_release(void *b) {
        bytes_unref(b);
}

void http_respond_bytes(
                struct http_request *r, int code, const char *content_type, struct bytes *body) {
        struct MHD_Response *response;

        if (respond_gzip(r, code, content_type, &body, 1))
                return;
        if (r->h2) {
                http2_respond(r, code, content_type, &body, 1);
                return;
        }
        response = MHD_create_response_from_buffer_with_free_callback_cls(
                        body->size, body->data, bytes_release, body);

        if (!response) {
                answer_failed(r);
                return;
        }
        bytes_ref(body);
        if (content_type)
                (void)MHD_add_response_header(response, "Content-Type", content_type);
        http_request_answer(r, (unsigned)code, response);
}

struct pieces {
        size_t count, at, offset;
        struct bytes *pieces[];
};

static ssize_t pieces_read(void *userdata, uint64_t position, char *out, size_t n) {
        struct pieces *p = userdata;
        size_t filled = 0;

        while (p->at < p->count && filled < n) {
                struct bytes *b = p->pieces[p->at];
                size_t part = MIN(n - filled, b->size - p->offset);

                memcpy(out + filled, b->data + p->offset, part);
                filled += part;
                p->offset += part;
                if (p->offset < b->size)
                        break;
                p->pieces[p->at++] = bytes_unref(b);
                p->offset = 0;
        }
        return filled > 0 ? (ssize_t)filled : MHD_CONTENT_READER_END_OF_STREAM;
}

static void pieces_free(void *userdata) {
        struct pieces *p = userdata;

        for (; p->at < p->count; p->at++)
                bytes_unref(p->pieces[p->at]);
        free(p);
}

void http_respond_pieces(struct http_request *r, int code, const char *content_type,
                struct bytes **pieces, size_t n) {
        struct MHD_Response *response = NULL;
        struct pieces *p;
        uint64_t size = 0;

        if (respond_gzip(r, code, content_type, pieces, n))
                return;
        if (r->h2) {
                http2_respond(r, code, content_type, pieces, n);
                return;
        }
        p = malloc(sizeof(*p) + n * sizeof(*pieces));
        if (!p) {
                answer_failed(r);
                return;
        }
        *p = (struct pieces){.count = n};
        for (size_t i = 0; i < n; i++) {
                p->pieces[i] = bytes_ref(pieces[i]);
                size += pieces[i]->size;
        }
        response = MHD_create_response_from_callback(
                        size, PIECES_BLOCK_SIZE, pieces_read, p, pieces_free);
        if (!response) {
                pieces_free(p);
                answer_failed(r);
                return;
        }
        if (content_type)
                (void)MHD_add_response_header(response, "Content-Type", content_type);
        http_request_answer(r, (unsigned)code, response);
}

void http_respond(struct http_request *r, int code, const char *content_type, const void *body,
                size_t n) {
        _cleanup_bytes_ struct bytes *b = bytes_new(body, n);

        if (b)
                http_respond_bytes(r, code, content_type, b);
        else
                answer_failed(r);
}

void http_request_end(struct http_request *r) {
        if (!r)
                return;
        if (r->link) {
                *r->link = r->next;
                if (r->next)
                        r->next->link = r->link;
        }
        if (r->carrier)
                r->carrier->request = NULL;
        sd_event_source_disable_unref(r->hangup);
        http_stream_detach(r->stream);
        http_upgrade_detach(r->upgrade);
        if (r->response)
                MHD_destroy_response(r->response);
        if (r->free_func)
                r->free_func(r->userdata);
        http_limits_release(r);
        for (size_t i = 0; i < r->query_count; i++) {
                free(r->query[i].name);
                free(r->query[i].value);
        }
        for (size_t i = 0; i < r->header_count; i++)
                free(r->headers[i].name);
        free(r->query);
        if (r->headers != r->header_room)
                free(r->headers);
        free(r->path);
        buf_done(&r->body);
        free(r);
}
