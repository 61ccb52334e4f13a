/* HTTP client: libcurl's multi interface driven by sd-event. curl reports which descriptors and
 * which timer it wants; we forward their events and collect finished transfers from one deferred
 * place. A call may be started or cancelled, and the client freed, from inside any callback: while
 * curl is on the stack (`depth`) handles are neither added nor removed but marked, and on_deferred
 * acts. */
#include "lib/http-client.h"

#include "lib/http-client-internal.h"
#include "lib/timefmt.h"

enum { BODY_SIZE_MAX_DEFAULT = 256 << 20, ERROR_BODY_MAX = 1 << 20, INTERIM_MAX = 32 };
/* Kept open for the next requests, idle or not. */
/* FRESH_MAX: calls that begin in one turn of the loop. Each may connect, which takes some
 * milliseconds of cryptography. */
enum { CONNECTIONS_MAX = 256, FRESH_MAX = 4 };

static void client_destroy(struct http_client *c);

static void defer(struct http_client *client) {
        if (client->deferred)
                (void)sd_event_source_set_enabled(client->deferred, SD_EVENT_ONESHOT);
}

static void call_free(struct http_call *c) {
        if (c->link) {
                *c->link = c->next;
                if (c->next)
                        c->next->link = c->link;
        }
        if (c->easy) {
                curl_multi_remove_handle(c->client->multi, c->easy);
                curl_easy_cleanup(c->easy);
        }
        /* Another one may have its turn. */
        if (c->added && (c->client->calls_max > 0 || c->client->fresh > 0))
                defer(c->client);
        if (c->added && c->client->fresh > 0)
                c->client->fresh--;
        sd_event_source_disable_unref(c->idle);
        curl_slist_free_all(c->headers);
        curl_slist_free_all(c->connect_to);
        buf_done(&c->received);
        strv_free(c->warnings);
        free(c->content_type);
        free(c->base_url);
        free(c->url);
        free(c->body);
        free(c);
}
DEFINE_CLEANUP(struct http_call *, call_free);

/* The errno and the words for a transfer that brought no answer. */
static int transport_error(struct http_call *c, CURLcode code, char **ret_text) {
        static const struct {
                CURLcode code;
                int as_errno;
                const char *remedy;
        } table[] = {
                        {CURLE_COULDNT_RESOLVE_HOST, EHOSTUNREACH, "check the host name"},
                        {CURLE_COULDNT_CONNECT, ECONNREFUSED,
                                        "is the server running and the address right?"},
                        {CURLE_OPERATION_TIMEDOUT, ETIMEDOUT,
                                        "the server or the network is too slow or cut off"},
                        {CURLE_PEER_FAILED_VERIFICATION, EKEYREJECTED,
                                        "the server's certificate is not signed by the expected CA "
                                        "or not made for this name"},
                        {CURLE_SSL_CONNECT_ERROR, EKEYREJECTED,
                                        "the TLS handshake failed; does the server speak TLS there "
                                        "and accept this certificate?"},
                        {CURLE_SSL_CACERT_BADFILE, EKEYREJECTED,
                                        "the CA certificate cannot be used"},
                        {CURLE_SSL_CERTPROBLEM, EKEYREJECTED,
                                        "the client certificate or key cannot be used"},
                        {CURLE_GOT_NOTHING, ECONNRESET, "the server closed the connection"},
                        {CURLE_RECV_ERROR, ECONNRESET, "the connection broke"},
                        {CURLE_SEND_ERROR, ECONNRESET, "the connection broke"},
                        {CURLE_PARTIAL_FILE, ECONNRESET, "the connection broke"},
                        {CURLE_URL_MALFORMAT, EINVAL, "the address is not a URL"},
                        {CURLE_OUT_OF_MEMORY, ENOMEM, "out of memory"},
        };
        const char *why = *c->error_buffer ? c->error_buffer : curl_easy_strerror(code),
                   *remedy = "the request failed";
        const char *where = c->client->unix_path ? c->client->unix_path : c->base_url;
        _cleanup_free_ char *late = NULL;
        int as_errno = EIO;
        long os_error = 0;

        for (size_t i = 0; i < ELEMENTS(table); i++)
                if (table[i].code == code) {
                        as_errno = table[i].as_errno;
                        remedy = table[i].remedy;
                }
        if (code == CURLE_COULDNT_CONNECT &&
                        curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &os_error) == CURLE_OK &&
                        (os_error == EHOSTUNREACH || os_error == ENETUNREACH ||
                                        os_error == EACCES || os_error == ENOENT))
                as_errno = (int)os_error;
        late = as_errno == EKEYREJECTED ? http_identity_time_text(c->easy) : NULL;
        *ret_text = late ? strformat("cannot reach %s: %s", where, late)
                         : strformat("cannot reach %s: %s (%s)", where, why, remedy);
        return -as_errno;
}

