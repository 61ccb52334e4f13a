/* kstored-chaos: see chaos.h. Prints TAP; ends with 0 when all was well. */
#include "config.h"

#include "tests/chaos/chaos.h"

#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/log.h"
#include "lib/options.h"
#include "lib/random.h"
#include "lib/timefmt.h"

#define ROW(n, t, field, arg, text, fall) \
        { \
                .name = n, .type = t, .offset = offsetof(struct chaos_options, field), \
                .argument = arg, .help = text, .fallback = fall \
        }

static const struct option_row rows[] = {
                ROW("kstored", OPTION_STRING, kstored, "FILE", "the program to test", NULL),
                ROW("dir", OPTION_STRING, dir, "DIR",
                                "where the members live (default: a temporary directory)", NULL),
                ROW("history", OPTION_STRING, history, "FILE",
                                "where the history is written (default: DIR/history)", NULL),
                ROW("members", OPTION_U32, members, "N", "members at the start", "3"),
                ROW("clients", OPTION_U32, clients, "N", "clients at work at once", "10"),
                ROW("seconds", OPTION_U32, seconds, "N", "how long faults are made", "30"),
                ROW("seed", OPTION_U64, seed, "N",
                                "which faults are made, and when; 0: any (it is printed)", "0"),
                ROW("fault", OPTION_STRINGS, faults, "NAME",
                                "only these: kill-leader, kill, kill-two, kill-all, kill-often, "
                                "pause, pause-leader, stop, stop-leader, cut-one-way, cut-leader, "
                                "cut, delay, move-leader, compact, defragment, replace",
                                NULL),
                ROW("keep", OPTION_BOOL, keep, NULL, "keep the directory", "false"),
};

static const struct option_program program = {
                .name = "kstored-chaos",
                .summary = "Kills, pauses and cuts off members of kstored under load, and checks "
                           "the answers to clients.",
                .usage = "--kstored FILE [OPTION...]",
                .rows = rows,
                .count = ELEMENTS(rows),
};

uint64_t dice_draw(struct dice *d) {
        uint64_t x = d->state += 0x9e3779b97f4a7c15u;

        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        return x ^ (x >> 31);
}

uint64_t dice_below(struct dice *d, uint64_t bound) {
        return bound > 0 ? dice_draw(d) % bound : 0;
}

uint64_t dice_between(struct dice *d, uint64_t low, uint64_t high) {
        return low + dice_below(d, high - low + 1);
}

uint64_t chaos_now_ns(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t chaos_now_us(const struct chaos *c) {
        return now_mono_us() - c->start_us;
}

void chaos_grow(void *array, size_t *allocated, size_t count, size_t size) {
        void **a = array;

        if (count < *allocated)
                return;
        *allocated = MAX(*allocated * 2, (size_t)256);
        *a = reallocarray(*a, *allocated, size);
        assert(*a);
}

void chaos_say(struct chaos *c, const char *fmt, ...) {
        va_list ap;

        printf("# %8.3f ", (double)chaos_now_us(c) / 1e6);
        va_start(ap, fmt);
        vprintf(fmt, ap);
        va_end(ap);
        putchar('\n');
        fflush(stdout);
}

void chaos_fail(struct chaos *c, const char *fmt, ...) {
        va_list ap;

        if (c->failures++ >= FAILURES_SHOWN)
                return;
        va_start(ap, fmt);
        if (vasprintf(&c->why[c->failures - 1], fmt, ap) < 0)
                c->why[c->failures - 1] = NULL;
        va_end(ap);
        chaos_say(c, "WRONG: %s", strempty(c->why[c->failures - 1]));
}

void chaos_result(struct chaos *c, const char *fmt, ...) {
        bool failed = c->failures > 0;
        va_list ap;

        printf("%s %u - ", failed ? "not ok" : "ok", ++c->tests);
        va_start(ap, fmt);
        vprintf(fmt, ap);
        va_end(ap);
        putchar('\n');
        for (unsigned i = 0; i < MIN(c->failures, (unsigned)FAILURES_SHOWN); i++) {
                printf("# %s\n", strempty(c->why[i]));
                c->why[i] = mfree(c->why[i]);
        }
        if (c->failures > FAILURES_SHOWN)
                printf("# and %u more\n", c->failures - FAILURES_SHOWN);
        if (failed)
                printf("# seed %llu; logs and data of the members: %s\n",
                                (unsigned long long)c->options.seed, c->dir);
        fflush(stdout);
        c->failed_tests += failed;
        c->failures = 0;
}

bool chaos_until(struct chaos *c, uint64_t timeout_us, chaos_condition met, void *userdata) {
        uint64_t end_us = chaos_now_us(c) + timeout_us;

        for (;;) {
                uint64_t now_us = chaos_now_us(c);

                if (met && met(c, userdata))
                        return true;
                if (now_us >= end_us || c->interrupted)
                        return false;
                if (sd_event_run(c->event, MIN(end_us - now_us, (uint64_t)50000)) < 0)
                        return false;
        }
}

bool chaos_run(struct chaos *c, uint64_t us) {
        (void)chaos_until(c, us, NULL, NULL);
        return !c->interrupted;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        struct chaos *c = userdata;

        c->interrupted = true;
        return 0;
}

static bool is_served(struct chaos *c, void *userdata) {
        return c->last_success_us > 0;
}

static void write_history(struct chaos *c) {
        _cleanup_free_ char *path = c->options.history ? strdup(c->options.history)
                                                       : strformat("%s/history", c->dir);
        _cleanup_fclose_ FILE *f = path ? fopen(path, "we") : NULL;
        uint64_t zero_ns = c->history.count > 0 ? c->history.ops[0].start_ns : 0;

        for (size_t i = 0; f && i < c->history.count; i++) {
                _cleanup_buf_ struct buf b = {0};

                linear_print(&b, &c->history.ops[i], zero_ns);
                if (b.size > 0)
                        fwrite(b.data, 1, b.size, f);
        }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void)remove(path);
        return 0;
}

