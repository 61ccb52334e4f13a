/* GET pods/P/log: the pod's node is asked over SSH (docs/names.md: forced command). libssh blocks,
 * so each log stream has its own thread, at most API_LOG_STREAMS_MAX of them. The thread
 * writes what it gets into a pipe; the loop reads it as fast as the client takes it, and a full
 * pipe slows the thread and with it the node. The thread closes the pipe when it exits: only then
 * are its results read and is it joined. `stop` is the only member that both sides use while it
 * runs. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "kapid/streams/node-target.h"
#include "kapid/verbs/verbs.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum {
        STDERR_MAX = 4096,
        QUEUE_MAX = 4 * 1024 * 1024,
        QUEUE_HIGH = 256 * 1024,
        QUIET_US = 2 * 1000 * 1000, /* a follower of a silent log gets its headers after it */
};

struct node_log {
        struct api *api;
        struct request *request; /* until the answer has begun */
        struct http_stream *stream;
        bool gone; /* no reader is left */
        sd_event_source *io, *quiet;
        int read_fd;
        pthread_t thread;
        /* the thread's */
        int write_fd;
        atomic_bool stop;
        struct node_target node;
        char *command;
        struct problem problem;
        struct buf errors;
        int status;
        int failure;
};

static struct node_log *node_log_free(struct node_log *j) {
        if (!j)
                return NULL;
        sd_event_source_disable_unref(j->io);
        sd_event_source_disable_unref(j->quiet);
        safe_close(j->read_fd);
        safe_close(j->write_fd);
        node_target_done(&j->node);
        free(j->command);
        problem_done(&j->problem);
        buf_done(&j->errors);
        request_unref(j->request);
        return mfree(j);
}
DEFINE_CLEANUP(struct node_log *, node_log_free);

/* --- in the thread --- */

static int on_output(bool is_stderr, const char *data, size_t n, void *userdata) {
        struct node_log *j = userdata;

        if (atomic_load(&j->stop))
                return -ECANCELED;
        if (is_stderr) {
                if (j->errors.size < STDERR_MAX)
                        buf_append(&j->errors, data, MIN(n, STDERR_MAX - j->errors.size));
                return 0;
        }
        while (n > 0) {
                ssize_t k = write(j->write_fd, data, n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                data += k;
                n -= (size_t)k;
        }
        return 0;
}

static int stream_log(struct node_log *j) {
        _cleanup_(ssh_conn_freep) struct ssh_conn *c = NULL;
        int r;

        r = node_target_open(&j->node, &c, &j->problem);
        if (r < 0 || atomic_load(&j->stop))
                return r;
        return ssh_conn_stream(c, j->command, on_output, j, &j->status, &j->problem);
}

static void *run(void *userdata) {
        struct node_log *j = userdata;

        j->failure = stream_log(j);
        j->write_fd = safe_close(j->write_fd);
        return NULL;
}

/* --- in the loop --- */

static void on_stream_gone(struct http_stream *s, void *userdata);

static void on_drained(struct http_stream *s, void *userdata) {
        struct node_log *j = userdata;

        (void)sd_event_source_set_enabled(j->io, SD_EVENT_ON);
}

static void begin_stream(struct node_log *j) {
        if (j->stream || j->gone)
                return;
        j->stream = respond_stream(j->request, "text/plain", QUEUE_MAX, on_stream_gone, j);
        if (j->stream) {
                http_stream_on_drained(j->stream, on_drained, j);
        } else {
                j->gone = true;
                atomic_store(&j->stop, true);
        }
}

static void on_stream_gone(struct http_stream *s, void *userdata) {
        struct node_log *j = userdata;

        j->stream = NULL;
        j->gone = true;
        atomic_store(&j->stop, true);
        /* Later output of the thread is read and dropped, until it ends. */
        (void)sd_event_source_set_enabled(j->io, SD_EVENT_ON);
}

static void refuse(struct node_log *j) {
        _cleanup_problem_ struct problem p = {0};

        if (j->failure < 0)
                problem_set(&p, EIO, 500, "InternalError", "the node's log cannot be read: %s",
                                j->problem.message ? j->problem.message : strerror(-j->failure));
        else
                problem_set(&p, EINVAL, 400, "BadRequest", "%s",
                                j->errors.size ? j->errors.data : "the node refused");
        respond_problem(j->request, &p);
}

/* The pipe has ended, and with it the thread's work. */
static void job_end(struct node_log *j) {
        pthread_join(j->thread, NULL);
        j->api->log_streams--;
        while (j->errors.size > 0 && j->errors.data[j->errors.size - 1] == '\n')
                j->errors.data[--j->errors.size] = 0;
        if (!j->stream && !j->gone && j->request->http) {
                if (j->failure < 0 || j->status != 0)
                        refuse(j);
                else
                        begin_stream(j);
        }
        if (j->stream) {
                if (j->failure < 0) {
                        log_debug_errno(j->failure, "A log stream from %s broke: %s", j->node.host,
                                        strempty(j->problem.message));
                        http_stream_abort(j->stream);
                } else {
                        http_stream_end(j->stream);
                }
        }
        node_log_free(j);
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        struct node_log *j = userdata;
        char data[65536];
        ssize_t n = read(fd, data, sizeof(data));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0) {
                job_end(j);
                return 0;
        }
        if (!j->gone && !j->stream && !j->request->http) {
                j->gone = true;
                atomic_store(&j->stop, true);
        }
        begin_stream(j);
        if (!j->stream)
                return 0;
        if (http_stream_write_copy(j->stream, data, (size_t)n) < 0) {
                http_stream_abort(j->stream);
                on_stream_gone(NULL, j);
        } else if (http_stream_queued(j->stream) > QUEUE_HIGH) {
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        }
        return 0;
}