static void call_finish(struct http_call *c, CURLcode code) {
        _cleanup_free_ char *text = NULL;
        struct http_result result = {.content_type = strempty(c->content_type),
                        .body = "",
                        .retry_after_s = c->retry_after_s,
                        .warnings = c->warnings};
        long status = 0;

        if (c->error < 0) {
                result.error = c->error;
                result.error_text = c->abandoned ? "the server does not answer, another one does"
                                    : c->error == -ETIMEDOUT ? "the stream was silent for too long"
                                                             : "the answer could not be taken";
        } else if (code != CURLE_OK) {
                result.error = transport_error(c, code, &text);
                result.error_text = strempty(text);
        } else {
                curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
                result.code = (int)status;
        }
        if (c->received.data) {
                result.body = c->received.data;
                result.body_size = c->received.size;
        }
        if (c->client->trace)
                c->client->trace(c->options.method, c->url, result.code, c->began_us);
        bool notify = !c->cancelled && c->options.on_done;
        c->cancelled = true; /* for a callback that frees the client or cancels this call */
        c->client->depth++;
        if (notify)
                c->options.on_done(c, &result, c->options.userdata);
        c->client->depth--;
        call_free(c);
}

/* Leaves a part that a callback may have freed the client in. 1 when the client is gone. */
static int leave(struct http_client *client) {
        assert(client->depth > 0);
        if (--client->depth > 0 || !client->dying)
                return 0;
        client_destroy(client);
        return 1;
}

/* Hands finished transfers over. Callbacks may start and cancel calls, so the list is read again
 * each time. */
static void collect(struct http_client *client) {
        CURLMsg *m;
        int left;

        while (!client->dying && (m = curl_multi_info_read(client->multi, &left))) {
                struct http_call *c = NULL;
                CURLcode code = m->data.result;

                if (m->msg != CURLMSG_DONE)
                        continue;
                curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
                call_finish(c, code);
        }
}

/* Curl hands over what it holds, from inside. On a failure of the receiver it does not end the
 * transfer by itself. */
static void let_go(struct http_call *c) {
        CURLcode code;

        c->held = false;
        code = curl_easy_pause(c->easy, CURLPAUSE_CONT);
        if (code != CURLE_OK)
                call_finish(c, code);
}

/* Callbacks may start calls, which come before this one in the list, and cancel others, which are
 * only marked. */
static void end_abandoned(struct http_client *client) {
        struct http_call *next;

        for (struct http_call *c = client->calls; c && !client->dying; c = next) {
                next = c->next;
                if (c->abandoned && !c->cancelled) {
                        c->error = -ECONNRESET;
                        call_finish(c, CURLE_OK);
                }
        }
}

static void call_add(struct http_call *c) {
        c->added = true;
        c->client->fresh++;
        (void)curl_multi_add_handle(c->client->multi, c->easy);
}

/* It neither waits nor counts. */
static bool is_unlimited(const struct http_call *c) {
        return c->options.on_data || c->options.urgent;
}

/* The call that may begin: where there is a limit one that it does not concern, then the one that
 * has waited for the longest. NULL: none. Calls that began later come earlier in the list. */
