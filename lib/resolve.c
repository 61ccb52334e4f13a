/* getaddrinfo() blocks, for as long as the resolver's timeouts say, so it runs in a detached
 * thread. The thread and the loop share a job with two references; the last one frees it, so that
 * neither waits for the other. The result crosses by an eventfd. */
#include "lib/resolve.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

struct job {
        atomic_uint refs;
        char *host;
        char port[8];
        int fd;      /* eventfd: written once the result is there */
        int outcome; /* of getaddrinfo(): 0 or EAI_... */
        struct addrinfo *addresses;
};

struct resolve {
        struct job *job;
        sd_event_source *io;
        resolve_func done;
        void *userdata;
        bool *freed;
};

static void job_unref(struct job *j) {
        if (!j || atomic_fetch_sub(&j->refs, 1) > 1)
                return;
        if (j->addresses)
                freeaddrinfo(j->addresses);
        safe_close(j->fd);
        free(j->host);
        free(j);
}

static void job_run(struct job *j, int flags) {
        const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                        .ai_socktype = SOCK_STREAM,
                        .ai_flags = AI_NUMERICSERV | flags};

        j->outcome = getaddrinfo(j->host, j->port, &hints, &j->addresses);
}

static void job_notify(struct job *j) {
        const uint64_t one = 1;

        if (write(j->fd, &one, sizeof(one)) < 0) {
                /* cannot happen on a fresh eventfd; the caller's own deadline ends the wait */
        }
}

static void *thread_main(void *userdata) {
        struct job *j = userdata;

        job_run(j, AI_ADDRCONFIG);
        job_notify(j);
        job_unref(j);
        return NULL;
}

static int thread_start(struct job *j) {
        pthread_attr_t attr;
        pthread_t thread;
        int r;

        r = pthread_attr_init(&attr);
        if (r != 0)
                return -r;
        (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        atomic_fetch_add(&j->refs, 1);
        r = pthread_create(&thread, &attr, thread_main, j);
        pthread_attr_destroy(&attr);
        if (r != 0)
                job_unref(j);
        return -r;
}

static int on_result(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct resolve *r = userdata;
        bool freed = false;

        r->io = sd_event_source_disable_unref(r->io);
        r->freed = &freed;
        r->done(r, r->job->outcome, r->job->addresses, r->userdata);
        if (!freed)
                r->freed = NULL;
        return 0;
}

static int start(struct resolve *x, sd_event *event, const char *host, uint16_t port) {
        struct job *j = x->job;
        int r;

        (void)snprintf(j->port, sizeof(j->port), "%u", port);
        j->host = strdup(host);
        if (!j->host)
                return -ENOMEM;
        j->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (j->fd < 0)
                return -errno;
        r = sd_event_add_io(event, &x->io, j->fd, EPOLLIN, on_result, x);
        if (r < 0)
                return r;
        job_run(j, AI_NUMERICHOST);
        if (j->outcome == EAI_NONAME)
                return thread_start(j);
        job_notify(j);
        return 0;
}

int resolve_start(struct resolve **ret, sd_event *event, const char *host, uint16_t port,
                resolve_func done, void *userdata) {
        struct resolve *x = calloc(1, sizeof(*x));
        struct job *j = calloc(1, sizeof(*j));
        int r;

        if (!x || !j) {
                free(x);
                free(j);
                return -ENOMEM;
        }
        *x = (struct resolve){.job = j, .done = done, .userdata = userdata};
        j->fd = -EBADF;
        atomic_init(&j->refs, 1);
        r = start(x, event, host, port);
        if (r < 0) {
                resolve_free(x);
                return r;
        }
        *ret = x;
        return 0;
}

struct resolve *resolve_free(struct resolve *r) {
        if (!r)
                return NULL;
        if (r->freed)
                *r->freed = true;
        sd_event_source_disable_unref(r->io);
        job_unref(r->job);
        return mfree(r);
}
