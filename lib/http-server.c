/* The HTTP/1.1 server: libmicrohttpd without threads, its epoll descriptor watched by sd-event.
 * libmicrohttpd 0.9.75 acts only inside MHD_run(): it must run after every MHD_resume_connection(),
 * and after its own timeout. It does not look at suspended connections, so a request that waits for
 * its answer (and every stream) watches the socket for the client's disconnect.
 * TLS credentials are set per connection, before the handshake, so that certificates rotate. */
#include "lib/http-server-internal.h"

#include <sys/un.h>

enum {
        LOOK_US = 250 * 1000, /* most requests have their answer sooner */
        BODY_SIZE_MAX_DEFAULT = 3 << 20,
        IDLE_TIMEOUT_DEFAULT_S = 75,
        CONNECTIONS_MAX_DEFAULT = 10000,
        FRESH_MAX = 4, /* handshakes that begin in one turn of the loop */
        BACKOFF_MIN_US = 1000,
        BACKOFF_MAX_US = 100000,
};

static void run_in(struct http_server *s, uint64_t us) {
        (void)sd_event_source_set_time_relative(s->timer, us);
        (void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static void server_run(struct http_server *s) {
        uint64_t before = s->progress;
        MHD_UNSIGNED_LONG_LONG timeout_ms;

        if (s->running)
                return;
        s->running = true;
        s->fresh = 0;
        (void)MHD_run(s->mhd);
        s->running = false;
        tls_transports_send(&s->waiting);
        http_streams_tell_drained(s);
        http_upgrades_tell_open(s);
        if (s->waiting) { /* the kernel has no memory */
                run_in(s, BACKOFF_MAX_US);
                return;
        }
        if (MHD_get_timeout(s->mhd, &timeout_ms) != MHD_YES) {
                (void)sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
                return;
        }
        if (timeout_ms > 0)
                run_in(s, timeout_ms * 1000);
        else if (s->progress != before || !s->tls)
                http_server_run_soon(s);
        else {
                /* libmicrohttpd asks to be run at once for as long as a TLS handshake waits for the
                 * client. Data from the client wakes us anyway. */
                s->backoff_us = s->backoff_us ? MIN(2 * s->backoff_us, (uint64_t)BACKOFF_MAX_US)
                                              : BACKOFF_MIN_US;
                run_in(s, s->backoff_us);
                return;
        }
        s->backoff_us = 0;
}

void http_server_run_fresh(struct http_server *s) {
        if (++s->fresh >= FRESH_MAX)
                server_run(s);
        else
                http_server_run_soon(s);
}

void http_server_run_soon(struct http_server *s) {
        loop_turn_ask(s->run_turn);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        server_run(userdata);
        return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        server_run(userdata);
        return 0;
}

static void on_run_turn(void *userdata) {
        server_run(userdata);
}

/* ---- the client's end ---- */

static void request_gone(struct http_request *r) {
        struct http_stream *stream = r->stream;

        r->hangup = sd_event_source_disable_unref(r->hangup);
        if (r->state == REQUEST_WAITING) {
                r->state = REQUEST_GONE;
                if (r->on_gone)
                        r->on_gone(r, r->on_gone_userdata);
                MHD_resume_connection(r->mhd);
        } else if (stream && !stream->aborted) {
                /* The reader then ends the connection; that frees the stream and notifies the
                 * program.
                 */
                stream->aborted = true;
                if (stream->suspended) {
                        stream->suspended = false;
                        MHD_resume_connection(r->mhd);
                }
        } else
                return;
        http_server_run_soon(r->server);
}

static int on_hangup(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct http_request *r = userdata;

        if (revents == EPOLLOUT && r->stream)
                http_stream_unblock(r->stream);
        else
                request_gone(r);
        return 0;
}

int http_request_watch(struct http_request *r) {
        return sd_event_add_io(
                        r->server->event, &r->hangup, r->connection->fd, EPOLLRDHUP, on_hangup, r);
}

/* The requests that came since the last look, the newest first. */
static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
        struct http_server *s = userdata;

        s->looking = false;
        for (struct http_request *r = s->requests; r && !r->seen; r = r->next) {
                r->seen = true;
                if (r->state == REQUEST_WAITING && !r->hangup)
                        (void)http_request_watch(r);
        }
        return 0;
}

/* Watches the client of a request that waits, but not at once: a watch costs more than most of the
 * waiting. */
static int watch_later(struct http_request *r) {
        struct http_server *s = r->server;

        if (r->seen)
                return http_request_watch(r);
        if (s->looking)
                return 0;
        s->looking = sd_event_source_set_time_relative(s->look, LOOK_US) >= 0 &&
                     sd_event_source_set_enabled(s->look, SD_EVENT_ONESHOT) >= 0;
        return s->looking ? 0 : -ENOMEM;
}

/* ---- requests ---- */

static void *on_target(void *userdata, const char *target, struct MHD_Connection *mhd) {
        struct http_server *s = userdata;
        struct http_request *request = calloc(1, sizeof(*request));

        if (!request)
                return NULL;
        request->server = s;
        request->mhd = mhd;
        request->link = &s->requests;
        request->next = s->requests;
        if (request->next)
                request->next->link = &request->next;
        s->requests = request;
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        request->carrier = info ? info->socket_context : NULL;
        if (request->carrier) {
                http_request_end(request->carrier->request);
                request->carrier->request = request;
        }
        int r = http_request_parse_target(request, strempty(target));
        if (r == -E2BIG)
                request->too_large = true;
        else if (r < 0) {
                http_request_end(request);
                return NULL;
        }
        return request;
}

static void on_completed(void *userdata, struct MHD_Connection *mhd, void **request,
                enum MHD_RequestTerminationCode code) {
        struct http_request *r = TAKE_PTR(*request);

        if (r && r->state == REQUEST_WAITING && r->on_gone)
                r->on_gone(r, r->on_gone_userdata);
        if (r && r->connection)
                http_limits_answered(r->connection);
        http_request_end(r);
}

static enum MHD_Result queue_answer(struct http_request *r) {
        return MHD_queue_response(r->mhd, r->code, r->response);
}

static enum MHD_Result queue_refusal(struct http_request *r) {
        return r->state == REQUEST_ANSWERED ? queue_answer(r) : MHD_NO;
}

static enum MHD_Result refuse(struct http_request *r, int code, const char *why) {
        http_request_refuse(r, code, why);
        return queue_refusal(r);
}

static enum MHD_Result refuse_size(struct http_request *r) {
        http_request_refuse_size(r);
        return queue_refusal(r);
}

static enum MHD_Result refuse_busy(struct http_request *r) {
        http_request_refuse_busy(r);
        return queue_refusal(r);
}

static enum MHD_Result handle(struct http_request *r);

/* The first call for a request: headers only. Bodies that can be refused now are never read. */
static enum MHD_Result begin_request(
                struct http_request *r, const char *method, const char *version) {
        struct http_server *s = r->server;
        const char *length = http_request_header(r, "Content-Length");
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        uint64_t n = 0;

        r->connection = info ? info->socket_context : NULL;
        r->method = method;
        r->http11 = streq(version, "HTTP/1.1");
        if (!r->connection)
                return MHD_NO;
        r->connection->transport.gathering = &s->running;
        if (r->too_large)
                return refuse(r, 414, "the request has too many query parameters");
        if (length && parse_u64(length, &n) < 0)
                return refuse(r, 400, "the Content-Length header is not a number");
        if (!s->options.admit)
                http_limits_trust(r->connection);
        else
                r->drop = s->options.admit(r, s->options.userdata) == HTTP_DROP_BODY;
        if (!length || n == 0)
                return MHD_YES;
        r->too_large = !r->drop && n > s->options.body_size_max;
        r->busy = !r->drop && !r->too_large && http_limits_reserve(r, (size_t)n) < 0;
        if (!r->drop && !r->too_large && !r->busy)
                return MHD_YES;
        if (!http_request_header(r, "Expect") && n <= http_request_discard_max(r))
                return MHD_YES;
        if (!r->drop)
                return r->busy ? refuse_busy(r) : refuse_size(r);
        (void)http_response_header(r, "Connection", "close");
        return handle(r);
}

static enum MHD_Result receive(struct http_request *r, const char *data, size_t n) {
        if (http_request_keep(r, data, n) < 0)
                return MHD_NO;
        return r->discarded > http_request_discard_max(r) ? MHD_NO : MHD_YES;
}

static enum MHD_Result handle(struct http_request *r) {
        struct http_server *s = r->server;

        http_limits_received(r);
        if (r->too_large)
                return refuse_size(r);
        if (r->busy)
                return refuse_busy(r);
        r->state = REQUEST_HANDLING;
        s->options.handler(r, s->options.userdata);
        if (r->state == REQUEST_ANSWERED)
                return queue_answer(r);
        if (r->state == REQUEST_GONE || watch_later(r) < 0) {
                if (r->state != REQUEST_GONE && r->on_gone)
                        r->on_gone(r, r->on_gone_userdata);
                r->state = REQUEST_GONE;
                return MHD_NO;
        }
        r->state = REQUEST_WAITING;
        MHD_suspend_connection(r->mhd);
        return MHD_YES;
}

static enum MHD_Result on_access(void *userdata, struct MHD_Connection *mhd, const char *url,
                const char *method, const char *version, const char *data, size_t *size,
                void **request) {
        struct http_request *r = *request;
        enum MHD_Result result;

        ((struct http_server *)userdata)->progress++;
        if (!r || (r->server->stopping && r->state != REQUEST_ANSWERED))
                return MHD_NO;
        if (!r->connection)
                return begin_request(r, method, version);
        if (*size > 0) {
                result = receive(r, data, *size);
                *size = 0;
                return result;
        }
        switch (r->state) {
        case REQUEST_RECEIVING:
                return handle(r);
        case REQUEST_ANSWERED:
                return queue_answer(r);
        default:
                return MHD_NO;
        }
}

/* ---- connections ---- */

static void connection_started(struct http_server *s, struct MHD_Connection *mhd, void **context) {
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct http_connection *c = calloc(1, sizeof(*c));

        if (!c)
                return; /* requests on it are refused */
        c->server = s;
        c->fd = info->connect_fd;
        net_tune(c->fd);
        http_limits_begin(c);
        *context = c;
        if (!s->tls)
                return;
        (void)tls_context_refresh(&s->tls);
        c->tls = tls_context_ref(s->tls);
        info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        c->transport = (struct tls_transport){.fd = c->fd,
                        .bytes_moved = &s->progress,
                        .gathering = &s->running,
                        .waiting = &s->waiting,
                        .spares = &s->spares};
        (void)tls_context_attach(c->tls, info->tls_session, &c->transport);
}

static void connection_closed(void **context) {
        struct http_connection *c = TAKE_PTR(*context);

        if (!c)
                return;
        /* libmicrohttpd 0.9.75 forgets a request whose query does not fit into its memory. */
        http_request_end(c->request);
        http_limits_end(c);
        tls_transport_end(&c->transport);
        tls_peer_done(&c->certificate);
        tls_peer_done(&c->signer);
        tls_context_free(c->tls);
        free(c);
}

static void on_connection(void *userdata, struct MHD_Connection *mhd, void **context,
                enum MHD_ConnectionNotificationCode code) {
        if (code == MHD_CONNECTION_NOTIFY_STARTED)
                connection_started(userdata, mhd, context);
        else
                connection_closed(context);
}

static int read_certificate(const struct http_request *r) {
        struct http_connection *c = r->connection;
        const union MHD_ConnectionInfo *info;

        if (c->h2)
                return h2_connection_peer(c->h2, &c->certificate);
        info = MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        return info ? tls_peer_read(&c->certificate, c->tls, info->tls_session) : -ENOTCONN;
}

const struct http_peer *http_request_peer(const struct http_request *r) {
        struct http_connection *c = r->connection;
        struct http_peer *peer = &c->peer;

        if (c->peer_known)
                return peer;
        c->peer_known = true;
        if (r->server->unix_path) {
                struct ucred cred = {0};
                socklen_t n = sizeof(cred);

                peer->address = "@unix";
                if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0) {
                        peer->unix_socket = true;
                        peer->uid = cred.uid;
                        peer->pid = cred.pid;
                }
                return peer;
        }
        peer->address = net_peer_name(c->fd, c->address);
        if (!c->tls)
                return peer;
        if (read_certificate(r) < 0)
                return peer;
        peer->certificate = c->certificate.verified;
        peer->certificate_problem = c->certificate.problem;
        peer->cn = c->certificate.cn;
        peer->organizations = c->certificate.organizations;
        peer->fingerprint = c->certificate.fingerprint;
        peer->not_after_s = c->certificate.not_after_s;
        return peer;
}

