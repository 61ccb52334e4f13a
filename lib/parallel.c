/* A run is a number that only grows: each of its threads takes the next item until there is none.
 * Threads that are late find no run, and the caller does not wait for them: it waits for those that
 * are inside of it. The run itself is on the caller's stack, so that all must have left before it
 * returns. Everything in struct parallel is under its lock; of a run the next item alone is shared
 * without. */
#include "lib/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

enum { SENDS_MIN = 32, SENDS_BYTES_MIN = 256 << 10 };

struct run {
        parallel_func func;
        void *userdata;
        size_t count;
        atomic_size_t next;
        /* Under the lock: */
        size_t failed; /* the first item that did; count: none */
        int failure;
};

struct parallel {
        pthread_mutex_t lock;
        pthread_cond_t begun, left;
        pthread_t threads[PARALLEL_MAX - 1];
        unsigned count;   /* at work at most */
        unsigned started; /* threads */
        bool tried;       /* to start them */
        bool busy, ending;
        struct run *run; /* NULL: there is none to begin with */
        uint64_t number; /* of the last run: a thread has part in each once */
        unsigned inside;
};

static void do_items(struct run *run, size_t *failed, int *failure) {
        size_t i;

        *failed = run->count;
        *failure = 0;
        while ((i = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < run->count) {
                int r = run->func(i, run->userdata);

                if (r < 0 && i < *failed) {
                        *failed = i;
                        *failure = r;
                }
        }
}

static void note_failure(struct run *run, size_t failed, int failure) {
        if (failed >= run->failed)
                return;
        run->failed = failed;
        run->failure = failure;
}

static void take_part(struct parallel *p) {
        struct run *run = p->run;
        size_t failed;
        int failure;

        p->inside++;
        pthread_mutex_unlock(&p->lock);
        do_items(run, &failed, &failure);
        pthread_mutex_lock(&p->lock);
        note_failure(run, failed, failure);
        if (--p->inside == 0)
                pthread_cond_signal(&p->left);
}

static void *work(void *userdata) {
        struct parallel *p = userdata;
        uint64_t seen = 0;

        (void)pthread_setname_np(pthread_self(), "parallel");
        pthread_mutex_lock(&p->lock);
        while (!p->ending) {
                if (!p->run || p->number == seen) {
                        pthread_cond_wait(&p->begun, &p->lock);
                        continue;
                }
                seen = p->number;
                take_part(p);
        }
        pthread_mutex_unlock(&p->lock);
        return NULL;
}

/* Once: where it fails, those that there are do the work. */
static void start_threads(struct parallel *p) {
        sigset_t all, before;

        p->tried = true;
        sigfillset(&all); /* signals belong to the loop */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        while (p->started + 1 < p->count && pthread_create(&p->threads[p->started],
                                                            /* attributes= */ NULL, work, p) == 0)
                p->started++;
        pthread_sigmask(SIG_SETMASK, &before, /* oldset= */ NULL);
}

/* On two processors the others of the machine want the second one, and the loop would wait for a
 * thread that they have displaced (measured: docs/benchmarks.md). */
static unsigned half_of_processors(void) {
        cpu_set_t set;

        if (sched_getaffinity(0, sizeof(set), &set) < 0) /* more than fit in a cpu_set_t */
                return PARALLEL_MAX;
        return MAX((unsigned)CPU_COUNT(&set) / 2, 1U);
}

int parallel_new(struct parallel **ret, unsigned count) {
        struct parallel *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        p->count = MIN(count > 0 ? count : half_of_processors(), (unsigned)PARALLEL_MAX);
        pthread_mutex_init(&p->lock, NULL);
        pthread_cond_init(&p->begun, NULL);
        pthread_cond_init(&p->left, NULL);
        *ret = p;
        return 0;
}

struct parallel *parallel_free(struct parallel *p) {
        if (!p)
                return NULL;
        assert(!p->busy);
        pthread_mutex_lock(&p->lock);
        p->ending = true;
        pthread_cond_broadcast(&p->begun);
        pthread_mutex_unlock(&p->lock);
        for (unsigned i = 0; i < p->started; i++)
                pthread_join(p->threads[i], NULL);
        pthread_cond_destroy(&p->begun);
        pthread_cond_destroy(&p->left);
        pthread_mutex_destroy(&p->lock);
        free(p);
        return NULL;
}

unsigned parallel_count(const struct parallel *p) {
        return p ? p->count : 1;
}

/* False: a run is under way, and this is inside of it. */
static bool begin(struct parallel *p, struct run *run) {
        pthread_mutex_lock(&p->lock);
        if (p->busy) {
                pthread_mutex_unlock(&p->lock);
                return false;
        }
        p->busy = true;
        if (run->count > 1 && p->count > 1) {
                if (!p->tried)
                        start_threads(p);
                p->run = run;
                p->number++;
                pthread_cond_broadcast(&p->begun);
        }
        pthread_mutex_unlock(&p->lock);
        return true;
}

static void end(struct parallel *p) {
        pthread_mutex_lock(&p->lock);
        p->run = NULL; /* who is late has no part */
        while (p->inside > 0)
                pthread_cond_wait(&p->left, &p->lock);
        p->busy = false;
        pthread_mutex_unlock(&p->lock);
}

int parallel_run(struct parallel *p, size_t count, parallel_func func, void *userdata) {
        struct run run = {.func = func, .userdata = userdata, .count = count, .failed = count};
        size_t failed;
        int failure;

        if (p && !begin(p, &run))
                return -EBUSY;
        do_items(&run, &failed, &failure);
        if (p)
                end(p);
        note_failure(&run, failed, failure);
        return run.failure;
}

struct parallel *parallel_for_sending(struct parallel *p, size_t count, size_t bytes) {
        return count >= SENDS_MIN || (count > 1 && bytes >= SENDS_BYTES_MIN) ? p : NULL;
}
