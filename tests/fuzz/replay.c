/* Runs every target over its seeds (TAP); with names, over files: replay TARGET FILE... */
#include <dirent.h>

#include "lib/base.h"
#include "lib/fileio.h"
#include "tests/fuzz/fuzz.h"

enum { SEED_SIZE_MAX = 16 << 20 };

static bool run_file(const struct fuzz_target *t, const char *path) {
        _cleanup_free_ char *text = NULL;
        size_t n;

        if (file_read(path, SEED_SIZE_MAX, &text, &n) < 0)
                return false;
        t->run(text, n);
        return true;
}

static unsigned run_folder(const struct fuzz_target *t, const char *folder) {
        DIR *d = opendir(folder);
        unsigned count = 0;
        struct dirent *e;

        while (d && (e = readdir(d))) {
                _cleanup_free_ char *path = strformat("%s/%s", folder, e->d_name);

                if (e->d_name[0] != '.' && path)
                        count += run_file(t, path);
        }
        if (d)
                (void)closedir(d);
        return count;
}

int main(int argc, char **argv) {
        const char *source = getenv("KEELSON_SRCDIR");
        bool failed = false;

        if (argc > 2) {
                for (size_t i = 0; i < fuzz_target_count; i++)
                        for (int a = 2; streq(argv[1], fuzz_targets[i].name) && a < argc; a++)
                                failed |= !run_file(&fuzz_targets[i], argv[a]);
                return failed;
        }
        printf("1..%zu\n", fuzz_target_count);
        for (size_t i = 0; i < fuzz_target_count; i++) {
                const struct fuzz_target *t = &fuzz_targets[i];
                _cleanup_free_ char *folder = strformat(
                                "%s/tests/fuzz/corpus/%s", source ? source : ".", t->name);
                unsigned count = folder ? run_folder(t, folder) : 0;

                printf("%s %zu - %s: %u seeds\n", count > 0 ? "ok" : "not ok", i + 1, t->what,
                                count);
                (void)fflush(stdout);
                failed |= count == 0;
        }
        return failed;
}