static int read_signer(const struct http_request *r, const char *ca_pem) {
        struct http_connection *c = r->connection;
        const union MHD_ConnectionInfo *info;

        if (c->h2)
                return h2_connection_signed_by(c->h2, ca_pem, &c->signer);
        info = MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        return info ? tls_peer_signed_by(&c->signer, info->tls_session, ca_pem) : 0;
}

/* A chain of authorities may end before the certificate does: it is verified again so often. */
enum { SIGNER_US = 60 * 1000 * 1000 };

int http_request_signed_by(const struct http_request *r, const char *ca_pem, uint64_t generation,
                const char **ret_cn) {
        struct http_connection *c = r->connection;
        const uint64_t now_us = now_mono_us();

        assert(generation > 0);
        if (!c->tls)
                return 0;
        if (c->signer_generation != generation || c->signer_us + SIGNER_US <= now_us) {
                tls_peer_done(&c->signer);
                if (read_signer(r, ca_pem) < 0)
                        return -ENOMEM;
                c->signer_generation = generation;
                c->signer_us = now_us;
        }
        if (!c->signer.verified || c->signer.not_after_s <= now_wall_us() / 1000000)
                return 0;
        *ret_cn = c->signer.cn;
        return 1;
}

/* ---- the server ---- */

static size_t keep_escapes(void *userdata, struct MHD_Connection *mhd, char *s) {
        return strlen(s);
}