static struct http_call *next_in_turn(struct http_client *client) {
        struct http_call *oldest = NULL;
        unsigned running = 0;

        for (struct http_call *c = client->calls; c; c = c->next) {
                if (c->cancelled)
                        continue;
                if (c->added) {
                        running += !is_unlimited(c);
                        continue;
                }
                if (is_unlimited(c))
                        return c;
                oldest = c;
        }
        return client->calls_max == 0 || running < client->calls_max ? oldest : NULL;
}

static void add_in_turn(struct http_client *client) {
        struct http_call *c;

        while (client->fresh < FRESH_MAX && (c = next_in_turn(client)))
                call_add(c);
}

static int on_deferred(sd_event_source *s, void *userdata) {
        struct http_client *client = userdata;
        struct http_call *next;

        for (struct http_call *c = client->calls; c; c = next) {
                next = c->next;
                if (c->cancelled)
                        call_free(c);
                else if (c->held && !c->paused) {
                        client->depth++;
                        let_go(c);
                        if (leave(client))
                                return 0;
                }
        }
        client->depth++;
        collect(client);
        end_abandoned(client);
        if (!leave(client))
                add_in_turn(client);
        return 0;
}

/* Curl begins with what was added whatever it is called for; others follow: on_deferred(). */
static void acted(struct http_client *client) {
        client->fresh = 0;
        if (!leave(client))
                defer(client);
}

static int on_socket_event(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        struct http_client *client = userdata;
        int what = 0, running;

        if (revents & (EPOLLIN | EPOLLHUP))
                what |= CURL_CSELECT_IN;
        if (revents & EPOLLOUT)
                what |= CURL_CSELECT_OUT;
        if (revents & EPOLLERR)
                what |= CURL_CSELECT_ERR;
        client->depth++;
        curl_multi_socket_action(client->multi, fd, what, &running);
        acted(client);
        return 0;
}