/* Nothing came yet: a follower sees that it is connected; one that went away is noticed. */
static int on_quiet(sd_event_source *source, uint64_t usec, void *userdata) {
        struct node_log *j = userdata;

        if (!j->request->http && !j->stream) {
                j->gone = true;
                atomic_store(&j->stop, true);
        } else if (!j->stream) {
                (void)sd_event_source_set_time_relative(source, QUIET_US);
                (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        return 0;
}

static int node_log_start(struct node_log *j) {
        sigset_t all, before;
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        j->read_fd = fds[0];
        j->write_fd = fds[1];
        if (fcntl(j->read_fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        r = sd_event_add_io(j->api->event, &j->io, j->read_fd, EPOLLIN, on_readable, j);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(
                        j->api->event, &j->quiet, CLOCK_MONOTONIC, QUIET_US, 0, on_quiet, j);
        if (r < 0)
                return r;
        sigfillset(&all); /* signals are the loop's */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&j->thread, NULL, run, j);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -r;
}

/* --- the request --- */

static int check_state(const json_t *pod, const char *container, bool previous, struct problem *p) {
        const json_t *status = json_named(json_at(pod, "status.containerStatuses"), container);
        const char *waiting = json_str(status, "state.waiting.reason");

        if (isempty(json_str_or(pod, "spec.nodeName", "")))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "pod %s does not have a host assigned", object_name(pod));
        if (previous && status && !json_at(status, "lastState.terminated"))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "previous terminated container \"%s\" in pod \"%s\" not found",
                                container, object_name(pod));
        /* One that crashed and waits for its next start has a log. */
        if (!previous && waiting && !json_at(status, "lastState.terminated") &&
                        json_int_or(status, "restartCount", 0) == 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "container \"%s\" in pod \"%s\" is waiting to start: %s", container,
                                object_name(pod), waiting);
        return 0;
}

static int number(struct request *request, const char *name, int64_t min, int64_t *ret,
                struct problem *p) {
        const char *text = request_query(request, name);

        *ret = -1;
        if (isempty(text))
                return 0;
        if (parse_i64(text, ret) < 0 || *ret < min)
                return problem_set(p, EINVAL, 422, "Invalid",
                                "PodLogOptions \"\" is invalid: %s: Invalid value: \"%.32s\"", name,
                                text);
        return 1;
}

static int make_command(struct request *request, const json_t *pod, const char *container,
                char **ret, struct problem *p) {
        const char *since = request_query(request, "sinceTime");
        int64_t tail, since_s, limit;
        _cleanup_buf_ struct buf b = {0};
        char text[TIMEFMT_SIZE];
        uint64_t us;
        int r;

        r = number(request, "tailLines", 0, &tail, p);
        if (r < 0)
                return r;
        r = number(request, "sinceSeconds", 1, &since_s, p);
        if (r < 0)
                return r;
        r = number(request, "limitBytes", 1, &limit, p);
        if (r < 0)
                return r;
        buf_printf(&b, "logs %s %s %s %s", object_namespace(pod), object_name(pod), object_uid(pod),
                        container);
        if (query_true(request_query(request, "follow")))
                buf_append_str(&b, " follow");
        if (query_true(request_query(request, "previous")))
                buf_append_str(&b, " previous");
        if (query_true(request_query(request, "timestamps")))
                buf_append_str(&b, " timestamps");
        if (tail >= 0)
                buf_printf(&b, " tail=%lld", (long long)tail);
        if (since_s >= 0) {
                buf_printf(&b, " since-time=%s",
                                time_format(request->now_us - MIN((uint64_t)since_s * 1000000,
                                                                              request->now_us),
                                                text));
        } else if (!isempty(since)) {
                if (time_parse(since, &us) < 0)
                        return problem_set(p, EINVAL, 400, "BadRequest",
                                        "sinceTime: \"%.64s\" is not an RFC 3339 time", since);
                buf_printf(&b, " since-time=%s", time_format(us, text));
        }
        if (limit >= 0)
                buf_printf(&b, " limit-bytes=%lld", (long long)limit);
        *ret = buf_take(&b);
        return *ret ? 0 : -ENOMEM;
}

/* The job's arguments. */
static int prepare(struct request *request, struct node_log *j, struct problem *p) {
        _cleanup_json_ json_t *pod = NULL;
        bool previous = query_true(request_query(request, "previous"));
        const char *container = NULL;
        int r;

        r = request_object(request, &pod, p);
        if (r < 0)
                return r;
        r = pod_choose_container(
                        pod, request_query(request, "container"), CONTAINER_ONLY, &container, p);
        if (r < 0)
                return r;
        r = check_state(pod, container, previous, p);
        if (r < 0)
                return r;
        r = make_command(request, pod, container, &j->command, p);
        if (r < 0)
                return r;
        return node_target_of_pod(j->api, pod, &j->node, p);
}

static int start(struct request *request, struct problem *p) {
        _cleanup_(node_log_freep) struct node_log *j = calloc(1, sizeof(*j));
        int r;

        if (!j)
                return -ENOMEM;
        j->read_fd = j->write_fd = -EBADF;
        j->api = request->api;
        j->request = request_ref(request);
        r = prepare(request, j, p);
        if (r < 0)
                return r;
        if (request->api->log_streams >= API_LOG_STREAMS_MAX) {
                problem_set(p, EBUSY, 429, "TooManyRequests",
                                "too many log streams are open at this server");
                p->retry_after_s = 5;
                return -EBUSY;
        }
        r = node_log_start(j);
        if (r < 0)
                return r;
        request->api->log_streams++;
        (void)TAKE_PTR(j);
        return 0;
}

static void log_now(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = start(request, &p);

        if (r < 0)
                respond_error(request, r, &p);
}

void verb_log(struct request *request) {
        request_freshen(request, log_now);
}