static void on_mhd_log(void *userdata, const char *format, va_list ap) {
        /* Its messages concern single connections; the program sees their end. */
}

static int start_mhd(struct http_server *s, const char *cert, const char *key) {
        const bool own_accept = s->options.guests_only || s->options.http2;
        const unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE |
                               MHD_USE_ERROR_LOG | (s->tls ? MHD_USE_TLS : 0) |
                               (own_accept ? MHD_USE_NO_LISTEN_SOCKET : 0);
        struct MHD_OptionItem more[] = {
                        {own_accept ? MHD_OPTION_END : MHD_OPTION_LISTEN_SOCKET, s->listen_fd,
                                        NULL},
                        {MHD_OPTION_END, 0, NULL},
        };
        struct MHD_OptionItem tls[] = {
                        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)cert},
                        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)key},
                        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)TLS_PRIORITIES},
                        {MHD_OPTION_END, 0, NULL},
        };

        s->mhd = MHD_start_daemon(flags, 0, NULL, NULL, on_access, s, MHD_OPTION_EXTERNAL_LOGGER,
                        on_mhd_log, NULL, MHD_OPTION_ARRAY, more, MHD_OPTION_CONNECTION_TIMEOUT,
                        s->options.idle_timeout_s, MHD_OPTION_CONNECTION_LIMIT,
                        s->options.connections_max, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                        s->unix_path || s->options.guests_only
                                        ? 0
                                        : (s->options.connections_max + 1) / 2,
                        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
                        on_connection, s, MHD_OPTION_URI_LOG_CALLBACK, on_target, s,
                        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_ARRAY,
                        s->tls ? tls : tls + ELEMENTS(tls) - 1, MHD_OPTION_END);
        if (!own_accept)
                s->listen_fd = -EBADF; /* libmicrohttpd's now, also when it failed */
        return s->mhd ? 0 : -EIO;
}

