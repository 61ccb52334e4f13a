/* Runs every target over its seeds and over changed ones (TAP); with names, over files:
 * replay TARGET FILE... The changes are the same on every run; FUZZ=SECONDS continues with others
 * for that long a target, without clang, which `make fuzz` needs. KEELSON_FUZZ: that target only.
 * FUZZ_KEEP: the file for the bytes that a target did not survive. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/fileio.h"
#include "lib/timefmt.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/dice.h"

enum { SEED_SIZE_MAX = 16 << 20, CHANGED_SIZE_MAX = 64 << 10, ROUNDS = 150, SEEDS_MAX = 256 };

/* For people: what to look at when a target crashes. */
static struct {
        char *text;
        size_t n;
} current;

static bool run_file(const struct fuzz_target *t, const char *path) {
        _cleanup_free_ char *text = NULL;
        size_t n;

        if (file_read(path, SEED_SIZE_MAX, &text, &n) < 0)
                return false;
        t->run(text, n);
        return true;
}

struct seed {
        char *text;
        size_t n;
};

/* By name: the order of a folder's entries is not the same everywhere. */
static unsigned read_seeds(const char *folder, struct seed seeds[static SEEDS_MAX]) {
        struct dirent **entries;
        int found = scandir(folder, &entries, NULL, alphasort);
        unsigned count = 0;

        for (int i = 0; i < found; i++) {
                _cleanup_free_ char *path = strformat("%s/%s", folder, entries[i]->d_name);
                struct seed *s = &seeds[count];

                if (entries[i]->d_name[0] != '.' && path && count < SEEDS_MAX &&
                                file_read(path, SEED_SIZE_MAX, &s->text, &s->n) >= 0)
                        count++;
                free(entries[i]);
        }
        if (found >= 0)
                free(entries);
        return count;
}

/* The input that a target did not survive, for `replay TARGET FILE`. */
static void keep(int signal_number) {
        const char *path = getenv("FUZZ_KEEP");
        int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;

        if (fd >= 0 && write(fd, current.text, current.n) < 0)
                (void)!write(STDERR_FILENO, "not kept\n", 9);
        (void)signal(signal_number, SIG_DFL);
        (void)raise(signal_number);
}

/* Seeds with bytes changed, cut, and joined with others. */
static void run_changed(const struct fuzz_target *t, const struct seed *seeds, unsigned count,
                uint64_t seed) {
        struct dice d = {.state = seed};
        const struct seed *one = &seeds[roll(&d, count)], *other = &seeds[roll(&d, count)];
        size_t n = MIN(one->n, (size_t)CHANGED_SIZE_MAX);
        _cleanup_free_ char *text = NULL;

        if (n == 0)
                return;
        if (roll(&d, 8) == 0)
                n = 1 + roll(&d, n);
        text = calloc(1, n + 1);
        if (!text)
                return;
        memcpy(text, one->text, n);
        mutate_bytes(&d, text, n, other->text, other->n);
        current.text = text;
        current.n = n;
        t->run(text, n);
}

static unsigned run_seeds(const struct fuzz_target *t, const char *folder, uint64_t until_us) {
        struct seed *seeds = calloc(SEEDS_MAX, sizeof(*seeds));
        unsigned count = seeds ? read_seeds(folder, seeds) : 0;

        for (unsigned i = 0; i < count; i++)
                t->run(seeds[i].text, seeds[i].n);
        for (uint64_t i = 1; count > 0 && (i <= ROUNDS || now_mono_us() < until_us); i++)
                run_changed(t, seeds, count, i);
        current.text = NULL;
        current.n = 0;
        for (unsigned i = 0; i < count; i++)
                free(seeds[i].text);
        free(seeds);
        return count;
}

/* 0 seconds: only the rounds that are the same on every run. */
static bool run_target(const struct fuzz_target *t, size_t number, uint64_t seconds) {
        const char *source = getenv("KEELSON_SRCDIR");
        _cleanup_free_ char *folder =
                        strformat("%s/tests/fuzz/corpus/%s", source ? source : ".", t->name);
        unsigned count = folder ? run_seeds(t, folder, now_mono_us() + seconds * 1000000) : 0;

        printf("%s %zu - %s: %u seeds\n", count > 0 ? "ok" : "not ok", number, t->what, count);
        (void)fflush(stdout);
        return count > 0;
}

int main(int argc, char **argv) {
        const char *only = getenv("KEELSON_FUZZ"), *time = getenv("FUZZ");
        uint64_t seconds = 0;
        bool failed = false;

        if (argc > 2) {
                for (size_t i = 0; i < fuzz_target_count; i++)
                        for (int a = 2; streq(argv[1], fuzz_targets[i].name) && a < argc; a++)
                                failed |= !run_file(&fuzz_targets[i], argv[a]);
                return failed;
        }
        if (time && parse_u64(time, &seconds) < 0)
                return 2;
        (void)signal(SIGABRT, keep);
        (void)signal(SIGSEGV, keep);
        printf("1..%zu\n", only ? 1 : fuzz_target_count);
        for (size_t i = 0; i < fuzz_target_count; i++)
                if (!only || streq(only, fuzz_targets[i].name))
                        failed |= !run_target(&fuzz_targets[i], only ? 1 : i + 1, seconds);
        return failed;
}