static int prepare(struct chaos *c) {
        static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
        sigset_t mask;
        int r = sd_event_default(&c->event);

        sigemptyset(&mask);
        for (size_t i = 0; i < ELEMENTS(signals); i++)
                sigaddset(&mask, signals[i]);
        (void)sigprocmask(SIG_BLOCK, &mask, NULL);
        for (size_t i = 0; r >= 0 && i < ELEMENTS(signals); i++)
                r = sd_event_add_signal(c->event, NULL, signals[i], on_signal, c);
        if (r < 0)
                return r;
        c->start_us = now_mono_us();
        c->dice.state = c->options.seed;
        if (c->options.dir) {
                c->dir = strdup(c->options.dir);
                if (c->dir && mkdir(c->dir, 0700) < 0)
                        return -errno;
        } else {
                const char *tmp = getenv("TMPDIR");

                c->dir = strformat("%s/kstored-chaos.XXXXXX", tmp ? tmp : "/tmp");
                if (c->dir && !mkdtemp(c->dir))
                        return -errno;
        }
        return c->dir ? 0 : -ENOMEM;
}

static void run(struct chaos *c) {
        enum { START_LIMIT_US = 30000000 };
        int r = prepare(c);

        printf("# seed %llu, %u members, %u clients, %u s\n", (unsigned long long)c->options.seed,
                        c->options.members, c->options.clients, c->options.seconds);
        if (r >= 0)
                r = cluster_make(c);
        if (r >= 0)
                r = load_start(c);
        if (r >= 0)
                r = leases_start(c);
        if (r < 0)
                chaos_fail(c, "%s", strerror(-r));
        else if (!chaos_until(c, START_LIMIT_US, is_served, NULL))
                chaos_fail(c, "nothing could be written within %d s", START_LIMIT_US / 1000000);
        if (c->failures > 0) {
                chaos_result(c, "members start, and serve");
                return;
        }
        chaos_result(c, "%u members serve after %.2f s", c->options.members,
                        (double)c->last_success_us / 1e6);
        (void)chaos_run(c, 1000000);
        c->success_gap_us = 0;
        nemesis_run(c, chaos_now_us(c) + (uint64_t)c->options.seconds * 1000000);
        nemesis_heal(c);
        if (!c->interrupted)
                judge_all(c);
        write_history(c);
}

static void done(struct chaos *c) {
        leases_done(c);
        cluster_done(c);
        load_done(c);
        free(c->gaps);
        for (size_t i = 0; i < FAILURES_SHOWN; i++)
                free(c->why[i]);
        c->event = sd_event_unref(c->event);
        if (c->dir && !c->options.keep && !c->options.dir && c->failed_tests == 0)
                (void)nftw(c->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(c->dir);
}

int main(int argc, char **argv) {
        _cleanup_problem_ struct problem p = {0};
        static struct chaos c;
        int r;

        log_setup("kstored-chaos", LOG_WARNING);
        r = options_parse(&program, &c.options, argc, argv, NULL, &p);
        if (r == 0 && !c.options.kstored)
                r = problem_set(&p, EINVAL, 0, NULL, "--kstored is needed");
        if (r == 0 && (c.options.members < 1 || c.options.members > 7 || c.options.clients < 1 ||
                                      c.options.clients >= CLIENTS_MAX))
                r = problem_set(&p, EINVAL, 0, NULL,
                                "--members is from 1 to 7, --clients from 1 to %d",
                                CLIENTS_MAX - 1);
        if (r < 0)
                log_error("%s", p.message ? p.message : strerror(-r));
        if (r == 0) {
                if (c.options.seed == 0)
                        c.options.seed = random_below(1000000000) + 1;
                run(&c);
                printf("1..%u\n", c.tests);
                if (c.interrupted)
                        printf("Bail out! interrupted\n");
                r = c.failed_tests > 0 || c.interrupted ? -EPROTO : 0;
                done(&c);
        }
        options_done(&program, &c.options);
        return r < 0;
}
