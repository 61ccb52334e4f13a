/* Probes go to the pod's address from the host, as users of Kubernetes know it; an exec probe runs
 * a command beside the container. At most one check of a probe is under way; each ends by its
 * timeout. The certificates of HTTPS servers are not verified: a probe asks whether a server
 * answers, not which one. */
#include "nodeagent/pod/probes.h"

#include <sys/socket.h>

#include "lib/address.h"
#include "lib/buf.h"
#include "lib/log.h"
#include "lib/net.h"
#include "lib/random.h"
#include "lib/tls.h"
#include "nodeagent/pod/probe-grpc.h"

enum { ANSWER_SIZE_MAX = 4096, EAGER_US = 250000, EXEC_EXTRA_US = 5000000 };

struct probe {
        sd_event *event;
        struct probe_options options;
        json_t *spec;
        json_t *container;
        char address[ADDRESS_TEXT_SIZE];
        uint64_t period_us, timeout_us;
        uint64_t eager_us; /* until the first pass: the next, sooner check; not counted when it
                              fails */
        struct probe_counter counter;
        sd_event_source *timer;    /* next check */
        sd_event_source *deadline; /* of the check under way */
        sd_event_source *io;
        int fd;
        bool busy, exec_busy;
        struct probe_grpc *grpc;
        char *request;
        size_t sent;
        bool connected;
        struct buf answer;
        struct tls_stream *tls;
        bool handshaken;
};

uint16_t probe_port(const json_t *port, const json_t *container) {
        const json_t *v;
        uint16_t n;
        size_t i;

        if (json_is_integer(port)) {
                json_int_t number = json_integer_value(port);
                return number > 0 && number < 65536 ? (uint16_t)number : 0;
        }
        if (!json_is_string(port))
                return 0;
        if (parse_port(json_string_value(port), &n) >= 0)
                return n;
        json_array_foreach (json_at(container, "ports"), i, v)
                if (streq(json_str_or(v, "name", ""), json_string_value(port)))
                        return (uint16_t)json_int_or(v, "containerPort", 0);
        return 0;
}

char *probe_http_request(const json_t *http_get, const char *address, uint16_t port) {
        _cleanup_buf_ struct buf b = {0};
        const char *path = json_str_or(http_get, "path", "/"), *host = NULL;
        const json_t *h;
        size_t i;
        bool agent = false, accept_ = false;

        json_array_foreach (json_at(http_get, "httpHeaders"), i, h)
                if (strcaseeq(json_str_or(h, "name", ""), "Host"))
                        host = json_str(h, "value");
        buf_printf(&b, "GET %s%s HTTP/1.1\r\n", *path == '/' ? "" : "/", path);
        if (host)
                buf_printf(&b, "Host: %s\r\n", host);
        else
                buf_printf(&b, strchr(address, ':') ? "Host: [%s]:%u\r\n" : "Host: %s:%u\r\n",
                                address, port);
        json_array_foreach (json_at(http_get, "httpHeaders"), i, h) {
                const char *name = json_str_or(h, "name", "");
                if (strcaseeq(name, "Host"))
                        continue;
                agent |= strcaseeq(name, "User-Agent");
                accept_ |= strcaseeq(name, "Accept");
                buf_printf(&b, "%s: %s\r\n", name, json_str_or(h, "value", ""));
        }
        if (!agent)
                buf_append_str(&b, "User-Agent: kube-probe/keelson\r\n");
        if (!accept_)
                buf_append_str(&b, "Accept: */*\r\n");
        buf_append_str(&b, "Connection: close\r\n\r\n");
        return buf_take(&b);
}

int probe_http_status(const char *data, size_t n) {
        if (strncmp(data, "HTTP/", MIN(n, (size_t)5)) != 0)
                return -EBADMSG;
        if (n < 12)
                return 0;
        if (data[8] != ' ')
                return -EBADMSG;
        for (int i = 9; i < 12; i++)
                if (data[i] < '0' || data[i] > '9')
                        return -EBADMSG;
        return (data[9] - '0') * 100 + (data[10] - '0') * 10 + data[11] - '0';
}

int probe_count(struct probe_counter *c, bool passed) {
        if (passed) {
                c->failures = 0;
                c->successes++;
                if (c->passed || c->successes < c->success_needed)
                        return 0;
                c->passed = true;
                return 1;
        }
        c->successes = 0;
        c->failures++;
        if (c->failures < c->failure_needed)
                return 0;
        /* A readiness verdict that is failed already changes nothing; liveness is reported again.
         */
        c->failures = c->failure_needed;
        c->passed = false;
        return 1;
}

static void check_end(struct probe *p) {
        if (p->exec_busy)
                p->options.exec_cancel(p, p->options.userdata);
        p->exec_busy = p->busy = p->connected = p->handshaken = false;
        p->grpc = probe_grpc_free(p->grpc);
        p->io = sd_event_source_disable_unref(p->io);
        p->deadline = sd_event_source_disable_unref(p->deadline);
        p->tls = tls_stream_free(p->tls);
        p->fd = safe_close(p->fd);
        p->request = mfree(p->request);
        buf_reset(&p->answer);
        p->sent = 0;
}

