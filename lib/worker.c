/* Two rings under one lock: jobs to run, jobs done. An eventfd wakes the loop. */
#include "lib/worker.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

struct job {
        int (*run)(void *userdata);
        void (*done)(int result, void *userdata);
        void *userdata;
        int outcome; /* of run() */
};

struct worker {
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t wake;
        struct job jobs[WORKER_JOBS_MAX]; /* [taken, finished) done, [finished, given) to do */
        uint64_t taken, finished, given;
        bool ending, started;
        int fd;
        sd_event_source *source;
};

static void *work(void *userdata) {
        struct worker *w = userdata;

        pthread_mutex_lock(&w->lock);
        for (;;) {
                struct job *job;
                int (*run)(void *);
                void *argument;
                int outcome;

                while (w->finished == w->given && !w->ending)
                        pthread_cond_wait(&w->wake, &w->lock);
                if (w->finished == w->given)
                        break;
                job = &w->jobs[w->finished % WORKER_JOBS_MAX];
                run = job->run;
                argument = job->userdata;
                pthread_mutex_unlock(&w->lock);
                outcome = run(argument);
                pthread_mutex_lock(&w->lock);
                job->outcome = outcome;
                w->finished++;
                (void)eventfd_write(w->fd, 1);
        }
        pthread_mutex_unlock(&w->lock);
        return NULL;
}

static int on_done(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct worker *w = userdata;
        eventfd_t n;

        (void)eventfd_read(fd, &n);
        for (;;) {
                struct job job;

                pthread_mutex_lock(&w->lock);
                if (w->taken == w->finished) {
                        pthread_mutex_unlock(&w->lock);
                        return 0;
                }
                job = w->jobs[w->taken % WORKER_JOBS_MAX];
                w->taken++;
                pthread_mutex_unlock(&w->lock);
                if (job.done)
                        job.done(job.outcome, job.userdata);
        }
}

static int start_thread(struct worker *w) {
        sigset_t all, before;
        int r;

        /* Signals belong to the loop. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = -pthread_create(&w->thread, /* attributes= */ NULL, work, w);
        pthread_sigmask(SIG_SETMASK, &before, /* oldset= */ NULL);
        w->started = r == 0;
        return r;
}

int worker_new(struct worker **ret, sd_event *event) {
        _cleanup_(worker_freep) struct worker *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->wake, NULL);
        w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (w->fd < 0)
                return -errno;
        r = sd_event_add_io(event, &w->source, w->fd, EPOLLIN, on_done, w);
        if (r < 0)
                return r;
        r = start_thread(w);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

struct worker *worker_free(struct worker *w) {
        if (!w)
                return NULL;
        if (w->started) {
                pthread_mutex_lock(&w->lock);
                w->ending = true;
                pthread_cond_signal(&w->wake);
                pthread_mutex_unlock(&w->lock);
                pthread_join(w->thread, NULL);
        }
        sd_event_source_unref(w->source);
        safe_close(w->fd);
        pthread_cond_destroy(&w->wake);
        pthread_mutex_destroy(&w->lock);
        free(w);
        return NULL;
}

int worker_submit(struct worker *w, int (*run)(void *userdata),
                void (*done)(int result, void *userdata), void *userdata) {
        int r = 0;

        pthread_mutex_lock(&w->lock);
        if (w->given - w->taken == WORKER_JOBS_MAX)
                r = -ENOBUFS;
        else {
                w->jobs[w->given % WORKER_JOBS_MAX] =
                                (struct job){.run = run, .done = done, .userdata = userdata};
                w->given++;
                pthread_cond_signal(&w->wake);
        }
        pthread_mutex_unlock(&w->lock);
        return r;
}

size_t worker_pending(const struct worker *w) {
        return (size_t)(w->given - w->taken); /* both are written by the loop alone */
}