/* curl: watch this descriptor so. */
static int on_curl_socket(
                CURL *easy, curl_socket_t fd, int what, void *userdata, void *socket_data) {
        struct http_client *client = userdata;
        sd_event_source *source = socket_data;
        uint32_t events = 0;

        if (what == CURL_POLL_REMOVE) {
                sd_event_source_disable_unref(source);
                return 0;
        }
        if (what & CURL_POLL_IN)
                events |= EPOLLIN;
        if (what & CURL_POLL_OUT)
                events |= EPOLLOUT;
        if (source)
                return sd_event_source_set_io_events(source, events) < 0 ? -1 : 0;
        if (sd_event_add_io(client->event, &source, fd, events, on_socket_event, client) < 0)
                return -1;
        curl_multi_assign(client->multi, fd, source);
        return 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct http_client *client = userdata;
        int running;

        client->depth++;
        curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        acted(client);
        return 0;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *userdata) {
        struct http_client *client = userdata;

        if (timeout_ms < 0)
                return sd_event_source_set_enabled(client->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
        if (sd_event_source_set_time_relative(client->timer, (uint64_t)timeout_ms * 1000) < 0)
                return -1;
        return sd_event_source_set_enabled(client->timer, SD_EVENT_ONESHOT) < 0 ? -1 : 0;
}

static int client_init_event(struct http_client *c) {
        int r;

        r = sd_event_add_time_relative(c->event, &c->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, c);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_defer(c->event, &c->deferred, on_deferred, c);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(c->deferred, SD_EVENT_OFF);
        if (r < 0)
                return r;
        curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
        curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
        curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
        curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
        return 0;
}

static int copy(char **to, const char *from) {
        if (!from)
                return 0;
        *to = strdup(from);
        return *to ? 0 : -ENOMEM;
}

int http_client_set_identity(struct http_client *c, const char *ca_pem, const char *cert_pem,
                const char *key_pem, const char *token) {
        char *authorization = token ? strformat("Authorization: Bearer %s", token) : NULL;
        struct http_identity fresh;
        int r = token && !authorization ? -ENOMEM
                                        : http_identity_new(&fresh, ca_pem, cert_pem, key_pem);

        if (r < 0) {
                free(authorization);
                return r;
        }
        /* Memory files of other names, so that curl takes no connection of the previous identity
         * for a new call. */
        http_identity_done(&c->previous);
        c->previous = c->identity;
        c->identity = fresh;
        free(c->authorization);
        c->authorization = authorization;
        return 0;
}

int http_client_new(
                struct http_client **ret, sd_event *event, const struct http_client_options *o) {
        _cleanup_(http_client_freep) struct http_client *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return -ENOMEM;
        c->identity = c->previous = HTTP_IDENTITY_NONE;
        c->before_call = o->before_call;
        c->userdata = o->userdata;
        c->multi = curl_multi_init();
        if (!c->multi)
                return -ENOMEM;
        c->connect_timeout_us = o->connect_timeout_us ? o->connect_timeout_us : 10000000;
        c->timeout_us = o->timeout_us ? o->timeout_us : 60000000;
        c->standing = o->headers;
        c->trace = o->trace;
        c->flags = o->flags;
        c->user_timeout_ms = o->user_timeout_ms;
        c->calls_max = o->calls_max;
        if (copy(&c->base_url, o->base_url) < 0 || copy(&c->server_name, o->tls_server_name) < 0 ||
                        copy(&c->unix_path, o->unix_path) < 0 ||
                        copy(&c->user_agent, o->user_agent) < 0)
                return -ENOMEM;
        r = http_client_set_identity(c, o->ca_pem, o->cert_pem, o->key_pem, o->token);
        if (r < 0)
                return r;
        /* A connection that becomes idle while there are more is closed: with fewer than there are
         * requests in flight, each request would begin with a TLS handshake. */
        curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
        if (event) {
                c->event = sd_event_ref(event);
                r = client_init_event(c);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(c);
        return 0;
}

static void client_destroy(struct http_client *c) {
        while (c->calls)
                call_free(c->calls);
        if (c->multi)
                curl_multi_cleanup(c->multi);
        sd_event_source_disable_unref(c->timer);
        sd_event_source_disable_unref(c->deferred);
        sd_event_unref(c->event);
        free(c->base_url);
        free(c->unix_path);
        free(c->user_agent);
        free(c->authorization);
        free(c->server_name);
        http_identity_done(&c->identity);
        http_identity_done(&c->previous);
        free(c);
}

struct http_client *http_client_free(struct http_client *c) {
        if (!c)
                return NULL;
        if (c->depth > 0) {
                c->dying = true;
                for (struct http_call *call = c->calls; call; call = call->next)
                        call->cancelled = true;
        } else
                client_destroy(c);
        return NULL;
}

static int status_of(struct http_call *c) {
        long status = 0;

        curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
        return (int)status;
}

static int on_idle(sd_event_source *s, uint64_t usec, void *userdata) {
        struct http_call *c = userdata;
        struct http_client *client = c->client;

        c->error = -ETIMEDOUT;
        client->depth++;
        call_finish(c, CURLE_OK);
        (void)leave(client);
        return 0;
}

static int rearm_idle(struct http_call *c) {
        if (!c->idle)
                return 0;
        return sd_event_source_set_time_relative(c->idle, c->options.idle_timeout_us);
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        struct http_call *c = userdata;
        size_t limit = c->options.body_size_max ? c->options.body_size_max : BODY_SIZE_MAX_DEFAULT;
        int status = status_of(c), r = 0;

        n *= size;
        (void)rearm_idle(c);
        if (c->cancelled)
                return 0;
        if (c->paused) {
                c->held = true;
                return CURL_WRITEFUNC_PAUSE;
        }
        if (c->options.on_headers && !c->headers_reported) {
                c->headers_reported = true;
                r = c->options.on_headers(c, status, c->options.userdata);
        }
        if (r >= 0 && !c->cancelled) {
                if (c->options.on_data && (status < 300 || c->options.stream_errors))
                        r = c->options.on_data(c, data, n, c->options.userdata);
                else if (c->received.size + n >
                                (c->options.on_data ? (size_t)ERROR_BODY_MAX : limit))
                        r = -EFBIG;
                else
                        r = buf_append(&c->received, data, n);
        }
        if (r < 0)
                c->error = r;
        return r < 0 || c->cancelled ? 0 : n;
}

/* The text of `299 - "text"`, unescaped. */
static int add_warning(struct http_call *c, const char *value) {
        const char *at = strchr(value, '"');
        _cleanup_buf_ struct buf text = {0};

        if (!at)
                return 0;
        for (at++; *at && *at != '"'; at++) {
                if (*at == '\\' && at[1])
                        at++;
                buf_append_char(&text, *at);
        }
        return text.data ? strv_extend(&c->warnings, text.data) : 0;
}

/* In place: without the blanks around it, which do not belong to it, and the line's end. */
static char *value_of(char *s) {
        size_t n;

        s += strspn(s, " \t");
        for (n = strcspn(s, "\r\n"); n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t');)
                n--;
        s[n] = 0;
        return s;
}

static size_t on_header(char *data, size_t size, size_t n, void *userdata) {
        struct http_call *c = userdata;
        _cleanup_free_ char *line = strndup(data, size * n);
        char *value = line ? strchr(line, ':') : NULL;
        uint32_t seconds;

        if (!line)
                return 0;
        if (!value) { /* a status line, or the empty line at the end */
                if (line[strspn(line, "\r\n")] == 0 && status_of(c) < 200 &&
                                ++c->interim > INTERIM_MAX) {
                        c->error = -EBADMSG;
                        return 0;
                }
                if (c->options.on_headers && !c->headers_reported &&
                                line[strspn(line, "\r\n")] == 0 && status_of(c) >= 200) {
                        c->headers_reported = true;
                        int r = c->cancelled ? -ECANCELED
                                             : c->options.on_headers(c, status_of(c),
                                                               c->options.userdata);
                        if (r < 0)
                                c->error = r;
                        if (r < 0 || c->cancelled)
                                return 0;
                }
                return size * n;
        }
        if (status_of(c) < 200 && !c->cancelled)
                return size * n;
        *value++ = 0;
        value = value_of(value);
        if (c->options.on_header && !c->cancelled)
                c->options.on_header(line, value, c->options.userdata);
        if (c->cancelled)
                return 0;
        if (strcaseeq(line, "Content-Type")) {
                free(c->content_type);
                c->content_type = strdup(value);
        } else if (strcaseeq(line, "Retry-After") && parse_u32(value, &seconds) == 0)
                c->retry_after_s = (int)MIN(seconds, (uint32_t)3600);
        else if (strcaseeq(line, "Warning") && add_warning(c, value) < 0)
                return 0;
        return size * n;
}

static int call_new(struct http_client *client, const struct http_call_options *o,
                struct http_call **ret) {
        _cleanup_(call_freep) struct http_call *c = NULL;
        int r;

        if (client->before_call)
                client->before_call(client->userdata);
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->client = client;
        c->options = *o;
        c->began_us = now_mono_us();
        c->is_apart = o->base_url != NULL;
        r = http_call_setup(c, o);
        if (r < 0)
                return r;
        curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
        curl_easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(c->easy, CURLOPT_HEADERDATA, c);
        if (o->idle_timeout_us && client->event) {
                r = sd_event_add_time_relative(client->event, &c->idle, CLOCK_MONOTONIC,
                                o->idle_timeout_us, 0, on_idle, c);
                if (r < 0)
                        return r;
        }
        c->link = &client->calls;
        c->next = client->calls;
        if (c->next)
                c->next->link = &c->next;
        client->calls = c;
        *ret = TAKE_PTR(c);
        return 0;
}

int http_call_start(struct http_client *client, const struct http_call_options *o,
                struct http_call **ret_call) {
        struct http_call *c;
        int r;

        assert(client->event);
        r = call_new(client, o, &c);
        if (r < 0)
                return r;
        c->added = client->depth == 0 && client->fresh < FRESH_MAX &&
                   (client->calls_max == 0 || next_in_turn(client) == c);
        if (!c->added)
                defer(client);
        else if (curl_multi_add_handle(client->multi, c->easy) != CURLM_OK) {
                call_free(c);
                return -ENOMEM;
        } else
                client->fresh++;
        if (ret_call)
                *ret_call = c;
        return 0;
}

struct http_call *http_call_cancel(struct http_call *c) {
        if (!c)
                return NULL;
        if (c->client->depth == 0)
                call_free(c);
        else {
                c->cancelled = true;
                defer(c->client);
        }
        return NULL;
}

void http_call_pause(struct http_call *c) {
        assert(c->client->event);
        c->paused = true;
}

void http_call_resume(struct http_call *c) {
        c->paused = false;
        if (c->held)
                defer(c->client);
}

int http_client_set_server(struct http_client *client, const char *base_url) {
        char *url;

        assert(!client->unix_path);
        url = strdup(base_url);
        if (!url)
                return -ENOMEM;
        free(client->base_url);
        client->base_url = url;
        return 0;
}

void http_client_abandon(struct http_client *client) {
        for (struct http_call *c = client->calls; c; c = c->next)
                c->abandoned |= !c->is_apart;
        defer(client);
}

/* http_client_do() keeps what a finished call would free. */
static int result_copy(const struct http_result *result, struct http_result *ret) {
        *ret = *result;
        ret->error_text = result->error_text ? strdup(result->error_text) : NULL;
        ret->content_type = strdup(result->content_type);
        ret->body = malloc(result->body_size + 1);
        char **warnings = NULL;
        for (char *const *w = result->warnings; w && *w; w++)
                if (strv_extend(&warnings, *w) < 0)
                        break;
        ret->warnings = warnings;
        if (!ret->content_type || !ret->body)
                return -ENOMEM;
        memcpy((char *)ret->body, result->body, result->body_size + 1);
        return 0;
}

static void on_done_sync(struct http_call *call, const struct http_result *result, void *userdata) {
        struct http_result *ret = userdata;

        if (result_copy(result, ret) < 0)
                ret->error = -ENOMEM;
}

/* Without a loop the multi handle serves one call at a time, so that connections are reused; beside
 * a loop it must not be driven from here. */
static CURLcode perform(struct http_client *client, struct http_call *c) {
        CURLMsg *m;
        int running, left;

        if (client->event || curl_multi_add_handle(client->multi, c->easy) != CURLM_OK)
                return curl_easy_perform(c->easy); /* also for a call made from inside another */
        do {
                if (curl_multi_perform(client->multi, &running) != CURLM_OK)
                        return CURLE_OUT_OF_MEMORY;
                while ((m = curl_multi_info_read(client->multi, &left)))
                        if (m->msg == CURLMSG_DONE && m->easy_handle == c->easy)
                                return m->data.result;
        } while (curl_multi_poll(client->multi, NULL, 0, 1000, NULL) == CURLM_OK);
        return CURLE_OUT_OF_MEMORY;
}

int http_client_do(struct http_client *client, const struct http_call_options *o,
                struct http_result *ret) {
        struct http_call_options options = *o;
        struct http_call *c;
        int r;

        options.on_done = on_done_sync;
        r = call_new(client, &options, &c);
        if (r < 0)
                return r;
        /* on_data gets the caller's userdata, on_done ours: the call is finished here. */
        CURLcode code = perform(client, c);
        *ret = (struct http_result){0};
        c->options.userdata = ret;
        call_finish(c, code);
        return ret->error;
}

void http_result_done(struct http_result *r) {
        free((char *)r->error_text);
        free((char *)r->content_type);
        free((char *)r->body);
        strv_free((char **)r->warnings);
        *r = (struct http_result){0};
}