static int watch_mhd(struct http_server *s) {
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD);
        int r;

        if (!info)
                return -EIO;
        r = sd_event_add_io(s->event, &s->io, info->epoll_fd, EPOLLIN, on_io, s);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(s->event, &s->timer, CLOCK_MONOTONIC, 0, 1000, on_time, s);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(s->event, &s->look, CLOCK_MONOTONIC, 0, 0, on_look, s);
        return r < 0 ? r : sd_event_source_set_enabled(s->look, SD_EVENT_OFF);
}

static int server_listen(struct http_server *s, struct problem *p) {
        const struct http_server_options *o = &s->options;
        int r;

        if (o->guests_only)
                return 0;
        if (o->unix_path)
                r = net_listen_unix(&s->listen_fd, o->unix_path, o->unix_mode, p);
        else
                r = net_listen_tcp(&s->listen_fd, o->host, o->port, p);
        if (r < 0)
                return r;
        if (o->unix_path) {
                s->unix_path = strdup(o->unix_path);
                return s->unix_path ? 0 : -ENOMEM;
        }
        s->port = net_port(s->listen_fd);
        return 0;
}

static int start_and_watch(struct http_server *s) {
        int r = start_mhd(s, s->options.tls_cert, s->options.tls_key);

        if (r < 0)
                return r;
        r = watch_mhd(s);
        if (r < 0 || !s->options.http2)
                return r;
        r = http2_server_init(s);
        return r < 0 ? r : http_accept_start(s);
}

