/* kstored-sim [SEED] [--seeds N] [--seconds S] [--bug NAME]: runs simulated worlds. A failure is
 * reported with its seed; the same seed gives the same run again, with --trace step by step. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "lib/log.h"
#include "lib/timefmt.h"
#include "tests/sim/sim.h"

enum bug bug_planted;

enum { JOBS_MAX = 64, TRACE_LINES = 60 };

static const struct {
        const char *name, *what;
} bugs[] = {
#define BUG_ROW(id, name, what) [BUG_##id] = {name, what},
                KSTORED_BUG_LIST(BUG_ROW)
#undef BUG_ROW
};

struct settings {
        uint64_t first;
        uint64_t seeds;
        uint64_t seconds; /* 0: no limit but the seeds */
        unsigned jobs;
        bool trace;
        bool quiet;
};

/* The totals of all jobs, in memory that they share. */
struct totals {
        uint64_t next; /* seed */
        uint64_t done;
        uint64_t failed; /* the lowest seed that failed, UINT64_MAX: none */
        uint64_t counts[13];
};

static int usage(FILE *f) {
        fputs("usage: kstored-sim [SEED] [--seeds N] [--seconds S] [--jobs N] [--trace] [--quiet] "
              "[--bug NAME]\n\n"
              "Runs the store's real code in simulated worlds: SEED (1) and those after it, N of "
              "them (1),\nor as many as S seconds allow. --trace prints what happens in SEED; "
              "--bug plants a bug in the\ncode, which must be found:\n",
                        f);
        for (size_t i = 1; i < ELEMENTS(bugs); i++)
                fprintf(f, "  %-20s %s\n", bugs[i].name, bugs[i].what);
        return f == stderr ? 2 : 0;
}

static bool number_of(const char *s, uint64_t *ret) {
        char *end;

        errno = 0;
        *ret = strtoull(s, &end, 10);
        return s[0] >= '0' && s[0] <= '9' && *end == '\0' && errno == 0;
}

static bool plant(const char *name) {
        for (size_t i = 1; i < ELEMENTS(bugs); i++)
                if (streq(bugs[i].name, name)) {
                        bug_planted = (enum bug)i;
                        return true;
                }
        fprintf(stderr, "kstored-sim: there is no bug '%s' (see --help)\n", name);
        return false;
}

static int read_settings(int argc, char **argv, struct settings *s) {
        for (int i = 1; i < argc; i++) {
                const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
                uint64_t n = 0;

                if (streq(word, "--help"))
                        return usage(stdout);
                if (streq(word, "--trace"))
                        s->trace = true;
                else if (streq(word, "--quiet"))
                        s->quiet = true;
                else if (word[0] != '-' && number_of(word, &n))
                        s->first = n;
                else if (streq(word, "--bug") && value) {
                        if (!plant(value))
                                return 2;
                        i++;
                } else if (value && number_of(value, &n) && n > 0) {
                        if (streq(word, "--seeds"))
                                s->seeds = n;
                        else if (streq(word, "--seconds"))
                                s->seconds = n;
                        else if (streq(word, "--jobs") && n <= JOBS_MAX)
                                s->jobs = (unsigned)n;
                        else
                                return usage(stderr);
                        i++;
                } else
                        return usage(stderr);
        }
        return -1;
}

/* Reports one seed. */
static int run_told(uint64_t seed, bool tracing, uint64_t *ret_hash) {
        struct world *w = calloc(1, sizeof(*w));
        int r;

        assert(w);
        r = world_run(w, seed, tracing);
        if (r && !tracing)
                printf("seed %llu: %s\n", (unsigned long long)seed, w->failure);
        else
                printf("seed %llu: %s after %.1f s and %llu events (%016llx)\n",
                                (unsigned long long)seed, r ? "FAILED" : "all is well",
                                (double)w->now_us / SECOND, (unsigned long long)w->order,
                                (unsigned long long)w->hash);
        *ret_hash = w->hash;
        world_done(w);
        free(w);
        return r;
}

static void add_up(struct totals *t, const struct world *w) {
        const unsigned v[] = {w->count.crashes, w->count.power_cuts, w->count.torn,
                        w->count.elections, w->count.snapshots, w->count.partitions,
                        w->count.changes, w->count.rots, w->count.compactions, w->count.lease_ends,
                        w->count.watch_moves, w->count.writes, w->count.reads};

        for (size_t i = 0; i < ELEMENTS(v); i++)
                __atomic_add_fetch(&t->counts[i], v[i], __ATOMIC_RELAXED);
        __atomic_add_fetch(&t->done, 1, __ATOMIC_RELAXED);
}