static void verdict(struct probe *p, bool passed, const char *message) {
        bool before = p->counter.passed;
        int due;

        check_end(p);
        if (p->options.once) {
                p->options.on_verdict(p, passed, message, p->options.userdata);
                return;
        }
        if (!passed && p->eager_us < p->period_us)
                return;
        if (passed)
                p->eager_us = p->period_us;
        if (p->options.on_check)
                p->options.on_check(p, passed, p->options.userdata);
        if (!passed && p->options.on_failure)
                p->options.on_failure(p, message, p->options.userdata);
        due = probe_count(&p->counter, passed);
        if (due && (passed != before || !passed))
                p->options.on_verdict(p, passed, message, p->options.userdata);
}

void probe_exec_done(struct probe *p, bool passed, const char *message) {
        p->exec_busy = false;
        verdict(p, passed, message);
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata) {
        struct probe *p = userdata;
        char message[160];

        /* As Kubernetes says it. */
        if (p->request)
                snprintf(message, sizeof(message),
                                "Get: context deadline exceeded (Client.Timeout exceeded while "
                                "awaiting headers)");
        else if (p->fd >= 0)
                snprintf(message, sizeof(message), "dial tcp %s: i/o timeout", p->address);
        else
                snprintf(message, sizeof(message), "timed out");
        verdict(p, false, message);
        return 0;
}

static ssize_t stream_write(struct probe *p, const char *data, size_t n) {
        ssize_t w;

        if (!p->tls) {
                w = send(p->fd, data, n, MSG_NOSIGNAL);
                return w < 0 ? -errno : w;
        }
        return tls_stream_write(p->tls, data, n);
}

static ssize_t stream_read(struct probe *p, char *data, size_t n) {
        ssize_t r;

        if (!p->tls) {
                r = recv(p->fd, data, n, 0);
                return r < 0 ? -errno : r;
        }
        return tls_stream_read(p->tls, data, n);
}

/* 1 when done, 0 to wait. */
static int handshake(struct probe *p) {
        bool want_write = false;
        int r;

        if (!p->tls || p->handshaken)
                return 1;
        r = tls_stream_handshake(p->tls, &want_write);
        if (r == -EAGAIN) {
                sd_event_source_set_io_events(p->io, want_write ? EPOLLOUT : EPOLLIN);
                return 0;
        }
        if (r < 0)
                return r;
        p->handshaken = true;
        return 1;
}

/* Reads the bytes that have arrived. 1 when the verdict was given. */
static int read_answer(struct probe *p) {
        char data[1024], message[128];
        ssize_t n = stream_read(p, data, sizeof(data));
        int code;

        if (n == -EAGAIN)
                return 0;
        if (n > 0)
                buf_append(&p->answer, data, (size_t)n);
        code = p->answer.size > 0 ? probe_http_status(p->answer.data, p->answer.size)
               : n <= 0           ? -EBADMSG
                                  : 0;
        if (code == 0 && (n <= 0 || p->answer.size > ANSWER_SIZE_MAX))
                code = -EBADMSG;
        if (code == 0)
                return 0;
        if (code < 0)
                snprintf(message, sizeof(message), "the answer is not HTTP");
        else
                snprintf(message, sizeof(message), "HTTP probe failed with statuscode: %d", code);
        verdict(p, code >= 200 && code < 400, message);
        return 1;
}

static int on_io(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        struct probe *p = userdata;
        char message[160];

        if (!p->connected) {
                int r = 0;
                socklen_t n = sizeof(r);

                (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &r, &n);
                if (r != 0) {
                        snprintf(message, sizeof(message), "dial tcp %s: connect: %s", p->address,
                                        strerror(r));
                        verdict(p, false, message);
                        return 0;
                }
                p->connected = true;
                if (!p->request) {
                        verdict(p, true, "");
                        return 0;
                }
        }
        switch (handshake(p)) {
        case 0:
                return 0;
        case 1:
                break;
        default:
                verdict(p, false, "the TLS handshake failed");
                return 0;
        }
        while (p->sent < strlen(p->request)) {
                ssize_t w = stream_write(p, p->request + p->sent, strlen(p->request) - p->sent);
                if (w == -EAGAIN) {
                        sd_event_source_set_io_events(p->io, EPOLLOUT);
                        return 0;
                }
                if (w < 0) {
                        verdict(p, false, "the connection was closed");
                        return 0;
                }
                p->sent += (size_t)w;
        }
        sd_event_source_set_io_events(p->io, EPOLLIN);
        (void)read_answer(p);
        return 0;
}

static int start_tls(struct probe *p) {
        _cleanup_(tls_context_freep) struct tls_context *any = NULL;
        int r = tls_context_new_unchecked(&any);

        if (r < 0)
                return r;
        return tls_stream_new(&p->tls, any, p->fd, NULL, NULL);
}