static int server_start(struct http_server *s, struct problem *p) {
        const struct http_server_options *o = &s->options;
        int r;

        if (o->tls_cert) {
                const struct tls_files pem = {
                                .cert = o->tls_cert, .key = o->tls_key, .ca = o->tls_client_ca};

                r = o->tls_files ? tls_context_new(&s->tls, o->tls_files, true, p)
                                 : tls_context_new_pem(&s->tls, &pem, true, p);
                if (r < 0)
                        return r;
                if (o->tls_client_ca) {
                        s->client_ca = strdup(o->tls_client_ca);
                        if (!s->client_ca)
                                return -ENOMEM;
                }
        }
        r = server_listen(s, p);
        if (r < 0)
                return r;
        r = start_and_watch(s);
        if (r < 0)
                return problem_set(
                                p, -r, 0, NULL, "the HTTP server cannot start: %s", strerror(-r));
        return 0;
}

int http_server_new(struct http_server **ret, sd_event *event,
                const struct http_server_options *options, struct problem *p) {
        _cleanup_(http_server_freep) struct http_server *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        TAILQ_INIT(&s->opened);
        TAILQ_INIT(&s->to_send);
        TAILQ_INIT(&s->hellos);
        s->event = sd_event_ref(event);
        s->listen_fd = -EBADF;
        s->options = *options;
        s->options.http2 = options->http2 && options->tls_cert && !options->guests_only;
        if (s->options.body_size_max == 0)
                s->options.body_size_max = BODY_SIZE_MAX_DEFAULT;
        if (s->options.idle_timeout_s == 0)
                s->options.idle_timeout_s = IDLE_TIMEOUT_DEFAULT_S;
        if (s->options.connections_max == 0)
                s->options.connections_max = CONNECTIONS_MAX_DEFAULT;
        r = loop_turn_new(&s->run_turn, event, SD_EVENT_PRIORITY_NORMAL, on_run_turn, s);
        if (r < 0)
                return r;
        r = http_stream_send_init(s);
        if (r < 0)
                return r;
        r = http_limits_init(s);
        if (r < 0)
                return r;
        r = server_start(s, p);
        if (r < 0)
                return r;
        /* Borrowed from the caller for this call only. */
        s->options.host = s->options.unix_path = NULL;
        s->options.tls_cert = s->options.tls_key = s->options.tls_client_ca = NULL;
        s->options.tls_files = NULL;
        *ret = TAKE_PTR(s);
        return 0;
}