static void note_failure(struct totals *t, uint64_t seed) {
        uint64_t known = __atomic_load_n(&t->failed, __ATOMIC_RELAXED);

        while (seed < known && !__atomic_compare_exchange_n(&t->failed, &known, seed, false,
                                               __ATOMIC_RELAXED, __ATOMIC_RELAXED))
                ;
}

/* Takes seeds until there are no more, the time is over or one has failed. */
static void job(const struct settings *s, struct totals *t, uint64_t end_us) {
        struct world *w = calloc(1, sizeof(*w));

        assert(w);
        while (now_mono_us() < end_us) {
                uint64_t seed = __atomic_fetch_add(&t->next, 1, __ATOMIC_RELAXED);

                if (seed >= s->first + s->seeds ||
                                seed > __atomic_load_n(&t->failed, __ATOMIC_RELAXED))
                        break;
                if (world_run(w, seed, false))
                        note_failure(t, seed);
                add_up(t, w);
                world_done(w);
        }
        free(w);
}

static struct totals *share(void) {
        char name[] = "/tmp/kstored-sim-XXXXXX";
        struct totals *t;
        int fd = mkstemp(name);

        assert(fd >= 0);
        (void)unlink(name);
        assert(ftruncate(fd, sizeof(*t)) >= 0);
        t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert(t != MAP_FAILED);
        close(fd);
        t->failed = UINT64_MAX;
        return t;
}

static void tell_totals(const struct totals *t, uint64_t us) {
        static const char *const names[] = {"crashes", "of them power cuts", "torn writes",
                        "elections", "states sent", "partitions", "member changes", "lost disks",
                        "compactions", "leases ended", "watches moved", "writes", "reads"};

        printf("%llu seeds in %.1f s:", (unsigned long long)t->done, (double)us / 1e6);
        for (size_t i = 0; i < ELEMENTS(names); i++)
                printf(" %llu %s%s", (unsigned long long)t->counts[i], names[i],
                                i + 1 < ELEMENTS(names) ? "," : "\n");
}

/* Many seeds on several processors; the lowest that fails is run again for the report. */
static int run_many(const struct settings *s) {
        struct totals *t = share();
        uint64_t start_us = now_mono_us(), hash, again;
        uint64_t end_us = s->seconds ? start_us + s->seconds * SECOND : UINT64_MAX;
        bool died = false;
        int r = 0;

        t->next = s->first;
        fflush(stdout);
        for (unsigned i = 0; i < s->jobs; i++) {
                pid_t pid = fork();

                assert(pid >= 0);
                if (pid == 0) {
                        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                        job(s, t, end_us);
                        _exit(0);
                }
        }
        for (unsigned i = 0; i < s->jobs; i++) {
                int status;

                if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
                        died = true;
        }
        if (t->failed != UINT64_MAX) {
                r = run_told(t->failed, false, &hash);
                if (!r || run_told(t->failed, false, &again) != r || again != hash)
                        printf("it did not fail in the same way again: the run depends on more "
                               "than its seed\n");
                printf("see it happen: kstored-sim %llu --trace%s%s\n",
                                (unsigned long long)t->failed, bug_planted ? " --bug " : "",
                                bug_planted ? bugs[bug_planted].name : "");
        }
        if (died)
                printf("a run ended by a signal: run the seeds from %llu to %llu one by one\n",
                                (unsigned long long)s->first, (unsigned long long)t->next);
        if (!s->quiet || died)
                tell_totals(t, now_mono_us() - start_us);
        return died ? 1 : t->failed != UINT64_MAX ? 1 : 0;
}

int main(int argc, char **argv) {
        struct settings s = {.first = 1, .jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN)};
        uint64_t hash;
        int r = read_settings(argc, argv, &s);

        if (r >= 0)
                return r;
        log_setup("kstored-sim", s.trace ? LOG_INFO : LOG_EMERG);
        if (s.seeds == 0 && s.seconds > 0)
                s.seeds = UINT64_MAX - s.first;
        if (s.seeds > 1)
                return run_many(&s);
        return run_told(s.first, s.trace, &hash);
}