static int start_socket(struct probe *p, const json_t *check, bool http) {
        const char *host = json_str_or(check, "host", p->address);
        uint16_t port = probe_port(json_at(check, "port"), p->container);
        int r;

        if (port == 0)
                return -EINVAL;
        if (http && !(p->request = probe_http_request(check, host, port)))
                return -ENOMEM;
        r = net_connect_tcp_start(&p->fd, host, port);
        if (r < 0)
                return r;
        if (http && strcaseeq(json_str_or(check, "scheme", "HTTP"), "HTTPS")) {
                r = start_tls(p);
                if (r < 0)
                        return r;
        }
        return sd_event_add_io(p->event, &p->io, p->fd, EPOLLOUT, on_io, p);
}

static int set_deadline(struct probe *p, uint64_t after_us) {
        return sd_event_add_time_relative(p->event, &p->deadline, CLOCK_MONOTONIC, after_us,
                        /* accuracy= */ 0, on_deadline, p);
}

static int start_exec(struct probe *p, const json_t *command) {
        int r = p->options.exec(p, command, p->timeout_us, p->options.userdata);

        if (r < 0)
                return r;
        p->exec_busy = true;
        /* The command's own timeout ends it; starting it takes a moment on top. */
        return set_deadline(p, p->timeout_us + EXEC_EXTRA_US);
}

static void on_grpc_done(bool passed, const char *message, void *userdata) {
        verdict(userdata, passed, message);
}

/* The call's own timeout ends it. */
static int start_grpc(struct probe *p, const json_t *check) {
        struct probe_grpc_options o = {.address = p->address,
                        .port = probe_port(json_at(check, "port"), p->container),
                        .service = json_str_or(check, "service", ""),
                        .timeout_us = p->timeout_us,
                        .done = on_grpc_done,
                        .userdata = p};

        return o.port > 0 ? probe_grpc_start(&p->grpc, p->event, &o) : -EINVAL;
}

static int start_check(struct probe *p) {
        const json_t *http = json_at(p->spec, "httpGet"), *tcp = json_at(p->spec, "tcpSocket"),
                     *command = json_at(p->spec, "exec.command"), *grpc = json_at(p->spec, "grpc");
        int r;

        if (grpc)
                return start_grpc(p, grpc);
        if (!http && !tcp)
                return command ? start_exec(p, command) : -EOPNOTSUPP;
        r = start_socket(p, http ? http : tcp, http != NULL);
        return r < 0 ? r : set_deadline(p, p->timeout_us);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct probe *p = userdata;
        int r;

        (void)sd_event_source_set_time_relative(s, MIN(p->eager_us, p->period_us));
        if (p->eager_us < p->period_us)
                p->eager_us *= 2;
        (void)sd_event_source_set_enabled(s, p->options.once ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        if (p->busy)
                return 0;
        p->busy = true;
        r = start_check(p);
        if (r == -EOPNOTSUPP)
                verdict(p, false,
                                "this kind of probe is not supported; use httpGet, tcpSocket, "
                                "grpc or exec");
        else if (r < 0)
                verdict(p, false, strerror(-r));
        return 0;
}

int probe_new(struct probe **ret, sd_event *event, const struct probe_options *options) {
        _cleanup_(probe_freep) struct probe *p = calloc(1, sizeof(*p));
        uint64_t delay_us;

        if (!p)
                return -ENOMEM;
        p->event = sd_event_ref(event);
        p->fd = -EBADF;
        p->options = *options;
        p->spec = json_incref((json_t *)options->spec);
        p->container = json_incref((json_t *)options->container);
        snprintf(p->address, sizeof(p->address), "%s", options->address);
        p->period_us = (uint64_t)MAX(json_int_or(p->spec, "periodSeconds", 10), 1) * 1000000;
        p->timeout_us = (uint64_t)MAX(json_int_or(p->spec, "timeoutSeconds", 1), 1) * 1000000;
        p->counter.success_needed = (unsigned)MAX(json_int_or(p->spec, "successThreshold", 1), 1);
        p->counter.failure_needed = (unsigned)MAX(json_int_or(p->spec, "failureThreshold", 3), 1);
        p->counter.passed = options->initial;
        /* A program that is ready after half a second should not wait for a whole period. */
        p->eager_us = options->initial ? p->period_us : EAGER_US;
        /* A program needs a moment before it listens; many pods must not be probed in step. */
        delay_us = (uint64_t)MAX(json_int_or(p->spec, "initialDelaySeconds", 0), 0) * 1000000 +
                   100000 + random_below(100000);
        if (options->once)
                delay_us = 0;
        if (sd_event_add_time_relative(
                            event, &p->timer, CLOCK_MONOTONIC, delay_us, 0, on_timer, p) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(p);
        return 0;
}

struct probe *probe_free(struct probe *p) {
        if (!p)
                return NULL;
        check_end(p);
        sd_event_source_disable_unref(p->timer);
        sd_event_unref(p->event);
        buf_done(&p->answer);
        json_decref(p->spec);
        json_decref(p->container);
        free(p);
        return NULL;
}