struct http_server *http_server_free(struct http_server *s) {
        if (!s)
                return NULL;
        s->stopping = true;
        http_accept_stop(s);
        http2_server_done(s);
        if (s->mhd) {
                /* libmicrohttpd ends the program if it is stopped while a connection is suspended.
                 */
                struct http_request *next;
                for (struct http_request *r = s->requests; r; r = next) {
                        next = r->next;
                        http_upgrade_stop(r->upgrade);
                        request_gone(r);
                }
                s->running = true;
                (void)MHD_run(s->mhd);
                MHD_stop_daemon(s->mhd); /* closes its listening socket too */
        }
        safe_close(s->listen_fd);
        assert(!s->requests);
        if (s->unix_path)
                (void)unlink(s->unix_path);
        sd_event_source_disable_unref(s->io);
        sd_event_source_disable_unref(s->timer);
        loop_turn_free(s->run_turn);
        sd_event_source_disable_unref(s->look);
        loop_turn_free(s->send_turn);
        http_limits_done(s);
        tls_spares_done(&s->spares);
        sd_event_unref(s->event);
        tls_context_free(s->tls);
        free(s->client_ca);
        free(s->unix_path);
        return mfree(s);
}

void http_request_trust(struct http_request *r, const char *account) {
        http_limits_trust(r->connection);
        (void)http_limits_account(r, account);
}

size_t http_server_strangers(const struct http_server *s) {
        return s->stranger_count;
}

uint64_t http_server_ended(const struct http_server *s) {
        return s->ended;
}

size_t http_server_bodies(const struct http_server *s) {
        return s->bodies;
}

size_t http_server_http2(const struct http_server *s) {
        return s->h2_count;
}

uint16_t http_server_port(const struct http_server *s) {
        return s->port;
}

int http_server_add(struct http_server *s, int fd) {
        const struct sockaddr_un address = {.sun_family = AF_UNIX};

        /* It closes the socket also where it refuses. */
        if (MHD_add_connection(s->mhd, fd, (const struct sockaddr *)&address, sizeof(address)) !=
                        MHD_YES)
                return -ECONNREFUSED;
        http_server_run_soon(s);
        return 0;
}

void http_server_stop_accepting(struct http_server *s) {
        s->draining = true;
        if (s->options.http2) {
                http_accept_stop(s);
                http2_server_go_away(s);
        } else if (!s->options.guests_only)
                safe_close(MHD_quiesce_daemon(s->mhd));
}

int http_server_set_certificate(struct http_server *s, const char *tls_cert, const char *tls_key) {
        const struct tls_files pem = {.cert = tls_cert, .key = tls_key, .ca = s->client_ca};
        _cleanup_problem_ struct problem p = {0};
        struct tls_context *tls;
        int r;

        if (!s->tls)
                return -EOPNOTSUPP;
        r = tls_context_new_pem(&tls, &pem, true, &p);
        if (r < 0)
                return r;
        tls_context_free(s->tls); /* connections under way hold their own reference */
        s->tls = tls;
        return 0;
}
